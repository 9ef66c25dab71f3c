"""Clips whose frames carry a level: accuracy on segments, on wholes, and on wholes by the majority of segments."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import rmbench
from rmbench.errors import RmbenchError
from rmbench.media import FrameRule, MediaError, open_medium, pixels_of
from rmbench.metric_spec import MetricSpec
from rmbench.metrics.segments import majority_sample
from rmbench.tasks.registry import get
from rmbench.tasks.rows.adapt_media import segments
from rmbench.types import Edge, Example, Judged, Judgment, Part
from tests._make import make_row

SPEC = MetricSpec("m", "segment_majority", join="part", between=("segment", "whole"))
RATE = 4


def level_clip(path: Path, levels: list[int]) -> Path:
    """A clip of grey frames, four a second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=RATE, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for index, level in enumerate(levels):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), level, dtype=np.uint8), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


class Brightness:
    """A scorer of clips: the mean level of the frames that it is shown."""

    facts = rmbench.ModelFacts("brightness", "1", "callable", modalities=frozenset({"video"}))

    def judge(self, task: str, example: Example) -> Judgment:
        return Judgment(example.id, tuple(_level(candidate.messages[0].parts[0]) for candidate in example.candidates))


def _level(part: Part) -> float:
    medium = open_medium(part, FrameRule.of("uniform:64"))
    return float(np.mean([np.asarray(image).mean() for image in pixels_of(medium)]))


def test_a_span_shows_its_seconds_alone(tmp_path: Path) -> None:
    clip = level_clip(tmp_path / "a.mp4", [0, 20, 40, 60, 80, 100, 120, 140, 160, 180])

    def frames(change: str, rule: str = "uniform:64") -> tuple[int, ...]:
        return open_medium(Part("video", name="a", path=str(clip), change=change), FrameRule.of(rule)).indices

    assert frames("") == tuple(range(10))
    assert frames("span:0:1") == (0, 1, 2, 3)
    assert frames("span:1:2") == (4, 5, 6, 7)
    assert frames("span:2:9") == (8, 9)
    assert frames("span:0.25:1.5", "uniform:2") == (1, 5)
    assert frames("span:1:2", "first:6") == (4, 5, 6, 7, 7, 7)
    shown = pixels_of(
        open_medium(Part("video", name="a", path=str(clip), change="span:1:2"), FrameRule.of("uniform:9"))
    )
    assert [round(float(np.asarray(image).mean()) / 20) for image in shown] == [4, 5, 6, 7]
    with pytest.raises(MediaError, match=r"no frame is shown from 3 to 4 s, of 2\.5 s"):
        frames("span:3:4")
    for wrong in ("span:1", "span:2:1", "span:-1:1", "span:a:b", "span:1:2:3", "span"):
        with pytest.raises(RmbenchError, match="span"):
            frames(wrong)


def pair(name: str, whole: tuple[float, float], *parts: tuple[float, float]) -> list[Judged]:
    """Margins for candidate 0 with what people say of it, of the whole and of each segment."""
    return [
        make_row(
            f"{name}/{k}",
            [margin, 0.0],
            edges=(Edge(0, 1, strength),),
            cluster=name,
            groups={"part": "segment" if k else "whole"},
        )
        for k, (margin, strength) in enumerate([whole, *parts])
    ]


def test_the_majority_by_hand() -> None:
    right = pair("a", (-5.0, 1.0), (1.0, 1.0), (-1.0, 0.0), (2.0, -1.0))  # two of three for candidate 0
    wrong = pair("b", (5.0, -1.0), (1.0, -1.0), (0.0, -1.0))
    even = pair("c", (5.0, 1.0), (1.0, 1.0), (-1.0, 1.0))
    tied = pair("d", (5.0, 0.0), (1.0, 1.0))
    rows = [*right, *wrong, *even, *tied]
    sample = majority_sample(rows, SPEC)
    assert (sample.value, sample.n, sample.flags) == (pytest.approx(1 / 3), 3, ())
    assert majority_sample(rows, replace(SPEC, tie=0.5)).value == pytest.approx(0.5)
    alone = majority_sample([*rows, *pair("e", (1.0, 1.0))], SPEC)
    assert (alone.n, alone.flags) == (3, ("no_segments",))
    failed = [replace(row, judgment=replace(row.judgment, rewards=None, status="failed")) for row in right[1:2]]
    assert majority_sample([right[0], *failed, *right[2:3]], SPEC).value == 0.0
    with pytest.raises(RmbenchError, match="`between` its two values"):
        majority_sample(rows, replace(SPEC, between=()))
    with pytest.raises(RmbenchError, match='has no group "parts"'):
        majority_sample(rows, replace(SPEC, join="parts"))


def test_a_pair_becomes_a_row_for_the_whole_and_one_for_each_segment() -> None:
    row = {"prompt": "p", "preferred": "tie", "segments": [{"start": 0, "end": 1.5, "preferred": "video_1"}]}
    whole, part = segments(row)
    assert (whole["part"], whole["shown"], whole["preferred"]) == ("whole", "", "tie")
    assert (part["part"], part["segment"], part["shown"], part["preferred"]) == (
        "segment",
        "0",
        "span:0:1.5",
        "video_1",
    )
    for wrong, said in (([], "no list of segments"), ([{"start": 0, "end": 1}], 'lacks "preferred"')):
        with pytest.raises(ValueError, match=said):
            segments({**row, "segments": wrong})


def test_a_scorer_of_levels_from_end_to_end(tmp_path: Path) -> None:
    """Three pairs of two-second clips. By second the brighter clip is: 1 and 1; 0 and 1; 0 and 0; as wholes 1, 1, 0."""
    clips = {
        "a": ([50] * 8, [60] * 4 + [70] * 4),
        "b": ([90] * 4 + [10] * 4, [80] * 4 + [100] * 4),
        "c": ([100] * 8, [90] * 8),
    }
    gold = {"a": ("video_1", "video_1", "video_0"), "b": ("video_1", "video_0", "tie"), "c": ("video_0",) * 3}
    folder = tmp_path / "densedpo-segments"
    rows = []
    for name, levels in clips.items():
        for k, of in enumerate(levels):
            level_clip(folder / "clips" / f"{name}{k}.mp4", of)
        parts = [{"start": k, "end": k + 1, "preferred": gold[name][k + 1]} for k in range(2)]
        rows.append({"id": name, "prompt": name, "preferred": gold[name][0], "segments": parts})
        rows[-1] |= {f"video_{k}": f"{name}{k}.mp4" for k in range(2)}
    (folder / "data").mkdir()
    (folder / "data" / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = tmp_path / "mine.toml"
    text = get("densedpo-segments").path.read_text("utf-8").replace("n = 24", "n = 9")
    task.write_text(text.replace("bundled = true\n", "").replace('id = "densedpo-segments"', 'id = "mine"'))
    source = tmp_path if "[source]" in text else folder
    results = rmbench.run(Brightness(), str(task), source=source, out=tmp_path / "out").records[0].results
    found = {value.metric: (value.value, value.comparisons) for value in results if value.group is None}
    assert found["segment_accuracy"] == (pytest.approx(4 / 5), 5)  # of six segments one is a tie; one of a is wrong
    assert found["whole_accuracy"] == (1.0, 3)
    assert found["whole_by_segments"] == (pytest.approx(2 / 3), 3)  # of b each clip wins one
