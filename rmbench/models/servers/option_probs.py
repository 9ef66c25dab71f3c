"""The probabilities of options, from those of the token at which a judge's reply comes to its verdict.

Tokens that differ by a blank or bold marks around the option are one option, and their probabilities are added.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence

__all__ = [
    "OPTIONS_AS_TEXT",
    "UNDECIDED",
    "Tags",
    "last_position",
    "log_sum",
    "may_be_reasoning",
    "position_behind",
    "reasoning_end",
    "single_tokens",
    "spellings",
    "summed_options",
    "verdict_position",
]

Tags = Sequence[tuple[str, str]]
"""Opening and closing tags of reasoning."""

UNDECIDED = ("options_below_mass", "options_undecided", "options_unreached")
"""Remarks of verdicts that probabilities leave open: the options hold too little of the mass, an option outside the
listed tokens may decide, or the reply holds no verdict to read them at."""

OPTIONS_AS_TEXT = "options_as_text"
"""Remark of verdicts of a protocol of options that are read from text, since the server gives no probabilities."""

_AROUND = " \t\n*\u2581\u0120"
"""Blanks, as tokenizers write them too (a low line block, G with a dot), and the asterisks of bold text."""


def spellings(option: str) -> tuple[str, ...]:
    """The texts that count as the option where they are one token; its own first."""
    return (option, f" {option}", f"**{option}", f" **{option}")


def single_tokens(spelled: Mapping[str, Sequence[Sequence[int]]]) -> dict[str, tuple[int, ...]]:
    """Option -> the tokens that are one of its spellings whole, each once; a token that two options share (that of
    unknown text) is neither's.

    Args:
        spelled: option -> the token ids of each of its spellings.
    """
    own = {option: {ids[0] for ids in texts if len(ids) == 1} for option, texts in spelled.items()}
    shared = {token for option in own for other in own if option != other for token in own[option] & own[other]}
    return {
        option: tuple(dict.fromkeys(ids[0] for ids in texts if len(ids) == 1 and ids[0] not in shared))
        for option, texts in spelled.items()
    }


def summed_options(tokens: Mapping[str, float], options: Sequence[str]) -> dict[str, float]:
    """Option -> log of the summed probabilities of the tokens that spell it, for options with such a token.

    Args:
        tokens: text of a first token -> natural log of its probability.
        options: the texts; where two differ by blanks and bold marks alone, only their own tokens count.
    """
    bare = {option.strip(_AROUND): option for option in options}
    if len(bare) < len(options):
        return {option: tokens[option] for option in options if option in tokens}
    of_option: dict[str, list[float]] = {}
    for token, logprob in tokens.items():
        option = bare.get(token.strip(_AROUND))
        if option is not None:
            of_option.setdefault(option, []).append(logprob)
    return {option: log_sum(of_option[option]) for option in options if option in of_option}


def reasoning_end(text: str, think: Tags) -> int | None:
    """Where a reply's text goes on behind its reasoning, which is everything before the last closing tag; 0 without
    reasoning, None where it does not end."""
    for opening, closing in think:
        end = text.rfind(closing)
        if end >= 0:
            return end + len(closing)
        if text.lstrip().startswith(opening):
            return None
    return 0


def verdict_position(tokens: Sequence[str], think: Tags) -> int | None:
    """Which of a reply's tokens its verdict begins with: the first behind its reasoning that is more than blanks and
    bold marks; None where there is none."""
    text = "".join(tokens)
    start = reasoning_end(text, think)
    if start is None:
        return None
    return _token_at(tokens, len(text) - len(text[start:].lstrip(_AROUND)))


def position_behind(tokens: Sequence[str], mark: str) -> int | None:
    """Which of a reply's tokens is the first behind the first occurrence of a text and white space; None where there is
    none. A token that the text ends within does not count."""
    text = "".join(tokens)
    found = text.find(mark)
    if found < 0:
        return None
    behind = text[found + len(mark) :]
    return _token_at(tokens, len(text) - len(behind.lstrip()))


def last_position(tokens: Sequence[str], text: str) -> int | None:
    """Which of a reply's tokens its text ends with, white space and the tokens behind it (an end of turn) apart; None
    where there is none."""
    shown = text.rstrip()
    found = "".join(tokens).rfind(shown) if shown else -1
    return None if found < 0 else _token_at(tokens, found + len(shown) - 1)


def _token_at(tokens: Sequence[str], place: int) -> int | None:
    """The index of the token that holds a character of the joined texts."""
    ends = itertools.accumulate(map(len, tokens))
    return next((index for index, end in enumerate(ends) if end > place), None)


def may_be_reasoning(text: str, think: Tags) -> bool:
    """Whether a reply that begins with this text begins, or may yet begin, with reasoning."""
    begun = text.lstrip()
    return any(begun.startswith(opening) or opening.startswith(begun) for opening, _ in think)


def log_sum(logprobs: Iterable[float]) -> float:
    """The natural log of the sum of probabilities given by theirs; exact for one of them."""
    values = list(logprobs)
    top = max(values, default=-math.inf)
    if len(values) == 1 or not math.isfinite(top):
        return top
    return top + math.log(math.fsum(math.exp(value - top) for value in values))
