"""A decoder's hidden states at chosen tokens, of padded batches and of batches in prefix groups."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from rmbench.models.backbone.choice import ATTENTIONS, attention_over, attentions
from rmbench.models.backbone.layout import lay_out
from rmbench.models.backbone.lean import lean_states, takes_lean
from rmbench.models.backbone.library import library_states, pack_attention, unpack_attention
from rmbench.models.backbone.padded import carried_states, padded_states, plain_states
from rmbench.models.backbone.rope import rope_by_length
from rmbench.models.backbone.switches import length_switches, windows
from rmbench.models.backbone.tensors import device_of
from rmbench.models.backbone.trial_rows import trial_rows
from rmbench.models.protocols import Batch, Encoded, Sharing

__all__ = ["Backbone", "BackboneSharing"]

_TOLERANCE = {torch.float32: 2e-4, torch.float64: 2e-4}
"""Largest difference from the plain forward, relative to the spread of the states; a wrong mask moves far more."""
_LOW_PRECISION = 0.2
"""The same in bfloat16 and float16, whose plain forwards differ among themselves by a tenth."""


class Backbone:
    """A backbone of the library with the ways it can be run.

    Rows in groups are run "lean" (an own loop for Llama's relatives), by the "library" with our attention, or with
    the prefix's state "carried" (recurrent layers). Which one is right for a model is found by the sharing trial on
    real rows; until then, and where none agrees with the plain forward, rows are padded. The first two attend in one of
    several ways (`choice.py`), which the trial tries too.
    """

    def __init__(self, model: Any, attention: str | None = None) -> None:
        """`attention`: the one way to attend that is tried; None: those that suit the device and the dtype.

        Raises:
            ValueError: there is no such way to attend.
        """
        if attention not in (None, *ATTENTIONS):
            raise ValueError(f"there is no attention {attention!r}: {', '.join(ATTENTIONS)}")
        self.model = model
        self.way: str | None = None
        """"lean", "library" or "carried"; None: padded."""
        self.attention: str | None = None
        """How rows in groups attend; None where they are padded or carried."""
        self._named = attention
        self._sharing: Sharing | None = None
        self._beyond = 0
        """How many of the model's windows were shorter than the longest row on which sharing was tried."""

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = device_of(self.model)
        return device

    @property
    def threads(self) -> int:
        """Batches that pay to be computed at once: one per core of a CPU, since threads inside an operation wait for
        their slowest; one on a GPU."""
        return len(os.sched_getaffinity(0)) if self.device.type == "cpu" and hasattr(os, "sched_getaffinity") else 1

    @property
    def chunk_tokens(self) -> int:
        """Tokens of a batch of rows in groups: what stays in a core's cache, or what fills a GPU."""
        return 1024 if self.device.type == "cpu" else 16_384

    def states(self, batch: Batch, wanted: Sequence[Sequence[int]]) -> Tensor:
        """[W, H] of the last layer: the states of row b at the indices `wanted[b]` of its own tokens, row by row."""
        if threading.current_thread() is not threading.main_thread() and self.threads > 1:
            torch.set_num_threads(1)  # of this thread alone; the other threads have the other cores
        if not batch.groups:
            return padded_states(self.model, batch, wanted)
        if self.way is None:
            raise RuntimeError("rows in groups were given to a backbone that does not share")
        return self._shared(self.way, self.attention, batch, wanted)

    def last(self, batch: Batch) -> Tensor:
        """[B, H] at each row's last token."""
        return self.states(batch, [[len(row.ids) - 1] for row in batch.rows])

    def sharing(self, batches: Sequence[Batch]) -> Sharing:
        """The sharing trial: whether rows in groups are computed correctly, on some of these; once, and once more when
        rows longer than one of the model's windows come for the first time."""
        longest = max((len(row.ids) for batch in batches for row in batch.rows), default=0)
        beyond = sum(longest > window for window in windows(self.model.config))
        if self._sharing is None or (self._sharing.shares and beyond > self._beyond):
            self.way, self.attention, self._beyond = None, None, beyond
            self._sharing = self._try(trial_rows(batches, windows(self.model.config)))
        return self._sharing

    def _shared(self, way: str, attention: str | None, batch: Batch, wanted: Sequence[Sequence[int]]) -> Tensor:
        if attention is None:
            return carried_states(self.model, batch.rows, batch.groups, wanted)
        layout = lay_out(batch.rows, batch.groups)
        places = [layout.places(row, indices) for row, indices in enumerate(wanted)]
        run = lean_states if way == "lean" else library_states
        return run(self.model, layout, places, attention_over(attention, layout))

    def _try(self, trials: Sequence[Batch]) -> Sharing:
        if not trials:
            return Sharing(False, "no rows to try sharing on")
        if rope := rope_by_length(self.model):
            return Sharing(False, f"its positions depend on the row's length ({rope})")
        refused: list[str] = []
        with torch.inference_mode():
            plain = [plain_states(self.model, trial.rows, _ends(trial.rows)) for trial in trials]
            for way, attention in self._ways(plain[0].dtype):
                name = way if attention in (None, "segments") else f"{way} by {attention}"
                reason = self._disagreement(way, attention, trials, plain)
                if reason is None:
                    self.way, self.attention = way, attention
                    return Sharing(True, f"{name}: {self._agreement}", tuple(refused))
                refused.append(f"{name}: {reason}")
        unpack_attention(self.model)
        return Sharing(False, "; ".join(refused) or "its attention cannot be told what to see")

    def _ways(self, dtype: torch.dtype) -> Iterator[tuple[str, str | None]]:
        """Each with a way to attend, the best first."""
        if getattr(self.model, "_is_stateful", False):
            yield "carried", None  # recurrent layers see what a mask hides
            return
        if _sees_ahead(self.model):
            return
        each = (self._named,) if self._named else attentions(self.device, dtype)
        if takes_lean(self.model):
            yield from (("lean", attention) for attention in each)
        if pack_attention(self.model):
            yield from (("library", attention) for attention in each)

    def _disagreement(
        self, way: str, attention: str | None, trials: Sequence[Batch], plain: Sequence[Tensor]
    ) -> str | None:
        """Why this way is not to be used; None where it agrees on every trial."""
        worst = 0.0
        for trial, expected in zip(trials, plain, strict=True):
            try:
                shared = self._shared(way, attention, trial, _ends(trial.rows))
            except Exception as error:  # a library's model may refuse in any way
                return f"{type(error).__name__}: {error}"[:200]
            spread = float(expected.float().std())
            worst = max(worst, float((shared.float() - expected.float()).abs().max()) / max(spread, 1e-12))
        allowed = _TOLERANCE.get(plain[0].dtype, _LOW_PRECISION)
        if not worst <= allowed:
            return f"shared and plain states differ by {worst:.1e} of their spread"
        self._agreement = f"shared and plain states agree to {worst:.0e} of their spread"
        return None


class BackboneSharing:
    """Threads, batch size and prefix sharing of a scorer, which are those of the backbones that it runs: several of
    them share prefixes, or none does."""

    why_whole: ClassVar[str] = "logits come from the model's own forward"
    """Why nothing is shared where a model has no backbone."""

    @property
    def backbones(self) -> Sequence[Backbone | None]:
        """All that a forward runs; None for a model that computes whole rows alone."""
        raise NotImplementedError

    @property
    def threads(self) -> int:
        """Batches that pay to be computed at once."""
        return min(1 if backbone is None else backbone.threads for backbone in self.backbones)

    @property
    def chunk_tokens(self) -> int:
        """Tokens of a batch in groups that suit the backbones best."""
        return min((backbone.chunk_tokens for backbone in self.backbones if backbone is not None), default=1)

    @property
    def length_switches(self) -> tuple[int, ...]:
        """Numbers of tokens after which a backbone computes in another way."""
        named = [length_switches(each.model.config) for each in self.backbones if each is not None]
        return tuple(sorted({length for lengths in named for length in lengths}))

    def sharing(self, batches: Sequence[Batch]) -> Sharing:
        """Whether prefixes are shared: every backbone tries it on these rows, and one that does not decides."""
        tried = [
            Sharing(False, self.why_whole) if backbone is None else backbone.sharing(batches)
            for backbone in self.backbones
        ]
        refused = tuple(dict.fromkeys(reason for sharing in tried for reason in sharing.refused))
        return next((sharing for sharing in tried if not sharing.shares), replace(tried[0], refused=refused))


def _ends(rows: Sequence[Encoded]) -> list[list[int]]:
    """A few tokens of each row, its last among them."""
    return [sorted({len(row.ids) // 2, len(row.ids) - 1}) for row in rows]


def _sees_ahead(model: Any) -> bool:
    """Whether a token's state depends on what follows it: encoders, and decoders so configured."""
    config = model.config
    return getattr(config, "is_causal", True) is False or bool(getattr(config, "use_bidirectional_attention", False))
