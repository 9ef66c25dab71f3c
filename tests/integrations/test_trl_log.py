"""When benchmarks are run in training, and where their values go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import rmbench
from rmbench.integrations.trl import RewardBenchmark
from tests.integrations.conftest import brief

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.mark.parametrize(
    ("when", "steps"),
    [
        ({"every": 2}, [2, 4]),
        ({"every": 3}, [3, 4]),
        ({"every": 3, "at_end": False}, [3]),
        ({"every": 100, "at_start": True}, [0, 4]),
        ({"every": "epoch"}, [12, 24, 25]),
    ],
)
def test_when_it_evaluates(when: dict[str, Any], steps: list[int], tokenizers: dict[str, Any], tmp_path: Path) -> None:
    callback = RewardBenchmark("rm-bench", source="sample", limit=2, **when)
    trained = brief(tokenizers, tmp_path, [callback], max_steps=25 if when["every"] == "epoch" else 4)
    assert list(trained.benchmarks) == steps


def test_rows_of_ones_own(tokenizers: dict[str, Any], tmp_path: Path) -> None:
    """Held-out pairs, read as TRL reads its own."""
    data = tmp_path / "held-out.jsonl"
    data.write_text('{"q": "Is snow cold?", "chosen": "Yes.", "rejected": "No."}\n' * 3)
    callback = RewardBenchmark(data=data, columns={"prompt": "q"}, every=2)
    trained = brief(tokenizers, tmp_path / "training", [callback], max_steps=4)
    assert all({"rmbench/held-out", "rmbench/held-out/low"} <= set(values) for values in trained.benchmarks.values())
    assert list(trained.benchmarks) == [2, 4]


def test_training_that_stops_early_is_evaluated_at_its_end(tokenizers: dict[str, Any], tmp_path: Path) -> None:
    import transformers

    class Stop(transformers.TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            control.should_training_stop = state.global_step == 3

    callback = RewardBenchmark("rm-bench", source="sample", limit=2, every=100)
    assert list(brief(tokenizers, tmp_path, [callback, Stop()]).benchmarks) == [3]


def test_values_go_to_the_reporters_and_into_the_history(tokenizers: dict[str, Any], tmp_path: Path) -> None:
    """As the trainer's own, whose entries of the same step and of longer stretches stay whole."""
    import transformers

    class Reporter(transformers.TrainerCallback):  # type: ignore[misc]
        told: list[tuple[int, dict[str, float]]] = []

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **more: Any) -> None:
            self.told.append((state.global_step, dict(logs)))

    steps = {"max_steps": 8, "logging_steps": 4}
    plain = brief(tokenizers, tmp_path / "plain", [], **steps)
    callback = RewardBenchmark("rm-bench,rmb-bon", source="sample", every=2, groups=True)
    watched = brief(tokenizers, tmp_path / "watched", [callback, Reporter()], **steps)
    assert watched.history == plain.history
    assert [entry["step"] for entry in watched.history if "loss" in entry] == [4, 8]
    told = {step: logs for step, logs in Reporter.told if "rmbench/rm-bench" in logs}
    assert list(told) == [2, 4, 6, 8]
    for step, logs in told.items():
        assert {**logs, "step": step} == watched.benchmarks[step]
        assert {"rmbench/rm-bench/low", "rmbench/rm-bench/high", "rmbench/rm-bench/domain=chat"} < logs.keys()
        assert logs["rmbench/rm-bench/low"] <= logs["rmbench/rm-bench"] <= logs["rmbench/rm-bench/high"]
        assert all(type(value) in (int, float) for value in logs.values())


def test_a_value_without_an_interval_or_without_a_number_is_left_out(
    tokenizers: dict[str, Any], tmp_path: Path
) -> None:
    callback = RewardBenchmark("attributionbench", source="sample", every=100)
    (logged,) = brief(tokenizers, tmp_path, [callback]).benchmarks.values()
    assert set(logged) == {"rmbench/attributionbench", "epoch", "step"}


def test_records_are_kept_where_it_is_asked_for(tokenizers: dict[str, Any], tmp_path: Path) -> None:
    def train(**more: Any) -> None:
        callback = RewardBenchmark("rm-bench", source="sample", every=2, limit=3, **more)
        brief(tokenizers, tmp_path / "mine", [callback])

    train()
    assert not list(tmp_path.rglob("record.json"))
    for _ in range(2):  # the second replaces the first's
        train(out=tmp_path / "records", name="org/mine")
    records = [rmbench.read_record(place) for place in rmbench.find_records(tmp_path / "records")]
    assert [(record.model.name, record.model.revision) for record in records] == [
        ("org/mine", "step-2"),
        ("org/mine", "step-4"),
    ]
    assert [record.model.fingerprint for record in records] == ["", ""]
    train(out=tmp_path / "others")
    assert {rmbench.read_record(place).model.name for place in rmbench.find_records(tmp_path / "others")} == {"mine"}


def test_tasks_are_loaded_once(tokenizers: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rmbench.tasks import sources

    loads, load = [], sources.load

    def counted(task: Any, *given: Any, **more: Any) -> Any:
        loads.append(task.id)
        return load(task, *given, **more)

    monkeypatch.setattr(sources, "load", counted)
    brief(tokenizers, tmp_path, [RewardBenchmark("rm-bench,rmb-bon", source="sample", every=1, limit=2)])
    assert sorted(loads) == ["rm-bench", "rmb-bon"]
