"""Ways a request can fail, and which of them a retry may fix."""

from __future__ import annotations

import email.utils
import json
import re
import time
from collections.abc import Mapping

from rmbench.errors import RmbenchError
from rmbench.media import MEDIA_REJECTED
from rmbench.untrusted.masking import mask

__all__ = [
    "AccountError",
    "BusyError",
    "ConnectError",
    "DeniedError",
    "RejectedError",
    "RetryableError",
    "error_for_status",
    "error_in_body",
    "error_message",
    "retry_after",
]

_LONGEST_MESSAGE = 300
_RETRYABLE = frozenset({408, 409, 425, 429})
"""Statuses below 500 that another attempt may change."""
_OVERLOADED = frozenset({429, 503, 504, 529})
"""Statuses of a server that is sent more than it can answer."""
_NEVER = frozenset({501, 505})
"""Statuses from 500 on that say what the server will never do."""
_SAYS = frozenset({"message", "detail"})
"""Keys of an error that is no object of its own."""
_ANSWERS = frozenset({"data", "tokens", "version"})
"""Keys of responses that may say something besides, such as "success"."""
_STATUSES = {
    "invalid_request_error": 400, "context_length_exceeded": 400, "unsupported_value": 400,
    "unsupported_parameter": 400, "invalid_argument": 400, "authentication_error": 401,
    "invalid_api_key": 401, "unauthenticated": 401,
    "permission_error": 403, "permission_denied": 403, "not_found_error": 404, "model_not_found": 404,
    "rate_limit_error": 429, "rate_limit_exceeded": 429, "resource_exhausted": 429, "insufficient_quota": 402,
    "api_error": 500, "server_error": 500, "overloaded_error": 503,
}  # fmt: skip
"""Code or type of an error -> the HTTP status that it has where the server keeps to statuses."""
_MEDIA_LIMIT = re.compile(
    r"decompression ?bomb|exceeds? (?:the )?limit of \d+ pixels|aspect ratio|image (?:is )?too large",
    re.IGNORECASE,
)
"""What servers say with status 500 of an image that no attempt will change."""
_NO_CREDIT = ("exceeded your current quota", "insufficient credits", "insufficient balance")
"""What services say, in lower case, with status 429 where no later attempt will be served, unless they say when."""
_ACCOUNT = re.compile(
    r'"(?:code|type)":\s*"(?:insufficient_quota|billing_hard_limit_reached|billing_not_active|account_deactivated)"'
)
"""Codes of errors that are true of all requests of an account; a request's text that an error repeats has its quotation
marks escaped."""
_LOW_BALANCE = "Your credit balance is too low"
_SECONDS = r"(\d{1,9}(?:\.\d{1,9})?)"
_PAUSE = re.compile(rf'(?:retry|try again) (?:in|after) {_SECONDS} ?s|"retryDelay": ?"{_SECONDS}s')
"""Seconds to wait, in the words of services that send no header."""


class RetryableError(Exception):
    """The request may succeed when it is sent again."""

    def __init__(
        self, reason: str, pause: float | None = None, status: int | None = None, *, timed_out: bool = False
    ) -> None:
        super().__init__(reason)
        self.timed_out = timed_out
        """Whether no response came in time."""
        self.pause = pause
        """Seconds the server asked to wait (`Retry-After`); None: it did not say."""
        self.status = status
        """The HTTP status; None where there was none, or a response that is none."""

    @property
    def busy(self) -> bool:
        """Whether the server cannot answer now, whatever it is asked; a status of 500 may be a field's fault."""
        return self.status not in (None, 500)

    @property
    def overloaded(self) -> bool:
        """Whether fewer requests at a time may help."""
        return self.timed_out or self.status in _OVERLOADED


class ConnectError(Exception):
    """No connection to the server could be made; the request was not sent."""


class RejectedError(Exception):
    """The server will never answer this one request, e.g. because it is too long or has an unknown field."""


class AccountError(RmbenchError):
    """No request will be answered whatever it asks: no credit is left, or a quota ends for hours."""


class BusyError(RmbenchError):
    """A server that answers does not go on to, so that nothing can be learned of it."""


class DeniedError(Exception):
    """Status 401, 403 or 404: of every request where none was answered yet (a wrong key, an unknown model), else of
    this one alone (its text was flagged, no provider takes it)."""

    def __init__(self, status: int, message: str, of_all: str) -> None:
        super().__init__(f"status {status}: {message}")
        self.status = status
        self.of_all = of_all
        """What it means where it is true of every request."""


def error_for_status(status: int, headers: Mapping[str, str], body: str, *, url: str, variable: str) -> Exception:
    """The exception for an HTTP status other than 2xx.

    Args:
        status: the HTTP status.
        headers: of the response; names in any case.
        body: as text, without secrets.
        url: that was requested, for messages.
        variable: the environment variable that the key comes from, for messages.

    Returns:
        RetryableError for 408, 409, 425, 429 and most of 5xx; DeniedError for 401, 403 and 404; AccountError where no
        credit is left; RmbenchError for a redirection; RejectedError for every other status.
    """
    message = error_message(body)
    pause = retry_after(headers)
    pause = _pause_in(body) if pause is None else pause
    if status == 402 or _used_up(status, body, pause):
        return AccountError(f"{url} says that there is no credit left ({status}): {message}")
    if status >= 500 and _MEDIA_LIMIT.search(message):
        return RejectedError(f"{MEDIA_REJECTED}: status {status}: {message}")
    if status in _RETRYABLE or (status >= 500 and status not in _NEVER):
        return RetryableError(f"status {status}: {message}", pause, status)
    if status in (401, 403):
        return DeniedError(status, message, f"{url} does not accept the key in {variable} ({status}): {message}")
    if status == 404:
        return DeniedError(status, message, f"{url} has no such model or route (404): {message}")
    if 300 <= status < 400:
        return RmbenchError(f"{url} redirects ({status}) to another address; --base-url needs the final one.")
    return RejectedError(f"status {status}: {message}")


def error_in_body(data: object, text: str, *, url: str, variable: str) -> Exception | None:
    """The exception for an error that comes with status 200 and instead of an answer; None where there is none. Its
    `error.code` is read as a status where it is one. `text` is the body without secrets."""
    data = data[0] if isinstance(data, list) and data else data
    if not isinstance(data, dict) or data.get("choices"):
        return None
    bare = data.get("object") == "error" or (_SAYS & data.keys() and not _ANSWERS & data.keys())
    error = data.get("error") or (data if bare else None)
    if not error:
        return None
    status = _status_of(error) if isinstance(error, dict) else None
    if status is not None:
        return error_for_status(status, {}, text, url=url, variable=variable)
    if _used_up(429, text, _pause_in(text)):
        return error_for_status(402, {}, text, url=url, variable=variable)
    return RetryableError(f"status 200 with an error: {error_message(text)}")


def _used_up(status: int, body: str, pause: float | None) -> bool:
    """Whether an account has no credit or quota left for any request to come."""
    if 400 <= status < 500 and (_ACCOUNT.search(body) or error_message(body).startswith(_LOW_BALANCE)):
        return True
    return status == 429 and pause is None and any(words in body.lower() for words in _NO_CREDIT)


def _pause_in(body: str) -> float | None:
    """Seconds that a body asks to wait; None where it does not say."""
    match = _PAUSE.search(body)
    return None if match is None else float(match[1] or match[2])


def _status_of(error: Mapping[str, object]) -> int | None:
    """The HTTP status that an error stands for by its code or type."""
    for value in (error.get("code"), error.get("status"), error.get("type")):
        if isinstance(value, int | str) and str(value).isdecimal() and 400 <= int(str(value)[:4]) < 600:
            return int(value)
        if isinstance(value, str) and value.lower() in _STATUSES:
            return _STATUSES[value.lower()]
    return None


def error_message(body: object) -> str:
    """The message in an error's body, as text or parsed: `error.message`, `detail` or the text itself, shortened."""
    text = body if isinstance(body, str) else ""
    try:
        error = json.loads(body) if isinstance(body, str) else body
        text = text or json.dumps(body)
    except (ValueError, RecursionError):
        error = body
    error = error[0] if isinstance(error, list) and error else error
    for _ in range(2):  # batch files wrap it twice
        error = error.get("error", error) if isinstance(error, dict) else error
    if isinstance(error, dict):
        error = error.get("message") or error.get("detail")
    line = " ".join(mask(error if isinstance(error, str) else text).split())
    shown = "".join(letter if letter.isprintable() else "?" for letter in line[: _LONGEST_MESSAGE + 1])
    return (shown[:_LONGEST_MESSAGE] + " ..." if len(shown) > _LONGEST_MESSAGE else shown) or "no message"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of a `retry-after-ms` header, or of `Retry-After`, a number or a date (RFC 9110, 10.2.3); None without
    either."""
    given = {name.lower(): value.strip() for name, value in headers.items()}
    if (thousandths := given.get("retry-after-ms", "")).isascii() and thousandths.isdigit():
        return int(thousandths[:9]) / 1000
    value = given.get("retry-after", "")
    if value.isascii() and value.replace(".", "", 1).isdigit():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
