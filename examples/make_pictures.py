"""Make the README's pictures: the main job in a terminal and the code board in a browser, each light and dark.

python examples/make_pictures.py [--out docs/assets]

The terminal is rich's own export; the board is a screenshot of the site that `rmbench board build` makes of `results/`.
The social preview is both side by side under a title: the documentation names it in its pages' heads, and the
repository's settings take it. `pictures.json` beside them says what they were made from, and a test says when that has
changed since.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import json
import re
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import TerminalTheme

import rmbench
from rmbench.boards import build

__all__ = ["BOARD", "COMMAND", "board_digest", "console_of_80", "main", "terminal_text", "text_digest"]

ROOT = Path(__file__).resolve().parents[1]
BOARD = "code-rewardbench"
TASKS = ("rm-bench", "reward-bench", "reward-bench-2", "judgebench", "rmb-bon", "llmbar", "rag-rewardbench")
COMMAND = f"rmbench run --model tiny-bt --source sample --tasks {','.join(TASKS[:4])} --tasks {','.join(TASKS[4:])}"
LIGHT = TerminalTheme((255, 255, 255), (31, 35, 40), [(31, 35, 40)] * 8, [(31, 35, 40)] * 8)
DARK = TerminalTheme((22, 27, 34), (230, 237, 243), [(230, 237, 243)] * 8, [(230, 237, 243)] * 8)
WIDTH, HEIGHT = 1280, 800
SOCIAL_WIDTH, SOCIAL_HEIGHT = 1280, 640
SOCIAL = """<!doctype html><meta charset="utf-8"><style>
body {{ margin: 0; background: #fff; color: #1f2328; font-family: system-ui, sans-serif; }}
h1 {{ margin: 44px 56px 8px; font-size: 68px; line-height: 1; letter-spacing: -.02em; }}
p {{ margin: 0 56px 32px; font-size: 29px; line-height: 1.35; color: #4b535d; max-width: 1160px; }}
img {{ position: absolute; top: 250px; border: 1px solid #d0d7de; border-radius: 10px;
      box-shadow: 0 10px 36px rgb(31 35 40 / 20%); }}
</style><h1>rmbench</h1>
<p>Any reward model on any preference benchmark, exactly by the benchmark’s own definition, computed once, with honest
error bars.</p>
<img style="left: 56px; width: 800px" src="{board}"><img style="left: 580px; top: 330px; width: 644px" src="{terminal}">
"""


def terminal_text(console: Console) -> str:
    """What the command prints of its results, on a console that keeps it."""
    with tempfile.TemporaryDirectory() as out:
        results = rmbench.run("tiny-bt", list(TASKS), source="sample", out=Path(out) / "out", progress=False)
        console.print(results, crop=False)
    text = console.export_text(clear=False, styles=False)
    return "\n".join(line.rstrip() for line in text.splitlines() if not line.startswith("records:"))


def board_digest() -> str:
    """sha256 over the records of the board's task, its declaration, and the files of ours that a page is made of."""
    files = [
        *(ROOT / "results").glob(f"*/{BOARD}@*/record.json"),
        ROOT / "leaderboards" / f"{BOARD}.toml",
        *(ROOT / "rmbench" / "html" / "assets").glob("*.[cj]s*"),
        *(ROOT / "rmbench" / "boards" / "site").glob("board.*"),
    ]
    return _digest(path.read_bytes() for path in sorted(files))


def text_digest(text: str) -> str:
    """sha256 over the lines from the results' first one on."""
    return _digest([text[text.index("tiny-bt on sample") :].rstrip().encode()])


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()


def console_of_80() -> Console:
    """A console that keeps what is printed on it."""
    return Console(record=True, width=80, file=io.StringIO(), highlight=False)


def _terminals(out: Path) -> str:
    """Both pictures of the terminal; the text they show. Fonts are the reader's: a picture asks nobody for one."""
    console = console_of_80()
    console.print("$ " + COMMAND.replace(" --tasks", " \\\n    --tasks"))
    text = terminal_text(console)
    form = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    form = form.replace("Fira Code, monospace", "ui-monospace, SFMono-Regular, Menlo, Consolas, monospace")
    for name, theme in (("light", LIGHT), ("dark", DARK)):
        drawn = console.export_svg(title="rmbench", theme=theme, clear=False, code_format=form, unique_id="rmbench")
        lines = [line.rstrip() for line in drawn.splitlines()]
        (out / f"terminal-{name}.svg").write_text("\n".join(lines) + "\n", "utf-8")
    return text


def _boards(out: Path) -> None:
    """Both pictures of the board, and the social preview."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as site, sync_playwright() as browsers:
        build(BOARD, ROOT / "results", site)
        browser = browsers.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme=scheme)
            page.goto((Path(site) / BOARD / "index.html").as_uri())
            page.screenshot(path=out / f"board-{scheme}.png")
        page = browser.new_page(viewport={"width": SOCIAL_WIDTH, "height": SOCIAL_HEIGHT})
        shown = {"board": _inline(out / "board-light.png"), "terminal": _inline(out / "terminal-dark.svg")}
        page.set_content(SOCIAL.format_map(shown))
        page.screenshot(path=out / "social.png")
        browser.close()


def _inline(picture: Path) -> str:
    kind = {".png": "image/png", ".svg": "image/svg+xml"}[picture.suffix]
    return f"data:{kind};base64,{base64.b64encode(picture.read_bytes()).decode()}"


def main() -> None:
    """Make all five, and say what they were made from."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "assets")
    out = parser.parse_args().out
    made = {"terminal": text_digest(_terminals(out)), "board": board_digest()}
    _boards(out)
    (out / "pictures.json").write_text(json.dumps(made, indent=1) + "\n", "utf-8")
    print(f"5 pictures and pictures.json in {out}")


if __name__ == "__main__":
    main()
