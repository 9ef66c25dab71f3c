"""The options of a run, besides its model and its tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rmbench.errors import RmbenchError
from rmbench.evaluation.objectives import Weights, parse_weights
from rmbench.models.options import OpenArguments, OpenOptions, option
from rmbench.records.shard_number import ShardNumber, parse_shard

__all__ = ["RunArguments", "RunOptions", "parse_shots"]

_RUN = ("run",)
_ROWS = ("run", "probe")
_SCORED = ("run", "score")


def parse_shots(value: object) -> tuple[int, ...]:
    """Numbers of shots in rising order, from a list or a text such as "0,1,2,4"; RmbenchError for anything else."""
    pieces = value.split(",") if isinstance(value, str) else value
    listed = pieces if isinstance(pieces, Sequence) else ()
    found = [int(piece) if isinstance(piece, str) and piece.strip().isdecimal() else piece for piece in listed]
    numbers = {number for number in found if type(number) is int and number >= 0}
    if len(numbers) < len(set(map(repr, found))) or not any(numbers):
        raise RmbenchError(f"shots: expected whole numbers, one of them above 0, such as 0,1,2,4,8; found {value!r}.")
    return tuple(sorted(numbers))


class RunArguments(OpenArguments, total=False):
    """The options of `RunOptions` as keyword arguments, for editors and type checkers; their meaning is there."""

    data: Path | str | Sequence[str]
    columns: Mapping[str, str]
    include_path: Path | str | Sequence[str]
    source: Path | str
    images: Path | str | None
    allow_url_fetch: bool
    allow_changed_data: bool
    shots: Sequence[int] | str | None
    shots_layout: str
    reference: str | None
    limit: int | None
    batch_tokens: int | None
    objective_weights: Weights | str | None
    workers: int
    tensor_parallel: int
    executor: str
    ray_address: str | None
    cpus_per_worker: int | None
    cache: bool
    share: bool
    window: int | None
    out: Path | str
    overwrite: bool
    retry_failed: bool
    save_prompts: bool
    shard: str | tuple[int, int] | None
    command: str


@dataclass(frozen=True)
class RunOptions(OpenOptions):
    """How a run reads rows, judges them and keeps the records; and how it opens the model."""

    data: tuple[str, ...] = option(
        (),
        "Rows of your own: their columns are recognised; repeat for several.",
        commands=("run", "show-prompt", "verify", "view", "dissect", "annotators"),
        metavar="FILE|FOLDER|org/name",
    )
    columns: Mapping[str, str] = option(
        dict,
        "What the columns of --data hold, in place of what is recognised: prompt=q,chosen=good.text ...",
        commands=("run", "score", "show-prompt", "verify", "view", "dissect", "annotators", "task init"),
        metavar="WHAT=COLUMN,...",
    )
    include_path: tuple[str, ...] = option(
        (),
        "A folder of task TOMLs of your own, beside the bundled ones. [also: $RMBENCH_TASKS]",
        commands=(
            "run",
            "fetch",
            "probe",
            "tasks",
            "show",
            "show-prompt",
            "verify",
            "view",
            "dissect",
            "annotators",
            "task init",
        ),
        metavar="DIR",
    )
    source: str = option(
        "auto",
        "Where rows come from; auto: the folder of `rmbench fetch` ($RMBENCH_DATA), else the hub.",
        commands=("run", "probe", "tasks", "show-prompt", "verify", "view", "dissect", "annotators"),
        metavar="auto|hub|sample|FOLDER",
    )
    images: Path | None = option(
        None, "Folder of the images or videos to judge, by name.", commands=(*_RUN, "verify"), metavar="DIR"
    )
    allow_url_fetch: bool = option(
        False,
        "Fetch images and videos that rows name by an address, from public hosts alone, within bounds.",
        commands=_RUN,
    )
    allow_changed_data: bool = option(
        False,
        "Read files that differ from what the task declares.",
        commands=(*_ROWS, "show-prompt", "verify", "view", "dissect", "annotators"),
    )
    shots: tuple[int, ...] | None = option(
        None,
        "Put so many of the rater's earlier choices before each row; several numbers make a curve on the same rows.",
        commands=_RUN,
        metavar="N,...",
        parse=parse_shots,
    )
    shots_layout: str = option("fspo", "How they are written: fspo, plain or profile.", commands=_RUN, metavar="NAME")
    reference: str | None = option(
        None,
        "Ask each row that has a reference answer with it and without it: in the prompt, or beside it for models that "
        "read it there.",
        commands=_RUN,
        choices=("prompt", "context"),
    )
    limit: int | None = option(
        None, "Judge only this many rows of each task and split, drawn by --seed.", commands=_ROWS, minimum=1
    )
    batch_tokens: int | None = option(
        None, "Most tokens of a batch, padding included.", commands=(*_ROWS, "score"), minimum=1
    )
    objective_weights: Weights | None = option(
        None,
        "Reward of a multi-objective model: weights by name (0 if left out), or one for each in the model's order.",
        commands=("run", "rescore"),
        metavar="NAME=W,...",
        parse=parse_weights,
    )
    workers: int = option(1, "Processes that compute, each with the model open.", commands=_SCORED, minimum=1)
    tensor_parallel: int = option(
        1,
        "Processes of each worker, a GPU each, that hold a part of each layer's weights and compute together.",
        commands=_SCORED,
        minimum=1,
    )
    executor: str = option(
        "processes",
        "Where workers run: processes of this machine, or actors of a Ray cluster.",
        commands=_SCORED,
        choices=("processes", "ray"),
    )
    ray_address: str | None = option(
        None,
        "The Ray cluster; auto: the one of this machine or of RAY_ADDRESS. [default: Ray is started on this machine]",
        commands=_SCORED,
        metavar="HOST:PORT|auto",
    )
    cpus_per_worker: int | None = option(
        None,
        "Cores of each worker. [default: its share of this machine, 1 on a Ray cluster]",
        commands=_SCORED,
        minimum=1,
    )
    cache: bool = option(True, "Neither read nor fill the score cache.", commands=_SCORED)
    share: bool = option(True, "Do not share prefixes across rows.", commands=_SCORED)
    window: int | None = option(
        None, "Requests to a judge's servers under way at a time. [default: 16]", commands=_SCORED, minimum=1
    )
    out: Path = option(
        Path("results"),
        "Folder of the records.",
        commands=("run", "probe", "check", "rescore", "merge"),
        flags=("--out", "--output-path"),
    )
    overwrite: bool = option(
        False, "Replace a record in OUT although other data, settings or metrics made it.", commands=(*_ROWS, "merge")
    )
    retry_failed: bool = option(False, "Take the rows of a finished record and judge those that failed.", commands=_RUN)
    save_prompts: bool = option(
        False, "Keep a digest of what the model reads of each row, so that two runs can be told apart.", commands=_RUN
    )
    shard: ShardNumber | None = option(
        None,
        "Judge the I-th of N parts of each task's rows; `rmbench merge` makes the record of all N.",
        commands=_RUN,
        metavar="I/N",
        parse=parse_shard,
    )
    command: str = option("", "The command line, for the record; secrets are removed from it.", commands=())
