"""`--source auto`: the data folder where it has the task's files, else the hub, else how to get them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from rmbench.errors import AbsentDataError, RmbenchError
from rmbench.tasks.registry import declared, get
from rmbench.tasks.sources import load
from rmbench.tasks.where import resolved

SAMPLES = Path(__file__).resolve().parents[2] / "tasks" / "samples"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """RMBENCH_DATA, with files of two tasks."""
    for name in ("reward-bench", "llmbar"):
        shutil.copytree(SAMPLES / name, tmp_path / "data" / name)
    monkeypatch.setenv("RMBENCH_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.mark.parametrize("task", ["reward-bench", "llmbar"])
def test_the_data_folder_goes_first(folder: Path, task: str) -> None:
    assert resolved(get(task), "auto") == (str(folder), [])


def test_the_hub_in_its_place_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolved(get("rm-bench"), "auto") == ("hub", [f"not in {folder}: its rows are those of the hub"])
    monkeypatch.delenv("RMBENCH_DATA")
    monkeypatch.setenv("XDG_DATA_HOME", str(folder / "nothing"))
    assert resolved(get("rm-bench"), "auto") == ("hub", [])  # nobody has a data folder to miss it in


def test_the_note_is_of_the_rows_and_goes_to_the_terminal(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    from rmbench.tasks.rows import hub

    rows: list[dict[str, Any]] = [{"prompt": "p", "chosen": "c", "rejected": "r", "subset": "hep-go", "id": 1}]
    rows[0] |= {"chosen_model": "a", "rejected_model": "b"}
    monkeypatch.setattr(hub, "_snapshots", lambda _: ["1" * 40])
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: rows)
    shutil.rmtree(folder / "reward-bench")
    loaded = load(get("reward-bench"))
    assert (loaded.source, loaded.notes[0]) == ("hub", f"not in {folder}: its rows are those of the hub")


def test_what_was_fetched_without_a_place_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RMBENCH_DATA")
    monkeypatch.setenv("XDG_DATA_HOME", str(folder.parent / "user"))
    (folder.parent / "user").mkdir()
    folder.rename(folder.parent / "user" / "rmbench")
    assert resolved(get("llmbar"), "auto")[0] == str(folder.parent / "user" / "rmbench")


def test_a_part_of_the_files_is_still_the_folder(folder: Path) -> None:
    (folder / "llmbar/Dataset/LLMBar/Natural/dataset.json").unlink()
    loaded = load(get("llmbar"), allow_changed_data=True)
    assert (loaded.source, loaded.missing) == ("folder", ("Dataset/LLMBar/Natural/dataset.json",))


@pytest.mark.parametrize("task", [task.id for task in declared().values() if not task.hub])
def test_without_files_and_hub_the_command_is_said(folder: Path, task: str) -> None:
    shutil.rmtree(folder / "llmbar")
    if get(task).declaration.source.bundled:
        assert load(get(task)).total == get(task).n
        return
    with pytest.raises(AbsentDataError, match=f"{task}: its files are not in .*, and the hub has none.*fetch {task}`"):
        load(get(task))


def test_a_folder_that_is_none_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RMBENCH_DATA", str(folder / "elsewhere"))
    with pytest.raises(RmbenchError, match=r"RMBENCH_DATA names .*elsewhere, which is no folder") as caught:
        load(get("llmbar"))
    assert not isinstance(caught.value, AbsentDataError)


def test_the_other_sources_are_as_they_are_named(folder: Path) -> None:
    for source in ("hub", "sample", str(folder.parent)):
        assert resolved(get("llmbar"), source) == (source, [])
    with pytest.raises(AbsentDataError, match="`rmbench fetch llmbar` brings"):
        load(get("llmbar"), folder.parent)
    with pytest.raises(RmbenchError, match='Did you mean "auto"'):
        load(get("llmbar"), "atuo")
