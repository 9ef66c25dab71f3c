"""Judges read by option probabilities, from a server that lists known ones: their mass, spellings and bounds."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rmbench.errors import RmbenchError
from rmbench.models.judges.build import make_judge
from rmbench.models.judges.declaration import load_protocol
from rmbench.models.judges.verdict import VerdictParser
from rmbench.models.options import OpenOptions
from rmbench.models.servers.backend import ServerBackend
from rmbench.models.servers.capabilities import Capabilities
from rmbench.models.servers.client import Client
from rmbench.models.servers.key import ApiKey
from rmbench.models.servers.option_probs import single_tokens, summed_options
from rmbench.records.table import MASS, SCHEMA, read_table, write_table
from rmbench.types import TIE, Gold, Judged, Judgment
from tests._make import make_example

MARKS = " *\n"


def by_a_plain_loop(top: Mapping[str, float], least_mass: float = 0.5) -> tuple[str, int | None, float]:
    """Status, place and known mass of a question about two answers, from token -> probability: every way in which the
    options that are not listed may be filled up is tried."""
    known = {"A": 0.0, "B": 0.0}
    listed = set()
    for token, probability in top.items():
        bare = "".join(letter for letter in token if letter not in MARKS)
        if bare in known:
            known[bare] += probability
            listed.add(bare)
    outcomes = set()
    for a, b in itertools.product(*([known[o]] if o in listed else [0.0, min(top.values())] for o in "AB")):
        if a + b < least_mass:
            outcomes.add("below")
        else:
            outcomes.add("tie" if a == b else "A" if a > b else "B")
    mass = known["A"] + known["B"]
    if len(outcomes) > 1 or "below" in outcomes:
        return "unparsed", None, mass
    return "ok", {"A": 0, "B": 1, "tie": TIE}[outcomes.pop()], mass


def judged(stubs: Any, serve: Any, tops: Mapping[str, float], **args: str) -> Judgment:
    """The judgment of a pair by a server that lists these probabilities at the first token."""

    def answer(call: Any) -> Any:
        data = stubs.chat(next(iter(tops)))
        top = [{"token": token, "logprob": math.log(probability)} for token, probability in tops.items()]
        data["choices"][0]["logprobs"] = {"content": [{**top[0], "top_logprobs": top}]}
        return stubs.Answer(data)

    client = Client([serve(answer).url], ApiKey("OPENAI_API_KEY"), policy=stubs.FAST)
    backend = ServerBackend(client, "judge", Capabilities(logprobs="top"), "org/judge")
    judge = make_judge(backend, args.pop("protocol", "option"), OpenOptions(model_args={"orders": "single", **args}))
    try:
        return judge.judge("t", make_example("e", "What is 2 + 2?", "Four.", "Five."))
    finally:
        judge.close()


@pytest.mark.parametrize(
    "top",
    [
        {"A": 0.7, "B": 0.2, "x": 0.1},
        {"A": 0.3, " A": 0.1, "B": 0.35, "**": 0.01},  # together A leads, by its bare token it does not
        {"**B": 0.5, "A": 0.45, " B": 0.01},
        {"A": 0.4, " B": 0.4, "x": 0.1},
        {"A": 0.9, "x": 0.05, "y": 0.04},  # B is at most .04
        {"x": 0.5, "A": 0.3, "y": 0.2},  # with B at .2 the options hold .5, with B at 0 they do not
        {"A": 0.52, "x": 0.52},  # B may be as probable as A
        {"Okay": 1 - 1e-6, "\n": 1e-7, "A": 1e-10, "B": 1e-23},
        {"Okay": 0.9, "x": 0.05},
    ],
)
def test_verdicts_are_those_of_a_plain_loop(stubs: Any, serve: Any, top: dict[str, float]) -> None:
    status, place, mass = by_a_plain_loop(top)
    judgment = judged(stubs, serve, top)
    (verdict,) = judgment.verdicts
    assert (verdict.status, judgment.status) == (status, status)
    shown = verdict.shown
    assert verdict.value == (place if place is None or place == TIE else shown[place])
    assert verdict.mass == pytest.approx(mass, rel=1e-12)


@pytest.mark.parametrize("protocol", ["option", "yes-no"])
def test_options_that_are_not_listed_are_no_verdict_whatever_mass_is_asked_for(protocol: str) -> None:
    parser = VerdictParser.of(load_protocol(protocol))
    parsed = parser.parse_options({}, math.log(0.2))
    assert (parsed.status, parsed.value, parsed.remark) == ("unparsed", None, "options_undecided")


def test_options_without_mass_are_no_verdict_and_are_counted(stubs: Any, serve: Any) -> None:
    top = {"Okay": 1 - 1e-6, "A": 1e-10, "B": 1e-23}
    judgment = judged(stubs, serve, top)
    assert (judgment.status, judgment.error) == ("unparsed", "options hold 1e-10 of the mass")
    assert judgment.remarks == ("answers_logprobs", "options_below_mass")
    anyway = judged(stubs, serve, top, min_option_mass="0")
    assert (anyway.status, anyway.error, anyway.remarks) == ("ok", "", ("answers_logprobs",))
    open_question = judged(stubs, serve, {"x": 0.5, "A": 0.3, "y": 0.2})
    assert (open_question.error, open_question.remarks[1:]) == (
        "options hold between 0.3 and 0.5 of the mass",
        ("options_undecided",),
    )


def test_a_rating_stands_where_its_bounds_lie_close(stubs: Any, serve: Any) -> None:
    first, second = judged(stubs, serve, {"Yes": 0.9999, "x": 1e-5}, protocol="yes-no").verdicts
    assert first.value == pytest.approx((1 + 0.9999 / (0.9999 + 1e-5)) / 2, abs=1e-12)
    assert first.value == second.value
    wide = judged(stubs, serve, {"Yes": 0.9, "x": 0.05}, protocol="yes-no")
    assert (wide.status, wide.remarks.count("options_undecided")) == ("unparsed", 2)


def test_the_declared_share_is_a_setting_of_option_protocols(stubs: Any, serve: Any) -> None:
    assert judged(stubs, serve, {"A": 0.4, "B": 0.05, "x": 0.01}).status == "unparsed"
    assert judged(stubs, serve, {"A": 0.4, "B": 0.05, "x": 0.01}, min_option_mass="0.4").status == "ok"
    with pytest.raises(RmbenchError, match="min_option_mass: pair asks for no probabilities"):
        judged(stubs, serve, {"A": 1.0}, protocol="pair", min_option_mass="0.4")
    with pytest.raises(RmbenchError, match="min_option_mass"):
        judged(stubs, serve, {"A": 1.0}, min_option_mass="2")


def test_tokens_that_spell_an_option() -> None:
    tokens = {"A": math.log(0.2), "\u0120A": math.log(0.1), "**A**": math.log(0.05), "AB": -1.0, "a": -1.0}
    assert summed_options(tokens, ("A", "B")) == {"A": pytest.approx(math.log(0.35))}
    assert summed_options({"A": -1.0, "*A": -2.0}, ("A", "*A")) == {"A": -1.0, "*A": -2.0}
    spelled = {"A": [[5], [6], [7, 5], [0]], "B": [[8], [8], [0]]}
    assert single_tokens(spelled) == {"A": (5, 6), "B": (8,)}


def test_the_mass_is_kept_in_the_table(stubs: Any, serve: Any, tmp_path: Path) -> None:
    judgment = judged(stubs, serve, {"A": 0.25, "B": 0.5, "x": 0.1})
    rows = [Judged("e", 2, Gold(), judgment), Judged("f", 2, Gold(), Judgment("f", status="failed", error="no"))]
    write_table(tmp_path / "rows.parquet", rows, None)
    (first, _), (second, _) = read_table(tmp_path / "rows.parquet")
    assert first.judgment.verdicts[0].mass == pytest.approx(0.75)
    assert second.judgment.verdicts == ()
    assert MASS.name not in SCHEMA.names  # records of other models have the columns they had


def replied(stubs: Any, serve: Any, protocol: str, tokens: list[str], at: int, top: dict[str, float]) -> Any:
    """The judgment of one answer by a server whose reply is these tokens, and what it was sent; the probabilities are
    those of token number `at`."""
    sent: list[Any] = []

    def answer(call: Any) -> Any:
        sent.append(call.body)
        data = stubs.chat("".join(token for token in tokens if not token.startswith("<|")))
        listed = [[{"token": "?", "logprob": -0.1}, {"token": "!", "logprob": -9.0}] for _ in tokens]
        listed[at] = [{"token": token, "logprob": logprob} for token, logprob in top.items()]
        data["choices"][0]["logprobs"] = {
            "content": [
                {"token": token, "logprob": -1e9, "top_logprobs": each}
                for token, each in zip(tokens, listed, strict=True)
            ]
        }
        return stubs.Answer(data)

    client = Client([serve(answer).url], ApiKey("OPENAI_API_KEY"), policy=stubs.FAST)
    backend = ServerBackend(client, "judge", Capabilities(logprobs="top", top_logprobs=5), "org/judge")
    judge = make_judge(backend, protocol, OpenOptions())
    try:
        return judge.judge("t", make_example("e", "What is 2 + 2?", "Four.")), sent[0]
    finally:
        judge.close()


def test_nemotrons_judge_is_read_where_its_reply_ends(stubs: Any, serve: Any) -> None:
    """The penultimate token of the reply, and a floor of -50 for an option that is not listed."""
    tokens = ["It", " is", " right", ":", " Yes", "<|im_end|>"]
    found, sent = replied(stubs, serve, "nemotron-principle", tokens, 4, {" Yes": -0.02, " No": -4.25, "x": -9.0})
    assert found.verdicts[0].value == pytest.approx(-0.02 + 4.25)
    assert [message["role"] for message in sent["messages"]] == ["user", "assistant", "principle"]
    assert "continue_final_message" not in sent
    alone, _ = replied(stubs, serve, "nemotron-principle", tokens, 4, {" Yes": -0.02, "x": -9.0})
    assert alone.verdicts[0].value == pytest.approx(-0.02 + 50)


def test_lmunits_digit_is_read_behind_its_key(stubs: Any, serve: Any) -> None:
    tokens = ['{"', "score", '":', " ", "4", "}", "<|im_end|>"]
    top = {"4": math.log(0.6), "5": math.log(0.3), "3": math.log(0.1), "x": -30.0}
    found, sent = replied(stubs, serve, "lmunit", tokens, 4, top)
    assert found.verdicts[0].value == pytest.approx(0.6 * 4 + 0.3 * 5 + 0.1 * 3, abs=1e-6)
    assert sent["messages"][0] == {"role": "system", "content": "rationale=No"}
    assert sent["max_tokens"] == 10
