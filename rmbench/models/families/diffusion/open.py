"""Opens a diffusion model, and its reference, as a reward."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from rmbench.errors import RmbenchError
from rmbench.models.backbone.tensors import parameter_count
from rmbench.models.checkpoint.library import explained
from rmbench.models.checkpoint.loading import warm
from rmbench.models.checkpoint.opening import Opening
from rmbench.models.checkpoint.pipeline import pipeline_of
from rmbench.models.checkpoint.placement import Placement, place
from rmbench.models.checkpoint.read import Checkpoint, read_json
from rmbench.models.families.diffusion.denoisers import Denoiser
from rmbench.models.families.diffusion.encoders import Encoders, load_encoders, part_names
from rmbench.models.families.diffusion.inversion import inversion_of
from rmbench.models.families.diffusion.library import diffusers
from rmbench.models.families.diffusion.model import DiffusionReward
from rmbench.models.families.diffusion.parts import digest_parts, load_denoiser, same_weights
from rmbench.models.families.diffusion.process import process_of
from rmbench.models.families.diffusion.settings import DiffusionSettings
from rmbench.models.families.implicit.reference import Reference, find_references
from rmbench.models.families.vision.opened import refuse_text_options
from rmbench.models.families.vision.preprocess import Preprocess
from rmbench.models.options import OpenOptions
from rmbench.types import Setting

__all__ = ["open_diffusion"]

_FLOWS = ("sd3", "flux")
_USUAL_SIDE = {"flux": 128}
"""Latents along a side, where config.json does not say."""


def open_diffusion(opening: Opening) -> DiffusionReward:
    """Load a denoiser, its reference, and the VAE and text encoders that they share.

    Raises:
        RmbenchError: settings that contradict one another; a reference of another kind, or with other encoders; no
            pipeline to take the encoders from; a missing tensor.
    """
    diffusers()
    wanted, checkpoint, options = opening.settings(DiffusionSettings), opening.checkpoint, opening.options
    refuse_text_options(opening, referenced=True)
    if options.attn != "auto":
        raise RmbenchError(f"--attn {options.attn}: diffusers chooses its attention itself.")
    reference = _reference(opening, wanted)
    score, layout = wanted.chosen(reference is not None), opening.family.layout
    flow = layout in _FLOWS
    folder = _encoders_of(checkpoint, reference, wanted, options)
    declared = folder / "scheduler" / "scheduler_config.json"
    process = process_of(read_json(declared), flow, declared)
    _check_steps(wanted, process.steps)
    inversion = None
    if score == "inpo":
        inversion = inversion_of(read_json(declared), process, wanted.inversion_steps, wanted.inversion_eta, declared)
    placement = place(opening)
    encoders = load_encoders(folder, layout, placement, options, wanted.text_length)
    side = _side(checkpoint, layout, encoders, wanted)
    denoisers = [
        Denoiser(load_denoiser(each, placement, options), layout, process.steps, side, wanted.guidance)
        for each in (checkpoint, *([reference.checkpoint] if reference else []))
    ]
    preprocess = Preprocess(side, (0.5,) * 3, (0.5,) * 3, interpolation="bilinear")
    said: dict[str, Setting] = {
        **wanted.facts(score, flow),
        **process.facts,
        "reference": reference.name if reference else None,
        "reference_files": reference.digest if reference else None,
        "encoders": folder.name,
        "encoders_files": digest_parts(folder, [*part_names(folder), "scheduler"]),
        **({"text_length": encoders.text_length} if encoders.text_length else {}),
        **_guidance(denoisers, wanted),
        **preprocess.settings,
        "flip": False,
        "orientation": "exif",
        **placement.facts(),
    }
    facts = opening.facts(said, parameter_count(denoisers[0].model), modalities=("image",))
    model = DiffusionReward(
        denoisers[0],
        denoisers[1] if reference else None,
        encoders,
        process,
        inversion,
        preprocess,
        score,
        wanted,
        facts,
    )
    with explained(f"{opening.name} with the encoders of {folder}"):
        warm(lambda: _throwaway(model, placement))
    return model


def _reference(opening: Opening, wanted: DiffusionSettings) -> Reference | None:
    """The user's reference, or the card's where the score has use for one."""
    declared = wanted.ref_model if wanted.score != "mapo" else None
    found = find_references(opening.options.ref_model or declared, opening.options, opening.checkpoint)
    if not found:
        return None
    if len(found) > 1:
        raise RmbenchError(f"--ref-model: a diffusion model has one reference, not {len(found)}.")
    reference = found[0]
    named = str(reference.checkpoint.config.get("_class_name", "a model of another library"))
    if named != opening.checkpoint.config["_class_name"]:
        raise RmbenchError(
            f"--ref-model {reference.name} is {named}, and the policy {opening.checkpoint.config['_class_name']}: both "
            "denoise the same latents."
        )
    if reference.digest == opening.digest:
        raise RmbenchError(f"--ref-model {reference.name} is the policy itself, so every reward would be 0.")
    return reference


def _encoders_of(
    checkpoint: Checkpoint, reference: Reference | None, wanted: DiffusionSettings, options: OpenOptions
) -> Path:
    """The folder of the pipeline whose VAE, text encoders and scheduler are used."""
    if wanted.pipeline is not None:
        return _named(wanted.pipeline, options)
    own = pipeline_of(checkpoint.folder)
    other = pipeline_of(reference.checkpoint.folder) if reference else None
    if own is not None and other is not None:
        names = part_names(own)
        if (name := same_weights(own, other, names)) or names != part_names(other):
            raise RmbenchError(
                f"{own} and its reference {other} have not the same {name or 'text encoders'}, and both are shown the "
                "same latents and states: pass --model-args pipeline=FOLDER with the one whose encoders are meant."
            )
    found = own or other
    if found is None:
        raise RmbenchError(
            f"{checkpoint.folder} is a denoiser alone: name the pipeline with its VAE, text encoders and scheduler by "
            "--model-args pipeline=FOLDER, or as --ref-model."
        )
    return found


def _named(name: str, options: OpenOptions) -> Path:
    from rmbench.models.locate import locate

    located = locate(name, replace(options, revision=None))
    folder = pipeline_of(located.folder) if located else None
    if folder is None:
        raise RmbenchError(f"pipeline={name}: expected a pipeline of diffusers, with vae, text_encoder and scheduler.")
    return folder


def _check_steps(wanted: DiffusionSettings, most: int) -> None:
    if not isinstance(wanted.timesteps, str):
        outside = [step for step in wanted.timesteps if not 0 <= step < most]
        if outside or not wanted.timesteps:
            raise RmbenchError(f"timesteps: {outside or 'none'}; expected steps from 0 to {most - 1}, joined by ':'.")


def _side(checkpoint: Checkpoint, layout: str, encoders: Encoders, wanted: DiffusionSettings) -> int:
    """Pixels along a side of the image."""
    unit = encoders.scale * (2 if layout == "flux" else int(checkpoint.config.get("patch_size") or 1))
    latents = checkpoint.config.get("sample_size") or _USUAL_SIDE.get(layout)
    side = wanted.resolution or (latents * encoders.scale if isinstance(latents, int) else 0)
    if not side or side % unit:
        raise RmbenchError(f"resolution={side or None}: expected a multiple of {unit} pixels for {checkpoint.folder}.")
    return side


def _guidance(denoisers: list[Denoiser], wanted: DiffusionSettings) -> Mapping[str, Setting]:
    return {"guidance": wanted.guidance} if denoisers[0].model.config.get("guidance_embeds") else {}


def _throwaway(model: DiffusionReward, placement: Placement) -> None:
    """One denoising of a grey image by each denoiser, which shows whether the parts fit together."""
    pixels = torch.zeros(3, model.preprocess.size, model.preprocess.size)
    latent = model.encoders.latent(pixels, "mode", "")
    draws = [model._draw("", 0, latent.shape)]
    model._rewards(latent, model.encoders.prompt("a"), draws)
