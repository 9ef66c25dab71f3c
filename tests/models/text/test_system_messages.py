"""System messages that models were trained with: the sets, and where one goes before a conversation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rmbench.errors import RmbenchError
from rmbench.models.card import Card, cards
from rmbench.models.checkpoint import hub
from rmbench.models.checkpoint.hub import Download
from rmbench.models.families.scalar.stock import ScalarScorer
from rmbench.models.text.system_messages import goal_text, system_message, system_messages
from tests._make import open_as

ASPECTS = (
    "Functional_Correctness Memory_Efficiency Readability_Maintainability Runtime_Efficiency Security_Hardness".split()
)


def card(**more: Any) -> Card:
    return Card(name="x", family="scalar", verified=False, **more)


def test_a_set_says_where_it_is_from() -> None:
    for found in system_messages().values():
        assert "Apache-2.0" in found.source
    assert {each.systems for each in cards().values()} - {None} == set(system_messages())


def test_themis_has_a_message_for_each_aspect_and_one_for_all() -> None:
    messages = system_messages()["themis-rm"].messages
    assert set(messages) == {*ASPECTS, "Full"}
    for aspect in ASPECTS:
        first, _, last = messages[aspect].rpartition("\n\n3. ")
        assert first in messages[ASPECTS[0]]
        assert last in messages["Full"]
    assert messages["Full"].endswith("ones.\n")


def test_themis_on_a_tiny_checkpoint(tmp_path: Path, tiny: Any) -> None:
    """The reward is that of a plain loop over the conversation with the aspect's message before it."""
    folder = tiny.checkpoint(tmp_path / "model", "qwen3", max_position_embeddings=4096)
    text = system_messages()["themis-rm"].messages["Runtime_Efficiency"]
    (tmp_path / "aspect.txt").write_text(text)
    asked = [
        tiny.request("Sort it.", "sorted(x)"),
        tiny.request("Sort it.", "[]"),
        tiny.request(("system", "Be."), "x"),
    ]
    spelled = [tiny.request(("system", text), ("user", "Sort it."), ("assistant", a)) for a in ("sorted(x)", "[]")]
    plain = open_as(ScalarScorer, folder)
    model = open_as(ScalarScorer, folder, model_args={"system_message": str(tmp_path / "aspect.txt")})
    rows = model.encode(asked)
    assert [row.ids for row in rows[:2]] == [row.ids for row in plain.encode(spelled)]
    assert rows[2].ids == plain.encode(asked)[2].ids  # a message of its own stays
    found = model.forward(tiny.batch(rows, model.pad_id, "left"))["reward"][:, 0]
    assert found.tolist() == pytest.approx(tiny.alone(folder, rows), abs=2e-5)
    assert found[0] != pytest.approx(float(plain.forward(tiny.batch(plain.encode(asked[:1]), 1))["reward"][0, 0]))
    assert model.facts.settings["system_message"] == "aspect.txt"
    assert "system_message" not in plain.facts.settings
    assert model.facts.fingerprint != plain.facts.fingerprint


def test_a_card_names_its_set(tmp_path: Path) -> None:
    themis = card(systems="themis-rm")
    assert system_message(themis) == ""
    named = themis.model_copy(update={"system_message": "Full"})
    assert system_message(named) == system_messages()["themis-rm"].messages["Full"]
    own = tmp_path / "own.txt"
    own.write_text("Be strict.")
    assert system_message(card(system_message=str(own))) == "Be strict."


def test_the_card_of_themis_takes_an_aspect_by_name(tmp_path: Path, tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny.checkpoint(tmp_path, "qwen3", max_position_embeddings=4096)
    monkeypatch.setattr(hub, "download", lambda name, revision, **more: Download(folder, "c" * 40))
    asked = [tiny.request("Sort it.", "sorted(x)")]
    lengths = {}
    for aspect in ("", *ASPECTS, "Full"):
        model = open_as(ScalarScorer, "themis-rm-0.6b", model_args={"system_message": aspect} if aspect else {})
        assert model.facts.settings.get("system_message", "") == aspect
        (row,) = model.encode(asked)
        assert not row.truncated
        lengths[aspect] = len(row.ids)
    assert max(lengths, key=lengths.__getitem__) == "Full"
    assert min(lengths, key=lengths.__getitem__) == ""
    with pytest.raises(RmbenchError, match='Did you mean "Full"'):
        open_as(ScalarScorer, "themis-rm-0.6b", model_args={"system_message": "full"})


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"systems": "themis-rm", "system_message": "Runtime_Eficiency"}, 'Did you mean "Runtime_Efficiency"'),
        ({"system_message": "Full"}, "system_message=Full: no file, and the model has none by name"),
        ({"systems": "themis"}, 'key "systems".*Did you mean "themis-rm"'),
    ],
)
def test_what_is_not_there_is_named(keys: dict[str, str], message: str) -> None:
    with pytest.raises(RmbenchError, match=message):
        system_message(card(**keys))


def test_an_empty_file_and_a_template_without_a_place_for_it(tmp_path: Path, tiny: Any) -> None:
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(RmbenchError, match="the file is empty"):
        system_message(card(system_message=str(tmp_path / "empty.txt")))
    (tmp_path / "own.txt").write_text("Be strict.")
    template = "{% for m in messages if m.role != 'system' %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    tiny.save_model(tmp_path / "model")
    tiny.save_tokenizer(tmp_path / "model", template=template)
    model = open_as(ScalarScorer, tmp_path / "model", model_args={"system_message": str(tmp_path / "own.txt")})
    assert model.encode([tiny.request("Hi", "Yo")])[0].error == "the chat template drops the system message"


def test_models_that_read_no_template_refuse_one(tmp_path: Path, tiny: Any) -> None:
    (tmp_path / "own.txt").write_text("Be strict.")
    folder = tiny.checkpoint(tmp_path / "model", "deberta")
    args = {"segments": "pair", "system_message": str(tmp_path / "own.txt")}
    with pytest.raises(RmbenchError, match="system_message does not go with segments = pair"):
        open_as(ScalarScorer, folder, model_args=args)


WORDING = "Answer so that a strict judge would give the answer 7.5 of 10 points."


def test_a_goal_stands_before_every_conversation(tmp_path: Path, tiny: Any) -> None:
    """The reward is that of a plain loop over the conversation with the goal as its system message, or before it."""
    folder = tiny.checkpoint(tmp_path / "model", "qwen3", max_position_embeddings=4096)
    plain = open_as(ScalarScorer, folder)
    model = open_as(ScalarScorer, folder, model_args={"goal": "7.5"})
    asked = [tiny.request("Sort it.", "[]"), tiny.request(("system", "Be."), ("user", "Sort it."), ("assistant", "[]"))]
    spelled = [
        tiny.request(("system", system), ("user", "Sort it."), ("assistant", "[]"))
        for system in (WORDING, f"{WORDING}\n\nBe.")
    ]
    rows = model.encode(asked)
    assert [row.ids for row in rows] == [row.ids for row in plain.encode(spelled)]
    found = model.forward(tiny.batch(rows, model.pad_id, "left"))["reward"][:, 0]
    assert found.tolist() == pytest.approx(tiny.alone(folder, rows), abs=2e-5)
    assert (model.facts.settings["goal"], model.facts.settings["goal_in"]) == ("7.5", "system")
    assert model.facts.revision.endswith("+goal=7.5")
    assert model.facts.fingerprint != open_as(ScalarScorer, folder, model_args={"goal": "7"}).facts.fingerprint
    raw = model.encode([tiny.request("Sort it.", "[]", render="raw")])[0].ids
    assert raw == plain.encode([tiny.request(f"{WORDING}\n\nSort it.", "[]", render="raw")])[0].ids


_DROPS = "{% for m in messages if m.role != 'system' %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
_REFUSES = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}" + _DROPS


@pytest.mark.parametrize("template", [_DROPS, _REFUSES], ids=["drops", "refuses"])
def test_a_goal_stands_in_the_users_message_where_the_template_takes_no_other(
    tmp_path: Path, tiny: Any, template: str
) -> None:
    tiny.save_model(tmp_path / "model")
    tiny.save_tokenizer(tmp_path / "model", template=template)
    model = open_as(ScalarScorer, tmp_path / "model", model_args={"goal": "7.5"})
    plain = open_as(ScalarScorer, tmp_path / "model")
    (row,) = model.encode([tiny.request("Hi", "Yo")])
    assert not row.error
    assert row.ids == plain.encode([tiny.request(f"{WORDING}\n\nHi", "Yo")])[0].ids
    assert model.facts.settings["goal_in"] == "user"


def test_the_wording_of_a_goal_is_a_file_with_a_place_for_it(tmp_path: Path) -> None:
    own = tmp_path / "own.txt"
    own.write_text("Overall score: {goal}.")
    assert goal_text(card(goal=10.0, system_message=str(own))) == "Overall score: 10."
    assert goal_text(card(system_message=str(own))) == ""
    own.write_text("Be strict.")
    with pytest.raises(RmbenchError, match=r"lacks \{goal\}"):
        goal_text(card(goal=10.0, system_message=str(own)))


@pytest.mark.parametrize("goal", ["0", "11", "ten", "nan"])
def test_a_goal_is_a_number_from_1_to_10(tmp_path: Path, tiny: Any, goal: str) -> None:
    folder = tiny.checkpoint(tmp_path / "model", "qwen3")
    with pytest.raises(RmbenchError, match="goal"):
        open_as(ScalarScorer, folder, model_args={"goal": goal})
