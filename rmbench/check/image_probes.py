"""The images that image models are checked on: drawn here, so that no file has to be bundled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rmbench.types import Candidate, Edge, Example, Gold, Message, Part

__all__ = ["BROKEN", "OTHER", "SEEN", "image_probes", "seen_probes"]

BROKEN = "broken"
"""The probe one of whose files is not an image."""

SEEN, OTHER = "image-seen", "image-other"
"""The probes of equal texts whose prompts show two pictures."""

_WHITE, _RED, _BLUE, _GREEN, _GREY = (255, 255, 255), (200, 30, 30), (30, 60, 200), (30, 150, 60), (128, 128, 128)


def image_probes(folder: Path) -> tuple[Example, ...]:
    """Prompts with images to choose between, which are drawn into `folder`; the last probe has a broken file.

    Raises:
        ImportError: Pillow is not installed.
    """
    names = _draw(folder)
    return (
        _probe(folder, "disc", "A red disc on a white ground.", *names[:3]),
        _probe(folder, "stripes", "Green and white stripes, evenly spaced.", names[3], names[2], names[0]),
        _probe(folder, "wide", "A very wide picture that fades from black to white.", names[4], names[1]),
        _probe(folder, "wordy", f"A blue square. {'It is blue and nothing but blue. ' * 40}", names[1], names[5]),
        _probe(folder, "same", "A red disc.", names[0], names[0], names[5]),
        _probe(folder, BROKEN, "A green disc.", names[0], "broken.png"),
    )


def seen_probes(folder: Path, *, videos: bool, alone: bool = False) -> tuple[Example, ...]:
    """Prompts that show pictures and are answered in text, for models that read both; `image_probes` has drawn them.

    Args:
        folder: where the pictures are.
        videos: whether the model takes videos as well.
        alone: whether there are no others, since the model's answers are texts; the last one then shows a broken file.
    """
    answers = ("A red disc on a white ground, and nothing else.", "A cat.")
    probes = [
        _asked(SEEN, ["What is to be seen?", folder / "disc.png"], *answers, "I do not know what this is."),
        _asked(OTHER, ["What is to be seen?", folder / "square.png"], *answers, "I do not know what this is."),
        _asked(
            "image-two", [folder / "fade.png", "Which of the two?", folder / "stripes.jpg"], "The second.", "The first."
        ),
    ]
    if videos:
        probes.append(_asked("video-seen", [_moving(folder), "What moves?"], "A disc, from left to right.", "A dog."))
    if alone:
        probes.append(_asked(f"image-{BROKEN}", ["What is to be seen?", folder / "broken.png"], *answers))
    return tuple(probes)


def _asked(name: str, prompt: Sequence[str | Path], *responses: str) -> Example:
    parts = (
        Part(text=one)
        if isinstance(one, str)
        else Part("video" if one.suffix == ".gif" else "image", name=one.name, path=str(one))
        for one in prompt
    )
    return Example(
        id=name,
        prompt=(Message("user", tuple(parts)),),
        candidates=tuple(Candidate.of(response) for response in responses),
        gold=Gold(relation=(Edge(0, 1),)),
    )


def _moving(folder: Path) -> Path:
    """A clip of two seconds."""
    from PIL import Image, ImageDraw

    frames = [Image.new("RGB", (120, 90), _WHITE) for _ in range(8)]
    for index, frame in enumerate(frames):
        ImageDraw.Draw(frame).ellipse((10 * index, 30, 10 * index + 30, 60), fill=_RED)
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:], duration=250)
    return folder / "moving.gif"


def _probe(folder: Path, name: str, prompt: str, *files: str) -> Example:
    candidates = (Part("image", name=file, path=str(folder / file)) for file in files)
    return Example(
        id=f"image-{name}",
        prompt=(Message.of("user", prompt),),
        candidates=tuple(Candidate((Message("assistant", (part,)),)) for part in candidates),
        gold=Gold(relation=(Edge(0, 1),)),
    )


def _draw(folder: Path) -> list[str]:
    """The names of the files, of different shapes, sizes and modes."""
    from PIL import Image, ImageDraw

    disc = Image.new("RGB", (320, 320), _WHITE)
    ImageDraw.Draw(disc).ellipse((60, 60, 260, 260), fill=_RED)
    square = Image.new("RGB", (200, 260), _WHITE)
    ImageDraw.Draw(square).rectangle((40, 60, 160, 180), fill=_BLUE)
    stripes = Image.new("RGB", (240, 240), _WHITE)
    for left in range(0, 240, 40):
        ImageDraw.Draw(stripes).rectangle((left, 0, left + 19, 239), fill=_GREEN)
    noise = Image.effect_noise((160, 160), 90)
    drawn = {
        "disc.png": disc,
        "square.png": square,
        "noise.png": noise,  # one channel
        "stripes.jpg": stripes,
        "fade.png": Image.linear_gradient("L").rotate(90).resize((900, 120)),
        "grey.png": Image.new("RGBA", (64, 64), (*_GREY, 128)),
    }
    for name, picture in drawn.items():
        picture.save(folder / name)
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and then nothing of the kind")
    return list(drawn)
