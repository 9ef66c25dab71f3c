"""Rewards for a file of rows: what people filter data and pick the best of n with."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from rmbench.errors import RmbenchError
from rmbench.evaluation.options import RunArguments, RunOptions
from rmbench.evaluation.progress import reporting
from rmbench.models.options import checked
from rmbench.models.signature import spec_of, with_named_options

if TYPE_CHECKING:
    from rmbench.engine.judge import Progress
    from rmbench.tasks.own.declare import Own
    from rmbench.types import Conversation, Example, Judged

__all__ = ["ScoredRows", "score_rows"]

_OF_RECORDS = (
    *("source", "images", "allow_url_fetch", "allow_changed_data", "limit", "objective_weights", "include_path"),
    *("retry_failed", "save_prompts", "shard", "command", "requests_out", "responses_in"),
)
"""Options of a run that have no meaning here, and are refused."""


@dataclass(frozen=True, slots=True)
class ScoredRows:
    """What `rmbench.score_rows` wrote."""

    model: str
    """`name@revision`."""
    rows: int
    failed: tuple[str, ...]
    """Id and reason of each row without a reward; they are in the file too."""
    ties: int
    """Rows whose best answer has the reward of another one; the first of them is the best. 0 without `best_of`."""
    truncated: int
    """Rows of which an answer, with its prompt, was longer than the model reads, and cut."""
    reused: int
    """Answers whose reward an earlier, stopped job or the score cache held."""
    out: Path
    best_of: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data: the object that `rmbench score --data --json` prints."""
        return {
            "model": self.model,
            "rows": self.rows,
            "failed": len(self.failed),
            "ties": self.ties,
            "truncated": self.truncated,
            "reused": self.reused,
            "out": str(self.out),
            "best_of": None if self.best_of is None else str(self.best_of),
        }


@with_named_options(RunOptions, without=_OF_RECORDS)
def score_rows(  # type: ignore[misc]  # `data` and `out` are of their own kind here
    model: str | Path | Callable[..., Any],
    data: str | Path,
    out: str | Path,
    *,
    best_of: str | Path | None = None,
    name_as: str = "reward",
    progress: bool | Progress | None = None,
    **options: Unpack[RunArguments],
) -> ScoredRows:
    """Score every answer of a file of rows, and write the rows with their rewards. Labels are not needed nor read.

    A stopped job goes on where it was when the same call is made again; nothing lies at `out` before all is done.

    Args:
        model: as in `rmbench.run`; it has to give a number for each answer.
        data: as in `rmbench.run`: a file, a folder that `datasets` saved, or a set of the hub.
        out: the file to write: `.jsonl`, `.csv` (both also with `.gz`) or `.parquet`. Each row has its own columns and
            `reward`, a number, or a list with one for each answer; `reward_error` says why a row has none.
        best_of: a file for the best answer of each row: its columns, those of the answers left out, and `best` (the
            answer), `best_index` (from 0) and `reward`. The first of several with the same reward.
        name_as: what the column is called in place of `reward`.
        progress: as in `rmbench.run`.
        options: those of opening and of the engine, `columns` and `overwrite`, as in `rmbench.run`.

    Raises:
        RmbenchError: an option that has no meaning here; the rows cannot be read, or have such a column already; a
            file is there already and `overwrite` is not given; the model gives no numbers, or failed on every row for
            one reason.
    """
    from rmbench.evaluation.compatibility import cannot_read, cannot_take, for_task
    from rmbench.evaluation.judging import judge_splits, with_reply_cache
    from rmbench.evaluation.session import open_session, opened_model
    from rmbench.evaluation.workers import check_workers
    from rmbench.tasks.own.declare import own_task
    from rmbench.tasks.sources import load

    files = {"out": Path(out), **({"best_of": Path(best_of)} if best_of is not None else {})}
    work = files["out"].parent / f".{files['out'].name}.unfinished"
    for name in _OF_RECORDS:
        if name in options:
            raise RmbenchError(f"score_rows() has no option {name!r}.")
    spec = spec_of(model)
    settings = replace(checked(RunOptions, options, "score_rows"), out=work)
    check_workers(settings, spec)
    own = own_task(str(data), settings.columns, labelled=False)
    # What a stopped job may have left is its own to replace.
    _check_files(files, own, name_as, settings.overwrite or work.exists())
    with reporting(progress) as shown:
        shown.note(own.line)
        loaded = load(own.task)
        with opened_model(spec, settings, shown.note) as (opened, opener):
            why = cannot_take(opened, own.task) or cannot_read(opened, own.task, loaded)
            if why:
                raise RmbenchError(f"{opened.facts.name} cannot score {own.task.path}: {why}.")
            with open_session(settings, opened.facts, shown, opener) as session:
                asked = with_reply_cache(for_task(opened, own.task), session.journal)
                _, _, rows, judging = judge_splits(own.task, loaded, asked, session)
                shown.end()
                errors, ties = _write(files, own, loaded.examples, rows, name_as)
        shutil.rmtree(work)
    failed = [f"{row.id}: {error}" for row, error in zip(rows, errors, strict=True) if error is not None]
    reused = sum(judging.reused().values())
    name = f"{opened.facts.name}@{opened.facts.revision}"
    truncated = sum(any(row.judgment.truncated) for row in rows)
    return ScoredRows(name, len(rows), tuple(failed), ties, truncated, reused, files["out"], files.get("best_of"))


def _check_files(files: Mapping[str, Path], own: Own, name_as: str, overwrite: bool) -> None:
    from rmbench.evaluation.scored_file import check_name

    for option, path in files.items():
        check_name(path, f"--{option.replace('_', '-')}")
        if path.exists() and path.resolve() == own.task.path.resolve():
            raise RmbenchError(f"{path}: these are the rows themselves; write to another file.")
        if path.exists() and not overwrite:
            raise RmbenchError(f"{path}: is there already; --overwrite replaces it.")
    if len({path.resolve() for path in files.values()}) < len(files):
        raise RmbenchError(f"{files['out']}: --out and --best-of are one file.")
    new = [name_as, f"{name_as}_error", *(["best", "best_index"] if "best_of" in files else [])]
    for row in own.rows[:1]:
        for name in new:
            if name in row:
                raise RmbenchError(f'{own.task.path}: has a column "{name}" already; --as NAME calls ours otherwise.')


def _write(
    files: Mapping[str, Path], own: Own, examples: Sequence[Example], judged: Sequence[Judged], name: str
) -> tuple[list[str | None], int]:
    """Write both files.

    Returns:
        [rows] why a row has no reward, None where it has; and the rows whose best answer is not the only one.
    """
    from rmbench.evaluation.scored_file import write_rows
    from rmbench.metrics.rows.answers import is_failed, scores

    rewards = [None if is_failed(row) else scores(row) for row in judged]
    errors = [
        None if reward is not None else row.judgment.error or "no reward"
        for row, reward in zip(judged, rewards, strict=True)
    ]
    ties = 0
    if "best_of" in files:
        best = [None if reward is None else reward.index(max(reward)) for reward in rewards]
        ties = sum(reward is not None and reward.count(max(reward)) > 1 for reward in rewards)
        kept = [{key: value for key, value in row.items() if key not in own.answers} for row in own.rows]
        chosen: dict[str, Sequence[Any]] = {
            "best": [
                None if place is None else _plain(example.candidates[place].messages)
                for example, place in zip(examples, best, strict=True)
            ],
            "best_index": best,
            name: [None if reward is None else max(reward) for reward in rewards],
        }
        write_rows(files["best_of"], kept, {**chosen, f"{name}_error": errors})
    alone = all(len(example.candidates) == 1 for example in examples)
    values = [reward[0] if alone and reward is not None else reward for reward in rewards]
    write_rows(files["out"], own.rows, {name: values, f"{name}_error": errors})
    return errors, ties


def _plain(answer: Conversation) -> str | list[dict[str, Any]]:
    """An answer of one text as that; a longer one as its messages."""
    if len(answer) == 1 and not answer[0].extra:
        return answer[0].text
    return [{"role": message.role, "content": message.text, **dict(message.extra)} for message in answer]
