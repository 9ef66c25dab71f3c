"""BLIP and BLIP-2 that match images and texts, against a loop over transformers' own classes, one pair at a time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.read import read_checkpoint
from rmbench.models.families.registry import decide
from rmbench.models.families.vision.blip.scorer import BlipScorer
from rmbench.models.open import OpenOptions, open_model
from rmbench.types import Candidate, Example, Gold, Message, Part
from tests._make import exit_code

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"a cat two red blue dogs on the moon with horns ##s .".split()]
PROMPTS = ["A cat with horns.", "two red dogs on the moon", "cat " * 34, "unseen words", "blue"]
SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
EYE = SIZES | {"image_size": 32, "patch_size": 8}


def blip() -> Any:
    from transformers import BlipConfig, BlipForImageTextRetrieval

    text = SIZES | {"vocab_size": len(WORDS) + 2, "max_position_embeddings": 48, "initializer_range": 0.3}
    text |= {"bos_token_id": None, "eos_token_id": None, "sep_token_id": 3, "pad_token_id": 0}
    vision = EYE | {"initializer_range": 0.1}
    config = BlipConfig(text_config=text, vision_config=vision, image_text_hidden_size=16)
    return BlipForImageTextRetrieval(config)


def blip2() -> Any:
    from transformers import Blip2Config, Blip2ForImageTextRetrieval

    qformer = SIZES | {
        "use_qformer_text_input": True,
        "vocab_size": len(WORDS) + 2,
        "max_position_embeddings": 48,
        "initializer_range": 0.3,
    }
    text = {"model_type": "opt", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1, "vocab_size": 8}
    text |= {"ffn_dim": 16, "word_embed_proj_dim": 16}
    config = Blip2Config(
        vision_config=EYE | {"initializer_range": 0.1},
        qformer_config=qformer,
        text_config=text,
        num_query_tokens=4,
        image_text_hidden_size=16,
    )
    model = Blip2ForImageTextRetrieval(config)
    torch.nn.init.normal_(model.query_tokens)
    return model


MODELS = {"blip-itm": blip, "blip2-itm": blip2}


@pytest.fixture(scope="module", params=MODELS)
def kept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, str]:
    return saved(tmp_path_factory.mktemp(request.param), request.param)


def saved(inside: Path, layout: str) -> tuple[Path, Any, str]:
    """(folder, the library's model, layout), as `save_pretrained` of the model and its processor's parts leaves it."""
    from transformers import BertTokenizer, BlipImageProcessorPil

    folder = inside / "tiny"
    torch.manual_seed(0)
    model = MODELS[layout]().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "proj" in name or "itm_head" in name:
                parameter.normal_(std=0.5)
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    BertTokenizer.from_pretrained(folder).save_pretrained(folder)
    BlipImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder, model, layout


def opened(folder: Path, **settings: str) -> BlipScorer:
    scorer = open_model(str(folder), OpenOptions(device="cpu", model_args=settings))
    assert isinstance(scorer, BlipScorer)
    return scorer


def plain(kept: tuple[Path, Any, str], score: str, path: Path, text: str, most: int = 48) -> float:
    """The library's own processor parts and forward."""
    from transformers import BertTokenizer, BlipImageProcessorPil

    folder, model, layout = kept
    pixels = BlipImageProcessorPil.from_pretrained(folder)(Image.open(path).convert("RGB"), return_tensors="pt")
    words = BertTokenizer.from_pretrained(folder)(text, truncation=True, max_length=most, return_tensors="pt")
    inputs = {**pixels, "input_ids": words["input_ids"], "attention_mask": words["attention_mask"]}
    with torch.no_grad():
        if layout == "blip-itm":
            out = model(**inputs, use_itm_head=score == "itm").itm_score
        else:
            out = model(**inputs, use_image_text_matching_head=score == "itm").logits_per_image
    return float(out.softmax(-1)[0, 1] if score == "itm" else out.flatten()[0])


@pytest.mark.parametrize("score", ["itc", "itm"])
@pytest.mark.parametrize("budget", [4096, 100])
def test_it_equals_the_librarys_forward(
    budget: int, score: str, kept: tuple[Path, Any, str], images: list[Path], seen: Any
) -> None:
    examples = [seen.example(str(i), text, *map(seen.shown, images)) for i, text in enumerate(PROMPTS)]
    judging = seen.judged(opened(kept[0], score=score), examples, budget)
    expected = [plain(kept, score, path, text) for text in PROMPTS for path in images]
    found = [reward for judgment in judging.judgments for reward in judgment.rewards]
    assert found == pytest.approx(expected, abs=1e-5)
    assert np.std(expected) > 0.01
    assert not any(judgment.truncated[0] for judgment in judging.judgments)


@pytest.mark.parametrize("score", ["itc", "itm"])
def test_texts_are_cut_where_the_user_says(
    score: str, kept: tuple[Path, Any, str], images: list[Path], seen: Any
) -> None:
    scorer = opened(kept[0], score=score, max_tokens="8")
    judging = seen.judged(scorer, [seen.example(text, text, seen.shown(images[0])) for text in PROMPTS])
    expected = [plain(kept, score, images[0], text, 8) for text in PROMPTS]
    assert [judgment.rewards[0] for judgment in judging.judgments] == pytest.approx(expected, abs=1e-5)
    assert [judgment.truncated[0] for judgment in judging.judgments] == [False, False, True, False, False]
    assert scorer.facts.settings["max_length"] == 8


def test_captions_of_the_prompts_image(kept: tuple[Path, Any, str], images: list[Path], seen: Any) -> None:
    prompt = (Message("user", (Part("image", name="x", path=str(images[2])), Part(text="Describe it."))),)
    example = Example("a", prompt, tuple(map(Candidate.of, PROMPTS)), Gold())
    (judgment,) = seen.judged(opened(kept[0]), [example]).judgments
    assert judgment.rewards == pytest.approx([plain(kept, "itc", images[2], text) for text in PROMPTS], abs=1e-5)


@pytest.mark.parametrize("score", ["itc", "itm"])
def test_a_clip_is_the_mean_of_its_frames(
    score: str, kept: tuple[Path, Any, str], images: list[Path], tmp_path: Path, seen: Any
) -> None:
    clip = seen.clip(tmp_path / "clip.mp4", count=6)
    examples = [seen.example(text, text, seen.shown(clip, "video"), seen.shown(images[0])) for text in PROMPTS[:2]]
    scorer = opened(kept[0], score=score, frames="stride:3")
    judging = seen.judged(scorer, examples, 200)
    for text, judgment in zip(PROMPTS, judging.judgments, strict=False):
        frames = [plain(kept, score, path, text) for path in seen.stills(clip, (0, 2, 4))]
        assert np.std(frames) > 1e-3
        assert judgment.rewards == pytest.approx([np.mean(frames), plain(kept, score, images[0], text)], abs=1e-5)
    assert scorer.facts.settings["frames"] == "stride:3"


def test_a_clip_fails_alone_where_a_frame_cannot_be_read(
    kept: tuple[Path, Any, str], tmp_path: Path, seen: Any
) -> None:
    clip = seen.clip(tmp_path / "clip.mp4")
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(clip.read_bytes()[:300])
    judging = seen.judged(
        opened(kept[0]), [seen.example(each.name, "blue", seen.shown(each, "video")) for each in (clip, broken)]
    )
    assert [judgment.status for judgment in judging.judgments] == ["ok", "failed"]
    assert "broken.mp4" in judging.judgments[1].error


def test_what_is_decided_and_said(kept: tuple[Path, Any, str]) -> None:
    folder, model, layout = kept
    family = decide(read_checkpoint(folder))
    assert (family.name, family.layout) == ("blip", layout)
    facts = opened(folder, score="itm").facts
    assert facts.settings["score"] == "itm"
    assert facts.settings["max_length"] == 48
    assert facts.settings["preprocess"] == "pil order, bicubic, squash side, floor crop"
    assert facts.parameters == sum(parameter.numel() for parameter in model.parameters())


def test_classdiffusions_blip2_t_by_the_command(
    kept: tuple[Path, Any, str], images: list[Path], tmp_path: Path, seen: Any
) -> None:
    """Its released metric is BLIP's cosine, which is what `score=itc` gives."""
    from rmbench.records.store import find, read_rows

    task = seen.pair_task(tmp_path, [(text, images[0], images[1], "any") for text in PROMPTS])
    command = ["run", "--model", str(kept[0]), "--tasks", str(task), "--model-args", "score=itc"]
    assert exit_code(*command, "--device", "cpu", "--out", str(tmp_path / "out")) == 0
    for text, row in zip(PROMPTS, read_rows(find(tmp_path / "out")[0]), strict=True):
        assert row.judgment.rewards == pytest.approx([plain(kept, "itc", path, text) for path in images[:2]], abs=1e-5)


def test_a_missing_head_is_no_random_one(kept: tuple[Path, Any, str], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder, _, _ = kept
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    state = load_file(tmp_path / "model.safetensors")
    del state["itm_head.bias"]
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        RmbenchError, match=r"1 tensors that Blip.*ForImageTextRetrieval needs are missing.*itm_head\.bias"
    ):
        opened(tmp_path)
    del state["itm_head.weight"]
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(RmbenchError, match=r"config\.json names Blip"):
        opened(tmp_path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"score": "itn"}, "score: .*found 'itn'"),
        ({"max_tokens": "49"}, "max_tokens=49, but the text tower has 48"),
        ({"max_tokens": "2"}, "max_tokens"),
        ({"frames": "every:2"}, "frames='every:2' is no frame rule"),
        ({"max_token": "9"}, 'Did you mean "max_tokens"'),
    ],
)
def test_settings_that_do_not_fit(settings: dict[str, str], message: str, kept: tuple[Path, Any, str]) -> None:
    with pytest.raises(RmbenchError, match=message):
        opened(kept[0], **settings)


def test_a_processor_of_another_size_is_refused(kept: tuple[Path, Any, str], tmp_path: Path) -> None:
    for file in kept[0].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "preprocessor_config.json").read_text())
    config["size"] = {"height": 64, "width": 64}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(config))
    with pytest.raises(RmbenchError, match=r"it makes images of \[64\] pixels, but the tower reads 32"):
        opened(tmp_path)
