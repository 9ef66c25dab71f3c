"""Published figures stand beside a board: listed with their source, and in no ranking, mean or refusal."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import pytest

from rmbench.boards import build, show, tabulate
from rmbench.boards.table import BoardTable
from rmbench.metric_spec import MetricSpec
from rmbench.records.record import Record, ValueRecord
from rmbench.records.store import read, write_published
from tests._make import printed as terminal

Put = Callable[..., Path]
Print = Callable[..., None]
Board = Callable[..., Path]
PAYLOAD = '<img src=x onerror="alert(1)">[bold]\x1b[31m'


@pytest.fixture
def board(tmp_path: Path) -> Board:
    def declare(*tasks: str) -> Path:
        path = tmp_path / "mine.toml"
        path.write_text(f'id = "mine"\ntitle = "Mine"\ntasks = {list(tasks)}\n', "utf-8")
        return path

    return declare


@pytest.fixture
def root(tmp_path: Path, put_record: Put) -> Path:
    """A measured model with .75 on task a."""
    put_record(tmp_path / "results", [1.0] * 6 + [-1.0] * 2, name="org/measured", task="a")
    return tmp_path / "results"


@pytest.fixture
def printed(tmp_path: Path, put_record: Put, root: Path) -> Print:
    """Puts a published record: its overall values by metric."""
    pattern = read(put_record(tmp_path / "pattern", [1.0], task="a"))

    def put(
        name: str, task: str, values: Sequence[tuple[str, float | None]], source: str = "table-1", version: int = 1
    ) -> None:
        whole = pattern.model_dump() | {"kind": "published", "judgments": None, "flags": ["published"]}
        whole["task"] |= {"id": task, "version": version}
        whole["model"] |= {"name": name, "revision": source}
        whole["run"] |= {"source_of_scores": f"https://example.org/{source}"}
        whole["results"] = [_value(metric, value) for metric, value in values]
        write_published(root, Record.model_validate(whole))

    return put


def _value(metric: str, value: float | None) -> dict[str, object]:
    empty = ValueRecord(
        metric=metric, group=None, value=value, low=None, high=None, n=0, comparisons=0, coverage=0.0, chance=None,
        flags=[], interval="",
    )  # fmt: skip
    return empty.model_dump()


def text_of(path: Path, root: Path, width: int = 100) -> str:
    return terminal(show(path, root), width)


def cells(table: BoardTable) -> dict[str, list[list[tuple[float, str, str]]]]:
    return {
        row.name: [[(one.value, one.metric, one.source) for one in found] for found in row.cells]
        for row in table.published.rows
    }


def test_they_are_no_rows_and_no_refusals(board: Board, root: Path, printed: Print) -> None:
    printed("org/best", "a", [("accuracy", 0.99)])
    table = tabulate(board("a"), root)
    assert [(row.name, row.aggregate) for row in table.rows] == [("org/measured", 0.75)]
    assert table.refused == ()
    assert table.rank_rule == ""
    assert [(row.name, row.kind, row.place, row.rank) for row in table.listed] == [
        ("org/best", "published", 1, None),
        ("org/measured", "measured", 2, None),
    ]
    assert cells(table) == {"org/best": [[(0.99, "", "table-1")]]}
    assert table.published.sources == (("table-1", "https://example.org/table-1"),)


def test_names_order_them_and_two_sources_stand_side_by_side(board: Board, root: Path, printed: Print) -> None:
    printed("zeta/low", "a", [("accuracy", 0.1)])
    printed("Alpha/high", "a", [("accuracy", 0.709)], source="x")
    printed("Alpha/high", "a", [("accuracy", 0.738)], source="b")
    printed("mid/other", "b", [("accuracy", 0.5)])
    table = tabulate(board("b", "a"), root)
    assert table.published.tasks == (("b", 1), ("a", 1))
    assert cells(table) == {
        "Alpha/high": [[], [(0.738, "", "b"), (0.709, "", "x")]],
        "mid/other": [[(0.5, "", "table-1")], []],
        "zeta/low": [[], [(0.1, "", "table-1")]],
    }


def test_another_definition_keeps_its_name_and_the_headline_goes_first(
    board: Board, root: Path, printed: Print
) -> None:
    printed("org/other", "a", [("source_mean", 0.8)])
    printed("org/both", "a", [("source_mean", 0.8), ("accuracy", 0.7)])
    printed("org/none", "a", [("accuracy", None)])
    assert cells(tabulate(board("a"), root)) == {
        "org/both": [[(0.7, "", "table-1")]],
        "org/other": [[(0.8, "source_mean", "table-1")]],
    }


def test_only_the_boards_tasks_and_versions(board: Board, root: Path, printed: Print) -> None:
    printed("org/x", "c", [("accuracy", 0.5)])
    printed("org/y", "a", [("accuracy", 0.5)], version=2)
    assert cells(tabulate(board("a@1"), root)) == {}
    assert tabulate(board("a*"), root).published.tasks == (("a", 2),)


def test_a_glob_gets_no_empty_column_from_them(board: Board, root: Path, printed: Print) -> None:
    printed("org/x", "c", [("accuracy", 0.5)])
    table = tabulate(board("*"), root)
    assert [column.task for column in table.columns] == ["a"]
    assert table.rows[0].aggregate == 0.75


def test_the_terminal_says_what_they_are(board: Board, root: Path, printed: Print) -> None:
    assert "rinted" not in text_of(board("a"), root)
    printed("org/best", "a", [("source_mean", 0.99)])
    printed(PAYLOAD, "a", [("accuracy", 0.5)], source="b")
    text = text_of(board("a"), root)
    listed, _, below = text.partition("Printed under other definitions")
    assert "org/best" not in listed
    assert ".990 source_mean [2]" in below
    assert "[2] table-1: https://example.org/table-1" in below
    assert "without intervals, ranks and comparisons" in " ".join(below.split())
    assert "\x1b" not in text
    # What was printed under the column's own metric stands among the others, with its source and without an interval.
    assert "[bold]" in listed
    assert ".500 [1]" in listed
    assert "[1] b: https://example.org/b" in listed


@pytest.mark.parametrize("width", [40, 80])
def test_they_fit(board: Board, root: Path, printed: Print, width: int) -> None:
    for task in ("a", "b", "c"):
        printed("organisation/a-model-with-a-long-name", task, [("accuracy", 0.5)])
    assert max(map(len, text_of(board("a", "b", "c"), root, width).splitlines())) <= width


def test_the_page_lists_and_links_them(board: Board, root: Path, printed: Print, tmp_path: Path) -> None:
    printed("org/best", "a", [("source_mean", 0.99)])
    printed(PAYLOAD, "a", [("accuracy", 0.5)], source='"><script>')
    page = build(board("a"), root, tmp_path / "site")
    text = page.read_text("utf-8")
    ranked, _, below = text.partition('<h2 id="published">')
    assert "org/best" not in ranked
    assert "source_mean" in below
    assert "https://example.org/table-1" in below
    link = "records/org__best@table-1/a@1"
    assert f'href="../{link}.html"' in below
    assert json.loads((page.parents[1] / f"{link}.json").read_text("utf-8"))["kind"] == "published"
    assert "&lt;img src=x" in below
    assert "<img" not in text


def test_records_of_before_a_setting_was_known_are_the_same_question(board: Board, root: Path, put_record: Put) -> None:
    spec = asdict(MetricSpec("accuracy", "pair", chance=0.5))
    short = {"name": "accuracy", "rule": "pair", "chance": 0.5}
    put_record(root, [1.0] * 8, name="org/older", task="a", changed={"task": {"metrics": [short]}})
    put_record(root, [1.0] * 8, name="org/other", task="a", changed={"task": {"metrics": [spec | {"tie": 0.5}]}})
    table = tabulate(board("a"), root)
    assert {row.name for row in table.rows} == {"org/measured", "org/older"}
    assert [one.why for one in table.refused] == ["another metric than the column's: the declaration changed"]
