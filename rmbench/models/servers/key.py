"""The key of an API: read from the environment, sent to the server, and shown nowhere else."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from rmbench.errors import RmbenchError

__all__ = ["Key", "key_from"]

USUAL = "OPENAI_API_KEY"
"""Where programs that speak this protocol look for their key."""

_TELLING = 8
"""A key of fewer letters ("EMPTY" is usual for one's own server) may stand in a text by chance."""

HIDDEN = "***"


@dataclass(frozen=True, slots=True)
class Key:
    """A key, or its absence."""

    variable: str
    """The environment variable it comes from."""
    value: str = field(default="", repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """What proves it to the server."""
        return {"Authorization": f"Bearer {self.value}"} if self.value else {}

    def hide(self, text: str) -> str:
        """A message of ours or the server's, without the key."""
        return text.replace(self.value, HIDDEN) if self.value else text

    def hide_in_answer(self, text: str) -> str:
        """A judge's answer without the key; a key so short that it may be a word of the answer is left."""
        return self.hide(text) if len(self.value) >= _TELLING else text


def key_from(variable: str | None) -> Key:
    """The key in an environment variable.

    Args:
        variable: its name; None: OPENAI_API_KEY, which may be missing.

    Raises:
        RmbenchError: the variable that was named is not set, or what it holds cannot be sent. The message does not
            repeat the name, in whose place people have been known to put the key.
    """
    value = os.environ.get(variable or USUAL, "").strip()
    if variable is not None and not value:
        raise RmbenchError("--api-key-env names an environment variable that is not set; it takes a name, not a key.")
    if not value.isascii() or not value.isprintable():
        raise RmbenchError(f"The key in {variable or USUAL} holds characters that no HTTP header can carry.")
    return Key(variable or USUAL, value)
