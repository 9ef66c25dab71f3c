"""From examples to judgments: exact, in order, and what fails fails alone."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from rmbench.engine.judge import EngineOptions, MemoryLedger, judge
from rmbench.errors import RmbenchError
from rmbench.models.protocols import Batch, Request
from rmbench.types import Candidate, Example, Gold, Message

Make = Callable[..., Any]
Rewards = Callable[[Example], tuple[float, ...]]


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("rows", [1, 7, 64])
def test_rewards_are_the_model_s(
    scorer: Make, examples: list[Example], expected: Rewards, rows: int, side: Any
) -> None:
    options = EngineOptions(batch_tokens=10_000, batch_rows=rows, padding_side=side)
    judging = judge("task", examples, scorer(), options=options)
    assert [one.id for one in judging.judgments] == [one.id for one in examples]
    for example, judgment in zip(examples, judging.judgments, strict=True):
        assert judgment.rewards == expected(example)
        assert judgment.parts["objectives"] == tuple((reward, -reward) for reward in expected(example))
        assert judgment.lengths == tuple(len(f"{example.prompt[0].text}\n{c.text}") for c in example.candidates)
        assert judgment.status == "ok"


def test_order_does_not_matter(scorer: Make, examples: list[Example]) -> None:
    shuffled = random.Random(1).sample(examples, len(examples))
    straight = judge("task", examples, scorer()).judgments
    assert {one.id: one for one in judge("task", shuffled, scorer()).judgments} == {one.id: one for one in straight}


def test_equal_rows_are_computed_once(scorer: Make, examples: list[Example]) -> None:
    model = scorer()
    judging = judge("task", examples, model, options=EngineOptions(batch_rows=1))  # no batch to try
    computed = [text for batch in model.batches for text in batch]
    assert len(computed) == len(set(computed)) == judging.statistics.unique == 72  # 80 asked, 8 repeated
    assert judging.statistics.requests == 80
    assert judging.statistics.unique_tokens == sum(map(len, computed))


def test_a_candidate_may_bring_its_own_prompt(scorer: Make) -> None:
    own = Candidate.of("answer")
    other = Candidate(own.messages, prompt=(Message.of("system", "be brief"), Message.of("user", "other")))
    model = scorer()
    seen: list[Request] = []
    encode = model.encode

    def watched(requests: Sequence[Request]) -> Any:
        seen.extend(requests)
        return encode(requests)

    model.encode = watched
    judge("task", [Example("x", (Message.of("user", "mine"),), (own, other), Gold())], model, render="raw")
    assert [request.prompt_messages for request in seen] == [1, 2]
    assert [request.conversation[-2].text for request in seen] == ["mine", "other"]
    assert {request.render for request in seen} == {"raw"}


def test_nan_and_infinity_fail_alone(scorer: Make, example: Make, expected: Rewards) -> None:
    rows = [example(name, "q", f"{name} one", f"{name} two") for name in ("nan", "inf", "good")]
    model = scorer(poison={"q\nnan two": float("nan"), "q\ninf one": float("-inf")})
    nan, inf, good = judge("task", rows, model).judgments
    assert (nan.status, nan.rewards, nan.error) == ("failed", None, "candidate 1: the model's reward is NaN")
    assert (inf.status, inf.error) == ("failed", "candidate 0: the model's reward is infinite")
    assert inf.lengths == (9, 9)
    assert good.rewards == expected(rows[2])


def test_a_row_that_raises_fails_alone(scorer: Make, examples: list[Example], expected: Rewards) -> None:
    bad = f"{examples[7].prompt[0].text}\n{examples[7].candidates[1].text}"

    def refuse(batch: Batch) -> None:
        if any(row.payload == bad for row in batch.rows):
            raise RuntimeError("index out\nof range")

    judgments = judge("task", examples, scorer(refuse=refuse)).judgments
    assert [one.id for one in judgments if one.status == "failed"] == ["7"]
    assert judgments[7].error == "candidate 1: RuntimeError: index out of range"
    assert judgments[8].rewards == expected(examples[8])


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("CUDA out of memory. Tried"), type("OutOfMemoryError", (RuntimeError,), {})()]
)
def test_out_of_memory_halves_the_batch(
    scorer: Make, examples: list[Example], expected: Rewards, recorder: Any, error: Exception
) -> None:
    def refuse(batch: Batch) -> None:
        if batch.ids.size > 300:
            raise error

    model = scorer(refuse=refuse)
    judging = judge("task", examples, model, options=EngineOptions(batch_tokens=1200), progress=recorder)
    assert judging.halved
    assert judging.facts()["halved"] is True
    assert recorder.notes
    assert [one.rewards for one in judging.judgments] == [expected(one) for one in examples]
    # A failing batch of n rows is tried as halves, never row by row.
    assert len(model.batches) < 72


def test_a_single_row_too_large_fails_alone(scorer: Make, example: Make) -> None:
    def refuse(batch: Batch) -> None:
        if batch.ids.shape[1] > 50:
            raise MemoryError

    rows = [example("large", "q", "x" * 60, "y"), example("small", "q", "x", "z")]
    large, small = judge("task", rows, scorer(refuse=refuse), options=EngineOptions(batch_tokens=500)).judgments
    assert large.error.startswith("candidate 0: MemoryError")
    assert "62 tokens" in large.error
    assert small.status == "ok"


def test_ctrl_c_passes_through(scorer: Make, examples: list[Example]) -> None:
    def refuse(batch: Batch) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        judge("task", examples, scorer(refuse=refuse))


def test_rows_that_cannot_be_encoded(scorer: Make, example: Make) -> None:
    rows = [example("e", "q", "UNENCODABLE", "b"), example("x", "q", "a", "EXPLODING"), example("l", "q", "LONG", "b")]
    encoded, exploded, long = judge("task", rows, scorer()).judgments
    assert encoded.error == "candidate 0: cannot be encoded"
    assert exploded.error == "candidate 1: ValueError: tokenizer exploded"
    assert long.truncated == (True, False)


def test_what_holds_for_every_row_is_an_error(scorer: Make, examples: list[Example]) -> None:
    def no_template(requests: Any) -> Any:
        raise RmbenchError("no chat template")

    model = scorer()
    model.encode = no_template
    with pytest.raises(RmbenchError, match="no chat template"):
        judge("task", examples, model)


def test_margins_are_combined(scorer: Make, example: Make, expected: Rewards) -> None:
    row = example("x", "q", "one", "three", "fifteen")
    (judgment,) = judge("task", [row], scorer(answers=frozenset({"margin"}))).judgments
    values = np.array(expected(row), dtype=np.float32)
    assert judgment.rewards is None
    assert judgment.directed == tuple(map(tuple, (values[:, None] - values[None, :]).tolist()))
    assert judgment.parts == {}  # what begins with an underscore stays with the model


def test_a_combine_that_fails_fails_its_row(scorer: Make, example: Make) -> None:
    model = scorer(answers=frozenset({"margin"}))
    model.combine = lambda outputs: 1 / 0
    (judgment,) = judge("task", [example("x", "q", "a", "b")], model).judgments
    assert judgment.error == "combine: ZeroDivisionError: division by zero"
    model.combine = lambda outputs: np.full((2, 2), np.nan)
    (judgment,) = judge("task", [example("x", "q", "a", "b")], model).judgments
    assert judgment.error == "the model's margins are not finite"


@pytest.mark.parametrize(
    "output, message",
    [
        ({"score": np.zeros((2, 1))}, "forward gave"),
        ({"reward": np.zeros((3, 1))}, r"expected \[2, 1\]"),
        ({"reward": np.zeros((2, 2))}, r"expected \[2, 1\]"),
        ({"reward": np.zeros(2)}, r"shape \[2\]"),
        ({"reward": np.zeros((2, 1)), "extra": np.zeros(2)}, "extra"),
    ],
)
def test_a_model_that_breaks_its_word_is_an_error(scorer: Make, example: Make, output: Any, message: str) -> None:
    model = scorer()
    model.forward = lambda batch: output
    with pytest.raises(RmbenchError, match=message):
        judge("task", [example("x", "q", "a", "b")], model)


def test_a_pair_has_one_margin_and_another_model_may_give_more(scorer: Make, example: Make) -> None:
    pair = scorer(answers=frozenset({"pair"}))
    pair.forward = lambda batch: {"margin": np.zeros((len(batch.rows), 2))}
    with pytest.raises(RmbenchError, match=r"'margin' has shape \[\d, 2\], expected \[\d, 1\]"):
        judge("task", [example("x", "q", "a", "b")], pair)
    scalar = scorer()
    scalar.forward = lambda batch: {"reward": np.zeros((len(batch.rows), 1)), "margin": np.zeros((len(batch.rows), 2))}
    (judgment,) = judge("task", [example("x", "q", "a", "b")], scalar).judgments
    assert judgment.parts["margin"] == ((0.0, 0.0), (0.0, 0.0))


def test_combine_must_give_a_square(scorer: Make, example: Make) -> None:
    model = scorer(answers=frozenset({"margin"}))
    for given in (None, np.zeros((2, 3))):
        model.combine = lambda outputs, given=given: given
        with pytest.raises(RmbenchError, match=r"margins \[2, 2\]"):
            judge("task", [example("x", "q", "a", "b")], model)


def test_margins_need_a_combine(scorer: Make, example: Make) -> None:
    class Uncombined(scorer):  # type: ignore[misc, valid-type]
        combine = None

    model = Uncombined(answers=frozenset({"margin"}))
    with pytest.raises(RmbenchError, match="toy answers margins and has no `combine`"):
        judge("task", [example("x", "q", "a", "b")], model)


def test_ids_and_models_are_checked(scorer: Make, example: Make) -> None:
    with pytest.raises(RmbenchError, match="two examples have the id 'x'"):
        judge("task", [example("x", "q", "a", "b")] * 2, scorer())

    class Neither:
        facts = scorer().facts

    with pytest.raises(RmbenchError, match="neither"):
        judge("task", [], Neither())  # type: ignore[arg-type]


def test_progress_adds_up(scorer: Make, examples: list[Example], recorder: Any) -> None:
    judging = judge("task", examples, scorer(), progress=recorder)
    encoding, computing = recorder.stretches
    assert encoding == ["task (encoding)", 80, 0, 80, 0]
    assert computing == ["task", 72, judging.statistics.unique_tokens, 72, judging.statistics.unique_tokens]


def test_a_stopped_run_goes_on(scorer: Make, examples: list[Example]) -> None:
    options = EngineOptions(batch_tokens=400)
    whole = judge("task", examples, scorer(), options=options)
    ledger, left = MemoryLedger(), [5]

    class Stopping(MemoryLedger):
        def commit(self, task: str, plan_digest: str, index: int, payload: Sequence[str]) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            ledger.commit(task, plan_digest, index, payload)

    with pytest.raises(KeyboardInterrupt):
        judge("task", examples, scorer(), options=options, ledger=Stopping())
    model = scorer()
    resumed = judge("task", examples, model, options=options, ledger=ledger)
    assert resumed.resumed_batches == 5
    assert resumed.judgments == whole.judgments
    again = scorer()
    assert judge("task", examples, again, options=options, ledger=ledger).judgments == whole.judgments
    assert again.batches == []


def test_halving_is_remembered(scorer: Make, examples: list[Example]) -> None:
    def refuse(batch: Batch) -> None:
        if batch.ids.size > 2000:
            raise MemoryError

    ledger = MemoryLedger()
    assert judge("task", examples, scorer(refuse=refuse), ledger=ledger).halved
    resumed = judge("task", examples, scorer(), ledger=ledger)
    assert resumed.halved
    assert resumed.resumed_batches > 0


@pytest.mark.parametrize("change", ["budget", "side", "model", "task", "rows"])
def test_other_settings_find_nothing(scorer: Make, examples: list[Example], change: str) -> None:
    ledger = MemoryLedger()
    judge("task", examples, scorer(), ledger=ledger)
    options = {"budget": EngineOptions(batch_tokens=999), "side": EngineOptions(padding_side="left")}
    again = judge(
        "other" if change == "task" else "task",
        examples[:-1] if change == "rows" else examples,
        scorer(fingerprint="other" if change == "model" else "toy"),
        options=options.get(change),
        ledger=ledger,
    )
    assert again.resumed_batches == 0


def test_a_model_without_fingerprint_is_not_kept(scorer: Make, examples: list[Example]) -> None:
    ledger = MemoryLedger()
    for _ in range(2):
        assert judge("task", examples, scorer(fingerprint=""), ledger=ledger).resumed_batches == 0


def test_a_kept_batch_of_another_size_is_refused(scorer: Make, examples: list[Example]) -> None:
    class Short(MemoryLedger):
        def done(self, task: str, plan_digest: str) -> Any:
            return {0: ['{"values": {"reward": [1.0]}}']}

    with pytest.raises(RmbenchError, match="journal keeps 1 rows for a batch of"):
        judge("task", examples, scorer(), ledger=Short())
