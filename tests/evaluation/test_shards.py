"""Shards of a run: they partition the rows, are no records, and merge into the record of one run bit for bit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rmbench
from rmbench.boards import tabulate
from rmbench.errors import RmbenchError
from rmbench.evaluation import run as run_module
from rmbench.evaluation.all_failed import AllFailedError
from rmbench.evaluation.merge import _engine
from rmbench.evaluation.shards import places_of
from rmbench.records.shard_number import ShardNumber, parse_shard
from rmbench.records.shards import FIT_NAME, SHARD_NAME, find_shards, read_shard
from rmbench.records.store import RECORD_NAME
from rmbench.tasks.registry import get
from rmbench.tasks.task import Task
from rmbench.types import Example
from tests._make import make_example
from tests.evaluation.test_all_failed import Failing
from tests.evaluation.test_voting import written

SAMPLE: dict[str, Any] = {"source": "sample", "progress": False}
OF_THE_RUN = {"command", "started", "finished", "seconds", "reused", "engine"}
TASKS = (
    *("reward-bench", "reward-bench-2", "rmb-pairwise", "rmb-bon", "judgebench", "unieval-topical-chat", "rm-bench"),
    *("community-alignment", "ragchecker", "attributionbench", "dice-cycles", "rpr", "multipref"),
)


def sharded(out: Path, n: int, model: Any, tasks: str | Sequence[str], **options: Any) -> list[Path]:
    """The folders of a run's shards."""
    folders = [out / str(index) for index in range(1, n + 1)]
    for index, folder in enumerate(folders, 1):
        rmbench.run(model, tasks, out=folder, shard=f"{index}/{n}", **SAMPLE, **options)
    return folders


def same(merged: rmbench.Results, whole: rmbench.Results) -> None:
    """Records and rows are equal but for the facts of the run, and the bytes of the tables are."""
    assert sorted(record.task.id for record in merged.records) == sorted(record.task.id for record in whole.records)
    by_task = {record.task.id: record for record in merged.records}
    for record in whole.records:
        ours, theirs = (each.model_dump(exclude={"digests"}) for each in (by_task[record.task.id], record))
        for data in (ours, theirs):
            data["run"] = {key: value for key, value in data["run"].items() if key not in OF_THE_RUN}
        assert ours == theirs
        folders = [results.folder(record.task.id) for results in (merged, whole)]
        assert repr(rmbench.read_rows(folders[0])) == repr(rmbench.read_rows(folders[1]))
        one, other = ((folder / "judgments.parquet").read_bytes() for folder in folders)
        assert one == other


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    n=st.integers(1, 14),
    tasks=st.lists(st.sampled_from(TASKS), min_size=1, max_size=2, unique=True),
    model=st.sampled_from(["fake:coin", "baseline:type-token"]),
    limit=st.sampled_from([None, 1, 7]),
    seed=st.integers(0, 2),
)
def test_the_merged_record_is_that_of_one_run(
    tmp_path_factory: pytest.TempPathFactory, n: int, tasks: list[str], model: str, limit: int | None, seed: int
) -> None:
    out = tmp_path_factory.mktemp("shards")
    options: dict[str, Any] = {"limit": limit, "seed": seed}
    folders = sharded(
        out / "parts",
        n,
        model,
        [task for task in tasks if task != "dice-cycles" or "fake" in model] or "rm-bench",
        **options,
    )
    merged = rmbench.merge(folders, out=out / "merged")
    names = [record.task.id for record in merged.records]
    same(merged, rmbench.run(model, names, out=out / "whole", **SAMPLE, **options))
    assert all(record.run.engine["shards"] == n for record in merged.records)
    shutil.rmtree(out)


def test_a_checkpoint_with_fit_splits_and_hidden_states(tmp_path: Path) -> None:
    """Groups of a prompt stay together, so with one group a batch the batches are those of the one run."""
    tasks = ["attributionbench", "mrmbench-easy", "rm-bench", "rmb-bon", "rmb-pairwise"]
    folders = sharded(tmp_path / "parts", 3, "tiny-bt", tasks, batch_tokens=1)
    merged = rmbench.merge(tmp_path / "parts", out=tmp_path / "merged")
    same(merged, rmbench.run("tiny-bt", tasks, out=tmp_path / "whole", batch_tokens=1, **SAMPLE))
    fits = [len(list(folder.rglob(FIT_NAME))) for folder in folders]
    assert fits == [2, 2, 2]


def test_votes_are_joined_over_all_rows(tmp_path: Path) -> None:
    file, _ = written(tmp_path, "vl-rewardbench")
    folders = sharded(tmp_path / "parts", 3, f"scores:{file}", "vl-rewardbench")
    merged = rmbench.merge(folders, out=tmp_path / "merged")
    same(merged, rmbench.run(f"scores:{file}", "vl-rewardbench", out=tmp_path / "whole", **SAMPLE))
    assert merged.records[0].model.settings["voting"] == "majority"
    assert any(value.group == "votes=3" for value in merged.records[0].results)


def with_limit(monkeypatch: pytest.MonkeyPatch, task_id: str, tokens: int) -> None:
    """A run of a task that excludes longer rows."""
    task: Task = get(task_id).model_copy(update={"max_tokens": tokens})
    monkeypatch.setattr(run_module, "selected_tasks", lambda *_: ([task], {task_id}))


@pytest.mark.parametrize("task_id", ["reward-bench", "attributionbench"])
def test_long_rows_are_excluded_by_all_shards_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task_id: str
) -> None:
    with_limit(monkeypatch, task_id, 40)
    folders = sharded(tmp_path / "parts", 4, "tiny-bt", task_id, batch_tokens=1)
    merged = rmbench.merge(folders, out=tmp_path / "merged")
    whole = rmbench.run("tiny-bt", task_id, out=tmp_path / "whole", batch_tokens=1, **SAMPLE)
    assert 0 < len(whole.records[0].data.excluded) < 30
    same(merged, whole)


def test_more_shards_than_rows(tmp_path: Path) -> None:
    folders = sharded(tmp_path / "parts", 13, "fake:oracle", "rm-bench")
    rows = [read_shard(place).record.data.rows for folder in folders for place in find_shards(folder)]
    assert sum(rows) == 10
    assert 0 in rows
    merged = rmbench.merge(folders, out=tmp_path / "merged")
    same(merged, rmbench.run("fake:oracle", "rm-bench", out=tmp_path / "whole", **SAMPLE))


def test_a_stopped_shard_goes_on(tmp_path: Path) -> None:
    class Stopping:
        """Stops a run after so many rows, those that are encoded included."""

        def __init__(self, after: int) -> None:
            self.left = after

        def advance(self, rows: int, tokens: int) -> None:
            self.left -= rows
            if self.left < 0:
                raise KeyboardInterrupt

        def __getattr__(self, name: str) -> Callable[..., None]:
            return lambda *_: None

    options: dict[str, Any] = {"source": "sample", "batch_tokens": 1, "shard": (2, 3), "out": tmp_path / "2"}
    with pytest.raises(KeyboardInterrupt):
        rmbench.run("tiny-bt", "rm-bench", progress=Stopping(30), **options)
    results = rmbench.run("tiny-bt", "rm-bench", progress=False, **options)
    assert results.records[0].run.reused["journal"] > 0
    folders = sharded(tmp_path / "parts", 3, "tiny-bt", "rm-bench", batch_tokens=1)
    merged = rmbench.merge([folders[0], tmp_path / "2", folders[2]], out=tmp_path / "merged")
    same(merged, rmbench.run("tiny-bt", "rm-bench", out=tmp_path / "whole", batch_tokens=1, **SAMPLE))


def test_a_model_that_fails_on_every_row_is_told_at_the_end(tmp_path: Path) -> None:
    model = Failing(("rm-bench",))
    folders = sharded(tmp_path / "parts", 2, model, "rm-bench")
    with pytest.raises(AllFailedError) as whole:
        rmbench.run(model, "rm-bench", out=tmp_path / "whole", **SAMPLE)
    with pytest.raises(AllFailedError) as merged:
        rmbench.merge(folders, out=tmp_path / "merged")
    assert str(merged.value) == str(whole.value)
    assert not list(tmp_path.glob(f"merged/**/{RECORD_NAME}"))


def test_nothing_takes_a_shard_for_a_record(tmp_path: Path) -> None:
    (folder,) = sharded(tmp_path, 1, "fake:oracle", "rm-bench")
    assert rmbench.find_records(folder) == []
    (place,) = find_shards(folder)
    shard = read_shard(place)
    assert "partial" in shard.record.flags
    assert shard.record.results == []
    for use in (
        lambda: rmbench.read_record(place),
        lambda: rmbench.compare(folder, folder),
        lambda: rmbench.gate(folder, folder),
        lambda: rmbench.report(place),
        lambda: rmbench.submit(folder),
        lambda: rmbench.export(folder, "scores", tmp_path / "export"),
    ):
        with pytest.raises(RmbenchError, match="`rmbench merge` makes the records of all shards"):
            use()
    with pytest.raises(RmbenchError, match=r"holds no record\.json"):
        tabulate("text", folder)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return sharded(tmp_path_factory.mktemp("parts"), 3, "fake:coin", ["rm-bench", "rmb-bon"])


def refused(shards: Sequence[Path], out: Path) -> str:
    with pytest.raises(RmbenchError) as error:
        rmbench.merge(shards, out=out)
    assert not out.exists()
    return str(error.value)


def test_a_missing_and_a_doubled_shard_are_named(parts: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "merged"
    assert refused(parts[::2], out) == "rm-bench: 1 of 3 shards is missing: 2/3."
    assert refused(parts[1:2], out) == "rm-bench: 2 of 3 shards are missing: 1/3, 3/3."
    shutil.copytree(parts[1], tmp_path / "again")
    why = refused([*parts, tmp_path / "again"], out)
    assert why.startswith("rm-bench: shard 2/3 is there twice: ")
    assert str(parts[1]) in why
    assert str(tmp_path / "again") in why
    rmbench.merge([parts[0].parent, parts[1]], out=out)  # named twice, there once


def test_a_task_that_one_shard_lacks_is_named(parts: list[Path], tmp_path: Path) -> None:
    shutil.copytree(parts[2], tmp_path / "3")
    shutil.rmtree(next((tmp_path / "3").rglob("rmb-bon*")))
    assert refused([*parts[:2], tmp_path / "3"], tmp_path / "merged") == "rmb-bon: 1 of 3 shards is missing: 3/3."


@pytest.mark.parametrize(
    "model, n, options, why",
    [
        ("fake:oracle", 3, {}, "fake:oracle@"),
        ("fake:coin", 4, {}, "one is 3/4 and the other 1/3"),
        ("fake:coin", 3, {"limit": 9}, "other data: limit is 9 and None"),
        ("fake:coin", 3, {"seed": 5}, "fake:coin@2a9f258e and fake:coin@489cb276"),
    ],
)
def test_a_foreign_shard_is_named(
    parts: list[Path], tmp_path: Path, model: str, n: int, options: dict[str, Any], why: str
) -> None:
    rmbench.run(model, "rm-bench", out=tmp_path / "other", shard=(3, n), **{**SAMPLE, **options})
    told = refused([*parts[:2], tmp_path / "other"], tmp_path / "merged")
    assert why in told
    assert str(tmp_path / "other") in told


def reseal(place: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a shard as another rmbench could have written it."""
    from rmbench.records.digest import digest_of

    data = json.loads((place / SHARD_NAME).read_text("utf-8"))
    change(data)
    data["digest"] = digest_of([data["shard"], data["record"]])
    (place / SHARD_NAME).write_text(json.dumps(data), "utf-8")


@pytest.mark.parametrize(
    "keys, value, why",
    [
        (("record", "model", "fingerprint"), "f" * 64, "the model's fingerprint is ffffffff and"),
        (("record", "model", "settings", "dtype"), "float16", "other settings: dtype is float16 and"),
        (("record", "task", "version"), 9, "version 9 of the task and version 1"),
        (("record", "task", "digest"), "0" * 64, "the task was declared differently"),
        (("record", "data", "digest"), "0" * 64, "other data: digest is 0000"),
        (("record", "run", "versions", "rmbench"), "0.0.1", "other software: rmbench is 0.0.1 and"),
        (("record", "run", "seed"), 5, "seed 5 and seed 0"),
        (("shard", "total"), 99, "other rows: total is 99 and 10"),
    ],
)
def test_each_difference_is_named(
    parts: list[Path], tmp_path: Path, keys: tuple[str, ...], value: Any, why: str
) -> None:
    shutil.copytree(parts[2], tmp_path / "3")

    def change(data: dict[str, Any]) -> None:
        for key in keys[:-1]:
            data = data[key]
        data[keys[-1]] = value

    reseal(next((tmp_path / "3").rglob("rm-bench*")), change)
    assert why in refused([*parts[:2], tmp_path / "3"], tmp_path / "merged")


def test_changed_files_are_refused(parts: list[Path], tmp_path: Path) -> None:
    shutil.copytree(parts[2], tmp_path / "3")
    place = next((tmp_path / "3").rglob("rm-bench*"))
    shards = [*parts[:2], tmp_path / "3"]
    text = (place / SHARD_NAME).read_text("utf-8")
    (place / SHARD_NAME).write_text(text.replace('"total": 10', '"total": 11'), "utf-8")
    assert "it was changed after it was written" in refused(shards, tmp_path / "merged")
    (place / SHARD_NAME).write_text("{", "utf-8")
    assert "is not JSON" in refused(shards, tmp_path / "merged")
    (place / SHARD_NAME).write_text(text.replace('"schema_version": 1', '"schema_version": 7'), "utf-8")
    assert "schema_version 7, and this rmbench reads 1" in refused(shards, tmp_path / "merged")
    (place / SHARD_NAME).write_text(text, "utf-8")
    with (place / "judgments.parquet").open("ab") as file:
        file.write(b"x")
    assert "its sha256 is not the one in shard.json" in refused(shards, tmp_path / "merged")


def test_folders_without_shards_are_named(tmp_path: Path) -> None:
    assert "no such folder" in refused([tmp_path / "none"], tmp_path / "merged")
    rmbench.run("fake:oracle", "rm-bench", out=tmp_path / "whole", **SAMPLE)
    assert "is a whole record, which needs no merging" in refused([tmp_path / "whole"], tmp_path / "merged")
    assert refused([], tmp_path / "merged") == "merge: name the folders of the shards."


def test_another_record_is_not_replaced(parts: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "merged"
    rmbench.merge(parts, out=out)
    rmbench.merge(parts, out=out)  # the same result
    place = next(out.rglob("rm-bench*"))
    (place / RECORD_NAME).write_text("{}", "utf-8")
    with pytest.raises(RmbenchError, match="--overwrite replaces it"):
        rmbench.merge(parts, out=out)
    rmbench.merge(parts, out=out, overwrite=True)
    assert rmbench.read_record(place).data.rows == 10


def test_what_has_no_shards(tmp_path: Path) -> None:
    def longer(rows: list[Any]) -> list[float]:
        return [float(len(turns[-1]["content"])) for turns in rows]

    for model, why in (("ensemble:fake:coin,fake:oracle", "an ensemble combines"), (longer, "has no fingerprint")):
        with pytest.raises(RmbenchError, match=why):
            rmbench.run(model, "rm-bench", out=tmp_path, shard="1/2", **SAMPLE)


def test_facts_of_the_engine_are_those_of_all_shards() -> None:
    counts = {"requests": 4, "padded_tokens": 100, "computed_tokens": 75, "sharing": "shared", "halved": False}
    options = {"batch_tokens": 4096, "batch_rows": None, "executor": "ray", "workers": 8, "gpus_per_worker": 0.5}
    second = {**counts, **options, "sharing": "padded", "halved": True, "answers_cut": 3}
    assert _engine([{**counts, **options}, second], 2) == {
        **options,
        "requests": 8,
        "padded_tokens": 200,
        "computed_tokens": 150,
        "padding_share": 0.25,
        "answers_cut": 3,
        "sharing": "padded",
        "halved": True,
        "shards": 2,
    }


@pytest.mark.parametrize("wrong", ["3", "0/3", "4/3", "-1/3", "1/3/4", " 1/3", "a/b", (0, 3), (1,), 3, (1.0, 3), True])
def test_a_wrong_shard_is_told(wrong: Any) -> None:
    with pytest.raises(RmbenchError, match="expected I/N, with I from 1 to N, such as 3/16"):
        parse_shard(wrong)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 8)), max_size=40), st.integers(1, 9))
def test_shards_partition_the_rows_and_keep_groups(drawn: list[tuple[int, int]], n: int) -> None:
    """Prompt 0 has no text, cluster 0 is none."""
    rows: list[Example] = [
        replace(
            make_example(str(number), f"prompt {prompt}" if prompt else "", "a", "b"),
            cluster=f"c{cluster}" if cluster else "",
        )
        for number, (prompt, cluster) in enumerate(drawn)
    ]
    shards = [places_of(rows, ShardNumber(index, n)) for index in range(1, n + 1)]
    assert sorted(place for shard in shards for place in shard) == list(range(len(rows)))
    assert all(shard == sorted(shard) for shard in shards)
    home = {place: index for index, shard in enumerate(shards) for place in shard}
    groups: dict[object, set[int]] = {}
    for place, (prompt, cluster) in enumerate(drawn):
        for key in ([("prompt", prompt)] if prompt else []) + ([("cluster", cluster)] if cluster else []):
            groups.setdefault(key, set()).add(home[place])
    assert all(len(homes) == 1 for homes in groups.values())


def test_shards_are_even_where_groups_are_small() -> None:
    rows = [make_example(str(number), f"prompt {number // 2}", "a", "b") for number in range(1000)]
    sizes = [len(places_of(rows, ShardNumber(index, 16))) for index in range(1, 17)]
    assert max(sizes) - min(sizes) <= 2
