"""Tables of LaTeX as rows of plain text: tabulars, with macros for bold, colour and the like taken away."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import islice

from rmbench.errors import RmbenchError

__all__ = ["in_comment", "latex_tables"]

_TABULAR = r"tabular[xy*]?|tabulary|longtable|longtabu|tabu|tblr|longtblr|NiceTabular[X*]?|supertabular"
_BEGIN = re.compile(rf"\\begin\s*\{{({_TABULAR})\}}")
_EDGE = re.compile(rf"\\(begin|end)\s*\{{(?:{_TABULAR})\}}")
_COLUMNS = re.compile(r"\s*(?:\[[^\]]*\])?\s*\{(?:[^{}]|\{[^{}]*\})*\}")
_COMMENT = re.compile(r"(?<!\\)%[^\n]*\n?[ \t]*|(?<!\\)((?:\\\\)+)%[^\n]*\n?[ \t]*")
_WORD = re.compile(r"\\[A-Za-z@]+\*?[ \t]*\n?[ \t]*|\\.|[{}&$~^_]|[^\\{}&$~^_]+", re.DOTALL)
_DEFINED = re.compile(r"\\(?:re)?newcommand\*?\s*\{?\s*\\([A-Za-z@]+)\s*\}?\s*(?:\[(\d)\])?|\\def\s*\\([A-Za-z@]+)")
_MOST_TABLES = 1_000
_MOST_MACROS = 1_000
_LONGEST_MACRO = 10_000
_MOST_PUT_IN = 1_000_000
"""Characters that macros may put into a table, and a thousandth of it times that they may."""
_DEEPEST = 100
"""Braces within each other."""

_SPAN = frozenset({"multicolumn"})
_DROPPED = {
    **dict.fromkeys(("cite", "citep", "citet", "citealp", "citealt", "citeyear", "footcite", "footnote", "tnote"), 1),
    **dict.fromkeys(("footnotemark", "label", "ref", "cref", "textsuperscript", "vspace", "hspace", "phantom"), 1),
    **dict.fromkeys(("cellcolor", "rowcolor", "columncolor", "color", "cmidrule", "cline", "includegraphics"), 1),
    **dict.fromkeys(("specialrule", "rule", "arrayrulecolor", "setlength", "addlinespace", "hphantom"), 1),
    "specialrule": 3,
    "rule": 2,
    "setlength": 2,
    "addlinespace": 0,
    "footnotemark": 0,
}
"""Commands that leave nothing -> how many arguments in braces they take."""
_LAST_OF = {"textcolor": 2, "colorbox": 2, "fcolorbox": 3, "multirow": 3, "rotatebox": 2, "scalebox": 2, "resizebox": 3,
            "href": 2, "parbox": 2, "raisebox": 2, "adjustbox": 2}  # fmt: skip
"""Commands of several arguments whose last one is the text."""
_SYMBOLS = {"pm": "±", "textpm": "±", "times": "×", "dagger": "†", "ddagger": "‡", "textdagger": "†", "alpha": "α",
            "beta": "β", "gamma": "γ", "lambda": "λ", "tau": "τ", "rho": "ρ", "kappa": "κ", "textemdash": "-",
            "textendash": "-", "quad": " ", "qquad": " ", "newline": " ", "linebreak": " ", "ldots": "", "cdot": "·",
            "textbackslash": "\\", "textasciitilde": "~", "checkmark": "✓", "uparrow": "", "downarrow": "",
            "rightarrow": "", "star": "*", "ast": "*", "textasteriskcentered": "*"}  # fmt: skip


def latex_tables(text: str, place: Callable[[int], str]) -> Iterator[tuple[str, list[list[str]]]]:
    r"""(place, rows) of every tabular in a text; a cell over several columns or rows stands in each of them.

    Macros of the text's own `\newcommand`, `\renewcommand` and `\def` are put in; of any other command its last
    argument is kept.

    `place` names a line of the text, which counts from 1.

    Raises:
        RmbenchError: a tabular that does not end, braces that do not close, macros that never end.
    """
    macros = _macros(text)
    done = 0
    for found in islice(_BEGIN.finditer(text), _MOST_TABLES):
        if found.start() < done or in_comment(text, found.start()):
            continue
        where, name = place(text.count("\n", 0, found.start()) + 1), found[1]
        end = done = _end_of(text, found.end())
        if end < 0:
            raise RmbenchError(f"{where}: \\begin{{{name}}} without \\end{{{name}}}.")
        inner = _flat(_without_comments(text[found.end() : end]))
        try:
            yield where, _Reader(inner, macros, name).rows()
        except (ValueError, RecursionError) as error:
            raise RmbenchError(f"{where}: the {name} cannot be read ({error}).") from error


def _end_of(text: str, at: int) -> int:
    """Where the table that begins before `at` ends, past those within its cells; -1: nowhere."""
    depth = 1
    for found in _EDGE.finditer(text, at):
        depth += 1 if found[1] == "begin" else -1
        if depth == 0:
            return found.start()
    return -1


def _flat(inner: str) -> str:
    """The inside of a table, with tables within cells as their text in one line."""
    parts: list[list[str]] = [[]]
    at = 0
    for found in _EDGE.finditer(inner):
        parts[-1].append(inner[at : found.start()])
        at = found.end()
        if found[1] == "begin":
            parts.append([])
        elif len(parts) > 1:
            cell = _COLUMNS.sub("", "".join(parts.pop()), count=1)
            parts[-1].append(re.sub(r"\\\\|(?<!\\)&", " ", cell))
    parts[-1].append(inner[at:])
    return "".join(map("".join, parts))


def in_comment(text: str, at: int) -> bool:
    """Whether a place of a text is after a % in its line."""
    start = text.rfind("\n", 0, at) + 1
    return re.search(r"(?<!\\)(?:\\\\)*%", text[start:at]) is not None


def _without_comments(text: str) -> str:
    return _COMMENT.sub(lambda found: found[1] or "", text)


def _macros(text: str) -> dict[str, tuple[int, str]]:
    """Name -> (number of arguments, what it stands for), of the definitions in a text."""
    macros = {}
    for found in islice(_DEFINED.finditer(text), _MOST_MACROS):
        if in_comment(text, found.start()):
            continue
        body = re.compile(r"\s*\{").match(text, found.end())
        if body:
            end = _closing(text, body.end())
            macros[found[1] or found[3]] = (int(found[2] or 0), _without_comments(text[body.end() : end]))
    return macros


def _closing(text: str, at: int) -> int:
    depth, end = 1, min(len(text), at + _LONGEST_MACRO)
    for found in re.compile(r"\\.|[{}]", re.DOTALL).finditer(text, at, end):
        depth += {"{": 1, "}": -1}.get(found[0], 0)
        if depth == 0:
            return found.start()
    return end


class _Reader:
    """Reads the inside of one tabular."""

    def __init__(self, text: str, macros: dict[str, tuple[int, str]], name: str) -> None:
        self._words: list[str] = list(reversed(_WORD.findall(text)))
        self._macros = macros
        self._put_in = 0
        self._depth = 0
        self._options(name)

    def _options(self, name: str) -> None:
        r"""Leave out the width and the columns: `[t]{\linewidth}{lcc}`."""
        self._bracketed()
        for _ in range(2 if name in ("tabularx", "tabulary", "tabular*", "NiceTabularX", "NiceTabular*") else 1):
            self._argument()
        self._bracketed()

    def rows(self) -> list[list[str]]:
        rows: list[list[str]] = []
        row: list[str] = []
        cell, down = "", {}
        spans: dict[int, tuple[int, str]] = {}
        ended = False
        while not ended:
            word = self._next()
            ended = word is None
            if word in ("&", None, "\\\\", "\\tabularnewline"):
                wide, high, text = _spans(cell)
                if high > 1:
                    down.update({len(row) + k: (high - 1, text) for k in range(wide)})
                row += [text] * wide
                cell = ""
                if word == "&":
                    continue
                if word is not None:
                    self._bracketed()
                if any(each.strip() for each in row):
                    rows.append([each.strip() or spans.get(k, (0, ""))[1] for k, each in enumerate(row)])
                    spans = {k: (n - 1, each) for k, (n, each) in spans.items() if n > 1} | down
                row, down = [], {}
            else:
                cell += self._text(word)
        return rows

    def _next(self) -> str | None:
        if not self._words:
            return None
        word = self._words.pop()
        return word.rstrip() if len(word) > 2 and word[0] == "\\" else word

    def _text(self, word: str) -> str:
        """What a word, and the arguments it takes, say."""
        if word == "{":
            return self._group()
        if word in ("}", "$", "^", "_"):
            return ""
        if word == "~":
            return " "
        if not word.startswith("\\"):
            return re.sub(r"\s+", " ", word)
        name = word[1:].rstrip("*")
        if not name.isalpha() and "@" not in name:
            return {"%": "%", "&": "&", "_": "_", "#": "#", "$": "$", "{": "{", "}": "}", "-": ""}.get(name, " ")
        return self._command(name)

    def _command(self, name: str) -> str:
        if name in self._macros:
            count, body = self._macros[name]
            arguments = [self._raw() for _ in range(count)]
            for k, argument in enumerate(arguments, 1):
                body = body.replace(f"#{k}", argument)
            self._put_in += len(body) + 1_000
            if self._put_in > _MOST_PUT_IN:
                raise ValueError("its macros never end")
            self._words += reversed(_WORD.findall(body))
            return ""
        if name in _SYMBOLS:
            return _SYMBOLS[name]
        if name in _SPAN:
            wide = self._argument().strip()
            self._argument()
            return f"\x00{wide if wide.isdigit() else 1}\x00{self._argument()}"
        if name in _DROPPED:
            while self._bracketed() or self._parenthesised():
                pass
            for _ in range(_DROPPED[name]):
                self._argument()
                self._bracketed()
            return ""
        if name == "multirow":
            self._bracketed()
            high = self._argument().strip()
            self._bracketed()
            self._argument()
            self._bracketed()
            return f"\x01{high if high.isdigit() else 1}\x01{self._argument()}"
        for _ in range(_LAST_OF.get(name, 1) - 1):
            self._bracketed()
            self._argument()
        self._bracketed()
        text = ""
        while self._words and self._words[-1] == "{":  # an unknown command: its last argument is its text
            text = self._argument()
        return text

    def _group(self) -> str:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ValueError(f"more than {_DEEPEST} braces within each other")
        text = ""
        while (word := self._next()) != "}":
            if word is None:
                raise ValueError("a brace does not close")
            text += self._text(word) if word not in ("&", "\\\\") else " "
        self._depth -= 1
        return text

    def _argument(self) -> str:
        """The text of the argument that follows: a group, or one word."""
        while self._words and not self._words[-1].strip():
            self._words.pop()
        word = self._next()
        return "" if word is None else self._text(word)

    def _raw(self) -> str:
        """The argument that follows, as it stands."""
        while self._words and not self._words[-1].strip():
            self._words.pop()
        if not self._words or self._words[-1] != "{":
            return self._next() or ""
        self._words.pop()
        depth, parts = 1, []
        while depth:
            word = self._next()
            if word is None:
                raise ValueError("a brace does not close")
            depth += {"{": 1, "}": -1}.get(word, 0)
            parts.append(word if not re.fullmatch(r"\\[A-Za-z@]+\*?", word) else f"{word} ")
        return "".join(parts[:-1])

    def _bracketed(self) -> bool:
        return self._enclosed("[", "]")

    def _parenthesised(self) -> bool:
        return self._enclosed("(", ")")

    def _enclosed(self, first: str, last: str) -> bool:
        """Leave out an optional argument that follows; whether there was one."""
        while self._words and not self._words[-1].strip():
            self._words.pop()
        if not self._words or not self._words[-1].lstrip().startswith(first):
            return False
        while self._words:
            word = self._words.pop()
            if last in word and not word.startswith("\\"):
                rest = word.partition(last)[2]
                if rest:
                    self._words.append(rest)
                return True
        return True


def _spans(cell: str) -> tuple[int, int, str]:
    """(columns, rows, text) of a cell, whose spans stand between control characters."""
    wide = re.search("\x00(\\d{1,3})\x00", cell)
    high = re.search("\x01(\\d{1,3})\x01", cell)
    text = re.sub("[\x00\x01]\\d{1,3}[\x00\x01]", "", cell)
    return max(int(wide[1]), 1) if wide else 1, max(int(high[1]), 1) if high else 1, text.strip()
