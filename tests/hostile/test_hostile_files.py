"""Hostile media and rows are refused in one line, without much time or memory; the long version, with limits of both,
is benchmarks/hostile.py."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from rmbench.errors import RmbenchError
from rmbench.media import Limits, MediaError, open_image
from rmbench.media.images import scans_of
from tests.hostile.case import Case
from tests.hostile.media import FILE, MEDIA, use
from tests.hostile.pickles import RAN
from tests.hostile.rows import ROWS, words

_SLOW_MEDIA = {
    "image JPEG of 3,000 scans",
    "image JPEG of 90 scans of 64 Mpx",
    "image PNG of 225 Mpx",
    "image PNG of 169 Mpx",
    "image PNG with a text of 200 MB",
    "image a gigabyte of nothing",
    "video of 100,000 frames",
    "video of 64 Mpx frames",
    "video of frames beyond 64 Mpx",
    "video GIF of 200,000 frames",
    "video GIF of 1,000 frames of 60 Mpx",
    "video WebP of 10,000 frames",
    "video PNG of 3,000 frames of 1 Mpx",
}
_SLOW_ROWS = {
    "jsonl.gz of 4 GB in 4 MB",
    "jsonl.xz of 1 GB in 150 kB",
    "json.gz of 500 members",
    "json.gz packed twice",
    "csv with a cell of 40 MB",
    "parquet of a billion nulls",
    "parquet of one text 100,000 times",
    "parquet of a text of 400 MB",
    "scores of one line of 200 MB",
    "scores of a billion nulls",
    "scores of one text 100,000 times",
}
"""They take seconds to make or to read."""


@pytest.mark.parametrize(
    "case", [case for case in MEDIA if case.outcome == "refused" and case.name not in _SLOW_MEDIA], ids=lambda c: c.name
)
def test_media(case: Case, tmp_path: Path) -> None:
    case.make(tmp_path)
    with pytest.raises(MediaError) as refusal:
        use(case, tmp_path)
    assert str(refusal.value).startswith(f"{FILE}: ")
    assert "\n" not in str(refusal.value)
    assert not RAN.exists()


@pytest.mark.parametrize(
    "case", [case for case in ROWS if case.outcome == "refused" and case.name not in _SLOW_ROWS], ids=lambda c: c.name
)
def test_rows(case: Case, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from rmbench.cli import main

    folder = tmp_path / "case"
    folder.mkdir()
    case.make(folder)
    with pytest.raises(SystemExit) as ended:
        main(words(case, folder))
    said = capfd.readouterr().err.splitlines()
    assert ended.value.code == 2
    assert [line.startswith("rmbench: ") for line in said[-2:]].count(True) == 1
    assert said[-1].startswith("rmbench: ")
    assert len(said[-1]) < 1200


def progressive(scans: int) -> bytes:
    out = io.BytesIO()
    Image.new("L", (16, 16)).save(out, "JPEG", progressive=True)
    data = out.getvalue()
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * scans + data[-2:]


def test_scans_are_counted_without_decoding(tmp_path: Path) -> None:
    one = scans_of(progressive(1))
    assert scans_of(progressive(40)) == one + 39
    file = tmp_path / "x.jpg"
    file.write_bytes(progressive(40))
    assert open_image(file).size == (16, 16)
    file.write_bytes(progressive(200))
    with pytest.raises(MediaError, match=rf"x\.jpg: {one + 199} scans over 256 pixels"):
        open_image(file)


def test_a_marker_inside_a_comment_is_no_scan() -> None:
    data = progressive(1)
    comment = b"\xff\xfe" + (2 + 400).to_bytes(2, "big") + b"\xff\xda" * 200
    assert scans_of(data[:2] + comment + data[2:]) == scans_of(data)


def test_work_is_bounded_by_pixels_in_all(tmp_path: Path) -> None:
    from rmbench.media import timing

    frames = [Image.new("L", (64, 64), shade) for shade in range(20)]
    frames[0].save(tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    assert timing(tmp_path / "x.gif", Limits(decoded=20 * 64 * 64, decoded_per_byte=1)).frames == 20
    with pytest.raises(MediaError, match=r"x\.gif: its frames have more than 81,919 pixels"):
        timing(tmp_path / "x.gif", Limits(decoded=20 * 64 * 64 - 1, decoded_per_byte=1))
    assert timing(tmp_path / "x.gif", Limits(decoded=1, decoded_per_byte=4096)).frames == 20


def test_a_small_file_that_unpacks_to_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import gzip
    import lzma

    from rmbench.untrusted import packed as module

    monkeypatch.setattr(module, "ANY_UNPACKED", 2**20)
    text = b"a row of a benchmark\n" * 10_000
    for ending, packed in ((".gz", gzip.compress), (".xz", lzma.compress)):
        assert module.unpacked(f"x{ending}", packed(text)) == text
        with pytest.raises(RmbenchError, match=rf"x{ending}: holds more than 1,0.* compressed ones"):
            module.unpacked(f"x{ending}", packed(b"\0" * 2**24))
    monkeypatch.setattr(module, "MOST_UNPACKED", 1000)
    with pytest.raises(RmbenchError, match="holds more than 1,000 bytes"):
        module.unpacked("x.gz", gzip.compress(text))


def test_parquet_of_little_that_declares_much(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    from rmbench.untrusted.parquet import read_table

    file = tmp_path / "x.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"x": pyarrow.nulls(5_000_000, pyarrow.int32())}), file)
    with pytest.raises(RmbenchError, match=r"x\.parquet: 10,000,000 values in .* bytes"):
        read_table(file, file)
    rows = {"x": list(range(1000)), "y": [{"a": [1, None]}] * 1000}
    pyarrow.parquet.write_table(pyarrow.table(rows), file)
    assert read_table(file, file).to_pydict() == rows
    assert read_table(file.read_bytes(), "x").to_pydict() == rows
    pyarrow.parquet.write_table(pyarrow.table({"x": pyarrow.array([], pyarrow.int32())}), file)
    assert read_table(file, file).num_rows == 0
