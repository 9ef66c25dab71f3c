"""Which files of which repositories a task needs, and where they go below the data folder."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from rmbench.errors import AbsentDataError, RmbenchError
from rmbench.tasks.declaration.schema import JoinRule, LayoutRule, SourceRule
from rmbench.tasks.fetch.hub import HubRepository, hub_of_address
from rmbench.tasks.fetch.manifest import FetchedPart
from rmbench.tasks.fetch.repository import Repository, Wanted
from rmbench.tasks.rows.files import spellings
from rmbench.tasks.rows.hub import HubRequest, requests_of
from rmbench.tasks.task import Task

__all__ = ["Pin", "Plan", "media_wanted", "pins_of", "plan_of"]

Pin = tuple[str, str, str | None]
"""What a task declares of a repository: "hub" or "git", its address, and the revision or commit."""
Opened = Callable[[Pin], Repository]


@dataclass(slots=True)
class Plan:
    """The files of a task's rows."""

    wanted: list[Wanted] = field(default_factory=list)
    parts: list[FetchedPart] = field(default_factory=list)
    fit_parts: list[FetchedPart] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def pins_of(task: Task) -> list[Pin]:
    """The repositories that a task's files come from: its hub sets where it has any, else git."""
    source = task.declaration.source
    if task.hub is not None:
        requests = [request for rule in _sources(task) for request in requests_of(rule)]
        pins = [("hub", request.hub, request.arguments.get("revision")) for request in requests]
    else:
        joins = [rule for layout in _layouts(task) for rule in layout.join if rule.git is not None]
        pins = [_git_pin(source, None), *(_git_pin(source, rule) for rule in joins)]
    return list(dict.fromkeys(pins))


def plan_of(task: Task, opened: Opened) -> Plan:
    """The files that a task's rows are read from.

    Args:
        task: any but a bundled one.
        opened: opens a repository.

    Raises:
        AbsentDataError: the repository has none of the declared files.
        RmbenchError: a repository cannot be reached, or has no such config or split.
    """
    plan, source, fit = Plan(), task.declaration.source, task.declaration.fit
    if task.hub is not None:
        own, *of_fit = _sources(task)
        plan.parts = [_part(source, request, opened, plan.wanted) for request in requests_of(own)]
        plan.fit_parts = [
            _part(source, request, opened, plan.wanted) for rule in of_fit for request in requests_of(rule)
        ]
        return plan
    _add_layout(plan, source, task.declaration.files, opened)
    if not plan.wanted:
        origin = opened(_git_pin(source, None)).origin
        raise AbsentDataError(
            f"{origin.address} at {origin.commit[:8]} holds none of its files; get them as upstream says, and give "
            f"their folder as --source."
        )
    if fit is not None:
        _add_layout(plan, source, fit.files, opened)
    return plan


def media_wanted(task: Task, names: Iterable[str], opened: Opened) -> tuple[list[Wanted], list[str]]:
    """The files of the media of these names, and the names that upstream's repository has no file of."""
    source, roots = task.declaration.source, task.declaration.media.roots
    repository = opened(pins_of(task)[0])
    wanted, absent = [], []
    for name in names:
        local = name.partition("?")[0].rsplit("/", 1)[-1] if "://" in name else name
        paths = (local if root == "." else f"{root}/{local}" for root in roots)
        path = next((path for path in paths if path in repository.files), None)
        if path is None:
            absent.append(name)
        else:
            wanted.append(Wanted(repository, path, f"{source.folder}/{path}"))
    return wanted, absent


def _sources(task: Task) -> list[SourceRule]:
    """The source of the rows, and that of the fit split where there is one."""
    source, fit = task.declaration.source, task.declaration.fit
    return [source, *([] if fit is None else [source.model_copy(update={"split": fit.split, "parts": fit.parts})])]


def _layouts(task: Task) -> list[LayoutRule]:
    fit = task.declaration.fit
    return [*task.declaration.files, *([] if fit is None else fit.files)]


def _git_pin(source: SourceRule, rule: JoinRule | None) -> Pin:
    address, pin = (source.git, source.commit) if rule is None or rule.git is None else (rule.git, rule.commit)
    hub = hub_of_address(address or "")
    return ("git", address or "", pin) if hub is None else ("hub", hub, pin)


def _part(source: SourceRule, request: HubRequest, opened: Opened, wanted: list[Wanted]) -> FetchedPart:
    repository = opened(("hub", request.hub, request.arguments.get("revision")))
    assert isinstance(repository, HubRepository)
    files = repository.split_files(request)
    # Several sets have one another's names for their files.
    folder = source.folder if request.hub == source.hub else f"{source.folder}/{request.hub.rpartition('/')[2]}"
    places = [f"{folder}/{path}" for path in files.paths]
    wanted += map(partial(Wanted, repository), files.paths, places)
    return FetchedPart(
        request=str(request),
        module=_known_module(request, files.module),
        split=files.split,
        paths=places,
        features=files.features,
        settings=files.settings,
    )


def _known_module(request: HubRequest, module: str) -> str:
    known = FetchedPart.model_fields["module"].annotation.__args__  # type: ignore[union-attr]
    if module not in known:
        raise RmbenchError(f"hub data set {request}: its files are of the kind {module}; read are {', '.join(known)}.")
    return module


def _add_layout(plan: Plan, source: SourceRule, layouts: Sequence[LayoutRule], opened: Opened) -> None:
    """Add the files of the first layout of which the repository has one, as the layouts of a folder are read."""
    repository = opened(_git_pin(source, None))
    for layout in layouts:
        found = {path: _matches(repository.files, path) for path in layout.paths}
        if any(found.values()):
            break
    else:
        return
    wanted = [Wanted(repository, path, f"{source.folder}/{path}") for paths in found.values() for path in paths]
    missing = [path for path, paths in found.items() if not paths]
    for rule in layout.join:
        other = opened(_git_pin(source, rule))
        paths = _matches(other.files, rule.path)
        wanted += [Wanted(other, path, f"{source.folder}/{path}") for path in paths]
        missing += [] if paths else [rule.path]
    plan.wanted += wanted
    plan.notes += [f"{path} is not in {repository.origin.address}" for path in missing]


def _matches(files: Iterable[str], path: str) -> list[str]:
    for name in spellings(path):
        pattern = re.compile("".join(_sign(char) for char in name))
        found = sorted(file for file in files if pattern.fullmatch(file))
        if found:
            return found
    return []


def _sign(char: str) -> str:
    return {"*": "[^/]*", "?": "[^/]"}.get(char) or re.escape(char)
