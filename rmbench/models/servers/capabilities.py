"""What a server of the OpenAI protocol supports, as far as it matters to how a verdict is requested."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

__all__ = ["MOST_LOGPROBS", "OPTIONAL_FIELDS", "SYSTEM", "Capabilities", "LimitField", "SchemaField"]

MOST_LOGPROBS = 20
"""Most probable tokens that servers return per position by default."""

OPTIONAL_FIELDS = ("seed", "top_p", "repetition_penalty", "temperature", "stop")
"""Fields of a question without which it can still be asked, those first that matter least."""
SYSTEM = "system"
"""The role of messages that some models do not take."""

LimitField = Literal["max_tokens", "max_completion_tokens"]
"""The field that limits the length of a reply."""

SchemaField = Literal["", "structured_outputs", "response_format"]
"""The field that takes a JSON schema; "" where there is none."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What one server supports, or what several support in common. The default is the least."""

    server: str = "unknown"
    """Kind and version, e.g. "vllm 0.32.0"."""
    limit_field: LimitField = "max_tokens"
    choice: bool = False
    """vLLM's `structured_outputs` with choices and regular expressions."""
    schema: SchemaField = ""
    logprobs: Literal["ids", "top", ""] = ""
    """"ids": log-probabilities of the requested tokens; "top": of the most probable ones; "": none."""
    token_ids: bool = False
    """It has /tokenize, and chats are read as exactly the ids that this returns."""
    top_logprobs: int = MOST_LOGPROBS
    """How many of the most probable tokens are requested, where `logprobs` is "top"."""
    left_out: tuple[str, ...] = ()
    """Fields of questions that it refuses, in the order of OPTIONAL_FIELDS, and that are left out of them."""
    system: bool = True
    """Whether it takes system messages; else their text begins the user's first message."""
    listed: bool = True
    """False: it answers to the model's name, but does not list it."""
    image_token: int | None = None
    """The id that stands for images, in one run for each, in the token ids that it returns of a chat; None: it returns
    none, or no such runs."""

    @classmethod
    def of_batch(cls, *, structured: bool = False, logprobs: bool = True) -> Capabilities:
        """What the user says of a batch service, which cannot be probed.

        Args:
            structured: vLLM's `structured_outputs`. Services that do not know the field reject the line.
            logprobs: the most probable first tokens, for protocols that need probabilities of options.
        """
        schema: SchemaField = "structured_outputs" if structured else ""
        return cls("batch file", choice=structured, schema=schema, logprobs="top" if logprobs else "")

    @property
    def settings(self) -> Mapping[str, str | bool | int]:
        """For the record."""
        return {
            "server": self.server,
            "structured_outputs": self.choice,
            "json_schema": self.schema or "none",
            "logprobs": self.logprobs or "none",
            **({"top_logprobs": self.top_logprobs} if self.logprobs == "top" else {}),
            "token_ids": self.token_ids,
            **({"left_out": " ".join(self.left_out)} if self.left_out else {}),
            **({} if self.system else {"system_message": "in the user's"}),
            **({} if self.listed else {"listed": False}),
            **({} if self.image_token is None else {"image_runs": "counted"}),
        }

    def without(self, field: str) -> Capabilities:
        """The same without one of OPTIONAL_FIELDS or SYSTEM."""
        if field == SYSTEM:
            return replace(self, system=False)
        return replace(self, left_out=tuple(one for one in OPTIONAL_FIELDS if one in (*self.left_out, field)))

    def with_again(self, field: str) -> Capabilities:
        """The reverse of `without`."""
        if field == SYSTEM:
            return replace(self, system=True)
        return replace(self, left_out=tuple(one for one in self.left_out if one != field))

    def intersection(self, other: Capabilities) -> Capabilities:
        """What both servers support."""
        return Capabilities(
            self.server if self.server == other.server else " and ".join(sorted({self.server, other.server})),
            self.limit_field if self.limit_field == other.limit_field else "max_completion_tokens",
            self.choice and other.choice,
            self.schema if self.schema == other.schema else "",
            self.logprobs if self.logprobs == other.logprobs else "top" if self.logprobs and other.logprobs else "",
            self.token_ids and other.token_ids,
            min(self.top_logprobs, other.top_logprobs),
            tuple(one for one in OPTIONAL_FIELDS if one in (*self.left_out, *other.left_out)),
            self.system and other.system,
            self.listed and other.listed,
            self.image_token if self.image_token == other.image_token else None,
        )
