"""The ways that attend to all rows of a layer at once, against the definition and the library's own forward."""

from __future__ import annotations

import inspect
import math
import sys
from collections import namedtuple
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rmbench.models.backbone import backbone as module
from rmbench.models.backbone import flex
from rmbench.models.backbone.attention import TORCH
from rmbench.models.backbone.backbone import Backbone, BackboneSharing
from rmbench.models.backbone.choice import attention_over, attentions
from rmbench.models.backbone.flex import Flex, blocks_of
from rmbench.models.backbone.layout import Layout, lay_out
from rmbench.models.backbone.varlen import Varlen
from rmbench.models.protocols import Batch
from tests.models.backbone.test_backbone_architectures import ARCHITECTURES, WINDOW, grouped, made, plain, some
from tests.models.backbone.test_backbone_attention import by_definition, drawn, random_states, shapes

CPU = torch.device("cpu")
NEEDS_FLEX = pytest.mark.skipif(TORCH < (2, 13), reason="flex attention is used from torch 2.13 on")
PACKED = [each for each in ARCHITECTURES if each[2] != "carried"]


def layout_of(shape: list[tuple[int, list[int]]]) -> Layout:
    return lay_out(*drawn(shape))


def rows_of(shape: list[tuple[int, list[int]]]) -> list[list[int]]:
    """The packed positions of each row, counted out."""
    rows, at = [], 0
    for prefix, owns in shape:
        beginning = list(range(at, at + prefix))
        at += prefix
        for own in owns:
            rows.append(beginning + list(range(at, at + own)))
            at += own
    return rows


def mask_of(shape: list[tuple[int, list[int]]], window: int | None) -> list[list[bool]]:
    """What each packed token sees, pair by pair."""
    rows = rows_of(shape)
    tokens = rows[-1][-1] + 1
    seen = [[False] * tokens for _ in range(tokens)]
    for row in rows:
        for index, query in enumerate(row):
            for before, key in enumerate(row):
                if before <= index and (window is None or index - before < window):
                    seen[query][key] = True
    return seen


def blocks_in(mask: list[list[bool]], size: int, tell: Callable[[list[bool]], bool]) -> list[list[bool]]:
    """What is told of the pairs of each block; places beyond the last token are seen by nobody."""
    count = math.ceil(len(mask) / size)
    inside = range(len(mask))

    def pairs(block: int, other: int) -> list[bool]:
        queries, keys = range(block * size, (block + 1) * size), range(other * size, (other + 1) * size)
        return [query in inside and key in inside and mask[query][key] for query in queries for key in keys]

    return [[tell(pairs(block, other)) for other in range(count)] for block in range(count)]


@NEEDS_FLEX
@given(shapes, st.sampled_from([None, 1, 4, 100]), st.integers(1, 7))
@settings(deadline=None, max_examples=60)
def test_the_mask_is_that_of_each_pair(shape: list[tuple[int, list[int]]], window: int | None, size: int) -> None:
    layout, expected = layout_of(shape), mask_of(shape, window)
    at = torch.arange(len(layout.ids))
    mask = Flex(layout).mask(CPU, window)
    assert mask.mask_mod(None, None, at[:, None], at[None]).tolist() == expected
    part, whole = blocks_of(layout.seen(window), size)
    assert whole.tolist() == blocks_in(expected, size, all)
    assert part.tolist() == blocks_in(expected, size, lambda pairs: any(pairs) and not all(pairs))


@NEEDS_FLEX
@pytest.mark.parametrize("window", [None, 150])
def test_the_blocks_of_the_mask_are_listed(window: int | None) -> None:
    shape = [(200, [150, 90]), (0, [60]), (130, [70, 1, 12])]
    mask = Flex(layout_of(shape)).mask(CPU, window)
    assert mask.shape == (1, 1, 713, 713)
    expected = mask_of(shape, window)
    for counts, listed, tell in (
        (mask.kv_num_blocks, mask.kv_indices, lambda pairs: any(pairs) and not all(pairs)),
        (mask.full_kv_num_blocks, mask.full_kv_indices, all),
    ):
        blocks = blocks_in(expected, 128, tell)
        found = [set(row[:count].tolist()) for count, row in zip(counts[0, 0].tolist(), listed[0, 0], strict=True)]
        assert found == [{block for block, told in enumerate(row) if told} for row in blocks]
    assert window or any(map(len, found))


class Loop:
    """What torch documents of `varlen_attn`, head by head and query by query."""

    def __init__(self, shift: float = 0.0) -> None:
        self.calls, self.shift = 0, shift

    def __call__(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        cu_seq_q: Tensor,
        cu_seq_k: Tensor,
        max_q: int,
        max_k: int,
        *,
        return_aux: Any = None,
        scale: float | None = None,
        window_size: tuple[int, int] = (-1, -1),
        enable_gqa: bool = False,
    ) -> tuple[Tensor, Tensor]:
        self.calls += 1
        assert return_aux.lse
        assert window_size in ((-1, -1), (-1, 0))
        assert enable_gqa or query.shape[1] == key.shape[1]
        assert cu_seq_q.dtype == cu_seq_k.dtype == torch.int32
        bounds = [list(zip(each[:-1].tolist(), each[1:].tolist(), strict=True)) for each in (cu_seq_q, cu_seq_k)]
        assert [each[-1][1] for each in bounds] == [len(query), len(key)]
        assert [max(end - begin for begin, end in each) for each in bounds] == [max_q, max_k]
        out, total = torch.zeros_like(query), torch.zeros(query.shape[:2])
        for (begin, end), (first, last) in zip(*bounds, strict=True):
            stretch = query[begin:end], key[first:last], value[first:last]
            out[begin:end], total[begin:end] = self.stretch(*stretch, scale, window_size == (-1, 0))
        return out, self.sums(total)

    def stretch(self, query: Tensor, key: Tensor, value: Tensor, scale: Any, causal: bool) -> tuple[Tensor, Tensor]:
        assert not causal or len(query) == len(key)
        out, total = torch.zeros_like(query), torch.zeros(query.shape[:2])
        share = query.shape[1] // key.shape[1]
        for at in range(len(query)):
            stop = at + 1 if causal else len(key)
            for head in range(query.shape[1]):
                scores = key[:stop, head // share] @ query[at, head] * scale
                out[at, head] = torch.softmax(scores, 0) @ value[:stop, head // share]
                total[at, head] = torch.logsumexp(scores, 0) + self.shift * causal
        return out, total

    def sums(self, total: Tensor) -> Tensor:
        """As documented."""
        return total


class ByHeads(Loop):
    """The order that torch's kernels have, as its function without contents shows."""

    def sums(self, total: Tensor) -> Tensor:
        return total.T.contiguous()


class ByRows(Loop):
    """A shape that a kernel of another kind of GPU has."""

    def sums(self, total: Tensor) -> Tensor:
        return total.T[None]


class Quick(ByHeads):
    """The same where tokens are many."""

    def stretch(self, query: Tensor, key: Tensor, value: Tensor, scale: Any, causal: bool) -> tuple[Tensor, Tensor]:
        share = query.shape[1] // key.shape[1]
        keys, values = (each.repeat_interleave(share, 1) for each in (key, value))
        scores = torch.einsum("qhd,khd->hqk", query, keys) * scale
        if causal:
            scores = scores.masked_fill(torch.ones(scores.shape[1:]).triu(1).bool(), -math.inf)
        return torch.einsum("hqk,khd->qhd", scores.softmax(-1), values), scores.logsumexp(-1).T


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Loop:
    return given_torch(monkeypatch, Loop())


def given_torch(monkeypatch: pytest.MonkeyPatch, function: Any) -> Any:
    """The function in the place of torch's, which older ones lack."""
    varlen: Any = ModuleType("torch.nn.attention.varlen")
    varlen.varlen_attn, varlen.AuxRequest = function, namedtuple("AuxRequest", "lse")
    monkeypatch.setitem(sys.modules, varlen.__name__, varlen)
    monkeypatch.setattr(torch.nn.attention, "varlen", varlen, raising=False)
    return function


SHAPES = [
    [(5, [3, 1, 4])],
    [(0, [3]), (0, [6])],
    [(2, [1, 1]), (0, [7]), (9, [2, 8, 1])],
    [(1, [2, 1])],  # as many tokens as heads
]


@pytest.mark.parametrize("kind", [Loop, ByHeads])
@pytest.mark.parametrize("heads", [(4, 2), (3, 3)])
@pytest.mark.parametrize("shape", SHAPES)
def test_two_calls_attend_as_each_row_alone(
    shape: list[tuple[int, list[int]]], heads: tuple[int, int], kind: type[Loop], monkeypatch: pytest.MonkeyPatch
) -> None:
    function = given_torch(monkeypatch, kind())
    check(Varlen(layout_of(shape)), shape, heads, None, None)
    assert function.calls == (2 if any(prefix for prefix, _ in shape) else 1)


def check(
    attention: Any,
    shape: list[tuple[int, list[int]]],
    heads: tuple[int, int],
    window: int | None,
    cap: float | None,
) -> None:
    q, k, v = random_states(layout_of(shape), *heads)
    with torch.inference_mode():
        out = attention(q, k, v, 0.3, window, cap)
    assert out.shape == q.shape
    for row in rows_of(shape):
        alone = by_definition(q[:, row], k[:, row], v[:, row], 0.3, window, cap)
        torch.testing.assert_close(out[:, row], alone, atol=2e-6, rtol=0)


@pytest.mark.parametrize(("window", "calls"), [(1, 0), (16, 0), (17, 2), (100, 2)])
def test_windows_within_rows_are_left_to_segments(loop: Loop, window: int, calls: int) -> None:
    check(Varlen(layout_of(SHAPES[2])), SHAPES[2], (4, 2), window, None)
    assert loop.calls == calls


@NEEDS_FLEX
@pytest.mark.parametrize("window", [None, 4, 17])
@pytest.mark.parametrize("cap", [None, 3.0])
@pytest.mark.parametrize("heads", [(4, 2), (3, 3)])
def test_flex_attends_as_each_row_alone(window: int | None, cap: float | None, heads: tuple[int, int]) -> None:
    for shape in SHAPES[1:3]:
        check(Flex(layout_of(shape)), shape, heads, window, cap)


@NEEDS_FLEX
def test_more_tokens_than_a_block() -> None:
    shape = [(90, [40, 30]), (0, [50])]
    for window in (None, 60):
        check(Flex(layout_of(shape)), shape, (2, 1), window, None)


def agrees(name: str, config: dict[str, Any], way: str, attention: str) -> None:
    model, batch = made(name, **config), grouped()
    every = [list(range(len(row.ids))) for row in batch.rows]
    expected = [plain(model, batch.rows, wanted) for wanted in (some(batch.rows), every)]
    backbone = Backbone(model, attention)
    said = backbone.sharing([batch])
    assert said.shares, said.why
    assert said.why.startswith(f"{way} by {attention}: ")
    assert (backbone.way, backbone.attention, said.refused) == (way, attention, ())
    for wanted, right in zip((some(batch.rows), every), expected, strict=True):
        with torch.inference_mode():
            found = backbone.states(batch, wanted)
        torch.testing.assert_close(found, right, atol=1e-5 * float(right.abs().max()), rtol=0)


@NEEDS_FLEX
@pytest.mark.parametrize(("name", "config", "way"), PACKED)
def test_flex_gives_the_states_of_plain_rows(name: str, config: dict[str, Any], way: str) -> None:
    agrees(name, config, way, "flex")


@pytest.mark.parametrize(("name", "config", "way"), [each for each in PACKED if each[0] != "Gemma2"])
def test_two_calls_give_the_states_of_plain_rows(
    name: str, config: dict[str, Any], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    function = given_torch(monkeypatch, Quick())
    agrees(name, config, way, "varlen")
    assert (function.calls > 0) == (config != WINDOW)  # rows are beyond a window that every layer has


def test_torchs_function_has_the_parameters_that_are_used() -> None:
    """The real function, on tensors without contents: its parameters, and the shapes that come back."""
    pytest.importorskip("torch.nn.attention.varlen")
    layout = layout_of(SHAPES[2])
    q, k, v = (each.to("meta") for each in random_states(layout, 4, 2))
    assert Varlen(layout)(q, k, v, 0.3).shape == q.shape


def test_parameters_of_torchs_function_are_as_they_were() -> None:
    varlen = pytest.importorskip("torch.nn.attention.varlen")
    parameters = inspect.signature(varlen.varlen_attn).parameters
    first = ["query", "key", "value", "cu_seq_q", "cu_seq_k", "max_q", "max_k"]
    assert list(parameters)[:7] == first
    named = {"return_aux": None, "scale": None, "window_size": (-1, -1), "enable_gqa": False}
    assert {name: parameters[name].default for name in named} == named
    rest = [each for each in list(parameters)[7:] if each not in named]
    assert all(parameters[name].default is None for name in rest), rest
    assert varlen.AuxRequest(lse=True)._asdict() == {"lse": True}


def test_sums_of_another_shape_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    given_torch(monkeypatch, ByRows())
    with pytest.raises(ValueError, match=r"log-sum-exp of shapes \(\(1, 4, 5\), \(1, 4, 3\)\) for \(5, 3\) tokens"):
        check(Varlen(layout_of([(2, [1, 2])])), [(2, [1, 2])], (4, 2), None, None)


def test_the_device_and_the_dtype_choose() -> None:
    cuda, half = torch.device("cuda", 1), (torch.bfloat16, torch.float16)
    assert [attentions(cuda, dtype) for dtype in half] == [("varlen", "segments")] * 2
    assert attentions(cuda, torch.float32) == ("segments",)
    assert {attentions(CPU, dtype) for dtype in (*half, torch.float32)} == {("segments",)}


def test_a_name_that_there_is_not() -> None:
    for made_by in (lambda: Backbone(made("Llama"), "flash"), lambda: attention_over("flash", layout_of(SHAPES[0]))):
        with pytest.raises(ValueError, match="there is no attention 'flash': segments, varlen, flex"):
            made_by()


def old(query: Tensor, key: Tensor, value: Tensor, cu_seq_q: Tensor, cu_seq_k: Tensor, max_q: int, max_k: int) -> None:
    """The function as it first came."""


OLD = "has no return_aux, scale, window_size, enable_gqa"


@pytest.mark.parametrize(("function", "why"), [(None, "has no torch.nn.attention.varlen"), (old, OLD)])
def test_a_torch_without_variable_lengths(function: Any, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if function is None:
        monkeypatch.setitem(sys.modules, "torch.nn.attention.varlen", None)
        monkeypatch.delattr("torch.nn.attention.varlen", raising=False)
    else:
        given_torch(monkeypatch, function)
    said = Backbone(made("Llama"), "varlen").sharing([grouped()])
    assert not said.shares
    assert f"torch {torch.__version__}" in said.why
    assert why in said.why


def test_a_torch_without_flex_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    flex._function.cache_clear()
    monkeypatch.setitem(sys.modules, "torch.nn.attention.flex_attention", None)
    said = Backbone(made("Llama"), "flex").sharing([grouped()])
    assert not said.shares
    assert f"torch {torch.__version__} has no flex attention" in said.why


def on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ways are tried as on a GPU in half precision."""
    ways = attentions(torch.device("cuda"), torch.bfloat16)
    monkeypatch.setattr(module, "attentions", lambda device, dtype: ways)


def test_the_first_that_agrees_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    on_a_gpu(monkeypatch)
    function = given_torch(monkeypatch, Quick())
    backbone = Backbone(made("Llama"))
    said = backbone.sharing([grouped()])
    assert (said.shares, backbone.attention, said.refused) == (True, "varlen", ())
    calls = function.calls
    with torch.inference_mode():
        backbone.last(grouped())
    assert function.calls == calls + 2 * 4  # of four layers


@pytest.mark.parametrize(
    ("name", "config", "shift", "why"),
    [
        ("Llama", {}, 0.1, "lean by varlen: shared and plain states differ by "),
        ("Gemma2", WINDOW, 0.0, "library by varlen: NotImplementedError: varlen_attn has no soft caps"),
    ],
)
def test_one_that_is_wrong_or_refuses_is_not_taken(
    name: str, config: dict[str, Any], shift: float, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_a_gpu(monkeypatch)
    given_torch(monkeypatch, Loop(shift=shift))
    backbone, batch = Backbone(made(name, **config)), short()
    said = backbone.sharing([batch])
    assert (said.shares, backbone.attention) == (True, "segments")
    assert " by " not in said.why
    assert len(said.refused) == 1
    assert said.refused[0].startswith(why)
    named = Backbone(made(name, **config), "varlen").sharing([batch])
    assert not named.shares
    assert named.why.startswith(why)


def short() -> Batch:
    """Few tokens, for loops."""
    rows, groups = drawn([(10, [4, 3]), (6, [2, 5])])
    nothing = np.zeros((4, 0), dtype=np.int64)
    return Batch(tuple(rows), nothing, nothing, np.zeros(4, dtype=np.int64), tuple(groups))


def test_what_any_backbone_refused_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    class Two(BackboneSharing):
        backbones = (Backbone(made("Llama")), Backbone(made("Llama")), Backbone(made("Gemma2", **WINDOW)))

    on_a_gpu(monkeypatch)
    given_torch(monkeypatch, Loop(shift=0.1))
    said = Two().sharing([short()])
    assert said.shares
    assert [reason[:14] for reason in said.refused] == ["lean by varlen", "library by var"]
