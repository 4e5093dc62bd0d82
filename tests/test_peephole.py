"""The command `peephole`: help, errors, and `peephole sample`."""

import errno
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

import peephole
from benchmark.options import echo_lines
from benchmark.space.architectures import architecture_id, from_record
from benchmark.space.imagesets import IMAGES
from benchmark.space.skeletons import SKELETONS
from peephole_command import peephole as main

ROOT = Path(__file__).parent.parent


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, prog_name="peephole")


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


@pytest.fixture
def failing() -> Iterator[Callable[[BaseException], Result]]:
    """Return a function that runs a command which raises an error."""
    raised: list[BaseException] = []

    @main.command("failing")
    def failing() -> None:
        raise raised[0]

    def fail(error: BaseException) -> Result:
        raised[:] = [error]
        return run("failing")

    yield fail
    del main.commands["failing"]


@pytest.mark.parametrize("path", list(commands(main)), ids=" ".join)
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_every_command_has_help(path: tuple[str, ...], flag: str) -> None:
    result = run(*path, flag)
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: {' '.join(('peephole', *path))}")


def test_the_version_is_the_literal() -> None:
    assert run("--version").stdout == f"peephole, version {peephole.__version__}\n"
    assert f'__version__ = "{peephole.__version__}"\n' in Path(peephole.__file__).read_text()


def test_the_command_runs_from_a_plain_source_tree() -> None:
    command = [sys.executable, "-m", "peephole", "sample", "-n", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == run("sample", "-n", "1").stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ValueError("`k` (=7) must be one of 0, 1"), 2, "`k` (=7) must be one of 0, 1"),
        (ValueError("first\nsecond"), 2, "first; second"),
        (ValueError("\x1b[31m\u202e\ud800"), 2, r"\x1b[31m\u202e\ud800"),
        (click.ClickException("a\x08"), 1, r"a\x08"),
        (FileNotFoundError("no images; fetch them"), 2, "no images; fetch them"),
        (
            FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "a.parquet"),
            2,
            "No such file or directory: 'a.parquet'",
        ),
        (
            IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), "folder"),
            2,
            "Is a directory: 'folder'",
        ),
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), Path("a")),
            1,
            "No space left on device: 'a'",
        ),
        (click.ClickException("the table is out of date"), 1, "the table is out of date"),
        (OSError(errno.EIO, "Input/output error"), 1, "[Errno 5] Input/output error"),
    ],
)
def test_an_error_of_the_library_is_one_line_on_stderr(
    failing: Callable[[BaseException], Result], error: Exception, code: int, line: str
) -> None:
    result = failing(error)
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr == f"peephole: error: {line}\n"


def test_a_usage_error_shows_no_escape_codes() -> None:
    for arguments in (("\x1b[31m",), ("sample", "\x1b[31m"), ("data", "--\x1b[31m")):
        result = run(*arguments)
        assert result.exit_code == 2
        assert r"\x1b[31m" in result.stderr
        assert "\x1b" not in result.stderr


def test_printed_lines_show_no_escape_codes(capsys: pytest.CaptureFixture[str]) -> None:
    echo_lines(["a\x1b[31m", "\u202eb"])
    assert capsys.readouterr().out == "a\\x1b[31m\n\\u202eb\n"


def test_an_interrupt_ends_with_exit_code_1(failing: Callable[[BaseException], Result]) -> None:
    assert failing(KeyboardInterrupt()).exit_code == 1


def test_a_closed_pipe_ends_quietly(failing: Callable[[BaseException], Result]) -> None:
    result = failing(BrokenPipeError(errno.EPIPE, "Broken pipe"))
    assert (result.exit_code, result.output) == (1, "")


def test_a_fault_of_the_program_keeps_its_trace(failing: Callable[[BaseException], Result]) -> None:
    error = KeyError("a mistake in the code")
    assert failing(error).exception is error


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1"])
def test_what_the_encoding_lacks_is_replaced_and_no_error(encoding: str) -> None:
    command = [sys.executable, "-P", "-m", "peephole", "show", "network", "06d81d"]
    variables = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=variables, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b" ?" in done.stdout


def test_an_interrupt_during_the_start_shows_no_trace(tmp_path: Path) -> None:
    (tmp_path / "peephole_command.py").write_text("raise KeyboardInterrupt\n")
    (tmp_path / "peephole.py").write_text(Path(peephole.__file__).read_text())
    for name in ("benchmark", "generators", "harness", "leaderboard"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    command = [sys.executable, "-m", "peephole", "--version"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "Aborted!\n")


def test_a_misspelt_command_is_refused_with_the_nearest_name() -> None:
    result = run("smple")
    assert result.exit_code == 2
    assert "sample" in result.stderr


GOLDEN = """\
d608b6a20d5264c5  test  8,178 parameters  2,621,760 MACs
    8  conv2x1:24 avg3x2 sigmoid max3x3 sigmoid relu conv1x2:24 bn relu
   16  conv4x5:8 bn tanh
   32  conv3x3:24 bn tanh max5x2
193907b221faa0ae  validation  34,586 parameters  5,386,560 MACs
    8  conv5x5:8 bn relu max3x5
   16  conv4x5:24 tanh conv3x2:24 bn relu
   32  conv5x1:24 bn relu max5x3 conv4x3:40 relu conv1x3:72
"""


def test_sample_draws_architectures_with_their_counts() -> None:
    result = run("sample", "--skeleton", "shallow-3x1", "-n", "2")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == GOLDEN


@pytest.mark.parametrize("skeleton", SKELETONS)
@pytest.mark.parametrize("images", IMAGES)
def test_sample_writes_one_object_a_line(skeleton: str, images: str) -> None:
    result = run("sample", "--skeleton", skeleton, "--images", images, "-n", "3", "--json")
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [record["draw_index"] for record in records] == [0, 1, 2]
    for record in records:
        architecture = from_record(record["architecture"])
        assert architecture_id(architecture) == record["architecture_id"]
        assert (record["skeleton"], record["images"]) == (skeleton, images)


def test_every_layer_of_a_block_is_one_word() -> None:
    lines = run("sample", "-n", "20").stdout.splitlines()
    stages = [line for line in lines if re.match(r" +\d+  ", line)]
    assert len(stages) == 60
    word = r"(conv[1-5]x[1-5]:\d+|(max|avg)[2-5]x[2-5]|relu|sigmoid|tanh|bn)"
    for stage in stages:
        assert re.fullmatch(rf" +\d+  {word}( {word})*( \| {word}( {word})*)+", stage)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--skeleton", "wide"),
            f"unknown skeleton 'wide'; did you mean 'wide-3x1'? Known: {', '.join(SKELETONS)}",
        ),
        (
            ("--images", "cifar100"),
            f"unknown images 'cifar100'; did you mean 'cifar10'? Known: {', '.join(IMAGES)}",
        ),
    ],
)
def test_sample_refuses_unknown_names(arguments: tuple[str, ...], message: str) -> None:
    result = run("sample", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"peephole: error: {message}\n"


def test_sample_refuses_to_draw_nothing() -> None:
    result = run("sample", "-n", "0")
    assert result.exit_code == 2
    assert result.stderr.endswith(
        "Error: Invalid value for '-n' / '--number': 0 is not in the range 1<=x<=1000000.\n"
    )
