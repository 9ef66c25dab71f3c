"""The transcripts of hh-rlhf: split at the two-newline markers and nowhere else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmbench.tasks.rows.adapt import hh_dialogues, split_dialogue

MARK = {"user": "\n\nHuman:", "assistant": "\n\nAssistant:"}
turn_text = st.text(alphabet="ab \n:HumanAssist\r\u2028", max_size=20).filter(
    lambda text: "\n\nHuman:" not in f"{text}\n\n" and "\n\nAssistant:" not in text and not text.endswith("\n")
)
dialogues = st.lists(st.tuples(turn_text, turn_text), min_size=1, max_size=5)


@settings(deadline=None, max_examples=200)
@given(dialogues)
def test_split_is_the_inverse_of_joining(turns: list[tuple[str, str]]) -> None:
    flat = [(role, text) for pair in turns for role, text in zip(("user", "assistant"), pair, strict=True)]
    prompt, answer = split_dialogue("".join(f"{MARK[role]} {text}" for role, text in flat))
    assert [(message["role"], message["content"]) for message in prompt] == flat[:-1]
    assert answer == flat[-1][1]


def test_by_hand() -> None:
    prompt, answer = split_dialogue("\n\nHuman: Hi Human: you\n\nAssistant:  two\nlines\n\nHuman:\n\nAssistant:")
    assert prompt == [
        {"role": "user", "content": "Hi Human: you"},
        {"role": "assistant", "content": " two\nlines"},
        {"role": "user", "content": ""},
    ]
    assert answer == ""


@pytest.mark.parametrize(
    "text, hint",
    [
        ("", "does not begin"),
        ("Human: hi\n\nAssistant: ho", "does not begin"),
        ("\n\nAssistant: ho", "does not begin"),
        ("\n\nHuman: hi", "does not end with an assistant's turn"),
        ("\n\nHuman: hi\n\nAssistant: ho\n\nHuman: bye", "does not end with an assistant's turn"),
    ],
)
def test_other_texts_are_refused(text: str, hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        split_dialogue(text)


def test_each_side_keeps_its_prompt() -> None:
    row = {"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: c\n\nAssistant: d", "more": 1}
    out = hh_dialogues(row)
    assert (out["chosen"], out["rejected"], out["more"]) == ("b", "d", 1)
    assert out["chosen_prompt"] != out["rejected_prompt"]
    with pytest.raises(ValueError, match='column "rejected" does not begin'):
        hh_dialogues({**row, "rejected": "plain"})
