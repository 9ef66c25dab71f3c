"""`rmbench retrieval` on images, against a loop over open_clip's own towers."""

from __future__ import annotations

import csv
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from rmbench.errors import RmbenchError
from rmbench.evaluation.retrieval import retrieve
from rmbench.evaluation.run import run
from rmbench.models.open import OpenOptions, open_model
from tests._make import exit_code
from tests.models.families.vision import conftest, test_blip_matching

pytestmark = pytest.mark.skipif(find_spec("open_clip") is None, reason="need open_clip (the extra clip)")

PAIRS = (("a cat", 0, 1, "x"), ("two dogs", 2, 3, "y"), ("a cat", 4, 1, "x"), ("the moon", 5, 0, "y"))
"""(prompt, better image, worse image, style): image 0 is of two prompts and styles, 1 twice of one."""


@pytest.fixture
def task(tmp_path: Path, images: list[Path], seen: Any) -> Path:
    path: Path = seen.pair_task(tmp_path, [(text, images[a], images[b], style) for text, a, b, style in PAIRS])
    return path


@pytest.fixture(scope="module")
def cosines(images: list[Path], seen: Any) -> tuple[list[str], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Texts, [texts, images] and [images, images], by open_clip."""
    from open_clip.tokenizer import _tokenizer
    from open_clip.transform import PreprocessCfg, image_transform_v2

    model, transform = seen.tiny_model(), image_transform_v2(PreprocessCfg(size=32), is_train=False)
    texts = list(dict.fromkeys(text for text, *_ in PAIRS))
    with torch.no_grad():
        shown = [
            model.encode_image(transform(Image.open(path).convert("RGB"))[None], normalize=True) for path in images
        ]
        read = model.encode_text(_tokenizer(texts), normalize=True)
    stacked = torch.cat(shown)
    return texts, (read @ stacked.T).numpy(), (stacked @ stacked.T).numpy()


def recall(similar: Any, right: list[set[int]], k: int) -> float:
    return float(
        np.mean([bool(set(np.argsort(-row)[:k].tolist()) & own) for row, own in zip(similar, right, strict=True)])
    )


def precision(similar: Any, right: list[set[int]]) -> float:
    each = []
    for row, own in zip(similar, right, strict=True):
        places = [1 + place for place, at in enumerate(np.argsort(-row)) if at in own]
        each.append(np.mean([count / place for count, place in enumerate(places, 1)]))
    return float(np.mean(each))


def test_figures_are_those_of_a_plain_loop(tiny_clip: Path, task: Path, cosines: Any, tmp_path: Path) -> None:
    found = retrieve(tiny_clip, task, ks=(1, 2, 3), neighbours=1, by="style", device="cpu", progress=False)
    (one,) = found.tasks
    texts, similar, beside = cosines
    of_text = [{image for text, a, b, _ in PAIRS if text == own for image in (a, b)} for own in texts]
    of_image = [{at for at, images in enumerate(of_text) if image in images} for image in range(6)]
    for k in (1, 2, 3):
        assert one.images_for_texts.recall[k] == pytest.approx(recall(similar, of_text, k))
        assert one.texts_for_images.recall[k] == pytest.approx(recall(similar.T, of_image, k))
    assert one.images_for_texts.average_precision == pytest.approx(precision(similar, of_text))
    # Image 0 stands in rows of both styles and does not vote.
    styles = {1: "x", 4: "x", 2: "y", 3: "y", 5: "y"}
    right = []
    for image, style in styles.items():
        nearest = max((other for other in styles if other != image), key=lambda other: beside[image, other])
        right.append(styles[nearest] == style)
    assert one.neighbours.accuracy == pytest.approx(np.mean(right))
    assert (one.neighbours.n, one.several_classes, one.rows, one.failed) == (5, 1, 4, 0)
    value = run(str(tiny_clip), str(task), out=tmp_path / "out", device="cpu").records[0].results[0].value
    assert one.value == value


def test_prompts_are_classes_unless_a_group_is_named(tiny_clip: Path, task: Path) -> None:
    (one,) = retrieve(tiny_clip, task, neighbours=1, device="cpu", progress=False).tasks
    assert one.by == "prompt"
    assert (one.neighbours.classes, one.several_classes) == (3, 1)
    assert one.neighbours.n == 4  # the moon has one image left


def retrieval_of(model: Path, task: Path, *more: str) -> list[str]:
    return ["retrieval", "--model", str(model), "--tasks", str(task), "--device", "cpu", *more]


def test_the_command_prints_it_beside_the_metric(
    tiny_clip: Path, task: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = retrieval_of(tiny_clip, task, "--k", "1", "--by", "style")
    assert exit_code(*command) == 0
    printed = capsys.readouterr().out
    for words in ("accuracy ", "images for texts, recall@1", "mean average precision", "5 nearest images"):
        assert words in printed
    assert "images of several classes, which do not vote: 1" in printed
    assert exit_code(*command, "--json") == 0
    (one,) = json.loads(capsys.readouterr().out)["tasks"]
    assert one["images_for_texts"]["recall"].keys() == {"1"}
    assert one["metric"] == "accuracy"


@pytest.fixture(scope="module", params=["blip-itm", "blip2-itm"])
def tiny_blip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, str]:
    return test_blip_matching.saved(tmp_path_factory.mktemp("itc"), request.param)


def test_blip_by_its_own_embeddings_and_the_file(
    tiny_blip: tuple[Path, Any, str], tmp_path: Path, images: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Against the similarities of transformers' own forward, one pair at a time."""
    pairs = [("a cat", 0, 1), ("two red dogs", 2, 3), ("a cat", 4, 1), ("the moon", 5, 0)]
    task = conftest.pair_task(tmp_path, [(text, images[a], images[b], "any") for text, a, b in pairs])
    command = retrieval_of(tiny_blip[0], task, "--k", "1", "--k", "2")
    assert exit_code(*command, "--csv", str(tmp_path / "found.csv")) == 0
    texts = list(dict.fromkeys(text for text, *_ in pairs))
    similar = np.array([[test_blip_matching.plain(tiny_blip, "itc", path, text) for path in images] for text in texts])
    of_text = [{image for text, a, b in pairs if text == own for image in (a, b)} for own in texts]
    of_image = [{at for at, own in enumerate(of_text) if image in own} for image in range(6)]
    right = [similar[texts.index(text), a] > similar[texts.index(text), b] for text, a, b in pairs]
    expected = {"accuracy": np.mean(right)}
    for k in (1, 2):
        expected[f"images for texts, recall@{k}"] = recall(similar, of_text, k)
        expected[f"texts for images, recall@{k}"] = recall(similar.T, of_image, k)
    with (tmp_path / "found.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert {(line["model"], line["task"], line["version"]) for line in lines} == {("tiny", "mine", "1")}
    assert {line["revision"] for line in lines} == {
        open_model(str(tiny_blip[0]), OpenOptions(device="cpu")).facts.revision
    }
    found = {line["figure"]: float(line["value"]) for line in lines}
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    printed = " ".join(capsys.readouterr().out.split())
    assert all(line["figure"] in printed for line in lines)
    compared = tiny_blip[2] == "blip-itm"
    assert ("5 nearest images, accuracy by prompt" in found) is compared
    assert ("an image has several embeddings, and no two images are compared" in printed) is not compared


@pytest.mark.parametrize("tiny_blip", ["blip2-itm"], indirect=True)
def test_clips_of_several_embeddings(tiny_blip: tuple[Path, Any, str], tmp_path: Path, seen: Any) -> None:
    """Against the mean over frames of transformers' own forward."""
    folder = tmp_path / "clips"
    folder.mkdir()
    clips = [seen.clip(folder / f"{seed}.mp4", 6, seed) for seed in range(4)]
    texts = ["a cat", "two red dogs", "the moon", "blue"]
    task = seen.pair_task(tmp_path, [(text, clips[at], clips[at - 1], "any") for at, text in enumerate(texts)])
    task.write_text(task.read_text().replace('form = "image"', 'form = "video"').replace('"image"', '"video"'))
    asked: dict[str, Any] = {"ks": (1, 2), "progress": False, "device": "cpu"}
    (one,) = retrieve(tiny_blip[0], task, model_args={"frames": "stride:3"}, **asked).tasks
    frames = [seen.stills(clip, (0, 2, 4)) for clip in clips]
    of_pair = [
        [[test_blip_matching.plain(tiny_blip, "itc", each, text) for each in own] for own in frames] for text in texts
    ]
    similar = np.mean(of_pair, axis=2)  # [texts, clips]
    of_text = [{at, (at - 1) % 4} for at in range(4)]
    of_image = [{at, (at + 1) % 4} for at in range(4)]
    for k in (1, 2):
        assert one.images_for_texts.recall[k] == pytest.approx(recall(similar, of_text, k))
        assert one.texts_for_images.recall[k] == pytest.approx(recall(similar.T, of_image, k))
    assert one.neighbours is None
    assert one.images_for_texts.average_precision == pytest.approx(precision(similar, of_text))
    assert one.texts_for_images.average_precision == pytest.approx(precision(similar.T, of_image))


def test_captions_find_the_prompts_image(tiny_blip: tuple[Path, Any, str], tmp_path: Path, images: list[Path]) -> None:
    rows = [(images[0], "a cat", "two red dogs"), (images[1], "the moon", "a cat")]
    plain = [{"image": path.name, "captions": captions, "best": 0} for path, *captions in rows]
    (tmp_path / "captions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in plain))
    task = conftest.pair_task(tmp_path, [("a", images[0], images[1], "any")], "captions-of-images")
    columns = """prompt = { template = "Describe it." }
prompt_media = [{ column = "image", form = "image" }]
candidates = [{ column = "captions[]" }]
"""
    text = task.read_text().replace("captions-of-images.jsonl", "captions.jsonl").replace("n = 1\n", "n = 2\n")
    start, end = text.index('prompt = "prompt"'), text.index("gold = {")
    task.write_text(text[:start] + columns + text[end:].replace('style = "style"\n', ""))
    (one,) = retrieve(tiny_blip[0], task, ks=(1,), device="cpu", progress=False).tasks
    assert (one.images_for_texts.queries, one.images_for_texts.gallery, one.texts_for_images.queries) == (3, 2, 2)


def test_a_row_that_fails_is_counted_and_left_out(
    tiny_clip: Path, tmp_path: Path, images: list[Path], seen: Any
) -> None:
    gone = images[0].parent / "gone.png"
    rows = [(text, images[a], images[b], style) for text, a, b, style in PAIRS]
    task = seen.pair_task(tmp_path, [*rows, ("a cat", images[0], gone, "x")])
    (one,) = retrieve(tiny_clip, task, device="cpu", progress=False).tasks
    assert (one.rows, one.failed, one.images_for_texts.gallery) == (4, 1, 6)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"by": "stile"}, "mine has no group 'stile': it has style. Did you mean \"style\""),
        ({"ks": (0,)}, "are 1 or more"),
        ({"neighbours": 0}, "are 1 or more"),
        ({"model_args": {"score": "clip-iqa"}}, "score=clip-iqa embeds no text of a row"),
    ],
)
def test_what_cannot_be_asked(given: dict[str, Any], message: str, tiny_clip: Path, task: Path) -> None:
    with pytest.raises(RmbenchError, match=message):
        retrieve(tiny_clip, task, device="cpu", progress=False, **given)


def test_a_model_without_embeddings_says_so(task: Path) -> None:
    with pytest.raises(RmbenchError, match="tiny-bt is of the family scalar, whose score is no inner product"):
        retrieve("tiny-bt", task, progress=False)
