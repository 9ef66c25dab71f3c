"""The scalar adapter against transformers' own forward, one row at a time, and against broken checkpoints."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from rmbench.errors import RmbenchError
from rmbench.models.backbone.tensors import left_align, linear_head, positions
from rmbench.models.checkpoint.loading import warm
from rmbench.models.families.scalar.stock import ScalarScorer
from rmbench.models.open import OpenOptions
from rmbench.models.options import OpenOptions as SameOptions
from tests._make import column_of, encodes_alone, open_as

opened = partial(open_as, ScalarScorer)
rewards = partial(column_of, name="reward")


@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3", "gemma2", "gpt2", "bert", "roberta", "deberta"])
def test_scores_are_those_of_one_row_at_a_time(kind: str, tmp_path: Path, tiny: Any) -> None:
    folder = tiny.checkpoint(tmp_path, kind)
    model = opened(folder)
    rows = model.encode(tiny.requests())
    expected = tiny.alone(folder, rows)
    assert model.text.max_length == 128
    assert model.facts.settings["attention"] == ("eager" if kind in ("gemma2", "deberta") else "sdpa")
    assert np.ptp(expected) > 0.1  # a model that reacts, so that the comparison means something
    for side in ("right", "left"):
        assert rewards(model, tiny.batch(rows, model.pad_id, side)) == pytest.approx(expected, abs=1e-5)
        mixed = tiny.batch(rows[::-1][1:4], model.pad_id, side, extra=9)
        assert rewards(model, mixed) == pytest.approx(expected[::-1][1:4], abs=1e-5)


def test_the_last_token_is_read_where_pad_is_eos(tmp_path: Path, tiny: Any) -> None:
    template = tiny.CHAT.replace(
        "<|end|>\n{% endfor %}", "{% if not loop.last %}<|end|>\n{% endif %}{% endfor %}<|end|>"
    )
    tiny.save_model(tmp_path, pad_token_id=tiny.END)
    tiny.save_tokenizer(tmp_path, template=template, pad_token="<|end|>")
    model = opened(tmp_path)
    assert model.pad_id == tiny.END
    rows = model.encode(tiny.requests())
    assert all(row.ids[-1] == tiny.END for row in rows)
    expected = tiny.alone(tmp_path, rows)
    for side in ("right", "left"):
        batch = tiny.batch(rows, model.pad_id, side)
        assert rewards(model, batch) == pytest.approx(expected, abs=1e-5)
        with torch.no_grad():
            theirs = model.model(torch.from_numpy(batch.ids), attention_mask=torch.from_numpy(batch.mask)).logits[:, 0]
        assert np.abs(theirs.numpy() - expected).max() > 0.01  # the library reads another token


def test_hidden_is_the_state_under_the_reward(llama: Path, tiny: Any) -> None:
    model = opened(llama)
    assert model.answers == {"reward"}
    both = model.with_hidden()
    assert both.answers == {"reward", "hidden"}
    batch = tiny.batch(model.encode(tiny.requests(3)), model.pad_id, "left")
    answered = both.forward(batch)
    assert answered["hidden"].shape == (3, 32)
    weight = load_file(llama / "model.safetensors")["score.weight"].numpy()
    np.testing.assert_allclose(answered["hidden"] @ weight.T, answered["reward"], atol=1e-6)


def test_an_encoder_has_no_state_at_a_last_token(tmp_path: Path, tiny: Any) -> None:
    with pytest.raises(RmbenchError, match="pools in its own way"):
        opened(tiny.checkpoint(tmp_path, "bert")).with_hidden()


def test_facts_say_what_was_resolved(llama: Path, tiny: Any, tmp_path: Path) -> None:
    facts = opened(llama).facts
    assert facts.name == "tiny-llama"
    assert facts.family == "scalar"
    assert facts.why == "config.json names LlamaForSequenceClassification, the checkpoint holds score.weight [1, 32]"
    assert facts.parameters == sum(tensor.numel() for tensor in load_file(llama / "model.safetensors").values())
    expected = {
        "bos": "one",
        "max_length": 128,
        "truncation_side": "left",
        "dtype": "float32",
        "head_dtype": "float32",
        "device": "cpu" if not torch.cuda.is_available() else facts.settings["device"],
        "attention": "sdpa",
        "template": "tokenizer",
    }
    assert {key: facts.settings[key] for key in expected} == expected
    copy = shutil.copytree(llama, tmp_path / "copy")
    again = opened(copy).facts
    assert (again.revision, again.fingerprint) == (facts.revision, facts.fingerprint)
    (copy / "optimizer.pt").write_bytes(b"left by training")
    assert opened(copy).facts.revision == facts.revision
    tiny.edit_tensors(copy, lambda tensors: tensors["score.weight"].mul_(2))
    assert opened(copy).facts.revision != facts.revision


@pytest.mark.parametrize(
    "options",
    [
        {"max_length": 50},
        {"attn": "eager"},
        {"dtype": "bfloat16"},
        {"model_args": {"bos": "none"}},
        {"model_args": {"truncation_side": "right"}},
        {"model_args": {"head_dtype": "bfloat16"}},
    ],
)
def test_whatever_changes_a_number_changes_the_fingerprint(llama: Path, options: Any) -> None:
    assert opened(llama, **options).facts.fingerprint != opened(llama).facts.fingerprint


def test_the_head_computes_in_its_own_dtype(llama: Path, tiny: Any) -> None:
    wide, narrow = (
        opened(llama, dtype="bfloat16", model_args={"head_dtype": "float32"}),
        opened(llama, dtype="bfloat16"),
    )
    batch = tiny.batch(wide.encode(tiny.requests()), wide.pad_id)
    state = torch.from_numpy(wide.with_hidden().forward(batch)["hidden"])
    weight = load_file(llama / "model.safetensors")["score.weight"].bfloat16()
    exact = (state.double() @ weight.double().T)[:, 0].numpy()
    assert rewards(wide, batch) == pytest.approx(exact, abs=1e-4)
    rounded = rewards(narrow, batch)
    assert rounded == torch.tensor(rounded).bfloat16().float().tolist()
    assert rewards(wide, batch) != rounded


def test_nan_comes_back_as_it_is(tmp_path: Path, tiny: Any) -> None:
    folder = tiny.checkpoint(tmp_path)
    tiny.edit_tensors(folder, lambda tensors: tensors["score.weight"].fill_(float("nan")))
    model = opened(folder)
    assert np.isnan(rewards(model, tiny.batch(model.encode(tiny.requests(2)), model.pad_id))).all()


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_a_model_of_very_few_positions_opens(kind: str, tmp_path: Path, tiny: Any) -> None:
    key = {"bert": "max_position_embeddings", "gpt2": "n_positions"}[kind]
    model = opened(tiny.checkpoint(tmp_path, kind, **{key: 16}))
    rows = model.encode(tiny.requests())
    assert model.text.max_length == 16
    assert [row.truncated for row in rows] == [len(row.ids) == 16 for row in rows]
    assert np.isfinite(rewards(model, tiny.batch(rows, model.pad_id))).all()


def test_dropout_is_off(tmp_path: Path, tiny: Any) -> None:
    model = opened(tiny.checkpoint(tmp_path, "bert", hidden_dropout_prob=0.5))
    batch = tiny.batch(model.encode(tiny.requests()), model.pad_id)
    assert not model.model.training
    assert rewards(model, batch) == rewards(model, batch)


def test_tensors_without_a_use_are_named(tmp_path: Path, tiny: Any) -> None:
    folder = tiny.checkpoint(tmp_path)
    assert opened(folder).facts.settings["unused_tensors"] is None
    tiny.edit_tensors(folder, lambda tensors: tensors.update({"lm_head.weight": torch.ones(400, 32)}))
    assert opened(folder).facts.settings["unused_tensors"] == "lm_head.weight"


class TestBrokenCheckpoints:
    """Each is refused with a message that names what is wrong."""

    def test_no_head(self, tmp_path: Path, tiny: Any) -> None:
        folder = tiny.checkpoint(tmp_path)
        tiny.edit_tensors(folder, lambda tensors: tensors.pop("score.weight"))
        with pytest.raises(RmbenchError, match=r"LlamaForSequenceClassification; head tensors found: none"):
            opened(folder)

    def test_a_missing_layer(self, tmp_path: Path, tiny: Any) -> None:
        folder = tiny.checkpoint(tmp_path)
        tiny.edit_tensors(folder, lambda tensors: tensors.pop("model.layers.1.mlp.up_proj.weight"))
        with pytest.raises(RmbenchError, match=r"random numbers: model\.layers\.1\.mlp\.up_proj\.weight"):
            opened(folder)

    def test_two_labels(self, tmp_path: Path, tiny: Any) -> None:
        with pytest.raises(RmbenchError, match=r"score\.weight has 2 labels"):
            opened(tiny.checkpoint(tmp_path, num_labels=2))

    def test_one_label_under_a_config_that_says_two(self, tmp_path: Path, tiny: Any) -> None:
        folder = tiny.checkpoint(tmp_path)
        plain = opened(folder)
        tiny.edit_json(folder / "config.json", id2label={"0": "a", "1": "b"}, label2id={"a": 0, "b": 1})
        model = opened(folder)
        batch = tiny.batch(model.encode(tiny.requests()), model.pad_id)
        assert rewards(model, batch) == rewards(plain, batch)

    def test_a_head_for_another_width(self, tmp_path: Path, tiny: Any) -> None:
        folder = tiny.checkpoint(tmp_path)
        tiny.edit_tensors(folder, lambda tensors: tensors.update({"score.weight": torch.ones(1, 16)}))
        with pytest.raises(RmbenchError, match=r"score\.weight \(stored \[1, 16\], needed \[1, 32\]\)"):
            opened(folder)

    def test_a_torch_file_that_runs_code(self, tmp_path: Path, tiny: Any) -> None:
        folder = tiny.checkpoint(tmp_path)
        tensors = load_file(folder / "model.safetensors")
        (folder / "model.safetensors").unlink()
        torch.save({**tensors, "extra": Unsafe()}, folder / "pytorch_model.bin")
        with pytest.raises(RmbenchError, match="--allow-pickle"):
            opened(folder)
        unsafe = opened(folder, allow_pickle=True)
        torch.save(tensors, folder / "pytorch_model.bin")
        safe = opened(folder)
        batch = tiny.batch(safe.encode(tiny.requests()), safe.pad_id)
        assert rewards(unsafe, batch) == rewards(safe, batch)

    def test_no_weights_and_no_config(self, tmp_path: Path, tiny: Any) -> None:
        with pytest.raises(RmbenchError, match=r"config\.json does not exist"):
            opened(tmp_path)
        folder = tiny.checkpoint(tmp_path)
        (folder / "model.safetensors").unlink()
        with pytest.raises(RmbenchError, match="holds no weights"):
            opened(folder)

    def test_no_tokenizer(self, tmp_path: Path, tiny: Any) -> None:
        tiny.save_model(tmp_path)
        with pytest.raises(RmbenchError, match="has no tokenizer: looked for tokenizer"):
            opened(tmp_path)

    def test_no_tokenizer_of_which_transformers_makes_an_empty_one(self, tmp_path: Path) -> None:
        from transformers import Qwen2Config, Qwen2ForSequenceClassification

        small = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
        config = Qwen2Config(vocab_size=32, num_key_value_heads=2, num_labels=1, pad_token_id=0, **small)
        Qwen2ForSequenceClassification(config).save_pretrained(tmp_path)
        with pytest.raises(RmbenchError, match="has no tokenizer: looked for tokenizer"):
            opened(tmp_path)

    def test_remote_code_is_not_run(self, tmp_path: Path, tiny: Any) -> None:
        folder = tiny.checkpoint(tmp_path)
        (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
        tiny.edit_json(
            folder / "config.json",
            model_type="something-new",
            auto_map={"AutoConfig": "evil.C", "AutoModelForSequenceClassification": "evil.M"},
        )
        with pytest.raises(RmbenchError):
            opened(folder)
        assert not (tmp_path / "ran").exists()


class Unsafe:
    """Something that a pickle would call."""

    def __reduce__(self) -> Any:
        return dict, ((("unpickled", 1),),)


def test_the_first_forward_is_thrown_away_after_a_warm_up_on_one_thread() -> None:
    torch.set_num_threads(2)
    seen: list[int] = []
    warm(lambda: seen.append(torch.get_num_threads()))
    assert seen == [2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model_args": {"boss": "one"}}, r'no setting .boss.*Did you mean "bos"'),
        ({"model_args": {"bos": "two"}}, r"bos: expected one of one, none, double; found 'two'"),
        ({"dtype": "int8"}, "dtype 'int8' is unknown"),
        ({"device": "abacus"}, "'abacus' is unknown"),
        ({"attn": "flash_attention_2", "device": "cpu"}, "Cannot load"),
        ({"adapter": "scaler"}, 'Did you mean "scalar"'),
        ({"revision": "main"}, "folders have no revisions"),
    ],
)
def test_options_that_do_not_fit(llama: Path, options: Any, message: str) -> None:
    with pytest.raises(RmbenchError, match=message):
        opened(llama, **options)


def test_positions_count_real_tokens_alone() -> None:
    mask = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 0, 0]])
    assert positions(mask).tolist() == [[1, 1, 0, 1, 2], [0, 1, 2, 1, 1]]


def test_rows_move_left_align_in_order() -> None:
    ids = torch.tensor([[9, 9, 5, 6, 7], [1, 2, 3, 9, 9]])
    mask = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 0, 0]])
    moved, mask = left_align(ids, mask)
    assert moved.tolist() == [[5, 6, 7, 9, 9], [1, 2, 3, 9, 9]]
    assert mask.tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 0, 0]]


def test_the_linear_head_gives_the_known_value() -> None:
    """W h and W h + b with h = sin(1..8), W = sin(10..17), b = 0.1 cos 3."""
    state = torch.sin(torch.arange(1, 9, dtype=torch.float64))[None]
    weight = torch.sin(torch.arange(10, 18, dtype=torch.float64))[None]
    bias = 0.1 * torch.cos(torch.tensor([3.0], dtype=torch.float64))
    assert linear_head(state, weight, None, torch.float64).item() == pytest.approx(-4.0327042365, abs=1e-6)
    assert linear_head(state, weight, bias, torch.float64).item() == pytest.approx(-4.1317034862, abs=1e-6)


def test_the_options_have_one_home() -> None:
    assert OpenOptions is SameOptions


def test_it_encodes_without_its_model(llama: Path, tiny: Any) -> None:
    assert encodes_alone(opened(llama), tiny.requests())
    assert encodes_alone(opened(llama, special_tokens="text"), tiny.requests())
