"""What a row says of a model: its outcome, its lowest margin, its scores; and what people say of candidates."""

from __future__ import annotations

import random

import pytest

from rmbench.metric_spec import MetricSpec
from rmbench.metrics.credit.row import credit
from rmbench.types import TIE, Edge, Judged, Verdict
from rmbench.view.rows import Answer, answer_of, gold_words
from tests._make import ACCURACY, make_row


def said(row: Judged, spec: MetricSpec = ACCURACY, worth: float | None = -1.0) -> Answer:
    return answer_of(row, row, credit(row, spec).value if worth == -1.0 else worth, spec)


def picks(*values: int | None) -> tuple[Verdict, ...]:
    shown = [(0, 1), (1, 0)]
    return tuple(
        Verdict(shown[k % 2], "pick", value, "unparsed" if value is None else "ok") for k, value in enumerate(values)
    )


@pytest.mark.parametrize(
    ("row", "outcome", "margin"),
    [
        (make_row("r", (1.5, 1.0)), "right", 0.5),
        (make_row("r", (1.0, 1.5)), "wrong", -0.5),
        (make_row("r", (1.0, 1.0)), "tie", 0.0),
        (make_row("r", (1.0, 1.0), edges=(Edge(1, 0),)), "tie", 0.0),
        (make_row("r", size=2, status="failed", error="time-out"), "failed", None),
        (make_row("r", (float("nan"), 1.0)), "failed", None),
        (make_row("r", size=2, status="unparsed"), "unparsed", None),
        (make_row("r", size=2, verdicts=picks(0, 0)), "right", 2.0),
        (make_row("r", size=2, verdicts=picks(0, 1)), "partly right", 0.0),
        (make_row("r", size=2, verdicts=picks(TIE, TIE)), "tie", 0.0),
        (make_row("r", size=2, verdicts=picks(None, None)), "unparsed", None),
        (make_row("r", (3.0, 2.0, 1.0), edges=(Edge(0, 1), Edge(0, 2), Edge(2, 1))), "partly right", -1.0),
        (make_row("r", size=2, directed=((0.0, 2.0), (1.0, 0.0))), "right", 0.5),
        (make_row("r", (1.0, 2.0), edges=(Edge(0, 1, 0.0),)), "neither", None),
    ],
)
def test_outcome_and_margin(row: Judged, outcome: str, margin: float | None) -> None:
    answer = said(row)
    assert (answer.outcome, answer.margin) == (outcome, margin)


def test_a_tie_that_people_share_is_right() -> None:
    row = make_row("r", (1.0, 1.0), edges=(Edge(0, 1, 0.0),))
    assert said(row, MetricSpec("agreement", "agreement")).outcome == "right"


def test_lower_credit_is_better_where_the_metric_says_so() -> None:
    attacked = MetricSpec("asr", "attack_success")
    assert said(make_row("r", (1.0, 2.0)), attacked).outcome == "wrong"
    assert said(make_row("r", (2.0, 1.0)), attacked).outcome == "right"


def test_where_the_figure_is_of_all_rows_a_rows_comparisons_decide() -> None:
    spec = MetricSpec("f1", "macro_f1")
    assert said(make_row("r", (2.0, 1.0)), spec, None).outcome == "right"
    assert said(make_row("r", (1.0, 2.0)), spec, None).outcome == "wrong"
    rated = make_row("r", (0.3,), edges=(), ratings=((4.0,),), dimensions=("quality",))
    assert said(rated, MetricSpec("tau", "kendall_b", dimension="quality"), None).outcome == "neither"


def test_the_lowest_margin_of_ratings_is_that_of_all_pairs() -> None:
    draw = random.Random(3)
    spec = MetricSpec("tau", "list_kendall_b", dimension="quality")
    for _ in range(200):
        size = draw.randint(1, 6)
        rewards = [round(draw.gauss(0, 1), 1) for _ in range(size)]
        ratings = tuple((float(draw.randint(1, 3)),) for _ in range(size))
        row = make_row("r", rewards, edges=(), ratings=ratings, dimensions=("quality",))
        pairs = [rewards[i] - rewards[j] for i in range(size) for j in range(size) if ratings[i][0] > ratings[j][0]]
        assert said(row, spec, None).margin == (pytest.approx(min(pairs)) if pairs else None)


def test_scores_are_what_the_model_gave() -> None:
    assert (said(make_row("r", (1.5, 1.0))).scores, said(make_row("r", (1.5, 1.0))).unit) == ((1.5, 1.0), "reward")
    judge = said(make_row("r", size=2, verdicts=picks(0, 0)))
    assert (judge.scores, judge.unit) == ((2.0, -2.0), "won less lost")
    rated = (Verdict((0,), "rating", 7.0), Verdict((1,), "rating", None, "unparsed"))
    assert said(make_row("r", size=2, verdicts=rated)).scores == (7.0, None)


def test_what_people_say_of_each_candidate() -> None:
    edges = (Edge(0, 1), Edge(1, 2), Edge(3, 0, 0.0))
    assert gold_words(make_row("r", (0.0,) * 5, edges=edges), ACCURACY) == (
        "preferred",
        "preferred in 1 of 2 comparisons",
        "not preferred",
        "tie",
        "",
    )
    rated = make_row("r", (0.0, 1.0), edges=(), ratings=((4.0, float("nan")), (1 / 3, 2.0)), dimensions=("a", "b"))
    assert gold_words(rated, MetricSpec("tau", "kendall_b", dimension="a")) == ("a 4", "a 0.333, b 2")
