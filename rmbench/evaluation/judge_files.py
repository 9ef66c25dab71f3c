"""A judge's questions written to a file, for others to answer."""

from __future__ import annotations

import contextlib
from collections.abc import Container, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rmbench.errors import RmbenchError
from rmbench.evaluation.options import RunOptions
from rmbench.evaluation.results import Results, Skipped
from rmbench.evaluation.rows import load_tasks

if TYPE_CHECKING:
    from rmbench.engine.judge import Progress
    from rmbench.evaluation.ensemble import Model
    from rmbench.tasks.task import Task

__all__ = ["write_requests"]


def write_requests(
    model: Model,
    tasks: Sequence[Task],
    named: Container[str],
    settings: RunOptions,
    file: Path,
    progress: Progress,
) -> Results:
    """Write the questions about every task as lines of a batch file, and judge nothing.

    Args:
        model: a judge that was opened with `requests_out`.
        tasks: the selected ones.
        named: ids of tasks that must not be skipped for want of files.
        settings: where rows come from.
        file: what is written; it takes its name when it is whole.
        progress: where it reports.

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
        for task, loaded in load_tasks(model, tasks, named, settings, skipped):
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
    return Results(model=backend.name, source=settings.source, records=(), skipped=tuple(skipped), out=str(file))
