"""What a judge is asked and what comes back: the seam between protocols, which know verdicts, and backends, which know
servers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

__all__ = ["Backend", "Grammar", "Question", "Reply", "Sampling"]

Path = Literal["plain", "choice", "regex", "json", "logprobs"]
"""Which way a verdict came: free text; text under a constraint of the server; probabilities of options."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How text is drawn. Hashed into the record."""

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 2048
    repetition_penalty: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    """The request's own: the run's seed, the row, the order and the vote decide it."""


@dataclass(frozen=True, slots=True)
class Grammar:
    """What of an answer a server can be held to. A backend takes what it can and says what it took."""

    choices: tuple[str, ...] = ()
    """The whole answer is one of these."""
    regex: str = ""
    """The whole answer matches."""
    schema: Mapping[str, object] | None = None
    """The whole answer is JSON of this schema."""
    options: tuple[str, ...] = ()
    """Instead of text: the log-probabilities that the answer begins with each of these."""


@dataclass(frozen=True, slots=True)
class Question:
    """One request to a judge."""

    task: str
    example: str
    """The example's id."""
    shown: tuple[int, ...]
    """Candidate indices in the order shown."""
    vote: int
    messages: tuple[Mapping[str, str], ...]
    """{"role", "content"}; the last may be the beginning of the judge's own answer (role "assistant")."""
    sampling: Sampling = field(default_factory=Sampling)
    grammar: Grammar = field(default_factory=Grammar)
    raw: bool = False
    """True: the one message's content is the whole prompt, and no chat template is applied."""

    @property
    def name(self) -> str:
        """What tells it from every other question of a run; also the custom id in batch files."""
        return f"{self.task}/{self.example}/{'-'.join(map(str, self.shown))}/{self.vote}"


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back."""

    text: str = ""
    """The answer without reasoning that the server kept apart."""
    reasoning: str = ""
    finish: str = "stop"
    """"stop", "length", or what the server said; only these two are answers."""
    options: Mapping[str, float] | None = None
    """Option -> natural log of its probability, where probabilities were asked and given."""
    path: Path = "plain"
    prompt_tokens: int = 0
    answer_tokens: int = 0
    error: str = ""
    """Why there is no answer; "" otherwise. Never holds a key or a header."""


class Backend(Protocol):
    """Something that answers questions. Called from several threads at once."""

    @property
    def name(self) -> str:
        """The model's name, as people call it."""
        ...

    @property
    def settings(self) -> Mapping[str, str | int | float | bool | None]:
        """Resolved values that change an answer, for the record: server kind and version, dtype, what it supports."""
        ...

    def ask(self, question: Question) -> Reply:
        """The reply; what goes wrong with one question is a reply with `error`, after whatever retries make sense.

        Raises:
            RmbenchError: nothing will ever be answered: no server, a wrong key, an unknown model.
        """
        ...

    def close(self) -> None:
        """Let go of connections and of a server that it started."""
        ...
