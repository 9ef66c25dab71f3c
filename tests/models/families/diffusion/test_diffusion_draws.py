"""Draws: their standard error, what is computed once, when they stop, and the formulas by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from rmbench.errors import RmbenchError
from rmbench.metrics.uncertainty.interval import wilson
from rmbench.models.families.diffusion.encoders import Kept
from rmbench.models.families.diffusion.formulas import (
    implicit_rewards,
    mapo_rewards,
    margin_errors,
    segment_rewards,
    settled,
    standard_errors,
)
from rmbench.models.families.diffusion.process import Process, draw

PROMPT = "a dog in the rain"


def test_formulas_by_hand() -> None:
    losses, others = np.array([0.2, 0.5]), np.array([0.3, 0.1])
    assert implicit_rewards(losses, others, 5000) == pytest.approx([250.0, -1000.0])
    mapo = mapo_rewards(np.array([0.1, 0.2, 0.0]), 0.5, 1)
    assert mapo[0] - mapo[1] == pytest.approx(0.0243751, abs=5e-8)
    assert mapo[2] == 1.0
    assert mapo_rewards(np.array([1e4]), 0.5, 1000)[0] == 0.0  # exp would overflow
    draws = np.array([[1.0, 3.0, 5.0], [1.0, 2.0, 6.0]])
    assert standard_errors(draws) == pytest.approx([stats.sem(draws[0]), stats.sem(draws[1])])
    assert margin_errors(draws)[0, 1] == pytest.approx(stats.sem(draws[0] - draws[1]))
    assert margin_errors(draws)[1, 1] == 0


def test_segments_of_a_clip() -> None:
    losses = np.array([[1.0, 2.0, 3.0, 4.0], [3.0, 2.0, 1.0, 0.0]])
    others = np.ones((2, 4))
    # By frame the mean error over draws is 2, of the reference 1, so each differs by 1.
    assert segment_rewards(losses, others, [(0, 1), (1, 4)], beta=2.0) == pytest.approx([-1.0, -1.0])
    losses[0, 3] = 8.0
    rewards = segment_rewards(losses, others, [(0, 2), (2, 4)])
    assert rewards == pytest.approx([-250.0, -500.0])
    assert rewards.mean() == pytest.approx(implicit_rewards(losses, others, 500).mean())
    assert segment_rewards(others, others, [(0, 4)])[0] == 0
    assert segment_rewards(others, losses, [(0, 2), (2, 4)]) == pytest.approx(-rewards)
    for wrong in ((2, 2), (0, 5), (-1, 2)):
        with pytest.raises(RmbenchError, match="no segment of 4 frames"):
            segment_rewards(losses, others, [wrong])
    with pytest.raises(RmbenchError, match="expected"):
        segment_rewards(losses, others[:, :3], [(0, 1)])


def test_draws_depend_on_row_number_and_seed_alone() -> None:
    noise = Process("epsilon", 1000, None)

    def of(row: str, number: int, seed: int, steps: tuple[int, ...] = (), process: Process = noise) -> Any:
        return draw(row, number, seed=seed, shape=(2, 3, 3), process=process, steps=steps, inner=1)

    one, again = of("a", 3, 0), of("a", 3, 0)
    assert one.time == again.time
    assert torch.equal(one.noise, again.noise)
    assert one.noise.shape == (2, 2, 3, 3)
    for other in (of("b", 3, 0), of("a", 4, 0), of("a", 3, 1)):
        assert not torch.equal(one.noise, other.noise)
    times = np.array([of("a", number, 0).time for number in range(2000)])
    assert stats.kstest(times / 1000, "uniform").pvalue > 0.001
    assert (times == times.round()).all()
    assert 0 <= times.min() < times.max() <= 999
    assert [of("a", number, 0, (499, 7)).time for number in range(3)] == [499, 7, 499]
    flow = Process("flow", 1000, None)
    shares = np.array([of("a", number, 0, process=flow).time for number in range(500)])
    assert stats.kstest(shares, "uniform").pvalue > 0.001
    assert of("a", 0, 0, (250,), flow).time == 0.25


@pytest.mark.parametrize(("kind", "target"), [("sd15", "noise"), ("sd-v", "v"), ("sd3", "velocity")])
def test_the_standard_error_shrinks_with_the_root_of_the_draws(
    kind: str, target: str, pipelines: Any, images: list[Path], made: SimpleNamespace
) -> None:
    own, other = pipelines(kind)

    def judged(draws: int, rows: int) -> tuple[list[float], float]:
        """Margins of rows that differ in their draws alone, and the root mean square of their standard errors."""
        # Small steps weigh so much more than others that a few draws of them decide; here all have one step.
        model = made.opened(own, other, draws=draws, batch=32, text_length=4, resolution=16, timesteps=500)
        assert str(model.facts.settings["target"]).startswith(target)
        found = [model.judge("t", made.pair(f"row {number}", PROMPT, *images[:2])) for number in range(rows)]
        errors = [one.parts["margin_standard_error"][0][1] for one in found]
        return [one.rewards[0] - one.rewards[1] for one in found], float(np.sqrt(np.square(errors).mean()))

    _, least = judged(128, 1)
    margins, most = judged(8, 16)
    assert most / least == pytest.approx(4, rel=0.3)
    assert np.std(margins, ddof=1) == pytest.approx(most, rel=0.4)


@pytest.mark.parametrize("draws", [2, 8, 32])
def test_intervals_over_rows_hold_the_noise_of_draws_already(draws: int) -> None:
    """Rows of normal margins, each seen through the noise of so many draws: the interval of the accuracy covers the
    accuracy that is expected at that number of draws as often as it says, with draws of each row's own alone."""
    rng = np.random.default_rng(draws)
    repeats, rows, mean, spread = 1500, 100, 0.1, 0.3
    margins = rng.normal(mean, spread, (repeats, rows))
    expected = stats.norm.cdf(mean / math.hypot(spread, 1 / math.sqrt(draws)))

    def covers(noise: Any, *, widened: bool = False) -> float:
        seen = margins[:, :, None] + noise
        found = seen.mean(axis=2)
        flips = stats.norm.cdf(-np.abs(found) / (seen.std(axis=2, ddof=1) / math.sqrt(draws)))
        inside = 0
        for line, p in zip(found, flips, strict=True):
            right = int((line > 0).sum())
            low, high = wilson(right, rows)
            more = (p * (1 - p)).sum() / (right * (1 - right / rows)) if widened else 0.0
            centre, half = (low + high) / 2, (high - low) / 2 * math.sqrt(1 + more)
            inside += bool(abs(expected - centre) <= half)
        return inside / repeats

    own = rng.normal(size=(repeats, rows, draws))
    assert covers(own) == pytest.approx(0.95, abs=0.02)
    assert covers(own, widened=True) > 0.97  # the draws are counted twice
    if draws < 32:  # where they are most of the variance
        assert covers(math.sqrt(0.7) * own + math.sqrt(0.3) * rng.normal(size=(repeats, 1, draws))) < 0.6


def test_rows_of_a_cluster_share_their_draws(pipelines: Any, images: list[Path], made: SimpleNamespace) -> None:
    """Several generators' images for one prompt are rows of their own, and are compared as in one row."""
    model = made.opened(*pipelines("sd15"), draws=4, batch=4)

    def rewards(row: Any, cluster: str) -> tuple[float, ...]:
        found: tuple[float, ...] = model.judge("t", replace(row, cluster=cluster)).rewards
        return found

    both = rewards(made.pair("row", PROMPT, *images[:2]), "of the prompt")
    alone = [rewards(made.pair(f"row {k}", PROMPT, images[k]), "of the prompt")[0] for k in range(2)]
    assert alone == list(both)
    apart = [rewards(made.pair(f"row {k}", PROMPT, images[0]), "") for k in range(2)]
    assert apart[0] != apart[1]


def test_more_draws_begin_with_the_same(pipelines: Any, images: list[Path], made: SimpleNamespace) -> None:
    own, other = pipelines("flux")
    row = made.pair("row", PROMPT, *images[:2])
    model = made.opened(own, other, draws=4, batch=2)
    shown = [model._shown(each) for each in _requests(row)]
    more = made.opened(own, other, draws=8, batch=4)
    assert more._drawn("row", shown)[:, :4] == pytest.approx(model._drawn("row", shown), rel=1e-4)


def test_images_and_prompts_are_encoded_once(
    pipelines: Any, images: list[Path], made: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, other = pipelines("sdxl")
    model = made.opened(own, other, draws=6, batch=2)
    calls = {"vae": 0, "text": 0}
    vae, encode = model.encoders.pipeline.vae, model.encoders.pipeline.encode_prompt
    first = vae.encode

    def encoded(*given: Any, **named: Any) -> Any:
        calls["vae"] += 1
        return first(*given, **named)

    def prompted(*given: Any, **named: Any) -> Any:
        calls["text"] += 1
        return encode(*given, **named)

    monkeypatch.setattr(vae, "encode", encoded)
    monkeypatch.setattr(model.encoders.pipeline, "encode_prompt", prompted)
    rows = [
        made.pair("1", PROMPT, images[0], images[1]),
        made.pair("2", PROMPT, images[1], images[2]),
        made.pair("3", "a house", images[0], images[2]),
    ]
    before = model.latents.computed, model.texts.computed
    for row in rows:
        model.judge("t", row)
    assert calls == {"vae": 3, "text": 2}
    assert (model.latents.computed - before[0], model.texts.computed - before[1]) == (3, 2)


def test_what_is_kept_is_bounded() -> None:
    kept = Kept(most=10)
    assert [kept.get(key, str, lambda _: 4) for key in "abcab"] == [""] * 5
    assert kept.computed == 5  # "a" was dropped for "c", "b" for "a"
    assert kept.get("b", lambda: "new", lambda _: 4) == ""
    assert kept.get("large", lambda: "large", lambda _: 99) == "large"
    assert kept.get("large", lambda: "new", lambda _: 99) == "large"


def test_settled_is_a_test_at_the_level_shared_by_all_looks() -> None:
    draws = np.array([[1.0, 2.0, 3.0, 2.0], [0.5, 1.0, 2.0, 1.5]])
    value = float(stats.ttest_1samp(draws[0] - draws[1], 0).pvalue)
    assert settled(draws, value * 3 * 1.01, 3)
    assert not settled(draws, value * 3 * 0.99, 3)
    assert settled(np.zeros((2, 4)), 0.05, 1)
    assert not settled(np.array([[1.0, -1.0], [0.0, 0.0]]), 0.05, 1)
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(2000):  # no difference at all: a sign is claimed in at most the declared share of the rows
        noise = rng.normal(size=(2, 32))
        wrong += any(settled(noise[:, :seen], 0.1, 4) for seen in (8, 16, 24, 32))
    assert wrong / 2000 < 0.1


def test_draws_stop_where_signs_are_settled(pipelines: Any, images: list[Path], made: SimpleNamespace) -> None:
    own, other = pipelines("pixart")
    row = made.pair("row", PROMPT, *images[:2])
    full = made.opened(own, other, draws=64, batch=8).judge("t", row)
    model = made.opened(own, other, draws=64, batch=8, stop=0.2)
    assert (model.facts.settings["stop"], model.facts.settings["batch"]) == (0.2, 8)
    stopped = model.judge("t", row)
    used = int(stopped.parts["draws"][0][0])
    assert full.parts["draws"] == ((64.0,), (64.0,))
    assert 8 <= used < 64
    assert used % 8 == 0
    assert "stopped_early" in stopped.remarks
    assert "stopped_early" not in full.remarks
    assert np.sign(np.subtract(*stopped.rewards)) == np.sign(np.subtract(*full.rewards))
    same = model.judge("t", made.pair("twice", PROMPT, images[0], images[0]))
    assert same.rewards[0] == same.rewards[1]
    assert same.parts["margin_standard_error"] == ((0.0, 0.0), (0.0, 0.0))


def _requests(row: Any) -> list[Any]:
    from rmbench.models.protocols import Request

    return [Request(row.conversation(place), 1) for place in range(2)]
