"""Opens a model, scores the probes, runs every check, and writes the report."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from rmbench.check.answering import answers, finite, spread
from rmbench.check.backend_diff import against as compared
from rmbench.check.backend_diff import other_spec
from rmbench.check.bos import bos
from rmbench.check.image_probes import image_probes, seen_probes
from rmbench.check.invariance import batching, determinism, padding, sharing
from rmbench.check.media import media
from rmbench.check.memory_dtype import drift, memory, room_to_open
from rmbench.check.ordering import order
from rmbench.check.pooling import pooling
from rmbench.check.probes import COMMON_SPECIALS, switch_probe, text_probes
from rmbench.check.published import default_file, published, read_published
from rmbench.check.report import CheckReport, CheckResult, failed, not_run, passed
from rmbench.check.scorefile import score_file
from rmbench.check.subject import Subject
from rmbench.check.template import template
from rmbench.check.truncation import truncation
from rmbench.engine.compute import reason
from rmbench.engine.requests import requests_of
from rmbench.errors import RmbenchError
from rmbench.models.abilities import Closable, LengthSwitching
from rmbench.models.checkpoint.library import explained
from rmbench.models.checkpoint.read import digest_files
from rmbench.models.introspect import text_of
from rmbench.models.locate import Located, is_external, locate
from rmbench.models.located import read_located
from rmbench.models.open import open_model
from rmbench.models.options import OpenOptions, checked
from rmbench.models.protocols import ModelFacts, Responder, Scorer
from rmbench.models.scores.scorer import Precomputed
from rmbench.types import Example

__all__ = ["CHECKS", "check"]

_LONGEST_PROBE = 8192
"""Tokens of the longest row that is computed to cross a length switch."""

CHECKS: Mapping[str, Callable[[Subject], CheckResult]] = {
    "memory": memory,
    "answers": answers,
    "finite": finite,
    "template": template,
    "bos": bos,
    "truncation": truncation,
    "determinism": determinism,
    "batching": batching,
    "padding": padding,
    "sharing": sharing,
    "pooling": pooling,
    "order": order,
    "spread": spread,
    "media": media,
    "dtype": drift,
    "published": published,
}
"""The checks after `load`, in the order in which they run."""

Model = str | Callable[..., Any] | Scorer | Responder


def check(
    model: Model,
    *,
    published: Path | None,
    out: Path | None,
    progress: Callable[[CheckResult], None] | None,
    options: Mapping[str, Any],
    against: str | None = None,
) -> CheckReport:
    """See `rmbench.check`; `out` None writes nothing."""
    settings = checked(OpenOptions, options, "check")
    other_settings = settings
    if against is not None:
        settings = _without_servers(model, settings)
    file = published or default_file()
    rows = read_published(file) if file else []
    located = locate(model, settings) if isinstance(model, str) else None
    opened = _open(model, settings, located)
    results: list[CheckResult] = []

    def add(result: CheckResult) -> None:
        results.append(result)
        if progress is not None:
            progress(result)

    add(opened.result)
    if opened.model is not None:
        with tempfile.TemporaryDirectory() as folder:
            subject = Subject(
                model=opened.model,
                examples=_probes(opened.model, Path(folder)),
                reopen=_reopener(model, settings) if located else None,
                published=rows,
                published_from=file,
                names=_other_names(located, rows if published else ()),
                printed=len(located.card.example_scores) if located and located.card else 0,
            )
            for result in _run(subject):
                add(result)
            if against is not None:
                spec = other_spec(str(model), against)
                add(compared(subject, spec, partial(open_model, spec, other_settings)))
        if isinstance(opened.model, Closable):
            opened.model.close()
    return _written(_report(opened.facts, results), out)


def _without_servers(model: Model, options: OpenOptions) -> OpenOptions:
    """The options of the model itself, where those about servers apply to the model that it is compared with."""
    return options if is_external(model) else replace(options, base_url=(), vllm_bin=None, api_key_env=None)


@dataclass(frozen=True, slots=True)
class _Opened:
    """A model, or the reason why it cannot be opened."""

    result: CheckResult
    """The line `load`."""
    facts: ModelFacts
    model: Scorer | Responder | None = None


def _open(model: Model, options: OpenOptions, located: Located | None) -> _Opened:
    """The opened model. A fault in the files of a checkpoint is a failed line; any other fault is bad input."""
    if located is None:
        opened = open_model(model, options)
        return _Opened(
            passed("load", f"{opened.facts.family}: {opened.facts.why or 'passed as an object'}"), opened.facts, opened
        )
    try:
        with explained(located.folder):
            lacking = room_to_open(read_located(located, options), options)
        if lacking:
            return _Opened(not_run("load", lacking), _facts_of(located))
        opened = open_model(model, options)
    except RmbenchError as error:
        if str(error).startswith("--"):
            raise  # an argument is wrong, not the checkpoint
        return _Opened(failed("load", str(error)), _facts_of(located))
    return _Opened(passed("load", f"{opened.facts.family}: {opened.facts.why}"), opened.facts, opened)


def _facts_of(located: Located) -> ModelFacts:
    """The facts of files that cannot be opened."""
    revision = located.commit or digest_files(located.folder)[:8]
    return ModelFacts(name=located.name, revision=revision, family="")


def _other_names(located: Located | None, rows: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """The hub id of the model's card; for a folder, also the models of `rows` (from a file that the user names) whose
    last name part is the folder's, as `hf download` names it."""
    if located is None:
        return frozenset()
    names = {located.card.hub} if located.card and located.card.hub else set()
    if located.commit is None:
        names |= {row["model"] for row in rows if row["model"].rpartition("/")[2].casefold() == located.name.casefold()}
    return frozenset(names)


def _reopener(model: Model, options: OpenOptions) -> Callable[[str], Scorer | Responder]:
    return lambda dtype: open_model(model, replace(options, dtype=dtype, device="cpu"))


def _probes(model: Scorer | Responder, folder: Path) -> tuple[Example, ...]:
    """Probes of every modality the model reads; without Pillow there are none of images."""
    probes: tuple[Example, ...] = ()
    if "text" in model.facts.modalities:
        text = text_of(model)
        # A server's tokenizer, or one of the user's own, need not list its special tokens.
        specials = getattr(text.tokenizer, "all_special_tokens", ()) if text else ()
        probes += text_probes((*COMMON_SPECIALS, *specials)) + _switch_probes(model)
    # A Responder that reads texts too is a judge on a server, which each probe would ask.
    if "image" in model.facts.modalities and (isinstance(model, Scorer) or "text" not in model.facts.modalities):
        with contextlib.suppress(ImportError):  # then the line `media` is not run, and says so
            drawn = image_probes(folder)
            # A policy, which gives probabilities of text, or a model that writes a critique of it.
            answers_in_text = model.facts.family == "implicit" or model.facts.settings.get("critique") is not None
            probes += () if answers_in_text else drawn
            if "text" in model.facts.modalities:
                videos = "video" in model.facts.modalities
                probes += seen_probes(folder, videos=videos, alone=answers_in_text)
    return probes


def _switch_probes(model: Scorer | Responder) -> tuple[Example, ...]:
    """A probe for each length at which the model's configuration says that it computes in another way."""
    if not isinstance(model, Scorer) or not isinstance(model, LengthSwitching):
        return ()
    in_pairs = "pair" in model.answers

    def tokens_of(example: Example) -> list[int]:
        return [row.size for row in model.encode(requests_of([example], "chat", in_pairs=in_pairs)[0])]

    lengths = [length for length in model.length_switches if length <= _LONGEST_PROBE]
    return tuple(made for length in lengths if (made := switch_probe(length, tokens_of)) is not None)


def _run(subject: Subject) -> Iterator[CheckResult]:
    """A result per check. A check that raises an exception has failed: the model caused it."""
    if isinstance(subject.model, Precomputed):
        yield from score_file(subject.model, CHECKS)
        return
    for name, one in CHECKS.items():
        try:
            yield one(subject)
        except Exception as error:
            yield failed(name, str(error) if isinstance(error, RmbenchError) else reason(error))


def _report(facts: ModelFacts, results: Sequence[CheckResult]) -> CheckReport:
    from rmbench.evaluation.build_record import now, versions

    return CheckReport(facts, tuple(results), now().isoformat(timespec="seconds"), versions())


def _written(report: CheckReport, out: Path | None) -> CheckReport:
    """The report as `check.json` in the model's folder of records, which are marked. A model that was not opened has no
    records, so nothing is written."""
    from rmbench.records.check_mark import mark_records, write_check
    from rmbench.records.slug import model_slug

    if out is None or not report.facts.family:
        return report
    folder = out / model_slug(report.facts.name, report.facts.revision)
    marked, notes = mark_records(folder, report.facts.fingerprint, report.passed, report.failed, report.date)
    report = replace(report, folder=str(folder), records=marked, notes=tuple(notes))
    write_check(folder, report.to_dict())
    return report
