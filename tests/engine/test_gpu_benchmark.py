"""`benchmarks/gpu.py` on a CPU: its rows, its counts of operations, and its table."""

from __future__ import annotations

import json
import stat
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from rmbench.engine.plan import plan
from rmbench.models.backbone.attention import TORCH

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SMALL = ["--device", "cpu", "--layers", "2", "--prompts", "3", "--tokens", "192", "--rounds", "1"]


@pytest.fixture(scope="module")
def gpu() -> Iterator[Any]:
    sys.path.insert(0, str(BENCHMARKS))
    yield import_module("gpu")
    sys.path.remove(str(BENCHMARKS))


def lines(printed: str) -> dict[str, list[str]]:
    """The table's cells behind each way."""
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in printed.splitlines() if line[:2] == "| "]
    return {way: rest for way, *rest in cells}


def test_without_a_gpu_nothing_is_measured(
    gpu: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="nothing was run"):
        gpu.main([])
    found = lines(capsys.readouterr().out)
    assert [*found] == ["way", "padded", "segments", "varlen", "flex", "vllm"]
    assert all(rest == ["", "", "", "", "", "not run"] for way, rest in found.items() if way != "way")


PEER = """#!{python}
import json, sys
import torch, transformers
from rmbench.models.checkpoint.torchvision_ops import declare_missing_operators
declare_missing_operators()
script, times, folder, file, dtype, device = sys.argv[1:]
assert script.endswith("run_vllm.py") and (dtype, device) == ("float32", "cpu")
transformers.AutoTokenizer.from_pretrained(folder)
model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
with torch.inference_mode():
    ids = json.load(open(file))
    scores = [float(model(input_ids=torch.tensor([row]), use_cache=False).logits[0, 0]) for row in ids]
pairs = [scores[at : at + 2] for at in range(0, len(scores), 2)]
pairs[0] = pairs[0][::-1]
json.dump({{"loop": 2.0, "scores": pairs}}, open(times, "w"))
"""
"""The library in vLLM's place, row by row, with the first pair turned round."""


@pytest.mark.slow
@pytest.mark.skipif(TORCH < (2, 13), reason="flex attention is used from torch 2.13 on")
def test_every_way_on_a_cpu(gpu: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    peer = tmp_path / "python"
    root = f"\nsys.path.insert(0, {str(BENCHMARKS.parent)!r})"
    peer.write_text(PEER.format(python=sys.executable).replace("import json, sys", f"import json, sys{root}"))
    peer.chmod(peer.stat().st_mode | stat.S_IXUSR)
    out = tmp_path / "figures.jsonl"
    gpu.main([*SMALL, "--vllm", str(peer), "--work", str(tmp_path), "--out", str(out)])
    facts = json.loads(out.read_text())
    found = facts.pop("ways")
    shown = lines(capsys.readouterr().out)
    assert [*shown] == ["way", "padded", "segments", "varlen", "flex", "vllm"]
    pairs = facts["pairs"]
    for way in ("padded", "segments", "flex", "vllm"):
        assert found[way]["seconds"] > 0
        assert found[way]["computed tokens/s"] == pytest.approx(
            facts["computed_tokens"] / found[way]["seconds"], rel=0.1
        )
        assert found[way]["flips"] == f"{int(way == 'vllm')} of {pairs}"
        assert shown[way][4] == found[way]["flips"]
    assert found["padded"]["largest difference / spread"] == 0
    assert 0 < found["segments"]["largest difference / spread"] < 1e-3
    assert 0 < found["flex"]["largest difference / spread"] < 1e-3
    assert found["flex"]["said"].startswith("lean by flex: ")
    assert "seconds" not in found["varlen"]
    assert "lean by varlen: NotImplementedError: " in found["varlen"]["said"]
    assert shown["varlen"][:5] == [""] * 5


def test_operations_are_counted_token_by_token(gpu: Any) -> None:
    ids = gpu.rows_of(SimpleNamespace(mix=None, prompts=4, tokens=128), 2000)
    assert len(ids) % 2 == 0
    assert all(one != other for one, other in zip(ids[::2], ids[1::2], strict=True))
    rows = gpu.encoded(ids)
    planned = plan(rows, 300, share=True)
    prefixes = {tuple(row[: at + 1]) for row in ids for at in range(len(row))}
    # What rows share is computed once where they are in one group; here every prompt is one.
    assert planned.statistics.computed_tokens == len(prefixes)
    assert gpu.visible(rows, planned) == sum(map(len, prefixes))
    import transformers

    config = transformers.LlamaConfig(**{**gpu.SHAPE, "num_hidden_layers": 1})
    with torch.device("meta"):
        layer = transformers.AutoModel.from_config(config).layers[0]
    weights = sum(each.numel() for each in layer.parameters() if each.dim() == 2)
    assert gpu.operations({**gpu.SHAPE, "num_hidden_layers": 3}, 5, 0) == 3 * 2 * weights * 5
    assert gpu.operations({**gpu.SHAPE, "num_hidden_layers": 3}, 0, 7) == 3 * 4 * 4096 * 7
