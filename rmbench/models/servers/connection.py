"""One HTTP connection by the standard library: a blocking exchange that another thread can abort."""

from __future__ import annotations

import base64
import contextlib
import http.client
import io
import select
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from rmbench.models.servers.errors import ConnectError, RetryableError
from rmbench.untrusted.masking import mask

__all__ = ["Connection", "Response", "Route", "route_to"]

_LARGEST_RESPONSE = 64 * 2**20
"""Bytes. Servers are not trusted to stop."""
_CHUNK = 2**16


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response, read whole."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


@dataclass(frozen=True, slots=True)
class Route:
    """How a server is reached, directly or through a proxy."""

    secure: bool
    host: str
    port: int
    proxy: tuple[str, int] | None = None
    proxy_headers: tuple[tuple[str, str], ...] = ()

    def target(self, path: str) -> str:
        """The request line's target: a proxy without a tunnel needs the whole address."""
        if self.proxy is None or self.secure:
            return path
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}{path}"


def route_to(address: str, *, proxies: bool) -> Route:
    """The route to an http or https address; `proxies`: through the environment's proxy for it, if any."""
    parts = urlsplit(address)
    secure, host = parts.scheme == "https", parts.hostname or ""
    port = parts.port or (443 if secure else 80)
    proxy_url = urllib.request.getproxies().get(parts.scheme) if proxies else None
    if not proxy_url or urllib.request.proxy_bypass(f"{host}:{port}"):
        return Route(secure, host, port)
    proxy = urlsplit(proxy_url if "://" in proxy_url else f"http://{proxy_url}")
    headers: tuple[tuple[str, str], ...] = ()
    if proxy.username is not None:
        credentials = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
        headers = (("Proxy-Authorization", f"Basic {base64.b64encode(credentials.encode()).decode()}"),)
    return Route(secure, host, port, (proxy.hostname or "", proxy.port or 80), headers)


class _Incoming(io.RawIOBase):
    """What a socket receives until a moment; each wait ends then, however little has come."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        super().__init__()
        self._sock, self._deadline, self._waited = sock, deadline, False

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Wait for bytes; TimeoutError at the deadline."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        if self._waited:  # a first wait ends with the time of the whole exchange, which is set
            self._sock.settimeout(left)
        self._waited = True
        return self._sock.recv_into(buffer)


class Connection:
    """A connection that is reused by one request after the other."""

    def __init__(self, route: Route, tls: ssl.SSLContext, *, connect: float, timeout: float) -> None:
        """`connect` and `timeout` are seconds: for the connection, and for each exchange."""
        self._route, self._timeout = route, timeout
        host, port = route.proxy or (route.host, route.port)
        if route.secure:
            self._http: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, port, timeout=connect, context=tls
            )
            if route.proxy is not None:
                self._http.set_tunnel(route.host, route.port, dict(route.proxy_headers))
        else:
            self._http = http.client.HTTPConnection(host, port, timeout=connect)
        self._aborted = False
        self._lock = threading.Lock()

    @property
    def usable(self) -> bool:
        """Whether it is open and idle; an idle connection that becomes readable was closed by the server."""
        sock = self._http.sock
        if sock is None or self._aborted:
            return False
        waiting = select.poll()
        waiting.register(sock, select.POLLIN)
        return not waiting.poll(0)

    def exchange(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Response:
        """Send a request and read its response, blocking for both.

        Raises:
            ConnectError: no connection could be made.
            RetryableError: it broke, timed out, or the response is too large.
        """
        try:
            if self._http.sock is None:
                self._connect()
            if not self._route.secure:
                headers = {**dict(self._route.proxy_headers), **headers}
            sock = self._http.sock
            deadline = time.monotonic() + self._timeout
            if sock.gettimeout() != self._timeout:  # a system call, of which there are many
                sock.settimeout(self._timeout)
            sock.sendall(self._request(method, path, body, headers))
            response = http.client.HTTPResponse(sock, method=method)
            response.fp.close()
            response.fp = io.BufferedReader(_Incoming(sock, deadline))
            response.begin()
            return self._read(response)
        except TimeoutError:
            self.close()
            raise RetryableError(f"no response within {self._timeout:g} s", timed_out=True) from None
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise RetryableError(_describe(error)) from None
        except BaseException:
            self.close()
            raise

    def abort(self) -> None:
        """Break off the exchange that another thread is blocked on."""
        with self._lock:
            self._aborted = True
            if self._http.sock is not None:
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(self._http.sock, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close it; the next exchange makes a new connection."""
        with self._lock:
            self._http.close()

    def _connect(self) -> None:
        try:
            self._http.connect()
        except (OSError, http.client.HTTPException) as error:
            raise ConnectError(_describe(error)) from None
        with self._lock:
            if self._aborted:
                raise RetryableError("broken off")

    def _request(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> bytes:
        """The request's bytes, head and body together: half as many system calls as http.client's."""
        default = 443 if self._route.secure else 80
        host = f"[{self._route.host}]" if ":" in self._route.host else self._route.host
        host += "" if self._route.port == default else f":{self._route.port}"
        lines = {"Host": host, **headers, **({} if body is None else {"Content-Length": str(len(body))})}
        head = "\r\n".join([f"{method} {self._route.target(path)} HTTP/1.1", *(f"{k}: {v}" for k, v in lines.items())])
        if head.count("\r") != len(lines) or head.count("\n") != len(lines):
            raise ValueError("a header or an address holds the end of a line")
        return head.encode("latin-1") + b"\r\n\r\n" + (body or b"")

    def _read(self, response: http.client.HTTPResponse) -> Response:
        """The body in chunks, so that an endless one is not read to its end."""
        chunks, size = [], 0
        while chunk := response.read(_CHUNK):
            chunks.append(chunk)
            size += len(chunk)
            if size > _LARGEST_RESPONSE:
                raise RetryableError(f"the response is larger than {_LARGEST_RESPONSE:,} bytes")
        if response.length:
            raise RetryableError(f"the response was cut off {response.length:,} bytes before its end")
        headers = {name.lower(): value for name, value in response.headers.items()}
        if response.will_close:
            self.close()
        return Response(response.status, headers, b"".join(chunks))


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(mask(str(error)).split())[:200]}".removesuffix(": ")
