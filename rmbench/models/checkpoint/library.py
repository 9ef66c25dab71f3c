"""What transformers says while it loads: its errors as one of ours, and no bars and reports."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from rmbench.errors import RmbenchError, panics_as_errors

__all__ = ["explained", "quiet"]


@contextlib.contextmanager
def explained(what: object) -> Iterator[None]:
    """One clear error for whatever goes wrong with a broken, foreign or hostile file."""
    try:
        with panics_as_errors():
            yield
    except RmbenchError:
        raise
    except Exception as error:
        line = " ".join(str(error).split())[:400]
        hint = " Pass --trust-remote-code if you trust it." if "trust_remote_code" in line else ""
        raise RmbenchError(f"Cannot load {what}: {line or type(error).__name__}{hint}") from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the library's bars and reports, which we make errors of; nor any background conversion of weights."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    before = os.environ.get("DISABLE_SAFETENSORS_CONVERSION")
    os.environ["DISABLE_SAFETENSORS_CONVERSION"] = "1"
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
        if before is None:
            del os.environ["DISABLE_SAFETENSORS_CONVERSION"]
        else:
            os.environ["DISABLE_SAFETENSORS_CONVERSION"] = before
