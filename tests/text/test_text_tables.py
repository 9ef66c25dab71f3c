"""Lines and tables that break where words end."""

from __future__ import annotations

import random

import pytest

from rmbench.text import paragraph, text_table, wrapped
from tests._make import printed

NAMES = (
    "Skywork/Skywork-Reward-V2-Llama-3.1-8B-40M",
    "JudgeBench/arena_hard-claude-3-haiku-20240307",
    "dimension=temporal_quality",
    "tie_calibrated_accuracy",
)
JOINTS = "/-_@=:,+|&"


def test_every_line_ends_at_a_word_or_a_joint() -> None:
    draw = random.Random(5)
    for _ in range(300):
        text = " ".join(draw.choice(NAMES) for _ in range(draw.randint(1, 6)))
        width = draw.randint(14, 60)
        lines = wrapped(text, width).plain.split("\n")
        assert max(map(len, lines)) <= width
        rest = text
        for line in lines:
            assert rest.startswith(line)
            rest = rest[len(line) :]
            assert not rest or rest[0] == " " or line[-1] in JOINTS
            rest = rest.removeprefix(" ")
        assert not rest


def test_a_word_that_fits_on_a_line_is_not_broken() -> None:
    assert wrapped("by a-name-of-words", 14).plain.split("\n") == ["by a-name-of-", "words"]
    assert wrapped("by a-name-of-words", 15).plain.split("\n") == ["by", "a-name-of-words"]


def test_an_organisation_is_broken_off_before_anything_else() -> None:
    assert wrapped("Skywork/Skywork-Reward-V2", 18).plain.split("\n") == ["Skywork/", "Skywork-Reward-V2"]


def test_what_has_no_joint_is_cut_and_a_paragraph_is_indented() -> None:
    assert wrapped("x" * 25, 10).plain.split("\n") == ["x" * 10, "x" * 10, "x" * 5]
    assert printed(paragraph("one two three"), 9) == "one two\n  three\n"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_table_breaks_no_name_inside_a_word(width: int) -> None:
    rows = [(name, "0.1234", "0.1000, 0.2000", "1,000") for name in NAMES]
    shown = printed(text_table([("name", "fold"), *((head, "right") for head in ("value", "95%", "n"))], rows), width)
    assert max(map(len, shown.splitlines())) <= width
    pieces = {piece for name in NAMES for piece in _parts(name)}
    first = [line[: line.index("0.1") if "0.1" in line else width].strip() for line in shown.splitlines()[1:]]
    for text in first:
        assert all(piece in pieces for piece in _parts(text)), text


def _parts(name: str) -> list[str]:
    for joint in JOINTS:
        name = name.replace(joint, " ")
    return name.split()


def test_a_column_of_so_many_characters_is_wider_where_a_name_needs_it() -> None:
    shown = printed(text_table([("model", 10), ("n", "right")], [("unbreakablename/x", "1")]), 80)
    assert "unbreakablename/" in shown
