"""Row transforms for image and video benchmarks whose files hold one candidate per row."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

__all__ = ["fetv_videos", "genai_votes", "segments", "t2v_videos"]

_FETV_FOLDERS = {"damo-text2video": "videofusion"}
"""Generator in FETV's ratings -> the folder of its clips, where the names differ."""
_REAL = "ground-truth"
"""FETV's reference videos, which are rated too, but come from no generator."""
_FETV_RATINGS = ("alignment", "static_quality", "temporal_quality")
_T2V_RATINGS = ("alignment", "quality")


def fetv_videos(row: Mapping[str, Any]) -> dict[str, Any]:
    """FETV: the gathered ratings of one prompt, one row per annotator and source -> lists with one entry per video.

    Adds `models`, `videos` ("videofusion/12.mp4"), each rating's mean over the annotators, and `pairs`: the indices of
    every two generated videos. Equal sums of whole ratings give equal means.

    Raises ValueError where a source has not one rating of each annotator.
    """
    by_model: dict[str, list[Mapping[str, Any]]] = {}
    for each in row["rows"]:
        by_model.setdefault(each["model"], []).append(each)
    annotators = {each["annotator"] for each in row["rows"]}
    for model, ratings in by_model.items():
        if {each["annotator"] for each in ratings} != annotators or len(ratings) != len(annotators):
            raise ValueError(f'column "rows": "{model}" has not one rating of each of {len(annotators)} annotators')
    models = list(by_model)
    generated = [k for k, model in enumerate(models) if model != _REAL]
    return {
        **row,
        "models": models,
        "videos": [f"{_FETV_FOLDERS.get(model, model)}/{row['sentence']}.mp4" for model in models],
        **{name: [_mean([each[name] for each in by_model[model]]) for model in models] for name in _FETV_RATINGS},
        "pairs": [list(pair) for pair in combinations(generated, 2)],
    }


def _mean(figures: list[Any]) -> float:
    if any(type(each) is not int for each in figures):
        raise ValueError(f"ratings are whole numbers; found {figures}")
    return float(sum(figures) / len(figures))


def t2v_videos(row: Mapping[str, Any]) -> dict[str, Any]:
    """TVGE: one prompt's two gathered rows, `score` alignment and quality, each with `models` {name: [figure]} ->
    `models`, `videos` ("pika/0012.mp4"), `alignment` and `quality`, lists with one entry per video.

    Raises ValueError where one of the two is missing, or they rate other videos or have more than one figure.
    """
    rated = {each["score"]: each["models"] for each in row["rows"]}
    if sorted(rated) != sorted(_T2V_RATINGS) or list(rated["alignment"]) != list(rated["quality"]):
        raise ValueError('column "models": alignment and quality scores are not of the same videos')
    models = list(rated["alignment"])
    if any(len(figures) != 1 for scores in rated.values() for figures in scores.values()):
        raise ValueError('column "models": expected a list of one averaged score for each video')
    return {
        **row,
        "models": models,
        "videos": [f"{model}/{int(row['video']):04d}.mp4" for model in models],
        **{name: [rated[name][model][0] for model in models] for name in _T2V_RATINGS},
    }


def genai_votes(row: Mapping[str, Any]) -> dict[str, Any]:
    """GenAI-Bench: rows of a released judge's output hold the vote as `human_vote` and name no generators or videos.

    Raises ValueError where a row has neither kind of vote.
    """
    if "vote_type" in row:
        return dict(row)
    if "human_vote" not in row:
        raise ValueError('neither column "vote_type" nor "human_vote" is present')
    videos = {f"{side}_video": f"{row.get('idx')}_{side}.mp4" for side in ("left", "right")}
    return {"left_model": "", "right_model": "", **videos, **row, "vote_type": row["human_vote"]}


def segments(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A pair of clips with a preference for the whole and `segments`, a list of {start, end, preferred} in seconds -> a
    row for the whole and one for each segment.

    Each has `part` ("whole" or "segment"), `segment` (its number from 0; of the whole ""), `shown` ("span:0:1", of the
    whole "") and `preferred`, its own.

    Raises ValueError where there is no segment, or one lacks a key.
    """
    found = row.get("segments")
    if not isinstance(found, list) or not found:
        raise ValueError('column "segments" is no list of segments')
    whole = {key: value for key, value in row.items() if key != "segments"}
    rows = [{**whole, "part": "whole", "segment": "", "shown": ""}]
    for number, each in enumerate(found):
        lacking = [key for key in ("start", "end", "preferred") if not isinstance(each, Mapping) or key not in each]
        if lacking:
            raise ValueError(f'column "segments[{number}]" lacks "{lacking[0]}"')
        shown = f"span:{each['start']}:{each['end']}"
        own = {"part": "segment", "segment": str(number), "shown": shown, "preferred": each["preferred"]}
        rows.append({**whole, **own})
    return rows
