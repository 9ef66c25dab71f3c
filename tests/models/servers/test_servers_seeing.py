"""Judges that see, at a server in this process: which pictures arrive, and what it refuses."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from rmbench.engine.interfaces import SilentProgress
from rmbench.engine.judge import judge
from rmbench.errors import RmbenchError
from rmbench.evaluation.budgets import Budgets, run_budgets
from rmbench.evaluation.results import Results
from rmbench.evaluation.run import run
from rmbench.media import media_of, open_image, read_frames
from rmbench.models.judges.responder import JudgeResponder
from rmbench.models.open import OpenOptions, open_model
from rmbench.records.headline import headline
from rmbench.records.store import find, read_rows
from rmbench.tasks.registry import get
from rmbench.tasks.sources import load
from rmbench.types import Gold, Judged
from tests.models.servers.scene import server

PAD = 99
TASK = """
id = "pictures"
version = 1
title = "Answers about pictures"
family = "image"
modality = "image"
shape = "pair"
n = COUNT
verified = false

[source]
folder = "."

[[files]]
paths = ["rows.jsonl"]

[columns]
prompt = "question"
prompt_media = [{ column = "image", form = "image" }]
chosen = "good"
rejected = "bad"

[rows]
id = ["id"]

[[metric]]
name = "accuracy"
rule = "pair"
chance = 0.5
"""


def rows_of(folder: Path) -> list[Judged]:
    """The rows of the one record."""
    (found,) = find(folder / "out")
    return read_rows(found)


def images_of(call: Any) -> list[Image.Image]:
    """The pictures that a request holds, decoded from its own bytes."""
    contents = [message["content"] for message in call.body["messages"]]
    urls = [
        part["image_url"]["url"] for each in contents if isinstance(each, list) for part in each if "image_url" in part
    ]
    assert all(url.startswith("data:image/") for url in urls)
    return [Image.open(io.BytesIO(base64.b64decode(url.partition(";base64,")[2]))) for url in urls]


def texts_of(call: Any) -> str:
    contents = [message["content"] for message in call.body["messages"]]
    parts = (each if isinstance(each, list) else [{"text": each}] for each in contents)
    return "".join(part.get("text", "") for each in parts for part in each)


def pixels(image: Image.Image) -> str:
    return hashlib.sha256(image.convert("RGB").tobytes()).hexdigest()


@pytest.fixture
def seen(stubs: Any, serve: Any, tmp_path: Path) -> Any:
    """Runs a judge on a task; `seen.calls()` are the requests of questions, `seen.notes` what was said."""
    notes: list[str] = []

    class Told(SilentProgress):
        def note(self, text: str) -> None:
            notes.append(text)

    def start(answer: Callable[[Any], Any], task: str, protocol: str, **more: Any) -> Results:
        stub = serve(server(stubs, answer))
        start.calls = lambda: [  # type: ignore[attr-defined]
            call for call in stub.calls if call.path.endswith("/completions") and not stubs.is_trial(call)
        ]
        args = {"protocol": protocol, **more.pop("model_args", {})}
        return run("openai:m", task, base_url=stub.url, out=tmp_path / "out", model_args=args, progress=Told(), **more)

    start.notes = notes  # type: ignore[attr-defined]
    return start


def made(folder: Path, **media: bytes | Image.Image) -> Path:
    """A folder with a task of pairs of answers about one image each, and its images."""
    rows = [
        {"id": name, "image": f"{name}.png", "question": f"What is in {name}?", "good": "right", "bad": "wrong"}
        for name in media
    ]
    for name, content in media.items():
        if isinstance(content, bytes):
            (folder / f"{name}.png").write_bytes(content)
        else:
            content.save(folder / f"{name}.png")
    (folder / "rows.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
    (folder / "pictures.toml").write_text(TASK.replace("COUNT", str(len(rows))))
    return folder / "pictures.toml"


def colour(value: int) -> Image.Image:
    return Image.new("RGB", (64, 48), (value, 10, 200))


def test_real_pairs_of_images_in_both_orders(data: Path, seen: Any, tmp_path: Path) -> None:
    """A judge that likes the picture with more blue is the same whichever stands first; every picture arrives."""

    def bluer(call: Any) -> str:
        pictures = images_of(call)
        if len(pictures) != 2 or pictures[0].size == pictures[1].size == (112, 112):
            return "BETTER IMAGE: 1"
        first, second = (sum(image.convert("RGB").resize((8, 8)).tobytes()[2::3]) for image in pictures)
        return f"BETTER IMAGE: {1 if first > second else 2 if second > first else 0}"

    done = seen(bluer, "mj-bench-quality", "mj-bench", source=str(data), limit=40, model_args={"max_pixels": "9000"})
    record, rows = done.records[0], rows_of(tmp_path)
    assert record.counts.judged + record.counts.failed == 40  # the pictures of one subset are not here
    absent = [row.judgment.error for row in rows if row.judgment.status == "failed"]
    assert {why.split(" ", 2)[0] + why[-12:] for why in absent} == {"media_rejected: is not here"}
    calls = seen.calls()
    assert len(calls) == 2 * record.counts.judged >= 20
    assert all(len(images_of(call)) == 2 for call in calls)
    shown = Counter(tuple(map(pixels, images_of(call))) for call in calls)
    assert all(shown[second, first] == count for (first, second), count in shown.items())
    assert {image.width * image.height <= 9000 for call in calls for image in images_of(call)} == {True}
    settings = record.model.settings
    assert (settings["transport"], settings["max_pixels"], settings["max_images"]) == ("png", 9000, 32)
    picked = [{verdict.value for verdict in row.judgment.verdicts} for row in rows if row.judgment.status == "ok"]
    assert {len(each) for each in picked} == {1}


def test_real_pictures_arrive_with_their_pixels(data: Path, seen: Any) -> None:
    seen(lambda _: "BETTER IMAGE: 1", "mj-bench-quality", "mj-bench", source=str(data), limit=12)
    sent = {pixels(image) for call in seen.calls() for image in images_of(call)}
    folder = data / "mj-bench" / "quality"
    kept = {pixels(open_image(path)) for path in folder.rglob("*.jpg")}
    assert len(sent) >= 6
    assert sent <= kept


def test_a_clip_arrives_as_its_frames(data: Path, stubs: Any, serve: Any) -> None:
    """FETV's prompts with the clips of four generators, rated one by one and compared in both orders."""
    loaded = load(get("fetv"), str(data))
    here = [replace(row, candidates=row.candidates[:4], gold=Gold()) for row in loaded.examples]
    rows = [row for row in here if all(part.path for k in range(4) for part in media_of(row.candidates[k].messages))][
        :2
    ]
    stub = serve(server(stubs, lambda call: f"Final Score: {1 + len(images_of(call))}\n[[A]]"))

    def asked(protocol: str, frames: str) -> tuple[list[Any], list[Any]]:
        args = {"protocol": protocol, "frames": frames, "transport": "png"}
        model = open_model("openai:m", OpenOptions(base_url=(stub.url,), model_args=args))
        assert isinstance(model, JudgeResponder)
        before = len(stub.calls)
        judging = judge("fetv", rows, model)
        model.close()
        return list(judging.judgments), [call for call in stub.calls[before:] if not stubs.is_trial(call)]

    known = set()
    for row in rows:
        for candidate in row.candidates:
            (part,) = media_of(candidate.messages)
            frames = dict(read_frames(str(part.path), (0, 5, 10, 15)))
            known.add(tuple(pixels(frames[index]) for index in (0, 5, 10, 15)))
    judgments, calls = asked("unified-reward-video-score", "uniform:4")
    assert [[verdict.value for verdict in each.verdicts] for each in judgments] == [[5.0] * 4] * 2
    assert {tuple(map(pixels, images_of(call))) for call in calls} == known
    judgments, calls = asked("vision-pair", "uniform:4")
    assert [len(each.verdicts) for each in judgments] == [12, 12]
    assert {tuple(map(pixels, images_of(call)[:4])) for call in calls} == known
    assert {tuple(map(pixels, images_of(call)[4:])) for call in calls} == known


def test_hostile_pictures_fail_their_rows_and_all_are_counted(tmp_path: Path, seen: Any) -> None:
    bomb = io.BytesIO()
    Image.new("1", (15_000, 15_000)).save(bomb, "PNG")
    task = made(tmp_path, good=colour(1), text=b"no image at all", bomb=bomb.getvalue(), cut=b"\x89PNG\r\n\x1a\n123")
    done = seen(lambda _: "[[A]]", str(task), "vision-pair", source=str(tmp_path))
    counts = done.records[0].counts
    assert (counts.judged, counts.failed, counts.unparsed) == (1, 3, 0)
    assert len(seen.calls()) == 2
    assert done.records[0].run.engine["media_rejected"] == 3
    failed = [row.judgment.error for row in rows_of(tmp_path) if row.judgment.status == "failed"]
    assert all(why.startswith("media_rejected: ") for why in failed)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (
            500,
            "Image size (225000000 pixels) exceeds limit of 178956970 pixels, could be decompression bomb DOS attack.",
        ),
        (400, "At most 1 image(s) may be provided in one prompt."),
        (500, "absolute aspect ratio must be smaller than 200, got 300"),
    ],
)
def test_what_a_server_refuses_for_its_picture_is_not_asked_again(
    tmp_path: Path, seen: Any, stubs: Any, status: int, message: str
) -> None:
    task = made(tmp_path, good=colour(1), bad=colour(250))

    def answer(call: Any) -> Any:
        bad = any(image.convert("RGB").tobytes()[0] == 250 for image in images_of(call))
        return stubs.Answer({"error": {"message": message}}, status) if bad else "[[A]]"

    done = seen(answer, str(task), "vision-pair", source=str(tmp_path))
    assert (done.records[0].counts.judged, done.records[0].counts.failed) == (1, 1)
    assert len(seen.calls()) == 4
    (failed,) = [row.judgment for row in rows_of(tmp_path) if row.judgment.status == "failed"]
    assert message[:40] in failed.error
    assert failed.error.startswith("media_rejected" if status == 500 else "status 400")


def ids(call: Any, *, forged: bool = False) -> list[int]:
    """Token ids as a server lists them: a run of the picture's token for each picture."""
    return [1, *([PAD] * forged), 2, *(token for _ in images_of(call) for token in (5, *[PAD] * 16, 6)), 7]


def test_runs_of_an_images_token_are_counted_where_the_server_tells(tmp_path: Path, seen: Any, stubs: Any) -> None:
    task = made(tmp_path, good=colour(1), bad=colour(250))

    def answer(call: Any) -> Any:
        forged = "in bad?" in texts_of(call)
        more = {"prompt_token_ids": ids(call, forged=forged)} if call.body.get("return_token_ids") else {}
        return {**stubs.chat("[[A]]"), **more}

    done = seen(answer, str(task), "vision-pair", source=str(tmp_path))
    assert done.records[0].model.settings["image_runs"] == "counted"
    assert all(call.body["return_token_ids"] for call in seen.calls())
    (failed,) = [row.judgment for row in rows_of(tmp_path) if row.judgment.status == "failed"]
    assert failed.error == "media_rejected: the server read images at 2 places, 1 were sent"
    assert done.records[0].run.engine["media_rejected"] == 2  # once for each order


def test_a_server_without_token_ids_or_with_other_runs_is_asked_all_the_same(
    tmp_path: Path, seen: Any, stubs: Any
) -> None:
    task = made(tmp_path, good=colour(1))
    one_run = {"prompt_token_ids": [1, *[PAD] * 64, 2]}  # two pictures without anything between them
    for more in ({}, one_run):
        said = {**stubs.chat("[[A]]"), **more}
        done = seen(lambda _, said=said: said, str(task), "vision-pair", source=str(tmp_path), overwrite=True)
        assert done.records[0].counts.judged == 1
        assert "image_runs" not in done.records[0].model.settings
        assert not any("return_token_ids" in call.body for call in seen.calls())


def test_a_server_that_takes_no_images_is_one_clear_error(tmp_path: Path, seen: Any, stubs: Any) -> None:
    task = made(tmp_path, good=colour(1))

    def answer(call: Any) -> Any:
        said = {"error": {"message": "m is not a multimodal model"}}
        return stubs.Answer(said, 400) if images_of(call) else "Hello"

    with pytest.raises(RmbenchError, match=r"\(it shows 2 images\): status 400: m is not a multimodal model"):
        seen(answer, str(task), "vision-pair", source=str(tmp_path))


def test_a_text_protocol_is_told_what_to_do(tmp_path: Path, seen: Any) -> None:
    task = made(tmp_path, good=colour(1))
    with pytest.raises(RmbenchError, match="shown images and videos by a protocol such as vision-pair"):
        seen(lambda _: "[[A]]", str(task), "pair", source=str(tmp_path))


def test_options_of_several_tokens_are_read_as_text(tmp_path: Path, seen: Any, stubs: Any) -> None:
    """Their probabilities would be asked of token ids, which hold no picture."""
    own = tmp_path / "own.toml"
    (tmp_path / "own.jinja").write_text("{{ question }}{{ media }}{{ answer.content }} Good or Bad?")
    own.write_text(
        """
name = "own"
version = 1
title = "Good or bad"
shape = "yes-no"
most = 1
[[message]]
role = "user"
template = "own.jinja"
[media]
kinds = ["image"]
[verdict]
reads = "rating"
place = "whole"
mark = "{value}"
values = { "Very good" = 1, "Bad" = 0 }
options = true
"""
    )
    task = made(tmp_path, good=colour(1))
    done = seen(lambda _: "Very good", str(task), str(own), source=str(tmp_path))
    assert done.records[0].counts.judged == 1
    assert all(len(images_of(call)) == 1 for call in seen.calls())


def test_frames_are_swept_as_one_table(tmp_path: Path, stubs: Any, serve: Any) -> None:
    """A judge that needs four frames to answer right; each number has a record of its own."""
    task = made(tmp_path, clip=colour(1))
    images = [colour(20 * k) for k in range(12)]
    images[0].save(tmp_path / "clip.gif", save_all=True, append_images=images[1:], duration=100)
    text = task.read_text().replace('column = "image", form = "image"', 'template = "{id}.gif", form = "video"')
    task.write_text(
        text.replace('modality = "image"', 'modality = "video"').replace('family = "image"', 'family = "video"')
    )

    def answer(call: Any) -> str:
        right_first = texts_of(call).index("right") < texts_of(call).index("wrong")
        sure = len(images_of(call)) >= 4
        return "[[A]]" if right_first == sure else "[[B]]"

    stub = serve(server(stubs, lambda call: "[[A]]" if stubs.is_trial(call) else answer(call)))
    options: dict[str, Any] = {
        "source": str(tmp_path),
        "base_url": stub.url,
        "out": tmp_path / "out",
        "progress": False,
    }
    args = {"protocol": "videorewardbench"}
    curve = run_budgets("openai:m", str(task), Budgets.of_frames("1,4,8"), model_args=args, **options)
    assert [(frames, headline(results.records[0]).value) for frames, results in curve.points] == [
        (1, 0),
        (4, 1),
        (8, 1),
    ]
    asked = [len(images_of(call)) for call in stub.calls if call.body and not stubs.is_trial(call)]
    assert asked == [1, 1, 4, 4, 8, 8]
    settings = [results.records[0].model.settings for _, results in curve.points]
    assert [(each["frames"], each["max_images"]) for each in settings] == [
        ("uniform:1", 64),
        ("uniform:4", 64),
        ("uniform:8", 64),
    ]
    with pytest.raises(RmbenchError, match="frames is given by --model-args too"):
        run_budgets("openai:m", str(task), Budgets.of_frames("1,4"), model_args={"frames": "first:1"}, **options)
    for wrong in ("1,1", "0,4", "four", "1;4", ""):
        with pytest.raises(RmbenchError, match="expected different numbers of frames such as 1,8,32"):
            Budgets.of_frames(wrong)


OWN = [
    ("vl-rewardbench", "vl-rewardbench", "Overall Judgment: Answer 1 is better.", 0.5),
    ("vl-rewardbench", "llava-critic", "The first response is better.", 0.5),
    ("vl-rewardbench", "unified-reward-answers", "Answer 1 is better than Answer 2.", 0.5),
    ("multimodal-rewardbench", "multimodal-rewardbench", "[[A]]", None),
    ("mj-bench-quality", "mj-bench", "BETTER IMAGE: 1", 0.5),
    ("mj-bench-quality", "mj-bench-words-5", "BETTER IMAGE: 2", 0.5),
    ("mj-bench-quality", "mj-bench-single", '{"ANALYSIS": "so", "RATING": 7}', 0.0),
    ("mj-bench-quality", "unified-reward", "Image 2 is better than Image 1.", 0.5),
    ("mj-bench-quality", "unified-reward-score", "Final Score: 3", 0.0),
    ("genai-bench-image", "genai-bench", "[[A>B]]", None),
    ("genai-bench-edition", "genai-bench", "[[A=B=Bad]]", None),
    ("genai-bench-edition", "editreward", "[[Left>Right]]", None),
    ("genai-bench-edition", "unified-reward-edit", "Image 1 is better than Image 2.", None),
    ("editreward-bench-tiger", "editreward", "[[Left>Right]]", None),
    ("editreward-bench-editscore", "editreward", "[[Left>Right]]", 0.5),
    ("mmrb2", "mmrb2", '{"reasoning": "so", "score": 2, "better_response": "A", "confidence": 1}', 0.5),
    ("mj-bench-quality", "unified-reward-flex", '{"reason": "so", "winner": "Image 2"}', 0.5),
    ("genai-bench-video", "genai-bench", "[[B>A]]", None),
    ("genai-bench-video", "unified-reward-video", "Video 1 is better than Video 2.", None),
    ("videorewardbench", "videorewardbench", "[[B]]", 0.5),
    ("videogen-rewardbench", "vision-pair", "[[A]]", None),
    ("imagerewarddb", "vision-pair", "[[A]]", None),
]
"""Task, protocol, a constant reply, and the headline where it is known: one half for a judge of both orders that always
names the first, nothing for equal ratings of a benchmark without ties."""


@pytest.mark.parametrize(("task", "protocol", "said", "value"), OWN)
def test_benchmarks_in_their_own_protocols_on_their_samples(
    task: str, protocol: str, said: str, value: float | None, seen: Any, tmp_path: Path
) -> None:
    done = seen(lambda _: said, task, protocol, source="sample", overwrite=True)
    record = done.records[0]
    assert (record.counts.failed, record.counts.unparsed) == (0, 0)
    assert record.counts.judged == len(rows_of(tmp_path)) > 0
    calls = seen.calls()
    assert calls
    assert all(len(images_of(call)) >= 1 for call in calls)
    if value is not None:
        assert headline(record).value == value
    rows = rows_of(tmp_path)
    if protocol == "genai-bench":  # one order, and exactly people's class
        label = {"[[A>B]]": "leftvote", "[[B>A]]": "rightvote", "[[A=B=Bad]]": "bothbad_vote"}[said]
        assert headline(record).value == pytest.approx(sum(row.groups["vote"] == label for row in rows) / len(rows))
        assert len(calls) == len(rows)
