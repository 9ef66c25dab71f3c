"""Questions to a judge and their replies: the interface between judge protocols and the backends that generate text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from rmbench.models.servers.usage import Usage
from rmbench.types import Setting

__all__ = [
    "FINISHED",
    "REFUSED",
    "Backend",
    "Grammar",
    "Path",
    "Question",
    "Reply",
    "Sampling",
    "Windowed",
    "images_in",
]

FINISHED = frozenset({"stop", "length"})
"""Finish reasons of a usable reply; not those of others (a content filter's, a tool call's)."""
REFUSED = "refusal"
"""Finish reason of a reply whose text is the model's refusal to answer, as the server says."""

Path = Literal["plain", "choice", "regex", "json", "logprobs"]
"""How a verdict was obtained: free text, structured output of one kind, or log-probabilities of options."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """Sampling parameters. Hashed into the record and into the keys of the reply cache."""

    temperature: float | None = 0.0
    """None here, of `top_p` and of `seed`: not sent, so that the server's own default holds."""
    top_p: float | None = 1.0
    max_tokens: int = 2048
    repetition_penalty: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    """The request's own: a function of the run's seed, the row, the order and the vote."""
    extra: str = ""
    """Further fields of the request's body, as a JSON object; "" for none."""

    @property
    def further(self) -> dict[str, Any]:
        """`extra` as an object."""
        fields: dict[str, Any] = json.loads(self.extra or "{}")
        return fields


@dataclass(frozen=True, slots=True)
class Grammar:
    """A constraint on the reply. A backend applies what its server supports, and `Reply.path` says what was applied."""

    choices: tuple[str, ...] = ()
    """The whole reply is one of these."""
    regex: str = ""
    """The whole reply matches."""
    schema: Mapping[str, object] | None = None
    """The whole reply is JSON of this schema."""
    options: tuple[str, ...] = ()
    """Instead of text: the log-probabilities that the reply begins with each of these."""
    think: tuple[tuple[str, str], ...] | None = None
    """Of options: the tags of reasoning behind which they are read (`option_probs.verdict_position`); None: at the
    reply's first token."""
    last: bool = False
    """Of options with `think`: they are read at the last token of the reply's text instead."""
    behind: str = ""
    """Of options with `think`: they are read at the first token behind this text and white space instead."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question to a judge. Its field names are part of the reply cache's keys."""

    task: str
    example: str
    """The example's id."""
    shown: tuple[int, ...]
    """Candidate indices in the order shown."""
    vote: int
    messages: tuple[Mapping[str, Any], ...]
    """{"role", "content"}; the last may be the beginning of the judge's own reply (role "assistant"). A content is a
    text, or parts: {"type": "text", "text"} and {"type": "image_url", "image_url": {"url"}}."""
    sampling: Sampling = field(default_factory=Sampling)
    grammar: Grammar = field(default_factory=Grammar)
    raw: bool = False
    """True: the one message's content is the whole prompt, and no chat template is applied."""

    @property
    def images(self) -> int:
        """How many images it shows."""
        return images_in(self.messages)

    @property
    def name(self) -> str:
        """Unique in a run; also the `custom_id` in batch files."""
        return f"{self.task}/{self.example}/{'-'.join(map(str, self.shown))}/{self.vote}"


def images_in(messages: Iterable[Mapping[str, Any]]) -> int:
    """How many images messages show."""
    contents = (message["content"] for message in messages)
    return sum(part["type"] == "image_url" for each in contents if not isinstance(each, str) for part in each)


@dataclass(frozen=True, slots=True)
class Reply:
    """A backend's reply to a question. Stored by its field names in the reply cache."""

    text: str = ""
    """Without reasoning that the server returned separately."""
    reasoning: str = ""
    finish: str = "stop"
    """The finish reason: "stop", "length", REFUSED, "content_filter", or another one in the server's spelling; the text
    is used of FINISHED ones alone."""
    options: Mapping[str, float] | None = None
    """Option -> natural log of its probability, where they were requested and returned; None with the path "logprobs":
    the reply holds no token of a verdict."""
    path: Path = "plain"
    prompt_tokens: int = 0
    answer_tokens: int = 0
    error: str = ""
    """Why there is no reply; "" otherwise. Never holds a key or a header."""
    bound: float | None = None
    """Natural log of what the probability of an option that `options` lacks is at most: that of the least probable
    token listed; None where all are in `options`."""
    remarks: tuple[str, ...] = ()
    """What the record counts besides: "finish_assumed", a server that gives no finish reason."""


@runtime_checkable
class Windowed(Protocol):
    """A Backend whose servers may be overloaded."""

    @property
    def has_room(self) -> bool:
        """Whether fewer requests are under way than may be."""
        ...

    def in_window(self, most: int) -> AbstractContextManager[None]:
        """Have at most so many requests under way at a time, and fewer while a server shows that it is overloaded."""
        ...


class Backend(Protocol):
    """Something that answers questions. Called from several threads at once."""

    @property
    def name(self) -> str:
        """The model's name, as people call it."""
        ...

    @property
    def settings(self) -> Mapping[str, Setting]:
        """Resolved values that change a reply, for the record: server kind and version, dtype, capabilities."""
        ...

    @property
    def usage(self) -> Usage:
        """What the replies have used so far; nothing where no server is asked."""
        ...

    def ask(self, question: Question) -> Reply:
        """The reply; a failure of one question is a reply with `error`, after the retries that make sense.

        Raises:
            RmbenchError: no question can ever be answered: no server, a wrong key, an unknown model.
        """
        ...

    def close(self) -> None:
        """Close connections, and stop a server that was started for this backend."""
        ...
