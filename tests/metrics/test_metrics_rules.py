"""The table of rules: a function for every row, a row for every function, and each can be declared and measured."""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from rmbench.cli import cli
from rmbench.errors import RmbenchError
from rmbench.metric_spec import RULES, MetricSpec, is_linear, of_kind, rule_of
from rmbench.metrics.credit.row import CREDITED
from rmbench.metrics.measure import measure, selected_rows
from rmbench.metrics.samples import FIGURES
from rmbench.tasks.declaration.schema import MetricRule
from rmbench.tasks.registry import declared, load_file
from rmbench.tasks.sources import load
from rmbench.types import Example, Judged, Judgment, Value, Verdict

UNBIASED = ("unbiased_dcg", "unbiased_recall", "unbiased_map", "unbiased_loss")
PLACES = {
    "ties": "reward-bench-2",
    **dict.fromkeys(("both_contexts", "context_sensitivity", "context_shift", "paired_difference"), "rpr"),
    "mean_score": "hpsv2-generators",
    "chunk_deviation": "hpsv2-generators",
    "segment_majority": "densedpo-segments",
    "reward_shift": "forged-turns",
    "largest_reward_shift": "forged-turns",
    **dict.fromkeys(of_kind("raters"), "community-alignment"),
    **dict.fromkeys(UNBIASED, "unieval-topical-chat"),
}
KINDS = {"difference correlation": "ragchecker", "intransitive": "dice-cycles", "correlation": "unieval-topical-chat"}
SETTINGS = {
    "ties": 'where = { subset = ["Ties"] }',
    "both_contexts": 'join = "cluster"',
    "paired_difference": 'join = "context"\nbetween = ["criterion", "scenario"]',
    "context_sensitivity": 'join = "cluster"\nwhere = { context = ["criterion"] }',
    "context_shift": 'join = "cluster"\nwhere = { context = ["criterion", "none"] }',
    **dict.fromkeys((*of_kind("correlation"), *of_kind("difference correlation")), 'dimension = "overall"'),
    **dict.fromkeys(("rater_agreement", "rater_ceiling"), 'join = "question"'),
    "worst_group_gap": 'join = "language"',
    **dict.fromkeys(("few_shot", "few_shot_gain"), 'join = "shots"'),
    "inverse_propensity": 'propensity = "sampled"\nclip = 0.1',
    **dict.fromkeys(UNBIASED[:3], 'propensity = "seen"\ndimension = "overall"\nk = 1'),
    "unbiased_loss": 'propensity = "seen"\ndimension = "overall"',
    "recall_at_k": "k = 1",
    "chunk_deviation": "k = 2",
    "segment_majority": 'join = "part"\nbetween = ["segment", "whole"]',
    **dict.fromkeys(("precision", "recall", "f1"), "threshold = 0.5"),
    "noise_corrected": "flip_rate = 0.1",
    "mean_of": 'of = ["other"]\n\n[[metric]]\nname = "other"\nrule = "pair"',
    "probe": 'probe = "logistic"\ndimension = "attributable"',
}
SHOTS = '[groups.shots]\ncolumn = "turn"\nvalues = { "0" = ["first"], "1" = ["second", "third"] }\n\n'
SEEN = '[groups.seen]\ncolumn = "nowhere"\ndefault = "0.5"\n\n'
SAMPLED = '[groups.sampled]\ncolumn = "subset"\nvalues = { "0.5" = ["Natural"] }\ndefault = "1"\n\n'


def declaration(rule: str) -> str:
    """A bundled task that has what the rule needs, with a metric of the rule in the place of its own."""
    labelled = RULES[rule].kind == "classes" and not RULES[rule].human_ties
    name = PLACES.get(rule) or KINDS.get(RULES[rule].kind) or ("attributionbench" if labelled else "llmbar")
    text = declared()[name].path.read_text("utf-8")
    group = (
        SEEN
        if rule in UNBIASED
        else SAMPLED
        if rule == "inverse_propensity"
        else SHOTS
        if rule.startswith("few_shot")
        else ""
    )
    head = text[: text.index("[[metric]]")] + group
    return f'{head}[[metric]]\nname = "headline"\nrule = "{rule}"\n{SETTINGS.get(rule, "")}\n'


def judged(example: Example, rule: str) -> Judged:
    """An answer with everything that a rule may read: scores and states that know the gold and much else."""
    rng = np.random.default_rng(sum(map(ord, example.id)))
    size = len(example.candidates)
    scores = rng.normal(0, 1, size) + 2 * max(example.gold.labels.values(), default=0)
    columns = {"logp": scores - 40, "ref_logp": scores / 2 - 40, "beta": np.full(size, 0.1), "tokens": scores**2 + 1}
    parts: dict[str, tuple[tuple[float, ...], ...]] = {
        name: tuple((float(one),) for one in column) for name, column in columns.items()
    }
    parts["hidden"] = ((*map(float, rng.normal(scores[0], 1, 3)),),)
    picks = (Verdict((0, 1), "pick", 0), Verdict((1, 0), "pick", 0)) if rule == "first_position" else ()
    rewards = None if picks else tuple(map(float, scores))
    return Judged.of(example, Judgment(example.id, rewards=rewards, parts=parts, verdicts=picks))


def test_every_row_has_a_function_and_every_function_a_row() -> None:
    assert {name for name, rule in RULES.items() if rule.linear} == CREDITED
    assert {name for name, rule in RULES.items() if not rule.linear} == FIGURES
    assert all(rule.name == name for name, rule in RULES.items())


@pytest.mark.parametrize("rule", RULES)
def test_every_row_is_whole(rule: str) -> None:
    row = RULES[rule]
    assert row.summary.endswith(".")
    assert "\n" not in row.summary
    assert row.source
    assert row.needs <= {"comparisons", "ratings", "labels"}
    assert row.low is None or row.high is None or row.low < row.high


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_can_be_declared_and_measured(rule: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(declaration(rule), "utf-8")
    task = load_file(path)
    assert task.metrics[0].rule == rule
    loaded = load(task, "sample")
    rows, fit = ([judged(example, rule) for example in examples] for examples in (loaded.examples, loaded.fit))
    value = measure(rows, task.metrics, fit=fit, resamples=50)[0]
    assert value.value is not None, value.flags
    low, high = RULES[rule].low, RULES[rule].high
    assert low is None or low <= value.value
    assert high is None or value.value <= high


def _measured(rule: str, tmp_path: Path, failing: int | None) -> tuple[Value, int, int]:
    """The rule's value on its sample with every `failing`-th row failed (None: none), rows, and failed rows."""
    path = tmp_path / "mine.toml"
    path.write_text(declaration(rule), "utf-8")
    task = load_file(path)
    loaded = load(task, "sample")
    rows, fit = ([judged(example, rule) for example in examples] for examples in (loaded.examples, loaded.fit))
    chosen = selected_rows(rows, task.metrics[0])
    failed = {row.id for row in chosen[::failing]} if failing else set[str]()
    rows = [replace(row, judgment=Judgment(row.id, status="failed")) if row.id in failed else row for row in rows]
    value = measure(rows, task.metrics, fit=fit, resamples=50)[0]
    return value, len(chosen), len(failed)


@pytest.mark.parametrize("rule", RULES)
def test_failed_rows_never_leave_a_value_that_does_not_show_them(rule: str, tmp_path: Path) -> None:
    """One promise for every rule: a failed row is the worst answer there is, or too many of them leave no value."""
    whole = _measured(rule, tmp_path, None)[0]
    value, rows, failed = _measured(rule, tmp_path, 5)
    assert failed
    if whole.coverage == 1:
        assert value.coverage == (rows - failed) / rows
    if RULES[rule].worst_case:
        assert value.value is not None
        assert whole.value is not None
        assert RULES[rule].better == "higher"
        assert value.value < whole.value or whole.value == RULES[rule].low  # lower than the lowest there is none
    else:
        assert (value.value, value.low, value.high) == (None, None, None)
        assert {"low_coverage", "undefined"} <= set(value.flags)


@pytest.mark.parametrize("rule", RULES)
def test_no_answered_row_leaves_no_value(rule: str, tmp_path: Path) -> None:
    value = _measured(rule, tmp_path, 1)[0]
    assert (value.value, value.low, value.high) == (None, None, None)
    assert value.coverage in (0, None)


def test_a_rule_that_there_is_not() -> None:
    spec = MetricSpec("m", "kendal_b")
    for ask in (rule_of, is_linear):
        with pytest.raises(RmbenchError, match=r'metric "m": unknown rule "kendal_b"\. Did you mean "kendall_b"\?'):
            ask(spec)


def test_show_prints_what_a_tasks_rules_mean() -> None:
    shown = CliRunner().invoke(cli, ["show", "llmbar"]).output
    assert tomllib.loads(shown)["id"] == "llmbar"
    lines = [line for line in shown.splitlines() if line.startswith("# ")]
    assert f"# both_orders: {RULES['both_orders'].summary} Source: {RULES['both_orders'].source}." in lines
    assert sum(line.startswith("# two_order_mean: ") for line in lines) == 1


def test_a_declaration_has_the_fields_of_a_spec() -> None:
    fields = [field.name for field in dataclasses.fields(MetricSpec)]
    assert sorted(MetricRule.model_fields) == sorted(set(fields) - {"parts"})
