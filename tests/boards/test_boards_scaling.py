"""Series of models that differ in size alone, and the line through them."""

from __future__ import annotations

import math

import pytest

from rmbench.boards.rows import Row
from rmbench.boards.scaling import series_of


def row(name: str, size: int | None) -> Row:
    return Row(name, "r", "scalar", None, size, (), (), None)


def test_names_that_differ_in_size_only_are_a_series() -> None:
    sizes = (("0.6B", 600), ("1.7B", 1_700), ("4b", 4_000), ("8B", 8_000))
    rows = [(row(f"org/RM-V2-Qwen3-{text}", size * 10**6), 0.5 + k / 10) for k, (text, size) in enumerate(sizes)]
    rows += [
        (row("org/other-7B", 7 * 10**9), 0.9),
        (row("org/none", 10**9), 0.1),
        (row("org/RM-V2-Qwen3-9B", None), 0.2),
    ]
    (found,) = series_of(rows)
    assert found.name == "org/RM-V2-Qwen3"
    assert found.points[0] == (600_000_000, 0.5)
    assert len(found.points) == 4


def test_the_slope_is_the_change_with_ten_times_the_parameters() -> None:
    values = (0.50, 0.62, 0.70)
    rows = [(row(f"m-{10**k}B", 10 ** (9 + k)), value) for k, value in enumerate(values)]
    (found,) = series_of(rows)
    assert found.slope == pytest.approx(0.1)
    # The line passes .5067, .6067, .7067; log sizes are 9, 10, 11, whose squares around their mean sum to 2.
    error = math.sqrt(((0.5 - 0.5067) ** 2 + (0.62 - 0.6067) ** 2 + (0.7 - 0.7067) ** 2) / 1 / 2)
    assert found.high - found.slope == pytest.approx(12.706 * error, rel=0.01)
    assert found.at(10**10) == pytest.approx(sum(values) / 3)


@pytest.mark.parametrize("name", ["Llama-3.1-8B-Instruct-RM", "internlm2-1_8b-reward", "R3-Qwen3-14B-14k"])
def test_sizes_are_read_wherever_they_stand(name: str) -> None:
    size = {"L": "8B", "i": "1_8b", "R": "14B"}[name[0]]
    rows = [(row(name.replace(size, f"{k}B"), k * 10**9), 0.5 + k / 100) for k in (1, 2, 3)]
    assert len(series_of(rows)) == 1


def test_two_models_of_one_size_are_no_series() -> None:
    rows = [(row(f"org/m-{k}B", k * 10**9), 0.5) for k in (1, 2, 3)] + [(row("org/m-3b", 3 * 10**9), 0.6)]
    assert series_of(rows) == []
