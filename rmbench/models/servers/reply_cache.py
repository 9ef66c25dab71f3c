"""Answers kept as they come, so that a run that was killed asks nothing twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rmbench.errors import RmbenchError
from rmbench.models.abilities import Replies
from rmbench.models.servers.generation import Backend, Question, Reply

__all__ = ["Remembering", "key_of"]


@dataclass(frozen=True, slots=True)
class Remembering:
    """A Backend that asks another one, once."""

    backend: Backend
    replies: Replies
    fingerprint: str
    """The judge's: another model, protocol or setting finds nothing here."""

    @property
    def name(self) -> str:
        """The backend's."""
        return self.backend.name

    @property
    def settings(self) -> Mapping[str, str | int | float | bool | None]:
        """The backend's."""
        return self.backend.settings

    @property
    def usage(self) -> object:
        """What the backend counts, if it does."""
        return getattr(self.backend, "usage", None)

    def ask(self, question: Question) -> Reply:
        """The kept answer, or the backend's, kept before it is used. What went wrong is not kept: a later run asks
        again. Raises RmbenchError as the backend does, or where what is kept is damaged."""
        key = key_of(question, self.fingerprint)
        kept = self.replies.get(key)
        if kept is not None:
            return _loaded(kept, question)
        reply = self.backend.ask(question)
        if not reply.error and reply.finish in ("stop", "length"):
            self.replies.put(key, question.name, json.dumps(asdict(reply)))
        return reply

    def close(self) -> None:
        """The backend's; the answers stay."""
        self.backend.close()


def key_of(question: Question, fingerprint: str) -> str:
    """sha256 over the whole question, its text included, and the judge."""
    whole = json.dumps([fingerprint, question.name, asdict(question)], sort_keys=True, default=dict)
    return hashlib.sha256(whole.encode()).hexdigest()


def _loaded(text: str, question: Question) -> Reply:
    try:
        fields: dict[str, Any] = json.loads(text)
        return Reply(**fields)
    except (ValueError, TypeError) as error:
        raise RmbenchError(f"The answer kept for {question.name} is damaged: {error}.") from error
