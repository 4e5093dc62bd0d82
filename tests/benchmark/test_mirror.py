"""Mirrors on the Hub, fetched by the real client from a Hub on this machine."""

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmark.publish.export import content
from benchmark.publish.mirror import Mirror, download_release
from benchmark.publish.verify import verify_release
from benchmark.runs import user_cache
from peephole_command import peephole as main
from tests.toys.campaign import edit, sign, toy_release
from tests.toys.hub import COMMIT, REPOSITORY, ToyHub, toy_hub

pytest.importorskip("huggingface_hub")
NOWHERE = "http://127.0.0.1:9"  # the port of a service that machines do not run


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_release(tmp_path_factory.mktemp("release"))


@pytest.fixture
def hub(original: Path, tmp_path: Path) -> Iterator[ToyHub]:
    """Serve a copy of the release, with the file that every repository of the Hub has."""
    folder = Path(shutil.copytree(original, tmp_path / "served"))
    (folder / ".gitattributes").write_text("*.parquet filter=lfs\n")
    with toy_hub(folder) as served:
        yield served


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def mirror(hub: ToyHub, revision: str = "main") -> Mirror:
    return Mirror(REPOSITORY, revision, hub.endpoint)


def copies(cache: Path) -> list[str]:
    """Return what lies in the cache of the repository, hidden or not."""
    place = cache / REPOSITORY.replace("/", "--")
    return sorted(path.name for path in place.iterdir()) if place.exists() else []


@pytest.mark.parametrize("revision", ["main", "v1", COMMIT])
def test_a_mirror_is_fetched_whole_and_kept_by_its_commit(
    original: Path, hub: ToyHub, cache: Path, revision: str
) -> None:
    folder = download_release(mirror(hub, revision), cache)
    assert folder == cache / "some-lab--curves" / COMMIT
    assert content(folder) == content(original)
    assert verify_release(folder) == []
    assert not (folder / ".gitattributes").exists()
    assert not (folder / ".cache").exists()
    assert copies(cache) == [COMMIT]


def test_a_copy_that_is_there_is_not_fetched_again(hub: ToyHub, cache: Path) -> None:
    download_release(mirror(hub), cache)
    hub.asked.clear()
    download_release(mirror(hub), cache)
    assert [path for path in hub.asked if "/resolve/" in path or "/tree/" in path] == []
    assert len(hub.asked) == 1  # where the branch is


def test_a_commit_that_is_there_needs_no_network(hub: ToyHub, cache: Path) -> None:
    folder = download_release(mirror(hub), cache)
    assert download_release(Mirror(REPOSITORY, COMMIT, NOWHERE), cache) == folder


def test_a_copy_that_was_damaged_since_is_fetched_again(hub: ToyHub, cache: Path) -> None:
    folder = download_release(mirror(hub), cache)
    (folder / "digits" / "train.parquet").write_bytes(b"PAR1")
    assert download_release(mirror(hub), cache) == folder
    assert verify_release(folder) == []
    assert copies(cache) == [COMMIT]


def refused(mirror: Mirror, cache: Path, kind: type[Exception], message: str) -> None:
    """Assert that a download fails with a message and that nothing of it is kept."""
    before = copies(cache)
    with pytest.raises(kind, match=f"^{message}$"):
        download_release(mirror, cache)
    assert copies(cache) == before == []


def test_a_damaged_file_is_named_and_nothing_is_kept(hub: ToyHub, cache: Path) -> None:
    path = hub.folder / "digits" / "test.parquet"
    damaged = bytearray(path.read_bytes())
    damaged[100] ^= 1
    path.write_bytes(damaged)
    message = (
        f"'some-lab/curves' at {COMMIT} is not a valid release: digits/test.parquet has SHA-256 "
        "[0-9a-f]{64}, but SHA256SUMS says [0-9a-f]{64}; it is not kept"
    )
    refused(mirror(hub), cache, ValueError, message)


def test_rows_that_break_their_rules_are_refused_under_right_checksums(
    hub: ToyHub, cache: Path
) -> None:
    (hub.folder / ".gitattributes").unlink()
    name = edit(hub.folder, "train", 2, valid_accuracy=[0.2, 1.5])
    sign(hub.folder)
    problem = rf"`valid_accuracy` of run {name!r} must lie in \[0, 1\]"
    rest = f"is not a valid release: {problem}, and 1 more; it is not kept"
    message = f"'some-lab/curves' at {COMMIT} {rest}"
    refused(mirror(hub), cache, ValueError, message)


def test_a_repository_that_is_no_release_is_refused(hub: ToyHub, cache: Path) -> None:
    (hub.folder / "SHA256SUMS").unlink()
    message = (
        f"'some-lab/curves' at {COMMIT} is not a valid release: '.*' has no SHA256SUMS, so it is "
        "not a release; it is not "
        "kept"
    )
    refused(mirror(hub), cache, ValueError, message)


def test_a_connection_that_breaks_leaves_nothing(hub: ToyHub, cache: Path) -> None:
    hub.broken = "README.md"
    message = "'some-lab/curves' cannot be fetched from the Hub: peer closed connection .*"
    refused(mirror(hub), cache, ConnectionError, message)


def test_an_unknown_revision_is_named(hub: ToyHub, cache: Path) -> None:
    message = "'some-lab/curves' has no revision 'v9'"
    refused(mirror(hub, "v9"), cache, ValueError, message)
    other = "f" * 40
    message = f"'some-lab/curves' has no revision '{other}'"
    refused(mirror(hub, other), cache, ValueError, message)


def test_an_unknown_repository_is_named(hub: ToyHub, cache: Path) -> None:
    message = "there is no dataset repository 'some-lab/other' on the Hub, or you may not read it"
    refused(Mirror("some-lab/other", "main", hub.endpoint), cache, ValueError, message)


@pytest.mark.parametrize("revision", ["main", "f" * 40])
def test_without_a_network_it_says_so(cache: Path, revision: str) -> None:
    message = "'some-lab/curves' cannot be fetched from the Hub: .*[Rr]efused.*"
    refused(Mirror(REPOSITORY, revision, NOWHERE), cache, ConnectionError, message)


@pytest.mark.parametrize("name", ["curves", "a/b/c", "", "some lab/curves", "../x/y"])
def test_a_repository_must_have_an_owner_and_a_name(name: str) -> None:
    message = f"repository {name!r} must be OWNER/NAME"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Mirror(name)


@pytest.mark.parametrize(
    ("platform", "place"),
    [("linux", ".cache"), ("darwin", "Library/Caches"), ("win32", "AppData/Local")],
)
def test_copies_are_kept_where_the_system_keeps_them(
    monkeypatch: pytest.MonkeyPatch, platform: str, place: str
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    assert user_cache() == Path.home() / place / "peephole-bench"


def test_the_command_prints_a_folder_that_other_commands_take(hub: ToyHub, cache: Path) -> None:
    words = ["--repository", REPOSITORY, "--endpoint", hub.endpoint, "--cache", str(cache)]
    done = CliRunner().invoke(main, ["data", "download", *words])
    folder = cache / "some-lab--curves" / COMMIT
    assert (done.exit_code, done.stdout) == (0, f"{folder}\n")
    assert done.stderr.endswith(
        f"{REPOSITORY} at {COMMIT}: valid; release 1.2.3 is not a published one\n"
    )
    shown = CliRunner().invoke(main, ["data", "info", "--folder", done.stdout.strip()])
    assert shown.stdout.startswith(f"release 1.2.3 in {folder}\n")


def test_the_command_has_no_repository_of_its_own() -> None:
    done = CliRunner().invoke(main, ["data", "download"])
    assert done.exit_code == 2
    assert "Missing option '--repository'" in done.stderr
