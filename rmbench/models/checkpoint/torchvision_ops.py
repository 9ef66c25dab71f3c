"""Makes torchvision importable with a torch build that its compiled operators do not fit.

The package index has torchvision for CUDA only. With a CPU build of torch its operators cannot be loaded, its import
fails, and so does that of every library that uses it (transformers, open_clip), although only its transforms in Python
are needed here. The import lacks the schemas of two operators, which are declared here; calling one of the two still
fails. Where the builds match, nothing is done.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import torch

__all__ = ["declare_missing_operators"]

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_declared: list[torch.library.Library] = []
"""Kept alive: a library's schemas end with it."""


def declare_missing_operators() -> bool:
    """Declare `torchvision::nms` and `qnms` where torchvision is installed and its own operators cannot be loaded.

    Call it before the first import of torchvision or of anything that may import it. Returns whether it declared them.
    """
    if _declared or "torchvision" in sys.modules:
        return bool(_declared)
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None or _loads(Path(spec.origin).parent):
        return False
    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]  # torch leaves them bare
    for name in ("nms", "qnms"):
        library.define(name + _SCHEMA)  # type: ignore[no-untyped-call]
    _declared.append(library)
    return True


def _loads(package: Path) -> bool:
    """Whether the compiled operators fit this torch."""
    files = [*package.glob("_C*.so"), *package.glob("_C*.pyd"), *package.glob("_C*.dylib")]
    try:
        for file in files:
            torch.ops.load_library(str(file))  # type: ignore[no-untyped-call]
    except OSError:
        return False
    return bool(files)
