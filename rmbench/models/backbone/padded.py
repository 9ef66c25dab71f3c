"""Hidden states without packed attention: padded batches, single rows, and a prefix's state carried to its rows."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from rmbench.models.backbone.tensors import device_of, positions, tensors_of
from rmbench.models.protocols import Batch, Encoded, Group

__all__ = ["carried_states", "padded_states", "plain_states"]


def padded_states(model: Any, batch: Batch, wanted: Sequence[Sequence[int]]) -> Tensor:
    """[W, H]: the states of row b at the indices `wanted[b]` of its own tokens, row by row."""
    ids, mask = tensors_of(batch, model)
    # Position ids are given because left padding would shift them; the cache is off because it switches the library's
    # packing rules.
    given = {"position_ids": positions(mask)} if "position_ids" in _parameters(model) else {}
    hidden = model(input_ids=ids, attention_mask=mask, use_cache=False, **given).last_hidden_state
    shift = [int(last) - len(row.ids) + 1 for last, row in zip(batch.last, batch.rows, strict=True)]
    rows = [row for row, indices in enumerate(wanted) for _ in indices]
    columns = [shift[row] + index for row, indices in enumerate(wanted) for index in indices]
    states: Tensor = hidden[torch.tensor(rows, device=mask.device), torch.tensor(columns, device=mask.device)]
    return states


def plain_states(model: Any, rows: Sequence[Encoded], wanted: Sequence[Sequence[int]]) -> Tensor:
    """The same, each row alone: not padded, not masked, not shared."""
    device = device_of(model)
    found = []
    for row, indices in zip(rows, wanted, strict=True):
        hidden = model(input_ids=torch.tensor([row.ids], device=device), use_cache=False).last_hidden_state
        found.append(hidden[0, list(indices)])
    return torch.cat(found)


def carried_states(
    model: Any, rows: Sequence[Encoded], groups: Sequence[Group], wanted: Sequence[Sequence[int]]
) -> Tensor:
    """The same for models that carry a state (recurrent layers): the prefix once, its state copied to each row of the
    group, the rows' own tokens behind it with padding on the right."""
    found: list[Tensor] = []
    start = 0
    for group in groups:
        members, indices = rows[start : start + group.rows], wanted[start : start + group.rows]
        if group.prefix == 0 or group.rows == 1:
            found.append(plain_states(model, members, indices))
        else:
            found.append(_from_prefix(model, members, group.prefix, indices))
        start += group.rows
    return torch.cat(found)


def _from_prefix(model: Any, rows: Sequence[Encoded], prefix: int, wanted: Sequence[Sequence[int]]) -> Tensor:
    device = device_of(model)
    first = model(input_ids=torch.tensor([rows[0].ids[:prefix]], device=device), use_cache=True)
    cache = first.past_key_values
    cache.reorder_cache(torch.zeros(len(rows), dtype=torch.long, device=device))
    width = max(len(row.ids) for row in rows) - prefix
    ids = torch.zeros(len(rows), width, dtype=torch.long, device=device)
    mask = torch.zeros(len(rows), prefix + width, dtype=torch.long, device=device)
    for place, row in enumerate(rows):
        own = torch.tensor(row.ids[prefix:], device=device)
        ids[place, : len(own)] = own
        mask[place, : len(row.ids)] = 1
    at = (torch.arange(width, device=device) + prefix).expand(len(rows), -1)
    hidden = model(
        input_ids=ids, attention_mask=mask, position_ids=at, past_key_values=cache, use_cache=True
    ).last_hidden_state
    return torch.stack(
        [
            first.last_hidden_state[0, index] if index < prefix else hidden[place, index - prefix]
            for place, indices in enumerate(wanted)
            for index in indices
        ]
    )


def _parameters(module: torch.nn.Module) -> frozenset[str]:
    return frozenset(inspect.signature(module.forward).parameters)
