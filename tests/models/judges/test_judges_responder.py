"""What a judge is asked, and what its answers become."""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from rmbench.engine.judge import MemoryLedger, judge
from rmbench.errors import RmbenchError
from rmbench.metric_spec import MetricSpec
from rmbench.metrics.judging.position_bias import orders
from rmbench.metrics.measure import measure
from rmbench.models.judges.orders import pairs_to_compare
from rmbench.models.servers.generation import Grammar, Question, Reply
from rmbench.types import TIE, Edge, Example, Judged

STYLES = tuple(Edge(i, 3 + j) for i in range(3) for j in range(3))
PICK = tuple(Edge(0, k) for k in range(1, 4))
LETTERS = "ABCDEFGH"


def answers_in(question: Question) -> list[str]:
    """The candidates' texts as the bundled templates show them."""
    content = question.messages[-1]["content"]
    return [part.split("</answer_")[0].split(">\n", 1)[1].strip() for part in content.split("<answer_")[1:]]


def verdict_of(place: int) -> str:
    return f"Because.\n[[{LETTERS[place]}]]"


def test_pairs_are_asked_in_both_orders(judges: SimpleNamespace) -> None:
    made = judges.judge(lambda question: verdict_of(answers_in(question).index("four")))
    judgment = made.judge("t", judges.example("four", "five"))
    assert [(v.shown, v.value, v.status, v.kind) for v in judgment.verdicts] == [
        ((0, 1), 0, "ok", "pick"),
        ((1, 0), 0, "ok", "pick"),
    ]
    assert judgment.status == "ok"
    assert judgment.rationale == ("Because.\n[[A]]", "Because.\n[[B]]")
    assert judgment.remarks == ("answers_plain", "answers_plain")
    assert [question.name for question in made.backend.asked] == ["t/r/0-1/0", "t/r/1-0/0"]
    assert {message["role"] for message in made.backend.asked[0].messages} == {"system", "user"}


def test_one_order_hangs_on_id_and_seed_alone(judges: SimpleNamespace) -> None:
    def first_shown(seed: int, row: Example) -> int:
        judgment = judges.judge(lambda question: verdict_of(0), seed=seed, orders="single").judge("t", row)
        assert len(judgment.verdicts) == 1
        return judgment.verdicts[0].shown[0]

    rows = [judges.example("a", "b", id_=str(k)) for k in range(200)]
    swapped = [judges.example("c", "d", id_=str(k), edges=(Edge(1, 0),)) for k in range(200)]
    found = [first_shown(0, row) for row in rows]
    assert found == [first_shown(0, row) for row in swapped]
    assert found != [first_shown(1, row) for row in rows]
    assert 70 < sum(found) < 130  # 100 +- 4 standard deviations


def test_only_the_pairs_that_the_gold_needs(judges: SimpleNamespace) -> None:
    answer = lambda question: verdict_of(0)  # noqa: E731
    styles = judges.example(*"abcdef", edges=STYLES)
    assert len(judges.judge(answer).judge("t", styles).verdicts) == 2 * 9
    pick = judges.example(*"abcd", edges=PICK)
    assert pairs_to_compare(pick) == [(0, 1), (0, 2), (0, 3)]
    assert len(judges.judge(answer).judge("t", pick).verdicts) == 2 * 3
    assert len(judges.judge(answer, tournament="true").judge("t", pick).verdicts) == 4 * 3
    rated = judges.example(*"abcd", edges=())
    assert len(judges.judge(answer, orders="single").judge("t", rated).verdicts) == 6
    tied = judges.example(*"abc", edges=(Edge(2, 0, 0.0), Edge(0, 2, 1.0, "tone")))
    assert pairs_to_compare(tied) == [(0, 2)]


def test_more_than_two_are_shown_in_a_permutation_and_its_reverse(judges: SimpleNamespace) -> None:
    made = judges.judge(lambda question: verdict_of(answers_in(question).index("best")), "pick-k")
    row = judges.example("best", "b", "c", "d", edges=PICK)
    first, second = made.judge("t", row).verdicts
    assert first.shown == tuple(reversed(second.shown))
    assert sorted(first.shown) == [0, 1, 2, 3]
    assert (first.value, second.value) == (0, 0)
    several = {made.judge("t", judges.example("best", *"bcd", id_=str(k))).verdicts[0].shown for k in range(30)}
    assert len(several) > 10
    alone = judges.judge(made.backend.answer, "pick-k", orders="single").judge("t", row)
    assert [verdict.shown for verdict in alone.verdicts] == [first.shown]
    ranked = judges.judge(lambda question: "[[C > A > D > B]]", "listwise").judge("t", row).verdicts
    assert [ranked[0].shown[place] for place in (2, 0, 3, 1)] == list(ranked[0].value)


def test_ratings_one_at_a_time_and_all_at_once(judges: SimpleNamespace) -> None:
    single = judges.judge(
        lambda question: f"Rating: [[{len(question.messages[1]['content']) % 7 + 1}]]", "pointwise-10"
    )
    judgment = single.judge("t", judges.example("a", "bb"))
    assert [(verdict.shown, verdict.kind) for verdict in judgment.verdicts] == [((0,), "rating"), ((1,), "rating")]
    at_once = judges.judge(lambda question: "\\boxed{1, 2, 3}", "deepseek-grm")
    judgment = at_once.judge("t", judges.example("a", "b", "c", edges=PICK[:2]))
    asked = [question.shown for question in at_once.backend.asked]
    rated = [(verdict.shown[0], verdict.value) for verdict in judgment.verdicts]
    assert rated == [(k, float(place + 1)) for shown in asked for place, k in enumerate(shown)]
    assert [bool(text) for text in judgment.rationale] == [True, False, False, True, False, False]
    higher = judges.judge(lambda question: "3 8\nSo.", "judgelm").judge("t", judges.example("a", "b"))
    assert [verdict.value for verdict in higher.verdicts] == [1, 0]
    assert judges.judge(lambda question: "5 5", "judgelm").judge("t", judges.example("a", "b")).verdicts[0].value == TIE


def test_probabilities_where_the_server_gives_them(judges: SimpleNamespace) -> None:
    def answer(question: Question) -> Reply:
        assert question.grammar.options == ("Yes", "No")
        return Reply(options={"Yes": -0.2, "No": -1.9}, path="logprobs")

    judgment = judges.judge(answer, "yes-no").judge("t", judges.example("a", "b"))
    assert [verdict.value for verdict in judgment.verdicts] == [pytest.approx(0.8455347349, abs=1e-10)] * 2
    assert judgment.remarks == ("answers_logprobs",) * 2
    assert judges.judge(lambda question: "No", "yes-no").judge("t", judges.example("a", "b")).verdicts[0].value == 0.0
    picked = judges.judge(lambda question: Reply(options={"A": -3.0, "B": -0.1}), "option")
    first, second = picked.judge("t", judges.example("a", "b")).verdicts
    assert (first.value, second.value) == (1, 0)
    assert first.logprob == pytest.approx(-0.1 - math.log(math.exp(-3.0) + math.exp(-0.1)))


def test_what_a_server_is_held_to(judges: SimpleNamespace) -> None:
    for protocol in ("skywork-critic", "pair-json", "pair"):
        made = judges.judge(lambda question: "", protocol)
        made.judge("t", judges.example("a", "b"))
        grammar = made.backend.asked[0].grammar
        assert grammar.choices == (("[[A]]", "[[B]]") if protocol == "skywork-critic" else ())
        assert (grammar.schema is not None) == (protocol == "pair-json")
    schema = judges.judge(lambda question: "", "pair-json")
    schema.judge("t", judges.example("a", "b"))
    asked = schema.backend.asked[0].grammar.schema
    assert asked["properties"]["winner"]["enum"] == ["A", "B"]
    assert list(asked["properties"]) == ["reason", "winner"]


def test_votes_are_questions_with_seeds_of_their_own(judges: SimpleNamespace) -> None:
    made = judges.judge(lambda question: verdict_of(question.vote % 2), votes="3", temperature="0.7")
    judgment = made.judge("t", judges.example("a", "b"))
    assert [verdict.vote for verdict in judgment.verdicts] == [0, 1, 2] * 2
    assert len({question.sampling.seed for question in made.backend.asked}) == 6
    assert all(0 <= question.sampling.seed < 2**31 for question in made.backend.asked)
    assert {question.sampling.temperature for question in made.backend.asked} == {0.7}
    again = judges.judge(made.backend.answer, votes="3", temperature="0.7")
    again.judge("t", judges.example("a", "b"))
    assert again.backend.asked == made.backend.asked


@pytest.mark.parametrize(
    ("reply", "status", "error"),
    [
        (Reply(error="connection reset"), "failed", "connection reset"),
        (Reply(text="[[A]]", finish="content_filter"), "failed", "content_filter"),
        (Reply(text="[[A]]", finish="length"), "unparsed", ""),
        (Reply(text="no idea"), "unparsed", ""),
        (Reply(text="", reasoning="[[A]]"), "unparsed", ""),
    ],
)
def test_failures_are_values(judges: SimpleNamespace, reply: Reply, status: str, error: str) -> None:
    judgment = judges.judge(lambda question: reply).judge("t", judges.example("a", "b"))
    assert judgment.status == status
    assert {(verdict.status, verdict.value) for verdict in judgment.verdicts} == {(status, None)}
    assert error in judgment.error
    mixed = judges.judge(lambda question: reply if question.shown[0] else Reply(text="[[A]]"))
    assert mixed.judge("t", judges.example("a", "b")).status == "ok"


def test_what_cannot_be_asked_fails_alone_and_a_dead_server_ends_the_run(judges: SimpleNamespace) -> None:
    made = judges.judge(lambda question: verdict_of(0), "rb2-four-way")
    judgment = made.judge("t", judges.example(*"abcde", edges=PICK))
    assert (judgment.status, made.backend.asked) == ("failed", [])
    assert "shows 4 at most" in judgment.error
    assert "row has 1" in judges.judge(lambda question: "").judge("t", judges.example("a", edges=())).error

    def dead(question: Question) -> Reply:
        raise RmbenchError("no server")

    with pytest.raises(RmbenchError, match="no server"):
        judges.judge(dead).judge("t", judges.example("a", "b"))


def test_the_thought_stands_before_the_rationale(judges: SimpleNamespace) -> None:
    made = judges.judge(lambda question: Reply(text="[[A]]", reasoning="hm \ud800"))
    assert made.judge("t", judges.example("a", "b")).rationale[0] == "<think>\nhm ?\n</think>\n[[A]]"


def test_the_estimate_is_what_is_asked(judges: SimpleNamespace) -> None:
    rows = [judges.example(*"abcdef", edges=STYLES, id_=str(k)) for k in range(3)]
    rows.append(judges.example("a", edges=(), id_="one"))
    made = judges.judge(lambda question: verdict_of(0), votes="2", temperature="1", max_tokens="50")
    estimate = made.estimate(rows)
    assert made.backend.asked == []
    for row in rows:
        made.judge("t", row)
    asked = made.backend.asked
    written = sum(-(-sum(len(m["content"]) for m in question.messages) // 4) for question in asked)
    assert (estimate.calls, estimate.prompt_tokens, estimate.answer_tokens) == (108, written, 108 * 50)
    assert len(asked) == 108
    assert str(estimate).startswith("108 questions to the judge, about ")


FAKES: dict[str, Callable[[Any], str]] = {
    "first": lambda question: verdict_of(0),
    "longer": lambda question: verdict_of(max((0, 1), key=lambda k: len(answers_in(question)[k]))),
    "perfect": lambda question: verdict_of(["good" in text for text in answers_in(question)].index(True)),
    "random": lambda question: verdict_of(random.Random(question.name).randrange(2)),
    "one in ten unparsable": lambda question: (
        "no" if random.Random(question.name).random() < 0.1 else FAKES["perfect"](question)
    ),
}
SPECS = [
    MetricSpec("accuracy", "pair", unparsed=0.5),
    MetricSpec("both", "both_orders"),
    MetricSpec("mean", "two_order_mean", unparsed=0.5),
    MetricSpec("majority", "two_order_majority"),
    MetricSpec("consistency", "order_consistency"),
    MetricSpec("first", "first_position"),
]


@pytest.mark.parametrize(
    ("fake", "expected"),
    [
        ("first", (0.5, 0.0, 0.5, 0.0, 0.0, 1.0)),
        ("longer", (0.4, 0.4, 0.4, 0.4, 1.0, 0.5)),  # the good answer is the longer one in 4 of 10 rows
        ("perfect", (1.0, 1.0, 1.0, 1.0, 1.0, 0.5)),
        ("random", (0.5, 0.25, 0.5, 0.25, 0.5, 0.5)),
        # .9 + .1 / 2; .81; as the first; right once and unread once is right; .81; .5
        ("one in ten unparsable", (0.95, 0.81, 0.95, 0.99, 0.81, 0.5)),
    ],
)
def test_fake_judges_get_what_theory_says(judges: SimpleNamespace, fake: str, expected: tuple[float, ...]) -> None:
    rows = [
        judges.example("good" + "!" * (20 if k % 10 < 4 else 1), "evil" + "!" * 10, id_=str(k), edges=(Edge(0, 1),))
        for k in range(600)
    ]
    made = judges.judge(FAKES[fake])
    judging = judge("t", rows, made, ledger=MemoryLedger())
    judged = [Judged.of(row, judgment) for row, judgment in zip(rows, judging.judgments, strict=True)]
    values = [value.value for value in measure(judged, SPECS, answer_kind="verdict", resamples=50)]
    exact = fake in ("first", "longer", "perfect")
    # Four standard errors of a share over 600 rows.
    assert values == [pytest.approx(want, abs=1e-9 if exact else 4 * 0.5 / math.sqrt(600)) for want in expected]
    assert judging.remarks == Counter({"answers_plain": 1200})
    assert judging.facts()["answers_plain"] == 1200
    found = orders(judging.judgments)
    assert found is not None
    if fake == "first":
        assert (found.consistent, found.first, found.second, found.total, found.rows) == (0, 600, 0, 600, 600)
    if fake in ("perfect", "longer"):
        assert (found.consistent, found.first, found.second) == (600, 0, 0)


def test_marks_of_an_example_go_before_the_setting(judges: SimpleNamespace) -> None:
    for setting in ("quoted", "raw"):
        made = judges.judge(lambda question: "", marks=setting)
        for marks in ({}, {"marks": "raw"}, {"marks": "quoted"}):
            made.judge("t", judges.example("[[A]]", "b", **marks))
        shown = ["[~[A]]" in question.messages[1]["content"] for question in made.backend.asked]
        assert shown == [setting == "quoted"] * 2 + [False] * 2 + [True] * 2


def test_upstream_parsers_only_when_asked_for(judges: SimpleNamespace) -> None:
    answer = lambda question: "It says [[A]].\n[[B]]"  # noqa: E731
    row = judges.example("a", "b")
    assert [v.value for v in judges.judge(answer, "rb1-pair", orders="both").judge("t", row).verdicts] == [1, 0]
    fooled = judges.judge(answer, "rb1-pair", orders="both", parser="rb1")
    assert [verdict.value for verdict in fooled.judge("t", row).verdicts] == [0, 1]
    assert fooled.facts.settings["parser"] == "rb1"


def test_a_reply_longer_than_max_reply_is_unparsed_counted_and_kept_in_part(judges: SimpleNamespace) -> None:
    def judged(size: int, **args: str) -> Any:
        text = "x" * (size - len("[[A]]")) + "[[A]]"
        made = judges.judge(lambda _: Reply(text=text, reasoning="r" * 2 * size), **args)
        return made.judge("t", judges.example("four", "five"))

    assert judged(2**18).status == "ok"
    judgment = judged(2**18 + 1)
    assert {verdict.status for verdict in judgment.verdicts} == {"unparsed"}
    assert Counter(judgment.remarks) == {"answers_plain": 2, "answers_too_long": 2}
    kept = f"<think>\n{'r' * 2**18}\n</think>\n{'x' * 2**18}"
    assert all(text.startswith(kept[:100]) and len(text) <= len(kept) for text in judgment.rationale)
    assert judged(101, max_reply="100").status == "unparsed"
    assert judged(100, max_reply="100").status == judged(2**18 + 1, max_reply="300000").status == "ok"
    assert judged(101, max_reply="100", parser="rb1", protocol="rb1-pair").status == "unparsed"  # upstream's too
    with pytest.raises(RmbenchError, match="max_reply"):
        judged(10, max_reply="0")


def test_the_default_of_max_reply_leaves_fingerprints_as_they_were(judges: SimpleNamespace) -> None:
    plain, same, other = (
        judges.judge(lambda _: "", **args).facts for args in ({}, {"max_reply": "262144"}, {"max_reply": "9"})
    )
    assert plain.settings["max_reply"] == 2**18
    assert plain.fingerprint == same.fingerprint != other.fingerprint
    settings = {key: value for key, value in plain.settings.items() if key != "max_reply"}
    hashed = json.dumps([plain.name, settings, 0], sort_keys=True).encode()
    assert plain.fingerprint == hashlib.sha256(hashed).hexdigest()


class TestTwoTurns:
    """A judge whose own reply stands in the question that is read."""

    @staticmethod
    def answer(question: Question) -> str:
        if len(question.messages) == 1:
            return "<think>hm</think>[Start of Criteria] 1. Right [End of Criteria]"
        return r"\boxed{3}" + f"\n\\boxed{{{len(question.messages[2]['content']) % 10}}}"

    def test_the_criteria_are_asked_for_once_and_shown(self, judges: SimpleNamespace) -> None:
        judge = judges.judge(self.answer, "ce-rm")
        row = judges.example("four", "of course five")
        found = judge.judge("t", row)
        asked = judge.backend.asked
        assert [len(question.messages) for question in asked] == [1, 3, 3]
        first = asked[0]
        assert "What is 2 + 2?" in first.messages[0]["content"]
        assert (first.shown, first.grammar) == ((), Grammar())
        for question, text in zip(asked[1:], ("four", "of course five"), strict=True):
            assert [message["role"] for message in question.messages] == ["user", "assistant", "user"]
            assert question.messages[0] == first.messages[0]
            assert question.messages[1]["content"] == "[Start of Criteria] 1. Right [End of Criteria]"
            assert text in question.messages[2]["content"]
        assert [verdict.shown for verdict in found.verdicts] == [(0,), (1,)]
        assert all(verdict.status == "ok" for verdict in found.verdicts)
        assert found.rationale[0].startswith("[Start of Criteria] 1. Right [End of Criteria]\n\n")
        assert judge.estimate([row]).calls == 4  # at most

    @pytest.mark.parametrize(
        ("reply", "status", "error"),
        [
            (Reply(error="the server is gone"), "failed", "the server is gone"),
            (Reply(text="1. Right", finish="length"), "unparsed", "cut off by its length"),
            (Reply(text="<think>for ever"), "unparsed", ""),
        ],
    )
    def test_without_criteria_there_is_no_verdict(
        self, judges: SimpleNamespace, reply: Reply, status: str, error: str
    ) -> None:
        judge = judges.judge(lambda question: reply if len(question.messages) == 1 else r"\boxed{3}", "ce-rm")
        found = judge.judge("t", judges.example("four", "five"))
        assert found.status == status
        assert error in found.error
        assert len(judge.backend.asked) == 1

    def test_every_vote_has_criteria_of_its_own(self, judges: SimpleNamespace) -> None:
        judge = judges.judge(self.answer, "ce-rm", votes="2", temperature="1")
        judge.judge("t", judges.example("four", "five"))
        firsts = [question for question in judge.backend.asked if len(question.messages) == 1]
        assert [question.vote for question in firsts] == [0, 1]
