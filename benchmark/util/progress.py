"""Progress of a long command on stderr: a bar on a terminal, otherwise a line every 30 seconds."""

import sys
import time

LINE_SECONDS = 30.0
BAR_SECONDS = 0.2
BAR_WIDTH = 30


class Progress:
    """Counts finished items and shows how many, how fast, and the time left."""

    def __init__(self, items: str, total: int) -> None:
        """Start the clock; `items` names what is counted, in the plural."""
        self.items, self.total, self.done = items, total, 0
        self.started = time.monotonic()
        self.bar = sys.stderr.isatty()
        self.last_shown = 0.0 if self.bar else self.started

    def advance(self, count: int = 1) -> None:
        """Count finished items, and show the progress if the last display is old enough."""
        self.done += count
        now = time.monotonic()
        is_over = self.done >= self.total
        if is_over or now - self.last_shown >= (BAR_SECONDS if self.bar else LINE_SECONDS):
            self.last_shown = now
            end = "\n" if is_over or not self.bar else ""
            sys.stderr.write(("\r" if self.bar else "") + self.text(now - self.started) + end)
            sys.stderr.flush()

    def text(self, seconds: float) -> str:
        """Return the text to show after some seconds.

        >>> progress = Progress("networks", 200)
        >>> progress.done = 50
        >>> progress.text(100.0)
        '50/200 networks, 1800 an hour, 5.0 min left'
        """
        rate = self.done / seconds if seconds > 0 else 0.0
        minutes = (self.total - self.done) / rate / 60 if rate else 0.0
        left = f"{minutes:.1f} min left" if rate else "time left unknown"
        counts = f"{self.done}/{self.total} {self.items}, {rate * 3600:.0f} an hour, {left}"
        if not self.bar:
            return counts
        filled = BAR_WIDTH * self.done // max(1, self.total)
        return f"[{'#' * filled}{'.' * (BAR_WIDTH - filled)}] {counts}   "
