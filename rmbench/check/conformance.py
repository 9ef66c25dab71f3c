"""Opens a model, asks it the probes, runs every check, and writes what came of it."""

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
from rmbench.check.image_probes import image_probes
from rmbench.check.introspect import text_of
from rmbench.check.invariance import batching, determinism, padding, sharing
from rmbench.check.media import media
from rmbench.check.memory_dtype import drift, memory, room_to_open
from rmbench.check.ordering import order
from rmbench.check.pooling import pooling
from rmbench.check.probes import COMMON_SPECIALS, text_probes
from rmbench.check.published import default_file, published, read_published
from rmbench.check.report import CheckReport, CheckResult, failed, not_run, passed
from rmbench.check.scorefile import score_file
from rmbench.check.subject import Subject
from rmbench.check.template import template
from rmbench.check.truncation import truncation
from rmbench.engine.compute import reason
from rmbench.errors import RmbenchError
from rmbench.models.abilities import Closable
from rmbench.models.checkpoint.read import digest_files, read_checkpoint
from rmbench.models.locate import Located, is_external, locate
from rmbench.models.open import open_model
from rmbench.models.options import OpenOptions, checked
from rmbench.models.protocols import ModelFacts, Responder, Scorer
from rmbench.models.scores.scorer import Precomputed
from rmbench.types import Example

__all__ = ["CHECKS", "check"]

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
"""The checks after `load`, in the order in which they are run and told."""

Model = str | Callable[..., Any] | Scorer | Responder


def check(
    model: Model,
    *,
    published: Path | None,
    out: Path | None,
    telling: Callable[[CheckResult], None] | None,
    options: Mapping[str, Any],
    against: str | None = None,
) -> CheckReport:
    """As `rmbench.check` says; `out` None writes nothing."""
    settings = checked(OpenOptions, options, "check")
    elsewhere = settings
    if against is not None:
        settings = _without_servers(model, settings)
    file = published or default_file()
    rows = read_published(file) if file else []
    found = locate(model, settings) if isinstance(model, str) else None
    opened = _open(model, settings, found)
    results = [opened.result]
    _tell(telling, opened.result)
    if opened.model is not None:
        with tempfile.TemporaryDirectory() as folder:
            subject = Subject(
                model=opened.model,
                examples=_probes(opened.model, Path(folder)),
                reopen=_reopener(model, settings) if found else None,
                published=rows,
                published_from=file,
                names=_other_names(found, rows if published else ()),
                printed=len(found.card.example_scores) if found and found.card else 0,
            )
            for result in _run(subject):
                results.append(result)
                _tell(telling, result)
            if against is not None:
                spec = other_spec(str(model), against)
                results.append(compared(subject, spec, partial(open_model, spec, elsewhere)))
                _tell(telling, results[-1])
        _let_go(opened.model)
    return _written(_report(opened.facts, results), out)


def _without_servers(model: Model, options: OpenOptions) -> OpenOptions:
    """The options of the model itself, where those about servers are meant for what it is compared with."""
    return options if is_external(model) else replace(options, base_url=(), vllm_bin=None, api_key_env=None)


def _let_go(model: Scorer | Responder) -> None:
    if isinstance(model, Closable):
        model.close()


@dataclass(frozen=True, slots=True)
class _Opened:
    """A model, or why there is none."""

    result: CheckResult
    """The line `load`."""
    facts: ModelFacts
    model: Scorer | Responder | None = None


def _open(model: Model, options: OpenOptions, found: Located | None) -> _Opened:
    """The opened model. What is wrong with the files of a checkpoint is a failed line; whatever else is bad input."""
    if found is None:
        opened = open_model(model, options)
        return _Opened(
            passed("load", f"{opened.facts.family}: {opened.facts.why or 'given as an object'}"), opened.facts, opened
        )
    try:
        lacking = room_to_open(read_checkpoint(found.folder, allow_pickle=options.allow_pickle), options)
        if lacking:
            return _Opened(not_run("load", lacking), _facts_of(found))
        opened = open_model(model, options)
    except RmbenchError as error:
        if str(error).startswith("--"):
            raise  # an argument is wrong, not the checkpoint
        return _Opened(failed("load", str(error)), _facts_of(found))
    except Exception as error:  # the files are whatever they are, and the first forward is made here
        return _Opened(failed("load", reason(error)), _facts_of(found))
    return _Opened(passed("load", f"{opened.facts.family}: {opened.facts.why}"), opened.facts, opened)


def _facts_of(found: Located) -> ModelFacts:
    """What is known of files that cannot be opened."""
    revision = found.commit or digest_files(found.folder)[:8]
    return ModelFacts(name=found.name, revision=revision, family="")


def _other_names(found: Located | None, rows: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """The hub id of the model's card; and of a folder, the models of `rows` (of a file that the user names) whose last
    name is the folder's, as `hf download` calls it."""
    if found is None:
        return frozenset()
    own = {found.card.hub} if found.card and found.card.hub else set()
    called = {row["model"] for row in rows if row["model"].rpartition("/")[2].casefold() == found.name.casefold()}
    return frozenset(own | (called if found.commit is None else set()))


def _reopener(model: Model, options: OpenOptions) -> Callable[[str], Scorer | Responder]:
    return lambda dtype: open_model(model, replace(options, dtype=dtype, device="cpu"))


def _probes(model: Scorer | Responder, folder: Path) -> tuple[Example, ...]:
    """Probes of every modality the model reads; an image model without Pillow has none of images."""
    found: tuple[Example, ...] = ()
    if "text" in model.facts.modalities:
        text = text_of(model)
        own = getattr(text.tokenizer, "all_special_tokens", ()) if text else ()
        found += text_probes((*COMMON_SPECIALS, *own))
    if "image" in model.facts.modalities and isinstance(model, Scorer):
        with contextlib.suppress(ImportError):  # the line `media` says that there are none
            found += image_probes(folder)
    return found


def _run(subject: Subject) -> Iterator[CheckResult]:
    """A result per check. One that ends in an exception has failed: the model brought it about."""
    if isinstance(subject.model, Precomputed):
        yield from score_file(subject.model, CHECKS)
        return
    for name, one in CHECKS.items():
        try:
            yield one(subject)
        except Exception as error:
            yield failed(name, str(error) if isinstance(error, RmbenchError) else reason(error))


def _tell(telling: Callable[[CheckResult], None] | None, result: CheckResult) -> None:
    if telling is not None:
        telling(result)


def _report(facts: ModelFacts, results: Sequence[CheckResult]) -> CheckReport:
    from rmbench.evaluation.build_record import now, versions

    return CheckReport(facts, tuple(results), now().isoformat(timespec="seconds"), versions())


def _written(report: CheckReport, out: Path | None) -> CheckReport:
    """The report as `check.json` in the model's folder of records, which are marked; nothing where it was not opened,
    for then no record can be its."""
    from rmbench.records.check_mark import mark_records, write_check
    from rmbench.records.slug import model_slug

    if out is None or not report.facts.family:
        return report
    folder = out / model_slug(report.facts.name, report.facts.revision)
    marked, notes = mark_records(folder, report.facts.fingerprint, report.passed, report.failed, report.date)
    report = replace(report, folder=str(folder), records=marked, notes=tuple(notes))
    write_check(folder, report.to_dict())
    return report
