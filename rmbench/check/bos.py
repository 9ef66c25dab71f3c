"""The number of BOS tokens at the start of a row, compared with the declared number."""

from __future__ import annotations

from rmbench.check.report import CheckResult, failed, not_run, passed
from rmbench.check.subject import Subject
from rmbench.check.tokens import leading, why_no_text
from rmbench.models.text.template import TemplateRefusedError
from rmbench.models.text.tokens import affixes

__all__ = ["bos"]

_COUNT = {"none": 0, "one": 1, "double": 2}


def bos(subject: Subject) -> CheckResult:
    """Rows begin with as many BOS (or [CLS]) tokens as the model declares; without a declaration, as many as its
    tokenizer writes."""
    name = "bos"
    why = why_no_text(subject)
    if why:
        return not_run(name, why)
    marker, expected, source = _expected(subject)
    if marker is None:
        return passed(name, "the tokenizer has no token that begins a text", {"expected": 0})
    counts = [leading(row.ids, marker) for row in subject.encoded if row.ids and not row.error]
    wrong = [count for count in counts if count != expected]
    spelled = subject.tokenizer.decode([marker])
    figures = {"token": spelled, "expected": expected, "found": max(wrong, default=expected), "rows": len(counts)}
    if wrong:
        line = f"{len(wrong)} of {len(counts)} rows begin with {wrong[0]} {spelled}, expected {expected} ({source})"
        return failed(name, line, figures)
    return passed(name, f"{len(counts)} rows begin with {expected} {spelled} ({source})", figures)


def _expected(subject: Subject) -> tuple[int | None, int, str]:
    """(token to count, expected number, source of the expectation)."""
    tokenizer, text = subject.tokenizer, subject.text
    bos_id = tokenizer.bos_token_id
    prefix = text.prefix if text else affixes(tokenizer)[0]
    policy = str(subject.facts.settings.get("bos"))
    if text is None or text.encoder or bos_id is None or policy not in _COUNT:
        if prefix:
            return prefix[0], leading(prefix, prefix[0]), "as the tokenizer writes"
        return bos_id, 0, "as the tokenizer writes"
    if policy != "one":
        return bos_id, _COUNT[policy], f"declared {policy}"
    written = bos_id in prefix or _template_writes(subject, bos_id)
    return bos_id, int(written), "declared one" if written else "neither tokenizer nor template writes one"


def _template_writes(subject: Subject, bos_id: int) -> bool:
    """Whether the text of a probe begins with a BOS before the tokenizer adds any."""
    assert subject.text is not None
    try:
        rendered = subject.text.template.render(subject.requests[0])
    except TemplateRefusedError:
        return False
    return leading(subject.tokenizer(rendered, add_special_tokens=False)["input_ids"], bos_id) > 0
