"""What cannot be evaluated in training, and evaluations that fail."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import peft
import pytest
import torch

import rmbench
from rmbench.errors import RmbenchError
from rmbench.integrations.trainer import refuse_sharded, trainer_of
from rmbench.integrations.trl import RewardBenchmark
from tests.integrations.conftest import brief, make_model

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


class Failing(RewardBenchmark):
    """Fails at its second evaluation, in the middle of it."""

    def _values(self, results: Any) -> dict[str, float]:
        if self._last == 4:
            raise ValueError("a broken evaluation")
        return super()._values(results)


def test_an_evaluation_that_fails_is_a_warning(
    tokenizers: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plain = brief(tokenizers, tmp_path / "plain", [], max_steps=6)
    caplog.set_level(logging.WARNING, "rmbench")
    callback = Failing("rm-bench", source="sample", every=2, limit=2)
    watched = brief(tokenizers, tmp_path / "watched", [callback], max_steps=6)
    assert watched.losses == plain.losses
    assert list(watched.benchmarks) == [2, 6]
    (warning,) = [record.getMessage() for record in caplog.records if record.name == "rmbench"]
    assert warning == (
        "rmbench: the evaluation at step 4 failed, and training goes on: ValueError: a broken evaluation"
    )


def test_a_strict_evaluation_ends_training(tokenizers: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a broken evaluation"):
        brief(tokenizers, tmp_path, [Failing("rm-bench", source="sample", every=2, limit=2, strict=True)])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"every": 0}, 'every must be a number of steps or "epoch", not 0'),
        ({"every": "epochs"}, "not 'epochs'"),
        ({"every": True}, "not True"),
        ({"limit": 0}, "limit must be at least 1"),
        ({"max_length": "8"}, "max_length must be a whole number or None"),
    ],
)
def test_a_wrong_argument_is_an_error_at_once(given: dict[str, Any], message: str) -> None:
    with pytest.raises(RmbenchError, match=message):
        RewardBenchmark("rm-bench", source="sample", **given)


@pytest.mark.parametrize(
    ("tasks", "given", "message"),
    [
        ("rm-bnech", {"source": "sample"}, 'Did you mean "rm-bench"'),
        ("rm-bench", {"source": "/nowhere"}, "/nowhere"),
        ("genai-bench-edition", {"source": "sample"}, "the task is image, the model takes text"),
        ("rm-bench", {"source": "sample", "model_args": {"pooling": "first"}}, "pooling"),
    ],
)
def test_what_is_wrong_is_an_error_before_training(
    tasks: str, given: dict[str, Any], message: str, tokenizers: dict[str, Any], tmp_path: Path
) -> None:
    steps: list[int] = []

    class Counting(RewardBenchmark):
        def on_step_end(self, *given: Any, **more: Any) -> None:
            steps.append(1)

    with pytest.raises(RmbenchError, match=message):
        brief(tokenizers, tmp_path, [Counting(tasks, **given)])
    assert not steps


def sft(tokenizers: dict[str, Any], folder: Path, model: Any, callback: Any, **more: Any) -> Any:
    """The library's trainer of a model of any kind, which is told to train and fails at its first step."""
    import transformers

    arguments = transformers.TrainingArguments(str(folder), max_steps=1, use_cpu=True, report_to="none")
    given = {"processing_class": tokenizers["llama"], **more}
    rows = [dict(tokenizers["llama"]("yes")) | {"labels": 0}]
    return transformers.Trainer(model, arguments, train_dataset=rows, callbacks=[callback], **given)


@pytest.mark.parametrize(
    ("head", "config", "given", "message"),
    [
        ("ForCausalLM", {}, {}, r"trains a policy \(LlamaForCausalLM\) and holds no reference .* Supported are"),
        ("ForTokenClassification", {}, {}, "LlamaForTokenClassification cannot be evaluated in memory"),
        ("ForSequenceClassification", {"num_labels": 2}, {}, "has 2 labels"),
        ("ForSequenceClassification", {}, {"processing_class": None}, "has no tokenizer: pass processing_class="),
    ],
)
def test_a_model_that_cannot_be_evaluated_is_named(
    head: str, config: dict[str, Any], given: Any, message: str, tokenizers: dict[str, Any], tmp_path: Path
) -> None:
    trainer = sft(
        tokenizers, tmp_path, make_model("llama", head, **config), RewardBenchmark("rm-bench", source="sample"), **given
    )
    with pytest.raises(RmbenchError, match=message):
        trainer.train()


def test_virtual_tokens_are_named(tokenizers: dict[str, Any], tmp_path: Path) -> None:
    model = peft.get_peft_model(make_model(), peft.PromptTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=2))
    with pytest.raises(RmbenchError, match="PROMPT_TUNING puts tokens of its own before a row"):
        sft(tokenizers, tmp_path, model, RewardBenchmark("rm-bench", source="sample")).train()


def test_a_policy_alone_has_a_score_without_a_reference(tokenizers: dict[str, Any], tmp_path: Path) -> None:
    model, logged = make_model("llama", "ForCausalLM"), []

    class Ending(RewardBenchmark):
        def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            logged.extend(state.log_history)
            raise KeyboardInterrupt

    callback = Ending("rm-bench", source="sample", at_start=True, model_args={"score": "avg"}, out=tmp_path / "live")
    trainer = sft(tokenizers, tmp_path / "w", model, callback)
    trainer.train_dataset = [dict(tokenizers["llama"]("yes")) | {"labels": tokenizers["llama"]("yes")["input_ids"]}]
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    make_model("llama", "ForCausalLM").save_pretrained(tmp_path / "model")
    tokenizers["llama"].save_pretrained(tmp_path / "model")
    given: dict[str, Any] = {"adapter": "implicit", "model_args": {"score": "avg"}}
    results = rmbench.run(str(tmp_path / "model"), "rm-bench", source="sample", out=tmp_path / "run", **given)
    assert logged[0]["rmbench/rm-bench"] == results.headline("rm-bench").value


@pytest.mark.parametrize(("beta", "scale"), [(0.5, 0.5), (0.0, 0.1), (None, 0.1)])
def test_an_implicit_reward_has_the_beta_of_the_loss(
    beta: float | None, scale: float, tokenizers: dict[str, Any], tmp_path: Path
) -> None:
    """Where the loss has one; else the usual."""
    callback = RewardBenchmark("rm-bench", source="sample", at_start=True, every=100, out=tmp_path / "live")
    trainer = sft(tokenizers, tmp_path / "w", make_model("llama", "ForCausalLM"), callback)
    trainer.train_dataset = [dict(tokenizers["llama"]("yes")) | {"labels": tokenizers["llama"]("yes")["input_ids"]}]
    trainer.ref_model, trainer.args.beta = make_model("llama", "ForCausalLM"), beta
    trainer.train()
    record = rmbench.read_record(rmbench.find_records(tmp_path / "live" / "step-0")[0])
    assert record.model.settings["beta"] == scale


def a_trainer(fsdp: bool = False, zero: int = 0, pieces: bool = False) -> Any:
    class DTensor:
        pass

    return SimpleNamespace(
        accelerator=SimpleNamespace(state=SimpleNamespace(deepspeed_plugin=SimpleNamespace(zero_stage=zero))),
        is_deepspeed_enabled=zero > 0,
        is_fsdp_enabled=fsdp,
        model=SimpleNamespace(parameters=lambda: [DTensor() if pieces else torch.zeros(1)]),
    )


@pytest.mark.parametrize(
    ("trainer", "how"),
    [
        (a_trainer(fsdp=True), "FSDP"),
        (a_trainer(zero=3), "DeepSpeed ZeRO-3"),
        (a_trainer(pieces=True), "tensor parallelism"),
    ],
)
def test_sharded_parameters_are_refused(trainer: Any, how: str) -> None:
    with pytest.raises(RmbenchError, match=f"^{how} shards the model's parameters.*rmbench run"):
        refuse_sharded(trainer)


@pytest.mark.parametrize("trainer", [a_trainer(), a_trainer(zero=2)])
def test_whole_parameters_are_not(trainer: Any) -> None:
    refuse_sharded(trainer)


def test_outside_a_trainer_it_says_where_it_belongs() -> None:
    callback = RewardBenchmark("rm-bench", source="sample")
    with pytest.raises(RmbenchError, match=r"RewardBenchmark is a callback of transformers\.Trainer"):
        trainer_of(callback)
