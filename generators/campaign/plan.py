"""Plans the runs of a campaign, in an order whose every long prefix is a balanced dataset."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from benchmark.recipes import RECIPES, Recipe
from benchmark.schema import run_id
from benchmark.space.architectures import architecture_id, from_record, to_record
from benchmark.space.imagesets import IMAGES, ImageSet, Quota, get_images
from benchmark.space.layer_walk import macs, parameters, walk
from benchmark.space.sampler import Drawn, sequence
from benchmark.space.skeletons import SKELETONS, Skeleton
from benchmark.space.splits import SPLITS, Split, split_of
from benchmark.util.strict_json import parse_json
from benchmark.util.unknown_name import check_known
from generators.workers.planned_run import PlannedRun

T = TypeVar("T")
REPEAT_SEEDS = (1, 2)
PARSE_ERRORS = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
BACKWARD_COST = 3  # a training step costs about three forward passes


def scale_quota(quota: Quota, networks: int) -> Quota:
    """Return a quota of about `networks` networks, with the shares of another quota.

    Each held-out skeleton gets the same number, so the total may differ by up to two.

    >>> scale_quota(IMAGES["cifar10"].quota, 14_400)
    Quota(train=6000, validation=1200, test=4800, heldout=600)
    """
    held = sum(skeleton.held_out for skeleton in SKELETONS.values())
    seen = quota.train + quota.validation + quota.test
    heldout = round(networks * quota.heldout / (seen + held * quota.heldout))
    left = networks - held * heldout
    validation, test = (round(left * count / seen) for count in (quota.validation, quota.test))
    return Quota(left - validation - test, validation, test, heldout)


def divide_over_skeletons(count: int) -> dict[str, int]:
    """Divide the networks of a split over the skeletons that are not held out.

    Numbers are rounded by the largest remainder.

    >>> divide_over_skeletons(480)
    {'peephole-3x2': 336, 'shallow-3x1': 72, 'wide-3x1': 72}
    """
    seen = [skeleton for skeleton in SKELETONS.values() if not skeleton.held_out]
    exact = {skeleton.name: count * skeleton.share for skeleton in seen}
    numbers = {name: int(value + 1e-9) for name, value in exact.items()}
    by_remainder = sorted(exact, key=lambda name: numbers[name] - exact[name])
    for name in by_remainder[: count - sum(numbers.values())]:
        numbers[name] += 1
    return numbers


def quota_of(skeleton: Skeleton, quota: Quota) -> dict[Split, int]:
    """Return how many networks of a skeleton each split gets."""
    if skeleton.held_out:
        return {"heldout": quota.heldout}
    counts: dict[Split, int] = {
        "train": quota.train, "validation": quota.validation, "test": quota.test,
    }  # fmt: skip
    return {split: divide_over_skeletons(n)[skeleton.name] for split, n in counts.items()}


def draw_networks(skeleton: Skeleton, images: ImageSet, quota: Quota) -> dict[Split, list[Drawn]]:
    """Return the first networks of a skeleton's sequence that fill the quota of each split."""
    room = quota_of(skeleton, quota)
    taken: dict[Split, list[Drawn]] = {split: [] for split in room}
    for drawn in sequence(skeleton.name, images):
        if len(taken[drawn.split]) < room[drawn.split]:
            taken[drawn.split].append(drawn)
        if all(len(taken[split]) == room[split] for split in room):
            return taken
    raise AssertionError("sequences are infinite")


def make_plan(image_names: Iterable[str], networks: int | None = None) -> list[PlannedRun]:
    """Return every run of a campaign over some image sets, in order.

    Each group (images, skeleton, split, first seed or repeats) is spread evenly over the campaign:
    the i-th of its n runs, from 0, is at (i + 1/2) / n of the plan. So a prefix has about the same
    share of each group.

    `networks` is the approximate number for each image set, with the release's shares. None: the
    release's number. A plan of more networks has all networks of the release.

    Raises:
        ValueError: If an image set is not known.
    """
    groups: list[list[PlannedRun]] = []
    for name in dict.fromkeys(image_names):
        images = get_images(name)
        quota = images.quota if networks is None else scale_quota(images.quota, networks)
        for skeleton in SKELETONS.values():
            repeats = quota_of(skeleton, images.repeats)
            for split, drawn in draw_networks(skeleton, images, quota).items():
                firsts = [plan_run(d, images, RECIPES[name], 0) for d in drawn]
                repeated = [
                    plan_run(d, images, RECIPES[name], seed)
                    for d in drawn[: repeats[split]]
                    for seed in REPEAT_SEEDS
                ]
                groups += [firsts, repeated]
    return spread(groups)


def spread(groups: Iterable[Sequence[PlannedRun]]) -> list[PlannedRun]:
    """Return the runs of all groups, each spread evenly over the plan."""
    positions = [
        ((i + 0.5) / len(group), run.run_id, run) for group in groups for i, run in enumerate(group)
    ]
    return [run for _, _, run in sorted(positions, key=lambda entry: entry[:2])]


def plan_run(drawn: Drawn, images: ImageSet, recipe: Recipe, seed: int) -> PlannedRun:
    """Return the planned run of a drawn architecture."""
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
    """Return the multiply-accumulates of a run, from those of a forward pass of one image."""
    trained = BACKWARD_COST * recipe.epochs * recipe.steps_per_epoch * recipe.batch
    return forward * (trained + images_measured(recipe))


def images_measured(recipe: Recipe) -> int:
    """Return how many valid and test images a run evaluates over all its epochs."""
    images = get_images(recipe.images)
    return (recipe.epochs - 1) * images.measured + images.valid + images.test


def write_plan(path: Path, runs: Iterable[PlannedRun]) -> None:
    """Write a plan, as one JSON object per line."""
    with path.open("w", encoding="utf-8") as file:
        for run in runs:
            row = {name: getattr(run, name) for name in PlannedRun.__dataclass_fields__}
            row["architecture"] = to_record(run.architecture)
            file.write(json.dumps(row, separators=(",", ":")) + "\n")


@dataclass(frozen=True, slots=True)
class Group:
    """The image set, skeleton and split of a run, by which `status` counts runs."""

    images: str
    skeleton: str
    split: Split


def read_plan(path: Path, shard: tuple[int, int] = (1, 1)) -> list[PlannedRun]:
    """Return every n-th run of a plan, beginning with the i-th, from 1; `shard` is (i, n).

    Other lines are not parsed.

    Raises:
        FileNotFoundError: If there is no plan; the message says how to make one.
        ValueError: If a line is not a planned run.
    """
    return list(_parse_lines(path, _parse_run, shard))


def read_groups(path: Path) -> dict[str, Group]:
    """Return the group of every run of a plan by run id, without parsing architectures.

    Raises:
        FileNotFoundError: If there is no plan; the message says how to make one.
        ValueError: If a line lacks these fields.
    """
    return dict(_parse_lines(path, _parse_group, (1, 1)))


def _parse_run(line: bytes) -> PlannedRun:
    """Return a planned run, after a check of its ranges, its ids and its split."""
    row: Any = parse_json(line)
    row["architecture"] = from_record(row["architecture"])
    run = PlannedRun(**row)
    numbers = (run.draw_index, run.seed, run.parameters - 1, run.macs - 1, run.cost - 1)
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise ValueError("`draw_index` and `seed` must be integers >= 0, counts integers >= 1")
    check_known("split", run.split, SPLITS)
    get_images(run.images)
    texts = {
        "architecture_id": (run.architecture_id, architecture_id(run.architecture)),
        "split": (run.split, split_of(run.architecture.skeleton, run.drawn_architecture_id)),
        "run_id": (run.run_id, run_id(run.images, run.architecture_id, run.recipe_id, run.seed)),
    }
    for name, (value, expected) in texts.items():
        if value != expected:
            raise ValueError(f"`{name}` is {value!r} and must be {expected!r}")
    return run


def _parse_group(line: bytes) -> tuple[str, Group]:
    row: Any = parse_json(line)
    group = Group(row["images"], row["architecture"]["skeleton"], row["split"])
    if group.images not in IMAGES or group.skeleton not in SKELETONS or group.split not in SPLITS:
        raise ValueError(f"{group} is not known")
    if not isinstance(row["run_id"], str):
        raise ValueError(f"`run_id` (={row['run_id']!r}) must be a string")
    return row["run_id"], group


def _parse_lines(path: Path, parse: Callable[[bytes], T], shard: tuple[int, int]) -> Iterator[T]:
    if not path.exists():
        raise FileNotFoundError(
            f"no plan at {str(path)!r}; make one with `peephole generate plan --campaign "
            f"{path.parent}`"
        )
    index, count = shard
    with path.open("rb") as lines:
        for number, line in islice(enumerate(lines, start=1), index - 1, None, count):
            try:
                yield parse(line)
            except PARSE_ERRORS as error:
                raise ValueError(
                    f"line {number} of {str(path)!r} is not a planned run: {error}"
                ) from error
