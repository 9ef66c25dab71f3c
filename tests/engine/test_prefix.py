"""Prefix groups: every row once, prefixes true, and never more tokens than rows alone take."""

from __future__ import annotations

import itertools
import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from rmbench.engine.compute import compute
from rmbench.engine.judge import EngineOptions, MemoryLedger, judge
from rmbench.engine.plan import plan
from rmbench.engine.prefix import group_rows, split_group
from rmbench.models.protocols import Batch, Encoded, Group, Sharing
from rmbench.types import Example
from tests.engine.conftest import reward_of

rows = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 40), st.lists(st.integers(0, 2), min_size=1, max_size=30)),
    min_size=1,
    max_size=25,
)


def spelled(drawn: list[tuple[int, int, list[int]]]) -> list[tuple[int, ...]]:
    """Rows with long common beginnings: one of four stems cut somewhere, then tokens of their own."""
    stems = [tuple(random.Random(stem).choices(range(5), k=40)) for stem in range(4)]
    return [stems[stem][:length] + tuple(own) for stem, length, own in drawn]


@given(rows)
@settings(deadline=None, max_examples=150)
def test_groups_cover_all_rows_and_share_what_they_say(drawn: list[tuple[int, int, list[int]]]) -> None:
    ids = spelled(drawn)
    groups = group_rows(ids)
    assert sorted(itertools.chain.from_iterable(group.rows for group in groups)) == list(range(len(ids)))
    for group in groups:
        beginnings = {ids[row][: group.prefix] for row in group.rows}
        assert len(beginnings) == 1
        assert all(len(ids[row]) > group.prefix for row in group.rows)
        assert group.prefix == 0 or len(group.rows) > 1
        assert group.tokens == group.prefix + sum(len(ids[row]) - group.prefix for row in group.rows)
        assert group.tokens <= sum(len(ids[row]) for row in group.rows)


@given(rows, st.integers(1, 80))
@settings(deadline=None, max_examples=100)
def test_a_split_group_keeps_rows_and_bound(drawn: list[tuple[int, int, list[int]]], most: int) -> None:
    ids = spelled(drawn)
    for group in group_rows(ids):
        parts = split_group(group, ids, most)
        assert [row for part in parts for row in part.rows] == list(group.rows)
        for part in parts:
            assert part.tokens <= most or len(part.rows) == 1 or group.prefix + 1 > most


def test_a_group_is_split_as_late_as_the_bound_allows() -> None:
    """A hundred common tokens and fifty of each row's own: two rows take 200 tokens, a third would make it 250."""
    ids = [(*range(100), *(100 + row,) * 50) for row in range(5)]
    (group,) = group_rows(ids)
    parts = split_group(group, ids, 200)
    shapes = [(part.rows, part.prefix, part.tokens) for part in parts]
    assert shapes == [((0, 1), 100, 200), ((2, 3), 100, 200), ((4,), 0, 150)]
    assert split_group(group, ids, 249) == parts
    assert [part.rows for part in split_group(group, ids, 250)] == [(0, 1, 2), (3, 4)]


def test_a_group_is_cut_at_the_most_rows_of_a_batch() -> None:
    encoded = [Encoded(str(row), 150, (*range(100), *(100 + row,) * 50)) for row in range(5)]
    made = plan(encoded, 1_000, max_rows=2, share=True)
    groups = [(shape.prefix, shape.rows) for chunk in made.chunks for shape in chunk.groups]
    assert sorted(groups) == [(0, 1), (100, 2), (100, 2)]


def test_three_answers_to_one_prompt() -> None:
    prompt = tuple(range(100))
    ids = [(*prompt, 1, 2), (*prompt, 3), (*prompt, 1, 5, 6), (7,) * 50]
    found = {(tuple(sorted(group.rows)), group.prefix, group.tokens) for group in group_rows(ids)}
    assert found == {((0, 1, 2), 100, 106), ((3,), 0, 50)}


def test_a_row_that_is_the_beginning_of_another_keeps_a_token_of_its_own() -> None:
    short, long = tuple(range(60)), tuple(range(80))
    (group,) = group_rows([long, short])
    assert group.prefix == 59
    assert group.tokens == 59 + 1 + 21


def test_short_beginnings_are_not_worth_a_group() -> None:
    assert {group.prefix for group in group_rows([(1, 2, 3, n) for n in range(9)])} == {0}


def test_a_worse_neighbour_does_not_spoil_a_good_group() -> None:
    good, other = tuple(range(500)), tuple(range(30))
    groups = group_rows([(*good, 600), (*good, 700), (*other, 900, 901)])
    assert sorted((group.prefix, len(group.rows)) for group in groups) == [(0, 1), (500, 2)]


@given(rows, st.integers(1, 200), st.one_of(st.none(), st.integers(1, 5)))
@settings(deadline=None, max_examples=100)
def test_the_shared_plan(drawn: list[tuple[int, int, list[int]]], budget: int, most: int | None) -> None:
    encoded = [Encoded(str(row), len(row), row) for row in spelled(drawn)]
    planned = plan(encoded, budget, most, share=True)
    assert [row for chunk in planned.chunks for row in chunk.rows] == list(range(len(planned.first)))
    for chunk in planned.chunks:
        assert sum(group.rows for group in chunk.groups) == len(chunk.rows)
        assert most is None or len(chunk.rows) <= most
        start = chunk.rows.start
        for group in chunk.groups:
            members = [encoded[planned.first[row]].ids for row in range(start, start + group.rows)]
            assert len({member[: group.prefix] for member in members}) == 1
            start += group.rows
    for request, entry in enumerate(encoded):
        row = planned.row_of[request]
        assert row is not None
        assert encoded[planned.first[row]].key == entry.key
    shuffled = encoded[::-1]
    assert plan(shuffled, budget, most, share=True).digest == planned.digest
    counts = planned.statistics
    assert counts.computed_tokens == counts.padded_tokens <= counts.unique_tokens
    assert counts.padding_share == 0


class SharingToy:
    """A toy scorer, seen through the protocol of models that share; it checks what it is given."""

    threads = 1
    chunk_tokens = 64

    def __init__(self, toy: Any, agrees: bool = True, refused: tuple[str, ...] = ()) -> None:
        self._toy = toy
        self._agrees, self._refused = agrees, refused
        self.tried: list[int] = []
        self.shapes: list[tuple[tuple[int, int], ...]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._toy, name)

    # By name, because isinstance of a protocol looks past __getattr__ since Python 3.12.
    @property
    def facts(self) -> Any:
        return self._toy.facts

    @property
    def answers(self) -> Any:
        return self._toy.answers

    @property
    def pad_id(self) -> Any:
        return self._toy.pad_id

    def encode(self, requests: Any) -> Any:
        return self._toy.encode(requests)

    def sharing(self, batches: list[Batch]) -> Sharing:
        self.tried.append(len(batches))
        why = "lean: they agree" if self._agrees else "they differ by 1e+00"
        return Sharing(self._agrees, why, self._refused)

    def forward(self, batch: Batch) -> Any:
        if not batch.groups:
            return self._toy.forward(batch)
        self.shapes.append(tuple((group.prefix, group.rows) for group in batch.groups))
        from rmbench.engine.batch import collate

        start = 0
        for group in batch.groups:
            members = batch.rows[start : start + group.rows]
            assert len({member.ids[: group.prefix] for member in members}) == 1
            start += group.rows
        assert start == len(batch.rows)
        return self._toy.forward(collate(batch.rows, 0))


def sharing(toy: Any, agrees: bool = True, refused: tuple[str, ...] = ()) -> Any:
    """A scorer to the type checker too, though its other methods are the toy's."""
    return SharingToy(toy, agrees, refused)


def some(example: Any, count: int = 6) -> list[Example]:
    long = "The same long question that all three answers share: "
    return [example(f"e{n}", long + "ab" * n, "x" * n, "yz", "w") for n in range(count)]


def test_rows_in_groups_give_the_same_as_padded_ones(scorer: Any, example: Any) -> None:
    examples = some(example)
    padded = judge("task", examples, scorer())
    model = sharing(scorer())
    shared = judge("task", examples, model)
    assert shared.judgments == padded.judgments
    assert model.shapes
    assert any(prefix for shape in model.shapes for prefix, _ in shape)
    assert len(model.tried) == 1
    assert (shared.sharing, padded.sharing) == ("shared", "padded")
    assert shared.statistics.computed_tokens < padded.statistics.computed_tokens


def test_a_model_that_disagrees_is_padded_and_says_so(scorer: Any, example: Any, recorder: Any) -> None:
    model = sharing(scorer(), agrees=False)
    judging = judge("task", some(example), model, progress=recorder)
    assert model.shapes == []
    assert judging.sharing == "padded"
    assert [note for note in recorder.notes if "rows are padded" in note and "differ by 1e+00" in note]


def test_faster_ways_that_were_refused_are_said_once(scorer: Any, example: Any, recorder: Any) -> None:
    model = sharing(scorer(), refused=("lean by varlen: no kernel", "lean: they differ"))
    for task in ("one", "other"):
        assert judge(task, some(example), model, progress=recorder).sharing == "shared"
    said = "toy: prefixes are shared in a slower way, since lean by varlen: no kernel; lean: they differ"
    assert [note for note in recorder.notes if "slower" in note] == [said]


def test_sharing_can_be_turned_off(scorer: Any, example: Any) -> None:
    model = sharing(scorer())
    judge("task", some(example), model, options=EngineOptions(share=False))
    assert (model.shapes, model.tried) == ([], [])


def test_a_shared_run_that_was_stopped_goes_on_without_trying_again_what_is_done(scorer: Any, example: Any) -> None:
    examples, ledger = some(example), MemoryLedger()
    first = judge("task", examples, sharing(scorer()), ledger=ledger)
    model = sharing(scorer())
    again = judge("task", examples, model, ledger=ledger)
    assert (again.judgments, model.tried, model.shapes) == (first.judgments, [], [])


def test_out_of_memory_splits_groups_and_then_rows(scorer: Any, example: Any) -> None:
    def refuse(batch: Batch) -> None:
        if len(batch.rows) > 1:
            raise MemoryError("out of memory")

    examples = some(example, 3)
    judging = judge("task", examples, sharing(scorer(refuse=refuse)))
    assert judging.halved
    assert judging.judgments == judge("task", examples, scorer()).judgments


def test_out_of_memory_halves_a_batch_between_its_groups(scorer: Any) -> None:
    """Three groups of two rows: the parts are one group and two, each with its own rows."""

    def refuse(batch: Batch) -> None:
        if len(batch.rows) > 4:
            raise MemoryError("out of memory")

    texts = ["aab", "aac", "bbx", "bby", "ccq", "ccr"]
    toy = scorer(refuse=refuse)
    model, rows = sharing(toy), [toy._encode(text) for text in texts]
    found = compute(model, rows, "right", [Group(2, 2)] * 3)
    assert model.shapes == [((2, 2),) * 3, ((2, 2),), ((2, 2),) * 2]
    assert toy.batches == [tuple(texts), tuple(texts[:2]), tuple(texts[2:])]
    assert [float(one.values["reward"][0]) for one in found] == [reward_of(text.encode()) for text in texts]
    assert all(one.halved for one in found)
