"""The schema of a task's TOML: keys, types and defaults. `docs/adding-a-task.md` explains it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, Field

from rmbench.metric_spec import RULES
from rmbench.tasks.declaration.columns import (
    ColumnRule,
    Columns,
    GoldRule,
    Group,
    GroupRule,
    LabelRule,
    MediaRule,
    RatingRule,
    TextRule,
)
from rmbench.tasks.declaration.strict import STRICT, Chance, Label, MetricName, Sha256, TaskId

__all__ = [
    "ColumnRule",
    "Columns",
    "Declaration",
    "ExcludeRule",
    "FitRule",
    "GoldRule",
    "GroupRule",
    "HubPart",
    "JoinRule",
    "LabelRule",
    "LayoutRule",
    "LevelRule",
    "MediaRoots",
    "MediaRule",
    "MetricRule",
    "RatingRule",
    "RowRules",
    "Shape",
    "SourceRule",
    "TaskFacts",
    "TextRule",
    "VariantRule",
]

Family = Literal["text", "rag", "video", "image", "probing", "cyclic", "personal"]
Shape = Literal["pair", "pick", "styles", "ranked", "rated", "labelled", "scored"]
if TYPE_CHECKING:
    Rule = str
else:
    Rule = Literal[tuple(RULES)]


class _Strict(BaseModel):
    model_config = STRICT


class HubPart(_Strict):
    """`[[source.parts]]`: one of several hub sets, configs or splits that make up the rows, in this order.

    What is left out is taken from `[source]`.
    """

    hub: str | None = None
    revision: str | None = None
    config: str | None = None
    data_dir: str | None = None
    split: str | None = None
    set: dict[str, str] = {}
    """Columns that this part lacks, the same for every row of it."""
    label: str | None = None
    """The `@file` of its rows; absent: the split."""


class SourceRule(_Strict):
    """`[source]`: where the rows come from. A task without it is private: its files lie beside the declaration."""

    hub: str | None = None
    """Id of a hub data set that `datasets` can load; absent where no usable one exists."""
    revision: str | None = None
    config: str | None = None
    data_dir: str | None = None
    split: str | None = None
    parts: list[HubPart] = []
    git: str | None = None
    """Address of the repository that holds the files."""
    commit: str | None = None
    folder: str = ""
    """Name of the data set's folder under the user's data folder."""
    bundled: bool = False
    """The whole set comes with the declaration, beside it or as its sample, and is read from there, whatever the
    source."""

    @property
    def private(self) -> bool:
        """Whether nobody publishes the rows: they lie beside the declaration."""
        return not (self.hub or self.git or any(part.hub for part in self.parts))


class JoinRule(_Strict):
    """`[files.join]`: a second file from which rows take the columns that they lack."""

    path: str
    """`*` and `?` match within a name, and stand for several files that are read as one."""
    on: str | list[str]
    """The rows' column, or several."""
    key: str | list[str]
    """The columns of the second file that must equal them; `@row`: the 0-based row, `@file`: its file."""
    drop: list[str] = []
    """Texts that are taken out of the rows' columns before they are compared."""
    capture: list[str] = []
    """As of `[[files]]`, of the second file's path."""
    keep: list[str] = []
    """Of files that hold much more than is read: the columns to keep, or what of them (`steps[].action`); else all."""
    git: str | None = None
    """Address of the repository that holds the second file; absent: that of `[source]`."""
    commit: str | None = None
    keyed: str | None = None
    format: Literal["json", "jsonl", "parquet", "arrow", "csv", "tsv"] | None = None


class LayoutRule(_Strict):
    """`[[files]]`: one layout of the local files. The first layout with a file in the folder is read."""

    paths: list[str] = Field(min_length=1)
    """Paths below the data set's folder, in the order of the rows; `*` and `?` match within a name."""
    capture: list[str] = []
    """Patterns such as `data/{domain}.json`: each name in braces becomes a column of the file's rows."""
    set: dict[str, str] = {}
    """Columns that these files lack, the same for every row."""
    format: Literal["json", "jsonl", "parquet", "arrow", "csv", "tsv"] | None = None
    """Absent: by the file's name. `json` is one array, `jsonl` one object per line."""
    under: str | None = None
    """JSON whose rows sit under a key: its path, `examples` or `data.rows`."""
    keyed: str | None = None
    """JSON (or lines of it) whose rows are the values of one object: the column that takes the keys."""
    scalar: str | None = None
    """JSON whose rows are plain texts or numbers: the column that takes them."""
    numbers: list[str] = []
    """Columns of a CSV or TSV that hold numbers, or true and false; an empty cell is null."""
    absent: list[str] = []
    """Columns of texts that these files lack: their rows are ids, groups and gold alone, on which score files can be
    measured. The digest of the task's rows then covers no text, wherever the rows come from."""
    join: list[JoinRule] = []
    sha256: dict[str, Sha256] = {}
    """Path -> digest of the file as upstream has it; another digest is an error unless changed data is allowed."""


class FitRule(_Strict):
    """`[fit]`: the rows that a probe or a threshold is fitted on, of the same columns as the task's own."""

    split: str
    """Name of the split on the hub."""
    files: list[LayoutRule] = Field(min_length=1)
    parts: list[HubPart] = []
    n: int | None = Field(default=None, ge=1)


class ExcludeRule(_Strict):
    """`[[rows.exclude]]`: rows that the benchmark's own rule drops. They are counted, and are not in n."""

    column: str
    values: list[Label] = []
    """The column's values; an empty list: a missing, null or empty one."""
    why: str


class VariantRule(_Strict):
    """`[[rows.variants]]`: each row of upstream makes one example per variant."""

    set: dict[str, str] = {}
    """Columns that name the variant, the same for every row."""
    take: dict[str, str] = {}
    """New column -> the column whose value it takes in this variant."""


class RowRules(_Strict):
    """`[rows]`: what identifies a row, which rows it depends on, and how it is brought into columns."""

    id: list[str] = Field(default=["@file", "@row"], min_length=1)
    """Columns, or `@file`, `@row`, `@<group>`; joined by `/`. Unique within the task version."""
    cluster: list[str] = []
    """The same names, or `@prompt`; rows with equal values are dependent. Empty: rows are independent."""
    adapt: str | None = None
    """Name of a row transform in `adapt.py`."""
    variants: list[VariantRule] = []
    gather: list[str] = []
    """Rows with equal values here become one, with the columns of the first and all of them under `rows`."""
    adapt_gathered: str | None = None
    """Name of a row transform for the gathered rows."""
    rater: str | None = None
    """The column with the rater whose own preference the row asks for."""
    weight: str | None = None
    """The column with the row's weight, or `@comparisons`: the number of comparisons that people decided in it."""
    exclude: list[ExcludeRule] = []
    empty: Literal["keep", "exclude", "refuse"] = "keep"
    """The treatment of a row with an empty candidate."""
    identical: Literal["keep", "exclude", "refuse"] = "keep"
    """... with two candidates of the same text and prompt."""
    duplicate: Literal["keep", "exclude", "refuse"] = "keep"
    """... with the prompt and the candidates of an earlier row."""
    max_tokens: int | None = Field(default=None, ge=1)


class MediaRoots(_Strict):
    """`[media]`: where images and videos are."""

    roots: list[str] = ["."]
    """Folders below the data set's folder, tried in order."""


class LevelRule(_Strict):
    """One step of an aggregate, outermost first."""

    group: str
    weights: dict[str, float] | None = None


class MetricRule(_Strict):
    """`[[metric]]`: the fields of `rmbench.metric_spec.MetricSpec`. The first is the headline."""

    name: MetricName
    rule: Rule
    tie: float = Field(default=0.0, ge=0, le=1)
    unparsed: float = Field(default=0.0, ge=0, le=1)
    levels: list[LevelRule] = []
    where: dict[str, list[str]] = {}
    report: list[list[str]] = []
    dimension: str = ""
    annotator: str = ""
    of: list[str] = []
    """For `mean_of`: the metrics it is the plain mean of."""
    probe: Literal["", "upstream", "logistic"] = ""
    chance: Chance = None
    join: str = ""
    human_tie: float = Field(default=0.0, ge=0, le=1)
    tie_within: float = Field(default=0.0, ge=0)
    classes: list[str] = []
    threshold: float | None = None
    positive_above: float = 0.5
    flip_rate: float = Field(default=0.0, ge=0, lt=0.5)
    min_coverage: float = Field(default=0.99, ge=0, le=1)
    propensity: str = ""
    clip: float = Field(default=0.0, ge=0, le=1)
    k: int | None = Field(default=None, ge=1)
    gain: Literal["linear", "exponential"] = "linear"
    credit: Literal["pair", "top"] = "pair"
    between: list[str] = []
    min_rows: int = Field(default=1, ge=1)


class TaskFacts(_Strict):
    """The facts of a benchmark, which its declaration and its task share."""

    id: TaskId
    version: int = Field(ge=1)
    title: str
    family: Family
    modality: Literal["text", "image", "video"]
    shape: Shape
    n: int = Field(ge=1)
    """Rows of the whole task version, those that a rule excludes among them."""
    render: Literal["chat", "raw"] = "chat"
    voting: Literal["majority", "mean", "each"] = "majority"
    """How several verdicts on one question become one, unless the user says otherwise."""
    official: bool = True
    """False: the benchmark defines no metric and the headline is ours."""
    verified: bool
    """True: rows of the real set were read by this very declaration."""
    license: str | None = None
    paper: str | None = None
    quirks: tuple[str, ...] = Field(default=(), strict=False)
    aliases: tuple[TaskId, ...] = Field(default=(), strict=False)


class Declaration(TaskFacts):
    """A whole TOML."""

    source: SourceRule = SourceRule()
    files: list[LayoutRule] = Field(min_length=1)
    fit: FitRule | None = None
    media: MediaRoots = MediaRoots()
    rows: RowRules = RowRules()
    columns: Columns
    groups: dict[str, Group] = {}
    totals: dict[str, dict[str, int]] = {}
    """Group -> value -> its rows in the whole task version, without excluded ones: the denominator of its coverage
    where files are missing. Of a group not named here it is then unknown."""
    metric: list[MetricRule] = Field(min_length=1)
