"""The `rmbench` command. Nothing heavy is imported until a command needs it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from rmbench.cli.boards import board
from rmbench.cli.cache import cache
from rmbench.cli.check import check
from rmbench.cli.gate import compare, gate
from rmbench.cli.listing import models, tasks, validate
from rmbench.cli.probe import probe
from rmbench.cli.rescore import rescore
from rmbench.cli.run import run
from rmbench.cli.score import score
from rmbench.cli.show import show
from rmbench.cli.show_prompt import show_prompt

__all__ = ["cli", "main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="rmbench", prog_name="rmbench", message="%(prog)s %(version)s")
def cli() -> None:
    """Run reward models on preference benchmarks, each by the benchmark's own definition.

    \b
    rmbench run --model tiny-bt --tasks all --source sample
    rmbench run --model org/name --tasks rm-bench,rmb-bon --out results
    rmbench compare results/A results/B
    """


for command in (
    run,
    tasks,
    models,
    show,
    show_prompt,
    validate,
    score,
    check,
    rescore,
    probe,
    board,
    compare,
    gate,
    cache,
):
    cli.add_command(command)


def normalize_option(argument: str) -> str:
    """An option with hyphens for underscores in its name; values stay as they are."""
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument.partition("=")
    return name.replace("_", "-") + equals + value


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point: one message per error, and the documented exit codes."""
    from rmbench.errors import RmbenchError

    words = [normalize_option(word) for word in (sys.argv[1:] if arguments is None else arguments)]
    bad_input = 3 if words[:1] == ["gate"] else 2
    try:
        code = cli.main(args=words, standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo("\nStopped. The same command resumes the run.", err=True)
        code = 130
    except click.ClickException as error:
        error.show()
        code = bad_input
    except RmbenchError as error:
        click.echo(f"rmbench: {error}", err=True)
        code = 3 if bad_input == 3 else error.exit_code
    except BrokenPipeError:
        sys.stderr.close()
        code = 1
    sys.exit(code if isinstance(code, int) else 0)
