"""What is taken for an implicit reward, what is said of it, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.read import digest_files, read_checkpoint
from rmbench.models.families.implicit.family import IMPLICIT
from rmbench.models.open import open_model
from rmbench.models.options import OpenOptions
from tests._make import special_tokens_read


def test_a_language_model_is_never_taken_for_a_reward_by_itself(pair):
    assert not IMPLICIT.fits(read_checkpoint(pair[0]), None)
    with pytest.raises(RmbenchError, match="pass --adapter implicit"):
        open_model(str(pair[0]))


def test_a_reference_is_enough(pair):
    scorer = open_model(str(pair[0]), OpenOptions(ref_model=str(pair[1])))
    assert scorer.facts.family == "implicit"
    assert "--ref-model" in scorer.facts.why
    assert "lm_head.weight [400, 32]" in scorer.facts.why
    assert scorer.facts.settings["score"] == "dpo"


def test_without_a_reference_the_average_is_the_reward(pair, opened):
    settings = opened(pair[0]).facts.settings
    assert (settings["score"], settings["reference"]) == ("avg", None)
    assert "beta" not in settings


def test_tied_embeddings_fit_and_reward_models_do_not(policy, tiny, opened, tmp_path):
    tied = policy(tmp_path / "tied", tie_word_embeddings=True)
    assert "lm_head.weight" not in load_file(tied / "model.safetensors")
    assert "embed_tokens" in opened(tied).facts.why
    scalar = tiny.checkpoint(tmp_path / "scalar")
    with pytest.raises(RmbenchError, match="implicit does not fit"):
        opened(scalar)
    tiny.edit_json(scalar / "config.json", tie_word_embeddings=True)
    with pytest.raises(RmbenchError, match="implicit does not fit"):
        open_model(str(scalar), OpenOptions(ref_model=str(tied)))
    with pytest.raises(RmbenchError, match="a scalar model has no reference"):
        open_model(str(scalar), OpenOptions(adapter="scalar", ref_model=str(tied)))


def test_the_record_says_reference_and_constants(pair, opened, policy, tmp_path):
    scorer = opened(*pair, beta=0.5, gamma=1.5)
    settings = scorer.facts.settings
    digest = digest_files(pair[1])
    assert settings["reference"] == f"reference@{digest[:8]}"
    assert settings["reference_files"] == digest
    assert (settings["score"], settings["beta"], settings["gamma"], settings["eos"]) == ("dpo", 0.5, 1.5, True)
    other = policy(tmp_path / "reference", seed=5)
    prints = {
        opened(pair[0], pair[1]).facts.fingerprint,
        opened(pair[0], other).facts.fingerprint,
        opened(pair[0], pair[1], beta=0.2).facts.fingerprint,
        opened(pair[0], pair[1], eos=False).facts.fingerprint,
        opened(pair[0]).facts.fingerprint,
    }
    assert len(prints) == 5


def test_a_card_may_name_score_and_reference(pair, opened, tmp_path, monkeypatch):
    monkeypatch.setattr("rmbench.resources.leaderboards", lambda: tmp_path)
    monkeypatch.setattr("rmbench.resources.bundled_models", lambda: pair[0].parent)
    (tmp_path / "models").mkdir()
    card = tmp_path / "models" / "policy.toml"
    card.write_text(
        f'name = "policy"\nfamily = "implicit"\nverified = false\n[settings]\nref_model = "{pair[1]}"\nbeta = 0.3\n'
    )
    scorer = open_model("policy")
    assert (scorer.facts.settings["beta"], scorer.facts.settings["score"]) == (0.3, "dpo")
    assert str(scorer.facts.settings["reference"]).startswith("reference@")
    assert scorer.facts.why.startswith('policy.toml: key "family" implicit')
    free = open_model("policy", OpenOptions(model_args={"score": "simpo", "beta": "2"}))
    assert free.facts.settings["reference"] is None


def test_references_that_are_none(pair, opened):
    for name, message in (
        ("nowhere-at-all", "--ref-model nowhere-at-all: "),
        ("fake:oracle", "a reference is a checkpoint"),
        (f"{pair[1]},", "--ref-model"),
    ):
        with pytest.raises(RmbenchError, match=message):
            opened(pair[0], name)
    with pytest.raises(RmbenchError, match="is the policy itself"):
        opened(pair[0], pair[0])
    with pytest.raises(RmbenchError, match="score=avg has no reference"):
        opened(*pair, score="avg")
    with pytest.raises(RmbenchError, match="needs a reference"):
        opened(pair[0], score="kto")
    with pytest.raises(RmbenchError, match="one per reference"):
        opened(*pair, ref_weights="1:2")


def test_the_reference_must_read_text_as_the_policy_does(pair, policy, opened, tiny, tmp_path):
    swapped = policy(tmp_path / "swapped", seed=1)
    file = swapped / "tokenizer.json"
    data = json.loads(file.read_text())
    vocabulary = data["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    file.write_text(json.dumps(data))
    with pytest.raises(RmbenchError, match=r"must share a tokenizer.*the token '[ab]' is"):
        opened(pair[0], swapped)
    bare = policy(tmp_path / "bare", seed=1, bos=False)
    with pytest.raises(RmbenchError, match=r"must share a tokenizer.*'The answer is 42.' is \[0,"):
        opened(pair[0], bare)


def test_a_pad_token_of_the_policys_own_is_no_difference(pair, policy, opened, tiny, tmp_path):
    own = policy(tmp_path / "own", vocab_size=401, pad_token_id=400)
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(own)
    tokenizer.add_special_tokens({"pad_token": "<fresh>"})
    tokenizer.save_pretrained(own)
    place = tokenizer.pad_token_id
    scorer = opened(own, pair[1])
    assert scorer.pad_id != place or place < 400
    rows = scorer.encode(tiny.requests(3))
    assert scorer.forward(tiny.batch(rows, scorer.pad_id))["reward"].shape == (3, 1)


def test_the_policys_template_is_used(pair, policy, opened, tiny, tmp_path):
    base = policy(tmp_path / "base", seed=1, template=None)
    scorer = opened(pair[0], base)
    assert scorer.encode(tiny.requests(2)) == opened(*pair).encode(tiny.requests(2))


def test_the_shorter_of_the_two_limits_rows(pair, policy, opened, tmp_path):
    short = policy(tmp_path / "short", seed=1, max_position_embeddings=40)
    assert opened(pair[0], short).facts.settings["max_length"] == 40
    assert opened(pair[0], short, max_length=64).facts.settings["max_length"] == 64
    assert opened(*pair).facts.settings["max_length"] == 128


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"scores": "dpo"}, "no setting 'scores'.*Did you mean \"score\""),
        ({"score": "dop"}, "score: .*found 'dop'"),
        ({"beta": "0"}, "beta: .*found '0'"),
        ({"truncation_side": "right"}, "do not apply"),
        ({"head_dtype": "float32"}, "do not apply"),
        ({"token_mask": "nowhere.jsonl", "score": "logp"}, "nowhere.jsonl cannot be read"),
    ],
)
def test_settings_that_are_wrong(args, message, pair, opened):
    with pytest.raises(RmbenchError, match=message):
        opened(pair[0], **args)


def test_a_checkpoint_that_lacks_a_tensor_is_refused(policy, opened, tiny, tmp_path):
    folder = policy(tmp_path / "m")
    tiny.edit_tensors(folder, lambda tensors: tensors.pop("model.norm.weight"))
    with pytest.raises(RmbenchError, match=r"model.norm.weight"):
        opened(folder)


def test_special_tokens_in_candidates_are_read_as_the_options_say(pair: tuple[Path, Path]) -> None:
    counts = special_tokens_read(pair[0], "<|end|>", ref_model=str(pair[1]), adapter="implicit")
    assert counts == {"parsed": [1, 0], "text": [0, 0]}
