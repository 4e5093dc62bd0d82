"""The words that CONTRIBUTING retires stand nowhere in the code."""

import re
from pathlib import Path

import pytest

import benchmark

ROOT = Path(str(benchmark.__file__)).parent.parent
FOLDERS = ("benchmark", "generators", "harness", "leaderboard")
RETIRED = {
    "answer": "prediction", "answers": "predictions", "answered": "predicted",
    "truth": "targets", "truths": "targets",
    "crew": "scheduler", "crews": "schedulers", "fleet": "cluster", "station": "actor",
    "flight": "process", "suspect": "retry", "suspects": "retries", "orphan": "retry",
    "orphans": "retries", "prison": "sandbox", "surely": "significantly",
}  # fmt: skip
# A network in flight is a term of the record: the column `networks_in_flight`
ALLOWED = re.compile(r"in[ _]flight")
WORD = re.compile(rf"(?<![a-z])(?:{'|'.join(RETIRED)})(?![a-z])", re.IGNORECASE)


def retired(text: str) -> list[str]:
    """Return the retired words of a text, also inside names that are joined by underscores."""
    return [found.lower() for found in WORD.findall(ALLOWED.sub("", text))]


FILES = [
    path
    for folder in FOLDERS
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in (".py", ".js", ".html")
    and path.relative_to(ROOT).parts[:2]
    not in (("leaderboard", "results"), ("leaderboard", "submissions"))
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_retired_word_is_used(path: Path) -> None:
    assert {word: RETIRED[word] for word in retired(path.read_text("utf-8"))} == {}


def test_a_retired_word_is_found_in_names_and_prose() -> None:
    text = "def typed_answer(truths): 'Crews of the fleet.'  # networks_in_flight, answerable"
    assert retired(text) == ["answer", "truths", "crews", "fleet"]
