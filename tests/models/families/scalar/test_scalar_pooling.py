"""Which state is read: against the rules as the libraries write them, and against plain loops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rmbench.engine.judge import judge
from rmbench.errors import RmbenchError
from rmbench.models.card import Card, load_card
from rmbench.models.families.scalar.pooling import (
    Pooling,
    PromptState,
    Spot,
    place_row,
    spot_of,
    upstream_index,
)
from rmbench.models.families.scalar.stock import ScalarScorer
from rmbench.models.open import OpenOptions, open_model
from rmbench.models.text.tokens import TextRow
from rmbench.types import Candidate, Example, Gold, Message

MISMATCH = ("pool_index_mismatch",)
rows_of_ids = st.lists(st.integers(0, 4), min_size=1, max_size=12)


def row(ids: Any, **more: Any) -> TextRow:
    return TextRow("", (), tuple(ids), (), **({"dropped_left": 0, "dropped_right": 0} | more))


def placed(pooling: Pooling, ids: Any, pad: int = 2, use: Any = "mask", **config: Any) -> Any:
    return place_row(pooling.bind(config, pad, use), row(ids))


class TestUpstreamRules:
    def test_the_known_row_where_pad_is_eos(self) -> None:
        """Ids [1, 5, 6, 7, 2] of a tiny Llama with pad = eos = 2: ours reads 4, transformers reads 3."""
        from transformers import LlamaConfig, LlamaForSequenceClassification

        ids = [1, 5, 6, 7, 2]
        entry = placed(Pooling(upstream="rightmost"), ids)
        assert (entry.payload, entry.remarks) == (Spot(4), MISMATCH)
        assert upstream_index("rightmost", ids, 2) == 3
        torch.manual_seed(0)
        size = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
        model = LlamaForSequenceClassification(LlamaConfig(vocab_size=10, num_labels=1, pad_token_id=2, **size)).eval()
        with torch.no_grad():
            theirs = model(torch.tensor([ids]), attention_mask=torch.ones(1, 5, dtype=torch.long)).logits.item()
            everywhere = model.score(model.model(torch.tensor([ids])).last_hidden_state)[0, :, 0]
        assert theirs == pytest.approx(everywhere[3].item(), abs=1e-6)
        assert theirs != pytest.approx(everywhere[4].item(), abs=1e-6)

    @given(rows_of_ids)
    def test_they_are_what_the_libraries_compute(self, ids: list[int]) -> None:
        array, pad = np.array(ids), 2
        rightmost = int((np.arange(len(ids)) * (array != pad)).argmax())
        first_pad = int(((array == pad).argmax() - 1) % len(ids))
        assert upstream_index("rightmost", ids, pad) == rightmost
        assert upstream_index("firstpad", ids, pad) == first_pad
        assert upstream_index("last column", ids, pad) == len(ids) - 1

    @pytest.mark.parametrize(
        ("ids", "index"),
        [([1, 5, 2, 7, 9], 1), ([1, 5, 6, 7], 3), ([2, 5, 6], 2), ([1, 5, 6, 2], 2)],
    )
    def test_a_pad_inside_the_text_stops_firstpad(self, ids: list[int], index: int) -> None:
        assert upstream_index("firstpad", ids, 2) == index
        entry = placed(Pooling(upstream="firstpad"), ids)
        assert entry.payload == Spot(len(ids) - 1)
        assert entry.remarks == (() if index == len(ids) - 1 else MISMATCH)

    def test_upstream_is_obeyed_where_the_card_says_so_and_still_counted(self) -> None:
        declared = Pooling(upstream="firstpad")
        entry = placed(declared, [1, 5, 2, 7, 9], use="upstream")
        assert (entry.payload, entry.remarks) == (Spot(1), MISMATCH)
        assert entry.key != placed(declared, [1, 5, 2, 7, 9]).key
        settings = declared.bind({}, 2, "upstream").settings
        assert settings == {"pooling": "upstream's: firstpad, pad 2"}

    def test_a_pad_id_in_upstreams_code_goes_before_the_checkpoints(self) -> None:
        assert placed(Pooling(upstream="firstpad", pad=0), [1, 0, 7], pad=2).remarks == MISMATCH
        assert placed(Pooling(upstream="firstpad", pad=0), [1, 2, 7], pad=2).remarks == ()


class TestOurRules:
    @given(rows_of_ids, st.sampled_from(["last", "token", "first", "mean"]), st.sampled_from(["mask", "upstream"]))
    def test_an_index_is_inside_its_row_and_a_plain_loop_finds_it(self, ids: list[int], rule: Any, use: Any) -> None:
        upstream = "firstpad" if use == "upstream" else None
        if upstream and rule in ("first", "mean"):
            return
        entry = placed(Pooling(rule=rule, token=3 if rule == "token" else None, upstream=upstream), ids, use=use)
        place = {"last": len(ids) - 1, "first": 0, "mean": len(ids) - 1, "token": -1}[rule]
        for index, token in enumerate(ids):
            if rule == "token" and token == 3:
                place = index
        if place < 0:
            assert entry.error == "the row has no token 3, whose state the head reads"
            return
        if upstream:
            place = len(ids) - 1
            for index, token in reversed(list(enumerate(ids))):
                place = (index - 1 if index else len(ids) - 1) if token == 2 else place
        assert entry.payload == Spot(place)
        assert 0 <= entry.payload.state < len(ids)

    def test_a_token_may_be_a_key_of_the_configuration(self) -> None:
        declared = Pooling(rule="token", token="reward_token_id")
        assert placed(declared, [1, 92, 7], reward_token_id=92).payload == Spot(1)
        assert declared.bind({"reward_token_id": 92}, 2).settings == {"pooling": "last token 92"}
        with pytest.raises(RmbenchError, match=r'no token id .reward_token_id.*Did you mean "reward_token_ids"'):
            declared.bind({"reward_token_ids": [92]}, 2)
        with pytest.raises(RmbenchError, match="no token id 'reward_token_id'"):
            declared.bind({"reward_token_id": True}, 2)

    def test_a_row_read_at_its_end_keeps_the_key_of_its_ids(self) -> None:
        ids = [1, 5, 7]
        assert placed(Pooling(upstream="rightmost"), ids).key == row(ids).encoded().key
        assert placed(Pooling(rule="first"), ids).key != row(ids).encoded().key

    @pytest.mark.parametrize(
        ("declared", "message"),
        [
            ({"rule": "token"}, "names a token"),
            ({"token": 3}, "no other rule does"),
            ({"append": True}, "token to append"),
            ({"rule": "mean", "upstream": "rightmost"}, "does not depend on padding"),
            ({"rule": "token", "token": True}, "token"),
            ({"prompt": {"pattern": []}}, "one of the three"),
            ({"prompt": {"apart": True}, "rule": "mean"}, "apart goes with rule"),
            ({"rules": "last"}, "Extra inputs"),
        ],
    )
    def test_declarations_that_contradict_themselves(self, declared: Any, message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            Pooling.model_validate(declared)

    def test_without_an_upstream_rule_there_is_none_to_obey(self) -> None:
        with pytest.raises(RmbenchError, match="no rule of its own to follow"):
            Pooling().bind({}, 2, "upstream")


class TestSpots:
    def test_a_row_says_where_it_is_read(self) -> None:
        declared = Pooling(rule="token", token=7, prompt=PromptState(pattern=(5, 6))).bind({}, 2)
        texts = [[1, 5, 6, 7, 9], [1, 4, 4, 5, 6, 2, 7], [5, 6, 7]]
        spots = [spot_of(place_row(declared, row(ids), ids)) for ids in texts]
        assert spots == [Spot(3, 1), Spot(6, 3), Spot(2, 0)]

    def test_a_row_that_no_pooling_saw_is_read_at_its_end(self) -> None:
        assert spot_of(row([1, 5, 7]).encoded()) == Spot(2, 0)


class TestStock:
    """The stock classifiers, whose published numbers rest on the library's rule."""

    @pytest.fixture
    def folder(self, tmp_path: Path, tiny: Any) -> Path:
        """Pad = eos, which ends every text."""
        template = tiny.CHAT.replace("<|end|>\n{% endfor %}", "<|end|>{% endfor %}")
        tiny.save_model(tmp_path, pad_token_id=tiny.END)
        tiny.save_tokenizer(tmp_path, template=template, pad_token="<|end|>")
        return tmp_path

    def opened(self, folder: Path, **args: str) -> ScalarScorer:
        model = open_model(str(folder), OpenOptions(model_args=args))
        assert isinstance(model, ScalarScorer)
        return model

    def test_rows_that_the_library_reads_elsewhere_are_counted(self, folder: Path) -> None:
        candidates = (Candidate.of("yes"), Candidate.of("no"))
        example = Example("1", (Message.of("user", "Is it?"),), candidates, Gold())
        judging = judge("t", [example], self.opened(folder))
        assert judging.facts()["pool_index_mismatch"] == 2
        tuned = self.opened(folder)
        assert tuned.facts.settings["pooling"] == "last token by mask"

    def test_the_count_is_left_out_where_nothing_differs(self, llama: Path) -> None:
        example = Example("1", (Message.of("user", "Is it?"),), (Candidate.of("yes"),), Gold())
        assert "pool_index_mismatch" not in judge("t", [example], self.opened(llama)).facts()

    def test_upstreams_rule_gives_the_librarys_scores(self, folder: Path, tiny: Any) -> None:
        model, ours = self.opened(folder, pooling="upstream"), self.opened(folder)
        assert model.facts.fingerprint != ours.facts.fingerprint
        assert model.facts.settings["pooling"] == f"upstream's: rightmost, pad {tiny.END}"
        rows = model.encode(tiny.requests())
        for side in ("right", "left"):
            batch = tiny.batch(rows, model.pad_id, side)
            with torch.no_grad():
                theirs = model.model(torch.from_numpy(batch.ids), torch.from_numpy(batch.mask)).logits
            np.testing.assert_allclose(model.forward(batch)["reward"], theirs, atol=1e-4)
        other = ours.forward(tiny.batch(ours.encode(tiny.requests()), ours.pad_id))["reward"]
        assert np.abs(other - theirs.numpy()).max() > 0.01

    def test_encoders_and_other_families_have_no_such_rule(self, tmp_path: Path, tiny: Any) -> None:
        with pytest.raises(RmbenchError, match="an encoder pools as its class does"):
            self.opened(tiny.checkpoint(tmp_path / "bert", "bert"), pooling="upstream")
        card = tmp_path / "a.toml"
        card.write_text('name = "a"\nfamily = "gpm"\nverified = false\npooling = "upstream"\n')
        with pytest.raises(RmbenchError, match="toml: pooling: only scalar models"):
            load_card(card)
        assert Card(name="a", family="scalar", verified=False, pooling="upstream").pooling == "upstream"
