"""Earlier choices of a rater as context: what is set aside, how it is written, and what a model that reads it gains."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rmbench
from rmbench.errors import RmbenchError
from rmbench.evaluation.rerun import rerun
from rmbench.models.judges.build import make_judge
from rmbench.models.options import OpenOptions
from rmbench.models.servers.generation import Question
from rmbench.tasks.registry import get
from rmbench.tasks.shots.layout import ShotLayout, layout_named, shot_layouts
from rmbench.tasks.shots.rows import split, with_shots
from rmbench.tasks.sources import load
from rmbench.types import Edge, Example, Message, Part
from tests._make import exit_code, make_example, read_lines, write_lines
from tests.models.judges.conftest import FakeBackend

KS = (0, 1, 2, 4, 8)


def write_people(folder: Path, rows: int = 20) -> Path:
    """Six people, half of whom like the answer that says tea, wherever it stands; the others like coffee."""
    rng = random.Random(0)
    lines = []
    for person in range(6):
        for row in range(rows):
            answers = ["tea", "coffee"]
            rng.shuffle(answers)
            liked = ("tea", "coffee")[person % 2]
            lines.append(
                {
                    "id": f"{person}/{row}",
                    "prompt": f"What shall I drink, {row}?",
                    "response_a": answers[0],
                    "response_b": answers[1],
                    "winner": "a" if answers[0] == liked else "b",
                    "person": f"p{person}",
                }
            )
    return write_lines(folder / "people.jsonl", lines)


def copies_the_majority(conversations: Sequence[Sequence[dict[str, Any]]]) -> list[float]:
    """The score of an answer: how often its text was preferred among the examples, less how often it was not; the word
    that comes first in the alphabet where there are none."""
    scores = []
    for *_, asked, answer in conversations:
        text = answer["content"].removeprefix("## Preferred Response\n")
        better = re.findall(r"^## Preferred Response\n(.*)$", asked["content"], re.MULTILINE)
        worse = re.findall(r"^## Dispreferred Response\n(.*)$", asked["content"], re.MULTILINE)
        scores.append(float(better.count(text) - worse.count(text)) + (0.0 if better else float(text == "coffee")))
    return scores


def test_a_model_that_copies_its_shots_is_right_with_them_alone(tmp_path: Path) -> None:
    data = write_people(tmp_path)
    people = {"rater": "person"}
    record = rmbench.run(copies_the_majority, data=data, columns=people, shots=KS, out=tmp_path / "out").records[0]
    found = {(value.metric, value.group): value for value in record.results}
    assert record.task.id == "people-few-shot"
    assert found["few_shot", "shots=0"].value == 0.5
    for k in KS[1:]:
        assert found["few_shot", f"shots={k}"].value == 1.0
        assert found["gain", f"shots={k}"].value == 0.5
        assert found["gain", f"shots={k}"].n == 6 * 12
    gain = found["gain", None]
    assert (gain.value, found["few_shot", None].value) == (0.5, 1.0)
    assert gain.low is not None
    assert gain.low < 0.5 < gain.high
    blind = rmbench.run("baseline:length", data=data, columns=people, shots="0,4", out=tmp_path / "out").records[0]
    assert next(v.value for v in blind.results if v.metric == "gain" and v.group is None) == 0.0


def test_no_row_that_is_asked_is_among_the_shots_and_every_k_asks_the_same(tmp_path: Path) -> None:
    task = rmbench_task(tmp_path)
    loaded = load(task, tmp_path)
    shown = with_shots(task, loaded, KS, "fspo", 3)
    by_k = {k: [e for e in shown.examples if e.groups["shots"] == str(k)] for k in KS}
    asked = [{e.id.rpartition("/shots=")[0] for e in of} for of in by_k.values()]
    assert all(each == asked[0] for each in asked)
    for rater in {e.rater for e in loaded.examples}:
        rows = [e for e in loaded.examples if e.rater == rater]
        shots, left = split(rows, 8, 3)
        assert not {shot.row for shot in shots} & {e.id for e in left}
        assert len(shots) == 8
        assert {e.id for e in left} == {each for each in asked[0] if each in {e.id for e in rows}}
        assert split(rows[::-1], 8, 3)[0] == shots  # the seed and the ids decide, and nothing else
        assert split(rows, 8, 4)[0] != shots
        assert split(rows, 4, 3)[0] == shots[:4]
    assert (
        with_shots(task, loaded, KS, "fspo", 3).digest == shown.digest != with_shots(task, loaded, KS, "fspo", 4).digest
    )


def rmbench_task(folder: Path) -> Any:
    from rmbench.tasks.own.declare import own_task

    return own_task(str(write_people(folder)), {"rater": "person"}).task


def test_turns_of_one_conversation_are_drawn_together() -> None:
    """A later turn holds the answer that was preferred in an earlier one."""
    rows = load(get("community-alignment"), "sample").examples
    mine = [row for row in rows if row.rater == "a6"]
    assert len(mine) == 4
    for seed in range(8):
        shots, left = split(mine, 1, seed)
        conversations = (
            {row.partition("/")[0] for row in ids} for ids in ([s.row for s in shots], [e.id for e in left])
        )
        assert set.isdisjoint(*conversations)


def test_what_is_written(tmp_path: Path) -> None:
    task = rmbench_task(tmp_path)
    shown = with_shots(task, load(task, tmp_path), (2,), "fspo", 0)
    row = shown.examples[0]
    (message,) = row.prompt
    headings = re.findall(r"^#+ .*$", message.text, re.MULTILINE)
    one = ["## Question", "## Preferred Response", "## Dispreferred Response"]
    assert headings == ["# Example 1", *one, "# Example 2", *one, "# Task", "## Question"]
    assert {c.text for c in row.candidates} == {"## Preferred Response\ntea", "## Preferred Response\ncoffee"}
    plain = with_shots(task, load(task, tmp_path), (1,), "plain", 0).examples[0]
    assert {c.text for c in plain.candidates} == {"tea", "coffee"}
    own = {e.id: e.prompt[0].text for e in load(task, tmp_path).examples}
    assert plain.prompt[0].text.endswith(f"\n\n{own[plain.id.removesuffix('/shots=1')]}")


@given(st.text(), st.text(), st.text())
def test_braces_in_texts_stay_as_they_are(prompt: str, better: str, worse: str) -> None:
    values = {"number": "1", "prompt": prompt, "preferred": better, "dispreferred": worse}
    filled = layout_named("plain").filled("example", **{name: [Part(text=text)] for name, text in values.items()})
    assert filled == (Part(text=f"Asked: {prompt}\nThis person preferred: {better}\nTo: {worse}\n\n"),)


def test_a_layout_must_have_its_holes() -> None:
    whole = layout_named("fspo").model_dump()
    for key, text in (("task", "no hole"), ("answer", "{answer} {prompt}"), ("example", "{prompt} {preferred}")):
        with pytest.raises(ValueError, match=f'"{key}" needs'):
            ShotLayout.model_validate({**whole, key: text})
    assert set(shot_layouts()) == {"fspo", "plain", "profile"}


def test_ties_are_no_shots() -> None:
    tied = [replace(make_example(f"r{k}", f"q{k}", "a", "b", edges=(Edge(0, 1, 0.0),)), rater="p") for k in range(3)]
    decided = replace(make_example("r9", "q9", "a", "b", edges=(Edge(0, 1, -2.0),)), rater="p")
    shots, left = split([*tied, decided], 1, 0)
    assert [(shot.row, shot.preferred, shot.dispreferred) for shot in shots] == [
        ("r9", (Part(text="b"),), (Part(text="a"),))
    ]
    assert len(left) == 3


def test_a_system_message_stays_first() -> None:
    rows = [
        Example(f"r{k}", (Message.of("system", "s"), Message.of("user", f"q{k}")), e.candidates, e.gold, rater="p")
        for k in range(3)
        for e in [make_example("x", "y", "a", "b")]
    ]
    loaded = replace(load(get("llmbar"), "sample"), examples=tuple(rows))
    row = with_shots(get("llmbar"), loaded, (0, 1), "fspo", 0).examples[-1]
    assert [message.role for message in row.prompt] == ["system", "user"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--tasks", "llmbar", "--shots", "4"], "its rows name no rater"),
        (["--tasks", "community-alignment", "--shots", "40"], "no rater has 40 choices"),
        (["--tasks", "community-alignment", "--shots", "0"], "one of them above 0"),
        (["--tasks", "community-alignment", "--shots", "2,x"], "expected whole numbers"),
        (["--tasks", "community-alignment", "--shots", "2", "--limit", "3"], "give one of the two"),
        (["--tasks", "community-alignment", "--shots", "2", "--shots-layout", "fpso"], 'Did you mean "fspo"'),
    ],
)
def test_what_cannot_be(words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("run", "--model", "fake:coin", *words, "--source", "sample", "--out", str(tmp_path)) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_the_errors_are_of_one_kind() -> None:
    with pytest.raises(RmbenchError, match='"fpso" is none of fspo, plain'):
        layout_named("fpso")


def test_verify_and_view_find_the_rows_of_a_record_with_shots(tmp_path: Path) -> None:
    data, people = write_people(tmp_path), {"rater": "person"}
    for layout in ("fspo", "plain"):
        out = tmp_path / layout
        results = rmbench.run(
            "baseline:length", data=data, columns=people, shots="0,2", shots_layout=layout, seed=5, out=out
        )
        folder = results.folder("people-few-shot")
        asked = results.records[0].data.asked
        assert asked is not None
        assert (asked.task, asked.shots, asked.layout) == ("people", [0, 2], layout)
        assert rerun(folder, 200, model="baseline:length", data=data, columns=people).other == ()
        shown = rmbench.view(folder, data=data, columns=people)
        assert shown.note == ""
        texts = {row.id: row.example.prompt[-1].text for row in shown.rows if row.example is not None}
        assert len(texts) == 6 * (20 - 2) * 2
        mark = "# Example 2" if layout == "fspo" else "This person preferred"
        assert all((mark in text) == id_.endswith("shots=2") for id_, text in texts.items())
    with pytest.raises(RmbenchError, match="are not those"):
        rmbench.view(folder, data=write_lines(tmp_path / "other" / "people.jsonl", _others(data)), columns=people)


def _others(data: Path) -> list[Any]:
    return [{**row, "prompt": f"{row['prompt']} Say."} for row in read_lines(data)]


def writes_a_profile(question: Question) -> str:
    """A judge that names in its profile what most of the choices preferred, and then picks it; the first answer shown
    where nothing is known."""
    first, *later = question.messages
    if not later:
        liked = re.findall(r"^Preferred: (.*)$", first["content"], re.MULTILINE)
        assert "coffee" not in first["content"] or liked
        return f"This person likes {max(liked, key=liked.count)}." if liked else "People like all kinds."
    profile, asked = later[-2]["content"], later[-1]["content"]
    answers = dict(re.findall(r"<answer_([AB])>\n(.*)\n</answer", asked))
    assert "Preferred:" not in asked
    return f"So [[{next((label for label, text in answers.items() if text in profile), 'A')}]]"


def test_a_judge_that_writes_a_profile_first(tmp_path: Path) -> None:
    """Half right without choices, in either order alike, and right with one; the profile is written once a row."""
    backend = FakeBackend(writes_a_profile)
    judge = make_judge(backend, "profile", OpenOptions())
    record = rmbench.run(
        judge,
        data=write_people(tmp_path, rows=12),
        columns={"rater": "person"},
        shots="0,1,4",
        shots_layout="profile",
        out=tmp_path / "out",
    ).records[0]
    found = {(value.metric, value.group): value.value for value in record.results}
    assert found["few_shot", "shots=0"] == 0.5
    assert found["few_shot", "shots=1"] == found["few_shot", "shots=4"] == 1.0
    assert found["gain", None] == 0.5
    rows = record.data.rows
    first_turns = [question for question in backend.asked if len(question.messages) == 1]
    assert (len(first_turns), len(backend.asked)) == (rows, 3 * rows)


def test_choices_beside_the_prompt_leave_it_as_it_is(tmp_path: Path) -> None:
    task = rmbench_task(tmp_path)
    plain = {example.id: example for example in load(task, tmp_path).examples}
    for row in with_shots(task, load(task, tmp_path), (0, 2), "profile", 0).examples:
        own = plain[row.id.rpartition("/shots=")[0]]
        assert (row.prompt, row.candidates) == (own.prompt, own.candidates)
        assert [shot.text.partition("\n")[0] for shot in row.shots] == ["Choice 1", "Choice 2"][: len(row.shots)]
        assert len(row.shots) == int(row.groups["shots"])
