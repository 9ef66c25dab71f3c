"""Images that the tests of this folder share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.models.families.vision.conftest import picture


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three images of different sizes and shapes."""
    folder = tmp_path_factory.mktemp("images")
    return [picture(folder / f"{index}.png", index, size) for index, size in enumerate([(40, 32), (32, 32), (33, 70)])]
