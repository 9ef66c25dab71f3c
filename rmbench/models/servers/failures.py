"""What may go wrong with a request, and what of it is worth another try."""

from __future__ import annotations

import email.utils
import json
import time
from collections.abc import Mapping
from typing import Any

from rmbench.errors import RmbenchError

__all__ = ["AgainError", "GoneError", "RefusedError", "failure_of", "message_in", "retry_after"]

_LONGEST_MESSAGE = 300
_AGAIN = frozenset({408, 409, 425, 429})
"""Answers below 500 that another try may change."""


class AgainError(Exception):
    """The request may succeed when it is sent again."""

    def __init__(self, reason: str, pause: float | None = None) -> None:
        super().__init__(reason)
        self.pause = pause
        """Seconds for which the server wants to be left alone; None: it did not say."""


class GoneError(Exception):
    """The server cannot be reached at all; the request was not sent."""


class RefusedError(Exception):
    """The server will never answer this request, whoever asks: it is too long, or has a field that it does not know."""


def failure_of(status: int, headers: Mapping[str, str], body: str, *, url: str, variable: str) -> Exception:
    """The exception for an HTTP status other than 2xx.

    Args:
        status: the HTTP status.
        headers: of the response; names in any case.
        body: as text, without secrets.
        url: of the server, for messages.
        variable: the environment variable that the key comes from, for messages.

    Returns:
        AgainError for 408, 409, 425, 429 and 5xx; RmbenchError for what is true of every request (a wrong key, an
        unknown model or path, no credit left, a redirection); RefusedError for every other status.
    """
    said = message_in(body)
    if status == 429 and "insufficient_quota" in body:
        return RmbenchError(f"{url} says that there is no credit left (429): {said}")
    if status in _AGAIN or status >= 500:
        return AgainError(f"status {status}: {said}", retry_after(headers))
    if status in (401, 403):
        return RmbenchError(f"{url} does not accept the key in {variable} ({status}): {said}")
    if status == 404:
        return RmbenchError(f"{url} has no such model or route (404): {said}")
    if 300 <= status < 400:
        return RmbenchError(f"{url} redirects ({status}) to another address; --base-url needs the final one.")
    return RefusedError(f"status {status}: {said}")


def message_in(body: str) -> str:
    """The sentence in an error's body: `error.message`, `detail` or the text itself, shortened."""
    found: Any = body
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        data = None
    if isinstance(data, dict):
        error = data.get("error", data)
        error = error.get("error", error) if isinstance(error, dict) else error  # batch files wrap it twice
        found = error.get("message") or error.get("detail") or body if isinstance(error, dict) else error
    line = " ".join(str(found).split())
    shown = "".join(letter if letter.isprintable() else "?" for letter in line[: _LONGEST_MESSAGE + 1])
    return (shown[:_LONGEST_MESSAGE] + " ..." if len(shown) > _LONGEST_MESSAGE else shown) or "no message"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that `Retry-After` asks for, whether it says a number or a date (RFC 9110, 10.2.3); None without one."""
    said = next((value for name, value in headers.items() if name.lower() == "retry-after"), "").strip()
    if said.isascii() and said.replace(".", "", 1).isdigit():
        return float(said)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(said).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
