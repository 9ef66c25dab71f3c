"""A hostile checkpoint is refused in one line that names its folder, quickly and without a process of its own; the long
version with limits of time and memory is benchmarks/hostile.py."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from rmbench.errors import RmbenchError
from rmbench.models.open import open_model
from tests.hostile.case import Case
from tests.hostile.checkpoints import CHECKPOINTS, base
from tests.hostile.pickles import RAN
from tests.hostile.templates import TEMPLATES

_SLOW = {case.name for case in TEMPLATES} | {
    "archive of 4 GB in 4 MB",
    "index of 1,000,000 shards",
    "layer types of 3,000,000 layers",
    "config of 60 MB of lists",
    "pickle nested 1,000,000 times",
}
"""Templates of unknown cost are rendered in a process that is killed after seconds; others take a second to make."""
_REFUSED = [case for case in CHECKPOINTS if case.outcome == "refused" and case.name not in _SLOW]


@pytest.mark.parametrize("case", _REFUSED, ids=lambda case: case.name)
def test_it_is_refused_in_one_line(case: Case, tmp_path: Path) -> None:
    folder = base(tmp_path / "the-hostile-one")
    case.make(folder)
    start = time.monotonic()
    with pytest.raises(RmbenchError) as refusal:
        open_model(str(folder))
    message = str(refusal.value)
    assert folder.name in message
    assert "\n" not in message
    assert 10 < len(message.replace(str(folder), "")) < 1200
    assert time.monotonic() - start < 60
    assert not RAN.exists()


def test_the_good_one_is_opened(tmp_path: Path) -> None:
    assert open_model(str(base(tmp_path / "case"))).facts.family == "scalar"


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize(("content", "said"), [(b'{"a": "\xff"}', "is not UTF-8"), (b"[1]", "must hold a JSON object")])
def test_the_file_is_named(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    folder = base(tmp_path / "case")
    (folder / name).write_bytes(content)
    with pytest.raises(RmbenchError, match=rf"case/{name} {said}"):
        open_model(str(folder))
