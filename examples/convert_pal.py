"""A checkpoint of PAL-A (arXiv 2406.08469) as a folder that `rmbench run --model FOLDER` opens: one user's ideal point.

    python examples/convert_pal.py epoch=9.ckpt BASE OUT --user 42
    python examples/convert_pal.py epoch=9.ckpt BASE OUT --mixture 0.5,0.5 --learner "f(P)w"

Upstream (RamyaLab/pluralistic-alignment) saves all users in one Lightning file: the language model, a projector f, the
prototypes P [k, d] and weights W of each user. BASE is the folder of the language model that was trained (config.json
and tokenizer). Texts are read as in upstream's data: `Human: ... Assistant: ...`, then the end token, whose state is
f's input. PAL-B reads prompt and answer as two texts, and is not converted.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

LEARNERS = ("f(Pw)", "f(P)w", "Pw")
ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "gelu": F.gelu, "linear": lambda x: x}
STEP = 3
"""Numbers from one linear layer to the next: the layer, dropout, activation."""
_ROOT = "prefLearner."
_TEMPLATE = (
    "{% for m in messages %}{% if m['role'] == 'user' %}Human: {{ m['content'] }} Assistant:"
    "{% else %} {{ m['content'] }}{% endif %}{% endfor %}"
)


def convert(
    checkpoint: Path,
    base: Path,
    out: Path,
    *,
    user: str | None = None,
    mixture: Sequence[float] | None = None,
    learner: str = "f(Pw)",
    activation: str = "relu",
    residual: bool = True,
    measure: str = "dist",
    end: str = "<|endoftext|>",
) -> Path:
    """Write the folder, and return it.

    Args:
        checkpoint: upstream's file.
        base: the language model's folder.
        out: a new folder.
        user: whose weights; or
        mixture: shares of the prototypes, which add up to 1.
        learner: upstream's user_learner_type: where f is applied.
        activation: of f: relu, gelu or linear, upstream's proj_arch.
        residual: whether f adds its input, "-residual" in proj_arch.
        measure: "dist", or "angle", upstream's pref_learner_type.
        end: upstream's end_of_conversation_token.

    Raises:
        SystemExit: the file is no such checkpoint, or has no such user.
    """
    state: Mapping[str, Tensor] = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
    points, logits = _taken(state, "user_learner.P"), _logits(state, user, mixture)
    layers = _layers(state)
    f = _projector(layers, ACTIVATIONS[activation], residual=residual)
    if learner == "f(Pw)":
        points, logits = f(torch.softmax(logits, 0)[None] @ points), torch.zeros(1)
    elif learner == "f(P)w":
        points = f(points)
    elif learner != "Pw":
        raise SystemExit(f"--learner {learner}: expected one of {', '.join(LEARNERS)}.")
    tensors = {
        name.removeprefix(f"{_ROOT}llm."): value for name, value in state.items() if name.startswith(f"{_ROOT}llm.")
    }
    tensors |= {f"item.{name}": value for name, value in layers.items()} | {"prototypes": points, "user": logits}
    said: dict[str, Any] = {
        "item_activation": {"linear": "none"}.get(activation, activation),
        "item_step": STEP,
        "item_residual": residual,
    }
    if measure == "angle":
        tensors["logit_scale"] = _taken(state, "logit_scale").reshape(1)
        said |= {"measure": "cosine", "scale_tensor": "logit_scale"}
    out.mkdir(parents=True)
    for file in base.iterdir():
        if file.is_file() and ("token" in file.name or file.name in ("vocab.json", "merges.txt", "spiece.model")):
            shutil.copy(file, out / file.name)
    tokenizer = out / "tokenizer_config.json"
    known = json.loads(tokenizer.read_text("utf-8")) if tokenizer.exists() else {}
    tokenizer.write_text(json.dumps({**known, "chat_template": _TEMPLATE + end}, indent=2), "utf-8")
    (out / "chat_template.jinja").unlink(missing_ok=True)
    config = json.loads((base / "config.json").read_text("utf-8"))
    (out / "config.json").write_text(json.dumps({**config, **said, "architectures": ["RmbenchIdealPoint"]}, indent=2))
    save_file({name: value.contiguous().clone() for name, value in tensors.items()}, out / "model.safetensors")
    return out


def _taken(state: Mapping[str, Tensor], name: str) -> Tensor:
    if _ROOT + name not in state:
        raise SystemExit(f"the checkpoint has no {_ROOT}{name}: is it one of PAL-A?")
    return state[_ROOT + name]


def _logits(state: Mapping[str, Tensor], user: str | None, mixture: Sequence[float] | None) -> Tensor:
    """[k], of whose softmax the mixture is made; upstream divides a user's by the temperature."""
    if mixture is not None:
        if min(mixture) < 0 or abs(sum(mixture) - 1) > 1e-6:
            raise SystemExit("--mixture: expected shares that add up to 1.")
        return torch.log(torch.tensor(mixture))
    prefix = f"{_ROOT}user_learner.W."
    users = [name.removeprefix(prefix) for name in state if name.startswith(prefix)]
    if user not in users:
        raise SystemExit(f"--user {user}: the checkpoint has {', '.join(users)}.")
    temperature = state.get(f"{_ROOT}softmax_w.temperature", torch.ones(1))
    return state[prefix + user] / temperature


def _layers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The projector's tensors: "0.weight", "0.bias", "3.weight" ..."""
    prefix = f"{_ROOT}projector.mlp.layers."
    found = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    if not found or any("running" in name for name in found):
        raise SystemExit(
            "the checkpoint has no projector of linear layers, or one with BatchNorm, which is not converted."
        )
    return found


def _projector(
    layers: Mapping[str, Tensor], act: Callable[[Tensor], Tensor], *, residual: bool
) -> Callable[[Tensor], Tensor]:
    numbers = sorted(int(name.partition(".")[0]) for name in layers if name.endswith(".weight"))

    def f(x: Tensor) -> Tensor:
        state = x
        for number in numbers:
            state = F.linear(
                state if number == 0 else act(state), layers[f"{number}.weight"], layers.get(f"{number}.bias")
            )
        return x + state if residual else state

    return f


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("checkpoint", "base", "out"):
        parser.add_argument(name, type=Path)
    whose = parser.add_mutually_exclusive_group(required=True)
    whose.add_argument("--user")
    whose.add_argument("--mixture", type=lambda text: [float(part) for part in text.split(",")])
    parser.add_argument("--learner", choices=LEARNERS, default="f(Pw)")
    parser.add_argument("--activation", choices=sorted(ACTIVATIONS), default="relu")
    parser.add_argument("--no-residual", dest="residual", action="store_false")
    parser.add_argument("--measure", choices=("dist", "angle"), default="dist")
    parser.add_argument("--end", default="<|endoftext|>")
    given = vars(parser.parse_args())
    print(convert(given.pop("checkpoint"), given.pop("base"), given.pop("out"), **given))


if __name__ == "__main__":
    main()
