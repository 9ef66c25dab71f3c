"""Settings of a judge that are fields of its requests: typed, nested, left out, and recorded."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rmbench.errors import RmbenchError
from rmbench.models.judges.build import make_judge
from rmbench.models.options import OpenOptions
from rmbench.models.servers.batch_files import BatchWriterBackend, batch_line
from rmbench.models.servers.capabilities import Capabilities


def judge(**args: str) -> Any:
    return make_judge(BatchWriterBackend("m", "m"), options=OpenOptions(model_args=args))


def sent(**args: str) -> dict[str, Any]:
    """The body of a question, without its texts and its limit of length."""
    body = batch_line("m", judge(**args).trial_question(), Capabilities())["body"]
    return {key: value for key, value in body.items() if key not in ("model", "messages", "max_tokens")}


def test_a_field_is_left_out_by_none() -> None:
    assert sent().keys() == {"temperature", "top_p", "seed"}
    assert sent(top_p="none").keys() == {"temperature", "seed"}
    assert sent(temperature="None", top_p="none", seed="none", top_k="none") == {}
    facts = judge(top_p="none", seed="none").facts
    assert (facts.settings["top_p"], facts.settings["seed"]) == ("none", "none")
    assert facts.fingerprint not in (judge().facts.fingerprint, judge(top_p="none").facts.fingerprint)


def test_fields_of_their_own_names_are_numbers() -> None:
    fields = sent(top_k="20", min_p="0.05", seed="7", temperature="0.6", reasoning_effort="low")
    assert fields == {
        "temperature": 0.6, "top_p": 1.0, "seed": 7, "top_k": 20, "min_p": 0.05, "reasoning_effort": "low",
    }  # fmt: skip
    settings = judge(top_k="20", min_p="0.05", seed="7", reasoning_effort="low").facts.settings
    assert [settings[key] for key in ("top_k", "min_p", "seed", "reasoning_effort")] == [20, 0.05, 7, "low"]


def test_dots_nest_and_values_are_json() -> None:
    args = {
        "chat_template_kwargs.enable_thinking": "False",
        "extra_body.provider.order": '["a", "b"]',
        "extra_body.provider.allow_fallbacks": "false",
        "extra_body.thinking_budget": "256",
        "extra_body.user": "me",
    }
    fields = sent(**args)
    assert fields["chat_template_kwargs"] == {"enable_thinking": False}
    assert fields["provider"] == {"order": ["a", "b"], "allow_fallbacks": False}
    assert (fields["thinking_budget"], fields["user"]) == (256, "me")
    settings = judge(**args).facts.settings
    assert settings["chat_template_kwargs.enable_thinking"] is False
    assert settings["provider.order"] == '["a", "b"]'
    assert settings["thinking_budget"] == 256
    assert judge(**args).facts.fingerprint != judge().facts.fingerprint


def test_an_object_may_be_given_whole() -> None:
    whole = sent(extra_body='{"provider": {"order": ["a"]}, "user": "me"}')
    assert whole == sent(**{"extra_body.provider": '{"order": ["a"]}', "extra_body.user": "me"})


def test_judges_without_fields_keep_their_fingerprint_and_replies() -> None:
    question = judge().trial_question()
    assert question.sampling.extra == ""
    assert not {"seed", "top_k", "min_p", "reasoning_effort"} & set(judge().facts.settings)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({"extra_body.temperature": "1"}, r"extra_body.temperature: this field is given by temperature="),
        ({"extra_body.messages": "[]"}, "given by prompt="),
        ({"extra_body.stream": "true"}, "judges set this field themselves"),
        ({"extra_body.a": "1", "extra_body": '{"a": 2}'}, "given twice"),
        ({"extra_body.a": "1", "extra_body.a.b": "2"}, "a is given as a value too"),
        ({"extra_body": "5"}, "expected a JSON object"),
        ({"extra_body..a": "5"}, "expected a name behind each dot"),
        ({"top_k": "many"}, "top_k"),
        ({"top_p": "2"}, "top_p"),
        ({"seed": "7", "votes": "3", "temperature": "1"}, "with seed=7 every vote is the same"),
    ],
)
def test_what_cannot_be_sent_is_refused(args: dict[str, str], said: str) -> None:
    with pytest.raises(RmbenchError, match=said):
        judge(**args)


def test_the_order_of_settings_does_not_matter() -> None:
    one = judge(**{"extra_body.a": "1", "extra_body.b": "2"}).facts.fingerprint
    assert one == judge(**{"extra_body.b": "2", "extra_body.a": "1"}).facts.fingerprint
    assert json.loads(judge(**{"extra_body.a": "1"}).trial_question().sampling.extra) == {"a": 1}
