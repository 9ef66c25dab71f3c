"""Checks that the parts of a declaration fit together, which its types cannot express."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rmbench.errors import did_you_mean
from rmbench.tasks.declaration.columns import TEXTS
from rmbench.tasks.declaration.metric_checks import check_metrics
from rmbench.tasks.declaration.schema import Declaration, GoldRule, LayoutRule, TextRule
from rmbench.tasks.rows.adapt import ADAPTERS
from rmbench.tasks.rows.gold import GOLD_FORMS
from rmbench.tasks.rows.paths import captured_names
from rmbench.validation import problem

__all__ = ["check"]

_SIDES = {"chosen", "rejected"}
_SIDE_SOURCES = {"chosen_source", "rejected_source"}
_SIDE_PROMPTS = {"chosen_prompt", "rejected_prompt"}
_LISTED = {"prompt", "candidates"}
_LISTED_SOURCES = {"candidate_sources"}
_ANY = {"answers_hold_prompt", "context", "prompt_media", "system", "tools"}
_GOLD = {"pair": {"gold"}, "pick": {"gold"}, "ranked": {"gold"}, "rated": {"ratings"}, "labelled": {"labels"}}
"""Shape -> the keys of its gold, where candidates are listed."""
_PAIR_FORMS = ("grades", "positive")


def check(declaration: Declaration, path: Path) -> None:
    """Raise one `RmbenchError` if parts of the declaration contradict each other."""
    _check_columns(declaration, path)
    if declaration.columns.gold is not None:
        _check_gold(declaration, declaration.columns.gold, path)
    _check_values(declaration, path)
    _check_rows(declaration, path)
    _check_groups(declaration, path)
    _check_addresses(declaration, path)
    _check_layouts(declaration.files, "files", path)
    if declaration.fit is not None:
        _check_layouts(declaration.fit.files, "fit.files", path)
    _check_absent(declaration, path)
    _check_totals(declaration, path)
    check_metrics(declaration, path)


def _check_addresses(declaration: Declaration, path: Path) -> None:
    fit = declaration.fit
    rules = [rule for layout in (*declaration.files, *(() if fit is None else fit.files)) for rule in layout.join]
    for key, address in (("source.git", declaration.source.git), *(("files.join.git", rule.git) for rule in rules)):
        if address is not None and "@" in address.partition("://")[2].partition("/")[0]:
            what = (
                "an address holds no credentials, which records and messages would repeat; git's own configuration can."
            )
            raise problem(path, key, what)


def _check_absent(declaration: Declaration, path: Path) -> None:
    """Files may lack texts that a model reads, and nothing by which rows are told apart, grouped or judged."""
    plain = (rule for _, rule in _texts(declaration) if rule.form == "text")
    texts = {name for rule in plain for name in (rule.column, *rule.first_of, *rule.join) if name}
    rows, groups = declaration.rows, declaration.groups.values()
    others = {*rows.id, *rows.cluster, *(name for group in groups for name in (group.column, *group.first_of))}
    for index, layout in enumerate(declaration.files):
        for column in layout.absent:
            key = f"files[{index}].absent"
            if column not in texts:
                raise problem(path, key, f'no plain text is taken from "{column}".{did_you_mean(column, texts)}')
            if column in others:
                raise problem(path, key, f'"{column}" is needed for ids, clusters or groups.')
        if layout.absent and "@prompt" in rows.cluster:
            raise problem(path, "rows.cluster", "`@prompt` needs texts, which some files lack: name columns.")


def _check_totals(declaration: Declaration, path: Path) -> None:
    for name, totals in declaration.totals.items():
        if name not in declaration.groups:
            raise problem(path, f"totals.{name}", f"no such group.{did_you_mean(name, declaration.groups)}")
        if sum(totals.values()) > declaration.n:
            raise problem(path, f"totals.{name}", f"{sum(totals.values())} rows, more than `n` = {declaration.n}.")


def _check_columns(declaration: Declaration, path: Path) -> None:
    keys = declaration.columns.model_fields_set
    shape = declaration.shape
    listed = shape in ("ranked", "rated", "labelled", "scored") or bool(keys & {"candidates", "gold"})
    if listed and shape != "styles":
        needed, optional = _LISTED | _GOLD.get(shape, set()), _LISTED_SOURCES | _ANY
        if shape == "rated":
            optional = optional | {"gold"}
        if "candidate_prompts" in keys:
            needed = needed - {"prompt"} | {"candidate_prompts"}
    else:
        needed, optional = set(_SIDES), _SIDE_SOURCES | _ANY
        needed |= _SIDE_PROMPTS if keys & _SIDE_PROMPTS else {"prompt"}
        optional |= {"prompt"}
    if declaration.columns.answers_hold_prompt:
        needed, optional = needed - {"prompt"}, optional | {"prompt"}
    for key in sorted(needed - keys):
        what = f'this key is missing: a task of shape "{shape}" needs it'
        other = ", or `answers_hold_prompt = true` where candidates are whole conversations" if key == "prompt" else ""
        raise problem(path, f"columns.{key}", f"{what}{other}.")
    for key in sorted(keys - needed - optional):
        taken = ", ".join(sorted(needed))
        raise problem(path, f"columns.{key}", f'a task of shape "{shape}" with {taken} does not take it.')
    columns = declaration.columns
    answers = [rule for rule in (columns.chosen, columns.rejected, *columns.candidates) if rule is not None]
    if columns.answers_hold_prompt and not any(rule.form in ("messages", "text") for rule in answers):
        what = "no candidate is a conversation: leave this key out."
        raise problem(path, "columns.answers_hold_prompt", what)
    for key, rule in _texts(declaration):
        forms = (rule.column is not None, bool(rule.first_of), bool(rule.join), rule.template is not None)
        if sum(forms) != 1:
            raise problem(path, f"columns.{key}", "give exactly one of `column`, `first_of`, `join` and `template`.")
        if rule.change is not None and not _shows(declaration, key, rule):
            raise problem(
                path,
                f"columns.{key}",
                "`change` is of an image or a video: of a column whose `form` is one, or of the media in messages or "
                "in a prompt of a task whose `modality` is image or video.",
            )
    if columns.tools is not None and (columns.tools.column is None) == (not columns.tools.first_of):
        raise problem(path, "columns.tools", "give exactly one of `column` and `first_of`.")


def _shows(declaration: Declaration, key: str, rule: TextRule) -> bool:
    """Whether what the rule reads may hold an image or a video."""
    if rule.form in ("image", "video"):
        return True
    prompts = ("prompt", *_SIDE_PROMPTS)
    is_prompt = key in prompts or key.startswith("candidate_prompts[")
    return declaration.modality != "text" and (is_prompt or rule.form == "messages")


def _texts(declaration: Declaration) -> Iterator[tuple[str, TextRule]]:
    columns = dict(declaration.columns)
    single = ("prompt", "system", *sorted(_SIDES), *sorted(_SIDE_PROMPTS), *sorted(_SIDE_SOURCES))
    yield from ((key, rule) for key in single if (rule := columns[key]) is not None)
    for key in ("candidates", "candidate_sources", "candidate_prompts", "prompt_media"):
        yield from ((f"{key}[{i}]", rule) for i, rule in enumerate(columns[key]))
    yield from ((f"context.{name}", rule) for name, rule in declaration.columns.context.items())


def _check_gold(declaration: Declaration, gold: GoldRule, path: Path) -> None:
    rules = dict(gold)
    forms = [form for form in GOLD_FORMS if rules[form]]
    if len(forms) != 1:
        found = f"found {' and '.join(forms)}" if forms else "found none"
        known = ", ".join(f"`{form}`" for form in GOLD_FORMS)
        raise problem(path, "columns.gold", f"give exactly one of {known}; {found}.")
    for key, what in _gold_problems(declaration, gold, forms[0]):
        raise problem(path, f"columns.gold.{key}" if key else "columns.gold", what)


def _gold_problems(declaration: Declaration, gold: GoldRule, form: str) -> Iterator[tuple[str, str]]:
    """(key, sentence) of whatever does not fit the form of the gold, or the shape."""
    shape = declaration.shape
    if len(gold.winners) == 1 or (shape == "pair" and gold.winners and len(gold.winners) != 2):
        expected = "a pair has 2 candidates" if shape == "pair" else "at least 2 candidates are needed"
        yield "winners", f"{expected}; found {len(gold.winners)} lists of labels."
    if (gold.tie or gold.tie_kinds) and form != "winners":
        yield "tie" if gold.tie else "tie_kinds", f"it names labels; `{form}` has none."
    if gold.skip and form not in ("winners", "grades"):
        yield "skip", f"it names labels; `{form}` has none."
    if (gold.right or gold.wrong) and not (gold.flags and gold.right and gold.wrong):
        yield "", "`right` and `wrong` together name the labels of `flags`."
    if form in _PAIR_FORMS and shape != "pair":
        yield form, 'it compares two candidates: only a task of shape "pair" has it.'
    if shape == "ranked" and form not in ("ranks", "edges"):
        yield "", 'a task of shape "ranked" has `ranks` or `edges`.'
    if form == "pairs" and shape != "rated":
        yield "pairs", 'pairs are decided by `ratings`: only a task of shape "rated" has them.'
    yield from _column_problems(gold, form)


def _column_problems(gold: GoldRule, form: str) -> Iterator[tuple[str, str]]:
    if gold.columns and form not in ("flags", "ranks"):
        yield "columns", "one column per candidate goes with `flags` and `ranks` only."
    if gold.columns and (gold.column or gold.annotators or gold.dimensions):
        yield "columns", "it excludes `column`, `dimensions` and `annotators`."
    if not (gold.column or gold.columns or gold.annotators or gold.dimensions):
        yield "column", "this key is missing."
    if gold.majority and not gold.annotators:
        yield "majority", "a majority needs `annotators`."


def _check_values(declaration: Declaration, path: Path) -> None:
    """Ratings and labels have exactly one form each, and a label's dimension names a declared group."""
    for name, rule in declaration.columns.ratings.items():
        if sum((rule.column is not None, bool(rule.columns), bool(rule.mean))) != 1:
            raise problem(path, f"columns.ratings.{name}", "give exactly one of `column`, `columns` and `mean`.")
    marks = [f"@{name}" for name in declaration.groups]
    for name, labelled in declaration.columns.labels.items():
        _check_marks([name], marks, "columns.labels", path)
        labels = [label for each in labelled.classes for label in each]
        repeated = [label for label in labels if labels.count(label) > 1]
        if repeated:
            raise problem(path, f"columns.labels.{name}.classes", f"{repeated[0]!r} names two classes.")


def _check_rows(declaration: Declaration, path: Path) -> None:
    rows = declaration.rows
    for key, name in (("adapt", rows.adapt), ("adapt_gathered", rows.adapt_gathered)):
        if name is not None and name not in ADAPTERS:
            known = ", ".join(sorted(ADAPTERS))
            what = f'no row transform is called "{name}".{did_you_mean(name, ADAPTERS)} Known: {known}.'
            raise problem(path, f"rows.{key}", what)
    if rows.adapt_gathered is not None and not rows.gather:
        raise problem(path, "rows.adapt_gathered", "it transforms gathered rows; `gather` names no column.")
    told = (name for name, rule in declaration.groups.items() if rule.column != TEXTS)
    marks = [f"@{name}" for name in ("file", "row", *told)]
    _check_marks(rows.id, marks, "rows.id", path)
    _check_marks(rows.cluster, [*marks, "@prompt"], "rows.cluster", path)


def _check_marks(names: Sequence[str], known: list[str], key: str, path: Path) -> None:
    for name in names:
        if name.startswith("@") and name not in known:
            listed = ", ".join([*known, "and columns"])
            raise problem(path, key, f'"{name}" is not known.{did_you_mean(name, known)} Known: {listed}.')


def _check_groups(declaration: Declaration, path: Path) -> None:
    for name, rule in declaration.groups.items():
        key = f"groups.{name}"
        if (rule.column is None) == (not rule.first_of):
            raise problem(path, key, "give exactly one of `column` and `first_of`.")
        if rule.values and rule.prefixes:
            raise problem(path, key, "give `values` or `prefixes`, not both.")
        if (rule.column or "").startswith("@") and rule.column not in ("@row", "@file", TEXTS):
            what = (
                f'"{rule.column}" is not known.{did_you_mean(str(rule.column), [TEXTS])} Known: {TEXTS}, and columns.'
            )
            raise problem(path, f"{key}.column", what)
        if rule.column == TEXTS and (rule.values or rule.prefixes or rule.default is not None):
            raise problem(path, key, f"`{TEXTS}` is a digest: it takes no `values`, `prefixes` or `default`.")
        if rule.column == TEXTS and any(layout.absent for layout in declaration.files):
            raise problem(path, key, f"`{TEXTS}` needs texts, which some files lack.")
        value_of: dict[object, str] = {}
        for value, members in (*rule.values.items(), *rule.prefixes.items()):
            for member in members:
                if member in value_of:
                    raise problem(path, key, f'{member!r} belongs to both "{value_of[member]}" and "{value}".')
                value_of[member] = value


def _check_layouts(layouts: Sequence[LayoutRule], where: str, path: Path) -> None:
    for index, layout in enumerate(layouts):
        key = f"{where}[{index}]"
        for pattern in (*layout.capture, *(each for rule in layout.join for each in rule.capture)):
            if not captured_names(pattern):
                raise problem(path, f"{key}.capture", f'"{pattern}" has no name in braces.')
        for at, rule in enumerate(layout.join):
            sizes = [1 if isinstance(names, str) else len(names) for names in (rule.on, rule.key)]
            if sizes[0] != sizes[1] or not sizes[0]:
                raise problem(path, f"{key}.join[{at}].key", f"{sizes[1]} columns for {sizes[0]} of `on`.")
        paths = [*layout.paths, *(rule.path for rule in layout.join)]
        for name in layout.sha256:
            if name not in paths:
                near = did_you_mean(name, paths)
                raise problem(path, f"{key}.sha256", f'"{name}" is none of the paths of this layout.{near}')
        if layout.keyed is not None and layout.scalar is not None:
            raise problem(path, f"{key}.scalar", "it excludes `keyed`, whose rows are the values of one object.")
