"""Write pairs of rewritten prompts by the scores of their videos: `python examples/write_prompt_pairs.py SCORES PAIRS`.

The rule is Prompt-A-Video's (arXiv 2412.15156, jiyt17/Prompt-A-Video, booster/dpo/filter.py). SCORES is a JSON list of
an object for each prompt of people: `user_prompts`, the prompt; `refined_prompts`, its rewritten forms; and
`refined_scores`, for each of these the scores of its video, VQ, TC, DD, TVA and FC by VideoScore, AES by LAION's head
and MPS. PAIRS gets a line {prompt, chosen, rejected} for each pair that passes, for
`rmbench run --model MODEL --data PAIRS`.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rmbench.errors import RmbenchError

__all__ = ["main", "overall", "pairs_of"]

_WEIGHTS = {"VQ": 1.0, "TC": 1.0, "FC": 1.0, "DD": 1.1, "TVA": 1.3, "AES": 0.8, "MPS": 1 / 3}
_ABOVE = {"VQ": 2.6, "TC": 2.6, "FC": 2.55, "DD": 2.65, "TVA": 2.9, "AES": 5.5, "MPS": 8.5}
"""Scores that a chosen prompt's video must be above."""
_LEAD = 1.4
_CHOSEN = 2
"""How many prompts, the best by the overall score, may be chosen."""
_MOST_WORDS = 130


def overall(scores: Mapping[str, float]) -> float:
    """VQ + TC + FC + 1.1 DD + 1.3 TVA + 0.8 AES + MPS / 3."""
    return sum(weight * scores[name] for name, weight in _WEIGHTS.items())


def pairs_of(item: Mapping[str, Any], where: str) -> Iterator[dict[str, str]]:
    """The pairs of one prompt: each of the two best forms that passes every limit and has at most 130 words, against
    every form below it that it leads by more than 1.4.

    Raises:
        RmbenchError: a key is missing, or lists differ in length, or a score is no finite number.
    """
    prompt, forms, scores = (item.get(key) for key in ("user_prompts", "refined_prompts", "refined_scores"))
    if not isinstance(prompt, str) or not _are(forms, str) or not _are(scores, Mapping) or len(forms) != len(scores):
        raise RmbenchError(
            f"{where}: expected a text user_prompts and the lists refined_prompts and refined_scores, equally long."
        )
    for number, each in enumerate(scores):
        for name in _WEIGHTS:
            value = each.get(name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise RmbenchError(f"{where}: refined_scores[{number}].{name} is {value!r}, expected a number.")
    totals = [overall(each) for each in scores]
    order = sorted(range(len(forms)), key=totals.__getitem__, reverse=True)
    for place, best in enumerate(order[:_CHOSEN]):
        if len(forms[best].split()) > _MOST_WORDS or any(scores[best][name] <= least for name, least in _ABOVE.items()):
            continue
        for other in order[place + 1 :]:
            if totals[best] - totals[other] > _LEAD:
                yield {"prompt": prompt, "chosen": forms[best], "rejected": forms[other]}


def _are(values: object, kind: type) -> bool:
    return isinstance(values, Sequence) and not isinstance(values, str) and all(isinstance(v, kind) for v in values)


def main(source: Path, target: Path) -> int:
    """Write the pairs of a file of scores; returns their number."""
    try:
        items = json.loads(source.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RmbenchError(f"{source} cannot be read as JSON: {error}") from None
    if not _are(items, Mapping):
        raise RmbenchError(f"{source}: expected a list of objects.")
    pairs = [pair for number, item in enumerate(items) for pair in pairs_of(item, f"{source}, item {number}")]
    target.write_text("".join(json.dumps(pair, ensure_ascii=False) + "\n" for pair in pairs), "utf-8")
    return len(pairs)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scores", type=Path)
    parser.add_argument("pairs", type=Path)
    given = parser.parse_args()
    print(f"{main(given.scores, given.pairs)} pairs")
