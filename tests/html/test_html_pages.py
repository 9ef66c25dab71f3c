"""Pages and charts: escaped, under a strict policy, complete in one file or with the files that they name."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from markupsafe import Markup, escape

from rmbench.errors import RmbenchError
from rmbench.html import Scale, bar, environment
from rmbench.html.assets import write_assets
from rmbench.html.charts import svg
from rmbench.html.shell import document

PAYLOADS: list[str] = json.loads((Path(__file__).parents[1] / "boards" / "payloads.json").read_text("utf-8"))
BODY = Markup("<h1>Words</h1>")


def policy_of(page: str) -> dict[str, str]:
    content = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    return dict(rule.strip().split(" ", 1) for rule in content.group(1).replace("&#39;", "'").split(";"))


def test_a_page_for_itself_holds_all_that_it_needs_and_allows_it_by_hash(tmp_path: Path) -> None:
    script, style = tmp_path / "own.js", tmp_path / "own.css"
    script.write_text("document.title = 'read';")
    style.write_text("p { color: red; }")
    page = document("Words", BODY, single=True, scripts=[script], styles=[style], data={"a": 1})
    rules = policy_of(page)
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    for tag, rule, count in (("script", "script-src", 2), ("style", "style-src", 2)):
        texts = re.findall(rf"<{tag}>(.*?)</{tag}>", page, flags=re.DOTALL)
        assert len(texts) == count
        hashes = {f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in texts}
        assert set(rules[rule].split()) == hashes
    assert not re.findall(r"<(?:script|link|img)[^>]* (?:src|href)=\"(?!data:)", page)
    assert "url(" not in page
    assert "@import" not in page


def test_a_page_of_a_site_names_files_that_are_written(tmp_path: Path) -> None:
    script = tmp_path / "own.js"
    script.write_text("")
    page = document("Words", BODY, root="../", scripts=[script], crumbs=[("rmbench", "../index.html")])
    write_assets(tmp_path / "site", [script])
    named = re.findall(r'<(?:script|link)[^>]* (?:src|href)="([^"]*)"', page)
    files = [name for name in named if not name.startswith("data:")]
    assert files == ["../assets/site.css", "../assets/theme.js", "../assets/own.js"]
    assert all((tmp_path / "site" / name.removeprefix("../")).is_file() for name in files)
    assert policy_of(page)["script-src"] == policy_of(page)["style-src"] == "'self'"
    assert 'href="../index.html"' in page


def test_files_that_cannot_be_written_name_the_folder(tmp_path: Path) -> None:
    (tmp_path / "site").write_text("")
    with pytest.raises(RmbenchError, match=r"site/assets: cannot write the pages' files"):
        write_assets(tmp_path / "site")


@pytest.mark.parametrize("payload", PAYLOADS)
def test_titles_crumbs_and_data_stay_text(payload: str) -> None:
    page = document(payload, BODY, crumbs=[(payload, "index.html")], data={payload: [payload]}, single=True)
    plain = document("x", BODY, crumbs=[("x", "index.html")], data={"x": ["x"]}, single=True)
    tags = r"<[a-zA-Z/!][^\s>]*"
    assert re.findall(tags, page) == re.findall(tags, plain)
    block = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, flags=re.DOTALL)
    assert json.loads(block.group(1)) == {payload: [payload]}
    assert not set("<>&") & set(block.group(1))


def test_the_same_page_has_the_same_bytes() -> None:
    assert document("Words", BODY, single=True) == document("Words", BODY, single=True)


def test_intervals_are_drawn_where_there_are_limits() -> None:
    drawn = bar(Scale(0, 1), 0.5, 0.25, 0.75, 0.5)
    assert 'd="M25.5 5H70.5"' in drawn
    assert 'cx="48"' in drawn
    assert 'class="chance"' in drawn
    assert 'class="chance"' not in bar(Scale(0, 1), 0.5, 0.25, 0.75)
    assert bar(Scale(0, 1), 0.5, None, None) == ""


def test_templates_escape_and_misspelt_names_are_errors() -> None:
    text = environment().from_string("{{ x }}").render(x="<b>\u202e")
    assert text == "&lt;b&gt;"


def chart_of(label: str) -> dict[str, Any]:
    return {
        "data": {"values": [{"x": 1, "y": 2, "label": label}, {"x": 2, "y": 1, "label": "plain"}]},
        "mark": "point",
        "title": label,
        "encoding": {
            "x": {"field": "x", "type": "quantitative", "title": label},
            "y": {"field": "y", "type": "quantitative"},
            "color": {"field": "label", "type": "nominal", "title": label},
            "description": {"field": "label"},
            "href": {"value": "https://example.invalid/"},
        },
    }


@pytest.mark.parametrize("payload", [*PAYLOADS, "javascript:alert(1)"])
def test_charts_hold_text_of_others_as_text_and_nothing_that_runs_or_loads(payload: str) -> None:
    pytest.importorskip("vl_convert")
    drawn = svg(chart_of(payload), prefix="p", title=payload, description=payload)
    elements = list(ElementTree.fromstring(drawn).iter())
    tags = {element.tag.rpartition("}")[2] for element in elements}
    assert tags <= {"svg", "title", "desc", "g", "path", "text", "line", "defs", "clipPath", "rect"}
    names = {name for element in elements for name in element.attrib}
    assert not {name for name in names if name.startswith("on") or "href" in name or name == "style"}
    assert '<title id="p-title">' in drawn


def test_charts_take_their_colours_from_the_page_and_their_ids_from_the_prefix() -> None:
    pytest.importorskip("vl_convert")
    drawn = svg(chart_of("a"), prefix="one", title="T", description="D")
    colours = set(re.findall(r'(?:fill|stroke)="([^"]*)"', drawn))
    assert {colour for colour in colours if colour.startswith("#")} <= set()
    assert "currentColor" in drawn
    assert 'role="img" aria-labelledby="one-title one-description"' in drawn
    assert all(name.startswith("one-") for name in re.findall(r'\bid="([^"]*)"', drawn))
    assert f"<title>{escape('plain')}</title>" in drawn
    assert svg(chart_of("a"), prefix="one", title="T", description="D") == drawn


def test_a_chart_that_cannot_be_drawn_says_which() -> None:
    pytest.importorskip("vl_convert")
    with pytest.raises(RmbenchError, match="The chart 'T' cannot be drawn"):
        svg({"mark": "nonsense", "$schema": "x"}, prefix="p", title="T", description="D")


def test_where_the_libraries_are_missing_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with pytest.raises(RmbenchError, match=r"pip install 'rmbench\[board\]'"):
        svg(chart_of("a"), prefix="p", title="T", description="D")
