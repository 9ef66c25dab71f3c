"""The images that image models are checked on: drawn here, so that no file has to be bundled."""

from __future__ import annotations

from pathlib import Path

from rmbench.types import Candidate, Edge, Example, Gold, Message, Part

__all__ = ["BROKEN", "image_probes"]

BROKEN = "broken"
"""The probe one of whose files is not an image."""

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
