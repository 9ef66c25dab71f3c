"""Answers of the OpenAI protocol as replies; whatever is not one whole answer is asked for again."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from rmbench.models.servers.failures import AgainError
from rmbench.models.servers.generation import Grammar, Path, Reply

__all__ = ["choice_of", "first_logprobs", "integers", "kept_to", "prompt_logprobs", "reply_of", "tokens_used"]

ANSWERS = frozenset({"stop", "length"})
"""Finish reasons of an answer. Others (vLLM's "abort", "error", a filter's) leave a text that is none."""


def choice_of(data: Any) -> Mapping[str, Any]:
    """The first choice of an answer.

    Raises:
        AgainError: there is none, or it did not come to its end.
    """
    choices = data.get("choices") if isinstance(data, dict) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise AgainError("the answer has no choices")
    finish = choices[0].get("finish_reason")
    if finish not in ANSWERS:
        raise AgainError(f"the answer was not finished: finish reason {str(finish)[:40]!r}")
    return cast("Mapping[str, Any]", choices[0])


def reply_of(data: Any) -> Reply:
    """A chat's or a completion's answer as free text; raises AgainError as `choice_of` does."""
    choice = choice_of(data)
    if "message" in choice:
        message = choice["message"]
        if not isinstance(message, dict):
            raise AgainError("the answer's choice has no message")
        text, reasoning = message.get("content"), message.get("reasoning") or message.get("reasoning_content") or ""
        text = "" if text is None and reasoning else text  # cut while it was thinking
    else:
        text, reasoning = choice.get("text"), ""
    if not isinstance(text, str) or not isinstance(reasoning, str):
        raise AgainError("the answer's choice has no text")
    asked, answered = tokens_used(data)
    return Reply(text, reasoning, str(choice["finish_reason"]), prompt_tokens=asked, answer_tokens=answered)


def tokens_used(data: Any) -> tuple[int, int]:
    """Tokens read and tokens written, as the server counts them; 0 where it does not say."""
    usage = data.get("usage") if isinstance(data, dict) else None
    if not isinstance(usage, dict):
        return 0, 0
    read, written = usage.get("prompt_tokens"), usage.get("completion_tokens")
    return (read if isinstance(read, int) else 0), (written if isinstance(written, int) else 0)


def kept_to(grammar: Grammar, asked: Path, text: str) -> Path:
    """The way an answer came that was asked for under a constraint. Servers accept constraints that they do not know,
    so one that the answer breaks was not in force."""
    if asked == "choice":
        return asked if text in grammar.choices else "plain"
    if asked == "regex":
        try:
            return asked if re.fullmatch(grammar.regex, text) else "plain"
        except re.error:
            return "plain"
    if asked == "json":
        try:
            return asked if isinstance(json.loads(text), dict) else "plain"
        except (ValueError, RecursionError):
            return "plain"
    return "plain"


def first_logprobs(choice: Mapping[str, Any]) -> dict[str, float]:
    """Token -> natural log of the probability that the answer begins with it, for the tokens that a chat's choice
    tells; {} where it tells none."""
    told = choice.get("logprobs")
    places = told.get("content") if isinstance(told, dict) else None
    if not isinstance(places, list) or not places or not isinstance(places[0], dict):
        return {}
    entries = [places[0], *(places[0].get("top_logprobs") or [])]
    return {
        entry["token"]: float(entry["logprob"])
        for entry in entries
        if isinstance(entry, dict) and isinstance(entry.get("token"), str) and _is_log(entry.get("logprob"))
    }


def prompt_logprobs(choice: Mapping[str, Any], ids: Sequence[int], count: int) -> float:
    """Natural log of the probability of a prompt's last `count` tokens, given those before.

    Raises:
        AgainError: the choice does not tell every one of them.
    """
    told = choice.get("prompt_logprobs")
    if not isinstance(told, list) or len(told) != len(ids):
        raise AgainError("the answer has no log-probabilities of the prompt's tokens")
    total = 0.0
    for token, place in zip(ids[-count:], told[-count:], strict=True):
        entry = place.get(str(token)) if isinstance(place, dict) else None
        if not isinstance(entry, dict) or not _is_log(entry.get("logprob")):
            raise AgainError("the answer lacks the log-probability of a token of the prompt")
        total += float(entry["logprob"])
    return total


def integers(data: Any, key: str) -> tuple[int, ...]:
    """The list of integers under a key; raises AgainError where there is none."""
    found = data.get(key) if isinstance(data, dict) else None
    if not isinstance(found, list) or not all(isinstance(one, int) for one in found):
        raise AgainError(f"the answer has no list {key!r}")
    return tuple(found)


def _is_log(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
