"""What encoding images and prompts once saves a diffusion reward: `python benchmarks/diffusion_draws.py`.

Tiny random pipelines score one pair of images under policy and reference. The plain loop does what a training script
does for each draw: it encodes the image with the VAE and the prompt with the text encoders, and denoises one image at a
time. One thread, seconds of the processor; the fastest of three rounds in turn. The rewards must agree to 2e-5.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from rmbench.media import open_image  # noqa: E402
from rmbench.models.families.diffusion.model import DiffusionReward  # noqa: E402
from rmbench.models.families.diffusion.process import draw  # noqa: E402
from rmbench.types import Example  # noqa: E402
from tests.models.families.diffusion import conftest as tiny  # noqa: E402

KINDS = ("sd15", "sd-v", "sdxl", "sd3", "flux", "pixart")
PROMPT = "a red cat on the hill"
EXACT = 2e-5


def plain(reward: DiffusionReward, paths: list[Path]) -> list[float]:
    """The rewards of the images, each encoded with its prompt in each draw, and denoised by itself."""
    beta, found = reward.settings.beta_of(reward.process.flow), []
    for path in paths:
        inside = []
        for number in range(reward.settings.draws):
            latent = reward.encoders.latent(reward.preprocess(open_image(path)), "mode", "")
            text = reward.encoders.prompt(PROMPT).state
            drawn = draw("row", number, seed=0, shape=latent.shape, process=reward.process, steps=(), inner=0)
            times = torch.tensor([drawn.time], dtype=torch.float64)
            noisy, target = reward.process.noised(latent, times, drawn.noise)
            losses = [
                float((model(noisy, times, text) - target).square().mean())
                for model in (reward.policy, reward.reference)
                if model is not None
            ]
            inside.append(-0.5 * beta * (losses[0] - losses[1]))
        found.append(float(np.mean(inside)))
    return found


def ours(reward: DiffusionReward, example: Example) -> list[float]:
    """The same with nothing encoded yet."""
    reward.latents.__init__()  # type: ignore[misc]
    reward.texts.__init__()  # type: ignore[misc]
    return list(reward.judge("t", example).rewards or ())


def timed(work: Callable[[], list[float]]) -> tuple[float, list[float]]:
    """Seconds, and the rewards."""
    began = time.process_time()
    with torch.inference_mode():
        found = work()
    return time.process_time() - began, found


def compared(kind: str, draws: int, place: Path) -> tuple[float, float, float]:
    """Seconds of the plain loop and of ours, and how far their rewards are apart."""
    own, other = (tiny.save_pipeline(place / name, kind, seed) for seed, name in enumerate(("own", "ref")))
    paths = [tiny.picture(place / f"{number}.png", number) for number in range(2)]
    reward = tiny.opened(own, other, draws=draws, batch=draws)
    example = tiny.pair("row", PROMPT, *paths)
    slow, fast = [], []
    for _ in range(3):
        slow.append(timed(lambda: plain(reward, paths)))
        fast.append(timed(lambda: ours(reward, example)))
    (long, expected), (short, found) = min(slow), min(fast)
    far = max(abs(a - b) / max(abs(a), 1) for a, b in zip(expected, found, strict=True))
    return long, short, far


def main() -> None:
    """Print a row for each architecture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=32)
    parser.add_argument("--kinds", default=",".join(KINDS))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    print("| pipeline | plain loop, s | encoded once, s | times as fast |\n|---|---|---|---|")
    for kind in asked.kinds.split(","):
        with tempfile.TemporaryDirectory() as place:
            slow, fast, far = compared(kind, asked.draws, Path(place))
        if far > EXACT:
            raise SystemExit(f"{kind}: rewards differ by {far:.1e}")
        print(f"| {kind} | {slow:.2f} | {fast:.2f} | {slow / fast:.1f} |", flush=True)


if __name__ == "__main__":
    main()
