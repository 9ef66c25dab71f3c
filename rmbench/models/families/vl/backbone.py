"""Hidden states of a vision-language backbone: pictures are encoded once each, positions are given and never guessed,
and a prompt that rows share with its pictures is computed once.

The library's own forward does all of the language part; what it is given is made here, so that the silent errors of
calling it otherwise cannot happen: features are put in the order of the rows, positions are each row's own whatever the
padding, and token types come from the ids.
"""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Literal

import torch
from torch import Tensor

from rmbench.models.backbone.tensors import device_of
from rmbench.models.families.vl.pictures import Pictures, Shown
from rmbench.models.families.vl.rows import Place, row_of, shared_length
from rmbench.models.protocols import Encoded

__all__ = ["Features", "VisionBackbone"]

Positions = Literal["mrope", "sequential"]

_HELD = 2**30
"""Bytes of features that are kept."""
_TUPLES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "llava_onevision")
"""Backbones that take features as one tensor for each image."""
_CAUSAL = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "internvl", "llava_onevision", "idefics3")
"""Backbones whose prompts can be shared: no token sees a later one."""


@dataclass(frozen=True)
class Features:
    """What the vision tower makes of a medium."""

    pooled: Tensor
    """[places, H]"""
    deep: tuple[Tensor, ...] = ()
    """Of earlier layers, for those of the language model that take them (Qwen3-VL): each [places, H]."""

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(each.numel() * each.element_size() for each in (self.pooled, *self.deep))


@dataclass
class VisionBackbone:
    """A transformers vision-language model without its language-model head."""

    model: Any
    pictures: Pictures
    positions: Positions
    share: bool = True
    """Whether what rows of a batch share is computed once."""
    encoded: int = 0
    """How many pictures the vision tower was given."""
    _held: OrderedDict[str, Features] = field(default_factory=OrderedDict)
    _placed: dict[str, Tensor] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The model's type."""
        return str(self.model.config.model_type)

    @property
    def has_axes(self) -> bool:
        """Whether positions have axes of time, height and width."""
        return hasattr(self.model, "get_rope_index")

    @property
    def causal(self) -> bool:
        """Whether no token sees a later one."""
        return self.kind in _CAUSAL

    @property
    def shares(self) -> bool:
        """Whether shared prompts are computed once."""
        return self.share and self.causal

    def states(self, rows: Sequence[Encoded], ids: Tensor, mask: Tensor) -> Tensor:
        """[W, H]: the states at the spots of each row, row by row.

        Args:
            rows: B rows with a `VisionRow` each.
            ids: [B, T], padded on either side.
            mask: [B, T], 1 on the rows' own tokens.
        """
        shared = shared_length(rows) if self.shares else 0
        if shared:
            return self._from_shared(rows, shared)
        device = device_of(self.model)
        places = mask.bool()
        position = torch.zeros((*self._axes, *ids.shape), dtype=torch.long)
        for index, row in enumerate(rows):
            position[..., index, places[index]] = self.row_positions(row)
        hidden = self.model(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            position_ids=position.to(device),
            use_cache=False,
            **self._types(ids),
            **self._seen([place for row in rows for place in row_of(row).places]),
        ).last_hidden_state
        first = places.int().argmax(dim=1).tolist()
        return _at(
            hidden, [[start + spot for spot in row_of(row).spots] for start, row in zip(first, rows, strict=True)]
        )

    def row_positions(self, row: Encoded) -> Tensor:
        """[3, T], or [T] of a backbone without axes, of a row by itself."""
        length = len(row.ids)
        plain = torch.arange(length)
        if self.kind == "paligemma":
            return plain + 1
        if not self.has_axes:
            return plain
        if self.positions == "sequential" or not row_of(row).places:
            return plain.expand(3, length)
        if row.key not in self._placed:
            if len(self._placed) > 4096:
                self._placed.clear()
            self._placed[row.key] = self._mrope(row)
        return self._placed[row.key]

    def features(self, shown: Shown) -> Features:
        """The features of a medium, from the vision tower or kept from an earlier row."""
        key = shown.key
        if key in self._held:
            self._held.move_to_end(key)
            return self._held[key]
        found = self._encode(shown)
        self._held[key] = found
        while sum(each.size for each in self._held.values()) > _HELD and len(self._held) > 1:
            self._held.popitem(last=False)
        return found

    @property
    def _axes(self) -> tuple[int, ...]:
        return (3,) if self.has_axes else ()

    def _mrope(self, row: Encoded) -> Tensor:
        """The library's positions of time, height and width: [3, T]."""
        ids = torch.tensor([row.ids])
        processor = self.pictures.processor
        types = (ids == processor.image_token_id).int() + 2 * (ids == processor.video_token_id).int()
        inputs = [self.pictures.process(place.shown.medium).inputs for place in row_of(row).places]
        names = ("image_grid_thw", "video_grid_thw", "second_per_grid_ts")
        held = {name: [each[name] for each in inputs if name in each] for name in names}
        given = {name: torch.cat(values) for name, values in held.items() if values}
        found: Tensor = self.model.get_rope_index(input_ids=ids, mm_token_type_ids=types, **given)[0]
        return found[:, 0]

    def _encode(self, shown: Shown) -> Features:
        device = device_of(self.model)
        video = shown.modality == "video"
        function = self.model.get_video_features if video else self.model.get_image_features
        known = inspect.signature(inspect.unwrap(function)).parameters
        inputs = self.pictures.process(shown.medium, several=shown.several).inputs
        made = function(**{name: value.to(device) for name, value in inputs.items() if name in known}, return_dict=True)
        self.encoded += 1
        pooled = _flat(made.pooler_output)
        pooled = pooled[: len(pooled) // (1 + shown.several)]
        if len(pooled) != shown.places:
            raise RuntimeError(f"{len(pooled)} features for {shown.places} places of {shown.medium.path}")
        deep = getattr(made, "deepstack_features", None) or ()
        return Features(pooled, tuple(map(_flat, deep)))

    def _seen(self, places: Sequence[Place]) -> Mapping[str, Any]:
        """The argument with the features of media, in the order of the rows."""
        outputs = {}
        for modality in ("image", "video"):
            found = [self.features(place.shown) for place in places if place.shown.modality == modality]
            if found:
                pooled: Any = tuple(each.pooled for each in found)
                if self.kind not in _TUPLES:
                    pooled = torch.cat(pooled)
                elif self.kind == "llava_onevision" and modality == "video":
                    pooled = torch.cat(pooled)[None]
                deep = [tuple(layer) for layer in zip(*(each.deep for each in found), strict=True)]
                outputs[modality] = SimpleNamespace(pooler_output=pooled, deepstack_features=deep)
        return {"mm_encoder_outputs": outputs} if outputs else {}

    def _types(self, ids: Tensor) -> Mapping[str, Tensor]:
        """PaliGemma's token types: all of a row is its prefix, whose tokens see each other both ways."""
        if self.kind != "paligemma":
            return {}
        return {"token_type_ids": torch.zeros_like(ids, device=device_of(self.model))}

    def _from_shared(self, rows: Sequence[Encoded], shared: int) -> Tensor:
        """The states of rows whose first tokens and pictures are the same: those once, then each row's own behind
        them, padded on the right."""
        device = device_of(self.model)
        positions = [self.row_positions(row) for row in rows]
        prefix = torch.tensor([rows[0].ids[:shared]], device=device)
        before = [place for place in row_of(rows[0]).places if place.stop <= shared]
        first = self.model(
            input_ids=prefix,
            attention_mask=torch.ones_like(prefix),
            position_ids=positions[0][..., :shared].unsqueeze(-2).to(device),
            use_cache=True,
            **self._seen(before),
        )
        cache = first.past_key_values
        cache.reorder_cache(torch.zeros(len(rows), dtype=torch.long, device=device))
        width = max(len(row.ids) for row in rows) - shared
        ids = torch.zeros(len(rows), width, dtype=torch.long)
        mask = torch.zeros(len(rows), shared + width, dtype=torch.long)
        position = torch.zeros((*self._axes, len(rows), width), dtype=torch.long)
        for index, row in enumerate(rows):
            own = len(row.ids) - shared
            ids[index, :own] = torch.tensor(row.ids[shared:])
            mask[index, : shared + own] = 1
            position[..., index, :own] = positions[index][..., shared:]
        hidden = self.model(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            position_ids=position.to(device),
            past_key_values=cache,
            use_cache=True,
            **self._seen([place for row in rows for place in row_of(row).places if place.start >= shared]),
        ).last_hidden_state
        return _at(hidden, [[spot - shared for spot in row_of(row).spots] for row in rows])


def _at(hidden: Tensor, wanted: Sequence[Sequence[int]]) -> Tensor:
    """[W, H] of states [B, T, H] at the places `wanted[b]` of row b, row by row."""
    found = [(row, place) for row, places in enumerate(wanted) for place in places]
    rows, places = torch.tensor(found, dtype=torch.long, device=hidden.device).reshape(-1, 2).unbind(1)
    return hidden[rows, places]


def _flat(values: Any) -> Tensor:
    """Features of one medium as [places, H], whether the library gives one tensor or one for each of its tiles."""
    tensor = torch.cat(list(values)) if isinstance(values, (list, tuple)) else values
    return tensor.reshape(-1, tensor.shape[-1])
