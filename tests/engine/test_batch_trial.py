"""What a forward derives from the whole batch is found before a run, and every row is then computed alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rmbench.engine.batch_trial import trial_batches
from rmbench.engine.judge import EngineOptions, Judging, judge
from rmbench.models.protocols import Answer, Batch, Encoded, FloatArray, ModelFacts, Request
from rmbench.types import Example


class Plain(nn.Module):
    """A reward from the mean of the real tokens' embeddings."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(256, 8)
        self.head = nn.Linear(8, 1)

    def pooled(self, ids: Tensor, mask: Tensor) -> Tensor:
        return (self.table(ids) * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        reward: Tensor = self.head(self.pooled(ids, mask))
        return reward


class BatchScale(Plain):
    """Activations in eight bits, whose scale is the largest of the batch: dynamic quantisation."""

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        pooled = self.pooled(ids, mask)
        scale = pooled.abs().max() / 7
        reward: Tensor = self.head((pooled / scale).round() * scale)
        return reward


class BatchNorm(Plain):
    """Statistics of the batch, as of a module without running ones, or in training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(8, track_running_stats=False)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        normed = self.norm(self.table(ids).transpose(1, 2)).transpose(1, 2).relu()
        reward: Tensor = self.head((normed * mask[..., None]).sum(1) / mask.sum(1, keepdim=True))
        return reward


class Capacity(Plain):
    """An expert that takes the first forty tokens of a batch and leaves the others out."""

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        order = mask.flatten().cumsum(0).reshape(mask.shape)
        kept = mask * (order <= 40)
        reward: Tensor = self.head((self.table(ids) * kept[..., None]).sum(1) / mask.sum(1, keepdim=True))
        return reward


class LongestRow(Plain):
    """Another rule for all rows where the longest has over forty tokens."""

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        return super().forward(ids, mask) * (2.0 if int(mask.sum(1).max()) > 40 else 1.0)


@dataclass
class ModuleScorer:
    """Tokens are bytes."""

    module: nn.Module
    answers: frozenset[Answer] = frozenset({"reward"})
    pad_id: int = 0
    length_switches: tuple[int, ...] = ()
    calls: int = 0

    @property
    def facts(self) -> ModelFacts:
        return ModelFacts("toy-module", "0", "scalar")

    def encode(self, requests: Sequence[Request]) -> list[Encoded]:
        texts = ["\n".join(message.text for message in request.conversation) for request in requests]
        return [Encoded(text, len(text), tuple(text.encode())) for text in texts]

    def forward(self, batch: Batch) -> Mapping[str, FloatArray]:
        self.calls += 1
        with torch.no_grad():
            found: Any = self.module(torch.from_numpy(batch.ids), torch.from_numpy(batch.mask))
        return {"reward": found.numpy()}


def alone(module: nn.Module, example: Example) -> list[float]:
    """The module's own results, a row at a time."""
    texts = [f"{example.prompt[0].text}\n{candidate.text}" for candidate in example.candidates]
    rows = [torch.tensor([list(text.encode())]) for text in texts]
    with torch.no_grad():
        return [float(module(row, torch.ones_like(row))) for row in rows]


def run(module: nn.Module, examples: Sequence[Example], recorder: Any, **options: Any) -> tuple[Judging, int]:
    scorer = ModuleScorer(module.eval())
    return judge("toy", examples, scorer, options=EngineOptions(**options), progress=recorder), scorer.calls


@pytest.mark.parametrize("kind", [BatchScale, BatchNorm, Capacity, LongestRow])
@pytest.mark.parametrize("side", ["right", "left"])
def test_a_forward_that_looks_at_the_whole_batch(
    kind: type[Plain], side: str, examples: list[Example], recorder: Any
) -> None:
    judging, _ = run(kind(), examples, recorder, padding_side=side)
    expected = [alone(kind().eval(), each) for each in examples]
    for one, right in zip(judging.judgments, expected, strict=True):
        assert one.rewards == pytest.approx(right, abs=1e-5)
    assert judging.facts()["sharing"] == "alone"
    (note,) = recorder.notes
    assert note.startswith("toy-module: every row is computed alone, since its results depend on the rows beside it")


def test_training_mode_is_found_too(examples: list[Example], recorder: Any) -> None:
    module = BatchNorm()
    module.norm = nn.BatchNorm1d(8, momentum=0.5)
    scorer = ModuleScorer(module.train())
    first = judge("toy", examples, scorer, progress=recorder)
    again = judge("toy", examples[::-1], scorer, progress=recorder)
    assert first.facts()["sharing"] == "alone"
    for one, other in zip(first.judgments, again.judgments[::-1], strict=True):
        assert one.rewards == pytest.approx(other.rewards, abs=1e-5)


def test_a_row_that_cannot_be_computed_alone_is_a_failed_row(examples: list[Example], recorder: Any) -> None:
    class NormOfPooled(BatchNorm):
        def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
            reward: Tensor = self.head(self.norm(self.pooled(ids, mask)))
            return reward

    judging = judge("toy", examples, ModuleScorer(NormOfPooled().train()), progress=recorder)
    assert {one.status for one in judging.judgments} == {"failed"}
    assert "more than 1 value per channel when training" in judging.judgments[0].error


def test_a_plain_forward_is_batched_as_before(examples: list[Example], recorder: Any) -> None:
    judging, calls = run(Plain(), examples, recorder)
    assert (judging.facts()["sharing"], recorder.notes) == ("padded", [])
    assert calls < 10
    for one, example in zip(judging.judgments, examples, strict=True):
        assert one.rewards == pytest.approx(alone(Plain(), example), abs=1e-5)


def test_it_is_said_once_a_run(examples: list[Example], recorder: Any) -> None:
    for _ in range(2):
        run(BatchScale(), examples, recorder)
    assert len(recorder.notes) == 1


def test_rows_that_are_alone_in_any_case_need_no_trial(examples: list[Example], recorder: Any) -> None:
    judging, calls = run(BatchScale(), examples, recorder, batch_rows=1)
    assert (calls, judging.facts()["sharing"], recorder.notes) == (judging.statistics.unique, "padded", [])


def row(size: int) -> Encoded:
    return Encoded(str(size), size, tuple(range(size)))


def test_trial_batches_lie_on_both_sides_of_every_switch() -> None:
    rows = [row(size) for size in (60, 10, 40, 50, 41, 30)]
    sizes = [[each.size for each in batch] for batch in trial_batches(rows, 120, (40, 50, 500))]
    assert sizes == [[10, 41], [10, 60]]
    sizes = [[each.size for each in batch] for batch in trial_batches(rows, 300, (20, 40))]
    assert sizes == [[10, 30], [10, 41], [10, 60, 50, 41, 40]]
    assert trial_batches(rows, 39, (20,)) == []
    assert trial_batches([row(9), row(9)], 39, ()) == []
    assert all(each.ids for batch in trial_batches([*rows, Encoded("none", 5)], 300, ()) for each in batch)


def test_rows_of_different_kinds_are_not_tried_together() -> None:
    prompts = [Encoded(f"p{size}", size, tuple(range(size)), kind="prompt") for size in (7, 20)]
    found = trial_batches([*prompts, row(5), row(30), Encoded("i", 4, (1, 2, 3, 4), kind="image")], 300, ())
    assert [[(each.kind, each.size) for each in batch] for batch in found] == [
        [("", 5), ("", 30)],
        [("prompt", 7), ("prompt", 20)],
    ]


def test_a_picture_for_each_pair_of_rows_costs_no_more_trials() -> None:
    rows = [Encoded(f"{k}/{n}", 5 + n, tuple(range(5 + n)), kind=f"picture {k}") for k in range(500) for n in range(2)]
    rows += [Encoded(f"most/{n}", 5 + n, tuple(range(5 + n)), kind="most") for n in range(9)]
    found = trial_batches(rows, 300, ())
    assert found[0][0].kind == "most"
    assert len(found) == 4


@dataclass
class ThreadedScorer(ModuleScorer):
    """Counts the forwards under way; the engine may compute two batches at once."""

    threads: int = 2
    under_way: int = 0
    most: int = 0

    def forward(self, batch: Batch) -> Mapping[str, FloatArray]:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        time.sleep(0.01)
        try:
            return super().forward(batch)
        finally:
            self.under_way -= 1


@pytest.mark.parametrize(("module", "most"), [(Plain, 2), (BatchScale, 1)])
def test_rows_computed_alone_do_not_meet_in_threads(
    module: type[Plain], most: int, example: Callable[..., Example]
) -> None:
    """A module may keep what a forward derived from its batch, as ropes of the library do."""
    scorer = ThreadedScorer(module().eval())
    examples = [example(str(k), f"question {k}", "a" * (3 * k + 1), "b " * (5 * k + 1)) for k in range(8)]
    judging = judge("toy", examples, scorer, options=EngineOptions(batch_tokens=200))
    assert judging.sharing == ("padded" if most == 2 else "alone")
    assert scorer.most == most
