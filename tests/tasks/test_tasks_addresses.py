"""Images that rows name by an address: a row that says so, and bytes where the user allows it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import rmbench
from rmbench.media import MediaError, open_medium
from rmbench.tasks.rows import addresses
from rmbench.types import Part
from rmbench.untrusted.addresses import FetchError

TASK = """\
id = "addressed"
version = 1
title = "Pictures by their addresses"
family = "image"
modality = "image"
shape = "pair"
n = 3
verified = true

[source]
git = "https://example.org/addressed"
folder = "addressed"

[[files]]
paths = ["rows.jsonl"]

[columns]
prompt = "prompt"
chosen = { column = "good", form = "image" }
rejected = { column = "bad", form = "image" }

[[metric]]
name = "accuracy"
rule = "pair"
chance = 0.5
"""
ROWS = [
    {"prompt": "a", "good": "https://a.example/1.png?size=2", "bad": "here.png"},
    {"prompt": "b", "good": "https://a.example/1.png?size=2", "bad": "http://127.0.0.1/2.png"},
    {"prompt": "c", "good": "here.png", "bad": "file:///etc/passwd"},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data = tmp_path / "addressed"
    data.mkdir()
    (tmp_path / "addressed.toml").write_text(TASK)
    (data / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    Image.new("RGB", (8, 8), "red").save(data / "here.png")
    return tmp_path


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What was asked of the web, on which one picture is."""
    asked: list[str] = []
    picture = tmp_path / "there.png"
    Image.new("RGB", (8, 8), "blue").save(picture)

    def fetch(address: str, *, most: int) -> bytes:
        asked.append(address)
        if "a.example" not in address:
            raise FetchError("only http and https addresses are fetched")
        return picture.read_bytes()

    monkeypatch.setattr(addresses, "fetch_bytes", fetch)
    return asked


def run(folder: Path, **options: Any) -> rmbench.Results:
    task = str(folder / "addressed.toml")
    return rmbench.run("fake:oracle", task, source=str(folder), out=folder / "out", **options)


def test_without_the_option_nothing_is_asked_and_the_row_says_so(folder: Path, web: list[str]) -> None:
    results = run(folder)
    assert web == []
    media = results.records[0].data.media
    assert media is not None
    assert media.files == 1
    with pytest.raises(MediaError, match=r"2\.png is not here, and addresses are fetched with --allow-url-fetch alone"):
        open_medium(Part("image", name="http://127.0.0.1/2.png"), None)
    with pytest.raises(MediaError, match=r"image gone\.png is not here$"):
        open_medium(Part("image", name="gone.png"), None)


def test_with_it_each_address_is_asked_once_and_what_does_not_come_has_a_reason(folder: Path, web: list[str]) -> None:
    results = run(folder, allow_url_fetch=True)
    assert sorted(web) == ["file:///etc/passwd", "http://127.0.0.1/2.png", "https://a.example/1.png?size=2"]
    media = results.records[0].data.media
    assert media is not None
    assert media.files == 2


def test_a_note_says_how_many_came(folder: Path, web: list[str]) -> None:
    from rmbench.tasks.registry import select
    from rmbench.tasks.sources import load

    (task,) = select([str(folder / "addressed.toml")])
    (note,) = load(task, folder, allow_url_fetch=True).notes
    assert note.startswith("fetched from addresses: 1 of 3 images and videos; the first that was not: http://127.0")
    assert note.endswith("(only http and https addresses are fetched)")
    assert load(task, folder).notes == ()


def test_the_reason_is_the_rows(folder: Path, web: list[str]) -> None:
    from rmbench.tasks.registry import select
    from rmbench.tasks.sources import load

    (task,) = select([str(folder / "addressed.toml")])
    loaded = load(task, folder, allow_url_fetch=True)
    (first, second, third) = loaded.examples
    shown = first.candidates[0].messages[0].parts[0]
    assert Path(str(shown.path)).read_bytes() == (folder / "there.png").read_bytes()
    assert second.candidates[0].messages[0].parts[0].path == shown.path
    for example in (second, third):
        with pytest.raises(MediaError, match="was not fetched: only http and https addresses are fetched"):
            open_medium(example.candidates[1].messages[0].parts[0], None)
