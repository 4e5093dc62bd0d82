"""Text of others: which lines may be stored, and how any text becomes a line that can be shown.

A printable character is what `str.isprintable` says: no control codes, marks of direction, line
separators or lone surrogates, and nothing of zero width.
"""

import unicodedata

from benchmark.util.strict_json import refuse

LONGEST = 200  # characters of a line
MOST_MARKS = 4  # combining marks of one letter; more of them cover the lines above and below
BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")  # letters and symbols that show nothing


def is_line(text: str, most: int = LONGEST) -> bool:
    r"""Return whether a text is a printable line of at most `most` characters that shows something.

    >>> [is_line(text) for text in ("Zoë, 佐藤", "", "\x1b[31m", "\u202eabc", "\u3164", "a\nb")]
    [True, False, False, False, False, False]
    """
    marks = shown = 0
    for character in text[: most + 1]:
        is_mark = unicodedata.category(character)[0] == "M"
        marks = marks + 1 if is_mark else 0
        shown += not (is_mark or character in BLANK or character == " ")
        if marks > MOST_MARKS:
            return False
    return text.isprintable() and len(text) <= most and shown > 0


def check_line(where: str, text: str | None, most: int = LONGEST) -> None:
    """Check that a field is a line as `is_line` says, or None.

    Raises:
        ValueError: If it is not.
    """
    if text is not None and not is_line(text, most):
        refuse(where, text, f"one non-empty line of at most {most} printable characters")


def escape(text: str) -> str:
    r"""Return a text with an escape, as in Python, for each character that is not printable.

    >>> escape("a\x1b[31m\u202e\ud800")
    'a\\x1b[31m\\u202e\\ud800'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def quantity(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun, which is in the plural (default: with an s) unless it is 1.

    >>> quantity(1, "run"), quantity(2_870, "run"), quantity(0, "entry", "entries")
    ('1 run', '2,870 runs', '0 entries')
    """
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def to_line(text: str, most: int = LONGEST) -> str:
    r"""Return any text as a line that `is_line` accepts: escaped, and cut off where it is longer.

    >>> to_line("two\n  lines\x07"), to_line("long" * 99, 9), to_line("")
    ('two; lines\\x07', 'longlo...', "''")
    """
    lines = [line.strip() for line in text[: 10 * most].splitlines()]
    line = escape("; ".join(filter(None, lines)))
    if not is_line(line, len(line)):
        line = ascii(text[:most])
    return line if len(line) <= most else f"{line[: most - 3]}..."


def describe(error: BaseException, most: int = 500) -> str:
    """Return the type and message of an exception as a line; its own code may raise anything.

    >>> describe(KeyError("x")), describe(MemoryError())
    ("KeyError: 'x'", 'MemoryError')
    """
    try:
        text = f"{type(error).__name__}: {error}".removesuffix(": ")
    except BaseException:  # of the exception's own `__str__`
        text = "an exception whose message cannot be read"
    return to_line(text, most)


def moment(observed: int) -> str:
    """Return when a task asks, in words.

    >>> moment(0), moment(1), moment(5)
    ('before training', 'after 1 epoch', 'after 5 epochs')
    """
    if observed == 0:
        return "before training"
    return f"after {quantity(observed, 'epoch')}"
