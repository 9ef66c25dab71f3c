"""Scores a file of pairs with rmbench in one process, and says how long each part took.

Run by `compare.py`. `--plain` scores one row at a time with transformers' own forward, `--padded` turns sharing off;
both are there to be compared with.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path

BEGAN = time.time()


def main() -> None:
    """Read pairs, score them, write scores and times."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--model", required=True)
    arguments.add_argument("--pairs", required=True, type=Path)
    arguments.add_argument("--out", required=True, type=Path)
    arguments.add_argument("--dtype", default="float32")
    arguments.add_argument("--padded", action="store_true")
    arguments.add_argument("--plain", action="store_true")
    arguments.add_argument("--batch-tokens", type=int)
    given = arguments.parse_args()

    from rmbench.engine.judge import EngineOptions, SilentProgress, judge
    from rmbench.models.open import OpenOptions, open_model
    from rmbench.types import Candidate, Example, Gold, Message

    imported = time.time() - BEGAN
    model = open_model(given.model, OpenOptions(dtype=given.dtype))
    loaded = time.time() - BEGAN
    pairs = [json.loads(line) for line in given.pairs.read_text().splitlines()]
    examples = [
        Example(
            str(number),
            tuple(Message.of(turn["role"], turn["content"]) for turn in pair["prompt"]),
            tuple(Candidate.of(text) for text in (pair["chosen"][-1]["content"], pair["rejected"][-1]["content"])),
            Gold(),
        )
        for number, pair in enumerate(pairs)
    ]

    class Clock(SilentProgress):
        """The last stretch of work that begins is the computing, after encoding, planning and trying out."""

        began = 0.0

        def start(self, task: str, rows: int, tokens: int) -> None:
            self.began = time.time() - BEGAN

    clock = Clock()
    started = time.time()
    facts: dict[str, object] = {}
    if given.plain:
        scores = _plain(model, examples)
    else:
        options = EngineOptions(batch_tokens=given.batch_tokens, share=not given.padded)
        judging = judge("pairs", examples, model, options=options, progress=clock)
        scores = [list(judgment.rewards or ()) for judgment in judging.judgments]
        facts = judging.facts()
    loop = time.time() - started
    times = {
        "imported": imported,
        "loaded": loaded,
        "first_forward": clock.began,
        "loop": loop,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "facts": facts,
        "scores": scores,
        "work": work(model, examples, given.batch_tokens),
    }
    given.out.write_text(json.dumps(times))


def work(model: object, examples: list[object], budget: int | None) -> dict[str, object]:
    """What operations are counted from: tokens that a shared run computes, how many tokens these see in all, and the
    lengths of all rows asked for and of the distinct ones."""
    from rmbench.engine.plan import plan
    from rmbench.engine.requests import requests_of

    requests, _ = requests_of(examples, "chat", in_pairs=False)  # type: ignore[arg-type]
    rows = model.encode(requests)  # type: ignore[attr-defined]
    planned = plan(rows, budget or model.chunk_tokens, share=True)  # type: ignore[attr-defined]
    seen = 0
    for chunk in planned.chunks:
        lengths = iter([rows[planned.first[row]].size for row in chunk.rows])
        for group in chunk.groups:
            seen += group.prefix * (group.prefix + 1) // 2
            for _ in range(group.rows):
                own = next(lengths) - group.prefix
                seen += own * group.prefix + own * (own + 1) // 2
    return {
        "tokens": planned.statistics.computed_tokens,
        "seen": seen,
        "lengths": [row.size for row in rows],
        "distinct": [rows[request].size for request in planned.first],
    }


def _plain(model: object, examples: list[object]) -> list[list[float]]:
    """Transformers' own classifier, a row at a time, equal rows once."""
    import torch

    from rmbench.engine.requests import requests_of

    requests, _ = requests_of(examples, "chat", in_pairs=False)  # type: ignore[arg-type]
    rows = model.encode(requests)  # type: ignore[attr-defined]
    known: dict[str, float] = {}
    classifier = model.model  # type: ignore[attr-defined]
    classifier.config.pad_token_id = None  # its own pooling reads token values
    with torch.inference_mode():
        for row in rows:
            if row.key not in known:
                known[row.key] = float(classifier(input_ids=torch.tensor([row.ids]), use_cache=False).logits[0, 0])
    scores = [known[row.key] for row in rows]
    return [scores[at : at + 2] for at in range(0, len(scores), 2)]


if __name__ == "__main__":
    main()
