"""`--data org/name` through the hub's real clients, against a stand-in for its file protocol."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.tasks.fetch.hub_stand_in import HubStandIn
from tests.tasks.fetch.world import World

ROWS = [{"prompt": f"q{k}", "chosen": "good", "rejected": f"bad {k}"} for k in range(5)]
COMMIT = "d" * 40


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    hub = HubStandIn()
    files = {}
    for split, rows in {"train": ROWS, "test": ROWS[:2]}.items():
        out = io.BytesIO()
        pd.DataFrame(rows).to_parquet(out)
        files[f"data/{split}-00000-of-00001.parquet"] = out.getvalue()
    hub.put("org/pairs", files, COMMIT)
    with hub.serving() as endpoint:
        yield World(tmp_path, hub, endpoint)


def record(world: World) -> dict[str, dict[str, str]]:
    (file,) = (world.folder / "out").rglob("record.json")
    content: dict[str, dict[str, str]] = json.loads(file.read_text("utf-8"))
    return content


@pytest.mark.parametrize("words", [[], ["--source", "sample"]])
def test_a_split_of_a_set_is_pinned_and_read(world: World, words: list[str]) -> None:
    run = ["run", "-m", "fake:oracle", "--data", "org/pairs:test", "--out", "out", *words]
    done = world.command(*run)
    assert done.returncode == 0, done.stderr
    assert "org/pairs:test: 2 rows, pairs: prompt=prompt, chosen=chosen, rejected=rejected" in done.stderr
    assert "fake:oracle on org/pairs:test" in done.stdout
    data, task = record(world)["data"], record(world)["task"]
    assert (task["id"], data["source"], data["revision"]) == ("pairs-test", "hub", COMMIT)


def test_what_was_read_once_is_read_without_network(world: World) -> None:
    """From the hub's cache on the machine."""
    assert world.command("run", "-m", "fake:oracle", "--data", "org/pairs:test", "--out", "out").returncode == 0
    world.extra["HF_HUB_OFFLINE"] = "1"
    done = world.command("run", "-m", "fake:anti", "--data", "org/pairs:test", "--out", "out2")
    assert done.returncode == 0, done.stderr
    world.extra["HF_HOME"] = str(world.folder / "empty")
    done = world.command("run", "-m", "fake:anti", "--data", "org/pairs:test", "--out", "out3")
    assert done.returncode == 2
    assert "hub data set org/pairs cannot be loaded (HF_HUB_OFFLINE is set)" in done.stderr


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("org/pairs", "expected one of its splits: org/pairs:train, org/pairs:test"),
        ("org/none:test", "hub data set org/none cannot be loaded"),
        ("org/pairs@nowhere:test", "hub data set org/pairs revision=nowhere cannot be loaded"),
        ("org/pairs:tset", "hub data set org/pairs name=tset cannot be loaded"),
    ],
)
def test_mistakes_are_one_line(world: World, data: str, message: str) -> None:
    done = world.command("run", "-m", "fake:oracle", "--data", data, "--out", "out")
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (world.folder / "out").exists()


def test_a_declaration_of_a_set(world: World) -> None:
    made = world.command("task", "init", "org/pairs:train")
    (world.folder / "mine.toml").write_text(made.stdout)
    done = world.command("run", "-m", "fake:oracle", "--tasks", "mine.toml", "--out", "out")
    assert done.returncode == 0, done.stderr
    assert record(world)["data"]["revision"] == COMMIT
