"""`peephole show`: networks, image sets and predictors, in the terminal and as pictures."""

import itertools
import re
import shutil
from collections import Counter
from pathlib import Path

import click
import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from benchmark.recipes import RECIPES
from benchmark.release import Release, load_runs
from benchmark.runs import split_path
from benchmark.space.imagesets import get_images
from benchmark.space.layer_walk import layer_word, walk
from benchmark.space.sampler import sequence
from benchmark.space.skeletons import SKELETONS
from benchmark.space.splits import SPLITS
from harness.protocol import Predictor
from harness.results.folder import HOW
from harness.results.store import read_result, write_result
from harness.running.evaluate import evaluate
from harness.running.find_predictor import Candidate, find
from leaderboard.show.chart import chart, density, histogram
from leaderboard.show.cli import show
from leaderboard.show.network import Network, drawn_lines, load_network, network_lines
from leaderboard.show.predictor import load_predictor
from leaderboard.show.split import group_lines, load_groups
from peephole_command import Root
from tests.toys.data import TAKEN, toy_release
from tests.toys.results import predictions_of

ROOT = Root("peephole", commands={"show": show})
GOLDEN = """\
1d148fcde9ecd956  residual-3x2, heldout split of digits
25,858 parameters, 543,040 multiply-accumulates, 50 layers

             8x8  stem       conv3x3:8 bn relu
stage 1      8x8  block 1  ┌ conv5x5:8 bn relu avg3x2 conv1x3:16 bn avg3x4
                           │ conv1x1:8
                           └ + identity
             8x8  block 2  ┌ conv4x4:24 tanh conv1x1:40 conv1x1:8
                           └ + identity
stage 2      8x8  reduce     max2x2/2
             4x4  block 3  ┌ conv4x5:16 bn relu
                           └ + conv1x1:16
             4x4  block 4  ┌ conv1x1:48 bn sigmoid max5x3 relu avg2x2
                           │ conv1x1:16
                           └ + identity
stage 3      4x4  reduce     max2x2/2
             2x2  block 5  ┌ conv5x5:8 relu max4x2 conv5x4:24 sigmoid
                           │ conv2x2:16 tanh conv1x1:32
                           └ + conv1x1:32
             2x2  block 6  ┌ conv2x4:16 tanh avg4x3 relu conv1x1:32
                           └ + identity
             2x2  head       mean linear:10

valid accuracy of seeds 0, 1, 2 (* where they overlap)
  1.0 ┤
  0.9 ┤
  0.8 ┤
  0.7 ┤                                                       1
  0.6 ┤                1  *  *  *  *  *  *  *  *  *  *  *  *  *  *
  0.5 ┤       1  *  *  *  0  0
  0.4 ┤    *  *  0
  0.3 ┤ *  0
  0.2 ┤ 0
  0.1 ┤
  0.0 ┤
      └────────────────────────────────────────────────────────────
        1           5             10             15             20  epoch

seed  status       valid    test  best epoch
   0  completed   0.5776  0.5759          17
   1  completed   0.6446  0.6431          19
   2  completed   0.6084  0.6145          15
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_release(tmp_path_factory.mktemp("release"), (0,))


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(ROOT, ["show", *map(str, arguments)], prog_name="peephole")


def first(folder: Path, split: str, skeleton: str) -> dict[str, str]:
    """Return the first run of a skeleton whose network has three runs."""
    columns = ("run_id", "architecture_id", "skeleton", "seed")
    rows = load_runs("digits", split, columns=columns, release=Release(folder)).to_pylist()
    repeated = {row["architecture_id"] for row in rows if row["seed"] == 2}
    found: dict[str, str] = next(
        row for row in rows if row["skeleton"] == skeleton and row["architecture_id"] in repeated
    )
    return found


@pytest.fixture(scope="module")
def results(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the results of a scored and of a failed predictor."""
    folder_of_results = tmp_path_factory.mktemp("results")
    task = Release(folder).task("digits-k0-v1")
    for candidate in (find("macs"), Candidate("broken", "Fails.", _fail, stochastic=False)):
        write_result(folder_of_results, *evaluate(candidate, task, release=Release(folder)))
    return folder_of_results


def _fail() -> Predictor:
    raise RuntimeError("no luck")


def test_show_network_prints_the_golden_text(folder: Path) -> None:
    row = first(folder, "heldout", "residual-3x2")
    for name in (row["architecture_id"], row["architecture_id"][:6], row["run_id"]):
        result = run("network", name, "--folder", folder)
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout == GOLDEN


@pytest.mark.parametrize("skeleton", SKELETONS)
@pytest.mark.parametrize("images", ["digits", "cifar10"])
def test_every_layer_is_drawn_once_within_80_columns(skeleton: str, images: str) -> None:
    image_set = get_images(images)
    for drawn in itertools.islice(sequence(skeleton, image_set), 20):
        rows = walk(drawn.architecture, image_set)
        lines = drawn_lines(rows)
        at_shortcuts = [row for row in rows if row.role in ("shortcut", "add")]
        assert sorted(map(id, [r for line in lines for r in line.rows] + at_shortcuts)) == sorted(
            map(id, rows)
        )
        blocks = [line for line in lines if line.name.startswith("block")]
        assert len(blocks) == len(drawn.architecture.blocks)
        assert all((line.shortcut is not None) == SKELETONS[skeleton].residual for line in blocks)
        nothing = np.zeros((0, 20))
        network = Network(
            "0" * 16, skeleton, images, "train", rows, RECIPES[images], (), (), nothing, nothing
        )
        text = [click.unstyle(line) for line in network_lines(network)]
        assert max(map(len, text)) <= 80
        assert text[-1] == "no run of this network was trained to the end"
        words = [word for line in text[3:-2] for word in line.split()]
        for word, count in Counter(layer_word(r) for line in lines for r in line.rows).items():
            assert words.count(word) >= count


def test_colours_are_for_terminals_only(folder: Path) -> None:
    name = first(folder, "train", "peephole-3x2")["architecture_id"]
    arguments = ["show", "network", name, "--folder", str(folder)]
    plain = CliRunner().invoke(ROOT, arguments, prog_name="peephole").stdout
    coloured = CliRunner().invoke(ROOT, arguments, prog_name="peephole", color=True).stdout
    assert "\x1b[" not in plain
    assert "\x1b[34mconv" in coloured
    assert click.unstyle(coloured) == plain


def test_a_network_has_exactly_its_runs(folder: Path) -> None:
    name = first(folder, "test", "peephole-3x2")["architecture_id"]
    network = load_network(name, release=Release(folder))
    table = load_runs("digits", "test", release=Release(folder))
    rows = [row for row in table.to_pylist() if row["architecture_id"] == name]
    assert network.seeds == tuple(sorted(row["seed"] for row in rows)) == (0, 1, 2)
    for seed, valid, test in zip(network.seeds, network.valid, network.test, strict=True):
        (row,) = (row for row in rows if row["seed"] == seed)
        assert valid.tolist() == row["valid_accuracy"]
        assert test.tolist() == row["test_accuracy"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("1d148fcde9ecd957", "no network or run of this release is called '1d148fcde9ecd957'; "
         "the nearest is '1d148fcde9ecd956'"),
        ("digits-1d148fcde9ecd956-fee34447fcbe-9", None),
        ("", None),
    ],
)  # fmt: skip
def test_an_unknown_network_is_refused_with_the_nearest_name(
    folder: Path, name: str, message: str | None
) -> None:
    start = f"no network or run of this release is called {name!r}; the nearest is '"
    pattern = re.escape(message) if message else re.escape(start) + r"[0-9a-f]{16}'"
    with pytest.raises(ValueError, match=f"^{pattern}$"):
        load_network(name, release=Release(folder))


def test_a_network_of_another_image_set_is_refused_with_its_own(folder: Path) -> None:
    row = first(folder, "train", "peephole-3x2")
    for name in (row["run_id"], row["architecture_id"], row["architecture_id"][:9].upper()):
        assert load_network(name, "digits", Release(folder)).images == "digits"
        with pytest.raises(ValueError, match=rf"^'{name}' is a network of digits, not of mnist$"):
            load_network(name, "mnist", Release(folder))
    message = "no network or run of this release is called 'xyz'"
    with pytest.raises(ValueError, match=f"^{message}$"):
        load_network("xyz", "mnist", Release(folder))
    with pytest.raises(ValueError, match=f"^{message}; the nearest is '"):
        load_network("xyz", release=Release(folder))


def test_an_id_may_be_written_in_capitals(folder: Path) -> None:
    release = Release(folder)
    (name, *_) = release.runs("digits", "test", columns=["architecture_id"])[0].to_pylist()
    for given in (name.upper(), name[:12].upper()):
        assert load_network(given, release=release).architecture_id == name


def test_a_prefix_of_several_networks_is_refused(folder: Path) -> None:
    tables = (load_runs("digits", split, release=Release(folder)) for split in SPLITS)
    ids = sorted({name for table in tables for name in table["architecture_id"].to_pylist()})
    by_digit = {digit: [name for name in ids if name[0] == digit] for digit in "0123456789abcdef"}
    many = {digit: names for digit, names in by_digit.items() if len(names) > 1}
    assert {len(names) > 3 for names in many.values()} == {False, True}
    for digit, names in many.items():
        shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        message = f"'{digit}' is a prefix of {len(names)} networks: {shown}"
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            load_network(digit, release=Release(folder))


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"^no runs in {re.escape(repr(str(tmp_path)))}$"):
        load_network("1d148f", release=Release(tmp_path))
    message = "data of 'mnist' is not in this release; there is data of no image set"
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(message)}$"):
        load_groups("mnist", Release(tmp_path))


def test_show_split_shows_a_release_that_lacks_a_split(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "data")
    split_path("digits", "validation", copy).unlink()
    splits = {group.split for group in load_groups("digits", Release(copy))}
    assert splits == {"train", "test", "heldout"}


def test_show_split_counts_every_run_once(folder: Path) -> None:
    groups = load_groups("digits", Release(folder))
    for group in groups:
        table = load_runs("digits", group.split, release=Release(folder)).to_pylist()
        rows = [row for row in table if row["skeleton"] == group.skeleton]
        assert group.runs == len(rows) == sum(group.statuses.values())
        assert group.networks == len({row["architecture_id"] for row in rows})
        finals = [r["valid_accuracy"][-1] for r in rows if not r["seed"] and r["valid_accuracy"]]
        assert sorted(curve[-1] for curve in group.curves if len(curve)) == sorted(finals)
    text = run("split", "digits", "--folder", folder).stdout.splitlines()
    assert text == list(group_lines("digits", groups))
    assert max(map(len, text)) <= 80
    runs = sum(len(load_runs("digits", split, release=Release(folder))) for split in SPLITS)
    assert text[0].startswith(f"digits: {runs} runs of ")
    assert any("no run was trained" in line for line in text)  # the network that failed


def test_quantiles_are_those_of_numpy(folder: Path) -> None:
    text = run("split", "digits", "--folder", folder).stdout.splitlines()
    start = next(i for i, line in enumerate(text) if line.startswith("train ") and " 5% " in line)
    table = load_runs("digits", "train", release=Release(folder)).to_pylist()
    finals = [r["valid_accuracy"][-1] for r in table if not r["seed"] and r["valid_accuracy"]]
    found = [float(line.split()[-1]) for line in text[start : start + 5]]
    expected = np.quantile(finals, (0.05, 0.25, 0.5, 0.75, 0.95))
    assert found == pytest.approx(expected, abs=5e-4)


def test_show_predictor_prints_its_scores(folder: Path, results: Path) -> None:
    arguments = ("predictor", "macs", "--task", "digits-k0-v1", "--results", results)
    result = run(*arguments, "--folder", folder)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0] == "macs: Isotonic fit to the multiply-accumulates"
    assert lines[1].startswith("source: this benchmark; uses the network only; harness.predictor")
    tau = read_result(results / "digits-k0-v1" / "macs.json").scores["test"]["tau"].value
    (test,) = (line for line in lines if line.startswith("test  "))
    assert test.split()[1:3] == ["14", f"{tau:.3f}"]
    skeletons = [line.split()[0] for line in lines if line.startswith("  ") and "-3x" in line]
    assert skeletons == [name for name in SKELETONS if name in TAKEN]
    assert max(map(len, lines[2:])) <= 80


def test_predictions_are_those_of_the_parquet_file(folder: Path, results: Path) -> None:
    shown = load_predictor("macs", "digits-k0-v1", [results], Release(folder))
    table = pq.read_table(predictions_of(results / "digits-k0-v1" / "macs.json")).to_pylist()
    last = {row["run_id"]: row["mean"] for row in table if row["epoch"] == 20}
    assert shown.predicted.tolist() == [last[run_id] for run_id in shown.targets.run_ids]
    predicted, true = shown.of("deep-3x3")
    assert len(predicted) == len(true) == 5


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mac", "no result of 'mac' on digits-k0-v1; did you mean 'macs'? "
         f"Known: broken, macs; {HOW}"),
        ("broken", "predictor 'broken' failed on digits-k0-v1: RuntimeError: no luck"),
    ],
)  # fmt: skip
def test_predictors_without_scores_are_refused(
    folder: Path, results: Path, name: str, message: str
) -> None:
    place = r"( \(test_show\.py:\d+ in _fail\))?"
    with pytest.raises((ValueError, FileNotFoundError), match=f"^{re.escape(message)}{place}$"):
        load_predictor(name, "digits-k0-v1", [results], Release(folder))


def test_missing_predictions_are_reported(folder: Path, results: Path, tmp_path: Path) -> None:
    (tmp_path / "digits-k0-v1").mkdir()
    shutil.copy(results / "digits-k0-v1" / "macs.json", tmp_path / "digits-k0-v1")
    message = r"macs\.[0-9a-f]{16}\.parquet: the predictions of a scored result are missing; "
    with pytest.raises(FileNotFoundError, match=message):
        load_predictor("macs", "digits-k0-v1", [tmp_path], Release(folder))


@pytest.mark.parametrize("ending", ["png", "svg"])
@pytest.mark.parametrize("what", ["network", "split", "predictor"])
def test_pictures_are_written_in_the_format_of_their_ending(
    folder: Path, results: Path, tmp_path: Path, what: str, ending: str
) -> None:
    pytest.importorskip("matplotlib")
    asked: dict[str, tuple[str | Path, ...]] = {
        "network": ("1d148f",),
        "split": ("digits",),
        "predictor": ("macs", "--task", "digits-k0-v1", "--results", results),
    }
    path = tmp_path / f"a.{ending}"
    result = run(what, *asked[what], "--folder", folder, "--output", path)
    assert result.exit_code == 0, result.output
    assert result.stderr == f"{path}\n"
    start = {"png": b"\x89PNG", "svg": b"<?xml"}[ending]
    assert path.read_bytes().startswith(start)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_another_ending_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    result = run("network", "1d148f", "--folder", tmp_path, "--output", "a.pgn")
    message = "unknown picture format 'pgn'; did you mean 'png'? Known: png, svg, pdf"
    assert (result.exit_code, result.stderr) == (2, f"peephole: error: {message}\n")


def test_charts_histograms_and_densities_by_hand() -> None:
    lines = list(chart(np.array([[0.0, 1.0], [0.0, 0.5]]), "ab"))
    assert lines[0] == "  1.0 ┤    a"
    assert lines[5] == "  0.5 ┤    b"
    assert lines[10] == "  0.0 ┤ *"
    assert histogram(np.array([0.05] * 8 + [0.95]), 10) == "█        ▁"
    rows = list(density(np.array([0.1, 0.9, 0.9]), np.array([0.9, 0.1, 0.1]), 2, 2))
    assert rows == ["  1 │▓ │", "  0 │ █│", "    └──┘", "     0predicted1"]
