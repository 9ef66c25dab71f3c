"""The scores are the library's own, whatever the batch, the padding, and what was computed before."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import Any

import pytest
import torch
from PIL import Image, ImageSequence

from rmbench.engine.interfaces import SilentProgress
from rmbench.engine.judge import judge
from rmbench.models.backbone.lean import lean_layers
from rmbench.models.families.vl.rows import shared_length
from rmbench.models.open import open_model
from rmbench.models.options import OpenOptions
from rmbench.models.protocols import Sharing

PACKED, PADDED = Sharing(True, ""), Sharing(False, "")
EXACT = 1e-5


def opened(folder: Any, **args: Any) -> Any:
    return open_model(
        str(folder), OpenOptions(device="cpu", model_args={key: str(value) for key, value in args.items()})
    )


@pytest.fixture(scope="module")
def rows(vl: Any, shown: Any) -> Any:
    """Requests of one image, two, none, a wide one, and a clip."""
    return [
        vl.request([shown.square, "Is it red?"], "Yes, a red disc."),
        vl.request(["Which of the two? ", shown.wide, shown.tall], "The wide one is better, I think."),
        vl.request(["Why is it better?"], "Because."),
        vl.request([shown.tall, "Is it red?"], "No."),
        vl.request([shown.clip, "What moves?"], "Nothing."),
    ]


def of_library(scored: Any, requests: Any) -> list[float]:
    """Rewards by the library's processor and forward, one row at a time."""
    found = []
    for one in requests:
        turns, images, clips = [], [], []
        for message in one.conversation:
            content = []
            for part in message.parts:
                content.append({"type": part.kind, "text": part.text} if part.kind == "text" else {"type": part.kind})
                if part.kind == "image":
                    images.append(Image.open(part.path).convert("RGB"))
                if part.kind == "video":
                    clips.append(part.path)
            turns.append({"role": message.role, "content": content})
        text = scored.processor.tokenizer.apply_chat_template(turns, tokenize=False)
        inputs = scored.processor(
            text=[text], images=images or None, return_tensors="pt", **(_clip(clips[0]) if clips else {})
        )
        with torch.no_grad():
            hidden = scored.model.model(**inputs).last_hidden_state
        found.append(float(hidden[0, -1] @ scored.head[0]))
    return found


def _clip(path: str) -> dict[str, Any]:
    import numpy as np
    from transformers.video_utils import VideoMetadata

    with Image.open(path) as clip:
        frames = [np.array(frame.convert("RGB")) for frame in ImageSequence.Iterator(clip)]
    count = len(frames)
    metadata = VideoMetadata(total_num_frames=count, fps=2.0, duration=count / 2, frames_indices=list(range(count)))
    return {"videos": [np.stack(frames)], "videos_kwargs": {"do_sample_frames": False, "video_metadata": [metadata]}}


@pytest.fixture(scope="module")
def scorer(scored: Any) -> Any:
    return opened(scored.folder)


def fresh(scorer: Any, **changes: Any) -> Any:
    """The scorer with nothing kept from earlier rows."""
    backbone = replace(scorer.backbone, encoded=0, _held=OrderedDict(), _placed={}, **changes)
    return replace(scorer, backbone=backbone)


def test_one_by_one_they_are_the_librarys(scored: Any, scorer: Any, rows: Any, vl: Any) -> None:
    ours = [vl.score(scorer, [row])[0] for row in scorer.encode(rows)]
    assert ours == pytest.approx(of_library(scored, rows), abs=EXACT)
    assert max(ours) - min(ours) > 0.1


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("packs", [True, False])
def test_a_batch_gives_what_each_row_gives_alone(scorer: Any, rows: Any, vl: Any, side: str, packs: bool) -> None:
    encoded = scorer.encode(rows)
    alone = [vl.score(fresh(scorer, _tried=PADDED), [row])[0] for row in encoded]
    assert fresh(scorer).backbone.packs
    assert vl.score(fresh(scorer, _tried=PACKED if packs else PADDED), encoded, side) == pytest.approx(alone, abs=EXACT)
    assert vl.score(fresh(scorer, _tried=PACKED if packs else PADDED), encoded[::-1], side) == pytest.approx(
        alone[::-1], abs=EXACT
    )


def test_a_shared_prompt_with_its_pictures_is_computed_once_at_equal_scores(
    scorer: Any, vl: Any, shown: Any, packed_tokens: list[int]
) -> None:
    answers = ["Yes.", "No, it is a blue square, and a large one.", "Perhaps"]
    encoded = scorer.encode([vl.request([shown.wide, "Is it red?", shown.clip, "Well?"], one) for one in answers])
    apart = fresh(scorer, share=False)
    plain = [vl.score(apart, [row])[0] for row in encoded]
    assert len({row.kind for row in encoded}) == 1
    once = fresh(scorer)
    packed_tokens.clear()
    assert vl.score(once, encoded) == pytest.approx(plain, abs=EXACT)
    assert once.backbone.encoded == 2
    shared = shared_length(encoded)
    assert packed_tokens == [shared + sum(len(row.ids) - shared for row in encoded)]
    assert shared > encoded[0].payload.places[-1].stop


@pytest.mark.parametrize("broken", ["wrong", "refused"])
def test_a_forward_that_is_not_the_librarys_is_not_used(
    scorer: Any, rows: Any, vl: Any, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    encoded = scorer.encode(rows)
    alone = [vl.score(fresh(scorer), [row])[0] for row in encoded]

    def other(model: Any, layout: Any, places: Any, x: Any, positions: Any, *given: Any) -> Any:
        if broken == "refused":
            raise NotImplementedError("no kernel")
        return lean_layers(model, layout, places, x, positions + torch.arange(positions.shape[-1]), *given)

    monkeypatch.setattr("rmbench.models.families.vl.packed.lean_layers", other)
    plain = fresh(scorer, _tried=None)
    assert not plain.backbone.packs
    assert vl.score(plain, encoded) == pytest.approx(alone, abs=EXACT)


class Noted(SilentProgress):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


REASONS = {
    "agreeing": "",
    "wrong": "packed and plain states differ by",
    "refused": "NotImplementedError: no kernel",
    "not asked for": "",
}


@pytest.mark.parametrize("case", REASONS)
def test_the_record_says_whether_rows_share_and_a_line_says_why_not(
    scorer: Any, vl: Any, shown: Any, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    """As of models that read text alone."""

    def other(model: Any, layout: Any, places: Any, x: Any, positions: Any, *given: Any) -> Any:
        if case == "refused":
            raise NotImplementedError("no kernel")
        return lean_layers(model, layout, places, x, positions + torch.arange(positions.shape[-1]), *given)

    if case in ("wrong", "refused"):
        monkeypatch.setattr("rmbench.models.families.vl.packed.lean_layers", other)
    examples = [vl.example("a", [shown.square, "Is it red?"], ["Yes."], ["No, blue."])]
    progress = Noted()
    made = fresh(scorer, _tried=None, share=case != "not asked for")
    judging = judge("task", examples, made, progress=progress)
    assert judging.judgments[0].status == "ok"
    assert judging.facts()["sharing"] == ("shared" if case == "agreeing" else "padded")
    said = [note for note in progress.notes if "share no prefix" in note]
    if REASONS[case]:
        (line,) = said
        assert line.startswith(f"{scorer.facts.name}: rows are padded and share no prefix, since {REASONS[case]}")
    else:
        assert not said


def test_rows_share_no_picture_that_differs_although_their_ids_are_the_same(scorer: Any, vl: Any, shown: Any) -> None:
    other = vl.picture(shown.square.parent / "other.png", 77)
    encoded = scorer.encode(
        [vl.request(["See", shown.wide, one, "Is it red?"], "Yes.") for one in (shown.square, other)]
    )
    assert encoded[0].ids == encoded[1].ids
    assert encoded[0].key != encoded[1].key
    second = encoded[0].payload.places[1]
    assert shared_length(encoded) == second.start
    alone = [vl.score(fresh(scorer), [row])[0] for row in encoded]
    assert vl.score(fresh(scorer), encoded) == pytest.approx(alone, abs=EXACT)
    assert abs(alone[0] - alone[1]) > 1e-3


def test_an_equal_picture_under_another_name_is_encoded_once(scorer: Any, vl: Any, shown: Any) -> None:
    copied = shown.square.parent / "copied.png"
    copied.write_bytes(shown.square.read_bytes())
    once = fresh(scorer)
    encoded = once.encode([vl.request([shown.square, "Is it red?"], "Yes."), vl.request([copied, "Or blue?"], "No.")])
    vl.score(once, encoded)
    assert once.backbone.encoded == 1


def test_positions_matter_to_pictures_and_not_to_texts(scorer: Any, rows: Any, vl: Any) -> None:
    plain = fresh(scorer, positions="sequential")
    encoded = scorer.encode(rows)
    ours, theirs = ([vl.score(each, [row])[0] for row in encoded] for each in (fresh(scorer), plain))
    differences = [abs(a - b) for a, b in zip(ours, theirs, strict=True)]
    assert differences[2] < 1e-6
    assert min(differences[0], differences[1], differences[3]) > 1e-3
    together = vl.score(plain, encoded, "left")
    assert together == pytest.approx(theirs, abs=EXACT)


def test_sequential_positions_are_what_the_library_gives_plain_ones(
    scored: Any, scorer: Any, rows: Any, vl: Any
) -> None:
    (row,) = scorer.encode(rows[:1])
    inputs = scorer.backbone.pictures.process(row.payload.places[0].shown.medium).inputs
    with torch.no_grad():
        hidden = scored.model.model(
            input_ids=torch.tensor([row.ids]),
            position_ids=torch.arange(len(row.ids)).expand(3, 1, -1),
            pixel_values=inputs["pixel_values"],
            image_grid_thw=inputs["image_grid_thw"],
        ).last_hidden_state
    expected = float(hidden[0, -1] @ scored.head[0])
    assert vl.score(fresh(scorer, positions="sequential"), [row])[0] == pytest.approx(expected, abs=EXACT)


def test_the_times_of_a_clip_are_its_own(scored: Any, scorer: Any, vl: Any, shown: Any, tmp_path: Any) -> None:
    """Frames passed without times are taken for 24 a second, which flattens the positions of Qwen2.5-VL."""
    slow = vl.animation(tmp_path / "slow.gif", duration=1000)
    encoded = scorer.encode([vl.request([clip, "What moves?"], "Nothing.") for clip in (shown.clip, slow)])
    times = [sorted(set(scorer.backbone.row_positions(row)[0].tolist())) for row in encoded]
    fps = [
        place.shown.medium.timing.frames / place.shown.medium.timing.seconds
        for row in encoded
        for place in row.payload.places
    ]
    assert fps == [2.0, 1.0]
    if scored.kind == "qwen2.5-vl":  # tokens_per_second 2, two frames in a grid: 2 a grid at 2 frames a second, then 4
        first = encoded[0].payload.places[0].start
        for row, step in zip(encoded, (2, 4), strict=True):
            place = row.payload.places[0]
            grid = scorer.backbone.row_positions(row)[0][place.start : place.stop]
            assert sorted(set(grid.tolist())) == [first + step * index for index in range(4)]
    elif scored.kind == "qwen3-vl":  # its times stand in the text
        assert encoded[0].ids != encoded[1].ids
    else:
        assert times[0] == times[1]
