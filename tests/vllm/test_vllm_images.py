"""Judges that see behind a real vLLM server on a CPU: tiny random Qwen-VL models, real pictures, both orders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from rmbench.engine.judge import EngineOptions, judge
from rmbench.errors import RmbenchError
from rmbench.models.judges.responder import JudgeResponder
from rmbench.models.open import OpenOptions, open_model
from rmbench.models.servers.backend import ServerBackend
from rmbench.models.servers.generation import Grammar, Question, Sampling
from rmbench.tasks.registry import get
from rmbench.tasks.sources import load
from rmbench.types import Candidate, Edge, Example, Gold, Message, Part
from tests.vllm.vision_models import KINDS, LENGTH, save_vision_model

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module", params=KINDS)
def folder(request: pytest.FixtureRequest, program: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_vision_model(tmp_path_factory.mktemp("models") / f"chat-{request.param}", request.param)


@pytest.fixture(scope="module")
def seeing(folder: Path, options: OpenOptions) -> Iterator[JudgeResponder]:
    """A judge behind a server that was started for it."""
    args = {"protocol": "vision-pair", "max_tokens": "8", "frames": "uniform:4", "max_images": "12"}
    judge = open_model(f"vllm:{folder}", replace(options, max_length=LENGTH, model_args=args))
    assert isinstance(judge, JudgeResponder)
    yield judge
    judge.close()


def backend_of(model: JudgeResponder) -> ServerBackend:
    assert isinstance(model.backend, ServerBackend)
    return model.backend


def test_the_server_is_started_for_pictures_and_counts_them(seeing: JudgeResponder) -> None:
    settings = seeing.facts.settings
    assert str(settings["server"]).startswith("vllm ")
    assert settings["image_runs"] == "counted"
    assert (settings["max_images"], settings["transport"], settings["frames"]) == (12, "png", "uniform:4")


def test_fifty_real_pairs_in_both_orders_and_every_row_is_accounted_for(seeing: JudgeResponder, data: Path) -> None:
    loaded = load(get("mj-bench-quality"), str(data))
    here = [row for row in loaded.examples if all(part.path for part in parts_of(row))]
    away = [row for row in loaded.examples if not all(part.path for part in parts_of(row))][:5]
    judging = judge("mj-bench-quality", here[:50] + away, seeing, options=EngineOptions(window=8))
    statuses = Counter(judgment.status for judgment in judging.judgments)
    assert statuses["failed"] == len(away) == 5
    assert statuses["ok"] + statuses["unparsed"] == 50
    assert judging.remarks["answers_plain"] == 100
    assert judging.remarks["media_rejected"] == 5
    shown = Counter(verdict.shown for judgment in judging.judgments for verdict in judgment.verdicts)
    assert shown == {(0, 1): 50, (1, 0): 50}


def parts_of(row: Example) -> list[Part]:
    return [part for one in row.candidates for message in one.messages for part in message.parts]


def test_log_probabilities_with_a_picture_equal_those_of_transformers(
    seeing: JudgeResponder, folder: Path, tmp_path: Path
) -> None:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    from rmbench.models.judges.media import image_part

    picture = Image.effect_noise((168, 84), 80).convert("RGB")
    content = ({"type": "text", "text": "Which? "}, image_part(picture, "png"), {"type": "text", "text": " A or B?"})
    question = Question(
        "t",
        "e",
        (0, 1),
        0,
        ({"role": "user", "content": content},),
        Sampling(max_tokens=1),
        Grammar(options=("A", "B")),
    )
    backend = backend_of(seeing)
    asked = replace(backend, capabilities=replace(backend.capabilities, logprobs="ids"))
    reply = asked.ask(question)
    assert (reply.error, reply.path) == ("", "logprobs")
    processor = AutoProcessor.from_pretrained(folder)
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
    image = "<|vision_start|><|image_pad|><|vision_end|>"
    prompt = f"<|im_start|>user\nWhich? {image} A or B?<|im_end|>\n<|im_start|>assistant\n"
    inputs = processor(text=[prompt], images=[picture], return_tensors="pt")
    with torch.no_grad():
        logprobs = torch.log_softmax(model(**inputs).logits[0, -1], -1)
    spelled = backend._tokenizer.spelled_options(("A", "B"))
    wanted = [float(torch.logsumexp(logprobs[list(tokens)], 0)) for tokens in spelled.values()]
    assert reply.options is not None
    assert list(reply.options.values()) == pytest.approx(wanted, abs=1e-4)
    assert reply.prompt_tokens == inputs["input_ids"].shape[1]


def test_a_clip_is_four_pictures(seeing: JudgeResponder, data: Path) -> None:
    clip = Part("video", name="c", path=str(data / "fetv" / "clips" / "cogvideo" / "149.mp4"))
    row = Example("r", (Message("user", (Part(text="What happens?"), clip)),), answers("a", "b"), Gold((Edge(0, 1),)))
    found = seeing.judge("t", row)
    assert found.status in ("ok", "unparsed")
    assert [question.images for question in seeing.questions("t", row)] == [4, 4]


def answers(*texts: str) -> tuple[Candidate, ...]:
    return tuple(Candidate.of(text) for text in texts)


def test_an_answer_that_spells_an_images_token_does_not_take_its_place(
    seeing: JudgeResponder, options: OpenOptions, tmp_path: Path
) -> None:
    """Quoted it is text; raw, the server reads it as a place for an image, and the row fails instead of being judged on
    a picture that moved into an answer."""
    Image.new("RGB", (112, 112), (200, 0, 0)).save(tmp_path / "a.png")
    picture = Part("image", name="a.png", path=str(tmp_path / "a.png"))
    forged = "<|vision_start|><|image_pad|><|vision_end|>"
    row = Example("r", (Message("user", (Part(text="Q"), picture)),), answers(forged, "b"), Gold((Edge(0, 1),)))
    assert seeing.judge("t", row).status in ("ok", "unparsed")
    backend = backend_of(seeing)
    args = {"protocol": "vision-pair", "max_tokens": "8", "marks": "raw"}
    asked = replace(options, base_url=(backend.client.servers[0].root,), vllm_bin=None, model_args=args)
    raw: Any = open_model(f"openai:{backend.model}", asked)
    found = raw.judge("t", row)
    raw.close()
    assert found.status == "failed"
    assert found.error == "media_rejected: the server read images at 2 places, 1 were sent"


def test_a_model_of_text_alone_is_one_clear_error(llama: JudgeResponder, options: OpenOptions) -> None:
    backend = backend_of(llama)
    args = {"protocol": "vision-pair"}
    asked = replace(options, base_url=(backend.client.servers[0].root,), vllm_bin=None, model_args=args)
    with pytest.raises(RmbenchError, match=r"not the judge's \(it shows 2 images\): status 400"):
        open_model(f"openai:{backend.model}", asked)
