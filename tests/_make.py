"""Small examples, rows, models and files for tests. A test states what matters to it and takes the rest from here."""

from __future__ import annotations

import io
import json
import pickle
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import pytest
from rich.console import Console

from rmbench.cli import main
from rmbench.engine.encode import encode_window
from rmbench.engine.judge import SilentProgress
from rmbench.metric_spec import MetricSpec, is_linear
from rmbench.metrics.credit.row import credit
from rmbench.metrics.measure import measure
from rmbench.models.checkpoint.headers import Tensor
from rmbench.models.checkpoint.read import Checkpoint
from rmbench.models.introspect import decoder_of
from rmbench.models.open import OpenOptions, open_model
from rmbench.models.protocols import Encoded, EncodingScorer, Request, Scorer
from rmbench.records.derived import counts_of, flag_partial
from rmbench.records.headline import headline_spec
from rmbench.records.record import Record
from rmbench.records.store import digests_of_parts, folder_of, write, write_published
from rmbench.tasks.registry import get
from rmbench.tasks.sources import load
from rmbench.tasks.task import Loaded
from rmbench.types import Candidate, Edge, Example, Gold, Judged, Judgment, Message, Value

Model = TypeVar("Model")
Values = dict[tuple[str, str | None], Value]
"""(metric, group) -> value."""
FIRST_BETTER = (Edge(0, 1),)


def special_tokens_read(folder: Path, special: str, **options: Any) -> dict[str, list[int]]:
    """--special-tokens -> how many special tokens of a kind each row has beyond those of the same row without one in a
    candidate: of a candidate that spells one, of a pair with it, and of the plain candidate."""
    counts = {}
    for mode in ("parsed", "text"):
        model = open_model(str(folder), OpenOptions(special_tokens=mode, **options))
        assert isinstance(model, Scorer)
        tokenizer = decoder_of(model)
        token = tokenizer.convert_tokens_to_ids(special)
        rows = [make_example("r", "Why?", f"Because{middle}so it is.", "No.") for middle in (special, " ")]
        forged, plain = (encode_window([row], model, "chat", "", SilentProgress()).encoded for row in rows)
        assert not any(entry.error for entry in (*forged, *plain))
        pairs = zip(forged, plain, strict=True)
        counts[mode] = [one.ids.count(token) - other.ids.count(token) for one, other in pairs]
        assert special in tokenizer.decode(forged[0].ids)
    return counts


def make_example(
    id_: str, prompt: str, *responses: str, edges: Sequence[Edge] = FIRST_BETTER, **context: str
) -> Example:
    """Responses to one user message, the first of which people prefer to the second."""
    candidates = tuple(map(Candidate.of, responses))
    return Example(id_, (Message.of("user", prompt),), candidates, Gold(tuple(edges)), context=context)


def make_row(
    name: str = "r",
    rewards: Sequence[float] | None = None,
    *,
    size: int | None = None,
    edges: Sequence[Edge] = FIRST_BETTER,
    ratings: tuple[tuple[float, ...], ...] = (),
    dimensions: tuple[str, ...] = (),
    labels: Mapping[str, int] | None = None,
    groups: Mapping[str, str] | None = None,
    cluster: str = "",
    weight: float = 1.0,
    **judgment: Any,
) -> Judged:
    """A judged row; by default a pair whose candidate 0 people prefer. `judgment` holds the judgment's other fields."""
    gold = Gold(tuple(edges), ratings, dimensions, labels or {})
    answer = Judgment(name, None if rewards is None else tuple(rewards), **judgment)
    k = size if size is not None else 2 if rewards is None else len(rewards)
    return Judged(name, k, gold, answer, groups or {}, cluster or name, weight)


def worth(row: Judged, rule: str, **fields: Any) -> float | None:
    """A row's credit by a rule."""
    return credit(row, MetricSpec("m", rule, **fields)).value


def margins(right: int, n: int, lost: int = 0) -> list[float]:
    """Margins of n pairs: `right` of them are right, and then the first `lost` of those wrong."""
    return [-1.0] * lost + [1.0] * (right - lost) + [-1.0] * (n - right)


@cache
def loaded(task_id: str, source: Path | str) -> Loaded:
    """A task's rows, read once."""
    return load(get(task_id), source)


def judged(task_id: str, source: Path | str, answer: Callable[[Example], Judgment]) -> list[Judged]:
    """A task's rows with what `answer` says of each."""
    return [Judged.of(each, answer(each)) for each in loaded(task_id, source).examples]


def values_of(task_id: str, rows: Sequence[Judged], **options: Any) -> Values:
    """The rows measured by the task's own metrics."""
    values = measure(rows, get(task_id).metrics, **{"resamples": 50, **options})
    return {(value.metric, value.group): value for value in values}


def open_as(kind: type[Model], name: str | Path, **options: Any) -> Model:
    """A model opened with options, which must be of a kind."""
    model = open_model(str(name), OpenOptions(**options))
    assert isinstance(model, kind)
    return model


def encodes_alone(model: Any, requests: Sequence[Request]) -> bool:
    """Whether the model's encoder, sent to another process and with nothing but conversations, makes the rows that the
    model makes."""
    assert isinstance(model, EncodingScorer)
    example = make_example("r", "Why?", "So.", "No.", reference="Because.")
    sent = pickle.loads(pickle.dumps(model.encoder))
    rows = model.encode([replace(one, example=example, shown=(0,)) for one in requests])
    assert any(not row.error for row in rows)
    found: list[Encoded] = sent.encode(requests)
    return found == rows


def column_of(model: Any, batch: Any, name: str) -> list[float]:
    """One figure for each row of a batch, as float32 [B, 1]."""
    array = model.forward(batch)[name]
    assert array.shape == (len(batch.rows), 1)
    assert array.dtype == np.float32
    return [float(value) for value in array[:, 0]]


def make_checkpoint(
    architecture: str | None, *heads: tuple[str, tuple[int, ...]], files: Iterable[str] = (), **config: Any
) -> Checkpoint:
    """A checkpoint by its config and the shapes of its tensors; nothing is on disk."""
    tensors = {name: Tensor("f", shape, "F32") for name, shape in (("model.embed_tokens.weight", (10, 8)), *heads)}
    named = {} if architecture is None else {"architectures": [architecture]}
    return Checkpoint(Path("ckpt"), named | config, tensors, safe=True, files=frozenset(files))


def read_lines(path: Path) -> list[Any]:
    """JSON Lines; only a newline ends a line."""
    return [json.loads(line) for line in path.read_text("utf-8").split("\n") if line.strip()]


def write_lines(path: Path, rows: Iterable[Any]) -> Path:
    """Write JSON Lines, in a folder that is made too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def printed(renderable: object, width: int = 80, *, colour: bool = False) -> str:
    """What a terminal of so many columns shows."""
    stream = io.StringIO()
    system: Literal["standard"] | None = "standard" if colour else None
    Console(file=stream, width=width, force_terminal=colour, color_system=system).print(renderable)
    return stream.getvalue()


def exit_code(*arguments: str) -> int:
    """The exit code of a command of `rmbench`."""
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert isinstance(stopped.value.code, int)
    return stopped.value.code


ACCURACY = MetricSpec("accuracy", "pair", chance=0.5)
BLANK: dict[str, dict[str, Any]] = {
    "": {},
    "task": {
        "family": "text",
        "modality": "text",
        "shape": "pair",
        "paper": None,
        "license": "MIT",
        "verified": True,
        "official": True,
        "render": "chat",
        "digest": "t" * 64,
    },
    "model": {
        "revision": "0123abcd",
        "family": "scalar",
        "why": "one label",
        "answer_kind": "reward",
        "modalities": ["text"],
        "parameters": 10_000_000,
        "license": "MIT",
        "trained_on": [],
        "flags": [],
        "settings": {"dtype": "float32"},
        "fingerprint": "f" * 64,
    },
    "data": {
        "source": "folder",
        "hub": None,
        "revision": None,
        "digest": "d" * 64,
        "files": [],
        "missing": [],
        "excluded": [],
        "limit": None,
    },
    "run": {
        "command": "rmbench run",
        "seed": 0,
        "started": "2025-01-01T00:00:00+00:00",
        "finished": "2025-01-01T00:00:01+00:00",
        "seconds": 1.0,
        "resumed": False,
        "engine": {},
        "versions": {"torch": "2.13.0"},
        "platform": "Linux",
    },
}
"""Part of a record -> the fields that tests seldom care about; "" is the record itself."""


def make_record(fields: Mapping[str, Mapping[str, Any]]) -> Record:
    """A record by the fields of its parts, the others as in `BLANK`."""
    parts = {part: {**blank, **fields.get(part, {})} for part, blank in BLANK.items()}
    return Record.model_validate({**parts.pop(""), **parts})


def put_record(
    root: Path,
    margins: Sequence[float],
    *,
    name: str = "org/model",
    task: str = "pairs",
    version: int = 1,
    clusters: Sequence[str] | None = None,
    failed: Sequence[int] = (),
    spec: MetricSpec = ACCURACY,
    total: int | None = None,
    flags: Sequence[str] = (),
    ratings: Sequence[float] | None = None,
    groups: Sequence[Mapping[str, str]] | None = None,
    changed: Mapping[str, Mapping[str, Any]] | None = None,
) -> Path:
    """A record of a task of pairs, the first of which people prefer; a row is right where its margin is above 0.

    `ratings` makes each row one rated item instead, with the margin as the model's score; `groups` are the rows'.
    `changed` sets fields of the record's parts: {"data": {"digest": "..."}}; the part "" is the record itself.
    """
    n = len(margins)
    rows = []
    for k, margin in enumerate(margins):
        gold: dict[str, Any] = {}
        if ratings is not None:
            gold = {"edges": (), "ratings": ((ratings[k],),), "dimensions": ("overall",)}
        rewards = (margin, 0.0) if ratings is None else (margin,)
        more: dict[str, Any] = {"cluster": clusters[k] if clusters else "", "status": "ok"}
        if groups is not None:
            more["groups"] = groups[k]
        if k in failed:
            more |= {"status": "failed", "error": "NaN"}
        rows.append(make_row(f"r{k}", None if k in failed else rewards, size=len(rewards), **gold, **more))
    totals: dict[str | None, int] = {None: total or n}
    totals |= Counter(f"{name}={value}" for row in rows for name, value in row.groups.items())
    missing = (changed or {}).get("data", {}).get("missing", ())
    values = flag_partial(measure(rows, [spec], answer_kind="reward", totals=totals, seed=0), missing)
    judgments = [row.judgment for row in rows]
    flags = sorted({*flags, *(["failed_rows"] if failed else []), *(["partial"] if missing else [])})
    own: dict[str, dict[str, Any]] = {
        "task": {"id": task, "version": version, "title": f"The {task}", "n": total or n, "metrics": [asdict(spec)]},
        "model": {"name": name},
        "data": {"rows": n},
        "": {
            "counts": counts_of([row.gold for row in rows], judgments),
            "flags": flags,
            "results": [asdict(value) for value in values],
            "failed": [{"id": each.id, "why": each.error} for each in judgments if each.status == "failed"],
            "judgments": {"file": "judgments.parquet", "sha256": "", "rows": n},
        },
    }
    record = make_record({part: {**own.get(part, {}), **(changed or {}).get(part, {})} for part in BLANK})
    head = headline_spec(record)
    credits_ = {row.id: credit(row, head).value for row in rows} if is_linear(head) else None
    write(root, record, rows, credits_)
    return folder_of(root, record)


def write_published_figures(
    root: Path, name: str, task: str, values: Sequence[tuple[str, float]], *, source: str = "table-1"
) -> None:
    """A published record: a model's overall values by metric."""
    empty = {"group": None, "low": None, "high": None, "n": 0, "comparisons": 0, "coverage": 0.0, "chance": None}
    results = [{"metric": metric, "value": value, **empty, "flags": [], "interval": ""} for metric, value in values]
    own: dict[str, dict[str, Any]] = {
        "task": {"id": task, "version": 1, "title": f"The {task}", "n": 100, "metrics": [asdict(ACCURACY)]},
        "model": {"name": name, "revision": source, "family": "published"},
        "data": {"rows": 0},
        "run": {"source_of_scores": f"https://example.org/{source}"},
        "": {"kind": "published", "flags": ["published"], "results": results, "failed": [], "judgments": None}
        | {"counts": {"judged": 0, "failed": 0, "unparsed": 0, "truncated": 0, "ties": 0}},
    }
    write_published(root, make_record({part: own.get(part, {}) for part in BLANK}))


def write_sealed(path: Path, data: dict[str, Any]) -> None:
    """A record that was changed by someone who knows how its digests are made."""
    path.write_text(json.dumps({**data, "digests": digests_of_parts(data)}), "utf-8")
