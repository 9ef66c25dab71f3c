"""The page on adding a task says what the schema says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from rmbench.tasks.declaration import schema as declaration
from rmbench.tasks.registry import load_file
from rmbench.tasks.sources import load
from rmbench.tasks.suites import load_suite, suites

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "adding-a-task.md").read_text()


def whole_files() -> list[str]:
    blocks: list[str] = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)
    return [block for block in blocks if block.startswith("id = ")]


def test_the_example_is_right(tmp_path: Path) -> None:
    text, _ = whole_files()  # the other one is a suite's
    path = tmp_path / "example.toml"
    path.write_text(text)
    task = load_file(path)
    assert task.id == "kitchen-pairs"
    better, worse = {"text": "Salt it.", "model": "a"}, {"text": "Burn it.", "model": "b"}
    row = {"key": 3, "question": "How?", "level": "2", "better": better, "worse": worse}
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "soups.jsonl").write_text(json.dumps(row))
    loaded = load(task, tmp_path)
    assert [each.id for each in loaded.examples] == ["soups/3"]
    assert loaded.missing == ("data/baking.jsonl",)
    assert dict(loaded.examples[0].groups) == {"course": "soups", "skill": "easy"}


def test_the_suite_is_the_bundled_one(tmp_path: Path) -> None:
    _, text = whole_files()
    path = tmp_path / "suites" / "rmb.toml"
    path.parent.mkdir()
    path.write_text(text)
    assert load_suite(path).tasks == suites()["rmb"].tasks


def keys() -> set[str]:
    models = [each for each in vars(declaration).values() if isinstance(each, type) and issubclass(each, BaseModel)]
    return {key for model in models for key in model.model_fields}


@pytest.mark.parametrize("key", sorted(keys()))
def test_every_key_is_explained(key: str) -> None:
    assert re.search(rf"(?<![a-z_]){key}(?![a-z_])", PAGE), key
