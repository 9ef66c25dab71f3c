"""A machine with stand-ins for the hub and for git servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tasks.fetch.hub_stand_in import HubStandIn
from tests.tasks.fetch.world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    hub = HubStandIn()
    with hub.serving() as endpoint:
        yield World(tmp_path, hub, endpoint)
