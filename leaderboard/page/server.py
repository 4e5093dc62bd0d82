"""Serves the page on this machine, and rebuilds it on request when results have changed.

Requests must come with a host name of this machine, so that a page of another site, whose name was
made to lead here, cannot read the board. Their size, their time and their number are bounded.
"""

import errno
import io
import re
import socket
import threading
import time
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from benchmark.release import INSTALLED, Release
from harness.running.submission import submissions_folder
from leaderboard.board import verified_board
from leaderboard.networks import TaskNetworks, load_networks
from leaderboard.page.page import render

HOST = "127.0.0.1"
HOSTS = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE)
HOST_RULE = "must be 127.0.0.1, localhost or [::1], with or without a port"
PATHS = ("/", "/board.html")
METHODS = ("GET", "HEAD")
HEADERS = {  # of every response; the page has a Content-Security-Policy of its own beside this one
    "Allow": ", ".join(METHODS),
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
READ_SECONDS, WRITE_SECONDS = 10.0, 60.0  # until a request has come, until a response has left
MOST_BYTES = 16_384  # of a request; browsers send less than a tenth
MOST_CONNECTIONS = 32  # at a time
HEAD_END = re.compile(rb"\r?\n\r?\n")
READ_ERRORS = (ValueError, OSError)  # raised when results are read; shown to the client
Stamp = tuple[tuple[str, int, int], ...]
Request = socket.socket | tuple[bytes, socket.socket]


class Site:
    """Folders of results, the data they are checked against, and the latest page of both."""

    def __init__(
        self, results: Path, own: Path | None = None, *, release: Release = INSTALLED
    ) -> None:
        """Set the folders of results, one's own among them, and the data, without reading them."""
        self.results, self.own, self.release = results, own, release
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
                board = verified_board(self.results, self.release, own=self.own)
                for task in board.tasks:
                    if task.name not in self._networks:
                        self._networks[task.name] = load_networks(task.name, self.release)
                submissions = submissions_folder(self.results)
                self._page = render(board, self._networks, submissions).encode()
                self._stamp = stamp
            return self._page

    def stamp(self) -> Stamp:
        """Return path, modification time and size of every file of results and submissions."""
        stats = []
        for folder in filter(None, (self.results, submissions_folder(self.results), self.own)):
            for path in sorted(folder.rglob("*")):
                with suppress(FileNotFoundError):  # a draft that was moved just now
                    stat = path.lstat()
                    stats.append((str(path), stat.st_mtime_ns, stat.st_size))
        return tuple(stats)


class Handler(BaseHTTPRequestHandler):
    """Handles the request of a connection."""

    server: "Server"
    default_request_version = "HTTP/1.0"

    def handle(self) -> None:
        """Read the request and respond; a client that is too slow or goes away is no error."""
        with suppress(OSError):
            request = self._read_request()
            self.connection.settimeout(WRITE_SECONDS)
            self.rfile = io.BytesIO(request)
            if HEAD_END.search(request):
                self.handle_one_request()
            elif len(request) > MOST_BYTES:
                self.command = self.requestline = self.request_version = ""
                self.send_error(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def _read_request(self) -> bytes:
        """Return what comes until the headers end, there is too much, or the time is over.

        The time is of the whole request: one byte now and then does not prolong it.
        """
        end, request = time.monotonic() + READ_SECONDS, b""
        while not HEAD_END.search(request) and len(request) <= MOST_BYTES:
            self.connection.settimeout(max(end - time.monotonic(), 1e-3))
            received = self.connection.recv(MOST_BYTES)
            if not received:
                break
            request += received
        return request

    def parse_request(self) -> bool:
        """Return whether to respond to the request; if not, the client has been told why."""
        if not super().parse_request():
            return False
        hosts = self.headers.get_all("Host", [])
        if len(hosts) != 1 or not HOSTS.fullmatch(hosts[0]):
            given = ", ".join(hosts)[:100]
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST, f"`Host` (={given!a}) {HOST_RULE}")
            return False
        if self.command not in METHODS:
            rule = f"the method must be {' or '.join(METHODS)}"
            self.send_error(HTTPStatus.METHOD_NOT_ALLOWED, rule)
            return False
        return True

    def do_GET(self) -> None:
        """Send the page, or an error message."""
        if self.path.split("?")[0] not in PATHS:
            self.send_error(HTTPStatus.NOT_FOUND, "not found; the page is at /")
            return
        try:
            page = self.server.site.page()
        except READ_ERRORS as error:
            message = f"the board cannot be built: {error}"
            self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR, message)
            return
        self._send(HTTPStatus.OK, "text/html", page)

    do_HEAD = do_GET

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Send an error message as plain text."""
        status = HTTPStatus(code)
        text = f"{message or status.phrase}\n"
        self._send(status, "text/plain", text.encode(errors="backslashreplace"))

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def version_string(self) -> str:
        """Return the name of the server, without versions."""
        return "peephole"

    def log_message(self, format: str, *args: object) -> None:
        """Do not log requests."""


class Server(ThreadingHTTPServer):
    """A server that listens on this machine only."""

    daemon_threads = True
    request_queue_size = MOST_CONNECTIONS

    def __init__(self, site: Site, port: int) -> None:
        """Start to listen.

        Args:
            site: Site that is served.
            port: Port number; 0 chooses a free one.

        Raises:
            ValueError: If the port is in use or reserved.
        """
        self.site = site
        self._free = threading.Semaphore(MOST_CONNECTIONS)
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

    def process_request(self, request: Request, client_address: object) -> None:
        """Start a thread for a connection, or close it if there are too many."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Request, client_address: object) -> None:
        """Handle the request of a connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()
