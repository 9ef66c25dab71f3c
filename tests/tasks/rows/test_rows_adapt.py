"""Rows into examples: what each shape takes, and what it refuses with file, row and column named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rmbench.errors import RmbenchError
from rmbench.tasks.registry import get, load_file
from rmbench.tasks.sources import load
from rmbench.types import Example

Rows = list[dict[str, Any]]


@pytest.fixture
def made(
    declaration: str, write: Callable[..., Path], place: Callable[..., Path]
) -> Callable[[Rows, dict[str, str]], tuple[Example, ...]]:
    """Load rows by the declaration with some of its text replaced."""

    def maker(rows: Rows, changes: dict[str, str]) -> tuple[Example, ...]:
        text = declaration.replace("n = 2", f"n = {len(rows)}")
        for before, after in changes.items():
            assert before in text
            text = text.replace(before, after)
        return load(load_file(write(text)), place(rows)).examples

    return maker


COLUMNS = 'chosen = "good"\nrejected = "bad"'
Made = Callable[[Rows, dict[str, str]], tuple[Example, ...]]


@pytest.mark.parametrize(
    "change, hint",
    [
        ({"good": None}, 'column "good": expected a text, found nothing (null)'),
        ({"good": 3}, 'column "good": expected a text, found 3'),
        ({"good": ["a", "b"]}, 'column "good": expected a text, found a list of 2'),
        ({"good": {"text": "a"}}, 'column "good": expected a text, found an object'),
        ({"question": False}, 'column "question": expected a text, found false'),
        ({"key": None}, 'column "key": expected a text or a whole number'),
        ({"key": 1.5}, 'column "key": expected a text or a whole number, found 1.5'),
        ({"topic": "mooon"}, 'column "topic": "mooon" belongs to no value of group "topic". Did you mean "moon"?'),
        ({"bad": "half \ud83d"}, 'column "bad": character 5 is half of a surrogate pair'),
    ],
)
def test_wrong_values_name_row_and_column(change: dict[str, Any], hint: str, rows: Rows, made: Made) -> None:
    rows[1].update(change)
    with pytest.raises(RmbenchError) as caught:
        made(rows, {})
    assert f"rows.jsonl, row 1: {hint}" in str(caught.value)


@pytest.mark.parametrize("column", ["question", "good", "bad", "key", "topic"])
def test_a_missing_column_is_named_with_those_there(column: str, rows: Rows, made: Made) -> None:
    rows[1][column[:-1] + "x"] = rows[1].pop(column)
    with pytest.raises(RmbenchError) as caught:
        made(rows, {})
    message = str(caught.value)
    assert f'rows.jsonl, row 1: no column "{column}".' in message
    assert "Columns here: " in message
    if len(column) > 3:
        assert f'Did you mean "{column[:-1]}x"?' in message


def test_numbers_become_text_where_declared(rows: Rows, made: Made) -> None:
    rows[0]["good"], rows[1]["good"] = True, 7
    examples = made(rows, {'chosen = "good"': 'chosen = { column = "good", cast = true }'})
    assert [each.candidates[0].text for each in examples] == ["True", "7"]


def test_first_of_and_join(rows: Rows, made: Made) -> None:
    rows[1]["worse"] = rows[1].pop("bad")
    for row, extra in zip(rows, ["", "Be brief."], strict=True):
        row["extra"] = extra
    examples = made(
        rows,
        {
            'rejected = "bad"': 'rejected = { first_of = ["bad", "worse"] }',
            'prompt = "question"': 'prompt = { join = ["question", "extra"], separator = " " }',
        },
    )
    assert [each.candidates[1].text for each in examples] == ["Snow.", "The floor."]
    assert [each.prompt[0].text for each in examples] == ["What rises in an oven?", "What lights the night? Be brief."]


def test_steps_into_objects_and_lists(rows: Rows, made: Made) -> None:
    for row in rows:
        row["good"] = {"text": row["good"], "by": "a"}
        row["bad"] = [{"text": row["bad"], "by": "b"}, {"text": "Nothing.", "by": "c"}]
    changes = {
        'shape = "pair"': 'shape = "pick"',
        COLUMNS: 'chosen = "good.text"\nrejected = "bad[].text"\n'
        'chosen_source = "good.by"\nrejected_source = "bad[].by"',
    }
    first = made(rows, changes)[0]
    assert [(c.text, c.source) for c in first.candidates] == [("Dough.", "a"), ("Snow.", "b"), ("Nothing.", "c")]
    assert [(edge.i, edge.j) for edge in first.gold.relation] == [(0, 1), (0, 2)]
    del rows[1]["bad"][1]["text"]
    with pytest.raises(RmbenchError, match=r'row 1: no column "bad\[\]\.text"\.'):
        made(rows, changes)


def test_a_column_whose_name_holds_a_dot(rows: Rows, made: Made) -> None:
    for row in rows:
        row["good.text"] = row.pop("good")
    assert made(rows, {'"good"': '"good.text"'})[0].candidates[0].text == "Dough."


def test_a_pair_has_two_answers(rows: Rows, made: Made) -> None:
    for row in rows:
        row["bad"] = [row["bad"], "Nothing."]
    with pytest.raises(RmbenchError, match="row 0: 1 chosen and 2 rejected answers make no pair"):
        made(rows, {'"bad"': '"bad[]"'})
    rows[0]["bad"] = []
    with pytest.raises(RmbenchError, match="row 0: 1 chosen and 0 rejected answers make no pick"):
        made(rows, {'"bad"': '"bad[]"', 'shape = "pair"': 'shape = "pick"'})


LABELLED = {
    COLUMNS: 'candidates = ["good", "bad"]\ngold = { column = "label", winners = [[1], [2]], tie = [0] }',
}


def test_labels_say_who_won(rows: Rows, made: Made) -> None:
    rows.append({**rows[0], "key": 3})
    for row, label in zip(rows, [1, 2, 0], strict=True):
        row["label"] = label
    golds = [each.gold.relation for each in made(rows, LABELLED)]
    assert [(edge.i, edge.j, edge.strength) for (edge,) in golds] == [(0, 1, 1.0), (1, 0, 1.0), (0, 1, 0.0)]


@pytest.mark.parametrize("label", [3, "1", True, None, 1.0])
def test_labels_of_other_kinds_are_refused(label: Any, rows: Rows, made: Made) -> None:
    rows[0]["label"], rows[1]["label"] = 1, label
    with pytest.raises(RmbenchError, match=r'row 1: column "label": .* is no label \(expected one of 1, 2, 0\)'):
        made(rows, LABELLED)


RATED = {
    'shape = "pair"': 'shape = "rated"',
    COLUMNS: 'candidates = ["good"]\nratings = { ease = "scores.ease", overall = "scores.all" }',
    'rule = "pair"\nlevels = [{ group = "topic", weights = { Food = 2, Sky = 1 } }]': 'rule = "spearman"\n'
    'dimension = "overall"',
}


def test_ratings(rows: Rows, made: Made) -> None:
    rows[0]["scores"], rows[1]["scores"] = {"ease": 1, "all": 4.5}, {"ease": 0.5, "all": 2}
    golds = [each.gold for each in made(rows, RATED)]
    assert [gold.ratings for gold in golds] == [((1.0, 4.5),), ((0.5, 2.0),)]
    assert golds[0].dimensions == ("ease", "overall")


@pytest.mark.parametrize("value", [None, "4", True, ["4"]])
def test_ratings_are_finite_numbers(value: Any, rows: Rows, made: Made) -> None:
    rows[0]["scores"] = rows[1]["scores"] = {"ease": 1, "all": value}
    with pytest.raises(RmbenchError, match=r'row 0: column "scores\.all": expected a finite number'):
        made(rows, RATED)


MESSAGES = {'prompt = "question"': 'prompt = { column = "question", form = "messages" }'}


def test_conversations(rows: Rows, made: Made) -> None:
    turns = [("system", "Be kind."), ("user", "Hello."), ("assistant", "Hi."), ("user", "")]
    for row in rows:
        row["question"] = [{"role": role, "content": text, "language": None} for role, text in turns]
    example = made(rows, MESSAGES)[0]
    assert [(message.role, message.text) for message in example.prompt] == turns
    assert example.conversation(1)[-1].text == "Snow."


@pytest.mark.parametrize(
    "turns, hint",
    [
        ([], "expected a list of messages, found a list of 0"),
        ("hello", 'expected a list of messages or its JSON text, found "hello"'),
        ([{"role": "user"}], 'question[0]": the message has no "content"'),
        ([{"role": "user", "contents": "x"}], 'Did you mean "contents"?'),
        ([{"role": "usr", "content": "x"}], 'Did you mean "user"?'),
        ([{"role": None, "content": "x"}], "None is no role"),
        ([{"role": "user", "content": 3}], 'question[0].content": expected a text, found 3'),
        (["hello"], "expected a message with role and content"),
    ],
)
def test_broken_conversations(turns: Any, hint: str, rows: Rows, made: Made) -> None:
    rows[0]["question"] = turns
    with pytest.raises(RmbenchError) as caught:
        made(rows, MESSAGES)
    assert "rows.jsonl, row 0" in str(caught.value)
    assert hint in str(caught.value)


def test_context_and_groups_by_prefix(rows: Rows, made: Made) -> None:
    rows[0]["topic"], rows[1]["topic"] = "food/bread", "food/bread/rye"
    before = 'topic = { column = "topic", values = { Food = ["bread", "soup"], Sky = ["moon"] } }'
    after = 'topic = { column = "topic", prefixes = { Food = ["food/"], Sky = ["food/bread/"] } }'
    made_of = made(rows, {before: after, COLUMNS: COLUMNS + '\ncontext = { hint = "topic" }'})
    assert [each.groups["topic"] for each in made_of] == ["Food", "Sky"]  # the longest prefix wins
    assert made_of[1].context == {"hint": "food/bread/rye"}


def test_clusters(rows: Rows, made: Made) -> None:
    rows.append({**rows[0], "key": 3, "topic": "soup"})
    rows.append({**rows[0], "key": 4, "topic": "moon"})
    clusters = [each.cluster for each in made(rows, {'id = ["key"]': 'id = ["key"]\ncluster = ["@prompt"]'})]
    assert clusters[0] == clusters[2] == clusters[3] != clusters[1]
    clusters = [each.cluster for each in made(rows, {'id = ["key"]': 'id = ["key"]\ncluster = ["@topic", "@prompt"]'})]
    assert clusters[0] == clusters[2]
    assert len(set(clusters)) == 3
    assert {each.cluster for each in made(rows, {})} == {""}


def test_styles_need_three_of_each(tmp_path: Path) -> None:
    path = tmp_path / "data" / "chat_filtered.json"
    path.parent.mkdir()
    path.write_text('[{"id": 1, "prompt": "p", "chosen": ["a", "b"], "rejected": ["c", "d", "e"], "subset": "s"}]')
    with pytest.raises(RmbenchError, match="row 0: expected 3 chosen and 3 rejected answers, found 2 and 3"):
        load(get("rm-bench"), tmp_path, allow_changed_data=True)


def test_style_edges() -> None:
    relation = load(get("rm-bench"), "sample").examples[0].gold.relation
    assert [(edge.i, edge.j) for edge in relation] == [(i, 3 + j) for i in range(3) for j in range(3)]
    levels = {edge.tags[1].removeprefix("cell="): edge.tags[0].removeprefix("level=") for edge in relation}
    # hard: the chosen answer is the plainer one (concise 0, detailed 1, Markdown 2)
    assert {cell for cell, level in levels.items() if level == "hard"} == {"0,1", "0,2", "1,2"}
    assert {cell for cell, level in levels.items() if level == "easy"} == {"1,0", "2,0", "2,1"}
    assert {cell for cell, level in levels.items() if level == "normal"} == {"0,0", "1,1", "2,2"}


def test_a_system_message_stands_before_the_prompt_and_an_empty_one_nowhere(rows: Rows, made: Made) -> None:
    rows[0]["rules"], rows[1]["rules"] = "Be brief.", ""
    first, second = made(rows, {'prompt = "question"': 'prompt = "question"\nsystem = "rules"'})
    assert [(message.role, message.text) for message in first.prompt] == [
        ("system", "Be brief."),
        ("user", "What rises in an oven?"),
    ]
    assert [message.role for message in second.prompt] == ["user"]


@pytest.mark.parametrize("absent", ["", None])
def test_an_empty_value_of_a_group_has_its_default(absent: str | None, rows: Rows, made: Made) -> None:
    rows[1]["topic"] = absent
    before = 'column = "topic", values = { Food = ["bread", "soup"], Sky = ["moon"] }'
    found = made(
        rows, {before: 'column = "topic", default = "moon"', "{ Food = 2, Sky = 1 }": "{ bread = 2, moon = 1 }"}
    )
    assert [each.groups["topic"] for each in found] == ["bread", "moon"]


def test_lists_in_lists_are_one_list(rows: Rows, made: Made) -> None:
    for row in rows:
        row["bad"] = [["One.", "Two."], ["Three."]]
    first = made(rows, {'"bad"': '"bad[]"', 'shape = "pair"': 'shape = "pick"'})[0]
    assert [candidate.text for candidate in first.candidates] == ["Dough.", "One.", "Two.", "Three."]


def test_a_row_is_excluded_by_type_and_value(rows: Rows, made: Made) -> None:
    rows += [{**rows[0], "key": 3}, {**rows[1], "key": 4}]
    for row, drop in zip(rows, [True, 1, "1", 1.0], strict=True):
        row["drop"] = drop
    rule = '\n[[rows.exclude]]\ncolumn = "drop"\nvalues = [1]\nwhy = "dropped"\n\n[groups]'
    assert [each.id for each in made(rows, {"\n[groups]": rule})] == ["1", "3", "4"]


@pytest.mark.parametrize("sources", [["b"], ["b", "c", "d"]])
def test_as_many_sources_as_answers(sources: list[str], rows: Rows, made: Made) -> None:
    for row in rows:
        row["bad"], row["by"] = ["Nothing.", "Something."], sources
    changes = {
        'shape = "pair"': 'shape = "pick"',
        COLUMNS: 'chosen = "good"\nrejected = "bad[]"\nrejected_source = "by[]"',
    }
    with pytest.raises(RmbenchError, match=f"row 0: 2 responses, but {len(sources)} names of who wrote them"):
        made(rows, changes)
