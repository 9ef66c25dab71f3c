"""Records in the formats of others: each file passes the format's own library or schema, and holds the record's numbers
to the last digit."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

import rmbench
from rmbench.errors import RmbenchError
from rmbench.exchange import export
from rmbench.exchange.formats import FORMATS
from rmbench.exchange.formats.written import Stored
from rmbench.records.record import Record
from rmbench.records.store import read, read_rows, write
from tests._make import margins, put_record, read_lines, write_sealed

TEXT = {"type": "string"}
TEXTS = {"type": "object", "additionalProperties": TEXT}
BOUND = {"oneOf": [{"type": "number"}, {"enum": ["Infinity", "-Infinity"]}]}


def closed(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    fields = required | (optional or {})
    return {"type": "object", "required": [*required], "properties": fields, "additionalProperties": False}


# The fields that are filled, by the facts of Every Eval Ever's eval.schema.json 0.3.0. The project's own validator
# needs Python 3.12 and an environment of its own: RMBENCH_EEE names its interpreter, see `test_the_own_validator`.
EVERY_EVAL_EVER = closed(
    {
        "schema_version": {"const": "0.3.0"},
        "evaluation_id": TEXT,
        "retrieved_timestamp": {"type": "string", "pattern": "^[0-9]+$"},
        "source_metadata": closed(
            {
                "source_type": {"enum": ["documentation", "evaluation_run"]},
                "source_organization_name": TEXT,
                "evaluator_relationship": {"enum": ["first_party", "third_party", "collaborative", "other"]},
            },
            {"source_name": TEXT, "additional_details": TEXTS},
        ),
        "eval_library": closed({"name": TEXT, "version": TEXT}),
        "model_info": closed(
            {
                "name": TEXT,
                "id": {"type": "string", "pattern": "^[^/]+/[^/]+$"},
                "additional_details": {
                    **TEXTS,
                    "required": ["deployment_type", "model_availability"],
                    "properties": {
                        "deployment_type": {"enum": ["self_deployed", "externally_managed", "unknown"]},
                        "model_availability": {"enum": ["open_weights", "closed_weights", "unknown"]},
                    },
                },
            },
            {"developer": TEXT, "inference_engine": closed({"name": TEXT, "version": TEXT})},
        ),
        "evaluation_results": {
            "type": "array",
            "minItems": 1,
            "items": closed(
                {
                    "evaluation_name": TEXT,
                    "source_data": {
                        "oneOf": [
                            closed(
                                {"source_type": {"const": "hf_dataset"}, "dataset_name": TEXT},
                                {"hf_repo": TEXT, "samples_number": {"type": "integer"}, "additional_details": TEXTS},
                            ),
                            closed(
                                {"source_type": {"const": "other"}, "dataset_name": TEXT}, {"additional_details": TEXTS}
                            ),
                        ]
                    },
                    "metric_config": closed(
                        {
                            "lower_is_better": {"type": "boolean"},
                            "score_type": {"const": "continuous"},
                            "min_score": BOUND,
                            "max_score": BOUND,
                        },
                        {"metric_id": TEXT, "metric_name": TEXT, "metric_kind": TEXT},
                    ),
                    "score_details": closed(
                        {"score": {"type": "number"}},
                        {
                            "details": TEXTS,
                            "uncertainty": closed(
                                {"num_samples": {"type": "integer"}},
                                {
                                    "confidence_interval": closed(
                                        {
                                            "lower": {"type": "number"},
                                            "upper": {"type": "number"},
                                            "confidence_level": {"const": 0.95},
                                            "method": TEXT,
                                        }
                                    )
                                },
                            ),
                        },
                    ),
                },
                {
                    "evaluation_result_id": TEXT,
                    "generation_config": closed({"generation_args": closed({"execution_command": TEXT})}),
                },
            ),
        },
    },
    {
        "evaluation_timestamp": TEXT,
        "detailed_evaluation_results": closed(
            {
                "format": {"const": "jsonl"},
                "file_path": TEXT,
                "hash_algorithm": {"const": "sha256"},
                "checksum": TEXT,
                "total_rows": {"type": "integer"},
            }
        ),
    },
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, a baseline and a double on samples of six benchmarks."""
    folder = tmp_path_factory.mktemp("runs")
    tasks = ["reward-bench", "reward-bench-2", "judgebench", "unieval-topical-chat", "genai-bench-image", "fetv"]
    for model in ("tiny-bt", "fake:coin", "baseline:length"):
        rmbench.run(model=model, tasks=tasks, source="sample", out=folder)
    return folder


def records(folder: Path) -> dict[Path, Record]:
    return {place: read(place) for place in rmbench.find_records(folder)}


def numbers(record: Record) -> list[float]:
    return sorted(value.value for value in record.results if value.value is not None)


def test_every_eval_ever(runs: Path, tmp_path: Path) -> None:
    exported = export(runs, "every-eval-ever", tmp_path)
    found = {json.loads(file.read_text())["evaluation_id"]: file for file in exported.files}
    assert len(found) == len(records(runs))
    jsonschema.Draft7Validator.check_schema(EVERY_EVAL_EVER)
    for record in records(runs).values():
        (file,) = (
            file
            for id_, file in found.items()
            if id_.split("/")[0] == record.task.id and f'"name": "{record.model.name}"' in file.read_text()
        )
        log = json.loads(file.read_text())
        jsonschema.validate(log, EVERY_EVAL_EVER)
        assert sorted(each["score_details"]["score"] for each in log["evaluation_results"]) == numbers(record)
        data, task, *model, _ = file.relative_to(tmp_path).parts
        assert (data, task, "/".join(model)) == ("data", record.task.id, log["model_info"]["id"])
        assert len({each["evaluation_result_id"] for each in log["evaluation_results"]}) == len(numbers(record))
        for each in log["evaluation_results"]:
            low, high = (float(each["metric_config"][end]) for end in ("min_score", "max_score"))
            assert low <= each["score_details"]["score"] <= high, each
    assert any("--samples" in note for note in exported.notes)


@pytest.mark.parametrize("to", FORMATS)
def test_an_export_over_another_leaves_what_it_says_and_nothing_else(to: str, runs: Path, tmp_path: Path) -> None:
    """What an earlier export of the same records wrote, with their rows where the format has them, is replaced."""
    own = tmp_path / "own.txt"
    own.write_text("a file of the user's")
    for samples in (to == "every-eval-ever", False):
        exported = export(runs, to, tmp_path, samples=samples)
        assert {file for file in tmp_path.rglob("*") if file.is_file()} == {own, *exported.files}
    texts = [file.read_text() for file in exported.files]
    assert not any("_samples.jsonl" in text for text in texts)


def samples_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_rows_of_every_eval_ever(runs: Path, tmp_path: Path) -> None:
    """Texts, answers and right or wrong of every row; their mean is the value that they name."""
    exported = export(runs, "every-eval-ever", tmp_path, samples=True)
    logs = [json.loads(file.read_text()) for file in exported.files if file.suffix == ".json"]
    for log in logs:
        jsonschema.validate(log, EVERY_EVAL_EVER)
    assert not any("--samples" in note for note in exported.notes)
    checked = set()
    for log in logs:
        said = log.get("detailed_evaluation_results")
        task = log["evaluation_id"].split("/")[0]
        if said is None:
            assert any(f"No rows of {log['model_info']['name']}" in note and task in note for note in exported.notes)
            continue
        file = tmp_path / said["file_path"]
        assert hashlib.sha256(file.read_bytes()).hexdigest() == said["checksum"]
        lines = samples_of(file)
        assert len(lines) == said["total_rows"] > 0
        texts = {
            example.id: example for example in rmbench.load_examples(rmbench.select_tasks(task)[0], "sample").examples
        }
        for line in lines:
            assert line["evaluation_id"] == log["evaluation_id"]
            assert line["input"]["raw"].endswith(texts[line["sample_id"]].prompt[-1].text)
            assert len(line["input"]["choices"]) == len(texts[line["sample_id"]].candidates)
            assert line["evaluation"]["is_correct"] == (line["evaluation"]["score"] == 1)
            if task == "reward-bench-2":  # 1 of 4 is right there, and a scorer takes the highest
                (gold,) = line["input"]["reference"]
                raw = [float(each) for each in line["output"]["raw"]]
                best = {"ABCD"[k] for k, score in enumerate(raw) if score == max(raw)}
                assert set(line["answer_attribution"][0]["extracted_value"].split(", ")) == best
                assert line["evaluation"]["score"] == (1 / len(best) if gold in best else 0)
        for each in log["evaluation_results"]:
            mine = [one["evaluation"]["score"] for one in lines
                    if one["evaluation_result_id"] == each["evaluation_result_id"]]  # fmt: skip
            if mine and task in ("reward-bench-2", "judgebench"):
                assert sum(mine) / len(mine) == pytest.approx(each["score_details"]["score"], abs=1e-12)
                checked.add(each["evaluation_result_id"])
    assert checked == {
        "judgebench@1/two_order_accuracy",
        *(f"reward-bench-2@1/{name}" for name in ("factuality", "precise_if", "math", "safety", "focus")),
    }


def test_rows_are_for_every_eval_ever_alone(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(RmbenchError, match="no place for rows with their texts: --samples is for every-eval-ever"):
        export(runs, "model-index", tmp_path / "out", samples=True)
    assert not (tmp_path / "out").exists()


def test_without_texts_there_are_no_rows(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    place = next(place for place in records(runs) if "judgebench" in place.name)
    exported = export(place, "every-eval-ever", tmp_path, samples=True, source=tmp_path / "none")
    assert [file.suffix for file in exported.files] == [".json"]
    assert "detailed_evaluation_results" not in json.loads(exported.files[0].read_text())
    assert any("No rows of" in note and "Without texts" in note for note in exported.notes)


def test_values_of_rewardbench_have_the_names_of_the_published_ones(runs: Path, tmp_path: Path) -> None:
    files = export(
        [place for place in records(runs) if "reward-bench" in place.name], "every-eval-ever", tmp_path
    ).files
    names = {each["evaluation_name"] for file in files for each in json.loads(file.read_text())["evaluation_results"]}
    assert names >= {"Score", "Chat", "Chat Hard", "Safety", "Reasoning", "Factuality", "Precise IF", "Ties"}


def test_the_own_validator(runs: Path, tmp_path: Path) -> None:
    """Every Eval Ever's own, by the interpreter that RMBENCH_EEE names: no error and no warning."""
    python = os.environ.get("RMBENCH_EEE")
    if not python:
        pytest.skip("RMBENCH_EEE names no interpreter with every-eval-ever (Python 3.12: pip install every-eval-ever)")
    files = export(runs, "every-eval-ever", tmp_path, samples=True).files
    words = [python, "-m", "every_eval_ever", "validate", "--format", "json", *map(str, files)]
    done = subprocess.run([*words[:6], *(str(file.relative_to(tmp_path)) for file in files)], cwd=tmp_path,
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    reports = json.loads(done.stdout)
    assert len(reports) == len(files)
    assert not [report for report in reports if report["errors"] or report["warnings"]]


def test_the_schema_of_ours_refuses(runs: Path, tmp_path: Path) -> None:
    """What theirs refuses, so that the test above can fail."""
    log = json.loads(export(runs, "every-eval-ever", tmp_path).files[0].read_text())
    changes: list[dict[str, Any]] = [{"schema_version": "0.2"}, {"more": 1}, {"evaluation_results": []}]
    for change in (*changes, {"retrieved_timestamp": 5}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(log | change, EVERY_EVAL_EVER)


def test_model_index(runs: Path, tmp_path: Path) -> None:
    from huggingface_hub import ModelCardData, metadata_load
    from huggingface_hub.repocard_data import model_index_to_eval_results

    exported = export(runs, "model-index", tmp_path)
    for place, file in zip(sorted({place.parent for place in records(runs)}), sorted(exported.files), strict=True):
        own = [read(each) for each in rmbench.find_records(place)]
        name, results = model_index_to_eval_results(metadata_load(file)["model-index"])
        assert file.parent.name == place.name
        assert name == own[0].model.name
        assert sorted(each.metric_value for each in results) == sorted(
            value for record in own for value in numbers(record)
        )
        assert {each.dataset_name for each in results} == {record.task.title for record in own}
        ModelCardData(model_name=name, eval_results=results)
    assert exported.notes[-1] == "Intervals, n, coverage, chance and flags have no place in a model-index."


def test_eval_results(runs: Path, tmp_path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    if not hasattr(hub, "EvalResultEntry"):
        with pytest.raises(RmbenchError, match="pip install -U huggingface_hub"):
            export(runs, "eval-results", tmp_path)
        pytest.skip("huggingface_hub has no EvalResultEntry")
    exported = export(runs, "eval-results", tmp_path)
    entries = [hub.parse_eval_result_entries(yaml.safe_load(file.read_text()))[0] for file in exported.files]
    on_hub = [record for record in records(runs).values() if record.data.hub]
    said = sorted((entry.dataset_id, entry.task_id, entry.value) for entry in entries)
    assert said == sorted((str(each.data.hub), each.task.id, each.results[0].value) for each in on_hub)
    assert {file.parent.name for file in exported.files} == {".eval_results"}
    assert "genai" in exported.notes[0] or "fetv" in exported.notes[0]
    lone = put_record(tmp_path / "none", margins(3, 4))
    with pytest.raises(RmbenchError, match=r"nothing to write as eval-results. Left out, for their rows are in"):
        export(lone, "eval-results", tmp_path / "more")


def test_rewardbench_results(runs: Path, tmp_path: Path) -> None:
    exported = export(runs, "rewardbench", tmp_path)
    folder = tmp_path / "reward-bench-results" / "eval-set" / "local"
    body = json.loads((folder / "tiny-bt.json").read_text())
    (record,) = (
        each for each in records(runs).values() if (each.model.name, each.task.id) == ("tiny-bt", "reward-bench")
    )
    subsets = {
        value.group.partition("=")[2]: value.value for value in record.results if "subset" in (value.group or "")
    }
    assert {key: body.pop(key) for key in ("model", "model_type", "chat_template")} == {
        "model": "tiny-bt",
        "model_type": "Seq. Classifier",
        "chat_template": "tokenizer",
    }
    assert body == subsets
    assert len(subsets) == 23
    second = json.loads((tmp_path / "reward-bench-2-results" / "eval-set" / "local" / "tiny-bt.json").read_text())
    assert {*second} - {"model", "model_type", "chat_template"} == {
        *("Factuality", "Precise IF", "Math", "Safety", "Focus", "Ties")
    }
    text = (folder / "tiny-bt.json").read_text()
    assert text == json.dumps(json.loads(text), indent=4, sort_keys=True) + "\n"  # as save_to_hub writes
    assert "fetv" in exported.notes[0]


@pytest.mark.parametrize("to", ["rewardbench-items", "scores"])
def test_what_is_written_reads_back_as_the_same_record(to: str, runs: Path, tmp_path: Path) -> None:
    for place, record in records(runs).items():
        if record.task.id not in (
            ("reward-bench", "reward-bench-2") if to == "rewardbench-items" else (record.task.id,)
        ):
            continue
        (file,) = export(place, to, tmp_path / place.parent.name / place.name).files
        results = rmbench.run(
            model=f"scores:{file}", tasks=[record.task.id], source="sample", out=tmp_path / "again" / place.name
        )
        (again,) = results.records
        assert again.model.name == record.model.name
        assert {(each.metric, each.group): each for each in again.results} == {
            (each.metric, each.group): each for each in record.results
        }


def test_verdicts_and_dimensions_read_back(released: Any, tmp_path: Path) -> None:
    """Judges' verdicts of the committed records."""
    results = Path(__file__).resolve().parents[2] / "results"
    places = [
        place
        for place in rmbench.find_records(results)
        if place.parent.name.split("@")[0]
        in ("JudgeBench__arena_hard-o1-mini-2024-09-12", "LLMBar__GPT-4-Vanilla_NoRules")
    ]
    assert places
    for place in places:
        (file,) = export(place, "scores", tmp_path / place.name).files
        rows = {row.id: row.judgment for row in read_rows(place)}
        for line in read_lines(file):
            shown = [(tuple(each["shown"]), each["value"]) for each in line["verdicts"]]
            own = [(each.shown, "tie" if each.value == -1 else each.value) for each in rows[line["id"]].verdicts]
            assert shown == own


def test_rewardbench_items_are_parallel_lists(runs: Path, tmp_path: Path) -> None:
    export(runs, "rewardbench-items", tmp_path)
    path = "eval-set-scores/local/tiny-bt.json"
    first = json.loads((tmp_path / "reward-bench-results" / path).read_text())
    assert first["id"] == [*range(23)]
    right = [float(a > b) for a, b in zip(first["scores_chosen"], first["scores_rejected"], strict=True)]
    assert first["results"] == right
    second = json.loads((tmp_path / "reward-bench-2-results" / path).read_text())
    assert [len(each) for each in second["scores"]] == [4] * 11 + [len(second["scores"][11]), 4, 8]
    assert second["num_correct"][-2:] == [1, 4]
    assert [value is None for value in second["results"]] == [subset == "Ties" for subset in second["subset"]]


def test_judges_are_generative_and_ties_half(tmp_path: Path) -> None:
    place = put_record(tmp_path / "r", margins(3, 4), task="reward-bench", changed={"model": {"family": "judge"}})
    (file,) = export(place, "rewardbench-items", tmp_path / "out").files
    assert json.loads(file.read_text())["model_type"] == "Generative"


def hostile_names() -> Iterator[str]:
    yield from (
        "../../etc/passwd",
        "a/../../b",
        "/abs/model",
        "..",
        "CON",
        "a\\b",
        "<script>",
        "x" * 300,
        "a/b/c",
        "-rf",
    )


@pytest.mark.parametrize("to", sorted(FORMATS))
def test_no_name_leads_out_of_the_folder(to: str, tmp_path: Path) -> None:
    for k, name in enumerate(hostile_names()):
        place = put_record(
            tmp_path / f"r{k}",
            margins(3, 4),
            name=name,
            task="reward-bench",
            changed={"data": {"hub": "org/set"}, "model": {"revision": "../../r"}},
        )
        record = read(place)
        more = record.results[0].model_copy(update={"group": "subset=../x"})
        record = record.model_copy(update={"results": [*record.results, more]})
        files, _ = FORMATS[to].write([Stored(place, record)])
        assert files
        for file in files:
            assert ".." not in file.parts
            assert not file.is_absolute()
            assert all(re.fullmatch(r"[\w.@+=,-]{1,180}", part) for part in file.parts), file
            assert (tmp_path / "out" / file).resolve().is_relative_to(tmp_path / "out")


def test_records_that_do_not_hold_are_not_passed_on(tmp_path: Path) -> None:
    place = put_record(tmp_path, margins(3, 4))
    data = json.loads((place / "record.json").read_text())
    data["results"][0]["value"] = 0.99
    write_sealed(place / "record.json", data)
    with pytest.raises(RmbenchError, match=r"value is 0.99, and the rows give 0.75"):
        export(place, "every-eval-ever", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_mistakes_are_named(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(RmbenchError, match=r'"evryeval" is no format. Known: every-eval-ever'):
        export(runs, "evryeval", tmp_path)
    with pytest.raises(RmbenchError, match=r'Did you mean "rewardbench"?'):
        export(runs, "rewardbnch", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(RmbenchError, match=r"holds no record.json"):
        export([runs, tmp_path / "empty"], "scores", tmp_path / "out")
    with pytest.raises(RmbenchError, match=r"nothing to write as rewardbench.* alone: pairs"):
        export(put_record(tmp_path / "r", margins(3, 4)), "rewardbench", tmp_path / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(RmbenchError, match="cannot be written"):
        export(runs, "scores", tmp_path / "file")


def test_two_records_are_never_one_file(tmp_path: Path) -> None:
    places = [
        put_record(tmp_path / "r", margins(3, 4), task="reward-bench", changed={"model": {"revision": revision}})
        for revision in ("aaaa", "bbbb")
    ]
    with pytest.raises(RmbenchError, match=r"are both .*model.json in this format, which knows no revisions"):
        export(places, "rewardbench-items", tmp_path / "out")
    assert len(export(places, "scores", tmp_path / "out").files) == 2
    twice = [put_record(tmp_path / f"s{k}", margins(3, 4)) for k in range(2)]
    with pytest.raises(RmbenchError, match="a score file has one answer to a row"):
        export(twice, "scores", tmp_path / "more")
    assert len(export([twice[0], twice[0]], "scores", tmp_path / "once").files) == 1


def test_margins_by_order_have_no_place_in_a_score_file(tmp_path: Path) -> None:
    place = put_record(tmp_path / "r", margins(3, 4))
    rows = [
        replace(row, judgment=replace(row.judgment, rewards=None, directed=((0.0, 1.0), (-1.0, 0.0))))
        for row in read_rows(place)
    ]
    write(tmp_path / "r", read(place), rows)
    with pytest.raises(RmbenchError, match="row r0 holds margins of pairs by their order"):
        FORMATS["scores"].write([Stored(place, read(place))])
