"""Examples that stream: same judgments, and nothing held but a window."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from rmbench.engine import encode
from rmbench.engine.judge import judge
from rmbench.engine.stream import stream
from rmbench.types import Example


@pytest.fixture(autouse=True)
def _small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "_WINDOW", 20)


def test_a_stream_gives_what_a_list_gives(scorer: Any, example: Any) -> None:
    examples = [example(f"e{n}", f"prompt {n % 7}", "x" * (n % 11), "y" * (n % 5)) for n in range(95)]
    streamed = list(stream(iter(examples), scorer()))
    listed = judge("task", examples, scorer())
    assert streamed == list(listed.judgments)
    assert listed.statistics.requests == 190
    assert [judgment.id for judgment in streamed] == [one.id for one in examples]


def test_nothing_streams_to_nothing(scorer: Any) -> None:
    assert list(stream(iter(()), scorer())) == []


def test_rows_are_taken_as_they_are_needed(scorer: Any, example: Any) -> None:
    taken = 0

    def rows() -> Iterator[Example]:
        nonlocal taken
        for n in range(10_000):
            taken += 1
            yield example(f"e{n}", "prompt", f"answer {n}", "other")

    running = stream(rows(), scorer())
    next(running)
    assert taken <= 3 * 10  # two windows of ten examples, and one being cut


def test_what_was_given_is_let_go(scorer: Any, example: Any) -> None:
    class Seen:
        """Something that dies with its example."""

    alive: list[weakref.ref[Seen]] = []

    def rows() -> Iterator[Example]:
        for n in range(400):
            one = example(f"e{n}", "prompt", f"answer {n}", "other")
            mark = Seen()
            one.context["mark"] = mark
            alive.append(weakref.ref(mark))
            yield one

    most = 0
    for count, _ in enumerate(stream(rows(), scorer())):
        if count % 50 == 0:
            gc.collect()
            most = max(most, sum(ref() is not None for ref in alive))
    assert most <= 50


def test_errors_of_a_window_that_is_encoded_ahead_are_raised(scorer: Any, example: Any) -> None:
    class Short(scorer):  # type: ignore[misc]
        def encode(self, requests: Any) -> Any:
            rows = super().encode(requests)
            return rows[:-1] if "LAST" in requests[-1].conversation[0].text else rows

    examples = [example(f"e{n}", "LAST" if n == 29 else "p", "a", f"b{n}") for n in range(30)]
    with pytest.raises(Exception, match="encode gave"):
        list(stream(iter(examples), Short()))
