"""The task that stands behind a ranking of generators: its rows and its declaration, written beside the records."""

from __future__ import annotations

import hashlib
import json
import re
from functools import partial
from pathlib import Path

from rmbench.errors import RmbenchError
from rmbench.evaluation.generators.found import Found

__all__ = ["FOLDER", "row_id", "write_task"]

FOLDER = "generators"
"""Below the folder of the records."""


def row_id(generator: str, key: str, sample: str = "") -> str:
    """Of a row: an image or a clip, or one that is missing."""
    return " @ ".join(filter(None, (generator, key, sample)))


def write_task(found: Found, out: Path) -> Path:
    """Rows and declaration of the task; returns the declaration's path."""
    import tomlkit

    from rmbench.records.files import replace_file

    rows = [
        {"id": row_id(g, key, sample), "generator": g, "prompt": text, "medium": name}
        for g in found.generators
        for key, text in found.prompts.items()
        for sample, name in found.files.get((g, key), {"": f"{g} {key}"}).items()
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
    folder = out / FOLDER
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
