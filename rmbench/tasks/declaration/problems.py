"""What is wrong with a declaration, in one sentence: file, key, what was expected, and the nearest right spelling."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from rmbench.errors import RmbenchError, did_you_mean

__all__ = ["first_problem", "problem"]

_PLAIN = {
    "string_type": "a string",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}


def problem(path: Path, key: str, what: str) -> RmbenchError:
    """The error for one key of one declaration."""
    return RmbenchError(f"{path}: {key}: {what}" if key else f"{path}: {what}")


def first_problem(path: Path, schema: type[BaseModel], error: ValidationError) -> RmbenchError:
    """The one error to tell: a misspelt key explains a missing one, so unknown keys come first."""
    errors = error.errors(include_url=False)
    found = next((each for each in errors if each["type"] == "extra_forbidden"), errors[0])
    loc, kind = found["loc"], found["type"]
    if kind == "extra_forbidden":
        return problem(path, _dotted(loc), _unknown(schema, loc))
    if kind == "missing":
        return problem(path, _dotted(loc), "this key is missing.")
    return problem(path, _dotted(loc), _wrong(kind, found.get("ctx", {}), found["input"], found["msg"]))


def _wrong(kind: str, ctx: dict[str, Any], given: Any, message: str) -> str:
    if kind == "literal_error":
        expected = str(ctx["expected"])
        words = [word.strip().strip("'") for word in expected.replace(" or ", ", ").split(",")]
        near = did_you_mean(given, words) if isinstance(given, str) else ""
        return f"expected one of {', '.join(words)}; found {given!r}.{near}"
    if kind in _PLAIN:
        return f"expected {_PLAIN[kind]}; found {given!r}."
    if kind == "value_error":
        return f"{ctx['error']}; found {given!r}."
    return f"{message[0].lower()}{message[1:]}; found {given!r}."


def _unknown(schema: type[BaseModel], loc: Sequence[int | str]) -> str:
    name = str(loc[-1])
    known = _keys_at(schema, loc[:-1])
    near = did_you_mean(name, known)
    if near:
        return f"unknown key.{near}"
    homes = sorted({home for home, model in _sections(schema).items() if name in model.model_fields})
    if homes:
        return f"unknown key here; it belongs in [{homes[0]}]."
    return f"unknown key. Known here: {', '.join(known)}."


def _dotted(loc: Sequence[int | str]) -> str:
    """`("metric", 0, "rule")` as `metric[0].rule`."""
    out = ""
    for part in loc:
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else str(part)
    return out


def _keys_at(schema: type[BaseModel], loc: Sequence[int | str]) -> list[str]:
    """The keys that the table at `loc` may have."""
    model = schema
    for part in loc:
        if isinstance(part, str) and part in model.model_fields:
            model = _model_in(model.model_fields[part].annotation) or model
    return list(model.model_fields)


def _sections(schema: type[BaseModel]) -> dict[str, type[BaseModel]]:
    inner = {name: _model_in(info.annotation) for name, info in schema.model_fields.items()}
    return {name: model for name, model in inner.items() if model is not None}


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The table's schema inside an annotation such as `list[Annotated[TextRule, ...]] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for each in get_args(annotation) if (model := _model_in(each)) is not None), None)
