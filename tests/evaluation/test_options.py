"""One set of options: what the Python API and the command line take, refuse and explain."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_type_hints

import click
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rmbench
from rmbench import resources
from rmbench.cli import cli
from rmbench.errors import RmbenchError
from rmbench.evaluation.options import RunArguments, RunOptions
from rmbench.evaluation.probe import probe
from rmbench.evaluation.score_rows import _OF_RECORDS
from rmbench.models.options import OpenArguments, OpenOptions, checked, kind_of, options_of

OWN_PARAMETERS = {
    "run": {"model", "tasks", "as_json", "budgets", "frames"},
    "probe": {"model", "tasks", "as_json", "probes"},
    "score": {
        *("model", "as_json", "prompt", "responses", "system"),
        *("images", "videos", "prompt_images", "prompt_videos"),
        *("data", "out", "best_of", "name_as", "overwrite"),
    },
    "check": {"model", "as_json", "published", "against"},
    "rescore": {"folder", "as_json", "neighbourhood", "fit_weights", "seed"},
    "merge": {"shards", "as_json"},
    "tasks": {"selector", "as_json", "of_suites", "ids_of"},
    "show": {"what", "as_json", "group"},
}


def through_run(out: Path, **options: Any) -> Any:
    return rmbench.run("fake:oracle", "rm-bench", source="sample", out=out, **options)


def through_probe(out: Path, **options: Any) -> Any:
    return probe("tiny-bt", "rm-bench", source="sample", out=out, **options)


def through_score(out: Path, **options: Any) -> Any:
    return rmbench.score_responses("tiny-bt", "Q", ["a", "b"], **options)


def through_check(out: Path, **options: Any) -> Any:
    return rmbench.check("tiny-bt", out=out, **options)


DOORS = {"run": through_run, "probe": through_probe, "score_responses": through_score, "check": through_check}


@pytest.fixture(params=list(DOORS))
def door(request: pytest.FixtureRequest) -> tuple[str, Callable[..., Any]]:
    return request.param, DOORS[request.param]


NAMED: dict[str, tuple[Any, Any]] = {
    "run": (rmbench.run, RunOptions),
    "probe": (probe, RunOptions),
    "show_prompts": (rmbench.show_prompts, RunOptions),
    "score_responses": (rmbench.score_responses, OpenOptions),
    "score_rows": (rmbench.score_rows, RunOptions),
    "check": (rmbench.check, OpenOptions),
}


@pytest.mark.parametrize("name", NAMED)
def test_every_option_is_a_named_parameter(name: str) -> None:
    """What a notebook completes and `help` prints: names, types, defaults, help."""
    function, schema = NAMED[name]
    shown = inspect.signature(function).parameters
    defaults, hints = schema(), get_type_hints(schema)
    assert not [each for each in shown.values() if each.kind is inspect.Parameter.VAR_KEYWORD]
    own = {"data", "out"} if name == "score_rows" else set()
    left_out = set(options_of(schema)) - set(shown)
    assert left_out == (set(_OF_RECORDS) if name == "score_rows" else set())
    for option in set(options_of(schema)) - own - left_out:
        assert shown[option].kind is inspect.Parameter.KEYWORD_ONLY
        assert f"\n    {option}: " in inspect.getdoc(function)
        if shown[option].annotation == hints[option]:  # `check` has an `out` of its own
            assert shown[option].default == getattr(defaults, option)
    lines = inspect.getdoc(function).partition("Options:")[2].splitlines()
    assert not [line for line in lines if "--" in line or "repeat" in line]


@pytest.mark.parametrize(("arguments", "schema"), [(RunArguments, RunOptions), (OpenArguments, OpenOptions)])
def test_what_an_editor_completes_are_the_options(arguments: Any, schema: type[Any]) -> None:
    """The types too: each takes what the option's value is, and text where that is a path."""
    hints = get_type_hints(arguments)
    assert set(hints) == set(options_of(schema))
    for name, hint in hints.items():
        of_value = get_type_hints(schema)[name]
        taken = set(get_args(hint)) or {hint}
        wanted = set(get_args(of_value)) if isinstance(of_value, UnionType) else {of_value}
        kind = kind_of(schema, name)
        if options_of(schema)[name].parse or kind in (tuple, Mapping):
            assert (NoneType in taken) == (NoneType in wanted), name
        else:
            assert taken - wanted <= ({str} if kind is Path else {Path}), name
            assert wanted <= taken, name


def refused(door: tuple[str, Callable[..., Any]], out: Path, **options: Any) -> str:
    with pytest.raises(RmbenchError) as caught:
        door[1](out, **options)
    assert not list(out.iterdir())  # nothing was begun
    return str(caught.value)


def test_an_unknown_option_names_the_nearest(door: Any, tmp_path: Path) -> None:
    message = refused(door, tmp_path, max_lenght=3)
    assert message == f"{door[0]}() has no option 'max_lenght'. Did you mean \"max_length\"?"


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"max_length": 0}, "max_length must be at least 1, not 0."),
        ({"max_length": "3"}, "max_length must be a whole number or None, not '3'."),
        ({"max_length": True}, "max_length must be a whole number or None, not True."),
        ({"max_length": 2.5}, "max_length must be a whole number or None, not 2.5."),
        ({"seed": None}, "seed must be a whole number, not None."),
        ({"allow_pickle": "no"}, "allow_pickle must be True or False, not 'no'."),
        ({"template": 3}, "template must be a path or None, not 3."),
        ({"adapter": ["scalar"]}, "adapter must be a text or None, not ['scalar']."),
        ({"base_url": [1]}, "base_url must be a text or several, not [1]."),
        ({"model_args": "a=b"}, "model_args must be texts by name, not 'a=b'."),
        (
            {"attn": "eagr"},
            """attn must be one of auto, eager, sdpa, flash_attention_2, not 'eagr'. Did you mean "eager"?""",
        ),
    ],
)
def test_a_wrong_value_is_one_clear_error(door: Any, tmp_path: Path, option: dict[str, Any], message: str) -> None:
    assert refused(door, tmp_path, **option) == message


TINY = resources.bundled_models() / "tiny-bt"


@pytest.mark.parametrize("form", [Path, str])
def test_a_model_and_a_task_are_taken_as_text_and_as_paths(form: Any, tmp_path: Path) -> None:
    task = rmbench.select_tasks("llmbar")[0].path
    model, tasks = form(TINY), [form(task), "rm-bench"]
    given: dict[str, Any] = {"source": "sample"}
    expected = rmbench.run("tiny-bt", "llmbar,rm-bench", out=tmp_path / "named", **given)
    probed = probe(model, form(task), out=tmp_path / "probed", **given)
    for results in (rmbench.run(model, tasks, out=tmp_path / "run", **given), probed):
        assert results.headline("llmbar").value == expected.headline("llmbar").value
    assert rmbench.score_responses(model, "Q", ["a", "b"]) == rmbench.score_responses("tiny-bt", "Q", ["a", "b"])
    assert rmbench.check(model, write=False).passed
    assert rmbench.show_prompts(form(task), model, source="sample").task == "llmbar"
    assert [each.id for each in rmbench.select_tasks(form(task))] == ["llmbar"]


@pytest.mark.parametrize("tasks", [3, [3], ["rm-bench", None], b"rm-bench"])
def test_tasks_of_another_type_are_one_clear_error(tasks: Any, tmp_path: Path) -> None:
    with pytest.raises(RmbenchError, match="tasks must be texts or paths, one or several, not"):
        rmbench.run("fake:oracle", tasks, source="sample", out=tmp_path)


def test_a_template_given_as_text_is_a_path(tmp_path: Path) -> None:
    file = tmp_path / "chat.jinja"
    file.write_text("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}")
    scored = [rmbench.score_responses("tiny-bt", "Q", ["a", "b"], template=form) for form in (str(file), file)]
    assert scored[0] == scored[1] != rmbench.score_responses("tiny-bt", "Q", ["a", "b"])
    with pytest.raises(RmbenchError, match=r"missing\.jinja"):
        rmbench.score_responses("tiny-bt", "Q", ["a", "b"], template=str(tmp_path / "missing.jinja"))


def test_values_become_those_of_the_fields() -> None:
    options = checked(
        RunOptions,
        {
            "out": "records",
            "source": Path("rows"),
            "base_url": "http://a",
            "data": [Path("a.jsonl"), "b.jsonl"],
            "include_path": Path("mine"),
            "limit": np.int64(3),
            "model_args": {"beta": 0.5, "gate": True},
            "objective_weights": "a=1,b=-2",
        },
        "run",
    )
    assert (options.out, options.source, options.base_url) == (Path("records"), "rows", ("http://a",))
    assert (options.data, options.include_path) == (("a.jsonl", "b.jsonl"), ("mine",))
    assert type(options.limit) is int
    assert options.model_args == {"beta": "0.5", "gate": "true"}
    assert options.objective_weights == {"a": 1.0, "b": -2.0}


@given(st.sampled_from(sorted(options_of(RunOptions))), st.none() | st.booleans() | st.integers() | st.text(max_size=3))
def test_a_value_is_taken_as_its_type_or_refused_by_name(name: str, value: object) -> None:
    facts = options_of(RunOptions)[name]
    try:
        taken = getattr(checked(RunOptions, {name: value}, "run"), name)
    except RmbenchError as error:
        assert name.replace("_", " ") in str(error).replace("_", " ")  # noqa: PT017
        return
    if value is None:
        assert type(None) in get_type_hints(RunOptions)[name].__args__
    elif facts.parse is None:
        assert isinstance(taken, kind_of(RunOptions, name))
        assert type(taken) is not bool or kind_of(RunOptions, name) is bool
        assert facts.minimum is None or taken >= facts.minimum


def test_every_option_has_its_help_and_a_kind_that_is_checked() -> None:
    for name, facts in options_of(RunOptions).items():
        assert facts.help.endswith((".", "]", "...")), name
        assert facts.parse or kind_of(RunOptions, name) in (bool, int, float, str, Path, tuple, Mapping)
    assert {each.name for each in fields(RunOptions)} - set(options_of(RunOptions)) == {"note"}


@pytest.mark.parametrize("command", list(OWN_PARAMETERS))
def test_a_command_has_the_options_that_name_it(command: str) -> None:
    """Adding a field is enough: its click option, default and help follow."""
    on_line = {each.name: each for each in cli.commands[command].params}
    declared = {name: facts for name, facts in options_of(RunOptions).items() if command in facts.commands}
    assert set(on_line) - OWN_PARAMETERS[command] == set(declared)
    defaults = RunOptions()
    for name, facts in declared.items():
        parameter = on_line[name]
        assert isinstance(parameter, click.Option)
        assert parameter.help == facts.help
        if kind_of(RunOptions, name) in (bool, int, str, Path) and getattr(defaults, name) is not None:
            assert parameter.default == getattr(defaults, name)
    flags = {flag for parameter in on_line.values() for flag in parameter.opts}
    assert command in ("tasks", "show") or flags >= {"--out", "--output-path"} or command == "score"
    assert command != "run" or flags >= {"--no-cache", "--no-share", "--trust-remote-code"}


def test_options_of_a_model_are_those_of_a_run() -> None:
    assert set(options_of(OpenOptions)) < set(options_of(RunOptions))
    assert pickle.loads(pickle.dumps(RunOptions(limit=3))) == RunOptions(limit=3)
