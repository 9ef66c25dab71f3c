"""The wording of a report, the same in the terminal and on the page."""

from __future__ import annotations

from rmbench.reports.report import Calibration, Coverage, Estimate, Length, Margins, Position, Report, Ties
from rmbench.text import figure

__all__ = [
    "ABSENT",
    "NAMES",
    "SUMMARY",
    "absent_lines",
    "calibration_rows",
    "coverage_lines",
    "has_several_pairs",
    "length_note",
    "length_rows",
    "limits",
    "margin_lines",
    "number",
    "position_rows",
    "reliability_note",
    "share_or_number",
    "summary",
    "tie_rows",
]

NAMES = {
    "ties": "Ties",
    "calibration": "Calibration",
    "margins": "Margins",
    "length": "Length",
    "position": "Order of the answers",
    "disagreements": "Furthest from people",
}
"""Part of a report -> its heading, in the order they are shown."""
ABSENT = "What the record cannot tell"
SUMMARY = ("strict", "half", "decided", "ties", "ECE", "log loss", "T")
"""The columns of a summary of several reports: three accuracies, the share of ties, and calibration."""
_SCALES = {
    "reward": "a difference of rewards",
    "margin": "the model's own margin, both orders averaged",
    "rating": "a difference of a judge's ratings",
    "verdict": "questions won less questions lost",
}
Rows = list[tuple[str, Estimate]]
"""Label and estimate."""


def number(value: float | None) -> str:
    """Three significant digits, without a leading zero; a hyphen where there is none.

    >>> number(1.2), number(0.25), number(-533.36), number(1234567.0), number(0.0), number(None)
    ('1.20', '.250', '-533', '1.23e+06', '0', '-')
    """
    if not value:
        return "-" if value is None else "0"
    text = f"{value:#.3g}".removesuffix(".").replace(".e", "e")
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text


def share_or_number(value: float | None, digits: int = 3) -> str:
    """Decimals of what lies between -1 and 1, else three significant digits."""
    return figure(value, digits) if value is None or abs(value) <= 1 else number(value)


def limits(estimate: Estimate, digits: int = 3) -> str:
    """The interval in brackets, an infinite limit in words; "" where there is none."""
    low, high = (None if each is None else share_or_number(each, digits) for each in (estimate.low, estimate.high))
    if low is None and high is None:
        return ""
    return f"[up to {high}]" if low is None else f"[{low}, {high or 'no limit'}]"


def coverage_lines(report: Report) -> list[str]:
    """Which pairs the report rests on, a sentence each."""
    facts = report.coverage
    if not facts.rows:
        return []
    lines = [f"{_count(facts.pairs, 'pair')} of {_rows(facts)}; {_answered(facts)}."]
    if report.scale is not None:
        lines.append(f"A margin is {_SCALES[report.scale]}.")
    if report.ties and figure(report.ties.strict.value) != figure(report.headline.value):
        lines.append("Every pair counts alike below; the headline follows the task's own rule.")
    if facts.human_ties:
        lines.append(f"{_count(facts.human_ties, 'comparison')} in which people prefer neither are left out.")
    if facts.uncompared:
        lines.append(f"{_count(facts.uncompared, 'row')} without a comparison of two answers are left out.")
    if facts.unanswered:
        reasons = [f"{pairs:,} ({why})" for why, pairs in facts.reasons.items()]
        others = facts.unanswered - sum(facts.reasons.values())
        reasons += [f"{others:,} for other reasons"] * bool(others)
        lines.append(f"Unanswered: {', '.join(reasons)}. They are wrong in accuracies and left out elsewhere.")
    return lines


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'s' * (n != 1)}"


def _rows(facts: Coverage) -> str:
    whole = f" of the task's {facts.task_rows:,}" if facts.task_rows != facts.rows else ""
    return _count(facts.rows, "row") + whole


def _answered(facts: Coverage) -> str:
    return "all answered" if not facts.unanswered else f"{facts.pairs - facts.unanswered:,} answered"


def absent_lines(report: Report) -> list[tuple[str, str]]:
    """The parts that are missing for one reason, and the reason."""
    of_reason: dict[str, list[str]] = {}
    for name, heading in NAMES.items():
        if name in report.missing:
            of_reason.setdefault(report.missing[name], []).append(heading.lower())
    return [(", ".join(parts).capitalize(), why) for why, parts in of_reason.items()]


def tie_rows(ties: Ties) -> Rows:
    """Accuracy by what a tie is worth, and the share of ties."""
    return [
        ("accuracy, a tie is wrong", ties.strict),
        ("accuracy, a tie is half right", ties.half),
        ("accuracy, ties left out", ties.decided),
        ("share of ties", ties.share),
    ]


def calibration_rows(part: Calibration) -> Rows:
    """The figures of calibration."""
    return [
        ("expected calibration error", part.ece),
        ("Brier score", part.brier),
        ("log loss", part.log_loss),
        ("fitted temperature T", part.temperature),
    ]


def reliability_note(part: Calibration) -> str:
    """What the figures say, in one sentence."""
    t, low, high = part.temperature.value, part.temperature.low, part.temperature.high
    if t is None:
        return f"No temperature: {part.temperature_note}."
    if low is not None and low > 1:
        return f"Overconfident: margins divided by {number(t)} fit best."
    if high is not None and high < 1:
        return f"Underconfident: margins divided by {number(t)} fit best."
    return "The temperature is not told apart from 1, so that margins have about the scale of log-odds."


def margin_lines(part: Margins) -> list[str]:
    """The margins in words."""
    lines = [f"Mean {number(part.mean)}, SD {number(part.sd)}, median {number(part.quantiles[2])}"]
    for name, found in (("right", part.right), ("wrong", part.wrong)):
        if found:
            low, middle, high = (number(found[k]) for k in (1, 2, 3))
            lines.append(f"{name} pairs: median {middle}, middle half {low} to {high}")
    if part.ties:
        lines.append(_count(part.ties, "tie"))
    return lines


def length_rows(part: Length) -> Rows:
    """Accuracy by length, and correlations."""
    return [
        ("accuracy, preferred one longer", part.longer),
        ("accuracy, equally long", part.equal),
        ("accuracy, preferred one shorter", part.shorter),
        ("accuracy at equal length (fit)", part.controlled),
        ("margin and length, Pearson", part.pearson),
        ("margin and length, Spearman", part.spearman),
    ]


def length_note(part: Length) -> str:
    """What the fit says of length, or why there is none."""
    if part.note:
        return f"No fit: {part.note}."
    sign = "+" if (part.slope.value or 0.0) > 0 else ""
    change = f"{sign}{share_or_number(part.slope.value, 2)} {limits(part.slope, 2)}".strip()
    return f"One SD ({number(part.unit)}) more length of the preferred answer: log-odds of being right {change}."


def position_rows(part: Position) -> Rows:
    """Consistency, and accuracy by what is shown first."""
    return [
        ("same answer in both orders", part.consistent),
        ("the first one in both orders", part.first),
        ("the second one in both orders", part.second),
        ("accuracy, preferred one first", part.right_first),
        ("accuracy, preferred one second", part.right_second),
    ]


def has_several_pairs(report: Report) -> bool:
    """Whether a row may hold several of the pairs listed, so that its id does not name one."""
    return any({one.preferred, one.other} != {0, 1} for one in report.disagreements or ())


def summary(report: Report) -> list[str]:
    """A cell for each column of `SUMMARY`."""
    ties, calibration = report.ties, report.calibration
    accuracies = [ties.strict, ties.half, ties.decided, ties.share] if ties else [None] * 4
    figures = [calibration.ece, calibration.log_loss, calibration.temperature] if calibration else [None] * 3
    return [share_or_number(one.value) if one else "-" for one in (*accuracies, *figures)]
