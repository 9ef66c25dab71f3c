"""Inference-time probing and rows too long for their task, with the bundled model on the bundled samples."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import rmbench
from rmbench import resources
from rmbench.engine.judge import judge
from rmbench.evaluation.compatibility import for_task
from rmbench.evaluation.probe import probe
from rmbench.models.open import OpenOptions, open_model
from rmbench.models.protocols import Scorer
from rmbench.records.record import Record
from rmbench.tasks.registry import get
from rmbench.tasks.sources import load
from tests._make import exit_code

CAP = 26  # tokens; about half of the sample's rows are longer
SAMPLE = resources.tasks() / "samples" / "mrmbench-easy"
DIMENSIONS = ("harmlessness", "helpfulness", "correctness", "coherence", "complexity", "verbosity")


def by_task(results: rmbench.Results) -> dict[str, Record]:
    return {record.task.id: record for record in results.records}


def texts(split: str) -> dict[str, tuple[str, int]]:
    """Row id -> its text and label, read from the sample's files by hand."""
    found: dict[str, tuple[str, int]] = {}
    for dimension in DIMENSIONS:
        rows = json.loads((SAMPLE / "mrm_easy" / dimension / f"{split}.json").read_text())
        found |= {f"{dimension}/{k}": (row["input"] + row["output"], row["label"]) for k, row in enumerate(rows)}
    return found


def lengths(split: str) -> dict[str, int]:
    """Row id -> tokens by the bundled tokenizer, the one at the beginning included."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(Path(rmbench.__file__).parent / "bundled" / "tiny-bt")
    return {
        name: 1 + len(tokenizer(text, add_special_tokens=False)["input_ids"])
        for name, (text, _) in texts(split).items()
    }


def capped(tmp_path: Path, cap: int) -> Path:
    """A user's copy of the task whose rows may have `cap` tokens."""
    text = (resources.tasks() / "probing" / "mrmbench-easy.toml").read_text()
    for old, new in (
        ('id = "mrmbench-easy"', 'id = "mrm-short"'),
        ('aliases = ["mrm-easy"]', ""),
        ("max_tokens = 2048", f"max_tokens = {cap}"),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    shutil.copytree(SAMPLE, tmp_path / "samples" / "mrm-short")
    path = tmp_path / "mrm-short.toml"
    path.write_text(text)
    return path


def test_shares_are_of_all_candidates_and_sum_to_one(tmp_path: Path) -> None:
    results = probe("tiny-bt", "rm-bench,rmb-bon", source="sample", out=tmp_path)
    for record in results.records:
        found = record.probing
        assert found is not None
        assert set(found.shares) == set(DIMENSIONS)
        assert sum(found.shares.values()) == pytest.approx(1)
        assert found.low_share is not None
        assert 0 <= found.low_share <= 1
        stored = rmbench.read_rows(results.folder(record.task.id))
        assert found.n == sum(row.size for row in stored)
        assert all("hidden" not in row.judgment.parts for row in stored)
        assert (found.task, found.fit_n, found.held_out) == ("mrmbench-easy@1", 36, 18)
        assert rmbench.read_record(results.folder(record.task.id)) == record


def test_figures_are_those_of_the_definition(tmp_path: Path) -> None:
    """The probing task read by itself, against plain loops over its states."""
    model = for_task(open_model("tiny-bt", OpenOptions()), get("mrmbench-easy"))
    assert isinstance(model, Scorer)
    loaded = load(get("mrmbench-easy"), "sample")
    train, test = (
        np.array([j.parts["hidden"][0] for j in judge("t", rows, model, render="raw").judgments])
        for rows in (loaded.fit, loaded.examples)
    )
    mean, sd = train.mean(axis=0), train.std(axis=0)
    labels = {example.id: dict(example.gold.labels) for example in loaded.fit}
    centroids = {}
    for name in DIMENSIONS:
        for label in (0, 1):
            of = [k for k, example in enumerate(loaded.fit) if labels[example.id].get(name) == label]
            centroids[name, label] = np.mean([(train[k] - mean) / sd for k in of], axis=0)
    distances = [
        [
            min(float(np.linalg.norm((h - mean) / sd - centroids[name, label])) for label in (0, 1))
            for name in DIMENSIONS
        ]
        for h in test
    ]
    nearest = [DIMENSIONS[int(np.argmin(row))] for row in distances]

    found = by_task(probe("tiny-bt", "mrmbench-easy", source="sample", out=tmp_path))["mrmbench-easy"].probing
    assert found is not None
    assert found.shares == pytest.approx({name: nearest.count(name) / len(nearest) for name in DIMENSIONS})
    assert found.temperature == pytest.approx(np.median(distances), rel=1e-4)
    assert found.limit == pytest.approx(np.quantile(np.min(distances, axis=1), 0.95), rel=1e-4)


def test_a_probed_record_is_the_ordinary_one_with_probing(tmp_path: Path) -> None:
    probed = [by_task(probe("tiny-bt", "rm-bench", source="sample", out=tmp_path / name)) for name in "ab"]
    first, second = (found["rm-bench"] for found in probed)
    assert first.probing == second.probing
    plain = by_task(rmbench.run("tiny-bt", "rm-bench", source="sample", out=tmp_path / "c"))["rm-bench"]
    assert plain.probing is None
    assert first.results == plain.results
    assert first.judgments == plain.judgments
    assert first.model.fingerprint == plain.model.fingerprint


def test_an_old_record_has_no_probing(tmp_path: Path) -> None:
    (record,) = rmbench.run("fake:oracle", "rm-bench", source="sample", out=tmp_path).records
    data = record.model_dump(mode="json")
    del data["probing"]
    assert Record.model_validate(data) == record


def test_a_stopped_run_leaves_no_batch_without_states(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rmbench.records.journal import Journal

    # A run that never finishes its journal is one that was stopped after its last batch.
    monkeypatch.setattr(Journal, "release", lambda self: None)
    stopped = rmbench.run("tiny-bt", "rm-bench", source="sample", out=tmp_path)
    assert (Path(stopped.out) / ".journal.sqlite").exists()
    found = by_task(probe("tiny-bt", "rm-bench", source="sample", out=tmp_path))["rm-bench"].probing
    assert found is not None
    assert found.n > 0


def test_rows_over_the_limit_are_excluded_and_counted(tmp_path: Path) -> None:
    test, train = lengths("test"), lengths("train")
    long = {name for name, length in test.items() if length > CAP}
    expected = long | {f"fit/{name}" for name, length in train.items() if length > CAP}
    assert 0 < len(long) < len(test)

    results = rmbench.run("tiny-bt", str(capped(tmp_path, CAP)), source="sample", out=tmp_path / "out")
    (record,) = results.records
    assert {row.id for row in record.data.excluded} == expected
    assert all(f"more than {CAP}" in row.why for row in record.data.excluded)
    kept = len(test) - len(long)
    assert record.data.rows == record.counts.judged == kept
    stored = rmbench.read_rows(results.folder("mrm-short"))
    assert {row.id for row in stored} == test.keys() - long
    of = {value.metric: value for value in record.results if value.group is None}
    for name in DIMENSIONS:
        for kind in ("probe", "logistic"):
            left = [row for row in test if row.startswith(name) and row not in long]
            assert of[f"{kind}_{name}"].n == len(left)
    assert of["probe_accuracy"].coverage == 1


def test_a_capped_probing_task_fits_on_what_is_left(tmp_path: Path) -> None:
    cap = 52  # one row of each split is longer, and both classes of every dimension are left
    probes = str(capped(tmp_path, cap))
    found = by_task(probe("tiny-bt", "rm-bench", probes=probes, source="sample", out=tmp_path / "out"))
    facts = found["rm-bench"].probing
    assert facts is not None
    assert facts.task == "mrm-short@1"
    assert facts.fit_n == sum(length <= cap for length in lengths("train").values()) == 35
    assert facts.held_out == sum(length <= cap for length in lengths("test").values()) == 17


def test_a_class_that_is_excluded_whole_cannot_be_fitted(tmp_path: Path) -> None:
    with pytest.raises(rmbench.RmbenchError, match="all rows of complexity have label 0"):
        probe("tiny-bt", "rm-bench", probes=str(capped(tmp_path, CAP)), source="sample", out=tmp_path / "out")


def test_the_bundled_probing_tasks_declare_upstreams_limit() -> None:
    declared = {task.id: task.max_tokens for task in rmbench.select_tasks("all") if task.max_tokens is not None}
    assert declared == {"mrmbench-easy": 2048, "mrmbench-hard": 2048}


def test_what_cannot_be_probed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(rmbench.RmbenchError, match="a fake model does not give"):
        probe("fake:oracle", "rm-bench", source="sample", out=tmp_path / "out")
    with pytest.raises(rmbench.RmbenchError, match="rm-bench is no probing task"):
        probe("tiny-bt", "rm-bench", probes="rm-bench", source="sample", out=tmp_path / "out")
    with pytest.raises(rmbench.RmbenchError, match="selects 2 tasks"):
        probe("tiny-bt", "rm-bench", probes="mrmbench-*", source="sample", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["probe", "--model", "tiny-bt", "--tasks", "rm-bench,tifa", "--source", "sample", "--out", str(tmp_path)]
    assert exit_code(*given, "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    (task,) = printed["tasks"]
    assert task["task"] == "rm-bench"
    assert task["probing"]["definition"] == "rmbench-centroids-1"
    assert printed["skipped"][0]["task"] == "tifa"
    assert exit_code(*given) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in DIMENSIONS)
    assert "skipped tifa" in shown
