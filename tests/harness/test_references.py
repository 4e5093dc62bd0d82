"""Rows of reference predictors: held against the registry and the record, and fitted again."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmark.release import INSTALLED, Release
from benchmark.runs import sha256
from harness.predictors.registry import PREDICTORS
from harness.results.store import read_result, read_with_predictions, result_path, write_result
from harness.running.evaluate_many import Setting, evaluate_many
from harness.verification.audit import Request, verify
from harness.verification.prediction_file import score_predictions
from harness.verification.references import (
    read_references,
    references_path,
    refit_all,
    write_references,
)
from leaderboard.folders import RESULTS
from tests.toys.data import toy_release
from tests.toys.results import predictions_of, toy_result
from tests.toys.submissions import TASK, submit_predictions


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_release(tmp_path_factory.mktemp("release"), (1,))


@pytest.fixture
def results(folder: Path, tmp_path: Path) -> Path:
    submit_predictions(folder, tmp_path)
    return tmp_path / "results"


def problems(results: Path, folder: Path) -> tuple[str, ...]:
    return verify(Request(results, release=Release(folder), processes=1)).problems


def test_a_reference_row_is_held_against_the_registry_and_the_record(
    results: Path, folder: Path
) -> None:
    path = result_path(results, TASK, "ours")
    table = pq.read_table(predictions_of(path))
    known = replace(read_result(path), predictor="macs", title=PREDICTORS["macs"].title)
    path = result_path(results, TASK, "macs")
    write_result(results, known, table)
    write_references(results)
    assert problems(results, folder) == ()
    # A better fit than the predictor has: another file of predictions, scored with the harness
    column = pa.array(np.minimum(table["mean"].to_numpy() + 0.25, 1.0))
    other = table.set_column(table.column_names.index("mean"), table.schema.field("mean"), column)
    release = Release(folder)
    scored, _ = score_predictions(write_draft(path, other), release.task(TASK), release=release)
    forged = replace(scored, predictor="macs", title=known.title, verification="rescored")
    digest = sha256(path)
    write_result(results, forged, other)
    assert problems(results, folder) == (
        f"{path}: SHA-256 {sha256(path)} is {digest} in references.json; `peephole board record` "
        "records a new evaluation",
    )
    write_result(results, replace(toy_result("macs"), task=TASK, title=known.title), None)
    assert problems(results, folder) == (
        f"{path}: `status` (='failed') must be 'scored' for a reference predictor",
    )
    path.unlink()
    assert problems(results, folder) == (f"{path}: the recorded result is missing",)


def write_draft(path: Path, table: pa.Table) -> Path:
    draft = path.parents[2] / "draft.parquet"
    pq.write_table(table, draft)
    return draft


def test_a_deterministic_reference_is_fitted_again(results: Path, folder: Path) -> None:
    release = Release(folder)
    setting = Setting(results, release, seeds=1, processes=1)
    evaluate_many(["macs", "parameters"], [TASK], setting)
    paths = [result_path(results, TASK, name) for name in ("macs", "parameters", "ours")]
    assert refit_all(paths, release) == []
    stored = read_with_predictions(result_path(results, TASK, "parameters"))[1]
    write_result(results, read_result(paths[0]), stored)
    (problem,) = refit_all(paths, release)
    assert problem.startswith(f"{paths[0]}: `mean` of run ")
    assert problem.endswith("when it is fitted again; they may differ by at most 0.001")


def test_the_record_has_every_published_row_of_a_reference_predictor() -> None:
    references = read_references(RESULTS)
    assert references is not None
    published = {
        (path.parent.name, path.stem): sha256(path)
        for path in RESULTS.glob("*/*.json")
        if path.stem in PREDICTORS
    }
    recorded = {
        (task, predictor): digest
        for task, digests in references.results.items()
        for predictor, digest in digests.items()
    }
    assert recorded == published
    assert {task for task, _ in recorded} <= set(INSTALLED.task_names())


def test_every_flipped_bit_of_a_recorded_row_is_found(results: Path, folder: Path) -> None:
    setting = Setting(results, Release(folder), seeds=1, processes=1)
    evaluate_many(["macs"], [TASK], setting)
    write_references(results)
    assert problems(results, folder) == ()
    rng = np.random.default_rng(0)
    row = result_path(results, TASK, "macs")
    for path in (row, predictions_of(row), references_path(results)):
        content = path.read_bytes()
        for bit in rng.integers(8 * len(content), size=60):
            flipped = bytearray(content)
            flipped[bit // 8] ^= 1 << bit % 8
            path.write_bytes(flipped)
            assert finds_problem(results, folder), (path.name, bit)
        path.write_bytes(content)
    assert problems(results, folder) == ()


def finds_problem(results: Path, folder: Path) -> bool:
    try:
        return bool(problems(results, folder))
    except ValueError:  # of the record itself
        return True


def test_a_record_of_another_version_is_refused(results: Path) -> None:
    path, _ = write_references(results)
    path.write_text(path.read_text().replace('"schema_version": 1', '"schema_version": 2'))
    message = f"{path}: `schema_version` (=2) must be 1"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read_references(results)
