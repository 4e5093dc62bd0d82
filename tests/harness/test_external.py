"""External data: every rule of the format, its splits, and the two converters of the tutorial."""

import json
import os
import re
from collections import Counter
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from benchmark.space.imagesets import get_images
from benchmark.space.layer_walk import ROW_KINDS, LayerRow, walk
from benchmark.space.sampler import sequence
from benchmark.space.skeletons import SKELETONS
from docs.convert_metaqnn import convert as convert_metaqnn
from docs.convert_metaqnn import layers_of as metaqnn_layers
from docs.convert_table import convert as convert_table
from docs.convert_table import layers_of as table_layers
from harness.evaluate_cli import evaluate
from harness.features.architecture import ULC_TYPES, architecture_features, ulc
from harness.features.signal_propagation import signal_features
from harness.protocol import Series
from harness.studies.external import external_trials, read_external, split_of
from harness.studies.external_format import LayerFields, SeriesFields
from tests.toys.external import HEADER, metaqnn_rows, network, write_external

REAL = os.environ.get("PEEPHOLE_METAQNN")  # path of the published file, if available
NET = "[C(64,3,1), D(1,2), P(3,2), C(128,1,1), FC(256), D(2,2), GAP(10), SM(10)]"
CURVE = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]


def layered(*layers: dict[str, Any]) -> dict[str, Any]:
    return network(0, layers=list(layers))


def with_series(**series: object) -> dict[str, Any]:
    return network(0, series={"valid_accuracy": CURVE} | series)


CONV, LINEAR = {"kind": "conv", "out_channels": 8}, {"kind": "linear", "out_channels": 4}
KINDS = ", ".join(ROW_KINDS)
SERIES = ", ".join(f"series.{field.name}" for field in fields(SeriesFields))


def test_a_file_gives_rows_series_and_groups(tmp_path: Path) -> None:
    path = write_external(tmp_path / "toy.jsonl", network(0), network(1, group="g"))
    data = read_external(path)
    assert (data.name, data.groups, data.splits) == ("toy", ("n0", "g"), (None, None))
    assert data.runs.layer_rows[1] == (
        LayerRow("conv", 3, 3, 1, 1, 9, 16, 16, "block", 0, 0, (-1,)),
        LayerRow("max_pool", 2, 2, 2, 9, 9, 16, 8, "block", 0, 0, (0,)),
        LayerRow("linear", 8, 8, 1, 9, 4, 8, 1, "head", 0, 0, (1,)),
    )
    runs = data.runs
    assert (runs.ids, runs.classes, runs.recipe.epochs) == (("n0", "n1"), 4, 6)
    assert runs.images == "mnist"  # of 28x28, the nearest to 16x16
    assert runs.final_accuracy.tolist() == [0.295312, 0.305156]


@pytest.mark.parametrize("skeleton", SKELETONS)
def test_what_a_layer_does_not_say_follows_from_the_layers_before(
    skeleton: str, tmp_path: Path
) -> None:
    images = get_images("mnist")
    rows = walk(next(sequence(skeleton, images)).architecture, images)
    chosen = ("kind", "kernel_height", "kernel_width", "stride", "role", "stage", "block", "inputs")
    layers = [
        {name: getattr(row, name) for name in chosen}
        | ({"out_channels": row.out_channels} if row.kind in ("conv", "linear") else {})
        for row in rows
    ]
    header = HEADER | {"resolution": 28, "classes": 10}
    path = write_external(tmp_path / "own.jsonl", network(0, layers=layers), header=header)
    assert read_external(path).runs.layer_rows == (rows,)


def test_the_format_has_the_fields_of_layer_rows_and_series() -> None:
    for ours, theirs in ((LayerRow, LayerFields), (Series, SeriesFields)):
        assert {field.name for field in fields(ours)} == {field.name for field in fields(theirs)}


def test_what_is_given_of_the_observed_epochs_reaches_predictors_and_nothing_else(
    tmp_path: Path,
) -> None:
    rates = [0.1, 0.1, 0.01, 0.01, 0.001, None]
    given = with_series(learning_rate=rates, train_loss=[1.0, None, *[0.5] * 4])
    runs = read_external(write_external(tmp_path / "toy.jsonl", given, network(1))).runs
    assert runs.observe(0).series.learning_rate.shape == (2, 0)
    seen = runs.observe(3).series
    assert seen.learning_rate[0].tolist() == [0.1, 0.1, 0.01]
    assert np.isnan(seen.learning_rate[1]).all()  # unknown
    np.testing.assert_array_equal(seen.train_loss[0], [1.0, np.nan, 0.5])
    assert seen.train_accuracy[0].tolist() == [0.25] * 3  # unknown: at chance
    assert seen.train_loss_tenths.shape == (2, 3, 10)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ('{"id": "a", "id": "b"}', "field `id` must appear only once"),
        (network(0, id=7), "`id` (=7) must be text"),
        (network(0, id=""),
         "`id` (='') must be one non-empty line of at most 2000 printable characters"),
        (network(0, group="a\x1b[31m"),
         "`group` (='a\\x1b[31m') must be one non-empty line of at most 2000 printable characters"),
        (network(0, id="n9"), "`id` (='n9') must be different from that of line 2"),
        (network(0, colour=1), "unknown field 'colour'. Known: id, layers, series, group, split"),
        ({"id": "a", "series": {}}, "field `layers` is missing"),
        (network(0, split="dev"), "`split` (='dev') must be one of train, validation, test"),
        (network(0, split="test"), "`split` (='test') must be given on every line or on none"),
        (network(0, layers=[]), "`layers` (=[]) must be layers with a `conv` of the role 'block'"),
        (layered(LINEAR),
         "`layers` (=['linear']) must be layers with a `conv` of the role 'block'"),
        (layered(CONV), "`layers[0]` (='conv:8') must be linear:4, the classes"),
        (layered(CONV, LINEAR | {"out_channels": 5}),
         "`layers[1]` (='linear:5') must be linear:4, the classes"),
        (layered({"kind": "convv"}),
         f"`layers[0].kind`: unknown layer kind 'convv'; did you mean 'conv'? Known: {KINDS}"),
        (layered({"kind": "conv"}), "field `layers[0].out_channels` is missing"),
        (layered(CONV | {"stride": 0}), "`layers[0].stride` (=0) must be in 1..1000000"),
        (layered(CONV | {"kernel_width": 0}),
         "`layers[0].kernel_width` (=0) must be in 1..1000000"),
        (layered(CONV | {"in_channels": 3}),
         "`layers[0].in_channels` (=3) must be 1, as its inputs (-1,) have"),
        (layered(CONV, {"kind": "relu", "out_channels": 9}),
         "`layers[1].out_channels` (=9) must be 8, as its inputs (0,) have"),
        (layered(CONV | {"inputs": [0]}),
         "`layers[0].inputs` (=(0,)) must be from -1, the image, to -1, the layer before"),
        (layered(CONV, {"kind": "add"}),
         "`layers[1].inputs` (=(0,)) must be two or more layers"),
        (layered(CONV, {"kind": "add", "inputs": [0, -1]}),
         "`layers[1].inputs` (=(0, -1)) must be layers of equal channels and resolution, not "
         "[(1, 16), (8, 16)]"),
        (network(0, series={}), "field `series.valid_accuracy` is missing"),
        (with_series(valid_accuracy=CURVE[:5]),
         "`series.valid_accuracy` (=5 entries) must have 6 entries"),
        (with_series(valid_accuracy=[1.2, *CURVE[1:]]),
         "`series.valid_accuracy[0]` (=1.2) must be in [0, 1]"),
        (with_series(valid_accuracy=[None, *CURVE[1:]]),
         "`series.valid_accuracy[0]` (=None) must be a number"),
        (with_series(valid_accuracy=[0.5, float("nan"), *CURVE[2:]]),
         "`series.valid_accuracy[1]` (=nan) must be a finite number"),
        (with_series(valid_accuracy=[*CURVE[:5], 7]),
         "`series.valid_accuracy[5]` (=7.0) must be in [0, 1]"),
        (with_series(valid_accuracy=["0.5", *CURVE[1:]]),
         "`series.valid_accuracy[0]` (='0.5') must be a number"),
        (with_series(train_loss=[1e999, *CURVE[1:]]),
         "`series.train_loss[0]` (=inf) must be a finite number"),
        (with_series(train_loss=[10**400, *CURVE[1:]]),
         f"`series.train_loss[0]` (=1{'0' * 299}...) must be a finite number"),
        (layered(CONV | {"stage": 2**63}),
         "`layers[0].stage` (=9223372036854775808) must be in -1..1000000"),
        ("\n", "it is empty"),
        ("[" * 100_000, "its brackets must be nested less deeply"),
        ("[1]", "`file` (=[1]) must be an object"),
        (" " * 16_000_001, "must have at most 16,000,000 bytes"),
        (with_series(initial_valid_accuracy=-0.1),
         "`series.initial_valid_accuracy` (=-0.1) must be in [0, 1]"),
        (with_series(learning_rate=[0.1, -0.1, *[0.1] * 4]),
         "`series.learning_rate[1]` (=-0.1) must be at least 0"),
        (with_series(train_loss_tenths=[[1.0] * 10] * 5 + [[1.0]]),
         "`series.train_loss_tenths[5]` (=1 entry) must have 10 entries"),
        (with_series(valid_acc=CURVE),
         "unknown field 'series.valid_acc'; did you mean 'series.valid_accuracy'? Known: "
         f"{SERIES}"),
    ],
)  # fmt: skip
def test_a_wrong_line_is_named_with_its_field_value_and_rule(
    line: object, message: str, tmp_path: Path
) -> None:
    path = write_external(tmp_path / "toy.jsonl", network(9))
    with path.open("a") as file:
        file.write(line if isinstance(line, str) else json.dumps(line))
    with pytest.raises(ValueError, match=f"^{re.escape(f'{path}: line 3: {message}')}$"):
        read_external(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "mine"}, "`format` (='mine') must be one of peephole-networks"),
        ({"version": 2}, "`version` (=2) must be 1"),
        ({"name": "Mine!"}, "`name` (='Mine!') must be 1 to 22 of a-z, 0-9 and '-'"),
        ({"classes": 1}, "`classes` (=1) must be in 2..1000000"),
        ({"epochs": 0}, "`epochs` (=0) must be in 1..1000"),
        ({"epochs": 1_001}, "`epochs` (=1001) must be in 1..1000"),
        (
            {"images": "\x1b[31m"},
            r"`images` (='\x1b[31m') must be one non-empty line of at most "
            "200 printable characters",
        ),
        ({"resolution": "16"}, "`resolution` (='16') must be a whole number"),
    ],
)
def test_a_wrong_header_is_named(change: dict[str, object], message: str, tmp_path: Path) -> None:
    path = write_external(tmp_path / "toy.jsonl", header=HEADER | change)
    with pytest.raises(ValueError, match=f"^{re.escape(f'{path}: line 1: {message}')}$"):
        read_external(path)


def test_a_file_without_networks_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "toy.jsonl"
    path.write_text(json.dumps(HEADER))
    with pytest.raises(ValueError, match=r"toy.jsonl: a network must follow the header$"):
        read_external(path)


def test_given_splits_are_one_division_and_never_divide_a_group(tmp_path: Path) -> None:
    splits = ["train", "train", "validation", "test"]
    lines = [network(i, split=split) for i, split in enumerate(splits)]
    path = write_external(tmp_path / "toy.jsonl", *lines)
    (trial,) = external_trials(path)
    assert [r.ids for r in (trial.train, trial.validation, trial.test)] == [
        ("n0", "n1"), ("n2",), ("n3",),
    ]  # fmt: skip
    write_external(path, *(line | {"group": "g"} for line in lines))
    why = "line 4: `split` (='validation') must be 'train', that of the group 'g' so far"
    with pytest.raises(ValueError, match=f"^.+{re.escape(why)}$"):
        external_trials(path)
    write_external(path, *lines[:2], lines[3])
    why = (
        "toy.jsonl: division 0 has no network in 'validation'; each split must have one: give more "
        "networks, or every network a `split`"
    )
    with pytest.raises(ValueError, match=f"^.+{re.escape(why)}$"):
        external_trials(path)


def test_a_hash_divides_groups_three_times(tmp_path: Path) -> None:
    lines = [network(i % 60, id=f"n{i}", group=f"g{i // 2}") for i in range(300)]
    trials = external_trials(write_external(tmp_path / "toy.jsonl", *lines))
    assert [trial.division for trial in trials] == [0, 1, 2]
    for trial in trials:
        splits = (trial.train, trial.validation, trial.test)
        parts = [{int(name[1:]) // 2 for name in runs.ids} for runs in splits]
        assert sum(map(len, parts)) == len(set.union(*parts)) == 150
        assert trial.groups == tuple(f"g{int(name[1:]) // 2}" for name in trial.test.ids)


def test_hashed_splits_are_fixed_and_of_their_shares() -> None:
    texts = [f"[C({i},3,1)]" for i in range(4000)]
    for division in range(3):
        counts: Counter[str] = Counter(split_of("metaqnn", text, division) for text in texts)
        for split, share in (("train", 0.7), ("validation", 0.05), ("test", 0.25)):
            assert counts[split] / 4000 == pytest.approx(share, abs=0.03)
    assert [split_of("metaqnn", NET, d) for d in range(3)] == ["test", "train", "test"]


def test_the_layers_of_metaqnn_become_rows(tmp_path: Path) -> None:
    """32x32x3: conv to 64, pool to 16x16, 1x1 to 128, dense to 256; GAP is a 1x1 and a mean."""
    rows = metaqnn_rows(NET, tmp_path)
    assert [row.kind for row in rows] == [
        "conv", "dropout", "max_pool", "conv", "dense", "dropout", "conv", "global_pool", "linear",
    ]  # fmt: skip
    assert [row.out_channels for row in rows] == [64, 64, 64, 128, 256, 256, 10, 10, 10]
    assert [row.in_resolution for row in rows] == [32, 32, 32, 16, 16, 1, 1, 1, 1]
    assert rows[0].parameters == 3 * 3 * 3 * 64 + 64
    assert rows[4].parameters == 16 * 16 * 128 * 256 + 256
    assert rows[4].macs == 16 * 16 * 128 * 256
    assert [row.inputs for row in rows] == [(i - 1,) for i in range(9)]
    kinds = [ULC_TYPES[row.kind] for row in rows if row.kind != "linear"]
    assert ulc(rows)[:, 0].tolist() == kinds
    assert np.isfinite(architecture_features(rows)).all()
    assert np.isfinite(signal_features(rows)).all()


@pytest.mark.parametrize("text", ["", "[]", "[C(64,3,1), X(2)]", "[Q(1)]"])
def test_other_layers_of_metaqnn_are_refused(text: str) -> None:
    message = f"`net` (={text!r}) must be a list of C, P, D, FC, GAP and SM"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        metaqnn_layers(text)


def test_the_converted_csv_of_metaqnn_keeps_its_splits_and_curves(tmp_path: Path) -> None:
    """The hash is that of the published scores: SHA-256 of `metaqnn-v1:division:text`."""
    source, target = tmp_path / "metaqnn.csv", tmp_path / "metaqnn.jsonl"
    texts = [f"[C({8 + i},3,1), P(2,2), GAP(10), SM(10)]" for i in range(40)]
    curves = [[round(0.3 + i / 100 + e / 1000, 6) for e in range(20)] for i in range(40)]
    head = "net,training_dataset,lr," + ",".join(f"acc_{epoch}" for epoch in range(1, 21))
    rows = [
        f'"{text}",cifar10,0.1,' + ",".join(map(str, curve))
        for text, curve in zip(texts, curves, strict=True)
    ]
    source.write_text("\n".join([head, *rows]) + "\n")
    convert_metaqnn(source, target)
    data = read_external(target)
    assert data.groups == tuple(texts)
    assert data.runs.series.valid_accuracy.tolist() == curves
    assert data.runs.images == "cifar10"
    assert np.isnan(data.runs.series.learning_rate).all()  # restarts chose it: an outcome
    for trial in external_trials(target):
        chosen = [split_of("metaqnn", text, trial.division) == "test" for text in texts]
        assert trial.groups == tuple(np.array(texts)[chosen])
    source.write_text('net,acc_1\n"[C(8,3,1)]",0.5\n')
    with pytest.raises(ValueError, match=r"metaqnn.csv: line 2 is not a MetaQNN network: 'acc_2'$"):
        convert_metaqnn(source, target)


@pytest.mark.skipif(REAL is None, reason="needs MetaQNN's file, named by PEEPHOLE_METAQNN")
def test_the_published_file_gives_a_thousand_networks(tmp_path: Path) -> None:
    convert_metaqnn(Path(str(REAL)), tmp_path / "metaqnn.jsonl")
    sizes = [(len(t.train), len(t.test)) for t in external_trials(tmp_path / "metaqnn.jsonl")]
    assert sizes == [(718, 228), (711, 246), (698, 253)]
    rows = read_external(tmp_path / "metaqnn.jsonl").runs.layer_rows
    assert all(np.isfinite(architecture_features(layers)).all() for layers in rows)


def test_a_table_of_words_is_converted(tmp_path: Path) -> None:
    source, target = tmp_path / "table.csv", tmp_path / "toy.jsonl"
    words = "conv3x3:8/2 max_pool2x2/2 dense:16 linear:4"
    source.write_text(
        f"id,layers,split,valid_accuracy_1,valid_accuracy_2\na,{words},train,0.5,0.75\n"
    )
    sizes = {"resolution": 16, "channels": 1, "classes": 4}
    convert_table(source, target, {"name": "toy", "images": "drawings", **sizes})
    data = read_external(target)
    assert data.splits == ("train",)
    (rows,) = data.runs.layer_rows
    assert [(row.kind, row.out_channels, row.out_resolution) for row in rows] == [
        ("conv", 8, 8), ("max_pool", 8, 4), ("dense", 16, 1), ("linear", 4, 1),
    ]  # fmt: skip
    assert data.runs.series.valid_accuracy.tolist() == [[0.5, 0.75]]
    why = "layer 'conv3' must be like conv3x3:64/2: kind, kernel:channels/stride"
    with pytest.raises(ValueError, match=f"^{re.escape(why)}$"):
        table_layers("conv3")
    source.write_text("id,valid_accuracy_1\na,0.5\n")
    with pytest.raises(ValueError, match=r"table.csv: there is no column 'layers'$"):
        convert_table(source, target, {})


def test_the_command_prints_a_line_for_each_number_of_epochs(tmp_path: Path) -> None:
    path = write_external(tmp_path / "toy.jsonl")
    arguments = ["last-value", "--external", str(path)]
    result = CliRunner().invoke(evaluate, arguments)
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == [
        "predictor", "trial", "observed", "fitted", "tested", "tau", "(95", "%)", "R2", "MSE",
    ]  # fmt: skip
    assert [line[:3] for line in lines[1:]] == [
        ["last-value", "toy", str(k)] for k in (0, 1, 2, 3, 5)
    ]
    found = CliRunner().invoke(evaluate, [*arguments, "--json"]).stdout.splitlines()
    assert [json.loads(line)["observed"] for line in found] == [0, 1, 2, 3, 5]
    assert json.loads(found[1])["scores"]["tau"] == {"value": 1.0, "low": 1.0, "high": 1.0}
