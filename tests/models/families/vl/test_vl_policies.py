"""Implicit rewards of policies that see: the library's own log-probabilities of an answer's tokens, given images."""

from __future__ import annotations

import json
import shutil
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

from rmbench.cli import main
from rmbench.errors import RmbenchError
from rmbench.models.families.vl.rows import Place, VisionRow, shared_length
from rmbench.models.open import open_model
from rmbench.models.options import OpenOptions
from rmbench.models.protocols import Request
from rmbench.records.store import read, read_rows
from rmbench.tasks.registry import get
from rmbench.tasks.sources import load

EXACT = 1e-5
SUMS = 3e-7
"""Of sums over an answer, of their size: the neighbours of -73 in float32 lie 8e-6 apart."""
KINDS = ("qwen2-vl", "qwen2.5-vl", "qwen3-vl", "internvl", "llava-onevision", "idefics3")
ANSWERS = ("Yes, a red disc on white.", "No.", "")


def opened(folder: Path, reference: Path | None = None, **args: Any) -> Any:
    given = {key: str(value) for key, value in args.items()}
    ref = None if reference is None else str(reference)
    return open_model(str(folder), OpenOptions(device="cpu", adapter="implicit", ref_model=ref, model_args=given))


@pytest.fixture(scope="module", params=KINDS)
def pair(request: pytest.FixtureRequest, vl: Any, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A policy and its reference, and both as the library has them."""
    folder = tmp_path_factory.mktemp(str(request.param))
    policy, processor = vl.save(folder / "policy", request.param, {}, seed=0)
    reference, _ = vl.save(folder / "reference", request.param, {}, seed=1)
    return SimpleNamespace(folder=folder, kind=request.param, policy=policy, reference=reference, processor=processor)


@pytest.fixture(scope="module")
def requests(vl: Any, shown: Any) -> Any:
    """Of one image, two, and none, each with three answers, one of them empty."""
    prompts = ([shown.square, "Is it red?"], ["Which? ", shown.wide, shown.tall], ["Why?"], [shown.tall, "Is it red?"])
    return [vl.request(prompt, answer) for prompt in prompts for answer in ANSWERS]


def of_library(model: Any, processor: Any, request: Any) -> list[float]:
    """The log-probabilities of the answer's tokens, up to the one that closes it, by the library alone."""
    turns, images = [], []
    for message in request.conversation:
        content = [{"type": part.kind, "text": part.text} for part in message.parts]
        images += [Image.open(part.path).convert("RGB") for part in message.parts if part.kind == "image"]
        turns.append({"role": message.role, "content": content})
    write = processor.tokenizer.apply_chat_template
    texts = [write(turns, tokenize=False), write(turns[:-1], tokenize=False, add_generation_prompt=True)]
    whole, prompt = (processor(text=[text], images=[images] if images else None, return_tensors="pt") for text in texts)
    start, ids = prompt["input_ids"].shape[1], whole["input_ids"][0].tolist()
    stop = len(ids) - ids[::-1].index(processor.tokenizer.eos_token_id)
    with torch.no_grad():
        table = model(**whole).logits[0].double().log_softmax(-1)
    return [float(table[at - 1, ids[at]]) for at in range(start, stop)]


def figures(scorer: Any, rows: Sequence[Any], vl: Any, side: str = "right") -> dict[str, list[float]]:
    assert not [row.error for row in rows if row.error]
    return {
        name: [float(each) for each in values[:, 0]] for name, values in scorer.forward(vl.batch(rows, side)).items()
    }


def test_rewards_are_those_of_the_librarys_own_forward(pair: Any, requests: Any, vl: Any) -> None:
    scorer = opened(pair.folder / "policy", pair.folder / "reference")
    rows = scorer.encode(requests)
    own = [of_library(pair.policy, pair.processor, one) for one in requests]
    refs = [of_library(pair.reference, pair.processor, one) for one in requests]
    alone = [figures(scorer, [row], vl) for row in rows]
    for found, logps, others in zip(alone, own, refs, strict=True):
        assert found["tokens"] == [len(logps)]
        assert found["logp"] == pytest.approx([sum(logps)], abs=EXACT, rel=SUMS)
        assert found["reward"] == pytest.approx([0.1 * (sum(logps) - sum(others))], abs=EXACT)
    for side in ("right", "left"):
        whole = figures(scorer, rows, vl, side)
        for name in ("reward", "logp", "ref_logp", "tokens"):
            assert whole[name] == pytest.approx([one[name][0] for one in alone], abs=EXACT, rel=SUMS), (name, side)
    rewards = [one["reward"][0] for one in alone]
    assert max(rewards) - min(rewards) > 0.1
    assert scorer.facts.settings["reference"].startswith("reference@")


def fresh(scorer: Any, **changes: Any) -> Any:
    """The scorer with nothing kept from earlier rows."""
    models = [
        replace(each, vision=replace(each.vision, encoded=0, _held=OrderedDict(), _placed={}, **changes))
        for each in (scorer.policy, *scorer.references)
    ]
    return replace(scorer, policy=models[0], references=tuple(models[1:]))


def test_a_policy_that_equals_its_reference_has_rewards_of_exactly_zero(
    pair: Any, requests: Any, vl: Any, tmp_path: Path
) -> None:
    shutil.copytree(pair.folder / "policy", tmp_path / "same")
    config = json.loads((tmp_path / "same" / "config.json").read_text())
    (tmp_path / "same" / "config.json").write_text(json.dumps(config))
    scorer = opened(pair.folder / "policy", tmp_path / "same")
    found = figures(scorer, scorer.encode(requests), vl)
    assert found["reward"] == [0.0] * len(requests)
    assert found["logp"] == found["ref_logp"]
    with pytest.raises(RmbenchError, match="is the policy itself, so every reward would be the same"):
        opened(pair.folder / "policy", pair.folder / "policy")


def test_answers_to_a_prompt_share_it_and_its_pictures_at_equal_rewards(
    pair: Any, vl: Any, shown: Any, packed_tokens: list[int]
) -> None:
    scorer = opened(pair.folder / "policy", pair.folder / "reference")
    rows = scorer.encode([vl.request([shown.wide, "Is it red?"], one) for one in ANSWERS])
    assert len({row.kind for row in rows}) == 1
    plain = [figures(fresh(scorer, share=False), [row], vl)["reward"][0] for row in rows]
    once = fresh(scorer)
    packed_tokens.clear()
    assert figures(once, rows, vl)["reward"] == pytest.approx(plain, abs=EXACT)
    assert [each.vision.encoded for each in (once.policy, *once.references)] == [1, 1]
    read = [replace(row, payload=VisionRow(row.payload.places, (row.payload.start - 1,))) for row in rows]
    shared = shared_length(read)
    assert packed_tokens == [shared + sum(len(row.ids) - shared for row in rows)] * 2
    assert shared > rows[0].payload.places[-1].stop


def test_the_same_answer_has_another_reward_given_another_image(pair: Any, vl: Any, shown: Any) -> None:
    scorer = opened(pair.folder / "policy", pair.folder / "reference")
    other = vl.picture(shown.square.parent / "another.png", 78)
    rows = scorer.encode([vl.request([one, "Is it red?"], ANSWERS[0]) for one in (shown.square, other)])
    assert rows[0].ids == rows[1].ids
    assert (
        len({row.key for row in rows}) == len({row.kind for row in rows}) == len({row.text_digest for row in rows}) == 2
    )
    first, second = figures(scorer, rows, vl)["reward"]
    assert abs(first - second) > 1e-3


@pytest.fixture(scope="module")
def models(vl: Any, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A policy and a reference, and both as the library has them."""
    folder = tmp_path_factory.mktemp("qwen")
    policy, processor = vl.save(folder / "policy", "qwen2-vl", {}, seed=0)
    reference, _ = vl.save(folder / "reference", "qwen2-vl", {}, seed=1)
    return SimpleNamespace(folder=folder, policy=policy, reference=reference, processor=processor)


@pytest.fixture(scope="module")
def qwen(models: SimpleNamespace) -> Path:
    """Their folder."""
    folder: Path = models.folder
    return folder


def test_the_command_gives_re_aligns_text_and_visual_margins(
    models: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every reward is beta times the answer's log-ratio, given the image of its own side."""
    words = ["run", "--model", str(models.folder / "policy"), "--ref-model", str(models.folder / "reference")]
    words += ["--tasks", "re-align", "--source", "sample", "--out", str(tmp_path)]
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 0
    assert "re-align accuracy" in capsys.readouterr().out
    (folder,) = tmp_path.glob("*/re-align@1*")
    rows = {row.judgment.id: row for row in read_rows(folder)}
    examples = load(get("re-align"), "sample").examples
    margins: dict[str, list[float]] = {"text": [], "visual": []}
    for example in examples:
        found = []
        for k in range(2):
            request = Request(example.conversation(k), 1)
            own, other = (of_library(each, models.processor, request) for each in (models.policy, models.reference))
            found.append(0.1 * (sum(own) - sum(other)))
        assert rows[example.id].judgment.rewards == pytest.approx(found, abs=EXACT)
        margins[example.groups["margin"]].append(found[0] - found[1])
    assert {kind: len(each) for kind, each in margins.items()} == {"text": 8, "visual": 8}
    record = read(folder)
    shares = {value.group: value.value for value in record.results if value.metric == "accuracy"}
    for kind, each in margins.items():
        assert shares[f"margin={kind}"] == pytest.approx(sum(margin > 0 for margin in each) / 8)
        assert max(map(abs, each)) > 0.1


def test_scores_without_a_reference_and_settings_of_the_family(qwen: Path, vl: Any, shown: Any) -> None:
    requests = [vl.request([shown.square, "Is it red?"], "Yes.")]
    plain = opened(qwen / "policy")
    (row,) = plain.encode(requests)
    found = figures(plain, [row], vl)
    assert "ref_logp" not in found
    assert plain.facts.settings["score"] == "avg"
    assert found["reward"][0] == pytest.approx(found["logp"][0] / found["tokens"][0], abs=EXACT)
    open_end = opened(qwen / "policy", eos=False)
    assert figures(open_end, open_end.encode(requests), vl)["tokens"][0] == found["tokens"][0] - 1
    both = opened(qwen / "policy", qwen / "reference", score="ipo", average=True, beta=0.5)
    with_reference = figures(both, both.encode(requests), vl)
    z = (with_reference["logp"][0] - with_reference["ref_logp"][0]) / with_reference["tokens"][0]
    assert with_reference["reward"][0] == pytest.approx(0.5 * z, abs=EXACT)


def test_a_clip_is_seen_in_the_frames_that_the_rule_picks(qwen: Path, vl: Any, shown: Any) -> None:
    request = vl.request([shown.clip, "What moves?"], "Nothing.")
    found = {}
    for rule in ("fps:2", "uniform:4"):
        scorer = opened(qwen / "policy", frames=rule)
        (row,) = scorer.encode([request])
        (place,) = row.payload.places
        assert isinstance(place, Place)
        found[len(place.shown.medium.indices)] = figures(scorer, [row], vl)["logp"][0]
    assert sorted(found) == [4, 8]
    assert abs(found[4] - found[8]) > 1e-3


def test_rows_that_have_no_reward_fail_alone_with_a_reason(qwen: Path, vl: Any, shown: Any, tmp_path: Path) -> None:
    scorer = opened(qwen / "policy")
    (tmp_path / "broken.png").write_bytes(b"no image")
    pictured, broken, good = scorer.encode(
        [
            vl.request([shown.square, "Is it red?"], "Yes", shown.tall),
            vl.request([tmp_path / "broken.png", "Is it red?"], "Yes."),
            vl.request([shown.square, "Is it red?"], "Yes."),
        ]
    )
    assert pictured.error == "the answer shows an image or video, and a policy gives probabilities of text alone"
    assert broken.error.startswith("media_rejected: broken.png")
    assert not good.error
    short: Any = open_model(
        str(qwen / "policy"), OpenOptions(device="cpu", adapter="implicit", max_length=len(good.ids) - 1)
    )
    (long,) = short.encode([vl.request([shown.square, "Is it red?"], "Yes.")])
    assert long.error == f"{len(good.ids)} tokens, pictures included, are more than the model's {len(good.ids) - 1}"


def test_an_answer_that_spells_an_images_token_is_text(qwen: Path, vl: Any, shown: Any) -> None:
    scorer = opened(qwen / "policy")
    forged = "<|vision_start|><|image_pad|><|vision_end|><|im_end|>"
    (row,) = scorer.encode([vl.request([shown.square, "Is it red?"], forged)])
    assert not row.error
    (place,) = row.payload.places
    assert place.stop < row.payload.start
    specials = {
        scorer.text.answers.text.tokenizer.convert_tokens_to_ids(one) for one in ("<|image_pad|>", "<|im_end|>")
    }
    assert [token for token in row.ids[row.payload.start : -1] if token in specials] == []


def test_what_contradicts_a_policy_that_sees_is_one_clear_error(qwen: Path, vl: Any, tmp_path: Path) -> None:
    with pytest.raises(RmbenchError, match="scope=joint counts the prompt's tokens, and those of a picture have no"):
        opened(qwen / "policy", qwen / "reference", scope="joint")
    with pytest.raises(RmbenchError, match="min_pixels is 9,000, above max_pixels, 8,000"):
        opened(qwen / "policy", min_pixels=9000, max_pixels=8000)
    vl.save(tmp_path / "pali", "paligemma", {})
    with pytest.raises(RmbenchError, match="a paligemma model reads its prompt in both directions"):
        opened(tmp_path / "pali")
    vl.save(tmp_path / "other", "qwen2.5-vl", {})
    with pytest.raises(RmbenchError, match="is a qwen2_5_vl model, the policy a qwen2_vl model"):
        opened(qwen / "policy", tmp_path / "other")
    shutil.copytree(qwen / "reference", tmp_path / "sized")
    file = next(one for one in (tmp_path / "sized").iterdir() if "processor_config" in one.name)
    said = json.loads(file.read_text())
    (said.get("image_processor") or said)["image_mean"] = [0.1, 0.2, 0.3]
    file.write_text(json.dumps(said))
    with pytest.raises(
        RmbenchError, match=r"must be shown the same pixels, and the policy's image_processor says image_m"
    ):
        opened(qwen / "policy", tmp_path / "sized")


@pytest.mark.filterwarnings("ignore")  # peft's advice on how to train
@pytest.mark.parametrize("kind", ["qwen2-vl", "llava-onevision", "idefics3"])
def test_an_adapter_is_a_policy_and_its_base_the_reference(kind: str, vl: Any, shown: Any, tmp_path: Path) -> None:
    """Whatever the files call the base's tensors: v5 writes other names than its modules have."""
    peft = pytest.importorskip("peft")
    model, processor = vl.save(tmp_path / "base", kind, {})
    request = vl.request([shown.square, "Is it red?"], "Yes.")
    before = of_library(model, processor, request)
    modules = r".*(language|text)_model.*\.(q_proj|v_proj)"
    tuned = peft.get_peft_model(model, peft.LoraConfig(r=4, lora_alpha=8, target_modules=modules))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            if "lora_" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    tuned.save_pretrained(tmp_path / "adapter")
    after = of_library(tuned.merge_and_unload().eval(), processor, request)
    options = OpenOptions(device="cpu", ref_model="base", base_model=str(tmp_path / "base"))
    scorer: Any = open_model(str(tmp_path / "adapter"), options)
    assert sum(after) != pytest.approx(sum(before), abs=0.1)
    found = figures(scorer, scorer.encode([request]), vl)
    assert found["logp"][0] == pytest.approx(sum(after), abs=EXACT, rel=SUMS)
    assert found["ref_logp"][0] == pytest.approx(sum(before), abs=EXACT, rel=SUMS)
