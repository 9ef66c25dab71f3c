"""What makes a record another result: two runs whose results differ by intent lie in different folders, and a run that
would replace another result is told so before it judges anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rmbench.records.headline import declaration_text, headline_spec
from rmbench.records.record import Record
from rmbench.records.slug import model_slug, task_slug

__all__ = ["Identity", "data_variant"]

_OTHER_MACHINE = frozenset({"device", "attention"})
"""Settings in which two runs of one result may differ: scores agree to rounding."""
_BY_TASK = frozenset({"voting", "voting_unparsed"})
"""Settings that a record fills in from its task."""


def data_variant(
    *, source: str, limit: int | None, seed: int, images: str | None = None, media: str = "", probes: str = ""
) -> str:
    """How a run's data differ from the task's own, as the end of a folder's name; "" for a plain run of the whole task.

    Args:
        source: "hub", "folder" or "sample".
        limit: rows that were drawn at most.
        seed: of everything random.
        images: name of the user's folder of images.
        media: digest of the images in it.
        probes: id of the task that the model was probed with.

    >>> data_variant(source="hub", limit=10, seed=3), data_variant(source="folder", limit=None, seed=0)
    ('+limit=10,seed=3', '')
    """
    parts = ["sample"] if source == "sample" else []
    parts += [f"limit={limit}"] if limit is not None else []
    parts += [f"seed={seed}"] if seed else []
    parts += [f"images={images}-{media[:8]}"] if images is not None else []
    parts += [f"probes={probes}"] if probes else []
    return "+" + ",".join(parts) if parts else ""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a record is the result of."""

    model: str
    revision: str
    """With the settings that the user gave, as in `ModelFacts`."""
    settings: Mapping[str, Any]
    task: str
    version: int
    metric: str
    """The declaration of the headline, as JSON."""
    digest: str
    """Of the rows and their media."""
    variant: str
    """As in `data_variant`."""

    @classmethod
    def of(cls, record: Record) -> Identity:
        """A record's; RmbenchError where the declaration of its headline is invalid."""
        data, media = record.data, record.data.media
        variant = data_variant(
            source=data.source,
            limit=data.limit,
            seed=record.run.seed,
            images=media.folder if media else None,
            media=media.digest if media else "",
            probes=record.probing.task.partition("@")[0] if record.probing else "",
        )
        model, task = record.model, record.task
        metric = declaration_text(replace(headline_spec(record), parts=()))
        return cls(model.name, model.revision, model.settings, task.id, task.version, metric, data.digest, variant)

    def folder(self, out: Path) -> Path:
        """Where its record lies below a results folder."""
        return out / model_slug(self.model, self.revision) / task_slug(self.task, self.version, self.variant)

    def difference(self, other: Identity) -> str:
        """What makes `other` another result, in words; "" where it is the same."""
        for key in sorted(self.settings.keys() & other.settings.keys() - _OTHER_MACHINE - _BY_TASK):
            if self.settings[key] != other.settings[key]:
                return f"{key} is {self.settings[key]} there and {other.settings[key]} here"
        if self.digest != other.digest:
            return f"its rows or images are others (digest {self.digest[:8]} there and {other.digest[:8]} here)"
        if self.metric != other.metric:
            return "its first metric was declared differently"
        return ""
