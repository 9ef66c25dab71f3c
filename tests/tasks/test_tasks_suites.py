"""Suites are named sets of tasks: files in `suites/`, and boards; names are found as people write them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import rmbench
from rmbench import resources
from rmbench.boards import boards
from rmbench.errors import RmbenchError
from rmbench.tasks.registry import declared, load_folder, members, plain_name, select
from rmbench.tasks.suites import FOLDER, Suite, load_suite, suites
from tests._make import exit_code

SKYWORK = ["judgebench", "ppe-correctness", "ppe-preference", "reward-bench", "reward-bench-2", "rm-bench"]
SUITE = 'id = "mine"\ntitle = "Mine"\ntasks = ["rm-bench", "rmb-*"]\n'


def ids(selector: str) -> list[str]:
    return [task.id for task in select(selector)]


def write_suite(folder: Path, text: str = SUITE, name: str = "mine") -> Path:
    path = folder / FOLDER / f"{name}.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def test_the_sets_of_papers() -> None:
    assert ids("suite=rmb") == ["rmb-bon", "rmb-pairwise"]
    assert ids("suite=skywork-7") == sorted([*SKYWORK, "rmb-bon", "rmb-pairwise"])
    assert ids("suite=rewardbench") == ["hhh-alignment", "reward-bench"]
    assert ids("suite=ppe") == ["ppe-correctness", "ppe-preference"]
    papers = {suite.id: suite.paper for suite in suites().values()}
    assert papers["skywork-7"] == "arXiv:2507.01352"
    for suite_id, task_id in (("rmb", "rmb-bon"), ("ppe", "ppe-preference"), ("rewardbench", "reward-bench")):
        assert papers[suite_id] == declared()[task_id].paper


@pytest.mark.parametrize("suite", suites().values(), ids=lambda suite: suite.id)
def test_every_suite_selects_tasks_by_each_of_its_entries(suite: Suite) -> None:
    found = [task.id for task in members(suite, declared())]
    assert found
    assert len(found) == len(set(found))
    for entry in suite.tasks:
        single = Suite("one", "One", (entry,), suite.path)
        assert {task.id for task in members(single, declared())} <= set(found)
    assert sorted(found) == sorted(ids(f"suite={suite.id}"))


def test_boards_are_suites_and_agree_with_suites_of_their_id() -> None:
    known = suites()
    for board in boards().values():
        suite = known[board.id]
        if suite.path.parent.name == FOLDER:  # one of its own, which may hold more than the board ranks by
            assert set(board.tasks) <= set(suite.tasks)
        else:
            assert (suite.tasks, suite.title) == (board.tasks, board.title)
    assert ids("suite=demo") == list(declared())


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("rmb", ["rmb-bon", "rmb-pairwise"]),
        ("RMB", ["rmb-bon", "rmb-pairwise"]),
        ("RM-Bench", ["rm-bench"]),
        ("rm_bench", ["rm-bench"]),
        ("RM Bench", ["rm-bench"]),
        ("rewardbench", ["reward-bench"]),  # the task's alias goes before the suite
        ("RewardBench", ["reward-bench"]),
        ("RewardBench 2", ["reward-bench-2"]),
        ("PPE_Preference", ["ppe-preference"]),
        ("JudgeBench", ["judgebench"]),
        ("suite=RMB", ["rmb-bon", "rmb-pairwise"]),
        ("suite = skywork_7", sorted([*SKYWORK, "rmb-bon", "rmb-pairwise"])),
        ("Skywork-7", sorted([*SKYWORK, "rmb-bon", "rmb-pairwise"])),
        ("RMB-*", ["rmb-bon", "rmb-pairwise"]),
        ("rmb,RM-Bench", ["rm-bench", "rmb-bon", "rmb-pairwise"]),
        ("rmb,rmb-bon", ["rmb-bon", "rmb-pairwise"]),
    ],
)
def test_names_are_found_as_people_write_them(written: str, found: list[str]) -> None:
    assert ids(written) == found


def test_every_task_and_alias_goes_before_a_suite() -> None:
    for task in declared().values():
        for name in (task.id, *task.aliases):
            assert plain_name(name) == name
            assert ids(name) == ids(name.upper()) == [task.id]


@pytest.mark.parametrize(
    ("written", "hints"),
    [
        ("rmbb", ('no task and no suite is called "rmbb"', '"rmb" or "rmb-bon"')),
        ("skywork7", ('"skywork7"', 'Did you mean "skywork-7"?')),
        ("mrm-bench", ('"mrmbench"', '"rm-bench"')),  # a suite and a task
        (
            "suite=skywork",
            ('no suite is called "skywork"', 'Did you mean "skywork-7"?', "Known: code-rewardbench, demo, "),
        ),
        ("suite=llmbar", ('no suite is called "llmbar"', "Known: ")),
        ("suite=", ('no suite is called ""',)),
        ("suit=rmb", ("suite=...", 'Did you mean "suite"?')),
        ("qqqq", ("`rmbench tasks` and `rmbench tasks --suites` list them",)),
    ],
)
def test_unknown_names_give_one_error(
    written: str, hints: tuple[str, ...], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(RmbenchError) as caught:
        select(written)
    assert all(hint in str(caught.value) for hint in hints), caught.value
    code = exit_code("run", "--model", "tiny-bt", "--tasks", written, "--source", "sample", "--out", str(tmp_path))
    assert (code, capsys.readouterr().err) == (2, f"rmbench: {caught.value}\n")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (SUITE.replace('title = "Mine"\n', ""), "title: this key is missing"),
        (SUITE + 'papr = "x"\n', 'papr: unknown key. Did you mean "paper"?'),
        (SUITE.replace('id = "mine"', 'id = "My suite"'), "id: expected lower-case letters"),
        (SUITE.replace('id = "mine"', 'id = "yours"'), 'id: "yours" is not the name of the file, "mine"'),
        (SUITE.replace('["rm-bench", "rmb-*"]', "[]"), "tasks: "),
        (SUITE.replace('["rm-bench", "rmb-*"]', '"rm-bench"'), "tasks: expected a list"),
        (SUITE.replace("rm-bench", "rm-bench,rmb-bon"), "is no single selector"),
        (SUITE.replace("rm-bench", "suite=rmb"), "a suite holds ids"),
        (SUITE.replace("rmb-*", "rm-bench"), "is listed twice"),
        (SUITE.replace("rmb-*", " "), "is no single selector"),
        ("tasks = [", "is not TOML"),
    ],
)
def test_a_wrong_declaration_is_named_by_file_and_key(text: str, hint: str, tmp_path: Path) -> None:
    path = write_suite(tmp_path, text)
    with pytest.raises(RmbenchError) as caught:
        load_suite(path)
    assert str(path) in str(caught.value)
    assert hint in str(caught.value)


@pytest.mark.parametrize(
    ("entry", "hint"),
    [
        ("rm-bnech", 'Did you mean "rm-bench"'),
        ("nothing-*", 'no task matches "nothing-*"'),
        ("family=txt", 'Did you mean "text"?'),
        ("rm-bench@7", '"rm-bench@7" is of another version here'),
        ("rmb", 'no task is called "rmb"'),
    ],
)
def test_an_entry_that_selects_nothing_is_named(entry: str, hint: str, tmp_path: Path) -> None:
    suite = load_suite(write_suite(tmp_path, SUITE.replace("rm-bench", entry)))
    with pytest.raises(RmbenchError) as caught:
        members(suite, declared())
    assert f"{suite.path}: tasks: " in str(caught.value)
    assert hint in str(caught.value)


def test_entries_are_ids_aliases_versions_globs_and_kinds(tmp_path: Path) -> None:
    entries = '"RewardBench", "rm-bench@1", "rmb-*@1", "family=cyclic"'
    suite = load_suite(write_suite(tmp_path, SUITE.replace('"rm-bench", "rmb-*"', entries)))
    cyclic = [task.id for task in declared().values() if task.family == "cyclic"]
    assert [task.id for task in members(suite, declared())] == [
        "reward-bench",
        "rm-bench",
        "rmb-bon",
        "rmb-pairwise",
        *cyclic,
    ]


def test_suites_of_further_folders(tmp_path: Path, declaration: str, write: Callable[..., Path]) -> None:
    write(declaration)
    path = write_suite(tmp_path)
    assert list(load_folder(tmp_path)) == ["mine"]  # the task; a suite is none
    assert suites([tmp_path])["mine"].path == path
    assert "mine" not in suites()
    other = write_suite(tmp_path / "other")
    with pytest.raises(RmbenchError, match='id: "mine" is that of') as caught:
        suites([tmp_path, tmp_path / "other"])
    assert str(other) in str(caught.value)
    assert list(suites([tmp_path, tmp_path])) == list(suites([tmp_path]))
    write_suite(tmp_path, SUITE.replace("mine", "rmb"), "rmb")
    with pytest.raises(RmbenchError, match='id: "rmb" is that of'):
        suites([tmp_path])


def test_suites_come_with_include_path(
    tmp_path: Path,
    declaration: str,
    write: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("RMBENCH_TASKS", raising=False)
    write(declaration)
    write_suite(tmp_path, SUITE.replace("mine", "ours").replace("rm-bench", "mine"), "ours")
    wanted = ["mine", "rmb-bon", "rmb-pairwise"]
    for name in ("ours", "suite=Ours"):
        assert sorted(task.id for task in select(name, [tmp_path])) == wanted
        with pytest.raises(RmbenchError, match="is called"):
            select(name)
    assert exit_code("tasks", "--suites", "--json", "--include-path", str(tmp_path)) == 0
    (ours,) = [one for one in json.loads(capsys.readouterr().out) if one["id"] == "ours"]
    assert sorted(ours["tasks"]) == wanted
    monkeypatch.setenv("RMBENCH_TASKS", str(tmp_path))
    assert sorted(task.id for task in select("ours")) == wanted
    write_suite(tmp_path, SUITE.replace("rm-bench", "rm-bnech"), "mine")
    assert [task.id for task in select("mine")] == ["mine"]  # the task of that name
    with pytest.raises(RmbenchError, match='tasks: no task is called "rm-bnech"'):
        select("suite=mine")


def test_a_folder_may_hold_suites_alone(tmp_path: Path) -> None:
    write_suite(tmp_path)
    assert [task.id for task in select("mine", [tmp_path])] == ["rm-bench", "rmb-bon", "rmb-pairwise"]
    (tmp_path / FOLDER / "mine.toml").unlink()
    with pytest.raises(RmbenchError, match="holds no task declaration"):
        select("all", [tmp_path])


def test_a_suite_of_a_folder_goes_before_a_board(tmp_path: Path) -> None:
    write_suite(tmp_path, SUITE.replace("mine", "text"), "text")
    assert suites([tmp_path])["text"].tasks == ("rm-bench", "rmb-*")


def without_times(record: Any) -> dict[str, Any]:
    content = record.model_dump(mode="json")
    for key in ("started", "finished", "seconds", "command"):
        content["run"].pop(key)
    return {key: value for key, value in content.items() if key not in ("digests", "judgments")}


def test_a_record_does_not_change_by_how_its_task_was_selected(tmp_path: Path) -> None:
    made = [
        rmbench.run("baseline:length", tasks, source="sample", out=tmp_path / str(number))
        for number, tasks in enumerate(("suite=rmb", "RMB", "rmb-pairwise,rmb-bon"))
    ]
    first, *others = ([without_times(record) for record in results.records] for results in made)
    assert len(first) == 2
    assert others == [first, first]
    rows = [rmbench.read_rows(results.folder("rmb-bon")) for results in made]
    assert rows[0] == rows[1] == rows[2]


def test_missing_files_are_a_skip_in_a_suite_and_an_error_by_name(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(RmbenchError, match="rm-bench"):
        rmbench.run("baseline:length", "RM-Bench", source=str(tmp_path / "data"), out=tmp_path / "out")
    with pytest.raises(RmbenchError) as caught:
        rmbench.run("baseline:length", "rmb", source=str(tmp_path / "data"), out=tmp_path / "out")
    assert "rmb-pairwise" in str(caught.value)
    results = rmbench.run(
        "baseline:length", "rmb,judge-spoofing", source=str(tmp_path / "data"), out=tmp_path / "out", limit=2
    )
    assert {skipped.task for skipped in results.skipped} == {"rmb-bon", "rmb-pairwise"}
    assert [record.task.id for record in results.records] == ["judge-spoofing"]


@pytest.mark.parametrize("columns", ["20", "80", "200"])
def test_the_list_has_every_suite_in_80_columns(
    columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert exit_code("tasks", "--suites") == 0
    out = capsys.readouterr().out
    assert max(len(line.rstrip()) for line in out.splitlines()) <= max(80, int(columns))
    first = [line.split()[0] for line in out.splitlines() if line and not line.startswith(" ")]
    assert first == ["id", *suites(), str(len(suites()))]
    for suite in suites().values():
        for entry in suite.tasks:
            assert entry in out
    assert exit_code("tasks", "suite=rmb") == 0
    assert "2 benchmarks" in capsys.readouterr().out


def test_the_list_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("tasks", "--suites", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    jsonschema.validate(listed, json.loads((resources.schemas() / "suites.schema.json").read_text("utf-8")))
    assert [one["id"] for one in listed] == list(suites())
    (rmb,) = [one for one in listed if one["id"] == "rmb"]
    assert rmb["tasks"] == ["rmb-pairwise", "rmb-bon"]


@pytest.mark.parametrize("more", [["rmb"], ["--ids", "rm-bench"]])
def test_the_list_is_of_all_suites(more: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("tasks", "--suites", *more) == 2
    assert capsys.readouterr().err.startswith("rmbench: --suites lists every suite")


def test_validate_checks_suites(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_suite(tmp_path)
    assert exit_code("validate", str(path)) == 0
    assert capsys.readouterr().out == f"{path}: suite mine\n"
    path.write_text(SUITE.replace("title", "titel"), "utf-8")
    assert exit_code("validate", str(path)) == 2
    assert "titel: unknown key" in capsys.readouterr().err
