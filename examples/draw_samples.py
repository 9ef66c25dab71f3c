"""Draw the images and videos of the bundled samples: shapes as the prompts say, worse where people found them worse.

python examples/draw_samples.py [--into FOLDER] [TASK ...]

What is drawn follows from the sample's own rows: a candidate's worth from its ratings or comparisons, the picture that
a question is about from the words of the better answer. Needs pillow and av, which the package itself does not.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from rmbench import resources
from rmbench.tasks.registry import declared, get
from rmbench.tasks.sources import load
from rmbench.tasks.task import Task
from rmbench.types import Example, Part, text_of

__all__ = ["draw", "main", "wanted"]

SIDE, FRAMES, RATE = 64, 12, 8
"""Pixels of a side; frames of a clip; frames per second."""
COLOURS = ("red", "blue", "green", "yellow", "purple", "orange", "black", "white")
SHAPES = ("circle", "square", "triangle", "cross")
COUNTS = {"two": 2, "three": 3, "one": 1, "a": 1, "an": 1}
MOVES = {"right": (1, 0), "left": (-1, 0), "rise": (0, -1), "fall": (0, 1)}
THING = re.compile(rf"(?:\b({'|'.join(COUNTS)}) )?({'|'.join(COLOURS)}) ({'|'.join(SHAPES)})", re.IGNORECASE)
GROUND = re.compile(rf"on an? ({'|'.join(COLOURS)}) ground", re.IGNORECASE)


@dataclass(frozen=True)
class Scene:
    """What a text asks for."""

    count: int
    colour: str
    shape: str
    ground: str
    move: tuple[int, int]

    @classmethod
    def of(cls, text: str) -> Scene:
        """The scene that the first coloured shape of a text stands for."""
        thing = THING.search(text)
        if thing is None:
            raise ValueError(f"no coloured shape is in {text!r}")
        ground = GROUND.search(text)
        move = next((step for word, step in MOVES.items() if word in text), (0, 0))
        count = COUNTS[(thing[1] or "a").lower()]
        return cls(count, thing[2].lower(), thing[3].lower(), ground[1].lower() if ground else "white", move)

    def spoiled(self, worth: float) -> Scene:
        """The scene as a generator of that worth, from 0 to 1, would have it."""
        colour, shape = COLOURS[COLOURS.index(self.colour) - 3], SHAPES[SHAPES.index(self.shape) - 1]
        if worth >= 0.75:
            return self
        if worth >= 0.5:
            return replace(self, colour=colour if colour != self.ground else "purple")
        return replace(self, shape=shape, count=self.count % 3 + 1, move=(0, 0))


def frame(scene: Scene, phase: float, worth: float) -> Image.Image:
    """One picture of the scene, `phase` of the way through its move; under a worth of a quarter all but lost."""
    image = Image.new("RGB", (SIDE, SIDE), scene.ground)
    pen, radius = ImageDraw.Draw(image), SIDE // 8
    for k in range(scene.count):
        x = SIDE / 2 + (k - (scene.count - 1) / 2) * 2.2 * radius + scene.move[0] * (phase - 0.5) * SIDE / 5
        y = SIDE / 2 + scene.move[1] * (phase - 0.5) * SIDE / 2
        box = (x - radius, y - radius, x + radius, y + radius)
        if scene.shape == "circle":
            pen.ellipse(box, fill=scene.colour)
        elif scene.shape == "square":
            pen.rectangle(box, fill=scene.colour)
        elif scene.shape == "triangle":
            pen.polygon([(x, box[1]), (box[0], box[3]), (box[2], box[3])], fill=scene.colour)
        else:
            pen.rectangle((box[0], y - radius / 3, box[2], y + radius / 3), fill=scene.colour)
            pen.rectangle((x - radius / 3, box[1], x + radius / 3, box[3]), fill=scene.colour)
    return image if worth >= 0.25 else image.filter(ImageFilter.GaussianBlur(5))


def draw(path: Path, text: str, worth: float) -> None:
    """Draw one medium; the name's ending says what it is."""
    scene = Scene.of(text).spoiled(worth)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".mp4":
        clip(path, [frame(scene, k / (FRAMES - 1), worth) for k in range(FRAMES)])
    else:
        frame(scene, 0.5, worth).save(path)


def clip(path: Path, frames: Sequence[Image.Image]) -> None:
    """H.264 without sound."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "30", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, "yuv420p"
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(image), format="rgb24")))
        container.mux(stream.encode(None))


def wanted(task: Task) -> dict[str, tuple[str, float]]:
    """Path below the sample's folder -> what to draw and its worth, a mean where several rows show one medium."""
    found: dict[str, list[tuple[str, float]]] = {}
    examples = load(task, "sample").examples
    spans = _spans(examples)
    for example in examples:
        for part, text, worth in _media(example, spans):
            found.setdefault(_place(task, example, part), []).append((text, worth))
    return {path: (asked[0][0], sum(worth for _, worth in asked) / len(asked)) for path, asked in found.items()}


def _place(task: Task, example: Example, part: Part) -> str:
    """Below the first root, or the one that has a group of the row in its name."""
    roots = task.declaration.media.roots
    root = next((each for each in roots if any(value in each for value in example.groups.values())), roots[0])
    name = part.name.rsplit("/", 1)[-1] if "://" in part.name else part.name
    return (Path(root) / name).as_posix()


def _media(example: Example, spans: Sequence[tuple[float, float]]) -> Iterator[tuple[Part, str, float]]:
    said = text_of(example.prompt)
    source, into, target = said.partition(" into ")  # "Turn a red circle into a blue circle."
    asked = example.context.get("target_caption", target if into else said)
    for k, candidate in enumerate(example.candidates):
        for part in candidate.messages[0].parts:
            if part.kind != "text" and not part.change:  # what is changed is drawn as it was
                yield part, asked, _worth(example, k, spans)
    for part in example.prompt[-1].parts:
        if part.kind != "text":
            better = example.candidates[example.gold.relation[0].i if example.gold.relation else 0].text
            better = example.context["reference"] if "oracle_facts" in example.context else better
            yield part, example.context.get("source_caption", source if into else better), 1.0


def _spans(examples: Sequence[Example]) -> list[tuple[float, float]]:
    """Lowest and highest rating of each dimension."""
    columns = zip(*(line for example in examples for line in example.gold.ratings), strict=True)
    return [(min(column), max(column)) for column in columns]


def _worth(example: Example, k: int, spans: Sequence[tuple[float, float]]) -> float:
    if example.gold.ratings:
        rated = zip(example.gold.ratings[k], spans, strict=True)
        return sum((figure - low) / (high - low) for figure, (low, high) in rated) / len(spans)
    said = [edge for edge in example.gold.relation if k in (edge.i, edge.j)]
    said = [edge for edge in said if edge.dimension == said[0].dimension]
    if not said:
        return 1.0
    ties = 0.0 if "tie=bad" in said[0].tags else 1.0
    won = [ties if not edge.strength else float(edge.i == k) for edge in said]
    return sum(won) / len(won)


def main() -> None:
    """Draw what the named tasks' samples refer to, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", nargs="*")
    parser.add_argument("--into", type=Path, default=resources.tasks() / "samples")
    asked = parser.parse_args()
    for task in [get(name) for name in asked.tasks] or declared().values():
        if task.modality == "text":
            continue
        media = wanted(task)
        for path, (text, worth) in media.items():
            draw(asked.into / task.id / path, text, worth)
        print(f"{task.id}: {len(media)}")


if __name__ == "__main__":
    main()
