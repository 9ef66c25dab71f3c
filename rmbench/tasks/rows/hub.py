"""Loading rows from the hub at the declared revision."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rmbench.errors import AbsentDataError, RmbenchError
from rmbench.tasks.declaration.schema import HubPart, SourceRule
from rmbench.tasks.rows.fields import RawRow
from rmbench.tasks.task import DataFileFacts
from rmbench.untrusted.masking import register_secret

__all__ = [
    "HubRequest",
    "full_revision",
    "is_offline",
    "pinned",
    "read_hub",
    "requests_of",
    "rows_of_part",
    "splits_of",
    "without_bars",
]

_FULL = 40
"""Hexadecimal digits of a full commit hash."""
_SHORTEST = 7
"""Of a shortened one."""
_PATIENCE = 10.0
"""Seconds to wait for the hub's first reply: loading itself would retry for half a minute."""


@dataclass(frozen=True, slots=True)
class HubRequest:
    """What is asked of the hub for one part of a task's rows."""

    hub: str
    arguments: dict[str, str]
    """Those of `datasets.load_dataset`: name, data_dir, split and revision, as far as they are declared."""
    label: str
    """The `@file` of the rows."""
    set: dict[str, str]
    """Columns that the rows lack."""

    def __str__(self) -> str:
        return self.hub + "".join(f" {key}={value}" for key, value in self.arguments.items())


def requests_of(source: SourceRule) -> list[HubRequest]:
    """The parts of a task's rows in turn, or the one that its source itself declares; its `hub` must be set."""
    return [_request(source, part) for part in source.parts or [HubPart()]]


def _request(source: SourceRule, part: HubPart) -> HubRequest:
    own = part.hub is not None  # another set has revisions, configs and splits of its own
    settings = {
        "name": part.config or (None if own else source.config),
        "data_dir": part.data_dir or (None if own else source.data_dir),
        "split": part.split or source.split,
        "revision": part.revision or (None if own else source.revision),
    }
    arguments = {key: value for key, value in settings.items() if value is not None}
    label = part.label or arguments.get("split", "train")
    return HubRequest(part.hub or source.hub or "", arguments, label, part.set)


def read_hub(source: SourceRule, how_else: str) -> tuple[list[RawRow], list[DataFileFacts]]:
    """The rows of the declared config and split through `datasets`, or of all parts in turn, and the facts of each.

    HF_HUB_OFFLINE and the hub's cache work as in `datasets`.

    Args:
        source: what the task declares; its `hub` must be set.
        how_else: how the rows can be read without the hub, for the message.

    Raises:
        AbsentDataError: the hub cannot be reached, or has no such set, revision, config or split.
    """
    rows: list[RawRow] = []
    facts: list[DataFileFacts] = []
    for request in requests_of(source):
        try:
            loaded = _load(request.hub, request.arguments)
        except Exception as error:  # whatever goes wrong in the hub's clients, the user needs to know where
            raise AbsentDataError(f"{_unreachable(str(request), error)}\n{how_else}") from error
        part_rows, fact = rows_of_part(request, loaded)
        rows += part_rows
        facts.append(fact)
    return rows, facts


def rows_of_part(request: HubRequest, loaded: Any, root: Path | None = None) -> tuple[list[RawRow], DataFileFacts]:
    """The rows of a loaded data set, and its facts.

    The sha256 is over the rows as JSON, one per line, since the hub's own files need not be on this machine.

    Args:
        request: what was asked for.
        loaded: the `datasets.Dataset` that came.
        root: the folder of the media that rows name; None where they can only be absent.

    Raises:
        RmbenchError: several splits came, and the task declares none.
    """
    import datasets

    if isinstance(loaded, dict):
        raise RmbenchError(f"hub data set {request} has the splits {', '.join(loaded)}; the task declares none.")
    if isinstance(loaded, datasets.Dataset):
        # Media as bytes or paths: they are decoded where they are scored, within bounds.
        loaded = loaded.cast(datasets.Features({name: _undecoded(of) for name, of in loaded.features.items()}))
    digest = hashlib.sha256()
    rows: list[RawRow] = []
    for index, values in enumerate(loaded):
        digest.update(json.dumps(values, sort_keys=True, default=_spelled).encode() + b"\n")
        place = f"{request.hub}:{request.label}"
        rows.append(RawRow(place, request.label, index, {**values, **request.set}, root))
    return rows, DataFileFacts(str(request), digest.hexdigest(), len(rows))


def _load(hub: str, arguments: dict[str, str]) -> Any:
    """The data set by `datasets`, after a quick look at whether the hub can be reached, since `datasets` retries."""
    import datasets
    from huggingface_hub import HfApi, get_token

    register_secret(get_token() or "")
    if not is_offline() and not _snapshots(hub):
        HfApi().dataset_info(hub, timeout=_PATIENCE)
    if "revision" in arguments:
        arguments = {**arguments, "revision": full_revision(hub, arguments["revision"])}
    return datasets.load_dataset(hub, **arguments)


@contextlib.contextmanager
def without_bars() -> Iterator[None]:
    """Without the bars of `datasets`, for files that are on this machine."""
    import datasets

    before = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if not before:
            datasets.enable_progress_bars()


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


def is_offline() -> bool:
    """Whether the hub's clients are told to do without the network."""
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

    try:
        if revision is not None and set(revision) <= set("0123456789abcdef") and len(revision) >= _SHORTEST:
            return full_revision(hub, revision)
        if is_offline():
            return _cached_commit(hub, revision)
        return str(HfApi().dataset_info(hub, revision=revision, timeout=_PATIENCE).sha)
    except Exception as error:  # whatever goes wrong in the hub's client, the user needs to know what was requested
        raise _unreachable(hub + (f" revision={revision}" if revision else ""), error) from error


def _cached_commit(hub: str, revision: str | None) -> str:
    """The commit that the hub's cache on this machine knows by this name; without one, its only commit.

    Raises:
        LookupError: there is none, or several.
    """
    from huggingface_hub.constants import HF_HUB_CACHE

    ref = Path(HF_HUB_CACHE) / f"datasets--{hub.replace('/', '--')}" / "refs" / (revision or "main")
    if ref.is_file():
        return ref.read_text("utf-8").strip()
    commits = _snapshots(hub) if revision is None else []
    if len(commits) != 1:
        named = f": name one by {hub}@COMMIT, of {', '.join(commits)}" if commits else ""
        raise LookupError(f"the hub's cache on this machine holds {len(commits)} commits of it{named}")
    return commits[0]


def splits_of(hub: str, config: str | None, revision: str) -> tuple[str, ...]:
    """The splits of a config, or of the default one; () where the set does not say them.

    Raises:
        RmbenchError: there is no such config, or several and no default.
    """
    import datasets

    try:
        builder = datasets.load_dataset_builder(hub, config, revision=revision)
    except Exception as error:
        raise _unreachable(hub + (f" name={config}" if config else ""), error) from error
    # What the set's card or the cache says; else by the names of its files.
    return tuple(builder.info.splits or getattr(builder.config, "data_files", None) or ())


def _unreachable(name: str, error: Exception) -> RmbenchError:
    offline = " (HF_HUB_OFFLINE is set)" if is_offline() else ""
    why = str(error).splitlines()[0] if str(error) else type(error).__name__
    return RmbenchError(f"hub data set {name} cannot be loaded{offline}: {why}")


def _snapshots(hub: str) -> list[str]:
    """The commits of a data set that the hub's cache on this machine holds."""
    from huggingface_hub.constants import HF_HUB_CACHE

    folder = Path(HF_HUB_CACHE) / f"datasets--{hub.replace('/', '--')}" / "snapshots"
    return [path.name for path in folder.iterdir()] if folder.is_dir() else []
