"""Candidates that are whole conversations: their prompt is taken off where declared, and an error where not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rmbench.errors import RmbenchError
from rmbench.tasks.registry import load_file
from rmbench.tasks.sources import load
from rmbench.types import Conversation, Example

Rows = list[dict[str, Any]]
Made = Callable[..., tuple[Example, ...]]
WHOLE = "\n".join(f'{side} = {{ column = "{side}", form = "messages" }}' for side in ("chosen", "rejected"))
HOLD = "\nanswers_hold_prompt = true"


def turns(*texts: str, system: str = "") -> list[dict[str, str]]:
    own = [{"role": "system", "content": system}] if system else []
    return own + [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(texts)]


def plain(conversation: Conversation) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in conversation]


@pytest.fixture
def made(declaration: str, write: Callable[..., Path], place: Callable[..., Path], rows: Rows) -> Made:
    """Load rows with these columns."""

    def maker(changes: dict[str, Any], columns: str, prompt: str = 'prompt = "question"') -> tuple[Example, ...]:
        for row in rows:
            row.update(changes)
        text = declaration.replace('chosen = "good"\nrejected = "bad"', columns).replace('prompt = "question"', prompt)
        return load(load_file(write(text)), place(rows)).examples

    return maker


ULTRAFEEDBACK = {"question": "Egg?", "chosen": turns("Egg?", "Nine minutes."), "rejected": turns("Egg?", "No.")}
MESSAGES = 'prompt = { column = "question", form = "messages" }'
SYSTEM = {
    "question": turns("Egg?", system="Be brief."),
    "chosen": turns("Egg?", "Nine minutes.", system="Be brief."),
    "rejected": turns("Egg?", "No.", system="Be brief."),
}
LAST_TURN = SYSTEM | {"chosen": ULTRAFEEDBACK["chosen"], "rejected": ULTRAFEEDBACK["rejected"]}


@pytest.mark.parametrize(
    "rows_have, prompt", [(ULTRAFEEDBACK, 'prompt = "question"'), (SYSTEM, MESSAGES), (LAST_TURN, MESSAGES)]
)
def test_a_prompt_that_would_be_read_twice(rows_have: dict[str, Any], prompt: str, made: Made) -> None:
    with pytest.raises(RmbenchError) as caught:
        made(rows_have, WHOLE, prompt)
    assert "rows.jsonl, row 0: candidate 0 begins with the prompt" in str(caught.value)
    assert "`answers_hold_prompt = true` under [columns]" in str(caught.value)
    example = made(rows_have, WHOLE + HOLD, prompt)[0]
    assert plain(example.prompt)[-1] == ("user", "Egg?")
    assert [plain(each.messages) for each in example.candidates] == [
        [("assistant", "Nine minutes.")],
        [("assistant", "No.")],
    ]


def test_later_turns_stay(made: Made) -> None:
    longer = ULTRAFEEDBACK | {"chosen": turns("Egg?", "Soft?", "Hard.", "Nine minutes.")}
    example = made(longer, WHOLE + HOLD)[0]
    assert plain(example.candidates[0].messages) == [
        ("assistant", "Soft?"),
        ("user", "Hard."),
        ("assistant", "Nine minutes."),
    ]


def test_answers_alone_are_as_before(made: Made) -> None:
    alone = [{"role": "assistant", "content": "Egg?"}]
    example = made({"chosen": alone, "rejected": alone, "question": "Egg?"}, WHOLE)[0]
    assert plain(example.conversation(0)) == [("user", "Egg?"), ("assistant", "Egg?")]


@pytest.mark.parametrize(
    "rejected, message",
    [
        (turns("Ham?", "No."), "candidate 1 does not begin with the prompt"),
        ([{"role": "assistant", "content": "No."}], "candidate 1 does not begin with the prompt"),
        (turns("Egg?", "No.", system="Be rude."), "candidate 1 does not begin with the prompt"),
        (turns("Egg?"), "candidate 1 is the prompt alone"),
    ],
)
def test_declared_and_not_so(rejected: Any, message: str, made: Made) -> None:
    with pytest.raises(RmbenchError, match=f"row 0: {message}"):
        made(ULTRAFEEDBACK | {"rejected": rejected}, WHOLE + HOLD)


def test_texts_hold_no_prompt(made: Made) -> None:
    with pytest.raises(RmbenchError, match="answers_hold_prompt: no candidate is a conversation"):
        made({}, 'chosen = "good"\nrejected = "bad"' + HOLD)
