"""The folder of results."""

from pathlib import Path

RESULTS_OF_A_CHECKOUT, RESULTS = Path("leaderboard/results"), Path("results")


def results_folder(chosen: Path | None = None) -> Path:
    """Return the chosen folder, else that of a checkout, else `results` in the current folder."""
    return chosen or (RESULTS_OF_A_CHECKOUT if RESULTS_OF_A_CHECKOUT.is_dir() else RESULTS)
