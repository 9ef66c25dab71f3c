"""Templates whose result is bounded by the conversation are rendered here, others in a process of their own; both give
the same text, and what grows without end is a refusal."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from transformers import AutoTokenizer

from rmbench.models.card import cards
from rmbench.models.protocols import Request
from rmbench.models.text import template as rendering
from rmbench.models.text.template import ChatTemplate, TemplateRefusedError
from rmbench.models.text.template_cost import cost_of
from rmbench.models.text.template_worker import TemplateLimitError, render_apart
from rmbench.types import Message
from tests.hostile.templates import BODIES, ROW_TEMPLATES

CHAT = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
TURNS = [{"role": "user", "content": "What is it?"}, {"role": "assistant", "content": "It is 'x'.\n"}]
LONG = [{"role": "user", "content": "word " * 40_000}, {"role": "assistant", "content": "answer " * 40_000}]
WITH_TOOLS = """\
{%- if tools is defined and tools %}{% for tool in tools %}{{ tool | tojson(indent=4) }}{% endfor %}{% endif %}
{%- set ns = namespace(asked=true, last=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.asked and message.role == "user" %}{%- set ns.asked = false %}{%- set ns.last = index %}{%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set content = message.content if message.content is string else '' %}
    {%- set thought = '' %}
    {%- if '</think>' in content %}
        {%- set thought = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1] %}
    {%- endif %}
    {{- '<|' + message.role + '|>' + thought + content.split('</think>')[-1].lstrip('\\n') }}
    {%- for call in message.tool_calls %}
        {%- if call.function %}{%- set call = call.function %}{%- endif %}
        {%- for name, value in call.arguments | items %}{{ name + '=' + value }}{% endfor %}
        {{- call.arguments | tojson }}
    {%- endfor %}
{%- endfor %}"""


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(Path(rendering.__file__).parents[2] / "bundled" / "tiny-bt")


@pytest.mark.parametrize("text", [CHAT, WITH_TOOLS, "{{ bos_token }}{% generation %}x{% endgeneration %}" + CHAT])
def test_usual_templates_need_no_process(text: str) -> None:
    cost = cost_of(text)
    assert cost is not None
    assert cost.fits(TURNS)
    assert cost.fits(LONG)


def test_the_templates_of_cards_need_none() -> None:
    texts = [card.template for card in cards().values() if card.template != "tokenizer"]
    assert len(texts) > 20
    assert all((cost := cost_of(text)) is not None and cost.fits(LONG) for text in texts)


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("where", ["{% for m in messages %}BODY{% endfor %}", "{% set m = messages[0] %}BODY"])
def test_what_may_grow_is_not_rendered_here(name: str, where: str) -> None:
    cost = cost_of(where.replace("BODY", BODIES[name]) + CHAT)
    assert cost is None or not cost.fits(LONG)


@pytest.mark.parametrize(
    "text",
    [
        "{% set replace = m.content %}{{ m.content | map('center', 1000000000) }}",
        "{% set namespace = 'x'.center %}{{ namespace(1000000000) }}",
        "{{ m.content.replace('a', m.content) }}",
        "{{ m.content | replace('', 'x' ~ m.content) }}",
        "{% for a in m.content %}{% set ns.s = a ~ ns.s ~ ns.s %}{% endfor %}",
        "{% set n = namespace(s='x') %}{% for a in m.content %}{% set t = n.s ~ n.s %}{% set n.s = t %}{% endfor %}",
        "{% for a in m.content %}{% for b in m.content %}{% for c in m.content %}x{% endfor %}{% endfor %}{% endfor %}",
        "{% for a in messages recursive %}{{ loop(messages) }}{% endfor %}",
        "{% filter center(1000000000) %}x{% endfilter %}",
        "{% call(x) f() %}{% endcall %}",
        "{{ '%s' % m.content }}",
        "{{ m['content']['center'](1000000000) }}",
        "{{ (m.content | attr('center'))(1000000000) }}",
        "{{ m.content.split(*m.content) }}",
    ],
)
def test_ways_around(text: str) -> None:
    cost = cost_of("{% for m in messages %}" + text + "{% endfor %}")
    assert cost is None or not cost.fits(LONG)


@pytest.mark.parametrize(
    "text", [CHAT, WITH_TOOLS, "{{ bos_token }}" + CHAT + "{% if add_generation_prompt %}>{% endif %}"]
)
@pytest.mark.parametrize("generation_prompt", [True, False])
def test_both_ways_give_the_same_text(text: str, generation_prompt: bool, tokenizer: Any) -> None:
    call = {"function": {"name": "f", "arguments": {"x": "1"}}}
    turns: list[dict[str, Any]] = [*TURNS, {"role": "assistant", "content": "", "tool_calls": [call]}]
    here = tokenizer.apply_chat_template(
        turns, chat_template=text, tokenize=False, add_generation_prompt=generation_prompt
    )
    tokens = tokenizer.special_tokens_map
    assert render_apart(text, turns, tokens, generation_prompt=generation_prompt) == here


def test_errors_come_back_as_they_were(tokenizer: Any) -> None:
    from jinja2.exceptions import TemplateError

    for text, kind, said in (
        ("{{ raise_exception('not so') }}", TemplateError, "not so"),
        ("{{ 1 / 0 }}", ZeroDivisionError, "division"),
        ("{{ 1 + 'x' }}", TypeError, "unsupported"),
        ("{{ 'x' * 10000000000 }}", TemplateLimitError, "takes more than"),
    ):
        with pytest.raises(kind, match=said):
            render_apart(text, TURNS, {}, generation_prompt=False)
    assert render_apart(CHAT, TURNS, {}, generation_prompt=False).startswith("user: What")


def request_of(question: str) -> Request:
    return Request((Message.of("user", question), Message.of("assistant", "Yes.")), 1)


def test_a_row_on_which_the_template_hangs_fails_alone_on_any_thread(tokenizer: Any) -> None:
    template = ChatTemplate(tokenizer, ROW_TEMPLATES["loops without end"], "test")
    said: list[object] = []

    def render(question: str) -> None:
        try:
            said.append(template.render(request_of(question)))
        except TemplateRefusedError as refusal:
            said.append(refusal)

    for question in ("before", "TRIGGER", "after"):
        thread = threading.Thread(target=render, args=(question,))
        thread.start()
        thread.join(120)
    assert said[0] == "user: before\nassistant: Yes.\n"
    assert "the chat template takes more than 4 s" in str(said[1])
    assert said[2] == "user: after\nassistant: Yes.\n"


def test_special_tokens_that_are_texts(tokenizer: Any) -> None:
    """They are written as often as a template likes, so it is rendered apart."""
    long = SimpleNamespace(special_tokens_map={"bos_token": "x" * 1000}, apply_chat_template=None)
    template = ChatTemplate(long, "{{ bos_token }}" + CHAT, "test")
    assert template.render(request_of("a")).startswith("xxxx")
