"""The commands of docs/papers.md and docs/diffusion.md, on samples and on MJ-Bench's own images."""

from __future__ import annotations

import math
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import rmbench
from rmbench.cli import cli
from rmbench.models.families.diffusion.settings import DiffusionSettings
from rmbench.records.store import find, read_rows

DATA = os.environ.get("RMBENCH_DATA")
PAGE = Path(__file__).resolve().parents[4] / "docs" / "diffusion.md"


def test_every_setting_is_told() -> None:
    said = set(re.findall(r"`(\w+)(?:=[^`]*)?`", PAGE.read_text("utf-8")))
    assert set(DiffusionSettings.model_fields) - {"ref_model"} <= said


@pytest.mark.parametrize(
    ("reference", "arguments", "tasks"),
    [
        (False, "", "pick-style-cartoon,pick-style-pixel-art,pick-safety"),
        (True, ",score=inpo,inversion_steps=2", "pick-a-pic"),
        (True, "", "pick-a-pic"),
    ],
)
def test_the_commands_of_the_papers(
    reference: bool, arguments: str, tasks: str, pipelines: Any, made: SimpleNamespace, tmp_path: Path
) -> None:
    own, other = pipelines("sd15")
    given = ["run", "--model", str(own), "--adapter", "diffusion", "--tasks", tasks, "--source", "sample"]
    given += ["--ref-model", str(other)] if reference else []
    given += ["--model-args", f"resolution={made.SIDE},draws=2,batch=2{arguments}", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(cli, [*given, "--device", "cpu"])
    assert done.exit_code == 0, done.output
    found = find(tmp_path / "out")
    assert len(found) == len(tasks.split(","))
    for folder in found:
        rows = list(read_rows(folder))
        assert len(rows) >= 8
        assert all(row.judgment.status == "ok" for row in rows)
        assert all(row.judgment.parts["standard_error"][0][0] > 0 for row in rows)


def test_generators_are_compared_by_shared_draws(
    pipelines: Any, images: list[Path], made: SimpleNamespace, tmp_path: Path
) -> None:
    own, other = pipelines("sd15")
    for name, image in zip("ab", images, strict=False):
        (tmp_path / "images" / name).mkdir(parents=True)
        shutil.copy(image, tmp_path / "images" / name / "0.png")
    (tmp_path / "prompts.txt").write_text("a red house\n")
    given = {"resolution": made.SIDE, "draws": 3, "batch": 3}
    found = rmbench.rank_generators(
        str(tmp_path / "images" / "{generator}" / "{prompt}.png"),
        tmp_path / "prompts.txt",
        [str(own)],
        out=tmp_path / "out",
        ref_model=str(other),
        model_args=given,
        device="cpu",
        progress=False,
    )
    rows = list(read_rows(find(tmp_path / "out")[0]))
    (cluster,) = {row.cluster for row in rows}
    model = made.opened(own, other, **given)
    both = model.judge("t", replace(made.pair("row", "a red house", *images[:2]), cluster=cluster)).rewards
    assert {one.generator: one.mean for one in found.standings["own"]} == pytest.approx(
        dict(zip("ab", both, strict=True))
    )


def test_a_check_shows_it_images(pipelines: Any, made: SimpleNamespace) -> None:
    own, other = pipelines("sd3")
    given = {"resolution": made.SIDE, "draws": 2, "batch": 2, "text_length": 4}
    report = rmbench.check(str(own), write=False, ref_model=str(other), device="cpu", model_args=given)
    by_name = {result.name: result for result in report.checks}
    assert not report.failed, report.checks
    for name in ("answers", "finite", "determinism", "order", "spread", "media"):
        assert by_name[name].status == "pass", by_name[name]


@pytest.mark.skipif(not DATA, reason="need RMBENCH_DATA with mj-bench")
@pytest.mark.parametrize("kind", ["sd15", "flux"])
def test_real_pairs_of_mj_bench(kind: str, pipelines: Any, made: SimpleNamespace, tmp_path: Path) -> None:
    """Six pairs of upstream's own images, and their standard errors; a row without its images fails and says so."""
    source = tmp_path / "mj-bench"
    for name in ("human", "objects_indoor", "mpii"):
        shutil.copytree(Path(str(DATA)) / "mj-bench" / "quality" / name, source / "quality" / name)
    own, other = pipelines(kind)
    results = rmbench.run(
        str(own),
        "mj-bench-quality",
        source=tmp_path,
        out=tmp_path / "out",
        limit=12,
        ref_model=str(other),
        adapter="diffusion",
        device="cpu",
        model_args={"resolution": 32, "draws": 8},
    )
    (folder,) = find(tmp_path / "out")
    rows = list(read_rows(folder))
    shown = [row for row in rows if row.judgment.status == "ok"]
    assert len(rows) == 12
    assert len(shown) >= 3
    assert all("is not here" in row.judgment.error for row in rows if row.judgment.status == "failed")
    assert results.records[0].counts.failed == len(rows) - len(shown)
    for row in shown:
        assert row.judgment.rewards is not None
        margin = row.judgment.rewards[0] - row.judgment.rewards[1]
        error = row.judgment.parts["margin_standard_error"][0][1]
        assert 0 < error < math.hypot(*(each[0] for each in row.judgment.parts["standard_error"])) * 1.5
        assert np.isfinite(margin)
    unsettled = sum(
        abs(row.judgment.rewards[0] - row.judgment.rewards[1])
        <= 1.96 * row.judgment.parts["margin_standard_error"][0][1]
        for row in shown
        if row.judgment.rewards is not None
    )
    assert results.records[0].run.engine.get("sign_unsettled", 0) == unsettled
