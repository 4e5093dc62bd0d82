"""Accessibility of the page: keyboard, names and roles, contrast, small screens, no network."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Page, expect

Visit = Callable[..., Page]
K0 = "#task=digits-k0-v1"
GROUPS = ("final", "order", "regret", "curve", "uncertainty", "learned", "heldout", "seen")

# WCAG 2.1, 1.4.3: contrast between every text and its nearest opaque background
CONTRASTS = """() => {
  const numbers = text => text.match(/[\\d.]+/g).map(Number);
  const light = colour => {
    const [r, g, b] = numbers(colour).map(v => v / 255)
      .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = node => {
    for (let at = node; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (numbers(colour)[3] !== 0) return colour;
    }
    return getComputedStyle(document.body).backgroundColor;
  };
  const found = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some(c => c.nodeType === 3 && c.textContent.trim());
    if (!own || !node.getClientRects().length) continue;
    if (node.matches("script, :disabled + span, option")) continue;
    const style = getComputedStyle(node), svg = node.closest("svg");
    const [a, b] = [light(svg ? style.fill : style.color), light(behind(node))];
    found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), node.textContent.slice(0, 40)]);
  }
  return found;
}"""


# Name of every visible control, and the heading of its section
NAMES = """() => {
  const own = node => node.labels?.[0]?.textContent || node.textContent;
  const around = node => node.closest("fieldset, section, header");
  const heading = node => around(node)?.querySelector("legend, h2, h1");
  return [...document.querySelectorAll("button, input, select")]
    .filter(node => node.getClientRects().length)
    .map(node => [node.getAttribute("aria-label") ?? own(node), heading(node)?.textContent]);
}"""


def contrasts(page: Page) -> list[tuple[float, str]]:
    """Return the contrast and the first characters of every text on the page."""
    found: list[tuple[float, str]] = page.evaluate(CONTRASTS)
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("hash_", [K0, f"{K0}&predictor=hostile", f"{K0}&find=nobody"])
def test_all_text_has_enough_contrast(visit: Visit, scheme: str, hash_: str) -> None:
    found = contrasts(visit(hash_, scheme=scheme))
    assert len(found) > 80
    assert [(round(c, 2), text) for c, text in found if c < 4.5] == []


def test_text_without_contrast_is_found(visit: Visit) -> None:
    page = visit(K0)
    page.evaluate("document.querySelector('h1').style.color = '#999'")
    assert [text for c, text in contrasts(page) if c < 4.5] == [
        page.locator("h1").inner_text()[:40]
    ]


def test_light_and_dark_follow_the_reader(visit: Visit) -> None:
    colour = "getComputedStyle(document.body).backgroundColor"
    assert visit().evaluate(colour) == "rgb(252, 252, 250)"
    assert visit(scheme="dark").evaluate(colour) == "rgb(19, 21, 24)"


@pytest.mark.parametrize("width", [320, 390, 768])
def test_the_page_never_scrolls_sideways(visit: Visit, width: int) -> None:
    page = visit(K0, width=width)
    for columns in GROUPS:
        page.get_by_role("combobox", name="Columns").select_option(columns)
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_on_a_phone_both_scores_are_seen_without_scrolling(visit: Visit) -> None:
    page = visit(K0, width=390)
    right = page.locator("tr.chosen td").nth(2).bounding_box()
    assert right is not None
    assert right["x"] + right["width"] <= 390


def test_on_a_desktop_the_whole_table_is_seen(visit: Visit) -> None:
    page = visit(K0)
    assert (
        page.evaluate("(s => s.scrollWidth - s.clientWidth)(document.querySelector('.scroll'))")
        == 0
    )


def test_the_table_is_a_table_with_names(visit: Visit) -> None:
    page = visit(K0)
    table = page.get_by_role(
        "table", name="Predictors on digits, before training: final accuracy, checks and cost"
    )
    assert table.get_by_role("rowheader").count() == 7  # six predictors and the ceiling
    assert table.get_by_role("columnheader").count() == 4 + 6 + 2 + 4
    ranks = table.locator("td.rank").all_text_contents()
    assert ranks[0] == "1–2"  # noqa: RUF001
    assert page.get_by_role("img", name="good: true against predicted final accuracy").count() == 1


def test_every_control_has_a_name_of_its_own(visit: Visit) -> None:
    page = visit(K0)
    found = page.evaluate(NAMES)
    assert len(found) > 25
    assert all(name and name.strip() for name, _ in found)
    assert len({tuple(pair) for pair in found}) == len(found)


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def walk_to(page: Page, selector: str) -> None:
    """Press Tab until an element has the focus."""
    for _ in range(80):
        if page.evaluate("s => document.activeElement.matches(s)", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{selector} cannot be reached with the Tab key")


def test_keys_alone_sort_filter_choose_and_walk(visit: Visit) -> None:
    page = visit()
    walk_to(page, "[name=images]")
    press(page, "ArrowRight")
    expect(page.get_by_label("digits")).to_be_checked()
    expect(page.locator("#about")).to_contain_text("digits-k0-v1")
    walk_to(page, "summary")
    press(page, "Enter")
    walk_to(page, "#find")
    page.keyboard.type("o")
    walk_to(page, "[data-key='sort name']")
    press(page, "Enter", "Enter")
    picks = "#board tbody button.pick"
    assert page.locator(picks).all_text_contents()[0] == "rescored-one"
    assert page.evaluate("document.activeElement.dataset.key") == "sort name"  # kept
    walk_to(page, "[data-key='pick bad']")
    press(page, "Space")
    expect(page.locator("#board tr.chosen button.pick")).to_have_text("bad")
    walk_to(page, "#walk")
    press(page, "Home")
    least = page.locator("#walk").get_attribute("aria-valuetext")
    press(page, "ArrowRight")
    next_ = page.locator("#walk").get_attribute("aria-valuetext")
    assert least is not None
    assert next_ is not None
    assert least != next_
    assert least.split(", ")[0] not in page.url
    assert f"network={next_.split(', ')[0]}" in page.url


def test_what_has_the_focus_is_seen(visit: Visit) -> None:
    page = visit(K0)
    walk_to(page, "[data-key='sort name']")
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(outline) == "solid"


def test_nothing_can_be_loaded_or_run_by_the_page(browser: Browser, address: str) -> None:
    page = browser.new_page()
    page.goto(address)
    blocked = page.evaluate("""() => new Promise(done => {
      const found = [];
      document.addEventListener("securitypolicyviolation", event => {
        found.push(event.effectiveDirective);
        if (found.length === 4) done(found.sort());
      });
      const add = (tag, fields) => {
        document.body.append(Object.assign(document.createElement(tag), fields));
      };
      add("img", { src: "https://example.org/a.png" });
      add("script", { textContent: "document.title = 'run'" });
      add("style", { textContent: "h1 { color: red }" });
      fetch("https://example.org").catch(() => null);
    })""")
    assert blocked == ["connect-src", "img-src", "script-src-elem", "style-src-elem"]
    assert page.title() != "run"
    page.close()


def test_it_asks_for_a_newer_browser_where_it_cannot_unpack(visit: Visit, address: str) -> None:
    page = visit()
    page.add_init_script("delete window.DecompressionStream")
    page.goto(address)
    page.reload()
    notice = page.locator("#notice")
    expect(notice).to_be_visible()
    assert notice.inner_text() == (
        "The page cannot unpack its data (DecompressionStream is not defined): "
        "it needs a browser of 2023 or later."
    )
