"""The folders of results that a board is made from by default."""

from pathlib import Path

from harness.results.folder import HOW, OWN, PUBLISHED, published_folder

RESULTS = Path(__file__).parent / "results"


def results_here() -> Path:
    """Return the results folder of the working directory, or the package's if there is none.

    Raises:
        FileNotFoundError: If the package is installed without predictions.
    """
    folder = published_folder()
    if folder.is_dir():
        return folder
    if not any(RESULTS.glob("*/*.parquet")):
        raise FileNotFoundError(
            f"there is no folder {str(OWN)!r} or {str(PUBLISHED)!r} here; {HOW}"
        )
    return RESULTS


def own_results() -> Path | None:
    """Return the folder of one's own results beside published ones; None if there is none."""
    return OWN if OWN.is_dir() and published_folder() != OWN else None
