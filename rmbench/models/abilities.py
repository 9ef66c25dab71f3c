"""Optional abilities of a model, each a protocol that callers test with isinstance.

What the engine makes use of in a Scorer (parts, threads, prefix sharing) is declared in `rmbench.models.protocols`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

from rmbench.models.protocols import FloatArray, Responder, Scorer
from rmbench.types import Example

__all__ = [
    "CaptionScorer",
    "Closable",
    "Comparing",
    "CostEstimating",
    "EmbeddingScorer",
    "HiddenStateScorer",
    "LengthSwitching",
    "Metered",
    "Replies",
    "ReplyCaching",
    "ShotShowing",
    "TaskBound",
    "TextVectors",
    "Waiting",
]


@runtime_checkable
class HiddenStateScorer(Scorer, Protocol):
    """A Scorer that can also give the hidden states that a probe reads."""

    def with_hidden(self) -> Scorer:
        """Returns the same model with "hidden" among its `answers`. Raises RmbenchError where it has no such state."""


@runtime_checkable
class EmbeddingScorer(Scorer, Protocol):
    """A Scorer of images or videos whose score is, up to a factor, the inner product of two embeddings, or the largest
    of those of an image's several embeddings with a text's."""

    @property
    def image_vectors(self) -> int:
        """Embeddings of a picture: 1, or V of which the most similar to a text counts."""

    def with_embeddings(self) -> Scorer:
        """Returns the same model with "text_embedding" [D] and "image_embedding" among the outputs of every row: [D],
        of a video the mean of its frames'; of V embeddings [V D], of k frames [k V D], one behind the other. Raises
        RmbenchError where it has no embedding of a text."""


@runtime_checkable
class CaptionScorer(Scorer, Protocol):
    """A Scorer of images that may score a text by the prompt's image."""

    @property
    def captions(self) -> bool:
        """Whether it does."""


@runtime_checkable
class LengthSwitching(Protocol):
    """A model that computes rows of more than some number of tokens in another way."""

    @property
    def length_switches(self) -> tuple[int, ...]:
        """These numbers of tokens, the least first; an attention window, say."""


@runtime_checkable
class Closable(Protocol):
    """A model that holds connections, or a server that it started."""

    def close(self) -> None:
        """Release them. The model is not used afterwards."""


@runtime_checkable
class TaskBound(Protocol):
    """A model that answers for certain tasks alone, such as a score file."""

    @property
    def tasks(self) -> Collection[str]:
        """The ids of these tasks."""


@runtime_checkable
class TextVectors(Protocol):
    """A model with a text tower of its own."""

    def vector_of(self, text: str) -> tuple[FloatArray, bool]:
        """[D] of a text by itself, as a row's is computed, and whether tokens were cut off."""


@runtime_checkable
class Comparing(Protocol):
    """A model that may give an order of the candidates and no number for each."""

    def only_compares(self, task: str, examples: Iterable[Example]) -> bool:
        """Whether all its answers are picks, rankings or labels.

        Args:
            task: the task's id.
            examples: its rows.
        """


@runtime_checkable
class ShotShowing(Protocol):
    """A judge, whose protocol decides whether it is shown a rater's earlier choices that stand beside the prompt."""

    @property
    def shows_shots(self) -> bool:
        """Whether it is."""


@runtime_checkable
class CostEstimating(Protocol):
    """A model whose answers cost money or much time."""

    def estimate(self, examples: Iterable[Example]) -> object:
        """What judging the examples will take, without asking anything.

        Args:
            examples: the rows of a task, none of them judged yet.

        Returns:
            An estimate whose `str()` is one line for the user.
        """


@runtime_checkable
class Metered(Protocol):
    """A model that counts what its answers have used."""

    def spent(self) -> tuple[int, float | None]:
        """Returns the tokens read and written so far, and their price where prices are known."""


@runtime_checkable
class Waiting(Responder, Protocol):
    """A Responder that waits for servers, and asks several questions about an example."""

    def in_window(self, most: int) -> AbstractContextManager[Responder]:
        """The same model with at most so many questions under way at a time, fewer where servers are overloaded; those
        about an example are asked at the same time."""


class Replies(Protocol):
    """Keeps replies by key. Called from several threads at once."""

    def get(self, key: str) -> str | None:
        """Returns the stored text, or None."""

    def put(self, key: str, name: str, text: str) -> None:
        """Store a text before returning.

        Args:
            key: what `get` finds it by.
            name: the question's, for people who look into the file.
            text: the reply.
        """


@runtime_checkable
class ReplyCaching(Protocol):
    """A model whose replies can be stored, so that an interrupted run asks no question twice."""

    def with_reply_cache(self, replies: Replies) -> Responder:
        """The same model with a cache.

        Args:
            replies: where each reply is stored as it comes, and looked up before a question is asked.

        Returns:
            A model that answers as this one does.
        """
