"""How many requests a server is sent at a time: more while it answers, half as many when it is overloaded.

The control law is that of TCP's congestion avoidance (additive increase, multiplicative decrease; Chiu and Jain, 1989,
doi:10.1016/0169-7552(89)90019-6): each answer adds 1/limit, so a whole window of answers adds one request; a sign of
overload halves the limit, once for all the requests that were on their way when it came.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Window"]


@dataclass(slots=True)
class Window:
    """The limit of one server, between 1 and `most`. It begins at `most`: the user said what the server can take."""

    most: int
    limit: float = field(init=False)
    halved: int = field(default=0, init=False)
    """How often it was halved."""

    def __post_init__(self) -> None:
        self.limit = float(self.most)

    @property
    def size(self) -> int:
        """Requests that may be on their way at a time."""
        return int(self.limit)

    def answered(self) -> int:
        """Count an answer; returns by how many requests the window has grown, 0 or 1."""
        before = self.size
        self.limit = min(float(self.most), self.limit + 1 / self.limit)
        return self.size - before

    def overloaded(self, sent_after: int) -> None:
        """Count a sign of overload.

        Args:
            sent_after: `halved` as it was when the request was sent: what was on its way at the last halving says
                nothing of the window since.
        """
        if sent_after == self.halved:
            self.limit = max(1.0, self.limit / 2)
            self.halved += 1
