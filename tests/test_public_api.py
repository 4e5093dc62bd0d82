"""What `import peephole` offers: its names and signatures, what it loads, and its three uses."""

import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import peephole
from tests.toys.data import toy_release

GOLDEN = Path(__file__).with_name("public_api.txt")


class Constant:
    """Predicts the mean final accuracy of the training runs."""

    def fit(
        self, train: peephole.Runs, validation: peephole.Runs, *, observed: int, seed: int
    ) -> None:
        self._mean = train.final_accuracy.mean()

    def predict(self, queries: peephole.Queries) -> peephole.Prediction:
        mean = np.full((len(queries), 1), self._mean)
        return peephole.Prediction(mean, (queries.recipe.epochs,))


def public_members(found: type) -> list[str]:
    """Return the public attributes and methods of a class, with the signatures of the methods."""
    members = [
        f"    {name}{signature(value) if inspect.isfunction(value) else ''}"
        for name, value in sorted(vars(found).items())
        if not name.startswith("_")
    ]
    return members


def signature(found: Callable[..., object]) -> str:
    """Return names, kinds and defaults; types are mypy's to hold."""
    given = inspect.signature(found)
    empty = inspect.Parameter.empty
    parameters = [p.replace(annotation=empty) for p in given.parameters.values()]
    return str(given.replace(parameters=parameters, return_annotation=empty))


def describe() -> str:
    """Return the public names, with the signatures of what can be called."""
    lines = []
    for name in peephole.__all__:
        found = getattr(peephole, name)
        if isinstance(found, type) and issubclass(found, Exception):
            lines.append(f"{name}: {found.__bases__[0].__name__}")
        elif isinstance(found, type):
            lines += [f"{name}{signature(found)}", *public_members(found)]
        elif callable(found):
            lines.append(f"{name}{signature(found)}")
        else:
            lines += [name, *(f"    {key}" for key in found)]
    return "\n".join(lines).replace(str(Path(peephole.__file__).parent), "...") + "\n"


def test_the_public_names_and_signatures_are_those_agreed() -> None:
    """After a deliberate change: `python -m tests.test_public_api` writes the file again."""
    assert describe() == GOLDEN.read_text()


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(AttributeError, match=r"^module 'peephole' has no attribute 'load_run'; it"):
        _ = peephole.load_run


def test_importing_it_loads_no_numpy_and_using_it_no_torch() -> None:
    code = (
        "import sys, peephole; print('numpy' in sys.modules);"
        "[getattr(peephole, name) for name in peephole.__all__];"
        "print({'torch', 'sklearn', 'torchvision', 'datasets'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["False", "set()"]


def test_a_class_is_evaluated_and_its_predictions_scored(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    release = peephole.Release(toy_release(tmp_path))
    name = release.task_names()[0]
    data = peephole.load_task(name, release=release)
    result = peephole.evaluate(Constant, name, seeds=1, release=release)
    assert (result.predictor, result.status, result.task) == ("constant", "scored", name)
    mean = [data.train.final_accuracy.mean()] * len(data.run_ids)
    epochs = [data.task.epochs] * len(mean)
    table = pa.table({"run_id": data.run_ids, "epoch": epochs, "mean": mean})
    pq.write_table(table, tmp_path / "constant.parquet")
    scored = peephole.score(tmp_path / "constant.parquet", name, release=release)
    assert scored.scores == result.scores


def test_the_layers_of_a_run_cost_what_its_row_says() -> None:
    row = peephole.load_runs("digits", "train").slice(0, 1).to_pylist()[0]
    layers = peephole.layer_rows(row["architecture"], "digits")
    assert sum(layer.macs for layer in layers) == row["macs"]
    assert sum(layer.parameters for layer in layers) == row["parameters"]


if __name__ == "__main__":
    GOLDEN.write_text(describe())
