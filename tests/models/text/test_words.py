"""Byte-level BPE word by word gives the library's ids, and leaves what it does not know to the library."""

from __future__ import annotations

import pickle
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

import rmbench
from rmbench.models.text import words
from rmbench.models.text.words import WordTokenizer, word_tokenizer

BUNDLED = Path(rmbench.__file__).parent / "bundled/tiny-bt"
WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
ALONE = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
CUTS: dict[str, Any] = {
    "gpt2": BYTES,
    "smollm": pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), BYTES]),
    "llama3": pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(WORDS % r"\p{N}{1,3}"), "isolated"), ALONE]),
    "qwen": pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(WORDS % r"\p{N}"), "isolated"), ALONE]),
}
TEXTS = [
    "It's the user's question: is 1234567 larger than 89? They'LL say so.\n\n  Yes -- (x + y)_{i} = [0.5];\r\n\tno.",
    "“Ça va?” she said… naïve café, 日本語のテキスト, e\u0301 and a\u00a0b\u2028c  \u3000 d",
    "def f(x):\n    return x ** 2  # comment\n\n\n",
]
SPECIALS = ["<|im_start|>", "<|im_end|>", "<|im|>"]


@cache
def made(cut: str, normalizer: str = "", **entry: Any) -> PreTrainedTokenizerFast:
    """A small tokenizer with this cut; `entry` are further facts of its special tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = CUTS[cut]
    if normalizer:
        tokenizer.normalizer = getattr(normalizers, normalizer)()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=500, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(TEXTS * 4, trainer)
    tokenizer.add_special_tokens(
        [AddedToken(text, **{"normalized": False, "special": True, **entry}) for text in SPECIALS]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def of_library(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    ids: list[list[int]] = tokenizer(texts, add_special_tokens=False)["input_ids"]
    return ids


LETTERS = st.sampled_from(
    [*"aAsStTdDlLrReEvV  \n\r\t'''.,-_(5790\x00\x0b\x1c\x7f", *"“é\u0301日\u00a0\u0085\u2028\u3000ſ’½²🙂"]
)
PIECES = st.sampled_from(
    [*SPECIALS, " word", " another", "  ", "\n\n", " it's", " “so”", "’s", " 日本", "\té", " \r\n"]
)
MIXED = st.lists(st.one_of(LETTERS, PIECES, st.text(max_size=3)), max_size=30).map("".join)


@pytest.mark.parametrize("normalizer", ["", "NFC"])
@pytest.mark.parametrize("cut", list(CUTS))
@settings(deadline=None)  # the first example trains the tokenizer
@given(texts=st.lists(MIXED, max_size=4))
def test_its_ids_are_the_librarys(cut: str, normalizer: str, texts: list[str]) -> None:
    tokenizer = made(cut, normalizer)
    ours = word_tokenizer(tokenizer)
    assert ours is not None
    texts = [text.encode("utf-8", "replace").decode() for text in texts]
    assert ours(texts) == (of_library(tokenizer, texts) if texts else [])


def test_the_tokenizer_that_is_bundled_is_known() -> None:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(BUNDLED)
    ours = word_tokenizer(tokenizer)
    assert ours is not None
    texts = [*TEXTS, "<|im_start|>user\nHi<|im_end|>\n" * 3]
    assert ours(texts) == of_library(tokenizer, texts)


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("a space is put before the text", {"pre_tokenizer": pre_tokenizers.ByteLevel(add_prefix_space=True)}),
        ("words of another kind", {"pre_tokenizer": pre_tokenizers.Metaspace()}),
        ("no words at all", {"pre_tokenizer": None}),
        ("letters are changed", {"normalizer": normalizers.Lowercase()}),
    ],
)
def test_other_settings_are_left_to_the_library(what: str, change: dict[str, Any]) -> None:
    backend = Tokenizer.from_str(made("gpt2")._tokenizer.to_str())
    for name, value in change.items():
        setattr(backend, name, value)
    assert word_tokenizer(PreTrainedTokenizerFast(tokenizer_object=backend)) is None, what


@pytest.mark.parametrize("fact", ["lstrip", "rstrip", "single_word"])
def test_special_tokens_that_take_spaces_are_left_to_the_library(fact: str) -> None:
    assert word_tokenizer(made("gpt2", **{fact: True})) is None


def test_tokens_that_are_sought_in_normalised_text_are_left_to_the_library() -> None:
    assert word_tokenizer(made("gpt2", "NFC", normalized=True)) is None
    assert word_tokenizer(made("gpt2", normalized=True)) is not None  # nothing is normalised


def test_a_method_of_its_own_is_left_to_the_library() -> None:
    class Own(PreTrainedTokenizerFast):  # type: ignore[misc]
        def _encode_plus(self, *args: Any, **how: Any) -> Any:
            return super()._encode_plus(*args, **how)

    assert word_tokenizer(Own(tokenizer_object=made("gpt2")._tokenizer)) is None
    assert word_tokenizer(object()) is None


def test_a_difference_on_the_trial_is_left_to_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "_CUTS", ((words._BYTES, r"[^ ]+| +"),))
    assert word_tokenizer(made("gpt2")) is None


def test_it_keeps_no_more_words_than_it_says_and_no_long_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "_KEPT", 5)
    tokenizer = made("gpt2")
    ours = word_tokenizer(tokenizer)
    assert ours is not None
    texts = [f"some word{chr(97 + k)} " + "x" * 100 for k in range(20)]
    assert ours(texts) == of_library(tokenizer, texts)
    assert len(ours._known) <= 5
    assert all(len(word) <= words._LONGEST for word in ours._known)


def test_what_an_earlier_call_cut_off_is_not_cut_off_again() -> None:
    tokenizer = made("qwen")
    ours = word_tokenizer(tokenizer)
    assert ours is not None
    text = "“" + "日本語 " * 30
    whole = of_library(tokenizer, [text, "a"])
    tokenizer([text, "a"], truncation=True, max_length=4)
    tokenizer._tokenizer.enable_padding()
    assert ours([text, "a"]) == whole


def test_it_can_be_sent_to_another_process() -> None:
    ours = word_tokenizer(made("llama3"))
    assert ours is not None
    again = pickle.loads(pickle.dumps(ours))
    assert isinstance(again, WordTokenizer)
    assert again(TEXTS) == ours(TEXTS)
