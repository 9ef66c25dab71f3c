"""Rows that the hub holds in several sets, configs or splits have the ids and texts that they have in files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rmbench import resources
from rmbench.tasks.registry import get
from rmbench.tasks.rows import hub
from rmbench.tasks.sources import load

Rows = list[dict[str, Any]]
SAMPLES = resources.tasks() / "samples"


def lines(path: str) -> Rows:
    return [json.loads(line) for line in (SAMPLES / path).read_text().split("\n") if line]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., Rows]], list[tuple[str, dict[str, Any]]]]:
    """Stand in for the hub: a function from what was asked to rows. Returns the list of what was asked."""
    import datasets

    def server(answer: Callable[..., Rows]) -> list[tuple[str, dict[str, Any]]]:
        asked: list[tuple[str, dict[str, Any]]] = []

        def load_dataset(name: str, /, **given: Any) -> Any:
            asked.append((name, given))
            return datasets.Dataset.from_list(answer(name, **given))

        monkeypatch.setattr(datasets, "load_dataset", load_dataset)
        monkeypatch.setattr(hub, "_snapshots", lambda _: ["0" * 40])
        return asked

    return server


def test_languages_are_configs(serve: Callable[..., Any]) -> None:
    asked = serve(lambda _, /, name, split: lines(f"m-rewardbench/{name}/{split}.jsonl"))
    found = load(get("m-rewardbench"), "hub")
    assert found.digest == load(get("m-rewardbench"), "sample").digest
    assert len(asked) == len(found.files) == 23
    assert asked[0] == ("CohereLabsCommunity/multilingual-reward-bench", {"name": "arb_Arab", "split": "test"})
    assert found.examples[1].id == "ces_Latn/0"


def test_benchmarks_are_sets_with_revisions(serve: Callable[..., Any]) -> None:
    def rows(name: str, **_: Any) -> Rows:
        return lines(f"ppe-correctness/{name.removeprefix('lmarena-ai/')}/train.jsonl")

    asked = serve(rows)
    found = load(get("ppe-correctness"), "hub")
    assert found.digest == load(get("ppe-correctness"), "sample").digest
    assert [name for name, _ in asked][1] == "lmarena-ai/PPE-MATH-Best-of-K"
    assert asked[1][1] == {"split": "train", "revision": "c46ce3cda5417fe8d170e992d925f93856b5db40"}
    assert get("ppe-correctness").hub == "lmarena-ai/PPE-MMLU-Pro-Best-of-K"


def test_hhh_has_its_choices_apart_on_the_hub(serve: Callable[..., Any]) -> None:
    def rows(_: str, /, name: str, split: str) -> Rows:
        assert split == "test"
        examples = json.loads((SAMPLES / "hhh-alignment" / "data" / name / "task.json").read_text())["examples"]
        return [
            {
                "input": each["input"],
                "targets": {
                    "choices": list(each["target_scores"]),
                    "labels": list(each["target_scores"].values()),
                },
            }
            for each in examples
        ]

    serve(rows)
    assert load(get("hhh-alignment"), "hub").digest == load(get("hhh-alignment"), "sample").digest


def test_the_fit_split_comes_from_the_hub_too(serve: Callable[..., Any]) -> None:
    def rows(_: str, data_dir: str, split: str) -> Rows:
        found: Rows = json.loads((SAMPLES / "mrmbench-easy" / data_dir / f"{split}.json").read_text())
        return found

    asked = serve(rows)
    found, sample = load(get("mrmbench-easy"), "hub"), load(get("mrmbench-easy"), "sample")
    assert found.digest == sample.digest
    assert found.fit_digest == sample.fit_digest != ""
    assert [given["split"] for _, given in asked] == ["test"] * 6 + ["train"] * 6


def test_columns_of_an_unseen_set_are_checked_first(serve: Callable[..., Any], tmp_path: Path) -> None:
    from rmbench.errors import RmbenchError

    given = lines("reward-bench-2/test.jsonl")

    def rows(_: str, **__: Any) -> Rows:
        return [{("answers" if key == "chosen" else key): value for key, value in row.items()} for row in given]

    serve(rows)
    with pytest.raises(RmbenchError) as caught:
        load(get("reward-bench-2"), "hub")
    message = str(caught.value)
    assert message.startswith('allenai/reward-bench-2:test, row 0: no column "chosen[]".')
    assert "Columns here: id, prompt, answers, rejected, " in message
    assert message.endswith("The task is not verified: nobody has seen the real columns before.")
