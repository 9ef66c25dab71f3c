"""Parses a judge's reply into a verdict.

The rules, for every protocol:

- Reasoning is never parsed (`rmbench.models.judges.grammar`); unfinished reasoning holds no verdict.
- Only the place that the protocol declares is parsed; marks anywhere else are ignored.
- Two different verdicts at that place, or one that names no candidate, are unparsed. No earlier one is used instead.
- A reply cut off by its length is unparsed, unless the protocol declares that its place may be complete.
- Parsing takes time linear in the reply, whatever it holds and whatever the protocol's marks are.
- Marks are ASCII. Full-width or look-alike characters, and marks with invisible characters in them, are no marks.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from rmbench.models.judges.declaration import JudgeProtocol
from rmbench.models.judges.grammar import extract_verdicts, strip_reasoning, verdict_pattern
from rmbench.models.judges.verdict_format import VerdictFormat
from rmbench.models.servers.replies import is_json_object
from rmbench.types import TIE, Status, Verdict

__all__ = [
    "CUT_THOUGHT",
    "NO_VERDICT_AFTER_THOUGHT",
    "ParsedVerdict",
    "Value",
    "VerdictParser",
    "allowed_replies",
    "status_of",
    "unparsed",
    "unreached",
    "verdicts_of",
]

CUT_THOUGHT = "max_tokens ends in the thought, before the verdict; more are needed"
NO_VERDICT_AFTER_THOUGHT = "no verdict after the thought"
"""Why a reply whose reasoning is in its text, or apart from it, is unparsed."""
_DECIDED = 1e-3
"""Share of the range of a rating by which options of unknown probability may move it."""

Value = int | float | str | tuple[int, ...] | tuple[float, ...]
"""A place in the order shown, counted from 0, or TIE; a rating; a label; places, best first; a rating for each."""


@dataclass(frozen=True, slots=True)
class ParsedVerdict:
    """The value of a verdict, and its status."""

    value: Value | None
    """None where `status` is not "ok"."""
    status: Status = "ok"
    why: str = ""
    """Why it is unparsed or failed."""
    logprob: float | None = None
    """Natural log of the verdict's probability among the options, where probabilities were requested."""
    mass: float | None = None
    """The options' total probability, where probabilities were requested."""
    remark: str = ""
    """What the record counts: one of UNDECIDED or nothing."""


def unparsed(why: str, mass: float | None = None, remark: str = "") -> ParsedVerdict:
    """A verdict that could not be parsed."""
    return ParsedVerdict(None, "unparsed", why, mass=mass, remark=remark)


def unreached(*, cut: bool) -> ParsedVerdict:
    """The verdict of a reply that holds no token to read options at; `cut`: it ends by its length."""
    why = "max_tokens ends before the verdict" if cut else "the reply ends without a verdict"
    return unparsed(why, remark="options_unreached")


@dataclass(frozen=True)
class VerdictParser:
    """Parses the verdicts of one protocol."""

    verdict_format: VerdictFormat
    think: tuple[tuple[str, str], ...]
    pattern: re.Pattern[str]

    @classmethod
    def of(cls, protocol: JudgeProtocol) -> VerdictParser:
        """The protocol's parser."""
        return cls(protocol.verdict, protocol.think, verdict_pattern(protocol.verdict))

    def parse(self, text: str, finish: str, size: int) -> ParsedVerdict:
        """The verdict in a reply about `size` candidates. Never raises, whatever the text."""
        if finish == "length" and not self._complete(text):
            thinks = strip_reasoning(text, self.think) is None
            return unparsed(CUT_THOUGHT if thinks else "the reply was cut off by its length")
        whole = self.verdict_format.place == "json" and is_json_object(text)  # a think tag in its reason is text
        visible = text if whole else strip_reasoning(text, self.think)
        if visible is None:
            return unparsed("the reasoning does not end")
        if text.strip() and not visible.strip():
            return unparsed(NO_VERDICT_AFTER_THOUGHT)
        spelled = extract_verdicts(visible, self.verdict_format, self.pattern)
        if not spelled:
            return unparsed("no verdict at the declared place")
        values = {_value(one, self.verdict_format, size) for one in spelled}
        if len(values) > 1:
            return unparsed("different verdicts at the declared place")
        (value,) = values
        return unparsed("no valid verdict at the declared place") if value is None else ParsedVerdict(value)

    def parse_options(
        self, options: Mapping[str, float], bound: float | None = None, *, min_mass: float = 0.0
    ) -> ParsedVerdict:
        """The verdict from the options' log-probabilities, normalised over the options: the most probable option, equal
        ones being a tie; or, for ratings, the expected value. GenRM's p = e^yes / (e^yes + e^no).

        Args:
            options: those that are known.
            bound: the log of what each other option's probability is at most; None: it is 0. The verdict is unparsed
                where it depends on these (a rating where they move it by more than 1e-3 of its range).
            min_mass: the share of the whole probability that the options hold at least; below it there is no verdict.
        """
        floor = -math.inf if self.verdict_format.absent is None else self.verdict_format.absent
        least = {option: options.get(option, -math.inf) for option in self.verdict_format.values}
        most = {option: options.get(option, -math.inf if bound is None else bound) for option in least}
        if any(map(math.isnan, most.values())) or max(most.values()) == -math.inf:
            return unparsed("no option has a probability")
        mass, at_most = (math.fsum(map(math.exp, logprobs.values())) for logprobs in (least, most))
        if at_most < min_mass:
            return unparsed(f"options hold {_share(mass, at_most)} of the mass", mass, "options_below_mass")
        if mass < min_mass:
            return unparsed(f"options hold {_share(mass, at_most)} of the mass", mass, "options_undecided")
        if max(least.values()) == -math.inf:
            return unparsed("no option is among the listed tokens", mass, "options_undecided")
        if self.verdict_format.options_as == "log-odds":
            return replace(self._log_odds(least, most, floor), mass=mass)
        parsed = self._expected(least, most) if self.verdict_format.reads == "rating" else self._picked(least, most)
        return replace(parsed, mass=mass)

    def _picked(self, least: Mapping[str, float], most: Mapping[str, float]) -> ParsedVerdict:
        """The place of the most probable option, between the least and the most log-probability of each."""
        values, top = self.verdict_format.values, max(least.values())
        best = [option for option, logprob in least.items() if logprob == top]
        places = {_place(values[option]) for option in best}
        if any(most[o] >= top and least[o] < top and {_place(values[o])} != places for o in least):
            return unparsed("an option outside the listed tokens may be the most probable", remark="options_undecided")
        total = math.fsum(math.exp(logprob - top) for logprob in most.values())
        place = places.pop() if len(places) == 1 else TIE
        return ParsedVerdict(place, logprob=-math.log(total) if len(best) == 1 else None)

    def _expected(self, least: Mapping[str, float], most: Mapping[str, float]) -> ParsedVerdict:
        """The expected rating. It is monotone in each probability, so its extremes are at the ends of them all."""
        rated = {option: _rated(value) for option, value in self.verdict_format.values.items()}
        ends = itertools.product(*({least[option], most[option]} for option in rated))
        means = [_mean(rated.values(), logprobs) for logprobs in ends]
        if max(means) - min(means) > _DECIDED * (max(rated.values()) - min(rated.values())):
            return unparsed("the rating depends on an option outside the listed tokens", remark="options_undecided")
        return ParsedVerdict((max(means) + min(means)) / 2)

    def _log_odds(self, least: Mapping[str, float], most: Mapping[str, float], floor: float) -> ParsedVerdict:
        """Ln p of the higher rated of two options less that of the other. With a floor, an option that is not listed
        has it, as upstream has it; without one it leaves the verdict open."""
        low, high = sorted(least, key=lambda option: _rated(self.verdict_format.values[option]))
        logprobs = {option: max(least[option], floor) for option in (low, high)}
        if any(math.isinf(logprob) for logprob in logprobs.values()) or (
            math.isinf(floor) and any(least[option] != most[option] for option in (low, high))
        ):
            return unparsed("the rating depends on an option outside the listed tokens", remark="options_undecided")
        return ParsedVerdict(logprobs[high] - logprobs[low])

    def _complete(self, text: str) -> bool:
        """Whether a reply that was cut off contains the declared place completely."""
        first_line = self.verdict_format.place == "first-line"
        return self.verdict_format.cut and (not first_line or "\n" in text.lstrip(" \t\r\n"))


def _value(spelled: str, verdict_format: VerdictFormat, size: int) -> Value | None:
    """None where the text is no verdict on `size` candidates."""
    if verdict_format.tie and spelled == verdict_format.tie:
        return TIE
    if verdict_format.form == "label":
        return _label(spelled, verdict_format, size)
    if verdict_format.form == "value":
        return _of_values(spelled, verdict_format, size)
    if verdict_format.form == "ranking":
        places = tuple(_label(one.strip(), verdict_format, size) for one in spelled.split(">"))
        named = tuple(place for place in places if place is not None)
        return named if len(places) == size and set(named) == set(range(size)) else None
    numbers = tuple(_number(one, verdict_format) for one in re.split(r"[,\s]+", spelled))
    rated = tuple(number for number in numbers if number is not None)
    if len(rated) < len(numbers) or len(rated) != (size if verdict_format.form == "numbers" else 1):
        return None
    if verdict_format.form == "number":
        return rated[0]
    if not verdict_format.compare:
        return rated
    best = [place for place, number in enumerate(rated) if number == max(rated)]
    return best[0] if len(best) == 1 else TIE


def _label(spelled: str, verdict_format: VerdictFormat, size: int) -> int | None:
    letters = verdict_format.labels == "letters"
    if not spelled.isascii() or not (len(spelled) == 1 and spelled.isalpha() if letters else spelled.isdecimal()):
        return None
    place = ord(spelled.upper()) - ord("A") if letters else int(spelled) - 1
    return place if 0 <= place < size else None


def _of_values(spelled: str, verdict_format: VerdictFormat, size: int) -> Value | None:
    matching = [
        value
        for text, value in verdict_format.values.items()
        if text == spelled or (verdict_format.ignore_case and text.lower() == spelled.lower())
    ]
    if len(matching) != 1:
        return None
    if verdict_format.reads == "rating":
        return _rated(matching[0])
    if verdict_format.reads == "label":
        return spelled
    place = _place(matching[0])
    return place if place < size else None


def _mean(values: Iterable[float], logprobs: Sequence[float]) -> float:
    """The mean of values weighted by probabilities, not all of them 0."""
    weights = [math.exp(logprob - max(logprobs)) for logprob in logprobs]
    return sum(weight * value for weight, value in zip(weights, values, strict=True)) / sum(weights)


def _share(mass: float, at_most: float) -> str:
    return f"{mass:.2g}" if mass == at_most else f"between {mass:.2g} and {at_most:.2g}"


def _place(value: float | str) -> int:
    return TIE if isinstance(value, str) else int(value)


def _rated(value: float | str) -> float:
    return math.nan if isinstance(value, str) else float(value)


def _number(spelled: str, verdict_format: VerdictFormat) -> float | None:
    try:
        number = float(spelled)
    except ValueError:
        return None
    whole = not verdict_format.integer or number.is_integer()
    return number if verdict_format.low <= number <= verdict_format.high and whole else None


def verdicts_of(shown: tuple[int, ...], vote: int, parsed: ParsedVerdict, protocol: JudgeProtocol) -> list[Verdict]:
    """A verdict on positions as verdicts on candidates: one per candidate where each is rated, else one."""
    reads = protocol.verdict.reads
    rates_all = reads == "rating" and len(shown) > 1
    orders = [(k,) for k in shown] if rates_all else [shown]
    if parsed.status != "ok" or parsed.value is None:
        return [Verdict(one, reads, None, parsed.status, vote, mass=parsed.mass) for one in orders]
    value = parsed.value
    if isinstance(value, tuple):
        if rates_all:
            rated = zip(orders, value, strict=True)
            return [Verdict(one, "rating", rating, vote=vote) for one, rating in rated]
        return [Verdict(shown, "ranking", tuple(shown[int(place)] for place in value), vote=vote)]
    if isinstance(value, str):
        return [Verdict(shown, "label", value, vote=vote)]
    if reads == "pick":
        picked = TIE if value == TIE else shown[int(value)]
        return [Verdict(shown, "pick", picked, vote=vote, logprob=parsed.logprob, mass=parsed.mass)]
    return [Verdict(shown, "rating", value, vote=vote, logprob=parsed.logprob, mass=parsed.mass)]


def status_of(verdicts: Sequence[Verdict]) -> Status:
    """A judgment's status, from those of its verdicts."""
    statuses = {verdict.status for verdict in verdicts}
    if "ok" in statuses:
        return "ok"
    return "unparsed" if "unparsed" in statuses else "failed"


def allowed_replies(verdict_format: VerdictFormat, size: int) -> tuple[str, ...]:
    """Every mark that is a verdict on `size` candidates, for structured output; () where they cannot be listed."""
    if verdict_format.form == "label":
        marks = [verdict_format.mark.replace("{label}", verdict_format.label(place)) for place in range(size)]
        return (*marks, verdict_format.tie) if verdict_format.tie else tuple(marks)
    if verdict_format.form == "value":
        return tuple(verdict_format.mark.replace("{value}", value) for value in verdict_format.values)
    if verdict_format.form == "number" and verdict_format.integer:
        return tuple(
            verdict_format.mark.replace("{number}", str(n))
            for n in range(int(verdict_format.low), int(verdict_format.high) + 1)
        )
    return ()
