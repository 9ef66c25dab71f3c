"""Opens a general preference model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field

from rmbench.errors import RmbenchError
from rmbench.models.backbone.backbone import Backbone
from rmbench.models.backbone.tensors import parameter_count
from rmbench.models.checkpoint.loading import load_model, load_tokenizer, warm
from rmbench.models.checkpoint.opening import Opening
from rmbench.models.checkpoint.placement import dtype_name, place, torch_dtype
from rmbench.models.checkpoint.read import Checkpoint
from rmbench.models.checkpoint.state_dict import read_tensors
from rmbench.models.families.gpm.heads import Gate, Head
from rmbench.models.families.gpm.marks import PROMPT_HEAD, VALUE_HEAD, weights_of
from rmbench.models.families.gpm.scorer import GpmScorer
from rmbench.models.families.gpm.text import GpmText
from rmbench.models.protocols import Batch
from rmbench.models.text.open import card_of, own_length, pad_id, text_encoder, throwaway

__all__ = ["GpmSettings", "open_gpm"]

_LAYER = r"(\.net\.\d+)?\.(weight|bias)"
_NOT_THE_BACKBONES = rf"lm_head\..*|({VALUE_HEAD}|{PROMPT_HEAD}){_LAYER}"


class GpmSettings(BaseModel):
    """Settings, for a card's [settings] or --model-args; defaults are those of upstream's gpm_example_usage.py."""

    model_config = ConfigDict(extra="forbid")

    gate: Gate | None = None
    """None: "released" where the checkpoint has a prompt head, else "ones"."""
    tau: float = Field(default=0.1, gt=0, allow_inf_nan=False)
    """Margins are divided by it; upstream trains and evaluates with 0.1."""
    l2: bool | None = None
    """Embeddings of length 1; None: yes. Upstream's RewardBench script leaves them as they are."""
    eos_overwrite: bool = True
    """The last token of templated text is replaced by EOS, after truncation; raw text is given one."""


@dataclass(frozen=True, slots=True)
class _Heads:
    value: Head
    prompt: Head | None
    gate: Gate
    l2: bool


def open_gpm(opening: Opening) -> GpmScorer:
    """Load a GPM; the checkpoint's language-model head stays unused.

    Raises:
        RmbenchError: heads whose widths do not fit together, no template, no EOS, a missing tensor, or a setting that
            this checkpoint has no use for.
    """
    wanted = opening.settings(GpmSettings)
    checkpoint, options, card = opening.checkpoint, opening.options, card_of(opening)
    placement = place(opening)
    head_dtype = placement.dtype if card.head_dtype == "model" else torch_dtype(card.head_dtype)
    heads = _heads(opening, wanted, head_dtype, placement.device)
    tokenizer = load_tokenizer(checkpoint, options)
    # Upstream cuts on the right, whatever the tokenizer says of itself.
    encoder = replace(text_encoder(opening, tokenizer), truncation_side=card.truncation_side or "right")
    text = GpmText(encoder, _eos(tokenizer, wanted, opening.name), heads.prompt is not None)
    model, unused = load_model(checkpoint, placement, options, drop=_NOT_THE_BACKBONES)
    settings = {
        **text.settings,
        "embedding": heads.value.width,
        "gate": heads.gate,
        "tau": wanted.tau,
        "l2": heads.l2,
        **placement.facts(model),
        "head_dtype": dtype_name(head_dtype),
        "unused_tensors": ", ".join(unused) or None,
    }
    scorer = GpmScorer(
        backbone=Backbone(model),
        text=text,
        facts=opening.facts(settings, _parameters(model, heads)),
        pad_id=pad_id(tokenizer, checkpoint),
        value=heads.value,
        prompt=heads.prompt,
        gate=heads.gate,
        tau=wanted.tau,
        l2=heads.l2,
        answers=frozenset({"reward", "margin"}) if heads.value.width == 1 else frozenset({"margin"}),
    )
    warm(lambda: scorer.forward(_with_prompts(throwaway(checkpoint, own_length(tokenizer, checkpoint)))))
    return scorer


def _heads(opening: Opening, wanted: GpmSettings, dtype: torch.dtype, device: torch.device) -> _Heads:
    """Both heads and what is done with them, each checked against the other and against the settings."""
    checkpoint, layout = opening.checkpoint, opening.family.layout
    value = _head(opening, VALUE_HEAD, dtype, device)
    width = value.width
    if width == 1:
        if wanted.gate is not None or wanted.l2:
            raise RmbenchError(
                f"{opening.name}: {VALUE_HEAD} has width 1 (Bradley-Terry), which has no gate and no l2."
            )
        return _Heads(value, None, "ones", l2=False)
    if width % 2:
        raise RmbenchError(f"{checkpoint.folder}: {VALUE_HEAD} has width {width}; it must be even, or 1.")
    gated = bool(weights_of(checkpoint, PROMPT_HEAD, layout))
    gate: Gate = wanted.gate or ("released" if gated else "ones")
    if gate != "ones" and not gated:
        raise RmbenchError(f"{opening.name}: the setting gate={gate} needs a {PROMPT_HEAD}; the checkpoint has none.")
    prompt = None if gate == "ones" else _head(opening, PROMPT_HEAD, dtype, device)
    if prompt is not None and prompt.width * 2 != width:
        raise RmbenchError(
            f"{checkpoint.folder}: {PROMPT_HEAD} has width {prompt.width}, expected {width // 2}, half that of "
            f"{VALUE_HEAD}."
        )
    return _Heads(value, prompt, gate, l2=wanted.l2 is not False)


def _head(opening: Opening, head: str, dtype: torch.dtype, device: torch.device) -> Head:
    """A head's layers; raises RmbenchError where one does not take what the layer before it gives."""
    checkpoint = opening.checkpoint
    weights = weights_of(checkpoint, head, opening.family.layout)
    if len(weights) > 1 and weights != [f"{head}.net.{2 * place}.weight" for place in range(len(weights))]:
        raise RmbenchError(f"{checkpoint.folder}: {head} must have its layers at .net.0, .net.2 ..., found {weights}.")
    biases = [name.removesuffix("weight") + "bias" for name in weights]
    found = read_tensors(checkpoint, [*weights, *(b for b in biases if b in checkpoint.tensors)], opening.options)
    entering = _hidden_size(checkpoint)
    layers = []
    for weight, bias in zip(weights, biases, strict=True):
        shape = found[weight].shape
        if len(shape) != 2 or entering not in (None, shape[1]):
            raise RmbenchError(f"{checkpoint.folder}: {weight} has shape {list(shape)}, expected [width, {entering}].")
        entering = shape[0]
        given = found.get(bias)
        layers.append((found[weight].to(device, dtype), None if given is None else given.to(device, dtype)))
    return Head(tuple(layers))


def _hidden_size(checkpoint: Checkpoint) -> int | None:
    """H as config.json says it; None where it calls it otherwise."""
    size = checkpoint.config.get("hidden_size") or checkpoint.config.get("n_embd")
    return size if isinstance(size, int) else None


def _eos(tokenizer: Any, wanted: GpmSettings, name: str) -> int | None:
    if not wanted.eos_overwrite:
        return None
    eos: object = tokenizer.eos_token_id
    if not isinstance(eos, int):
        raise RmbenchError(
            f"{name}: rows end in EOS, and the tokenizer has none. Pass --model-args eos_overwrite=false."
        )
    return eos


def _parameters(model: Any, heads: _Heads) -> int:
    """Numbers of the backbone and the heads, without the language-model head."""
    layers = heads.value.layers + (heads.prompt.layers if heads.prompt else ())
    return parameter_count(model) + sum(tensor.numel() for layer in layers for tensor in layer if tensor is not None)


def _with_prompts(batch: Batch) -> Batch:
    """The batch as if the first token of each row were its prompt."""
    return replace(batch, rows=tuple(replace(row, payload=0) for row in batch.rows))
