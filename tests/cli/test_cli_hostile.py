"""No text of others reaches a terminal, a page, Markdown or JSON but through the one function for that place.

Every command is in `RENDERINGS`, and texts are put into every field of the nouns by walking their types, so that a new
command fails here and a new field is covered by itself.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from rmbench import resources
from rmbench.cli import cli
from tests._hostile import (
    ALL_AT_ONCE,
    PAYLOADS,
    check_json,
    check_message,
    check_terminal,
    markdown_shape,
    strings_in,
)
from tests.cli.scene import RENDERINGS, Printed, Scene, Words, page_and_summary, scene_of

Print = Callable[[Words], Printed]
Play = Callable[[Scene], None]


def leaves(command: click.Command, words: tuple[str, ...] = ()) -> Iterator[str]:
    """Every command that prints something of its own."""
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from leaves(inner, (*words, name))
    if not isinstance(command, click.Group) or command.invoke_without_command:
        yield " ".join(words)


def test_every_command_is_here_with_each_of_its_outputs() -> None:
    assert set(RENDERINGS) == set(leaves(cli))
    for words, renderings in RENDERINGS.items():
        command: click.Command = cli
        for word in words.split():
            assert isinstance(command, click.Group)
            command = command.commands[word]
        kinds = {kind for kind, _ in renderings}
        options = {name for parameter in command.params for name in parameter.opts}
        if words != "probe" and words != "rescore" and words != "cache clear":
            assert ("--json" in options) == ("json" in kinds), words
        assert ("--markdown" in options) == ("markdown" in kinds), words
        assert ("--summary" in options) == ("summary" in kinds), words


HARMLESS: dict[str, list[Any]] = {}
"""The shapes of what is printed of harmless text, made once."""


def shapes_of(text: str, folder: Path, stage: Play, print_: Print) -> list[Any]:
    """All renderings of a scene, checked; the shapes of pages and Markdown, and the exit codes."""
    folder.mkdir()
    scene = scene_of(text, folder)
    stage(scene)
    shapes: list[Any] = []
    for words, renderings in RENDERINGS.items():
        for made, command in renderings:
            shapes += checked(f"{words} {made}", made, print_(command(scene)), scene)
    return [*shapes, *page_and_summary(scene)]


@pytest.mark.parametrize("kind", PAYLOADS)
def test_no_text_gets_through(kind: str, tmp_path: Path, stage: Play, print_: Print) -> None:
    if not HARMLESS:
        HARMLESS["word"] = shapes_of("word", tmp_path / "harmless", stage, print_)
    shapes, harmless = shapes_of(PAYLOADS[kind], tmp_path / "harmful", stage, print_), HARMLESS["word"]
    if kind.startswith("surrogate"):  # no record can hold one, so commands that write one refuse it
        shapes, harmless = ([each for each in all_ if not isinstance(each, tuple)] for all_ in (shapes, harmless))
    assert shapes == harmless


def checked(what: str, made: str, printed: Printed, scene: Scene) -> list[Any]:
    """What a command printed, checked; its exit code and the shape of its Markdown."""
    assert printed.code in (0, 1, 2, 3), (what, printed)
    check_message(printed.err)
    if made == "json" and printed.out:
        data = check_json(printed.out)
        if what == "show json":
            assert scene.text in set(strings_in(data))
    else:
        check_terminal(printed.out)
    return [(what, printed.code), markdown_shape(printed.out) if made == "markdown" else None]


def test_rich_and_click_print_through_one_module_each() -> None:
    """Renderers make text by `rmbench.text`, and commands print by `rmbench.cli.output`."""
    package = Path(resources.__file__).parent
    of_rich, of_click = set(), set()
    for file in package.rglob("*.py"):
        source = re.sub(r"^ *>>> .*$", "", file.read_text("utf-8"), flags=re.MULTILINE)
        name = str(file.relative_to(package))
        if re.search(r"\bText\(|Text\.assemble|from_markup|Console\(", source):
            of_rich.add(name)
        if re.search(r"click\.s?echo\(|(?<![.\w])print\(|sys\.std(out|err)\.write", source):
            of_click.add(name)
    assert of_rich == {
        *("text/tables.py", "cli/output.py"),
        *("evaluation/progress.py", "evaluation/prompts_text.py", "evaluation/results.py"),
    }
    pages = {str(file.relative_to(package)) for file in package.rglob("*.html")}
    assert pages == {
        *(
            f"boards/site/{name}.html"
            for name in ("board", "compare", "index", "list", "model", "parts", "record", "task")
        ),
        "evaluation/results.html",
        "html/shell.html",
        "view/page.html",
        "view/sheet.html",
        "reports/page.html",
        "reports/sections.html",
    }  # each made by `rmbench.html`
    assert of_click == {"cli/output.py", "cli/__init__.py"}


LIBRARY = """
import logging, sys, threading, warnings
import rmbench.cli as cli

text = {text!r}

class Bad:
    def __del__(self):
        raise ValueError(text)

@cli.cli.command()
def talk():
    handler = logging.StreamHandler()
    logging.getLogger("library").addHandler(handler)
    logging.getLogger("library").warning("a field %s", text)
    try:
        raise KeyError(text)
    except KeyError:
        logging.getLogger("library").exception("failed on " + text)
    warnings.warn(text)
    def fail():
        raise ValueError(text)
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    Bad()

cli.main(["talk"])
"""


def test_what_libraries_print_is_printable(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", LIBRARY.format(text=ALL_AT_ONCE)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0
    check_message(done.stderr)
    for said in ("a field", "failed on", "UserWarning", "KeyError", "unexpected ValueError", "(ignored)"):
        assert said in done.stderr
