"""Row transforms for benchmarks of interleaved texts and images, of several edits of one image, and of steps about
images."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["edit_group", "edits_of_group", "mmrb2_messages", "process_steps"]

_PLACE = re.compile(r"<image_\d+>")
_VOTE = re.compile(r"([A-D])\s*([>=])\s*([A-D])")


def mmrb2_messages(row: Mapping[str, Any]) -> dict[str, Any]:
    """MMRB2: prompt and answers as lists of [kind, value] (`prompt_content`, `response_a.response_content`), or, on the
    hub, as texts with `<image_N>` where the images of a second column stand -> `id`, `model_a`, `model_b`, and
    `prompt`, `answer_a` and `answer_b` as messages whose parts keep upstream's order.

    As upstream's converter has it, images that no place stands for are put behind the text, and places for which there
    is no image show nothing.

    Raises ValueError where a side has neither form.
    """
    out = {**row, "id": row.get("id", row.get("pair_id"))}
    out["prompt"] = [{"role": "user", "content": _parts(row, "prompt_content", "prompt")}]
    for side in ("a", "b"):
        own = row.get(f"response_{side}")
        held: Mapping[str, Any] = own if isinstance(own, Mapping) else {}
        parts = _parts(held or row, "response_content", f"response_{side}")
        out[f"answer_{side}"] = [{"role": "assistant", "content": parts}]
        name = held.get("model_name", held.get("model")) or row.get(f"response_{side}_model")
        out[f"model_{side}"] = name or ""
    return out


def _parts(row: Mapping[str, Any], listed: str, spelled: str) -> list[dict[str, Any]]:
    if listed in row:
        return [_part(listed, each) for each in row[listed] or ()]
    if f"{spelled}_text" not in row:
        raise ValueError(f'neither column "{listed}" nor "{spelled}_text" is present')
    images = list(row.get(f"{spelled}_images") or ())
    texts = _PLACE.split(row[f"{spelled}_text"] or "")
    parts: list[dict[str, Any]] = []
    for k, text in enumerate(texts):
        if text.strip():
            parts.append({"type": "text", "text": text.strip()})
        if k < min(len(texts) - 1, len(images)):
            parts.append({"type": "image", "image": images[k]})
    return parts + [{"type": "image", "image": each} for each in images[len(texts) - 1 :]]


def _part(column: str, pair: Any) -> dict[str, Any]:
    if not isinstance(pair, Sequence) or isinstance(pair, str) or len(pair) != 2 or pair[0] not in ("text", "image"):
        raise ValueError(f'column "{column}": expected pairs of "text" or "image" and a value, found {pair!r:.80}')
    return {"type": pair[0], pair[0]: pair[1]}


def edit_group(row: Mapping[str, Any]) -> dict[str, Any]:
    """EditReward-Bench of TIGER-Lab: a comparison -> `group`, its id up to the first `_`, else its first ten letters,
    which is how upstream's scripts find the comparisons of one instruction."""
    name = str(row["id"])
    return {**row, "group": name.split("_")[0] if "_" in name else name[:10]}


def edits_of_group(row: Mapping[str, Any]) -> dict[str, Any]:
    """The gathered comparisons of one instruction -> `edits`, the images from A on, `models`, and `comparisons`, each
    [i, j, 1, 0 or -1] for the better of two edits.

    Raises ValueError where an edit is missing, a vote is of other edits than its row, or a pair is there twice.
    """
    edits: dict[str, tuple[Any, str]] = {}
    comparisons: list[list[int]] = []
    for each in row["rows"]:
        first, second = _letters(each)
        for letter, place in ((first, 1), (second, 2)):
            edits.setdefault(letter, (each[f"candidate_{place}"], str(each.get(f"model_{place}") or "")))
        vote = _VOTE.fullmatch(str(each["ranking"]).strip())
        if vote is None or {vote[1], vote[3]} != {first, second}:
            raise ValueError(f'column "ranking": {each["ranking"]!r} is no vote on {first} and {second}')
        sign = 0 if vote[2] == "=" else 1 if vote[1] == first else -1
        comparisons.append([ord(first) - ord("A"), ord(second) - ord("A"), sign])
    letters = sorted(edits)
    pairs = {frozenset(each[:2]) for each in comparisons}
    if letters != [chr(ord("A") + k) for k in range(len(letters))] or len(pairs) != len(comparisons):
        raise ValueError(f'column "comparison_type": {len(comparisons)} comparisons of the edits {", ".join(letters)}')
    images, models = zip(*(edits[letter] for letter in letters), strict=True)
    return {**row, "edits": list(images), "models": list(models), "comparisons": comparisons}


def _letters(row: Mapping[str, Any]) -> tuple[str, str]:
    """The two edits that a row compares: "AvsC". Rows of two edits need not say so."""
    named = re.fullmatch(r"([A-D])vs([A-D])", str(row.get("comparison_type") or "AvsB"))
    if named is None or named[1] == named[2]:
        raise ValueError(f'column "comparison_type": {row["comparison_type"]!r} names no two of the edits A to D')
    return named[1], named[2]


def process_steps(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """VisualProcessBench: a response with its `steps` and their `process_correctness` -> a row for each step, with
    `solution`, the response up to and with it, `step`, counted from 0, and `correctness`.

    Raises ValueError where the lists are empty or of different lengths.
    """
    response = row["response"] if isinstance(row.get("response"), Mapping) else {}
    steps, marks = response.get("steps"), response.get("process_correctness")
    if not isinstance(steps, list) or not isinstance(marks, list) or not steps or len(steps) != len(marks):
        raise ValueError('column "response": expected "steps" and one "process_correctness" for each')
    if not all(isinstance(each, str) for each in steps):
        raise ValueError('column "response.steps": expected texts')
    solutions = ("\n\n".join(steps[: k + 1]) for k in range(len(steps)))
    return [
        {**row, "solution": solution, "step": str(k), "correctness": marks[k]} for k, solution in enumerate(solutions)
    ]
