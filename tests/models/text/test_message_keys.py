"""Keys of messages beside role and content: they reach the chat template, or are an error that names them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rmbench.check import check
from rmbench.engine.judge import Judging, judge
from rmbench.models.open import OpenOptions, open_model
from rmbench.models.protocols import Request
from rmbench.models.text.template import ChatTemplate
from rmbench.types import Candidate, Conversation, Example, Gold, Message

PLAIN = "{% for m in messages %}<|start|>{{ m.role }}\n{{ m.content or '' }}<|end|>\n{% endfor %}"
READS = (
    "{% for m in messages %}<|start|>{{ m.role }}{% if m.name %} {{ m.name }}{% endif %}\n"
    "{% if loop.last and m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}{{ m.content or '' }}"
    "{% for c in m.tool_calls or [] %}<call>{{ c.function | tojson }}</call>{% endfor %}<|end|>\n{% endfor %}"
)
ASKS_CONTENT = (
    "{% for m in messages %}<|start|>{{ m.role }}\n{% if not m.content %}<call>{{ m.tool_calls[0].function.name }}"
    "{{ m.tool_calls[0].function.arguments.city }}</call>{% else %}{{ m.content }}{% endif %}<|end|>\n{% endfor %}"
)
WRITES_NONE = "{% for m in messages %}{{ m.role }}: {{ m.content }}{{ m.tool_calls or '' }}\n{% endfor %}"
ASKED = (Message.of("user", "Rain tomorrow?"),)


def calling(city: str, *, content: bool = True) -> Message:
    call = {"type": "function", "id": "c1", "function": {"name": "weather", "arguments": {"city": city}}}
    message = Message.of("assistant", "") if content else Message("assistant", ())
    return replace(message, extra=(("tool_calls", json.dumps([call])),))


def thinking(thought: str, text: str = "Yes.") -> Message:
    return replace(Message.of("assistant", text), extra=(("reasoning_content", json.dumps(thought)),))


def judged(folder: Path, text: str, *candidates: Message, prompt: Conversation = ASKED) -> Judging:
    file = folder.parent / "given.jinja"
    file.write_text(text)
    example = Example("one", prompt, tuple(Candidate((each,)) for each in candidates), Gold())
    return judge("mine", [example], open_model(str(folder), OpenOptions(template=file)))


@pytest.mark.parametrize("pair", [(calling("Graz"), calling("Linz")), (thinking("Hm."), thinking("Well."))])
def test_keys_that_the_template_reads_count(pair: tuple[Message, Message], llama: Path) -> None:
    judging = judged(llama, READS, *pair)
    (one,) = judging.judgments
    assert one.status == "ok"
    assert one.rewards[0] != one.rewards[1]
    assert "template_dropped_text" not in judging.facts()
    # the library's own rendering, whose text a model of one message reads
    tokenizer = open_model(str(llama), OpenOptions()).text.tokenizer  # type: ignore[union-attr]
    turns = [{"role": "user", "content": "Rain tomorrow?"}, pair[0].as_dict]
    text = tokenizer.apply_chat_template(turns, chat_template=READS, tokenize=False)
    assert ChatTemplate(tokenizer, READS, "t").render(Request((*ASKED, pair[0]), 1)) == text


@pytest.mark.parametrize(
    "key, pair",
    [
        ("tool_calls", (calling("Graz"), calling("Linz"))),
        ("tool_calls", (calling("Graz", content=False), calling("Linz", content=False))),
        ("reasoning_content", (thinking("Hm."), thinking("Well."))),
        (
            "weight",
            (replace(Message.of("assistant", "Yes."), extra=(("weight", "0"),)), Message.of("assistant", "No.")),
        ),
    ],
)
def test_keys_that_the_template_does_not_read_are_an_error(
    key: str, pair: tuple[Message, Message], llama: Path
) -> None:
    (one,) = judged(llama, PLAIN, *pair).judgments
    assert one.status == "failed"
    assert f'the chat template does not read the key "{key}" of messages' in one.error


def test_reasoning_of_earlier_turns_that_the_template_leaves_out_is_counted(llama: Path) -> None:
    prompt = (*ASKED, thinking("A cloud."), Message.of("user", "Sure?"))
    judging = judged(llama, READS, Message.of("assistant", "Yes."), Message.of("assistant", "No."), prompt=prompt)
    assert judging.judgments[0].status == "ok"
    assert judging.facts()["template_dropped_text"] == 1


def test_text_within_a_key_that_is_left_out_is_counted(llama: Path) -> None:
    shortened = READS.replace("c.function | tojson", "c.function.name")
    judging = judged(llama, shortened, calling("Graz"), Message.of("assistant", "No."))
    assert judging.judgments[0].status == "ok"
    assert judging.facts()["template_dropped_text"] == 1
    (alike,) = judged(llama, shortened, calling("Graz"), calling("Linz")).judgments
    assert "the chat template drops text" in alike.error


@pytest.mark.parametrize(
    "template, expected", [(ASKS_CONTENT, "<call>weatherGraz</call>"), (WRITES_NONE, "assistant: [{")]
)
def test_null_content_is_what_the_template_takes(template: str, expected: str, llama: Path) -> None:
    tokenizer = open_model(str(llama), OpenOptions()).text.tokenizer  # type: ignore[union-attr]
    request = Request((*ASKED, calling("Graz", content=False)), 1)
    assert expected in ChatTemplate(tokenizer, template, "t").render(request)


def test_raw_text_and_models_without_a_template_read_no_key(llama: Path) -> None:
    example = Example("one", ASKED, (Candidate((calling("Graz"),)), Candidate((calling("Linz"),))), Gold())
    one = judge("mine", [example], open_model(str(llama), OpenOptions()), render="raw").judgments[0]
    assert one.status == "failed"
    assert 'the model reads no "tool_calls" of a message' in one.error


@pytest.mark.parametrize("text, unread", [(PLAIN, ["tool_calls", "tool_call_id", "reasoning_content", "name"])])
def test_check_names_the_keys_that_are_not_read(text: str, unread: list[str], llama: Path, tmp_path: Path) -> None:
    def line(template: str) -> str:
        (tmp_path / "t.jinja").write_text(template)
        report = check(str(llama), write=False, template=tmp_path / "t.jinja")
        return next(each.line for each in report.checks if each.name == "template")

    assert line(text).partition("; special tokens")[0].endswith(f"further keys it does not read {', '.join(unread)}")
    assert line(READS).partition("; special tokens")[0].endswith("further keys it does not read tool_call_id")
