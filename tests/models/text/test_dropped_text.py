"""Templates that render less than the conversation: counted, noted, and a failed row where they make a tie."""

from __future__ import annotations

from pathlib import Path

import pytest

import rmbench
from rmbench.engine.judge import Judging, SilentProgress, judge
from rmbench.errors import RmbenchError
from rmbench.models.open import OpenOptions, open_model
from rmbench.types import Candidate, Example, Gold, Message
from tests._make import make_example

DROPS_REASONING = """{% for m in messages %}{% set c = m.content %}{% if m.role == 'assistant' and '</think>' in c %}\
{% set c = c.split('</think>')[-1] %}{% endif %}<|start|>{{ m.role }}
{{ c }}<|end|>
{% endfor %}"""
LAST_TWO = "{% for m in messages[-2:] %}<|start|>{{ m.role }}\n{{ m.content | trim }}<|end|>\n{% endfor %}"
AS_JSON = """{% for m in messages %}{% if m.role == 'tool' %}{{ {'output': m.content} | tojson }}{% else %}\
{{ m.role }}: {{ m.content }}{% endif %}
{% endfor %}"""


class Notes(SilentProgress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


def judged(folder: Path, template: Path, text: str, *examples: Example) -> tuple[Judging, list[str]]:
    template.write_text(text)
    notes = Notes()
    return judge("mine", examples, open_model(str(folder), OpenOptions(template=template)), progress=notes), notes.lines


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "template.jinja"


def test_rows_with_dropped_text_are_counted_and_noted(llama: Path, file: Path) -> None:
    examples = (
        make_example("a", "2+2?", "<think>Two and two.</think>4", "<think>Perhaps three?</think>5"),
        make_example("b", "2+2?", "Four.", "<think>Hm.</think>Five."),
        make_example("c", "2+2?", "4", "5"),
    )
    judging, notes = judged(llama, file, DROPS_REASONING, *examples)
    assert judging.facts()["template_dropped_text"] == 2
    assert notes == ["mine: template dropped text in 2 of 3 rows"]
    assert [each.status for each in judging.judgments] == ["ok"] * 3
    plain, _ = judged(llama, file, DROPS_REASONING, make_example("a", "2+2?", "4", "5"))
    assert judging.judgments[0].rewards == pytest.approx(plain.judgments[0].rewards, abs=1e-5)


def test_a_row_fails_where_different_candidates_render_alike(llama: Path, file: Path) -> None:
    alike = make_example("alike", "2+2?", "<think>Two and two.</think>4", "5", "<think>I will insult them.</think>4")
    judging, notes = judged(llama, file, DROPS_REASONING, alike, make_example("other", "2+2?", "4", "5"))
    failed, other = judging.judgments
    assert (failed.status, other.status) == ("failed", "ok")
    assert failed.error == (
        "candidate 2: the chat template drops text, so that the model reads the same as for candidate 0, from which it "
        "differs"
    )
    assert notes == ["mine: template dropped text in 1 of 2 rows"]


def test_one_candidate_that_loses_its_text_to_equal_another(llama: Path, file: Path) -> None:
    judging, _ = judged(llama, file, DROPS_REASONING, make_example("a", "2+2?", "4", "<think>Why?</think>4"))
    assert judging.judgments[0].error.startswith("candidate 1: the chat template drops text")


def test_equal_candidates_and_white_space_tie_as_before(llama: Path, file: Path) -> None:
    examples = (
        make_example("same", "2+2?", "<think>Two.</think>4", "<think>Two.</think>4"),
        make_example("spaced", "2+2?", "It is four.", " It is four.\n"),
    )
    judging, notes = judged(llama, file, LAST_TWO, *examples)
    assert [each.status for each in judging.judgments] == ["ok", "ok"]
    assert notes == []
    assert "template_dropped_text" not in judging.facts()
    assert judged(llama, file, DROPS_REASONING, examples[0])[0].judgments[0].status == "ok"


def test_earlier_turns_that_vanish(llama: Path, file: Path) -> None:
    prompt = tuple(Message.of(role, text) for role, text in (("user", "One?"), ("assistant", "1"), ("user", "Two?")))
    example = Example("long", prompt, (Candidate.of("2"), Candidate.of("3")), Gold())
    judging, notes = judged(llama, file, LAST_TWO, example)
    assert notes == ["mine: template dropped text in 1 of 1 rows"]
    assert judging.judgments[0].status == "ok"


def test_texts_written_as_json_are_not_dropped(llama: Path, file: Path) -> None:
    prompt = (Message.of("user", "Weather?"), Message.of("tool", 'It says "rain"\nin Graz'))
    example = Example("tool", prompt, (Candidate.of("Rain."), Candidate.of("Sun.")), Gold())
    assert judged(llama, file, AS_JSON, example)[1] == []


def test_candidates_that_truncation_makes_equal_are_no_fault_of_the_template(llama: Path, file: Path) -> None:
    file.write_text(DROPS_REASONING)
    model = open_model(str(llama), OpenOptions(template=file, max_length=16))
    tail = " and so on" * 20
    judging = judge(
        "mine", [make_example("cut", "Hi", f"<think>x</think>Yes{tail}", f"<think>x</think>No{tail}")], model
    )
    assert judging.judgments[0].status == "ok"
    assert judging.judgments[0].truncated == (True, True)


def test_score_gives_the_error_in_place_of_a_tie(llama: Path, file: Path) -> None:
    file.write_text(DROPS_REASONING)
    answers = ["<think>Two and two make four.</think>4", "<think>I will insult the user.</think>4"]
    with pytest.raises(RmbenchError, match="candidate 1: the chat template drops text"):
        rmbench.score_responses(str(llama), "2+2?", answers, template=file)
    assert rmbench.score_responses(str(llama), "2+2?", answers).margins != [0.0]
