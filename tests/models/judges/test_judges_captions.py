"""DCScore by a judge: three replies about a caption, its facts split, matched and verified."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

import rmbench
from rmbench.models.judges.declaration import JudgeProtocol, load_protocol
from rmbench.models.servers.generation import Question, Reply
from rmbench.types import Candidate, Example, Gold, Message, Part

RELEVANT = {"a": 1, "b": 1, "c": 1, "d": 0, "e": 1}
MATCHED: dict[str, Any] = {"a": 0, "b": 0, "c": 2, "d": "None", "e": 1}
VERIFIED = {"a": 1, "b": 1, "c": 0, "d": 1, "e": 1}
SCORE = 64.28571
"""Of these by hand: F1 .6857143 of all facts and .6 of the relevant ones, over four oracle facts."""


def lists(relevant: Any = RELEVANT, matched: Any = MATCHED, verified: Any = VERIFIED) -> list[str]:
    keys = {"relevance": relevant, "matched_oracle_id": matched, "verification": verified}
    return [json.dumps([{"fact": fact, key: value} for fact, value in of.items()]) for key, of in keys.items()]


def by_steps(*replies: str) -> Any:
    """A judge whose reply is that of the step, by the replies that stand in the question."""
    return lambda question: replies[sum(message["role"] == "assistant" for message in question.messages)]


@pytest.fixture
def row(tmp_path: Path) -> Example:
    Image.new("RGB", (20, 10), (200, 0, 0)).save(tmp_path / "a.png")
    prompt = (Message("user", (Part("image", name="a.png", path=str(tmp_path / "a.png")), Part(text="Describe it."))),)
    context = {"reference": "REFERENCE", "oracle_facts": "zero\none\ntwo\nthree"}
    return Example("r", prompt, (Candidate.of("CAPTION"),), Gold(), context=context)


def test_the_score_of_the_published_formula(row: Example, judges: SimpleNamespace) -> None:
    judgment = judges.judge(by_steps(*lists()), "dcscore", votes="1").judge("t", row)
    (verdict,) = judgment.verdicts
    assert verdict.value == pytest.approx(SCORE, abs=5e-6)
    assert judgment.rationale[0].count('"fact": "a"') == 3  # all three replies are kept


def test_what_is_asked_in_which_order(row: Example, judges: SimpleNamespace) -> None:
    judge = judges.judge(by_steps(*lists()), "dcscore", votes="1")
    judge.judge("t", row)
    split, match, verify = (question for question in judge.backend.asked)
    assert [len(each.messages) for each in (split, match, verify)] == [1, 3, 5]
    assert [each.sampling.temperature for each in (split, match, verify)] == [1.0, 1.0, 0.3]
    assert "CAPTION" in split.messages[0]["content"]
    assert "0: zero\n1: one\n2: two\n3: three\n" in match.messages[2]["content"]
    image, text = verify.messages[4]["content"]
    assert image["image_url"]["url"].startswith("data:image/jpeg;base64,")
    assert "[Reference caption]\nREFERENCE\n" in text["text"]
    assert [message["content"] for message in verify.messages if message["role"] == "assistant"] == lists()[:2]
    named = judges.judge(by_steps(*lists()), "dcscore", votes="1", temperature="0")
    named.judge("t", row)
    assert [question.sampling.temperature for question in named.backend.asked] == [0, 0, 0]


def test_votes_draw_all_three_steps_and_are_averaged_by_the_task(row: Example, judges: SimpleNamespace) -> None:
    judge = judges.judge(by_steps(*lists()), "dcscore")
    judgment = judge.judge("t", row)
    assert len(judge.backend.asked) == 3 * 3
    assert [verdict.vote for verdict in judgment.verdicts] == [0, 1, 2]


@pytest.mark.parametrize(
    ("replies", "why"),
    [
        (["no list", *lists()[1:]], "reply 1 holds no JSON list of facts"),
        (["[]", *lists()[1:]], "reply 1: expected a list of objects"),
        (['["a"]', *lists()[1:]], "reply 1: expected a list of objects"),
        (lists(relevant=RELEVANT | {"a": 2}), '"relevance" of a fact is 2, expected 0 or 1'),
        (lists(relevant=dict.fromkeys(RELEVANT, 0)), "no relevant fact"),
        (lists(matched=MATCHED | {"a": 4}), '"matched_oracle_id" of a fact is 4, expected 0 to 3 or "None"'),
        (lists(matched=MATCHED | {"a": True}), '"matched_oracle_id" of a fact is True'),
        (lists(matched={"a": 0, "f": 1}), "reply 2 leaves out 4 of 5 facts and adds 1"),
        (lists(verified={"a": 1}), "reply 3 leaves out 4 of 5 facts"),
        (lists(verified=VERIFIED | {"e": None}), '"verification" of a fact is None'),
        ([*lists()[:2], "[" * 100_000 + "]"], "reply 3 holds no JSON list"),
        ([*lists()[:2], "<think>hm"], "ends in the thought|does not end"),
    ],
)
def test_replies_that_say_no_score(row: Example, judges: SimpleNamespace, replies: list[str], why: str) -> None:
    judgment = judges.judge(by_steps(*replies), "dcscore", votes="1").judge("t", row)
    assert judgment.status == "unparsed"
    assert re.search(why, judgment.error), judgment.error


def test_lists_in_fences_behind_thoughts_and_numbers_as_texts(row: Example, judges: SimpleNamespace) -> None:
    spelled = lists(matched={fact: "None" if k == "None" else str(k) for fact, k in MATCHED.items()})
    dressed = [f"<think>[1]</think>Here [they] are:\n```json\n{text}\n```\nDone [all]." for text in spelled]
    (verdict,) = judges.judge(by_steps(*dressed), "dcscore", votes="1").judge("t", row).verdicts
    assert verdict.value == pytest.approx(SCORE, abs=5e-6)


def test_a_step_that_fails_or_is_cut_ends_the_question(row: Example, judges: SimpleNamespace) -> None:
    def cut(question: Question) -> Reply:
        return Reply(text=lists()[0], finish="length" if len(question.messages) == 3 else "stop")

    judge = judges.judge(cut, "dcscore", votes="1")
    assert judge.judge("t", row).status == "unparsed"
    assert len(judge.backend.asked) == 2


def test_a_row_without_facts_or_reference_is_not_asked_about(row: Example, judges: SimpleNamespace) -> None:
    for name in ("reference", "facts"):
        key = {"facts": "oracle_facts"}.get(name, name)
        lacking = Example("r", row.prompt, row.candidates, Gold(), context={**row.context, key: ""})
        judge = judges.judge(by_steps(*lists()), "dcscore")
        assert judge.judge("t", lacking).error == f"dcscore needs a {name}, and the row has none"
        assert not judge.backend.asked


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"needs": ["reference"]}, '"facts" is a pointwise rating by three replies'),
        ({"message": [{"role": "user", "template": "a.jinja"}]}, '"facts" is a pointwise rating by three replies'),
    ],
)
def test_a_declaration_of_facts_needs_three_replies_and_facts(change: dict[str, Any], message: str) -> None:
    declared = load_protocol("dcscore").model_dump(mode="json")
    with pytest.raises(ValueError, match=message):
        JudgeProtocol.model_validate(declared | change)


def test_decapbench_by_a_judge_that_errs_in_one_caption(
    tmp_path: Path, judges: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four facts of a caption: verified but for the colour where it says grey, each matched with its oracle fact."""

    def reply(question: Question) -> str:
        said = str(question.messages[0]["content"])
        facts = ["shape", "colour", "ground", "place"]
        step = sum(message["role"] == "assistant" for message in question.messages)
        right = dict.fromkeys(facts, 1) | {"colour": int("A grey" not in said)}
        return lists(dict.fromkeys(facts, 1), {fact: k for k, fact in enumerate(facts)}, right)[step]

    judge = judges.judge(reply, "dcscore")
    (record,) = rmbench.run(judge, "decapbench", source="sample", out=tmp_path).records
    (value,) = [one for one in record.results if one.metric == "dcscore" and one.group is None]
    assert value.value == pytest.approx((4 * 100 + 4 * 75) / 8, abs=1e-4)
    assert (value.n, record.counts.failed, record.counts.unparsed) == (8, 0, 0)
