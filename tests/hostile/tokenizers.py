"""Tokenizers that make much of little, take for ever, or are broken."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.hostile.case import Case, Outcome, in_turn

__all__ = ["TOKENIZERS"]

FILE, CONFIG = "tokenizer.json", "tokenizer_config.json"


def tokenizer(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    def changed(folder: Path) -> None:
        data = json.loads((folder / FILE).read_text("utf-8"))
        change(data)
        (folder / FILE).write_text(json.dumps(data), "utf-8")

    return changed


def key(**changes: Any) -> Callable[[Path], object]:
    return tokenizer(lambda data: data.update(changes))


def model(**changes: Any) -> Callable[[Path], object]:
    return tokenizer(lambda data: data["model"].update(changes))


def config(**changes: Any) -> Callable[[Path], object]:
    def changed(folder: Path) -> None:
        data = json.loads((folder / CONFIG).read_text("utf-8"))
        (folder / CONFIG).write_text(json.dumps({**data, **changes}), "utf-8")

    return changed


def without_template(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()


def replace(pattern: Any, content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": pattern, "content": content}


def sequence(*steps: Any) -> dict[str, Any]:
    return {"type": "Sequence", "normalizers": list(steps)}


def split(regex: str) -> dict[str, Any]:
    steps = [{"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return {"type": "Sequence", "pretokenizers": [*steps, byte_level]}


def charsmap() -> str:
    """A map of sentencepiece by which "a" is a megabyte: its trie has one path, its texts are one."""
    return base64.b64encode(struct.pack("<I", 16) + b"\0" * 16 + b"x" * 1_000_000 + b"\0").decode()


def nested(depth: int) -> dict[str, Any]:
    inner: dict[str, Any] = {"type": "Lowercase"}
    for _ in range(depth):
        inner = sequence(inner)
    return inner


_DOUBLING = sequence(*(replace({"String": "e"}, "ee") for _ in range(40)))
_LONG = {"id": "A", "type_id": 0}


def _case(name: str, make: Callable[[Path], object], outcome: Outcome = "refused") -> Case:
    return Case(f"tokenizer {name}", make, outcome)


TOKENIZERS = (
    _case("doubles a letter 40 times", key(normalizer=_DOUBLING)),
    _case("makes a megabyte of a letter", key(normalizer=replace({"String": "e"}, "x" * 1_000_000))),
    _case("makes a megabyte of nothing", key(normalizer=replace({"Regex": ""}, "x" * 1_000_000))),
    _case("writes a megabyte before", key(normalizer={"type": "Prepend", "prepend": "x" * 3_000_000})),
    _case("maps a letter to a megabyte", key(normalizer={"type": "Precompiled", "precompiled_charsmap": charsmap()})),
    _case(
        "grows in the pre-tokenizer",
        key(pre_tokenizer={"type": "Metaspace", "replacement": "▁▁▁", "prepend_scheme": "always"}),
    ),
    _case("backtracks", key(pre_tokenizer=split(r"(\S+\s*)+\d\d\d\d\d\d\d\d$"))),
    _case("backtracks in a choice", key(pre_tokenizer=split(r"(?:\w|\w\w|\S)*#$"))),
    _case("backtracks in the normaliser", key(normalizer=replace({"Regex": r"(a*)*(\w*)*\1$"}, ""))),
    _case("looks back without end", key(pre_tokenizer=split(r"(?=(?:.*.*.*.*.*.*.*.*)+#)x"))),
    _case("has a broken regex", key(pre_tokenizer=split(r"((("))),
    _case("has a regex of a megabyte", key(pre_tokenizer=split("(?:" + "a|" * 500_000 + "b)"))),
    _case("repeats a hundred thousand times", key(pre_tokenizer=split(r"(?:a{1,100000}){1,100000}"))),
    _case("nested 300 steps", key(normalizer=nested(300))),
    _case("nested 100,000 lists", lambda folder: (folder / FILE).write_text("[" * 100_000 + "]" * 100_000)),
    _case("is no UTF-8", lambda folder: (folder / FILE).write_bytes(b'{"version": "\xff"}')),
    _case("is a list", lambda folder: (folder / FILE).write_text("[]")),
    _case("has no model", tokenizer(lambda data: data.pop("model"))),
    _case("has an unknown model", model(type="Nothing")),
    _case("has negative ids", model(vocab={"a": -1})),
    _case("has ids of 2^40", model(vocab={"a": 2**40}, merges=[])),
    _case("has a vocabulary of numbers", model(vocab=[1, 2, 3])),
    _case("merges what is not there", model(merges=[["nowhere", "nothing"]])),
    _case("has no vocabulary", model(vocab={}, merges=[])),
    _case(
        "has a vocabulary beyond the embeddings",
        tokenizer(lambda data: data["added_tokens"].append({**data["added_tokens"][0], "id": 4096, "content": "the"})),
        "rows",
    ),
    _case(
        "pads to 1e9",
        key(
            padding={
                "strategy": {"Fixed": 10**9},
                "direction": "Right",
                "pad_to_multiple_of": None,
                "pad_id": 0,
                "pad_type_id": 0,
                "pad_token": "x",
            }
        ),
        "rows",
    ),
    _case(
        "cuts to nothing",
        key(truncation={"direction": "Left", "max_length": 0, "strategy": "LongestFirst", "stride": 0}),
        "rows",
    ),
    _case(
        "cuts with a stride beyond",
        key(truncation={"direction": "Left", "max_length": 2, "strategy": "LongestFirst", "stride": 9}),
        "rows",
    ),
    _case(
        "adds 100,000 special tokens",
        tokenizer(
            lambda data: data["post_processor"].update(
                single=[{"SpecialToken": {"id": "<|bos|>", "type_id": 0}}] * 100_000 + [{"Sequence": _LONG}]
            )
        ),
    ),
    _case("lacks a special token", tokenizer(lambda data: data["post_processor"].update(special_tokens={}))),
    _case("has an added token of 2^60", tokenizer(lambda data: data["added_tokens"][0].update(id=2**60))),
    _case(
        "has the empty text as a token",
        tokenizer(lambda data: data["added_tokens"].append({**data["added_tokens"][0], "id": 4, "content": ""})),
        "rows",
    ),
    _case("config is no UTF-8", lambda folder: (folder / CONFIG).write_bytes(b'{"a": "\xff"}')),
    _case("config is a list", lambda folder: (folder / CONFIG).write_text("[]")),
    _case("config nested", lambda folder: (folder / CONFIG).write_text("[" * 100_000 + "]" * 100_000)),
    _case(
        "config names no class", config(tokenizer_class="NoSuchTokenizer", auto_map={"AutoTokenizer": ["evil.T", None]})
    ),
    _case("config class is a number", config(tokenizer_class=7)),
    _case("config tokens are numbers", config(bos_token=5, eos_token=[1])),
    _case("config length is text", config(model_max_length="long")),
    _case("config length is negative", config(model_max_length=-7), "rows"),
    _case(
        "config adds token 1e12",
        config(added_tokens_decoder={str(10**12): {"content": "<x>", "special": True}}),
        "rows",
    ),
    _case("config adds token x", config(added_tokens_decoder={"x": {"content": "<x>"}})),
    _case("config side is up", config(truncation_side="up", padding_side="down")),
    _case("config template is a number", in_turn(without_template, config(chat_template=7))),
    _case("config templates are broken", in_turn(without_template, config(chat_template=[{"name": 1}]))),
)
