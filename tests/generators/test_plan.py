"""Quotas, balance and order of a campaign's plan, and its file."""

import json
import re
from collections import Counter
from functools import lru_cache
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from benchmark.recipes import RECIPES
from benchmark.space.imagesets import IMAGES, get_images
from benchmark.space.sampler import sequence
from benchmark.space.skeletons import SKELETONS
from benchmark.space.splits import split_of
from generators.campaign.plan import (
    Group,
    divide_over_skeletons,
    make_plan,
    read_groups,
    read_plan,
    scale_quota,
    write_plan,
)
from generators.workers.planned_run import PlannedRun
from tests.toys.campaign import tiny_plan

HELD_OUT = [name for name, skeleton in SKELETONS.items() if skeleton.held_out]
QUOTAS = {  # networks: train, validation, test, each held-out skeleton, total; runs
    "cifar10": (600, 120, 480, 60, 1440, 1720),
    "mnist": (400, 80, 320, 40, 960, 1150),
    "digits": (600, 120, 480, 60, 1440, 1940),
    "cifar10-full-width": (600, 120, 480, 60, 1440, 1720),
    "cifar10-full": (600, 120, 480, 60, 1440, 1720),
    "mnist-full": (400, 80, 320, 40, 960, 1150),
}
REPEATS = {  # networks with two further seeds: train, test, each held-out skeleton
    "cifar10": (20, 60, 15),
    "mnist": (15, 40, 10),
    "digits": (50, 100, 25),
    "cifar10-full-width": (20, 60, 15),
    "cifar10-full": (20, 60, 15),
    "mnist-full": (15, 40, 10),
}
FIRST_BALANCED = 300


@lru_cache(maxsize=4)
def plan_of(*names: str) -> list[PlannedRun]:
    return make_plan(names)


def group_of(run: PlannedRun) -> tuple[str, str, str, bool]:
    return run.images, run.architecture.skeleton, run.split, run.seed == 0


@pytest.mark.parametrize("name", IMAGES)
def test_quotas_are_those_of_the_design(name: str) -> None:
    train, validation, test, held_out, networks, runs = QUOTAS[name]
    plan = plan_of(name)
    first = [run for run in plan if run.seed == 0]
    assert (len(first), len(plan)) == (networks, runs)
    assert len({run.architecture_id for run in first}) == networks
    assert len({run.run_id for run in plan}) == runs
    splits = Counter(run.split for run in first)
    assert splits == {
        "train": train, "validation": validation, "test": test, "heldout": 4 * held_out,
    }  # fmt: skip
    skeletons = Counter(run.architecture.skeleton for run in first)
    assert {skeletons[name] for name in HELD_OUT} == {held_out}
    seen = train + validation + test
    assert skeletons["peephole-3x2"] == 0.70 * seen
    assert skeletons["shallow-3x1"] == skeletons["wide-3x1"] == 0.15 * seen


@pytest.mark.parametrize("name", IMAGES)
def test_the_first_networks_of_a_split_are_repeated_with_two_seeds(name: str) -> None:
    plan = plan_of(name)
    repeats = Counter(run.split for run in plan if run.seed != 0)
    train, test, heldout = REPEATS[name]
    assert repeats == {"train": 2 * train, "test": 2 * test, "heldout": 2 * 4 * heldout}
    assert {run.seed for run in plan} == {0, 1, 2}
    for key in {group_of(run)[:3] for run in plan}:
        own = [run for run in plan if group_of(run)[:3] == key]
        drawn = sorted(run.draw_index for run in own if run.seed == 0)
        for seed in (1, 2):
            again = sorted(run.draw_index for run in own if run.seed == seed)
            assert again == drawn[: len(again)]


@pytest.mark.parametrize("names", [("digits",), ("mnist",), ("cifar10",), ("mnist", "digits")])
def test_every_long_prefix_is_balanced(names: tuple[str, ...]) -> None:
    plan = plan_of(*names)
    groups = sorted({group_of(run) for run in plan})
    index = np.array([groups.index(group_of(run)) for run in plan])
    counts = np.cumsum(index[:, None] == np.arange(len(groups)), axis=0)
    share = counts[-1] / len(plan)
    lengths = np.arange(1, len(plan) + 1)[:, None]
    distance = np.abs(counts - lengths * share)[FIRST_BALANCED - 1 :]
    assert distance.max() <= 2, groups[int(distance.max(0).argmax())]


def test_a_plan_one_group_after_another_is_not_balanced() -> None:
    plan = sorted(plan_of("digits"), key=group_of)
    train = [run.split == "train" for run in plan[:FIRST_BALANCED]]
    assert abs(sum(train) - FIRST_BALANCED * 700 / 1940) > 1.5


@pytest.mark.parametrize("name", IMAGES)
def test_seed_0_comes_before_the_repeats_of_a_network(name: str) -> None:
    place = {(run.architecture_id, run.seed): i for i, run in enumerate(plan_of(name))}
    for identity, seed in place:
        assert place[identity, 0] <= place[identity, seed]


@pytest.mark.parametrize("name", IMAGES)
def test_an_architecture_comes_before_the_one_that_takes_its_blocks(name: str) -> None:
    place = {run.architecture_id: i for i, run in enumerate(plan_of(name)) if run.seed == 0}
    paired = [run for run in plan_of(name) if run.paired_architecture_id is not None]
    assert {run.architecture.skeleton for run in paired} == {"strided-3x2", "residual-3x2"}
    for run in paired:
        assert place[str(run.paired_architecture_id)] < place[run.architecture_id]


def test_cifar10_and_mnist_train_the_same_sequence() -> None:
    cifar10 = {r.architecture_id: r.split for r in plan_of("cifar10")}
    mnist = {r.architecture_id: r.split for r in plan_of("mnist")}
    assert mnist.items() <= cifar10.items()


def test_a_planned_run_agrees_with_its_sequence_and_recipe() -> None:
    drawn = {d.architecture_id: d for d in islice(sequence("wide-3x1", IMAGES["digits"]), 9)}
    runs = {r.architecture_id: r for r in plan_of("digits") if r.architecture_id in drawn}
    assert len(runs) >= 5
    recipe, spec = RECIPES["digits"], get_images("digits")
    for identity, run in runs.items():
        assert run.architecture == drawn[identity].architecture
        assert run.draw_index == drawn[identity].draw_index
        assert run.split == split_of("wide-3x1", identity)
        assert run.run_id == f"digits-{identity}-{recipe.recipe_id}-{run.seed}"
        images = 3 * 21 * 50 + spec.valid + spec.test  # 21 steps of 50, forward and backward
        assert run.cost == run.macs * 20 * images


@pytest.mark.parametrize("count", [0, 1, 7, 50, 99, 120, 1000])
def test_numbers_per_skeleton_add_up(count: int) -> None:
    found = divide_over_skeletons(count)
    assert sum(found.values()) == count
    for name, share in found.items():
        assert abs(share - count * SKELETONS[name].share) < 1


def test_an_image_set_named_twice_is_planned_once() -> None:
    assert make_plan(["digits", "digits"], 100) == make_plan(["digits"], 100)


def test_a_plan_read_back_is_the_same(tmp_path: Path) -> None:
    plan = [*tiny_plan(3), *plan_of("digits")[:5]]
    path = tmp_path / "plan.jsonl"
    write_plan(path, plan)
    assert read_plan(path) == plan


def test_a_missing_plan_says_how_to_make_it(tmp_path: Path) -> None:
    path = tmp_path / "plan.jsonl"
    message = (
        f"no plan at {str(path)!r}; make one with `peephole generate plan --campaign {tmp_path}`"
    )
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(message)}$"):
        read_plan(path)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("architecture", None, "'NoneType' object is not subscriptable"),
        ("architecture", {"skeleton": "tiny", "blocks": []}, "'widths'"),
        ("colour", "red", "PlannedRun.__init__() got an unexpected keyword argument 'colour'"),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, field: str, value: object, reason: str) -> None:
    path = tmp_path / "plan.jsonl"
    write_plan(path, tiny_plan(2))
    lines = path.read_text().splitlines()
    lines[1] = json.dumps(json.loads(lines[1]) | {field: value})
    path.write_text("\n".join(lines) + "\n")
    message = f"line 2 of {str(path)!r} is not a planned run: {reason}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read_plan(path)


def test_an_incomplete_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "plan.jsonl"
    write_plan(path, tiny_plan(1))
    path.write_text(path.read_text()[:10])
    message = f"line 1 of {str(path)!r} is not a planned run: "
    with pytest.raises(ValueError, match=f"^{re.escape(message)}.+: line 1 column \\d+ .*$"):
        read_plan(path)


def test_a_plan_for_unknown_images_is_refused() -> None:
    message = f"unknown images 'mnis'; did you mean 'mnist'? Known: {', '.join(IMAGES)}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make_plan(["mnis"])


@pytest.mark.parametrize("count", [1, 2, 7, 30, 200])
def test_the_shards_of_an_array_cover_a_plan_once(tmp_path: Path, count: int) -> None:
    plan = plan_of("digits")[:150]
    write_plan(tmp_path / "plan.jsonl", plan)
    shards = [read_plan(tmp_path / "plan.jsonl", (i, count)) for i in range(1, count + 1)]
    assert Counter(run.run_id for shard in shards for run in shard) == {r.run_id: 1 for r in plan}
    assert shards[0] == plan[::count]


def test_groups_are_those_of_the_planned_runs(tmp_path: Path) -> None:
    plan = plan_of("digits")[:150]
    write_plan(tmp_path / "plan.jsonl", plan)
    groups = read_groups(tmp_path / "plan.jsonl")
    assert groups == {r.run_id: Group(r.images, r.architecture.skeleton, r.split) for r in plan}


@pytest.mark.parametrize("name", IMAGES)
def test_a_quota_scaled_to_its_own_size_is_itself(name: str) -> None:
    own = get_images(name).quota
    assert scale_quota(own, QUOTAS[name][4]) == own
    for networks in (1, 10, 999, 100_000):
        quota = scale_quota(own, networks)
        assert quota.train + quota.validation + quota.test + 4 * quota.heldout == networks
        assert min(quota.train, quota.validation, quota.test, quota.heldout) >= 0


def test_a_larger_plan_holds_a_smaller_one() -> None:
    small, large = make_plan(["digits"], 100), make_plan(["digits"], 300)
    assert len([run for run in large if run.seed == 0]) == 300
    assert {run.run_id for run in small if run.seed == 0} < {run.run_id for run in large}
