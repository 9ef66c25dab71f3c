"""Retrieval beside preference: what a model's own embeddings find among the images and texts of a task."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.evaluation.all_failed import refuse_all_failed
from rmbench.evaluation.measuring import measured
from rmbench.evaluation.options import RunArguments, RunOptions
from rmbench.evaluation.progress import reporting
from rmbench.evaluation.results import Skipped
from rmbench.evaluation.rows import load_tasks, selected_tasks
from rmbench.evaluation.workers import check_no_workers
from rmbench.models.options import checked
from rmbench.models.signature import spec_of, with_named_options
from rmbench.text import csv_text

if TYPE_CHECKING:
    from rmbench.engine.judge import Progress
    from rmbench.metrics.probing.retrieval import Found, Neighbours
    from rmbench.models.protocols import Scorer
    from rmbench.tasks.task import Loaded, Task
    from rmbench.types import Example, Judged, Value

__all__ = ["Retrieval", "TaskRetrieval", "retrieve"]

IMAGE, TEXT = "image_embedding", "text_embedding"


@dataclass(frozen=True, slots=True)
class TaskRetrieval:
    """Of one task."""

    task: str
    version: int
    metric: str
    """The task's official one, and its value over the same rows."""
    value: float | None
    rows: int
    failed: int
    """Rows without embeddings; they count in nothing."""
    images_for_texts: Found
    """Each distinct prompt looks for the images or videos of its candidates among all of the task."""
    texts_for_images: Found
    by: str
    """What the class of an image is: a group, or "prompt"."""
    neighbours: Neighbours | None
    """None where an image has several embeddings: the model compares no two images."""
    several_classes: int
    """Images that rows of several classes show; they are left out where neighbours vote."""

    @property
    def figures(self) -> list[tuple[str, float | None, int]]:
        """(name, value, n) of each figure, preference first."""
        texts, images, near = self.images_for_texts, self.texts_for_images, self.neighbours
        figures = [
            (self.metric, self.value, self.rows),
            *((f"images for texts, recall@{k}", value, texts.queries) for k, value in texts.recall.items()),
            ("images for texts, mean average precision", texts.average_precision, texts.queries),
            *((f"texts for images, recall@{k}", value, images.queries) for k, value in images.recall.items()),
        ]
        if near is not None:
            figures.append((f"{near.k} nearest images, accuracy by {self.by}", near.accuracy, near.n))
        return figures


@dataclass(frozen=True, slots=True)
class Retrieval:
    """Of one model."""

    model: str
    revision: str
    tasks: tuple[TaskRetrieval, ...]
    skipped: tuple[Skipped, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    def to_csv(self) -> str:
        """A line for each figure, so that files of several models can be put below each other."""
        head = ("model", "revision", "task", "version", "figure", "value", "n")
        lines = [
            (self.model, self.revision, one.task, one.version, *figure) for one in self.tasks for figure in one.figures
        ]
        return csv_text([head, *lines])


@with_named_options(RunOptions)
def retrieve(
    model: str | Path | Callable[..., Any],
    tasks: str | Path | Sequence[str | Path] | None = None,
    *,
    ks: Sequence[int] = (1, 5, 10),
    neighbours: int = 5,
    by: str | None = None,
    progress: bool | Progress | None = None,
    **options: Unpack[RunArguments],
) -> Retrieval:
    """Judge tasks of images or videos, and find images for prompts, prompts for images, and images of one class.

    Args:
        model: as in `rmbench.run`; one whose score is the inner product of two embeddings, or the largest of several of
            an image: of the family clip, or BLIP and BLIP-2 with score=itc.
        tasks: as in `rmbench.run`.
        ks: of recall@k.
        neighbours: how many vote on an image's class.
        by: the group whose values are the classes; None: each prompt is a class.
        progress: as in `rmbench.run`.
        options: as in `rmbench.run`. No record is written.

    Raises:
        RmbenchError: as `rmbench.run`; a model without embeddings; a group that a task has not.
    """
    from rmbench.models.abilities import EmbeddingScorer
    from rmbench.models.open import open_model

    settings = checked(RunOptions, options, "run")
    check_no_workers(settings, "retrieve")
    if not ks or min(ks) < 1 or neighbours < 1:
        raise RmbenchError(f"k of recall and neighbours are 1 or more; got {list(ks)} and {neighbours}.")
    opened = open_model(spec_of(model), settings)
    if not isinstance(opened, EmbeddingScorer):
        raise RmbenchError(
            f"{opened.facts.name} is of the family {opened.facts.family}, whose score is no inner product of two "
            "embeddings; those of the family clip and score=itc of BLIP and BLIP-2 are."
        )
    scorer, vectors = opened.with_embeddings(), opened.image_vectors
    found: list[TaskRetrieval] = []
    skipped: list[Skipped] = []
    with reporting(progress) as shown:
        selected, named = selected_tasks(tasks, settings, shown.note)
        for task, loaded in load_tasks(scorer, selected, named, settings, skipped):
            _check_group(task, loaded, by)
            rows = _judged(task, loaded, scorer, settings, shown)
            head = _headline(task, loaded, rows, scorer, settings.seed)
            found.append(_found(task, loaded, rows, head, vectors, ks, neighbours, by))
        shown.end()
    if not found:
        raise RmbenchError("no task could be judged:\n" + "\n".join(f"  {one.task}: {one.why}" for one in skipped))
    return Retrieval(opened.facts.name, opened.facts.revision, tuple(found), tuple(skipped))


def _check_group(task: Task, loaded: Loaded, by: str | None) -> None:
    known = {name for example in loaded.examples for name in example.groups}
    if by is not None and by not in known:
        raise RmbenchError(
            f"{task.id} has no group {by!r}: it has {', '.join(sorted(known)) or 'none'}.{did_you_mean(by, known)}"
        )


def _judged(task: Task, loaded: Loaded, model: Scorer, settings: RunOptions, progress: Progress) -> list[Judged]:
    from rmbench.engine.judge import EngineOptions, judge
    from rmbench.types import Judged

    options = EngineOptions(batch_tokens=settings.batch_tokens, share=settings.share)
    judging = judge(task.id, loaded.examples, model, render=task.render, options=options, progress=progress)
    pairs = zip(loaded.examples, judging.judgments, strict=True)
    rows = [Judged.of(example, judgment) for example, judgment in pairs]
    refuse_all_failed(task.id, model.facts.name, rows)
    return rows


@dataclass
class _Shown:
    """What the rows of a task show and say, each once."""

    images: dict[str, Sequence[float]] = field(default_factory=dict)
    """sha256 of a file -> its embeddings, one behind the other."""
    texts: dict[str, Sequence[float]] = field(default_factory=dict)
    of_text: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Text -> its images."""
    classes: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Image -> the classes of its rows."""
    failed: int = 0

    def add(self, row: Judged, example: Example, by: str | None) -> None:
        """Take up a row; one that failed is counted alone."""
        parts = row.judgment.parts
        if row.judgment.status != "ok":
            self.failed += 1
            return
        for (text, image), seen, read in zip(_pairs(example), parts[IMAGE], parts[TEXT], strict=True):
            self.images[image], self.texts[text] = seen, read
            self.of_text[text].add(image)
            self.classes[image].add(text if by is None else row.groups.get(by, ""))


def _found(
    task: Task,
    loaded: Loaded,
    rows: Sequence[Judged],
    head: Value,
    vectors: int,
    ks: Sequence[int],
    k: int,
    by: str | None,
) -> TaskRetrieval:
    import numpy as np

    from rmbench.metrics.probing.retrieval import Images, found_by, neighbours_of

    shown = _Shown()
    for row, example in zip(rows, loaded.examples, strict=True):
        shown.add(row, example, by)
    texts = np.array([*shown.texts.values()], dtype=np.float64)
    images = Images([*shown.images.values()], vectors, texts.shape[1])
    place = {image: index for index, image in enumerate(shown.images)}
    of_image: list[set[int]] = [set() for _ in place]
    for number, text in enumerate(shown.texts):
        for image in shown.of_text[text]:
            of_image[place[image]].add(number)
    clear = [image for image in shown.images if len(shown.classes[image]) == 1]
    near = None
    if vectors == 1:
        voters = np.array([shown.images[image] for image in clear], dtype=np.float64)
        near = neighbours_of(voters, [min(shown.classes[image]) for image in clear], k)
    of_text = [{place[image] for image in shown.of_text[text]} for text in shown.texts]
    return TaskRetrieval(
        task=task.id,
        version=task.version,
        metric=head.metric,
        value=head.value,
        rows=len(rows) - shown.failed,
        failed=shown.failed,
        images_for_texts=found_by(map(images.for_text, texts), len(place), of_text, ks),
        texts_for_images=found_by((images.for_image(at, texts) for at in place.values()), len(texts), of_image, ks),
        by=by or "prompt",
        neighbours=near,
        several_classes=len(place) - len(clear),
    )


def _headline(task: Task, loaded: Loaded, rows: Sequence[Judged], model: Scorer, seed: int) -> Value:
    totals: dict[str | None, int] = {None: loaded.total}
    totals.update(loaded.known_totals)
    values, _ = measured(rows, (), task.metrics, model.facts.settings, "reward", totals, seed)
    return values[0]


def _pairs(example: Example) -> Iterator[tuple[str, str]]:
    """(text, image) of each candidate: the prompt's text, and sha256 of the medium's file; of a caption its own text,
    and the prompt's image."""
    from rmbench.media import digest, media_of
    from rmbench.types import text_of

    for candidate in example.candidates:
        asked = candidate.prompt or example.prompt
        shown = media_of(candidate.messages)
        read = tuple(message for message in asked if message.role == "user") if shown else candidate.messages
        (medium,) = shown or media_of(asked)
        yield text_of(read), digest(str(medium.path))
