"""The built site in a browser: it sorts, filters, folds and keeps its state in the address, and no payload does
anything, with the content policy and without it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from rmbench.boards import build
from tests._axe import needs_axe, violations
from tests.boards.sites import PAYLOADS, Put, small_site, told_site

pytest.importorskip("itables", reason="need the extra `board`: itables, altair, vl-convert")
pytest.importorskip("vl_convert", reason="need the extra `board`: itables, altair, vl-convert")
sync_api = pytest.importorskip("playwright.sync_api", reason="need playwright, to open the built pages")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="need Chromium, to open the built pages in"),
]
VIOLATIONS = "document.addEventListener('securitypolicyviolation', (e) => console.error('CSP ' + e.violatedDirective))"


class Opened:
    """A page in a browser, and what it did that it should not have done."""

    def __init__(self, page: Any, site: Path) -> None:
        self.page, self.site = page, site
        self.faults: list[str] = []
        page.on("dialog", self._spoke)
        page.on("pageerror", lambda error: self.faults.append(f"error {error}"))
        page.on("console", lambda said: self.faults.append(f"console {said.text}"))
        page.on("request", self._asked)
        page.add_init_script(VIOLATIONS)

    def _spoke(self, dialog: Any) -> None:
        self.faults.append(f"dialog {dialog.message}")
        dialog.dismiss()

    def _asked(self, request: Any) -> None:
        if not request.url.startswith((self.site.resolve().as_uri() + "/", "data:")):
            self.faults.append(f"request {request.url}")

    def open(self, name: str) -> Any:
        self.page.goto("about:blank")  # so that an address that differs in its fragment is loaded too
        self.page.goto(f"{self.site.resolve().as_uri()}/{name}")
        return self.page

    def models(self, *expected: str) -> list[str]:
        """The models in the table; where some are expected, as soon as it shows them: a click sorts a moment later."""
        for _ in range(100):
            found = self._models()
            if not expected or found == list(expected):
                break
            self.page.wait_for_timeout(50)
        return found

    def _models(self) -> list[str]:
        found: list[str] = self.page.eval_on_selector_all(
            "#board tbody th.model > a", "(links) => links.map((a) => a.textContent)"
        )
        return found

    def heads(self) -> list[str]:
        found: list[str] = self.page.eval_on_selector_all(
            "#board thead th", "(heads) => heads.map((th) => th.dataset.id)"
        )
        return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, put_record: Put) -> Path:
    return small_site(tmp_path_factory.mktemp("small"), put_record)


@pytest.fixture
def opened(browser: Any, site: Path) -> Iterator[Opened]:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    one = Opened(context.new_page(), site)
    yield one
    context.close()
    assert one.faults == []


def one_of_each(site: Path) -> list[Path]:
    """A page of each kind, and every list."""
    return list(
        {(str(f.relative_to(site)).split("/")[0], f.name == "index.html"): f for f in site.rglob("*.html")}.values()
    )


BY_MEAN = ["zeta-8B", "mid-2B", "alpha-1B", "baseline:length", "part"]


def test_sorting_puts_missing_values_last_both_ways(opened: Opened) -> None:
    page = opened.open("mine/index.html")
    assert opened.models() == BY_MEAN
    head = page.locator('th[data-id="b@1"]')
    head.click()
    page.wait_for_selector('th[data-id="b@1"][aria-sort="descending"]')
    assert opened.models(*BY_MEAN) == BY_MEAN
    head.click()
    rising = ["baseline:length", "alpha-1B", "mid-2B", "zeta-8B", "part"]
    assert opened.models(*rising) == rising
    assert head.get_attribute("aria-sort") == "ascending"
    page.click("#reset")
    assert opened.models() == BY_MEAN


def test_the_keyboard_sorts_and_names_sort_as_text(opened: Opened) -> None:
    page = opened.open("mine/index.html")
    page.locator('th[data-id="model"] [role="button"]').focus()
    page.keyboard.press("Enter")
    by_name = ["baseline:length", "alpha-1B", "mid-2B", "part", "zeta-8B"]
    assert opened.models(*by_name) == by_name


def test_a_search_finds_names_and_facts_beside_them(opened: Opened) -> None:
    page = opened.open("mine/index.html")
    page.fill("#search", "alpha")
    assert opened.models() == ["alpha-1B"]
    assert page.inner_text("#count") == "1 of 5"
    page.fill("#search", "apache")
    assert opened.models() == ["zeta-8B"]
    page.fill("#search", "no such model")
    assert "No model fits." in page.inner_text("#board")


def test_filters_narrow_the_table_and_reset_undoes_them(opened: Opened) -> None:
    page = opened.open("mine/index.html")
    page.click("#filters summary")
    page.fill('[data-filter="min"]', "2")
    assert opened.models() == ["zeta-8B", "mid-2B"]
    page.select_option('[data-filter="kind"]', "recomputed")
    assert opened.models() == ["mid-2B"]
    assert page.inner_text("#filters summary") == "Filters (2)"
    page.click("#reset")
    assert opened.models() == BY_MEAN
    assert page.url.partition("#")[2] == ""
    page.select_option('[data-filter="license"]', "MIT")
    assert "zeta-8B" not in opened.models()


def test_columns_fold_one_by_one_and_by_group(opened: Opened) -> None:
    page = opened.open("mine/index.html")
    assert opened.heads() == ["rank", "model", "mean", "a@1", "b@1", "size", "license", "family", "made"]
    page.click("#columns summary")
    page.uncheck('[data-column="a@1"]')
    assert "a@1" not in opened.heads()
    group = page.locator("fieldset", has_text="Tasks").locator("[data-group]")
    assert group.evaluate("(box) => box.indeterminate") is True
    page.locator("fieldset", has_text="Facts").locator("[data-group]").uncheck()
    assert opened.heads() == ["rank", "model", "mean", "b@1"]
    group.check()
    assert opened.heads() == ["rank", "model", "mean", "a@1", "b@1"]


def test_the_address_holds_the_view_and_opens_it_again(opened: Opened) -> None:
    page = opened.open("mine/index.html")
    page.fill("#search", "org")
    page.locator('th[data-id="a@1"]').click()
    page.locator('th[data-id="a@1"]').click()
    page.click("#filters summary")
    page.fill('[data-filter="max"]', "2")
    page.click("#columns summary")
    page.uncheck('[data-column="family"]')
    before = ["alpha-1B", "mid-2B", "part"]
    assert opened.models(*before) == before
    heads = opened.heads()
    fragment = page.url.partition("#")[2]
    opened.open(f"mine/index.html#{fragment}")
    assert (opened.models(*before), opened.heads()) == (before, heads)
    assert opened.page.input_value("#search") == "org"
    opened.open("mine/index.html#sort=nonsense.asc&kind=nonsense&hide=nonsense&q=")
    assert opened.models() == BY_MEAN


def test_a_model_a_record_and_a_pair_open(opened: Opened) -> None:
    page = opened.open("mine/index.html")
    page.click("#board tbody th.model > a >> text=zeta-8B")
    assert page.inner_text("h1") == "org/zeta-8B"
    page.click('table a:has-text(".900")')
    assert page.inner_text("h1") == "org/zeta-8B on The a"
    assert "The command that makes it again" in page.inner_text("main")
    page.go_back()
    page.click("section:has(#pairs) a >> nth=0")
    assert "Paired difference" in page.inner_text("main")


def test_the_theme_is_the_readers_and_can_be_chosen(browser: Any, site: Path) -> None:
    context = browser.new_context(color_scheme="dark")
    one = Opened(context.new_page(), site)
    page = one.open("mine/index.html")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    assert page.evaluate("document.documentElement.className") == "dark"
    assert page.inner_text("#theme") == "Theme: auto"
    page.click("#theme")
    assert page.evaluate("document.documentElement.className") == "light"
    assert page.evaluate(ground) != dark
    one.open("index.html")
    assert page.inner_text("#theme") == "Theme: light"
    context.close()
    assert one.faults == []


@pytest.mark.parametrize("width", [1280, 375])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_fits_and_the_ranking_is_on_the_first_screen(
    browser: Any, site: Path, width: int, scheme: str
) -> None:
    height = 800 if width == 1280 else 700
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    one = Opened(context.new_page(), site)
    for file in one_of_each(site):
        page = one.open(str(file.relative_to(site)))
        over = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(over) == 0, file
    page = one.open("mine/index.html")
    bottoms = page.eval_on_selector_all(
        "#board tbody tr", "(rows) => rows.map((r) => r.getBoundingClientRect().bottom)"
    )
    assert sum(bottom <= height for bottom in bottoms) >= 2
    right = page.locator("#board tbody tr >> nth=0 >> td.num >> nth=1").bounding_box()
    assert right["x"] + right["width"] <= width
    context.close()
    assert one.faults == []


@needs_axe
@pytest.mark.parametrize("width", [1280, 375])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(browser: Any, site: Path, width: int, scheme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    one = Opened(context.new_page(), site)
    for file in one_of_each(site):
        page = one.open(str(file.relative_to(site)))
        for panel in page.locator(".controls summary").all():
            panel.click()
        assert violations(page) == [], file
    context.close()
    assert one.faults == []


@pytest.fixture(scope="module")
def payloads(tmp_path_factory: pytest.TempPathFactory, put_record: Put) -> Path:
    return told_site(tmp_path_factory.mktemp("payloads"), put_record, lambda k: PAYLOADS[k])


def test_every_model_is_on_both_sides_of_the_pairs_that_are_opened(payloads: Path) -> None:
    pairs = [file.stem.split("--") for file in pages_with_all_names(payloads) if file.parent.name == "compare"]
    assert len({one for one, _ in pairs}) > 40
    assert len({other for _, other in pairs}) > 40
    assert len({one for pair in pairs for one in pair}) == len(PAYLOADS)


def pages_with_all_names(site: Path) -> list[Path]:
    """Every page but most of the comparisons, of which there are ten for each model: enough of them to have each model
    that is on the left side of one there, and likewise on the right."""
    opened: list[Path] = []
    seen: set[tuple[int, str]] = set()
    for file in sorted(site.rglob("*.html")):
        sides = set(enumerate(file.stem.split("--"))) if file.parent.name == "compare" else set()
        if not sides or sides - seen:
            opened.append(file)
            seen |= sides
    return opened


@pytest.mark.parametrize("policy", [True, False])
def test_no_payload_does_anything(browser: Any, payloads: Path, tmp_path: Path, policy: bool) -> None:
    site = payloads
    if not policy:
        site = shutil.copytree(payloads, tmp_path / "site")
        _strip(site)
    context = browser.new_context()
    one = Opened(context.new_page(), site)
    for file in pages_with_all_names(site):
        page = one.open(str(file.relative_to(site)))
        if file.parent.name == "mine":
            page.fill("#search", "alert")
            page.locator('th[data-id="model"]').click()
            page.click("#filters summary")
            page.select_option('[data-filter="family"]', index=3)
            one.open("mine/index.html#q=<img src=x onerror=alert(1)>&family=<script>&sort=<b>.asc")
    context.close()
    assert one.faults == []


def test_the_trap_works(browser: Any, tmp_path: Path, site: Path) -> None:
    copy = shutil.copytree(site, tmp_path / "site")
    _strip(copy)
    page = copy / "index.html"
    page.write_text(page.read_text("utf-8").replace("<h1>", f"<h1>{PAYLOADS[0]}{PAYLOADS[32]}"), "utf-8")
    context = browser.new_context()
    one = Opened(context.new_page(), copy)
    one.open("index.html")
    context.close()
    assert any(fault.startswith("dialog") for fault in one.faults)
    assert any(fault.startswith("request https://example.invalid") for fault in one.faults)


def test_large_boards_are_completed_by_the_script(
    browser: Any, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_module("rmbench.boards.site.board"), "_RICH", 3)
    lean = build(site.parent / "mine.toml", site.parent / "results", tmp_path / "site").parents[1]
    context = browser.new_context()
    one = Opened(context.new_page(), lean)
    page = one.open("mine/index.html")
    cell = page.locator("#board tbody tr >> nth=0 >> td[data-v] >> nth=0")
    assert cell.locator("a").get_attribute("href") == "../records/org__zeta-8B@0123abcd/a@1.html"
    assert cell.locator("svg.bar path.range").count() == 1
    page.locator('th[data-id="a@1"]').click()
    falling = ["part", "zeta-8B", "mid-2B", "alpha-1B", "baseline:length"]
    assert one.models(*falling) == falling
    cell.locator("a").click()
    assert page.inner_text("h1") == "org/part on The a"
    context.close()
    assert one.faults == []


def test_without_script_the_table_is_whole(browser: Any, site: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((site / "mine" / "index.html").resolve().as_uri())
    assert "zeta-8B" in page.inner_text("#board")
    assert not page.is_visible("#search")
    context.close()


def _strip(site: Path) -> None:
    """Take the content policy out of every page, so that the escaping is tested alone."""
    for file in site.rglob("*.html"):
        text = file.read_text("utf-8")
        bare, count = re.subn(r'<meta http-equiv="Content-Security-Policy"[^>]*>\n', "", text)
        assert count == 1
        file.write_text(bare, "utf-8")
