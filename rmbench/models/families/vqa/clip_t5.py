"""CLIP-FlanT5, VQAScore's own model: a T5 that reads a CLIP tower's patches between a system's words and a question.

Source: linzhiqiu/t2v_metrics (clip_t5_model.py, clip_t5.py, mm_utils.py) and its training code linzhiqiu/CLIP-FlanT5.
Each stretch of text is tokenised by itself, so that T5's </s> stands before the image as well. Names of tensors are
those that the code gives; the released files were not seen.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from rmbench.errors import RmbenchError
from rmbench.models.backbone.tensors import parameter_count
from rmbench.models.checkpoint.loading import load_model
from rmbench.models.checkpoint.opening import Opening
from rmbench.models.checkpoint.placement import Placement
from rmbench.models.checkpoint.state_dict import missing_and_foreign, read_tensors
from rmbench.models.families.vqa.seq2seq import Asked

__all__ = ["AFTER", "BEFORE", "AskedClipT5", "Parts", "load_clip_t5"]

BEFORE = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, "
    "and polite answers to the user's questions. USER: "
)
"""Upstream's words before the image."""
AFTER = "\n{question} ASSISTANT: "
"""Behind it."""
_TOWER, _PROJECTOR = "vision_tower.", "mm_projector."
_DROPPED = r"(vision_tower|mm_projector)\..*|embed_tokens\.weight"
"""Names that are no T5's; the last is upstream's second name of the encoder's embeddings."""
_HEAD = 64
"""Channels of a head of OpenAI's towers."""


@dataclass(frozen=True)
class Parts:
    """What the checkpoint holds, in eval mode."""

    t5: Any
    tower: Any
    """transformers' CLIPVisionModel."""
    projector: tuple[Tensor, ...]
    """Two linear layers with GELU between: weight, bias, weight, bias."""
    layer: int
    """Whose states are read, of all hidden states."""
    unused: tuple[str, ...]
    """Names of tensors that nothing reads."""

    @property
    def parameters(self) -> int:
        """How many numbers."""
        return parameter_count(self.t5, self.tower) + sum(each.numel() for each in self.projector)


@dataclass(frozen=True)
class AskedClipT5(Asked):
    """The question behind the image, which stands behind upstream's words."""

    parts: Parts
    before: tuple[int, ...]
    """Tokens of the text before the image."""
    tokens: int
    """Of the tokenizer: upstream cuts T5's output layer to them."""

    @property
    def vision(self) -> Any:
        return self.parts.tower

    @property
    def language(self) -> Any:
        return self.parts.t5

    @property
    def vocabulary(self) -> int:
        return self.tokens

    def images(self, pixels: Tensor) -> Tensor:
        """[B, patches, H] of pixels [B, 3, S, S]: what the language model sees of an image."""
        states = self.vision(pixel_values=pixels, output_hidden_states=True).hidden_states[self.parts.layer][:, 1:]
        w0, b0, w1, b1 = self.parts.projector
        return F.linear(F.gelu(F.linear(states, w0, b0)), w1, b1)

    def rewards(self, ids: Tensor, mask: Tensor, images: Tensor) -> Tensor:
        before = torch.tensor(self.before, device=ids.device).expand(len(ids), -1)
        read = self.embedded(torch.cat([before, ids], dim=1))
        count = before.shape[1]
        inputs = torch.cat([read[:, :count], images.to(read.device, read.dtype), read[:, count:]], dim=1)
        ahead = torch.ones(len(ids), count + images.shape[1], dtype=mask.dtype, device=mask.device)
        return self.answered(inputs, torch.cat([ahead, mask], dim=1))


def load_clip_t5(opening: Opening, placement: Placement) -> Parts:
    """Read the parts of a checkpoint.

    Raises:
        RmbenchError: a tensor is missing, of another shape, or foreign; a projector or a layer of another kind.
    """
    checkpoint, options = opening.checkpoint, opening.options
    where, config = str(checkpoint.folder), checkpoint.config
    expected = {"mm_projector_type": "mlp2x_gelu", "mm_vision_select_feature": "patch"}
    for key, value in expected.items():
        if config.get(key, value) != value:
            raise RmbenchError(f"{where}: config.json has {key} {config[key]!r}, and only {value!r} is known here.")
    layer = config.get("mm_vision_select_layer", -2)
    if not isinstance(layer, int) or isinstance(layer, bool):
        raise RmbenchError(f"{where}: config.json has mm_vision_select_layer {layer!r}, expected a whole number.")
    kept = [name for name in checkpoint.tensors if name.startswith(_TOWER)]
    if not kept:
        raise RmbenchError(
            f"{where}: there is no tensor of {_TOWER}*: the model was saved without its CLIP tower "
            f"({config.get('mm_vision_tower')}). Save it with the tower, as its class does."
        )
    t5, unused = load_model(
        checkpoint, placement, options, kind="AutoModelForSeq2SeqLM", config={"model_type": "t5"}, drop=_DROPPED
    )
    tower = _tower(read_tensors(checkpoint, kept, options), where).to(placement.dtype)
    names = [f"{_PROJECTOR}{place}.{kind}" for place in (0, 2) for kind in ("weight", "bias")]
    found = read_tensors(checkpoint, names, options)
    projector = tuple(found[name].to(placement.device, placement.dtype) for name in names)
    width, hidden = tower.config.hidden_size, t5.config.d_model
    shapes = [(hidden, width), (hidden,), (hidden, hidden), (hidden,)]
    if [tuple(each.shape) for each in projector] != shapes:
        raise RmbenchError(f"{where}: {_PROJECTOR[:-1]} does not lead from {width} channels to {hidden}.")
    if not -tower.config.num_hidden_layers - 1 <= layer <= tower.config.num_hidden_layers:
        raise RmbenchError(f"{where}: mm_vision_select_layer is {layer}, of {tower.config.num_hidden_layers} layers.")
    return Parts(t5, placement.move(tower, where).eval(), projector, layer, unused)


def _tower(stored: Mapping[str, Tensor], where: str) -> Any:
    """OpenAI's CLIP tower of the shapes that are stored."""
    from transformers import CLIPVisionConfig, CLIPVisionModel

    state = {re.sub(r"^(vision_tower\.)+(vision_model\.)?", "", name): value for name, value in stored.items()}
    state = {name: value for name, value in state.items() if not name.endswith("position_ids")}
    patch, places = state.get("embeddings.patch_embedding.weight"), state.get("embeddings.position_embedding.weight")
    middle = state.get("encoder.layers.0.mlp.fc1.weight")
    if patch is None or places is None or middle is None or patch.dim() != 4:
        raise RmbenchError(f"{where}: {_TOWER}* has no embeddings of a CLIP tower, or no layers.")
    side = round((places.shape[0] - 1) ** 0.5)
    if side * side != places.shape[0] - 1 or patch.shape[0] % _HEAD:
        raise RmbenchError(
            f"{where}: the tower has {places.shape[0] - 1} patches and {patch.shape[0]} channels; expected a square, "
            f"and heads of {_HEAD}."
        )
    config = CLIPVisionConfig(
        hidden_size=patch.shape[0],
        intermediate_size=middle.shape[0],
        num_hidden_layers=len({name.split(".")[2] for name in state if name.startswith("encoder.layers.")}),
        num_attention_heads=patch.shape[0] // _HEAD,
        image_size=side * patch.shape[-1],
        patch_size=patch.shape[-1],
        hidden_act="quick_gelu",
    )
    model = CLIPVisionModel(config)
    own = {re.sub(r"^vision_model\.", "", name): name for name in model.state_dict() if "position_ids" not in name}
    needed = {name: tuple(model.state_dict()[full].shape) for name, full in own.items()}
    missing_and_foreign({name: tuple(value.shape) for name, value in state.items()}, needed, where, "CLIP's tower")
    model.load_state_dict({own[name]: value.float() for name, value in state.items()}, strict=False)
    return model
