"""The site: escaped, self-contained, the same every time, and readable without script."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pyarrow.parquet as pq
import pytest

from rmbench.boards import build, tabulate
from rmbench.boards.figures import rank_range
from rmbench.boards.site.board import board_page
from rmbench.boards.site.datatables import classic, script
from rmbench.boards.site.entries import Entries
from rmbench.boards.site.paths import safe_link
from rmbench.errors import RmbenchError
from tests._make import margins
from tests.boards.sites import PAYLOADS, Put, Seen, declared, small_site, told_site

pytest.importorskip("itables", reason="need the extra `board`: itables, altair, vl-convert")
pytest.importorskip("vl_convert", reason="need the extra `board`: itables, altair, vl-convert")


def pages_of(site: Path) -> dict[str, Seen]:
    return {str(path.relative_to(site)): Seen(path.read_text("utf-8")) for path in sorted(site.rglob("*.html"))}


def shapes(site: Path) -> Counter[tuple[str, frozenset[object]]]:
    """(kind of page, shape) -> how many pages have it, whatever they are called."""
    pages = pages_of(site)
    return Counter((name.partition("/")[0], frozenset(seen.shape.items())) for name, seen in pages.items())


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory, put_record: Put) -> Path:
    return told_site(tmp_path_factory.mktemp("hostile"), put_record, lambda k: PAYLOADS[k])


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, put_record: Put) -> Path:
    return told_site(tmp_path_factory.mktemp("plain"), put_record, lambda k: f"text {k:02}")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, put_record: Put) -> Path:
    return small_site(tmp_path_factory.mktemp("small"), put_record)


def test_there_are_fifty_payloads() -> None:
    assert len(set(PAYLOADS)) == 50


def test_no_text_of_others_becomes_an_element_or_an_attribute(plain: Path, hostile: Path) -> None:
    assert sum(shapes(plain).values()) > 150
    assert shapes(hostile) == shapes(plain)


def test_texts_are_shown_as_they_are(hostile: Path) -> None:
    texts = {text.strip() for seen in pages_of(hostile).values() for text in seen.texts}
    for payload in (PAYLOADS[0], PAYLOADS[13], PAYLOADS[23], PAYLOADS[40], PAYLOADS[49]):
        assert payload in texts
    for path in hostile.rglob("*.html"):
        assert not {"\u202e", "\u200b", "\t"} & set(path.read_text("utf-8")), path


def test_every_link_leads_to_a_file_of_the_site_or_to_the_web(hostile: Path, small: Path) -> None:
    for site in (hostile, small):
        for name, seen in pages_of(site).items():
            ids = {str(attrs["id"]) for _, attrs in seen.elements if "id" in attrs}
            for tag, attrs in seen.elements:
                for link in [str(attrs[key]) for key in ("href", "src") if key in attrs]:
                    parts = urlsplit(link)
                    if parts.scheme in ("https", "data"):
                        assert (tag, parts.scheme) in {("a", "https"), ("link", "data")}, (name, link)
                    elif not parts.path:
                        assert parts.fragment in ids, (name, link)
                    else:
                        target = (site / name).parent.joinpath(unquote(parts.path)).resolve()
                        assert target.is_relative_to(site.resolve()), (name, link)
                        assert target.is_file(), (name, link)


@pytest.mark.parametrize("payload", [*PAYLOADS, "//example.invalid/x", "ftp://example.invalid", "https://", "http:x"])
def test_no_payload_is_a_link(payload: str) -> None:
    assert safe_link(payload) is None


def test_arxiv_ids_lead_to_their_page() -> None:
    assert safe_link("arXiv:2410.16184") == "https://arxiv.org/abs/2410.16184"
    assert safe_link("arXiv:2410.16184/../x") is None


def test_every_page_has_the_policy_and_keeps_it(hostile: Path) -> None:
    for name, seen in pages_of(hostile).items():
        (policy,) = [attrs["content"] for _, attrs in seen.elements if attrs.get("http-equiv")]
        rules = dict(rule.strip().split(" ", 1) for rule in str(policy).split(";"))
        assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
        assert rules["script-src"] == rules["style-src"] == "'self'"
        for tag, attrs in seen.elements:
            assert "style" not in attrs, (name, tag)
            assert not [key for key in attrs if key.startswith("on")], (name, tag)
            assert tag != "style"
            assert tag != "script" or "src" in attrs or attrs.get("type") == "application/json", name


def test_pages_are_labelled(small: Path) -> None:
    for name, seen in pages_of(small).items():
        tags = [tag for tag, _ in seen.elements]
        assert ("html", {"lang": "en"}) in seen.elements
        assert tags.count("h1") == tags.count("main") == 1, name
        ids = [attrs["id"] for _, attrs in seen.elements if "id" in attrs]
        assert len(ids) == len(set(ids)), name
        for _, attrs in seen.elements:
            for key in ("aria-labelledby", "for"):
                assert not attrs.get(key) or set(str(attrs[key]).split()) <= set(ids), name
        assert all("scope" in attrs for tag, attrs in seen.elements if tag == "th"), name


def test_the_table_says_all_without_script(small: Path) -> None:
    text = pages_of(small)["mine/index.html"].text
    for said in (
        "zeta-8B",
        "org · 8B · apache-2.0",
        ".900",
        "[.83, .94]",
        "accuracy",
        "100 rows",
        "Chance",
        "baseline",
    ):
        assert said in text
    for said in ("recomputed", "measured", "rmbench run --model org/zeta-8B", "2025-01-01"):
        assert said in text


def test_places_stand_beside_the_ranks_that_stay_open(small: Path) -> None:
    seen = pages_of(small)["mine/index.html"]
    table = tabulate(small.parent / "mine.toml", small.parent / "results")
    assert [row.place for row in table.rows] == [1, 2, 3, 4, None]
    ranges = [rank_range(row.rank) for row in table.rows if row.rank]
    assert len(ranges) == 4
    for place, range_ in enumerate(ranges, 1):
        assert f" {place} {range_} " in seen.text


def test_a_model_page_says_where_it_stands_and_what_it_was_compared_with(small: Path) -> None:
    text = pages_of(small)["models/org__zeta-8B.html"].text
    for said in ("apache-2.0", "8B (8,000,000,000)", "Mine", "a@1", "b@1", "Against other models", "org/mid-2B"):
        assert said in text


def test_a_record_page_says_what_its_number_is(small: Path) -> None:
    name = "records/org__zeta-8B@0123abcd/a@1.html"
    seen = pages_of(small)[name]
    for said in (".900", "95% interval [.83, .94], wilson", "chance .500", "100 judged of 100", "0 failed"):
        assert said in seen.text
    for said in ("rmbench run --model org/zeta-8B", "d" * 64, "setting dtype float32", "not checked by rmbench check"):
        assert said in seen.text
    copy = (small / name).with_name("a@1.json")
    original = small.parent / "results" / "org__zeta-8B@0123abcd" / "a@1" / "record.json"
    assert copy.read_bytes() == original.read_bytes()


def test_a_task_page_says_what_it_measures_in_words(small: Path) -> None:
    text = pages_of(small)["tasks/a@1.html"].text
    for said in ("Mean credit of the comparisons that people decided.", "Guessing reaches .500", "MIT", "org/part"):
        assert said in text
    assert text.index("org/part") < text.index("org/zeta-8B") < text.index("org/alpha-1B")


def test_a_pair_page_holds_the_paired_difference(small: Path) -> None:
    (name,) = [name for name in pages_of(small) if name.startswith("compare/") and "zeta" in name and "mid" in name]
    text = pages_of(small)[name].text
    # .5 * (.90 - .80) + .5 * (55 - 45) / 60 on 100 and 60 shared rows
    for said in ("+.133", "160", "org/zeta-8B", "a@1 .900 .800 +.100", "b@1 .917 .750 +.167"):
        assert said in text
    rows = tabulate(small.parent / "mine.toml", small.parent / "results")
    assert {pair.n for pair in rows.pairs} == {160}


def test_columns_without_records_are_named_and_not_shown(tmp_path: Path, put_record: Put) -> None:
    site = small_site(tmp_path, put_record, aggregate='"none"')
    seen = pages_of(site)["mine/index.html"]
    assert "1 column without records: none-has-it." in seen.text
    heads = [attrs["data-id"] for tag, attrs in seen.elements if tag == "th" and "data-id" in attrs]
    assert heads == ["model", "a@1", "b@1", "size", "license", "family", "made"]


def test_a_board_with_nothing_says_so_in_one_line(tmp_path: Path, put_record: Put) -> None:
    put_record(tmp_path / "results", margins(9, 10), task="other")
    page = build(declared(tmp_path, "a"), tmp_path / "results", tmp_path / "site")
    seen = Seen(page.read_text("utf-8"))
    assert "Nothing is ranked: no record is admitted." in seen.text
    assert not [attrs for _, attrs in seen.elements if attrs.get("id") == "board"]


def test_refusals_stand_below_with_their_reason(tmp_path: Path, put_record: Put) -> None:
    put_record(tmp_path / "results", margins(9, 10), task="a", name="org/bad", flags=["sample"])
    page = build(declared(tmp_path, "a"), tmp_path / "results", tmp_path / "site")
    text = Seen(page.read_text("utf-8")).text
    assert "org/bad@0123abcd on a@1: it is marked sample" in text
    assert "1 records are refused" in text


def test_the_same_records_give_the_same_bytes(tmp_path: Path, put_record: Put, small: Path) -> None:
    shutil.copytree(small.parent / "results", tmp_path / "elsewhere")
    again = build(small.parent / "mine.toml", tmp_path / "elsewhere", tmp_path / "site").parents[1]
    files = sorted(path.relative_to(small) for path in small.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    for file in files:
        assert (again / file).read_bytes() == (small / file).read_bytes(), file
        assert file.suffix == ".parquet" or b"\r\n" not in (small / file).read_bytes(), file


def test_the_data_are_the_tables_numbers_in_three_formats(small: Path) -> None:
    folder = small / "mine"
    rows = json.loads((folder / "data.json").read_text("utf-8"))
    with (folder / "data.csv").open(newline="", encoding="utf-8") as file:
        read = list(csv.DictReader(file))
    assert [float(row["value"]) for row in read] == [row["value"] for row in rows]
    assert pq.read_table(folder / "data.parquet").to_pylist() == rows
    (first,) = [row for row in rows if row["model"] == "org/zeta-8B" and row["task"] == "a"]
    assert (first["value"], first["n"], first["place"], first["kind"]) == (0.9, 100, 1, "measured")


def test_no_cell_of_a_csv_is_a_formula(hostile: Path) -> None:
    with (hostile / "mine" / "data.csv").open(newline="", encoding="utf-8") as file:
        cells = [cell for row in list(csv.reader(file)) for cell in row]
    assert not [cell for cell in cells if cell[:1] in "=+@" and cell]
    assert any(cell.startswith("'=HYPERLINK") for cell in cells)


def test_large_boards_hold_numbers_only_and_leave_the_rest_to_the_script(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_module("rmbench.boards.site.board"), "_RICH", 3)
    table = tabulate(small.parent / "mine.toml", small.parent / "results")
    page = board_page(table, Entries([table]), ())
    (row,) = re.findall(r"<tr[^>]*>(?:(?!</tr>).)*zeta-8B.*?</tr>", page, flags=re.DOTALL)
    assert 'data-base="../records/org__zeta-8B@0123abcd/"' in row
    assert re.search(r'<td data-order="0.9" data-v="\.82[56] \.9\d+">', row)
    assert 'data-file="a@1.html"' in page
    assert len(page) < len((small / "mine" / "index.html").read_text("utf-8"))


def test_the_index_shows_the_first_rows_of_each_board(small: Path) -> None:
    text = pages_of(small)["index.html"].text
    assert text.index("org/zeta-8B") < text.index("org/mid-2B")
    assert "5 models" in text


@pytest.mark.parametrize("bundle", ["var a = 1;", "export{a as jQuery};", "export{a as default};var b;", ""])
def test_a_bundle_of_another_form_is_refused(bundle: str) -> None:
    with pytest.raises(RmbenchError, match=r"another form than expected.*2\.6 to 2\.9"):
        classic(bundle)


def test_the_library_keeps_its_licences_and_exports_nothing() -> None:
    text = script()
    assert "globalThis.DataTable = " in text
    assert "SpryMedia" in text[-3000:]
    assert not re.search(r"\bexport\s*\{", text)


def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(import_module("rmbench.boards.site.datatables"), "files", missing)
    with pytest.raises(RmbenchError, match=r"pip install 'rmbench\[board\]'"):
        script()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, put_record: Put) -> None:
    put_record(tmp_path / "results", margins(9, 10), task="a")
    (tmp_path / "site").write_text("")
    with pytest.raises(RmbenchError, match="site"):
        build(declared(tmp_path, "a"), tmp_path / "results", tmp_path / "site")


def test_several_boards_make_one_site(tmp_path: Path, put_record: Put) -> None:
    put_record(tmp_path / "results", margins(9, 10), task="a")
    one, two = declared(tmp_path, "a"), declared(tmp_path / "more", "a", title='"Other"')
    two = two.rename(two.with_name("other.toml"))
    two.write_text(two.read_text("utf-8").replace('id = "mine"', 'id = "other"'), "utf-8")
    assert build([one, two], tmp_path / "results", tmp_path / "site") == tmp_path / "site" / "index.html"
    text = pages_of(tmp_path / "site")["models/org__model.html"].text
    assert "Mine" in text
    assert "Other" in text


def told(text: str) -> Callable[[int], str]:
    return lambda _: text


def test_web_addresses_are_links(tmp_path: Path, put_record: Put) -> None:
    link = "https://arxiv.org/abs/2410.16184?a=1&b=2"
    site = told_site(tmp_path, put_record, told(link), count=1)
    assert ("a", {"href": link, "rel": "noreferrer"}) in pages_of(site)["tasks/a@1.html"].elements
