"""The declared columns are looked for first, fit splits are found or told, and media are found, absent or refused."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rmbench.errors import RmbenchError
from rmbench.tasks.registry import load_file
from rmbench.tasks.rows.content import digest_of
from rmbench.tasks.rows.fields import RawRow
from rmbench.tasks.rows.media import media_part
from rmbench.tasks.sources import load
from rmbench.types import Part

Rows = list[dict[str, Any]]


def test_all_missing_columns_are_told_at_once(
    rows: Rows, declaration: str, write: Callable[..., Path], place: Callable[..., Path]
) -> None:
    for row in rows:
        row["goood"], row["ky"] = row.pop("good"), row.pop("key")
    with pytest.raises(RmbenchError) as caught:
        load(load_file(write(declaration)), place(rows))
    message = str(caught.value)
    assert message.startswith("rows.jsonl, row 0: ")
    assert 'no column "good". Did you mean "goood"?' in message
    assert 'no column "key".' in message
    assert message.endswith("Columns here: question, bad, topic, goood, ky.")
    unseen = write(declaration.replace("verified = true", "verified = false"), "unseen.toml")
    with pytest.raises(RmbenchError, match=r"Columns here: .*\. The task is not verified: nobody has seen the real"):
        load(load_file(unseen), place(rows))


def test_one_of_several_columns_suffices(
    rows: Rows, declaration: str, write: Callable[..., Path], place: Callable[..., Path]
) -> None:
    text = declaration.replace('rejected = "bad"', 'rejected = { first_of = ["worse", "bad"] }')
    assert len(load(load_file(write(text)), place(rows)).examples) == 2
    for row in rows:
        del row["bad"]
    with pytest.raises(RmbenchError, match='no column "worse" or "bad"'):
        load(load_file(write(text)), place(rows))


FIT = """
[fit]
split = "train"
n = 3

[[fit.files]]
paths = ["train.jsonl"]

[columns]"""


@pytest.fixture
def fitted(declaration: str, write: Callable[..., Path]) -> Path:
    """A declaration with a fit split."""
    return write(declaration.replace("\n[columns]", FIT))


def test_a_fit_split_is_read_by_the_same_columns(fitted: Path, rows: Rows, place: Callable[..., Path]) -> None:
    place([{**rows[0], "key": k, "question": f"train {k}"} for k in range(3)], "train.jsonl")
    task = load_file(fitted)
    found = load(task, place(rows))
    assert task.fit_split == "train"
    assert [each.prompt[0].text for each in found.fit] == ["train 0", "train 1", "train 2"]
    assert found.fit_digest == digest_of(found.fit)
    assert [file.name for file in found.files] == ["rows.jsonl", "train.jsonl"]
    assert found.total == len(found.examples) == 2
    assert (found.missing, found.notes) == ((), ())
    assert (len(load(task, place(rows), limit=1).fit), len(load(task, place(rows), limit=1).examples)) == (1, 1)


def test_a_fit_split_that_is_not_there_is_told(fitted: Path, rows: Rows, place: Callable[..., Path]) -> None:
    found = load(load_file(fitted), place(rows))
    assert (found.fit, found.fit_digest, found.missing) == ((), "", ())
    assert found.notes == ('fit split "train" is absent (train.jsonl): what is fitted on it is left out',)


def test_a_task_without_a_fit_split(declaration: str, write: Callable[..., Path]) -> None:
    assert load_file(write(declaration)).fit_split is None


@pytest.fixture
def row(tmp_path: Path) -> RawRow:
    """A row of a data set that has one image."""
    (tmp_path / "set" / "images").mkdir(parents=True)
    (tmp_path / "set" / "images" / "cat.png").write_bytes(b"x")
    (tmp_path / "secret.png").write_bytes(b"x")
    return RawRow("rows.jsonl", "rows", 0, {}, tmp_path / "set")


def test_a_medium_is_found_below_a_root(row: RawRow, tmp_path: Path) -> None:
    found = media_part(row, "image", "cat.png", "image", ["photos", "images"])
    assert found == Part("image", name="cat.png", path=str(tmp_path / "set" / "images" / "cat.png"))
    for other in ({"path": "cat.png", "bytes": None}, "https://example.org/pictures/cat.png?width=9"):
        assert media_part(row, "image", other, "image", ["images"]).path == found.path


PIXELS = bytes(range(256)) * 2
AS_TEXT = base64.b64encode(PIXELS).decode()


@pytest.mark.parametrize(
    "value, name",
    [
        (PIXELS, None),
        ({"bytes": PIXELS, "path": None}, None),
        ({"bytes": PIXELS, "path": "cat.png"}, "cat.png"),
        ({"bytes": AS_TEXT, "path": "cat.png"}, "cat.png"),
        (AS_TEXT, None),
        (f"data:image/png;base64,{AS_TEXT}", None),
    ],
)
def test_a_medium_in_the_row_is_read_from_its_bytes(value: Any, name: str | None, row: RawRow) -> None:
    """In whatever way they are spelled, and rather than from a file of its name."""
    part = media_part(row, "image", value, "image", ["images"])
    assert part.path is not None
    assert Path(part.path).read_bytes() == PIXELS
    assert part.name == (name or hashlib.sha256(PIXELS).hexdigest()[:16])


def test_equal_bytes_are_one_file(row: RawRow) -> None:
    one, two, other = (media_part(row, "image", value, "image", ["."]) for value in (PIXELS, AS_TEXT, PIXELS[1:]))
    assert one == two
    assert other.path != one.path


@pytest.mark.parametrize("value", ["data:image/png;base64,AAA", {"bytes": [1, 2], "path": "cat.png"}])
def test_bytes_that_are_none_are_an_error(value: Any, row: RawRow) -> None:
    with pytest.raises(RmbenchError, match=r'rows.jsonl, row 0: column "image": (its base64 is broken|expected bytes)'):
        media_part(row, "image", value, "image", ["images"])


def test_unpacked_media_go_with_their_process() -> None:
    code = "from rmbench.tasks.rows.embedded import written; print(written(b'x')[1])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    file = Path(shown.stdout.strip())
    assert file.name == hashlib.sha256(b"x").hexdigest()
    assert not file.parent.exists()


@pytest.mark.parametrize("name", ["dog.png", "https://example.org/dog.png?width=9"])
def test_a_medium_that_is_not_there_is_absent(name: str, row: RawRow) -> None:
    assert media_part(row, "image", name, "image", ["images"]) == Part("image", name=name)


def test_media_of_the_hub_are_absent() -> None:
    assert media_part(RawRow("hub", "test", 0, {}), "v", "a.mp4", "video", ["."]) == Part("video", name="a.mp4")


@pytest.mark.parametrize("name", ["../secret.png", "../../secret.png", "images/../../secret.png"])
def test_a_name_may_not_lead_out_of_the_folder(name: str, row: RawRow) -> None:
    with pytest.raises(RmbenchError, match=r'rows\.jsonl, row 0: column "image": .* leads out of'):
        media_part(row, "image", name, "image", ["."])


@pytest.mark.parametrize("value", [None, "", 3, {"bytes": None, "path": None}])
def test_a_medium_without_a_name_is_an_error(value: Any, row: RawRow) -> None:
    with pytest.raises(RmbenchError, match='column "image": expected the name or the bytes of an image'):
        media_part(row, "image", value, "image", ["."])


def test_media_stand_in_prompt_and_candidates(
    rows: Rows, declaration: str, write: Callable[..., Path], place: Callable[..., Path], tmp_path: Path
) -> None:
    text = declaration.replace("[columns]", '[media]\nroots = ["pics"]\n\n[columns]\nprompt_media = ["photo"]')
    text = text.replace('"good"', '{ column = "good", form = "image" }').replace(
        '"bad"', '{ column = "bad", form = "image" }'
    )
    text = text.replace('modality = "text"', 'modality = "image"')
    for each in rows:
        each.update(photo="p.png", good="a.png", bad="b.png")
    folder = place(rows)
    (folder / "mine" / "pics").mkdir()
    (folder / "mine" / "pics" / "a.png").write_bytes(json.dumps(1).encode())
    example = load(load_file(write(text)), folder).examples[0]
    assert [part.kind for part in example.prompt[0].parts] == ["image", "text"]
    (better,), (worse,) = (candidate.messages[0].parts for candidate in example.candidates)
    assert (better.name, worse.name, worse.path) == ("a.png", "b.png", None)
    assert better.path == str(folder / "mine" / "pics" / "a.png")
