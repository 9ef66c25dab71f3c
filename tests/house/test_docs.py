"""The documentation: its examples run and print what it shows, every page is on the site, every public name in the
reference.

Commands in ```sh blocks and programs in ```python blocks run as they stand there, page by page, offline on samples. A
block that needs more is preceded by a comment such as `<!-- not run: hub -->`.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

import rmbench
from rmbench.cli.run import run as run_command
from tests.house.docs_pages import DOCS, Block, blocks, commands, differences, run_python, run_shell

ROOT = DOCS.parent
API = (DOCS / "api.md").read_text("utf-8")


def leaves(nav: Any) -> list[str]:
    """The targets of the navigation, in order."""
    if isinstance(nav, str):
        return [nav]
    return [leaf for entry in (nav.values() if isinstance(nav, dict) else nav) for leaf in leaves(entry)]


def test_every_page_is_in_the_navigation() -> None:
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))
    pages = [target for target in leaves(config["nav"]) if not target.startswith("https://")]
    assert len(pages) == len(set(pages))
    assert set(pages) == {path.name for path in DOCS.glob("*.md")}


def test_the_reference_holds_every_public_name() -> None:
    """`rmbench.NAME`, or where a folder has that name too, the function in it."""
    entries = dict(re.findall(r"^::: (\S+)\n +options: \{ heading: rmbench\.(\w+),", API, re.MULTILINE))
    documented = {name: path for path, name in entries.items()}
    assert set(documented) == set(rmbench.__all__) - {"__version__"}
    for name, path in documented.items():
        if path != f"rmbench.{name}":
            home, _, function = path.rpartition(".")
            assert getattr(import_module(home), function) is getattr(rmbench, name)


PAGES = sorted(DOCS.glob("*.md"))
ELSEWHERE = {
    "adding-a-family.md": "tests/models/test_models_plugin.py",
    "checking-a-model.md": "tests/check/test_check_page.py",
    "generators.md": "tests/models/families/vision/test_generators_page.py",
    "interchange.md": "tests/exchange/test_interchange_page.py",
    "own-data.md": "tests/tasks/own/test_own_page.py",
    "raters.md": "tests/metrics/raters/test_raters_page.py",
    "reading-a-record.md": "tests/records/test_reading_page.py",
}
"""Pages whose examples have a test of their own."""
NOT_RUN = {"cluster": 2, "files": 12, "gpu": 1, "hub": 3, "install": 1, "server": 6}
"""Blocks that are not run, by what they need."""
RECORDS = """
rmbench run --model tiny-bt --tasks rm-bench,rmb-bon,judgebench --source sample --out out
rmbench run --model baseline:length --tasks rm-bench,rmb-bon,judgebench --source sample --out out
"""
"""What the quickstart leaves in `out`, and other pages go on with."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the examples of all pages run."""
    return tmp_path_factory.mktemp("pages")


@pytest.fixture
def shell(folder: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A terminal of 80 columns in that folder, offline."""
    monkeypatch.chdir(folder)
    monkeypatch.delenv("RMBENCH_DATA", raising=False)
    for name, value in {"COLUMNS": "80", "HF_HUB_OFFLINE": "1", "RMBENCH_CACHE": str(folder / "cache")}.items():
        monkeypatch.setenv(name, value)
    if not (folder / "out").exists():
        assert run_shell(Block(RECORDS), monkeypatch)[0] == 0
    return monkeypatch


def pages_with(language: str) -> list[Path]:
    return [page for page in PAGES if page.name not in ELSEWHERE and blocks(page, language)]


@pytest.mark.parametrize("page", pages_with("sh"), ids=lambda page: page.stem)
def test_the_commands_of_a_page(page: Path, folder: Path, shell: pytest.MonkeyPatch) -> None:
    for block in blocks(page, "sh"):
        if block.not_run:
            continue
        assert {words[0] for words in commands(block.code)} == {"rmbench"}, block.code
        code, printed = run_shell(block, shell)
        assert code == block.exit_code, f"{block.code}\n{printed}"
        if block.output is not None:
            assert differences(block.output, printed) == [], f"{block.code}\n{printed}"


@pytest.mark.parametrize("page", pages_with("python"), ids=lambda page: page.stem)
def test_the_programs_of_a_page(page: Path, shell: pytest.MonkeyPatch) -> None:
    names: dict[str, Any] = {}
    for block in blocks(page, "python"):
        if block.not_run:
            continue
        printed = run_python(block, names)
        if block.output is not None:
            assert differences(block.output, printed) == []


def test_pages_with_a_test_of_their_own_have_it() -> None:
    assert all(page in (ROOT / test).read_text("utf-8") for page, test in ELSEWHERE.items())


def test_what_is_not_run_is_counted() -> None:
    """A page's example that cannot run here is a choice somebody made."""
    every = [block for page in PAGES for language in ("sh", "python") for block in blocks(page, language)]
    assert Counter(block.not_run for block in every if block.not_run) == Counter(NOT_RUN)
    for page in PAGES:
        unmarked = re.sub(r"^```(sh|python)\n.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
        assert not re.search(r"^ *rmbench (run|score|show|check|gate|board|tasks)", unmarked, re.MULTILINE), page.name


def test_every_option_of_a_run_is_explained() -> None:
    listed = set(re.findall(r"^\| `(--[\w-]+)` \|", (DOCS / "running.md").read_text("utf-8"), re.MULTILINE))
    options = {option for parameter in run_command.params for option in parameter.opts if option.startswith("--")}
    assert listed == options - {"--help", "--output-path"}


def test_the_layers_of_the_architecture_are_those_of_the_contract() -> None:
    """The table, and the picture of it."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    layers = [
        set(layer.split(" | "))
        for contract in contracts
        if contract["type"] == "layers" and contract["containers"] == ["rmbench"]
        for layer in contract["layers"]
        if layer != "__main__"
    ]
    rows = re.findall(r"^\| (\d+) \| ([^|]+) \|", (DOCS / "architecture.md").read_text("utf-8"), re.MULTILINE)
    shown: list[set[str]] = [set() for _ in layers]
    for layer, packages in rows:
        shown[int(layer) - 1] |= set(re.findall(r"`(\w+)`", packages))
    assert shown == layers
    picture = (DOCS / "assets" / "rooms.svg").read_text("utf-8")
    heights: dict[str, set[str]] = {}
    for height, name in re.findall(r'y="(\d+)" class="name">(\w+)<', picture):
        heights.setdefault(height, set()).add(name)
    assert [heights[height] for height in sorted(heights, key=int)] == layers
