"""Whatever is done to models and generators meanwhile, they are as before."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch

from rmbench.integrations.untouched import untouched
from tests.integrations.conftest import make_model


def draws() -> list[float]:
    return [random.random(), float(np.random.rand()), float(torch.rand(1))]


def seed() -> None:
    random.seed(3)
    np.random.seed(3)
    torch.manual_seed(3)


class BrokenError(Exception):
    pass


@pytest.fixture(params=["ends", "fails"])
def fails(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "fails")


def meanwhile(model: Any, do: Any, fails: bool) -> None:
    """Do something within, and leave by an error where it `fails`."""
    if not fails:
        with untouched([model]):
            do()
        return

    def failing() -> None:
        with untouched([model]):
            do()
            raise BrokenError

    with pytest.raises(BrokenError):
        failing()


def test_generators(fails: bool) -> None:
    seed()
    expected = draws()
    seed()
    meanwhile(make_model_once(), draws, fails)
    assert draws() == expected


def make_model_once() -> Any:
    state = torch.get_rng_state()
    model = make_model("gpt2")
    torch.set_rng_state(state)
    return model


def test_the_mode_of_every_module(fails: bool) -> None:
    model = make_model("gpt2").train()
    model.transformer.h[0].eval()  # a frozen part, say
    before = [module.training for module in model.modules()]
    seen: list[bool] = []
    meanwhile(model, lambda: seen.extend(module.training for module in model.modules()), fails)
    assert not any(seen)
    assert [module.training for module in model.modules()] == before
    assert len(set(before)) == 2


def test_attributes_configuration_hooks_and_buffers(fails: bool) -> None:
    model = make_model("llama")
    rotary = model.model.rotary_emb
    frequencies, attention = rotary.inv_freq, model.config._attn_implementation
    numbers = frequencies.clone()

    def change() -> None:
        frequencies.mul_(2)
        rotary.register_buffer("inv_freq", torch.ones(3), persistent=False)
        rotary.max_seq_len_cached = 10**6
        rotary.forward = lambda *_: None
        model.config._attn_implementation = "eager"
        model.config.use_cache = False
        model.gradient_checkpointing = "changed"
        model.model.register_forward_hook(lambda *_: None)

    use_cache, length = model.config.use_cache, rotary.max_seq_len_cached
    meanwhile(model, change, fails)
    assert rotary.inv_freq is frequencies
    assert torch.equal(frequencies, numbers)
    assert rotary.max_seq_len_cached == length
    assert "forward" not in vars(rotary)
    assert model.config._attn_implementation == attention
    assert model.config.use_cache == use_cache
    assert "gradient_checkpointing" not in vars(model) or model.gradient_checkpointing != "changed"
    assert not model.model._forward_hooks


def test_trained_parameters_gradients_and_threads(fails: bool) -> None:
    model = make_model("llama")
    frozen = model.model.embed_tokens.weight.requires_grad_(False)
    model.score.weight.grad = torch.ones_like(model.score.weight)
    threads = torch.get_num_threads()

    def change() -> None:
        model.requires_grad_(False)
        frozen.requires_grad_(True)
        torch.set_num_threads(threads + 1)

    meanwhile(model, change, fails)
    assert not frozen.requires_grad
    assert all(each.requires_grad for each in model.parameters() if each is not frozen)
    assert torch.equal(model.score.weight.grad, torch.ones_like(model.score.weight))
    assert torch.get_num_threads() == threads


def test_what_libraries_put_over_forward_is_off_meanwhile(fails: bool) -> None:
    model, seen = make_model("llama"), []
    model.forward = lambda *_, **__: pytest.fail("the wrapper was called")
    model.model._compiled_call_impl = lambda *_, **__: pytest.fail("the compiled forward was called")
    wrappers = model.forward, model.model._compiled_call_impl

    def run() -> None:
        with torch.autocast("cpu", enabled=torch.is_autocast_enabled("cpu")):
            seen.append(model(input_ids=torch.tensor([[5, 6, 7]])).logits.dtype)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        meanwhile(model, run, fails)
        assert torch.is_autocast_enabled("cpu")
    assert seen == [torch.float32]
    assert (model.forward, model.model._compiled_call_impl) == wrappers


def test_several_models_that_share_a_configuration(fails: bool) -> None:
    first = make_model("llama")
    second = type(first)(first.config).eval()
    with untouched([first, second]):
        assert not first.training
        first.config._attn_implementation = "eager"
    assert (first.training, second.training) == (True, False)
    assert first.config._attn_implementation == second.config._attn_implementation == "sdpa"
