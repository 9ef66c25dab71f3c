"""Hostile files given as rows of one's own: rows, or one error of ours, like those of any task."""

from __future__ import annotations

from pathlib import Path

import pytest

from rmbench.errors import RmbenchError
from rmbench.tasks.own.declare import own_task
from rmbench.tasks.sources import load
from tests.hostile.case import Case
from tests.hostile.rows import ROWS

COLUMNS = {"prompt": "question", "chosen": "good", "rejected": "bad", "id": "key"}
FILES = [case for case in ROWS if not case.name.startswith(("scores", "task"))]


@pytest.mark.slow
@pytest.mark.parametrize("case", FILES, ids=lambda case: case.name)
def test_it_is_read_or_refused(case: Case, tmp_path: Path) -> None:
    case.make(tmp_path)
    file = min((tmp_path / "mine").glob("rows.*"))  # a link that goes in circles has two
    if case.outcome == "rows":
        own = own_task(str(file), COLUMNS)
        assert own.task.n >= 1
        return
    with pytest.raises(RmbenchError) as caught:
        load(own_task(str(file), COLUMNS).task)
    assert len(str(caught.value)) < 4_000
