"""How many tokens of prompts a server had in its prefix cache, by the counters that vLLM shows on /metrics.

They count tokens, whole blocks alone, of everybody who asks the server.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from rmbench.errors import RmbenchError
from rmbench.models.servers.client import Client, ClientClosedError
from rmbench.models.servers.errors import RejectedError, RetryableError

__all__ = ["CachedTokens", "cached_tokens", "parse_metrics"]

_METRICS = "/metrics"
_LINE = re.compile(r"^vllm:prefix_cache_(queries|hits)_total(?:\{[^}\n]*\})? ([0-9.e+]+)$", re.MULTILINE)


class CachedTokens(NamedTuple):
    """Tokens of prompts since the servers started."""

    asked: int
    found: int
    """Those that were in the cache."""

    def since(self, before: CachedTokens) -> str:
        """What was found since then, in words; "" where nothing was asked."""
        asked, found = self.asked - before.asked, self.found - before.found
        return f"{found / asked:.0%} of {asked:,} prompt tokens were in the prefix cache" if asked > 0 else ""


def cached_tokens(client: Client) -> CachedTokens | None:
    """The counters of all servers together; None where one has none."""
    found = CachedTokens(0, 0)
    for server in client.servers:
        if server.dropped:
            continue
        try:
            of_server = client.get(_METRICS, parse_metrics, server, attempts=1, optional=True, text=True)
        except (RetryableError, RejectedError, ClientClosedError, RmbenchError):
            return None
        if of_server is None:
            return None
        found = CachedTokens(found.asked + of_server.asked, found.found + of_server.found)
    return found


def parse_metrics(text: str) -> CachedTokens | None:
    """The counters in a text of Prometheus' format, those of several engines summed; None where it has none.

    >>> parse_metrics('vllm:prefix_cache_queries_total{engine="0"} 514.0')
    CachedTokens(asked=514, found=0)
    """
    counts = {"queries": 0.0, "hits": 0.0}
    lines = _LINE.findall(text)
    for name, count in lines:
        counts[name] += float(count)
    return CachedTokens(int(counts["queries"]), int(counts["hits"])) if lines else None
