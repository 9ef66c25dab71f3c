"""Cards of image scorers: settings their families know, and repositories that hold several checkpoints."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from rmbench import resources
from rmbench.errors import RmbenchError
from rmbench.models.card import card_for, cards
from rmbench.models.checkpoint import hub
from rmbench.models.checkpoint.hub import Download
from rmbench.models.families.vision.blip.open import BlipSettings
from rmbench.models.families.vision.blip.open_matching import MatchingSettings
from rmbench.models.families.vision.clip.architecture import named_config
from rmbench.models.families.vision.clip.open import ClipSettings
from rmbench.models.families.vqa.family import VQA
from rmbench.models.families.vqa.settings import VqaSettings, read_question
from rmbench.models.open import OpenOptions, open_model

pytestmark = pytest.mark.skipif(find_spec("open_clip") is None, reason="need open_clip (the extra clip)")

NAMES = {"hpsv2", "hpsv2.1", "pickscore", "clipscore", "laion-aesthetic", "imagereward", "blip2-t", "blip2-itm-vit-g"}


def test_cards_have_settings_that_their_families_know() -> None:
    own = {name: card for name, card in cards().items() if card.family in ("clip", "blip")}
    assert own.keys() >= NAMES
    for card in own.values():
        assert card.dtype == "float32"
        assert not card.verified
        if card.family == "blip":
            schema = MatchingSettings if card.layout in ("blip-itm", "blip2-itm") else BlipSettings
            schema.model_validate(card.settings)
            continue
        settings = ClipSettings.model_validate(card.settings)
        if settings.architecture is not None:
            assert named_config(settings.architecture)["embed_dim"] == 1024


def test_cards_of_models_that_are_asked() -> None:
    own = {name: card for name, card in cards().items() if card.family == "vqa"}
    assert own.keys() == {
        f"{kind}-{size}" for kind in ("clip-flant5", "instructblip-flan-t5") for size in ("xl", "xxl")
    }
    for card in own.values():
        settings = VqaSettings.model_validate(card.settings)
        assert read_question(settings.question)
        assert card.layout in VQA.layouts
        assert not card.verified


def test_a_repository_of_two_checkpoints_is_named_by_its_cards() -> None:
    assert {cards()[name].hub for name in ("hpsv2", "hpsv2.1")} == {"xswu/HPSv2"}
    with pytest.raises(RmbenchError, match=r"xswu/hpsv2 holds several checkpoints; name the card: hpsv2, hpsv2\.1"):
        card_for("xswu/hpsv2")


CARD = """
name = "{name}"
hub = "org/two"
weights = "{weights}"
family = "clip"
settings = {{ architecture = "{architecture}" }}
verified = false
"""


def test_each_card_opens_its_own_file(
    tmp_path: Path, tiny_registered: str, monkeypatch: pytest.MonkeyPatch, seen: Any
) -> None:
    shelf, store = tmp_path / "shelf" / "models", tmp_path / ("c" * 40)
    shelf.mkdir(parents=True)
    store.mkdir()
    for index, name in enumerate(("one", "two")):
        card = CARD.format(name=name, weights=f"{name}.pt", architecture=tiny_registered)
        (shelf / f"{name}.toml").write_text(card)
        torch.save({"state_dict": seen.tiny_model(seed=index).state_dict()}, store / f"{name}.pt")
    asked: list[Any] = []

    def download(
        name: str, revision: str | None, *, code: bool = False, weights: str | None = None, **_: Any
    ) -> Download:
        asked.append((name, weights))
        return Download(store, store.name)

    monkeypatch.setattr(resources, "leaderboards", lambda: shelf.parent)
    monkeypatch.setattr(hub, "download", download)
    first, second = (open_model(name, OpenOptions(device="cpu")).facts for name in ("one", "two"))
    assert asked == [("org/two", "one.pt"), ("org/two", "two.pt")]
    assert (first.name, second.name) == ("org/two/one.pt", "org/two/two.pt")
    assert first.fingerprint != second.fingerprint
    (shelf / "three.toml").write_text(CARD.format(name="three", weights="two.pt", architecture=tiny_registered))
    with pytest.raises(RmbenchError, match="org/two has a card already"):
        cards()


def test_only_the_named_weights_are_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def snapshot(name: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append(allow_patterns)
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    hub.download("org/two", None, weights="two.pt")
    assert len(asked) == 1
    assert "two.pt" in asked[0]
    assert not any(pattern.endswith((".safetensors", ".bin")) for pattern in asked[0])
    hub.download("org/one", None)
    assert "open_clip_pytorch_model.bin" in asked[-1]
