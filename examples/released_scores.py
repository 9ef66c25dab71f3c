"""Scores and verdicts that benchmarks' authors released, as rows of a score file: figures alone, no text of theirs."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from rmbench.models.card import cards
from rmbench.tasks.registry import get
from rmbench.tasks.sources import load
from rmbench.types import Example

__all__ = ["RELEASES", "Release", "released"]

Row = dict[str, Any]

LLMBAR = ("GPT-4/Metrics_Reference", "GPT-4/Vanilla_NoRules", "PaLM2/Metrics_Reference", "ChatGPT/Vanilla_NoRules")
MJ_BENCH = {
    "hps_v2.1": "xswu/HPSv2",
    "pickscore_v1": "yuvalkirstain/PickScore_v1",
    "ImageReward": "THUDM/ImageReward",
    "blipscore": "Salesforce/blip-itm-base-coco",
    "clipscore_v2": "laion/CLIP-ViT-H-14-laion2B-s32B-b79K",
    "aesthetics": "MJ-Bench/aesthetics",
}
T2V = {
    "CLIP Score": "CLIPScore",
    "X-CLIP Score": "X-CLIPScore",
    "BLIP-BLEU": "BLIP-BLEU",
    "T2VScore-A (GPT-4V)": "T2VScore-A",
}
TIFA = ("tifa_mplug-large", "tifa_ofa-large", "tifa_blip2-flant5xl", "tifa_git-large", "tifa_vilt", "clipscore_vitb32")
FETV = ("CLIPScore", "CLIPScore-ft", "BLIPScore", "Otter-VQA", "UMTScore")
GENAI = {
    "genai-bench-image": "image_generation",
    "genai-bench-edition": "image_edition",
    "genai-bench-video": "video_generation",
}
GENAI_LABELS = ("[[A>B]]", "[[B>A]]", "[[A>>B]]", "[[B>>A]]", "[[A=B=Good]]", "[[A=B=Bad]]", "[[A=B]]")
GENERATIVE = ("CE-RM", "LMUnit", "R3-", "Qwen3-Nemotron-32B-GenRM")
"""Of Themis's models those that write an answer, out of which a score is read."""
THEMIS = {f"SkyworkV2-Qwen-{size}": f"Skywork/Skywork-Reward-V2-Qwen3-{size}" for size in ("0.6B", "1.7B", "4B", "8B")}
THEMIS["internlm2-1_8-b-reward"] = "internlm/internlm2-1_8b-reward"
"""Names of Themis's -> hub ids, where they are not the repository's own name."""
SHOWN = {0: "A>B", 1: "B>A", 2: "A=B"}
"""Auto-J's verdicts, which name places in the order shown."""


@dataclass(frozen=True, slots=True)
class Release:
    """What one model is reported to have answered on one task."""

    model: str
    """The model's hub id where it is known, else `<release>/<the release's own name for it>`."""
    task: str
    source: str
    """Repository@commit: file."""
    rows: tuple[Row, ...]
    """`{id, scores | verdicts | decisions}`."""
    lacks: int = 0
    """Rows of the task that the release has no score for; they fail."""


def released(data: Path) -> Iterator[Release]:
    """Every release that is read here, from upstream's own files under `data`."""
    for read in RELEASES:
        yield from read(data)


def judgebench(data: Path) -> Iterator[Release]:
    at = "ScalerLab/JudgeBench@e2c52c284e735e139b3daa61c206ee208f36c461"
    for path in sorted((data / "judgebench" / "scores").glob("*.jsonl")):
        judge, _, name = path.stem.partition("__")
        rows = [{key: value for key, value in row.items() if key != "task"} for row in _lines(path)]
        claude = len(rows) == get("judgebench-claude").n
        answers = "claude-3-5-sonnet-20240620" if claude else "gpt-4o-2024-05-13"
        file = f"outputs/dataset=judgebench,response_model={answers},judge_name={judge},judge_model={name}.jsonl"
        model = name.replace("_", "/", 1) if judge == "reward_model" else f"JudgeBench/{judge}-{name}"
        yield Release(model, "judgebench-claude" if claude else "judgebench", f"{at}: {file}", tuple(rows))


def llmbar(data: Path) -> Iterator[Release]:
    at = "princeton-nlp/LLMBar@900616bff90b6c6c8e1681f7d079250637c55992"
    found: dict[str, list[Row]] = {name: [] for name in LLMBAR}
    for line in _lines(data / "llmbar" / "verdicts.jsonl"):
        subset = line["subset"].rpartition("/")[2]
        pairs = zip(line["swap_false"], line["swap_true"], strict=True)
        if line["evaluator"] in found:
            found[line["evaluator"]] += [
                {"id": f"{subset}/{k}", "verdicts": list(pair)} for k, pair in enumerate(pairs)
            ]
    for name, rows in found.items():
        file = f"Dataset/LLMBar/*/evaluators/{name}/result.json"
        yield Release(f"LLMBar/{name.replace('/', '-')}", "llmbar", f"{at}: {file}", tuple(rows))


def unieval(data: Path) -> Iterator[Release]:
    at, file = (
        "maszhongming/UniEval@d33e7b6cfebe97b2bafe435adbd818230d5a416a",
        "reproduce/unieval_predict/dialogue/topical_chat_result.json",
    )
    rows = [
        {"id": f"topical_chat/{k}", "scores": {name: [score] for name, score in row["predict_scores"].items()}}
        for k, row in enumerate(_json(data / "unieval" / file))
    ]
    yield Release("MingZhong/unieval-dialog", "unieval-topical-chat", f"{at}: {file}", tuple(rows))


def autoj(data: Path) -> Iterator[Release]:
    at = "GAIR-NLP/auto-j@2ae17a3965d933232e9cd50302aa0f176249c83b"
    files = [f"data/outputs/pairwise_{order}example_output.jsonl" for order in ("", "exchange_")]
    orders = zip(*(_lines(data / "autoj" / file) for file in files), strict=True)
    rows = [
        {"id": str(k), "verdicts": [SHOWN[first["output"]], SHOWN[second["output"]]]}
        for k, (first, second) in enumerate(orders)
    ]
    yield Release("GAIR/autoj-13b", "autoj", f"{at}: {', '.join(files)}", tuple(rows))


def pandalm(data: Path) -> Iterator[Release]:
    at = "WeOpenML/PandaLM@3871806e72b4832f815ecafd24d3503c73403f48"
    values = {"1": 0, "2": 1, "0": "tie", "Tie": "tie"}
    for name, key, model in (
        ("pandalm-7b", "pandalm_result", "WeOpenML/PandaLM-7B"),
        ("gpt-3.5-turbo", "gpt_result", "PandaLM/gpt-3.5-turbo"),
    ):
        file = f"data/{name}-testset-v1.json"
        rows = [
            {"id": str(row["idx"]), "verdicts": [{"shown": [0, 1], "value": values.get(str(row[key]))}]}
            for row in _json(data / "pandalm" / file)
        ]
        yield Release(model, "pandalm", f"{at}: {file}", tuple(rows))


def ragchecker(data: Path) -> Iterator[Release]:
    at = "amazon-science/RAGChecker@6091f08c00e676e87a970f2aeb4a23a484746348"
    file = "data/meta_evaluation/baseline_ragchecker.json"
    rows = []
    for row in _json(data / "ragchecker" / file):
        both = [row[side]["ragchecker"] for side in ("model1", "model2")]
        names = ("correctness", "completeness", "overall")
        scores = {name: [each[f"{name}_label"] for each in both] for name in names}
        rows.append({"id": str(row["instance_id"]), "scores": scores})
    yield Release("amazon-science/RAGChecker", "ragchecker", f"{at}: {file}", tuple(rows))


def mj_bench(data: Path) -> Iterator[Release]:
    at = "MJ-Bench/MJ-Bench@eb269adaff40460bed054963c504772317ad4955"
    wanted = {example.id for example in load(get("mj-bench-quality"), data).examples}
    subsets = {"human": "human", "mpii": "mpii", "object_indoor": "objects_indoor", "blur": "blur"}
    for scorer, model in MJ_BENCH.items():
        folder = f"personal/result/{scorer}"
        rows = [
            {"id": f"{subset}/{k}", "scores": [row["score_0"], row["score_1"]]}
            for file, subset in subsets.items()
            for k, row in enumerate(_json(data / "mj-bench" / folder / f"{file}0.0.json"))
        ]
        there = tuple(row for row in rows if row["id"] in wanted)
        yield Release(model, "mj-bench-quality", f"{at}: {folder}/*.json", there)


def tifa(data: Path) -> Iterator[Release]:
    at, file = (
        "Yushi-Hu/tifa@8e37050f44ab4ee681e4251f3c8a9d4cc86e901e",
        "human_annotations/human_annotations_with_scores.json",
    )
    released_rows = _json(data / "tifa" / file)
    for name in TIFA:
        rows = tuple({"id": key, "scores": [row[name]]} for key, row in released_rows.items())
        yield Release(f"TIFA/{name}", "tifa", f"{at}: {file}", rows)


def fetv(data: Path) -> Iterator[Release]:
    at = "llyx97/FETV-EVAL@1385218bc92899e85aae0941888d8ddcf94bd65d"
    examples = load(get("fetv"), data).examples
    files = {"damo-text2video": "modelscope-t2v"}  # ratings and scores call this generator by two names
    for name in FETV:
        folder = f"auto_eval_results/{name}"
        sources = {candidate.source for example in examples for candidate in example.candidates}
        said = {
            source: _json(data / "fetv" / folder / f"auto_eval_results_{files.get(source, source)}.json")
            for source in sources
        }
        rows = _per_source(examples, {(id_, source): score for source in said for id_, score in said[source].items()})
        yield Release(f"FETV/{name}", "fetv", f"{at}: {folder}/*.json", rows)


def t2vscore(data: Path) -> Iterator[Release]:
    at, name = "linzhiqiu/t2v_metrics@6ecb74f92028f42c7e64546d3a71e98c8c73068f", "datasets/t2vscore_results.csv"
    examples = load(get("t2vscore"), data).examples
    with (data / "t2vscore" / name).open(encoding="utf-8", newline="") as file:
        table = {(row["video_id"], row["model_name"]): row for row in csv.DictReader(file)}
    for column, short in T2V.items():
        rows = _per_source(examples, {key: float(row[column]) for key, row in table.items()})
        yield Release(f"T2VScore/{short}", "t2vscore", f"{at}: {name}, column {column}", rows)


def genai_bench(data: Path) -> Iterator[Release]:
    at = "TIGER-AI-Lab/GenAI-Bench@f0b0334d414074c6b1c97e2c60ad8d8a592bda9f"
    for judge in ("gpt4o", "gemini-1.5-pro", "llava"):
        for task, folder in GENAI.items():
            file = f"results/{folder}/{judge}/pairwise"
            rows = tuple(
                {"id": str(row["idx"]), "verdicts": [_label(row["response"])]}
                for row in _lines(data / "genai-bench" / f"{file}.jsonl")
            )
            yield Release(f"GenAI-Bench/{judge}", task, f"{at}: {file}.json", rows)


def code_rewardbench(data: Path) -> Iterator[Release]:
    """Upstream's own files where its repository is there, else one table of all 51 made from them."""
    at, folder = "iNeil77/Themis@ddd7934826a2cae320e45955d401c65176df8cb6", "Evaluation/Evaluation_Runs"
    root = data / "code-rewardbench"
    for name, scores in _themis_scores(root / folder, root / "scores.parquet"):
        rows = tuple(
            # The score of an answer that upstream could not read is NaN there, and the row is wrong.
            {"id": id_, "status": "unparsed"}
            if generative and math.isnan(chosen + rejected)
            else {"id": id_, "scores": [chosen, rejected]}
            for generative in [name.startswith(GENERATIVE)]
            for id_, chosen, rejected in scores
        )
        lacks = sum("scores" in row and math.isnan(sum(row["scores"])) for row in rows)
        yield Release(_hub_id(name), "code-rewardbench", f"{at}: {folder}/{name}/scores.parquet", rows, lacks)


def _themis_scores(runs: Path, table: Path) -> Iterator[tuple[str, Iterable[tuple[str, float, float]]]]:
    """(upstream's name of the model, its (id, chosen, rejected)), by name."""
    if runs.is_dir():
        for path in sorted(runs.glob("*/scores.parquet")):
            one = pd.read_parquet(path).reset_index()
            yield path.parent.name, zip(one["id"], one["chosen_score"], one["rejected_score"], strict=True)
    elif table.is_file():
        all_ = pd.read_parquet(table)
        for name in sorted(column.removesuffix("|chosen") for column in all_.columns if column.endswith("|chosen")):
            yield name, zip(all_["id"], all_[f"{name}|chosen"], all_[f"{name}|rejected"], strict=True)


def _hub_id(name: str) -> str:
    """The id of the card whose repository has the name that Themis calls a model by."""
    by_name = {card.hub.rpartition("/")[2].lower(): card.hub for card in cards().values() if card.hub}
    return THEMIS.get(name) or by_name.get(name.lower()) or f"Themis/{name}"


RELEASES: tuple[Callable[[Path], Iterator[Release]], ...] = (
    judgebench,
    llmbar,
    unieval,
    autoj,
    pandalm,
    ragchecker,
    mj_bench,
    tifa,
    fetv,
    t2vscore,
    genai_bench,
    code_rewardbench,
)


def _per_source(examples: Iterable[Example], scores: Mapping[tuple[str, str], float]) -> tuple[Row, ...]:
    """A row per prompt with a score per generator, in the order of the task's candidates, from (prompt, generator)."""
    return tuple(
        {"id": example.id, "scores": [scores[example.id, candidate.source] for candidate in example.candidates]}
        for example in examples
    )


def _label(response: str) -> Mapping[str, Any]:
    """A judge's verdict; what is none of the benchmark's labels could not be read."""
    value = response.removeprefix("[[").removesuffix("]]") if response in GENAI_LABELS else None
    return {"shown": [0, 1], "kind": "label", "value": value}


def _json(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def _lines(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8", newline="\n") as file:
        yield from map(json.loads, file)
