"""Prints what the reference predictors cost on one task of 1,000 + 1,200 networks.

Run as `python -m tests.speed.predictors [--observed 3] [PREDICTOR ...]` from the root of the source
tree. Architectures are real, curves made up: seconds mean something, scores do not.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from benchmark.release import Release
from harness.predictors.registry import PREDICTORS, has_weights
from harness.results.result import Result
from harness.running.evaluate_many import Setting, evaluate_many
from tests.toys.data import make_rows, toy_release

# The size of the largest task that is planned
TAKEN = {
    "peephole-3x2": {"train": 700, "validation": 140, "test": 560},
    "shallow-3x1": {"train": 150, "validation": 30, "test": 120},
    "wide-3x1": {"train": 150, "validation": 30, "test": 120},
    "deep-3x3": {"heldout": 100},
    "stages-4x1": {"heldout": 100},
    "strided-3x2": {"heldout": 100},
    "residual-3x2": {"heldout": 100},
}


def main() -> None:
    """Evaluate, and print a line for each predictor."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("predictors", nargs="*", default=[*filter(has_weights, PREDICTORS)])
    parser.add_argument("--observed", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = toy_release(Path(place) / "data", (arguments.observed,), make_rows(TAKEN))
        task = f"digits-k{arguments.observed}-v1"
        setting = Setting(Path(place) / "results", Release(folder), processes=arguments.processes)
        sizes = {part: len(ids) for part, ids in Release(folder).task(task).parts.items()}
        sys.stdout.write(f"{task}: {sizes}\n")
        started = time.perf_counter()
        results = evaluate_many(arguments.predictors, [task], setting)
        took = time.perf_counter() - started
    for result in results:
        sys.stdout.write(line(result) + "\n")
    sys.stdout.write(f"all of them: {took:.0f} s in {arguments.processes} processes\n")


def line(result: Result) -> str:
    """Return what one predictor took, for one seed."""
    if result.seconds is None:
        return f"{result.predictor:20} {result.status}: {result.failure}"
    fit, predict = result.seconds.fit, result.seconds.predict
    seeds = f"{len(result.seeds)} seeds" if len(result.seeds) > 1 else "1 seed"
    return f"{result.predictor:20} {seeds:8} fit {fit:7.1f} s   predict {predict:6.2f} s"


if __name__ == "__main__":
    main()
