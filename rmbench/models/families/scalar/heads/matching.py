"""Whether a checkpoint has a declared layout: its class, its tensors and its files."""

from __future__ import annotations

import re

from rmbench.models.checkpoint.read import Checkpoint
from rmbench.models.families.scalar.heads.schema import Layout, NetworkSpec, ScoreSpec

__all__ = ["agrees", "begun", "lacking", "shown", "unwanted", "weight_of"]


def agrees(layout: Layout, checkpoint: Checkpoint) -> bool:
    """Whether config.json names the layout's class, and says nothing against it."""
    named = checkpoint.architectures
    if len(named) != 1 or not any(re.fullmatch(pattern, named[0]) for pattern in layout.architectures):
        return False
    return all(checkpoint.config.get(key) in allowed for key, allowed in layout.config.items())


def lacking(layout: Layout, checkpoint: Checkpoint) -> list[str]:
    """What the checkpoint lacks of the layout: tensors by name, or by pattern where the layout has one; files."""
    return [name for name, found in _needs(layout, checkpoint).items() if not found]


def begun(layout: Layout, checkpoint: Checkpoint) -> bool:
    """Whether the checkpoint has anything of the layout."""
    return any(_needs(layout, checkpoint).values())


def unwanted(layout: Layout, checkpoint: Checkpoint) -> list[str]:
    """What the checkpoint has of another layout: tensors by name, or a score of another number of outputs."""
    found = [name for name in checkpoint.tensors if any(re.fullmatch(mark, name) for mark in layout.without)]
    spec, outputs = layout.score, layout.score_outputs
    if spec is None or spec.file or "{}" in spec.name or outputs is None:
        return found
    tensor = checkpoint.tensors.get(weight_of(spec))
    if tensor is not None and tensor.shape[:1] != (outputs,):
        found.append(f"{weight_of(spec)} {list(tensor.shape)}")
    return found


def shown(layout: Layout, checkpoint: Checkpoint) -> str:
    """The evidence for a layout."""
    names = [
        weight_of(spec) if spec.file is None else checkpoint.beside(spec.file) or spec.file
        for spec in _networks(layout)
    ]
    names += _tensors(layout)[:1]
    found = [
        f"{name} {list(checkpoint.tensors[name].shape)}" if name in checkpoint.tensors else name
        for name in dict.fromkeys(names)
    ]
    return f"the checkpoint holds {', '.join(found) or 'Python files of its own'}"


def weight_of(spec: NetworkSpec) -> str:
    """The name of a network's first weight."""
    return spec.name.replace("{}", "0") + ".weight"


def _needs(layout: Layout, checkpoint: Checkpoint) -> dict[str, bool]:
    """What the layout needs -> whether the checkpoint has it."""
    names = checkpoint.tensors.keys()
    needs = {mark: any(re.fullmatch(mark, name) for name in names) for mark in layout.marks}
    needs |= {name: name in names for name in _tensors(layout)}
    for spec in _networks(layout):
        tied = spec.tied if isinstance(spec, ScoreSpec) else None
        if spec.file is not None:
            needs[spec.file] = checkpoint.beside(spec.file) is not None
        else:
            needs[weight_of(spec)] = weight_of(spec) in names or tied in names
    if layout.remote is not None:
        needs["auto_map in config.json"] = bool(checkpoint.config.get("auto_map"))
    return needs


def _networks(layout: Layout) -> list[NetworkSpec]:
    ideal = layout.ideal.network if layout.ideal else None
    return [spec for spec in (layout.score, layout.gate, ideal) if spec is not None]


def _tensors(layout: Layout) -> list[str]:
    """The tensors that a layout names, beside those of its networks."""
    named = [layout.objectives.transform, layout.gate and layout.gate.scale, layout.weights_tensor]
    if layout.ideal is not None:
        named += [layout.ideal.points, layout.ideal.user, layout.ideal.scale]
    if layout.normalise.when:
        named += [layout.normalise.mean_tensor, layout.normalise.var_tensor]
    return [name for name in named if name]
