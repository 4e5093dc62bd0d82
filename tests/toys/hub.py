"""A Hub on this machine that serves one dataset repository: what a download asks of it."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = "some-lab/curves"
_API = re.compile(rf"/api/datasets/{REPOSITORY}/(revision|tree)/([^/?]+).*")
_FILE = re.compile(rf"/datasets/{REPOSITORY}/resolve/{COMMIT}/([^?]+).*")
REVISIONS = ("main", "v1", COMMIT)


@dataclass(slots=True)
class ToyHub:
    """What is served: every file of a folder, at one commit; and what was asked for."""

    folder: Path
    endpoint: str = ""
    asked: list[str] = field(default_factory=list)
    broken: str = ""  # a file that is sent half, and then the connection is closed

    def files(self) -> list[Path]:
        return [path for path in sorted(self.folder.rglob("*")) if path.is_file()]

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Return the status, headers and content of an answer."""
        if found := _API.fullmatch(path):
            kind, revision = found.groups()
            if revision not in REVISIONS:
                return 404, {"X-Error-Code": "RevisionNotFound"}, b"{}"
            listed = self._info() if kind == "revision" else self._tree()
            return 200, {"Content-Type": "application/json"}, json.dumps(listed).encode()
        if found := _FILE.fullmatch(path):
            content = (self.folder / unquote(found[1])).read_bytes()
            return 200, {"ETag": f'"{sha1(content).hexdigest()}"', "X-Repo-Commit": COMMIT}, content
        return 401, {"X-Error-Code": "RepoNotFound"}, b"{}"

    def _info(self) -> dict[str, object]:
        siblings = [
            {"rfilename": path.relative_to(self.folder).as_posix()} for path in self.files()
        ]
        return {"id": REPOSITORY, "sha": COMMIT, "siblings": siblings}

    def _tree(self) -> list[dict[str, object]]:
        return [
            {
                "type": "file",
                "path": path.relative_to(self.folder).as_posix(),
                "size": path.stat().st_size,
                "oid": sha1(path.read_bytes()).hexdigest(),
            }
            for path in self.files()
        ]


@contextmanager
def toy_hub(folder: Path) -> Iterator[ToyHub]:
    """Serve a folder until the block is left."""
    hub = ToyHub(folder)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hub.asked.append(self.path)
            status, headers, content = hub.answer(self.path)
            self.send_response(status)
            for name, value in (headers | {"Content-Length": str(len(content))}).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                half = bool(hub.broken) and self.path.endswith(hub.broken)
                self.wfile.write(content[: len(content) // 2] if half else content)

        do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
