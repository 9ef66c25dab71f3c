"""Tiny reward models as upstream writes them: a backbone under upstream's names, a head, and the head's formula."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from rmbench.models.protocols import Encoded

H = 32
SIZE = {
    "vocab_size": 400,
    "hidden_size": H,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
    "initializer_range": 0.2,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 3,
}
LLAMA3 = {
    "bos": ("<|begin_of_text|>", 128000),
    "eot": ("<|eot_id|>", 128009),
    "start": ("<|start_header_id|>", 128006),
    "end": ("<|end_header_id|>", 128007),
    "role": ("assistant", 78191),
    "break": ("\n\n", 271),
}
GEMMA2 = {
    "bos": ("<bos>", 2),
    "eot": ("<end_of_turn>", 107),
    "start": ("<start_of_turn>", 106),
    "end": ("\n", 108),
    "role": ("model", 2516),
}


def backbone(kind: str = "Llama", **config: Any) -> Any:
    """A random backbone of the library, in eval mode."""
    import transformers

    torch.manual_seed(0)
    size = {**SIZE, **config}
    if kind == "GPTNeoX":
        for key in ("num_key_value_heads", "head_dim"):
            del size[key]
    return getattr(transformers, f"{kind}Model")(getattr(transformers, f"{kind}Config")(**size)).eval()


def write(
    folder: Path,
    model: Any,
    architecture: str,
    head: Mapping[str, torch.Tensor],
    *,
    naming: Callable[[str], str] = lambda name: "model." + name,
    files: Mapping[str, Mapping[str, torch.Tensor]] = {},
    torch_file: bool = False,
    **config: Any,
) -> Path:
    """A checkpoint without a tokenizer: the backbone's tensors under upstream's names, the head's, and config.json."""
    folder.mkdir(exist_ok=True)
    tensors = {naming(name): tensor.clone() for name, tensor in model.state_dict().items()} | dict(head)
    if torch_file:
        torch.save(tensors, folder / "pytorch_model.bin")
    else:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    for name, held in files.items():
        save_file(dict(held), folder / name) if name.endswith(".safetensors") else torch.save(dict(held), folder / name)
    said = model.config.to_dict() | {"architectures": [architecture]} | config
    (folder / "config.json").write_text(json.dumps({key: value for key, value in said.items() if value is not None}))
    return folder


def llama3_tokenizer(folder: Path, names: Mapping[str, tuple[str, int]] = LLAMA3) -> None:
    """Bytes, and the special tokens of Llama 3 or Gemma 2 under the numbers that upstream's gates look for."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    free = (number for number in range(400, 800))
    letters = {letter: next(free) for letter in sorted(pre_tokenizers.ByteLevel.alphabet())}
    bpe = Tokenizer(models.BPE(vocab=letters | dict(names.values()), merges=[]))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.add_special_tokens([names[key][0] for key in ("bos", "eot", "start")])
    bpe.add_tokens([AddedToken(names[key][0], normalized=False) for key in ("end", "role", "break") if key in names])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token=names["bos"][0], eos_token=names["eot"][0], pad_token=names["eot"][0]
    )
    written = {key: text for key, (text, _) in names.items()}
    role = f"{{{{ m['role'].replace('assistant', '{written['role']}') }}}}"
    tokenizer.chat_template = (
        f"{written['bos']}{{% for m in messages %}}{written['start']}{role}{written['end']}{written.get('break', '')}"
        f"{{{{ m['content'] }}}}{written['eot']}{'' if 'break' in written else written['end']}{{% endfor %}}"
    )
    tokenizer.save_pretrained(folder)


def states(model: Any, rows: Sequence[Encoded]) -> list[torch.Tensor]:
    """The last layer [T, H] of each row by itself, by the library's own forward."""
    with torch.no_grad():
        return [model(input_ids=torch.tensor([row.ids])).last_hidden_state[0] for row in rows]


ARMORM_GATE = (128009, 128006, 78191, 128007, 271)
GEMMA_GATE = (107, 108, 106, 2516, 108)


@dataclass
class Case:
    """How a checkpoint is written, and what its head says."""

    architecture: str
    head: dict[str, Tensor]
    score: Callable[[dict[str, Tensor], Tensor, Tensor], Tensor]
    """(the head's tensors, states [T, H] of a row, state at the gate's pattern) -> the reward."""
    kind: str = "Llama"
    config: dict[str, Any] | None = None
    write: dict[str, Any] | None = None
    adapter: str | None = None
    gate: tuple[int, ...] = ()
    size: dict[str, Any] | None = None
    allow: float = 2e-5


def draw(*shape: int, seed: int = 1, scale: float = 0.3) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1000 * seed + sum(shape))) * scale


def at_the_end(t: dict[str, Tensor], states: Tensor, name: str) -> Tensor:
    return t[f"{name}.weight"][0] @ states[-1] + (t[f"{name}.bias"][0] if f"{name}.bias" in t else 0)


def linear(name: str) -> Callable[..., Tensor]:
    return lambda t, states, _: at_the_end(t, states, name)


def two_layers(name: str) -> Callable[..., Tensor]:
    def score(t: dict[str, Tensor], states: Tensor, _: Tensor) -> Tensor:
        inner = torch.clamp(t[f"{name}.0.weight"] @ states[-1] + t[f"{name}.0.bias"], min=0)
        return t[f"{name}.2.weight"][0] @ inner + t[f"{name}.2.bias"][0]

    return score


def mlp(name: str, inner: int) -> dict[str, Tensor]:
    return {
        f"{name}.0.weight": draw(inner, 32),
        f"{name}.0.bias": draw(inner),
        f"{name}.2.weight": draw(1, inner),
        f"{name}.2.bias": draw(1),
    }


def beaver(t: dict[str, Tensor], states: Tensor, _: Tensor) -> Tensor:
    return (at_the_end(t, states, "score_head") - t["normalizer.mean"][0]) / (t["normalizer.var"][0].sqrt() + 1e-8)


def beaver_cost(t: dict[str, Tensor], states: Tensor, _: Tensor) -> Tensor:
    return -at_the_end(t, states, "score_head") / (t["normalizer.var"][0].sqrt() + 1e-8)


def armorm_gate(t: dict[str, Tensor], prompt: Tensor) -> Tensor:
    for number in range(4):
        prompt = t[f"gating.layers.{number}.weight"] @ prompt + t[f"gating.layers.{number}.bias"]
        prompt = torch.clamp(prompt, min=0) if number < 3 else prompt
    return torch.softmax(prompt / 10, 0) * t["gating.logit_scale"][0]


def armorm(t: dict[str, Tensor], states: Tensor, prompt: Tensor) -> Tensor:
    rewards = t["regression_layer.weight"] @ states[-1]
    return (armorm_gate(t, prompt) * (rewards @ t["reward_transform_matrix"])).sum()


def qrm_gate(t: dict[str, Tensor], prompt: Tensor) -> Tensor:
    for block in (0, 3):
        prompt = torch.clamp(t[f"gating.layers.{block}.weight"] @ prompt, min=0)
        norm = {part: t[f"gating.layers.{block + 2}.{part}"] for part in ("running_mean", "running_var")}
        prompt = (prompt - norm["running_mean"]) / (norm["running_var"] + 1e-5).sqrt()
        prompt = prompt * t[f"gating.layers.{block + 2}.weight"] + t[f"gating.layers.{block + 2}.bias"]
    return torch.softmax((t["gating.layers.6.weight"] @ prompt + t["gating.layers.6.bias"]) / 10, 0)


def qrm(t: dict[str, Tensor], states: Tensor, prompt: Tensor) -> Tensor:
    expected = (t["regression_layer.weight"] @ states[-1]).reshape(3, 5).mean(1)
    return (qrm_gate(t, prompt) * t["gating.logit_scale"][0] * (expected @ t["reward_transform_matrix"])).sum()


def ldl(t: dict[str, Tensor], states: Tensor, _: Tensor) -> Tensor:
    values = {}
    for kind, step in (("reg", 2), ("gate", 3)):
        found = states[-1]
        for number in range(3):
            found = t[f"{kind}.{step * number}.weight"] @ found + t[f"{kind}.{step * number}.bias"]
            found = torch.where(found > 0, found, 0.01 * found) if number < 2 else found
        values[kind] = found
    total = values["gate"] @ torch.softmax(values["reg"].reshape(4, 10), 1)
    return sum(total[b] * b / 9 for b in range(10))  # type: ignore[return-value]


def attributes(weights: Sequence[float]) -> Callable[..., Tensor]:
    def score(t: dict[str, Tensor], states: Tensor, _: Tensor) -> Tensor:
        nine = t["rm_head.weight"] @ states[-1] + t["rm_head.bias"]
        return sum(weight * nine[4 + index] for index, weight in enumerate(weights))  # type: ignore[return-value]

    return score


def moved(count: int) -> Tensor:
    return torch.eye(count) + draw(count, count, scale=0.1)


ARMORM_HEAD = {
    "regression_layer.weight": draw(19, 32),
    "reward_transform_matrix": moved(19),
    "gating.logit_scale": torch.tensor([1.3]),
    **{f"gating.layers.{n}.weight": draw(19 if n == 3 else 12, 12 if n else 32, seed=n + 2) for n in range(4)},
    **{f"gating.layers.{n}.bias": draw(19 if n == 3 else 12, seed=n + 7) for n in range(4)},
}
QRM_HEAD = {
    "regression_layer.weight": draw(15, 32),
    "reward_transform_matrix": moved(3),
    "gating.logit_scale": torch.tensor([0.9]),
    "gating.layers.0.weight": draw(12, 32, seed=2),
    "gating.layers.3.weight": draw(12, 12, seed=3),
    "gating.layers.6.weight": draw(3, 12, seed=4, scale=3.0),
    "gating.layers.6.bias": draw(3, seed=5),
    **{f"gating.layers.{n}.{part}": draw(12, seed=n) for n in (2, 5) for part in ("weight", "bias", "running_mean")},
    **{f"gating.layers.{n}.running_var": draw(12, seed=n).abs() + 0.5 for n in (2, 5)},
}
LDL_HEAD = {
    f"{kind}.{step * n}.{part}": draw(
        *((out if n == 2 else 16), *((16 if n else 32,) if part == "weight" else ())), seed=n
    )
    for kind, step, out in (("reg", 2, 40), ("gate", 3, 4))
    for n in range(3)
    for part in ("weight", "bias")
}
WITH_STATISTICS = {
    "score_head.weight": draw(1, 32),
    "normalizer.mean": torch.tensor([0.5]),
    "normalizer.var": torch.tensor([4.0]),
    "normalizer.count": torch.tensor([7]),
}
NEMOTRON = (0.3, 0.74, 0.46, 0.47, -0.33)
STEERLM = (0.65, 0.8, 0.45, 0.55, -0.4)
GEMMA_SIZE = {"vocab_size": 2600}

CASES = {
    "openrlhf": Case(
        "RewardModel", {"score.weight": draw(1, 32)}, linear("score"), config={"value_head_prefix": "score"}
    ),
    "openrlhf, another prefix, normalised": Case(
        "RewardModel",
        {"value_head.weight": draw(1, 32)},
        lambda t, states, _: (at_the_end(t, states, "value_head") - 0.5) / 2,
        config={"value_head_prefix": "value_head", "normalize_reward": True, "mean": 0.5, "std": 2.0},
    ),
    "openrlhf, the base model's name": Case("Qwen2Model", {"score.weight": draw(1, 32)}, linear("score"), kind="Qwen2"),
    "openrlhf-value-head": Case(
        "RewardModel", {"value_head.weight": draw(1, 32)}, linear("value_head"), adapter="openrlhf-value-head"
    ),
    "grm": Case("GRewardModel", mlp("v_head.summary", 8), two_layers("v_head.summary"), kind="Gemma2"),
    "grm-linear": Case(
        "GRewardModel",
        {"v_head.summary.weight": draw(1, 32), "v_head.summary.bias": draw(1), "lm_head.weight": draw(400, 32)},
        linear("v_head.summary"),
        config={"vhead_layer_type": "linear"},
    ),
    "acecode": Case(
        "Qwen2ForCausalRM",
        {"v_head.summary.weight": draw(1, 32), "v_head.summary.bias": draw(1), "lm_head.weight": draw(400, 32)},
        linear("v_head.summary"),
        kind="Qwen2",
    ),
    "inf-orm": Case("INFORMForSequenceClassification", mlp("score", 32), two_layers("score")),
    "qwen-math-rm": Case("Qwen2ForRewardModel", mlp("score", 32), two_layers("score"), kind="Qwen2"),
    "openbmb, Eurus": Case(
        "EurusRewardModel", {"regression_head.weight": draw(1, 32)}, linear("regression_head"), kind="Mistral"
    ),
    "openbmb, UltraRM": Case("LlamaRewardModel", {"regression_head.weight": draw(1, 32)}, linear("regression_head")),
    "starling-34b": Case(
        "LlamaForSequenceClassification",
        {"v_head.weight": draw(1, 32)},
        linear("v_head"),
        write={"naming": lambda name: "transformer." + name},
    ),
    "starling-7b": Case(
        "GPTRewardModel",
        {"v_head.weight": draw(1, 32), "model.lm_head.weight": draw(400, 32), "model.model.norm.weight": draw(32)},
        linear("v_head"),
        write={"naming": lambda name: "transformer." + name, "torch_file": True},
    ),
    "beaver-reward": Case(
        "LlamaForScore", WITH_STATISTICS, beaver, config={"score_type": "reward", "do_normalize": True}
    ),
    "beaver-reward, raw": Case(
        "LlamaModelForScore",
        {"score_head.weight": draw(1, 32), "score_head.bias": draw(1)},
        linear("score_head"),
        config={"score_type": "reward", "do_normalize": False},
    ),
    "beaver-cost": Case(
        "LlamaForScore", WITH_STATISTICS, beaver_cost, config={"score_type": "cost", "do_normalize": True}
    ),
    "armorm": Case(
        "LlamaForRewardModelWithGating", ARMORM_HEAD, armorm, gate=ARMORM_GATE, size={"vocab_size": 128260}, allow=1e-4
    ),
    "qrm-gemma2": Case(
        "Gemma2ForRewardModelWithGating",
        QRM_HEAD,
        qrm,
        kind="Gemma2",
        config={"num_quantiles": 5, "num_objectives": 3},
        gate=GEMMA_GATE,
        size=GEMMA_SIZE,
        allow=1e-4,
    ),
    "qrm-llama3": Case(
        "LlamaForRewardModelWithGating31",
        QRM_HEAD,
        qrm,
        config={"num_quantiles": 5, "num_objectives": 3},
        gate=ARMORM_GATE,
        size={"vocab_size": 128260},
        allow=1e-4,
    ),
    "ldl": Case("LDLRewardModel27B", LDL_HEAD, ldl, kind="Gemma2", write={"naming": str, "parts": True}),
    "nemotron-4": Case(
        "LlamaForCausalLM",
        {"rm_head.weight": draw(9, 32), "rm_head.bias": draw(9), "lm_head.weight": draw(400, 32)},
        attributes(NEMOTRON),
        adapter="nemotron-4",
    ),
    "steerlm": Case(
        "LlamaForCausalLM",
        {"rm_head.weight": draw(9, 32), "rm_head.bias": draw(9)},
        attributes(STEERLM),
        adapter="steerlm",
    ),
    "nemotron-hf": Case(
        "LlamaForCausalLM", {"lm_head.weight": draw(400, 32)}, linear("lm_head"), adapter="nemotron-hf"
    ),
    "oasst": Case(
        "GPTNeoXRewardModel",
        {"out_proj.weight": draw(1, 32), "out_proj.bias": draw(1)},
        linear("out_proj"),
        kind="GPTNeoX",
        config={"model_type": "gpt_neox_reward_model", "pooling": "last"},
        write={"naming": lambda name: "gpt_neox." + name},
    ),
    "oasst, mean": Case(
        "GPTNeoXRewardModel",
        {"out_proj.weight": draw(1, 32), "out_proj.bias": draw(1)},
        lambda t, states, _: t["out_proj.weight"][0] @ states.mean(0) + t["out_proj.bias"][0],
        kind="GPTNeoX",
        config={"model_type": "gpt_neox_reward_model", "pooling": "mean"},
        write={"naming": lambda name: "gpt_neox." + name},
    ),
    "odin": Case(
        "LlamaForSequenceClassification",
        {"score.weight": draw(2, 32)},
        lambda t, states, _: t["score.weight"][1] @ states[-1],
        adapter="odin",
    ),
    "ideal-point": Case(
        "RmbenchIdealPoint",
        {"item.0.weight": draw(16, 32), "item.2.weight": draw(6, 16), "prototypes": draw(3, 6), "user": draw(3)},
        lambda t, states, _: (
            -(
                t["item.2.weight"] @ torch.nn.functional.gelu(t["item.0.weight"] @ states[-1])
                - torch.softmax(t["user"], 0) @ t["prototypes"]
            ).norm()
        ),
    ),
}


def save(folder: Path, case: Case, tiny: Any) -> tuple[Path, Any]:
    """The checkpoint with its tokenizer, and the backbone that is in it."""
    model = backbone(case.kind, **(case.size or {}))
    how = dict(case.write or {})
    head = case.head
    if how.pop("parts", False):
        files = {
            f"{file}_layer.pt": {f"network.{n.split('.', 1)[1]}": t for n, t in head.items() if n.startswith(kind)}
            for file, kind in (("regression", "reg"), ("gating", "gate"))
        }
        head, how["files"] = {}, files
    write(folder, model, case.architecture, head, **how, **(case.config or {}))
    if case.gate:
        llama3_tokenizer(folder, GEMMA2 if case.gate == GEMMA_GATE else LLAMA3)
    else:
        tiny.save_tokenizer(folder)
    return folder, model


def conversations(case: Case, tiny: Any) -> list[Any]:
    """Gated models cannot read an empty answer whose header runs into what follows; all others take every one."""
    return [one for one in tiny.requests() if not case.gate or all(m.text for m in one.conversation)]


def expected(case: Case, model: Any, rows: Sequence[Any]) -> list[float]:
    found = []
    for row, of_row in zip(rows, states(model, rows), strict=True):
        starts = [i for i in range(len(row.ids)) if case.gate and row.ids[i : i + len(case.gate)] == case.gate]
        found.append(float(case.score(case.head, of_row, of_row[starts[-1] if starts else 0])))
    return found


@pytest.fixture(scope="session")
def upstream() -> SimpleNamespace:
    """The builders of this file."""
    return SimpleNamespace(
        backbone=backbone,
        write=write,
        llama3_tokenizer=llama3_tokenizer,
        states=states,
        draw=draw,
        save=save,
        expected=expected,
        conversations=conversations,
        armorm_gate=armorm_gate,
        cases=CASES,
    )


@pytest.fixture(params=CASES)
def case_name(request: pytest.FixtureRequest) -> str:
    """Each in turn: the layout's name, with a remark behind a comma."""
    found: str = request.param
    return found
