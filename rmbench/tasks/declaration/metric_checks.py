"""Do a declaration's metrics fit its shape, its columns and its groups?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from rmbench.errors import did_you_mean
from rmbench.metric_spec import RULES, of_kind
from rmbench.tasks.declaration.schema import Declaration, MetricRule
from rmbench.validation import problem

__all__ = ["check_metrics"]

_UNBIASED = ("unbiased_dcg", "unbiased_recall", "unbiased_map")
"""Rankings by labels that are missing not at random."""
_TAGS = {"styles": ("level", "cell")}


_BETWEEN = ("paired_difference", "segment_majority")
"""Rules that tell two values of a group apart."""


def check_metrics(declared: Declaration, path: Path) -> None:
    """Raise one `RmbenchError` if a metric asks for what the task has not."""
    names: list[str] = []
    for index, metric in enumerate(declared.metric):
        key = f"metric[{index}]"
        if metric.name in names:
            raise problem(path, f"{key}.name", f'two metrics are called "{metric.name}".')
        names.append(metric.name)
        _check_rule(declared, metric, key, path)
        _check_ranks(metric, key, path)
        _check_raters(declared, metric, key, path)
        _check_dimension(declared, metric, key, path)
        _check_groups(declared, metric, key, path)
    for index, metric in enumerate(declared.metric):
        others = {other.name: other for other in declared.metric if other.name != metric.name}
        _check_mean(metric, others, f"metric[{index}]", path)


def _has(declared: Declaration) -> set[str]:
    """Which parts the gold of every example has."""
    columns = declared.columns
    parts = {"comparisons": columns.chosen or columns.gold, "ratings": columns.ratings, "labels": columns.labels}
    return {name for name, there in parts.items() if there}


def _check_rule(declared: Declaration, metric: MetricRule, key: str, path: Path) -> None:
    rule = RULES[metric.rule]
    if rule.needs and not rule.needs & _has(declared):
        what = f'rule "{metric.rule}" does not measure a task of shape "{declared.shape}".'
        raise problem(path, f"{key}.rule", what)
    if rule.two_orders and declared.shape != "pair":
        raise problem(path, f"{key}.rule", f'rule "{metric.rule}" needs a task of shape "pair".')
    if (metric.rule == "probe") != bool(metric.probe):
        raise problem(path, f"{key}.probe", 'rule "probe" goes with `probe = "upstream"` or "logistic", and no other.')
    if metric.threshold is None and metric.rule in ("precision", "recall", "f1"):
        raise problem(path, f"{key}.threshold", f'this key is missing: rule "{metric.rule}" needs it for ratings.')
    if metric.gain != "linear" and metric.rule != "ndcg":
        raise problem(path, f"{key}.gain", 'rule "ndcg" has a `gain`, and no other.')
    if metric.rule == "probe" and declared.fit is None:
        raise problem(path, f"{key}.rule", 'rule "probe" is fitted on rows that `[fit]` names.')
    if metric.chance == "one_over_k" and declared.shape not in ("pick", "rated", "ranked"):
        raise problem(path, f"{key}.chance", '"one_over_k" is for tasks of shape "pick".')


def _check_ranks(metric: MetricRule, key: str, path: Path) -> None:
    cut = ("ndcg", "recall_at_k", "chunk_deviation", *_UNBIASED)
    if metric.k is not None and metric.rule not in cut:
        raise problem(path, f"{key}.k", f"rules {_list(cut)} have a `k`, and no others.")
    if metric.k is None and metric.rule in cut[1:]:
        raise problem(path, f"{key}.k", f'this key is missing: rule "{metric.rule}" needs it.')
    if (metric.rule in ("inverse_propensity", "unbiased_loss", *_UNBIASED)) != bool(metric.propensity):
        what = f"rules inverse_propensity, unbiased_loss, {_list(_UNBIASED)} go with `propensity`, and no others."
        raise problem(path, f"{key}.propensity", what)


def _check_raters(declared: Declaration, metric: MetricRule, key: str, path: Path) -> None:
    of_raters = RULES[metric.rule].kind == "raters"
    differs = metric.rule == "paired_difference"
    if not of_raters and (metric.min_rows != 1 or (metric.credit != "pair" and not differs)):
        named = ", ".join(f'"{name}"' for name in of_kind("raters"))
        raise problem(path, key, f"`credit` and `min_rows` are for the rules of raters: {named}.")
    compares = metric.rule in _BETWEEN
    if compares != (len(set(metric.between)) == 2) or len(metric.between) not in (0, 2):
        named = " and ".join(f'"{name}"' for name in _BETWEEN)
        what = f"rules {named} go with two values of the group `join`, `between`, and no other rule has it."
        raise problem(path, f"{key}.between", what)
    if compares:
        _known(metric.join, list(declared.groups), f"{key}.join", path)
        _check_values(declared, metric.join, dict.fromkeys(metric.between, 1.0), f"{key}.between", path)
    if of_raters and declared.rows.rater is None and metric.rule != "worst_group_gap":
        raise problem(path, f"{key}.rule", f'rule "{metric.rule}" needs `rater` under [rows].')
    if of_raters and bool(metric.join) != (metric.rule != "rater_mean"):
        what = "has no `join`" if metric.join else "needs `join`"
        raise problem(path, f"{key}.join", f'rule "{metric.rule}" {what}.')


def _check_dimension(declared: Declaration, metric: MetricRule, key: str, path: Path) -> None:
    columns = declared.columns
    ofgold = columns.gold.dimensions if columns.gold else {}
    known = list(dict.fromkeys([*columns.ratings, *columns.labels, *ofgold]))
    if metric.dimension and any(name.startswith("@") for name in columns.labels):
        return  # a group's values, which only the rows have
    of_ratings = RULES[metric.rule].kind == "correlation"
    if of_ratings:
        known = list(columns.ratings)
    if metric.dimension not in known and (metric.dimension or of_ratings):
        if not known:
            raise problem(path, f"{key}.dimension", f'rule "{metric.rule}" has no dimension.')
        near = did_you_mean(metric.dimension, known)
        what = f'"{metric.dimension}" is no dimension of this task ({", ".join(known)}).{near}'
        raise problem(path, f"{key}.dimension", what)
    annotators = list(columns.gold.annotators if columns.gold else ())
    plain = metric.annotator.rstrip("0123456789")
    if metric.annotator and not {metric.annotator, plain} & {*annotators, *(["majority"] if annotators else [])}:
        near = did_you_mean(metric.annotator, annotators)
        raise problem(path, f"{key}.annotator", f'"{metric.annotator}" is no annotator of `columns.gold`.{near}')


def _check_mean(metric: MetricRule, others: Mapping[str, MetricRule], key: str, path: Path) -> None:
    if (metric.rule == "mean_of") != bool(metric.of):
        raise problem(path, f"{key}.of", 'rule "mean_of" goes with a list of metrics, `of`, and no other rule has it.')
    for name in metric.of:
        if name not in others:
            near = did_you_mean(name, others)
            raise problem(path, f"{key}.of", f'"{name}" is no other metric of this task.{near}')
    if len({RULES[others[name].rule].better for name in metric.of}) > 1:
        raise problem(path, f"{key}.of", "of some of these metrics higher is better and of others not.")


def _check_groups(declared: Declaration, metric: MetricRule, key: str, path: Path) -> None:
    groups = list(declared.groups)
    marks = [*groups, *_TAGS.get(declared.shape, ())]
    for i, level in enumerate(metric.levels):
        _known(level.group, groups, f"{key}.levels[{i}].group", path)
        _check_values(declared, level.group, level.weights or {}, f"{key}.levels[{i}].weights", path)
    for i, names in enumerate(metric.report):
        for name in names:
            _known(name, marks, f"{key}.report[{i}]", path)
    for name, values in metric.where.items():
        _known(name, groups, f"{key}.where", path)
        _check_values(declared, name, dict.fromkeys(values, 1.0), f"{key}.where.{name}", path)
    if metric.join not in ("", "cluster"):
        _known(metric.join, groups, f"{key}.join", path)
    if metric.propensity:
        known = groups if metric.rule == "inverse_propensity" else [*groups, *declared.columns.ratings]
        _known(metric.propensity, known, f"{key}.propensity", path)


def _known(name: str, known: list[str], key: str, path: Path) -> None:
    if name not in known:
        listed = f" Groups here: {_list(known)}." if known else " This task has no groups."
        raise problem(path, key, f'"{name}" is no group of this task.{did_you_mean(name, known)}{listed}')


def _check_values(declared: Declaration, group: str, named: dict[str, float], key: str, path: Path) -> None:
    """Values of a group can be checked here where the declaration lists them."""
    rule = declared.groups[group]
    known = [*(rule.values or rule.prefixes)]
    if known and rule.default is not None:
        known.append(rule.default)
    for value, weight in named.items():
        if known and value not in known:
            raise problem(path, key, f'"{value}" is no value of group "{group}".{did_you_mean(value, known)}')
        if weight < 0:
            raise problem(path, f"{key}.{value}", f"a weight must not be negative; found {weight}.")


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)
