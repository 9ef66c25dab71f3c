"""A margin model on every benchmark: best-of-n by the mean margin, and what needs scores is left out and says so."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

import rmbench
from rmbench import resources
from rmbench.cli import main
from rmbench.records.store import find
from rmbench.types import Judged


@pytest.fixture(scope="module")
def everywhere(tmp_path_factory: pytest.TempPathFactory, save_gpm: Any) -> rmbench.Results:
    folder = tmp_path_factory.mktemp("everywhere")
    model = save_gpm(folder / "model", max_position_embeddings=4096)
    return rmbench.run(str(model), "all", source="sample", out=folder / "out", batch_tokens=16384)


def rows_of(results: rmbench.Results, task: str) -> tuple[Judged, ...]:
    (folder,) = (place for place in find(Path(results.out)) if place.name.startswith(f"{task}@"))
    return tuple(rmbench.read_rows(folder))


def value_of(results: rmbench.Results, task: str, metric: str) -> Any:
    record = next(record for record in results.records if record.task.id == task)
    return next(value for value in record.results if value.metric == metric and value.group is None)


def test_every_text_task_is_judged(everywhere: rmbench.Results) -> None:
    text = {task.id for task in rmbench.select_tasks("all") if task.modality == "text"}
    assert {record.task.id for record in everywhere.records} == text
    assert everywhere.failed_rows == 0
    assert all("the model takes text" in item.why for item in everywhere.skipped)
    schema = json.loads((resources.schemas() / "run.schema.json").read_text())
    jsonschema.validate(everywhere.to_dict(), schema)
    for record in everywhere.records:
        assert "prompt_not_prefix" not in record.run.engine


def test_ties_need_scores_and_the_mean_without_them_is_null(everywhere: rmbench.Results) -> None:
    ties, mean = (value_of(everywhere, "reward-bench-2", metric) for metric in ("ties", "subset_mean"))
    assert (ties.value, mean.value) == (None, None)
    assert "needs_scores" in ties.flags
    assert "no_ties" in mean.flags


def test_best_of_n_goes_by_the_mean_margin(everywhere: rmbench.Results) -> None:
    """RewardBench 2's factuality by hand: 1 where the right answer, the first, has the greatest row sum alone."""
    rows = [row for row in rows_of(everywhere, "reward-bench-2") if row.groups.get("subset") == "Factuality"]
    right = []
    for row in rows:
        best = {edge.i for edge in row.gold.relation}
        sums = np.array(row.judgment.directed).sum(axis=1)
        right.append(float(int(sums.argmax()) in best))
    assert len(rows) > 1
    assert value_of(everywhere, "reward-bench-2", "factuality").value == pytest.approx(np.mean(right))


def test_circles_of_every_task_are_those_of_its_rows(everywhere: rmbench.Results) -> None:
    counted = 0
    for record in everywhere.records:
        cyclic = total = 0
        for row in rows_of(everywhere, record.task.id):
            s = row.judgment.directed or ()
            for i, j, k in itertools.combinations(range(min(len(s), 8)), 3):
                cyclic += (s[i][j] > 0) == (s[j][k] > 0) == (s[k][i] > 0)
                total += 1
        if max(row.size for row in rows_of(everywhere, record.task.id)) > 8:
            continue  # the loop above is cut short there
        if total == 0:
            assert record.intransitive is None
            continue
        assert record.intransitive is not None
        assert (record.intransitive.cyclic, record.intransitive.total) == (cyclic, total), record.task.id
        counted += cyclic
    assert counted > 0


def test_the_command_says_how_many_go_round(tmp_path: Path, save_gpm: Any, capsys: pytest.CaptureFixture[str]) -> None:
    model = save_gpm(tmp_path / "model", max_position_embeddings=4096)
    with pytest.raises(SystemExit) as stopped:
        main(["run", "-m", str(model), "-t", "rm-bench", "--source", "sample", "--out", str(tmp_path / "out")])
    printed = capsys.readouterr()
    assert stopped.value.code == 0
    assert "of 200 triples intransitive (." in printed.out
    assert "gpm (config.json names LlamaForCausalLM, the checkpoint holds value_head.weight [6, 32]" in printed.err
