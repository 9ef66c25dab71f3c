"""Token ids for which the model has no embedding: a pad id that no row reads, and tokens of a row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rmbench.engine.judge import judge
from rmbench.errors import RmbenchError
from rmbench.models.open import OpenOptions, open_model
from rmbench.types import Judgment
from tests._make import make_example

ASKED = make_example("one", "How do I boil an egg?", "No.", "Put it into boiling water for nine minutes.")


def judged(folder: Path, example: Any = ASKED) -> Judgment:
    return judge("mine", [example], open_model(str(folder), OpenOptions())).judgments[0]


def with_config(folder: Path, **changes: Any) -> Path:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    return folder


@pytest.mark.parametrize("pad", [400, 4096, -1, None])
def test_a_pad_id_outside_changes_nothing_of_a_decoder(pad: int | None, tmp_path: Path, tiny: Any) -> None:
    expected = judged(tiny.checkpoint(tmp_path / "plain"))
    found = judged(with_config(tiny.checkpoint(tmp_path / "moved"), pad_token_id=pad))
    assert found.status == "ok"
    assert found.rewards == pytest.approx(expected.rewards, abs=1e-6)


def test_an_encoder_that_counts_positions_from_its_pad_id_is_refused(tmp_path: Path, tiny: Any) -> None:
    folder = with_config(tiny.checkpoint(tmp_path / "roberta", "roberta"), pad_token_id=400)
    with pytest.raises(RmbenchError, match=r"Cannot load .*Padding_idx must be within num_embeddings"):
        open_model(str(folder), OpenOptions())


def test_a_token_outside_fails_its_row_and_is_named(tmp_path: Path, tiny: Any) -> None:
    from transformers import AutoTokenizer

    folder = tiny.checkpoint(tmp_path / "more")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([f"<extra{number}>" for number in range(200)], special_tokens=True)
    tokenizer.save_pretrained(folder)
    number = tokenizer.convert_tokens_to_ids("<extra199>")
    assert number >= 400
    found = judged(folder, make_example("one", "Egg?", "No <extra199>.", "Nine minutes."))
    assert found.status == "failed"
    assert found.error == f"candidate 0: token {number} ('<extra199>') is outside the model's 400 embeddings"
    assert judged(folder).status == "ok"
