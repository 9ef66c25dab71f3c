"""A judge's text into a verdict, rule by rule."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmbench.models.judges.declaration import load_protocol, protocol_names
from rmbench.models.judges.grammar import strip_reasoning, verdict_pattern
from rmbench.models.judges.verdict import ParsedVerdict, VerdictParser, allowed_replies, verdicts_of
from rmbench.models.judges.verdict_format import VerdictFormat
from rmbench.types import TIE

READERS = {name: VerdictParser.of(load_protocol(name)) for name in protocol_names()}
SIZE = {name: max(2, 1) if load_protocol(name).most > 1 else 1 for name in READERS}


def read(name: str, text: str, finish: str = "stop", size: int | None = None) -> object:
    """The value, or the status where there is none."""
    found = READERS[name].parse(text, finish, SIZE[name] if size is None else size)
    assert (found.value is None) == (found.status != "ok")
    return found.status if found.value is None else found.value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("B is wrong.\n[[A]]", 0),
        ("A is wrong.\n[[B]]", 1),
        ("At first [[B]] seemed better.\n\nVerdict: [[A]]\n\nI hope this helps.", 0),
        ("[[A]] [[A]]", 0),
        ("[[A]] or [[B]]?", "unparsed"),
        ("[[A]]\n[[B]] rather than [[A]]", "unparsed"),
        ("[[B]]\n[[C]]", "unparsed"),  # no earlier verdict takes the place of one that names nobody
        ("[[a]]", "unparsed"),
        ("[A]", "unparsed"),
        ("[[A", "unparsed"),
        ("[[\uff21]]\uff3b\uff3bA\uff3d\uff3d[[\u0410]][[\u200bA]]", "unparsed"),
        ("", "unparsed"),
        ("<think>[[A]]</think>[[B]]", 1),
        ("<think>[[A]]", "unparsed"),
        ("  <think>[[A]] and so on", "unparsed"),
        ("[[A]]</think>\n[[B]]", 1),  # the template opened the thought
        ("[[A]]</think> no more", "unparsed"),
        ("It writes <think> for no reason.\n[[A]]", 0),
        ("<think>it says </think> [[B]] here</think>\nno verdict", "unparsed"),
    ],
)
def test_the_last_line_that_holds_a_mark(text: str, expected: object) -> None:
    assert read("pair", text) == expected


def test_a_text_cut_by_length_has_no_verdict() -> None:
    assert read("pair", "[[A]]", "length") == "unparsed"
    assert read("rm-r1", "<answer>[[A]]</answer>", "length") == "unparsed"
    assert read("judgelm", "8 9\nBecause", "length") == 1
    assert read("judgelm", "8 9", "length") == "unparsed"  # a tenth might have followed


def test_ties_and_more_candidates() -> None:
    assert read("pair-tie", "[[C]]") == TIE
    assert read("pair-tie", "[[C]] [[A]]") == "unparsed"
    assert read("pick-k", "[[D]]", size=4) == 3
    assert read("pick-k", "[[D]]", size=3) == "unparsed"
    assert read("listwise", "[[A > B > C]]\n[[C>A > B]]", size=3) == (2, 0, 1)
    for wrong in ("[[A > B]]", "[[A > A > B]]", "[[A > B > D]]", "[[A > B > C]] [[B > A > C]]"):
        assert read("listwise", wrong, size=3) == "unparsed"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Good.\nRating: [[7]]", 7.0),
        ("Rating: [[10]]", 10.0),
        ("Rating: [[11]]", "unparsed"),
        ("Rating: [[0]]", "unparsed"),
        ("Rating: [[7.5]]", "unparsed"),
        ("Rating: [[7]] Rating: [[7.0]]", 7.0),
        ("Rating: [[7]], Rating: [[8]]", "unparsed"),
        ("Rating: [[\u0667]]", "unparsed"),  # an Arabic seven
        ("[[7]]", "unparsed"),
    ],
)
def test_ratings(text: str, expected: object) -> None:
    assert read("pointwise-10", text) == expected


def test_ratings_at_the_very_end() -> None:
    assert read("rb-ratings", "3 points of 5 hold, so 8.") == 8.0
    assert read("rb-ratings", "**8**\n") == 8.0
    for text in ("8 of them", "7/10", "0.8", "18", "ten", "8 or \u0669"):
        assert read("rb-ratings", text) == "unparsed", text


def test_tags() -> None:
    assert read("rm-r1", "<eval>[[B]]</eval><answer>[[A]]</answer>") == 0
    assert read("rm-r1", "<answer>[[B]]</answer>\n</answer>") == 1  # as a real judge wrote it
    assert read("rm-r1", "<answer>[[A]]</answer><answer>[[B]]</answer>") == 1
    for text in ("<answer>[[A]][[B]]</answer>", "<answer>A</answer>", "[[A]]", "<answer>[[A]]</answer><answer>[[B]] "):
        assert read("rm-r1", text) == "unparsed", text


def test_several_tags_are_a_list() -> None:
    assert read("judgelrm", "why</think><answer>3</answer><answer>8</answer>") == 1
    assert read("judgelrm", "<answer>1</answer> so <answer> 8 </answer>\n<answer>3</answer>, it is.") == 0
    assert read("judgelrm", "<answer>7</answer><answer>7</answer>") == TIE
    for text in (
        "<answer>3</answer>",
        "<answer>3</answer><answer>8</answer><answer>8</answer>",
        "<answer>3 8</answer>",
        "<answer>3, 8</answer>",
        "<answer>3</answer><answer>8",
        "<answer>3</answer> and <answer>8</answer>",
        "<answer>3</answer><answer>8</answer><answer>",
        "<answer>3</answer><answer>8<answer></answer>",
        "<answer>3</answer><answer></answer>",
        "<answer>0</answer><answer>8</answer>",
        "<answer>3</answer><answer>11</answer>",
        "<answer>three</answer><answer>8</answer>",
        "3 8",
    ):
        assert read("judgelrm", text) == "unparsed", text


def test_judges_of_2025() -> None:
    assert read("compass-judger-2", '```json\n{"Choice": "Model B"}\n```') == 1
    for text in ('{"Choice": "Model C"}', '{"Choice": "[Model A]"}', '{"Choice": "Model A or Model B"}', "Model A"):
        assert read("compass-judger-2", text) == "unparsed", text
    assert read("r3", '<think>{"score": 1}</think>{"explanation": "so", "score": 4}') == 4.0
    assert read("r3", '{"score": "4"}') == 4.0
    for text in ('{"score": 6}', '{"score": 0}', '{"score": 3.5}', '{"explanation": "4"}', "score: 4"):
        assert read("r3", text) == "unparsed", text
    assert read("r3-pair", '{"explanation": "", "score": "Response 2"}') == 1
    assert read("r3-pair", '{"score": "Response 3"}') == "unparsed"
    assert read("mr3-pair", '{"explanation": "", "score": "Assistant A"}') == 0
    assert read("mr3-pair", '{"score": "Assistant C"}') == "unparsed"
    assert read("think-rm", "so</think>\n<answer>\nB\n</answer>") == 1
    assert read("think-rm", "<answer>A or B</answer>") == "unparsed"
    for number, place in (("-3", 0), ("-1", 0), ("1", 1), ("3", 1), ("+2", 1)):
        assert read("think-rm-multiclass", f"so</think><answer>{number}</answer>") == place, number
    for text in ("<answer>0</answer>", "<answer>-4</answer>", "<answer>2.5</answer>", "<answer>-1 or 2</answer>", "-2"):
        assert read("think-rm-multiclass", text) == "unparsed", text
    assert read("j1", "<think>x</think> <answer> [[B]] </answer>") == 1
    assert read("j1-pointwise", "<think><score>1</score></think><score> 7.5 </score>") == 7.5
    assert read("j1-pointwise", "<score>11</score>") == "unparsed"
    assert read("eval-planner", "[Start of Evaluation Plan] [[A]] [End of Evaluation Plan]\n[[B]]") == 1


def test_boxes() -> None:
    assert read("rrm", r"so \boxed{Assistant 2}") == 1
    assert read("rrm", r"\boxed{Assistant 2}" + "\n" + r"\boxed{\text{assistant 1}}.") == 0
    for text in (r"\boxed{Assistant 1", r"\boxed{Assistant 3}", r"\boxed{1}", r"\boxed{A\u017f\u017fistant 1}"):
        assert read("rrm", text) == "unparsed", text
    assert read("rrm", "\\boxed{a\u017f\u017fistant 1}") == "unparsed"  # a long s is no s, whatever case is ignored
    assert read("rrm", r"\boxed{Assistant 1} or \boxed{Assistant 2}") == "unparsed"
    assert read("deepseek-grm", r"\boxed{7, 4, 10}", size=3) == (7.0, 4.0, 10.0)
    assert read("deepseek-grm", r"\boxed{[7, 4]}") == (7.0, 4.0)
    assert read("deepseek-grm", r"\boxed{7, 4}", size=3) == "unparsed"
    assert read("deepseek-grm", r"\boxed{7, 11}") == "unparsed"


def test_json() -> None:
    assert read("pair-json", 'First: {"reason": "a {\\"winner\\": \\"B\\"} b", "winner": "A"}') == 0
    assert read("pair-json", '{"winner": "A"} {"winner": "B"}') == 1
    for text in (
        '{"winner": "A", "winner": "B"}',
        '{"winner": "A"} {"winner": "B"',
        '{"winner": true}',
        '{"winner": {"winner": "A"}}',
        '{"winner": "AB"}',
        '{"Winner": "A"}',
        "{'winner': 'A'}",
        "[" * 100_000,
        '{"a":' * 3_000,
        '{"winner": NaN}',
    ):
        assert read("pair-json", text) == "unparsed", text[:40]
    assert read("pair-json", '{"winner": "A", "winner": "A"}') == 0


@pytest.mark.parametrize(
    ("text", "finish", "why"),
    [
        ("<think>Hm.</think>\n", "stop", "no verdict after the thought"),
        ("Hm.</think>", "stop", "no verdict after the thought"),
        ("<think>Hm. [[A]]", "length", "max_tokens ends in the thought, before the verdict; more are needed"),
        ("<think>Hm.</think> So [[", "length", "the reply was cut off by its length"),
        ("Both are fine.", "stop", "no verdict at the declared place"),
    ],
)
def test_a_reason_says_where_the_reply_ends(text: str, finish: str, why: str) -> None:
    assert READERS["pair"].parse(text, finish, 2).why == why


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A", 0), ("B.", 1), ("**A**", 0), ("**A.**", 0), ("**A**.", 0), ("`B`", 1), ('"B"', 1), ("(A)", 0),
        ("(A).", 0),        (" *B*\n", 1), ("A!", 0), ("**A", "unparsed"), ("A**", "unparsed"), ("(A", "unparsed"),
        ("**A** or B", "unparsed"), ("A. B.", "unparsed"), ("A.\nB.", "unparsed"), ("The answer is A", "unparsed"),
        ("not A.", "unparsed"), ("a.", "unparsed"), ("\uff08A\uff09", "unparsed"), ("**\uff21**", "unparsed"),
    ],
)  # fmt: skip
def test_a_whole_answer_may_be_bold_or_end_in_a_full_stop(text: str, expected: object) -> None:
    assert read("option", text) == expected
    spelled = text.replace("A", "Yes").replace("B", "No")
    assert read("yes-no", spelled) == (expected if expected == "unparsed" else 1.0 - float(str(expected)))
    inside = f"My verdict: {text} "
    assert read("option", inside) == "unparsed"


def test_first_lines_sentences_and_whole_answers() -> None:
    assert read("judgelm", " 7 9.5\nThe second") == 1
    assert read("judgelm", "7, 7\n") == TIE
    for text in ("Scores: 7 9", "7 9 8\n", "7\n9", "0 9\n", "7 11"):
        assert read("judgelm", text) == "unparsed", text
    assert read("autoj-pair", "So, the final decision is Response 2.") == 1
    assert read("autoj-pair", "... final decision is tie") == TIE
    assert read("autoj-pair", "So, the final decision is Response 1 / Response 2 / Tie") == "unparsed"
    assert read("autoj-pair", "the final decision is Response 12") == "unparsed"
    assert read("unified-reward", "Image 2 is better than Image 1.") == 1
    assert read("unified-reward", "Both images are equally good.") == TIE
    assert read("skywork-critic", " [[B]]\n") == 1
    assert read("skywork-critic", "I say [[B]]") == "unparsed"
    assert read("prometheus-absolute", "Good. [RESULT] 4") == 4.0
    assert read("prometheus-relative", "Good. [RESULT]  B") == 1
    for text in ("[RESULT] 4/5", "[RESULT] 6", "RESULT 4"):
        assert read("prometheus-absolute", text) == "unparsed", text
    assert read("option", "B") == 1
    assert read("yes-no", "Yes") == 1.0


def test_probabilities_of_options() -> None:
    found = READERS["yes-no"].parse_options({"Yes": -0.2, "No": -1.9})
    assert found.value == pytest.approx(0.8455347349, abs=1e-10)
    picked = READERS["option"].parse_options({"A": -2.0, "B": -0.5})
    assert picked.value == 1
    assert picked.logprob == pytest.approx(-0.5 - math.log(math.exp(-2.0) + math.exp(-0.5)))
    assert READERS["option"].parse_options({"A": -1.0, "B": -1.0}).value == TIE
    assert READERS["option"].parse_options({"B": -30.0}).value == 1
    for nothing in ({}, {"A": -math.inf, "B": -math.inf}, {"A": math.nan, "B": -1.0}, {"C": -0.1}):
        assert READERS["option"].parse_options(nothing).status == "unparsed"


def test_log_odds_are_the_difference_of_the_logs_with_a_floor() -> None:
    reader = READERS["nemotron-principle"]
    for yes, no in ((-0.1, -2.5), (-1e-9, -38.0), (-45.0, -1e-9), (-70.0, -0.1)):
        found = reader.parse_options({"Yes": yes, "No": no})
        assert found.value == max(yes, -50.0) - max(no, -50.0)  # upstream clamps at -50
    near, far = (reader.parse_options({"Yes": -1e-12, "No": no}).value for no in (-40.0, -41.0))
    assert near != far  # a probability would be 1.0 for both
    alone = reader.parse_options({"Yes": -0.01}, -9.0)
    assert (alone.value, alone.status) == (pytest.approx(49.99), "ok")
    assert reader.parse_options({"No": -0.01}, -9.0).value == pytest.approx(-49.99)
    assert reader.parse_options({}, -9.0).status == "unparsed"
    assert reader.parse_options({"Yes": -9.0}, -9.0, min_mass=0.5).status == "unparsed"
    open_ended = VerdictParser(reader.verdict_format.model_copy(update={"absent": None}), (), reader.pattern)
    assert open_ended.parse_options({"Yes": -0.01, "No": -60.0}).value == pytest.approx(59.99)
    assert open_ended.parse_options({"Yes": -0.01}, -9.0).remark == "options_undecided"


def test_lmunit_is_the_mean_of_its_digits() -> None:
    digits = {"3": 0.2, "4": 0.5, "5": 0.3}
    options = {digit: math.log(p) for digit, p in digits.items()} | dict.fromkeys("0126", -40.0)
    assert READERS["lmunit"].parse_options(options).value == pytest.approx(0.2 * 3 + 0.5 * 4 + 0.3 * 5)
    assert read("lmunit", '{"score": 4}') == 4.0
    assert read("lmunit", '{"score": 7}') == "unparsed"


def test_nemotrons_ranking() -> None:
    assert [read("nemotron-genrm", f'{{"score_1": 4, "score_2": 3, "ranking": {k}}}') for k in range(1, 7)] == [
        0,
        0,
        0,
        1,
        1,
        1,
    ]
    for text in ('{"ranking": 0}', '{"ranking": 7}', '{"ranking": 3.5}', '{"score_1": 4, "score_2": 3}', "2"):
        assert read("nemotron-genrm", text) == "unparsed", text


def test_ce_rm_reads_the_last_box() -> None:
    text = r"Clear: $\boxed{4.5}$" + "\nOverall: $\\boxed{8}$"
    assert read("ce-rm", text) == 8.0
    for wrong in (r"\boxed{11}", r"\boxed{8/10}", "8", r"\boxed{4} and \boxed{5}"):
        assert read("ce-rm", wrong) == "unparsed", wrong


def test_marks_that_a_server_can_be_held_to() -> None:
    assert allowed_replies(READERS["skywork-critic"].verdict_format, 2) == ("[[A]]", "[[B]]")
    assert allowed_replies(READERS["pair-json"].verdict_format, 2) == ("A", "B")
    assert allowed_replies(READERS["pair-tie"].verdict_format, 2) == ("[[A]]", "[[B]]", "[[C]]")
    for name, reader in READERS.items():
        for mark in allowed_replies(reader.verdict_format, 2):
            if reader.verdict_format.place in ("last", "whole", "end"):
                assert reader.parse(mark, "stop", 2).status == "ok", (name, mark)


FRAGMENTS = st.sampled_from(
    [
        "[[A]]",
        "[[B]]",
        "[[",
        "]]",
        "<think>",
        "</think>",
        "<answer>",
        "</answer>",
        "\\boxed{",
        "}",
        "{",
        '"winner"',
        ":",
        "Assistant 1",
        "[RESULT] ",
        "Rating: [[7]]",
        "7 9",
        "\n",
        ",",
        " > ",
        "final decision is ",
        "Tie",
        "\\text{",
        '"',
    ]
)
TEXTS = st.lists(st.one_of(FRAGMENTS, st.text(max_size=8)), max_size=30).map("".join)


@settings(deadline=None, max_examples=300)
@given(TEXTS, st.sampled_from(sorted(READERS)), st.sampled_from(["stop", "length"]), st.integers(1, 5))
def test_no_text_raises(text: str, name: str, finish: str, size: int) -> None:
    found = READERS[name].parse(text, finish, size)
    assert (found.status == "ok") == (found.value is not None)
    assert found.status in ("ok", "unparsed")


@settings(deadline=None, max_examples=200)
@given(st.text(st.characters(exclude_characters="[]<>{}0123456789ABYN")), st.sampled_from(sorted(READERS)))
def test_a_text_without_marks_is_unparsed(text: str, name: str) -> None:
    if "decision" not in text and "Image" not in text:
        assert READERS[name].parse(text, "stop", 2).status == "unparsed"


@settings(deadline=None, max_examples=300)
@given(TEXTS, TEXTS, st.sampled_from(["[[A]]", "[[B]]"]))
def test_nothing_in_the_thought_changes_the_verdict(one: str, other: str, verdict: str) -> None:
    expected = "[[A]] [[B]]".split().index(verdict)
    for thought in (one, one + other):
        assert read("pair", f"<think>{thought}</think>\nSo it is.\n{verdict}") == expected
        assert strip_reasoning(f"<think>{thought}</think>rest", (("<think>", "</think>"),)) == "rest"


def test_a_rating_can_be_held_to_its_whole_range() -> None:
    marks = allowed_replies(READERS["pointwise-10"].verdict_format, 1)
    assert marks == tuple(f"Rating: [[{rating}]]" for rating in range(1, 11))
    halves = READERS["pointwise-10"].verdict_format.model_copy(update={"integer": False})
    assert allowed_replies(halves, 1) == ()


def test_values_that_differ_in_case_alone_name_nothing() -> None:
    declared = VerdictFormat(mark="[[{value}]]", values={"yes": 0, "YES": 1, "no": 1}, ignore_case=True)
    reader = VerdictParser(declared, (), verdict_pattern(declared))
    assert [reader.parse(f"[[{text}]]", "stop", 2).value for text in ("yes", "Yes", "No")] == [None, None, 1]
    exact = declared.model_copy(update={"ignore_case": False})
    reader = VerdictParser(exact, (), verdict_pattern(exact))
    assert [reader.parse(f"[[{text}]]", "stop", 2).value for text in ("yes", "YES", "No")] == [0, 1, None]


def test_values_can_be_held_to_as_well() -> None:
    declared = VerdictFormat(mark="<{value}>", place="whole", values={"yes": 0, "no": 1})
    assert allowed_replies(declared, 2) == ("<yes>", "<no>")
    assert allowed_replies(READERS["listwise"].verdict_format, 3) == ()


def test_an_unread_question_is_one_verdict_unless_each_candidate_is_rated() -> None:
    blank = ParsedVerdict(None, "unparsed")
    (pick,) = verdicts_of((1, 0), 2, blank, load_protocol("pair"))
    assert (pick.shown, pick.kind, pick.value, pick.status, pick.vote) == ((1, 0), "pick", None, "unparsed", 2)
    each = verdicts_of((2, 0, 1), 0, blank, load_protocol("deepseek-grm"))
    assert [(one.shown, one.kind, one.status) for one in each] == [((k,), "rating", "unparsed") for k in (2, 0, 1)]
    (alone,) = verdicts_of((1,), 0, ParsedVerdict(7.0), load_protocol("pointwise-10"))
    assert (alone.shown, alone.kind, alone.value) == ((1,), "rating", 7.0)


def test_places_become_candidates_in_the_order_shown() -> None:
    (ranked,) = verdicts_of((2, 0, 1), 0, ParsedVerdict((1, 2, 0)), load_protocol("listwise"))
    assert ranked.value == (0, 1, 2)
    rated = verdicts_of((2, 0), 1, ParsedVerdict((7.0, 4.0)), load_protocol("deepseek-grm"))
    assert [(one.shown, one.value, one.vote) for one in rated] == [((2,), 7.0, 1), ((0,), 4.0, 1)]
    assert [verdicts_of((1, 0), 0, ParsedVerdict(k), load_protocol("pair"))[0].value for k in (0, 1, TIE)] == [
        1,
        0,
        TIE,
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [('{"v": 7}', 7.0), ('{"v": "7"}', 7.0), ('{"v": 7.5}', None), ('{"v": true}', None), ('{"v": [7]}', None)],
)
def test_numbers_in_json(text: str, value: float | None) -> None:
    declared = VerdictFormat(reads="rating", place="json", tag="v", mark="{number}")
    assert VerdictParser(declared, (), verdict_pattern(declared)).parse(text, "stop", 1).value == value


@pytest.mark.parametrize(
    ("text", "value"),
    [('{"v": ["B", "A"]}', (1, 0)), ('{"v": "B > A"}', (1, 0)), ('{"v": ["B", 1]}', None), ('{"v": {"B": "A"}}', None)],
)
def test_rankings_in_json(text: str, value: tuple[int, ...] | None) -> None:
    declared = VerdictFormat(reads="ranking", place="json", tag="v", mark="{ranking}")
    assert VerdictParser(declared, (), verdict_pattern(declared)).parse(text, "stop", 2).value == value
