"""Ways a request can fail, and which of them a retry may fix."""

from __future__ import annotations

import email.utils
import json
import time
from collections.abc import Mapping

from rmbench.errors import RmbenchError
from rmbench.untrusted.masking import mask

__all__ = ["ConnectError", "RejectedError", "RetryableError", "error_for_status", "error_message", "retry_after"]

_LONGEST_MESSAGE = 300
_RETRYABLE = frozenset({408, 409, 425, 429})
"""Statuses below 500 that another attempt may change."""


class RetryableError(Exception):
    """The request may succeed when it is sent again."""

    def __init__(self, reason: str, pause: float | None = None) -> None:
        super().__init__(reason)
        self.pause = pause
        """Seconds the server asked to wait (`Retry-After`); None: it did not say."""


class ConnectError(Exception):
    """No connection to the server could be made; the request was not sent."""


class RejectedError(Exception):
    """The server will never answer this one request, e.g. because it is too long or has an unknown field."""


def error_for_status(status: int, headers: Mapping[str, str], body: str, *, url: str, variable: str) -> Exception:
    """The exception for an HTTP status other than 2xx.

    Args:
        status: the HTTP status.
        headers: of the response; names in any case.
        body: as text, without secrets.
        url: of the server, for messages.
        variable: the environment variable that the key comes from, for messages.

    Returns:
        RetryableError for 408, 409, 425, 429 and 5xx; RmbenchError for what is true of every request (a wrong key, an
        unknown model or path, no credit left, a redirection); RejectedError for every other status.
    """
    message = error_message(body)
    if status == 429 and "insufficient_quota" in body:
        return RmbenchError(f"{url} says that there is no credit left (429): {message}")
    if status in _RETRYABLE or status >= 500:
        return RetryableError(f"status {status}: {message}", retry_after(headers))
    if status in (401, 403):
        return RmbenchError(f"{url} does not accept the key in {variable} ({status}): {message}")
    if status == 404:
        return RmbenchError(f"{url} has no such model or route (404): {message}")
    if 300 <= status < 400:
        return RmbenchError(f"{url} redirects ({status}) to another address; --base-url needs the final one.")
    return RejectedError(f"status {status}: {message}")


def error_message(body: object) -> str:
    """The message in an error's body, as text or parsed: `error.message`, `detail` or the text itself, shortened."""
    text = body if isinstance(body, str) else ""
    try:
        error = json.loads(body) if isinstance(body, str) else body
        text = text or json.dumps(body)
    except (ValueError, RecursionError):
        error = body
    for _ in range(2):  # batch files wrap it twice
        error = error.get("error", error) if isinstance(error, dict) else error
    if isinstance(error, dict):
        error = error.get("message") or error.get("detail")
    line = " ".join(mask(error if isinstance(error, str) else text).split())
    shown = "".join(letter if letter.isprintable() else "?" for letter in line[: _LONGEST_MESSAGE + 1])
    return (shown[:_LONGEST_MESSAGE] + " ..." if len(shown) > _LONGEST_MESSAGE else shown) or "no message"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of a `Retry-After` header, which is a number or a date (RFC 9110, 10.2.3); None without one."""
    value = next((value for name, value in headers.items() if name.lower() == "retry-after"), "").strip()
    if value.isascii() and value.replace(".", "", 1).isdigit():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
