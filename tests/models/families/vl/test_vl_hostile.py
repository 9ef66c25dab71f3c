"""What cannot be shown is one failed row with a reason, and nothing of a benchmark reaches a library as an address."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from rmbench.engine.judge import judge
from rmbench.models.open import open_model
from rmbench.models.options import OpenOptions
from rmbench.types import Message, Part


@pytest.fixture(scope="module")
def scorer(vl: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("hostile") / "model"
    vl.save(folder, "qwen2-vl", {"score.weight": vl.linear_head()})
    return open_model(str(folder), OpenOptions(device="cpu"))


def shown_as(example: Any, part: Part) -> Any:
    return replace(example, prompt=(Message("user", (part, Part(text="Is it red?"))),))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("not.png", b"no picture at all", "it is no image"),
        ("cut.png", None, "cannot be decoded"),
        ("empty.png", b"", "is empty"),
        ("long.png", "long", "longer than 100 times its width"),
        (
            "drawing.svg",
            b"<svg xmlns='http://www.w3.org/2000/svg'><image href='http://localhost/x'/></svg>",
            "no image",
        ),
    ],
)
def test_a_broken_image_is_one_row(
    scorer: Any, vl: Any, shown: Any, tmp_path: Path, name: str, content: Any, reason: str
) -> None:
    file = tmp_path / name
    if content == "long":
        Image.new("RGB", (1010, 10)).save(file)
    else:
        file.write_bytes(shown.square.read_bytes()[:400] if content is None else content)
    good = vl.example("good", [shown.square, "Is it red?"], ["Yes."], ["No."])
    bad = shown_as(vl.example("bad", ["x"], ["Yes."], ["No."]), Part("image", name=name, path=str(file)))
    found = {one.id: one for one in judge("task", [good, bad], scorer).judgments}
    assert found["good"].status == "ok"
    assert found["bad"].status == "failed"
    assert found["bad"].error.startswith("candidate 0: media_rejected: ")
    assert reason in found["bad"].error


@pytest.mark.parametrize("name", ["http://127.0.0.1:9/a.png", "/etc/passwd", "../../a.png", "file:///etc/passwd"])
def test_a_name_is_never_followed(scorer: Any, vl: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise AssertionError("a connection was made")

    monkeypatch.setattr(socket.socket, "connect", refused)
    row = shown_as(vl.example("row", ["x"], ["Yes."], ["No."]), Part("image", name=name))
    (judgment,) = judge("task", [row], scorer).judgments
    how = ", and addresses are fetched with --allow-url-fetch alone" if name.startswith("http:") else ""
    assert judgment.error == f"candidate 0: media_rejected: image {name} is not here{how}"


def test_a_video_needs_times_and_a_long_row_is_not_cut(scorer: Any, vl: Any, shown: Any, tmp_path: Path) -> None:
    one = vl.animation(tmp_path / "one.gif", count=1)
    rows = scorer.encode([vl.request([one, "What moves?"], "Nothing.")])
    assert "media_rejected" in rows[0].error
    assert "times" in rows[0].error
    short = replace(scorer, text=replace(scorer.text, max_length=10))
    (row,) = short.encode([vl.request([shown.square, "Is it red?"], "Yes.")])
    assert row.error.endswith("tokens, pictures included, are more than the model's 10")


def test_candidates_that_differ_in_their_picture_alone_are_two(scorer: Any, vl: Any, shown: Any) -> None:
    row = vl.example("row", ["A red disc."], [shown.square], [shown.tall])
    (judgment,) = judge("task", [row], scorer).judgments
    assert judgment.status == "ok"
    assert judgment.rewards is not None
    assert judgment.rewards[0] != judgment.rewards[1]
