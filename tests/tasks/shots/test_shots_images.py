"""Earlier choices of images as context: what a judge that sees is sent, part by part, of rows on disk."""

from __future__ import annotations

import base64
import io
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import rmbench
from rmbench.models.judges.build import make_judge
from rmbench.models.options import OpenOptions
from rmbench.models.protocols import ModelFacts
from rmbench.models.servers.generation import Question
from rmbench.tasks.registry import get
from rmbench.tasks.shots.rows import split
from rmbench.tasks.sources import load
from rmbench.types import Example, Judgment
from tests._make import exit_code, write_lines
from tests.models.judges.conftest import FakeBackend

Colour = tuple[int, int, int]
PEOPLE, ROWS = 4, 5


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pick-a-Pic's rows of four users, two of whom pick the red image of each pair; no two images are alike."""
    folder = tmp_path_factory.mktemp("pick")
    (folder / "images").mkdir()
    rng, lines = random.Random(0), []
    for number in range(PEOPLE * ROWS):
        person, names = number % PEOPLE, [f"red-{number}", f"blue-{number}"]
        for name, colour in zip(names, [(230, 10 * number, 20), (20, 10 * number, 230)], strict=True):
            Image.new("RGB", (16, 16), colour).save(folder / "images" / f"{name}.jpg", quality=95)
        liked = names[person % 2]
        rng.shuffle(names)
        lines.append(
            {
                "ranking_id": number,
                "user_id": person,
                "caption": f"picture {number}",
                "has_label": True,
                **{f"image_{k}_uid": names[k] for k in (0, 1)},
                **{f"label_{k}": float(names[k] == liked) for k in (0, 1)},
                **{f"model_{k}": "m" for k in (0, 1)},
            }
        )
    write_lines(folder / "data" / "test_unique.jsonl", lines)
    return folder


def seen(part: Mapping[str, Any]) -> Colour:
    """The colour of an image part."""
    data = base64.b64decode(part["image_url"]["url"].partition("base64,")[2])
    colour: Any = Image.open(io.BytesIO(data)).convert("RGB").getpixel((8, 8))
    return (colour[0], colour[1], colour[2])


def stored(part: Any) -> Colour:
    """The colour of the file that a part of a row names."""
    colour: Any = Image.open(part.path).convert("RGB").getpixel((8, 8))
    return (colour[0], colour[1], colour[2])


def images(question: Question) -> Iterator[tuple[str, Colour]]:
    """Each image of a question, with the last line of the text before it."""
    before = ""
    for message in question.messages:
        content = message["content"]
        for part in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            if part["type"] == "text":
                before = part["text"].rstrip().rpartition("\n")[2]
            else:
                yield before, seen(part)


def likes(choices: Sequence[tuple[str, Colour]], preferred: str) -> str:
    reds = [colour[0] > colour[2] for before, colour in choices if before == preferred]
    return "" if not reds else "red" if sum(reds) * 2 > len(reds) else "blue"


def picks(liked: str, answers: Sequence[tuple[str, Colour]]) -> str:
    shown = {before[8:9]: "red" if colour[0] > colour[2] else "blue" for before, colour in answers}
    return f"[[{next((label for label, name in shown.items() if name == liked), 'A')}]]"


def profiles(question: Question) -> str:
    """A judge whose profile names the colour that was mostly preferred, and which then picks it; the first answer where
    nothing is known."""
    if len(question.messages) == 1:
        return f"This person likes {likes(list(images(question)), 'Preferred:') or 'all'}."
    profile = re.search(r"likes (\w+)", str(question.messages[1]["content"]))
    assert profile is not None
    return picks(profile[1], [each for each in images(question) if each[0].startswith("<answer_")])


def copies(question: Question) -> str:
    """A judge that finds the choices in the request itself."""
    shown = list(images(question))
    return picks(likes(shown, "This person preferred:"), [each for each in shown if each[0].startswith("<answer_")])


@pytest.mark.parametrize(
    ("protocol", "layout", "answer", "better"),
    [
        ("vision-profile", "profile", profiles, "Preferred:"),
        ("vision-pair", "plain", copies, "This person preferred:"),
    ],
)
def test_every_image_is_sent_once_and_in_its_place(
    pairs: Path, tmp_path: Path, protocol: str, layout: str, answer: Any, better: str
) -> None:
    backend = FakeBackend(answer)
    record = rmbench.run(
        make_judge(backend, protocol, OpenOptions()),
        "pick-a-pic",
        source=pairs,
        shots="0,1,3",
        shots_layout=layout,
        seed=2,
        out=tmp_path / "out",
    ).records[0]
    found = {(value.metric, value.group): value.value for value in record.results}
    assert found["few_shot", "shots=0"] == 0.5
    assert found["few_shot", "shots=1"] == found["few_shot", "shots=3"] == 1.0
    assert found["gain", None] == 0.5

    rows = {row.id: row for row in load(get("pick-a-pic"), str(pairs)).examples}
    by_rater = {rater: split([row for row in rows.values() if row.rater == rater], 3, 2)[0] for rater in "0123"}
    assert len({stored(one.messages[0].parts[0]) for row in rows.values() for one in row.candidates}) == 40
    whole = [question for question in backend.asked if question.shown]
    assert len(whole) == PEOPLE * (ROWS - 3) * 3 * 2
    for question in whole:
        id_, _, number = question.example.rpartition("/shots=")
        row = rows[id_]
        wanted = []
        for shot in by_rater[row.rater][: int(number)]:
            wanted += [(better, stored(shot.preferred[0])), ("To:", stored(shot.dispreferred[0]))]
        asked = [stored(row.candidates[k].messages[0].parts[0]) for k in question.shown]
        wanted += list(zip(["<answer_A>", "<answer_B>"], asked, strict=True))
        assert list(images(question)) == wanted


def test_the_first_turn_of_a_profile_holds_the_choices_alone(pairs: Path, tmp_path: Path) -> None:
    backend = FakeBackend(profiles)
    judge = make_judge(backend, "vision-profile", OpenOptions())
    rmbench.run(judge, "pick-a-pic", source=pairs, shots="4", shots_layout="profile", out=tmp_path / "out")
    first = [question for question in backend.asked if len(question.messages) == 1]
    assert [len(list(images(question))) for question in first] == [8] * PEOPLE
    text = "".join(part["text"] for part in first[0].messages[0]["content"] if part["type"] == "text")
    assert [text.count(f"Choice {k}") for k in (1, 2, 3, 4, 5)] == [1, 1, 1, 1, 0]


@pytest.mark.parametrize(
    ("protocol", "message"),
    [("vision-pair", "its protocol does not show them"), ("profile", "the task is image, the model takes text")],
)
def test_a_judge_that_would_not_be_shown_the_choices(pairs: Path, tmp_path: Path, protocol: str, message: str) -> None:
    judge, given = make_judge(FakeBackend(copies), protocol, OpenOptions()), {"shots": "1", "shots_layout": "profile"}
    with pytest.raises(rmbench.RmbenchError, match=message):
        rmbench.run(judge, "pick-a-pic", source=pairs, out=tmp_path, **given)  # type: ignore[arg-type]


class Blind:
    """A model that scores images for a text."""

    facts = ModelFacts("blind", "1", "clip", modalities=frozenset({"image"}))

    def judge(self, task: str, example: Example) -> Judgment:
        return Judgment(example.id, (0.0,) * len(example.candidates))


def test_models_that_would_not_see_the_choices(pairs: Path, tmp_path: Path) -> None:
    with pytest.raises(rmbench.RmbenchError, match="of which a clip model reads no images"):
        rmbench.run(Blind(), "pick-a-pic", source=pairs, shots="0,1", shots_layout="plain", out=tmp_path)
    people: Any = {"source": "sample", "shots": "0,1", "shots_layout": "profile", "out": tmp_path}
    with pytest.raises(rmbench.RmbenchError, match="a baseline model does not read them"):
        rmbench.run("baseline:length", "community-alignment", **people)


def test_view_shows_the_choices(pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--tasks", "pick-a-pic", "--source", str(pairs), "--shots", "0,2", "--shots-layout", "profile"]
    assert exit_code("run", "--model", "fake:oracle", *words, "--out", str(tmp_path / "out")) == 0
    capsys.readouterr()
    folder = next((tmp_path / "out").glob("*/pick-a-pic-few-shot@2"))
    assert exit_code("view", str(folder), "--source", str(pairs), "--text", "--limit", "60") == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert printed.count("Choice 1 Asked: picture") == PEOPLE * (ROWS - 2)
    assert len(re.findall(r"Preferred: \[image: (red|blue)-\d+\.jpg\]", printed)) == 2 * PEOPLE * (ROWS - 2)
