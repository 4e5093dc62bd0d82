"""Which stored results a new one may replace without being asked to.

A result is replaced freely by one of the same predictor with as many seeds. What would be lost
otherwise is lost on request only.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from benchmark.util.strict_json import read_record
from benchmark.util.text import quantity
from harness.results.result import Result
from harness.results.store import result_path, write_result

OR_ELSE = "--replace replaces it, and another --results or --name keeps it"


def check_replaceable(path: Path, seeds: Sequence[int], submissions: Path) -> None:
    """Check that a new result may replace the stored one, if there is one.

    Args:
        path: Where the new result will be stored.
        seeds: Seeds of the new result.
        submissions: Folder of submissions, whose results are replaced only by `peephole submit`.

    Raises:
        ValueError: If the stored one has more seeds, is verified, is that of a submission, or
            cannot be read.
    """
    if not path.exists():
        return
    try:
        stored = read_record(path, Result)
    except (ValueError, OSError) as error:
        raise ValueError(f"{error}; {OR_ELSE}") from error
    if len(stored.seeds) > len(seeds):
        reason = f"has {quantity(len(stored.seeds), 'seed')}, the new one would have {len(seeds)}"
    elif (submissions / path.stem).exists():
        reason = "is that of a submission"
    elif stored.verification != "self-reported":
        reason = f"is {stored.verification}, the new one would be self-reported"
    else:
        return
    raise ValueError(f"{path}: the stored result {reason}; {OR_ELSE}")


def write_unless_worse(
    folder: Path, result: Result, predictions: pa.Table | None, *, replace_existing: bool = False
) -> Result:
    """Write a result as `write_result` does, but no failure in place of scores, except on request.

    Returns:
        The result, as written if it was.
    """
    path = result_path(folder, result.task, result.predictor)
    if predictions is None and not replace_existing and path.exists():
        if read_record(path, Result).status == "scored":
            sys.stderr.write(f"{path}: the earlier scores are kept; --replace replaces them\n")
            return result
    return write_result(folder, result, predictions)
