"""Secrets are hidden in whatever form they come, and nothing else is."""

from __future__ import annotations

import dataclasses
import json
import random
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmbench.models.servers.generation import Reply
from rmbench.text import json_text, printable, printable_block, printable_message
from rmbench.untrusted import masking
from rmbench.untrusted.masking import mask, masked, register_secret
from tests._encodings import FORMS, fragments

KEY = "sk-proj/masking+7Qx9ZbV4mN2pL8wRtY3uHk"


@pytest.fixture(autouse=True)
def only_this_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masking, "_registered", {KEY})
    for name in (*masking._VARIABLES, *masking._PROXIES):
        monkeypatch.delenv(name, raising=False)


def held(text: str) -> list[bytes]:
    return [piece for piece in fragments(KEY) if piece in text.encode("utf-8", "replace")]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_hidden_where_it_stands(form: str) -> None:
    spelled = FORMS[form](KEY)
    hidden = mask(f"no, {spelled} is wrong")
    assert "***" in hidden
    assert not held(hidden)
    if form not in ("HTML, named", "JSON within JSON"):  # of these nothing is left but the stars
        assert hidden.startswith("no, ")
        assert hidden.endswith("is wrong")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "place", [printable, printable_block, printable_message, lambda text: json_text({text: [text]})]
)
def test_no_way_of_printing_shows_one(form: str, place: Any) -> None:
    assert not held(place(f"{FORMS[form](KEY)} and {FORMS[form](KEY)}"))


@pytest.mark.parametrize("outer", list(FORMS)[::4])
@pytest.mark.parametrize("inner", ["JSON, all codes", "base64 of the header", "URL", "hexadecimal"])
def test_forms_within_each_other(outer: str, inner: str) -> None:
    assert not held(mask(f"x {FORMS[outer](FORMS[inner](KEY))} y"))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "beside", ["text/{}", "{}/x", "key={}&n=1", "<{}>", "a_{}_b", "0123456789abcdef{}0123456789abcdef"]
)
def test_text_beside_it_hides_none(form: str, beside: str) -> None:
    assert not held(mask(beside.format(FORMS[form](KEY))))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("key", ["sk+abc/fed+0123456789abcdef", "s+beef-cafe+face", "hf_sbadface0"])
def test_keys_that_look_like_codes(form: str, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masking, "_registered", {key})
    if len(key) < 16 and form.startswith("cut"):
        return  # of a short key only the whole is hidden
    hidden = mask(f"100% of A&amp;B \\frac = \\n {FORMS[form](key)} x")
    assert "***" in hidden
    for lead in (key[:12], key[-12:]):
        assert lead.casefold() not in hidden.casefold()


def test_data_is_masked_through_and_through() -> None:
    data = {KEY: [1, None, (f"a {KEY}", {"b": KEY})], "n": 0.5}
    assert masked(data) == {"***": [1, None, ("a ***", {"b": "***"})], "n": 0.5}
    reply = Reply(f"the {KEY}", options={KEY: -1.0})
    assert masked(reply) == dataclasses.replace(reply, text="the ***", options={"***": -1.0})


def test_parts_that_say_nothing_are_left() -> None:
    for text in ("sk-proj", KEY[:11], KEY[-11:], f"{KEY[:4]}...{KEY[-4:]}", "EMPTY", "***"):
        assert mask(f"a {text} b") == f"a {text} b"


def test_all_of_a_part_is_hidden() -> None:
    assert mask(f"x{KEY[:-1]}y") == "x***y"
    assert mask(f"x{KEY[1:]}y") == "x***y"
    assert mask(KEY * 3) == "***" * 3


def test_short_secrets_are_words(monkeypatch: pytest.MonkeyPatch) -> None:
    register_secret("EMPTY")
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    assert mask("EMPTY or none of it") == "EMPTY or none of it"
    register_secret("pass-word")
    assert mask("a pass-word, not pass-wor") == "a ***, not pass-wor"


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        *((name, "  hf_" + "q7" * 12 + "\n", "hf_" + "q7" * 12) for name in masking._VARIABLES),
        ("HTTPS_PROXY", "http://me:pa%2Fss-word@proxy:3128", "pa/ss-word"),
        ("http_proxy", "me:plain-pass@proxy:3128", "plain-pass"),
    ],
)
def test_the_environment_is_known(name: str, value: str, secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert mask(f"x {secret} y") == f"x {secret} y"
    monkeypatch.setenv(name, value)
    assert mask(f"x {secret} y") == "x *** y"


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200))
def test_other_text_stays_as_it_is(text: str) -> None:
    assert mask(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "0.123456789012345678 " * 50,
        json.dumps([random.Random(0).random() for _ in range(200)]),
        "sha256 " + "0123456789abcdef" * 4,
        "The implementation of self-consistency/long-running_computations " * 20,
        "\\frac{a}{b} 100% & c = d; \\u00e9 %20 &lt; =\n",
    ],
)
def test_numbers_digests_and_formulas_stay(text: str) -> None:
    assert mask(text) == text


def test_a_long_text_takes_time_by_its_length() -> None:
    unit = "The model's answer is longer than this, and so on: see https://example.org/a/b. \\n \\u00e9 100% &amp; "
    times = []
    for count in (500, 4_000):
        began = time.perf_counter()
        assert mask(unit * count) == unit * count
        times.append(time.perf_counter() - began)
    assert times[1] < 30 * times[0] + 1


def test_a_page_looks_secrets_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    later = "hf_afterwards123456"
    with masking.looked_up_once():
        monkeypatch.setenv("HF_TOKEN", later)
        assert printable(f"{KEY} {later}") == f"*** {later}"
    assert printable(f"{KEY} {later}") == "*** ***"


def test_a_text_that_was_printed_is_hidden_once_it_is_a_secret() -> None:
    text = "sk-unknown-until-now-42"
    assert printable(text) == text
    register_secret(text)
    assert printable(text) == "***"
