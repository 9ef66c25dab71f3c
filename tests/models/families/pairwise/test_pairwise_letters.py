"""Language models that answer by a letter, against the library's logits of one unpadded row at a time."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rmbench.errors import RmbenchError
from rmbench.models.families.pairwise.letters import LetterScorer
from tests._make import column_of, open_as

margin = partial(column_of, name="margin")

CONTEXT = "[CONTEXT] \n\n<turn> user\n How?\n<turn> assistant\n So.\n<turn> user\n And why?\n"


def opened(folder: Path, layout: str, **options: Any) -> LetterScorer:
    return open_as(LetterScorer, folder, adapter=layout, **options)


def letters(model: LetterScorer) -> tuple[int, int]:
    vocabulary = model.text.tokenizer.get_vocab()
    return vocabulary["A"], vocabulary["B"]


def causal_margins(folder: Path, model: LetterScorer, rows: Any) -> list[float]:
    from transformers import AutoModelForCausalLM

    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    a, b = letters(model)
    with torch.no_grad():
        logits = [theirs(input_ids=torch.tensor([row.ids])).logits[0, -1] for row in rows]
    return [float(one[a] - one[b]) for one in logits]


@pytest.mark.parametrize("kind", ["Llama", "Gemma2"])
def test_a_pair_preference_model(kind: str, tmp_path: Path, tiny: Any, build: Any) -> None:
    more = {"final_logit_softcapping": 2.0, "tie_word_embeddings": True} if kind == "Gemma2" else {}
    folder = build.causal(tmp_path, kind=kind, **more)
    model = opened(folder, "slic")
    rows = model.encode(build.pairs())
    expected = causal_margins(folder, model, rows)
    assert np.ptp(expected) > 0.1
    if kind == "Gemma2":
        assert max(map(abs, expected)) < 4  # capped logits, as the model gives them
    for side in ("right", "left"):
        assert margin(model, tiny.batch(rows, model.pad_id, side)) == pytest.approx(expected, abs=1e-5)
        mixed = tiny.batch(rows[::-1][1:4], model.pad_id, side, extra=9)
        assert margin(model, mixed) == pytest.approx(expected[::-1][1:4], abs=1e-5)


def test_the_question_is_rlhflows(tmp_path: Path, tiny: Any, build: Any) -> None:
    """The layout of the training row that RLHFlow's README prints, in the model's template, without BOS, read at the
    end of the user's turn."""
    model = opened(build.causal(tmp_path), "slic")
    tokenizer = model.text.tokenizer
    row = model.encode([build.pair(["How?", "So.", "And why?"], "One.", "Two.")])[0]
    text = f"<|start|>user\n{CONTEXT} [RESPONSE A] One. [RESPONSE B] Two. \n<|end|>\n"
    assert list(row.ids) == tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tiny.BOS not in row.ids
    assert model.facts.settings["bos"] == "none"
    system = model.encode([build.pair([("system", "Terse."), ("user", "Hi")], "One.", "Two.")])[0]
    assert tokenizer.decode(system.ids).startswith(
        "<|start|>user\n[CONTEXT] \n\n<turn> user\n Terse.\n<turn> user\n Hi\n [RESPONSE A] One."
    )
    with_bos = opened(tmp_path, "slic", model_args={"bos": "one"}).encode([build.pair(["Hi"], "One.", "Two.")])[0]
    assert with_bos.ids[0] == tiny.BOS


def test_a_raw_prompt_is_the_context(tmp_path: Path, build: Any) -> None:
    model = opened(build.causal(tmp_path), "slic")
    row = model.encode([build.pair(["Q"], "A", "B", render="raw")])[0]
    text = model.text.tokenizer.decode(row.ids)
    assert text == "<|start|>user\n[CONTEXT] Q [RESPONSE A] A [RESPONSE B] B \n<|end|>\n"


def test_probabilities_of_the_reference() -> None:
    """Logits 2.0 and 0.5, and -0.25 log-odds in the other order: the mean of two probabilities is above one half just
    where the sum of the margins is above 0, which is what metrics read."""

    def sigmoid(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    assert sigmoid(2.0 - 0.5) == pytest.approx(0.8175744762, abs=1e-9)
    assert (sigmoid(1.5) + sigmoid(-0.25)) / 2 == pytest.approx(0.6276989877, abs=1e-9)
    for first in np.linspace(-3, 3, 13):
        for second in np.linspace(-2.9, 3.1, 13):
            by_mean = (sigmoid(first) + sigmoid(second)) / 2 > 0.5
            assert by_mean == (first + second > 0)


def test_steamshp(tmp_path: Path, tiny: Any, build: Any) -> None:
    from transformers import T5ForConditionalGeneration

    folder = build.t5(tmp_path)
    model = opened(folder, "steamshp")
    rows = model.encode(build.pairs())
    theirs = T5ForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    a, b = letters(model)
    expected = []
    for row in rows:
        with torch.no_grad():
            given = theirs.generate(
                input_ids=torch.tensor([row.ids]),
                max_new_tokens=1,
                output_logits=True,
                return_dict_in_generate=True,
            )
        expected.append(float(given.logits[0][0, a] - given.logits[0][0, b]))
    assert np.ptp(expected) > 0.1
    for side in ("right", "left"):
        assert margin(model, tiny.batch(rows, model.pad_id, side)) == pytest.approx(expected, abs=1e-4, rel=1e-5)
        mixed = tiny.batch(rows[::-1][1:4], model.pad_id, side, extra=9)
        assert margin(model, mixed) == pytest.approx(expected[::-1][1:4], abs=1e-4, rel=1e-5)


def test_steamshps_question(tmp_path: Path, tiny: Any, build: Any) -> None:
    model = opened(build.t5(tmp_path), "steamshp")
    row = model.encode([build.pair(["How?", "So.", "And why?"], "One.", "Two.")])[0]
    text = "POST: How? So. And why?\n\n RESPONSE A: One.\n\n RESPONSE B: Two.\n\n Which response is better? RESPONSE"
    assert list(row.ids) == model.text.tokenizer(text)["input_ids"]
    assert row.ids[-1] == tiny.END
    raw = model.encode([build.pair(["Q", "R"], "A", "B", render="raw")])[0]
    assert model.text.tokenizer.decode(raw.ids).startswith("POST: QR\n\n RESPONSE A: A\n\n")


@pytest.mark.parametrize("layout", ["slic", "steamshp"])
def test_a_long_context_loses_its_beginning(layout: str, tmp_path: Path, build: Any) -> None:
    folder = (build.causal if layout == "slic" else build.t5)(tmp_path)
    short, long = build.pair(["Hi"], "One.", "Two."), build.pair(["Hi" * 200], "One.", "Two.")
    whole = opened(folder, layout).encode([short])[0]
    room = whole.size + 5
    model = opened(folder, layout, max_length=room)
    assert model.facts.settings["max_length"] == room
    rows = model.encode([short, long])
    assert [row.truncated for row in rows] == [False, True]
    assert rows[0] == whole
    assert len(rows[1].ids) == room
    text = model.text.tokenizer.decode(rows[1].ids)
    assert ("[RESPONSE A] One. [RESPONSE B] Two." if layout == "slic" else "A: One.\n\n RESPONSE B: Two.") in text
    assert text.endswith("<|end|>\n" if layout == "slic" else "RESPONSE<|end|>")
    for answers in (("Hi" * 200, "Two."), ("One.", "Hi" * 200)):
        refused = model.encode([build.pair(["Hi"], *answers), short])
        assert refused[0].error == f"both answers do not fit into max_length {room}"
        assert not refused[1].error
    with pytest.raises(RmbenchError, match="would cut off the end"):
        opened(folder, layout, model_args={"truncation_side": "right"})


def test_an_answer_must_be_one_token(tmp_path: Path, build: Any) -> None:
    from transformers import AutoTokenizer

    folder = build.causal(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.backend_tokenizer.normalizer = __import__("tokenizers").normalizers.Prepend("_")
    tokenizer.save_pretrained(folder)
    with pytest.raises(RmbenchError, match=r'reads the answer "A" as \[\d+, \d+\], expected one token'):
        opened(folder, "slic")


@pytest.mark.parametrize(
    ("args", "message"),
    [({"head_dtype": "float32"}, "no setting 'head_dtype'"), ({"dialogue": "plain"}, "no setting 'dialogue'")],
)
def test_options_without_a_use(args: Any, message: str, tmp_path: Path, build: Any) -> None:
    with pytest.raises(RmbenchError, match=message):
        opened(build.causal(tmp_path), "slic", model_args=args)


def test_a_pair_that_cannot_be_spelled_fails_alone(tmp_path: Path, tiny: Any, build: Any) -> None:
    from dataclasses import replace

    model = opened(build.causal(tmp_path), "slic")
    other = replace(tiny.request("Q", "A"), against=tiny.request("Another", "B").conversation)
    rows = model.encode([other, build.pair(["Hi"], "a", "b"), tiny.request("Q", "A")])
    assert [bool(row.error) for row in rows] == [True, False, True]
    assert "differ before their answers" in rows[0].error
