"""How fast an 8B reward model scores on a GPU by each way of attending over rows that share beginnings, beside padded
rows of the same and beside vLLM's pooling with its prefix cache.

    RMBENCH_DATA=FOLDER python benchmarks/gpu.py --mix mix1000 --vllm VLLM/bin/python
    python benchmarks/gpu.py --device cpu --layers 2 --prompts 4 --tokens 256

The first needs a CUDA device, and prints a table of "not run" where there is none. The second goes through the same
code with the small model of `compare.py` in float32, and says nothing about speed. Weights are random. Rows are real
pairs of `mixes.py`, or made ones of the lengths that best-of-n sets have. Every way is given the same rows; its scores
are held against those of padded rows, which are the library's own forward: the largest difference over the spread of
scores, and the pairs whose preference flips. vLLM is given token ids in a process of its own, after ours; the model is
written to --work for it. FLOPs are 2 per weight outside embedding and head and token computed, and 4 x heads x head
size per layer for each key that a token sees; tokens that rows share are counted once, padding never.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import compare
import tiny_model
from peak import peak as cpu_peak

SHAPE = {
    "vocab_size": 128_256,
    "hidden_size": 4096,
    "intermediate_size": 14_336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 131_072,
}
"""Llama's 8B, 6.98 billion weights outside embedding and head."""
COLUMNS = ("way", "seconds", "computed tokens/s", "of the peak", "largest difference / spread", "flips", "")


def main(argv: Sequence[str] | None = None) -> None:
    """Measure every way in turn and print a table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    arguments.add_argument("--attention", default="segments,varlen,flex", help="Ways to attend, separated by commas.")
    arguments.add_argument("--mix", help="Real pairs, such as mix1000 or bon4/8; made ones if it is left out.")
    arguments.add_argument("--prompts", type=int, default=24, help="Of made rows.")
    arguments.add_argument("--tokens", type=int, default=4096, help="Of the longest made rows.")
    arguments.add_argument("--layers", type=int, help="The shape's own if it is left out.")
    arguments.add_argument("--rounds", type=int, default=3, help="Timed ones; one more warms up.")
    arguments.add_argument("--vllm", help="Python of vLLM's environment.")
    arguments.add_argument("--work", type=Path, default=Path("out/benchmarks"))
    arguments.add_argument("--out", type=Path, help="A file that the figures are added to as a JSON line.")
    given = arguments.parse_args(argv)
    import torch

    ways = ["padded", *given.attention.split(",")]
    if given.device == "cuda" and not torch.cuda.is_available():
        print(table({way: {"said": "not run"} for way in [*ways, "vllm"]}))
        raise SystemExit("No CUDA device here: nothing was run.")
    facts, found = measured(given, ways)
    print(", ".join(f"{name} {value}" for name, value in facts.items()))
    print(table(found))
    if given.out:
        with given.out.open("a") as file:
            file.write(json.dumps({**facts, "ways": found}) + "\n")


def measured(given: Any, ways: Sequence[str]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Facts of the machine and the rows, and of each way its figures or why it has none."""
    import torch

    from rmbench.engine.plan import plan
    from rmbench.models.backbone.backbone import Backbone

    shape = {**(SHAPE if given.device == "cuda" else tiny_model.SHAPE)}
    shape["num_hidden_layers"] = given.layers or shape["num_hidden_layers"]
    dtype = torch.bfloat16 if given.device == "cuda" else torch.float32
    model, ids = made(shape, given.device, dtype), rows_of(given, shape["vocab_size"])
    if given.vllm:
        model.save_pretrained(given.work / "gpu")
        tiny_model.write_tokenizer(given.work / "gpu", [""])
    rows = encoded(ids)
    backbones = {way: Backbone(model.model, None if way == "padded" else way) for way in ways}
    budget = backbones["padded"].chunk_tokens
    shared, padded = plan(rows, budget, share=True), plan(rows, budget)
    flops = operations(shape, shared.statistics.computed_tokens, visible(rows, shared))
    batches = [batch_of(rows, shared, chunk) for chunk in shared.chunks]
    said = {way: backbone.sharing(batches) for way, backbone in backbones.items() if way != "padded"}
    run = [way for way in ways if way == "padded" or said[way].shares]
    peaks = [peak(given.device)]
    times: dict[str, list[float]] = {way: [] for way in run}
    scores: dict[str, Any] = {}
    for _ in range(given.rounds + 1):
        for way in run:
            seconds, scores[way] = timed(model, backbones[way], rows, padded if way == "padded" else shared)
            times[way].append(seconds)
        peaks.append(peak(given.device))
    found: dict[str, dict[str, Any]] = {
        way: {"said": "the library's forward" if way == "padded" else said[way].why} for way in ways
    }
    for way in run:
        seconds = statistics.median(times[way][1:])
        found[way] |= figures(seconds, shared, flops, max(peaks)) | against(scores["padded"], scores[way])
    facts = {
        "device": torch.cuda.get_device_name() if given.device == "cuda" else "cpu",
        "torch": torch.__version__,
        "dtype": str(dtype).removeprefix("torch."),
        "layers": shape["num_hidden_layers"],
        "mix": given.mix or "made",
        "pairs": len(rows) // 2,
        "asked_tokens": shared.statistics.asked_tokens,
        "computed_tokens": shared.statistics.computed_tokens,
        "padding_of_padded": round(padded.statistics.padding_share, 4),
        "peak_tflops": [round(each / 1e12, 2) for each in peaks],
    }
    if given.vllm:
        del model, backbones
        if given.device == "cuda":
            torch.cuda.empty_cache()
        loop, theirs = by_vllm(given, ids, facts["dtype"])
        found["vllm"] = {"said": "its loop, with its scheduling"}
        found["vllm"] |= figures(loop, shared, flops, max(peaks)) | against(scores["padded"], theirs)
    else:
        found["vllm"] = {"said": "not run: --vllm names no environment"}
    return facts, found


def made(shape: dict[str, int], device: str, dtype: Any) -> Any:
    """A scalar reward model of this shape with random weights, made on the device."""
    import torch
    import transformers

    from rmbench.models.checkpoint.torchvision_ops import declare_missing_operators

    declare_missing_operators()
    config = transformers.LlamaConfig(
        **shape,
        initializer_range=shape["hidden_size"] ** -0.5,  # states that react to what they read
        attn_implementation="sdpa",
        pad_token_id=0,
        eos_token_id=2,
        bos_token_id=None,
        num_labels=1,
        dtype=dtype,
    )
    torch.manual_seed(0)
    with torch.device(device):
        return transformers.AutoModelForSequenceClassification.from_config(config, dtype=dtype).eval()


def rows_of(given: Any, vocabulary: int) -> list[list[int]]:
    """Token ids of each pair's two rows, pair after pair. A made prompt has two to four answers, the first of them
    against each of the others."""
    if given.mix:
        given.work.mkdir(parents=True, exist_ok=True)
        found: list[list[int]] = json.loads(compare.ids_of(*compare.prepare(given.work, given.mix)).read_text())
        return found
    draw = random.Random(0)
    rows = []
    for _ in range(given.prompts):
        prompt = draw.choices(range(1000, vocabulary), k=draw.randrange(given.tokens // 8, given.tokens // 2))
        lengths = [draw.randrange(given.tokens // 64, given.tokens // 2) for _ in range(draw.randrange(2, 5))]
        first, *others = (prompt + draw.choices(range(1000, vocabulary), k=length) for length in lengths)
        rows += [row for other in others for row in (first, other)]
    return rows


def encoded(ids: Sequence[Sequence[int]]) -> list[Any]:
    """As the planner takes rows; equal ones have one key."""
    from rmbench.models.protocols import Encoded

    return [Encoded(" ".join(map(str, row)), len(row), tuple(row)) for row in ids]


def batch_of(rows: Sequence[Any], planned: Any, chunk: Any) -> Any:
    """A chunk as the backbone takes it."""
    from rmbench.engine.batch import collate, in_groups

    members = [rows[planned.first[row]] for row in chunk.rows]
    return in_groups(members, chunk.groups) if chunk.groups else collate(members, 0)


def timed(model: Any, backbone: Any, rows: Sequence[Any], planned: Any) -> tuple[float, list[float]]:
    """Seconds of all chunks, and the scores in the order of the rows."""
    import torch

    from rmbench.models.backbone.tensors import linear_head

    batches = [batch_of(rows, planned, chunk) for chunk in planned.chunks]
    wait(backbone.device)
    began = time.perf_counter()
    with torch.inference_mode():
        states = torch.cat([backbone.last(batch) for batch in batches])
        scores = linear_head(states, model.score.weight, None, torch.float32)[:, 0]
    wait(backbone.device)
    seconds = time.perf_counter() - began
    return seconds, [float(scores[planned.row_of[request]]) for request in range(len(rows))]


def by_vllm(given: Any, ids: Sequence[Sequence[int]], dtype: str) -> tuple[float, list[float]]:
    """Seconds of vLLM's loop, and its scores in the order of the rows."""
    file, times = given.work / "gpu.ids.json", given.work / "gpu.vllm.json"
    file.write_text(json.dumps(ids))
    compare.run_script(given.vllm, "vllm", times, given.work / "gpu", file, dtype, given.device)
    said = json.loads(times.read_text())
    return said["loop"], [score for pair in said["scores"] for score in pair]


def figures(seconds: float, planned: Any, flops: float, best: float) -> dict[str, Any]:
    """Of so many seconds for the rows of a plan."""
    return {
        "seconds": round(seconds, 3),
        "computed tokens/s": round(planned.statistics.computed_tokens / seconds),
        "of the peak": round(flops / seconds / best, 4),
    }


def against(expected: Sequence[float], scores: Sequence[float]) -> dict[str, Any]:
    """How far scores are from those expected, over the latter's spread, and how many pairs are ordered otherwise."""
    worst = max(abs(one - other) for one, other in zip(expected, scores, strict=True))
    pairs = [tuple(zip(each[::2], each[1::2], strict=True)) for each in (expected, scores)]
    flips = sum((a > b) != (c > d) for (a, b), (c, d) in zip(*pairs, strict=True))
    return {"largest difference / spread": worst / statistics.pstdev(expected), "flips": f"{flips} of {len(pairs[0])}"}


def operations(shape: dict[str, int], tokens: int, seen: int) -> float:
    """FLOPs of so many tokens that see so many keys in all."""
    hidden, heads = shape["hidden_size"], shape["num_attention_heads"] * shape["head_dim"]
    keys = shape["num_key_value_heads"] * shape["head_dim"]
    weights = 2 * hidden * heads + 2 * hidden * keys + 3 * hidden * shape["intermediate_size"]
    return shape["num_hidden_layers"] * (2.0 * weights * tokens + 4.0 * heads * seen)


def visible(rows: Sequence[Any], planned: Any) -> int:
    """Sum over tokens computed of the keys that each sees."""
    seen = 0
    for chunk in planned.chunks:
        start = chunk.rows.start
        for group in chunk.groups:
            own = [rows[planned.first[row]].size - group.prefix for row in range(start, start + group.rows)]
            seen += group.prefix * (group.prefix + 1) // 2
            seen += sum(n * group.prefix + n * (n + 1) // 2 for n in own)
            start += group.rows
    return seen


def peak(device: str) -> float:
    """FLOP/s of matrix products: on a GPU of 8,192 cubed random bf16 ones, the best of ten."""
    if device == "cpu":
        return cpu_peak(seconds=0.5) * 1e9
    import torch

    size = 8192
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    best = 0.0
    for _ in range(10):
        wait(a.device)
        began = time.perf_counter()
        for _ in range(5):
            a @ b
        wait(a.device)
        best = max(best, 5 * 2.0 * size**3 / (time.perf_counter() - began))
    return best


def wait(device: Any) -> None:
    """Until the device has done what it was given."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)


def table(found: dict[str, dict[str, Any]]) -> str:
    """A Markdown table, a line for each way."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    for way, said in found.items():
        values = [said.get(name, "") for name in COLUMNS[1:-1]]
        cells = [f"{value:.2g}" if isinstance(value, float) and value < 1 else str(value) for value in values]
        lines.append("| " + " | ".join([way, *cells, said["said"]]) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
