"""The API key: read from the environment, sent in the Authorization header, and hidden everywhere else."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from rmbench.errors import RmbenchError
from rmbench.untrusted.masking import HIDDEN, mask, register_secret

__all__ = ["ApiKey", "read_api_key"]

DEFAULT_VARIABLE = "OPENAI_API_KEY"
"""Where clients of the OpenAI protocol look for their key."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key, or its absence."""

    variable: str
    """The environment variable it comes from."""
    value: str = field(default="", repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """The Authorization header; {} without a key."""
        return {"Authorization": f"Bearer {self.value}"} if self.value else {}

    def __post_init__(self) -> None:
        register_secret(self.value)

    def hide(self, text: str) -> str:
        """A message of ours or the server's without the key, however it is spelled there, or short it is."""
        return mask(text.replace(self.value, HIDDEN) if self.value else text)


def read_api_key(variable: str | None) -> ApiKey:
    """The key in an environment variable.

    Args:
        variable: its name; None: OPENAI_API_KEY, which may be missing.

    Raises:
        RmbenchError: the named variable is not set, or its value cannot be sent. The message does not repeat the name,
            in whose place people have been known to put the key.
    """
    value = os.environ.get(variable or DEFAULT_VARIABLE, "").strip()
    if variable is not None and not value:
        raise RmbenchError("--api-key-env names an environment variable that is not set; it takes a name, not a key.")
    if not value.isascii() or not value.isprintable():
        raise RmbenchError(
            f"The key in {variable or DEFAULT_VARIABLE} contains characters that are not allowed in an HTTP header."
        )
    return ApiKey(variable or DEFAULT_VARIABLE, value)
