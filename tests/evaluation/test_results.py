"""Results as a page's table with drawn intervals, and as data frames."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import rmbench
from rmbench.records.headline import headline
from rmbench.text import figure
from tests.boards.sites import Seen


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> rmbench.Results:
    """Accuracies, a correlation, a value without an interval, and a skipped task."""
    tasks = "rm-bench,ragchecker,attributionbench,genai-bench-*"
    return rmbench.run("tiny-bt", tasks, source="sample", out=tmp_path_factory.mktemp("out"))


def test_the_page_shows_every_value_with_its_interval_drawn(results: rmbench.Results) -> None:
    page = Seen(results._repr_html_())
    text = " ".join(page.texts)
    values = [value for record in results.records for value in record.results]
    drawn = [value for value in values if value.low is not None]
    headlines = [headline(record) for record in results.records]
    assert sum(tag == "svg" for tag, _ in page.elements) == len(drawn) + sum(v.low is not None for v in headlines)
    for value in values:
        assert figure(value.value) in page.texts
        assert value.group is None or value.group in page.texts
    assert "All of these are marked: demo, sample." in text
    assert "genai-bench-edition: the task is image, the model takes text" in text
    assert page.texts.count("100%") == len(values) + len(headlines)


def test_a_bar_spans_its_interval_on_the_scale_of_its_metric(results: rmbench.Results) -> None:
    page = Seen(results._repr_html_())
    ranges = [attrs for tag, attrs in page.elements if tag == "line" and "stroke-width" in attrs]
    for task, low_end in (("rm-bench", 0.0), ("ragchecker", -1.0)):
        value = results.headline(task)
        assert value.low is not None
        assert value.high is not None
        x1, x2 = (3 + 90 * (limit - low_end) / (1 - low_end) for limit in (value.low, value.high))
        spans = [(float(attrs["x1"] or 0), float(attrs["x2"] or 0)) for attrs in ranges]
        assert any(span == pytest.approx((x1, x2), abs=0.06) for span in spans), task


def test_a_figure_that_is_no_fraction_has_no_bar(results: rmbench.Results) -> None:
    record = next(record for record in results.records if record.task.id == "rm-bench")
    loss = headline(record).model_copy(update={"value": 1.4, "low": 1.2, "high": 1.6})
    page = replace(results, records=(record.model_copy(update={"results": [loss]}),))._repr_html_()
    assert "<svg" not in page
    assert "[1.20, 1.60]" in page


def test_the_page_brings_its_own_colours_for_light_and_dark(results: rmbench.Results) -> None:
    """No style sheet, script or address; text and lines have the colour of the page they are in."""
    page = Seen(results._repr_html_())
    assert not {tag for tag, _ in page.elements} & {"style", "script", "link", "img", "iframe"}
    assert not [attrs for _, attrs in page.elements if any(name.startswith("on") or name == "href" for name in attrs)]
    colours = {attrs[name] for _, attrs in page.elements for name in ("stroke", "fill") if name in attrs}
    assert colours == {"currentColor", "#4a8fd6"}


def test_a_notebook_gets_the_page_and_the_table(results: rmbench.Results, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as Jupyter does for its kernels
    bundle = results._repr_mimebundle_()
    assert bundle["text/html"] == results._repr_html_()
    assert "rm-bench" in bundle["text/plain"]
    assert not {"<", "\x1b"} & set(bundle["text/plain"])


def test_a_data_frame_has_groups_as_columns(results: rmbench.Results) -> None:
    frame = results.to_pandas()
    assert not frame.duplicated(["task", "metric"]).any()
    assert list(frame.columns[:5]) == ["task", "version", "metric", "value", "low"]
    for record in results.records:
        for value in record.results:
            (row,) = frame[(frame.task == record.task.id) & (frame.metric == value.metric)].to_dict("records")
            shown = row["value" if value.group is None else value.group]
            assert shown == value.value or (pd.isna(shown) and value.value is None)
    rm_bench = frame[frame.task == "rm-bench"].iloc[0]
    assert rm_bench["domain=chat"] == pytest.approx(results.headline("rm-bench").value, abs=1)
    assert pd.isna(frame[frame.task == "ragchecker"].iloc[0]["domain=chat"])


def test_a_tidy_frame_has_a_line_per_value(results: rmbench.Results) -> None:
    frame = results.to_pandas(tidy=True)
    values = [value for record in results.records for value in record.results]
    assert list(frame.columns) == [
        *("task", "version", "metric", "group", "value", "low", "high"),
        *("n", "comparisons", "coverage", "chance", "flags"),
    ]
    assert [None if pd.isna(group) else group for group in frame.group] == [value.group for value in values]


@pytest.mark.parametrize("tidy", [False, True])
@pytest.mark.parametrize("tasks", ["attributionbench", "rm-bench,ragchecker", ""])
def test_figures_are_numbers_even_where_none_is_there(results: rmbench.Results, tidy: bool, tasks: str) -> None:
    """A column of nothing but None would be one of objects, on which arithmetic fails."""
    kept = tuple(record for record in results.records if record.task.id in tasks.split(","))
    frame = replace(results, records=kept).to_pandas(tidy=tidy)
    texts = {"task", "metric", "group", "flags"}
    whole = {"version", "n", "comparisons"}
    for name in frame.columns:
        kind = frame[name].dtype.kind
        assert (kind in "OTU") if name in texts else (kind == "i") if name in whole and kept else kind in "fO", name
        assert name in texts | whole or kind == "f"


PATHS: list[tuple[str, Any]] = [
    ("a record's folder", lambda folder: folder),
    ("record.json", lambda folder: folder / "record.json"),
]


@pytest.mark.parametrize(("_", "place"), PATHS)
def test_records_are_read_by_text_and_path(results: rmbench.Results, _: str, place: Any) -> None:
    path: Path = place(results.folder("rm-bench"))
    assert rmbench.read_record(str(path)) == rmbench.read_record(path)
    assert rmbench.read_rows(str(path)) == rmbench.read_rows(path)


def test_folders_are_taken_as_text(results: rmbench.Results, tmp_path: Path) -> None:
    from rmbench import boards
    from rmbench.boards import boards as declared
    from rmbench.boards import build, load_board, show

    assert rmbench.find_records(str(results.out)) == rmbench.find_records(Path(results.out))
    board = tmp_path / "mine.toml"
    board.write_text('id = "mine"\ntitle = "Mine"\ntasks = ["*"]\naggregate = "none"\nallow = ["sample", "demo"]\n')
    assert load_board(str(board)) == load_board(board)
    assert list(boards(str(tmp_path))) == list(declared(tmp_path)) == ["mine"]
    assert show(str(board), results.out)
    assert build(str(board), results.out, str(tmp_path / "site")).is_file()
