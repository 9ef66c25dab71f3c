"""MM-RLHF-Reward: a critique that the model writes first, and a score read behind it, in upstream's tensor names."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from rmbench.engine.judge import judge
from rmbench.errors import RmbenchError
from rmbench.models.open import open_model
from rmbench.models.options import OpenOptions
from rmbench.models.protocols import Request
from rmbench.types import Message
from tests.models.families.vl import conftest as scene

WORDS = "Assess the answer.\n\n[Question]: {prompt}\n[LMM Response]: {answer}\n\n[Evaluation]:"
MOST = 12
OLD = {
    r"^vision_tower\.": "model.vision_tower.vision_tower.vision_model.",
    r"^multi_modal_projector\.linear_1\.": "model.mm_projector.0.",
    r"^multi_modal_projector\.linear_2\.": "model.mm_projector.2.",
    r"^image_newline$": "model.image_newline",
    r"^language_model\.model\.": "model.",
    r"^language_model\.lm_head\.": "lm_head.",
}
"""The library's names -> those of LlavaQwenForCausalLM."""


def head() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(9)
    return {
        "rm_head.dense.weight": torch.randn(64, 64, generator=generator) / 8,
        "rm_head.dense.bias": torch.randn(64, generator=generator) / 8,
        "rm_head.out_proj.weight": torch.randn(1, 64, generator=generator) / 8,
        "rm_head.out_proj.bias": torch.randn(1, generator=generator),
    }


def saved(folder: Path) -> tuple[Path, Any, Any, Path]:
    """A folder with upstream's tensors and the converted model's other files; the library's model and processor."""
    model, processor = scene.save(folder, "llava-onevision", {})
    tensors = load_file(folder / "model.safetensors")
    for pattern, old in OLD.items():
        tensors = {re.sub(pattern, old, name): value for name, value in tensors.items()}
    assert all(name.startswith(("model.", "lm_head.")) for name in tensors)
    save_file({**tensors, **head()}, folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["LlavaQwenForCausalLM"]}))
    words = folder.parent / "words"
    words.write_text(WORDS)
    return folder, model, processor, words


@pytest.fixture(scope="module")
def critic(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return saved(tmp_path_factory.mktemp("mm-rlhf") / "mm-rlhf-reward")


def opened(critic: Any, **args: Any) -> Any:
    folder, *_, words = critic
    given = {"prompt": words, "critique_tokens": MOST} | args
    given = {key: str(value) for key, value in given.items() if value is not None}
    return open_model(str(folder), OpenOptions(device="cpu", model_args=given))


def by_library(critic: Any, image: Path, question: str, answer: str, *, critique: bool) -> tuple[float, str]:
    """Upstream's two steps with the library's own `generate` and forward: the reward, and the critique."""
    _, model, processor, _ = critic
    tokens, picture = processor.tokenizer, Image.open(image).convert("RGB")
    said = WORDS.replace("{prompt}", question).replace("{answer}", answer)
    text = f"<|im_start|>user\n<image>{said}<|im_end|>\n<|im_start|>assistant\n"
    written = ""
    with torch.no_grad():
        if critique:
            inputs = processor(text=[text], images=[picture], return_tensors="pt")
            ids = model.generate(
                **inputs,
                do_sample=False,
                max_new_tokens=MOST,
                eos_token_id=tokens.eos_token_id,
                pad_token_id=0,
            )[0, inputs["input_ids"].shape[1] :]
            written = tokens.decode(ids, skip_special_tokens=True).strip()
            text += f"{written}<|im_end|>\n"
        inputs = processor(text=[text], images=[picture], return_tensors="pt")
        state = model.model(**inputs).last_hidden_state[0, -1]
        tensors = head()
        hidden = torch.tanh(tensors["rm_head.dense.weight"] @ state + tensors["rm_head.dense.bias"])
        reward = tensors["rm_head.out_proj.weight"] @ hidden + tensors["rm_head.out_proj.bias"]
    return float(reward), written


def test_the_two_steps_equal_the_librarys(critic: Any, vl: Any, shown: Any) -> None:
    scorer = opened(critic)
    assert scorer.facts.family == "vl-scalar"
    assert (scorer.facts.settings["critique"], scorer.facts.settings["critique_tokens"]) == ("own", MOST)
    answers = ("Yes.", "No, it is a blue one with {prompt} in it.")
    rows = scorer.encode([vl.request([shown.square, "Is it red?"], answer) for answer in answers])
    wanted = [by_library(critic, shown.square, "Is it red?", answer, critique=True) for answer in answers]
    assert [scorer.critique(row) for row in rows] == [written for _, written in wanted]
    assert all(written for _, written in wanted)
    assert vl.score(scorer, rows) == pytest.approx([reward for reward, _ in wanted], abs=1e-4)
    alone = [vl.score(scorer, [row])[0] for row in rows]
    assert vl.score(scorer, rows) == pytest.approx(alone, abs=1e-5)
    (judgment,) = judge("t", [vl.example("r", [shown.square, "Is it red?"], *([a] for a in answers))], scorer).judgments
    assert judgment.rewards == pytest.approx(alone, abs=1e-5)


def test_without_a_critique_the_score_is_read_behind_the_question(critic: Any, vl: Any, shown: Any) -> None:
    scorer = opened(critic, critique="none", critique_tokens=None)
    (row,) = scorer.encode([vl.request([shown.wide, "Is it red?"], "Yes.")])
    wanted, _ = by_library(critic, shown.wide, "Is it red?", "Yes.", critique=False)
    assert vl.score(scorer, [row]) == pytest.approx([wanted], abs=1e-5)
    assert scorer.facts.settings["critique"] == "none"


def test_a_prompt_of_several_turns_is_one_text(critic: Any, shown: Any) -> None:
    scorer = opened(critic, critique="none", critique_tokens=None)
    turns = ("user", "Why?"), ("assistant", "So."), ("user", "And where?")
    said = (*(Message.of(role, text) for role, text in turns), Message.of("assistant", "Here."))
    (row,) = scorer.encode([Request(said, 3)])
    text = scorer.text.tokenizer.decode(row.ids)
    assert "[Question]: [user]\nWhy?\n\n[assistant]\nSo.\n\n[user]\nAnd where?\n[LMM Response]: Here.\n" in text


def test_a_critique_ends_where_a_text_does(critic: Any, vl: Any, shown: Any) -> None:
    scorer = opened(critic)
    (row,) = scorer.encode([vl.request([shown.square, "Is it red?"], "Yes.")])
    ids = scorer.backbone.written(row, scorer.logits, frozenset(), 5)
    assert len(ids) == 5
    third = next(k for k, each in enumerate(ids) if each == ids[2])
    assert scorer.backbone.written(row, scorer.logits, frozenset({ids[2]}), 5) == ids[:third]


def test_what_is_refused(critic: Any, vl: Any, shown: Any, tmp_path: Path) -> None:
    scorer = opened(critic)
    (row,) = scorer.encode([vl.request(["A red disc."], shown.square)])
    assert row.error == "the candidate shows an image or a video, and the model rates answers of text"
    lacking = tmp_path / "words"
    lacking.write_text("Rate {prompt}.")
    with pytest.raises(RmbenchError, match=r"\{answer\} is not there"):
        opened(critic, prompt=lacking)
    with pytest.raises(RmbenchError, match=r"prompt=FILE, a text with \{prompt\}.* and \{answer\} for the answer's"):
        opened(critic, prompt=None)
    vl.save(tmp_path / "plain", "llava-onevision", {"score.weight": vl.linear_head()})
    with pytest.raises(RmbenchError, match="the layout vl-score rates no critique"):
        open_model(str(tmp_path / "plain"), OpenOptions(device="cpu", model_args={"critique": "none"}))
