"""A judge: a protocol, a backend that answers its questions, and the verdicts that come of it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

from rmbench.models.abilities import Replies
from rmbench.models.judges.declaration import JudgeProtocol
from rmbench.models.judges.orders import shown_orders
from rmbench.models.judges.parsers import PARSERS
from rmbench.models.judges.prompt import CannotAskError, Prompt
from rmbench.models.judges.verdict import Read, Reader, answers_allowed
from rmbench.models.protocols import ModelFacts
from rmbench.models.servers.generation import Backend, Grammar, Question, Reply, Sampling
from rmbench.models.servers.reply_cache import Remembering
from rmbench.types import TIE, Example, Judgment, Status, Verdict

__all__ = ["Estimate", "JudgeResponder", "JudgeSettings"]

_CHARACTERS_PER_TOKEN = 4
"""Of English text, roughly; for estimates alone."""


@dataclass(frozen=True, slots=True)
class JudgeSettings:
    """How a protocol is run."""

    seed: int = 0
    orders: Literal["both", "single"] = "both"
    votes: int = 1
    voting: Literal["majority", "mean", "each"] = "majority"
    """How votes make one verdict when metrics are taken; see `rmbench.metrics.judging.votes`."""
    voting_unparsed: Literal["abstain", "count"] = "abstain"
    marks: Literal["quoted", "raw"] = "quoted"
    parser: str = ""
    """Upstream's parser by name; "" is this project's."""
    tournament: bool = False
    unparsed: float | str = "task"
    sampling: Sampling = field(default_factory=Sampling)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What judging some examples will cost."""

    calls: int
    prompt_tokens: int
    """About, from the number of characters."""
    answer_tokens: int
    """At most."""

    def __str__(self) -> str:
        return (
            f"{self.calls:,} questions to the judge, about {self.prompt_tokens:,} prompt tokens, "
            f"at most {self.answer_tokens:,} answer tokens"
        )


@dataclass(frozen=True)
class JudgeResponder:
    """A Responder that asks a judge. Thread-safe where its backend is."""

    facts: ModelFacts
    protocol: JudgeProtocol
    backend: Backend
    settings: JudgeSettings
    prompt: Prompt

    def close(self) -> None:
        """Let go of the backend."""
        self.backend.close()

    def spent(self) -> tuple[int, float | None]:
        """Tokens read and written until now, and what they cost where prices are known."""
        usage = getattr(self.backend, "usage", None)
        return (0, None) if usage is None else (usage.tokens, usage.cost)

    def with_reply_cache(self, replies: Replies) -> JudgeResponder:
        """The same judge, which keeps every answer there and asks for none that is kept."""
        return replace(self, backend=Remembering(self.backend, replies, self.facts.fingerprint))

    def estimate(self, examples: Iterable[Example]) -> Estimate:
        """What judging the examples costs where nothing was answered yet. Asks nothing."""
        calls, tokens, votes = 0, 0, self.settings.votes
        for example in examples:
            try:
                for shown in self._orders(example):
                    written = sum(len(message["content"]) for message in self.prompt.messages(example, shown))
                    calls += votes
                    tokens += votes * math.ceil(written / _CHARACTERS_PER_TOKEN)
            except CannotAskError:
                continue  # the row fails, and asks nothing
        most = 1 if self.protocol.verdict.options else self.settings.sampling.max_tokens
        return Estimate(calls, tokens, calls * most)

    def questions(self, task: str, example: Example) -> Iterator[Question]:
        """The questions about an example, every vote of an order before the next order.

        Raises:
            CannotAskError: the protocol cannot ask about this example.
        """
        for shown in self._orders(example):
            messages = self.prompt.messages(example, shown)
            grammar = self._grammar(len(shown))
            for vote in range(self.settings.votes):
                question = Question(task, example.id, shown, vote, messages, grammar=grammar, raw=self.protocol.raw)
                sampling = replace(self.settings.sampling, seed=self._seed(question.name))
                yield replace(question, sampling=sampling)

    def judge(self, task: str, example: Example) -> Judgment:
        """The verdicts on an example, with what the judge wrote beside each.

        A question without an answer is a failed verdict; the judgment is failed where all are, unparsed where none can
        be read. Raises RmbenchError where the backend will never answer.
        """
        try:
            asked = [(question, self.backend.ask(question)) for question in self.questions(task, example)]
        except CannotAskError as error:
            return Judgment(id=example.id, status="failed", error=str(error))
        verdicts: list[Verdict] = []
        rationale: list[str] = []
        errors: list[str] = []
        for question, reply in asked:
            read = self._read(reply, len(question.shown))
            given = _verdicts(question, read, self.protocol)
            verdicts += given
            rationale += [_written(reply), *[""] * (len(given) - 1)]
            errors += [read.why] if read.status == "failed" else []
        status = _status(verdicts)
        return Judgment(
            id=example.id,
            verdicts=tuple(verdicts),
            rationale=tuple(rationale),
            status=status,
            error=errors[0] if status == "failed" and errors else "",
            remarks=tuple(_remarks(reply for _, reply in asked)),
        )

    @cached_property
    def _reader(self) -> Reader:
        return Reader.of(self.protocol)

    def _orders(self, example: Example) -> list[tuple[int, ...]]:
        settings = self.settings
        return shown_orders(example, self.protocol, settings.orders, tournament=settings.tournament, seed=settings.seed)

    def _read(self, reply: Reply, size: int) -> Read:
        if reply.error:
            return Read(None, "failed", reply.error)
        if reply.finish not in ("stop", "length"):
            return Read(None, "failed", f"the server ended the answer with {reply.finish!r}")
        if reply.options is not None and self.protocol.verdict.options:
            return self._reader.read_options(reply.options)
        if self.settings.parser:
            return PARSERS[self.settings.parser](reply.text, size, self.protocol.verdict.reads)
        return self._reader.read(reply.text, reply.finish, size)

    def _grammar(self, size: int) -> Grammar:
        reading = self.protocol.verdict
        if reading.options:
            return Grammar(options=tuple(reading.values))
        if reading.constrain == "choices":
            return Grammar(choices=answers_allowed(reading, size))
        if reading.constrain == "json":
            return Grammar(schema=_schema(reading.tag, answers_allowed(reading, size)))
        return Grammar()

    def _seed(self, name: str) -> int:
        """The request's own seed, in 31 bits."""
        digest = hashlib.sha256(f"{self.settings.seed}/{name}".encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:4], "big") >> 1


def _verdicts(question: Question, read: Read, protocol: JudgeProtocol) -> list[Verdict]:
    """What was read of places, as verdicts on candidates; where each shown candidate is rated, one for each."""
    shown, reads = question.shown, protocol.verdict.reads
    rates_all = reads == "rating" and len(shown) > 1
    seen = [(k,) for k in shown] if rates_all else [shown]
    if read.status != "ok" or read.value is None:
        return [Verdict(one, reads, None, read.status, question.vote) for one in seen]
    value = read.value
    if isinstance(value, tuple):
        if rates_all:
            rated = zip(seen, value, strict=True)
            return [Verdict(one, "rating", rating, vote=question.vote) for one, rating in rated]
        return [Verdict(shown, "ranking", tuple(shown[int(place)] for place in value), vote=question.vote)]
    if reads == "pick":
        picked = TIE if value == TIE else shown[int(value)]
        return [Verdict(shown, "pick", picked, vote=question.vote, logprob=read.logprob)]
    return [Verdict(shown, "rating", value, vote=question.vote, logprob=read.logprob)]


def _status(verdicts: Sequence[Verdict]) -> Status:
    found = {verdict.status for verdict in verdicts}
    if "ok" in found:
        return "ok"
    return "unparsed" if "unparsed" in found else "failed"


def _written(reply: Reply) -> str:
    """What the judge wrote, its thought before it; half surrogate pairs, which no file holds, replaced."""
    thought = f"<think>\n{reply.reasoning}\n</think>\n" if reply.reasoning else ""
    return (thought + reply.text).encode("utf-8", "replace").decode("utf-8")


def _remarks(replies: Iterable[Reply]) -> Iterator[str]:
    """What of the answers is counted in the record: which way each came, and which were cut."""
    for reply in replies:
        if reply.error:
            yield "answers_failed"
            continue
        yield f"answers_{reply.path}"
        if reply.finish == "length":
            yield "answers_cut"


def _schema(field_name: str, allowed: Sequence[str]) -> Mapping[str, object]:
    """A reason, then the verdict, so that the judge reasons before it decides."""
    verdict: dict[str, object] = {"type": "string"}
    if allowed:
        verdict["enum"] = list(allowed)
    return {
        "type": "object",
        "properties": {"reason": {"type": "string"}, field_name: verdict},
        "required": ["reason", field_name],
        "additionalProperties": False,
    }
