"""Tables read from CSV, Markdown and LaTeX as people write them."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest

from rmbench.errors import RmbenchError
from rmbench.exchange.claims.grid import Grid, read_grids


def read(folder: Path, name: str, text: str) -> list[Grid]:
    (folder / name).write_text(text, "utf-8")
    return read_grids(folder / name)[0]


def body(folder: Path, inside: str, columns: str = "lcc", before: str = "") -> list[tuple[str, ...]]:
    """The rows of one tabular."""
    text = f"{before}\n\\begin{{tabular}}{{{columns}}}\n{inside}\n\\end{{tabular}}\n"
    (grid,) = read(folder, "t.tex", text)
    return [*grid.body]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (r"\textbf{72.8}", "72.8"),
        (r"\underline{\textbf{72.8}}", "72.8"),
        (r"{\bf 72.8}", "72.8"),
        (r"\bfseries 72.8", "72.8"),
        (r"$72.8$", "72.8"),
        (r"$\mathbf{72.8}$", "72.8"),
        (r"\cellcolor{red!20}72.8", "72.8"),
        (r"\cellcolor[HTML]{AABBCC} \textbf{72.8}", "72.8"),
        (r"\cellcolor[gray]{0.9}72.8", "72.8"),
        (r"\textcolor{blue}{72.8}", "72.8"),
        (r"\colorbox{gray!10}{72.8}", "72.8"),
        (r"72.8\%", "72.8%"),
        (r"72.8\textsuperscript{a}", "72.8"),
        (r"72.8\tnote{1}", "72.8"),
        (r"72.8~\cite{a,b}", "72.8"),
        (r"72.8\cite[p.~3]{a}", "72.8"),
        (r"72.8\footnote{A note, with 5.}", "72.8"),
        (r"$72.8 \pm 1.2$", "72.8 ±1.2"),
        (r"72.8$_{\pm 1.2}$", "72.8±1.2"),
        (r"72.8{\scriptsize $\pm$1.2}", "72.8±1.2"),
        (r"$72.8_{-1.2}^{+1.1}$", "72.8-1.2+1.1"),
        (r"\num{72.8}", "72.8"),
        (r"\best{72.8}", "72.8"),
        (r"\makecell{72.8}", "72.8"),
        (r"\multirow{2}{*}{72.8}", "72.8"),
        (r"\multicolumn{1}{c|}{72.8}", "72.8"),
        (r"--", "--"),
        (r"---", "---"),
        ("72.8 % a comment & 99\n", "72.8"),
        ("% only a comment\n72.8", "72.8"),
        (r"\hl{\emph{72.8}}", "72.8"),
        (r"\phantom{0}2.8", "2.8"),
        (r"72\ 8", "72 8"),
        (r"a\_b \& c \# d", "a_b & c # d"),
    ],
)
def test_a_cell_of_latex(cell: str, expected: str, tmp_path: Path) -> None:
    assert body(tmp_path, f"m & n & o \\\\\nx & {cell} & 1 \\\\")[-1] == ("x", expected, "1")


def test_rules_and_row_colours_are_no_cells(tmp_path: Path) -> None:
    rows = body(
        tmp_path,
        r"""\toprule
Model & A & B \\ \cmidrule(lr){2-2} \cmidrule(l{2pt}r){3-3} \midrule
\rowcolor{gray!20} x & 1.0 & 2.0 \\[2pt] \addlinespace[3pt] \hline\hline
\rowcolor[HTML]{EEEEEE}y & 3.0 & 4.0 \tabularnewline \specialrule{1pt}{2pt}{3pt}
\arrayrulecolor{red}\cline{1-2} z & & 5.0 \\
\bottomrule""",
    )
    assert rows == [("x", "1.0", "2.0"), ("y", "3.0", "4.0"), ("z", "", "5.0")]


def test_spans_stand_in_every_column_and_row(tmp_path: Path) -> None:
    text = r"""\begin{tabular}{l|cc|cc}
\multirow{2}{*}{Model} & \multicolumn{2}{c|}{One} & \multicolumn{2}{c}{\textbf{Two}} \\
 & a & b & a & b \\
\multicolumn{5}{c}{\textit{Group}} \\
\multirow[t]{2}{*}{x} & 1 & 2 & \multicolumn{2}{c}{3} \\
 & 4 & 5 & 6 & 7 \\
\end{tabular}"""
    (grid,) = read(tmp_path, "t.tex", text)
    assert grid.head == (("Model", "One", "One", "Two", "Two"), ("Model", "a", "b", "a", "b"), ("Group",) * 5)
    assert grid.body == (("x", "1", "2", "3", "3"), ("x", "4", "5", "6", "7"))


def test_a_table_within_a_cell_is_its_text(tmp_path: Path) -> None:
    """As people break lines of headings and intervals."""
    one = r"\begin{tabular}[c]{@{}c@{}}72.8\\(71.6, 73.9)\end{tabular}"
    rows = body(tmp_path, rf"Model & \begin{{tabular}}{{c}}A\\B\end{{tabular}} & C \\ x & {one} & 2 \\ y & 3 & 4 \\")
    assert rows == [("x", "72.8 (71.6, 73.9)", "2"), ("y", "3", "4")]


def test_macros_of_the_text_are_put_in(tmp_path: Path) -> None:
    before = r"""\newcommand{\sky}{Skywork-Reward}
\newcommand{\twice}[2]{\textbf{#2}}
\def\value{72.8}
% \newcommand{\sky}{Nothing}
\renewcommand*\name{N}"""
    assert body(
        tmp_path, "a & b & c\\\\\n\\sky-8B & \\value & \\twice{x}{\\value} \\\\\\name{} & 1 & 2", before=before
    ) == [
        ("Skywork-Reward-8B", "72.8", "72.8"),
        ("N", "1", "2"),
    ]


@pytest.mark.parametrize("name", ["tabular*", "tabularx", "tabulary"])
def test_other_tables(name: str, tmp_path: Path) -> None:
    text = f"\\begin{{{name}}}{{\\linewidth}}{{@{{}}l>{{\\small}}c@{{}}}}\na & b \\\\ x & 1 \\\\\n\\end{{{name}}}"
    (grid,) = read(tmp_path, "t.tex", text)
    assert (grid.head, grid.body) == ((("a", "b"),), (("x", "1"),))


def test_every_table_of_a_paper(tmp_path: Path) -> None:
    one = "\\begin{tabular}{lc}a & b\\\\ x & 1\\\\\\end{tabular}"
    long = "\\begin{longtable}[c]{lc}p & q\\\\ y & 2\\end{longtable}"
    text = f"Text with $5\\%$.\n{one}\n% {one}\n\\begin{{table}}{one}\\end{{table}}\n{long}"
    grids = read(tmp_path, "t.tex", text)
    assert [grid.place.rpartition(":")[2] for grid in grids] == ["2", "4", "5"]
    assert [grid.body for grid in grids] == [(("x", "1"),), (("x", "1"),), (("y", "2"),)]


def test_markdown(tmp_path: Path) -> None:
    text = """# Results
| Model | *A* (%) | B |
|:------|--------:|---|
| [x-1](https://a.b/c) | **72.8** ± 1.2 | `1.0` |
| a\\|b<br> | ~~3~~ | |

A line | with a pipe

Model | A
--- | ---
y | 2
"""
    first, second = read(tmp_path, "t.md", text)
    assert first.head == (("Model", "A (%)", "B"),)
    assert first.body == (("x-1", "72.8 ± 1.2", "1.0"), ("a|b", "3", ""))
    assert (second.place.rpartition(":")[2], second.body) == ("9", (("y", "2"),))


@pytest.mark.parametrize("text", ["model,a\nx,1\n\ny,2\n", "model;a\nx;1\ny;2", "\ufeffmodel\ta\r\nx\t1\r\ny\t2\r\n"])
def test_csv(text: str, tmp_path: Path) -> None:
    (grid,) = read(tmp_path, "t.csv", text)
    assert (grid.head, grid.body) == ((("model", "a"),), (("x", "1"), ("y", "2")))


def test_marks_in_quotes_part_nothing(tmp_path: Path) -> None:
    (grid,) = read(tmp_path, "t.csv", '"a;b;c;d",e\n"x;1\n2",3\n')
    assert (grid.head, grid.body) == ((("a;b;c;d", "e"),), (("x;1 2", "3"),))


def test_short_rows_are_filled(tmp_path: Path) -> None:
    (grid,) = read(tmp_path, "t.csv", 'model,a,b\nx,"1,000.5"\ny,2,3,4\n')
    assert grid.head == (("model", "a", "b", ""),)
    assert grid.body == (("x", "1,000.5", "", ""), ("y", "2", "3", "4"))


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("t.txt", "", "expected a file that ends in .csv, .tsv, .md, .tex"),
        ("t.csv", "", "no rows in it"),
        ("t.md", "no table", "no rows in it"),
        ("t.tex", "\\input{tables/main}", "no tabular in it, nor in what it inputs"),
        ("t.tex", "\n\\begin{tabular}{l} a", "t.tex:2: .* without"),
        ("t.tex", "\\begin{tabular}{l}a\\\\\\textbf{1\\\\\\end{tabular}", "a brace does not close"),
        ("t.tex", "\\newcommand{\\a}{\\a}\\begin{tabular}{l}a\\\\\\a\\\\\\end{tabular}", "its macros never end"),
        ("t.tex", "\\newcommand{\\a}{\\a\\a}\\begin{tabular}{l}a\\\\\\a\\\\\\end{tabular}", "its macros never end"),
    ],
)
def test_what_is_no_table_is_refused(name: str, text: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(RmbenchError, match=reason.replace("\\", "\\\\")):
        read(tmp_path, name, text)


@pytest.mark.parametrize(
    "text",
    [
        "\\begin{tabular}{l}" + "{" * 20_000 + "}" * 20_000 + "\\\\ a & 1\\end{tabular}",
        "\\begin{tabular}{l}" * 5_000,
        "\\newcommand{" * 20_000 + "\\begin{tabular}{l}a & 1\\end{tabular}",
        "|" * 200_000 + "\n" + "|-" * 100_000 + "\n",
        "\\begin{tabular}{l}" + "\\multicolumn" * 20_000 + " a & 1\\end{tabular}",
        "%" * 300_000 + "\\begin{tabular}{l}a & 1\\end{tabular}",
        "\\newcommand{\\a}[1]{#1#1}\\begin{tabular}{l}" + "\\a{" * 40 + "1" + "}" * 40 + "\\end{tabular}",
    ],
)
@pytest.mark.parametrize("name", ["t.tex", "t.md"])
def test_hostile_tables_end(name: str, text: str, tmp_path: Path) -> None:
    """In some way, and before long."""
    start = time.monotonic()
    with contextlib.suppress(RmbenchError):
        read(tmp_path, name, text)
    assert time.monotonic() - start < 60
