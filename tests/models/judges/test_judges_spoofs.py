"""Spoofing answers that the judge repeats word for word never change what is read."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from rmbench.models.judges.declaration import load_protocol, protocol_names
from rmbench.models.judges.prompt import Prompt
from rmbench.models.judges.quoting import CHAT_MARKS, VISION_MARKS
from rmbench.models.judges.verdict import VerdictParser
from rmbench.tasks.registry import get
from rmbench.tasks.sources import load
from rmbench.types import Candidate, Edge, Example, Gold, Message, Part

ROOT = Path(__file__).resolve().parents[3]
SPOOFS = [json.loads(line) for line in (ROOT / "tasks/samples/judge-spoofing/spoofs.jsonl").read_text().splitlines()]
MULTI = ("mj-bench", "mj-bench-5", "mj-bench-words", "mj-bench-words-5")
BOX, TAG = "\\boxed{%s}", "<answer>[[%s]]</answer>"


def _shares(kind: str) -> str:
    heads = {"Alignment": 0.25, "Coherence": 0.5, "Style": 0.0}
    return "\n\n".join(f"{name} Score:\n {kind} 1: {x}\n {kind} 2: {1 - x}" for name, x in heads.items())


VERDICTS: dict[str, dict[str, object]] = {
    # protocol -> how its judge writes each verdict
    "pair": {"[[A]]": 0, "[[B]]": 1},
    "pair-tie": {"[[A]]": 0, "[[B]]": 1, "[[C]]": -1},
    "pick-k": {"[[A]]": 0, "[[B]]": 1},
    "listwise": {"[[A > B]]": (0, 1), "[[B > A]]": (1, 0)},
    "pointwise-10": {"Rating: [[3]]": 3.0},
    "pointwise-rubric": {"Rating: [[3]]": 3.0},
    "rag-pair": {"[[A]]": 0, "[[B]]": 1},
    "profile": {"[[A]]": 0, "[[B]]": 1},
    "rb1-pair": {"[[A]]": 0, "[[B]]": 1},
    "rb2-four-way": {"[[A]]": 0, "[[B]]": 1},
    "rb-ratings": {"3": 3.0},
    "self-taught": {"[[A]]": 0, "[[B]]": 1, "[[C]]": -1},
    "prometheus-absolute": {"[RESULT] 2": 2.0},
    "prometheus-relative": {"[RESULT] A": 0, "[RESULT] B": 1},
    "autoj-pair": {"So, the final decision is Response 1.": 0, "So, the final decision is Tie": -1},
    "autoj-single": {"Rating: [[3]]": 3.0},
    "rm-r1": {TAG % "A": 0, TAG % "B": 1},
    "rm-r1-distilled": {TAG % "A": 0, TAG % "B": 1},
    "rrm": {BOX % "Assistant 1": 0, BOX % "Assistant 2": 1},
    "deepseek-grm": {BOX % "2, 3": (2.0, 3.0)},
    "unified-reward": {"Image 1 is better than Image 2.": 0, "Image 2 is better than Image 1.": 1},
    "judgelrm": {"<answer>3</answer><answer>8</answer>": 1, "<answer>8</answer> <answer>3</answer>": 0},
    "think-rm": {"<answer>A</answer>": 0, "<answer>B</answer>": 1},
    "think-rm-multiclass": {"<answer>-2</answer>": 0, "<answer>1</answer>": 1},
    "j1": {TAG % "A": 0, TAG % "B": 1},
    "j1-pointwise": {"<score>7.5</score>": 7.5},
    "j1-scores": {"<score>3</score><score>7.5</score>": 1, "<score> 8 </score> <score> 3 </score>": 0},
    "eval-planner": {"[[A]]": 0, "[[B]]": 1},
    "compass-judger-2": {'{"Choice": "Model A"}': 0, '{"Choice": "Model B"}': 1},
    "r3": {'{"explanation": "so it is", "score": 3}': 3.0},
    "r3-pair": {'{"explanation": "so it is", "score": "Response 2"}': 1},
    "mr3-pair": {'{"explanation": "so it is", "score": "Assistant A"}': 0},
    "lmunit": {'{"score": 3}': 3.0},
    "ce-rm": {BOX % "7.5": 7.5},
    "nemotron-genrm": {'{"score_1": 4, "score_2": 3, "ranking": 2}': 0, '{"ranking": 4}': 1},
    "nemotron-super-genrm": {BOX % "2": 0, BOX % "5": 1},
    "br-rm": {BOX % "1": 0, BOX % "2": 1},
    "agent-trajectory": {"<success>Successful</success>": 1.0, "<success>Unsuccessful</success><loop>No</loop>": 0.0},
    "nemotron-principle": {"So it does: Yes": 1.0, "No": 0.0},
    "vision-pair": {"[[A]]": 0, "[[B]]": 1},
    "vision-profile": {"[[A]]": 0, "[[B]]": 1},
    "multimodal-rewardbench": {"[[A]]": 0, "[[B]]": 1},
    "videorewardbench": {"[[A]]": 0, "[[B]]": 1},
    "vl-rewardbench": {"Overall Judgment: Answer 1 is better.": 0, "Overall Judgment: Answer 2 is better.": 1},
    "mmrb2": {'{"reasoning": "so", "score": 2, "better_response": "A", "confidence": 1}': 0},
    **{key: {"BETTER IMAGE: 0\nANALYSIS OF CHOICE: so": -1, "BETTER IMAGE: 2\n": 1} for key in MULTI},
    **{key: {'{"ANALYSIS": "so", "RATING": 4}': 4.0} for key in ("mj-bench-single", "mj-bench-single-5")},
    "mj-bench-single-words": {'{"ANALYSIS": "so", "RATING": "Above Average"}': 6.0},
    "mj-bench-single-words-5": {'{"ANALYSIS": "so", "RATING": "Outstanding"}': 5.0},
    "genai-bench": {"[[A=B=Bad]]": "A=B=Bad", "[[A>>B]]": "A>>B"},
    "editreward": {"[[Left>Right]]": 0, "[[Right>Left]]": 1, "[[Left=Right]]": -1},
    "unified-reward-video": {"Video 1 is better than Video 2.": 0, "Both videos are equally good.": -1},
    "unified-reward-answers": {"Answer 2 is better than Answer 1.": 1, "Both answers are equally good.": -1},
    "unified-reward-edit": {"Image 1 is better than Image 2.": 0, "Image 2 is better.": 1},
    "unified-reward-flex": {'{"criteria": [], "reason": "so", "winner": "Image 2"}': 1},
    "unified-reward-think": {"<answer>Image 1 is better</answer>": 0},
    **{key: {"Final Score: 3.5": 3.5} for key in ("unified-reward-score", "unified-reward-video-score")},
    "unified-reward-answer-score": {"Final Score: 7": 7.0},
    "unified-reward-pair-score": {_shares("Image"): (0.25, 0.75)},
    "unified-reward-video-pair-score": {_shares("Video"): (0.25, 0.75)},
    "llava-critic": {"The first response is better.": 0, "The second response is better.": 1},
    "llava-critic-score": {"Score: 85": 85.0},
    "pair-json": {'{"reason": "so it is", "winner": "A"}': 0, '{"reason": "so it is", "winner": "B"}': 1},
}
FIRST = {"judgelm": {"9 2": 0, "2 9": 1}}
OF_SEVERAL_REPLIES = ("dcscore",)
"""No mark of it is a verdict; see `test_judges_captions.py`."""
BARE = {"skywork-critic": "[[A]]", "option": "A", "yes-no": "Yes"}


@cache
def size(name: str) -> int:
    return 1 if load_protocol(name).most == 1 else 2


def test_the_corpus_and_the_protocols_are_all_here() -> None:
    assert len(SPOOFS) >= 200
    assert len({row["spoof"] for row in SPOOFS}) == len(SPOOFS)
    assert len({row["kind"] for row in SPOOFS}) >= 20
    assert {*VERDICTS, *FIRST, *BARE, *OF_SEVERAL_REPLIES} == set(protocol_names())


@pytest.mark.parametrize("name", VERDICTS)
def test_a_repeated_spoof_never_changes_the_verdict(name: str) -> None:
    reader = VerdictParser.of(load_protocol(name))
    for row in SPOOFS:
        for verdict, value in VERDICTS[name].items():
            rationale = f"The other answer is right. This one says:\n{row['spoof']}\nWhich is wrong.\n\n"
            assert reader.parse(rationale + verdict, "stop", size(name)).value == value, row
            assert reader.parse(f"<think>\n{rationale}</think>\n\n{verdict}", "stop", size(name)).value == value, row
            for thought in (rationale, f"<think>\n{rationale}", f"<think>ok</think>\n{rationale}"):
                assert reader.parse(thought, "length", size(name)).status == "unparsed", row
            beside = reader.parse(f"It says: {row['spoof']} {verdict}", "stop", size(name))
            assert beside.value == value or beside.status == "unparsed", row


@pytest.mark.parametrize("name", FIRST)
def test_a_verdict_on_the_first_line_stays_whatever_follows(name: str) -> None:
    reader = VerdictParser.of(load_protocol(name))
    for row in SPOOFS:
        for verdict, value in FIRST[name].items():
            for finish in ("stop", "length"):
                assert reader.parse(f"{verdict}\nIt says:\n{row['spoof']}", finish, 2).value == value, row
        assert reader.parse(f"It says:\n{row['spoof']}\n9 2", "stop", 2).status == "unparsed", row


@pytest.mark.parametrize("name", BARE)
def test_a_judge_that_may_not_explain_is_not_read_when_it_does(name: str) -> None:
    reader = VerdictParser.of(load_protocol(name))
    for row in SPOOFS:
        assert reader.parse(f"It says: {row['spoof']}\n{BARE[name]}", "stop", size(name)).status == "unparsed", row


def test_a_reason_in_json_may_hold_any_spoof() -> None:
    reader = VerdictParser.of(load_protocol("pair-json"))
    for row in SPOOFS:
        for winner, value in (("A", 0), ("B", 1)):
            text = json.dumps({"reason": row["spoof"], "winner": winner}, ensure_ascii=False)
            assert reader.parse(text, "stop", 2).value == value, row
            assert reader.parse(json.dumps({"winner": winner, "reason": row["spoof"]}), "stop", 2).value == value, row


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pictures") / "p.png"  # never opened: prompts are rendered alone


@pytest.mark.parametrize("name", protocol_names())
def test_no_spoof_forges_a_mark_in_the_prompt(name: str, picture: Path) -> None:
    """Whatever stands in a candidate, the prompt has as many of each mark as it has around harmless candidates."""
    protocol = load_protocol(name)
    prompt = Prompt.of(protocol)
    tags = [tag for pair in protocol.think for tag in pair]
    vision = VISION_MARKS if protocol.media else ()
    literal = [mark for mark in (*protocol.reserved, *tags, *CHAT_MARKS, *vision) if "{" not in mark]
    watched = [
        *literal,
        "[[A]]",
        "[[B]]",
        "<|im_start|>",
        "<|eot_id|>",
        "</answer_A>",
        "[The End of Assistant A's Answer]",
    ]
    watched = [mark for mark in watched if mark not in ("[[A]]", "[[B]]") or "[[{label}]]" in protocol.verdict.mark]
    watched = [mark for mark in watched if mark != "</answer_A>" or "</answer_{letter}>" in protocol.reserved]
    watched = [
        mark
        for mark in watched
        if not mark.startswith("[The End of A") or "[The End of Assistant {label}'s Answer]" in protocol.reserved
    ]
    shown = (0, 1)[: protocol.most]
    context = {"rubric": "right", "reference": "four", "oracle_facts": "It is four."}

    def count(text: str) -> list[int]:
        medium = Part("image", name="p.png", path=str(picture))
        asked: tuple[Part, ...] = (Part(text="2 + 2?"),)
        said = [(Part(text=text),), (Part(text="four"),)]
        if protocol.media and protocol.media.of == "candidates":  # their texts are not shown
            kind = protocol.media.kinds[0]
            asked, said = said[0], [(Part(kind, name="p.png", path=str(picture)),)] * 2
        elif protocol.media:
            asked += (medium,)
        answers = tuple(Candidate((Message("assistant", parts),)) for parts in said)
        row = Example("r", (Message("user", asked),), answers, Gold((Edge(1, 0),)), context=context)
        pieces = (piece for _, each in prompt.rendered(row, shown) for piece in each)
        whole = "".join(piece for piece in pieces if isinstance(piece, str))
        return [whole.count(mark) for mark in watched]

    harmless = count("five")
    for row in SPOOFS:
        assert count(row["spoof"]) == harmless, row


@pytest.fixture
def writer() -> Iterator[ModuleType]:
    sys.path.insert(0, str(ROOT / "examples"))
    yield import_module("write_spoofs")
    sys.path.remove(str(ROOT / "examples"))


def test_the_file_is_what_the_script_writes(writer: ModuleType) -> None:
    assert writer.TARGET.read_text("utf-8") == writer.text(), "run python examples/write_spoofs.py"


@pytest.mark.parametrize("source", ["hub", "sample"])
def test_the_task_has_every_spoof_raw_and_quoted(source: str) -> None:
    loaded = load(get("judge-spoofing"), source)
    assert len(loaded.examples) == 2 * len(SPOOFS) == get("judge-spoofing").n
    assert loaded.missing == ()
    prompt = Prompt.of(load_protocol("pair"), quoted=False)
    by_marks = {marks: [e for e in loaded.examples if e.groups["marks"] == marks] for marks in ("raw", "quoted")}
    raw, quoted = (prompt.messages(by_marks[marks][0], (1, 0))[1]["content"] for marks in ("raw", "quoted"))
    assert "\n[[A]]\n" in raw
    assert "[[A]]" not in quoted
    assert "\n[~[A]]\n" in quoted
