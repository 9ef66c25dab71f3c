"""Contact sheets: which pictures are on them, in which order, and what is said of those that are not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from rmbench.errors import RmbenchError
from rmbench.types import Candidate, Example, Gold, Judged, Judgment, Message, Part
from rmbench.view.sheet import sheet
from tests._make import exit_code
from tests.view._rows import view_of
from tests.view.test_view_page import data_of

MAKERS = ("b<i>", "a")
MOST = 16


def picture(folder: Path, name: str, value: int) -> Part:
    Image.new("RGB", (20, 10), (value, 0, 0)).save(folder / name)
    return Part("image", name=name, path=str(folder / name))


def rows(folder: Path, scores: dict[tuple[str, int], float | None]) -> list[tuple[Judged, Example]]:
    """A row for each picture, of a maker and a prompt."""
    made = []
    for place, ((maker, prompt), score) in enumerate(scores.items()):
        id_ = f"{maker}{prompt}"
        judgment = Judgment(id_, error="broken", status="failed") if score is None else Judgment(id_, rewards=(score,))
        part = picture(folder, f"{place}.png", 7 * place)
        asked = (Message.of("user", f"prompt <b>{prompt}</b>"),)
        example = Example(id_, asked, (Candidate((Message("assistant", (part,)),)),), Gold())
        made.append((Judged(id_, 1, Gold(), judgment, groups={"generator": maker}), example))
    return made


@pytest.fixture
def page(tmp_path: Path) -> str:
    scores: dict[tuple[str, int], float | None] = {}
    for k in range(MOST):
        scores[MAKERS[0], k] = 10.0 + k
        scores[MAKERS[1], k] = float(k * k)
    scores[MAKERS[1], 99] = None
    return sheet([view_of(tmp_path, rows(tmp_path, scores))])


def strips(page: str) -> list[list[float]]:
    """The scores of each strip."""
    return [
        [float(score) for score in re.findall(r"<figcaption><b>([\d.e+-]+)</b>", strip)]
        for strip in page.split('<div class="strip">')[1:]
    ]


def test_the_highest_and_the_lowest_of_each_maker(page: str) -> None:
    found = strips(page)
    squares, lines = [k * k for k in range(MOST)], [10 + k for k in range(MOST)]
    assert found[0] == squares[:-7:-1]  # its mean is the higher one, so that it comes first
    assert found[1] == squares[:6]
    assert found[2] == lines[:-7:-1]
    assert found[3] == lines[:6]
    assert "mean 77.500 of 16" in page
    assert "1 have no score" in page


def test_prompts_on_which_makers_differ_most(page: str) -> None:
    found = strips(page)[4:]
    differences = sorted((abs(k * k - 10 - k) for k in range(MOST)), reverse=True)
    assert [abs(a - b) for a, b in found] == differences[:12]
    marked = re.findall(r"<b>([\d.]+)</b><span class=\"badge good\">highest", page)
    assert [float(one) for one in marked] == [max(pair) for pair in found]


def test_texts_are_escaped_and_pictures_are_in_the_page_once(page: str, tmp_path: Path) -> None:
    assert "prompt &lt;b&gt;3&lt;/b&gt;" in page
    assert "<i>" not in page
    assert "prompt <b>" not in page
    assert str(tmp_path) not in page
    shown = {int(place) for place in re.findall(r'data-picture="(\d+)"', page)}
    pictures: list[str] = data_of(page)["pictures"]
    assert shown == set(range(len(pictures)))
    assert len(set(pictures)) == len(pictures)


def test_few_pictures_are_not_at_both_ends(tmp_path: Path) -> None:
    made = sheet([view_of(tmp_path, rows(tmp_path, {("a", 0): 1.0, ("a", 1): 2.0, ("a", 2): 3.0}))])
    assert strips(made) == [[3.0, 2.0], [1.0]]
    (tmp_path / "0.png").write_bytes(b"broken")
    rows_of = rows(tmp_path, {("a", 0): 1.0})
    (tmp_path / "0.png").write_bytes(b"broken")
    made = sheet([view_of(tmp_path, rows_of)])
    assert strips(made) == [[1.0]]
    assert "0.png: it is no image" in made


def test_a_record_without_pictures_has_no_sheet(tmp_path: Path) -> None:
    judged = Judged("r", 1, Gold(), Judgment("r", rewards=(1.0,)))
    example: Any = Example("r", (Message.of("user", "x"),), (Candidate.of("a text"),), Gold())
    with pytest.raises(RmbenchError, match="nothing for a contact sheet: no row has both"):
        sheet([view_of(tmp_path, [(judged, example)])])


def test_the_command_writes_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--tasks", "hpdv2", "--source", "sample", "--out", str(tmp_path / "out")]
    assert exit_code("run", "--model", "fake:oracle", *options) == 0
    assert exit_code("view", str(tmp_path / "out"), "--sheet", str(tmp_path / "sheet.html")) == 0
    assert str(tmp_path / "sheet.html") in capsys.readouterr().out
    page = (tmp_path / "sheet.html").read_text("utf-8")
    assert "Where they differ most" in page or "Highest" in page
    assert "data:image/jpeg" in page
