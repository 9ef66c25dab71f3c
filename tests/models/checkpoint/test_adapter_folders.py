"""Folders of adapters as trainers leave them: where the base is, what lies beside, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.torchvision_ops import declare_missing_operators
from rmbench.models.open import OpenOptions, open_model

declare_missing_operators()
pytest.importorskip("peft")
pytestmark = pytest.mark.filterwarnings("ignore")  # peft's advice on how to train
SMALL = {"vocab_size": 400, "max_position_embeddings": 128, "initializer_range": 0.2, "pad_token_id": 1}
SMALL |= {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}


def language_model(folder: Path, tiny: SimpleNamespace, **config: Any) -> Path:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(**{**SMALL, **config})).save_pretrained(folder)
    tiny.save_tokenizer(folder)
    return folder


def adapter(folder: Path, base: Path, task: str | None = "SEQ_CLS", **options: Any) -> Any:
    """A LoRA adapter of the base, by peft, with random numbers in place of trained ones; the merged model."""
    import peft
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    torch.manual_seed(1)
    if task == "SEQ_CLS":
        model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1, dtype=torch.float32)
    else:
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    config = peft.LoraConfig(**{"task_type": task, "r": 4, "target_modules": ["q_proj", "v_proj"], **options})
    made = peft.get_peft_model(model, config)
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.requires_grad:
                parameter += 0.1 * torch.randn_like(parameter)
    made.save_pretrained(folder)
    return made.merge_and_unload().eval()


def opened(folder: Path, **options: Any) -> Any:
    return open_model(str(folder), OpenOptions(device="cpu", **options))


def rewards(model: Any, tiny: SimpleNamespace) -> list[float]:
    rows = model.encode(tiny.requests(5))
    return [float(one) for one in model.forward(tiny.batch(rows, tiny.PAD))["reward"][:, 0]]


def last_states(model: Any, merged: Any, tiny: SimpleNamespace) -> list[torch.Tensor]:
    """By the merged backbone, each row by itself."""
    with torch.no_grad():
        rows = [torch.tensor([row.ids]) for row in model.encode(tiny.requests(5))]
        return [merged.model(input_ids=ids).last_hidden_state[0, -1] for ids in rows]


def logits(model: Any, merged: Any, tiny: SimpleNamespace) -> list[float]:
    return [float(merged.score(state)) for state in last_states(model, merged, tiny)]


def edit(folder: Path, **values: Any) -> None:
    file = folder / "adapter_config.json"
    data = json.loads(file.read_text()) | values
    file.write_text(json.dumps({key: value for key, value in data.items() if value is not None}))


@pytest.fixture
def base(tmp_path: Path, tiny: SimpleNamespace) -> Path:
    return language_model(tmp_path / "base", tiny)


class TestBase:
    def test_what_the_record_says(self, base: Path, tmp_path: Path, tiny: SimpleNamespace) -> None:
        adapter(tmp_path / "run", base)
        facts = opened(tmp_path / "run").facts
        assert facts.settings["adapter"] == "lora"
        assert str(facts.settings["base"]).startswith("base@")
        assert facts.why.endswith(f"the lora adapter is merged into its base {facts.settings['base']}")
        adapter(tmp_path / "with dora", base, use_dora=True)
        assert opened(tmp_path / "with dora").facts.settings["adapter"] == "dora"

    def test_another_base_is_another_model(self, base: Path, tmp_path: Path, tiny: SimpleNamespace) -> None:
        adapter(tmp_path / "run", base)
        first = opened(tmp_path / "run")
        tiny.edit_tensors(base, lambda tensors: tensors["model.norm.weight"].mul_(1.5))
        second = opened(tmp_path / "run")
        assert first.facts.fingerprint != second.facts.fingerprint
        assert first.facts.revision != second.facts.revision
        assert rewards(first, tiny) != pytest.approx(rewards(second, tiny), abs=1e-3)

    @pytest.mark.parametrize("named", ["../base", "base", "beside the run"])
    def test_a_relative_base_is_found(
        self, named: str, base: Path, tmp_path: Path, tiny: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        merged = adapter(tmp_path / "runs" / "run", base)
        if named == "base":
            monkeypatch.chdir(tmp_path)
        else:
            shutil.move(base, tmp_path / "runs" / "base")
        edit(tmp_path / "runs" / "run", base_model_name_or_path=named.replace("beside the run", "base"))
        model = opened(tmp_path / "runs" / "run")
        assert rewards(model, tiny) == pytest.approx(logits(model, merged, tiny), abs=1e-5)

    @pytest.mark.parametrize("named", ["/somewhere/else/base", "./outputs/sft", "runs/of/mine", None])
    def test_a_base_that_is_not_there(
        self, named: str | None, base: Path, tmp_path: Path, tiny: SimpleNamespace
    ) -> None:
        merged = adapter(tmp_path / "run", base)
        edit(tmp_path / "run", base_model_name_or_path=named)
        with pytest.raises(RmbenchError, match="--base-model") as caught:
            opened(tmp_path / "run")
        assert (named or "names no base model") in str(caught.value)
        model = opened(tmp_path / "run", base_model=str(base))
        assert rewards(model, tiny) == pytest.approx(logits(model, merged, tiny), abs=1e-5)
        assert model.facts.revision.endswith("+base_model=base")

    def test_the_revision_of_a_base_on_the_hub(
        self, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from rmbench.models.checkpoint import hub

        asked = []

        def download(name: str, revision: str | None, **_: Any) -> hub.Download:
            asked.append((name, revision))
            return hub.Download(base, "0123456789abcdef" * 2 + "01234567")

        monkeypatch.setattr(hub, "download", download)
        adapter(tmp_path / "run", base, revision="v1.0")
        edit(tmp_path / "run", base_model_name_or_path="org/base")
        assert opened(tmp_path / "run").facts.settings["base"] == "org/base@01234567"
        assert asked == [("org/base", "v1.0")]

    def test_the_hub_cannot_be_reached(self, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        adapter(tmp_path / "run", base)
        edit(tmp_path / "run", base_model_name_or_path="org/no-such-base")
        with pytest.raises(
            RmbenchError, match=r"is an adapter of org/no-such-base.*then `--base-model \./no-such-base`"
        ):
            opened(tmp_path / "run")

    def test_a_whole_model_has_no_base(self, base: Path, tmp_path: Path, tiny: SimpleNamespace) -> None:
        tiny.checkpoint(tmp_path / "whole")
        with pytest.raises(RmbenchError, match=r"--base-model .*whole holds a whole model, no adapter"):
            opened(tmp_path / "whole", base_model=str(base))

    @pytest.mark.parametrize("model", ["fake:oracle", "baseline:length", "vllm:org/model"])
    def test_what_is_no_folder_has_no_base(self, model: str, base: Path) -> None:
        with pytest.raises(RmbenchError, match=r"--base-model .* goes with the folder of an adapter, not with"):
            open_model(model, OpenOptions(base_model=str(base)))

    def test_an_adapter_over_an_adapter(self, base: Path, tmp_path: Path, tiny: SimpleNamespace) -> None:
        first = adapter(tmp_path / "sft", base, task="CAUSAL_LM")
        first.save_pretrained(tmp_path / "merged")
        merged = adapter(tmp_path / "rm", tmp_path / "merged")
        edit(tmp_path / "rm", base_model_name_or_path="../sft")
        model = opened(tmp_path / "rm")
        assert rewards(model, tiny) == pytest.approx(logits(model, merged, tiny), abs=1e-5)
        assert "(the lora adapter is merged into its base base@" in model.facts.settings["base"]
        edit(tmp_path / "sft", base_model_name_or_path="../rm")
        with pytest.raises(RmbenchError, match="in a circle"):
            opened(tmp_path / "rm")

    def test_a_quantised_base(self, base: Path, tmp_path: Path, tiny: SimpleNamespace) -> None:
        adapter(tmp_path / "run", base)
        tiny.edit_json(base / "config.json", quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True})
        with pytest.raises(RmbenchError, match=r"is quantised.*unquantised base by --base-model"):
            opened(tmp_path / "run")

    def test_the_wrong_base(self, base: Path, tmp_path: Path, tiny: SimpleNamespace) -> None:
        adapter(tmp_path / "run", base)
        language_model(tmp_path / "other", tiny, num_hidden_layers=1)
        with pytest.raises(RmbenchError, match=r"does not fit its base other@.*no place for .*layers\.1.*--base-model"):
            opened(tmp_path / "run", base_model=str(tmp_path / "other"))
        language_model(tmp_path / "narrow", tiny, hidden_size=16)
        with pytest.raises(RmbenchError, match=r"run: .*size mismatch|narrow.*16"):
            opened(tmp_path / "run", base_model=str(tmp_path / "narrow"))

    def test_the_base_as_the_reference(self, base: Path, tmp_path: Path, tiny: SimpleNamespace) -> None:
        adapter(tmp_path / "run", base, task="CAUSAL_LM")
        by_word, by_path = (opened(tmp_path / "run", ref_model=name) for name in ("base", str(base)))
        assert rewards(by_word, tiny) == rewards(by_path, tiny)
        assert by_word.facts.settings["reference"] == by_path.facts.settings["reference"]
        edit(tmp_path / "run", base_model_name_or_path="/gone")
        moved = opened(tmp_path / "run", base_model=str(base), ref_model=str(base))
        assert rewards(moved, tiny) == rewards(by_word, tiny)
        with pytest.raises(RmbenchError, match="is no adapter, so it has no base"):
            opened(base, ref_model="base")
        with pytest.raises(RmbenchError, match=r"--ref-model base \(its base as the reference\)"):
            opened(tmp_path / "run", base_model=str(base))


class TestTensors:
    def test_embeddings_that_grew(self, base: Path, tmp_path: Path, tiny: SimpleNamespace) -> None:
        import peft
        from transformers import AutoModelForCausalLM

        torch.manual_seed(2)
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        model.resize_token_embeddings(406, mean_resizing=False)
        made = peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["q_proj"]))
        made.save_pretrained(tmp_path / "run", save_embedding_layers=True)
        policy = opened(tmp_path / "run", adapter="implicit").policy.model
        ids = torch.tensor([[0, 5, 402, 405, 7]])
        with torch.no_grad():
            assert torch.allclose(policy(input_ids=ids).logits, made.eval()(input_ids=ids).logits, atol=1e-5)
        made.save_pretrained(tmp_path / "lean", save_embedding_layers=False)
        weights = load_file(tmp_path / "run" / "adapter_model.safetensors")
        weights.pop("base_model.model.lm_head.weight")
        save_file(weights, tmp_path / "run" / "adapter_model.safetensors")
        with pytest.raises(RmbenchError, match=r"406 rows.*400.*no output embedding.*save_embedding_layers"):
            opened(tmp_path / "run", adapter="implicit")

    def test_a_torch_file(self, base: Path, tmp_path: Path, tiny: SimpleNamespace) -> None:
        merged = adapter(tmp_path / "run", base)
        file = tmp_path / "run" / "adapter_model.safetensors"
        torch.save(load_file(file), file.with_suffix(".bin"))
        file.unlink()
        model = opened(tmp_path / "run")
        assert rewards(model, tiny) == pytest.approx(logits(model, merged, tiny), abs=1e-5)
        torch.save(
            {"base_model.model.score.weight": torch.ones(1, 32), "x": SimpleNamespace()}, file.with_suffix(".bin")
        )
        with pytest.raises(RmbenchError, match="holds more than tensors"):
            opened(tmp_path / "run")

    @pytest.mark.parametrize(
        "rename",
        [
            lambda name: f"module.{name}",
            lambda name: f"_orig_mod.{name}",
            lambda name: name.replace(".lora_A.", ".lora_A.default.").replace(".lora_B.", ".lora_B.default."),
            lambda name: name.replace("score.weight", "score.modules_to_save.default.weight"),
            lambda name: name.removeprefix("base_model.model."),
        ],
        ids=["module", "_orig_mod", "default", "modules_to_save", "no prefix"],
    )
    def test_names_that_training_loops_write(
        self, rename: Any, base: Path, tmp_path: Path, tiny: SimpleNamespace
    ) -> None:
        merged = adapter(tmp_path / "run", base)
        file = tmp_path / "run" / "adapter_model.safetensors"
        save_file({rename(name): tensor for name, tensor in load_file(file).items()}, file)
        model = opened(tmp_path / "run")
        assert rewards(model, tiny) == pytest.approx(logits(model, merged, tiny), abs=1e-5)

    @pytest.mark.parametrize("lost", ["layers.1.", "v_proj", "layers.0.self_attn.q_proj.lora_B"])
    def test_tensors_that_the_file_lost_are_named(self, lost: str, base: Path, tmp_path: Path) -> None:
        """Of modules that adapter_config.json says were trained."""
        adapter(tmp_path / "run", base)
        file = tmp_path / "run" / "adapter_model.safetensors"
        save_file({name: tensor for name, tensor in load_file(file).items() if lost not in name}, file)
        with pytest.raises(RmbenchError, match=rf"run does not fit its base base@.*: lacking are .*{lost}"):
            opened(tmp_path / "run")

    def test_half_precision(self, base: Path, tmp_path: Path, tiny: SimpleNamespace) -> None:
        """Base and adapter stored in bfloat16 are merged in float32."""
        for name in ("base", "run"):
            if name == "run":
                adapter(tmp_path / "run", base)
            for file in (tmp_path / name).glob("*.safetensors"):
                halved = {key: one.bfloat16() for key, one in load_file(file).items()}
                save_file(halved, file, metadata={"format": "pt"})
        import peft
        from transformers import AutoModelForSequenceClassification

        plain = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1, dtype=torch.float32)
        by_peft = peft.PeftModel.from_pretrained(plain, tmp_path / "run").eval()
        model = opened(tmp_path / "run")
        with torch.no_grad():
            rows = [torch.tensor([row.ids]) for row in model.encode(tiny.requests(5))]
            expected = [float(by_peft(input_ids=ids).logits[0, 0]) for ids in rows]
        assert rewards(model, tiny) == pytest.approx(expected, abs=1e-5)
        assert model.facts.settings["dtype"] == "float32"


class TestTokenizer:
    def test_the_adapters_goes_before_the_bases(self, base: Path, tmp_path: Path, tiny: SimpleNamespace) -> None:
        adapter(tmp_path / "run", base)
        by_base = opened(tmp_path / "run")
        tiny.save_tokenizer(tmp_path / "run", template="{% for m in messages %}{{ m['content'] }}<|end|>{% endfor %}")
        own = opened(tmp_path / "run")
        row = tiny.request("Hi", "Yo")
        start = own.text.tokenizer.convert_tokens_to_ids("<|start|>")
        assert [start in model.encode([row])[0].ids for model in (by_base, own)] == [True, False]
        assert by_base.facts.fingerprint != own.facts.fingerprint

    def test_neither_has_one(self, base: Path, tmp_path: Path) -> None:
        adapter(tmp_path / "run", base)
        for file in base.glob("*token*"):
            file.unlink()
        message = rf"{base} has no tokenizer: looked for tokenizer\.json, .*run, the adapter's, has none either"
        with pytest.raises(RmbenchError, match=message):
            opened(tmp_path / "run")

    def test_that_of_a_processor(self, tmp_path: Path, tiny: SimpleNamespace) -> None:
        tiny.checkpoint(tmp_path)
        before = rewards(opened(tmp_path), tiny)
        tiny.edit_json(tmp_path / "tokenizer_config.json", processor_class="LlavaProcessor")
        (tmp_path / "processor_config.json").write_text('{"processor_class": "LlavaProcessor"}')
        (tmp_path / "preprocessor_config.json").write_text('{"image_processor_type": "CLIPImageProcessor"}')
        assert rewards(opened(tmp_path), tiny) == before
        for file in tmp_path.glob("tokenizer*"):
            file.unlink()
        with pytest.raises(RmbenchError, match=r"has no tokenizer: looked for tokenizer\.json.*save_pretrained"):
            opened(tmp_path)


class TestHeads:
    @pytest.mark.parametrize("file", ["value_head.safetensors", "value_head.bin"])
    def test_llama_factory(self, file: str, base: Path, tmp_path: Path, tiny: SimpleNamespace) -> None:
        merged = adapter(tmp_path / "run", base, task="CAUSAL_LM")
        head = {"v_head.summary.weight": torch.randn(1, 32), "v_head.summary.bias": torch.tensor([0.3])}
        (save_file if file.endswith("s") else torch.save)(head, tmp_path / "run" / file)
        with pytest.raises(RmbenchError, match=rf"A head lies next to the weights in {file} .*llama-factory"):
            opened(tmp_path / "run")
        model = opened(tmp_path / "run", adapter="llama-factory")
        states = last_states(model, merged, tiny)
        weight, bias = head.values()
        assert rewards(model, tiny) == pytest.approx([float(weight[0] @ one + bias[0]) for one in states], abs=1e-5)

    def test_a_value_head_of_trl(self, base: Path, tmp_path: Path, tiny: SimpleNamespace) -> None:
        merged = adapter(tmp_path / "run", base, task="CAUSAL_LM")
        head = {"v_head.summary.weight": torch.randn(1, 32), "v_head.summary.bias": torch.tensor([0.3])}
        torch.save(head, tmp_path / "run" / "pytorch_model.bin")
        model = opened(tmp_path / "run", adapter="grm-linear")
        states = last_states(model, merged, tiny)
        weight, bias = head.values()
        assert rewards(model, tiny) == pytest.approx([float(weight[0] @ one + bias[0]) for one in states], abs=1e-5)

    @pytest.mark.parametrize("prefix", ["score", "value_head"])
    def test_openrlhf(self, prefix: str, base: Path, tmp_path: Path, tiny: SimpleNamespace) -> None:
        """Its config.json beside the adapter names the head and the rewards' mean and deviation."""
        merged = adapter(tmp_path / "run", base, task=None)
        file = tmp_path / "run" / "adapter_model.safetensors"
        head = torch.randn(1, 32)
        save_file(load_file(file) | {f"base_model.model.{prefix}.weight": head}, file)
        config = json.loads((base / "config.json").read_text())
        config |= {"value_head_prefix": prefix, "normalize_reward": True, "mean": 0.5, "std": 2.0}
        (tmp_path / "run" / "config.json").write_text(json.dumps(config))
        model = opened(tmp_path / "run")
        assert model.facts.settings["layout"] == "openrlhf"
        expected = [(float(head[0] @ state) - 0.5) / 2 for state in last_states(model, merged, tiny)]
        assert rewards(model, tiny) == pytest.approx(expected, abs=1e-5)

    def test_a_head_that_was_not_saved(self, base: Path, tmp_path: Path) -> None:
        adapter(tmp_path / "run", base)
        file = tmp_path / "run" / "adapter_model.safetensors"
        weights = load_file(file)
        weights.pop("base_model.model.score.weight")
        save_file(weights, file)
        with pytest.raises(
            RmbenchError, match=r"head tensors found: none.*neither the adapter nor its base has one.*modules_to_save"
        ):
            opened(tmp_path / "run")

    def test_the_head_of_a_base_that_has_one(self, tmp_path: Path, tiny: SimpleNamespace) -> None:
        """An adapter of a reward model, which leaves its head as it is."""
        import peft
        from transformers import AutoModelForSequenceClassification

        tiny.checkpoint(tmp_path / "rm")
        torch.manual_seed(1)
        plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "rm", dtype=torch.float32)
        made = peft.get_peft_model(plain, peft.LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=False))
        made.save_pretrained(tmp_path / "run")
        model = opened(tmp_path / "run")
        merged = made.merge_and_unload().eval()
        assert rewards(model, tiny) == pytest.approx(logits(model, merged, tiny), abs=1e-5)

    def test_an_adapter_of_a_declared_head(self, base: Path, tmp_path: Path, tiny: SimpleNamespace) -> None:
        """The base's head is of no class of the library."""
        head = torch.randn(1, 32)
        merged = adapter(tmp_path / "run", base, task="CAUSAL_LM")
        tiny.edit_tensors(base, lambda tensors: tensors.update({"regression_head.weight": head}))
        tiny.edit_json(base / "config.json", architectures=["EurusRewardModel"])
        model = opened(tmp_path / "run")
        expected = [float(head[0] @ state) for state in last_states(model, merged, tiny)]
        assert rewards(model, tiny) == pytest.approx(expected, abs=1e-5)


class TestRefused:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"peft_type": "PROMPT_TUNING"}, r"'PROMPT_TUNING', which cannot be merged.*LORA"),
            ({"peft_type": ["x"]}, "cannot be merged"),
            ({"r": 10**7}, '"r" is 10,000,000, but the widest tensor of the adapter has 32'),
            ({"rank_pattern": {"layers.1.q_proj": 10**9}}, r'"rank_pattern.layers.1.q_proj" is 1,000,000,000, but'),
            ({"layer_replication": [[0, 2], [1, 2]]}, '"layer_replication" is more than a change of'),
            ({"alora_invocation_tokens": [1, 2]}, '"alora_invocation_tokens" is more than a change of'),
            ({"use_something_new": True}, "peft has no option 'use_something_new'; a newer one may"),
            ({"lora_alpha": "many"}, "Cannot load"),
        ],
    )
    def test_a_configuration(self, change: dict[str, Any], message: str, base: Path, tmp_path: Path) -> None:
        adapter(tmp_path / "run", base)
        edit(tmp_path / "run", **change)
        with pytest.raises(RmbenchError, match=message):
            opened(tmp_path / "run")

    def test_no_weights(self, base: Path, tmp_path: Path) -> None:
        adapter(tmp_path / "run", base)
        (tmp_path / "run" / "adapter_model.safetensors").unlink()
        with pytest.raises(RmbenchError, match=r"adapter_config\.json and no weights: expected adapter_model"):
            opened(tmp_path / "run")

    def test_an_empty_tensor(self, base: Path, tmp_path: Path) -> None:
        adapter(tmp_path / "run", base)
        file = tmp_path / "run" / "adapter_model.safetensors"
        weights = load_file(file)
        save_file({name: tensor[:0] if "lora_A" in name else tensor for name, tensor in weights.items()}, file)
        with pytest.raises(RmbenchError, match=r"lora_A\.weight is empty, as ZeRO-3 leaves"):
            opened(tmp_path / "run")

    def test_a_configuration_of_its_own_that_is_hostile(self, base: Path, tmp_path: Path) -> None:
        adapter(tmp_path / "run", base)
        config = json.loads((base / "config.json").read_text()) | {"num_hidden_layers": 10**9}
        (tmp_path / "run" / "config.json").write_text(json.dumps(config))
        with pytest.raises(RmbenchError, match='"num_hidden_layers" is 1,000,000,000'):
            opened(tmp_path / "run")

    def test_adapters_by_name_in_folders_of_their_own(self, base: Path, tmp_path: Path) -> None:
        for name in ("reward", "policy"):
            adapter(tmp_path / "run" / name, base)
        with pytest.raises(RmbenchError, match=r"adapters in policy, reward: name one, --model .*policy$"):
            opened(tmp_path / "run")

    def test_a_base_that_is_no_name(self, base: Path, tmp_path: Path) -> None:
        adapter(tmp_path / "run", base)
        edit(tmp_path / "run", base_model_name_or_path="C:\\models\\llama")
        with pytest.raises(RmbenchError, match=r"is an adapter of C:.*--base-model"):
            opened(tmp_path / "run")

    def test_a_name_twice(self, base: Path, tmp_path: Path) -> None:
        adapter(tmp_path / "run", base)
        file = tmp_path / "run" / "adapter_model.safetensors"
        save_file(load_file(file) | {"base_model.model.score.modules_to_save.weight": torch.ones(1, 32)}, file)
        with pytest.raises(RmbenchError, match=r"has the name score\.weight without peft's parts"):
            opened(tmp_path / "run")

    def test_peft_is_not_installed(self, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import sys

        adapter(tmp_path / "run", base)
        monkeypatch.setitem(sys.modules, "peft", None)
        with pytest.raises(RmbenchError, match=r"pip install 'rmbench\[peft\]'"):
            opened(tmp_path / "run")

    def test_a_server_gets_no_adapter(self, base: Path, tmp_path: Path) -> None:
        from rmbench.models.families.registry import opening_of
        from rmbench.models.locate import locate
        from rmbench.models.served.open_scalar import check_servable

        adapter(tmp_path / "run", base)
        options = OpenOptions(device="cpu")
        located = locate(str(tmp_path / "run"), options)
        with pytest.raises(RmbenchError, match=r"is merged into its base .* in this process alone"):
            check_servable(opening_of(located, options))
