"""Computing the proxies of a release: results, kills, and the description of the release."""

import fcntl
import json
import re
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner

import generators.workers.scheduler
from benchmark.manifest import read_manifest
from benchmark.proxies import PROXIES, Proxies, proxies_path, proxy_table, table_rows
from benchmark.publish.finish import finish_release
from benchmark.publish.verify import verify_release
from benchmark.release import Release, load_runs
from benchmark.runs import write_table
from benchmark.schema import SCHEMA
from benchmark.space.splits import SPLITS
from generators.proxies import compute
from generators.proxies.compute import JOURNAL, add_proxies, measure_job
from generators.workers.planned_run import Job, Row
from peephole_command import peephole as main
from tests.toys.campaign import edit, options_of, sign, toy_release


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_release(tmp_path_factory.mktemp("release"))


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """Return a copy of a release without proxies."""
    return Path(shutil.copytree(original, tmp_path / "data"))


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, threads: None) -> list[str]:
    """Measure in threads instead of processes, and return the ids of measured architectures."""
    names: list[str] = []

    def measure(job: Job) -> Row:
        names.append(job.run.architecture_id)
        return measure_job(job)

    monkeypatch.setattr(compute, "measure_job", measure)
    return names


def architectures(folder: Path) -> set[str]:
    tables = [
        load_runs("digits", s, columns=["architecture_id"], release=Release(folder)) for s in SPLITS
    ]
    return {name for table in tables for name in table["architecture_id"].to_pylist()}


def journal(folder: Path) -> Path:
    return folder / "digits" / JOURNAL


def rows_of(folder: Path) -> list[Proxies]:
    table = Release(folder).proxies("digits")
    assert table is not None
    return table_rows(table)


def remove_proxies(folder: Path) -> None:
    proxies_path("digits", folder).unlink()
    finish_release(folder, signed=["digits/proxies.parquet"])


def test_every_architecture_is_computed_once_and_the_release_is_valid(
    folder: Path, measured: list[str]
) -> None:
    assert add_proxies("digits", folder, options_of()) == len(measured)
    rows = rows_of(folder)
    assert [row.architecture_id for row in rows] == sorted(architectures(folder))
    assert sorted(measured) == sorted(architectures(folder))
    assert verify_release(folder) == []
    assert not journal(folder).exists()
    manifest = read_manifest(folder)
    assert manifest.version == "1.3.0"  # after 1.2.3
    (counts,) = manifest.proxies
    assert (counts.images, counts.networks, counts.seed, counts.batch) == (
        "digits", len(rows), 1000, 50,
    )  # fmt: skip
    assert rows[0].environment_id in json.loads((folder / "environments.json").read_text())


def test_with_nothing_missing_nothing_changes(folder: Path, measured: list[str]) -> None:
    add_proxies("digits", folder, options_of())
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    measured.clear()
    assert add_proxies("digits", folder, options_of()) == 0
    assert measured == []
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_after_a_kill_finished_networks_are_kept_and_an_incomplete_line_is_not(
    folder: Path, measured: list[str]
) -> None:
    add_proxies("digits", folder, options_of())
    whole = proxies_path("digits", folder).read_bytes()
    rows = rows_of(folder)
    lines = [json.dumps(asdict(row)) + "\n" for row in rows[:6]]
    remove_proxies(folder)
    stale = json.dumps(asdict(rows[6]) | {"generator_version": "0.0.1"}) + "\n"
    journal(folder).write_text("".join([*lines[:5], stale, lines[5][:40]]))
    measured.clear()
    assert add_proxies("digits", folder, options_of()) == len(rows) - 5
    assert sorted(measured) == [row.architecture_id for row in rows[5:]]
    assert proxies_path("digits", folder).read_bytes() == whole
    assert verify_release(folder) == []


def test_each_network_is_written_before_the_next(
    folder: Path, measured: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def keep_three(path: Path, kept: list[Proxies], row: Row) -> None:
        keep(path, kept, row)
        assert len(journal(folder).read_text().splitlines()) == len(kept)
        if len(kept) == 3:
            raise KeyboardInterrupt

    keep = compute._keep
    monkeypatch.setattr(compute, "_keep", keep_three)
    with pytest.raises(KeyboardInterrupt):
        add_proxies("digits", folder, options_of())
    assert not proxies_path("digits", folder).exists()
    assert verify_release(folder) == []  # unfinished files are ignored
    monkeypatch.setattr(compute, "_keep", keep)
    assert add_proxies("digits", folder, options_of()) == len(architectures(folder)) - 3


def test_new_networks_are_added_and_published_values_kept(
    folder: Path, measured: list[str]
) -> None:
    add_proxies("digits", folder, options_of())
    rows = rows_of(folder)
    kept = [row if i else _changed(row) for i, row in enumerate(rows[:-2])]
    write_table(proxy_table(kept), proxies_path("digits", folder))
    finish_release(folder, signed=["digits/proxies.parquet"])
    measured.clear()
    add_proxies("digits", folder, options_of(), "2.0.0")
    assert sorted(measured) == [row.architecture_id for row in rows[-2:]]
    assert rows_of(folder) == [*kept, *rows[-2:]]
    assert read_manifest(folder).version == "2.0.0"


def _changed(row: Proxies) -> Proxies:
    return Proxies(**(asdict(row) | {"snip": 7.0}))


def test_two_commands_at_once_are_refused(folder: Path, measured: list[str]) -> None:
    message = f"another process computes proxies into {str(folder / 'digits')!r}; wait for it"
    with journal(folder).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError, match=f"^{re.escape(message)}$"):
            add_proxies("digits", folder, options_of())


def test_a_release_without_runs_on_these_images_is_refused(folder: Path) -> None:
    message = f"{str(folder)!r} holds no runs on 'mnist'"
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(message)}$"):
        add_proxies("mnist", folder, options_of())
    with pytest.raises(
        ValueError, match=r"^unknown images 'digit'; did you mean 'digits'\? Known: "
    ):
        add_proxies("digit", folder, options_of())


def test_runs_of_two_recipes_are_refused(folder: Path) -> None:
    edit(folder, "test", 0, recipe_id="another")
    sign(folder)
    with pytest.raises(ValueError, match=r"^runs must share one recipe; these have .+, another$"):
        add_proxies("digits", folder, options_of())


def test_a_worker_that_dies_once_is_replaced(
    folder: Path, measured: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pools = iter([DyingPool(1), ThreadPoolExecutor(1)])
    monkeypatch.setattr(generators.workers.scheduler, "local_pool", lambda _: next(pools))
    assert add_proxies("digits", folder, options_of()) == len(architectures(folder))
    assert verify_release(folder) == []


def test_a_worker_that_dies_twice_ends_the_command(
    folder: Path, measured: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generators.workers.scheduler, "local_pool", lambda _: DyingPool(1))
    message = (
        f"network {min(architectures(folder))!r} was not measured: the worker process died 2 "
        "times; run the same command to resume"
    )
    with pytest.raises(ChildProcessError, match=f"^{message}$"):
        add_proxies("digits", folder, options_of())


class DyingPool(ThreadPoolExecutor):
    """A pool whose workers die with every job."""

    def submit(self, *args: object, **kwargs: object) -> Future[object]:  # type: ignore[override]
        future: Future[object] = Future()
        future.set_exception(BrokenProcessPool())
        return future


def test_the_command_computes_in_processes_and_says_what_it_did(folder: Path, forks: None) -> None:
    count = len(architectures(folder))
    arguments = ["generate", "proxies", "--folder", str(folder), "--processes"]
    first = CliRunner().invoke(main, [*arguments, "2"])
    assert first.exit_code == 0
    assert first.stdout == f"{count} networks computed; release 1.3.0 in {folder}\n"
    assert f"{count}/{count} networks" in first.stderr
    bytes_of_two = proxies_path("digits", folder).read_bytes()
    remove_proxies(folder)
    assert CliRunner().invoke(main, [*arguments, "1"]).exit_code == 0
    assert proxies_path("digits", folder).read_bytes() == bytes_of_two
    shown = CliRunner().invoke(main, ["data", "info", "--folder", str(folder)])
    assert re.search(rf"^digits   proxies +{count} +0\.\d\d$", shown.stdout, re.MULTILINE)
    good = CliRunner().invoke(main, ["data", "verify", "--folder", str(folder)])
    end = "valid; release 1.5.0 is not a published one"
    assert good.stdout == f"4 files of runs and 1 of proxies in {folder}: {end}\n"


def test_the_card_explains_every_column_and_datasets_reads_runs_and_proxies(
    folder: Path, measured: list[str], tmp_path: Path
) -> None:
    add_proxies("digits", folder, options_of())
    text = (folder / "README.md").read_text()
    count = len(architectures(folder))
    assert f"| `digits/proxies.parquet` | {count} | 1000 | 50 |\n" in text
    section = text.split("## Zero-cost proxies\n")[1].split("\n## ")[0]
    for name in PROXIES:
        (line,) = [line for line in section.splitlines() if line.startswith(f"| `{name}` |")]
        assert len(re.split(r"(?<!\\)\|", line)) == 6  # `|` in a definition is escaped
    datasets = pytest.importorskip("datasets")
    cache = str(tmp_path / "cache")
    for config in ("digits", None):  # runs are the default
        found = datasets.load_dataset(str(folder), config, cache_dir=cache)
        assert list(found) == list(SPLITS)
        assert set(found["train"].column_names) == set(SCHEMA.names)
    found = datasets.load_dataset(str(folder), "digits-proxies", cache_dir=cache)
    table = Release(folder).proxies("digits")
    assert table is not None
    assert list(found) == ["networks"]
    assert found["networks"].to_list() == table.to_pylist()


def damaged(folder: Path, table: pa.Table) -> list[str]:
    """Write a table of proxies with correct checksums, and return the problems of the release."""
    write_table(table, proxies_path("digits", folder))
    finish_release(folder, signed=["digits/proxies.parquet"])
    return verify_release(folder)


def test_invalid_values_in_the_file_are_named(folder: Path, measured: list[str]) -> None:
    add_proxies("digits", folder, options_of())
    table = Release(folder).proxies("digits")
    assert table is not None
    rows: list[dict[str, object]] = table.to_pylist()
    names = [str(row["architecture_id"]) for row in rows]

    def problems(place: int, **fields: object) -> list[str]:
        changed = [row | (fields if i == place else {}) for i, row in enumerate(rows)]
        return damaged(folder, pa.Table.from_pylist(changed, schema=table.schema))

    assert problems(0) == []
    start = f"of architecture {names[2]!r}"
    assert problems(2, snip=-1.0) == [f"`snip` {start} (=-1.0) must be >= 0"]
    assert problems(2, signal_share=1.5) == [f"`signal_share` {start} (=1.5) must be in [0, 1]"]
    for value in (float("nan"), float("inf"), None):
        text = f"`jacov` {start} (={value!r}) must be a finite number"
        assert problems(2, jacov=value) == [text]
    assert problems(2, seed=0) == [
        f"`seed` (=0) {start} is also a run's seed",
        "proxies of 'digits' mix seeds or batch sizes",
    ]
    assert problems(2, batch=7) == ["proxies of 'digits' mix seeds or batch sizes"]
    assert problems(2, architecture_id=names[3]) == [
        f"proxies of 'digits' lack {names[2]}", f"proxies of 'digits' repeat {names[3]}",
    ]  # fmt: skip
    assert problems(2, architecture_id="f" * 16) == [
        f"proxies of 'digits' lack {names[2]}",
        f"proxies of 'digits' include architectures without runs: {'f' * 16}",
    ]
    other = damaged(folder, table.append_column("colour", pa.array(["red"] * len(table))))
    assert other == ["proxies.parquet of 'digits' does not have the schema of this release"]
    path = proxies_path("digits", folder)
    write_table(table.replace_schema_metadata({"schema_version": "0"}), path)
    text = f"{str(path)!r} has schema version 0, and this release reads 1"
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        Release(folder).proxies("digits")


def test_an_empty_file_of_proxies_cannot_be_counted(folder: Path, measured: list[str]) -> None:
    path = proxies_path("digits", folder)
    write_table(proxy_table([]), path)
    with pytest.raises(ValueError, match=f"^{re.escape(repr(str(path)))} holds no proxies$"):
        finish_release(folder, "1.3.1", signed=["digits/proxies.parquet"])


def test_proxies_that_are_not_finite_are_refused() -> None:
    values: dict[str, float] = dict.fromkeys(PROXIES, 0.5)
    row = Proxies("0" * 16, 1000, 50, **values, device="d", environment_id="e",
                  generator_version="g")  # fmt: skip
    message = f"`naswot` of architecture {'0' * 16!r} (=nan) must be a finite number"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Proxies(**(asdict(row) | {"naswot": float("nan")}))


def test_unknown_images_are_refused_and_missing_proxies_are_none(folder: Path) -> None:
    assert Release(folder).proxies("digits") is None
    with pytest.raises(ValueError, match=r"^unknown images 'digit'; did you mean 'digits'\?"):
        Release(folder).proxies("digit")
