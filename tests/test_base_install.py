"""What works without any extra, and what every other command says at once.

One process, from which the packages of all extras are hidden, runs every command, on a small
campaign and a small release. Commands that read data read these, and not the installed release.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

import benchmark
from benchmark.extras import EXTRAS, how_to_install
from peephole_command import peephole
from tests.toys.campaign import release_plan, toy_campaign, toy_row
from tests.toys.data import toy_release
from tests.toys.hidden import hiding

ROOT = Path(str(benchmark.__file__)).parent.parent
HIDDEN = sorted({name for packages in EXTRAS.values() for name in packages})
RUNNER = """
import json, sys, traceback
from glob import glob
from click.testing import CliRunner
from leaderboard.page.server import Server
from peephole_command import peephole

def stop(server): raise KeyboardInterrupt

Server.serve_forever = stop
for words in json.load(sys.stdin):
    paths = [glob(word) if "*" in word else [word] for word in words]
    result = CliRunner().invoke(peephole, sum(paths, []), prog_name="peephole")
    known = isinstance(result.exception, SystemExit | None)
    trace = "" if known else "".join(traceback.format_exception(result.exception))
    print(json.dumps([result.exit_code, result.stdout, result.stderr + trace]))
"""
WORK = """\
sample -n 1
generate plan --campaign planned --networks 7
generate plan --campaign pilot --pilot --images digits
generate pilot --campaign pilot --images digits
generate status --campaign campaign
generate status --campaign campaign --json
generate merge --campaign campaign --data data
task freeze digits --observed 0 --observed 1 --data data
task list --data data
task list --data data --json
task show digits-k1-v1 --data data
data info --data data
data calibration
data verify --data data
data verify --data data --json
data card --data data
data export copy --data data
evaluate mean-curve last-value --data toy --results results
check mean-curve --data toy
compare mean-curve last-value --task digits-k1-v1 --data toy --results results
select mean-curve --candidates 10 --data toy --results results
search --algorithm random --repeats 2 --data toy --results searches
watch --data toy --results results
score results/digits-k1-v1/mean-curve.*.parquet --task digits-k1-v1 --data toy
submit results/digits-k1-v1/mean-curve.*.parquet --name ours --title Ours --authors Us \
--task digits-k1-v1 --data toy --results results
show network 1d148f --data toy
show network 1D148F --data toy --json
show networks digits --data toy
show split digits --data toy
show split digits --data toy --json
show predictor last-value --task digits-k1-v1 --data toy --results results
show predictor last-value --task digits-k1-v1 --data toy --results results --json
board record --data toy --results results
board build --data toy --results results
board check --data toy --results results --page board.html
board check --data toy --results results --page board.html --json
board check --data toy --results results --page old.html --json
board serve --data toy --results results --port 0
board rescore --data toy --results results --check
"""
FAILING = {
    "generate pilot --campaign pilot --images digits": "the pilot of 'digits' lacks 48 runs",
    "board check --data toy --results results --page old.html --json": "old.html is out of date",
}
PICTURE = "a picture"
TORCH = ("generate", "torch and torchvision and sklearn")
REFUSED = {  # what needs packages, the extra, and the packages
    "demo": ("`peephole demo`", "generate", "torch and sklearn"),
    "predict net.py:Net": ("`peephole predict`", "predictors", "torch"),
    "generate run": ("`peephole generate run`", *TORCH),
    "generate proxies --data .": ("`peephole generate proxies`", *TORCH),
    "generate bench": ("`peephole generate bench`", *TORCH),
    "generate verify": ("`peephole generate verify`", *TORCH),
    "images download mnist": ("`peephole images download`", "generate", "torchvision and sklearn"),
    "images check digits": ("`peephole images check`", "generate", "torchvision and sklearn"),
    "data download --repository a/b": ("`peephole data download`", "hub", "huggingface_hub"),
    "select --plot a.png": (PICTURE, "plot", "matplotlib"),
    "show network 06d81d --output a.png": (PICTURE, "plot", "matplotlib"),
    "show network 06d81d --onnx a.onnx": ("--onnx", "onnx", "onnx"),
    "show networks digits --onnx models": ("--onnx", "onnx", "onnx"),
    "show split digits --output a.svg": (PICTURE, "plot", "matplotlib"),
    "show predictor arc --task digits-k0-v3 --output a.pdf": (PICTURE, "plot", "matplotlib"),
    "show features --predictor gru --task digits-k0-v3": (
        "`peephole show features`",
        "predictors",
        "sklearn",
    ),
    "board rescore --refit": ("--refit", "predictors", "sklearn"),
    "evaluate --all": ("predictor 'parameters'", "predictors", "sklearn"),
    "evaluate mean-curve gru --train-size 9": ("predictor 'gru'", "predictors", "torch"),
    "check tabpfn": ("predictor 'tabpfn'", "tabular", "torch and sklearn and tabpfn"),
    "check nu-svr": ("predictor 'nu-svr'", "predictors", "sklearn"),
}
Outcome = tuple[int, str, str]


def run_hidden(folder: Path, lines: list[str]) -> dict[str, Outcome]:
    """Return exit code, output and errors of each command, run in a folder without extras."""
    given = json.dumps([line.split() for line in lines])
    command = [sys.executable, "-W", "error", "-c", hiding(*HIDDEN) + RUNNER]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=folder, env=environment, input=given, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = [tuple(json.loads(line)) for line in done.stdout.splitlines()]
    return dict(zip(lines, found, strict=True))


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    folder = tmp_path_factory.mktemp("base")
    plan = release_plan()
    toy_campaign(folder / "campaign", plan, list(map(toy_row, plan)))
    toy_release(folder / "toy", (0, 1))
    return run_hidden(folder, WORK.splitlines())


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Outcome]]:
    folder = tmp_path_factory.mktemp("empty")
    yield run_hidden(folder, list(REFUSED))
    assert list(folder.iterdir()) == []


def leaves(group: click.Group, path: str = "") -> Iterator[str]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from leaves(command, f"{path}{name} ")
        else:
            yield path + name


@pytest.mark.parametrize("line", WORK.splitlines())
def test_a_command_without_extras_works(outcomes: dict[str, Outcome], line: str) -> None:
    code, _, errors = outcomes[line]
    if line in FAILING:
        assert (code != 0, errors.startswith(f"peephole: error: {FAILING[line]}")) == (True, True)
    else:
        assert (code, errors) == (0, errors)


def records(outcomes: dict[str, Outcome], start: str) -> list[dict[str, Any]]:
    (line,) = [name for name in outcomes if name.startswith(start) and name.endswith("--json")]
    return [json.loads(text) for text in outcomes[line][1].splitlines()]


def test_json_holds_what_is_shown(outcomes: dict[str, Outcome]) -> None:
    tasks = records(outcomes, "task list")
    assert [task["name"] for task in tasks] == ["digits-k0-v1", "digits-k1-v1"]
    assert tasks[1]["runs"].keys() == {"train", "validation", "test", "heldout"}
    (verified,) = records(outcomes, "data verify")
    assert (verified["problems"], verified["verdict"][:5]) == ([], "valid")
    (network,) = records(outcomes, "show network")
    assert network["architecture_id"].startswith("1d148f")
    assert [(run["seed"], len(run["valid_accuracy"])) for run in network["runs"]] == [
        (0, 20), (1, 20), (2, 20),
    ]  # fmt: skip
    assert network["layers"][0]["kind"] == "conv"
    groups = records(outcomes, "show split")
    trained = [group for group in groups if "failed" not in group["statuses"]]
    assert len(trained) > 5
    assert all(len(group["final_valid_accuracy"]) == group["networks"] for group in trained)
    (shown,) = records(outcomes, "show predictor")
    assert shown["result"]["predictor"] == "last-value"
    assert {run["split"] for run in shown["networks"]} == {"test", "heldout"}
    assert all(0 <= run["predicted"] <= 1 for run in shown["networks"])
    (fresh,) = records(outcomes, "board check --data toy --results results --page board.html")
    (old,) = records(outcomes, "board check --data toy --results results --page old.html")
    assert (fresh["out_of_date"], old["out_of_date"]) == ([], ["old.html"])


@pytest.mark.parametrize("line", REFUSED)
def test_a_missing_extra_is_named_before_anything_is_done(
    refused: dict[str, Outcome], line: str
) -> None:
    what, extra, packages = REFUSED[line]
    message = f"{what} needs {packages} of the extra `{extra}`; install it with: "
    expected = f"peephole: error: {message}{how_to_install(extra)}\n"
    assert refused[line] == (2, "", expected)


@pytest.mark.parametrize("name", sorted(leaves(peephole)))
def test_every_command_is_in_one_of_the_two_tables(name: str) -> None:
    lines = [line for line in (*WORK.splitlines(), *REFUSED) if f"{line} ".startswith(f"{name} ")]
    assert lines
