"""Plans of fresh networks: in no release, from a secret, with the shares of the scored networks."""

import re
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmark.release import Release
from benchmark.space.imagesets import get_images
from benchmark.space.sampler import sequence
from benchmark.space.skeletons import SKELETONS
from benchmark.space.splits import split_of
from generators.campaign.campaign import Campaign
from generators.campaign.fresh import make_fresh_plan, released_architectures
from generators.campaign.merge import merge
from generators.cli import generate
from tests.toys.campaign import toy_campaign, toy_release, toy_row

SECRET = "a word that nobody else knows"


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return Release(toy_release(tmp_path_factory.mktemp("release")))


def test_fresh_networks_have_the_shares_of_the_scored_ones(release: Release) -> None:
    plan = make_fresh_plan(["digits"], 60, SECRET, release)
    skeletons = Counter(run.architecture.skeleton for run in plan)
    assert skeletons == {
        "peephole-3x2": 28, "shallow-3x1": 6, "wide-3x1": 6,
        **{name: 5 for name, skeleton in SKELETONS.items() if skeleton.held_out},
    }  # fmt: skip
    assert {run.seed for run in plan} == {0}
    assert len({run.architecture_id for run in plan}) == len(plan) == 60
    for run in plan:
        skeleton, drawn = run.architecture.skeleton, run.drawn_architecture_id
        assert run.split == split_of(skeleton, drawn)
    assert {run.split for run in plan} == {"train", "validation", "test", "heldout"}


def test_a_secret_gives_its_own_networks(release: Release) -> None:
    ids = [
        {run.architecture_id for run in make_fresh_plan(["digits"], 30, secret, release)}
        for secret in (SECRET, SECRET, SECRET + "!")
    ]
    assert ids[0] == ids[1]
    assert not ids[0] & ids[2]
    images = get_images("digits")
    usual = sequence("shallow-3x1", images)
    assert not ids[0] & {next(usual).architecture_id for _ in range(50)}


def test_networks_of_the_release_are_left_out(release: Release, tmp_path: Path) -> None:
    first = make_fresh_plan(["digits"], 30, SECRET, release)
    known = first[::3]
    published = Release(tmp_path / "data")
    merge([toy_campaign(tmp_path / "c", known, [toy_row(r) for r in known])], published.folder)
    assert released_architectures(published) == {run.architecture_id for run in known}
    again = make_fresh_plan(["digits"], 30, SECRET, published)
    assert len(again) == len(first)
    assert not {run.architecture_id for run in again} & {run.architecture_id for run in known}
    assert {run.architecture_id for run in first} - {run.architecture_id for run in known} <= {
        run.architecture_id for run in again
    }


def test_a_short_secret_is_refused(release: Release) -> None:
    message = (
        "a secret word of 15 characters must have at least 16, as `openssl rand -hex 16` prints"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make_fresh_plan(["digits"], 30, "x" * 15, release)


def test_the_command_plans_them_and_does_not_store_the_word(
    release: Release, tmp_path: Path
) -> None:
    given = ["plan", "--campaign", str(tmp_path / "c"), "--data", str(release.folder)]
    done = CliRunner().invoke(generate, [*given, "--fresh", SECRET, "--networks", "30"])
    assert done.exit_code == 0, done.output
    assert done.output.startswith("30 runs planned in ")
    assert len(Campaign(tmp_path / "c").plan()) == 30
    for path in (tmp_path / "c").rglob("*.*"):
        assert SECRET not in path.read_text()
    for wrong, message in (
        ([], "--fresh needs --networks"), (["--pilot"], "--pilot and --fresh cannot be combined"),
    ):  # fmt: skip
        done = CliRunner().invoke(generate, [*given, "--fresh", SECRET, *wrong])
        assert (done.exit_code, done.output.endswith(f"Error: {message}\n")) == (2, True)
