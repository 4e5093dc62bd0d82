"""The page as a file: its content, how data is packed, and what it may load."""

import base64
import gzip
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import leaderboard.page.networks_part
import leaderboard.page.page
import leaderboard.page.task_part
from harness.metrics.registry import HEADLINE, METRICS
from harness.predictors.registry import PREDICTORS
from harness.results.predictions import matrix
from harness.results.result import SCORED_METRICS
from harness.results.store import read_result, result_path
from leaderboard.board import Board
from leaderboard.board import read_board as read
from leaderboard.folders import RESULTS
from leaderboard.networks import TaskNetworks
from leaderboard.page.networks_part import layers_text
from leaderboard.page.packing import Bytes, pack_curves, pack_exact, pack_integers
from leaderboard.page.page import SCRIPTS, index, parts, render
from leaderboard.page.predictor_sources import sources_of
from tests.toys.large_boards import large_board
from tests.toys.results import EPOCHS, toy_networks


class Elements(HTMLParser):
    """Collects the scripts, styles, security policy and addresses of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[tuple[str, str | None, str]] = []
        self.addresses: list[str] = []
        self.policy = ""
        self.inside: tuple[str, str | None] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self.inside = (tag, known.get("id")) if tag in ("script", "style") else None
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if known.get("http-equiv") == "Content-Security-Policy":
            self.policy = known["content"] or ""

    def handle_endtag(self, tag: str) -> None:
        self.inside = None

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.texts.append((*self.inside, data))


def parsed(board: Board, all_networks: dict[str, TaskNetworks]) -> Elements:
    page = Elements()
    page.feed(render(board, all_networks))
    return page


def unpacked(
    board: Board, all_networks: dict[str, TaskNetworks], part: str = "images-digits"
) -> tuple[Any, bytes]:
    """Return a part of the data as a browser reads it."""
    text = next(t for _, name, t in parsed(board, all_networks).texts if name == part)
    packed = gzip.decompress(base64.b64decode(text))
    length = int.from_bytes(packed[:4], "little")
    return json.loads(packed[4 : 4 + length]), packed[4 + length :]


def test_the_page_holds_its_data_whatever_a_title_says(
    board_results: Path, all_networks: dict[str, TaskNetworks]
) -> None:
    board = read(board_results)
    tags = [(tag, name) for tag, name, _ in parsed(board, all_networks).texts]
    # The title with </script> has not ended a script
    assert tags == [
        ("style", None),
        ("script", "index"),
        ("script", "task-0"),
        ("script", "task-1"),
        ("script", "images-digits"),
        ("script", None),
    ]
    for name, expected in parts(board, all_networks).items():
        record, content = unpacked(board, all_networks, name)
        assert (record, content) == (json.loads(json.dumps(expected[0])), expected[1])
    record, _ = unpacked(board, all_networks, "task-0")
    assert "Broken </script> | <b>" in [row["title"] for row in record["rows"]]


def test_the_page_needs_no_network(
    board_results: Path, all_networks: dict[str, TaskNetworks]
) -> None:
    page = render(read(board_results), all_networks)
    assert parsed(read(board_results), all_networks).addresses == ["data:,"]
    assert set(re.findall(r"https?://[^\"' ]+", page)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|import\(|innerHTML", page)


def test_the_policy_allows_this_style_and_this_script_only(
    board_results: Path, all_networks: dict[str, TaskNetworks]
) -> None:
    page = parsed(read(board_results), all_networks)
    rules = dict(rule.strip().split(" ", 1) for rule in page.policy.split(";"))
    assert rules["default-src"] == "'none'"
    for tag, kind in (("style", "style-src"), ("script", "script-src")):
        text = next(t for found, name, t in page.texts if found == tag and name is None)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[kind] == f"'sha256-{digest}'"


def test_every_source_of_the_page_is_in_it(
    board_results: Path, all_networks: dict[str, TaskNetworks]
) -> None:
    page = render(read(board_results), all_networks)
    sources = {
        p.name: p.read_text()
        for p in resources.files("leaderboard").joinpath("page", "web").iterdir()
    }
    assert set(sources) == {"page.html", "page.css", *SCRIPTS}
    assert all(text in page for name, text in sources.items() if name != "page.html")
    assert "{{" not in page


def integers(content: bytes, size: int) -> np.ndarray:
    """Return the numbers of `pack_integers`, NaN where unknown."""
    known = np.frombuffer(content, np.uint8, size).astype(bool)
    signed = np.frombuffer(content, np.uint8, -1, size).reshape(4, -1).T.copy().view("<u4")[:, 0]
    steps = (signed >> 1).astype(np.int64) ^ -(signed & 1).astype(np.int64)
    values = np.full(size, np.nan)
    values[known] = steps.cumsum()
    return values


def test_scores_on_the_page_are_those_of_the_file(
    board_results: Path, all_networks: dict[str, TaskNetworks]
) -> None:
    board = read(board_results)
    record, content = unpacked(board, all_networks, "task-1")
    shape = (3, len(record["strata"]), len(METRICS), 4, len(record["rows"]))
    shown = integers(content, int(np.prod(shape))).reshape(shape)
    assert list(json.loads(index(board))["targets"]) == list(SCORED_METRICS)
    expected = np.full(shape, np.nan)
    for place, row in enumerate(record["rows"]):
        result = read_result(result_path(board_results, "digits-k1-v1", row["predictor"]))
        for target, field in enumerate(SCORED_METRICS):
            for stratum, metrics in getattr(result, field).items():
                for name, score in metrics.items():
                    at = record["strata"].index(stratum), list(METRICS).index(name)
                    numbers = np.array([score.value, score.low, score.high, np.nan], float)
                    expected[target, *at, :, place] = numbers * 10 ** METRICS[name].decimals
    assert np.allclose(shown, expected, 0, 0.5 + 1e-6, equal_nan=True)


def test_integers_are_packed_with_gaps_and_signs() -> None:
    values = np.array([np.nan, -5, 70_000, np.nan, 0, -(2.0**29), np.nan])
    assert np.array_equal(integers(pack_integers(values), len(values)), values, equal_nan=True)
    assert integers(pack_integers(np.array([1e12])), 1) == 2**29


def test_predictions_on_the_page_are_those_of_the_file(
    board_results: Path, all_networks: dict[str, TaskNetworks]
) -> None:
    board = read(board_results)
    record, content = unpacked(board, all_networks)
    row = board.tasks[1].rows[0]
    shown = record["tasks"]["digits-k1-v1"]["predictions"][row.result.predictor]
    expected = matrix(row.predictions, "mean", toy_networks().targets.run_ids)
    networks, epochs = expected.shape
    assert shown["epochs"] == list(range(2, EPOCHS + 1))
    finals = np.frombuffer(content, "<u2", networks, shown["finals"]) / 10_000
    assert np.abs(finals - expected[:, -1]).max() <= 0.5e-4 + 1e-12
    steps = np.frombuffer(content, np.uint8, networks * epochs, shown["curves"])
    curves = steps.reshape(epochs, networks).cumsum(axis=0) % 256 / 200
    assert np.abs(curves[::-1].T - expected).max() <= 0.5 / 200 + 1e-12


def test_true_curves_of_an_image_set_are_stored_once(
    board_results: Path, all_networks: dict[str, TaskNetworks]
) -> None:
    record, content = unpacked(read(board_results), all_networks)
    assert [task["set"] for task in record["tasks"].values()] == [0, 0]
    [networks] = record["sets"]
    curves = toy_networks().targets.curves
    packed = np.frombuffer(content, "<u2", curves.size, networks["curves"]) / 10_000
    assert np.array_equal(packed, curves.ravel())


def test_predictions_that_do_not_depend_on_the_curve_are_stored_once() -> None:
    curves = np.random.default_rng(0).random((50, 20))
    content = Bytes()
    start = content.add(pack_curves(curves))
    size = len(content.content)
    assert content.add(pack_curves(curves[:, 5:])) == start
    assert content.add(pack_exact(curves[:, -1])) == size
    assert content.add(pack_exact(curves[:, -1])) == size
    assert len(content.content) == size + 2 * 50


def test_a_task_without_networks_is_refused(
    board_results: Path, all_networks: dict[str, TaskNetworks]
) -> None:
    del all_networks["digits-k1-v1"]
    with pytest.raises(ValueError, match=r"^the networks of task 'digits-k1-v1' are missing$"):
        render(read(board_results), all_networks)


def test_the_text_of_a_network_names_every_layer_in_order() -> None:
    rows = toy_networks().layer_rows[0]
    text = layers_text(rows)
    groups = text.split(";")
    assert groups[0] == "stem=conv3x3:8 bn relu"
    assert groups[-1] == "head=mean linear:10"
    assert "transition=max2x2/2" in groups
    assert sum(len(group.split("=")[1].split()) for group in groups) == len(rows)


def test_the_same_results_give_the_same_page(
    board_results: Path, all_networks: dict[str, TaskNetworks]
) -> None:
    assert render(read(board_results), all_networks) == render(read(board_results), all_networks)


def test_placeholders_in_results_are_not_replaced(
    board_results: Path, all_networks: dict[str, TaskNetworks]
) -> None:
    board = read(board_results)
    board = replace(board, tasks=(replace(board.tasks[0], name="{{script}}"), *board.tasks[1:]))
    page = render(board, {**all_networks, "{{script}}": toy_networks()})
    assert page.count('"name":"{{script}}"') == 1


def test_the_index_has_the_name_and_groups_of_every_metric(
    board_results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mae = replace(METRICS["mse"], name="mae", label="MAE", groups=("final", "learned"))
    monkeypatch.setitem(METRICS, "mae", mae)
    record = json.loads(index(read(board_results)))
    assert list(record["metrics"]) == list(METRICS)
    assert record["metrics"]["mae"] == {
        "label": "MAE", "direction": "lower", "target": None, "decimals": 5,
    }  # fmt: skip
    assert record["metrics"]["coverage_90"]["target"] == 0.9
    assert record["columns"]["final"] == ["final accuracy", ["tau", "r2", "mse", "mae"]]
    learned = ["tau/learned", "r2/learned", "mse/learned", "auc_learned", "mae"]
    assert record["columns"]["learned"] == ["networks that learned", learned]
    assert record["charted"][:3] == ["tau", "r2", "mse"]
    assert record["charted"][-1] == "mae"


@pytest.mark.slow
@pytest.mark.skipif(
    not list(RESULTS.glob("*/*.parquet")), reason="the wheel does not hold the predictions"
)
def test_a_page_of_300_predictors_on_15_tasks_is_below_5_megabytes() -> None:
    board, all_networks = large_board(300)
    assert sum(len(task.rows) for task in board.tasks) == 4500
    assert len(render(board, all_networks).encode()) < 5_000_000


def test_a_large_board_keeps_all_scores_of_the_best_only(
    board_results: Path, all_networks: dict[str, TaskNetworks], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaderboard.page.task_part, "DETAILED", 2)
    monkeypatch.setattr(leaderboard.page.networks_part, "PREDICTIONS", 2)
    board = read(board_results)
    record, content = unpacked(board, all_networks, "task-0")
    shape = (3, len(record["strata"]), len(METRICS), 4, len(record["rows"]))
    shown = integers(content, int(np.prod(shape))).reshape(shape)[:, :, :, 0]
    known = np.isfinite(shown).sum(axis=(0, 1, 2))
    assert record["detailed"] == 1
    assert known[0] > known[1] == 2 * (2 * len(HEADLINE) + 1)  # of the loss, tau alone
    images, _ = unpacked(board, all_networks)
    assert list(images["tasks"]["digits-k0-v1"]["predictions"]) == ["good"]


def test_authors_link_and_code_come_from_the_submission_or_the_registry(tmp_path: Path) -> None:
    text = "name: mine\ntitle: Mine\nauthors: Ann\nkind: code\ntasks: [digits-k0-v3]\n"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.py").touch()
    (tmp_path / "mine" / "submission.yaml").write_text(
        f"{text}predictor: a.py:Mine\nurl: https://example.org/a\ndate: 2026-01-31\n"
    )
    assert sources_of("mine", tmp_path) == {
        "authors": "Ann",
        "code": "leaderboard/submissions/mine/a.py",
        "link": "https://example.org/a",
        "date": "2026-01-31",
    }
    assert sources_of("gru", None)["code"] == "harness/predictors/encoders/gru.py"
    assert sources_of("nobody", tmp_path) == sources_of("mine", None) == {}


def test_the_code_of_every_reference_predictor_is_where_the_page_says() -> None:
    root = Path(str(leaderboard.page.page.__file__)).parents[2]
    assert all((root / sources_of(name, None)["code"]).is_file() for name in PREDICTORS)
