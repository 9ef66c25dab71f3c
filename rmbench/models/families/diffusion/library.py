"""diffusers: imported where it is used, without what it prints."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.library import quiet
from rmbench.models.checkpoint.torchvision_ops import declare_missing_operators

__all__ = ["diffusers", "silent"]


def diffusers() -> Any:
    """The library; raises RmbenchError where it is not installed."""
    declare_missing_operators()
    try:
        import diffusers as library
    except ImportError as error:
        raise RmbenchError(f"diffusers is not installed: pip install 'rmbench[diffusion]' ({error}).") from error
    return library


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Without the bars and remarks of diffusers and transformers; what is cut or missing, we say ourselves."""
    logging = diffusers().utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with quiet():
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
