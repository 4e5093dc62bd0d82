"""Reads Parquet files, with a bound on what they unpack to.

A small file can stand for any number of rows, and a text that it holds once can be that of every
row. The footer tells the rows and the size of every column, and the pages must agree with it. Texts
are read as references to the distinct ones, so that their whole size is known before they are
copied to every row.
"""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmark.util.page_headers import check_pages

FREE_BYTES = 1_000_000  # of a file with few rows
VALUE_BYTES = 8  # of a number
_DELTAS = {"DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"}  # their texts are no references
_PLAIN = (pa.types.is_dictionary, pa.types.is_primitive, pa.types.is_null)
_NESTED = (pa.types.is_struct, pa.types.is_list, pa.types.is_large_list)


class TooLargeError(ValueError):
    """A file unpacks to more than it may, or to what cannot be told before."""


def read_bounded(
    path: Path, columns: Sequence[str] | None, most_rows: int, row_bytes: int
) -> pa.Table:
    """Return the table of a Parquet file; the checksum of every page is checked.

    The file is opened by path, not as a Python object: Arrow's threads release a Python object
    shortly after reading, and a process that exits at that moment is aborted.

    Args:
        path: The file.
        columns: Columns to read; all if None.
        most_rows: How many rows it may have.
        row_bytes: How many bytes a row may have, on average.

    Raises:
        TooLargeError: If it has more rows or bytes, or a column of a type that is not read.
        Exception: What Arrow raises for a damaged file: ValueError, OSError or ArrowException.
    """
    footer = pq.read_metadata(path)
    rows = _check_footer(footer, most_rows, row_bytes)
    check_pages(path, footer)
    schema = footer.schema.to_arrow_schema()
    with pq.ParquetFile(
        path,
        metadata=footer,
        read_dictionary=_text_columns(footer.schema),
        page_checksum_verification=True,
    ) as file:
        for field in file.schema_arrow:
            _check_type(field.type)
        table = file.read(columns=columns)
    texts = sum(_text_size(chunk) for column in table.columns for chunk in column.chunks)
    _check_size(texts, rows, row_bytes)
    read = schema if columns is None else [schema.field(name) for name in table.column_names]
    return table.cast(pa.schema(read, metadata=schema.metadata))


def _text_columns(schema: pq.ParquetSchema) -> list[str]:
    """Return the Parquet paths of the columns of texts and bytes."""
    columns = (schema.column(number) for number in range(len(schema)))
    return [column.path for column in columns if column.physical_type == "BYTE_ARRAY"]


def _check_footer(footer: pq.FileMetaData, most_rows: int, row_bytes: int) -> int:
    """Check the number of rows and the size of their columns, and return the number."""
    groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
    rows = max(footer.num_rows, sum(group.num_rows for group in groups))
    if rows > most_rows:
        raise TooLargeError(f"it has {rows:,} rows and may have at most {most_rows:,}")
    size = 0
    for group in groups:
        for number in range(group.num_columns):
            column, width = group.column(number), footer.schema.column(number).length
            if _DELTAS.intersection(column.encodings):
                name = column.path_in_schema
                raise TooLargeError(f"column {name!r} must be PLAIN or dictionary-encoded")
            values = column.num_values * max(VALUE_BYTES, width)
            size += max(column.total_uncompressed_size, values)
    _check_size(size, rows, row_bytes)
    return int(rows)


def _check_size(size: int, rows: int, row_bytes: int) -> None:
    """Check a number of bytes against what some rows may have."""
    most = FREE_BYTES + rows * row_bytes
    if size > most:
        raise TooLargeError(f"it unpacks to {size:,} bytes and may have at most {most:,}")


def _check_type(kind: pa.DataType) -> None:
    """Check that a column is of numbers and of references to texts, or lists and records of them.

    Others, such as lists of a fixed length, can be larger than the footer tells.
    """
    if any(check(kind) for check in _NESTED):
        for number in range(kind.num_fields):
            _check_type(kind.field(number).type)
    elif not any(check(kind) for check in _PLAIN):
        raise TooLargeError(f"it has a column of the type {kind}, which is not read")


def _text_size(array: pa.Array) -> int:
    """Return how many bytes the texts of an array have when they are copied to every row."""
    if pa.types.is_dictionary(array.type):
        if pa.types.is_primitive(array.type.value_type):
            return 0
        lengths = pc.binary_length(array.dictionary).take(array.indices)
        return int(pc.sum(lengths).as_py() or 0)
    if pa.types.is_struct(array.type):
        return sum(_text_size(array.field(number)) for number in range(array.type.num_fields))
    return _text_size(array.flatten()) if array.type.num_fields else 0
