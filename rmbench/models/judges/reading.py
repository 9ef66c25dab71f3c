"""From a judge's reply to its verdict, and what of the reply is kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rmbench.media import MEDIA_REJECTED
from rmbench.models.judges.caption_facts import oracle_facts, rated_facts
from rmbench.models.judges.declaration import JudgeProtocol
from rmbench.models.judges.parsers import PARSERS
from rmbench.models.judges.settings import JudgeSettings
from rmbench.models.judges.verdict import (
    CUT_THOUGHT,
    NO_VERDICT_AFTER_THOUGHT,
    ParsedVerdict,
    VerdictParser,
    unparsed,
    unreached,
)
from rmbench.models.servers.generation import FINISHED, REFUSED, Reply
from rmbench.types import Example

__all__ = ["rationale_of", "read_reply", "remarks_of", "storable"]

_SHOWN = 200
"""Characters of a reply that a reason repeats."""


def read_reply(
    reply: Reply,
    size: int,
    earlier: Sequence[str],
    example: Example,
    *,
    protocol: JudgeProtocol,
    parser: VerdictParser,
    settings: JudgeSettings,
) -> ParsedVerdict:
    """The verdict in a reply, or why there is none.

    Args:
        reply: the last one to a question.
        size: how many candidates it is about.
        earlier: the texts of the replies before it.
        example: the whole one.
        protocol: that the question follows.
        parser: of the protocol.
        settings: of the judge.
    """
    if reply.error:
        refused = reply.error.startswith(MEDIA_REJECTED)
        return ParsedVerdict(None, "failed", reply.error, remark=MEDIA_REJECTED if refused else "")
    if reply.finish == REFUSED:
        return unparsed(f"the judge refuses: {_shown(reply.text)}", remark="answers_refused")
    if reply.finish not in FINISHED:
        return _unfinished(reply)
    if protocol.verdict.options and (reply.options is not None or reply.path == "logprobs"):
        if reply.options is None:
            return unreached(cut=reply.finish == "length")
        least = settings.min_option_mass
        return parser.parse_options(reply.options, reply.bound, min_mass=least)
    if len(reply.text) > settings.max_reply:
        why = f"too long: {len(reply.text):,} characters, max_reply is {settings.max_reply:,}"
        return unparsed(why, remark="answers_too_long")
    if not reply.text.strip():
        return _empty(reply)
    if protocol.verdict.place == "facts":
        return rated_facts((*earlier, reply.text), reply.finish, protocol, oracle_facts(example))
    if settings.parser != "rmbench":
        return PARSERS[settings.parser](reply.text, size, protocol.verdict.reads)
    return parser.parse(reply.text, reply.finish, size)


def rationale_of(reply: Reply, most: int) -> str:
    """The judge's text after its reasoning, at most so many characters of each; lone surrogates, which no file can
    store, replaced."""
    reasoning = f"<think>\n{reply.reasoning[:most]}\n</think>\n" if reply.reasoning else ""
    return storable(reasoning + reply.text[:most])


def storable(text: str) -> str:
    """The text with lone surrogates replaced."""
    return text.encode("utf-8", "replace").decode("utf-8")


def remarks_of(replies: Iterable[Reply]) -> Iterator[str]:
    """What the record counts of the replies: the path of each, and those that were cut off."""
    for reply in replies:
        if reply.error:
            yield "answers_failed"
            continue
        yield f"answers_{reply.path}"
        yield from reply.remarks
        if reply.finish == "length":
            yield "answers_cut"


def _unfinished(reply: Reply) -> ParsedVerdict:
    """The failure of a reply that the server ended in another way than by a stop or its length, in its own words."""
    filtered = reply.finish == "content_filter"
    why = f"{'the filter of the server' if filtered else 'the server'} ended the reply ({reply.finish})"
    words = f": {_shown(reply.text)}" if reply.text.strip() else ""
    return ParsedVerdict(None, "failed", why + words, remark="answers_filtered" if filtered else "")


def _empty(reply: Reply) -> ParsedVerdict:
    """The verdict of a reply without text."""
    if reply.finish == "length":
        hidden = "max_tokens ends in a thought that the server does not show, before the verdict; more are needed"
        return unparsed(CUT_THOUGHT if reply.reasoning else hidden)
    return unparsed(NO_VERDICT_AFTER_THOUGHT if reply.reasoning else "the reply is empty")


def _shown(text: str) -> str:
    """The beginning of a text in one line."""
    line = " ".join(text.split())
    return line[:_SHOWN] + " ..." if len(line) > _SHOWN else line
