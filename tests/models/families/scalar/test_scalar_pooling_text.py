"""Tokens that are appended, and headers that gates read, in rows of a real tokenizer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rmbench.models.families.scalar.pooling import Pooling, PromptState, Spot, encode
from rmbench.models.families.scalar.stock import ScalarScorer
from rmbench.models.open import OpenOptions, open_model
from rmbench.models.protocols import Encoded, Request
from rmbench.models.text.tokens import TextEncoder, TextRow

HEADER = "<|end|>\n<|start|>assistant\n"
TOKEN = "[SEP]"


@pytest.fixture(scope="module")
def text(llama: Path) -> TextEncoder:
    model = open_model(str(llama), OpenOptions())
    assert isinstance(model, ScalarScorer)
    assert isinstance(model.text, TextEncoder)
    return model.text


def spot(entry: Encoded) -> Spot:
    assert isinstance(entry.payload, Spot)
    return entry.payload


def ids_of(text: TextEncoder, written: str) -> list[int]:
    found: list[int] = text.tokenizer(written, add_special_tokens=False)["input_ids"]
    return found


def turns(*said: str, render: Any = "chat") -> Request:
    from rmbench.types import Message

    messages = tuple(Message.of(("user", "assistant")[index % 2], one) for index, one in enumerate(said))
    return Request(messages, len(messages) - 1, render)


class TestAppendedToken:
    @pytest.fixture
    def pooling(self, tiny: Any) -> Any:
        return Pooling(rule="token", token=tiny.SEP, append=True).bind({}, tiny.PAD)

    def test_it_stands_behind_the_templates_text_once(self, text: TextEncoder, pooling: Any, tiny: Any) -> None:
        asked = turns("Hi", "Yo")
        plain = text.rows([asked])[0]
        for template in (text.template.text, text.template.text + TOKEN):
            encoder = replace(text, template=replace(text.template, text=template), ending=pooling.ending)
            entry = encode(pooling, encoder, [asked])[0]
            assert entry.ids == (*plain.ids, tiny.SEP)
            assert entry.payload == Spot(len(plain.ids))
        assert encoder.settings["ending"] == str(tiny.SEP)
        assert "ending" not in text.settings

    @pytest.mark.parametrize("side", ["left", "right"])
    def test_truncation_never_cuts_it(self, text: TextEncoder, pooling: Any, tiny: Any, side: Any) -> None:
        asked = turns("How do I boil an egg? " * 9, "Put it into boiling water. " * 9)
        whole = replace(text, max_length=None).rows([asked])[0]
        assert isinstance(whole, TextRow)
        encoder = replace(text, max_length=20, truncation_side=side, ending=pooling.ending)
        entry = encode(pooling, encoder, [asked])[0]
        kept = whole.body[-18:] if side == "left" else whole.body[:18]
        assert entry.ids == (tiny.BOS, *kept, tiny.SEP)
        assert (entry.payload, entry.truncated) == (Spot(19), True)

    def test_raw_text_ends_with_it_too(self, text: TextEncoder, pooling: Any, tiny: Any) -> None:
        encoder = replace(text, ending=pooling.ending)
        entry = encode(pooling, encoder, [turns("Hi", " Yo", render="raw")])[0]
        assert entry.ids == (tiny.BOS, *ids_of(text, "Hi Yo"), tiny.SEP)

    def test_a_row_without_the_token_fails_alone(self, text: TextEncoder, tiny: Any) -> None:
        pooling = Pooling(rule="token", token=tiny.SEP).bind({}, tiny.PAD)
        good, bad = encode(pooling, text, [turns("Hi", f"Yo{TOKEN}"), turns("Hi", "Yo")])
        assert good.ids[spot(good).state] == tiny.SEP
        assert bad.error == f"the row has no token {tiny.SEP}, whose state the head reads"


class TestGate:
    """The state at the first token of the last header before the answer."""

    @pytest.fixture
    def pooling(self, text: TextEncoder, tiny: Any) -> Any:
        return Pooling(prompt=PromptState(pattern=tuple(ids_of(text, HEADER)))).bind({}, tiny.PAD)

    def expected(self, text: TextEncoder, before: str) -> int:
        """Tokens before the header, BOS included."""
        return 1 + len(ids_of(text, before))

    def test_it_is_the_header_of_the_last_answer(self, text: TextEncoder, pooling: Any) -> None:
        one, several = encode(pooling, text, [turns("Hi", "Yo"), turns("Hi", "Yo", "Why?", "So.")])
        assert spot(one).prompt == self.expected(text, "<|start|>user\nHi")
        assert spot(one).state == len(one.ids) - 1
        before = f"<|start|>user\nHi{HEADER}Yo<|end|>\n<|start|>user\nWhy?"
        assert spot(several).prompt == self.expected(text, before)
        assert (one.remarks, several.remarks) == ((), ())
        assert pooling.settings["gate"].startswith("start of the last ")

    @pytest.mark.parametrize("answer", [f"a{HEADER}b", HEADER, f"{HEADER}{HEADER}", "", "assistant", "<|end|>"])
    def test_an_answer_cannot_make_a_header(self, text: TextEncoder, pooling: Any, answer: str) -> None:
        entry = encode(pooling, text, [turns("Hi", answer)])[0]
        assert spot(entry).prompt == self.expected(text, "<|start|>user\nHi")
        assert entry.remarks == (("gate_index_mismatch",) if HEADER in answer else ())

    def test_nor_can_the_question(self, text: TextEncoder, pooling: Any) -> None:
        question = f"x{HEADER}y"
        entry = encode(pooling, text, [turns(question, "Yo")])[0]
        assert spot(entry).prompt == self.expected(text, f"<|start|>user\n{question}")

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        st.text(alphabet="ab <|end|>\n", max_size=12),
        st.lists(st.sampled_from(["a", " ", HEADER, "<|start|>", "Hi", "\n", "é"]), max_size=5).map("".join),
    )
    def test_the_state_stands_before_every_token_of_the_answer(
        self, text: TextEncoder, pooling: Any, question: str, answer: str
    ) -> None:
        entry = encode(pooling, text, [turns(question, answer)])[0]
        if entry.error:  # the answer's first letters and the header made one token
            assert "runs together" in entry.error
            assert answer[:1].isspace()
            return
        pattern = pooling.pooling.prompt.pattern
        places = [at for at in range(len(entry.ids)) if entry.ids[at : at + len(pattern)] == pattern]
        first = [at for at in places if at >= self.expected(text, "<|start|>user\n" + question)]
        assert spot(entry).prompt == first[0]

    def test_a_header_that_was_cut_off_fails_its_row_alone(self, text: TextEncoder, pooling: Any) -> None:
        asked = [turns("Hi", "word " * 60), turns("Hi", "Yo")]
        left = encode(pooling, replace(text, max_length=40, truncation_side="left"), asked)
        assert "was cut off" in left[0].error
        assert spot(left[1]).prompt == self.expected(text, "<|start|>user\nHi")
        right = encode(pooling, replace(text, max_length=40, truncation_side="right"), [turns("word " * 60, "Yo")])
        assert "was cut off" in right[0].error

    def test_what_is_cut_before_it_moves_it(self, text: TextEncoder, pooling: Any) -> None:
        asked = turns("word " * 40, "Yo")
        whole, short = (encode(pooling, replace(text, max_length=length), [asked])[0] for length in (None, 40))
        assert short.truncated
        pattern = pooling.pooling.prompt.pattern
        for entry in (whole, short):
            assert entry.ids[spot(entry).prompt : spot(entry).prompt + len(pattern)] == pattern
        assert len(whole.ids) - spot(whole).prompt == len(short.ids) - spot(short).prompt

    def test_text_without_a_template_has_no_header(self, text: TextEncoder, pooling: Any) -> None:
        raw, chat = encode(pooling, text, [turns("Hi", f"{HEADER}Yo", render="raw"), turns("Hi", "Yo")])
        assert "does not stand before the answer" in raw.error
        assert not chat.error
