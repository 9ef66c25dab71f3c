"""Byte-level BPE word by word: the ids that a fast tokenizer gives, several times as fast.

Such a tokenizer cuts a text at its special tokens, cuts what is between them into words by a regular expression, and
merges the bytes of each word by itself. So a word that was seen before has its ids, and only new words are asked for.
Three facts make this exact, and what they do not hold for is left to the tokenizer:

- Its settings say how it cuts (`_CUTS`); nothing else is taken for known.
- For ASCII alone, Python's `re` and the tokenizer's library agree on what is a letter, a digit or white space.
- A space between two ASCII letters always begins a word, so that a text with other characters may be cut there, and
  only the parts that hold them are given to the tokenizer.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Sequence
from typing import Any

__all__ = ["WordTokenizer", "word_tokenizer"]

_KEPT = 200_000
"""Words whose ids are kept, some 50 MB; more are hardly met again."""
_LONGEST = 64
"""Characters of a word, or of a part, that is kept."""
_KEPT_OTHERS = 20_000
"""Parts with other characters than ASCII whose ids are kept."""

_GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+"
_GPT2_DIGITS = r"'(?:[sdmt]|ll|ve|re)| ?[A-Za-z]+|[0-9]| ?[^\sA-Za-z0-9]+|\s+(?![^\s0-9])|\s+"
_LLAMA3 = (
    r"'(?:[sdmtSDMT]|[lL][lL]|[vV][eE]|[rR][eE])|[^\r\nA-Za-z0-9]?[A-Za-z]+|[0-9]{1,3}| ?[^\sA-Za-z0-9]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_BYTES = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
_BYTES_ALONE = {**_BYTES, "use_regex": False}


def _split(digits: str) -> dict[str, Any]:
    """The cut of Llama 3 and its followers, as tokenizer.json spells it."""
    words = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
        + digits
        + r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    return {"type": "Split", "pattern": {"Regex": words}, "behavior": "Isolated", "invert": False}


_CUTS: tuple[tuple[Any, str], ...] = (
    (_BYTES, _GPT2),
    ([{"type": "Digits", "individual_digits": True}, _BYTES], _GPT2_DIGITS),
    ([_split(r"\p{N}{1,3}"), _BYTES_ALONE], _LLAMA3),
    ([_split(r"\p{N}"), _BYTES_ALONE], _LLAMA3.replace("{1,3}", "")),
)
"""Settings of a pre-tokenizer, and the words that it cuts out of ASCII."""

_SPACE = re.compile(r"(?<=[A-Za-z]) (?=[A-Za-z])")
"""A space before which a text may be cut whatever stands in it."""
_NO_ASCII = re.compile(r"[^\x00-\x7f]+")

_BYTE_LETTERS = {code: chr(code if 33 <= code <= 126 else 256 + code - 94 * (code == 127)) for code in range(128)}
"""ASCII -> the letters that stand for bytes in byte-level vocabularies: those that print stand for themselves, the
others are numbered from 256 in their order (GPT-2's `bytes_to_unicode`)."""

_PROBE = (
    "It's  here, isn't it?\n\n\tYes: 1234567 and 89.\r\n \n  IT'LL do ---\n\n(x+y)_{i}  = [0.5];\n",
    " “Ça va?” the naïve girl\u00a0said… in 2024 \u2028 日本語 and 한국어 ’S text\u3000here é\n\n e\u0301 ok ",
    "\x0b\x1c\x1d\x7f\x00 a \x85b 'd 'D",
)


class _Known(dict[str, tuple[int, ...]]):
    """Word -> its ids; one that is new is asked for."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self._model = model

    def __missing__(self, word: str) -> tuple[int, ...]:
        ids = tuple(token.id for token in self._model.tokenize(word.translate(_BYTE_LETTERS)))
        if len(word) <= _LONGEST:
            if len(self) >= _KEPT:
                self.clear()
            self[word] = ids
        return ids


class WordTokenizer:
    """See `word_tokenizer`."""

    def __init__(self, backend: Any, words: str, specials: dict[str, int]) -> None:
        self._backend = backend
        self._words = re.compile(words, re.ASCII)
        self._specials = specials
        longest_first = sorted(specials, key=lambda text: (-len(text), text))
        self._special = re.compile(f"({'|'.join(map(re.escape, longest_first))})") if specials else None
        self._known = _Known(backend.model)
        self._others: dict[str, list[int]] = {}

    def __call__(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, special tokens that stand in it included and none added. What texts have in common
        between special tokens, a prompt say, is looked at once."""
        cut = [self._special.split(text) if self._special else [text] for text in texts]  # text, special token, text
        parts = {piece: _parts(piece) for pieces in cut for piece in set(pieces[::2]) if not piece.isascii()}
        beyond = self._beyond({part for of_piece in parts.values() for part in of_piece[1::2]})
        known: dict[str, list[int]] = {"": []}
        ids = []
        for pieces in cut:
            row: list[int] = []
            for place, piece in enumerate(pieces):
                if place % 2:
                    row.append(self._specials[piece])
                    continue
                if piece not in known:
                    known[piece] = self._piece(parts.get(piece, (piece,)), beyond)
                row += known[piece]
            ids.append(row)
        return ids

    def _beyond(self, parts: set[str]) -> dict[str, list[int]]:
        """The ids of parts that hold other characters; the library is asked for those that were not met before."""
        found = {part: self._others[part] for part in parts & self._others.keys()}
        asked = sorted(parts - found.keys())
        found |= dict(zip(asked, self._of_library(asked), strict=True)) if asked else {}
        if len(self._others) + len(asked) > _KEPT_OTHERS:
            self._others.clear()
        self._others.update({part: found[part] for part in asked[:_KEPT_OTHERS] if len(part) <= _LONGEST})
        return found

    def _of_library(self, parts: list[str]) -> list[list[int]]:
        """Whole, as transformers asks for them; the last call of the tokenizer may have had other wishes."""
        if self._backend.truncation is not None:
            self._backend.no_truncation()
        if self._backend.padding is not None:
            self._backend.no_padding()
        return [each.ids for each in self._backend.encode_batch(parts, add_special_tokens=False)]

    def __reduce__(self) -> tuple[Any, ...]:
        return WordTokenizer, (self._backend, self._words.pattern, self._specials)

    def _piece(self, parts: Sequence[str], beyond: dict[str, list[int]]) -> list[int]:
        """The ids of a text, given in parts as by `_parts`."""
        ids = self._ascii(parts[0])
        for other, ascii_ in zip(parts[1::2], parts[2::2], strict=True):
            ids += beyond[other]
            ids += self._ascii(ascii_)
        return ids

    def _ascii(self, text: str) -> list[int]:
        return list(itertools.chain.from_iterable(map(self._known.__getitem__, self._words.findall(text))))


def _parts(piece: str) -> list[str]:
    """A text cut at spaces between letters: parts of ASCII alone, the first and each second one, and between them those
    that hold other characters."""
    parts: list[str] = []
    end = 0
    while other := _NO_ASCII.search(piece, end):
        start = _last_space(piece, end, other.start())
        after = _SPACE.search(piece, other.end())
        parts.append(piece[end:start])
        end = after.start() if after else len(piece)
        parts.append(piece[start:end])
    return [*parts, piece[end:]]


def _last_space(piece: str, start: int, end: int) -> int:
    """Where the last space between letters stands in a part of a text, else where the part starts."""
    place = end
    while (place := piece.rfind(" ", start, place)) > start:
        if _SPACE.match(piece, place):
            return place
    return start


def word_tokenizer(tokenizer: Any) -> WordTokenizer | None:
    """What gives the ids that `tokenizer(texts, add_special_tokens=False)` gives, or None where its settings are not
    among those that are known, or a trial on a few texts shows a difference."""
    backend: Any = getattr(tokenizer, "_tokenizer", None)
    if type(backend).__module__.partition(".")[0] != "tokenizers" or not _is_plain(tokenizer):
        return None
    words = _words_of(backend)
    added = backend.get_added_tokens_decoder()
    if words is None or any(
        each.lstrip or each.rstrip or each.single_word or not each.content for each in added.values()
    ):
        return None
    normalised = {each.normalized for each in added.values()}
    if len(normalised) > 1 or (True in normalised and backend.normalizer is not None):
        return None
    made = WordTokenizer(backend, words, {each.content: token for token, each in added.items()})
    probe = [
        *_PROBE,
        "".join(f"{text} {each.content}\n" for text, each in zip(itertools.cycle(_PROBE), added.values())),
    ]
    wanted = tokenizer(probe, add_special_tokens=False, verbose=False)["input_ids"]
    return made if made(probe) == wanted else None


def _is_plain(tokenizer: Any) -> bool:
    """Whether nothing but the backend decides on ids: no method of a class of its own, no special tokens read as
    text."""
    from transformers import PreTrainedTokenizerFast

    library = getattr(type(tokenizer), "_encode_plus", None) is PreTrainedTokenizerFast._encode_plus
    own = type(tokenizer).__call__ is PreTrainedTokenizerFast.__call__
    return library and own and not getattr(tokenizer, "split_special_tokens", False)


def _words_of(backend: Any) -> str | None:
    """The expression for the words of ASCII; None for a tokenizer of another kind."""
    from tokenizers.models import BPE

    if not isinstance(backend.model, BPE) or backend.model.dropout:
        return None
    if backend.normalizer is not None and json.loads(backend.normalizer.__getstate__()) != {"type": "NFC"}:
        return None
    settings = json.loads(backend.pre_tokenizer.__getstate__()) if backend.pre_tokenizer is not None else None
    if isinstance(settings, dict) and settings["type"] == "Sequence":
        settings = settings["pretokenizers"]
    listed = settings if isinstance(settings, list) else [settings]
    plain = [{key: each[key] for key in each if key != "trim_offsets"} for each in listed if isinstance(each, dict)]
    return next((words for known, words in _CUTS if plain == (known if isinstance(known, list) else [known])), None)
