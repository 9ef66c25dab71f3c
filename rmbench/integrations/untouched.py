"""Leaves a training run as it was: whatever an evaluation does to the modules, the generators of random numbers and the
settings of torch is undone at its end."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

__all__ = ["untouched"]

_KEPT = ("_parameters", "_modules")
"""Of a module's attributes, those that an evaluation does not replace; they are as large as the model is deep."""


@contextlib.contextmanager
def untouched(models: Sequence[torch.nn.Module]) -> Iterator[None]:
    """The models in eval mode with the forward of their own class, outside autocast; and at the end, also that of an
    error, every module, its configuration and buffers, all generators and the number of threads as before."""
    modules = list({id(module): module for model in models for module in model.modules()}.values())
    with _generators(), _threads(), _attributes(modules), _flags(models), contextlib.ExitStack() as stack:
        for device in sorted({each.device.type for model in models for each in model.parameters()}):
            stack.enter_context(torch.autocast(device, enabled=False))
        for model in models:
            model.eval()
        for module in modules:
            vars(module).pop("_compiled_call_impl", None)
        for model in models:
            # What libraries put over it: autocast to the dtype of training, fused heads. A hook of accelerate's, which
            # moves what goes in to the device of the weights, stays.
            if not hasattr(model, "_hf_hook"):
                vars(model).pop("forward", None)
        yield
    if _on_gpu():
        torch.cuda.empty_cache()


def _on_gpu() -> bool:
    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]  # torch leaves it bare


@contextlib.contextmanager
def _generators() -> Iterator[None]:
    """Of Python, numpy, and torch on every device that is in use."""
    python, of_numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=range(torch.cuda.device_count()) if _on_gpu() else ()):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(of_numpy)


@contextlib.contextmanager
def _threads() -> Iterator[None]:
    """Threads of ours compute on one core each, and a thread that torch starts later takes over their number."""
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextlib.contextmanager
def _attributes(modules: Sequence[torch.nn.Module]) -> Iterator[None]:
    """Modes, hooks, lengths that positions were computed for, attention functions: all that modules and configurations
    hold, and the numbers in buffers."""
    configs = {id(config): config for module in modules for config in _configs(getattr(module, "config", None))}
    holders: list[Any] = [*modules, *configs.values()]
    before = [dict(vars(each)) for each in holders]
    tables = [{name: dict(value) for name, value in held.items() if _is_table(name, value)} for held in before]
    buffers = [
        (buffer, buffer.clone()) for module in modules for buffer in module._buffers.values() if buffer is not None
    ]
    try:
        yield
    finally:
        for holder, held, own in zip(holders, before, tables, strict=True):
            vars(holder).clear()
            vars(holder).update(held)
            for name, table in own.items():
                held[name].clear()
                held[name].update(table)
        with torch.no_grad():
            for buffer, value in buffers:
                if not torch.equal(buffer, value):
                    buffer.copy_(value)


def _is_table(name: str, value: object) -> bool:
    """Buffers and hooks, which are changed in place."""
    return name.startswith("_") and name not in _KEPT and isinstance(value, dict)


def _configs(config: Any) -> Iterator[Any]:
    """A configuration and those inside it, such as that of the text part."""
    if hasattr(config, "to_dict"):
        yield config
        for inner in vars(config).values():
            yield from _configs(inner)


@contextlib.contextmanager
def _flags(models: Sequence[torch.nn.Module]) -> Iterator[None]:
    """Which parameters are trained: switching adapters sets it, and their gradients."""
    trained = [(each, each.requires_grad) for model in models for each in model.parameters()]
    try:
        yield
    finally:
        for parameter, flag in trained:
            if parameter.requires_grad != flag:
                parameter.requires_grad_(flag)
