"""Rewards of one checkpoint share what its towers make of pictures and texts; pictures are decoded ahead in threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from rmbench.engine.interfaces import EngineOptions
from rmbench.engine.judge import Judging, judge
from rmbench.engine.known import model_key
from rmbench.models.families.vision.clip.scorer import ClipScorer
from rmbench.models.families.vision.shown import Decoded, Picture
from rmbench.models.open import OpenOptions, open_model
from rmbench.models.protocols import DecodingScorer, TowerScorer
from tests.models.families.vision.test_clip_scorer import Counted, counted


class Cache:
    """A score cache in memory."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, str], str] = {}

    def get(self, fingerprint: str, keys: Sequence[str]) -> Mapping[str, str]:
        return {key: self.held[fingerprint, key] for key in keys if (fingerprint, key) in self.held}

    def put(self, fingerprint: str, results: Mapping[str, str]) -> None:
        self.held.update({(fingerprint, key): text for key, text in results.items()})


def opened(folder: Path, **settings: str) -> Counted:
    model = open_model(str(folder), OpenOptions(device="cpu", model_args=settings))
    assert isinstance(model, ClipScorer)
    return counted(model)


def judged(scorer: Any, examples: Any, cache: Cache | None = None, rows: int | None = None) -> Judging:
    options = EngineOptions(batch_rows=rows, try_batches=False)
    return judge("task", examples, scorer, options=options, cache=cache)


@pytest.fixture
def examples(images: list[Path], seen: Any) -> Any:
    return [
        seen.example(str(k), text, *map(seen.shown, images)) for k, text in enumerate(("a cat", "two dogs", "a tree"))
    ]


def test_rewards_of_one_checkpoint_encode_each_picture_and_text_once(
    tiny_clip: Path, examples: Any, tmp_path: Path
) -> None:
    torch.save({"weight": torch.ones(1, 32), "bias": torch.zeros(1)}, tmp_path / "head.pt")
    cache = Cache()
    settings: list[dict[str, str]] = [
        {},
        {"score": "logit"},
        {"score": "clipscore", "prefix": ""},
        {"score": "aesthetic", "head": str(tmp_path / "head.pt")},
        {"score": "clipscore"},
    ]
    computed, found = [], []
    for own in settings:
        scorer = opened(tiny_clip, **own)
        assert isinstance(scorer, TowerScorer)
        judging = judged(scorer, examples, cache)
        computed.append(sum(map(len, scorer.rows)))
        found.append([judgment.rewards for judgment in judging.judgments])
        alone = judged(opened(tiny_clip, **own), examples)
        assert found[-1] == [judgment.rewards for judgment in alone.judgments]
    # Six pictures and three texts; behind a prefix the texts are others.
    assert computed == [9, 0, 0, 0, 3]
    assert len({str(each) for each in found}) == 5


def test_other_weights_and_dtypes_share_nothing(tiny_clip: Path, tmp_path: Path, seen: Any) -> None:
    from safetensors.torch import save_file

    seen.save_open_clip(tmp_path / "other")
    state = seen.tiny_model(seen.TINY, 1).state_dict()
    save_file(
        {name: value.contiguous() for name, value in state.items()}, tmp_path / "other/open_clip_model.safetensors"
    )
    half = open_model(str(tiny_clip), OpenOptions(device="cpu", dtype="bfloat16"))
    assert isinstance(half, ClipScorer)
    keys = {model_key(each) for each in (opened(tiny_clip), opened(tmp_path / "other"), half)}
    assert len(keys) == 3
    assert model_key(opened(tiny_clip)) == model_key(opened(tiny_clip, score="logit"))


def test_pictures_are_decoded_ahead_in_other_threads(tiny_clip: Path, examples: Any, monkeypatch: Any) -> None:
    scorer = opened(tiny_clip)
    assert isinstance(scorer, DecodingScorer)
    decoders: set[str] = set()
    waiting: list[int] = []
    held = threading.Semaphore(0)
    plain = ClipScorer.decoded

    def decoded(self: ClipScorer, rows: Any) -> Any:
        decoders.add(threading.current_thread().name)
        made = plain(self, rows)
        held.release()
        return made

    def forward(self: ClipScorer, batch: Any) -> Any:
        assert threading.current_thread() is threading.main_thread()
        pictures = [row.payload for row in batch.rows if isinstance(row.payload, Picture)]
        assert all(isinstance(picture, Decoded) for picture in pictures)
        if pictures:
            end = time.monotonic() + 5
            while held._value < 2 and time.monotonic() < end:  # the next ones come while this one is computed
                time.sleep(0.001)
            waiting.append(held._value)
        return ClipScorer.forward(replace_without_count(self), batch)

    def replace_without_count(scorer: ClipScorer) -> ClipScorer:
        return ClipScorer(**{name: getattr(scorer, name) for name in ClipScorer.__dataclass_fields__})

    monkeypatch.setattr(ClipScorer, "decoded", decoded)
    monkeypatch.setattr(Counted, "forward", forward)
    judging = judged(scorer, examples, rows=1)
    assert decoders
    assert threading.main_thread().name not in decoders
    assert waiting[0] >= 2
    monkeypatch.undo()
    together = judged(opened(tiny_clip), examples)
    for one, other in zip(judging.judgments, together.judgments, strict=True):
        assert one.rewards == pytest.approx(other.rewards, abs=1e-6)


def test_a_broken_picture_fails_its_rows_alone(
    tiny_clip: Path, examples: Any, images: list[Path], tmp_path: Path, seen: Any
) -> None:
    (tmp_path / "broken.png").write_bytes(images[0].read_bytes()[:60])
    broken = seen.example("broken", "a cat", seen.shown(images[0]), seen.shown(tmp_path / "broken.png"))
    scorer = opened(tiny_clip)
    judging = judged(scorer, [*examples, broken])
    assert [judgment.status for judgment in judging.judgments] == ["ok", "ok", "ok", "failed"]
    assert "broken.png: cannot be decoded" in judging.judgments[3].error
