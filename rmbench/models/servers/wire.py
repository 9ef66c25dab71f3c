"""What servers and batch files send, as schemas: everything that is used of a response passes through `read`.

Servers are not trusted to keep to their protocol, and JSON holds what Python's numbers do not (integers of any length,
1e400). Further keys are ignored; a key that is used and has the wrong type or an impossible value is named.
"""

from __future__ import annotations

import itertools
import math
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from rmbench.errors import RmbenchError
from rmbench.models.servers.errors import RetryableError
from rmbench.validation import validated

__all__ = [
    "Answer",
    "BatchLine",
    "BatchResponse",
    "Choice",
    "CompletionLogprobs",
    "Counted",
    "Labels",
    "ListedModels",
    "Logprobs",
    "Message",
    "Part",
    "Position",
    "PromptLogprobs",
    "Tokens",
    "Usage",
    "Version",
    "read",
]

_ROUNDING = 0.01
"""How far above 0 the log-probability of a certain token may lie."""


def _whole(value: object) -> object:
    """A number such as 3.0 as a whole one."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _log(value: float | None) -> float | None:
    """None, as if it were not listed, where a token has no probability."""
    if value is None or math.isnan(value) or value == -math.inf:
        return None
    if value > _ROUNDING:
        raise ValueError("expected the natural log of a probability")
    return value


Count = Annotated[int, Field(ge=0, le=10**12), BeforeValidator(_whole)]
Token = Annotated[int, Field(ge=0, lt=2**31)]
Logprob = Annotated[float | None, AfterValidator(_log)]


class _Sent(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class Usage(_Sent):
    """Numbers of tokens."""

    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None


class Part(_Sent):
    """One part of a message whose content is a list."""

    type: str | None = None
    text: str | None = None
    thinking: Any = None
    reasoning: Any = None
    refusal: str | None = None


class Message(_Sent):
    """Of a chat's reply. What is no text of the reply itself may be of any type."""

    content: str | list[Any] | dict[str, Any] | None = None
    """A text, or parts (`Part`, or bare texts), or one part."""
    reasoning: Any = None
    reasoning_content: Any = None
    reasoning_details: Any = None
    refusal: Any = None
    tool_calls: Any = None


class Choice(_Sent):
    """One reply."""

    index: Any = None
    finish_reason: Any = None
    message: Message | None = None
    """Of a chat."""
    error: Any = None
    """Why it is not finished, by some gateways."""
    text: str | None = None
    """Of a completion."""
    logprobs: Any = None
    """`Logprobs`, where they were requested."""
    prompt_logprobs: Any = None
    """`PromptLogprobs`, where they were requested."""


class Answer(_Sent):
    """The response to a chat or a completion."""

    choices: Annotated[list[Choice], Field(min_length=1)]
    usage: Any = None
    """`Usage`; what is none of it is a number of tokens that nobody knows."""
    model: Any = None
    prompt_token_ids: Any = None


class Counted(_Sent):
    """Any response that may count its tokens."""

    usage: Any = None


class _Entry(_Sent):
    token: str | None = None
    logprob: Logprob = None


def _entries(listed: dict[str, float | None]) -> list[_Entry]:
    return [_Entry(token=token, logprob=logprob) for token, logprob in listed.items()]


class Position(_Entry):
    """One token of a reply, and the most probable ones in its place."""

    bytes: Any = None
    """Of the token's text, which is the token itself where these are no list of bytes."""
    top_logprobs: list[_Entry] | None = None


class Logprobs(_Sent):
    """Of a chat's reply."""

    content: list[Position] | None = None
    """None where nothing is listed, and by servers that list what a completion has (`CompletionLogprobs`)."""


class CompletionLogprobs(_Sent):
    """Of a completion's reply, and of a chat's by some servers: lists of equal length."""

    tokens: list[str | None] | None = None
    token_logprobs: list[Logprob] | None = None
    top_logprobs: list[dict[str, Logprob] | None] | None = None

    @property
    def positions(self) -> list[Position]:
        """The same as `Logprobs.content`."""
        each = itertools.zip_longest(self.tokens or [], self.token_logprobs or [], self.top_logprobs or [])
        return [
            Position(token=token, logprob=logprob, top_logprobs=_entries(most or {})) for token, logprob, most in each
        ]


class PromptLogprobs(_Sent):
    """Of a completion's prompt: for each position, token id -> what is known of it."""

    prompt_logprobs: list[dict[str, _Entry | None] | None]


class Tokens(_Sent):
    """Of /tokenize."""

    tokens: list[Token]


class _Model(_Sent):
    id: str
    owned_by: str | None = None
    max_model_len: Annotated[int, Field(ge=1, le=10**12)] | None = None


class ListedModels(_Sent):
    """Of /v1/models."""

    data: list[_Model]


class Version(_Sent):
    """Of /version."""

    version: str


class _Labelled(_Sent):
    index: int
    probs: Annotated[list[float], Field(min_length=1)]
    """A value may be NaN or infinite: it is that row's failure."""


class Labels(_Sent):
    """Of /classify."""

    data: list[_Labelled]


class BatchResponse(_Sent):
    """A response inside a batch's line."""

    status_code: int | None = None
    body: dict[str, Any] | None = None


class BatchLine(_Sent):
    """One line of a batch's output, or of its file of errors."""

    custom_id: str
    response: Any = None
    """`BatchResponse`."""
    error: Any = None


Sent = TypeVar("Sent", bound=_Sent)


def read(schema: type[Sent], data: object, where: str = "the response") -> Sent:
    """What a server sent as an instance of the schema; RetryableError names the key that is wrong."""
    try:
        return validated(schema, data, where)
    except RmbenchError as error:
        raise RetryableError(str(error).removesuffix(".")) from None
