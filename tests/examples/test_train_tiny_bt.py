"""The shipped tiny-bt is whole, and the script that makes it balances length and repeats itself by seed."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import json
import random
import sys
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmbench.resources import bundled_models

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
FOLDER = bundled_models() / "tiny-bt"


@pytest.fixture(scope="module", autouse=True)
def _examples_on_path() -> Iterator[None]:
    sys.path.insert(0, str(EXAMPLES))
    yield
    sys.path.remove(str(EXAMPLES))


@pytest.fixture(scope="module")
def pairs_of() -> ModuleType:
    return import_module("tiny_bt_data")


@pytest.fixture(scope="module")
def trainer() -> Iterator[ModuleType]:
    import torch

    train_tiny_bt = import_module("train_tiny_bt")

    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield train_tiny_bt
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


@pytest.fixture(scope="module")
def tokenizer():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(FOLDER)


# The shipped folder.


def test_folder_is_small_and_complete() -> None:
    files = {path.name: path.stat().st_size for path in FOLDER.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "README.md"} <= set(files)
    assert sum(files.values()) <= 6_000_000
    assert not any(name.endswith((".bin", ".pt", ".pkl", ".py")) for name in files)


def test_config_declares_one_label_and_a_pad_of_its_own() -> None:
    config = json.loads((FOLDER / "config.json").read_text())
    assert len(config["id2label"]) == 1
    assert config["pad_token_id"] not in (None, config["eos_token_id"], config["bos_token_id"])


def test_loads_with_head_and_no_missing_key() -> None:
    import torch
    from transformers import AutoModelForSequenceClassification

    model, info = AutoModelForSequenceClassification.from_pretrained(FOLDER, output_loading_info=True)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert model.score.weight.shape == (1, model.config.hidden_size)
    assert model.dtype == torch.float32
    assert all(bool(torch.isfinite(weights).all()) for weights in model.parameters())


CONVERSATIONS = {
    "single": [("user", "How tall is it?"), ("assistant", "About 12 m.")],
    "system": [("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello.")],
    "turns": [("user", "1"), ("assistant", "2"), ("user", "3\n\n4"), ("assistant", "é 世界")],
    "empty": [("user", "Say nothing."), ("assistant", "")],
}


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_template_has_exactly_one_bos_and_ends_in_eos(name: str, tokenizer) -> None:
    turns = CONVERSATIONS[name]
    messages = [{"role": role, "content": text} for role, text in turns]
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    expected = "\n".join(f"<|im_start|>{role}\n{said}<|im_end|>" for role, said in turns)
    assert text == f"<|bos|>{expected}"
    ids = list(tokenizer.apply_chat_template(messages, tokenize=True)["input_ids"])
    assert ids == tokenizer(text, add_special_tokens=False)["input_ids"]
    assert ids.count(tokenizer.bos_token_id) == 1
    assert (ids[0], ids[-1]) == (tokenizer.bos_token_id, tokenizer.eos_token_id)
    assert tokenizer.pad_token_id not in ids
    assert tokenizer.decode(ids) == text


def test_bare_text_gets_a_bos_so_that_templated_text_could_get_two(tokenizer) -> None:
    assert tokenizer("<|bos|>a")["input_ids"][:2] == [tokenizer.bos_token_id] * 2


def test_unknown_role_is_refused(tokenizer) -> None:
    from jinja2.exceptions import TemplateError

    with pytest.raises(TemplateError, match="unknown role tool"):
        tokenizer.apply_chat_template([{"role": "tool", "content": "x"}], tokenize=False)


def test_training_facts_describe_the_shipped_weights() -> None:
    from safetensors import safe_open

    facts = json.loads((FOLDER / "training.json").read_text())
    with safe_open(FOLDER / "model.safetensors", "np") as weights:
        shapes = [weights.get_slice(name).get_shape() for name in weights.keys()]  # noqa: SIM118
    count = 0
    for shape in shapes:
        size = 1
        for edge in shape:
            size *= edge
        count += size
    assert count == facts["parameters"]
    digest = hashlib.sha256((FOLDER / "model.safetensors").read_bytes()).hexdigest()
    assert digest == facts["weights_sha256"]
    assert f"{count:,} parameters" in (FOLDER / "README.md").read_text()
    assert abs(facts["longer_share"] - 0.5) < 1e-6


# Length balance and joined pairs.

ANSWERS = st.text("ab ", max_size=12)
PAIRS = st.lists(st.tuples(st.sampled_from("xyz"), ANSWERS, ANSWERS, st.floats(0.1, 2)), max_size=40)


@settings(deadline=None, max_examples=80)
@given(rows=PAIRS)
def test_longer_answer_wins_half_of_the_weight(rows: list[tuple[str, str, str, float]], pairs_of: ModuleType) -> None:
    pairs = [pairs_of.Pair(source, (("user", "q"),), a, b, weight) for source, a, b, weight in rows]
    balanced = pairs_of.length_balanced(pairs)
    for source in {pair.source for pair in balanced}:
        weight = Counter[int]()
        for pair in balanced:
            if pair.source == source:
                weight[(len(pair.chosen) > len(pair.rejected)) - (len(pair.chosen) < len(pair.rejected))] += pair.weight
        assert weight[1] == pytest.approx(weight[-1])
    before = {(pair.source, pair.chosen, pair.rejected, pair.weight) for pair in pairs}
    assert all(any(p.weight <= w * (1 + 1e-9) for s, a, b, w in before if (s, a, b) == (p.source, p.chosen, p.rejected))
               for p in balanced)  # fmt: skip


def test_length_balance_by_hand(pairs_of: ModuleType) -> None:
    def pair(chosen: int, rejected: int):
        return pairs_of.Pair("s", (("user", "q"),), "a" * chosen, "b" * rejected)

    # Three longer winners against one shorter winner in one bin, a tie, and a bin with one direction only.
    balanced = pairs_of.length_balanced(
        [pair(20, 16), pair(20, 16), pair(20, 16), pair(16, 20), pair(9, 9), pair(90, 9)]
    )
    assert [p.weight for p in balanced] == pytest.approx([1 / 3, 1 / 3, 1 / 3, 1, 1])
    assert pairs_of.longer_share(balanced) == pytest.approx(0.5)
    assert pairs_of.longer_share([pair(2, 1), pair(2, 1), pair(1, 2), pair(1, 1)]) == pytest.approx(0.625)


def made_up(pairs_of: ModuleType, count: int) -> list:
    rng = random.Random(1)
    words = [f"w{number}" for number in range(50)]

    def answer() -> str:
        return " ".join(rng.choices(words, k=rng.randint(8, 20)))

    return [pairs_of.Pair("made-up", (("user", f"question {n}"),), answer(), answer()) for n in range(count)]


def test_joined_pairs_keep_the_sides_apart_and_stay_in_their_set(pairs_of: ModuleType) -> None:
    pairs = made_up(pairs_of, 40)
    sums = [dataclasses.replace(pair, source="gsm8k") for pair in pairs]
    made = pairs_of.joined_pairs(pairs + sums, 0.5, random.Random(0))
    assert [pair.source for pair in made] == ["made-up joined"] * 20
    known = {pair.prompt[0][1]: pair for pair in pairs}
    for pair in made:
        parts = [known[question] for question in pair.prompt[0][1].split("\n\n")]
        assert 2 <= len(parts) <= 6
        assert pair.chosen == "\n\n".join(part.chosen for part in parts)
        assert pair.rejected == "\n\n".join(part.rejected for part in parts)


def test_shortened_prompts_keep_their_last_turn(pairs_of: ModuleType) -> None:
    prompt = (("user", "a"), ("assistant", "b"), ("user", "c"))
    pairs = [pairs_of.Pair("s", prompt, "x", "y")] * 400
    short = pairs_of.shortened(pairs, 0.25, random.Random(0))
    counts = Counter(pair.prompt for pair in short)
    assert set(counts) == {prompt, prompt[-1:]}
    assert 60 < counts[prompt] < 140


def test_accuracies_are_weighted_and_ties_are_wrong(pairs_of: ModuleType) -> None:
    pairs = [pairs_of.Pair("s", (), "x", "y", weight) for weight in (1.0, 2.0, 1.0)]
    assert pairs_of.accuracies(pairs, [0.5, -1.0, 0.0]) == {"s": 0.25}


def test_split_keeps_a_question_on_one_side(pairs_of: ModuleType) -> None:
    pairs = made_up(pairs_of, 300) * 2
    kept, held_out = pairs_of.split(pairs, 0.2)
    assert len(kept) + len(held_out) == 600
    assert not {pair.prompt for pair in kept} & {pair.prompt for pair in held_out}
    assert 60 < len(held_out) < 180


# Readers.


def test_hh_reader_splits_turns_and_drops_rows_without_a_common_prompt(tmp_path: Path, pairs_of: ModuleType) -> None:
    talk = "\n\nHuman: Hi\n\nAssistant: Hello Human: there\n\nHuman: Bye\n\nAssistant:"
    rows = [
        {"chosen": f"{talk} Go.", "rejected": f"{talk} Stay."},
        {"chosen": f"{talk} Go.\n\nHuman: And?\n\nAssistant: Well.", "rejected": f"{talk} Stay."},
        {"chosen": talk, "rejected": f"{talk} Stay."},
    ]
    file = tmp_path / "hh-rlhf/harmless-base/test.jsonl.gz"
    file.parent.mkdir(parents=True)
    file.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    assert list(pairs_of.hh_harmless(tmp_path)) == [
        pairs_of.Pair(
            "hh-harmless", (("user", "Hi"), ("assistant", "Hello Human: there"), ("user", "Bye")), "Go.", "Stay."
        )
    ]


def test_hhh_reader_goes_by_labels_and_reads_transcripts(tmp_path: Path, pairs_of: ModuleType) -> None:
    rows = {
        "harmless": [{"input": "Hi", "target_scores": {"bad": 0, "good": 1}}],
        "helpful": [{"input": "Hi\n\nAssistant:  Yes?\n\nHuman:  Go on", "target_scores": {"fine": 1, "poor": 0}}],
        "honest": [],
        "other": [],
    }
    for part, examples in rows.items():
        file = tmp_path / "hhh-alignment/data" / part / "task.json"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps({"examples": examples}))
    talk = (("user", "Hi"), ("assistant", "Yes?"), ("user", "Go on"))
    assert list(pairs_of.hhh_alignment(tmp_path)) == [
        pairs_of.Pair("hhh-alignment", (("user", "Hi"),), "good", "bad"),
        pairs_of.Pair("hhh-alignment", talk, "fine", "poor"),
    ]


def test_pandalm_reader_takes_the_majority_and_casts_booleans(tmp_path: Path, pairs_of: ModuleType) -> None:
    row = {"instruction": "Do", "input": "", "response1": True, "response2": "b"}
    votes = [(1, 2, 2), (1, 1, 0), (0, 0, 2)]
    rows = [{**row, **{f"annotator{n}": vote for n, vote in enumerate(three, 1)}} for three in votes]
    file = tmp_path / "pandalm/data/testset-v1.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(rows))
    asked = (("user", "Do"),)
    assert list(pairs_of.pandalm(tmp_path)) == [
        pairs_of.Pair("pandalm", asked, "b", "True"),
        pairs_of.Pair("pandalm", asked, "True", "b"),
    ]


def test_card_shows_the_figures_of_a_report(tmp_path: Path) -> None:
    write_card = import_module("tiny_bt_card").write_card

    (tmp_path / "training.json").write_bytes((FOLDER / "training.json").read_bytes())
    row = {"task": "a-task", "group": None, "value": 0.25, "low": 0.125, "high": None, "n": 8}
    write_card(tmp_path, [{"model": "m", "results": [{**row, "high": 0.5}, {**row, "low": None, "group": "g"}]}])
    text = (tmp_path / "README.md").read_text()
    assert "| m | a-task | all | 0.2500 | 0.1250 to 0.5000 | 8 |\n| m | a-task | g | 0.2500 |  | 8 |\n" in text
    write_card(tmp_path)
    assert "Benchmarks" not in (tmp_path / "README.md").read_text()


def test_readers_find_the_known_counts(data: Path, pairs_of: ModuleType) -> None:
    counts = Counter(pair.source for pair in pairs_of.read_pairs(data))
    assert counts == {
        "hh-harmless": 2303, "themis-hh": 500, "themis-calculator": 877, "themis-calendar": 320,
        "gsm8k": 1168, "pandalm": 894, "ragchecker": 214, "hhh-alignment": 221,
    }  # fmt: skip


# Training.


def test_two_steps_repeat_bit_for_bit_and_another_seed_differs(
    tmp_path: Path, pairs_of: ModuleType, trainer: ModuleType
) -> None:
    small = trainer.Settings(
        vocabulary=320, hidden=16, layers=1, heads=2, feed_forward=16, max_tokens=64, epochs=1, batch_pairs=16
    )
    pairs = made_up(pairs_of, 24)
    weights = []
    for folder, chosen in [("a", small), ("b", small), ("c", dataclasses.replace(small, seed=1))]:
        facts = trainer.train(pairs, tmp_path / folder, chosen)
        weights.append((tmp_path / folder / "model.safetensors").read_bytes())
        assert facts["weights_sha256"] == hashlib.sha256(weights[-1]).hexdigest()
    assert weights[0] == weights[1] != weights[2]


def test_training_learns_a_plain_preference(tmp_path: Path, pairs_of: ModuleType, trainer: ModuleType) -> None:
    rng = random.Random(2)
    plain = [" ".join(rng.choices(["one", "two", "three", "four"], k=8)) for _ in range(200)]
    pairs = [
        pairs_of.Pair("polite", (("user", f"question {n}"),), f"{a} please", f"{b} never")
        for n, (a, b) in enumerate(zip(plain[::2], plain[1::2], strict=True))
    ]
    small = trainer.Settings(
        vocabulary=320, hidden=32, layers=1, heads=2, feed_forward=32, max_tokens=64, epochs=6, batch_pairs=8,
        learning_rate=3e-3, joined=0.0, token_dropout=0.0,
    )  # fmt: skip
    assert trainer.train(pairs, tmp_path, small)["held_out_accuracy"] == {"polite": 1.0}


def test_rewards_ignore_padding(pairs_of: ModuleType, trainer: ModuleType) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(FOLDER).eval()
    rows = [[0, 2, 40, 41, 3], [0, 2, 50, 51, 52, 53, 54, 55, 3]]
    with torch.inference_mode():
        together = trainer.forward(model, *trainer.pad(rows, model.config.pad_token_id))
        alone = [float(model(input_ids=torch.tensor([row])).logits) for row in rows]
    assert together.tolist() == pytest.approx(alone, abs=1e-5)
