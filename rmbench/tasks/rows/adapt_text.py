"""Row transforms for text benchmarks: transcripts and conversations of several turns."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["conversation_turns", "hhh_choices"]

_LATER_TURN = re.compile(r"\n\n(Human|Assistant):")
_ROLE = {"Human": "user", "Assistant": "assistant"}
_TURNS = ("first", "second", "third", "fourth")
_LETTERS = ("a", "b", "c", "d")
_END = "<|end_of_text|>"


def hhh_choices(row: Mapping[str, Any]) -> dict[str, Any]:
    r"""HHH: `input` -> `messages`; `target_scores` {text: 0 or 1}, or the hub's `targets` -> `choices` and `labels`.

    `input` is the first human turn, which has no marker, and later turns marked `\n\nAssistant:` and `\n\nHuman:`.

    Raises ValueError where neither form of the choices is present.
    """
    if isinstance(row.get("target_scores"), Mapping):
        choices, labels = list(row["target_scores"]), list(row["target_scores"].values())
    elif isinstance(row.get("targets"), Mapping) and {"choices", "labels"} <= set(row["targets"]):
        choices, labels = row["targets"]["choices"], row["targets"]["labels"]
    else:
        raise ValueError('neither column "target_scores" nor "targets" with choices and labels is present')
    return {**row, "messages": _transcript(row["input"]), "choices": choices, "labels": labels}


def _transcript(text: str) -> list[dict[str, str]]:
    marks = list(_LATER_TURN.finditer(text))
    starts = [("user", 0), *((_ROLE[mark[1]], mark.end()) for mark in marks)]
    ends = [*(mark.start() for mark in marks), len(text)]
    return [{"role": role, "content": text[at:end].strip()} for (role, at), end in zip(starts, ends, strict=True)]


def conversation_turns(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Community Alignment: a conversation of up to four turns -> a row per turn that has a preferred response.

    Adds `turn` ("first" to "fourth"), `messages` (earlier turns with the responses preferred there, then this turn's
    prompt), `responses` (four texts, without a literal end-of-text mark) and `preferred` ("a" to "d").

    Raises ValueError where a turn's preference names none of its responses, or a text is missing.
    """
    out: list[dict[str, Any]] = []
    history: list[dict[str, str]] = []
    for turn in _TURNS:
        prompt, preferred = row.get(f"{turn}_turn_prompt"), row.get(f"{turn}_turn_preferred_response")
        if not prompt or not preferred:
            break  # turns after one without a preferred response have no known history
        name = f"{turn}_turn_preferred_response"
        letter = str(preferred)[-1].lower()
        if letter not in _LETTERS:
            raise ValueError(f'column "{name}": {preferred!r} ends in none of a, b, c, d')
        responses = [row.get(f"{turn}_turn_response_{each}") for each in _LETTERS]
        if not all(isinstance(each, str) for each in responses):
            raise ValueError(f'columns "{turn}_turn_response_a" to "_d" are not all texts')
        texts = [str(each).removesuffix(_END) for each in responses]
        history = [*history, {"role": "user", "content": prompt}]
        out.append({**row, "turn": turn, "messages": history, "responses": texts, "preferred": letter})
        history = [*history, {"role": "assistant", "content": texts[_LETTERS.index(letter)]}]
    return out
