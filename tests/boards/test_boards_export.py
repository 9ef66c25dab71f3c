"""A board as Markdown, LaTeX, CSV, JSON and a figure: its numbers, its bold type, and names that stay text."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest
from markdown_it import MarkdownIt

from rmbench.boards import export, show
from rmbench.errors import RmbenchError
from tests._hostile import PAYLOADS, check_json, check_terminal, markdown_shape
from tests._make import put_record

WEB: list[str] = json.loads((Path(__file__).parent / "payloads.json").read_text("utf-8"))
NAMES = list(dict.fromkeys([*WEB, *(text for kind, text in PAYLOADS.items() if kind[:4] not in ("surr", "long"))]))
EVERY = ("md", "latex", "csv", "json")


def board_of(folder: Path, *, tasks: Sequence[str] = ("a", "b"), aggregate: str = "mean", title: str = "Mine") -> Path:
    path = folder / "mine.toml"
    listed = json.dumps(list(tasks))
    path.write_text(f'id = "mine"\ntitle = {json.dumps(title)}\ntasks = {listed}\naggregate = "{aggregate}"\n', "utf-8")
    return path


def rights(right: int, n: int = 200, first: int = 0) -> list[float]:
    """Margins of n rows, of which `right` from the row `first` on are right."""
    return [1.0 if first <= k < first + right else -1.0 for k in range(n)]


@pytest.fixture
def two_tasks(tmp_path: Path) -> Path:
    """On task a: high is right on 180 rows, near on 176 of these, low on 100. On b near is far ahead of both."""
    for name, a, b in (("org/high", 180, 100), ("org/near", 176, 190), ("org/low", 100, 101)):
        put_record(tmp_path / "results", rights(a), name=name, task="a")
        put_record(tmp_path / "results", rights(b), name=name, task="b")
    return board_of(tmp_path)


def markdown_cells(text: str) -> list[list[str]]:
    """The rows of a Markdown table, as their text is shown; bold cells begin with a star."""
    rows: list[list[str]] = []
    bold = False
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline" and rows and token.level > 3:
            bold = any(child.type == "strong_open" for child in token.children)
            shown = "".join("/" if child.type == "html_inline" else child.content for child in token.children)
            rows[-1].append("*" * bold + shown)
    return rows


def test_markdown_has_values_with_half_intervals_and_the_best_in_bold(two_tasks: Path) -> None:
    rows = markdown_cells(export(two_tasks, two_tasks.parent / "results", "md").decode())
    assert rows[0] == ["place", "rank", "model", "mean", "a@1/accuracy", "b@1/accuracy"]
    table = {row[2]: row for row in rows[1:]}
    assert table["org/near"][0] == "1"
    # 4 rows between high and near: mid-p is 1/16, so they are not told apart on a; on b near is alone.
    assert [table[name][4][0] == "*" for name in ("org/high", "org/near", "org/low")] == [True, True, False]
    assert [table[name][5][0] == "*" for name in ("org/high", "org/near", "org/low")] == [False, True, False]
    value, half = re.fullmatch(r"\*([.\d]+) ± ([.\d]+)", table["org/high"][4]).groups()
    assert value == ".900"
    # Wilson's interval of 180 of 200 is .8506 to .9343.
    assert float(half) == pytest.approx((0.9343 - 0.8506) / 2, abs=6e-4)


def test_five_rows_tell_two_models_apart_and_four_do_not(tmp_path: Path) -> None:
    """McNemar's mid-p of 5 rows against 0 is 1/32 < .05, of 4 against 0 it is 1/16; with two tests Holm doubles."""
    for name, right in (("org/a", 50), ("org/b", 45), ("org/c", 10)):
        put_record(tmp_path / "results", rights(right, 60), name=name, task="a")
    text = export(board_of(tmp_path, tasks=["a"], aggregate="none"), tmp_path / "results", "md").decode()
    bold = {row[0]: row[1].startswith("*") for row in markdown_cells(text)[1:]}
    # Holm orders p of c (tiny) first, so b is tested at .05 itself.
    assert bold == {"org/a": True, "org/b": False, "org/c": False}


@pytest.mark.parametrize("to", EVERY)
def test_no_name_acts_in_any_text(tmp_path: Path, to: str) -> None:
    def made(names: Sequence[str], folder: Path) -> str:
        for name in names:
            put_record(folder / "results", rights(5, 8), name=name, task="a", flags=[name])
        board = board_of(folder, tasks=["a"], title=names[0])
        return export(board, folder / "results", to).decode()  # type: ignore[arg-type]

    plain = made([f"name{k:02}" for k in range(len(NAMES))], tmp_path / "plain")
    hostile = made(NAMES, tmp_path / "hostile")
    if to == "md":
        assert markdown_shape(hostile) == markdown_shape(plain)
    elif to == "latex":
        assert shape(hostile) == shape(plain)
    elif to == "csv":
        rows = list(csv.DictReader(io.StringIO(hostile)))
        assert len(rows) == len(NAMES)
        for row in rows:
            assert not re.match(r"[=+\-@\t\r]", row["model"])
    else:
        check_json(hostile)
    check_terminal(hostile)


@pytest.fixture(autouse=True)
def folders(tmp_path: Path) -> None:
    for name in ("plain", "hostile"):
        (tmp_path / name).mkdir()


COMMANDS = """
begin end centering caption label toprule midrule bottomrule par footnotesize textbf textsuperscript pm
textbackslash textasciicircum textasciitilde textless textgreater textbar char
""".split()


def latex_tokens(text: str) -> Iterator[str]:
    """The tokens of LaTeX as its own scanner sees them; comments to the end of the line are left out."""
    at = 0
    while at < len(text):
        char = text[at]
        if char == "%":
            at = text.index("\n", at) + 1
        elif char == "\\":
            found = re.compile(r"\\([A-Za-z]+|.)", re.DOTALL).match(text, at)
            yield found[0]
            at = found.end()
        else:
            yield char
            at += 1


class Latex:
    """A table of LaTeX, checked token by token: known commands, balanced braces and modes, environments that end, and
    as many cells in each row as there are columns."""

    def __init__(self, text: str) -> None:
        self.depth, self.math, self.cells = 0, False, 1
        self.environments: list[str] = []
        self.kinds: list[str] = []
        self.tokens = latex_tokens(text)
        for token in self.tokens:
            self.take(token)
        assert (self.depth, self.math, self.environments) == (0, False, [])
        assert len({kind for kind in self.kinds if kind.startswith("row")}) <= 1

    def take(self, token: str) -> None:
        assert token not in "^_#~", f"{token!r} acts"
        if token in "{}":
            self.depth += 1 if token == "{" else -1
            assert self.depth >= 0
        elif token == "$":
            self.math = not self.math
        elif token in ("&", "\\\\"):
            assert "tabular" in self.environments
            assert self.depth == 0
            self.cells += 1
            if token != "&":
                self.kinds.append(f"row of {self.cells - 1}")
                self.cells = 1
        elif token[0] == "\\":
            self.command(token[1:])

    def command(self, name: str) -> None:
        if not name.isalpha():
            assert name in "{}$&#_%", name
            return
        assert name in COMMANDS, name
        if name == "begin":
            self.environments.append(self.argument())
            if self.environments[-1] == "tabular":
                self.kinds.append(self.argument())
        elif name == "end":
            assert self.environments.pop() == self.argument()
        elif name.endswith("rule"):
            self.kinds.append(name)

    def argument(self) -> str:
        """The text of the braces that follow."""
        return "".join(iter(lambda: next(self.tokens), "}"))[1:]


def shape(text: str) -> list[str]:
    """The parts of a table of LaTeX, which is checked."""
    return Latex(text).kinds


def test_the_tokenizer_of_this_test_sees_what_acts() -> None:
    for bad in ("a_b", "a & b", "\\input{x}", "{", "$x", "a ~ b"):
        with pytest.raises(AssertionError):
            shape(f"\\begin{{table}}{bad}\\end{{table}}")


def test_latex_has_the_same_numbers(two_tasks: Path) -> None:
    text = export(two_tasks, two_tasks.parent / "results", "latex").decode()
    assert shape(text)[:2] == ["rrlrrr", "toprule"]
    assert "\\textbf{.900} $\\pm$ .042" in text
    assert "% \\usepackage{booktabs}" in text
    assert "\\label{tab:mine}" in text


def test_csv_and_json_hold_every_value(two_tasks: Path) -> None:
    root = two_tasks.parent / "results"
    rows = list(csv.DictReader(io.StringIO(export(two_tasks, root, "csv").decode())))
    assert {(row["model"], row["task"]): float(row["value"]) for row in rows}["org/near", "b"] == 0.95
    data = json.loads(export(two_tasks, root, "json"))
    assert [row["model"] for row in data["rows"]] == ["org/near", "org/high", "org/low"]
    assert data["rows"][0]["values"]["b@1"]["value"] == 0.95
    assert [column["key"] for column in data["columns"]] == ["a@1", "b@1"]
    assert data == show(two_tasks, root).to_dict()


@pytest.mark.parametrize(
    ("by", "order"),
    [
        ("place", ["org/near", "org/high", "org/low"]),
        ("model", ["org/high", "org/low", "org/near"]),
        ("a@1", ["org/high", "org/near", "org/low"]),
        ("b", ["org/near", "org/low", "org/high"]),
    ],
)
def test_rows_are_sorted_by_any_column(two_tasks: Path, by: str, order: list[str]) -> None:
    shown = show(two_tasks, two_tasks.parent / "results", sort=by)
    assert [row.name for row in shown.rows] == order


def test_missing_values_come_last_and_an_unknown_column_names_the_nearest(two_tasks: Path) -> None:
    root = two_tasks.parent / "results"
    put_record(root, rights(200), name="org/only-b", task="b")
    assert show(two_tasks, root, sort="a@1").rows[-1].name == "org/only-b"
    assert show(two_tasks, root, sort="b@1").rows[0].name == "org/only-b"
    with pytest.raises(RmbenchError, match=r'no column "modle" .* Did you mean "model"\?'):
        show(two_tasks, root, sort="modle")


@pytest.mark.parametrize(("to", "begins"), [("svg", b"<svg"), ("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_a_figure_has_every_model(two_tasks: Path, to: str, begins: bytes) -> None:
    pytest.importorskip("altair", reason="need altair, to draw figures with")
    made = export(two_tasks, two_tasks.parent / "results", to)  # type: ignore[arg-type]
    assert made.startswith(begins)
    if to == "svg":
        texts = {"".join(element.itertext()) for element in ElementTree.fromstring(made).iter()}
        assert {"org/near", "org/high", "org/low", "Mine"} <= texts


def test_a_figure_of_hostile_names_holds_no_markup(tmp_path: Path) -> None:
    pytest.importorskip("altair", reason="need altair, to draw figures with")
    for name in WEB:
        put_record(tmp_path / "results", rights(5, 8), name=name, task="a")
    svg = export(board_of(tmp_path, tasks=["a"], aggregate="none", title=WEB[0]), tmp_path / "results", "svg")
    tags = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(svg).iter()}
    assert tags <= {"svg", "g", "path", "line", "rect", "text", "tspan", "defs", "clipPath", "style"}
    names = {name for element in ElementTree.fromstring(svg).iter() for name in element.attrib}
    assert not {name for name in names if name.startswith("on") or name.endswith("href")}


def test_without_the_extra_the_error_names_it(two_tasks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "altair", None)
    with pytest.raises(RmbenchError, match=r"pip install 'rmbench\[board\]'"):
        export(two_tasks, two_tasks.parent / "results", "svg")


def test_the_modules_do_not_hide_the_function(two_tasks: Path) -> None:
    root = two_tasks.parent / "results"
    assert export(two_tasks, root, "md") == export(two_tasks, root, "md")
    from rmbench.boards import export as again

    assert callable(again)
