"""Published tables as records: the figures as they are printed, for models that people ask about, with their source."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rmbench.evaluation.build_record import now
from rmbench.records.record import Counts, DataFacts, ModelRecord, Record, RunFacts, TaskRecord, ValueRecord
from rmbench.tasks.registry import get

__all__ = ["MODELS", "TABLES", "Table", "published"]

COMMAND = "python examples/make_results.py"

_SECTIONS = {
    "score": ("section_mean", None),
    "chat": ("section_mean", "section=Chat"),
    "chat_hard": ("section_mean", "section=Chat Hard"),
    "safety": ("section_mean", "section=Safety"),
    "reasoning": ("section_mean", "section=Reasoning"),
}
_RAG = {
    "overall": None,
    "helpful_avg": "side=Helpful",
    "harmless_avg": "side=Harmless",
    "helpful_general": "subset=helpful",
    "helpful_reason": "subset=reason",
    "helpful_citation": "subset=citation",
    "harmless_general": "subset=harmless",
    "harmless_abstain": "subset=abstain",
    "harmless_conflict": "subset=conflict",
}
_SUITES = {"AB": "AssistantBench", "VWA": "VisualWebArena", "WA": "WebArena", "Work": "WorkArena"}
_SUITES["Work++"] = "WorkArena++"
_HERE = Path(__file__).resolve().parent / "tables"
"""Tables that upstream has as a file of figures, with our names of its rows."""


@dataclass(frozen=True, slots=True)
class Table:
    """One printed table of percentages."""

    file: str
    key: str
    """The source's short name, which is the revision of its records."""
    where: str
    """Where it is printed."""
    task: str
    columns: Mapping[str, tuple[str, str | None]]
    """Column -> (metric, group)."""
    owner: str = ""
    """Stands before the names of its rows, which are judges' there; "": they are models, taken over by hub id."""


TABLES = (
    Table(
        "rewardbench1-2025-01-top12.csv",
        "rewardbench-2025-01",
        "RLHFlow/RLHF-Reward-Modeling@fc39179f5a9a: decision_tree/README.md",
        "reward-bench",
        _SECTIONS,
    ),
    Table(
        "rewardbench1-grm-readme.csv",
        "grm-readme",
        "YangRui2015/Generalizable-Reward-Model@3c31be2da0c6: README.md",
        "reward-bench",
        _SECTIONS,
    ),
    Table(
        "rewardbench2-paper-table3.csv",
        "rewardbench2-table3",
        "allenai/reward-bench@05a9005efb60: paper-v2.pdf, table 3 (arXiv:2506.01937)",
        "reward-bench-2",
        {
            "avg": ("subset_mean", None),
            "factuality": ("factuality", None),
            "precise_if": ("precise_if", None),
            "math": ("math", None),
            "safety": ("safety", None),
            "focus": ("focus", None),
            "ties": ("ties", None),
        },
    ),
    Table(
        "rm-bench-leaderboard.csv",
        "rm-bench-leaderboard",
        "THU-KEG/RM-Bench-Leaderboard@b0d159fb8f94: README.md",
        "rm-bench",
        {"overall": ("accuracy", None)}
        | {name: ("accuracy", f"domain={name}") for name in ("chat", "math", "code", "safety")}
        | {name: ("accuracy", f"level={name}") for name in ("easy", "normal", "hard")},
    ),
    Table(
        "skywork-v2-table2-judgebench.csv",
        "skywork-v2-table2",
        "SkyworkAI/Skywork-Reward-V2@4f380f4fb9c2: Skywork-Reward-V2.pdf, table 2 (arXiv:2507.01352); its average is "
        "the plain mean of the four sources, where the benchmark counts every row alike",
        "judgebench",
        {
            "avg": ("source_mean", None),
            "knowledge": ("two_order_accuracy", "source=mmlu-pro"),
            "reasoning": ("two_order_accuracy", "source=livebench-reasoning"),
            "math": ("two_order_accuracy", "source=livebench-math"),
            "coding": ("two_order_accuracy", "source=livecodebench"),
        },
    ),
    Table(
        "skywork-v2-table3-rmb-bon.csv",
        "skywork-v2-table3",
        "SkyworkAI/Skywork-Reward-V2@4f380f4fb9c2: Skywork-Reward-V2.pdf, table 3 (arXiv:2507.01352)",
        "rmb-bon",
        {
            "avg": ("goal_mean", None),
            "helpfulness_bon": ("goal_mean", "goal=Helpfulness"),
            "harmlessness_bon": ("goal_mean", "goal=Harmlessness"),
        },
    ),
    *(
        Table(
            "skywork-v2-table5-seven-benchmarks.csv",
            "skywork-v2-table5",
            "SkyworkAI/Skywork-Reward-V2@4f380f4fb9c2: Skywork-Reward-V2.pdf, table 5 (arXiv:2507.01352); its RMB is "
            "pairs and best of n in one figure, its JudgeBench the plain mean of the four sources",
            task,
            {column: (metric, None)},
        )
        for column, task, metric in (
            ("rewardbench", "reward-bench", "section_mean"),
            ("rewardbench2", "reward-bench-2", "subset_mean"),
            ("ppe_preference", "ppe-preference", "accuracy"),
            ("ppe_correctness", "ppe-correctness", "accuracy"),
            ("rmb", "rmb-pairwise", "rmb_mean"),
            ("rm_bench", "rm-bench", "accuracy"),
            ("judgebench", "judgebench", "source_mean"),
        )
    ),
    Table(
        "rag-rewardbench-table2.csv",
        "rag-rewardbench-table2",
        "arXiv:2412.13746, table 2",
        "rag-rewardbench",
        {column: ("accuracy", group) for column, group in _RAG.items()},
    ),
    Table(
        "agent-reward-bench.csv",
        "agent-reward-bench-results",
        "McGill-NLP/agent-reward-bench@ea58fb5b17cd: apps/results.csv, its judges called as in judge/utils.py "
        "(arXiv:2504.08942)",
        "agent-reward-bench",
        {"Overall": ("precision", None), "Recall": ("recall", None), "F1": ("f1", None)}
        | {column: ("precision", f"benchmark={name}") for column, name in _SUITES.items()},
        "AgentRewardBench",
    ),
    Table(
        "densedpo-segments.csv",
        "densedpo-table",
        "arXiv:2506.03517, the table of accuracies by model: on people's labels of 10,000 segments of a second and "
        "30,000 whole clips, which are not public and not the rows of this task",
        "densedpo-segments",
        {
            "segment": ("segment_accuracy", None),
            "whole": ("whole_accuracy", None),
            "majority": ("whole_by_segments", None),
        },
        "DenseDPO",
    ),
)

_OWNERS = {
    "Skywork": (
        "Skywork-Reward-Gemma-2-27B",
        "Skywork-Reward-Gemma-2-27B-v0.2",
        "Skywork-Reward-Llama-3.1-8B",
        "Skywork-Reward-Llama-3.1-8B-v0.2",
        "Skywork-Critic-Llama-3.1-70B",
        "Skywork-Reward-V2-Qwen3-0.6B",
        "Skywork-Reward-V2-Qwen3-1.7B",
        "Skywork-Reward-V2-Qwen3-4B",
        "Skywork-Reward-V2-Qwen3-8B",
        "Skywork-Reward-V2-Llama-3.2-1B",
        "Skywork-Reward-V2-Llama-3.2-3B",
        "Skywork-Reward-V2-Llama-3.1-8B",
        "Skywork-Reward-V2-Llama-3.1-8B-40M",
    ),
    "nicolinho": ("QRM-Gemma-2-27B", "QRM-Llama3.1-8B-v2", "QRM-Llama3.1-8B"),
    "weqweasdas": ("RM-Mistral-7B",),
    "CIR-AMS": ("BTRM_Qwen2_7b_0613",),
    "Nexusflow": ("Starling-RM-34B",),
    "ShikaiChen": ("LDL-Reward-Gemma-2-27B-v0.1",),
    "RLHFlow": (
        "Decision-Tree-Reward-Gemma-2-27B",
        "Decision-Tree-Reward-Llama-3.1-8B",
        "ArmoRM-Llama3-8B-v0.1",
        "pair-preference-model-LLaMA3-8B",
    ),
    "infly": ("INF-ORM-Llama3.1-70B",),
    "nvidia": ("Llama-3.1-Nemotron-70B-Reward", "Llama-3.1-Nemotron-70B-Reward-HF"),
    "LxzGordon": ("URM-LLaMa-3.1-8B",),
    "Ray2333": (
        "GRM_Llama3.1_8B_rewardmodel-ft",
        "GRM-Llama3-8B-rewardmodel-ft",
        "GRM-Llama3.2-3B-rewardmodel-ft",
        "GRM-gemma2-2B-rewardmodel-ft",
        "GRM-Gemma-2B-rewardmodel-ft",
        "GRM-llama3-8B-distill",
    ),
    "internlm": ("internlm2-20b-reward", "internlm2-7b-reward", "internlm2-1_8b-reward"),
    "NCSOFT": ("Llama-3-OffsetBias-RM-8B",),
    "sfairXC": ("FsfairX-LLaMA3-RM-v0.1",),
    "openbmb": ("Eurus-RM-7b",),
    "allenai": ("Llama-3.1-70B-Instruct-RM-RB2", "Llama-3.1-8B-Instruct-RM-RB2"),
    "facebook": ("Self-taught-evaluator-llama3.1-70B",),
}
MODELS = {name.casefold(): f"{owner}/{name}" for owner, names in _OWNERS.items() for name in names}
"""Model's name without its owner, in lower case -> hub id."""
_SPELT = {
    "fsfairx-lllama3-rm-v0.1": "fsfairx-llama3-rm-v0.1",
    "btrm qwen2 7b 0613": "btrm_qwen2_7b_0613",
    "internlm2-1 8b-reward": "internlm2-1_8b-reward",
    "llama-3.1-nemotron-70b": "llama-3.1-nemotron-70b-reward",
}
_SUSPECT = {("rag-rewardbench-table2", "LxzGordon/URM-LLaMa-3.1-8B")}
"""Rows whose printed averages do not follow from their own columns."""
_VERDICTS = ("skywork-critic", "self-taught", "pair-preference", "rm-r1", "agentrewardbench/", "gpt-o3")
"""Models that compare answers, or name a class, instead of giving each a reward."""
RM_R1 = ("RM-R1-DeepSeek-Distilled-Qwen-32B", "RM-R1-Qwen2.5-Instruct-32B")


def published(data: Path) -> Iterator[Record]:
    """The records of all tables, and of the figures that RM-R1's authors released."""
    folder = data / "published-results"
    for table in TABLES:
        with ((_HERE if table.owner else folder) / table.file).open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                model = f"{table.owner}/{row['model']}" if table.owner else hub_id(row["model"])
                values = {place: percent(row[column]) for column, place in table.columns.items() if row[column]}
                if model is not None and values and (table.key, model) not in _SUSPECT:
                    yield _record(table.task, model, table.key, table.where, values)
    yield from _rm_r1(folder / "rm-r1")


def hub_id(printed: str) -> str | None:
    """The hub id of a model as a table spells it; None for models that are not taken over."""
    name = printed.rpartition("/")[2].casefold()
    return MODELS.get(_SPELT.get(name, name))


def percent(text: str) -> float:
    """A printed percentage as a fraction, without the noise of the division."""
    return round(float(text) / 100, 6)


def _rm_r1(folder: Path) -> Iterator[Record]:
    """Two tasks of two models, as fractions in upstream's own result files."""
    for model in RM_R1:
        files = {"rm-bench": "RM-Bench/final_result.json", "reward-bench": "reward_bench/score_result/main_score.json"}
        names = {
            "rm-bench": {"total_avg_acc": ("accuracy", None)}
            | {name: ("accuracy", f"domain={name}") for name in ("chat", "math", "code", "safety")}
            | {f"{name}_acc": ("accuracy", f"level={name}") for name in ("easy", "normal", "hard")},
            "reward-bench": {"avg_Result_each_section": ("section_mean", None)}
            | {name: ("section_mean", f"section={name}") for name in ("Chat", "Chat Hard", "Safety", "Reasoning")},
        }
        for task, file in files.items():
            figures = json.loads((folder / model / file).read_text("utf-8"))
            where = "RM-R1-UIUC/RM-R1@d4c2542f0608: eval/result"
            yield _record(task, model, "rm-r1", where, {names[task][key]: figures[key] for key in names[task]})


def _record(task: str, model: str, key: str, where: str, values: Mapping[tuple[str, str | None], float]) -> Record:
    moment = now().isoformat(timespec="seconds")
    return Record(
        kind="published",
        task=TaskRecord.model_validate(get(task)),
        model=ModelRecord(
            name=model,
            revision=key,
            family="published",
            why="its figures are taken over from a table",
            answer_kind="verdict" if any(part in model.casefold() for part in _VERDICTS) else "reward",
            modalities=[get(task).modality],
            parameters=None,
            license=None,
            trained_on=[],
            flags=[],
            settings={},
            fingerprint="",
        ),
        data=DataFacts(
            source="published",
            hub=None,
            revision=None,
            digest="",
            files=[],
            missing=[],
            excluded=[],
            limit=None,
            rows=0,
        ),
        run=RunFacts(
            command=COMMAND,
            seed=0,
            started=moment,
            finished=moment,
            seconds=0.0,
            resumed=False,
            engine={},
            versions={},
            platform="",
            source_of_scores=where,
        ),
        counts=Counts(judged=0, failed=0, unparsed=0, truncated=0, ties=0),
        flags=["published"],
        results=[_value(metric, group, value) for (metric, group), value in values.items()],
        failed=[],
        judgments=None,
    )


def _value(metric: str, group: str | None, value: float) -> ValueRecord:
    """A figure alone: how many rows it stands on was not counted here."""
    return ValueRecord(
        metric=metric,
        group=group,
        value=value,
        low=None,
        high=None,
        n=0,
        comparisons=0,
        coverage=0.0,
        chance=None,
        flags=[],
        interval="",
    )
