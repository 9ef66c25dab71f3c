"""Opens a sentence embedder in transformers layout."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any, get_args

from rmbench.errors import RmbenchError
from rmbench.models.baselines.relevance import EmbeddedText, Pooling, RelevanceScorer, RelevanceSettings
from rmbench.models.card import Card
from rmbench.models.checkpoint.loading import load_model, load_tokenizer, warm
from rmbench.models.checkpoint.opening import Family, Opening
from rmbench.models.checkpoint.placement import place
from rmbench.models.checkpoint.read import Checkpoint, read_json
from rmbench.models.options import OpenOptions
from rmbench.models.text.open import own_length, pad_id, throwaway
from rmbench.models.text.tokens import affixes
from rmbench.untrusted.files import MIB, read_text

__all__ = ["open_relevance"]

_POOLER = r"(.*\.)?pooler\..*"
"""A layer for classifiers, which many embedders' checkpoints lack; its output is not read."""
_HEAD = r"(score|classifier|classification_head)\..*"
"""The head of a classifier, whose states are read before it."""

_MODES: dict[str, Pooling] = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_lasttoken": "last",
}
"""Keys of sentence-transformers' 1_Pooling/config.json."""

_PLAIN_MODULES = ("Transformer", "Pooling", "Normalize")


def open_relevance(wanted: RelevanceSettings, options: OpenOptions) -> RelevanceScorer:
    """Load the embedder.

    Raises:
        RmbenchError: it is not there, holds no encoder, or ends in layers that are not read here.
    """
    opening, embedder, pooling = _opening(wanted, options)
    checkpoint = opening.checkpoint
    placement = place(opening)
    tokenizer = load_tokenizer(checkpoint, options)
    before, after = affixes(tokenizer)
    limit = _limit(checkpoint, own_length(tokenizer, checkpoint))
    length = options.max_length or limit
    if length is not None and length <= len(before) + len(after):
        raise RmbenchError(f"--max-length {length} leaves no room for text.")
    text = EmbeddedText(tokenizer, before, after, length, wanted.truncation_side)
    model, unused = load_model(checkpoint, placement, options, drop=_HEAD, spare=_POOLER)
    settings = {
        **wanted.model_dump(),
        "embedder": embedder,
        "pooling": pooling,
        "max_length": length,
        **placement.facts(model),
        "unused_tensors": ", ".join(unused) or None,
    }
    parameters = sum(each.numel() for name, each in model.named_parameters() if not re.fullmatch(_POOLER, name))
    facts = opening.facts(settings, parameters)
    scorer = RelevanceScorer(model, text, facts, pad_id(tokenizer, checkpoint), pooling, wanted)
    warm(lambda: scorer.forward(throwaway(checkpoint, limit)))
    return scorer


def _opening(wanted: RelevanceSettings, options: OpenOptions) -> tuple[Opening, str, Pooling]:
    """The embedder's files as what is opened, its name, and how its states are pooled."""
    from rmbench.models.locate import locate
    from rmbench.models.located import digest_of, read_located

    found = locate(wanted.embedder, options)
    if found is None:
        raise RmbenchError(f"--model-args embedder={wanted.embedder}: expected a folder or a hub id (org/name).")
    checkpoint = read_located(found, options)
    if checkpoint.config.get("is_encoder_decoder"):
        raise RmbenchError(f"{found.folder} is an encoder with a decoder, which is no sentence embedder.")
    _check_modules(checkpoint)
    digest = digest_of(found, checkpoint)
    name = "baseline:relevance"
    pinned = hashlib.sha256(f"{digest} {wanted.model_dump_json(exclude={'embedder'})}".encode()).hexdigest()
    opening = Opening(
        name=name,
        revision=pinned[:8],
        digest=digest,
        checkpoint=checkpoint,
        family=Family("baseline", "relevance", f'the model is called "{name}", its embedder is {found.name}'),
        card=Card(name="relevance", family="baseline", flags=("baseline",), verified=False),
        options=options,
    )
    return opening, found.name, wanted.pooling or _own_pooling(checkpoint)


def _check_modules(checkpoint: Checkpoint) -> None:
    """Sentence-transformers' modules.json may name layers behind the pooling; without them an embedding is another."""
    file = checkpoint.folder / "modules.json"
    for module in _json_list(file) if file.exists() else []:
        kind = str(module.get("type")).rpartition(".")[2] if isinstance(module, dict) else str(module)
        if kind not in _PLAIN_MODULES:
            raise RmbenchError(
                f"{file} names a layer {kind}, which is not read here; it may hold {', '.join(_PLAIN_MODULES)}."
            )


def _json_list(file: Path) -> list[Any]:
    import json

    try:
        data = json.loads(read_text(file, MIB))
    except (ValueError, RecursionError) as error:
        raise RmbenchError(f"{file} is not readable JSON: {error}") from error
    if not isinstance(data, list):
        raise RmbenchError(f"{file} must hold a JSON list, not {type(data).__name__}.")
    return data


def _own_pooling(checkpoint: Checkpoint) -> Pooling:
    """As sentence-transformers' configuration says, else the mean."""
    file = checkpoint.folder / "1_Pooling" / "config.json"
    if not file.exists():
        return "mean"
    config = read_json(file)
    chosen = [key for key, value in config.items() if key.startswith("pooling_mode_") and value is True]
    if len(chosen) != 1 or chosen[0] not in _MODES:
        raise RmbenchError(
            f"{file} pools by {' and '.join(chosen) or 'nothing known'}: pass --model-args pooling= with one of "
            f"{', '.join(get_args(Pooling))}."
        )
    return _MODES[chosen[0]]


def _limit(checkpoint: Checkpoint, own: int | None) -> int | None:
    """The model's limit, or sentence-transformers' where that is lower."""
    file = checkpoint.folder / "sentence_bert_config.json"
    declared = read_json(file).get("max_seq_length") if file.exists() else None
    known = [value for value in (own, declared) if isinstance(value, int) and value > 0]
    return min(known, default=None)
