"""What the headings and the first cells of a table name: benchmarks, their metrics and groups, and models."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.exchange.claims.stored import Evidence
from rmbench.tasks.registry import declared

__all__ = ["Columns", "Models", "Target", "plain"]

_OVERALL = frozenset({"overall", "avg", "average", "mean", "total", "score", "all", "macroavg", "avgscore"})
_FACTS = frozenset(
    {
        "size",
        "params",
        "parameters",
        "numparams",
        "rank",
        "year",
        "date",
        "release",
        "n",
        "rows",
        "type",
        "kind",
        "base",
    }
    | {"license", "family", "no", "idx", "index", "", "source", "reference", "paper", "modeltype", "place", "revision"}
)
"""Columns that say what a model is: their numbers are no results."""
_MARKS = re.compile(r"\[\d[\d,;\s–-]*\]|\([^()]*\bet al\.?[^()]*\)|[*†‡§¶✓↑↓→]|\^\S*")
_PARENTHESES = re.compile(r"\s*\([^()]*\)")


def plain(text: str) -> str:
    """A name without what people spell differently: case, hyphens, spaces, and the v of a version.

    >>> plain("RewardBench v2 (%)"), plain("reward-bench-2"), plain("Skywork_Reward-V2")
    ('rewardbench2', 'rewardbench2', 'skyworkreward2')
    """
    return re.sub(r"v(?=\d)", "", re.sub(r"[^a-z0-9=+.]|\.(?!\d)", "", text.casefold()))


@dataclass(frozen=True, slots=True)
class Target:
    """A number of a record."""

    task: str
    metric: str
    group: str | None = None

    def __str__(self) -> str:
        return f"{self.task} {self.metric}" + (f" of {self.group}" if self.group else "")


class Models:
    """The models that have records, by the names that people give them."""

    def __init__(self, evidence: Evidence, given: Mapping[str, str]) -> None:
        self._by_name: dict[str, dict[str, None]] = {}
        self._spelled: dict[str, None] = {}
        self._found: dict[str, tuple[str, str]] = {}
        for name, revision in evidence.models:
            short = name.rpartition("/")[2]
            for spelling in (name, short, f"{name}@{revision}", f"{short}@{revision}"):
                full = f"{name}@{revision}" if "@" in spelling else name
                self._by_name.setdefault(plain(spelling), {})[full] = None
            self._spelled |= dict.fromkeys((short, name))
        self._given = {plain(label): self._one_of(model) for label, model in given.items()}
        self.unused = {plain(label): label for label in given}
        """Given names that no row had so far."""

    def find(self, label: str) -> tuple[str, str]:
        """(the model's name, or `name@revision` where the label gives one, ""), or ("", why not)."""
        if label not in self._found:
            self._found[label] = self._find(label)
        return self._found[label]

    def _find(self, label: str) -> tuple[str, str]:
        text = _MARKS.sub("", label).strip()
        for spelling in dict.fromkeys((label, text, _PARENTHESES.sub("", text))):
            if plain(spelling) in self._given:
                self.unused.pop(plain(spelling), None)
                return self._given[plain(spelling)], ""
            found = list(self._by_name.get(plain(spelling), ()))
            if len(found) == 1:
                return found[0], ""
            if found:
                return "", f"{label} is {' or '.join(found)}: name the organization too"
        return "", f"no record of {label}.{_nearest(text, self._spelled)}"

    def _one_of(self, name: str) -> str:
        found = list(self._by_name.get(plain(name), ()))
        if len(found) != 1:
            raise RmbenchError(f'--name: no record of a model "{name}".{_nearest(name, self._spelled)}')
        return found[0]


@dataclass
class _Task:
    headline: str
    metrics: dict[str, str] = field(default_factory=dict)
    """Plain name -> metric."""
    groups: dict[str, dict[tuple[str, str], None]] = field(default_factory=dict)
    """Plain name -> (metric, group) of that name."""


class Columns:
    """The benchmarks that have records, with their metrics and groups, by the names that people give them."""

    def __init__(self, evidence: Evidence, given: Mapping[str, str], task: str | None) -> None:
        self._tasks: dict[str, _Task] = {}
        self._by_name: dict[str, dict[str, None]] = {}
        self._spelled: dict[str, None] = {}
        titles: dict[str, dict[str, None]] = {}
        aliases = {known.id: known.aliases for known in declared().values()}
        self._declared = {plain(spelling): id_ for id_, others in aliases.items() for spelling in (id_, *others)}
        for record in evidence.records:
            id_ = record.task.id
            headline = str(record.task.metrics[0].get("name")) if record.task.metrics else ""
            own = self._tasks.setdefault(id_, _Task(headline))
            title = record.task.title
            for spelling in (id_, f"{id_}@{record.task.version}", *aliases.get(id_, ())):
                self._by_name.setdefault(plain(spelling), {})[id_] = None
            for spelling in (title, title.partition(":")[0]):
                titles.setdefault(plain(spelling), {})[id_] = None
            self._spelled |= dict.fromkeys((id_, *aliases.get(id_, ()), title.partition(":")[0]))
            for value in record.results:
                own.metrics[plain(value.metric)] = value.metric
                for spelling in _spellings(value.group):
                    own.groups.setdefault(plain(spelling), {})[value.metric, value.group or ""] = None
        self._by_name = titles | self._by_name  # an id is nobody else's title
        self._task = None if task is None else self._task_of(task, "--task")
        self._given = {plain(heading): self._parsed(heading, meaning) for heading, meaning in given.items()}
        self.unused = {plain(heading): heading for heading in given}
        """Given headings that no column had so far."""

    def find(self, levels: Sequence[str]) -> tuple[tuple[Target, ...] | None, str]:
        """What a column holds, by its headings from the outermost in: a number, or several whose mean it is; nothing,
        with "" where it is a fact of the model, or with the reason why it is unknown; (None, "mean") where it is the
        mean of the others."""
        names = list(dict.fromkeys(level for level in levels if level.strip()))
        for heading in (" ".join(names), *reversed(names)):
            if plain(heading) in self._given:
                self.unused.pop(plain(heading), None)
                return self._given[plain(heading)], ""
        tasks = [level for level in names if plain(level) in self._by_name]
        rest = [level for level in names if level not in tasks and plain(level) not in _OVERALL]
        if tasks:
            found = list(self._by_name[plain(tasks[-1])])
            if len(found) > 1:
                return (), f"{tasks[-1]} is {' or '.join(found)}: say which by --heading"
            return self._within(found, rest)
        if len(rest) < len(names) and self._task is None:
            return (None, "mean") if not rest or len(names) == 1 else self._within(list(self._tasks), rest)
        if rest and all(plain(level) in _FACTS for level in rest):
            return (), ""
        if joined := self._joined(rest):
            return joined, ""
        return self._within([self._task] if self._task else list(self._tasks), rest)

    def _joined(self, rest: Sequence[str]) -> tuple[Target, ...]:
        """What one heading names that begins with a benchmark, as in `rewardbench_chat_hard`; empty where none does."""
        heading = plain(rest[0]) if len(rest) == 1 else ""
        for name in sorted(self._by_name, key=len, reverse=True):
            if name and heading.startswith(name):
                more = heading.removeprefix(name)
                found, _ = self._within(list(self._by_name[name]), [] if more in _OVERALL else [more])
                if len(found) == 1:
                    return found
        return ()

    def _within(self, tasks: Sequence[str], rest: Sequence[str]) -> tuple[tuple[Target, ...], str]:
        """A metric or a group of one of some tasks, by the headings that name no task."""
        if not rest:
            return tuple(Target(task, self._tasks[task].headline) for task in tasks), ""
        found: dict[Target, None] = {}
        for task in tasks:
            found |= dict.fromkeys(self._named(task, rest))
        if len(found) > 1:
            return (), f"{' '.join(rest)} is {' or '.join(map(str, found))}: say which by --heading or --task"
        if not found and plain(rest[-1]) in self._declared:
            return (), f"no record is of {self._declared[plain(rest[-1])]}"
        if not found:
            known = [*self._spelled, *(group for task in tasks for group in self._groups(task))]
            return (), f"no record has a benchmark, metric or group {' '.join(rest)}.{_nearest(rest[-1], known)}"
        return tuple(found), ""

    def _named(self, task: str, rest: Sequence[str]) -> list[Target]:
        own, metric = self._tasks[task], ""
        groups: dict[tuple[str, str], None] | None = None
        for level in rest:
            if plain(level) in own.metrics:
                metric = own.metrics[plain(level)]
                continue
            named = own.groups.get(plain(level), {})
            groups = named if groups is None else {pair: None for pair in groups if pair in named}
        if groups is None:
            return [Target(task, metric)] if metric else []
        of_metric = [pair for pair in groups if pair[0] == (metric or own.headline)]
        return [Target(task, each, group) for each, group in of_metric or ([] if metric else groups)]

    def _groups(self, task: str) -> list[str]:
        return list(
            dict.fromkeys(group.rpartition("=")[2] for of in self._tasks[task].groups.values() for _, group in of)
        )

    def _task_of(self, name: str, where: str) -> str:
        found = list(self._by_name.get(plain(name), ()))
        if len(found) != 1:
            raise RmbenchError(f'{where}: no record of a benchmark "{name}".{_nearest(name, self._spelled)}')
        return found[0]

    def _parsed(self, heading: str, meaning: str) -> tuple[Target, ...]:
        """`task`, `task:metric`, `task:group` or several joined by +; `-`: nothing."""
        targets: list[Target] = []
        for part in [] if meaning == "-" else meaning.split("+"):
            name, *rest = (word.strip() for word in part.split(":"))
            task = self._task_of(name, f"--heading {heading}")
            found, why = self._within([task], rest)
            if why:
                raise RmbenchError(f"--heading {heading}={meaning}: {why}")
            targets += found
        return tuple(targets)


def _nearest(word: str, known: Iterable[str]) -> str:
    """As `did_you_mean`, whatever the case."""
    spelled = {each.casefold(): each for each in known}
    said = did_you_mean(word.casefold(), spelled)
    near = said.partition('"')[2].rpartition('"')[0]
    return said.replace(f'"{near}"', f'"{spelled[near]}"') if near else ""


def _spellings(group: str | None) -> Iterable[str]:
    """`section=Chat Hard`: so, and `Chat Hard`; of crossed groups each part and all values too."""
    if not group:
        return ()
    values = [part.partition("=")[2] for part in group.split(",")]
    return dict.fromkeys((group, " ".join(values)))
