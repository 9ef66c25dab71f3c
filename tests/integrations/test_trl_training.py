"""Benchmarks while TRL trains: training is as without them, and values are those of the checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch

import rmbench
from rmbench.integrations.trl import RewardBenchmark
from tests.integrations.conftest import DROPOUT, STEPS, Trained, make_model, train_policy, train_reward

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

TASKS = "rm-bench,rmb-bon"
TARGETS = ["q_proj", "v_proj", "down_proj"]
LORA: dict[str, Any] = {"r": 4, "lora_alpha": 16, "lora_dropout": 0.2, "target_modules": TARGETS}


def companion(**more: Any) -> RewardBenchmark:
    return RewardBenchmark(**{"tasks": TASKS, "every": 5, "source": "sample", "at_start": True, "strict": True, **more})


def assert_same(plain: Trained, watched: Trained) -> None:
    """Every loss, everything else that is logged, all weights and moments, bit by bit."""
    assert len(plain.losses) == STEPS
    assert watched.losses == plain.losses
    assert watched.history == plain.history
    tensors, others = plain.tensors, watched.tensors
    assert tensors.keys() == others.keys()
    assert not [name for name, tensor in tensors.items() if not torch.equal(tensor, others[name])]
    modes = [[module.training for module in each.trainer.model.modules()] for each in (plain, watched)]
    assert modes[0] == modes[1]
    flags = [[one.requires_grad for one in each.trainer.model.parameters()] for each in (plain, watched)]
    assert flags[0] == flags[1]


def rewards_in(folder: Path) -> dict[str, np.ndarray]:
    """Task -> all rewards of its record."""
    found = {}
    for place in rmbench.find_records(folder):
        rows = rmbench.read_rows(place)
        found[rmbench.read_record(place).task.id] = np.array(
            [reward for row in rows for reward in row.judgment.rewards]
        )
    return found


def assert_values(watched: Trained, step: int, live: Path, model: Path, out: Path, **options: Any) -> None:
    """The logged values of a step are those of `rmbench run` on the checkpoint, row by row too."""
    results = rmbench.run(str(model), TASKS, source="sample", out=out, cache=False, **options)
    logged = watched.benchmarks[step]
    for record in results.records:
        value = results.headline(record.task.id)
        key = f"rmbench/{record.task.id}"
        assert (logged[key], logged[f"{key}/low"], logged[f"{key}/high"]) == (value.value, value.low, value.high)
    ours, theirs = rewards_in(live / f"step-{step}"), rewards_in(out)
    assert ours.keys() == theirs.keys() == set(TASKS.split(","))
    for task, rewards in ours.items():
        assert np.ptp(rewards) > 0.01
        assert rewards == pytest.approx(theirs[task], abs=1e-5)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "bert"])
@pytest.mark.parametrize("checkpointing", [False, True], ids=["", "gradient-checkpointing"])
def test_a_reward_model_is_trained_as_without_it(
    kind: str, checkpointing: bool, tokenizers: dict[str, Any], tmp_path: Path
) -> None:
    def train(name: str, *callbacks: Any) -> Trained:
        return train_reward(
            tmp_path / name, tokenizers[kind], make_model(kind), callbacks, gradient_checkpointing=checkpointing
        )

    plain, watched = train("plain"), train("watched", companion(out=tmp_path / "live"))
    assert_same(plain, watched)
    assert list(watched.benchmarks) == [0, 5, 10, 15, 20, 24]
    assert len({entry["rmbench/rm-bench"] for entry in watched.benchmarks.values()}) > 1
    checkpoint = tmp_path / "watched" / "checkpoint-24"
    assert_values(watched, 24, tmp_path / "live", checkpoint, tmp_path / "run")


@pytest.mark.parametrize("kind", ["llama", "gpt2", "bert"])
def test_dropout_is_on_in_training(kind: str, tokenizers: dict[str, Any], tmp_path: Path) -> None:
    """Or the tests above would hold whatever became of random numbers."""
    off: dict[str, Any] = {name: 0.0 for name in DROPOUT[kind] if "drop" in name}
    models = {"on": make_model(kind), "off": make_model(kind, **off)}
    runs = [train_reward(tmp_path / name, tokenizers[kind], model, max_steps=1) for name, model in models.items()]
    assert runs[0].losses != runs[1].losses


@pytest.mark.parametrize("checkpointing", [False, True], ids=["", "gradient-checkpointing"])
@pytest.mark.parametrize("head", ["trained", "adapted"])
def test_an_adapter_is_trained_as_without_it(
    head: str, checkpointing: bool, tokenizers: dict[str, Any], tmp_path: Path
) -> None:
    """With a head that is trained beside the adapter, or that has one itself."""
    kind, targets = ("SEQ_CLS", list[str]()) if head == "trained" else (None, ["score"])
    config = peft.LoraConfig(task_type=kind, **LORA | {"target_modules": TARGETS + targets})

    def train(name: str, *callbacks: Any) -> Trained:
        return train_reward(
            tmp_path / name,
            tokenizers["llama"],
            make_model(),
            callbacks,
            peft_config=config,
            gradient_checkpointing=checkpointing,
        )

    plain, watched = train("plain"), train("watched", companion(out=tmp_path / "live"))
    assert_same(plain, watched)
    merged = tmp_path / "merged"
    watched.trainer.model.merge_and_unload().save_pretrained(merged)
    tokenizers["llama"].save_pretrained(merged)
    assert_values(watched, 24, tmp_path / "live", merged, tmp_path / "run")
    if head == "trained":  # which is how trainers save it
        base, folder = tmp_path / "base", tmp_path / "watched" / "checkpoint-24"
        make_model().save_pretrained(base)
        assert_values(watched, 24, tmp_path / "live", folder, tmp_path / "saved", base_model=str(base))


def test_positions_that_follow_the_longest_row_are_left_alone(tokenizers: dict[str, Any], tmp_path: Path) -> None:
    """Dynamic NTK keeps the longest row so far in the module; an evaluation reads each row by its own length."""
    rope = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10_000.0}

    def train(name: str, *callbacks: Any) -> Trained:
        model = make_model(rope_parameters=rope, max_position_embeddings=40)
        return train_reward(tmp_path / name, tokenizers["llama"], model, callbacks)

    plain, watched = train("plain"), train("watched", companion(out=tmp_path / "live", max_length=200))
    assert_same(plain, watched)
    checkpoint = tmp_path / "watched" / "checkpoint-24"
    assert_values(watched, 24, tmp_path / "live", checkpoint, tmp_path / "run", max_length=200)


def test_a_policy_is_measured_against_its_reference(tokenizers: dict[str, Any], tmp_path: Path) -> None:
    def train(name: str, *callbacks: Any) -> Trained:
        model, reference = (make_model("llama", "ForCausalLM") for _ in range(2))
        with torch.no_grad():
            for parameter in reference.parameters():
                parameter.mul_(0.97)
        reference.save_pretrained(tmp_path / "reference")
        return train_policy(
            tmp_path / name, tokenizers["llama"], model, callbacks, ref_model=reference, beta=0.3, learning_rate=1e-4
        )

    plain, watched = train("plain"), train("watched", companion(out=tmp_path / "live"))
    tokenizers["llama"].save_pretrained(tmp_path / "reference")
    assert_same(plain, watched)
    assert_values(
        watched,
        24,
        tmp_path / "live",
        tmp_path / "watched" / "checkpoint-24",
        tmp_path / "run",
        ref_model=str(tmp_path / "reference"),
        model_args={"beta": 0.3},
    )


@pytest.mark.parametrize("own", [True, False], ids=["trl-makes-it", "given"])
def test_a_policy_with_an_adapter_is_measured_against_itself_without(
    own: bool, tokenizers: dict[str, Any], tmp_path: Path
) -> None:
    """With a peft_config the reference is the base model; an adapter that is given is copied by TRL, as "ref"."""
    config = peft.LoraConfig(task_type="CAUSAL_LM", init_lora_weights=own, **LORA)

    def train(name: str, *callbacks: Any) -> Trained:
        model = make_model("llama", "ForCausalLM")
        given = {"peft_config": config} if own else {}
        model = model if own else peft.get_peft_model(model, config)
        return train_policy(tmp_path / name, tokenizers["llama"], model, callbacks, **given)

    plain, watched = train("plain"), train("watched", companion(out=tmp_path / "live"))
    assert_same(plain, watched)
    merged, reference = tmp_path / "merged", tmp_path / "reference"
    wrapped = make_model("llama", "ForCausalLM")
    if own:
        wrapped.save_pretrained(reference)
    else:
        peft.get_peft_model(wrapped, config).merge_and_unload().save_pretrained(reference)
    watched.trainer.model.merge_and_unload(adapter_names=["default"]).save_pretrained(merged)
    for folder in (merged, reference):
        tokenizers["llama"].save_pretrained(folder)
    options = {"adapter": "implicit", "ref_model": str(reference)}
    assert_values(watched, 24, tmp_path / "live", merged, tmp_path / "run", **options)


def test_what_is_evaluated_is_the_module_in_training(tokenizers: dict[str, Any], tmp_path: Path) -> None:
    """No second copy: every tensor of the scorer's model is one of the trainer's, and no reference to it is kept."""
    seen: list[Any] = []

    class Watching(RewardBenchmark):
        def _evaluate(self, state: Any) -> None:
            if self._evaluation is not None:
                scorer: Any = self._evaluation.scorer
                seen.append(scorer.model is self._evaluation.trainer.model)
            super()._evaluate(state)

    callback = Watching("rm-bench", every=1, source="sample", limit=2)
    train_reward(tmp_path, tokenizers["llama"], make_model(), [callback], max_steps=2)
    assert len(seen) >= 2
    assert all(seen)
    assert callback._evaluation is None


def test_mixed_precision_is_for_training_alone(tokenizers: dict[str, Any], tmp_path: Path) -> None:
    """Trained under autocast to bfloat16, evaluated in the parameters' float32, as the checkpoint is."""
    watched = train_reward(
        tmp_path / "w", tokenizers["bert"], make_model("bert"), [companion(out=tmp_path / "live")], bf16=True
    )
    assert_values(watched, 24, tmp_path / "live", tmp_path / "w" / "checkpoint-24", tmp_path / "run")


def test_the_library_s_own_trainer(tokenizers: dict[str, Any], tmp_path: Path) -> None:
    import transformers

    class BradleyTerry(transformers.Trainer):  # type: ignore[misc]
        def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **more: Any) -> Any:
            rewards = model(**inputs).logits[:, 0]
            return -torch.nn.functional.logsigmoid(rewards[0::2] - rewards[1::2]).mean()

    tokenizer = tokenizers["llama"]
    rows = [dict(tokenizer(text)) for k in range(16) for text in (f"yes {k}", f"no, never {k}")]
    arguments = transformers.TrainingArguments(
        str(tmp_path / "w"), max_steps=4, use_cpu=True, report_to="none", disable_tqdm=True, save_steps=4
    )
    trainer = BradleyTerry(
        make_model(),
        arguments,
        transformers.DataCollatorWithPadding(tokenizer),
        rows,
        processing_class=tokenizer,
        callbacks=[companion(every=4, out=tmp_path / "live")],
    )
    trainer.train()
    checkpoint = tmp_path / "w" / "checkpoint-4"
    assert_values(Trained(trainer), 4, tmp_path / "live", checkpoint, tmp_path / "run")
