"""Two folders of records side by side."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from rmbench.errors import RmbenchError
from rmbench.gate import compare, gate
from rmbench.gate.report.words import difference, p_value
from rmbench.metric_spec import MetricSpec
from rmbench.records.store import read, write
from rmbench.types import Verdict
from tests._make import make_row, margins, printed, write_sealed

Put = Callable[..., Path]


def flipped(base: list[float], lost: int, won: int) -> list[float]:
    """`base` with the first `lost` right rows turned wrong and the first `won` wrong rows turned right."""
    out = list(base)
    for sign, count in ((1, lost), (-1, won)):
        for k in [k for k, value in enumerate(base) if value * sign > 0][:count]:
            out[k] = -base[k]
    return out


def two(tmp_path: Path, put: Put, a: list[float], b: list[float], **both: object) -> tuple[Path, Path]:
    return (
        put(tmp_path, a, name="org/a", **both).parent,
        put(tmp_path, b, name="org/b", **both).parent,
    )


def test_values_counts_and_tests_of_a_known_table(tmp_path: Path, put_record: Put) -> None:
    base = margins(240, 358)
    result = compare(*two(tmp_path, put_record, base, flipped(base, 25, 10)))
    (task,) = result.tasks
    found = task.comparison
    assert found is not None
    assert (result.a, result.b, task.task, task.version) == ("org/a@0123abcd", "org/b@0123abcd", "pairs", 1)
    assert (found.b, found.c, found.n, found.method) == (25, 10, 358, "tango")
    assert (found.value_a, found.value_b) == pytest.approx((240 / 358, 225 / 358))
    # Tango's interval, mid-p and exact p of (25, 10, 358).
    assert (found.low, found.high) == pytest.approx((-0.07668, -0.01004), abs=5e-6)
    assert (found.p_midp, found.p_exact) == pytest.approx((0.011331, 0.016674), abs=5e-7)


def test_flips_come_worst_first(tmp_path: Path, put_record: Put) -> None:
    result = compare(*two(tmp_path, put_record, [2, 2, 2, -1, 1], [-0.5, -3.0, 1.0, 4.0, 1.0]))
    (task,) = result.tasks
    assert [(flip.id, flip.a, flip.b, flip.margin) for flip in task.flips] == [
        ("r1", 1.0, 0.0, -3.0),
        ("r0", 1.0, 0.0, -0.5),
        ("r3", 0.0, 1.0, 4.0),
    ]


def test_rows_are_aligned_by_id_and_not_by_place(tmp_path: Path, put_record: Put) -> None:
    base = margins(30, 50)
    a, b = two(tmp_path, put_record, base, base)
    assert compare(a, b).tasks[0].identical
    import pyarrow.parquet as pq

    from rmbench.records.digest import sha256_file

    path = b / "pairs@1" / "judgments.parquet"
    table = pq.read_table(path)
    pq.write_table(table.take(list(range(table.num_rows))[::-1]), path)
    record = json.loads((path.parent / "record.json").read_text("utf-8"))
    record["judgments"]["sha256"] = sha256_file(path)
    write_sealed(path.parent / "record.json", record)
    task = compare(a, b).tasks[0]
    assert task.identical
    assert not task.flips


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 2}, "A judged version 1 of the task, B version 2"),
        ({"changed": {"data": {"digest": "e" * 64}}}, "different data (digests dddddddd and eeeeeeee)"),
        ({"spec": MetricSpec("accuracy", "pair", tie=0.5, chance=0.5)}, "first metric is declared differently (tie)"),
    ],
)
def test_other_questions_are_refused_by_name(
    tmp_path: Path, put_record: Put, change: dict[str, object], said: str
) -> None:
    a = put_record(tmp_path, margins(5, 8), name="org/a").parent
    b = put_record(tmp_path, margins(5, 8), name="org/b", **change).parent
    (task,) = compare(a, b).tasks
    assert task.comparison is None
    assert said in task.refused


def test_other_rows_are_refused_by_name(tmp_path: Path, put_record: Put) -> None:
    a, b = two(tmp_path, put_record, margins(5, 8), margins(5, 9))
    (task,) = compare(a, b).tasks
    assert "r8" in task.refused


def test_a_changed_table_is_refused(tmp_path: Path, put_record: Put) -> None:
    a, b = two(tmp_path, put_record, margins(5, 8), margins(5, 8))
    path = b / "pairs@1" / "judgments.parquet"
    path.write_bytes(path.read_bytes() + b" ")
    assert "sha256" in compare(a, b).tasks[0].refused


def test_tasks_of_one_side_are_listed(tmp_path: Path, put_record: Put) -> None:
    for name, tasks in (("org/a", "xy"), ("org/b", "yz")):
        for task in tasks:
            put_record(tmp_path, margins(5, 8), name=name, task=task)
    result = compare(tmp_path / "org__a@0123abcd", tmp_path / "org__b@0123abcd")
    assert {task.task: task.refused for task in result.tasks} == {
        "x": "B has no record of this task",
        "y": "",
        "z": "A has no record of this task",
    }


def test_single_tasks_can_be_named(tmp_path: Path, put_record: Put) -> None:
    a = put_record(tmp_path, margins(5, 8), name="org/a")
    b = put_record(tmp_path, margins(6, 8), name="org/b")
    assert compare(a, b).tasks[0].comparison is not None


def test_folders_that_cannot_be_meant(tmp_path: Path, put_record: Put) -> None:
    a, b = two(tmp_path / "r", put_record, margins(5, 8), margins(6, 8))
    with pytest.raises(RmbenchError, match="records of several models \\(org/a@0123abcd, org/b@0123abcd\\)"):
        compare(tmp_path / "r", b)
    with pytest.raises(RmbenchError, match="no such folder"):
        compare(a, tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RmbenchError, match=r"holds no record.json"):
        compare(tmp_path / "empty", b)
    other = put_record(tmp_path / "other", margins(5, 8), name="org/c", task="z").parent
    with pytest.raises(RmbenchError, match=r"no task is on both sides: .* has pairs; .* has z"):
        compare(a, other)
    put_record(tmp_path / "r", margins(5, 8), name="org/a", version=2)
    with pytest.raises(RmbenchError, match="holds two records of pairs"):
        compare(a, b)


def test_what_differs_in_the_making_is_noted(tmp_path: Path, put_record: Put) -> None:
    a = put_record(tmp_path, margins(5, 8), name="org/a").parent
    changed = {
        "model": {"settings": {"dtype": "bfloat16", "template": "9f"}, "family": "gpm"},
        "run": {"versions": {"torch": "2.14.0"}, "platform": "Darwin arm64", "resumed": True},
    }
    b = put_record(tmp_path, margins(5, 8), name="org/b", changed=changed).parent
    assert compare(a, b).tasks[0].notes == (
        "family: scalar -> gpm",
        "dtype: float32 -> bfloat16",
        "template: unset -> 9f",
        "torch: 2.13.0 -> 2.14.0",
        "platform: Linux -> Darwin arm64",
        "B was resumed with other batches, so its scores may differ by 1e-4",
    )


@pytest.mark.parametrize(("scale", "same"), [(1 + 5e-5, True), (1 + 5e-4, False)])
def test_identical_allows_for_rounding_alone(tmp_path: Path, put_record: Put, scale: float, same: bool) -> None:
    base = [3.0, -2.0, 1.0, 0.5]
    assert compare(*two(tmp_path, put_record, base, [x * scale for x in base])).tasks[0].identical is same


@pytest.mark.parametrize("place", [0, 2])
def test_an_outlier_hides_no_difference_elsewhere(tmp_path: Path, put_record: Put, place: int) -> None:
    """With one margin of 1e6 among them, rows whose margins grow tenfold were "judged alike" once."""
    base, other = [3.0, -2.0, 1.0], [30.0, -20.0, 10.0]
    base[place] = other[place] = 1e6
    assert not compare(*two(tmp_path, put_record, base, other)).tasks[0].identical
    assert compare(*two(tmp_path, put_record, base, base)).tasks[0].identical


def test_a_flip_within_rounding_is_not_identical(tmp_path: Path, put_record: Put) -> None:
    task = compare(*two(tmp_path, put_record, [3.0, 1e-6], [3.0, -1e-6])).tasks[0]
    assert len(task.flips) == 1
    assert not task.identical


def test_clusters_change_the_method(tmp_path: Path, put_record: Put) -> None:
    base = margins(40, 60)
    clusters = [f"c{k // 3}" for k in range(60)]
    found = compare(*two(tmp_path, put_record, base, flipped(base, 9, 3), clusters=clusters)).tasks[0].comparison
    assert found is not None
    assert (found.method, found.clusters, found.n) == ("cr1-t", 20, 60)


def test_correlations_are_resampled_and_have_no_flips(tmp_path: Path, put_record: Put) -> None:
    tau = MetricSpec("tau", "kendall_b", chance=0.0)
    human = [float(k % 5) for k in range(40)]
    noisy = [value + (3.0 if k % 4 == 0 else 0.0) for k, value in enumerate(human)]
    (task,) = compare(*two(tmp_path, put_record, noisy, human, spec=tau, ratings=human)).tasks
    assert task.comparison is not None
    assert task.comparison.method == "cluster-bootstrap"
    assert task.comparison.value_b == pytest.approx(1.0)
    assert (list(task.flips), task.identical) == ([], False)


def test_reports_agree(tmp_path: Path, put_record: Put) -> None:
    base = margins(240, 358)
    a, b = two(tmp_path, put_record, base, flipped(base, 25, 10))
    put_record(tmp_path, margins(5, 8), name="org/a", task="only-a")
    result = compare(a, b)
    plain = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    by_task = {task["task"]: task for task in plain["tasks"]}
    assert by_task["pairs"]["comparison"]["b"] == 25
    assert len(by_task["pairs"]["flips"]) == 35
    assert by_task["only-a"]["comparison"] is None
    markdown = result.to_markdown()
    assert "| pairs@1 | .670 | .628 | -4.19 [-7.67, -1.00] | .011 | 25/10 | 358 |" in markdown
    assert "20 more lost, 10 gained" in markdown
    assert "only-a@1: not compared: B has no record of this task" in markdown


def test_the_terminal_table_fits_80_columns(tmp_path: Path, put_record: Put) -> None:
    base = margins(2400, 3000)
    result = compare(*two(tmp_path, put_record, base, flipped(base, 900, 100), task="unieval-topical-chat"))
    text = printed(result)
    assert max(len(line) for line in text.splitlines()) <= 80
    assert re.search(
        r"^unieval-topical-chat@1 .800 .533 -26.67 \[-28.\d\d, -24.\d\d\] <.001  900/100 3,000", text, re.M
    )
    assert "unieval-topical-chat@1: accuracy; Tango's score interval" in text


@pytest.mark.parametrize(
    ("given", "text"),
    [((0.0, -0.001, 0.001), "0.00 [-0.10, +0.10]"), ((0.5, None, None), "+50.00"), ((None, None, None), "-")],
)
def test_differences_are_in_points(given: tuple[float | None, float | None, float | None], text: str) -> None:
    assert difference(*given) == text


def test_p_values_are_never_zero() -> None:
    assert [p_value(p) for p in (0.0, 0.0009, 0.05, 1.0, None)] == ["<.001", "<.001", ".050", "1.000", "-"]


VOTING = {"model": {"settings": {"voting": "majority", "voting_unparsed": "abstain"}}}


def put_votes(root: Path, put: Put, name: str, votes: Sequence[Sequence[int]]) -> Path:
    """A record of a judge that was asked several times about each pair; people prefer candidate 0."""
    folder = put(root, [1.0] * len(votes), name=name, changed=VOTING)
    rows = [
        make_row(f"r{k}", verdicts=tuple(Verdict((0, 1), "pick", value, vote=v) for v, value in enumerate(cast)))
        for k, cast in enumerate(votes)
    ]
    write(root, read(folder), rows)
    return folder.parent


def test_a_voting_judge_is_compared_by_its_joined_verdicts(tmp_path: Path, put_record: Put) -> None:
    """Of 12 rows the votes of all differ, and the majority of two: 1 lost, 1 won."""
    base = [(0, 0, 0)] * 10 + [(1, 1, 1)] * 2
    other = [(0, 0, 1)] * 9 + [(0, 1, 1)] + [(1, 1, 0)] + [(1, 0, 0)]
    a, b = (put_votes(tmp_path, put_record, f"org/{name}", votes) for name, votes in (("a", base), ("b", other)))
    found = compare(a, b).tasks[0].comparison
    assert found is not None
    assert (found.value_a, found.value_b) == (pytest.approx(10 / 12), pytest.approx(10 / 12))
    assert (found.b, found.c, found.ties, found.method) == (1, 1, 10, "tango")
    (outcome,) = gate(a, b, margin_points=10).tasks
    assert outcome.compared.comparison is not None
    assert (outcome.compared.comparison.b, outcome.compared.comparison.c) == (1, 1)
