"""Pairs of images that have a caption of their own each, as in DCPO's set, under a two-tower model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import rmbench
from rmbench.records.store import find, read_rows
from rmbench.tasks.registry import get
from rmbench.tasks.sources import load
from tests.house.docs_pages import DOCS, blocks
from tests.models.families.vision.test_clip_scorer import Plain

HEAD = """
id = "two-captions"
version = 1
title = "Two captions"
family = "image"
modality = "image"
shape = "pair"
n = 3
verified = true
[[files]]
paths = ["rows.jsonl"]
"""
METRIC = """
[[metric]]
name = "accuracy"
rule = "pair"
chance = 0.5
"""


def test_each_image_is_scored_with_its_own_caption(
    tiny_clip: Path, images: list[Path], tmp_path: Path, seen: Any
) -> None:
    (columns,) = [block.code for block in blocks(DOCS / "generators.md", "toml")]  # as the page declares them
    (tmp_path / "two.toml").write_text(HEAD + columns + METRIC)
    captions = [("a cat", "a cat on a mat"), ("two dogs", "two dogs"), ("a tree", "fog")]
    rows, expected = [], []
    plain = Plain(seen.tiny_model())
    for k, (one, other) in enumerate(captions):
        files = [tmp_path / f"{k}-{side}.png" for side in range(2)]
        for side, file in enumerate(files):
            file.write_bytes(images[2 * k + side].read_bytes())
        rows.append({"caption_0": one, "caption_1": other, "jpg_0": files[0].name, "jpg_1": files[1].name})
        expected.append([plain.cosine(files[0], one), plain.cosine(files[1], other)])
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    results = rmbench.run(str(tiny_clip), str(tmp_path / "two.toml"), out=tmp_path / "out", progress=False)
    found = [list(row.judgment.rewards or ()) for row in read_rows(find(tmp_path / "out")[0])]
    assert found == [pytest.approx(pair, abs=1e-5) for pair in expected]
    won = sum(first > second for first, second in expected) / 3
    assert results.headline("two-captions").value == pytest.approx(won)


def test_pick_double_caption_by_name(tiny_clip: Path, tmp_path: Path, seen: Any) -> None:
    """The task of docs/papers.md, on its sample."""
    results = rmbench.run(str(tiny_clip), "pick-double-caption", source="sample", out=tmp_path, progress=False)
    plain, right = Plain(seen.tiny_model()), 0
    rows = {row.judgment.id: row.judgment for row in read_rows(find(tmp_path)[0])}
    examples = load(get("pick-double-caption"), "sample").examples
    for example in examples:
        shown = [(candidate.messages[0].parts[0].path, candidate.prompt) for candidate in example.candidates]
        expected = [plain.cosine(Path(str(path)), prompt[0].text) for path, prompt in shown if prompt]
        assert rows[example.id].rewards == pytest.approx(expected, abs=1e-5)
        (edge,) = example.gold.relation
        right += expected[edge.i] > expected[edge.j] if edge.strength > 0 else expected[edge.j] > expected[edge.i]
    assert len(rows) == 8
    assert results.headline("pick-double-caption").value == pytest.approx(right / 8)
