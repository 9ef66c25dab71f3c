"""Reading pauses the collector of cycles, and leaves it as it was."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest

from rmbench.errors import RmbenchError
from rmbench.tasks import sources
from rmbench.tasks.registry import get
from rmbench.tasks.sources import load


@pytest.fixture
def collecting() -> Iterator[None]:
    yield
    gc.enable()


@pytest.mark.usefixtures("collecting")
@pytest.mark.parametrize("before", [True, False])
def test_the_collector_is_as_it_was_before(before: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    read = sources._read

    def noted(*given: Any) -> Any:
        seen.append(gc.isenabled())
        return read(*given)

    monkeypatch.setattr(sources, "_read", noted)
    if not before:
        gc.disable()
    load(get("rm-bench"), "sample")
    assert seen == [False]
    assert gc.isenabled() == before


def test_it_goes_on_where_reading_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*given: Any) -> Any:
        raise RmbenchError("no rows")

    monkeypatch.setattr(sources, "_read", fails)
    with pytest.raises(RmbenchError, match="no rows"):
        load(get("rm-bench"), "sample")
    assert gc.isenabled()
