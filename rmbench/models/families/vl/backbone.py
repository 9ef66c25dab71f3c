"""Hidden states of a vision-language backbone: pictures are encoded once each, positions are given and never guessed,
and a prompt that rows share with its pictures is computed once.

Rows are laid end to end where that is known to give the library's states (`packed.py`), and go through its own forward
where not. What either is given is made here, so that the silent errors of calling the library otherwise cannot happen:
features are put in the order of the rows, positions are each row's own whatever the padding, and token types come from
the ids.
"""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Literal

import torch
from torch import Tensor

from rmbench.models.backbone.tensors import device_of
from rmbench.models.families.vl.features import Features
from rmbench.models.families.vl.packed import packed_states, tried
from rmbench.models.families.vl.patches import patches_as_products
from rmbench.models.families.vl.pictures import Pictures, Shown
from rmbench.models.families.vl.rows import Place, row_of, shared_length
from rmbench.models.protocols import Encoded, Sharing

__all__ = ["VisionBackbone"]

Positions = Literal["mrope", "sequential"]

_HELD = 2**30
"""Bytes of features that are kept."""
_TUPLES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "llava_onevision")
"""Backbones that take features as one tensor for each image."""
_CAUSAL = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "internvl", "llava_onevision", "idefics3")
"""Backbones whose prompts can be shared: no token sees a later one."""


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
    _tried: Sharing | None = None

    def __post_init__(self) -> None:
        patches_as_products(self.model)

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
    def packs(self) -> bool:
        """Whether rows are laid end to end, and a prompt that they share is computed once."""
        return self._trial.shares

    @property
    def packing(self) -> Sharing:
        """See `PackingScorer.packing`."""
        return self._trial if self.share or not self.packs else Sharing(False, "")

    @property
    def _trial(self) -> Sharing:
        if self._tried is None:
            ahead = Sharing(False, f"tokens of a {self.kind} model see later ones")
            self._tried = tried(self.model, axes=self.has_axes) if self.causal else ahead
        return self._tried

    def states(self, rows: Sequence[Encoded], ids: Tensor, mask: Tensor) -> Tensor:
        """[W, H]: the states at the spots of each row, row by row.

        Args:
            rows: B rows with a `VisionRow` each.
            ids: [B, T], padded on either side.
            mask: [B, T], 1 on the rows' own tokens.
        """
        if self.packs:
            return packed_states(
                self.model,
                rows,
                shared_length(rows) if self.share else 0,
                [self.row_positions(row) for row in rows],
                self.features,
                self._tokens,
            )
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

    def written(
        self,
        row: Encoded,
        logits: Callable[[Tensor], Tensor],
        ends: Container[int],
        most: int,
        draw: Callable[[Tensor], int] = lambda logits: int(logits.argmax()),
    ) -> list[int]:
        """The tokens that decoding adds to a row, up to one of `ends`, which is none of them, or `most`.

        Args:
            row: with a `VisionRow`.
            logits: states [H] -> [V].
            ends: tokens.
            most: how many tokens at most.
            draw: logits [V] -> the next token; the most probable one unless given.
        """
        device = device_of(self.model)
        ids = torch.tensor([row.ids], device=device)
        position = self.row_positions(row).unsqueeze(-2).to(device)
        given = {**self._types(ids), **self._seen(row_of(row).places)}
        found: list[int] = []
        cache = None
        while len(found) < most:
            mask = torch.ones(1, len(row.ids) + len(found), dtype=torch.long, device=device)
            out = self.model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=position,
                past_key_values=cache,
                use_cache=True,
                **given,
            )
            token = draw(logits(out.last_hidden_state[0, -1]))
            if token in ends:
                break
            found.append(token)
            cache, given = out.past_key_values, {}
            ids = torch.tensor([[token]], device=device)
            position = position.amax() + torch.ones_like(position[..., -1:])
        return found

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
    def _tokens(self) -> dict[str, int]:
        """Modality -> the token that stands for a place of it."""
        names = ("image", "video") if self.pictures.videos else ("image",)
        found = {name: getattr(self.pictures.processor, f"{name}_token_id", None) for name in names}
        return {name: token for name, token in found.items() if token is not None}

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


def _at(hidden: Tensor, wanted: Sequence[Sequence[int]]) -> Tensor:
    """[W, H] of states [B, T, H] at the places `wanted[b]` of row b, row by row."""
    found = [(row, place) for row, places in enumerate(wanted) for place in places]
    rows, places = torch.tensor(found, dtype=torch.long, device=hidden.device).reshape(-1, 2).unbind(1)
    return hidden[rows, places]


def _flat(values: Any) -> Tensor:
    """Features of one medium as [places, H], whether the library gives one tensor or one for each of its tiles."""
    tensor = torch.cat(list(values)) if isinstance(values, (list, tuple)) else values
    return tensor.reshape(-1, tensor.shape[-1])
