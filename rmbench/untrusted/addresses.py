"""Bytes from an address on the web that a stranger wrote: a public host alone, within bounds of bytes and time.

A name is resolved once for each request; every address that it has must be public, and the connection goes to one of
those that were looked at, so that a name which answers otherwise a moment later leads nowhere else. Redirects are
followed by the same rules, and no proxy of the environment is used.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

__all__ = ["FetchError", "fetch_bytes", "is_public"]

_PORTS = {"http": 80, "https": 443}
_REDIRECTS = (301, 302, 303, 307, 308)
_HOPS = 5
_CHUNK = 2**16
_EMBEDDED = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")))
"""IPv6 networks whose addresses stand for IPv4 addresses of any kind: NAT64, 6to4, Teredo."""


class FetchError(Exception):
    """Bytes that are not fetched or did not come; the message is one short line without the address."""


def is_public(address: str) -> bool:
    """Whether a numeric address is one of the public internet: not of this machine, link-local, private, reserved or
    multicast, nor an IPv6 address that stands for an IPv4 address.

    >>> [is_public(each) for each in ("9.9.9.9", "127.0.0.1", "169.254.169.254", "::ffff:10.0.0.1")]
    [True, False, False, False]
    """
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None or any(found in network for network in _EMBEDDED):
            return False
        if found.is_site_local:
            return False
    return found.is_global and not found.is_multicast


def fetch_bytes(
    address: str,
    *,
    most: int,
    seconds: float = 30.0,
    resolve: Callable[[str, int], list[str]] | None = None,
    permitted: Callable[[str], bool] = is_public,
) -> bytes:
    """What an http or https address holds.

    Args:
        address: with its scheme.
        most: bytes at most; an answer that is longer is refused, and not read to its end.
        seconds: for all of it, redirects among it.
        resolve: host and port -> numeric addresses; None: the system's resolver.
        permitted: which numeric addresses are connected to.

    Raises:
        FetchError: another scheme, a host that is not public, too long, too late, too many redirects, an error of the
            server or of the connection.
    """
    end = time.monotonic() + seconds
    for _ in range(_HOPS + 1):
        url = _checked(address)
        host, port = str(url.hostname), url.port or _PORTS[url.scheme]
        targets = (resolve or _resolved)(host, port)
        refused = [each for each in targets if not permitted(each)]
        if refused or not targets:
            raise FetchError(f"the host {host} is {refused[0]}, which is not public" if refused else f"no host {host}")
        with _answer(url, host, port, targets[0], end) as answer:
            if answer.status in _REDIRECTS:
                target = answer.getheader("Location")
                if not target:
                    raise FetchError("a redirect to nowhere")
                after = urljoin(address, target)
                if url.scheme == "https" and not after.lower().startswith("https:"):
                    raise FetchError("a redirect from https to another scheme")
                address = after
                continue
            return _body(answer, most, end)
    raise FetchError(f"more than {_HOPS} redirects")


def _checked(address: str) -> SplitResult:
    try:
        url = urlsplit(address)
        known = url.scheme in _PORTS and bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        known = False
    if not known:
        raise FetchError("only http and https addresses are fetched")
    if url.username is not None or url.password is not None:
        raise FetchError("an address with a user's name")
    if not address.isascii() or any(each <= " " for each in address):
        raise FetchError("an address with blanks or letters outside ASCII")
    return url


def _resolved(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise FetchError(f"no host {host} ({error})") from None
    return list(dict.fromkeys(str(each[4][0]) for each in found))


@contextmanager
def _answer(url: SplitResult, host: str, port: int, target: str, end: float) -> Iterator[http.client.HTTPResponse]:
    """The server's answer to a GET, from the numeric address `target` and no other. At the end of the time the
    connection is shut, whatever the server sends meanwhile, and however slowly."""
    connection = http.client.HTTPConnection(host, port)
    left = end - time.monotonic()
    if left <= 0:
        raise FetchError("it took too long")
    held: list[Any] = []
    timer = threading.Timer(left, _shut, [held])
    timer.daemon = True
    timer.start()
    try:
        plain = socket.create_connection((target, port), timeout=left)
        held.append(plain)
        if url.scheme == "https":
            context = ssl.create_default_context()
            held.append(context.wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False))
            held[-1].do_handshake()  # known to the timer by now
        connection.sock = held[-1]
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        headers = {"Accept": "image/*, video/*", "Accept-Encoding": "identity", "User-Agent": "rmbench"}
        connection.request("GET", path, headers=headers)
        yield connection.getresponse()
    except (OSError, http.client.HTTPException, ValueError) as error:
        if time.monotonic() >= end:
            raise FetchError("it took too long") from None
        raise FetchError(f"the connection failed ({type(error).__name__})") from None
    finally:
        timer.cancel()
        connection.close()
        for each in held:
            each.close()


def _shut(held: list[Any]) -> None:
    for each in held:
        with suppress(OSError):
            socket.socket.shutdown(each, socket.SHUT_RDWR)  # the connection itself, whatever is on top of it


def _body(answer: http.client.HTTPResponse, most: int, end: float) -> bytes:
    if answer.status != http.client.OK:
        raise FetchError(f"the server answers {answer.status}")
    if answer.getheader("Content-Encoding", "identity").lower() != "identity":
        raise FetchError("the answer is compressed")
    if answer.length is not None and answer.length > most:
        raise FetchError(f"it has {answer.length:,} bytes, more than {most:,}")
    parts: list[bytes] = []
    size = 0
    while part := answer.read1(_CHUNK):
        parts.append(part)
        size += len(part)
        if size > most:
            raise FetchError(f"it has more than {most:,} bytes")
    if time.monotonic() >= end:  # the connection was shut, which looks like its end
        raise FetchError("it took too long")
    if answer.length:
        raise FetchError("the answer ends early")
    return b"".join(parts)
