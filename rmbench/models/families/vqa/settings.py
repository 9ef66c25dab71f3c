"""What a model is asked about an image, and what it may answer."""

from __future__ import annotations

import json
import math
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from rmbench.errors import RmbenchError
from rmbench.models.families.vl.wording import PROMPT
from rmbench.untrusted.files import MIB, read_text

__all__ = ["QUESTION", "VqaSettings", "read_checklist", "read_question"]

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
    """The file of the checklist's weights: a JSON list of numbers, one for each question."""
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


def read_checklist(questions: str, weights: str | None) -> tuple[list[str], list[float]]:
    """The questions, with `{prompt}` for the prompt's text, and their weights.

    Raises:
        RmbenchError: a file is missing or another thing; another number of weights than questions.
    """
    text = read_text(Path(questions), MIB, f"questions={questions}:").removeprefix("\ufeff")
    asked = [line.strip().replace("[[prompt]]", PROMPT) for line in text.splitlines() if line.strip()]
    if not asked:
        raise RmbenchError(f"questions={questions}: there is no question in it.")
    if weights is None:
        raise RmbenchError(f"questions={questions} needs weights=FILE, a JSON list of {len(asked)} numbers.")
    try:
        found = json.loads(read_text(Path(weights), MIB, f"weights={weights}:"))
    except ValueError as error:
        raise RmbenchError(f"weights={weights}: no JSON ({error}).") from error
    numbers = isinstance(found, list) and all(
        isinstance(one, int | float) and not isinstance(one, bool) and math.isfinite(one) for one in found
    )
    if not numbers:
        raise RmbenchError(f"weights={weights}: expected a JSON list of numbers.")
    if len(found) != len(asked):
        raise RmbenchError(f"weights={weights}: {len(found)} weights for {len(asked)} questions in {questions}.")
    return asked, [float(one) for one in found]
