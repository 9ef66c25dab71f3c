"""Torch files that run code, lie, or unpack to far more than they are."""

from __future__ import annotations

import io
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.hostile.case import Case

__all__ = ["PICKLES", "RAN"]

RAN = Path("/tmp/hostile-ran")
"""What a pickle writes if its code is run."""
BIN = "pytorch_model.bin"


class Evil:
    def __reduce__(self) -> Any:
        return (exec, (f"open({str(RAN)!r}, 'w').close()",))


class Array:
    def __reduce__(self) -> Any:
        return (bytearray, (10**13,))


def instead(content: bytes | Callable[[], bytes], *, keep: bool = False) -> Callable[[Path], object]:
    """A torch file in place of the safetensors, or beside them."""

    def change(folder: Path) -> None:
        if not keep:
            (folder / "model.safetensors").unlink()
        (folder / BIN).write_bytes(content if isinstance(content, bytes) else content())

    return change


def packed(data: bytes, *, entries: int = 0) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/version", b"3\n")
        archive.writestr("archive/byteorder", b"little")
        for number in range(entries):
            archive.writestr(f"archive/data/{number}", b"")
    return out.getvalue()


def bomb() -> bytes:
    """A pickle of 4 GB of zeros that is 4 MB in the archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/version", b"3\n")
        with archive.open("archive/data.pkl", "w", force_zip64=True) as stream:
            for _ in range(512):
                stream.write(b"\0" * 2**23)
    return out.getvalue()


def many() -> bytes:
    return packed(pickle.dumps({}), entries=100_000)


def tensor(shape: tuple[int, ...], stride: tuple[int, ...], count: int = 64) -> Callable[[], bytes]:
    """A state dict whose head is a view of a small storage, in any shape."""

    def made() -> bytes:
        import torch

        storage = torch.zeros(count)
        out = io.BytesIO()
        torch.save({"score.weight": storage.as_strided(shape, stride)}, out)
        return out.getvalue()

    return made


def saved(value: Callable[[], Any]) -> Callable[[], bytes]:
    def made() -> bytes:
        import torch

        out = io.BytesIO()
        torch.save(value(), out)
        return out.getvalue()

    return made


def recursive() -> Any:
    state: dict[str, Any] = {}
    state["state_dict"] = state
    return state


def sparse() -> Any:
    import torch

    return {
        "score.weight": torch.sparse_coo_tensor(
            torch.zeros(2, 1, dtype=torch.long), torch.ones(1), (10**9, 10**9), check_invariants=False
        )
    }


def nested(depth: int) -> bytes:
    return pickle.PROTO + b"\x02" + b"]" * depth + b"a" * (depth - 1) + b"."


def tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name in ("pickle", "storages", "tensors"):
            info = tarfile.TarInfo(name)
            data = pickle.dumps(Evil())
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


PICKLES = (
    Case("pickle runs code", instead(pickle.dumps(Evil()))),
    Case("pickle runs code in an archive", instead(packed(pickle.dumps({"score.weight": Evil()}, 2)))),
    Case("pickle takes os.system", instead(packed(f"cos\nsystem\n(S'touch {RAN}'\ntR.".encode()))),
    Case("pickle of 10 TB", instead(packed(pickle.dumps({"x": Array()}, 2)))),
    Case("pickle nested 1,000,000 times", instead(packed(nested(1_000_000)))),
    Case("pickle is a list", instead(packed(pickle.dumps([1, 2], 2)))),
    Case("pickle of numbers by numbers", instead(packed(pickle.dumps({1: 2, None: 3}, 2)))),
    Case("pickle cut off", instead(packed(pickle.dumps({"x": "y" * 1000}, 2)[:500]))),
    Case("pickle of opcodes that do not exist", instead(packed(b"\x80\x02\xff\xfe."))),
    Case("archive of 4 GB in 4 MB", instead(bomb)),
    Case("archive of 100,000 entries", instead(many)),
    Case("archive cut off", instead(lambda: saved(lambda: {"a": 1})()[:-60])),
    Case("tar with code", instead(tar)),
    Case("torch file is text", instead(b"hello")),
    Case("torch file is a Git LFS pointer", instead(b"version https://git-lfs.github.com/spec/v1\nsize 5\n")),
    Case("torch head of 1e18 by stride 0", instead(tensor((10**9, 10**9), (0, 0)))),
    Case("torch head sparse of 1e18", instead(saved(sparse))),
    Case("torch module and no tensors", instead(saved(lambda: {"state_dict": {"x": 1}}))),
    Case("state dict holds itself", instead(saved(recursive))),
)
