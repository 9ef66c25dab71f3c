"""Reports of small records whose figures can be worked out by hand, and of records that have little to say."""

from __future__ import annotations

import json
import math
import random
import time
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from rmbench.errors import RmbenchError
from rmbench.metric_spec import MetricSpec
from rmbench.records.store import find, read, write_published
from rmbench.reports import report_of
from rmbench.reports.page import page
from rmbench.reports.report import Report
from rmbench.reports.terminal import ReportView, SummaryView
from rmbench.types import TIE, Edge, Verdict
from tests._make import make_row, printed, put_record, write_published_figures

PARTS = ("margins", "calibration", "ties", "length", "position", "disagreements")


def checked(report: Report) -> Report:
    """Each part is there or has a sentence that says why not; all is JSON, and prints within 80 columns."""
    for part in PARTS:
        assert (getattr(report, part) is None) == (part in report.missing), part
    assert all(why[0].isupper() and why.endswith(".") for why in report.missing.values())
    json.dumps(asdict(report), allow_nan=False)
    for view in (ReportView(report), SummaryView([report, report])):
        assert max(map(len, printed(view).split("\n"))) <= 80
    assert report.title in page([report])
    return report


def picks(*answers: int, back: tuple[int, ...] = ()) -> dict[str, Any]:
    """Picks with candidate 0 shown first, then with 1 shown first."""
    verdicts = [Verdict((0, 1), "pick", value, vote=k) for k, value in enumerate(answers)]
    return {"size": 2, "verdicts": (*verdicts, *(Verdict((1, 0), "pick", one, vote=k) for k, one in enumerate(back)))}


def test_margins_ties_and_the_worst(tmp_path: Path) -> None:
    margins = [3.0, 2.0, 1.0, 0.0, 0.0, -1.0, -2.5]
    report = checked(report_of(put_record(tmp_path, margins)))
    assert report.margins.mean == pytest.approx(np.mean(margins))
    assert report.margins.sd == pytest.approx(np.std(margins))
    assert report.margins.quantiles == pytest.approx(np.quantile(margins, [0.05, 0.25, 0.5, 0.75, 0.95]))
    assert report.margins.wrong[2] == pytest.approx(1.75)
    assert report.margins.right[2] == 2
    assert sum(one.pairs for one in report.margins.bins) == 5
    assert sum(one.pairs for one in report.margins.bins if one.high <= 0) == 2
    assert report.margins.ties == report.ties.ties == 2
    ties = report.ties
    values = [one.value for one in (ties.strict, ties.half, ties.decided, ties.share)]
    assert values == pytest.approx([3 / 7, 4 / 7, 3 / 5, 2 / 7])
    worst = [(one.id, one.preferred, one.other, one.margin) for one in report.disagreements]
    assert worst == [("r6", 0, 1, -2.5), ("r5", 0, 1, -1.0)]
    assert report.disagreements[0].sds == pytest.approx(-2.5 / np.std(margins))


def test_brier_and_log_loss_are_means(tmp_path: Path) -> None:
    margins = np.array([3.0, 2.0, 1.0, 0.0, 0.5, -1.0, -2.5] * 8)
    report = checked(report_of(put_record(tmp_path, margins.tolist())))
    p = 1 / (1 + np.exp(-margins))
    assert report.calibration.brier.value == pytest.approx(((1 - p) ** 2).mean())
    assert report.calibration.log_loss.value == pytest.approx(-np.log(p).mean())
    half = stats.t.ppf(0.975, 55) * stats.sem(-np.log(p))
    assert report.calibration.log_loss.high == pytest.approx(-np.log(p).mean() + half, rel=1e-3)
    assert report.calibration.confidence == pytest.approx(np.maximum(p, 1 - p).mean())
    assert report.calibration.accuracy == pytest.approx(36 / 56)


def test_the_same_record_gives_the_same_report(tmp_path: Path) -> None:
    folder = put_record(tmp_path, np.random.default_rng(0).normal(0.5, 1, 80).tolist())
    assert report_of(folder) == report_of(folder)


def test_rows_of_a_cluster_stay_together(tmp_path: Path) -> None:
    """Four copies of each pair say no more than one of it, so intervals are as wide."""
    margins = np.random.default_rng(1).normal(0.7, 1.5, 120)
    alone = report_of(put_record(tmp_path / "a", margins.tolist()))
    names = [f"c{k // 4}" for k in range(480)]
    copied = report_of(put_record(tmp_path / "b", np.repeat(margins, 4).tolist(), clusters=names))
    for name in ("ece", "brier", "log_loss", "temperature"):
        one, four = getattr(alone.calibration, name), getattr(copied.calibration, name)
        assert four.value == pytest.approx(one.value)
        assert four.high - four.low == pytest.approx(one.high - one.low, rel=0.1), name


def test_every_comparison_of_a_row_is_a_pair(put_rows: Any) -> None:
    edges = (Edge(0, 1), Edge(2, 0, -1.0), Edge(1, 2, 0.0))
    rows = [make_row(f"r{k}", (3.0, 1.0, 5.0), edges=edges) for k in range(3)]
    rows += [make_row("none", (1.0, 2.0), edges=()), make_row("tie", (1.0, 2.0), edges=(Edge(0, 1, 0.0),))]
    report = checked(report_of(put_rows(rows)))
    facts = report.coverage
    assert (facts.rows, facts.pairs, facts.human_ties, facts.uncompared) == (5, 6, 4, 2)
    assert [(one.preferred, one.other, one.margin) for one in report.disagreements] == [(0, 2, -2.0)] * 3
    assert report.margins.mean == pytest.approx(0)


def test_rows_and_comparisons_are_those_of_the_headline(put_rows: Any) -> None:
    spec = MetricSpec("accuracy", "pair", where={"split": ("in",)}, dimension="style", chance=0.5)
    edges = (Edge(0, 1, dimension="style"), Edge(1, 0, dimension="facts"))
    rows = [make_row(f"r{k}", (1.0, 0.0), edges=edges, groups={"split": "in"}) for k in range(3)]
    rows += [make_row("out", (0.0, 1.0), edges=edges, groups={"split": "out"})]
    report = checked(report_of(put_rows(rows, spec)))
    assert (report.coverage.rows, report.coverage.pairs) == (3, 3)
    assert report.ties.strict.value == report.headline.value == 1


def test_length(put_rows: Any) -> None:
    rng = np.random.default_rng(3)
    lengths = rng.integers(5, 50, (90, 2))
    lengths[:6, 1] = lengths[:6, 0]
    longer = lengths[:, 0] - lengths[:, 1]
    margins = 0.05 * longer + rng.normal(0, 1, 90)
    rows = [make_row(f"r{k}", (margins[k], 0.0), lengths=tuple(int(one) for one in lengths[k])) for k in range(90)]
    report = checked(report_of(put_rows(rows)))
    part = report.length
    for one, side in ((part.longer, longer > 0), (part.equal, longer == 0), (part.shorter, longer < 0)):
        assert one.n == side.sum()
        assert one.value == pytest.approx((margins[side] > 0).mean())
    assert part.pearson.value == pytest.approx(stats.pearsonr(margins, longer).statistic)
    assert part.spearman.value == pytest.approx(stats.spearmanr(margins, longer).statistic)
    assert part.pearson.low < part.pearson.value < part.pearson.high
    assert part.unit == pytest.approx(longer.std())
    assert part.slope.value > 0
    assert part.controlled.low < part.controlled.value < part.controlled.high


def test_rows_without_lengths_are_left_out_of_length_alone(put_rows: Any) -> None:
    rows = [make_row(f"r{k}", (float(k % 3) - 1, 0.0), lengths=(4 + k, 9) if k % 2 else ()) for k in range(20)]
    report = checked(report_of(put_rows(rows)))
    assert report.length.n == 10
    assert report.margins.n == 20


def test_a_judge_of_two_orders(put_rows: Any) -> None:
    rows = [
        *(make_row(f"right{k}", **picks(0, back=(0,))) for k in range(4)),
        *(make_row(f"wrong{k}", **picks(1, back=(1,))) for k in range(2)),
        *(make_row(f"first{k}", **picks(0, back=(1,))) for k in range(3)),
        make_row("second", **picks(1, back=(0,))),
        make_row("tie", **picks(TIE, back=(TIE,))),
    ]
    report = checked(report_of(put_rows(rows, answer_kind="verdict")))
    position = report.position
    assert position.asked == 11
    assert position.consistent.value == pytest.approx(7 / 11)
    assert position.first.value == pytest.approx(3 / 11)
    assert position.second.value == pytest.approx(1 / 11)
    assert position.right_first.value == pytest.approx(7 / 11)  # right and first
    assert position.right_second.value == pytest.approx(5 / 11)  # right and second
    assert report.ties.ties == 5  # answers that cancel, and the tie
    assert report.ties.strict.value == pytest.approx(4 / 11)
    assert {"margins", "calibration", "disagreements"} <= set(report.missing)
    assert report.scale == "verdict"


def test_votes_are_joined_before_pairs_are_made(put_rows: Any) -> None:
    rows = [make_row(f"r{k}", **picks(0, 0, 1)) for k in range(4)]
    settings = {"model": {"settings": {"voting": "majority"}}}
    report = checked(report_of(put_rows(rows, answer_kind="verdict", changed=settings)))
    assert report.ties.strict.value == 1
    assert report.missing["position"] == "No two answers were shown in both orders."


def test_a_judge_that_rates_has_margins(put_rows: Any) -> None:
    def rated(k: int, a: int, b: int) -> Any:
        verdicts = (Verdict((0,), "rating", a), Verdict((1,), "rating", b))
        return make_row(f"r{k}", size=2, verdicts=verdicts)

    report = checked(report_of(put_rows([rated(0, 5, 3), rated(1, 2, 2), rated(2, 1, 4)], answer_kind="verdict")))
    assert report.scale == "rating"
    assert report.margins.quantiles[2] == 0
    assert report.disagreements[0].margin == -3


def test_margins_in_both_orders_are_averaged(put_rows: Any) -> None:
    directed = ((0.0, 3.0), (-1.0, 0.0))
    rows = [make_row(f"r{k}", size=2, directed=directed) for k in range(3)]
    rows.append(make_row("turned", size=2, directed=((0.0, 1.0), (2.0, 0.0))))
    report = checked(report_of(put_rows(rows)))
    assert report.scale == "margin"
    assert report.margins.quantiles[2] == 2
    assert report.position.consistent.value == pytest.approx(3 / 4)
    assert report.position.first.value == pytest.approx(1 / 4)


def test_margins_that_only_turn_their_sign(put_rows: Any) -> None:
    rows = [make_row(f"r{k}", size=2, directed=((0.0, 3.0), (-3.0, 0.0))) for k in range(3)]
    assert "change their sign" in checked(report_of(put_rows(rows))).missing["position"]


HOSTILE: dict[str, list[float]] = {
    "one right row": [1.0],
    "one wrong row": [-1.0],
    "one tie": [0.0],
    "all ties": [0.0] * 30,
    "all right": [1.0, 2.0] * 15,
    "all wrong": [-1.0, -2.0] * 15,
    "all alike and wrong": [-1.0] * 5,
    "worse than chance": [1.0, -5.0] * 15,
    "the smallest": [5e-324, -5e-324, 1.0],
    "the largest": [1.7e308, -1.7e308, 1.0, -1.0],
    "two rows": [1.0, -1.0],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_strange_margins_have_a_report(name: str, tmp_path: Path) -> None:
    report = checked(report_of(put_record(tmp_path, HOSTILE[name])))
    assert report.margins.n == len(HOSTILE[name])
    assert 0 <= report.calibration.ece.value <= 1


def test_margins_beyond_every_number(put_rows: Any) -> None:
    """A difference that overflows is still a win."""
    rows = [make_row("a", (1.7e308, -1.7e308)), make_row("b", (-1.7e308, 1.7e308)), make_row("c", (1.0, 0.0))]
    report = checked(report_of(put_rows(rows)))
    assert report.ties.strict.value == pytest.approx(2 / 3)


def test_infinite_scores_are_no_answers(put_rows: Any) -> None:
    rows = [make_row("a", (1.0, 0.0)), make_row("b", (0.0, 1.0), status="failed", error="out of memory")]
    rows += [make_row("c", size=2, status="unparsed")]
    report = checked(report_of(put_rows(rows)))
    assert report.coverage.unanswered == 2
    assert report.coverage.reasons == {"out of memory": 1, "no readable answer": 1}
    assert report.ties.strict.value == pytest.approx(1 / 3)


def test_nothing_answered(put_rows: Any) -> None:
    rows = [make_row(f"r{k}", size=2, status="failed", error="no server") for k in range(3)]
    report = checked(report_of(put_rows(rows)))
    assert report.scale is None
    assert report.ties.strict.value == 0
    assert report.missing["calibration"] == "The model has a readable answer to no pair."


def test_a_task_without_comparisons(tmp_path: Path) -> None:
    spec = MetricSpec("rho", "spearman")
    report = checked(report_of(put_record(tmp_path, [1.0, 2.0, 3.0], spec=spec, ratings=[1.0, 2.0, 4.0])))
    assert set(report.missing) == set(PARTS)
    assert "no comparison" in report.missing["ties"].replace("No row holds a", "no")
    assert report.headline.value == pytest.approx(1)


def test_a_published_record(tmp_path: Path) -> None:
    folder = put_record(tmp_path / "a", [1.0, -1.0])
    facts = {"kind": "published", "judgments": None}
    run = read(folder).run.model_copy(update={"source_of_scores": "Table 1"})
    write_published(tmp_path / "b", read(folder).model_copy(update={**facts, "run": run}))
    place = tmp_path / "b" / folder.relative_to(tmp_path / "a")
    report = checked(report_of(place))
    assert set(report.missing) == set(PARTS)
    assert "published" in report.missing["length"]


def test_a_printed_figure_is_of_no_rows_that_are_known(tmp_path: Path) -> None:
    write_published_figures(tmp_path, "org/m", "a", [("accuracy", 0.7)])
    (folder,) = find(tmp_path)
    text = printed(ReportView(report_of(folder)))
    assert "accuracy .700\n" in text
    assert "0 rows" not in text
    assert "0 rows" not in page([report_of(folder)])


@pytest.mark.parametrize("printed_as", ["both_orders", None])
def test_a_published_record_without_the_headline(printed_as: str | None, tmp_path: Path) -> None:
    """Papers print other metrics of a benchmark than its own first one."""
    folder = put_record(tmp_path / "a", [1.0, -1.0, 1.0])
    record = read(folder)
    values = [record.results[0].model_copy(update={"metric": printed_as})] if printed_as else []
    run = record.run.model_copy(update={"source_of_scores": "Table 1"})
    facts = {"kind": "published", "judgments": None, "run": run, "results": values}
    write_published(tmp_path / "b", record.model_copy(update=facts))
    report = checked(report_of(tmp_path / "b" / folder.relative_to(tmp_path / "a")))
    assert report.metric == (printed_as or "accuracy")
    assert report.headline.value == (pytest.approx(2 / 3) if printed_as else None)


def test_a_folder_without_a_record(tmp_path: Path) -> None:
    with pytest.raises(RmbenchError, match=r"no record\.json here"):
        report_of(tmp_path)


@pytest.mark.slow
def test_many_rows_take_seconds(tmp_path: Path) -> None:
    """100,000 pairs; the bound is far above what they take, and far below what pairs by pairs would."""
    rng = random.Random(0)
    folder = put_record(tmp_path, [rng.gauss(0.5, 1) for _ in range(100_000)])
    before = time.perf_counter()
    report = report_of(folder)
    assert report.margins.n == 100_000
    assert time.perf_counter() - before < 300
    assert math.isfinite(report.calibration.temperature.value)


def test_every_part_is_named_in_missing_or_shown() -> None:
    assert set(PARTS) < {field.name for field in fields(Report)}
