"""The folder of a campaign: plans are kept, shards exclude each other, failed runs come last."""

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner

import generators.workers.scheduler
from benchmark.util.locks import locked
from generators.campaign.campaign import Campaign
from generators.campaign.merge import merge
from generators.campaign.run_campaign import run_campaign
from generators.campaign.status import campaign_status
from generators.cli import generate
from generators.workers.worker import failed_row
from tests.toys.campaign import (
    RECIPE,
    ToyPool,
    job_of,
    options_of,
    release_plan,
    tiny_plan,
    toy_campaign,
    toy_row,
)

PLAN = tiny_plan(4)
DIED = "the worker process died 2 times"
OLD = ["the worker process died 2 times", "the machine was lost 4 times"]


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], list[int]]:
    """Let campaigns make up rows; return a function that takes the index of the deadly run."""

    def use(deadly: int | None) -> list[int]:
        seen: list[int] = []
        monkeypatch.setattr(
            generators.workers.scheduler, "local_pool", lambda _: ToyPool(deadly, seen)
        )
        return seen

    return use


Pool = Callable[[int | None], list[int]]


def invoke(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(generate, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


def content(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def all_of(folder: Path) -> list[str]:
    """Return the last line of `status`: numbers of done, failed and planned runs."""
    return invoke("status", "--campaign", folder)[1].splitlines()[-1].split()[1:]


def test_a_killed_run_is_said_counted_and_tried_again_last(tmp_path: Path, pool: Pool) -> None:
    campaign = toy_campaign(tmp_path, PLAN)
    name = PLAN[1].run_id
    pool(1)
    code, out, err = invoke("run", "--campaign", tmp_path, "--workers", 1, "--limit", 2)
    assert (code, out) == (1, "1 run finished, 3 left\n")
    said = f"1 run failed; the same command tries again:\n  {name}: {DIED}\n"
    assert err.endswith(said)
    assert campaign.done() == {PLAN[0].run_id}
    assert all_of(tmp_path) == ["1", "1", "4"]
    (group,) = [g for g in campaign_status(tmp_path)[0] if g.failed]
    assert (group.skeleton, group.split) == ("shallow-3x1", PLAN[1].split)

    seen = pool(1)
    assert run_campaign(campaign, options_of()) == (2, 1, {name: DIED})
    assert seen == [2, 3, 1, 1]
    assert all_of(tmp_path) == ["3", "1", "4"]

    pool(None)
    code, out, _ = invoke("run", "--campaign", tmp_path)
    assert (code, out) == (0, "1 run finished, 0 left\n")
    assert all_of(tmp_path) == ["4", "0", "4"]
    assert list(campaign.failures_folder.iterdir()) == []
    assert list(campaign.rows()) == sorted(map(toy_row, PLAN), key=lambda row: row["run_id"])  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize("reason", OLD)
def test_a_row_of_a_killed_run_is_not_published_and_tried_again(
    tmp_path: Path, pool: Pool, reason: str
) -> None:
    """Earlier code stored such rows."""
    plan = release_plan()
    rows = [failed_row(job_of(plan[0]), reason), *map(toy_row, plan[1:])]
    campaign = toy_campaign(tmp_path / "campaign", plan, rows)
    assert all_of(campaign.folder) == [str(len(plan) - 1), "1", str(len(plan))]
    merged = merge([campaign], tmp_path / "data", "1.2.3")
    assert sum(merged.values()) == len(plan) - 1
    pool(None)
    assert run_campaign(campaign, options_of()) == (1, 0, {})
    merged = merge([campaign], tmp_path / "data", "1.3.0")
    assert sum(merged.values()) == len(plan)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("failed", "RuntimeError: CUDNN_STATUS_EXECUTION_FAILED"),
        ("failed", "RuntimeError: the worker process died 2 times"),
        ("out_of_memory", DIED),
    ],
)
def test_a_failure_of_the_network_is_a_result(
    tmp_path: Path, pool: Pool, status: str, reason: str
) -> None:
    row = failed_row(job_of(PLAN[0]), reason) | {"status": status}
    campaign = toy_campaign(tmp_path, PLAN[:1], [row])
    assert all_of(tmp_path) == ["1", "0", "1"]
    assert run_campaign(campaign, options_of()) == (0, 0, {})
    assert list(campaign.rows()) == [row]


@pytest.mark.parametrize("damage", ["empty", "cut", "changed", "undated", "spaced"])
def test_a_damaged_run_file_is_not_done_and_is_trained_again(
    tmp_path: Path, pool: Pool, damage: str
) -> None:
    campaign = toy_campaign(tmp_path, PLAN, [toy_row(run) for run in PLAN])
    path = campaign.runs / f"{PLAN[2].run_id}.json"
    whole = path.read_text()
    texts = {
        "empty": "",
        "cut": whole[:-90],
        "changed": whole.replace("0.75", "0.85", 1),
        "undated": json.dumps(toy_row(PLAN[2])),
        "spaced": whole + "\n",
    }
    assert texts[damage] != whole
    path.write_text(texts[damage])
    assert campaign.done() == {run.run_id for run in PLAN} - {PLAN[2].run_id}
    code, out, err = invoke("status", "--campaign", tmp_path)
    assert (code, out.splitlines()[-1].split()) == (0, ["all", "3", "0", "4"])
    assert err == f"{path} is damaged; `peephole generate run` trains its run again\n"
    seen = pool(None)
    code, out, err = invoke("run", "--campaign", tmp_path)
    assert (code, out, seen) == (0, "1 run finished, 0 left\n", [2])
    assert err.startswith(f"{path} is damaged; its run is trained again\n")
    assert path.read_text() == whole


def test_a_plan_is_never_replaced(tmp_path: Path) -> None:
    campaign = toy_campaign(tmp_path, PLAN, [toy_row(PLAN[0])])
    before = content(tmp_path)
    path = tmp_path / "plan.jsonl"
    message = f"{str(path)!r} is another plan, and a plan is never replaced; choose another folder"
    for plan in (tiny_plan(5), PLAN[:3], PLAN[::-1], []):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            campaign.create(plan, {})
        with campaign.lock((1, 1)), pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            campaign.create(plan, {})
    assert content(tmp_path) | {"shard-1-of-1.lock": b""} == before | {"shard-1-of-1.lock": b""}


def test_the_same_plan_may_be_made_again(tmp_path: Path) -> None:
    campaign = toy_campaign(tmp_path, PLAN, [toy_row(PLAN[0])])
    before = content(tmp_path)
    campaign.create(PLAN, {})
    assert content(tmp_path) == before
    campaign.create(PLAN, {"another": RECIPE})  # a later release has more recipes
    assert content(tmp_path)["plan.jsonl"] == before["plan.jsonl"]
    assert list(campaign.recipes()) == [RECIPE.recipe_id, "another"]
    (tmp_path / "recipes.json").unlink()
    campaign.create(PLAN, {RECIPE.recipe_id: RECIPE})
    assert content(tmp_path) == before


def test_of_two_plans_at_the_same_time_one_is_made(tmp_path: Path) -> None:
    def create(folder: Path, count: int) -> bool:
        try:
            Campaign(folder).create(tiny_plan(count), {RECIPE.recipe_id: RECIPE})
        except ValueError:
            return False
        return True

    with ThreadPoolExecutor(2) as threads:
        for number in range(20):
            folder = tmp_path / str(number)
            made = list(threads.map(create, [folder] * 2, (3, 4)))
            assert sorted(made) == [False, True]
            assert Campaign(folder).plan() == tiny_plan(3 if made[0] else 4)


@pytest.mark.parametrize(
    ("first", "second"),
    [((1, 2), (1, 3)), ((1, 1), (1, 4)), ((3, 4), (1, 1)), ((1, 2), (3, 4)), ((2, 4), (4, 6))],
)
def test_a_shard_with_runs_of_another_is_refused(
    tmp_path: Path, first: tuple[int, int], second: tuple[int, int]
) -> None:
    campaign = toy_campaign(tmp_path, PLAN)
    message = (
        f"another process works on shard {first[0]}/{first[1]} of {str(tmp_path)!r}, which has "
        f"runs of {second[0]}/{second[1]}; wait for it, or give each process its own shard of the "
        "same number"
    )
    with campaign.lock(first):
        with pytest.raises(BlockingIOError, match=f"^{re.escape(message)}$"):
            run_campaign(campaign, options_of(shard=second))
        assert campaign.done() == set()
    with campaign.lock(second):  # the lock of the other is free again
        pass


@pytest.mark.parametrize(
    ("first", "second"), [((1, 2), (2, 2)), ((1, 2), (2, 4)), ((2, 3), (3, 6))]
)
def test_shards_without_common_runs_may_run_together(
    tmp_path: Path, first: tuple[int, int], second: tuple[int, int]
) -> None:
    campaign = toy_campaign(tmp_path, PLAN)
    with campaign.lock(first), campaign.lock(second):
        pass


def test_a_lock_that_other_code_holds_is_respected(tmp_path: Path) -> None:
    """Earlier code locks the file of its own shard alone."""
    campaign = toy_campaign(tmp_path, PLAN)
    with locked(tmp_path / "shard-1-of-1.lock", "held"):
        for shard in ((1, 1), (2, 3)):
            with pytest.raises(BlockingIOError, match=r"^another process works on shard 1/1 of"):
                run_campaign(campaign, options_of(shard=shard))
    (tmp_path / "shard-x-of-y.lock").touch()
    with campaign.lock((2, 3)):
        pass
