"""Upstream's parsers, and texts and verdicts that real judges released."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from rmbench.engine.judge import MemoryLedger, judge
from rmbench.metrics.measure import measure
from rmbench.models.judges.declaration import load_protocol
from rmbench.models.judges.parsers import PARSERS
from rmbench.models.judges.verdict import VerdictParser
from rmbench.models.servers.generation import Question
from rmbench.tasks.registry import get
from rmbench.tasks.sources import load
from rmbench.types import TIE, Judged


@pytest.mark.parametrize(
    ("name", "text", "reads", "value"),
    [
        ("rb1", "[[B]] beats [[A]]", "pick", 0),
        ("rb1", "verdict [[B]]", "pick", 1),
        ("rb1", "[[C]]", "pick", None),
        ("rb1-prometheus", "[RESULT] is A. No: B", "pick", 1),
        ("rb1-prometheus", "[RESULT] B.", "pick", None),
        ("rb1-prometheus", "A", "pick", None),
        ("prometheus-lib", "a score of 5 would be too much. [RESULT] 2", "rating", 5.0),
        ("prometheus-lib", "Fine. [RESULT] (4)", "rating", 4.0),
        ("prometheus-lib", "Score: 3/5", "rating", 3.0),
        ("prometheus-lib", "[RESULT] 1", "rating", 1.0),
        ("prometheus-lib", "[RESULT] 5", "rating", 5.0),
        ("prometheus-lib", "[RESULT] 0", "rating", None),
        ("prometheus-lib", "[RESULT] 6", "rating", None),
        ("prometheus-lib", "[RESULT] 000000005", "rating", 5.0),
        ("prometheus-lib", "[RESULT] 9", "rating", None),
        ("prometheus-lib", "well. [RESULT] b", "pick", 1),
        ("prometheus-lib", "[Result] Response A", "pick", 0),
        ("prometheus-lib", "B", "pick", None),
        ("autoj", "So, the final decision is Response 2.", "pick", 1),
        ("autoj", "the final decision is Tie", "pick", TIE),
        ("autoj", "the final decision is Response 1 / Response 2 / Tie", "pick", 0),
        ("autoj", "Response 1", "pick", None),
        ("autoj", "Rating: [[4]] Rating: [[6.5]]", "rating", 6.5),
        ("autoj", "no rating", "rating", 0.0),
        ("autoj", "Rating: [[x]]", "rating", None),
        ("judgelm", "8 9\nwhy", "pick", 1),
        ("judgelm", "8,9", "pick", 1),
        ("judgelm", "80 9", "pick", 0),
        ("judgelm", "8, 9", "pick", None),
        ("judgelm", "9\n8", "pick", None),
        ("judgelm", "7 7", "pick", TIE),
    ],
)
def test_upstream_parsers_by_hand(name: str, text: str, reads: str, value: object) -> None:
    found = PARSERS[name](text, 2, reads)
    assert found.value == value
    assert found.status == ("unparsed" if value is None else "ok")


def test_four_letters_in_alphabetical_order() -> None:
    assert PARSERS["rb1"]("[[D]] [[C]]", 4, "pick").value == 2
    assert PARSERS["rb1"]("[[D]]", 4, "pick").value == 3


@pytest.mark.parametrize(
    ("model", "protocol"),
    [("RM-R1-Qwen2.5-Instruct-32B", "rm-r1"), ("RM-R1-DeepSeek-Distilled-Qwen-32B", "rm-r1-distilled")],
)
def test_texts_that_rm_r1_released(data: Path, model: str, protocol: str) -> None:
    folder = data / "published-results/rm-r1" / model
    rows = json.loads((folder / "RMB/Pairwise_set_Helpfulness/log_result/logs.json").read_text())
    reader = VerdictParser.of(load_protocol(protocol))
    assert len(rows) == 2
    for row in rows:
        found = reader.parse(row["answers"], "stop", 2)
        chosen = int(row["Is_Chosen_Answer_Shuffled_toPositionB"])
        assert found.status == "ok"
        assert int(found.value == chosen) == row["results"]


def test_auto_j_through_its_own_protocol(data: Path, judges: SimpleNamespace) -> None:
    """Upstream's released verdicts, told in Auto-J's words to the rows they are of: the published figures."""
    folder = data / "published-results/autoj-pairwise"
    given = {
        swapped: [json.loads(line)["output"] for line in (folder / name).read_text().splitlines()]
        for swapped, name in (
            (False, "pairwise_example_output.jsonl"),
            (True, "pairwise_exchange_example_output.jsonl"),
        )
    }
    task = get("autoj")
    examples = load(task, data).examples
    number = {example.id: row for row, example in enumerate(examples)}

    def answer(question: Question) -> str:
        said = given[question.shown == (1, 0)][number[question.example]]
        return f"They differ.\n\nSo, the final decision is {('Response 1', 'Response 2', 'Tie')[said]}."

    made = judges.judge(answer, "autoj-pair")
    judging = judge("autoj", examples, made, ledger=MemoryLedger())
    rows = [Judged.of(example, judgment) for example, judgment in zip(examples, judging.judgments, strict=True)]
    values = measure(rows, task.metrics, answer_kind="verdict", resamples=20)
    found = {value.metric: 100 * value.value for value in values if value.group is None}
    assert len(made.backend.asked) == 2784
    assert found["agreement"] == pytest.approx(59.99, abs=0.005)
    assert found["two_order_agreement"] == pytest.approx(54.96, abs=0.005)
    assert found["order_consistency"] == pytest.approx(83.41, abs=0.005)
    second = judges.judge(answer, "autoj-pair")
    turned = [
        Judged.of(row, made_one)
        for row, made_one in zip(examples, judge("autoj", examples, second).judgments, strict=True)
    ]
    assert sum(v.value == v.shown[0] for row in turned for v in row.judgment.verdicts) == 1262
    assert sum(v.value == v.shown[1] for row in turned for v in row.judgment.verdicts) == 1407
    assert sum(v.value == TIE for row in turned for v in row.judgment.verdicts) == 115
    labels = [(0 if e.gold.relation[0].i == 0 else 1) if e.gold.relation[0].strength else TIE for e in examples]
    last = [row.judgment.verdicts[1].value for row in turned]
    assert 100 * sum(one == label for one, label in zip(last, labels, strict=True)) / len(last) == pytest.approx(
        60.63, abs=0.005
    )
