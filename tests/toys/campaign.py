"""Tiny networks on `digits` that train in 0.1 seconds, and campaigns of them.

Module-level functions stand in for training where a worker process must find them by name.
"""

import base64
import hashlib
import itertools
import os
import shutil
import time
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmark.recipes import RECIPES
from benchmark.runs import read_table, rows_to_table, split_path, write_table
from benchmark.space.architectures import Architecture, Block, Layer, architecture_id
from benchmark.space.imagesets import get_images
from benchmark.space.sampler import Drawn
from benchmark.space.splits import split_of
from benchmark.util.rng import generator_for
from generators.campaign.campaign import Campaign
from generators.campaign.merge import merge
from generators.campaign.plan import plan_run
from generators.environment import environment
from generators.training.train import Curves
from generators.workers.planned_run import Job, PlannedRun
from generators.workers.run_options import RunOptions
from generators.workers.worker import row_of

Row = dict[str, object]

RECIPE = replace(RECIPES["digits"], epochs=2, peak_rate=0.1)
STEPS = RECIPE.steps_per_epoch
STAGES = {"shallow-3x1": 3, "stages-4x1": 4}
TIMES = ("epoch_seconds", "started_at")  # fields that differ between two trainings of one run


def tiny_architecture(
    skeleton: str = "shallow-3x1", kernel: tuple[int, int] = (3, 3), channels: int = 8
) -> Architecture:
    """Return a network of a few small convolutions with normalisation, one block per stage."""
    stages = STAGES[skeleton]
    rest = _block((2, 1), 8)
    return Architecture(skeleton, (8,) * stages, (_block(kernel, channels), *[rest] * (stages - 1)))


def _block(kernel: tuple[int, int], channels: int) -> Block:
    return Block(
        (
            Layer("conv", *kernel, channels),
            Layer("bn", 1, 1, channels),
            Layer("relu", 1, 1, channels),
        )
    )


def tiny_plan(networks: int, *, skeleton: str = "shallow-3x1", seed: int = 0) -> list[PlannedRun]:
    """Return runs of different tiny networks, in any splits."""
    kernels = itertools.product((8, 16, 24), range(1, 6), range(1, 6))
    runs = []
    for index, (channels, *kernel) in enumerate(itertools.islice(kernels, networks)):
        architecture = tiny_architecture(skeleton, (kernel[0], kernel[1]), channels)
        identity = architecture_id(architecture)
        split = split_of(skeleton, identity)
        drawn = Drawn(architecture, identity, identity, index, split, None, 1)
        runs.append(plan_run(drawn, get_images("digits"), RECIPE, seed))
    return runs


def release_plan() -> list[PlannedRun]:
    """Return runs in all four splits, some with a second seed."""
    seen, room = [], {"train": 12, "validation": 3, "test": 8}
    for run in tiny_plan(75):
        if room[run.split] > 0:
            room[run.split] -= 1
            seen.append(run)
    assert not any(room.values())
    return [*seen, *tiny_plan(4, skeleton="stages-4x1"), *tiny_plan(3, seed=1)]


def toy_row(run: PlannedRun, *, status: str = "completed") -> Row:
    """Return the row of a run with random curves, from a stream keyed by the run."""
    images = get_images(run.images)
    rng = generator_for("toy", run.run_id)
    right = rng.random(images.valid + images.test) < rng.uniform(0.3, 0.9)
    right[: images.valid // 10] = True
    final = float(right[: images.valid].mean()), float(right[images.valid :].mean())
    curves = Curves(
        status,
        epochs_done=RECIPE.epochs,
        initial_valid_loss=2.3,
        initial_valid_accuracy=0.1,
        learning_rate=[0.02, 0.001],
        train_loss=[float(x) for x in rng.random(2)],
        train_accuracy=[0.25, 0.5],
        valid_loss=[float(x) for x in rng.random(2)],
        valid_accuracy=[0.2, final[0]],
        test_loss=[float(x) for x in rng.random(2)],
        test_accuracy=[0.2, final[1]],
        gradient_norm=[1.5, 0.5],
        weight_norm=[10.0, 11.0],
        epoch_seconds=[0.25, 0.25],
        train_loss_tenths=[float(x) for x in rng.random(20)],
        final_train_accuracy=0.75,
        correct=right,
    )
    if status == "diverged":
        _diverge(curves)
    return row_of(job_of(run), curves, 1_700_000_000)


def _diverge(curves: Curves) -> None:
    """Make curves diverge in the second epoch."""
    curves.status_reason, curves.epochs_done = "a loss or norm was not finite in epoch 2", 1
    for lost in (curves.train_loss, curves.valid_loss, curves.test_loss):
        lost[1] = None
    curves.gradient_norm[1] = curves.weight_norm[1] = None
    for accuracy in (curves.train_accuracy, curves.valid_accuracy, curves.test_accuracy):
        accuracy[1] = 0.1
    curves.train_loss_tenths[10:] = [None] * 10
    assert curves.correct is not None
    curves.correct[:] = False


def job_of(run: PlannedRun) -> Job:
    """Return the job of a run."""
    return Job(run, RECIPE, Path("images"), "cpu", 1)


def toy_campaign(folder: Path, runs: list[PlannedRun], rows: list[Row] | None = None) -> Campaign:
    """Return a campaign on disk, with some finished runs."""
    campaign = Campaign(folder)
    campaign.create(runs, {RECIPE.recipe_id: RECIPE})
    campaign.note_environment(environment())
    for row in rows or []:
        campaign.store(row)
    return campaign


def toy_release(folder: Path) -> Path:
    """Make a release of `release_plan` in which one network diverged; return its folder."""
    plan = release_plan()
    rows = [toy_row(plan[0], status="diverged"), *map(toy_row, plan[1:])]
    merge([toy_campaign(folder / "campaign", plan, rows)], folder / "data", "1.2.3")
    shutil.rmtree(folder / "campaign")
    return folder / "data"


def published_rows(path: Path) -> list[Row]:
    """Return the rows of a release's file in the form of run files."""
    rows: list[Row] = read_table(path).to_pylist()
    times = read_table(path).column("started_at").cast(pa.timestamp("s", tz="UTC")).cast(pa.int64())
    return [{**row, "started_at": s} for row, s in zip(rows, times.to_pylist(), strict=True)]


def edit(folder: Path, split: str, index: int, **fields: object) -> str:
    """Change fields of one row of a release's file; return its run id."""
    path = split_path("digits", split, folder)
    rows = published_rows(path)
    rows[index] |= fields
    write_table(rows_to_table(rows), path)
    return str(rows[index]["run_id"])


def sign(folder: Path) -> None:
    """Write the checksums of a folder's files, as if to cover up an edit."""
    files = visible_files(folder)
    files.pop("SHA256SUMS", None)
    digests = [(hashlib.sha256(content).hexdigest(), name) for name, content in files.items()]
    text = "".join(f"{digest}  {name}\n" for digest, name in digests)
    (folder / "SHA256SUMS").write_text(text)


def visible_files(folder: Path) -> dict[str, bytes]:
    """Return the content of every file of a folder that is not hidden, by name."""
    names = ((path.relative_to(folder), path) for path in sorted(folder.rglob("*")))
    return {
        name.as_posix(): path.read_bytes()
        for name, path in names
        if path.is_file() and not any(part.startswith(".") for part in name.parts)
    }


def without_times(row: Row) -> Row:
    """Return a row without the fields that differ between two trainings of one run."""
    return {name: value for name, value in row.items() if name not in TIMES}


def bits(row: Row) -> "np.ndarray[tuple[int], np.dtype[np.uint8]]":
    """Return the bits of a run file's row: one per valid and test image, then padding."""
    return np.unpackbits(np.frombuffer(base64.b64decode(str(row["correct"])), np.uint8))


def die(job: Job) -> Row:
    """Stand in for a training whose process dies."""
    os._exit(1)


def die_on_the_first(job: Job) -> Row:
    """Stand in for trainings; that of the network with index 0 kills its process."""
    if job.run.draw_index == 0:
        os._exit(1)
    return toy_row(job.run)


def sleep(job: Job) -> Row:
    """Stand in for a long training; it writes the id of its process."""
    draft = job.folder / "draft"
    draft.write_text(str(os.getpid()))
    draft.rename(job.folder / "id")
    time.sleep(600)
    return toy_row(job.run)


def die_once(job: Job) -> Row:
    """Stand in for a training whose process dies at the first try, which a file marks."""
    mark = job.folder / f"{job.run.run_id}.died"
    if not mark.exists():
        mark.touch()
        os._exit(1)
    return toy_row(job.run)


def options_of(**fields: object) -> RunOptions:
    """Return options for a toy campaign, by default with one worker."""
    return replace(RunOptions(Path("images"), workers=1), **fields)  # type: ignore[arg-type]


class ToyPool(ThreadPoolExecutor):
    """A pool that makes up rows at once, and whose worker dies with the run of one index."""

    def __init__(self, deadly: int | None, seen: list[int] | None = None) -> None:
        """Take the index, None for none, and a list that receives the index of every run."""
        super().__init__(1)
        self.deadly, self.seen = deadly, [] if seen is None else seen

    def submit(self, _: object, job: Job) -> Future[object]:  # type: ignore[override]
        """Return the row of a job at once."""
        future: Future[object] = Future()
        self.seen.append(job.run.draw_index)
        if job.run.draw_index == self.deadly:
            future.set_exception(BrokenProcessPool())
        else:
            future.set_result(toy_row(job.run))
        return future
