"""The columns that may hold what a reading needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rmbench.errors import RmbenchError
from rmbench.tasks.own.kinds import WORDS, Kind, Table
from rmbench.tasks.own.words import IN_OBJECT, named, pairs_of_columns, plain
from rmbench.tasks.rows.transcripts import transcript

__all__ = ["ANSWERS", "Finder", "prompts", "text_rule"]

ANSWERS: tuple[Kind, ...] = ("text", "message", "messages")
"""Kinds of columns with one answer a row."""


class Finder:
    """The columns that may hold what a reading needs, beside one choice of the prompt."""

    def __init__(self, table: Table, spec: Mapping[str, str], prompt: str | None) -> None:
        self.table, self.spec, self.prompt = table, spec, prompt
        self.used = {*spec.values(), prompt}

    def __call__(self, role: str, *kinds: Kind) -> list[str]:
        """The columns for a role: the user's, or those of a usual name that hold one of `kinds`."""
        if role in self.spec:
            path = self.spec[role]
            if self.table.kind(path) not in kinds:
                expected = " or ".join(WORDS[kind] for kind in kinds)
                what = f"expected {expected} in every row, found {WORDS[self.table.kind(path)]}"
                raise RmbenchError(f"{self.table.name}: --columns {role}={path}: {what}.")
            return [path]
        free = [name for name in self.table.names if name not in self.used and self.table.kind(name) in kinds]
        return named(role, free)

    def with_prompt(self, *answers: str) -> list[tuple[dict[str, Any], dict[str, str]]]:
        """The keys of `[columns]` for the prompt, and their part of the spec; none where it is in no column."""
        kinds = {self.table.kind(name) for name in answers}
        columns: dict[str, Any] = {}
        spec: dict[str, str] = {}
        prompt, hold = self.prompt, _hold_prompt(self.table, answers)
        if hold:
            columns["answers_hold_prompt"] = True
            if prompt is not None and "prompt" not in self.spec and not _is_in(self.table, prompt, answers[0]):
                prompt = None
        elif prompt is None:
            return []
        if prompt is not None:
            columns["prompt"] = text_rule(self.table, prompt)
            spec["prompt"] = prompt
        for system in self("system", "text") if "messages" not in kinds or "system" in self.spec else ():
            columns["system"] = system
            spec["system"] = system
        for tools in [name for name in self("tools", "objects", "texts", "text") if self._holds_tools(name)][:1]:
            columns["tools"] = tools
            spec["tools"] = tools
        return [(columns, spec)]

    def _holds_tools(self, name: str) -> bool:
        """Whether a column that the user did not name holds objects, or the JSON text of a list."""
        value = next((each for each in self.table.values(name) if each), None)
        text = value[0] if isinstance(value, list) and value else value
        return "tools" in self.spec or not isinstance(text, str) or text.lstrip().startswith(("[", "{"))

    def answers(self) -> list[tuple[str, str]]:
        """Pairs of columns that are the two answers of a row by their names."""
        table = self.table
        texts = [name for name in table.names if name not in self.used and table.kind(name) in ANSWERS]
        return pairs_of_columns(texts)

    def within(self, name: str, role: str, kind: Kind) -> list[str]:
        """The paths of what a list of objects holds for a role; of any other list, itself."""
        if self.table.kind(name) != "objects":
            return [name]
        keys = dict.fromkeys(key for value in self.table.values(name) for item in value or () for key in item)
        paths = [f"{name}[].{key}" for key in keys if plain(key) in IN_OBJECT[role]]
        return [path for path in paths if self.table.kind(path) == kind]

    def beside(self, role: str, answers: str, kind: Kind) -> list[str]:
        """Columns with one value for each of a list of answers: beside the list, or within its objects."""
        if "[]." in answers and role not in self.spec:
            return self.within(answers.split("[].")[0], role, kind)
        return self(role, kind)


def text_rule(table: Table, path: str) -> Any:
    """A column of texts, of lists of them, of messages or of conversations as a declaration names it."""
    kind = table.kind(path)
    if path not in table.names and "+" in path:
        return {"join": path.split("+")}
    if kind == "message":
        return (
            f"{path}.content" if any("content" in value for value in table.values(path) if value) else f"{path}.value"
        )
    return {"column": path, "form": "messages"} if kind == "messages" else f"{path}[]" if kind == "texts" else path


def prompts(table: Table, spec: Mapping[str, str]) -> list[str | None]:
    """The columns that may be the prompt, one of several that are alike; None alone where there is none."""
    if "prompt" in spec:
        return [*Finder(table, spec, None)("prompt", "text", "messages")]
    free = [name for name in table.names if name not in spec.values() and table.kind(name) in ("text", "messages")]
    found: list[str] = []
    for name in named("prompt", free):
        if all(table.values(name) != table.values(other) for other in found):
            found.append(name)
    more = [name for name in free if plain(name) == "input" and table.kind(name) == "text"]
    # Alpaca's layout: what the instruction is about stands beside it.
    whole = [f"{name}+{more[0]}" if more and plain(name) == "instruction" else name for name in found]
    return [*whole] or [None]


def _hold_prompt(table: Table, answers: Sequence[str]) -> bool:
    """Whether answers are whole conversations: they begin with another than the assistant, or are transcripts."""
    for name in answers:
        for value in table.values(name):
            if isinstance(value, str) and transcript(value):
                return True
            if isinstance(value, list | tuple) and value and isinstance(value[0], Mapping):
                role = value[0].get("role", value[0].get("from"))
                return role in ("user", "human", "system", "developer")
            if value is not None:
                break
    return False


def _is_in(table: Table, prompt: str, answer: str) -> bool:
    """Whether the first row's prompt is a part of its answer, which is a whole conversation."""
    for before, whole in zip(table.values(prompt), table.values(answer), strict=True):
        if before is not None and whole is not None:
            asked, said = _texts(before), _texts(whole)
            return any(asked[-1].strip() in text for text in said) if asked else False
    return False


def _texts(value: Any) -> list[str]:
    turns = [value] if isinstance(value, str) else value
    contents = [turn if isinstance(turn, str) else turn.get("content", turn.get("value")) for turn in turns]
    return [each for each in contents if isinstance(each, str)]
