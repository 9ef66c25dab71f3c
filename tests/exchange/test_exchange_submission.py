"""Records made ready for a pull request: what they lack is said with what to do, and copies hold nothing else."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from rmbench.errors import RmbenchError
from rmbench.exchange import submit
from rmbench.exchange.submission import Submission
from rmbench.metric_spec import MetricSpec
from rmbench.metrics.judging.position_bias import orders
from rmbench.metrics.judging.summary import judge_values
from rmbench.records.derived import counts_of
from rmbench.records.store import find, read, read_rows, read_table_of, write
from rmbench.reports.audit import problems
from rmbench.types import Judged, Verdict
from tests._make import exit_code, margins, put_record, write_sealed

CHECKED = {"model": {"check": {"passed": True, "failed": [], "date": "2026-01-01T00:00:00+00:00"}}}
TOKEN = "hf_" + "Ab1" * 10


def lacks(submission: Submission) -> list[str]:
    return [lack.what for entry in submission.entries for lack in entry.lacks if lack.kind == "missing"]


def test_a_sound_record_is_copied_to_the_byte(tmp_path: Path) -> None:
    place = put_record(tmp_path / "r", margins(3, 4), changed=CHECKED)
    submission = submit(tmp_path / "r", tmp_path / "out")
    assert submission.ready
    (entry,) = submission.entries
    assert (entry.model, entry.task, entry.lacks) == ("org/model@0123abcd", "pairs@1", ())
    assert Path(entry.written) == tmp_path / "out" / "results" / place.relative_to(tmp_path / "r")
    for name in ("record.json", "judgments.parquet"):
        assert (Path(entry.written) / name).read_bytes() == (place / name).read_bytes()
    assert sorted(path.name for path in (tmp_path / "out").rglob("*") if path.is_file()) == [
        "judgments.parquet",
        "record.json",
    ]


@pytest.mark.parametrize(
    ("changed", "options", "what", "do"),
    [
        ({}, {}, "the model was not checked", "`rmbench check org/model --out {r}` writes the outcome"),
        (
            {"model": {"check": {"passed": False, "failed": ["bos"], "date": "d"}}},
            {},
            "the model failed its check: bos",
            "`rmbench check org/model --out {r}` says why",
        ),
        (
            CHECKED,
            {"flags": ["sample"]},
            "marked sample: ",
            "`rmbench fetch pairs`, then `rmbench run --model org/model",
        ),
        (CHECKED, {"flags": ["limited"]}, "marked limited: ", "--tasks pairs --out {r}`"),
        (CHECKED, {"flags": ["demo"]}, "marked demo: ", "enter a real model"),
        (CHECKED, {"failed": [1]}, "coverage is 0.7500, less than 0.99: 1 of 4 rows failed", "`rmbench show` names"),
        (CHECKED, {"total": 8}, "coverage is 0.5000, less than 0.99: rows are missing", "`rmbench run"),
        (CHECKED, {"name": "/home/me/rm"}, "the model is called /home/me/rm", "org/name"),
        (CHECKED, {"name": "rm"}, "the model is called rm", "org/name"),
        (CHECKED, {"name": "./rm"}, "the model is called ./rm", "org/name"),
        (CHECKED, {"flags": ["limited"], "total": 8}, "marked limited: ", "--tasks pairs"),
    ],
)
def test_what_is_missing_is_said_with_what_to_do(
    changed: dict[str, Any], options: dict[str, Any], what: str, do: str, tmp_path: Path
) -> None:
    put_record(tmp_path / "r", margins(3, 4), changed=changed, **options)
    submission = submit(tmp_path / "r")
    (lack,) = [lack for lack in submission.entries[0].lacks if lack.kind == "missing"]
    assert lack.what.startswith(what)
    assert do.format(r=tmp_path / "r") in lack.do
    assert not submission.ready


def test_a_judge_has_its_servers_name_and_need_not_be_checked(tmp_path: Path) -> None:
    put_record(tmp_path / "r", margins(3, 4), name="gpt-4o", changed={"model": {"family": "judge"}})
    submission = submit(tmp_path / "r")
    assert submission.ready
    assert [lack.what for lack in submission.entries[0].lacks] == ["the model was not checked"]


def test_scores_from_elsewhere_name_their_source(tmp_path: Path) -> None:
    """Their model was not here, so it cannot have been checked."""
    for name, source in (("a/rm", None), ("b/rm", "org/repo@commit: file")):
        changed = {"model": {"family": "precomputed"}, "run": {"source_of_scores": source}}
        put_record(tmp_path / "r", margins(3, 4), name=name, changed=changed)
    put_record(tmp_path / "r", margins(3, 4), name="c/rm", changed={"run": {"source_of_scores": "a table"}})
    submission = submit(tmp_path / "r")
    assert submission.ready
    assert [[lack.what for lack in entry.lacks] for entry in submission.entries] == [
        ["its scores were computed elsewhere, and the record names no source"],
        [],
        [],
    ]


def test_published_figures_have_no_coverage(tmp_path: Path) -> None:
    results = Path(__file__).resolve().parents[2] / "results"
    folder = next(iter(sorted(results.glob("*@rewardbench2-table3"))))
    shutil.copytree(folder, tmp_path / "r" / folder.name)
    submission = submit(tmp_path / "r", tmp_path / "out")
    assert submission.ready
    copied = [path.relative_to(tmp_path / "out" / "results") for path in (tmp_path / "out").rglob("record.json")]
    assert copied == [path.relative_to(results) for path in folder.rglob("record.json")]


def test_an_undefined_headline_is_missing(tmp_path: Path) -> None:
    spec = MetricSpec("tau", "kendall_b")
    put_record(tmp_path / "r", [1.0] * 4, spec=spec, ratings=[1.0, 2.0, 3.0, 4.0], changed=CHECKED)
    (lack,) = submit(tmp_path / "r").entries[0].lacks
    assert (lack.kind, lack.what) == ("missing", "its headline, tau, has no value")


def test_unknown_facts_are_a_note(tmp_path: Path) -> None:
    changed = {"model": {**CHECKED["model"], "license": None, "parameters": None}}
    put_record(tmp_path / "r", margins(3, 4), changed=changed)
    submission = submit(tmp_path / "r")
    assert submission.ready
    assert (
        submission.entries[0].lacks[0].what
        == "license and parameters of the model are unknown and stay empty on boards"
    )


def test_a_record_that_does_not_hold_is_not_copied(tmp_path: Path) -> None:
    place = put_record(tmp_path / "r", margins(3, 4), changed=CHECKED)
    put_record(tmp_path / "r", margins(3, 4), name="org/other", changed=CHECKED)
    data = json.loads((place / "record.json").read_text())
    data["results"][0]["value"] = 0.99
    write_sealed(place / "record.json", data)
    broken = put_record(tmp_path / "r", margins(3, 4), name="org/third", changed=CHECKED)
    (broken / "record.json").write_text("{")
    submission = submit(tmp_path / "r", tmp_path / "out")
    assert [entry.ready for entry in submission.entries] == [False, True, False]
    assert "value is 0.99, and the rows give 0.75" in submission.entries[0].lacks[0].what
    assert "not JSON" in submission.entries[2].lacks[0].what
    assert [read(each).model.name for each in find(tmp_path / "out")] == ["org/other"]


def judge(root: Path, words: str = "Because of TOKEN it is better.", error: str = "") -> Path:
    """A judge's record with its words beside each row."""
    place = put_record(
        root, margins(3, 4), name="org/judge", changed={"model": {**CHECKED["model"], "family": "judge"}}
    )
    record = read(place)
    rows: list[tuple[Judged, float | None]] = []
    for k, (row, _) in enumerate(read_table_of(place, record)):
        verdicts = tuple(Verdict(shown, "pick", 0 if k < 3 else 1) for shown in ((0, 1), (1, 0)))
        judgment = replace(row.judgment, rewards=None, verdicts=verdicts, rationale=(words, words))
        if error and k == 3:
            judgment = replace(row.judgment, rewards=None, status="failed", error=error)
        rows.append((replace(row, judgment=judgment), float(k < 3)))
    judged = [row for row, _ in rows]
    summary = orders([row.judgment for row in judged])
    from rmbench.metrics.measure import measure
    from rmbench.records.headline import specs

    declared = specs(record)
    values = measure(judged, declared, answer_kind="verdict", totals={None: 4}, seed=0)
    values += judge_values(judged, declared, values, {}, {None: 4}, 0)
    failed = [{"id": row.id, "why": row.judgment.error} for row in judged if row.judgment.status == "failed"]
    data = record.model_dump() | {
        "results": [asdict(value) for value in values],
        "counts": counts_of([row.gold for row in judged], [row.judgment for row in judged]).model_dump(),
        "orders": None if summary is None else asdict(summary),
        "failed": failed,
        "flags": ["failed_rows"] if failed else [],
    }
    data["model"]["answer_kind"] = "verdict"
    write(root, type(record).model_validate(data), judged, {row.id: worth for row, worth in rows})
    assert problems(place) == []
    return place


def test_what_a_judge_wrote_is_left_out_unless_asked(tmp_path: Path) -> None:
    place = judge(tmp_path / "r", "It is better.")
    assert lacks(submit(tmp_path / "r")) == ["the judge's own words stand beside 4 rows"]
    assert lacks(submit(tmp_path / "r", with_rationale=True)) == []
    submission = submit(tmp_path / "r", tmp_path / "out")
    assert submission.ready
    copy = Path(submission.entries[0].written)
    assert [row.judgment.rationale for row in read_rows(copy)] == [()] * 4
    assert problems(copy) == []  # with digests of its own
    before, after = read(place).model_dump(), read(copy).model_dump()
    assert {key for key in before if before[key] != after[key]} == {"judgments", "digests"}
    assert b"better" not in b"".join(path.read_bytes() for path in copy.iterdir())
    kept = submit(tmp_path / "r", tmp_path / "kept", with_rationale=True)
    assert (Path(kept.entries[0].written) / "judgments.parquet").read_bytes() == (
        place / "judgments.parquet"
    ).read_bytes()


def test_no_token_is_handed_in(tmp_path: Path) -> None:
    judge(tmp_path / "r", "words", error=f"the server refused {TOKEN}")
    assert "an access token is in the record" in lacks(submit(tmp_path / "r"))
    submission = submit(tmp_path / "r", tmp_path / "out")
    copy = Path(submission.entries[0].written)
    assert TOKEN.encode() not in b"".join(path.read_bytes() for path in copy.iterdir())
    assert read(copy).failed[0].why == "the server refused ***"
    assert problems(copy) == []
    typed = put_record(tmp_path / "t", margins(3, 4), changed={**CHECKED, "run": {"platform": f"Linux {TOKEN}"}})
    copied = submit(tmp_path / "t", tmp_path / "typed").entries[0]
    assert [lack.what for lack in copied.lacks] == ["an access token is in the record"]
    assert read(copied.written).run.platform == "Linux ***"
    assert TOKEN in read(typed).run.platform
    spoken = judge(tmp_path / "s", f"The key is {TOKEN}.")
    kept = submit(tmp_path / "s", tmp_path / "kept", with_rationale=True)
    assert read_rows(kept.entries[0].written)[0].judgment.rationale == ("The key is ***.",) * 2
    assert [lack.what for lack in kept.entries[0].lacks] == ["an access token is in the record"]
    assert read_rows(spoken)[0].judgment.rationale == (f"The key is {TOKEN}.",) * 2  # the user's own is not touched


def test_other_files_are_not_copied(tmp_path: Path) -> None:
    place = put_record(tmp_path / "r", margins(3, 4), changed=CHECKED)
    (place / "replies.jsonl").write_text("secret texts")
    (place.parent / "check.json").write_text("{}")
    assert lacks(submit(tmp_path / "r")) == ["other files lie beside the record: replies.jsonl"]
    assert submit(tmp_path / "r", tmp_path / "out").ready
    assert not [path for path in (tmp_path / "out").rglob("*.json*") if path.name != "record.json"]


def test_large_files_are_asked_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_record(tmp_path / "r", margins(3, 4), changed=CHECKED)
    monkeypatch.setattr("rmbench.exchange.submission._LARGE", 1000)
    assert {what.split(" has")[0] for what in lacks(submit(tmp_path / "r"))} == {"record.json", "judgments.parquet"}


def test_only_new_and_changed_records_are_looked_at(tmp_path: Path) -> None:
    for root in ("base", "r"):
        put_record(tmp_path / root, margins(3, 4), name="org/old")
        put_record(tmp_path / root, margins(3, 4), name="org/changed", changed=CHECKED)
    put_record(tmp_path / "base", margins(3, 4), name="org/gone")
    put_record(tmp_path / "r", margins(2, 4), name="org/changed", changed=CHECKED)
    put_record(tmp_path / "r", margins(3, 4), name="org/new", changed=CHECKED)
    submission = submit(tmp_path / "r", new_to=tmp_path / "base")
    assert [entry.model.split("@")[0] for entry in submission.entries] == ["org/changed", "org/new"]
    assert [name.split("@")[0] for name in submission.removed] == ["org__gone"]
    assert not submission.ready
    put_record(tmp_path / "r", margins(3, 4), name="org/gone")
    assert submit(tmp_path / "r", new_to=tmp_path / "base").ready


def test_a_full_folder_is_not_written_into(tmp_path: Path) -> None:
    put_record(tmp_path / "r", margins(3, 4), changed=CHECKED)
    submit(tmp_path / "r", tmp_path / "out")
    with pytest.raises(RmbenchError, match="out is not empty: name a new folder"):
        submit(tmp_path / "r", tmp_path / "out")
    (tmp_path / "none").mkdir()
    with pytest.raises(RmbenchError, match=r"holds no record.json"):
        submit(tmp_path / "none")


def test_two_records_of_one_place(tmp_path: Path) -> None:
    for name in ("a", "b"):
        put_record(tmp_path / "r" / name, margins(3, 4), changed=CHECKED)
    with pytest.raises(RmbenchError, match="another record of this folder has the place"):
        submit(tmp_path / "r", tmp_path / "out")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put_record(tmp_path / "r", margins(3, 4))
    assert exit_code("submit", str(tmp_path / "r")) == 1
    assert capsys.readouterr().out.splitlines() == [
        "org/model@0123abcd on pairs@1: NOT READY",
        "  missing: the model was not checked",
        f"    `rmbench check org/model --out {tmp_path / 'r'}` writes the outcome into the record.",
        "0 of 1 records are ready",
    ]
    put_record(tmp_path / "r", margins(3, 4), changed=CHECKED)
    assert exit_code("submit", str(tmp_path / "r"), "--out", str(tmp_path / "out"), "--json") == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["ready"], data["records"][0]["ready"]) == (True, True)
    assert exit_code("submit", str(tmp_path / "r"), "--new-to", str(tmp_path / "out" / "results")) == 0
    assert capsys.readouterr().out == "0 of 0 records are ready\n"
    assert exit_code("submit", str(tmp_path / "r"), "--out", str(tmp_path / "out")) == 2


def test_commands_to_copy_are_quoted(tmp_path: Path) -> None:
    put_record(tmp_path / "r", margins(3, 4), name="org/$(touch x)")
    assert "rmbench check 'org/$(touch x)' --out" in submit(tmp_path / "r").entries[0].lacks[0].do
