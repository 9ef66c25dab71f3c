"""Digests of files and data, and command lines without their secrets."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rmbench.untrusted.masking import HIDDEN, mask

__all__ = ["clean_command", "digest_of", "hide_tokens", "sha256_file"]

_HIDE = (
    r"(?:[\w.-]*[_.-])?(?:token|key|apikey|secret|password|passwd|passphrase|pwd|auth|authorization|bearer|"
    r"credentials?)"
)
_KEEP = r"(?:bos|eos|pad|unk|sep|cls|mask)[_-]token"  # settings, not secrets
_OPTION = re.compile(rf"-{{1,2}}+(?!{_KEEP}$){_HIDE}", re.IGNORECASE)
_WHOLE = re.compile(
    rf"(--?(?!(?i:{_KEEP})=)(?i:{_HIDE})|[A-Z0-9_]*(?:TOKEN|KEY|SECRET|PASSWORD|PASSWD|PASS))=.*", re.DOTALL
)
_PAIR = re.compile(rf"(?<![\w.-])((?!{_KEEP}=){_HIDE})=([^,&;\s]*)", re.IGNORECASE)
_QUOTED = re.compile(rf"(?<![\w.-])({_HIDE}[\"']?\s*[:=]\s*)([\"']).*?\2", re.IGNORECASE | re.DOTALL)
_HEADER = re.compile(rf"(?<![\w.-])({_HIDE}\s*:\s*|bearer\s+)[^\s\"'].*", re.IGNORECASE | re.DOTALL)
_USER_INFO = re.compile(r"(?<=://)[^/\s@]+@")
_KNOWN_SHAPES = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"hf_(?:[A-Za-z0-9]{20,}|(?=[A-Za-z]*[0-9])[A-Za-z0-9]{6,})"
    r"|sk-(?:[A-Za-z0-9_-]{20,}|(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{6,})"
    r"|gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,}|glpat-[\w-]{12,}|xox[abeprs]-[\w-]{8,}|AKIA[0-9A-Z]{12,}"
    r"|AIza[\w-]{20,}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"
    r")"
)


def sha256_file(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of(value: Any) -> str:
    """Hex sha256 of plain data as canonical JSON: keys sorted, no spaces, no NaN."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def clean_command(command: str | Sequence[str]) -> str:
    """A command line as one shell line, secrets replaced by `***`.

    Removed: values of options and assignments named like a secret (`--api-key X`, `--token=X`, `HF_TOKEN=X`,
    `--model-args api_key=X`), header values, user and password in addresses, and words shaped like known access
    tokens (`hf_...`, `sk-...`). Counts such as `--batch-tokens 4096` stay.

    >>> clean_command(["rmbench", "run", "--token", "abc", "--batch-tokens", "8"])
    'rmbench run --token *** --batch-tokens 8'
    """
    words = _words(command) if isinstance(command, str) else list(command)
    cleaned: list[str] = []
    secret_next = False
    for word in words:
        cleaned.append(HIDDEN if secret_next else _clean_word(word))
        secret_next = not secret_next and _OPTION.fullmatch(word) is not None
    return " ".join(word if HIDDEN in word and _is_plain(word) else shlex.quote(word) for word in map(mask, cleaned))


def hide_tokens(text: str) -> str:
    """A text without the words that are shaped like known access tokens.

    >>> hide_tokens("the key sk-" + "a1" * 12 + " was refused")
    'the key *** was refused'
    """
    return _KNOWN_SHAPES.sub(HIDDEN, text)


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:  # an open quote: no shell line, so cut at spaces
        return command.split()


def _clean_word(word: str) -> str:
    whole = _WHOLE.fullmatch(word)
    if whole:
        return f"{whole[1]}={HIDDEN}"
    word = _USER_INFO.sub(f"{HIDDEN}@", word)
    word = _QUOTED.sub(rf"\g<1>\g<2>{HIDDEN}\g<2>", word)
    word = _HEADER.sub(rf"\g<1>{HIDDEN}", word)
    word = _PAIR.sub(rf"\g<1>={HIDDEN}", word)
    return _KNOWN_SHAPES.sub(HIDDEN, word)


def _is_plain(word: str) -> bool:
    """Whether the word needs no quotes apart from our stars."""
    rest = word.replace(HIDDEN, "")
    return not rest or shlex.quote(rest) == rest
