"""A checkpoint of PAL (arXiv 2406.08469) as a folder that `rmbench run --model FOLDER` opens: one user's ideal point.

    python examples/convert_pal.py epoch=9.ckpt BASE OUT --user 42
    python examples/convert_pal.py epoch=9.ckpt BASE OUT --mixture 0.5,0.5 --learner "f(P)w"

Upstream (RamyaLab/pluralistic-alignment) saves all users in one Lightning file: the language model, a projector f of
answers, and weights W [k] of each user, which mix prototypes P [k, d] (PAL-A) or what k projectors g make of the prompt
(PAL-B); the file says which of the two it is. BASE is the folder of the language model that was trained (config.json
and tokenizer). Texts are read as in upstream's data: `Human: ... Assistant: ...` and an end token as one text (PAL-A),
or `Human: ... Assistant:` and the answer as two, each with an end token (PAL-B). The state of the last token is read.
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
    max_length: int = 512,
) -> Path:
    """Write the folder, and return it.

    Args:
        checkpoint: upstream's file.
        base: the language model's folder.
        out: a new folder.
        user: whose weights; or
        mixture: shares of the prototypes or projectors, which add up to 1.
        learner: of PAL-A, upstream's user_learner_type: where f is applied.
        activation: of f and g: relu, gelu or linear, upstream's proj_arch.
        residual: whether they add their input, "-residual" in proj_arch.
        measure: "dist", or "angle", upstream's pref_learner_type.
        end: upstream's end_of_conversation_token.
        max_length: upstream's max_seq_len: a longer text loses its end.

    Raises:
        SystemExit: the file is no such checkpoint, or has no such user.
    """
    state: Mapping[str, Tensor] = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
    shares = _shares(state, user, mixture)
    tensors = {
        name.removeprefix(f"{_ROOT}llm."): value for name, value in state.items() if name.startswith(f"{_ROOT}llm.")
    }
    two_texts = any(name.startswith(f"{_ROOT}projector_f.") for name in state)
    if two_texts:
        tensors |= {f"item.{name}": value for name, value in _layers(state, "projector_f").items()}
        each = [_layers(state, f"user_learner.projectors.{k}") for k in range(len(shares))]
        tensors |= {f"points.{name}": value for name, value in _mixed(each, shares).items()}
        tensors["user"] = torch.zeros(1)
    else:
        layers = _layers(state, "projector")
        f = _projector(layers, ACTIVATIONS[activation], residual=residual)
        points, user_logits = _prototypes(_taken(state, "user_learner.P"), shares, f, learner)
        tensors |= {f"item.{name}": value for name, value in layers.items()}
        tensors |= {"prototypes": points, "user": user_logits}
    said: dict[str, Any] = {
        "architectures": ["RmbenchIdealPointTwoTexts" if two_texts else "RmbenchIdealPoint"],
        "item_activation": {"linear": "none"}.get(activation, activation),
        "item_step": STEP,
        "item_residual": residual,
        "affixes": True,
    }
    if measure == "angle":
        tensors["logit_scale"] = _taken(state, "logit_scale").reshape(1)
        said |= {"measure": "cosine", "scale_tensor": "logit_scale"}
    out.mkdir(parents=True)
    _copy_tokenizer(base, out, chat_template=_TEMPLATE + end, truncation_side="right", model_max_length=max_length)
    config = json.loads((base / "config.json").read_text("utf-8"))
    (out / "config.json").write_text(json.dumps({**config, **said}, indent=2))
    save_file({name: value.contiguous().clone() for name, value in tensors.items()}, out / "model.safetensors")
    return out


def _copy_tokenizer(base: Path, out: Path, **settings: str | int) -> None:
    for file in base.iterdir():
        if file.is_file() and ("token" in file.name or file.name in ("vocab.json", "merges.txt", "spiece.model")):
            shutil.copy(file, out / file.name)
    tokenizer = out / "tokenizer_config.json"
    known = json.loads(tokenizer.read_text("utf-8")) if tokenizer.exists() else {}
    tokenizer.write_text(json.dumps({**known, **settings}, indent=2), "utf-8")
    (out / "chat_template.jinja").unlink(missing_ok=True)


def _prototypes(points: Tensor, shares: Tensor, f: Callable[[Tensor], Tensor], learner: str) -> tuple[Tensor, Tensor]:
    """PAL-A's points in the space of answers [n, d], and logits [n] whose softmax mixes them."""
    if learner == "f(Pw)":
        return f(shares[None] @ points), torch.zeros(1)
    if learner not in LEARNERS:
        raise SystemExit(f"--learner {learner}: expected one of {', '.join(LEARNERS)}.")
    return f(points) if learner == "f(P)w" else points, torch.log(shares)


def _mixed(each: Sequence[Mapping[str, Tensor]], shares: Tensor) -> dict[str, Tensor]:
    """PAL-B's k projectors side by side, with a last layer that adds up their shares: one network, equal to the sum
    over k of share_k g_k, an added input included, since shares add up to 1."""
    numbers = sorted({int(name.partition(".")[0]) for name in each[0]})
    found = {}
    for number in numbers:
        weights = [layers[f"{number}.weight"] for layers in each]
        biases = [layers[f"{number}.bias"] for layers in each if f"{number}.bias" in layers]
        last = number == numbers[-1]
        if last:
            weights = [share * weight for share, weight in zip(shares, weights, strict=True)]
            biases = [share * bias for share, bias in zip(shares, biases, strict=False)]
        if number == 0:
            found["0.weight"] = torch.stack(weights).sum(0) if last else torch.cat(weights)
        else:
            found[f"{number}.weight"] = torch.cat(weights, 1) if last else torch.block_diag(*weights)  # type: ignore[no-untyped-call]
        if biases:
            found[f"{number}.bias"] = torch.stack(biases).sum(0) if last else torch.cat(biases)
    return found


def _taken(state: Mapping[str, Tensor], name: str) -> Tensor:
    if _ROOT + name not in state:
        raise SystemExit(f"the checkpoint has no {_ROOT}{name}: is it one of PAL?")
    return state[_ROOT + name]


def _shares(state: Mapping[str, Tensor], user: str | None, mixture: Sequence[float] | None) -> Tensor:
    """[k], which add up to 1; upstream divides a user's logits by the temperature."""
    prefix = f"{_ROOT}user_learner.W."
    users = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    if not users:
        raise SystemExit(f"the checkpoint has no {prefix}USER: is it one of PAL?")
    if mixture is not None:
        count = len(next(iter(users.values())))
        if len(mixture) != count or min(mixture) < 0 or abs(sum(mixture) - 1) > 1e-6:
            raise SystemExit(f"--mixture: expected {count} shares that add up to 1.")
        return torch.tensor(mixture)
    if user not in users:
        raise SystemExit(f"--user {user}: the checkpoint has {', '.join(users)}.")
    return torch.softmax(users[user] / state.get(f"{_ROOT}softmax_w.temperature", torch.ones(1)), 0)


def _layers(state: Mapping[str, Tensor], projector: str) -> dict[str, Tensor]:
    """A projector's tensors: "0.weight", "0.bias", "3.weight" ..."""
    prefix = f"{_ROOT}{projector}.mlp.layers."
    found = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    linear = (value.dim() == (2 if name.endswith(".weight") else 1) for name, value in found.items())
    if not found or any("running" in name for name in found) or not all(linear):
        raise SystemExit(
            f"the checkpoint's {_ROOT}{projector} is not made of linear layers; one with BatchNorm is not converted."
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
    parser.add_argument("--max-length", type=int, default=512)
    given = vars(parser.parse_args())
    print(convert(given.pop("checkpoint"), given.pop("base"), given.pop("out"), **given))


if __name__ == "__main__":
    main()
