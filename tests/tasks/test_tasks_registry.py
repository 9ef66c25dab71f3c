"""Tasks are found by id, alias, glob, family, modality and file; what selects nothing is an error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rmbench import resources
from rmbench.errors import RmbenchError
from rmbench.metric_spec import Level
from rmbench.tasks.registry import declared, get, load_folder, select

BUNDLED = {
    "reward-bench": ("pair", 2985, "section_mean"),
    "rm-bench": ("styles", 1327, "accuracy"),
    "rmb-pairwise": ("pair", 17131, "goal_mean"),
    "rmb-bon": ("pick", 3786, "goal_mean"),
    "judgebench": ("pair", 350, "two_order_accuracy"),
    "judgebench-claude": ("pair", 270, "two_order_accuracy"),
    "llmbar": ("pair", 419, "accuracy"),
    "hh-harmless": ("pair", 2312, "accuracy"),
    "dove-helpful": ("pair", 363, "accuracy"),
    "unieval-topical-chat": ("rated", 360, "kendall_tau_b"),
}


@pytest.mark.parametrize("task_id", BUNDLED)
def test_bundled(task_id: str) -> None:
    task = get(task_id)
    assert (task.shape, task.n, task.metrics[0].name) == BUNDLED[task_id]
    assert task.paper
    assert task.verified == (task_id != "reward-bench")
    assert task.path.stem == task_id


def test_order_is_family_then_id() -> None:
    order = [(task.family, task.id) for task in declared().values()]
    assert order == sorted(order)
    assert [task.id for task in select("all")] == list(declared())


def test_reward_bench_weights_are_the_published_ones() -> None:
    sections, subsets = get("reward-bench").metrics[0].levels
    assert sections == Level("section")
    weights = subsets.weights
    assert weights is not None
    assert len(weights) == 23
    assert weights["math-prm"] == 984
    # 2,985 rows, of which math-prm has 447 and is raised to 984
    assert sum(weights.values()) == 2985 - 447 + 984


def test_selection_is_each_task_once_in_order() -> None:
    found = [task.id for task in select("rmb_bon, judgebench*,llmbar,rmb-bon")]
    assert found == ["judgebench", "judgebench-claude", "llmbar", "rmb-bon"]
    assert found == [task.id for task in select(["rmb-bon,llmbar", "judgebench*"])]


def test_alias_and_underscores() -> None:
    assert get("topical_chat").id == "unieval-topical-chat"
    assert [task.id for task in select("rewardbench")] == ["reward-bench"]


def test_by_family_and_modality() -> None:
    assert {task.family for task in select("family=text")} == {"text"}
    assert "unieval-topical-chat" in {task.id for task in select("modality=text")}


@pytest.mark.parametrize(
    "item, hint",
    [
        ("rm-bnech", 'Did you mean "rm-bench"'),
        ("xyz*", 'no task matches "xyz*"'),
        ("family=txt", 'Did you mean "text"?'),
        ("familly=text", 'Did you mean "family"?'),
        ("modality=smell", "Known: image, text, video"),
        ("", "no task is selected"),
        (" , ", "no task is selected"),
        ("rm-bench,nonsense", "nonsense"),
        ("missing.toml", "cannot be read"),
    ],
)
def test_what_selects_nothing_is_an_error(item: str, hint: str) -> None:
    with pytest.raises(RmbenchError) as caught:
        select(item)
    assert hint in str(caught.value)


def test_a_users_own_file(declaration: str, write: Callable[..., Path]) -> None:
    path = write(declaration)
    assert [task.id for task in select(f"{path},rm-bench")] == ["mine", "rm-bench"]


def test_a_users_file_may_not_take_a_bundled_id(declaration: str, write: Callable[..., Path]) -> None:
    path = write(declaration.replace('id = "mine"', 'id = "rm-bench"'))
    with pytest.raises(RmbenchError, match="is that of a bundled task"):
        select(str(path))


def test_a_bundled_file_may_be_named_by_its_path() -> None:
    path = resources.tasks() / "text" / "rm-bench.toml"
    assert [task.id for task in select(f"rm-bench,{path}")] == ["rm-bench"]


def test_two_files_of_one_id_selected_together(declaration: str, write: Callable[..., Path]) -> None:
    one, two = write(declaration), write(declaration.replace("n = 2", "n = 3"), "other.toml")
    with pytest.raises(RmbenchError, match='id: "mine" is taken by'):
        select([str(one), str(two)])


@pytest.mark.parametrize("second", ["mine", "other"])
def test_duplicate_ids_and_aliases(second: str, declaration: str, write: Callable[..., Path], tmp_path: Path) -> None:
    write(declaration)
    write(declaration.replace('id = "mine"', f'id = "{second}"\naliases = ["mine"]'), "zzz.toml")
    with pytest.raises(RmbenchError) as caught:
        load_folder(tmp_path)
    message = str(caught.value)
    assert "zzz.toml" in message
    assert "mine.toml" in message
    assert '"mine" is taken' in message


def test_samples_are_no_declarations(declaration: str, write: Callable[..., Path], tmp_path: Path) -> None:
    write(declaration)
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "stray.toml").write_text("not a declaration")
    assert list(load_folder(tmp_path)) == ["mine"]
