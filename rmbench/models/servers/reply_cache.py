"""A cache of a backend's replies, so that a run that was killed and started again asks no question twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rmbench.errors import RmbenchError
from rmbench.models.abilities import Replies
from rmbench.models.servers.generation import Backend, Question, Reply
from rmbench.models.servers.replies import FINISHED
from rmbench.models.servers.usage import Usage
from rmbench.types import Setting

__all__ = ["CachingBackend", "reply_key"]


@dataclass(frozen=True, slots=True)
class CachingBackend:
    """A Backend that asks another one each question once."""

    backend: Backend
    replies: Replies
    fingerprint: str
    """The judge's: a reply to another model, protocol or setting is another entry."""

    @property
    def name(self) -> str:
        """The backend's."""
        return self.backend.name

    @property
    def settings(self) -> Mapping[str, Setting]:
        """The backend's."""
        return self.backend.settings

    @property
    def usage(self) -> Usage:
        """The backend's: cached replies use nothing."""
        return self.backend.usage

    def ask(self, question: Question) -> Reply:
        """The cached reply, or the backend's, which is stored before it is returned. Failures are not stored, so a
        later run asks again. Raises RmbenchError as the backend does, or where a stored reply is damaged."""
        key = reply_key(question, self.fingerprint)
        stored = self.replies.get(key)
        if stored is not None:
            return _load(stored, question)
        reply = self.backend.ask(question)
        if not reply.error and reply.finish in FINISHED:
            self.replies.put(key, question.name, json.dumps(asdict(reply)))
        return reply

    def close(self) -> None:
        """Close the backend; the cache stays open."""
        self.backend.close()


def reply_key(question: Question, fingerprint: str) -> str:
    """sha256 over the whole question, its text included, and the judge's fingerprint."""
    whole = json.dumps([fingerprint, question.name, asdict(question)], sort_keys=True, default=dict)
    return hashlib.sha256(whole.encode()).hexdigest()


def _load(text: str, question: Question) -> Reply:
    try:
        fields: dict[str, Any] = json.loads(text)
        return Reply(**fields)
    except (ValueError, TypeError) as error:
        raise RmbenchError(f"The answer kept for {question.name} is damaged: {error}.") from error
