"""The server of the page: what it serves, to whom, and what it does with clients that misbehave."""

import http.client
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

import leaderboard.page.server
from benchmark.release import Release
from harness.results.store import result_path
from harness.verification import audit
from leaderboard.board import Board, verified_board
from leaderboard.page.server import HOST_RULE, MOST_BYTES, Server, Site
from tests.toys.results import toy_networks, write_toy, write_toy_board


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(leaderboard.page.server, "load_networks", lambda *_: toy_networks())
    # The toy results are of tasks that no release has
    monkeypatch.setattr(audit, "rescore_all", lambda jobs, processes: [""] * len(jobs))
    monkeypatch.setattr(audit, "ceiling_problem", lambda path, release: "")
    write_toy_board(tmp_path / "results")
    return tmp_path / "results"


@contextmanager
def running(server: Server) -> Iterator[Server]:
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    with running(Server(Site(folder), 0)) as found:
        yield found


def request(server: Server, path: str, method: str = "GET") -> tuple[int, dict[str, str], str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=30)
    connection.request(method, path)
    response = connection.getresponse()
    parts = response.status, dict(response.getheaders()), response.read().decode()
    connection.close()
    return parts


@pytest.mark.parametrize("path", ["/", "/board.html", "/?x=1"])
def test_the_page_is_served(server: Server, path: str) -> None:
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", server.address)
    status, headers, text = request(server, path)
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Cache-Control"] == "no-store"
    assert text == server.site.page().decode()
    assert request(server, path, "HEAD")[2] == ""


def test_nothing_else_is_served(server: Server) -> None:
    for path in ("/results", "/../README.md", "/digits-k0-v1/good.json"):
        assert request(server, path)[0::2] == (404, "not found; the page is at /\n")


def test_the_page_is_rebuilt_only_if_results_have_changed(
    server: Server, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[Path] = []

    def counted(results: Path, release: Release, *, own: Path | None) -> Board:
        built.append(results)
        return verified_board(results, release, own=own)

    monkeypatch.setattr(leaderboard.page.server, "verified_board", counted)
    first = request(server, "/")[2]
    assert request(server, "/")[2] == first
    assert len(built) == 1
    write_toy(folder, "newer", 0.1)
    assert request(server, "/")[2] != first
    assert len(built) == 2
    server.site.own = tmp_path / "own"
    for noise in (0.1, 0.2):
        write_toy(server.site.own, "mine", noise)
        assert '"mine"' in request(server, "/")[2]
    assert len(built) == 4


def test_a_result_that_breaks_a_rule_is_left_out_and_named_until_it_is_fixed(
    server: Server, folder: Path
) -> None:
    first = request(server, "/")[2]
    path = result_path(folder, "digits-k0-v1", "bad")
    good = path.read_text()
    record = json.loads(good)
    record["scores"]["test"]["tau"]["value"] = 7
    path.write_text(json.dumps(record))
    status, _, text = request(server, "/")
    assert status == 200
    assert f'"leftOut":["{path}: `scores.test.tau.value` (=7' in text
    path.write_text(good)
    assert request(server, "/")[2] == first


def test_a_board_without_a_right_result_is_an_error(server: Server, folder: Path) -> None:
    for path in folder.glob("*/*.json"):
        path.write_text("{")
    status, headers, text = request(server, "/")
    assert status == 500
    assert headers["Content-Type"] == "text/plain; charset=utf-8"
    assert text.startswith("the board cannot be built: no result <task>/<predictor>.json in ")


def test_a_port_in_use_is_refused(folder: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        message = f"^port {port} is in use or reserved; --port 0 chooses a free one$"
        with pytest.raises(ValueError, match=message):
            Server(Site(folder), port)


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.server_address[1]), timeout=30)


def wait_for_threads(number: int) -> None:
    end = time.monotonic() + 30
    while threading.active_count() != number and time.monotonic() < end:
        time.sleep(0.01)
    assert threading.active_count() == number


def received(connection: socket.socket) -> bytes:
    """Return all that comes until the server closes the connection."""
    parts = []
    with suppress(ConnectionError):
        while part := connection.recv(65_536):
            parts.append(part)
    return b"".join(parts)


def send(server: Server, text: str) -> tuple[int, dict[str, str], str]:
    """Return status, headers and body of the response to the bytes of a request."""
    with connect(server) as connection:
        connection.sendall(text.encode("latin-1"))
        head, _, body = received(connection).decode().partition("\r\n\r\n")
    status, *lines = head.split("\r\n")
    return int(status.split()[1]), dict(line.split(": ", 1) for line in lines), body


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:8000", "localhost", "LocalHost:80", "[::1]", "[::1]:8000"]
)
def test_a_request_to_this_machine_is_answered(server: Server, host: str) -> None:
    for end in ("\r\n", "\n"):
        status, _, body = send(server, f"GET / HTTP/1.1{end}Host: {host}{end}{end}")
        assert status == 200
        assert body.startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("lines", "given"),
    [
        ("", ""),
        ("Host:\r\n", ""),
        ("Host: evil.example\r\n", "evil.example"),
        ("Host: evil.example:8000\r\n", "evil.example:8000"),
        ("Host: localhost.evil.example\r\n", "localhost.evil.example"),
        ("Host: 127.0.0.1.evil.example\r\n", "127.0.0.1.evil.example"),
        ("Host: 127.0.0.1:8000@evil.example\r\n", "127.0.0.1:8000@evil.example"),
        ("Host: 127x0x0x1\r\n", "127x0x0x1"),
        ("Host: 127.0.0.1:\r\n", "127.0.0.1:"),
        ("Host: localhost\r\nHost: evil.example\r\n", "localhost, evil.example"),
        ("Host: \xe9\x1b[31m\r\n", "\\xe9\\x1b[31m"),
        (f"Host: {'a' * 1000}\r\n", "a" * 100),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_request_to_another_host_is_refused(
    server: Server, method: str, lines: str, given: str
) -> None:
    status, headers, body = send(server, f"{method} / HTTP/1.1\r\n{lines}\r\n")
    assert (status, headers["Content-Type"]) == (421, "text/plain; charset=utf-8")
    assert body == f"`Host` (='{given}') {HOST_RULE}\n"
    assert HOST_RULE == "must be 127.0.0.1, localhost or [::1], with or without a port"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get", "parse"])
def test_another_method_is_refused(server: Server, method: str) -> None:
    status, headers, body = send(server, f"{method} / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (status, headers["Allow"]) == (405, "GET, HEAD")
    assert body == "the method must be GET or HEAD\n"


@pytest.mark.parametrize(
    ("text", "status", "body"),
    [
        ("\x16\x03\x01\r\n\r\n", 400, "Bad request syntax ('\\x16\\x03\\x01')\n"),
        ("GET / HTTP/9.0\r\n\r\n", 505, "Invalid HTTP version (9.0)\n"),
        ("GET /" + "a" * MOST_BYTES, 431, "Request Header Fields Too Large\n"),
        ("GET / HTTP/1.1\r\n" + "A: b\r\n" * 200 + "\r\n", 431, "Too many headers\n"),
    ],
)
def test_what_is_no_request_is_refused(server: Server, text: str, status: int, body: str) -> None:
    found = send(server, text)
    assert (found[0], found[2]) == (status, body)


def test_every_response_has_the_headers_that_protect_the_page(server: Server) -> None:
    for path in ("/", "/none"):
        headers = send(server, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")[1]
        assert headers.pop("Date")
        assert int(headers.pop("Content-Length"))
        assert headers.pop("Content-Type").endswith("charset=utf-8")
        assert headers == {
            "Server": "peephole",
            "Allow": "GET, HEAD",
            "Cache-Control": "no-store",
            "Content-Security-Policy": "frame-ancestors 'none'",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }


def test_half_sent_requests_are_closed_in_time(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaderboard.page.server, "READ_SECONDS", 0.2)
    before = threading.active_count()
    with connect(server) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        assert received(connection) == b""
    wait_for_threads(before)


def test_connections_above_the_most_are_closed_at_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaderboard.page.server, "MOST_CONNECTIONS", 3)
    with running(Server(Site(folder), 0)) as server:
        before = threading.active_count()
        half = [connect(server) for _ in range(3)]
        wait_for_threads(before + 3)
        with connect(server) as connection:
            connection.settimeout(5.0)  # half as long as a half-sent request may take
            assert received(connection) == b""
        assert threading.active_count() == before + 3
        for connection in half:
            connection.close()
        wait_for_threads(before)
        assert request(server, "/")[0] == 200


def test_single_bytes_do_not_prolong_the_time_of_a_request(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaderboard.page.server, "READ_SECONDS", 0.3)
    with connect(server) as connection:
        connection.settimeout(0.05)
        for _ in range(400):  # 20 seconds, were it never closed
            try:
                connection.sendall(b"a")
                assert connection.recv(1) == b""
                return
            except TimeoutError:
                continue
            except ConnectionError:
                return
    pytest.fail("the connection is still open")


def test_a_client_that_goes_away_prints_nothing(
    server: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    for text in (b"", b"GET", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"):
        with connect(server) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            connection.sendall(text)
    assert request(server, "/")[0] == 200
    assert capfd.readouterr().err == ""


def test_a_draft_that_is_moved_meanwhile_is_passed_over(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamp = Site(folder).stamp()
    listed = Path.rglob
    monkeypatch.setattr(Path, "rglob", lambda path, _: [*listed(path, "*"), path / "gone"])
    assert Site(folder).stamp() == stamp
