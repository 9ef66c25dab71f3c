"""Times of a record: seconds are those of a clock that no change of the time of day moves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

import rmbench
from rmbench.evaluation import build_record


def test_a_clock_set_back_makes_no_negative_seconds(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    class SetBack(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            nonlocal calls
            calls += 1
            return datetime(2026, 1, 1, tzinfo=UTC) - timedelta(hours=calls)

    monkeypatch.setattr(build_record, "datetime", SetBack)
    results = rmbench.run("baseline:length", "rm-bench", source="sample", out=tmp_path_factory.mktemp("out"))
    assert calls >= 2
    assert 0 <= results.records[0].run.seconds < 600
