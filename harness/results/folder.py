"""The folders of results: the published one of a checkout, and one's own.

One's own results are never among the published ones, and are read together with them: of a
predictor with a result in both, one's own counts.
"""

from collections.abc import Sequence
from pathlib import Path

from benchmark.util.unknown_name import known_names
from harness.results.store import result_path

PUBLISHED, OWN = Path("leaderboard/results"), Path("results")  # in the current folder
HOW = (
    "`peephole evaluate` makes results; those that are published come with a checkout of the "
    "repository, not with an installed package"
)


def published_folder() -> Path:
    """Return the published folder of a checkout; elsewhere one's own."""
    return PUBLISHED if PUBLISHED.is_dir() else OWN


def folders_to_read(chosen: Path | None = None) -> tuple[Path, ...]:
    """Return the chosen folder, or else one's own and the published one, as far as they exist."""
    if chosen is not None:
        return (chosen,)
    return tuple(folder for folder in (OWN, PUBLISHED) if folder.is_dir()) or (OWN,)


def predictors_with_results(folders: Sequence[Path], task: str) -> list[str]:
    """Return the names of all predictors with a result on a task, sorted."""
    return sorted({path.stem for folder in folders for path in (folder / task).glob("*.json")})


def find_result(folders: Sequence[Path], task: str, predictor: str) -> Path:
    """Return the path of a result in the first folder that has it.

    Raises:
        FileNotFoundError: If none has; the message has the nearest name.
    """
    for folder in folders:
        path = result_path(folder, task, predictor)
        if path.exists():
            return path
    known = predictors_with_results(folders, task)
    raise FileNotFoundError(
        f"no result of {predictor!r} on {task}{known_names(predictor, known)}; {HOW}"
    )
