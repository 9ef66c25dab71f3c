"""Conversations into tokens: templates, BOS, truncation."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmbench.errors import RmbenchError
from rmbench.models.families.scalar.stock import ScalarScorer
from rmbench.models.open import OpenOptions, open_model
from rmbench.models.text.template_source import resolve_template
from rmbench.models.text.tokens import TextEncoder, affixes

TURNS = "{% for m in messages %}|{{ m.content }}{% endfor %}"


def text_of(folder: Path, **options: Any) -> TextEncoder:
    model = open_model(str(folder), OpenOptions(**options))
    assert isinstance(model, ScalarScorer)
    assert isinstance(model.text, TextEncoder)
    return model.text


def one(text: TextEncoder, request: Any) -> Any:
    return text.encode([request])[0]


class TestBos:
    """Exactly one unless declared, whoever writes it."""

    def test_the_template_writes_it(self, llama: Path, tiny: Any) -> None:
        ids = one(text_of(llama), tiny.request("Hi", "Yo")).ids
        assert ids[0] == tiny.BOS
        assert ids.count(tiny.BOS) == 1

    def test_the_template_writes_none(self, tmp_path: Path, tiny: Any) -> None:
        """As models do whose authors strip it from the template's text and let the tokenizer add it again."""
        tiny.save_model(tmp_path)
        tiny.save_tokenizer(tmp_path, template=tiny.CHAT.replace(tiny.WRITTEN_BOS, ""))
        ids = one(text_of(tmp_path), tiny.request("Hi", "Yo")).ids
        assert ids[0] == tiny.BOS
        assert ids.count(tiny.BOS) == 1

    def test_the_template_writes_two(self, tmp_path: Path, tiny: Any) -> None:
        tiny.save_model(tmp_path)
        tiny.save_tokenizer(tmp_path, template="{{ bos_token }}" + tiny.CHAT)
        assert one(text_of(tmp_path), tiny.request("Hi", "Yo")).ids.count(tiny.BOS) == 1

    def test_a_tokenizer_that_never_writes_it(self, tmp_path: Path, tiny: Any) -> None:
        """A BOS token by name alone, as GPT-NeoX has it: text never begins with it, so ours must not."""
        tiny.save_model(tmp_path)
        plain = tiny.CHAT.replace(tiny.WRITTEN_BOS, "")
        tiny.save_tokenizer(tmp_path, bos=False, bos_token="<|bos|>", template=plain)
        assert tiny.BOS not in one(text_of(tmp_path), tiny.request("Hi", "Yo")).ids

    def test_a_tokenizer_without_one(self, tmp_path: Path, tiny: Any) -> None:
        text = text_of(tiny.checkpoint(tmp_path, "qwen2"))
        assert text.tokenizer.bos_token_id is None
        assert tiny.BOS not in one(text, tiny.request("Hi", "Yo")).ids

    @pytest.mark.parametrize(("policy", "count"), [("none", 0), ("one", 1), ("double", 2)])
    @pytest.mark.parametrize("render", ["chat", "raw"])
    def test_declared(self, policy: str, count: int, render: str, llama: Path, tiny: Any) -> None:
        text = text_of(llama, model_args={"bos": policy})
        ids = one(text, tiny.request("Hi", "Yo", render=render)).ids
        assert ids[:count] == (tiny.BOS,) * count
        assert ids.count(tiny.BOS) == count
        assert text.settings["bos"] == policy


def test_an_encoder_has_its_own_marks_around_the_text(tmp_path: Path, tiny: Any) -> None:
    tiny.checkpoint(tmp_path, "bert")
    text = text_of(tmp_path)
    ids = one(text, tiny.request("Hi", "Yo")).ids
    assert (ids[0], ids[-1]) == (tiny.CLS, tiny.SEP)
    assert ids.count(tiny.CLS) == ids.count(tiny.SEP) == 1
    short = one(text_of(tmp_path, max_length=6), tiny.request("Hi", "Yo" * 40))
    assert (len(short.ids), short.ids[0], short.ids[-1], short.truncated) == (6, tiny.CLS, tiny.SEP, True)
    written = tmp_path / "own.jinja"
    written.write_text("[CLS]{{ messages[0].content }}[SEP]{{ messages[1].content }}[SEP]")
    ids = one(text_of(tmp_path, template=written), tiny.request("Hi", "Yo")).ids
    assert (ids.count(tiny.CLS), ids.count(tiny.SEP), ids[0], ids[-1]) == (1, 2, tiny.CLS, tiny.SEP)


def test_ids_are_those_of_the_rendered_text(llama: Path, tiny: Any) -> None:
    text = text_of(llama)
    row = one(text, tiny.request(("system", "Be terse."), "a", ("user", "b"), "c"))
    rendered = "<|bos|><|start|>system\nBe terse.<|end|>\n<|start|>assistant\na<|end|>\n"
    rendered += "<|start|>user\nb<|end|>\n<|start|>assistant\nc<|end|>\n"
    assert text.tokenizer.decode(row.ids) == rendered
    assert list(row.ids) == text.tokenizer(rendered, add_special_tokens=False)["input_ids"]
    assert (row.size, row.truncated, row.error) == (len(row.ids), False, "")


def test_raw_text_is_joined_as_it_is(llama: Path, tiny: Any) -> None:
    text = text_of(llama)
    row = one(text, tiny.request("Question: why?\n", "Answer: so.", render="raw"))
    assert list(row.ids) == text.tokenizer("Question: why?\nAnswer: so.")["input_ids"]


def test_equal_text_has_an_equal_key_and_other_text_another(llama: Path, tiny: Any) -> None:
    rows = text_of(llama).encode([*tiny.requests(), *tiny.requests()])
    assert [row.key for row in rows[:7]] == [row.key for row in rows[7:]]
    assert len({row.key for row in rows}) == 7


@given(length=st.integers(3, 60), side=st.sampled_from(["left", "right"]), words=st.integers(0, 40))
@settings(deadline=None, max_examples=25)
def test_truncation_keeps_one_end_and_the_bos(length: int, side: Any, words: int, llama: Path, tiny: Any) -> None:
    whole_text = replace(_text(llama), max_length=None)
    request = tiny.request("word " * words, "answer")
    whole = one(whole_text, request).ids
    cut = one(replace(whole_text, max_length=length, truncation_side=side), request)
    assert cut.truncated == (len(whole) > length)
    assert len(cut.ids) == min(length, len(whole))
    assert cut.ids[0] == tiny.BOS
    assert cut.ids[1:] == (whole[1:][-(len(cut.ids) - 1) :] if side == "left" else whole[1 : len(cut.ids)])


_CACHE: dict[Path, TextEncoder] = {}


def _text(folder: Path) -> TextEncoder:
    return _CACHE.setdefault(folder, text_of(folder)) if folder not in _CACHE else _CACHE[folder]


def test_a_limit_without_room_is_the_rows_error(llama: Path, tiny: Any) -> None:
    row = one(replace(_text(llama), max_length=1), tiny.request("Hi", "Yo"))
    assert row.error == "max_length 1 leaves no room for text"


class TestLengthAndSide:
    """Resolved from the user, the card, the files, in this order; never a silent default."""

    def test_the_tokenizers_lower_limit(self, tmp_path: Path, tiny: Any) -> None:
        tiny.save_model(tmp_path)
        tiny.save_tokenizer(tmp_path, model_max_length=100, truncation_side="right")
        text = text_of(tmp_path)
        assert (text.max_length, text.truncation_side) == (100, "right")
        assert text_of(tmp_path, max_length=20).max_length == 20
        assert text_of(tmp_path, model_args={"truncation_side": "left"}).truncation_side == "left"

    def test_the_models_positions(self, llama: Path) -> None:
        assert _text(llama).tokenizer.model_max_length > 10**9
        assert (_text(llama).max_length, _text(llama).truncation_side) == (128, "left")

    def test_no_limit_known(self, tmp_path: Path, tiny: Any) -> None:
        tiny.checkpoint(tmp_path)
        tiny.edit_json(tmp_path / "config.json", max_position_embeddings=None)
        assert text_of(tmp_path).max_length is None


class TestTemplate:
    def test_none_anywhere(self, tmp_path: Path, tiny: Any) -> None:
        tiny.save_model(tmp_path)
        tiny.save_tokenizer(tmp_path, template=None)
        with pytest.raises(RmbenchError, match=r"has no chat template.*--template FILE"):
            open_model(str(tmp_path))

    def test_the_users_file_goes_first(self, llama: Path, tmp_path: Path, tiny: Any) -> None:
        file = tmp_path / "mine.jinja"
        file.write_text("{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}")
        text = text_of(llama, template=file)
        row = one(text, tiny.request("Hi", "Yo"))
        assert text.tokenizer.decode(row.ids) == "<|bos|>[user] Hi\n[assistant] Yo\n"
        assert text.settings["template"] == "mine.jinja"
        assert text.settings["template_sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()

    def test_the_cards_goes_before_the_tokenizers(self, llama: Path, tiny: Any) -> None:
        tokenizer = _text(llama).tokenizer
        template = resolve_template(tokenizer, None, "{% for m in messages %}{{ m.content }};{% endfor %}", "model")
        assert template.render(tiny.request("Hi", "Yo")) == "Hi;Yo;"
        assert template.source == "card"

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("{% for m in messages %}", "cannot render"),
            ("{{ messages[0].content }}", "leaves the assistant's turn out"),
            ("{{ raise_exception('never') }}", "never"),
            ("{{ ''.__class__.__mro__ }}", "cannot render"),
        ],
    )
    def test_a_broken_one(self, text: str, message: str, llama: Path, tmp_path: Path) -> None:
        file = tmp_path / "broken.jinja"
        file.write_text(text)
        with pytest.raises(RmbenchError, match=message):
            text_of(llama, template=file)

    def test_a_refused_system_message_fails_its_row_alone(self, llama: Path, tmp_path: Path, tiny: Any) -> None:
        file = tmp_path / "strict.jinja"
        file.write_text(
            "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('System role not supported') }}"
            "{% endif %}{{ m.content }}|{% endfor %}"
        )
        rows = text_of(llama, template=file).encode(tiny.requests())
        assert [bool(row.error) for row in rows] == [False, False, False, True, False, False, False]
        assert rows[3].error == "the chat template refuses the conversation: System role not supported"
        assert rows[4].ids == one(text_of(llama, template=file), tiny.requests()[4]).ids

    def test_a_system_message_left_out_without_a_word(self, llama: Path, tmp_path: Path, tiny: Any) -> None:
        file = tmp_path / "silent.jinja"
        file.write_text("{% for m in messages if m.role != 'system' %}{{ m.content }}|{% endfor %}")
        rows = text_of(llama, template=file).encode(tiny.requests())
        assert rows[3].error == "the chat template drops the system message"

    def test_today_is_always_the_same_day(self, llama: Path, tmp_path: Path, tiny: Any) -> None:
        file = tmp_path / "dated.jinja"
        file.write_text("{{ strftime_now('%d %b %Y') }}{% for m in messages %}|{{ m.content }}{% endfor %}")
        text = text_of(llama, template=file)
        assert text.template.render(tiny.request("Hi", "Yo")) == "26 Jul 2024|Hi|Yo"
        assert text.settings["template_date"] == "2024-07-26"

    @pytest.mark.parametrize("asked", ["strftime_now ('%d %b %Y')", "strftime_now(\n'%d %b %Y' )"])
    def test_however_it_is_asked_for(self, asked: str, llama: Path, tmp_path: Path, tiny: Any) -> None:
        file = tmp_path / "dated.jinja"
        file.write_text(f"{{% if strftime_now is defined %}}{{{{ {asked} }}}}{{% endif %}}" + TURNS)
        assert text_of(llama, template=file).template.render(tiny.request("Hi", "Yo")) == "26 Jul 2024|Hi|Yo"

    @pytest.mark.parametrize(
        "asked",
        [
            "{% set now = strftime_now %}{{ now('%Y') }}",
            "{{ strftime_now('%' ~ 'Y') }}",
            "{% for f in [strftime_now] %}{{ f('%Y') }}{% endfor %}",
        ],
    )
    def test_a_day_that_cannot_be_fixed_is_refused(self, asked: str, llama: Path, tmp_path: Path) -> None:
        file = tmp_path / "dated.jinja"
        file.write_text("{# no strftime_now #}" + asked + TURNS)
        with pytest.raises(RmbenchError, match="makes its text depend on the day"):
            text_of(llama, template=file)


def test_affixes_are_what_the_tokenizer_adds(llama: Path, tmp_path: Path, tiny: Any) -> None:
    assert affixes(_text(llama).tokenizer) == ((tiny.BOS,), ())
    assert affixes(text_of(tiny.checkpoint(tmp_path, "bert")).tokenizer) == ((tiny.CLS,), (tiny.SEP,))
