"""What encoding pictures once and sharing prompts saves, at equal scores: `python benchmarks/shared_pictures.py`.

A random Qwen2-VL of 16 million weights scores pairs of answers to a question about one picture, and about a clip: each
row by the library's own processor and forward; then by ours, each row by itself, with every picture encoded once, and
with the shared prompt computed once as well. Files are read and texts tokenised in each way. Seconds of the processor,
one thread; the fastest of `--rounds`. The scores of all ways must agree to 1e-5.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageSequence

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from rmbench.models.families.vl.rows import shared_length  # noqa: E402
from rmbench.models.open import open_model  # noqa: E402
from rmbench.models.options import OpenOptions  # noqa: E402
from rmbench.models.protocols import Request  # noqa: E402
from rmbench.types import Part  # noqa: E402
from tests.models.families.vl import conftest as vl  # noqa: E402

SIZES = {"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 12, "num_attention_heads": 8}
SIZES_OF_PICTURES = {"min_pixels": str(56 * 56), "max_pixels": str(28 * 28 * 1280)}
EXACT = 1e-5


def model_of(folder: Path, hidden: int) -> Any:
    """A scorer of the sizes above, with pictures as large as Qwen2-VL takes them by default."""
    vl.TEXT.update(SIZES | {"hidden_size": hidden, "num_key_value_heads": 8})
    vl.VISION.update({"depth": 3, "embed_dim": hidden, "hidden_size": hidden, "num_heads": 8, "mlp_ratio": 4})
    vl.save(folder, "qwen2-vl", {"score.weight": vl.linear_head(hidden)})
    return open_model(str(folder), OpenOptions(device="cpu", model_args=SIZES_OF_PICTURES))


def fresh(scorer: Any, *, share: bool) -> Any:
    """The scorer with nothing read or encoded yet."""
    pictures = replace(scorer.backbone.pictures, _shown={}, _held=OrderedDict())
    backbone = replace(scorer.backbone, pictures=pictures, share=share, _held=OrderedDict(), _placed={})
    return replace(scorer, backbone=backbone, text=replace(scorer.text, pictures=pictures))


def rewards(scorer: Any, requests: Sequence[Request]) -> list[float]:
    """Of rows in one batch."""
    return [float(value) for value in scorer.forward(vl.batch(scorer.encode(requests)))["reward"][:, 0]]


class Library:
    """transformers' processor and model, as its documentation calls them, one row at a time."""

    def __init__(self, folder: Path, head: Any) -> None:
        from transformers import AutoModelForImageTextToText, AutoProcessor

        self.processor = AutoProcessor.from_pretrained(folder)
        self.model = AutoModelForImageTextToText.from_pretrained(folder).model.eval()
        self.head = head
        for part in (self.processor.image_processor, self.processor.video_processor):
            part.size["shortest_edge"], part.size["longest_edge"] = map(int, SIZES_OF_PICTURES.values())

    def rewards(self, requests: Sequence[Request]) -> list[float]:
        return [self.reward(request) for request in requests]

    def reward(self, request: Request) -> float:
        turns, images, videos = [], [], {}
        for message in request.conversation:
            turns.append({"role": message.role, "content": [content(part) for part in message.parts]})
            for part in message.parts:
                if part.kind == "image":
                    images.append(Image.open(part.path).convert("RGB"))
                elif part.kind == "video":
                    videos = clip_of(part.path)
        text = self.processor.tokenizer.apply_chat_template(turns, tokenize=False)
        inputs = self.processor(text=[text], images=images or None, return_tensors="pt", **videos)
        with torch.inference_mode():
            return float(self.model(**inputs, use_cache=False).last_hidden_state[0, -1] @ self.head[0])


def content(part: Part) -> dict[str, str]:
    """A part as chat templates take it."""
    return {"type": part.kind, "text": part.text} if part.kind == "text" else {"type": part.kind}


def clip_of(path: str) -> dict[str, Any]:
    """The arguments of the processor for a clip of two frames a second."""
    from transformers.video_utils import VideoMetadata

    with Image.open(path) as clip:
        frames = [np.array(frame.convert("RGB")) for frame in ImageSequence.Iterator(clip)]
    count = len(frames)
    metadata = VideoMetadata(total_num_frames=count, fps=2.0, duration=count / 2, frames_indices=list(range(count)))
    return {"videos": [np.stack(frames)], "videos_kwargs": {"do_sample_frames": False, "video_metadata": [metadata]}}


def ways(scorer: Any, library: Library, requests: Sequence[Request], rounds: int) -> dict[str, list[float]]:
    """Seconds and rewards of each way: name -> [seconds, rewards ...]."""
    tried: dict[str, Callable[[], list[float]]] = {
        "library": lambda: library.rewards(requests),
        "apart": lambda: [rewards(fresh(scorer, share=False), [request])[0] for request in requests],
        "pictures once": lambda: rewards(fresh(scorer, share=False), requests),
        "prompt once": lambda: rewards(fresh(scorer, share=True), requests),
    }
    found: dict[str, list[float]] = {}
    for _ in range(rounds):  # in turn, so that a busy machine slows all of them
        for name, way in tried.items():
            start = time.process_time()
            values = way()
            seconds = time.process_time() - start
            found[name] = [min(seconds, found[name][0]) if name in found else seconds, *values]
    return found


def main() -> None:
    """Both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden", type=int, default=256, help="hidden size of both towers")
    parser.add_argument("--answers", type=int, nargs="+", default=[2, 4], help="answers to each question")
    parser.add_argument("--rounds", type=int, default=5, help="of which the fastest counts")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        scorer = model_of(Path(folder) / "model", arguments.hidden)
        picture = vl.picture(Path(folder) / "picture.png", 1, (1024, 768))
        clip = vl.animation(Path(folder) / "clip.gif", count=16, size=(252, 196))
        library = Library(Path(folder) / "model", vl.linear_head(arguments.hidden))
        words = np.random.default_rng(0)
        spoken = [" ".join(map(str, words.integers(0, 10, 96))) for _ in range(max(arguments.answers))]
        for name, shown in {"one picture of 1024 x 768": picture, "a clip of 16 frames": clip}.items():
            for count in arguments.answers:
                requests = [vl.request([shown, "Which is better?"], answer) for answer in spoken[:count]]
                rows = scorer.encode(requests)
                own = len(rows[0].ids) - shared_length(rows)
                print(f"{name}: {rows[0].payload.places[0].shown.places} tokens, {count} answers, the first of {own}")
                report(ways(scorer, library, requests, arguments.rounds))


def report(found: dict[str, list[float]]) -> None:
    """One table; ends the program where scores differ."""
    base = found["library"]
    for way, (seconds, *values) in found.items():
        worst = max(abs(a - b) for a, b in zip(values, base[1:], strict=True))
        print(f"  {way:14} {seconds:6.2f} s  {base[0] / seconds:4.2f} x  largest difference {worst:.1e}")
        if worst > EXACT:
            sys.exit(f"{way} gives other scores than the library")


if __name__ == "__main__":
    main()
