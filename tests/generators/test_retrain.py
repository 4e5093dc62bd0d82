"""Retrained runs: which agree with the published ones, and the report."""

import base64
import json
import re
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from benchmark.publish.finish import finish_release
from benchmark.publish.verify import verify_release
from benchmark.release import Release
from benchmark.retrained import KINDS, Comparison, Verification, read_retrained
from benchmark.schema import EPOCH_SERIES
from benchmark.space.imagesets import get_images
from generators.campaign.merge import merge
from generators.campaign.published import planned_again, published_rows
from generators.checks.agreement import compare, final_accuracy, kind_of, seed_differences, verdicts
from generators.checks.retrain import report, stratified_sample, verify
from generators.checks_cli import verify as verify_command
from generators.workers.planned_run import PlannedRun, Row
from generators.workers.worker import prepare, train_run
from tests.toys.campaign import bits, job_of, options_of, tiny_plan, toy_campaign, toy_row

SPREAD = np.linspace(0.001, 0.1, 100)
PLAN = [*tiny_plan(2), *tiny_plan(2, skeleton="stages-4x1"), *tiny_plan(2, seed=1)]


def trained(plan: list[PlannedRun]) -> list[Row]:
    """Return the rows of real trainings, as a worker returns them."""
    with ThreadPoolExecutor(1, initializer=prepare) as pool:
        return list(pool.map(train_run, map(job_of, plan)))


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a release of real trainings with two epochs; two networks have two seeds."""
    place = tmp_path_factory.mktemp("release")
    rows = trained(PLAN)
    merge([toy_campaign(place / "campaign", PLAN, rows)], place / "data", "0.0.1")
    return place / "data"


def row_with(final: float, **fields: object) -> Row:
    """Return a toy row with a final accuracy."""
    return toy_row(PLAN[0]) | {"valid_accuracy": [0.2, final]} | fields


def comparison(difference: float, kind: str = KINDS[0]) -> Comparison:
    first = row_with(0.5)
    return replace(compare(first, row_with(0.5 + difference), SPREAD), kind=kind)


def test_the_same_run_on_the_same_machine_is_identical(release: Path, threads: None) -> None:
    found = verify("digits", 4, options_of(), release=Release(release))
    assert (found.asked, len(found.comparisons)) == (4, 4)
    assert all(c.identical and c.within and c.kind == KINDS[0] for c in found.comparisons)
    assert Counter(c.skeleton for c in found.comparisons) == {"shallow-3x1": 2, "stages-4x1": 2}
    (verdict,) = found.verdicts
    assert (verdict.identical, verdict.median, verdict.failed) == (4, 0.0, 0)
    assert verdict.agrees


def test_a_published_run_is_planned_as_it_was(release: Path) -> None:
    rows = {
        str(row["run_id"]): (row, split)
        for split, row in published_rows("digits", Release(release))
    }
    again = [planned_again(*rows[run.run_id], Release(release)) for run in PLAN]
    assert again == PLAN


def test_a_changed_curve_is_not_identical_but_may_be_within(release: Path) -> None:
    first = row_with(0.5)
    for name in (n for n in (*EPOCH_SERIES, "train_loss_tenths") if n != "epoch_seconds"):
        values = first[name]
        assert isinstance(values, list)
        other = compare(first, first | {name: [values[0] / 2, *values[1:]]}, SPREAD)
        assert not other.identical
        assert other.within
    assert compare(first, first | {"epoch_seconds": [9.0, 9.0]}, SPREAD).identical


def test_within_means_up_to_the_95th_percentile_of_differences_between_seeds() -> None:
    assert compare(row_with(0.5), row_with(0.5 + 0.0950), SPREAD).within
    assert not compare(row_with(0.5), row_with(0.5 - 0.0953), SPREAD).within


def test_differences_like_those_between_seeds_agree() -> None:
    rng = np.random.default_rng(0)
    signs = rng.choice([-1, 1], 30)
    (verdict,) = verdicts(
        [comparison(d * s) for d, s in zip(rng.choice(SPREAD, 30), signs, strict=True)], SPREAD
    )
    assert verdict.agrees
    assert verdict.networks == 30


def test_larger_differences_do_not_agree_even_if_symmetric_about_zero() -> None:
    (verdict,) = verdicts([comparison(0.2 * (-1) ** i) for i in range(30)], SPREAD)
    assert verdict.larger is not None
    assert verdict.larger < 1e-6
    assert verdict.shifted is not None
    assert verdict.shifted > 0.5
    assert not verdict.agrees


def test_a_shift_within_the_spread_does_not_agree() -> None:
    (verdict,) = verdicts([comparison(-0.01 - 0.001 * i) for i in range(15)], SPREAD)
    assert verdict.within == 15
    assert verdict.larger is not None
    assert verdict.larger > 0.5
    assert verdict.shifted is not None
    assert verdict.shifted < 0.001
    assert not verdict.agrees


def test_one_run_far_off_does_not_agree_and_one_near_does() -> None:
    spread = np.linspace(0, 0.02, 32)
    for retrained, agrees in ((0.1, False), (0.89, True)):
        comparison = compare(row_with(0.9), row_with(retrained), spread)
        (verdict,) = verdicts([comparison], spread)
        assert verdict.agrees is agrees


def test_a_failed_training_does_not_agree() -> None:
    failed = compare(row_with(0.5), row_with(0.5, status="failed"), SPREAD)
    assert (failed.retrained, failed.within) == (None, False)
    (verdict,) = verdicts([comparison(0.0), failed], SPREAD)
    assert (verdict.networks, verdict.failed, verdict.agrees) == (2, 1, False)
    (alone,) = verdicts([failed], SPREAD)
    assert (alone.larger, alone.shifted, alone.agrees) == (None, None, False)


def test_each_kind_gets_its_own_verdict_in_order() -> None:
    mixed = [comparison(0.0, KINDS[4]), comparison(0.0, KINDS[1])]
    assert [verdict.kind for verdict in verdicts(mixed, SPREAD)] == [KINDS[1], KINDS[4]]


@pytest.mark.parametrize(
    ("device", "other", "environment", "kind"),
    [
        ("NVIDIA H200", "NVIDIA H200", "a", 0),
        ("Intel(R) Xeon(R) Processor", "Intel(R) Xeon(R) Processor", "b", 1),
        ("NVIDIA H200", "NVIDIA H100 80GB HBM3", "b", 2),
        ("AMD EPYC 9654", "Intel(R) Xeon(R) Processor", "a", 3),
        ("NVIDIA H200", "AMD EPYC 9654", "b", 4),
    ],
)
def test_a_kind_describes_how_two_trainings_differ(
    device: str, other: str, environment: str, kind: int
) -> None:
    first = row_with(0.5, device=device, environment_id="a")
    assert kind_of(first, row_with(0.5, device=other, environment_id=environment)) == KINDS[kind]


def test_the_spread_has_one_pair_for_each_repeated_network() -> None:
    finals = {(0, 0): 0.5, (0, 1): 0.75, (0, 2): 0.9, (1, 0): 0.25, (2, 1): 0.5, (2, 2): 0.375}
    rows = [
        row_with(final, architecture_id=str(network), seed=seed)
        for (network, seed), final in finals.items()
    ]
    rows.append(row_with(0.0, architecture_id="1", seed=1, status="failed"))
    assert seed_differences(rows).tolist() == [0.25, 0.125]


def test_a_kind_without_a_retrained_run_has_no_medians(tmp_path: Path) -> None:
    failed = compare(row_with(0.5), row_with(0.5, status="failed"), SPREAD)
    (verdict,) = verdicts([failed], SPREAD)
    assert (verdict.failed, verdict.median, verdict.agrees) == (1, None, False)
    assert verdict.cells[5:] == ("-", "0.0505", "no")
    found = Verification(1, (failed,), (verdict,))
    assert list(report(found))[-1].endswith(
        "median difference -, between seeds 0.0505; p-values: no larger -, not shifted -"
    )
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits" / "retrained.json").write_text(json.dumps(asdict(found)))
    assert read_retrained("digits", tmp_path) == found


def test_any_prefix_of_a_sample_has_every_skeleton_in_turn(release: Path) -> None:
    published = published_rows("digits", Release(release))
    order = stratified_sample(published, 0)
    assert sorted(str(row["run_id"]) for _, row in order) == sorted(r.run_id for r in PLAN)
    assert {str(row["skeleton"]) for _, row in order[:2]} == {"shallow-3x1", "stages-4x1"}
    assert stratified_sample(published[::-1], 0) == order
    assert any(stratified_sample(published, seed) != order for seed in range(1, 6))


def test_the_command_prints_what_agrees(release: Path, threads: None, tmp_path: Path) -> None:
    arguments = ["--data", str(release), "--networks", "2", "--workers", "1"]
    result = CliRunner().invoke(verify_command, arguments)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line.endswith("+0.0000  identical") for line in lines[1:3]] == [True, True]
    assert lines[3] == "2 of 2 networks retrained"
    assert lines[4].startswith("same device, same versions: agrees. 2 networks, 2 identical, ")
    record = CliRunner().invoke(verify_command, [*arguments, "--json"]).stdout
    assert [c["identical"] for c in json.loads(record)["comparisons"]] == [True, True]
    copy = shutil.copytree(release, tmp_path / "data")
    assert "## Runs trained again" not in (copy / "README.md").read_text()
    (copy / "digits" / "retrained.json").write_text(record)
    finish_release(copy, signed=["digits/retrained.json"])
    row = "| `digits` | same device, same versions | 2 | 0 | 2 | 2 | 0.0000 | "
    assert row in (copy / "README.md").read_text()
    assert verify_release(copy) == []
    (copy / "digits" / "retrained.json").write_text(record.replace("asked", "ask"))
    message = "unknown field 'ask'; did you mean 'asked'? Known: asked, comparisons, verdicts"
    with pytest.raises(ValueError, match=f"retrained.json: {re.escape(message)}$"):
        finish_release(copy, signed=["digits/retrained.json"])


def test_a_release_with_false_accuracies_does_not_agree(tmp_path: Path, threads: None) -> None:
    plan = [*tiny_plan(7), *tiny_plan(2, seed=1)]
    rows = [with_raised_accuracy(row) for row in trained(plan)]
    merge([toy_campaign(tmp_path / "campaign", plan, rows)], tmp_path / "data", "0.0.1")
    arguments = ["--data", str(tmp_path / "data"), "--networks", "9"]
    result = CliRunner().invoke(verify_command, arguments)
    assert result.exit_code == 1
    assert "DOES NOT AGREE" in result.stdout


def with_raised_accuracy(row: Row) -> Row:
    """Return a row with a final accuracy and bits that were raised, as much for every seed."""
    valid, right = get_images("digits").valid, bits(row)
    lucky = min(valid, round((final_accuracy(row) + 0.3) * valid))
    right[:valid] = np.arange(valid) < lucky
    correct = base64.b64encode(np.packbits(right).tobytes()).decode()
    return row | {"valid_accuracy": [0.2, lucky / valid], "correct": correct}


def test_without_time_nothing_is_compared(release: Path, threads: None) -> None:
    arguments = ["--data", str(release), "--minutes", "1e-9"]
    result = CliRunner().invoke(verify_command, arguments)
    assert result.exit_code == 3
    assert result.stdout.splitlines()[-1] == "0 of 6 networks retrained"


def test_what_cannot_be_verified_says_why(release: Path, tmp_path: Path) -> None:
    message = f"{str(release)!r} holds no runs on 'mnist'"
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(message)}$"):
        verify("mnist", 1, options_of(), release=Release(release))
    plan = PLAN[:2]
    merge([toy_campaign(tmp_path / "c", plan, [toy_row(r) for r in plan])], tmp_path / "d", "0.0.1")
    message = "no network on 'digits' has runs with two seeds to measure the spread"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        verify("digits", 1, options_of(), release=Release(tmp_path / "d"))
