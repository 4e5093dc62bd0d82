"""Remembers what was checked and found right, so that it is not checked again.

A check is remembered as an empty file in the user's cache. Its name is a digest of all that the
check read, the code of `benchmark` and `harness` among it.
"""

import functools
import hashlib
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from benchmark.runs import user_cache

ROOT = Path(__file__).parents[2]
PACKAGES = ("numpy", "scipy", "pyarrow")  # whose versions may change a score


@functools.cache
def code_digest() -> str:
    """Return the SHA-256 of the code of `benchmark` and `harness` and of the versions it uses."""
    digest = hashlib.sha256(" ".join(map(metadata.version, PACKAGES)).encode())
    for folder in ("benchmark", "harness"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def check_path(*content: bytes) -> Path:
    """Return the path of the file that remembers a check of some content."""
    digest = hashlib.sha256(code_digest().encode())
    for part in content:
        digest.update(hashlib.sha256(part).digest())
    return user_cache() / "checked" / digest.hexdigest()


def remember(path: Path) -> None:
    """Remember a check; a cache that cannot be written is no error."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
