"""The page's comparison of search algorithms, in a browser."""

from playwright.sync_api import expect

from tests.leaderboard.test_page_views import K0, Visit
from tests.toys.pages import HOSTILE


def test_search_algorithms_are_compared_where_there_are_results(visit: Visit) -> None:
    page = visit(K0)
    rows = page.locator("#searches tbody tr")
    found = [text.split("\n")[0] for text in rows.all_inner_texts()]
    assert found == ["steady", "quick"]  # the smaller area first
    assert rows.nth(0).locator("small").first.text_content() == HOSTILE
    assert rows.nth(1).locator("td").nth(2).inner_text() == "0.1000\n0.0900 – 0.1100"  # noqa: RUF001
    assert page.locator("#searches tr.chosen td").first.inner_text().startswith("steady")
    labels = ["stored networks, 40 epochs", "all architectures, 80 epochs"]
    assert page.locator("#budget option").all_text_contents() == labels
    rows.nth(1).click()
    expect(page.locator("#searches tr.chosen td").first).to_contain_text("quick")
    assert "algorithm=quick" in page.url
    ends = page.locator("#regret text.strong.pressed")
    expect(ends).to_have_text("quick")
    expect(visit("#task=cifar10-k0-v1").locator("#search")).to_be_hidden()


def test_searches_of_the_open_track_say_what_stands_for_training(visit: Visit) -> None:
    page = visit(K0)
    page.locator("#budget").select_option("1")
    about = page.locator("#about-search")
    expect(about).to_contain_text("All that the Markov chain can draw in peephole-3x2")
    expect(about).to_contain_text("toy (tau on held-back networks 0.5 to 0.5, by fold)")
    heads = page.locator("#searches thead th").all_text_contents()
    assert heads[3] == "accuracy, last quarter"
    assert page.locator("#searches tbody tr").first.inner_text().startswith("random\n")
    assert page.locator("#searches tbody td").nth(4).inner_text().endswith(" %")


def test_pointing_at_a_search_names_its_regret(visit: Visit) -> None:
    page = visit(K0)
    page.locator("#regret g.one circle").last.hover()
    tip = page.locator("#regret g.floating text")
    expect(tip).to_have_text("steady, 40 epochs: 0.0200")
