"""A judge's questions into a file for others to answer; and letting go of a model when a run is over."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rmbench.errors import RmbenchError
from rmbench.evaluation.results import Results, Skipped

if TYPE_CHECKING:
    from rmbench.engine.judge import Progress
    from rmbench.evaluation.ensemble import Model
    from rmbench.tasks.task import Loaded, Task

__all__ = ["closing", "write_requests"]


@contextlib.contextmanager
def closing(model: Model, *, ours: bool) -> Iterator[None]:
    """Let go of connections and servers at the end, Ctrl-C included; of those that are not `ours` their maker does."""
    from rmbench.evaluation.ensemble import members_of
    from rmbench.models.abilities import Closable

    try:
        yield
    finally:
        for member in members_of(model) if ours else ():
            if isinstance(member, Closable):
                member.close()


def write_requests(
    model: Model,
    chosen: Sequence[Task],
    rows: Callable[[Task], Loaded | str],
    file: Path,
    source: str,
    progress: Progress,
) -> Results:
    """Write the questions about every task as lines of a batch, and judge nothing.

    Args:
        model: a judge that was opened with `requests_out`.
        chosen: the tasks.
        rows: a task's rows, or why this model is not asked about them.
        file: what is written; it takes its name when it is whole.
        source: where rows come from, for the results.
        progress: told how many there are.

    Returns:
        Results without records, whose `out` is the file.

    Raises:
        RmbenchError: the model is no judge, a question fits no batch, or the file cannot be written.
    """
    from rmbench.models.judges.prompt import PromptError
    from rmbench.models.judges.responder import JudgeResponder
    from rmbench.models.servers.batch_files import BatchWriterBackend, open_requests

    if not isinstance(model, JudgeResponder) or not isinstance(model.backend, BatchWriterBackend):
        raise RmbenchError("--requests-out goes with one judge: --model openai:NAME or vllm:NAME.")
    backend = model.backend
    skipped: list[Skipped] = []
    with open_requests(file, backend.model, backend.capabilities) as requests:
        for task in chosen:
            loaded = rows(task)
            if isinstance(loaded, str):
                skipped.append(Skipped(task.id, loaded))
                continue
            progress.start(task.id, len(loaded.examples), 0)
            for example in loaded.examples:
                with contextlib.suppress(PromptError):  # the row will fail, with this reason, when it is judged
                    for question in model.questions(task.id, example):
                        requests.add(question)
                progress.advance(1, 0)
        if not requests.count:
            raise RmbenchError("--requests-out: there is no question to write.")
        progress.note(
            f"{requests.count:,} questions are in {file} and nothing was judged. Have them answered, e.g. by `vllm "
            f"run-batch -i {file} -o ANSWERS --model {backend.model}`; then run this again with --responses-in ANSWERS "
            "in place of --requests-out."
        )
    progress.end()
    return Results(model=backend.name, source=source, records=(), skipped=tuple(skipped), out=str(file))
