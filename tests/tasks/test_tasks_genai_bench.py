"""GenAI-Bench: the published cells of released judges, and its two kinds of tie."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rmbench.tasks.registry import get
from rmbench.tasks.rows.adapt_media import genai_votes
from rmbench.tasks.sources import load
from rmbench.types import Example, Judgment, Value, Verdict

Figures = Callable[..., dict[tuple[str, str | None], Value]]

GENAI = [
    ("genai-bench-image", "image_generation", "gpt4o", 791, 0.5544, 0.4795, 11),
    ("genai-bench-image", "image_generation", "gemini-1.5-pro", 775, 0.5620, 0.4576, 48),
    ("genai-bench-image", "image_generation", "llava", 642, 0.4916, 0.3700, 1),
    ("genai-bench-image", "image_generation", "random", 440, 0.2626, 0.3233, 0),
    ("genai-bench-edition", "image_edition", "gpt4o", 492, 0.7217, 0.5397, 0),
    ("genai-bench-edition", "image_edition", "gemini-1.5-pro", 514, 0.6521, 0.5680, 0),
    ("genai-bench-edition", "image_edition", "llava", 240, 0.4771, 0.2612, 0),
    ("genai-bench-edition", "image_edition", "random", 238, 0.2525, 0.3700, 0),
    ("genai-bench-video", "video_generation", "gpt4o", 518, 0.6886, 0.4977, 0),
    ("genai-bench-video", "video_generation", "gemini-1.5-pro", 494, 0.6886, 0.4677, 1),
    ("genai-bench-video", "video_generation", "llava", 325, 0.4643, 0.3040, 0),
    ("genai-bench-video", "video_generation", "random", 269, 0.2543, 0.3330, 0),
]
VOTES = {
    "genai-bench-image": (643, 663, 156, 273),
    "genai-bench-edition": (240, 263, 24, 392),
    "genai-bench-video": (325, 375, 138, 231),
}
NAMES = ("leftvote", "rightvote", "tievote", "bothbad_vote")
LABEL = re.compile(r"\[\[([^\[\]]*)\]\]")


@pytest.mark.parametrize("task_id, folder, judge, right, decisive, three, unparsed", GENAI)
def test_genai_has_the_published_cells(
    task_id: str,
    folder: str,
    judge: str,
    right: int,
    decisive: float,
    three: float,
    unparsed: int,
    data: Path,
    figures: Figures,
) -> None:
    loaded = load(get(task_id), data)
    assert tuple(loaded.group_totals[f"vote={name}"] for name in NAMES) == VOTES[task_id]
    lines = (data / f"genai-bench/results/{folder}/{judge}/pairwise.jsonl").read_text().splitlines()
    responses = {str(row["idx"]): row["response"] for row in map(json.loads, lines)}
    assert sum(response == "" for response in responses.values()) == unparsed
    said = {key: LABEL.fullmatch(response) for key, response in responses.items()}

    def judged(example: Example) -> Judgment:
        found = said[example.id]
        status: Any = "ok" if found else "unparsed"
        return Judgment(
            example.id, verdicts=(Verdict((0, 1), "label", found[1] if found else None, status),), status=status
        )

    values = figures(task_id, loaded.examples, judged, "verdict")
    assert values["accuracy", None].value == pytest.approx(right / loaded.total)
    assert values["decisive_accuracy", None].value == pytest.approx(decisive, abs=5e-5)
    assert values["decisive_accuracy", None].n == sum(VOTES[task_id][:2])
    assert values["three_class_accuracy", None].value == pytest.approx(three, abs=5e-5)


@pytest.mark.parametrize(
    "label, right",
    [("A>B", 1), ("A>>B", 1), ("B>A", 1), ("A=B=Good", 1), ("A=B=Bad", 1), ("A=B", 2), ("A=B]] or [[A>B", 0)],
)
def test_genai_kinds_of_tie(label: str, right: int, tmp_path: Path, figures: Figures) -> None:
    rows = [{"prompt": f"p{i}", "left_model": "a", "right_model": "b", "vote_type": v} for i, v in enumerate(NAMES)]
    path = tmp_path / "image_generation/test_v1.jsonl"
    path.parent.mkdir()
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    examples = load(get("genai-bench-image"), tmp_path).examples
    values = figures(
        "genai-bench-image",
        examples,
        lambda e: Judgment(e.id, verdicts=(Verdict((0, 1), "label", label),)),
        "verdict",
    )
    assert values["accuracy", None].value == right / 4
    assert values["accuracy", None].chance == 0.25


def test_genai_rows_of_a_released_judge_take_the_place_of_the_set() -> None:
    made = genai_votes({"idx": 3, "prompt": "p", "human_vote": "tievote"})
    assert (made["vote_type"], made["left_video"], made["left_model"]) == ("tievote", "3_left.mp4", "")
    assert genai_votes({"vote_type": "leftvote"}) == {"vote_type": "leftvote"}
    with pytest.raises(ValueError, match="vote_type"):
        genai_votes({"prompt": "p"})


def test_genai_video_addresses_are_found_by_their_last_name() -> None:
    first = load(get("genai-bench-video"), "sample").examples[0].candidates[0].messages[0].parts[0]
    assert first.name.startswith("https://")
    assert first.path is not None
    assert first.name.endswith(Path(first.path).name)
