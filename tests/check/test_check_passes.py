"""Sound models of every kind pass; what does not apply to one says so."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rmbench.check.conformance import CHECKS
from rmbench.check.report import CheckReport
from rmbench.models.protocols import Encoded, ModelFacts, Scorer

Checked = Callable[..., CheckReport]
ALL = ("load", *CHECKS)


def ran(report: CheckReport) -> set[str]:
    return {one.name for one in report.checks if one.status == "pass"}


@pytest.mark.parametrize("kind", ["llama", "gpt2", "bert"])
def test_stock_checkpoints(kind: str, tiny: SimpleNamespace, tmp_path: Path, checked: Checked, lines: Any) -> None:
    report = checked(str(tiny.checkpoint(tmp_path / kind, kind)))
    assert report.passed, [one for one in report.checks if one.status == "fail"]
    assert [one.name for one in report.checks] == list(ALL)
    assert set(ALL) - ran(report) == {"media", "published"}
    found = lines(report)
    first = "[CLS]" if kind == "bert" else "<|bos|>"
    assert found["template"].text.startswith(first + "<|start|>user\nWhich river runs through Vienna?<|end|>\n")
    assert found["bos"].figures == {"token": first, "expected": 1, "found": 1, "rows": 22}
    assert found["truncation"].figures["max_length"] == 128
    assert found["truncation"].figures["length"] == 128
    assert found["memory"].figures["bytes"] == 4 * found["memory"].figures["parameters"]
    assert 0 < found["dtype"].figures["largest_difference"] < 1
    if kind != "bert":
        assert "rows with pad and end tokens inside do not score as their prefixes" in found["pooling"].line


def test_the_bundled_model(checked: Checked, lines: Any) -> None:
    report = checked("tiny-bt")
    assert report.passed
    assert lines(report)["answers"].figures == {"probes": 9, "answered": 9, "refused": 0}
    assert lines(report)["determinism"].line == "two rounds are equal bitwise"


def test_a_baseline(checked: Checked, lines: Any) -> None:
    report = checked("baseline:length")
    assert report.passed
    assert {"load", "answers", "finite", "determinism", "order", "spread"} == ran(report)
    assert lines(report)["spread"].figures["ties"] == 0
    assert "answers row by row" in lines(report)["batching"].line


def test_a_function(checked: Checked, lines: Any) -> None:
    def vowels(conversations: list[list[dict[str, str]]]) -> list[float]:
        return [sum(turn["content"].count(letter) for turn in turns for letter in "aeiou") for turns in conversations]

    report = checked(vowels)
    assert report.passed
    assert lines(report)["padding"].line == "its rows have no token ids that the engine pads"
    assert lines(report)["pooling"].status == "not run"


FACTS = ModelFacts(name="margins", revision="1", family="other", fingerprint="m")


@dataclass(frozen=True)
class Margins:
    """A scorer of margins: each candidate is a point, and turning one by a quarter compares it with another."""

    skewed: float = 0.0
    facts: ModelFacts = FACTS
    answers: frozenset[Any] = frozenset({"margin"})
    pad_id: int = 0

    def encode(self, requests: Any) -> list[Encoded]:
        texts = ["\n".join(message.text for message in request.conversation) for request in requests]
        return [Encoded(key=text, size=len(text), payload=text) for text in texts]

    def forward(self, batch: Any) -> dict[str, Any]:
        points = [(len(row.payload) / 100, sum(map(ord, row.payload)) % 97 / 50) for row in batch.rows]
        return {"_point": np.array(points, dtype=np.float32)}

    def combine(self, outputs: Any) -> Any:
        points = np.stack([output["_point"] for output in outputs])
        return points @ np.array([[0, 1], [-1, 0]], dtype=np.float32) @ points.T + np.float32(self.skewed)


def test_a_scorer_of_margins(checked: Checked, lines: Any) -> None:
    report = checked(Margins())
    assert report.passed
    assert lines(report)["answers"].line.startswith("9 of 9 probes: 9 by margins")
    assert lines(report)["order"].figures["asymmetry"] < 1e-5
    assert lines(report)["order"].figures["pairs"] == 17  # of 5 pairs and 4 triples
    skewed = checked(Margins(skewed=0.5))
    assert skewed.failed == ("order",)
    assert lines(skewed)["order"].figures["asymmetry"] == pytest.approx(1.0, abs=1e-4)


def test_a_score_file(tmp_path: Path, checked: Checked, lines: Any) -> None:
    file = tmp_path / "scores.jsonl"
    rows = [{"task": "rm-bench", "id": str(k), "scores": [k, 0.5], "model": "org/m"} for k in range(3)]
    file.write_text("\n".join(map(json.dumps, rows)))
    report = checked(f"scores:{file}")
    assert report.passed
    assert [one.name for one in report.checks] == list(ALL)
    assert {"load", "answers", "finite", "spread"} == ran(report)
    file.write_text(
        "\n".join(map(json.dumps, [*rows, {"task": "rm-bench", "id": "x", "scores": [None, 1], "model": "org/m"}]))
    )
    assert "scores.jsonl" in lines(checked(f"scores:{file}"))["finite"].line
    file.write_text("\n".join(json.dumps(row | {"scores": [2, 2]}) for row in rows))
    assert checked(f"scores:{file}").failed == ("spread",)


def test_a_refusal_is_told_and_does_not_fail(
    tiny: SimpleNamespace, tmp_path: Path, checked: Checked, lines: Any
) -> None:
    file = tmp_path / "template.jinja"
    file.write_text(
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system turn') }}{% endif %}"
        "{{ m.role }}: {{ m.content }}\n{% endfor %}"
    )
    report = checked(str(tiny.checkpoint(tmp_path / "llama")), template=file)
    assert report.passed
    assert lines(report)["answers"].figures == {"probes": 9, "answered": 8, "refused": 1}
    assert "system is refused: candidate 0: the chat template refuses the conversation" in lines(report)["answers"].line


def test_declared_bos_policies(tiny: SimpleNamespace, tmp_path: Path, checked: Checked, lines: Any) -> None:
    folder = str(tiny.checkpoint(tmp_path / "llama"))
    for policy, count in (("double", 2), ("none", 0)):
        figures = lines(checked(folder, model_args={"bos": policy}))["bos"].figures
        assert (figures["expected"], figures["found"]) == (count, count)


def test_what_does_not_fit_into_memory_is_not_run(
    tiny: SimpleNamespace, tmp_path: Path, checked: Checked, lines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rmbench.check import memory_dtype as weight

    folder = str(tiny.checkpoint(tmp_path / "llama"))
    bytes_of_it = lines(checked(folder))["memory"].figures["bytes"]
    monkeypatch.setattr(weight, "available", lambda: bytes_of_it + 1)
    report = checked(folder)
    assert report.passed
    assert lines(report)["dtype"].status == "not run"
    assert "are free" in lines(report)["dtype"].line
    monkeypatch.setattr(weight, "available", lambda: bytes_of_it - 1)
    report = checked(folder)
    assert [(one.name, one.status) for one in report.checks] == [("load", "not run")]
    assert not report.passed
    assert report.failed == ()


def test_free_memory_is_read_from_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rmbench.check import memory_dtype as weight

    info = tmp_path / "meminfo"
    info.write_text("MemTotal:       16 kB\nMemAvailable:   12 kB\n")
    monkeypatch.setattr(weight, "_MEMINFO", info)
    assert weight.available() == 12 * 1024
    monkeypatch.setattr(weight, "_MEMINFO", tmp_path / "nowhere")
    assert weight.available() > 2**20


def test_published_scores(tiny: SimpleNamespace, tmp_path: Path, checked: Checked, lines: Any) -> None:
    folder = tiny.checkpoint(tmp_path / "published-model")
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}]
    from rmbench.models.open import open_model

    model = open_model(str(folder))
    assert isinstance(model, Scorer)
    rows = model.encode([tiny.request("Hi", "Yo")])
    (score,) = tiny.alone(folder, rows)
    file = tmp_path / "published.jsonl"

    def published(value: float, model: str = "Published-Model") -> Any:
        file.write_text(json.dumps({"model": model, "backend": "plain", "conversations": [turns], "scores": [value]}))
        return lines(checked(str(folder), published=file))["published"]

    assert published(score).figures["largest_share"] < 1e-5
    assert published(score + 0.04 * max(1, abs(score))).status == "pass"
    wrong = published(score + 0.06 * max(1, abs(score)))
    assert wrong.status == "fail"
    assert wrong.figures["largest_share"] == pytest.approx(0.06, rel=0.1)
    assert published(score, "another").status == "not run"


def test_folders_downloaded_by_hand_find_their_scores(
    tiny: SimpleNamespace, tmp_path: Path, checked: Checked, lines: Any
) -> None:
    folder = tiny.checkpoint(tmp_path / "Some-RM")
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}]
    file = tmp_path / "published.jsonl"
    file.write_text(json.dumps({"model": "org/some-rm", "conversations": [turns], "scores": [1000.0]}))
    line = lines(checked(str(folder), published=file))["published"]
    assert line.status == "fail"
    assert "against 1000 (backend unknown)" in line.line


def test_the_file_of_real_published_scores(data: Path) -> None:
    from rmbench.check.published import default_file, read_published

    file = default_file()
    assert file == data / "published-results" / "card_examples.jsonl"
    rows = read_published(file)
    scores = [(row["model"], score) for row in rows for score in row["scores"]]
    assert len(rows) == 7
    assert ("Skywork/Skywork-Reward-V2-Llama-3.1-8B", 23.0) in scores
    assert ("LxzGordon/URM-LLaMa-3.1-8B", 12.438033103942871) in scores
