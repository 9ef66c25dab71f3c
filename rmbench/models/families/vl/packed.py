"""Rows with pictures end to end in one line, a prompt that all of them share once: nothing is padded or computed twice.

The library's modules hold the weights and the loop over them is the house's own (`models/backbone/lean.py`), given the
pictures' features and each row's own positions. Whether the result is the library's is tried out before it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from rmbench.models.backbone.layout import Layout, lay_out
from rmbench.models.backbone.lean import lean_layers, takes_lean
from rmbench.models.backbone.switches import windows
from rmbench.models.families.vl.features import Features
from rmbench.models.families.vl.pictures import Shown
from rmbench.models.families.vl.rows import row_of
from rmbench.models.protocols import Encoded, Group, Sharing

__all__ = ["packed_states", "text_model", "tried"]

_TOLERANCE = {torch.float32: 2e-4, torch.float64: 2e-4}
"""Largest difference from the library's forward, relative to the spread of the states."""
_LOW_PRECISION = 0.2
_TRIAL = (24, (9, 13))
"""Tokens of the trial's prefix, and of each row behind it."""


def text_model(model: Any) -> Any:
    """The part that reads texts."""
    return model.text_model if hasattr(model, "text_model") else model.language_model


def packed_states(
    model: Any,
    rows: Sequence[Encoded],
    shared: int,
    positions: Sequence[Tensor],
    features: Callable[[Shown], Features],
    tokens: dict[str, int],
) -> Tensor:
    """[W, H]: the states at the spots of each row, row by row.

    Args:
        model: whose `text_model` was `tried` and agrees.
        rows: with a `VisionRow` each.
        shared: how many first tokens they share, pictures included.
        positions: of each row by itself: [3, T], or [T] of a model without axes.
        features: of a medium.
        tokens: modality -> the token that stands for a place of it.
    """
    language = text_model(model)
    groups = [Group(shared, len(rows))] if shared else [Group(0, 1)] * len(rows)
    layout = lay_out(rows, groups)
    embed = language.embed_tokens
    device = embed.weight.device
    x = embed(torch.from_numpy(layout.ids).to(device))
    found = _pictures(rows, layout, features, tokens)
    at = torch.tensor([place for places, _ in found for place in places], dtype=torch.long, device=device)
    deep: list[Tensor] = []
    if found:
        x = x.index_copy(0, at, torch.cat([each.pooled for _, each in found]).to(device, x.dtype))
        layers = zip(*(each.deep for _, each in found), strict=True)
        deep = [torch.cat(layer).to(device, x.dtype) for layer in layers]
    places = [layout.places(row, row_of(each).spots) for row, each in enumerate(rows)]
    return lean_layers(language, layout, places, x, _in_line(positions, layout).to(device), deep, at)


def tried(model: Any, *, axes: bool) -> Sharing:
    """Whether the packed forward gives the library's states: tried on rows of random numbers that share a beginning."""
    language = text_model(model)
    if not takes_lean(language):
        return Sharing(False, f"the layers of {type(language).__name__} are not known")
    if windows(language.config):
        return Sharing(False, "its attention has a window")
    try:
        with torch.inference_mode():
            ours, expected = _trial(model, language, axes)
    except Exception as error:  # a model, or a kernel of its device, may refuse in any way
        return Sharing(False, f"{type(error).__name__}: {error}"[:200])
    worst = float((ours - expected).abs().max()) / max(float(expected.std()), 1e-12)
    if not worst <= _TOLERANCE.get(language.embed_tokens.weight.dtype, _LOW_PRECISION):
        return Sharing(False, f"packed and plain states differ by {worst:.1e} of their spread")
    return Sharing(True, f"packed and plain states agree to {worst:.0e} of their spread")


def _trial(model: Any, language: Any, axes: bool) -> tuple[Tensor, Tensor]:
    """The states of two rows by the packed forward and by the library's, each [W, H] in float32."""
    weight: Tensor = language.embed_tokens.weight
    prefix, owns = _TRIAL
    total = prefix + sum(owns)
    generator = torch.Generator().manual_seed(0)

    def drawn(count: int) -> Tensor:
        return torch.randn(count, weight.shape[1], generator=generator).to(weight) * weight.float().std().to(weight)

    x = drawn(total)
    lines = [
        [*range(prefix), *range(start, start + own)]
        for start, own in zip((prefix, prefix + owns[0]), owns, strict=True)
    ]
    steps = torch.randint(0, 3, (3, total), generator=generator)
    positions = [steps[:, line].cumsum(1) if axes else torch.arange(len(line)) for line in lines]
    seen = torch.arange(4, 12, device=weight.device)
    deep = [drawn(len(seen)) for _ in range(_deep_layers(model))]
    ends = [[len(line) - 4, len(line) - 1] for line in lines]
    layout = lay_out([Encoded(key="", size=len(line), ids=(0,) * len(line)) for line in lines], [Group(prefix, 2)])
    places = [layout.places(row, wanted) for row, wanted in enumerate(ends)]
    ours = lean_layers(language, layout, places, x, _in_line(positions, layout).to(weight.device), deep, seen)
    expected = []
    for line, own, wanted in zip(lines, positions, ends, strict=True):
        more: dict[str, Any] = {}
        if deep:
            mask = torch.zeros(1, len(line), dtype=torch.bool, device=weight.device)
            mask[0, seen] = True
            more = {"visual_pos_masks": mask, "deepstack_visual_embeds": deep}
        own = own[..., None, :].to(weight.device)
        hidden = language(inputs_embeds=x[None, line], position_ids=own, use_cache=False, **more).last_hidden_state
        expected.append(hidden[0, wanted])
    return ours.float(), torch.cat(expected).float()


def _pictures(
    rows: Sequence[Encoded], layout: Layout, features: Callable[[Shown], Features], tokens: dict[str, int]
) -> list[tuple[list[int], Features]]:
    """Each medium's packed positions with its features; those of the shared prompt once."""
    found = []
    for number, row in enumerate(rows):
        own = int(layout.prefixes[number])
        for place in row_of(row).places:
            if number and place.start < own:
                continue
            token = tokens[place.shown.modality]
            indices = [place.start + index for index, each in enumerate(place.shown.ids) if each == token]
            found.append((layout.places(number, indices), features(place.shown)))
    return found


def _in_line(positions: Sequence[Tensor], layout: Layout) -> Tensor:
    """[N], or [3, N]: the positions of the packed tokens."""
    shared = int(layout.prefixes[0])
    first = [positions[0][..., :shared]]
    return torch.cat([*first, *(each[..., shared:] for each in positions)], -1)


def _deep_layers(model: Any) -> int:
    """How many layers of the language model are given features of earlier layers of the vision tower."""
    vision = getattr(model.config, "vision_config", None)
    return len(getattr(vision, "deepstack_visual_indexes", None) or ())
