"""Generators of images or clips ranked by what reward models say of a folder of theirs."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rmbench.errors import RmbenchError

if TYPE_CHECKING:
    from rmbench.engine.judge import Progress
    from rmbench.evaluation.generators.found import Found
    from rmbench.evaluation.generators.ranking import Ranking
    from rmbench.metrics.uncertainty.aggregate import Floats
    from rmbench.records.record import Record

__all__ = ["rank_generators"]

_FOLDER = "generators"


def rank_generators(
    pattern: str,
    prompts: str | Path,
    models: Sequence[str],
    *,
    first: int | None = None,
    out: str | Path = "results",
    progress: bool | Progress | None = None,
    **options: Any,
) -> Ranking:
    """Score every image or clip of several generators with every model, and compare the generators.

    Each model's scores become a record in `out`, of a task whose declaration is written there too, so that a stopped
    job goes on, and `rmbench view`, `show` and `verify` work as on any record. Every image is scored with its own
    prompt. Values of different models have different units.

    Args:
        pattern: as `out/{generator}/{prompt}.png`, see `rmbench.evaluation.generators.found.find_media`.
        prompts: the file of prompts: .txt, .json, .jsonl or .csv.
        models: as in `rmbench.run`; each must give an image, or a clip, a number.
        first: the number of the first prompt in names of files.
        out: folder of the records.
        progress: as in `rmbench.run`.
        options: of opening and of the engine, as in `rmbench.run`.

    Raises:
        RmbenchError: as `find_media` and `rmbench.run`; no model, or one named twice.
    """
    from rmbench.evaluation.generators.compared import agreement_of, complete, standings_of, wins_of
    from rmbench.evaluation.generators.found import find_media, read_prompts, said
    from rmbench.evaluation.generators.ranking import Ranking
    from rmbench.evaluation.run import run

    if not models or len(set(models)) < len(models):
        raise RmbenchError(f"Name at least one model, each once; got {', '.join(models) or 'none'}.")
    found = find_media(pattern, read_prompts(Path(prompts)), first=first)
    declaration = _write(found, Path(out))
    scores: dict[str, Floats] = {}
    notes = [*found.notes]
    absent = {_id(*place) for place in found.missing}
    if absent:
        notes.append(said([f"{generator} for {key}" for generator, key in found.missing], f"{found.kind}s are missing"))
    for model in models:
        results = run(model, str(declaration), out=out, progress=progress, **options)
        record = results.records[0]
        scores[_name(record, scores)] = _scores(found, Path(out), record)
        broken = [f"{row.id} ({row.why})" for row in record.failed if row.id not in absent]
        if broken:
            notes.append(f"{record.model.name}: {said(broken, f'{found.kind}s have no score')}")
    whole = {name: complete(matrix).shape[1] for name, matrix in scores.items()}
    for name, count in whole.items():
        if count < len(found.prompts):
            notes.append(f"{name}: generators are compared on the {count:,} prompts of which it scored every image.")
    return Ranking(
        pattern=pattern,
        kind=found.kind,
        prompts=len(found.prompts),
        found=len(found.files),
        generators=found.generators,
        standings={name: standings_of(found.generators, matrix) for name, matrix in scores.items()},
        compared=whole,
        wins={name: wins_of(found.generators, matrix) for name, matrix in scores.items()},
        agreement=agreement_of(scores),
        notes=tuple(notes),
    )


def _name(record: Record, taken: Any) -> str:
    name = record.model.name
    return name if name not in taken else f"{name}@{record.model.revision}"


def _write(found: Found, out: Path) -> Path:
    """Rows and declaration of the task; returns the declaration's path."""
    import tomlkit

    from rmbench.records.store import replace_file

    rows = [
        {"id": _id(g, key), "generator": g, "prompt": text, "medium": found.files.get((g, key), f"{g} {key}")}
        for g in found.generators
        for key, text in found.prompts.items()
    ]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    slug = re.sub(r"[^a-z0-9]+", "-", found.root.resolve().name.lower()).strip("-") or "media"
    # Two folders may be called alike and hold files of the same names.
    digest = hashlib.sha256(f"{found.root.resolve()}\n{lines}".encode()).hexdigest()
    name = f"generators-{slug}-{digest[:8]}"
    declaration = {
        "id": name,
        "version": 1,
        "title": f"Generators of {found.root.resolve().name}",
        "family": found.kind,
        "modality": found.kind,
        "shape": "scored",
        "n": len(rows),
        "official": False,
        "verified": True,
        "files": [{"paths": [f"{name}.jsonl"]}],
        "media": {"roots": [name]},
        "columns": {"prompt": "prompt", "candidates": [{"column": "medium", "form": found.kind}]},
        "rows": {"id": ["id"], "cluster": ["@prompt"]},
        "groups": {"generator": "generator"},
        "metric": [{"name": "mean", "rule": "mean_score", "report": [["generator"]]}],
    }
    folder = out / _FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in ((f"{name}.jsonl", lines), (f"{name}.toml", tomlkit.dumps(declaration))):
            replace_file(folder / file, partial(_put, text))
        link = folder / name  # so that whoever reads the declaration finds the images
        link.unlink(missing_ok=True)
        link.symlink_to(found.root.resolve(), target_is_directory=True)
    except OSError as error:
        raise RmbenchError(f"{folder}: cannot be written ({error.strerror or error}).") from error
    return folder / f"{name}.toml"


def _put(text: str, fresh: Path) -> None:
    fresh.write_bytes(text.encode("utf-8"))


def _scores(found: Found, out: Path, record: Record) -> Floats:
    """[generators, prompts], NaN where there is none."""
    import numpy as np

    from rmbench.metrics.rows.answers import is_failed, scores
    from rmbench.records.store import folder_of, read_rows

    matrix = np.full((len(found.generators), len(found.prompts)), np.nan)
    places = {
        _id(generator, key): (i, j)
        for i, generator in enumerate(found.generators)
        for j, key in enumerate(found.prompts)
    }
    for judged in read_rows(folder_of(out, record)):
        values = None if is_failed(judged) else scores(judged)
        if values is not None:
            matrix[places[judged.id]] = values[0]
    return matrix


def _id(generator: str, key: str) -> str:
    """Of a row."""
    return f"{generator} @ {key}"
