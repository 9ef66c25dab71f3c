"""The page of rows: its data and markup, and what a browser makes of them."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rmbench.view.page import visible
from rmbench.view.selection import View
from tests.view._rows import Rows, example_of, hostile_view, pair, view_of
from tests.view.test_view_plain import TEXTS

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MANY = 20_000


def data_of(page: str) -> dict[str, Any]:
    (block,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, flags=re.DOTALL)
    data: dict[str, Any] = json.loads(block)
    return data


def many(count: int) -> Rows:
    """Rows of three domains, of which every tenth is wrong and every hundredth a tie, and of which one holds a word."""
    made = []
    for k in range(count):
        margin = 0.0 if k % 100 == 0 else -1.0 - k / count if k % 10 == 0 else 1.0 + k / count
        row = pair(f"row/{k}", margin, 0.0, groups={"domain": ("chat", "code", "math")[k % 3]})
        word = " needle" if k == count - 5 else ""
        made.append((row, example_of(row.id, f"Question {k}: why?{word}", f"Because of {k}.", f"No {k}.")))
    return made


def test_texts_that_rows_share_are_in_the_page_once(tmp_path: Path) -> None:
    rows = [
        (pair(f"r{k}", 1.0, 0.0), example_of(f"r{k}", "The same long prompt", f"a{k}", "The same answer"))
        for k in range(9)
    ]
    page = view_of(tmp_path, rows).to_html()
    assert page.count("The same long prompt") == page.count("The same answer") == 1
    data = data_of(page)
    assert [data["texts"][row["prompt"][0][1][0][1]] for row in data["rows"]] == ["The same long prompt"] * 9


def test_data_say_what_each_model_said(tmp_path: Path) -> None:
    rows = [(pair("r", 1.5, 0.5), None)]
    (row,) = data_of(view_of(tmp_path, rows, other=[pair("r", 0.0, 2.0)]).to_html())["rows"]
    assert [(each["outcome"], each["margin"], each["scores"]) for each in row["answers"]] == [
        (0, 1.0, [1.5, 0.5]),
        (2, -2.0, [0.0, 2.0]),
    ]
    assert "prompt" not in row


def test_what_does_not_show_is_made_visible() -> None:
    assert visible("a\u202eb\x1b[31m\u200b\ud800\r\nc\td") == "a\\u202eb\\x1b[31m\\u200b\\ud800\nc\td"
    assert visible("👩\u200d🔬") == "👩\u200d🔬"
    assert visible("plain") == "plain"


def test_no_text_becomes_markup(tmp_path: Path) -> None:
    plain, hostile = (
        hostile_view(tmp_path / name, texts).to_html() for name, texts in (("a", ["word"] * len(TEXTS)), ("b", TEXTS))
    )
    tags = re.compile(r"<[!/]?\w[^>]*>")
    shapes = [[tag for tag in tags.findall(page) if "policy" not in tag.lower()] for page in (plain, hostile)]
    assert shapes[0] == shapes[1]
    assert "<" not in re.findall(r'id="data">(.*?)</script>', hostile, flags=re.DOTALL)[0]
    assert not {"\u202e", "\u200b", "\x1b"} & set(hostile)
    assert "'unsafe" not in hostile


class Browser:
    """A headless browser that keeps everything a page should not do."""

    def __init__(self, browser: Any) -> None:
        self.browser = browser
        self.faults: list[str] = []

    def open(self, path: Path, *, hash_: str = "", width: int = 1280, height: int = 860, scheme: str = "light") -> Any:
        context = self.browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        page = context.new_page()
        page.on("dialog", self.dialog)
        page.on("console", lambda message: self.faults.append(f"console {message.text}"))
        page.on("pageerror", lambda error: self.faults.append(f"error {error}"))
        page.on("request", lambda request: self.seen(request.url, path))
        page.goto(path.as_uri() + hash_)
        page.wait_for_selector("#view.live")
        return page

    def dialog(self, dialog: Any) -> None:
        self.faults.append(f"dialog {dialog.message}")
        dialog.dismiss()

    def seen(self, url: str, path: Path) -> None:
        if url.partition("#")[0] != path.as_uri() and not url.startswith("data:"):
            self.faults.append(f"request {url}")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("need Chromium, to open the pages of rows in")
    driver = pytest.importorskip("playwright.sync_api", reason="need playwright, to open the pages of rows with")
    with driver.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def browser(chromium: Any) -> Iterator[Browser]:
    opened = Browser(chromium)
    yield opened
    for context in chromium.contexts:
        context.close()
    assert opened.faults == []


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("large")
    return written(view_of(folder, many(MANY)), folder / "page.html")


def written(view: View, path: Path) -> Path:
    path.write_bytes(view.to_html().encode("utf-8"))
    return path


def options(page: Any) -> list[str]:
    """The ids of the rows in the document, in their order on the screen."""
    ids: list[str] = page.evaluate(
        "[...document.querySelectorAll('#list [role=option]')].sort((a, b) => a.dataset.place - b.dataset.place)"
        ".map((option) => option.querySelector('.id').textContent)"
    )
    return ids


def settled(page: Any) -> str:
    """The number of rows, after what was typed was looked for."""
    page.wait_for_timeout(300)
    text: str = page.text_content("#count")
    return text


@pytest.mark.slow
def test_the_list_of_20_000_rows_scrolls_to_its_end_with_few_of_them_in_the_document(
    browser: Browser, large: Path
) -> None:
    page = browser.open(large)
    assert page.text_content("#count") == "20,000 rows"
    assert options(page)[0] == "row/0"
    for share in (0.25, 0.5, 1.0):
        page.evaluate(f"list.scrollTop = list.scrollHeight * {share}")
        page.wait_for_timeout(100)
        assert len(options(page)) < 60
        assert page.evaluate("document.querySelectorAll('*').length") < 1500
    assert options(page)[-1] == f"row/{MANY - 1}"
    page.click(f"#list [data-place='{MANY - 1}']")
    assert page.text_content("#content h2") == f"row/{MANY - 1}"
    assert f"Question {MANY - 1}: why?" in page.text_content("#content")


@pytest.mark.slow
def test_scrolling_and_searching_20_000_rows_stay_quick(browser: Browser, large: Path) -> None:
    """Bounds against work that grows with the rows in sight or worse; a person notices far less."""
    page = browser.open(large)
    frames = page.evaluate(
        """async () => {
          const times = [];
          for (let step = 0; step < 60; step++) {
            list.scrollTop += 400;
            const from = performance.now();
            await new Promise(requestAnimationFrame);
            await new Promise(requestAnimationFrame);
            times.push(performance.now() - from);
          }
          return times.sort((a, b) => a - b);
        }"""
    )
    assert frames[len(frames) // 2] < 200
    took = page.evaluate(
        """() => {
          const from = performance.now();
          location.hash = "#q=needle";
          dispatchEvent(new HashChangeEvent("hashchange"));
          return performance.now() - from;
        }"""
    )
    assert took < 3000
    assert settled(page) == "1 of 20,000 rows"


@pytest.mark.slow
def test_search_filters_and_orders_find_rows(browser: Browser, large: Path) -> None:
    page = browser.open(large)
    page.fill("#search", "NEEDLE")
    assert settled(page) == "1 of 20,000 rows"
    assert options(page) == [f"row/{MANY - 5}"]
    assert page.text_content("#content h2") == f"row/{MANY - 5}"
    page.fill("#search", "no such words")
    assert settled(page) == "0 of 20,000 rows"
    assert page.text_content("#content") == "No row is chosen."
    page.fill("#search", "")
    page.wait_for_timeout(300)
    page.click("#outcomes [data-name=wrong]")
    assert settled(page) == "1,800 of 20,000 rows"
    page.click("#outcomes [data-name=tie]")
    assert settled(page) == "2,000 of 20,000 rows"
    page.click("#groups-box summary")
    page.select_option("[data-group=domain]", "=code")
    expected = [k for k in range(MANY) if k % 10 == 0 and k % 3 == 1]
    assert settled(page) == f"{len(expected)} of 20,000 rows"
    page.select_option("#order", "lowest")
    page.wait_for_timeout(100)
    assert options(page)[0] == f"row/{max(k for k in expected if k % 100)}"


@pytest.mark.slow
def test_the_address_says_what_is_shown(browser: Browser, large: Path) -> None:
    page = browser.open(large)
    page.click("#outcomes [data-name=wrong]")
    page.fill("#search", "question 1")
    page.wait_for_timeout(300)
    page.keyboard.press("Enter")
    page.keyboard.press("j")
    chosen, counted = page.text_content("#content h2"), page.text_content("#count")
    address = page.evaluate("location.hash")
    again = browser.open(large, hash_=address)
    assert (again.text_content("#content h2"), again.text_content("#count")) == (chosen, counted)
    assert again.input_value("#search") == "question 1"
    assert again.get_attribute("#outcomes [data-name=wrong]", "aria-pressed") == "true"


@pytest.mark.slow
def test_keys_go_through_the_rows(browser: Browser, tmp_path: Path) -> None:
    page = browser.open(written(view_of(tmp_path, many(300)), tmp_path / "page.html"))
    here = lambda: page.text_content("#content h2")  # noqa: E731
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    assert here() == "row/1"
    page.keyboard.press("/")
    page.keyboard.type("j/k")
    assert page.input_value("#search") == "j/k"
    page.fill("#search", "")
    page.wait_for_timeout(300)
    page.keyboard.press("Enter")
    for key, row in (("End", "row/299"), ("ArrowUp", "row/298"), ("Home", "row/0"), ("ArrowDown", "row/1")):
        page.keyboard.press(key)
        assert here() == row
    active = page.get_attribute("#list", "aria-activedescendant")
    assert page.get_attribute(f"#{active}", "aria-selected") == "true"


@pytest.mark.slow
def test_two_models_are_told_apart_by_what_changed(browser: Browser, tmp_path: Path) -> None:
    rows = [(pair(f"r{k}", margin, 0.0), example_of(f"r{k}", "Why?", "a", "b")) for k, margin in enumerate((1, -1, 2))]
    other = [pair(f"r{k}", margin, 0.0) for k, margin in enumerate((-1, 1, 3))]
    page = browser.open(written(view_of(tmp_path, rows, other=other), tmp_path / "page.html"))
    page.select_option("#change", "1")
    assert options(page) == ["r1"]
    assert "✗ wrong" in page.text_content(".sides tbody tr:nth-child(1)")
    assert "✓ right" in page.text_content(".sides tbody tr:nth-child(2)")
    page.select_option("#change", "-1")
    assert options(page) == ["r0"]
    assert page.text_content(".candidate").count("reward") == 2


@pytest.mark.slow
@pytest.mark.parametrize("policy", [True, False])
def test_no_text_runs_even_without_the_policy(browser: Browser, tmp_path: Path, policy: bool) -> None:
    page_text = hostile_view(tmp_path, TEXTS).to_html()
    if not policy:
        page_text, removed = re.subn(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page_text)
        assert removed == 1
    path = tmp_path / "page.html"
    path.write_bytes(page_text.encode("utf-8"))
    page = browser.open(path)
    first = TEXTS[0]
    assert first in page.text_content("#content")
    for place in range(len(TEXTS)):
        page.evaluate("document.querySelectorAll('#content details').forEach((each) => { each.open = true; })")
        assert page.text_content("#place") == f"{place + 1} of {len(TEXTS)}"
        page.keyboard.press("j")
    page.wait_for_timeout(300)
    assert page.evaluate("document.querySelectorAll('#content img, #content a, #content script').length") == 0
    assert page.url.startswith(path.as_uri())


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(browser: Browser, tmp_path: Path, scheme: str) -> None:
    rows = [(pair("a-name-without-a-break-" * 9, 1.0, 0.0), example_of("r", "x" * 900, "y" * 900, "z" * 900))]
    path = written(view_of(tmp_path, rows, other=[rows[0][0]], note="n" * 300), tmp_path / "page.html")
    page = browser.open(path, width=375, height=700, scheme=scheme)
    over = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(over) == 0
    assert not page.is_visible("#row")
    page.click("#list [role=option]")
    assert page.is_visible("#row")
    assert page.evaluate(over) == 0
    assert page.evaluate("document.documentElement.classList.contains('dark')") == (scheme == "dark")
    page.click("#back")
    assert page.is_visible("#list")
