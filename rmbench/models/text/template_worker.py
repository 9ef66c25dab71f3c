"""Renders chat templates of unknown cost in a process of its own, within limits of time and memory.

One such process serves all templates of a run, and starts with the first row that needs it. A template that takes too
long, or too much memory, costs the process, and the next row starts another.
"""

from __future__ import annotations

import atexit
import builtins
import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

__all__ = ["CHARACTERS", "LIMITS", "TemplateLimitError", "render_apart"]

_SECONDS = 4.0
_START_SECONDS = 60.0
"""Until the process has imported its libraries, on a machine that is busy."""
_BYTES = 2**29
CHARACTERS = 2**24
LIMITS = f"{_SECONDS:g} s, {_BYTES >> 20} MiB of memory or {CHARACTERS:,} characters"


class TemplateLimitError(Exception):
    """The template takes too long or too much memory, or writes too much."""


class _Worker:
    """The process and what reads its answers."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "rmbench.models.text.template_worker"]
        folder = os.pathsep.join(path for path in sys.path if path)
        self.process = subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": folder},
        )
        self.answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self.get(_START_SECONDS)  # it says that it is ready

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.answers.put(line)
        self.answers.put(b"")

    def get(self, seconds: float) -> bytes:
        """Its next answer; b"" where it does not come in time, or the process has ended."""
        try:
            return self.answers.get(timeout=seconds)
        except queue.Empty:
            return b""

    def ask(self, question: bytes) -> bytes:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(question + b"\n")
            self.process.stdin.flush()
        except OSError:
            return b""
        return self.get(_SECONDS)

    def end(self) -> None:
        self.process.kill()
        self.reader.join()
        with contextlib.suppress(OSError), self.process:  # what was not yet written to it is lost
            pass


_LOCK = threading.Lock()
_workers: list[_Worker] = []


def render_apart(
    template: str,
    turns: Sequence[Mapping[str, Any]],
    tokens: Mapping[str, Any],
    *,
    tools: Sequence[Mapping[str, Any]] | None = None,
    generation_prompt: bool,
) -> str:
    """The text that a template makes of turns, as the library's tokenizers render it.

    Args:
        template: in Jinja.
        turns: messages, of what JSON has.
        tokens: the tokenizer's special tokens by the names that templates use.
        tools: definitions of functions; None: the template is given none.
        generation_prompt: whether the header of an answer to come is asked for.

    Raises:
        TemplateLimitError: it takes too long, or too much memory, or writes too much.
        TemplateError: of Jinja; it refuses the conversation or is broken.
        Exception: whatever else it raised.
    """
    from jinja2.exceptions import TemplateError

    asked = {
        "template": template,
        "turns": turns,
        "tools": tools,
        "tokens": tokens,
        "generation_prompt": generation_prompt,
    }
    with _LOCK:
        if not _workers:
            _workers.append(_Worker())
            atexit.register(_end)
        answer = _workers[0].ask(json.dumps(asked).encode())
        if not answer:
            _end()
    said: dict[str, Any] = json.loads(answer) if answer else {"limit": True}
    if "text" in said:
        return str(said["text"])
    if "limit" in said:
        raise TemplateLimitError(f"takes more than {LIMITS}")
    kind = getattr(builtins, said["kind"], RuntimeError)
    raise (TemplateError if said["of_jinja"] else kind if issubclass(kind, Exception) else RuntimeError)(said["error"])


def _end() -> None:
    while _workers:
        _workers.pop().end()


def _forget() -> None:
    """In a forked process: the worker and the lock are the other's."""
    global _LOCK
    _LOCK = threading.Lock()
    _workers.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _answer(asked: Mapping[str, Any]) -> dict[str, Any]:
    from jinja2.exceptions import TemplateError
    from transformers import PreTrainedTokenizerBase

    # What the method reads of a tokenizer.
    tokenizer: Any = SimpleNamespace(
        special_tokens_map=asked["tokens"], get_chat_template=lambda template, tools: template
    )
    try:
        text = PreTrainedTokenizerBase.apply_chat_template(
            tokenizer,
            asked["turns"],
            tools=asked["tools"],
            chat_template=asked["template"],
            tokenize=False,
            add_generation_prompt=asked["generation_prompt"],
        )
        return {"limit": True} if len(text) > CHARACTERS else {"text": text}
    except MemoryError:
        return {"limit": True}
    except Exception as error:  # a template is untrusted and may fail in any way
        return {"error": str(error)[:1000], "kind": type(error).__name__, "of_jinja": isinstance(error, TemplateError)}


def _used() -> int:
    """Bytes of address space that this process has by now; those of another system than Linux are guessed."""
    sizes = Path("/proc/self/statm")
    return int(sizes.read_text("ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE") if sizes.exists() else 2**31


def _serve(questions: BinaryIO, answers: BinaryIO) -> None:
    import jinja2.sandbox  # noqa: F401  # before the limit and the first question
    from transformers import PreTrainedTokenizerBase  # noqa: F401

    with contextlib.suppress(ImportError):  # where there are no such limits, time alone bounds memory
        import resource

        most = _used() + _BYTES
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    answers.write(b"ready\n")
    answers.flush()
    for question in questions:
        answers.write(json.dumps(_answer(json.loads(question))).encode() + b"\n")
        answers.flush()


if __name__ == "__main__":
    _serve(sys.stdin.buffer, sys.stdout.buffer)
