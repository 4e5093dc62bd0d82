"""Where results lie."""

from pathlib import Path

RESULTS_OF_A_CHECKOUT, RESULTS = Path("leaderboard/results"), Path("results")


def results_folder(chosen: Path | None = None) -> Path:
    """Return where results lie: as chosen, else those of a checkout, else `results` here."""
    return chosen or (RESULTS_OF_A_CHECKOUT if RESULTS_OF_A_CHECKOUT.is_dir() else RESULTS)
