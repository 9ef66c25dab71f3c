"""Opens a scalar reward model with a declared head."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, ConfigDict

from rmbench.errors import RmbenchError
from rmbench.models.backbone.backbone import Backbone
from rmbench.models.backbone.tensors import parameter_count
from rmbench.models.checkpoint.loading import load_model, load_tokenizer
from rmbench.models.checkpoint.opening import NoSettings, Opening
from rmbench.models.checkpoint.placement import dtype_name, place, torch_dtype
from rmbench.models.families.scalar.declared import DeclaredScorer
from rmbench.models.families.scalar.heads.build import HeadTensors, build_head
from rmbench.models.families.scalar.heads.declarations import Declaration, digest_of
from rmbench.models.families.scalar.heads.forward import MixRule
from rmbench.models.families.scalar.heads.ideal import IdealPointHead
from rmbench.models.families.scalar.heads.matching import lacking, unwanted
from rmbench.models.families.scalar.heads.schema import Layout
from rmbench.models.families.scalar.open_remote import open_remote, text_and_pooling
from rmbench.models.families.scalar.remote import RemoteScorer
from rmbench.models.families.scalar.two_texts import TwoTextScorer
from rmbench.models.text.open import card_of, pad_id, warmed

__all__ = ["open_declared"]


class MixtureSettings(BaseModel):
    """Settings of a mixture of Bradley-Terry heads, by a card's [settings] or --model-args."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rule: MixRule = "mixture"


def open_declared(opening: Opening, declaration: Declaration) -> DeclaredScorer | TwoTextScorer | RemoteScorer:
    """Load a scalar model by its declaration.

    Raises:
        RmbenchError: the checkpoint has not this layout; a head that does not fit together or not to the backbone; no
            template; an option that does not fit; Python files that the user does not trust.
    """
    layout = declaration.layout(opening.checkpoint.config)
    mix = opening.settings(MixtureSettings).rule if layout.mix == "probabilities" else None
    if mix is None:
        opening.settings(NoSettings)
    wrong = lacking(layout, opening.checkpoint) + unwanted(layout, opening.checkpoint)
    if wrong:
        raise RmbenchError(f"{opening.checkpoint.folder} is not of the layout {layout.name}: see {', '.join(wrong)}.")
    return open_remote(opening, layout) if layout.remote is not None else _open(opening, layout, mix)


def _open(opening: Opening, layout: Layout, mix: MixRule | None) -> DeclaredScorer | TwoTextScorer:
    checkpoint, options, placement = opening.checkpoint, opening.options, place(opening)
    asked = card_of(opening).head_dtype
    wanted = layout.head_dtype if asked == "model" else asked
    head_dtype = placement.dtype if wanted == "model" else torch_dtype(wanted)
    tensors = HeadTensors(checkpoint, options, head_dtype, placement.device)
    head = build_head(layout, tensors, mix)
    tokenizer = load_tokenizer(checkpoint, options)
    text, pooling = text_and_pooling(opening, layout, tokenizer)
    model, unused = load_model(
        checkpoint,
        placement,
        options,
        config=layout.backbone.config,
        rename=layout.backbone.rename,
        drop=_not_the_backbones(layout, tensors.taken),
    )
    _check_widths(tensors, model)
    settings = {
        **text.settings,
        **pooling.settings,
        **placement.facts(model),
        "head_dtype": dtype_name(head_dtype),
        "objectives": ", ".join(layout.objectives.names) or None,
        "rule": mix,
        "head_sha256": digest_of(layout, checkpoint),
        "unused_tensors": ", ".join(unused) or None,
    }
    facts = opening.facts(settings, parameter_count(model) + head.parameters)
    padding = pad_id(tokenizer, checkpoint)
    if isinstance(head, IdealPointHead) and layout.pooling.prompt is not None and layout.pooling.prompt.apart:
        two = TwoTextScorer(Backbone(model), head, head_dtype, text, facts, padding)
        return warmed(two, tokenizer, checkpoint)
    scorer = DeclaredScorer(
        backbone=Backbone(model),
        head=head,
        head_dtype=head_dtype,
        text=text,
        facts=facts,
        pad_id=padding,
        pooling=pooling,
        objectives=layout.objectives.names,
        answers=frozenset({"margin"} if mix == "mixture" else {"reward"}),
    )
    return warmed(scorer, tokenizer, checkpoint)


def _not_the_backbones(layout: Layout, taken: set[str]) -> str:
    """The head's own tensors, and what the layout drops."""
    names = [re.escape(name) for name in sorted(taken)]
    return "|".join([*names, layout.backbone.drop or "(?!)"])


def _check_widths(tensors: HeadTensors, model: Any) -> None:
    config = model.config.get_text_config()
    width = getattr(config, "word_embed_proj_dim", None) or config.hidden_size  # OPT-350M projects its states
    for where, reads in tensors.widths.items():
        if reads != width:
            raise RmbenchError(
                f"{where} reads states of {reads} numbers, the backbone gives {width}; the head was saved for another "
                "width."
            )
