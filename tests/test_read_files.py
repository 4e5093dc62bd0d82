"""Every JSON and YAML file, spoiled in many ways: read, or refused with its path on one line."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner

from benchmark.manifest import count_release, read_manifest
from benchmark.proxies import read_proxies, table_rows
from benchmark.publish.verify import description_problems
from benchmark.recipes import RECIPES, read_environments, read_recipes
from benchmark.release import Release
from benchmark.runs import data_folder
from benchmark.tasks import read_task_file
from benchmark.util.strict_json import MOST_BYTES
from generators.campaign.plan import read_groups, read_plan
from generators.proxies.compute import _read_finished
from generators.training.images import load_images
from harness.results.ceiling import read_ceiling, write_ceiling
from harness.results.store import read_result, write_json, write_result
from harness.running.submission import read_submission
from harness.running.try_many import read_fits
from harness.studies.external import external_trials, read_external
from harness.verification.references import References, read_references
from harness.verification.rerun import Rerun, Reruns, read_reruns
from peephole_command import peephole as main
from tests.toys.campaign import tiny_plan, toy_campaign, toy_row
from tests.toys.external import write_external
from tests.toys.results import toy_ceiling, toy_result

LONGEST = 3_000  # characters of a message
DEEP = 100_000


class Kind(NamedTuple):
    """A file, and what reads it: what it returns, or a ValueError or OSError."""

    path: Path
    read: Callable[[], object]


def _fits(folder: Path) -> Path:
    path = folder / "fits.jsonl"
    fit = {
        "predictor": "a", "label": "b", "division": 0, "observed": 0, "seed": 0, "data": "c",
        "harness_version": "1", "scores": {"tau": {"value": 0.5, "low": None, "high": None}},
        "predicted": [0.5], "failure": None,
    }  # fmt: skip
    path.write_text(json.dumps(fit) + "\n")
    return path


def _submission(folder: Path) -> Path:
    fields = {"name": "a", "title": "A", "authors": "B", "kind": "predictions", "tasks": ["c"]}
    folder.mkdir()
    path = folder / "submission.yaml"
    path.write_text(json.dumps(fields))  # JSON is YAML
    return path


def _journal(folder: Path, installed: Path) -> Path:
    path = folder / "proxies.jsonl.part"
    table = read_proxies("digits", installed)
    assert table is not None
    path.write_text(json.dumps(asdict(table_rows(table.slice(0, 1))[0])) + "\n")
    return path


def _read_journal(path: Path) -> None:
    with path.open("a+", encoding="utf-8") as file:
        _read_finished(file, set())


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Kind]:
    place = tmp_path_factory.mktemp("files")
    installed = data_folder()
    data = place / "data"
    (data / "tasks").mkdir(parents=True)
    for name in ("manifest.json", "recipes.json", "environments.json", "tasks/digits-k1-v3.json"):
        shutil.copy(installed / name, data / name)
    results = place / "results"
    write_result(results, toy_result("toy"), None)
    rerun = Rerun("a", "b", "c", None, None, "1", 0.0)
    reruns, references = results / "reruns.json", results / "references.json"
    write_json(reruns, Reruns(1, (rerun,)))
    write_json(references, References(1, {"a": {"b": "c"}}))
    campaign = toy_campaign(place / "campaign", tiny_plan(1))
    campaign.store(toy_row(tiny_plan(1)[0]))
    versions = campaign.folder / "environments" / "0123456789ab.json"
    versions.parent.mkdir(exist_ok=True)
    versions.write_text('{"python": "3.11"}')
    task, external = data / "tasks/digits-k1-v3.json", write_external(place / "mine.jsonl")
    trials = external_trials(external)
    fits, ceiling = _fits(place), write_ceiling(place / "ceilings", toy_ceiling())
    submission, journal = _submission(place / "mine"), _journal(place, installed)
    files = {
        "task": (task, lambda: read_task_file(task)),
        "manifest": (data / "manifest.json", lambda: read_manifest(data)),
        "recipes": (data / "recipes.json", lambda: read_recipes(data / "recipes.json")),
        "environments": (
            data / "environments.json", lambda: read_environments(data / "environments.json")
        ),
        "result": (results / "digits-k0-v1/toy.json",
                   lambda: read_result(results / "digits-k0-v1/toy.json")),
        "ceiling": (ceiling, lambda: read_ceiling(ceiling)),
        "reruns": (reruns, lambda: read_reruns(results)),
        "references": (references, lambda: read_references(results)),
        "campaign recipes": (campaign.folder / "recipes.json", campaign.recipes_json),
        "campaign environment": (versions, campaign.environments_json),
        "plan": (campaign.folder / "plan.jsonl", lambda: read_plan(campaign.folder / "plan.jsonl")),
        "groups": (campaign.folder / "plan.jsonl",
                   lambda: read_groups(campaign.folder / "plan.jsonl")),
        "run": (campaign.runs / f"{tiny_plan(1)[0].run_id}.json", lambda: list(campaign.rows())),
        "proxies": (journal, lambda: _read_journal(journal)),
        "external": (external, lambda: read_external(external)),
        "fits": (fits, lambda: read_fits(fits, trials)),
        "submission": (submission, lambda: read_submission(place / "mine")),
    }  # fmt: skip
    return {name: Kind(path, read) for name, (path, read) in files.items()}


def whole_variants(good: bytes) -> Iterator[bytes]:
    """Yield texts that take the place of a whole file."""
    yield from (b"", b"\n", b"null", b"[]", b"{}", b"1", b'"x"', b"true", b"NaN", b"-Infinity")
    yield from (b"{", b'{"a"', b"[" * DEEP, b'{"a":' * DEEP, b"[[" * 400 + b"]]" * 400)
    yield from (b"\xff\xfe\x00", b"\x00" * 100, b"\xef\xbb\xbf" + good, b"\x1b[31m", b"- a\n- b")
    yield from (good[: len(good) // 2], good[1:], good * 2, good + b"x", b"%" + good, good[:-2])
    yield from (good.decode().encode("utf-16"), good.replace(b'"', b"'"), b'{"a": 1, "a": 2}')
    yield from (b'{"' + b"a" * 5_000 + b'": 1}', b"9" * 5_000, b'{"\\ud800": "\\ud800"}')
    yield good.replace(b"{", b'{"extra": 1, ', 1)
    yield b"[" + b"0," * (MOST_BYTES // 2) + b"0]"


ODD: tuple[Any, ...] = (
    None, [], {}, "", "x", -1, True, 1.5, float("nan"), 10**400, [[]], {"a": None}, "\ud800",
    "\x1b[31m", [None], [{}], 2**63, ["a", "a"],
)  # fmt: skip


def field_variants(good: bytes) -> Iterator[bytes]:
    """Yield a file with a field of its last object replaced, removed or of another form."""
    *before, last = good.strip().splitlines()
    try:
        record = json.loads(last)
    except ValueError:  # one object over several lines
        before, record = [], json.loads(good)
    for name in record:
        rest = {other: value for other, value in record.items() if other != name}
        for changed in (rest, *(record | {name: value} for value in ODD)):
            yield b"\n".join([*before, json.dumps(changed).encode(), b""])


NAMES = (
    "task", "manifest", "recipes", "environments", "result", "ceiling", "reruns", "references",
    "campaign recipes", "campaign environment", "plan", "groups", "run", "proxies", "external",
    "fits", "submission",
)  # fmt: skip


def refusal(read: Callable[[], object]) -> str:
    """Return why a file is refused, or an empty text; any other error fails the test."""
    try:
        read()
    except (ValueError, OSError) as error:
        return str(error)
    return ""


@pytest.mark.parametrize("variants", [whole_variants, field_variants])
@pytest.mark.parametrize("name", NAMES)
def test_a_spoiled_file_is_read_or_refused_by_its_path(
    kinds: dict[str, Kind], name: str, variants: Callable[[bytes], Iterator[bytes]]
) -> None:
    path, read = kinds[name]
    good = path.read_bytes()
    read()
    refused = 0
    try:
        for content in variants(good):
            path.write_bytes(content)
            message = refusal(read)
            refused += bool(message)
            assert not message or str(path) in message, content[:200]
            assert len(message) < LONGEST
            assert len(message.splitlines()) < 2
    finally:
        path.write_bytes(good)
    assert refused > 5


COMMANDS = {
    "task": ("score", "none.parquet", "--task", "digits-k1-v3", "--data", "{data}"),
    "manifest": ("data", "info", "--data", "{data}"),
    "result": ("board", "check", "--results", "{results}"),
    "plan": ("generate", "status", "--campaign", "{campaign}"),
    "external": ("evaluate", "last-value", "--external", "{place}/mine.jsonl"),
    "submission": ("submit", "{place}/mine"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_refuses_a_spoiled_file_on_one_line(kinds: dict[str, Kind], name: str) -> None:
    path = kinds[name].path
    place = kinds["external"].path.parent
    folders = {n: str(place / n) for n in ("data", "results", "campaign")} | {"place": str(place)}
    arguments = [argument.format(**folders) for argument in COMMANDS[name]]
    good = path.read_bytes()
    try:
        for content in (b"[]", b"null", b"{", b"[" * DEEP, b"\xff", b"\xef\xbb\xbf{}", b"\x1b[31m"):
            path.write_bytes(content)
            done = CliRunner().invoke(main, arguments)
            assert done.exit_code in (1, 2)
            assert isinstance(done.exception, SystemExit), done.exception
            (line,) = done.stderr.splitlines()
            assert line.startswith("peephole: error: ")
            assert line.isprintable()
            assert str(path) in line
    finally:
        path.write_bytes(good)


def test_a_task_of_another_name_is_refused(kinds: dict[str, Kind], tmp_path: Path) -> None:
    other = tmp_path / "digits-k1-v9.json"
    shutil.copy(kinds["task"].path, other)
    with pytest.raises(ValueError, match=r"json: `name` \(='digits-k1-v3'\) must be the file's "):
        read_task_file(other)
    assert read_task_file(kinds["task"].path).name == "digits-k1-v3"


def test_a_file_that_is_too_large_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "recipes.json"
    path.write_bytes(b" " * (MOST_BYTES + 1))
    message = f"{path}: it must have at most 16,000,000 bytes"
    with pytest.raises(ValueError, match=f"^{message}$"):
        read_recipes(path)


def test_the_published_files_are_read() -> None:
    release = Release()
    assert release.manifest() == count_release(
        release.folder, release.manifest().version, release.manifest().date
    )
    assert {RECIPES["digits"].recipe_id} <= read_recipes(release.folder / "recipes.json").keys()
    assert all(release.task(name).name == name for name in release.task_names())
    assert read_environments(release.folder / "environments.json")


def test_splits_of_images_that_are_spoiled_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("[]", "{", '{"images": "digits"}', '{"valid": [0.5]}'):
        monkeypatch.setattr("generators.training.images.published_file", lambda _, t=text: t)
        with pytest.raises(ValueError, match=r"^the splits of 'digits': .+$"):
            load_images("digits")


@pytest.mark.parametrize("content", [b"[]", b"{", b'{"version": []}', b"[" * DEEP, b"\xff", b""])
def test_a_description_that_cannot_be_read_is_a_problem(tmp_path: Path, content: bytes) -> None:
    folder = Path(shutil.copytree(data_folder(), tmp_path / "data"))
    (folder / "croissant.json").write_bytes(content)
    (problem,) = description_problems(folder)
    assert problem.startswith("croissant.json cannot be read (")
    (folder / "manifest.json").write_bytes(content)
    (problem,) = description_problems(folder)
    assert problem.startswith(f"{folder / 'manifest.json'}: ")


@pytest.mark.parametrize("name", ["task", "manifest", "result", "reruns", "submission"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: b"\n<<<<<<< HEAD\n" + content + b"\n>>>>>>> theirs\n",
         "line 2 is a mark of a conflict in Git; resolve it"),
        (lambda content: content + b"\n>>>>>>> theirs\n", "is a mark of a conflict in Git"),
        (lambda content: b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n",
         "it is a pointer of Git LFS; `git lfs pull` fetches the file"),
        (lambda content: content.decode().encode("utf-16"), "it is in UTF-16; save it in UTF-8"),
        (lambda content: b"\n\xe9" + content, "line 2 is not in UTF-8; save the file in UTF-8"),
    ],
    ids=["conflict", "end of conflict", "LFS", "UTF-16", "Latin-1"],
)  # fmt: skip
def test_what_git_and_editors_leave_is_named_with_what_to_do(
    kinds: dict[str, Kind], name: str, change: Callable[[bytes], bytes], message: str
) -> None:
    path, read = kinds[name]
    good = path.read_bytes()
    try:
        path.write_bytes(change(good))
        with pytest.raises(ValueError, match=re.escape(message)) as caught:
            read()
        assert str(path) in str(caught.value)
    finally:
        path.write_bytes(good)
