"""The companion of a training run: benchmarks of a reward model while it is trained, by TRL or by transformers."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

import transformers

from rmbench.engine.interfaces import SilentProgress
from rmbench.errors import RmbenchError
from rmbench.evaluation.options import RunOptions
from rmbench.integrations.trainer import Evaluated, evaluated_of, log, refuse_sharded, trainer_of
from rmbench.integrations.untouched import untouched
from rmbench.models.families.implicit.formulas import FREE
from rmbench.models.live import open_live, renewed
from rmbench.models.options import checked

if TYPE_CHECKING:
    from rmbench.evaluation.results import Results
    from rmbench.models.families.implicit.scorer import ImplicitScorer
    from rmbench.models.families.scalar.stock import ScalarScorer
    from rmbench.tasks.task import Loaded, Task

__all__ = ["RewardBenchmark"]

_LOGGER = logging.getLogger("rmbench")


class RewardBenchmark(transformers.TrainerCallback):  # type: ignore[misc]  # transformers has no types
    """Evaluates the model of a trainer in memory, and logs each task's value with its interval.

        trainer = RewardTrainer(..., callbacks=[RewardBenchmark(tasks="rm-bench", every=500)])

    The model is read as `rmbench run` reads the checkpoint of the same step, so the values are the same. Training is as
    without it: modes, dropout, random numbers, gradients and buffers are put back.

    Logged are `rmbench/TASK`, `rmbench/TASK/low` and `rmbench/TASK/high`, by the trainer's own `log`. A value that is
    undefined is not logged. An evaluation that fails is a warning and ends no training, unless `strict`; a wrong
    argument, a task that cannot be loaded, or a model that cannot be read is an error before training begins.

    Evaluated are sequence classifiers with one label, as `RewardTrainer` trains them, and policies by their implicit
    reward: against the trainer's `ref_model`, or without the adapter where there is none (`DPOTrainer`). Only the main
    process evaluates, and the others wait at their next step.

    Args:
        tasks: as in `rmbench.run`.
        every: steps between evaluations, or "epoch".
        data: rows of your own, as in `rmbench.run`; `tasks` may then be left out.
        columns: what they hold.
        source: as in `rmbench.run`, as are `limit`, `seed`, `template`, `max_length`, `model_args`, `batch_tokens` and
            `allow_changed_data`.
        at_start: evaluate before the first step too.
        at_end: evaluate after the last step, whatever `every` says.
        groups: log the values of groups too, as `rmbench/TASK/GROUP`.
        out: a folder for records, `step-N` for each evaluation; None: they are not kept.
        name: the model's in records; None: that of the trainer's output folder.
        strict: an evaluation that fails ends training.
        prefix: what keys begin with.

    Raises:
        RmbenchError: a wrong argument; in training, as said above.
    """

    def __init__(
        self,
        tasks: str | Sequence[str] | None = None,
        *,
        every: int | Literal["epoch"] = 500,
        data: Path | str | Sequence[str] = (),
        columns: Mapping[str, str] | None = None,
        source: Path | str = "auto",
        limit: int | None = None,
        seed: int = 0,
        at_start: bool = False,
        at_end: bool = True,
        groups: bool = False,
        out: Path | str | None = None,
        name: str | None = None,
        strict: bool = False,
        prefix: str = "rmbench",
        template: Path | str | None = None,
        max_length: int | None = None,
        model_args: Mapping[str, Any] | None = None,
        batch_tokens: int | None = None,
        allow_changed_data: bool = False,
    ) -> None:
        if every != "epoch" and (type(every) is not int or every < 1):
            raise RmbenchError(f'every must be a number of steps or "epoch", not {every!r}.')
        if tasks is None and not data:
            raise RmbenchError("RewardBenchmark needs tasks=..., or rows of your own by data=...")
        given = {
            "data": data,
            "columns": columns or {},
            "source": source,
            "limit": limit,
            "seed": seed,
            "template": template,
            "max_length": max_length,
            "model_args": model_args or {},
            "batch_tokens": batch_tokens,
            "allow_changed_data": allow_changed_data,
        }
        # A step that is trained again after a crash replaces what the first try left.
        self.settings = replace(checked(RunOptions, given, "RewardBenchmark"), overwrite=True, cache=False)
        self.tasks, self.every, self.at_start, self.at_end = tasks, every, at_start, at_end
        self.groups, self.strict, self.prefix, self.name = groups, strict, prefix, name
        self.out = None if out is None else Path(out)
        self._evaluation: _Evaluation | None = None
        self._last = -1
        """The step of the last evaluation."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Open the model and load the tasks, so that what is wrong is known before training."""
        trainer = trainer_of(self)
        refuse_sharded(trainer)
        if not state.is_world_process_zero:
            return
        self._last = -1
        name = self.name or Path(args.output_dir).resolve().name
        self._evaluation = _Evaluation(trainer, self.settings, self.tasks, name)
        if self.at_start:
            self._evaluate(state)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Evaluate where it is time, and after the last step while reporters still listen."""
        due = isinstance(self.every, int) and state.global_step % self.every == 0
        if due or (self.at_end and state.global_step >= state.max_steps):
            self._evaluate(state)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Evaluate where it is time."""
        if self.every == "epoch":
            self._evaluate(state)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Evaluate where training was stopped early, and let go of the model."""
        try:
            if self.at_end:
                self._evaluate(state)
        finally:
            self._evaluation = None

    def _evaluate(self, state: Any) -> None:
        """Evaluate the model as it is at this step, once, and log the values."""
        if self._evaluation is None or self._last == state.global_step:
            return
        self._last = state.global_step
        try:
            results = self._evaluation.run(state.global_step, self.out)
            log(self._evaluation.trainer, self._values(results))
        except Exception as error:
            if self.strict:
                raise
            _LOGGER.warning(
                "rmbench: the evaluation at step %d failed, and training goes on: %s: %s",
                state.global_step,
                type(error).__name__,
                error,
            )

    def _values(self, results: Results) -> dict[str, float]:
        """What is logged."""
        logged: dict[str, float] = {}
        for record in results.records:
            headline = results.headline(record.task.id)
            for value in record.results:
                if value.metric != headline.metric or (value.group is not None and not self.groups):
                    continue
                key = "/".join(filter(None, (self.prefix, record.task.id, value.group)))
                figures = {key: value.value, f"{key}/low": value.low, f"{key}/high": value.high}
                logged |= {name: float(figure) for name, figure in figures.items() if figure is not None}
            if record.counts.failed:
                _LOGGER.warning("rmbench: %s: %d rows failed", record.task.id, record.counts.failed)
        return logged


class _Evaluation:
    """A trainer's model and the rows of all tasks, ready to be judged any number of times."""

    def __init__(self, trainer: Any, settings: RunOptions, tasks: str | Sequence[str] | None, name: str) -> None:
        self.trainer = trainer
        self.evaluated = evaluated_of(trainer, without_reference=settings.model_args.get("score") in FREE)
        self.settings = _with_beta(settings, trainer, self.evaluated)
        with untouched(self.evaluated.modules):
            model, reference = self.evaluated.model, self.evaluated.reference
            self.scorer = open_live(model, self.evaluated.tokenizer, self.settings, name, reference)
            self.rows = _loaded(self.scorer, tasks, self.settings)

    def run(self, step: int, out: Path | None) -> Results:
        """Judge all rows with the weights of now; records go to `step-N` in `out`."""
        from rmbench.evaluation.run import judge_tasks

        with TemporaryDirectory(prefix="rmbench-") as nowhere, untouched(self.evaluated.modules):
            settings = replace(self.settings, out=Path(nowhere) if out is None else out / f"step-{step}")
            scorer = renewed(self.scorer, f"step-{step}")
            tasks = [task for task, _ in self.rows]
            named = {task.id for task in tasks}
            return judge_tasks(scorer, tasks, named, settings, SilentProgress(), rows=self.rows)


def _with_beta(settings: RunOptions, trainer: Any, evaluated: Evaluated) -> RunOptions:
    """The implicit reward in the unit of the trainer's loss, unless the user names another."""
    beta = getattr(trainer.args, "beta", None)
    known = isinstance(beta, float) and beta > 0
    if evaluated.reference is None or not known or "beta" in settings.model_args:
        return settings
    return replace(settings, model_args={**settings.model_args, "beta": str(beta)})


def _loaded(
    scorer: ScalarScorer | ImplicitScorer, tasks: str | Sequence[str] | None, settings: RunOptions
) -> list[tuple[Task, Loaded]]:
    """The tasks that the model can take, with their rows; RmbenchError where there is none, or the data of one
    that is named cannot be read."""
    from rmbench.evaluation.results import Skipped
    from rmbench.evaluation.rows import load_tasks, selected_tasks

    skipped: list[Skipped] = []
    selected, named = selected_tasks(tasks, settings, lambda line: _LOGGER.info("rmbench: %s", line))
    rows = list(load_tasks(scorer, selected, named, settings, skipped))
    for each in skipped:
        level = logging.WARNING if each.missed else logging.INFO
        _LOGGER.log(level, "rmbench: skipped %s: %s", each.task, each.why)
    if not rows:
        raise RmbenchError("no task can be run: " + "; ".join(f"{each.task}: {each.why}" for each in skipped))
    return rows
