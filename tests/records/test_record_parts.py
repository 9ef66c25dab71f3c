"""Parts of a record made from the objects that hold their fields."""

from __future__ import annotations

import json

from rmbench.metrics.judging.intransitive import Intransitive
from rmbench.models.protocols import ModelFacts
from rmbench.records.facts import IntransitiveFacts
from rmbench.records.record import ModelRecord, TaskRecord, ValueRecord
from rmbench.tasks.registry import get
from rmbench.types import Value


def test_a_model_by_its_facts() -> None:
    facts = ModelFacts(
        "org/m",
        "0",
        "scalar",
        modalities=frozenset({"video", "text", "image", "audio", "web"}),
        settings={"bos": True, "x": 1.0},
    )
    made = ModelRecord.model_validate(facts)
    assert made.modalities == ["audio", "image", "text", "video", "web"]
    assert json.dumps(made.settings) == '{"bos": true, "x": 1.0}'
    assert made.check is None


def test_a_task_with_its_metrics_as_they_read_back() -> None:
    made = TaskRecord.model_validate(get("rm-bench"))
    assert (made.id, made.metrics[0]["levels"][0]["group"]) == ("rm-bench", "domain")
    assert TaskRecord.model_validate_json(made.model_dump_json(), strict=True) == made


def test_a_value() -> None:
    made = ValueRecord.model_validate(Value("accuracy", None, 0.5, 0.4, 0.6, 10, 12, 1.0, flags=("small",)))
    assert made.model_dump() == {
        "metric": "accuracy",
        "group": None,
        "value": 0.5,
        "low": 0.4,
        "high": 0.6,
        "n": 10,
        "comparisons": 12,
        "coverage": 1.0,
        "chance": None,
        "flags": ["small"],
        "interval": "",
    }


def test_facts_are_taken_from_objects_that_have_them() -> None:
    made = IntransitiveFacts.model_validate(Intransitive(cyclic=1, total=4, rows=2))
    assert made.model_dump() == {"cyclic": 1, "total": 4, "rows": 2}
