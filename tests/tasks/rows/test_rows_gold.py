"""Every way in which a row can say who won: labels, flags, ranks, grades, numbers, pairs, votes, dimensions."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmbench.errors import RmbenchError
from rmbench.tasks.declaration.schema import Declaration
from rmbench.tasks.registry import load_file
from rmbench.tasks.rows.fields import RawRow
from rmbench.tasks.rows.shapes import example
from rmbench.tasks.sources import load
from rmbench.types import Example, Gold

Table = dict[str, Any]


def declared(shape: str, **columns: Any) -> Declaration:
    """A declaration of that shape; `list` holds the candidates unless told otherwise."""
    metric = {"name": "m", "rule": "mean_score"}
    return Declaration.model_validate(
        {
            "id": "mine",
            "version": 1,
            "title": "Mine",
            "family": "text",
            "modality": "text",
            "shape": shape,
            "n": 1,
            "verified": True,
            "source": {"git": "https://example.org", "folder": "mine"},
            "files": [{"paths": ["rows.jsonl"]}],
            "columns": {"prompt": "q", "candidates": ["list[]"], **columns},
            "metric": [metric],
        }
    )


def made(shape: str, columns: Table, **values: Any) -> Example:
    row = {"q": "Q", "list": ["a", "b", "c"], **values}
    return example(declared(shape, **columns), RawRow("rows.jsonl", "rows", 0, row))


def gold(shape: str, rule: Table, **values: Any) -> Gold:
    return made(shape, {"gold": rule}, **values).gold


def edges(found: Gold) -> list[tuple[int, int, float]]:
    return [(edge.i, edge.j, edge.strength) for edge in found.relation]


def test_ranks_compare_every_pair_and_keep_ties() -> None:
    low = gold("ranked", {"column": "rank", "ranks": "low"}, rank=[2, 1, 2])
    assert edges(low) == [(1, 0, 1.0), (0, 2, 0.0), (1, 2, 1.0)]
    high = gold("ranked", {"column": "rank", "ranks": "high"}, rank=[2, 1, 2])
    assert edges(high) == [(0, 1, 1.0), (0, 2, 0.0), (2, 1, 1.0)]
    apart = gold("ranked", {"columns": ["x", "y", "z"], "ranks": "low"}, x=1, y=2, z=3)
    assert edges(apart) == [(0, 1, 1.0), (0, 2, 1.0), (1, 2, 1.0)]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 5), min_size=2, max_size=8))
def test_ranks_agree_with_a_plain_loop(ranks: list[int]) -> None:
    names = [f"answer {k}" for k in range(len(ranks))]
    found = gold("ranked", {"column": "rank", "ranks": "low"}, rank=ranks, list=names)
    want = {(i, j) for i in range(len(ranks)) for j in range(len(ranks)) if ranks[i] < ranks[j]}
    assert {(edge.i, edge.j) for edge in found.relation if edge.strength} == want
    assert len(found.relation) == math.comb(len(ranks), 2)


def test_flags_put_every_right_answer_above_every_wrong_one() -> None:
    assert edges(gold("pick", {"column": "ok", "flags": True}, ok=[0, 1, 1])) == [(1, 0, 1.0), (2, 0, 1.0)]
    named = {"column": "ok", "flags": True, "right": ["yes"], "wrong": ["no"]}
    assert edges(gold("pick", named, ok=["yes", "no", "no"])) == [(0, 1, 1.0), (0, 2, 1.0)]
    with pytest.raises(RmbenchError, match="expected one of 'yes', 'no' for each candidate, found True"):
        gold("pick", named, ok=[True, "no", "no"])
    with pytest.raises(RmbenchError, match="3 right and 0 wrong candidates make no comparison"):
        gold("pick", {"column": "ok", "flags": True}, ok=[1, 1, 1])
    with pytest.raises(RmbenchError, match=r"one entry per candidate \(3\), found 2 entries"):
        gold("pick", {"column": "ok", "flags": True}, ok=[1, 0])


def test_an_index_names_the_winner() -> None:
    assert edges(gold("pick", {"column": "best", "index": True}, best=1)) == [(1, 0, 1.0), (1, 2, 1.0)]
    for wrong in (3, -1, True, "1", None):
        with pytest.raises(RmbenchError, match='column "best": expected a whole number from 0 to 2'):
            gold("pick", {"column": "best", "index": True}, best=wrong)


def test_grades_and_numbers_have_strength() -> None:
    grades = {"column": "g", "grades": {"A++": 2, "A": 1, "=": 0, "B": -1}, "skip": ["?"]}
    two = ["a", "b"]
    assert edges(gold("pair", grades, g="A++", list=two)) == [(0, 1, 2.0)]
    assert edges(gold("pair", grades, g="B", list=two)) == [(1, 0, 1.0)]
    assert edges(gold("pair", grades, g="=", list=two)) == [(0, 1, 0.0)]
    assert gold("pair", grades, g="?", list=two).relation == ()
    with pytest.raises(RmbenchError, match="'C' is no grade"):
        gold("pair", grades, g="C", list=two)
    number = {"column": "g", "positive": "second"}
    assert edges(gold("pair", number, g=2, list=two)) == [(1, 0, 2.0)]
    assert edges(gold("pair", number, g=-1, list=two)) == [(0, 1, 1.0)]
    assert math.copysign(1, gold("pair", number, g=0, list=two).relation[0].strength) == 1


def test_kinds_of_tie_are_told_apart() -> None:
    rule = {
        "column": "v",
        "winners": [["l"], ["r"]],
        "tie": ["same"],
        "tie_kinds": {"good": ["both"], "bad": ["none"]},
        "skip": ["?"],
    }
    two = ["a", "b"]
    found = {v: gold("pair", rule, v=v, list=two).relation for v in ("l", "r", "same", "both", "none", "?")}
    assert [(e.i, e.strength) for v in ("l", "r") for e in found[v]] == [(0, 1.0), (1, 1.0)]
    assert [found[v][0].tags for v in ("same", "both", "none")] == [(), ("tie=good",), ("tie=bad",)]
    assert found["?"] == ()


def test_pairs_are_decided_by_the_ratings() -> None:
    columns = {
        "ratings": {"right": {"column": "ok", "flags": True}},
        "gold": {"column": "pairs", "pairs": "high"},
    }
    found = made("rated", columns, ok=[False, True, True], pairs=[[0, 1], [2, 0], [1, 2]]).gold
    assert edges(found) == [(1, 0, 1.0), (2, 0, 1.0)]
    assert found.ratings == ((0.0,), (1.0,), (1.0,))
    for wrong in ([[0, 3]], [[1, 1]], [[0]], [[0, "1"]], "01"):
        with pytest.raises(RmbenchError, match='column "pairs"'):
            made("rated", columns, ok=[False, True, True], pairs=wrong)


VOTES = {"winners": [[1], [2]], "tie": [0], "annotators": {"ann": "ann", "bob": "bob", "eve": "eve"}, "majority": True}


@pytest.mark.parametrize(
    "votes, agreed",
    [((1, 1, 2), (0, 1, 1.0)), ((2, 2, 2), (1, 0, 1.0)), ((0, 0, 1), (0, 1, 0.0)), ((0, 2, 2), (1, 0, 1.0))],
)
def test_a_majority_stands_beside_its_votes(votes: tuple[int, int, int], agreed: tuple[int, int, float]) -> None:
    values = dict(zip(("ann", "bob", "eve"), votes, strict=True))
    found = gold("pair", VOTES, list=["a", "b"], **values)
    assert edges(found)[0] == agreed
    assert [edge.annotator for edge in found.relation] == ["", "ann", "bob", "eve"]


def test_annotators_of_a_list_by_dimension() -> None:
    rule = {
        "column": "overall",
        "grades": {"A": 1, "=": 0, "B": -1},
        "dimensions": {"help": "help"},
        "annotators": {"w": "workers[].{}"},
        "majority": True,
    }
    workers = [{"overall": "A", "help": "B"}, {"overall": "A", "help": "A"}]
    found = gold("pair", rule, list=["a", "b"], workers=workers)
    told = [(edge.dimension, edge.annotator, edge.i) for edge in found.relation]
    assert told == [("", "", 0), ("", "w1", 0), ("", "w2", 0), ("help", "w1", 1), ("help", "w2", 0)]


def test_dimensions_beside_the_overall_label() -> None:
    rule = {"column": "all", "winners": [["A"], ["B"]], "tie": ["same"], "dimensions": {"VQ": "VQ", "MQ": "MQ"}}
    found = gold("pair", rule, list=["a", "b"], all="A", VQ="B", MQ="same")
    assert [(e.dimension, e.i, e.strength) for e in found.relation] == [("", 0, 1.0), ("VQ", 1, 1.0), ("MQ", 0, 0.0)]


def test_ratings_of_several_candidates() -> None:
    columns = {"ratings": {"fun": "fun", "use": {"columns": ["u1", "u2", "u3"]}}}
    found = made("rated", columns, fun=[1, 2.5, 3], u1=3, u2=2, u3=1).gold
    assert found.dimensions == ("fun", "use")
    assert found.ratings == ((1.0, 3.0), (2.5, 2.0), (3.0, 1.0))
    with pytest.raises(RmbenchError, match='column "fun": 2 ratings of 3 candidates'):
        made("rated", columns, fun=[1, 2], u1=3, u2=2, u3=1)


def test_a_mean_of_raters() -> None:
    columns = {"candidates": ["one"], "ratings": {"fun": {"mean": ["a", "b[].x"]}}}
    found = made("rated", columns, one="text", a=1, b=[{"x": 2}, {"x": 4}]).gold
    assert found.ratings == ((2.0,),)


def test_labels_by_class_by_number_and_by_group() -> None:
    columns = {"candidates": ["one"], "labels": {"ok": {"column": "l", "classes": [["no"], ["yes", "ja"]]}, "n": "k"}}
    assert made("labelled", columns, one="text", l="ja", k=2).gold.labels == {"ok": 1, "n": 2}
    with pytest.raises(RmbenchError, match="'maybe' is no class"):
        made("labelled", columns, one="text", l="maybe", k=2)
    with pytest.raises(RmbenchError, match="expected a class from 0 up, found -1"):
        made("labelled", columns, one="text", l="no", k=-1)


def test_no_gold_is_legal_where_the_task_says_so() -> None:
    found = made("scored", {"candidates": ["one"]}, one="text")
    assert found.gold == Gold()


def test_a_row_without_a_majority_is_excluded_and_counted(
    declaration: str, write: Callable[..., Path], place: Callable[..., Path]
) -> None:
    rule = 'gold = { winners = [[1], [2]], tie = [0], annotators = { v = "votes[]" }, majority = true }'
    text = declaration.replace('chosen = "good"\nrejected = "bad"', f'candidates = ["good", "bad"]\n{rule}')
    rows = [
        {"key": k, "question": f"q{k}", "good": "a", "bad": "b", "topic": "moon", "votes": votes}
        for k, votes in enumerate([[1, 1], [1, 2], [0, 0]])
    ]
    loaded = load(load_file(write(text.replace("n = 2", "n = 3"))), place(rows))
    assert [each.id for each in loaded.examples] == ["0", "2"]
    assert [(each.id, each.why) for each in loaded.excluded] == [("1", "no majority among 2 annotators")]
    assert (loaded.total, loaded.missing) == (2, ())
    assert json.dumps([edge.strength for edge in loaded.examples[1].gold.relation]) == "[0.0, 0.0, 0.0]"


def test_fixed_annotators_vote_on_the_overall_label_alone() -> None:
    """Their columns hold no dimension, so a dimension has its own column and no votes."""
    rule = {
        "column": "all",
        "winners": [["A"], ["B"]],
        "dimensions": {"help": "help"},
        "annotators": {"ann": "ann", "bob": "bob"},
    }
    found = gold("pair", rule, list=["a", "b"], all="A", help="B", ann="A", bob="B")
    assert [(edge.dimension, edge.annotator, edge.i) for edge in found.relation] == [
        ("", "", 0),
        ("", "ann", 0),
        ("", "bob", 1),
        ("help", "", 1),
    ]
