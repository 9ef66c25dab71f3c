"""VideoAlign's own clips through the ordinary way: a random model in VideoReward's layout, equal to a plain loop over
the library's processor and forward on frames that are decoded, picked and resized here."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

import rmbench
from rmbench.models.families.vl.schema import layouts
from rmbench.records.store import find, read_rows
from tests.models.families.vl import conftest as tiny

WORDS = "Quality <|VQ_reward|> END\nMotion <|MQ_reward|> END\nAlignment with {prompt} <|TA_reward|> END"
LEAST, MOST = 28 * 28 * 16, 28 * 28 * 48
MARKS = [f"<|{name}_reward|>" for name in ("VQ", "MQ", "TA")]


def smart_size(height: int, width: int) -> tuple[int, int]:
    """Sides in multiples of 28, the area within bounds (qwen-vl-utils' smart_resize)."""
    tall, wide = (max(28, round(side / 28) * 28) for side in (height, width))
    if tall * wide > MOST:
        shrink = math.sqrt(height * width / MOST)
        return math.floor(height / shrink / 28) * 28, math.floor(width / shrink / 28) * 28
    if tall * wide < LEAST:
        grow = math.sqrt(LEAST / (height * width))
        return math.ceil(height * grow / 28) * 28, math.ceil(width * grow / 28) * 28
    return tall, wide


def frames_of(path: Path) -> tuple[np.ndarray[Any, Any], list[int], int, float]:
    """Two frames a second, rounded to a multiple of 2 and at least 4, spread evenly; resized as torchvision does."""
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms import functional as vision

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        rate = float(stream.average_rate or 0)
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    count, seconds = len(decoded), len(decoded) / rate
    wanted = min(max(4, 2 * round(seconds * 2 / 2)), count)
    indices = [round(float(each)) for each in np.linspace(0, count - 1, wanted)]
    picked = torch.from_numpy(np.stack([decoded[index] for index in indices])).permute(0, 3, 1, 2)
    size = list(smart_size(*picked.shape[2:]))
    sized = vision.resize(picked, size, InterpolationMode.BICUBIC, antialias=True)
    return sized.permute(0, 2, 3, 1).numpy(), indices, count, seconds


def plain(model: Any, processor: Any, head: Any, path: Path, prompt: str) -> list[float]:
    from transformers.video_utils import VideoMetadata

    frames, indices, count, seconds = frames_of(path)
    turn = [
        {"role": "user", "content": [{"type": "video"}, {"type": "text", "text": WORDS.replace("{prompt}", prompt)}]}
    ]
    metadata = VideoMetadata(total_num_frames=count, fps=count / seconds, duration=seconds, frames_indices=indices)
    inputs = processor(
        text=[processor.tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)],
        videos=[frames],
        return_tensors="pt",
        videos_kwargs={"do_resize": False, "do_sample_frames": False, "video_metadata": [metadata]},
    )
    places = torch.arange(inputs["input_ids"].shape[1]).expand(3, 1, -1)
    with torch.no_grad():
        hidden = model.model(**{**inputs, "position_ids": places}).last_hidden_state[0]
    ids, output = inputs["input_ids"][0].tolist(), layouts()["videoreward"].output
    logits = [float(hidden[ids.index(processor.tokenizer.convert_tokens_to_ids(mark))] @ head[0]) for mark in MARKS]
    return [(a - b) / c for a, b, c in zip(logits, output.mean, output.std, strict=True)]


def test_videoaligns_clips_are_scored_as_a_plain_loop_scores_them(data: Path, tmp_path: Path) -> None:
    own = data / "videoalign" / "datasets" / "train"
    with (own / "example.csv").open(newline="") as file:
        rows = list({row["path_A"]: row for row in csv.DictReader(file)}.values())
    source = tmp_path / "videogen-rewardbench"
    source.mkdir()
    (source / "videos").symlink_to(own / "videos", target_is_directory=True)
    labelled = [
        {"path_A": r["path_A"], "path_B": r["path_B"], "prompt": r["prompt"], "A_model": "a", "B_model": "b"}
        for r in rows
    ]
    with (source / "videogen-rewardbench.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [*labelled[0], "Overall", "VQ", "MQ", "TA"])
        writer.writeheader()
        for line, row in zip(labelled, rows, strict=True):
            writer.writerow({**line, "Overall": row["TA"], "VQ": row["VQ"], "MQ": row["MQ"], "TA": row["TA"]})
    head = tiny.linear_head()
    model, processor = tiny.save(tmp_path / "video", "qwen2-vl", {"rm_head.weight": head})
    (tmp_path / "words").write_text(WORDS)
    results = rmbench.run(
        str(tmp_path / "video"),
        "videogen-rewardbench",
        source=tmp_path,
        out=tmp_path / "out",
        device="cpu",
        adapter="videoreward",
        model_args={"prompt": str(tmp_path / "words"), "min_pixels": str(LEAST), "max_pixels": str(MOST)},
    )
    assert results.failed_rows == 0
    (record,) = results.records
    media = record.data.media
    assert (record.model.settings["frames"], media and media.files) == ("fps:2", 2 * len(rows))
    (folder,) = find(tmp_path / "out")
    judged = read_rows(folder)
    assert len(judged) == len(rows) == 3
    for found, row in zip(judged, rows, strict=True):
        wanted = [plain(model, processor, head, own / row[key], row["prompt"]) for key in ("path_A", "path_B")]
        assert found.judgment.rewards == pytest.approx([sum(each) for each in wanted], abs=5e-3)
    rewards = [reward for found in judged for reward in found.judgment.rewards or ()]
    assert max(rewards) - min(rewards) > 0.05
