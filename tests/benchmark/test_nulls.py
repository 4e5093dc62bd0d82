"""A value that is not there is a problem that `data verify` names, in every released file."""

import re
import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from benchmark.manifest import count_proxies, count_split
from benchmark.proxies import COLUMNS as PROXY_COLUMNS
from benchmark.proxies import PROXIES, proxies_path, proxy_problems, read_proxies
from benchmark.publish.verify import NULLABLE, verify_release
from benchmark.runs import correct_path, read_pages, read_table, split_path, write_table
from benchmark.schema import COLUMNS, check_row
from tests.toys.campaign import published_rows, sign, toy_release
from tests.toys.data import toy_release as toy_release_with_proxies

REQUIRED = [name for name in COLUMNS if name not in NULLABLE]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_release(tmp_path_factory.mktemp("release"))


@pytest.fixture(scope="module")
def with_proxies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_release_with_proxies(tmp_path_factory.mktemp("proxies"))


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "data"))


def blank(path: Path, column: str, row: int = 1) -> int:
    """Replace a value of a file by null; return the number of rows."""
    table = read_pages(path)
    values = table.column(column).to_pylist()
    values[row] = None
    field = table.schema.field(column)
    place = table.column_names.index(column)
    write_table(table.set_column(place, field, pa.array(values, field.type)), path)
    return len(values)


def test_only_values_that_a_run_may_lack_are_nullable(original: Path) -> None:
    (row, *_) = published_rows(split_path("digits", "test", original))
    for name in REQUIRED:
        with pytest.raises(ValueError, match=f"`{name}`"):
            check_row({**row, name: None})
    untrained = {n: [] if isinstance(v, list) else v for n, v in row.items()}
    check_row({**untrained, "status": "failed", **dict.fromkeys(NULLABLE)} | {
        name: [] for name in NULLABLE if isinstance(row[name], list)
    })  # fmt: skip


@pytest.mark.parametrize("column", REQUIRED)
def test_a_null_in_a_file_of_runs_is_named(folder: Path, column: str) -> None:
    path = split_path("digits", "test", folder)
    rows = blank(path, column)
    sign(folder)
    problem = f"`{column}` of digits/test.parquet is null in 1 of {rows} rows, first in row 1"
    assert problem in verify_release(folder)
    if column in ("architecture_id", "seed", "status", "skeleton"):
        problem = problem.replace("digits/test.parquet", str(path))
        with pytest.raises(ValueError, match=f"^{re.escape(problem)}$"):
            count_split("digits", "test", folder)


@pytest.mark.parametrize("column", ["run_id", "correct"])
def test_a_null_in_a_file_of_bits_is_named(folder: Path, column: str) -> None:
    rows = blank(correct_path("digits", "test", folder), column)
    sign(folder)
    assert verify_release(folder) == [
        f"`{column}` of correct/digits/test.parquet is null in 1 of {rows} rows, first in row 1"
    ]


def test_bits_that_are_there_twice_are_named(folder: Path) -> None:
    path = correct_path("digits", "test", folder)
    table = read_pages(path)
    write_table(pa.concat_tables([table, table.slice(0, 1)]), path)
    sign(folder)
    assert verify_release(folder) == ["correct/digits/test.parquet has a run more than once"]


def test_a_missing_column_is_named(folder: Path) -> None:
    path = split_path("digits", "test", folder)
    write_table(read_table(path).drop_columns(["run_id"]), path)
    sign(folder)
    assert verify_release(folder) == [
        "test.parquet of 'digits' does not have the schema of this release"
    ]


@pytest.mark.parametrize("column", [name for name in PROXY_COLUMNS if name not in PROXIES])
def test_a_null_in_a_file_of_proxies_is_named(
    with_proxies: Path, tmp_path: Path, column: str
) -> None:
    path = proxies_path("digits", tmp_path)
    path.parent.mkdir()
    shutil.copy(proxies_path("digits", with_proxies), path)
    assert read_proxies("digits", tmp_path) is not None
    rows = blank(path, column)
    problem = f"`{column}` of digits/proxies.parquet is null in 1 of {rows} rows, first in row 1"
    assert proxy_problems("digits", tmp_path, {}) == [problem]
    problem = problem.replace("digits/proxies.parquet", str(path))
    with pytest.raises(ValueError, match=f"^{re.escape(problem)}$"):
        count_proxies("digits", tmp_path)
