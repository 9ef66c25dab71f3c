"""A vision-language reward model behind /classify: rows with images as messages, other rows as token ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from rmbench.errors import RmbenchError
from rmbench.media import data_uri, open_medium, pixels_of
from rmbench.models.families.vl.encoder import VisionEncoder
from rmbench.models.families.vl.rows import row_of
from rmbench.models.protocols import Answer, Batch, Encoded, FloatArray, ModelFacts, Request
from rmbench.models.served.scorer import classify
from rmbench.models.servers.client import Client
from rmbench.models.servers.errors import RejectedError
from rmbench.models.servers.pool import Server
from rmbench.models.servers.replies import parse_labels, parse_tokens, tokens_in
from rmbench.models.servers.requests import CLASSIFY, TOKENIZE, classify_chat_body, tokenize_messages_body
from rmbench.models.text.special import holds_special_tokens, unmarked
from rmbench.types import TOOLS, Conversation, Part

__all__ = ["MOST_IMAGES", "ServedVisionScorer", "check_reads", "sent"]

MOST_IMAGES = 32
"""Images of one row, at most: a server is started for so many."""


@dataclass(frozen=True)
class ServedVisionScorer:
    """A Scorer whose forward pass is a request for each row.

    Token ids of a row with images would be taken without them, and give a wrong number: such a row is sent as messages,
    with its images encoded anew, and the tokens that the server read are counted. Its texts must spell no special
    token, which the server would read as one.
    """

    client: Client
    model: str
    """As the server calls it."""
    text: VisionEncoder
    bias: float
    """Of the head, which is added here."""
    facts: ModelFacts
    pad_id: int
    stop: Callable[[], None] | None = None
    """Stops a server that was started for this model alone."""
    answers: frozenset[Answer] = field(default=frozenset({"reward"}))
    threads: int = 4
    """Batches in flight at once; the server makes batches of its own."""

    def encode(self, requests: Sequence[Request]) -> list[Encoded]:
        """The rows that the model in this process has, less those that cannot be sent."""
        return [
            row if row.error or not row_of(row).places else self._sent(row, request)
            for row, request in zip(self.text.encode(requests), requests, strict=True)
        ]

    def forward(self, batch: Batch) -> Mapping[str, FloatArray]:
        """{"reward": [B, 1]}: raw logits. Raises what `Client.post` does, and RejectedError where the server reads
        another number of tokens."""
        found = [self._logit(row) + self.bias for row in batch.rows]
        return {"reward": np.asarray(found, dtype=np.float32).reshape(-1, 1)}

    def close(self) -> None:
        """Break off requests, then stop the server, if it is ours."""
        self.client.close()
        if self.stop is not None:
            self.stop()

    def _sent(self, row: Encoded, request: Request) -> Encoded:
        """The row with its conversation as the payload, or the reason why it is not sent."""
        wrong = ""
        if _spells_special_tokens(request, self.text.tokenizer.spelled):
            wrong = "its text spells a special token, which a server reads as one where images are sent"
        elif any(message.extra or message.role == TOOLS for message in request.conversation):
            wrong = "tools and further keys of messages are not sent with images"
        elif len(row_of(row).places) > MOST_IMAGES:
            wrong = f"it shows more than {MOST_IMAGES} images"
        return Encoded(key="", size=0, error=wrong) if wrong else replace(row, payload=request.conversation)

    def _logit(self, row: Encoded) -> float:
        if not isinstance(row.payload, tuple):
            return classify(self.client, self.model, [row.ids])[0]
        body = classify_chat_body(self.model, sent(row.payload), activation=False)

        def parse(data: Any) -> float:
            read, _ = tokens_in(data)
            if read != len(row.ids):
                raise RejectedError(f"the server read {read:,} tokens of a row of {len(row.ids):,}, images included")
            return parse_labels(data, 1, self.model)[0]

        return self.client.post(CLASSIFY, body, parse)


def _spells_special_tokens(request: Request, spelled: Sequence[str]) -> bool:
    """Whether a text does, marked already or not."""
    return unmarked(request.conversation) != request.conversation or holds_special_tokens(request, spelled)


def sent(conversation: Conversation) -> list[dict[str, Any]]:
    """Messages as a server takes them, images as PNG of the pixels that are shown in this process."""
    return [{"role": message.role, "content": [_content(part) for part in message.parts]} for message in conversation]


def _content(part: Part) -> dict[str, Any]:
    if part.kind == "text":
        return {"type": "text", "text": part.text}
    (image,) = pixels_of(open_medium(part, None))
    return {"type": "image_url", "image_url": {"url": data_uri(image, "png")}}


def check_reads(client: Client, model: str, row: Encoded, conversation: Conversation) -> None:
    """Make sure that every server reads a row with an image as the ids that it has here.

    Raises:
        RmbenchError: a server has another template, tokenizer or size of images.
    """
    body = tokenize_messages_body(model, sent(conversation))

    def check(server: Server) -> None:
        found = client.post(TOKENIZE, body, parse_tokens, server)
        if list(found) != list(row.ids):
            at = next((n for n, pair in enumerate(zip(found, row.ids, strict=False)) if pair[0] != pair[1]), -1)
            place = f"they differ at {at}" if at >= 0 else f"{len(found)} and {len(row.ids)} tokens"
            raise RmbenchError(
                f"{server.api} reads a row with an image otherwise than this process does ({place}): its chat "
                "template, its tokenizer or its sizes of images are others."
            )

    for _ in client.ask_each(check, f"does not read rows of {model}"):
        pass
