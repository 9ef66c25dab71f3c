"""Question and answer as two segments, against the tokenizer's own pairs and transformers' own forward."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rmbench.errors import RmbenchError
from rmbench.models.families.scalar.segments import PairEncoder, pair_encoder
from rmbench.models.families.scalar.stock import ScalarScorer
from rmbench.models.open import OpenOptions, open_model
from rmbench.types import text_of
from tests._make import encodes_alone, open_as

opened = partial(open_as, ScalarScorer, model_args={"segments": "pair"})

LONG = "How do I boil an egg? I do not know; ask somebody else about it, please. "


def save(folder: Path, tiny: Any, kind: str) -> Path:
    """A checkpoint without a chat template, whose tokenizer joins pairs as BERT's does."""
    tiny.save_model(folder, kind)
    tells = ["input_ids", "token_type_ids", "attention_mask"]
    tiny.save_tokenizer(folder, encoder=True, template=None, model_input_names=tells)
    file = folder / "tokenizer.json"
    data = json.loads(file.read_text())
    special = [{"SpecialToken": {"id": name, "type_id": kind}} for name, kind in (("[CLS]", 0), ("[SEP]", 0))]
    pieces = [{"Sequence": {"id": letter, "type_id": kind}} for letter, kind in (("A", 0), ("B", 1))]
    end = {"SpecialToken": {"id": "[SEP]", "type_id": 1}}
    data["post_processor"]["pair"] = [special[0], pieces[0], special[1], pieces[1], end]
    file.write_text(json.dumps(data))
    return folder


def pairs(requests: Any) -> list[tuple[str, str]]:
    return [
        (text_of(one.conversation[: one.prompt_messages]), text_of(one.conversation[one.prompt_messages :]))
        for one in requests
    ]


@pytest.mark.parametrize("kind", ["bert", "deberta", "roberta"])
def test_rows_and_scores_are_those_of_the_library(kind: str, tmp_path: Path, tiny: Any) -> None:
    model = opened(save(tmp_path, tiny, kind))
    requests = tiny.requests()
    rows = model.encode(requests)
    expected = []
    for row, (question, answer) in zip(rows, pairs(requests), strict=True):
        own = model.text.tokenizer([question], [answer], return_token_type_ids=True)  # alone it drops an empty answer
        assert [list(row.ids)] == own["input_ids"]
        given = {name: torch.tensor(own[name]) for name in ("input_ids", "token_type_ids")}
        with torch.no_grad():
            expected.append(model.model(**given).logits.item())
    for side in ("right", "left"):
        scores = model.forward(tiny.batch(rows, model.pad_id, side, extra=3))["reward"][:, 0]
        np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_a_model_of_one_kind_of_segment_is_told_of_none(tmp_path: Path, tiny: Any) -> None:
    folder = save(tmp_path, tiny, "roberta")
    table = "roberta.embeddings.token_type_embeddings.weight"
    tiny.edit_tensors(folder, lambda tensors: tensors.update({table: tensors[table][:1].clone()}))
    tiny.edit_json(folder / "config.json", type_vocab_size=1)
    model = opened(folder)
    assert isinstance(model.text, PairEncoder)
    assert model.text.typed
    rows = model.encode(tiny.requests(3))
    assert model.forward(tiny.batch(rows, model.pad_id))["reward"][:, 0] == pytest.approx(
        tiny.alone(folder, rows), abs=1e-5
    )


def test_segments_move_the_score_and_the_fingerprint(tmp_path: Path, tiny: Any) -> None:
    folder = save(tmp_path, tiny, "bert")
    model = opened(folder)
    row = model.encode(tiny.requests(1))
    with torch.no_grad():
        without = model.model(torch.tensor([row[0].ids])).logits.item()
    assert abs(float(model.forward(tiny.batch(row, model.pad_id))["reward"][0, 0]) - without) > 1e-3
    assert model.facts.settings["segments"] == "pair"
    assert "template" not in model.facts.settings
    assert opened(folder, max_length=50).facts.fingerprint != model.facts.fingerprint


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("length", [9, 20, 21, 30])
@pytest.mark.parametrize(
    "pair", [(LONG, "Yo."), ("Hi", LONG), (LONG, LONG), (LONG[:30], LONG), (LONG, LONG[:30]), ("Hi", "Yo")]
)
def test_the_longer_text_is_cut_first(
    pair: tuple[str, str], length: int, side: Any, tmp_path_factory: pytest.TempPathFactory, tiny: Any
) -> None:
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("pair")
    tokenizer = AutoTokenizer.from_pretrained(save(folder, tiny, "bert"))
    encoder = pair_encoder(tokenizer, length, side)
    row = encoder.encode([tiny.request(*pair)])[0]
    tokenizer.truncation_side = side
    own = tokenizer(*pair, truncation="longest_first", max_length=length)["input_ids"]
    assert list(row.ids) == own
    assert row.truncated == (len(tokenizer(*pair)["input_ids"]) > length)


def test_what_cannot_be_a_pair(tmp_path: Path, tiny: Any, llama: Path) -> None:
    folder = save(tmp_path / "bert", tiny, "bert")
    template = tmp_path / "t.jinja"
    template.write_text(tiny.CHAT)
    with pytest.raises(RmbenchError, match="does not go with segments = pair"):
        opened(folder, template=template)
    with pytest.raises(RmbenchError, match="a stock model has no setting 'segments'"):
        opened(llama)
    with pytest.raises(RmbenchError, match="segments: expected one of one, pair; found 'two'"):
        open_model(str(folder), OpenOptions(model_args={"segments": "two"}))
    with pytest.raises(RmbenchError, match="with nothing between"):
        opened(tiny.checkpoint(tmp_path / "single", "bert"))
    tight = opened(folder, max_length=4)
    assert isinstance(tight.text, PairEncoder)
    assert "leaves no room" in tight.encode(tiny.requests(1))[0].error


def test_it_encodes_without_its_model(tmp_path: Path, tiny: Any) -> None:
    assert encodes_alone(opened(save(tmp_path, tiny, "bert")), tiny.requests())
