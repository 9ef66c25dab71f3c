"""Generators of images or clips ranked by what reward models say of a folder of theirs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rmbench.errors import RmbenchError

if TYPE_CHECKING:
    from rmbench.engine.judge import Progress
    from rmbench.evaluation.ensemble import Model
    from rmbench.evaluation.generators.found import Found
    from rmbench.evaluation.generators.ranking import Ranking
    from rmbench.evaluation.options import RunOptions
    from rmbench.metrics.uncertainty.aggregate import Floats
    from rmbench.records.record import Record

__all__ = ["rank_generators"]


def rank_generators(
    pattern: str,
    prompts: str | Path,
    models: Sequence[str],
    *,
    first: int | None = None,
    rewritten: Mapping[str, str] | None = None,
    out: str | Path = "results",
    progress: bool | Progress | None = None,
    **options: Any,
) -> Ranking:
    """Score every image or clip of several generators with every model, and compare the generators.

    Each model's scores become a record in `out`, of a task whose declaration is written there too, so that a stopped
    job goes on, and `rmbench view`, `show` and `verify` work as on any record. Every image is scored with its own
    prompt. Values of different models have different units. Models of one checkpoint share what its towers make of
    images and prompts, by way of the score cache.

    Args:
        pattern: as `out/{generator}/{prompt}.png`, see `rmbench.evaluation.generators.found.find_media`; with
            `{sample}` where there are several images of one generator for a prompt, whose scores are averaged.
        prompts: the file of prompts: .txt, .json, .jsonl or .csv.
        models: as in `rmbench.run`; each must give an image, or a clip, a number.
        first: the number of the first prompt in names of files.
        rewritten: generator -> the column of `prompts` with the prompts that it was given in place of the original
            ones. Images are scored with the original ones all the same; how alike the two are to the text tower of a
            model that has one is shown beside.
        out: folder of the records.
        progress: as in `rmbench.run`.
        options: of opening and of the engine, as in `rmbench.run`.

    Raises:
        RmbenchError: as `find_media` and `rmbench.run`; no model, or one named twice; no such generator or column.
    """
    from rmbench.evaluation.generators.best import best_of
    from rmbench.evaluation.generators.compared import agreement_of, complete, standings_of, wins_of
    from rmbench.evaluation.generators.found import find_media, read_prompts
    from rmbench.evaluation.generators.ranking import Ranking
    from rmbench.evaluation.generators.task import write_task
    from rmbench.evaluation.options import RunOptions
    from rmbench.evaluation.progress import reporting
    from rmbench.evaluation.workers import check_workers
    from rmbench.models.options import checked

    if not models or len(set(models)) < len(models):
        raise RmbenchError(f"Name at least one model, each once; got {', '.join(models) or 'none'}.")
    found = find_media(pattern, read_prompts(Path(prompts)), first=first)
    texts = _rewritten(found, Path(prompts), rewritten or {})
    settings = checked(RunOptions, {**options, "out": out}, "rank_generators")
    for model in models:
        check_workers(settings, model)
    declaration = write_task(found, Path(settings.out))
    scored = _Scored(found, [*found.notes, *_unlike(found)])
    with reporting(progress) as shown:
        for model in models:
            scored.add(model, declaration, texts, settings, shown)
    cubes = scored.cubes
    matrices = {name: _means(cube) for name, cube in cubes.items()}
    whole = {name: complete(matrix).shape[1] for name, matrix in matrices.items()}
    for name, count in whole.items():
        if count < len(found.prompts):
            scored.notes.append(
                f"{name}: generators are compared on the {count:,} prompts of which it scored every {found.kind}."
                if found.samples == ("",)
                else f"{name}: generators are compared on the {count:,} prompts of which it scored one of each."
            )
    return Ranking(
        pattern=pattern,
        kind=found.kind,
        prompts=len(found.prompts),
        found=found.count,
        generators=found.generators,
        standings={name: standings_of(found.generators, matrix) for name, matrix in matrices.items()},
        compared=whole,
        wins={name: wins_of(found.generators, matrix) for name, matrix in matrices.items()},
        agreement=agreement_of(matrices),
        best_of=best_of(found.generators, cubes),
        similarity=scored.similarity,
        records=scored.records,
        notes=tuple(scored.notes),
    )


@dataclass
class _Scored:
    """What the models have said so far."""

    found: Found
    notes: list[str]
    cubes: dict[str, Floats] = field(default_factory=dict)
    """Model -> [generators, prompts, samples], NaN where there is none."""
    similarity: dict[str, dict[str, float]] = field(default_factory=dict)
    records: dict[str, str] = field(default_factory=dict)

    def add(
        self,
        model: str,
        declaration: Path,
        texts: Mapping[str, Mapping[str, str]],
        settings: RunOptions,
        progress: Progress,
    ) -> None:
        """Score everything with one more model."""
        from rmbench.evaluation.generators.found import said
        from rmbench.evaluation.generators.task import row_id
        from rmbench.evaluation.rows import selected_tasks
        from rmbench.evaluation.run import judge_tasks
        from rmbench.evaluation.session import opened_model
        from rmbench.records.store import folder_of

        tasks, named = selected_tasks(str(declaration), settings, progress.note)
        with opened_model(model, settings, progress.note) as (opened, opener):
            record = judge_tasks(opened, tasks, named, settings, progress, opener=opener).records[0]
            name = record.model.name if record.model.name not in self.cubes else _variant(record)
            if alike := _similarity(opened, self.found, texts):
                self.similarity[name] = alike
        self.cubes[name] = _cube(self.found, Path(settings.out), record)
        self.records[name] = str(folder_of(Path(settings.out), record))
        shared, absent = record.run.reused.get("cache", 0), {row_id(*place) for place in self.found.missing}
        if shared:
            what = f"{shared:,} of {record.run.engine['unique_rows']:,} {self.found.kind}s, frames and texts"
            self.notes.append(f"{name}: {what} were in the score cache, of this or another model with the same towers.")
        broken = [f"{row.id} ({row.why})" for row in record.failed if row.id not in absent]
        if broken:
            self.notes.append(f"{name}: {said(broken, f'{self.found.kind}s have no score')}")


def _variant(record: Record) -> str:
    return f"{record.model.name}@{record.model.revision}"


def _rewritten(found: Found, file: Path, rewritten: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Generator -> key -> the prompt that it was given."""
    from rmbench.errors import did_you_mean
    from rmbench.evaluation.generators.found import read_prompts

    for generator in rewritten:
        if generator not in found.generators:
            known = ", ".join(found.generators)
            near = did_you_mean(generator, found.generators)
            raise RmbenchError(f"--rewritten {generator}: no such generator; there are {known}.{near}")
    return {generator: read_prompts(file, column) for generator, column in rewritten.items()}


def _similarity(opened: Model, found: Found, texts: Mapping[str, Mapping[str, str]]) -> dict[str, float]:
    """Generator -> the mean over prompts of the cosine of the original and the rewritten one; empty for a model without
    a text tower."""
    import numpy as np

    from rmbench.models.abilities import TextVectors

    if not texts or not isinstance(opened, TextVectors):
        return {}
    vectors: dict[str, Floats] = {}
    for text in {*found.prompts.values(), *(text for own in texts.values() for text in own.values())}:
        vector = opened.vector_of(text)[0].astype(np.float64)
        vectors[text] = vector / np.linalg.norm(vector)
    return {
        generator: float(np.mean([vectors[text] @ vectors[own[key]] for key, text in found.prompts.items()]))
        for generator, own in texts.items()
    }


def _unlike(found: Found) -> Iterator[str]:
    """Notes on what is missing: whole places, and samples of some."""
    from rmbench.evaluation.generators.found import said

    if found.missing:
        yield said([f"{generator} for {key}" for generator, key in found.missing], f"{found.kind}s are missing")
    counts = {len(samples) for samples in found.files.values()}
    if len(counts) > 1:
        yield f"There are {min(counts)} to {max(counts)} {found.kind}s of a generator and a prompt."


def _cube(found: Found, out: Path, record: Record) -> Floats:
    """[generators, prompts, samples], NaN where there is none."""
    import numpy as np

    from rmbench.evaluation.generators.task import row_id
    from rmbench.metrics.rows.answers import is_failed, scores
    from rmbench.records.store import folder_of, read_rows

    places = {
        row_id(generator, key, sample): (i, j, k)
        for i, generator in enumerate(found.generators)
        for j, key in enumerate(found.prompts)
        for k, sample in enumerate(("", *found.samples))
    }
    cube = np.full((len(found.generators), len(found.prompts), len(found.samples) + 1), np.nan)
    for judged in read_rows(folder_of(out, record)):
        values = None if is_failed(judged) else scores(judged)
        if values is not None:
            cube[places[judged.id]] = values[0]
    return cube[:, :, 0 if found.samples == ("",) else 1 :]


def _means(cube: Floats) -> Floats:
    """[generators, prompts], of the samples that have a score."""
    import numpy as np

    counts = (~np.isnan(cube)).sum(axis=2)
    total = np.nansum(cube, axis=2)
    return np.where(counts > 0, total / np.maximum(counts, 1), np.nan)
