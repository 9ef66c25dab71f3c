"""Judges examples with a Responder: LLM judges in a bounded window of threads, everything else in order."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import nullcontext

from rmbench.consistency import judgment_problem
from rmbench.engine.compute import reason
from rmbench.engine.interfaces import Ledger, Progress
from rmbench.engine.serialization import dump_judgment, load_judgments
from rmbench.engine.threads import in_threads
from rmbench.errors import RmbenchError
from rmbench.models.abilities import Metered, Waiting
from rmbench.models.protocols import Responder
from rmbench.types import Example, Judgment

__all__ = ["CHUNK", "respond"]

CHUNK = 64
"""Examples stored in the ledger together."""

_WAITING_FAMILIES = frozenset({"judge"})
"""Families that wait for servers. Others compute, gain nothing from threads, and need not be thread-safe."""


def respond(
    task: str, examples: Sequence[Example], responder: Responder, window: int, ledger: Ledger, progress: Progress
) -> tuple[list[Judgment], list[int]]:
    """Judgments in the order of the examples, and of each chunk that was in the ledger the rows that came from there.

    Raises:
        RmbenchError: a chunk in the ledger holds something else than judgments of these examples.
    """
    order = _order(examples, responder)
    digest = _digest(task, examples, responder, order)
    judgments: list[Judgment | None] = [None] * len(examples)
    chunks = [order[start : start + CHUNK] for start in range(0, len(examples), CHUNK)]
    chunk_of = {row: index for index, chunk in enumerate(chunks) for row in chunk}
    from_ledger = {index: payload for index, payload in ledger.done(task, digest).items() if 0 <= index < len(chunks)}
    progress.start(task, len(examples), 0)
    for index, payload in from_ledger.items():
        try:
            kept = load_judgments(payload, len(chunks[index]))
            for row, judgment in zip(chunks[index], kept, strict=True):
                _check(judgment, examples[row])
                judgments[row] = judgment if judgment.status != "failed" else None  # which is judged again
        except ValueError as error:
            raise ledger.damaged(f"batch {index} of {task}: {error}") from error
    resumed = Counter(chunk_of[row] for row, judgment in enumerate(judgments) if judgment is not None)
    progress.advance(resumed.total(), 0)
    missing = [row for row in order if judgments[row] is None]
    left = Counter(chunk_of[row] for row in missing)
    spent = _spent(responder)[0]
    for row, judgment in _answers(task, examples, missing, responder, window):
        judgments[row] = judgment
        before, (spent, cost) = spent, _spent(responder)
        if cost is not None:
            progress.cost(cost)
        progress.advance(1, spent - before)
        index = chunk_of[row]
        left[index] -= 1
        if not left[index]:
            whole = [one for one in (judgments[member] for member in chunks[index]) if one is not None]
            if any(one.status != "failed" for one in whole):  # failures alone are not kept: their cause may be gone
                ledger.commit(task, digest, index, [dump_judgment(one) for one in whole])
    return [judgment for judgment in judgments if judgment is not None], list(resumed.values())


def _check(judgment: Judgment, example: Example) -> None:
    """Raise ValueError where a kept judgment cannot be one of the example."""
    try:
        problem = judgment_problem(judgment, len(example.candidates))
    except (TypeError, OverflowError) as error:  # numbers beyond all floats
        problem = reason(error)
    if judgment.id != example.id:
        problem = f"it is of {judgment.id!r}, expected {example.id!r}"
    if problem:
        raise ValueError(f"row {example.id!r}: {problem}")


def _spent(responder: Responder) -> tuple[int, float | None]:
    """Tokens used so far, and their price, of a responder that counts them."""
    return responder.spent() if isinstance(responder, Metered) else (0, None)


def _order(examples: Sequence[Example], responder: Responder) -> list[int]:
    """The rows in the order in which they are asked about: of servers those whose prompts begin alike one after the
    other, so that a server finds the beginning of a question in its prefix cache."""
    rows = list(range(len(examples)))
    if responder.facts.family in _WAITING_FAMILIES:
        rows.sort(key=lambda row: [(message.role, message.text) for message in examples[row].prompt])
    return rows


def _digest(task: str, examples: Sequence[Example], responder: Responder, order: Sequence[int]) -> str:
    """Over everything a responder may look at: fakes look at the gold; and over the chunks."""
    chunks = CHUNK if list(order) == list(range(len(examples))) else (CHUNK, "by prompt")
    digest = hashlib.sha256(repr((task, responder.facts.fingerprint, chunks)).encode())
    for example in examples:
        digest.update(repr(example).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _answers(
    task: str, examples: Sequence[Example], rows: Sequence[int], responder: Responder, window: int
) -> Iterator[tuple[int, Judgment]]:
    """Rows with their judgments, as they come."""

    def judged(row: int) -> Judgment:
        return _judgment(task, examples[row], responder)

    waits = responder.facts.family in _WAITING_FAMILIES
    with responder.in_window(window) if isinstance(responder, Waiting) else nullcontext(responder) as responder:
        yield from in_threads(judged, rows, window if waits else 1, queued=window, wait_at_end=False)


def _judgment(task: str, example: Example, responder: Responder) -> Judgment:
    """The judgment as the ledger would return it: plain numbers, whatever types the responder uses."""
    try:
        judgment = load_judgments([dump_judgment(responder.judge(task, example))], 1)[0]
        problem = judgment_problem(judgment, len(example.candidates))
        if judgment.id != example.id:
            problem = f"the model answered for {judgment.id!r}"
        if not problem:
            return judgment
    except RmbenchError:
        raise  # bad input, such as a score row of the wrong length, is true whatever the model
    except Exception as error:
        problem = reason(error)
    return Judgment(id=example.id, status="failed", error=problem)
