"""Files from git repositories: which are brought, and what hostile or broken repositories do."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from rmbench.errors import RmbenchError
from rmbench.tasks.fetch import git, repository
from rmbench.tasks.fetch.fetch import Fetched, fetch, incomplete
from rmbench.tasks.fetch.verify import short_hash
from rmbench.tasks.registry import get, load_file
from rmbench.tasks.sources import load
from tests.tasks.fetch.world import World, files_below, sample


@pytest.fixture
def folder(world: World, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder; git of this process finds the repositories of the world."""
    for name, value in world.environment().items():
        if name.startswith("GIT_CONFIG"):
            monkeypatch.setenv(name, value)
    return world.folder / "data"


def outcome(task: Path, folder: Path) -> Fetched:
    (one,) = fetch(str(task), folder)
    return one


def test_only_declared_files_are_brought(world: World, folder: Path) -> None:
    files = {**sample("llmbar"), "README.md": b"# LLMBar", "huge.bin": b"0" * 2**20}
    mine = world.task("llmbar", "https://git.example/llmbar", world.git("llmbar", files))
    done = outcome(mine, folder)
    assert (done.outcome, done.files) == ("fetched", len(sample("llmbar")))
    assert sorted(files_below(folder)) == sorted(f"llmbar/{path}" for path in sample("llmbar"))
    assert load(load_file(mine), folder).digest == load(get("llmbar"), "sample").digest
    assert outcome(mine, folder).outcome == "here"


def test_a_folder_without_a_pin_is_of_the_newest_commit(world: World, folder: Path) -> None:
    commit = world.git("llmbar", sample("llmbar"))
    mine = world.task("llmbar", "https://git.example/llmbar", None)
    assert outcome(mine, folder).origin == f"https://git.example/llmbar at {commit[:8]}"


def test_an_own_file_is_not_replaced(world: World, folder: Path) -> None:
    mine = world.task("autoj", "https://git.example/autoj", world.git("autoj", sample("autoj")))
    own = folder / "autoj/data/test/testdata_pairwise.jsonl"
    own.parent.mkdir(parents=True)
    own.write_text("mine\n")
    assert outcome(mine, folder).origin == "your own files"
    assert own.read_text() == "mine\n"


def test_the_missing_files_of_an_own_folder_are_brought(world: World, folder: Path) -> None:
    files = sample("llmbar")
    mine = world.task("llmbar", "https://git.example/llmbar", world.git("llmbar", files))
    path = next(iter(files))
    (folder / "llmbar" / path).parent.mkdir(parents=True)
    (folder / "llmbar" / path).write_bytes(files[path])
    assert outcome(mine, folder).outcome == "fetched"
    assert files_below(folder) == {f"llmbar/{name}": content for name, content in files.items()}
    (folder / "rmbench-manifest.json").unlink()
    (folder / "llmbar" / path).write_bytes(b"[]")
    next_path = list(files)[1]
    (folder / "llmbar" / next_path).unlink()
    done = outcome(mine, folder)
    assert done.outcome == "failed"
    assert f"{folder}/llmbar/{path} is there and is not {path} of https://git.example/llmbar" in done.why
    assert (folder / "llmbar" / path).read_bytes() == b"[]"
    assert not (folder / "llmbar" / next_path).exists()


def test_a_joined_file_may_be_in_another_repository(world: World, folder: Path) -> None:
    files = sample("fetv")
    second = {"fetv_data.json": files.pop("fetv_data.json")}
    other = world.git("prompts", second)

    def change(text: str) -> str:
        text = text.replace('git = "https://github.com/llyx97/FETV"', 'git = "https://git.example/prompts"')
        return text.replace('key = "@row"', f'key = "@row"\ncommit = "{other}"').replace(
            'key = "@row"', 'key = "@row"\ngit = "https://git.example/prompts"'
        )

    mine = world.task("fetv", "https://git.example/ratings", world.git("ratings", files), change)
    done = outcome(mine, folder)
    assert done.outcome == "fetched", done.why
    assert files_below(folder)["fetv/fetv_data.json"] == second["fetv_data.json"]
    entry = json.loads((folder / "rmbench-manifest.json").read_text())["tasks"]["my-fetv"]
    assert [each["address"] for each in entry["origins"]] == [
        "https://git.example/ratings",
        "https://git.example/prompts",
    ]


def test_media_that_rows_name_are_brought(world: World, folder: Path) -> None:
    files = {**sample("agiqa-3k"), "images/other.jpg": b"x"}
    named = sorted(path for path in sample("agiqa-3k") if path.startswith("images/"))
    del files[named[0]]
    mine = world.task("agiqa-3k", "https://git.example/agiqa", world.git("agiqa", files))
    done = outcome(mine, folder)
    assert done.outcome == "fetched", done.why
    assert sorted(files_below(folder)) == ["agiqa-3k/data.csv", *(f"agiqa-3k/{path}" for path in named[1:])]
    assert done.notes == (f"1 image file is not in the repository: {named[0].removeprefix('images/')}",)
    assert outcome(mine, folder).outcome == "here"


def test_a_repository_without_the_files_is_said(world: World, folder: Path) -> None:
    mine = world.task("llmbar", "https://git.example/llmbar", world.git("llmbar", {"README.md": "later"}))
    done = outcome(mine, folder)
    assert (done.outcome, "holds none of its files" in done.why) == ("absent", True)
    assert incomplete([done], str(mine))
    assert not incomplete([done], "all")


def test_a_link_is_not_followed(world: World, folder: Path) -> None:
    path = "data/test/testdata_pairwise.jsonl"
    commit = world.git("autoj", {"data/test/other": "x"}, links={path: "/etc/passwd"})
    done = outcome(world.task("autoj", "https://git.example/autoj", commit), folder)
    assert done.why == f"{path} of https://git.example/autoj is a symbolic link, and is not fetched."
    assert files_below(folder) == {}


def test_a_pointer_in_place_of_a_file_is_said(world: World, folder: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n"
    commit = world.git("autoj", {"data/test/testdata_pairwise.jsonl": pointer})
    done = outcome(world.task("autoj", "https://git.example/autoj", commit), folder)
    assert (done.outcome, "a Git LFS pointer" in done.why) == ("absent", True)
    assert files_below(folder) == {}


@pytest.mark.parametrize(
    "name", ["../out.jsonl", "a/../../out.jsonl", "/etc/out.jsonl", "a\\b.jsonl", "a//b", "C:/b", "a\nb"]
)
def test_no_name_leads_out_of_the_folder(name: str, tmp_path: Path) -> None:
    from rmbench.tasks.fetch.manifest import place_below

    with pytest.raises(RmbenchError, match="no plain path below a folder"):
        place_below(tmp_path, name)


def test_a_declaration_cannot_lead_out_of_the_folder(world: World, folder: Path) -> None:
    commit = world.git("autoj", sample("autoj"))
    mine = world.task(
        "autoj", "https://git.example/autoj", commit, lambda text: text.replace('folder = "autoj"', 'folder = "../out"')
    )
    done = outcome(mine, folder)
    assert (done.outcome, "no plain path" in done.why) == ("failed", True)
    assert not (world.folder / "out").exists()


@pytest.mark.parametrize(
    "address", ["http://git.example/a", "ssh://git.example/a", "ext::sh -c id", "-u/tmp", "/tmp/a"]
)
def test_only_https_is_fetched(world: World, folder: Path, address: str) -> None:
    done = outcome(world.task("autoj", address, None), folder)
    assert (done.outcome, "only https:// addresses are fetched" in done.why) == ("failed", True)


@pytest.mark.parametrize(("pin", "why"), [("2ae17a3", "by its whole hash"), ("--upload-pack=id", "by its whole hash")])
def test_a_commit_is_a_whole_hash(world: World, folder: Path, pin: str, why: str) -> None:
    world.git("autoj", sample("autoj"))
    assert why in outcome(world.task("autoj", "https://git.example/autoj", pin), folder).why


def test_an_unknown_commit_is_said(world: World, folder: Path) -> None:
    world.git("autoj", sample("autoj"))
    done = outcome(world.task("autoj", "https://git.example/autoj", "a" * 40), folder)
    assert done.why == f"https://git.example/autoj has no commit, branch or tag {'a' * 40}."


def test_nothing_of_the_repository_is_run(world: World, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither its hooks, nor filters that its attributes name, nor hooks that a template brings."""
    witness = world.folder / "run"
    hooks = world.folder / "hooks"
    hooks.mkdir()
    for name in ("post-checkout", "reference-transaction", "post-merge"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {witness}\n")
        (hooks / name).chmod(0o755)
    files: dict[str, bytes | str] = {
        **sample("autoj"),
        ".gitattributes": "* filter=evil\n",
        ".gitmodules": '[submodule "a"]\npath = a\nurl = .\n',
    }
    commit = world.git("autoj", files)
    settings = {"core.hooksPath": str(hooks), "filter.evil.smudge": f"touch {witness}"}
    count = int(os.environ["GIT_CONFIG_COUNT"])
    for place, (key, value) in enumerate(settings.items(), count):
        monkeypatch.setenv(f"GIT_CONFIG_KEY_{place}", key)
        monkeypatch.setenv(f"GIT_CONFIG_VALUE_{place}", value)
    monkeypatch.setenv("GIT_CONFIG_COUNT", str(count + len(settings)))
    assert outcome(world.task("autoj", "https://git.example/autoj", commit), folder).outcome == "fetched"
    assert not witness.exists()


def test_more_than_a_task_may_have_is_not_brought(world: World, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = world.git("autoj", sample("autoj"))
    mine = world.task("autoj", "https://git.example/autoj", commit)
    with monkeypatch.context() as patched:
        patched.setattr(git, "MOST_OF_TASK", 10)
        assert "sends more than 10 bytes" in outcome(mine, folder).why
    monkeypatch.setattr(repository, "MOST_OF_TASK", 100)
    assert "more than 100 are not brought" in outcome(mine, folder).why
    assert files_below(folder) == {}


def test_a_full_disk_is_said_before_it_is_full(world: World, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = world.git("autoj", sample("autoj"))
    monkeypatch.setattr(repository, "_LEFT_FREE", 2**62)
    done = outcome(world.task("autoj", "https://git.example/autoj", commit), folder)
    assert (done.outcome, "has room for 0" in done.why) == ("failed", True)


def test_two_fetches_do_not_share_a_folder(world: World, folder: Path) -> None:
    from filelock import FileLock

    folder.mkdir()
    with FileLock(folder / ".rmbench-fetch.lock"), pytest.raises(RmbenchError, match="another `rmbench fetch`"):
        fetch("judge-spoofing", folder)


def test_what_rmbench_brings_with_it_is_not_fetched(folder: Path) -> None:
    assert [each.outcome for each in fetch("judge-spoofing,dice-cycles", folder)] == ["bundled", "bundled"]


def test_a_broken_manifest_is_said(folder: Path) -> None:
    folder.mkdir()
    (folder / "rmbench-manifest.json").write_text('{"tasks": {"autoj": {}}}')
    with pytest.raises(RmbenchError, match=r"rmbench-manifest\.json.*Delete it"):
        load(load_file("tasks/text/autoj.toml"), folder)


def test_a_clone_that_was_cut_off_is_used(world: World, folder: Path) -> None:
    commit = world.git("autoj", sample("autoj"))
    mine = world.task("autoj", "https://git.example/autoj", commit)
    clone = folder / ".rmbench-fetch" / f"git-{short_hash('https://git.example/autoj')}"
    clone.mkdir(parents=True)
    (clone / "HEAD").write_text("ref: refs/heads/main\n")
    (clone / "shallow.lock").write_text("")
    (clone / "config.lock").write_text("")
    assert outcome(mine, folder).outcome == "fetched"


def test_declarations_of_the_users_own_are_found(world: World, folder: Path) -> None:
    mine = world.task("autoj", "https://git.example/autoj", world.git("autoj", sample("autoj")))
    (one,) = fetch("my-autoj", folder, include_path=[mine.parent])
    assert (one.task, one.outcome) == ("my-autoj", "fetched")


def test_a_dry_run_brings_nothing(world: World, folder: Path) -> None:
    files = sample("llmbar")
    commit = world.git("llmbar", files)
    mine = world.task("llmbar", "https://git.example/llmbar", commit)
    (one,) = fetch(str(mine), folder, dry_run=True)
    assert (one.outcome, one.files, one.origin) == (
        "planned",
        len(files),
        f"https://git.example/llmbar at {commit[:8]}",
    )
    assert not folder.exists()


def test_another_pin_brings_the_files_anew(world: World, folder: Path) -> None:
    (path,) = sample("autoj")
    first = world.git("autoj", {path: "{}\n"})
    assert outcome(world.task("autoj", "https://git.example/autoj", first), folder).outcome == "fetched"
    second = world.git("autoj", sample("autoj"))
    done = outcome(world.task("autoj", "https://git.example/autoj", second), folder)
    assert (done.outcome, done.notes) == ("fetched", ())
    assert files_below(folder) == {f"autoj/{path}": sample("autoj")[path]}


def test_what_git_says_of_credentials_is_hidden(
    world: World, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    program.write_text(
        "#!/bin/sh\necho \"fatal: cannot access 'https://me:hunter2@git.example/autoj'\" >&2\nexit 128\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    why = outcome(world.task("autoj", "https://git.example/autoj", None), folder).why
    assert "cannot access 'https://***@git.example/autoj'" in why


def test_nothing_is_fetched_by_plain_http(world: World, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a server's redirection would have it."""
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.{world.endpoint}/.insteadOf")
    assert "transport 'http' not allowed" in outcome(world.task("autoj", "https://git.example/autoj", None), folder).why


def test_without_git_it_is_said(world: World, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mine = world.task("autoj", "https://git.example/autoj", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert outcome(mine, folder).why == "the program git, which fetches its files, is not installed."
