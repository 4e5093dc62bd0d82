"""Calibration runs: their plan, their place in a release, and the agreement that they show."""

import base64
import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from benchmark.calibration import agreements, calibration_path
from benchmark.cli import data
from benchmark.manifest import read_manifest
from benchmark.publish.verify import verify_release
from benchmark.recipes import RECIPES
from benchmark.release import Release
from benchmark.runs import rows_to_table, write_table
from benchmark.space.imagesets import get_images
from generators.campaign.calibration import (
    NETWORKS,
    WHOLE,
    add_calibration,
    calibration_plan,
    calibration_recipes,
)
from generators.campaign.campaign import Campaign
from generators.campaign.merge import merge
from generators.campaign.plan import make_plan
from generators.campaign.published import published_ids
from generators.cli import generate
from generators.environment import environment
from generators.workers.planned_run import PlannedRun, Row
from tests.toys.campaign import published_rows, sign, toy_row

LONGER, WIDER, FULL = calibration_recipes("cifar10")
PLAN = calibration_plan("cifar10")
NAMES = {run.drawn_architecture_id for run in PLAN}
OWN = [run for run in make_plan(["cifar10"]) if run.drawn_architecture_id in NAMES]
Finals = dict[tuple[str, int], float]  # by the id of the drawn architecture, and the seed


def campaign_of(folder: Path, runs: list[PlannedRun], rows: list[Row]) -> Campaign:
    campaign, own = Campaign(folder), RECIPES["cifar10"]
    campaign.create(runs, calibration_recipes("cifar10") | {own.recipe_id: own})
    campaign.note_environment(environment())
    for row in rows:
        campaign.store(row)
    return campaign


def final(row: Row) -> float:
    accuracies = row["valid_accuracy"]
    assert isinstance(accuracies, list)
    return float(accuracies[-1])


def row_with(run: PlannedRun, accuracy: float) -> Row:
    """Return a row with a final valid accuracy, right about the first images only."""
    right = np.arange(20_000) < round(10_000 * accuracy)
    bits = base64.b64encode(np.packbits(right).tobytes()).decode()
    accuracies = {"valid_accuracy": [0.2, accuracy], "test_accuracy": [0.2, 0.0]}
    return toy_row(run) | accuracies | {"correct": bits}


@pytest.fixture(scope="module")
def finals(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Finals]:
    """Return a release with calibration runs, and the accuracies of its released runs.

    Longer training keeps the order of networks, and full width turns it round.
    """
    place = tmp_path_factory.mktemp("calibration")
    rows = [toy_row(run) for run in OWN]
    merge([campaign_of(place / "own", OWN, rows)], place / "data", "1.0.0")
    known = {(str(row["drawn_architecture_id"]), int(str(row["seed"]))): final(row) for row in rows}
    other = []
    for run in PLAN:
        value = known[run.drawn_architecture_id, 0]
        value = {LONGER: value + 0.05, WIDER: 1 - value, FULL: 0.5}[run.recipe_id]
        other.append(row_with(run, value))
    campaign = campaign_of(place / "other", PLAN, other)
    for _ in range(2):  # at first all runs are new, then none
        added = add_calibration([campaign], "cifar10", place / "data")
        assert added == {("cifar10", "calibration"): 56}
        assert read_manifest(place / "data").version == "1.1.0"
    return place / "data", known


def test_each_kind_of_training_has_the_same_networks() -> None:
    kinds = {name: [r for r in PLAN if r.recipe_id == name] for name in (LONGER, WIDER, FULL)}
    assert [len(runs) for runs in kinds.values()] == [24, 24, WHOLE] == [24, 24, 8]
    assert {r.drawn_architecture_id for r in kinds[LONGER]} == NAMES
    assert {r.drawn_architecture_id for r in kinds[WIDER]} == NAMES
    for runs in (kinds[LONGER], kinds[WIDER]):
        assert Counter(run.architecture.skeleton for run in runs) == NETWORKS
        assert {run.split for run in runs} == {"test", "heldout"}
    width = {run.drawn_architecture_id: run.cost for run in kinds[WIDER]}
    whole = {run.drawn_architecture_id for run in kinds[FULL]}
    assert max(width[name] for name in whole) <= min(width[name] for name in NAMES - whole)
    assert {run.seed for run in PLAN} == {0}


def test_every_network_has_three_released_seeds() -> None:
    assert Counter(run.seed for run in OWN) == {0: 24, 1: 24, 2: 24}


def test_recipes_differ_from_the_released_one_in_what_they_say() -> None:
    longer, wider, full = calibration_recipes("cifar10").values()
    assert longer.images_per_epoch == 5 * 2_000
    assert (get_images(wider.images).halved, wider.images_per_epoch) == (False, 2_000)
    assert (full.images, full.images_per_epoch, full.batch) == ("cifar10-full", None, 250)
    assert {longer.precision, wider.precision, full.precision} == {"fp32"}
    one, own = get_images("cifar10-full-width"), get_images("cifar10")
    assert (one.measured, one.flipped, one.cropped) == (own.measured, own.flipped, own.cropped)


@pytest.mark.parametrize("images", ["mnist", "digits", "cifar10-full"])
def test_an_image_set_without_a_set_of_full_width_is_refused(images: str, tmp_path: Path) -> None:
    words = ["plan", "--calibration", "--images", images, "--campaign", str(tmp_path / "c")]
    done = CliRunner().invoke(generate, words)
    assert str(done.exception) == f"{images!r} has no calibration; cifar10 has one"
    assert not (tmp_path / "c").exists()


def test_the_command_plans_what_the_release_lacks(
    finals: tuple[Path, Finals], tmp_path: Path
) -> None:
    words = ["plan", "--calibration", "--data", str(finals[0]), "--campaign"]
    done = CliRunner().invoke(generate, [*words, str(tmp_path / "all")])
    assert done.output.startswith("56 runs planned in ")
    assert Campaign(tmp_path / "all").plan() == PLAN
    assert Campaign(tmp_path / "all").recipes() == calibration_recipes("cifar10")
    done = CliRunner().invoke(generate, [*words, str(tmp_path / "rest"), "--missing"])
    assert done.output.startswith("0 runs planned in ")
    assert {run.run_id for run in PLAN} <= published_ids(["cifar10"], Release(finals[0]))


def test_agreement_is_that_of_the_same_networks(finals: tuple[Path, Finals]) -> None:
    folder, known = finals
    seed, longer, wider, full = found = agreements("cifar10", Release(folder))
    assert [(a.training, a.networks) for a in found] == [
        ("another seed", 24), ("half width, 5 passes", 24),
        ("full width, 1 pass", 24), ("full width, 20 passes", 8),
    ]  # fmt: skip
    pairs = [(known[name, 0], known[name, 1]) for name in sorted(NAMES)]
    agree = [
        1 if (a[0] - b[0]) * (a[1] - b[1]) > 0 else -1
        for i, a in enumerate(pairs)
        for b in pairs[:i]
    ]
    assert seed.tau == pytest.approx(sum(agree) / len(agree))
    assert seed.low < seed.tau < seed.high
    assert (longer.tau, longer.low, longer.high) == pytest.approx((1, 1, 1))
    assert wider.tau == pytest.approx(-1)
    assert (full.tau, full.low, full.high) == (0, 0, 0)  # a constant
    mean = sum(first for first, _ in pairs) / 24
    assert longer.released == pytest.approx(mean, abs=1e-6)
    assert longer.accuracy == pytest.approx(mean + 0.05, abs=1e-6)


def test_the_command_shows_the_table_of_the_card(finals: tuple[Path, Finals]) -> None:
    done = CliRunner().invoke(data, ["calibration", "--data", str(finals[0])])
    rows = [line.split() for line in done.output.splitlines()]
    assert [row[:2] for row in rows[:2]] == [["training", "recipe"], ["another", "seed"]]
    card = (finals[0] / "README.md").read_text()
    for agreement in agreements("cifar10", Release(finals[0])):
        assert f"| `cifar10` | {' | '.join(agreement.cells)} |\n" in card
    done = CliRunner().invoke(data, ["calibration", "--data", str(finals[0]), "--json"])
    assert [json.loads(row)["networks"] for row in done.output.splitlines()] == [24, 24, 24, 8]
    done = CliRunner().invoke(data, ["calibration", "--data", str(finals[0]), "--images", "mnist"])
    assert done.output == f"Error: {str(finals[0])!r} has no calibration of 'mnist'\n"


def test_published_calibration_runs_cannot_be_changed(
    finals: tuple[Path, Finals], tmp_path: Path
) -> None:
    before = calibration_path("cifar10", finals[0]).read_bytes()
    other = campaign_of(tmp_path / "c", PLAN, [row_with(PLAN[0], 0.3)])
    with pytest.raises(ValueError, match=f"^run '{PLAN[0].run_id}' is in .* different content"):
        add_calibration([other], "cifar10", finals[0])
    own = campaign_of(tmp_path / "own", OWN, [toy_row(OWN[0])])
    with pytest.raises(ValueError, match=f"^run '{OWN[0].run_id}' is no calibration run"):
        add_calibration([own], "cifar10", finals[0])
    with pytest.raises(ValueError, match=r"is finished; `peephole generate run` trains them$"):
        add_calibration([campaign_of(tmp_path / "none", PLAN, [])], "cifar10", finals[0])
    pair = [other, campaign_of(tmp_path / "d", PLAN, [row_with(PLAN[0], 0.4)])]
    with pytest.raises(ValueError, match=r"is in two campaigns with different content$"):
        add_calibration(pair, "cifar10", finals[0])
    assert calibration_path("cifar10", finals[0]).read_bytes() == before


def test_verify_looks_at_calibration_runs(finals: tuple[Path, Finals], tmp_path: Path) -> None:
    folder = shutil.copytree(finals[0], tmp_path / "data")
    assert verify_release(folder) == []
    path = calibration_path("cifar10", folder)
    rows = published_rows(path)
    rows[0] |= {"macs": 1}
    write_table(rows_to_table(rows), path)
    sign(folder)
    (problem,) = verify_release(folder)
    assert problem.startswith(f"`macs` of run {rows[0]['run_id']!r} is 1 and must be ")
    right = published_rows(calibration_path("cifar10", finals[0]))
    write_table(rows_to_table([*right, right[0]]), path)
    sign(folder)
    assert verify_release(folder) == ["cifar10/calibration.parquet has a run more than once"]
