"""The names that people give columns, by what the columns hold."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

__all__ = [
    "GROUPS",
    "IDS",
    "IN_OBJECT",
    "LABELS",
    "MEDIA",
    "MEDIA_PARTS",
    "NAMES",
    "SCORES_BESIDE",
    "named",
    "pairs_of_columns",
    "plain",
]

NAMES: dict[str, tuple[tuple[str, ...], ...]] = {
    "prompt": (
        ("prompt", "question", "instruction", "query", "user_input", "user_prompt", "problem"),
        ("input", "context", "post", "history", "conversation", "conversations", "messages", "trajectory", "dialogue"),
    ),
    "system": (("system", "system_prompt", "system_message"),),
    "tools": (("tools", "available_tools", "tool_definitions", "functions"),),
    "chosen": (("chosen", "chosen_response", "chosen_answer", "response_chosen", "preferred", "better", "accepted"),),
    "rejected": (
        ("rejected", "rejected_response", "rejected_answer", "response_rejected", "dispreferred", "worse", "declined"),
    ),
    "winner": (
        ("winner", "label", "labels", "preference", "preferred", "overall_preference", "choice", "verdict", "vote"),
        (
            *("better_response_id", "better_response", "better_answer", "better_id", "better", "gold"),
            *("human_preference", "preference_strength", "chosen"),
        ),
    ),
    "responses": (
        ("responses", "answers", "candidates", "completions", "outputs", "generations", "replies", "summaries"),
    ),
    "response": (("response", "completion", "answer", "output", "generation", "reply", "candidate"),),
    "scores": (("scores", "ratings", "rewards", "human_scores", "overall_scores"),),
    "ranks": (("ranks", "rank", "ranking", "rankings"),),
    "best": (
        (
            "best",
            "best_index",
            "best_idx",
            "best_response",
            "best_of",
            "winner",
            "gold",
            "gold_index",
            "label",
            "choice",
        ),
    ),
    "right": (("correct", "is_correct", "right", "is_best"),),
    "rating": (("score", "rating", "reward", "label", "overall_score", "human_score", "quality", "correct"),),
}
"""What a column holds -> its usual names, those of the second row where no column has one of the first."""
IN_OBJECT = {
    "response": ("response", "answer", "text", "content", "completion", "output"),
    "scores": ("score", "rating", "overall_score", "reward"),
    "ranks": ("rank", "ranking"),
    "right": ("correct", "is_correct", "right", "is_best"),
}
"""The same of the objects in a list of responses."""
GROUPS = ("subset", "category", "domain", "section", "task", "language", "lang", "difficulty", "topic", "dataset")
LABELS = frozenset(
    word for role in ("winner", "scores", "ranks", "best", "right", "rating") for words in NAMES[role] for word in words
) | {"rejected", "loser"}
"""Names of what says which answer is better."""
SCORES_BESIDE = ("score", "rating", "reward", "likes", "votes", "winner", "winner_model")
"""Beside two answers, each with the end of its answer's name: score_a and score_b, winner_a and winner_b."""
MEDIA_PARTS = {
    **dict.fromkeys(("image", "image_url", "input_image"), "image"),
    **dict.fromkeys(("video", "video_url", "input_video"), "video"),
}
"""Type of a part of a message -> what it shows."""
MEDIA = ("image", "images", "video", "videos", "picture", "pictures", "pixel_values", "audio")
IDS = (
    "id",
    "uid",
    "uuid",
    "key",
    "example_id",
    "sample_id",
    "row_id",
    "pair_id",
    "comparison_id",
    "prompt_id",
    "index",
)
_ANSWER = ("response", "answer", "completion", "output", "reply", "candidate", "conversation", "text", "generation")
_SIDES = (("a", "b"), ("1", "2"), ("0", "1"), ("first", "second"), ("left", "right"))


def plain(name: str) -> str:
    """A column's name without the differences of spelling.

    >>> plain("Answer A"), plain("answerA"), plain("response-1"), plain("response1")
    ('answer_a', 'answer_a', 'response_1', 'response_1')
    """
    name = re.sub(r"(?<=[a-z])(?=[A-Z0-9])", "_", name)
    return re.sub(r"[\s\-_.]+", "_", name).strip("_").lower()


def named(role: str, columns: Iterable[str]) -> list[str]:
    """The columns whose name is usual for what `role` says, of the first row of names that any column has."""
    spelled = {name: plain(name) for name in columns}
    for words in NAMES[role]:
        found = [name for name, word in spelled.items() if word in words]
        if found:
            return found
    return []


def pairs_of_columns(columns: Sequence[str]) -> list[tuple[str, str]]:
    """Columns that are the two answers of a row by their names: answer_a and answer_b, response_1 and response_2."""
    spelled = {plain(name): name for name in columns}
    pairs = [(f"{word}_{first}", f"{word}_{second}") for word in _ANSWER for first, second in _SIDES]
    return [(spelled[first], spelled[second]) for first, second in pairs if first in spelled and second in spelled]
