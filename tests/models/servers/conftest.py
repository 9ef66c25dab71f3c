"""Runs of a judge at a server of one kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rmbench.engine.interfaces import SilentProgress
from rmbench.evaluation.results import Results
from rmbench.evaluation.run import run


@pytest.fixture
def judged(stubs: Any, serve: Any, tmp_path: Path) -> Any:
    """Runs a judge at a server of one kind; `judged.calls` are the requests, `judged.notes` what was said."""
    notes: list[str] = []

    class Told(SilentProgress):
        def note(self, text: str) -> None:
            notes.append(text)

    def start(answer: Callable[[Any], Any], protocol: str = "pair", **more: Any) -> Results:
        stub = serve(answer)
        start.stub = stub  # type: ignore[attr-defined]
        args = {"protocol": protocol, **more.pop("model_args", {})}
        url = stub.url + more.pop("suffix", "")
        return run(
            "openai:m",
            "judgebench",
            source="sample",
            base_url=url,
            out=tmp_path,
            model_args=args,
            progress=Told(),
            **more,
        )

    start.notes = notes  # type: ignore[attr-defined]
    return start
