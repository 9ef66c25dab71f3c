"""Questions and answers as files of `vllm run-batch` and of batch services: one JSON object per line."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from rmbench.errors import RmbenchError
from rmbench.models.servers.failures import AgainError, message_in
from rmbench.models.servers.generation import Question, Reply
from rmbench.models.servers.option_probs import MOST, with_options
from rmbench.models.servers.replies import choice_of, first_logprobs, kept_to, reply_of
from rmbench.models.servers.requests import chat_body, constraint_of

__all__ = ["BatchAnswers", "BatchRequests", "Constraints", "Unasked", "read_answers"]

Setting = str | int | float | bool | None
_URL = "/v1/chat/completions"


@dataclass(frozen=True, slots=True)
class Constraints:
    """What a batch asks for beyond free text; nobody can be asked what they offer, so the user says it."""

    structured: bool = False
    """vLLM's `structured_outputs`. Services that do not know the field refuse the line."""
    logprobs: bool = True
    """The most probable first tokens, where a protocol asks for probabilities of options."""

    def line(self, model: str, question: Question) -> dict[str, Any]:
        """A question as one line.

        Raises:
            RmbenchError: it is a whole prompt without chat, for which batches have no route.
        """
        if question.raw:
            raise RmbenchError(
                f"{question.name} is a whole prompt without a chat template, which batch files cannot hold: ask a "
                "server (--base-url)."
            )
        body = chat_body(model, question)
        if question.grammar.options and self.logprobs:
            body |= {"max_tokens": 1, "logprobs": True, "top_logprobs": MOST}
        else:
            body |= constraint_of(question.grammar, self.structured, self._schema)[1]
        return {"custom_id": question.name, "method": "POST", "url": _URL, "body": body}

    def reply(self, question: Question, data: Any) -> Reply:
        """The body of an answer to such a line; raises AgainError where it is none."""
        if question.grammar.options and self.logprobs:
            told = first_logprobs(choice_of(data))
            found = {option: told[option] for option in question.grammar.options if option in told}
            if len(found) < len(question.grammar.options):
                raise AgainError("the answer lacks the log-probability of an option")
            return with_options(reply_of(data), found)
        path = constraint_of(question.grammar, self.structured, self._schema)[0]
        reply = reply_of(data)
        return replace(reply, path=kept_to(question.grammar, path, reply.text))

    @property
    def _schema(self) -> Any:
        return "structured_outputs" if self.structured else ""


class BatchRequests:
    """A file of questions; it takes its name when it is whole."""

    def __init__(self, file: Path, model: str, constraints: Constraints | None = None) -> None:
        """
        Raises:
            RmbenchError: the file exists already, or cannot be written.
        """
        if file.exists():
            raise RmbenchError(f"--requests-out {file}: the file exists already.")
        self._file, self._model, self._constraints = file, model, constraints or Constraints()
        self._part = file.with_name(f"{file.name}.part")
        self._seen: set[str] = set()
        self._stream: IO[str] | None = None

    def __enter__(self) -> BatchRequests:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._stream = self._part.open("w", encoding="utf-8")
        except OSError as error:
            raise RmbenchError(f"--requests-out {self._file}: cannot be written ({error}).") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream is None:
            return
        self._stream.close()
        if kind is None:
            self._part.replace(self._file)
        else:
            self._part.unlink(missing_ok=True)

    def add(self, question: Question) -> None:
        """Write a question. Raises RmbenchError for a name that was written already."""
        if self._stream is None:
            raise ValueError("the file is not open")
        if question.name in self._seen:
            raise RmbenchError(f"--requests-out: two questions are called {question.name!r}.")
        self._seen.add(question.name)
        self._stream.write(json.dumps(self._constraints.line(self._model, question)) + "\n")

    @property
    def count(self) -> int:
        """Questions written."""
        return len(self._seen)


@dataclass(frozen=True, slots=True)
class Unasked:
    """A Backend whose questions are written into a file instead of being asked."""

    name: str
    model: str
    """As whoever answers calls it."""
    constraints: Constraints = field(default_factory=Constraints)

    @property
    def settings(self) -> Mapping[str, Setting]:
        """Nothing that a record will hold."""
        return {}

    def ask(self, question: Question) -> Reply:
        """No answer."""
        return Reply(error=f"{question.name} was not asked")

    def close(self) -> None:
        """Nothing is open."""


@dataclass(frozen=True)
class BatchAnswers:
    """A Backend that looks up what a batch answered, by `custom_id`."""

    file: Path
    name: str
    answers: Mapping[str, Any]
    """custom_id -> the whole line."""
    digest: str
    constraints: Constraints = field(default_factory=Constraints)
    _used: set[str] = field(default_factory=set, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def settings(self) -> Mapping[str, Setting]:
        """For the record."""
        return {
            "server": "batch file",
            "responses_sha256": self.digest,
            "structured_outputs": self.constraints.structured,
            "logprobs": "top" if self.constraints.logprobs else "none",
        }

    def ask(self, question: Question) -> Reply:
        """The answer in the file; without one, a reply that says why."""
        line = self.answers.get(question.name)
        if line is None:
            return Reply(error=f"{self.file.name} has no answer with the custom_id {question.name}")
        problem = _problem(line)
        if problem:
            return Reply(error=f"{self.file.name}: {problem}")
        with self._lock:
            self._used.add(question.name)
        try:
            return self.constraints.reply(question, line["response"]["body"])
        except AgainError as error:
            return Reply(error=f"{self.file.name}: {error}")

    def close(self) -> None:
        """Nothing is open."""

    @property
    def unused(self) -> int:
        """Answers that no question has asked for."""
        return len(self.answers) - len(self._used)


def read_answers(file: Path, name: str = "", constraints: Constraints | None = None) -> BatchAnswers:
    """The answers that a batch wrote. Of two lines with one custom_id the one that succeeded counts.

    Args:
        file: as `vllm run-batch -o` or a batch service writes it.
        name: the model's; "": as the answers call it.
        constraints: what the questions were written with.

    Raises:
        RmbenchError: the file cannot be read, a line is no JSON object with a custom_id, or no model is named.
    """
    found: dict[str, Any] = {}
    digest = hashlib.sha256()
    model = ""
    try:
        with file.open("rb") as stream:
            for number, raw in enumerate(stream, 1):
                digest.update(raw)
                if not raw.strip():
                    continue
                line = _line(file, number, raw)
                if line["custom_id"] not in found or _problem(found[line["custom_id"]]):
                    found[line["custom_id"]] = line
                model = model or _model_in(line)
    except OSError as error:
        raise RmbenchError(f"{file} cannot be read: {error}") from error
    if not found:
        raise RmbenchError(f"{file} holds no answers.")
    if not (name or model):
        raise RmbenchError(f"{file}: no answer names its model; give it as --model openai:NAME.")
    return BatchAnswers(file, name or model, found, digest.hexdigest(), constraints or Constraints())


def _line(file: Path, number: int, raw: bytes) -> dict[str, Any]:
    try:
        line = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise RmbenchError(f"{file}, line {number}: broken JSON; was the batch cut off?") from error
    if not isinstance(line, dict) or not isinstance(line.get("custom_id"), str):
        raise RmbenchError(f'{file}, line {number}: expected an object with "custom_id", as batches write it.')
    return line


def _problem(line: Mapping[str, Any]) -> str:
    """Why a line holds no answer; "" where it does. Errors come as texts, as objects, and as objects in objects."""
    response = line.get("response")
    status = response.get("status_code") if isinstance(response, dict) else None
    if line.get("error") is not None:
        error = line["error"]
        said = message_in(error if isinstance(error, str) else json.dumps(error))
        return f"status {status}: {said}" if status is not None else said
    if not isinstance(response, dict) or status != 200:
        return f"status {status}"
    return "" if isinstance(response.get("body"), dict) else "the answer has no body"


def _model_in(line: Mapping[str, Any]) -> str:
    if _problem(line):
        return ""
    model = line["response"]["body"].get("model")
    return model if isinstance(model, str) and model.isprintable() else ""
