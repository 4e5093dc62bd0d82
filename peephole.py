"""How well can the performance of a neural network be predicted before or early in its training?

This module is what users import. A name is loaded when it is first used; torch is loaded only by
predictors that need it.

    >>> import peephole
    >>> runs = peephole.load_runs("cifar10", "train")
    >>> peephole.series(runs, "valid_accuracy").shape[1]  # (runs, epochs)
    20

Units and conventions: accuracies are fractions in [0, 1]; losses are means in nats; times are in
seconds. Entry e of a series is the value after epoch e + 1. k is the number of observed epochs.
An unknown name is a `ValueError` that gives the nearest known one; an argument of another type is a
`TypeError`; a missing file is a `FileNotFoundError`.

The data:
    load_runs(images, split, *, columns=None, release=...): One row per run, as a `pyarrow.Table`.
        Splits are "train", "validation", "test" and "heldout". The metadata of each field of the
        schema give its unit, range and meaning.
    series(table, name): A list column as a float64 array, (runs, entries); null is NaN.
    layer_rows(architecture, images): Every layer of the network of a row, as a tuple of `LayerRow`:
        kind, kernel, stride, channels, resolution, role, inputs, `parameters` and `macs`.
    Release(folder): A copy of the data. Its methods `runs`, `proxies`, `task_names`, `task`,
        `task_rows` and `manifest` read it; functions take it, or the folder, as `release=`.

Stored runs with the cost of training them, for search algorithms; nothing is trained:
    query(network, *, images, epochs, seed, release=...): What is known of a network after some
        epochs: `valid_accuracy`, `valid_loss`, `train_loss` and `diverged`; `cost_epochs` and
        `cost_seconds`, measured on `device`; after the last epoch also `test_accuracy`. The first
        digits of a network's id will do. Image set, epochs and seed have no default.
    trajectory(network, *, images, epochs, seed, release=...): A tuple of the same after each epoch.
    Ledger(*, images, seed, max_epochs=None, max_seconds=None, release=...): Adds up `epochs` and
        `seconds`. Its `query(network, *, epochs, restart=False)` costs only the epochs not paid
        yet, and gives no test accuracy. `networks` are the ids that it can be asked for. A query
        beyond a limit is a `BudgetError`, a `ValueError`, and costs nothing.
    search(algorithm, *, images, budget, unit="epochs", track="pool", repeats=50, ...): Runs a
        search algorithm (a class, or a name) many times and returns its result: `regret` at twenty
        budgets, its mean `area`, `choices`, and more.

The tasks:
    load_task(name, *, release=...): The data of a frozen task, as "cifar10-k3-v1": `task`, `train`
        and `validation` (`Runs`), `queries` (`Queries`: test and held-out networks), `targets`, and
        `run_ids` of the queries.
    evaluate(predictor, task, *, seeds=5, release=...): Fits a predictor (a class, or a name of
        `PREDICTORS`) and returns its `Result`. A predictor that raises gives a result with `status`
        "failed" and the reason in `failure`.
    score(predictions, task, *, release=...): The `Result` of a Parquet file of predictions with
        columns run_id, epoch, mean and, optionally, std and seed. Nothing in it is executed.
    METRICS: The metrics by name, with direction, range, formula and behaviour on ties.
    PREDICTORS: The reference predictors by name.

A predictor is a class with two methods (`Predictor`); it inherits nothing:
    fit(train: Runs, validation: Runs, *, observed: int, seed: int) -> None
    predict(queries: Queries) -> Prediction

    Runs: Finished runs: `layer_rows`, `architectures`, `proxies` (networks, 8), `recipe`, and
        `series`, whose arrays are (networks, epochs), among them `valid_accuracy`.
    Queries: The same of networks whose accuracy is asked for; series have k epochs.
    Prediction(mean, epochs, std=None): `mean` is (networks, len(epochs)), `std` has its shape.

A result holds, in `scores[stratum][metric]`, a `value`, its 95 % interval (`low`, `high`) and the
standard deviation over seeds (`seed_std`). Strata are "test", "heldout" and others; metrics are the
keys of `METRICS`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmark.query import BudgetError, Ledger, query, trajectory
    from benchmark.release import Release, load_runs
    from benchmark.runs import series
    from benchmark.space.layer_walk import layer_rows
    from harness.api import evaluate, load_task, score, search
    from harness.metrics.registry import METRICS
    from harness.predictors.registry import PREDICTORS
    from harness.protocol import Prediction, Predictor, Queries, Runs

__version__ = "0.1.0"
__all__ = [
    "METRICS", "PREDICTORS", "BudgetError", "Ledger", "Prediction", "Predictor", "Queries",
    "Release", "Runs", "evaluate", "layer_rows", "load_runs", "load_task", "query", "score",
    "search", "series", "trajectory",
]  # fmt: skip
_MODULES = {
    "benchmark.query": ("BudgetError", "Ledger", "query", "trajectory"),
    "benchmark.release": ("Release", "load_runs"),
    "benchmark.runs": ("series",),
    "benchmark.space.layer_walk": ("layer_rows",),
    "harness.api": ("evaluate", "load_task", "score", "search"),
    "harness.metrics.registry": ("METRICS",),
    "harness.predictors.registry": ("PREDICTORS",),
    "harness.protocol": ("Prediction", "Predictor", "Queries", "Runs"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    """Load a public name when it is first used."""
    from importlib import import_module

    if name not in _MODULE_OF:
        raise AttributeError(f"module 'peephole' has no attribute {name!r}; it has {__all__}")
    _check_packages("benchmark", "harness")
    found = getattr(import_module(_MODULE_OF[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted([*__all__, "__version__"])


def _check_packages(*names: str) -> None:
    """Check that the packages that would be imported are ours; import none.

    Their names are common ones. A folder or module of such a name may be found first, or another
    distribution may have replaced the empty `__init__.py`. Ours are beside this file, or beside the
    same file in a checkout that is installed with `pip install -e`.

    Raises:
        ImportError: If a package is another one.
    """
    from importlib.util import find_spec
    from pathlib import Path

    for name in names:
        own = Path(__file__).resolve().parent / name / "__init__.py"
        spec = find_spec(name)
        found = own if spec is None or spec.origin is None else Path(spec.origin).resolve()
        front_door = found.parent.parent / Path(__file__).name
        if found.name == own.name and front_door.is_file():
            own = found
        if found != own:
            raise ImportError(
                f"package {name!r} of peephole-bench is hidden by {str(found)!r}; rename that, run "
                "from another folder, or install peephole-bench into an environment of its own"
            )
        if not own.exists() or own.stat().st_size:
            from importlib.metadata import packages_distributions

            others = {*packages_distributions().get(name, ())} - {"peephole-bench"}
            whose = " and ".join(sorted(others)) or "another package"
            raise ImportError(
                f"package {name!r} of peephole-bench was changed by {whose}: {str(own)!r} must be "
                "an empty file; install peephole-bench again, into an environment of its own"
            )


def main() -> None:
    """Run the command `peephole`."""
    import sys

    try:
        _check_packages("benchmark", "generators", "harness", "leaderboard")
    except ImportError as error:
        sys.stderr.write(f"peephole: error: {error}\n")
        sys.exit(2)
    try:
        from peephole_command import peephole
    except KeyboardInterrupt:
        sys.exit("Aborted!")  # as click says it later

    peephole(prog_name="peephole")


if __name__ == "__main__":
    main()
