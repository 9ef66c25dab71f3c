"""Opens `baseline:NAME`."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.models.baselines.surface import BASELINES, RELEVANCE, SURFACES, SurfaceBaseline
from rmbench.models.options import OpenOptions
from rmbench.models.protocols import ModelFacts
from rmbench.validation import validated

if TYPE_CHECKING:
    from rmbench.models.baselines.relevance import RelevanceScorer

__all__ = ["open_baseline"]

Settings = TypeVar("Settings", bound=BaseModel)


def open_baseline(kind: str, options: OpenOptions) -> SurfaceBaseline | RelevanceScorer:
    """The baseline called `kind`; its settings come from `--model-args`.

    Raises:
        RmbenchError: there is no such baseline or setting, or a setting does not take the value; for `relevance` also
            whatever is wrong with the embedder.
    """
    if kind not in BASELINES:
        near = did_you_mean(kind, BASELINES)
        raise RmbenchError(f"baseline:{kind} is unknown: expected one of {', '.join(BASELINES)}.{near}")
    if kind == RELEVANCE:
        from rmbench.models.baselines.embedder import open_relevance
        from rmbench.models.baselines.relevance import RelevanceSettings

        return open_relevance(settings_of(kind, RelevanceSettings, options), options)
    return _surface(kind, options)


def settings_of(kind: str, schema: type[Settings], options: OpenOptions) -> Settings:
    """A baseline's settings from `--model-args`."""
    options.check_model_args(f"baseline:{kind}", tuple(schema.model_fields))
    for key, field in schema.model_fields.items():
        if field.is_required() and key not in options.model_args:
            raise RmbenchError(f"baseline:{kind} needs --model-args {key}={field.title}.")
    return validated(schema, dict(options.model_args), "--model-args")


def _surface(kind: str, options: OpenOptions) -> SurfaceBaseline:
    surface = settings_of(kind, SURFACES[kind], options)
    changed = surface.model_dump_json(exclude_defaults=True)
    digest = hashlib.sha256((f"baseline:{kind}/1" + changed.removeprefix("{}")).encode()).hexdigest()
    facts = ModelFacts(
        name=f"baseline:{kind}",
        revision=digest[:8],
        family="baseline",
        why=f'the model is called "baseline:{kind}"',
        parameters=0,
        flags=("baseline",),
        settings=surface.model_dump(),
        fingerprint=digest,
    )
    return SurfaceBaseline(surface, facts)
