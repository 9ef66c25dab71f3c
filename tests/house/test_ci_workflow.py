"""The workflow of docs/ci.md, step by step, with stand-ins for the hub and for git, and the gate without network."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import yaml

from rmbench.resources import bundled_models
from tests.house.docs_pages import DOCS
from tests.tasks.fetch.conftest import world
from tests.tasks.fetch.world import World, sample

__all__ = ["world"]


def steps() -> list[str]:
    """The commands of the workflow in their order."""
    (text,) = re.findall(r"```yaml\n(name: .*?)```", (DOCS / "ci.md").read_text("utf-8"), re.DOTALL)
    return [step["run"] for step in yaml.safe_load(text)["jobs"]["gate"]["steps"] if "run" in step]


def test_the_workflow_runs_as_it_stands(world: World) -> None:
    domains = {Path(name).stem.removesuffix("_filtered"): json.loads(rows) for name, rows in sample("rm-bench").items()}
    total = [{**row, "domain": domain} for domain, rows in domains.items() for row in rows]
    world.hub.put("THU-KEG/RM-Bench", {"total_dataset.json": json.dumps(total).encode()}, "ee19843" + "0" * 33)
    mine = world.task("rmb-bon", "https://git.example/rmb", world.git("rmb", sample("rmb-bon")))
    (world.folder / "checkpoint").symlink_to(bundled_models() / "tiny-bt")
    install, *commands = steps()
    assert install == "pip install rmbench"
    assert [command.split()[1] for command in commands] == ["fetch", "run", "gate"]
    # No stand-in has the commit that the benchmark pins: its declaration is that of a benchmark of one's own.
    fetch, run, gate = (shlex.split(command.replace("rmb-bon", str(mine)))[1:] for command in commands)
    assert world.command(*fetch).returncode == 0
    for out in ("baseline", "out"):
        done = world.command(*(out if word == "out" else word for word in run), network=False)
        assert done.returncode == 0, done.stderr
    gate = [word.replace("$GITHUB_STEP_SUMMARY", "summary.md") for word in gate]
    done = world.command(*gate, network=False)
    assert done.returncode == 0, done.stdout
    assert "my-rmb-bon@1: pass" in done.stdout
    assert "rm-bench@1: pass" in done.stdout
