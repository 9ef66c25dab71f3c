"""A machine with stand-ins for the hub and for git servers, and the command line on it in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rmbench.tasks.registry import get
from tests.tasks.fetch.hub_stand_in import HubStandIn

SAMPLES = Path(__file__).resolve().parents[3] / "tasks" / "samples"
NO_SERVER = "http://127.0.0.1:9"


@dataclass
class World:
    """A machine with a hub and git servers, or without either."""

    folder: Path
    hub: HubStandIn
    endpoint: str
    extra: dict[str, str] = field(default_factory=dict)

    def environment(self, *, network: bool = True) -> dict[str, str]:
        """The variables of a process; without network it finds neither hub nor git server."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "GIT_", "RMBENCH_"))}
        return clean | {
            "HF_HOME": str(self.folder / ("home" if network else "empty-home")),
            "HF_ENDPOINT": self.endpoint if network else NO_SERVER,
            "HF_HUB_DISABLE_TELEMETRY": "1",
            **({} if network else {"HF_HUB_OFFLINE": "1"}),
            "XDG_DATA_HOME": str(self.folder / "user-data"),
            "RMBENCH_CACHE": "off",
            "COLUMNS": "80",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.file://{self.folder}/{'git' if network else 'nowhere'}/.insteadOf",
            "GIT_CONFIG_VALUE_0": "https://git.example/",
            **self.extra,
        }

    def command(self, *words: object, network: bool = True) -> subprocess.CompletedProcess[str]:
        """`rmbench` with these words."""
        command = [sys.executable, "-m", "rmbench", *map(str, words)]
        return subprocess.run(
            command, env=self.environment(network=network), cwd=self.folder, capture_output=True, text=True, check=False
        )

    def python(self, code: str, *, network: bool = True) -> str:
        """What a program prints."""
        command = [sys.executable, "-c", code]
        environment = self.environment(network=network)
        done = subprocess.run(command, env=environment, cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def git(self, name: str, files: Mapping[str, bytes | str], links: Mapping[str, str] | None = None) -> str:
        """Make the repository https://git.example/<name> of these files; the hash of its commit."""
        folder = self.folder / "git" / name
        for path, content in files.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content.encode() if isinstance(content, str) else content)
        for path, target in (links or {}).items():
            (folder / path).symlink_to(target)
        _git(folder, "init", "--quiet")
        _git(folder, "add", "--all")
        _git(folder, "commit", "--quiet", "--message", "rows")
        _git(folder, "config", "uploadpack.allowFilter", "true")
        _git(folder, "config", "uploadpack.allowAnySHA1InWant", "true")
        return _git(folder, "rev-parse", "HEAD").strip()

    def task(self, like: str, git: str, commit: str | None, change: Callable[[str], str] = str) -> Path:
        """The declaration of a bundled task as one of the user's own, whose files are in another git repository.

        The digests that it declares are of upstream's files, and are left out.
        """
        task = get(like)
        text = task.path.read_text(encoding="utf-8")
        text = re.sub(r"\n\[files\.sha256\]\n(?:.+\n)*", "\n", text)
        text = re.sub(r"(?m)^(hub|revision|commit|git|aliases) = .*\n", "", text)
        pin = "" if commit is None else f'\ncommit = "{commit}"'
        text = text.replace("[source]", f'[source]\ngit = "{git}"{pin}', 1).replace(
            f'id = "{like}"', f'id = "my-{like}"'
        )
        file = self.folder / f"my-{like}.toml"
        file.write_text(change(text), encoding="utf-8")
        return file


def _git(folder: Path, *words: str) -> str:
    command = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org", *words]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True, check=True).stdout


def sample(name: str) -> dict[str, bytes]:
    """The files of a task's bundled sample by their paths."""
    root = SAMPLES / name
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def files_below(folder: Path) -> dict[str, bytes]:
    """Every file by its path, without the manifest and what is not whole yet."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.relative_to(folder).parts[0].startswith((".rmbench-fetch", "rmbench-manifest"))
    }
