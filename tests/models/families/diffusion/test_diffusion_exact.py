"""Rewards against a plain loop that calls the library's own modules for each draw, encoders and all."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from rmbench.models.families.diffusion.library import diffusers
from rmbench.models.families.diffusion.process import draw

KINDS = ("sd15", "sd-v", "sdxl", "sd3", "flux", "pixart")
PROMPT = "A red cat on the hill"


class Plain:
    """A policy or reference with its pipeline's parts, each loaded by the library, without anything of ours."""

    def __init__(self, folder: Path) -> None:
        import transformers

        library = diffusers()
        self.parts: dict[str, Any] = {}
        for place in sorted(each for each in folder.iterdir() if each.is_dir() and each.name != "scheduler"):
            if place.name.startswith("tokenizer"):
                self.parts[place.name] = transformers.AutoTokenizer.from_pretrained(place)
            elif place.name.startswith("text_encoder"):
                named = transformers.AutoConfig.from_pretrained(place).architectures[0]
                self.parts[place.name] = getattr(transformers, named).from_pretrained(place).eval()
            else:
                config = library.AutoModel.load_config(place)
                self.parts[place.name] = getattr(library, config["_class_name"]).from_pretrained(place).eval()
        betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
        self.alphas = torch.cumprod(1 - betas, 0)

    def latent(self, path: Path, side: int) -> torch.Tensor:
        image = Image.open(path).convert("RGB")
        scale = side / min(image.size)
        width, height = (side if each == min(image.size) else int(each * scale) for each in image.size)
        image = image.resize((width, height), Image.Resampling.BILINEAR)
        left, top = round((width - side) / 2), round((height - side) / 2)
        pixels = np.array(image.crop((left, top, left + side, top + side)), dtype=np.float32) / 127.5 - 1
        vae = self.parts["vae"]
        mean = vae.encode(torch.from_numpy(pixels).permute(2, 0, 1)[None]).latent_dist.mean
        return (mean - (vae.config.shift_factor or 0)) * vae.config.scaling_factor

    def tokens(self, name: str, text: str, length: int) -> Any:
        return self.parts[name](text, padding="max_length", max_length=length, truncation=True, return_tensors="pt")

    def velocity(self, kind: str, noisy: torch.Tensor, time: float, text: str) -> torch.Tensor:
        """What the denoiser predicts of [1, C, h, w]."""
        parts, step = self.parts, torch.tensor([time])
        if kind in ("sd15", "sd-v"):
            states = parts["text_encoder"](self.tokens("tokenizer", text, 16).input_ids)[0]
            return parts["unet"](noisy, step.long(), encoder_hidden_states=states).sample
        if kind == "pixart":
            read = self.tokens("tokenizer", text.lower(), 120)
            states = parts["text_encoder"](read.input_ids, attention_mask=read.attention_mask)[0]
            added = {"resolution": torch.tensor([[32.0, 32.0]]), "aspect_ratio": torch.tensor([[1.0]])}
            found = parts["transformer"](
                noisy,
                encoder_hidden_states=states,
                encoder_attention_mask=read.attention_mask,
                timestep=step.long(),
                added_cond_kwargs=added,
            ).sample
            return found.chunk(2, dim=1)[0]
        first = parts["text_encoder"](self.tokens("tokenizer", text, 16).input_ids, output_hidden_states=True)
        if kind == "flux":
            states = parts["text_encoder_2"](self.tokens("tokenizer_2", text, 512).input_ids)[0]
            return self._flux(noisy, step, states, first.pooler_output)
        second = parts["text_encoder_2"](self.tokens("tokenizer_2", text, 16).input_ids, output_hidden_states=True)
        both = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=-1)
        if kind == "sdxl":
            added = {"text_embeds": second[0], "time_ids": torch.tensor([[32.0, 32, 0, 0, 32, 32]])}
            return parts["unet"](noisy, step.long(), encoder_hidden_states=both, added_cond_kwargs=added).sample
        third = parts["text_encoder_3"](self.tokens("tokenizer_3", text, 256).input_ids)[0]
        states = torch.cat([both, third], dim=1)
        pooled = torch.cat([first[0], second[0]], dim=-1)
        return parts["transformer"](noisy, states, pooled, step * 1000).sample

    def _flux(
        self, noisy: torch.Tensor, step: torch.Tensor, states: torch.Tensor, pooled: torch.Tensor
    ) -> torch.Tensor:
        _, channels, height, width = noisy.shape
        patches = [
            noisy[0, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].reshape(-1)
            for row in range(height // 2)
            for column in range(width // 2)
        ]
        places = [[0.0, row, column] for row in range(height // 2) for column in range(width // 2)]
        found = self.parts["transformer"](
            torch.stack(patches)[None],
            states,
            pooled,
            step,
            img_ids=torch.tensor(places),
            txt_ids=torch.zeros(states.shape[1], 3),
            guidance=torch.tensor([3.5]),
        ).sample[0]
        whole = torch.empty_like(noisy)
        for number, (_, row, column) in enumerate(places):
            place = (0, slice(None), slice(int(2 * row), int(2 * row) + 2), slice(int(2 * column), int(2 * column) + 2))
            whole[place] = found[number].reshape(channels, 2, 2)
        return whole

    def error(self, kind: str, latent: torch.Tensor, noise: torch.Tensor, time: float, text: str) -> float:
        """L of one draw."""
        if kind in ("sd3", "flux"):
            noisy, target = (1 - time) * latent + time * noise, noise - latent
        else:
            alpha = self.alphas[int(time)]
            noisy = alpha.sqrt() * latent + (1 - alpha).sqrt() * noise
            target = alpha.sqrt() * noise - (1 - alpha).sqrt() * latent if kind == "sd-v" else noise
        return float((self.velocity(kind, noisy, time, text) - target).square().mean())


@pytest.mark.parametrize("kind", KINDS)
def test_equals_a_plain_loop(kind: str, pipelines: Any, images: list[Path], made: SimpleNamespace) -> None:
    own, other = pipelines(kind)
    model = made.opened(own, other, draws=4, batch=3)
    judgment = model.judge("t", made.pair("row", PROMPT, *images[:2]))
    policy, reference = Plain(own), Plain(other)
    beta = 500 if kind in ("sd3", "flux") else 5000
    expected = []
    with torch.inference_mode():
        for path in images[:2]:
            inside = []
            for number in range(4):
                drawn = draw("row", number, seed=0, shape=(4, 16, 16), process=model.process, steps=(), inner=0)
                latent = policy.latent(path, made.SIDE)
                losses = [each.error(kind, latent, drawn.noise, drawn.time, PROMPT) for each in (policy, reference)]
                inside.append(-0.5 * beta * (losses[0] - losses[1]))
            expected.append(inside)
    drawn_rewards = np.array(expected)
    assert judgment.rewards == pytest.approx(drawn_rewards.mean(axis=1), rel=2e-5, abs=2e-3)
    errors = drawn_rewards.std(axis=1, ddof=1) / 2
    assert [one[0] for one in judgment.parts["standard_error"]] == pytest.approx(errors, rel=1e-4, abs=2e-3)
    margin_error = (drawn_rewards[0] - drawn_rewards[1]).std(ddof=1) / 2
    assert judgment.parts["margin_standard_error"][0][1] == pytest.approx(margin_error, rel=1e-4, abs=2e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_policy_that_is_its_reference_prefers_nothing(
    kind: str, pipelines: Any, images: list[Path], made: SimpleNamespace, tmp_path: Path
) -> None:
    own, _ = pipelines(kind)
    model = made.opened(own, made.copied(own, tmp_path / "copy"), draws=3)
    judgment = model.judge("t", made.pair("row", PROMPT, *images[:2]))
    assert judgment.rewards == (0.0, 0.0)
    assert judgment.parts["margin_standard_error"] == ((0.0, 0.0), (0.0, 0.0))


@pytest.mark.parametrize("wanted", [{"score": "inpo", "inversion_steps": 2}, {"posterior": "sample"}])
def test_other_ways_have_no_preference_either_and_negate(
    wanted: dict[str, Any], pipelines: Any, images: list[Path], made: SimpleNamespace, tmp_path: Path
) -> None:
    own, other = pipelines("sd15")
    row, turned = made.pair("row", PROMPT, *images[:2]), made.pair("row", PROMPT, *images[1::-1])
    same = made.opened(own, made.copied(own, tmp_path / "copy"), draws=3, **wanted)
    assert same.judge("t", row).rewards == (0.0, 0.0)
    model = made.opened(own, other, draws=3, **wanted)
    first, second = model.judge("t", row).rewards
    assert model.judge("t", turned).rewards == (second, first)
    assert first != second


@pytest.mark.parametrize("kind", KINDS)
def test_swapping_images_or_models_negates(
    kind: str, pipelines: Any, images: list[Path], made: SimpleNamespace
) -> None:
    own, other = pipelines(kind)
    model, swapped = made.opened(own, other), made.opened(other, own)
    first, second = model.judge("t", made.pair("row", PROMPT, *images[:2])).rewards
    assert model.judge("t", made.pair("row", PROMPT, *images[1::-1])).rewards == (second, first)
    assert swapped.judge("t", made.pair("row", PROMPT, *images[:2])).rewards == (-first, -second)
    assert first != second


def test_mapo_has_no_reference(pipelines: Any, images: list[Path], made: SimpleNamespace) -> None:
    own, _ = pipelines("sd15")
    model = made.opened(own, draws=3)
    assert (model.score, model.facts.settings["snr"]) == ("mapo", 0.5)
    judgment = model.judge("t", made.pair("row", PROMPT, *images[:2]))
    plain, expected = Plain(own), []
    with torch.inference_mode():
        for path in images[:2]:
            scaled = []
            for number in range(3):
                drawn = draw("row", number, seed=0, shape=(4, 16, 16), process=model.process, steps=(), inner=0)
                error = 0.5 * plain.error("sd15", plain.latent(path, made.SIDE), drawn.noise, drawn.time, PROMPT)
                scaled.append(1000 * error / (np.exp(error) - 1))
            expected.append(np.mean(scaled))
    assert judgment.rewards == pytest.approx(expected, rel=1e-5)


def test_inpo_inverts_with_the_policy(pipelines: Any, images: list[Path], made: SimpleNamespace) -> None:
    """The loop of upstream's train.py, for one step and image at a time."""
    own, other = pipelines("sd15")
    model = made.opened(own, other, score="inpo", draws=5, inversion_steps=4, beta=2000, timesteps="900:40:333")
    judgment = model.judge("t", made.pair("row", PROMPT, *images[:2]))
    policy, reference = Plain(own), Plain(other)
    library = diffusers()
    config = library.PNDMScheduler.load_config(own / "scheduler")
    forward = library.DDIMScheduler.from_config(config)
    expected = []
    with torch.inference_mode():
        for path in images[:2]:
            latent, inside = policy.latent(path, made.SIDE), []
            for number in range(5):
                drawn = draw(
                    "row", number, seed=0, shape=(4, 16, 16), process=model.process, steps=(900, 40, 333), inner=4
                )
                inverse = library.DDIMInverseScheduler.from_config(config, clip_sample=False)
                inverse.set_timesteps(4)
                noisy = latent.clone()
                for place, step in enumerate(inverse.timesteps[inverse.timesteps < drawn.time]):
                    predicted = policy.velocity("sd15", noisy, float(step), PROMPT)
                    noisy = inverse.step(predicted, step, noisy).prev_sample
                    variance = forward._get_variance(min(int(step) + 250, 999), int(step)) ** 0.5
                    noisy = noisy + 0.1 * drawn.noise[1 + place] * variance
                alpha = policy.alphas[int(drawn.time)]
                target = (noisy - latent * alpha.sqrt()) / (1 - alpha).sqrt()
                losses = [
                    float((each.velocity("sd15", noisy, drawn.time, PROMPT) - target).square().mean())
                    for each in (policy, reference)
                ]
                inside.append(-0.5 * 2000 * (losses[0] - losses[1]))
            expected.append(np.mean(inside))
    assert judgment.rewards == pytest.approx(expected, rel=1e-4)


def test_a_sample_of_the_posterior_is_one_for_all_draws(
    pipelines: Any, images: list[Path], made: SimpleNamespace
) -> None:
    own, other = pipelines("sd15")
    rows = made.pair("row", PROMPT, *images[:2])
    sampled = made.opened(own, other, posterior="sample")
    assert sampled.judge("t", rows).rewards != made.opened(own, other).judge("t", rows).rewards
    assert sampled.judge("t", rows) == made.opened(own, other, posterior="sample").judge("t", rows)
    assert sampled.latents.computed == 2
