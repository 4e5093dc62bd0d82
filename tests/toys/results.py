"""Results of artificial predictions of artificial curves, scored and written like real ones."""

import functools
import hashlib
import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmark.space.imagesets import get_images
from benchmark.space.layer_walk import walk
from benchmark.space.sampler import sequence
from benchmark.space.skeletons import SKELETONS
from harness.metrics.registry import ORDER
from harness.protocol import Array
from harness.results.ceiling import Ceiling, write_ceiling
from harness.results.predictions import predictions_table
from harness.results.result import (
    HARNESS_VERSION,
    SCHEMA_VERSION,
    Environment,
    Result,
    Seconds,
    pack_resamples,
)
from harness.results.store import DIGITS, write_result
from harness.scoring.scores import Score, Scores, SeedScore, flags, score_prediction
from harness.scoring.strata import strata, tabulate
from harness.scoring.targets import Targets
from leaderboard.networks import TaskNetworks

EPOCHS = 6
PER_SKELETON = 12
TOY_SKELETONS = ("peephole-3x2", "wide-3x1", "deep-3x3")
NETWORKS = {"train": 30, "validation": 6, "test": 2 * PER_SKELETON, "heldout": PER_SKELETON}


@functools.cache
def toy_networks(seed: int = 0) -> TaskNetworks:
    """Return sampled architectures, one skeleton of them held out, with artificial curves."""
    images = get_images("digits")
    drawn = [
        draw
        for name in TOY_SKELETONS
        for draw in itertools.islice(sequence(name, images), PER_SKELETON)
    ]
    rng = np.random.default_rng(seed)
    final = 0.3 + 0.6 * rng.random(len(drawn))
    curves = (np.linspace(0.5, 1, EPOCHS) * final[:, None]).round(4)
    ids = tuple(draw.architecture_id for draw in drawn)
    names = tuple(draw.architecture.skeleton for draw in drawn)
    targets = Targets(
        tuple(f"run-{i}" for i in ids),
        ids,
        names,
        tuple("heldout" if SKELETONS[name].held_out else "test" for name in names),
        (None,) * len(ids),
        curves,
        images.classes,
    )
    return TaskNetworks(targets, tuple(walk(draw.architecture, images) for draw in drawn))


def toy_result(predictor: str = "toy", *, observed: int = 0) -> Result:
    """Return a failed result."""
    task = f"digits-k{observed}-v1"
    return Result(
        schema_version=SCHEMA_VERSION,
        task=task,
        task_digest=hashlib.sha256(task.encode()).hexdigest(),
        images="digits",
        observed=observed,
        target="valid_accuracy",
        predictor=predictor,
        title=predictor.capitalize(),
        status="failed",
        failure="RuntimeError: it broke",
        harness_version=HARNESS_VERSION,
        environment=Environment("3.11.0", "Linux x86_64", "2.0.0", "1.14.0", None, None),
        seeds=(0,),
        scores={},
        scores_test_accuracy={},
        scores_valid_loss={},
        tau_resamples=(),
        flags=(),
        counts={"failed_fits": 0},
        networks=NETWORKS,
        seconds=None,
        observed_epochs_total=observed * 3 * PER_SKELETON,
        predictions_sha256=None,
        verification="self-reported",
    )


def seeded(scores: dict[str, dict[str, Score]]) -> Scores:
    """Return the scores of a single seed."""
    return {
        stratum: {
            name: SeedScore(score.value, score.low, score.high, None)
            for name, score in metrics.items()
        }
        for stratum, metrics in scores.items()
    }


def write_toy(
    folder: Path, predictor: str, noise: float, *, observed: int = 0, curve: bool = False
) -> Result:
    """Score and write a prediction of the targets plus noise; return its result."""
    result, epochs, mean = score_toy(predictor, noise, observed, curve)
    write_result(folder, result, predictions_table(toy_networks().targets.run_ids, epochs, mean))
    return result


@functools.cache
def score_toy(
    predictor: str, noise: float, observed: int, curve: bool
) -> tuple[Result, tuple[int, ...], Array]:
    """Return a result, its epochs and its prediction, (networks, epochs)."""
    targets = toy_networks().targets
    epochs = tuple(range(observed + 1, EPOCHS + 1)) if curve else (EPOCHS,)
    wanted: Array = targets.curves[:, np.array(epochs) - 1]
    seed = int.from_bytes(hashlib.sha256(predictor.encode()).digest()[:4], "big")
    spread = np.random.default_rng(seed).normal(size=wanted.shape)
    constant = np.isinf(noise)
    mean = np.full_like(wanted, 0.5) if constant else (wanted + noise * spread).clip(0, 1)
    scores = seeded(score_prediction(targets, mean, epochs=epochs))
    final = {
        stratum: {n: s for n, s in metrics.items() if not n.startswith("curve_")}
        for stratum, metrics in scores.items()
    }
    order = {s: {n: metrics[n] for n in ORDER} for s, metrics in scores.items()}
    table = tabulate(targets, mean, epochs=epochs, std=None)
    taus = strata(table, names=["test"], metrics=["tau"])["test"]["tau"]
    result = replace(
        toy_result(predictor, observed=observed),
        status="scored",
        failure=None,
        scores=scores,
        scores_test_accuracy=final,
        scores_valid_loss=order,
        tau_resamples=pack_resamples(taus[1:]),
        flags=flags(mean),
        seconds=Seconds(1.5, 0.25),
    )
    return result, epochs, mean


def toy_ceiling() -> Ceiling:
    """Return an artificial ceiling."""
    scores = {"r2": Score(0.9, 0.8, 0.95), "tau": Score(0.85, 0.75, 0.9)}
    networks = {"test": 20, "test/learned": 18, "heldout": 10, "skeleton/deep-3x3": 10}
    return Ceiling(
        SCHEMA_VERSION,
        "digits",
        "valid_accuracy",
        HARNESS_VERSION,
        networks,
        dict.fromkeys(networks, scores),
        {stratum: {"tau": scores["tau"]} for stratum in networks},
    )


def write_toy_board(folder: Path) -> dict[str, TaskNetworks]:
    """Write two tasks with good, bad, constant and failed predictors; return their networks."""
    for observed in (0, 1):
        write_toy(folder, "good", 0.02, observed=observed, curve=True)
        write_toy(folder, "bad", 0.4, observed=observed)
    write_toy(folder, "constant", np.inf)
    failed = replace(
        toy_result("broken"),
        title="Broken </script> | <b>",
        failure="Error: no <b> | [a](https://b)",
    )
    write_result(folder, failed, None)
    write_ceiling(folder, toy_ceiling())
    return {name: toy_networks() for name in ("digits-k0-v1", "digits-k1-v1")}


def predictions_of(path: Path) -> Path:
    """Return the path of the predictions of the result at `path`."""
    (found,) = path.parent.glob(f"{path.stem}.{'?' * DIGITS}.parquet")
    return found
