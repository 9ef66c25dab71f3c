"""Conformance checks of an adapter: is the model tokenized, batched, padded and pooled correctly?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from rmbench.models.options import OpenArguments, OpenOptions
from rmbench.models.signature import spec_of, with_named_options

if TYPE_CHECKING:
    from rmbench.check.report import CheckReport, CheckResult
    from rmbench.models.protocols import Responder, Scorer

__all__ = ["check"]


@with_named_options(OpenOptions)
def check(
    model: str | Path | Callable[..., Any] | Scorer | Responder,
    *,
    published: Path | str | None = None,
    against: str | None = None,
    out: Path | str = "results",
    write: bool = True,
    progress: Callable[[CheckResult], None] | None = None,
    **options: Unpack[OpenArguments],
) -> CheckReport:
    """Check the adapter of one model on a fixed set of conversations, and write the report next to its records.

    Args:
        model: as in `rmbench.run`.
        published: a JSONL file of scores that others published for conversations; None: `card_examples.jsonl` of the
            folder `published-results` in RMBENCH_DATA, where it exists.
        against: another backend that computes the same model: `vllm` (a server is started for it), `served` (the
            servers of `base_url` serve it), or whatever else `rmbench.run` takes; its rewards are one more check.
        out: the results folder, in which `check.json` goes into the model's own folder and its records are marked.
        write: False writes nothing.
        progress: called with the result of each check as it ends.
        options: how the model is opened, as in `rmbench.run` (`device`, `dtype`, `template`, ...).

    Returns:
        The report. For a checkpoint that exists and cannot be opened, the line `load` of the report failed.

    Raises:
        RmbenchError: there is no such model, or an argument is wrong.
    """
    from rmbench.check.conformance import check as conform

    return conform(
        spec_of(model),
        published=None if published is None else Path(published),
        out=Path(out) if write else None,
        progress=progress,
        options=options,
        against=against,
    )
