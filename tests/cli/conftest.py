"""Fixtures that put a model, a task, a card and a board in the place of the known ones, and that run commands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module

import pytest

from rmbench.boards import load_board
from rmbench.cli import main
from rmbench.metric_spec import MetricSpec
from rmbench.models.card import Card
from rmbench.models.open import OpenOptions, open_model
from rmbench.models.protocols import ModelFacts
from tests._hostile import (
    hostile,
)
from tests.cli.scene import Printed, Scene, Words, known_task


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Callable[[Scene], None]:
    """Makes a model, a task with its rows, a card and a board say the scene's text of themselves."""

    # What asks the hub is told at once that it is not there, where its client would try again for half a minute.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    def play(scene: Scene) -> None:
        text = scene.text
        model = open_model("baseline:length", OpenOptions())
        facts = replace(hostile(ModelFacts, text), modalities=frozenset({"text"}), flags=("fake",))
        object.__setattr__(model, "facts", facts)
        for module in ("rmbench.models.open", "rmbench.check.conformance"):
            monkeypatch.setattr(import_module(module), "open_model", lambda *_, **__: model)
        known, loaded = known_task()
        plain = {
            name: text for name, field in type(known).model_fields.items() if field.annotation in (str, str | None)
        }
        source = scene.folder / "the-task.toml"
        source.write_text(f"# {text}\n", "utf-8", errors="backslashreplace")
        metrics = (MetricSpec(text, "pair", chance=0.5),)
        changed = {"aliases": ("the-task",), "path": source, "metrics": metrics, "quirks": (text,)}
        task = known.model_copy(update=plain | changed | {"fit_split": None})
        rows = tuple(
            replace(row, id=f"{text}{k}", groups={text: text}, cluster=text) for k, row in enumerate(loaded.examples)
        )
        read = replace(loaded, examples=rows, missing=(text,), notes=(text,))
        card = Card.model_construct(**{**hostile(Card, text), "path": source, "parameters": 1})
        mine = load_board(scene.board)
        monkeypatch.setattr(import_module("rmbench.tasks.registry"), "declared", lambda: {text: task})
        for module in ("rmbench.tasks.sources", "rmbench.reports.texts"):
            monkeypatch.setattr(import_module(module), "load", lambda *_, **__: read)
        monkeypatch.setattr(import_module("rmbench.models.card"), "cards", lambda: {"the-card": card})
        monkeypatch.setattr(import_module("rmbench.boards"), "boards", lambda: {text: mine})

    return play


@pytest.fixture
def print_(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[[Words], Printed]:
    monkeypatch.setenv("COLUMNS", "80")

    def run(words: Words) -> Printed:
        with pytest.raises(SystemExit) as ended:
            main(words)
        printed = capsys.readouterr()
        return Printed(int(ended.value.code or 0), printed.out, printed.err)

    return run
