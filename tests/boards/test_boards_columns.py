"""Columns that are no single task's headline: means, slices, other metrics; rows of printed figures; win shares."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from rmbench.boards import load_board, tabulate
from rmbench.boards.table import BoardTable
from rmbench.errors import RmbenchError
from rmbench.metric_spec import MetricSpec
from rmbench.records.store import read
from tests._make import margins, write_published_figures

Put = Callable[..., Path]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "results"


@pytest.fixture
def board(tmp_path: Path, root: Path) -> Callable[..., BoardTable]:
    """The table of a board declared on the spot over the records under `root`."""

    def table(text: str) -> BoardTable:
        path = tmp_path / "mine.toml"
        path.write_text(f'id = "mine"\ntitle = "Mine"\n{text}\n', "utf-8")
        return tabulate(path, root)

    return table


MEAN = 'tasks = ["a", "b", "c"]\n[[mean]]\ntitle = "AB"\ntasks = ["a", "b"]\npublished = "ab"'


def test_a_mean_counts_as_one_column(board: Callable[..., BoardTable], root: Path, put_record: Put) -> None:
    for task, right in (("a", 90), ("b", 50), ("c", 20)):
        put_record(root, margins(right, 100), task=task)
    table = board(MEAN)
    assert [column.key for column in table.columns] == ["mean/AB", "a@1", "b@1", "c@1"]
    assert [column.weight for column in table.columns] == [0.5, 0.25, 0.25, 0.5]
    assert [column.part_of for column in table.columns] == ["", "AB", "AB", ""]
    (row,) = table.rows
    assert [cell and cell.value for cell in row.cells] == [pytest.approx(0.7), 0.9, 0.5, 0.2]
    assert row.aggregate == pytest.approx((0.7 + 0.2) / 2)
    assert row.cells[0] is not None
    assert row.cells[0].n == 200


def test_a_part_that_is_missing_leaves_the_mean_empty(
    board: Callable[..., BoardTable], root: Path, put_record: Put
) -> None:
    for task in ("a", "c"):
        put_record(root, margins(90, 100), task=task)
    (row,) = board(MEAN).rows
    assert row.cells[0] is None
    assert row.aggregate is None


def test_the_mean_of_a_printed_table_is_its_own_figure(
    board: Callable[..., BoardTable], root: Path, put_record: Put
) -> None:
    put_record(root, margins(90, 100), task="a")
    write_published_figures(root, "org/printed", "a", [("ab", 0.61)])
    write_published_figures(root, "org/printed", "c", [("accuracy", 0.41)])
    table = board(MEAN)
    (row,) = table.printed
    assert [cell and cell.value for cell in row.cells] == [0.61, None, None, 0.41]
    assert (row.aggregate, row.place, row.rank, row.kind) == (pytest.approx(0.51), 1, None, "published")


def test_slices_are_the_groups_and_metrics_of_the_record() -> None:
    """On the committed records of JudgeBench: a column per source, and the mean of the sources."""
    table = tabulate(load_board(ROOT / "leaderboards" / "judgebench.toml").id, ROOT / "results")
    by_key = {column.key: (column, k) for k, column in enumerate(table.columns)}
    sources = [key for key in by_key if key.startswith("judgebench@1/source=")]
    assert sorted(sources) == [
        f"judgebench@1/source={name}" for name in ("livebench-math", "livebench-reasoning", "livecodebench", "mmlu-pro")
    ]
    slice_, k = by_key["judgebench@1/source=mmlu-pro"]
    assert (slice_.name, slice_.part_of, slice_.weight, slice_.heading) == (
        "mmlu-pro",
        "judgebench@1",
        0.0,
        "judgebench by source",
    )
    row = next(row for row in table.rows if row.name == "Skywork/Skywork-Reward-Gemma-2-27B")
    cell, whole = row.cells[k], row.cells[by_key["judgebench@1"][1]]
    assert cell is not None
    assert whole is not None
    record = read(cell.folder or Path())
    assert cell.value == next(v.value for v in record.results if v.group == "source=mmlu-pro")
    assert (cell.folder, cell.kind) == (whole.folder, "recomputed")


def test_another_metric_than_the_headline(board: Callable[..., BoardTable], root: Path, put_record: Put) -> None:
    put_record(root, margins(80, 100), task="a")
    table = board('tasks = ["a"]\nmetrics = { a = "acuracy" }')
    assert not table.rows
    assert 'no metric is called "acuracy". Did you mean "accuracy"?' in table.refused[0].why
    assert board('tasks = ["a"]\nmetrics = { a = "accuracy" }').rows[0].aggregate == 0.8


def test_win_shares_by_hand(board: Callable[..., BoardTable], root: Path, put_record: Put) -> None:
    cells = {
        "a": {"org/x": 90, "org/y": 80, "org/z": 80},
        "b": {"org/x": 10, "org/y": 30},
        "c": {"org/z": 50},  # nobody to be ahead of: no share
    }
    for task, models in cells.items():
        for name, right in models.items():
            put_record(root, margins(right, 100), name=name, task=task)
    table = board('tasks = ["a", "b", "c"]\naggregate = "win_share"\nmin_columns = 2')
    found = {row.name: (row.aggregate, row.place) for row in table.rows}
    # x: 1 of a's others, 0 of b's; y: .25 (tied with z, behind x), 1; z has one column that counts.
    assert found == {"org/y": (0.625, 1), "org/x": (0.5, 2), "org/z": (None, None)}
    assert not table.pairs
    assert {row.name: sum(cell is not None for cell in row.cells) for row in table.rows}["org/z"] == 2


def test_merged_rows_take_the_measurement_first(board: Callable[..., BoardTable], root: Path, put_record: Put) -> None:
    put_record(root, margins(90, 100), name="org/x", task="a")
    write_published_figures(root, "org/x", "a", [("accuracy", 0.7)], source="s")
    write_published_figures(root, "org/x", "b", [("accuracy", 0.6)], source="t")
    write_published_figures(root, "org/x", "b", [("accuracy", 0.5)], source="u")
    table = board('tasks = ["a", "b"]\nmerge = true')
    (row,) = table.rows
    assert [(cell and (cell.value, cell.kind, cell.source, cell.others)) for cell in row.cells] == [
        (0.9, "measured", "", (("s", 0.7),)),
        (0.6, "published", "t", (("u", 0.5),)),
    ]
    assert row.aggregate == 0.75
    assert not table.printed


def test_the_newest_of_a_models_measurements_fills_a_merged_cell(
    board: Callable[..., BoardTable], root: Path, put_record: Put
) -> None:
    for revision, right, day in (("aaaa1111", 40, "01"), ("bbbb2222", 90, "03"), ("cccc3333", 60, "02")):
        finished = {"finished": f"2025-01-{day}T00:00:00+00:00"}
        put_record(root, margins(right, 100), task="a", changed={"model": {"revision": revision}, "run": finished})
    write_published_figures(root, "org/model", "a", [("accuracy", 0.7)], source="s")
    (row,) = board('tasks = ["a"]\nmerge = true').rows
    assert row.cells[0] is not None
    assert (row.cells[0].value, row.cells[0].others) == (0.9, (("s", 0.7),))


def test_a_mean_of_both_directions_is_refused(board: Callable[..., BoardTable], root: Path, put_record: Put) -> None:
    put_record(root, margins(90, 100), task="a")
    put_record(root, margins(90, 100), task="b", spec=MetricSpec("attack", "attack_success"))
    put_record(root, margins(90, 100), task="c")
    with pytest.raises(RmbenchError, match="lower is better on b@1 and higher on a@1, c@1"):
        board(MEAN)


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ('["a"]', "two tasks or more"),
        ('["a", "b*"]', r"'b\*' is a glob"),
        ('["a", "x"]', "'x' is not one"),
    ],
)
def test_a_mean_names_its_tasks(board: Callable[..., BoardTable], entries: str, said: str) -> None:
    with pytest.raises(RmbenchError, match=said):
        board(f'tasks = ["a", "b*"]\n[[mean]]\ntitle = "M"\ntasks = {entries}')


def test_slices_of_printed_figures_are_columns_too() -> None:
    table = tabulate("rm-bench", ROOT / "results")
    keys = [column.key for column in table.columns]
    assert {f"rm-bench@1/domain={name}" for name in ("chat", "code", "math", "safety")} <= set(keys)
    row = next(row for row in table.rows if row.name == "RM-R1-Qwen2.5-Instruct-32B")
    cell = row.cells[keys.index("rm-bench@1/domain=math")]
    assert cell is not None
    assert (cell.kind, cell.source, cell.value) == ("published", "rm-r1", pytest.approx(0.806, abs=5e-4))


def test_measured_rows_are_ranked_among_printed_ones(
    board: Callable[..., BoardTable], root: Path, put_record: Put
) -> None:
    for name, right in (("org/x", 90), ("org/y", 40)):
        put_record(root, margins(right, 100), name=name, task="a")
    write_published_figures(root, "org/p", "a", [("accuracy", 0.7)])
    table = board('tasks = ["a"]\nmerge = true')
    assert [(row.name, row.place, row.rank) for row in table.rows] == [
        ("org/x", 1, (1, 1)),
        ("org/p", 2, None),
        ("org/y", 3, (2, 2)),
    ]
    assert [(pair.i, pair.j) for pair in table.pairs] == [(0, 2)]


def test_the_printed_averages_of_the_seven_benchmarks(data: Path) -> None:
    """The board's mean of the printed columns, which are rounded, is the printed average to its last digit for all but
    a few, and for those to what seven roundings can make of it."""
    table = tabulate(load_board(ROOT / "leaderboards" / "skywork-7.toml").id, ROOT / "results")
    with (data / "published-results" / "skywork-v2-table5-seven-benchmarks.csv").open(encoding="utf-8") as file:
        printed = {row["model"].casefold(): float(row["avg"]) for row in csv.DictReader(file) if row["avg"]}
    found = {row.name.rpartition("/")[2].casefold(): row.aggregate for row in table.printed if row.aggregate}
    spelt = {"btrm_qwen2_7b_0613": "btrm qwen2 7b 0613", "internlm2-1_8b-reward": "internlm2-1 8b-reward"}
    spelt |= {"llama-3.1-nemotron-70b-reward": "llama-3.1-nemotron-70b"}
    away = {name: abs(100 * mean - printed[spelt.get(name, name)]) for name, mean in found.items()}
    assert sum(each <= 0.0501 for each in away.values()) >= 27
    assert max(away.values()) <= 0.1
