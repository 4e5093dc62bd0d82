"""The page in a browser: sorting, filtering, links that restore a view, and one network."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from benchmark.space.layer_walk import layer_word
from tests.toys.pages import HOSTILE
from tests.toys.results import toy_networks

Visit = Callable[..., Page]
K0, K1 = "#task=digits-k0-v1", "#task=digits-k1-v1"
RANKED = ["good", "rescored-one", "bad", "constant", "broken", "hostile"]
METRIC = "#h-compare ~ .controls select.metric"


def names(page: Page) -> list[str]:
    """Return the predictors of the table, from top to bottom."""
    return page.locator("#board tbody button.pick").all_text_contents()


def values(page: Page, column: str) -> list[float]:
    """Return the numbers of a column, from top to bottom, without failed predictors."""
    headings = page.locator("#board thead tr:last-child th").all()
    index = [h.get_attribute("data-column") for h in headings].index(column)
    cells = page.locator("#board tbody tr:not(.ceiling):not(.failed)")
    texts = [row.locator("> *").nth(index).inner_text() for row in cells.all()]
    return [float(text.split("\n")[0].replace("\u2212", "-")) for text in texts]


def heading(page: Page, name: str) -> str | None:
    """Click a heading and return how its column is sorted afterwards."""
    page.get_by_role("button", name=name, exact=True).click()
    button = page.get_by_role("button", name=name, exact=True)
    return button.locator("xpath=..").get_attribute("aria-sort")


def test_rows_are_sorted_by_rank_at_first(visit: Visit) -> None:
    page = visit(K0)
    assert names(page) == RANKED
    assert page.locator("th[aria-sort]").inner_text() == "rank"
    assert page.locator("#board tr.chosen button.pick").inner_text() == "good"


def test_a_heading_sorts_the_best_first_then_last(visit: Visit) -> None:
    page = visit(K0)
    assert heading(page, "sort by MSE, held out") == "ascending"
    found = values(page, "mse heldout")
    assert found == sorted(found)
    assert len(set(found)) == 4
    assert heading(page, "sort by MSE, held out") == "descending"
    assert values(page, "mse heldout") == found[::-1]
    assert heading(page, "sort by Kendall’s τ, test") == "descending"  # noqa: RUF001
    assert names(page)[:4] == RANKED[:4]


@pytest.mark.parametrize(
    ("name", "order"),
    [
        ("sort by name", ["bad", "constant", "good", "rescored-one", "broken", "hostile"]),
        ("sort by rank", ["constant", "bad", "rescored-one", "good", "broken", "hostile"]),
    ],
)
def test_failed_predictors_stay_last(visit: Visit, name: str, order: list[str]) -> None:
    page = visit(K0)
    heading(page, name)
    assert names(page) == order


def test_words_are_found_in_names_and_descriptions(visit: Visit) -> None:
    page = visit(K0)
    open_filters(page)
    page.get_by_label("Find").fill("BOLD src")
    assert names(page) == ["bad", "hostile"]
    assert (
        page.locator("#count").inner_text() == "2 of 6 predictors; ranks are among all predictors."
    )
    page.get_by_label("Find").fill("nobody")
    assert names(page) == []
    page.get_by_role("button", name="Clear filters").click()
    assert names(page) == RANKED
    expect(page.get_by_label("Find")).to_be_focused()


@pytest.mark.parametrize(
    ("label", "option", "expected"),
    [
        ("Checked", "rescored", ["rescored-one"]),
        ("Checked", "rerun", []),
        ("Depends on", "architecture and curve", ["good", "rescored-one"]),
        ("Depends on", "architecture", ["bad"]),
        ("Depends on", "not known", ["constant", "broken", "hostile"]),
    ],
)
def test_rows_are_filtered(visit: Visit, label: str, option: str, expected: list[str]) -> None:
    page = visit(K0)
    open_filters(page)
    page.get_by_role("combobox", name=label).select_option(option)
    assert names(page) == expected


def test_filters_hold_for_the_charts(visit: Visit) -> None:
    page = visit(K0)
    expect(page.locator("#transfer text", has_text="rescored-one")).to_have_count(1)
    open_filters(page)
    page.get_by_label("Find").fill("bad")
    expect(page.locator("#transfer text", has_text="rescored-one")).to_have_count(0)
    expect(page.locator("#transfer text", has_text="good")).to_have_count(1)  # highlighted


def pick(page: Page, label: str, task: str) -> None:
    """Choose an image set or a number of epochs, and wait until the data is unpacked."""
    page.get_by_label(label, exact=True).check(force=True)
    expect(page.locator("#about")).to_contain_text(f"{task}: ")


def open_filters(page: Page) -> None:
    page.locator("summary").click()


def change_everything(page: Page) -> None:
    pick(page, "digits", "digits-k0-v1")
    pick(page, "1", "digits-k1-v1")
    open_filters(page)
    page.get_by_role("combobox", name="Checked").select_option("self-reported")
    page.get_by_role("combobox", name="Columns").select_option("heldout")
    page.locator(METRIC).select_option("r2")
    page.get_by_role("combobox", name="Scored against").select_option("scores_test_accuracy")
    heading(page, "sort by R², deep-3x3")
    heading(page, "sort by R², deep-3x3")
    page.get_by_label("Find").fill("d")
    page.get_by_role("button", name="bad", exact=True).click()
    page.locator("#stratum").get_by_label("held out").check(force=True)
    page.locator("#part").select_option("wide-3x1")
    page.locator("#walk").press("End")


def test_a_link_restores_the_view(visit: Visit) -> None:
    page = visit()
    change_everything(page)
    page.locator("main[aria-busy=false]").wait_for()
    link = page.url.partition("#")[2]
    assert [part.split("=")[0] for part in link.split("&")] == [
        "task", "predictor", "find", "checked", "columns", "metric", "against", "sort",
        "reversed", "stratum", "part", "network",
    ]  # fmt: skip
    again = visit(f"#{link}")
    assert again.inner_html("main") == page.inner_html("main")
    assert again.inner_html("main") != visit().inner_html("main")
    assert again.locator("#notice").is_hidden()


def test_the_back_button_takes_steps_back(visit: Visit) -> None:
    page = visit(K0)
    start = page.inner_html("main")
    heading(page, "sort by name")
    page.get_by_role("button", name="bad", exact=True).click()
    page.get_by_role("button", name="bad", exact=True).click()  # no step
    expect(page.locator("#board tr.chosen button.pick")).to_have_text("bad")
    page.go_back()
    expect(page.locator("#board tr.chosen button.pick")).to_have_text("good")
    assert names(page)[0] == "bad"
    page.go_back()
    expect(page.locator("th[aria-sort]")).to_have_text("rank")
    page.locator("h1").click()  # what had the focus keeps it
    assert page.inner_html("main") == start
    page.go_forward()
    expect(page.locator("th[aria-sort]")).to_have_text("predictor")


def test_a_link_with_unknown_values_shows_a_notice(visit: Visit) -> None:
    page = visit(
        "#task=digits-k0-v9&predictor=nobody&sort=x&network=1&part=y&columns=z&metric=toString"
    )
    text = page.locator("#notice").inner_text()
    for name, value in [("task", "digits-k0-v9"), ("predictor", "nobody"), ("metric", "toString")]:
        assert f"no {name} “{value}”" in text
    assert text.endswith("; the default is shown instead.")
    assert names(page) == ["good", "bad"]  # the first task


def test_links_bring_no_markup(visit: Visit) -> None:
    page = visit(f"#task={HOSTILE}&predictor={HOSTILE}&find={HOSTILE}".replace(" ", "%20"))
    assert page.locator("main img, main b, header img, header b").count() == 0
    assert page.title().startswith("peephole-bench: ")


def test_hostile_results_stay_text(visit: Visit) -> None:
    page = visit(K0 + "&predictor=hostile")
    assert page.locator("main img, main b, main i, main script").count() == 0
    assert page.title() == "peephole-bench: digits, before training"
    assert page.locator("#facts p").first.inner_text() == f"hostile {HOSTILE}"
    assert page.locator("tr.failed", has_text="document.title='broken'</script>").count() == 1
    assert page.locator("#scatter").inner_text() == (
        "This predictor failed on this task: it has no predictions."
    )


def test_every_image_set_and_epoch_can_be_picked(visit: Visit) -> None:
    page = visit()
    assert page.locator("#about").inner_text().startswith("cifar10-k0-v1: 24 test and 12 held-out")
    assert page.get_by_label("1", exact=True).is_disabled()
    pick(page, "digits", "digits-k0-v1")
    pick(page, "1", "digits-k1-v1")
    assert page.locator("#about").inner_text().endswith("networks, predicted after 1 epoch.")


def test_each_held_out_skeleton_has_a_column(visit: Visit) -> None:
    page = visit(K0)
    page.get_by_role("combobox", name="Columns").select_option("heldout")
    heads = page.locator("#board thead tr:last-child th button").all_inner_texts()
    assert heads[2:5] == ["held out", "extrapolates", "deep-3x3"]
    assert values(page, "tau skeleton/deep-3x3") == values(page, "tau heldout")


def test_a_sentence_says_first_who_is_best(visit: Visit) -> None:
    page = visit(K0)
    tau = page.locator("#board tr.chosen td").nth(1).inner_text().split()[0]
    text = page.locator("#headline").inner_text()
    assert text.startswith(f"good predicts best: {tau} of a ceiling of 0.850 (Kendall")
    assert " on test, before training). It is not significantly better than resc" in text
    assert "of a ceiling" not in visit(K1).locator("#headline").inner_text()


def test_every_predictor_is_named_beside_its_point_or_below_the_chart(visit: Visit) -> None:
    for width in (375, 1280):
        page = visit(f"{K0}&predictor=bad", width=width)
        for chart in ("#transfer", "#cost"):
            named = page.locator(f"{chart} text.start").all_text_contents()
            below = " ".join(page.locator(f"{chart} .key").all_inner_texts())
            assert "bad" in named
            assert all(name in named or name in below for name in RANKED[:4])


def test_names_without_room_are_returned(visit: Visit) -> None:
    drawn, left = visit(K0).evaluate("""() => {
      const point = (_, i) => ({ x: 150, y: 150 + i / 9, text: `p${i}` });
      const points = Array.from({ length: 90 }, point);
      const svg = make("svg", {});
      const left = placeLabels(svg, points, { left: 46, right: 300, bottom: 300 });
      return [[...svg.querySelectorAll("text")].map(t => t.textContent), left.map(p => p.text)];
    }""")
    assert drawn[0] == "p0"
    assert left
    assert sorted(drawn + left) == sorted(f"p{i}" for i in range(90))


def test_lines_are_not_moved_sideways(visit: Visit) -> None:
    page = visit(K0)
    lines = [line.get_attribute("d") or "" for line in page.locator("#lines .line").all()]
    assert len(lines) > 1
    assert len({line.split()[0] for line in lines}) == 1  # the first epoch is at one place


def test_names_at_the_ends_of_lines_stay_beside_the_chart(visit: Visit) -> None:
    places = visit(K0).evaluate("""() => {
      const labels = Array.from({ length: 40 }, (_, i) => ({ name: `p${i}`, x: 0, y: 300 + i }));
      const svg = make("svg", {});
      endLabels(svg, labels, { right: 300, top: 26, bottom: 370 }, 20);
      return [...svg.querySelectorAll("text")].map(t => Number(t.getAttribute("y")));
    }""")
    assert len(places) == 40
    assert places == sorted(places)
    assert 26 <= places[0] < places[-1] <= 374


def test_layers_are_written_as_everywhere(visit: Visit) -> None:
    shown = visit(K0).locator(".layers span").all_text_contents()
    words = {layer_word(row) for rows in toy_networks().layer_rows for row in rows}
    assert shown[:3] == ["conv3x3:8", "bn", "relu"]
    assert set(shown) <= words


def test_every_axis_has_three_ticks(visit: Visit) -> None:
    page = visit(K0)
    for low, high, wanted in (
        (0.4, 0.98, 4),
        (0.21, 0.79, 4),
        (0.0, 1.0, 8),
        (-0.13, 0.71, 5),
        (0.501, 0.509, 4),
    ):
        at = page.evaluate("([a, b, n]) => ticks(a, b, n).at", [low, high, wanted])
        assert 3 <= len(at) <= max(wanted, 5)
        assert low - 1e-9 <= at[0] < at[-1] <= high + 1e-9


def test_the_predicted_accuracy_lies_sideways_as_in_show_predictor(visit: Visit) -> None:
    texts = visit(K0).locator("#scatter text").all_text_contents()
    assert texts[-2:] == ["predicted final accuracy", "true"]
    marks = visit(f"{K0}&predictor=constant").locator("#scatter circle.mark").all()
    assert len({mark.get_attribute("cx") for mark in marks}) == 1


def test_keys_move_in_the_matrix_of_differences(visit: Visit) -> None:
    page = visit(K0)
    assert page.locator("#matrix td[tabindex='0']").count() == 1
    page.locator("#matrix td[tabindex='0']").focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
    text = page.locator("#difference").inner_text()
    assert text.startswith("rescored-one minus constant: +0.")
    assert text.endswith(", significant")
    assert page.evaluate("document.activeElement.textContent").endswith("*")
    page.locator("#matrix [data-at='1 0']").hover()
    assert page.locator("#difference").inner_text().endswith("not significant")


def test_headings_stay_in_sight(visit: Visit) -> None:
    page = visit(K0, width=375)
    page.set_viewport_size({"width": 375, "height": 300})
    scroll = page.locator("#board").locator("xpath=..")
    scroll.evaluate("node => node.scrollTo(120, 200)")
    frame, head = scroll.bounding_box(), page.locator("thead th.name").bounding_box()
    name = page.locator("tbody th.name").last.bounding_box()
    assert frame is not None
    assert head is not None
    assert name is not None
    assert head["x"] == name["x"] == frame["x"]
    metric = page.locator("thead strong").first
    box = metric.bounding_box()
    assert metric.inner_text() == "Kendall’s τ"  # noqa: RUF001
    assert box is not None
    assert box["x"] >= name["x"] + name["width"]  # beside the names, not behind them
    assert 0 <= head["y"] - frame["y"] < 40


def test_pointing_at_a_network_shows_its_curve_and_layers(visit: Visit) -> None:
    page = visit(K0)
    targets = toy_networks().targets
    for index in (0, 35):
        mark = page.locator("#scatter .mark").nth(index)
        mark.hover(force=True)
        shown = page.locator("#about-network").inner_text()
        ids = [i for i in targets.architecture_ids if i in shown]
        assert len(ids) == 1
        final = targets.curves[targets.architecture_ids.index(ids[0]), -1]
        assert f"{final:.4f} true" in shown
        assert page.locator("#network path.line").count() == 2
        assert (
            page.locator("#network .picture rect").count() == page.locator(".layers span").count()
        )
    assert "network=" not in page.url
    mark.click(force=True)
    assert page.url.endswith(f"&network={ids[0]}")
    page.locator("#scatter .mark").nth(0).hover(force=True)
    assert ids[0] in page.locator("#about-network").inner_text()  # kept


def test_pointing_at_a_predictor_names_it_and_a_click_chooses_it(visit: Visit) -> None:
    page = visit(K0)
    page.locator("#transfer .other .mark").last.hover(force=True)
    tip = page.locator("#transfer .floating text").inner_html()
    assert tip.split(":")[0] in ("bad", "constant", "rescored-one")
    page.locator("#transfer .other .mark").last.click(force=True)
    expect(page.locator("#board tr.chosen button.pick")).to_have_text(tip.split(":")[0])


def test_the_table_is_saved_as_comma_separated_values(visit: Visit, tmp_path: Path) -> None:
    page = visit(K0)
    heading(page, "sort by name")
    with page.expect_download() as found:
        page.get_by_role("button", name="Save as CSV").click()
    found.value.save_as(tmp_path / "table.csv")
    assert found.value.suggested_filename == "digits-k0-v1.csv"
    head, first, *rest = (tmp_path / "table.csv").read_text().splitlines()
    assert head.startswith(
        '"task","predictor","status","rank_first","rank_last","flags","checked",'
    )
    assert first.startswith('"digits-k0-v1","bad","scored",3,4,"<i>flag</i>","as reported",0.3')
    assert len(rest) == 5
    shown = page.locator("#board td.rank").all_text_contents()
    ranks = [line.split(",")[3:5] for line in [first, *rest]]
    assert [t for t in shown if t] == [a if a == b else f"{a}–{b}" for a, b in ranks if a]  # noqa: RUF001
    assert sum('"numbers recomputed"' in line for line in rest) == 1
    assert sum('; 2 failed fits"' in line for line in rest) == 1
    assert all(line.count(",") == head.count(",") for line in [first, *rest])
