"""The page: escaped, self-contained, the same every time, and readable without script."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from rmbench.boards import build, tabulate
from rmbench.boards.site.page import render, safe_link
from rmbench.boards.table import BoardTable, Cell
from rmbench.html import Scale, scale_of
from tests._make import margins

Put = Callable[..., Path]
PAYLOADS: list[str] = json.loads((Path(__file__).parent / "payloads.json").read_text("utf-8"))
VOID = {"meta", "link", "input"}


class Seen(HTMLParser):
    """Elements with their attributes, texts, and whether every tag was closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID and not (self.get_starttag_text() or "").endswith("/>"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not (self.get_starttag_text() or "").endswith("/>") or self.open[-1:] == [tag]:
            assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def shape(self) -> Counter[tuple[str, tuple[str, ...]]]:
        """How often each element occurs with which attributes; values left out."""
        return Counter((tag, tuple(sorted(attrs))) for tag, attrs in self.elements)


def table_of(folder: Path, put: Put, names: list[str], told: Callable[[int], str] = lambda _: "MIT") -> BoardTable:
    """A board of `names`, every text that a record may hold set to `told(k)`."""
    for k, name in enumerate(names):
        changed = {
            "model": {"license": told(k), "family": told(k), "revision": f"{k:08x}"},
            "task": {"title": told(0), "paper": told(0), "license": told(0)},
            "": {},
        }
        put(folder / "results", margins(4 + k % 5, 8), name=name, task="a", flags=[told(k)], changed=changed)
    board = folder / "mine.toml"
    board.write_text('id = "mine"\ntitle = "Mine"\ntasks = ["a", "b"]\naggregate = "none"\n', "utf-8")
    return tabulate(board, folder / "results")


def same_shape(tmp_path: Path, put: Put, policy: bool) -> tuple[str, str]:
    plain = table_of(tmp_path / "plain", put, [f"org/model-{k:02}" for k in range(50)], lambda k: f"text {k:02}")
    hostile = table_of(tmp_path / "hostile", put, PAYLOADS, lambda k: PAYLOADS[k])
    pages = render(plain), render(hostile)
    return pages if policy else (without_policy(pages[0]), without_policy(pages[1]))


def without_policy(page: str) -> str:
    """The page without its content security policy, so that the escaping is tested alone."""
    bare, count = re.subn(r'<meta http-equiv="Content-Security-Policy"[^>]*>\n', "", page)
    assert count == 1
    return bare


@pytest.fixture(autouse=True)
def folders(tmp_path: Path) -> None:
    for name in ("plain", "hostile"):
        (tmp_path / name).mkdir()


def test_there_are_fifty_payloads() -> None:
    assert len(set(PAYLOADS)) == 50


@pytest.mark.parametrize("policy", [True, False])
def test_no_name_becomes_an_element_or_an_attribute(tmp_path: Path, put_record: Put, policy: bool) -> None:
    plain, hostile = same_shape(tmp_path, put_record, policy)
    assert Seen(hostile).shape == Seen(plain).shape
    assert ("http-equiv" in plain) == policy


def test_names_are_shown_as_they_are(tmp_path: Path, put_record: Put) -> None:
    _, hostile = same_shape(tmp_path, put_record, policy=True)
    texts = {text.strip() for text in Seen(hostile).texts}
    for payload in (PAYLOADS[0], PAYLOADS[13], PAYLOADS[23], PAYLOADS[40], PAYLOADS[49]):
        assert payload in texts
    assert not {"\u202e", "\u200b", "\t"} & set(hostile)


def test_links_are_ours_or_web_addresses(tmp_path: Path, put_record: Put) -> None:
    _, hostile = same_shape(tmp_path, put_record, policy=True)
    links = [str(attrs["href"]) for tag, attrs in Seen(hostile).elements if "href" in attrs]
    records = [link for link in links if link.startswith("records/")]
    assert len(records) == 50
    assert set(links) - set(records) == {"data:,"}
    for link in records:
        assert re.fullmatch(r"records/[A-Za-z0-9._@-]+/[A-Za-z0-9._@-]+", link), link
        assert ".." not in unquote(link).split("/")


@pytest.mark.parametrize("payload", [*PAYLOADS, "//example.invalid/x", "ftp://example.invalid", "https://", "http:x"])
def test_no_payload_is_a_link(payload: str) -> None:
    assert safe_link(payload) is None


def test_web_addresses_are_links(tmp_path: Path, put_record: Put) -> None:
    link = "https://arxiv.org/abs/2410.16184?a=1&b=2"
    page = Seen(render(table_of(tmp_path, put_record, ["org/m"], lambda _: link)))
    assert ("a", {"href": link, "rel": "noreferrer"}) in page.elements


def test_arxiv_ids_lead_to_their_page() -> None:
    assert safe_link("arXiv:2410.16184") == "https://arxiv.org/abs/2410.16184"
    assert safe_link("arXiv:2410.16184/../x") is None


def test_everything_is_in_the_page_and_allowed_by_its_hash(tmp_path: Path, put_record: Put) -> None:
    page = render(table_of(tmp_path, put_record, ["org/m"]))
    seen = Seen(page)
    (policy,) = [attrs["content"] for _, attrs in seen.elements if attrs.get("http-equiv") == "Content-Security-Policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in str(policy).split(";"))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    for tag, rule in (("script", "script-src"), ("style", "style-src")):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
        assert rules[rule] == f"'sha256-{digest}'"
    assert not [attrs for _, attrs in seen.elements if "src" in attrs or "style" in attrs]
    assert not [name for _, attrs in seen.elements for name in attrs if name.startswith("on")]
    assert "url(" not in page
    assert "@import" not in page


def test_it_is_labelled(tmp_path: Path, put_record: Put) -> None:
    seen = Seen(render(table_of(tmp_path, put_record, ["org/m"])))
    tags = [tag for tag, _ in seen.elements]
    assert ("html", {"lang": "en"}) in seen.elements
    assert tags.count("title") == tags.count("h1") == tags.count("main") == tags.count("caption") == 1
    ids = [attrs["id"] for _, attrs in seen.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    for _, attrs in seen.elements:
        for name in ("aria-labelledby", "for"):
            assert attrs.get(name) in (None, *ids)
    inputs = [attrs["id"] for tag, attrs in seen.elements if tag == "input"]
    assert set(inputs) <= {attrs.get("for") for tag, attrs in seen.elements if tag == "label"}
    assert all("scope" in attrs for tag, attrs in seen.elements if tag == "th")


def test_the_table_says_all_without_script(tmp_path: Path, put_record: Put) -> None:
    for k, right in enumerate((81, 60)):
        put_record(tmp_path / "results", margins(right, 100), name=f"org/{k}", task="rm-bench")
    put_record(tmp_path / "results", margins(9, 100), name="org/bad", task="rm-bench", flags=["fake"])
    text = " ".join(" ".join(Seen(render(tabulate("text", tmp_path / "results"))).texts).split())
    for said in (".810", "[.72, .87]", "100 rows", "accuracy", "org/bad@0123abcd", "it is marked fake", "14.3%"):
        assert said in text


def test_the_same_records_give_the_same_bytes(tmp_path: Path, put_record: Put) -> None:
    put_record(tmp_path / "results", margins(81, 100), task="rm-bench")
    first = build("text", tmp_path / "results", tmp_path / "one").read_bytes()
    shutil.copytree(tmp_path / "results", tmp_path / "elsewhere")
    assert build("text", tmp_path / "elsewhere", tmp_path / "two").read_bytes() == first
    assert b"\r" not in first


def test_every_link_leads_to_its_record(tmp_path: Path, put_record: Put) -> None:
    folder = put_record(tmp_path / "results", margins(81, 100), name="a/../../b", task="rm-bench")
    page = build("text", tmp_path / "results", tmp_path / "site")
    assert page == tmp_path / "site" / "text" / "index.html"
    links = [str(attrs["href"]) for tag, attrs in Seen(page.read_text("utf-8")).elements if tag == "a"]
    (link,) = [link for link in links if link.startswith("records/")]
    copy = (page.parent / unquote(link)).resolve()
    assert copy.is_relative_to(tmp_path / "site")
    assert copy.read_bytes() == (folder / "record.json").read_bytes()


def test_drawings_stay_inside() -> None:
    def cell(value: float, low: float, chance: float | None) -> Cell:
        return Cell(value, low, 1.0, "wilson", 9, 1.0, chance, (), Path())

    assert scale_of([cell(0.5, 0.4, 0.5), None]) == Scale(0.0, 1.0)
    assert scale_of([cell(0.5, 0.4, 0.0)]) == scale_of([cell(0.1, -0.1, None)]) == Scale(-1.0, 1.0)
    assert [Scale(-1.0, 1.0).x(value) for value in (-9, -1, 0, 1, 9)] == [3.0, 3.0, 48.0, 93.0, 93.0]


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="need Chromium, to open the built pages in")
QUIET = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --virtual-time-budget=3000 --window-size=1280,900 --dump-dom"
).split()
TRAP = "<script>window.alert = () => { document.documentElement.dataset.ran = 'yes'; };</script>"


def opened(folder: Path, page: str, before: str = "", after: str = "") -> str:
    """The document after a browser ran the page, with scripts put first and last."""
    path = folder / "page.html"
    path.write_text(page.replace("<head>", f"<head>{before}").replace("</body>", f"{after}</body>"), "utf-8")
    command = [str(CHROMIUM), *QUIET, f"--user-data-dir={folder / 'profile'}", path.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


@pytest.mark.slow
@needs_chromium
def test_a_browser_runs_no_payload_even_without_the_policy(tmp_path: Path, put_record: Put) -> None:
    _, hostile = same_shape(tmp_path, put_record, policy=False)
    assert "data-ran" not in opened(tmp_path, hostile, TRAP)
    # The trap works: the same payload unescaped is caught.
    assert 'data-ran="yes"' in opened(tmp_path, hostile, TRAP, PAYLOADS[0])


@pytest.mark.slow
@needs_chromium
def test_sorting_puts_missing_values_last_both_ways(tmp_path: Path, put_record: Put) -> None:
    for name, task, right in (("org/high", "a", 7), ("org/low", "a", 2), ("org/none", "b", 5), ("org/mid", "a", 5)):
        put_record(tmp_path / "results", margins(right, 8), name=name, task=task)
    board = tmp_path / "mine.toml"
    board.write_text('id = "mine"\ntitle = "Mine"\ntasks = ["a", "b"]\n', "utf-8")
    page = without_policy(render(tabulate(board, tmp_path / "results")))
    click = """<script>
    const order = () => [...document.querySelectorAll("#board tbody .who")].map((who) => who.textContent).join(" ");
    const button = [...document.querySelectorAll("#board thead button")].find((one) => one.textContent === "a");
    button.click();
    document.body.dataset.first = order();
    button.click();
    document.body.dataset.second = order();
    document.body.dataset.sort = button.parentElement.getAttribute("aria-sort");
    </script>"""
    document = opened(tmp_path, page, after=click)
    assert 'data-first="org/high org/mid org/low org/none"' in document
    assert 'data-second="org/low org/mid org/high org/none"' in document
    assert 'data-sort="ascending"' in document


@pytest.mark.slow
@needs_chromium
def test_the_page_fits_a_phone_and_its_own_policy(tmp_path: Path, put_record: Put) -> None:
    page = render(table_of(tmp_path, put_record, ["org/" + "long-name-" * 9, "b"]))
    (tmp_path / "inner.html").write_text(page, "utf-8")
    # A browser window cannot be this narrow, a frame can; it may be read where both are one origin, so srcdoc.
    frame = (
        f'<iframe id="phone" width="375" height="800" srcdoc="{page.replace("&", "&amp;").replace(chr(34), "&quot;")}">'
    )
    measure = """<script>addEventListener("load", () => {
      const root = document.getElementById("phone").contentDocument.documentElement;
      document.body.dataset.over = root.scrollWidth - root.clientWidth;
      document.body.dataset.controls = !root.querySelector("#controls").hidden;
    });</script>"""
    document = opened(tmp_path, f"<html><head></head><body>{measure}{frame}</iframe></body></html>")
    assert 'data-over="0"' in document
    # The script ran under the policy: it shows the controls.
    assert 'data-controls="true"' in document
