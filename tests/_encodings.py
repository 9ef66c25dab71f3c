"""The forms in which a server may repeat a key, and whether a text or a file holds one of them."""

from __future__ import annotations

import base64
import html
import json
import quopri
from collections.abc import Callable
from urllib.parse import quote

__all__ = ["FORMS", "fragments"]


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _each(form: str) -> Callable[[str], str]:
    return lambda key: "".join(form.format(ord(char)) for char in key)


FORMS: dict[str, Callable[[str], str]] = {
    "as it is": lambda key: key,
    "in capitals": str.upper,
    "JSON, slashes": lambda key: json.dumps(key)[1:-1].replace("/", "\\/"),
    "JSON, one code": lambda key: key.replace("s", "\\u0073", 1),
    "JSON, all codes": _each("\\u{:04x}"),
    "JSON, capital codes": _each("\\u{:04X}"),
    "JSON within JSON": lambda key: json.dumps(json.dumps(_each("\\u{:04x}")(key)))[1:-1],
    "Python's repr": lambda key: repr({"Authorization": f"Bearer {key}"}),
    "bytes": _each("\\x{:02x}"),
    "octal": _each("\\{:03o}"),
    "URL": lambda key: quote(key, safe=""),
    "URL, every letter": _each("%{:02X}"),
    "URL twice": lambda key: quote(quote(key, safe=""), safe=""),
    "HTML": lambda key: html.escape(_each("&#{};")(key), quote=False).replace("&amp;#", "&#"),
    "HTML, hexadecimal": _each("&#x{:x};"),
    "HTML, named": lambda key: key.replace("+", "&plus;").replace("/", "&sol;").replace("-", "&#45;"),
    "mail": lambda key: quopri.encodestring(key.encode(), quotetabs=True).decode(),
    "mail, every letter": _each("={:02X}"),
    "base64": _b64,
    "base64 for URLs": lambda key: base64.urlsafe_b64encode(key.encode()).decode().rstrip("="),
    "base64 of the header": lambda key: _b64(f"Bearer {key}"),
    "base64 of user:key": lambda key: _b64(f"user:{key}"),
    "base64 of :key": lambda key: _b64(f":{key}"),
    "base64 of key:": lambda key: _b64(f"{key}:"),
    "base64 in JSON": lambda key: _b64(f"ab{key}???").replace("/", "\\/"),
    "base64 in a URL": lambda key: quote(_b64(f"x{key}?>?"), safe=""),
    "base64 of JSON": lambda key: _b64(json.dumps({"key": key}).replace("/", "\\/")),
    "base64 twice": lambda key: _b64(_b64(key)),
    "base64 in lines": lambda key: base64.encodebytes(f"Bearer {key}{'=' * 40}".encode()).decode(),
    "hexadecimal": lambda key: key.encode().hex(),
    "hexadecimal in capitals": lambda key: key.encode().hex().upper(),
    "hexadecimal, colons": lambda key: key.encode().hex(":"),
    "hexadecimal of base64": lambda key: _b64(key).encode().hex(),
    "spaced": " ".join,
    "with what does not show": "\u200b".join,
    "broken": lambda key: f"{key[:9]}\r\n {key[9:]}",
    "cut at the end": lambda key: f"{key[:20]}...",
    "cut at the start": lambda key: f"...{key[-16:]}",
}


def fragments(key: str) -> set[bytes]:
    """What no output may hold: each form whole, and pieces of the key and of its base64 and hexadecimal."""
    pieces = {key[:12], key[-12:], key[6:24], key.encode().hex()[:24], key.encode().hex()[-24:]}
    for lead in ("", "a", "ab", "Bearer ", "user:", ":"):
        inner = _b64(lead + key)
        start = (len(lead) * 8 + 5) // 6 + 1  # letters that the lead has a part in are left out
        pieces |= {inner[start : start + 16], inner[start + 16 : start + 32]}
    forms = {form(key).strip() for form in FORMS.values()}
    return {piece.encode() for piece in pieces | forms}
