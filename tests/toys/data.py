"""A release that costs nothing: real sampled architectures with made-up curves, as files."""

import functools
import itertools
import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmark.proxies import COLUMNS, PROXIES, SEED, Proxies, proxies_path, proxy_table
from benchmark.publish.freeze import freeze, write_task
from benchmark.recipes import RECIPES, learning_rates
from benchmark.release import Release
from benchmark.runs import rows_to_table, split_path, write_table
from benchmark.schema import Run, Status, run_id
from benchmark.space.imagesets import get_images
from benchmark.space.layer_walk import macs, parameters, walk
from benchmark.space.sampler import Drawn, sequence
from benchmark.space.splits import SPLITS
from benchmark.tasks import Task, make_task
from benchmark.util.rng import generator_for

IMAGES = get_images("digits")
RECIPE = RECIPES["digits"]
EPOCHS = RECIPE.epochs
# Networks of each split that are taken from each skeleton, in draw order
TAKEN = {
    "peephole-3x2": {"train": 18, "validation": 4, "test": 10},
    "wide-3x1": {"train": 6, "validation": 2, "test": 4},
    "deep-3x3": {"heldout": 5},
    "residual-3x2": {"heldout": 5},
}
REPEATED = 3  # networks of each skeleton and split with runs of seeds 1 and 2
SPARE = 2000  # draw index of the network that failed, beyond those taken
DIVERGED = 1  # the second network of each skeleton and split

Row = dict[str, object]
Taken = Mapping[str, Mapping[str, int]]


def toy_release(
    folder: Path, observed: tuple[int, ...] = (0, 1, 5), rows: dict[str, list[Row]] | None = None
) -> Path:
    """Write runs, proxies, recipes and frozen tasks of `digits` into a folder, and return it."""
    rows = rows or toy_rows()
    for split, part in rows.items():
        write_table(rows_to_table(part), split_path("digits", split, folder))
    write_table(toy_proxies(rows), proxies_path("digits", folder))
    recipes = {RECIPE.recipe_id: asdict(RECIPE)}
    (folder / "recipes.json").write_text(json.dumps(recipes))
    for epochs in observed:
        write_task(freeze("digits", epochs, Release(folder)), Release(folder))
    return folder


def toy_proxies(rows: dict[str, list[Row]]) -> pa.Table:
    """Return proxies of every network, drawn from a stream of its own."""
    names = {str(row["architecture_id"]) for part in rows.values() for row in part}
    made = ("made up", "0123456789ab", "0.1.0")  # device, environment and version
    values = {name: generator_for("toy-proxies", name).random(len(PROXIES)) for name in names}
    records = [(name, SEED, 50, *v.tolist(), *made) for name, v in values.items()]
    return proxy_table(Proxies(**dict(zip(COLUMNS, record, strict=True))) for record in records)


@functools.cache
def toy_rows() -> dict[str, list[Row]]:
    """Return the rows of each split that tests use."""
    return make_rows(TAKEN)


def make_rows(taken: Taken) -> dict[str, list[Row]]:
    """Return the rows of each split: all of seed 0, a few of other seeds, and one that failed."""
    rows: dict[str, list[Row]] = {split: [] for split in SPLITS}
    used: set[float] = set()
    for skeleton, wanted in taken.items():
        for split, count in wanted.items():
            drawn = (d for d in sequence(skeleton, IMAGES) if d.split == split)
            for position, draw in enumerate(itertools.islice(drawn, count)):
                seeds = (0, 1, 2) if position < REPEATED else (0,)
                status: Status = "diverged" if position == DIVERGED else "completed"
                rows[split] += [toy_row(draw, seed, status, used) for seed in seeds]
    spare = next(itertools.islice(sequence("shallow-3x1", IMAGES), SPARE, None))
    rows[spare.split].append(toy_row(spare, 0, "failed", used))
    return rows


def toy_row(draw: Drawn, seed: int, status: Status, used: set[float]) -> Row:
    """Return a run whose accuracy rises with MACs and epochs; no value is that of another run.

    One that diverges does so in its second epoch: chance from then on, and null as losses and
    norms.
    """
    walked = walk(draw.architecture, IMAGES)
    rng = generator_for("toy-data", draw.architecture_id, seed)
    final = np.clip(0.2 + 0.12 * np.log(macs(walked) / 2e4) + rng.normal(0, 0.02), 0.15, 0.97)
    curve = final * (1 - 0.8 * np.exp(-np.arange(1, EPOCHS + 1) / 3))
    epochs = 0 if status == "failed" else EPOCHS
    after = 1 if status == "diverged" else EPOCHS

    def noisy(centre: float, spread: float, rest: float | None) -> list[float | None]:
        values = centre * curve / final + rng.normal(0, spread, EPOCHS)
        clipped = np.clip(values, 0.001, 0.999)
        return [_new(v, used) if e < after else rest for e, v in enumerate(clipped)][:epochs]

    def accuracy() -> list[float]:
        return [v for v in noisy(final, 0.005, IMAGES.chance) if v is not None]

    def positive() -> list[float | None]:
        return noisy(0.8, 0.05, None)

    rates = learning_rates(RECIPE)[RECIPE.steps_per_epoch - 1 :: RECIPE.steps_per_epoch]
    tenths = [positive() for _ in range(10)]
    run = Run(
        run_id=run_id("digits", draw.architecture_id, RECIPE.recipe_id, seed),
        architecture_id=draw.architecture_id,
        drawn_architecture_id=draw.drawn_architecture_id,
        draw_index=draw.draw_index,
        paired_architecture_id=draw.paired_architecture_id,
        skeleton=draw.architecture.skeleton,
        architecture=draw.architecture,
        images="digits",
        recipe_id=RECIPE.recipe_id,
        seed=seed,
        parameters=parameters(walked),
        macs=macs(walked),
        status=status,
        status_reason=None if status == "completed" else "made up",
        epochs_planned=EPOCHS,
        epochs_done=0 if status == "failed" else after,
        initial_valid_loss=float(rng.uniform(2, 3)),
        initial_valid_accuracy=_new(rng.uniform(0.05, 0.15), used),
        networks_in_flight=1,
        final_train_accuracy=float(rng.uniform(0.5, 1)),
        device="made up",
        environment_id="0123456789ab",
        generator_version="0.1.0",
        started_at=1_700_000_000,
        learning_rate=rates[:epochs],
        train_loss=positive(),
        train_accuracy=accuracy(),
        valid_loss=positive(),
        valid_accuracy=accuracy(),
        test_loss=positive(),
        test_accuracy=accuracy(),
        gradient_norm=positive(),
        weight_norm=positive(),
        epoch_seconds=rng.uniform(1, 2, epochs).tolist(),
        train_loss_tenths=list(itertools.chain.from_iterable(zip(*tenths, strict=True))),
    )
    return run.to_row()


def _new(value: float, used: set[float]) -> float:
    """Return the next float32 that no run has, so that a value tells where it comes from."""
    found = np.float32(value)
    while float(found) in used:
        found = np.nextafter(found, np.float32(0))
    used.add(float(found))
    return float(found)


def changed_task(task: Task, **changes: object) -> Task:
    """Return a task with other fields, and their digest."""
    old = {f.name: getattr(task, f.name) for f in fields(task) if f.name != "digest"}
    return make_task(**(old | changes))
