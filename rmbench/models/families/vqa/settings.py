"""What a model is asked about an image, and what it may answer."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from rmbench.errors import RmbenchError
from rmbench.models.families.vl.wording import PROMPT
from rmbench.untrusted.files import MIB, read_text

__all__ = ["QUESTION", "VqaSettings", "read_question"]

QUESTION = f'Does this figure show "{PROMPT}"? Please answer yes or no.'
"""VQAScore's (arXiv 2404.01291; linzhiqiu/t2v_metrics)."""


class VqaSettings(BaseModel):
    """Settings of such a model, for `--model-args` and cards."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    question: str = QUESTION
    """With `{prompt}` for the prompt's text; or the path of a file that holds it."""
    answer: str = "Yes"
    """The reward is the probability of this answer."""
    questions: str | None = None
    """A file with a question a line, `[[prompt]]` in it for the prompt's text: a checklist, whose weighted answers are
    the reward of a causal model (VisionReward, arXiv 2412.21059)."""
    weights: str | None = None
    """The file of the checklist's weights: a JSON list of numbers, one for each question, and the reward is the mean of
    weighted answers; or an object with `coef`, `intercept` and `masks`, and it is their sum."""
    alignment: str | None = None
    """A VQAScore model with T5, a folder or hub id, whose score the first of `coef` weighs."""
    min_pixels: int | None = Field(default=None, ge=1)
    max_pixels: int | None = Field(default=None, ge=1)
    frames: str | None = None
    """Which frames of a video are looked at; None: fps:2 where the model takes videos, and uniform:16 where its frames
    are asked about one by one and the reward is their mean."""
    tokenizer: str | None = None
    """A folder or hub id with T5's tokenizer; None: the checkpoint's own folder."""


def read_question(asked: str) -> str:
    """The question, or the text of the file that is named; raises RmbenchError where it has no `{prompt}`."""
    text = asked
    if PROMPT not in asked and Path(asked).suffix:
        text = read_text(Path(asked), MIB, f"question={asked}:").strip("\n")
    if PROMPT not in text:
        raise RmbenchError(f"question={asked}: {PROMPT} is not there, which stands for the prompt's text.")
    return text
