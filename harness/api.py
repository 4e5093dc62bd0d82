"""The functions of the public API that judge predictors and search algorithms."""

from collections.abc import Callable
from numbers import Integral, Real
from os import PathLike
from pathlib import Path

from benchmark.release import INSTALLED, Release, find_release
from benchmark.util.strict_json import refuse
from benchmark.util.unknown_name import check_type
from harness.predictors.registry import PREDICTORS
from harness.protocol import Predictor
from harness.results.result import Result
from harness.running.evaluate import evaluate as evaluate_candidate
from harness.running.find_predictor import SEEDS, candidate_of, find
from harness.search.budget import Budget, Unit
from harness.search.find import describe_algorithm, find_algorithm
from harness.search.open.result import OpenResult
from harness.search.open.setting import open_setting
from harness.search.pool_result import PoolResult
from harness.search.pool_setting import pool_setting
from harness.search.registry import PREDICTOR, TRACKS, Track
from harness.search.run import REPEATS, search_seeds
from harness.task_data import TaskData, load_task_data
from harness.verification.prediction_file import score_predictions


def load_task(name: str, *, release: Release | Path | str = INSTALLED) -> TaskData:
    """Return the data of a frozen task.

    Args:
        name: Name of the task, for example "cifar10-k3-v1".
        release: The data, or its folder; by default that of the installed package.

    Raises:
        FileNotFoundError: If a split is missing from the data.
        TypeError: If an argument is of another type.
        ValueError: If the name is unknown, or the rows are not those that the task was frozen on.
    """
    data = find_release(release)
    return load_task_data(data.task(name), data)


def evaluate(
    predictor: str | Path | Callable[[], Predictor],
    task: str,
    *,
    seeds: int = SEEDS,
    release: Release | Path | str = INSTALLED,
) -> Result:
    """Fit a predictor on a task and return its scores; nothing is written.

    Args:
        predictor: A class, or an argument of the command `peephole evaluate`: a registry name,
            "package.module:Class" or "path/to/file.py:Class".
        task: Name of a frozen task.
        seeds: Number of seeds; a reference predictor that is not stochastic is fitted once.
        release: The data, or its folder; by default that of the installed package.

    Raises:
        FileNotFoundError: If a split is missing from the data, or the file does not exist.
        TypeError: If an argument is of another type.
        ValueError: If a name is unknown, the rows are not those that the task was frozen on, or the
            predictor needs a package that is not installed.
    """
    check_type("seeds", seeds, Integral, "a whole number")
    if seeds < 1:
        refuse("seeds", seeds, "at least 1")
    data = find_release(release)
    frozen = data.task(task)
    if isinstance(predictor, str | PathLike):
        candidate = find(str(predictor))
    else:
        rule = "a class, or its name as in `peephole evaluate`"
        check_type("predictor", predictor, Callable, rule)  # type: ignore[arg-type]
        candidate = candidate_of(predictor)
    return evaluate_candidate(candidate, frozen, seeds=seeds, release=data)[0]


def search(
    algorithm: str | Path | type,
    *,
    images: str,
    budget: float,
    unit: Unit = "epochs",
    track: Track = "pool",
    repeats: int = REPEATS,
    predictor: str = PREDICTOR,
    shortcuts: bool = False,
    release: Release | Path | str = INSTALLED,
) -> PoolResult | OpenResult:
    """Run a search algorithm many times and return its regret; nothing is trained or written.

    Args:
        algorithm: A class, or an argument of `peephole search`: a registry name,
            "package.module:Class" or "path/to/file.py:Class".
        images: Name of an image set.
        budget: What each search may spend.
        unit: "epochs", or "seconds" as measured in training.
        track: "pool" for the stored test networks, "open" for all that the Markov chain can draw,
            where a surrogate stands for training.
        repeats: Number of searches.
        predictor: Name of the predictor of a guided algorithm.
        shortcuts: Whether the open track also has the skeleton with shortcuts around its blocks.
        release: The data, or its folder; by default that of the installed package.

    Raises:
        FileNotFoundError: If a split is missing from the data, or the file does not exist.
        TypeError: If an argument is of another type.
        ValueError: If a name is unknown, a number out of range, a package is missing, or the
            algorithm raises an exception or breaks a rule.
    """
    check_type("repeats", repeats, Integral, "a whole number")
    if repeats < 1:
        refuse("repeats", repeats, "at least 1")
    check_type("budget", budget, Real, "a number")
    check_type("shortcuts", shortcuts, bool, "True or False")
    TRACKS[track], PREDICTORS[predictor]  # an unknown name is an error
    if shortcuts and track == "pool":
        refuse("shortcuts", shortcuts, "False in the pool track")
    if isinstance(algorithm, str | PathLike):
        found = find_algorithm(str(algorithm), predictor, track)
    else:
        rule = "a class, or its name as in `peephole search`"
        check_type("algorithm", algorithm, type, rule)
        found = describe_algorithm(algorithm, algorithm.__name__, algorithm.__name__, track)
    data, limit = find_release(release), Budget(budget, unit)
    if track == "pool":
        stored = pool_setting(images, limit, data)
        return stored.score(found, search_seeds(stored, found, range(repeats)))
    opened = open_setting(images, limit, shortcuts=shortcuts, release=data)
    return opened.score(found, search_seeds(opened, found, range(repeats)))


def score(
    predictions: str | Path, task: str, *, release: Release | Path | str = INSTALLED
) -> Result:
    """Return the scores of a Parquet file of predictions; nothing in it is executed.

    Args:
        predictions: The file, with columns run_id, epoch, mean and, optionally, std and seed. It
            has one row for each test and held-out run of the task and each epoch after the
            observed ones, or for the last epoch alone.
        task: Name of a frozen task.
        release: The data, or its folder; by default that of the installed package.

    Raises:
        FileNotFoundError: If the file does not exist, or a split is missing from the data.
        TypeError: If an argument is of another type.
        ValueError: If the file breaks a rule; the message names the first violation.
    """
    data = find_release(release)
    check_type("predictions", predictions, (str, PathLike), "the path of a Parquet file")
    return score_predictions(Path(predictions), data.task(task), release=data)[0]
