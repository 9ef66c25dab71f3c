"""Adapters that do one thing wrong, each of which some benchmark or other has met: the right line fails."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from rmbench.check.report import CheckReport


def firstpad(build: Any, pad: int) -> Any:
    """Pools before the first pad id of the row, as old library code does."""

    def forward(inner: Any, batch: Any) -> Any:
        columns = [(list(row).index(pad) - 1) % len(row) if pad in row else len(row) - 1 for row in batch.ids]
        return build.scored(inner, build.states(inner, batch), columns)

    return forward


def rightmost(build: Any, pad: int) -> Any:
    """Pools at the last id that is not the pad id, as the library does today."""

    def forward(inner: Any, batch: Any) -> Any:
        columns = [max([0, *(place for place, token in enumerate(row) if token != pad)]) for row in batch.ids]
        return build.scored(inner, build.states(inner, batch), columns)

    return forward


def right_only(build: Any) -> Any:
    """Counts the mask, which finds the last token where the padding is on the right alone."""

    def forward(inner: Any, batch: Any) -> Any:
        return build.scored(inner, build.states(inner, batch), batch.mask.sum(-1) - 1)

    return forward


def last_column(build: Any) -> Any:
    """Reads the last column of the batch, padding or not."""

    def forward(inner: Any, batch: Any) -> Any:
        return build.scored(inner, build.states(inner, batch), np.full(len(batch.ids), batch.ids.shape[1] - 1))

    return forward


def mask_from_ids(build: Any, pad: int) -> Any:
    """Makes a mask of its own, in which a pad token inside a row is padding."""

    def forward(inner: Any, batch: Any) -> Any:
        mask = torch.from_numpy((batch.ids != pad).astype(np.int64))
        return build.scored(inner, build.states(inner, batch, mask), batch.last)

    return forward


def all_attended(build: Any) -> Any:
    """Passes no mask: padded positions on the left are read."""

    def forward(inner: Any, batch: Any) -> Any:
        return build.scored(inner, build.states(inner, batch, torch.ones(batch.ids.shape)), batch.last)

    return forward


def twice(rows: Any) -> Any:
    return [replace(row, ids=(row.ids[0], *row.ids), size=row.size + 1, key="2" + row.key) for row in rows]


def test_an_adapter_of_this_shape_that_is_right_passes(
    build: SimpleNamespace, opened: Any, checked: Callable[..., CheckReport]
) -> None:
    def forward(inner: Any, batch: Any) -> Any:
        return inner.forward(batch)

    assert checked(build.Adapter(opened, forward)).failed == ()


@pytest.mark.parametrize(
    ("case", "names", "said"),
    [
        (
            "pad inside a row",
            {"pooling"},
            "with the pad id \\(1\\) inside, a row of \\d+ tokens scores as its first \\d+ alone",
        ),
        ("pad is eos", {"pooling"}, "at the end, a row of"),
        ("left padding", {"padding"}, "padded right and left"),
        ("last column", {"batching"}, "alone and in one batch"),
        ("mask from ids", {"pooling"}, "inside a row is treated as padding"),
        ("no mask", {"padding", "pooling"}, "padded right and left"),
        ("double BOS", {"bos"}, r"begin with 2 <\|bos\|>, expected 1 \(declared one\)"),
    ],
)
def test_wrong_positions(
    case: str,
    names: set[str],
    said: str,
    build: SimpleNamespace,
    opened: Any,
    tiny: SimpleNamespace,
    checked: Callable[..., CheckReport],
    lines: Any,
) -> None:
    made = {
        "pad inside a row": lambda: build.Adapter(opened, firstpad(build, tiny.PAD)),
        "pad is eos": lambda: build.Adapter(opened, rightmost(build, tiny.END), pad_id=tiny.END),
        "left padding": lambda: build.Adapter(opened, right_only(build)),
        "last column": lambda: build.Adapter(opened, last_column(build)),
        "mask from ids": lambda: build.Adapter(opened, mask_from_ids(build, tiny.PAD)),
        "no mask": lambda: build.Adapter(opened, all_attended(build)),
        "double BOS": lambda: build.Adapter(opened, lambda inner, batch: inner.forward(batch), twice),
    }
    report = checked(made[case]())
    assert names <= set(report.failed)
    assert any(re.search(said, lines(report)[name].line) for name in names), [
        lines(report)[name].line for name in names
    ]
    assert not {"answers", "finite", "template", "determinism", "spread"} & set(report.failed)


def test_dropout_left_on_is_named(opened: Any, checked: Callable[..., CheckReport], lines: Any) -> None:
    model = copy.deepcopy(opened.model)
    model.model.layers[1].self_attn.attention_dropout = 0.5
    model.train()
    report = checked(replace(opened, model=model, backbone=type(opened.backbone)(model.model)))
    assert "determinism" in report.failed
    line = lines(report)["determinism"]
    assert "two rounds differ by" in line.line
    assert "in training mode" in line.line
    assert line.figures["training_modules"] == len(list(model.modules()))
    quiet = copy.deepcopy(opened.model)
    quiet.model.layers[0].train()  # nothing random in it, and still not as it should be
    line = lines(checked(replace(opened, model=quiet, backbone=None, pooling=None)))["determinism"]
    assert line.status == "fail"
    assert "model.layers.0" in line.line


def test_a_head_that_is_missing_is_named(tiny: SimpleNamespace, tmp_path: Path, checked: Any, lines: Any) -> None:
    folder = tiny.checkpoint(tmp_path / "headless")
    tiny.edit_tensors(folder, lambda tensors: tensors.pop("score.weight"))
    report = checked(str(folder))
    assert [one.name for one in report.checks] == ["load"]
    assert report.failed == ("load",)
    assert "score.weight" in lines(report)["load"].line
    assert not report.passed


def test_a_head_of_another_width_is_named(tiny: SimpleNamespace, tmp_path: Path, checked: Any, lines: Any) -> None:
    folder = tiny.checkpoint(tmp_path / "wide")
    tiny.edit_tensors(folder, lambda tensors: tensors.update({"score.weight": torch.ones(1, 48)}))
    report = checked(str(folder))
    assert report.failed == ("load",)
    assert "score.weight (stored [1, 48], needed [1, 32])" in lines(report)["load"].line


def test_a_head_of_nan_fails_as_that(tiny: SimpleNamespace, tmp_path: Path, checked: Any, lines: Any) -> None:
    folder = tiny.checkpoint(tmp_path / "nan")
    tiny.edit_tensors(folder, lambda tensors: tensors["score.weight"].fill_(float("nan")))
    report = checked(str(folder))
    assert "finite" in report.failed
    assert "the model's reward is NaN" in lines(report)["finite"].line
    assert lines(report)["finite"].figures["not_finite"] == 9
    assert "no probe is answered" in lines(report)["answers"].line


def test_a_head_of_zeros_is_a_constant(tiny: SimpleNamespace, tmp_path: Path, checked: Any, lines: Any) -> None:
    folder = tiny.checkpoint(tmp_path / "zeros")
    tiny.edit_tensors(folder, lambda tensors: tensors["score.weight"].zero_())
    report = checked(str(folder))
    assert report.failed == ("spread",)
    assert "all 22 scores are 0: a constant" in lines(report)["spread"].line


def test_scores_that_are_too_coarse(build: SimpleNamespace, opened: Any, checked: Any, lines: Any) -> None:
    def forward(inner: Any, batch: Any) -> Any:
        return {"reward": np.sign(inner.forward(batch)["reward"])}

    line = lines(checked(build.Adapter(opened, forward)))["spread"]
    assert line.status == "fail"
    assert "more than 25%" in line.line


def test_what_crashes_is_no_refusal(build: SimpleNamespace, opened: Any, checked: Any, lines: Any) -> None:
    def forward(inner: Any, batch: Any) -> Any:
        if any(len(row.ids) > 100 for row in batch.rows):
            raise IndexError("position 100 is out of the table")
        return inner.forward(batch)

    line = lines(checked(build.Adapter(opened, forward)))["answers"]
    assert line.status == "fail"
    assert "long: candidate 0: IndexError: position 100 is out of the table" in line.line


def test_a_template_that_doubles_and_one_that_swaps(
    tiny: SimpleNamespace, tmp_path: Path, checked: Any, lines: Any
) -> None:
    folder = tiny.checkpoint(tmp_path / "template")
    for body, said in (
        ("{% for m in messages %}{{ m.role }}: {{ m.content }} {{ m.content }}\n{% endfor %}", "occurs 2 times"),
        ("{% for m in messages | reverse %}{{ m.role }}: {{ m.content }}\n{% endfor %}", "precedes the one"),
    ):
        file = tmp_path / "template.jinja"
        file.write_text(body)
        report = checked(str(folder), template=file)
        assert "template" in report.failed
        assert said in lines(report)["template"].line


def test_a_template_that_drops_reasoning_passes_and_says_so(
    tiny: SimpleNamespace, tmp_path: Path, checked: Any, lines: Any
) -> None:
    folder, file = tiny.checkpoint(tmp_path / "template"), tmp_path / "template.jinja"
    file.write_text(
        "{% for m in messages %}{{ m.role }}: {{ m.content if loop.last else m.content.split('</think>')[-1] }}\n"
        "{% endfor %}"
    )
    line = lines(checked(str(folder), template=file))["template"]
    assert line.status == "pass"
    assert line.line.partition("; special tokens")[0].endswith(
        "it drops reasoning before </think> in an earlier message, which runs count as template_dropped_text"
    )
    assert "drops" not in lines(checked(str(folder)))["template"].line


def test_wrong_truncation(build: SimpleNamespace, opened: Any, checked: Any, lines: Any) -> None:
    def forward(inner: Any, batch: Any) -> Any:
        return inner.forward(batch)

    def uncounted(rows: Any) -> Any:
        return [replace(row, truncated=False) for row in rows]

    def counted(rows: Any) -> Any:
        return [replace(row, truncated=True) for row in rows]

    def longer(rows: Any) -> Any:
        return [replace(row, ids=row.ids * 2, key="2" + row.key, size=row.size * 2) for row in rows]

    for encodes, said in (
        (uncounted, "is not marked as truncated"),
        (counted, "2 short rows are marked as truncated"),
        (longer, "a row of 256 tokens is over the limit of 128"),
    ):
        line = lines(checked(build.Adapter(opened, forward, encodes)))["truncation"]
        assert line.status == "fail"
        assert said in line.line


def test_the_end_that_is_lost(opened: Any, checked: Any, lines: Any) -> None:
    wrong = replace(opened, text=replace(opened.text, truncation_side="right"))
    line = lines(checked(wrong))["truncation"]  # its facts still say left
    assert line.status == "fail"
    assert "truncated on the side left, yet the end is lost" in line.line
