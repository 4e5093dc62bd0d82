"""Which runs a campaign makes, in an order whose every long prefix is a balanced dataset."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

from benchmark.recipes import RECIPES, Recipe
from benchmark.schema import run_id
from benchmark.space.architectures import architecture_id, from_record, to_record
from benchmark.space.imagesets import IMAGES, ImageSet, Quota, get_images
from benchmark.space.layer_walk import macs, parameters, walk
from benchmark.space.sampler import Drawn, sequence
from benchmark.space.skeletons import SKELETONS, Skeleton
from benchmark.space.splits import SPLITS, Split, split_of
from benchmark.util.atomic import replacing
from benchmark.util.unknown_name import unknown_name
from generators.workers.planned_run import PlannedRun

T = TypeVar("T")
REPEAT_SEEDS = (1, 2)
WRONG_LINE = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
BACKWARD_COST = 3  # a training step costs about three forward passes


def scaled(quota: Quota, networks: int) -> Quota:
    """Return a quota of about so many networks in the same shares.

    Held-out skeletons get the same number each, so that it may be up to two more or fewer.

    >>> scaled(IMAGES["cifar10"].quota, 14_400)
    Quota(train=6000, validation=1200, test=4800, heldout=600)
    """
    held = sum(skeleton.held_out for skeleton in SKELETONS.values())
    seen = quota.train + quota.validation + quota.test
    heldout = round(networks * quota.heldout / (seen + held * quota.heldout))
    left = networks - held * heldout
    validation, test = (round(left * part / seen) for part in (quota.validation, quota.test))
    return Quota(left - validation - test, validation, test, heldout)


def shares(count: int) -> dict[str, int]:
    """Divide a split's networks over skeletons, by largest remainder.

    >>> shares(480)
    {'peephole-3x2': 336, 'shallow-3x1': 72, 'wide-3x1': 72}
    """
    seen = [skeleton for skeleton in SKELETONS.values() if not skeleton.held_out]
    exact = {skeleton.name: count * skeleton.share for skeleton in seen}
    whole = {name: int(value + 1e-9) for name, value in exact.items()}
    by_remainder = sorted(exact, key=lambda name: whole[name] - exact[name])
    for name in by_remainder[: count - sum(whole.values())]:
        whole[name] += 1
    return whole


def quota_of(skeleton: Skeleton, quota: Quota) -> dict[Split, int]:
    """Return how many networks of a skeleton each split takes."""
    if skeleton.held_out:
        return {"heldout": quota.heldout}
    return {
        "train": shares(quota.train)[skeleton.name],
        "validation": shares(quota.validation)[skeleton.name],
        "test": shares(quota.test)[skeleton.name],
    }


def accepted(skeleton: Skeleton, images: ImageSet, quota: Quota) -> dict[Split, list[Drawn]]:
    """Walk a skeleton's sequence, taking a network while its split's quota is open."""
    room = quota_of(skeleton, quota)
    taken: dict[Split, list[Drawn]] = {split: [] for split in room}
    for drawn in sequence(skeleton.name, images):
        if len(taken[drawn.split]) < room[drawn.split]:
            taken[drawn.split].append(drawn)
        if all(len(taken[split]) == room[split] for split in room):
            return taken
    raise AssertionError("a sequence has no end")


def make_plan(image_names: Iterable[str], networks: int | None = None) -> list[PlannedRun]:
    """Return every run of a campaign over some image sets, in order.

    Each group (images, skeleton, split, first seed or repeats) is spread evenly over the campaign:
    its i-th run of n stands at (i + 1/2) / n, so that a prefix holds each group in its share.

    Args:
        image_names: The image sets.
        networks: About how many of each, in the shares of the release; the release's own number by
            default. A larger plan holds all runs of a smaller one.

    Raises:
        ValueError: If an image set is not known.
    """
    placed: list[tuple[float, str, PlannedRun]] = []
    for name in image_names:
        images = get_images(name)
        quota = images.quota if networks is None else scaled(images.quota, networks)
        for skeleton in SKELETONS.values():
            repeats = quota_of(skeleton, images.repeats)
            for split, drawn in accepted(skeleton, images, quota).items():
                firsts = [planned(d, images, RECIPES[name], 0) for d in drawn]
                again = islice(drawn, repeats[split])
                seconds = [
                    planned(d, images, RECIPES[name], s) for d in again for s in REPEAT_SEEDS
                ]
                for group in (firsts, seconds):
                    for i, run in enumerate(group):
                        placed.append(((i + 0.5) / len(group), run.run_id, run))
    return [run for _, _, run in sorted(placed, key=lambda entry: entry[:2])]


def planned(drawn: Drawn, images: ImageSet, recipe: Recipe, seed: int) -> PlannedRun:
    """Return the run of an accepted architecture."""
    rows = walk(drawn.architecture, images)
    forward = macs(rows)
    return PlannedRun(
        run_id=run_id(images.name, drawn.architecture_id, recipe.recipe_id, seed),
        images=images.name,
        architecture=drawn.architecture,
        architecture_id=drawn.architecture_id,
        drawn_architecture_id=drawn.drawn_architecture_id,
        draw_index=drawn.draw_index,
        paired_architecture_id=drawn.paired_architecture_id,
        split=drawn.split,
        recipe_id=recipe.recipe_id,
        seed=seed,
        parameters=parameters(rows),
        macs=forward,
        cost=cost_of(forward, recipe),
    )


def cost_of(forward: int, recipe: Recipe) -> int:
    """Return the multiply-accumulates of a run of a network that takes some for an image."""
    trained = BACKWARD_COST * recipe.epochs * recipe.steps_per_epoch * recipe.batch
    return forward * (trained + images_measured(recipe))


def images_measured(recipe: Recipe) -> int:
    """Return how many valid and test images a run measures over all its epochs."""
    images = get_images(recipe.images)
    return (recipe.epochs - 1) * images.measured + images.valid + images.test


def write_plan(path: Path, runs: Iterable[PlannedRun]) -> None:
    """Write a plan, one JSON object per line, atomically."""
    with replacing(path) as draft, draft.open("w", encoding="utf-8") as file:
        for run in runs:
            row = {name: getattr(run, name) for name in PlannedRun.__dataclass_fields__}
            row["architecture"] = to_record(run.architecture)
            file.write(json.dumps(row, separators=(",", ":")) + "\n")


@dataclass(frozen=True, slots=True)
class Group:
    """What runs are counted by."""

    images: str
    skeleton: str
    split: Split


def read_plan(path: Path, shard: tuple[int, int] = (1, 1)) -> list[PlannedRun]:
    """Return the runs of a plan.

    Args:
        path: The file.
        shard: (i, n): only every n-th run from the i-th on, from 1; other lines are not looked at.

    Raises:
        FileNotFoundError: If there is none; the message says what makes it.
        ValueError: If a line is not a planned run.
    """
    return list(_parsed(path, _planned_run, shard))


def read_groups(path: Path) -> dict[str, Group]:
    """Return the group of every run of a plan by run id, without making their architectures.

    Raises:
        FileNotFoundError: If there is none; the message says what makes it.
        ValueError: If a line has no such fields.
    """
    return dict(_parsed(path, _group, (1, 1)))


def _planned_run(line: bytes) -> PlannedRun:
    row = json.loads(line)
    row["architecture"] = from_record(row["architecture"])
    run = PlannedRun(**row)
    _check(run)
    return run


def _check(run: PlannedRun) -> None:
    """Check what a planned run says of itself."""
    numbers = (run.draw_index, run.seed, run.parameters - 1, run.macs - 1, run.cost - 1)
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise ValueError("`draw_index` and `seed` must be whole and at least 0, counts at least 1")
    if run.split not in SPLITS:
        raise ValueError(unknown_name("split", str(run.split), SPLITS))
    get_images(run.images)
    texts = {
        "architecture_id": (run.architecture_id, architecture_id(run.architecture)),
        "split": (run.split, split_of(run.architecture.skeleton, run.drawn_architecture_id)),
        "run_id": (
            run.run_id,
            run_id(run.images, run.architecture_id, run.recipe_id, run.seed),
        ),
    }
    for name, (found, right) in texts.items():
        if found != right:
            raise ValueError(f"`{name}` is {found!r} and must be {right!r}")


def _group(line: bytes) -> tuple[str, Group]:
    row = json.loads(line)
    group = Group(row["images"], row["architecture"]["skeleton"], row["split"])
    if group.images not in IMAGES or group.skeleton not in SKELETONS or group.split not in SPLITS:
        raise ValueError(f"{group} is not known")
    if not isinstance(row["run_id"], str):
        raise ValueError(f"`run_id` (={row['run_id']!r}) must be a text")
    return row["run_id"], group


def _parsed(path: Path, parse: Callable[[bytes], T], shard: tuple[int, int]) -> Iterator[T]:
    if not path.exists():
        raise FileNotFoundError(
            f"no plan at {str(path)!r}; `peephole generate plan --campaign {path.parent}` makes one"
        )
    index, count = shard
    with path.open("rb") as lines:
        for number, line in islice(enumerate(lines, start=1), index - 1, None, count):
            try:
                yield parse(line)
            except WRONG_LINE as error:
                raise ValueError(
                    f"line {number} of {str(path)!r} is no planned run: {error}"
                ) from error
