"""What a check leaves behind: check.json, marks in records, marks on boards; and the command."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner
from rich.console import Console

import rmbench
from rmbench import resources
from rmbench.boards import show, tabulate
from rmbench.check import check
from rmbench.check.render import result_lines, summary_lines
from rmbench.check.report import CheckReport, failed, not_run, passed
from rmbench.cli import cli
from rmbench.errors import RmbenchError
from rmbench.models.protocols import ModelFacts
from rmbench.records.check_mark import mark_records, read_mark
from rmbench.records.store import read, verify
from tests._make import exit_code

PutRecord = Callable[..., Path]


def obey_schema(report: dict[str, Any]) -> None:
    jsonschema.validate(report, json.loads((resources.schemas() / "check.schema.json").read_text()))


def test_records_before_and_after_a_check_are_marked(tmp_path: Path) -> None:
    before = rmbench.run(model="baseline:length", tasks=["rm-bench"], source="sample", out=tmp_path)
    (folder,) = rmbench.find_records(tmp_path)
    assert before.records[0].model.check is None
    table = (folder / "judgments.parquet").read_bytes()
    report = rmbench.check("baseline:length", out=tmp_path)
    assert report.records == 1
    assert report.folder == str(folder.parent)
    marked = read(folder)
    assert marked.model.check is not None
    assert marked.model.check.model_dump() == {"passed": True, "failed": [], "date": report.date}
    same = {"model": before.records[0].model, "digests": before.records[0].digests}
    assert marked.model_copy(update=same) == before.records[0]
    assert verify(folder) == []
    assert (folder / "judgments.parquet").read_bytes() == table
    shown = CliRunner().invoke(cli, ["show", str(folder)])
    assert f"check passed, {report.date}" in shown.output
    after = rmbench.run(model="baseline:length", tasks=["llmbar"], source="sample", out=tmp_path)
    assert after.records[0].model.check == marked.model.check
    written = json.loads((folder.parent / "check.json").read_text())
    assert written == report.to_dict()
    obey_schema(written)


def test_a_model_opened_in_another_way_was_not_checked(tmp_path: Path, put_record: PutRecord) -> None:
    folder = put_record(tmp_path, [1.0, -1.0])
    assert mark_records(folder.parent, "e" * 64, True, [], "2025-01-01") == (0, [])
    assert read(folder).model.check is None
    (folder.parent / "check.json").write_text(
        json.dumps({"model": {"fingerprint": "f" * 64}, "passed": False, "failed": ["bos"], "date": "2025-01-01"})
    )
    assert read_mark(folder.parent, "e" * 64) is None
    assert read_mark(folder.parent, "") is None
    found = read_mark(folder.parent, "f" * 64)
    assert found is not None
    assert found.failed == ["bos"]
    (folder.parent / "check.json").write_text("{}")
    with pytest.raises(RmbenchError, match=r"check\.json: no report of `rmbench check`"):
        read_mark(folder.parent, "f" * 64)


def test_a_record_that_cannot_be_read_is_named_and_the_others_are_marked(tmp_path: Path, put_record: PutRecord) -> None:
    good, bad = put_record(tmp_path, [1.0]), put_record(tmp_path, [1.0], task="other")
    (bad / "record.json").write_text("{")
    marked, notes = mark_records(good.parent, "f" * 64, False, ["spread"], "2025-01-01")
    assert marked == 1
    assert len(notes) == 1
    assert "record.json: not JSON" in notes[0]
    assert read(good).model.check is not None


def marked(passed_: bool, date: str = "2025-02-02") -> dict[str, Any]:
    return {"check": {"passed": passed_, "failed": [] if passed_ else ["bos", "padding"], "date": date}}


def test_boards_mark_models_that_did_not_pass(tmp_path: Path, put_record: PutRecord) -> None:
    board = tmp_path / "checked.toml"
    text = 'id = "checked"\ntitle = "Checked"\ntasks = ["pairs", "more"]\n'
    board.write_text(text)
    root = tmp_path / "results"
    for name, model in (("org/sound", marked(True)), ("org/broken", marked(False)), ("org/unknown", {})):
        for task in ("pairs", "more"):
            put_record(root, [1.0, -1.0, 1.0], name=name, task=task, changed={"model": model})
    rows = {row.name: row for row in tabulate(board, root).rows}
    assert {name: (row.check, row.flags) for name, row in rows.items()} == {
        "org/sound": ("passed", ()),
        "org/broken": ("failed", ("check failed",)),
        "org/unknown": ("unchecked", ()),
    }
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(show(board, root))
    shown = console.export_text()
    assert "org/broken (check failed)" in " ".join(shown.split())
    assert "unchecked" not in shown
    board.write_text(text + "require_check = true\n")
    table = tabulate(board, root)
    assert [row.name for row in table.rows] == ["org/sound"]
    why = {(one.model.partition("@")[0], one.why) for one in table.refused}
    assert why == {
        ("org/broken", "its model failed `rmbench check`: bos, padding"),
        ("org/unknown", "its model was not checked, and this board admits models that passed `rmbench check`"),
    }


def test_the_newest_check_counts(tmp_path: Path, put_record: PutRecord) -> None:
    board = tmp_path / "checked.toml"
    board.write_text('id = "checked"\ntitle = "Checked"\ntasks = ["pairs", "more"]\n')
    put_record(tmp_path / "r", [1.0, 1.0], task="pairs", changed={"model": marked(False, "2025-02-02")})
    put_record(tmp_path / "r", [1.0, 1.0], task="more", changed={"model": marked(True, "2025-03-03")})
    assert tabulate(board, tmp_path / "r").rows[0].check == "passed"


def test_the_command_prints_a_line_per_check(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["check", "baseline:length", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert max(map(len, done.output.splitlines())) <= 80
    starts = [line[:20].split() for line in done.output.splitlines() if not line.startswith(" ")]
    assert ["load", "pass"] in starts
    assert ["memory", "not", "run"] in starts
    assert "baseline:length@" in done.output
    assert "check.json" in " ".join(done.output.split())


def test_the_command_as_json(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["check", "fake:constant", "--json", "--out", str(tmp_path)])
    assert done.exit_code == 1
    report = json.loads(done.stdout)
    obey_schema(report)
    assert report["failed"] == ["spread"]
    assert report["passed"] is False


def test_exit_codes(tiny: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tiny.checkpoint(tmp_path / "headless")
    tiny.edit_tensors(folder, lambda tensors: tensors.pop("score.weight"))
    out = ["--out", str(tmp_path / "out")]
    for arguments, code, said in (
        ([str(folder)], 1, "FAIL"),
        (["nothing-of-this-name"], 2, "is no folder, bundled model"),
        (["tiny-bt", "--device", "cuda:7"], 2, "--device cuda:7"),
        (["tiny-bt", "--model-args", "bso=one"], 2, "bso"),
        (["ensemble:a,b"], 2, "ensemble"),
    ):
        assert exit_code("check", *arguments, *out) == code, arguments
        printed = capsys.readouterr()
        assert said in printed.out + printed.err
    assert not (tmp_path / "out").exists()  # nothing was opened, so nothing has records


def test_a_published_file_that_is_none(tmp_path: Path) -> None:
    file = tmp_path / "published.jsonl"
    for text, said in (
        ("{", "published.jsonl:1 is not JSON"),
        ('{"scores": [1]}', '"model"'),
        ('{"model": "m", "scores": [1, 2], "conversations": [[{"role": "user", "content": "a"}]]}', "one number for"),
        ('{"model": "m", "scores": [1], "conversations": [[{"role": "user"}]]}', "one number for each"),
    ):
        file.write_text(text)
        with pytest.raises(RmbenchError) as caught:
            check("baseline:length", published=file, write=False)
        assert said in str(caught.value)


def test_an_unknown_option() -> None:
    with pytest.raises(RmbenchError, match=r'check\(\) has no option \'dtpye\'. Did you mean "dtype"'):
        check("baseline:length", write=False, dtpye="float32")  # type: ignore[call-arg]


def test_lines_hold_untrusted_text_as_text() -> None:
    facts = ModelFacts(name="a\x1b[31mb", revision="1", family="other")
    results = (
        failed("load", "[red]x[/red] " + "long " * 60, {"a": 1}, text="<s>[bold]\x1b[2J\n  end "),
        not_run("memory", "why"),
        passed("bos", "fine"),
    )
    console = Console(width=80, record=True, file=io.StringIO())
    for result in results:
        console.print(result_lines(result))
    console.print(summary_lines(CheckReport(facts, results, "2025-01-01", {}, notes=("one",))))
    shown = console.export_text()
    assert "\x1b" not in shown
    assert "[red]x[/red]" in shown
    assert "| <s>[bold][2J" in shown
    assert "1 passed, 1 failed, 1 not run" in shown
    assert "a[31mb@1 did not pass: load" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_figures_that_are_not_finite_are_null() -> None:
    result = failed("padding", "x", {"largest_change": float("inf"), "rows": 3})
    assert result.to_dict()["figures"] == {"largest_change": None, "rows": 3}
