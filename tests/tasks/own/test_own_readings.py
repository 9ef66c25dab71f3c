"""Columns of a user's rows recognised by names and values: the layouts that people have, and those that are unclear."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rmbench.errors import RmbenchError
from rmbench.tasks.own.declare import Own, own_task
from rmbench.tasks.sources import load
from rmbench.types import Example

Rows = list[dict[str, Any]]


def said(*turns: str) -> list[dict[str, str]]:
    """Messages in turn: the user's first."""
    return [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(turns)]


def answer(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def each(values: list[Any], **columns: Any) -> Rows:
    return [{**columns, "winner": value} for value in values]


ONE_HOT = ("winner_model_a", "winner_model_b", "winner_tie")
TWO = {"question": "q", "answer_a": "x", "answer_b": "y"}
A, B, TIE = (0, 1, 1.0), (1, 0, 1.0), (0, 1, 0.0)

KNOWN: dict[str, tuple[Rows, str, int, list[str], list[Any]]] = {
    "pairs": ([{"prompt": "q", "chosen": "g", "rejected": "b"}], "pair", 1, ["g", "b"], [[A]]),
    "other names": ([{"Instruction": "q", "preferred": "g", "Dispreferred": "b"}], "pair", 1, ["g", "b"], [[A]]),
    "transcripts": (
        [{"chosen": "\n\nHuman: q\n\nAssistant: g", "rejected": "\n\nHuman: q\n\nAssistant: b"}],
        "pair",
        1,
        ["g", "b"],
        [[A]],
    ),
    "implicit prompt": ([{"chosen": said("q", "g"), "rejected": said("q", "b")}], "pair", 1, ["g", "b"], [[A]]),
    "prompt repeated": (
        [{"prompt": "q", "chosen": said("q", "g"), "rejected": said("q", "b"), "messages": said("q", "g")}],
        "pair",
        1,
        ["g", "b"],
        [[A]],
    ),
    "explicit messages": (
        [{"prompt": said("q"), "chosen": answer("g"), "rejected": answer("b")}],
        "pair",
        1,
        ["g", "b"],
        [[A]],
    ),
    "an unrelated context": (
        [{"context": "a shop", "chosen": said("q", "g"), "rejected": said("q", "b")}],
        "pair",
        1,
        ["g", "b"],
        [[A]],
    ),
    "ShareGPT": (
        [
            {
                "conversations": 1,
                "chosen": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "g"}],
                "rejected": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "b"}],
            }
        ],
        "pair",
        1,
        ["g", "b"],
        [[A]],
    ),
    "letters": (each(["A", "B", "tie"], **TWO), "pair", 1, ["x", "y"], [[A], [B], [TIE]]),
    "verdicts": (each(["[[A]]", "[[B]]", "[[C]]"], **TWO), "pair", 1, ["x", "y"], [[A], [B], [TIE]]),
    "column names": (each(["answer_a", "answer_b"], **TWO), "pair", 1, ["x", "y"], [[A], [B]]),
    "1 2 0": (each([1, 2, 0], **TWO), "pair", 1, ["x", "y"], [[A], [B], [TIE]]),
    "1 2 0 as text": (each(["1", "2", "0"], **TWO), "pair", 1, ["x", "y"], [[A], [B], [TIE]]),
    "1 2 0 as floats": (
        each([1.0, 2.0, 0.0], **TWO),
        "pair",
        1,
        ["x", "y"],
        [[A], [B], [TIE]],
    ),
    "numbered from 0": (
        [{"prompt": "q", "response_0": "x", "response_1": "y", "better_response_id": k} for k in (1, 0)],
        "pair",
        1,
        ["x", "y"],
        [[B], [A]],
    ),
    "arena": (
        [
            {
                "conversation_a": said("q", "x"),
                "conversation_b": said("q", "y"),
                "model_a": "m",
                "model_b": "n",
                "winner": w,
            }
            for w in ("model_a", "model_b", "tie (bothbad)")
        ],
        "pair",
        1,
        ["x", "y"],
        [[A], [B], [TIE]],
    ),
    "scores beside": (
        [{"question": "q", "answer_0": "x", "answer_1": "y", "score_0": 0.0, "score_1": 1.0}],
        "pair",
        1,
        ["x", "y"],
        [[B]],
    ),
    "scores": (
        [{"prompt": "q", "responses": ["x", "y", "z"], "scores": [1, 2.5, 1]}],
        "ranked",
        1,
        ["x", "y", "z"],
        [[(1, 0, 1.0), (0, 2, 0.0), (1, 2, 1.0)]],
    ),
    "ranks in objects": (
        [{"prompt": "q", "answers": [{"answer": "x", "rank": 2}, {"answer": "y", "rank": 1}]}],
        "ranked",
        1,
        ["x", "y"],
        [[B]],
    ),
    "scores in objects": (
        [
            {
                "instruction": "q",
                "completions": [{"response": "x", "overall_score": 8.5}, {"response": "y", "overall_score": 2}],
            }
        ],
        "ranked",
        1,
        ["x", "y"],
        [[A]],
    ),
    "best from 0": (
        [{"prompt": "q", "responses": ["x", "y"], "best": place} for place in (0, 1)],
        "pick",
        1,
        ["x", "y"],
        [[A], [B]],
    ),
    "best from 1": (
        [{"prompt": "q", "responses": ["x", "y"], "best_index": place} for place in (2, 1)],
        "pick",
        1,
        ["x", "y"],
        [[B], [A]],
    ),
    "best by letter": (
        [{"prompt": "q", "responses": ["x", "y"], "label": letter} for letter in "BA"],
        "pick",
        1,
        ["x", "y"],
        [[B], [A]],
    ),
    "right or wrong": (
        [{"problem": "q", "completions": ["x", "y"], "correct": [False, True]}],
        "pick",
        1,
        ["x", "y"],
        [[B]],
    ),
    "lists of sides": (
        [{"prompt": "q", "chosen": ["x"], "rejected": ["y", "z"]}],
        "pick",
        1,
        ["x", "y", "z"],
        [[(0, 1, 1.0), (0, 2, 1.0)]],
    ),
    "nothing known": ([{"prompt": "q", "responses": ["x", "y"]}], "scored", 1, ["x", "y"], [[]]),
    "Alpaca's": (
        [
            {"instruction": "Count:", "input": "q", "chosen": "g", "rejected": "b"},
            {"instruction": "q", "input": "", "chosen": "g", "rejected": "b"},
        ],
        "pair",
        1,
        ["g", "b"],
        [[A], [A]],
    ),
    "LLaMA-Factory's": (
        [
            {
                "conversations": [{"from": "human", "value": "q"}],
                "chosen": {"from": "gpt", "value": "g"},
                "rejected": {"from": "gpt", "value": "b"},
            }
        ],
        "pair",
        1,
        ["g", "b"],
        [[A]],
    ),
    "one message each": (
        [{"prompt": "q", "chosen": answer("g")[0], "rejected": answer("b")[0]}],
        "pair",
        1,
        ["g", "b"],
        [[A]],
    ),
    "one column twice": (
        [{"prompt": "q", "question": "q", "chosen": "g", "rejected": "b"}],
        "pair",
        1,
        ["g", "b"],
        [[A]],
    ),
    "a winner's columns": (
        [
            {"prompt": "q", "response_a": "x", "response_b": "y", **dict(zip(ONE_HOT, won, strict=True))}
            for won in ((1, 0, 0), (0, 1, 0), (0, 0, 1))
        ],
        "pair",
        1,
        ["x", "y"],
        [[A], [B], [TIE]],
    ),
    "choices of summaries": (
        [
            {"post": "q", "summaries": [{"text": "x", "note": "a"}, {"text": "y", "note": "b"}], "choice": k}
            for k in (0, 1)
        ],
        "pick",
        1,
        ["x", "y"],
        [[A], [B]],
    ),
    "a system message": (
        [{"system": "s", "question": "q", "chosen": "g", "rejected": "b"}],
        "pair",
        2,
        ["g", "b"],
        [[A]],
    ),
}


@pytest.fixture
def put(tmp_path: Path) -> Callable[[Rows], str]:
    def putter(rows: Rows) -> str:
        (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(tmp_path / "mine.jsonl")

    return putter


def edges(example: Example) -> list[tuple[int, int, float]]:
    return [(edge.i, edge.j, edge.strength) for edge in example.gold.relation]


def asked_again(own: Own) -> dict[str, str]:
    """The roles of the line that says what was recognised, as `--columns` takes them."""
    line = own.line.split(": ", 2)[2]
    return dict(re.findall(r"(\w+)=([^,;( ]+)", line))


@pytest.mark.parametrize("rows, shape, turns, texts, gold", KNOWN.values(), ids=KNOWN)
def test_known_layouts(put, rows: Rows, shape: str, turns: int, texts: list[str], gold: list[Any]) -> None:
    own = own_task(put(rows))
    loaded = load(own.task)
    assert (own.task.shape, own.task.n, len(loaded.examples)) == (shape, len(rows), len(rows))
    first = loaded.examples[0]
    assert ([message.text for message in first.prompt][-1].rpartition("\n")[2], len(first.prompt)) == ("q", turns)
    assert [candidate.text for candidate in first.candidates] == texts
    assert [edges(example) for example in loaded.examples] == gold


@pytest.mark.parametrize("rows", [case[0] for case in KNOWN.values()], ids=KNOWN)
def test_what_the_line_says_reads_the_same_again(put, rows: Rows) -> None:
    own = own_task(put(rows))
    assert own_task(put(rows), asked_again(own)).toml == own.toml


def test_one_answer_and_its_rating(put) -> None:
    rows = [{"prompt": "q", "response": text, "score": score} for text, score in (("x", 1.5), ("y", -2))]
    loaded = load(own_task(put(rows)).task)
    assert [example.gold.ratings for example in loaded.examples] == [((1.5,),), ((-2.0,),)]


def test_right_or_wrong_answers_are_measured_by_auc(put) -> None:
    rows = [{"prompt": "q", "completion": text, "label": right} for text, right in (("x", True), ("y", False))]
    own = own_task(put(rows))
    assert [metric.rule for metric in own.task.metrics] == ["auc"]
    assert [example.gold.ratings for example in load(own.task).examples] == [((1.0,),), ((0.0,),)]


UNCLEAR: dict[str, tuple[Rows, list[str]]] = {
    "0 and 1": (each([0, 1], **TWO), ["first=0,second=1", "first=1,second=0"]),
    "0 and 1 as text": (each(["0", "1"], **TWO), ["first=0,second=1", "first=1,second=0"]),
    "true and false": (each([True, False], **TWO), ["first=true,second=false", "first=false,second=true"]),
    "a sign": (each([-3, 0, 2], **TWO), ["positive=first", "positive=second"]),
    "places": (
        [{"prompt": "q", "responses": ["x", "y", "z"], "best": place} for place in (1, 2)],
        ["from=0", "from=1"],
    ),
    "two prompts": (
        [{"prompt": "q", "question": "p", "chosen": "g", "rejected": "b"}],
        ["prompt=prompt", "prompt=question"],
    ),
    "two golds": (
        [
            {"prompt": "q", "responses": ["x", "y"], "scores": [1, 2], "best": 0},
            {"prompt": "q", "responses": ["x", "y"], "scores": [1, 2], "best": 0},
        ],
        ["scores=scores", "best=best"],
    ),
}


@pytest.mark.parametrize("rows, choices", UNCLEAR.values(), ids=UNCLEAR)
def test_two_readings_are_an_error_that_shows_both_and_each_settles_it(put, rows: Rows, choices: list[str]) -> None:
    with pytest.raises(RmbenchError, match=r"mine\.jsonl: two readings fit its columns; give one of them:") as caught:
        own_task(put(rows))
    offered = [shlex.split(line) for line in str(caught.value).splitlines()[1:]]
    assert [words[0] for words in offered] == ["--columns"] * 2
    specs = [dict(part.split("=") for part in words[1].split(",")) for words in offered]
    for choice, words, spec in zip(choices, offered, specs, strict=True):
        assert choice in words[1]
        own = own_task(put(rows), spec)
        assert len(load(own.task).examples) == len(rows)
    assert own_task(put(rows), specs[0]).toml != own_task(put(rows), specs[1]).toml


def test_columns_settle_what_is_not_recognised(put) -> None:
    rows = [
        {
            "q": {"text": "q"},
            "good": {"text": "g"},
            "bad": {"text": "b"},
            "human_ref_A": "g",
            "human_ref_B": "b",
            "labels": 1,
        },
        {
            "q": {"text": "p"},
            "good": {"text": "h"},
            "bad": {"text": "c"},
            "human_ref_A": "c",
            "human_ref_B": "h",
            "labels": 0,
        },
    ]
    with pytest.raises(RmbenchError, match="its columns were not recognised") as caught:
        own_task(put(rows))
    assert "q.text (a text)" in str(caught.value)
    own = own_task(put(rows), {"prompt": "q.text", "chosen": "good.text", "rejected": "bad.text"})
    assert [[c.text for c in example.candidates] for example in load(own.task).examples] == [["g", "b"], ["h", "c"]]
    by_label = {
        "prompt": "q.text",
        "a": "human_ref_A",
        "b": "human_ref_B",
        "winner": "labels",
        "first": "1",
        "second": "0",
    }
    assert [edges(example) for example in load(own_task(put(rows), by_label).task).examples] == [[A], [B]]


@pytest.mark.parametrize(
    "columns, message",
    [
        ({"promt": "question"}, r'--columns promt=question: no such key\. Did you mean "prompt"\?'),
        ({"prompt": "questoin"}, r'prompt=questoin: no row has a column "questoin"\. Did you mean "question"\?'),
        ({"prompt": "number"}, r"prompt=number: expected a text or a list of messages in every row, found a number"),
        ({"positive": "both"}, r"--columns positive=both: expected first or second"),
        ({"from": "2"}, r"--columns from=2: expected 0 or 1"),
        ({"winner": "winner", "first": "A", "second": "C"}, r"the label 'B' is none of first=A, second=C"),
        ({"winner": "winner", "scores": "number"}, "its columns were not recognised with --columns"),
    ],
)
def test_mistakes_of_columns_are_named(put, columns: dict[str, str], message: str) -> None:
    rows = [{**row, "number": 3} for row in each(["A", "B"], **TWO)]
    with pytest.raises(RmbenchError, match=message):
        own_task(put(rows), columns)


def test_labels_that_are_not_understood_do_not_pass_for_none(put) -> None:
    with pytest.raises(
        RmbenchError, match=r'column "winner" seems to say which answer is better.*\(\'alpha\', \'beta\'\)'
    ):
        own_task(put(each(["alpha", "beta"], **TWO)))


@pytest.mark.parametrize("name", ["orig_preference", "human_winner", "chosen_by_label", "labels"])
def test_columns_whose_name_has_a_word_for_labels_count_too(put, name: str) -> None:
    with pytest.raises(RmbenchError, match=f'"{name}" seems to say which answer is better'):
        own_task(put([{"prompt": "q", "response": "x", name: "?"}]))


def test_steps_of_one_answer_are_no_alternatives(put) -> None:
    """The layout of stepwise supervision."""
    with pytest.raises(RmbenchError, match='"labels" seems to say which answer is better'):
        own_task(put([{"prompt": "q", "completions": ["step 1", "step 2"], "labels": [True, False]}]))


@pytest.mark.parametrize("name", ["image", "images", "Video"])
def test_media_are_not_left_out_in_silence(put, tmp_path: Path, name: str) -> None:
    rows = [{"prompt": "q", "chosen": "g", "rejected": "b", name: "dog.jpg"}]
    with pytest.raises(RmbenchError, match=f'column "{name}" holds media, which --data does not read'):
        own_task(put(rows))
    assert f"not read: {name}" in own_task(put(rows), beside=tmp_path).line
    assert own_task(put([{**rows[0], name: None}])).task.shape == "pair"


def test_messages_that_show_images_are_read(put, tmp_path: Path) -> None:
    (tmp_path / "dog.png").write_bytes(b"x")
    image = {"type": "image", "image": "dog.png"}
    rows = [{"prompt": [{"role": "user", "content": "q"}], "chosen": "g", "rejected": "b"}]
    assert own_task(put(rows)).task.modality == "text"
    rows += [{**rows[0], "prompt": [{"role": "user", "content": [image, {"type": "text", "text": "q"}]}]}]
    task = own_task(put(rows)).task
    assert task.modality == "image"
    shown = load(task).examples[1].prompt[0].parts
    assert [(part.kind, part.path) for part in shown] == [("image", str(tmp_path / "dog.png")), ("text", None)]
    clip = {"type": "video_url", "video_url": {"url": "https://a.example/b.mp4"}}
    rows += [{**rows[0], "chosen": [{"role": "assistant", "content": [clip]}]}]
    task = own_task(
        put([{**row, "chosen": [{"role": "assistant", "content": "g"}]} for row in rows[:2]] + rows[2:])
    ).task
    assert task.modality == "video"


def test_texts_are_joined(put) -> None:
    rows = [{"a b": "p", "more": "q", "chosen": "g", "rejected": "b"}]
    first = load(own_task(put(rows), {"prompt": "a b+more"}).task).examples[0]
    assert first.prompt[0].text == "p\nq"
    with pytest.raises(RmbenchError, match='no row has a column "mroe"'):
        own_task(put(rows), {"prompt": "a b+mroe"})


def test_an_empty_list_says_nothing_of_a_column(put) -> None:
    rows = [{"prompt": "q", "responses": [], "scores": []}, {"prompt": "q", "responses": ["x", "y"], "scores": [1, 2]}]
    assert own_task(put(rows)).task.shape == "ranked"


def test_a_row_without_a_label_is_an_error_that_names_it(put) -> None:
    own = own_task(put([*each(["A", "B"], **TWO), {**TWO, "winner": None}]))
    with pytest.raises(RmbenchError, match=r'mine\.jsonl, row 2: column "winner": None is no label'):
        load(own.task)


def test_groups_ids_and_what_is_not_read(put) -> None:
    rows = [
        {
            "uid": f"r{k}",
            "prompt": "q",
            "chosen": "g",
            "rejected": "b",
            "subset": "xy"[k % 2],
            "note": k,
            "Topic": str(k),
        }
        for k in range(4)
    ]
    own = own_task(put(rows))
    assert own.line.endswith(
        "4 rows, pairs: prompt=prompt, chosen=chosen, rejected=rejected; by subset; id uid; not read: note, Topic"
    )
    first = load(own.task).examples[0]
    assert (first.id, dict(first.groups)) == ("r0", {"subset": "x"})
    other = load(own_task(put(rows), {"group": "Topic|subset", "id": "note"}).task).examples[1]
    assert (other.id, dict(other.groups)) == ("1", {"topic": "1", "subset": "y"})


def test_rows_of_one_prompt_are_dependent(put) -> None:
    rows = [{"prompt": prompt, "chosen": "g", "rejected": f"b{k}"} for k, prompt in enumerate("ppq")]
    clusters = [example.cluster for example in load(own_task(put(rows)).task).examples]
    assert clusters[0] == clusters[1] != clusters[2]
