"""Pipelines as diffusers saves them: a folder of folders, one of which holds the denoiser."""

from __future__ import annotations

from pathlib import Path

__all__ = ["denoiser_in", "pipeline_of"]

_DENOISERS = ("unet", "transformer")
_INDEX = "model_index.json"


def denoiser_in(folder: Path) -> Path | None:
    """The folder of a pipeline's denoiser; None where the folder itself is a model's, or no pipeline."""
    if (folder / "config.json").exists() and not (folder / _INDEX).exists():
        return None
    found = [folder / name for name in _DENOISERS if (folder / name / "config.json").is_file()]
    return found[0] if found else None


def pipeline_of(folder: Path) -> Path | None:
    """The pipeline that a denoiser's folder belongs to, or that the folder itself is: one with a VAE; else None."""
    return next((each for each in (folder, folder.parent) if (each / "vae" / "config.json").is_file()), None)
