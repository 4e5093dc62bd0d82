"""The Croissant description: valid, true of the files, and enough to read every row by."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from benchmark.manifest import read_manifest, write_sums
from benchmark.proxies import COLUMNS as PROXY_COLUMNS
from benchmark.proxies import PROXIES, Proxies, proxies_path, proxy_table
from benchmark.publish.croissant import CONFORMS_TO
from benchmark.publish.finish import changing_release, finish_release
from benchmark.publish.verify import REMEDY, verify_release
from benchmark.runs import data_folder, read_table, sha256, split_path, write_table
from benchmark.schema import COLUMNS
from benchmark.space.splits import SPLITS
from generators.environment import environment, environment_id
from tests.toys.campaign import sign, toy_release

mlcroissant = pytest.importorskip("mlcroissant")
# Both come from inside mlcroissant 1.1: of rdflib 7.6, and of pandas 3.1.
pytestmark = [
    pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame.reset_index:Warning"),
]
Row = dict[str, object]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a release with proxies of its networks."""
    folder = toy_release(tmp_path_factory.mktemp("release"))
    names = {
        name
        for split in SPLITS
        for name in read_table(split_path("digits", split, folder))["architecture_id"].to_pylist()
    }
    values: dict[str, float] = dict.fromkeys(PROXIES, 0.5)
    rows = [
        Proxies(
            name,
            1000,
            50,
            **values,
            device="cpu",
            environment_id=environment_id(environment()),
            generator_version="g",
        )
        for name in sorted(names)
    ]
    with changing_release(folder) as draft:
        write_table(proxy_table(rows), proxies_path("digits", draft))
    return folder


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "data"))


def described(folder: Path) -> dict[str, object]:
    content: dict[str, object] = json.loads((folder / "croissant.json").read_text())
    return content


@pytest.mark.parametrize("published", [True, False])
def test_mlcroissant_finds_no_error_and_nothing_to_warn_of(original: Path, published: bool) -> None:
    folder = data_folder() if published else original
    manifest = read_manifest(folder)
    metadata = mlcroissant.Dataset(jsonld=str(folder / "croissant.json")).metadata
    assert (metadata.issues.errors, metadata.issues.warnings) == (set(), set())
    assert metadata.version == manifest.version
    assert str(metadata.date_published.date()) == manifest.date
    assert metadata.conforms_to == list(CONFORMS_TO)
    sets = [f"{entry.images}-{entry.split}" for entry in manifest.splits]
    sets += [f"{entry.images}-proxies" for entry in manifest.proxies]
    assert [found.id for found in metadata.record_sets] == sets


def test_an_invalid_description_is_found_by_mlcroissant(original: Path) -> None:
    content = described(original)
    content["distribution"][0].pop("encodingFormat")  # type: ignore[index]
    with pytest.raises(mlcroissant.ValidationError, match="encodingFormat"):
        mlcroissant.Dataset(jsonld=content)


def test_the_responsible_ai_fields_are_read_by_mlcroissant(original: Path) -> None:
    found = mlcroissant.Dataset(jsonld=str(original / "croissant.json")).metadata
    assert found.data_collection.startswith("By experiment: ")
    assert found.data_collection_type == ["Experiments"]
    days = {str(day.date()) for day in found.data_collection_timeframe}
    assert days == {"2023-11-14"}  # the first and the last
    assert "scikit-learn" in found.data_collection_raw_data
    assert found.personal_sensitive_information[0].startswith("No. ")
    assert "version" in found.data_release_maintenance_plan
    for name in (
        "data_collection_missing_data", "data_imputation_protocol", "data_preprocessing_protocol",
        "data_annotation_protocol", "data_use_cases", "data_limitations", "data_biases",
        "data_social_impact",
    ):  # fmt: skip
        assert getattr(found, name)


def test_every_file_is_listed_with_its_checksum_and_size(original: Path) -> None:
    listed = {entry["@id"]: entry for entry in described(original)["distribution"]}  # type: ignore[attr-defined]
    tables = {str(path.relative_to(original)) for path in original.rglob("*.parquet")}
    assert listed.keys() == tables | {"recipes.json", "environments.json"}
    for name, entry in listed.items():
        assert entry["sha256"] == sha256(original / name)
        assert entry["contentSize"] == f"{(original / name).stat().st_size} B"
        assert entry["contentUrl"] == name


def test_every_column_has_its_meaning_unit_range_and_key(original: Path) -> None:
    for found in described(original)["recordSet"]:  # type: ignore[attr-defined]
        proxies = found["@id"].endswith("proxies")
        fields = {field["@id"]: field for field in found["field"]}
        columns = PROXY_COLUMNS if proxies else COLUMNS
        assert list(fields) == [f"{found['@id']}/{name}" for name in columns]
        for name, column in columns.items():
            text = fields[f"{found['@id']}/{name}"]["description"]
            assert text.startswith(column.meaning)
            assert all(part in text for part in (column.unit, column.range))
        key = "architecture_id" if proxies else "run_id"
        assert found["key"] == {"@id": f"{found['@id']}/{key}"}


def plain(value: object, prefix: str) -> object:
    """Return a value of mlcroissant as Arrow would give it: text as text, short names."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, dict):
        return {k.removeprefix(f"{prefix}/"): plain(v, k) for k, v in value.items()}
    if isinstance(value, list):
        return [plain(entry, prefix) for entry in value]
    return None if value is None or value != value else value


def as_row(record: Row, name: str) -> Row:
    """Return a record of mlcroissant as a row of its table, layers put back into their blocks."""
    row = {key.removeprefix(f"{name}/"): value for key, value in record.items()}
    blocks = [row.pop(key) for key in list(row) if key.startswith("architecture/blocks/")]
    found = {key: plain(value, f"{name}/{key}") for key, value in row.items()}
    if blocks:
        layers = [
            [{k.split("/")[-1]: plain(v, k) for k, v in layer.items()} for layer in block]  # type: ignore[attr-defined]
            for block in blocks
        ]
        there = [block for block in layers if block[0]["kind"] is not None]
        found["architecture"] = {**found["architecture"], "blocks": there}  # type: ignore[dict-item]
    return found


@pytest.mark.parametrize("part", [*SPLITS, "proxies"])
def test_records_read_through_mlcroissant_are_the_rows(original: Path, part: str) -> None:
    name = f"digits-{part}"
    dataset = mlcroissant.Dataset(jsonld=str(original / "croissant.json"))
    found = [as_row(record, name) for record in dataset.records(name)]
    rows = pq.read_table(original / "digits" / f"{part}.parquet").to_pylist()
    assert found == rows
    assert list(found[0]) == list(rows[0])


def test_numbers_keep_their_precision(original: Path) -> None:
    dataset = mlcroissant.Dataset(jsonld=str(original / "croissant.json"))
    record = next(iter(dataset.records("digits-train")))
    assert isinstance(record["digits-train/valid_loss"][0], np.float32)
    assert isinstance(record["digits-train/macs"], int | np.int64)


def test_a_changed_table_is_refused_by_mlcroissant(folder: Path) -> None:
    path = split_path("digits", "train", folder)
    write_table(read_table(path).slice(1), path)
    dataset = mlcroissant.Dataset(jsonld=str(folder / "croissant.json"))
    with pytest.raises(Exception, match=r"train\.parquet") as caught:
        list(dataset.records("digits-train"))
    assert "is not identical with the reference" in str(caught.value.__cause__)


def test_writing_it_again_changes_no_byte(folder: Path) -> None:
    before = (folder / "croissant.json").read_bytes()
    finish_release(folder)
    assert (folder / "croissant.json").read_bytes() == before


def without_a_column(content: Row) -> None:
    content["recordSet"][0]["field"].pop()  # type: ignore[index]


def with_another_sum(content: Row) -> None:
    content["distribution"][0]["sha256"] = "0" * 64  # type: ignore[index]


def without_a_file(content: Row) -> None:
    content["distribution"].pop()  # type: ignore[attr-defined]


def of_another_version(content: Row) -> None:
    content["version"] = "9.0.0"


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (without_a_column, "columns"),
        (with_another_sum, "files"),
        (without_a_file, "files"),
        (of_another_version, "version and date"),
    ],
)
def test_a_stale_description_is_a_problem(
    folder: Path, change: Callable[[Row], None], what: str
) -> None:
    content = described(folder)
    change(content)
    (folder / "croissant.json").write_text(json.dumps(content))
    sign(folder)
    assert verify_release(folder) == [
        f"croissant.json does not match the {what} of the release; {REMEDY}"
    ]
    finish_release(folder)
    assert verify_release(folder) == []


@pytest.mark.parametrize("text", ["{", "[]", '{"version": 1}', "{}"])
def test_an_unreadable_description_is_a_problem(folder: Path, text: str) -> None:
    (folder / "croissant.json").write_text(text)
    sign(folder)
    (problem,) = verify_release(folder)
    start = "croissant.json cannot be read ("
    assert re.fullmatch(re.escape(start) + ".+" + re.escape(f"); {REMEDY}"), problem)


@pytest.mark.parametrize(
    ("name", "old", "new", "problem"),
    [
        ("README.md", "version: 1.3.0", "version: 1.2.3",
         "README.md has version 1.2.3, but manifest.json has 1.3.0"),
        ("CITATION.cff", "version: 1.3.0", "version: 1.2.3",
         "CITATION.cff has version 1.2.3, but manifest.json has 1.3.0"),
        ("manifest.json", '"runs": 4,', '"runs": 5,',
         "manifest.json does not match the rows of the files"),
        ("LICENSE", None, None, "LICENSE is missing"),
        ("manifest.json", '"date"', '"day"',
         "{folder}/manifest.json: unknown field 'day'; did you mean 'date'? Known: version, date, "
         "schema_version, splits, proxies"),
    ],
)  # fmt: skip
def test_a_description_that_is_not_true_is_a_problem(
    folder: Path, name: str, old: str | None, new: str | None, problem: str
) -> None:
    path = folder / name
    if old is None or new is None:
        path.unlink()
    else:
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))
    sign(folder)
    problem = problem.replace("{folder}", str(folder))
    assert verify_release(folder) == [f"{problem}; {REMEDY}"]


def test_the_published_descriptions_are_what_this_code_writes(tmp_path: Path) -> None:
    copy = Path(shutil.copytree(data_folder(), tmp_path / "data"))
    finish_release(copy)
    for name in ("README.md", "croissant.json", "manifest.json", "CITATION.cff", "LICENSE"):
        assert (copy / name).read_text() == (data_folder() / name).read_text()
    write_sums(copy)
    assert (copy / "SHA256SUMS").read_text() == (data_folder() / "SHA256SUMS").read_text()
