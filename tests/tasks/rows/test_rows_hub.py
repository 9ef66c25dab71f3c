"""The hub: rows come with the same ids as from files; without it, the message says what to supply."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rmbench import resources
from rmbench.errors import RmbenchError
from rmbench.tasks.declaration.schema import SourceRule
from rmbench.tasks.registry import declared, get
from rmbench.tasks.rows import hub
from rmbench.tasks.sources import load


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A hub that holds the rows under "rows" and remembers what it was asked."""
    import datasets

    state: dict[str, Any] = {}

    def load_dataset(name: str, **given: Any) -> Any:
        state["asked"] = {"hub": name, **given}
        return datasets.Dataset.from_list(state["rows"])

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(hub, "_snapshots", lambda _: ["ee1984300" + "0" * 31, "57dd5e0aa" + "0" * 31])
    return state


def rows_of(*paths: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for path in paths:
        text = (resources.tasks() / "samples" / path).read_text()
        rows += json.loads(text) if path.endswith(".json") else [json.loads(line) for line in text.split("\n") if line]
    return rows


@pytest.mark.parametrize(
    "task_id, path, wanted",
    [
        ("reward-bench", "reward-bench/filtered.jsonl", {"hub": "allenai/reward-bench", "split": "filtered"}),
        (
            "hh-harmless",
            "hh-harmless/harmless-base/test.jsonl",
            {"hub": "Anthropic/hh-rlhf", "data_dir": "harmless-base", "split": "test"},
        ),
        (
            "judgebench",
            "judgebench/data/dataset=judgebench,response_model=gpt-4o-2024-05-13.jsonl",
            {"hub": "ScalerLab/JudgeBench", "split": "gpt", "revision": "57dd5e0aa" + "0" * 31},
        ),
    ],
)
def test_same_rows_and_ids_as_from_files(task_id: str, path: str, wanted: Any, asked: dict[str, Any]) -> None:
    asked["rows"] = rows_of(path)
    task = get(task_id)
    loaded = load(task, "hub")
    assert asked["asked"] == wanted
    assert (loaded.source, loaded.total) == ("hub", task.n)
    assert loaded.missing == (f"{task.n - len(asked['rows'])} of {task.n} rows",)
    assert loaded.digest == load(task, "sample").digest
    assert loaded.files[0].rows == len(asked["rows"])
    assert len(loaded.files[0].sha256) == 64


def test_rm_bench_by_its_domain_column(asked: dict[str, Any]) -> None:
    files = {name: rows_of(f"rm-bench/data/{name}_filtered.json") for name in ("chat", "math", "safety-refuse")}
    asked["rows"] = [
        {"id": row["id"], "prompt": row["prompt"], "chosen": row["chosen"], "rejected": row["rejected"], "domain": name}
        for name, rows in files.items()
        for row in rows
    ]
    loaded = load(get("rm-bench"), "hub")
    by_id = {each.id: each for each in load(get("rm-bench"), "sample").examples}
    assert [each.id for each in loaded.examples] == [f"{name}/{i}" for name in files for i in (1, 2)]
    assert all(each == by_id[each.id] for each in loaded.examples)


def test_columns_are_checked(asked: dict[str, Any]) -> None:
    asked["rows"] = [{"prompt": "p", "chosen_text": "c", "rejected": "r"}]
    with pytest.raises(RmbenchError) as caught:
        load(get("reward-bench"), "hub")
    message = str(caught.value)
    assert 'allenai/reward-bench:filtered, row 0: no column "chosen". Did you mean "chosen_text"?' in message
    assert "Columns here: prompt, chosen_text, rejected" in message


@pytest.mark.parametrize("task_id", [task.id for task in declared().values() if task.hub])
def test_without_the_hub_the_message_says_what_to_supply(task_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def unreachable(*_: Any, **__: Any) -> None:
        raise ConnectionError("no route to the hub")

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(hub, "_snapshots", lambda _: [])
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", unreachable)
    task = get(task_id)
    with pytest.raises(RmbenchError) as caught:
        load(task, "hub")
    message = str(caught.value)
    for part in (str(task.hub), "no route to the hub", "--source FOLDER", "RMBENCH_DATA", "--source sample", task.id):
        assert part in message


@pytest.mark.parametrize("task_id", ["rmb-pairwise", "rmb-bon", "llmbar"])
def test_tasks_without_a_hub_set_name_the_repository(task_id: str) -> None:
    with pytest.raises(RmbenchError) as caught:
        load(get(task_id), "hub")
    message = str(caught.value)
    assert "https://github.com/" in message
    assert "at commit" in message
    assert "--source FOLDER" in message


def test_short_revisions_become_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    whole = "abc1234" + "0" * 33
    commits = [SimpleNamespace(commit_id=each) for each in (whole, "abd" + "1" * 37)]
    monkeypatch.setattr(hub, "_snapshots", lambda _: [])
    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_commits", lambda *_, **__: commits)
    assert hub.full_revision("a/b", "abc1234") == whole
    assert hub.full_revision("a/b", whole) == whole
    assert hub.full_revision("a/b", "main") == "main"
    with pytest.raises(LookupError, match="2 commits"):
        hub.full_revision("a/b", "ab")
    with pytest.raises(LookupError, match="0 commits"):
        hub.full_revision("a/b", "fff")


def test_the_cache_is_looked_at_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub.constants

    whole = "abc1234" + "0" * 33
    (tmp_path / "datasets--a--b" / "snapshots" / whole).mkdir(parents=True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    assert hub.full_revision("a/b", "abc1234") == whole


def test_media_of_the_hub_stay_bytes(asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Undecoded, at any depth, and told apart by their content in the digest of the rows."""
    import datasets
    from PIL import Image

    features = datasets.Features(
        {"one": datasets.Image(), "several": datasets.List(datasets.Image()), "text": datasets.Value("string")}
    )

    def load_dataset(name: str, **given: Any) -> Any:
        files = []
        for colour in asked["colours"]:
            files.append(str(tmp_path / f"{colour}.png"))
            Image.new("RGB", (2, 2), colour).save(files[-1])
        stored = [{"bytes": Path(file).read_bytes(), "path": "x.png"} for file in files]
        return datasets.Dataset.from_list([{"one": stored[0], "several": stored, "text": "t"}], features=features)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    source = SourceRule(hub="org/set", folder="set", split="test")
    asked["colours"] = ["red", "blue"]
    (row,), (fact,) = hub.read_hub(source, "")
    assert row.values["one"] == {"bytes": (tmp_path / "red.png").read_bytes(), "path": "x.png"}
    assert [each["bytes"] for each in row.values["several"]][1] == (tmp_path / "blue.png").read_bytes()
    asked["colours"] = ["red", "green"]
    assert hub.read_hub(source, "")[1][0].sha256 != fact.sha256
