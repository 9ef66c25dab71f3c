"""`ensemble:a,b,c`: several models judge by themselves, and their judgments are combined."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypeGuard, get_args

from rmbench.engine.judge import Judging
from rmbench.engine.plan import PlanStatistics
from rmbench.errors import RmbenchError, did_you_mean
from rmbench.evaluation.combine import Agreement, Method, Recipe, agreement, combine
from rmbench.evaluation.replay import holds_records, open_recorded
from rmbench.evaluation.row_weights import RowWeights, names_file, read_row_weights
from rmbench.models.abilities import Closable
from rmbench.models.locate import has_weights
from rmbench.models.open import OpenOptions, check_gpus, open_model
from rmbench.models.protocols import ModelFacts, Responder, Scorer

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Combined", "Ensemble", "Model", "is_ensemble", "join", "members_of", "open_ensemble"]

_PREFIX = "ensemble:"


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Models that judge one after the other, all of them open at once."""

    members: tuple[Scorer | Responder, ...]
    recipe: Recipe
    facts: ModelFacts
    row_weights: RowWeights | None = None
    """Weights that differ by row; None: the recipe's hold for all rows."""

    @property
    def names(self) -> list[str]:
        """`name@revision` of the members."""
        return [_full_name(member.facts) for member in self.members]

    def for_task(self, task: str) -> Ensemble:
        """The ensemble with the weights of the task's rows, where weights differ by row."""
        if self.row_weights is None:
            return self
        return replace(self, recipe=replace(self.recipe, by_row=self.row_weights.of(task)))


Model: TypeAlias = Scorer | Responder | Ensemble
"""What a run takes."""


def members_of(model: Model) -> tuple[Scorer | Responder, ...]:
    """The members of an ensemble; another model by itself."""
    return model.members if isinstance(model, Ensemble) else (model,)


@dataclass(frozen=True, slots=True)
class Combined(Judging):
    """The outcome of judging a task with every member."""

    names: tuple[str, ...] = ()
    """[M] `name@revision`."""
    agreement: Agreement | None = None
    """None where no row that all could judge has two candidates."""


def is_ensemble(spec: object) -> TypeGuard[str]:
    """Whether `--model` names an ensemble."""
    return isinstance(spec, str) and spec.startswith(_PREFIX)


def open_ensemble(spec: str, options: OpenOptions) -> Ensemble:
    """The ensemble that `spec` names.

    Args:
        spec: `ensemble:` and what `--model` takes, joined by commas; or folders of one model's records.
        options: those of every member; of `model_args` the ensemble takes all, `method` ("mean" or "rank") and
            `weights` (numbers above 0 joined by ":", one per member; or a file of weights by row, see
            `rmbench.evaluation.row_weights`).

    Raises:
        RmbenchError: a member cannot be opened, occurs twice or is a judge, or a setting is wrong.
    """
    options.check_model_args("ensemble", ("method", "weights"))
    if options.revision is not None:
        raise RmbenchError("--revision: an ensemble has none; write @REVISION behind a member's name.")
    specs = [one.strip() for one in spec.removeprefix(_PREFIX).split(",")]
    if not all(specs):
        raise RmbenchError(f"{spec!r}: expected ensemble:A,B,... with a model in every place.")
    recipe = _recipe(options.model_args, len(specs))
    named = options.model_args.get("weights", "")
    row_weights = read_row_weights(Path(named), len(specs)) if names_file(named) else None
    if not any(has_weights(one) and not holds_records(Path(one)) for one in specs):
        check_gpus(specs[0], options)
    plain = replace(options, model_args={})
    members = tuple(_member(one, plain) for one in specs)
    with contextlib.ExitStack() as closed_on_error:
        for member in members:
            if isinstance(member, Closable):
                closed_on_error.callback(member.close)
        _check_members(spec, members)
        closed_on_error.pop_all()
    return Ensemble(members, recipe, _facts(members, recipe, row_weights), row_weights)


def join(ensemble: Ensemble, judgings: Sequence[Judging]) -> Combined:
    """The members' judgings of the same examples as one.

    Raises:
        RmbenchError: a member gave verdicts alone, or an example to rank has one candidate.
    """
    members = [judging.judgments for judging in judgings]
    judgments = combine(ensemble.names, members, ensemble.recipe)
    remarks = [
        {f"{name}: {remark}": count for remark, count in judging.remarks.items()}
        for name, judging in zip(ensemble.names, judgings, strict=True)
    ]
    ways = {judging.sharing for judging in judgings}
    return Combined(
        judgments=tuple(judgments),
        statistics=sum((judging.statistics for judging in judgings), PlanStatistics()),
        seconds=sum(judging.seconds for judging in judgings),
        halved=any(judging.halved for judging in judgings),
        resumed_batches=sum(judging.resumed_batches for judging in judgings),
        resumed_rows=sum(judging.resumed_rows for judging in judgings),
        options=judgings[0].options,
        sharing=", ".join(sorted(ways)),
        cached=sum(judging.cached for judging in judgings),
        remarks={remark: count for one in remarks for remark, count in one.items()},
        names=tuple(ensemble.names),
        agreement=agreement(members, judgments),
    )


def _member(spec: str, options: OpenOptions) -> Scorer | Responder:
    folder = Path(spec)
    if holds_records(folder):
        return open_recorded(folder)
    return open_model(spec, options if has_weights(spec) else replace(options, gpus_per_worker=None))


def _check_members(spec: str, members: Sequence[Scorer | Responder]) -> None:
    """Raise RmbenchError for a member that occurs twice, or a judge, before anything is judged."""
    names = [_full_name(member.facts) for member in members]
    for name, member in zip(names, members, strict=True):
        if names.count(name) > 1:
            raise RmbenchError(f"{spec!r}: {name} is a member {names.count(name)} times; give it a weight instead.")
        if member.facts.answer_kind == "verdict":
            raise RmbenchError(
                f"{spec!r}: {name} gives neither rewards nor margins but verdicts, which are not combined."
            )


def _recipe(args: Mapping[str, str], members: int) -> Recipe:
    name, known = args.get("method", "mean"), get_args(Method)
    if name not in known:
        near = did_you_mean(name, known)
        raise RmbenchError(f"--model-args method={name}: expected one of {', '.join(known)}.{near}")
    method: Method = "rank" if name == "rank" else "mean"
    if "weights" not in args or names_file(args["weights"]):
        return Recipe(method)
    try:
        weights = tuple(float(weight) for weight in args["weights"].split(":"))
    except ValueError as error:
        raise RmbenchError(f'--model-args weights={args["weights"]}: expected numbers joined by ":".') from error
    if len(weights) != members or not all(math.isfinite(weight) and weight > 0 for weight in weights):
        raise RmbenchError(
            f"--model-args weights={args['weights']}: expected {members} numbers above 0, one per member."
        )
    return Recipe(method, weights)


def _full_name(facts: ModelFacts) -> str:
    return f"{facts.name}@{facts.revision}"


def _facts(members: Sequence[Scorer | Responder], recipe: Recipe, row_weights: RowWeights | None = None) -> ModelFacts:
    """The facts of the ensemble; flags and training data of any member are those of the whole."""
    each = [member.facts for member in members]
    shares = recipe.shares(len(each)).tolist()
    pinned = {"method": recipe.method, "shares": shares, "members": [facts.fingerprint for facts in each]}
    spelled = ":".join(f"{share:.6g}" for share in shares)
    if row_weights is not None:
        pinned["shares"] = [row_weights.sha256]
        spelled = f"{row_weights.name}, sha256 {row_weights.sha256}"
    digest = hashlib.sha256(json.dumps(pinned).encode()).hexdigest()
    sizes = [facts.parameters for facts in each]
    licenses = {facts.license for facts in each}
    return ModelFacts(
        name=_PREFIX + ",".join(facts.name for facts in each),
        revision=digest[:8],
        family="ensemble",
        why=f"{len(each)} models combined by {'mean z-score' if recipe.method == 'mean' else 'mean rank'}",
        modalities=frozenset.intersection(*(facts.modalities for facts in each)),
        parameters=sum(size for size in sizes if size is not None) if None not in sizes else None,
        license=licenses.pop() if len(licenses) == 1 else None,
        trained_on=tuple(dict.fromkeys(name for facts in each for name in facts.trained_on)),
        flags=tuple(sorted({flag for facts in each for flag in facts.flags})),
        settings={
            "method": recipe.method,
            "members": ", ".join(map(_full_name, each)),
            "weights": spelled,
        },
        # Without a fingerprint of each member the ensemble cannot be identified in a journal.
        fingerprint=digest if all(facts.fingerprint for facts in each) else "",
    )
