"""Batch files of `vllm run-batch` and of batch services, one JSON object per line: requests written, responses read."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from rmbench.errors import RmbenchError
from rmbench.models.servers.capabilities import Capabilities
from rmbench.models.servers.errors import RetryableError, error_message
from rmbench.models.servers.generation import Question, Reply
from rmbench.models.servers.replies import applied_path, parse_reply, parse_top_logprobs
from rmbench.models.servers.requests import CHAT, chat_body, option_logprobs_fields, structured_output
from rmbench.models.servers.usage import Usage
from rmbench.models.servers.wire import BatchLine, BatchResponse, read
from rmbench.types import Setting
from rmbench.untrusted.files import check_file
from rmbench.untrusted.masking import masked

__all__ = ["BatchReaderBackend", "BatchRequests", "BatchWriterBackend", "batch_line", "open_requests", "read_responses"]


def batch_line(model: str, question: Question, capabilities: Capabilities) -> dict[str, Any]:
    """A question as one line.

    Raises:
        RmbenchError: it is a whole prompt without a chat template, for which batches have no route.
    """
    if question.raw:
        raise RmbenchError(
            f"{question.name} is a whole prompt without a chat template, which batch files cannot hold: ask a "
            "server (--base-url)."
        )
    body = chat_body(model, question, capabilities)
    if question.grammar.options and capabilities.logprobs:
        length = 1 if question.grammar.think is None else question.sampling.max_tokens
        body |= option_logprobs_fields(capabilities.limit_field, length=length)
    else:
        body |= structured_output(question.grammar, capabilities)[1]
    return {"custom_id": question.name, "method": "POST", "url": CHAT, "body": body}


@dataclass(slots=True)
class BatchRequests:
    """An open file of requests; see `open_requests`."""

    stream: IO[str]
    model: str
    capabilities: Capabilities
    _names: set[str] = field(default_factory=set)

    def add(self, question: Question) -> None:
        """Write a question. Raises RmbenchError for a name that was written already."""
        if question.name in self._names:
            raise RmbenchError(f"--requests-out: two questions are called {question.name!r}.")
        self._names.add(question.name)
        self.stream.write(json.dumps(masked(batch_line(self.model, question, self.capabilities))) + "\n")

    @property
    def count(self) -> int:
        """Questions written."""
        return len(self._names)


@contextlib.contextmanager
def open_requests(file: Path, model: str, capabilities: Capabilities) -> Iterator[BatchRequests]:
    """A new file of requests, which gets its name when it is complete; nothing is left of it after an error.

    Raises:
        RmbenchError: the file exists already, or cannot be written.
    """
    if file.exists():
        raise RmbenchError(f"--requests-out {file}: the file exists already.")
    part = file.with_name(f"{file.name}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        stream = part.open("w", encoding="utf-8")
    except OSError as error:
        raise RmbenchError(f"--requests-out {file}: cannot be written ({error}).") from error
    try:
        with stream:
            yield BatchRequests(stream, model, capabilities)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class BatchWriterBackend:
    """The Backend of a judge whose questions are written into a file (`open_requests`) instead of being asked."""

    name: str
    model: str
    """As the service that will answer calls it."""
    capabilities: Capabilities = field(default_factory=Capabilities.of_batch)
    usage: Usage = field(default_factory=Usage, repr=False)

    @property
    def settings(self) -> Mapping[str, Setting]:
        """None: no record is written."""
        return {}

    def ask(self, question: Question) -> Reply:
        """A failed reply."""
        return Reply(error=f"{question.name} was not asked")

    def close(self) -> None:
        """Nothing is open."""


@dataclass(frozen=True, slots=True)
class BatchReaderBackend:
    """A Backend that looks replies up in a batch's responses, by `custom_id`."""

    file: Path
    name: str
    lines: Mapping[str, BatchLine]
    """By their custom_id."""
    digest: str
    capabilities: Capabilities
    usage: Usage = field(default_factory=Usage, repr=False)

    @property
    def settings(self) -> Mapping[str, Setting]:
        """For the record."""
        return {
            "server": self.capabilities.server,
            "responses_sha256": self.digest,
            "structured_outputs": self.capabilities.choice,
            "logprobs": self.capabilities.logprobs or "none",
        }

    def ask(self, question: Question) -> Reply:
        """The reply in the file; without one, a failed reply with the reason."""
        line = self.lines.get(question.name)
        if line is None:
            return Reply(error=f"{self.file.name} has no response with the custom_id {question.name}")
        try:
            return self._parse(question, _body(line))
        except RetryableError as error:
            return Reply(error=f"{self.file.name}: {error}")

    def close(self) -> None:
        """Nothing is open."""

    def _parse(self, question: Question, body: Mapping[str, Any]) -> Reply:
        grammar = question.grammar
        if grammar.options and self.capabilities.logprobs:
            last, behind = grammar.last, grammar.behind
            reply = parse_top_logprobs(body, grammar.options, grammar.think, last=last, behind=behind)
            if reply is None:
                raise RetryableError("the response lacks log-probabilities of the first token")
            return reply
        reply = parse_reply(body)
        return replace(reply, path=applied_path(grammar, structured_output(grammar, self.capabilities)[0], reply.text))


def read_responses(file: Path, name: str = "", capabilities: Capabilities | None = None) -> BatchReaderBackend:
    """The responses of a batch. Of two lines with one custom_id the one that succeeded counts.

    Args:
        file: as `vllm run-batch -o` or a batch service writes it.
        name: the model's; "": as the responses name it.
        capabilities: those that the requests were written with.

    Raises:
        RmbenchError: the file cannot be read, a line is no JSON object with a custom_id, or no model is named.
    """
    lines: dict[str, BatchLine] = {}
    digest = hashlib.sha256()
    model = ""
    try:
        with check_file(file, 2**40).open("rb") as stream:
            for number, raw in enumerate(stream, 1):
                digest.update(raw)
                if not raw.strip():
                    continue
                line = _line(file, number, raw)
                if line.custom_id not in lines or not _succeeded(lines[line.custom_id]):
                    lines[line.custom_id] = line
                model = model or _model_in(line)
    except OSError as error:
        raise RmbenchError(f"{file} cannot be read: {error}") from error
    if not lines:
        raise RmbenchError(f"{file} holds no responses.")
    if not (name or model):
        raise RmbenchError(f"{file}: no response names its model; give it as --model openai:NAME.")
    return BatchReaderBackend(file, name or model, lines, digest.hexdigest(), capabilities or Capabilities.of_batch())


def _line(file: Path, number: int, raw: bytes) -> BatchLine:
    try:
        line = masked(json.loads(raw))
    except (ValueError, RecursionError) as error:
        raise RmbenchError(f"{file}, line {number}: broken JSON; was the batch cut off?") from error
    try:
        return read(BatchLine, line, f"{file}, line {number}")
    except RetryableError as error:
        raise RmbenchError(f'{error}; expected an object with "custom_id", as batches write it.') from error


def _body(line: BatchLine) -> Mapping[str, Any]:
    """A line's response; RetryableError says why there is none. Errors come as text, as objects, and as nested
    objects."""
    response = BatchResponse() if line.response is None else read(BatchResponse, line.response)
    status = response.status_code
    if line.error is not None:
        message = error_message(line.error)
        raise RetryableError(f"status {status}: {message}" if status is not None else message)
    if status != 200:
        raise RetryableError(f"status {status}")
    if response.body is None:
        raise RetryableError("the response has no body")
    return response.body


def _succeeded(line: BatchLine) -> bool:
    try:
        return bool(_body(line))
    except RetryableError:
        return False


def _model_in(line: BatchLine) -> str:
    model = _body(line).get("model") if _succeeded(line) else None
    return model if isinstance(model, str) and model.isprintable() else ""
