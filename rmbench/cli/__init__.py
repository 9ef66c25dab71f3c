"""The `rmbench` command. Nothing heavy is imported until a command needs it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from rmbench.cli.annotators import annotators
from rmbench.cli.boards import board
from rmbench.cli.cache import cache
from rmbench.cli.check import check
from rmbench.cli.dissect import dissect
from rmbench.cli.ending import CLOSED_PIPE, STOPPED, UNFORESEEN, close_pipes, interruptible, unforeseen
from rmbench.cli.export import export
from rmbench.cli.fetch import fetch
from rmbench.cli.gate import compare, gate
from rmbench.cli.generators import generators
from rmbench.cli.library_output import printable_libraries
from rmbench.cli.listing import models, tasks, validate
from rmbench.cli.merge import merge
from rmbench.cli.output import echo_error, echo_usage_error
from rmbench.cli.probe import probe
from rmbench.cli.report import report
from rmbench.cli.rescore import rescore
from rmbench.cli.retrieval import retrieval
from rmbench.cli.run import run
from rmbench.cli.score import score
from rmbench.cli.sections import SectionedGroup
from rmbench.cli.show import show
from rmbench.cli.show_prompt import show_prompt
from rmbench.cli.submit import submit
from rmbench.cli.task import task
from rmbench.cli.verify import verify
from rmbench.cli.view import view
from rmbench.cli.words import normalize_option, refuse_undecodable

__all__ = ["cli", "main"]


@click.group(cls=SectionedGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
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
    fetch,
    tasks,
    task,
    models,
    show,
    report,
    dissect,
    annotators,
    show_prompt,
    view,
    validate,
    verify,
    export,
    submit,
    score,
    generators,
    check,
    merge,
    rescore,
    probe,
    retrieval,
    board,
    compare,
    gate,
    cache,
):
    cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point: one message per error, and the documented exit codes."""
    if "_RMBENCH_COMPLETE" in os.environ:
        cli.main()  # the completion of a shell
    words = [normalize_option(word) for word in (sys.argv[1:] if arguments is None else arguments)]
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]

    def tell(error: BaseException) -> None:
        echo_error(f"rmbench: {unforeseen(error, words)}")

    with interruptible(), printable_libraries(tell):
        code = _exit_code(words)
    sys.exit(code)


def _exit_code(words: list[str]) -> int:
    """Run a command. Code 1 is for a regression, a failed check, a number of a table that differs or a submission that
    lacks something, and for nothing else."""
    from rmbench.errors import RmbenchError

    of_gate = words[:1] == ["gate"]
    try:
        refuse_undecodable(cli, words)
        with cli.make_context("rmbench", words) as context:
            code = cli.invoke(context)
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo(err=True)  # the terminal shows ^C on the last line
        echo_error("Stopped. The same command resumes the run.")
        return STOPPED
    except click.ClickException as error:
        echo_usage_error(error)
        return 3 if of_gate else 2
    except RmbenchError as error:
        echo_error(f"rmbench: {error}")
        return 3 if of_gate else error.exit_code
    except BrokenPipeError:
        close_pipes()
        return CLOSED_PIPE
    except BaseException as error:  # a panic of Rust code is no Exception, and sys.exit is for this module alone
        echo_error(f"rmbench: {unforeseen(error, words)}")
        return UNFORESEEN
