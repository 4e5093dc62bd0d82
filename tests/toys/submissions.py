"""Submissions on the toy release: predictions of the targets plus noise, and a small class."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmark.release import Release
from benchmark.tasks import Task
from harness.protocol import Prediction
from harness.results.predictions import predictions_table, round_prediction, seeds_table
from harness.results.result import Result
from harness.running.drafts import make_submission_files
from harness.running.evaluate_many import Setting
from harness.task_data import load_targets
from harness.verification.submit import submit_files

TASK = "digits-k1-v1"
CODE = '''
"""A submitted predictor."""
import numpy as np

from harness.protocol import Prediction


class Sizes:
    """A two hundredth of the number of layers."""

    counts = {}

    def fit(self, train, validation, *, observed, seed):
        self.runs = len(train)

    def predict(self, queries):
        sizes = np.array([float(len(rows)) for rows in queries.layer_rows])
        return Prediction(sizes[:, None] / 200, (queries.recipe.epochs,))
'''


def toy_task(folder: Path, name: str = TASK) -> Task:
    """Return a task of the toy release."""
    return Release(folder).task(name)


def toy_predictions(folder: Path, task: Task, seeds: int = 1) -> pa.Table:
    """Return the targets of later epochs plus noise of each seed, as the rows of a file."""
    targets = load_targets(task, Release(folder)).valid_accuracy
    later = targets.curves[:, task.observed :]
    tables = []
    for seed in range(seeds):
        noise = np.random.default_rng(seed).normal(0, 0.1, later.shape)
        epochs = range(task.observed + 1, task.epochs + 1)
        mean, std = (later + noise).clip(0, 1), np.full(later.shape, 0.1)
        given = round_prediction(Prediction(mean, tuple(epochs), std))
        tables.append(predictions_table(targets.run_ids, epochs, given.mean, given.std))
    return seeds_table(range(seeds), tables)


def submit_predictions(folder: Path, place: Path, *, name: str = "ours", seeds: int = 1) -> Result:
    """Submit predictions of one task into `place/results`, and return the result."""
    path = place / f"{name}-draft.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(toy_predictions(folder, toy_task(folder), seeds), path)
    fields = {"name": name, "title": "Ours", "authors": "Us", "tasks": (TASK,), "seeds": seeds}
    (result,) = submit_files(
        make_submission_files(str(path), fields), Setting(place / "results", Release(folder))
    )
    path.unlink()
    return result
