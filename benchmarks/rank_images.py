"""Ranking eight images a prompt: rmbench against the hpsv2 package's way at equal scores, and what decoding costs.

    python benchmarks/rank_images.py [--architecture ViT-B-16] [--prompts 2] [--threads 2] [--rounds 3] [--only profile]

The package's way is written from what its public source does (tgxs002/HPSv2 @ 708ffb3, hpsv2/img_score.py), as a plain
loop over open_clip's own model: a call of `score` reads the checkpoint from disk and loads it into the model; then, for
each image of the call, the image is decoded and resized as a float tensor, the prompt is tokenised, and both go through
the model together, a batch of one. It is called for each image, for each prompt with its images as a list, and for each
pair of images; and once more with the weights kept, which the package cannot. fp32, random weights, images of 512 x 512
as JPEG. All ways must give the same scores to 1e-5.

Then a profile (`--only profile` for it alone): what an image costs to decode and make ready, in the forward pass, and
in both, with pictures decoded ahead and where they are used; by the clock, and by the processor's time, which tells on
a busy machine too whether decoding could ever be what the forward pass waits for.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from rmbench.engine.judge import judge  # noqa: E402
from rmbench.models.checkpoint.torchvision_ops import declare_missing_operators  # noqa: E402
from rmbench.models.families.vision.preprocess import Preprocess  # noqa: E402
from rmbench.models.open import open_model  # noqa: E402
from rmbench.models.options import OpenOptions  # noqa: E402
from rmbench.types import Candidate, Example, Gold, Message, Part  # noqa: E402

EXACT = 1e-5
IMAGES = 8
Scores = dict[tuple[int, int], float]
"""(prompt, image) -> score."""


class Package:
    """The package's way."""

    def __init__(self, architecture: str, checkpoint: Path) -> None:
        import open_clip

        self.checkpoint = checkpoint
        self.model = open_clip.create_model(architecture, pretrained=None)
        self.tokenizer = open_clip.get_tokenizer(architecture)
        size = self.model.visual.image_size
        self.preprocess = Preprocess(size[0] if isinstance(size, tuple) else size, order="tensor")

    def load(self) -> None:
        """What each call begins with."""
        checkpoint = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        self.model.load_state_dict(checkpoint["state_dict"])
        self.model.eval()

    def score(self, files: Sequence[Path], prompt: str, *, load: bool = True) -> list[float]:
        """A call with a list of images."""
        if load:
            self.load()
        found = []
        for file in files:
            with torch.no_grad():
                image = self.preprocess(Image.open(file).convert("RGB"))[None]
                text = self.tokenizer([prompt])
                pictures = self.model.encode_image(image, normalize=True)
                texts = self.model.encode_text(text, normalize=True)
                found.append(float(torch.diagonal(pictures @ texts.T)[0]))
        return found


def made(folder: Path, prompts: int) -> list[list[Path]]:
    """Images as a generator saves them: smooth, with some noise."""
    files = []
    for p in range(prompts):
        files.append([folder / f"{p}-{k}.jpg" for k in range(IMAGES)])
        for k, file in enumerate(files[-1]):
            draws = np.random.default_rng([p, k])
            small = Image.fromarray(draws.integers(0, 255, (16, 16, 3), dtype=np.uint8))
            smooth = np.asarray(small.resize((512, 512), Image.Resampling.BICUBIC), dtype=float)
            noisy = (smooth + draws.normal(0, 6, smooth.shape)).clip(0, 255).astype(np.uint8)
            Image.fromarray(noisy).save(file, quality=92)
    return files


def ways(package: Package, scorer: Any, files: list[list[Path]], prompts: list[str]) -> dict[str, Callable[[], Scores]]:
    """Name -> a call that gives all scores."""

    def by_calls(calls: Sequence[tuple[int, Sequence[int]]], *, load: bool = True) -> Scores:
        found: Scores = {}
        for p, places in calls:
            scores = package.score([files[p][k] for k in places], prompts[p], load=load)
            found.update({(p, k): score for k, score in zip(places, scores, strict=True)})
        return found

    every = range(len(prompts))
    whole = [(p, tuple(range(IMAGES))) for p in every]
    single = [(p, (k,)) for p in every for k in range(IMAGES)]
    paired = [(p, pair) for p in every for pair in itertools.combinations(range(IMAGES), 2)]

    def ours() -> Scores:
        examples = [
            Example(str(p), (Message.of("user", prompts[p]),), tuple(map(shown, files[p])), Gold()) for p in every
        ]
        judgments = judge("ranking", examples, scorer).judgments
        return {(p, k): score for p in every for k, score in enumerate(judgments[p].rewards or ())}

    return {
        "rmbench": ours,
        "a call for each image": lambda: by_calls(single),
        "a call for each prompt": lambda: by_calls(whole),
        "a call for each pair": lambda: by_calls(paired),
        "a call for each prompt, weights kept": lambda: by_calls(whole, load=False),
    }


def shown(file: Path) -> Candidate:
    """An image as an answer."""
    return Candidate((Message("assistant", (Part("image", name=file.name, path=str(file)),)),))


def compare(package: Package, scorer: Any, files: list[list[Path]], prompts: list[str], rounds: int) -> None:
    """The first table: by the clock, and by the processor's time, which a busy machine changes less."""
    seconds: dict[str, list[tuple[float, float]]] = {}
    scores: dict[str, Scores] = {}
    for _ in range(rounds):  # in turn, so that a busy machine slows all of them
        for name, way in ways(package, scorer, files, prompts).items():
            clock, processor = time.perf_counter(), time.process_time()
            scores[name] = way()
            seconds.setdefault(name, []).append((time.perf_counter() - clock, time.process_time() - processor))
    for name, own in seconds.items():
        worst = max(abs(scores[name][place] - scores["rmbench"][place]) for place in scores["rmbench"])
        cells = []
        for k in range(2):
            ratios = [theirs[k] / mine[k] for theirs, mine in zip(own, seconds["rmbench"], strict=True)]
            span = f"{min(ratios):.1f} to {max(ratios):.1f}"
            cells.append(
                f"{statistics.median(one[k] for one in own):7.2f} s {statistics.median(ratios):6.1f}x ({span})"
            )
        print(f"{name:36} {cells[0]}, processor {cells[1]}, largest difference {worst:.1e}", flush=True)
        if worst > EXACT:
            sys.exit(f"{name} gives other scores")


def decoding(scorer: Any, files: list[Path], rounds: int) -> None:
    """The second table."""
    examples = [Example(file.name, (Message.of("user", "a"),), (shown(file),), Gold()) for file in files]
    units = [part for row in scorer.encode([_request(file) for file in files]) for part in row.parts if part.payload]
    ready = scorer.decoded(units)

    def forward() -> None:
        pixels = torch.stack([row.payload.pixels for row in ready])
        for start in range(0, len(pixels), 16):
            scorer.towers.images(pixels[start : start + 16])

    undecoded = replace(scorer)
    object.__setattr__(undecoded, "decoded", lambda rows: tuple(rows))
    measured: dict[str, Callable[[], Any]] = {
        "decoded and made ready, one thread": lambda: in_a_thread(lambda: scorer.decoded(units)),
        "forward alone": forward,
        "both, decoded ahead": lambda: judge("ahead", examples, scorer),
        "both, decoded where used": lambda: judge("used", examples, undecoded),
    }
    rates: dict[str, list[float]] = {}
    spent: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, way in measured.items():
            clock, processor = time.perf_counter(), time.process_time()
            way()
            rates.setdefault(name, []).append(len(files) / (time.perf_counter() - clock))
            spent.setdefault(name, []).append(1000 * (time.process_time() - processor) / len(files))
    for name, own in rates.items():
        print(
            f"{name:38} {statistics.median(own):7.1f} images/s ({min(own):.1f} to {max(own):.1f}), "
            f"processor {statistics.median(spent[name]):7.1f} ms an image"
        )
    ready, passed = (statistics.median(spent[name]) for name in list(spent)[:2])
    print(f"one thread makes {passed / ready:.0f} images ready in the processor's time of one forward pass")


def in_a_thread(call: Callable[[], Any]) -> None:
    """A call in a thread of its own, as pictures are decoded."""
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()


def _request(file: Path) -> Any:
    from rmbench.models.protocols import Request

    return Request((Message.of("user", "a"), *shown(file).messages), 1)


def main() -> None:
    """Both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", default="ViT-B-16", help="of open_clip")
    parser.add_argument("--prompts", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["ways", "profile"], help="one of both tables")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    declare_missing_operators()
    import open_clip

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        torch.manual_seed(0)
        model = open_clip.create_model(arguments.architecture, pretrained=None)
        (folder / "hps").mkdir()
        torch.save({"state_dict": model.state_dict()}, folder / "hps/HPS_v2.pt")
        del model
        options = {"architecture": arguments.architecture, "preprocess": "hpsv2"}
        start = time.perf_counter()
        scorer = open_model(str(folder / "hps"), OpenOptions(device="cpu", model_args=options))
        print(
            f"{arguments.architecture}, {arguments.threads} threads; opened once in {time.perf_counter() - start:.1f} s"
        )
        files = made(folder, arguments.prompts)
        prompts = [f"a photo of {k} red cubes on a table in the rain, highly detailed" for k in range(len(files))]
        if arguments.only != "profile":
            package = Package(arguments.architecture, folder / "hps/HPS_v2.pt")
            compare(package, scorer, files, prompts, arguments.rounds)
        if arguments.only != "ways":
            decoding(scorer, [file for own in made(folder, 4) for file in own], arguments.rounds)


if __name__ == "__main__":
    main()
