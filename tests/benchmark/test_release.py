"""What a release promises, and that every broken promise is named."""

import json
import os
import re
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from benchmark.cli import data
from benchmark.manifest import read_manifest, released_splits
from benchmark.publish.finish import finish_release
from benchmark.publish.verify import verify_release
from benchmark.release import Release
from benchmark.row_rules import row_problems
from benchmark.runs import (
    CORRECT_SCHEMA,
    correct_path,
    read_pages,
    read_table,
    rows_to_table,
    sha256,
    split_path,
    write_table,
)
from benchmark.schema import COLUMNS
from benchmark.space.splits import SPLITS
from tests.toys.campaign import edit, published_rows, release_plan, sign, toy_release

PLAN = release_plan()


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_release(tmp_path_factory.mktemp("release"))


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """Return a copy of the release, to be damaged."""
    return Path(shutil.copytree(original, tmp_path / "data"))


def test_a_release_as_published_has_no_problems(original: Path) -> None:
    assert verify_release(original) == []
    assert released_splits(original) == [("digits", split) for split in SPLITS]


def test_commands_take_the_first_image_set_that_has_runs(original: Path, tmp_path: Path) -> None:
    assert Release(original).default_images() == "digits"
    assert Release(tmp_path).default_images() == "cifar10"


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "name", ["digits/train.parquet", "correct/digits/test.parquet", "README.md", "manifest.json"]
)
def test_a_changed_file_is_named_with_both_checksums(folder: Path, name: str) -> None:
    before = sha256(folder / name)
    flip(folder / name, 20)
    after = sha256(folder / name)
    problem = f"{name} has SHA-256 {after}, but SHA256SUMS says {before}"
    assert verify_release(folder) == [problem]


def test_an_edited_accuracy_breaks_the_checksum(folder: Path) -> None:
    edit(folder, "test", 0, valid_accuracy=[0.2, 0.99])
    assert [p.split(" has ")[0] for p in verify_release(folder)] == ["digits/test.parquet"]


def test_missing_and_foreign_files_are_named(folder: Path) -> None:
    (folder / "recipes.json").unlink()
    (folder / "digits" / "extra.parquet").write_bytes(b"")
    assert verify_release(folder) == [
        "digits/extra.parquet is not in SHA256SUMS",
        "recipes.json is missing",
    ]


def test_what_can_be_in_no_release_is_named(folder: Path) -> None:
    (folder / "digits" / "train.parquet.part").write_bytes(b"half")
    (folder / "a\nb").write_bytes(b"")
    (folder / "images").mkdir()
    (folder / "licence").symlink_to("LICENSE")
    (folder / "outside").symlink_to(folder.parent)
    os.mkfifo(folder / "pipe")
    assert verify_release(folder) == [
        "'a\\nb' has a name that cannot be printed; remove it",
        "licence is a link, and a release holds none; remove it",
        "outside is a link, and a release holds none; remove it",
        "pipe is neither a file nor a folder; remove it",
        "images is an empty folder; remove it",
        "'a\\nb' is not in SHA256SUMS",
        "digits/train.parquet.part is not in SHA256SUMS",
    ]


def test_a_file_replaced_with_a_link_is_named(folder: Path) -> None:
    (folder / "LICENSE").rename(folder.parent / "LICENSE")
    (folder / "LICENSE").symlink_to(folder.parent / "LICENSE")
    assert verify_release(folder) == [
        "LICENSE is a link, and a release holds none; remove it",
        "LICENSE is missing",
    ]


def test_hidden_files_belong_to_no_release(folder: Path) -> None:
    (folder / ".gitattributes").write_text("")
    (folder / ".git").mkdir()
    (folder / ".git" / "HEAD").symlink_to("nowhere")
    assert verify_release(folder) == []


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("x", "SHA256SUMS has the line 'x', which is not a checksum and a name"),
        (f"{'0' * 64}  LICENSE", "SHA256SUMS names 'LICENSE' twice"),
        (f"{'0' * 64}  \xff", "\\xff is missing"),
    ],
)
def test_a_list_of_checksums_that_cannot_be_is_named(folder: Path, line: str, problem: str) -> None:
    with (folder / "SHA256SUMS").open("ab") as file:
        file.write(line.encode("latin-1") + b"\n")
    assert verify_release(folder) == [problem]


def test_a_damaged_page_is_named_even_under_a_right_checksum(folder: Path) -> None:
    path = split_path("digits", "validation", folder)
    flip(path, 40)
    sign(folder)
    problems = verify_release(folder)
    assert len(problems) == 1
    assert problems[0].startswith(f"{path}: the Parquet file is damaged: ")


def test_an_older_schema_version_is_named(folder: Path) -> None:
    path = split_path("digits", "test", folder)
    write_table(read_table(path).replace_schema_metadata({"schema_version": "0"}), path)
    sign(folder)
    problem = f"{str(path)!r} has schema version 0, and this release reads 2"
    assert verify_release(folder) == [problem]


def test_another_schema_of_the_same_version_is_named(folder: Path) -> None:
    path = split_path("digits", "train", folder)
    table = read_table(path)
    write_table(table.append_column("colour", pa.array(["red"] * len(table))), path)
    sign(folder)
    problem = "train.parquet of 'digits' does not have the schema of this release"
    assert verify_release(folder) == [problem]


def test_an_accuracy_out_of_range_is_named(folder: Path) -> None:
    name = edit(folder, "train", 2, valid_accuracy=[0.2, 1.5])
    sign(folder)
    assert f"`valid_accuracy` of run {name!r} must lie in [0, 1]" in verify_release(folder)


def test_a_curve_cut_short_is_named(folder: Path) -> None:
    name = edit(folder, "train", 2, test_loss=[0.2])
    sign(folder)
    problem = f"`test_loss` of run {name!r} has 1 entry, not 1 for each of 2 epochs"
    assert verify_release(folder) == [problem]


def test_tenths_cut_short_are_named(folder: Path) -> None:
    name = edit(folder, "train", 2, train_loss_tenths=[0.5] * 19)
    sign(folder)
    problem = f"`train_loss_tenths` of run {name!r} has 19 entries, not 10 for each of 2 epochs"
    assert verify_release(folder) == [problem]


def test_a_changed_architecture_is_named_by_what_it_no_longer_is(folder: Path) -> None:
    row = read_table(split_path("digits", "heldout", folder)).to_pylist()[0]
    architecture = row["architecture"]
    architecture["blocks"][1][0]["kernel_width"] = 5
    name = edit(folder, "heldout", 0, architecture=architecture)
    sign(folder)
    problems = verify_release(folder)
    fields = ["architecture_id", "run_id", "parameters", "macs", "drawn_architecture_id"]
    assert [p.split(" is ")[0] for p in problems] == [f"`{f}` of run {name!r}" for f in fields]
    # A 2x1 kernel from 8 to 8 channels became 2x5: 4 * 2 * 64 more weights.
    more = row["parameters"] + 512
    assert f"`parameters` of run {name!r} is {row['parameters']} and must be {more}" in problems


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("skeleton", "deep-3x3", "is 'deep-3x3' and must be 'shallow-3x1'"),
        ("macs", 7, "is 7 and must be {macs}"),
        ("architecture_id", "0" * 16, "is '0000000000000000' and must be {architecture_id!r}"),
        ("seed", 5, None),
    ],
)
def test_what_the_architecture_contradicts_is_named(
    original: Path, field: str, value: object, rule: str | None
) -> None:
    row = read_table(split_path("digits", "train", original)).to_pylist()[0]
    problems = row_problems({**row, field: value}, "train")
    if rule is not None:
        assert problems == [f"`{field}` of run {row['run_id']!r} {rule.format(**row)}"]
    else:  # the seed is part of the run's name
        right = row["run_id"][:-1] + "5"
        assert problems == [f"`run_id` of run {row['run_id']!r} is {row['run_id']!r} and must be "
                            f"{right!r}"]  # fmt: skip


def test_a_run_in_the_wrong_split_is_named(folder: Path) -> None:
    train, test = (split_path("digits", split, folder) for split in ("train", "test"))
    rows = published_rows(train)
    moved = rows.pop(0)
    write_table(rows_to_table(rows), train)
    write_table(rows_to_table([*published_rows(test), moved]), test)
    sign(folder)
    other = "correct/digits/{0}.parquet does not have the runs of digits/{0}.parquet"
    assert sorted(verify_release(folder)) == sorted(
        [
            f"run {moved['run_id']!r} is in 'test' but belongs in 'train'",
            other.format("train"),
            other.format("test"),
        ]
    )


def test_a_run_in_two_splits_is_named(folder: Path) -> None:
    train, test = (split_path("digits", split, folder) for split in ("train", "test"))
    both = published_rows(train)[0]
    write_table(rows_to_table([*published_rows(test), both]), test)
    sign(folder)
    assert f"run {both['run_id']!r} is in train and test" in verify_release(folder)


def bits_of(folder: Path, split: str) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = pq.read_table(correct_path("digits", split, folder)).to_pylist()
    return rows


def test_missing_bits_are_named(folder: Path) -> None:
    rows = bits_of(folder, "train")
    rows[0]["correct"] = b"\0" * 10
    table = pa.Table.from_pylist(rows, schema=CORRECT_SCHEMA)
    write_table(table, correct_path("digits", "train", folder))
    sign(folder)
    problem = f"`correct` of run {rows[0]['run_id']!r} has 10 bytes, not 88"
    assert verify_release(folder) == [problem]


def test_bits_that_cannot_be_read_are_named(folder: Path) -> None:
    path = correct_path("digits", "train", folder)
    path.write_bytes(path.read_bytes()[:-1])
    sign(folder)
    (problem,) = verify_release(folder)
    start = f"correct/digits/train.parquet cannot be read: {path}: the Parquet file is damaged: "
    assert problem.startswith(start)


def test_bits_under_another_name_are_named(folder: Path) -> None:
    path = correct_path("digits", "train", folder)
    write_table(read_pages(path).rename_columns(["run_id", "bits"]), path)
    sign(folder)
    problem = "correct/digits/train.parquet does not have the schema of this release"
    assert verify_release(folder) == [problem]


@pytest.mark.parametrize("status", ["completed", "diverged"])
def test_bits_that_contradict_the_final_accuracy_are_named(folder: Path, status: str) -> None:
    split, run = next(
        (split, run)
        for split in SPLITS
        for run in read_table(split_path("digits", split, folder)).to_pylist()
        if run["status"] == status
    )
    rows = {row["run_id"]: row for row in bits_of(folder, split)}
    bits = bytearray(rows[run["run_id"]]["correct"])  # type: ignore[call-overload]
    bits[-1] ^= 128  # of 700 bits, the 697th: a test image
    rows[run["run_id"]]["correct"] = bytes(bits)
    table = pa.Table.from_pylist(list(rows.values()), schema=CORRECT_SCHEMA)
    write_table(table, correct_path("digits", split, folder))
    sign(folder)
    final = run["test_accuracy"][-1] if status == "completed" else 0.0
    changed = final + (1 if bits[-1] & 128 else -1) / 350
    assert verify_release(folder) == [
        f"`correct` of run {run['run_id']!r} gives {changed:.6f}, but its final `test_accuracy` is "
        f"{final:.6f}"
    ]


def test_what_cannot_be_read_is_a_problem_and_no_crash(folder: Path) -> None:
    row = read_table(split_path("digits", "heldout", folder)).to_pylist()[0]
    row["architecture"]["blocks"][1][0]["kind"] = "dropout"
    name = edit(folder, "heldout", 0, architecture=row["architecture"])
    correct_path("digits", "train", folder).unlink()
    correct_path("digits", "test", folder).write_bytes(b"PAR1")
    sign(folder)
    text = "\n".join(verify_release(folder))
    assert name in text
    assert "dropout" in text
    assert "correct/digits/train.parquet" in text
    assert "correct/digits/test.parquet" in text


def test_the_manifest_counts_what_is_there(original: Path) -> None:
    manifest = read_manifest(original)
    splits = manifest.splits
    assert (manifest.version, manifest.proxies) == ("1.2.3", ())
    assert [(s.images, s.split) for s in splits] == [("digits", split) for split in SPLITS]
    assert sum(s.runs for s in splits) == len(PLAN)
    for s in splits:
        own = [run for run in PLAN if run.split == s.split]
        assert s.runs == len(own) == sum(s.statuses.values()) == sum(s.skeletons.values())
        assert s.networks == len({run.architecture_id for run in own})
        assert s.seeds == sum(run.seed != 0 for run in own)
        path = split_path("digits", s.split, original)
        assert (s.bytes, s.sha256) == (path.stat().st_size, sha256(path))
    assert sum(s.statuses.get("diverged", 0) for s in splits) == 1


def test_a_folder_without_a_manifest_holds_no_release(tmp_path: Path) -> None:
    message = f"{str(tmp_path)!r} has no manifest.json, so it is not a release"
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(message)}$"):
        read_manifest(tmp_path)


def header(folder: Path) -> str:
    """Return the YAML header of a card."""
    return (folder / "README.md").read_text().split("---\n")[1]


def test_the_card_lists_the_files_of_complete_image_sets(original: Path) -> None:
    expected = "configs:\n- config_name: digits\n  version: 1.2.3\n  default: true\n  data_files:\n"
    for split in SPLITS:
        expected += f"  - split: {split}\n    path: digits/{split}.parquet\n"
    assert expected in header(original)


@pytest.mark.parametrize("split", SPLITS)
def test_the_card_leaves_out_an_image_set_that_lacks_a_split(folder: Path, split: str) -> None:
    for name in ("manifest.json", "SHA256SUMS"):
        (folder / name).unlink()
    split_path("digits", split, folder).unlink()
    correct_path("digits", split, folder).unlink()
    finish_release(folder, "1.2.4")
    assert "configs" not in header(folder)
    assert "data_files" not in header(folder)
    assert verify_release(folder) == []
    assert split not in [s.split for s in read_manifest(folder).splits]


def test_the_card_counts_networks_and_explains_every_column(original: Path) -> None:
    text = (original / "README.md").read_text()
    networks = len({run.architecture_id for run in PLAN})
    assert f"Version 1.2.3: {len(PLAN)} training runs of {networks} networks on `digits`." in text
    for split in SPLITS:
        runs = [run for run in PLAN if run.split == split]
        distinct = len({run.architecture_id for run in runs})
        assert f"| digits | {split} | {distinct} | {len(runs)} |" in text
    for name, column in COLUMNS.items():
        assert f"| `{name}` | {column.unit} | {column.range} | {column.meaning} |" in text


def test_the_datasets_library_reads_every_split(original: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    found = datasets.load_dataset(str(original), "digits", cache_dir=str(tmp_path))
    assert list(found) == list(SPLITS)
    for split in SPLITS:
        table = read_table(split_path("digits", split, original))
        assert found[split].num_rows == len(table)
        assert found[split]["run_id"][:] == table.column("run_id").to_pylist()
        assert found[split][0]["valid_loss"] == table.column("valid_loss")[0].as_py()
        layer = found[split][0]["architecture"]["blocks"][0][0]
        assert layer == table.column("architecture")[0].as_py()["blocks"][0][0]


def test_commands_show_and_verify_a_release(original: Path, folder: Path) -> None:
    shown = CliRunner().invoke(data, ["info", "--folder", str(original), "--json"])
    assert [s["split"] for s in json.loads(shown.output)["splits"]] == list(SPLITS)
    good = CliRunner().invoke(data, ["verify", "--folder", str(original)])
    assert (good.exit_code, good.output) == (
        0,
        f"4 files of runs in {original}: valid; release 1.2.3 is not a published one\n",
    )
    (folder / "recipes.json").unlink()
    bad = CliRunner().invoke(data, ["verify", "--folder", str(folder)])
    assert bad.exit_code == 1
    assert bad.output == f"recipes.json is missing\nError: 1 problem in {str(folder)!r}\n"
