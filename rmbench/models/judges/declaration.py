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

from pydantic import BaseModel, ConfigDict, Field, Strict, model_validator

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.models.judges.media import MediaFormat
from rmbench.untrusted.files import read_text
from rmbench.validation import read_toml, validated

__all__ = [
    "PLACEHOLDER",
    "REPLY",
    "DeclaredSampling",
    "JudgeProtocol",
    "PromptMessage",
    "VerdictFormat",
    "load_protocol",
    "protocol_names",
    "read_template",
]

REPLY = "reply"
"""The role of a message that stands for the judge's answer to those before it."""
FOLDER = Path(__file__).resolve().parent / "protocols"
PLACEHOLDER = re.compile(r"\{(label|value|number|numbers|ranking)\}")
_PLAIN_NAME = re.compile(r"[\w][\w.-]*\.jinja", re.ASCII)
_LARGEST = 1 << 20  # bytes of a template; real ones are kilobytes

Shape = Literal["pair", "pair-tie", "pick-k", "listwise", "pointwise", "yes-no", "option"]
Place = Literal["last", "first-line", "whole", "end", "tag", "tags", "boxed", "json", "facts", "headed"]


class _Declared(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class PromptMessage(_Declared):
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


class VerdictFormat(_Declared):
    """Where the verdict is in a reply and how it is spelled; see `rmbench.models.judges.grammar`."""

    reads: Literal["pick", "rating", "ranking", "label"] = "pick"
    """"label": the text in `values` itself is the verdict, as "A=B=Good", a tie of a kind."""
    place: Place = "last"
    """"last": the last line that holds the mark. "first-line": the first line, whole. "whole": the whole answer. "end":
    the answer's very end. "tag": the last <tag>...</tag>. "tags": the last run of them, each whole, as a list.
    "boxed": the last \\boxed{...}, whole. "json": the field `tag` of the last JSON object, whole. "facts": the lists of
    facts in three replies, whose DCScore is the rating (`rmbench.models.judges.caption_facts`). "headed": the lines
    behind `item` under each of `headings`, whose means are the ratings (`rmbench.models.judges.headed`)."""
    tag: str = ""
    """The tag's or the JSON field's name."""
    headings: tuple[str, ...] = Field(default=(), strict=False)
    item: str = ""
    """What names a candidate under a heading, with {label}."""
    total: float | None = None
    """What the scores under a heading add up to."""
    mark: str = "[[{label}]]"
    """Literal text with one placeholder: {label}, {value}, {number}, {numbers} (one for each candidate shown) or
    {ranking} (labels joined by ">", best first)."""
    labels: Literal["letters", "numbers"] = "letters"
    """How candidates are labelled: A, B ... or 1, 2 ..., in the order shown."""
    tie: str = ""
    """The whole mark of a tie."""
    values: Mapping[str, int | float | Literal["tie"]] = Field(default={})
    """{value}: the text -> the position of the better candidate, counted from 0, "tie", or a rating."""
    low: float = 1.0
    high: float = 10.0
    """Range of a rating; a number outside is no verdict."""
    integer: bool = True
    compare: bool = False
    """{numbers}: the candidate with the highest one is picked; equal ones are a tie."""
    ignore_case: bool = False
    """Of ASCII letters alone."""
    cut: bool = False
    """Whether a reply cut off by its length may hold a verdict, where the declared place is complete."""
    options: bool = False
    """Request the probabilities of the texts in `values`; the mark is parsed where the server returns none."""
    options_at: Literal["start", "verdict", "end", "behind"] = "start"
    """Of which token of the reply the options' probabilities are read. "start": the first. "verdict": the first behind
    reasoning, white space and bold marks, as far as `max_tokens` reaches. "end": the last one of the text. "behind":
    the first behind `options_behind` and white space."""
    options_behind: str = ""
    """Literal text of the reply; its first occurrence counts."""
    options_as: Literal["mean", "log-odds"] = "mean"
    """What a rating is, from the options' probabilities. "log-odds": ln p of the higher rated one of two less ln p of
    the other."""
    absent: float | None = Field(default=None, lt=0)
    """"log-odds": the least ln p of an option, also of one that the server does not list; None: as little as it may
    be."""
    constrain: Literal["none", "choices", "json"] = "none"
    """Structured output, where the server supports it: the marks alone, or JSON with a reason and the field."""

    @property
    def form(self) -> str:
        """The mark's placeholder."""
        match = PLACEHOLDER.search(self.mark)
        return match[1] if match else ""

    def label(self, place: int) -> str:
        """The label of the candidate at a position, counted from 0."""
        return chr(ord("A") + place) if self.labels == "letters" else str(place + 1)

    @model_validator(mode="after")
    def _fits_together(self) -> VerdictFormat:
        if len(PLACEHOLDER.findall(self.mark)) != 1:
            raise ValueError("mark: needs one placeholder: {label}, {value}, {number}, {numbers} or {ranking}")
        if (self.form == "value" or self.options) != bool(self.values):
            raise ValueError("values: go with {value} and with options, and with nothing else")
        if self.options_at != "start" and not self.options:
            raise ValueError("options_at: goes with options")
        if (self.options_at == "behind") != bool(self.options_behind):
            raise ValueError('options_behind: goes with options_at = "behind", and with nothing else')
        odds = self.options_as == "log-odds"
        if odds and not (self.options and self.reads == "rating" and len(set(self.values.values())) == 2):
            raise ValueError('options_as: "log-odds" is a rating by two options of different values')
        if self.absent is not None and not odds:
            raise ValueError('absent: goes with options_as = "log-odds"')
        if self.place in ("tag", "tags", "json") and not self.tag:
            raise ValueError(f'tag: the place "{self.place}" needs its name')
        if (self.place == "headed") != bool(self.headings and "{label}" in self.item and self.form == "numbers"):
            raise ValueError('headings, item: go with {numbers} and the place "headed", and with nothing else')
        asks_json, asks_choices = self.constrain == "json", self.constrain == "choices"
        if (asks_json and self.place != "json") or (asks_choices and self.place not in ("whole", "first-line")):
            raise ValueError(f'constrain: "{self.constrain}" does not go with the place "{self.place}"')
        forms = {
            "pick": {"label", "value", "numbers"},
            "rating": {"number", "numbers", "value"},
            "ranking": {"ranking"},
            "label": {"value"},
        }
        if self.reads == "label" and self.options:
            raise ValueError("options: they are read as a pick or a rating")
        if self.form not in forms[self.reads] or self.compare != (self.reads == "pick" and self.form == "numbers"):
            raise ValueError(f"mark: {{{self.form}}} is not read as a {self.reads}")
        return self


class DeclaredSampling(_Declared):
    """Default sampling parameters."""

    temperature: float = Field(default=0.0, ge=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    max_tokens: int = Field(default=2048, ge=1)
    votes: int = Field(default=1, ge=1)
    repetition_penalty: float | None = Field(default=None, gt=0)
    stop: tuple[str, ...] = Field(default=(), strict=False)


class JudgeProtocol(_Declared):
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
        near = did_you_mean(name, protocol_names())
        raise RmbenchError(
            f"protocol {name!r} is none of {', '.join(protocol_names())}, nor a file that ends in .toml.{near}"
        )
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
