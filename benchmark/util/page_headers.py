"""Reads the headers of the pages of a Parquet file, whose footer may state other sizes.

Format: https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift, written
in https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md. Arrow takes
the memory for a page from its header.
"""

import mmap
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

UNCOMPRESSED, COMPRESSED, DATA_PAGE, DATA_PAGE_V2 = 2, 3, 5, 8  # fields of a page header
VALUES = 1  # field of the header of a data page
DEEPEST = 4  # structures in one another
Struct = dict[int, "int | Struct"]


def check_pages(path: Path, footer: pq.FileMetaData) -> None:
    """Check that no column has larger pages or more values than the footer says.

    Raises:
        ValueError: If one has, or a header cannot be read.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for number in range(footer.num_row_groups):
            group = footer.row_group(number)
            for column in map(group.column, range(group.num_columns)):
                size = values = 0
                for header in _headers(data, column):
                    size += _number(header, UNCOMPRESSED)
                    page = header.get(DATA_PAGE) or header.get(DATA_PAGE_V2)
                    values += _number(page, VALUES) if isinstance(page, dict) else 0
                if size > column.total_uncompressed_size or values > column.num_values:
                    raise ValueError(
                        f"the pages of column {column.path_in_schema!r} have {size:,} bytes and "
                        f"{values:,} values, but the footer says {column.total_uncompressed_size:,}"
                        f" and {column.num_values:,}"
                    )


def _headers(data: mmap.mmap, column: pq.ColumnChunkMetaData) -> Iterator[Struct]:
    """Yield the header of every page of a column."""
    first = column.dictionary_page_offset if column.has_dictionary_page else None
    place = min(column.data_page_offset, first or column.data_page_offset)
    end = place + column.total_compressed_size if column.num_values > 0 else 0  # else not read
    try:
        while place < end:
            header, place = _struct(data, place, 1)
            place += _number(header, COMPRESSED)
            yield header
    except IndexError as error:
        raise ValueError("a page header is not in the file") from error


def _number(struct: Struct, field: int) -> int:
    number = struct.get(field)
    if not isinstance(number, int) or number < 0:
        raise ValueError(f"field {field} of a page header (={number!r}) must be a size")
    return number


def _struct(data: mmap.mmap, place: int, depth: int) -> tuple[Struct, int]:
    """Return the integers and structures of a structure, by field, and where it ends."""
    if depth > DEEPEST:
        raise ValueError("a page header is nested too deeply")
    struct: Struct = {}
    field = 0
    while True:
        kind, step, place = data[place] & 15, data[place] >> 4, place + 1
        if not kind:
            return struct, place
        if step:
            field += step
        else:
            field, place = _integer(data, place)
        if kind in (4, 5, 6):  # integers of 16 to 64 bits
            struct[field], place = _integer(data, place)
        elif kind == 8:  # bytes
            length, place = _varint(data, place)
            place += length
        elif kind == 12:
            struct[field], place = _struct(data, place, depth + 1)
        elif kind not in (1, 2):  # true and false
            raise ValueError(f"a page header has a field of the type {kind}")


def _integer(data: mmap.mmap, place: int) -> tuple[int, int]:
    value, place = _varint(data, place)
    return (value >> 1) ^ -(value & 1), place


def _varint(data: mmap.mmap, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        value, shift, place = value | (byte & 127) << shift, shift + 7, place + 1
        if byte < 128 or shift > 63:
            return value, place
