"""A broken image is one failed row, and no other row fails with it; pictures of a prompt are read where texts are."""

from __future__ import annotations

from rmbench.check.image_probes import BROKEN, OTHER, SEEN
from rmbench.check.report import CheckResult, failed, not_run, passed
from rmbench.check.subject import Subject, largest_change

__all__ = ["media"]


def media(subject: Subject) -> CheckResult:
    """The probe whose file is not an image fails alone, with a reason; and of a model that reads texts too, answers to
    another picture score otherwise."""
    name = "media"
    pictured = [one for one in subject.judgments if one.id.startswith("image-")]
    if not pictured:
        modalities = subject.facts.modalities
        reads_images = "image" in modalities and (subject.scorer is not None or "text" not in modalities)
        return not_run(name, "Pillow is not installed to draw images" if reads_images else "the model reads no images")
    broken = next(one for one in pictured if one.id.endswith(BROKEN))
    others = [one for one in pictured if one is not broken and one.status == "failed"]
    figures = {"probes": len(pictured), "failed_others": len(others)}
    if broken.status != "failed":
        return failed(name, "a file that is not an image was scored", figures)
    if others:
        return failed(name, f"{others[0].id} failed, though its images are valid: {others[0].error}", figures)
    alone = f"a broken image is one failed row ({broken.error})"
    shown = [one for one in pictured if one.id in (SEEN, OTHER)]
    if not shown:
        return passed(name, alone, figures)
    change, _ = largest_change(shown[:1], shown[1:])
    if change <= subject.tolerance:
        return failed(name, "answers score the same whichever picture their prompt shows", figures)
    return passed(name, f"{alone}; another picture in the prompt changes scores by {change:.3g}", figures)
