"""Writes, reads and checks Parquet files of runs."""

import hashlib
import sys
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmark.schema import COLUMNS, SCHEMA, SCHEMA_VERSION
from benchmark.space.imagesets import get_images
from benchmark.space.splits import SPLITS
from benchmark.util.atomic import replacing
from benchmark.util.parquet_size import TooLargeError, read_bounded
from benchmark.util.unknown_name import check_known, check_type, foreign_content

# The last bits of losses, norms and times are noise. Byte stream splitting separates them from the
# regular bytes, which zstd then compresses well. Accuracies take few values and ids repeat, so they
# are dictionary-encoded.
STREAMED = (
    "train_loss", "valid_loss", "test_loss", "gradient_norm", "weight_norm", "epoch_seconds",
    "train_loss_tenths",
)  # fmt: skip
MOST_RUNS, RUN_BYTES = 2_000_000, 100_000  # of a file of a release, and of a run in it
_CACHES = {"darwin": "Library/Caches", "win32": "AppData/Local"}  # in the home folder, by platform
CORRECT_SCHEMA = pa.schema([("run_id", pa.string()), ("correct", pa.binary())])


def data_folder() -> Path:
    """Return the folder of the released data, inside the installed package."""
    return Path(str(resources.files("benchmark"))) / "data"


def user_cache() -> Path:
    """Return this project's cache folder of the current user."""
    return Path.home() / _CACHES.get(sys.platform, ".cache") / "peephole-bench"


def split_path(images: str, split: str, folder: Path) -> Path:
    """Return the path of the runs of a split.

    Raises:
        ValueError: If the images or the split are unknown.
    """
    get_images(images)
    check_known("split", split, SPLITS)
    return folder / images / f"{split}.parquet"


def correct_path(images: str, split: str, folder: Path) -> Path:
    """Return the path of the bits of a split: which images each network classified correctly."""
    return folder / "correct" / images / f"{split}.parquet"


def write_table(table: pa.Table, path: Path) -> None:
    """Write a table atomically, compressed, with a checksum on every page."""
    streamed = {name: f"{name}.list.element" for name in STREAMED if name in table.column_names}
    with replacing(path) as draft:
        pq.write_table(
            table,
            draft,
            compression="zstd",
            compression_level=12,
            use_dictionary=_leaves(table.schema, tuple(streamed)),
            column_encoding={leaf: "BYTE_STREAM_SPLIT" for leaf in streamed.values()} or None,
            write_page_checksum=True,
        )


def _leaves(schema: pa.Schema, without: tuple[str, ...]) -> list[str]:
    """Return the Parquet paths of all leaf columns, except those of the fields in `without`."""

    def below(path: str, kind: pa.DataType) -> list[str]:
        if pa.types.is_list(kind):
            return below(f"{path}.list.element", kind.value_type)
        if pa.types.is_struct(kind):
            return [leaf for f in kind for leaf in below(f"{path}.{f.name}", f.type)]
        return [path]

    return [leaf for f in schema if f.name not in without for leaf in below(f.name, f.type)]


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the runs of one file; the checksum of every page is checked.

    Raises:
        FileNotFoundError: If there is no such file; the message lists the available files.
        ValueError: If the file is damaged or has another schema, or a column is unknown.
    """
    check_type("columns", columns, (list, tuple, type(None)), 'a list of names, as ["seed"]')
    for name in columns or ():
        check_known("column", name, COLUMNS)
    if not path.exists():
        folder = path.parent.parent
        files = sorted(str(p.relative_to(folder)) for p in folder.glob("*/*.parquet"))
        raise FileNotFoundError(f"no runs at {str(path)!r}; files: {', '.join(files) or 'none'}")
    return read_parquet(path, version=SCHEMA_VERSION, columns=columns)


def read_pages(
    path: Path,
    columns: Sequence[str] | None = None,
    *,
    most_rows: int = MOST_RUNS,
    row_bytes: int = RUN_BYTES,
) -> pa.Table:
    """Return the table of any Parquet file; the checksum of every page is checked.

    Args:
        path: The file.
        columns: Columns to read; all by default.
        most_rows: How many rows it may have.
        row_bytes: How many bytes a row may have, on average.

    Raises:
        ValueError: If it is not a Parquet file, is damaged, or has more rows or bytes; the message
            starts with the path.
        OSError: If it cannot be opened.
    """
    try:
        return read_bounded(path, columns, most_rows, row_bytes)
    except TooLargeError as error:
        raise ValueError(f"{path}: {error}") from error
    except (OSError, ValueError, pa.ArrowException) as error:  # ValueError: a name not in UTF-8
        if isinstance(error, OSError) and error.errno:  # an error of the system, not of the content
            raise
        with path.open("rb") as file:
            problem = foreign_content(file.read(4096))
        raise ValueError(f"{path}: {problem or f'the Parquet file is damaged: {error}'}") from error


def read_parquet(path: Path, *, version: int, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the table of a file; the checksum of every page is checked.

    Raises:
        ValueError: If the file is damaged or has another schema version.
    """
    table = read_pages(path, columns)
    stored = (table.schema.metadata or {}).get(b"schema_version", b"none").decode()
    if stored != str(version):
        raise ValueError(
            f"{str(path)!r} has schema version {stored}, and this release reads {version}"
        )
    return table


def null_problems(table: pa.Table, where: str, may_be_null: Collection[str]) -> list[str]:
    """Return a problem for each column that has nulls and is not among those that may.

    `where` names the file.
    """
    problems = []
    for name in table.column_names:
        column = table.column(name)
        if column.null_count and name not in may_be_null:
            row = column.is_null().to_pylist().index(True)
            count = f"{column.null_count} of {len(column)} rows"
            problems.append(f"`{name}` of {where} is null in {count}, first in row {row}")
    return problems


def series(table: pa.Table, name: str) -> NDArray[np.float64]:
    """Return a list column as float64, (runs, entries), with null as NaN.

    Raises:
        TypeError: If the table is not one of pyarrow.
        ValueError: If it has no such column, or the runs have different numbers of entries.
    """
    check_type("table", table, pa.Table, "a `pyarrow.Table`, as `load_runs` returns it")
    is_list = (pa.types.is_list, pa.types.is_large_list)
    known = [f.name for f in table.schema if any(check(f.type) for check in is_list)]
    check_known("series of the table", name, known)
    column = table.column(name).combine_chunks()
    lengths = np.diff(column.offsets.to_numpy(zero_copy_only=False))
    if len(lengths) and (lengths != lengths[0]).any():
        raise ValueError(
            f"`{name}` has {lengths.min()} to {lengths.max()} entries per run, not the same number"
        )
    flat = column.flatten().to_numpy(zero_copy_only=False)
    values: NDArray[np.float64] = flat.astype(np.float64)
    return values.reshape(len(table), -1) if len(table) else values.reshape(0, 0)


def rows_to_table(rows: Sequence[dict[str, object]]) -> pa.Table:
    """Return rows as a table of runs, sorted by run id; their `started_at` is in Unix seconds."""
    plain = [
        {name: row[name] for name in SCHEMA.names}
        | {"started_at": datetime.fromtimestamp(int(str(row["started_at"])), UTC)}
        for row in sorted(rows, key=lambda row: str(row["run_id"]))
    ]
    return pa.Table.from_pylist(plain, schema=SCHEMA)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
