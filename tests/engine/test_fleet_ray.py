"""Workers as Ray actors, on a cluster of two nodes in this machine, which serves all tests, and on a local Ray."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

import rmbench
from rmbench.engine.batch import in_groups
from rmbench.engine.fleet_ray import RayFleet
from rmbench.engine.interfaces import Job
from rmbench.engine.judge import EngineOptions, judge
from rmbench.engine.pool import Pool
from rmbench.engine.requests import requests_of
from rmbench.engine.serialization import RowResult
from rmbench.errors import RmbenchError
from tests.engine import toy_worker
from tests.engine.toy_worker import OpenToy, Toy

ROOT = Path(__file__).parents[2]


def test_nothing_imports_ray_without_being_asked(tmp_path: Path) -> None:
    program = (
        "import sys, rmbench, rmbench.engine.pool, rmbench.engine.fleet_ray\n"
        "rmbench.run('tiny-bt', 'llmbar', source='sample', out=sys.argv[1], progress=False)\n"
        "assert 'ray' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)


def test_an_address_is_of_ray_alone(tmp_path: Path) -> None:
    with pytest.raises(RmbenchError, match=r"^--ray-address goes with --executor ray\.$"):
        rmbench.run("tiny-bt", "llmbar", source="sample", out=tmp_path, ray_address="auto")


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(RmbenchError, match=r"^--executor ray needs Ray, .*: pip install 'rmbench\[ray\]'$"):
        rmbench.run("tiny-bt", "llmbar", source="sample", out=tmp_path, executor="ray")
    assert not list(tmp_path.rglob("record.json"))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head without cores and two nodes of two; one at a time on this machine, since two would disturb each other."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch, FileLock(Path(tempfile.gettempdir(), "rmbench-ray-tests.lock")):
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", str(ROOT))
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        for _ in range(2):
            made.add_node(num_cpus=2)
        yield made
        made.shutdown()


def rows(example: Any, *special: str, count: int = 24) -> list[Any]:
    shared = "a beginning that all the answers of this prompt have in common, "
    texts = [f"{n} answer" for n in range(count)] + list(special)
    return [example(f"e{n}", shared + str(n), text, "other") for n, text in enumerate(texts)]


def pool(cluster: Any, opener: Any, count: int, notes: list[str] | None = None) -> Pool:
    fleet = RayFleet(opener, count, cluster.address, None, None)
    return Pool(fleet, count, (notes if notes is not None else []).append)


@pytest.mark.ray
@pytest.mark.slow
def test_two_nodes_give_what_one_process_gives(cluster: Any, example: Any, tmp_path: Path) -> None:
    """In groups and padded; a worker that dies once loses nothing; a row that kills fails alone."""
    examples = rows(example, "ONCE", "ALWAYS")
    healthy = [one for one in examples if one.id != "e25"]
    (tmp_path / "died").touch()
    alone = judge("t", healthy, Toy(str(tmp_path))).judgments
    (tmp_path / "died").unlink()
    notes: list[str] = []
    with pool(cluster, OpenToy(str(tmp_path)), 4, notes) as workers:
        judging = judge("t", healthy, Toy(str(tmp_path)), executor=workers)
        assert judging.judgments == alone
        assert judging.sharing == "shared"
        padded = EngineOptions(share=False, batch_tokens=900, try_batches=False)
        judging = judge("t", examples, Toy(str(tmp_path)), executor=workers, options=padded)
    assert tuple(one for one in judging.judgments if one.id != "e25") == alone
    assert judging.judgments[-1].error.startswith("candidate 0: the worker process died twice on it (")
    deaths = len((tmp_path / "died").read_text())
    assert 1 + 4 <= deaths <= 1 + 6  # the answer before a death may be lost with it, and its job be blamed
    assert len([note for note in notes if note.startswith("a worker died (")]) == deaths


@pytest.mark.ray
@pytest.mark.slow
def test_actors_are_killed_and_nodes_come_and_go(cluster: Any, example: Any, tmp_path: Path) -> None:
    examples = rows(example, *(f"SLOW {n}" for n in range(70)), count=0)
    going = cluster.add_node(num_cpus=1)
    done: dict[int, list[RowResult]] = {}
    encoded = Toy().encode(requests_of(examples, "chat", in_pairs=False)[0])
    jobs = [Job(index, (row,)) for index, row in enumerate(encoded)]
    with pool(cluster, OpenToy(str(tmp_path)), 5) as workers:
        for count, (index, results) in enumerate(workers.run(Toy(), jobs, "right")):
            assert index not in done
            done[index] = results
            if count == 10:
                os.kill(int(next(tmp_path.glob("pid*")).name[3:]), signal.SIGKILL)
            elif count == 20:
                cluster.remove_node(going, allow_graceful=False)
            elif count == 30:
                cluster.add_node(num_cpus=1)
    assert sorted(done) == list(range(140))
    expected = [float(value) for (value,) in Toy().forward(in_groups(encoded, ()))["reward"]]
    assert [float(done[index][0].values["reward"][0]) for index in range(140)] == expected


@pytest.mark.ray
@pytest.mark.slow
def test_what_is_wrong_is_one_error(cluster: Any, example: Any, tmp_path: Path) -> None:
    with pool(cluster, toy_worker.cannot_open, 2) as workers, pytest.raises(RmbenchError, match="OSError: weights"):
        judge("t", rows(example), Toy(), executor=workers)
    with (
        pool(cluster, toy_worker.dies_opening, 1) as workers,
        pytest.raises(RmbenchError, match=r"^a worker died before it had opened the model \(.*exit.*--workers"),
    ):
        judge("t", rows(example), Toy(), executor=workers)
    notes: list[str] = []
    with pool(cluster, toy_worker.FailsFirst(str(tmp_path)), 3, notes) as workers:
        assert (
            judge("t", rows(example), Toy(), executor=workers).judgments == judge("t", rows(example), Toy()).judgments
        )
    (note,) = notes
    assert note.endswith("cannot open the model and is left out: OSError: no disk")
    began = time.monotonic()
    with pytest.raises(RmbenchError, match=r"asks for \(1 CPU, 3 GPU\)\. Present: .*: 2 CPU.*--gpus-per-worker"):
        RayFleet(OpenToy(), 2, cluster.address, 3, None)
    assert time.monotonic() - began < 20


def refuse(server: socket.socket) -> None:
    with server.accept()[0] as connection:
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n")


@pytest.mark.ray
@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.0.0.1", "nowhere.invalid:6379", "deaf", "http"])
def test_an_address_that_nobody_answers(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    monkeypatch.setattr("rmbench.engine.ray_cluster._REACHED", 1.0)
    began = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as server:
        if address in ("deaf", "http"):
            if address == "http":
                threading.Thread(target=refuse, args=(server,)).start()
            address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(RmbenchError, match=r"^--ray-address .*(nothing answers there|must be HOST:PORT or auto)"):
            RayFleet(OpenToy(), 2, address, None, None)
    assert time.monotonic() - began < 30


DRIVER = """
import signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)
from rmbench.engine.batch import in_groups
from rmbench.engine.fleet_ray import RayFleet
from rmbench.engine.interfaces import Job
from rmbench.engine.judge import EngineOptions, judge
from rmbench.engine.pool import Pool
from rmbench.engine.requests import requests_of
from rmbench.engine.serialization import RowResult
from rmbench.records.journal import Journal
from tests._make import make_example
from tests.engine.toy_worker import OpenToy, Toy

folder, address = Path(sys.argv[1]), sys.argv[2]
examples = [make_example(f"e{n}", f"SLOW {n}", "a", "bb") for n in range(40)]

class Counting:
    def __init__(self, scoped):
        self.scoped = scoped
        self.done, self.damaged = scoped.done, scoped.damaged
    def commit(self, *given):
        self.scoped.commit(*given)
        with (folder / "commits").open("a") as file:
            file.write("x")

with Journal.open(folder / "records", {"model": "toy"}) as journal:
    ledger = Counting(journal.scoped("t@1", "rows"))
    with Pool(RayFleet(OpenToy(str(folder)), 2, None if address == "local" else address, None, None), 2, print) as pool:
        judging = judge("t", examples, Toy(), executor=pool, ledger=ledger, options=EngineOptions(batch_rows=1))
print("RESULT", judging.resumed_batches, sum(one.status == "ok" for one in judging.judgments))
"""


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGINT])
def test_a_driver_that_is_stopped_goes_on(cluster: Any, tmp_path: Path, by: signal.Signals) -> None:
    """Nothing that was committed is computed again, and no worker is left; once with a local Ray, which is not the
    cluster that runs on this machine."""
    address = "local" if by == signal.SIGINT else cluster.address
    command = [sys.executable, "-c", DRIVER, str(tmp_path), address]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": "/tmp"}
    first = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    commits = tmp_path / "commits"
    until = time.monotonic() + 60
    while not commits.exists() or len(commits.read_text()) < 10:
        assert first.poll() is None, first.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)
    stopped = time.monotonic()
    first.send_signal(by)
    said = first.communicate(timeout=30)
    assert first.returncode in (-by, 128 + by), said
    assert time.monotonic() - stopped < 10
    workers = [int(mark.name[3:]) for mark in tmp_path.glob("pid*")]
    while any(Path(f"/proc/{pid}").exists() for pid in workers):
        assert time.monotonic() - stopped < 10, "a worker is left"
        time.sleep(0.1)
    before = len(commits.read_text())
    assert 10 <= before < 80
    again = subprocess.run(
        [*command[:-1], cluster.address], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert again.stdout.split()[-3:] == ["RESULT", str(before), "40"], again.stderr
    assert len(commits.read_text()) == 80
    assert not list(Path("/tmp").glob(f"rmbench-ray-{first.pid}-*")) or by == signal.SIGKILL
