"""Long prompts in segments, the two parts of a score, and pairs of opposite texts, against loops over open_clip and
transformers themselves."""

from __future__ import annotations

import base64
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from rmbench.errors import RmbenchError
from rmbench.media import read_frames
from rmbench.models.families.vision.clip.segments import SEGMENTS
from rmbench.models.open import OpenOptions, open_model
from rmbench.records.store import find, read, read_rows
from tests._make import exit_code

pytestmark = pytest.mark.skipif(find_spec("open_clip") is None, reason="need open_clip (the extra clip)")

LONG = " ".join(f"Object {number} stands left of a red thing, and behind it." for number in range(30))
PROMPTS = [LONG, 'A cat; a dog? "Wow"! It is 3.5 m', "two red dogs", "...", f"{'no end ' * 120}. And more"]
SET = ["A photo of a cat.", "An old house. It is red? Yes", "two red dogs"]


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("A cat. A dog? Wow! It is 3.5 m; fine", ["A cat.", " A dog.", " Wow! It is 3.", "5 m; fine."]),
        ("", [""]),
        ("...", ["..."]),
        ('He said "go"! She said "no;" then', ['He said "go.', ' She said "no.', " then."]),
        ("one", ["one."]),
    ],
)
def test_segments_by_the_released_rule(text: str, segments: list[str]) -> None:
    assert SEGMENTS["longalign"](text) == segments
    assert SEGMENTS["none"](text) == [text]


class OpenClip:
    """open_clip's own towers, transform and tokenizer."""

    def __init__(self, model: Any) -> None:
        from open_clip.tokenizer import _tokenizer
        from open_clip.transform import PreprocessCfg, image_transform_v2

        self.model, self.tokenizer = model, _tokenizer
        self.transform = image_transform_v2(PreprocessCfg(size=32), is_train=False)
        self.scale = float(model.logit_scale.detach().exp())

    def text(self, text: str) -> torch.Tensor:
        with torch.no_grad():
            found: torch.Tensor = self.model.encode_text(self.tokenizer([text]), normalize=True)[0]
        return found

    def image(self, path: Path | Image.Image) -> torch.Tensor:
        image = path if isinstance(path, Image.Image) else Image.open(path).convert("RGB")
        with torch.no_grad():
            found: torch.Tensor = self.model.encode_image(self.transform(image)[None], normalize=True)[0]
        return found


class Transformers:
    """transformers' own CLIPModel, tokenizer and image processor."""

    def __init__(self, model: Any, tokens: Path) -> None:
        from transformers import AutoTokenizer, CLIPImageProcessorPil

        size = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
        self.model, self.tokenizer = model, AutoTokenizer.from_pretrained(tokens)
        self.processor = CLIPImageProcessorPil(**size)
        self.scale = float(model.logit_scale.detach().exp())

    def text(self, text: str) -> torch.Tensor:
        inputs = self.tokenizer(text, truncation=True, max_length=77, return_tensors="pt")
        return self._unit(self.model.get_text_features(**inputs))

    def image(self, path: Path | Image.Image) -> torch.Tensor:
        image = path if isinstance(path, Image.Image) else Image.open(path).convert("RGB")
        return self._unit(self.model.get_image_features(**self.processor(image, return_tensors="pt")))

    @staticmethod
    def _unit(found: Any) -> torch.Tensor:
        found = (found if isinstance(found, torch.Tensor) else found.pooler_output)[0].detach()
        return found / found.norm()


@pytest.fixture
def towers(request: pytest.FixtureRequest, tmp_path: Path, seen: Any, tiny_registered: str) -> Any:
    """(folder, settings, the library's own model, factor) of CLIP, HPSv2 and PickScore as they are saved."""
    folder = tmp_path / request.param
    if request.param == "pickscore":
        clip_tokenizer = request.getfixturevalue("clip_tokenizer")
        model = seen.save_transformers(folder)
        for file in clip_tokenizer.iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        own: Any = Transformers(model, clip_tokenizer)
        return folder, {"score": "logit"}, own, own.scale
    if request.param == "hpsv2":
        folder.mkdir()
        model = seen.tiny_model()
        torch.save({"state_dict": model.state_dict()}, folder / "HPS_v2_compressed.pt")
        return folder, {"score": "cosine100", "architecture": tiny_registered}, OpenClip(model), 100.0
    return folder, {}, OpenClip(seen.save_open_clip(folder)), 1.0


def opened(folder: Path, **settings: str) -> Any:
    return open_model(str(folder), OpenOptions(device="cpu", model_args=settings, allow_pickle=True))


def mean_of_segments(own: Any, text: str) -> torch.Tensor:
    return torch.stack([own.text(segment) for segment in SEGMENTS["longalign"](text)]).mean(0)


@pytest.mark.parametrize("towers", ["clip", "hpsv2", "pickscore"], indirect=True)
def test_the_parts_of_a_score_are_those_of_a_plain_loop(
    towers: Any, tmp_path: Path, images: list[Path], seen: Any
) -> None:
    folder, settings, own, factor = towers
    (tmp_path / "set.json").write_text(json.dumps(SET))
    scorer = opened(folder, **settings, segments="longalign", direction=str(tmp_path / "set.json"))
    judging = seen.judged(
        scorer, [seen.example(str(i), text, *map(seen.shown, images)) for i, text in enumerate(PROMPTS)]
    )

    v = torch.stack([mean_of_segments(own, text) for text in SET]).mean(0)
    v = v / v.norm()
    for text, judgment in zip(PROMPTS, judging.judgments, strict=True):
        t = mean_of_segments(own, text)
        for path, reward, parts in zip(images, judgment.rewards, judgment.parts["objectives"], strict=True):
            i, eta = own.image(path), t @ v
            expected = (factor * (t - eta * v) @ i, factor * eta * (v @ i))
            assert parts == pytest.approx([float(each) for each in expected], abs=2e-5 * factor)
            assert reward == pytest.approx(float(factor * t @ i), abs=2e-5 * factor)
            assert sum(parts) == pytest.approx(reward, abs=1e-6 * max(1, factor))
    # Only the segment without an end is longer than the tower reads; as a whole the first prompt is, too.
    assert [judgment.truncated[0] for judgment in judging.judgments] == [False, False, False, False, True]
    whole = seen.judged(opened(folder, **settings), [seen.example("a", LONG, seen.shown(images[0]))])
    assert whole.judgments[0].truncated == (True,)
    assert whole.judgments[0].rewards[0] != pytest.approx(judging.judgments[0].rewards[0], abs=1e-3)


def test_a_prompt_of_one_segment_is_scored_as_ever(tiny_clip: Path, images: list[Path], seen: Any) -> None:
    examples = [seen.example("a", "Two red dogs.", *map(seen.shown, images))]
    one, other = (seen.judged(opened(tiny_clip, segments=rule), examples) for rule in ("longalign", "none"))
    assert one.judgments[0].rewards == other.judgments[0].rewards


def test_a_video_has_the_mean_of_its_frames_parts(tiny_clip: Path, tmp_path: Path, seen: Any) -> None:
    (tmp_path / "set.txt").write_text("\n".join(SET))
    path = seen.clip(tmp_path / "x.mp4", count=4)
    scorer = opened(tiny_clip, direction=str(tmp_path / "set.txt"), frames="uniform:4")
    (judgment,) = seen.judged(scorer, [seen.example("a", "two cats", seen.shown(path, "video"))]).judgments
    own = OpenClip(seen.tiny_model())
    v = torch.stack([own.text(text) for text in SET]).mean(0)
    v, t = v / v.norm(), own.text("two cats")
    along = [float((t @ v) * (v @ own.image(frame))) for _, frame in read_frames(path, range(4))]
    assert judgment.parts["objectives"][0][1] == pytest.approx(np.mean(along), abs=1e-5)


def test_the_record_holds_the_direction(tiny_clip: Path, tmp_path: Path, seen: Any) -> None:
    file = tmp_path / "set.json"
    file.write_text(json.dumps([*SET, "x " * 100]))
    facts = opened(tiny_clip, segments="longalign", direction=str(file)).facts
    own = OpenClip(seen.tiny_model())
    v = torch.stack([mean_of_segments(own, text) for text in [*SET, "x " * 100]]).mean(0)
    stored = np.frombuffer(base64.b64decode(facts.settings["direction_vector"]), "<f4")
    assert stored == pytest.approx((v / v.norm()).numpy(), abs=1e-6)
    assert {name: facts.settings[name] for name in ("objectives", "segments", "direction", "direction_prompts")} == {
        "objectives": "relevant, irrelevant",
        "segments": "longalign",
        "direction": "set.json",
        "direction_prompts": 4,
    }
    assert facts.settings["direction_truncated"] == 1
    file.write_text(json.dumps(SET))
    assert opened(tiny_clip, segments="longalign", direction=str(file)).facts.fingerprint != facts.fingerprint


def test_longaligns_reweighted_score_by_the_command(
    tiny_clip: Path, tmp_path: Path, images: list[Path], seen: Any
) -> None:
    """Upstream's training score: the text loses 0.7 of its component along V."""
    (tmp_path / "set.json").write_text(json.dumps(SET))
    task = seen.pair_task(tmp_path, [(text, images[0], images[1], "any") for text in PROMPTS])
    given = [f"segments=longalign,direction={tmp_path / 'set.json'}", "--device", "cpu", "--out", str(tmp_path / "out")]
    weights = ["--objective-weights", "relevant=1,irrelevant=0.3"]
    command = ["run", "--model", str(tiny_clip), "--tasks", str(task), "--model-args", *given, *weights]
    assert exit_code(*command) == 0
    (record,) = map(read, find(tmp_path / "out"))
    assert record.model.settings["objective_weights"] == "relevant=1,irrelevant=0.3"
    own = OpenClip(seen.tiny_model())
    o = torch.stack([mean_of_segments(own, text) for text in SET]).mean(0)
    o = o / o.norm()
    for text, row in zip(PROMPTS, read_rows(find(tmp_path / "out")[0]), strict=True):
        t = mean_of_segments(own, text)
        t = t - 0.7 * (t @ o) * o
        assert row.judgment.rewards == pytest.approx([float(t @ own.image(path)) for path in images[:2]], abs=2e-5)


def test_terminals_show_the_beginning_of_a_long_setting(
    tmp_path: Path, images: list[Path], seen: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    seen.save_open_clip(tmp_path / "wide", {**seen.TINY, "embed_dim": 64})
    (tmp_path / "set.json").write_text(json.dumps(SET))
    task = seen.pair_task(tmp_path, [("two red dogs", images[0], images[1], "any")])
    command = ["run", "--model", str(tmp_path / "wide"), "--tasks", str(task), "--out", str(tmp_path / "out")]
    assert exit_code(*command, "--device", "cpu", "--model-args", f"direction={tmp_path / 'set.json'}") == 0
    (place,) = find(tmp_path / "out")
    assert exit_code("show", str(place)) == 0
    stored, printed = str(read(place).model.settings["direction_vector"]), capsys.readouterr()
    assert len(stored) > 300
    for shown in (printed.err, "".join(printed.out.split())):
        assert f"direction_vector={stored[:20]}" in shown
        assert stored not in shown


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "there is no prompt in it"),
        ('{"a": 1}', "expected a list of prompts, found dict"),
        ("[1]", "prompt 0 is not a text"),
        ('["a", ""]', "prompt 1 is empty"),
        ("[", "no JSON"),
        (json.dumps(["a." * 2000]), "the prompt has 2,000 segments, more than 1,000"),
    ],
)
def test_sets_that_are_none(content: str, message: str, tiny_clip: Path, tmp_path: Path) -> None:
    (tmp_path / "set.json").write_text(content)
    with pytest.raises(RmbenchError, match=rf"direction=.*set\.json: {message}"):
        opened(tiny_clip, segments="longalign", direction=str(tmp_path / "set.json"))


def test_a_prompt_of_a_million_segments_fails_alone(tiny_clip: Path, images: list[Path], seen: Any) -> None:
    examples = [seen.example("a", "a." * 10**6, seen.shown(images[0])), seen.example("b", "a.", seen.shown(images[0]))]
    one, other = seen.judged(opened(tiny_clip, segments="longalign"), examples).judgments
    assert "the prompt has 1,000,000 segments, more than 1,000" in one.error
    assert other.status == "ok"


@pytest.mark.parametrize("pair", [None, "Bright photo.|Dark photo."])
def test_a_pair_of_opposite_texts(pair: str | None, tiny_clip: Path, images: list[Path], seen: Any) -> None:
    given = {"pair": pair} if pair else {"score": "clip-iqa"}
    scorer = opened(tiny_clip, **given)
    own = OpenClip(seen.tiny_model())
    texts = torch.stack([own.text(text) for text in (pair or "Good photo.|Bad photo.").split("|")])
    expected = [float((own.scale * texts @ own.image(path)).softmax(0)[0]) for path in images]
    first, second = seen.judged(
        scorer, [seen.example(text, text, *map(seen.shown, images)) for text in ("a", "b " * 300)]
    ).judgments
    assert first.rewards == pytest.approx(expected, abs=1e-4)
    assert first.rewards == second.rewards
    assert second.truncated == (False,) * 6
    assert scorer.facts.settings["pair"] == (pair or "Good photo.|Bad photo.")
    assert np.std(expected) > 0.005


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"segments": "longalin"}, "segments: .*found 'longalin'"),
        ({"score": "clipscore", "direction": "x.json"}, "score=clipscore is no sum of parts"),
        ({"score": "clip-iqa", "segments": "longalign"}, "score=clip-iqa does not read the prompt"),
        ({"pair": "a|b", "prefix": "x"}, "prefix=x: score=clip-iqa does not read the prompt"),
        ({"pair": "a|b", "score": "cosine"}, "score=clip-iqa reads a pair"),
        ({"pair": "a"}, r"pair=a: expected two texts with \| between them"),
        ({"direction": "no.json"}, r"direction=no\.json: cannot be read"),
        ({"direction": "no.csv"}, r"cannot be read"),
    ],
)
def test_settings_that_do_not_fit(settings: dict[str, str], message: str, tiny_clip: Path) -> None:
    with pytest.raises(RmbenchError, match=message):
        opened(tiny_clip, **settings)
