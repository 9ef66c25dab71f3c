"""Records of any rows, for reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import pytest

from rmbench.metric_spec import MetricSpec
from rmbench.metrics.judging.position_bias import orders
from rmbench.metrics.measure import measure
from rmbench.records.derived import counts_of
from rmbench.records.store import folder_of, write
from rmbench.types import Judged
from tests._make import ACCURACY, make_record


@pytest.fixture
def put_rows(tmp_path: Path) -> Callable[..., Path]:
    """Writes one record of judged rows and returns its folder."""

    def put(
        rows: Sequence[Judged],
        spec: MetricSpec = ACCURACY,
        answer_kind: Literal["reward", "verdict"] = "reward",
        changed: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Path:
        judgments = [row.judgment for row in rows]
        values = measure(rows, [spec], answer_kind=answer_kind, totals={None: len(rows)}, seed=0)
        of_orders = orders(judgments)
        parts: dict[str, dict[str, Any]] = {
            "task": {"id": "pairs", "version": 1, "title": "Pairs", "n": len(rows), "metrics": [asdict(spec)]},
            "model": {"name": "org/model", "answer_kind": answer_kind},
            "data": {"rows": len(rows)},
            "": {
                "counts": counts_of([row.gold for row in rows], judgments),
                "flags": [],
                "results": [asdict(value) for value in values],
                "failed": [{"id": one.id, "why": one.error} for one in judgments if one.status == "failed"],
                "judgments": {"file": "judgments.parquet", "sha256": "", "rows": len(rows)},
                "orders": None if of_orders is None else asdict(of_orders),
            },
        }
        for part, fields in (changed or {}).items():
            parts[part] = {**parts.get(part, {}), **fields}
        record = make_record(parts)
        write(tmp_path, record, rows, None)
        return folder_of(tmp_path, record)

    return put
