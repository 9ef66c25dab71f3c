"""A direction in the objectives of a model, in a run and over its records, against sums written out by hand."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rmbench
from rmbench.errors import RmbenchError
from rmbench.evaluation.objectives import direction_in, parse_weights
from rmbench.models.protocols import Batch, Encoded, FloatArray, ModelFacts, Request
from rmbench.records.store import find, verify
from rmbench.types import Judgment, text_of
from tests._make import exit_code

NAMES = ("helpfulness", "verbosity", "safety")
TASKS = "rm-bench,rag-rewardbench,reward-bench-2"
WEIGHTS = {"helpfulness": 1.0, "verbosity": -0.3}


def objectives_of(text: str) -> list[float]:
    """Three figures of a text, exact in float32."""
    number = int(hashlib.sha256(text.encode()).hexdigest()[:4], 16)
    return [number / 1024, len(text) / 8, (number % 97) / 8]


class Multi:
    """A model of three objectives, whose own reward is the first. It counts its forward passes."""

    answers = frozenset({"reward"})
    pad_id = 0

    def __init__(self, settings: Mapping[str, Any] | None = None, broken: str = "") -> None:
        named = {"objectives": ",".join(NAMES)} if settings is None else settings
        self.facts = ModelFacts("org/multi", "abc123", "callable", settings=named, fingerprint="f" * 64)
        self.broken = broken
        self.forwards = 0

    def encode(self, requests: Sequence[Request]) -> list[Encoded]:
        texts = [text_of(request.conversation) for request in requests]
        return [Encoded(hashlib.sha256(text.encode()).hexdigest(), len(text), payload=text) for text in texts]

    def forward(self, batch: Batch) -> Mapping[str, FloatArray]:
        self.forwards += 1
        texts = [str(row.payload) for row in batch.rows]
        objectives = np.array([objectives_of(text) for text in texts], dtype=np.float32)
        for row, text in enumerate(texts):
            if self.broken and self.broken in text:
                objectives[row] = np.nan
        return {"reward": objectives[:, :1], "objectives": objectives}


def run(out: Path, model: Multi | None = None, **options: Any) -> rmbench.Results:
    chosen: Any = model or Multi()
    return rmbench.run(chosen, TASKS, source="sample", out=out, **options)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records of the model itself."""
    return Path(run(tmp_path_factory.mktemp("stored")).out)


def rows_of(folder: str | Path) -> dict[str, rmbench.Judged]:
    return {f"{place.name}/{row.id}": row for place in find(Path(folder)) for row in rmbench.read_rows(place)}


def test_rewards_are_the_weighted_sums(stored: Path, tmp_path: Path) -> None:
    model = Multi()
    directed = run(tmp_path, model, objective_weights=WEIGHTS)
    before, after = rows_of(stored), rows_of(directed.out)
    assert before.keys() == after.keys()
    changed = 0
    for name, row in after.items():
        objectives = before[name].judgment.parts["objectives"]
        assert row.judgment.parts == before[name].judgment.parts
        assert row.judgment.rewards == tuple(one[0] - 0.3 * one[1] for one in objectives)
        changed += row.judgment.rewards != before[name].judgment.rewards
    assert changed == len(after)
    # The share of pairs that the sums put in the right order, counted here.
    right = []
    for name, row in after.items():
        rewards = row.judgment.rewards or ()
        if name.startswith("rag-rewardbench"):
            right += [rewards[edge.i] > rewards[edge.j] for edge in row.gold.relation]
    assert directed.headline("rag-rewardbench").value == pytest.approx(sum(right) / len(right))
    assert read(directed.out, "rm-bench").results != read(stored, "rm-bench").results


def read(folder: str | Path, task: str) -> rmbench.Record:
    return next(rmbench.read_record(place) for place in find(Path(folder)) if place.name.startswith(f"{task}@"))


@pytest.mark.parametrize("given", [WEIGHTS, "verbosity=-0.3, helpfulness=1", [1, -0.3, 0], "1,-0.3,0"])
def test_rescoring_is_running_without_a_forward(stored: Path, tmp_path: Path, given: Any) -> None:
    directed = run(tmp_path / "run", Multi(), objective_weights=given)
    rescored = rmbench.rescore(stored, given, out=tmp_path / "rescored", command="rmbench rescore")
    for mine in rescored.records:
        theirs = next(record for record in directed.records if record.task.id == mine.task.id)
        assert mine.results == theirs.results
        assert mine.model == theirs.model
        assert mine.counts == theirs.counts
        assert mine.data == theirs.data
        assert mine.flags == theirs.flags
        assert mine.judgments == theirs.judgments  # the same bytes
        assert mine.run.engine["rescored_from"] == read(stored, mine.task.id).judgments.sha256
    assert len(rescored.records) == 3
    assert all(verify(place) == [] for place in find(tmp_path / "rescored"))


def test_no_model_is_opened(stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> None:
        raise AssertionError("a model was asked")

    monkeypatch.setattr(Multi, "forward", forbidden)
    monkeypatch.setattr("rmbench.models.open.open_model", forbidden)
    monkeypatch.setattr("rmbench.engine.judge.judge", forbidden)
    assert len(rmbench.rescore(stored, WEIGHTS, out=tmp_path).records) == 3


def test_the_models_own_direction_gives_its_own_values(stored: Path, tmp_path: Path) -> None:
    """Also of a limited run in which rows fail, whose coverage is under 1."""
    short = run(tmp_path / "short", Multi(broken="water"), limit=4)
    assert short.failed_rows > 0
    for folder in (stored, Path(short.out)):
        rescored = rmbench.rescore(folder, "helpfulness=1", out=tmp_path / folder.parent.name / "again")
        for mine in rescored.records:
            theirs = read(folder, mine.task.id)
            assert mine.results == theirs.results
            assert mine.counts == theirs.counts
            assert mine.failed == theirs.failed
    assert any(value.coverage < 1 for record in short.records for value in record.results)


def test_a_direction_has_a_folder_and_a_fingerprint_of_its_own(stored: Path, tmp_path: Path) -> None:
    one, other = (
        rmbench.rescore(stored, weights, out=stored.parent if weights == WEIGHTS else tmp_path).records[0].model
        for weights in (WEIGHTS, "safety=1")
    )
    own = read(stored, "rm-bench").model
    assert one.name == other.name == own.name
    assert len({one.revision, other.revision, own.revision}) == 3
    assert len({one.fingerprint, other.fingerprint, own.fingerprint}) == 3
    assert one.revision.startswith("abc123-w")
    assert one.settings == {**own.settings, "objective_weights": "helpfulness=1,verbosity=-0.3"}
    beside = sorted(place.name for place in stored.parent.iterdir())
    assert beside == ["org__multi@abc123", f"org__multi@{one.revision}"]
    compared = rmbench.compare(stored, stored.parent / beside[1])
    assert "rm-bench" in compared.to_markdown()


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("helpfullness=1", r"no objective 'helpfullness': it has helpfulness, verbosity, safety\..*\"helpfulness\""),
        ("1,2", "2 weights were given for the 3 objectives of org/multi: helpfulness, verbosity, safety"),
        ("safety=0", "not all of them 0"),
        ("safety=nan", "finite"),
    ],
)
def test_weights_that_do_not_fit(stored: Path, tmp_path: Path, weights: str, message: str) -> None:
    with pytest.raises(RmbenchError, match=message):
        rmbench.rescore(stored, weights, out=tmp_path)
    model = Multi()
    with pytest.raises(RmbenchError, match=message):
        run(tmp_path, model, objective_weights=weights)
    assert (model.forwards, list(tmp_path.iterdir())) == (0, [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "neither"),
        ("a=1,2", "neither"),
        ("a=one", "'one' in 'a=one' is no number"),
        ("a=1,a=2", "weighs 'a' twice"),
    ],
)
def test_text_that_is_no_direction(text: str, message: str) -> None:
    with pytest.raises(RmbenchError, match=message):
        parse_weights(text)


def test_models_and_records_without_objectives(tmp_path: Path) -> None:
    plain = run(tmp_path / "plain", Multi(settings={}))
    with pytest.raises(RmbenchError, match="org/multi has no objectives to weigh"):
        rmbench.rescore(plain.out, WEIGHTS, out=tmp_path)
    with pytest.raises(RmbenchError, match="org/multi has no objectives to weigh"):
        run(tmp_path, Multi(settings={}), objective_weights=WEIGHTS)
    named = run(tmp_path / "named", Multi(settings={"objectives": "a,b"}))
    with pytest.raises(RmbenchError, match=r"@1\+sample: row '.*' has 3 objectives, but the model names 2: a, b"):
        rmbench.rescore(named.out, "1,1", out=tmp_path)


def test_folders_that_cannot_be_weighed(stored: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(RmbenchError, match="here are 0"):
        rmbench.rescore(tmp_path / "empty", WEIGHTS, out=tmp_path)
    first = rmbench.rescore(stored, WEIGHTS, out=tmp_path)
    with pytest.raises(RmbenchError, match=r"has the direction helpfulness=1,verbosity=-0\.3 already"):
        rmbench.rescore(first.out, "safety=1", out=tmp_path)
    rmbench.rescore(stored, "safety=1", out=tmp_path)
    with pytest.raises(RmbenchError, match="here are 2"):
        rmbench.rescore(tmp_path, WEIGHTS, out=tmp_path)


def test_a_direction_over_one_judgment() -> None:
    direction = direction_in([0.5, -1, 2], {"objectives": "a, b,c"}, "m")
    assert str(direction) == "a=0.5,b=-1,c=2"
    judgment = Judgment("1", rewards=(9.0, 9.0), parts={"objectives": ((1.0, 2.0, 3.0), (4.0, 0.0, -1.0))})
    assert direction.judgment(judgment).rewards == (0.5 - 2 + 6, 2 - 2)
    failed = Judgment("2", status="failed", error="nan")
    assert direction.judgment(failed) is failed
    with pytest.raises(RmbenchError, match="row '3' has no objectives"):
        direction.judgment(Judgment("3", rewards=(1.0,)))
    # Exact in any order: a plain sum of these is 0.
    assert direction_in([1, 1, 1], {"objectives": "a,b,c"}, "m").reward([1e17, 1.0, -1e17]) == 1.0
    assert math.isfinite(direction.reward([1e300, 1e300, 0.0]))


def test_the_command_line(stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("rescore", str(stored), "--objective_weights=-1,0,0.5", "--out", str(tmp_path), "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["model"] == "org/multi"
    assert {row["task"] for row in answer["results"]} == set(TASKS.split(","))
    model = rmbench.read_record(find(Path(answer["out"]))[0]).model
    assert model.settings["objective_weights"] == "helpfulness=-1,safety=0.5"
    assert exit_code("rescore", str(stored), "--objective-weights", "safty=1", "--out", str(tmp_path)) == 2
    assert 'Did you mean "safety"' in capsys.readouterr().err
    arguments = ["--tasks", "rm-bench", "--source", "sample", "--out", str(tmp_path)]
    assert exit_code("run", "--model", "fake:coin", "--objective-weights", "safety=1", *arguments) == 2
    assert "no objectives to weigh" in capsys.readouterr().err
