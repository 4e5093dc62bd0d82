"""Rows, tables and Parquet files: what is kept, what is detected, what is refused."""

import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import benchmark.runs
from benchmark.release import Release, load_runs
from benchmark.runs import (
    STREAMED,
    correct_path,
    data_folder,
    read_pages,
    read_table,
    rows_to_table,
    series,
    sha256,
    split_path,
    write_table,
)
from benchmark.schema import COLUMNS, EPOCH_SERIES, SCHEMA, check_row
from benchmark.space.imagesets import IMAGES
from tests.toys.campaign import Row, tiny_plan, toy_row

RUNS = 6


def rows() -> list[Row]:
    return [
        toy_row(run, status="diverged" if i == 1 else "completed")
        for i, run in enumerate(tiny_plan(RUNS))
    ]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "digits" / "train.parquet"
    write_table(rows_to_table(rows()), path)
    return path


def single(value: object) -> object:
    """Return a value with every float in single precision."""
    if isinstance(value, float):
        return struct.unpack("f", struct.pack("f", value))[0]
    if isinstance(value, list):
        return [single(entry) for entry in value]
    if isinstance(value, dict):
        return {name: single(entry) for name, entry in value.items()}
    return value


def test_a_row_comes_back_in_single_precision(path: Path) -> None:
    written = {str(row["run_id"]): row for row in rows()}
    found = read_table(path).to_pylist()
    assert [row["run_id"] for row in found] == sorted(written)
    for row in found:
        expected = {name: single(written[row["run_id"]][name]) for name in SCHEMA.names}
        row["started_at"] = int(row["started_at"].timestamp())
        assert row == expected


def test_every_field_carries_its_unit_range_and_meaning(path: Path) -> None:
    schema = read_table(path).schema
    assert schema.equals(SCHEMA, check_metadata=True)
    assert schema.metadata == {b"schema_version": b"2"}
    for name, column in COLUMNS.items():
        metadata = schema.field(name).metadata
        assert metadata[b"unit"].decode() == column.unit
        assert metadata[b"range"].decode() == column.range
        assert metadata[b"description"].decode() == column.meaning != ""
    assert schema.field("valid_loss").metadata[b"unit"] == b"nats"
    assert schema.field("epoch_seconds").metadata[b"unit"] == b"s"
    for name in EPOCH_SERIES:
        assert b"entry e = after epoch e + 1" in schema.field(name).metadata[b"description"]


def test_noise_is_split_into_bytes_and_the_rest_has_dictionaries(path: Path) -> None:
    group = pq.ParquetFile(path).metadata.row_group(0)
    columns = [group.column(i) for i in range(group.num_columns)]
    for column in columns:
        name = column.path_in_schema.split(".")[0]
        assert column.compression == "ZSTD"
        assert ("BYTE_STREAM_SPLIT" in column.encodings) is (name in STREAMED)
        assert column.has_dictionary_page is (name not in STREAMED)


@pytest.mark.parametrize("leaf", ["valid_loss.list.element", "run_id", "macs"])
def test_one_flipped_bit_in_a_page_is_detected(path: Path, leaf: str) -> None:
    group = pq.ParquetFile(path).metadata.row_group(0)
    columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    data = bytearray(path.read_bytes())
    start = columns[leaf].dictionary_page_offset or columns[leaf].data_page_offset
    data[start + columns[leaf].total_compressed_size - 2] ^= 1  # inside the last page
    path.write_bytes(data)
    start_of_message = re.escape(f"{path}: the Parquet file is damaged: ")
    with pytest.raises(ValueError, match=f"^{start_of_message}.*CRC checksum verification failed"):
        read_table(path)


@pytest.mark.parametrize("kept", [0, 3, 200])
def test_a_file_cut_short_is_damaged(path: Path, kept: int) -> None:
    path.write_bytes(path.read_bytes()[:kept])
    start = re.escape(f"{path}: the Parquet file is damaged: ")
    with pytest.raises(ValueError, match=f"^{start}.+$"):
        read_table(path)


def test_a_column_whose_name_is_no_text_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "names.parquet"
    pq.write_table(pa.table({"accuracy": [0.5]}), path, store_schema=False)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"accuracy", b"accurac\xf9"))
    start = re.escape(f"{path}: the Parquet file is damaged: ")
    with pytest.raises(ValueError, match=f"^{start}.*codec can't decode"):
        read_pages(path)


def test_a_file_that_cannot_be_opened_is_not_called_damaged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path / "none.parquet"))):
        read_pages(tmp_path / "none.parquet")


def test_a_process_that_ends_after_reading_ends_well(tmp_path: Path) -> None:
    """Of Python's own files Arrow let go too late in a third of such processes."""
    path = tmp_path / "long.parquet"
    rows = {"run_id": ["a"] * 20_000, "epoch": range(20_000), "mean": [0.5] * 20_000}
    write_table(pa.table(rows), path)
    code = "import sys, pathlib, benchmark.runs as f; f.read_pages(pathlib.Path(sys.argv[1]))"
    for _ in range(12):
        subprocess.run([sys.executable, "-c", code, str(path)], check=True)


@pytest.mark.parametrize(("metadata", "found"), [({"schema_version": "0"}, "0"), (None, "none")])
def test_an_older_schema_is_refused(
    path: Path, metadata: dict[str, str] | None, found: str
) -> None:
    write_table(rows_to_table(rows()).replace_schema_metadata(metadata), path)
    message = f"{str(path)!r} has schema version {found}, and this release reads 2"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read_table(path)


def test_columns_can_be_chosen_and_unknown_ones_are_refused(path: Path) -> None:
    table = read_table(path, ["seed", "valid_accuracy"])
    assert table.column_names == ["seed", "valid_accuracy"]
    message = re.escape("unknown column 'valid_acuracy'; did you mean 'valid_accuracy'? Known: ")
    with pytest.raises(ValueError, match=f"^{message}{', '.join(COLUMNS)}$"):
        read_table(path, ["valid_acuracy"])


def test_missing_runs_say_what_is_there(path: Path, tmp_path: Path) -> None:
    missing = tmp_path / "digits" / "test.parquet"
    message = f"no runs at {str(missing)!r}; files: digits/train.parquet"
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(message)}$"):
        load_runs("digits", "test", release=Release(tmp_path))
    empty = tmp_path / "empty" / "digits" / "test.parquet"
    message = f"no runs at {str(empty)!r}; files: none"
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(message)}$"):
        load_runs("digits", "test", release=Release(tmp_path / "empty"))


def test_unknown_names_are_refused_with_the_nearest() -> None:
    message = "unknown split 'valid'; did you mean 'validation'? Known: "
    message += "train, validation, test, heldout"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        load_runs("digits", "valid")
    message = f"unknown images 'digit'; did you mean 'digits'? Known: {', '.join(IMAGES)}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        load_runs("digit", "train")


def test_paths_lie_in_the_package_or_in_a_given_folder(tmp_path: Path) -> None:
    assert data_folder() == Path(benchmark.runs.__file__).parent / "data"
    assert Release().folder == data_folder()
    assert split_path("digits", "test", tmp_path) == tmp_path / "digits" / "test.parquet"
    expected = tmp_path / "correct" / "digits" / "test.parquet"
    assert correct_path("digits", "test", tmp_path) == expected


def test_a_full_disk_leaves_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def full(table: pa.Table, part: Path, **_: object) -> None:
        part.write_bytes(b"PAR1 half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(OSError, match=rf"^\[Errno 28\] No space left on device: '{path}'$"):
        write_table(rows_to_table(rows()[:2]), path)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_the_same_rows_in_any_order_give_the_same_bytes(path: Path) -> None:
    other = path.with_name("other.parquet")
    write_table(rows_to_table(rows()[::-1]), other)
    assert other.read_bytes() == path.read_bytes()
    assert sha256(other) == sha256(path)


def test_series_are_arrays_with_nan_for_null(path: Path) -> None:
    table = read_table(path)
    written = {str(row["run_id"]): row for row in rows()}
    order = table.column("run_id").to_pylist()
    for name, width in (("valid_loss", 2), ("train_loss_tenths", 20)):
        found = series(table, name)
        assert found.dtype == np.float64
        expected = np.array([written[run][name] for run in order], dtype=np.float64)
        assert found.shape == (RUNS, width)
        assert np.allclose(found, expected, rtol=1e-6, equal_nan=True)
        assert np.isnan(found).sum() == width // 2  # the diverged run's second epoch
    sliced = series(table.slice(2, 2), "valid_loss")
    np.testing.assert_array_equal(sliced, np.array(found_rows(table), dtype=np.float64))


def found_rows(table: pa.Table) -> list[list[float]]:
    return [row["valid_loss"] for row in table.to_pylist()[2:4]]


def test_series_of_no_runs_are_empty(path: Path) -> None:
    assert series(read_table(path).slice(0, 0), "valid_loss").shape == (0, 0)


def test_series_of_unequal_lengths_are_refused(path: Path) -> None:
    uneven = rows()
    uneven[0]["valid_loss"] = [1.0, 2.0, 3.0]
    message = re.escape("`valid_loss` has 2 to 3 entries per run, not the same number")
    with pytest.raises(ValueError, match=f"^{message}$"):
        series(rows_to_table(uneven), "valid_loss")


@pytest.mark.parametrize("name", EPOCH_SERIES)
def test_a_row_with_too_few_epochs_is_refused(name: str) -> None:
    row = rows()[0]
    row[name] = [0.5]
    message = f"`{name}` of run {row['run_id']!r} has 1 entry, not 1 for each of 2 epochs"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_row(row)


@pytest.mark.parametrize("status", ["failed", "out_of_memory"])
def test_a_run_that_was_not_trained_has_no_epochs(status: str) -> None:
    row = rows()[0] | {"status": status}
    message = f"`learning_rate` of run {row['run_id']!r} has 2 entries, not 1 for each of 0 epochs"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_row(row)
    lists = (*EPOCH_SERIES, "train_loss_tenths")
    check_row({name: [] if name in lists else value for name, value in row.items()})


@pytest.mark.parametrize("name", ["train_accuracy", "valid_accuracy", "test_accuracy"])
@pytest.mark.parametrize("value", [1.0000001, -0.1, float("nan")])
def test_an_accuracy_out_of_range_is_refused(name: str, value: float) -> None:
    row = rows()[0]
    row[name] = [0.5, value]
    message = f"`{name}` of run {row['run_id']!r} must lie in [0, 1]"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_row(row)


def test_missing_columns_are_named() -> None:
    row = rows()[0]
    del row["macs"], row["seed"]
    message = f"run {row['run_id']!r} lacks seed, macs"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_row(row)
    with pytest.raises(ValueError, match=f"^run None lacks {', '.join(SCHEMA.names)}$"):
        check_row({})


def test_good_rows_pass() -> None:
    for row in rows():
        check_row(row)
