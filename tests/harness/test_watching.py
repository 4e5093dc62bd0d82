"""What predictions are worth in epochs of watching: by hand, and as a command."""

import json
import re
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.stats import kendalltau

from benchmark.release import Release
from harness.results.folder import HOW
from harness.results.store import write_result
from harness.running.evaluate import evaluate
from harness.running.find_predictor import find
from harness.scoring.noise_ceiling import RepeatedNetwork, tau_of_another_run
from harness.studies.watching import Watching, compare_with_watching, equal_epoch, watching_lines
from harness.studies.watching_plot import THEMES, draw_watching, watching_sentence
from harness.task_data import load_targets
from peephole_command import peephole
from tests.toys.data import EPOCHS, changed_task, toy_release

NAMES = ("digits-k0-v1", "digits-k1-v1")
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return Release(toy_release(tmp_path_factory.mktemp("release")))


@pytest.fixture(scope="module")
def results(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    for task in NAMES:
        for name in ("mean-curve", "last-plus-gain", "nearest-neighbours"):
            write_result(folder, *evaluate(find(name), release.task(task), release=release))
    return folder


@pytest.fixture(scope="module")
def watching(release: Release, results: Path) -> Watching:
    return compare_with_watching([release.task(name) for name in NAMES[::-1]], [results], release)


@pytest.mark.parametrize(
    ("tau", "epoch"), [(0.2, 1.0), (0.1, 0.5), (0.3, 1.5), (0.8, 3.0), (0.9, 3.5), (1.0, 4.0)]
)
def test_the_equal_epoch_is_the_first_and_lies_between_two(tau: float, epoch: float) -> None:
    last_value = np.array([0.2, 0.4, 0.8, 1.0, 0.9])
    assert equal_epoch(tau, last_value) == pytest.approx(epoch)


def test_a_tau_that_watching_never_reaches_is_worth_all_epochs() -> None:
    assert equal_epoch(0.95, np.array([0.2, 0.9])) == 2.0
    assert np.isnan(equal_epoch(float("nan"), np.array([0.2, 0.9])))


def test_the_last_value_and_the_best_predictor_are_those_of_test(
    release: Release, results: Path, watching: Watching
) -> None:
    targets = load_targets(release.task(NAMES[0]), release).valid_accuracy
    curves = targets.curves[np.array(targets.splits) == "test"]
    by_hand = [kendalltau(curves[:, e], curves[:, -1]).statistic for e in range(EPOCHS)]
    assert [s.value for s in watching.last_value] == pytest.approx(by_hand)
    assert (watching.images, watching.networks) == ("digits", len(curves))
    assert [e.observed for e in watching.equivalents] == [0, 1]
    for equivalent, task in zip(watching.equivalents, NAMES, strict=True):
        taus = {
            path.stem: json.loads(path.read_text())["scores"]["test"]["tau"]["value"]
            for path in (results / task).glob("*.json")
        }
        assert equivalent.predictor == max(sorted(taus), key=lambda name: taus[name])
        assert equivalent.tau.value == pytest.approx(taus[equivalent.predictor])
        worth = equal_epoch(float(equivalent.tau.value or 0), np.array(by_hand))
        assert equivalent.equals.value == pytest.approx(worth)
        assert equivalent.equals.low is not None
        assert equivalent.equals.high is not None
        assert 0 <= equivalent.equals.low <= equivalent.equals.high <= EPOCHS


def test_another_run_orders_as_another_seed_does() -> None:
    finals = np.array([[0.1, 0.4], [0.3, 0.2], [0.5, 0.6], [0.7, 0.9]])
    networks = [RepeatedNetwork(str(i), runs, runs > 0.2) for i, runs in enumerate(finals)]
    # Choices of the two runs are independent between networks
    net = [
        np.sign(a - b) * np.sign(finals[i, 1 - x] - finals[j, 1 - y])
        for i, j in permutations(range(4), 2)
        for x, a in enumerate(finals[i])
        for y, b in enumerate(finals[j])
    ]
    assert tau_of_another_run(networks)[0] == pytest.approx(np.mean(net))
    alike = [RepeatedNetwork(n.architecture_id, np.full(2, 0.5), n.learned) for n in networks]
    assert np.isnan(tau_of_another_run(alike)).all()


def test_every_held_out_skeleton_with_a_ceiling_is_named(watching: Watching) -> None:
    assert [t.skeleton for t in watching.held_out] == ["deep-3x3", "residual-3x2"]
    assert watching.ceiling is not None
    lines = list(watching_lines(watching))
    assert lines[0] == (
        f"Kendall's tau of the final accuracy on {watching.networks} test networks of digits, with "
        "95 % intervals"
    )
    assert re.fullmatch(r" {7}0  \S+ +0\.\d{3} \[.*\]  .* of 20 +-", lines[2])
    assert lines[4].startswith("another whole training, with another seed: ")
    assert lines[5].startswith("ceiling before training: ")
    assert lines[6].startswith("deep-3x3: ")


def test_tasks_with_other_rows_are_refused(release: Release, results: Path) -> None:
    tasks = [release.task(NAMES[0]), changed_task(release.task(NAMES[1]), rows_digest="0" * 64)]
    with pytest.raises(ValueError, match=r"^all tasks must have the same rows$"):
        compare_with_watching(tasks, [results], release)


def test_the_picture_has_marks_where_the_numbers_are(watching: Watching) -> None:
    text = draw_watching(watching, THEMES["light"])
    root = ElementTree.fromstring(text)
    labels = [node.text or "" for node in root.iter(f"{SVG}text")]
    assert all(f"{watching.networks} test networks of digits" in line for line in labels[1:2])
    skeletons = [label.split(":")[0] for label in labels if label[:5] in ("deep-", "resid")]
    assert skeletons == [t.skeleton for t in watching.held_out]
    places = {n.text: float(n.get("y", 0)) for n in root.iter(f"{SVG}text") if n.get("x") == "52.0"}
    unit = (places["0.2"] - places["0.8"]) / 0.6  # pixels of 1
    circles = [float(node.get("cy", 0)) for node in root.iter(f"{SVG}circle")][1:]
    taus = [e.tau.value or 0 for e in watching.equivalents]
    zero = places["0.0"] - 4  # texts stand 4 pixels below their line
    assert circles == pytest.approx([zero - unit * max(tau, 0) for tau in taus], abs=0.2)


def test_both_themes_draw_the_same(watching: Watching) -> None:
    light, dark = (draw_watching(watching, THEMES[name]) for name in ("light", "dark"))
    assert light != dark
    assert re.sub(r"#[0-9a-f]{6}", "#", light) == re.sub(r"#[0-9a-f]{6}", "#", dark)


def test_the_picture_of_a_single_task_without_repeats(watching: Watching) -> None:
    bare = replace(watching, another_run=None, ceiling=None, held_out=())
    drawn = draw_watching(bare, THEMES["light"])
    assert "ceiling" not in drawn
    assert "another" not in drawn + watching_sentence(bare)


def test_the_command_prints_and_draws(release: Release, results: Path, tmp_path: Path) -> None:
    words = [
        "watch",
        "--images",
        "digits",
        "--data",
        str(release.folder),
        "--results",
        str(results),
    ]
    done = CliRunner().invoke(peephole, [*words, "--plot", str(tmp_path / "a.svg")])
    # The toy has a third task without results
    assert done.exit_code == 2
    assert done.stderr == f"peephole: error: no scored result on digits-k5-v1; {HOW}\n"
    write_result(
        results, *evaluate(find("last-value"), release.task("digits-k5-v1"), release=release)
    )
    done = CliRunner().invoke(peephole, [*words, "--plot", str(tmp_path / "a.svg")])
    assert done.exit_code == 0, done.stderr
    assert len(done.stdout.splitlines()) == 9
    assert (tmp_path / "a.svg").read_text().startswith("<svg ")
    done = CliRunner().invoke(peephole, [*words, "--plot", "a.png"])
    assert done.stderr == "peephole: error: `plot` (='a.png') must end in .svg\n"
    done = CliRunner().invoke(peephole, [*words[:2], "digit("])
    message = "peephole: error: unknown images 'digit('; did you mean 'digits'?"
    assert done.stderr.startswith(message)
    found = json.loads(CliRunner().invoke(peephole, [*words, "--json"]).stdout)
    assert [e["observed"] for e in found["equivalents"]] == [0, 1, 5]
