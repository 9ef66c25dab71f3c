"""Protocols as data: what is declared is checked, and all that changes a verdict is hashed."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rmbench.errors import RmbenchError
from rmbench.models.judges.declaration import FOLDER, load_protocol, protocol_names
from rmbench.models.judges.parsers import PARSERS
from rmbench.models.judges.prompt import Prompt, PromptError
from rmbench.models.judges.settings import JUDGE_ARGS
from rmbench.types import Candidate, Edge, Example, Gold, Message
from tests._make import make_example

PUBLIC = (
    "prometheus-absolute prometheus-relative skywork-critic judgelm autoj-pair autoj-single self-taught rm-r1 "
    "rm-r1-distilled rrm deepseek-grm rb1-pair rb2-four-way rb-ratings yes-no judgelrm think-rm "
    "think-rm-multiclass j1 j1-pointwise j1-scores eval-planner agent-trajectory"
).split()
SEEING = [name for name in protocol_names() if load_protocol(name).media is not None]
"""Shown images, see test_judges_seeing.py."""
THEIRS = "compass-judger-2 r3 r3-pair mr3-pair lmunit ce-rm br-rm".split()
"""Whose licence allows their authors' own wording."""
NO_WORDING = ["nemotron-principle", "nemotron-genrm", "nemotron-super-genrm"]
OURS = "pair pair-tie pair-json pick-k listwise pointwise-10 pointwise-rubric rag-pair option profile".split()


def example(*texts: str, **context: Any) -> Example:
    return make_example("r", "QUESTION", *texts, **context)


def shown(name: str, row: Example, order: tuple[int, ...] = (1, 0)) -> str:
    protocol = load_protocol(name)
    return "\n".join(m["content"] for m in Prompt.of(protocol).messages(row, order[: protocol.most]))


def test_all_are_here() -> None:
    assert set(protocol_names()) == {*PUBLIC, *THEIRS, *NO_WORDING, *OURS, *SEEING}
    assert len(SEEING) == 30


@pytest.mark.parametrize("name", [*PUBLIC, *THEIRS, *NO_WORDING, *OURS])
def test_a_prompt_shows_question_and_candidates_in_order(name: str) -> None:
    text = shown(name, example("FIRST", "SECOND", rubric="RUBRIC"))
    protocol = load_protocol(name)
    assert text.count("QUESTION") == 1
    assert text.count("SECOND") == 1
    if protocol.most > 1:
        assert text.index("SECOND") < text.index("FIRST")
    else:
        assert "FIRST" not in text
    assert ("wording ours" in protocol.follows) == (name in PUBLIC)
    assert bool(re.search("wording theirs, (Apache-2.0|MIT)$", protocol.follows)) == (name in THEIRS)
    assert not any(mark in text.replace('"None identified"', "") for mark in ("{{", "{%", "None"))


def test_public_judges_need_their_authors_wording_and_say_so() -> None:
    for name in set(PUBLIC) - {"yes-no", "rb2-four-way", "rb-ratings"}:
        notes = " ".join(load_protocol(name).notes)
        assert "prompt=FILE" in notes or "system=FILE" in notes, name


def test_context_where_a_protocol_has_a_place_for_it() -> None:
    row = example("a", "b", passages="PASSAGES", reference="REFERENCE", rubric="RUBRIC")
    assert "PASSAGES" in shown("rag-pair", row)
    for name in ("pointwise-rubric", "prometheus-absolute", "prometheus-relative"):
        assert "REFERENCE" in shown(name, row)
        assert "RUBRIC" in shown(name, row)
    for name in ("r3", "r3-pair", "mr3-pair"):
        assert "OWN POINTS" in shown(name, example("a", "b", rubric="OWN POINTS"))
        assert "OWN POINTS" not in shown(name, row)
    assert "REFERENCE" in shown("judgelm", row)
    assert "REFERENCE" not in shown("pair", row)
    with pytest.raises(PromptError, match="needs a rubric"):
        shown("pointwise-rubric", example("a", "b"))
    assert "RUBRIC" in Prompt.of(load_protocol("pointwise-rubric"), rubric="RUBRIC").messages(row, (0,))[1]["content"]


def test_a_principle_is_a_message_of_its_own_role() -> None:
    prompt = Prompt.of(load_protocol("nemotron-principle"))
    asked = prompt.messages(example("FIRST", "SECOND"), (1,))
    assert [(m["role"], m["content"]) for m in asked] == [
        ("user", "QUESTION"),
        ("assistant", "SECOND"),
        ("principle", "helpfulness"),
    ]
    pair = Prompt.of(load_protocol("nemotron-genrm")).messages(example("FIRST", "SECOND"), (1, 0))
    assert [(m["role"], m["content"]) for m in pair[1:]] == [("response_1", "SECOND"), ("response_2", "FIRST")]
    named = prompt.messages(example("FIRST", rubric="security hardness"), (0,))
    assert named[2]["content"] == "security hardness"


def test_lmunit_is_asked_as_its_authors_ask_it() -> None:
    prompt = Prompt.of(load_protocol("lmunit"))
    system, user = (m["content"] for m in prompt.messages(example("FIRST", "SECOND"), (1,)))
    assert system == "rationale=No"
    assert user == "Query: QUESTION\n\nResponse: SECOND\n\nUnit Test: Is the response helpful?"
    assert prompt.messages(example("FIRST", rubric="Is it safe?"), (0,))[1]["content"].endswith(
        "Unit Test: Is it safe?"
    )


def test_conversations_and_prompts_of_their_own() -> None:
    talk = tuple(Message.of(role, role.upper()) for role in ("system", "user", "assistant", "user"))
    other = (Message.of("user", "ANOTHER QUESTION"),)
    answers = (Candidate.of("a"), Candidate((Message.of("assistant", "b"),), prompt=other))
    row = Example("r", talk, answers, Gold((Edge(0, 1),)))
    text = shown("pair", row)
    assert "[system]\nSYSTEM\n\n[user]\nUSER\n\n[assistant]\nASSISTANT\n\n[user]\nUSER" in text
    assert "(to this request: ANOTHER QUESTION)" in text
    assert "ANOTHER QUESTION" in shown("pointwise-10", row)


def test_a_candidate_is_never_rendered() -> None:
    assert "{{ 7 * 7 }}" in shown("pair", example("{{ 7 * 7 }}", "{% for x in y %}"))


def copied(folder: Path, old: str, new: str, name: str = "pair") -> Path:
    for path in FOLDER.glob(f"{name}*"):
        shutil.copy(path, folder)
    path = folder / f"{name}.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return path


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("version = 1", "", "version"),
        ("version = 1", "version = 1\nvesrion = 1", 'Did you mean "version"'),
        ('name = "pair"', 'name = "pears"', 'the file is called "pair"'),
        ('shape = "pair"', 'shape = "trio"', "shape"),
        ('mark = "[[{label}]]"', 'mark = "[[A]]"', "placeholder"),
        ('mark = "[[{label}]]"', 'mark = "{value}"', "values"),
        ('mark = "[[{label}]]"', 'mark = "{number}"', "not read as a pick"),
        ('mark = "[[{label}]]"', 'mark = "[[{label}]]"\nplace = "tag"', "needs its name"),
        ('mark = "[[{label}]]"', 'mark = "[[{label}]]"\nconstrain = "choices"', "constrain"),
        ('"pair.system.jinja"', '"../pair.system.jinja"', "not the name of a .jinja file"),
        ('"pair.system.jinja"', '"gone.jinja"', "gone.jinja: cannot be read"),
        ('role = "system"', 'role = "raw"', "raw prompt stands alone"),
        ('role = "user"', 'role = "system"', "stands first"),
        ('role = "user"', 'role = "usr"', 'Did you mean "user"'),
        ('role = "system"', 'role = "assistant"', "an assistant's behind another"),
        ('template = "pair.user.jinja"', "", "every message but a reply has one"),
        ('role = "user"\ntemplate = "pair.user.jinja"', 'role = "reply"', "messages behind it"),
        ('mark = "[[{label}]]"', 'mark = "[[{label}]]"\noptions_behind = "x"', "goes with options_at"),
        ('mark = "[[{label}]]"', 'mark = "[[{label}]]"\noptions_as = "log-odds"', "a rating by two options"),
        ('mark = "[[{label}]]"', 'mark = "[[{label}]]"\nabsent = -50.0', "goes with options_as"),
        ('shape = "pair"', 'shape = "pair"\nmost = 1', "two or more"),
        ('shape = "pair"', 'shape = "pair"\nunparsed = 2.0', "between 0 and 1"),
        ("[verdict]", "[verdict", "not TOML"),
    ],
)
def test_a_wrong_declaration_is_one_clear_error(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = copied(tmp_path, old, new)
    with pytest.raises(RmbenchError) as caught:
        load_protocol(str(path))
    assert message in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_everything_that_changes_a_verdict_changes_the_digest(tmp_path: Path) -> None:
    bundled = load_protocol("pair")
    assert load_protocol(str(copied(tmp_path, "version", "version"))).digest == bundled.digest
    (tmp_path / "pair.user.jinja").write_text(bundled.template_texts[1] + "!")
    assert load_protocol(str(tmp_path / "pair.toml")).digest != bundled.digest
    own = tmp_path / "own.jinja"
    own.write_text("{{ question }} {{ answers[0].text }} {{ answers[1].text }} -> [[A]] or [[B]]?")
    reworded = bundled.with_templates(prompt=own)
    assert reworded.digest != bundled.digest
    assert Prompt.of(reworded).messages(example("x", "y"), (0, 1))[1]["content"] == "QUESTION x y -> [[A]] or [[B]]?"
    assert bundled.with_templates(system=own).template_texts[0] == own.read_text()
    with pytest.raises(RmbenchError, match="no system message"):
        load_protocol("rrm").with_templates(prompt=own) and load_protocol("autoj-pair").with_templates(system=own)


def test_templates_of_a_user_are_boxed_in(tmp_path: Path) -> None:
    for text in ("{{ ''.__class__.__mro__ }}", "{{ answers.append(1) }}", "{{ nobody }}", "{{ 1 / 0 }}"):
        own = tmp_path / "own.jinja"
        own.write_text(text)
        prompt = Prompt.of(load_protocol("pair").with_templates(prompt=own))
        with pytest.raises(PromptError, match="a template of pair fails"):
            prompt.messages(example("x", "y"), (0, 1))
    own.write_text("{% for %}")
    with pytest.raises(RmbenchError, match="a template is wrong"):
        Prompt.of(load_protocol("pair").with_templates(prompt=own))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"protocol": "pears"}, 'Did you mean "pair"'),
        ({"votes": "3"}, "set temperature"),
        ({"votes": "0", "temperature": "1"}, "greater than or equal to 1"),
        ({"votes": "\u0663", "temperature": "1"}, "whole number"),
        ({"orders": "bth"}, 'Did you mean "both"'),
        ({"marks": "plain"}, "quoted, raw"),
        ({"parser": "rb2"}, 'Did you mean "rb1"'),
        ({"parser": "judgelm"}, "does not read pair's verdicts"),
        ({"temperature": "hot"}, "expected a number"),
        ({"temperature": "nan"}, "temperature: input should be"),
        ({"top_p": "0"}, "top_p"),
        ({"unparsed": "2"}, "from 0 to 1"),
        ({"rubric": "gone.txt"}, "gone.txt"),
        ({"protocol": "option", "votes": "3"}, "drawn once"),
    ],
)
def test_wrong_arguments(judges: SimpleNamespace, args: dict[str, str], message: str) -> None:
    with pytest.raises(RmbenchError) as caught:
        judges.judge(lambda question: "", **args)
    assert message in str(caught.value)


def test_the_record_tells_what_was_asked_how(judges: SimpleNamespace) -> None:
    one = judges.judge(lambda question: "", votes="3", temperature="0.7", voting="mean", unparsed="0.5").facts
    assert one.family == "judge"
    assert one.answer_kind == "verdict"
    wanted = {"protocol": "pair", "votes": 3, "voting": "mean", "temperature": 0.7, "orders": "both", "marks": "quoted"}
    assert wanted.items() <= one.settings.items()
    assert one.settings["server"] == "memory"
    assert one.settings["unparsed"] == 0.5
    changed = [{}, {"marks": "raw"}, {"orders": "single"}, {"protocol": "pair-tie"}, {"max_tokens": "9"}]
    changed += [{"tournament": "true"}, {"temperature": "0.1"}, {"top_p": "0.5"}]
    prints = {judges.judge(lambda question: "", **args).facts.fingerprint for args in changed}
    assert len({*prints, one.fingerprint, judges.judge(lambda question: "", seed=1).facts.fingerprint}) == 10


def test_the_page_names_every_protocol_parser_and_setting() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "judges.md").read_text("utf-8")
    named = {*protocol_names(), *PARSERS, *JUDGE_ARGS}
    assert [name for name in sorted(named) if f"`{name}`" not in page] == []


def test_think_tags_can_be_declared_in_a_file(tmp_path: Path) -> None:
    think = 'think = [["<thought>", "</thought>"]]\nshape = "pair"'
    assert load_protocol(str(copied(tmp_path, 'shape = "pair"', think))).think == (("<thought>", "</thought>"),)


def test_an_unknown_protocol_names_the_nearest_or_all() -> None:
    with pytest.raises(RmbenchError, match=r'optoin.* Did you mean "option"\?$'):
        load_protocol("optoin")
    with pytest.raises(RmbenchError, match=r"zzz.*There are .*option, "):
        load_protocol("zzz")
