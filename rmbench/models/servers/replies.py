"""Responses of the OpenAI protocol and of vLLM's own routes, parsed; an incomplete one is a RetryableError."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from rmbench.errors import RmbenchError
from rmbench.models.servers.errors import RetryableError
from rmbench.models.servers.generation import Grammar, Path, Reply
from rmbench.models.servers.option_probs import Tags, log_sum, reasoning_end, summed_options, verdict_position

__all__ = [
    "FINISHED",
    "applied_path",
    "count_top_logprobs",
    "is_json_object",
    "parse_labels",
    "parse_models",
    "parse_option_logprobs",
    "parse_prompt_logprobs",
    "parse_reply",
    "parse_token_logprobs",
    "parse_tokens",
    "parse_top_logprobs",
]

FINISHED = frozenset({"stop", "length"})
"""Finish reasons of a usable reply; not those of others (vLLM's "abort" and "error", a content filter's)."""


def parse_reply(data: Any) -> Reply:
    """A chat's or a completion's reply as free text; raises RetryableError where there is none or it is unfinished."""
    choice = _choice(data)
    if "message" in choice:
        message = choice["message"]
        if not isinstance(message, dict):
            raise RetryableError("the response's choice has no message")
        text, reasoning = message.get("content"), message.get("reasoning") or message.get("reasoning_content") or ""
        text = "" if text is None and reasoning else text  # cut off during its reasoning
    else:
        text, reasoning = choice.get("text"), ""
    if not isinstance(text, str) or not isinstance(reasoning, str):
        raise RetryableError("the response's choice has no text")
    read, written = _token_counts(data)
    return Reply(text, reasoning, str(choice["finish_reason"]), prompt_tokens=read, answer_tokens=written)


def applied_path(grammar: Grammar, requested: Path, text: str) -> Path:
    """The path of a reply that was requested under a constraint: "plain" where its text violates the constraint,
    because servers silently accept constraints that they do not support."""
    satisfied = (
        (requested == "choice" and text in grammar.choices)
        or (requested == "regex" and _matches(grammar.regex, text))
        or (requested == "json" and is_json_object(text))
    )
    return requested if satisfied else "plain"


def is_json_object(text: str) -> bool:
    """Whether the text is one JSON object and nothing else."""
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def parse_option_logprobs(data: Any, tokens: Mapping[str, Sequence[int]], think: Tags | None = None) -> Reply:
    """The log-probabilities of each option at the token that a chat's verdict begins with.

    Args:
        data: the response to a request for the log-probabilities of all these tokens.
        tokens: option -> the ids of the tokens that spell it, whose probabilities are added.
        think: as `Grammar.think`.

    Raises:
        RetryableError: the log-probability of a token is missing.
    """
    at = _verdict_at(data, think)
    if at is None:
        return replace(parse_reply(data), path="logprobs")
    logprobs = parse_token_logprobs(data, at)
    labels = {option: [f"token_id:{token}" for token in ids] for option, ids in tokens.items()}
    if any(label not in logprobs for of_option in labels.values() for label in of_option):
        raise RetryableError("the response lacks the log-probability of a token that was requested")
    return _with_options(data, {option: log_sum(logprobs[one] for one in ids) for option, ids in labels.items()})


def parse_top_logprobs(data: Any, options: Sequence[str], think: Tags | None = None) -> Reply | None:
    """The log-probabilities of each option at the token that a chat's verdict begins with, from those of the most
    probable tokens; an option that is not among them is at most as probable as the last (`Reply.bound`). None where
    none are listed. `think` as in `Grammar.think`."""
    at = _verdict_at(data, think)
    logprobs = parse_token_logprobs(data, at or 0)
    if len(logprobs) < 2:
        return None
    if at is None:
        return replace(parse_reply(data), path="logprobs")
    found = summed_options(logprobs, options)
    listed = [entry for entry in map(_finite, _positions(data)[at].get("top_logprobs") or []) if entry is not None]
    reply = _with_options(data, found)
    return replace(reply, bound=min(listed or logprobs.values())) if len(found) < len(options) else reply


def _with_options(data: Any, options: Mapping[str, float]) -> Reply:
    """A reply read by the options' log-probabilities, whatever its text goes on with."""
    return replace(parse_reply(data), finish="stop", options=options, path="logprobs")


def _verdict_at(data: Any, think: Tags | None) -> int | None:
    """The index of the token that a chat's verdict begins with: the first one without `think` or where the response
    gives no texts of tokens; None where there is none. Reasoning that the server returns separately and without its
    tags is what stands before the reply's text."""
    texts = [_token_text(position) for position in _positions(data)]
    tokens = [text for text in texts if text is not None]
    if think is None or not tokens or len(tokens) < len(texts):
        return 0
    reply, text, reasoned = parse_reply(data), "".join(tokens), 0
    if reply.reasoning and reasoning_end(text, think) == 0 and text.rstrip().endswith(reply.text.strip()):
        start = len(text.rstrip()) - len(reply.text.strip())
        reasoned = sum(end <= start for end in itertools.accumulate(map(len, tokens)))
    at = verdict_position(tokens[reasoned:], think)
    return None if at is None else reasoned + at


def _token_text(position: Mapping[str, Any]) -> str | None:
    """The text of a token that a response lists; None where it gives an id alone."""
    spelled, token = position.get("bytes"), position.get("token")
    if isinstance(spelled, list) and spelled:
        return bytes(spelled).decode("utf-8", "replace")
    return None if not isinstance(token, str) or token.startswith("token_id:") else token


def _finite(entry: Any) -> float | None:
    logprob = entry.get("logprob") if isinstance(entry, dict) else None
    return float(logprob) if logprob is not None and _is_finite(logprob) else None


def parse_token_logprobs(data: Any, at: int = 0) -> dict[str, float]:
    """Token -> natural log of its probability at an index of a chat's reply, for the tokens that the response lists
    there; {} without any."""
    positions = _positions(data)[at : at + 1]
    entries = [entry for position in positions for entry in (position, *(position.get("top_logprobs") or []))]
    return {
        entry["token"]: float(entry["logprob"])
        for entry in entries
        if isinstance(entry, dict) and isinstance(entry.get("token"), str) and _is_finite(entry.get("logprob"))
    }


def count_top_logprobs(data: Any) -> int:
    """How many of the most probable tokens a response lists at a chat's first token."""
    return sum(len(position.get("top_logprobs") or []) for position in _positions(data)[:1])


def _positions(data: Any) -> list[Mapping[str, Any]]:
    """What a response lists of each token of its reply; [] where it lists nothing."""
    logprobs = _choice(data).get("logprobs")
    positions = logprobs.get("content") if isinstance(logprobs, dict) else None
    usable = isinstance(positions, list) and all(isinstance(position, dict) for position in positions)
    return positions if usable and positions is not None else []


def parse_prompt_logprobs(data: Any, prompt: Sequence[int], options: Mapping[str, Sequence[int]]) -> Reply:
    """The log-probabilities that a prompt continues with each option: sums over the option's tokens, from a response
    to the prompts `prompt + option`.

    Raises:
        RetryableError: a choice or the log-probability of a token is missing.
    """
    choices = data.get("choices") if isinstance(data, dict) else None
    if not isinstance(choices, list) or len(choices) != len(options):
        raise RetryableError(f"the response does not have the {len(options)} choices that were requested")
    by_index = {choice.get("index"): choice for choice in choices if isinstance(choice, dict)}
    sums = {
        option: _sum_of_last(by_index.get(index, {}), [*prompt, *ids], len(ids))
        for index, (option, ids) in enumerate(options.items())
    }
    read, written = _token_counts(data)
    return Reply(finish="stop", options=sums, path="logprobs", prompt_tokens=read, answer_tokens=written)


def parse_tokens(data: Any) -> tuple[int, ...]:
    """Token ids of /tokenize; raises RetryableError where there are none."""
    tokens = data.get("tokens") if isinstance(data, dict) else None
    if not isinstance(tokens, list) or not all(isinstance(token, int) for token in tokens):
        raise RetryableError("the response has no list 'tokens'")
    return tuple(tokens)


def parse_models(data: Any) -> dict[str, int | None]:
    """Model -> the most tokens a row may have, as /v1/models lists them; None where it does not say."""
    listed = data.get("data", []) if isinstance(data, dict) else []
    entries = [entry for entry in listed if isinstance(entry, dict) and isinstance(entry.get("id"), str)]
    lengths = {entry["id"]: entry.get("max_model_len") for entry in entries}
    return {name: length if isinstance(length, int) else None for name, length in lengths.items()}


def parse_labels(data: Any, count: int, model: str) -> list[float]:
    """[B] the one label's value of each of `count` rows, from /classify.

    Raises:
        RmbenchError: the model has another number of labels.
        RetryableError: a row or its value is missing.
    """
    entries = data.get("data") if isinstance(data, dict) else None
    if not isinstance(entries, list) or len(entries) != count:
        raise RetryableError(f"the response does not have the {count} rows that were requested")
    by_index: dict[int, float] = {}
    for entry in entries:
        values = entry.get("probs") if isinstance(entry, dict) else None
        if not isinstance(values, list) or not all(isinstance(value, int | float) for value in values):
            raise RetryableError("a row of the response holds no numbers")
        if len(values) != 1:
            raise RmbenchError(f"{model} has {len(values)} labels; a scalar reward model has exactly one.")
        by_index[entry.get("index", -1)] = float(values[0])
    if set(by_index) != set(range(count)):
        raise RetryableError("the response's rows are not those that were requested")
    return [by_index[index] for index in range(count)]


def _choice(data: Any) -> Mapping[str, Any]:
    """The first choice of a response; raises RetryableError where there is none or it is unfinished."""
    choices = data.get("choices") if isinstance(data, dict) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise RetryableError("the response has no choices")
    finish = choices[0].get("finish_reason")
    if finish not in FINISHED:
        raise RetryableError(f"the response was not finished: finish reason {str(finish)[:40]!r}")
    return cast("Mapping[str, Any]", choices[0])


def _token_counts(data: Any) -> tuple[int, int]:
    """Prompt and completion tokens, as the server counts them; 0 where it does not say."""
    usage = data.get("usage") if isinstance(data, dict) else None
    if not isinstance(usage, dict):
        return 0, 0
    read, written = usage.get("prompt_tokens"), usage.get("completion_tokens")
    return (read if isinstance(read, int) else 0), (written if isinstance(written, int) else 0)


def _sum_of_last(choice: Mapping[str, Any], ids: Sequence[int], count: int) -> float:
    """Natural log of the probability of a prompt's last `count` tokens, given those before."""
    logprobs = choice.get("prompt_logprobs")
    if not isinstance(logprobs, list) or len(logprobs) != len(ids):
        raise RetryableError("the response has no log-probabilities of the prompt's tokens")
    total = 0.0
    for token, position in zip(ids[-count:], logprobs[-count:], strict=True):
        entry = position.get(str(token)) if isinstance(position, dict) else None
        if not isinstance(entry, dict) or not _is_finite(entry.get("logprob")):
            raise RetryableError("the response lacks the log-probability of a token of the prompt")
        total += float(entry["logprob"])
    return total


def _matches(regex: str, text: str) -> bool:
    try:
        return re.fullmatch(regex, text) is not None
    except re.error:
        return False


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
