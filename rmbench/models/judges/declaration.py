"""Judge protocols as data: the prompt, the position orders, and the format of the verdict.

A protocol is one TOML file next to its Jinja templates; those in the folder `protocols` are bundled. The wording of the
bundled ones is this project's own; layout and verdict format are those that the judge in question was trained on.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, Strict, model_validator

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.models.judges.media import MediaFormat
from rmbench.models.judges.verdict_format import Declared, VerdictFormat
from rmbench.untrusted.files import read_text
from rmbench.validation import read_toml, validated

__all__ = [
    "REPLY",
    "DeclaredSampling",
    "JudgeProtocol",
    "PromptMessage",
    "load_protocol",
    "protocol_names",
    "read_template",
]

REPLY = "reply"
"""The role of a message that stands for the judge's answer to those before it."""
FOLDER = Path(__file__).resolve().parent / "protocols"
_PLAIN_NAME = re.compile(r"[\w][\w.-]*\.jinja", re.ASCII)
_LARGEST = 1 << 20  # bytes of a template; real ones are kilobytes

Shape = Literal["pair", "pair-tie", "pick-k", "listwise", "pointwise", "yes-no", "option"]


class PromptMessage(Declared):
    """One message of the prompt."""

    role: Literal["system", "user", "assistant", "raw", "reply", "principle", "response_1", "response_2"]
    """"assistant": the beginning of the judge's own reply where it stands last, else a turn that it is shown. "raw":
    the whole prompt, no chat template around. "reply": what the judge answers to the messages before, which it is
    asked first. Others: roles of Nemotron's judges."""
    template: str = ""
    """The template's file, next to the declaration; a "reply" has none."""
    temperature: float | None = Field(default=None, ge=0)
    """Of a "reply"; None: that of the last one, as is everything where the user names a temperature."""

    @model_validator(mode="after")
    def _has_a_template(self) -> PromptMessage:
        if (self.role == "reply") == bool(self.template):
            raise ValueError("template: every message but a reply has one")
        if self.temperature is not None and self.role != "reply":
            raise ValueError("temperature: of a reply alone; that of the last one stands under [sampling]")
        return self


class DeclaredSampling(Declared):
    """Default sampling parameters."""

    temperature: float = Field(default=0.0, ge=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    max_tokens: int = Field(default=2048, ge=1)
    votes: int = Field(default=1, ge=1)
    repetition_penalty: float | None = Field(default=None, gt=0)
    stop: tuple[str, ...] = Field(default=(), strict=False)


class JudgeProtocol(Declared):
    """A whole protocol."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    version: int = Field(ge=1)
    title: str
    follows: str = ""
    """Whose layout and verdict format these are, and how far that was checked."""
    notes: tuple[str, ...] = Field(default=(), strict=False)
    shape: Shape
    most: int = Field(default=2, ge=1, le=26)
    """Most candidates that one question may show."""
    orders: Literal["both", "single", "first"] = "both"
    """Position orders of pairs, "first" being the task's own alone; of more candidates, a seeded permutation and its
    reverse, or the permutation alone."""
    message: tuple[PromptMessage, ...] = Field(min_length=1, strict=False)
    verdict: VerdictFormat
    media: MediaFormat | None = None
    """What it shows of images and videos; None: it reads text alone."""
    think: tuple[Annotated[tuple[str, str], Strict(False)], ...] = Field(
        default=(("<think>", "</think>"),), strict=False
    )
    """Opening and closing tags of reasoning, which is never parsed for a verdict."""
    sampling: DeclaredSampling = DeclaredSampling()
    unparsed: float | Literal["task"] = "task"
    """Credit of an unparsed verdict: the task's own rule, or what this judge's authors gave."""
    parsers: tuple[str, ...] = Field(default=(), strict=False)
    """Names of upstream's own parsers that fit; never the default."""
    needs: tuple[str, ...] = Field(default=(), strict=False)
    """Context without which a row fails: "rubric", "reference", "passages", "facts"."""
    reserved: tuple[str, ...] = Field(default=(), strict=False)
    """Delimiters of the templates, quoted so that no candidate can forge one; {letter} and {number} stand for any."""
    variables: Mapping[str, str] = Field(default={})
    """Texts that its templates name, so that several protocols share one."""
    template_texts: tuple[str, ...] = Field(default=(), exclude=True, strict=False)
    """The templates' text, in the order of the messages."""

    @model_validator(mode="after")
    def _fits_together(self) -> JudgeProtocol:
        roles = [message.role for message in self.message]
        if "raw" in roles and roles != ["raw"]:
            raise ValueError("message: a raw prompt stands alone")
        if "raw" in roles and self.media is not None:
            raise ValueError("media: a raw prompt is text alone")
        if "system" in roles[1:] or roles[0] in ("assistant", "reply"):
            raise ValueError("message: a system message stands first, an assistant's behind another")
        if roles[-1] == "reply" or ("reply", "reply") in pairwise(roles):
            raise ValueError("message: a reply has messages before it, and messages behind it")
        if self.verdict.place == "facts" and (
            self.turns != 3 or self.shape != "pointwise" or "facts" not in self.needs
        ):
            raise ValueError('verdict.place: "facts" is a pointwise rating by three replies, and needs "facts"')
        single = self.shape in ("pointwise", "yes-no")
        if single != (self.most == 1):
            raise ValueError(f"most: a {self.shape} question shows {'one candidate' if single else 'two or more'}")
        read = {"pointwise": "rating", "yes-no": "rating"}.get(self.shape)
        if read and self.verdict.reads != read:
            raise ValueError(f"verdict.reads: a {self.shape} protocol reads a {read}")
        verdict = self.verdict
        tags = (tag for pair in self.think for tag in pair)
        for mark in (*self.reserved, *tags, verdict.mark, verdict.tie, verdict.tag, *verdict.values):
            if "~" in mark:
                raise ValueError(f"{mark!r}: a mark holds no tilde, which quotes marks inside candidates")
        if isinstance(self.unparsed, float) and not 0 <= self.unparsed <= 1:
            raise ValueError("unparsed: a credit lies between 0 and 1")
        return self

    @property
    def turns(self) -> int:
        """How often the judge is asked for one verdict."""
        return 1 + sum(message.role == "reply" for message in self.message)

    @property
    def raw(self) -> bool:
        """Whether the prompt is one text without a chat template."""
        return self.message[0].role == "raw"

    @property
    def digest(self) -> str:
        """sha256 over the declaration and its templates."""
        declared = self.model_dump(mode="json")
        for key in ("options_at", "options_behind", "options_as", "absent", "headings", "item", "total"):
            if declared["verdict"][key] in (VerdictFormat.model_fields[key].default, []):
                del declared["verdict"][key]  # as before there was the key, so that cached replies stay
        for message in declared["message"]:
            if message["temperature"] is None:
                del message["temperature"]
        if self.media is None:
            del declared["media"]
        if not self.variables:
            del declared["variables"]
        if self.sampling.votes == 1:
            del declared["sampling"]["votes"]
        whole = [declared, list(self.template_texts)]
        return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()

    def with_templates(self, *, system: Path | None = None, prompt: Path | None = None) -> JudgeProtocol:
        """The protocol with the user's templates.

        Args:
            system: a file that replaces the system message.
            prompt: a file that replaces the last message before the judge's own reply.

        Raises:
            RmbenchError: a file cannot be read, or there is no such message.
        """
        texts = list(self.template_texts)
        roles = [message.role for message in self.message]
        for kind, path in (("prompt", prompt), ("system", system)):
            places = [k for k, role in enumerate(roles) if (role == "system") == (kind == "system")]
            places = [k for k in places if roles[k] not in ("assistant", "reply")]
            if path is not None and not places:
                raise RmbenchError(f"--model-args {kind}={path}: protocol {self.name} has no {kind} message.")
            if path is not None:
                texts[places[-1]] = read_template(path)
        return self.model_copy(update={"template_texts": tuple(texts)})


def protocol_names() -> list[str]:
    """The bundled protocols."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_protocol(name: str) -> JudgeProtocol:
    """A bundled protocol by name, or the one in a file that ends in `.toml`.

    Raises:
        RmbenchError: there is none, or its declaration or a template is wrong; the message names file and key.
    """
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name.replace('_', '-')}.toml"
    if not name.endswith(".toml") and name.replace("_", "-") not in protocol_names():
        near = did_you_mean(name, protocol_names()) or f" There are {', '.join(protocol_names())}."
        raise RmbenchError(f"protocol {name!r} is none of ours, nor a file that ends in .toml.{near}")
    data = read_toml(path)
    declared = validated(JudgeProtocol, {**data, "template_texts": _templates(path, data)}, path)
    if declared.name != path.stem:
        raise RmbenchError(f'{path}: key "name" is "{declared.name}", but the file is called "{path.stem}".')
    return declared


def _templates(path: Path, data: Mapping[str, Any]) -> tuple[str, ...]:
    texts = []
    if "template_texts" in data:
        raise RmbenchError(f'{path}: unknown key "template_texts".')
    messages = data.get("message", ())
    for message in messages if isinstance(messages, list) else ():
        name = message.get("template") if isinstance(message, dict) else None
        if isinstance(message, dict) and message.get("role") == "reply":
            texts.append("")
        elif isinstance(name, str):
            if not _PLAIN_NAME.fullmatch(name):
                raise RmbenchError(f"{path}: message.template: {name!r} is not the name of a .jinja file next to it.")
            texts.append(read_template(path.with_name(name)))
    return tuple(texts)


def read_template(path: Path) -> str:
    """A template or a rubric; raises RmbenchError where the file cannot be read or is no prompt."""
    return read_text(path, _LARGEST, f"{path}:")
