"""Parquet files of strangers as tables: one of a few bytes may declare billions of values."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from rmbench.errors import RmbenchError

__all__ = ["read_table"]

_ANY_VALUES = 2**22
"""Values that any file may hold, nulls too, however small it is."""
_VALUES_PER_BYTE = 64
_ANY_CHUNK = 8 * 2**20
"""Bytes that a column of a row group may be unpacked, however small it is packed."""
_CHUNK_TIMES = 100
_ROWS = 64
"""Rows that are decoded before what they hold is counted."""
_ANY_TABLE = 256 * 2**20
_TABLE_TIMES = 100


def read_table(source: Path | bytes, name: object) -> Any:
    """The pyarrow Table that a file holds.

    Args:
        source: the file or its content.
        name: the file's, for messages.

    Raises:
        RmbenchError: it is no Parquet, or holds far more than a file of its size does.
    """
    import pyarrow
    import pyarrow.parquet

    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    try:
        with pyarrow.parquet.ParquetFile(io.BytesIO(source) if isinstance(source, bytes) else source) as file:
            _check(file.metadata, size, name)
            batches, held = [], 0
            for batch in file.iter_batches(_ROWS):
                held += batch.nbytes
                if held > max(_ANY_TABLE, _TABLE_TIMES * size):
                    raise RmbenchError(f"{name}: its rows have more than {held:,} bytes in {size:,} of the file.")
                batches.append(batch)
            table = pyarrow.Table.from_batches(batches, file.schema_arrow)
    except RmbenchError:
        raise
    except (pyarrow.ArrowException, OSError, MemoryError, ValueError) as error:
        raise RmbenchError(f"{name}: is not readable Parquet ({' '.join(str(error).split())[:200]}).") from error
    return table.combine_chunks()


def _check(metadata: Any, size: int, name: object) -> None:
    """Raise RmbenchError by what the file says of itself."""
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    chunks = [group.column(column) for group in groups for column in range(group.num_columns)]
    values = sum(chunk.num_values for chunk in chunks) + metadata.num_rows
    most = max(_ANY_VALUES, _VALUES_PER_BYTE * size)
    if values > most:
        raise RmbenchError(f"{name}: {values:,} values in {size:,} bytes are more than a file of rows has.")
    for chunk in chunks:
        if chunk.total_uncompressed_size > max(_ANY_CHUNK, _CHUNK_TIMES * chunk.total_compressed_size):
            raise RmbenchError(
                f"{name}: column {chunk.path_in_schema} is unpacked from {chunk.total_compressed_size:,} bytes to "
                f"{chunk.total_uncompressed_size:,}, which no text is."
            )
