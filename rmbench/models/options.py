"""Options as data: one definition each, read by the Python API and the command line; and those of opening a model."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypedDict, TypeVar, get_args, get_origin, get_type_hints

from rmbench.errors import RmbenchError, did_you_mean

__all__ = [
    "OpenArguments",
    "OpenOptions",
    "Option",
    "checked",
    "kind_of",
    "option",
    "options_of",
    "silent",
]

Schema = TypeVar("Schema")

_SETTINGS = ("adapter", "base_model", "ref_model", "dtype", "attn", "max_length", "special_tokens")
"""Options that change scores, whose values read well in a name."""
_NAME = re.compile(r"[\w.+-]{1,40}", re.ASCII)

DTYPES = {"float32": ("fp32", "float"), "bfloat16": ("bf16",), "float16": ("fp16", "half")}
"""dtype -> its other spellings."""

_EXPECTED = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "a text",
    Path: "a path",
    tuple: "a text or several",
    Mapping: "texts by name",
}


@dataclass(frozen=True, slots=True)
class Option:
    """What an option is besides its name, its type and its default."""

    help: str
    commands: tuple[str, ...] = ("run", "score", "check", "probe", "show-prompt", "verify")
    """Commands whose command line has it; in Python every option of a class is one of its keyword arguments."""
    flags: tuple[str, ...] = ()
    """Spellings on the command line; (): `--name`, or `--no-name` where it is on by default."""
    metavar: str | None = None
    choices: tuple[str, ...] = ()
    minimum: int | None = None
    exists: bool = False
    """Whether the command line takes a file only where there is one."""
    parse: Callable[[Any], Any] | None = None
    """Turns what the user gives into a value, or raises RmbenchError; None: by the type alone."""
    servers: bool = False
    """Whether it concerns only models that servers or files of answers stand for."""


def option(default: Any, help: str, **facts: Any) -> Any:  # noqa: A002
    """A dataclass field that is an option; `facts` are further fields of `Option`."""
    metadata = {"option": Option(help, **facts)}
    return (
        field(default_factory=dict, metadata=metadata) if default is dict else field(default=default, metadata=metadata)
    )


def options_of(schema: type[Any]) -> dict[str, Option]:
    """The options of an options class by name, in the order of its fields."""
    return {each.name: each.metadata["option"] for each in fields(schema) if "option" in each.metadata}


def kind_of(schema: type[Any], name: str) -> Any:
    """The type of an option's values, None left aside: bool, int, str, Path, tuple, Mapping."""
    hint = get_type_hints(schema)[name]
    if isinstance(hint, UnionType):
        hint = next(each for each in get_args(hint) if each is not NoneType)
    return get_origin(hint) or hint


def checked(schema: type[Schema], arguments: Mapping[str, Any], caller: str) -> Schema:
    """Keyword arguments of the Python API as an options object.

    Raises:
        RmbenchError: an unknown name, with the nearest right one; a value of another type, below the minimum, or not
            among the choices.
    """
    known = options_of(schema)
    for name in arguments:
        if name not in known:
            raise RmbenchError(f"{caller}() has no option {name!r}.{did_you_mean(name, known)}")
    return schema(**{name: _value(schema, name, known[name], value) for name, value in arguments.items()})


def dtype_spelled(value: object) -> str:
    """A dtype by the name that records have for it, whether it is spelled otherwise or torch's own object; any other
    value as text."""
    name = str(value).removeprefix("torch.").lower()
    return next((known for known, others in DTYPES.items() if name in (known, *others)), str(value))


def _value(schema: type[Any], name: str, facts: Option, value: Any) -> Any:
    optional = NoneType in get_args(get_type_hints(schema)[name])
    if value is None and optional:
        return None
    kind = kind_of(schema, name)
    converted = _converted(kind, value) if facts.parse is None else facts.parse(value)
    if converted is None:
        raise RmbenchError(f"{name} must be {_EXPECTED[kind]}{' or None' if optional else ''}, not {value!r}.")
    if facts.minimum is not None and converted < facts.minimum:
        raise RmbenchError(f"{name} must be at least {facts.minimum}, not {value}.")
    if facts.choices and converted not in facts.choices:
        near = did_you_mean(converted, facts.choices)
        raise RmbenchError(f"{name} must be one of {', '.join(facts.choices)}, not {value!r}.{near}")
    return converted


def _converted(kind: Any, value: Any) -> Any:
    """The value as `kind`; None where it is of another type. Text is a path where a path is wanted, and the reverse."""
    if kind is bool:
        return value if isinstance(value, bool) else None
    if kind is int:
        return int(value) if isinstance(value, Integral) and not isinstance(value, bool) else None
    if kind is float:
        return float(value) if isinstance(value, Real) and not isinstance(value, bool) else None
    if kind in (str, Path):
        return kind(value) if isinstance(value, str | os.PathLike) else None
    if kind is tuple:
        texts = value if isinstance(value, list | tuple) else (value,)
        return tuple(map(str, texts)) if all(isinstance(text, str | os.PathLike) for text in texts) else None
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        return None
    return {key: _text_of(each) for key, each in value.items()}


def _text_of(value: Any) -> str:
    """A setting's value as the command line takes it."""
    if isinstance(value, bool | None):
        return str(value).lower()
    return json.dumps(value) if isinstance(value, Mapping | list | tuple) else str(value)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:8]


def _short(value: str) -> str:
    """A setting's value for a name: of a path its last part, of what is long or has other signs a digest."""
    last = value.rstrip("/").rpartition("/")[2]
    return last if _NAME.fullmatch(last) else _digest(value.encode("utf-8", "surrogatepass"))


def silent(_: str) -> None:
    """Discard a note."""


class OpenArguments(TypedDict, total=False):
    """The options of `OpenOptions` as keyword arguments, for editors and type checkers; their meaning is there."""

    seed: int
    name: str | None
    revision: str | None
    adapter: str | None
    base_model: str | None
    ref_model: str | None
    device: str
    gpus_per_worker: int | None
    dtype: str
    attn: str
    template: Path | str | None
    special_tokens: str
    max_length: int | None
    model_args: Mapping[str, Any]
    base_url: str | Sequence[str]
    api_key_env: str | None
    query: str | Sequence[str]
    header_env: str | Sequence[str]
    max_cost: float | None
    vllm_bin: Path | str | None
    requests_out: Path | str | None
    responses_in: Path | str | None
    trust_remote_code: bool
    allow_pickle: bool
    ignore_tensors: str | Sequence[str]


@dataclass(frozen=True)
class OpenOptions:
    """How a model is opened. None and "auto" are resolved from the card and the checkpoint, printed and stored."""

    seed: int = option(0, "Seed of drawn rows, bootstraps and fake models.", commands=("run", "probe"))
    name: str | None = option(None, "What a Python function is called in tables and records.", commands=())
    revision: str | None = option(None, "Hub revision of the model: a commit, branch or tag.")
    adapter: str | None = option(None, "Model family, if the checkpoint does not show it.", metavar="FAMILY")
    base_model: str | None = option(
        None, "Base of an adapter. [default: the one that adapter_config.json names]", metavar="MODEL"
    )
    ref_model: str | None = option(None, "Reference policy of an implicit reward.", metavar="MODEL")
    device: str = option("auto", "auto (a GPU if there is one), cpu, cuda, cuda:1 ...")
    gpus_per_worker: int | None = option(
        None,
        "GPUs of each worker, or of this process; over 1, the model is spread over them. [default: 1 where there are "
        "GPUs]",
        commands=("run", "score", "check", "probe"),
        minimum=0,
    )
    dtype: str = option(
        "auto",
        "auto: the checkpoint's on a GPU, float32 on a CPU.",
        choices=("auto", *DTYPES),
        parse=dtype_spelled,
    )
    attn: str = option("auto", "Attention implementation.", choices=("auto", "eager", "sdpa", "flash_attention_2"))
    template: Path | None = option(None, "Jinja chat template to use instead of the model's.", exists=True)
    special_tokens: str = option(
        "parsed", "How special tokens that messages spell are read: as such, or as text.", choices=("parsed", "text")
    )
    max_length: int | None = option(None, "Most tokens of a row. [default: the model's own]", minimum=1)
    model_args: Mapping[str, str] = option(
        dict, "Further settings of the model's family; repeat or join by commas.", metavar="K=V"
    )
    base_url: tuple[str, ...] = option(
        (), "Server of openai: and served: models; repeat to share the work among several.", metavar="URL", servers=True
    )
    api_key_env: str | None = option(
        None, "Variable with the servers' key. [default: OPENAI_API_KEY]", metavar="NAME", servers=True
    )
    query: tuple[str, ...] = option(
        (),
        "Query of each request to servers, such as api-version=2024-10-21; repeat for several.",
        metavar="KEY=VALUE",
        servers=True,
    )
    header_env: tuple[str, ...] = option(
        (),
        "Header of requests to servers and the variable that holds its value, such as api-key=AZURE_KEY; repeat for "
        "several.",
        metavar="HEADER=NAME",
        servers=True,
    )
    max_cost: float | None = option(
        None,
        "End the run where its replies have cost this much, at the prices price_in and price_out of --model-args.",
        commands=("run",),
        metavar="AMOUNT",
        minimum=0,
        servers=True,
    )
    vllm_bin: Path | None = option(None, "The vllm program. [default: $RMBENCH_VLLM, else on the PATH]", servers=True)
    requests_out: Path | None = option(
        None, "Write a judge's questions to this file and judge nothing.", commands=("run",), servers=True
    )
    responses_in: Path | None = option(
        None, "Read the answers to such questions from this file.", commands=("run",), exists=True, servers=True
    )
    trust_remote_code: bool = option(False, "Run Python code that the checkpoint contains.")
    allow_pickle: bool = option(False, "Unpickle weights in full, which can run code; only for files you made.")
    ignore_tensors: tuple[str, ...] = option(
        (), "Tensors of the checkpoint that the model may leave out; repeat for several.", metavar="GLOB"
    )
    note: Callable[[str], None] = field(default=silent, compare=False, repr=False)
    """Called with a line on whatever takes long or goes wrong at servers; from any thread."""

    def of_servers(self) -> list[str]:
        """The options that were given and have a meaning only for models behind servers or files."""
        return [name for name, facts in options_of(OpenOptions).items() if facts.servers and getattr(self, name)]

    @property
    def variant(self) -> str:
        """The settings given that change scores, as the end of the model's revision: `+dtype=float16,gate=scaled`; ""
        where everything is the model's own."""
        given = {name: getattr(self, name) for name in _SETTINGS}
        named = {name: value for name, value in given.items() if value not in (None, "auto", "parsed")}
        if self.template is not None:
            named["template"] = f"{self.template.stem}-{_digest(self.template.read_bytes())}"
        if self.ignore_tensors:
            named["ignore_tensors"] = _digest(" ".join(self.ignore_tensors).encode())
        named |= {
            key: dtype_spelled(value) if key == "head_dtype" else value
            for key, value in sorted(self.model_args.items())
        }
        return "+" + ",".join(f"{name}={_short(str(value))}" for name, value in named.items()) if named else ""

    def check_model_args(self, family: str, known: tuple[str, ...]) -> None:
        """Raise RmbenchError for a model argument that the family does not have."""
        for key in self.model_args:
            if key not in known:
                has = f"it has {', '.join(known)}" if known else "it has none"
                raise RmbenchError(
                    f"--model-args: a {family} model has no setting {key!r} ({has}).{did_you_mean(key, known)}"
                )
