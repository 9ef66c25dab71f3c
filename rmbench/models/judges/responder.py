"""A judge as a Responder: questions by a protocol, asked through a backend, and verdicts parsed from the replies."""

from __future__ import annotations

import hashlib
import json
import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

from rmbench.media import MEDIA_REJECTED, MediaError
from rmbench.models.abilities import Replies
from rmbench.models.judges.constraints import grammar_of
from rmbench.models.judges.declaration import REPLY, JudgeProtocol
from rmbench.models.judges.grammar import strip_reasoning
from rmbench.models.judges.media import ContentPart, trial_part
from rmbench.models.judges.orders import position_orders
from rmbench.models.judges.prompt import Prompt, PromptError
from rmbench.models.judges.reading import rationale_of, read_reply, remarks_of, storable
from rmbench.models.judges.settings import JudgeSettings
from rmbench.models.judges.verdict import (
    VerdictParser,
    status_of,
    verdicts_of,
)
from rmbench.models.protocols import ModelFacts
from rmbench.models.servers.generation import Backend, Grammar, Question, Reply, Sampling, Windowed
from rmbench.models.servers.option_probs import OPTIONS_AS_TEXT
from rmbench.models.servers.reply_cache import ask_once
from rmbench.types import Example, Judgment, Verdict

__all__ = ["Estimate", "JudgeResponder"]

_CHARACTERS_PER_TOKEN = 4
"""Of English text, roughly; for estimates only."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """The cost of judging some examples."""

    calls: int
    prompt_tokens: int
    """Of the texts, estimated from the number of characters."""
    answer_tokens: int
    """At most."""
    media: int = 0
    """Images and videos shown, each as often as it is sent; their tokens depend on the model."""

    def __str__(self) -> str:
        shown = f" and {self.media:,} images or videos" if self.media else ""
        return (
            f"{self.calls:,} questions to the judge, about {self.prompt_tokens:,} prompt tokens{shown}, "
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
    seed: int = 0
    replies: Replies | None = None
    """The cache of its replies."""
    threads: ThreadPoolExecutor | None = None
    """Where questions about an example are asked at the same time; None: one after the other."""

    @property
    def shows_shots(self) -> bool:
        """See `rmbench.models.abilities.ShotShowing`."""
        return self.prompt.shows_shots

    def only_compares(self, task: str, examples: Iterable[Example]) -> bool:
        """Whether its protocol reads picks or rankings."""
        return self.protocol.verdict.reads != "rating"

    def close(self) -> None:
        """Close the backend."""
        self.backend.close()

    def spent(self) -> tuple[int, float | None]:
        """Tokens used so far, and their cost where prices are known."""
        return self.backend.usage.tokens, self.backend.usage.cost

    def with_reply_cache(self, replies: Replies) -> JudgeResponder:
        """The same judge, which stores every reply there and asks no question whose reply is stored."""
        return replace(self, replies=replies)

    @contextmanager
    def in_window(self, most: int) -> Iterator[JudgeResponder]:
        """The same judge with at most so many questions under way; see `rmbench.models.abilities.Waiting`."""
        limited = self.backend.in_window(most) if isinstance(self.backend, Windowed) else nullcontext()
        threads = ThreadPoolExecutor(most, thread_name_prefix="judge-question")
        try:
            with limited:
                yield replace(self, threads=threads) if most > 1 else self
        finally:
            threads.shutdown(wait=False, cancel_futures=True)

    def estimate(self, examples: Iterable[Example]) -> Estimate:
        """The cost of judging the examples with an empty reply cache. Asks nothing."""
        calls, tokens, media, votes = 0, 0, 0, self.settings.votes
        for example in examples:
            try:
                for shown in self._orders(example):
                    rendered = self.prompt.rendered(example, shown)
                    pieces = [piece for _, each in rendered for piece in each]
                    texts = [piece for piece in pieces if isinstance(piece, str)]
                    characters = self.protocol.turns * sum(map(len, texts))
                    calls += votes * self.protocol.turns
                    media += votes * self.protocol.turns * (len(pieces) - len(texts))
                    tokens += votes * math.ceil(characters / _CHARACTERS_PER_TOKEN)
            except PromptError:
                continue  # the row fails without a question
        declared = self.protocol.verdict
        most = 1 if declared.options and declared.options_at == "start" else self.settings.max_tokens
        return Estimate(calls, tokens, calls * most, media)

    def questions(self, task: str, example: Example) -> Iterator[Question]:
        """The questions about an example, every vote of an order before the next order.

        Raises:
            PromptError: the protocol cannot ask about this example.
            MediaError: an image or a video of it cannot be shown.
        """
        seen: dict[str, tuple[ContentPart, ...]] = {}
        for shown in self._orders(example):
            messages = self.prompt.messages(example, shown, seen)
            for vote in range(self.settings.votes):
                yield self._question(task, example.id, shown, vote, messages)

    def trial_question(self) -> Question:
        """A question as all others but for its texts, to try a server with."""
        roles = [message.role for message in self.protocol.message]
        spelled = {"raw": "user", REPLY: "assistant"}
        messages: list[dict[str, Any]] = [{"role": spelled.get(role, role), "content": role} for role in roles]
        if self.prompt.pictures is not None:
            asked = max(place for place, message in enumerate(messages) if message["role"] == "user")
            shown = (trial_part(),) * min(2, self.prompt.pictures.max_images)
            messages[asked]["content"] = (*shown, {"type": "text", "text": "user"})
        return self._question("trial", "0", tuple(range(self.protocol.most)), 0, tuple(messages))

    def _question(
        self, task: str, example: str, shown: tuple[int, ...], vote: int, messages: tuple[Mapping[str, Any], ...]
    ) -> Question:
        settings, declared = self.settings, self.protocol.sampling
        grammar = grammar_of(self.protocol, len(shown))
        question = Question(task, example, shown, vote, messages, grammar=grammar, raw=self.protocol.raw)
        sampling = Sampling(
            settings.temperature,
            settings.top_p,
            settings.max_tokens,
            declared.repetition_penalty,
            declared.stop,
            self._seed(question.name) if settings.seed == "run" else settings.seed,
            json.dumps(settings.fields, sort_keys=True) if settings.fields else "",
        )
        return replace(question, sampling=sampling)

    def judge(self, task: str, example: Example) -> Judgment:
        """The verdicts on an example, with the judge's text for each.

        A question without a reply is a failed verdict; the judgment is failed where all are, unparsed where none is
        ok. Raises RmbenchError where the backend can answer no question.
        """
        try:
            questions = list(self.questions(task, example))  # all of them, before the first one is paid for
        except PromptError as error:
            return Judgment(id=example.id, status="failed", error=str(error))
        except MediaError as error:
            why = f"{MEDIA_REJECTED}: {error}"
            return Judgment(id=example.id, status="failed", error=why, remarks=(MEDIA_REJECTED,))
        replies = self._ask_all(questions)
        verdicts: list[Verdict] = []
        rationale: list[str] = []
        errors: list[str] = []
        remarks = list(remarks_of(reply for _, reply, _ in replies))
        for question, reply, earlier in replies:
            parsed = read_reply(
                reply,
                len(question.shown),
                earlier,
                example,
                protocol=self.protocol,
                parser=self._parser,
                settings=self.settings,
            )
            of_question = verdicts_of(question.shown, question.vote, parsed, self.protocol)
            verdicts += of_question
            before = "".join(f"{storable(text)}\n\n" for text in earlier)
            rationale += [before + rationale_of(reply, self.settings.max_reply), *[""] * (len(of_question) - 1)]
            errors += [parsed.why] if parsed.status != "ok" else []
            remarks += [parsed.remark] if parsed.remark else []
            as_text = self.protocol.verdict.options and reply.path != "logprobs" and not reply.error
            remarks += [OPTIONS_AS_TEXT] if as_text else []
        status = status_of(verdicts)
        return Judgment(
            id=example.id,
            verdicts=tuple(verdicts),
            rationale=tuple(rationale),
            status=status,
            error=next(filter(None, errors), "") if status != "ok" else "",
            remarks=tuple(remarks),
        )

    @cached_property
    def _parser(self) -> VerdictParser:
        return VerdictParser.of(self.protocol)

    def _orders(self, example: Example) -> list[tuple[int, ...]]:
        settings = self.settings
        return position_orders(example, self.protocol, settings.orders, tournament=settings.tournament, seed=self.seed)

    def _ask_all(self, questions: Sequence[Question]) -> list[tuple[Question, Reply, tuple[str, ...]]]:
        """Each question with what `_ask` gives for it, asked at the same time where the window has room."""
        first = _Once()
        replies: dict[int, tuple[Reply, tuple[str, ...]]] = {}
        others: dict[int, Future[tuple[Reply, tuple[str, ...]]]] = {}
        try:
            for place, question in enumerate(questions):
                if place in others:
                    continue
                if self.threads is not None and self._has_room():
                    rest = range(place + 1, len(questions))
                    others |= {at: self.threads.submit(self._ask, questions[at], first) for at in rest}
                replies[place] = self._ask(question, first)
            replies |= {at: other.result() for at, other in others.items()}
        except BaseException:
            for other in others.values():
                other.cancel()
            raise
        return [(question, *replies[place]) for place, question in enumerate(questions)]

    def _has_room(self) -> bool:
        """Whether the window takes more than the examples under way ask one after the other. Where it does not, to ask
        at the same time would only make threads wait for each other."""
        return not isinstance(self.backend, Windowed) or self.backend.has_room

    def _ask(self, question: Question, first: _Once) -> tuple[Reply, tuple[str, ...]]:
        """The last reply to a question, and the texts of those before that stand in it.

        Args:
            question: of its messages some may be REPLY: the judge is asked the messages before each first.
            first: the replies to such messages so far, which are the same for all candidates that are not in them.
        """
        messages, earlier = question.messages, tuple[str, ...]()
        while (at := next((k for k, message in enumerate(messages) if message["role"] == REPLY), None)) is not None:
            sampling = self._of_reply(question.sampling, len(earlier))
            before = replace(question, shown=(), messages=messages[:at], grammar=Grammar(), sampling=sampling)
            reply = first.reply(json.dumps([question.vote, messages[:at]]), partial(self._asked, before))
            text = strip_reasoning(reply.text, self.protocol.think)
            if reply.error or reply.finish != "stop":
                return reply, ()
            if text is None or len(text) > self.settings.max_reply:
                return replace(reply, text="", finish="length"), ()
            earlier = (*earlier, text)
            messages = (*messages[:at], {"role": "assistant", "content": text}, *messages[at + 1 :])
        return self._asked(replace(question, messages=messages)), earlier

    def _of_reply(self, sampling: Sampling, number: int) -> Sampling:
        """How the reply of a number, which is not the last one, is drawn."""
        declared = [message.temperature for message in self.protocol.message if message.role == REPLY][number]
        named = self.settings.temperature != self.protocol.sampling.temperature
        return sampling if declared is None or named else replace(sampling, temperature=declared)

    def _asked(self, question: Question) -> Reply:
        if self.replies is None:
            return self.backend.ask(question)
        return ask_once(self.backend, question, self.replies, self.facts.fingerprint)

    def _seed(self, name: str) -> int:
        """The seed of one question, in 31 bits."""
        digest = hashlib.sha256(f"{self.seed}/{name}".encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:4], "big") >> 1


class _Once:
    """Replies to messages that several questions have in common, each asked for once; the others wait for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._replies: dict[str, Future[Reply]] = {}

    def reply(self, key: str, ask: Callable[[], Reply]) -> Reply:
        """The reply under a key, by `ask` where nobody asked yet."""
        with self._lock:
            found = self._replies.get(key)
            mine = self._replies.setdefault(key, Future())
        if found is None:
            try:
                mine.set_result(ask())
            except BaseException as error:
                mine.set_exception(error)
                raise
        return mine.result()
