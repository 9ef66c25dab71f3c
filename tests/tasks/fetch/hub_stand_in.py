"""A stand-in for the hub's file protocol: the parts of its HTTP interface that huggingface_hub and datasets use."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

_GATED = {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted"}


def git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass
class HubStandIn:
    """Data sets by `org/name`, and how the server misbehaves."""

    sets: dict[str, dict[str, bytes]] = field(default_factory=dict)
    commits: dict[str, str] = field(default_factory=dict)
    apart: set[str] = field(default_factory=set)
    """Paths whose content the hub keeps apart (LFS), so that it tells their sha256."""
    gated: set[str] = field(default_factory=set)
    stall_after: dict[str, int] = field(default_factory=dict)
    """Path -> bytes after which the first request for it gets nothing more."""
    sent_instead: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)
    """Method, path and Range of each request."""
    over: threading.Event = field(default_factory=threading.Event)

    def put(self, name: str, files: Mapping[str, bytes], commit: str = "c" * 40) -> None:
        self.sets[name], self.commits[name] = dict(files), commit

    @contextmanager
    def serving(self) -> Iterator[str]:
        """The address of the server."""
        hub = self

        class Handler(_Handler):
            stand_in = hub

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            self.over.set()
            server.shutdown()
            server.server_close()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stand_in: HubStandIn

    def log_message(self, *_: Any) -> None:
        return None

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.stand_in.asked.append((self.command, path, self.headers.get("Range")))
        if path.startswith("/api/datasets/"):
            self._api(path.removeprefix("/api/datasets/"))
        elif "/resolve/" in path:
            name, _, rest = path.removeprefix("/datasets/").partition("/resolve/")
            self._resolve(name, rest.partition("/")[2])
        else:
            self._reply(404)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        name, _, rest = unquote(self.path).removeprefix("/api/datasets/").partition("/paths-info/")
        files = self.stand_in.sets.get(name)
        if not rest or files is None:
            return self._reply(404)
        paths = json.loads(body)["paths"] if body.startswith(b"{") else parse_qs(body.decode())["paths"]
        return self._json([self._entry(path, files[path]) for path in paths if path in files])

    def _api(self, rest: str) -> None:
        name = "/".join(rest.split("/")[:2])
        files, what = self.stand_in.sets.get(name), rest[len(name) + 1 :]
        if files is None:
            return self._reply(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        commit = self.stand_in.commits[name]
        revision = what.partition("/")[2].partition("/")[0]
        if revision not in ("", "main", "HEAD", commit):
            return self._reply(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        if what.startswith("tree/"):
            return self._tree(files, what.removeprefix(f"tree/{revision}").strip("/"))
        if what.startswith("commits/"):
            made = {"title": "", "message": "", "date": "2024-01-01T00:00:00.000Z", "authors": []}
            return self._json([{"id": commit, **made}])
        if what == "auth-check":
            return self._reply(403, b"", _GATED) if name in self.stand_in.gated else self._json({})
        gated = "auto" if name in self.stand_in.gated else False
        known: dict[str, Any] = {
            "private": False,
            "gated": gated,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": [],
        }
        return self._json({"id": name, "sha": commit, "siblings": [{"rfilename": path} for path in files], **known})

    def _tree(self, files: Mapping[str, bytes], below: str) -> None:
        start = f"{below}/" if below else ""
        every = "recursive=true" in self.path.lower()
        entries = {}
        for path, content in files.items():
            inner = path.removeprefix(start)
            if not path.startswith(start):
                continue
            if every or "/" not in inner:
                entries[path] = self._entry(path, content)
            else:
                folder = start + inner.partition("/")[0]
                entries[folder] = {"type": "directory", "path": folder, "oid": "0" * 40, "size": 0}
        if below and not entries:
            return self._reply(404, b"{}", {"X-Error-Code": "EntryNotFound"})
        return self._json(list(entries.values()))

    def _entry(self, path: str, content: bytes) -> dict[str, Any]:
        entry: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": git_hash(content)}
        if path in self.stand_in.apart:
            sha256 = hashlib.sha256(content).hexdigest()
            entry |= {"oid": "1" * 40, "lfs": {"oid": sha256, "size": len(content), "pointerSize": 130}}
        return entry

    def _resolve(self, name: str, path: str) -> None:
        files = self.stand_in.sets.get(name, {})
        if name in self.stand_in.gated:
            return self._reply(403, b"", _GATED)
        if path not in files:
            return self._reply(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": "0" * 40})
        content = files[path]
        etag = hashlib.sha256(content).hexdigest() if path in self.stand_in.apart else git_hash(content)
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": self.stand_in.commits[name], "Accept-Ranges": "bytes"}
        content = self.stand_in.sent_instead.get(path, content)
        asked = self.headers.get("Range")
        if asked and self.command == "GET":
            start = int(asked.removeprefix("bytes=").split("-")[0])
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            return self._reply(206, content[start:], headers)
        most = self.stand_in.stall_after.pop(path, None) if self.command == "GET" else None
        return self._reply(200, content, headers, most)

    def _json(self, data: Any) -> None:
        self._reply(200, json.dumps(data).encode(), {"Content-Type": "application/json"})

    def _reply(
        self, code: int, body: bytes = b"", headers: Mapping[str, str] | None = None, most: int | None = None
    ) -> None:
        self.send_response(code)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(body[:most])
        if most is not None:
            self.wfile.flush()
            self.stand_in.over.wait(60)
            self.close_connection = True
