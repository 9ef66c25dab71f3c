"""A model's files from the hub, or from its local cache."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.pipeline import denoiser_in
from rmbench.untrusted.masking import register_secret

__all__ = ["Download", "download"]

_SMALL_FILES = ["*.json", "*.jinja", "*.model", "*.txt", "*.vocab", "regression_layer.pt", "gating_layer.pt"]
"""The last two are LDL's heads, which lie next to the weights."""
_TORCH_FILES = (
    "pytorch_model*.bin",
    "open_clip_pytorch_model.bin",
    "adapter_model.bin",
    "value_head.bin",
    "pytorch_lora_weights.bin",
)
_PARTS = ("unet", "transformer", "vae", "text_encoder", "text_encoder_2", "text_encoder_3")
"""Folders of a pipeline whose weights are read: not a safety checker, nor files of whole pipelines beside them."""
_PART_FILES = ("diffusion_pytorch_model", "model")


@dataclass(frozen=True, slots=True)
class Download:
    """A snapshot of a hub model."""

    folder: Path
    commit: str
    """The hub commit, 40 hex digits."""


def download(
    hub: str, revision: str | None, *, code: bool = False, weights: str | None = None, option: str = "--model"
) -> Download:
    """The snapshot of a hub model: configuration, tokenizer, and weights as safetensors or, failing these, torch files.
    Of a pipeline of diffusers only the parts that are read, under their usual names: no copies in another precision.

    Args:
        hub: `org/name`.
        revision: commit, branch or tag; None: the main branch.
        code: whether to fetch Python files as well.
        weights: the one weights' file to fetch; None: those under the usual names.
        option: by which a copy is named, for messages.

    Raises:
        RmbenchError: there is no such model or revision, it is gated, or the hub cannot be reached.
    """
    from huggingface_hub import get_token, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    register_secret(get_token() or "")

    def fetched(at: str | None, *more: str) -> Path:
        small = [*_SMALL_FILES, *(["*.py"] if code else [])]
        return Path(snapshot_download(hub, revision=at, allow_patterns=[*small, *more]))

    try:
        folder = fetched(revision, *([] if weights is None else [weights]))
        if weights is None and denoiser_in(folder):
            _fetch_parts(folder, fetched)
        elif weights is None:
            fetched(folder.name, "*.safetensors")
            if not any(folder.glob("*.safetensors")):
                fetched(folder.name, *_TORCH_FILES)
    except HFValidationError as error:
        raise RmbenchError(f"{hub} is no hub id: {error}") from error
    except GatedRepoError as error:
        raise RmbenchError(
            f"{hub} is gated: accept its terms on its hub page and log in with `hf auth login`. {_by_hand(hub, option)}"
        ) from error
    except RevisionNotFoundError as error:
        raise RmbenchError(f"{hub} has no revision {revision!r}.") from error
    except RepositoryNotFoundError as error:
        raise RmbenchError(
            f"The hub has no model {hub!r}, or it is private and you are not logged in. {_by_hand(hub, option)}"
        ) from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise RmbenchError(
            f"{hub} is not in the local cache and the hub cannot be reached ({_short(error)}). {_by_hand(hub, option)}"
        ) from error
    return Download(folder, folder.name)


def _fetch_parts(folder: Path, fetched: Callable[..., object]) -> None:
    """Fetch the weights of a pipeline's parts, whose configurations lie in the folder: safetensors, or torch files of a
    part that has none."""
    parts = [name for name in _PARTS if (folder / name / "config.json").is_file()]
    fetched(folder.name, *_patterns(parts, "safetensors"))
    lacking = [name for name in parts if not any((folder / name).glob("*.safetensors"))]
    if lacking:
        fetched(folder.name, *_patterns(lacking, "bin"))


def _patterns(parts: Iterable[str], suffix: str) -> list[str]:
    """The usual names of weights, one file or shards."""
    stems = [*_PART_FILES, *(["pytorch_model"] if suffix == "bin" else [])]
    return [f"{part}/{stem}{tail}.{suffix}" for part in parts for stem in stems for tail in ("", "-?????-of-?????")]


def _by_hand(hub: str, option: str) -> str:
    name = hub.partition("/")[2]
    command = f"hf download {hub} --local-dir {name}"
    return f"To supply it by hand: `{command}` where the hub can be reached, then `{option} ./{name}`."


def _short(error: Exception) -> str:
    cause = error.__cause__ or error
    return " ".join(f"{type(cause).__name__}: {cause}".split())[:200]
