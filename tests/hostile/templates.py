"""Chat templates that loop, grow, or fail."""

from __future__ import annotations

from pathlib import Path

from tests.hostile.case import Case, Outcome

__all__ = ["ROW_TEMPLATES", "TEMPLATES"]

_CHAT = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
_LOOP = "{% for i in range(99999) %}"


def _double(times: int, step: str = "ns.s ~ ns.s") -> str:
    return (
        "{% set ns = namespace(s='ab') %}{% for i in range("
        + str(times)
        + ") %}{% set ns.s = "
        + step
        + " %}{% endfor %}"
    )


BODIES = {
    "loops without end": _LOOP * 4 + "{% endfor %}" * 4,
    "loops over a text without end": "{% for a in m.content %}" * 12 + "{% endfor %}" * 12,
    "writes without end": _LOOP * 3 + "xxxxxxxxxxxxxxxx" + "{% endfor %}" * 3,
    "range of 1e9": "{% for i in range(1000000000) %}{% endfor %}",
    "doubles a text": _double(40),
    "adds a text to itself": _double(40, "ns.s + ns.s"),
    "replaces letters by many": _double(40, "ns.s | replace('a', 'aa')"),
    "joins a text by itself": _double(40, "[ns.s, ns.s] | join"),
    "doubles lists": _double(40, "[ns.s, ns.s]") + "{{ ns.s }}",
    "doubles lists as JSON": _double(40, "[ns.s, ns.s]") + "{{ ns.s | tojson }}",
    "compares doubled lists": ""
    "{% set ns = namespace(a=[], b=[]) %}{% for i in range(40) %}{% set ns.a = [ns.a, ns.a] %}"
    "{% set ns.b = [ns.b, ns.b] %}{% endfor %}{{ ns.a == ns.b }}",
    "doubles by blocks": "{% set a0 = 'ab' %}"
    + "".join(f"{{% set a{n + 1} %}}{{{{ a{n} }}}}{{{{ a{n} }}}}{{% endset %}}" for n in range(40))
    + "{{ a40 }}",
    "doubles straight on": "{% set a0 = 'ab' %}" + "".join(f"{{% set a{n + 1} = a{n} ~ a{n} %}}" for n in range(40)),
    "doubles by macros": "{% macro f0(x) %}{{ x }}{{ x }}{% endmacro %}"
    + "".join(f"{{% macro f{n + 1}(x) %}}{{{{ f{n}(f{n}(x)) }}}}{{% endmacro %}}" for n in range(8))
    + "{{ f8('ab') }}",
    "calls itself": "{% macro f(x) %}{{ f(x ~ x) }}{% endmacro %}{{ f('ab') }}",
    "multiplies a text": "{{ 'x' * 10000000000 }}",
    "multiplies a list": "{{ ([1] * 10000000000) | length }}",
    "raises to a power": "{{ 9 ** (9 ** 9) }}",
    "formats widely": "{{ '%09999999999d' % 5 }}",
    "formats widely by filter": "{{ '%09999999999d' | format(5) }}",
    "formats widely by method": "{{ '{:>9999999999}'.format('x') }}",
    "centres widely": "{{ 'x'.center(9999999999) }}",
    "centres widely by filter": "{{ 'x' | center(9999999999) }}",
    "fills with zeros": "{{ 'x'.zfill(9999999999) }}",
    "expands tabs": "{{ '\t'.expandtabs(2000000000) }}",
    "indents widely": "{{ 'x\ny' | indent(2000000000) }}",
    "indents JSON widely": "{{ [1] | tojson(indent=2000000000) }}",
    "makes bytes": "{{ (1).to_bytes(9999999999, 'big') | length }}",
    "batches widely": "{{ [1] | batch(2000000000, 'x') | list | length }}",
    "writes filler": "{{ lipsum(n=10000000) }}",
}

ROW_TEMPLATES = {
    name: "{% for m in messages %}{% if 'TRIGGER' in m.content %}" + body + "{% endif %}{% endfor %}" + _CHAT
    for name, body in BODIES.items()
    if "macro" not in body
}
"""Templates that read most rows as any would, and turn on those that hold TRIGGER."""


def _case(name: str, text: str, outcome: Outcome = "refused") -> Case:
    def change(folder: Path) -> None:
        (folder / "chat_template.jinja").write_text(text)

    return Case(f"template {name}", change, outcome)


TEMPLATES = (
    *(_case(name, "{% for m in messages %}" + body + "{% endfor %}" + _CHAT) for name, body in BODIES.items()),
    _case("is broken", "{% for m in messages %}"),
    _case("nested 5,000 brackets", "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}" + _CHAT),
    _case("nested 3,000 conditions", "{% if 1 %}" * 3000 + "{% endif %}" * 3000 + _CHAT),
    _case("raises", "{{ raise_exception('no') }}"),
    _case("reaches for classes", "{{ ''.__class__.__mro__[1].__subclasses__() }}" + _CHAT, "rows"),
    _case("reaches for globals", "{{ cycler.__init__.__globals__.os.system('touch /tmp/hostile-ran') }}" + _CHAT),
    _case("divides by zero", "{{ 1 / 0 }}" + _CHAT),
    _case("includes a file", "{% include '/etc/passwd' %}" + _CHAT),
    Case(
        "template is no UTF-8",
        lambda folder: (folder / "chat_template.jinja").write_bytes(b"\xff\xfe" + _CHAT.encode()),
    ),
    _case("of 20 MB", "{# " + "x" * 20_000_000 + " #}" + _CHAT),
    _case("leaves the answer out", "{{ messages[0].content }}"),
)
