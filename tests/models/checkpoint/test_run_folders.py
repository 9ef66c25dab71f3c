"""Folders of training runs: one made by the real TRL, and the shards that trainers leave."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.torchvision_ops import declare_missing_operators
from rmbench.models.open import OpenOptions, open_model

declare_missing_operators()
pytestmark = pytest.mark.filterwarnings("ignore")  # TRL's and peft's advice on how to train


def trained(out: Path, base: Path, adapter: bool) -> Any:
    """A reward model that TRL trains for four steps, saving after the second and the fourth; TRL's model."""
    pytest.importorskip("trl")
    from datasets import Dataset
    from peft import LoraConfig
    from trl import RewardConfig, RewardTrainer

    question = {"role": "user", "content": "Hi"}
    pair = {
        name: [question, {"role": "assistant", "content": text}]
        for name, text in (("chosen", "Hello there"), ("rejected", "No"))
    }
    config = RewardConfig(
        output_dir=str(out),
        max_steps=4,
        save_steps=2,
        learning_rate=0.05,
        per_device_train_batch_size=2,
        report_to=[],
        use_cpu=True,
        bf16=False,
        disable_tqdm=True,
        model_init_kwargs={"dtype": "float32"},
    )
    lora = LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["q_proj", "v_proj"]) if adapter else None
    trainer = RewardTrainer(model=str(base), args=config, train_dataset=Dataset.from_list([pair] * 8), peft_config=lora)
    trainer.train()
    trainer.save_model()
    return trainer.model.eval()


@pytest.fixture(scope="module", params=["full", "LoRA"])
def run(request: pytest.FixtureRequest, tmp_path_factory: Any, tiny: SimpleNamespace) -> SimpleNamespace:
    from transformers import LlamaConfig, LlamaForCausalLM

    base = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    size = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    LlamaForCausalLM(LlamaConfig(vocab_size=400, initializer_range=0.2, **size)).save_pretrained(base)
    tiny.save_tokenizer(base)
    folder = tmp_path_factory.mktemp("runs") / "my-rm"
    return SimpleNamespace(folder=folder, model=trained(folder, base, request.param == "LoRA"))


def opened(folder: Path, notes: list[str] | None = None) -> Any:
    return open_model(str(folder), OpenOptions(device="cpu", note=(notes if notes is not None else []).append))


def rewards(model: Any, tiny: SimpleNamespace) -> list[float]:
    rows = model.encode(tiny.requests(5))
    return [float(one) for one in model.forward(tiny.batch(rows, tiny.PAD))["reward"][:, 0]]


@pytest.mark.slow
class TestTrl:
    def test_the_final_weights_are_those_of_the_trainer(self, run: SimpleNamespace, tiny: SimpleNamespace) -> None:
        notes: list[str] = []
        model = opened(run.folder, notes)
        with torch.no_grad():
            rows = [torch.tensor([row.ids]) for row in model.encode(tiny.requests(5))]
            expected = [float(run.model(input_ids=ids).logits[0, 0]) for ids in rows]
        assert rewards(model, tiny) == pytest.approx(expected, abs=1e-5)
        assert (model.facts.name, notes) == ("my-rm", [])

    def test_the_only_checkpoint_is_taken_and_said(
        self, run: SimpleNamespace, tmp_path: Path, tiny: SimpleNamespace
    ) -> None:
        shutil.copytree(run.folder / "checkpoint-2", tmp_path / "my-rm" / "checkpoint-2")
        notes: list[str] = []
        model = opened(tmp_path / "my-rm", notes)
        assert model.facts.name == "my-rm-checkpoint-2"
        assert notes == [
            f"{tmp_path / 'my-rm'} holds no weights of its own; taken is checkpoint-2, its only checkpoint"
        ]
        named = opened(tmp_path / "my-rm" / "checkpoint-2")
        assert named.facts == model.facts
        assert rewards(model, tiny) == rewards(named, tiny) != rewards(opened(run.folder), tiny)

    def test_several_checkpoints_are_named(self, run: SimpleNamespace, tmp_path: Path) -> None:
        for name, number in (("checkpoint-2", 2), ("checkpoint-4", 1000), ("checkpoint-4", 30)):
            shutil.copytree(run.folder / name, tmp_path / f"checkpoint-{number}")
        newest = tmp_path / "checkpoint-1000"
        message = rf"2, checkpoint-30, checkpoint-1000\. Name one: --model {newest}$"
        with pytest.raises(RmbenchError, match=message):
            opened(tmp_path)


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


class TestShards:
    @pytest.mark.parametrize(
        ("files", "command"),
        [
            (
                ("config.json", "pytorch_model_fsdp_0/__0_0.distcp", "pytorch_model_fsdp_0/.metadata"),
                "accelerate merge-weights {0}/pytorch_model_fsdp_0 {0}",
            ),
            (("step/__0_0.distcp", "step/.metadata"), "format_utils dcp_to_torch {0}/step {0}/pytorch_model.bin"),
            (("actor/model_world_size_2_rank_0.pt",), "verl.model_merger merge --backend fsdp --local_dir {0}/actor"),
            (
                ("latest", "zero_to_fp32.py", "global_step4/bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt"),
                "python {0}/zero_to_fp32.py {0} {0} --safe_serialization",
            ),
            (
                ("global_step4/mp_rank_00_model_states.pt",),
                "python -m deepspeed.utils.zero_to_fp32 {0} {0} --safe_serialization",
            ),
            (("iter_0000100/mp_rank_00/model_optim_rng.pt",), "swift export --to_hf true"),
            (("mp_rank_00/model_optim_rng.pt",), "Megatron's shards"),
        ],
    )
    @pytest.mark.parametrize("below", ["", "checkpoint-4"])
    def test_what_to_run_is_said(self, below: str, files: tuple[str, ...], command: str, tmp_path: Path) -> None:
        write(tmp_path / below, *files, "optimizer.pt", "trainer_state.json")
        with pytest.raises(RmbenchError, match="Put them together first") as caught:
            opened(tmp_path)
        assert command.format(tmp_path / below) in str(caught.value)

    def test_whole_weights_beside_shards_are_read(self, tmp_path: Path, tiny: SimpleNamespace) -> None:
        tiny.checkpoint(tmp_path / "checkpoint-4")
        write(tmp_path / "checkpoint-4", "global_step4/mp_rank_00_model_states.pt", "zero_to_fp32.py")
        assert rewards(opened(tmp_path), tiny)

    def test_shards_of_a_whole_run(self, tmp_path: Path) -> None:
        write(tmp_path, "global_step_8/actor/model_world_size_2_rank_0.pt", "latest_checkpointed_iteration.txt")
        with pytest.raises(RmbenchError, match=rf"as verl saves.*--local_dir {tmp_path}/global_step_8/actor"):
            opened(tmp_path)

    @pytest.mark.parametrize("below", ["final", "actor/huggingface", "run/step_8/hf"])
    def test_a_model_that_lies_deeper_is_named(self, below: str, tmp_path: Path, tiny: SimpleNamespace) -> None:
        tiny.checkpoint(tmp_path / below)
        with pytest.raises(RmbenchError, match=rf"and models in {below}: name one, --model {tmp_path}/{below}$"):
            opened(tmp_path)

    def test_a_trainers_state_alone(self, tmp_path: Path) -> None:
        write(tmp_path, "optimizer.pt", "scheduler.pt", "rng_state.pth")
        with pytest.raises(
            RmbenchError, match=r"a trainer's state alone \(optimizer\.pt, rng_state\.pth, scheduler\.pt\)"
        ):
            opened(tmp_path)

    def test_a_folder_of_neither(self, tmp_path: Path) -> None:
        write(tmp_path, "config.json/nothing", "notes.txt")
        with pytest.raises(RmbenchError):
            opened(tmp_path)
