"""Texts come from the task's source; other rows than the record's are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

import rmbench
from rmbench.errors import AbsentDataError, RmbenchError
from rmbench.records.store import read, rewrite
from rmbench.view import view
from tests._make import write_lines

ROWS = [{"prompt": f"Question {k}?", "chosen": f"Yes, {k} it is.", "rejected": f"No {k}."} for k in range(4)]


@pytest.fixture(scope="module")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sampled")
    return rmbench.run(model="baseline:length", tasks="rm-bench", source="sample", out=folder).folder("rm-bench")


def own(folder: Path, rows: list[dict[str, str]] = ROWS) -> tuple[Path, Path]:
    """A user's rows, and the record of a model on them."""
    data = write_lines(folder / "mine.jsonl", rows)
    results = rmbench.run(model="baseline:length", data=str(data), out=folder / "results")
    return data, results.folder(results.records[0].task.id)


def test_a_record_of_the_sample_has_the_samples_texts(sampled: Path) -> None:
    shown = view(sampled)
    assert shown.note == ""
    first = shown.rows[0]
    assert first.id == "chat/1"
    assert first.example is not None
    assert len(first.example.candidates) == first.judged.size == 6
    assert first.example.prompt[0].text


def test_records_of_other_rows_are_refused_with_both_digests(sampled: Path, tmp_path: Path) -> None:
    with pytest.raises(RmbenchError) as refused:
        view(own(tmp_path)[1], data=write_lines(tmp_path / "elsewhere" / "mine.jsonl", ROWS[1:]))
    record = read(own(tmp_path)[1])
    assert record.data.digest_of_rows in str(refused.value)
    assert str(refused.value).count("digest ") == 2
    assert "--source auto|hub|sample|FOLDER" in str(refused.value)


def test_rows_of_ones_own_are_joined_by_data(tmp_path: Path) -> None:
    data, place = own(tmp_path)
    without = view(place)
    assert "--data FILE" in without.note
    assert {row.example for row in without.rows} == {None}
    shown = view(place, data=data)
    assert shown.note == ""
    assert [row.example.candidates[0].text for row in shown.rows if row.example] == [row["chosen"] for row in ROWS]


def test_data_of_another_task_are_refused(sampled: Path, tmp_path: Path) -> None:
    with pytest.raises(RmbenchError, match="is of the task rm-bench, and --data is mine"):
        view(sampled, data=own(tmp_path)[0])


def test_rows_are_shown_without_texts_where_the_source_is_absent(
    sampled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = view(sampled, source=tmp_path)
    assert len(shown.rows) == 10
    assert {row.example for row in shown.rows} == {None}
    assert shown.note.startswith("Without texts: rm-bench: no file of this task was found.")
    assert "rmbench fetch rm-bench" in shown.note


def test_a_source_that_is_none_is_an_error(sampled: Path) -> None:
    with pytest.raises(RmbenchError, match=r'source "smaple" is neither .* Did you mean "sample"\?') as wrong:
        view(sampled, source="smaple")
    assert not isinstance(wrong.value, AbsentDataError)


def test_a_row_that_the_source_has_otherwise_is_an_error(tmp_path: Path) -> None:
    data, place = own(tmp_path)
    changed = own(tmp_path / "other", [{**row, "prompt": f"{row['prompt']} Say."} for row in ROWS])
    record = read(place)
    rewrite(place, record.model_copy(update={"data": read(changed[1]).data}))
    shown = view(place, data=changed[0])  # the digest of a record is believed, for it is sealed
    assert shown.note == ""
    with pytest.raises(RmbenchError, match="are not those"):
        view(place, data=data)


def test_rows_of_files_without_texts_are_shown_without(data: Path) -> None:
    place = next((Path(__file__).parents[2] / "results").glob("project-themis__Themis-RM-0.6B*/code-rewardbench@1"))
    shown = view(place, source=data, worst=2)
    assert {row.example for row in shown.rows} == {None}
    assert shown.note.startswith("Without texts: the files at hand hold ids, groups and labels alone.")
    assert "rmbench fetch code-rewardbench" in shown.note
