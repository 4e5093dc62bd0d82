"""The commands of the board: build, check, serve."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

import leaderboard.networks
import leaderboard.page.server
from harness.results.store import result_path
from harness.verification import audit
from leaderboard.cli import board as command
from leaderboard.page.server import Server
from leaderboard.readme.sync import LEADERBOARD
from leaderboard.readme.table import END, START
from tests.toys.results import toy_networks, write_toy, write_toy_board

Run = Callable[..., tuple[int, str, str]]
COUNTS = "2 tasks, 6 results, 1 failed"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(leaderboard.networks, "load_networks", lambda *_: toy_networks())
    monkeypatch.setattr(leaderboard.page.server, "load_networks", lambda *_: toy_networks())
    # The toy results are of tasks that no release has
    monkeypatch.setattr(audit, "rescore_all", lambda jobs, processes: [""] * len(jobs))
    monkeypatch.setattr(audit, "ceiling_problem", lambda path, release: "")
    write_toy_board(tmp_path / "results")
    return tmp_path / "results"


@pytest.fixture
def run(folder: Path) -> Run:
    def invoke(verb: str, *arguments: str) -> tuple[int, str, str]:
        given = [verb, "--results", str(folder), *arguments]
        found = CliRunner().invoke(command, given, catch_exceptions=False)
        return found.exit_code, found.stdout, found.stderr

    return invoke


@pytest.fixture
def readme(tmp_path: Path) -> Path:
    path = tmp_path / "README.md"
    path.write_text(f"{START}\nold\n{END}\n")
    return path


def test_build_writes_the_page_and_the_tables(run: Run, tmp_path: Path, readme: Path) -> None:
    page = tmp_path / "out" / "page.html"
    made = [tmp_path / LEADERBOARD]  # pictures are of tasks of the data alone
    code, out, _ = run("build", "--output", str(page), "--readme", str(readme))
    size = f"{page.stat().st_size:,} bytes"
    lines = [f"{page}  {size}  {COUNTS}", *(f"{p}  updated" for p in (readme, *made))]
    assert (code, out.splitlines()) == (0, lines)
    _, out, _ = run("build", "--output", str(page), "--readme", str(readme))
    assert out.splitlines()[1:] == [f"{p}  up to date" for p in (readme, *made)]
    found = run("check", "--readme", str(readme), "--page", str(page))
    upto = [f"{path} up to date" for path in (readme, *made, page)]
    assert found == (0, "  ".join([*upto, COUNTS]) + "\n", "")


def test_own_results_are_on_the_page_but_not_in_the_readme(
    run: Run, folder: Path, tmp_path: Path, readme: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(folder, "leaderboard/results")
    write_toy(Path("results"), "mine", 0.1)
    for words, shown in (((), True), (("--readme", "README.md"), False)):
        done = CliRunner().invoke(command, ["build", *words], catch_exceptions=False)
        assert done.exit_code == 0
        assert ('"mine"' in Path("board.html").read_text("utf-8")) is shown


def test_check_names_what_is_old_and_writes_nothing(run: Run, tmp_path: Path, readme: Path) -> None:
    page = tmp_path / "page.html"
    code, out, error = run("check", "--readme", str(readme), "--page", str(page))
    assert (code, out) == (1, "")
    old = [readme, tmp_path / LEADERBOARD]
    said = [(path, f"--readme {readme}") for path in old] + [(page, f"--output {page}")]
    assert error.splitlines() == [
        f"peephole: error: {path} is out of date; update it with: peephole board build {option} "
        f"--results {tmp_path / 'results'}"
        for path, option in said
    ]
    assert readme.read_text() == f"{START}\nold\n{END}\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["README.md", "results"]


def test_check_alone_checks_the_results(run: Run, folder: Path) -> None:
    assert run("check") == (0, f"{COUNTS}\n", "")
    path = result_path(folder, "digits-k0-v1", "bad")
    path.write_text("{")
    code, out, error = run("check")
    assert (code, out) == (1, "2 tasks, 5 results, 1 failed\n")
    assert error.startswith(f"peephole: error: left out: {path}: Expecting property name")


def test_check_finds_predictions_of_networks_that_the_data_lacks(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = toy_networks(1)
    ids = tuple(f"other-{i}" for i in range(len(other.targets.run_ids)))
    object.__setattr__(other.targets, "run_ids", ids)
    monkeypatch.setattr(leaderboard.networks, "load_networks", lambda *_: other)
    with pytest.raises(ValueError, match=r"^runs of the predictions are not those of the task"):
        run("check")


def test_serve_says_where_and_ends_with_an_interrupt(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: Server) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Server, "serve_forever", interrupted)
    code, out, error = run("serve", "--port", "0")
    assert (code, error) == (0, "")
    assert re.fullmatch(rf"http://127\.0\.0\.1:\d+/  shows {folder}; press Ctrl-C to stop\n", out)
