"""Two results lie in two folders, or the second is told of the first; one result has one folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmbench.records.identity import Identity, data_variant
from rmbench.records.slug import model_slug, task_slug

BASE = Identity("org/model", "abc", {"template": "x", "device": "cpu"}, "rm-bench", 1, "{}", "d" * 64, "")


def test_what_a_folder_is_called() -> None:
    assert BASE.folder(Path("out")) == Path("out/org__model@abc/rm-bench@1")
    varied = replace(BASE, revision="abc+dtype=float16,gate=scaled", variant="+limit=10,seed=3")
    assert varied.folder(Path("out")).parts[1] == "org__model@abc+dtype=float16,gate=scaled"
    assert varied.folder(Path("out")).parts[2] == "rm-bench@1+limit=10,seed=3"


@pytest.mark.parametrize(
    "given_, name",
    [
        ({"source": "hub"}, ""),
        ({"source": "folder"}, ""),
        ({"source": "sample"}, "+sample"),
        ({"source": "folder", "limit": 10}, "+limit=10"),
        ({"source": "sample", "limit": 10, "seed": 7}, "+sample,limit=10,seed=7"),
        ({"source": "folder", "images": "sdxl", "media": "0123456789abcdef"}, "+images=sdxl-01234567"),
        ({"source": "hub", "probes": "mrmbench"}, "+probes=mrmbench"),
    ],
)
def test_variants(given_: dict[str, Any], name: str) -> None:
    whole: dict[str, Any] = {"limit": None, "seed": 0, **given_}
    assert data_variant(**whole) == name


@given(st.text(max_size=120), st.text(max_size=120))
def test_no_two_variants_share_a_folder_and_none_leads_out(one: str, two: str) -> None:
    names = [task_slug("t", 1, f"+images={each}") for each in (one, two)]
    names += [model_slug("m", f"abc+template={each}") for each in (one, two)]
    assert (names[0] == names[1]) == (names[2] == names[3]) == (one == two)
    assert all(Path(name).name == name and name.isascii() and len(name) < 200 for name in names)


Change = Callable[[Identity], Identity]


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda it: replace(it, settings={**it.settings, "template": "y"}), "template is x there and y here"),
        (lambda it: replace(it, digest="e" * 64), "its rows or images are others (digest dddddddd there and eeeeeeee"),
        (lambda it: replace(it, metric='{"name": 1}'), "its first metric was declared differently"),
        (lambda it: replace(it, settings={**it.settings, "device": "cuda"}), ""),
        (lambda it: replace(it, settings={**it.settings, "voting": "mean"}), ""),
        (lambda it: it, ""),
    ],
)
def test_what_makes_another_result_of_one_folder(change: Change, said: str) -> None:
    found = BASE.difference(change(BASE))
    assert found.startswith(said)
    assert bool(found) == bool(said)
