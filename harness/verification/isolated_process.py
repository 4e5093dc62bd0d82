"""Runs a submitted predictor in a separate process whose data folder has no test networks.

Covered:

- The process imports a copy of `benchmark` and `harness` in a temporary folder. Its data folder
  holds train and validation runs only, and there are no results beside it.
- It receives the runs to fit on and the queries, never the targets.
- It does not get the caller's environment variables; its working, home and temporary folder is new.
- It is killed when its time is over.
- Its predictions are read as plain arrays and JSON, never as Python objects, and are checked here.

Not covered:

- The process has the rights of the user who runs it: it can read and change other files, and so
  find another copy of the data on the disk.
- It can use the network.
- Its memory and disk space are not limited, and processes that it starts may outlive it.

This is not a sandbox. It keeps honest code honest, and shows that the predictions need only what
predictors receive. Run code that you do not trust in a container.
"""

import json
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmark.release import Release
from benchmark.runs import correct_path, split_path
from benchmark.space.imagesets import IMAGES
from benchmark.util.processes import ONE_THREAD
from benchmark.util.strict_json import read_record
from harness.protocol import Prediction, Queries, Runs
from harness.results.result import Seconds
from harness.running.find_predictor import find
from harness.running.fit_predict import TimedPrediction, check_prediction, fit_predict
from harness.task_data import TaskData

VISIBLE_SPLITS = ("train", "validation")  # splits whose full curves a predictor may see
INPUT, PREDICTIONS, COUNTS, ERRORS = "input.pickle", "predictions.npz", "counts.json", "errors.txt"


@dataclass(frozen=True, slots=True)
class Code:
    """A predictor and its files.

    Attributes:
        predictor: Argument of `harness.running.find_predictor.find`; a path in it is relative to
            the folder with the files.
        files: Files to copy there; none for code of an installed package.
    """

    predictor: str
    files: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class ProcessInput:
    """What the process receives: runs to fit on, queries and seeds, but no targets."""

    predictor: str
    train: Runs
    validation: Runs
    queries: Queries
    seeds: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Counts:
    """The counts that a predictor reported, for each seed."""

    counts: tuple[Mapping[str, int], ...]


def predict_in_isolation(
    code: Code, data: TaskData, seeds: tuple[int, ...], *, minutes: float, release: Release
) -> list[TimedPrediction]:
    """Fit a predictor with each seed in an isolated process, and return its predictions.

    The process does not get the targets of `data`, and is killed after some `minutes`. Seconds are
    not measured; they are 0.

    Raises:
        ValueError: If the code fails, takes too long, or its predictions break the protocol.
        OSError: If a file cannot be written.
    """
    with TemporaryDirectory(prefix="peephole-rerun-") as name:
        home = Path(name)
        copy_tree(home / "tree", release.folder)
        work = home / "work"
        work.mkdir()
        for path in code.files:
            shutil.copy(path, work)
        inputs = ProcessInput(code.predictor, data.train, data.validation, data.queries, seeds)
        (home / INPUT).write_bytes(pickle.dumps(inputs))
        _run_process(home, minutes)
        return _read_predictions(home, data.queries, seeds)


def copy_tree(tree: Path, data: Path) -> None:
    """Copy the code that predictors may import and the data that they may read."""
    here = Path(__file__).parents[2]
    for package in ("benchmark", "harness"):
        ignored = shutil.ignore_patterns("data", "__pycache__")
        shutil.copytree(here / package, tree / package, ignore=ignored)
    shutil.copy(here / "peephole.py", tree / "peephole.py")
    sources = [data / "recipes.json", data / "environments.json"]
    sources += (data / "tasks").glob("*.json")  # run ids, no measurements
    for images in IMAGES:
        sources.append(data / "images" / f"{images}.json")
        for split in VISIBLE_SPLITS:
            sources += [split_path(images, split, data), correct_path(images, split, data)]
    for source in sources:
        if source.is_file():  # a release may lack it
            target = tree / "benchmark" / "data" / source.relative_to(data)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)


def _run_process(home: Path, minutes: float) -> None:
    """Run the process and wait until it ends; it must succeed within the time limit."""
    work = home / "work"
    variables = {"PATH": os.defpath, "PYTHONPATH": str(home / "tree"), "PYTHONSAFEPATH": "1"}
    variables |= ONE_THREAD | {"HOME": str(work), "TMPDIR": str(work), "LANG": "C.UTF-8"}
    command = [sys.executable, "-m", "harness.verification.isolated_process", str(home)]
    with (home / ERRORS).open("wb") as errors:
        try:
            done = subprocess.run(
                command,
                cwd=work,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                timeout=60 * minutes,
            )
        except subprocess.TimeoutExpired as error:
            raise ValueError(f"the predictor must finish within {minutes:g} minutes") from error
    if done.returncode:
        lines = (home / ERRORS).read_text(errors="replace").strip().splitlines()
        why = lines[-1] if lines else f"exit code {done.returncode}"
        raise ValueError(f"the predictor failed with only train and validation data: {why}")


def _read_predictions(
    home: Path, queries: Queries, seeds: tuple[int, ...]
) -> list[TimedPrediction]:
    """Read and check what the process wrote, which can be anything."""
    counts = read_record(home / COUNTS, Counts).counts
    try:
        with np.load(home / PREDICTIONS, allow_pickle=False) as arrays:
            values = {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"the predictions cannot be read: {error}") from error
    timed = []
    for index, seed in enumerate(seeds):
        if f"mean_{seed}" not in values or f"epochs_{seed}" not in values or index >= len(counts):
            raise ValueError(f"there is no prediction with seed {seed}")
        epochs = tuple(int(epoch) for epoch in values[f"epochs_{seed}"].ravel())
        prediction = Prediction(values[f"mean_{seed}"], epochs, values.get(f"std_{seed}"))
        checked = check_prediction(prediction, queries)
        timed.append(TimedPrediction(checked, Seconds(0.0, 0.0), counts[index]))
    return timed


def predict_in_folder(home: Path) -> None:
    """Read the input in a folder, predict, and write the predictions there, in the process."""
    inputs = pickle.loads((home / INPUT).read_bytes())
    make = find(inputs.predictor).make
    arrays = {}
    counts = []
    for seed in inputs.seeds:
        timed = fit_predict(make, inputs, seed)
        prediction = timed.prediction
        arrays[f"mean_{seed}"] = prediction.mean
        arrays[f"epochs_{seed}"] = np.array(prediction.epochs)
        if prediction.std is not None:
            arrays[f"std_{seed}"] = prediction.std
        counts.append(dict(timed.counts))
    np.savez(home / PREDICTIONS, allow_pickle=False, **arrays)
    (home / COUNTS).write_text(json.dumps({"counts": counts}))


if __name__ == "__main__":
    predict_in_folder(Path(sys.argv[1]))
