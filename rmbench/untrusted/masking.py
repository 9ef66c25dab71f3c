"""Secrets that this process knows, hidden in every text of others before it is printed or kept.

A server may repeat the key that it was sent in whatever form: as it is, with the escapes of JSON, URLs, HTML or mail,
in base64 or hexadecimal, alone or within "Bearer KEY" or "user:KEY", and in several of these within each other.
"""

from __future__ import annotations

import base64
import binascii
import html
import os
import quopri
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import fields, is_dataclass, replace
from functools import lru_cache
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

__all__ = ["HIDDEN", "looked_up_once", "mask", "masked", "register_secret"]

Data = TypeVar("Data")

HIDDEN = "***"
_SHORTEST = 8
"""A shorter secret ("EMPTY" is usual for one's own server) protects nothing and may be a word of any text."""
_SHORTEST_PART = 12
"""So many characters of a secret's beginning or end are hidden as well: messages cut what they repeat. Fewer, as in
"sk-ab...yz", are left."""
_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_HUB_TOKEN", "OPENAI_API_KEY", "VLLM_API_KEY")
"""Variables that this process's clients, and the servers that it starts, read keys from."""
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_DEPTH = 4
"""Encodings within each other that are looked behind."""

_registered: set[str] = set()
_looked_up: ContextVar[list[str] | None] = ContextVar("_looked_up", default=None)


def register_secret(secret: str) -> None:
    """From now on hide this secret too."""
    if len(secret) >= _SHORTEST:
        _registered.add(secret)


def mask(text: str) -> str:
    """`text` with every secret hidden; nothing of it is left where a secret is encoded in a way that cannot be cut
    out."""
    return _mask(text, _secrets()) if len(text) >= _SHORTEST else text


def masked(data: Data) -> Data:
    """Plain data, or a dataclass of it, with every secret hidden in its strings, keys included."""
    secrets = _secrets()
    found: Data = _masked(data, secrets) if secrets else data
    return found


@contextmanager
def looked_up_once() -> Iterator[None]:
    """For the many short texts of a page: within, the secrets are those known at its start. To look them up, in eleven
    variables, takes longer than to hide them."""
    before = _looked_up.set(_secrets())
    try:
        yield
    finally:
        _looked_up.reset(before)


def _secrets() -> list[str]:
    """The longest first, for one may be a part of another."""
    looked_up = _looked_up.get()
    if looked_up is not None:
        return looked_up
    values = {os.environ.get(name, "").strip() for name in _VARIABLES}
    for name in _PROXIES:
        values |= _passwords(os.environ.get(name, ""))
    known = _registered | {value for value in values if len(value) >= _SHORTEST}
    return sorted(known, key=lambda secret: (-len(secret), secret))


def _passwords(address: str) -> set[str]:
    """The password in a proxy's address, as it is written there and as it is sent."""
    if "@" not in address:
        return set()
    try:
        password = urlsplit(address if "://" in address else f"http://{address}").password or ""
    except ValueError:
        return set()
    return {password, unquote(password)}


def _masked(data: Any, secrets: list[str]) -> Any:
    if isinstance(data, str):
        return _mask(data, secrets) if len(data) >= _SHORTEST else data
    if isinstance(data, Mapping):
        return {_masked(key, secrets): _masked(value, secrets) for key, value in data.items()}
    if isinstance(data, list | tuple | set | frozenset):
        return type(data)(_masked(each, secrets) for each in data)
    if is_dataclass(data) and not isinstance(data, type):
        named = {each.name: _masked(getattr(data, each.name), secrets) for each in fields(data) if each.init}
        return replace(data, **named)
    return data


def _mask(text: str, secrets: list[str]) -> str:
    for secret in secrets:
        parts = _parts(secret)
        for cut in (_cut_escaped, _cut_runs):
            if not _holds(text, parts):
                break
            text = cut(text, secret)
        else:
            text = HIDDEN if _holds(text, parts) else text
    return text


@lru_cache(maxsize=64)
def _parts(secret: str) -> tuple[str, ...]:
    """What no text may hold of a secret, folded: all of it, or so much of its beginning or its end."""
    folded = _folded(secret)
    whole = len(folded) < _SHORTEST_PART + 4
    return (folded,) if whole else (folded[:_SHORTEST_PART], folded[-_SHORTEST_PART:])


_UNSEEN = r"[\s\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u180e\u200b-\u200f\u2028-\u202f\u2060-\u2069\ufeff]"
_UNSEEN_RUN = re.compile(f"{_UNSEEN}+")


def _folded(text: str) -> str:
    """Without what does not show, and without the difference of upper and lower case."""
    return _UNSEEN_RUN.sub("", text).casefold()


def _holds(text: str, parts: Sequence[str], depth: int = _DEPTH) -> bool:
    """Whether a part is in a text, or in what the text encodes."""
    folded = _folded(text)
    if any(part in folded for part in parts):
        return True
    if depth == 0:
        return False
    if any(_holds(view, parts, depth - 1) for view in _views(text)):
        return True
    runs = ((run, decode) for runs, decode in _RUNS for run in runs.findall(text))
    return any(_encodes(run, decode, parts, depth) for run, decode in runs)


def _encodes(run: str, decode: _Decode, parts: Sequence[str], depth: int = _DEPTH) -> bool:
    """Whether a run of letters holds a part in an encoding."""
    if len(run) < min(map(len, parts)) * 4 // 3 - 1:
        return False
    # Whatever is no encoding gives bytes of all kinds.
    return any(_holds(view, parts, depth - 1) for view in decode(run) if _IS_TEXT.search(view))


_IS_TEXT = re.compile(r"[\x09-\x0d\x20-\x7e]{8}|(?:[\x20-\x7e]\x00){8}")


_ESCAPE = re.compile(
    r"\\+(?:u\{([0-9a-fA-F]{1,6})\}|u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|([0-3][0-7]{2})|([nrtfv])|(.))", re.DOTALL
)


def _views(text: str) -> Iterator[str]:
    """What a text says once one layer of encoding is taken off; nothing where it has none."""
    found = []
    if "\\" in text:
        found.append(_ESCAPE.sub(_unescaped, text))
    if "%" in text:
        found.append(unquote(text))
    if "&" in text:
        found.append(html.unescape(text))
    if "=" in text:
        found.append(quopri.decodestring(text.encode("utf-8", "replace")).decode("utf-8", "replace"))
    yield from (view for view in found if view != text)


def _unescaped(match: re.Match[str]) -> str:
    braced, code, byte, octal, space, other = match.groups()
    if space or other:
        return str(other or " ")
    number = int(octal, 8) if octal else int(braced or code or byte, 16)
    return chr(number) if number < 0x110000 else ""


_LETTER = r"(?:[A-Za-z0-9+/_-]|\\+/|%2[BbFf]|(?<=[A-Za-z0-9+/]{60})(?:\\[rn]|[\r\n]){1,4}[ \t]*(?=[A-Za-z0-9+/=]))"
_PAIR = r"(?:(?:0x)?[0-9a-fA-F]{2}[\s:,-]{0,2})"
_HEX = re.compile(rf"{_PAIR}{{{_SHORTEST},}}")
_BASE64 = re.compile(rf"{_LETTER}{{11,}}(?:=|%3[Dd]|\\u003[Dd])*")
"""What may be base64; its lines may be broken."""


def _from_hex(run: str) -> Iterator[str]:
    digits = re.sub(r"0x|[\s:,-]", "", run)
    for start in (0, 1):
        yield bytes.fromhex(digits[start : len(digits) - (len(digits) - start) % 2]).decode("latin-1")


def _from_base64(run: str) -> Iterator[str]:
    """From each place that the encoding may begin at."""
    letters = re.sub(r"\\[rn]|[^A-Za-z0-9+/_-]", "", unquote(run)).replace("-", "+").replace("_", "/")
    for start in range(4):
        usable = letters[start:]
        usable = usable[:-1] if len(usable) % 4 == 1 else usable
        try:
            yield base64.b64decode(usable + "=" * (-len(usable) % 4)).decode("latin-1")
        except binascii.Error:
            continue


_Decode = Callable[[str], Iterator[str]]
_RUNS: tuple[tuple[re.Pattern[str], _Decode], ...] = ((_HEX, _from_hex), (_BASE64, _from_base64))


def _cut_escaped(text: str, secret: str) -> str:
    """The text without the secret, or its beginning or end, however each of its characters is escaped."""
    letters = _letters(secret)
    whole = len(secret) < _SHORTEST_PART + 4
    first = _pattern(letters if whole else letters[:_SHORTEST_PART])
    text = _replaced(text, first, letters[len(letters) if whole else _SHORTEST_PART :], forward=True)
    if whole:
        return text
    last = _pattern(letters[-_SHORTEST_PART:])
    return _replaced(text, last, letters[:-_SHORTEST_PART][::-1], forward=False)


def _replaced(text: str, part: re.Pattern[str], others: list[str], *, forward: bool) -> str:
    """The text with each match of the part hidden, and with it as many of the characters beside it as are there."""
    kept, done = [], 0
    while (found := part.search(text, done)) is not None:
        start, end = found.span()
        for letter in others:
            if forward:
                more = _pattern(["", letter]).match(text, end)
                if more is None:
                    break
                end = more.end()
            else:
                more = _pattern([letter, r"\Z"]).search(text, max(done, start - 24), start)
                if more is None:
                    break
                start = more.start()
        kept += [text[done:start], HIDDEN]
        done = end
    return "".join([*kept, text[done:]])


def _pattern(letters: Sequence[str]) -> re.Pattern[str]:
    """Characters in a row, with whatever does not show between them."""
    return re.compile(f"{_UNSEEN}*".join(letters), re.IGNORECASE)


@lru_cache(maxsize=64)
def _letters(secret: str) -> list[str]:
    """A pattern for each character of a secret: as it is, or escaped."""
    patterns = []
    for char in secret:
        code, itself = ord(char), re.escape(char)
        escapes = [
            rf"\\+(?:u\{{?0*{code:x}\}}?|x{code:02x}|{code:03o}|{itself})",
            rf"%(?:25)*{code:02x}",
            rf"&(?:amp;)*#(?:x0*{code:x}|0*{code});?",
            rf"={code:02x}",
            itself,
        ]
        patterns.append(f"(?:{'|'.join(escapes)})")
    return patterns


def _cut_runs(text: str, secret: str) -> str:
    """The text without the runs of letters that encode the secret."""
    parts = _parts(secret)

    for runs, decode in _RUNS:

        def hidden(match: re.Match[str], decode: _Decode = decode) -> str:
            return HIDDEN if _encodes(match[0], decode, parts) else match[0]

        text = runs.sub(hidden, text)
    return text
