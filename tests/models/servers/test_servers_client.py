"""The client against servers that fail: what is asked again, what is not, who gets the work, and how it stops."""

from __future__ import annotations

import base64
import random
import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from rmbench.errors import RmbenchError, UnreachableError
from rmbench.models.servers import connection as client_connection
from rmbench.models.servers.client import Client, ClientClosedError
from rmbench.models.servers.connection import route_to
from rmbench.models.servers.errors import AccountError, RejectedError, RetryableError
from rmbench.models.servers.key import ApiKey
from rmbench.models.servers.replies import parse_reply

NO_KEY = ApiKey("OPENAI_API_KEY")
CHAT = "/v1/chat/completions"
KINDS = ("limit", "error", "reset", "hang", "half", "cut", "empty", "html", "abort")


@pytest.fixture
def opened() -> Iterator[Any]:
    """Clients, which are closed with the test."""
    clients: list[Client] = []

    def make(*urls: str, **more: Any) -> Client:
        clients.append(Client(urls, more.pop("key", NO_KEY), **more))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def say(client: Client, text: str) -> str:
    return client.post(CHAT, {"messages": [{"role": "user", "content": text}]}, parse_reply).text


def fault(stubs: Any, kind: str) -> Any:
    html = {"Content-Type": "text/html"}
    return {
        "limit": lambda: stubs.Answer({"error": {"message": "slow"}}, 429, {"Retry-After": "0"}),
        "error": lambda: stubs.Answer(b"oops", 500, html),
        "reset": lambda: stubs.Answer(fault="reset"),
        "hang": lambda: stubs.Answer(fault="hang"),
        "half": lambda: stubs.Answer(b'{"choices": [{"mess'),
        "cut": lambda: stubs.Answer(stubs.chat("[[A]]"), fault="cut"),
        "empty": lambda: stubs.Answer({"choices": []}),
        "html": lambda: stubs.Answer(b"<html>[[A]]</html>", headers=html),
        "abort": lambda: stubs.Answer(stubs.chat("[[A", "abort")),
    }[kind]()


def test_with_every_third_request_failing_each_question_is_answered_once_or_fails(
    stubs: Any, serve: Any, opened: Any
) -> None:
    """30% of faults of nine kinds, decided by question and attempt, so that a plain loop says what must come out."""
    count = 300

    def kind(number: int, attempt: int) -> str:
        drawn = random.Random(f"{number}/{attempt}")
        return drawn.choice(KINDS) if drawn.random() < 0.3 else ""

    def expected(number: int) -> bool:
        failures = attempt = 0
        while failures < stubs.FAST.attempts:
            drawn = kind(number, attempt)
            if not drawn:
                return True
            failures += drawn != "limit"  # waiting where the server asks for it is no attempt
            attempt += 1
        return False

    asked: Counter[int] = Counter()
    answered: Counter[int] = Counter()

    def answer(call: Any) -> Any:
        number = int(call.body["messages"][0]["content"])
        with stub.lock:
            attempt = asked[number]
            asked[number] += 1
        drawn = kind(number, attempt)
        if drawn:
            return fault(stubs, drawn)
        with stub.lock:
            answered[number] += 1
        return stubs.Answer(stubs.chat(f"[[{number}]]"))

    stub = serve(answer)
    client = opened(stub.url, policy=replace(stubs.FAST, timeout=2.0))

    def ask(number: int) -> str | None:
        try:
            return say(client, str(number))
        except RetryableError:
            return None

    began = time.monotonic()
    with ThreadPoolExecutor(32) as pool:
        got = list(pool.map(ask, range(count)))
    assert time.monotonic() - began < 20
    assert got == [f"[[{number}]]" if expected(number) else None for number in range(count)]
    assert 0 < got.count(None) < count / 10
    assert set(answered.values()) == {1}
    assert client.retries == sum(asked.values()) - count


@pytest.mark.parametrize("status", [400, 413, 422])
def test_what_a_server_refuses_is_asked_once(stubs: Any, serve: Any, opened: Any, status: int) -> None:
    stub = serve(lambda _: stubs.Answer({"error": {"message": "too long"}}, status))
    with pytest.raises(RejectedError, match=f"status {status}: too long"):
        say(opened(stub.url, policy=stubs.FAST), "x")
    assert len(stub.calls) == 1


@pytest.mark.parametrize(
    ("status", "said"),
    [(401, "does not accept the key"), (403, "does not accept"), (404, "no such"), (307, "redirects")],
)
def test_what_is_true_of_every_request_ends_the_work(
    stubs: Any, serve: Any, opened: Any, status: int, said: str
) -> None:
    stub = serve(lambda _: stubs.Answer({"detail": "no"}, status, {"Location": "http://127.0.0.1:1/"}))
    with pytest.raises(RmbenchError, match=said):
        say(opened(stub.url, policy=stubs.FAST), "x")
    assert len(stub.calls) == 1


def test_an_exhausted_account_is_not_asked_again(stubs: Any, serve: Any, opened: Any) -> None:
    body = {"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}
    stub = serve(lambda _: stubs.Answer(body, 429, {"Retry-After": "1"}))
    with pytest.raises(RmbenchError, match="no credit left"):
        say(opened(stub.url, policy=stubs.FAST), "x")
    assert len(stub.calls) == 1


def test_retry_after_is_obeyed_by_every_thread(stubs: Any, serve: Any, opened: Any) -> None:
    """One refusal keeps all requests away until the second is over."""
    times: list[float] = []

    def answer(_: Any) -> Any:
        with stub.lock:
            times.append(time.monotonic())
            first = len(times) == 1
        return stubs.Answer({}, 429, {"Retry-After": "1"}) if first else stubs.Answer(stubs.chat("ok"))

    stub = serve(answer)
    client = opened(stub.url, policy=stubs.FAST)
    with ThreadPoolExecutor(8) as pool:
        one = pool.submit(say, client, "0")
        while not times:
            time.sleep(0.005)
        time.sleep(0.1)
        rest = [pool.submit(say, client, str(number)) for number in range(1, 8)]
        assert {future.result() for future in [one, *rest]} == {"ok"}
    assert min(times[1:]) - times[0] >= 1.0
    assert len(times) == 9


def test_a_server_that_asks_for_an_hour_is_not_waited_for(stubs: Any, serve: Any, opened: Any) -> None:
    stub = serve(lambda _: stubs.Answer({"error": "later"}, 429, {"Retry-After": "3600"}))
    began = time.monotonic()
    with pytest.raises(AccountError, match=r"asks to wait 3,600 s \(Retry-After\).*the same command goes on"):
        say(opened(stub.url, policy=stubs.FAST), "x")
    assert time.monotonic() - began < 1


def test_a_server_that_dies_is_dropped_and_the_other_does_its_work(stubs: Any, serve: Any, opened: Any) -> None:
    def slow(_: Any) -> Any:
        time.sleep(0.02)
        return stubs.Answer(stubs.chat("ok"))

    first, second = serve(slow), serve(slow)
    notes: list[str] = []
    client = opened(first.url, second.url, policy=stubs.FAST, note=notes.append)
    with ThreadPoolExecutor(16) as pool:
        futures = [pool.submit(say, client, str(number)) for number in range(200)]
        while len(first.calls) < 20:
            time.sleep(0.005)
        first.end()  # what is under way is lost
        assert [future.result() for future in futures] == ["ok"] * 200
    assert len(notes) == 1
    assert notes[0].startswith(f"{first.url} is dropped: ConnectionRefusedError")
    assert notes[0].endswith("1 of 2 servers left")
    assert len(second.calls) > 100


def test_work_goes_where_least_is_under_way(stubs: Any, serve: Any, opened: Any) -> None:
    def after(seconds: float) -> Any:
        def answer(_: Any) -> Any:
            time.sleep(seconds)
            return stubs.Answer(stubs.chat("ok"))

        return answer

    fast, slow = serve(after(0.01)), serve(after(0.2))
    client = opened(slow.url, fast.url, policy=stubs.FAST)
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda number: say(client, str(number)), range(60))) == {"ok"}
    assert len(fast.calls) > 3 * len(slow.calls) > 0


def test_a_server_that_fails_at_once_does_not_draw_the_work(stubs: Any, serve: Any, opened: Any) -> None:
    def slow(_: Any) -> Any:
        time.sleep(0.05)
        return stubs.Answer(stubs.chat("ok"))

    broken, sound = serve(lambda _: stubs.Answer({}, 500)), serve(slow)
    client = opened(broken.url, sound.url, policy=replace(stubs.FAST, attempts=8))
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda number: say(client, str(number)), range(80))) == ["ok"] * 80
    assert len(broken.calls) < 40


def test_no_server_left_is_one_error_that_names_them_all(stubs: Any, serve: Any, opened: Any) -> None:
    first, second = (serve(lambda _: stubs.Answer(stubs.chat("ok"))) for _ in range(2))
    client = opened(first.url, second.url, policy=stubs.FAST, diagnostics=lambda: "The log's end.")
    assert say(client, "x") == "ok"
    first.end()
    second.end()
    with pytest.raises(UnreachableError) as caught:
        say(client, "x")
    assert first.url in str(caught.value)
    assert second.url in str(caught.value)
    assert str(caught.value).endswith("The log's end.")


def test_a_server_that_only_fails_is_dropped(stubs: Any, serve: Any, opened: Any) -> None:
    stub = serve(lambda _: stubs.Answer({"error": {"message": "broken"}}, 503))
    client = opened(stub.url, policy=replace(stubs.FAST, broken_after=5, broken=0.1))
    said: list[str] = []
    while not said or "No server" not in said[-1]:
        with pytest.raises((RetryableError, UnreachableError)) as caught:
            say(client, "x")
        said.append(str(caught.value))
        time.sleep(0.03)
    assert said[0] == "status 503: broken"
    assert "failures in a row, the last one: status 503: broken" in said[-1]
    assert 2 <= len(said) < 15


def test_a_last_server_may_come_back(stubs: Any, serve: Any, opened: Any) -> None:
    """One that refuses connections for a moment only is waited for; its questions are no failures."""
    stub = serve(lambda _: stubs.Answer(stubs.chat("ok")))
    client = opened(stub.url, policy=replace(stubs.FAST, unreachable=10.0, attempts=1))
    assert say(client, "x") == "ok"
    port = stub.server_address[1]
    stub.end()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(say, client, "y")
        time.sleep(0.2)
        assert not waiting.done()
        serve(stub.answer, port)
        assert waiting.result() == "ok"


def test_closing_breaks_off_what_is_under_way(stubs: Any, serve: Any) -> None:
    stub = serve(lambda _: stubs.Answer(fault="hang"))
    client = Client([stub.url], NO_KEY)
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(say, client, "x") for _ in range(4)]
        while len(stub.calls) < 4:
            time.sleep(0.005)
        began = time.monotonic()
        client.close()
        for future in futures:
            with pytest.raises(ClientClosedError):
                future.result()
        assert time.monotonic() - began < 2
    client.close()
    with pytest.raises(ClientClosedError):
        say(client, "x")


def test_an_endless_answer_is_not_read_to_its_end(
    stubs: Any, serve: Any, opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_connection, "_LARGEST_RESPONSE", 1000)
    stub = serve(lambda _: stubs.Answer(stubs.chat("x" * 5000)))
    with pytest.raises(RetryableError, match="larger than 1,000 bytes"):
        say(opened(stub.url, policy=stubs.FAST), "x")


def test_a_proxy_of_the_environment_leads_to_other_machines_alone(
    stubs: Any, serve: Any, opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy gets the whole address and its own password; nothing on this machine goes through it."""
    proxy = serve(lambda _: stubs.Answer(stubs.chat("by the proxy")))
    here = serve(lambda _: stubs.Answer(stubs.chat("here")))
    host = proxy.url.removeprefix("http://").removesuffix("/v1")
    for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", f"http://me:pa%20ss@{host}")
    assert say(opened("http://far.invalid:81/api", policy=stubs.FAST), "x") == "by the proxy"
    (call,) = proxy.calls
    assert call.path == "http://far.invalid:81/api/chat/completions"
    assert call.headers["Proxy-Authorization"] == f"Basic {base64.b64encode(b'me:pa ss').decode()}"
    assert say(opened(here.url, policy=stubs.FAST), "x") == "here"
    monkeypatch.setenv("no_proxy", "far.invalid")
    with pytest.raises(UnreachableError, match="gaierror"):
        say(opened("http://far.invalid:81/api", policy=stubs.FAST), "x")
    assert len(proxy.calls) == 1


def test_https_goes_through_a_proxys_tunnel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "proxy.invalid:3128")
    monkeypatch.delenv("no_proxy", raising=False)
    route = route_to("https://api.invalid/v1", proxies=True)
    assert (route.secure, route.host, route.port, route.proxy) == (True, "api.invalid", 443, ("proxy.invalid", 3128))
    assert route.target("/v1/models") == "/v1/models"
    assert route_to("https://api.invalid/v1", proxies=False).proxy is None


def test_an_idle_connection_that_the_server_closed_is_not_used(stubs: Any, serve: Any, opened: Any) -> None:
    """Else the next request would fail on it, and be asked again though nothing was wrong."""
    stub = serve(lambda _: stubs.Answer(stubs.chat("ok")))
    client = opened(stub.url, policy=replace(stubs.FAST, attempts=1))
    assert say(client, "x") == say(client, "y") == "ok"
    assert len(stub.connections) == 1
    for connection in stub.connections:
        connection.shutdown(socket.SHUT_RDWR)
    time.sleep(0.05)
    assert say(client, "z") == "ok"
    assert len(stub.connections) == 2
    assert client.retries == 0


def test_deeply_nested_json_is_broken_json(stubs: Any, serve: Any, opened: Any) -> None:
    stub = serve(lambda _: stubs.Answer(b"[" * 100_000))
    with pytest.raises(RetryableError, match="broken JSON"):
        say(opened(stub.url, policy=replace(stubs.FAST, attempts=1)), "x")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("127.0.0.1:8000", "takes an address"),
        ("ftp://host/v1", "takes an address"),
        ("http://:8000", "takes an address"),
        ("http://[::1", "takes an address"),
        ("http://host/v 1", "takes an address"),
        ("https://user:pa55word@host/v1", "keys come from the environment"),
        ("https://host/v1?key=pa55word", "keys come from the environment"),
    ],
)
def test_addresses_that_are_none_or_hold_secrets_are_refused(url: str, said: str) -> None:
    with pytest.raises(RmbenchError, match=said) as caught:
        Client([url], NO_KEY)
    assert "pa55word" not in str(caught.value)
