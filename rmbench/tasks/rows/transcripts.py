r"""Transcripts: conversations written as one text, each turn behind a mark, as in HH-RLHF."""

from __future__ import annotations

import re

from rmbench.types import Conversation, Message

__all__ = ["transcript"]

_TURN = re.compile(r"(?:\A\s*|\n\n)(Human|Assistant):")
_ROLE = {"Human": "user", "Assistant": "assistant"}


def transcript(text: str) -> Conversation:
    r"""The turns of a text that begins with `Human:` and has `\n\nAssistant:` later; () of any other text.

    Only marks behind two newlines begin a turn. A turn loses one leading space; an `Assistant:` with nothing behind it
    at the end announces an answer and is no turn.
    """
    if _TURN.match(text) is None:  # nearly every text, which need not be searched
        return ()
    marks = list(_TURN.finditer(text))
    if [mark[1] for mark in marks[:2]] != ["Human", "Assistant"]:
        return ()
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    turns = [(mark[1], text[mark.end() : end].removeprefix(" ")) for mark, end in zip(marks, ends, strict=True)]
    if turns[-1][0] == "Assistant" and not turns[-1][1].strip():
        turns.pop()
    return tuple(Message.of(_ROLE[name], spoken) for name, spoken in turns)
