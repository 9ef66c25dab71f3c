"""Opening: what is recognised, where the encoders come from, what is refused, and a run from end to end."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import rmbench
from rmbench.errors import RmbenchError
from rmbench.models.open import open_model
from rmbench.models.options import OpenOptions
from rmbench.records.store import find, read_rows

PROMPT = "a red house"


def test_a_denoiser_alone_takes_its_references_encoders(
    pipelines: Any, images: list[Path], made: SimpleNamespace, tmp_path: Path
) -> None:
    own, other = pipelines("sd15")
    alone = tmp_path / "alone"
    shutil.copytree(own / "unet", alone)
    row = made.pair("row", PROMPT, *images[:2])
    model = made.opened(alone, other)
    assert model.judge("t", row).rewards == made.opened(own, other).judge("t", row).rewards
    assert model.facts.settings["encoders"] == "ref"
    inside = tmp_path / "inside"  # as Diffusion-DPO's weights are on the hub
    shutil.copytree(own / "unet", inside / "unet")
    assert made.opened(inside, other).judge("t", row).rewards == model.judge("t", row).rewards
    named = made.opened(alone, score="mapo", pipeline=other)
    assert named.judge("t", row).status == "ok"
    with pytest.raises(RmbenchError, match="is a denoiser alone: name the pipeline"):
        made.opened(alone)
    with pytest.raises(RmbenchError, match="expected a pipeline of diffusers"):
        made.opened(alone, pipeline=alone)


def test_what_contradicts_is_refused(pipelines: Any, made: SimpleNamespace, tmp_path: Path) -> None:
    own, other = pipelines("sd15")
    flux, _ = pipelines("flux")
    sdv, _ = pipelines("sd-v")
    for wanted, said in (
        ({"score": "dpo"}, "score=dpo needs a reference: pass --ref-model"),
        ({"scores": "dpo"}, "Did you mean .?score"),
        ({"draws": 1}, "draws"),
        ({"timesteps": "3:1000"}, "expected steps from 0 to 999"),
        ({"timesteps": "uniformly"}, "timesteps"),
        ({"resolution": 33}, "expected a multiple of 2 pixels"),
    ):
        with pytest.raises(RmbenchError, match=said):
            made.opened(own, **wanted)
    for reference, wanted, said in (
        (other, {"score": "mapo"}, "score=mapo has no reference"),
        (own, {}, "is the policy itself, so every reward would be 0"),
        (flux, {}, "is FluxTransformer2DModel, and the policy UNet2DConditionModel"),
    ):
        with pytest.raises(RmbenchError, match=said):
            made.opened(own, reference, **wanted)
    with pytest.raises(RmbenchError, match=r"score=inpo inverts a prediction of noise.*v_prediction"):
        made.opened(sdv, other, score="inpo", pipeline=sdv)
    with pytest.raises(RmbenchError, match="--max-length 7: a diffusion model has no use for it"):
        open_model(str(own), OpenOptions(max_length=7))


def test_encoders_that_differ_are_refused_until_one_is_named(
    pipelines: Any, made: SimpleNamespace, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    own, other = pipelines("sd15")
    changed = made.copied(other, tmp_path / "changed")
    file = changed / "text_encoder" / "model.safetensors"
    save_file({name: tensor + 1 for name, tensor in load_file(file).items()}, file)
    with pytest.raises(RmbenchError, match=r"have not the same text_encoder.*pipeline=FOLDER"):
        made.opened(own, changed)
    assert made.opened(own, changed, pipeline=own).facts.settings["encoders"] == "own"


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_a_missing_tensor_is_never_invented(part: str, pipelines: Any, made: SimpleNamespace, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    own = made.copied(pipelines("sd15")[0], tmp_path / "copy")
    (file,) = (own / part).glob("*.safetensors")
    tensors = load_file(file)
    name = sorted(tensors)[0]
    save_file({key: tensor for key, tensor in tensors.items() if key != name}, file)
    with pytest.raises(RmbenchError, match=name.replace(".", r"\.")):
        made.opened(own)


def test_broken_pipelines_are_one_error(pipelines: Any, made: SimpleNamespace, tmp_path: Path) -> None:
    own, _ = pipelines("sd15")
    copy = made.copied(own, tmp_path / "copy")
    shutil.rmtree(copy / "tokenizer")
    with pytest.raises(RmbenchError, match="lacks tokenizer, parts that StableDiffusionPipeline needs"):
        made.opened(copy)
    copy = made.copied(own, tmp_path / "flow")
    (copy / "scheduler" / "scheduler_config.json").write_text(
        json.dumps({"_class_name": "FlowMatchEulerDiscreteScheduler"})
    )
    with pytest.raises(RmbenchError, match="the scheduler is FlowMatch"):
        made.opened(copy)
    copy = made.copied(own, tmp_path / "sample")
    (copy / "scheduler" / "scheduler_config.json").write_text(json.dumps({"prediction_type": "sample"}))
    with pytest.raises(RmbenchError, match="prediction_type 'sample' is not known here"):
        made.opened(copy)
    copy = made.copied(own, tmp_path / "class")
    config = json.loads((copy / "unet" / "config.json").read_text())
    (copy / "unet" / "config.json").write_text(json.dumps(config | {"_class_name": "UNet3DConditionModel"}))
    with pytest.raises(RmbenchError, match="It is a model of diffusers, UNet3DConditionModel; the denoisers"):
        made.opened(copy)


def test_rows_that_cannot_be_shown_fail_alone(pipelines: Any, images: list[Path], made: SimpleNamespace) -> None:
    model = made.opened(pipelines("sd15")[0], draws=2)
    gone = images[0].with_name("gone.png")
    failed = model.judge("t", made.pair("row", PROMPT, images[0], gone))
    assert failed.status == "failed"
    assert failed.error.startswith("candidate 1: ")
    assert "no text to compare" in model.judge("t", made.pair("row", " ", *images[:2])).error
    long = model.judge("t", made.pair("row", "red " * 30, *images[:2]))
    assert (long.status, long.truncated, long.lengths) == ("ok", (True, True), (31, 31))


def test_a_run_keeps_settings_and_errors(
    pipelines: Any, images: list[Path], made: SimpleNamespace, tmp_path: Path
) -> None:
    own, other = pipelines("flux")
    rows = [{"prompt": PROMPT, "chosen": str(images[0]), "rejected": str(images[1])}]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = tmp_path / "mine.toml"
    task.write_text(
        'id = "mine"\nversion = 1\ntitle = "Mine"\nfamily = "image"\nmodality = "image"\nshape = "pair"\nn = 1\n'
        "verified = false\n[[files]]\npaths = ['mine.jsonl']\n[media]\nroots = ['.']\n[columns]\nprompt = 'prompt'\n"
        "chosen = {column = 'chosen', form = 'image'}\nrejected = {column = 'rejected', form = 'image'}\n"
        "[rows]\nid = ['@row']\n[[metric]]\nname = 'accuracy'\nrule = 'pair'\nchance = 0.5\n"
    )
    for image in images[:2]:
        shutil.copy(image, tmp_path / image.name)
    rows = [{"prompt": PROMPT, "chosen": images[0].name, "rejected": images[1].name}]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    results = rmbench.run(
        str(own),
        str(task),
        adapter="diffusion",
        ref_model=str(other),
        model_args={"resolution": made.SIDE, "draws": 4},
        out=tmp_path / "out",
        device="cpu",
    )
    record = results.records[0]
    kept = record.model.settings
    assert {name: kept[name] for name in ("draws", "timesteps", "draws_seed", "posterior", "flip", "beta")} == {
        "draws": 4,
        "timesteps": "uniform",
        "draws_seed": 0,
        "posterior": "mode",
        "flip": False,
        "beta": 500.0,
    }
    assert record.run.versions["diffusers"]
    (folder,) = find(tmp_path / "out")
    (row,) = read_rows(folder)
    assert len(row.judgment.parts["standard_error"]) == 2
    assert record.results[0].low < record.results[0].high
