"""A model's files from the hub, or from its local cache."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rmbench.errors import RmbenchError
from rmbench.untrusted.masking import register_secret

__all__ = ["Download", "download"]

_SMALL_FILES = ["*.json", "*.jinja", "*.model", "*.txt", "*.vocab", "regression_layer.pt", "gating_layer.pt"]
"""The last two are LDL's heads, which lie next to the weights."""


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
    patterns = [*_SMALL_FILES, *(["*.py"] if code else [])]
    try:
        first = weights or "*.safetensors"
        folder = Path(snapshot_download(hub, revision=revision, allow_patterns=[*patterns, first]))
        if weights is None and not any(folder.glob("*.safetensors")):
            torch_files = ["pytorch_model*.bin", "open_clip_pytorch_model.bin", "adapter_model.bin", "value_head.bin"]
            folder = Path(snapshot_download(hub, revision=revision, allow_patterns=[*patterns, *torch_files]))
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


def _by_hand(hub: str, option: str) -> str:
    name = hub.partition("/")[2]
    command = f"hf download {hub} --local-dir {name}"
    return f"To supply it by hand: `{command}` where the hub can be reached, then `{option} ./{name}`."


def _short(error: Exception) -> str:
    cause = error.__cause__ or error
    return " ".join(f"{type(cause).__name__}: {cause}".split())[:200]
