"""A copy of a release on the Hugging Face Hub, fetched into a cache and verified.

A copy lies in the cache under the commit that it is of, and gets there only when every file agrees
with the release's checksums and every row with its rules.
"""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmark.publish.export import check_whole, staged
from benchmark.publish.verify import verify_release
from benchmark.runs import user_cache

_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Mirror:
    """A dataset repository of the Hub at a branch, tag or commit; `endpoint` is another Hub's."""

    repository: str
    revision: str = "main"
    endpoint: str | None = None

    def __post_init__(self) -> None:
        """Check the name."""
        if not _REPOSITORY.fullmatch(self.repository):
            raise ValueError(f"repository {self.repository!r} must be OWNER/NAME")


def download_release(mirror: Mirror, cache: Path | None = None) -> Path:
    """Return the folder of a verified copy of a mirror, fetched unless the cache has it.

    A branch or a tag is looked up each time; a commit that the cache has needs no network.

    Raises:
        ValueError: If huggingface_hub is not installed, the repository or revision is not there,
            or what is there is no whole release.
        ConnectionError: If the Hub cannot be reached.
        OSError: If the copy cannot be written.
    """
    place = (cache or user_cache()) / mirror.repository.replace("/", "--")
    if _COMMIT.fullmatch(mirror.revision) and _is_whole(place / mirror.revision):
        return place / mirror.revision
    with explained(mirror):
        commit = _commit(mirror)
        if not _is_whole(place / commit):
            with staged(place / commit) as draft:
                _fetch(mirror, commit, draft)
                _check(mirror, commit, draft)
    return place / commit


def _is_whole(folder: Path) -> bool:
    return folder.is_dir() and verify_release(folder) == []


def _commit(mirror: Mirror) -> str:
    """Return the commit that a branch or tag is at, or that a commit is."""
    from huggingface_hub import HfApi

    found = HfApi(endpoint=mirror.endpoint).dataset_info(
        mirror.repository, revision=mirror.revision
    )
    return str(found.sha)


def _fetch(mirror: Mirror, commit: str, folder: Path) -> None:
    """Fetch all files of a commit but the hidden ones into a folder."""
    from huggingface_hub import snapshot_download

    notes = folder / ".cache"  # what huggingface_hub keeps there to go on after a break
    snapshot_download(
        mirror.repository,
        repo_type="dataset",
        revision=commit,
        local_dir=folder,
        cache_dir=notes,
        endpoint=mirror.endpoint,
        ignore_patterns=[".*"],
    )
    shutil.rmtree(notes, ignore_errors=True)


def _check(mirror: Mirror, commit: str, folder: Path) -> None:
    try:
        check_whole(folder)
    except ValueError as error:
        problem = str(error).removeprefix(f"{str(folder)!r} ")
        raise ValueError(f"{mirror.repository!r} at {commit} {problem}; it is not kept") from error


@contextmanager
def explained(mirror: Mirror) -> Iterator[None]:
    """Turn what huggingface_hub raises into errors that say what was asked for.

    Raises:
        ValueError: If it is not installed, or what is asked for is not there.
        ConnectionError: If the Hub does not answer as it should.
    """
    try:
        from huggingface_hub import errors
    except ImportError as error:
        raise ValueError(
            "a download needs huggingface_hub, which the extra `hub` installs: pip install "
            "'peephole-bench[hub]'"
        ) from error
    name = mirror.repository
    try:
        yield
    except errors.RevisionNotFoundError as error:
        raise ValueError(f"{name!r} has no revision {mirror.revision!r}") from error
    except errors.RepositoryNotFoundError as error:
        raise ValueError(
            f"there is no dataset repository {name!r} on the Hub, or it cannot be read by you"
        ) from error
    except (
        ConnectionError,
        errors.LocalEntryNotFoundError,
        errors.HTTPError,  # type: ignore[attr-defined]
    ) as error:
        reason = str(error.__cause__ or error).split("\n")[0]
        raise ConnectionError(f"{name!r} cannot be fetched from the Hub: {reason}") from error
