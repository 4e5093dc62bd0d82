"""The predictions stored beside a result, one row per seed, run and epoch.

Columns: run_id (string), epoch (int32, from 1), mean and std (float64, accuracies as fractions; std
is null if not predicted), sorted by run_id and epoch. With several seeds there is a first column
seed (int32), by which rows are sorted first. All values are rounded before scoring, by
`round_prediction`, so that files are small.
"""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmark.recipes import MOST_EPOCHS
from benchmark.runs import read_pages
from harness.prediction_rules import Scope, require_valid
from harness.protocol import Prediction

Array = NDArray[np.float64]
PREDICTIONS = pa.schema(
    [
        pa.field("run_id", pa.string(), nullable=False),
        pa.field("epoch", pa.int32(), nullable=False),
        pa.field("mean", pa.float64(), nullable=False),
        pa.field("std", pa.float64()),
    ]
)

SEEDED = pa.schema([pa.field("seed", pa.int32(), nullable=False), *PREDICTIONS])
STEP = 2.0**-14  # of a stored accuracy, finer than one image of 10,000
MOST_ROWS = 20_000_000  # of a file
ROW_BYTES = 300  # of a row of a file, on average
LARGEST_STD = 2.0**15  # a value that half precision can hold
COMPRESSION = 19  # zstd level; files are a tenth larger with the default, 3


def round_prediction(prediction: Prediction) -> Prediction:
    """Round a valid prediction as it is scored and stored.

    Accuracies are rounded to multiples of `STEP`, standard deviations to half precision (eleven
    significant bits) and at least `STEP`. Rounding twice changes nothing.

    >>> round_prediction(Prediction(np.array([[0.50001]]), (20,), np.array([[0.1]]))).mean.tolist()
    [[0.5]]
    """
    std = None if prediction.std is None else _round_std(prediction.std)
    return Prediction(_round_mean(prediction.mean), prediction.epochs, std)


def _round_mean(mean: Array) -> Array:
    return np.round(mean / STEP) * STEP


def _round_std(std: Array) -> Array:
    return np.clip(std, STEP, LARGEST_STD).astype(np.float16).astype(np.float64)


def predictions_table(
    run_ids: Sequence[str], epochs: Sequence[int], mean: Array, std: Array | None = None
) -> pa.Table:
    """Return predictions as the rows of their file, sorted by run and epoch.

    Args:
        run_ids: Run id of each network.
        epochs: Predicted epochs, from 1, in order.
        mean: Predicted accuracies, (networks, epochs).
        std: Predicted standard deviations, (networks, epochs).

    >>> predictions_table(["b", "a"], [20], np.array([[0.5], [0.25]])).to_pydict()
    {'run_id': ['a', 'b'], 'epoch': [20, 20], 'mean': [0.25, 0.5], 'std': [None, None]}
    """
    order = sorted(range(len(run_ids)), key=lambda i: run_ids[i])
    deviations = None if std is None else pa.array(std[order].ravel())
    size = len(order) * len(epochs)
    columns = [
        pa.array([run_ids[i] for i in order for _ in epochs], pa.string()),
        pa.array(list(epochs) * len(order), pa.int32()),
        pa.array(mean[order].ravel(), pa.float64()),
        pa.nulls(size, pa.float64()) if deviations is None else deviations,
    ]
    return pa.table(columns, schema=PREDICTIONS)


def seeds_table(seeds: Sequence[int], tables: Sequence[pa.Table]) -> pa.Table:
    """Return the predictions of all seeds as one table, without a column `seed` for a single one.

    Args:
        seeds: The seeds, all different.
        tables: A table of `predictions_table` for each seed, with the same runs and epochs.
    """
    if len(seeds) == 1:
        return tables[0]
    pairs = sorted(zip(seeds, tables, strict=True), key=lambda pair: pair[0])
    numbered = [
        table.add_column(0, SEEDED.field("seed"), pa.array([seed] * len(table), pa.int32()))
        for seed, table in pairs
    ]
    return pa.concat_tables(numbered).combine_chunks()


def mean_table(table: pa.Table) -> pa.Table:
    """Return the rounded mean over seeds of a table of `seeds_table`."""
    if "seed" not in table.column_names:
        return table
    seeds = len(np.unique(table["seed"].to_numpy()))
    first = table.slice(0, len(table) // seeds)
    columns = [first["run_id"], first["epoch"]]
    for name in ("mean", "std"):
        if table[name].null_count:
            columns.append(pa.nulls(len(first), pa.float64()))
            continue
        rounding = _round_mean if name == "mean" else _round_std
        columns.append(pa.array(rounding(table[name].to_numpy().reshape(seeds, -1).mean(axis=0))))
    return pa.table(columns, schema=PREDICTIONS)


def check_predictions(table: pa.Table, networks: int, seeds: Sequence[int]) -> None:
    """Check the rows of a file of predictions.

    Args:
        table: The rows.
        networks: Expected number of networks of each seed.
        seeds: Expected seeds; the file has a column of seeds if there are several.

    Raises:
        ValueError: If columns, seeds, order, epochs or values break a rule.
    """
    if len(seeds) == 1:
        _check_columns(table, PREDICTIONS)
        _check_rows(table, networks)
        return
    _check_columns(table, SEEDED)
    numbers = table["seed"].to_numpy()
    given = np.unique(numbers).tolist()
    if given != sorted(seeds) or np.any(np.diff(numbers) < 0):
        raise ValueError(f"seeds (={given}) must be {sorted(seeds)}, in order")
    if np.ptp(np.bincount(np.searchsorted(given, numbers))):
        raise ValueError(f"the {len(table)} rows must be equally many for every seed")
    for of_seed in split_seeds(table, len(given)):
        _check_rows(of_seed, networks)


def split_seeds(table: pa.Table, seeds: int) -> list[pa.Table]:
    """Return the rows of each seed of valid predictions, without the column `seed`."""
    rows = len(table) // seeds
    plain = table.select(PREDICTIONS.names)
    return [plain.slice(rows * index, rows) for index in range(seeds)]


def _check_rows(table: pa.Table, networks: int) -> None:
    """Check the rows of one seed."""
    names, epochs = np.asarray(table["run_id"].to_pylist(), np.str_), table["epoch"].to_numpy()
    same = names[1:] == names[:-1]
    if not np.all((names[1:] > names[:-1]) | (same & (epochs[1:] > epochs[:-1]))):
        raise ValueError("rows must be sorted by run_id and epoch, each pair once")
    runs, distinct = len(names) - int(same.sum()), np.unique(epochs)
    if runs != networks or not networks:
        raise ValueError(f"predictions must be of {networks} networks, not {runs}")
    if distinct[0] < 1 or len(names) != runs * len(distinct):
        raise ValueError("every network must have the same epochs, from 1")
    if table["std"].null_count not in (0, len(table)):
        raise ValueError("`std` must be given in all rows or in none")
    shape = (runs, len(distinct))
    mean = table["mean"].to_numpy().reshape(shape)
    std = None if table["std"].null_count else table["std"].to_numpy().reshape(shape)
    scope = Scope(names[:: len(distinct)].tolist(), int(distinct[-1]))
    require_valid(Prediction(mean, tuple(distinct.tolist()), std), scope)


def _check_columns(table: pa.Table, schema: pa.Schema) -> None:
    given, expected = (
        ", ".join(f"{field.name} {field.type}" for field in fields)
        for fields in (table.schema, schema)
    )
    if not table.schema.equals(schema):
        raise ValueError(f"columns ({given}) must be ({expected})")


def to_parquet(table: pa.Table) -> bytes:
    """Return the content of the Parquet file of valid predictions."""
    buffer = io.BytesIO()
    pq.write_table(
        table,
        buffer,
        compression="zstd",
        compression_level=COMPRESSION,
        write_page_checksum=True,
        use_dictionary=[name for name in table.column_names if name not in ("mean", "std")],
        column_encoding={"mean": "BYTE_STREAM_SPLIT", "std": "BYTE_STREAM_SPLIT"},
    )
    return buffer.getvalue()


def read_predictions(path: Path, networks: int, seeds: Sequence[int]) -> pa.Table:
    """Return the checked rows of a file of predictions. Arguments as for `check_predictions`.

    Raises:
        ValueError: If it is not a Parquet file, is damaged or breaks a rule; the message starts
            with the path.
        OSError: If it cannot be read.
    """
    most = min(networks * MOST_EPOCHS * len(seeds), MOST_ROWS)
    table = read_pages(path, most_rows=most, row_bytes=ROW_BYTES)
    try:
        check_predictions(table, networks, seeds)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return table


def predicted_epochs(table: pa.Table) -> tuple[int, ...]:
    """Return the epochs of valid predictions, in order."""
    return tuple(np.unique(table["epoch"].to_numpy()).tolist())


def matrix(table: pa.Table, column: str, run_ids: Sequence[str]) -> Array:
    """Return a column of valid predictions as an array, (networks, epochs).

    Args:
        table: Valid predictions.
        column: `mean` or `std`.
        run_ids: The runs of the table, in the order of the array's rows.

    Raises:
        ValueError: If these are not exactly the runs of the table.

    >>> table = predictions_table(["b", "a"], [19, 20], np.array([[0.5, 0.75], [0.25, 0.5]]))
    >>> matrix(table, "mean", ["b", "a"]).tolist()
    [[0.5, 0.75], [0.25, 0.5]]
    """
    epochs = len(predicted_epochs(table))
    known = table["run_id"].to_pylist()[::epochs]
    if sorted(run_ids) != known:
        odd = sorted(set(run_ids) ^ set(known))[:1] or ["a run is given twice"]
        raise ValueError(f"runs of the predictions are not those of the task: {odd[0]}")
    row = {run_id: i for i, run_id in enumerate(known)}
    values: Array = table[column].to_numpy().reshape(len(known), epochs)
    return values[[row[run_id] for run_id in run_ids]]
