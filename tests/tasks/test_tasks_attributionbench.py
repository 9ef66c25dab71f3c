"""AttributionBench: claims with their references, a threshold fitted on dev, and upstream's rows by words in common."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from rmbench.errors import RmbenchError
from rmbench.models.fakes import open_fake
from rmbench.models.options import OpenOptions
from rmbench.tasks.registry import get
from rmbench.tasks.sources import load
from rmbench.types import Example, Judged, Judgment, Verdict
from tests._make import Values, judged, loaded, values_of

TASK = "attributionbench"


def values(rows: list[Judged], fit: Sequence[Judged] = ()) -> Values:
    return values_of(TASK, rows, fit=fit)


def overlap(example: Example) -> float:
    """The share of the claim's words that are among the words of the references."""
    claim, references = (
        set(re.findall("[a-z0-9]+", text.lower())) for text in (example.candidates[0].text, example.prompt[0].text)
    )
    return len(claim & references) / len(claim)


def test_the_prompt_is_the_references_and_the_answer_the_claim() -> None:
    first, second, _, empty = loaded(TASK, "sample").examples[:4]
    assert first.candidates[0].text == "The Lind canal is 40 km long."
    assert first.context == {"question": "How long is the Lind canal?", "response": "The Lind canal is 40 km long."}
    assert second.prompt[0].text.count("\n\n\n") == 1
    assert empty.prompt[0].text == ""
    assert [each.gold.labels for each in (first, second)] == [{"attributable": 1}, {"attributable": 0}]


def test_attribution_by_the_gold() -> None:
    """A reward that is the label, and its opposite, with the threshold fitted on the sample's dev split."""
    sample = loaded(TASK, "sample")
    assert {each.groups["source"] for each in sample.fit}.isdisjoint(each.groups["source"] for each in sample.examples)

    def told(kind: str, examples: tuple[Example, ...]) -> list[Judged]:
        fake = open_fake(kind, OpenOptions())
        return [Judged.of(each, fake.judge(TASK, each)) for each in examples]

    for kind, best in (("oracle", 1.0), ("anti", 0.0)):
        found = values(told(kind, sample.examples), told(kind, sample.fit))
        assert found["auc", None].value == found["auc_pooled", None].value == best
    right = values(told("oracle", sample.examples), told("oracle", sample.fit))
    assert right["macro_f1", None].value == right["accuracy", None].value == 1.0
    # upside down on dev too: no threshold beats one answer for all, and half of the rows are right
    wrong = values(told("anti", sample.examples), told("anti", sample.fit))
    assert wrong["accuracy", None].value == 0.5
    assert wrong["macro_f1", None].value == pytest.approx(1 / 3)
    without = values(told("oracle", sample.examples))
    assert without["macro_f1", None].value is None
    assert "no_fit_split" in without["macro_f1", None].flags


OVERLAP = {
    # AUC, accuracy and macro F1 of the words' overlap, cut at .8
    "source=HAGRID": (0.8354, 0.7656, 0.7654),
    "source=BEGIN": (0.9480, 0.8532, 0.8518),
    "source=AttrScore-GenSearch": (0.8853, 0.7284, 0.7088),
}


def test_attributionbench_rows(data: Path) -> None:
    found = loaded(TASK, data)
    assert len(found.examples) == found.total == 1686
    assert found.group_totals == {"source=HAGRID": 1088, "source=BEGIN": 436, "source=AttrScore-GenSearch": 162}
    labels = Counter((each.groups["source"], each.gold.labels["attributable"]) for each in found.examples)
    assert labels == {
        (s, k): n for s, n in (("HAGRID", 544), ("BEGIN", 218), ("AttrScore-GenSearch", 81)) for k in (0, 1)
    }
    empty = Counter(each.gold.labels["attributable"] for each in found.examples if not each.prompt[0].text)
    assert empty == {0: 65, 1: 10}
    assert sum(each.candidates[0].text == each.context["response"] for each in found.examples) == 944
    assert found.fit == ()
    assert any('fit split "dev" is absent' in note for note in found.notes)


def test_attributionbench_overlap(data: Path) -> None:
    """Baseline: by source set and over all rows, the area by the reward, accuracy and F1 by the label at .8."""
    rewards = judged(TASK, data, lambda each: Judgment(each.id, rewards=(overlap(each),)))
    found = values(rewards)
    named = ("not attributable", "attributable")

    def label(example: Example) -> Judgment:
        return Judgment(example.id, verdicts=(Verdict((0,), "label", named[overlap(example) >= 0.8]),))

    verdicts = values(judged(TASK, data, label))
    for group, (auc, accuracy, f1) in OVERLAP.items():
        assert found["auc", group].value == pytest.approx(auc, abs=5e-5)
        assert verdicts["accuracy", group].value == pytest.approx(accuracy, abs=5e-5)
        assert verdicts["macro_f1", group].value == pytest.approx(f1, abs=5e-5)
    assert found["auc_pooled", None].value == pytest.approx(0.8682, abs=5e-5)
    assert verdicts["accuracy", None].value == pytest.approx(0.7847, abs=5e-5)
    assert found["auc", None].value == pytest.approx(sum(auc for auc, _, _ in OVERLAP.values()) / 3, abs=5e-5)


def test_attributionbench_constant(data: Path) -> None:
    always = judged(TASK, data, lambda each: Judgment(each.id, verdicts=(Verdict((0,), "label", "attributable"),)))
    found = values(always)
    assert found["accuracy", None].value == pytest.approx(0.5)
    assert found["macro_f1", None].value == pytest.approx(1 / 3)


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data" / "test_ood_all_subset_balanced.jsonl"
    path.parent.mkdir()
    sample = get(TASK).path.parents[1] / "samples" / TASK / "data" / path.name
    path.write_bytes(sample.read_bytes())
    with pytest.raises(RmbenchError, match="sha256"):
        load(get(TASK), tmp_path)
    assert len(load(get(TASK), tmp_path, allow_changed_data=True).examples) == 12
