"""A wrong name or place is refused by every command, as what it is, and nothing is made there."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from peephole_command import peephole

IMAGES = "unknown images 'digitz'; did you mean 'digits'? Known: "
TASK = "unknown task 'digits-k3-v'; did you mean 'digits-k3-v3'? Known: "
PREDICTOR = "unknown predictor 'gruu'; did you mean 'gru'? Known: "
DATA = "there is no folder 'nosuch' of data; `peephole data export` copies the release, "
RESULTS = "no folder of results 'nosuch'\n"
PLAN = "no plan at 'nosuch/plan.jsonl'; make one with `peephole generate plan --campaign nosuch`\n"
REFUSED = {
    IMAGES: (
        "sample --images digitz",
        "generate plan --images digitz",
        "generate pilot --images digitz",
        "generate proxies --images digitz --data .",
        "generate bench --images digitz",
        "generate verify --images digitz",
        "images download digitz",
        "images check digitz",
        "check mean-curve --images digitz",
        "show split digitz",
        "show network 06d81d --images digitz",
        "show networks digitz",
        "predict net.py:Net --images digitz",
    ),
    TASK: (
        "task show digits-k3-v",
        "score predictions --task digits-k3-v",
        "show predictor arc --task digits-k3-v",
        "demo --task digits-k3-v",
    ),
    PREDICTOR: ("check gruu", "predict net.py:Net --predictor gruu"),
    DATA: (
        "data info --data nosuch",
        "data verify --data nosuch",
        "data card --data nosuch",
        "data export copy --data nosuch",
        "task list --data nosuch",
        "task freeze digits --data nosuch",
        "generate proxies --data nosuch",
        "board build --data nosuch",
        "board check --data nosuch",
        "board serve --data nosuch",
        "board record --data nosuch",
        "board rescore --data nosuch",
    ),
    RESULTS: (
        "board build --results nosuch",
        "board check --results nosuch",
        "board serve --results nosuch",
        "board record --results nosuch",
        "board rescore --check --results nosuch",
        "compare arc gru --task digits-k3-v3 --results nosuch",
        "select arc --results nosuch",
        "show predictor arc --task digits-k3-v3 --results nosuch",
    ),
    PLAN: (
        "generate run --campaign nosuch",
        "generate status --campaign nosuch",
        "generate merge --campaign nosuch --data mine",
        "generate pilot --campaign nosuch",
    ),
    "unknown device 'gpu'; did you mean 'cpu'? Known: cpu, cuda, cuda:N\n": (
        "generate run --device gpu",
        "generate bench --device gpu",
        "generate verify --device gpu",
        "generate proxies --data . --device gpu",
    ),
    "no result of 'arc' on digits-k3-v3. Known: none; `peephole evaluate` makes results; ": (
        "show predictor arc --task digits-k3-v3 --results given",
    ),
}
LINES = [(line, message) for message, lines in REFUSED.items() for line in lines]


@pytest.mark.parametrize(("line", "message"), LINES)
def test_a_wrong_name_is_refused_as_what_it_is(
    line: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "predictions").touch()
    (tmp_path / "given").mkdir()
    before = sorted(tmp_path.rglob("*"))
    result = CliRunner().invoke(peephole, line.split())
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"peephole: error: {message}")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for count, name in ((0, "cuda"), (1, "cuda:1")):
        monkeypatch.setattr("torch.cuda.device_count", lambda count=count: count)
        result = CliRunner().invoke(peephole, ["generate", "run", "--device", name])
        found = f"torch finds {count} GPU{'' if count else 's'} on this machine; use cpu"
        message = f"peephole: error: there is no device {name!r}: {found}\n"
        assert (result.exit_code, result.output) == (2, message)


@pytest.mark.parametrize("line", ["task freeze digits", "generate proxies", "data card"])
def test_the_installed_release_is_changed_only_in_its_checkout(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(peephole, line.split(), prog_name="peephole")
    message = "peephole: error: this changes the data; name a folder of your own, --data my-data "
    assert result.exit_code == 2
    assert result.stderr.startswith(message)
    assert list(tmp_path.iterdir()) == []
