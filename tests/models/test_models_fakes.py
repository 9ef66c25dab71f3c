"""Fakes, baselines and callables."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rmbench.errors import RmbenchError
from rmbench.models.fakes import FAKES, levels
from rmbench.models.open import OpenOptions, open_model
from rmbench.models.protocols import Batch, MarginScorer, Responder, Scorer
from rmbench.types import Candidate, Edge, Example, Gold, Judgment


def example(gold: Gold, size: int = 2, id_: str = "0") -> Example:
    return Example(id_, (), tuple(Candidate.of("x" * (k + 1)) for k in range(size)), gold)


def ask(kind: str, row: Example, task: str = "t", seed: int = 0) -> Judgment:
    model = open_model(kind, OpenOptions(seed=seed))
    assert isinstance(model, Responder)
    return model.judge(task, row)


PAIR = Gold((Edge(1, 0),))
STYLES = Gold(tuple(Edge(i, 3 + j) for i in range(3) for j in range(3)))
RATED = Gold(ratings=((2.0, 5.0), (3.0, 1.0)), dimensions=("depth", "overall"))
CYCLE = Gold((Edge(0, 1), Edge(1, 2), Edge(2, 0)))


@pytest.mark.parametrize(("gold", "size"), [(PAIR, 2), (STYLES, 6)])
def test_the_oracle_agrees_with_every_comparison_and_anti_with_none(gold: Gold, size: int) -> None:
    best, worst = ask("fake:oracle", example(gold, size)).rewards, ask("fake:anti", example(gold, size)).rewards
    assert best is not None
    assert worst is not None
    assert all(best[edge.i] > best[edge.j] and worst[edge.i] < worst[edge.j] for edge in gold.relation)


def test_every_chosen_answer_stands_above_every_rejected_one() -> None:
    rewards = ask("fake:oracle", example(STYLES, 6)).rewards
    assert rewards is not None
    assert min(rewards[:3]) > max(rewards[3:])


def test_the_oracle_gives_the_ratings_themselves() -> None:
    judgment = ask("fake:oracle", example(RATED))
    assert judgment.rewards == (5.0, 1.0)
    assert judgment.parts == {"depth": ((2.0,), (3.0,)), "overall": ((5.0,), (1.0,))}
    assert ask("fake:anti", example(RATED)).parts["depth"] == ((-2.0,), (-3.0,))
    without = Gold(ratings=((2.0, 4.0),), dimensions=("depth", "tone"))
    assert ask("fake:oracle", example(without, 1)).rewards == (3.0,)


def test_a_cycle_is_answered_by_margins() -> None:
    judgment = ask("fake:oracle", example(CYCLE, 3))
    assert judgment.rewards is None
    assert judgment.directed is not None
    assert [judgment.directed[edge.i][edge.j] for edge in CYCLE.relation] == [1.0, 1.0, 1.0]
    assert [judgment.directed[edge.j][edge.i] for edge in CYCLE.relation] == [-1.0, -1.0, -1.0]


def test_no_gold_is_a_failed_row() -> None:
    for kind in ("oracle", "anti"):
        assert ask(f"fake:{kind}", example(Gold())).status == "failed"
    assert ask("fake:coin", example(Gold())).status == "ok"


def test_levels_of_ties_chains_and_disagreement() -> None:
    assert levels(Gold((Edge(0, 1, 0.0), Edge(2, 0), Edge(2, 1))), 3) == [0.0, 0.0, 1.0]
    assert levels(Gold((Edge(0, 1), Edge(1, 2))), 3) == [2.0, 1.0, 0.0]
    assert levels(Gold((Edge(0, 1), Edge(1, 0), Edge(0, 1))), 2) == [1.0, 0.0]
    assert levels(Gold((Edge(0, 1, -2.0),)), 2) == [0.0, 1.0]
    assert levels(Gold((Edge(0, 1, 0.0), Edge(1, 2, 0.0), Edge(0, 2))), 3) is None


@given(st.integers(2, 6).flatmap(lambda size: st.lists(st.integers(0, 3), min_size=size, max_size=size)))
@settings(deadline=None, max_examples=60)
def test_levels_agree_with_any_ranking(ranks: list[int]) -> None:
    edges = [Edge(i, j, float(ranks[i] - ranks[j])) for i, j in combinations(range(len(ranks)), 2)]
    found = levels(Gold(tuple(edges)), len(ranks))
    assert found is not None
    for i, j in combinations(range(len(ranks)), 2):
        assert np.sign(found[i] - found[j]) == np.sign(ranks[i] - ranks[j])


def test_the_coin_is_fair_and_depends_on_seed_task_and_id_alone() -> None:
    rows = [example(PAIR, id_=str(n)) for n in range(400)]
    heads = sum(r[0] > r[1] for r in (ask("fake:coin", row).rewards or (0, 0) for row in rows))
    assert 150 < heads < 250  # five standard deviations
    assert ask("fake:coin", rows[0]) == ask("fake:coin", rows[0])
    assert ask("fake:coin", rows[0]) != ask("fake:coin", rows[0], seed=1)
    assert ask("fake:coin", rows[0]).rewards != ask("fake:coin", rows[0], task="u").rewards
    assert ask("fake:coin", rows[0]).rewards != ask("fake:coin", rows[1]).rewards
    parts = ask("fake:coin", example(RATED)).parts
    assert sorted(parts) == ["depth", "overall"]
    assert parts["depth"] != parts["overall"]


def test_the_constant_model_has_one_score() -> None:
    judgment = ask("fake:constant", example(RATED))
    assert judgment.rewards == (0.0, 0.0)
    assert judgment.parts == {"depth": ((0.0,), (0.0,)), "overall": ((0.0,), (0.0,))}


def test_the_broken_model_fails_on_a_tenth_and_is_right_on_the_rest() -> None:
    judgments = [ask("fake:broken", example(PAIR, id_=str(n))) for n in range(1000)]
    failed = [judgment for judgment in judgments if judgment.status == "failed"]
    assert 60 < len(failed) < 140  # four standard deviations
    assert all(judgment.error and judgment.rewards is None for judgment in failed)
    assert all(judgment.rewards == (0.0, 1.0) for judgment in judgments if judgment.status == "ok")


def test_facts_of_fakes() -> None:
    made = [open_model(f"fake:{kind}").facts for kind in FAKES]
    assert len({facts.fingerprint for facts in made}) == len(FAKES)
    assert all(facts.flags == ("fake",) and facts.revision == facts.fingerprint[:8] for facts in made)
    seeds = [open_model("fake:coin", OpenOptions(seed=seed)).facts.fingerprint for seed in (0, 1)]
    assert seeds[0] != seeds[1]
    oracles = [open_model("fake:oracle", OpenOptions(seed=seed)).facts.fingerprint for seed in (0, 1)]
    assert oracles[0] == oracles[1]


def test_the_baselines_count_characters() -> None:
    row = Example("0", (), (Candidate.of("né🙂"), Candidate.of(""), Candidate.of("a\nb")), Gold())
    assert ask("baseline:length", row).rewards == (3.0, 0.0, 3.0)
    assert ask("baseline:shorter", row).rewards == (-3.0, 0.0, -3.0)
    assert ask("baseline:length", row).lengths == (3, 0, 3)
    assert open_model("baseline:length").facts.flags == ("baseline",)


class TestCallables:
    @staticmethod
    def batch(model: Scorer, *requests: Any) -> Batch:
        rows = tuple(model.encode(requests))
        empty = np.zeros((len(rows), 0), dtype=np.int64)
        return Batch(rows, empty, empty, np.zeros(len(rows), dtype=np.int64))

    @staticmethod
    def opened(function: Any, name: str | None = None) -> Scorer:
        model = open_model(function, OpenOptions(name=name))
        assert isinstance(model, Scorer)
        return model

    def test_it_is_given_conversations_and_gives_rewards(self, tiny: Any) -> None:
        seen: list[Any] = []

        def reward(conversations: list[list[dict[str, str]]]) -> list[float]:
            seen.extend(conversations)
            return [float(len(turns[-1]["content"])) for turns in conversations]

        model = self.opened(reward)
        assert (model.facts.name, model.facts.family, model.facts.fingerprint) == ("reward", "callable", "")
        given_ = self.batch(model, tiny.request("Hi", "four"), tiny.request(("system", "s"), ("user", "u")))
        answered = model.forward(given_)
        assert seen[0] == [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "four"}]
        assert answered["reward"].tolist() == [[4.0], [1.0]]
        assert [row.size for row in given_.rows] == [6, 2]
        assert len({row.key for row in given_.rows}) == 2
        assert not isinstance(model, MarginScorer)

    def test_a_function_that_spoils_its_input_spoils_nothing(self, tiny: Any) -> None:
        def reward(conversations: Any) -> list[float]:
            return [float(len(turns.pop()["content"])) for turns in conversations]

        model = self.opened(reward)
        given_ = self.batch(model, tiny.request("Hi", "four"))
        assert model.forward(given_)["reward"].tolist() == model.forward(given_)["reward"].tolist()

    @pytest.mark.parametrize(
        "returned", [np.array([1.5]), torch.tensor([[1.5]], dtype=torch.bfloat16, requires_grad=True), (1.5,)]
    )
    def test_arrays_and_tensors(self, returned: Any, tiny: Any) -> None:
        model = self.opened(lambda conversations: returned, name="mine")
        assert model.facts.name == "mine"
        assert model.forward(self.batch(model, tiny.request("a", "b")))["reward"].tolist() == [[1.5]]

    @pytest.mark.parametrize(
        ("returned", "message"),
        [
            ([1.0], "was given 2 and returned 1"),
            ([1.0, 2.0, 3.0], "returned 3"),
            (None, "one reward per conversation"),
            (["a", "b"], "one number per conversation"),
            (7.0, "returned a single number"),
        ],
    )
    def test_anything_else_is_an_error(self, returned: Any, message: str, tiny: Any) -> None:
        model = self.opened(lambda conversations: returned, name="mine")
        with pytest.raises(RmbenchError, match=message):
            model.forward(self.batch(model, tiny.request("a", "b"), tiny.request("a", "c")))

    def test_what_is_a_model_already_stays_itself(self) -> None:
        model = open_model("fake:oracle")
        assert open_model(model) is model
        with pytest.raises(RmbenchError, match="a name or a callable, not int"):
            open_model(3)  # type: ignore[arg-type]
