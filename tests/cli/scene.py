"""Every command of the command line and each of its outputs; files that say one text in all their fields."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rmbench.evaluation.results import Results, Skipped
from rmbench.metric_spec import MetricSpec
from rmbench.records.record import JudgmentsFile, Record
from rmbench.tasks.registry import get
from rmbench.tasks.sources import load
from rmbench.tasks.task import Loaded, Task
from tests._hostile import (
    check_terminal,
    hostile,
    markdown_shape,
    unseen,
)
from tests._make import margins, put_record
from tests.boards.sites import Seen


@dataclass(frozen=True)
class Scene:
    """Files with one text in all their fields, and a model and a task that say it of themselves."""

    text: str
    folder: Path
    a: Path
    """A model's records."""
    b: Path
    board: Path
    task: Path
    """A task's TOML."""
    rows: Path
    """Rows of a user's own."""
    row: str
    """The id of a row."""
    table: Path
    """A table of a paper, about a record that holds."""


@dataclass(frozen=True)
class Printed:
    code: int
    out: str
    err: str


Words = list[str]
Rendering = tuple[str, Callable[[Scene], Words]]
"""What it makes ("terminal", "json", "markdown"; "summary" or "page", which are files), and the command's words."""


def lines(*words: str) -> Rendering:
    return "terminal", lambda _: list(words)


MODEL = ["--model", "the-model"]
SAMPLE = ["--source", "sample"]
TASKS = ["--tasks", "the-task", *SAMPLE]
RENDERINGS: dict[str, list[Rendering]] = {
    "run": [
        ("terminal", lambda at: ["run", *MODEL, *TASKS, "--out", str(at.folder / "out")]),
        ("json", lambda at: ["run", *MODEL, *TASKS, "--out", str(at.folder / "out"), "--json"]),
        ("terminal", lambda at: ["run", *MODEL, *TASKS, "--shard", "1/1", "--out", str(at.folder / "shard")]),
    ],
    "retrieval": [lines("retrieval", *MODEL, *TASKS), ("json", lambda _: ["retrieval", *MODEL, *TASKS, "--json"])],
    "probe": [("terminal", lambda at: ["probe", *MODEL, *TASKS, "--out", str(at.folder / "out")])],
    "check": [
        ("terminal", lambda at: ["check", "the-model", "--out", str(at.folder / "out")]),
        ("json", lambda at: ["check", "the-model", "--out", str(at.folder / "out"), "--json"]),
    ],
    "score": [
        ("terminal", lambda at: ["score", *MODEL, "-p", at.text, "-r", at.text, "-r", "b"]),
        ("json", lambda at: ["score", *MODEL, "-p", at.text, "-r", at.text, "-r", "b", "--json"]),
    ],
    "generators": [
        (
            "terminal",
            lambda at: ["generators", str(at.folder / "{generator}.{prompt}"), "--prompts", str(at.rows), *MODEL],
        ),
        ("json", lambda at: ["generators", at.text, "--prompts", str(at.rows), *MODEL, "--json"]),
    ],
    "report": [
        ("terminal", lambda at: ["report", str(at.a), str(at.b)]),
        ("json", lambda at: ["report", str(at.a), "--json"]),
        ("page", lambda at: ["report", str(at.a), str(at.b), "--html", str(at.folder / "report.html")]),
    ],
    "dissect": [
        ("terminal", lambda at: ["dissect", str(at.a), *SAMPLE]),
        ("json", lambda at: ["dissect", str(at.a), *SAMPLE, "--json"]),
    ],
    "annotators": [
        ("terminal", lambda at: ["annotators", str(at.a), "--ai", str(at.b), *SAMPLE]),
        ("json", lambda at: ["annotators", str(at.a), "--ai", str(at.b), *SAMPLE, "--json"]),
    ],
    "show-prompt": [
        ("terminal", lambda at: ["show-prompt", "the-task", *MODEL, "--source", "sample"]),
        ("json", lambda at: ["show-prompt", "the-task", *MODEL, "--source", "sample", "--json"]),
    ],
    "fetch": [
        ("terminal", lambda at: ["fetch", "the-task", "--to", str(at.folder / "data")]),
        ("json", lambda at: ["fetch", "the-task", "--to", str(at.folder / "data"), "--json"]),
    ],
    "tasks": [lines("tasks"), ("json", lambda _: ["tasks", "--json"]), lines("tasks", "--ids", "the-task")],
    "models": [lines("models"), ("json", lambda _: ["models", "--json"])],
    "show": [
        ("terminal", lambda at: ["show", str(at.a)]),
        ("json", lambda at: ["show", str(at.a), "--json"]),
        ("terminal", lambda _: ["show", "the-task"]),
        ("terminal", lambda _: ["show", "the-card"]),
    ],
    "view": [
        ("terminal", lambda at: ["view", str(at.a), *SAMPLE, "--text"]),
        ("terminal", lambda at: ["view", str(at.a), "--flipped", str(at.b), "--data", str(at.rows), "--text"]),
        ("page", lambda at: ["view", str(at.a), *SAMPLE, "--out", str(at.folder / "rows.html")]),
        ("terminal", lambda at: ["view", str(at.a), *SAMPLE, "--id", at.row, "--csv", str(at.folder / "rows.csv")]),
    ],
    "task init": [("terminal", lambda at: ["task", "init", str(at.rows)])],
    "validate": [
        ("terminal", lambda at: ["validate", str(at.a)]),
        ("terminal", lambda at: ["validate", str(at.task)]),
        ("terminal", lambda at: ["validate", str(at.board)]),
    ],
    "verify": [
        ("terminal", lambda at: ["verify", str(at.a)]),
        ("json", lambda at: ["verify", str(at.a), "--json"]),
        ("terminal", lambda at: ["verify", str(at.table), "--results", str(at.folder / "sound")]),
        ("json", lambda at: ["verify", str(at.table), "--results", str(at.folder / "sound"), "--json"]),
        ("terminal", lambda at: ["verify", str(at.a), "--rerun", "2", *MODEL, "--source", "sample"]),
    ],
    "export": [
        ("terminal", lambda at: ["export", str(at.folder / "sound"), "--to", "scores", "--out", str(at.folder / "ex")]),
        ("json", lambda at: ["export", str(at.a), "--to", "model-index", "--out", str(at.folder / "ex"), "--json"]),
    ],
    "submit": [
        ("terminal", lambda at: ["submit", str(at.a)]),
        ("terminal", lambda at: ["submit", str(at.folder / "sound")]),
        ("json", lambda at: ["submit", str(at.folder / "sound"), "--out", str(at.folder / "handed-in"), "--json"]),
    ],
    "merge": [
        ("terminal", lambda at: ["merge", str(at.folder / "shard"), "--out", str(at.folder / "whole")]),
        ("json", lambda at: ["merge", str(at.folder / "shard"), "--out", str(at.folder / "whole"), "--json"]),
    ],
    "rescore": [
        ("terminal", lambda at: ["rescore", str(at.a), "--objective-weights", "a=1", "--out", str(at.folder / "re")])
    ],
    "compare": [
        ("terminal", lambda at: ["compare", str(at.a), str(at.b)]),
        ("json", lambda at: ["compare", str(at.a), str(at.b), "--json"]),
        ("markdown", lambda at: ["compare", str(at.a), str(at.b), "--markdown"]),
    ],
    "gate": [
        ("terminal", lambda at: ["gate", "--baseline", str(at.a), "--candidate", str(at.b)]),
        ("json", lambda at: ["gate", "--baseline", str(at.a), "--candidate", str(at.b), "--json"]),
        (
            "summary",
            lambda at: [
                *("gate", "--baseline", str(at.a), "--candidate", str(at.b)),
                *("--summary", str(at.folder / "summary.md")),
            ],
        ),
    ],
    "board show": [
        ("terminal", lambda at: ["board", "show", str(at.board), "--results", str(at.a.parent)]),
        ("terminal", lambda at: ["board", "show", str(at.board), "--results", str(at.a.parent), "--sort", at.text]),
        ("json", lambda at: ["board", "show", str(at.board), "--results", str(at.a.parent), "--json"]),
        ("terminal", lambda _: ["board", "show"]),
        ("json", lambda _: ["board", "show", "--json"]),
    ],
    "board export": [
        ("terminal", lambda at: ["board", "export", str(at.board), "--results", str(at.a.parent), "--to", "md"]),
        ("terminal", lambda at: ["board", "export", str(at.board), "--results", str(at.a.parent), "--to", "latex"]),
        ("terminal", lambda at: ["board", "export", str(at.board), "--results", str(at.a.parent), "--to", "csv"]),
        ("terminal", lambda at: ["board", "export", str(at.board), "--results", str(at.a.parent), "--to", "json"]),
    ],
    "board build": [
        (
            "page",
            lambda at: [
                *("board", "build", str(at.board), "--results", str(at.a.parent)),
                *("--out", str(at.folder / "site")),
            ],
        )
    ],
    "cache": [lines("cache"), ("json", lambda _: ["cache", "--json"])],
    "cache clear": [lines("cache", "clear")],
}


def hostile_record(text: str, rows_file: dict[str, Any]) -> dict[str, Any]:
    """A record as plain data; what boards and comparisons must find of it is as it is in any record."""
    data: dict[str, Any] = hostile(Record, text)
    value = {**data["results"][0], "metric": text}
    data["task"]["metrics"] = [asdict(MetricSpec(text, "pair", chance=0.5))]
    data["model"]["check"]["passed"] = True
    data["counts"] |= {"failed": 0}
    data["data"]["rows"] = rows_file["rows"]
    data["results"] = [{**value, "group": None}, {**value, "group": text}, {**value, "metric": "other"}]
    return data | {"judgments": rows_file}


def put_hostile(root: Path, text: str, lost: int, name: str) -> Path:
    """A record's folder, in a folder of its own, and its record rewritten with `text` in every field."""
    place = put_record(root / name, margins(12, 20, lost=lost), name=name)
    data = json.loads((place / "record.json").read_text("utf-8"))
    changed = hostile_record(text, data["judgments"])
    (place / "record.json").write_text(json.dumps(changed), "utf-8")
    return place.parent


def toml(data: dict[str, Any]) -> str:
    """Plain data as TOML: JSON's strings are TOML's, and tables are inline."""

    def value(each: Any) -> str:
        if isinstance(each, dict):
            return "{" + ", ".join(f"{json.dumps(key)} = {value(inner)}" for key, inner in each.items()) + "}"
        if isinstance(each, list | tuple):
            return "[" + ", ".join(map(value, each)) + "]"
        if isinstance(each, str):
            escaped = json.dumps(each, ensure_ascii=False)
            return "".join(char if not unseen(char) and char != "\x7f" else f"\\U{ord(char):08x}" for char in escaped)
        return json.dumps(each)

    return "".join(f"{key} = {value(each)}\n" for key, each in data.items() if each is not None)


def scene_of(text: str, folder: Path) -> Scene:
    a, b = put_hostile(folder / "results", text, 0, "a"), put_hostile(folder / "results", text, 3, "b")
    board = folder / "mine.toml"
    sane = text.encode("utf-8", "backslashreplace").decode()
    board.write_text(toml({"id": "mine", "title": sane, "description": sane, "tasks": ["*"], "aggregate": "none"}))
    task = folder / "task.toml"
    task.write_text(toml({"id": sane, "title": sane, "family": sane}))
    rows = folder / "rows.jsonl"
    rows.write_text(json.dumps({"prompt": text, "chosen": text, "rejected": f"{text}.", "subset": text, text: text}))
    with contextlib.suppress(ValidationError, UnicodeEncodeError):  # a lone surrogate, which no record can hold
        put_record(folder / "sound", margins(12, 20), name=text, changed={"task": {"title": text}})
    put_record(folder / "sound", margins(12, 20), name="org/known")
    table = folder / "table.csv"
    cells = [["model", "pairs", f"no task {sane}"], ["org/known", "60.0", "1"], [f"no model {sane}", "1", f"1 {sane}"]]
    table.write_text("\n".join(",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in cells), "utf-8")
    return Scene(text, folder, a, b, board, task, rows, text, table)


@cache
def known_task() -> tuple[Task, Loaded]:
    """A task and some of its rows, before any is replaced."""
    task = get("rm-bench")
    return task, load(task, "sample", limit=2)


def page_and_summary(scene: Scene) -> tuple[Any, ...]:
    """The shapes of what is read elsewhere than in a terminal: a board, a gate's summary, results in a notebook."""
    page = Seen((scene.folder / "site" / "mine" / "index.html").read_text("utf-8"))
    report = scene.folder / "report.html"  # a record that cannot be read has none
    in_depth = Seen(report.read_text("utf-8")).shape if report.exists() else None
    summary = markdown_shape((scene.folder / "summary.md").read_text("utf-8"))
    return page.shape, in_depth, summary, ("notebook", notebook_shape(scene.text))


def notebook_shape(text: str) -> Any:
    """The shape of results, each of whose texts is `text`, as a notebook shows them."""
    with contextlib.suppress(ValidationError):  # a lone surrogate, which no record can hold
        data = hostile_record(text, hostile(JudgmentsFile, text))
        records = (Record.model_validate(data),)
        results = Results(text, text, records, (Skipped(text, text),), text)
        page = Seen(results._repr_html_())
        check_terminal("\n".join(page.texts))
        check_terminal(results._repr_mimebundle_()["text/plain"])
        return page.shape
