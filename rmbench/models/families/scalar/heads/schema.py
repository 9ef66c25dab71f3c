"""The schema of a scalar head's declaration: `layouts/*.toml` and of a model card's `[head]`.

Tensor names are whole names in the checkpoint; a network is named by what stands before `.weight`, with `{}` for the
number of a layer. `{key}`, `{key=default}` and `{key!example}` stand for what config.json says; without a default it
has to. K is the number of objectives, H the hidden size.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from rmbench.models.families.scalar.pooling import Pooling
from rmbench.models.families.scalar.reference import ReferenceText

__all__ = [
    "Backbone",
    "Gate",
    "IdealPoint",
    "Layout",
    "NetworkSpec",
    "Normalisation",
    "Objectives",
    "Remote",
    "ScoreSpec",
]

Activation = Literal["none", "relu", "leaky_relu", "tanh", "gelu"]
HeadDtype = Literal["model", "float32", "bfloat16", "float16"]


def _regex(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is no regular expression: {error}") from error
    return text


Regex = Annotated[str, AfterValidator(_regex)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Backbone(_Table):
    """How the library's model is made of the checkpoint."""

    config: dict[str, Any] = Field(default={})
    """Keys of config.json to change, e.g. `model_type` where the library does not know the checkpoint's."""
    rename: dict[Regex, str] = Field(default={})
    """Regular expressions over the checkpoint's tensor names -> what stands in their place."""
    drop: Regex | None = None
    """Tensors (renamed already) that nothing needs, beside those that the head reads."""


class NetworkSpec(_Table):
    """A linear layer, or several with an activation between them and, where its tensors are there, BatchNorm with
    running statistics behind the activation."""

    name: str
    """"score" is `score.weight` and, where it is there, `score.bias`; "score.{}" is score.0.weight and so on."""
    activation: Activation = "none"
    """After every linear layer but the last."""
    step: int = Field(default=1, ge=1)
    """How far the numbers of two linear layers are apart: 2 where the activation has a number of its own."""
    numbers: tuple[int, ...] = ()
    """Of the linear layers where they are not equally far apart: [0, 3, 5] with dropout behind the first."""
    layers: tuple[str, ...] = ()
    """What stands for {} in the names of the linear layers that are not numbered: ["dense", "out_proj"]."""
    residual: bool = False
    """What it reads is added to what it gives, of the same width."""
    outputs: int | None = Field(default=None, ge=1)
    """Rows that the last layer has; None: as many as the rest of the head asks for."""
    file: str | None = None
    """A file of the checkpoint beside the model's own weights."""

    @model_validator(mode="after")
    def _numbers_its_layers(self) -> NetworkSpec:
        if self.name.count("{}") > 1:
            raise ValueError("name: at most one {}, for the number of a layer")
        if "{}" not in self.name and (self.step != 1 or self.activation != "none"):
            raise ValueError("step and activation need a name with {}, for the number of a layer")
        if self.numbers and ("{}" not in self.name or self.step != 1 or self.numbers[0] != 0):
            raise ValueError("numbers: they begin with 0, need a name with {}, and stand in place of step")
        if self.layers and (self.numbers or self.step != 1 or "{}" not in self.name):
            raise ValueError("layers: they need a name with {}, and stand in place of numbers and step")
        if list(self.numbers) != sorted(set(self.numbers)):
            raise ValueError("numbers: expected each once, in order")
        return self


class ScoreSpec(NetworkSpec):
    """The network that reads the answer's state."""

    rows: tuple[int, ...] = ()
    """The outputs that are read, where not all are."""
    tied: str | None = None
    """The weight to take where `name` has none: that of tied embeddings."""


class Objectives(_Table):
    """How the score network's outputs become objectives [K]."""

    read: Literal["values", "quantiles", "distribution"] = "values"
    """"values": an objective each. "quantiles": [K, each] values, whose mean is the objective (QRM). "distribution":
    [K, each] logits, whose softmax weighs the values 0 to 1 in equal steps (LDL)."""
    each: int = Field(default=1, ge=1)
    """Outputs per objective."""
    names: tuple[str, ...] = ()
    transform: str | None = None
    """A tensor [K, K] that the row vector of objectives is multiplied with before they are weighed."""

    @model_validator(mode="after")
    def _has_outputs(self) -> Objectives:
        if (self.read == "values") != (self.each == 1):
            raise ValueError(f'each: read = "{self.read}" has {"one output" if self.read == "values" else "several"}')
        return self


class Gate(NetworkSpec):
    """A network whose outputs weigh the objectives."""

    state: Literal["prompt", "same"] = "prompt"
    """What it reads: the state before the answer, which `[pooling.prompt]` finds, or the same state as the score."""
    softmax: bool = True
    temperature: float = Field(default=1.0, gt=0)
    """The logits are divided by it before the softmax."""
    scale: str | None = None
    """A tensor of one number that the weights are multiplied with."""


class Normalisation(_Table):
    """(x - mean) / (standard deviation + eps), from numbers or from tensors."""

    when: bool = True
    mean: float = 0.0
    std: float = Field(default=1.0, gt=0)
    mean_tensor: str | None = None
    var_tensor: str | None = None
    """Holds the variance."""
    eps: float = Field(default=0.0, ge=0)


class IdealPoint(_Table):
    """The score is how near the score network's embedding [D] lies to a user's ideal point [D] (PAL)."""

    points: str | None = None
    """A tensor of prototypes [N, D] (PAL-A)."""
    network: NetworkSpec | None = None
    """A network of N * D outputs that reads the prompt's state (PAL-B)."""
    user: str
    """A tensor [N] of a user's logits; their softmax mixes the N points."""
    measure: Literal["distance", "cosine"]
    """"distance": the negative Euclidean distance. "cosine": times the exponential of `scale`, at most 100."""
    scale: str | None = None
    """A tensor of one number, for "cosine"."""

    @model_validator(mode="after")
    def _is_one_kind(self) -> IdealPoint:
        if (self.points is None) == (self.network is None):
            raise ValueError("points or network: one of the two")
        if (self.measure == "cosine") != (self.scale is not None):
            raise ValueError('scale: measure = "cosine" has one, "distance" none')
        return self


class Remote(_Table):
    """A model that only its own Python files can build; it is run one row at a time, without padding."""

    output: Literal["itself", "first", "logits", "score"] = "logits"
    """Where its forward returns the score: as the result itself, as its first entry, or under a name."""
    method: str | None = None
    """A method that takes the conversation as a list of {"role", "content"} and returns the score, in forward's
    place."""
    images: str | None = None
    """The text that stands for an image in what the method reads, and that no text of a row may spell: the method then
    takes the files of the prompt's images after the conversation, an empty list where there are none."""
    arguments: tuple[Any, ...] = ()
    """What the method takes after that."""
    keywords: dict[str, Any] = Field(default={})
    tokenizer: bool = False
    """The model wants its tokenizer as its attribute `tokenizer`."""


class Layout(_Table):
    """A scalar head as a declaration."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    source: str = Field(min_length=1)
    """Where the names and the formula are from."""
    verified: bool
    """True: they were read in the public code that `source` names."""
    own: bool = False
    """True: a layout of this project, which no public checkpoint has."""
    notes: str = ""
    """What is unverified, and what else to know."""
    architectures: tuple[Regex, ...] = ()
    """Regular expressions over the class that config.json names; none: the layout has to be asked for."""
    config: dict[str, tuple[str | bool | int, ...]] = Field(default={})
    """Keys of config.json -> the values they may have."""
    marks: tuple[Regex, ...] = ()
    """Regular expressions over tensor names that must be there, beside what the head reads."""
    without: tuple[Regex, ...] = ()
    """Regular expressions over tensor names that must not be there."""
    twin: bool = False
    """Another layout has the same tensors: they alone, without the class or this layout's name, say nothing."""
    head_dtype: HeadDtype = "model"
    """In what upstream computes the head; a card goes before it."""
    backbone: Backbone = Backbone()
    affixes: bool = False
    """Texts also have the special tokens that the tokenizer puts around any text: [CLS], [SEP], an EOS."""
    pooling: Pooling = Pooling()
    score: ScoreSpec | None = None
    objectives: Objectives = Objectives()
    gate: Gate | None = None
    weights: tuple[float, ...] = ()
    """Of the objectives, fixed."""
    weights_tensor: str | None = None
    """A tensor [K] whose softmax weighs the objectives, the same for every row."""
    pick: int | None = Field(default=None, ge=0)
    """The one objective that is the reward."""
    mix: Literal["rewards", "probabilities"] = "rewards"
    """"probabilities": P(a > b) is the weighed sum of sigmoid(difference) of each objective, and there is a margin of
    two candidates instead of a reward of each (MiCRo)."""
    ideal: IdealPoint | None = None
    normalise: Normalisation = Normalisation(when=False)
    sign: Literal[1, -1] = 1
    """-1: a higher output is worse (cost models)."""
    remote: Remote | None = None
    reference: ReferenceText | None = None
    """Rows hold a reference answer beside the answer; None: the conversation alone, by the model's template."""

    @model_validator(mode="after")
    def _is_one_head(self) -> Layout:
        ways = [self.gate, self.weights, self.weights_tensor, self.pick is not None, self.ideal]
        if sum(map(bool, ways)) > 1:
            raise ValueError("gate, weights, weights_tensor, pick, ideal: a head has one of them, or none")
        if (self.score is None) == (self.remote is None):
            raise ValueError("score or remote: one of the two")
        if self.reference is not None and (self.remote is None or self.remote.method or not self.pooling.append):
            raise ValueError("reference: goes with remote, without its method, and with a token that pooling appends")
        if self.reads_prompt != (self.pooling.prompt is not None):
            raise ValueError("pooling.prompt: a head that reads the prompt's state says where it is, and no other does")
        if self.pooling.prompt is not None and self.pooling.prompt.apart and self.ideal is None:
            raise ValueError("pooling.prompt: only an ideal point reads prompt and answer apart")
        if self.mix == "probabilities" and not (self.gate or self.weights or self.weights_tensor):
            raise ValueError('mix: "probabilities" needs a gate or weights')
        if self.mix == "probabilities" and (self.normalise.when or self.sign != 1):
            raise ValueError('mix: "probabilities" has no reward to normalise or to negate')
        if self.mix == "probabilities" and self.objectives.transform:
            raise ValueError('mix: "probabilities" takes the objectives as they are, without a transform')
        if self.ideal is not None and self.objectives != Objectives():
            raise ValueError("ideal: an ideal point has no objectives")
        return self

    @property
    def reads_prompt(self) -> bool:
        """Whether the state before the answer is read as well as the answer's."""
        gated = self.gate is not None and self.gate.state == "prompt"
        return gated or (self.ideal is not None and self.ideal.network is not None)

    @property
    def score_outputs(self) -> int | None:
        """How many outputs the score network must have, as far as the declaration alone says it."""
        if self.score is None:
            return None
        if self.score.outputs is not None:
            return self.score.outputs
        if self.score.rows or self.ideal is not None:
            return None
        if self.weights:
            return len(self.weights) * self.objectives.each
        return None if self.gate or self.weights_tensor or self.pick is not None else self.objectives.each
