"""Opens a scalar model behind a server: template and tokenizer run here, the forward pass there."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.loading import load_tokenizer
from rmbench.models.checkpoint.opening import Opening
from rmbench.models.protocols import Encoded, Request
from rmbench.models.served.scorer import ServedScorer, check_raw
from rmbench.models.servers.client import Client
from rmbench.models.servers.replies import parse_models
from rmbench.models.servers.requests import MODELS
from rmbench.models.text.open import card_of, pad_id, text_encoder
from rmbench.models.text.tokens import TextEncoder
from rmbench.types import Message, Setting

__all__ = ["check_servable", "encoder_of", "is_classifier", "open_scorer", "served_model", "trial_rows"]

_TRIALS = (("Hi", "Yo"), ("What is the capital of France?", "Paris."), ("Name three colours.", "No, I do not want to."))


class Encoder(Protocol):
    """Makes rows of requests."""

    def encode(self, requests: Sequence[Request]) -> list[Encoded]:
        """One entry per request."""


def is_classifier(architectures: Sequence[str]) -> bool:
    """Whether config.json names a sequence classifier, which a server runs behind its pooling endpoints."""
    return any(name.endswith("ForSequenceClassification") for name in architectures)


def check_servable(opening: Opening) -> None:
    """Raise RmbenchError for a model whose rewards /classify would not return."""
    family, folder = opening.family, opening.checkpoint.folder
    if (family.name, family.layout) != ("scalar", "stock"):
        raise RmbenchError(
            f"{folder} is a {family.name} model of the layout {family.layout}; a server computes stock sequence "
            "classifiers alone. Run it in this process: --model with the folder or hub id itself."
        )
    if opening.checkpoint.source is not None:
        raise RmbenchError(
            f"{folder}: {opening.checkpoint.source.why} in this process alone: --model with the folder itself."
        )
    shape = opening.checkpoint.tensors["score.weight"].shape
    if shape[0] != 1:
        raise RmbenchError(f"{folder}: score.weight has {shape[0]} labels; a scalar reward model has exactly one.")
    if card_of(opening).pooling != "mask":
        raise RmbenchError(f"{folder}: a server reads the last token's state, and pooling = upstream asks for others.")


def encoder_of(opening: Opening) -> tuple[TextEncoder, int]:
    """The text encoder and the pad id, the same as for a model in this process."""
    tokenizer = load_tokenizer(opening.checkpoint, opening.options)
    return text_encoder(opening, tokenizer), pad_id(tokenizer, opening.checkpoint)


def open_scorer(
    opening: Opening,
    text: TextEncoder,
    pad: int,
    client: Client,
    settings: Mapping[str, Setting],
    model: str | None = None,
    stop: Callable[[], None] | None = None,
) -> ServedScorer:
    """The scorer, once its servers are known to return logits.

    Args:
        opening: of the checkpoint that the servers have loaded.
        text: see `encoder_of`.
        pad: the pad id.
        client: to the servers.
        settings: extra ones for the record.
        model: as the servers call it; None: the only one that they list.
        stop: stops the server, if it is ours.

    Raises:
        RmbenchError: a server does not answer, lists several models, or returns no logits.
    """
    model, length = served_model(client, model)
    if length is not None and (text.max_length is None or text.max_length > length):
        text = replace(text, max_length=length)
    check_raw(client, model, trial_rows(text, opening.name))
    parameters = sum(math.prod(tensor.shape) for tensor in opening.checkpoint.tensors.values())
    resolved = {**text.settings, "pooling": "last token", "head_dtype": "float32", **settings}
    facts = opening.facts({"backend": "vllm", **resolved}, parameters)
    return ServedScorer(client, model, text, facts, pad, stop)


def served_model(client: Client, model: str | None) -> tuple[str, int | None]:
    """The model as the servers call it, by default the only one that they list, and the most tokens of a row where they
    say it; raises RmbenchError where a server does not answer, or lists several."""
    read = client.ask_each(lambda server: client.get(MODELS, parse_models, server), "does not list its models")
    listed = next(read)
    if model is None:
        if len(listed) != 1:
            raise RmbenchError(
                f"The server lists {len(listed)} models ({', '.join(sorted(listed)[:5])}): say which one by "
                "--model-args served_name=NAME."
            )
        model = next(iter(listed))
    return model, listed.get(model)


def trial_rows(text: Encoder, name: str) -> list[Sequence[int]]:
    """Token ids of a few plain questions and answers; raises RmbenchError where the template refuses all of them."""
    trials = [Request((Message.of("user", ask), Message.of("assistant", answer)), 1) for ask, answer in _TRIALS]
    rows: list[Sequence[int]] = [row.ids for row in text.encode(trials) if not row.error]
    if not rows:
        raise RmbenchError(f"{name}: its chat template refuses a plain question and answer.")
    return rows
