"""Plan files, run files and releases damaged at random: read as they are, or refused by name."""

import base64
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.publish.verify import verify_release
from benchmark.runs import data_folder, rows_to_table
from benchmark.schema import SCHEMA, check_row
from benchmark.space.architectures import Layer
from generators.campaign.campaign import Campaign
from generators.campaign.plan import read_groups, read_plan
from generators.campaign.run_campaign import run_campaign
from generators.campaign.run_files import add_digest
from generators.workers.planned_run import PlannedRun
from tests.toys.campaign import RECIPE, options_of, tiny_plan, toy_campaign, toy_row, visible_files

PLAN = tiny_plan(3)
Json = object
MANY = settings(max_examples=300, deadline=None, derandomize=True, database=None)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([-1, 2**24 + 1, 2**31, 2**63, 10**40]),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["completed", "digits", "train", "\ud800", "AAAA"]),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=2),
)


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    return toy_campaign(tmp_path_factory.mktemp("campaign"), PLAN)


def places(value: Json, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the way to every part of a JSON value but the whole."""
    if isinstance(value, dict):
        inner = [(key, part) for key, part in value.items()]
    else:
        inner = list(enumerate(value)) if isinstance(value, list) else []
    found: list[tuple[str | int, ...]] = [(*path, key) for key, _ in inner]
    return found + [place for key, part in inner for place in places(part, (*path, key))]


def changed(value: Json, path: tuple[str | int, ...], new: Json, *, drop: bool) -> Json:
    """Return a JSON value with one part replaced or dropped."""
    value = json.loads(json.dumps(value))
    parent = value
    for key in path[:-1]:
        parent = parent[key]  # type: ignore[index]
    if drop:
        del parent[path[-1]]  # type: ignore[attr-defined]
    else:
        parent[path[-1]] = new  # type: ignore[index]
    return value


@st.composite
def damaged_values(draw: st.DrawFn, value: Json) -> bytes:
    """Draw a JSON text of which one field, or a part of one, is another value or not there."""
    top = draw(st.sampled_from([place for place in places(value) if len(place) == 1]))
    below = [place for place in places(value) if place[0] == top[0]]
    place = draw(st.sampled_from(below))
    return json.dumps(changed(value, place, draw(VALUES), drop=draw(st.booleans()))).encode()


@st.composite
def damaged_bytes(draw: st.DrawFn, text: bytes) -> bytes:
    """Draw a text of which a stretch is lost, doubled or something else."""
    start, end = sorted((draw(st.integers(0, len(text))), draw(st.integers(0, len(text)))))
    end = draw(st.sampled_from([end, min(start + 1, len(text)), len(text)]))
    middle = draw(st.sampled_from([b"", text[start:end] * 2]) | st.binary(max_size=4))
    return text[:start] + middle + text[end:]


def assert_read_or_refused(path: Path, read: Callable[[], object], message: str) -> None:
    """Assert that a file is read, or refused with a message that names it."""
    refusal = ""
    try:
        read()
    except ValueError as error:
        refusal = str(error)
    whole = message.format(re.escape(repr(str(path))))
    assert re.fullmatch(f"({whole})?", refusal, re.DOTALL), refusal


def check_run_file(campaign: Campaign, content: bytes) -> None:
    path = campaign.runs / f"{PLAN[0].run_id}.json"
    path.write_bytes(content)
    try:
        # what is accepted can be made a table, too
        assert_read_or_refused(
            path,
            lambda: [rows_to_table([row]) for row in campaign.rows()],
            r"{} is damaged \(.+\); delete it to train the run again",
        )
    finally:
        path.unlink()


RUN_FILE = toy_row(PLAN[0])
SIGNED = add_digest(json.dumps(RUN_FILE)).encode()
PLAN_LINES = [
    {**{n: getattr(run, n) for n in PlannedRun.__dataclass_fields__}, "architecture": None}
    for run in PLAN
]
for _line, _run in zip(PLAN_LINES, PLAN, strict=True):
    _line["architecture"] = toy_row(_run)["architecture"]


@MANY
@given(content=damaged_values(RUN_FILE))
def test_a_run_file_with_another_value_is_read_or_refused(
    campaign: Campaign, content: bytes
) -> None:
    check_run_file(campaign, add_digest(content.decode()).encode())


@MANY
@given(content=damaged_bytes(SIGNED))
def test_a_run_file_with_other_bytes_is_refused(campaign: Campaign, content: bytes) -> None:
    path = campaign.runs / f"{PLAN[0].run_id}.json"
    path.write_bytes(content)
    try:
        if content == SIGNED:
            assert list(campaign.rows()) == [RUN_FILE]
        else:
            start = re.escape(f"{str(path)!r} is damaged (")
            end = r"\); delete it to train the run again"
            with pytest.raises(ValueError, match=f"^{start}.+{end}$"):
                list(campaign.rows())
    finally:
        path.unlink()


def test_a_run_file_with_any_bit_flipped_is_refused(campaign: Campaign) -> None:
    path = campaign.runs / f"{PLAN[0].run_id}.json"
    for bit in range(0, 8 * len(SIGNED), 37):  # a prime, so that every bit of a byte has its turn
        content = bytearray(SIGNED)
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"is damaged \("):
            campaign.row(PLAN[0].run_id)
    path.unlink()


@pytest.mark.parametrize("rounds", [1, pytest.param(27, marks=pytest.mark.slow)])
def test_a_bit_flipped_in_any_file_of_a_release_is_found(tmp_path: Path, rounds: int) -> None:
    folder = Path(shutil.copytree(data_folder(), tmp_path / "data"))
    rng = np.random.default_rng(rounds)
    names = list(visible_files(folder))
    for name in names * rounds:
        content = (folder / name).read_bytes()
        damaged, bit = bytearray(content), int(rng.integers(8 * len(content)))
        damaged[bit // 8] ^= 1 << bit % 8
        (folder / name).write_bytes(damaged)
        problems = verify_release(folder)
        if name == "SHA256SUMS":  # other files no longer agree with it, or a line is malformed
            assert problems
        else:
            assert [problem.split(" has SHA-256 ")[0] for problem in problems] == [name]
        (folder / name).write_bytes(content)


def check_plan(campaign: Campaign, content: bytes) -> None:
    path = campaign.folder / "plan.jsonl"
    path.write_bytes(content)
    message = r"line \d+ of {} is not a planned run: .+"
    assert_read_or_refused(path, lambda: read_plan(path), message)
    assert_read_or_refused(path, lambda: read_groups(path), message)


@MANY
@given(content=damaged_values(PLAN_LINES[1]))
def test_a_plan_with_another_value_is_read_or_refused(campaign: Campaign, content: bytes) -> None:
    lines = [json.dumps(PLAN_LINES[0]).encode(), content, json.dumps(PLAN_LINES[2]).encode()]
    check_plan(campaign, b"\n".join(lines) + b"\n")


@MANY
@given(content=damaged_bytes(b"\n".join(json.dumps(line).encode() for line in PLAN_LINES)))
def test_a_plan_with_other_bytes_is_read_or_refused(campaign: Campaign, content: bytes) -> None:
    check_plan(campaign, content)


def test_a_json_text_nested_too_deep_is_refused(campaign: Campaign) -> None:
    deep = b"[" * 200_000
    check_run_file(campaign, deep)
    check_plan(campaign, deep)


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("seed", -1, "int32 >= 0"),
        ("seed", True, "int32 >= 0"),
        ("draw_index", 2**31, "int32 >= 0"),
        ("macs", 0, "int64 > 0"),
        ("status", "lost", "string completed, diverged, out_of_memory, failed"),
        ("device", None, "string"),
        ("started_at", 253_402_300_800, "timestamp[ms, tz=UTC]"),
        ("architecture", [], "{type}"),
        ("initial_valid_accuracy", 1.5, "float [0, 1]"),
        ("initial_valid_accuracy", None, "float [0, 1]"),
        ("initial_valid_loss", 1e39, "float >= 0 or null"),
    ],
)
def test_a_field_out_of_its_range_is_named(column: str, value: Json, rule: str) -> None:
    row = {**RUN_FILE, column: value}
    rule = rule.format(type=SCHEMA.field("architecture").type)
    message = f"`{column}` (={value!r}) of run {PLAN[0].run_id!r} must be {rule}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_row(row)


@pytest.mark.parametrize(
    ("column", "value", "interval"),
    [
        ("valid_accuracy", [0.5, None], "[0, 1]"),
        ("train_loss", [0.5, -1.0], ">= 0 or null"),
        ("weight_norm", [float("inf"), 1.0], ">= 0 or null"),
        ("learning_rate", [None, 0.1], ">= 0"),
        ("epoch_seconds", ["1", 1.0], ">= 0"),
    ],
)
def test_a_series_out_of_its_range_is_named(column: str, value: Json, interval: str) -> None:
    message = f"`{column}` of run {PLAN[0].run_id!r} must lie in {interval}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_row({**RUN_FILE, column: value})


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"run_id": "digits-0-0-0"}, "it holds run 'digits-0-0-0'"),
        (
            {"architecture_id": "0123456789abcdef"},
            f"`architecture_id` is '0123456789abcdef' and must be {PLAN[0].architecture_id!r}",
        ),
        ({"correct": "AAAA"}, f"`correct` of run {PLAN[0].run_id!r} has 3 bytes, not 88"),
        (
            {"correct": base64.b64encode(bytes(88)).decode()},
            f"`correct` of run {PLAN[0].run_id!r} gives 0.000000, but its final `valid_accuracy` "
            f"is {RUN_FILE['valid_accuracy'][-1]:.6f}",  # type: ignore[index]
        ),
    ],
)
def test_a_run_file_that_contradicts_itself_is_named(
    tmp_path: Path, fields: dict[str, Json], reason: str
) -> None:
    campaign = toy_campaign(tmp_path, PLAN[:1])
    path = campaign.runs / f"{PLAN[0].run_id}.json"
    path.write_text(add_digest(json.dumps({**RUN_FILE, **fields})))
    message = f"{str(path)!r} is damaged ({reason}); delete it to train the run again"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        list(campaign.rows())


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"cost": 0}, "`draw_index` and `seed` must be integers >= 0, counts integers >= 1"),
        ({"seed": 1.0}, "`draw_index` and `seed` must be integers >= 0, counts integers >= 1"),
        ({"images": "digit"}, "unknown images 'digit'; did you mean 'digits'?"),
        ({"split": "tran"}, "unknown split 'tran'; did you mean 'train'?"),
        ({"run_id": "digits"}, f"`run_id` is 'digits' and must be {PLAN[0].run_id!r}"),
        (
            {"architecture_id": "0"},
            f"`architecture_id` is '0' and must be {PLAN[0].architecture_id!r}",
        ),
    ],
)
def test_a_planned_run_that_contradicts_itself_is_named(
    tmp_path: Path, fields: dict[str, Json], reason: str
) -> None:
    path = tmp_path / "plan.jsonl"
    path.write_text(json.dumps({**PLAN_LINES[0], **fields}) + "\n")
    message = re.escape(f"line 1 of {str(path)!r} is not a planned run: {reason}")
    with pytest.raises(ValueError, match=f"^{message}( Known: [a-z0-9, -]+)?$"):
        read_plan(path)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"split": 1}, "Group(images='digits', skeleton='shallow-3x1', split=1) is not known"),
        ({"run_id": []}, "`run_id` (=[]) must be a string"),
    ],
)
def test_a_planned_run_without_a_group_is_named(
    tmp_path: Path, fields: dict[str, Json], reason: str
) -> None:
    path = tmp_path / "plan.jsonl"
    path.write_text(json.dumps({**PLAN_LINES[0], **fields}) + "\n")
    message = f"line 1 of {str(path)!r} is not a planned run: {reason}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read_groups(path)


def test_a_plan_for_a_recipe_that_is_not_there_is_refused(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path)
    campaign.create(PLAN, {"0123456789ab": RECIPE})
    start = f"unknown recipe {RECIPE.recipe_id!r}"
    with pytest.raises(ValueError, match=f"^{start}.* of {re.escape(repr(str(tmp_path)))}$"):
        run_campaign(campaign, options_of())


@pytest.mark.parametrize("ratio", [0, -1.0, 1001, "1", None])
def test_a_ratio_out_of_its_range_is_named(ratio: Json) -> None:
    message = f"`ratio` (={ratio!r}) must be a number in (0, 1000]"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Layer("conv", 3, 3, 8, ratio)  # type: ignore[arg-type]
