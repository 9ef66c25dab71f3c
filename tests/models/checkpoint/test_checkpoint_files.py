"""Adapters, heads in a file next to the weights, and the files in which a chat template may lie."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from rmbench.errors import RmbenchError
from rmbench.models.open import OpenOptions, open_model


def rewards(model: Any, rows: Any, tiny: SimpleNamespace) -> list[float]:
    return [float(one) for one in model.forward(tiny.batch(rows, tiny.PAD))["reward"][:, 0]]


def rewards_of(folder: Path, tiny: SimpleNamespace) -> list[float]:
    model: Any = open_model(str(folder), OpenOptions(device="cpu"))
    return rewards(model, model.encode(tiny.requests(4)), tiny)


class TestAdapter:
    @pytest.mark.parametrize("file", ["adapter_model.safetensors", "adapter_model.bin"])
    def test_an_adapter_beside_a_whole_model_is_not_left_out(
        self, file: str, tmp_path: Path, tiny: SimpleNamespace
    ) -> None:
        tiny.checkpoint(tmp_path)
        before = rewards_of(tmp_path, tiny)
        config = {"peft_type": "LORA", "base_model_name_or_path": str(tmp_path / "other"), "r": 4}
        (tmp_path / "adapter_config.json").write_text(json.dumps(config))
        assert rewards_of(tmp_path, tiny) == before  # what a merge may leave behind
        save = save_file if file.endswith("safetensors") else torch.save
        save({"base_model.model.score.weight": torch.ones(1, 8)}, tmp_path / file)
        with pytest.raises(
            RmbenchError, match=f"holds a whole model and an adapter in {file}, which would be left out"
        ):
            open_model(str(tmp_path))


class TestHeadNextToTheWeights:
    @pytest.fixture(params=["value_head.safetensors", "value_head.bin"])
    def folder(self, request: pytest.FixtureRequest, tmp_path: Path, tiny: SimpleNamespace) -> Path:
        """A causal language model and a value head in a file of its own."""
        from transformers import AutoModelForSequenceClassification, LlamaForCausalLM

        tiny.checkpoint(tmp_path)
        config = AutoModelForSequenceClassification.from_pretrained(tmp_path).config
        torch.manual_seed(3)
        LlamaForCausalLM(config).save_pretrained(tmp_path)
        head = {"v_head.summary.weight": torch.randn(1, 32), "v_head.summary.bias": torch.tensor([0.3])}
        save = save_file if request.param.endswith("safetensors") else torch.save
        save(head, tmp_path / request.param)
        self.head = head
        self.file = request.param
        return tmp_path

    def test_the_file_and_the_layout_are_named(self, folder: Path) -> None:
        found = rf"next to the weights in {self.file} \(v_head\.summary.*\[1, 32\].*--adapter llama-factory\.$"
        with pytest.raises(RmbenchError, match=found) as caught:
            open_model(str(folder))
        assert "implicit" not in str(caught.value)

    def test_a_head_of_no_layout_is_named(self, folder: Path) -> None:
        (folder / self.file).rename(folder / f"other_{self.file}")
        with pytest.raises(RmbenchError, match=rf"weights in other_{self.file} .*declare its layout"):
            open_model(str(folder))

    def test_the_layout_reads_it(self, folder: Path, tiny: SimpleNamespace) -> None:
        from transformers import AutoModel

        model: Any = open_model(str(folder), OpenOptions(device="cpu", adapter="llama-factory"))
        rows = model.encode(tiny.requests(4))
        backbone = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
        with torch.no_grad():
            states = [backbone(input_ids=torch.tensor([row.ids])).last_hidden_state[0, -1] for row in rows]
        weight, bias = self.head["v_head.summary.weight"], self.head["v_head.summary.bias"]
        expected = [float(weight[0] @ state + bias[0]) for state in states]
        assert rewards(model, rows, tiny) == pytest.approx(expected, abs=2e-5)


def put(folder: Path, place: str, template: str) -> None:
    """The template where some version of the library saves it."""
    (folder / "chat_template.jinja").unlink()
    name, _, form = place.partition(" ")
    file = folder / name
    if file.suffix == ".jinja":
        file.parent.mkdir(exist_ok=True)
        file.write_text(template)
        return
    named = [{"name": "other", "template": "x"}, {"name": "default", "template": template}]
    value = {"": template, "list": named, "mapping": {"default": template, "other": "x"}}[form]
    held = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps({**held, "chat_template": value}))


class TestTemplate:
    @pytest.mark.parametrize(
        ("place", "source"),
        [
            ("chat_template.jinja", "tokenizer"),
            ("additional_chat_templates/default.jinja", "tokenizer"),
            ("tokenizer_config.json", "tokenizer"),
            ("tokenizer_config.json list", "tokenizer"),
            ("chat_template.json", "chat_template.json"),
            ("chat_template.json mapping", "chat_template.json"),
            ("processor_config.json", "processor_config.json"),
            ("processor_config.json list", "processor_config.json"),
            ("preprocessor_config.json", "preprocessor_config.json"),
        ],
    )
    def test_every_place(self, place: str, source: str, tmp_path: Path, tiny: SimpleNamespace) -> None:
        from transformers import AutoTokenizer

        tiny.checkpoint(tmp_path)
        many = tiny.requests(4)
        turns = [[message.as_dict for message in one.conversation] for one in many]
        tokenizer = AutoTokenizer.from_pretrained(tmp_path)
        ids = [tuple(tokenizer.apply_chat_template(one, return_dict=False)) for one in turns]
        put(tmp_path, place, tokenizer.chat_template)
        model: Any = open_model(str(tmp_path), OpenOptions(device="cpu"))
        rows = model.encode(many)
        assert [row.ids for row in rows] == ids
        assert model.facts.settings["template"] == source
        assert rewards(model, rows, tiny) == pytest.approx(tiny.alone(tmp_path, rows), abs=2e-5)

    def test_none_by_default(self, tmp_path: Path, tiny: SimpleNamespace) -> None:
        tiny.checkpoint(tmp_path)
        (tmp_path / "chat_template.jinja").unlink()
        (tmp_path / "processor_config.json").write_text(json.dumps({"chat_template": {"rag": "x"}}))
        with pytest.raises(RmbenchError, match="no default chat template, only rag: pass one by --template"):
            open_model(str(tmp_path))
