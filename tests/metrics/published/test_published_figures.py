"""Figures of all rows together: means of metrics, Ties, calibrated ties, noise, propensities, contexts, mean scores."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmbench.errors import RmbenchError
from rmbench.metric_spec import RULES, Level, MetricSpec, is_linear
from rmbench.metrics.measure import measure
from rmbench.metrics.noise import inverse_propensity_mean, noise_corrected, unbiased_implicit_loss
from rmbench.metrics.rows.selection import selected_rows
from rmbench.metrics.samples import MetricContext, sample_of
from rmbench.metrics.ties.rewardbench2 import ties_sample
from rmbench.metrics.ties.tie_calibration import loop_accuracy
from rmbench.metrics.uncertainty.sample import draw_jointly
from rmbench.types import Edge, Gold, Judged, Judgment, Verdict


def value_of(rows, spec, *more, **options):
    return measure(rows, [spec, *more], **options)[0]


# --- RewardBench 2's Ties, and its mean with the other subsets


def ties_row(row, turn=lambda score, right: score, **fields):
    right = row["num_correct"]
    scores = tuple(float(turn(score, k < right)) for k, score in enumerate(row["scores"]))
    edges = tuple(Edge(i, j) for i in range(right) for j in range(right, len(scores)))
    judgment = Judgment(row["id"], **({"rewards": scores} | fields))
    return Judged(row["id"], len(scores), Gold(edges), judgment, {"subset": "Ties"}, row["id"])


TIES = MetricSpec("ties", "ties")


def test_ties_published(golden):
    table = golden("reward_bench_2_ties")
    rows = [ties_row(row) for row in table["rows"]]
    got = value_of(rows, TIES)
    assert got.value == pytest.approx(table["expected"]["score"], abs=1e-15)
    assert (got.n, got.interval) == (8, "wilson-bootstrap")
    assert got.low < got.value < got.high
    for turn, expected in (
        (lambda _, right: right, 1.01),
        (lambda _, right: -right, -0.01),
        (lambda *_: 3, 0.0),
    ):
        assert value_of([ties_row(row, turn) for row in table["rows"]], TIES).value == pytest.approx(expected)


def test_ties_failures_and_judges(golden):
    table = golden("reward_bench_2_ties")
    failed = [ties_row(row, rewards=None, status="failed") for row in table["rows"]]
    assert ties_sample(failed, TIES).value == pytest.approx(-0.01)
    nothing = value_of(failed, TIES)
    assert (nothing.value, nothing.coverage, nothing.flags) == (None, 0, ("low_coverage", "undefined"))
    picks = [ties_row(row, rewards=None, verdicts=(Verdict((0, 1), "pick", 0),)) for row in table["rows"]]
    got = value_of(picks, TIES)
    assert (got.value, got.flags) == (None, ("needs_scores", "undefined"))
    # A rating that could not be read is a score of -1.
    rated = []
    for row in table["rows"]:
        said = [Verdict((k,), "rating", score) for k, score in enumerate(row["scores"])]
        said[-1] = Verdict((len(said) - 1,), "rating", None, "unparsed")
        rated.append(ties_row(row, rewards=None, verdicts=tuple(said)))
    scores = [{**row, "scores": [*row["scores"][:-1], -1.0]} for row in table["rows"]]
    expected = value_of([ties_row(row) for row in scores], TIES).value
    assert value_of(rated, TIES).value == pytest.approx(expected)


def test_ties_needs_its_ids(golden):
    row = golden("reward_bench_2_ties")["rows"][0]
    assert value_of([ties_row(row)], TIES).value is None
    with pytest.raises(RmbenchError, match='row "7": expected an id that ends in "ref:<k>" or "tied:<k>"'):
        value_of([ties_row({**row, "id": "7"})], TIES)


BEST_OF_4 = tuple(Edge(0, k) for k in range(1, 4))
SUBSETS = ("Factuality", "PreciseIF", "Math", "Safety", "Focus")
RB2 = (
    MetricSpec("mean", "mean_of", of=(*SUBSETS, "Ties")),
    *(MetricSpec(name, "top", where={"subset": (name,)}, chance=0.25) for name in SUBSETS),
    MetricSpec("Ties", "ties", where={"subset": ("Ties",)}),
)


def reward_bench_2(golden, turn=lambda score, right: score):
    generator = np.random.default_rng(1)
    rows = []
    for name in SUBSETS:
        for k in range(20):
            scores = tuple(float(turn(score, c == 0)) for c, score in enumerate(generator.integers(0, 3, 4)))
            rows.append(
                Judged(f"{name}{k}", 4, Gold(BEST_OF_4), Judgment(f"{name}{k}", rewards=scores), {"subset": name})
            )
    return rows + [ties_row(row, turn) for row in golden("reward_bench_2_ties")["rows"]]


def test_a_mean_of_metrics(golden):
    rows = reward_bench_2(golden)
    got = {v.metric: v for v in measure(rows, RB2)}
    parts = [got[name] for name in (*SUBSETS, "Ties")]
    assert got["mean"].value == pytest.approx(np.mean([part.value for part in parts]))
    assert (got["mean"].n, got["mean"].interval, got["mean"].chance) == (108, "wilson-bootstrap", None)
    # Parts that share no row vary apart: the spread of the mean is that of a sixth of their sum.
    context = MetricContext({spec.name: spec for spec in RB2})

    def spread(spec):
        sample = sample_of(selected_rows(rows, spec), spec, context)
        return draw_jointly([sample], 4000, np.random.default_rng(0))[0].std()

    assert spread(RB2[0]) == pytest.approx(math.sqrt(sum(spread(spec) ** 2 for spec in RB2[1:])) / 6, rel=0.1)


def test_the_ends_of_a_mean_with_ties(golden):
    for sign, expected in ((1, 1.0016667), (-1, -0.0016667), (0, 5 * 0.25 / 6)):
        rows = reward_bench_2(golden, lambda _, right, sign=sign: sign * right)
        assert value_of(rows, *RB2).value == pytest.approx(expected, abs=5e-8)


def test_a_mean_is_null_where_a_part_is(golden):
    rows = [row for row in reward_bench_2(golden) if row.groups["subset"] != "Ties"]
    got = value_of(rows, *RB2)
    assert (got.value, got.flags) == (None, ("undefined", "no_Ties"))
    plain = MetricSpec("mean", "mean_of", of=SUBSETS)
    assert value_of(rows, plain, *RB2[1:]).chance == 0.25


def test_a_mean_names_other_metrics_of_the_task(golden):
    rows = reward_bench_2(golden)
    with pytest.raises(
        RmbenchError, match=r'`of` names "Maths", which is no other metric of the task.*Did you mean "Math"'
    ):
        measure(rows, [MetricSpec("mean", "mean_of", of=("Maths",)), *RB2[1:]])
    with pytest.raises(RmbenchError, match='"a" is itself a mean'):
        measure(rows, [MetricSpec("mean", "mean_of", of=("a",)), MetricSpec("a", "mean_of", of=("Math",)), *RB2[1:]])
    with pytest.raises(RmbenchError, match="`of` names no metric"):
        measure(rows, [MetricSpec("mean", "mean_of")])


def test_parts_that_share_rows_are_drawn_together(make):
    """Two metrics of the same rows: the mean of a metric with itself varies as the metric does, not less."""
    generator = np.random.default_rng(0)
    rows = [make(str(k), (float(generator.integers(0, 2)), 0.5), cluster=str(k // 2)) for k in range(60)]
    one, two = MetricSpec("a", "pair"), MetricSpec("b", "pair")
    around = MetricContext({"a": one, "b": two})
    both = sample_of(rows, MetricSpec("m", "mean_of", of=("a", "b")), around)
    single = sample_of(rows, one, around)
    drawn = draw_jointly([both, single], 300, generator)
    assert drawn[0] == pytest.approx(drawn[1])
    assert np.std(drawn[0]) > 0.01


def test_joint_draws_by_a_plain_loop(make):
    """Counts of clusters handed to a linear sample give what averaging the drawn rows gives."""
    generator = np.random.default_rng(2)
    rows = [
        make(str(k), (float(generator.normal()), 0.0), cluster=str(k % 7), groups={"g": str(k % 3)}, weight=1.0 + k % 2)
        for k in range(30)
    ]
    spec = MetricSpec("a", "pair", levels=(Level("g"),))
    sample = sample_of(rows, spec, MetricContext())
    counts = generator.integers(0, 3, (20, 7)).astype(float)
    for line, got in zip(counts, sample.draw(counts), strict=True):
        leaves = []
        for group in "012":
            drawn = [
                (row.weight, float(row.judgment.rewards[0] > 0))
                for row in rows
                if row.groups["g"] == group
                for _ in range(int(line[sample.clusters.index(row.cluster)]))
            ]
            if drawn:
                leaves.append(sum(w * c for w, c in drawn) / sum(w for w, _ in drawn))
        assert got == pytest.approx(np.mean(leaves))


# --- ties of the model calibrated on the labels


def pairs_of(make, human, margins, dimension=""):
    return [
        make(str(k), (float(m), 0.0), edges=(Edge(0, 1, float(h), dimension),))
        for k, (h, m) in enumerate(zip(human, margins, strict=True))
    ]


CALIBRATED = MetricSpec("m", "tie_calibrated_accuracy")
LOOP = MetricSpec("m", "tie_loop_accuracy")


@pytest.mark.parametrize(
    "human, margins, loop, strict",
    [
        ((0, 1), (0.5, 0.5), 1.0, 0.5),
        ((1, 1), (0.5, 0.2), 0.5, 1.0),
        ((1, -1, 0), (0, 0, 0), 1 / 3, 1 / 3),
    ],
)
def test_the_loop_and_the_threshold_published(make, human, margins, loop, strict):
    assert loop_accuracy(human, margins) == loop
    rows = pairs_of(make, human, margins)
    assert value_of(rows, LOOP).value == pytest.approx(loop)
    assert value_of(rows, CALIBRATED).value == pytest.approx(strict)


def test_without_ties_an_equal_score_is_wrong(make):
    rows = pairs_of(make, (1, 1, 0), (0.0, 0.2, 1.0))
    assert value_of(rows, MetricSpec("m", "pair")).value == 0.5


def test_the_published_calibration(make):
    """h = 1 1 1 2 3, s = .10 .13 .12 .50 .90 as ten pairs: .7 at 0, 1.0 at .03."""
    human, scores = (1, 1, 1, 2, 3), (0.10, 0.13, 0.12, 0.50, 0.90)
    found = list(itertools.combinations(range(5), 2))
    rows = [
        make(str(k), (scores[i], scores[j]), edges=(Edge(0, 1, float(np.sign(human[i] - human[j]))),))
        for k, (i, j) in enumerate(found)
    ]
    got = {v.group: v for v in measure(rows, [CALIBRATED])}
    assert (got[None].value, got[None].flags) == (1.0, ("epsilon=0.03",))
    assert got["epsilon=0"].value == pytest.approx(0.7)
    # The same items as one list of ratings.
    ratings = tuple((float(h),) for h in human)
    rated = make("r", scores, size=5, edges=(), ratings=ratings, dimensions=("q",))
    listed = {v.group: v for v in measure([rated, rated], [CALIBRATED])}
    assert (listed[None].value, listed[None].flags) == (1.0, ("epsilon=0.03",))
    assert listed["epsilon=0"].value == pytest.approx(0.7)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.sampled_from([-1, 0, 1]), st.integers(-3, 3)), min_size=1, max_size=9))
def test_calibration_by_trying_every_threshold(items):
    rows = [
        Judged(str(k), 2, Gold((Edge(0, 1, float(h)),)), Judgment(str(k), rewards=(float(m), 0.0)))
        for k, (h, m) in enumerate(items)
    ]

    def at(epsilon):
        return np.mean([h == 0 if abs(m) <= epsilon else h * m > 0 for h, m in items])

    got = {v.group: v for v in measure(rows, [CALIBRATED], resamples=20)}
    assert got[None].value == pytest.approx(max(at(e) for e in range(5)))
    assert got["epsilon=0"].value == pytest.approx(at(0))
    epsilon = float(got[None].flags[0].removeprefix("epsilon="))
    assert at(epsilon) == pytest.approx(got[None].value)
    assert all(at(e) < got[None].value for e in range(int(epsilon)))


def test_unanswered_rows_stay_and_are_wrong(make):
    rows = [
        *pairs_of(make, (1, 0), (1.0, 0.0)),
        make("f", status="failed"),
        make("g", status="failed", edges=(Edge(0, 1, 0.0),)),
    ]
    for spec in (CALIBRATED, LOOP):
        assert value_of(rows, replace(spec, min_coverage=0)).value == 0.5


# --- noise, propensities, contexts


def test_noise_correction(make):
    assert noise_corrected(0.75, 0.1) == pytest.approx((0.75 - 0.1) / 0.8)
    # A model right on the truth is seen right on 1 - e of the labels, one that guesses on half of them.
    assert noise_corrected(0.9, 0.1) == pytest.approx(1)
    assert noise_corrected(0.5, 0.3) == pytest.approx(0.5)
    for rate in (0.5, -0.1):
        with pytest.raises(RmbenchError, match=r"under 0\.5"):
            noise_corrected(0.7, rate)
    rows = [make(str(k), (float(k % 4 > 0), 0.5)) for k in range(80)]
    got = value_of(rows, MetricSpec("m", "noise_corrected", flip_rate=0.1))
    assert got.value == pytest.approx((0.75 - 0.1) / 0.8)
    plain = value_of(rows, MetricSpec("m", "noise_corrected"))
    assert got.high - got.low == pytest.approx((plain.high - plain.low) / 0.8)


def test_noise_correction_finds_the_truth_in_flipped_labels(make):
    generator = np.random.default_rng(5)
    rows = []
    for k in range(4000):
        right, flipped = generator.random() < 0.8, generator.random() < 0.2
        rows.append(make(str(k), (1.0, 0.0) if right else (0.0, 1.0), edges=(Edge(1, 0) if flipped else Edge(0, 1),)))
    got = value_of(rows, MetricSpec("m", "noise_corrected", flip_rate=0.2), resamples=200)
    assert got.value == pytest.approx(0.8, abs=0.03)


def test_inverse_propensities(make):
    credits_of, chances = [1.0, 0.0, 1.0], [0.5, 0.25, 1.0]
    assert inverse_propensity_mean(credits_of, chances) == pytest.approx((2 + 1) / (2 + 4 + 1))
    assert inverse_propensity_mean(credits_of, chances, normalised=False) == pytest.approx(3 / 3)
    assert inverse_propensity_mean(credits_of, chances, clip=0.5) == pytest.approx(3 / 5)
    rows = [
        make(str(k), (c, 0.5), groups={"p": str(p)}) for k, (c, p) in enumerate(zip(credits_of, chances, strict=True))
    ]
    for clip, expected in ((0.0, 3 / 7), (0.5, 3 / 5)):
        spec = MetricSpec("m", "inverse_propensity", propensity="p", clip=clip)
        assert value_of(rows, spec).value == pytest.approx(expected)
        assert is_linear(spec)
    for text in ("0", "1.5", "often", "nan"):
        with pytest.raises(RmbenchError, match=f'propensity "{text}", expected above 0'):
            value_of([make("r", (1.0, 0.0), groups={"p": text})], spec)
    with pytest.raises(RmbenchError, match='no group "q"'):
        value_of(rows, MetricSpec("m", "inverse_propensity", propensity="q"))


def test_the_papers_own_loss_of_implicit_labels():
    """usaito/unbiased-implicit-rec-real @ ff1435e: (labels / theta) (1 - p)^2 + w (1 - labels / theta) p^2, over
    sum(labels + w (1 - labels)), theta clipped from below."""
    labels, predicted, chances = [1.0, 0.0, 1.0, 0.0], [0.9, 0.2, 0.4, 0.7], [0.5, 0.8, 0.05, 1.0]
    for w in (1.0, 0.25):
        top = bottom = 0.0
        for y, p, theta in zip(labels, predicted, chances, strict=True):
            seen = y / max(theta, 0.1)
            top += seen * (1 - p) ** 2 + w * (1 - seen) * p**2
            bottom += y + w * (1 - y)
        loss = unbiased_implicit_loss(labels, predicted, chances, weight=w, clip=0.1)
        assert loss == pytest.approx(top / bottom, abs=1e-12)
    # In the mean over what happens to be seen it is the loss with the true relevance in the labels' place.
    generator = np.random.default_rng(2)
    guess, seen_at = generator.random(200_000), generator.uniform(0.2, 1.0, 200_000)
    relevant = (generator.random(200_000) < 0.3).astype(float)
    clicked = relevant * (generator.random(200_000) < seen_at)
    truth = np.mean(relevant * (1 - guess) ** 2 + (1 - relevant) * guess**2)
    assert unbiased_implicit_loss(clicked.tolist(), guess.tolist(), seen_at.tolist()) == pytest.approx(truth, abs=0.005)


def test_propensities_find_the_mean_of_rows_that_were_not_sampled_alike(make):
    generator = np.random.default_rng(6)
    rows = []
    for k in range(6000):
        easy = generator.random() < 0.5
        chance = 0.9 if easy else 0.1
        if generator.random() < chance:
            right = generator.random() < (0.9 if easy else 0.5)
            rows.append(make(str(k), (float(right), 0.5), groups={"p": str(chance)}))
    assert value_of(rows, MetricSpec("a", "pair"), resamples=50).value > 0.82
    spec = MetricSpec("m", "inverse_propensity", propensity="p")
    assert value_of(rows, spec, resamples=50).value == pytest.approx(0.7, abs=0.04)


def test_both_contexts(make):
    """One pair under two contexts with opposite gold: a model that does not read the context is never right twice."""

    def under(context, rewards, edge, pair="1"):
        return make(
            f"{pair}/{context}", rewards, edges=(edge,), groups={"pair": pair, "context": context}, cluster=pair
        )

    x, y = Edge(0, 1), Edge(1, 0)
    blind = [under("x", (1.0, 0.0), x), under("y", (1.0, 0.0), y)]
    reads = [under("x", (1.0, 0.0), x, "2"), under("y", (0.0, 1.0), y, "2")]
    spec = MetricSpec("m", "both_contexts", join="pair")
    got = value_of([*blind, *reads], spec)
    assert (got.value, got.n, got.comparisons, got.interval) == (0.5, 2, 4, "wilson")
    assert value_of(blind, MetricSpec("a", "pair")).value == 0.5
    alone = value_of([*reads, under("x", (1.0, 0.0), x, "3")], spec)
    assert (alone.value, alone.n, alone.flags) == (1, 1, ("one_context",))
    assert value_of([under("x", (1.0, 0.0), x)], spec).flags == ("one_context", "undefined")


# --- means without gold


def test_mean_scores(make):
    rows = [make(str(k), (float(k), float(k + 2)), edges=(), groups={"style": "ab"[k % 2]}) for k in range(4)]
    spec = MetricSpec("m", "mean_score", report=(("style",),))
    got = {v.group: v for v in measure(rows, [spec])}
    assert {group: v.value for group, v in got.items()} == {None: 2.5, "style=a": 2.0, "style=b": 3.0}
    assert got[None].low < 2.5 < got[None].high
    missing = value_of(
        [*rows, make("x", status="failed", edges=(), groups={"style": "a"})],
        replace(spec, min_coverage=0),
        totals={None: 5},
    )
    assert (missing.value, missing.flags, missing.coverage) == (2.5, ("incomplete",), 0.8)
    by_style = value_of(rows[:3], MetricSpec("m", "mean_score", levels=(Level("style"),)))
    assert by_style.value == pytest.approx((2.0 + 2.0) / 2)


def test_chunks_are_runs_of_rows_in_their_order(make):
    scores = np.random.default_rng(0).normal(size=40)
    rows = [
        make(f"{k:02}", (float(score),), edges=(), groups={"style": "ab"[k // 20]}) for k, score in enumerate(scores)
    ]
    spec = MetricSpec("m", "chunk_deviation", k=10, levels=(Level("style"),), report=(("style",),))
    got = {v.group: v for v in measure(rows, [spec])}
    by_hand = []
    for style in (scores[:20], scores[20:]):  # evaluation.py: ten chunks, numpy's std of their means
        by_hand.append(np.std([np.mean(style[2 * k : 2 * k + 2]) for k in range(10)]))
    assert [got["style=a"].value, got["style=b"].value] == pytest.approx(by_hand)
    assert (got[None].value, got[None].low) == (pytest.approx(np.mean(by_hand)), None)
    gone = [*rows[:3], make("03", status="failed", edges=(), groups={"style": "a"}), *rows[4:20]]
    kept = [
        np.mean([score for k, score in enumerate(scores[:20]) if k // 2 == chunk and k != 3]) for chunk in range(10)
    ]
    missing = value_of(gone, MetricSpec("m", "chunk_deviation", k=10, min_coverage=0))
    assert (missing.value, missing.flags, missing.n) == (pytest.approx(np.std(kept)), ("incomplete",), 19)
    few = value_of(rows[:9], MetricSpec("m", "chunk_deviation", k=10))
    assert (few.value, few.flags) == (None, ("undefined",))
    uneven = value_of(rows[:5], MetricSpec("m", "chunk_deviation", k=2))
    assert uneven.value == pytest.approx(np.std([np.mean(scores[:3]), np.mean(scores[3:5])]))


def test_the_published_losses_of_margins(make):
    rows = [make(str(k), (margin, 0.0)) for k, margin in enumerate((2.0, 0.0, -1.0))]
    spec = MetricSpec("m", "bradley_terry_loss")
    for row, expected in zip(rows, (0.126928, 0.693147, 1.313262), strict=True):
        assert value_of([row], spec).value == pytest.approx(expected, abs=5.1e-7)
    assert value_of(rows, spec).value == pytest.approx(0.711112, abs=5.1e-7)
    judge = make("j", verdicts=(Verdict((0, 1), "pick", 0),))
    assert value_of([*rows, judge], spec).flags == ("incomplete",)


NEED_MORE = {
    *("mean_of", "ties", "probe", "inverse_propensity", "few_shot", "few_shot_gain", "paired_difference"),
    *("unbiased_dcg", "unbiased_recall", "unbiased_map", "unbiased_loss"),
    "segment_majority",
    *("rater_agreement", "rater_ceiling", "rater_mean", "worst_group_gap"),
}
"""Rules that name groups, raters or other metrics, without which they refuse to say anything."""


def test_every_rule_says_what_it_is():
    rows = [Judged("r", 2, Gold((Edge(0, 1),)), Judgment("r", rewards=(1.0, 0.0)))]
    for rule in NEED_MORE:
        with pytest.raises(RmbenchError):
            measure(rows, [MetricSpec("m", rule)], resamples=20)
    for rule in sorted(RULES.keys() - NEED_MORE):
        values = measure(rows, [MetricSpec("m", rule)], resamples=20)
        assert values[0].group is None, rule
        assert values[0].value is not None or "undefined" in values[0].flags, rule
        assert measure([], [MetricSpec("m", rule)])[0].value is None
    with pytest.raises(RmbenchError, match=r'unknown rule "aucs".*Did you mean "auc"'):
        measure(rows, [MetricSpec("m", "aucs")])
