"""Odd rows: each is read as a plain reader of the file would, or is one error that names the row and what is wrong."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest

from rmbench.errors import RmbenchError
from rmbench.tasks.own.declare import Own, own_task
from rmbench.tasks.sources import load
from rmbench.types import Example

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
TWO = {"prompt": "q", "answer_a": "x", "answer_b": "y"}
PAIR = {"prompt": "q", "chosen": "g", "rejected": "b"}
CALL = {"type": "function", "function": {"name": "f", "arguments": "{}"}}


def said(*turns: str) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(turns)]


def answer(text: Any, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **more}


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., tuple[Own, tuple[Example, ...]]]:
    def reader(rows: Any, name: str = "rows.jsonl", **columns: str) -> tuple[Own, tuple[Example, ...]]:
        content = "".join(json.dumps(row) + "\n" for row in rows).encode() if isinstance(rows, list) else rows
        (tmp_path / name).write_bytes(content)
        own = own_task(str(tmp_path / name), columns)
        return own, load(own.task).examples

    return reader


def plain(example: Example) -> list[list[tuple[str, str]]]:
    """[candidates] the turns that a model reads."""
    return [
        [(message.role, message.text) for message in example.conversation(k)] for k in range(len(example.candidates))
    ]


ASKED = [[("user", "q"), ("assistant", "g")], [("user", "q"), ("assistant", "b")]]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "q", "chosen": answer("g"), "rejected": answer("b")},
        {"prompt": "q", "chosen": answer([{"type": "text", "text": "g"}]), "rejected": answer("b")},
        {"prompt": "q", "chosen": {"from": "gpt", "value": "g"}, "rejected": {"from": "gpt", "value": "b"}},
        {"prompt": "q", "chosen": json.dumps(said("q", "g")), "rejected": json.dumps(said("q", "b"))},
        {"prompt": json.dumps(said("q")), "chosen": json.dumps([answer("g")]), "rejected": json.dumps([answer("b")])},
        {"prompt": "q", "chosen": json.dumps(answer("g")), "rejected": json.dumps(answer("b"))},
        {"prompt": "\n\nHuman: q\n\nAssistant:", "chosen": "g", "rejected": "b"},
        {"prompt": "\n\nHuman: q\n\nAssistant: ", "response_a": "g", "response_b": "b", "winner": "A"},
    ],
)
def test_layouts_of_messages(read: Any, row: dict[str, Any]) -> None:
    _, (example,) = read([row])
    assert plain(example) == ASKED


def test_keys_of_a_single_message_stay(read: Any) -> None:
    rows = [{"prompt": "q", "chosen": answer("g", reasoning_content="r"), "rejected": answer(None, tool_calls=[CALL])}]
    _, (example,) = read(rows)
    assert [dict(each.messages[0].extra) for each in example.candidates] == [
        {"reasoning_content": '"r"'},
        {"tool_calls": json.dumps([CALL])},
    ]


def test_messages_without_content_are_messages(read: Any) -> None:
    called = [*said("q"), {"role": "assistant", "tool_calls": [CALL]}, {"role": "tool", "content": "3"}]
    _, (example,) = read([{"prompt": called, "chosen": [answer("g")], "rejected": [answer("b")]}])
    assert [message.role for message in example.prompt] == ["user", "assistant", "tool"]


SYSTEM = [{"role": "system", "content": "s"}]


@pytest.mark.parametrize(
    "rows, prompts",
    [
        (
            [{"prompt": "q", "chosen": SYSTEM + said("q", "g"), "rejected": SYSTEM + said("q", "b")}],
            [[("system", "s"), ("user", "q")]],
        ),
        (
            [
                {"prompt": "q", "chosen": said("q", "g"), "rejected": said("q", "b")},
                {"prompt": "q", "chosen": SYSTEM + said("q", "g"), "rejected": SYSTEM + said("q", "b")},
            ],
            [[("user", "q")], [("system", "s"), ("user", "q")]],
        ),
        (
            [{"prompt": "q2", "chosen": said("q", "a", "q2", "g"), "rejected": said("q", "a", "q2", "b")}],
            [[("user", "q"), ("assistant", "a"), ("user", "q2")]],
        ),
        (
            [{"chosen": [answer("hi"), *said("q", "g")], "rejected": [answer("hi"), *said("q", "b")]}],
            [[("assistant", "hi"), ("user", "q")]],
        ),
        (
            [{"prompt": f"Is {k} odd?", "chosen": f"Is {k} odd? g", "rejected": f"Is {k} odd?\nb"} for k in (1, 2)],
            [[("user", "Is 1 odd?")], [("user", "Is 2 odd?")]],
        ),
    ],
)
def test_the_prompt_is_read_once(read: Any, rows: Any, prompts: Any) -> None:
    own, examples = read(rows)
    assert "the answers hold the prompt" in own.line
    assert [[(message.role, message.text) for message in each.prompt] for each in examples] == prompts
    assert {tuple(c.text for c in each.candidates) for each in examples} == {("g", "b")}


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "q", "chosen": [answer("g")], "rejected": [answer("b")]},
        {"prompt": "q", "chosen": answer("g"), "rejected": answer("b")},
        {"prompt": said("q"), "chosen": "g", "rejected": "b"},
        {"prompt": "q", "chosen": said("q", "g"), "rejected": said("q", "b")},
        {"chosen": said("q", "g"), "rejected": said("q", "b")},
        {"chosen": SYSTEM + said("q", "g"), "rejected": SYSTEM + said("q", "b")},
        {"prompt": SYSTEM + said("q"), "chosen": [answer("g")], "rejected": [answer("b")]},
    ],
)
def test_a_column_of_system_messages_is_read_once(read: Any, row: dict[str, Any]) -> None:
    _, (example,) = read([{"system": "s", **row}])
    assert plain(example) == [[("system", "s"), *turns] for turns in ASKED]


@pytest.mark.parametrize("name, value", [("system", "s"), ("tools", "[]")])
def test_system_messages_and_tools_are_not_left_out_for_a_few_rows(read: Any, name: str, value: str) -> None:
    with pytest.raises(RmbenchError, match=f'"{name}" holds a text in row 0 and a number in row 1'):
        read([{**PAIR, name: value}, {**PAIR, name: float("nan")}])


def test_an_answer_may_repeat_the_question(read: Any) -> None:
    rows = [{"prompt": f"q{k}", "chosen": f"q{k}: g", "rejected": "b"} for k in (1, 2)]
    own, examples = read(rows)
    assert "hold" not in own.line
    assert examples[0].candidates[0].text == "q1: g"


@pytest.mark.parametrize(
    "rows, name, message",
    [
        ([PAIR, {**PAIR, "chosen": 5}], "", r"chosen \(a text in row 0 and a number in row 1\)"),
        ([PAIR, {**PAIR, "prompt": ["q"]}], "", r"none of them holds the prompt.*a list of texts in row 1"),
        ([{**TWO, "winner": w} for w in ("A", "B", "a tie?")], "", r'"winner".* row 2 has "a tie\?", which was not'),
        ([{**TWO, "winner": w} for w in ("A", "", "B")], "", r'row 1 has ""'),
        ([{**TWO, "winner": w} for w in (1.0, float("nan"), 2.0)], "", r"row 1 has NaN"),
        ([{**TWO, "winner": w} for w in ("A", 1)], "", r"holds a text in row 0 and a number in row 1"),
        ([{**TWO, "loser": "A"}], "", r'column "loser" seems to say which answer is better'),
        ([{"prompt": "q", "response": "x", "rating": w} for w in ("3", "4")], "", r'its numbers are texts \("3"'),
        (b"prompt,response,rating\nq,x,3\nq,y,N/A\n", "rows.csv", r'"rating".* row 1 has "N/A"'),
        (b"prompt,response,rating\nq,x,1_000\nq,y,2\n", "rows.csv", r'its numbers are texts \("1_000"'),
        ([{"prompt": "q", "responses": ["x", "y"], "scores": [1, None]}], "", r"a list of a number and null in row 0"),
        (
            [{"prompt": "q", "responses": ["x", "y"], "scores": [2**53, 2**53 + 1]}],
            "",
            r'row 0: column "scores": 9007199',
        ),
        (
            [{"prompt": "q", "responses": [], "scores": []}, {"prompt": "q", "responses": ["x"], "scores": [1]}],
            "",
            "row 0",
        ),
        (
            [{"prompt": "q", "chosen": repr(said("q", "g")), "rejected": "b"}],
            "",
            r'row 0: column "chosen" holds messages',
        ),
        (b"prompt;chosen;rejected\nq;g;b\n", "rows.csv", r"line 1: the header is one column, .* found ';'"),
        (b"prompt\tchosen\trejected\nq\tg\tb\n", "rows.csv", r"line 1: the header is one column"),
        (json.dumps(PAIR).encode("utf-16-le"), "", "text in UTF-16"),
        (b"{}", "rows.json", "holds no row"),
        (b"{}\n{}\n", "", "holds no row"),
    ],
)
def test_one_error_that_says_where(read: Any, rows: Any, name: str, message: str) -> None:
    with pytest.raises(RmbenchError, match=f"rows.*{message}"):
        read(rows, name or "rows.jsonl")


FIRST, SECOND, TIE = [(0, 1, 1.0)], [(1, 0, 1.0)], [(0, 1, 0.0)]


@pytest.mark.parametrize(
    "rows, gold",
    [
        ([{**TWO, "winner": w} for w in ("model_a", "both_bad", "tie", "tie_bothbad")], [FIRST, TIE, TIE, TIE]),
        ([{**TWO, "chosen": w} for w in ("a", "b")], [FIRST, SECOND]),
        ([{"prompt": "q", "responses": ["x", "y"], "correct": [0, 1]}], [SECOND]),
    ],
)
def test_labels(read: Any, rows: Any, gold: Any) -> None:
    _, examples = read(rows)
    assert [[(edge.i, edge.j, edge.strength) for edge in each.gold.relation] for each in examples] == gold


def test_right_and_wrong_of_a_csv(read: Any) -> None:
    _, examples = read(b"prompt,completion,label\nq,x,True\nq,y,False\n", "rows.csv")
    assert [each.gold.ratings for each in examples] == [((1.0,),), ((0.0,),)]


def test_decimals_are_numbers(tmp_path: Path) -> None:
    rows = pd.DataFrame({"prompt": ["q"] * 2, "response": ["x", "y"], "rating": [Decimal("4.5"), Decimal("-0.25")]})
    rows.to_parquet(tmp_path / "rows.parquet")
    examples = load(own_task(str(tmp_path / "rows.parquet")).task).examples
    assert [each.gold.ratings for each in examples] == [((4.5,),), ((-0.25,),)]


def test_a_row_of_messages_alone_in_a_json_file(read: Any) -> None:
    _, (example,) = read(json.dumps({"chosen": said("q", "g"), "rejected": said("q", "b")}).encode(), "rows.json")
    assert plain(example) == ASKED


@pytest.mark.parametrize("value", [PNG, {"bytes": PNG, "path": None}])
def test_images_of_a_column_of_any_name_are_not_left_out_in_silence(tmp_path: Path, value: Any) -> None:
    pd.DataFrame([{**PAIR, "screenshot": value}]).to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(RmbenchError, match='column "screenshot" holds media'):
        own_task(str(tmp_path / "rows.parquet"))


@pytest.mark.parametrize(
    "held",
    [
        {"image": base64.b64encode(PNG).decode()},
        {"base64": base64.b64encode(PNG).decode()},
        {"image": {"bytes": base64.b64encode(PNG).decode(), "path": None}},
        {"path": "a.png"},
        {"url": "data:image/png;base64," + base64.b64encode(PNG).decode()},
    ],
)
def test_images_of_messages_however_they_are_held(read: Any, tmp_path: Path, held: Any) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    shown = [{"role": "user", "content": [{"type": "image", **held}, {"type": "text", "text": "q"}]}]
    _, (example,) = read([{"prompt": shown, "chosen": [answer("g")], "rejected": [answer("b")]}])
    path = example.prompt[0].parts[0].path
    assert path is not None
    assert Path(path).read_bytes() == PNG


def test_a_text_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    chosen = pyarrow.array([b"g", b"\xff"]).view(pyarrow.string())
    table = pyarrow.table({"prompt": ["q"] * 2, "chosen": chosen, "rejected": ["b"] * 2})
    pyarrow.parquet.write_table(table, tmp_path / "rows.parquet")
    with pytest.raises(RmbenchError, match=r"chosen \(a text in row 0 and a value that cannot be read .* in row 1\)"):
        own_task(str(tmp_path / "rows.parquet"))
