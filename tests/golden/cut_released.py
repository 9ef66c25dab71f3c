"""Cut the bundled files of tests/golden/released out of upstream's: python tests/golden/cut_released.py FOLDER

FOLDER is what RMBENCH_DATA names. Labels, ratings, scores and verdicts stay as they were released, all rows of a file
unless its line below says otherwise; texts of people and models go, or are replaced by a placeholder where a task's
schema needs some.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

RELEASED = Path(__file__).resolve().parent / "released"
Row = Mapping[str, Any]
Cut = Callable[[list[Any]], Iterable[Row]]


def columns(*names: str) -> Cut:
    return lambda rows: ({name: row[name] for name in names if name in row} for row in rows)


def placeholders(*texts: str, keep: Iterable[str]) -> Cut:
    """Every text becomes its column's name and the number of its row."""
    return lambda rows: (
        {name: f"{name} {k}" for name in texts} | {name: row[name] for name in keep} for k, row in enumerate(rows)
    )


def tokens(text: str) -> set[str]:
    return set(re.findall("[a-z0-9]+", text.lower()))


def overlap(rows: list[Any]) -> Iterable[Row]:
    """The share of the claim's tokens that the references hold; two of the three sources."""
    for row in rows:
        if row["src_dataset"] in ("BEGIN", "AttrScore-GenSearch"):
            claim = tokens(row["claim"])
            share = len(claim & tokens("\n\n\n".join(row["references"]))) / len(claim)
            yield {name: row[name] for name in ("attribution_label", "src_dataset")} | {"overlap": share}


def chats(rows: list[Any]) -> Iterable[Row]:
    """UniEval's predictions; contexts are numbered in the order of their first row."""
    numbers: dict[tuple[str, str], int] = {}
    for row in rows:
        number = numbers.setdefault((row["source"], row["context"]), len(numbers))
        yield {"source": f"source {number}", "context": "", "scores": row["scores"]} | {
            "predict_scores": row["predict_scores"]
        }


EVALUATORS = ("GPT-4/Metrics_Reference", "GPT-4/Vanilla_NoRules", "PaLM2/Metrics_Reference", "ChatGPT/Vanilla_NoRules")
LABEL = columns("label")
SCORED = columns("score_0", "score_1", "label")
CUTS: dict[str, Cut] = {
    "attributionbench/data/test_ood_all_subset_balanced.jsonl": overlap,
    "genai-bench/results/video_generation/gpt4o/pairwise.jsonl": columns("model_vote", "human_vote"),
    "imagereward/data/test.json": columns("id", "ranking"),
    "judgebench/data/dataset=judgebench,response_model=gpt-4o-2024-05-13.jsonl": placeholders(
        "question", "response_A", "response_B", keep=("pair_id", "source", "response_model", "label")
    ),
    "judgebench/scores/arena_hard__o1-mini-2024-09-12.jsonl": columns("id", "decisions"),
    "judgebench/scores/reward_model__Skywork_Skywork-Reward-Llama-3.1-8B.jsonl": columns("id", "scores", "decisions"),
    "llmbar/Dataset/LLMBar/Natural/dataset.json": LABEL,
    "llmbar/Dataset/LLMBar/Adversarial/Neighbor/dataset.json": LABEL,
    "llmbar/Dataset/LLMBar/Adversarial/GPTInst/dataset.json": LABEL,
    "llmbar/Dataset/LLMBar/Adversarial/GPTOut/dataset.json": LABEL,
    "llmbar/Dataset/LLMBar/Adversarial/Manual/dataset.json": LABEL,
    "llmbar/verdicts.jsonl": lambda rows: (row for row in rows if row["evaluator"] in EVALUATORS),
    "mj-bench/personal/result/hps_v2.1/blur0.0.json": SCORED,
    "mj-bench/personal/result/hps_v2.1/human0.0.json": SCORED,
    "mj-bench/personal/result/hps_v2.1/mpii0.0.json": SCORED,
    "mj-bench/personal/result/hps_v2.1/object_indoor0.0.json": SCORED,
    "mj-bench/reward_models/result/validation_pickscore_eval_0.00.json": columns("prob_0", "prob_1", "label"),
    "pandalm/data/pandalm-7b-testset-v1.json": columns("idx", "pandalm_result"),
    "pandalm/data/testset-v1.json": columns("idx", "annotator1", "annotator2", "annotator3"),
    "reward-bench/math-prm-scores/ArmoRM.jsonl": columns("id", "scores"),
    "rewardmath/scores/ArmoRM.jsonl": columns("id", "scores"),
    "rewardmath/scores/gpt4_pairwise.jsonl": columns("id", "verdicts", "chosen_position"),
    "tifa/human_annotations/human_annotations_with_scores.json": columns("text_id", "human_avg", "tifa_mplug-large"),
    "unieval/reproduce/unieval_predict/dialogue/topical_chat_result.json": chats,
}


def packed(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def cut(folder: Path, name: str) -> str:
    """The bundled file's text: upstream's path and format, one row a line."""
    text, chosen = (folder / name).read_text("utf-8"), CUTS[name]
    if name.endswith(".jsonl"):
        return "".join(packed(row) + "\n" for row in chosen([json.loads(line) for line in text.split("\n") if line]))
    table = json.loads(text)
    if isinstance(table, dict):
        rows = [f"{packed(key)}:{packed(row)}" for key, row in zip(table, chosen(list(table.values())), strict=True)]
        return "{" + ",\n".join(rows) + "}\n"
    return "[" + ",\n".join(map(packed, chosen(table))) + "]\n"


if __name__ == "__main__":
    for name in CUTS:
        path = RELEASED / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(cut(Path(sys.argv[1]), name), "utf-8")
