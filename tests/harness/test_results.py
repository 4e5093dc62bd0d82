"""Files of results: they are read as they were written, and refused if they break a rule."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from benchmark.space.imagesets import IMAGES
from benchmark.util.strict_json import NESTED
from harness.metrics.registry import METRICS
from harness.results import store
from harness.results.ceiling import read_ceiling, write_ceiling
from harness.results.predictions import predictions_table, read_predictions, seeds_table
from harness.results.result import Result, Seconds, environment
from harness.results.schema import result_schema
from harness.results.store import read_result, result_path, write_result
from harness.scoring.score_rules import STRATA
from harness.scoring.scores import SeedScore
from tests.toys.results import (
    NETWORKS,
    predictions_of,
    toy_ceiling,
    toy_networks,
    toy_result,
    write_toy,
)

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads(
    resources.files("harness").joinpath("results", "result.schema.json").read_text()
)
Edit = Callable[[dict[str, Any]], object]


def written(folder: Path) -> Path:
    """Return the path of a scored result."""
    write_toy(folder, "toy", 0.1, curve=True)
    return result_path(folder, "digits-k0-v1", "toy")


def edited(path: Path, edit: Edit) -> Path:
    """Change a result by hand and return its path."""
    record = json.loads(path.read_text())
    edit(record)
    path.write_text(json.dumps(record))
    return path


def put(where: str, value: object) -> Edit:
    """Return an edit that sets a field, given its path with `>` between names."""

    def edit(record: dict[str, Any]) -> None:
        *parents, last = where.split(">")
        for name in parents:
            record = record[name]
        record[last] = value

    return edit


def test_a_result_comes_back_as_it_was_written(tmp_path: Path) -> None:
    given = write_toy(tmp_path, "toy", 0.1)
    found = read_result(result_path(tmp_path, given.task, given.predictor))
    assert replace(found, predictions_sha256=None) == given


def test_a_failed_result_comes_back_without_predictions(tmp_path: Path) -> None:
    given = write_result(tmp_path, toy_result(), None)
    path = result_path(tmp_path, given.task, given.predictor)
    assert read_result(path) == given == toy_result()
    assert [file.name for file in path.parent.iterdir()] == ["toy.json"]


def test_a_predictor_that_fails_later_leaves_no_predictions_behind(tmp_path: Path) -> None:
    path = written(tmp_path)
    assert predictions_of(path).exists()
    write_result(tmp_path, toy_result(), None)
    assert [file.name for file in path.parent.iterdir()] == ["toy.json"]


def test_the_same_result_gives_the_same_bytes(tmp_path: Path) -> None:
    one, two = written(tmp_path / "one"), written(tmp_path / "two")
    assert one.read_bytes() == two.read_bytes()
    assert predictions_of(one).read_bytes() == predictions_of(two).read_bytes()


def test_the_schema_version_is_the_first_field(tmp_path: Path) -> None:
    assert next(iter(json.loads(written(tmp_path).read_text()))) == "schema_version"


def test_a_ceiling_comes_back_as_it_was_written(tmp_path: Path) -> None:
    assert read_ceiling(write_ceiling(tmp_path, toy_ceiling())) == toy_ceiling()


def test_several_seeds_keep_their_spread(tmp_path: Path) -> None:
    scores = {"test": {"tau": SeedScore(0.5, 0.4, 0.6, 0.01)}}
    changed = {"seeds": (0, 1), "scores": scores, "seconds": Seconds(1, 1)}
    result = replace(toy_result(), status="scored", failure=None, **changed)  # type: ignore[arg-type]
    targets = toy_networks().targets
    one = predictions_table(targets.run_ids, [6], targets.curves[:, -1:])
    written = write_result(tmp_path, result, seeds_table((0, 1), [one, one]))
    assert written.scores == scores
    assert read_result(result_path(tmp_path, result.task, result.predictor)) == written


def test_the_environment_names_versions_and_no_host() -> None:
    found = environment()
    assert found.numpy == np.__version__
    assert len(found.platform.split()) == 2


SCORE = {"value": 0.5, "low": 0.4, "high": 0.6, "seed_std": None}
OFFENCES: list[tuple[Edit, str]] = [
    (put("schema_version", 0), "`schema_version` (=0) must be 2 for this version of peephole; "
     "score the predictions again"),
    (put("schema_version", 1.0), "`schema_version` (=1.0) must be a whole number"),
    (put("observed", True), "`observed` (=True) must be a whole number"),
    (put("observed", -1), "`observed` (=-1) must be at least 0"),
    (put("title", None), "`title` (=None) must be text"),
    (put("title", " "), "`title` (=' ') must be one non-empty line of at most 200 printable "
     "characters"),
    (put("task", "A b"), "`task` (='A b') must be of a-z, 0-9, '.', '_' and '-', and start "
     "with a letter or digit"),
    (put("task", "digits-k1-v1"), "`task` (='digits-k1-v1') must be the folder's name"),
    (put("predictor", "other"), "`predictor` (='other') must be the file's name"),
    (put("task_digest", "abc"), "`task_digest` (='abc') must be 64 hexadecimal digits"),
    (put("predictions_sha256", "ABC"), "`predictions_sha256` (='ABC') must be 64 hexadecimal "
     "digits"),
    (put("images", "digit"), "unknown images 'digit'; did you mean 'digits'? "
     "Known: cifar10, mnist, digits, cifar10-full-width, cifar10-full, mnist-full"),
    (put("target", "loss"), "`target` (='loss') must be one of valid_accuracy"),
    (put("verification", 1), "`verification` (=1) must be one of self-reported, rescored, rerun"),
    (put("seeds", 0), "`seeds` (=0) must be a list"),
    (put("seeds", ["0"]), "`seeds[0]` (='0') must be a whole number"),
    (put("seeds", [1, 1]), "`seeds` (=(1, 1)) must be at least one, at most 100, all different"),
    (put("environment", None), "`environment` (=None) must be an object"),
    (put("environment>host", "a"), "unknown field 'environment.host'; did you mean "
     "'environment.python'? Known: environment.python, environment.platform, "
     "environment.numpy, environment.scipy, environment.torch, environment.sklearn"),
    (lambda record: record.pop("flags"), "field `flags` is missing"),
    (put("counts>failed_fits", -1), "`counts.failed_fits` (=-1) must be at least 0"),
    (put("seconds>fit", -0.5), "`seconds.fit` (=-0.5) must be at least 0"),
    (lambda record: record["networks"].pop("heldout"), "`networks` must have the split 'heldout'"),
    (put("failure", "no"), "`failure` (='no') must be null for a scored predictor"),
    (put("status", "failed"), "`failure` (=None) must be given for a failed predictor"),
    (lambda record: record.update(status="failed", failure="no"),
     "`scores` of a failed predictor must be empty"),
    (lambda record: record.update(
        status="failed", failure="no", scores={}, scores_test_accuracy={},
        scores_valid_loss={}, tau_resamples=[],
        predictions_sha256="0" * 64),
     f"`predictions_sha256` (={'0' * 64!r}) must be null for a failed predictor"),
    (put("scores", {}), "`scores.test.tau.value` must be given: the board is sorted by it"),
    (put("scores>tests", {}), "`scores`: unknown stratum 'tests'; did you mean 'test'? Known: "
     + ", ".join(STRATA)),
    (put("scores>test>tua", SCORE), "`scores.test`: unknown metric 'tua'; did you mean 'tau'? "
     "Known: " + ", ".join(METRICS)),
    (put("scores_test_accuracy>test>curve_tau", SCORE), "`scores_test_accuracy.test` (='curve_tau')"
     " must be one of " + ", ".join(
         name for name in METRICS if not name.startswith("curve_"))),
    (put("scores>test>tau>value", 1.5), "`scores.test.tau.value` (=1.5) must be within [-1, 1]"),
    (put("scores>test>mse>low", -0.1), "`scores.test.mse.low` (=-0.1) must be within [0, inf]"),
    (put("scores>test>r2>high", 1.1), "`scores.test.r2.high` (=1.1) must be within [-inf, 1]"),
    (put("scores>test>mse>value", "0"), "`scores.test.mse.value` (='0') must be a number"),
    (put("scores>test>tau>low", None), "`scores.test.tau` must have both `low` and `high` or "
     "neither"),
    (put("scores>test>mse", SCORE | {"value": None}), "`scores.test.mse.low` (=0.4) must be null, "
     "because the value is null"),
    (put("scores>test>mse", SCORE | {"low": 0.7}), "`scores.test.mse.low` (=0.7) must be at most "
     "`high` (=0.6)"),
    (put("scores>test>mse>seed_std", 0.1), "`scores.test.mse.seed_std` (=0.1) must be a number "
     "if there are several seeds and a value, else null"),
    (put("seeds", [0, 1]), "`scores.test.mse.seed_std` (=None) must be a number if there are "
     "several seeds and a value, else null"),
    (lambda record: record.update(seeds=[0, 1], scores={"test": {"tau": SCORE | {"seed_std": -1}}}),
     "`scores.test.tau.seed_std` (=-1.0) must be at least 0"),
    (lambda record: record["scores"].update(test={
        "tau": SCORE, "somers_d": SCORE | {"value": -0.5}}),
     "`scores.test.tau.value` (=0.5) must be of the same sign as somers_d (=-0.5), which "
     "counts the same pairs"),
    (lambda record: record["scores"].update(test={
        "tau": SCORE, "r2": SCORE, "squared_pearson": SCORE | {"value": 0.4}}),
     "`scores.test.r2.value` (=0.5) must be at most squared_pearson (=0.4), which 1 - SSE/SST "
     "never exceeds"),
    (lambda record: record["scores"].update(test={
        "tau": SCORE, "regret_1": SCORE | {"value": 0.1}, "regret_10": SCORE}),
     "`scores.test.regret_10.value` (=0.5) must be at most regret_1 (=0.1): more choices never "
     "increase regret"),
]  # fmt: skip


@pytest.mark.parametrize(("edit", "message"), OFFENCES, ids=[m for _, m in OFFENCES])
def test_a_result_edited_by_hand_is_refused(tmp_path: Path, edit: Edit, message: str) -> None:
    path = edited(written(tmp_path), edit)
    with pytest.raises(ValueError, match=f"^{re.escape(f'{path}: {message}')}$"):
        read_result(path)


def test_signs_may_differ_where_a_score_is_a_mean_of_skeletons(tmp_path: Path) -> None:
    scores = {"tau": SCORE, "somers_d": SCORE | {"value": -0.5}}
    path = edited(written(tmp_path), put("scores>heldout", scores))
    assert read_result(path).scores["heldout"]["somers_d"].value == -0.5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "`file` (=[]) must be an object"),
        ('{"task": 1, "task": 2}', "field `task` must appear only once"),
        ("{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
    ],
)
def test_a_file_that_is_no_record_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "toy.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"^{re.escape(f'{path}: {message}')}$"):
        read_result(path)


@pytest.mark.parametrize("number", ["NaN", "1e999", "-1e999", "1" + "0" * 400])
def test_a_number_that_is_not_finite_is_refused(tmp_path: Path, number: str) -> None:
    path = edited(written(tmp_path), put("scores>test>mse>high", "HERE"))
    path.write_text(path.read_text().replace('"HERE"', number))
    message = (
        rf"^{re.escape(str(path))}: `scores\.test\.mse\.high` \(=.*\) must be a finite number$"
    )
    with pytest.raises(ValueError, match=message):
        read_result(path)


def test_brackets_without_end_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "toy.json"
    path.write_text("[" * 100_000)
    with pytest.raises(ValueError, match=f"^{re.escape(f'{path}: {NESTED}')}$"):
        read_result(path)


def test_an_earlier_result_stays_until_the_new_one_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path)
    before = read_result(path)

    def fail(path: Path, record: object) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(store, "write_json", fail)
    with pytest.raises(OSError, match="No space left"):
        write_toy(tmp_path, "toy", 0.3)
    monkeypatch.undo()
    assert read_result(path) == before
    write_toy(tmp_path, "toy", 0.3)
    assert read_result(path) != before
    assert predictions_of(path).exists()  # and no other


def test_missing_predictions_are_named(tmp_path: Path) -> None:
    path = written(tmp_path)
    beside = predictions_of(path)
    beside.unlink()
    message = (
        f"{beside}: the predictions of a scored result are missing; those of this repository come "
        "with a checkout, not with an installed package"
    )
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(message)}$"):
        read_result(path)


def test_changed_predictions_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path)
    expected = json.loads(path.read_text())["predictions_sha256"]
    beside = predictions_of(path)
    beside.write_bytes(beside.read_bytes()[:-1])
    message = rf"^{re.escape(str(beside))}: SHA-256 [0-9a-f]{{64}} must be `predictions_sha256` "
    with pytest.raises(ValueError, match=message + rf"\(='{expected}'\) of toy\.json$"):
        read_result(path)


def test_a_damaged_predictions_file_is_refused(tmp_path: Path) -> None:
    beside = predictions_of(written(tmp_path))
    content = bytearray(beside.read_bytes())
    content[len(content) // 3] ^= 1
    beside.write_bytes(content)
    with pytest.raises(ValueError, match=f"^{re.escape(str(beside))}: "):
        read_predictions(beside, 3 * 12, (0,))


def test_a_failed_result_takes_no_predictions(tmp_path: Path) -> None:
    table = predictions_table(["a"], [20], np.array([[0.5]]))
    message = "result 'toy' must have predictions if and only if it is scored"
    with pytest.raises(ValueError, match=f"^{message}$"):
        write_result(tmp_path, toy_result(), table)


CEILING_OFFENCES: list[tuple[Edit, str]] = [
    (lambda record: record["scores"].pop("test"),
     "`scores` (=['heldout', 'skeleton/deep-3x3', 'test/learned']) must be strata of results, the "
     "same as in `networks`"),
    (lambda record: record["scores"]["test"].pop("tau"),
     "`scores.test` (=['r2']) must be given for r2 and tau"),
    (put("scores>test>tau>value", 1.25), "`scores.test.tau.value` (=1.25) must be within [-1, 1]"),
    (put("scores_valid_loss>test>tau>low", -2.0),
     "`scores_valid_loss.test.tau.low` (=-2.0) must be within [-1, 1]"),
    (put("images", "mnist"), "`images` (='mnist') must be in the file's name"),
    (put("schema_version", 1), "`schema_version` (=1) must be 2 for this version of peephole; "
     "score the predictions again"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("edit", "message"), CEILING_OFFENCES, ids=[m for _, m in CEILING_OFFENCES]
)
def test_a_ceiling_edited_by_hand_is_refused(tmp_path: Path, edit: Edit, message: str) -> None:
    path = edited(write_ceiling(tmp_path, toy_ceiling()), edit)
    with pytest.raises(ValueError, match=f"^{re.escape(f'{path}: {message}')}$"):
        read_ceiling(path)


def test_the_schema_accepts_scored_and_failed_results(tmp_path: Path) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    write_result(tmp_path, toy_result("failed"), None)
    for path in (written(tmp_path), result_path(tmp_path, "digits-k0-v1", "failed")):
        jsonschema.validate(json.loads(path.read_text()), SCHEMA)


@pytest.mark.parametrize(
    "edit",
    [
        put("schema_version", 1),
        put("scores_valid_loss>test>mse", SCORE),
        put("tau_resamples", [0.5]),
        put("host", "a"),
        put("predictions_sha256", None),
        put("scores>test>tau>value", None),
        put("scores>test>tua", SCORE),
        put("scores_test_accuracy>test>curve_tau", SCORE),
        put("status", "failed"),
        put("seeds", []),
    ],
)
def test_the_schema_refuses_what_the_reader_refuses(tmp_path: Path, edit: Edit) -> None:
    path = edited(written(tmp_path), edit)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(json.loads(path.read_text()), SCHEMA)
    with pytest.raises(ValueError, match=r"must|Known"):
        read_result(path)


def test_the_schema_lists_the_fields_and_names_of_the_code() -> None:
    """`python -m harness.results.schema` updates it."""
    assert result_schema() == SCHEMA
    assert list(SCHEMA["properties"]) == list(Result.__slots__)
    assert SCHEMA["properties"]["images"]["enum"] == list(IMAGES)
    scores = SCHEMA["$defs"]["scores"]
    assert scores["additionalProperties"]["propertyNames"]["enum"] == list(METRICS)
    assert scores["propertyNames"]["enum"] == list(STRATA)


def test_every_committed_result_follows_the_schema_and_the_rules() -> None:
    committed = list((ROOT / "leaderboard" / "results").glob("*/*.json"))
    if not committed:
        pytest.skip("no results here: the wheel does not hold them")
    for path in committed:
        jsonschema.validate(json.loads(path.read_text()), SCHEMA)
        read_result(path)


def test_toy_networks_are_as_many_as_the_toy_results_say() -> None:
    parts = toy_networks().targets.splits
    assert (parts.count("test"), parts.count("heldout")) == (NETWORKS["test"], NETWORKS["heldout"])
