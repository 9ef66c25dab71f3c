"""VideoScore2: three scores in a reply that the model writes, read from the probabilities of their digits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from rmbench.engine.judge import judge
from rmbench.errors import RmbenchError
from rmbench.models.families.vl.reply import ReplyScorer, placed_scores, score_of
from rmbench.models.families.vl.rows import UnreadableError
from rmbench.models.families.vl.schema import layouts
from rmbench.models.open import open_model
from rmbench.models.options import OpenOptions
from rmbench.models.protocols import Encoded
from tests.models.families.vl import conftest as scene

WORDS = "Rate the video for {prompt} in three ways."
HEADINGS = ("visual quality", "text-to-video alignment", "physical/common-sense consistency")
SPELLED = {
    "<|Reward|>": "visual quality: 5 is wrong</think>\\n(1) visual quality – clarity: ",
    "<|VQ_reward|>": "\\n(2) Text-to-video alignment – fidelity to it: **",
    "<|MQ_reward|>": "\\n(3) physical/common-sense consistency: ",
}
"""Tokens of the tiny model's tokenizer, and what they are made to spell, in JSON."""
NEXT = {
    "\n": "<|Reward|>",
    "4": "<|VQ_reward|>",
    "5": "<|VQ_reward|>",
    "1": "<|MQ_reward|>",
    "2": "<|MQ_reward|>",
    "3": "<|im_end|>",
}
"""What the model writes behind a token."""
SPREAD = {"<|Reward|>": (0, 1, 1, 3, 3), "<|VQ_reward|>": (3, 3, 1, 0, 1), "<|MQ_reward|>": (0, 1, 4, 2, 1)}
"""How probable the digits are behind others, as multiples of a unit of logits."""


def saved(folder: Path, *, strength: float = 2.0) -> Any:
    """A model whose tokens follow each other as in NEXT and SPREAD, whatever it sees: what it sees changes only how
    probable the digits are. `strength` 0: it writes anything."""
    _, processor = scene.save(folder, "qwen2.5-vl", {})
    tokens = processor.tokenizer
    tensors = load_file(folder / "model.safetensors")
    embed, generator = tensors["model.embed_tokens.weight"], torch.Generator().manual_seed(3)
    head = torch.randn(embed.shape, generator=generator) * 0.01
    for name in tensors:
        if name.endswith(("self_attn.o_proj.weight", "mlp.down_proj.weight")) and name.startswith("model.layers"):
            tensors[name] *= 0.1
    place = {name: tokens(name, add_special_tokens=False)["input_ids"][0] for name in (*NEXT, *SPREAD, "<|im_end|>")}
    directions, _ = torch.linalg.qr(torch.randn(64, len(place), generator=generator))
    states = dict(zip(place, directions.T, strict=True))
    for name, state in states.items():
        embed[place[name]] = state * 8
    for digit in "12345":
        head[place[digit]] = torch.randn(64, generator=generator) * 0.1
    for name, follows in NEXT.items():
        head[place[follows]] += strength * states[name]
    for name, shares in SPREAD.items():
        for digit, share in zip("12345", shares, strict=True):
            head[place[digit]] += strength * (1 + share / 12) * states[name]
    tensors["lm_head.weight"] = head.contiguous()
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    for path in folder.glob("*.json"):
        text = path.read_text()
        if path.name.startswith("token"):
            for name, spelled in SPELLED.items():
                text = text.replace(name, spelled)
        path.write_text(text)
    words = folder.parent / "words"
    words.write_text(WORDS)
    return folder, words


@pytest.fixture(scope="module")
def rater(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return saved(tmp_path_factory.mktemp("vs2") / "videoscore2")


def opened(rater: Any, seed: int = 0, **args: Any) -> Any:
    folder, words = rater
    given = {key: str(value) for key, value in ({"prompt": words, "reply_tokens": 12} | args).items()}
    return open_model(str(folder), OpenOptions(device="cpu", adapter="videoscore2", seed=seed, model_args=given))


def by_hand(logits: Any) -> float:
    shares = [float(value) for value in torch.tensor(logits).double().exp()]
    best = max(range(5), key=lambda place: shares[place])
    return (best + 1) * shares[best] / sum(shares)


def test_a_score_by_hand() -> None:
    logits = torch.tensor([0.05, 0.1, 0.5, 0.25, 0.05], dtype=torch.float64).log().tolist()
    assert score_of(logits, "normed") == pytest.approx(1.57894737, abs=1e-8)
    assert score_of(logits, "weighted") == pytest.approx(3.15789474, abs=1e-8)
    assert score_of([0.0] * 5, "normed") == pytest.approx(0.2)  # of equal ones the first, as upstream


class TestWhereScoresStand:
    TEXT = (
        "<think>The visual quality: 1, or so.</think>\n(1) visual quality – clarity, smoothness, artifacts: 3\n"
        "(2) text-to-video alignment – fidelity to the prompt: 4\n"
        "(3) Physical/common-sense consistency – naturalness: **2**"
    )
    """As the released model writes, which upstream's own pattern misses."""

    def test_behind_the_reasoning_and_descriptors(self) -> None:
        found = placed_scores(self.TEXT, HEADINGS, 5)
        assert [self.TEXT[place] for place in found] == ["3", "4", "2"]

    def test_as_upstream_asks(self) -> None:
        text = "visual quality: 5;\ntext-to-video alignment: 1,\nphysical/common-sense consistency: 2/5"
        assert [text[place] for place in placed_scores(text, HEADINGS, 5)] == ["5", "1", "2"]

    @pytest.mark.parametrize(
        ("old", "new", "why"),
        [
            (": 4", ": four", 'no score behind "text-to-video alignment"'),
            (": 4", ":", 'no score behind "text-to-video alignment"'),
            (": 4", ": 6", 'alignment" is 6, expected a whole number from 1 to 5'),
            (": 4", ": 0", "is 0, expected"),
            (": 4", ": 10", "is 10, expected"),
            (": 4", ": 3.5", "is 3.5, expected"),
            ("(3) Physical", "(3) Moral", 'no score behind "physical/common-sense consistency"'),
        ],
    )
    def test_what_cannot_be_read(self, old: str, new: str, why: str) -> None:
        with pytest.raises(UnreadableError) as caught:
            placed_scores(self.TEXT.replace(old, new), HEADINGS, 5)
        assert why in str(caught.value)

    def test_reasoning_that_does_not_reach_scores(self) -> None:
        with pytest.raises(UnreadableError, match="no score"):
            placed_scores(self.TEXT + "</think>", HEADINGS, 5)


def library(rater: Any, image: Path, penalty: float = 1.0) -> Any:
    """The library's own greedy decoding of the same prompt: its tokens and the logits of each."""
    from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration

    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(rater[0], dtype=torch.float32).eval()
    processor = AutoProcessor.from_pretrained(rater[0])
    said = WORDS.replace("{prompt}", "a disc")
    text = f"<|im_start|>user\n{scene.SEEN}{said}<|im_end|>\n<|im_start|>assistant\n"
    inputs = processor(text=[text], images=[Image.open(image).convert("RGB")], return_tensors="pt")
    with torch.no_grad():
        out = model.generate(
            **inputs,
            do_sample=False,
            max_new_tokens=12,
            repetition_penalty=penalty,
            output_scores=True,
            return_dict_in_generate=True,
            pad_token_id=0,
            eos_token_id=processor.tokenizer.eos_token_id,
        )
    digits = [processor.tokenizer.convert_tokens_to_ids(digit) for digit in "12345"]
    ids = out.sequences[0, inputs["input_ids"].shape[1] :].tolist()
    found = [step[0, digits].tolist() for token, step in zip(ids, out.scores, strict=True) if token in digits]
    return ids, found


def test_greedy_scores_equal_the_librarys(rater: Any, vl: Any, shown: Any) -> None:
    scorer = opened(rater, temperature=0)
    assert scorer.facts.family == "vl-scalar"
    assert scorer.facts.settings["temperature"] == 0
    assert scorer.facts.settings["objectives"] == ", ".join(HEADINGS)
    images = (shown.square, shown.wide)
    rows = scorer.encode([vl.request(["a disc"], image) for image in images])
    assert len({row.kind for row in rows}) == 2
    for row, image in zip(rows, images, strict=True):
        ids, logits = library(rater, image)
        assert len(logits) == 3
        assert scorer.written(row)[0] == ids[:-1]
        found = scorer.forward(vl.batch([row]))
        wanted = [by_hand(each) for each in logits]
        assert found["objectives"][0].tolist() == pytest.approx(wanted, abs=1e-4)
        assert float(found["reward"][0, 0]) == pytest.approx(sum(wanted) / 3, abs=1e-4)
    both = scorer.forward(vl.batch(rows))["objectives"]
    assert abs(both[0] - both[1]).max() > 1e-3
    weighted = opened(rater, temperature=0, scores="weighted").forward(vl.batch([rows[-1]]))["objectives"][0]
    means = [sum(k * v for k, v in enumerate(torch.tensor(each).softmax(-1).tolist(), 1)) for each in logits]
    assert weighted.tolist() == pytest.approx(means, abs=1e-4)


def test_the_penalty_of_the_checkpoints_own_file(rater: Any, vl: Any, shown: Any) -> None:
    path = rater[0] / "generation_config.json"
    before = path.read_text()
    try:
        path.write_text(json.dumps(json.loads(before) | {"repetition_penalty": 1.3}))
        scorer = opened(rater, temperature=0)
        assert scorer.facts.settings["repetition_penalty"] == 1.3
        ids, logits = library(rater, shown.square, 1.3)
        (row,) = scorer.encode([vl.request(["a disc"], shown.square)])
        assert scorer.written(row)[0] == ids[:-1]
        wanted = [by_hand(each) for each in logits]
        assert scorer.forward(vl.batch([row]))["objectives"][0].tolist() == pytest.approx(wanted, abs=1e-4)
        assert wanted != pytest.approx([by_hand(each) for each in library(rater, shown.square)[1]], abs=1e-2)
        path.write_text(json.dumps({"top_p": "much"}))
        with pytest.raises(RmbenchError, match=r"generation_config\.json: top_p: expected a number"):
            opened(rater)
    finally:
        path.write_text(before)


def test_drawn_replies_depend_on_the_row_and_the_seed_alone(rater: Any, vl: Any, shown: Any) -> None:
    scorer = opened(rater)
    settings = scorer.facts.settings
    assert (settings["temperature"], settings["top_k"], settings["seed"]) == (0.7, 50, 0)
    rows = scorer.encode([vl.request(["a disc"], image) for image in (shown.square, shown.wide, shown.tall)])
    alone = [scorer.written(row) for row in rows]
    assert [scorer.written(row) for row in reversed(rows)] == alone[::-1]
    drawn = {tuple(opened(rater, seed=seed).written(rows[0])[0]) for seed in range(8)}
    assert len(drawn) > 1
    # Whatever was drawn, the logits of the digits are the greedy ones over the temperature, where the text is the same.
    greedy = opened(rater, temperature=0).written(rows[0])[1]
    assert alone[0][1][1] == pytest.approx([each / 0.7 for each in greedy[1]], abs=1e-4)


def test_a_reply_without_scores_is_a_failed_row(
    tmp_path: Path, vl: Any, shown: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = opened(saved(tmp_path / "videoscore2", strength=0.0), temperature=0)
    asked: list[str] = []

    def counted(self: ReplyScorer, row: Encoded) -> Any:
        asked.append(row.key)
        return write(self, row)

    write = ReplyScorer.written
    monkeypatch.setattr(ReplyScorer, "written", counted)
    examples = [vl.example(name, ["a disc"], [shown.square], [shown.wide]) for name in "ab"]
    for judgment in judge("t", examples, scorer).judgments:
        assert judgment.status == "failed"
        assert 'the reply has no score behind "visual quality": ' in judgment.error
    assert len(asked) == len(set(asked)) == 2  # no reply is written again for its batch mates' sake


def test_a_run_keeps_objectives(rater: Any, vl: Any, shown: Any) -> None:
    scorer = opened(rater, temperature=0)
    (judgment,) = judge("t", [vl.example("a", ["a disc"], [shown.square], [shown.clip])], scorer).judgments
    assert judgment.status == "ok"
    parts = judgment.parts["objectives"]
    assert [sum(each) / 3 for each in parts] == pytest.approx(judgment.rewards, abs=1e-6)


def test_what_is_refused(rater: Any, tmp_path: Path, vl: Any) -> None:
    scorer = opened(rater)
    (row,) = scorer.encode([vl.request(["a disc"], "A disc.")])
    assert row.error == "the candidate holds text, and the model scores an image or a video"
    vl.save(tmp_path / "plain", "qwen2.5-vl", {"score.weight": vl.linear_head()})
    with pytest.raises(RmbenchError, match="writes no scores"):
        open_model(str(tmp_path / "plain"), OpenOptions(device="cpu", model_args={"temperature": "0"}))
    assert layouts()["videoscore2"].reply.headings == HEADINGS
