"""A policy and its reference through a whole run, to the record and what is printed of it."""

from __future__ import annotations

from pathlib import Path

import pytest

import rmbench
from rmbench.cli import main
from rmbench.engine.judge import judge
from rmbench.metric_spec import MetricSpec
from rmbench.metrics.policies.idealised import preferences
from rmbench.models.open import OpenOptions, open_model
from rmbench.records.store import read_rows, verify
from tests._make import make_example

EXTRA = ["ranking_accuracy", "idealised_ranking_accuracy", "alignment_gap", "answer_tokens"]


def place(results: rmbench.Results, task: str) -> Path:
    """The folder of a task's record."""
    return next(Path(results.out).glob(f"{task}@*"))


def overall(record) -> dict[str, float]:
    return {value.metric: value.value for value in record.results if value.group is None}


def test_a_run_reports_accuracies_gap_and_lengths(pair, tmp_path, capsys, monkeypatch):
    results = rmbench.run(
        str(pair[0]), ["multipref", "reward-bench"], source="sample", out=tmp_path, ref_model=str(pair[1])
    )
    assert results.failed_rows == 0
    for record in results.records:
        folder = place(results, record.task.id)
        assert verify(folder) == []
        assert record.model.family == "implicit"
        assert str(record.model.settings["reference"]).startswith("reference@")
        values, rows = overall(record), read_rows(folder)
        assert set(EXTRA) <= values.keys()
        pairs = [(row, preferences(row, MetricSpec("", "pair"))) for row in rows]
        pairs = [(row, found) for row, found in pairs if found]
        right = [
            sum(row.judgment.parts["logp"][one.preferred] > row.judgment.parts["logp"][one.other] for one in found)
            / len(found)
            for row, found in pairs
        ]
        assert values["ranking_accuracy"] == pytest.approx(sum(right) / len(right))
        gap = values["idealised_ranking_accuracy"] - values["ranking_accuracy"]
        assert values["alignment_gap"] == pytest.approx(gap)
        assert {value.group for value in record.results if value.metric == "answer_tokens"} == {
            None,
            "answer=preferred",
            "answer=other",
        }
    flags = {
        record.task.id: next(v for v in record.results if v.metric == "alignment_gap").flags
        for record in results.records
    }
    assert "one_label" in flags["reward-bench"]
    assert "one_label" not in flags["multipref"]
    monkeypatch.setenv("COLUMNS", "150")
    with pytest.raises(SystemExit) as stopped:
        main(["show", str(place(results, "multipref"))])
    printed = capsys.readouterr().out
    assert stopped.value.code == 0
    assert all(name in printed for name in (*EXTRA, "answer=preferred", "reference=reference@"))


def test_other_models_get_none_of_it_and_a_lone_policy_what_it_can(pair, tmp_path):
    scalar = rmbench.run("baseline:length", "reward-bench", source="sample", out=tmp_path)
    assert not set(EXTRA) & overall(scalar.records[0]).keys()
    free = rmbench.run(str(pair[0]), "reward-bench", source="sample", out=tmp_path, adapter="implicit")
    assert set(EXTRA) & overall(free.records[0]).keys() == {"ranking_accuracy", "answer_tokens"}


def test_text_that_the_template_drops_is_counted(pair, tmp_path):
    file = tmp_path / "template.jinja"
    file.write_text("{% for m in messages %}{{ m.role }}: {{ m.content.split('</think>')[-1] }}\n{% endfor %}")
    policy = open_model(str(pair[0]), OpenOptions(template=file, adapter="implicit"))
    example = make_example("a", "2+2?", "<think>Two and two.</think>4", "<think>Hm.</think>5")
    assert judge("mine", [example], policy).facts()["template_dropped_text"] == 1


def test_rows_that_were_cut_are_counted(pair, tmp_path):
    results = rmbench.run(
        str(pair[0]), "reward-bench", source="sample", out=tmp_path, adapter="implicit", max_length=24
    )
    (record,) = results.records
    assert record.counts.truncated > 0
    assert int(record.run.engine["answer_truncated"]) > 0
