"""Every edited number of a result is detected, if it follows from the predictions."""

import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmark.release import Release
from benchmark.util import processes
from benchmark.util.processes import EndedEarlyError
from harness.results.predictions import check_predictions, mean_table, seeds_table
from harness.results.result import HARNESS_VERSION
from harness.results.store import read_result, result_path, write_result
from harness.verification import rescore as verification_rescore
from harness.verification.audit import Request, verify
from harness.verification.prediction_file import score_predictions
from harness.verification.rescore import Rescoring, check_proven, rescore, rescore_all
from tests.toys.data import toy_release
from tests.toys.results import predictions_of
from tests.toys.submissions import TASK, submit_predictions, toy_task

OPEN = ("seconds", "environment", "predictions_sha256")  # not proven by predictions
SCORES = ("scores", "scores_test_accuracy")
Keys = tuple[str, ...]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_release(tmp_path_factory.mktemp("release"), (1,))


@pytest.fixture(scope="module")
def results(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    submitted = tmp_path_factory.mktemp("board")
    submit_predictions(folder, submitted, seeds=3)
    submit_predictions(folder, submitted, name="single")
    return submitted / "results"


@pytest.fixture
def path(results: Path) -> Iterator[Path]:
    """Yield the path of a result of three seeds; restore its files afterwards."""
    path = result_path(results, TASK, "ours")
    kept = {p: p.read_bytes() for p in path.parent.iterdir()}
    yield path
    for file in set(path.parent.iterdir()) - kept.keys():
        file.unlink()
    for file, content in kept.items():
        file.write_bytes(content)


def numbers(value: object, keys: Keys = ()) -> Iterator[tuple[Keys, float]]:
    """Yield the keys and the value of every number of a record."""
    if isinstance(value, dict):
        for name, entry in value.items():
            yield from numbers(entry, (*keys, name))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield keys, value


def edit(path: Path, keys: Keys, value: object) -> None:
    record = json.loads(path.read_text())
    inner = record
    for name in keys[:-1]:
        inner = inner[name]
    inner[keys[-1]] = value
    path.write_text(json.dumps(record))


def test_untouched_results_are_proven(results: Path, folder: Path) -> None:
    report = verify(Request(results, release=Release(folder), processes=1))
    assert (report.problems, report.unproven, report.values) == ((), (), ())
    assert [path.stem for path in report.proven] == ["ours", "single"]


def test_every_number_that_is_edited_is_refused_with_its_name_and_both_values(
    path: Path, folder: Path
) -> None:
    content = path.read_text()
    again, _ = score_predictions(predictions_of(path), toy_task(folder), release=Release(folder))
    found = [n for n in numbers(json.loads(content)) if n[0][0] not in OPEN]
    found = [n for n in found if n[0][0] not in SCORES or n[0][1] in ("test", "heldout")]
    by_rescoring = 0
    for keys, value in found:
        name, step = ".".join(keys), 1e-6 * max(1, abs(value)) if isinstance(value, float) else 1
        forged = value + step
        edit(path, keys, forged)
        try:
            result = read_result(path)
        except ValueError:  # a rule of results refuses it; see tests/harness/test_results.py
            path.write_text(content)
            continue
        by_rescoring += 1
        message = f"{path}: `{name}` (={forged!r}) is {value!r} from its predictions"
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            check_proven(path, result, again, intervals=True)
        path.write_text(content)
    assert by_rescoring > 150
    check_proven(path, read_result(path), again, intervals=True)


def test_numbers_that_differ_by_rounding_are_the_same(path: Path, folder: Path) -> None:
    keys = ("scores", "test", "tau", "value")
    value = read_result(path).scores["test"]["tau"].value
    assert value is not None
    edit(path, keys, value + 1e-12)
    rescore(Rescoring(path, False, Release(folder)))
    edit(path, keys, value - 1e-7)
    with pytest.raises(ValueError, match=r"`scores\.test\.tau\.value` \(=.*from its predictions$"):
        rescore(Rescoring(path, False, Release(folder)))


def test_an_interval_is_left_alone_only_if_it_is_not_asked_for(path: Path, folder: Path) -> None:
    low = read_result(path).scores["test"]["tau"].low
    assert low is not None
    edit(path, ("scores", "test", "tau", "low"), low + 1e-6)
    rescore(Rescoring(path, False, Release(folder)))
    message = f"{path}: `scores.test.tau.low` (={low + 1e-6!r}) is {low!r} from its predictions"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        rescore(Rescoring(path, True, Release(folder)))


def test_a_score_that_is_added_or_removed_is_refused(path: Path, folder: Path) -> None:
    record = json.loads(path.read_text())
    removed = record["scores"]["heldout"].pop("crps")
    path.write_text(json.dumps(record))
    message = f"{path}: `scores.heldout.crps.value` is missing; from its predictions it is "
    with pytest.raises(ValueError, match=f"^{re.escape(message)}[\\d.e-]+$"):
        rescore(Rescoring(path, False, Release(folder)))
    record["scores"]["heldout"]["crps"] = removed
    record["scores"]["skeleton/wide-3x1"]["paired_tau"] = removed
    record["scores"]["skeleton/stages-4x1"] = {"crps": removed}
    del record["scores"]["skeleton/wide-3x1"]["paired_tau"]
    path.write_text(json.dumps(record))
    message = (
        f"{path}: `scores.skeleton/stages-4x1.crps.value` (={removed['value']!r}) does not follow "
        "from its predictions"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        rescore(Rescoring(path, False, Release(folder)))


@pytest.mark.parametrize(
    ("keys", "forged", "message"),
    [
        (("flags",), ["constant"], "`flags` (=['constant']) is [] from its predictions"),
        (("task_digest",), "0" * 64, f"`task_digest` (='{'0' * 64}') is '.*' from its predictions"),
        (
            ("harness_version",),
            "9",
            f"`harness_version` (='9') is {HARNESS_VERSION!r} from its predictions",
        ),
        (("networks", "train"), 99, "`networks.train` (=99) is 24 from its predictions"),
        (("observed_epochs_total",), 3, "`observed_epochs_total` (=3) is 24 from its predictions"),
    ],
)
def test_what_follows_from_the_task_cannot_be_edited(
    path: Path, folder: Path, keys: Keys, forged: object, message: str
) -> None:
    edit(path, keys, forged)
    expected = re.escape(f"{path}: {message}").replace(r"\.\*", ".*")
    with pytest.raises(ValueError, match=f"^{expected}$"):
        rescore(Rescoring(path, False, Release(folder)))


def test_another_seed_in_place_of_the_predictions_is_refused(path: Path, folder: Path) -> None:
    table = pq.read_table(predictions_of(path))
    rows = len(table) // 3
    seeds = pa.array([n for n in (0, 1, 2) for _ in range(rows)], pa.int32())
    twice = pa.concat_tables([table.slice(0, rows), table.slice(0, rows), table.slice(rows, rows)])
    write_result(
        path.parents[1], read_result(path), twice.set_column(0, table.schema.field(0), seeds)
    )
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: .* from its predictions$"):
        rescore(Rescoring(path, False, Release(folder)))


def test_processes_find_what_one_finds(path: Path, folder: Path) -> None:
    edit(path, ("scores", "test", "mse", "value"), 0.5)
    jobs = [Rescoring(p, False, Release(folder)) for p in (path, path.with_stem("single"))]
    found = rescore_all(jobs, processes=1)
    assert [bool(problem) for problem in found] == [True, False]
    assert rescore_all(jobs, processes=2) == found


def test_a_result_whose_process_ends_early_is_named(
    path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end_early(call: partial[str], _: object) -> str | EndedEarlyError:
        return EndedEarlyError("ended early") if call.args[0][0].path == path else call()

    monkeypatch.setattr(processes, "call_in_process", end_early)
    monkeypatch.setattr(verification_rescore, "TOGETHER", 1)
    monkeypatch.setattr(verification_rescore, "is_known", lambda job: False)
    jobs = [Rescoring(p, False, Release(folder)) for p in (path, path.with_stem("single"))]
    assert rescore_all(jobs, processes=2) == [f"{path}: ended early", ""]


GOOD = pa.table(
    {
        "seed": pa.array([0, 0, 1, 1], pa.int32()),
        "run_id": ["a", "b", "a", "b"],
        "epoch": pa.array([20] * 4, pa.int32()),
        "mean": [0.25, 0.5, 0.75, 0.5],
        "std": pa.nulls(4, pa.float64()),
    }
)


def seeded(table: pa.Table) -> pa.Table:
    from harness.results.predictions import SEEDED

    return table.cast(SEEDED)


def test_the_mean_over_seeds_is_that_of_each_run_and_epoch() -> None:
    good = seeded(GOOD)
    check_predictions(good, 2, (1, 0))
    mean = mean_table(good)
    assert mean.to_pydict() == {
        "run_id": ["a", "b"], "epoch": [20, 20], "mean": [0.5, 0.5], "std": [None, None],
    }  # fmt: skip
    assert mean_table(mean) is mean
    parts = [good.slice(2).drop_columns(["seed"]), good.slice(0, 2).drop_columns(["seed"])]
    assert seeds_table((1, 0), parts).equals(good)
    assert seeds_table((4,), parts[:1]) is parts[0]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (GOOD.drop_columns(["seed"]), "columns (run_id string, epoch int32, mean double, std "
         "double) must be (seed int32, run_id string, epoch int32, mean double, std double)"),
        (GOOD.take(pa.array([2, 3, 0, 1])), "seeds (=[0, 1]) must be [0, 1], in order"),
        (GOOD.slice(0, 2), "seeds (=[0]) must be [0, 1], in order"),
        (GOOD.take(pa.array([0, 1, 1, 2])), "the 4 rows must be equally many for every seed"),
        (GOOD.take(pa.array([0, 0, 2, 3])), "rows must be sorted by run_id and epoch, each pair "
         "once"),
    ],
)  # fmt: skip
def test_seeds_that_break_a_rule_are_refused(table: pa.Table, message: str) -> None:
    table = seeded(table) if "seed" in table.column_names else table
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_predictions(table, 2, (0, 1))
