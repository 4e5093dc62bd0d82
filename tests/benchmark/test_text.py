"""Text of others: what may be stored, and how it is shown."""

import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.util.text import check_line, describe, escape, is_line, to_line

FUZZ = settings(max_examples=200, deadline=None, derandomize=True, database=None)
HIDDEN = [
    "", "   ", "\x1b[31mred", "\x1b]0;title\x07", "a\x08b", "a\nb", "a\rb", "a\tb", "a\x7f",
    "a\x9b31m", "\u202eabc", "\u2066abc\u2069", "\u200b", "a\u200b", "\ufeffa", "\u00ada",
    "a\u2028b", "a\u2029b", "a\x85b", "\ud800", "\U000e0041", "\ue000", "\u0378", "\u3164",
    "\u2800\u2800", "\u0301", "e" + "\u0301" * 5, "a\u3000b", "x" * 201,
]  # fmt: skip
SHOWN = ["Zoë", "佐藤 光", "김민준", "مريم", "नमस्ते", "e\u0301", "𝛕 > 0", "a" * 200, "naïve — “x”"]


@pytest.mark.parametrize("text", HIDDEN)
def test_what_cannot_be_shown_on_a_line_is_no_line(text: str) -> None:
    assert not is_line(text)
    message = re.escape("must be one non-empty line of at most 200 printable characters")
    with pytest.raises(ValueError, match=f"^`title` \\(=.*\\) {message}$"):
        check_line("title", text)


@pytest.mark.parametrize("text", SHOWN)
def test_letters_of_every_script_are_kept(text: str) -> None:
    assert is_line(text)
    check_line("title", text)
    assert to_line(text) == escape(text) == text


@FUZZ
@given(text=st.text(st.characters()) | st.sampled_from(HIDDEN), most=st.integers(10, 50))
def test_any_text_becomes_a_line(text: str, most: int) -> None:
    assert is_line(to_line(text, most), most)
    assert all(unicodedata.category(c)[0] != "C" for c in escape(text))


def test_a_long_text_is_cut_off_and_lines_are_joined() -> None:
    assert to_line("a" * 30_000_000, 10) == "aaaaaaa..."
    assert to_line("  one\n\n two \r\nthree") == "one; two; three"


class Unreadable(Exception):
    """Has no message."""

    def __str__(self) -> str:
        raise KeyboardInterrupt


class Told(Exception):
    """Has a message of its own class."""

    def __str__(self) -> str:
        class Text(str):
            __slots__ = ()

            def splitlines(self, keepends: bool = False) -> list[str]:
                raise RuntimeError("no lines")

        return Text("told")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("a"), "ValueError: a"),
        (MemoryError(), "MemoryError"),
        (SystemExit(3), "SystemExit: 3"),
        (Unreadable(), "an exception whose message cannot be read"),
        (Told(), "Told: told"),
        (ValueError("\ud800\x1b[31m\nb"), "ValueError: \\ud800\\x1b[31m; b"),
        (ValueError("a" * 30_000_000), f"ValueError: {'a' * 485}..."),
    ],
    ids=range(7),
)
def test_every_exception_has_a_line(error: BaseException, text: str) -> None:
    assert describe(error) == text
    assert is_line(text, 500)


def test_an_exception_without_a_name_has_a_line() -> None:
    def no_name(cls: type) -> str:
        raise RuntimeError("no name")

    nameless = type("Nameless", (type,), {"__name__": property(no_name)})
    odd = nameless("Odd", (Exception,), {})
    assert describe(odd()) == "an exception whose message cannot be read"
