"""Score files: what may stand in a row, and what becomes of it."""

from __future__ import annotations

import gzip
import io
import json
import lzma
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow
import pyarrow.ipc
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmbench.errors import RmbenchError
from rmbench.models.open import OpenOptions, open_model
from rmbench.models.scores.rows import read_rows
from rmbench.models.scores.scorer import Precomputed
from rmbench.models.scores.verdicts import parse_verdicts
from rmbench.types import TIE, Candidate, Example, Gold, Judgment, Verdict
from tests._make import open_as, write_lines


def example(id_: str, size: int = 2) -> Example:
    return Example(id_, (), tuple(Candidate.of(f"answer {k}") for k in range(size)), Gold())


def written(folder: Path, *rows: Any) -> Path:
    return write_lines(folder / "scores.jsonl", ({"task": "t", "id": str(n), **row} for n, row in enumerate(rows)))


def opened(file: Path) -> Precomputed:
    return open_as(Precomputed, f"scores:{file}")


def judged(folder: Path, row: Any, size: int = 2) -> Judgment:
    return opened(written(folder, row)).judge("t", example("0", size))


def test_scores_become_rewards(tmp_path: Path) -> None:
    judgment = judged(tmp_path, {"scores": [1, -2.5, 0.0]}, 3)
    assert (judgment.rewards, judgment.status, judgment.parts) == ((1.0, -2.5, 0.0), "ok", {})
    assert judged(tmp_path, {"scores": [[0.25], [0.5]]}).rewards == (0.25, 0.5)


def test_dimensions_become_parts(tmp_path: Path) -> None:
    with_overall = judged(tmp_path, {"scores": {"fluency": [1.0, 2.0], "overall": [3.0, 4.0]}})
    assert with_overall.rewards == (3.0, 4.0)
    assert with_overall.parts == {"fluency": ((1.0,), (2.0,)), "overall": ((3.0,), (4.0,))}
    assert judged(tmp_path, {"scores": {"fluency": [1.0, 2.0]}}).rewards == (1.0, 2.0)
    several = judged(tmp_path, {"scores": {"fluency": [1.0, 2.0], "depth": [3.0, 4.0]}})
    assert (several.rewards, sorted(several.parts)) == (None, ["depth", "fluency"])


def test_an_answer_without_a_score_is_unparsed(tmp_path: Path) -> None:
    rows = ({"scores": [1.0, 2.0]}, {"status": "unparsed"}, {"status": "unparsed", "scores": None})
    model = opened(written(tmp_path, *rows))
    assert [model.judge("t", example(str(n))).status for n in range(3)] == ["ok", "unparsed", "unparsed"]
    with pytest.raises(RmbenchError, match=r'scores\.jsonl:1: "status" says that no answer could be read'):
        opened(written(tmp_path, {"status": "unparsed", "verdicts": ["A"]}))
    with pytest.raises(RmbenchError, match=r"status: expected one of unparsed"):
        opened(written(tmp_path, {"status": "unpasred"}))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"scores": None}, "the score in scores.jsonl is null"),
        ({"scores": [1.0, None]}, "the score of candidate 1 in scores.jsonl is null or not finite"),
        ({"scores": [float("nan"), 1.0]}, "the score of candidate 0 in scores.jsonl is null or not finite"),
        ({"scores": [1.0, float("inf")]}, "the score of candidate 1 in scores.jsonl is null or not finite"),
        ({"scores": [10**400, 1.0]}, "the score of candidate 0 in scores.jsonl is null or not finite"),
        ({"scores": {"depth": [1.0, None]}}, "the depth score of candidate 1 in scores.jsonl is null or not finite"),
        ({"verdicts": []}, "the score in scores.jsonl is null"),
    ],
)
def test_no_number_is_a_failed_row(row: Any, reason: str, tmp_path: Path) -> None:
    judgment = judged(tmp_path, row)
    assert (judgment.status, judgment.error, judgment.rewards) == ("failed", reason, None)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"scores": [1.0]}, r"scores.jsonl:1 \(id 0\): \"scores\" must list 2 numbers, found 1 of them"),
        ({"scores": {"depth": 3}}, r'"scores" of depth must list 2 numbers, found 3'),
        ({"scores": ["1", 2]}, "'1' is not a number"),
        ({"scores": [True, 2]}, "True is not a number"),
        ({"verdicts": ["A>C", None]}, r"scores.jsonl:1 \(id 0\): verdict 1: 'A>C' is none of"),
    ],
)
def test_a_row_that_does_not_fit_its_example(row: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(RmbenchError, match=message):
        judged(tmp_path, row)


TWO53 = 2**53


@pytest.mark.parametrize("apart", [(TWO53, TWO53 + 1), (-TWO53 - 1, 0), (10**18 + 1, 10**18 + 2)])
@pytest.mark.parametrize("shape", ["{}", "{}.0", "{}e0", '{{"overall": {}}}'])
def test_scores_that_floats_cannot_tell_apart_are_an_error(apart: Any, shape: str, tmp_path: Path) -> None:
    spelled = [shape.removeprefix('{{"overall": ').removesuffix("}}").format(number) for number in apart]
    scores = f"[{', '.join(spelled)}]"
    file = tmp_path / "s.jsonl"
    file.write_text(f'{{"task": "t", "id": "0", "scores": {shape.format(scores) if "overall" in shape else scores}}}')
    with pytest.raises(RmbenchError, match=r"s\.jsonl:1 \(id 0\): .* is read as .*above 2\^53"):
        opened(file).judge("t", example("0"))


@pytest.mark.parametrize(
    "number", ["9007199254740992", "9007199254740994.0", "1e300", "1.2345678901234567e+20", "1e23"]
)
def test_large_scores_that_are_read_as_they_stand(number: str, tmp_path: Path) -> None:
    file = tmp_path / "s.jsonl"
    file.write_text(f'{{"task": "t", "id": "0", "scores": [{number}, -{number}]}}')
    assert opened(file).judge("t", example("0")).rewards == (float(number), -float(number))


def test_parquet_integers_and_ratings_are_held_alike(tmp_path: Path) -> None:
    file = tmp_path / "s.parquet"
    pd.DataFrame({"task": ["t"], "id": ["0"], "scores": [[TWO53, TWO53 + 1]]}).to_parquet(file)
    with pytest.raises(RmbenchError, match=r"row 0 \(id 0\): .*9007199254740993 is read as 9007199254740992"):
        opened(file).judge("t", example("0"))
    with pytest.raises(RmbenchError, match="9007199254740993 is read as"):
        judged(tmp_path, {"verdicts": [{"shown": [0], "kind": "rating", "value": TWO53 + 1}]})


@pytest.mark.parametrize("start", [b"\xef\xbb\xbf", b"\xef\xbb\xbf\n", b"\xef\xbb\xbf\r\n"])
def test_a_byte_order_mark_is_no_part_of_the_first_line(start: bytes, tmp_path: Path) -> None:
    file = tmp_path / "s.jsonl"
    file.write_bytes(start + b'{"task": "t", "id": "0", "scores": [1, 2]}\n')
    assert opened(file).judge("t", example("0")).rewards == (1.0, 2.0)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("", "it is an empty file"),
        ("{", r"s\.jsonl:1 is not JSON"),
        ("\n[]\n", r"s\.jsonl:2 must be an object"),
        ('{"task": "t", "id": 1.0, "scores": []}', "id: expected a string; found 1.0"),
        ('{"task": "t", "id": true, "scores": []}', "id: expected a string; found True"),
        ('{"task": "t", "id": 1, "scores": [1]}\n{"task": "t", "id": "1", "scores": [2]}', r"is at .*:1 already"),
        ('{"task": "t", "id": "1", "rewards": [1]}', r'neither "scores" nor "verdicts" \(it has task, id, rewards\)'),
        ('[{"task": "t", "id": "1", "scores": [1]}]', r":1 must be an object .*ends in \.json"),
        ('{"id": "1", "scores": []}', "task: this key is missing"),
        ('{"task": "t", "id": "1"}', 'neither "scores" nor "verdicts"'),
        ('{"task": "t", "id": "1", "score": [1, 2]}', 'score: unknown key.*Did you mean "scores"'),
        ('{"task": "t", "id": "1", "verdicts": [1], "decisions": [1]}', "another word"),
        ('{"task": "t", "id": "1", "scores": [1], "model": 3}', "model: expected a string; found 3"),
        ('{"task": "t", "id": "1", "scores": [1]}\n{"task": "t", "id": "1", "scores": [2]}', r"is at .*:1 already"),
        (
            '{"task": "t", "id": "1", "scores": [1]}\n{"task": "t", "id": "2", "scores": [1], "model": "b"}',
            "one file, one model",
        ),
        (
            '{"task": "t", "id": "1", "scores": [1, 2]}\n{"task": "t", "id": "2", "verdicts": [1, 1]}',
            r":1 has scores and .*:2 verdicts only",
        ),
    ],
)
def test_a_file_that_is_wrong(lines: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "s.jsonl"
    file.write_text(lines)
    with pytest.raises(RmbenchError, match=message):
        opened(file)


def test_files_that_are_not_there_or_no_tables(tmp_path: Path) -> None:
    with pytest.raises(RmbenchError, match="does not exist"):
        opened(tmp_path / "none.jsonl")
    with pytest.raises(RmbenchError, match="is no file"):
        opened(tmp_path)
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    with pytest.raises(RmbenchError, match="is not readable Parquet"):
        opened(tmp_path / "x.parquet")
    (tmp_path / "x.jsonl").write_bytes(b"\xff\n")
    with pytest.raises(RmbenchError, match="not JSON"):
        opened(tmp_path / "x.jsonl")


def test_missing_and_unused_ids(tmp_path: Path) -> None:
    file = tmp_path / "s.jsonl"
    rows = [{"task": "some_task", "id": name, "scores": [1, 2]} for name in ("a", "b", "c")]
    file.write_text("\n".join(map(json.dumps, rows)))
    model = opened(file)
    assert model.tasks == {"some-task"}
    assert model.judge("some-task", example("b")).rewards == (1.0, 2.0)
    missing = model.judge("some-task", example("z"))
    assert (missing.status, missing.error) == ("failed", "no score in s.jsonl")
    assert model.unused("some-task") == ("a", "c")
    assert model.unused("another") == ()


def test_facts(tmp_path: Path) -> None:
    plain = opened(written(tmp_path, {"scores": [1, 2]})).facts
    assert (plain.name, plain.family, plain.answer_kind) == ("scores:scores", "precomputed", "reward")
    named = opened(written(tmp_path, {"verdicts": [1, 1], "model": "org/judge"})).facts
    assert (named.name, named.answer_kind) == ("org/judge", "verdict")
    assert named.fingerprint != plain.fingerprint
    assert named.revision == named.fingerprint[:8]
    with pytest.raises(RmbenchError, match="has no setting"):
        open_model(f"scores:{tmp_path / 'scores.jsonl'}", OpenOptions(model_args={"x": "1"}))


def test_parquet_says_the_same_as_jsonl(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"task": "t", "id": "0", "scores": [1.5, 2.5]},
        {"task": "t", "id": "1", "scores": None},
        {"task": "t", "id": "2", "scores": [3.0, float("nan")]},
    ]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "s.parquet")
    (tmp_path / "s.jsonl").write_text("\n".join(map(json.dumps, rows)))
    one, other = opened(tmp_path / "s.parquet"), opened(tmp_path / "s.jsonl")
    for row in rows:
        first, second = (model.judge("t", example(row["id"])) for model in (one, other))
        assert (first.rewards, first.status) == (second.rewards, second.status)


ROWS = [{"task": "t", "id": k, "scores": [float(k), 0.5], "note": "x"} for k in range(3)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


def _arrow(rows: Any) -> bytes:
    file = io.BytesIO()
    table = pyarrow.Table.from_pylist(rows)
    with pyarrow.ipc.new_file(file, table.schema) as stream:
        stream.write_table(table)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("s.jsonl", LINES),
        ("s.jsonl.gz", gzip.compress(LINES)),
        ("s.json.xz", lzma.compress(json.dumps(ROWS).encode())),
        ("s.jsonl.zst", pyarrow.compress(LINES, codec="zstd", asbytes=True)),
        ("s.json", LINES),
        ("s.json", json.dumps({key: [row[key] for row in ROWS] for key in ROWS[0]}).encode()),
        (
            "s.json",
            json.dumps({"task": "t", **{key: [row[key] for row in ROWS] for key in ROWS[0] if key != "task"}}).encode(),
        ),
        ("s.parquet", pd.DataFrame(ROWS, index=[5, 6, 7]).to_parquet()),
        ("s.parquet", pd.DataFrame(ROWS).astype({"task": "category"}).to_parquet()),
        ("s.parquet", pd.DataFrame(ROWS).set_index(["task", "id"]).to_parquet()),
        ("s.arrow", _arrow(ROWS)),
    ],
)
def test_score_files_are_read_as_widely_as_those_of_tasks(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    model = opened(tmp_path / name)
    assert [model.judge("t", example(str(k))).rewards for k in range(3)] == [(0.0, 0.5), (1.0, 0.5), (2.0, 0.5)]
    assert model.facts.why.endswith("; not read: note")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("s.jsonl", LINES.decode().encode("utf-16"), "expected JSON, but its first bytes are those of text in UTF-16"),
        ("s.jsonl", LINES.decode().encode("utf-16-le"), "its first bytes are those of text in UTF-16"),
        ("s.jsonl", gzip.compress(LINES), "its first bytes are those of gzip"),
        ("s.jsonl.gz", gzip.compress(b"<!DOCTYPE html>"), "it is a web page"),
        ("s.jsonl.gz", gzip.compress(LINES)[:-9], "cannot be decompressed"),
        ("s.csv", b"task,id,scores\n", r"a score file is \.jsonl"),
        ("s.jsonl", '{"task": "t", "id": "é", "scores": [1]}'.encode("latin-1"), r"s\.jsonl:1 is not JSON in UTF-8"),
    ],
)
def test_what_is_no_score_file_is_named(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RmbenchError, match=message):
        opened(tmp_path / name)


def test_the_index_that_pandas_stores_is_no_key(tmp_path: Path) -> None:
    frame = pd.DataFrame([{"task": "t", "id": str(k), "scores": [float(k), 0.0]} for k in range(4)])
    frame.iloc[[3, 0, 1]].to_parquet(tmp_path / "kept.parquet")
    frame.to_parquet(tmp_path / "whole.parquet")
    assert "__index_level_0__" in pyarrow.parquet.read_schema(tmp_path / "kept.parquet").names
    assert [row.id for row in read_rows(tmp_path / "kept.parquet").rows] == ["3", "0", "1"]
    assert [row.scores for row in read_rows(tmp_path / "whole.parquet").rows] == [[float(k), 0.0] for k in range(4)]


def test_parquet_holds_dimensions_and_verdicts_too(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"task": "t", "id": "0", "scores": {"a": [1.0], "b": [2.0]}},
        {"task": "t", "id": "1", "scores": {"a": [3.0], "b": None}},
    ]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "d.parquet")
    model = opened(tmp_path / "d.parquet")
    assert model.judge("t", example("0", 1)).parts == {"a": ((1.0,),), "b": ((2.0,),)}
    assert model.judge("t", example("1", 1)).parts == {"a": ((3.0,),)}
    verdicts = [{"task": "t", "id": "0", "verdicts": ["A>B", None]}]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(verdicts), tmp_path / "v.parquet")
    assert [v.value for v in opened(tmp_path / "v.parquet").judge("t", example("0")).verdicts] == [0, None]


_KEYS = st.sampled_from(["shown", "value", "kind", "status", "vote", "logprob", "x"])
_PLAIN = (
    st.none() | st.booleans() | st.integers(-1, 3) | st.floats() | st.sampled_from(["A>B", "tie", "1", "ok", "pick"])
)
JSON = st.recursive(_PLAIN, lambda s: st.lists(s, max_size=4) | st.dictionaries(_KEYS, s, max_size=5), max_leaves=8)


class TestVerdicts:
    def test_letters_name_places(self) -> None:
        """A judge that always takes the first candidate, whichever place it stands in."""
        assert parse_verdicts(["A>B", "B>A"], 2) == (Verdict((0, 1), "pick", 0), Verdict((1, 0), "pick", 0))

    def test_a_judge_that_always_takes_the_first_place(self) -> None:
        assert [v.value for v in parse_verdicts(["A>B", "A>B"], 2)] == [0, 1]

    @pytest.mark.parametrize("form", [[1, 1], ["1", "1"]])
    def test_numbers_name_candidates(self, form: Any) -> None:
        assert parse_verdicts(form, 2) == (Verdict((0, 1), "pick", 0), Verdict((1, 0), "pick", 0))

    @pytest.mark.parametrize("none", [None, "-"])
    def test_ties_and_no_verdict(self, none: Any) -> None:
        tie, nothing = parse_verdicts(["A=B", none], 2)
        assert (tie.value, tie.status) == (TIE, "ok")
        assert (nothing.value, nothing.status, nothing.shown) == (None, "unparsed", (1, 0))

    def test_each_two_entries_are_a_vote(self) -> None:
        assert [(v.vote, v.shown) for v in parse_verdicts([1, 2, 1], 2)] == [(0, (0, 1)), (0, (1, 0)), (1, (0, 1))]

    def test_objects_say_everything(self) -> None:
        given = [
            {"shown": [2, 0], "value": 0, "vote": 3, "logprob": -0.5},
            {"shown": [0, 1], "value": "tie"},
            {"shown": [0, 1, 2], "value": [2, 0, 1]},
            {"shown": [1], "kind": "rating", "value": 7.5},
            {"shown": [0], "kind": "label", "value": "safe"},
            {"shown": [0, 1], "value": None},
            {"shown": [0, 1], "status": "failed"},
        ]
        assert parse_verdicts(given, 3) == (
            Verdict((2, 0), "pick", 0, "ok", 3, -0.5),
            Verdict((0, 1), "pick", TIE),
            Verdict((0, 1, 2), "ranking", (2, 0, 1)),
            Verdict((1,), "rating", 7.5),
            Verdict((0,), "label", "safe"),
            Verdict((0, 1), "pick", None, "unparsed"),
            Verdict((0, 1), "pick", None, "failed"),
        )

    @pytest.mark.parametrize(
        ("entries", "size", "message"),
        [
            ("A>B", 2, "must be a list"),
            ([3], 2, "3 is none of"),
            ([True], 2, "True is none of"),
            ([0], 2, "0 is none of"),
            ([1.5], 2, "1.5 is none of"),
            (["A>B"], 3, "short form 'A>B' is for 2 candidates, the row has 3"),
            ([None], 1, "is for 2 candidates"),
            ([{"show": [0, 1], "value": 0}], 2, 'unknown key "show".*Did you mean "shown"'),
            ([{"value": 0}], 2, "shown must list"),
            ([{"shown": [0, 2], "value": 0}], 2, "from 0 to 1"),
            ([{"shown": [0, 0], "value": 0}], 2, "different candidates"),
            ([{"shown": [0, 1], "value": 2}], 3, "2 is no pick of the candidates"),
            ([{"shown": [0, 1], "value": [0]}], 2, "no ranking"),
            ([{"shown": [0, 1], "kind": "rating", "value": 3}], 2, "no rating"),
            ([{"shown": [0, 1], "kind": "choice", "value": 0}], 2, "kind 'choice'"),
            ([{"shown": [0, 1], "value": 0, "logprob": "x"}], 2, "logprob must be"),
        ],
    )
    def test_whatever_else_is_an_error(self, entries: Any, size: int, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            parse_verdicts(entries, size)

    @given(JSON)
    @settings(deadline=None, max_examples=200)
    def test_any_json_is_read_or_refused(self, entries: Any) -> None:
        try:
            verdicts = parse_verdicts(entries, 2)
        except ValueError:
            return
        assert len(verdicts) == len(entries)
        assert all(v.status == "ok" or v.value is None for v in verdicts)

    def test_all_unread_is_unparsed_and_all_failed_is_failed(self, tmp_path: Path) -> None:
        assert judged(tmp_path, {"verdicts": [None, None]}).status == "unparsed"
        assert judged(tmp_path, {"verdicts": [None, "A=B"]}).status == "ok"
        failed = judged(tmp_path, {"verdicts": [{"shown": [0, 1], "status": "failed"}]})
        assert (failed.status, failed.error) == ("failed", "every verdict failed")


def test_upstreams_own_verdicts_give_upstreams_counts(data: Path) -> None:
    """JudgeBench: right where the two orders together favour the label; o1-mini has 230, the Skywork 8B model 218."""
    folder = data / "judgebench"
    name = "dataset=judgebench,response_model=gpt-4o-2024-05-13.jsonl"
    rows = [json.loads(line) for line in (folder / "data" / name).read_text("utf-8").split("\n") if line]
    better = {row["pair_id"]: 0 if row["label"] == "A>B" else 1 for row in rows}

    def right(file: str) -> int:
        model = opened(folder / "scores" / file)
        count = 0
        for id_, winner in better.items():
            verdicts = model.judge("judgebench", example(id_)).verdicts
            count += sum((v.value == winner) - (v.value == 1 - winner) for v in verdicts) > 0
        assert model.unused("judgebench") == ()
        return count

    assert right("arena_hard__o1-mini-2024-09-12.jsonl") == 230
    assert right("reward_model__Skywork_Skywork-Reward-Llama-3.1-8B.jsonl") == 218
