r"""A LaTeX document of several files."""

from __future__ import annotations

from pathlib import Path

import pytest

from rmbench.errors import RmbenchError
from rmbench.exchange.claims.grid import Grid, read_grids
from rmbench.exchange.claims.inputs import read_document

TABLE = "\\begin{tabular}{lc}\nModel & \\task \\\\\n%s\\end{tabular}\n"
ROW = "RM-8B & 62.5 \\\\\n"


@pytest.fixture
def paper(tmp_path: Path) -> Path:
    (tmp_path / "tables").mkdir()
    return tmp_path / "paper.tex"


def grids(paper: Path) -> list[Grid]:
    return read_grids(paper)[0]


def test_tables_of_files_that_are_read(paper: Path) -> None:
    paper.write_text("\\newcommand{\\task}{Pairs}\nText.\n\\input{tables/one}\n\n\\include{tables/two.tex} and on\n")
    (paper.parent / "tables/one.tex").write_text("% a comment\n" + TABLE % ROW)
    (paper.parent / "tables/two.tex").write_text(TABLE % ROW.replace("62.5", "70.0"))
    one, two = grids(paper)
    assert (one.head, one.body) == ((("Model", "Pairs"),), (("RM-8B", "62.5"),))
    assert (one.place, two.place) == (f"{paper.parent}/tables/one.tex:2", f"{paper.parent}/tables/two.tex:1")
    assert two.body == (("RM-8B", "70.0"),)


def test_rows_of_a_table_in_a_file_of_their_own(paper: Path) -> None:
    paper.write_text("\n" + TABLE % "\\input tables/rows\n")
    (paper.parent / "tables/rows.tex").write_text(ROW + "RM-9B & 1.5 \\\\")
    (grid,) = grids(paper)
    assert grid.body == (("RM-8B", "62.5"), ("RM-9B", "1.5"))
    assert grid.place == f"{paper}:2"


def test_lines_are_those_of_the_files(paper: Path) -> None:
    paper.write_text("1\n\\input{tables/a}\n3\n" + TABLE % ROW)
    (paper.parent / "tables/a.tex").write_text("a\nb\nc")
    document = read_document(paper)
    assert document.text.startswith("1\na\nb\nc\n3\n")
    assert [document.place(line) for line in (1, 3, 5, 6)] == [
        f"{paper}:1",
        f"{paper.parent}/tables/a.tex:2",
        f"{paper}:3",
        f"{paper}:4",
    ]
    assert grids(paper)[0].place == f"{paper}:4"


def test_what_is_not_there_is_said(paper: Path) -> None:
    paper.write_text("\\input{glyphtounicode}\n%\\input{tables/old}\n\\newcommand{\\t}[1]{\\input{#1}}\n" + TABLE % ROW)
    found, notes = read_grids(paper)
    assert len(found) == 1
    assert notes == (
        f"{paper}:1: \\input{{glyphtounicode}} is not in {paper.parent}, so tables in it are not checked.",
    )
    paper.write_text("\\input{tables/missing}")
    with pytest.raises(RmbenchError, match=r"no tabular in it, nor in what it inputs.*tables/missing"):
        read_grids(paper)


def test_a_file_that_reads_itself_or_a_stranger_is_refused(
    paper: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    paper.write_text("\\input{tables/a}")
    (paper.parent / "tables/a.tex").write_text("\\input{paper}")
    with pytest.raises(RmbenchError, match=r"a\.tex:1: .*leads back to itself"):
        read_grids(paper)
    secret = tmp_path_factory.mktemp("elsewhere") / "secret.tex"
    secret.write_text(TABLE % ROW)
    for name in (str(secret), f"../{secret.parent.name}/secret"):
        paper.write_text(f"\\input{{{name}}}")
        with pytest.raises(RmbenchError, match="lies outside"):
            read_grids(paper)


def test_files_that_multiply_are_refused(paper: Path) -> None:
    paper.write_text("\\input{tables/0}")
    for depth in range(15):
        text = f"\\input{{tables/{depth + 1}}}" * 2
        (paper.parent / f"tables/{depth}.tex").write_text(text)
    (paper.parent / "tables/15.tex").write_text("x")
    with pytest.raises(RmbenchError, match="over 1,000 files"):
        read_grids(paper)
