"""A tiny checkpoint of every family passes, each as its own tests write it in upstream's layout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from rmbench.check.report import CheckReport
from tests.models.families.pairwise import conftest as pairwise
from tests.models.families.scalar import conftest as scalar
from tests.models.families.scalar import test_scalar_segments
from tests.models.families.vl import conftest as vl
from tests.models.families.vl import test_vl_layouts, test_vl_mj_video, test_vl_mm_rlhf, test_vl_videoscore2

Checked = Callable[..., CheckReport]
TEXT = {"load", "memory", "answers", "finite", "template", "bos", "truncation", "determinism", "batching", "padding"}
TEXT |= {"pooling", "order", "spread", "dtype"}
IMAGES = TEXT - {"template", "bos", "pooling"} | {"media"}


def sound(report: CheckReport, ran: set[str]) -> None:
    """It passed, and nothing was left out that could be tried."""
    assert report.passed, [(one.name, one.line) for one in report.checks if one.status == "fail"]
    assert {one.name for one in report.checks if one.status == "pass"} - {"sharing"} == ran


@pytest.mark.parametrize(
    "name",
    ["openrlhf", "grm", "beaver-cost", "armorm", "qrm-gemma2", "ldl", "nemotron-hf", "oasst, mean", "odin"],
)
def test_declared_heads(name: str, tiny: SimpleNamespace, tmp_path: Path, checked: Checked, lines: Any) -> None:
    case = scalar.CASES[name]
    folder, _ = scalar.save(tmp_path / "model", case, tiny)
    report = checked(str(folder), adapter=case.adapter)
    sound(report, TEXT)
    assert "padded positions are not read" in lines(report)["pooling"].line
    assert ("long is refused" in lines(report)["answers"].line) == bool(case.gate)  # cut before the gate's header


@pytest.mark.parametrize("more", [{}, {"prompt": 0}])
def test_general_preference_models(
    more: dict[str, Any], save_gpm: Any, tmp_path: Path, checked: Checked, lines: Any
) -> None:
    report = checked(str(save_gpm(tmp_path / "gpm", **more)))
    sound(report, TEXT)
    assert "by margins" in lines(report)["answers"].line
    assert "antisymmetric" in lines(report)["order"].line
    assert "do not score as their prefixes" in lines(report)["pooling"].line


@pytest.mark.parametrize("reference", [False, True])
def test_implicit_rewards(reference: bool, policy: Any, tmp_path: Path, checked: Checked) -> None:
    against = {"ref_model": str(policy(tmp_path / "reference", seed=1))} if reference else {}
    sound(checked(str(policy(tmp_path / "policy")), adapter="implicit", **against), TEXT)


@pytest.mark.parametrize("layout", ["pairrm", "slic", "steamshp"])
def test_pairs(layout: str, tiny: SimpleNamespace, tmp_path: Path, checked: Checked, lines: Any) -> None:
    save = {"pairrm": pairwise.pairrm, "slic": pairwise.causal, "steamshp": pairwise.t5}[layout]
    short = {"model_args": {"source_length": "128", "candidate_length": "64"}}
    options = short if layout == "pairrm" else {"adapter": layout}
    report = checked(str(save(tmp_path / "model", tiny)), **options)
    sound(report, TEXT)
    assert "run in both orders" in lines(report)["order"].line
    assert lines(report)["order"].figures["asymmetry"] > 0  # no such model is antisymmetric by itself


def test_segments(tiny: SimpleNamespace, tmp_path: Path, checked: Checked) -> None:
    folder = test_scalar_segments.save(tmp_path / "deberta", tiny, "deberta")
    sound(checked(str(folder), model_args={"segments": "pair"}), TEXT)


@pytest.mark.parametrize("library", ["open_clip", "transformers"])
def test_clip(library: str, tmp_path: Path, checked: Checked, lines: Any) -> None:
    pytest.importorskip("open_clip")
    from tests.models.families.vision import conftest as vision

    save = {"open_clip": vision.save_open_clip, "transformers": vision.save_transformers}[library]
    save(tmp_path / "clip")
    report = checked(str(tmp_path / "clip"))
    sound(report, IMAGES)
    assert "a prompt of 280 words is truncated" in lines(report)["truncation"].line
    assert "a broken image is one failed row" in lines(report)["media"].line


def test_image_reward(tmp_path: Path, checked: Checked) -> None:
    pytest.importorskip("open_clip")
    from tests.models.families.vision import test_blip_imagereward

    test_blip_imagereward.save(tmp_path / "blip")
    sound(checked(str(tmp_path / "blip")), IMAGES | {"pooling"})


def test_gates_over_the_frames_of_a_video(tmp_path: Path, checked: Checked) -> None:
    vl.save(tmp_path / "mj", "internvl", test_vl_mj_video.tensors())
    (tmp_path / "chat.jinja").write_text(test_vl_mj_video.CHAT)
    report = checked(str(tmp_path / "mj"), adapter="mj-video", template=tmp_path / "chat.jinja")
    assert not report.failed, report.checks
    assert {each.name for each in report.checks if each.status == "pass"} >= {"batching", "padding", "media", "order"}


def test_a_score_behind_a_critique(tmp_path: Path, checked: Checked) -> None:
    given = test_vl_mm_rlhf.saved(tmp_path / "model")[-1]
    report = checked(str(tmp_path / "model"), model_args={"prompt": str(given), "critique_tokens": "6"})
    assert not report.failed, report.checks
    passed = {each.name for each in report.checks if each.status == "pass"}
    assert passed >= {"template", "batching", "padding", "media", "determinism"}


def test_scores_that_the_model_writes(tmp_path: Path, checked: Checked) -> None:
    """The most probable digit jumps, so that low precision turns more pairs of a tiny model than of their mean."""
    folder, words = test_vl_videoscore2.saved(tmp_path / "model")
    given = {"prompt": str(words), "reply_tokens": "12", "temperature": "0", "scores": "weighted"}
    report = checked(str(folder), adapter="videoscore2", model_args=given)
    assert not report.failed, report.checks
    passed = {each.name for each in report.checks if each.status == "pass"}
    assert passed >= {"batching", "padding", "media", "determinism"}


@pytest.mark.parametrize("kind", ["qwen2.5-vl", "llava-onevision"])
def test_vision_language(kind: str, tmp_path: Path, checked: Checked, lines: Any) -> None:
    vl.save(tmp_path / "vl", kind, {"score.weight": vl.linear_head()})
    report = checked(str(tmp_path / "vl"))
    sound(report, TEXT - {"truncation"} | {"media"})
    assert "another picture in the prompt changes scores" in lines(report)["media"].line
    assert "18 of 19 probes" in lines(report)["answers"].line  # texts, images, prompts that show them, and a clip


def test_a_policy_that_sees(tmp_path: Path, checked: Checked, lines: Any) -> None:
    """Its probes have answers in text; the broken image is a prompt's."""
    for seed, name in enumerate(("policy", "reference")):
        vl.save(tmp_path / name, "qwen2-vl", {}, seed=seed)
    report = checked(str(tmp_path / "policy"), ref_model=str(tmp_path / "reference"))
    sound(report, TEXT - {"truncation", "sharing"} | {"media"})
    assert "a broken image is one failed row" in lines(report)["media"].line
    assert "another picture in the prompt changes scores" in lines(report)["media"].line


def test_a_vision_language_model_of_pictures_alone(tmp_path: Path, checked: Checked, lines: Any) -> None:
    vl.save(tmp_path / "hpsv3", "qwen2-vl", test_vl_layouts.ranknet("rm_head"))
    (tmp_path / "words").write_text(test_vl_layouts.WORDS)
    small = {"prompt": str(tmp_path / "words"), "min_pixels": "6272", "max_pixels": "6272"}
    report = checked(str(tmp_path / "hpsv3"), model_args=small)
    sound(report, IMAGES - {"truncation"} | {"pooling"})
    assert "5 of 6 probes" in lines(report)["answers"].line


def test_a_model_that_does_not_look_at_the_prompts_picture(
    tmp_path: Path, checked: Checked, lines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rmbench.models.families.vl.backbone import VisionBackbone
    from rmbench.models.families.vl.features import Features

    vl.save(tmp_path / "vl", "qwen2-vl", {"score.weight": vl.linear_head()})
    seeing = VisionBackbone._encode
    monkeypatch.setattr(
        VisionBackbone, "_encode", lambda self, shown: Features(torch.zeros_like(seeing(self, shown).pooled))
    )
    monkeypatch.setattr(VisionBackbone, "row_positions", lambda self, row: torch.arange(len(row.ids)).expand(3, -1))
    small = {"min_pixels": "784", "max_pixels": "784"}  # one place for a picture of any shape
    line = lines(checked(str(tmp_path / "vl"), model_args=small))["media"]
    assert (line.status, line.line) == ("fail", "answers score the same whichever picture their prompt shows")
