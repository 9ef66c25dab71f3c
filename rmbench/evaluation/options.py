"""What a run is told besides its model and its tasks."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rmbench.errors import RmbenchError
from rmbench.evaluation.objectives import Weights, parse_weights

if TYPE_CHECKING:
    from rmbench.models.open import OpenOptions

__all__ = ["RunOptions", "open_options", "options_of"]


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Everything besides model and tasks that a run is told; see `rmbench run --help` for the meaning of each."""

    source: str | None = None
    """"hub", "sample" or a folder of upstream's own files; None: the folder in RMBENCH_DATA, else "hub"."""
    images: Path | None = None
    """A folder that holds the images or videos by name, such as those a generator made."""
    allow_changed_data: bool = False
    """Read a file although it differs from what the task declares."""
    limit: int | None = None
    seed: int = 0
    revision: str | None = None
    ref_model: str | None = None
    adapter: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    attn: str = "auto"
    template: Path | None = None
    max_length: int | None = None
    batch_tokens: int | None = None
    share: bool = True
    """Compute the common beginning of rows once, where the model can."""
    cache: bool = True
    """Take results of equal rows from the score cache, and keep them there."""
    workers: int = 1
    """Processes that compute, each with the model opened."""
    window: int | None = None
    """Rows that a judge is asked about at once; None: 16."""
    base_url: tuple[str, ...] = ()
    vllm_bin: Path | None = None
    api_key_env: str | None = None
    requests_out: Path | None = None
    """A judge's questions are written there, and nothing is judged."""
    responses_in: Path | None = None
    """Where the answers to them lie."""
    model_args: Mapping[str, str] = field(default_factory=dict)
    objective_weights: Weights | None = None
    """The direction in which a multi-objective model's reward is taken, by objective or one number for each; a text is
    read as `rmbench.evaluation.objectives.parse_weights` says. None: the model's own reward."""
    trust_remote_code: bool = False
    allow_pickle: bool = False
    out: Path = Path("results")
    command: str = ""
    """The command line, for the record; secrets are removed from it."""

    @property
    def resolved_source(self) -> str:
        """Where rows come from, RMBENCH_DATA considered."""
        return self.source or os.environ.get("RMBENCH_DATA") or "hub"


def options_of(given: Mapping[str, Any]) -> RunOptions:
    """Keyword arguments as checked options. Raises RmbenchError for one that is unknown or below 1."""
    from rmbench.errors import did_you_mean

    known = RunOptions.__dataclass_fields__
    for key in given:
        if key not in known:
            raise RmbenchError(f"run() has no option {key!r}.{did_you_mean(key, known)}")
    cleaned = dict(given)
    for key in ("template", "out", "images", "vllm_bin", "requests_out", "responses_in"):
        if isinstance(cleaned.get(key), str):
            cleaned[key] = Path(cleaned[key])
    if isinstance(cleaned.get("objective_weights"), str):
        cleaned["objective_weights"] = parse_weights(cleaned["objective_weights"])
    if cleaned.get("source") is not None:
        cleaned["source"] = str(cleaned["source"])
    if isinstance(cleaned.get("base_url"), str):
        cleaned["base_url"] = (cleaned["base_url"],)
    settings = RunOptions(**cleaned)
    for name in ("limit", "max_length", "workers", "window", "batch_tokens"):
        number = getattr(settings, name)
        if number is not None and number < 1:
            raise RmbenchError(f"{name} must be at least 1, not {number}.")
    return settings


def open_options(settings: RunOptions) -> OpenOptions:
    """What of the options decides how a model is opened."""
    from rmbench.models.open import OpenOptions

    names = (
        "revision",
        "ref_model",
        "adapter",
        "device",
        "dtype",
        "attn",
        "template",
        "max_length",
        "trust_remote_code",
        "base_url",
        "vllm_bin",
        "api_key_env",
        "requests_out",
        "responses_in",
    )
    return OpenOptions(
        **{name: getattr(settings, name) for name in names},
        allow_pickle=settings.allow_pickle,
        model_args=settings.model_args,
        seed=settings.seed,
    )
