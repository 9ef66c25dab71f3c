"""Sites that the tests of pages build, and what a parser sees of a page."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

from rmbench.boards import build
from rmbench.metric_spec import MetricSpec
from tests._make import margins

Put = Callable[..., Path]
PAYLOADS: list[str] = json.loads((Path(__file__).parent / "payloads.json").read_text("utf-8"))
VOID = {"meta", "link", "input", "br"}


class Seen(HTMLParser):
    """Elements with their attributes, texts, and whether every tag was closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID and not (self.get_starttag_text() or "").endswith("/>"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not (self.get_starttag_text() or "").endswith("/>") or self.open[-1:] == [tag]:
            assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def shape(self) -> Counter[tuple[str, tuple[str, ...]]]:
        """How often each element occurs with which attributes; values left out."""
        return Counter((tag, tuple(sorted(attrs))) for tag, attrs in self.elements)

    @property
    def text(self) -> str:
        """All texts, white space as single spaces."""
        return " ".join(" ".join(self.texts).split())


def declared(folder: Path, *tasks: str, **keys: str) -> Path:
    """A board's TOML in a folder; `keys` are further keys and their TOML."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ['id = "mine"', f"tasks = {json.dumps(list(tasks))}", 'allow = ["baseline", "fake", "demo"]']
    lines += [f"{key} = {value}" for key, value in {"title": '"Mine"', **keys}.items()]
    path = folder / "mine.toml"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def told_site(folder: Path, put: Put, told: Callable[[int], str], count: int = 50) -> Path:
    """A site whose every text of others is `told(k)`: names, facts, commands, sources, files, the board's own words."""
    for k in range(count):
        text = told(k)
        check = {"passed": False, "failed": [text], "date": "2025-01-02T00:00:00+00:00"}
        changed = {
            "model": {
                "license": text,
                "family": text,
                "why": text,
                "parameters": 10**7 * (k + 1),
                "trained_on": [text],
                "settings": {"dtype": text},
                "check": check if k % 2 else None,
                "revision": f"{k:08x}",
            },
            "task": {"title": told(0), "paper": told(0), "license": told(0), "family": told(0), "shape": told(0)},
            "data": {"hub": text, "revision": text, "files": [{"name": text, "sha256": text, "rows": 1}]},
            "run": {"command": text, "source_of_scores": text, "platform": text, "versions": {text: text}},
        }
        flags = [text, "released"] if k % 3 else [text]
        groups = [{"kind": told(row % 6)} for row in range(60)]
        by_kind = MetricSpec("accuracy", "pair", chance=0.5, report=(("kind",),))
        told_of = {"flags": flags, "changed": changed, "groups": groups, "spec": by_kind}
        put(folder / "results", margins(5 + k, 60), name=text, task="a", **told_of)
    words = {"title": json.dumps(told(0)), "description": json.dumps(told(1))}
    board = declared(folder, "a", **words, slices='{ a = ["kind"] }')
    return build(board, folder / "results", folder / "site").parents[1]


def small_site(folder: Path, put: Put, **keys: str) -> Path:
    """A site of five models on two tasks, one of which not all have: `zeta` leads, one name is a baseline's."""
    values = (("org/zeta-8B", 90, 55), ("org/alpha-1B", 70, 40), ("org/mid-2B", 80, 45), ("baseline:length", 52, 30))
    for name, a, b in values:
        size = {"8B": 8, "1B": 1, "2B": 2}.get(name[-2:], 0) * 10**9 or 10_000
        flags = ["baseline"] if name.startswith("baseline") else ["released"] if "mid" in name else []
        licence = {"org/zeta-8B": "apache-2.0"}.get(name, "MIT")
        changed = {"model": {"parameters": size, "license": licence}, "run": {"command": f"rmbench run --model {name}"}}
        put(folder / "results", margins(a, 100), name=name, task="a", flags=flags, changed=changed)
        put(folder / "results", margins(b, 60), name=name, task="b", flags=flags, changed=changed)
    put(folder / "results", margins(95, 100), name="org/part", task="a")
    board = declared(folder, "a", "b", "none-has-it", **keys) if keys else declared(folder, "a", "b")
    return build(board, folder / "results", folder / "site").parents[1]
