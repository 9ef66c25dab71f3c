"""Declares the schemas of torchvision's operators `nms` and `qnms` before its first import, so that it can be imported
beside a CPU build of torch, which its compiled operators do not fit; see `prepare.py`. Calling one of the two fails."""

from __future__ import annotations

import sys
from typing import Any

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


class Declaring:
    """A finder of modules that finds none: it is asked for torchvision before torchvision is imported."""

    def __init__(self) -> None:
        self.library: Any = None
        """Kept alive: its schemas end with it."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        """None, for the next finder to find it."""
        if name == "torchvision" and self.library is None:
            import torch

            self.library = torch.library.Library("torchvision", "DEF")
            for operator in ("nms", "qnms"):
                self.library.define(operator + _SCHEMA)


sys.meta_path.insert(0, Declaring())
