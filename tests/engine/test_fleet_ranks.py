"""Workers of several processes: all ranks compute each job, and one that is lost takes its worker with it."""

from __future__ import annotations

import os
import pathlib
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import rmbench
from rmbench.engine import fleet_ranks
from rmbench.engine.apart import Refused
from rmbench.engine.fleet import Answered, CannotOpen, Died, Event, Opened
from rmbench.engine.fleet_processes import ProcessFleet
from rmbench.engine.fleet_ranks import RankFleet
from rmbench.engine.interfaces import Job
from rmbench.engine.judge import judge
from rmbench.engine.pieces import Pieces
from rmbench.engine.pool import Pool
from rmbench.engine.serialization import RowResult
from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.ranks import RANK, RANKS, STORE, check_split, join_ranks
from rmbench.models.open import open_model
from rmbench.models.options import OpenOptions
from rmbench.models.protocols import Batch, Encoded, Group, Sharing
from tests.engine.toy_worker import OpenToy, Toy


class Said:
    """A fleet of processes that say what they are told to."""

    def __init__(self) -> None:
        self.started: list[dict[str, str]] = []
        self.sent: list[tuple[int, int]] = []
        self.ended: list[int] = []
        self.events: list[tuple[int, Event]] = []

    def start(self, environment: dict[str, str]) -> int:
        self.started.append(environment)
        return len(self.started)

    def send(self, process: int, ticket: int, work: Any) -> None:
        self.sent.append((process, ticket))

    def wait(self, timeout: float) -> Sequence[tuple[int, Event]]:
        events, self.events = self.events, []
        return events

    def end(self, process: int) -> None:
        self.ended.append(process)

    def stop(self) -> None:
        self.ended.append(-1)


def heard(fleet: RankFleet, said: Said, *events: tuple[int, Event]) -> list[tuple[int, Event]]:
    said.events = list(events)
    return list(fleet.wait(0))


def row(value: float) -> list[RowResult]:
    return [RowResult({"reward": np.array([value], dtype=np.float32)})]


@pytest.fixture
def two() -> Iterator[tuple[RankFleet, Said]]:
    """Two workers of two ranks; processes 1 and 2 are those of worker 1."""
    said = Said()
    fleet = RankFleet(said, 2, ["0,1", "2,3"])  # type: ignore[arg-type]
    assert (fleet.start(), fleet.start()) == (1, 2)
    yield fleet, said
    fleet.stop()


def test_each_worker_has_its_gpus_its_ranks_and_a_file_where_they_meet(two: tuple[RankFleet, Said]) -> None:
    _, said = two
    assert [(one["CUDA_VISIBLE_DEVICES"], one[RANK], one[RANKS]) for one in said.started] == [
        ("0,1", "0", "2"),
        ("0,1", "1", "2"),
        ("2,3", "0", "2"),
        ("2,3", "1", "2"),
    ]
    stores = [one[STORE] for one in said.started]
    assert stores[0] == stores[1] != stores[2] == stores[3]


def test_a_worker_is_open_and_has_answered_when_all_its_ranks_have(two: tuple[RankFleet, Said]) -> None:
    fleet, said = two
    assert heard(fleet, said, (1, Opened("m")), (4, Opened("m"))) == []
    assert heard(fleet, said, (2, Opened("m"))) == [(1, Opened("m"))]
    fleet.send(1, 7, None)
    assert said.sent == [(1, 7), (2, 7)]
    assert heard(fleet, said, (2, Answered(7, row(1.5)))) == []
    ((number, answer),) = heard(fleet, said, (1, Answered(7, row(1.5))))
    assert isinstance(answer, Answered)
    assert isinstance(answer.results, list)
    assert (number, answer.results[0].values["reward"][0]) == (1, 1.5)


def test_another_model_in_one_rank_is_what_the_pool_hears(two: tuple[RankFleet, Said]) -> None:
    fleet, said = two
    assert heard(fleet, said, (1, Opened("m")), (2, Opened("other"))) == [(1, Opened("other"))]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (row(1.5), row(1.25)),
        (row(1.5), [RowResult(error="x")]),
        (row(1.5), [*row(1.5), *row(1.5)]),
        ({"reward": np.zeros((1, 1), np.float32)}, {"reward": np.ones((1, 1), np.float32)}),
        ({"reward": np.zeros((1, 1), np.float32)}, Refused("no")),
        (Sharing(True, "lean"), Sharing(False, "lean")),
    ],
)
def test_ranks_that_compute_different_things_end_the_run(two: tuple[RankFleet, Said], one: Any, other: Any) -> None:
    fleet, said = two
    ((_, answer),) = heard(fleet, said, (1, Answered(7, one)), (2, Answered(7, other)))
    assert "ranks 0 and 1 of a worker computed different things" in str(answer.results)  # type: ignore[union-attr]


def test_an_error_of_one_rank_is_heard_at_once(two: tuple[RankFleet, Said]) -> None:
    fleet, said = two
    error = Answered(7, RmbenchError("no"))
    assert heard(fleet, said, (2, error)) == [(1, error)]


@pytest.mark.parametrize("event", [Died("signal SIGKILL"), CannotOpen("no disk")])
def test_a_rank_takes_the_others_with_it(two: tuple[RankFleet, Said], event: Event) -> None:
    fleet, said = two
    store = Path(said.started[0][STORE]).parent
    assert store.is_dir()
    wanted = Died("rank 1: signal SIGKILL") if isinstance(event, Died) else event
    assert heard(fleet, said, (2, event), (1, Answered(7, row(1.5)))) == [(1, wanted)]
    assert said.ended == [1, 2]
    assert not store.exists()
    fleet.start()
    assert said.started[4]["CUDA_VISIBLE_DEVICES"] == "0,1"  # in its place
    fleet.stop()
    assert not any(Path(one[STORE]).parent.exists() for one in said.started)


def test_ranks_that_wait_for_one_that_answered_are_given_up(
    two: tuple[RankFleet, Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet, said = two
    monkeypatch.setattr(fleet_ranks, "_PATIENCE", -1.0)
    ((number, event),) = heard(fleet, said, (1, Answered(7, row(1.5))))
    assert (number, type(event), said.ended) == (1, Died, [1, 2])


class Scarce(Toy):
    """Rank 1 has memory for two rows alone, so that rank 0 waits for it."""

    def forward(self, batch: Batch) -> dict[str, Any]:
        if len(batch.rows) > 2:
            with pathlib.Path(self.marks, f"rank{os.environ[RANK]}").open("a") as file:
                file.write(f"{len(batch.rows)} ")
            if os.environ[RANK] == "1":
                raise MemoryError("no room")
            time.sleep(600)
        return super().forward(batch)


class OpenScarce(OpenToy):
    def __call__(self) -> Toy:
        return Scarce(self.marks)


def test_memory_that_one_rank_lacks_halves_the_batch_on_all(example: Any, tmp_path: Path) -> None:
    examples = [example(f"e{n}", "the same prompt, ", f"{n} answer", "other") for n in range(3)]
    plain = judge("t", examples, Toy())
    said: list[str] = []
    fleet = RankFleet(ProcessFleet(OpenScarce(str(tmp_path)), 2), 2)
    with Pool(fleet, 1, said.append) as pool:
        found = judge("t", examples, Toy(), executor=pool)
    assert found.judgments == plain.judgments
    assert (found.halved, plain.halved) == (True, False)
    tried = (tmp_path / "rank1").read_text().split()
    assert len(said) == len(tried) > 0
    assert all("rank 1: MemoryError: no room" in line for line in said)


@pytest.mark.parametrize("groups", [(), (Group(3, 4),), (Group(3, 2), Group(0, 1), Group(0, 1))])
def test_a_piece_that_does_not_fit_is_two(groups: tuple[Group, ...]) -> None:
    rows = tuple(Encoded(str(n), 5, tuple(range(n, n + 5))) for n in range(4))
    pieces = Pieces(iter([Job(0, rows, groups)]))
    whole = pieces.next(lambda piece: False, free=True)
    assert pieces.blame(whole, "x", halves=True) is None
    parts = [pieces.next(lambda piece: False, free=True) for _ in range(2)]
    assert [one.as_job.rows for one in parts] == [rows[:2], rows[2:]]
    assert [sum(group.rows for group in one.as_job.groups) for one in parts] == ([2, 2] if groups else [0, 0])
    assert not any(one.suspect for one in parts)
    assert pieces.add(parts[1], [RowResult({"reward": np.ones(1, np.float32)})] * 2) is None
    index, results = pieces.add(parts[0], [RowResult({"reward": np.zeros(1, np.float32)})] * 2)
    assert (index, [float(one.values["reward"][0]) for one in results]) == (0, [0, 0, 1, 1])
    assert all(one.halved for one in results)
    assert pieces.over is False
    assert pieces.next(lambda piece: False, free=True) is None
    assert pieces.over


def tiny(folder: Path) -> Path:
    """A random Llama whose head is a linear one of this package's layouts."""
    from transformers import AutoTokenizer, LlamaConfig, LlamaForSequenceClassification

    from rmbench.resources import bundled_models

    tokenizer = AutoTokenizer.from_pretrained(bundled_models() / "tiny-bt")
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=8,
        num_key_value_heads=4,
        vocab_size=len(tokenizer),
        num_labels=1,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.slow
@pytest.mark.skipif(find_spec("accelerate") is None, reason="need accelerate, for weights split over processes")
def test_weights_split_over_two_processes_give_the_plain_scores(tmp_path: Path) -> None:
    model = str(tiny(tmp_path / "model"))
    rewards = {}
    ways: dict[str, dict[str, Any]] = {
        "plain": {},
        "grouped": {"tensor_parallel": 2},
        "padded": {"tensor_parallel": 2, "share": False},
    }
    for name, options in ways.items():
        results = rmbench.run(
            model, ["judgebench", "rmb-bon"], source="sample", out=tmp_path / name, device="cpu", **options
        )
        rewards[name] = np.array(
            [
                reward
                for record in results.records
                for one in rmbench.read_rows(results.folder(record.task.id))
                for reward in one.judgment.rewards
            ]
        )
        engine = results.records[0].run.engine
        assert engine.get("tensor_parallel", 1) == options.get("tensor_parallel", 1)
        assert (engine["sharing"] == "shared") == (name != "padded")
    assert np.abs(rewards["grouped"] - rewards["plain"]).max() < 1e-5
    assert np.abs(rewards["padded"] - rewards["plain"]).max() < 1e-5


@pytest.mark.parametrize(
    "options, said",
    [
        ({"executor": "ray"}, "--tensor-parallel goes with --executor processes"),
        ({"gpus_per_worker": 4}, "--tensor-parallel 2 takes as many GPUs for each worker; --gpus-per-worker 4 says"),
    ],
)
def test_options_that_do_not_go_together(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(RmbenchError, match=said):
        rmbench.run("tiny-bt", "judgebench", source="sample", tensor_parallel=2, out=tmp_path, **options)


@pytest.fixture
def rank(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process as one of three, which has not found the others."""
    monkeypatch.setenv(RANK, "0")
    monkeypatch.setenv(RANKS, "3")


@pytest.mark.parametrize(
    ("heads", "said"), [((12, 4), "does not divide the model's 4 key heads"), ((8, 3), "the model's 8 attention heads")]
)
def test_heads_that_cannot_be_shared_out(rank: None, heads: tuple[int, int], said: str) -> None:
    text = SimpleNamespace(num_attention_heads=heads[0], num_key_value_heads=heads[1])
    with pytest.raises(RmbenchError, match=f"--tensor-parallel 3.*{said}"):
        join_ranks(torch.device("cpu"), SimpleNamespace(get_text_config=lambda: text))


def test_a_model_whose_weights_stay_whole() -> None:
    with pytest.raises(RmbenchError, match="no plan by which Linear is split"):
        check_split(torch.nn.Linear(2, 2))


def test_a_model_without_weights_to_split(rank: None) -> None:
    with pytest.raises(RmbenchError, match=r"baseline:length \(baseline\) has no weights that can be split"):
        open_model("baseline:length")


def test_an_adapter_is_merged_here_and_not_split(rank: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    peft = pytest.importorskip("peft")
    from transformers import AutoModelForSequenceClassification

    base = tiny(tmp_path / "base")
    model = AutoModelForSequenceClassification.from_pretrained(base)
    lora = peft.LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["q_proj"])
    peft.get_peft_model(model, lora).save_pretrained(tmp_path / "adapter")
    monkeypatch.setattr("rmbench.models.checkpoint.loading.join_ranks", lambda device, config: {})
    with pytest.raises(RmbenchError, match=r"an adapter, a GGUF file, pickles.*save the model whole first"):
        open_model(str(tmp_path / "adapter"), OpenOptions(base_model=str(base), device="cpu"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"workers": 2}, "--workers: judge-file"),
        ({"tensor_parallel": 2}, "--tensor-parallel: judge-file"),
        ({"executor": "ray"}, "--executor ray: judge-file"),
    ],
)
def test_a_judge_has_no_workers(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(RmbenchError, match=f"{said}:.* is computed elsewhere"):
        rmbench.run("judge-file:x.jsonl", "judgebench", source="sample", out=tmp_path, **options)
