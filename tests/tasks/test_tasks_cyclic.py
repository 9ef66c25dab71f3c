"""Cyclic tasks: circles of comparisons from pairs, dice and criteria, and what a scalar can make of them."""

from __future__ import annotations

import hashlib
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from rmbench.errors import RmbenchError
from rmbench.metrics.measure import measure
from rmbench.models.fakes import open_fake
from rmbench.models.options import OpenOptions
from rmbench.tasks.registry import get, load_file
from rmbench.tasks.rows.adapt_cyclic import CYCLES, cycle_of_pairs, cycles_of_criteria, dice, first_by_key
from rmbench.tasks.sources import load
from rmbench.types import Example, Judged, Judgment, Value

TASKS = ("gpm-cycles", "gpm-four-cycle", "dice-cycles")


def by_fake(task_id: str, examples: tuple[Example, ...], kind: str) -> dict[tuple[str, str | None], Value]:
    fake = open_fake(kind, OpenOptions())
    rows = [Judged.of(each, fake.judge(task_id, each)) for each in examples]
    return {(value.metric, value.group): value for value in measure(rows, get(task_id).metrics, resamples=50)}


def by_rewards(task_id: str, example: Example, rewards: tuple[float, ...]) -> dict[str, float | None]:
    row = Judged.of(example, Judgment(example.id, rewards=rewards))
    found = measure([row], get(task_id).metrics, resamples=50)
    return {value.metric: value.value for value in found if value.group is None}


@pytest.mark.parametrize("task_id", TASKS)
def test_oracle_and_anti_answer_the_circles(task_id: str) -> None:
    examples = load(get(task_id), "sample").examples
    assert by_fake(task_id, examples, "oracle")["accuracy", None].value == 1.0
    assert by_fake(task_id, examples, "anti")["accuracy", None].value == 0.0


def test_a_constant_is_wrong_everywhere() -> None:
    examples = load(get("gpm-cycles"), "sample").examples
    assert by_fake("gpm-cycles", examples, "constant")["accuracy", None].value == 0.0


def test_ceiling_triples_and_fit_of_pure_three_cycles() -> None:
    """Each row is one circle of three: a scalar has 2 of 3, the oracle's triple goes round, and the Bradley-Terry fit
    of a symmetric circle ties all three."""
    found = by_fake("gpm-cycles", load(get("gpm-cycles"), "sample").examples, "oracle")
    assert found["scalar_ceiling", None].value == pytest.approx(2 / 3)
    assert found["cyclic_triples", None].value == 1.0
    assert found["bradley_terry_fit", None].value == 0.0
    assert {group for metric, group in found if metric == "accuracy"} == {None, "set=1", "set=2", "set=3", "set=4"}


@pytest.mark.parametrize("task_id", TASKS)
def test_no_scalar_passes_the_ceiling(task_id: str) -> None:
    for example in load(get(task_id), "sample").examples:
        size = len(example.candidates)
        if size > 4:
            continue
        made = [by_rewards(task_id, example, tuple(map(float, order))) for order in itertools.permutations(range(size))]
        best = max(each["accuracy"] or 0.0 for each in made)
        assert made[0]["scalar_ceiling"] == pytest.approx(best)
        assert {each["cyclic_triples"] for each in made} == {0.0}
        assert all(each["bradley_terry_fit"] == each["accuracy"] for each in made)


def rated(text: str, **ratings: str) -> dict[str, Any]:
    return {"response": text, "annotations": {name: {"Rating": rating} for name, rating in ratings.items()}}


CIRCLE = [
    rated("a", honesty="5", truthfulness="3", helpfulness="3"),
    rated("b", honesty="4", truthfulness="5", helpfulness="3"),
    rated("c", honesty="3", truthfulness="4", helpfulness="5"),
]


def test_a_circle_of_criteria() -> None:
    (row,) = cycles_of_criteria({"instruction": "Why?", "completions": CIRCLE})
    assert (row["set"], row["prompt"], row["candidates"]) == ("1", "Why? ", ["a ", "b ", "c "])
    assert row["beats"] == [[0, 1, 1.0], [1, 2, 1.0], [2, 0, 1.0]]
    assert row["key"] == hashlib.sha256(b"1/Why?").hexdigest()


@pytest.mark.parametrize(
    "change, sets",
    [
        ({}, ["1"]),
        ({"honesty": "4"}, []),  # equal ratings are not above
        ({"honesty": "N/A"}, []),  # no rating is below nothing
        ({"instruction_following": "1"}, ["1"]),  # the others have no such rating
    ],
)
def test_ratings_that_break_the_circle(change: dict[str, str], sets: list[str]) -> None:
    first = rated("a", **{"honesty": "5", "truthfulness": "3", "helpfulness": "3", **change})
    made = cycles_of_criteria({"instruction": "Why?", "completions": [first, *CIRCLE[1:]]})
    assert [each["set"] for each in made] == sets


def test_a_circle_needs_three_texts() -> None:
    twice = [CIRCLE[0], CIRCLE[1], {**CIRCLE[2], "response": "a"}]
    assert cycles_of_criteria({"instruction": "Why?", "completions": twice}) == []


def test_broken_answers_are_named() -> None:
    with pytest.raises(ValueError, match='column "completions"'):
        cycles_of_criteria({"instruction": "Why?", "completions": [{"response": "a"}]})


def test_circles_hold_by_the_ratings_of_the_sample() -> None:
    """Every comparison of the sample is looked up in the rows it came from."""
    folder = Path(get("gpm-cycles").path).parents[1] / "samples" / "gpm-cycles"
    lines = [line for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]
    rows = {row["instruction"]: row for row in map(json.loads, lines)}
    examples = load(get("gpm-cycles"), "sample").examples
    assert len(rows) == 9  # the ninth has no circle
    assert len({each.prompt for each in examples}) == 8
    for example in examples:
        row = rows[example.prompt[0].text.removesuffix(" ")]
        by_text = {each["response"]: each["annotations"] for each in row["completions"]}
        for edge, criterion in zip(example.gold.relation, CYCLES[example.groups["set"]], strict=True):
            better, worse = (by_text[example.candidates[k].text.removesuffix(" ")] for k in (edge.i, edge.j))
            assert int(better[criterion]["Rating"]) > int(worse[criterion]["Rating"])


def test_the_least_keys_are_kept_once() -> None:
    rows = [{"key": f"{number % 250:03}", "n": number} for number in range(400)]
    kept = first_by_key({"rows": rows[::-1]})
    assert [each["key"] for each in kept] == [f"{number:03}" for number in range(200)]
    assert len({id(each) for each in kept}) == 200


def test_pairs_become_one_row() -> None:
    pairs = [{"chosen": "A", "reject": "B"}, {"chosen": "B", "reject": "A"}, {"chosen": "C", "reject": "A"}]
    made = cycle_of_pairs({"instruction": "Which?", "rows": pairs})
    assert made["candidates"] == ["A ", "B ", "C "]
    assert made["beats"] == [[0, 1, 1.0], [1, 0, 1.0], [2, 0, 1.0]]
    with pytest.raises(ValueError, match='"chosen" and "reject"'):
        cycle_of_pairs({"instruction": "Which?", "rows": [{"chosen": "A"}]})


def test_dice_are_compared_by_how_often_they_win() -> None:
    made = dice({"prefs": [{"i": 0, "j": 1, "p_i_wins": 0.25, "p_tie": 0.25, "p_j_wins": 0.5}]})
    assert made["beats"] == [[0, 1, -0.25]]
    with pytest.raises(ValueError, match="has no 'p_j_wins'"):
        dice({"prefs": [{"i": 0, "j": 1, "p_i_wins": 0.25}]})


def test_the_four_cycle_of_upstream(data: Path) -> None:
    loaded = load(get("gpm-four-cycle"), data)
    (example,) = loaded.examples
    assert loaded.missing == ()
    assert [file.rows for file in loaded.files] == [4]
    assert [each.text for each in example.candidates] == ["A ", "B ", "C ", "D "]
    assert [(edge.i, edge.j) for edge in example.gold.relation] == [(0, 1), (1, 2), (2, 3), (3, 0)]
    # unit vectors a quarter turn apart: neighbours have margin 1, opposite ones 0
    directed = ((0.0, 1.0, 0.0, -1.0), (-1.0, 0.0, 1.0, 0.0), (0.0, -1.0, 0.0, 1.0), (1.0, 0.0, -1.0, 0.0))
    row = Judged.of(example, Judgment(example.id, directed=directed))
    found = {each.metric: each.value for each in measure([row], get("gpm-four-cycle").metrics, resamples=50)}
    assert found == {"accuracy": 1.0, "scalar_ceiling": 0.75, "cyclic_triples": 0.0, "bradley_terry_fit": 0.0}
    assert by_rewards("gpm-four-cycle", example, (4.0, 3.0, 2.0, 1.0))["accuracy"] == 0.75


def check_dice(examples: tuple[Example, ...]) -> None:
    """Efron's four dice, Miwin's three and a balanced three, counted by rolling all faces against each other."""
    for example in examples:
        faces = [[int(face) for face in each.text.split(": ")[1].split()] for each in example.candidates]
        assert len(example.gold.relation) == len(faces) * (len(faces) - 1) / 2
        for edge in example.gold.relation:
            rolls = [(a > b) - (a < b) for a in faces[edge.i] for b in faces[edge.j]]
            assert edge.strength == pytest.approx(sum(rolls) / 36)
    ceilings = [by_rewards("dice-cycles", each, (0.0,) * len(each.candidates))["scalar_ceiling"] for each in examples]
    assert ceilings == pytest.approx([4 / 5, 2 / 3, 2 / 3])
    oracle = by_fake("dice-cycles", examples, "oracle")
    assert oracle["accuracy", None].value == 1.0
    assert oracle["accuracy", None].comparisons == 5 + 3 + 3
    # one circle in each set: 1 of Efron's 4 triples, the only triple of the others
    assert oracle["cyclic_triples", None].value == pytest.approx((1 / 4 + 1 + 1) / 3)


def test_the_bundled_dice() -> None:
    check_dice(load(get("dice-cycles"), "sample").examples[:3])


@pytest.mark.parametrize("source", ["auto", "hub", "nowhere"])
def test_the_dice_come_with_their_declaration(source: str) -> None:
    loaded = load(get("dice-cycles"), source)
    assert [each.id for each in loaded.examples] == ["dice-efron", "dice-miwin", "dice-three-balanced"]
    check_dice(loaded.examples)


@pytest.mark.parametrize("place, probability", [(2, 1.0), (-1, 1.0), (1, "often")])
def test_a_wrong_comparison_is_named(place: int, probability: object, tmp_path: Path) -> None:
    path = tmp_path / "synthetic" / "dice.jsonl"
    path.parent.mkdir()
    pref = {"i": 0, "j": place, "p_i_wins": probability, "p_tie": 0.0, "p_j_wins": 0.0}
    task = tmp_path / "dice.toml"
    task.write_text(get("dice-cycles").path.read_text().replace("bundled = true", ""))
    path.write_text(json.dumps({"id": "one", "prompt": "?", "candidates": ["a", "b"], "prefs": [pref]}))
    with pytest.raises(RmbenchError, match=r'synthetic/dice\.jsonl, row 0: column "(beats|prefs)"'):
        load(load_file(task), tmp_path, allow_changed_data=True)


@pytest.mark.parametrize(
    "change, hint",
    [
        (('adapt_gathered = "cycle_of_pairs"', 'adapt_gathered = "cycle_of_pair"'), 'Did you mean "cycle_of_pairs"?'),
        (('gather = ["instruction"]', ""), "rows.adapt_gathered: it transforms gathered rows"),
    ],
)
def test_a_transform_of_gathered_rows_is_checked(change: tuple[str, str], hint: str, tmp_path: Path) -> None:
    text = get("gpm-four-cycle").path.read_text()
    assert change[0] in text
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(*change))
    with pytest.raises(RmbenchError) as caught:
        load_file(path)
    assert hint in str(caught.value)
