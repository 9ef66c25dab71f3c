r"""A LaTeX document as one text: files that it reads by `\input` and `\include` stand where LaTeX would put them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rmbench.errors import RmbenchError
from rmbench.exchange.claims.latex import in_comment
from rmbench.untrusted.files import MIB, file_fault, read_text

__all__ = ["Document", "read_document"]

_LARGEST = 32 * MIB
"""Of a file, and of the document."""
_MOST_FILES = 1_000
_DEEPEST = 20
_INPUT = re.compile(r"\\(?:input|include|subfile)(?![A-Za-z@])\s*(?:\{([^{}\n]{1,1000})\}|([^\s{}\\%]{1,1000}))")


@dataclass(frozen=True, slots=True)
class Document:
    """A document's text and where its parts come from."""

    parts: tuple[tuple[Path, int, str], ...]
    """(file, line of the file that the part begins in, text), one after another."""
    notes: tuple[str, ...] = ()
    """Files that are not there, a sentence each: a TeX installation has some of its own."""

    @property
    def file(self) -> Path:
        """The one that it begins in."""
        return self.parts[0][0]

    @property
    def text(self) -> str:
        """The whole."""
        return "".join(text for _, _, text in self.parts)

    def place(self, line: int) -> str:
        """The file and its line of a line of the whole, which counts from 1."""
        passed = 1
        for file, first, text in self.parts:
            breaks = text.count("\n")
            if line < passed + breaks or (file, first, text) == self.parts[-1]:
                return f"{file}:{first + line - passed}"
            passed += breaks
        return ""


def read_document(file: Path) -> Document:
    r"""The document that begins in a file. A name without a suffix means a `.tex`; names are relative to the folder of
    that first file, as they are for LaTeX.

    Raises:
        RmbenchError: a file that lies outside that folder or cannot be read, files that read each other, more than
            1,000 of them, or more than 32 MiB in all.
    """
    parts: list[tuple[Path, int, str]] = []
    notes: list[str] = []
    size = 0
    for part in _parts(file, file.parent, (file.resolve(),), notes):
        parts.append(part)
        size += len(part[2])
        if len(parts) > 2 * _MOST_FILES or size > _LARGEST:
            raise RmbenchError(f"{file}: what it inputs has over {_MOST_FILES:,} files or {_LARGEST:,} characters.")
    return Document(tuple(parts), tuple(dict.fromkeys(notes)))


def _parts(file: Path, root: Path, within: tuple[Path, ...], notes: list[str]) -> Iterator[tuple[Path, int, str]]:
    text = read_text(file, _LARGEST).removeprefix("\ufeff")
    at, line = 0, 1
    for found in _INPUT.finditer(text):
        name = (found[1] or found[2]).strip()
        if in_comment(text, found.start()) or "#" in name:  # the argument of a macro that is being defined
            continue
        where = f"{file}:{line + text.count(chr(10), at, found.start())}"
        inner = _named(name, root, where)
        if inner is None:
            notes.append(f"{where}: \\input{{{name}}} is not in {root}, so tables in it are not checked.")
            continue
        if inner.resolve() in within or len(within) > _DEEPEST:
            raise RmbenchError(f"{where}: \\input{{{name}}} leads back to itself, or too deep.")
        yield file, line, text[at : found.start()]
        yield from _parts(inner, root, (*within, inner.resolve()), notes)
        line += text.count("\n", at, found.end())
        at = found.end()
    yield file, line, text[at:]


def _named(name: str, root: Path, where: str) -> Path | None:
    """The file of a name, within the document's folder."""
    for path in (root / name, root / f"{name}.tex"):
        if not file_fault(path, _LARGEST):
            if not path.resolve().is_relative_to(root.resolve()):
                raise RmbenchError(f"{where}: \\input{{{name}}} lies outside {root}.")
            return path
    return None
