"""A callable that fails on every row measures nothing, which is an error and no result."""

from __future__ import annotations

from pathlib import Path

import pytest

import rmbench
from rmbench.errors import RmbenchError
from rmbench.records.headline import headline
from rmbench.records.store import find, read


def test_a_callable_that_fails_on_every_row_is_an_error(tmp_path: Path) -> None:
    def reward(conversations: list[object]) -> list[float]:
        raise ValueError("no such column")

    with pytest.raises(RmbenchError, match=r"failed on all \d+ rows; the first, .*no such column"):
        rmbench.run(model=reward, tasks=["llmbar"], source="sample", out=tmp_path)


def test_a_callable_that_fails_for_several_reasons_is_an_error_and_leaves_a_record(tmp_path: Path) -> None:
    def reward(conversations: list[object]) -> list[float]:
        return [float("inf") if len(repr(one)) % 2 else float("nan") for one in conversations]

    with pytest.raises(RmbenchError, match=r"failed on all \d+ rows"):
        rmbench.run(model=reward, tasks=["llmbar"], source="sample", out=tmp_path)
    record = read(find(tmp_path)[0])
    value = headline(record)
    assert (value.value, value.low, value.high, value.coverage) == (None, None, None, 0)
    assert record.counts.failed == record.data.rows
