"""The table of systems on real images and clips under towers of random weights: every file accounted for, scores and
means those of plain loops over open_clip."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import rmbench
from rmbench.media import FrameRule, chosen_frames, read_frames
from rmbench.records.store import find, read, read_rows
from tests.models.families.vision.test_clip_scorer import Plain

pytestmark = pytest.mark.slow

FETV = ("cogvideo", "text2video-zero", "videofusion", "zeroscope")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, seen: Any) -> dict[str, Plain]:
    """Folder -> its model by itself."""
    from safetensors.torch import save_file

    found = {}
    for seed in range(2):
        folder = tmp_path_factory.mktemp("towers") / f"random-{seed}"
        seen.save_open_clip(folder)
        model = seen.tiny_model(seen.TINY, seed)
        state = {name: value.contiguous() for name, value in model.state_dict().items()}
        save_file(state, folder / "open_clip_model.safetensors")
        found[str(folder)] = Plain(model)
    return found


def scores_of(out: Path, model: str) -> dict[str, float]:
    """Row -> reward, of the record of a model."""
    (place,) = [place for place in find(out) if read(place).model.name == Path(model).name]
    return {row.id: float((row.judgment.rewards or (np.nan,))[0]) for row in read_rows(place)}


def compared(ranking: Any, model: str, by_hand: dict[tuple[str, str], float], out: Path) -> None:
    """The table against scores by hand: (generator, prompt) -> score."""
    found = scores_of(out, model)
    assert found == pytest.approx({f"{g} @ {key}": score for (g, key), score in by_hand.items()}, abs=1e-5)
    for one in ranking.standings[Path(model).name]:
        own = [score for (g, _), score in by_hand.items() if g == one.generator]
        assert one.mean == pytest.approx(np.mean(own), abs=1e-5)
        assert one.scored == len(own)


def test_images_of_imagereward_and_both_sides_of_mj_bench(data: Path, models: dict[str, Plain], tmp_path: Path) -> None:
    texts = {}
    for kind, folder in (("human", "examples_human"), ("objects_indoor", "examples_objects_indoor")):
        (captions,) = (data / "mj-bench/quality" / kind).glob("captions_*.json")
        for k, row in enumerate(json.loads(captions.read_text())):
            texts[f"{kind}-{k}"] = row["caption"]
            for side, system in (("image_0", "original"), ("image_1", "edited")):
                target = tmp_path / "images" / system / f"{kind}-{k}.jpg"
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(data / "mj-bench/quality" / kind / folder / row[side], target)
    assert len(texts) == 200
    lines = [json.dumps({"id": key, "prompt": text}) for key, text in texts.items()]
    (tmp_path / "prompts.jsonl").write_text("\n".join(lines))
    pattern = f"{tmp_path}/images/{{generator}}/{{prompt}}.jpg"
    ranking = rmbench.rank_generators(pattern, tmp_path / "prompts.jsonl", list(models), out=tmp_path / "out")
    assert (ranking.found, ranking.prompts, ranking.generators) == (400, 200, ("edited", "original"))
    assert ranking.notes == ()
    assert set(ranking.compared.values()) == {200}
    for model, plain in models.items():
        by_hand = {
            (system, key): plain.cosine(tmp_path / "images" / system / f"{key}.jpg", text)
            for system in ranking.generators
            for key, text in texts.items()
        }
        compared(ranking, model, by_hand, tmp_path / "out")
        won = np.mean([by_hand["original", key] > by_hand["edited", key] for key in texts])
        (win,) = [win for win in ranking.wins[Path(model).name] if win.winner == "original"]
        assert win.share == pytest.approx(won)


def test_images_of_imagereward_as_samples(data: Path, models: dict[str, Plain], tmp_path: Path) -> None:
    text = "a painting of an ocean with clouds and birds, day time, low depth field effect"
    (tmp_path / "prompts.txt").write_text(text)
    for k in range(4):
        target = tmp_path / "images/any" / f"0-{k}.webp"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(data / f"imagereward/assets/images/{k + 1}.webp", target)
    pattern = f"{tmp_path}/images/{{generator}}/{{prompt}}-{{sample}}.webp"
    ranking = rmbench.rank_generators(pattern, tmp_path / "prompts.txt", list(models), out=tmp_path / "out")
    for model, plain in models.items():
        own = [plain.cosine(Image.open(tmp_path / f"images/any/0-{k}.webp").convert("RGB"), text) for k in range(4)]
        curve = ranking.best_of[Path(model).name]
        assert [one.n for one in curve] == [1, 2, 3, 4]
        assert (curve[0].mean, curve[3].mean) == pytest.approx((np.mean(own), max(own)), abs=1e-5)


def test_clips_of_fetv(data: Path, models: dict[str, Plain], tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (data / "fetv/fetv_data.json").read_text("utf-8").splitlines()]
    places = sorted(int(path.stem) for path in (data / "fetv/clips/zeroscope").glob("*.mp4"))
    texts = {str(place): rows[place]["prompt"] for place in places}
    lines = [json.dumps({"id": key, "prompt": text}) for key, text in texts.items()]
    (tmp_path / "prompts.jsonl").write_text("\n".join(lines))
    pattern = f"{data}/fetv/clips/{{generator}}/{{prompt}}.mp4"
    ranking = rmbench.rank_generators(pattern, tmp_path / "prompts.jsonl", list(models), out=tmp_path / "out")
    assert (ranking.kind, ranking.found, ranking.prompts, ranking.generators) == ("video", 68, 17, FETV)
    frames: dict[tuple[str, str], list[Image.Image]] = {}
    for system in FETV:
        for key in texts:
            path = data / "fetv/clips" / system / f"{key}.mp4"
            indices = chosen_frames(path, FrameRule.of("uniform:16"))
            frames[system, key] = [image for _, image in read_frames(path, indices)]
    for model, plain in models.items():
        by_hand = {}
        for (system, key), images in frames.items():
            with torch.no_grad():
                pixels = torch.stack([plain.transform(image) for image in images])
                shown = plain.model.encode_image(pixels, normalize=True)
                read_text = plain.model.encode_text(plain.tokenizer([texts[key]]), normalize=True)
            by_hand[system, key] = float((shown @ read_text.T).mean())
        compared(ranking, model, by_hand, tmp_path / "out")
