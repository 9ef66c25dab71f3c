"""Preferences that go round: a general preference model written by hand answers every comparison of the dice and of the
four-cycle, and the best scalar that there can be does not."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import rmbench
from rmbench.cli import main
from rmbench.records.store import find
from rmbench.tasks.registry import get
from rmbench.types import Example
from tests._make import exit_code

TASKS = ("dice-cycles", "gpm-four-cycle")
ARGS = {"tau": "1", "l2": "false", "eos_overwrite": "false"}


def save_lookup(folder: Path, vectors: Mapping[str, Sequence[float]]) -> Path:
    """A Llama whose layers add nothing, so that its last state is the embedding of the row's last token, and a value
    head that reads the token's vector off it. Each text of `vectors` is one token."""
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"<unk>": 0}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.add_tokens([AddedToken(text, normalized=False) for text in vectors])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<unk>", pad_token="<unk>")
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}\n{% endfor %}"
    tokenizer.save_pretrained(folder)
    width = len(next(iter(vectors.values())))
    size = width + 2 - width % 2
    config = LlamaConfig(
        vocab_size=len(vectors) + 1,
        hidden_size=size,
        intermediate_size=2,
        num_hidden_layers=1,
        num_attention_heads=1,
        max_position_embeddings=64,
        rms_norm_eps=1e-12,
    )
    tensors = LlamaForCausalLM(config).state_dict()
    # All embeddings have one length, so that the last normalisation is one factor, which the head takes back.
    square = 1 + max(sum(number**2 for number in vector) for vector in vectors.values())
    table = torch.zeros(len(vectors) + 1, size, dtype=torch.float64)
    for text, vector in [("<unk>", [0.0] * width), *vectors.items()]:
        row = table[tokenizer.convert_tokens_to_ids(text)]
        row[:width] = torch.tensor(vector, dtype=torch.float64)
        row[width] = math.sqrt(square - float(row @ row))
    tensors["model.embed_tokens.weight"] = table.float()
    for name in ("self_attn.o_proj", "mlp.down_proj"):
        tensors[f"model.layers.0.{name}.weight"].zero_()
    tensors["value_head.weight"] = (torch.eye(width, size, dtype=torch.float64) * math.sqrt(square / size)).float()
    save_file({name: value.contiguous() for name, value in tensors.items()}, folder / "model.safetensors")
    config.architectures = ["LlamaForCausalLM"]
    config.save_pretrained(folder)
    return folder


def texts_of(examples: Sequence[Example]) -> list[str]:
    return list(dict.fromkeys(each.text.strip() for example in examples for each in example.candidates))


def edges_of(example: Example) -> list[tuple[str, str, float]]:
    names = [each.text.strip() for each in example.candidates]
    return [(names[edge.i], names[edge.j], edge.strength) for edge in example.gold.relation]


def embeddings(examples: Sequence[Example]) -> dict[str, list[float]]:
    """[2 N] for each of N texts, whose margin is the strength of every comparison: with a_k the k-th unit vector and
    b_k[l] = M[l, k] / 2, the blocks (a_k[l], b_k[l]) add up to s(i, j) = b_j[i] - b_i[j] = M[i, j]."""
    texts = texts_of(examples)
    margin = {(i, j): 0.0 for i in texts for j in texts}
    for example in examples:
        for i, j, strength in edges_of(example):
            margin[i, j], margin[j, i] = strength, -strength
    return {k: [part for other in texts for part in (float(k == other), margin[other, k] / 2)] for k in texts}


def best_scalar(examples: Sequence[Example]) -> dict[str, list[float]]:
    """[1] for each text: of all orders of each set, one that agrees with the most comparisons."""
    found: dict[str, list[float]] = {}
    for example in examples:
        decided = [(i, j) if strength > 0 else (j, i) for i, j, strength in edges_of(example) if strength]
        orders = itertools.permutations(texts_of([example]))
        best = max(orders, key=lambda order: sum(order.index(i) < order.index(j) for i, j in decided))
        found |= {text: [float(-place)] for place, text in enumerate(best)}
    return found


def examples_of(source: str | Path) -> list[Example]:
    return [each for task in TASKS for each in rmbench.load_examples(get(task), source).examples]


def run(model: Path, source: str | Path, out: Path, **options: Any) -> rmbench.Results:
    return rmbench.run(str(model), list(TASKS), source=str(source), out=out, model_args=ARGS, **options)


def overall(record: Any) -> dict[str, float]:
    return {value.metric: value.value for value in record.results if value.group is None}


@pytest.fixture(scope="module")
def cyclic(data: Path, tmp_path_factory: pytest.TempPathFactory) -> rmbench.Results:
    """The model for the dice and the released four-cycle, on both."""
    folder = tmp_path_factory.mktemp("gpm")
    return run(save_lookup(folder / "model", embeddings(examples_of(data))), data, folder / "out")


def check_edges(results: rmbench.Results, examples: Sequence[Example]) -> None:
    rows = {row.id: row for folder in find(Path(results.out)) for row in rmbench.read_rows(folder)}
    assert rows.keys() == {example.id for example in examples}
    for example in examples:
        directed = rows[example.id].judgment.directed
        assert directed is not None
        for edge in example.gold.relation:
            assert directed[edge.i][edge.j] == pytest.approx(edge.strength, abs=1e-6)
            assert directed[edge.j][edge.i] == -directed[edge.i][edge.j]


def test_every_edge_of_the_dice_and_the_released_four_cycle(cyclic: rmbench.Results, data: Path) -> None:
    check_edges(cyclic, examples_of(data))
    dice, letters = (overall(record) for record in cyclic.records)
    assert dice["accuracy"] == letters["accuracy"] == 1.0
    assert dice["scalar_ceiling"] == pytest.approx((4 / 5 + 2 / 3 + 2 / 3) / 3)
    assert letters["scalar_ceiling"] == 0.75
    # Efron's four have one circle among four triples, the sets of three one each; opposite letters are not compared.
    assert dice["cyclic_triples"] == pytest.approx((1 / 4 + 1 + 1) / 3)
    assert letters["cyclic_triples"] == 0
    assert [record.counts.ties for record in cyclic.records] == [1, 0]  # Efron's second and fourth die


def test_every_edge_of_the_samples(tmp_path: Path) -> None:
    examples = examples_of("sample")
    results = run(save_lookup(tmp_path / "model", embeddings(examples)), "sample", tmp_path / "out")
    check_edges(results, examples)
    assert [overall(record)["accuracy"] for record in results.records] == [1.0, 1.0]


def test_the_best_scalar_reaches_the_ceiling_and_no_more(data: Path, tmp_path: Path) -> None:
    folder = save_lookup(tmp_path / "model", best_scalar(examples_of(data)))
    args = {name: value for name, value in ARGS.items() if name != "l2"}
    results = rmbench.run(
        str(folder), list(TASKS), source=str(data), out=tmp_path / "out", model_args=args, adapter="gpm"
    )
    for record in results.records:
        found = overall(record)
        assert found["accuracy"] == pytest.approx(found["scalar_ceiling"])
        assert found["cyclic_triples"] == 0
        assert record.intransitive is None
    assert overall(results.records[1])["accuracy"] == 0.75
    by_set = {row.id: row for folder in find(Path(results.out)) for row in rmbench.read_rows(folder)}
    for name, most in (("dice-efron", 4 / 5), ("dice-miwin", 2 / 3), ("dice-three-balanced", 2 / 3)):
        rewards = by_set[name].judgment.rewards
        assert rewards is not None
        decided = [edge for edge in by_set[name].gold.relation if edge.strength]
        right = sum((rewards[edge.i] - rewards[edge.j]) * edge.strength > 0 for edge in decided)
        assert right / len(decided) == pytest.approx(most)


def test_circles_are_counted_and_shown(cyclic: rmbench.Results, capsys: pytest.CaptureFixture[str]) -> None:
    facts = [record.intransitive for record in cyclic.records]
    assert [(each.cyclic, each.total, each.rows) for each in facts if each] == [(3, 6, 3), (0, 4, 1)]
    assert cyclic.to_dict()["intransitive"][0] == {"task": "dice-cycles", "cyclic": 3, "total": 6, "rows": 3}
    printed = cyclic._repr_mimebundle_()["text/plain"]
    assert "dice-cycles: 3 of 6 triples intransitive (.500), 3 rows" in printed
    assert "gpm-four-cycle: 0 of 4 triples intransitive (.000), 1 row" in printed
    assert exit_code("show", f"{cyclic.out}/dice-cycles@1") == 0
    assert "cycles 3 of 6 triples intransitive (.500), 3 rows" in capsys.readouterr().out


def test_score_prints_margins_of_all_pairs(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = save_lookup(tmp_path / "model", embeddings(examples_of(data)))
    dice = ["A: 2 2 4 4 9 9", "B: 1 1 6 6 8 8", "C: 3 3 5 5 7 7"]
    command = ["score", "-m", str(folder), "-p", "Which?", *(part for die in dice for part in ("-r", die))]
    command += ["--model-args", ",".join(f"{name}={value}" for name, value in ARGS.items())]
    with pytest.raises(SystemExit) as stopped:
        main(command)
    # 20 of 36 rolls against 16; sigmoid(1 / 9) = .5277
    lines = capsys.readouterr().out.splitlines()
    assert stopped.value.code == 0
    assert lines == [
        "A - B  margin +0.111111  P(A > B) 0.5277",
        "A - C  margin -0.111111  P(A > C) 0.4723",
        "B - C  margin +0.111111  P(B > C) 0.5277",
    ]
    assert exit_code(*command, "--json") == 0
    scored = json.loads(capsys.readouterr().out)
    assert scored["scores"] is None
    assert scored["margins"] == pytest.approx([1 / 9, -1 / 9])
    assert [row[0] for row in scored["directed"]] == pytest.approx([0, -1 / 9, 1 / 9])
