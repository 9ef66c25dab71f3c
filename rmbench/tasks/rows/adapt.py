"""Row transforms for what columns cannot express: from a row to one or several rows with further columns."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rmbench.tasks.rows.adapt_agents import web_trajectory
from rmbench.tasks.rows.adapt_cyclic import cycle_of_pairs, cycles_of_criteria, dice, first_by_key
from rmbench.tasks.rows.adapt_media import fetv_videos, genai_votes, segments, t2v_videos
from rmbench.tasks.rows.adapt_pictures import povid_pair, realign_margins, rlhfv_pair
from rmbench.tasks.rows.adapt_rag import references_and_question, shared_tool_calls
from rmbench.tasks.rows.adapt_seen import edit_group, edits_of_group, mmrb2_messages, process_steps
from rmbench.tasks.rows.adapt_text import conversation_turns, hhh_choices

__all__ = ["ADAPTERS", "Adapter", "hh_dialogues", "split_dialogue"]

_TURN = re.compile(r"\n\n(Human|Assistant):")
_ROLE = {"Human": "user", "Assistant": "assistant"}


@dataclass(frozen=True, slots=True)
class Adapter:
    """A row transform and the text columns that every row must have for it."""

    columns: tuple[str, ...]
    apply: Callable[[Mapping[str, Any]], dict[str, Any] | list[dict[str, Any]]]
    """Several rows where one of upstream's holds several examples. Raises ValueError, naming the column, for a row that
    it cannot transform."""


def split_dialogue(text: str) -> tuple[list[dict[str, str]], str]:
    r"""Split a transcript with `\n\nHuman:` and `\n\nAssistant:` markers into its prompt and its last response.

    The response is what follows the last `\n\nAssistant:`, without one leading space; everything before is the prompt.
    Only the markers with two newlines split: a ` Human:` inside a turn is that turn's text.

    Returns:
        The prompt as messages of {role, content}, and the response, which may be empty.

    Raises:
        ValueError: the text does not begin with `\n\nHuman:`, or its last turn is not the assistant's.
    """
    turns = list(_TURN.finditer(text))
    if not turns or turns[0].start() != 0 or turns[0][1] != "Human":
        raise ValueError(r"does not begin with '\n\nHuman:'")
    if turns[-1][1] != "Assistant":
        raise ValueError(r"does not end with an assistant's turn ('\n\nAssistant:')")
    ends = [turn.start() for turn in turns[1:]] + [len(text)]
    messages = [
        {"role": _ROLE[turn[1]], "content": text[turn.end() : end].removeprefix(" ")}
        for turn, end in zip(turns, ends, strict=True)
    ]
    return messages[:-1], messages[-1]["content"]


def hh_dialogues(row: Mapping[str, Any]) -> dict[str, Any]:
    """Two whole dialogues `chosen` and `rejected` -> `chosen_prompt`, `chosen`, `rejected_prompt`, `rejected`.

    The prompts are lists of {role, content}. They differ where the dialogues differ before the last response.
    """
    out = dict(row)
    for side in ("chosen", "rejected"):
        try:
            out[f"{side}_prompt"], out[side] = split_dialogue(row[side])
        except ValueError as error:
            raise ValueError(f'column "{side}" {error}') from None
    return out


ADAPTERS: dict[str, Adapter] = {
    "conversation_turns": Adapter(("first_turn_prompt",), conversation_turns),
    "hhh_choices": Adapter(("input",), hhh_choices),
    "cycle_of_pairs": Adapter(("instruction",), cycle_of_pairs),
    "cycles_of_criteria": Adapter(("instruction",), cycles_of_criteria),
    "dice": Adapter(("prompt",), dice),
    "edit_group": Adapter(("id", "instruction", "ranking"), edit_group),
    "edits_of_group": Adapter((), edits_of_group),
    "fetv_videos": Adapter(("sentence", "prompt"), fetv_videos),
    "first_by_key": Adapter((), first_by_key),
    "genai_votes": Adapter((), genai_votes),
    "hh_dialogues": Adapter(("chosen", "rejected"), hh_dialogues),
    "mmrb2_messages": Adapter(("chosen",), mmrb2_messages),
    "povid_pair": Adapter(("image",), povid_pair),
    "realign_margins": Adapter(("image", "retrieved_image"), realign_margins),
    "rlhfv_pair": Adapter(("text",), rlhfv_pair),
    "process_steps": Adapter(("question",), process_steps),
    "references_and_question": Adapter(("prompt", "question", "chosen"), references_and_question),
    "web_trajectory": Adapter(("goal",), web_trajectory),
    "segments": Adapter(("prompt",), segments),
    "shared_tool_calls": Adapter(("question", "pos_answer.answer", "neg_answer.answer"), shared_tool_calls),
    "t2v_videos": Adapter(("video", "prompt"), t2v_videos),
}
