"""Scores rows with sentence-transformers' CrossEncoder, which pads batches of rows of like length, and says when its
loop began and ended.

Run by `compare.py` in the peer's own environment: `run_cross_encoder.py TIMES.json MODEL PAIRS.jsonl DTYPE`. It
renders the conversations by the model's own template.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path

BEGAN = time.time()


def main() -> None:
    """Load the model, score all rows in one call, write scores and times."""
    times, model, file, dtype = sys.argv[1:]
    os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true"}
    import torch

    # A torchvision built for another torch fails at import for want of these, and transformers with it.
    operators = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, name):
            operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    from sentence_transformers import CrossEncoder

    imported = time.time() - BEGAN
    pairs = [json.loads(line) for line in Path(file).read_text().splitlines()]
    conversations = [pair[side] for pair in pairs for side in ("chosen", "rejected")]
    encoder = CrossEncoder(
        model, device="cpu", model_kwargs={"dtype": getattr(torch, dtype)}, activation_fn=torch.nn.Identity()
    )
    loaded = time.time() - BEGAN
    began = time.time()
    found = encoder.predict(conversations, batch_size=32, show_progress_bar=False)
    loop = time.time() - began
    scores = [float(one) for one in found]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    both = [scores[at : at + 2] for at in range(0, len(scores), 2)]
    Path(times).write_text(
        json.dumps({"imported": imported, "loaded": loaded, "loop": loop, "peak_mb": memory, "scores": both})
    )


if __name__ == "__main__":
    main()
