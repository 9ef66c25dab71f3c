"""Lists of chat messages as upstream has them: further keys, content in parts, the roles of other layouts."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rmbench.errors import RmbenchError
from rmbench.tasks.declaration.columns import TextRule
from rmbench.tasks.registry import load_file
from rmbench.tasks.rows.fields import RawRow
from rmbench.tasks.rows.messages import conversation
from rmbench.tasks.sources import load
from rmbench.types import Conversation, Message

CALL = {"type": "function", "id": "c1", "function": {"name": "weather", "arguments": {"city": "Graz"}}}


def read(*turns: Any, ignore_keys: tuple[str, ...] = ()) -> Conversation:
    row = RawRow("rows.jsonl", "rows", 0, {"turns": list(turns)})
    return conversation(row, TextRule(column="turns", form="messages", ignore_keys=list(ignore_keys)))


@pytest.mark.parametrize(
    "key, value", [("tool_calls", [CALL]), ("reasoning_content", "Hm."), ("name", "Ann"), ("x", 0)]
)
def test_further_keys_are_kept_as_upstream_has_them(key: str, value: Any) -> None:
    turn = {"role": "assistant", "content": "Yes.", key: value}
    assert read(turn | {"empty": None, "none": []})[0].as_dict == turn
    assert read(turn, ignore_keys=(key,)) == (Message.of("assistant", "Yes."),)


@pytest.mark.parametrize("turn", [{"content": None}, {}])
def test_content_may_be_null_beside_calls(turn: dict[str, Any]) -> None:
    (message,) = read({"role": "assistant", "tool_calls": [CALL], **turn})
    assert message.as_dict == {"role": "assistant", "content": None, "tool_calls": [CALL]}
    with pytest.raises(RmbenchError, match=r"rows\.jsonl, row 0"):
        read({"role": "assistant", "name": "Ann", **turn})


def test_content_in_parts_is_read_as_its_texts() -> None:
    parts = [{"type": "text", "text": "Boil "}, {"type": "text", "text": "an egg.", "image_url": None}]
    (message,) = read({"role": "user", "content": parts})
    assert (message.text, len(message.parts)) == ("Boil an egg.", 2)
    assert read({"role": "user", "content": [{"type": "input_text", "text": "Hi"}]}) == read(
        {"role": "user", "content": "Hi"}
    )


@pytest.mark.parametrize(
    "parts, what",
    [
        ([], "a list of parts, found an empty list"),
        (["Hi"], 'content[0]": expected a part with type and text, found "Hi"'),
        ([{"type": "image_url", "image_url": {"url": "x"}}], "a part of type 'image_url', where only text is read"),
        ([{"type": "text", "text": "a", "image": "x"}], 'a part with "image", where only text is read'),
        ([{"type": "text", "text": None}], 'content[0].text": expected a text'),
        ([{"text": "a"}], "a part of type None"),
    ],
)
def test_parts_that_are_no_text(parts: Any, what: str) -> None:
    with pytest.raises(RmbenchError) as caught:
        read({"role": "user", "content": parts})
    assert what in str(caught.value)
    assert str(caught.value).startswith('rows.jsonl, row 0: column "turns[0].content')


PNG = base64.b64encode(b"\x89PNG and the rest").decode()


@pytest.mark.parametrize(
    "part, kind, content",
    [
        ({"type": "image", "image": "a.png"}, "image", b"file"),
        ({"type": "image", "image": {"bytes": b"held", "path": "b.png"}}, "image", b"held"),
        ({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "low"}}, "image", None),
        ({"type": "input_image", "image_url": "https://example.org/pictures/a.png?size=1"}, "image", b"file"),
        ({"type": "video", "video": "a.png", "fps": 2.0, "text": None}, "video", b"file"),
        ({"type": "image", "image": "missing.png"}, "image", b""),
    ],
)
@pytest.mark.parametrize("role", ["user", "assistant", "tool"])
def test_images_and_videos_stand_in_any_turn(
    part: dict[str, Any], kind: str, content: bytes | None, role: str, tmp_path: Path
) -> None:
    (tmp_path / "media").mkdir()
    (tmp_path / "media/a.png").write_bytes(b"file")
    turns = [{"role": role, "content": [{"type": "text", "text": "See "}, part, {"type": "text", "text": "this."}]}]
    row = RawRow("rows.jsonl", "rows", 0, {"turns": turns}, root=tmp_path)
    (message,) = conversation(row, TextRule(column="turns", form="messages"), ["media"])
    assert [each.kind for each in message.parts] == ["text", kind, "text"]
    found = message.parts[1].path
    assert (found is None) == (content == b"")
    if found is not None:
        assert Path(found).read_bytes() == (b"\x89PNG and the rest" if content is None else content)


@pytest.mark.parametrize(
    "part, what",
    [
        ({"type": "image"}, 'the part has no "image". Where another column holds the images'),
        ({"type": "image", "image": "a.png", "crop": 1}, 'a part that shows images with "crop"'),
        ({"type": "image", "image": "../a.png"}, "leads out of"),
        ({"type": "image", "image": 3}, "expected the name or the bytes of an image"),
        ({"type": "sound", "sound": "a"}, "a part of type 'sound'"),
    ],
)
def test_parts_that_show_nothing_readable(part: dict[str, Any], what: str, tmp_path: Path) -> None:
    row = RawRow("rows.jsonl", "rows", 0, {"turns": [{"role": "user", "content": [part]}]}, root=tmp_path)
    with pytest.raises(RmbenchError, match=re.escape(what)):
        conversation(row, TextRule(column="turns", form="messages"), ["."])


def test_developer_is_the_newer_name_of_system() -> None:
    assert read({"role": "developer", "content": "Be brief."}) == (Message.of("system", "Be brief."),)


def test_from_and_value_are_role_and_content() -> None:
    old = [{"from": role, "value": role} for role in ("system", "human", "gpt", "observation")]
    assert [message.role for message in read(*old)] == ["system", "user", "assistant", "tool"]
    with pytest.raises(RmbenchError, match="'bing' is no role"):
        read({"from": "bing", "value": "Hi."})


def test_candidates_that_differ_in_their_calls_are_not_identical(
    declaration: str, write: Callable[..., Path], place: Callable[..., Path], rows: list[dict[str, Any]]
) -> None:
    other = json.loads(json.dumps(CALL).replace("Graz", "Linz"))
    for row in rows:
        row["good"], row["bad"] = (
            [{"role": "assistant", "content": "", "tool_calls": [each]}] for each in (CALL, other)
        )
    sides = "\n".join(f'{each} = {{ column = "{each}", form = "messages" }}' for each in ("good", "bad"))
    columns = sides.replace("good =", "chosen =").replace("bad =", "rejected =")
    loaded = load(load_file(write(declaration.replace('chosen = "good"\nrejected = "bad"', columns))), place(rows))
    assert loaded.notes == ()
    swapped = [row | {"good": row["bad"], "bad": row["good"]} for row in rows]
    again = load(load_file(write(declaration.replace('chosen = "good"\nrejected = "bad"', columns))), place(swapped))
    assert again.digest != loaded.digest
