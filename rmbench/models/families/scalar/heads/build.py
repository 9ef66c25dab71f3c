"""Builds a declared head from a checkpoint's tensors."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.headers import tensors_in
from rmbench.models.checkpoint.read import Checkpoint
from rmbench.models.checkpoint.state_dict import read_tensors
from rmbench.models.families.scalar.heads.forward import Gating, MixRule, Normaliser, ScoreHead, WeighedHead
from rmbench.models.families.scalar.heads.ideal import IdealPointHead
from rmbench.models.families.scalar.heads.matching import weight_of
from rmbench.models.families.scalar.heads.network import BatchNorm, Linear, Network
from rmbench.models.families.scalar.heads.schema import IdealPoint, Layout, NetworkSpec, Normalisation, ScoreSpec
from rmbench.models.options import OpenOptions

__all__ = ["HeadTensors", "build_head"]


class HeadTensors:
    """The tensors of a head, in its dtype and on its device, with the names of those that were taken."""

    def __init__(self, checkpoint: Checkpoint, options: OpenOptions, dtype: torch.dtype, device: torch.device) -> None:
        self.checkpoint, self.options = checkpoint, options
        self.dtype, self.device = dtype, device
        self.taken: set[str] = set()
        """Those among the model's own weights."""
        self.widths: dict[str, int] = {}
        """File or folder and name of each network -> the width of the states that it reads."""

    def where(self, file: str | None) -> str:
        """The file or the folder, for messages."""
        return str(self.checkpoint.folder / (self.checkpoint.beside(file) or file) if file else self.checkpoint.folder)

    def shapes(self, file: str | None) -> Mapping[str, tuple[int, ...]]:
        """Name -> shape of all tensors beside which a network's may lie."""
        if file is None:
            return {name: tensor.shape for name, tensor in self.checkpoint.tensors.items()}
        beside = self.checkpoint.beside(file)
        if beside is None:
            raise RmbenchError(f"{self.where(file)} does not exist: the model's head is kept there.")
        found = tensors_in(self.checkpoint.folder / beside, allow_pickle=self.options.allow_pickle)
        return {name: tensor.shape for name, tensor in found.items()}

    def read(self, names: Sequence[str], file: str | None = None) -> list[Tensor]:
        """The tensors of these names, in order."""
        found = read_tensors(self.checkpoint, names, self.options, file=file)
        self.taken |= set(names) if file is None else set()
        return [found[name].to(self.device, self.dtype) for name in names]

    def one(self, name: str | None, shape: Sequence[int] | None = None, dtype: torch.dtype | None = None) -> Tensor:
        """One tensor; raises RmbenchError where it has not `shape`."""
        assert name is not None
        found = read_tensors(self.checkpoint, [name], self.options)[name].to(self.device, dtype or self.dtype)
        self.taken.add(name)
        if shape is not None and list(found.shape) != list(shape):
            raise RmbenchError(f"{self.where(None)}: {name} has shape {list(found.shape)}, expected {list(shape)}.")
        return found


def build_head(layout: Layout, tensors: HeadTensors, mix: MixRule | None = None) -> ScoreHead:
    """The head that a layout declares; `mix` is how a mixture of heads is read, where it is one.

    Raises:
        RmbenchError: a tensor is missing, or has a shape that does not go with the others.
    """
    assert layout.score is not None
    score = build_network(layout.score, tensors)
    _check_outputs(layout.score, score, layout.score_outputs, tensors)
    if layout.ideal is not None:
        return _ideal_point(layout.ideal, score, tensors)
    head = WeighedHead(score, layout.score.rows, layout.objectives.read, layout.objectives.each)
    if head.objectives * head.each != (len(head.rows) or score.outputs):
        raise RmbenchError(
            f"{tensors.where(layout.score.file)}: {weight_of(layout.score)} and what follows give {score.outputs} "
            f"outputs, which are no whole number of objectives of {head.each}."
        )
    return _weighed(layout, head, tensors, mix)


def _weighed(layout: Layout, head: WeighedHead, tensors: HeadTensors, mix: MixRule | None) -> WeighedHead:
    count, names = head.objectives, layout.objectives.names
    if names and len(names) != count:
        raise RmbenchError(
            f"{tensors.where(None)}: the layout {layout.name} names {len(names)} objectives, the head has {count}."
        )
    transform, weights, gate = layout.objectives.transform, None, None
    if layout.gate is not None:
        network = build_network(layout.gate, tensors)
        _check_outputs(layout.gate, network, count, tensors)
        scale = tensors.one(layout.gate.scale, [1]) if layout.gate.scale else None
        on_prompt = layout.gate.state == "prompt"
        gate = Gating(network, on_prompt, layout.gate.softmax, layout.gate.temperature, scale)
    elif layout.weights_tensor is not None:
        weights = torch.softmax(tensors.one(layout.weights_tensor, [count]), dim=-1)
    elif layout.weights or layout.pick is not None:
        weights = torch.tensor(_fixed(layout, count, tensors), dtype=tensors.dtype, device=tensors.device)
    return WeighedHead(
        score=head.score,
        rows=head.rows,
        read=head.read,
        each=head.each,
        transform=tensors.one(transform, [count, count]) if transform else None,
        gate=gate,
        weights=weights,
        mix=mix,
        normaliser=_normaliser(layout.normalise, tensors) if layout.normalise.when else None,
        sign=layout.sign,
    )


def _fixed(layout: Layout, count: int, tensors: HeadTensors) -> list[float]:
    if layout.pick is not None:
        if layout.pick >= count:
            raise RmbenchError(f"{tensors.where(None)}: pick = {layout.pick}, but the head has {count} outputs.")
        return [float(index == layout.pick) for index in range(count)]
    if len(layout.weights) != count:
        raise RmbenchError(
            f"{tensors.where(None)}: the layout {layout.name} has {len(layout.weights)} weights for {count} objectives."
        )
    return list(layout.weights)


def _normaliser(spec: Normalisation, tensors: HeadTensors) -> Normaliser:
    """Statistics stay in float32 or better."""
    dtype = torch.promote_types(tensors.dtype, torch.float32)

    def number(value: float) -> Tensor:
        return torch.tensor([value], dtype=dtype, device=tensors.device)

    mean = tensors.one(spec.mean_tensor, [1], dtype) if spec.mean_tensor else number(spec.mean)
    std = tensors.one(spec.var_tensor, [1], dtype).sqrt() if spec.var_tensor else number(spec.std)
    return Normaliser(mean, std, spec.eps)


def _ideal_point(spec: IdealPoint, score: Network, tensors: HeadTensors) -> IdealPointHead:
    user = tensors.one(spec.user)
    if user.dim() != 1:
        raise RmbenchError(f"{tensors.where(None)}: {spec.user} has shape {list(user.shape)}, expected [points].")
    points = network = None
    if spec.points is not None:
        points = tensors.one(spec.points, [len(user), score.outputs])
    elif spec.network is not None:
        network = build_network(spec.network, tensors)
        _check_outputs(spec.network, network, len(user) * score.outputs, tensors)
    return IdealPointHead(
        score=score,
        user=user,
        points=points,
        network=network,
        log_scale=tensors.one(spec.scale).reshape(1) if spec.scale else None,
    )


def build_network(spec: NetworkSpec, tensors: HeadTensors) -> Network:
    """The network of a declaration; raises RmbenchError as `build_head` does."""
    shapes, where = tensors.shapes(spec.file), tensors.where(spec.file)
    network = _one_layer(spec, shapes, tensors) if "{}" not in spec.name else _layers(spec, shapes, tensors)
    tensors.widths[f"{where}: {spec.name}"] = network.width
    if spec.residual and network.width != network.outputs:
        raise RmbenchError(
            f"{where}: {spec.name} reads {network.width} numbers and gives {network.outputs}, which are not added."
        )
    return replace(network, residual=spec.residual)


def _one_layer(spec: NetworkSpec, shapes: Mapping[str, tuple[int, ...]], tensors: HeadTensors) -> Network:
    tied = spec.tied if isinstance(spec, ScoreSpec) else None
    name = next((name for name in (weight_of(spec), tied) if name in shapes), None)
    if name is None:
        raise RmbenchError(f"{tensors.where(spec.file)} lacks {weight_of(spec)}, which the model's head needs.")
    return Network((_linear(name, shapes, spec.file, tensors),))


def _layers(spec: NetworkSpec, shapes: Mapping[str, tuple[int, ...]], tensors: HeadTensors) -> Network:
    where = tensors.where(spec.file)
    numbers, norms = ([], []) if spec.layers else _numbers(spec, shapes, where)
    linear: list[int | str] = [*spec.layers, *numbers]
    if lacking := [name for number in linear if (name := _at(spec, number, "weight")) not in shapes]:
        raise RmbenchError(f"{where} lacks {', '.join(lacking)}, which the model's head needs.")
    layers = tuple(_linear(_at(spec, number, "weight"), shapes, spec.file, tensors) for number in linear)
    for before, after, number in zip(layers, layers[1:], linear[1:], strict=False):
        if after.weight.shape[1] != before.weight.shape[0]:
            raise RmbenchError(
                f"{where}: {_at(spec, number, 'weight')} {list(after.weight.shape)} does not go behind a layer of "
                f"{before.weight.shape[0]} outputs."
            )
    return Network(layers, spec.activation, tuple(_norm(spec, number, tensors) for number in norms))


def _numbers(spec: NetworkSpec, shapes: Mapping[str, tuple[int, ...]], where: str) -> tuple[list[int], list[int]]:
    """The numbers of a network's linear layers and of its BatchNorms."""
    pattern = re.escape(spec.name).replace(r"\{\}", r"(\d+)")
    norms = _found(rf"{pattern}\.running_(?:mean|var)", shapes)
    linear = [number for number in _found(rf"{pattern}\.\w+", shapes) if number not in norms]
    if spec.numbers:
        return _declared_numbers(spec, [*linear, *norms], where), []
    last = max([*linear, *((number // spec.step + 1) * spec.step for number in norms)], default=0)
    needed = list(range(0, last + 1, spec.step))
    missing = [name for number in needed if (name := _at(spec, number, "weight")) not in shapes]
    if missing:
        raise RmbenchError(f"{where} lacks {', '.join(missing)}, which the model's head needs.")
    strange = [_at(spec, number, "weight") for number in linear if number not in needed]
    if strange:
        raise RmbenchError(f"{where}: {', '.join(strange)} has no place: layers are {spec.step} numbers apart.")
    if norms and [number // spec.step for number in norms] != list(range(len(linear) - 1)):
        raise RmbenchError(f"{where}: {spec.name} has BatchNorm at {norms}, expected one behind each of {linear[:-1]}.")
    return linear, norms


def _declared_numbers(spec: NetworkSpec, found: Sequence[int], where: str) -> list[int]:
    """The declared numbers of the linear layers, where no others are there."""
    wrong = sorted(set(found) ^ set(spec.numbers))
    if wrong:
        names = ", ".join(_at(spec, number, "weight") for number in wrong)
        raise RmbenchError(f"{where}: expected linear layers at {list(spec.numbers)}; see {names}.")
    return list(spec.numbers)


def _at(spec: NetworkSpec, number: int | str, part: str) -> str:
    """A tensor of the layer with this number or name."""
    return f"{spec.name.replace('{}', str(number))}.{part}"


def _found(pattern: str, names: Iterable[str]) -> list[int]:
    """The numbers in the names that a pattern fits, in order, each once."""
    return sorted({int(match[1]) for name in names if (match := re.fullmatch(pattern, name))})


def _linear(name: str, shapes: Mapping[str, tuple[int, ...]], file: str | None, tensors: HeadTensors) -> Linear:
    bias = name.removesuffix("weight") + "bias"
    if len(shapes[name]) != 2:
        raise RmbenchError(f"{tensors.where(file)}: {name} has shape {list(shapes[name])}, expected [outputs, inputs].")
    if bias not in shapes:
        return Linear(tensors.read([name], file)[0])
    if shapes[bias] != shapes[name][:1]:
        raise RmbenchError(
            f"{tensors.where(file)}: {bias} has shape {list(shapes[bias])}, expected {list(shapes[name][:1])}."
        )
    return Linear(*tensors.read([name, bias], file))


def _norm(spec: NetworkSpec, number: int, tensors: HeadTensors) -> BatchNorm:
    parts = ("running_mean", "running_var", "weight", "bias")
    return BatchNorm(*tensors.read([_at(spec, number, part) for part in parts], spec.file))


def _check_outputs(spec: NetworkSpec, network: Network, wanted: int | None, tensors: HeadTensors) -> None:
    if isinstance(spec, ScoreSpec) and spec.rows:
        wanted = None if max(spec.rows) < network.outputs else max(spec.rows) + 1
    if wanted is not None and network.outputs != wanted:
        raise RmbenchError(
            f"{tensors.where(spec.file)}: {spec.name} has {network.outputs} outputs, expected {wanted}; a layer is "
            "missing, or it is another head."
        )
