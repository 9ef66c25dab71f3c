"""Baselines that count, as models."""

from __future__ import annotations

from typing import Any

import pytest

from rmbench.errors import RmbenchError
from rmbench.models.baselines.open import open_baseline
from rmbench.models.baselines.surface import BASELINES, SurfaceBaseline
from rmbench.models.open import OpenOptions, open_model
from rmbench.types import Candidate, Example, Gold, Message
from tests._make import open_as

PROMPT = (Message.of("system", "Be terse."), Message.of("user", "Why is the sky blue?"))
OWN = (Message.of("user", "Name a rose."),)
ROW = Example(
    "0",
    PROMPT,
    (
        Candidate.of("The sky is blue."),
        Candidate.of(""),
        Candidate((Message.of("assistant", "A rose is a rose."),), prompt=OWN),
    ),
    Gold(),
)


def rewards(kind: str, **args: str) -> tuple[float, ...]:
    model = open_model(f"baseline:{kind}", OpenOptions(model_args=args))
    assert isinstance(model, SurfaceBaseline)
    judged = model.judge("t", ROW)
    assert (judged.status, judged.lengths) == ("ok", (16, 0, 17))
    assert judged.rewards is not None
    return judged.rewards


def test_length_in_either_unit() -> None:
    assert rewards("length") == (16, 0, 17)
    assert rewards("length", unit="words") == (4, 0, 5)
    assert rewards("shorter") == (-16, 0, -17)
    assert rewards("shorter", unit="words") == (-4, 0, -5)


def test_overlap_is_with_the_candidates_own_prompt() -> None:
    # be terse why is the sky blue (7), the sky is blue (4): all four shared; name a rose (3), a rose is a rose (5): 2.
    assert rewards("overlap") == pytest.approx((8 / 11, 0, 4 / 8))
    assert rewards("overlap", measure="recall") == pytest.approx((4 / 7, 0, 2 / 3))
    assert rewards("overlap", measure="precision") == pytest.approx((1, 0, 2 / 5))


def test_type_token() -> None:
    assert rewards("type_token") == pytest.approx((1, 0, 3 / 5))
    assert rewards("type-token", window="2") == pytest.approx((1, 0, 1))


@pytest.mark.parametrize(
    ("kind", "args", "message"),
    [
        ("lenght", {}, r'expected one of length, shorter, overlap, type-token, relevance.*Did you mean "length"'),
        ("overlap", {"mesure": "f1"}, r'no setting \'mesure\' \(it has measure\).*Did you mean "measure"'),
        ("overlap", {"measure": "bleu"}, "--model-args: measure: expected one of f1, precision, recall; found 'bleu'"),
        ("type-token", {"window": "0"}, "--model-args: window: .*found '0'"),
        ("shorter", {"window": "1"}, "no setting 'window'"),
        ("relevance", {}, r"needs --model-args embedder=FOLDER or org/name"),
        ("relevance", {"embedder": "x/y", "length_weight": "-1"}, "--model-args: length_weight: .*found '-1'"),
        ("relevance", {"embedder": "fake:oracle"}, "expected a folder or a hub id"),
    ],
)
def test_what_is_refused(kind: str, args: dict[str, str], message: str) -> None:
    with pytest.raises(RmbenchError, match=message):
        open_baseline(kind, OpenOptions(model_args=args))


def test_facts() -> None:
    def facts(kind: str, **args: Any) -> Any:
        return open_baseline(kind, OpenOptions(model_args=args)).facts

    surfaces = [facts(kind) for kind in BASELINES if kind != "relevance"]
    assert len({each.fingerprint for each in surfaces}) == len(surfaces) == 4
    for each in surfaces:
        assert (each.family, each.flags, each.parameters) == ("baseline", ("baseline",), 0)
        assert (each.revision, each.modalities) == (each.fingerprint[:8], frozenset({"text"}))
    assert facts("length").settings == {"unit": "characters"}
    assert facts("length", unit="characters").fingerprint == facts("length").fingerprint
    assert facts("length", unit="words").fingerprint != facts("length").fingerprint
    assert facts("type-token", window="9").settings == {"window": 9}


def test_a_name_that_means_nothing_lists_them_all() -> None:
    with pytest.raises(RmbenchError, match=r"baseline:length\|shorter\|overlap\|type-token\|relevance"):
        open_model("nothing-of-this")


def test_tools_and_calls_count_as_the_text_that_they_are() -> None:
    calls = '[{"function": {"name": "sky", "arguments": {}}}]'
    calling = Message("assistant", (), (("tool_calls", calls),))
    saying = Message("assistant", Message.of("assistant", "Look.").parts, (("tool_calls", calls),))
    tools = Message.of_tools([{"name": "sky"}])
    row = Example("0", (tools, *OWN), (Candidate((calling,)), Candidate((saying,)), Candidate.of("sky")), Gold())
    length, overlap = (open_as(SurfaceBaseline, f"baseline:{kind}").judge("t", row) for kind in ("length", "overlap"))
    assert length.rewards == (len(calls), len(f"Look.\n{calls}"), 3)
    # the prompt is: name sky name a rose (5 words); the last answer is one of them
    assert overlap.rewards is not None
    assert overlap.rewards[2] == pytest.approx(2 * 1 / (5 + 1))
