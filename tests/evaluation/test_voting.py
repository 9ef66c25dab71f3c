"""Several verdicts on one question in a score file become one by the task's rule or the user's."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import rmbench
from rmbench.errors import RmbenchError
from rmbench.evaluation.compatibility import with_voting
from rmbench.models.open import open_model
from rmbench.models.options import OpenOptions
from rmbench.models.protocols import ModelFacts
from rmbench.tasks.registry import get
from rmbench.tasks.sources import load
from rmbench.types import TIE, Edge, Gold, Judged, Judgment, Verdict
from tests._make import write_lines

VOTES = ([0, 0, 0, 1, 1], [1, 0, 1, 1, 0], [0, 0, 1, 1, TIE], [0, TIE, TIE, TIE, 1], [1, 1, 1, 1, 1])


def written(folder: Path, task: str) -> tuple[Path, list[tuple[int, list[int]]]]:
    """A score file with five votes on each row of a sample, and (better candidate, votes) of each."""
    rows, lines = [], []
    for place, example in enumerate(load(get(task), "sample").examples):
        (edge,) = example.gold.relation
        votes = VOTES[place % len(VOTES)]
        rows.append((edge.i if edge.strength > 0 else edge.j, votes))
        verdicts = [
            {"shown": [0, 1], "value": "tie" if value == TIE else value, "vote": vote}
            for vote, value in enumerate(votes)
        ]
        lines.append(json.dumps({"task": task, "id": example.id, "verdicts": verdicts}))
    file = folder / "votes.jsonl"
    file.write_text("\n".join(lines), "utf-8")
    return file, rows


def plurality(votes: list[int]) -> int:
    """The value with the most votes; a tie where two have equally many."""
    counts = {value: sum(vote == value for vote in votes) for value in votes}
    first = [value for value, count in counts.items() if count == max(counts.values())]
    return first[0] if len(first) == 1 else TIE


def accuracy(file: Path, out: Path, **options: str) -> tuple[float | None, dict[str, object]]:
    """The headline and the recorded settings."""
    (record,) = rmbench.run(f"scores:{file}", "vl-rewardbench", source="sample", out=out, model_args=options).records
    by_name = {value.metric: value.value for value in record.results if value.group is None}
    return by_name["accuracy"], dict(record.model.settings)


def test_vl_rewardbench_five_votes_on_all_rows_as_upstream_counts_them(data: Path, tmp_path: Path) -> None:
    """cal.py: a row agrees where more than half of its votes do, rejects where more than half reject; accuracy is
    agree / (agree + reject), overall over all rows, macro over the three groups. Votes are made up, ids are not."""
    index = [json.loads(line) for line in (data / "vl-rewardbench/index.jsonl").read_text("utf-8").splitlines()]
    (tmp_path / "vl-rewardbench").mkdir()
    rows = [{**row, "query": "q", "response": ["a", "b"], "models": ["x", "y"]} for row in index]
    (tmp_path / "vl-rewardbench" / "data.json").write_text(json.dumps(rows), "utf-8")
    rng = np.random.default_rng(11)
    groups: dict[str, list[bool]] = {"hallucination": [], "reasoning": [], "general": []}
    shares, lines = [], []
    for number, row in enumerate(index):
        votes = [int(vote) for vote in rng.integers(0, 2, 5) & rng.integers(0, 2, 5)]
        agree = sum(vote == row["human_ranking"].index(0) for vote in votes)
        start = row["id"].split("_")[0].split("-")[0]
        reasoning, seen = start in ("mathverse", "mmmu"), start in ("hallucination", "RLAIF", "RLHF")
        groups["reasoning" if reasoning else "hallucination" if seen else "general"].append(agree > 2.5)
        shares.append(agree / 5)
        verdicts = [{"shown": [0, 1], "value": vote, "vote": k} for k, vote in enumerate(votes)]
        lines.append({"task": "vl-rewardbench", "id": f"{row['id']}/{number}", "verdicts": verdicts})
    file = write_lines(tmp_path / "votes.jsonl", lines)
    (record,) = rmbench.run(f"scores:{file}", "vl-rewardbench", source=tmp_path, out=tmp_path / "out").records
    found = {(value.metric, value.group): value.value for value in record.results}
    assert record.data.rows == sum(map(len, groups.values())) == 1250
    overall = np.mean([one for each in groups.values() for one in each])
    assert found["accuracy", None] == pytest.approx(overall, abs=1e-12)
    assert found["macro_accuracy", None] == pytest.approx(np.mean([np.mean(each) for each in groups.values()]))
    for name, each in groups.items():
        assert found["accuracy", f"category={name}"] == pytest.approx(np.mean(each), abs=1e-12)
    assert abs(overall - np.mean(shares)) > 0.02  # the mean of the votes is another figure


def test_the_majority_of_a_file_s_votes_counts(tmp_path: Path) -> None:
    file, rows = written(tmp_path, "vl-rewardbench")
    right = [plurality(votes) == better for better, votes in rows]
    each = [sum(vote == better for vote in votes) / 5 for better, votes in rows]
    assert sum(right) != sum(each)
    found, settings = accuracy(file, tmp_path / "a")
    assert found == pytest.approx(sum(right) / len(rows))
    assert (settings["voting"], settings["voting_unparsed"]) == ("majority", "abstain")


def test_a_file_with_one_verdict_a_question_names_no_rule(tmp_path: Path) -> None:
    file, _ = written(tmp_path, "vl-rewardbench")
    lines = [json.loads(line) for line in file.read_text("utf-8").split("\n")]
    file.write_text("\n".join(json.dumps({**line, "verdicts": line["verdicts"][:1]}) for line in lines), "utf-8")
    assert "voting" not in accuracy(file, tmp_path / "a")[1]


def test_the_user_s_rule_goes_first(tmp_path: Path) -> None:
    file, rows = written(tmp_path, "vl-rewardbench")
    leads = [sum((vote == better) - (vote == 1 - better) for vote in votes) for better, votes in rows]
    found, settings = accuracy(file, tmp_path / "a", voting="mean")
    assert found == pytest.approx(sum(lead > 0 for lead in leads) / len(rows))
    assert settings["voting"] == "mean"
    with pytest.raises(RmbenchError, match="voting"):
        open_model(f"scores:{file}", OpenOptions(model_args={"voting": "most"}))


def test_a_task_declares_its_rule() -> None:
    votes = tuple(Verdict((0, 1), "pick", value, vote=vote) for vote, value in enumerate((0, 0, 1)))
    rows = [Judged("r", 2, Gold((Edge(0, 1),)), Judgment("r", verdicts=votes))]
    task = get("vl-rewardbench").model_copy(update={"voting": "each"})
    facts = ModelFacts("m", "0", "precomputed")
    assert with_voting(facts, task, rows).settings["voting"] == "each"
    judge = replace(facts, settings={"voting": "task", "voting_unparsed": "count"})
    assert with_voting(judge, task, rows).settings == {"voting": "each", "voting_unparsed": "count"}
    user = replace(facts, settings={"voting": "mean"})
    assert with_voting(user, task, rows) is user
    with_one = [Judged("r", 2, Gold((Edge(0, 1),)), Judgment("r", verdicts=votes[:1]))]
    assert with_voting(facts, task, with_one) is facts


def test_one_record_has_one_rule(tmp_path: Path) -> None:
    """Three of five votes are the annotators' own label on every row: no figure of the record is between."""
    lines = []
    for example in load(get("pandalm"), "sample").examples:
        labels = [TIE if e.strength == 0 else e.i if e.strength > 0 else e.j for e in example.gold.relation]
        label = max(sorted(set(labels)), key=labels.count)
        values = [label, label, label, *[other for other in (0, 1, TIE) if other != label]]
        verdicts = [{"shown": [0, 1], "value": "tie" if value == TIE else value} for value in values]
        lines.append(json.dumps({"task": "pandalm", "id": example.id, "verdicts": verdicts}))
    file = tmp_path / "votes.jsonl"
    file.write_text("\n".join(lines), "utf-8")
    (record,) = rmbench.run(f"scores:{file}", "pandalm", source="sample", out=tmp_path / "out").records
    found = {value.metric: value.value for value in record.results if value.group is None}
    assert (found["accuracy"], found["macro_f1"]) == (1.0, 1.0)
