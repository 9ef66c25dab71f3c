"""`rmbench fetch` through the real git and the real clients of the hub, and runs from its folder without network."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rmbench.tasks.registry import declared
from tests.tasks.fetch.hub_stand_in import HubStandIn
from tests.tasks.fetch.world import World, files_below, sample

RM_BENCH = "ee19843" + "0" * 33
"""A commit that the declared, shortened revision means."""


def parquet(lines: bytes) -> bytes:
    import pandas as pd

    file = io.BytesIO()
    pd.DataFrame([json.loads(line) for line in lines.splitlines()]).to_parquet(file)
    return file.getvalue()


def put_sets(hub: HubStandIn) -> None:
    """The hub's sets of three tasks, each with a split that no task wants."""
    rows = sample("reward-bench")["filtered.jsonl"]
    hub.put(
        "allenai/reward-bench",
        {"data/filtered-00000-of-00001.parquet": parquet(rows), "data/raw-00000-of-00001.parquet": parquet(rows)},
    )
    hub.apart.add("data/filtered-00000-of-00001.parquet")
    dialogues = sample("hh-harmless")["harmless-base/test.jsonl"]
    hub.put("Anthropic/hh-rlhf", {"harmless-base/test.jsonl": dialogues, "harmless-base/train.jsonl": dialogues})
    domains = {name: json.loads(content) for name, content in sample("rm-bench").items()}
    total = [{**row, "domain": Path(name).stem.removesuffix("_filtered")} for name in domains for row in domains[name]]
    card = "---\nlicense: odc-by\nconfigs:\n- config_name: default\n  data_files: all/*.json\n---\n# RM-Bench\n"
    files = {"README.md": card.encode(), "all/total.json": json.dumps(total).encode(), "other.csv": b"a,b\n1,2\n"}
    hub.put("THU-KEG/RM-Bench", files, RM_BENCH)


def judged(world: World, tasks: str, folder: Path) -> dict[str, str]:
    """Task -> digest of its rows, of a run without network."""
    done = world.command(
        *("run", "--model", "fake:oracle", "--tasks", tasks, "--source", folder, "--out", world.folder / "out"),
        network=False,
    )
    assert done.returncode == 0, done.stderr
    records = [json.loads(file.read_text()) for file in (world.folder / "out").rglob("record.json")]
    assert {record["data"]["source"] for record in records} == {"folder"}
    return {record["task"]["id"]: record["data"]["digest"] for record in records}


def test_three_tasks_are_fetched_and_run_without_network(world: World) -> None:
    put_sets(world.hub)
    commit = world.git("llmbar", sample("llmbar"))
    mine = world.task("llmbar", "https://git.example/llmbar", commit)
    folder = world.folder / "data"
    done = world.command("fetch", f"rm-bench,reward-bench,{mine}", "--to", "data")
    assert (done.returncode, done.stderr.count("error")) == (0, 0), done.stderr
    assert "3 benchmarks: 3 fetched" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    fetched = files_below(folder)
    assert {path: content for path, content in fetched.items() if path.startswith("llmbar/")} == {
        f"llmbar/{path}": content for path, content in sample("llmbar").items()
    }
    others = {"rm-bench/all/total.json", "reward-bench/data/filtered-00000-of-00001.parquet"}
    assert {path for path in fetched if not path.startswith("llmbar/")} == others  # no card, no other split
    assert not list(folder.glob(".rmbench-fetch/*"))
    digests = judged(world, f"rm-bench,reward-bench,{mine}", folder)
    assert sorted(digests) == ["my-llmbar", "reward-bench", "rm-bench"]


def test_the_manifest_says_what_is_there(world: World) -> None:
    put_sets(world.hub)
    folder = world.folder / "data"
    content = world.hub.sets["THU-KEG/RM-Bench"]["all/total.json"]
    planned = world.command("fetch", "rm-bench", "--to", folder, "--dry-run", "--json")
    (said,) = json.loads(planned.stdout)["tasks"]
    assert (said["outcome"], said["files"], said["bytes"], folder.exists()) == ("planned", 1, len(content), False)
    assert world.command("fetch", "rm-bench", "--to", folder).returncode == 0
    entry = json.loads((folder / "rmbench-manifest.json").read_text())["tasks"]["rm-bench"]
    file = {"path": "rm-bench/all/total.json", "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    assert entry["files"] == [file]
    assert entry["origins"] == [{"kind": "hub", "address": "THU-KEG/RM-Bench", "pin": "ee19843", "commit": RM_BENCH}]
    assert (entry["license"], entry["version"], entry["complete"]) == (declared()["rm-bench"].license, 1, True)


def test_rows_are_those_of_the_hub(world: World) -> None:
    """Parquet, JSON Lines below a `data_dir`, JSON of a config, several configs, several sets, types of a card."""
    put_sets(world.hub)
    card = "---\nconfigs:\n" + "".join(
        f"- config_name: {name}\n  data_files:\n  - split: test\n    path: data/{name}/task.jsonl\n"
        for name in ("harmless", "helpful", "honest", "other")
    )
    hhh = {}
    for path, content in sample("hhh-alignment").items():
        choices = [(row["input"], row["target_scores"]) for row in json.loads(content)["examples"]]
        rows = [{"input": asked, "targets": {"choices": [*of], "labels": [*of.values()]}} for asked, of in choices]
        hhh[path.replace("task.json", "task.jsonl")] = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    world.hub.put("HuggingFaceH4/hhh_alignment", {"README.md": f"{card}---\n".encode(), **hhh})
    for part in declared()["ppe-correctness"].declaration.source.parts:
        lines = sample("ppe-correctness")[f"{str(part.hub).partition('/')[2]}/train.jsonl"]
        files = {"data/train-00000-of-00001.parquet": parquet(lines)}
        world.hub.put(str(part.hub), files, f"{part.revision or ''}{'0' * 40}"[:40])
    # The card's types: the ids are numbers in the file, and texts to whoever loads the set.
    columns = json.loads(sample("reward-bench")["filtered.jsonl"].splitlines()[0])
    types = "".join(f"  - name: {name}\n    dtype: string\n" for name in columns)
    card = f"---\ndataset_info:\n  features:\n{types}---\n"
    world.hub.sets["allenai/reward-bench"]["README.md"] = card.encode()
    tasks = ["reward-bench", "hh-harmless", "rm-bench", "hhh-alignment", "ppe-correctness", "mrmbench-easy"]
    world.hub.put("ifnoc/MRMBench", sample("mrmbench-easy"))
    done = world.command("fetch", ",".join(tasks), "--to", "data")
    assert done.returncode == 0, done.stderr
    code = f"""
import json
from rmbench.tasks.registry import get
from rmbench.tasks.sources import load
seen = {{}}
for name in {tasks}:
    loaded = load(get(name), SOURCE)
    facts = [[each.name, each.sha256, each.rows] for each in loaded.files]
    seen[name] = [loaded.digest, [each.id for each in loaded.examples], facts, loaded.fit_digest]
print(json.dumps(seen))
"""
    from_hub = json.loads(world.python(code.replace("SOURCE", "'hub'")).splitlines()[-1])
    from_folder = json.loads(world.python(code.replace("SOURCE", "'data'"), network=False).splitlines()[-1])
    assert from_folder == from_hub
    assert all(rows for _, rows, *_ in from_hub.values())
    assert from_hub["mrmbench-easy"][-1]  # of its fit split


def test_a_second_fetch_brings_nothing(world: World) -> None:
    put_sets(world.hub)
    assert world.command("fetch", "rm-bench,reward-bench", "--to", "data").returncode == 0
    world.hub.asked.clear()
    done = world.command("fetch", "rm-bench,reward-bench", "--to", "data")
    assert (done.returncode, world.hub.asked) == (0, [])
    assert "2 benchmarks: 2 there already" in done.stdout


def test_a_file_that_changed_since_is_not_read_and_is_fetched_again(world: World) -> None:
    put_sets(world.hub)
    assert world.command("fetch", "rm-bench", "--to", "data").returncode == 0
    place = world.folder / "data/rm-bench/all/total.json"
    right = place.read_bytes()
    place.write_bytes(right + b" ")
    run = world.command("run", "--model", "fake:oracle", "--tasks", "rm-bench", "--source", "data", network=False)
    assert (run.returncode, "total.json: is not there as it was fetched" in run.stderr) == (2, True)
    done = world.command("fetch", "rm-bench", "--to", "data")
    assert (done.returncode, "total.json had changed since it was fetched" in done.stderr) == (0, True)
    assert (place.read_bytes(), place.with_name("total.json.changed").read_bytes()) == (right, right + b" ")


def wait_for(what: str, condition: object) -> None:
    end = time.monotonic() + 60
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, what
        time.sleep(0.05)


def test_a_killed_download_goes_on_where_it_stopped(world: World) -> None:
    path, large = "data/filtered-00000-of-00001.jsonl", b'{"a": "%s"}\n' % os.urandom(13 * 2**20).hex().encode()
    world.hub.put("allenai/reward-bench", {path: large})
    world.hub.stall_after[path] = 21 * 2**20
    folder = world.folder / "data"
    words = [sys.executable, "-m", "rmbench", "fetch", "reward-bench", "--to", str(folder)]
    with subprocess.Popen(words, env=world.environment(), cwd=world.folder, stderr=subprocess.PIPE) as process:
        wait_for("10 MiB", lambda: any(each.stat().st_size > 2**20 for each in folder.rglob("*.part")))
        assert files_below(folder) == {}
        process.send_signal(signal.SIGKILL)
    assert files_below(folder) == {}
    (kept,) = [each.stat().st_size for each in folder.rglob("*.part")]
    world.hub.asked.clear()
    done = world.command("fetch", "reward-bench", "--to", folder)
    assert done.returncode == 0, done.stderr
    starts = [asked for method, name, asked in world.hub.asked if method == "GET" and name.endswith(path)]
    assert (kept > 2**20, starts) == (True, [f"bytes={kept}-"])
    assert files_below(folder) == {f"reward-bench/{path}": large}


@pytest.mark.parametrize("apart", [False, True], ids=["git hash", "sha256"])
def test_another_content_than_the_hub_announces_gets_no_name(world: World, apart: bool) -> None:
    put_sets(world.hub)
    path = "data/filtered-00000-of-00001.parquet"
    world.hub.apart = {path} if apart else set()
    right = world.hub.sets["allenai/reward-bench"][path]
    world.hub.sent_instead[path] = right[:-1] + b"?"
    done = world.command("fetch", "reward-bench,rm-bench", "--to", "data")
    assert done.returncode == 3
    name = "sha256" if apart else "git hash"
    assert f"{path} of allenai/reward-bench: expected the {name} " in done.stderr
    assert list(files_below(world.folder / "data")) == ["rm-bench/all/total.json"]  # the next task is not stopped
    world.hub.sent_instead.clear()
    assert world.command("fetch", "reward-bench", "--to", "data").returncode == 0


def test_another_content_than_the_task_declares_gets_no_name(world: World) -> None:
    packed = gzip.compress(sample("hh-harmless")["harmless-base/test.jsonl"])
    world.hub.put("Anthropic/hh-rlhf", {"harmless-base/test.jsonl.gz": packed})
    done = world.command("fetch", "hh-harmless", "--to", "data")
    declared_digest = "ebfaaed21162a4de120ae85366075b34425e2a6303fac59b99555002f7016f03"
    assert done.returncode == 3
    assert f"the task declares the sha256 {declared_digest}, found {hashlib.sha256(packed).hexdigest()}" in done.stderr
    assert files_below(world.folder / "data") == {}


def test_a_gated_set_says_what_to_do(world: World) -> None:
    put_sets(world.hub)
    world.hub.gated.add("allenai/reward-bench")
    done = world.command("fetch", "reward-bench", "--to", "data")
    assert done.returncode == 3
    said = f"allenai/reward-bench is gated: accept its terms at {world.endpoint}/datasets/allenai/reward-bench"
    assert said in done.stderr
    assert "HF_TOKEN" in done.stderr


def test_without_network_each_task_says_the_host(world: World) -> None:
    mine = world.task("llmbar", "https://git.example/llmbar", "0" * 40)
    done = world.command("fetch", f"reward-bench,{mine}", "--to", "data", network=False)
    assert done.returncode == 3
    lines = done.stderr.splitlines()
    assert any("my-llmbar: https://git.example/llmbar: git fetch: " in line and "git.example" in line for line in lines)
    assert any("reward-bench: allenai/reward-bench: HF_HUB_OFFLINE is set" in line for line in lines)
    world.extra["HF_ENDPOINT"] = "http://127.0.0.1:9"
    done = world.command("fetch", "reward-bench", "--to", "data")
    assert (done.returncode, "cannot be fetched from http://127.0.0.1:9" in done.stderr) == (3, True)


def test_a_secret_of_git_is_not_printed(world: World) -> None:
    mine = world.task("llmbar", "https://git.example/llmbar", "0" * 40)
    world.extra |= {"GIT_CONFIG_KEY_0": "url.https://user:hunter2hunter2@127.0.0.1:9/.insteadOf"}
    done = world.command("fetch", mine, "--to", "data")
    assert done.returncode == 3
    assert "127.0.0.1" in done.stderr
    assert "hunter2" not in done.stdout + done.stderr


def test_a_git_address_of_the_hub_is_fetched_from_the_hub(world: World) -> None:
    """Its large files are kept apart, where git finds pointers; rows are read by the task's own layout."""
    files = sample("hpdv2")
    world.hub.put("ymhao/HPDv2", {**files, "train.json": b"[]"})
    world.hub.apart |= set(files)
    mine = world.task("hpdv2", "https://huggingface.co/datasets/ymhao/HPDv2", None)
    done = world.command("fetch", mine, "--to", "data")
    assert done.returncode == 0, done.stderr
    assert files_below(world.folder / "data") == {f"hpdv2/{path}": content for path, content in files.items()}
    assert list(judged(world, str(mine), Path("data"))) == ["my-hpdv2"]


def test_a_manifest_sets_nothing_but_the_reader(world: World) -> None:
    put_sets(world.hub)
    assert world.command("fetch", "rm-bench", "--to", "data").returncode == 0
    manifest = world.folder / "data/rmbench-manifest.json"
    content = json.loads(manifest.read_text())
    content["tasks"]["rm-bench"]["parts"][0]["settings"] = {"cache_dir": str(world.folder / "elsewhere")}
    manifest.write_text(json.dumps(content))
    run = world.command("run", "--model", "fake:oracle", "--tasks", "rm-bench", "--source", "data", network=False)
    assert (run.returncode, "cache_dir is no setting of a reader" in run.stderr) == (2, True)
    assert not (world.folder / "elsewhere").exists()
