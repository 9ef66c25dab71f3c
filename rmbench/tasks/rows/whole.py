"""Candidates given as whole conversations, prompt included, which would otherwise be read with the prompt twice."""

from __future__ import annotations

from dataclasses import replace

from rmbench.tasks.rows.fields import RawRow
from rmbench.types import Candidate, Conversation, Message

__all__ = ["without_prompt"]


def without_prompt(
    row: RawRow, prompt: Conversation, candidates: tuple[Candidate, ...], *, declared: bool
) -> tuple[Candidate, ...]:
    """The candidates, as they are or, where the task declares that they hold it, without their prompt.

    Raises:
        RmbenchError: a candidate begins with its prompt, which is not declared; or is declared to and does not, or has
            nothing behind it.
    """
    if not declared:
        for k, candidate in enumerate(candidates):
            if _holds(candidate.prompt or prompt, candidate.messages):
                raise row.error(
                    f"candidate {k} begins with the prompt, which a model would read twice. Set `answers_hold_prompt = "
                    "true` under [columns] if candidates are whole conversations: the prompt is then taken off them."
                )
        return candidates
    return tuple(_bare(row, k, each, each.prompt or prompt) for k, each in enumerate(candidates))


def _bare(row: RawRow, k: int, candidate: Candidate, prompt: Conversation) -> Candidate:
    held = _length(prompt, candidate.messages)
    if not held:
        raise row.error(f"candidate {k} does not begin with the prompt, though [columns] has `answers_hold_prompt`.")
    if held == len(candidate.messages):
        raise row.error(f"candidate {k} is the prompt alone, without an answer (`answers_hold_prompt` of [columns]).")
    return replace(candidate, messages=candidate.messages[held:])


def _holds(prompt: Conversation, messages: Conversation) -> bool:
    """Whether a candidate begins with the prompt, after a system message of its own or without one."""
    after = messages[1:] if messages[0].role == "system" else ()
    return _length(prompt, messages) > 0 or _length(prompt, after) > 0


def _length(prompt: Conversation, messages: Conversation) -> int:
    """How many of the first messages are the prompt, or its end; 0: they are not.

    Only roles that no answer begins with count: an answer that repeats the question is still an answer.
    """
    if not messages or messages[0].role not in ("system", "user"):
        return 0
    return next((size for size in range(len(prompt), 0, -1) if _same(prompt[-size:], messages[:size])), 0)


def _same(some: Conversation, others: Conversation) -> bool:
    return [_spelled(message) for message in some] == [_spelled(message) for message in others]


def _spelled(message: Message) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    return message.role, message.text.strip(), message.extra
