"""Folder names: readable, safe, and never shared by two names."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmbench.records.slug import model_slug, task_slug


@pytest.mark.parametrize(
    "name, revision, slug",
    [
        ("org/Model-1.5_b", "0123abcd", "org__Model-1.5_b@0123abcd"),
        ("tiny-bt", "main", "tiny-bt@main"),
    ],
)
def test_plain_names_stay(name: str, revision: str, slug: str) -> None:
    assert model_slug(name, revision) == slug


def test_task() -> None:
    assert task_slug("rm-bench", 3) == "rm-bench@3"


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "..",
        ".",
        "",
        "/",
        "a/b/c",
        "baseline:length",
        "C:\\x",
        "a\x00b",
        "-rf",
        "x" * 300,
        "\u202e",
        "a ",
    ],
)
def test_odd_names_are_marked(name: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*-[0-9a-f]{8}", model_slug(name, "r").removesuffix("@r"))
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*-[0-9a-f]{8}@1", task_slug(name, 1))


names = st.text(st.sampled_from("ab_/.-: \u00e9"), max_size=6) | st.text(max_size=5)


@settings(deadline=None, max_examples=300)
@given(names, names)
def test_two_names_two_folders(one: str, other: str) -> None:
    first, second = model_slug(one, "r"), model_slug(other, "r")
    assert (one == other) == (first == second)
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,120}@r", first)


@pytest.mark.parametrize(("length", "kept"), [(100, True), (101, False)])
def test_a_name_of_a_hundred_letters_is_kept(length: int, kept: bool) -> None:
    assert (model_slug("m" * length, "r") == "m" * length + "@r") is kept
