"""Upstream's rows that are not the examples: gathered, in variants, transformed; raters, weights, clusters."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rmbench.errors import RmbenchError
from rmbench.tasks.registry import load_file
from rmbench.tasks.rows.adapt_text import conversation_turns, hhh_choices
from rmbench.tasks.sources import load
from rmbench.types import Example

Rows = list[dict[str, Any]]
Made = Callable[[Rows, dict[str, str], int], tuple[Example, ...]]
COLUMNS = 'chosen = "good"\nrejected = "bad"'


@pytest.fixture
def made(declaration: str, write: Callable[..., Path], place: Callable[..., Path]) -> Made:
    """Load rows by the declaration with some of its text replaced and so many examples in all."""

    def maker(rows: Rows, changes: dict[str, str], n: int) -> tuple[Example, ...]:
        text = declaration.replace("n = 2", f"n = {n}")
        for before, after in changes.items():
            assert before in text
            text = text.replace(before, after)
        return load(load_file(write(text)), place(rows)).examples

    return maker


def test_rows_are_gathered_in_the_place_of_the_first(made: Made) -> None:
    rows = [
        {"key": key, "question": f"q{key}", "topic": "moon", "answer": answer, "ok": ok}
        for key, answer, ok in [(2, "a", 1), (1, "b", 0), (2, "c", 0), (1, "d", 1), (2, "e", 0)]
    ]
    changes = {
        'shape = "pair"': 'shape = "pick"',
        COLUMNS: 'candidates = ["rows[].answer"]\ngold = { column = "rows[].ok", flags = true }',
        'id = ["key"]': 'id = ["key"]\ngather = ["key"]',
    }
    found = made(rows, changes, 2)
    assert [(e.id, [c.text for c in e.candidates]) for e in found] == [("2", ["a", "c", "e"]), ("1", ["b", "d"])]
    assert [(edge.i, edge.j) for edge in found[1].gold.relation] == [(1, 0)]


def test_gathering_refuses_a_column_called_rows(rows: Rows, made: Made) -> None:
    with pytest.raises(RmbenchError, match='a column is called "rows"'):
        made([{**row, "rows": 1} for row in rows], {'id = ["key"]': 'id = ["key"]\ngather = ["key"]'}, 2)


VARIANTS = """id = ["key", "side"]

[[rows.variants]]
set = { side = "x" }
take = { win = "good", lose = "bad" }

[[rows.variants]]
set = { side = "y" }
take = { win = "bad", lose = "good" }
"""


def test_variants_of_a_row(rows: Rows, made: Made) -> None:
    changes = {'id = ["key"]': VARIANTS, COLUMNS: 'chosen = "win"\nrejected = "lose"'}
    found = made(rows, changes, 4)
    assert [e.id for e in found] == ["1/x", "1/y", "2/x", "2/y"]
    assert [e.candidates[0].text for e in found[:2]] == ["Dough.", "Snow."]
    with pytest.raises(RmbenchError, match='no column "goood"'):
        made(rows, {**changes, 'id = ["key"]': VARIANTS.replace('win = "good"', 'win = "goood"')}, 4)


def test_a_list_of_texts_is_one_text_where_joined(rows: Rows, made: Made) -> None:
    for row in rows:
        row["good"] = [row["good"], "So it is."]
    joined = 'chosen = { column = "good", joined = true }'
    assert made(rows, {'chosen = "good"': joined}, 2)[0].candidates[0].text == "Dough.\nSo it is."
    with pytest.raises(RmbenchError, match="found a list of 2"):
        made(rows, {}, 2)


def test_a_template_and_its_row_number(rows: Rows, made: Made) -> None:
    template = 'prompt = { template = "{topic}/{@row:03}: {question}" }'
    assert made(rows, {'prompt = "question"': template}, 2)[1].prompt[0].text == "moon/001: What lights the night?"


def test_rater_weight_and_system(rows: Rows, made: Made) -> None:
    for row, name in zip(rows, ("ann", "bob"), strict=True):
        row.update(who=name, w=2.5, sys="" if name == "ann" else "Be brief.")
    changes = {'id = ["key"]': 'id = ["key"]\nrater = "who"\nweight = "w"', COLUMNS: f'system = "sys"\n{COLUMNS}'}
    first, second = made(rows, changes, 2)
    assert (first.rater, second.rater, first.weight) == ("ann", "bob", 2.5)
    assert [m.role for m in first.prompt] == ["user"]
    assert (second.prompt[0].role, second.prompt[0].text) == ("system", "Be brief.")


def test_weight_by_decided_comparisons(rows: Rows, made: Made) -> None:
    for row, ranks in zip(rows, ([1, 2, 2], [1, 2, 3]), strict=True):
        row.update(answers=["a", "b", "c"], rank=ranks)
    changes = {
        'shape = "pair"': 'shape = "ranked"',
        COLUMNS: 'candidates = ["answers[]"]\ngold = { column = "rank", ranks = "low" }',
        'id = ["key"]': 'id = ["key"]\nweight = "@comparisons"',
    }
    assert [each.weight for each in made(rows, changes, 2)] == [2.0, 3.0]


def test_candidates_with_prompts_of_their_own(rows: Rows, made: Made) -> None:
    rows[0].update(p1="one?", p2="two?", label=1)
    rows[1].update(p1="same?", p2="same?", label=2)
    changes = {
        'prompt = "question"\n': "",
        COLUMNS: 'candidates = ["good", "bad"]\ncandidate_prompts = ["p1", "p2"]\n'
        'gold = { column = "label", winners = [[1], [2]] }',
    }
    first, second = made(rows, changes, 2)
    assert [first.conversation(k)[0].text for k in range(2)] == ["one?", "two?"]
    assert [c.prompt for c in second.candidates] == [None, None]
    assert second.prompt[0].text == "same?"


def test_a_group_with_a_default(rows: Rows, made: Made) -> None:
    rows[1]["topic"] = "rocket"
    changes = {'Sky = ["moon"] } }': 'Sky = ["moon"] }, default = "other" }', ", weights = { Food = 2, Sky = 1 }": ""}
    assert [e.groups["topic"] for e in made(rows, changes, 2)] == ["Food", "other"]
    del rows[0]["topic"]
    assert made(rows, changes, 2)[0].groups["topic"] == "other"


def test_hhh_transcripts_and_choices() -> None:
    turns = "Hello?\n\nAssistant:  Yes?\n\nHuman:  Who are you?"
    row = hhh_choices({"input": turns, "target_scores": {"A program.": 1, "A king.": 0}})
    assert [(m["role"], m["content"]) for m in row["messages"]] == [
        ("user", "Hello?"),
        ("assistant", "Yes?"),
        ("user", "Who are you?"),
    ]
    assert (row["choices"], row["labels"]) == (["A program.", "A king."], [1, 0])
    hub = hhh_choices({"input": "Hi", "targets": {"choices": ["a", "b"], "labels": [0, 1]}})
    assert (hub["choices"], hub["labels"], len(hub["messages"])) == (["a", "b"], [0, 1], 1)
    with pytest.raises(ValueError, match='"target_scores" nor "targets"'):
        hhh_choices({"input": "Hi", "targets": {"choices": ["a"]}})


def turn(name: str, prompt: str, best: str) -> dict[str, str]:
    texts = {f"{name}_turn_response_{letter}": f"{name} {letter}" for letter in "abcd"}
    return {f"{name}_turn_prompt": prompt, f"{name}_turn_preferred_response": best, **texts}


def test_turns_of_a_conversation_carry_what_was_preferred() -> None:
    row = {**turn("first", "one?", "response_b"), **turn("second", "two?", "response_d"), **turn("third", "", "")}
    row["first_turn_response_b"] += "<|end_of_text|>"
    first, second = conversation_turns(row)
    assert (first["turn"], first["preferred"], first["responses"][1]) == ("first", "b", "first b")
    assert [m["content"] for m in second["messages"]] == ["one?", "first b", "two?"]
    assert second["preferred"] == "d"


def test_a_turn_after_a_gap_has_no_history() -> None:
    row = {**turn("first", "one?", ""), **turn("second", "two?", "response_a")}
    assert conversation_turns(row) == []
    with pytest.raises(ValueError, match="ends in none of a, b, c, d"):
        conversation_turns(turn("first", "one?", "response_e"))
    broken = turn("first", "one?", "response_a")
    del broken["first_turn_response_c"]
    with pytest.raises(ValueError, match="are not all texts"):
        conversation_turns(broken)
