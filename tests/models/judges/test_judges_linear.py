"""Time that grows with a text no faster than its length: parsing replies, quoting candidates, upstream's parsers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmbench.models.judges.declaration import JudgeProtocol, load_protocol, protocol_names
from rmbench.models.judges.json_objects import last_object
from rmbench.models.judges.parsers import PARSERS
from rmbench.models.judges.quoting import Quoting, reserved_marks
from rmbench.models.judges.verdict import VerdictParser
from rmbench.models.judges.verdict_format import PLACEHOLDER, VerdictFormat
from rmbench.models.servers.option_probs import verdict_position

MEGABYTE = 10**6
SECONDS = 10.0
"""Of processor time, the best of a few; a second is usual, and what is quadratic takes minutes at a megabyte."""

UNITS = (
    "\\boxed{", "\\boxed{}", "\\boxed{[", "{", "}", '{"a":', '{"a":1,', '{"', '{"a":[{},', "[", "[1,", '"', "\\", "`",
    "```json\n{", "<think>", "</think>", "<|", "~", " ", "\t ", "\n", "1", "1 ", "1,", "1 , ", "-1.5 ", "\u0663 ",
    "A", "A>", "A > ", "[[", "[[A", "[[A]] ", "x [[A]] [[B]]\n",
)  # fmt: skip


def shapes(declared: VerdictFormat, size: int) -> Iterator[str]:
    """Marks of all kinds and the protocol's own, repeated, without an end and behind an unfinished one of its own."""
    before, _, after = PLACEHOLDER.split(declared.mark)
    values = [before + value for value in declared.values] or [before + "1 ", before + "A > "]
    tags = [f"<{declared.tag}>", f"</{declared.tag}>", f'{{"{declared.tag}":'] if declared.tag else []
    own = [one for one in (before, after, *values, declared.tie, *tags) if one.strip()]
    for unit in dict.fromkeys([*UNITS, *own]):
        yield unit * (size // len(unit))
    opened = {"boxed": "\\boxed{", "json": f'{{"{declared.tag}": ', "tag": f"<{declared.tag}>"}.get(
        declared.place.rstrip("s"), ""
    )
    closed = {"boxed": "}", "json": "}", "tag": f"</{declared.tag}>"}.get(declared.place.rstrip("s"), "")
    for unit in (" ", "\t", "1 ", "1,", "A > ", "A>", "~", "1"):
        yield opened + before + unit * (size // len(unit)) + "x" + closed
        yield opened + before + unit * (size // len(unit)) + closed
    if opened and closed:
        yield (opened + "7" + closed) * (size // len(opened + closed))


def in_time(work: Callable[[str], object], text: str, most: float = SECONDS) -> float:
    """Seconds that the work takes on the text, the best of a few; fails where they are more than `most`."""
    taken = []
    for _ in range(4):
        began = time.thread_time()
        work(text)
        taken.append(time.thread_time() - began)
        if min(taken) < most:
            return min(taken)
    return pytest.fail(f"{min(taken):.2f} s for {text[:30]!r} ... {text[-20:]!r}")


def parsing(protocol: JudgeProtocol) -> Callable[[str], object]:
    parser = VerdictParser.of(protocol)
    return lambda text: parser.parse(text, "stop", min(2, protocol.most))


def upstream(name: str, reads: str) -> Callable[[str], object]:
    return lambda text: PARSERS[name](text, 2, reads)


@pytest.mark.parametrize("name", protocol_names())
def test_a_reply_of_a_megabyte_is_parsed_within_a_second(name: str) -> None:
    protocol = load_protocol(name)
    parse = parsing(protocol)
    taken = [in_time(parse, text, SECONDS / 10) for text in shapes(protocol.verdict, 20_000)]
    slowest = sorted(range(len(taken)), key=taken.__getitem__)[-2:]
    for index, text in enumerate(shapes(protocol.verdict, MEGABYTE)):
        if index in slowest:
            in_time(parse, text)


@pytest.mark.parametrize("name", sorted(PARSERS))
def test_so_do_upstreams_parsers(name: str) -> None:
    for parse in (upstream(name, reads) for reads in ("pick", "rating")):
        for begin in (
            "",
            "[RESULT]",
            "[RESULT:",
            "[Response",
            "[Result]",
            "Result:",
            "score",
            "score of",
            "Rating: [[",
        ):
            for unit in (" ", "\n", "(", "[ ", "1", "1 ", "score", "score of ", "[RESULT] ", "A", "[["):
                in_time(parse, begin + unit * (20_000 // len(unit)) + "x", SECONDS / 10)


@pytest.mark.parametrize("name", protocol_names())
def test_so_does_quoting(name: str) -> None:
    marks = reserved_marks(load_protocol(name))
    quoting = Quoting.of(marks)
    begins = {mark.split("{")[0] for mark in marks} | {"[[", "<|", "\uff5c", "<~|", ""}
    for begin in sorted(begins):
        for unit in ("~", "A", "A~", "1 ", " ", "A > ", begin or "x"):
            in_time(quoting.quote, begin + unit * (20_000 // len(unit)), SECONDS / 10)


OWN_MARKS = (
    "Rating:            {number}",
    "a \t \t \t \t \t b {number}",
    "  {label}  ",
    "{label}            .",
    "{numbers} points",
    "1 {numbers} ]",
    "{ranking} is my order",
    "A A A A {ranking} A",
    "{number}{",
    "x{label}",
)


@pytest.mark.parametrize("mark", OWN_MARKS)
def test_marks_of_a_users_own_protocol_do_so_too(mark: str) -> None:
    reads = {"number": "rating", "ranking": "ranking"}.get(PLACEHOLDER.findall(mark)[0], "pick")
    for place in ("last", "end", "whole", "boxed", "tag", "tags", "json", "first-line"):
        fields = {"mark": mark, "reads": reads, "place": place, "tag": "t", "compare": "{numbers}" in mark}
        declared = VerdictFormat.model_validate(fields)
        pair = load_protocol("pair")
        protocol = pair.model_copy(update={"verdict": declared, "reserved": (mark, f"<{mark}>")})
        parse, quoting = parsing(protocol), Quoting.of(reserved_marks(protocol))
        for text in shapes(declared, 20_000):
            in_time(parse, text, SECONDS / 4)
        if place == "last":
            for text in shapes(declared, 5_000):
                in_time(quoting.quote, text, SECONDS / 2)


def test_blanks_in_a_users_mark_stand_for_any_number_of_them() -> None:
    def value(mark: str, text: str) -> object:
        declared = VerdictFormat(reads="rating", mark=mark)
        return (
            VerdictParser.of(load_protocol("pair").model_copy(update={"verdict": declared}))
            .parse(text, "stop", 1)
            .value
        )

    assert value("My  rating:   {number}", "My rating:7") == value("My rating: {number}", "My   rating:\t7") == 7.0
    assert value("  {number} ", "so 7.") == 7.0
    assert value("  {number} ", "so 7a") is None


def test_a_list_is_read_whole_or_not_at_all() -> None:
    declared = VerdictFormat(mark="{ranking} is my order", reads="ranking")
    parser = VerdictParser.of(load_protocol("pair").model_copy(update={"verdict": declared}))
    assert parser.parse("B > A is my order", "stop", 2).value == (1, 0)
    assert parser.parse("A > B > C is not it\nB > A is my order", "stop", 2).value == (1, 0)
    assert parser.parse("B > A is his order", "stop", 2).status == "unparsed"
    scores = VerdictFormat(mark="{numbers} points", compare=True)
    parser = VerdictParser.of(load_protocol("pair").model_copy(update={"verdict": scores}))
    assert [parser.parse(text, "stop", 2).value for text in ("7, 9 points", "7, 9 or 3 4 points", "7, 9")] == [
        1,
        1,
        None,
    ]


def test_the_place_of_options_is_found_behind_a_megabyte_of_blank_tokens() -> None:
    in_time(lambda text: verdict_position(list(text), ()), " " * MEGABYTE + "A")
    assert verdict_position([" ", "\n", "**A", "B"], ()) == 2
    assert verdict_position([" ", "\n"], ()) is None
    assert verdict_position(["</think", "> ", "B"], (("<think>", "</think>"),)) == 2
    assert verdict_position(["", "</think>B", "A"], (("<think>", "</think>"),)) == 1


@pytest.mark.parametrize(
    ("key", "value"),
    [("reserved", ["~~~"]), ("think", [["<~>", "</>"]]), ("mark", "~{label}"), ("tie", "[~]"), ("tag", "a~")],
)
def test_a_mark_with_a_tilde_is_refused(key: str, value: Any) -> None:
    declared = load_protocol("pair").model_dump(mode="json")
    target = declared if key in declared else declared["verdict"]
    target[key] = value
    with pytest.raises(ValueError, match="a mark holds no tilde"):
        JudgeProtocol.model_validate(declared)


PIECES = st.sampled_from(
    ['{', '}', '[', ']', ',', ':', '"', "\\", '\\"', '"a"', "1", "-0.5e3", "01", "true", "NaN", " ", "\n", "x", "{}",
     '{"a":', '{"a": 1}', '{"w": "A"}', '{"a": [1, {"b": null}]}', '"a": "', "\\u00e9", "\t"]
)  # fmt: skip


@settings(deadline=None, max_examples=1500)
@given(st.lists(PIECES, max_size=14).map("".join))
def test_the_last_json_object_is_the_one_that_pythons_parser_finds(text: str) -> None:
    decoder, expected, start = json.JSONDecoder(), None, text.find("{")
    while start >= 0:
        try:
            _, end = decoder.raw_decode(text, start)
        except ValueError:
            start = text.find("{", start + 1)
        else:
            expected, start = slice(start, end), text.find("{", end)
    assert last_object(text) == expected


def test_objects_too_deep_in_each_other_are_no_verdict() -> None:
    parser = VerdictParser.of(load_protocol("pair-json"))
    deep = '{"a":' * 100_000 + '{"winner": "A"}' + "}" * 100_000
    assert parser.parse(deep, "stop", 2).status == "unparsed"
    assert parser.parse('{"n": ' + "9" * 5000 + ', "winner": "A"}', "stop", 2).status == "unparsed"


@settings(deadline=None, max_examples=500)
@given(st.lists(st.sampled_from(["\\boxed{", "{", "}", "1, 2", "\n", "\\text{", "[", "]", " ", "x"]), max_size=12))
def test_boxes_are_closed_by_the_brace_that_balances_them(pieces: list[str]) -> None:
    text = "".join(pieces)
    start = text.rfind("\n", 0, max(text.rfind("\\boxed{"), 0)) + 1
    inner = []
    while (start := text.find("\\boxed{", start)) >= 0:
        start += len("\\boxed{")
        depth, end = 1, start
        while depth and end < len(text):
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        inner.append(text[start : end - 1].strip() if depth == 0 else "unfinished")
    plain = [box.removeprefix("\\text{").removesuffix("}") if box.startswith("\\text{") else box for box in inner]
    plain = [box[1:-1] if box.startswith("[") and box.endswith("]") else box for box in plain]
    read = VerdictParser.of(load_protocol("deepseek-grm")).parse(text, "stop", 2)
    sure = bool(inner) and all(box.strip() == "1, 2" for box in plain)
    assert (read.value == (1.0, 2.0)) == sure
