"""Mistakes in files and words of others: whatever the message repeats of them is harmless."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from rmbench import resources
from rmbench.cli import cli
from rmbench.models.card import cards
from rmbench.records.store import find
from rmbench.tasks.registry import get
from tests._hostile import (
    ALL_AT_ONCE,
    check_message,
    check_terminal,
    places_of,
    put,
)
from tests.cli.scene import MODEL, RENDERINGS, TASKS, Printed, Words, known_task, scene_of, toml

Print = Callable[[Words], Printed]


def check_error(printed: Printed, what: object, *, foreseen: bool = True) -> None:
    """Whatever came of it was foreseen, and is safe to print."""
    assert printed.code in (0, 1, 2, 3) or (printed.code == 70 and not foreseen), (what, printed.err)
    assert "Traceback" not in printed.err
    check_message(printed.err)
    check_terminal(printed.out)


def test_wrong_fields_of_records(tmp_path: Path, print_: Print) -> None:
    """Each field by itself, whatever its type, so that the messages of every check are seen."""
    scene = scene_of("word", tmp_path)
    file = scene.a / next(iter(find(scene.a))).name / "record.json"
    data = json.loads(file.read_text("utf-8"))
    places = list(places_of(data))
    assert len(places) > 100
    for place in places:
        file.write_text(json.dumps(put(data, place, ALL_AT_ONCE)), "utf-8")
        for words in ("show", "validate", "compare", "gate", "board show"):
            check_error(print_(RENDERINGS[words][0][1](scene)), (words, place))
    file.write_text(json.dumps({**data, ALL_AT_ONCE: 1}), "utf-8")
    check_error(print_(["validate", str(scene.a)]), "an unknown key")


@pytest.mark.parametrize("text", [ALL_AT_ONCE, "nul\x00byte"])
def test_wrong_fields_of_declarations(text: str, tmp_path: Path, print_: Print) -> None:
    tasks = [tomllib.loads(get(name).path.read_text("utf-8")) for name in ("rm-bench", "ragchecker")]
    models = [tomllib.loads(card.path.read_text("utf-8")) for card in list(cards().values())[::60]]
    mine = [tomllib.loads(board.read_text("utf-8")) for board in sorted(resources.leaderboards().glob("*.toml"))]
    for kind, data in [("task", each) for each in tasks] + [("card", each) for each in models + mine]:
        name = str(data.get("name") or data["id"])
        file = tmp_path / f"{name}.toml"
        for place in places_of(data):
            file.write_text(toml(put(data, place, text)), "utf-8")
            check_error(print_(["validate", str(file)]), (kind, place))
            if kind == "task":
                check_error(print_(["run", *MODEL, "--tasks", str(file), "--source", "sample"]), (kind, place))
        file.write_text(toml({**data, ALL_AT_ONCE: 1}), "utf-8")
        check_error(print_(["validate", str(file)]), "an unknown key")


@pytest.mark.parametrize("text", [ALL_AT_ONCE, "[/red]", ""])
def test_words_of_the_command_line(text: str, tmp_path: Path, print_: Print, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for words in RENDERINGS:
        command: click.Command = cli
        for word in words.split():
            assert isinstance(command, click.Group)
            command = command.commands[word]
        needed = {
            "run": [*MODEL, *TASKS],
            "probe": [*MODEL, *TASKS],
            "score": [*MODEL, "-p", "a", "-r", "b", "-r", "c"],
        }
        for parameter in command.params:
            options = [*needed.get(words, [])]
            given = [text] if isinstance(parameter, click.Argument) else [max(parameter.opts, key=len), text]
            check_error(print_([*words.split(), *options, *given]), (words, parameter.name))
    check_error(print_([text]), "a command")
    check_error(print_([f"--{text}"]), "an option")


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_fields_of_checkpoints(name: str, tmp_path: Path, print_: Print) -> None:
    folder = tmp_path / "checkpoint"
    shutil.copytree(resources.bundled_models() / "tiny-bt", folder)
    data = json.loads((folder / name).read_text("utf-8"))
    for place in [*places_of(data), (ALL_AT_ONCE,)]:
        (folder / name).write_text(json.dumps(put(data, place, ALL_AT_ONCE)), "utf-8")
        check_error(print_(["score", "--model", str(folder), "-p", "a", "-r", "b", "-r", "c"]), place, foreseen=False)


def test_fields_of_score_files(tmp_path: Path, print_: Print) -> None:
    file = tmp_path / "scores.jsonl"
    ids = [example.id for example in known_task()[1].examples]
    rows = [{"task": "rm-bench", "id": one, "scores": [0.0] * 6, "model": "m"} for one in ids]
    for place in [*places_of(rows), (0, ALL_AT_ONCE)]:
        file.write_text("".join(json.dumps(row) + "\n" for row in put(rows, place, ALL_AT_ONCE)), "utf-8")
        words = ["run", "--model", f"scores:{file}", "--tasks", "rm-bench", "--source", "sample", "--limit", "2"]
        check_error(print_([*words, "--out", str(tmp_path / "out")]), place)
