"""Ensembles through whole runs: members live, from records and from files, killed and resumed, and what is refused."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rmbench
from rmbench.errors import RmbenchError
from rmbench.evaluation.combine import Recipe, agreement, combine
from rmbench.models.open import open_model
from rmbench.records.journal import Scoped
from rmbench.records.store import find
from tests._make import exit_code, write_sealed

TASKS = "judgebench,rm-bench"
BOTH = "ensemble:tiny-bt,baseline:length"


def rows(results: rmbench.Results, task: str) -> list[rmbench.Judged]:
    return rmbench.read_rows(results.folder(task))


def run(model: str, out: Path, tasks: str = TASKS, **more: Any) -> rmbench.Results:
    return rmbench.run(model, tasks, source="sample", out=out, **more)


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> tuple[rmbench.Results, rmbench.Results]:
    """Both members' own records."""
    out = tmp_path_factory.mktemp("apart")
    return run("tiny-bt", out), run("baseline:length", out)


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> rmbench.Results:
    return run(BOTH, tmp_path_factory.mktemp("together"))


def test_an_ensemble_is_its_members_records_combined(apart: Any, together: rmbench.Results) -> None:
    names = ["tiny-bt@8e3901bb", "baseline:length@6049ba09"]
    for task in TASKS.split(","):
        said = [[row.judgment for row in rows(one, task)] for one in apart]
        expected = combine(names, said)
        found = [row.judgment for row in rows(together, task)]
        assert [one.id for one in found] == [one.id for one in expected]
        for mine, theirs in zip(found, expected, strict=True):
            assert mine.rewards == pytest.approx(theirs.rewards, abs=1e-6)
        counted = agreement(said, expected)
        record = next(record for record in together.records if record.task.id == task)
        assert counted is not None
        assert record.ensemble is not None
        assert record.ensemble.pairs == counted.pairs
        assert [member.agrees for member in record.ensemble.members] == list(counted.ensemble)
        assert [tuple(member.alike) for member in record.ensemble.members] == list(counted.between)


def test_z_scores_of_the_rows_by_hand(apart: Any, together: rmbench.Results) -> None:
    parts = []
    for one in apart:
        rewards = [np.array(row.judgment.rewards) for row in rows(one, "judgebench")]
        every = np.concatenate(rewards)
        parts.append([(own - every.mean()) / every.std() for own in rewards])
    expected = [(one + other) / 2 for one, other in zip(*parts, strict=True)]
    for row, means in zip(rows(together, "judgebench"), expected, strict=True):
        assert row.judgment.rewards == pytest.approx(means, abs=1e-6)


def test_the_record_says_who_was_combined_and_how(together: rmbench.Results, capsys: Any) -> None:
    model = together.records[0].model
    assert (model.name, model.family) == ("ensemble:tiny-bt,baseline:length", "ensemble")
    assert model.settings == {
        "method": "mean",
        "members": "tiny-bt@8e3901bb, baseline:length@6049ba09",
        "weights": "0.5:0.5",
    }
    assert model.flags == ["baseline", "demo"]
    assert model.revision == model.fingerprint[:8]
    folder = Path(together.out) / "rm-bench@1+sample"
    assert rmbench.read_record(folder) == next(one for one in together.records if one.task.id == "rm-bench")
    assert exit_code("show", str(folder)) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "digests hold" in shown
    assert "members of 150 pairs the ensemble's order is that of tiny-bt@8e3901bb ." in shown
    assert "alike are tiny-bt@8e3901bb and baseline:length@6049ba09 ." in shown


def test_records_are_members_like_any_other(apart: Any, together: rmbench.Results, tmp_path: Path) -> None:
    """A model's folder of records, and one task's."""
    whole = run(f"ensemble:{apart[0].out},baseline:length", tmp_path / "folder")
    for task in TASKS.split(","):
        for mine, theirs in zip(rows(whole, task), rows(together, task), strict=True):
            assert mine.judgment.rewards == pytest.approx(theirs.judgment.rewards, abs=1e-6)
    one = run(f"ensemble:{apart[0].out}/rm-bench@1+sample,{apart[1].out}", tmp_path / "task")
    assert [skipped.why for skipped in one.skipped] == ["tiny-bt: tiny-bt has no rows of it; it has those of rm-bench"]
    assert one.headline("rm-bench").value == together.headline("rm-bench").value


def test_a_record_of_other_rows_is_refused(apart: Any, tmp_path: Path) -> None:
    copy = shutil.copytree(apart[0].out, tmp_path / "copy")
    record = copy / "rm-bench@1+sample" / "record.json"
    data = json.loads(record.read_text())
    data["data"]["digest"] = data["data"]["rows_digest"] = "0" * 64
    write_sealed(record, data)
    with pytest.raises(
        RmbenchError, match=r"tiny-bt: .*rm-bench@1\+sample judged other rows \(digest 00000000, these are"
    ):
        run(f"ensemble:{copy},baseline:length", tmp_path, "rm-bench")
    data["task"]["version"] = 7
    write_sealed(record, data)
    with pytest.raises(RmbenchError, match="is of version 7 of the task, and this is version 1"):
        run(f"ensemble:{copy},baseline:length", tmp_path, "rm-bench")


def test_rows_that_a_record_lacks_are_failed_rows(tmp_path: Path) -> None:
    part = run("tiny-bt", tmp_path / "part", "rm-bench", limit=4)
    whole = run(f"ensemble:{part.out},baseline:length", tmp_path, "rm-bench")
    judged = {row.id for row in rows(part, "rm-bench")}
    for row in rows(whole, "rm-bench"):
        assert (row.judgment.status == "ok") == (row.id in judged)
        if row.id not in judged:
            assert (
                row.judgment.error
                == f"tiny-bt@8e3901bb: not in {part.out}/rm-bench@1+sample,limit=4: it was not judged"
            )
    assert whole.records[0].counts.failed == 6
    assert whole.records[0].ensemble is not None
    assert whole.records[0].ensemble.pairs == 4 * 15


def test_ranks_and_weights(apart: Any, tmp_path: Path) -> None:
    args = {"method": "rank", "weights": "3:1"}
    whole = run(BOTH, tmp_path, model_args=args)
    said = [[row.judgment for row in rows(one, "rm-bench")] for one in apart]
    expected = combine(["a", "b"], said, Recipe("rank", (3.0, 1.0)))
    for mine, theirs in zip(rows(whole, "rm-bench"), expected, strict=True):
        assert mine.judgment.rewards == pytest.approx(theirs.rewards, abs=1e-9)
    assert whole.records[0].model.settings["weights"] == "0.75:0.25"
    assert whole.out != run(BOTH, tmp_path).out  # another recipe is another model


def test_a_single_member_is_that_model(apart: Any, tmp_path: Path) -> None:
    for task in TASKS.split(","):
        alone = run("ensemble:tiny-bt", tmp_path, task)
        assert alone.headline(task).value == apart[0].headline(task).value


def test_a_failed_row_names_its_member(tmp_path: Path, apart: Any) -> None:
    ids = [row.id for row in rows(apart[0], "rm-bench")]
    file = tmp_path / "mine.jsonl"
    lines = [{"task": "rm-bench", "id": id_, "scores": list(range(6))} for id_ in ids[1:]]
    file.write_text("\n".join(map(json.dumps, lines)))
    whole = run(f"ensemble:tiny-bt,scores:{file}", tmp_path, "rm-bench")
    failed = whole.records[0].failed
    assert [(row.id, row.why) for row in failed] == [(ids[0], failed[0].why)]
    assert failed[0].why.startswith("scores:mine@")
    assert failed[0].why.endswith(": no score in mine.jsonl")


def test_a_stopped_ensemble_goes_on(together: rmbench.Results, tmp_path: Path, monkeypatch: Any) -> None:
    """The second member stops the run; the first one's batches are then taken from the journal."""
    commit, done = Scoped.commit, Scoped.done
    committed: list[str] = []
    found: list[int] = []

    def until(count: float) -> Callable[..., None]:
        def stopping(self: Scoped, task: str, digest: str, index: int, payload: Any) -> None:
            if len(committed) >= count:
                raise KeyboardInterrupt
            commit(self, task, digest, index, payload)
            committed.append(task)

        return stopping

    def counting(self: Scoped, task: str, digest: str) -> Any:
        kept = done(self, task, digest)
        found.append(len(kept))
        return kept

    monkeypatch.setattr(Scoped, "commit", until(2))
    with pytest.raises(KeyboardInterrupt):
        run(BOTH, tmp_path, batch_tokens=1024)
    monkeypatch.setattr(Scoped, "commit", until(math.inf))
    monkeypatch.setattr(Scoped, "done", counting)
    resumed = run(BOTH, tmp_path, batch_tokens=1024)
    assert sum(found) == 2
    for task in TASKS.split(","):
        for mine, theirs in zip(rows(resumed, task), rows(together, task), strict=True):
            assert mine.judgment.rewards == pytest.approx(theirs.judgment.rewards, abs=1e-4)


@pytest.mark.parametrize(
    ("model", "args", "message"),
    [
        ("ensemble:tiny-bt,", {}, "with a model in every place"),
        ("ensemble:", {}, "with a model in every place"),
        ("ensemble:tiny-bt,tiny_bt", {}, "tiny-bt@8e3901bb is a member 2 times"),
        ("ensemble:tiny-bt,baseline:lenght", {}, 'Did you mean "length"'),
        (BOTH, {"method": "median"}, "method=median: expected one of mean, rank"),
        (BOTH, {"weights": "1:2:3"}, "expected 2 numbers above 0"),
        (BOTH, {"weights": "1:0"}, "expected 2 numbers above 0"),
        (BOTH, {"weights": "1:x"}, 'expected numbers joined by ":"'),
        (BOTH, {"bos": "none"}, "a ensemble model has no setting 'bos'|an ensemble"),
    ],
)
def test_what_an_ensemble_refuses(model: str, args: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(RmbenchError, match=message):
        run(model, tmp_path, model_args=args)
    assert not find(tmp_path)


def test_what_one_member_cannot_take_the_ensemble_cannot(tmp_path: Path) -> None:
    results = run(BOTH, tmp_path, "mrmbench-easy,judgebench")
    whys = {skipped.task: skipped.why for skipped in results.skipped}
    assert whys == {"mrmbench-easy": "baseline:length: it probes hidden states, which a baseline model does not give"}
    with pytest.raises(RmbenchError, match="it probes hidden states, which an ensemble model does not give"):
        run("ensemble:tiny-bt", tmp_path, "mrmbench-easy")


def test_verdicts_alone_are_not_combined(tmp_path: Path, apart: Any) -> None:
    file = tmp_path / "judge.jsonl"
    row = rows(apart[0], "judgebench")[0]
    line = {"task": "judgebench", "id": row.id, "verdicts": [{"shown": [0, 1], "kind": "pick", "value": 0}]}
    file.write_text(json.dumps(line))
    with pytest.raises(RmbenchError, match="gives neither rewards nor margins"):
        run(f"ensemble:tiny-bt,scores:{file}", tmp_path, "judgebench")


def test_only_runs_take_an_ensemble() -> None:
    with pytest.raises(RmbenchError, match="only `rmbench run` takes it"):
        open_model(BOTH)
    with pytest.raises(RmbenchError, match="an ensemble has none; write @REVISION"):
        rmbench.run(BOTH, TASKS, source="sample", revision="abc")


def test_folders_of_several_models_are_no_member(apart: Any, tmp_path: Path) -> None:
    parent = Path(apart[0].out).parent
    with pytest.raises(RmbenchError, match="holds records of several models"):
        run(f"ensemble:{parent},tiny-bt", tmp_path)
