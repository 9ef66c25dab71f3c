"""RLHF-V, POVID and Re-Align: upstream's rows as pairs about one image, and the same answer given another image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from rmbench import resources
from rmbench.errors import RmbenchError
from rmbench.tasks.registry import get
from rmbench.tasks.rows.adapt_pictures import povid_pair, realign_margins, rlhfv_pair
from rmbench.tasks.sources import load
from rmbench.types import Example, Part

SAMPLES = resources.tasks() / "samples"


def rows_of(path: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((SAMPLES / path).read_text())
    return rows


def shown(example: Example, k: int) -> list[str]:
    """Texts and names of images of a candidate's conversation, in order."""
    return [part.text or part.name for message in example.conversation(k) for part in message.parts]


@pytest.mark.parametrize("task_id", ["rlhf-v", "povid", "re-align"])
def test_sample_images_are_there_and_open(task_id: str) -> None:
    examples = load(get(task_id), "sample").examples
    parts: list[Part] = [
        part
        for example in examples
        for k in range(2)
        for message in example.conversation(k)
        for part in message.parts
        if part.kind == "image"
    ]
    assert len(parts) == 2 * len(examples)
    for part in parts:
        assert part.path is not None, part.name
        with Image.open(part.path) as image:
            assert len(image.convert("RGB").getcolors(4096) or ()) > 1
    longer = [len(one.candidates[0].text) > len(one.candidates[1].text) for one in examples]
    assert 0.2 <= sum(longer) / len(longer) <= 0.8


def test_rlhf_v_reads_question_and_answers_from_a_json_text() -> None:
    (example, *_) = load(get("rlhf-v"), "sample").examples
    assert [part.kind for part in example.prompt[0].parts] == ["image", "text"]
    assert shown(example, 0)[1:] == [
        "What is in the picture?",
        "A red disc on a white ground. There is nothing else.",
    ]
    row = {"text": {"question": "q", "chosen": "a", "rejected": "b"}, "idx": 3}
    assert rlhfv_pair(row) == {**row, "question": "q", "chosen": "a", "rejected": "b"}
    with pytest.raises(ValueError, match='column "text" is not JSON'):
        rlhfv_pair({"text": "{"})
    with pytest.raises(ValueError, match="expected an object with the texts question, chosen, rejected"):
        rlhfv_pair({"text": '{"question": "q", "chosen": null, "rejected": "b"}'})


def test_povid_shows_the_image_before_the_text_wherever_its_mark_stands() -> None:
    rows = rows_of("povid/POVID_preference_data_for_VLLMs_version_1.json")
    examples = load(get("povid"), "sample").examples
    assert {row["conversations"][0]["value"].startswith("<image>") for row in rows} == {True, False}
    for row, example in zip(rows, examples, strict=True):
        question = row["conversations"][0]["value"].replace("<image>", "").strip()
        assert shown(example, 0) == [row["image"], question, row["conversations"][1]["value"]]
        assert shown(example, 1) == [row["image"], question, row["rejected_conversations"][1]["value"]]
    changed = {**rows[0], "rejected_conversations": [{"from": "human", "value": "?"}, {"from": "gpt", "value": "b"}]}
    with pytest.raises(ValueError, match='"rejected_conversations" differs from "conversations" before'):
        povid_pair(changed)
    with pytest.raises(ValueError, match="expected questions and answers in turn, found user, user"):
        povid_pair({**rows[0], "conversations": [rows[0]["conversations"][0]] * 2})
    with pytest.raises(ValueError, match="expected turns of role and content or from and value"):
        povid_pair({**rows[0], "conversations": [{"from": "system", "value": "x"}, {"from": "gpt", "value": "b"}]})
    with pytest.raises(ValueError, match="expected a list of a question and an answer at least"):
        povid_pair({**rows[0], "conversations": []})


def test_re_align_compares_answers_and_the_same_answer_given_another_image() -> None:
    rows = rows_of("re-align/preference_data/pref_data.json")
    examples = {example.id: example for example in load(get("re-align"), "sample").examples}
    assert len(examples) == 2 * len(rows)
    for number, row in enumerate(rows):
        text, visual = examples[f"{number}/text"], examples[f"{number}/visual"]
        question = row["chosen"][0]["content"].removeprefix("<image>\n")
        chosen, rejected = row["chosen"][-1]["content"], row["rejected"][-1]["content"]
        assert shown(text, 0) == shown(visual, 0) == [row["image"], question, chosen]
        assert shown(text, 1) == [row["image"], question, rejected]
        assert shown(visual, 1) == [row["retrieved_image"], question, chosen]
        assert text.cluster == visual.cluster


def test_re_aligns_earlier_turns_are_the_prompt() -> None:
    turns = [("user", "<image>\nA?"), ("assistant", "Yes."), ("user", "B?"), ("assistant", "No.")]
    dialogue = [{"role": role, "content": text} for role, text in turns]
    row = {"image": "a.jpg", "retrieved_image": "b.jpg", "chosen": dialogue, "rejected": [*dialogue[:-1], dialogue[1]]}
    text, visual = realign_margins(row)
    parts = [{"type": "image", "image": "a.jpg"}, {"type": "text", "text": "A?"}]
    assert text["chosen_prompt"] == [{"role": "user", "content": parts}, *dialogue[1:3]]
    assert (text["chosen"], text["rejected"], visual["rejected"]) == ("No.", "Yes.", "No.")
    assert visual["rejected_prompt"][0]["content"][0]["image"] == "b.jpg"
    with pytest.raises(ValueError, match='column "rejected" differs from "chosen" before the last answer'):
        realign_margins({**row, "rejected": dialogue[:2]})


def test_a_row_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    file = tmp_path / "preference_data" / "pref_data.json"
    file.parent.mkdir()
    rows = rows_of("re-align/preference_data/pref_data.json")
    rows[2]["chosen"] = "A text."
    file.write_text(json.dumps(rows))
    with pytest.raises(RmbenchError, match=r'pref_data\.json, row 2: column "chosen": expected a list of a question'):
        load(get("re-align"), str(tmp_path))
