"""Numbers of options: every command checks their range before it does anything."""

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from peephole_command import peephole

NAMES = ("integer", "float", "integer range", "float range")


def numbers(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the words up to every option of a command, and of those below it, for a number."""
    for option in command.params:
        if isinstance(option, click.Option) and option.type.name in NAMES:
            yield *path, option.opts[-1]
    for name, inner in getattr(command, "commands", {}).items():
        yield from numbers(inner, (*path, name))


WORDS = sorted(numbers(peephole))


def refusal(*words: str) -> str:
    """Return the last line of the message of a command that wrong input ends."""
    result = CliRunner().invoke(peephole, list(words))
    assert (result.exit_code, result.stdout) == (2, "")
    return result.stderr.splitlines()[-1]


def test_there_are_options_for_numbers() -> None:
    assert len(WORDS) > 25
    assert ("generate", "run", "--minutes") in WORDS


@pytest.mark.parametrize("value", ["-1", "1" + "0" * 30, "nan", "inf", "-inf", "1e999", "x"])
@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_a_number_out_of_range_is_refused(words: tuple[str, ...], value: str) -> None:
    if words[-1] == "--rate" and value == "1" + "0" * 30:
        pytest.skip("a rate may be any finite number")
    start, _, rule = refusal(*words, value).partition(f"'{words[-1]}': ")
    assert start.startswith("Error: Invalid value for ")
    assert rule


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("generate run --minutes nan", "nan is not a finite number."),
        ("generate run --minutes 0", "0.0 is not in the range 0<x<=525600."),
        ("generate run --limit -1000", "-1000 is not in the range 1<=x<=1000000."),
        ("generate run --workers 0", "0 is not in the range 1<=x<=4096."),
        ("generate plan --rate inf", "inf is not a finite number."),
        ("generate verify --sample -1", "-1 is not in the range 0<=x<=4294967295."),
        ("board serve --port 70000", "70000 is not in the range 0<=x<=65535."),
        ("board rescore --minutes -1", "-1.0 is not in the range 0<x<=525600."),
        ("task freeze --observed -1", "-1 is not in the range 0<=x<=1000000."),
    ],
)
def test_the_message_names_the_number_and_the_range(words: str, text: str) -> None:
    option = words.split()[-2]
    assert refusal(*words.split()) == f"Error: Invalid value for '{option}': {text}"


def commands(command: click.Command, path: str = "") -> Iterator[tuple[str, click.Command]]:
    inner = getattr(command, "commands", {})
    for name in inner:
        yield from commands(inner[name], f"{path} {name}".strip())
    if not inner:
        yield path, command


def test_all_but_these_commands_read_data_from_where_they_are_told() -> None:
    without = {
        name for name, c in commands(peephole) if not any("--data" in p.opts for p in c.params)
    }
    campaigns = {f"generate {name}" for name in ("run", "status", "pilot", "bench")}
    images = {"images download", "images check"}
    assert without == {"demo", "sample", "data download"} | campaigns | images
