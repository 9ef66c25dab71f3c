"""Quotes reserved marks in the text of candidates, so that none can forge a verdict or a delimiter, and unquotes them.

A mark is a string with a meaning to the prompt, the parser or a chat template: the verdict's own mark, a delimiter, a
think tag, a chat template's special token. Quoting inserts a tilde after the first character of each:

    [[A]] -> [~[A]]        </think> -> <~/think>        <|im_start|> -> <~|im_start|>

A mark that already contains tildes gets one more, so quoting is exactly invertible, whatever the text. ASCII case is
ignored. Look-alikes in other scripts are not quoted: no parser here reads them, and no tokenizer takes them for its
special tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rmbench.models.judges.declaration import JudgeProtocol
from rmbench.models.judges.verdict_format import PLACEHOLDER
from rmbench.models.plain import HEADERS

__all__ = ["CHAT_MARKS", "VISION_MARKS", "Quoting", "reserved_marks"]

CHAT_MARKS = (
    "<|{word}|>",
    "<\uff5c{word}\uff5c>",  # DeepSeek's, with full-width bars
    "[INST]",
    "[/INST]",
    "[SYSTEM_PROMPT]",
    "[/SYSTEM_PROMPT]",
    "<<SYS>>",
    "<</SYS>>",
    "<s>",
    "</s>",
    "<bos>",
    "<eos>",
    "<pad>",
    "<unk>",
    "<start_of_turn>",
    "<end_of_turn>",
    "<start_of_image>",
    "[BOS]",
    "[EOS]",
)
"""Special tokens of the chat templates in common use."""
VISION_MARKS = (
    "<image>",
    "<video>",
    "<img>",
    "</img>",
    "<IMG_CONTEXT>",
    "<image_soft_token>",
    "<image_placeholder>",
    "<image_pad>",
    "<im_start>",
    "<im_end>",
    "<im_patch>",
    "<end_of_image>",
    "<fake_token_around_image>",
    "<global-img>",
    "<end_of_utterance>",
    "[IMG]",
    "[IMG_BREAK]",
    "[IMG_END]",
    "<row_{number}_col_{number}>",
)
"""Texts that vision-language models, or the servers around them, take for the place of an image or a video, besides
those of CHAT_MARKS. Quoted where a protocol shows any: `<video>` in an answer that is code stays as it is elsewhere."""


_TILDES = "~*+"
_LONGEST = 128  # characters of a placeholder, white space in a row being one


def _run(characters: str, *, spaced: bool = False) -> str:
    """Several of these characters, with tildes anywhere. Their number is limited, so that a search stays linear in the
    text, whatever the mark."""
    space = r"|\s[\s~]*+" if spaced else ""
    return f"(?:{characters}~*+{space}){{1,{_LONGEST}}}"


_WILD = {
    "letter": "[A-Za-z]",
    "label": _run("[A-Za-z0-9]"),
    "number": _run("[0-9.]"),
    "ranking": _run("[A-Za-z0-9>]", spaced=True),
    "numbers": _run("[0-9.,]", spaced=True),
    "word": _run("[^<>|\uff5c\n~]"),
}
_WILD_NAME = re.compile(r"\{(" + "|".join(_WILD) + r")\}")
_PREFIX = 4  # characters that make the text before a placeholder a mark by itself


def reserved_marks(protocol: JudgeProtocol) -> tuple[str, ...]:
    """What is quoted in every text shown: the protocol's own marks, the headers of turns, then `CHAT_MARKS`."""
    verdict_format = protocol.verdict
    # The common think tags even where the protocol has none: a server may remove the text between them.
    marks = [*protocol.reserved, *(tag for pair in protocol.think for tag in pair), "<think>", "</think>"]
    marks += [verdict_format.tie] if verdict_format.tie else []
    if verdict_format.place in ("tag", "tags"):
        marks += [f"<{verdict_format.tag}>", f"</{verdict_format.tag}>"]
    if verdict_format.place == "json":
        marks.append(f'"{verdict_format.tag}"')
    if verdict_format.place == "boxed":
        marks.append("\\boxed{")
    elif verdict_format.place in ("last", "end", "tag", "tags") or PLACEHOLDER.sub("", verdict_format.mark).strip():
        marks += _verdict_marks(protocol)
    return tuple(dict.fromkeys([*marks, *HEADERS, *CHAT_MARKS, *(VISION_MARKS if protocol.media else ())]))


def _verdict_marks(protocol: JudgeProtocol) -> list[str]:
    """The verdict's mark up to its placeholder where that is long enough, else whole."""
    verdict_format = protocol.verdict
    before = verdict_format.mark[: verdict_format.mark.index("{" + verdict_format.form + "}")].strip()
    if len(before) >= _PREFIX:
        return [before]
    if verdict_format.form == "value":
        return [verdict_format.mark.replace("{value}", value) for value in verdict_format.values]
    return [verdict_format.mark] if PLACEHOLDER.sub("", verdict_format.mark).strip() else []


@dataclass(frozen=True)
class Quoting:
    """Quotes a set of marks."""

    pattern: re.Pattern[str]
    starts: re.Pattern[str]
    """The characters that marks begin with: to look for these first takes a tenth of the time."""

    @classmethod
    def of(cls, marks: Iterable[str]) -> Quoting:
        """The quoting of marks, in which {letter}, {label}, {number}, {numbers}, {ranking} and {word} stand for any."""
        # A mark matches with tildes anywhere in it, so that quoting one never hides or creates another.
        longest_first = sorted(marks, key=len, reverse=True)
        alternatives = "|".join(map(_tolerant, longest_first))
        firsts = "".join(re.escape(mark[0]) for mark in longest_first)
        open_ended = any(map(_WILD_NAME.match, longest_first))
        flags = re.IGNORECASE | re.ASCII
        return cls(re.compile(alternatives, flags), re.compile("" if open_ended else f"[{firsts}]", flags))

    def quote(self, text: str) -> str:
        """The text with every mark quoted."""
        out, last = [], 0
        for place in self._places(text):
            out += [text[last : place + 1], "~"]
            last = place + 1
        return "".join([*out, text[last:]])

    def unquote(self, text: str) -> str:
        """The inverse of `quote`."""
        out, last = [], 0
        for place in self._places(text):
            after = place + 1
            if text[after : after + 1] == "~" and after >= last:
                out.append(text[last:after])
                last = after + 1
        return "".join([*out, text[last:]])

    def _places(self, text: str) -> Iterator[int]:
        """Where marks begin, within each other too."""
        for first in self.starts.finditer(text):
            if self.pattern.match(text, first.start()):
                yield first.start()


def _tolerant(mark: str) -> str:
    parts, last = [], 0
    for match in _WILD_NAME.finditer(mark):
        parts += [re.escape(char) for char in mark[last : match.start()]]
        parts.append(_WILD[match[1]])
        last = match.end()
    parts += [re.escape(char) for char in mark[last:]]
    return _TILDES.join(parts)
