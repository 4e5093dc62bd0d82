"""Crews whose workers start fast: torch takes seconds to load in a spawned process."""

from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import pytest

from generators.crew import Crew, started
from generators.worker import prepare


def in_threads(self: Crew) -> ThreadPoolExecutor:
    """Stand in for a crew's processes where no process has to die."""
    return ThreadPoolExecutor(self.options.workers, initializer=prepare)


def in_forks(self: Crew) -> ProcessPoolExecutor:
    """Stand in for a crew's processes: torch is loaded once, in the server they are forked from."""
    server = get_context("forkserver")
    server.set_forkserver_preload(["tests.toy_campaign"])
    pool = ProcessPoolExecutor(self.options.workers, server, initializer=prepare)
    return started(pool, self.options)


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Crew, "_pool", in_threads)


@pytest.fixture
def forks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Crew, "_pool", in_forks)
