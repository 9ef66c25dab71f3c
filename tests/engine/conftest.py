"""Toy models that speak the engine's protocols, and examples for them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from rmbench.models.protocols import Answer, Batch, Encoded, FloatArray, ModelFacts, Request
from rmbench.types import Example, Judgment
from tests._make import make_example


def reward_of(ids: Sequence[int]) -> float:
    """The toy's reward, by a plain loop: later tokens weigh more. Exact in float32."""
    return float(sum((place + 1) * token for place, token in enumerate(ids)) % 997) / 8


@dataclass
class ToyScorer:
    """Tokens are UTF-8 bytes. `refuse` may raise for a batch; `poison` maps a row's text to its reward."""

    refuse: Callable[[Batch], None] = lambda batch: None
    poison: Mapping[str, float] = field(default_factory=dict)
    answers: frozenset[Answer] = frozenset({"reward"})
    fingerprint: str = "toy"
    pad_id: int = 32  # also a real token: the space
    batches: list[tuple[str, ...]] = field(default_factory=list)

    @property
    def facts(self) -> ModelFacts:
        return ModelFacts("toy", "0", "scalar", fingerprint=self.fingerprint)

    def encode(self, requests: Sequence[Request]) -> list[Encoded]:
        return [self._encode("\n".join(message.text for message in request.conversation)) for request in requests]

    def _encode(self, text: str) -> Encoded:
        if "UNENCODABLE" in text:
            return Encoded(key="", size=0, error="cannot be encoded")
        if "EXPLODING" in text:
            raise ValueError("tokenizer exploded")
        key = hashlib.sha256(text.encode()).hexdigest()
        ids = tuple(text.encode())
        return Encoded(key=key, size=len(ids), ids=ids, truncated="LONG" in text, payload=text)

    def forward(self, batch: Batch) -> Mapping[str, FloatArray]:
        texts = tuple(str(row.payload) for row in batch.rows)
        self.batches.append(texts)
        self.refuse(batch)
        found = []
        for row in range(len(batch.rows)):
            real = batch.ids[row][batch.mask[row] == 1]
            assert batch.ids[row][batch.last[row]] == real[-1]
            found.append(self.poison.get(texts[row], reward_of(real.tolist())))
        rewards = np.array(found, dtype=np.float32)[:, None]
        if "reward" in self.answers:
            return {"reward": rewards, "objectives": np.concatenate([rewards, -rewards], axis=1)}
        return {"_v": rewards}

    def combine(self, outputs: Sequence[Mapping[str, FloatArray]]) -> FloatArray | None:
        if "margin" not in self.answers:
            return None
        values = np.array([output["_v"][0] for output in outputs], dtype=np.float32)
        return values[:, None] - values[None, :]


@dataclass
class ToyResponder:
    """Rewards a candidate by its length; `family` decides whether the engine uses threads."""

    answer: Callable[[Example], Judgment] | None = None
    family: str = "judge"
    asked: list[str] = field(default_factory=list)

    @property
    def facts(self) -> ModelFacts:
        return ModelFacts("toy-judge", "0", self.family, fingerprint="toy-judge")

    def judge(self, task: str, example: Example) -> Judgment:
        self.asked.append(example.id)
        if self.answer is not None:
            return self.answer(example)
        return Judgment(example.id, rewards=tuple(len(candidate.text) / 3 for candidate in example.candidates))


class Recorder:
    """A Progress that adds up what it is told."""

    def __init__(self) -> None:
        self.stretches: list[list[Any]] = []
        self.notes: list[str] = []

    def start(self, task: str, rows: int, tokens: int) -> None:
        self.stretches.append([task, rows, tokens, 0, 0])

    def cost(self, amount: float) -> None:
        self.notes.append(f"cost {amount}")

    def advance(self, rows: int, tokens: int) -> None:
        self.stretches[-1][3] += rows
        self.stretches[-1][4] += tokens

    def note(self, text: str) -> None:
        self.notes.append(text)

    def end(self) -> None:
        self.stretches.append(["end"])


@pytest.fixture
def scorer() -> type[ToyScorer]:
    return ToyScorer


@pytest.fixture
def responder() -> type[ToyResponder]:
    return ToyResponder


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def example() -> Callable[..., Example]:
    return make_example


@pytest.fixture
def expected() -> Callable[[Example], tuple[float, ...]]:
    """The toy scorer's rewards of an example, without the engine."""
    return lambda one: tuple(reward_of(f"{one.prompt[0].text}\n{c.text}".encode()) for c in one.candidates)


@pytest.fixture
def examples() -> list[Example]:
    """Forty pairs of mixed lengths; every fifth repeats the prompt and an answer of its neighbour."""
    rng = np.random.default_rng(0)
    made = []
    for number in range(40):
        prompt = f"question {number - (number % 5 == 4)}"
        made.append(make_example(str(number), prompt, "a" * int(rng.integers(1, 90)), "b " * int(rng.integers(1, 60))))
        if number % 5 == 4:
            made[-1] = make_example(str(number), prompt, made[-2].candidates[0].text, "c" * int(rng.integers(1, 60)))
    return made
