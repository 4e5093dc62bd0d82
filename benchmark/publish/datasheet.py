"""Reads the datasheet of a release from `datasheet.yaml`, for the card and for Croissant."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template

import yaml

from benchmark.manifest import Manifest
from benchmark.publish.citation import AUTHORS, LICENCE
from benchmark.runs import read_table, split_path
from benchmark.space.imagesets import get_images


@dataclass(frozen=True, slots=True)
class Entry:
    """A question and the text that replies to it; `rai` is the same property of Croissant."""

    section: str
    question: str
    text: str
    rai: str = ""


def read_source(name: str) -> str:
    """Return the text of a file of this folder."""
    return resources.files("benchmark").joinpath("publish", name).read_text(encoding="utf-8")


def entries(images: Sequence[str], days: tuple[str, str]) -> tuple[Entry, ...]:
    """Return the datasheet of a release, in the order of its sections; `days` as of `run_days`."""
    values = {
        "authors": AUTHORS,
        "licence": LICENCE,
        "sources": " and ".join(dict.fromkeys(get_images(name).source for name in images)),
        "first_day": days[0],
        "last_day": days[1],
    }
    return tuple(
        Entry(section, **fields | {"text": Template(fields["text"]).substitute(values)})
        for section, questions in yaml.safe_load(read_source("datasheet.yaml")).items()
        for fields in questions
    )


def run_days(manifest: Manifest, folder: Path) -> tuple[str, str]:
    """Return the days (UTC) of the first and the last run of a release, as "2026-11-22"."""
    paths = [split_path(entry.images, entry.split, folder) for entry in manifest.splits]
    times = [
        time for path in paths for time in read_table(path, ["started_at"])[0].to_pylist() if time
    ]
    return (str(min(times).date()), str(max(times).date())) if times else ("", "")


def datasheet_text(images: Sequence[str], days: tuple[str, str]) -> str:
    """Return the sections of the datasheet as Markdown. Arguments as in `entries`."""
    listed = entries(images, days)
    sections = {
        section: [f"- **{a.question}** {a.text}" for a in listed if a.section == section]
        for section in dict.fromkeys(entry.section for entry in listed)
    }
    return "\n".join(f"\n### {name}\n\n" + "\n".join(lines) for name, lines in sections.items())
