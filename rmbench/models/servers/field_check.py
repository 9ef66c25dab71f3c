"""Which fields of a question a server takes: it is asked with all of them, and after a refusal with one less."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

from rmbench.models.servers.capabilities import OPTIONAL_FIELDS, SYSTEM, Capabilities
from rmbench.models.servers.errors import RejectedError
from rmbench.models.servers.generation import Question

__all__ = ["Ask", "Settled", "settle_fields"]

Ask = Callable[[Capabilities], Exception | None]
"""Asks the question with what these capabilities leave of it; returns the refusal, None for an answer."""

_VARIABLE = re.compile(r"[0-9a-f-]*\d[0-9a-f-]*")
"""Ids and numbers, in which two refusals for one reason differ."""
_NAMES = {SYSTEM: re.compile(r"system|\brole", re.IGNORECASE)} | {
    field: re.compile(rf"\b{field}\b") for field in OPTIONAL_FIELDS
}


@dataclass(frozen=True, slots=True)
class Settled:
    """What a server takes of a question."""

    capabilities: Capabilities
    refused: Mapping[str, str]
    """Field, or SYSTEM -> what the server says of it."""


def settle_fields(ask: Ask, question: Question, start: Capabilities) -> Settled:
    """The most of a question that a server takes. What it refuses is looked for by what its message names, then one
    field after the other, then all at once; what turns out to be no reason is put back.

    Raises:
        Exception: the refusal, where no field of OPTIONAL_FIELDS and no system message is the reason.
    """
    sent = _sent(question)
    found, refused = start, dict[str, str]()
    refusal, certain = ask(found), True
    while refusal is not None:
        certain = certain and isinstance(refusal, RejectedError)
        left = [field for field in sent if field not in refused]
        for field in sorted(left, key=lambda field: _NAMES[field].search(str(refusal)) is None):
            again = ask(found.without(field))
            if again is None or _kind(again) != _kind(refusal):
                refused[field] = str(refusal)
                found, refusal = found.without(field), again
                break
        else:
            smaller = reduce(Capabilities.without, left, found)
            if len(left) < 2 or ask(smaller) is not None:
                raise refusal
            refused |= dict.fromkeys(left, str(refusal))
            found, refusal = smaller, None
    if len(refused) > 1 or not certain:  # a server that fails may have failed for another reason
        for field in reversed(sent):
            if field in refused and ask(found.with_again(field)) is None:
                found = found.with_again(field)
                del refused[field]
    return Settled(found, refused)


def _sent(question: Question) -> Sequence[str]:
    """What a question sends and could be asked without, the least important first."""
    sampling = question.sampling
    given = [field for field in OPTIONAL_FIELDS if getattr(sampling, field) not in (None, ())]
    roles = [message["role"] for message in question.messages]
    return [*given, *([SYSTEM] if SYSTEM in roles and "user" in roles else [])]


def _kind(refusal: Exception) -> str:
    return _VARIABLE.sub("", str(refusal))
