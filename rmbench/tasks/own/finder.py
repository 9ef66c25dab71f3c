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
                what = f"expected {expected} in every row, found {self.table.described(path)}"
                raise RmbenchError(f"{self.table.name}: --columns {role}={path}: {what}.")
            return [path]
        free = [name for name in self.table.names if name not in self.used and self.table.kind(name) in kinds]
        return named(role, free)

    def with_prompt(self, *answers: str) -> list[tuple[dict[str, Any], dict[str, str]]]:
        """The keys of `[columns]` for the prompt, and their part of the spec; none where it is in no column."""
        columns: dict[str, Any] = {}
        spec: dict[str, str] = {}
        prompt, hold = self.prompt, _hold_prompt(self.table, answers)
        if hold and prompt is not None and "prompt" not in self.spec and not _begins(self.table, prompt, answers[0]):
            prompt = None
        if prompt is None:
            hold = hold or _are_long(self.table, answers)
            if not hold:
                return []
        elif not hold:
            hold = _go_on(self.table, prompt, answers)
        if hold:
            columns["answers_hold_prompt"] = True
        if prompt is not None:
            spoken = not hold and _are_transcripts(self.table, prompt)
            columns["prompt"] = {"column": prompt, "form": "messages"} if spoken else text_rule(self.table, prompt)
            spec["prompt"] = prompt
        for system in (
            self("system", "text")
            if "system" in self.spec or not _have_system(self.table, self.prompt, *answers)
            else ()
        ):
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
    if kind in ("message", "messages"):
        return {"column": path, "form": "messages"}
    return f"{path}[]" if kind == "texts" else path


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


def _have_system(table: Table, *columns: str | None) -> bool:
    """Whether any of the conversations begins with a system message of its own."""
    values = [value for name in columns if name is not None for value in table.values(name)]
    firsts = [
        value[0] for value in values if isinstance(value, list | tuple) and value and isinstance(value[0], Mapping)
    ]
    return any(first.get("role", first.get("from")) in ("system", "developer") for first in firsts)


def _begins(table: Table, prompt: str, answer: str) -> bool:
    """Whether the first row's answer, a whole conversation, begins with the prompt or its end, a system message of its
    own aside."""
    for before, whole in zip(table.values(prompt), table.values(answer), strict=True):
        if before is not None and whole is not None:
            asked, said = _texts(before), _texts(whole)
            of_system = isinstance(whole, list | tuple) and whole[0].get("role", whole[0].get("from")) == "system"
            starts = (said, said[1:]) if of_system else (said,)
            ends = [asked[place:] for place in range(len(asked))]
            return any(start[: len(end)] == end for start in starts for end in ends)
    return False


def _are_long(table: Table, answers: Sequence[str]) -> bool:
    """Whether answers are lists of two messages or more each, of which the first ones may be the prompt."""
    values = [value for name in answers for value in table.values(name) if value is not None]
    lists = all(table.kind(name) == "messages" for name in answers)
    return lists and all(isinstance(value, list | tuple) and len(value) > 1 for value in values)


def _go_on(table: Table, prompt: str, answers: Sequence[str]) -> bool:
    """Whether every answer is a text that repeats its prompt and goes on behind it, in rows of several prompts.

    One answer may well begin with the question's words; that all do means that the prompt is written in them.
    """
    if any(table.kind(name) != "text" for name in (prompt, *answers)) or len(answers) < 2:
        return False
    rows = list(zip(table.values(prompt), *map(table.values, answers), strict=True))
    full = [row for row in rows if all(isinstance(text, str) and text.strip() for text in row)]
    if len({row[0] for row in full}) < 2:
        return False
    return all(text.lstrip().startswith(row[0].strip()) for row in full for text in row[1:])


def _are_transcripts(table: Table, prompt: str) -> bool:
    values = [value for value in table.values(prompt) if value is not None]
    return table.kind(prompt) == "text" and bool(values) and all(map(transcript, values))


def _texts(value: Any) -> list[str]:
    """The texts of a conversation's turns, without white space around them; a part of other kinds is none."""
    if isinstance(value, str):
        return [message.text.strip() for message in transcript(value)] or [value.strip()]
    turns = [value] if isinstance(value, Mapping) else value
    contents = [turn.get("content", turn.get("value")) for turn in turns]
    return ["".join(_words(content)).strip() for content in contents]


def _words(content: Any) -> list[str]:
    """A message's content as a text, or the texts of its parts."""
    parts = content if isinstance(content, list | tuple) else [content]
    texts = [part.get("text") if isinstance(part, Mapping) else part for part in parts]
    return [text for text in texts if isinstance(text, str)]
