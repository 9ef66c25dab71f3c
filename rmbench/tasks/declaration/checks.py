"""What a declaration's types cannot say: that its parts fit together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rmbench.errors import did_you_mean
from rmbench.tasks.declaration.metric_checks import check_metrics
from rmbench.tasks.declaration.schema import Declaration, GoldRule, LayoutRule, TextRule
from rmbench.tasks.rows.adapt import ADAPTERS
from rmbench.tasks.rows.gold import GOLD_FORMS
from rmbench.tasks.rows.paths import captured_names
from rmbench.validation import problem

__all__ = ["check"]

_SIDES = {"chosen", "rejected"}
_SIDES_TOO = {"chosen_source", "rejected_source"}
_SIDE_PROMPTS = {"chosen_prompt", "rejected_prompt"}
_LISTED = {"prompt", "candidates"}
_LISTED_TOO = {"candidate_sources"}
_ANY = {"context", "prompt_media", "system"}
_SAID = {"pair": {"gold"}, "pick": {"gold"}, "ranked": {"gold"}, "rated": {"ratings"}, "labelled": {"labels"}}
"""What people said, by shape, where candidates are listed."""
_TWO = ("grades", "positive")


def check(declared: Declaration, path: Path) -> None:
    """Raise one `RmbenchError` if parts of the declaration contradict each other."""
    source = declared.source
    if source.hub is None and source.git is None and not any(part.hub for part in source.parts):
        raise problem(path, "source", "neither `hub` nor `git` says where the rows come from.")
    _check_columns(declared, path)
    if declared.columns.gold is not None:
        _check_gold(declared, declared.columns.gold, path)
    _check_values(declared, path)
    _check_rows(declared, path)
    _check_groups(declared, path)
    _check_layouts(declared.files, "files", path)
    if declared.fit is not None:
        _check_layouts(declared.fit.files, "fit.files", path)
    check_metrics(declared, path)


def _check_columns(declared: Declaration, path: Path) -> None:
    given = declared.columns.model_fields_set
    shape = declared.shape
    listed = shape in ("ranked", "rated", "labelled", "scored") or bool(given & {"candidates", "gold"})
    if listed and shape != "styles":
        needed, optional = _LISTED | _SAID.get(shape, set()), _LISTED_TOO | _ANY
        if shape == "rated":
            optional = optional | {"gold"}
        if "candidate_prompts" in given:
            needed = needed - {"prompt"} | {"candidate_prompts"}
    else:
        needed, optional = set(_SIDES), _SIDES_TOO | _ANY
        needed |= _SIDE_PROMPTS if given & _SIDE_PROMPTS else {"prompt"}
        optional |= {"prompt"}
    for key in sorted(needed - given):
        raise problem(path, f"columns.{key}", f'this key is missing: a task of shape "{shape}" needs it.')
    for key in sorted(given - needed - optional):
        has = ", ".join(sorted(needed))
        raise problem(path, f"columns.{key}", f'a task of shape "{shape}" that has {has} does not take it.')
    for key, rule in _texts(declared):
        ways = (rule.column is not None, bool(rule.first_of), bool(rule.join), rule.template is not None)
        if sum(ways) != 1:
            raise problem(path, f"columns.{key}", "give exactly one of `column`, `first_of`, `join` and `template`.")


def _texts(declared: Declaration) -> Iterator[tuple[str, TextRule]]:
    columns = declared.columns
    single = ("prompt", "system", *sorted(_SIDES), *sorted(_SIDE_PROMPTS), *sorted(_SIDES_TOO))
    yield from ((key, rule) for key in single if (rule := getattr(columns, key)) is not None)
    for key in ("candidates", "candidate_sources", "candidate_prompts", "prompt_media"):
        yield from ((f"{key}[{i}]", rule) for i, rule in enumerate(getattr(columns, key)))
    yield from ((f"context.{name}", rule) for name, rule in columns.context.items())


def _check_gold(declared: Declaration, gold: GoldRule, path: Path) -> None:
    forms = [form for form in GOLD_FORMS if getattr(gold, form)]
    if len(forms) != 1:
        found = f"found {' and '.join(forms)}" if forms else "none is there"
        ways = ", ".join(f"`{form}`" for form in GOLD_FORMS)
        raise problem(path, "columns.gold", f"give exactly one of {ways}; {found}.")
    for key, what in _wrong_gold(declared, gold, forms[0]):
        raise problem(path, f"columns.gold.{key}" if key else "columns.gold", what)


def _wrong_gold(declared: Declaration, gold: GoldRule, form: str) -> Iterator[tuple[str, str]]:
    """What does not fit the one form of the gold, or the shape: key, sentence."""
    shape = declared.shape
    if len(gold.winners) == 1 or (shape == "pair" and gold.winners and len(gold.winners) != 2):
        wanted = "a pair has 2 candidates" if shape == "pair" else "there are at least 2 candidates"
        yield "winners", f"{wanted}; {len(gold.winners)} lists of labels."
    if (gold.tie or gold.tie_kinds) and form != "winners":
        yield "tie" if gold.tie else "tie_kinds", f"it names labels; `{form}` has none."
    if gold.skip and form not in ("winners", "grades"):
        yield "skip", f"it names labels; `{form}` has none."
    if (gold.right or gold.wrong) and not (gold.flags and gold.right and gold.wrong):
        yield "", "`right` and `wrong` together name the labels of `flags`."
    if form in _TWO and shape != "pair":
        yield form, 'it compares two candidates: only a task of shape "pair" has it.'
    if shape == "ranked" and form not in ("ranks", "edges"):
        yield "", 'a task of shape "ranked" has `ranks` or `edges`.'
    if form == "pairs" and shape != "rated":
        yield "pairs", 'pairs are decided by `ratings`: only a task of shape "rated" has them.'
    yield from _wrong_columns(gold, form)


def _wrong_columns(gold: GoldRule, form: str) -> Iterator[tuple[str, str]]:
    if gold.columns and form not in ("flags", "ranks"):
        yield "columns", "one column per candidate goes with `flags` and `ranks` alone."
    if gold.columns and (gold.column or gold.annotators or gold.dimensions):
        yield "columns", "it stands alone: no `column`, `dimensions` or `annotators` beside it."
    if not (gold.column or gold.columns or gold.annotators or gold.dimensions):
        yield "column", "this key is missing."
    if gold.majority and not gold.annotators:
        yield "majority", "a majority needs `annotators`."


def _check_values(declared: Declaration, path: Path) -> None:
    """Ratings and labels: each in exactly one way, and a label's dimension a group that there is."""
    for name, rule in declared.columns.ratings.items():
        if sum((rule.column is not None, bool(rule.columns), bool(rule.mean))) != 1:
            raise problem(path, f"columns.ratings.{name}", "give exactly one of `column`, `columns` and `mean`.")
    marks = [f"@{name}" for name in declared.groups]
    for name, labelled in declared.columns.labels.items():
        _check_marks([name], marks, "columns.labels", path)
        seen = [member for members in labelled.classes for member in members]
        twice = [member for member in seen if seen.count(member) > 1]
        if twice:
            raise problem(path, f"columns.labels.{name}.classes", f"{twice[0]!r} names two classes.")


def _check_rows(declared: Declaration, path: Path) -> None:
    rows = declared.rows
    for key, name in (("adapt", rows.adapt), ("adapt_gathered", rows.adapt_gathered)):
        if name is not None and name not in ADAPTERS:
            known = ", ".join(sorted(ADAPTERS))
            what = f'no row transform is called "{name}".{did_you_mean(name, ADAPTERS)} Known: {known}.'
            raise problem(path, f"rows.{key}", what)
    if rows.adapt_gathered is not None and not rows.gather:
        raise problem(path, "rows.adapt_gathered", "it transforms gathered rows; `gather` names no column.")
    marks = [f"@{name}" for name in ("file", "row", *declared.groups)]
    _check_marks(rows.id, marks, "rows.id", path)
    _check_marks(rows.cluster, [*marks, "@prompt"], "rows.cluster", path)


def _check_marks(names: Sequence[str], known: list[str], key: str, path: Path) -> None:
    for name in names:
        if name.startswith("@") and name not in known:
            there = ", ".join([*known, "and columns"])
            raise problem(path, key, f'"{name}" is not known.{did_you_mean(name, known)} Known: {there}.')


def _check_groups(declared: Declaration, path: Path) -> None:
    for name, rule in declared.groups.items():
        key = f"groups.{name}"
        if (rule.column is None) == (not rule.first_of):
            raise problem(path, key, "give exactly one of `column` and `first_of`.")
        if rule.values and rule.prefixes:
            raise problem(path, key, "give `values` or `prefixes`, not both.")
        seen: dict[object, str] = {}
        for value, raws in (*rule.values.items(), *rule.prefixes.items()):
            for raw in raws:
                if raw in seen:
                    raise problem(path, key, f'{raw!r} belongs to both "{seen[raw]}" and "{value}".')
                seen[raw] = value


def _check_layouts(layouts: Sequence[LayoutRule], where: str, path: Path) -> None:
    for index, layout in enumerate(layouts):
        key = f"{where}[{index}]"
        for pattern in layout.capture:
            if not captured_names(pattern):
                raise problem(path, f"{key}.capture", f'no name in braces stands in "{pattern}".')
        named = [*layout.paths, *(rule.path for rule in layout.join)]
        for name in layout.sha256:
            if name not in named:
                near = did_you_mean(name, named)
                raise problem(path, f"{key}.sha256", f'"{name}" is none of the paths of this layout.{near}')
        if layout.keyed is not None and layout.scalar is not None:
            raise problem(
                path, f"{key}.scalar", "rows that are the values of one object (`keyed`) are no plain values."
            )
