"""How long a large site takes to build, how large its main page is, and how fast it sorts and filters in Chromium.

python benchmarks/board_site.py [--models 500] [--tasks 50] [--rows 20] [--keep FOLDER]

Records are synthetic: every model on every task, with a table of rows each, so that the audit of the numbers is part of
the time. Needs the extra `board`, and for the browser's times playwright and a Chromium.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rmbench.boards import build
from tests._make import put_record

MEASURE = """async ([action, times]) => {
  const act = {
    sort: (k) => document.querySelectorAll('#board thead [role="button"]')[2 + (k % 2)].click(),
    search: (k) => {
      const box = document.getElementById("search");
      box.value = k % 2 ? "model-1" : "";
      box.dispatchEvent(new Event("input"));
    },
    filter: (k) => {
      const box = document.querySelector('[data-filter="license"]');
      box.selectedIndex = k % 3;
      box.dispatchEvent(new Event("input"));
    },
  }[action];
  const taken = [];
  for (let k = 0; k < times; k++) {
    const from = performance.now();
    const drawn = new Promise((done) => new DataTable.Api("#board").one("draw", done));
    act(k);
    await drawn;
    document.body.getBoundingClientRect();
    taken.push(performance.now() - from);
    await new Promise((next) => setTimeout(next, 20));
  }
  return taken.sort((a, b) => a - b);
}"""


def make(root: Path, models: int, tasks: int, rows: int) -> None:
    """Records of `models` models of different skill on `tasks` tasks of `rows` rows."""
    draw = random.Random(0)
    for m in range(models):
        skill = 0.5 + 0.45 * m / models
        facts = {"license": ("MIT", "apache-2.0", "llama3.1")[m % 3], "parameters": 10**9 * (1 + m % 70)}
        for t in range(tasks):
            margins = [1.0 if draw.random() < skill else -1.0 for _ in range(rows)]
            changed = {"model": facts, "run": {"command": f"rmbench run --model org/model-{m}"}}
            put_record(root, margins, name=f"org/model-{m}", task=f"task-{t:02}", changed=changed)


def browse(page: Path) -> dict[str, float]:
    """Milliseconds of sorting, searching and filtering to finished layout, the median of 12, and of opening."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        tab = browser.new_page(viewport={"width": 1280, "height": 800})
        began = time.perf_counter()
        tab.goto(page.resolve().as_uri())
        found = {"open": 1000 * (time.perf_counter() - began)}
        for action in ("sort", "search", "filter"):
            found[action] = tab.evaluate(MEASURE, [action, 12])[6]
            found[f"{action}_least"] = tab.evaluate(MEASURE, [action, 12])[0]
        browser.close()
    return found


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=500)
    parser.add_argument("--tasks", type=int, default=50)
    parser.add_argument("--rows", type=int, default=20)
    parser.add_argument("--keep", type=Path, help="folder for the records and the site, used again by the next run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        results, board = folder / "results", folder / "large.toml"
        if not results.is_dir():
            make(results, options.models, options.tasks, options.rows)
        board.write_text('id = "large"\ntitle = "Large"\ntasks = ["task-*"]\n', "utf-8")
        shutil.rmtree(folder / "site", ignore_errors=True)
        began = time.perf_counter()
        page = build(board, results, folder / "site")
        figures = {"build_seconds": time.perf_counter() - began, "page_bytes": page.stat().st_size}
        figures["files"] = sum(1 for _ in (folder / "site").rglob("*"))
        figures |= {f"{name}_ms": value for name, value in browse(page).items()}
        print(json.dumps({name: round(value, 1) for name, value in figures.items()}, indent=1))


if __name__ == "__main__":
    main()
