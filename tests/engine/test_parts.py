"""Rows made of parts, rows of two candidates, and rows of several kinds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmbench.engine.judge import EngineOptions, MemoryLedger, judge
from rmbench.engine.plan import plan
from rmbench.engine.requests import pairs_of
from rmbench.errors import RmbenchError
from rmbench.models.protocols import Answer, Batch, Encoded, FloatArray, ModelFacts, Request
from rmbench.types import Candidate, Example, Gold, Message


def example(id_: str, prompt: str, *answers: str) -> Example:
    return Example(id_, (Message.of("user", prompt),), tuple(Candidate.of(answer) for answer in answers), Gold())


@dataclass
class TwoTowers:
    """Words are the parts: a prompt's length in one tower, an answer's first letters in the other."""

    answers: frozenset[Answer] = frozenset({"reward"})
    pad_id: int = 0
    seen: list[tuple[str, ...]] = field(default_factory=list)
    width: int = 40

    @property
    def facts(self) -> ModelFacts:
        return ModelFacts("towers", "0", "clip", fingerprint="towers")

    def encode(self, requests: Sequence[Request]) -> list[Encoded]:
        return [self._row(*(message.text for message in request.conversation)) for request in requests]

    def _row(self, prompt: str, answer: str) -> Encoded:
        parts = tuple(
            Encoded(f"{kind}/{text}", len(text), payload=text, kind=kind)
            for kind, text in (("prompt", prompt), ("answer", answer))
        )
        return Encoded(f"{prompt}|{answer}", sum(part.size for part in parts), parts=parts, remarks=("seen",))

    def forward(self, batch: Batch) -> Mapping[str, FloatArray]:
        assert len({row.kind for row in batch.rows}) == 1
        texts = tuple(str(row.payload) for row in batch.rows)
        self.seen.append(texts)
        if any(text == "BROKEN" for text in texts):
            raise OSError("not an image")
        return {"_vector": np.array([[len(text)] * self.width for text in texts], dtype=np.float32)}

    def join(self, row: Encoded, outputs: Sequence[Mapping[str, FloatArray]]) -> Mapping[str, FloatArray]:
        prompt, answer = (output["_vector"] for output in outputs)
        return {"reward": np.array([prompt[0] * 100 + answer[0]]), "towers": np.array([prompt[0], answer[0]])}


def test_pieces_are_computed_once_and_joined() -> None:
    model = TwoTowers()
    rows = [example("a", "four", "x", "yy"), example("b", "four", "yy", "zzz"), example("c", "five!", "x")]
    judging = judge("t", rows, model)
    assert [j.rewards for j in judging.judgments] == [(401.0, 402.0), (402.0, 403.0), (501.0,)]
    assert judging.judgments[0].parts["towers"] == ((4.0, 1.0), (4.0, 2.0))
    computed = [text for batch in model.seen for text in batch]
    assert sorted(computed) == sorted({"four", "five!", "x", "yy", "zzz"})
    assert judging.facts()["seen"] == 5
    assert judging.judgments[0].lengths == (5, 6)


def test_a_broken_piece_fails_the_rows_that_hold_it_and_no_other() -> None:
    judging = judge("t", [example("a", "four", "BROKEN", "yy"), example("b", "four", "yy", "z")], TwoTowers())
    bad, good = judging.judgments
    assert bad.status == "failed"
    assert bad.error == "candidate 0: OSError: not an image"
    assert good.rewards == (402.0, 401.0)


def test_pieces_survive_the_ledger_as_they_are() -> None:
    ledger, rows = MemoryLedger(), [example("a", "four", "x", "yy")]
    first = judge("t", rows, TwoTowers(), ledger=ledger)
    again = judge("t", rows, again_model := TwoTowers(), ledger=ledger)
    assert not again_model.seen
    assert again.resumed_batches > 0
    assert again.judgments == first.judgments


def test_pieces_without_join_are_an_error() -> None:
    class Unjoined(TwoTowers):
        join = None

    with pytest.raises(RmbenchError, match="forward gave"):
        judge("t", [example("a", "four", "x", "yy")], Unjoined())


def test_a_join_that_raises_fails_its_row() -> None:
    class Raising(TwoTowers):
        def join(self, row: Encoded, outputs: Sequence[Mapping[str, FloatArray]]) -> Mapping[str, FloatArray]:
            if "yy" in row.key:
                raise ZeroDivisionError("norm 0")
            return super().join(row, outputs)

    judging = judge("t", [example("a", "four", "x", "yy"), example("b", "four", "x", "z")], Raising())
    assert judging.judgments[0].error == "candidate 1: join: ZeroDivisionError: norm 0"
    assert judging.judgments[1].rewards == (401.0, 401.0)


@dataclass
class Comparer:
    """Reads two answers: the first one's lead in characters, doubled where it is shown first in the alphabet."""

    answers: frozenset[Answer] = frozenset({"pair"})
    pad_id: int = 0
    asked: list[str] = field(default_factory=list)

    @property
    def facts(self) -> ModelFacts:
        return ModelFacts("comparer", "0", "pairwise", fingerprint="comparer")

    def encode(self, requests: Sequence[Request]) -> list[Encoded]:
        rows = []
        for request in requests:
            assert request.against is not None
            first, second = request.conversation[-1].text, request.against[-1].text
            rows.append(Encoded(f"{first}|{second}", len(first + second), payload=(first, second)))
        return rows

    def forward(self, batch: Batch) -> Mapping[str, FloatArray]:
        margins = []
        for row in batch.rows:
            pair: Any = row.payload
            first, second = pair
            self.asked.append(row.key)
            margins.append(float(len(first) - len(second)) * (2 if first < second else 1))
        return {"margin": np.array(margins, dtype=np.float32)[:, None]}


def test_a_pair_model_is_asked_every_ordered_pair() -> None:
    model = Comparer()
    judging = judge("t", [example("a", "p", "b", "aaa", "cc")], model)
    assert judging.judgments[0].directed == ((0.0, -2.0, -2.0), (4.0, 0.0, 2.0), (1.0, -1.0, 0.0))
    assert judging.judgments[0].rewards is None
    assert sorted(model.asked) == sorted(["b|aaa", "b|cc", "aaa|b", "aaa|cc", "cc|b", "cc|aaa"])
    assert judging.judgments[0].lengths == (4, 5, 5)


def test_a_failed_pair_names_both() -> None:
    class Failing(Comparer):
        def encode(self, requests: Sequence[Request]) -> list[Encoded]:
            rows = super().encode(requests)
            return [Encoded("", 0, error="too long") if row.key == "cc|b" else row for row in rows]

    judging = judge("t", [example("a", "p", "b", "aaa", "cc")], Failing())
    assert judging.judgments[0].error == "candidates 2 and 0: too long"


def test_one_candidate_has_no_pairs() -> None:
    judging = judge("t", [example("a", "p", "b")], Comparer())
    assert judging.judgments[0].directed == ((0.0,),)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 9)), min_size=1, max_size=30), st.integers(1, 20))
@settings(deadline=None, max_examples=60)
def test_kinds_never_share_a_batch(rows: list[tuple[str, int]], budget: int) -> None:
    encoded = [Encoded(f"{kind}{size}", size, kind=kind) for kind, size in rows]
    planned = plan(encoded, budget)
    covered = [row for chunk in planned.chunks for row in chunk.rows]
    assert sorted(covered) == list(range(len(set(rows))))
    for chunk in planned.chunks:
        own = [encoded[planned.first[row]] for row in chunk.rows]
        assert len({entry.kind for entry in own}) == 1
        assert len(own) == 1 or len(own) * max(entry.size for entry in own) <= budget


def test_pairs_of() -> None:
    assert pairs_of(1) == []
    assert pairs_of(3) == [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]


def test_long_vectors_keep_every_bit() -> None:
    from rmbench.engine.serialization import RowResult, dump_result, load_results

    vector = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    (loaded,) = load_results([dump_result(RowResult({"hidden": vector, "reward": vector[:1]}))], 1)
    assert loaded.values["hidden"].tobytes() == vector.tobytes()
    assert loaded.values["reward"].tobytes() == vector[:1].tobytes()


def test_options_are_kept() -> None:
    judging = judge("t", [example("a", "four", "x")], TwoTowers(), options=EngineOptions(batch_rows=1))
    assert judging.facts()["batch_rows"] == 1
