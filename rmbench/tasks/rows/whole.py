"""Candidates given as whole conversations, prompt included, which would otherwise be read with the prompt twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rmbench.tasks.rows.fields import RawRow
from rmbench.tasks.rows.transcripts import transcript
from rmbench.types import Candidate, Conversation, Example, Message

__all__ = ["common_prompt", "refuse_repeated", "without_prompt"]

_OPEN_TURN = (":", ">", "]")
"""How the header of an answer to come ends: `Assistant:`, `<|assistant|>`, `[/INST]`."""

_BEFORE_ANSWERS = ("system", "user")
"""Roles that no answer begins with."""


def common_prompt(row: RawRow, candidates: Sequence[Candidate]) -> tuple[Conversation, tuple[Candidate, ...]]:
    """The longest beginning that all candidates have in common, in whole turns, and what each has behind it.

    Raises:
        RmbenchError: there is none, or a candidate is no conversation.
    """
    wholes = [_turns(candidate) for candidate in candidates]
    for k, whole in enumerate(wholes):
        if len(whole) < 2:
            raise row.error(
                f"candidate {k} is a single message, with no prompt before it (`answers_hold_prompt` of [columns] "
                "reads lists of messages, and texts whose turns begin with Human: and Assistant:)."
            )
    most = min(map(len, wholes)) - 1
    first = wholes[0]
    size = next(
        (place for place in range(most) if any(not _same(first[place:][:1], each[place:][:1]) for each in wholes)), most
    )
    if not size:
        raise row.error("the candidates have no beginning in common that could be the prompt (`answers_hold_prompt`).")
    kept = tuple(replace(each, messages=whole[size:]) for each, whole in zip(candidates, wholes, strict=True))
    return first[:size], kept


def without_prompt(
    row: RawRow, prompt: Conversation, candidates: tuple[Candidate, ...], *, declared: bool
) -> tuple[Conversation, tuple[Candidate, ...]]:
    """The prompt and the candidates, as they are or, where the task declares that they hold it, without their prompt.

    Raises:
        RmbenchError: a candidate begins with its prompt, which is not declared; or is declared to and does not, or has
            nothing behind it.
    """
    if not declared:
        held = [_holds(each.prompt or prompt, _turns(each)) for each in candidates]
        if any(held) or _continued(prompt, candidates):
            k = held.index(True) if any(held) else 0
            raise row.error(
                f"candidate {k} begins with the prompt, which a model would read twice. Set `answers_hold_prompt = "
                "true` under [columns] if candidates are whole conversations: the prompt is then taken off them."
            )
        return prompt, candidates
    prompt = (*_system_of(prompt, candidates), *prompt)
    bare = tuple(_bare(row, k, each, each.prompt or prompt) for k, each in enumerate(candidates))
    return _turns(Candidate(prompt)), tuple(
        each if each.prompt is None else replace(each, prompt=_turns(Candidate(each.prompt))) for each in bare
    )


def refuse_repeated(pairs: Sequence[tuple[RawRow, Example]]) -> None:
    """Raise RmbenchError where every candidate of every row, of several prompts, is a text that repeats the prompt.

    One answer may well begin with the question's words; that all do means that the prompt is written in them, and would
    be read twice.
    """
    asked = {each.prompt for _, each in pairs}
    if len(asked) > 1 and all(_repeats(each) for _, each in pairs):
        raise pairs[0][0].error(
            "the candidates begin with the prompt, as those of all rows do, and a model would read it twice. Set "
            "`answers_hold_prompt = true` under [columns], by which it is taken off them; or `answers_hold_prompt = "
            "false` where it belongs to them."
        )


def _repeats(example: Example) -> bool:
    start = example.prompt[-1].text.strip() if len(example.prompt) == 1 else ""
    texts = [each.messages[0].text if len(each.messages) == 1 else "" for each in example.candidates]
    return bool(start) and len(texts) > 1 and all(text.lstrip().startswith(start) for text in texts)


def _system_of(prompt: Conversation, candidates: Sequence[Candidate]) -> Conversation:
    """The system message that all candidates begin with, where the prompt has none; else ()."""
    firsts = {_turns(each)[:1] for each in candidates}
    first = next(iter(firsts)) if len(firsts) == 1 else ()
    return first if first and first[0].role == "system" != prompt[0].role else ()


def _bare(row: RawRow, k: int, candidate: Candidate, prompt: Conversation) -> Candidate:
    behind = _behind(prompt, candidate)
    if behind is None:
        raise row.error(f"candidate {k} does not begin with the prompt, though [columns] has `answers_hold_prompt`.")
    if not behind:
        raise row.error(f"candidate {k} is the prompt alone, without an answer (`answers_hold_prompt` of [columns]).")
    return replace(candidate, messages=behind)


def _behind(prompt: Conversation, candidate: Candidate) -> Conversation | None:
    """What a candidate has behind its prompt; None where it does not begin with it."""
    messages = _turns(candidate)
    held = _length(_turns(Candidate(prompt)), messages)
    if held:
        return messages[held:]
    text, start = candidate.text, prompt[-1].text.strip()
    if len(messages) == 1 and len(prompt) == 1 and start and text.lstrip().startswith(start):
        answer = text.lstrip()[len(start) :].lstrip()
        return (Message.of(messages[0].role, answer),) if answer else ()
    return None


def _continued(prompt: Conversation, candidates: Sequence[Candidate]) -> bool:
    """Whether each of several candidates is a text that goes on behind the open turn at the prompt's end."""
    start = prompt[-1].text.strip() if len(prompt) == 1 else ""
    if len(candidates) < 2 or not start.endswith(_OPEN_TURN):
        return False
    texts = (each.messages[0].text.strip() if len(each.messages) == 1 else "" for each in candidates)
    return all(text.startswith(start) for text in texts)


def _turns(candidate: Candidate) -> Conversation:
    """The messages; those of a transcript where there is one text alone."""
    messages = candidate.messages
    alone = len(messages) == 1 and not messages[0].extra and all(part.kind == "text" for part in messages[0].parts)
    return (transcript(messages[0].text) if alone else ()) or messages


def _holds(prompt: Conversation, messages: Conversation) -> bool:
    """Whether a candidate begins with the prompt, after a system message of its own or without one."""
    if messages[0].role not in _BEFORE_ANSWERS:
        return False
    turns = _turns(Candidate(prompt))
    after = messages[1:] if messages[0].role == "system" else ()
    return _length(turns, messages) > 0 or _length(turns, after) > 0


def _length(prompt: Conversation, messages: Conversation) -> int:
    """How many of the first messages are the prompt, or its end; 0: they are not.

    Only roles that no answer begins with count: an answer that repeats the question is still an answer.
    """
    if not messages or messages[0].role not in _BEFORE_ANSWERS:
        return 0
    return next((size for size in range(len(prompt), 0, -1) if _same(prompt[-size:], messages[:size])), 0)


def _same(some: Conversation, others: Conversation) -> bool:
    return [_spelled(message) for message in some] == [_spelled(message) for message in others]


def _spelled(message: Message) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    return message.role, message.text.strip(), message.extra
