"""The heads of vision-language reward models: from the states of a row to a reward.

Sources: MizzenAI/HPSv3 (a ranknet whose outputs are a mean and a log standard deviation), HPSv3-PlusPlus (the same
behind a modulation of the state), KlingTeam/VideoAlign (three states, z-scores), TIGER-AI-Lab/EditReward (two passes).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from rmbench.errors import RmbenchError
from rmbench.models.families.scalar.heads.build import HeadTensors, build_network
from rmbench.models.families.scalar.heads.network import Linear, Network
from rmbench.models.families.scalar.heads.schema import Gate
from rmbench.models.families.vl.schema import Film, Groups, Layout

__all__ = ["GroupedHead", "Modulation", "RowHead", "VisionHead", "build_vision_head", "joined"]


class RowHead(Protocol):
    """What a scorer reads of the states of a row."""

    @property
    def parameters(self) -> int:
        """How many numbers it was trained to have."""

    def __call__(self, states: Tensor) -> dict[str, Tensor]:
        """States [B, S, H] -> "reward" [B, 1], and further names."""


@dataclass(frozen=True, eq=False)
class Modulation:
    """h (1 + gamma) + beta, both by the state's own capability and a declared iteration.

    Upstream weighs the rows of a batch against each other where it reads the capability; here each row is its own
    batch, whose only weight is 1, so that no score depends on others.
    """

    project: Linear
    out: Linear
    condition: Network
    modulation: Network
    iteration: float

    @property
    def parameters(self) -> int:
        """How many numbers it was trained to have, but for those that weigh rows of a batch."""
        layers = (self.project, self.out)
        linear = sum(part.numel() for each in layers for part in (each.weight, each.bias) if part is not None)
        return linear + self.condition.parameters + self.modulation.parameters

    def __call__(self, state: Tensor) -> Tensor:
        """[B, H] -> [B, H]."""
        capability = torch.sigmoid(self.out(self.project(state)))  # [B, 1]
        iteration = torch.full_like(capability, self.iteration)
        made = self.modulation(self.condition(torch.cat([capability, iteration], dim=-1)))
        gamma, beta = made.chunk(2, dim=-1)
        return state * (1 + gamma) + beta


@dataclass(frozen=True, eq=False)
class WeighingGate:
    """The logits of a gate, and how they become weights."""

    network: Network
    temperature: float
    scale: Tensor
    """[1]"""

    def __call__(self, states: Tensor, places: Sequence[int]) -> Tensor:
        """States [B, H] -> weights [B, len(places)] of these outputs among each other."""
        logits: Tensor = self.network(states)[:, list(places)]
        return torch.softmax(logits / self.temperature, dim=-1) * self.scale


@dataclass(frozen=True, eq=False)
class GroupedHead:
    """Objectives weighed within their groups, and these by another gate (MJ-VIDEO, `scripts/model/moe_reward.py`)."""

    score: Network
    transform: Tensor
    """[K, K]"""
    members: tuple[tuple[int, ...], ...]
    within: WeighingGate
    between: WeighingGate
    names: tuple[str, ...] = ()

    def __call__(self, states: Tensor) -> dict[str, Tensor]:
        """States [B, 2, H], the gates' and the score's -> "reward" [B, 1] and "objectives" [B, groups]."""
        gate, last = states[:, 0], states[:, 1]
        values = self.score(last) @ self.transform  # [B, K]
        weighed = [(values[:, list(own)] * self.within(gate, own)).sum(dim=-1) for own in self.members]
        groups = torch.stack(weighed, dim=-1)
        weights = self.between(gate, range(len(self.members)))
        return {"reward": (groups * weights).sum(dim=-1, keepdim=True), "objectives": groups}

    @property
    def parameters(self) -> int:
        """How many numbers it was trained to have; the transform was not trained."""
        return self.score.parameters + self.within.network.parameters + self.between.network.parameters + 2


@dataclass(frozen=True, eq=False)
class VisionHead:
    """The head of one pass."""

    score: Network
    names: tuple[str, ...] = ()
    log_sigma: bool = False
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    weights: tuple[float, ...] = ()
    modulation: Modulation | None = None

    def __call__(self, states: Tensor) -> dict[str, Tensor]:
        """States [B, S, H] -> "reward" [B, 1]; "objectives" [B, K] where there are several; "sigma" [B, 1]."""
        if self.modulation is not None:
            states = self.modulation(states.flatten(0, 1)).reshape(states.shape)
        outputs = self.score(states)  # [B, S, O]
        found: dict[str, Tensor] = {}
        if self.log_sigma:
            found["sigma"] = outputs[:, 0, 1:2].exp()
            outputs = outputs[..., :1]
        objectives = outputs.flatten(1)
        if self.mean:
            objectives = (objectives - objectives.new_tensor(self.mean)) / objectives.new_tensor(self.std)
        if self.weights:
            found["objectives"] = objectives
            objectives = (objectives * objectives.new_tensor(self.weights)).sum(-1, keepdim=True)
        return found | {"reward": objectives}

    @property
    def parameters(self) -> int:
        """How many numbers it was trained to have."""
        return self.score.parameters + (self.modulation.parameters if self.modulation else 0)


def build_vision_head(layout: Layout, number: int, tensors: HeadTensors) -> VisionHead | GroupedHead:
    """The head of a pass.

    Raises:
        RmbenchError: a tensor is missing or has a shape that does not go with the others or the declaration.
    """
    spec = layout.score_of(number)
    score = build_network(spec, tensors)
    if layout.groups is not None:
        return _grouped(layout.groups, score, layout, tensors)
    if layout.reply is not None:
        return VisionHead(score)
    spots, output = max(1, len(layout.prompt.tokens)), layout.output
    if spec.outputs is not None and score.outputs != spec.outputs:
        raise RmbenchError(
            f"{tensors.where(spec.file)}: {spec.name} has {score.outputs} outputs, expected {spec.outputs}."
        )
    objectives = spots * (score.outputs - int(output.log_sigma))
    if output.log_sigma and score.outputs != 2:
        raise RmbenchError(f"{tensors.where(spec.file)}: {spec.name} has {score.outputs} outputs, expected two.")
    if objectives != (len(output.weights) or 1):
        raise RmbenchError(
            f"{tensors.where(spec.file)}: {spec.name} gives {objectives} objectives, the layout {layout.name} weighs "
            f"{len(output.weights) or 1}."
        )
    return VisionHead(
        score=score,
        names=output.names,
        log_sigma=output.log_sigma,
        mean=output.mean,
        std=output.std,
        weights=output.weights,
        modulation=_modulation(layout.film, tensors) if layout.film else None,
    )


def _modulation(film: Film, tensors: HeadTensors) -> Modulation:
    def linear(name: str) -> Linear:
        weight, bias = tensors.read([f"{film.capability}.{name}.weight", f"{film.capability}.{name}.bias"])
        return Linear(weight, bias)

    shapes = tensors.shapes(None)
    tensors.taken |= {name for name in shapes if name.startswith(f"{film.capability}.")}
    found = Modulation(
        linear("proj"),
        linear("out_proj"),
        build_network(film.condition, tensors),
        build_network(film.modulation, tensors),
        film.iteration,
    )
    width = found.project.weight.shape[1]
    sizes = (found.condition.width, found.condition.outputs, found.modulation.outputs)
    if sizes != (2, found.modulation.width, 2 * width):
        raise RmbenchError(
            f"{tensors.where(None)}: a condition of {sizes[0]} numbers, {sizes[1]} outputs of it and {sizes[2]} of the "
            f"modulation do not go together; expected 2, {found.modulation.width} and {2 * width}."
        )
    return found


def _grouped(groups: Groups, score: Network, layout: Layout, tensors: HeadTensors) -> GroupedHead:
    count = sum(map(len, groups.members))

    def gate(spec: Gate, outputs: int) -> WeighingGate:
        network = build_network(spec, tensors)
        if network.outputs != outputs:
            raise RmbenchError(f"{tensors.where(None)}: {spec.name} has {network.outputs} outputs, expected {outputs}.")
        scale = tensors.one(spec.scale, [1]) if spec.scale else score.layers[0].weight.new_ones(1)
        return WeighingGate(network, spec.temperature, scale)

    if score.outputs != count:
        raise RmbenchError(
            f"{tensors.where(None)}: {layout.score.name} has {score.outputs} outputs, the layout {layout.name} groups "
            f"{count}."
        )
    return GroupedHead(
        score=score,
        transform=tensors.one(groups.transform, [count, count]),
        members=groups.members,
        within=gate(groups.within, count),
        between=gate(groups.between, len(groups.members)),
        names=layout.output.names,
    )


def joined(passes: Sequence[Mapping[str, float]], how: str) -> dict[str, float]:
    """The reward of several passes and, where each has one, its standard deviation.

    Args:
        passes: "reward", and "sigma" where there is one, of each pass.
        how: "mean", "min" or "sum". EditReward takes the mean of the logarithms of standard deviations, the root of the
            sum of their squares with a sum, and the smallest one with the smallest reward.
    """
    rewards = [each["reward"] for each in passes]
    found = {"reward": {"mean": sum(rewards) / len(rewards), "min": min(rewards), "sum": sum(rewards)}[how]}
    if all("sigma" in each for each in passes):
        sigmas = [each["sigma"] for each in passes]
        logs = sum(map(math.log, sigmas)) / len(sigmas)
        found["sigma"] = {"mean": math.exp(logs), "min": min(sigmas), "sum": math.hypot(*sigmas)}[how]
    return found
