"""Opens a model in memory, a training run's own, as the checkpoint that would be saved of it: without a copy."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from rmbench.errors import RmbenchError
from rmbench.models.backbone.backbone import Backbone
from rmbench.models.backbone.rope import rope_by_row
from rmbench.models.backbone.tensors import device_of
from rmbench.models.card import Card
from rmbench.models.checkpoint.headers import Tensor
from rmbench.models.checkpoint.loading import load_tokenizer
from rmbench.models.checkpoint.opening import Family, Opening
from rmbench.models.checkpoint.placement import Placement
from rmbench.models.checkpoint.read import Checkpoint
from rmbench.models.checkpoint.weight_files import read_json
from rmbench.models.families.implicit.language import LanguageModel, language_model
from rmbench.models.families.implicit.open import implicit_scorer
from rmbench.models.families.implicit.scorer import ImplicitScorer
from rmbench.models.families.scalar.open import stock_scorer
from rmbench.models.families.scalar.stock import ScalarScorer
from rmbench.models.options import OpenOptions
from rmbench.models.text.open import own_length, throwaway

__all__ = ["LiveReference", "open_live", "renewed"]

_HEADS = {"stock": ("score",), "stock-encoder": ("classifier", "classifier.out_proj")}
"""Layout of a sequence classifier -> where its head is."""


@dataclass(frozen=True, slots=True)
class LiveReference:
    """The reference policy of an implicit reward, in memory."""

    model: Any
    """A causal language model; it may be the policy itself."""
    name: str
    """For the record."""
    switch: Callable[[], AbstractContextManager[object]] | None = None
    """Makes the policy the reference for as long as the block lasts; None where `model` is one of its own."""


def open_live(
    model: Any, tokenizer: Any, options: OpenOptions, name: str, reference: LiveReference | None = None
) -> ScalarScorer | ImplicitScorer:
    """A module as a Scorer, whose parameters it reads at every forward; call it, and what it gives, in eval mode.

    Args:
        model: a sequence classifier of transformers with one label, or a causal language model; adapters may be inside.
        tokenizer: what reads for it.
        options: how it is opened; what chooses or loads a checkpoint has no meaning here.
        name: the model's, in records.
        reference: of an implicit reward.

    Raises:
        RmbenchError: a module of another kind, a head of several labels, no template, an option that does not fit.
    """
    with TemporaryDirectory(prefix="rmbench-") as folder:
        opening = _opening(model, tokenizer, options, name, Path(folder))
        saved = load_tokenizer(opening.checkpoint, options)
        placement = Placement(device_of(model), _dtype(model), None)
        if opening.family.name == "scalar":
            scorer: ScalarScorer | ImplicitScorer = stock_scorer(opening, placement, model, saved, ())
        else:
            scorer = _implicit(opening, placement, model, saved, reference)
    # Weights that change have no fingerprint: nothing of them is cached or resumed.
    return replace(scorer, facts=replace(scorer.facts, fingerprint=""))


def renewed(scorer: ScalarScorer | ImplicitScorer, revision: str) -> ScalarScorer | ImplicitScorer:
    """The same model with the weights that it has now, in eval mode: what was found out about the weights before,
    such as whether rows can share prefixes, is forgotten."""
    facts = replace(scorer.facts, revision=revision)
    if isinstance(scorer, ScalarScorer):
        rope_by_row(scorer.model)
        return replace(scorer, facts=facts, backbone=_fresh(scorer.backbone))
    for each in (scorer.policy, *scorer.references):
        rope_by_row(each.model)
    policy, *references = (
        replace(each, backbone=_fresh(each.backbone)) for each in (scorer.policy, *scorer.references)
    )
    return replace(scorer, facts=facts, policy=policy, references=tuple(references))


def _fresh(backbone: Backbone | None) -> Backbone | None:
    return None if backbone is None else type(backbone)(backbone.model)


def _opening(model: Any, tokenizer: Any, options: OpenOptions, name: str, folder: Path) -> Opening:
    """The module as the folder that a trainer would save, but for its weights."""
    head = _head(model)
    model.config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    config = {**read_json(folder / "config.json"), "architectures": [type(model).__name__]}
    tensors = {}
    if head is not None:
        weight = _head_weight(model, head[1])
        tensors[f"{head[1]}.weight"] = Tensor("", tuple(weight.shape), str(weight.dtype))
    family = Family(
        "implicit" if head is None else "scalar",
        "implicit" if head is None else head[0],
        f"a {type(model).__name__} in memory",
    )
    checkpoint = Checkpoint(folder, config, tensors, safe=True)
    return Opening(name, "", "", checkpoint, family, Card(name="none", family=family.name, verified=False), options)


def _head(model: Any) -> tuple[str, str] | None:
    """The layout and the place of a classifier's head; None for a causal language model."""
    kind = type(model).__name__
    if kind.endswith("ForSequenceClassification"):
        for layout, places in _HEADS.items():
            for place in places:
                with contextlib.suppress(AttributeError):
                    if _head_weight(model, place).dim() == 2:
                        return layout, place
    elif kind.endswith("ForCausalLM") and model.get_output_embeddings() is not None:
        return None
    raise RmbenchError(
        f"{kind} cannot be evaluated in memory: expected a sequence classifier of transformers with one label "
        "(...ForSequenceClassification with score or classifier), or a causal language model (...ForCausalLM). Save a "
        "checkpoint and use `rmbench run`."
    )


def _head_weight(model: Any, place: str) -> torch.Tensor:
    weight: torch.Tensor = model.get_submodule(place).weight
    return weight


def _dtype(model: Any) -> torch.dtype:
    found: torch.dtype = next(each.dtype for each in model.parameters() if each.is_floating_point())
    return found


def _implicit(
    opening: Opening, placement: Placement, model: Any, tokenizer: Any, reference: LiveReference | None
) -> ImplicitScorer:
    trial = throwaway(opening.checkpoint, own_length(tokenizer, opening.checkpoint))
    policy = language_model(model, trial)
    models: tuple[LanguageModel, ...] = (policy,)
    if reference is not None and reference.switch is not None:
        policy = replace(policy, backbone=_one_thread(policy.backbone))
        models = (policy, _Switched(model, policy.backbone, policy.after, reference.switch))
    elif reference is not None:
        models = (policy, language_model(reference.model, trial))
    return implicit_scorer(opening, placement, models, tokenizer, {"reference": reference.name if reference else None})


@dataclass(frozen=True)
class _Switched(LanguageModel):
    """The reference that a policy is with its adapter switched."""

    switch: Callable[[], AbstractContextManager[object]]

    def logps(self, batch: Any, answers: Any) -> torch.Tensor:
        with self.switch():
            return super().logps(batch, answers)


class _OneThread(Backbone):
    """A backbone whose module is switched between forwards, so that two of them must not run at once."""

    threads = 1


def _one_thread(backbone: Backbone | None) -> Backbone | None:
    return None if backbone is None else _OneThread(backbone.model)
