"""The first mistake in a file or in settings as one message."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict

from rmbench.errors import RmbenchError
from rmbench.validation import read_toml, validated


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid")

    side: Literal["left", "right"] = "left"
    beta: float = 1.0
    count: int = 1
    names: list[str] = []


@dataclass(frozen=True)
class Pair:
    first: int
    second: float = 0.0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"beta": "high"}, "--model-args: beta: expected a number; found 'high'."),
        ({"count": "1.5"}, "--model-args: count: expected a whole number; found '1.5'."),
        ({"side": "rigth"}, "--model-args: side: expected one of left, right; found 'rigth'. Did you mean \"right\"?"),
        ({"bta": 1, "side": 3}, '--model-args: bta: unknown key. Did you mean "beta"?'),
        ({"names": ["a", 2]}, "--model-args: names[1]: expected a string; found 2."),
    ],
)
def test_place_key_expected_and_found(given: dict[str, Any], message: str) -> None:
    with pytest.raises(RmbenchError, match=f"^{re.escape(message)}$"):
        validated(Settings, given, "--model-args")


def test_strings_are_numbers_unless_strict() -> None:
    assert validated(Settings, {"beta": "2"}, "x").beta == 2.0
    with pytest.raises(RmbenchError, match="beta: expected a number; found '2'"):
        validated(Settings, {"beta": "2"}, "x", strict=True)


def test_a_long_value_is_cut() -> None:
    with pytest.raises(RmbenchError) as caught:
        validated(Settings, {"names": "x" * 10_000}, "x")
    assert str(caught.value).endswith("xxx....")
    assert len(str(caught.value)) < 150


def test_a_dataclass() -> None:
    assert validated(Pair, {"first": 1}, "x") == Pair(1)
    with pytest.raises(RmbenchError, match=r"^x: first: this key is missing\.$"):
        validated(Pair, {}, "x")


def test_a_file(tmp_path: Path) -> None:
    with pytest.raises(RmbenchError, match=r"none\.toml: cannot be read \(No such file or directory\)\.$"):
        read_toml(tmp_path / "none.toml")
    path = tmp_path / "bad.toml"
    path.write_bytes(b"\xff")
    with pytest.raises(RmbenchError, match=r"bad\.toml: is not UTF-8: "):
        read_toml(path)
    path.write_text("a = " + "[" * 100_000)
    with pytest.raises(RmbenchError, match=r"bad\.toml: is not TOML: "):
        read_toml(path)
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(RmbenchError, match=r"bad\.toml: is no regular file"):
        read_toml(path)
