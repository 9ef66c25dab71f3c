"""Reads what was located: a checkpoint as its folder holds it, or an adapter over its base; and what pins its files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.adapter import Base
from rmbench.models.checkpoint.denoiser_lora import lora_file, read_lora
from rmbench.models.checkpoint.gguf import gguf_in, read_gguf
from rmbench.models.checkpoint.pipeline import denoiser_in
from rmbench.models.checkpoint.read import Checkpoint, digest_files, read_checkpoint
from rmbench.models.checkpoint.read_adapter import is_adapter, named_base, read_adapter
from rmbench.models.checkpoint.weight_files import ADAPTER_CONFIG, weight_files
from rmbench.models.locate import Located, in_folder, locate, on_hub
from rmbench.models.options import OpenOptions

__all__ = ["digest_of", "read_located"]

_MOST_BASES = 8
"""Adapters over adapters; more are a circle."""


def read_located(found: Located, options: OpenOptions) -> Checkpoint:
    """The checkpoint; of an adapter's folder, or a file of LoRA, that of the merged model; of a pipeline of diffusers,
    its denoiser's.

    Raises:
        RmbenchError: the files are broken, or an adapter's base is not to be had.
    """
    return _read(found, options, above=())


def digest_of(found: Located, checkpoint: Checkpoint) -> str:
    """What pins the files: the hub's commit, or sha256 over their content; with an adapter's base, sha256 over both."""
    if checkpoint.source is not None:
        return checkpoint.source.digest(found.commit)
    return found.commit or digest_files(checkpoint.folder)


def _read(found: Located, options: OpenOptions, above: tuple[Path, ...]) -> Checkpoint:
    weights = found.weights or (found.card.weights if found.card else None)
    lora = lora_file(found.folder, weights)
    if lora is None and (weights is not None or not is_adapter(found.folder)):
        if options.base_model is not None and not above:
            raise RmbenchError(f"--base-model {options.base_model}: {found.folder} holds a whole model, no adapter.")
        denoiser = denoiser_in(found.folder) if weights is None else None
        if denoiser is not None:
            return read_checkpoint(denoiser, allow_pickle=options.allow_pickle)
        file = gguf_in(found.folder) if weights is None else found.folder / weights
        if file is not None and file.suffix == ".gguf":
            return read_gguf(file)
        return read_checkpoint(found.folder, allow_pickle=options.allow_pickle, weights=weights)
    if len(above) >= _MOST_BASES:
        raise RmbenchError(f"{above[0]}: its base is an adapter whose base is an adapter, and so on in a circle.")
    located = _base_of(found, options)
    below = _read(located, replace(options, base_model=None), (*above, found.folder))
    digest = digest_of(located, below)
    base = Base(f"{located.name}@{(located.commit or digest)[:8]}", digest, below)
    if lora is None and "_class_name" in below.config:
        lora = next(iter(weight_files(found.folder)), None)
    return read_adapter(found.folder, base, options) if lora is None else read_lora(lora, base, options)


def _base_of(found: Located, options: OpenOptions) -> Located:
    """The files of an adapter's base: as the user says, else as adapter_config.json does."""
    options, asked = replace(options, revision=None, base_model=None), options.base_model
    if asked is not None:
        located = locate(asked, options)
        if located is None:
            raise RmbenchError(f"--base-model {asked}: a base is a checkpoint, a folder or a hub id.")
        return located
    if not (found.folder / ADAPTER_CONFIG).is_file():
        raise RmbenchError(
            f"{found.folder} holds a LoRA, which names no base: name the denoiser or pipeline that it changes by "
            "--base-model."
        )
    name, revision = named_base(found.folder)
    if not name:
        raise RmbenchError(f"{found.folder}: adapter_config.json names no base model: name it by --base-model.")
    for folder in (Path(name).expanduser(), found.folder / name, found.folder.parent / name):
        if folder.is_dir():
            return in_folder(folder, options)
    if Path(name).is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise RmbenchError(
            f"{found.folder}: its base is the folder {name}, by adapter_config.json, and there is none such here: say "
            "where it lies by --base-model."
        )
    try:
        return on_hub(name, revision, None, options, "--base-model")
    except RmbenchError as error:
        way = "" if "--base-model" in str(error) else " Name it by --base-model."
        raise RmbenchError(f"{found.folder} is an adapter of {name}. {error}{way}") from error
