"""The settings of a judge: `--model-args`, with the protocol's own values as defaults."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.models.judges.declaration import JudgeProtocol
from rmbench.models.judges.media import FrameText, Pictures, Transport, enough_images
from rmbench.models.judges.parsers import PARSERS
from rmbench.models.judges.request_fields import NESTED, is_nested, nested_fields
from rmbench.validation import validated

__all__ = ["JUDGE_ARGS", "JudgeSettings", "judge_settings"]


MAX_REPLY = 1 << 18
"""Default of `max_reply`: about 65,000 tokens of English."""
MIN_OPTION_MASS = 0.5
"""Default of `min_option_mass`."""
_OF_MEDIA = ("transport", "max_pixels", "frame_pixels", "frames", "max_images")
_SIMPLE = ("top_k", "min_p", "reasoning_effort")
"""Settings that are fields of a request's body by their own names, where they are given."""


class JudgeSettings(BaseModel):
    """How a protocol is applied."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    protocol: str
    """A bundled protocol's name or a TOML file."""
    prompt: Path | None = None
    system: Path | None = None
    """Templates that replace the protocol's; see `JudgeProtocol.with_templates`."""
    rubric: Path | None = None
    """A file that replaces the rows' own rubric."""
    votes: int = Field(default=1, ge=1)
    voting: Literal["majority", "mean", "each"] = "majority"
    """How votes become one verdict in metrics (`rmbench.metrics.judging.votes`); where the user names no rule, the
    task's."""
    voting_unparsed: Literal["abstain", "count"] = "abstain"
    orders: Literal["both", "single", "first"]
    """"first": the candidates of a pair as the task has them, in one order."""
    marks: Literal["quoted", "raw"] = "quoted"
    parser: str = "rmbench"
    """"rmbench", or an upstream parser's name."""
    temperature: float | None = Field(ge=0, le=100)
    top_p: float | None = Field(gt=0, le=1)
    top_k: int | None = Field(default=None, ge=-1)
    min_p: float | None = Field(default=None, ge=0, le=1)
    """None, "none" on the command line, of these four: the field is left out of requests, so that the server's own
    default holds."""
    seed: Literal["run"] | Annotated[int, Field(ge=0, lt=2**63)] | None = "run"
    """"run": a function of the run's seed and the question; a number is sent with every request, None leaves it out."""
    max_tokens: int = Field(ge=1)
    reasoning_effort: str | None = Field(default=None, pattern=r"^[\w.-]{1,40}$")
    chat_template_kwargs: Mapping[str, Any] = Field(default={})
    extra_body: Mapping[str, Any] = Field(default={})
    """Further fields of requests; see `rmbench.models.judges.request_fields`."""
    max_reply: int = Field(default=MAX_REPLY, ge=1)
    """Characters of a reply that are read and kept, and as many of its reasoning; a longer reply is unparsed."""
    tournament: bool = False
    min_option_mass: float = Field(default=MIN_OPTION_MASS, ge=0, le=1)
    """The share of the whole probability that a protocol's options hold at least; below it a verdict is unparsed."""
    unparsed: float | Literal["task"]
    transport: Transport | None = None
    max_pixels: int | None = Field(default=None, ge=1)
    frame_pixels: int | None = Field(default=None, ge=1)
    frames: FrameText | None = None
    max_images: int | None = Field(default=None, ge=1)
    """Of protocols that show images and videos, see `rmbench.models.judges.media.MediaFormat`; None of others."""

    def pictures(self, declared: JudgeProtocol) -> Pictures | None:
        """What encodes the images and videos of rows; None where the protocol shows none."""
        if declared.media is None:
            return None
        return Pictures.of(declared.media.model_copy(update={name: getattr(self, name) for name in _OF_MEDIA}))

    @property
    def fields(self) -> dict[str, Any]:
        """Further fields of each request's body."""
        own = {name: getattr(self, name) for name in (*_SIMPLE, "chat_template_kwargs")}
        return {name: value for name, value in own.items() if value not in (None, {})} | dict(self.extra_body)

    @field_validator("temperature", "top_p", "top_k", "min_p", "seed", "reasoning_effort", mode="before")
    @classmethod
    def _may_be_left_out(cls, value: object) -> object:
        return None if isinstance(value, str) and value.lower() == "none" else value

    @field_validator("unparsed", mode="before")
    @classmethod
    def _is_credit(cls, value: object) -> object:
        try:
            credit = value if value == "task" else float(str(value))
        except ValueError:
            credit = None
        if credit is None or (credit != "task" and not 0 <= float(str(credit)) <= 1):
            raise ValueError("expected task or a credit from 0 to 1")
        return credit


JUDGE_ARGS = tuple(JudgeSettings.model_fields)
"""`--model-args` of every judge; those of `request_fields.NESTED` hold others behind a dot."""


def judge_settings(declared: JudgeProtocol, args: Mapping[str, str]) -> JudgeSettings:
    """The settings for a protocol; raises RmbenchError for an argument that is wrong or does not fit the protocol."""
    defaults = {
        "protocol": declared.name,
        "orders": declared.orders,
        "temperature": declared.sampling.temperature,
        "top_p": declared.sampling.top_p,
        "max_tokens": declared.sampling.max_tokens,
        "unparsed": declared.unparsed,
        "votes": declared.sampling.votes,
        **({name: getattr(declared.media, name) for name in _OF_MEDIA} if declared.media else {}),
    }
    for name in () if declared.media else _OF_MEDIA:
        if name in args:
            raise RmbenchError(f"--model-args {name}: protocol {declared.name} shows no images or videos.")
    given: dict[str, object] = {key: value for key, value in args.items() if not is_nested(key)}
    given |= {name: nested_fields(args, name) for name in NESTED}
    if declared.media and "frames" in args and "max_images" not in args:
        given["max_images"] = enough_images(declared.media, args["frames"])
    settings = validated(JudgeSettings, {**defaults, **given}, "--model-args")
    votes, options = settings.votes, declared.verdict.options
    if votes > 1 and options:
        raise RmbenchError(f"--model-args votes={votes}: {declared.name} asks for probabilities, drawn once.")
    if votes > 1 and settings.temperature == 0:
        raise RmbenchError(
            f"--model-args votes={votes}: at temperature 0 every vote is the same; set temperature=... too."
        )
    if votes > 1 and isinstance(settings.seed, int):
        raise RmbenchError(
            f"--model-args votes={votes}: with seed={settings.seed} every vote is the same; leave it out."
        )
    if "min_option_mass" in args and not options:
        raise RmbenchError(f"--model-args min_option_mass: {declared.name} asks for no probabilities.")
    _check_parser(settings.parser, declared)
    return settings


def _check_parser(name: str, declared: JudgeProtocol) -> None:
    if name != "rmbench" and name not in PARSERS:
        near = did_you_mean(name, PARSERS)
        raise RmbenchError(f"--model-args parser={name}: expected rmbench or one of {', '.join(PARSERS)}.{near}")
    if name != "rmbench" and name not in declared.parsers:
        fits = f"only {', '.join(declared.parsers)} does" if declared.parsers else "none of upstream's does"
        raise RmbenchError(f"--model-args parser={name}: it does not read {declared.name}'s verdicts; {fits}.")
