"""results/: real models, figures alone, every digest holding, every source named, and remade from upstream's files."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from rmbench.boards import tabulate
from rmbench.metrics.measure import measure
from rmbench.records.headline import headline, headline_spec
from rmbench.records.record import Record
from rmbench.records.store import find, folder_of, read, read_rows, read_table_of, verify
from rmbench.tasks.registry import get
from rmbench.types import Judged
from tests._make import write_sealed

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "results"
FOLDERS = find(RESULTS)


@cache
def records() -> dict[Path, Record]:
    return {folder: read(folder) for folder in FOLDERS}


def of_kind(kind: str) -> dict[Path, Record]:
    return {folder: record for folder, record in records().items() if record.kind == kind}


@pytest.fixture(scope="module")
def maker() -> Iterator[ModuleType]:
    sys.path.insert(0, str(ROOT / "examples"))
    yield import_module("make_results")
    sys.path.remove(str(ROOT / "examples"))


def test_every_digest_holds_and_no_text_of_anybody_is_in_it() -> None:
    for folder, record in of_kind("measured").items():
        rows = [row for row, _ in read_table_of(folder, record)]
        assert max(len(text) for row in rows for text in texts(row)) <= 64, folder
    assert [line for folder in of_kind("published") for line in verify(folder)] == []


def test_the_folder_is_small_and_holds_records_alone() -> None:
    files = [path for path in RESULTS.rglob("*") if path.is_file()]
    assert {path.name for path in files} == {"record.json", "judgments.parquet", "README.md"}
    assert max(path.stat().st_size for path in files) < 400_000
    assert sum(path.stat().st_size for path in files) < 26_000_000
    assert all(folder == folder_of(RESULTS, record) for folder, record in records().items())


def test_every_record_names_its_source() -> None:
    measured, published = of_kind("measured"), of_kind("published")
    assert len(measured) >= 40
    assert len(published) >= 60
    own = [record for record in measured.values() if "released" not in record.flags]
    assert len(own) >= 7
    for record in own:  # run by this project, on the files of examples/make_real_models.py
        assert record.model.check is not None
        assert record.model.check.passed
        assert record.run.source_of_scores is None
        assert re.match(r"rmbench run --model (\.real/\S+|baseline:\S+) ", record.run.command)
        assert not record.failed
        trained = record.model.name.startswith("smollm2-rm-")
        assert record.model.trained_on == (["hh-harmless"] if trained else [])
    assert {record.model.name for record in own} >= {"smollm2-rm-full", "smollm2-rm-lora"}
    for record in measured.values():
        if record in own:
            continue
        assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}: \S.+", record.run.source_of_scores or "")
    # Upstream's file of this model lacks four rows.
    failed = {(one.model.name, one.task.id): len(one.failed) for one in measured.values() if one.failed}
    assert failed == {("internlm/internlm2-20b-reward", "code-rewardbench"): 4}
    for record in published.values():
        assert record.flags == ["published"]
        assert re.match(r"[\w.-]+/[\w.-]+@[0-9a-f]{12}: \S|arXiv:\d{4}\.\d{5}, ", record.run.source_of_scores or "")


def test_records_are_of_todays_tasks() -> None:
    for folder, record in records().items():
        task = get(record.task.id)
        assert record.task.version == task.version, folder
        spec = replace(headline_spec(record), parts=())  # filled from the record's other metrics
        assert json.loads(json.dumps(asdict(spec))) == json.loads(json.dumps(asdict(task.metrics[0]))), (
            f"{folder}: run python examples/make_results.py"
        )


def texts(row: Judged) -> Iterator[str]:
    yield from (row.id, row.cluster, row.rater, row.judgment.error, *row.groups, *row.groups.values())
    yield from (verdict.value for verdict in row.judgment.verdicts if isinstance(verdict.value, str))
    yield from (word for edge in row.gold.relation for word in (edge.dimension, edge.annotator, *edge.tags))


def one_per_task() -> list[Path]:
    return list({record.task.id: folder for folder, record in of_kind("measured").items()}.values())


@pytest.mark.parametrize("folder", one_per_task(), ids=lambda folder: folder.name)
def test_values_follow_from_the_rows(folder: Path) -> None:
    record = read(folder)
    found = measure(read_rows(folder), [headline_spec(record)], answer_kind=record.model.answer_kind, resamples=2)
    value = next(one.value for one in found if one.group is None)
    assert value == pytest.approx(headline(record).value, abs=1e-12)


PRINTED = {
    ("Skywork/Skywork-Reward-Llama-3.1-8B", "judgebench"): 0.622857,
    ("Ray2333/GRM-Gemma-2B-rewardmodel-ft", "judgebench"): 0.594286,
    ("JudgeBench/arena_hard-o1-mini-2024-09-12", "judgebench"): 0.657143,
    ("JudgeBench/arena_hard-claude-3-haiku-20240307", "judgebench-claude"): 0.322222,
    ("LLMBar/GPT-4-Metrics_Reference", "llmbar"): 0.8543,
    ("LLMBar/GPT-4-Vanilla_NoRules", "llmbar"): 0.7718,
    ("LLMBar/PaLM2-Metrics_Reference", "llmbar"): 0.7293,
    ("LLMBar/ChatGPT-Vanilla_NoRules", "llmbar"): 0.4137,
    ("MingZhong/unieval-dialog", "unieval-topical-chat"): 0.487272,
    ("GAIR/autoj-13b", "autoj"): 765 / 1392,
    ("WeOpenML/PandaLM-7B", "pandalm"): 667 / 999,
    ("PandaLM/gpt-3.5-turbo", "pandalm"): 697 / 999,
    ("amazon-science/RAGChecker", "ragchecker"): 0.6193,
    ("FETV/UMTScore", "fetv"): 0.3095,
    ("FETV/CLIPScore", "fetv"): 0.1770,
    ("T2VScore/CLIPScore", "t2vscore"): 0.343,
    ("T2VScore/X-CLIPScore", "t2vscore"): 0.257,
    ("GenAI-Bench/gpt4o", "genai-bench-image"): 791 / 1735,
    ("GenAI-Bench/gemini-1.5-pro", "genai-bench-edition"): 514 / 919,
    ("GenAI-Bench/llava", "genai-bench-video"): 325 / 1069,
    ("xswu/HPSv2", "mj-bench-quality"): (98 + 165 + 98) / 420,
    ("Salesforce/blip-itm-base-coco", "mj-bench-quality"): (29 + 71 + 22) / 420,
}
"""What their authors print, or what was counted in the released files by hand."""


def test_headlines_are_the_known_ones() -> None:
    found = {(one.model.name, one.task.id): headline(one).value for one in of_kind("measured").values()}
    assert {key: found.get(key) for key in PRINTED} == pytest.approx(PRINTED, abs=5e-4)


def test_boards_show_real_models() -> None:
    table = tabulate("text", RESULTS)
    assert len(table.rows) >= 8
    assert table.refused == ()
    assert len(table.published.rows) >= 20
    measured = {cell.folder for row in table.rows for cell in row.cells if cell is not None}
    assert measured <= set(of_kind("measured"))


def test_the_readmes_folders_are_there() -> None:
    named = re.findall(r"rmbench show (results/\S+)", (RESULTS / "README.md").read_text("utf-8"))
    assert named
    assert all((ROOT / name).is_dir() for name in named)


def bytes_of(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_placing_again_changes_nothing_and_takes_away_what_is_not_made(maker: ModuleType, tmp_path: Path) -> None:
    chosen: Sequence[Path] = FOLDERS[:3]
    fresh, out = tmp_path / "fresh", tmp_path / "out"
    for folder in chosen:
        shutil.copytree(folder, fresh / folder.relative_to(RESULTS))
    assert maker.place(fresh, out) == (3, 0)
    before = bytes_of(out)
    later = fresh / chosen[0].relative_to(RESULTS) / "record.json"
    data = json.loads(later.read_text("utf-8"))
    data["run"]["finished"] = "2099-01-01T00:00:00+00:00"
    write_sealed(later, data)
    assert maker.place(fresh, out) == (0, 3)
    assert bytes_of(out) == before
    shutil.rmtree(fresh / chosen[2].relative_to(RESULTS).parent)
    maker.place(fresh, out)
    assert chosen[2].relative_to(RESULTS).parts[0] not in {path.name for path in out.iterdir()}


def said(record: Record) -> dict[str, object]:
    """What a record says of its model and rows; times, versions and the wording of the declaration left out."""
    plain = record.model_dump(include={"kind", "model", "data", "counts", "flags", "results", "failed"})
    task, run = record.task, record.run
    # The last bits of a float are the processor's.
    results = [
        {name: round(one, 12) if isinstance(one, float) else one for name, one in value.items()}
        for value in plain["results"]
    ]
    return plain | {
        "results": results,
        "task": (task.id, task.version, task.n, headline_spec(record)),
        "run": (run.command, run.seed, run.source_of_scores),
    }


def test_one_record_is_made_again_from_upstreams_files(data: Path, maker: ModuleType, tmp_path: Path) -> None:
    releases = list(import_module("released_scores").judgebench(data))
    chosen = [one for one in releases if one.task == "judgebench-claude"]
    (made,) = maker.measure(chosen, data, tmp_path)
    folder = folder_of(RESULTS, made)
    assert said(made) == said(read(folder))
    assert read_rows(folder_of(tmp_path, made)) == read_rows(folder)


def test_published_figures_are_made_again_from_the_tables(data: Path, maker: ModuleType) -> None:
    fresh = {folder_of(RESULTS, record): said(record) for record in maker.published(data)}
    assert fresh == {folder: said(record) for folder, record in of_kind("published").items()}


@pytest.mark.parametrize(
    ("printed", "hub"),
    [
        ("Skywork/Skywork-Reward-Gemma-2-27B", "Skywork/Skywork-Reward-Gemma-2-27B"),
        ("URM-LLama-3.1-8B", "LxzGordon/URM-LLaMa-3.1-8B"),
        ("FsfairX-LLLaMA3-RM-v0.1", "sfairXC/FsfairX-LLaMA3-RM-v0.1"),
        ("DeepSeek R1", None),
    ],
)
def test_names_of_tables_are_hub_ids(maker: ModuleType, printed: str, hub: str | None) -> None:
    assert import_module("published_tables").hub_id(printed) == hub


def test_printed_percentages_are_fractions(maker: ModuleType) -> None:
    percent = import_module("published_tables").percent
    assert [percent(text) for text in ("80.0", "97.6", "90.6843734")] == [0.8, 0.976, 0.906844]
