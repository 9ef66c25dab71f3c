"""Backbones without axes of positions: InternVL, LLaVA-OneVision, Idefics3 and PaliGemma against the library."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import Any

import pytest
import torch
from PIL import Image

from rmbench.errors import RmbenchError
from rmbench.models.open import open_model
from rmbench.models.options import OpenOptions
from rmbench.models.protocols import Sharing

PACKED, PADDED = Sharing(True, ""), Sharing(False, "")
EXACT = 1e-5


@pytest.fixture(scope="module")
def scorer(other: Any) -> Any:
    return open_model(str(other.folder), OpenOptions(device="cpu"))


@pytest.fixture(scope="module")
def rows(vl: Any, shown: Any) -> Any:
    """Requests of one image, two, and none."""
    return [
        vl.request([shown.square, "Is it red?"], "Yes, a red disc."),
        vl.request([shown.wide, shown.tall, "Which of the two?"], "The wide one is better, I think."),
        vl.request(["Why is it better?"], "Because."),
        vl.request([shown.tall, "Is it red?"], "No."),
    ]


def fresh(scorer: Any, **changes: Any) -> Any:
    backbone = replace(scorer.backbone, encoded=0, _held=OrderedDict(), _placed={}, **changes)
    return replace(scorer, backbone=backbone)


def of_library(other: Any, one: Any) -> float:
    """A reward by the library's processor and forward."""
    turns, images = [], []
    for message in one.conversation:
        content = [{"type": part.kind, **({"text": part.text} if part.text else {})} for part in message.parts]
        turns.append({"role": message.role, "content": content})
        images += [Image.open(part.path).convert("RGB") for part in message.parts if part.kind == "image"]
    text = other.processor.tokenizer.apply_chat_template(turns, tokenize=False)
    if other.kind == "paligemma":  # its processor adds these
        text = text.replace("<bos>", "").removesuffix("\n")
    if images:
        inputs = dict(other.processor(text=[text], images=[images], return_tensors="pt"))
        inputs.pop("labels", None)
    else:
        inputs = dict(other.processor.tokenizer(text, return_tensors="pt", return_token_type_ids=False))
    with torch.no_grad():
        hidden = other.model.model(**inputs).last_hidden_state
    return float(hidden[0, -1] @ other.head[0])


def test_one_by_one_they_are_the_librarys(other: Any, scorer: Any, rows: Any, vl: Any) -> None:
    chosen = [row for row in rows if other.kind != "paligemma" or row is not rows[2]]
    ours = [vl.score(fresh(scorer), [row])[0] for row in scorer.encode(chosen)]
    assert ours == pytest.approx([of_library(other, row) for row in chosen], abs=EXACT)
    assert max(ours) - min(ours) > 0.05


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("packs", [True, False])
def test_a_batch_gives_what_each_row_gives_alone(
    other: Any, scorer: Any, rows: Any, vl: Any, side: str, packs: bool
) -> None:
    encoded = scorer.encode(rows)
    alone = [vl.score(fresh(scorer, _tried=PADDED), [row])[0] for row in encoded]
    packs = packs and other.kind != "paligemma"
    assert vl.score(fresh(scorer, _tried=PACKED if packs else PADDED), encoded, side) == pytest.approx(alone, abs=EXACT)
    assert vl.score(fresh(scorer, _tried=PACKED if packs else PADDED), encoded[::-1], side) == pytest.approx(
        alone[::-1], abs=EXACT
    )


def test_a_shared_prompt_is_computed_once_where_no_token_sees_a_later_one(
    other: Any, scorer: Any, vl: Any, shown: Any
) -> None:
    answers = ["Yes.", "No, it is a blue square, and a large one.", "Perhaps"]
    encoded = scorer.encode([vl.request([shown.wide, "Is it red?"], one) for one in answers])
    plain = [vl.score(fresh(scorer, share=False), [row])[0] for row in encoded]
    once = fresh(scorer)
    assert vl.score(once, encoded) == pytest.approx(plain, abs=EXACT)
    assert once.backbone.packs == (other.kind != "paligemma")
    assert once.backbone.encoded == 1


def test_they_have_no_axes_of_positions(other: Any, scorer: Any) -> None:
    assert scorer.facts.settings["positions"] is None
    with pytest.raises(RmbenchError, match=r"positions=mrope: .* has no axes of time, height and width"):
        open_model(str(other.folder), OpenOptions(device="cpu", model_args={"positions": "mrope"}))


def test_a_clip_is_refused_where_the_model_is_shown_images_alone(other: Any, scorer: Any, vl: Any, shown: Any) -> None:
    (row,) = scorer.encode([vl.request([shown.clip, "What moves?"], "Nothing.")])
    assert ("video" in scorer.facts.modalities) == (not row.error) == (other.kind == "llava-onevision")
    if row.error:
        assert row.error == "media_rejected: clip.gif: it is a video, and images alone are taken"
    else:
        assert vl.score(scorer, [row]) == vl.score(fresh(scorer), [row])
