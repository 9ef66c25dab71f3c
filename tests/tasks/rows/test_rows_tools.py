"""A column of tools: one form whatever upstream's, before every prompt; anything else is one error that names it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rmbench.errors import RmbenchError
from rmbench.tasks.declaration.columns import ColumnRule, TextRule
from rmbench.tasks.own.declare import own_task
from rmbench.tasks.registry import load_file, load_text
from rmbench.tasks.rows.fields import RawRow
from rmbench.tasks.rows.messages import conversation
from rmbench.tasks.rows.tools import tools
from rmbench.tasks.sources import load
from rmbench.types import Message

SUM = {
    "name": "sum",
    "description": "Adds numbers; 'a' + \"b\" \u00e9.",
    "parameters": {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}},
}
WRAPPED = {"type": "function", "function": SUM}


def read(value: Any, *, file: str = "rows.jsonl") -> list[Any]:
    row = RawRow(file, "rows", 0, {"tools": value}, Path())
    return [json.loads(message.text) for message in tools(row, ColumnRule(column="tools"))]


@pytest.mark.parametrize(
    "value",
    [
        [SUM],
        [WRAPPED],
        json.dumps([SUM]),
        json.dumps([WRAPPED], indent=2),
        [json.dumps(SUM)],
        json.dumps([json.dumps(SUM)]),
    ],
)
def test_every_spelling_is_the_same_message(value: Any) -> None:
    assert read(value) == [[WRAPPED]]


@pytest.mark.parametrize("value", [None, "", [], "[]"])
def test_a_row_may_have_none(value: Any) -> None:
    assert read(value) == []


def nested(depth: int) -> dict[str, Any]:
    inner: Any = "x"
    for _ in range(depth):
        inner = {"of": inner}
    return {"name": "deep", "parameters": inner}


@pytest.mark.parametrize(
    "value, what",
    [
        ("hammer and saw", "expected JSON of tool definitions"),
        ('{"name": "f"}', "expected a list of tool definitions, found an object"),
        ({"name": "f"}, "expected a list of tool definitions, found an object"),
        ('["f"]', r'\[0\]": expected JSON of tool definitions'),
        ([1], r'\[0\]": expected the JSON schema of a function, found 1'),
        ([SUM, {"description": "f"}], r'\[1\]": a function without a name \(it has description\)'),
        ([{"type": "function", "function": "f"}], "a function without a name"),
        ([{"name": " "}], "a function without a name"),
        ([{"name": "f", "n": float("nan")}], "cannot be written as JSON"),
        ('[{"name": "f", "n": NaN}]', "NaN is no JSON"),
        ('[{"name": "f", "n": -Infinity}]', "-Infinity is no JSON"),
        ([nested(64)], "more than 64 lists and objects within one another"),
        ([nested(5_000)], "more than 64 lists and objects within one another"),
        ("[" * 200_000, "expected JSON of tool definitions"),
        ('[{"name": "f", "n": ' + "9" * 5_000 + "}]", "expected JSON of tool definitions"),
        ([{"name": "f", "d": "x" * 2**22}], "characters of tool definitions, more than 4,194,304"),
        ([{"name": "f", "d": "\ud800"}], "half of a surrogate pair"),
        (['{"name": "f", "d": "\\ud800"}'], "half of a surrogate pair"),
    ],
)
@pytest.mark.parametrize("file", ["rows.jsonl", "rows.parquet"])
def test_anything_else_is_one_error(value: Any, what: str, file: str) -> None:
    with pytest.raises(RmbenchError, match=rf"^{file}, row 0: column \"tools.*{what}") as caught:
        read(value, file=file)
    assert len(str(caught.value)) < 400


def test_nulls_that_a_table_fills_in_are_left_out_and_those_of_json_are_not() -> None:
    filled = {"name": "f", "description": None, "parameters": {"a": {"enum": ["x"]}, "b": None}}
    bare = {"name": "f", "parameters": {"a": {"enum": ["x"]}}}
    assert read([filled], file="rows.parquet") == [[{"type": "function", "function": bare}]]
    for kept in (read([filled]), read(json.dumps([filled]), file="rows.parquet")):
        assert kept == [[{"type": "function", "function": filled}]]


def test_the_same_holds_of_the_calls_of_messages() -> None:
    call = {"function": {"name": "f", "arguments": {"a": 1, "b": None}}}
    turn = {"role": "assistant", "content": None, "tool_calls": [call]}
    rule = TextRule(column="turns", form="messages")
    for file, arguments in (("rows.parquet", {"a": 1}), ("rows.jsonl", {"a": 1, "b": None})):
        (message,) = conversation(RawRow(file, "rows", 0, {"turns": [turn]}, Path()), rule)
        assert message.as_dict["tool_calls"] == [{"function": {"name": "f", "arguments": arguments}}]


def test_a_task_declares_them_and_they_are_part_of_the_prompt(
    declaration: str, rows: list[dict[str, Any]], write: Callable[..., Path], place: Callable[..., Path]
) -> None:
    rows[0]["tools"], rows[1]["tools"] = [SUM], None
    loaded = load(
        load_file(write(declaration.replace('prompt = "question"', 'prompt = "question"\ntools = "tools"'))),
        str(place(rows)),
    )
    first, second = loaded.examples
    assert [message.role for message in first.prompt] == ["tools", "user"]
    assert [message.role for message in first.conversation(0)] == ["tools", "user", "assistant"]
    assert [message.role for message in second.prompt] == ["user"]
    rows[0]["tools"] = [{**SUM, "name": "total"}]
    changed = load(
        load_file(write(declaration.replace('prompt = "question"', 'prompt = "question"\ntools = "tools"'))),
        str(place(rows)),
    )
    assert changed.digest != loaded.digest


def test_they_stand_before_whole_conversations_and_system_messages_too(
    declaration: str, rows: list[dict[str, Any]], write: Callable[..., Path], place: Callable[..., Path]
) -> None:
    for row in rows:
        row["tools"], row["rules"] = [SUM], "Be kind."
        for side in ("good", "bad"):
            asked = {"role": "user", "content": row["question"]}
            row[side] = [asked, {"role": "assistant", "content": row[side]}]
    text = declaration.replace('prompt = "question"', 'answers_hold_prompt = true\ntools = "tools"')
    for side in ("good", "bad"):
        text = text.replace(f'"{side}"', f'{{ column = "{side}", form = "messages" }}')
    held = load(load_file(write(text)), str(place(rows))).examples[0]
    assert [message.role for message in held.conversation(1)] == ["tools", "user", "assistant"]
    text = text.replace("answers_hold_prompt = true", 'answers_hold_prompt = true\nsystem = "rules"')
    with_system = load(load_file(write(text)), str(place(rows))).examples[0]
    assert [message.role for message in with_system.conversation(1)] == ["tools", "system", "user", "assistant"]


def test_the_declaration_is_checked(declaration: str, write: Callable[..., Path], place: Callable[..., Path]) -> None:
    text = declaration.replace('prompt = "question"', 'prompt = "question"\ntools = { first_of = ["a"], column = "b" }')
    with pytest.raises(RmbenchError, match=r"columns\.tools: give exactly one of `column` and `first_of`"):
        load_text(text, Path("mine.toml"))
    absent = declaration.replace('prompt = "question"', 'prompt = "question"\ntools = "tools"')
    with pytest.raises(RmbenchError, match='no column "tools"'):
        load(
            load_file(write(absent)),
            str(place([{"key": 1, "question": "q", "good": "a", "bad": "b", "topic": "moon"}])),
        )


@pytest.mark.parametrize("value", [[SUM], json.dumps([SUM]), [json.dumps(SUM)]])
def test_own_rows_are_recognised(value: Any, tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    rows = [{"prompt": "q", "chosen": "g", "rejected": "b", "tools": each} for each in (value, None)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    own = own_task(str(file))
    assert "tools=tools" in own.line
    first, second = load(own.task).examples
    assert first.prompt == (Message.of_tools([WRAPPED]), Message.of("user", "q"))
    assert second.prompt == (Message.of("user", "q"),)


def test_own_rows_whose_tools_are_no_functions(tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text(json.dumps({"prompt": "q", "chosen": "g", "rejected": "b", "tools": "hammer, saw"}) + "\n")
    assert "not read: tools" in own_task(str(file)).line
    with pytest.raises(RmbenchError, match='column "tools": expected JSON of tool definitions, found "hammer, saw"'):
        load(own_task(str(file), {"tools": "tools"}).task)
