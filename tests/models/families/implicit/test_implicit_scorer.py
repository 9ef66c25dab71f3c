"""The adapter against a plain loop over the library's own logits."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from rmbench.engine.compute import compute
from rmbench.models.abilities import HiddenStateScorer
from rmbench.models.families.implicit import language
from rmbench.models.families.implicit.language import LanguageModel, token_logps
from rmbench.models.protocols import Batch, Group, MarginScorer, SharingScorer
from tests._make import encodes_alone

TOLERANCE = 2e-4
"""Absolute, on sums of some sixty float32 log-probabilities of up to -15."""


def figures(scorer, rows, name="reward", side="right") -> list[float]:
    """One figure of each row, all in one batch."""
    results = compute(scorer, rows, side)
    assert not any(result.error for result in results), results
    return [float(result.values[name][0]) for result in results]


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma2", "qwen2"])
def test_dpo_is_the_plain_loops(kind, policy, opened, plain, tiny, tmp_path):
    bos = kind != "qwen2"
    folders = [policy(tmp_path / str(seed), kind, seed=seed, bos=bos) for seed in range(2)]
    scorer = opened(*folders, beta=0.3)
    rows = scorer.encode(tiny.requests())
    own, ref = (plain(folder, rows) for folder in folders)
    lp, lr = [sum(tokens) for tokens in own], [sum(tokens) for tokens in ref]
    assert figures(scorer, rows) == pytest.approx([0.3 * (a - b) for a, b in zip(lp, lr, strict=True)], abs=TOLERANCE)
    assert figures(scorer, rows, "logp") == pytest.approx(lp, abs=TOLERANCE)
    assert figures(scorer, rows, "ref_logp") == pytest.approx(lr, abs=TOLERANCE)
    assert figures(scorer, rows, "tokens") == [len(tokens) for tokens in own]
    assert figures(scorer, rows, "beta") == pytest.approx([0.3] * len(rows))
    assert scorer.facts.settings["logits"] == "wanted positions"


def test_joint_rewards_count_the_prompt(pair, opened, plain, tiny):
    """DOVE: log p(instruction and response), here over every token of the row but the first."""
    scorer, answers = opened(*pair, scope="joint"), opened(*pair)
    rows = scorer.encode(tiny.requests())
    assert all(row.payload.start == 1 for row in rows)
    own, ref = (plain(folder, rows) for folder in pair)
    assert [len(tokens) for tokens in own] == [len(row.ids) - 1 for row in rows]
    expected = [0.1 * (sum(a) - sum(b)) for a, b in zip(own, ref, strict=True)]
    assert figures(scorer, rows) == pytest.approx(expected, abs=TOLERANCE)
    assert scorer.facts.settings["scope"] == "joint"
    assert "scope" not in answers.facts.settings
    assert scorer.facts.revision != answers.facts.revision
    # Of answers to one prompt the prompt's part is the same, so that margins are those of the answers alone.
    same = [tiny.request("Hi there, how are you?", text) for text in ("Boil it.", "No, not at all.")]
    joint, alone = figures(scorer, scorer.encode(same)), figures(answers, answers.encode(same))
    assert joint[0] - joint[1] == pytest.approx(alone[0] - alone[1], abs=TOLERANCE)
    other = [same[0], tiny.request("What else is new?", "No, not at all.")]
    joint, alone = figures(scorer, scorer.encode(other)), figures(answers, answers.encode(other))
    assert abs((joint[0] - joint[1]) - (alone[0] - alone[1])) > 0.01


def test_a_joint_reward_is_the_same_with_shared_prefixes(pair, opened, tiny):
    scorer = opened(*pair, scope="joint")
    prompt = "A long question, of which all answers share the whole beginning: what shall I cook tonight?"
    rows = scorer.encode([tiny.request(prompt, text) for text in ("Boil it.", "Soup, with bread.", "Nothing at all.")])
    alone = [figures(scorer, [row])[0] for row in rows]
    prefix = next(k for k in range(99) if len({row.ids[: k + 1] for row in rows}) > 1)
    assert prefix > 16
    none = np.zeros((0, 0), dtype=np.int64)
    grouped = Batch(tuple(rows), none, none, np.zeros(3, dtype=np.int64), groups=(Group(prefix, 3),))
    assert scorer.sharing([grouped]).shares
    assert scorer.forward(grouped)["reward"][:, 0].tolist() == pytest.approx(alone, abs=TOLERANCE)


def test_soft_capping_is_part_of_the_model(policy, opened, plain, tiny, tmp_path):
    folder = policy(tmp_path / "m", "gemma2", final_logit_softcapping=0.5)
    scorer = opened(folder, score="logp")
    rows = scorer.encode(tiny.requests())
    expected = [sum(tokens) for tokens in plain(folder, rows)]
    assert figures(scorer, rows) == pytest.approx(expected, abs=TOLERANCE)
    uncapped = replace(scorer, policy=replace(scorer.policy, after=lambda logits: logits))
    assert max(abs(a - b) for a, b in zip(figures(uncapped, rows), expected, strict=True)) > 1


@pytest.mark.parametrize(("kind", "changes"), [("Cohere", {"logit_scale": 0.25}), ("Granite", {"logits_scaling": 3.0})])
def test_models_that_scale_their_logits(kind, changes, policy, opened, plain, tiny, tmp_path):
    folder = policy(tmp_path / "m", kind, **changes)
    scorer = opened(folder, score="logp")
    rows = scorer.encode(tiny.requests(3))
    assert figures(scorer, rows) == pytest.approx([sum(tokens) for tokens in plain(folder, rows)], abs=TOLERANCE)
    assert scorer.facts.settings["logits"] == "wanted positions"


@pytest.mark.parametrize("score", ["logp", "avg", "norm", "simpo", "orpo", "cpo"])
def test_scores_without_a_reference(score, pair, opened, plain, tiny):
    scorer = opened(pair[0], score=score)
    rows = scorer.encode(tiny.requests())
    expected = []
    for tokens in plain(pair[0], rows):
        lp, mean = sum(tokens), sum(tokens) / len(tokens)
        norm = math.sqrt(sum(token**2 for token in tokens))
        odds = mean - math.log(1 - math.exp(mean))
        expected.append(
            {"logp": lp, "avg": mean, "norm": -norm, "simpo": 2 * mean, "orpo": odds, "cpo": 0.1 * lp}[score]
        )
    assert figures(scorer, rows) == pytest.approx(expected, abs=TOLERANCE)
    names = set(compute(scorer, rows[:1], "right")[0].values)
    assert names == {"reward", "logp", "tokens"}


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_neighbours_padding_and_its_side_change_nothing(kind, policy, opened, tiny, tmp_path):
    scorer = opened(policy(tmp_path / "a", kind), policy(tmp_path / "b", kind, seed=1))
    rows = scorer.encode(tiny.requests())
    alone = [figures(scorer, [row])[0] for row in rows]
    for side in ("right", "left"):
        assert figures(scorer, rows, side=side) == pytest.approx(alone, abs=1e-4)
        wide = scorer.forward(tiny.batch(rows, scorer.pad_id, side, extra=9))
        assert wide["reward"][:, 0].tolist() == pytest.approx(alone, abs=1e-4)
    assert len({round(value, 3) for value in alone}) == len(alone)


def test_whole_logits_and_small_parts_give_the_same(pair, opened, tiny, monkeypatch):
    scorer = opened(*pair)
    rows = scorer.encode(tiny.requests())
    expected = figures(scorer, rows)
    whole = replace(
        scorer,
        policy=LanguageModel(scorer.policy.model, None, scorer.policy.after),
        references=tuple(LanguageModel(one.model, None, one.after) for one in scorer.references),
    )
    assert whole.policy.way == "whole batch"
    monkeypatch.setattr(language, "_LOGITS_AT_ONCE", 3 * 400)
    for side in ("right", "left"):
        assert figures(whole, rows, side=side) == pytest.approx(expected, abs=1e-4)
        assert figures(scorer, rows, side=side) == pytest.approx(expected, abs=1e-4)


def test_no_float32_logits_beyond_a_part_are_ever_held(pair, opened, tiny, monkeypatch):
    scorer = opened(pair[0], score="logp")
    rows = scorer.encode(tiny.requests())
    seen: list[int] = []
    head = scorer.policy.model.get_output_embeddings()
    hook = head.register_forward_hook(lambda module, given, logits: seen.append(logits.shape[0]))
    monkeypatch.setattr(language, "_LOGITS_AT_ONCE", 5 * 400)
    figures(scorer, rows)
    hook.remove()
    assert max(seen) == 5
    assert sum(seen) == sum(len(row.ids) - row.payload.start for row in rows)


def test_an_unknown_ending_of_the_model_takes_its_own_forward(policy, opened, tiny, tmp_path, plain):
    folder = policy(tmp_path / "m")
    known = opened(folder, score="logp")
    model = known.policy.model

    class Odd(torch.nn.Linear):
        """Gives something else than what the model's forward gives."""

    plain_head = model.lm_head
    odd = Odd(32, 400, bias=False)
    model.get_output_embeddings = lambda: odd
    rows = known.encode(tiny.requests(3))
    found = language.language_model(model, tiny.batch(rows, 1))
    assert found.backbone is None
    assert model.lm_head is plain_head
    expected = [sum(tokens) for tokens in plain(folder, rows)]
    assert figures(replace(known, policy=found), rows) == pytest.approx(expected, abs=TOLERANCE)


def test_the_softmax_is_in_float32():
    torch.manual_seed(0)
    logits = (torch.randn(50, 300) * 4).bfloat16()
    targets = torch.randint(300, (50,))
    found = token_logps(iter((logits[:20], logits[20:])), targets)
    exact = logits.double().log_softmax(-1)[torch.arange(50), targets]
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), exact, atol=1e-5, rtol=0)


def test_token_masks_weight_the_reward_and_no_part(pair, opened, plain, tiny, tmp_path):
    import hashlib
    import json

    request = tiny.request("Hi", "Boil it.")
    (bare,) = opened(*pair).encode([request])
    (own,), (ref,) = plain(pair[0], [bare]), plain(pair[1], [bare])
    weights = [(k % 3) / 2 for k in range(len(own))]
    file = tmp_path / "masks.jsonl"
    file.write_text(json.dumps({"answer": hashlib.sha256(b"Boil it.").hexdigest(), "weights": weights}))
    scorer = opened(*pair, token_mask=file)
    rows = scorer.encode([request])
    expected = 0.1 * sum(w * (a - b) for w, a, b in zip(weights, own, ref, strict=True))
    assert figures(scorer, rows) == pytest.approx([expected], abs=TOLERANCE)
    assert figures(scorer, rows, "logp") == pytest.approx([sum(own)], abs=TOLERANCE)
    assert abs(expected - 0.1 * (sum(own) - sum(ref))) > 1e-3


def test_fused_references(pair, policy, opened, plain, tiny, tmp_path):
    second = policy(tmp_path / "second", seed=2)
    joined = f"{pair[1]},{second}"
    rows = opened(pair[0]).encode(tiny.requests())
    own, one, two = ([sum(tokens) for tokens in plain(folder, rows)] for folder in (pair[0], pair[1], second))
    fused = {
        (): [(a + b) / 2 for a, b in zip(one, two, strict=True)],
        (("ref_weights", "3:1"),): [(3 * a + b) / 4 for a, b in zip(one, two, strict=True)],
        (("fusion", "max"),): [max(a, b) for a, b in zip(one, two, strict=True)],
    }
    assert len({a > b for a, b in zip(one, two, strict=True)}) == 2  # each is the likelier one somewhere
    for args, lr in fused.items():
        scorer = opened(pair[0], joined, **dict(args))
        assert figures(scorer, rows, "ref_logp") == pytest.approx(lr, abs=TOLERANCE)
        expected = [0.1 * (a - b) for a, b in zip(own, lr, strict=True)]
        assert figures(scorer, rows) == pytest.approx(expected, abs=TOLERANCE)


def test_an_empty_answer_has_probability_one(pair, opened, tiny):
    scorer = opened(*pair, eos=False)
    rows = scorer.encode([tiny.request("Hi", ""), tiny.request("Hi", "Yo")])
    for name in ("reward", "logp", "ref_logp", "tokens"):
        values = figures(scorer, rows, name)
        assert values[0] == 0
        assert values[1] != 0
        assert figures(scorer, rows[:1], name) == [0]


def test_a_model_that_is_broken_fails_its_rows_alone(pair, opened, tiny):
    scorer = opened(pair[0], score="logp")
    with torch.no_grad():
        scorer.policy.model.lm_head.weight[7] = float("nan")
    results = compute(scorer, scorer.encode(tiny.requests(2)), "right")
    assert all("NaN" in result.error for result in results)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma2"])
def test_prompts_and_beginnings_of_answers_may_be_computed_once(kind, policy, opened, tiny, tmp_path):
    scorer = opened(policy(tmp_path / "a", kind), policy(tmp_path / "b", kind, seed=1))
    question = "How do I boil an egg?"
    replies = ("Put it into boiling water", "Put it into boiling water.", "Put it away", "No")
    rows = scorer.encode([tiny.request(question, reply) for reply in replies])
    expected = {name: figures(scorer, rows, name) for name in ("reward", "logp", "ref_logp", "tokens")}
    shared = next(k for k in range(len(rows[0].ids)) if len({row.ids[k] for row in rows[:2]}) > 1)
    assert shared > rows[0].payload.start  # the prefix of the first two goes into their answers
    common = rows[0].payload.start
    none = np.empty((4, 0), dtype=np.int64)
    grouped = Batch(tuple(rows), none, none, np.zeros(4, dtype=np.int64), groups=(Group(shared, 2), Group(common, 2)))
    assert isinstance(scorer, SharingScorer)
    said = scorer.sharing([grouped])
    assert said.shares, said.why
    found = scorer.forward(grouped)
    for name, values in expected.items():
        assert found[name][:, 0].tolist() == pytest.approx(values, abs=TOLERANCE), name
    assert figures(scorer, rows) == pytest.approx(expected["reward"], abs=TOLERANCE)


def test_one_model_that_cannot_share_keeps_all_from_it(pair, opened, tiny):
    scorer = opened(*pair)
    whole = replace(scorer, references=(LanguageModel(scorer.references[0].model, None, scorer.references[0].after),))
    rows = tuple(scorer.encode(tiny.requests(2)))
    none = np.empty((2, 0), dtype=np.int64)
    grouped = Batch(rows, none, none, np.zeros(2, dtype=np.int64), groups=(Group(1, 2),))
    assert scorer.sharing([grouped]).shares
    assert not whole.sharing([grouped]).shares
    assert whole.threads == 1


def test_it_answers_rewards_and_no_hidden_states(pair, opened):
    scorer = opened(pair[0])
    assert scorer.answers == {"reward"}
    assert not isinstance(scorer, HiddenStateScorer)
    assert not isinstance(scorer, MarginScorer)


@pytest.mark.parametrize("how", [{}, {"scope": "joint"}, {"max_length": 20}])
def test_it_encodes_without_its_models(pair, opened, tiny, how):
    assert encodes_alone(opened(*pair, **how), tiny.requests())
