"""A data set of the hub at one commit: its files through huggingface_hub, and which of them `datasets` reads."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from rmbench.errors import RmbenchError
from rmbench.tasks.fetch.manifest import Origin, place_below
from rmbench.tasks.fetch.repository import Entry, Progress, check_room, counted
from rmbench.tasks.rows.hub import HubRequest, full_revision, is_offline
from rmbench.untrusted.masking import register_secret

__all__ = ["HubRepository", "SplitFiles", "hub_of_address"]

_ADDRESS = "https://huggingface.co/datasets/"
_PATIENCE = 10.0
"""Seconds to wait for the hub's first reply."""
_LOOK = 0.2
"""Seconds between two looks at what has arrived."""
_OF_EVERY_READER = ("name", "version", "data_dir", "data_files", "description", "features")


def hub_of_address(address: str) -> str | None:
    """The `org/name` of a git address that is a data set of the hub; None for any other."""
    return address.removeprefix(_ADDRESS).removesuffix(".git") if address.startswith(_ADDRESS) else None


@dataclasses.dataclass(frozen=True, slots=True)
class SplitFiles:
    """How `datasets` reads a config and split."""

    module: str
    split: str
    paths: tuple[str, ...]
    """In the repository, in the order of the rows."""
    features: dict[str, Any] | None
    settings: dict[str, Any]


class HubRepository:
    """A data set at the declared revision, or at the newest."""

    def __init__(self, hub: str, pin: str | None) -> None:
        """Look the revision up.

        Raises:
            RmbenchError: the hub cannot be reached, or has no such set or revision.
        """
        from huggingface_hub import HfApi, get_token

        register_secret(get_token() or "")
        self._hub = hub
        with _as_errors(hub):
            revision = None if pin is None else full_revision(hub, pin)
            info = HfApi().dataset_info(hub, revision=revision, timeout=_PATIENCE)
            if info.gated:
                HfApi().auth_check(hub, repo_type="dataset")
        commit = info.sha
        if not commit:
            raise RmbenchError(f"{hub}: the hub names no commit of it.")
        self.origin = Origin(kind="hub", address=hub, pin=pin, commit=commit)

    @cached_property
    def files(self) -> Mapping[str, Entry]:
        """Every file of the commit by its path."""
        from huggingface_hub import HfApi
        from huggingface_hub.hf_api import RepoFile

        commit = self.origin.commit
        with _as_errors(self._hub):
            listed = list(HfApi().list_repo_tree(self._hub, recursive=True, revision=commit, repo_type="dataset"))
        return {
            each.path: Entry(None if each.lfs else each.blob_id, each.size, each.lfs.sha256 if each.lfs else None)
            for each in listed
            if isinstance(each, RepoFile)
        }

    def split_files(self, request: HubRequest) -> SplitFiles:
        """Which files hold the requested config and split, and how `datasets` reads them.

        Raises:
            RmbenchError: there is no such config or split; or its files are not all in this repository.
        """
        import datasets

        arguments = {**request.arguments, "revision": self.origin.commit}
        split = arguments.pop("split", None)
        with _as_errors(self._hub):
            builder = datasets.load_dataset_builder(self._hub, **arguments)
        files = {str(name): list(map(str, of)) for name, of in (builder.config.data_files or {}).items()}
        if split is None and len(files) == 1:
            split = next(iter(files))
        if split not in files:
            raise RmbenchError(f"hub data set {request}: it has the splits {', '.join(files) or 'none'}.")
        start = f"hf://datasets/{self._hub}@{self.origin.commit}/"
        outside = next((path for path in files[split] if not path.startswith(start)), None)
        if outside is not None:
            raise RmbenchError(f"hub data set {request}: {outside} is no file of its repository, and is not fetched.")
        paths = tuple(path.removeprefix(start) for path in files[split])
        features = None if builder.info.features is None else builder.info.features.to_dict()
        module = type(builder).__module__.rsplit(".", 1)[-1]
        return SplitFiles(module, split, paths, features, _settings(builder.config))

    def bring(self, paths: Iterable[str], folder: Path, progress: Progress) -> None:
        """As in `Repository`."""
        wanted = sorted(set(paths))
        check_room([self.files[path].size for path in wanted], folder)
        progress.start(f"{counted(wanted)} of {self._hub}", sum(self.files[path].size or 0 for path in wanted))
        before = 0
        with _without_bars(), _as_errors(self._hub):
            for path in wanted:
                self._download(path, place_below(folder, path), before, progress)
                before += self.files[path].size or 0
                progress.reached(before)

    def _download(self, path: str, file: Path, before: int, progress: Progress) -> None:
        """Download a file, or the rest of it: `hf_hub_download` begins anew where a process was killed."""
        from huggingface_hub import hf_hub_url
        from huggingface_hub.file_download import http_get
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # a lazy export

        if file.exists():
            return
        part, size = file.with_name(f"{file.name}.part"), self.files[path].size
        part.parent.mkdir(parents=True, exist_ok=True)
        with part.open("ab") as stream:
            if size is not None and stream.tell() > size:
                stream.truncate(0)
            if stream.tell() != size:
                url = hf_hub_url(self._hub, path, repo_type="dataset", revision=self.origin.commit)
                with _watching(part, before, progress):
                    http_get(url, stream, resume_size=stream.tell(), headers=build_hf_headers(), expected_size=size)
        part.replace(file)


def _settings(config: Any) -> dict[str, Any]:
    """What the data set itself says of how its files are read: the fields of the reader that are not its defaults."""
    settings = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.name in _OF_EVERY_READER or value == field.default:
            continue
        try:
            json.dumps(value)
        except (TypeError, ValueError):
            continue
        settings[field.name] = value
    return settings


@contextlib.contextmanager
def _watching(part: Path, before: int, progress: Progress) -> Iterator[None]:
    """Report meanwhile how many bytes have come, `before` it and in it."""
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(_LOOK):
            progress.reached(before + part.stat().st_size)

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


@contextlib.contextmanager
def _without_bars() -> Iterator[None]:
    """Without the bars of huggingface_hub, which would be drawn beside ours."""
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    before = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if not before:
            enable_progress_bars()


@contextlib.contextmanager
def _as_errors(hub: str) -> Iterator[None]:
    """What goes wrong in the hub's clients as one message that says what to do."""
    try:
        yield
    except RmbenchError:
        raise
    except Exception as error:
        raise RmbenchError(_why(hub, error)) from error


def _why(hub: str, error: Exception) -> str:
    from huggingface_hub import constants
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    causes: list[BaseException] = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None and cause not in causes:
        causes.append(cause)
    page = f"{constants.ENDPOINT}/datasets/{hub}"
    if any(isinstance(cause, GatedRepoError) for cause in causes):
        return f"{hub} is gated: accept its terms at {page}, and set HF_TOKEN to a token of yours (`hf auth login`)."
    if is_offline():
        return f"{hub}: HF_HUB_OFFLINE is set; unset it to fetch from {constants.ENDPOINT}."
    if any(isinstance(cause, RevisionNotFoundError) for cause in causes):
        return f"{hub}: {page} has no such revision."
    if any(isinstance(cause, RepositoryNotFoundError) for cause in causes):
        return f"{hub}: there is no {page}, or it is private and HF_TOKEN is not set."
    why = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    return (
        f"{hub} cannot be fetched from {constants.ENDPOINT} ({why}). The same command goes on where this one stopped."
    )
