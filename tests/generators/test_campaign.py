"""Campaigns that are killed, sharded, or out of time or disk space, and their files."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from benchmark.recipes import RECIPES
from benchmark.schema import check_row
from benchmark.util.shard import parse_shard
from generators.campaign.campaign import Campaign, release_recipes
from generators.campaign.run_campaign import run_campaign
from generators.campaign.status import campaign_status
from generators.cli import generate
from generators.environment import CPU_INFO, device_name, environment, environment_id
from generators.workers.planned_run import PlannedRun
from generators.workers.worker import prepare, train_run
from tests.toys.campaign import (
    RECIPE,
    Row,
    bits,
    job_of,
    options_of,
    release_plan,
    tiny_plan,
    toy_campaign,
    toy_row,
    without_times,
)
from tests.toys.processes import children, is_alive, needs_proc, wait_for

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
PLAN = tiny_plan(8)
Held = dict[Future[Row], object]


@pytest.fixture(scope="module")
def expected() -> dict[str, Row]:
    """Return the rows of an uninterrupted campaign by run id, without times."""
    with ThreadPoolExecutor(1, initializer=prepare) as pool:
        rows = pool.map(train_run, map(job_of, PLAN))
        return {str(row["run_id"]): without_times(row) for row in rows}


def found_rows(campaign: Campaign) -> dict[str, Row]:
    return {str(row["run_id"]): without_times(row) for row in campaign.rows()}


def files_of(campaign: Campaign) -> set[str]:
    return {path.name for path in campaign.runs.iterdir()}


@needs_proc
def test_an_interrupted_campaign_does_not_wait_for_its_runs(tmp_path: Path) -> None:
    code = (
        "from dataclasses import replace; from pathlib import Path;"
        "import tests.toys.campaign as t;"
        f"from generators.workers.scheduler import run_jobs; place = Path({str(tmp_path)!r});"
        "job = replace(t.job_of(t.tiny_plan(1)[0]), folder=place);"
        "run_jobs([job], t.options_of(), print, print, t.sleep)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, env=ENVIRONMENT, stderr=subprocess.DEVNULL
    )
    path = tmp_path / "id"
    assert wait_for(lambda: path.exists() or process.poll() is not None)
    process.send_signal(signal.SIGINT)
    assert process.wait() == -signal.SIGINT
    assert not is_alive(int(path.read_text()))


@dataclass(frozen=True, slots=True)
class Killed:
    """A campaign whose process was killed, and the process ids of its workers."""

    campaign: Campaign
    workers: set[int]


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killed]:
    """Run a campaign in a separate process and kill it at a random time."""
    campaign = toy_campaign(tmp_path_factory.mktemp("campaign"), PLAN)
    rng = np.random.default_rng()
    wanted, pause = int(rng.integers(1, 4)), float(rng.uniform(0, 0.1))
    command = [sys.executable, "-m", "peephole", "generate", "run", "--workers", "1"]
    process = subprocess.Popen(
        [*command, "--campaign", str(campaign.folder)],
        cwd=ROOT,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert wait_for(lambda: len(campaign.done()) >= wanted or process.poll() is not None)
        time.sleep(pause)
        workers = children(process.pid)
    finally:
        process.kill()
        code = process.wait()
    assert code == -signal.SIGKILL  # it was still running
    yield Killed(campaign, workers)
    for worker in filter(is_alive, workers):
        os.kill(worker, signal.SIGKILL)


def test_a_killed_campaign_resumes_and_gives_the_same_rows(
    killed: Killed, forks: None, expected: dict[str, Row]
) -> None:
    campaign = killed.campaign
    before = found_rows(campaign)
    assert 0 < len(before) < len(PLAN)
    kept = {path: path.read_bytes() for path in campaign.runs.glob("*.json")}
    assert run_campaign(campaign, options_of()) == (len(PLAN) - len(before), 0, {})
    assert found_rows(campaign) == expected
    assert {path: path.read_bytes() for path in kept} == kept  # finished runs are not repeated
    assert run_campaign(campaign, options_of()) == (0, 0, {})


@needs_proc
def test_workers_do_not_outlive_their_killed_campaign(killed: Killed) -> None:
    assert killed.workers
    assert wait_for(lambda: not any(map(is_alive, killed.workers)))


def test_a_second_process_on_one_shard_is_refused(tmp_path: Path, threads: None) -> None:
    campaign = toy_campaign(tmp_path, PLAN[:4])
    message = (
        f"another process works on shard 1/2 of {str(tmp_path)!r}; wait for it, or give each "
        "process its own shard"
    )
    options = options_of(shard=(1, 2))
    with campaign.lock((1, 2)), pytest.raises(BlockingIOError, match=f"^{re.escape(message)}$"):
        run_campaign(campaign, options)
    assert campaign.done() == set()
    with campaign.lock((1, 2)):  # the lock is free again
        assert run_campaign(campaign, options_of(shard=(2, 2), limit=1)) == (1, 1, {})


def test_two_shards_together_give_all_rows(
    tmp_path: Path, threads: None, expected: dict[str, Row]
) -> None:
    campaign = toy_campaign(tmp_path, PLAN)
    assert run_campaign(campaign, options_of(shard=(1, 2))) == (4, 0, {})
    assert campaign.done() == {run.run_id for run in PLAN[::2]}
    assert run_campaign(campaign, options_of(shard=(2, 2), workers=2)) == (4, 0, {})
    found = found_rows(campaign)
    for row in found.values():  # the number of workers is stored, and changes nothing else
        assert row.pop("networks_in_flight") == (1 if row["run_id"] in ODD else 2)
    wanted = {n: {k: v for k, v in r.items() if k != SHARED} for n, r in expected.items()}
    assert found == wanted


ODD = {run.run_id for run in PLAN[::2]}
SHARED = "networks_in_flight"


def test_a_limit_trains_the_first_runs_of_the_plan(tmp_path: Path, threads: None) -> None:
    campaign = toy_campaign(tmp_path, PLAN)
    assert run_campaign(campaign, options_of(limit=2)) == (2, 6, {})
    assert campaign.done() == {run.run_id for run in PLAN[:2]}


def invoke(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(generate, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout


def test_the_command_exits_3_with_runs_left(tmp_path: Path, threads: None) -> None:
    toy_campaign(tmp_path, PLAN[:2])
    assert invoke("run", "--campaign", tmp_path, "--minutes", 1e-9) == (
        3,
        "0 runs finished, 2 left\n",
    )
    assert invoke("run", "--campaign", tmp_path, "--limit", 1) == (0, "1 run finished, 1 left\n")
    assert invoke("run", "--campaign", tmp_path) == (0, "1 run finished, 0 left\n")


def test_a_row_describes_its_run(expected: dict[str, Row]) -> None:
    for run in PLAN:
        row = expected[run.run_id]
        check_row(row | {"epoch_seconds": [0.0, 0.0], "started_at": 0})
        for name in ("architecture_id", "draw_index", "images", "recipe_id", "seed", "macs"):
            assert row[name] == getattr(run, name)
        assert row["environment_id"] == environment_id(environment())
        assert row["device"] == device_name(torch.device("cpu"))
        right = bits(row)
        assert not right[700:].any()  # 350 valid and 350 test images, filled up to whole bytes
        finals = [row[f"{part}_accuracy"][-1] for part in ("valid", "test")]  # type: ignore[index]
        assert [right[:350].mean(), right[350:700].mean()] == pytest.approx(finals)


def full_disk(path: Path, text: str, **_: object) -> int:
    """Stand in for a write that fails halfway, as the disk is full."""
    with path.open("w") as file:
        file.write(text[: len(text) // 2])
    raise OSError(28, "No space left on device", str(path))


def test_a_full_disk_leaves_no_incomplete_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = toy_campaign(tmp_path, PLAN[:3], [toy_row(PLAN[0])])
    before = files_of(campaign)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full_disk)
        with pytest.raises(OSError, match="No space left on device"):
            campaign.store(toy_row(PLAN[1]))
        with pytest.raises(OSError, match="No space left on device"):
            campaign.store(toy_row(PLAN[0]) | {"seed": 5})
    assert files_of(campaign) == before
    assert campaign.done() == {PLAN[0].run_id}
    assert list(campaign.rows()) == [toy_row(PLAN[0])]
    campaign.store(toy_row(PLAN[1]))
    assert campaign.done() == {run.run_id for run in PLAN[:2]}


def test_a_row_with_nan_is_not_stored(tmp_path: Path) -> None:
    campaign = toy_campaign(tmp_path, PLAN[:1])
    with pytest.raises(
        ValueError, match=r"^Out of range float values are not JSON compliant(: nan)?$"
    ):
        campaign.store(toy_row(PLAN[0]) | {"weight_norm": [float("nan"), 1.0]})
    assert files_of(campaign) == set()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"run_id": 3}'])
def test_a_damaged_run_file_is_named_with_a_remedy(tmp_path: Path, text: str) -> None:
    campaign = toy_campaign(tmp_path, PLAN[:1])
    path = campaign.runs / f"{PLAN[0].run_id}.json"
    path.write_text(text)
    start, end = (
        re.escape(f"{str(path)!r} is damaged ("),
        re.escape("); delete it to train the run again"),
    )
    with pytest.raises(ValueError, match=f"^{start}.+{end}$"):
        list(campaign.rows())


def test_a_null_accuracy_counts_as_damage(tmp_path: Path) -> None:
    campaign = toy_campaign(
        tmp_path, PLAN[:1], [toy_row(PLAN[0]) | {"valid_accuracy": [0.5, None]}]
    )
    with pytest.raises(ValueError, match=r" is damaged \(.+\); delete it to train the run again$"):
        list(campaign.rows())


@pytest.mark.parametrize("text", ["", "1", "1/", "a/2", "1/2/3", "1 / 2", "-1/2", "\u0661/\u0664"])
def test_a_malformed_shard_is_refused(text: str) -> None:
    message = f"`shard` (={text!r}) must be i/n, as 1/4"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_shard(text)
    assert parse_shard("3/4") == (3, 4)


@pytest.mark.parametrize("text", ["1/99999999999999999999", "1/" + "9" * 5000, "10000000/1"])
def test_a_shard_with_long_numbers_is_refused(text: str) -> None:
    message = f"`shard` (={text!r}) must have at most 7 digits a number"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_shard(text)


def test_a_campaign_without_a_plan_says_how_to_make_one(tmp_path: Path) -> None:
    path = tmp_path / "plan.jsonl"
    message = (
        f"no plan at {str(path)!r}; make one with `peephole generate plan --campaign {tmp_path}`"
    )
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(message)}$"):
        run_campaign(Campaign(tmp_path), options_of())


def test_a_campaign_on_disk_has_its_plan_recipes_and_environment(tmp_path: Path) -> None:
    campaign = toy_campaign(tmp_path / "new", PLAN)
    assert campaign.plan() == PLAN
    assert campaign.recipes() == {RECIPE.recipe_id: RECIPE}
    versions = environment()
    path = campaign.folder / "environments" / f"{environment_id(versions)}.json"
    assert json.loads(path.read_text()) == versions
    recipes = release_recipes()
    assert recipes == {RECIPES[name].recipe_id: RECIPES[name] for name in RECIPES}


def test_an_environment_names_versions_and_no_host() -> None:
    versions = environment()
    assert versions["torch"] == torch.__version__
    assert os.uname().nodename not in versions.values()
    assert environment_id(versions | {"torch": "0"}) != environment_id(versions)
    assert re.fullmatch("[0-9a-f]{12}", environment_id(versions))


def test_a_processor_without_a_model_name_has_the_name_of_its_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "cpuinfo"
    monkeypatch.setattr("generators.environment.CPU_INFO", table)
    kind = os.uname().machine
    assert CPU_INFO.name == table.name
    assert device_name(torch.device("cpu")) == kind
    table.write_text("processor : 0\nmodel name\t: Quick CPU @ 2: GHz\n")
    assert device_name(torch.device("cpu")) == "Quick CPU @ 2: GHz"
    table.write_text("processor : 0\n")
    assert device_name(torch.device("cpu")) == kind


def counts(groups: list[PlannedRun]) -> dict[tuple[str, str], int]:
    keys = [(run.architecture.skeleton, run.split) for run in groups]
    return {key: keys.count(key) for key in keys}


def test_status_counts_finished_and_planned_runs(tmp_path: Path) -> None:
    plan = release_plan()
    toy_campaign(tmp_path, plan, [toy_row(run) for run in plan[:9]])
    groups, damaged = campaign_status(tmp_path)
    assert damaged == []
    assert {(g.skeleton, str(g.split)): g.planned for g in groups} == counts(plan)
    done = {(g.skeleton, str(g.split)): g.done for g in groups if g.done}
    assert done == counts(plan[:9])
    code, text = invoke("status", "--campaign", tmp_path, "--json")
    assert (code, json.loads(text)) == (0, [{**g.__dict__} for g in groups])
    assert invoke("status", "--campaign", tmp_path)[1].splitlines()[-1].split() == [
        "all", "9", "0", str(len(plan)),
    ]  # fmt: skip


def test_the_pilot_is_planned_for_one_image_set(tmp_path: Path) -> None:
    place = ("plan", "--pilot", "--campaign", tmp_path, "--images", "digits")
    result = CliRunner().invoke(generate, [*map(str, place), "--images", "mnist"])
    assert result.exit_code == 2
    assert result.stderr.endswith("Error: --pilot takes one image set\n")
    result = CliRunner().invoke(generate, [*map(str, place), "--networks", "9"])
    assert result.stderr.endswith("Error: --pilot takes no --networks\n")
    assert list(tmp_path.iterdir()) == []
    code, text = invoke(*place)
    assert code == 0
    assert re.fullmatch(
        rf"48 runs planned in {re.escape(str(tmp_path))}, [\d.]+ tera multiply-accumulates\n", text
    )
    assert [recipe.peak_rate for recipe in Campaign(tmp_path).recipes().values()] == [0.02, 0.05]
    other = ("plan", "--pilot", "--campaign", tmp_path / "other")
    assert invoke(*other, "--rate", "0.1", "--rate", "0.2", "--rate", "0.3")[0] == 0
    assert [r.peak_rate for r in Campaign(tmp_path / "other").recipes().values()] == [0.1, 0.2, 0.3]
    result = CliRunner().invoke(generate, ["plan", "--rate", "0.1"])
    assert result.stderr.endswith("Error: --rate needs --pilot\n")


def test_the_command_merges_finished_runs(tmp_path: Path) -> None:
    plan = release_plan()
    toy_campaign(tmp_path / "campaign", plan, [toy_row(run) for run in plan])
    code, text = invoke(
        "merge",
        "--campaign",
        tmp_path / "campaign",
        "--data",
        tmp_path / "data",
        "--release",
        "2.0.0",
    )
    assert code == 0
    lines = dict(line.split(": ") for line in text.splitlines())
    assert sum(int(count.split()[0]) for count in lines.values()) == len(plan)
    assert json.loads((tmp_path / "data" / "manifest.json").read_text())["version"] == "2.0.0"
