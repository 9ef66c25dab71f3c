"""Implicit rewards in view of changed clips (PaMi-VDPO's pairs): the command of docs/papers.md, by the library's own
processor and forward on frames that are changed here."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
import torch
from transformers.video_utils import VideoMetadata

from rmbench.cli import main
from rmbench.media import FrameRule, open_medium, pixels_of
from rmbench.records.store import read, read_rows
from rmbench.tasks.registry import get
from rmbench.tasks.sources import load
from rmbench.types import Example, Part

TASK = "fetv-captions-changed-clips"
CHANGES = ("crop", "blur", "noise", "shuffle", "reverse", "flip")


@pytest.fixture(scope="module")
def models(vl: Any, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A policy and its reference, and both as the library has them."""
    folder = tmp_path_factory.mktemp("qwen")
    policy, processor = vl.save(folder / "policy", "qwen2-vl", {}, seed=0)
    reference, _ = vl.save(folder / "reference", "qwen2-vl", {}, seed=1)
    return SimpleNamespace(folder=folder, policy=policy, reference=reference, processor=processor)


def frames_of(part: Part) -> np.ndarray[Any, Any]:
    """Eight frames of a sample's clip of twelve, as they are shown."""
    with av.open(str(part.path)) as clip:
        every = [frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)]
    frames = np.stack([every[round(place)] for place in np.linspace(0, len(every) - 1, 8)])
    if not part.change:
        return frames
    if part.change == "flip":
        return frames[:, :, ::-1].copy()
    if part.change == "reverse:8":  # of clips of two
        return frames[[6, 7, 4, 5, 2, 3, 0, 1]]
    return np.stack([np.asarray(image) for image in pixels_of(open_medium(part, FrameRule("uniform", 8)))])


def log_probability(model: Any, processor: Any, part: Part, question: str, answer: str) -> float:
    """Of the answer's tokens, with the one that closes it."""
    frames = frames_of(part)
    asked = [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": question}]}]
    told = [*asked, {"role": "assistant", "content": [{"type": "text", "text": answer}]}]
    write = processor.tokenizer.apply_chat_template
    texts = [write(told, tokenize=False), write(asked, tokenize=False, add_generation_prompt=True)]
    metadata = VideoMetadata(total_num_frames=8, fps=2.0, duration=4.0, frames_indices=list(range(8)))
    kwargs = {"do_sample_frames": False, "video_metadata": [metadata], "cap_pixels_per_frame": False}
    whole, prompt = (
        processor(text=[text], videos=[frames], return_tensors="pt", videos_kwargs=dict(kwargs)) for text in texts
    )
    ids = whole["input_ids"][0].tolist()
    stop = len(ids) - ids[::-1].index(processor.tokenizer.eos_token_id)
    with torch.no_grad():
        table = model(**whole).logits[0].double().log_softmax(-1)
    return float(sum(table[at - 1, ids[at]] for at in range(prompt["input_ids"].shape[1], stop)))


def expected(models: SimpleNamespace, example: Example) -> list[float]:
    """beta times the log-ratio of the one answer, given the clip and given it changed."""
    found = []
    for candidate in example.candidates:
        prompt = candidate.prompt or example.prompt
        part, question = prompt[0].parts
        given = (part, question.text, candidate.text)
        own, other = (log_probability(each, models.processor, *given) for each in (models.policy, models.reference))
        found.append(0.1 * (own - other))
    return found


def test_the_command_shows_policies_the_changed_clip(models: SimpleNamespace, tmp_path: Path) -> None:
    words = ["run", "--model", str(models.folder / "policy"), "--ref-model", str(models.folder / "reference")]
    words += ["--tasks", TASK, "--source", "sample", "--model-args", "frames=uniform:8", "--out", str(tmp_path)]
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 0
    (folder,) = tmp_path.glob(f"*/{TASK}@1*")
    rows = {row.judgment.id: row.judgment for row in read_rows(folder)}
    examples = load(get(TASK), "sample").examples
    assert len(rows) == len(examples) == 8 * len(CHANGES)
    assert all(judgment.status == "ok" for judgment in rows.values())
    clip = f"{examples[0].id.split('/')[0]}/"
    seen = {}
    for example in (one for one in examples if one.id.startswith(clip)):
        assert example.candidates[0].text == example.candidates[1].text
        rewards = rows[example.id].rewards
        assert rewards == pytest.approx(expected(models, example), abs=1e-5), example.id
        seen[example.groups["change"]] = rewards
    assert sorted(seen) == sorted(CHANGES)
    assert len({rewards[0] for rewards in seen.values()}) == 1
    assert len({round(rewards[1], 6) for rewards in seen.values()} | {round(seen["flip"][0], 6)}) == len(CHANGES) + 1
    values = {value.group: value for value in read(folder).results if value.metric == "accuracy"}
    for change in CHANGES:
        found = [rows[one.id].rewards for one in examples if one.groups["change"] == change]
        assert values[f"change={change}"].value == pytest.approx(np.mean([a > b for a, b in found]))
