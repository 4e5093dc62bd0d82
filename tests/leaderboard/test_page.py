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

from harness.metrics.registry import METRICS
from harness.results.predictions import matrix
from harness.results.result import read_result, result_path
from leaderboard.board import Board, TaskNetworks
from leaderboard.board import read_board as read
from leaderboard.page.packing import Bytes, pack_curves, pack_exact
from leaderboard.page.page import SCRIPTS, index, layers_text, page_data, render
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


def unpacked(board: Board, all_networks: dict[str, TaskNetworks]) -> tuple[Any, bytes]:
    """Return the data of digits as a browser reads it."""
    text = next(t for _, name, t in parsed(board, all_networks).texts if name == "data-digits")
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
        ("script", "data-digits"),
        ("script", None),
    ]
    record, content = unpacked(board, all_networks)
    expected = page_data(board, all_networks, "digits")
    assert (record, content) == (json.loads(json.dumps(expected[0])), expected[1])
    assert "Broken </script> | <b>" in [row["title"] for row in record["tasks"][0]["rows"]]


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


def test_scores_on_the_page_are_those_of_the_file(
    board_results: Path, all_networks: dict[str, TaskNetworks]
) -> None:
    record, _ = unpacked(read(board_results), all_networks)
    order = list(METRICS)
    for shown in record["tasks"][1]["rows"]:
        result = read_result(result_path(board_results, "digits-k1-v1", shown["predictor"]))
        assert set(shown["scores"]) == set(result.scores)
        for stratum, metrics in result.scores.items():
            for name, score in metrics.items():
                packed = shown["scores"][stratum][order.index(name)]
                expected = [score.value, score.low, score.high]
                decimals = METRICS[name].decimals
                found = [None if v is None else v / 10**decimals for v in packed]
                written = [None if v is None else round(v, decimals) for v in expected]
                assert found + [None] * (3 - len(found)) == written


def test_predictions_on_the_page_are_those_of_the_file(
    board_results: Path, all_networks: dict[str, TaskNetworks]
) -> None:
    board = read(board_results)
    record, content = unpacked(board, all_networks)
    row, shown = board.tasks[1].rows[0], record["tasks"][1]["rows"][0]
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
    assert [task["set"] for task in record["tasks"]] == [0, 0]
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
