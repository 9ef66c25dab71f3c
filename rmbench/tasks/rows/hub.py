"""Loading rows from the hub at the declared revision."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rmbench.errors import RmbenchError
from rmbench.tasks.declaration.schema import HubPart, SourceRule
from rmbench.tasks.rows.fields import RawRow
from rmbench.tasks.task import DataFileFacts
from rmbench.untrusted.masking import register_secret

__all__ = ["full_revision", "pinned", "read_hub", "splits_of"]

_FULL = 40
"""Hexadecimal digits of a full commit hash."""
_SHORTEST = 7
"""Of a shortened one."""
_PATIENCE = 10.0
"""Seconds to wait for the hub's first reply: loading itself would retry for half a minute."""


def read_hub(source: SourceRule, how_else: str) -> tuple[list[RawRow], list[DataFileFacts]]:
    """The rows of the declared config and split through `datasets`, or of all parts in turn, and the facts of each.

    A part's sha256 is over its rows as JSON, one per line, since the hub's own files need not be on this machine.
    HF_HUB_OFFLINE and the hub's cache work as in `datasets`.

    Args:
        source: what the task declares; its `hub` must be set.
        how_else: how the rows can be read without the hub, for the message.

    Raises:
        RmbenchError: the hub cannot be reached, or has no such set, revision, config or split.
    """
    rows: list[RawRow] = []
    facts: list[DataFileFacts] = []
    for part in source.parts or [HubPart()]:
        part_rows, fact = _read_part(source, part, how_else)
        rows += part_rows
        facts.append(fact)
    return rows, facts


def _read_part(source: SourceRule, part: HubPart, how_else: str) -> tuple[list[RawRow], DataFileFacts]:
    hub = part.hub or source.hub or ""
    own = part.hub is not None  # another set has revisions, configs and splits of its own
    settings = {
        "name": part.config or (None if own else source.config),
        "data_dir": part.data_dir or (None if own else source.data_dir),
        "split": part.split or source.split,
        "revision": part.revision or (None if own else source.revision),
    }
    arguments = {key: value for key, value in settings.items() if value is not None}
    name = hub + "".join(f" {key}={value}" for key, value in arguments.items())
    try:
        loaded = _load(hub, arguments)
    except Exception as error:  # whatever goes wrong in the hub's clients, the user needs to know what was requested
        raise RmbenchError(f"{_unreachable(name, error)}\n{how_else}") from error
    if isinstance(loaded, dict):
        raise RmbenchError(f"hub data set {name} has the splits {', '.join(loaded)}; the task declares none.")
    split = arguments.get("split", "train")
    label = part.label or split
    digest = hashlib.sha256()
    rows: list[RawRow] = []
    for index, values in enumerate(loaded):
        digest.update(json.dumps(values, sort_keys=True, default=_spelled).encode() + b"\n")
        rows.append(RawRow(f"{hub}:{label}", label, index, {**values, **part.set}))
    return rows, DataFileFacts(name, digest.hexdigest(), len(rows))


def _load(hub: str, arguments: dict[str, str]) -> Any:
    """The data set by `datasets`, after a quick look at whether the hub can be reached, since `datasets` retries."""
    import datasets
    from huggingface_hub import HfApi, get_token

    register_secret(get_token() or "")
    if not _offline() and not _snapshots(hub):
        HfApi().dataset_info(hub, timeout=_PATIENCE)
    if "revision" in arguments:
        arguments = {**arguments, "revision": full_revision(hub, arguments["revision"])}
    loaded = datasets.load_dataset(hub, **arguments)
    if isinstance(loaded, datasets.Dataset):
        # Media as bytes or paths: they are decoded where they are scored, within bounds.
        loaded = loaded.cast(datasets.Features({name: _undecoded(of) for name, of in loaded.features.items()}))
    return loaded


def _undecoded(feature: Any) -> Any:
    """The type of a column, with media in it, at any depth, left as they are stored."""
    if isinstance(feature, Mapping):
        return {name: _undecoded(each) for name, each in feature.items()}
    if isinstance(feature, list):
        return [_undecoded(each) for each in feature]
    if hasattr(feature, "feature"):
        return replace(feature, feature=_undecoded(feature.feature))
    return replace(feature, decode=False) if hasattr(feature, "decode") else feature


def _spelled(value: Any) -> str:
    """What JSON has not, for the digest: bytes by their own digest, dates as text."""
    return hashlib.sha256(value).hexdigest() if isinstance(value, bytes) else str(value)


def _offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}  # as the hub's client reads it


def full_revision(hub: str, revision: str) -> str:
    """The full commit hash of a shortened one; the hub itself takes full hashes only.

    The hub's cache on this machine is looked at first, so that a cached set needs no network.

    Raises:
        LookupError: no commit of the data set has this prefix, or several do.
    """
    if len(revision) == _FULL or not set(revision) <= set("0123456789abcdef"):
        return revision
    from huggingface_hub import HfApi

    matches = {name for name in _snapshots(hub) if name.startswith(revision)}
    if not matches:
        commits = HfApi().list_repo_commits(hub, repo_type="dataset")
        matches = {commit.commit_id for commit in commits if commit.commit_id.startswith(revision)}
    if len(matches) != 1:
        raise LookupError(f"{len(matches)} commits of the data set begin with {revision}")
    return matches.pop()


def pinned(hub: str, revision: str | None) -> str:
    """The full commit hash that a revision, or none, stands for at this moment.

    Raises:
        RmbenchError: the hub has no such set or revision, or cannot be reached, and its cache does not know it.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.constants import HF_HUB_CACHE

    try:
        if revision is not None and set(revision) <= set("0123456789abcdef") and len(revision) >= _SHORTEST:
            return full_revision(hub, revision)
        ref = Path(HF_HUB_CACHE) / f"datasets--{hub.replace('/', '--')}" / "refs" / (revision or "main")
        if _offline() and ref.is_file():
            return ref.read_text("utf-8").strip()
        return str(HfApi().dataset_info(hub, revision=revision, timeout=_PATIENCE).sha)
    except Exception as error:  # whatever goes wrong in the hub's client, the user needs to know what was requested
        raise _unreachable(hub + (f" revision={revision}" if revision else ""), error) from error


def splits_of(hub: str, config: str | None, revision: str) -> tuple[str, ...]:
    """The splits of a config, or of the default one; () where the set does not say them.

    Raises:
        RmbenchError: there is no such config, or several and no default.
    """
    import datasets

    try:
        info = datasets.load_dataset_builder(hub, config, revision=revision).info
    except Exception as error:
        raise _unreachable(hub + (f" name={config}" if config else ""), error) from error
    return tuple(info.splits or ())


def _unreachable(name: str, error: Exception) -> RmbenchError:
    offline = " (HF_HUB_OFFLINE is set)" if _offline() else ""
    why = str(error).splitlines()[0] if str(error) else type(error).__name__
    return RmbenchError(f"hub data set {name} cannot be loaded{offline}: {why}")


def _snapshots(hub: str) -> list[str]:
    """The commits of a data set that the hub's cache on this machine holds."""
    from huggingface_hub.constants import HF_HUB_CACHE

    folder = Path(HF_HUB_CACHE) / f"datasets--{hub.replace('/', '--')}" / "snapshots"
    return [path.name for path in folder.iterdir()] if folder.is_dir() else []
