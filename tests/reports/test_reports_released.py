"""Figures of released scores: 51 reward models on 8,866 pairs of Themis-CodeRewardBench (arXiv 2605.00754)."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from rmbench.reports import report_of
from rmbench.reports.report import Report
from tests._make import put_record

CALIBRATED = {
    "SkyworkV2-Qwen-0.6B": (0.079, 0.580, 1.19),
    "Athene-RM-8B": (0.200, None, 0.25),
    "Eurus-RM-7b": (0.320, None, 533),
    "Themis-RM-32B": (0.073, None, 0.66),
}
"""Model -> ECE, log loss, T."""
TIED = {
    "LMUnit-qwen2.5-72b": (0.279, 0.615, 0.851, 0.67),
    "R3-Qwen3-14B-14k": (0.454, 0.654, 0.756, 0.40),
    "CE-RM-4B": (0.572, 0.676, 0.723, 0.21),
    "AceCodeRM-32B": (0.629, 0.694, 0.723, 0.13),
}
"""Model -> accuracy where a tie is wrong, half right, left out; share of ties."""


@pytest.fixture(scope="module")
def margins(data: Path) -> dict[str, np.ndarray]:
    """Chosen less rejected; nan where the model gave no score."""
    file = data / "code-rewardbench" / "scores.parquet"
    if not file.is_file():
        pytest.skip("needs code-rewardbench/scores.parquet in RMBENCH_DATA")
    names = [f"{name}|{side}" for name in (*CALIBRATED, *TIED) for side in ("chosen", "rejected")]
    table = pq.read_table(file, columns=names)
    return {
        name: table[f"{name}|chosen"].to_numpy() - table[f"{name}|rejected"].to_numpy() for name in (*CALIBRATED, *TIED)
    }


def report(margins: np.ndarray, folder: Path, resamples: int = 50) -> Report:
    failed = np.flatnonzero(~np.isfinite(margins)).tolist()
    return report_of(put_record(folder, np.nan_to_num(margins).tolist(), failed=failed), resamples=resamples)


@pytest.mark.parametrize("name", CALIBRATED)
def test_calibration(name: str, margins: dict[str, np.ndarray], tmp_path: Path) -> None:
    found = report(margins[name], tmp_path, resamples=1000).calibration
    ece, log_loss, temperature = CALIBRATED[name]
    assert round(found.ece.value, 3) == ece
    assert found.ece.low < found.ece.value < found.ece.high
    assert found.temperature.value == pytest.approx(temperature, abs=0.5 if temperature > 100 else 0.005)
    assert found.temperature.low < found.temperature.value < found.temperature.high
    if log_loss is not None:
        assert round(found.log_loss.value, 3) == log_loss
    assert found.log_loss.low < found.log_loss.value < found.log_loss.high
    assert [one.pairs for one in found.bins if one.low < one.high] == pytest.approx(
        [8866 / 15] * sum(one.low < one.high for one in found.bins)
    )


@pytest.mark.parametrize("name", CALIBRATED)
def test_calibration_by_a_plain_loop(name: str, margins: dict[str, np.ndarray]) -> None:
    """Once more with nothing but the standard library: 15 slices of pairs sorted by confidence, and a search for T."""
    every = sorted(margins[name].tolist(), key=abs)
    edges = [round(k * len(every) / 15) for k in range(16)]
    error = 0.0
    for start, end in itertools.pairwise(edges):
        sure = sum(1 / (1 + math.exp(-abs(one))) for one in every[start:end])
        error += abs(sum((one > 0) + (one == 0) / 2 for one in every[start:end]) - sure)
    ece, log_loss, temperature = CALIBRATED[name]
    assert error / len(every) == pytest.approx(ece, abs=0.0006)

    def loss(t: float) -> float:
        parts = (one / t for one in every)
        return sum(math.log1p(math.exp(-one)) if one > -30 else -one for one in parts) / len(every)

    if log_loss is not None:
        assert loss(1) == pytest.approx(log_loss, abs=0.0005)
    wide = 0.5 if temperature > 100 else 0.005
    assert loss(temperature) < min(loss(temperature - 3 * wide), loss(temperature + 3 * wide))


@pytest.mark.parametrize("name", TIED)
def test_ties(name: str, margins: dict[str, np.ndarray], tmp_path: Path) -> None:
    found = report(margins[name], tmp_path).ties
    strict, half, decided, share = TIED[name]
    # AceCodeRM-32B is .62948 and was printed as .629.
    assert found.strict.value == pytest.approx(strict, abs=0.0005)
    assert found.half.value == pytest.approx(half, abs=0.0005)
    assert found.decided.value == pytest.approx(decided, abs=0.0005)
    assert round(found.share.value, 2) == share
    for one in (found.strict, found.half, found.decided, found.share):
        assert one.low < one.value < one.high
    assert found.strict.n == 8866


def test_rows_without_a_score_are_wrong_and_say_so(margins: dict[str, np.ndarray], tmp_path: Path) -> None:
    """R3-14B wrote no score in 241 pairs."""
    found = report(margins["R3-Qwen3-14B-14k"], tmp_path)
    assert found.coverage.unanswered == 241
    assert found.coverage.reasons == {"NaN": 241}
    assert found.calibration.n == 8866 - 241
    assert found.ties.strict.value == found.headline.value


def test_the_strict_accuracy_is_the_records_own(margins: dict[str, np.ndarray], tmp_path: Path) -> None:
    found = report(margins["SkyworkV2-Qwen-0.6B"], tmp_path)
    assert found.ties.strict == found.headline
    assert found.headline.value == 6452 / 8866
