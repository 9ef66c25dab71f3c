"""Judges responses or ordered pairs by option probabilities in this process; rows with a common prefix share it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from rmbench.models.backbone.backbone import Backbone, BackboneSharing
from rmbench.models.backbone.tensors import array_of
from rmbench.models.families.implicit.language import LanguageModel
from rmbench.models.judges.orders import position_orders
from rmbench.models.judges.prompt import Prompt, PromptError
from rmbench.models.judges.verdict import ParsedVerdict, VerdictParser, status_of, unreached, verdicts_of
from rmbench.models.protocols import Answer, Batch, Encoded, FloatArray, ModelFacts, Request
from rmbench.models.servers.option_probs import may_be_reasoning, verdict_position
from rmbench.models.text.special import LiteralTokenizer
from rmbench.models.text.tokens import TextEncoder
from rmbench.types import Example, Judgment, Message

__all__ = ["LocalJudge"]

_ENDED, _CUT = -1, -2
"""Places of a verdict that a reply does not hold: it ends, or it is cut off by its length."""
_TAG_TOKENS = 24
"""More tokens than a tag of reasoning and the white space behind it have."""


@dataclass(frozen=True)
class LocalJudge(BackboneSharing):
    """A Scorer by the probabilities of the protocol's options as the token that the reply's verdict begins with: the
    next one after the templated prompt, or, where the protocol declares so and the most probable reply begins with
    reasoning, white space or bold marks, the first one behind these. Nothing else is generated. Each question is a
    verdict, by the rule of judges on servers; the margins of pairs, ln P(first shown) - ln P(second), are kept in
    `parts`.
    """

    language: LanguageModel
    text: TextEncoder
    """Its template ends with the header of the judge's reply."""
    prompt: Prompt
    options: Mapping[str, tuple[int, ...]]
    """Option -> ids of the tokens that spell it."""
    most: int
    """Tokens of a reply that are generated to find its verdict; 1: its first token is read."""
    ends: frozenset[int]
    """Tokens that end a reply."""
    min_option_mass: float
    """As of judges on servers (`JudgeSettings`)."""
    seed: int
    """Decides single orders."""
    facts: ModelFacts
    pad_id: int
    answers: frozenset[Answer]
    """"pair", or "reward" for a protocol about one response."""

    @property
    def backbones(self) -> tuple[Backbone | None]:
        """The language model's."""
        return (self.language.backbone,)

    @property
    def shows_shots(self) -> bool:
        """See `rmbench.models.abilities.ShotShowing`."""
        return self.prompt.shows_shots

    def only_compares(self, task: str, examples: Iterable[Example]) -> bool:
        """Always: it chooses between two options."""
        return True

    def encode(self, requests: Sequence[Request]) -> list[Encoded]:
        """One entry per question. A prompt that does not fit into the model is an error, not truncated, because
        truncating one response would decide the comparison."""
        prompts = [self._prompt(request) for request in requests]
        encoded = iter(self.text.encode([prompt for prompt in prompts if isinstance(prompt, Request)]))
        rows = [next(encoded) if isinstance(prompt, Request) else prompt for prompt in prompts]
        error = f"the question does not fit into max_length {self.text.max_length}"
        return [Encoded(key="", size=0, error=error) if row.truncated else row for row in rows]

    def forward(self, batch: Batch) -> Mapping[str, FloatArray]:
        """{"options": [B, options] log-probabilities, "_position": [B, 1], "margin" or "reward": [B, 1]}. A position is
        that of the reply's token at which the options are read; -1 where the reply ends without a verdict, -2 where
        `most` tokens hold none."""
        rows = iter(batch.rows)
        read = []
        with torch.inference_mode():
            for logps in self.language.next_logps(batch):
                first = zip(self._options(logps), logps.argmax(-1).tolist(), strict=True)
                read += [self._read(next(rows).ids, options, token) for options, token in first]
            options = torch.stack([one for one, _ in read])
            name, value = self._value(options)
        places = np.array([[place] for _, place in read], dtype=np.float32)
        return {name: array_of(value[:, None]), "options": array_of(options), "_position": places}

    def as_verdicts(
        self, example: Example, judgment: Judgment, outputs: Mapping[tuple[int, ...], Mapping[str, FloatArray]]
    ) -> Judgment:
        """See `VerdictScorer.as_verdicts`; a verdict for each question that a judge on a server is asked."""
        declared = self.prompt.protocol
        orders = position_orders(example, declared, declared.orders, tournament=False, seed=self.seed)
        verdicts, whys, remarks = [], [], []
        for shown in orders:
            parsed = self._parse(outputs[shown])
            verdicts += verdicts_of(shown, 0, parsed, declared)
            whys += [parsed.why] if parsed.why else []
            cut = ["answers_cut"] if outputs[shown]["_position"] == _CUT else []
            remarks += ["answers_logprobs", *cut, *([parsed.remark] if parsed.remark else [])]
        status = status_of(verdicts)
        margins = {} if judgment.directed is None else {"margins": judgment.directed}
        return replace(
            judgment,
            rewards=None,
            directed=None,
            parts={**judgment.parts, **margins},
            verdicts=tuple(verdicts),
            status=status,
            error=whys[0] if whys and status != "ok" else "",
            remarks=tuple(remarks),
        )

    def _parse(self, outputs: Mapping[str, FloatArray]) -> ParsedVerdict:
        if outputs["_position"] < 0:
            return unreached(cut=bool(outputs["_position"] == _CUT))
        options = dict(zip(self.options, outputs["options"].tolist(), strict=True))
        return VerdictParser.of(self.prompt.protocol).parse_options(options, min_mass=self.min_option_mass)

    def _options(self, logps: Tensor) -> Tensor:
        """[..., options] log-probabilities, from those of all tokens [..., V]."""
        return torch.stack([logps[..., list(tokens)].logsumexp(-1) for tokens in self.options.values()], dim=-1)

    def _value(self, options: Tensor) -> tuple[str, Tensor]:
        """The name and the [B] values of what the engine plans by: margins, or expected ratings."""
        values = list(self.prompt.protocol.verdict.values.values())
        if "pair" in self.answers:
            first, second = (options[:, [value == place for value in values]].logsumexp(-1) for place in (0, 1))
            return "margin", first - second
        ratings = torch.tensor([float(value) for value in values], device=options.device)
        return "reward", options.softmax(-1) @ ratings

    def _read(self, ids: Sequence[int], options: Tensor, first: int) -> tuple[Tensor, int]:
        """The log-probabilities of the options at the verdict of the most probable reply, and its place in that.

        Args:
            ids: the prompt.
            options: the log-probabilities at the reply's first token.
            first: the most probable first token.
        """
        think = self.prompt.protocol.think
        opened = self._opened(ids) if self.most > 1 else ""
        if self.most == 1 or not (opened or self._goes_on([self._text(first)])):
            return options, 0
        found, texts, ended = [], [opened], False
        room = self.most if self.text.max_length is None else min(self.most, self.text.max_length - len(ids))
        for token, logps in self.language.greedy(ids, room):
            texts.append(self._text(token))
            found.append(self._options(logps))
            ended = token in self.ends
            if ended or not self._goes_on(texts):
                break
        place = verdict_position(texts, think)
        if place is None:
            return options, _ENDED if ended else _CUT
        return found[place - 1], place - 1

    def _goes_on(self, texts: Sequence[str]) -> bool:
        """Whether tokens to come may decide where the verdict is: reasoning may quote the end of reasoning."""
        think = self.prompt.protocol.think
        return may_be_reasoning("".join(texts), think) or verdict_position(texts, think) is None

    def _opened(self, ids: Sequence[int]) -> str:
        """The opening tag of reasoning that the prompt ends with, "" for none."""
        end = self.text.tokenizer.decode(list(ids[-_TAG_TOKENS:])).rstrip()
        return next((opening for opening, _ in self.prompt.protocol.think if end.endswith(opening)), "")

    def _text(self, token: int) -> str:
        text: str = self.text.tokenizer.decode([token])
        return text

    def _prompt(self, request: Request) -> Request | Encoded:
        """The protocol's prompt."""
        if request.example is None:
            raise ValueError("a judge was asked about no example")
        try:
            messages = self.prompt.messages(request.example, request.shown)
        except PromptError as error:
            return Encoded(key="", size=0, error=str(error))
        turns = tuple(Message.of(message["role"], message["content"]) for message in messages)
        question = Request(turns, len(turns))
        tokenizer: LiteralTokenizer = self.text.tokenizer
        marked = tokenizer.marked(question)
        if marked != question and tokenizer.problem:
            why = f"the question spells special tokens, and the tokenizer cannot read them as text: {tokenizer.problem}"
            return Encoded(key="", size=0, error=why)
        return marked
