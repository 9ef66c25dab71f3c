"""An encoder that another process can import."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rmbench.errors import RmbenchError
from rmbench.models.protocols import Encoded, Request


@dataclass(frozen=True)
class Fatal:
    """Kills every process but one on a text."""

    but: int
    text: str


@dataclass
class ToyEncoder:
    """Tokens are UTF-8 bytes; a row's payload is its text with the process that made it."""

    seconds: float = 0.0
    """How long a row takes."""
    fatal: Any = None
    count: int = field(default=0, compare=False)

    def encode(self, requests: Sequence[Request]) -> list[Encoded]:
        self.count += len(requests)
        return [self._encode("\n".join(message.text for message in one.conversation)) for one in requests]

    def _encode(self, text: str) -> Encoded:
        time.sleep(self.seconds)
        if "NEVER" in text:
            raise RmbenchError("no row can be encoded")
        if isinstance(self.fatal, Fatal) and self.fatal.text in text and os.getpid() != self.fatal.but:
            os.kill(os.getpid(), signal.SIGKILL)
        key = hashlib.sha256(text.encode()).hexdigest()
        return Encoded(key, len(text.encode()), tuple(text.encode()), payload=(text, os.getpid()))
