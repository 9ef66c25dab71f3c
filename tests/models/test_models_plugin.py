"""Families that other packages add, by one class and one entry point, as docs/adding-a-family.md shows."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from rmbench.errors import RmbenchError
from rmbench.models.families.registry import families
from rmbench.models.open import OpenOptions, open_model
from rmbench.tasks.registry import get
from rmbench.tasks.sources import load

PAGE = (Path(__file__).parents[2] / "docs" / "adding-a-family.md").read_text("utf-8")
TASK = "llmbar"


def shown(language: str, word: str) -> str:
    (block,) = [text for text in re.findall(rf"```{language}\n(.*?)```", PAGE, re.S) if word in text]
    return block


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's package, built and installed into a folder of its own, without a network."""
    pytest.importorskip("hatchling")
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("target")
    (source / "pyproject.toml").write_text(shown("toml", "[build-system]"))
    (source / "word_count.py").write_text(shown("python", "class WordCount"))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run(
        [*pip, "--disable-pip-version-check", "--target", str(target), str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "my-model"
    folder.mkdir()
    (folder / "config.json").write_text('{"architectures": ["WordCountModel"]}')
    save_file({"word_weight": torch.tensor([-0.5])}, folder / "model.safetensors")
    return folder


def test_its_family_is_decided_and_used(installed: Path, checkpoint: Path, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(installed), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "rmbench", "run", "--model", str(checkpoint), "--tasks", TASK]
    command += ["--source", "sample", "--out", str(tmp_path), "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    why = "config.json names WordCountModel, the checkpoint holds word_weight"
    assert f"word-count ({why})" in done.stderr
    assert json.loads(done.stdout)["model"] == "my-model"
    (file,) = tmp_path.glob("my-model@*/*/record.json")
    record = json.loads(file.read_text("utf-8"))
    assert (record["model"]["family"], record["model"]["why"]) == ("word-count", why)
    assert record["model"]["settings"] == {"layout": "word-count"}
    rows = pd.read_parquet(file.with_name("judgments.parquet")).set_index("id")
    examples = load(get(TASK), "sample").examples
    assert len(rows) == len(examples) > 1
    for example in examples:
        expected = [-0.5 * len(candidate.text.split()) for candidate in example.candidates]
        assert rows.loc[example.id, "rewards"].tolist() == pytest.approx(expected)


def test_without_the_package_the_checkpoint_is_refused(checkpoint: Path) -> None:
    with pytest.raises(RmbenchError, match=r"config\.json names WordCountModel"):
        open_model(str(checkpoint))


def test_the_adapter_takes_its_name(installed: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(installed))
    (checkpoint / "config.json").write_text('{"architectures": ["Other"]}')
    facts = open_model(str(checkpoint), OpenOptions(adapter="word-count")).facts
    assert (facts.family, facts.why) == ("word-count", "--adapter word-count, the checkpoint holds word_weight")
    with pytest.raises(RmbenchError, match=r"Other"):
        open_model(str(checkpoint))


class TestBrokenEntryPoints:
    """One clear error that names the entry point, whatever is wrong with the package."""

    @staticmethod
    def declare(folder: Path, value: str, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """As an installed package lies on the path."""
        info = folder / "broken_family-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-family\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[rmbench.models]\nbroken = {value}\n")
        (folder / "broken_family_module.py").write_text(code)
        monkeypatch.syspath_prepend(str(folder))
        monkeypatch.delitem(sys.modules, "broken_family_module", raising=False)

    FAMILY = (
        "class Broken:\n    name, layouts = {name!r}, ({layout!r},)\n"
        "    def fits(self, checkpoint, layout): return ()\n    def open(self, opening): ...\n"
    )

    @pytest.mark.parametrize(
        ("value", "code", "message"),
        [
            ("no_such_module:X", "", "cannot be loaded: ModuleNotFoundError"),
            ("broken_family_module:X", "", "cannot be loaded: AttributeError"),
            ("broken_family_module:X", "1 / 0", "cannot be loaded: ZeroDivisionError"),
            ("broken_family_module:X", "class X:\n    def __init__(self, a): ...", "cannot be loaded: TypeError"),
            ("broken_family_module:X", "X = 7", "is no model family: it needs name, layouts, fits and open"),
            ("broken_family_module:X", "class X:\n    name = 'x'", "is no model family"),
            (
                "broken_family_module:Broken",
                FAMILY.format(name="scalar", layout="own"),
                "'scalar', a name that is taken",
            ),
            (
                "broken_family_module:Broken",
                FAMILY.format(name="own", layout="armorm"),
                "'armorm', a name that is taken",
            ),
        ],
    )
    def test_one_error(
        self, value: str, code: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.declare(tmp_path, value, code, monkeypatch)
        with pytest.raises(RmbenchError, match=rf"the entry point broken = {value} \(rmbench\.models\) .*{message}"):
            families()

    def test_a_right_one_beside_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.declare(tmp_path, "broken_family_module:Broken", self.FAMILY.format(name="own", layout="own"), monkeypatch)
        assert list(families())[-1] == "own"


def test_our_own_names_are_distinct() -> None:
    """Without plug-ins, no two families of ours have a name or a layout in common."""
    known = families()
    names = [name for family in known.values() for name in {family.name, *family.layouts}]
    assert len(names) == len(set(names))
