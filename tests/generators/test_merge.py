"""Merging run files into a release: content, refused merges, and killed merges."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from benchmark.publish.freeze import freeze
from benchmark.publish.verify import verify_release
from benchmark.release import Release, load_runs
from benchmark.runs import correct_path, split_path
from benchmark.space.splits import SPLITS
from generators.campaign.campaign import Campaign
from generators.campaign.learning_rate_pilot import pilot_plan, pilot_rates, pilot_recipes
from generators.campaign.merge import merge
from generators.campaign.run_files import add_digest
from generators.workers.planned_run import PlannedRun
from tests.benchmark.test_runs import single
from tests.toys.campaign import (
    Row,
    bits,
    release_plan,
    tiny_plan,
    toy_campaign,
    toy_row,
    visible_files,
)

PLAN = release_plan()
ROWS = [toy_row(run) for run in PLAN]


def campaign_of(folder: Path, indices: range) -> Campaign:
    return toy_campaign(folder, [PLAN[i] for i in indices], [ROWS[i] for i in indices])


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    return campaign_of(tmp_path / "campaign", range(len(PLAN)))


@pytest.fixture(scope="module")
def merged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the files of an uninterrupted merge of the entire campaign."""
    folder = tmp_path_factory.mktemp("merged")
    merge([campaign_of(folder / "campaign", range(len(PLAN)))], folder / "data", "1.2.3")
    return visible_files(folder / "data")


def test_every_run_is_in_its_split_as_it_was_stored(campaign: Campaign, tmp_path: Path) -> None:
    found = merge([campaign], tmp_path / "data", "1.2.3")
    stored = {str(row["run_id"]): row for row in ROWS}
    seen = set()
    for split in SPLITS:
        table = load_runs("digits", split, release=Release(tmp_path / "data"))
        planned = {run.run_id for run in PLAN if run.split == split}
        assert set(table.column("run_id").to_pylist()) == planned
        assert found["digits", split] == len(planned) > 0
        for row in table.to_pylist():
            row["started_at"] = int(row["started_at"].timestamp())
            original = {name: single(value) for name, value in stored[row["run_id"]].items()}
            assert row == {name: value for name, value in original.items() if name != "correct"}
            seen.add(row["run_id"])
    assert seen == set(stored)
    assert verify_release(tmp_path / "data") == []


def test_bits_are_those_of_the_final_accuracies(campaign: Campaign, tmp_path: Path) -> None:
    merge([campaign], tmp_path / "data", "1.2.3")
    stored = {str(row["run_id"]): row for row in ROWS}
    for split in SPLITS:
        for row in pq.read_table(correct_path("digits", split, tmp_path / "data")).to_pylist():
            right = np.unpackbits(np.frombuffer(row["correct"], np.uint8))
            assert np.array_equal(right, bits(stored[row["run_id"]]))
            finals = [stored[row["run_id"]][f"{part}_accuracy"][-1] for part in ("valid", "test")]  # type: ignore[index]
            assert finals == pytest.approx([right[:350].mean(), right[350:700].mean()])


def test_merging_twice_changes_no_byte(
    campaign: Campaign, tmp_path: Path, merged: dict[str, bytes]
) -> None:
    for _ in range(2):
        merge([campaign], tmp_path / "data", "1.2.3")
        assert visible_files(tmp_path / "data") == merged


def test_campaigns_merged_one_after_another_give_the_same_files(
    tmp_path: Path, merged: dict[str, bytes]
) -> None:
    cuts = (0, 2, 26, len(PLAN))  # the first piece has few splits, the last adds to few
    for i in range(3):
        piece = campaign_of(tmp_path / f"piece-{i}", range(cuts[i], cuts[i + 1]))
        merge([piece], tmp_path / "data", f"1.2.{i + 1}")
    assert visible_files(tmp_path / "data") == merged


def test_merging_campaigns_together_gives_the_same_files(
    tmp_path: Path, merged: dict[str, bytes]
) -> None:
    parts = [
        campaign_of(tmp_path / "even", range(0, len(PLAN), 2)),
        campaign_of(tmp_path / "rest", range(1, len(PLAN), 2)),
        campaign_of(tmp_path / "again", range(5)),  # the same rows: no conflict
    ]
    merge(parts, tmp_path / "data", "1.2.3")
    assert visible_files(tmp_path / "data") == merged


def refused(campaigns: list[Campaign], data: Path, message: str) -> None:
    """Assert that a merge is refused with a message and changes nothing."""
    before = visible_files(data)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        merge(campaigns, data, "1.2.4")
    assert visible_files(data) == before


def changed(row: Row, **fields: object) -> Row:
    return {**row, **fields}


def test_conflicting_duplicates_are_refused(campaign: Campaign, tmp_path: Path) -> None:
    other = toy_campaign(tmp_path / "other", PLAN[:1], [changed(ROWS[0], seed=9)])
    message = f"run {PLAN[0].run_id!r} is in two campaigns with different content"
    refused([campaign, other], tmp_path / "data", message)


def in_split(split: str) -> int:
    """Return the index of the first run of a split in the plan."""
    return next(i for i, run in enumerate(PLAN) if run.split == split)


@pytest.mark.parametrize("split", SPLITS)
def test_a_published_run_is_never_changed(campaign: Campaign, tmp_path: Path, split: str) -> None:
    data, index = tmp_path / "data", in_split(split)
    others = [i for i in range(len(PLAN)) if i % 3 or i == index]
    first = toy_campaign(tmp_path / "first", [PLAN[i] for i in others], [ROWS[i] for i in others])
    merge([first], data, "1.2.3")
    campaign.store(changed(ROWS[index], weight_norm=[10.0, 11.5]))
    path = split_path("digits", split, data)
    message = f"run {PLAN[index].run_id!r} is in {str(path)!r} with different content; published "
    message += "runs cannot be changed: plan only those that are not in the release, with "
    refused([campaign], data, message + "`peephole generate plan --missing`")


def test_campaigns_without_a_finished_run_are_refused(tmp_path: Path) -> None:
    none = [campaign_of(tmp_path / name, range(0)) for name in ("a", "b")]
    message = f"no run of '{tmp_path}/a', '{tmp_path}/b' is finished; "
    message += "`peephole generate run` trains them"
    refused(none, tmp_path / "data", message)
    assert not (tmp_path / "data").exists()
    merge([campaign_of(tmp_path / "c", range(3))], tmp_path / "data", "1.2.3")
    refused(none, tmp_path / "data", message)


def other_recipe(run: PlannedRun) -> tuple[PlannedRun, Row]:
    """Return a run and its row as if another recipe had made it."""
    name = run.run_id.replace(run.recipe_id, "0123456789ab")
    row = changed(toy_row(run), run_id=name, recipe_id="0123456789ab")
    return replace(run, run_id=name, recipe_id="0123456789ab"), row


@pytest.mark.parametrize("published", [True, False])
def test_mixed_recipes_are_refused(campaign: Campaign, tmp_path: Path, published: bool) -> None:
    run, row = other_recipe(tiny_plan(30)[-1])
    other = toy_campaign(tmp_path / "other", [run], [row])
    if published:
        merge([campaign], tmp_path / "data", "1.2.3")
    message = (
        f"runs on 'digits' mix the recipes {PLAN[0].recipe_id!r} and '0123456789ab'; a release has "
        "one recipe for each image set"
    )
    refused([other] if published else [campaign, other], tmp_path / "data", message)


def test_recipes_are_not_mixed_over_splits_either(tmp_path: Path) -> None:
    train = in_split("train")
    merge([campaign_of(tmp_path / "a", range(train, train + 1))], tmp_path / "data", "1.2.3")
    run, row = other_recipe(PLAN[in_split("test")])
    other = toy_campaign(tmp_path / "b", [run], [row])
    message = (
        f"runs on 'digits' mix the recipes {PLAN[0].recipe_id!r} and '0123456789ab'; a release has "
        "one recipe for each image set"
    )
    refused([other], tmp_path / "data", message)


def test_a_run_outside_the_plan_is_refused(campaign: Campaign, tmp_path: Path) -> None:
    stranger = tiny_plan(40)[-1]
    campaign.store(toy_row(stranger))
    message = f"run {stranger.run_id!r} is not in the plan of {str(campaign.folder)!r}"
    refused([campaign], tmp_path / "data", message)


def test_a_damaged_run_file_is_named(campaign: Campaign, tmp_path: Path) -> None:
    name = f"{PLAN[3].run_id}.json"
    path = campaign.runs / name
    text = path.read_text()
    row = json.loads(text) | {"valid_loss": [1.0]}
    del row["sha256"]
    path.write_text(add_digest(json.dumps(row)))
    message = (
        f"{str(path)!r} is damaged (`valid_loss` of run {PLAN[3].run_id!r} has 1 entry, not 1 "
        "for each of 2 epochs); delete it to train the run again"
    )
    refused([campaign], tmp_path / "data", message)
    path.write_text(text[:100])
    start, end = (
        re.escape(f"{str(path)!r} is damaged ("),
        re.escape("); delete it to train the run again"),
    )
    with pytest.raises(ValueError, match=f"^{start}.+{end}$"):
        merge([campaign], tmp_path / "data", "1.2.3")


def test_recipes_and_environments_are_beside_the_data(campaign: Campaign, tmp_path: Path) -> None:
    merge([campaign], tmp_path / "data", "1.2.3")
    recipes = json.loads((tmp_path / "data" / "recipes.json").read_text())
    environments = json.loads((tmp_path / "data" / "environments.json").read_text())
    assert recipes.keys() == {row["recipe_id"] for row in ROWS}
    assert environments.keys() == {row["environment_id"] for row in ROWS}
    assert recipes[PLAN[0].recipe_id]["epochs"] == 2
    assert set(next(iter(environments.values()))) >= {"torch", "numpy", "python"}


def test_a_pilot_and_other_campaigns_are_told_apart(tmp_path: Path) -> None:
    pilot, recipes = Campaign(tmp_path / "pilot"), pilot_recipes("digits", [0.02])
    pilot.create(pilot_plan("digits", [0.02]), recipes, "pilot")
    with pytest.raises(ValueError, match=r"/pilot' was planned with --pilot; `peephole generate "):
        merge([pilot], tmp_path / "data")
    for campaign, images in (
        (campaign_of(tmp_path / "other", range(2)), "digits"),
        (pilot, "mnist"),
    ):
        with pytest.raises(ValueError, match=f"' was not planned as a pilot of '{images}'"):
            pilot_rates(campaign, images)


def test_runs_without_a_whole_curve_of_seed_0_can_be_merged_but_not_frozen(tmp_path: Path) -> None:
    plan = [replace(run, seed=7, run_id=run.run_id[:-1] + "7") for run in PLAN]
    merge([toy_campaign(tmp_path / "campaign", plan, [*map(toy_row, plan)])], tmp_path / "data")
    assert verify_release(tmp_path / "data") == []
    with pytest.raises(ValueError, match="no run of 'digits' in train completed or diverged with"):
        freeze("digits", 1, Release(tmp_path / "data"))
