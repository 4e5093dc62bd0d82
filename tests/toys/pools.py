"""A pool of networks with given curves, as a release."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from benchmark.release import Release
from benchmark.runs import rows_to_table, split_path, write_table
from harness.search.budget import Budget, Unit
from harness.search.pool import Pool, load_pool
from harness.search.session import Algorithm, Session, run_search
from tests.toys.data import EPOCHS, RECIPE, toy_rows

SECONDS = 2.0  # of every epoch


def toy_pool(folder: Path, points: Sequence[dict[int, float]]) -> Pool:
    """Return networks whose accuracy after some epochs is given, and linear in between.

    Each starts with 0 before training; the last given point holds until the end. Networks are
    numbered as `points`.
    """
    rows = [row for row in toy_rows()["test"] if row["seed"] == 0]
    chosen = sorted(rows, key=lambda row: str(row["architecture_id"]))[: len(points)]
    assert len(chosen) == len(points)
    changed = []
    for row, given in zip(chosen, points, strict=True):
        known = {0: 0.0, **given}
        curve = np.interp(np.arange(1, EPOCHS + 1), list(known), list(known.values())).tolist()
        new = {"valid_accuracy": curve, "test_accuracy": curve, "status": "completed"}
        cost = {"epochs_done": EPOCHS, "epoch_seconds": [SECONDS] * EPOCHS}
        changed.append(row | new | cost)
    write_table(rows_to_table(changed), split_path("digits", "test", folder))
    (folder / "recipes.json").write_text(json.dumps({RECIPE.recipe_id: asdict(RECIPE)}))
    return load_pool("digits", Release(folder))


class Spy(Session):
    """A session that notes what was trained, in the pool's order."""

    def __init__(self, pool: Pool, amount: float = 1e6, unit: Unit = "epochs") -> None:
        """Start with a budget, by default one that never ends."""
        super().__init__(pool, np.arange(len(pool)), Budget(amount, unit))
        self.trainings: list[tuple[int, int]] = []

    def train(self, network: int, epochs: int) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
        """Train, and note network and epochs."""
        curve = super().train(network, epochs)
        self.trainings.append((network, epochs))
        return curve


def trainings(algorithm: Algorithm, pool: Pool, amount: float = 1e6) -> list[tuple[int, int]]:
    """Return what an algorithm trained: networks, and the epochs that they then had."""
    session = Spy(pool, amount)
    run_search(algorithm, session, seed=0)
    return session.trainings
