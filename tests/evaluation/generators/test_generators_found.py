"""Which files are whose, and for which prompt."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmbench.errors import RmbenchError
from rmbench.evaluation.generators.found import find_media, read_prompts, said


def make(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def keyed(count: int) -> dict[str, str]:
    return {str(k): f"prompt {k}" for k in range(count)}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.txt", "a cat\na dog\n"),
        ("p.json", '["a cat", "a dog"]'),
        ("p.json", '[{"caption": "a cat"}, {"caption": "a dog"}]'),
        ("p.jsonl", '{"prompt": "a cat"}\n\n{"prompt": "a dog"}\n'),
        ("p.csv", "n,prompt\n1,a cat\n2,a dog\n"),
        ("p.TXT", "\ufeffa cat\na dog"),
    ],
)
def test_prompts_by_their_places(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, "utf-8")
    assert read_prompts(tmp_path / name) == {"0": "a cat", "1": "a dog"}


def test_a_prompt_may_hold_what_python_takes_for_the_end_of_a_line(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"prompt": "a\u2028b\x85c"}\n', "utf-8")
    assert read_prompts(tmp_path / "p.jsonl") == {"0": "a\u2028b\x85c"}


def test_another_column_has_the_same_keys(tmp_path: Path) -> None:
    file = tmp_path / "p.csv"
    file.write_text("id,prompt,longer\nx,a cat,a fluffy cat\n")
    assert read_prompts(file, "longer") == {"x": "a fluffy cat"}
    with pytest.raises(RmbenchError, match="prompt 0 is not a text; expected a column shorter"):
        read_prompts(file, "shorter")
    (tmp_path / "p.txt").write_text("a cat\n")
    with pytest.raises(RmbenchError, match="it has no columns, and 'longer' is to be one"):
        read_prompts(tmp_path / "p.txt", "longer")


def test_prompts_by_their_ids(tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    file.write_text('{"id": "cat-1", "prompt": "a cat"}\n{"id": 7, "prompt": "a dog"}\n')
    assert read_prompts(file) == {"cat-1": "a cat", "7": "a dog"}


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("p.txt", "", "no prompt in it"),
        ("p.txt", "a\n\nb\n", "prompt 1 is not a text"),
        ("p.json", "{}", "expected one JSON array of rows"),
        ("p.json", '[{"question": "a"}]', "prompt 0 is not a text; expected a column prompt or caption"),
        ("p.jsonl", "{", "p.jsonl, line 1"),
        ("p.csv", "id,prompt\n1,a\n1,b\n", "two prompts have the id '1'"),
        ("p.parquet", "", "p.parquet: "),
        ("p.list", "", "the name shows no format; expected .txt, .json"),
    ],
)
def test_what_are_no_prompts(name: str, text: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, "utf-8")
    with pytest.raises(RmbenchError, match=reason):
        read_prompts(tmp_path / name)


def test_files_by_generator_and_number(tmp_path: Path) -> None:
    make(tmp_path, "b/0000.png", "b/0002.png", "a/0.jpg", "a/1.jpg", "a/notes.txt", "a/7.png", "a/deep/0.png", "0.png")
    found = find_media(f"{tmp_path}/{{generator}}/{{prompt}}.*", keyed(3))
    assert (found.root, found.generators, found.kind) == (tmp_path, ("a", "b"), "image")
    assert found.files == {
        ("a", "0"): {"": "a/0.jpg"},
        ("a", "1"): {"": "a/1.jpg"},
        ("b", "0"): {"": "b/0000.png"},
        ("b", "2"): {"": "b/0002.png"},
    }
    assert found.missing == (("a", "2"), ("b", "1"))
    assert found.notes == (
        "1 file is of no prompt: a/7.png.",
        "1 file is neither images nor videos: a/notes.txt.",
    )


def test_marks_anywhere_in_the_names(tmp_path: Path) -> None:
    make(tmp_path, "run1/img_sd-x_cat.png", "run1/img_flux_cat.png", "run1/img_flux_dog.png")
    found = find_media(f"{tmp_path}/run*/img_{{generator}}_{{prompt}}.png", {"cat": "a cat", "dog": "a dog"})
    assert found.files[("sd-x", "cat")] == {"": "run1/img_sd-x_cat.png"}
    assert found.missing == (("sd-x", "dog"),)


def test_samples_of_a_generator_and_a_prompt(tmp_path: Path) -> None:
    make(tmp_path, "a/0-10.png", "a/0-9.png", "a/1-9.png", "b/0-9.png", "b/1-x.png")
    found = find_media(f"{tmp_path}/{{generator}}/{{prompt}}-{{sample}}.png", keyed(2))
    assert found.samples == ("9", "10", "x")
    assert found.files[("a", "0")] == {"10": "a/0-10.png", "9": "a/0-9.png"}
    assert (found.count, found.missing) == (5, ())
    make(tmp_path, "a/00-9.png")
    with pytest.raises(RmbenchError, match="some prompts have two files of one generator"):
        find_media(f"{tmp_path}/{{generator}}/{{prompt}}-{{sample}}.png", keyed(2))


@given(st.integers(1, 30), st.integers(0, 1), st.integers(1, 5))
def test_numbers_from_zero_or_one(tmp_path_factory: pytest.TempPathFactory, count: int, first: int, width: int) -> None:
    root = tmp_path_factory.mktemp("numbers")
    make(root, *(f"g/{k + first:0{width}}.png" for k in range(count)))
    found = find_media(f"{root}/{{generator}}/{{prompt}}.png", keyed(count))
    assert {key: int(Path(names[""]).stem) - first for (_, key), names in found.files.items()} == {
        str(k): k for k in range(count)
    }
    assert not found.missing


def test_numbers_that_may_begin_at_either(tmp_path: Path) -> None:
    make(tmp_path, "g/1.png", "g/2.png")
    pattern = f"{tmp_path}/{{generator}}/{{prompt}}.png"
    with pytest.raises(RmbenchError, match="no file has the number 0 or 5; say by --first"):
        find_media(pattern, keyed(5))
    assert set(find_media(pattern, keyed(5), first=0).files) == {("g", "1"), ("g", "2")}
    assert set(find_media(pattern, keyed(5), first=1).files) == {("g", "0"), ("g", "1")}


def test_a_first_number_is_refused_where_prompts_have_ids(tmp_path: Path) -> None:
    make(tmp_path, "g/cat.png")
    with pytest.raises(RmbenchError, match="--first is for prompts that are known by their numbers"):
        find_media(f"{tmp_path}/{{generator}}/{{prompt}}.png", {"cat": "a cat"}, first=1)


@pytest.mark.parametrize(
    ("names", "pattern", "reason"),
    [
        (["a/0.png"], "{generator}/0.png", "expected {generator} and {prompt} once each"),
        (["a/0.png"], "{generator}/{generator}/{prompt}", "once each"),
        (["a/0.png"], "nowhere/{generator}/{prompt}.png", "is no folder"),
        (["a/0.png"], "{generator}/{prompt}.jpg", "no image or video below"),
        (["a/0.png", "a/0.jpg"], "{generator}/{prompt}.*", "a/0.jpg and a/0.png are both a's for prompt 0"),
        (["a/0.png", "b/0.mp4"], "{generator}/{prompt}.*", "both images and videos"),
        (["a/0.png", "a/00.png"], "{generator}/{prompt}.png", "two files of one generator, with and without zeros"),
        (["a/cat.png"], "{generator}/{prompt}.png", "no file has the number 0 or 3"),
    ],
)
def test_what_cannot_be_told(names: list[str], pattern: str, reason: str, tmp_path: Path) -> None:
    make(tmp_path, *names)
    with pytest.raises(RmbenchError, match=reason):
        find_media(f"{tmp_path}/{pattern}", keyed(3))


def test_a_list_is_cut() -> None:
    assert said(["a", "b", "c", "d"], "files are of no prompt") == "4 files are of no prompt: a, b, c and 1 more."
    assert json.dumps(said(["a"], "images are missing")) == '"1 image is missing: a."'
