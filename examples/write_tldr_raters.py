"""Write PAL's task of raters with opposite tastes from the comparisons of summaries of Reddit posts.

`python examples/write_tldr_raters.py FOLDER OUT.jsonl` reads train.jsonl and validation.jsonl below FOLDER, the rows of
the set "comparisons" of openai/summarize_from_feedback as the hub has them. The rule is that of PAL (arXiv 2406.08469,
summary_dataset_utils.py of RamyaLab/pluralistic-alignment):

- Rows count whose summaries are both by supervised policies (`sup` and no `ppo` in the name), with post and rater.
- The ten raters with the most training rows are seen, equal ones in the order of their first rows; any other one with
  at least a hundred validation rows is unseen. Only validation rows are written.
- The labels are not the people's own: seen raters 4, 5 and 6 of the ten are a minority that prefers the shorter
  summary, the other seven prefer the longer, in characters; the second one of two as long. Of unseen raters upstream
  lists 22 by id as the majority; this script takes the ids from --majority FILE, one a line.

The rows are read with `rmbench run --data OUT.jsonl --columns rater=rater,group=seen|taste`.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["pal_rows", "taste_of"]

_SEEN = 10
_MINORITY = (3, 4, 5)
_UNSEEN_ROWS = 100
Row = Mapping[str, Any]


def _counts(row: Row) -> bool:
    policies = [each["policy"] for each in row["summaries"]]
    return all("sup" in name and "ppo" not in name for name in policies)


def taste_of(train: Iterable[Row], validation: Sequence[Row], majority: Collection[str]) -> dict[str, tuple[str, str]]:
    """Rater -> ("seen" or "unseen", "longer" or "shorter")."""
    ranked = [rater for rater, _ in Counter(row["worker"] for row in train if _counts(row)).most_common(_SEEN)]
    tastes = {rater: ("seen", "shorter" if place in _MINORITY else "longer") for place, rater in enumerate(ranked)}
    others = Counter(row["worker"] for row in validation if _counts(row) and row["worker"] not in tastes)
    for rater, rows in others.items():
        if rows >= _UNSEEN_ROWS:
            tastes[rater] = ("unseen", "longer" if rater in majority else "shorter")
    return tastes


def pal_rows(
    train: Iterable[Row],
    validation: Sequence[Row],
    majority: Collection[str] = (),
    left_out: Counter[str] | None = None,
) -> Iterator[dict[str, str]]:
    """The validation rows of the raters, labelled by their tastes; `left_out` counts the others by reason."""
    tastes = taste_of(train, validation, majority)
    why = Counter[str]() if left_out is None else left_out
    for number, row in enumerate(validation):
        if not _counts(row):
            why["not by two supervised policies"] += 1
        elif row["worker"] not in tastes:
            why[f"of a rater outside the ten with under {_UNSEEN_ROWS} rows"] += 1
        elif row["info"].get("post") is None:
            why["no post"] += 1
        else:
            seen, taste = tastes[row["worker"]]
            texts = [each["text"] for each in row["summaries"]]
            first, second = len(texts[0]), len(texts[1])
            wins = first > second if taste == "longer" else first < second
            yield {
                "id": f"validation/{number}",
                "prompt": row["info"]["post"],
                "response_a": texts[0],
                "response_b": texts[1],
                "winner": "a" if wins else "b",
                "rater": row["worker"],
                "seen": seen,
                "taste": taste,
            }


def _read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").split("\n") if line.strip()]


def _main() -> None:
    parser = argparse.ArgumentParser(description="Write PAL's raters with opposite tastes.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--majority", type=Path, help="ids of unseen raters who prefer the longer summary, one a line")
    given = parser.parse_args()
    majority = given.majority.read_text("utf-8").split() if given.majority else []
    left_out = Counter[str]()
    rows = pal_rows(_read(given.folder / "train.jsonl"), _read(given.folder / "validation.jsonl"), majority, left_out)
    written = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    given.out.write_text("".join(written), "utf-8")
    print(f"{given.out}: {len(written):,} rows; left out: {dict(left_out)}")


if __name__ == "__main__":
    _main()
