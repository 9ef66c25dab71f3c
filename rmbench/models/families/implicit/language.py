"""Log-probabilities of chosen tokens under a causal language model, without the logits of a whole batch in float32."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rmbench.models.backbone.backbone import Backbone
from rmbench.models.backbone.tensors import device_of, positions, tensors_of
from rmbench.models.protocols import Batch

__all__ = ["LanguageModel", "language_model", "token_logps"]

_LOGITS_AT_ONCE = 2**25
"""Float32 logits held at a time: 128 MiB."""

After = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class LanguageModel:
    """A causal language model of the library, in eval mode."""

    model: Any
    backbone: Backbone | None
    """Gives hidden states, whose logits are taken at the wanted positions alone; None: the model's own forward gives
    the logits of the whole batch, in its own dtype."""
    after: After
    """What the model does to its logits behind the output embedding (soft-capping, a scale)."""

    @property
    def way(self) -> str:
        """For the record: where logits are computed."""
        return "wanted positions" if self.backbone is not None else "whole batch"

    def logps(self, batch: Batch, answers: Sequence[range]) -> Tensor:
        """[N] float32 log-probabilities of the tokens at the indices `answers[b]` of row b's own tokens, row by row,
        each given all tokens before it. Indices begin at 1."""
        targets = [row.ids[index] for row, indices in zip(batch.rows, answers, strict=True) for index in indices]
        device = device_of(self.model)
        if not targets:
            return torch.empty(0, device=device)
        given = [range(indices.start - 1, indices.stop - 1) for indices in answers]
        return token_logps(self.logits(batch, given), torch.tensor(targets, dtype=torch.long, device=device))

    def logits(self, batch: Batch, given: Sequence[range]) -> Iterator[Tensor]:
        """Logits [n, V] of the token behind each of the indices `given[b]` of row b's own tokens, row by row, some
        positions at a time."""
        return self._whole(batch, given) if self.backbone is None else self.of(self.backbone.states(batch, given))

    def of(self, states: Tensor) -> Iterator[Tensor]:
        """Logits [n, V] of states [N, H], some at a time."""
        head = self.model.get_output_embeddings()
        yield from (self.after(head(part)) for part in _parts(states, head.weight.shape[0]))

    def next_logps(self, batch: Batch) -> Iterator[Tensor]:
        """[n, V] float32 log-probabilities of the next token behind each row, some rows at a time."""
        ends = [range(len(row.ids) - 1, len(row.ids)) for row in batch.rows]
        yield from (part.float().log_softmax(-1) for part in self.logits(batch, ends))

    def greedy(self, ids: Sequence[int], most: int) -> Iterator[tuple[int, Tensor]]:
        """The most probable token behind a row and the [V] float32 log-probabilities that it is from, then the next one
        behind that, `most` of them at most."""
        device, given = device_of(self.model), list(ids)
        new, memory = given, dict[str, Any]()
        for _ in range(most):
            output = self.model(input_ids=torch.tensor([new], device=device), use_cache=True, **memory)
            logps = output.logits[0, -1].float().log_softmax(-1)
            given.append(int(logps.argmax()))
            yield given[-1], logps
            # What a model remembers of its row is given back to it; one that remembers nothing reads the row again.
            cache = getattr(output, "past_key_values", None)
            new, memory = (given, {}) if cache is None else (given[-1:], {"past_key_values": cache})

    def _whole(self, batch: Batch, given: Sequence[range]) -> Iterator[Tensor]:
        """Logits [n, V] at the given indices, some positions of a row at a time."""
        logits = _forward(self.model, *tensors_of(batch, self.model))
        for row, (last, indices) in enumerate(zip(batch.last.tolist(), given, strict=True)):
            shift = last - len(batch.rows[row].ids) + 1
            yield from _parts(logits.logits[row, indices.start + shift : indices.stop + shift], logits.logits.shape[-1])


def token_logps(logits: Iterator[Tensor], targets: Tensor) -> Tensor:
    """[N] float32 log-softmax at `targets` [N] of logits that come in parts [n, V]: the target's logit less the
    logarithm of the sum of exponents, computed in float32 whatever the logits' dtype."""
    found: list[Tensor] = []
    start = 0
    for part in logits:
        full = part.float()
        chosen = targets[start : start + len(full)]
        found.append(full.gather(-1, chosen[:, None])[:, 0] - full.logsumexp(-1))
        start += len(full)
    return torch.cat(found)


def language_model(model: Any, trial: Batch) -> LanguageModel:
    """The model with the cheaper way to its logits, if that gives on a trial batch just what its own forward gives."""
    base = getattr(model, getattr(model, "base_model_prefix", "") or "-", None)
    head = model.get_output_embeddings()
    if isinstance(base, torch.nn.Module) and base is not model and isinstance(head, torch.nn.Linear):
        device = device_of(model)
        ids, mask = torch.from_numpy(trial.ids).to(device), torch.from_numpy(trial.mask).to(device)
        with torch.inference_mode():
            expected = _forward(model, ids, mask).logits
            raw = head(_forward(base, ids, mask).last_hidden_state)
            for after in _afters(model):
                if torch.equal(after(raw), expected.to(raw.dtype)):
                    return LanguageModel(model, Backbone(base), after)
    return LanguageModel(model, None, _unchanged)


def _forward(model: Any, ids: Tensor, mask: Tensor) -> Any:
    """Position ids are given because left padding would shift them."""
    given = {"position_ids": positions(mask)} if "position_ids" in inspect.signature(model.forward).parameters else {}
    return model(input_ids=ids, attention_mask=mask, use_cache=False, **given)


def _unchanged(logits: Tensor) -> Tensor:
    return logits


def _afters(model: Any) -> Iterator[After]:
    """What the library's models are known to do behind their output embedding, by what their configuration names."""
    config = model.config
    yield _unchanged
    cap = getattr(config, "final_logit_softcapping", None)  # Gemma 2
    if cap:
        yield lambda logits: torch.tanh(logits / cap) * cap
    scale = getattr(config, "logit_scale", None)  # Cohere
    if isinstance(scale, int | float):
        yield lambda logits: logits * scale
    divisor = getattr(config, "logits_scaling", None)  # Granite
    if divisor:
        yield lambda logits: logits / divisor


def _parts(rows: Tensor, vocabulary: int) -> Iterator[Tensor]:
    yield from torch.split(rows, max(1, _LOGITS_AT_ONCE // vocabulary))
