"""`peephole show features`: its table, its object of JSON and its picture."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from benchmark.release import Release
from benchmark.space.architectures import from_record
from benchmark.space.imagesets import get_images
from benchmark.space.layer_walk import layer_word, walk
from harness.features.architecture import in_ulc
from harness.running.find_predictor import find
from harness.studies.learned_features import study_features
from leaderboard.show.cli import show
from leaderboard.show.features import features_lines
from peephole_command import Root
from tests.toys.data import toy_release

ROOT = Root("peephole", commands={"show": show})
QUICK = """
from harness.predictors.encoders.lstm import Peephole

class Quick(Peephole):
    def __init__(self):
        super().__init__(training_epochs=1)
"""
TASK = "digits-k0-v1"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = toy_release(tmp_path_factory.mktemp("release"), (0,))
    (folder / "quick.py").write_text(QUICK)
    return folder


def run(folder: Path, *arguments: str | Path, predictor: str = "", task: str = TASK) -> Result:
    name = predictor or f"{folder / 'quick.py'}:Quick"
    words = ["show", "features", "--predictor", name, "--task", task, "--data", str(folder)]
    return CliRunner().invoke(ROOT, [*words, *map(str, arguments)], prog_name="peephole")


def record(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    (line,) = result.stdout.splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def test_the_table_has_every_agreement_and_the_units_along_a_network(folder: Path) -> None:
    result = run(folder, "--neighbours", "3", "--seed", "2")
    assert (result.exit_code, result.stderr) == (0, f"fitting quick on {TASK}\n")
    lines = result.stdout.splitlines()
    task = Release(folder).task(TASK)
    study = study_features(
        find(f"{folder / 'quick.py'}:Quick"), task, neighbours=3, seed=2, release=Release(folder)
    )
    assert lines == list(features_lines(study))
    assert max(map(len, lines)) <= 80
    assert lines[0] == f"quick on {TASK}: 14 test networks; fitted on 24 others, seed 2"
    assert lines[2] == "how the mean accuracy of a network's 3 nearest orders the networks"
    for line, found in zip(lines[4:9], study.agreements, strict=True):
        tau = found.tau
        assert line.split(found.by)[1].split() == [
            f"{tau.value:.3f}", f"[{tau.low:.3f},", f"{tau.high:.3f}]"
        ]  # fmt: skip
    assert lines[10] == (
        "units of 2 x 160 that best tell convolutions from others of "
        f"{study.units.layers} layers: AUC"
    )
    units = [line.split() for line in lines[11:15]]
    assert [words[:4] for words in units] == [
        ["level", f"{u.level},", "unit", str(u.index)] for u in study.units.best
    ]
    for words, unit in zip(units, study.units.best, strict=True):
        assert words[4:6] == [f"{unit.auc:.3f}", "higher" if unit.auc > 0.5 else "lower"]
    words = [line.split()[0] for line in lines[18:]]
    assert words == [layer_word(row) for row in study.units.rows]
    first = study.units.best[0]
    column = [float(line.split()[1]) for line in lines[18:]]
    expected = study.units.values[:, first.level, first.index]
    assert column == pytest.approx(expected, abs=6e-4)


def test_the_object_of_json_has_every_test_network_and_nothing_else(folder: Path) -> None:
    table = Release(folder).runs("digits", "test").to_pylist()
    known = {row["architecture_id"]: row for row in table if row["seed"] == 0}
    name = min(known)
    found = record(run(folder, "--json", "--neighbours", "3", "--network", name[:9]))
    assert (found["predictor"], found["task"]) == ("quick", TASK)
    assert (found["seed"], found["fitted"], found["neighbours"]) == (0, 24, 3)
    assert sorted(row["architecture_id"] for row in found["networks"]) == sorted(known)
    for row in found["networks"]:
        run_row = known[row["architecture_id"]]
        assert row["skeleton"] == run_row["skeleton"]
        assert row["accuracy"] == run_row["valid_accuracy"][-1]
        assert np.isfinite([row["x"], row["y"], row["nearby"]]).all()
    assert found["agreements"][0].keys() == {"by", "value", "low", "high"}
    assert np.array(found["auc"]).shape == (2, 160)
    for unit in found["best_units"]:
        assert found["auc"][unit["level"]][unit["index"]] == unit["auc"]
    assert found["shown"]["architecture_id"] == name
    rows = walk(from_record(known[name]["architecture"]), get_images("digits"))
    assert found["shown"]["layers"] == [layer_word(row) for row in rows if in_ulc(row)]
    assert np.array(found["shown"]["values"]).shape == (len(found["shown"]["layers"]), 2, 160)


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_the_picture_names_skeletons_units_and_layers(
    folder: Path, tmp_path: Path, ending: str
) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    path = tmp_path / f"a.{ending}"
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        result = run(folder, "--neighbours", "3", "--output", path)
    assert result.exit_code == 0, result.output
    assert result.stderr == f"fitting quick on {TASK}\n{path}\n"
    content = path.read_bytes()
    assert content.startswith({"png": b"\x89PNG", "svg": b"<?xml"}[ending])
    if ending == "svg":
        drawn = re.findall(r">([^<>\n]+)</(?:text|tspan)>", content.decode())
        units = re.findall(r"^  (level \d, unit \d+) +(\d\.\d+)", result.stdout, re.MULTILINE)
        assert len(units) == 4
        assert {"peephole-3x2", "wide-3x1"} <= set(drawn)
        assert {name for name, _ in units} | {f"AUC {auc}" for _, auc in units} <= set(drawn)
        words = [line.split()[0] for line in result.stdout.splitlines()[18:]]
        assert [word for word in drawn if word in words] == words


@pytest.mark.parametrize(
    ("predictor", "task", "extra", "message"),
    [
        ("arc", TASK, (), "predictor 'arc' has no method `learned_features`; predictors that have "
         "it: peephole, peephole-curve, gru, graph-encoder"),
        ("gruu", TASK, (), None),
        ("gru", "digits-k0-v2", (), None),
        ("gru", TASK, ("--neighbours", "14"), "`neighbours` (=14) must be in 1..13"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_one_line_before_the_fit(
    folder: Path, predictor: str, task: str, extra: tuple[str, ...], message: str | None
) -> None:
    result = run(folder, *extra, predictor=predictor, task=task)
    assert (result.exit_code, result.stdout) == (2, "")
    text = result.stderr.removeprefix(f"fitting {predictor} on {task}\n" if extra else "")
    if message is not None:
        assert text == f"peephole: error: {message}\n"
    else:
        wrong = f"predictor '{predictor}'" if predictor == "gruu" else f"task '{task}'"
        assert text.startswith(f"peephole: error: unknown {wrong}; did you mean '")
