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
GOOD_AND_BAD = 'chosen = "good"\nrejected = "bad"'
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


def test_texts_that_hold_no_prompt(made: Made) -> None:
    with pytest.raises(RmbenchError, match="row 0: candidate 0 does not begin with the prompt"):
        made({}, GOOD_AND_BAD + HOLD)
    with pytest.raises(RmbenchError, match="row 0: candidate 0 is a single message, with no prompt before it"):
        made({}, GOOD_AND_BAD + HOLD, prompt="")
    with pytest.raises(RmbenchError, match=r"columns\.prompt: this key is missing.*answers_hold_prompt = true"):
        made({}, GOOD_AND_BAD, prompt="")


TEXTS = 'chosen = "chosen"\nrejected = "rejected"'
ASKED = "\n\nHuman: Egg?\n\nAssistant: Soft?\n\nHuman: Hard, as Human: wrote."
HH = {
    "chosen": f"{ASKED}\n\nAssistant: Nine minutes.\n\nThen peel it.",
    "rejected": f"{ASKED}\n\nAssistant: No.",
    "good": "unused",
    "bad": "unused",
}
TURNS = [("user", "Egg?"), ("assistant", "Soft?"), ("user", "Hard, as Human: wrote.")]
ANSWERS = [[("assistant", "Nine minutes.\n\nThen peel it.")], [("assistant", "No.")]]


@pytest.mark.parametrize("question, prompt", [(None, ""), (f"{ASKED}\n\nAssistant:", 'prompt = "question"')])
def test_transcripts(question: str | None, prompt: str, made: Made) -> None:
    example = made(HH | {"question": question}, TEXTS + HOLD, prompt)[0]
    assert plain(example.prompt) == TURNS
    assert [plain(each.messages) for each in example.candidates] == ANSWERS


def test_transcripts_beside_their_last_question(made: Made) -> None:
    short = {side: HH[side].replace(ASKED, "\n\nHuman: Egg?") for side in ("chosen", "rejected")}
    example = made(short | {"question": "Egg?"}, TEXTS + HOLD)[0]
    assert (plain(example.prompt), [plain(each.messages) for each in example.candidates]) == ([TURNS[0]], ANSWERS)
    with pytest.raises(RmbenchError, match=r"candidate 0 begins with the prompt.*answers_hold_prompt = true"):
        made(short | {"question": "Egg?"}, TEXTS)


@pytest.mark.parametrize(
    "question", [f"{ASKED}\n\nAssistant:", ASKED, "[INST] Egg? [/INST]", "<|user|>Egg?\n<|assistant|>"]
)
def test_texts_that_go_on_behind_the_prompt(question: str, made: Made) -> None:
    texts = {"chosen": f"{question} Nine minutes.", "rejected": f"{question} No.", "question": question}
    if question == ASKED:
        texts |= {"chosen": f"{ASKED}\n\nAssistant: Nine minutes.", "rejected": f"{ASKED}\n\nAssistant: No."}
    with pytest.raises(RmbenchError, match="candidate 0 begins with the prompt, which a model would read twice"):
        made(texts, TEXTS)
    example = made(texts, TEXTS + HOLD)[0]
    assert [each.text for each in example.candidates] == ["Nine minutes.", "No."]


@pytest.mark.parametrize("question", ["Egg?", "List three colours:"])
def test_an_answer_that_repeats_the_question_is_an_answer(question: str, made: Made) -> None:
    texts = {"chosen": f"{question} Red.", "rejected": "No.", "question": question}
    assert made(texts, TEXTS)[0].candidates[0].text == f"{question} Red."


def implicit(*answers: list[dict[str, str]]) -> dict[str, Any]:
    return {"question": "unused", "chosen": answers[0], "rejected": answers[1]}


@pytest.mark.parametrize(
    "row, prompt, answers",
    [
        (implicit(turns("Egg?", "Nine."), turns("Egg?", "No.")), [("user", "Egg?")], ["Nine.", "No."]),
        (implicit(turns("Egg?", "No."), turns("Egg?", "No.")), [("user", "Egg?")], ["No.", "No."]),
        (
            implicit(turns("A", "B", "C", "D", system="S"), turns("A", "B", "C", "E", system="S")),
            [("system", "S"), ("user", "A"), ("assistant", "B"), ("user", "C")],
            ["D", "E"],
        ),
        (implicit(turns("A", "B", "C", "D"), turns("A", "X", "C", "D")), [("user", "A")], ["B\nC\nD", "X\nC\nD"]),
        (implicit(turns("A", "B"), turns("A", "B", "C", "D")), [("user", "A")], ["B", "B\nC\nD"]),
    ],
)
def test_the_common_beginning_is_the_prompt(row: Any, prompt: Any, answers: list[str], made: Made) -> None:
    example = made(row, WHOLE + HOLD, prompt="")[0]
    assert (plain(example.prompt), [each.text for each in example.candidates]) == (prompt, answers)


def test_a_system_column_stands_before_the_common_beginning(made: Made) -> None:
    row = implicit(turns("Egg?", "Nine."), turns("Egg?", "No.")) | {"question": "Be brief."}
    example = made(row, WHOLE + HOLD, prompt='system = "question"')[0]
    assert plain(example.prompt) == [("system", "Be brief."), ("user", "Egg?")]


def test_conversations_without_a_common_beginning(made: Made) -> None:
    with pytest.raises(RmbenchError, match="row 0: the candidates have no beginning in common"):
        made(implicit(turns("Egg?", "Nine."), turns("Ham?", "No.")), WHOLE + HOLD, prompt="")
    alone = [{"role": "assistant", "content": "No."}]
    with pytest.raises(RmbenchError, match="row 0: candidate 1 is a single message"):
        made(implicit(turns("Egg?", "Nine."), alone), WHOLE + HOLD, prompt="")


def test_texts_that_repeat_the_prompt_in_every_row(
    declaration: str, write: Callable[..., Path], place: Callable[..., Path], rows: Rows
) -> None:
    for row in rows:
        row.update({side: f"{row['question']} {row[side]}" for side in ("good", "bad")})
    with pytest.raises(
        RmbenchError, match=r"rows\.jsonl, row 0: the candidates begin with the prompt, as those of all rows"
    ):
        load(load_file(write(declaration)), place(rows))
    for told, start in (("false", rows[0]["question"]), ("true", "")):
        text = declaration.replace(GOOD_AND_BAD, f"{GOOD_AND_BAD}\nanswers_hold_prompt = {told}")
        examples = load(load_file(write(text)), place(rows)).examples
        assert examples[0].candidates[0].text.startswith(start)
        assert examples[0].candidates[0].text.endswith(rows[0]["good"].removeprefix(rows[0]["question"]).strip())
    rows[-1]["bad"] = "Another answer."
    assert load(load_file(write(declaration)), place(rows)).examples
