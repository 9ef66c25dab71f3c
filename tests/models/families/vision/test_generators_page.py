"""`rmbench generators` on folders of images, and the page `docs/generators.md` about it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import rmbench
from rmbench.errors import RmbenchError
from rmbench.records.store import find, read
from tests._make import exit_code
from tests.house.docs_pages import DOCS, blocks, commands, matches

GENERATORS = ("flux", "sd15", "sdxl")
PROMPTS = ("a red cube", "two cats", "a tree in the fog", "rain")
LONGER = ("a red cube, trending", "two cats", "a tree in the fog, 4k", "heavy rain at night")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory, seen: SimpleNamespace) -> Path:
    """The folder that the page speaks of: two models, prompts, and images of three generators."""
    root = tmp_path_factory.mktemp("generators")
    for seed, name in enumerate(("clip-a", "clip-b")):
        seen.save_open_clip(root / name)
        if seed:
            from safetensors.torch import save_file

            state = seen.tiny_model(seen.TINY, seed).state_dict()
            save_file(
                {key: value.contiguous() for key, value in state.items()}, root / name / "open_clip_model.safetensors"
            )
    (root / "prompts.txt").write_text("\n".join(PROMPTS))
    for g, generator in enumerate(GENERATORS):
        (root / "images" / generator).mkdir(parents=True)
        for k in range(len(PROMPTS)):
            seen.picture(root / "images" / generator / f"{k:04}.png", 10 * g + k)
    for g, generator in enumerate(GENERATORS[:2]):
        (root / "samples" / generator).mkdir(parents=True)
        for k in range(len(PROMPTS)):
            for sample in range(3 + g):
                seen.picture(root / "samples" / generator / f"{k}-{sample}.png", 100 * g + 10 * k + sample)
    for g, generator in enumerate(("original", "promptist")):
        (root / "rewrites" / generator).mkdir(parents=True)
        for k in range(len(PROMPTS)):
            seen.picture(root / "rewrites" / generator / f"{k}.png", 50 * g + k)
    lines = [f'"{prompt}","{longer}"' for prompt, longer in zip(PROMPTS, LONGER, strict=True)]
    (root / "rewrites.csv").write_text("\n".join(["prompt,longer", *lines]))
    return root


def cosine(folder: Path, prompt: str, image: Path) -> float:
    """open_clip's own towers, one image and one prompt at a time."""
    import open_clip
    from PIL import Image

    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    model.eval()
    with torch.inference_mode():
        shown = model.encode_image(preprocess(Image.open(image))[None], normalize=True)
        words = model.encode_text(open_clip.get_tokenizer("ViT-B-32")([prompt]), normalize=True)
    return float((shown @ words.T)[0, 0])


def ranked(work: Path, out: Path, **options: Any) -> Any:
    pattern = f"{work}/images/{{generator}}/{{prompt}}.png"
    models = [str(work / "clip-a"), str(work / "clip-b")]
    return rmbench.rank_generators(pattern, work / "prompts.txt", models, out=out, **options)


def test_means_are_those_of_the_towers(work: Path, tmp_path: Path) -> None:
    ranking = ranked(work, tmp_path)
    assert ranking.generators == GENERATORS
    assert (ranking.prompts, ranking.found, ranking.notes) == (4, 12, ())
    for name, standings in ranking.standings.items():
        for one in standings:
            own = [
                cosine(work / name, prompt, work / f"images/{one.generator}/{k:04}.png")
                for k, prompt in enumerate(PROMPTS)
            ]
            assert one.mean == pytest.approx(np.mean(own), abs=2e-5)
    groups = {value.group: value.value for value in read(find(tmp_path)[0]).results}
    first = next(iter(ranking.standings.values()))
    assert groups[f"generator={first[0].generator}"] == pytest.approx(first[0].mean)


def test_each_image_and_prompt_is_encoded_once(work: Path, tmp_path: Path) -> None:
    ranked(work, tmp_path)
    for place in find(tmp_path):
        engine = read(place).run.engine
        assert engine["requests"] == 24  # an image and a prompt for each of 12 rows
        assert engine["unique_rows"] == 16


def test_absent_and_broken_images_are_said_and_leave_their_prompts(
    work: Path, tmp_path: Path, seen: SimpleNamespace
) -> None:
    for generator in ("a", "b"):
        (tmp_path / "images" / generator).mkdir(parents=True)
        for k in range(4):
            seen.picture(tmp_path / "images" / generator / f"{k + 1}.png", k)
    (tmp_path / "images/a/2.png").unlink()
    (tmp_path / "images/b/3.png").write_bytes(b"GIF89a broken")
    (tmp_path / "prompts.txt").write_text("\n".join(PROMPTS))
    ranking = rmbench.rank_generators(
        f"{tmp_path}/images/{{generator}}/{{prompt}}.png",
        tmp_path / "prompts.txt",
        [str(work / "clip-a")],
        out=tmp_path / "out",
    )
    assert ranking.compared == {"clip-a": 2}
    assert [(one.generator, one.scored, one.mean) for one in ranking.standings["clip-a"]] == [
        ("a", 3, pytest.approx(ranking.standings["clip-a"][1].mean)),
        ("b", 3, pytest.approx(ranking.standings["clip-a"][0].mean)),
    ]
    missing, broken, compared = ranking.notes
    assert missing == "1 image is missing: a for 1."
    assert broken.startswith("clip-a: 1 image has no score: b @ 2 (")
    assert compared == "clip-a: generators are compared on the 2 prompts of which it scored every image."


def test_several_images_of_a_prompt_have_their_mean_and_their_best(work: Path, tmp_path: Path) -> None:
    models = [str(work / "clip-a"), str(work / "clip-b")]
    pattern = f"{work}/samples/{{generator}}/{{prompt}}-{{sample}}.png"
    ranking = rmbench.rank_generators(pattern, work / "prompts.txt", models, out=tmp_path)
    assert (ranking.found, ranking.notes) == (4 * 7, ("There are 3 to 4 images of a generator and a prompt.",))
    own = [
        [cosine(work / "clip-a", prompt, work / f"samples/flux/{k}-{sample}.png") for sample in range(3)]
        for k, prompt in enumerate(PROMPTS)
    ]
    other = [
        [cosine(work / "clip-b", prompt, work / f"samples/flux/{k}-{sample}.png") for sample in range(3)]
        for k, prompt in enumerate(PROMPTS)
    ]
    (flux,) = [one for one in ranking.standings["clip-a"] if one.generator == "flux"]
    assert flux.mean == pytest.approx(np.mean(own), abs=2e-5)
    curve = [one for one in ranking.best_of["clip-a"] if one.generator == "flux"]
    assert [one.n for one in curve] == [1, 2, 3]
    assert curve[0].mean == pytest.approx(flux.mean, abs=1e-6)
    pairs = [np.mean([max(row[a], row[b]) for a, b in ((0, 1), (0, 2), (1, 2))]) for row in own]
    assert curve[1].mean == pytest.approx(np.mean(pairs), abs=2e-5)
    assert curve[2].mean == pytest.approx(np.mean([max(row) for row in own]), abs=2e-5)
    kept = [theirs[int(np.argmax(row))] for row, theirs in zip(own, other, strict=True)]
    assert curve[2].others["clip-b"] == pytest.approx(np.mean(kept), abs=2e-5)


def test_rewritten_prompts_are_compared_by_the_models_own_tower(work: Path, tmp_path: Path) -> None:
    import open_clip

    pattern = f"{work}/rewrites/{{generator}}/{{prompt}}.png"
    ranking = rmbench.rank_generators(
        pattern, work / "rewrites.csv", [str(work / "clip-a")], rewritten={"promptist": "longer"}, out=tmp_path
    )
    model, _, _ = open_clip.create_model_and_transforms(f"local-dir:{work / 'clip-a'}")
    tokens = open_clip.get_tokenizer("ViT-B-32")
    with torch.inference_mode():
        one, two = (model.eval().encode_text(tokens(list(texts)), normalize=True) for texts in (PROMPTS, LONGER))
    assert ranking.similarity == {"clip-a": {"promptist": pytest.approx(float((one * two).sum(1).mean()), abs=1e-5)}}
    for given, why in (
        ({"promptis": "longer"}, 'no such generator.*"promptist"'),
        ({"promptist": "long"}, "a column long"),
    ):
        with pytest.raises(RmbenchError, match=why):
            rmbench.rank_generators(
                pattern, work / "rewrites.csv", [str(work / "clip-a")], rewritten=given, out=tmp_path / "other"
            )


def test_models_of_one_checkpoint_share_images_and_texts(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RMBENCH_CACHE", str(tmp_path / "cache"))
    ranked(work, tmp_path / "cosine")
    again = ranked(work, tmp_path / "logit", model_args={"score": "logit"})
    for name in ("clip-a", "clip-b"):
        assert f"{name}: 16 of 16 images, frames and texts were in the score cache" in "\n".join(again.notes)
    for place in find(tmp_path / "logit"):
        assert read(place).run.reused["cache"] == 16


def test_a_stopped_job_goes_on(work: Path, tmp_path: Path) -> None:
    first = ranked(work, tmp_path)
    again = ranked(work, tmp_path)
    assert again == first
    assert len(find(tmp_path)) == 2


def test_two_folders_of_one_name_have_records_of_their_own(work: Path, tmp_path: Path, seen: SimpleNamespace) -> None:
    (tmp_path / "prompts.txt").write_text(PROMPTS[0])
    found = []
    for place in ("x", "y"):
        (tmp_path / place / "images/g").mkdir(parents=True)
        seen.picture(tmp_path / place / "images/g/0.png", ord(place))
        pattern = f"{tmp_path / place}/images/{{generator}}/{{prompt}}.png"
        ranking = rmbench.rank_generators(
            pattern, tmp_path / "prompts.txt", [str(work / "clip-a")], out=tmp_path / "out"
        )
        found.append(ranking.standings["clip-a"][0].mean)
    assert found[0] != found[1]
    assert len(find(tmp_path / "out")) == 2
    assert len({link.resolve() for link in (tmp_path / "out/generators").iterdir() if link.is_symlink()}) == 2


def test_no_model_or_one_twice(work: Path, tmp_path: Path) -> None:
    for models in ([], ["tiny", "tiny"]):
        with pytest.raises(RmbenchError, match="Name at least one model, each once"):
            rmbench.rank_generators("x/{generator}/{prompt}", work / "prompts.txt", models, out=tmp_path)


def test_the_commands_of_the_page(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = DOCS / "generators.md"
    monkeypatch.chdir(work)
    monkeypatch.setenv("COLUMNS", "80")
    ran = 0
    for block in blocks(page, "sh"):
        for words in commands(block.code):
            if words[:1] == ["rmbench"] and not block.not_run:
                assert exit_code(*(name for word in words[1:] for name in matches(word))) == 0, words
                ran += 1
    assert ran == 5
    assert "Where they differ most" in (work / "sheet.html").read_text("utf-8")
    assert "data:image/" in (work / "rows.html").read_text("utf-8")
    capsys.readouterr()
    words = ["generators", "images/{generator}/{prompt}.png", "--prompts", "prompts.txt", "-m", "clip-a", "--json"]
    assert exit_code(*words) == 0
    assert set(json.loads(capsys.readouterr().out)["standings"]) == {"clip-a"}
