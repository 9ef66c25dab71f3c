"""Addresses that strangers wrote: public hosts alone, by the address that was looked at, within bounds."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from rmbench.untrusted import addresses
from rmbench.untrusted.addresses import FetchError, fetch_bytes, is_public

PUBLIC = ("9.9.9.9", "2620:fe::fe")


@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
        ),
        *("224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "198.18.0.1"),
        *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fec0::1", "ff02::1", "2001:db8::1"),
        *("::ffff:127.0.0.1", "::ffff:9.9.9.9", "64:ff9b::7f00:1", "2002:7f00:1::", "2001::1", "localhost", ""),
    ],
)
def test_addresses_that_are_not_of_the_public_internet(address: str) -> None:
    assert not is_public(address)


def test_public_addresses() -> None:
    assert all(map(is_public, PUBLIC))


class Handler(BaseHTTPRequestHandler):
    """Answers by its path."""

    protocol_version = "HTTP/1.1"
    asked: ClassVar[list[str]] = []

    def log_message(self, *_: Any) -> None: ...

    def do_GET(self) -> None:
        self.asked.append(f"{self.headers['Host'].partition(':')[0]}{self.path}")
        name, _, target = self.path[1:].partition("?")
        if name == "redirect":
            self.send_response(302)
            self.send_header("Location", target)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if name in ("gone", "odd"):
            self.send_response(404 if name == "gone" else 200)
            self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        if name == "claims":
            self.send_header("Content-Length", str(10**9))
        elif name == "short":
            self.send_header("Content-Length", "10")
            self.close_connection = True
        elif name == "picture":
            self.send_header("Content-Length", "7")
        else:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        if name == "picture":
            self.wfile.write(b"picture")
        elif name == "short":
            self.wfile.write(b"five5")
        elif name == "endless":
            self._drip(b"x" * 65536, 0.0)
        elif name == "slow":
            self._drip(b"x", 0.05)

    def _drip(self, what: bytes, pause: float) -> None:
        try:
            for _ in range(400):
                self.wfile.write(what)
                time.sleep(pause)
        except OSError:
            return


@pytest.fixture
def server() -> Iterator[int]:
    Handler.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield running.server_address[1]
        running.shutdown()


def here(host: str, port: int) -> list[str]:
    """A resolver under which every host but one is this machine."""
    return ["10.0.0.1"] if host == "inside.example" else ["127.0.0.1"]


def anything(address: str) -> bool:
    """What stands for public in these tests: this machine, where the server is."""
    return address == "127.0.0.1"


def fetched(address: str, most: int = 1000, seconds: float = 5.0) -> bytes:
    return fetch_bytes(address, most=most, seconds=seconds, resolve=here, permitted=anything)


def test_what_an_address_holds(server: int) -> None:
    assert fetched(f"http://a.example:{server}/picture?size=1") == b"picture"
    assert fetched(f"http://a.example:{server}/redirect?/picture") == b"picture"
    assert fetched(f"http://a.example:{server}/redirect?http://b.example:{server}/picture") == b"picture"
    assert Handler.asked[-1] == "b.example/picture"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("redirect?http://inside.example/x", "inside.example is 10.0.0.1, which is not public"),
        ("redirect?file:///etc/passwd", "only http and https"),
        ("redirect?ftp://a.example/x", "only http and https"),
        ("redirect?", "a redirect to nowhere"),
        ("redirect?/redirect?/redirect?/redirect?/redirect?/redirect?/redirect?/picture", "more than 5 redirects"),
        ("claims", "it has 1,000,000,000 bytes, more than 1,000"),
        ("endless", "it has more than 1,000 bytes"),
        ("short", "the answer ends early"),
        ("gone", "the server answers 404"),
        ("odd", "the answer is compressed"),
    ],
)
def test_what_a_server_may_not(server: int, path: str, said: str) -> None:
    with pytest.raises(FetchError, match=said):
        fetched(f"http://a.example:{server}/{path}")


def test_a_slow_answer_ends_in_time(server: int) -> None:
    begun = time.monotonic()
    with pytest.raises(FetchError, match="it took too long"):
        fetched(f"http://a.example:{server}/slow", seconds=0.4)
    assert time.monotonic() - begun < 3


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_server_that_never_answers_ends_in_time(scheme: str) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(FetchError, match="it took too long"):
            fetched(f"{scheme}://a.example:{silent.getsockname()[1]}/x", seconds=0.3)


def test_a_slow_handshake_ends_in_time() -> None:
    """The head of a TLS record of 16 KiB, and then a byte now and then."""

    def drip(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection:
            try:
                connection.sendall(b"\x16\x03\x03\x40\x00")
                for _ in range(100):
                    connection.sendall(b"\x00")
                    time.sleep(0.05)
            except OSError:
                return

    begun = time.monotonic()
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        threading.Thread(target=drip, args=(listening,), daemon=True).start()
        with pytest.raises(FetchError, match="it took too long"):
            fetched(f"https://a.example:{listening.getsockname()[1]}/x", seconds=0.4)
    assert time.monotonic() - begun < 3


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("need openssl")
    key, own = str(tmp_path / "key.pem"), str(tmp_path / "own.pem")
    made = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", own, "-days", "1"]
    subprocess.run([*made, "-subj", "/CN=a.example"], check=True, capture_output=True)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(own, key)
        running.socket = context.wrap_socket(running.socket, server_side=True)
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        with pytest.raises(FetchError, match="SSLCertVerificationError"):
            fetched(f"https://a.example:{running.server_address[1]}/picture")
        running.shutdown()


@pytest.mark.parametrize(
    "address",
    [
        *(
            "file:///etc/passwd",
            "ftp://a.example/x",
            "data:image/png;base64,AAAA",
            "gopher://a.example",
            "http://",
            "a.png",
        ),
        *(
            "http://user:pass@a.example/x",
            "http://a.example/a b",
            "http://a.example/\r\nX: y",
            "http://a.example:0/",
            "//x",
        ),
        *("http://a.example:99999/", "http://[::1/x", "http://ä.example/"),
    ],
)
def test_addresses_that_are_never_asked(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("resolved"))
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: pytest.fail("connected"))
    with pytest.raises(FetchError):
        fetch_bytes(address, most=10)


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1/x",
        "http://[::1]/x",
        "http://169.254.169.254/latest/meta-data",
        "http://localhost/x",
        "http://0/",
    ],
)
def test_this_machine_and_its_network_are_never_connected_to(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the system's own resolver."""
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: pytest.fail("connected"))
    with pytest.raises(FetchError, match=r"not public|no host"):
        fetch_bytes(address, most=10)


def answers(*found: str) -> Callable[..., list[Any]]:
    return lambda host, port, **_: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in found]


def test_every_address_of_a_host_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", answers("9.9.9.9", "127.0.0.1"))
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: pytest.fail("connected"))
    with pytest.raises(FetchError, match=r"two\.example is 127\.0\.0\.1, which is not public"):
        fetch_bytes("http://two.example/x", most=10)


def test_a_name_that_changes_leads_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS rebinding: public at the first question, this machine at the second, which is never asked."""
    asked, connected = list[str](), list[Any]()

    def resolver(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        return answers("9.9.9.9" if len(asked) == 1 else "127.0.0.1")(host, port)

    def connect(address: Any, *_: Any, **__: Any) -> Any:
        connected.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(FetchError, match="the connection failed"):
        fetch_bytes("http://changing.example:8080/x", most=10)
    assert asked == ["changing.example"]
    assert connected == [("9.9.9.9", 8080)]


def test_proxies_of_the_environment_are_not_used(server: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert fetched(f"http://a.example:{server}/picture") == b"picture"


def test_a_redirect_may_not_leave_https(monkeypatch: pytest.MonkeyPatch) -> None:
    from contextlib import contextmanager
    from types import SimpleNamespace

    @contextmanager
    def answer(*_: Any) -> Iterator[Any]:
        yield SimpleNamespace(status=301, getheader=lambda name: "http://a.example/x")

    monkeypatch.setattr(addresses, "_answer", answer)
    with pytest.raises(FetchError, match="from https to another scheme"):
        fetched("https://a.example/x")
