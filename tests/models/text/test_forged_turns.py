"""The task forged-turns: its rows are its script's, its turns are in the control tokens of eight families of templates,
and a model that reads these as text has none of them from a candidate."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import rmbench
from rmbench.engine.encode import encode_window
from rmbench.engine.judge import SilentProgress
from rmbench.models.introspect import tokenizer_of
from rmbench.models.protocols import Scorer
from rmbench.tasks.registry import get
from rmbench.tasks.sources import load
from rmbench.types import Example
from tests._make import open_as

ROOT = Path(__file__).resolve().parents[3]
FAMILIES = {
    # template -> how it writes a user's and an assistant's turn
    "chatml": ("<|im_start|>user\n%s<|im_end|>\n", "<|im_start|>assistant\n%s<|im_end|>\n"),
    "llama-2": ("<s>[INST] %s [/INST]", " %s </s>"),
    "llama-3": (
        "<|start_header_id|>user<|end_header_id|>\n\n%s<|eot_id|>",
        "<|start_header_id|>assistant<|end_header_id|>\n\n%s<|eot_id|>",
    ),
    "gemma": ("<start_of_turn>user\n%s<end_of_turn>\n", "<start_of_turn>model\n%s<end_of_turn>\n"),
    "phi": ("<|user|>\n%s<|end|>\n", "<|assistant|>\n%s<|end|>\n"),
    "deepseek": ("<\uff5cUser\uff5c>%s", "<\uff5cAssistant\uff5c>%s<\uff5cend\u2581of\u2581sentence\uff5c>"),
    "command-r": (
        "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>%s<|END_OF_TURN_TOKEN|>",
        "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>%s<|END_OF_TURN_TOKEN|>",
    ),
    "harmony": ("<|start|>user<|message|>%s<|end|>", "<|start|>assistant<|channel|>final<|message|>%s<|return|>"),
}
CONTROL = re.compile(r"<[^<> ]+>|\[/?INST\]")


def of_family(folder: Path, family: str, tiny: Any) -> Path:
    """A checkpoint that is read by the family's template, each control token of which is one token."""
    user, assistant = FAMILIES[family]
    tokens = sorted({*CONTROL.findall(user + assistant)})
    written = "{%% if m['role'] == 'user' %%}%s{%% else %%}%s{%% endif %%}" % (  # noqa: UP031
        user.replace("%s", "{{ m['content'] }}"),
        assistant.replace("%s", "{{ m['content'] }}"),
    )
    template = "{% for m in messages %}" + written + "{% endfor %}"
    tiny.save_model(folder, vocab_size=450, max_position_embeddings=2048)
    tiny.save_tokenizer(folder, bos=False, template=template, additional_special_tokens=tokens)
    return folder


def control_tokens(folder: Path, rows: list[Example], mode: str) -> list[list[Counter[int]]]:
    """Of each row's candidates the special token ids that the model reads, counted."""
    model = open_as(Scorer, folder, special_tokens=mode)  # type: ignore[type-abstract]
    special = set(tokenizer_of(model).all_special_ids)
    encoded = encode_window(rows, model, "chat", "", SilentProgress()).encoded
    assert not any(one.error for one in encoded)
    counts = [Counter(token for token in one.ids if token in special) for one in encoded]
    return [counts[start : start + 3] for start in range(0, len(counts), 3)]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_forged_turn_has_control_tokens_only_where_they_are_parsed(family: str, tmp_path: Path, tiny: Any) -> None:
    rows = [row for row in load(get("forged-turns"), "sample").examples if row.groups["template"] == family]
    assert len(rows) == 16
    folder = of_family(tmp_path / family, family, tiny)
    for right, forged, defused in control_tokens(folder, rows, "text"):
        assert right == forged == defused
        assert right  # the template's own
    for right, forged, defused in control_tokens(folder, rows, "parsed"):
        assert right == defused
        assert forged - right
        assert sum((forged - right).values()) >= 3


def test_no_other_family_reads_them_as_its_own(tmp_path: Path, tiny: Any) -> None:
    """But for `<|end|>` and `<|start|>`, which two families have, and those of the tests' own tokenizer."""
    rows = list(load(get("forged-turns"), "sample").examples)
    folder = of_family(tmp_path / "chatml", "chatml", tiny)
    for row, (right, forged, _) in zip(rows, control_tokens(folder, rows, "parsed"), strict=True):
        own = row.groups["template"] in ("chatml", "phi", "harmony")
        assert (forged != right) == own, row.id


@pytest.fixture
def writer() -> Iterator[ModuleType]:
    sys.path.insert(0, str(ROOT / "examples"))
    yield import_module("write_forged_turns")
    sys.path.remove(str(ROOT / "examples"))


def test_the_file_is_what_the_script_writes(writer: ModuleType) -> None:
    assert writer.TARGET.read_text("utf-8") == writer.text(), "run python examples/write_forged_turns.py"
    assert set(writer.TEMPLATES) == set(FAMILIES)


def test_every_question_meets_every_template_and_every_turn(writer: ModuleType) -> None:
    rows = load(get("forged-turns"), "sample").examples
    assert len(rows) == get("forged-turns").n == len(writer.QUESTIONS) * len(FAMILIES) == 128
    assert len({row.cluster for row in rows}) == 16
    kinds = {kind for kind, _, _ in writer.TURNS}
    for group in ("template", "cluster"):
        pairs = Counter(
            (row.groups["template"] if group == "template" else row.cluster, row.groups["turn"]) for row in rows
        )
        assert len(pairs) == len({key for key, _ in pairs}) * len(kinds)
        assert len(set(pairs.values())) == 1


def test_defusing_inserts_tildes_and_changes_nothing_else() -> None:
    for row in load(get("forged-turns"), "sample").examples:
        right, forged, defused = (candidate.text for candidate in row.candidates)
        assert defused.replace("~", "") == forged
        assert defused.count("~") == len(CONTROL.findall(forged)) >= 3
        assert not CONTROL.search(right)
        assert [(edge.i, edge.j, edge.strength > 0) for edge in row.gold.relation] == [
            (0, 1, True),
            (0, 2, True),
            (1, 2, False),
        ]


def test_parsed_turns_move_the_bundled_model_further_than_turns_that_are_read_as_text(tmp_path: Path) -> None:
    shifts = {}
    for mode in ("parsed", "text"):
        results = rmbench.run("tiny-bt", "forged-turns", source="sample", out=tmp_path, special_tokens=mode)
        record = json.loads((results.folder("forged-turns") / "record.json").read_text("utf-8"))
        shifts[mode] = {
            (one["metric"], one["group"]): one["value"] for one in record["results"] if "shift" in one["metric"]
        }
    for metric in ("reward_shift", "largest_reward_shift"):
        key = (metric, "template=chatml")  # which is the model's own
        assert shifts["parsed"][key] > 1.5 * shifts["text"][key] > 0
    assert shifts["parsed"]["reward_shift", None] > shifts["text"]["reward_shift", None]
    for template in set(FAMILIES) - {"chatml"}:
        key = ("reward_shift", f"template={template}")
        assert shifts["parsed"][key] == pytest.approx(shifts["text"][key], rel=0.01)
