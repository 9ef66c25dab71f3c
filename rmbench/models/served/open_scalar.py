"""A checkpoint whose numbers a server computes: our template, our tokens, its forward."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.loading import load_tokenizer
from rmbench.models.checkpoint.opening import Opening
from rmbench.models.protocols import Request
from rmbench.models.served.scorer import ServedScorer, check_raw
from rmbench.models.servers.client import Client
from rmbench.models.text.open import card_of, pad_id, text_encoder
from rmbench.models.text.tokens import TextEncoder
from rmbench.types import Message

__all__ = ["check_servable", "encoder_of", "is_classifier", "open_served"]

_TRIALS = (("Hi", "Yo"), ("What is the capital of France?", "Paris."), ("Name three colours.", "No, I do not want to."))


def is_classifier(architectures: Sequence[str]) -> bool:
    """Whether config.json names a sequence classifier, which a server computes by its pooling endpoints."""
    return any(name.endswith("ForSequenceClassification") for name in architectures)


def check_servable(opening: Opening) -> None:
    """Raise RmbenchError for a model whose numbers `/classify` would not give."""
    family, folder = opening.family, opening.checkpoint.folder
    if (family.name, family.layout) != ("scalar", "stock"):
        raise RmbenchError(
            f"{folder} is a {family.name} model of the layout {family.layout}; a server computes stock sequence "
            "classifiers alone. Run it in this process: --model with the folder or hub id itself."
        )
    shape = opening.checkpoint.tensors["score.weight"].shape
    if shape[0] != 1:
        raise RmbenchError(f"{folder}: score.weight has {shape[0]} labels; a scalar reward model has exactly one.")
    if card_of(opening).pooling != "mask":
        raise RmbenchError(f"{folder}: a server reads the last token's state, and pooling = upstream asks for others.")


def encoder_of(opening: Opening) -> tuple[TextEncoder, int]:
    """How the model reads conversations, and its pad id; as in this process."""
    tokenizer = load_tokenizer(opening.checkpoint, opening.options)
    return text_encoder(opening, tokenizer), pad_id(tokenizer, opening.checkpoint)


def open_served(
    opening: Opening,
    text: TextEncoder,
    pad: int,
    client: Client,
    settings: dict[str, Any],
    model: str | None = None,
    stop: Callable[[], None] | None = None,
) -> ServedScorer:
    """The scorer, once its servers were seen to give logits.

    Args:
        opening: of the checkpoint that the servers hold too.
        text: see `encoder_of`.
        pad: the pad id.
        client: to the servers.
        settings: further ones for the record.
        model: as the servers call it; None: the one that they list.
        stop: ends the server, if it is ours.

    Raises:
        RmbenchError: a server does not answer, lists several models, or gives no logits.
    """
    listed = _listed(client)
    if model is None:
        if len(listed) != 1:
            raise RmbenchError(
                f"The server lists {len(listed)} models ({', '.join(sorted(listed)[:5])}): say which one by "
                "--model-args served_name=NAME."
            )
        model = next(iter(listed))
    room = listed.get(model)
    if room is not None and (text.max_length is None or text.max_length > room):
        text = replace(text, max_length=room)
    trials = [Request((Message.of("user", ask), Message.of("assistant", answer)), 1) for ask, answer in _TRIALS]
    rows = [row.ids for row in text.encode(trials) if not row.error]
    if not rows:
        raise RmbenchError(f"{opening.name}: its chat template refuses a plain question and answer.")
    check_raw(client, model, rows)
    tensors = opening.checkpoint.tensors.values()
    resolved = {**text.settings, "pooling": "last token", "head_dtype": "float32", **settings}
    facts = opening.facts({"backend": "vllm", **resolved}, sum(_size(tensor.shape) for tensor in tensors))
    return ServedScorer(client, model, text, facts, pad, stop)


def _listed(client: Client) -> dict[str, int | None]:
    """Model -> the tokens that a row may have, as the first server that answers lists them."""

    def read(data: Any) -> dict[str, int | None]:
        found = data.get("data", []) if isinstance(data, dict) else []
        entries = [entry for entry in found if isinstance(entry, dict) and isinstance(entry.get("id"), str)]
        lengths = {entry["id"]: entry.get("max_model_len") for entry in entries}
        return {name: length if isinstance(length, int) else None for name, length in lengths.items()}

    problem: Exception = RmbenchError("There is no server to ask: pass --base-url.")
    for server in client.servers:
        try:
            return client.get("/v1/models", read, server)
        except RmbenchError as error:
            if not server.dropped:
                raise
            problem = error
        except Exception as error:
            raise RmbenchError(f"{server.api} does not list its models: {error}") from error
    raise problem


def _size(shape: Sequence[int]) -> int:
    product = 1
    for length in shape:
        product *= length
    return product
