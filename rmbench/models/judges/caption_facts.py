"""DCScore of the replies in which a judge splits a caption into facts, matches them with those of people, and verifies
them (DeCapBench, `eval/evaluation_decapbench.py`).

Each reply is a JSON list of objects that repeat the fact: `relevance` 0 or 1 in the first, `matched_oracle_id` in the
second (an oracle fact's number, from 0; null or "None" where there is none), `verification` 0 or 1 in the third. As
upstream has it, facts are told apart by their text, and all three lists must hold the same ones.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rmbench.models.judges.captions import CaptionFacts, caption_f1
from rmbench.models.judges.declaration import JudgeProtocol
from rmbench.models.judges.grammar import strip_reasoning
from rmbench.models.judges.verdict import CUT_THOUGHT, ParsedVerdict, unparsed
from rmbench.types import Example

__all__ = ["caption_facts", "oracle_facts", "rated_facts"]

_FENCE = "```"
_ORACLE = "oracle_facts"


def oracle_facts(example: Example) -> list[str]:
    """The facts that people named, of an example's context, a line each."""
    return [line for line in example.context.get(_ORACLE, "").splitlines() if line.strip()]


def rated_facts(replies: Sequence[str], finish: str, protocol: JudgeProtocol, oracle: Sequence[str]) -> ParsedVerdict:
    """100 x (F1 + F1 of relevant facts) / 2 of one caption; unparsed where the replies do not say it.

    Args:
        replies: three, the last one with its reasoning.
        finish: of the last.
        protocol: the judge's.
        oracle: the facts that people named.
    """
    last = strip_reasoning(replies[-1], protocol.think)
    if last is None or finish == "length":
        return unparsed(CUT_THOUGHT if last is None else "the reply was cut off by its length")
    try:
        facts = caption_facts((*replies[:-1], last), len(oracle))
        whole, relevant = caption_f1(facts)[2], caption_f1(facts, relevant=True)[2]
    except ValueError as error:
        return unparsed(str(error))
    return ParsedVerdict(100 * (whole + relevant) / 2)


def caption_facts(replies: Sequence[str], oracle: int) -> CaptionFacts:
    """A caption's facts as three replies have them, in the order of the third.

    Raises:
        ValueError: a reply is no list of facts, their facts differ, or a value is none of those expected.
    """
    split, matches, verified = (_listed(reply, number) for number, reply in enumerate(replies, 1))
    relevance = {_fact(each): _flag(each, "relevance") for each in split}
    matched = {_fact(each): _number(each, oracle) for each in matches}
    found = [(_fact(each), _flag(each, "verification")) for each in verified]
    for number, facts in ((2, set(matched)), (3, {fact for fact, _ in found})):
        if facts != set(relevance):
            missing, added = len(set(relevance) - facts), len(facts - set(relevance))
            raise ValueError(f"reply {number} leaves out {missing} of {len(relevance)} facts and adds {added}")
    return CaptionFacts(
        verified=[true for _, true in found],
        matched=[matched[fact] for fact, _ in found],
        relevant=[relevance[fact] for fact, _ in found],
        oracle=oracle,
    )


def _listed(reply: str, number: int) -> list[Mapping[str, Any]]:
    """The list in a reply: in its last fence where there is one, else from its first bracket to its last."""
    pieces = reply.split(_FENCE)
    text = pieces[-2].removeprefix("json") if len(pieces) > 2 else reply
    try:
        found = json.loads(text[text.index("[") : text.rindex("]") + 1])
    except (ValueError, RecursionError):
        raise ValueError(f"reply {number} holds no JSON list of facts") from None
    if not found or not all(isinstance(each, dict) and isinstance(each.get("fact"), str) for each in found):
        raise ValueError(f'reply {number}: expected a list of objects, each with a "fact"')
    return list(found)


def _fact(each: Mapping[str, Any]) -> str:
    return str(each["fact"])


def _flag(each: Mapping[str, Any], name: str) -> bool:
    value = each.get(name)
    if isinstance(value, bool) or value not in (0, 1):
        raise ValueError(f'"{name}" of a fact is {_short(value)}, expected 0 or 1')
    return bool(value)


def _number(each: Mapping[str, Any], oracle: int) -> int | None:
    """The oracle fact that a fact is matched with."""
    value = each.get("matched_oracle_id", "")
    if value in (None, "None"):
        return None
    number = (
        int(value) if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 9 else value
    )
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < oracle:
        raise ValueError(f'"matched_oracle_id" of a fact is {_short(value)}, expected 0 to {oracle - 1} or "None"')
    return number


def _short(value: object) -> str:
    return repr(value)[:40]
