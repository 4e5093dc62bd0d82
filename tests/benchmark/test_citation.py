"""CITATION.cff, of the project and of the data, against the format's own schema.

`cff-1.2.0.schema.json` is the schema of the Citation File Format 1.2.0, unchanged
(https://doi.org/10.5281/zenodo.5171937, CC-BY-4.0, by S. Druskat and others). cffconvert, which
validates by the same file, needs a jsonschema older than this project's.
"""

import json
from datetime import date
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft7Validator

import peephole
from benchmark.manifest import read_manifest
from benchmark.publish.citation import AUTHORS, TITLE, bibtex, citation_cff, licence_text
from benchmark.runs import data_folder

SCHEMA = json.loads((Path(__file__).parent / "cff-1.2.0.schema.json").read_text())
PROJECT = Path(__file__).parents[2] / "CITATION.cff"


class Loader(yaml.SafeLoader):
    """YAML with dates as text, which is what the schema is of."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:timestamp"]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def problems(text: str) -> list[str]:
    """Return what the format's schema says against a file."""
    found = Draft7Validator(SCHEMA).iter_errors(yaml.load(text, Loader))
    return [error.message for error in found]


def test_the_data_s_citation_is_valid_and_of_the_release_s_version() -> None:
    text = (data_folder() / "CITATION.cff").read_text()
    manifest = read_manifest(data_folder())
    assert problems(text) == []
    found = yaml.load(text, Loader)
    assert (found["version"], found["date-released"]) == (manifest.version, manifest.date)
    assert (found["type"], found["license"], found["title"]) == ("dataset", "CC-BY-4.0", TITLE)
    assert date.fromisoformat(manifest.date) <= date.today()


@pytest.mark.skipif(not PROJECT.exists(), reason="the wheel holds the data's citation only")
def test_the_project_s_citation_is_valid_and_of_the_package_s_version() -> None:
    assert problems(PROJECT.read_text()) == []
    found = yaml.load(PROJECT.read_text(), Loader)
    assert found["version"] == peephole.__version__
    assert found["preferred-citation"]["version"] == peephole.__version__
    data = next(entry for entry in found["references"] if entry["type"] == "data")
    assert data["title"] == TITLE
    assert data["version"] == read_manifest(data_folder()).version
    assert found["license"] == ["Apache-2.0", "CC-BY-4.0"]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("type: dataset", "type: data", "'data' is not one of ['dataset', 'software']"),
        ("2026-11-25", "25 November", "'25 November' does not match"),
        ("CC-BY-4.0", "CC-BY-9", "'CC-BY-9' is not valid under any of the given schemas"),
        ("authors:", "writers:", "'authors' is a required property"),
    ],
)
def test_the_schema_refuses_what_is_wrong(old: str, new: str, problem: str) -> None:
    text = citation_cff("0.3.0", "2026-11-25")
    assert problems(text) == []
    assert any(found.startswith(problem) for found in problems(text.replace(old, new)))


def test_bibtex_and_licence_name_version_authors_and_licence() -> None:
    entry = bibtex("0.3.0", "2026-11-25")
    assert entry.count("{") == entry.count("}")
    assert f"author = {{{{{AUTHORS}}}}}" in entry
    assert "year = {2026}" in entry
    assert "version 0.3.0" in entry
    assert "https://creativecommons.org/licenses/by/4.0/legalcode" in licence_text()
