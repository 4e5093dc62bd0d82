"""What a long command shows of its progress."""

import io

import pytest

import benchmark.util.progress
from benchmark.util.progress import LINE_SECONDS, Progress


class Screen(io.StringIO):
    """A stderr that is a terminal, or is none."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


def shown(monkeypatch: pytest.MonkeyPatch, *, terminal: bool, steps: list[float]) -> str:
    """Return what is written when things are done after some waits in seconds."""
    screen, clock = Screen(terminal=terminal), Clock()
    monkeypatch.setattr(benchmark.util.progress.sys, "stderr", screen)  # type: ignore[attr-defined]
    monkeypatch.setattr(benchmark.util.progress, "time", clock)
    progress = Progress("networks", len(steps))
    for seconds in steps:
        clock.now += seconds
        progress.advance()
    return screen.getvalue()


def test_off_a_terminal_there_is_a_line_now_and_then_and_one_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps = [1.0, LINE_SECONDS - 1, 1.0, 1.0]
    assert shown(monkeypatch, terminal=False, steps=steps) == (
        "2/4 networks, 240 an hour, 0.5 min left\n4/4 networks, 450 an hour, 0.0 min left\n"
    )


def test_on_a_terminal_one_bar_is_redrawn_and_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(monkeypatch, terminal=True, steps=[36.0, 0.1, 35.9])
    first, last = text.split("\r")[1:]  # the second step comes too soon to be shown
    assert first == f"[{'#' * 10}{'.' * 20}] 1/3 networks, 100 an hour, 1.2 min left   "
    assert last == f"[{'#' * 30}] 3/3 networks, 150 an hour, 0.0 min left   \n"


def test_before_anything_is_done_the_time_left_is_unknown() -> None:
    progress = Progress("networks", 5)
    progress.bar = False
    assert progress.text(10.0) == "0/5 networks, 0 an hour, time left unknown"
    assert progress.text(0.0) == "0/5 networks, 0 an hour, time left unknown"


def test_several_things_count_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark.util.progress.sys, "stderr", Screen(terminal=False))  # type: ignore[attr-defined]
    progress = Progress("networks", 5)
    progress.advance(3)
    progress.advance(1)
    assert progress.done == 4
