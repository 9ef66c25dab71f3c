"""A toy model that workers import and open: it dies, sleeps or fails where its rows and its folder say so."""

from __future__ import annotations

import os
import pathlib
import signal
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from rmbench.models.protocols import Answer, Batch, Encoded, ModelFacts, Request, Sharing


class Toy:
    """Rewards from bytes. `marks` is a folder where it leaves notes; rows with SLOW take a tenth of a second."""

    answers: frozenset[Answer] = frozenset({"reward"})
    pad_id = 0
    threads = 1
    chunk_tokens = 64
    facts = ModelFacts("toy", "0", "scalar", fingerprint="toy")

    def __init__(self, marks: str = "", agrees: bool = True) -> None:
        self.marks, self.agrees = marks, agrees

    def encode(self, requests: Sequence[Request]) -> list[Encoded]:
        texts = ["\n".join(message.text for message in request.conversation) for request in requests]
        return [Encoded(text, len(text), tuple(text.encode()), payload=text) for text in texts]

    def sharing(self, batches: Sequence[Batch]) -> Sharing:
        return Sharing(self.agrees, "lean: fine")

    def forward(self, batch: Batch) -> dict[str, Any]:
        for row in batch.rows:
            deaths = pathlib.Path(self.marks, "died")
            text = str(row.payload)
            if "ALWAYS" in text or ("ONCE" in text and not deaths.exists()):
                with deaths.open("a") as file:
                    file.write("x")
                os._exit(9)
            if "SHOT" in text:
                os.kill(os.getpid(), signal.SIGKILL)
            if "SLOW" in text:
                time.sleep(0.1)
        return {"reward": np.array([[float(sum(row.ids) % 97)] for row in batch.rows], dtype=np.float32)}


class OpenToy:
    def __init__(self, marks: str = "", agrees: bool = True) -> None:
        self.marks, self.agrees = marks, agrees

    def __call__(self) -> Toy:
        if self.marks:
            pathlib.Path(self.marks, f"pid{os.getpid()}").touch()
        return Toy(self.marks, self.agrees)


def cannot_open() -> Any:
    raise OSError("weights are gone")


class FailsFirst(OpenToy):
    """The first worker cannot open it."""

    def __call__(self) -> Toy:
        try:
            pathlib.Path(self.marks, "first").touch(exist_ok=False)
        except FileExistsError:
            return super().__call__()
        raise OSError("no disk")


def dies_opening() -> Any:
    os._exit(3)


def is_shot_opening() -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


class Other(Toy):
    facts = ModelFacts("toy", "1", "scalar", fingerprint="other")


def open_other() -> Other:
    return Other()


class Wrong(Toy):
    def forward(self, batch: Batch) -> dict[str, Any]:
        return {"rewards": np.zeros((len(batch.rows), 1), dtype=np.float32)}


def open_wrong() -> Wrong:
    return Wrong()
