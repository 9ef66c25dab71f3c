"""Pointers, error pages and other formats are named wherever a file is read."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rmbench.errors import RmbenchError
from rmbench.media import MediaError, open_image
from rmbench.models.checkpoint.read import read_checkpoint
from rmbench.models.checkpoint.weight_files import read_json
from rmbench.models.scores.rows import read_rows
from rmbench.records.store import read
from rmbench.untrusted.kind import HEAD, content_kind, stand_in
from rmbench.validation import read_toml

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


def test_only_stand_ins_are_named() -> None:
    for data in (b'{"a": 1}', b"a,b\n1,2", b"version = 1", b"\x1f\x8b\x08", b"<p>a text that begins so</p>"):
        assert stand_in(data) is None
    assert stand_in(b" " * HEAD) is None  # what follows is not known
    assert stand_in(b"\n <!DOCTYPE html>") == "a web page or an XML reply, as a failed download leaves"


def test_texts_announce_no_format() -> None:
    for text in (b"PAR1,b\n", b"BZh,b\n", b"GGUF is a format", b"%PDF"):
        assert content_kind(text) is None
    assert content_kind(b"BZh9\x00") == "bzip2"


@pytest.mark.parametrize(
    "name, reader",
    [
        ("scores.jsonl", lambda file: list(read_rows(file).rows)),
        ("scores.parquet", lambda file: list(read_rows(file).rows)),
        ("config.json", read_json),
        ("record.json", lambda file: read(file.parent)),
        ("image.png", open_image),
    ],
)
def test_every_reader_names_a_pointer(name: str, reader: Callable[[Path], Any], tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_bytes(POINTER)
    with pytest.raises(RmbenchError, match=rf"{name}: it is a Git LFS pointer; `git lfs pull`"):
        reader(file)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_weights_that_are_a_pointer(name: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"architectures": ["LlamaForSequenceClassification"]}')
    (tmp_path / name).write_bytes(POINTER)
    with pytest.raises(RmbenchError, match=rf"{name}: it is a Git LFS pointer"):
        read_checkpoint(tmp_path)


def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "image.png")
    with pytest.raises(MediaError, match="no regular file"):
        open_image(tmp_path / "image.png")


@pytest.mark.parametrize("content", [b"a = " + b"[" * 100_000, b"a = " + b"9" * 5_000, b'a = "\xff"', b"a = "])
def test_what_is_no_toml_is_one_error(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_bytes(content)
    with pytest.raises(RmbenchError, match=r"t\.toml: is not (TOML|UTF-8)"):
        read_toml(tmp_path / "t.toml")
