"""Every protocol at a server: what is asked in the check, and a run that ends with a record."""

from __future__ import annotations

from typing import Any

import pytest

from rmbench.errors import RmbenchError
from rmbench.models.judges.declaration import load_protocol, protocol_names
from tests.models.servers.scene import ROWS, server

NEEDS = {"pointwise-rubric": "needs a rubric, and the row has none"}
"""Protocols of rows that the task has not."""
SEEING = [name for name in protocol_names() if (media := load_protocol(name).media) is not None and media.of != "any"]
"""Protocols of rows with images, see test_servers_seeing.py."""


@pytest.mark.parametrize("protocol", [name for name in protocol_names() if name not in (*NEEDS, *SEEING)])
def test_a_judge_of_it_is_checked_and_asked(judged: Any, stubs: Any, protocol: str) -> None:
    """Whatever roles its messages have: the rows are judged, or cannot be parsed from a reply that is no verdict."""
    chats = server(stubs, lambda _: "[[A]]")

    def answer(call: Any) -> Any:
        if call.path == "/v1/completions":
            return stubs.Answer({"choices": [{"index": 0, "text": "[[A]]", "finish_reason": "stop"}]})
        return chats(call)

    counts = judged(answer, protocol).records[0].counts
    assert (counts.judged + counts.unparsed, counts.failed) == (ROWS, 0)


@pytest.mark.parametrize("protocol", NEEDS)
def test_what_the_rows_lack_is_said(judged: Any, stubs: Any, protocol: str) -> None:
    with pytest.raises(RmbenchError, match=NEEDS[protocol]):
        judged(server(stubs, lambda _: "[[A]]"), protocol)
