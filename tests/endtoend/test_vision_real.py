"""Real images and clips through the ordinary way: every row accounted for, and equal to a plain loop.

The weights are random, in HPSv2's layout: one torch file of open_clip's tensors under "state_dict". The plain loop is
open_clip's own, one picture and one text at a time, over upstream's files as they lie there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image

import rmbench
from rmbench.records.store import find, read_rows

pytestmark = pytest.mark.skipif(find_spec("open_clip") is None, reason="need open_clip (the extra clip)")

TINY = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 64, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
GENERATORS = {"cogvideo": "cogvideo", "text2video-zero": "text2video-zero", "damo-text2video": "videofusion"}
GENERATORS |= {"zeroscope": "zeroscope"}
"""FETV's names of its generators in the ratings -> of their folders of clips."""
PROMPT = "a painting of an ocean with clouds and birds, day time, low depth field effect"
"""Of the four images that ImageReward's README ranks 1, 2, 3, 4."""


class Plain:
    """A random model, saved as HPSv2 is, and the plain loop over it."""

    def __init__(self, folder: Path, name: str) -> None:
        import open_clip
        from open_clip.transform import PreprocessCfg, image_transform_v2

        config = open_clip.get_model_config(name)
        torch.manual_seed(0)
        self.folder, self.name, self.tokenize = folder, name, open_clip.tokenize
        self.model = open_clip.CLIP(**config).eval()
        torch.save({"state_dict": self.model.state_dict()}, folder / "HPS_v2_compressed.pt")
        self.transform: Any = image_transform_v2(PreprocessCfg(size=config["vision_cfg"]["image_size"]), is_train=False)
        self.seen: dict[Any, torch.Tensor] = {}

    def run(self, task: str, source: Path, out: Path, **options: Any) -> rmbench.Results:
        given = {"architecture": self.name, **options.pop("model_args", {})}
        return rmbench.run(str(self.folder), task, source=source, out=out, device="cpu", model_args=given, **options)

    def image(self, path: Path) -> torch.Tensor:
        return self._kept(path, lambda: Image.open(path).convert("RGB"))

    def frames(self, path: Path, indices: list[int]) -> torch.Tensor:
        with av.open(str(path)) as container:
            decoded = [frame.to_image() for frame in container.decode(video=0)]
        return torch.cat([self._kept((path, index), lambda index=index: decoded[index]) for index in indices])

    def text(self, text: str) -> torch.Tensor:
        if text not in self.seen:
            with torch.no_grad():
                self.seen[text] = self.model.encode_text(self.tokenize([text]), normalize=True)
        return self.seen[text]

    def _kept(self, key: Any, opened: Any) -> torch.Tensor:
        if key not in self.seen:
            with torch.no_grad():
                self.seen[key] = self.model.encode_image(self.transform(opened())[None], normalize=True)
        return self.seen[key]

    def score(self, pictures: torch.Tensor, text: str) -> float:
        return float((pictures @ self.text(text).T).mean())


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plain]:
    from open_clip import factory

    folder = tmp_path_factory.mktemp("tiny-hps")
    file = tmp_path_factory.mktemp("configs") / "rmbench-tiny-real.json"
    file.write_text(json.dumps(TINY))
    factory.add_model_config(file)
    yield Plain(folder, file.stem)
    factory._MODEL_CONFIG_PATHS.remove(file)
    factory._MODEL_CONFIGS.pop(file.stem)


def rows_of(out: Path) -> dict[str, Any]:
    (folder,) = find(out)
    return {row.id: row.judgment for row in read_rows(folder)}


def mj_bench(data: Path) -> dict[str, tuple[str, Path, Path]]:
    """Row -> caption and the two images, as MJ-Bench's files name them."""
    quality = data / "mj-bench" / "quality"
    found = {}
    for subset, kind in (("human", "human"), ("objects_indoor", "objects"), ("mpii", "mpii")):
        for index, row in enumerate(json.loads((quality / subset / f"captions_{kind}.json").read_text())):
            images = [quality / subset / f"examples_{subset}" / row[key] for key in ("image_0", "image_1")]
            found[f"{subset}/{index}"] = (row["caption"], images[0], images[1])
    return found


def check_mj_bench(plain: Plain, data: Path, judgments: Mapping[str, Any]) -> tuple[int, int]:
    """Compare every row; returns how many have a score and how many failed for want of their images."""
    rows = mj_bench(data)
    scored = failed = 0
    for name, judgment in judgments.items():
        caption, *images = rows[name]
        if judgment.status == "failed":
            assert not images[0].exists()
            assert judgment.error == f"candidate 0: media_rejected: image {images[0].name} is not here"
            failed += 1
            continue
        expected = [plain.score(plain.image(path), caption) for path in images]
        assert judgment.rewards == pytest.approx(expected, abs=1e-5), name
        scored += 1
    return scored, failed


def test_mj_bench_pairs(tiny: Plain, data: Path, tmp_path: Path) -> None:
    results = tiny.run("mj-bench-quality", data, tmp_path)
    (record,) = results.records
    assert (record.data.rows, record.counts.judged, record.counts.failed) == (420, 200, 220)
    assert check_mj_bench(tiny, data, rows_of(tmp_path)) == (200, 220)
    there = [row for row in mj_bench(data).values() if row[1].exists()]
    captions, images = {row[0] for row in there}, {path.read_bytes() for row in there for path in row[1:]}
    assert record.run.engine["unique_rows"] == len(captions) + len(images)
    assert record.model.family == "clip"
    assert record.model.settings["layout"] == "hpsv2"
    rewards = [judgment.rewards for judgment in rows_of(tmp_path).values() if judgment.status == "ok"]
    assert np.std(np.array(rewards)[:, 0]) > 1e-3


def one_row(data: Path, root: Path, broken: bool = False) -> Path:
    """ImageReward's four images as a test.json of upstream's schema."""
    folder = root / "imagereward" / "data"
    (folder / "test_images").mkdir(parents=True)
    names = [f"{index}.webp" for index in (1, 2, 3, 4)]
    for name in names:
        content = (data / "imagereward" / "assets" / "images" / name).read_bytes()
        (folder / "test_images" / name).write_bytes(content)
    rows = [{"id": "ocean", "prompt": PROMPT, "generations": names, "ranking": [1, 2, 3, 4]}]
    if broken:
        whole = (folder / "test_images" / "1.webp").read_bytes()
        (folder / "test_images" / "cut.webp").write_bytes(whole[: len(whole) // 2])
        rows.append({"id": "cut", "prompt": PROMPT, "generations": ["2.webp", "cut.webp"], "ranking": [1, 2]})
    (folder / "test.json").write_text(json.dumps(rows))
    return root


def check_imagereward(plain: Plain, data: Path, judgments: Mapping[str, Any]) -> None:
    images = [data / "imagereward" / "assets" / "images" / f"{index}.webp" for index in (1, 2, 3, 4)]
    expected = [plain.score(plain.image(path), PROMPT) for path in images]
    assert judgments["ocean"].rewards == pytest.approx(expected, abs=1e-5)


def test_imagereward_images_and_a_broken_one_beside_them(tiny: Plain, data: Path, tmp_path: Path) -> None:
    source = one_row(data, tmp_path / "source", broken=True)
    results = tiny.run("imagerewarddb", source, tmp_path / "out", allow_changed_data=True)
    judgments = rows_of(tmp_path / "out")
    check_imagereward(tiny, data, judgments)
    assert judgments["cut"].status == "failed"
    assert judgments["cut"].error.startswith("candidate 1: media_rejected: cut.webp: cannot be decoded")
    assert results.records[0].run.engine["unique_rows"] == 4 + 1 + 1  # images, the cut one, the prompt


def test_the_images_of_hpsv2_and_tifa(tiny: Plain, data: Path, tmp_path: Path) -> None:
    """HPSv2's demo image and TIFA's sample, under their own texts, as images of a generator."""
    sample = data / "tifa" / "sample"
    texts = {each["id"]: each["caption"] for each in json.loads((sample / "sample_text_inputs.json").read_text())}
    demo = ("A cat with two horns on its head", data / "hpsv2" / "hpsv2" / "assets" / "demo_image.jpg")
    dogs, surfer = ((texts[name], sample / f"{name}.jpg") for name in ("drawbench_52", "coco_301091"))
    rows = {"anime": demo, "concept-art": dogs, "paintings": demo, "photo": surfer}
    folder = tmp_path / "source" / "hpsv2-generators"
    for style, (text, image) in rows.items():
        (folder / "images" / style).mkdir(parents=True)
        (folder / "images" / style / "00000.jpg").write_bytes(image.read_bytes())
        (folder / f"{style}.json").write_text(json.dumps([text]))
    tiny.run("hpsv2-generators", tmp_path / "source", tmp_path / "out", allow_changed_data=True)
    judgments = rows_of(tmp_path / "out")
    for style, (text, image) in rows.items():
        expected = tiny.score(tiny.image(image), text)
        assert judgments[f"{style}/0"].rewards == pytest.approx([expected], abs=1e-5), style
    assert len({judgments[f"{style}/0"].rewards for style in rows}) == 3


def test_imagereward_rows_without_their_images(tiny: Plain, data: Path, tmp_path: Path) -> None:
    results = tiny.run("imagerewarddb", data, tmp_path)
    (record,) = results.records
    assert (record.data.rows, record.counts.judged, record.counts.failed) == (466, 0, 466)
    assert all("is not here" in judgment.error for judgment in rows_of(tmp_path).values())


def fetv(data: Path, root: Path) -> Path:
    """FETV without its reference videos, which are not here."""
    own, made = data / "fetv", root / "fetv"
    for annotator in ("human0", "human1", "human2"):
        (made / "manual_eval_results" / annotator).mkdir(parents=True)
        for name in GENERATORS:
            file = f"manual_eval_results/{annotator}/manual_eval_results_{name}.json"
            (made / file).symlink_to(own / file)
    for name in ("fetv_data.json", "clips"):
        (made / name).symlink_to(own / name)
    return root


def check_fetv(plain: Plain, data: Path, judgments: Mapping[str, Any], indices: list[int]) -> int:
    prompts = [json.loads(line)["prompt"] for line in (data / "fetv" / "fetv_data.json").read_text().splitlines()]
    scored = 0
    for name, judgment in judgments.items():
        clips = [data / "fetv" / "clips" / folder / f"{name}.mp4" for folder in GENERATORS.values()]
        if not clips[0].exists():
            assert judgment.status == "failed"
            assert "is not here" in judgment.error
            continue
        expected = [plain.score(plain.frames(clip, indices), prompts[int(name)]) for clip in clips]
        assert judgment.rewards == pytest.approx(expected, abs=1e-5), name
        scored += 1
    return scored


def test_fetv_clips(tiny: Plain, data: Path, tmp_path: Path) -> None:
    results = tiny.run("fetv", fetv(data, tmp_path / "source"), tmp_path / "out")
    (record,) = results.records
    assert (record.data.rows, record.counts.judged, record.counts.failed) == (619, 17, 602)
    assert check_fetv(tiny, data, rows_of(tmp_path / "out"), list(range(16))) == 17
    assert record.model.settings["frames"] == "uniform:16"
    assert int(record.run.engine["unique_rows"]) <= 68 * 16 + 17


def test_all_image_tasks_of_the_samples(tiny: Plain, tmp_path: Path) -> None:
    """Tasks whose candidates are texts are skipped, with the reason."""
    results = tiny.run("modality=image", "sample", tmp_path)  # type: ignore[arg-type]
    of_texts = {"vl-rewardbench", "multimodal-rewardbench", "rlhf-v", "povid", "re-align", "visualprocessbench"}
    of_texts |= {"decapbench"}
    assert {skipped.task for skipped in results.skipped} == of_texts
    assert all("its candidates are texts" in skipped.why for skipped in results.skipped)
    assert len(results.records) == 16
    for record in results.records:
        assert record.counts.judged + record.counts.failed == record.data.rows > 0, record.task.id
        if record.task.id == "mmrb2":  # of whose answers some are texts, or show several images
            assert all("holds 2 images" in row.why or "the candidate is text" in row.why for row in record.failed)
        else:
            assert not record.failed, record.task.id


@pytest.mark.slow
def test_a_real_vit_b_32(data: Path, tmp_path: Path) -> None:
    """151 million random weights in HPSv2's layout, on some of the same rows."""
    (tmp_path / "hps").mkdir()
    plain = Plain(tmp_path / "hps", "ViT-B-32")
    results = plain.run("mj-bench-quality", data, tmp_path / "mj", limit=24)
    scored, failed = check_mj_bench(plain, data, rows_of(tmp_path / "mj"))
    assert scored + failed == 24
    assert scored > 5
    assert results.records[0].model.parameters == 151_277_313
    source = one_row(data, tmp_path / "source")
    plain.run("imagerewarddb", source, tmp_path / "ir", allow_changed_data=True)
    check_imagereward(plain, data, rows_of(tmp_path / "ir"))
    source = fetv(data, tmp_path / "videos")
    plain.run("fetv", source, tmp_path / "fetv", model_args={"frames": "uniform:1"})
    assert check_fetv(plain, data, rows_of(tmp_path / "fetv"), [0]) == 17
