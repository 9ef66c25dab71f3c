"""Arrow files: those of `datasets` are read; those in which a few bytes may stand for any number of values are not."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.ipc
import pytest

from rmbench.errors import RmbenchError
from rmbench.untrusted.arrow import read_arrow

ROWS = [{"q": "What rises?", "a": ["Dough.", "Snow."], "s": [1.5, -2.0], "m": [{"role": "user", "content": "Hi"}]}]


def written(table: pa.Table, make=pa.ipc.new_stream, compression: str | None = None) -> bytes:
    out = io.BytesIO()
    with make(out, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table)
    return out.getvalue()


@pytest.mark.parametrize("make", [pa.ipc.new_stream, pa.ipc.new_file])
def test_streams_and_files_are_read(make) -> None:
    assert read_arrow(written(pa.Table.from_pylist(ROWS), make), "rows.arrow").to_pylist() == ROWS


def test_what_datasets_saves_is_read(tmp_path: Path) -> None:
    import datasets

    datasets.disable_progress_bars()
    datasets.Dataset.from_list(ROWS).save_to_disk(tmp_path)
    (file,) = tmp_path.glob("*.arrow")
    assert read_arrow(file.read_bytes(), file.name).to_pylist() == ROWS


@pytest.mark.parametrize("make", [pa.ipc.new_stream, pa.ipc.new_file])
@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_compressed_buffers_are_refused(make, compression: str) -> None:
    content = written(pa.table({"a": ["x" * 10_000] * 100}), make, compression)
    with pytest.raises(RmbenchError, match=r"rows\.arrow: its buffers are compressed; write it as Parquet"):
        read_arrow(content, "rows.arrow")


@pytest.mark.parametrize(
    "table, message",
    {
        "dictionary": (pa.table({"a": pa.array(["x"] * 9).dictionary_encode()}), "encoded by dictionaries"),
        "nulls": (pa.table({"a": pa.nulls(10**9)}), "1,000,000,000 rows in"),
        "nulls in lists": (pa.table({"a": pa.array([[None]], pa.list_(pa.null()))}), 'column "a" is of type list'),
        "fixed lists": (pa.table({"a": pa.array([[None] * 9], pa.list_(pa.null(), 9))}), 'column "a" is of type fixed'),
        "empty objects": (pa.table({"a": pa.array([{}], pa.struct([]))}), 'column "a" is of type struct<>'),
        "runs": (
            pa.table({"a": pa.RunEndEncodedArray.from_arrays(pa.array([10**9], pa.int32()), pa.array(["x"]))}),
            'column "a" is of type run_end_encoded',
        ),
    }.values(),
    ids=lambda value: None if isinstance(value, str) else "",
)
def test_types_that_need_no_byte_a_value_are_refused(table: pa.Table, message: str) -> None:
    with pytest.raises(RmbenchError, match=message):
        read_arrow(written(table), "rows.arrow")


def test_a_file_cut_off_anywhere_is_refused() -> None:
    whole = written(pa.Table.from_pylist(ROWS))
    for size in range(len(whole)):
        with pytest.raises(RmbenchError, match=r"rows\.arrow: is no"):
            read_arrow(whole[:size], "rows.arrow")


def test_a_byte_turned_over_anywhere_gives_rows_or_an_error_of_ours() -> None:
    whole = written(pa.Table.from_pylist(ROWS))
    refused = 0
    for place in range(len(whole)):
        broken = whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :]
        try:
            assert read_arrow(broken, "rows.arrow").num_rows <= len(whole)
        except RmbenchError:
            refused += 1
    assert refused > 100
