"""A model in this process at several numbers of frames: one table, and the very frames that are declared."""

from __future__ import annotations

import io
from typing import Any

import av
import numpy as np
import pytest
import torch
from rich.console import Console
from transformers.video_utils import VideoMetadata

from rmbench.evaluation.budgets import BudgetCurve, Budgets, run_budgets
from rmbench.records.store import find, read_rows
from rmbench.tasks.registry import get
from rmbench.tasks.sources import load
from rmbench.types import Example

INDICES = {1: [0, 0], 2: [0, 11], 3: [0, 6, 11], 12: list(range(12))}
"""round(linspace(0, 11, K)) of the sample's clips of 12 frames, by hand. Qwen3-VL's processor takes no single frame, so
that one is shown twice; the others repeat it themselves."""


@pytest.fixture(scope="module")
def curve(scored: Any, tmp_path_factory: pytest.TempPathFactory) -> BudgetCurve:
    out = tmp_path_factory.mktemp("frames")
    return run_budgets(
        str(scored.folder), "videorewardbench", Budgets.of_frames("1,2,3,12"), source="sample", out=out, device="cpu"
    )


def plain(scored: Any, example: Example, indices: list[int]) -> list[float]:
    """The library's own processor and forward, on frames decoded and picked here."""
    (medium, question) = example.prompt[0].parts
    with av.open(str(medium.path)) as clip:
        frames = [frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)]
    metadata = VideoMetadata(total_num_frames=12, fps=8.0, duration=1.5, frames_indices=indices)
    found = []
    for candidate in example.candidates:
        turns = [
            {"role": "user", "content": [{"type": "video"}, {"type": "text", "text": question.text}]},
            {"role": "assistant", "content": [{"type": "text", "text": candidate.text}]},
        ]
        inputs = scored.processor(
            text=[scored.processor.tokenizer.apply_chat_template(turns, tokenize=False)],
            videos=[np.stack([frames[index] for index in indices])],
            return_tensors="pt",
            videos_kwargs={"do_sample_frames": False, "video_metadata": [metadata], "cap_pixels_per_frame": False},
        )
        with torch.no_grad():
            hidden = scored.model.model(**inputs).last_hidden_state
        found.append(float(hidden[0, -1] @ scored.head[0]))
    return found


def test_each_number_of_frames_is_looked_at(scored: Any, curve: BudgetCurve) -> None:
    examples = {example.id: example for example in load(get("videorewardbench"), "sample").examples}
    first = []
    for count, results in curve.points:
        (record,) = results.records
        assert record.model.settings["frames"] == f"uniform:{count}"
        assert record.run.engine.get("frame_repeated", 0) == (len(examples) if count == 1 else 0)
        (folder,) = find(str(results.out))
        rows = read_rows(folder)
        assert len(rows) == len(examples)
        for row in rows[:3]:
            assert row.judgment.rewards == pytest.approx(plain(scored, examples[row.id], INDICES[count]), abs=1e-5)
        first.append(rows[0].judgment.rewards)
    assert len(set(first)) == len(INDICES)


def test_one_table_has_a_line_for_each(curve: BudgetCurve) -> None:
    screen = io.StringIO()
    Console(file=screen, width=200).print(curve)
    lines = [line.split() for line in screen.getvalue().splitlines()]
    table = [line for line in lines if line and line[0] in ("1", "2", "3", "12")]
    assert [(line[0], line[1]) for line in table] == [(n, "videorewardbench") for n in ("1", "2", "3", "12")]
    assert len({results.headline("videorewardbench").value for _, results in curve.points}) > 1
