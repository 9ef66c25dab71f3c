"""Responses of the OpenAI protocol and of vLLM's own routes, parsed; an incomplete one is a RetryableError."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rmbench.errors import RmbenchError
from rmbench.media import MEDIA_REJECTED
from rmbench.models.servers.errors import RejectedError, RetryableError
from rmbench.models.servers.generation import FINISHED, Grammar, Path, Reply
from rmbench.models.servers.option_probs import (
    Tags,
    last_position,
    log_sum,
    position_behind,
    reasoning_end,
    summed_options,
    verdict_position,
)
from rmbench.models.servers.spoken import spoken
from rmbench.models.servers.wire import (
    Answer,
    Choice,
    CompletionLogprobs,
    Counted,
    Labels,
    ListedModels,
    Logprobs,
    Position,
    PromptLogprobs,
    Tokens,
    Usage,
    read,
)

__all__ = [
    "applied_path",
    "check_images",
    "count_top_logprobs",
    "image_runs",
    "is_json_object",
    "parse_labels",
    "parse_models",
    "parse_option_logprobs",
    "parse_prompt_logprobs",
    "parse_reply",
    "parse_token_logprobs",
    "parse_tokens",
    "parse_top_logprobs",
    "tokens_in",
]


def parse_reply(data: Any) -> Reply:
    """A chat's or a completion's reply as free text; raises RetryableError where there is none or the server failed
    while it wrote. How it ended is in `Reply.finish`, for the caller to judge."""
    answer = read(Answer, data)
    said = spoken(answer.choices[0])
    prompt_tokens, answer_tokens = _counts(answer.usage)
    remarks = ("finish_assumed",) if said.assumed else ()
    return Reply(
        said.text,
        said.reasoning,
        said.finish,
        prompt_tokens=prompt_tokens,
        answer_tokens=answer_tokens,
        remarks=remarks,
    )


_RUN = 4
"""Equal tokens in a row that may be an image; the smallest ones have as many."""


def image_runs(ids: Sequence[object]) -> dict[int, list[int]]:
    """Token id -> the lengths of its runs of at least 4."""
    runs: dict[int, list[int]] = {}
    for token, run in itertools.groupby(ids):
        length = sum(1 for _ in run)
        if length >= _RUN and isinstance(token, int):
            runs.setdefault(token, []).append(length)
    return runs


def check_images(data: Any, token: int, images: int) -> None:
    """Raise RejectedError where the prompt that a server read does not hold exactly one run of an image's token for
    each image that was sent: a text may spell the token, and then takes the image's place."""
    ids = read(Answer, data).prompt_token_ids
    if not isinstance(ids, list):
        raise RetryableError("the response lacks the token ids of its prompt")
    places = sum(each == token for each, _ in itertools.groupby(ids))
    if places != images:
        raise RejectedError(f"{MEDIA_REJECTED}: the server read images at {places} places, {images} were sent")


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


def parse_option_logprobs(
    data: Any, tokens: Mapping[str, Sequence[int]], think: Tags | None = None, *, last: bool = False, behind: str = ""
) -> Reply:
    """The log-probabilities of each option at the token that a chat's verdict begins with.

    Args:
        data: the response to a request for the log-probabilities of all these tokens.
        tokens: option -> the ids of the tokens that spell it, whose probabilities are added.
        think: as in `Grammar`.
        last: likewise.
        behind: likewise.

    Raises:
        RetryableError: the log-probability of a token is missing.
    """
    reply = parse_reply(data)
    if reply.finish not in FINISHED:
        return reply
    at = _verdict_at(data, reply, think, last=last, behind=behind)
    if at is None:
        return replace(reply, path="logprobs")
    logprobs = parse_token_logprobs(data, at)
    labels = {option: [f"token_id:{token}" for token in ids] for option, ids in tokens.items()}
    if any(label not in logprobs for of_option in labels.values() for label in of_option):
        raise RetryableError("the response's choices[0].logprobs lack a token that was requested")
    return _with_options(reply, {option: log_sum(logprobs[one] for one in ids) for option, ids in labels.items()})


def parse_top_logprobs(
    data: Any, options: Sequence[str], think: Tags | None = None, *, last: bool = False, behind: str = ""
) -> Reply | None:
    """The log-probabilities of each option at the token that a chat's verdict begins with, from those of the most
    probable tokens; an option that is not among them is at most as probable as the last (`Reply.bound`). None where
    none are listed. `think`, `last` and `behind` as in `Grammar`."""
    reply = parse_reply(data)
    if reply.finish not in FINISHED:
        return reply
    at = _verdict_at(data, reply, think, last=last, behind=behind)
    logprobs = parse_token_logprobs(data, at or 0)
    if len(logprobs) < 2:
        return None
    if at is None:
        return replace(reply, path="logprobs")
    found = summed_options(logprobs, options)
    listed = [entry.logprob for entry in _positions(data)[at].top_logprobs or [] if entry.logprob is not None]
    reply = _with_options(reply, found)
    return replace(reply, bound=min(listed or logprobs.values())) if len(found) < len(options) else reply


def _with_options(reply: Reply, options: Mapping[str, float]) -> Reply:
    """A reply read by the options' log-probabilities, whatever its text goes on with."""
    return replace(reply, finish="stop", options=options, path="logprobs")


def _verdict_at(data: Any, reply: Reply, think: Tags | None, *, last: bool, behind: str) -> int | None:
    """The index of the token at which options are read, see `Grammar`: the first one without `think`, and where the
    response gives no texts of tokens and the verdict begins the reply; None where there is none. Reasoning that the
    server returns separately and without its tags is what stands before the reply's text."""
    texts = [_token_text(position) for position in _positions(data)]
    tokens = [text for text in texts if text is not None]
    if think is None or not tokens or len(tokens) < len(texts):
        return None if last or behind else 0
    if last:  # a text that was cut off ends anywhere
        return None if reply.finish == "length" else last_position(tokens, reply.text)
    text, reasoned = "".join(tokens), 0
    if reply.reasoning and reasoning_end(text, think) == 0 and text.rstrip().endswith(reply.text.strip()):
        start = len(text.rstrip()) - len(reply.text.strip())
        reasoned = sum(end <= start for end in itertools.accumulate(map(len, tokens)))
    at = position_behind(tokens[reasoned:], behind) if behind else verdict_position(tokens[reasoned:], think)
    return None if at is None else reasoned + at


def _token_text(position: Position) -> str | None:
    """The text of a token that a response lists; None where it gives an id alone."""
    given = position.bytes
    if isinstance(given, list) and given and all(type(one) is int and 0 <= one < 256 for one in given):
        return bytes(given).decode("utf-8", "replace")
    return None if position.token is None or position.token.startswith("token_id:") else position.token


def parse_token_logprobs(data: Any, at: int = 0) -> dict[str, float]:
    """Token -> natural log of its probability at an index of a chat's reply, for the tokens that the response lists
    there; {} without any."""
    positions = _positions(data)[at : at + 1]
    entries = [entry for position in positions for entry in (position, *(position.top_logprobs or []))]
    return {entry.token: entry.logprob for entry in entries if entry.token is not None and entry.logprob is not None}


def count_top_logprobs(data: Any) -> int:
    """How many of the most probable tokens a response lists at a chat's first token."""
    return sum(len(position.top_logprobs or []) for position in _positions(data)[:1])


def _positions(data: Any) -> list[Position]:
    """What a response lists of each token of its reply; [] where it lists nothing."""
    logprobs = read(Answer, data).choices[0].logprobs
    if logprobs is None:
        return []
    where = "the response's choices[0].logprobs"
    listed = read(Logprobs, logprobs, where).content
    return read(CompletionLogprobs, logprobs, where).positions if listed is None else listed


def parse_prompt_logprobs(data: Any, prompt: Sequence[int], options: Mapping[str, Sequence[int]]) -> Reply:
    """The log-probabilities that a prompt continues with each option: sums over the option's tokens, from a response
    to the prompts `prompt + option`.

    Raises:
        RetryableError: a choice or the log-probability of a token is missing.
    """
    answer = read(Answer, data)
    if len(answer.choices) != len(options):
        raise RetryableError(f"the response has {len(answer.choices)} choices; {len(options)} were requested")
    by_index = {choice.index: choice for choice in answer.choices if type(choice.index) is int}
    if set(by_index) != set(range(len(options))):
        raise RetryableError("the response's choices[].index are not those of the prompts that were sent")
    sums = {
        option: _sum_of_last(by_index[index], [*prompt, *ids], len(ids))
        for index, (option, ids) in enumerate(options.items())
    }
    prompt_tokens, answer_tokens = _counts(answer.usage)
    return Reply(finish="stop", options=sums, path="logprobs", prompt_tokens=prompt_tokens, answer_tokens=answer_tokens)


def parse_tokens(data: Any) -> tuple[int, ...]:
    """Token ids of /tokenize; raises RetryableError where there are none."""
    return tuple(read(Tokens, data).tokens)


def parse_models(data: Any) -> dict[str, int | None]:
    """Model -> the most tokens a row may have, as /v1/models lists them; None where it does not say."""
    return {model.id: model.max_model_len for model in read(ListedModels, data).data}


def parse_labels(data: Any, count: int, model: str) -> list[float]:
    """[B] the one label's value of each of `count` rows, from /classify.

    Raises:
        RmbenchError: the model has another number of labels.
        RetryableError: a row or its value is missing.
    """
    rows = read(Labels, data).data
    if len(rows) != count:
        raise RetryableError(f"the response's data has {len(rows)} rows; {count} were requested")
    labels = max(len(row.probs) for row in rows)
    if labels > 1:
        raise RmbenchError(f"{model} has {labels} labels; a scalar reward model has exactly one.")
    by_index = {row.index: row.probs[0] for row in rows}
    if set(by_index) != set(range(count)):
        raise RetryableError("the response's data[].index are not those of the rows that were sent")
    return [by_index[index] for index in range(count)]


def tokens_in(data: Any) -> tuple[int, int]:
    """Prompt and completion tokens of a response that need not be a whole one; 0 where it does not say."""
    try:
        return _counts(read(Counted, data).usage)
    except RetryableError:
        return 0, 0


def _counts(sent: object) -> tuple[int, int]:
    """Prompt and completion tokens, as the server counts them; 0 where it does not say, or says what is no count."""
    try:
        usage = Usage() if sent is None else read(Usage, sent)
    except RetryableError:
        return 0, 0
    return usage.prompt_tokens or 0, usage.completion_tokens or 0


def _sum_of_last(choice: Choice, ids: Sequence[int], count: int) -> float:
    """Natural log of the probability of a prompt's last `count` tokens, given those before."""
    sent = {"prompt_logprobs": choice.prompt_logprobs}
    logprobs = read(PromptLogprobs, sent, f"the response's choices[{choice.index}]").prompt_logprobs
    if len(logprobs) != len(ids):
        raise RetryableError("the response's prompt_logprobs are not those of the prompt's tokens")
    total = 0.0
    for token, position in zip(ids[-count:], logprobs[-count:], strict=True):
        entry = (position or {}).get(str(token))
        if entry is None or entry.logprob is None:
            raise RetryableError("the response's prompt_logprobs lack a token of the prompt")
        total += entry.logprob
    return total


def _matches(regex: str, text: str) -> bool:
    try:
        return re.fullmatch(regex, text) is not None
    except re.error:
        return False
