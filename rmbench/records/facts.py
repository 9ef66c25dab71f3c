"""What a record says of a model's consistency besides the values, and the base of all parts of a record."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["AskedFacts", "EnsembleFacts", "Frozen", "IntransitiveFacts", "MemberFacts", "OrderFacts", "ProbingFacts"]


class Frozen(BaseModel):
    """A part of a record: read from JSON, or made by `model_validate` of an object that has its fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, from_attributes=True)


class AskedFacts(Frozen):
    """How the rows of a task were asked otherwise than they stand; see `rmbench.run`'s `shots` and `reference`."""

    task: str
    """The id of the task whose rows they are."""
    shots: list[int] = []
    layout: str = ""
    reference: str = ""
    """"prompt" or "context": where it was given before it was withheld; "": neither."""


class ProbingFacts(Frozen):
    """Which dimension of a probing task is nearest to the hidden state of each candidate."""

    definition: str
    """Names the definition, which is rmbench's own; see `rmbench.metrics.probing.centroids`."""
    task: str
    """id@version of the probing task."""
    fit_digest: str
    """sha256 over the rows the centroids were fitted on, before any limit."""
    fit_n: int
    digest: str
    """sha256 over the held-out rows from which `temperature` and `limit` follow, before any limit."""
    held_out: int
    temperature: float
    limit: float
    """Distance to the nearest centroid above which confidence is low."""
    n: int
    """Candidates with a state; those of failed rows have none."""
    shares: dict[str, float]
    """Dimension -> share of the candidates that rely on it; they sum to 1. Empty where n is 0."""
    low_share: float | None
    """Share of the candidates with low confidence; None where n is 0."""


class IntransitiveFacts(Frozen):
    """Intransitive triples of candidates by the model's margins; see `rmbench.metrics.judging.intransitive`."""

    cyclic: int
    total: int
    """All triples of the rows counted."""
    rows: int
    """Rows with three candidates or more."""


class OrderFacts(Frozen):
    """Position bias: pairs of candidates that the model compared in both orders (of a judge, each vote on them); see
    `rmbench.metrics.judging.position_bias`."""

    consistent: int
    """The same candidate is better in both orders, or both orders tie."""
    first: int
    """The candidate shown first is better in both orders."""
    second: int
    total: int
    rows: int


class MemberFacts(Frozen):
    """A model of an ensemble."""

    name: str
    """`name@revision`."""
    agrees: int
    """Pairs of candidates that it orders as the ensemble does."""
    alike: list[int]
    """Pairs that it orders as each member does, in the order of the members, itself included."""


class EnsembleFacts(Frozen):
    """How far the models of an ensemble agree on the order of pairs of candidates; see `rmbench.combine`."""

    pairs: int
    """Pairs of candidates of the rows that every member judged."""
    members: list[MemberFacts]
