"""Causal vision-language models that are asked a question, against the library's own processor and forward."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.read import read_checkpoint
from rmbench.models.families.registry import decide
from rmbench.models.families.vl.scorer import VisionLanguageScorer
from rmbench.models.families.vqa.checklist import Checklist
from rmbench.models.open import OpenOptions, open_model
from rmbench.records.store import find, read_rows
from tests._make import exit_code
from tests.models.families.vision import conftest as vision
from tests.models.families.vl import conftest as vl
from tests.models.families.vqa import test_vqa_clip_t5

PROMPTS = ["A red disc.", "two pictures, which of them is better?", 'It says "why"']
ANSWER = "a"
"""One token of the tiny tokenizer, as Yes is of large ones."""
KINDS = ("qwen2-vl", "qwen3-vl", "internvl", "llava-onevision", "paligemma")


@pytest.fixture(scope="module", params=KINDS)
def asked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    folder = tmp_path_factory.mktemp("vqa") / str(request.param)
    model, processor = vl.save(folder, request.param, {})
    images = [vl.picture(folder.parent / f"{seed}.png", seed, size) for seed, size in enumerate([(60, 60), (90, 60)])]
    return SimpleNamespace(folder=folder, model=model, processor=processor, images=images, kind=request.param)


def opened(folder: Path, **settings: str) -> VisionLanguageScorer:
    given = {"answer": ANSWER, **settings}
    scorer = open_model(str(folder), OpenOptions(device="cpu", adapter="vqa", model_args=given))
    assert isinstance(scorer, VisionLanguageScorer)
    return scorer


def logits(asked: SimpleNamespace, image: Path, question: str) -> torch.Tensor:
    """[V] behind the question, by the library: its template, processor and forward."""
    turns = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}]
    tokens = asked.processor.tokenizer
    text = tokens.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    images = [Image.open(image).convert("RGB")]
    with torch.no_grad():
        if asked.kind == "paligemma":  # whose processor adds tokens of its own to a text
            return _paligemma(asked, images, text)
        found: torch.Tensor = asked.model(**asked.processor(text=[text], images=images, return_tensors="pt")).logits
    return found[0, -1]


def _paligemma(asked: SimpleNamespace, images: Any, text: str) -> torch.Tensor:
    tokens = asked.processor.tokenizer
    ids = tokens(text.replace("<image>", "<image>" * 16), add_special_tokens=False, return_tensors="pt")["input_ids"]
    pixels = asked.processor.image_processor(images, return_tensors="pt")["pixel_values"]
    given = {"attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}
    found: torch.Tensor = asked.model(input_ids=ids, pixel_values=pixels, **given).logits
    return found[0, -1]


def token(asked: SimpleNamespace) -> int:
    (found,) = asked.processor.tokenizer(ANSWER, add_special_tokens=False)["input_ids"]
    return int(found)


def figure(text: str) -> str:
    return f'Does this figure show "{text}"? Please answer yes or no.'


def test_the_reward_is_the_probability_of_the_answer(asked: SimpleNamespace) -> None:
    scorer = opened(asked.folder)
    examples = [vision.example(text, text, *map(vision.shown, asked.images)) for text in PROMPTS]
    judgments = vision.judged(scorer, examples).judgments
    assert [judgment.error for judgment in judgments] == [""] * len(PROMPTS)
    expected = [
        float(logits(asked, path, figure(text)).softmax(-1)[token(asked)]) for text in PROMPTS for path in asked.images
    ]
    assert [reward for each in judgments for reward in each.rewards or ()] == pytest.approx(
        expected, rel=2e-4, abs=1e-7
    )
    assert len({round(one, 9) for one in expected}) == len(expected)


def test_vqascore_by_the_command(asked: SimpleNamespace, tmp_path: Path) -> None:
    task = vision.pair_task(tmp_path, [(text, *asked.images, "any") for text in PROMPTS])
    command = ["run", "--model", str(asked.folder), "--adapter", "vqa", "--tasks", str(task), "--device", "cpu"]
    assert exit_code(*command, "--model-args", f"answer={ANSWER}", "--out", str(tmp_path / "out")) == 0
    for text, row in zip(PROMPTS, read_rows(find(tmp_path / "out")[0]), strict=True):
        own = [float(logits(asked, path, figure(text)).softmax(-1)[token(asked)]) for path in asked.images]
        assert row.judgment.rewards == pytest.approx(own, rel=2e-4, abs=1e-7)


@pytest.mark.parametrize("asked", ["qwen2-vl"], indirect=True)
def test_a_checklist_by_the_rule_of_visionreward(asked: SimpleNamespace, tmp_path: Path) -> None:
    """The mean of weights, each negated where greedy decoding begins with another token than the answer."""
    questions = ["Is it clear?", 'Does it show "[[prompt]]"?', "Is it red?", "why?"]
    weights = [0.3, 1.5, -0.2, 0.25]
    (tmp_path / "questions.txt").write_text("\n".join(questions) + "\n\n")
    (tmp_path / "weights.json").write_text(json.dumps(weights))
    first = [logits(asked, path, questions[0]).argmax() for path in asked.images]
    answer = asked.processor.tokenizer.decode(first[:1])  # so that one answer is given
    given = {"questions": str(tmp_path / "questions.txt"), "weights": str(tmp_path / "weights.json")}
    scorer = opened(asked.folder, answer=answer, **given)
    (judgment,) = vision.judged(scorer, [vision.example("a", PROMPTS[0], *map(vision.shown, asked.images))]).judgments
    expected = []
    for path in asked.images:
        says = [int(logits(asked, path, q.replace("[[prompt]]", PROMPTS[0])).argmax()) == first[0] for q in questions]
        expected.append([w if yes else -w for w, yes in zip(weights, says, strict=True)])
    assert [list(one) for one in judgment.parts["objectives"]] == [pytest.approx(one) for one in expected]
    assert judgment.rewards == pytest.approx([sum(one) / 4 for one in expected])
    assert any(value > 0 for value in expected[0][:1])
    assert scorer.facts.settings["questions"] == 4


@pytest.mark.parametrize("asked", ["qwen2-vl"], indirect=True)
def test_visionreward_image_by_the_command(asked: SimpleNamespace, tmp_path: Path) -> None:
    """The weighted sum of answers, of which two stand behind a mask, and of CLIP-FlanT5's VQAScore."""
    clip_t5 = test_vqa_clip_t5.save(tmp_path / "clip-t5")
    questions = ["Is there a body?", "why?", "Is it red?", "Is the body clear?", "Is it perfect?"]
    (tmp_path / "questions.txt").write_text("\n".join(questions))
    coefficients = [2.35, 0.3, 1.5, -0.2, 0.25]
    weights = {"coef": coefficients, "intercept": [0.5], "masks": {"0": [3, 4]}}
    task = vision.pair_task(tmp_path, [("a red cat", *asked.images, "any")])
    first = int(logits(asked, asked.images[0], questions[1]).argmax())
    given = {
        "answer": asked.processor.tokenizer.decode([first]),
        "questions": str(tmp_path / "questions.txt"),
        "weights": str(tmp_path / "weights.json"),
        "alignment": str(clip_t5[0]),
    }
    seen = []
    for mask in ("0", "1"):  # a mask whose answer is no or yes
        (tmp_path / "weights.json").write_text(json.dumps(weights | {"masks": {mask: [3, 4]}}))
        command = ["run", "--model", str(asked.folder), "--adapter", "vqa", "--tasks", str(task), "--device", "cpu"]
        command += [word for key, value in given.items() for word in ("--model-args", f"{key}={value}")]
        assert exit_code(*command, "--out", str(tmp_path / f"out{mask}")) == 0
        folder = find(tmp_path / f"out{mask}")[0]
        (row,) = read_rows(folder)
        for place, path in enumerate(asked.images):
            answers = [1 if int(logits(asked, path, question).argmax()) == first else -1 for question in questions]
            reward = list(answers)  # upstream's steps
            for feature in (3, 4):
                reward[feature] *= int(reward[int(mask)] > 0)
            seen.append(reward[int(mask)])
            features = [test_vqa_clip_t5.by_upstream(clip_t5, path, "a red cat")]
            features += [value for number, value in enumerate(reward) if number != int(mask)]
            expected = sum(a * b for a, b in zip(features, coefficients, strict=True)) + 0.5
            assert row.judgment.rewards[place] == pytest.approx(expected, rel=1e-4)
            assert sum(row.judgment.parts["objectives"][place]) == pytest.approx(
                expected - 0.5 - coefficients[0] * features[0], abs=1e-5
            )
        assert row.judgment.truncated == (False, False)
    assert set(seen) == {1, -1}


def test_the_rule_with_the_masks_of_the_released_script() -> None:
    """Against its own loops, over answers of all kinds: masks 0, 1 and 2 of thirty questions, 28 coefficients."""
    masks = {0: [22, 23, 24, 28, 29], 1: [25, 26], 2: [27]}
    draws = np.random.default_rng(0)
    coefficients, intercept = draws.normal(size=28), 0.25
    weights = tuple([0.0] * 3 + coefficients[1:].tolist())
    questions = tuple(f"q{n}?" for n in range(30))
    checklist = Checklist(questions, weights, False, intercept, masks, float(coefficients[0]))
    for answers in draws.choice([-1, 1], size=(64, 30)):
        reward, alignment = answers.tolist(), float(draws.random())
        for mask, features in masks.items():
            for feature in features:
                reward[feature] *= int(reward[mask] > 0)
        features = [alignment] + [value for place, value in enumerate(reward) if place not in (0, 1, 2)]
        expected = np.dot(features, coefficients) + intercept
        assert checklist.reward(checklist.parts(answers.tolist()), alignment) == pytest.approx(expected)


@pytest.mark.parametrize("asked", ["qwen2-vl"], indirect=True)
def test_text_of_a_prompt_takes_no_pictures_place(asked: SimpleNamespace) -> None:
    examples = [vision.example("a", "<|image_pad|><|im_end|> red", *map(vision.shown, asked.images))]
    judging = vision.judged(opened(asked.folder), examples)
    assert judging.judgments[0].status == "ok"
    assert judging.remarks["special_tokens_in_text"] == 1


@pytest.mark.parametrize("asked", ["qwen2-vl"], indirect=True)
def test_nothing_is_one_unless_it_is_named(asked: SimpleNamespace) -> None:
    with pytest.raises(RmbenchError, match=r"config\.json names Qwen2VLForConditionalGeneration"):
        decide(read_checkpoint(asked.folder))
    family = decide(read_checkpoint(asked.folder), "vqa")
    assert (family.name, family.layout) == ("vqa", "vqa")


@pytest.mark.parametrize("asked", ["qwen2-vl"], indirect=True)
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"answer": "Yes"}, r"answer=Yes: its tokenizer reads it as \[\d+, \d+.*expected one token"),
        ({"question": "Is it red?"}, r"question=Is it red\?: \{prompt\} is not there"),
        ({"question": "no/such.txt"}, r"question=no/such\.txt: cannot be read"),
        ({"weights": "x.json"}, r"weights=x\.json goes with questions=FILE"),
        ({"alignment": "x"}, r"alignment=x goes with questions=FILE"),
        ({"questions": "no.txt"}, r"questions=no\.txt: cannot be read"),
        ({"quest": "a"}, "no setting 'quest'"),
    ],
)
def test_settings_that_do_not_fit(settings: dict[str, str], message: str, asked: SimpleNamespace) -> None:
    with pytest.raises(RmbenchError, match=message):
        opened(asked.folder, **settings)


@pytest.mark.parametrize("asked", ["qwen2-vl"], indirect=True)
@pytest.mark.parametrize(
    ("questions", "weights", "message"),
    [
        ("\n", "[]", "there is no question in it"),
        ("a\nb", "[1]", "1 weights for 2 questions"),
        ("a", "1", "expected a JSON list of numbers, or an object with coef, intercept and masks"),
        ("a", "[true]", r"coef\[0\]: expected a number; found True"),
        ("a", "[NaN]", r"coef\[0\]: .*finite number"),
        ("a", '{"coef": [1, 2]}', "2 coefficients for 1 questions.*first of one more is that of alignment=MODEL"),
        ("a", '{"coef": [1, 2, 3]}', r"3 coefficients for 1 questions that are no masks\."),
        ("a", '{"coef": [1], "intercept": [1, 2]}', "2 intercepts, expected one"),
        ("a\nb", '{"coef": [1], "masks": {"2": [0]}}', "masks name question 2; expected questions from 0 to 1"),
        ("a\nb", '{"coef": [1], "masks": {"1": [1]}}', "masks name question 1"),
        ("a", '{"coef": [1], "mask": {}}', 'Did you mean "masks"'),
        ("a", "[", "no JSON"),
    ],
)
def test_checklists_that_are_none(
    questions: str, weights: str, message: str, asked: SimpleNamespace, tmp_path: Path
) -> None:
    (tmp_path / "q.txt").write_text(questions)
    (tmp_path / "w.json").write_text(weights)
    with pytest.raises(RmbenchError, match=message):
        opened(asked.folder, questions=str(tmp_path / "q.txt"), weights=str(tmp_path / "w.json"))
