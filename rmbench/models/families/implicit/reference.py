"""The reference policies that an implicit reward is measured against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.adapter import Base
from rmbench.models.checkpoint.denoiser_lora import lora_file
from rmbench.models.checkpoint.loading import load_tokenizer
from rmbench.models.checkpoint.read import Checkpoint
from rmbench.models.checkpoint.read_adapter import is_adapter
from rmbench.models.options import OpenOptions

__all__ = ["Reference", "check_tokenizer", "find_references"]

_PROBES = (
    "The answer is 42.",
    " Leading space, trailing space ",
    "naïve — 東京 🙂\n\n\tif x != 1_000:\r\n",
    "don't stop; 3.14159 2024-07-26 https://example.org/?q=a&b=c",
)
_SHOWN = 3
_BASE = "base"


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference's files."""

    name: str
    """As people call it, with its revision: `org/name@commit`."""
    digest: str
    """What pins the files."""
    checkpoint: Checkpoint


def find_references(given: str | None, options: OpenOptions, policy: Checkpoint) -> tuple[Reference, ...]:
    """The references that `given` names: a folder, a hub id, or several joined by commas; "base", where no folder is
    called so, for the base of a policy that is an adapter.

    Raises:
        RmbenchError: one of them is no checkpoint or is not to be had.
    """
    if not given:
        return ()
    if given == _BASE and not Path(given).is_dir():
        return (_base_of(policy),)
    names = [given] if Path(given).is_dir() else [name.strip() for name in given.split(",")]
    return tuple(_found(name, replace(options, revision=None)) for name in names)


def _base_of(policy: Checkpoint) -> Reference:
    base = getattr(policy.source, "base", None)
    if not isinstance(base, Base):
        raise RmbenchError(
            f"--ref-model {_BASE}: {policy.folder} is no adapter, so it has no base: name the reference."
        )
    return Reference(base.name, base.digest, base.checkpoint)


def _found(name: str, options: OpenOptions) -> Reference:
    from rmbench.models.locate import locate
    from rmbench.models.located import digest_of, read_located

    try:
        located = locate(name, options)
    except RmbenchError as error:
        raise RmbenchError(f"--ref-model {name}: {error}") from error
    if located is None:
        raise RmbenchError(f"--ref-model {name}: a reference is a checkpoint, a folder or a hub id.")
    if lora_file(located.folder, located.weights) is None and not is_adapter(located.folder):
        options = replace(options, base_model=None)  # which is the policy's
    checkpoint = read_located(located, options)
    digest = digest_of(located, checkpoint)
    return Reference(f"{located.name}@{located.commit or digest[:8]}", digest, checkpoint)


def check_tokenizer(policy: Any, reference: Reference, options: OpenOptions) -> None:
    """Raise RmbenchError unless the reference reads text as the policy does: the same vocabulary but for a pad token of
    the policy's own, and the same ids for a few texts, with and without special tokens."""
    other = load_tokenizer(reference.checkpoint, options)
    differences = _differences(policy.get_vocab(), other.get_vocab(), policy.pad_token)
    if not differences:
        differences = [
            f"{text!r} is {_ids(policy, text, special)}, not {_ids(other, text, special)}"
            for text in _PROBES
            for special in (False, True)
            if _ids(policy, text, special) != _ids(other, text, special)
        ]
    if differences:
        more = f" and {len(differences) - _SHOWN} more" if len(differences) > _SHOWN else ""
        raise RmbenchError(
            f"--ref-model {reference.name}: policy and reference must share a tokenizer, since they are given the same "
            f"token ids. In the policy's: {'; '.join(differences[:_SHOWN])}{more}."
        )


def _differences(own: Mapping[str, int], other: Mapping[str, int], pad: str | None) -> list[str]:
    return [
        f"the token {token!r} is {_place(own, token)}, not {_place(other, token)}"
        for token in sorted(own.keys() | other.keys(), key=lambda name: own.get(name, -1))
        if own.get(token) != other.get(token) and not (token == pad and token not in other)
    ]


def _place(vocabulary: Mapping[str, int], token: str) -> str:
    return str(vocabulary[token]) if token in vocabulary else "absent"


def _ids(tokenizer: Any, text: str, special: bool) -> Sequence[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=special)["input_ids"]
    return ids
