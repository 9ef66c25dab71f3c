"""Judges in memory, and examples for them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from rmbench.models.judges.build import make_judge
from rmbench.models.judges.responder import JudgeResponder
from rmbench.models.options import OpenOptions
from rmbench.models.servers.generation import Question, Reply
from rmbench.models.servers.usage import Usage
from rmbench.types import Edge, Example
from tests._make import make_example

Answer = Callable[[Question], Reply | str]


class FakeBackend:
    """Answers by a function, and remembers what it was asked."""

    def __init__(self, answer: Answer, settings: Mapping[str, Any] | None = None) -> None:
        self.answer = answer
        self.settings = settings or {"server": "memory"}
        self.name = "org/judge"
        self.usage = Usage()
        self.asked: list[Question] = []
        self._lock = threading.Lock()

    def ask(self, question: Question) -> Reply:
        with self._lock:
            self.asked.append(question)
        reply = self.answer(question)
        return Reply(text=reply) if isinstance(reply, str) else reply

    def close(self) -> None:
        self.asked.clear()


def _judge(answer: Answer, protocol: str = "pair", seed: int = 0, **args: str) -> JudgeResponder:
    return make_judge(FakeBackend(answer), protocol, OpenOptions(model_args=args, seed=seed))


def _example(*texts: str, id_: str = "r", edges: tuple[Edge, ...] = (Edge(0, 1),), **context: str) -> Example:
    return make_example(id_, "What is 2 + 2?", *texts, edges=edges, **context)


@pytest.fixture
def judges() -> SimpleNamespace:
    """`judge(answer, protocol, seed, **model_args)`, `example(*texts, id_, edges, **context)`, `FakeBackend`."""
    return SimpleNamespace(judge=_judge, example=_example, FakeBackend=FakeBackend)
