"""MetaQNN's networks as layer rows, their fixed splits, and scores on a few invented lines."""

import json
import os
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.stats import kendalltau

from harness.cli import evaluate
from harness.features.architecture import ULC_TYPES, architecture_features, ulc
from harness.features.signal_propagation import signal_features
from harness.predictors.registry import PREDICTORS
from harness.running.custom_splits import Trial, applicable, score_trials
from harness.running.find_predictor import find
from harness.studies.metaqnn import metaqnn_rows, metaqnn_trials, read_metaqnn, split_of
from tests.toys.runs import toy_runs

REAL = os.environ.get("PEEPHOLE_METAQNN")  # path of the published file, if available
NET = "[C(64,3,1), D(1,2), P(3,2), C(128,1,1), FC(256), D(2,2), GAP(10), SM(10)]"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a file of 60 networks whose accuracy grows with their width, without noise."""
    head = "net,training_dataset,num_params,depth,lr," + ",".join(f"acc_{e}" for e in range(1, 21))
    lines = [head]
    for i in range(60):
        curve = [f"{(0.3 + i / 100) * (1 - 0.5**e):.6f}" for e in range(1, 21)]
        lines.append(
            f'"[C({8 + i},3,1), P(2,2), GAP(10), SM(10)]",cifar10,1,3,0.1,' + ",".join(curve)
        )
    path = tmp_path / "metaqnn.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_layers_become_rows_with_kinds_of_their_own() -> None:
    """32x32x3: conv to 64, pool to 16x16, 1x1 to 128, dense to 256; GAP is a 1x1 and a mean."""
    rows = metaqnn_rows(NET)
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
def test_other_layers_are_refused(text: str) -> None:
    message = f"`net` (={text!r}) must be a list of C, P, D, FC, GAP and SM"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        metaqnn_rows(text)


def test_splits_are_fixed_disjoint_and_of_their_shares() -> None:
    texts = [f"[C({i},3,1)]" for i in range(4000)]
    for division in range(3):
        counts = Counter(split_of(text, division) for text in texts)
        for split, share in (("train", 0.7), ("validation", 0.05), ("test", 0.25)):
            assert counts[split] / 4000 == pytest.approx(share, abs=0.03)
    assert [split_of(NET, division) for division in range(3)] == ["test", "train", "test"]


def test_scores_are_the_mean_over_divisions(file: Path) -> None:
    (score,) = score_trials(find("last-value"), metaqnn_trials(file), 3, 1)
    runs, texts = read_metaqnn(file)
    curves, taus, errors = runs.series.valid_accuracy, [], []
    for division in range(3):
        chosen = [split_of(text, division) == "test" for text in texts]
        y, p = curves[chosen, -1], curves[chosen, 2]
        taus.append(kendalltau(p, y).statistic)
        errors.append(np.square(y - p).mean())
    assert score.tau == pytest.approx(np.mean(taus)) == 1.0
    assert score.mse == pytest.approx(np.mean(errors))
    assert (score.predictor, score.observed) == ("last-value", 3)


def test_a_predictor_that_reads_layers_learns_them(file: Path) -> None:
    (constant,) = score_trials(find("mean-curve"), metaqnn_trials(file), 0, 1)
    (counted,) = score_trials(find("parameters"), metaqnn_trials(file), 0, 1)
    assert constant.tau == 0.0
    assert counted.tau is not None
    assert counted.tau > 0.9


def test_all_leaves_out_what_needs_proxies_where_there_are_none(file: Path) -> None:
    trials = metaqnn_trials(file)
    assert all(trial.train.proxies is None for trial in trials)
    names = applicable(tuple(PREDICTORS), trials)
    assert set(PREDICTORS) - set(names) == {
        "grad-norm", "snip", "synflow", "jacov", "naswot", "proxy-forest",
    }  # fmt: skip
    runs = toy_runs(12)
    assert applicable(tuple(PREDICTORS), [Trial("toy", runs, runs, runs)]) == list(PREDICTORS)
    (score,) = score_trials(find("snip"), trials, 0, 1)  # named explicitly, it fails and says why
    assert score.tau is None
    assert len(score.failures) == 3
    why = r"^ValueError: there are no zero-cost proxies of these networks on 'cifar10'; .+$"
    assert re.match(why, score.failures[0])


def test_the_command_prints_a_line_for_each_number_of_epochs(file: Path) -> None:
    arguments = ["last-value", "--external", "metaqnn", str(file)]
    result = CliRunner().invoke(evaluate, arguments)
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    head = ["predictor", "trial", "observed", "fitted", "tested", "tau", "R2", "MSE"]
    assert lines[0] == head
    assert [line[:3] for line in lines[1:]] == [
        ["last-value", "metaqnn", str(k)] for k in (0, 1, 2, 3, 5)
    ]
    found = CliRunner().invoke(evaluate, [*arguments, "--json"]).stdout.splitlines()
    assert [json.loads(line)["observed"] for line in found] == [0, 1, 2, 3, 5]


def test_wrong_files_and_origins_are_named(file: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^unknown origin 'metaqn'; did you mean 'metaqnn'\?"):
        CliRunner().invoke(
            evaluate, ["gru", "--external", "metaqn", str(file)], catch_exceptions=False
        )
    path = tmp_path / "other.csv"
    path.write_text('net,acc_1\n"[C(8,3,1)]",0.5\n')
    with pytest.raises(
        ValueError, match=r"^.+other.csv: line 2 is not a MetaQNN network: 'acc_2'$"
    ):
        read_metaqnn(path)
    path.write_text("net\n")
    with pytest.raises(ValueError, match=r"^.+other.csv: the file holds no networks$"):
        read_metaqnn(path)


@pytest.mark.skipif(REAL is None, reason="needs MetaQNN's file, named by PEEPHOLE_METAQNN")
def test_the_published_file_gives_a_thousand_networks() -> None:
    runs, texts = read_metaqnn(Path(str(REAL)))
    assert len(runs) == len(texts) == 1000
    assert all(np.isfinite(architecture_features(rows)).all() for rows in runs.layer_rows)
