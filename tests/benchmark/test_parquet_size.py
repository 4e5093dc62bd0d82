"""A small Parquet file that unpacks to much is refused before it is unpacked."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmark.release import Release, load_runs
from benchmark.runs import MOST_RUNS, read_pages, split_path
from harness.verification.prediction_file import score_predictions
from tests.toys.data import toy_release
from tests.toys.submissions import TASK, toy_task

SMALL = 10_000_000  # bytes of memory


def same_text(rows: int, size: int) -> pa.Array:
    """Return rows with one long text, which a file holds once."""
    zeros = pa.array(np.zeros(rows, np.int32))
    return pa.DictionaryArray.from_arrays(zeros, pa.array(["x" * size]))


BOMBS = {
    "a text of every row": (
        {"run_id": same_text(9_000, 900_000)},
        "it unpacks to 8,100,000,000 bytes and may have at most 3,700,000",
    ),
    "a text of every entry": (
        {"a": pa.ListArray.from_arrays([0, 9_000], same_text(9_000, 900_000))},
        "it unpacks to 8,100,000,000 bytes and may have at most 1,000,300",
    ),
    "rows": ({"mean": np.zeros(20_000)}, "it has 20,000 rows and may have at most 10,000"),
    "a list": (
        {"mean": pa.array([np.zeros(200_000)])},
        "it unpacks to 1,600,000 bytes and may have at most 1,000,300",
    ),
    "a text": (
        {"run_id": pa.array(["x" * 2_000_000])},
        "it unpacks to 2,000,0",  # and some bytes of the encoding
    ),
    "nulls of a fixed length": (
        {"mean": pa.nulls(9, pa.list_(pa.float64(), 3))},
        "it has a column of the type fixed_size_list<element: double>[3], which is not read",
    ),
}


def write(path: Path, columns: dict[str, object], *, store_schema: bool = False) -> Path:
    pq.write_table(pa.table(columns), path, compression="zstd", store_schema=store_schema)
    return path


@pytest.mark.parametrize("kind", BOMBS)
def test_what_unpacks_to_too_much_is_refused_without_memory(tmp_path: Path, kind: str) -> None:
    columns, message = BOMBS[kind]
    is_typed = kind == "nulls of a fixed length"
    path = write(tmp_path / "bomb.parquet", columns, store_schema=is_typed)
    assert path.stat().st_size < 3_000
    before = pa.total_allocated_bytes()
    with pytest.raises(ValueError, match=f"^{re.escape(f'{path}: {message}')}"):
        read_pages(path, most_rows=10_000, row_bytes=300)
    assert pa.total_allocated_bytes() - before < SMALL


def test_a_text_that_grows_by_its_prefix_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.parquet"
    table = pa.table({"run_id": ["a" * length for length in range(9_000)]})
    encoding = {"run_id": "DELTA_BYTE_ARRAY"}
    pq.write_table(table, path, compression="zstd", use_dictionary=False, column_encoding=encoding)
    message = f"{path}: column 'run_id' must be PLAIN or dictionary-encoded"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read_pages(path, most_rows=10_000, row_bytes=300)


def test_a_file_of_predictions_has_no_more_rows_than_the_task_allows(tmp_path: Path) -> None:
    release = Release(toy_release(tmp_path / "data", (1,)))
    rows, whole = 1_000_000, 24 * 19 * 100  # networks, epochs and seeds
    ones = np.ones(rows, np.int32)
    columns = {"run_id": same_text(rows, 2_000), "epoch": ones, "mean": np.zeros(rows)}
    path = write(tmp_path / "bomb.parquet", columns)
    assert path.stat().st_size < 300_000  # and 2 GB unpacked
    before = pa.total_allocated_bytes()
    message = f"{path}: it has {rows:,} rows and may have at most {whole:,}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        score_predictions(path, toy_task(release.folder, TASK), release=release)
    assert pa.total_allocated_bytes() - before < SMALL


def varint(number: int, length: int = 1) -> bytes:
    """Return a signed number as Thrift's compact protocol writes it, with at least some bytes."""
    rest = 2 * number
    parts: list[int] = []
    while rest or len(parts) < length:
        parts.append(rest & 127 | 128)
        rest >>= 7
    return bytes([*parts[:-1], parts[-1] & 127])


@pytest.mark.parametrize("kind", ["bytes", "values"])
def test_a_footer_that_hides_what_pages_hold_is_refused(tmp_path: Path, kind: str) -> None:
    values: object = ["x" * 2_000_000] if kind == "bytes" else np.zeros(200_000)
    path = write(tmp_path / "bomb.parquet", {"a": values})
    column = pq.read_metadata(path).row_group(0).column(0)
    hidden = column.total_uncompressed_size if kind == "bytes" else column.num_values
    content = path.read_bytes()
    start = len(content) - int.from_bytes(content[-8:-4], "little") - 8
    old = varint(hidden)
    footer = content[start:].replace(old, varint(3, len(old)))
    path.write_bytes(content[:start] + footer)
    column = pq.read_metadata(path).row_group(0).column(0)
    assert 3 in (column.total_uncompressed_size, column.num_values)
    start_of_message = re.escape(
        f"{path}: the Parquet file is damaged: the pages of column 'a' have "
    )
    before = pa.total_allocated_bytes()
    with pytest.raises(ValueError, match=f"^{start_of_message}[0-9,]+ bytes and [0-9,]+ values, "):
        read_pages(path, most_rows=10_000, row_bytes=300)
    assert pa.total_allocated_bytes() - before < SMALL


@pytest.mark.parametrize("options", [{}, {"data_page_version": "2.0"}, {"use_dictionary": False},
                                     {"data_page_size": 200, "compression": None}])  # fmt: skip
def test_pages_of_every_form_agree_with_the_footer(tmp_path: Path, options: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    table = pa.table({"a": rng.random(5_000), "b": [str(i % 900) for i in range(5_000)]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=2_000, **options)
    assert read_pages(tmp_path / "a.parquet").equals(table)


def test_a_release_with_a_bomb_is_refused(tmp_path: Path) -> None:
    path = split_path("digits", "train", tmp_path)
    path.parent.mkdir(parents=True)
    write(path, {"run_id": np.zeros(MOST_RUNS + 1)})
    message = f"{path}: it has 2,000,001 rows and may have at most 2,000,000"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        load_runs("digits", "train", release=Release(tmp_path))


@pytest.mark.parametrize(
    "kind",
    [
        pa.string(), pa.large_string(), pa.binary(), pa.bool_(), pa.null(), pa.uint64(),
        pa.float16(), pa.timestamp("ms", tz="UTC"), pa.list_(pa.string()),
        pa.dictionary(pa.int32(), pa.string()), pa.dictionary(pa.int8(), pa.int64()),
        pa.struct([("a", pa.string()), ("b", pa.list_(pa.struct([("c", pa.binary())])))]),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_read_is_what_arrow_reads(tmp_path: Path, kind: pa.DataType) -> None:
    path = tmp_path / "typed.parquet"
    pq.write_table(pa.table({"a": pa.nulls(3, kind), "b": ["x", "y", None]}), path)
    for columns in (None, ["b", "a"], ["a"]):
        found = read_pages(path, columns, most_rows=3, row_bytes=0)
        assert found.equals(pq.read_table(path, columns=columns), check_metadata=True)
