"""Media that a task declares to be changed: spelled in columns, checked row by row, told apart in digests."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from rmbench.errors import RmbenchError
from rmbench.tasks.registry import get, load_file
from rmbench.tasks.sources import load
from rmbench.types import Part

TOML = """
id = "augmented"
version = 1
title = "Augmented"
family = "image"
modality = "image"
shape = "pair"
n = 2
verified = true
[[files]]
paths = ["rows.jsonl"]
[columns]
prompt = "text"
chosen = { column = "image", form = "image" }
rejected = { column = "image", form = "image", change = "{change}" }
[groups]
change = "change"
[[metric]]
name = "accuracy"
rule = "pair"
chance = 0.5
"""


def shown(example: Any) -> list[Part]:
    return [candidate.messages[0].parts[0] for candidate in example.candidates]


def written(folder: Path, *changes: str, toml: str = TOML) -> Any:
    Image.new("RGB", (8, 8)).save(folder / "a.png")
    rows = [{"text": "a square", "image": "a.png", "change": change} for change in changes]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "augmented.toml").write_text(toml)
    return load_file(folder / "augmented.toml")


def test_a_row_says_how_its_image_is_changed(tmp_path: Path) -> None:
    loaded = load(written(tmp_path, "crop:0.50", "blur:2:7"), "auto")
    assert [[part.change for part in shown(example)] for example in loaded.examples] == [
        ["", "crop:0.5"],
        ["", "blur:2:7"],
    ]
    assert [example.groups["change"] for example in loaded.examples] == ["crop:0.50", "blur:2:7"]
    assert shown(loaded.examples[0])[1].label == "a.png (crop:0.5)"
    other = load(written(tmp_path, "crop:0.50", "blur:2:8"), "auto")
    assert loaded.media == other.media  # one file, whatever is made of it
    assert other.digest != loaded.digest


def test_another_change_is_an_error_of_its_row(tmp_path: Path) -> None:
    with pytest.raises(RmbenchError, match=r'rows.jsonl, row 1: change \'blurr:2\' is no.*Did you mean "blur"'):
        load(written(tmp_path, "flip", "blurr:2"), "auto")


def test_a_text_has_no_change(tmp_path: Path) -> None:
    toml = TOML.replace('form = "image", change', "change")
    with pytest.raises(RmbenchError, match=r"columns.rejected.*`change` is of an image or a video"):
        written(tmp_path, "flip", toml=toml)


def test_a_column_of_the_change_must_be_there(tmp_path: Path) -> None:
    toml = TOML.replace('change = "{change}"', 'change = "{chang}"')
    with pytest.raises(RmbenchError, match="chang"):
        load(written(tmp_path, "flip", toml=toml), "auto")


PROMPTS = (
    TOML.replace('prompt = "text"', 'prompt_media = [{ column = "image", form = "image" }]')
    .replace('chosen = { column = "image", form = "image" }', 'chosen_prompt = "text"\nchosen = "answer"')
    .replace("rejected = {", 'rejected = "answer"\nrejected_prompt = {')
    .replace('column = "image", form = "image", change', 'column = "text", change')
)
"""One answer, given an image and given it changed."""


def asked(folder: Path, *rows: dict[str, Any], toml: str = PROMPTS) -> Any:
    Image.new("RGB", (8, 8)).save(folder / "a.png")
    usual = {"text": "What is it?", "image": "a.png", "answer": "A square.", "change": "flip"}
    (folder / "rows.jsonl").write_text("".join(json.dumps(usual | row) + "\n" for row in rows))
    (folder / "augmented.toml").write_text(toml)
    return load(load_file(folder / "augmented.toml"), "auto").examples


def changes(example: Any, k: int) -> list[str]:
    return [part.change for message in example.conversation(k) for part in message.parts if part.kind != "text"]


def test_a_prompt_may_be_shown_its_media_changed(tmp_path: Path) -> None:
    example, plain = asked(tmp_path, {"change": "crop:0.50"}, {"change": ""})
    assert [changes(example, k) for k in range(2)] == [[""], ["crop:0.5"]]
    assert [candidate.text for candidate in example.candidates] == ["A square."] * 2
    assert [changes(plain, k) for k in range(2)] == [[""], [""]]


def parts_of(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [*parts, {"type": "text", "text": "What is it?"}]}]


IMAGE = {"type": "image", "image": "a.png"}
MESSAGES = (
    PROMPTS.replace('chosen_prompt = "text"', 'chosen_prompt = { column = "text", form = "messages" }')
    .replace('column = "text", change', 'column = "text", form = "messages", change')
    .replace('prompt_media = [{ column = "image", form = "image" }]', "")
)


def test_messages_are_shown_their_media_changed(tmp_path: Path) -> None:
    (example,) = asked(tmp_path, {"text": parts_of(IMAGE, IMAGE)}, toml=MESSAGES)
    assert [changes(example, k) for k in range(2)] == [["", ""], ["flip", "flip"]]


def test_a_part_of_a_message_says_its_own_change(tmp_path: Path) -> None:
    content = parts_of(IMAGE, IMAGE | {"change": "blur:2.0"}, IMAGE | {"change": None})
    (example,) = asked(tmp_path, {"text": content, "change": ""}, toml=MESSAGES)
    assert changes(example, 0) == ["", "blur:2", ""]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"text": parts_of()}, r"row 0: change 'flip': there is no image or video that could be changed"),
        ({"text": parts_of(IMAGE | {"change": "grey"})}, r"change 'flip': a.png \(grey\) is changed already"),
        (
            {"text": parts_of(IMAGE | {"change": "gray"})},
            r'column "text\[0\].content\[0\].change": \'gray\' is no change.*Did you mean "grey"',
        ),
        ({"text": parts_of(IMAGE | {"change": 3})}, r'column "text\[0\].content\[0\].change": expected'),
    ],
)
def test_a_change_that_cannot_be_made_is_an_error_of_its_row(row: dict[str, Any], why: str, tmp_path: Path) -> None:
    with pytest.raises(RmbenchError, match=why):
        asked(tmp_path, row, toml=MESSAGES)


def test_a_prompt_of_a_task_of_texts_has_no_change(tmp_path: Path) -> None:
    toml = PROMPTS.replace('modality = "image"', 'modality = "text"').replace("prompt_media", "# prompt_media")
    with pytest.raises(RmbenchError, match=r"columns.rejected_prompt.*in a prompt of a task whose `modality` is image"):
        asked(tmp_path, {}, toml=toml)


def test_fetvs_captions_are_given_its_clips_changed(data: Path) -> None:
    examples = load(get("fetv-captions-changed-clips"), data).examples
    assert len(examples) == 619 * 6
    here = [example for example in examples if example.prompt[0].parts[0].path is not None]
    assert len(here) == 17 * 6
    for example in here:
        assert [each.partition(":")[0] for k in range(2) for each in changes(example, k)] == [
            "",
            example.groups["change"],
        ]
        assert example.candidates[0].text == example.candidates[1].text


def test_fetvs_rows_are_real_ones(data: Path) -> None:
    loaded = load(get("fetv-changed-clips"), data)
    assert len(loaded.examples) == 619 * 12
    counts = Counter((example.groups["change"], example.groups["magnitude"]) for example in loaded.examples)
    assert set(counts.values()) == {619}
    here = [example for example in loaded.examples if shown(example)[0].path is not None]
    assert len(here) == 17 * 12
    for example in here:
        clip, changed = shown(example)
        assert (clip.path, clip.change) == (changed.path, "")
        assert changed.change == f"{example.groups['change']}:{example.groups['magnitude']}"
        assert clip.name == f"zeroscope/{example.id.split('/')[0]}.mp4"
