"""Figures of vision-language judges and reward models, from released counts: no weights are needed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rmbench.metric_spec import MetricSpec
from rmbench.metrics.measure import measure
from rmbench.stats import CaptionFacts, caption_f1, dc_score
from rmbench.tasks.registry import get
from rmbench.types import Edge, Gold, Judged, Judgment, Verdict

# InternLM/InternLM-XComposer @ 0f70c3e, InternLM-XComposer-2.5-Reward/evaluation/{vl_rewardbench,rm_bench}/results.json
VL_REWARDBENCH = {"hallucination": (452, 749), "reasoning": (200, 318), "general": (155, 183)}
RM_BENCH = ((947, 838, 492), (981, 953, 559), (1254, 1247, 940))
"""Rows of 1,327 in which chosen answer i of three styles scores above rejected answer k."""
# facebookresearch/MMRB2 @ 7ff0552: pairs of 1,000 whose `chosen` is A, and sample_task*.json, which say A, then B.
MMRB2 = {"t2i": 532, "edit": 555, "interleaved": 575, "reasoning": 475}


def answered(name: str, *, right: bool, groups: dict[str, str]) -> Judged:
    return Judged(name, 2, Gold((Edge(0, 1),)), Judgment(name, rewards=(float(right), 0.5)), groups)


def test_ixc_on_vl_rewardbench() -> None:
    rows = [
        answered(f"{category}/{k}", right=k < right, groups={"category": category, "subset": "x"})
        for category, (right, size) in VL_REWARDBENCH.items()
        for k in range(size)
    ]
    values = {(v.metric, v.group): v.value for v in measure(rows, get("vl-rewardbench").metrics, resamples=10)}
    assert values["accuracy", None] == pytest.approx(0.6456)
    assert values["macro_accuracy", None] == pytest.approx(0.69313, abs=5e-6)
    assert values["accuracy", "category=general"] == pytest.approx(0.8470, abs=5e-5)


def test_ixc_on_rm_bench() -> None:
    """Its mean is that of all rows; the task's own headline is the mean of domains."""
    levels = {True: "hard", False: "easy"}
    edges = tuple(
        Edge(i, 3 + k, tags=(f"level={'normal' if i == k else levels[i < k]}",)) for i in range(3) for k in range(3)
    )
    rows = []
    for row in range(1327):
        margin = [[0.0] * 6 for _ in range(6)]
        for i in range(3):
            for k in range(3):
                sign = 1.0 if row < RM_BENCH[i][k] else -1.0
                margin[i][3 + k], margin[3 + k][i] = sign, -sign
        directed = tuple(map(tuple, margin))
        rows.append(Judged(str(row), 6, Gold(edges), Judgment(str(row), directed=directed)))
    values = {v.group: v.value for v in measure(rows, [MetricSpec("m", "pair", report=(("level",),))], resamples=10)}
    assert values[None] == pytest.approx(0.687516, abs=5e-7)
    found = [values[f"level={level}"] for level in ("hard", "normal", "easy")]
    assert found == pytest.approx([0.474504, 0.713389, 0.874655], abs=5e-7)


def mmrb2_row(name: str, chosen: int, task: str, said: tuple[int | None, ...] = (0, 1)) -> Judged:
    """A row whose judge says that the answer at this place is better, forward and then reversed; None: nothing."""
    verdicts = []
    for shown, place in zip(((0, 1), (1, 0)), said, strict=True):
        value = None if place is None else shown[place]
        verdicts.append(Verdict(shown, "pick", value, "ok" if value is not None else "unparsed"))
    return Judged(name, 2, Gold((Edge(chosen, 1 - chosen),)), Judgment(name, verdicts=tuple(verdicts)), {"task": task})


SPEC = get("mmrb2").metrics[0]


def test_mmrb2_sample_judges() -> None:
    """They name response A in both orders: A forward, B reversed. README: 53.20, 55.50, 57.50, 47.50 and 53.42."""
    rows = [mmrb2_row(f"{task}/{k}", int(k >= first), task) for task, first in MMRB2.items() for k in range(1000)]
    values = {v.group: v for v in measure(rows, [SPEC], answer_kind="verdict", resamples=10)}
    assert {task: values[f"task={task}"].value for task in MMRB2} == pytest.approx(
        {"t2i": 0.532, "edit": 0.555, "interleaved": 0.575, "reasoning": 0.475}
    )
    assert values[None].value == pytest.approx(0.53425)


def test_judgements_that_are_missing_leave_the_denominator() -> None:
    rows = [
        mmrb2_row("both right", 0, "edit", (0, 1)),
        mmrb2_row("one made", 0, "edit", (1, None)),
        mmrb2_row("none made", 0, "edit", (None, None)),
        Judged("failed", 2, Gold((Edge(0, 1),)), Judgment("failed", status="failed"), {"task": "edit"}),
    ]
    (value, _) = measure(rows, [replace(SPEC, min_coverage=0.5)], answer_kind="verdict", resamples=10)
    assert value.value == pytest.approx(2 / 3)
    assert value.n == 2
    assert value.coverage == 0.75
    assert "low_coverage" in measure(rows, [SPEC], answer_kind="verdict", resamples=10)[0].flags
    (pairs, _) = measure(rows, [MetricSpec("m", "pair", report=(("task",),))], answer_kind="verdict", resamples=10)
    assert pairs.value == pytest.approx(1 / 4)  # by rows, and what is missing is wrong
    undefined = measure(rows[2:3], [MetricSpec("m", "pooled_judgements")], answer_kind="verdict", resamples=10)[0]
    assert (undefined.value, undefined.flags) == (None, ("undefined",))


class TestDCScore:
    def test_the_facts_of_a_caption(self) -> None:
        facts = CaptionFacts([True, True, False, True, True], [0, 0, 2, None, 1], [True, True, True, False, True], 4)
        assert caption_f1(facts) == pytest.approx((0.8, 0.6, 0.6857143), abs=1e-7)
        assert caption_f1(facts, relevant=True) == pytest.approx((0.75, 0.5, 0.6), abs=1e-7)
        found = dc_score([facts])
        assert (found.score, found.valid, found.invalid) == (pytest.approx(64.28571, abs=1e-5), 1, 0)

    def test_facts_that_say_one_oracle_fact_share_it(self) -> None:
        facts = CaptionFacts([True, True, True], [1, 1, None], [True, True, True], 2)
        precision, recall, f1 = caption_f1(facts)
        assert (precision, recall, f1) == pytest.approx((1.0, 2 / 3, 0.8), abs=1e-7)

    def test_captions_without_a_relevant_fact_are_counted_and_left_out(self) -> None:
        good = CaptionFacts([True], [0], [True], 1)
        bad = CaptionFacts([True], [0], [False], 1)
        found = dc_score([good, bad, CaptionFacts([], [], [], 3)])
        assert (found.score, found.valid, found.invalid) == (pytest.approx(100.0, abs=1e-5), 1, 2)
        assert dc_score([bad]).score is None
        wrong = CaptionFacts([False], [None], [True], 1)
        assert dc_score([wrong]).score == 0.0
        with pytest.raises(ValueError, match="no relevant fact"):
            caption_f1(bad, relevant=True)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (([True], [], [True], 1), "have 1, 0 and 1 facts"),
            (([True], [1], [True], 1), "from 0 to 0, or None, not 1"),
            (([True], [0], [True], 0), "expected 1 or more facts"),
        ],
    )
    def test_what_cannot_be_is_said(
        self, arguments: tuple[list[bool], list[int], list[bool], int], message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            CaptionFacts(*arguments)
