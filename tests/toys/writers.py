"""Checks commands that write to a release by breaking them off at each of their calls."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

from benchmark.publish.verify import verify_release
from tests.toys.campaign import visible_files
from tests.toys.faults import every_fault


def check_faults(
    base: Path, folder: Path, work: Callable[[], object], *, dies: bool, step: int = 1
) -> None:
    """Check a command that changes a copy of a release in a folder.

    Broken off anywhere, it leaves the old files, the new ones, or a mixture that `data verify`
    calls incomplete; an error says which. The same command then always gives the new files.
    """

    def start_again() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(base, folder)

    start_again()
    work()
    old, new = visible_files(base), visible_files(folder)
    assert verify_release(folder) == []
    assert old != new
    states = set()
    for fault in every_fault(folder, dies=dies, step=step):
        start_again()
        with fault:
            work()
        found = visible_files(folder)
        state = "old" if found == old else "new" if found == new else "mixed"
        if state == "mixed":
            (problem,) = verify_release(folder)
            assert problem.startswith(f"a command was killed while it wrote to {str(folder)!r}; ")
        if isinstance(fault.error, OSError):
            check_message(str(fault.error), folder, state)
        states.add(state if fault.error else "ended")
        work()
        assert visible_files(folder) == new
        assert {path.name for path in folder.glob(".*")} == {".lock"}
    assert states >= {"old", "ended"}


def check_message(text: str, folder: Path, state: str) -> None:
    """Check that an error names a file of the release, and says rightly which state it is in."""
    whole = re.escape(str(folder))
    full = f"No space left on device: '{whole}[^']*'"
    unchanged = f"{full}; nothing in '{whole}' was changed(; run the same command to resume)?"
    partly = f"{full}; '{whole}' is partly new; run the same command again to complete it"
    locked = f"'{whole}' cannot be written to: {full}"
    if re.fullmatch(partly, text):
        return
    assert re.fullmatch(f"{unchanged}|{locked}", text), text
    assert state == "old"
    assert not re.search(r"\.(draft|ready|part)\b", text)
