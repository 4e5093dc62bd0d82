"""Commands that write to a folder of results: broken off anywhere, nothing published is lost."""

import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from benchmark.release import Release
from harness.results.contents import check_contents
from harness.results.result import HARNESS_VERSION
from harness.results.store import (
    read_result,
    read_with_predictions,
    remove_result,
    result_path,
    write_result,
)
from harness.running.drafts import read_submission_files
from harness.running.evaluate_many import Setting
from harness.running.submission import FILE, submissions_folder
from harness.verification.audit import Request, verify
from harness.verification.references import write_references
from harness.verification.rerun import Rerun, read_reruns, write_rerun
from harness.verification.rescore import raise_level
from harness.verification.submit import submit_files
from leaderboard.readme.sync import bring_up_to_date
from tests.toys.data import toy_release
from tests.toys.faults import Died, every_fault
from tests.toys.results import predictions_of
from tests.toys.submissions import TASK, submit_predictions

Work = Callable[[Path], object]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_release(tmp_path_factory.mktemp("release"), (1,))


@pytest.fixture(scope="module")
def base(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("base")
    submit_predictions(folder, place)
    return place


def path_in(place: Path) -> Path:
    return result_path(place / "results", TASK, "ours")


def other_predictions(place: Path) -> None:
    """Write a result with other predictions."""
    result, table = read_with_predictions(path_in(place))
    assert table is not None
    field = table.schema.field("std")
    std = pa.array(np.full(len(table), 0.25))
    changed = table.set_column(table.column_names.index("std"), field, std)
    write_result(place / "results", replace(result, title="Others"), changed)


def fail(place: Path) -> None:
    result = read_result(path_in(place))
    scores = ("scores", "scores_test_accuracy", "scores_valid_loss")
    empty: dict[str, object] = {field: {} for field in scores}
    failed = replace(
        result, status="failed", failure="broke", flags=(), tau_resamples=(),
        predictions_sha256=None, **empty,  # type: ignore[arg-type]
    )  # fmt: skip
    write_result(place / "results", failed, None)


def remove(place: Path) -> None:
    remove_result(place / "results", TASK, "ours")


def rerun(place: Path) -> None:
    entry = Rerun(TASK, "ours", "0" * 64, None, None, HARNESS_VERSION, 0.0)
    write_rerun(place / "results", entry)


def rescore(place: Path) -> None:
    raise_level(path_in(place), "rescored")


def record(place: Path) -> None:
    write_references(place / "results")


WRITERS: dict[str, Work] = {
    work.__name__: work for work in (other_predictions, fail, remove, rerun, rescore, record)
}


def state(place: Path) -> dict[str, bytes]:
    """Return the files that count: drafts and predictions that no result names do not."""
    path = path_in(place)
    named = {path.name, "reruns.json", "references.json"}
    if path.exists() and read_result(path).status == "scored":
        result = read_result(path)
        named.add(f"ours.{str(result.predictions_sha256)[:16]}.parquet")
    files = (f for f in (place / "results").rglob("*") if f.is_file() and f.name in named)
    return {str(f.relative_to(place)): f.read_bytes() for f in files}


@pytest.mark.parametrize("dies", [False, True])
@pytest.mark.parametrize("name", WRITERS)
def test_a_writer_that_is_broken_off_leaves_the_old_or_the_new(
    base: Path, tmp_path: Path, name: str, dies: bool
) -> None:
    place, work = tmp_path / "place", WRITERS[name]

    def start_again() -> None:
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(base, place)

    start_again()
    old = state(place)
    work(place)
    new = state(place)
    assert old != new
    seen = set()
    for fault in every_fault(place, dies=dies):
        start_again()
        with fault:
            work(place)
        assert fault.error is None or isinstance(fault.error, Died | OSError)
        found = state(place)
        assert found in (old, new)
        seen.add(found == new)
        assert check_contents(place / "results", submissions_folder(place / "results")) == []
        work(place)  # the same command again
        assert state(place) == new
    assert seen == {False, True}


@pytest.mark.parametrize("dies", [False, True])
def test_a_submission_that_is_replaced_is_never_missing(
    base: Path, folder: Path, tmp_path: Path, dies: bool
) -> None:
    place, draft = tmp_path / "place", tmp_path / "draft"
    shutil.copytree(base / "submissions" / "ours", draft)
    (draft / "predictions").mkdir()
    shutil.copy(predictions_of(path_in(base)), draft / "predictions" / f"{TASK}.parquet")
    text = (draft / FILE).read_text().replace("title: Ours", "title: Others")
    (draft / FILE).write_text(text)
    setting = Setting(place / "results", Release(folder))
    for fault in every_fault(place, dies=dies):
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(base, place)
        with fault:
            submit_files(read_submission_files(draft), setting, replace_existing=True)
        assert (place / "submissions" / "ours" / FILE).is_file()
        assert read_result(path_in(place)).title in ("Ours", "Others")
    request = Request(place / "results", release=Release(folder), processes=1)
    assert verify(request).problems == ()
    assert read_result(path_in(place)).title == "Others"


def test_writers_at_once_lose_nothing(base: Path, tmp_path: Path) -> None:
    place = Path(shutil.copytree(base, tmp_path / "place"))
    entries = [
        Rerun(f"digits-k{k}-v1", "ours", "0" * 64, None, None, HARNESS_VERSION, 0.0)
        for k in range(8)
    ]
    barrier = threading.Barrier(len(entries))

    def write(entry: Rerun) -> None:
        barrier.wait()
        write_rerun(place / "results", entry)
        other_predictions(place)

    threads = [threading.Thread(target=write, args=(entry,)) for entry in entries]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read_reruns(place / "results").reruns == tuple(entries)
    assert read_result(path_in(place)).title == "Others"


@pytest.mark.parametrize("dies", [False, True])
def test_files_of_the_board_are_the_old_or_the_new(tmp_path: Path, dies: bool) -> None:
    files = {tmp_path / name: f"new {name}" for name in ("README.md", "board.svg", "board.html")}
    for fault in every_fault(tmp_path, dies=dies):
        for path in files:
            path.write_text("old")
        with fault:
            bring_up_to_date(files)
        assert all(path.read_text() in ("old", text) for path, text in files.items())
    assert all(path.read_text() == text for path, text in files.items())
