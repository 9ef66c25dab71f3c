"""MMRB2, the two sets called EditReward-Bench, and VisualProcessBench: upstream's rows as examples, upstream's counting
by plain loops."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from rmbench import resources
from rmbench.tasks.registry import get
from rmbench.tasks.rows.adapt_seen import edits_of_group, mmrb2_messages, process_steps
from rmbench.tasks.sources import load
from rmbench.types import Example, Judgment, Value

Figures = Callable[..., dict[tuple[str, str | None], Value]]
SAMPLES = resources.tasks() / "samples"


def rows_of(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (SAMPLES / path).read_text().splitlines()]


# MMRB2


def on_the_hub(row: dict[str, Any]) -> dict[str, Any]:
    """A pair of upstream's files as its converter has it on the hub: `<image_N>` in texts, images beside them."""

    def side(content: list[list[str]]) -> tuple[str, list[dict[str, Any]]]:
        images = [value for kind, value in content if kind == "image"]
        numbers = iter(range(1, len(images) + 1))
        spelled = [value if kind == "text" else f"<image_{next(numbers)}>" for kind, value in content]
        return "\n".join(spelled), [{"path": name, "bytes": None} for name in images]

    out = {"pair_id": row["id"], "chosen": row["chosen"], "prompt_source": row["prompt_source"], "task": "t2i"}
    contents = {
        "prompt": row["prompt_content"],
        "response_a": row["response_a"]["response_content"],
        "response_b": row["response_b"]["response_content"],
    }
    for name, content in contents.items():
        out[f"{name}_text"], out[f"{name}_images"] = side(content)
    return out | {f"response_{each}_model": row[f"response_{each}"]["model_name"] for each in "ab"}


def spelled(messages: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Kind and value of each part, images by name."""
    parts = messages[0]["content"]
    values = (part[part["type"]] for part in parts)
    return [
        (part["type"], value["path"] if isinstance(value, dict) else value)
        for part, value in zip(parts, values, strict=True)
    ]


@pytest.mark.parametrize("name", ["t2i", "edit", "interleaved", "reasoning"])
def test_mmrb2_is_the_same_from_files_and_the_hub(name: str) -> None:
    for row in json.loads((SAMPLES / f"mmrb2/benchmark/{name}.json").read_text())["pairs"]:
        local, hub = mmrb2_messages(row), mmrb2_messages(on_the_hub(row))
        assert local["id"] == hub["id"] == row["id"]
        assert spelled(local["prompt"]) == spelled(hub["prompt"]) == [tuple(each) for each in row["prompt_content"]]
        for side in "ab":
            content = [tuple(each) for each in row[f"response_{side}"]["response_content"]]
            assert spelled(local[f"answer_{side}"]) == spelled(hub[f"answer_{side}"]) == content
            assert local[f"model_{side}"] == hub[f"model_{side}"] == row[f"response_{side}"]["model_name"]


def test_mmrb2_keeps_texts_and_images_in_their_order() -> None:
    example = next(each for each in load(get("mmrb2"), "sample").examples if "chameleon" in each.id)
    assert [part.kind for part in example.candidates[1].messages[0].parts] == ["image", "text", "image", "text"]
    assert all(part.path for part in example.candidates[1].messages[0].parts if part.kind == "image")
    assert [edge.i for edge in example.gold.relation] == [1]


def test_mmrb2_images_without_a_place_stand_behind_the_text() -> None:
    row = {"pair_id": "x", "prompt_text": "Draw.", "prompt_images": ["a.png"], "response_a_text": "", "chosen": "A"}
    row |= {"response_a_images": ["b.png"], "response_b_text": "<image_1> so", "response_b_images": ["c.png"]}
    found = mmrb2_messages(row)
    assert spelled(found["prompt"]) == [("text", "Draw."), ("image", "a.png")]
    assert spelled(found["answer_a"]) == [("image", "b.png")]
    assert spelled(found["answer_b"]) == [("image", "c.png"), ("text", "so")]
    assert spelled(mmrb2_messages(row | {"response_b_images": []})["answer_b"]) == [("text", "so")]
    with pytest.raises(ValueError, match='neither column "prompt_content" nor "prompt_text"'):
        mmrb2_messages({"chosen": "A"})
    with pytest.raises(ValueError, match='expected pairs of "text" or "image"'):
        mmrb2_messages(row | {"prompt_content": [["audio", "x.wav"]]})


# EditReward-Bench


def plain_shares(scores: dict[str, float]) -> dict[str, float]:
    """As upstream's three scripts count: two edits row by row, three and four by groups whose comparisons are all there
    and all right; a score for each picture."""
    shares = {}
    for name, kind, size in (("two_edits", "2pair", 1), ("three_edits", "3pair", 3), ("four_edits", "4pair", 6)):
        groups: dict[str, list[bool]] = defaultdict(list)
        for row in rows_of(f"editreward-bench-tiger/{kind}/train.jsonl"):
            a, b = (scores[row[f"candidate_{k}"]["path"]] for k in (1, 2))
            first, second = row["comparison_type"].split("vs")
            said = f"{first}>{second}" if a > b else f"{second}>{first}" if b > a else f"{first}={second}"
            groups[row["id"].split("_")[0]].append(said == row["ranking"])
        shares[name] = sum(len(group) == size and all(group) for group in groups.values()) / len(groups)
    return shares


@pytest.mark.parametrize("seed", range(8))
def test_a_row_of_several_edits_counts_where_all_its_pairs_do(seed: int, figures: Figures) -> None:
    examples = load(get("editreward-bench-tiger"), "sample").examples
    draw = random.Random(seed)
    scores: dict[str, float] = {}
    for example in examples:
        better = {edge.i for edge in example.gold.relation}
        for k, candidate in enumerate(example.candidates):  # right more often than chance
            name = candidate.messages[0].parts[0].name
            scores[name] = draw.choice([0, 1, 2]) + 2 * (k in better) * draw.choice([0, 1])
            scores[name] += 3 * sum(edge.i == k for edge in example.gold.relation) * (seed < 4)

    def answer(example: Example) -> Judgment:
        return Judgment(example.id, tuple(scores[c.messages[0].parts[0].name] for c in example.candidates))

    values = figures("editreward-bench-tiger", examples, answer)
    wanted = plain_shares(scores)
    assert {name: values[name, None].value for name in wanted} == pytest.approx(wanted)
    assert values["accuracy", None].value == pytest.approx(sum(wanted.values()) / 3)


def comparison(first: str, second: str, ranking: str) -> dict[str, Any]:
    pictures = {"candidate_1": f"{first}.png", "candidate_2": f"{second}.png"}
    return pictures | {"comparison_type": f"{first}vs{second}", "ranking": ranking, "id": "g_1"}


def test_comparisons_that_are_none_of_one_group_are_refused() -> None:
    found = edits_of_group({"rows": [comparison("A", "C", "C>A"), comparison("B", "C", "B=C")]})
    assert found["edits"] == ["A.png", "B.png", "C.png"]
    assert found["comparisons"] == [[0, 2, -1], [1, 2, 0]]
    for rows, said in (
        ([comparison("A", "B", "C>A")], "'C>A' is no vote on A and B"),
        ([comparison("A", "C", "A>C")], "1 comparisons of the edits A, C"),
        ([comparison("A", "B", "A>B"), comparison("A", "B", "B>A")], "2 comparisons of the edits A, B"),
        ([comparison("A", "A", "A>A")], "'AvsA' names no two of the edits"),
    ):
        with pytest.raises(ValueError, match=said):
            edits_of_group({"rows": rows})


def test_the_two_sets_of_one_name_are_told_apart() -> None:
    tiger, editscore = get("editreward-bench-tiger"), get("editreward-bench-editscore")
    assert (tiger.declaration.source.hub, editscore.declaration.source.hub) == (
        "TIGER-Lab/EditReward-Bench",
        "EditScore/EditReward-Bench",
    )
    assert "TIGER-Lab" in tiger.title
    assert "EditScore" in editscore.title


def test_editscore_reports_each_dimension_as_a_mean_over_kinds(figures: Figures) -> None:
    examples = load(get("editreward-bench-editscore"), "sample").examples
    wrong = {"overall": ("compose", "extract"), "consistency": ("compose",), "prompt_following": ()}

    def answer(example: Example) -> Judgment:
        right = example.groups["kind"] not in wrong[example.groups["dimension"]]
        return Judgment(example.id, (float(right), 0.5))

    values = figures("editreward-bench-editscore", examples, answer)
    assert values["accuracy", None].value == pytest.approx(11 / 13)
    assert values["consistency_accuracy", None].value == pytest.approx(12 / 13)
    assert values["prompt_following_accuracy", None].value == 1.0


def test_editscore_takes_pictures_out_of_its_rows(tmp_path: Path) -> None:
    """On the hub the pictures lie in the rows, as bytes in Arrow files."""
    datasets = pytest.importorskip("datasets")
    rows = rows_of("editreward-bench-editscore/train.jsonl")[:3]
    for k, row in enumerate(rows):
        picture = tmp_path / f"{k}.png"
        Image.new("RGB", (8, 8), (k, 0, 0)).save(picture)
        held = {"path": picture.name, "bytes": picture.read_bytes()}
        row |= {"input_image": held, "output_images": [held, held]}
    folder = tmp_path / "editreward-bench-editscore"
    datasets.Dataset.from_list(rows).save_to_disk(folder)
    (found, *_) = load(get("editreward-bench-editscore"), tmp_path).examples
    assert [part.kind for part in found.prompt[0].parts] == ["image", "text"]
    assert all(candidate.messages[0].parts[0].path for candidate in found.candidates)


# VisualProcessBench


def test_each_step_is_a_row_with_the_solution_up_to_it() -> None:
    (upstream, *_) = rows_of("visualprocessbench/test.jsonl")
    rows = process_steps(upstream)
    steps = upstream["response"]["steps"]
    assert [row["solution"] for row in rows] == ["\n\n".join(steps[: k + 1]) for k in range(len(steps))]
    assert [row["correctness"] for row in rows] == upstream["response"]["process_correctness"]
    loaded = load(get("visualprocessbench"), "sample")
    labels = [row["response"]["process_correctness"] for row in rows_of("visualprocessbench/test.jsonl")]
    flat = [mark for marks in labels for mark in marks]
    assert [example.gold.labels["correct"] for example in loaded.examples] == [int(m > 0) for m in flat if m]
    assert len(loaded.excluded) == flat.count(0) == 1
    assert len({example.cluster for example in loaded.examples}) == len(labels)


@pytest.mark.parametrize(
    "response",
    [None, {"steps": ["a"]}, {"steps": [], "process_correctness": []}, {"steps": [1], "process_correctness": [1]}],
)
def test_a_response_without_its_marks_is_refused(response: Any) -> None:
    with pytest.raises(ValueError, match="response"):
        process_steps({"question": "?", "response": response})
