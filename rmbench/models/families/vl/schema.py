"""The schema of a vision-language reward model's declaration: `layouts/*.toml`.

Networks are named as scalar heads name theirs (`families/scalar/heads/schema.py`). H is the hidden size, S the number
of places of a row that are read, O the outputs of the score network.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from rmbench.errors import RmbenchError
from rmbench.models.families.scalar.heads.schema import Backbone, Gate, HeadDtype, NetworkSpec, Regex
from rmbench.validation import read_toml, validated

__all__ = ["Film", "Groups", "Layout", "Output", "Pixels", "Prompt", "Reply", "layouts"]

_FOLDER = Path(__file__).resolve().parent / "layouts"


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Prompt(_Table):
    """How a row becomes one conversation of the model's chat template."""

    form: Literal["chat", "single", "critique"] = "chat"
    """"chat": the prompt and the candidate as they are. "single": one user turn of all images and videos, the prompt's
    before the candidate's, and then a text that the user's file gives, with the prompt's text in it. "critique": one
    user turn of the prompt's pictures and then such a text, with the prompt's and the answer's; then the critique that
    the model itself writes, as the assistant's, behind which it is read."""
    passes: int = Field(default=1, ge=1, le=2)
    """"single": how many such texts there are, each read by itself."""
    generation_prompt: bool = False
    """Whether the header of an answer to come ends the text."""
    tokens: tuple[str, ...] = ()
    """Special tokens that are read, in the order of the text. None: the last token of the row."""
    wording: str = ""
    """Where the words of the text are to be found, which are upstream's."""
    words: str = ""
    """The words, where upstream has none but the prompt's text; a user's file goes first."""
    header: str = ""
    """A text of the template: the state of the first token of its last occurrence is read before that of the last."""

    @model_validator(mode="after")
    def _fits_together(self) -> Prompt:
        if self.form == "chat" and (self.passes > 1 or self.tokens or self.wording):
            raise ValueError('passes, tokens, wording: form = "chat" has no text of its own')
        if self.form != "chat" and not self.wording:
            raise ValueError(f'wording: form = "{self.form}" says where its text is from')
        if self.form == "critique" and (self.passes > 1 or self.tokens or self.header or self.generation_prompt):
            raise ValueError('passes, tokens, header, generation_prompt: form = "critique" is read at its end, once')
        if self.header and self.tokens:
            raise ValueError("header: a row is read there or at tokens")
        return self


class Pixels(_Table):
    """How large pictures become."""

    resize: Literal["processor", "pil", "torch"] = "processor"
    """Who resizes: the model's own processor; Pillow, bicubic, before it; torch, bicubic and antialiased, before it."""
    min: int | None = Field(default=None, ge=1)
    """Pixels of a picture at least; None: as the processor's file says."""
    max: int | None = Field(default=None, ge=1)
    frames: str = "fps:2"
    """Which frames of a video are looked at; see `rmbench.media.frames`."""
    frame: str = ""
    """Given: a video is shown as one image for each frame, in this text, with {n} for its number and {image}."""
    tiles: bool = True
    """False: a picture is one tile, whatever its shape (InternVL)."""


class Film(_Table):
    """A modulation of the state by a capability that is read from it (HPSv3++): h (1 + gamma) + beta."""

    capability: str
    """Name of the module with `proj`, `pool_attn` and `out_proj`."""
    condition: NetworkSpec
    """[capability, iteration] -> a condition."""
    modulation: NetworkSpec
    """The condition -> gamma and beta, [2 H]."""
    iteration: float = 0.0


class Groups(_Table):
    """Objectives weighed twice: within a group by the softmax of a gate over its members, and the groups by another
    gate (MJ-VIDEO). Both gates read the state before the score's."""

    members: tuple[tuple[int, ...], ...]
    """Of each group, the places of its objectives."""
    transform: str
    """A tensor [K, K] that the row vector of objectives is multiplied with before."""
    within: Gate
    between: Gate

    @model_validator(mode="after")
    def _are_a_partition(self) -> Groups:
        places = sorted(place for group in self.members for place in group)
        if places != list(range(len(places))) or not all(self.members):
            raise ValueError("members: expected each objective once, and one in each group")
        return self


class Reply(_Table):
    """A text that the model itself writes about what it sees, with a score behind each of some headings (VideoScore2).
    The score network gives its tokens."""

    headings: tuple[str, ...] = Field(min_length=1)
    """In the order of the text, one for each objective."""
    most: int = Field(ge=2, le=9)
    """Scores are whole numbers from 1 to this."""
    temperature: float = Field(ge=0)
    """0: the most probable tokens."""
    tokens: int = Field(ge=1)
    """Of a reply at most."""
    scores: Literal["normed", "weighted"] = "normed"
    """See `rmbench.models.families.vl.reply.score_of`."""


class Output(_Table):
    """How the score network's outputs [S, O] become one reward."""

    names: tuple[str, ...] = ()
    """Of the objectives."""
    log_sigma: bool = False
    """The second of two outputs is the logarithm of a standard deviation, and no objective."""
    mean: tuple[float, ...] = ()
    """Of each objective, taken off before they are weighed."""
    std: tuple[float, ...] = ()
    weights: tuple[float, ...] = ()
    """Of the objectives; none: there is one."""
    passes: Literal["mean", "min", "sum"] = "mean"
    """How the rewards of several passes become one."""

    @model_validator(mode="after")
    def _fits_together(self) -> Output:
        if len(self.mean) != len(self.std) or any(value <= 0 for value in self.std):
            raise ValueError("mean, std: one of each for every objective, std above 0")
        counts = {len(each) for each in (self.names, self.mean, self.weights) if each}
        if len(counts) > 1:
            raise ValueError(f"names, mean, std, weights: expected one of each for every objective, found {counts}")
        return self


class Layout(_Table):
    """A vision-language reward model as a declaration."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    source: str = Field(min_length=1)
    """Where the names and the formula are from."""
    verified: bool
    """True: they were read in the public code that `source` names."""
    notes: str = ""
    """What is unverified, and what else to know."""
    architectures: tuple[Regex, ...] = ()
    """Regular expressions over the class that config.json names."""
    positions: Literal["mrope", "sequential"] | None = None
    """"mrope": the library's positions of time, height and width. "sequential": 0, 1, 2 ... on all three axes. None:
    the backbone has no such axes, or the library's."""
    head_dtype: HeadDtype = "model"
    lora_alpha: float | None = Field(default=None, gt=0)
    """Of LoRA pairs that the file holds beside the weights, which are merged as they are loaded."""
    backbone: Backbone = Backbone()
    prompt: Prompt = Prompt()
    pixels: Pixels = Pixels()
    score: NetworkSpec
    """With `{pass}` in its name for the number of the pass."""
    film: Film | None = None
    groups: Groups | None = None
    reply: Reply | None = None
    output: Output = Output()

    @model_validator(mode="after")
    def _has_a_score_for_each_pass(self) -> Layout:
        if bool(self.groups) != bool(self.prompt.header):
            raise ValueError("groups: their gates read the state at prompt.header, and nothing else does")
        if (self.prompt.passes > 1) != ("{pass}" in self.score.name):
            raise ValueError("score.name: {pass} stands for the number of the pass where there are several")
        if self.reply and not (self.prompt.form == "single" and self.prompt.generation_prompt):
            raise ValueError('reply: goes with form = "single" and a generation prompt')
        if self.reply and len(self.reply.headings) != len(self.output.weights):
            raise ValueError("reply.headings: expected one for each of output.weights")
        return self

    def score_of(self, number: int) -> NetworkSpec:
        """The score network of a pass."""
        return self.score.model_copy(update={"name": self.score.name.replace("{pass}", str(number))})

    @property
    def networks(self) -> list[NetworkSpec]:
        """All that the head has."""
        film = [self.film.condition, self.film.modulation] if self.film else []
        gates: list[NetworkSpec] = [self.groups.within, self.groups.between] if self.groups else []
        return [self.score_of(number) for number in range(self.prompt.passes)] + film + gates


@cache
def layouts() -> Mapping[str, Layout]:
    """All declared layouts by name; raises RmbenchError for the first that is wrong."""
    found = {}
    for path in sorted(_FOLDER.glob("*.toml")):
        layout = validated(Layout, read_toml(path), path)
        if layout.name != path.stem:
            raise RmbenchError(f'{path}: key "name": "{layout.name}" must be the file\'s name, "{path.stem}".')
        found[path.stem] = layout
    return found
