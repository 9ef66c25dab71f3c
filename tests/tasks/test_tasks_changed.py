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
