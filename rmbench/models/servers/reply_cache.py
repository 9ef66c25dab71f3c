"""A cache of a backend's replies, so that a run that was killed and started again asks no question twice."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from rmbench.errors import RmbenchError
from rmbench.models.abilities import Replies
from rmbench.models.servers.generation import FINISHED, REFUSED, Backend, Grammar, Question, Reply, Sampling
from rmbench.untrusted.masking import masked

__all__ = ["ask_once", "reply_key"]


def ask_once(backend: Backend, question: Question, replies: Replies, fingerprint: str) -> Reply:
    """The cached reply, or the backend's, which is stored before it is returned.

    Args:
        backend: is asked where no reply is stored.
        question: the question.
        replies: the cache. Failures are not stored, so that a later run asks again.
        fingerprint: the judge's: another model, protocol or setting has entries of its own.

    Raises:
        RmbenchError: as the backend does, or where a stored reply is damaged.
    """
    key = reply_key(question, fingerprint)
    stored = replies.get(key)
    if stored is not None:
        return _load(stored, question)
    reply = masked(backend.ask(question))
    if not reply.error and reply.finish in (*FINISHED, REFUSED):
        replies.put(key, question.name, json.dumps(_fields(reply), default=dict))
    return reply


def reply_key(question: Question, fingerprint: str) -> str:
    """sha256 over the whole question, its text included, and the judge's fingerprint."""
    fields = _fields(question) | {"grammar": _fields(question.grammar), "sampling": _fields(question.sampling)}
    if question.grammar.think is None:
        del fields["grammar"]["think"]  # as before there was the field, so that cached replies stay
    for name in ("last", "behind"):
        if not getattr(question.grammar, name):
            del fields["grammar"][name]
    if not question.sampling.extra:
        del fields["sampling"]["extra"]  # likewise
    whole = json.dumps([fingerprint, question.name, fields], sort_keys=True, default=dict)
    return hashlib.sha256(whole.encode()).hexdigest()


def _fields(data: Question | Grammar | Sampling | Reply) -> dict[str, Any]:
    """As `dataclasses.asdict`, which copies all that is in it."""
    return {name: getattr(data, name) for name in data.__dataclass_fields__}


def _load(text: str, question: Question) -> Reply:
    try:
        fields: dict[str, Any] = json.loads(text)
        return Reply(**{**fields, "remarks": tuple(fields.get("remarks", ()))})
    except (ValueError, TypeError) as error:
        raise RmbenchError(f"The reply stored for {question.name} is damaged: {error}.") from error
