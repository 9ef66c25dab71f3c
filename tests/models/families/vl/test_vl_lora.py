"""VideoReward's released form: one torch file with LoRA pairs beside the weights that they change."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from rmbench.errors import RmbenchError
from rmbench.models.families.vl.schema import layouts
from rmbench.models.open import open_model
from rmbench.models.options import OpenOptions

THREE = "Quality <|VQ_reward|> END\nMotion <|MQ_reward|> END\nAlignment with {prompt} <|TA_reward|> END"
RANK, ALPHA = 4, 8


def told(**changes: Any) -> str:
    return json.dumps({"peft_lora_config": {"lora_r": RANK, "lora_alpha": ALPHA, "use_rslora": False, **changes}})


@pytest.fixture(scope="module")
def released(vl: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The folder as upstream's trainer leaves it, and the wrapped model, pairs not merged."""
    from peft import LoraConfig, get_peft_model

    folder = tmp_path_factory.mktemp("released") / "video"
    model, processor = vl.save(folder, "qwen2-vl", {})
    head = vl.linear_head()
    model.rm_head = torch.nn.Linear(64, 1, bias=False)
    targets = [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and not re.search(r"lm_head|rm_head|embed_tokens|visual", name)
    ]
    wrapped = get_peft_model(model, LoraConfig(target_modules=targets, r=RANK, lora_alpha=ALPHA, lora_dropout=0.05))
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        model.rm_head.weight.copy_(head)
        for name, parameter in wrapped.named_parameters():
            if "lora_" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) / 8)
    # transformers 4.45 names: the text model is `model`, the tower `visual`, both at the top.
    old = {
        name.replace(".model.language_model.", ".model.").replace(".model.visual.", ".visual."): tensor
        for name, tensor in wrapped.state_dict().items()
    }
    (folder / "model.safetensors").unlink()
    torch.save(old, folder / "model.pth")
    (folder / "model_config.json").write_text(told())
    (folder / "words").write_text(THREE)
    return folder, wrapped.eval(), processor, head, targets


def opened(folder: Path, **changes: Any) -> Any:
    args = {"prompt": folder / "words", "min_pixels": 28 * 28, "max_pixels": 28 * 28 * 4, **changes}
    return open_model(
        f"{folder}", OpenOptions(device="cpu", adapter="videoreward", model_args={k: str(v) for k, v in args.items()})
    )


def by_the_wrapped_model(released: Any, scorer: Any, row: Any) -> list[float]:
    """z-scores with the pairs as they are, plain positions, read at the three tokens."""
    _, wrapped, processor, head, _ = released
    ids = torch.tensor([row.ids])
    (place,) = row.payload.places
    inputs = scorer.backbone.pictures.process(place.shown.medium).inputs
    with torch.no_grad():
        hidden = wrapped.base_model.model.model(
            input_ids=ids,
            position_ids=torch.arange(ids.shape[1]).expand(3, 1, -1),
            mm_token_type_ids=2 * (ids == processor.video_token_id).int(),
            **inputs,
        ).last_hidden_state[0]
    marks = [processor.tokenizer.convert_tokens_to_ids(f"<|{name}_reward|>") for name in ("VQ", "MQ", "TA")]
    logits = [float(hidden[row.ids.index(mark)] @ head[0]) for mark in marks]
    output = layouts()["videoreward"].output
    return [(a - b) / c for a, b, c in zip(logits, output.mean, output.std, strict=True)]


def test_merged_pairs_give_what_the_wrapped_model_gives(released: Any, vl: Any, shown: Any) -> None:
    scorer = opened(released[0])
    (row,) = scorer.encode([vl.request(["A red disc rolls."], shown.clip)])
    expected = by_the_wrapped_model(released, scorer, row)
    found = scorer.forward(vl.batch([row]))
    assert found["objectives"][0].tolist() == pytest.approx(expected, abs=1e-5)
    assert float(found["reward"][0, 0]) == pytest.approx(sum(expected), abs=1e-5)
    settings = scorer.facts.settings
    assert (settings["lora_inside"], settings["lora_rank"], settings["lora_scale"]) == (len(released[-1]), RANK, 2.0)
    assert settings["unused_tensors"] is None


def copied(released: Any, folder: Path) -> Path:
    for file in released[0].iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def test_without_the_pairs_the_scores_are_others(released: Any, vl: Any, shown: Any, tmp_path: Path) -> None:
    """The scale counts: rsLoRA's is another one, and so is that of the published alpha."""
    scores: list[float] = []
    for changes in ({}, {"use_rslora": True}, {"lora_alpha": 0.001}):
        folder = tmp_path / str(len(scores))
        folder.mkdir()
        copied(released, folder)
        (folder / "model_config.json").write_text(told(**changes))
        scorer = opened(folder)
        if "use_rslora" in changes:
            assert scorer.facts.settings["lora_scale"] == pytest.approx(ALPHA / math.sqrt(RANK))
        scores.append(vl.score(scorer, scorer.encode([vl.request(["A disc."], shown.clip)]))[0])
    assert min(abs(a - b) for a, b in ((scores[0], scores[1]), (scores[0], scores[2]))) > 1e-2


def test_alpha_is_the_layouts_where_no_file_says_it(released: Any, tmp_path: Path) -> None:
    (copied(released, tmp_path) / "model_config.json").unlink()
    settings = opened(tmp_path).facts.settings
    assert settings["lora_alpha"] == 128.0
    assert settings["lora_scale"] == 32.0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: state.pop(next(name for name in state if "lora_B" in name)), "is missing"),
        (lambda state: state.pop(next(name for name in state if "base_layer" in name)), "is missing|lacks"),
        (lambda state: state.update({"base_model.model.model.x.lora_magnitude_vector": torch.ones(2)}), "another kind"),
    ],
)
def test_pairs_that_are_no_pairs_are_refused(released: Any, tmp_path: Path, change: Any, said: str) -> None:
    copied(released, tmp_path)
    state = torch.load(tmp_path / "model.pth")
    change(state)
    torch.save(state, tmp_path / "model.pth")
    with pytest.raises(RmbenchError, match=said):
        opened(tmp_path)


def test_another_rank_than_the_file_says_is_refused(released: Any, tmp_path: Path) -> None:
    (copied(released, tmp_path) / "model_config.json").write_text(told(lora_r=16))
    with pytest.raises(RmbenchError, match=r"model_config\.json says rank 16, the LoRA pairs have 4"):
        opened(tmp_path)


def test_a_layout_without_an_alpha_needs_one(released: Any, vl: Any, tmp_path: Path) -> None:
    folder = copied(released, tmp_path)
    state = torch.load(folder / "model.pth")
    head = {"base_model.model.score.weight": state.pop("base_model.model.rm_head.weight")}
    torch.save({**state, **head}, folder / "model.pth")
    (folder / "model_config.json").unlink()
    with pytest.raises(RmbenchError, match="nothing says their alpha"):
        open_model(str(folder), OpenOptions(device="cpu", adapter="vl-score"))
