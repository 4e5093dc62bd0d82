"""Compares the stored predictions of a result with those of another fit."""

import numpy as np
import pyarrow as pa


def largest_difference(stored: pa.Table, again: pa.Table) -> tuple[float, str]:
    """Return the largest difference between two tables of predictions, and a text that locates it.

    Raises:
        ValueError: If their rows differ in number, or only one has standard deviations.
    """
    if stored.column_names != again.column_names or len(stored) != len(again):
        raise ValueError(f"fitted again, it predicts {len(again)} rows, not {len(stored)}")
    largest = (0.0, "")
    for name in ("mean", "std"):
        if stored[name].null_count != again[name].null_count:
            raise ValueError("fitted again, it must give `std` if and only if `std` is stored")
        if stored[name].null_count:
            continue
        one, other = stored[name].to_numpy(), again[name].to_numpy()
        row = int(np.argmax(np.abs(one - other)))
        run_id, epoch = stored["run_id"][row].as_py(), stored["epoch"][row].as_py()
        where = f"`{name}` of run {run_id!r} at epoch {epoch}"
        text = f"{where} (={one[row]}) is {other[row]} when it is fitted again"
        largest = max(largest, (float(abs(one[row] - other[row])), text))
    return largest
