"""Shows a predictor on a task in the terminal: its scores and its predictions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmark.release import INSTALLED, Release
from benchmark.util.strict_json import encode
from benchmark.util.text import quantity
from harness.predictors.registry import PREDICTORS
from harness.results.folder import find_result
from harness.results.predictions import matrix, mean_table
from harness.results.result import Result
from harness.results.store import read_with_predictions
from harness.scoring.score_rules import STRATA
from harness.scoring.scores import number_text, score_text
from harness.scoring.targets import SCORED_SPLITS, Targets
from harness.task_data import load_targets
from leaderboard.show.chart import Array, density

GRID = (32, 12)  # columns and rows of a density plot in the terminal
WIDTH = GRID[0] + 6  # columns of a density plot with its axis


@dataclass(frozen=True, slots=True, eq=False)
class ShownPredictor:
    """The result and the predictions of a predictor on a task.

    Attributes:
        result: Result with the scores.
        targets: True curves of the task's test and held-out networks.
        predicted: Predicted final accuracies (networks,), in the order of the targets.
    """

    result: Result
    targets: Targets
    predicted: Array

    def of(self, group: str) -> tuple[Array, Array]:
        """Return predicted and true final accuracies of a split or a skeleton."""
        names = self.targets.splits if group in SCORED_SPLITS else self.targets.skeletons
        chosen = np.array([name == group for name in names])
        return self.predicted[chosen], self.targets.curves[chosen, -1]


def load_predictor(
    name: str, task_name: str, results: Sequence[Path], release: Release = INSTALLED
) -> ShownPredictor:
    """Read the result and the predictions of a predictor from the first folder that has them.

    Raises:
        ValueError: If the task is unknown, or the predictor failed on it.
        FileNotFoundError: If the result or its predictions are missing; the message suggests the
            nearest name.
    """
    task = release.task(task_name)
    result, predictions = read_with_predictions(find_result(results, task.name, name))
    if predictions is None:
        reason = str(result.failure).splitlines()[0]
        raise ValueError(f"predictor {name!r} failed on {task.name}: {reason}")
    targets = load_targets(task, release).valid_accuracy
    mean = matrix(mean_table(predictions), "mean", targets.run_ids)[:, -1]
    return ShownPredictor(result, targets, mean)


def predictor_record(shown: ShownPredictor) -> dict[str, object]:
    """Return a predictor as an object of JSON: its result, and what it predicts for each run."""
    targets = shown.targets
    true = targets.curves[:, -1].tolist()
    rows = (targets.run_ids, targets.splits, targets.skeletons, shown.predicted.tolist(), true)
    keys = ("run_id", "split", "skeleton", "predicted", "true")
    networks = [dict(zip(keys, row, strict=True)) for row in zip(*rows, strict=True)]
    return {"result": encode(shown.result), "networks": networks}


def predictor_lines(shown: ShownPredictor) -> Iterator[str]:
    """Yield the lines that show a predictor, its scores and predictions, in 80 columns."""
    result = shown.result
    yield f"{result.predictor}: {result.title}"
    entry = PREDICTORS.get(result.predictor)
    if entry is not None:
        inputs = "uses the observed curve" if entry.uses_curve else "uses the network only"
        yield f"source: {entry.source}; {inputs}; {entry.target}"
    seeds, observed = quantity(len(result.seeds), "seed"), quantity(result.observed, "epoch")
    duration = "" if result.seconds is None else f"; fitted in {result.seconds.fit:.1f} s"
    yield f"task {result.task}: {observed} observed; {seeds}{duration}"
    yield ""
    yield f"{'':28}{'networks':>8}  {'tau [95 %]':>22} {'R2':>7} {'MSE':>9}"
    for stratum in STRATA:
        if stratum in result.scores:
            yield _stratum(shown, stratum)
    yield ""
    yield "true (y-axis) against predicted final accuracy; darker: more networks"
    heads = [f"{split}, {quantity(len(shown.of(split)[0]), 'network')}" for split in SCORED_SPLITS]
    yield f"{heads[0]:^{WIDTH}}  {heads[1]:^{WIDTH}}".rstrip()
    drawn = [density(*shown.of(split), *GRID) for split in SCORED_SPLITS]
    for one, other in zip(*drawn, strict=True):
        yield f"{one:{WIDTH}}  {other}".rstrip()


def _stratum(shown: ShownPredictor, stratum: str) -> str:
    metrics = shown.result.scores[stratum]
    name = stratum.removeprefix("skeleton/")
    count = len(shown.of(name)[0])
    tau, r2, mse = (metrics.get(key) for key in ("tau", "r2", "mse"))
    indent = "  " if stratum.startswith("skeleton/") else ""
    start = f"{indent + name:28}{count or '':>8}"
    numbers = f"{score_text(tau, 3):>22} {number_text(r2, 3):>7} {number_text(mse, 5):>9}"
    return f"{start}  {numbers}"
