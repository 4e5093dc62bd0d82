"""Pools whose workers start fast, as torch takes seconds to load; a browser for the page."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from leaderboard.networks import TaskNetworks
from tests.toys.pages import write_toy_page
from tests.toys.results import toy_networks, write_toy_board

if TYPE_CHECKING:  # tests of the engine run where there is no Playwright, others without torch
    from playwright.sync_api import Browser, Page, Route

    from generators.workers.run_options import RunOptions

# No sandbox, as tests may run as root; the rest keeps Chromium itself off the network
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


# A shell starts background jobs with SIGINT ignored, and tested commands would inherit that
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--demand-browser",
        action="store_true",
        help="fail, rather than skip, tests of the page where there is no Chromium",
    )


def in_threads(options: RunOptions) -> ThreadPoolExecutor:
    """Stand in for the processes of a pool where no process has to die."""
    from generators.workers.worker import prepare

    return ThreadPoolExecutor(options.workers, initializer=prepare)


def in_forks(options: RunOptions) -> ProcessPoolExecutor:
    """Stand in for the processes of a pool: forked from a server that has loaded torch once."""
    from generators.workers.scheduler import start_processes
    from generators.workers.worker import prepare

    server = get_context("forkserver")
    server.set_forkserver_preload(["tests.toys.campaign"])
    pool = ProcessPoolExecutor(options.workers, server, initializer=prepare)
    start_processes(pool, options.workers)
    return pool


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("generators.workers.scheduler.local_pool", in_threads)


@pytest.fixture
def forks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("generators.workers.scheduler.local_pool", in_forks)


@pytest.fixture
def board_results(tmp_path: Path) -> Path:
    """Return a folder of results on the two tasks of the toy board."""
    write_toy_board(tmp_path / "results")
    return tmp_path / "results"


@pytest.fixture
def all_networks() -> dict[str, TaskNetworks]:
    """Return the truths of the tasks of the toy board."""
    return {name: toy_networks() for name in ("digits-k0-v1", "digits-k1-v1")}


# Of a module and no longer: while it is there, its thread has a running event loop
@pytest.fixture(scope="module")
def browser(request: pytest.FixtureRequest) -> Iterator[Browser]:
    path = shutil.which("chromium")
    if path is None:
        text = "no `chromium` on the path: the page is not tested"
        if request.config.getoption("--demand-browser"):
            pytest.fail(text)
        pytest.skip(text)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield found
        found.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder: Path = tmp_path_factory.mktemp("page")
    return write_toy_page(folder).as_uri()


@pytest.fixture
def visit(browser: Browser, address: str) -> Iterator[Callable[..., Page]]:
    """Open the page; afterwards, fail if it asked for anything else or complained."""
    asked: list[str] = []
    complaints: list[str] = []
    contexts = []

    def opened(hash_: str = "", *, width: int = 1280, scheme: str = "light") -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if scheme == "dark" else "light",
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        context.route("**/*", lambda route: route.continue_() if at_home(route) else route.abort())
        page.on("request", lambda request: asked.append(request.url.split("#")[0]))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(address + hash_)
        page.locator("main[aria-busy=false]").wait_for()
        return page

    def at_home(route: Route) -> bool:
        return route.request.url.split("#")[0] == address

    yield opened
    for context in contexts:
        context.close()
    assert set(asked) <= {address, "data:,"}
    assert complaints == []
