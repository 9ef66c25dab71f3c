"""Write docs/tasks.md from the declarations: `python examples/write_task_page.py`. A test compares the two."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from pathlib import Path

from rmbench.metric_spec import RULES, MetricSpec
from rmbench.tasks.registry import declared
from rmbench.tasks.task import Task

__all__ = ["PAGE", "page", "ties"]

PAGE = Path(__file__).resolve().parents[1] / "docs" / "tasks.md"

_HEAD = """\
# Tasks

Generated from the declarations in `tasks/` by `python examples/write_task_page.py`. `rmbench show ID` prints the whole
declaration with its columns, its other metrics and what is unusual about the benchmark; `rmbench tasks` lists what your
installation has.

- **Rows**: of the whole task version. **Shape**: what a row holds, which is a pair, the best of several (pick), a
  ranking, ratings, labels, RM-Bench's matrix of styles, or only something to score.
- **Metric**: the headline metric, marked *ours* if the benchmark defines none.
- **Ties**: what equal scores are worth under that metric.
- **Chance**: what guessing reaches, given separately for rewards and verdicts if the two differ; K is the number of
  candidates. A dash: there is no such level, or it depends on the rows.
- **Seen**: whether the real rows, in upstream's own files, were read by this declaration. If not, the columns are as
  upstream's code, card or paper states them, and loading checks them first.
"""
_FAMILIES = {
    "text": "Text",
    "rag": "Retrieval and tools",
    "video": "Video",
    "image": "Images",
    "probing": "Several dimensions",
    "cyclic": "Intransitive preferences",
    "personal": "Whose preference",
}
_CREDITS = {0.0: "wrong", 0.5: "half right", 1.0: "right"}


def page() -> str:
    """The whole page, a table per family."""
    tasks = declared().values()
    order = list(_FAMILIES)
    parts = [_HEAD]
    by_family = sorted(tasks, key=lambda task: (order.index(task.family), task.id))
    for family, ones in groupby(by_family, key=lambda task: task.family):
        lines = [
            f"## {_FAMILIES[family]}\n",
            "| task | shape | rows | metric | ties | chance | license | source | seen |",
            "|---|---|--:|---|---|---|---|---|---|",
            *map(_line, ones),
        ]
        parts.append("\n".join(lines) + "\n")
    seen = sum(task.verified for task in tasks)
    parts.append(f"{len(tasks)} tasks, {seen} of them seen.\n")
    return "\n".join(parts)


def ties(spec: MetricSpec, among: Mapping[str, MetricSpec]) -> str:
    """What equal scores are worth under a metric; `among` has the task's metrics by name."""
    if spec.rule == "mean_of":
        return "; ".join(dict.fromkeys(ties(among[name], among) for name in spec.of))
    if spec.rule == "agreement":
        if not spec.tie and not spec.human_tie:
            return "a class of its own"
        return f"{_credit(spec.tie)}; people's tie against a choice: {_credit(spec.human_tie)}"
    return RULES[spec.rule].ties or _credit(spec.tie)


def _credit(worth: float) -> str:
    return _CREDITS.get(worth, f"credit {worth:g}")


def _line(task: Task) -> str:
    metric = task.metrics[0]
    cells = (
        f"`{task.id}`<br>{_plain(task.title)}{_paper(task.paper)}",
        task.shape,
        f"{task.n:,}",
        f"`{metric.name}`" + ("" if task.official else " (ours)"),
        ties(metric, {one.name: one for one in task.metrics}),
        _chance(metric.chance),
        task.license or "none stated",
        _source(task),
        "yes" if task.verified else "no",
    )
    return f"| {' | '.join(cells)} |"


def _paper(paper: str | None) -> str:
    if not paper:
        return ""
    if paper.startswith("arXiv:"):
        return f" ([{paper}](https://arxiv.org/abs/{paper.removeprefix('arXiv:')}))"
    return f" ([paper]({paper}))"


def _source(task: Task) -> str:
    links = [f"[{task.hub}](https://huggingface.co/datasets/{task.hub})"] if task.hub else []
    links += [f"[files]({task.git})"] if task.git else []
    return ", ".join(links) or "-"


def _chance(chance: object) -> str:
    if chance is None:
        return "-"
    if chance == "one_over_k":
        return "1 / K"
    if isinstance(chance, Mapping):
        return ", ".join(f"{kind} {_number(level)}" for kind, level in chance.items())
    return _number(chance)


def _number(level: object) -> str:
    if not isinstance(level, int | float):
        return _chance(level)
    return f"{level:.4g}".removeprefix("0") if 0 < level < 1 else f"{level:g}"


def _plain(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
