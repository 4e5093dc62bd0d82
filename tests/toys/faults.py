"""Faults at each call that changes files, in turn: the disk is full, or the process dies.

    for fault in every_fault(tmp_path, dies=True):
        start_again()
        with fault:
            work()
        check_what_is_left()

The loop ends when `work` has ended without a fault. What it reads is not disturbed.
"""

import builtins
import errno
import io
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO
from unittest import mock

import pyarrow.parquet as pq

# Calls with a path first or last; `sync` and `sendfile` get numbers of open files
NAMED = ("replace", "rename", "unlink", "remove", "rmdir", "mkdir", "link", "symlink", "truncate")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Died(BaseException):
    """Stands for the death of the process: from now on it changes nothing, not even to clean up."""


@dataclass(slots=True)
class Fault:
    """A block in which one call that changes files below a folder fails, or ends the process.

    Attributes:
        folder: The folder.
        number: Which call, from 0.
        dies: Whether the process dies; else the call fails, as the disk is full.
        calls: The calls so far, as names.
        error: What the block raised.
    """

    folder: Path
    number: int
    dies: bool
    calls: list[str] = field(default_factory=list)
    error: BaseException | None = None
    patches: ExitStack = field(default_factory=ExitStack)
    thread: int = field(default_factory=threading.get_ident)

    @property
    def happened(self) -> bool:
        """Whether the block came as far as the call."""
        return len(self.calls) > self.number

    def count(self, name: str, *paths: object) -> None:
        """Count a call, and let it fail if its turn has come; as the system, name the file or not.

        Without paths, the call is counted wherever its file is.
        """
        inside = [p for p in paths if isinstance(p, str | Path) and self.folder in Path(p).parents]
        if threading.get_ident() != self.thread or (paths and not inside):
            return
        self.calls.append(f"{name} {' '.join(map(str, inside))}")
        if self.dies and self.happened:
            raise Died
        if len(self.calls) == self.number + 1:
            named = () if name == "write" else map(str, inside[:1])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), *named)

    def __enter__(self) -> "Fault":
        """Put the counters in place."""
        self._replace(io, "open", self._opening(io.open))
        self._replace(builtins, "open", self._opening(builtins.open))
        self._replace(pq, "write_table", self._writing_table(pq.write_table))
        self._replace(os, "open", self._opening_number(os.open))
        self._replace(os, "fsync", lambda _: self.count("fsync"))  # which takes long
        self._replace(os, "sendfile", self._counting("sendfile", os.sendfile))
        for name in NAMED:
            self._replace(os, name, self._counting(name, getattr(os, name)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> bool:
        """Remove the counters; what the fault led to is kept, and other errors are raised."""
        self.patches.close()
        self.error = error
        cause = error.__cause__ if isinstance(error, ValueError) else error
        return self.happened and isinstance(cause, Died | OSError)

    def _replace(self, where: object, name: str, new: object) -> None:
        self.patches.enter_context(mock.patch.object(where, name, new))

    def _counting(self, name: str, call: Callable[..., object]) -> Callable[..., object]:
        def counted(*args: object, **kwargs: object) -> object:
            paths = [] if name == "sendfile" else [args[0], args[-1]]
            if kwargs.get("dir_fd") is not None:  # `rmtree` names files within an open folder
                paths = []
            self.count(name, *paths)
            return call(*args, **kwargs)

        return counted

    def _opening(self, call: Callable[..., IO[str]]) -> Callable[..., IO[str]]:
        """Count the opening of a file for writing, and every write to it."""

        def opened(path: object, mode: str = "r", *args: object, **kwargs: object) -> IO[str]:
            if not set(mode) & set("wax+") or not isinstance(path, str | Path):
                return call(path, mode, *args, **kwargs)
            self.count(f"open {mode}", path)
            file = call(path, mode, *args, **kwargs)
            write = file.write

            def counted(text: str) -> int:
                self.count("write", path)
                return write(text)

            file.write = counted  # type: ignore[method-assign]
            return file

        return opened

    def _opening_number(self, call: Callable[..., int]) -> Callable[..., int]:
        def opened(path: str, flags: int, *args: object, **kwargs: object) -> int:
            if flags & WRITES:
                self.count("os.open", path)
            return call(path, flags, *args, **kwargs)

        return opened

    def _writing_table(self, call: Callable[..., None]) -> Callable[..., None]:
        """Count the writing of a table, which is broken off half way and names no file."""

        def written(table: object, path: Path, **kwargs: object) -> None:
            try:
                self.count("write_table", path)
            except OSError as error:
                path.write_bytes(b"PAR1")
                raise OSError(error.errno, "Error writing bytes to file") from error
            call(table, path, **kwargs)

        return written


def every_fault(folder: Path, *, dies: bool, step: int = 1, first: int = 0) -> Iterator[Fault]:
    """Yield a fault at each call in turn, or at every `step`-th, until a block ends without one."""
    number = first
    while True:
        fault = Fault(folder, number, dies)
        yield fault
        if not fault.happened:
            return
        number += step
