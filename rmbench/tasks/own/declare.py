"""A user's own rows as a task: the one reading that fits, as a declaration and as its TOML."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.tasks.declaration.columns import TEXTS
from rmbench.tasks.own.finder import Finder, prompts, text_rule
from rmbench.tasks.own.kinds import Table
from rmbench.tasks.own.place import Place, at
from rmbench.tasks.own.readings import ROLES, Reading, readings
from rmbench.tasks.own.refuse import refuse_media, refuse_spelled_lists, refuse_unread_labels, refuse_unread_words
from rmbench.tasks.own.words import GROUPS, IDS, MEDIA_PARTS, NAMES, SCORES_BESIDE, plain
from rmbench.tasks.registry import known, load_text
from rmbench.tasks.rows.column_check import declared_columns
from rmbench.tasks.task import Task

__all__ = ["Own", "own_task"]

_SHAPES = {
    "pair": "pairs",
    "pick": "one right answer among several",
    "ranked": "answers in order",
    "rated": "answers with a rating",
    "scored": "answers without labels, which are scored alone",
}
_MOST_GROUPS = 50
_SHOWN = 8
"""Columns that are not read, by name."""


@dataclass(frozen=True, slots=True)
class Own:
    """A task of a user's rows."""

    task: Task
    toml: str
    """Its declaration."""
    line: str
    """What was recognised, for people."""
    rows: Sequence[Mapping[str, Any]]
    """As they were read."""
    answers: frozenset[str]
    """The columns of the answers."""


def own_task(
    data: str,
    columns: Mapping[str, str] | None = None,
    *,
    labelled: bool = True,
    beside: Path | None = None,
    include: Sequence[str | Path] = (),
) -> Own:
    """The task that a user's rows make.

    Args:
        data: a file, a folder that `datasets` saved, or `org/name[@revision][:config][:split]` of the hub.
        columns: role -> column, of `ROLES`; what it leaves out is recognised by names and values.
        labelled: False: labels are not read, and the answers are scored alone.
        beside: the folder of the TOML to be; None: that of the rows.
        include: folders of the user's other tasks, whose ids are taken.

    Raises:
        RmbenchError: the rows cannot be read; no reading of the columns fits; or several do, which the message lists.
    """
    spec = dict(columns or {})
    _check_roles(spec)
    numbers = [spec[role] for role in ("winner", "best", "rating") if role in spec]
    numbers += spec.get("scores", "").split("|")
    place = at(data, [*numbers, *_numeric_names()])
    table = Table(place.name, [row.values for row in place.rows])
    for role, path in spec.items():
        if role not in ("first", "second", "tie", "positive", "from"):
            for each in path.split("|") if role in ("group", "scores") else (path,):
                for part in [each] if each in table.names else each.split("+"):
                    table.check(part, role)
    reading = _only(readings(table, spec, labelled=labelled), table, spec)
    if labelled:
        refuse_unread_labels(reading, table)
    if beside is None:
        refuse_media(table)
    refuse_spelled_lists(reading, table)
    refuse_unread_words(reading, table)
    content = _content(place, table, reading, spec, beside)
    content["id"] = _free_id(place.stem, include)
    toml = tomlkit.dumps(content)
    task = load_text(toml, place.path)
    answers = frozenset(name.split(".")[0].removesuffix("[]") for name in reading.answers)
    return Own(task, toml, _line(place, table, reading, task), table.rows, answers)


def _numeric_names() -> list[str]:
    return [name for role in ("winner", "best", "rating") for names in NAMES[role] for name in names] + [
        f"{word}_{end}" for word in SCORES_BESIDE for end in ("a", "b", "0", "1", "2")
    ]


def _check_roles(spec: Mapping[str, str]) -> None:
    for role, value in spec.items():
        if role not in ROLES:
            known = ", ".join(ROLES)
            raise RmbenchError(f"--columns {role}={value}: no such key.{did_you_mean(role, ROLES)} Known: {known}.")
    for role, choices in (("positive", ("first", "second")), ("from", ("0", "1"))):
        if role in spec and spec[role] not in choices:
            raise RmbenchError(f"--columns {role}={spec[role]}: expected {' or '.join(choices)}.")


def _only(found: Sequence[Reading], table: Table, spec: Mapping[str, str]) -> Reading:
    if len(found) == 1:
        return found[0]
    if found:
        listed = "\n".join(f"  {_as_option(each.spec)}" for each in found[:6])
        count = "two" if len(found) == 2 else str(len(found))
        raise RmbenchError(f"{table.name}: {count} readings fit its columns; give one of them:\n{listed}")
    hold = ", ".join(f"{name or '(no name)'} ({table.described(name)})" for name in list(table.paths())[:30])
    said = f" with {_as_option(spec)}" if spec else ""
    if prompts(table, spec) == [None]:
        said += ", for none of them holds the prompt"
    raise RmbenchError(
        f"{table.name}: its columns were not recognised{said}. They are: {hold}.\n"
        "Name them by --columns: prompt=...,chosen=...,rejected=... | prompt=...,a=...,b=...,winner=... | "
        "prompt=...,responses=...,scores=... (or ranks, best, right) | prompt=...,response=...,rating=..."
    )


def _modality(table: Table) -> str:
    """What messages show: "video" where any row's has one, else "image" where one has an image, else "text"."""
    shown = set()
    for name in table.names:
        for value in table.values(name):
            turns = value if isinstance(value, list) else [value]
            contents = [turn.get("content") for turn in turns if isinstance(turn, Mapping)]
            parts = [part for content in contents if isinstance(content, list) for part in content]
            shown |= {MEDIA_PARTS.get(str(part.get("type"))) for part in parts if isinstance(part, Mapping)}
    return next((kind for kind in ("video", "image") if kind in shown), "text")


def _as_option(spec: Mapping[str, str]) -> str:
    return "--columns " + shlex.quote(",".join(f"{role}={value}" for role, value in spec.items()))


def _content(
    place: Place, table: Table, reading: Reading, spec: Mapping[str, str], beside: Path | None
) -> dict[str, Any]:
    """The declaration as plain data, its id left open."""
    modality = _modality(table)
    head: dict[str, Any] = {
        "id": "",
        "version": 1,
        "title": place.stem,
        "family": modality,
        "modality": modality,
        "shape": reading.shape,
        "n": len(place.rows),
        "official": False,
        "verified": True,
    }
    layout = place.layout.model_dump(exclude_defaults=True)
    layout["paths"] = [_below(beside, place.path.parent / path) or path for path in layout["paths"]]
    groups = spec["group"].split("|") if "group" in spec else _groups(table, reading)
    names = {_name(group): group for group in groups}
    context: dict[str, Any] = {}
    if "reference" in spec:
        (found,) = Finder(table, spec, None)("reference", "text")
        context = {"context": {"reference": text_rule(table, found)}}
    rows: dict[str, Any] = {"cluster": ["@prompt"]}
    key = spec.get("id") or _id_column(table, reading)
    if key:
        rows["id"] = [key]
    metrics = [
        {**metric, "report": [[name] for name in names]} if names else dict(metric) for metric in reading.metrics
    ]
    if "rater" in spec:
        rows["rater"] = spec["rater"]
        metrics += _of_raters(reading, names)
        names["question"] = TEXTS
    return {
        **head,
        **({"source": place.source.model_dump(exclude_defaults=True)} if not place.source.private else {}),
        "files": [layout],
        "columns": {**reading.columns, **context},
        "rows": rows,
        **({"groups": names} if names else {}),
        "metric": metrics,
    }


def _of_raters(reading: Reading, groups: Iterable[str]) -> list[dict[str, Any]]:
    """The accuracy per rater, how far behind the worst of each group is, how often raters of one question agree, and
    the ceiling of a model blind to them."""
    rules = [metric["rule"] for metric in reading.metrics if metric["rule"] in ("pair", "top")]
    if not rules:
        return []
    credit = {"credit": rules[0]}
    of: dict[str, Any] = {**credit, **({"report": [[name] for name in groups]} if groups else {})}
    return [
        {"name": "per_rater", "rule": "rater_mean", **of},
        *({"name": f"{name}_gap", "rule": "worst_group_gap", **credit, "join": name} for name in groups),
        {"name": "people_agree", "rule": "rater_agreement", **of, "join": "question"},
        {"name": "ceiling", "rule": "rater_ceiling", **of, "join": "question"},
    ]


def _below(folder: Path | None, path: Path) -> str | None:
    """The path as it is below the folder; None where it is not below it."""
    if folder is None or not path.resolve().is_relative_to(folder.resolve()):
        return None
    return path.resolve().relative_to(folder.resolve()).as_posix()


def _free_id(name: str, include: Sequence[str | Path]) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    slug = slug or f"rows-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    taken = {word for task in known(include).values() for word in (task.id, *task.aliases)}
    return f"own-{slug}" if slug in taken else slug


def _name(column: str) -> str:
    return re.sub(r"[^a-z0-9_]+", "_", column.lower()).strip("_") or "group"


def _groups(table: Table, reading: Reading) -> list[str]:
    """Columns of a usual name with a few values, one in every row."""
    found = []
    for name in table.names:
        if plain(name) in GROUPS and name not in reading.spec.values():
            values = table.values(name)
            few = len(set(map(str, values))) in range(2, min(_MOST_GROUPS, len(values) // 2) + 1)
            if few and all(_is_name(value) for value in values):
                found.append(name)
    return found


def _id_column(table: Table, reading: Reading) -> str | None:
    """The first column of a usual name whose values tell all rows apart."""
    for word in IDS:
        for name in table.names:
            values = table.values(name) if plain(name) == word and name not in reading.spec.values() else []
            if values and all(map(_is_name, values)) and len(set(map(str, values))) == len(values):
                return name
    return None


def _is_name(value: object) -> bool:
    return (isinstance(value, str) and value != "") or (isinstance(value, int) and not isinstance(value, bool))


def _are_listed(table: Table, name: str) -> bool:
    """Whether all values of a column of texts are the JSON text of a list of texts, several turns in one, say."""
    values = [value for value in table.values(name) if value is not None] if table.kind(name) == "text" else []
    return bool(values) and all(value.startswith('["') and value.endswith('"]') for value in values)


def _line(place: Place, table: Table, reading: Reading, task: Task) -> str:
    """`pairs.jsonl: 1,204 rows, pairs: prompt=q, a=x, b=y, winner=w (1: a, 2: b); by domain; not read: ts`."""
    parts = [", ".join(f"{role}={value}" for role, value in reading.spec.items())]
    if reading.shape == "pair" and "winners" in reading.labels:
        sides = zip(("a", "b", "a tie"), (*reading.labels["winners"], reading.labels.get("tie", [])), strict=True)
        parts[0] += f" ({', '.join(f'{label}: {side}' for side, labels in sides for label in labels)})"
    declaration = task.declaration
    if declaration.columns.answers_hold_prompt:
        parts.append("the answers hold the prompt")
    parts += [
        f"each {name} is JSON text of a list, read as it stands"
        for name in dict.fromkeys(reading.spec.values())
        if name in table.names and _are_listed(table, name)
    ]
    if "reference" in declaration.columns.context:
        parts.append(f"reference {declaration.columns.context['reference'].column}")
    if declaration.groups:
        by = [str(group.column) for group in declaration.groups.values() if group.column != TEXTS]
        parts += [f"by {', '.join(by)}"] if by else []
    if declaration.rows.id != ["@file", "@row"]:
        parts.append(f"id {declaration.rows.id[0]}")
    read = {path for names in declared_columns(declaration) for path in names}
    read |= {path.split(".")[0].removesuffix("[]") for path in read}
    unread = [name or "(no name)" for name in table.names if name not in read]
    if unread:
        more = f" and {len(unread) - _SHOWN} more" if len(unread) > _SHOWN else ""
        parts.append(f"not read: {', '.join(unread[:_SHOWN])}{more}")
    count = "1 row" if len(place.rows) == 1 else f"{len(place.rows):,} rows"
    return f"{place.name}: {count}, {_SHAPES[reading.shape]}: {'; '.join(parts)}"
