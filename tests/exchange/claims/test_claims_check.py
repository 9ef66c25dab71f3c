"""The numbers of a table against records: what is right, rounded, different, and without a record."""

from __future__ import annotations

import csv
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rmbench.errors import RmbenchError
from rmbench.exchange import verify_table
from rmbench.exchange.claims.names import plain
from rmbench.exchange.claims.verdict import Checked
from rmbench.records.store import find, read, write_published
from tests._make import exit_code, make_record, margins, put_record, write_sealed

RESULTS = Path(__file__).resolve().parents[3] / "results"
Verify = Callable[..., Checked]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Three models on two benchmarks; big/RM-8B has .625 on one and .333... on the other."""
    root = tmp_path / "results"
    put_record(root, margins(5, 8), name="big/RM-8B", task="pairs")
    put_record(root, margins(1, 3), name="big/RM-8B", task="rm-bench")
    put_record(root, margins(6, 8), name="big/RM-8B-v2", task="pairs")
    put_record(root, margins(7, 8), name="Other-Org/Judge_70B", task="pairs")
    return root


@pytest.fixture
def verify(results: Path, tmp_path: Path) -> Verify:
    def check(text: str, name: str = "t.csv", **options: Any) -> Checked:
        (tmp_path / name).write_text(text, "utf-8")
        return verify_table(tmp_path / name, results, **options)

    return check


def statuses(checked: Checked) -> list[str]:
    return [claim.status for claim in checked.claims]


def test_each_kind_and_the_exit_code(verify: Verify) -> None:
    table = "Model,Pairs,RM-Bench\nRM-8B,62.5,33.3\n"
    right = verify(table)
    assert (statuses(right), right.exit_code) == (["right", "right"], 0)
    rounded = verify(table.replace("33.3", "33.33").replace("62.5", "62"))
    assert (statuses(rounded), rounded.exit_code) == (["right", "right"], 0)
    cut = verify("Model,Pairs,RM-Bench\nRM-8B,0.625,0.33\nJudge 70B,.87,")
    assert (statuses(cut), cut.exit_code) == (["right", "right", "rounded"], 0)
    absent = verify(table + "Judge 70B,87.5,11\nRM-9B,1,2\n")
    assert (statuses(absent), absent.exit_code) == (["right", "right", "right", *["no record"] * 3], 3)
    assert absent.claims[3].why == "no record of Other-Org/Judge_70B has rm-bench accuracy"
    assert absent.claims[4].why == 'no record of RM-9B. Did you mean "RM-8B"?'
    different = verify(table.replace("33.3", "33.4") + "RM-9B,1,2\n")
    assert (statuses(different)[1], different.claims[1].value, different.exit_code) == ("different", 1 / 3, 1)
    assert different.counts == {"right": 1, "rounded": 0, "different": 1, "no record": 2}
    assert str(different.claims[1]).startswith("different: RM-8B, RM-Bench: 33.4 (the record says 0.333333")


@pytest.mark.parametrize(
    "name",
    ["big/RM-8B", "RM-8B", "rm 8b", "RM_8B", "**RM-8B**", "RM-8B [12]", "RM-8B (Li et al., 2024)", "RM-8B (ours)*"],
)
def test_models_are_known_as_people_write_them(name: str, verify: Verify) -> None:
    assert statuses(verify(f"| Model | Pairs |\n|---|---|\n| {name} | 62.5 |\n", "t.md")) == ["right"]


def test_names_that_are_two_models_are_not_guessed(verify: Verify, results: Path) -> None:
    put_record(results, margins(1, 8), name="small/RM-8B", task="pairs")
    (claim,) = verify("model,pairs\nRM-8B,62.5\nbig/RM-8B-v2,\n").claims
    assert (claim.status, claim.why) == ("no record", "RM-8B is big/RM-8B or small/RM-8B: name the organization too")
    assert statuses(verify("model,pairs\nbig/RM-8B,62.5\nsmall/RM-8B,12.5\n")) == ["right", "right"]
    assert statuses(verify("model,pairs\nRM-8B,62.5\n", models={"RM-8B": "big/RM-8B"})) == ["right"]
    with pytest.raises(RmbenchError, match=r'--name: no record of a model "big/RM-9B". Did you mean "big/RM-8B"?'):
        verify("model,pairs\nRM-8B,62.5\n", models={"RM-8B": "big/RM-9B"})


@pytest.mark.parametrize(
    "heading", ["Pairs", "pairs@1", "The pairs", "PAIRS (%) ↑", "p", "pairs accuracy", "pairs_avg"]
)
def test_benchmarks_are_known_as_people_write_them(heading: str, verify: Verify) -> None:
    headings = {"p": "pairs"} if heading == "p" else {}
    checked = verify(f"model,{heading},Params\nRM-8B,62.5,8\n", headings=headings)
    assert statuses(checked) == ["right"]
    assert "for they say what a model is: Params" in checked.notes[0]


def test_unknown_headings_are_said(verify: Verify) -> None:
    checked = verify("model,pairs,RM-Bnch,Params,Notes\nRM-8B,62.5,33.3,8,good\n")
    assert statuses(checked) == ["right", "no record"]
    assert checked.claims[1].why == 'no record has a benchmark, metric or group RM-Bnch. Did you mean "rm-bench"?'
    assert "Params" in checked.notes[0]
    assert verify("model,pairs,RewardBench\nRM-8B,62.5,90\n").claims[1].why == "no record is of reward-bench"
    ignored = verify("model,pairs,Extra\nRM-8B,62.5,33.3\n", headings={"extra": "-"})
    assert statuses(ignored) == ["right"]
    with pytest.raises(
        RmbenchError, match=r'--heading Extra: no record of a benchmark "rm-bnch". Did you mean "rm-bench"?'
    ):
        verify("model,pairs,Extra\nRM-8B,62.5,33.3\n", headings={"Extra": "rm-bnch"})


def test_options_that_mean_nothing_are_errors(verify: Verify) -> None:
    with pytest.raises(RmbenchError, match=r'--heading Extr: .*t.csv has no such cell. Did you mean "Extra"?'):
        verify("model,pairs,Extra\nRM-8B,62.5,33.3\n", headings={"Extr": "rm-bench"})
    with pytest.raises(RmbenchError, match=r"--name Nobody: .*t.csv has no such cell"):
        verify("model,pairs\nRM-8B,62.5\n", models={"Nobody": "big/RM-8B"})


def test_shares_and_percentages_go_by_column(verify: Verify) -> None:
    """0.9 percent and the share .9 look alike: a column is one or the other."""
    checked = verify("model,pairs,rm-bench\nRM-8B,62.5,0.333\nRM-8B-v2,0.75,\n")
    assert statuses(checked) == ["right", "right", "different"]
    assert statuses(verify("model,pairs (%),rm-bench\nRM-8B,62.5%,.333\n")) == ["right", "right"]
    assert statuses(verify("model,pairs\nRM-8B,.625\nRM-8B-v2,.75\n")) == ["right", "right"]


def test_intervals(verify: Verify, results: Path) -> None:
    figure = next(record for record in map(read, find(results)) if record.model.name == "big/RM-8B-v2").results[0]
    low, high, half = figure.low, figure.high, (figure.high - figure.low) / 2
    cells = {
        f"0.75 ± {half:.3f}": "right",
        f"75.0 ± {100 * half:.1f}": "right",
        f"75.0 ± {100 * half + 0.3:.1f}": "different",
        f"0.75 [{low:.2f}, {high:.2f}]": "right",
        f"0.75 [{low:.2f}, {high + 0.02:.2f}]": "different",
        f"0.75 ± {high - 0.75 if high - 0.75 > 0.75 - low else 0.75 - low:.3f}": "right",
    }
    for cell, expected in cells.items():
        value, interval = verify(f"| model | pairs |\n|-|-|\n| RM-8B-v2 | {cell} |\n", "t.md").claims
        assert (value.status, interval.status, interval.part) == ("right", expected, "interval"), cell
        assert "its 95% interval is " in interval.why


def test_means_and_chance(verify: Verify) -> None:
    checked = verify("model,pairs,rm-bench,Avg.\nRM-8B,62.5,33.3,47.9\nJudge_70B,87.5,,87.5\nRandom,50.0,50,\n")
    assert statuses(checked) == ["right", "right", "right", "right", "no record", "right", "right"]
    assert checked.claims[2].why == "the plain mean of 2 columns"
    assert checked.claims[4].why == "a mean of columns of which one has no record"
    both = verify("model,both\nRM-8B,47.9\n", headings={"both": "pairs+rm-bench"})
    assert (statuses(both), both.claims[0].value) == (["right"], (0.625 + 1 / 3) / 2)
    assert statuses(verify("model,pairs,Average\nRM-8B,62.5,62.6\n")) == ["right", "different"]
    assert statuses(verify("model,pairs\nRM-8B,62.5\nRandom,25.0\n")) == ["right", "different"]


def test_a_mean_may_stand_anywhere(verify: Verify) -> None:
    assert statuses(verify("model,Avg.,pairs,rm-bench\nRM-8B,47.9,62.5,33.3\n")) == ["right"] * 3
    assert statuses(verify("model,Avg.,pairs,rm-bench\nRM-8B,62.5,62.5,33.3\n"))[0] == "different"


def test_headings_between_rows_are_no_numbers(verify: Verify) -> None:
    """As longtables repeat them."""
    table = "Model,Pairs,RM-Bench 1\nRM-8B,62.5,33.3\nModel,Pairs,RM-Bench 1\nRM-8B-v2,75,\n"
    assert statuses(verify(table, headings={"RM-Bench 1": "rm-bench"})) == ["right"] * 3


def test_what_stands_beside_a_number_is_said(verify: Verify) -> None:
    checked = verify("model,pairs\nRM-8B,62.5 (+1.2)\n")
    assert [(claim.status, claim.part) for claim in checked.claims] == [("right", "value"), ("no record", "interval")]
    assert (checked.claims[1].why, checked.exit_code) == ("(+1.2) is not read", 3)


def test_cells_that_say_nothing_are_no_numbers(verify: Verify) -> None:
    table = "model,pairs,rm-bench\nRM-8B,62.5,-\nRM-8B-v2,75,n/a\nJudge 70B,—,\nScalar models,,\n"
    assert statuses(verify(table)) == ["right", "right"]
    odd = verify("model,pairs\nRM-8B,62.5 or so\n").claims[0]
    assert (odd.status, odd.why) == ("no record", "the cell is not read as a number")


def test_a_table_may_lie_on_its_side(verify: Verify) -> None:
    checked = verify("Benchmark,RM-8B,RM-8B-v2\npairs,62.5,75.0\nrm-bench,33.4,\n")
    assert [(claim.row, claim.column, claim.status) for claim in checked.claims] == [
        ("RM-8B", "pairs", "right"),
        ("RM-8B", "rm-bench", "different"),
        ("RM-8B-v2", "pairs", "right"),
    ]


def test_a_table_about_something_else(verify: Verify) -> None:
    other = "\\begin{tabular}{lc} Data & Rows \\\\ train & 100 \\\\ \\end{tabular}\n"
    ours = "\\begin{tabular}{lc} Model & Pairs \\\\ RM-8B & \\textbf{62.5} \\\\ \\end{tabular}\n"
    checked = verify(other + ours, "t.tex")
    assert statuses(checked) == ["right"]
    assert (
        "t.tex:1: no row names a model of the records, so this table is left out (columns: Data, Rows)"
        in checked.notes[0]
    )
    with pytest.raises(RmbenchError, match="no table of it is about the records in"):
        verify(other, "t.tex")
    with pytest.raises(RmbenchError, match=r'no heading names a benchmark .*Did you mean "pairs"?'):
        verify("model,pears\nRM-8B,62.5\n")


def test_whole_measured_and_new_records_come_first(verify: Verify, results: Path) -> None:
    put_record(results / "s", margins(1, 8), name="big/RM-8B", task="pairs", flags=["sample"])
    put_record(results / "o", margins(2, 8), name="big/RM-8B", task="pairs", version=2)
    assert verify("model,pairs\nRM-8B,25.0\nRM-8B-v2,75\n").exit_code == 0  # the newest version
    assert verify("model,pairs\nRM-8B,12.5\nRM-8B-v2,75\n").exit_code == 1
    copied: dict[str, dict[str, Any]] = {
        "task": {"id": "pairs", "version": 2, "title": "T", "n": 8, "metrics": [{"name": "accuracy", "rule": "pair"}]},
        "model": {"name": "big/RM-8B", "revision": "table"},
        "data": {"rows": 0, "source": "published"},
        "run": {"source_of_scores": "a table"},
        "": {
            "kind": "published", "judgments": None, "failed": [], "flags": ["published"],
            "counts": {"judged": 0, "failed": 0, "unparsed": 0, "truncated": 0, "ties": 0},
            "results": [
                {"metric": "accuracy", "group": group, "value": 0.99, "low": None, "high": None, "n": 0,
                 "comparisons": 0, "coverage": None, "chance": None, "flags": [], "interval": ""}
                for group in (None, "level=hard")
            ],
        },
    }  # fmt: skip
    write_published(results, make_record(copied))
    checked = verify("model,pairs,hard\nRM-8B,99.0,99.0\n")
    assert statuses(checked) == ["different", "right"]  # measured before copied; copied where nothing was measured
    assert statuses(verify("model,pairs\nRM-8B@table,99.0\n")) == ["right"]


def test_one_of_several_records_is_enough(verify: Verify, results: Path) -> None:
    """Two settings of one model: the table may hold either."""
    put_record(results, margins(3, 8), name="big/RM-8B", task="pairs", changed={"model": {"revision": "ffff"}})
    for cell, status in (("62.5", "right"), ("37.5", "right"), ("50.0", "different")):
        assert statuses(verify(f"model,pairs\nRM-8B,{cell}\n")) == [status]
    assert statuses(verify("model,pairs\nRM-8B@ffff,62.5\n")) == ["different"]


def test_a_record_that_does_not_hold_proves_nothing(verify: Verify, results: Path) -> None:
    place = next(place for place in find(results) if read(place).model.name == "big/RM-8B-v2")
    data = json.loads((place / "record.json").read_text())
    data["results"][0]["value"] = 0.8
    write_sealed(place / "record.json", data)
    with pytest.raises(RmbenchError, match=r"value is 0.8, and the rows give 0.75"):
        verify("model,pairs\nRM-8B-v2,80.0\n")
    assert statuses(verify("model,pairs\nRM-8B,62.5\n")) == ["right"]


def test_groups_of_a_benchmark() -> None:
    """The committed records of JudgeBench, by two rows of headings and by --task."""
    table = "model,mmlu-pro,LiveCodeBench,livebench-math,Overall\nSkywork-Reward-Llama-3.1-8B,59.1,50.0,76.8,62.3\n"
    file = Path("t.csv")

    def run(folder: Path) -> None:
        (folder / file).write_text(table)
        assert statuses(verify_table(folder / file, RESULTS, task="judgebench")) == ["right"] * 4
        two = r"""\begin{tabular}{lcc}& \multicolumn{2}{c}{JudgeBench}\\Model & livecodebench & Overall\\
        Skywork-Reward-Llama-3.1-8B & 50.0 & \underline{62.3}\\\end{tabular}"""
        (folder / "t.tex").write_text(two)
        assert statuses(verify_table(folder / "t.tex", RESULTS)) == ["right"] * 2

    with tempfile.TemporaryDirectory() as name:
        run(Path(name))


@pytest.mark.parametrize(
    ("name", "task", "source", "counts"),
    [
        ("rewardbench2-paper-table3.csv", "reward-bench-2", "rewardbench2-table3", (84, 0, 0)),
        ("rm-bench-leaderboard.csv", "rm-bench", "rm-[br]*", (143, 1, 0)),
    ],
)
def test_released_tables_against_the_committed_records(
    name: str, task: str, source: str, counts: tuple[int, ...], data: Path, tmp_path: Path
) -> None:
    """Published records are copies of these tables, so nothing differs; one value, .85452, was cut off."""
    for folder in RESULTS.glob(f"*@{source}"):
        shutil.copytree(folder, tmp_path / folder.name)
    checked = verify_table(data / "published-results" / name, tmp_path, task=task)
    right, rounded, different = counts
    assert checked.counts["right"] >= right
    assert (checked.counts["rounded"], checked.counts["different"]) == (rounded, different)
    with (data / "published-results" / name).open(encoding="utf-8") as file:
        rows = sum(1 for _ in csv.DictReader(file))
    assert len({claim.row for claim in checked.claims}) == rows


def test_the_command(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "t.csv"
    table.write_text("model,pairs,rm-bench,Size\nRM-8B,62.5,33.4,8\n")
    words = ["verify", str(table), "--results", str(results)]
    assert exit_code(*words) == 1
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "different: RM-8B, rm-bench: 33.4 (the record says 0.3333333333333333)",
        f"{table}: 2 numbers: 1 right, 0 rounded, 1 different, 0 without a record",
    ]
    assert "Size" in err
    assert exit_code(*words, "--json") == 1
    data = json.loads(capsys.readouterr().out)
    assert (data["counts"]["right"], [claim["status"] for claim in data["claims"]]) == (1, ["right", "different"])
    assert data["claims"][0]["record"].startswith(str(results))
    assert exit_code(*words, "--heading", "rm-bench=-") == 0
    table.write_text("model,pairs,Extra\nRM-9B,62.5,5\nRM-8B,62.5,33.3\n")
    assert exit_code(*words) == 3
    assert exit_code(*words, "--heading", "Extra=rm-bench:accuracy", "--name", "RM-9B=RM-8B") == 1
    assert exit_code(*words, "--heading", "Extra") == 2
    assert exit_code(*words, "--rerun", "3") == 2
    assert "--rerun and --model are for a record's folder" in capsys.readouterr().err
    assert exit_code("verify", str(find(results)[0]), "--task", "pairs") == 2
    assert "--task is for a table" in capsys.readouterr().err
    assert exit_code("verify", str(find(results)[0]), "--json") == 0
    assert json.loads(capsys.readouterr().out)["holds"] is True


@pytest.mark.parametrize(
    ("a", "b"),
    [("RewardBench v2", "reward-bench-2"), ("Llama-3.1", "llama 3.1"), ("Avg.", "avg"), ("RM_v0.2", "RM-V0.2")],
)
def test_names_alike(a: str, b: str) -> None:
    assert plain(a) == plain(b)
    assert plain("Qwen2.5") != plain("Qwen25")
