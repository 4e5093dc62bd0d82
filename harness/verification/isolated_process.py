"""Fits submitted code in an isolated process and returns what it predicts.

`docs/trust.md` says what isolation covers and what it does not. The code gets the runs to fit on
and the queries, never the targets, and a copy of the data that holds train and validation runs
only. Where the system has namespaces, it can reach no other file of the machine and no network.
"""

import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmark.release import Release
from benchmark.util.text import to_line
from harness.running.submitted_files import Files
from harness.verification.isolation.given import PACKAGES, TREE, make_given
from harness.verification.isolation.launch import (
    MEMORY,
    Program,
    find_way,
    isolation_text,
    run_program,
)
from harness.verification.isolation.transfer import MESSAGE, Fitted, Inputs, from_bytes, most_bytes
from harness.verification.isolation.work import INPUTS

BOOT = (
    "import sys; given, tree, packages = sys.argv[1:]; sys.path = [tree, *sys.path, packages]; "
    "from harness.verification.isolation.work import main; main(given)"
)


@dataclass(frozen=True, slots=True)
class Code:
    """A predictor and its files.

    Attributes:
        predictor: Argument of `harness.running.find_predictor.find`; a path in it is relative to
            the folder with the files.
        files: Files to copy there, by relative path; none for code of an installed package.
    """

    predictor: str
    files: Files = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Limits:
    """The time limit of a process, and its most bytes of memory."""

    minutes: float
    memory: int = MEMORY


def fit_in_isolation(
    inputs: Inputs, files: Files, release: Release, limits: Limits, secrets: Sequence[Path] = ()
) -> list[Fitted]:
    """Fit a predictor with each seed in an isolated process, and return its predictions.

    Args:
        inputs: What the process receives; it never gets targets.
        files: The files of the predictor by relative path; none for an installed package.
        release: The data, of which it gets the train and validation runs.
        limits: Its limits.
        secrets: Folders that it must not see besides that of the release, wherever they lie.

    Returns:
        What each seed gave. `harness.verification.isolation.launch.find_way` says how isolated the
        process was.

    Raises:
        ValueError: If the code fails or passes a limit, or its predictions break the protocol.
        OSError: If a file cannot be written, or the process cannot be started.
    """
    way = find_way()
    with TemporaryDirectory(prefix="peephole-rerun-") as name:
        home = Path(name).resolve()
        given = make_given(home, files, release.folder)
        (given / INPUTS).write_bytes(pickle.dumps(inputs))
        folders = [str(given), str(given / TREE), str(given / PACKAGES)]
        program = Program(
            ("-c", BOOT, *folders),
            home,
            (release.folder, *secrets),
            limits.minutes,
            most_bytes(inputs),
            limits.memory,
        )
        try:
            return from_bytes(run_program(program, way), inputs)
        except ValueError as error:
            where, why = isolation_text(way.measures), to_line(str(error), MESSAGE)
            raise ValueError(f"the predictor failed in {where}: {why}") from error
