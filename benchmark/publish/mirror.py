"""Downloads a copy of a release from the Hugging Face Hub into a cache and verifies it.

The cache has one folder per commit. A copy is stored there only if all files match the release's
checksums and all rows are valid.
"""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmark.publish.export import check_valid, replacing_folder
from benchmark.publish.verify import verify_release
from benchmark.runs import user_cache

_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Mirror:
    """A dataset repository at a branch, tag or commit; `endpoint` is the address of another Hub."""

    repository: str
    revision: str = "main"
    endpoint: str | None = None

    def __post_init__(self) -> None:
        """Check the name of the repository."""
        if not _REPOSITORY.fullmatch(self.repository):
            raise ValueError(f"repository {self.repository!r} must be OWNER/NAME")


def download_release(mirror: Mirror, cache: Path | None = None) -> Path:
    """Return the folder of a verified copy of a mirror, downloaded unless the cache has it.

    A branch or tag is looked up each time; a cached commit needs no network.

    Raises:
        ValueError: If the repository or revision does not exist, or does not hold a valid
            release.
        ConnectionError: If the Hub cannot be reached.
        OSError: If the copy cannot be written.
    """
    folder = (cache or user_cache()) / mirror.repository.replace("/", "--")
    if _COMMIT.fullmatch(mirror.revision) and _is_valid(folder / mirror.revision):
        return folder / mirror.revision
    with _translate_errors(mirror):
        from huggingface_hub import HfApi

        api = HfApi(endpoint=mirror.endpoint)
        commit = str(api.dataset_info(mirror.repository, revision=mirror.revision).sha)
        if not _is_valid(folder / commit):
            with replacing_folder(folder / commit) as draft:
                _fetch(mirror, commit, draft)
                _check(mirror, commit, draft)
    return folder / commit


def _is_valid(folder: Path) -> bool:
    return folder.is_dir() and verify_release(folder) == []


def _fetch(mirror: Mirror, commit: str, folder: Path) -> None:
    """Download all files of a commit except hidden ones into a folder."""
    from huggingface_hub import snapshot_download

    progress = folder / ".cache"  # huggingface_hub's files for resuming a download
    snapshot_download(
        mirror.repository,
        repo_type="dataset",
        revision=commit,
        local_dir=folder,
        cache_dir=progress,
        endpoint=mirror.endpoint,
        ignore_patterns=[".*"],
    )
    shutil.rmtree(progress, ignore_errors=True)


def _check(mirror: Mirror, commit: str, folder: Path) -> None:
    try:
        check_valid(folder)
    except ValueError as error:
        problem = str(error).removeprefix(f"{str(folder)!r} ")
        raise ValueError(f"{mirror.repository!r} at {commit} {problem}; it is not kept") from error


@contextmanager
def _translate_errors(mirror: Mirror) -> Iterator[None]:
    """Turn errors of huggingface_hub into those of `download_release`, which name the mirror."""
    from huggingface_hub import errors

    name = mirror.repository
    try:
        yield
    except errors.RevisionNotFoundError as error:
        raise ValueError(f"{name!r} has no revision {mirror.revision!r}") from error
    except errors.RepositoryNotFoundError as error:
        raise ValueError(
            f"there is no dataset repository {name!r} on the Hub, or you may not read it"
        ) from error
    except (
        ConnectionError,
        errors.LocalEntryNotFoundError,
        errors.HTTPError,  # type: ignore[attr-defined]
    ) as error:
        reason = str(error.__cause__ or error).split("\n")[0]
        raise ConnectionError(f"{name!r} cannot be fetched from the Hub: {reason}") from error
