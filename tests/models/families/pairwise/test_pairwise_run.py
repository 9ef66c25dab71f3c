"""Pairwise models through whole runs: both orders in the record, and beside others in an ensemble."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import rmbench
from rmbench.records.store import read_credits
from tests._make import exit_code

PLAIN = {"dialogue": "plain"}  # short rows


@pytest.fixture(scope="module")
def done(tiny_pairrm: Path, tmp_path_factory: pytest.TempPathFactory) -> rmbench.Results:
    out = tmp_path_factory.mktemp("results")
    return rmbench.run(str(tiny_pairrm), "reward-bench,rmb-bon", model_args=PLAIN, source="sample", out=out)


def test_the_record_tells_both_orders(done: rmbench.Results, capsys: pytest.CaptureFixture[str]) -> None:
    for record in done.records:
        folder = done.folder(record.task.id)
        margins = [np.array(row.judgment.directed) for row in rmbench.read_rows(folder)]
        there = np.concatenate([one[np.triu_indices(len(one), 1)] for one in margins])
        back = np.concatenate([one.T[np.triu_indices(len(one), 1)] for one in margins])
        found = record.orders
        assert found is not None
        assert found.total == len(there)
        assert found.consistent == int((np.sign(there) == -np.sign(back)).sum())
        assert found.first == int(((there > 0) & (back > 0)).sum())
        assert found.second == int(((there < 0) & (back < 0)).sum())
        assert found.first + found.second > 0  # a random model has a position bias
    assert {row.size for row in rows_of(done, "reward-bench")} == {2}
    assert max(row.size for row in rows_of(done, "rmb-bon")) > 2
    for record in done.records:
        assert exit_code("show", str(done.folder(record.task.id))) == 0
    shown = capsys.readouterr().out
    assert shown.count("are judged alike in both orders") == 2
    assert [record.intransitive is None for record in done.records] == [
        record.task.id == "reward-bench" for record in done.records
    ]


def rows_of(done: rmbench.Results, task: str) -> list[rmbench.Judged]:
    return rmbench.read_rows(done.folder(task))


def test_accuracy_is_that_of_the_mean_of_both_orders(done: rmbench.Results) -> None:
    found = read_credits(done.folder("reward-bench"))
    assert set(found.values()) == {0.0, 1.0}
    for row in rows_of(done, "reward-bench"):
        edge = row.gold.relation[0]
        margins = np.array(row.judgment.directed)
        assert found[row.id] == float(margins[edge.i, edge.j] - margins[edge.j, edge.i] > 0)


def test_a_pairwise_model_in_an_ensemble(done: rmbench.Results, tmp_path: Path) -> None:
    whole = rmbench.run(f"ensemble:{done.out},baseline:length", "rmb-bon", source="sample", out=tmp_path)
    other = rmbench.run("baseline:length", "rmb-bon", source="sample", out=tmp_path)
    mine, theirs = rows_of(done, "rmb-bon"), rows_of(other, "rmb-bon")
    margins = [np.array(row.judgment.directed) for row in mine]
    lengths = [np.subtract.outer(row.judgment.rewards, row.judgment.rewards) for row in theirs]

    def scaled(each: list[np.ndarray]) -> list[np.ndarray]:
        skew = np.concatenate([((one - one.T) / 2)[np.triu_indices(len(one), 1)] for one in each])
        return [one / np.sqrt(np.mean(skew**2)) for one in each]

    combined = rows_of(whole, "rmb-bon")
    for row, one, another in zip(combined, scaled(margins), scaled(lengths), strict=True):
        assert np.allclose(row.judgment.directed, (one + another) / 2, atol=1e-6)
    assert whole.records[0].orders is not None
    assert whole.records[0].ensemble is not None
