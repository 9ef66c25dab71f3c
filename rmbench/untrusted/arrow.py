"""Arrow files and streams of strangers as tables: compressed buffers may declare any size, offsets point anywhere."""

from __future__ import annotations

import struct
from typing import Any

from rmbench.errors import RmbenchError

__all__ = ["read_arrow"]

_MAGIC = b"ARROW1\0\0"
"""What a file begins with; behind it, it is a stream."""
_ENDS = (b"\xff\xff\xff\xff\0\0\0\0", b"ARROW1")
"""What a stream, and a file, end with."""
_ANY_ROWS = 2**20
_HEADER, _COMPRESSION = 2, 3
"""Places of a field in the tables Message and RecordBatch of the format's schema (apache/arrow, format/*.fbs)."""


def read_arrow(content: bytes, name: object) -> Any:
    """The pyarrow Table that an Arrow file or stream holds, as `datasets` writes them.

    Raises:
        RmbenchError: it is no Arrow, is broken or cut off, or is of a kind in which a few bytes may stand for any
            number of values: compressed, with dictionaries, or with types that need no byte a value.
    """
    import pyarrow
    import pyarrow.ipc

    if not content.endswith(_ENDS):
        raise RmbenchError(f"{name}: is no Arrow file, or is cut off.")
    stream = pyarrow.py_buffer(content.removeprefix(_MAGIC))
    try:
        for message in pyarrow.ipc.MessageReader.open_stream(stream):
            if message.type == "dictionary":
                raise RmbenchError(f"{name}: its columns are encoded by dictionaries; write it as Parquet.")
            if message.type == "record batch" and _is_compressed(message.metadata.to_pybytes()):
                raise RmbenchError(f"{name}: its buffers are compressed; write it as Parquet, or without compression.")
        with pyarrow.ipc.open_stream(stream) as reader:
            for column in reader.schema:
                if not _takes_bytes(column.type) and not pyarrow.types.is_null(column.type):
                    raise RmbenchError(f'{name}: column "{column.name}" is of type {column.type}, which is not read.')
            table = reader.read_all()
        if table.num_rows > max(_ANY_ROWS, len(content)):
            raise RmbenchError(f"{name}: {table.num_rows:,} rows in {len(content):,} bytes are more than texts have.")
        table.validate(full=True)
    except (pyarrow.ArrowException, OSError, MemoryError, ValueError, struct.error) as error:
        raise RmbenchError(f"{name}: is not readable Arrow ({' '.join(str(error).split())[:200]}).") from error
    return table.combine_chunks()


def _takes_bytes(kind: Any) -> bool:
    """Whether each value of the type takes space in the file, so that there cannot be more of them than it has bits."""
    from pyarrow import types

    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _takes_bytes(kind.value_type)
    if types.is_struct(kind):
        return kind.num_fields > 0 and all(_takes_bytes(kind.field(place).type) for place in range(kind.num_fields))
    if types.is_map(kind):
        return _takes_bytes(kind.key_type) and _takes_bytes(kind.item_type)
    texts = (types.is_string, types.is_large_string, types.is_binary, types.is_large_binary)
    return types.is_primitive(kind) or types.is_decimal(kind) or any(is_text(kind) for is_text in texts)


def _is_compressed(message: bytes) -> bool:
    """Whether the record batch that a message describes names a compression: a flatbuffer, read at its two fields."""
    batch = _field(message, _u32(message, 0), _HEADER)
    return batch is not None and _field(message, batch, _COMPRESSION) is not None


def _field(buffer: bytes, table: int, place: int) -> int | None:
    """Where the table that is a table's field begins; None where the field is absent."""
    (back,) = struct.unpack_from("<i", buffer, table)
    vtable = table - back
    (size,) = struct.unpack_from("<H", buffer, vtable)
    at = 4 + 2 * place
    (offset,) = struct.unpack_from("<H", buffer, vtable + at) if at < size else (0,)
    return table + offset + _u32(buffer, table + offset) if offset else None


def _u32(buffer: bytes, at: int) -> int:
    value: int
    (value,) = struct.unpack_from("<I", buffer, at)
    return value
