"""Files and settings held against a pydantic schema. The first mistake is one `RmbenchError` that names the place, the
key, what was expected, what was found, and the nearest right spelling."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.untrusted.files import MIB, read_text

if TYPE_CHECKING:
    from pydantic import BaseModel, TypeAdapter
    from pydantic_core import ErrorDetails

__all__ = ["problem", "read_toml", "validated"]

Data = TypeVar("Data")

_EXPECTED = {
    "string_type": "a string",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}
"""Kind of pydantic's error -> what the value should have been."""
_MOST = 16 * MIB
_LONGEST = 100
"""Characters of a wrong value that a message repeats."""


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file; RmbenchError where it cannot be read or is not TOML."""
    try:
        return tomllib.loads(read_text(path, _MOST, f"{path}:"))
    except (ValueError, RecursionError) as error:  # a number of thousands of digits is a ValueError of its own
        raise RmbenchError(f"{path}: is not TOML: {error}.") from error


def validated(schema: type[Data], data: object, where: object, *, strict: bool | None = None) -> Data:
    """The data as an instance of the schema.

    Args:
        schema: a pydantic model, or a dataclass whose fields pydantic understands.
        data: what a file or the user gave.
        where: the file or option that the data is from, for the message.
        strict: as in `TypeAdapter.validate_python`.

    Raises:
        RmbenchError: a key is unknown, missing, or of the wrong type or value.
    """
    from pydantic import ValidationError

    try:
        valid: Data = _adapter(schema).validate_python(data, strict=strict)  # type: ignore[arg-type]  # a class is hashable
    except ValidationError as error:
        raise _first_problem(where, schema, error.errors(include_url=False)) from error
    return valid


@cache
def _adapter(schema: type[Any]) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(schema)


def problem(where: object, key: str, what: str) -> RmbenchError:
    """The error for one key of one file."""
    return RmbenchError(f"{where}: {key}: {what}" if key else f"{where}: {what}")


def _first_problem(where: object, schema: type[Any], errors: Sequence[ErrorDetails]) -> RmbenchError:
    """A misspelt key explains a missing one, so unknown keys come first."""
    first = next((each for each in errors if each["type"] == "extra_forbidden"), errors[0])
    what = _unknown(schema, first["loc"]) if first["type"] == "extra_forbidden" else _wrong(first)
    return problem(where, _dotted(first["loc"]), what)


def _wrong(error: ErrorDetails) -> str:
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind == "missing":
        return "this key is missing."
    found = f"; found {_shown(value)}" if error["loc"] else ""
    if kind == "literal_error":
        words = re.findall(r"'([^']*)'", str(context["expected"]))
        near = did_you_mean(value, words) if isinstance(value, str) else ""
        return f"expected one of {', '.join(words)}{found}.{near}"
    if kind in _EXPECTED:
        return f"expected {_EXPECTED[kind]}{found}."
    message = str(context["error"]) if kind == "value_error" else f"{error['msg'][0].lower()}{error['msg'][1:]}"
    return f"{message}{found}."


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits, tables too deep in each other
        text = f"a {type(value).__name__}"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _unknown(schema: type[Any], loc: Sequence[int | str]) -> str:
    name = str(loc[-1])
    known = _keys_at(schema, loc[:-1])
    near = did_you_mean(name, known)
    if near:
        return f"unknown key.{near}"
    homes = sorted({home for home, model in _tables(schema).items() if name in model.model_fields})
    if homes:
        return f"unknown key here; it belongs in [{homes[0]}]."
    return f"unknown key. Known here: {', '.join(known)}."


def _dotted(loc: Sequence[int | str]) -> str:
    """`("metric", 0, "rule")` as `metric[0].rule`."""
    out = ""
    for part in loc:
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else str(part)
    return out


def _keys_at(schema: type[Any], loc: Sequence[int | str]) -> list[str]:
    """The keys that the table at `loc` may have."""
    model = schema
    for part in loc:
        if isinstance(part, str) and part in model.model_fields:
            model = _model_in(model.model_fields[part].annotation) or model
    return [name for name, info in model.model_fields.items() if not info.exclude]


def _tables(schema: type[Any]) -> dict[str, type[BaseModel]]:
    """Key -> the schema of the table under it."""
    inner = {name: _model_in(info.annotation) for name, info in schema.model_fields.items()}
    return {name: model for name, model in inner.items() if model is not None}


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The table's schema inside an annotation such as `list[Annotated[TextRule, ...]] | None`."""
    from pydantic import BaseModel

    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for each in get_args(annotation) if (model := _model_in(each)) is not None), None)
