"""PairRM against the library's backbone and a head written out, one row at a time, and its budgets by hand."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from rmbench.errors import RmbenchError
from rmbench.models.families.pairwise.pairrm import Head, PairRmScorer, margins
from tests._make import column_of, encodes_alone, open_as

opened = partial(open_as, PairRmScorer)
margin = partial(column_of, name="margin")

HEAD = ("head_layer.1.weight", "head_layer.1.bias", "head_layer.4.weight", "head_layer.4.bias")
TASK = "Finish the following coversation in each i-th turn by filling in <Response i> with your response."
ROOM = {"source_length": "40", "candidate_length": "20"}  # rows of 80 tokens


def by_hand(folder: Path, ids: list[int], marks: list[int]) -> float:
    """The library's states of one unpadded row, read where its mark tokens stand, and the head in plain numpy."""
    from transformers import DebertaV2Config, DebertaV2Model

    tensors = load_file(folder / "model.safetensors")
    backbone = DebertaV2Model(DebertaV2Config.from_pretrained(folder)).eval()
    backbone.load_state_dict(
        {name.removeprefix("pretrained_model."): t for name, t in tensors.items() if name not in HEAD}
    )
    with torch.no_grad():
        states = backbone(input_ids=torch.tensor([ids])).last_hidden_state[0].double().numpy()
    source, first, second = (states[ids.index(mark)] for mark in marks)
    w1, b1, w2, b2 = (tensors[name].double().numpy() for name in HEAD)

    def scores(candidate: Any) -> Any:
        return w2 @ np.tanh(w1 @ np.concatenate([source, candidate]) + b1) + b2

    return float(np.mean(scores(first) - scores(second)))


def spelled(tokenizer: Any, marks: Any, *texts: str) -> list[int]:
    """[CLS] mark text [SEP] three times, by the tokenizer's own special tokens."""
    return [token for mark, text in zip(marks, texts, strict=True) for token in tokenizer(mark + text)["input_ids"]]


def test_the_head_gives_the_reference_figures() -> None:
    def m(rows: int, columns: int, start: int) -> Any:
        grid = [[np.sin(start + a * columns + b) for b in range(columns)] for a in range(rows)]
        return torch.tensor(np.array(grid), dtype=torch.float64)

    def v(size: int, start: int) -> Any:
        return torch.tensor([0.1 * np.cos(start + a) for a in range(size)], dtype=torch.float64)

    source, first, second = m(1, 8, 1), torch.cos(torch.arange(1, 9, dtype=torch.float64))[None], m(1, 8, 21)
    head = Head(m(8, 16, 110), v(8, 5), m(1, 8, 120), v(1, 6))
    assert float(head(source, first)) == pytest.approx(0.5754133314, abs=1e-9)
    assert float(head(source, second)) == pytest.approx(0.4901052174, abs=1e-9)
    assert float(margins(head, source, first, second)) == pytest.approx(0.0853081140, abs=1e-9)
    assert float(margins(head, source, second, first)) == pytest.approx(-0.0853081140, abs=1e-9)


def test_margins_are_those_of_one_row_at_a_time(tiny_pairrm: Path, tiny: Any, build: Any) -> None:
    model = opened(tiny_pairrm)
    rows = model.encode(build.pairs())
    marks = model.text.tokenizer.convert_tokens_to_ids(list(build.MARKS))
    expected = [by_hand(tiny_pairrm, list(row.ids), marks) for row in rows]
    assert np.ptp(expected) > 0.1
    assert abs(expected[0] + expected[-1]) > 0.01  # the two orders of one pair: this model has a position bias
    for side in ("right", "left"):
        assert margin(model, tiny.batch(rows, model.pad_id, side)) == pytest.approx(expected, abs=1e-5)
        mixed = tiny.batch(rows[::-1][1:4], model.pad_id, side, extra=9)
        assert margin(model, mixed) == pytest.approx(expected[::-1][1:4], abs=1e-5)


@pytest.mark.parametrize(
    ("dialogue", "turns", "source", "first"),
    [
        (
            "numbered",
            ["Q"],
            TASK + "USER: Q\nAssistant: <Response 1>",
            "<Response 1>: A",
        ),
        (
            "numbered",
            ["Q", "R", "S"],
            TASK + "USER: Q\nAssistant: <Response 1>\nUSER: S\nAssistant: <Response 2>",
            "<Response 1>: R\n<Response 2>: A",
        ),
        ("plain", ["Q"], "Q", "A"),
        (
            "plain",
            ["Q", "R", "S"],
            TASK + "USER: Q\nAssistant: <Response 1>\nUSER: S\nAssistant: <Response 2>",
            "<Response 1>: R\n<Response 2>: A",
        ),
        ("turns", [" Q "], "USER: Q\n\nASSISTANT: ", "A"),
        ("turns", ["Q", "R", "S"], "USER: Q\n\nASSISTANT: R\n\nUSER: S\n\nASSISTANT: ", "A"),
        ("turns", [("system", "P"), ("user", "Q")], "SYSTEM MESSAGE: P\n\nUSER: Q\n\nASSISTANT: ", "A"),
    ],
)
def test_a_dialogue_is_spelled_as_upstream_does(
    tiny_pairrm: Path, build: Any, dialogue: str, turns: Any, source: str, first: str
) -> None:
    model = opened(tiny_pairrm, model_args={"dialogue": dialogue})
    row = model.encode([build.pair(turns, "A", "B")])[0]
    assert list(row.ids) == spelled(model.text.tokenizer, build.MARKS, source, first, first[:-1] + "B")
    assert not row.truncated


def test_raw_requests_are_joined_as_they_are(tiny_pairrm: Path, build: Any) -> None:
    model = opened(tiny_pairrm)
    row = model.encode([build.pair(["Q", "R"], "A", "B", render="raw")])[0]
    assert list(row.ids) == spelled(model.text.tokenizer, build.MARKS, "QR", "A", "B")


def test_what_the_source_leaves_goes_to_the_candidates(tiny_pairrm: Path, build: Any) -> None:
    model = opened(tiny_pairrm, model_args={**ROOM, "dialogue": "plain"})
    tokenizer, (source, first, second) = model.text.tokenizer, build.MARKS
    long = " ".join(f"{number} (and so on)," for number in range(60))
    rows = model.encode([build.pair(["Hi"], long, "b"), build.pair([long], long, long), build.pair(["Hi"], "a", "b")])
    # The library's own truncation, which keeps [CLS], the mark and [SEP]: 40 for the source, half of the rest for each.
    question = tokenizer(source + "Hi")["input_ids"]
    room = (80 - len(question)) // 2
    cut = tokenizer(first + long, max_length=room, truncation=True, truncation_side="right")["input_ids"]
    assert list(rows[0].ids) == question + cut + tokenizer(second + "b")["input_ids"]
    both = [
        tokenizer(mark + long, max_length=length, truncation=True, truncation_side="right")["input_ids"]
        for mark, length in ((source, 40), (first, 20), (second, 20))
    ]
    assert list(rows[1].ids) == [token for part in both for token in part]
    assert [row.truncated for row in rows] == [True, True, False]
    assert rows[1].size == len(rows[1].ids) == 80


def test_the_left_of_the_source_is_cut_where_asked_and_its_mark_stays(tiny_pairrm: Path, build: Any) -> None:
    args = {**ROOM, "dialogue": "turns", "answer_length": "4", "truncation_side": "left"}
    model = opened(tiny_pairrm, model_args=args)
    tokenizer, marks = model.text.tokenizer, build.MARKS
    long = " ".join(f"{number} (and so on)," for number in range(60))
    row = model.encode([build.pair([long], long, "b")])[0]
    bare = tokenizer(f"USER: {long}\n\nASSISTANT: ", add_special_tokens=False)["input_ids"]
    mark = tokenizer.convert_tokens_to_ids(list(marks))
    cls, sep = tokenizer("")["input_ids"]
    answer = tokenizer(long, add_special_tokens=False)["input_ids"][:4]
    expected = [cls, mark[0], *bare[-37:], sep, cls, mark[1], *answer, sep]
    assert list(row.ids) == expected + tokenizer(marks[2] + "b")["input_ids"]
    assert row.truncated


def test_marks_that_a_text_spells_are_not_read(tiny_pairrm: Path, tiny: Any, build: Any) -> None:
    model = opened(tiny_pairrm, model_args={"dialogue": "plain"})
    rows = model.encode([build.pair(["Hi <|candidate2|> there"], "an answer", "<|source|> another <|candidate1|>")])
    marks = model.text.tokenizer.convert_tokens_to_ids(list(build.MARKS))
    ids = list(rows[0].ids)
    assert ids.count(marks[2]) == 2
    places: Any = rows[0].payload
    assert [ids[places.source], ids[places.first], ids[places.second]] == marks
    assert [ids[place - 1] for place in (places.source, places.first, places.second)] == [tiny.CLS] * 3
    assert np.isfinite(margin(model, tiny.batch(rows, model.pad_id))).all()


@pytest.mark.parametrize(
    ("turns", "message"),
    [
        ([("system", "Be terse."), ("user", "Hi")], "user and assistant in turn, not system, user, assistant"),
        (["Hi", "Yo"], "in turn, not user, assistant, assistant"),
    ],
)
def test_a_pair_that_pairrm_cannot_read_fails_alone(tiny_pairrm: Path, build: Any, turns: Any, message: str) -> None:
    rows = opened(tiny_pairrm).encode([build.pair(turns, "a", "b"), build.pair(["Hi"], "a", "b")])
    assert message in rows[0].error
    assert not rows[1].error


def test_two_prompts_are_no_pair(tiny_pairrm: Path, tiny: Any, build: Any) -> None:
    from dataclasses import replace

    asked = replace(tiny.request("Q", "A"), against=tiny.request("Another", "B").conversation)
    for dialogue in ("numbered", "plain", "turns"):
        model = opened(tiny_pairrm, model_args={"dialogue": dialogue})
        assert "differ" in model.encode([asked])[0].error
        assert "one conversation alone" in model.encode([tiny.request("Q", "A")])[0].error


def test_nan_comes_back_as_it_is(tmp_path: Path, tiny: Any, build: Any) -> None:
    folder = build.pairrm(tmp_path)
    tiny.edit_tensors(folder, lambda tensors: tensors["head_layer.4.weight"].fill_(float("nan")))
    model = opened(folder)
    assert np.isnan(margin(model, tiny.batch(model.encode(build.pairs()[:2]), model.pad_id))).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_length": 512}, "max_length 512 is not source_length .* = 2048"),
        ({"model_args": {"bos": "none"}}, "a pairrm model has no setting 'bos'"),
        ({"model_args": {"sourcelength": "7"}}, 'Did you mean "source_length"'),
        ({"model_args": {"dialogue": "chatty"}}, "dialogue: .*found 'chatty'"),
    ],
)
def test_options_that_pairrm_has_no_use_for(tiny_pairrm: Path, options: Any, message: str) -> None:
    with pytest.raises(RmbenchError, match=message):
        opened(tiny_pairrm, **options)


def test_absolute_positions_bound_the_budgets(tmp_path: Path, build: Any) -> None:
    folder = build.pairrm(tmp_path, positions=100, biased=True)
    with pytest.raises(RmbenchError, match="100 absolute positions, too few for rows of 2048"):
        opened(folder)
    assert opened(folder, model_args=ROOM).text.total == 80


def test_a_missing_mark_or_another_id_is_named(tmp_path: Path, tiny: Any, build: Any) -> None:
    folder = build.pairrm(tmp_path)
    tiny.edit_json(folder / "config.json", cand2_prefix_id=7)
    with pytest.raises(RmbenchError, match=r'"cand2_prefix_id" is 7, but the tokenizer\'s <\|candidate2\|> is'):
        opened(folder)
    tiny.save_tokenizer(folder, encoder=True, template=None)
    with pytest.raises(RmbenchError, match=r"no token <\|source\|>"):
        opened(folder)


def test_it_encodes_without_its_model(tiny_pairrm: Path, build: Any) -> None:
    assert encodes_alone(opened(tiny_pairrm), build.pairs())
