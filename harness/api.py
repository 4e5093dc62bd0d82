"""The functions of the public API that fit and score predictors, exported by `peephole`."""

from collections.abc import Callable
from pathlib import Path

from benchmark.release import INSTALLED, Release
from harness.protocol import Predictor
from harness.results.result import Result
from harness.running.evaluate import evaluate as evaluate_candidate
from harness.running.find_predictor import SEEDS, candidate_of, find
from harness.task_data import TaskData, load_task_data
from harness.verification.prediction_file import score_predictions


def load_task(name: str, *, release: Release = INSTALLED) -> TaskData:
    """Return the data of a frozen task.

    Args:
        name: Name of the task, for example "digits-k3-v3".
        release: The data; by default that of the installed package.

    Raises:
        FileNotFoundError: If a split is missing from the data.
        ValueError: If the name is unknown, or the rows are not those that the task was frozen on.
    """
    return load_task_data(release.task(name), release)


def evaluate(
    predictor: str | Callable[[], Predictor],
    task: str,
    *,
    seeds: int = SEEDS,
    release: Release = INSTALLED,
) -> Result:
    """Fit a predictor on a task and return its scores; nothing is written.

    Args:
        predictor: A class, or an argument of the command `peephole evaluate`: a registry name,
            "package.module:Class" or "path/to/file.py:Class".
        task: Name of a frozen task.
        seeds: Number of seeds; a reference predictor that is not stochastic is fitted once.
        release: The data; by default that of the installed package.

    Raises:
        FileNotFoundError: If a split is missing from the data, or the file does not exist.
        ValueError: If a name is unknown, the rows are not those that the task was frozen on, or the
            predictor needs a package that is not installed.
    """
    candidate = find(predictor) if isinstance(predictor, str) else candidate_of(predictor)
    return evaluate_candidate(candidate, release.task(task), seeds=seeds, release=release)[0]


def score(predictions: str | Path, task: str, *, release: Release = INSTALLED) -> Result:
    """Return the scores of a Parquet file of predictions; nothing in it is executed.

    Args:
        predictions: The file, with columns run_id, epoch, mean and, optionally, std and seed. It
            has one row for each test and held-out run of the task and each epoch after the
            observed ones, or for the last epoch alone.
        task: Name of a frozen task.
        release: The data; by default that of the installed package.

    Raises:
        FileNotFoundError: If the file does not exist, or a split is missing from the data.
        ValueError: If the file breaks a rule; the message names the first violation.
    """
    return score_predictions(Path(predictions), release.task(task), release=release)[0]
