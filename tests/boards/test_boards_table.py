"""Records into a table: cells, aggregates, refusals and ranks."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from rmbench.boards import tabulate
from rmbench.boards.figures import interval, marks, parameters, rank_range
from rmbench.boards.pairs import Pair, corrected_for_all
from rmbench.boards.ranks import ranges_of
from rmbench.boards.table import BoardTable
from rmbench.metrics.uncertainty.interval import wilson
from tests._make import margins

Put = Callable[..., Path]


@pytest.fixture
def board(tmp_path: Path) -> Callable[..., BoardTable]:
    """The table of a board declared on the spot over the records under `tmp_path/results`."""

    def table(text: str, *allow: str) -> BoardTable:
        path = tmp_path / "mine.toml"
        path.write_text(f'id = "mine"\ntitle = "Mine"\n{text}\n', "utf-8")
        return tabulate(path, tmp_path / "results", allow=allow)

    return table


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "results"


def why(table: BoardTable) -> dict[str, str]:
    return {one.model.partition("@")[0]: one.why for one in table.refused}


def test_cells_carry_what_the_record_says(board: Callable[..., BoardTable], root: Path, put_record: Put) -> None:
    folder = put_record(root, margins(81, 100), task="a", flags=["contaminated", "demo"])
    table = board('tasks = ["a"]', "demo")
    (row,), (column,) = table.rows, table.columns
    cell = row.cells[0]
    assert cell is not None
    assert (cell.value, cell.n, cell.coverage, cell.chance, cell.interval) == (0.81, 100, 1.0, 0.5, "wilson")
    assert (cell.low, cell.high) == pytest.approx((0.722212, 0.874852), abs=1e-6)  # Wilson's 81 of 100
    assert cell.flags == ("contaminated",)
    assert cell.folder == folder
    assert (row.name, row.family, row.license, row.parameters, row.flags) == (
        "org/model",
        "scalar",
        "MIT",
        10_000_000,
        ("demo",),
    )
    assert (column.name, column.metric, column.n, column.weight) == ("a@1", "accuracy", 100, 1.0)
    assert table.date == "2025-01-01T00:00:01+00:00"


def test_the_aggregate_is_the_weighted_mean_of_complete_rows_only(
    board: Callable[..., BoardTable], root: Path, put_record: Put
) -> None:
    for task, right in (("a", 90), ("b", 60)):
        put_record(root, margins(right, 100), name="org/whole", task=task)
    put_record(root, margins(99, 100), name="org/part", task="a")
    table = board('tasks = ["a", "b"]\n[weights]\n"a" = 3')
    whole, part = table.rows
    assert whole.name == "org/whole"
    assert whole.aggregate == pytest.approx(0.75 * 0.9 + 0.25 * 0.6)
    limits = [wilson(90, 100), wilson(60, 100)]
    assert whole.low == pytest.approx(0.75 * limits[0][0] + 0.25 * limits[1][0])
    assert whole.high == pytest.approx(0.75 * limits[0][1] + 0.25 * limits[1][1])
    assert part.aggregate is None
    assert part.rank is None
    assert part.cells[1] is None


def test_a_named_task_without_records_is_an_empty_column(
    board: Callable[..., BoardTable], root: Path, put_record: Put
) -> None:
    put_record(root, margins(5, 8), task="a")
    table = board('tasks = ["b", "*", "never-*"]')
    assert [column.name for column in table.columns] == ["b", "a@1"]
    assert [column.weight for column in table.columns] == [0.5, 0.5]
    assert table.rows[0].aggregate is None


def test_a_column_says_how_many_rows_were_judged(board: Callable[..., BoardTable], root: Path, put_record: Put) -> None:
    put_record(root, margins(5, 8), name="org/one", task="a", total=2312, flags=["sample"])
    put_record(root, margins(5, 8), name="org/two", task="b", flags=["sample"])
    columns = board('tasks = ["a", "b", "c"]\nmin_coverage = 0.001', "sample").columns
    assert [column.rows for column in columns] == ["8 of 2,312 rows", "8 rows", ""]


def test_an_undefined_value_is_a_gap(board: Callable[..., BoardTable], root: Path, put_record: Put) -> None:
    from rmbench.metric_spec import MetricSpec

    tau = MetricSpec("tau", "kendall_b", chance=0.0)
    put_record(root, [1.0] * 9, task="a", spec=tau, ratings=[float(k) for k in range(9)])
    row = board('tasks = ["a"]').rows[0]
    assert row.cells[0] is not None
    assert row.cells[0].value is None
    assert row.aggregate is None


@pytest.mark.parametrize("flag", ["sample", "fake", "demo", "baseline", "partial", "limited"])
def test_guarded_flags_are_admitted_only_when_allowed(
    board: Callable[..., BoardTable], root: Path, put_record: Put, flag: str
) -> None:
    put_record(root, margins(5, 8), task="a", flags=[flag, "unverified"])
    refused = board('tasks = ["a"]')
    assert not refused.rows
    assert why(refused) == {"org/model": f"it is marked {flag}, which this board refuses unless allowed"}
    assert board('tasks = ["a"]', flag).rows
    assert board(f'tasks = ["a"]\nallow = ["{flag}"]').rows


def test_low_coverage_is_refused_with_the_figures(
    board: Callable[..., BoardTable], root: Path, put_record: Put
) -> None:
    put_record(root, margins(60, 80), name="org/short", task="a", total=100)
    put_record(root, margins(60, 100), name="org/failing", task="a", failed=[0, 1])
    put_record(root, margins(60, 100), name="org/whole", task="a", failed=[0])
    table = board('tasks = ["a"]')
    assert [row.name for row in table.rows] == ["org/whole"]
    assert why(table) == {
        "org/short": "its coverage of the task's rows is 0.8, under the board's minimum of 0.99",
        "org/failing": "its coverage of the task's rows is 0.98, under the board's minimum of 0.99",
    }


def test_who_asks_for_partial_sets_still_refuses_failures(
    board: Callable[..., BoardTable], root: Path, put_record: Put
) -> None:
    put_record(root, margins(60, 80), name="org/part", task="a", total=100, flags=["partial"])
    put_record(root, margins(60, 80), name="org/bad", task="a", total=100, flags=["partial"], failed=range(8))
    table = board('tasks = ["a"]', "partial")
    assert [row.name for row in table.rows] == ["org/part"]
    assert "coverage of the available rows is 0.9" in why(table)["org/bad"]


def test_a_changed_table_and_an_unreadable_record_are_refused(
    board: Callable[..., BoardTable], root: Path, put_record: Put
) -> None:
    put_record(root, margins(5, 8), name="org/fine", task="a")
    changed = put_record(root, margins(6, 8), name="org/changed", task="a")
    (changed / "judgments.parquet").write_bytes(b"PAR1")
    broken = put_record(root, margins(6, 8), name="org/broken", task="a")
    (broken / "record.json").write_text("{", "utf-8")
    table = board('tasks = ["a"]')
    assert [row.name for row in table.rows] == ["org/fine"]
    refused = why(table)
    assert "judgments.parquet: its sha256 is not the one in record.json" in refused["org/changed"]
    assert "cannot be read" in refused["org__broken"]


def test_a_value_that_is_no_number_is_refused(board: Callable[..., BoardTable], root: Path, put_record: Put) -> None:
    folder = put_record(root, margins(5, 8), task="a")
    record = json.loads((folder / "record.json").read_text("utf-8"))
    record["results"][0]["value"] = 1e999
    (folder / "record.json").write_text(json.dumps(record).replace("Infinity", "1e999"), "utf-8")
    assert "holds a number that is not finite" in str(board('tasks = ["a"]').refused)


def test_one_version_one_data_one_metric_per_column(
    board: Callable[..., BoardTable], root: Path, put_record: Put
) -> None:
    from rmbench.metric_spec import MetricSpec

    for name in ("org/x", "org/y"):
        put_record(root, margins(5, 8), name=name, task="a", version=2)
    put_record(root, margins(5, 8), name="org/old", task="a", version=1)
    put_record(root, margins(5, 8), name="org/other", task="a", version=2, changed={"data": {"digest": "e" * 64}})
    put_record(root, margins(5, 8), name="org/ties", task="a", version=2, spec=MetricSpec("accuracy", "pair", tie=0.5))
    table = board('tasks = ["a"]')
    assert sorted(row.name for row in table.rows) == ["org/x", "org/y"]
    assert why(table) == {
        "org/old": "version 1 of the task, where the board's column is version 2",
        "org/other": "other rows than the column's: data eeeeeeee against dddddddd",
        "org/ties": "another metric than the column's: the declaration changed",
    }
    assert [row.name for row in board('tasks = ["a@1"]').rows] == ["org/old"]


def test_the_whole_set_outranks_more_records_of_a_sample(
    board: Callable[..., BoardTable], root: Path, put_record: Put
) -> None:
    for name in ("org/x", "org/y"):
        put_record(root, margins(5, 8), name=name, task="a", flags=["sample"], changed={"data": {"digest": "5" * 64}})
    put_record(root, margins(50, 80), name="org/real", task="a")
    assert [row.name for row in board('tasks = ["a"]', "sample").rows] == ["org/real"]


def test_the_newest_of_two_records_counts(board: Callable[..., BoardTable], root: Path, put_record: Put) -> None:
    put_record(root / "one", margins(5, 8), task="a", changed={"run": {"finished": "2025-02-01T00:00:00+00:00"}})
    put_record(root / "two", margins(6, 8), task="a")
    table = board('tasks = ["a"]')
    assert table.rows[0].aggregate == 5 / 8
    assert why(table) == {"org/model": "there is a newer record of the model on this task"}


def test_other_tasks_are_passed_over_in_silence(board: Callable[..., BoardTable], root: Path, put_record: Put) -> None:
    put_record(root, margins(5, 8), task="a")
    put_record(root, margins(5, 8), task="z", flags=["fake"])
    assert not board('tasks = ["a"]').refused


def test_ranges_of_the_worked_example() -> None:
    # A beats B, C and D; B beats D; B and C, C and D cannot be told apart.
    beaten = {(0, 1), (0, 2), (0, 3), (1, 3)}
    pairs = [Pair(i, j, -0.1, 1e-6 if (i, j) in beaten else 0.9) for i in range(4) for j in range(i + 1, 4)]
    assert ranges_of(4, corrected_for_all(pairs)) == [(1, 1), (2, 3), (2, 4), (3, 4)]


def test_holm_keeps_a_chance_find_from_a_rank() -> None:
    # Six pairs, one p of .02: below .05 by itself, not among six.
    pairs = [Pair(i, j, 0.1, 0.02 if (i, j) == (0, 1) else 0.9) for i in range(4) for j in range(i + 1, 4)]
    assert ranges_of(4, corrected_for_all(pairs)) == [(1, 4)] * 4


def test_ranks_rest_on_paired_rows(board: Callable[..., BoardTable], root: Path, put_record: Put) -> None:
    generator = random.Random(4)
    for task in ("a", "b"):
        base = [generator.choice([1.0, 1.0, -1.0]) for _ in range(400)]
        worse = [-1.0 if k % 10 == 0 else value for k, value in enumerate(base)]
        twin = [-value if k in (3, 8) else value for k, value in enumerate(base)]
        for name, values in (("org/base", base), ("org/twin", twin), ("org/worse", worse)):
            put_record(root, values, name=name, task=task)
    table = board('tasks = ["a", "b"]')
    ranks = {row.name: row.rank for row in table.rows}
    # Some 27 rows a task are lost and none won, which paired rows show although the three marginal intervals overlap.
    assert ranks == {"org/base": (1, 2), "org/twin": (1, 2), "org/worse": (3, 3)}
    lows, highs = [row.low or 0 for row in table.rows], [row.high or 0 for row in table.rows]
    assert max(lows) < min(highs)


def test_no_ranks_for_one_model_or_without_an_aggregate(
    board: Callable[..., BoardTable], root: Path, put_record: Put
) -> None:
    put_record(root, margins(80, 100), task="a")
    assert board('tasks = ["a"]').rank_rule == ""
    put_record(root, margins(10, 100), name="org/other", task="a")
    assert board('tasks = ["a"]').rank_rule != ""
    unranked = board('tasks = ["a"]\naggregate = "none"')
    assert unranked.rank_rule == ""
    assert [row.name for row in unranked.rows] == ["org/model", "org/other"]


def test_shared_marks_are_printed_once() -> None:
    assert marks([("x", "y"), ("x",), ("x", "b")]) == (("x",), {"b": "a", "y": "b"})
    assert marks([]) == ((), {})
    many = marks([tuple(f"f{k:02}" for k in range(40)), ()])[1]
    assert len(set(many.values())) == 40


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [(0.5, 0.6, "[.50, .60]"), (-0.5, 1.0, "[-.50, 1.00]"), (None, 0.5, ""), (0, 0.03, "[.000, .030]")],
)
def test_intervals_are_compact(low: float | None, high: float | None, text: str) -> None:
    assert interval(low, high) == text


def test_small_words() -> None:
    assert [rank_range(rank) for rank in ((2, 4), (1, 1), None)] == ["2-4", "1", "-"]
    assert [parameters(n) for n in (8_030_000_000, 70_600_000_000, 950, None)] == ["8.03B", "70.6B", "950", "-"]
