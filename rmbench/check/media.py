"""Images: one that is broken is one row, and no more."""

from __future__ import annotations

from rmbench.check.image_probes import BROKEN
from rmbench.check.report import CheckResult, failed, not_run, passed
from rmbench.check.subject import Subject

__all__ = ["media"]


def media(subject: Subject) -> CheckResult:
    """The probe whose file is no image fails by itself, with a reason, and the others do not."""
    name = "media"
    pictured = [one for one in subject.judgments if one.id.startswith("image-")]
    if not pictured:
        taken = "image" in subject.facts.modalities and subject.scorer is not None
        return not_run(name, "Pillow is not installed to draw images" if taken else "the model reads no images")
    broken = next(one for one in pictured if one.id.endswith(BROKEN))
    others = [one for one in pictured if one is not broken and one.status == "failed"]
    figures = {"probes": len(pictured), "failed_others": len(others)}
    if broken.status != "failed":
        return failed(name, "a file that is no image was scored all the same", figures)
    if others:
        return failed(name, f"{others[0].id} failed, and its images are sound: {others[0].error}", figures)
    return passed(name, f"a broken image is one failed row ({broken.error})", figures)
