"""Rows as CSV, as JSON Lines and in a terminal: everything is there, and nothing acts."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from rmbench.cli.output import print_rich
from rmbench.view.selection import View
from rmbench.view.terminal import Lines
from tests._hostile import PAYLOADS, check_terminal
from tests._make import printed
from tests.view._rows import example_of, hostile_view, pair, view_of

WEB: list[str] = json.loads((Path(__file__).parents[1] / "boards" / "payloads.json").read_text("utf-8"))
TEXTS = [text for text in [*WEB, *PAYLOADS.values()] if len(text) < 1000]


def table(view: View) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(view.to_csv())))


def objects(view: View) -> list[dict[str, object]]:
    return [json.loads(line) for line in view.to_jsonl().splitlines()]


def plain_view(folder: Path) -> View:
    rows = [
        (pair("r0", 1.5, -0.25, groups={"domain": "chat"}), example_of("r0", "Why?", "Because.", "No.")),
        (pair("r1", 1.0, 2.0), None),
    ]
    other = [pair("r0", -1.0, 0.0), pair("r1", 2.0, 0.0)]
    return view_of(folder, rows, other=other)


def test_csv_has_every_figure_and_text_in_a_column_of_its_own(tmp_path: Path) -> None:
    first, second = table(plain_view(tmp_path))
    assert (
        first
        | {
            "id": "r0",
            "outcome": "right",
            "credit": "1.0",
            "margin": "1.75",
            "other_outcome": "wrong",
            "other_margin": "-1.0",
            "group domain": "chat",
            "gold_0": "preferred",
            "gold_1": "not preferred",
            "score_0": "1.5",
            "score_1": "-0.25",
            "other_score_0": "-1.0",
            "prompt": "Why?",
            "candidate_0": "Because.",
            "candidate_1": "No.",
        }
        == first
    )
    assert (second["outcome"], second["other_outcome"], second["prompt"]) == ("wrong", "right", "")


def test_no_cell_of_a_csv_is_a_formula(tmp_path: Path) -> None:
    view = hostile_view(tmp_path, TEXTS)
    for row in table(view):
        for cell in row.values():
            begins = cell.lstrip()[:1]
            assert begins == "" or begins not in "=+-@\t\r" or is_number(cell), cell
            assert cell[:1] not in ("\t", "\r", "\n")
    only = view_of(tmp_path / "two", [(pair("r", 1.0, 0.0), example_of("r", "=1+1", "-2+3", "ok"))])
    assert [(row["prompt"], row["candidate_0"], row["candidate_1"]) for row in table(only)] == [
        ("'=1+1", "'-2+3", "ok")
    ]


def is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def test_json_lines_hold_the_texts_exactly(tmp_path: Path) -> None:
    view = hostile_view(tmp_path, TEXTS)
    text = view.to_jsonl()
    assert text.isascii()
    assert text.count("\n") == len(TEXTS)
    for line, said in zip(objects(view), TEXTS, strict=True):
        assert line["context"] == {said: said}
        assert line["candidates"][0]["source"] == said  # type: ignore[index]
        assert line["prompt"][0]["content"][1] == {"type": "image", "name": said}  # type: ignore[index]


def test_json_lines_hold_what_a_row_says_of_a_model(tmp_path: Path) -> None:
    first, second = objects(plain_view(tmp_path))
    assert first["prompt"] == [{"role": "user", "content": "Why?"}]
    assert [(each["outcome"], each["rewards"]) for each in first["answers"]] == [  # type: ignore[attr-defined]
        ("right", [1.5, -0.25]),
        ("wrong", [-1.0, 0.0]),
    ]
    assert first["gold"]["comparisons"][0]["i"] == 0  # type: ignore[index]
    assert (second["prompt"], second["candidates"]) == (None, None)


def test_a_number_that_is_not_finite_is_null(tmp_path: Path) -> None:
    (row,) = objects(view_of(tmp_path, [(pair("r", float("nan"), 1.0), None)]))
    assert row["answers"][0]["rewards"] == [None, 1.0]  # type: ignore[index]


@pytest.mark.parametrize("kind", [kind for kind, text in PAYLOADS.items() if len(text) < 1000])
def test_no_text_acts_on_a_terminal(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_rich(Lines(hostile_view(tmp_path, [PAYLOADS[kind]])))
    check_terminal(capsys.readouterr().out)


def test_a_terminal_of_eighty_columns_breaks_no_word(tmp_path: Path) -> None:
    words = " ".join(f"word{k:03}" for k in range(150))
    rows = [(pair(f"row/{k}", 1.0, 2.0), example_of(f"row/{k}", words, words, words)) for k in range(3)]
    shown = printed(Lines(view_of(tmp_path, rows, total=9, selection="without full credit"), 2))
    lines = shown.splitlines()
    assert max(map(len, lines)) <= 80
    assert sum(line.split().count("word149") for line in lines) == 6
    assert {word for line in lines for word in line.split() if word.startswith("word")} == set(words.split())
    assert "3 of 9 rows, without full credit" in shown
    assert "wrong, margin -1.000" in shown
    assert "candidate 0, preferred, reward 1.000" in shown
    assert "and 1 more rows" in shown


def test_long_texts_are_cut_unless_the_row_was_named(tmp_path: Path) -> None:
    rows = [(pair("r", 1.0, 0.0), example_of("r", "long " * 1000 + "END", "a", "b"))]
    cut = printed(Lines(view_of(tmp_path, rows)))
    assert "more characters: --id shows all" in cut
    assert "END" not in cut
    assert "END" in printed(Lines(view_of(tmp_path, rows, whole=True)))


def test_verdicts_are_shown_with_their_rationale_and_media_by_name(tmp_path: Path) -> None:
    shown = printed(Lines(hostile_view(tmp_path, ["word"])))
    assert "shown 0, 1: label word" in shown
    assert "shown 1, 0: unparsed" in shown
    assert "[image: word]" in shown
