"""A judge's settings on its card."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rmbench.errors import RmbenchError
from rmbench.models.card import Card, cards, load_card
from rmbench.models.options import OpenOptions
from rmbench.models.served.judge import check_protocol, judge_for_batch
from rmbench.models.served.open import open_served
from rmbench.models.served.request import BackendSettings, ServerRequest

CARD = """
name = "thinker"
hub = "org/thinker"
family = "judge"
verified = false

[settings]
protocol = "pair-tie"
temperature = 0.6
top_p = "none"
top_k = 20
"chat_template_kwargs.enable_thinking" = false
"""


def card(tmp_path: Path, text: str = CARD) -> Card:
    file = tmp_path / "thinker.toml"
    file.write_text(text)
    return load_card(file)


def settings_of(own: Card, **args: str) -> Any:
    from rmbench.models.served import judge as module
    from rmbench.models.servers.batch_files import BatchWriterBackend

    request = ServerRequest("vllm", "thinker", OpenOptions(model_args=args), BackendSettings())
    return module._judge(request, BatchWriterBackend("m", "m"), own).facts.settings


def test_a_card_gives_settings_and_the_user_others(tmp_path: Path) -> None:
    own = card(tmp_path)
    settings = settings_of(own, temperature="0.9")
    assert settings["protocol"] == "pair-tie"
    assert (settings["temperature"], settings["top_p"], settings["top_k"]) == (0.9, "none", 20)
    assert settings["chat_template_kwargs.enable_thinking"] is False
    assert settings_of(own)["temperature"] == 0.6
    assert settings_of(own, protocol="pair")["protocol"] == "pair"


def test_a_setting_that_no_judge_has_names_the_card(tmp_path: Path) -> None:
    with pytest.raises(
        RmbenchError, match=r'thinker\.toml: key "settings".*\'temperatur\'.*Did you mean "temperature"'
    ):
        settings_of(card(tmp_path, CARD.replace("temperature", "temperatur")))


def test_all_cards_of_judges_fit_their_protocols() -> None:
    judges = [each for each in cards().values() if each.family == "judge"]
    assert judges
    for each in judges:
        check_protocol(ServerRequest("vllm", each.name, OpenOptions(), BackendSettings()), each.name, each)


def test_fields_are_written_into_batches(tmp_path: Path) -> None:
    options = OpenOptions(model_args={"top_k": "5"}, requests_out=tmp_path / "x")
    judge = judge_for_batch(ServerRequest("openai", "m", options, BackendSettings()))
    assert judge.trial_question().sampling.extra == '{"top_k": 5}'


@pytest.mark.parametrize("option", [{"max_cost": 1.0}, {"query": ("a=b",)}, {"header_env": ("a=B",)}])
def test_options_of_servers_go_with_servers(tmp_path: Path, option: dict[str, Any]) -> None:
    options = replace(OpenOptions(requests_out=tmp_path / "x"), **option)
    with pytest.raises(RmbenchError, match="goes with"):
        open_served("openai", "m", options)
