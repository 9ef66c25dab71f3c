"""How many requests a server is sent at a time: the control law, and what a client makes of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmbench.models.servers.client import Client
from rmbench.models.servers.key import ApiKey
from rmbench.models.servers.pool import Server, ServerPool
from rmbench.models.servers.prefix_cache import CachedTokens, parse_metrics
from rmbench.models.servers.replies import parse_reply
from rmbench.models.servers.window import Window

CHAT = "/v1/chat/completions"


class Simulated:
    """A server that is overloaded beyond a capacity; its clock jumps from the end of one request to the next."""

    def __init__(self, most: int, capacity: int) -> None:
        self.window, self.capacity, self.now = Window(most), capacity, 0.0
        self.ends: list[tuple[float, int, bool]] = []
        self.sizes: list[tuple[float, int]] = []

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            while len(self.ends) < self.window.size:
                fits = len(self.ends) < self.capacity
                self.ends.append((self.now + (0.2 if fits else 0.01), self.window.halved, fits))
            self.ends.sort()
            self.now, sent_after, fits = self.ends.pop(0)
            if fits:
                self.window.answered()
            else:
                self.window.overloaded(sent_after)
            self.sizes.append((self.now, self.window.size))
            assert 1 <= self.window.size <= self.window.most
            assert len(self.ends) <= self.window.most


@given(
    st.integers(1, 300), st.lists(st.tuples(st.sampled_from(["answer", "overload"]), st.integers(0, 3)), max_size=200)
)
def test_the_window_stays_between_one_and_what_the_user_said(most: int, events: list[tuple[str, int]]) -> None:
    window = Window(most)
    assert window.size == most
    for event, late in events:
        before, halved = window.limit, window.halved
        if event == "answer":
            grown = window.answered()
            assert grown in (0, 1)
            assert window.limit == min(most, before + 1 / before)
        else:
            window.overloaded(window.halved - late)
            assert window.limit == (max(1.0, before / 2) if late == 0 else before)
            assert window.halved == halved + (late == 0)
        assert 1 <= window.size <= most


def test_a_whole_window_that_is_refused_halves_it_once() -> None:
    window = Window(64)
    sent = [window.halved] * 64
    for sent_after in sent:
        window.overloaded(sent_after)
    assert window.size == 32
    window.overloaded(window.halved)
    assert window.size == 16


def test_a_window_of_answers_adds_one_request() -> None:
    window = Window(64)
    for _ in range(3):
        window.overloaded(window.halved)
    assert window.size == 8
    for expected in (9, 10, 11, 12):
        for _ in range(window.size):
            window.answered()
        assert window.limit == pytest.approx(expected, abs=0.1 * expected)


@pytest.mark.parametrize("capacity", [1, 7, 40])
def test_a_server_is_kept_near_its_capacity(capacity: int) -> None:
    server = Simulated(256, capacity)
    server.run(40)
    settled = [size for now, size in server.sizes if now > 20]
    assert max(settled) <= capacity + 2
    assert sum(settled) / len(settled) >= 0.6 * capacity


def test_a_server_that_recovers_gets_its_whole_window_again() -> None:
    server = Simulated(32, 4)
    server.run(20)
    assert max(size for now, size in server.sizes if now > 10) <= 6
    server.capacity = 64
    server.run(20)
    assert server.window.size == 32


def test_a_server_that_is_overloaded_gets_less_than_the_others() -> None:
    pool = ServerPool([Server("a", "a"), Server("b", "b")])
    pool.limit(8)
    overloaded, sound = pool.servers
    for _ in range(3):
        assert overloaded.window is not None
        overloaded.window.overloaded(overloaded.window.halved)
    given_to: list[str] = []
    while (found := pool.next()[0]) is not None:
        found.in_flight += 1
        given_to.append(found.api)
    assert given_to.count("a") == 1
    assert given_to.count("b") == 7
    sound.in_flight -= 1
    assert pool.next() == (sound, 0.0)


@pytest.fixture
def client_of(stubs: Any) -> Iterator[Any]:
    clients: list[Client] = []

    def make(*urls: str, **policy: Any) -> Client:
        clients.append(Client(urls, ApiKey("OPENAI_API_KEY"), policy=replace(stubs.FAST, **policy)))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


class Busy:
    """Answers after a moment; more than `most` requests at a time get 429. Keeps how many there were."""

    def __init__(self, stubs: Any, most: int, seconds: float = 0.02) -> None:
        self.stubs, self.most, self.seconds = stubs, most, seconds
        self.now = self.peak = self.refused = 0
        self.lock = threading.Lock()

    def __call__(self, _: Any) -> Any:
        with self.lock:
            self.now += 1
            self.peak = max(self.peak, self.now)
            fits = self.now <= self.most
            self.refused += not fits
        time.sleep(self.seconds if fits else 0)
        with self.lock:
            self.now -= 1
        return self.stubs.Answer(self.stubs.chat("ok")) if fits else self.stubs.Answer({"error": "slow down"}, 429)


def ask_all(client: Client, count: int, threads: int) -> None:
    with ThreadPoolExecutor(threads) as pool:
        texts = pool.map(lambda number: client.post(CHAT, {"n": number}, parse_reply).text, range(count))
        assert list(texts) == ["ok"] * count


def test_a_client_keeps_to_its_window_whatever_asks_it(stubs: Any, serve: Any, client_of: Any) -> None:
    busy = Busy(stubs, 1000)
    client = client_of(serve(busy).url)
    client.limit(4)
    ask_all(client, 60, 16)
    assert busy.peak == 4


def test_a_window_is_over_all_servers(stubs: Any, serve: Any, client_of: Any) -> None:
    both = Busy(stubs, 1000)
    client = client_of(serve(both).url, serve(both).url)
    client.limit(6)
    ask_all(client, 60, 16)
    assert both.peak == 6


def test_an_overloaded_server_is_asked_less_and_every_question_is_answered(
    stubs: Any, serve: Any, client_of: Any
) -> None:
    busy = Busy(stubs, 4, seconds=0.06)  # long beside what a request costs here, so that the server is what limits
    client = client_of(serve(busy).url, attempts=50)
    client.limit(32)
    ask_all(client, 200, 32)
    (server,) = client.servers
    assert server.window.halved >= 3
    assert server.window.size <= 8
    assert busy.refused < 100


def test_time_outs_halve_the_window(stubs: Any, serve: Any, client_of: Any) -> None:
    hung = threading.Event()

    def answer(_: Any) -> Any:
        return stubs.Answer(stubs.chat("ok")) if hung.is_set() else stubs.Answer(fault="hang")

    client = client_of(serve(answer).url, timeout=0.3, attempts=3)
    client.limit(8)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(client.post, CHAT, {}, parse_reply)
        time.sleep(0.15)
        hung.set()
        assert asked.result().text == "ok"
    assert client.servers[0].window.halved == 1
    assert client.servers[0].window.size == 4


def test_a_response_that_drips_ends_with_its_time(stubs: Any, serve: Any, client_of: Any) -> None:
    """Each byte comes in time, and the whole does not."""
    client = client_of(serve(lambda _: stubs.Answer(stubs.chat("ok" * 100), fault="drip")).url, timeout=0.5, attempts=1)
    began = time.monotonic()
    with pytest.raises(Exception, match=r"no response within 0\.5 s"):
        client.post(CHAT, {}, parse_reply)
    assert time.monotonic() - began < 2


METRICS = """# HELP vllm:prefix_cache_queries_total Prefix cache queries, in terms of number of queried tokens.
# TYPE vllm:prefix_cache_queries_total counter
vllm:prefix_cache_queries_total{engine="0",model_name="m"} 1.0e+06
vllm:prefix_cache_queries_total{engine="1",model_name="m"} 514.0
vllm:prefix_cache_queries_created{engine="0",model_name="m"} 1.7e+09
vllm:prefix_cache_hits_total{engine="0",model_name="m"} 250000.0
vllm:prefix_cache_hits_total{engine="1",model_name="m"} 256.0
"""


def test_what_vllm_had_in_its_prefix_cache() -> None:
    found = parse_metrics(METRICS)
    assert found == CachedTokens(1_000_514, 250_256)
    assert found.since(CachedTokens(514, 256)) == "25% of 1,000,000 prompt tokens were in the prefix cache"
    assert found.since(found) == ""
    assert parse_metrics("<html>metrics</html>") is None
