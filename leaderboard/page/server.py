"""Serves the page on this machine, and rebuilds it on request when results have changed."""

import errno
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from harness.running.submission import submissions_folder
from leaderboard.board import verified_board
from leaderboard.networks import TaskNetworks, load_networks
from leaderboard.page.page import render

HOST = "127.0.0.1"
PATHS = ("/", "/board.html")
READ_ERRORS = (ValueError, OSError)  # raised when results are read; shown to the client
Stamp = tuple[tuple[str, int, int], ...]


class Site:
    """A folder of results and the latest page built from it."""

    def __init__(self, results: Path) -> None:
        """Set the folder of results without reading it."""
        self.results = results
        self._networks: dict[str, TaskNetworks] = {}
        self._stamp: Stamp | None = None
        self._page = b""
        self._lock = threading.Lock()

    def page(self) -> bytes:
        """Return the page of the current results.

        Raises:
            ValueError: If a result breaks a rule.
            OSError: If the folder or a file of it cannot be read.
        """
        with self._lock:
            stamp = self.stamp()
            if stamp != self._stamp:
                board = verified_board(self.results)
                for task in board.tasks:
                    if task.name not in self._networks:
                        self._networks[task.name] = load_networks(task.name)
                submissions = submissions_folder(self.results)
                self._page = render(board, self._networks, submissions).encode()
                self._stamp = stamp
            return self._page

    def stamp(self) -> Stamp:
        """Return path, modification time and size of every file of results and submissions."""
        folders = (self.results, submissions_folder(self.results))
        files = sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())
        stats = [(str(path), path.stat()) for path in files]
        return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in stats)


class Handler(BaseHTTPRequestHandler):
    """Handles requests for the page."""

    server: "Server"
    server_version = "peephole"

    def do_GET(self) -> None:
        """Send the page, or an error message."""
        if self.path.split("?")[0] not in PATHS:
            self._send(HTTPStatus.NOT_FOUND, "text/plain", b"not found; the page is at /\n")
            return
        try:
            self._send(HTTPStatus.OK, "text/html", self.server.site.page())
        except READ_ERRORS as error:
            message = f"the board cannot be built: {error}\n".encode()
            self._send(HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain", message)

    do_HEAD = do_GET

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Do not log requests."""


class Server(ThreadingHTTPServer):
    """A server that listens on this machine only."""

    daemon_threads = True

    def __init__(self, site: Site, port: int) -> None:
        """Start to listen.

        Args:
            site: Site that is served.
            port: Port number; 0 chooses a free one.

        Raises:
            ValueError: If the port is in use or reserved.
        """
        self.site = site
        try:
            super().__init__((HOST, port), Handler)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            raise ValueError(
                f"port {port} is in use or reserved; --port 0 chooses a free one"
            ) from error

    @property
    def address(self) -> str:
        """URL of the page."""
        return f"http://{HOST}:{self.server_address[1]}/"
