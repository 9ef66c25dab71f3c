"""What encoding pictures once and sharing prompts saves, at equal scores: `python benchmarks/shared_pictures.py`.

A random Qwen2-VL of 16 million weights, of which the vision tower has as small a part of the work as in the model of
7B, scores pairs of answers to a question about one picture, and about a clip: each
row by itself, with every picture encoded once, and with the shared prompt computed once. One thread; the fastest of
three. The scores of the three ways must agree to 1e-5.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from rmbench.models.open import open_model  # noqa: E402
from rmbench.models.options import OpenOptions  # noqa: E402
from rmbench.models.protocols import Encoded  # noqa: E402
from tests.models.families.vl import conftest as vl  # noqa: E402

SIZES = {"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 12, "num_attention_heads": 8}
EXACT = 1e-5


def model_of(folder: Path, hidden: int) -> Any:
    """A scorer of the sizes above, with pictures as large as Qwen2-VL takes them by default."""
    vl.TEXT.update(SIZES | {"hidden_size": hidden, "num_key_value_heads": 8})
    vl.VISION.update({"depth": 3, "embed_dim": hidden, "hidden_size": hidden, "num_heads": 8, "mlp_ratio": 4})
    vl.save(folder, "qwen2-vl", {"score.weight": vl.linear_head(hidden)})
    sizes = {"min_pixels": str(56 * 56), "max_pixels": str(28 * 28 * 1280)}
    return open_model(str(folder), OpenOptions(device="cpu", model_args=sizes))


def fresh(scorer: Any, *, share: bool) -> Any:
    """The scorer with nothing encoded yet."""
    return replace(scorer, backbone=replace(scorer.backbone, share=share, _held=OrderedDict()))


def rewards(scorer: Any, rows: Sequence[Encoded]) -> list[float]:
    """Of rows in one batch."""
    return [float(value) for value in scorer.forward(vl.batch(rows))["reward"][:, 0]]


def ways(scorer: Any, rows: Sequence[Encoded]) -> dict[str, list[float]]:
    """Seconds and rewards of each way: name -> [seconds, rewards ...]."""

    def apart() -> list[float]:
        return [rewards(fresh(scorer, share=False), [row])[0] for row in rows]

    def encoded_once() -> list[float]:
        return rewards(fresh(scorer, share=False), rows)

    def shared() -> list[float]:
        return rewards(fresh(scorer, share=True), rows)

    found: dict[str, list[float]] = {}
    for _ in range(3):  # in turn, so that a busy machine slows all of them
        for name, way in {"apart": apart, "pictures once": encoded_once, "prompt once": shared}.items():
            start = time.perf_counter()
            values = way()
            seconds = time.perf_counter() - start
            found[name] = [min(seconds, found[name][0]) if name in found else seconds, *values]
    return found


def main() -> None:
    """Both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden", type=int, default=256, help="hidden size of both towers")
    parser.add_argument("--answers", type=int, default=2, help="answers to each question")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        scorer = model_of(Path(folder) / "model", arguments.hidden)
        picture = vl.picture(Path(folder) / "picture.png", 1, (1024, 768))
        clip = vl.animation(Path(folder) / "clip.gif", count=16, size=(252, 196))
        words = np.random.default_rng(0)
        answers = [" ".join(map(str, words.integers(0, 10, 96))) for _ in range(arguments.answers)]
        for name, shown in {"one picture of 1024 x 768": picture, "a clip of 16 frames": clip}.items():
            rows = scorer.encode([vl.request([shown, "Which is better?"], answer) for answer in answers])
            lengths = ", ".join(str(len(row.ids)) for row in rows)
            print(f"{name}: {rows[0].payload.places[0].shown.places} tokens of rows of {lengths}")
            found = ways(scorer, rows)
            base = found["apart"]
            for way, (seconds, *values) in found.items():
                worst = max(abs(a - b) for a, b in zip(values, base[1:], strict=True))
                print(f"  {way:14} {seconds:6.2f} s  {base[0] / seconds:4.2f} x  largest difference {worst:.1e}")
                if worst > EXACT:
                    sys.exit(f"{way} gives other scores than each row by itself")


if __name__ == "__main__":
    main()
