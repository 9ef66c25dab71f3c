"""Which rows of a record are shown, and the errors of a selection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from rmbench.errors import RmbenchError
from rmbench.view import view
from rmbench.view.selection import View
from tests._make import margins, put_record

MARGINS = [1.0, -3.0, 0.0, -1.0, 2.0, 0.5]


def ids(view: View) -> list[str]:
    return [row.id for row in view.rows]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return put_record(tmp_path / "a", MARGINS, failed=[5])


def test_all_rows_are_shown_and_the_note_says_why_without_texts(place: Path) -> None:
    shown = view(place)
    assert ids(shown) == ["r0", "r1", "r2", "r3", "r4", "r5"]
    assert "no task is called pairs" in shown.note
    assert "--data FILE" in shown.note
    assert all(row.example is None for row in shown.rows)


def test_wrong_rows_are_those_without_full_credit(place: Path) -> None:
    shown = view(place, wrong=True)
    assert [(row.id, row.answers[0].outcome) for row in shown.rows] == [
        *(("r1", "wrong"), ("r2", "tie")),
        *(("r3", "wrong"), ("r5", "failed")),
    ]
    assert (shown.total, shown.selection) == (6, "without full credit")


def test_the_worst_rows_come_first_and_those_without_a_margin_last(place: Path) -> None:
    assert ids(view(place, worst=2)) == ["r1", "r3"]
    assert ids(view(place, worst=9)) == ["r1", "r3", "r2", "r0", "r4", "r5"]
    assert ids(view(place, wrong=True, worst=1)) == ["r1"]


def test_rated_items_are_worst_by_the_difference_of_their_ranks(tmp_path: Path) -> None:
    scores, ratings = [0.1, 0.2, 0.3, 0.9, 0.8], [1.0, 2.0, 5.0, 0.0, 4.0]
    place = put_record(tmp_path, scores, ratings=ratings)
    # Ranks by score 1 2 3 5 4, by rating 2 3 5 1 4.
    assert ids(view(place, worst=2)) == ["r3", "r2"]


def test_rows_are_named_by_id_in_the_order_named(place: Path) -> None:
    shown = view(place, ids=["r4", "r0", "r4"])
    assert ids(shown) == ["r4", "r0"]
    assert shown.whole
    with pytest.raises(RmbenchError, match=r"no row is called 'r44'\. Did you mean \"r4\"\?"):
        view(place, ids=["r44"])


def put_grouped(folder: Path, groups: Sequence[dict[str, str]], tags: Sequence[str] = ()) -> Path:
    """A record of right pairs with these groups, whose comparisons have tags."""
    from rmbench.records.store import read, write
    from rmbench.types import Edge
    from tests._make import make_row

    record = read(put_record(folder / "plain", [1.0] * len(groups)))
    edges = (Edge(0, 1, tags=tuple(tags)),)
    rows = [make_row(f"r{k}", (1.0, 0.0), groups=group, edges=edges) for k, group in enumerate(groups)]
    write(folder / "grouped", record, rows, {row.id: 1.0 for row in rows})
    return folder / "grouped"


@pytest.mark.parametrize(
    ("pattern", "shown"),
    [
        ("domain=chat", ["r0", "r2"]),
        ("domain=c*", ["r0", "r1", "r2"]),
        ("domain=chat,lang=de", ["r2"]),
        ("domain=[x]", ["r3"]),
        ("level=hard", ["r0", "r1", "r2", "r3"]),
    ],
)
def test_groups_are_names_or_globs(tmp_path: Path, pattern: str, shown: list[str]) -> None:
    groups = [("chat", "en"), ("code", "en"), ("chat", "de"), ("[x]", "de")]
    place = put_grouped(tmp_path, [{"domain": domain, "lang": lang} for domain, lang in groups], ["level=hard"])
    assert ids(view(place, group=pattern)) == shown


def test_an_unknown_group_names_the_nearest(tmp_path: Path) -> None:
    place = put_grouped(tmp_path, [{"domain": "chat"}, {"domain": "code"}])
    with pytest.raises(RmbenchError, match=r'"domain=caht": no such group\. There are .* Did you mean "domain=chat"\?'):
        view(place, group="domain=caht")
    with pytest.raises(RmbenchError, match="there are no groups"):
        view(put_record(tmp_path / "bare", [1.0]), group="domain=chat")


def test_flipped_rows_have_other_credit_and_both_models_answers(tmp_path: Path, place: Path) -> None:
    other = put_record(tmp_path / "b", [-1.0, -2.0, 0.0, 1.0, 3.0, 1.0], name="org/b")
    shown = view(place, flipped=tmp_path / "b")
    assert ids(shown) == ["r0", "r3", "r5"]
    assert [tuple(answer.outcome for answer in row.answers) for row in shown.rows] == [
        *(("right", "wrong"), ("wrong", "right"), ("failed", "right")),
    ]
    assert shown.rows[1].answers[1].margin == 1.0
    assert shown.models == ("org/model@0123abcd", "org/b@0123abcd")
    assert ids(view(other, flipped=place)) == ["r0", "r3", "r5"]


def test_only_rows_that_both_judged_are_compared(tmp_path: Path, place: Path) -> None:
    put_record(tmp_path / "b", [-1.0, -2.0], name="org/b")
    shown = view(place, flipped=tmp_path / "b")
    assert ids(shown) == ["r0"]
    assert shown.selection == "of 2 that both models judged, whose credit differs"


def test_a_record_of_other_rows_is_refused_with_both_digests(tmp_path: Path, place: Path) -> None:
    put_record(tmp_path / "b", MARGINS, name="org/b", changed={"data": {"digest": "e" * 64}})
    with pytest.raises(RmbenchError, match=f"other rows .digest {'e' * 64}.*{'d' * 64}"):
        view(place, flipped=tmp_path / "b")
    put_record(tmp_path / "c", MARGINS, name="org/b", version=2)
    with pytest.raises(RmbenchError, match="version 2 of the task"):
        view(place, flipped=tmp_path / "c")


def test_one_record_is_shown_at_a_time(tmp_path: Path) -> None:
    for task in ("one", "two"):
        put_record(tmp_path / "both", margins(1, 2), task=task)
    with pytest.raises(RmbenchError, match=r"holds 2 records\. Name one: .*one@1, .*two@1"):
        view(tmp_path / "both")
    (tmp_path / "none").mkdir()
    with pytest.raises(RmbenchError, match=r"holds no record\.json"):
        view(tmp_path / "none")
    place = put_record(tmp_path / "third", margins(1, 2), task="third")
    with pytest.raises(RmbenchError, match=r"no record of third .*one@1.*name one record"):
        view(place, flipped=tmp_path / "both")


def test_published_figures_have_no_rows(tmp_path: Path, put_published: Callable[[Path], Path]) -> None:
    with pytest.raises(RmbenchError, match="published figures only, and no rows"):
        view(put_published(tmp_path))


@pytest.fixture
def put_published() -> Callable[[Path], Path]:
    from rmbench.records.store import folder_of, read, write_published

    def put(folder: Path) -> Path:
        record = read(put_record(folder / "measured", margins(1, 2)))
        run = record.run.model_copy(update={"source_of_scores": "a paper"})
        published = record.model_copy(update={"kind": "published", "judgments": None, "run": run})
        write_published(folder / "published", published)
        return folder_of(folder / "published", published)

    return put
