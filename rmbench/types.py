"""The nouns that flow through rmbench, as frozen data. This module imports nothing of ours.

K is the number of candidates of an example, D the number of rating dimensions. Candidates are counted from 0 in the
order the task declares, never in the order a model was shown them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

__all__ = [
    "REFERENCE_KEYS",
    "TIE",
    "TOOLS",
    "Candidate",
    "Conversation",
    "Edge",
    "Example",
    "Gold",
    "Judged",
    "Judgment",
    "Message",
    "Part",
    "Setting",
    "Status",
    "Value",
    "Verdict",
    "bare_text",
    "text_of",
]

Status = Literal["ok", "unparsed", "failed"]
"""`unparsed`: the model answered and no verdict is in it. `failed`: crash, NaN, time-out, rejected media."""

Setting: TypeAlias = str | int | float | bool | None
"""A resolved value that stands in a record: a setting of a model, a count of the engine, a figure of a check."""

TIE = -1
"""Value of a pick verdict that calls the candidates equal."""

REFERENCE_KEYS = ("reference", "reference_answer", "answer")
"""Names of an example's context that hold a reference answer; the first that is not empty is used."""

TOOLS = "tools"
"""Role of a prompt's first message that holds the functions which may be called: a JSON list of their definitions."""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a message: text, or a reference to an image or a video.

    A media part is *absent* when `path` is None: its name is known, its bytes are not here.
    """

    kind: Literal["text", "image", "video"] = "text"
    text: str = ""
    """The text of a text part; "" for media."""
    name: str = ""
    """What the benchmark calls the medium: its path or id."""
    path: str | None = None
    """The local file that holds the medium's bytes."""
    fault: str = ""
    """Of an absent one that was to be fetched: why it did not come."""
    change: str = ""
    """How the medium is changed before it is shown, as `rmbench.media_change.Change` spells it; "": it is not."""

    @property
    def is_address(self) -> bool:
        """Whether the name is an address: file:///x is one too, and is never followed."""
        return self.kind != "text" and "://" in self.name

    @property
    def absence(self) -> str:
        """What an absent medium lacks, in words."""
        if self.fault:
            return f"{self.kind} {self.name} was not fetched: {self.fault}"
        on_the_web = self.name.lower().startswith(("http://", "https://"))
        how = ", and addresses are fetched with --allow-url-fetch alone" if on_the_web else ""
        return f"{self.kind} {self.name} is not here{how}"

    @property
    def label(self) -> str:
        """A medium's name, with its change: what tells it from others."""
        return f"{self.name} ({self.change})" if self.change else self.name


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: str
    """"system", "user", "assistant" or "tool"; `TOOLS` for the definitions of functions, before all others."""
    parts: tuple[Part, ...]
    """None where the message's content is null, as beside tool calls."""
    extra: tuple[tuple[str, str], ...] = ()
    """Further keys of a chat message (`tool_calls`, `reasoning_content`, `name` ...), each with its value as JSON."""

    @classmethod
    def of(cls, role: str, text: str) -> Message:
        """A message of one text part."""
        return cls(role, (Part(text=text),))

    @classmethod
    def of_tools(cls, definitions: Sequence[Mapping[str, Any]]) -> Message:
        """The message of role `TOOLS`, one definition a line."""
        spelled = (json.dumps(each, ensure_ascii=False, allow_nan=False) for each in definitions)
        return cls.of(TOOLS, "[\n" + ",\n".join(spelled) + "\n]")

    @property
    def as_dict(self) -> dict[str, Any]:
        """The message as chat templates take it: role, content (text, or None) and further keys."""
        content = self.text if self.parts else None
        return {"role": self.role, "content": content, **{key: json.loads(value) for key, value in self.extra}}

    @property
    def text(self) -> str:
        """The text parts joined; media are left out."""
        if len(self.parts) == 1 and self.parts[0].kind == "text":
            return self.parts[0].text
        return "".join(part.text for part in self.parts if part.kind == "text")


Conversation = tuple[Message, ...]


def bare_text(message: Message) -> str:
    """The text of a message, for models that read nothing else of it.

    Raises:
        ValueError: the message has a further key, which would not be read.
    """
    for key, _ in message.extra:
        raise ValueError(f'the model reads no "{key}" of a message, which one of the {message.role} has')
    return message.text


def text_of(conversation: Conversation) -> str:
    """All text of a conversation, turns joined by newlines, roles left out; raises ValueError as `bare_text` does."""
    return "\n".join(map(bare_text, conversation))


@dataclass(frozen=True, slots=True)
class Candidate:
    """A response to judge: the message or messages that answer the prompt."""

    messages: Conversation
    prompt: Conversation | None = None
    """This candidate's own prompt where candidates of one example differ in it; None: the example's."""
    source: str = ""
    """Who wrote it (a model's name), for reports only."""

    @classmethod
    def of(cls, text: str, source: str = "") -> Candidate:
        """A candidate of one assistant message."""
        return cls((Message.of("assistant", text),), source=source)

    @property
    def text(self) -> str:
        """The candidate's own text, turns joined by newlines."""
        return text_of(self.messages)


@dataclass(frozen=True, slots=True)
class Edge:
    """A human comparison of candidates `i` and `j`."""

    i: int
    j: int
    strength: float = 1.0
    """Above 0: `i` is better; below 0: `j` is; 0: a tie."""
    dimension: str = ""
    annotator: str = ""
    tags: tuple[str, ...] = ()
    """`name=value` marks that metrics may group comparisons by, e.g. "level=hard"."""


@dataclass(frozen=True, slots=True)
class Gold:
    """People's preferences, ratings and labels of an example. Where all are empty the task reports a mean score."""

    relation: tuple[Edge, ...] = ()
    ratings: tuple[tuple[float, ...], ...] = ()
    """[K, D] human figures; a column per name in `dimensions`."""
    dimensions: tuple[str, ...] = ()
    labels: Mapping[str, int] = field(default_factory=dict)
    """A class per dimension (probing)."""


@dataclass(frozen=True, slots=True)
class Example:
    """One row of a benchmark made ready."""

    id: str
    """Unique within the task version; journal, scores, compare and gate align by it."""
    prompt: Conversation
    candidates: tuple[Candidate, ...]
    gold: Gold
    groups: Mapping[str, str] = field(default_factory=dict)
    cluster: str = ""
    """Rows that share it (a prompt, a video, a document) are not independent; "" stands for the id."""
    weight: float = 1.0
    rater: str = ""
    """Set only where the question is this rater's own preference."""
    context: Mapping[str, str] = field(default_factory=dict)
    """Passages, rubric, reference answer, tool observations."""
    shots: Conversation = ()
    """Earlier choices of the rater that are shown beside the prompt, a message each; () where they stand in it."""

    def conversation(self, k: int) -> Conversation:
        """The whole conversation of candidate `k`: its prompt, then its messages."""
        candidate = self.candidates[k]
        return (self.prompt if candidate.prompt is None else candidate.prompt) + candidate.messages


@dataclass(frozen=True, slots=True)
class Verdict:
    """One answer of a judge to one question."""

    shown: tuple[int, ...]
    """Candidate indices in the order the judge saw them."""
    kind: Literal["pick", "ranking", "rating", "label"]
    value: int | float | str | tuple[int, ...] | None
    """pick: a candidate index or TIE; ranking: candidate indices, best first; rating: a number for `shown[0]`;
    label: the label; None where `status` is not "ok"."""
    status: Status = "ok"
    vote: int = 0
    logprob: float | None = None
    """Natural log of the verdict's probability, where the judge gives it."""
    mass: float | None = None
    """The probability that all options of the question hold together, where the judge was read by them."""


@dataclass(frozen=True, slots=True)
class Judgment:
    """A model's answer to one example; with the gold, all that any metric needs."""

    id: str
    rewards: tuple[float, ...] | None = None
    """[K], higher is better."""
    directed: tuple[tuple[float, ...], ...] | None = None
    """[K, K] margins, row shown first; positive: the row's candidate is better."""
    parts: Mapping[str, tuple[tuple[float, ...], ...]] = field(default_factory=dict)
    """Name -> [K, M]: objectives, weights, log-probabilities, hidden state, or a reward per rated dimension."""
    verdicts: tuple[Verdict, ...] = ()
    status: Status = "ok"
    error: str = ""
    """Why it failed; "" otherwise."""
    lengths: tuple[int, ...] = ()
    """[K] tokens read (characters for models without tokens); empty where unknown."""
    truncated: tuple[bool, ...] = ()
    """[K]; empty where unknown."""
    rationale: tuple[str, ...] = ()
    """What a judge wrote, one text per verdict ("" where a text gave several); empty for other models. No metric reads
    it."""
    remarks: tuple[str, ...] = ()
    """What is worth counting in the record, by name, once for each time; it is not kept with the row."""


@dataclass(frozen=True, slots=True)
class Judged:
    """An example's gold and groups with a model's judgment of it. It carries no text, and metrics need nothing else."""

    id: str
    size: int
    """K."""
    gold: Gold
    judgment: Judgment
    groups: Mapping[str, str] = field(default_factory=dict)
    cluster: str = ""
    """Equal for rows that depend on each other; "" where the row depends on no other."""
    weight: float = 1.0
    rater: str = ""
    prompt_sha256: str = ""
    """Of all that the model read; "" unless the run kept it."""

    @classmethod
    def of(cls, example: Example, judgment: Judgment) -> Judged:
        """The pair of an example and its judgment, text dropped."""
        if example.id != judgment.id:
            raise ValueError(f"judgment {judgment.id!r} does not belong to example {example.id!r}")
        return cls(
            id=example.id,
            size=len(example.candidates),
            gold=example.gold,
            judgment=judgment,
            groups=example.groups,
            cluster=example.cluster,
            weight=example.weight,
            rater=example.rater,
        )


@dataclass(frozen=True, slots=True)
class Value:
    """One reported number."""

    metric: str
    group: str | None
    """None: overall. Else `name=value`, several joined by ",", in the order declared."""
    value: float | None
    """A fraction or a correlation, never a percentage; None where it is undefined."""
    low: float | None
    high: float | None
    """Limits of the 95% interval."""
    n: int
    """Rows (examples) behind it."""
    comparisons: int
    """Human comparisons or rated items behind it."""
    coverage: float | None
    """Rows not failed / rows of the task version; of a group whose rows in the whole version are unknown None."""
    chance: float | None = None
    flags: tuple[str, ...] = ()
    interval: str = ""
    """How the interval was made, e.g. "wilson", "wilson-cr2", "t-bootstrap"; "" where there is none."""
