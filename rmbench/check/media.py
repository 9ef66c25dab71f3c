"""A broken image is one failed row, and no other row fails with it."""

from __future__ import annotations

from rmbench.check.image_probes import BROKEN
from rmbench.check.report import CheckResult, failed, not_run, passed
from rmbench.check.subject import Subject

__all__ = ["media"]


def media(subject: Subject) -> CheckResult:
    """The probe whose file is not an image fails alone, with a reason."""
    name = "media"
    pictured = [one for one in subject.judgments if one.id.startswith("image-")]
    if not pictured:
        reads_images = "image" in subject.facts.modalities and subject.scorer is not None
        return not_run(name, "Pillow is not installed to draw images" if reads_images else "the model reads no images")
    broken = next(one for one in pictured if one.id.endswith(BROKEN))
    others = [one for one in pictured if one is not broken and one.status == "failed"]
    figures = {"probes": len(pictured), "failed_others": len(others)}
    if broken.status != "failed":
        return failed(name, "a file that is not an image was scored", figures)
    if others:
        return failed(name, f"{others[0].id} failed, though its images are valid: {others[0].error}", figures)
    return passed(name, f"a broken image is one failed row ({broken.error})", figures)
