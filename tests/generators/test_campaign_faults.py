"""Campaigns that are broken off at each of their calls: nothing finished is lost or damaged."""

import shutil
from pathlib import Path

import pytest

import generators.workers.scheduler
from generators.campaign.campaign import Campaign
from generators.campaign.run_campaign import run_campaign
from tests.toys.campaign import RECIPE, ToyPool, options_of, tiny_plan, toy_campaign, toy_row
from tests.toys.faults import every_fault

PLAN = tiny_plan(3)
DIED = "the worker process died 2 times"
DIES = pytest.mark.parametrize("dies", [False, True], ids=["full disk", "death"])


def run_toys(campaign: Campaign, deadly: int | None, patch: pytest.MonkeyPatch) -> None:
    """Run a campaign with made-up rows; the worker dies with the run of one index."""
    patch.setattr(generators.workers.scheduler, "local_pool", lambda _: ToyPool(deadly))
    run_campaign(campaign, options_of())


def run_contents(campaign: Campaign) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in campaign.runs.glob("*.json")}


@DIES
@pytest.mark.parametrize("deadly", [None, 1])
def test_a_run_broken_off_anywhere_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies: bool, deadly: int | None
) -> None:
    folder = tmp_path / "campaign"
    for fault in every_fault(folder, dies=dies):
        shutil.rmtree(folder, ignore_errors=True)
        campaign = toy_campaign(folder, PLAN, [toy_row(PLAN[2])])
        kept = run_contents(campaign)
        with fault:
            run_toys(campaign, deadly, monkeypatch)
        found = run_contents(campaign)
        assert kept.items() <= found.items()
        assert {path.removesuffix(".json") for path in found} == campaign.done()
        assert len(list(campaign.rows())) == len(found)  # every file is complete
        failures = campaign.failures(campaign.files())
        assert failures in ({}, {PLAN[1].run_id: DIED})
        if fault.error is None:
            assert len(failures) == (deadly is not None)
        if isinstance(fault.error, OSError):
            assert str(fault.error).startswith("[Errno 28] No space left on device: '")
            assert ".part'" not in str(fault.error)
        run_toys(campaign, None, monkeypatch)
        expected = sorted(map(toy_row, PLAN), key=lambda row: str(row["run_id"]))
        assert list(campaign.rows()) == expected
        assert campaign.failures(campaign.files()) == {}


@DIES
def test_a_plan_broken_off_anywhere_is_whole_or_missing(tmp_path: Path, dies: bool) -> None:
    folder = tmp_path / "campaign"
    campaign, recipes = Campaign(folder), {RECIPE.recipe_id: RECIPE}
    states = set()
    for fault in every_fault(folder, dies=dies):
        shutil.rmtree(folder, ignore_errors=True)
        with fault:
            campaign.create(PLAN, recipes)
        made = (folder / "plan.jsonl").exists()
        states.add(made)
        if made:
            assert (campaign.plan(), campaign.recipes()) == (PLAN, recipes)
        campaign.create(PLAN, recipes)
        assert (campaign.plan(), campaign.recipes()) == (PLAN, recipes)
    assert states == {False, True}
