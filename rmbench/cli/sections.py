"""Help in sections: options by what they are about, commands by what they are for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import click

__all__ = ["COMMANDS", "OPTIONS", "SectionedCommand", "SectionedGroup"]

OPTIONS: Mapping[str, Sequence[str]] = {
    "What to judge": (
        "model",
        "tasks",
        "data",
        "columns",
        "include_path",
        "source",
        "images",
        "allow_url_fetch",
        "allow_changed_data",
        "shots",
        "shots_layout",
        "reference",
        "limit",
        "seed",
    ),
    "How the model is opened": (
        "revision",
        "adapter",
        "base_model",
        "ref_model",
        "device",
        "dtype",
        "attn",
        "template",
        "special_tokens",
        "max_length",
        "model_args",
        "objective_weights",
        "trust_remote_code",
        "ignore_tensors",
        "allow_pickle",
    ),
    "How it is computed": (
        "batch_tokens",
        "workers",
        "tensor_parallel",
        "executor",
        "ray_address",
        "gpus_per_worker",
        "cpus_per_worker",
        "shard",
        "cache",
        "share",
    ),
    "Judges on servers": (
        "base_url",
        "api_key_env",
        "header_env",
        "query",
        "budgets",
        "frames",
        "max_cost",
        "vllm_bin",
        "window",
        "requests_out",
        "responses_in",
    ),
    "Output": ("out", "overwrite", "retry_failed", "save_prompts", "as_json", "help"),
}
"""Heading -> the options below it, by the names of their parameters; docs/running.md has the same tables."""

COMMANDS: Mapping[str, Sequence[str]] = {
    "Judge": ("run", "score", "generators", "retrieval", "probe"),
    "Look at results": ("show", "report", "view", "dissect", "annotators"),
    "Compare": ("compare", "gate", "board"),
    "Benchmarks and models": ("tasks", "task", "fetch", "models", "validate"),
    "Is it right?": ("check", "show-prompt", "verify"),
    "Share": ("export", "submit"),
    "Records and cache": ("merge", "rescore", "cache"),
}
"""Heading -> the commands below it."""


class SectionedCommand(click.Command):
    """A command whose own options come first and the shared ones in sections."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options."""
        lines = {_name(each): each.get_help_record(ctx) for each in self.get_params(ctx)}
        shared = {name for names in OPTIONS.values() for name in names}
        sections = {"Options": [name for name in lines if name not in shared], **OPTIONS}
        _write(formatter, sections, {name: line for name, line in lines.items() if line is not None})


class SectionedGroup(click.Group):
    """Commands in sections."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, each with the first sentence of its help."""
        room = formatter.width - 6 - max(map(len, self.commands))
        lines = {name: (name, each.get_short_help_str(room)) for name, each in self.commands.items() if not each.hidden}
        _write(formatter, COMMANDS, lines)


def _name(parameter: click.Parameter) -> str:
    """Its name; click has one of its own for --help."""
    return "help" if "--help" in parameter.opts else parameter.name or ""


def _write(
    formatter: click.HelpFormatter, sections: Mapping[str, Iterable[str]], lines: Mapping[str, tuple[str, str]]
) -> None:
    for heading, found in _found(sections, lines):
        with formatter.section(heading):
            formatter.write_dl(found)


def _found(
    sections: Mapping[str, Iterable[str]], lines: Mapping[str, tuple[str, str]]
) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    for heading, names in sections.items():
        if found := [lines[name] for name in names if name in lines]:
            yield heading, found
