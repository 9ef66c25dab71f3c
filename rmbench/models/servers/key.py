"""The API key: read from the environment, sent in the Authorization header, and hidden everywhere else."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rmbench.errors import RmbenchError
from rmbench.untrusted.masking import HIDDEN, mask, register_secret

__all__ = ["ApiKey", "read_api_key", "read_headers"]

_HEADER = re.compile(r"[A-Za-z0-9-]{1,80}")
_OWN = frozenset("host content-type content-length transfer-encoding connection accept-encoding".split())

DEFAULT_VARIABLE = "OPENAI_API_KEY"
"""Where clients of the OpenAI protocol look for their key."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key, or its absence."""

    variable: str
    """The environment variable it comes from."""
    value: str = field(default="", repr=False)
    others: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Further headers, each a secret too; see `read_headers`."""

    @property
    def headers(self) -> dict[str, str]:
        """The Authorization header, if there is a key, and the others."""
        return {**({"Authorization": f"Bearer {self.value}"} if self.value else {}), **self.others}

    def __post_init__(self) -> None:
        for secret in (self.value, *self.others.values()):
            register_secret(secret)

    def hide(self, text: str) -> str:
        """A message of ours or the server's without the secrets, however they are spelled there, or short they are."""
        for secret in filter(None, (self.value, *self.others.values())):
            text = text.replace(secret, HIDDEN)
        return mask(text)


def read_headers(pairs: Sequence[str]) -> dict[str, str]:
    """Headers by `HEADER=VARIABLE`, their values from the environment.

    Raises:
        RmbenchError: a pair is none, the header is one that requests set themselves, or the variable is not set or
            holds what cannot be sent. The message does not repeat the variable's name.
    """
    headers: dict[str, str] = {}
    for pair in pairs:
        name, equals, variable = (part.strip() for part in pair.partition("="))
        if not equals or not variable or not _HEADER.fullmatch(name):
            raise RmbenchError("--header-env takes HEADER=NAME, a header and the variable that holds its value.")
        if name.lower() in _OWN:
            raise RmbenchError(f"--header-env {name}: requests set this header themselves.")
        headers[name] = _sendable(os.environ.get(variable, "").strip(), f"--header-env {name}")
        if not headers[name]:
            raise RmbenchError(f"--header-env {name}: the variable is not set; it takes a name, not a value.")
    return headers


def read_api_key(variable: str | None, headers: Mapping[str, str] | None = None) -> ApiKey:
    """The key in an environment variable.

    Args:
        variable: its name; None: OPENAI_API_KEY, which may be missing, and is not read where there are headers, since
            these hold the key then.
        headers: further ones, of `read_headers`.

    Raises:
        RmbenchError: the named variable is not set, or its value cannot be sent. The message does not repeat the name,
            in whose place people have been known to put the key.
    """
    headers = headers or {}
    if variable is None and headers:
        return ApiKey(f"the header {', '.join(headers)}", "", headers)
    value = os.environ.get(variable or DEFAULT_VARIABLE, "").strip()
    if variable is not None and not value:
        raise RmbenchError("--api-key-env names an environment variable that is not set; it takes a name, not a key.")
    _sendable(value, f"The key in {variable or DEFAULT_VARIABLE}")
    return ApiKey(variable or DEFAULT_VARIABLE, value, headers)


def _sendable(value: str, what: str) -> str:
    """The value; raises RmbenchError where no header can hold it."""
    if not value.isascii() or not value.isprintable():
        raise RmbenchError(f"{what} contains characters that are not allowed in an HTTP header.")
    return value
