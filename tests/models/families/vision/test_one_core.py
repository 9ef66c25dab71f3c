"""Threads in which pictures are decoded leave the cores to the forward pass."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from rmbench.models.families.vision.one_core import on_one_core
from rmbench.models.families.vision.preprocess import Preprocess
from rmbench.models.families.vision.shown import decoded, pictures_of
from rmbench.models.protocols import Encoded
from rmbench.types import Part


@pytest.fixture(autouse=True)
def three() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def in_threads(call: Callable[[], Any], count: int = 1) -> list[Any]:
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(call())) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_the_number_is_each_threads_own() -> None:
    def seen() -> int:
        on_one_core()
        on_one_core()
        return torch.get_num_threads()

    assert in_threads(seen, 4) == [1] * 4
    assert in_threads(torch.get_num_threads) == [3]  # a thread that begins later
    on_one_core()
    assert torch.get_num_threads() == 3  # the main thread


def test_pictures_are_decoded_on_one_core(images: list[Path]) -> None:
    (picture,) = pictures_of(Part("image", name="x", path=str(images[0])), None)
    numbers: list[int] = []

    def ready(image: Any) -> Any:
        numbers.append(torch.get_num_threads())
        return Preprocess(8)(image)

    (row,) = in_threads(lambda: decoded([Encoded("a", 1, payload=picture)], ready))[0]
    assert row.payload.pixels.shape == (3, 8, 8)
    assert numbers == [1]
