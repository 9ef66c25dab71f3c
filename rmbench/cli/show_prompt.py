"""`rmbench show-prompt`: what a model reads of a row."""

from __future__ import annotations

from typing import Any

import click

from rmbench.cli.options import add_options, json_option, model_option
from rmbench.cli.sections import SectionedCommand

__all__ = ["show_prompt"]


@click.command(cls=SectionedCommand, short_help="Show what a model reads of a row: text, tokens or messages.")
@click.argument("task", metavar="[TASK]", required=False)
@model_option
@click.option("--id", "ids", multiple=True, metavar="ID", help="A row; may be repeated. [default: the first row]")
@add_options("show-prompt")
@json_option
def show_prompt(task: str | None, as_json: bool, **options: Any) -> None:
    """Show the text, the token ids or the messages that a model reads of a row, of TASK or of --data.

    They are those of a run. Special tokens stand in ⟦ ⟧, so that text which merely spells one is told apart; below it
    is what was cut off, and whether the chat template dropped text. A judge behind an API is not contacted.
    """
    from rmbench.cli.output import echo_json, print_rich
    from rmbench.errors import RmbenchError
    from rmbench.evaluation.prompts import show_prompts
    from rmbench.evaluation.prompts_text import render

    if task is None and not options["data"]:
        raise RmbenchError("name a task (`rmbench tasks` lists them), or rows of your own by --data.")
    shown = show_prompts(task, **options)
    if as_json:
        echo_json(shown.to_dict())
    else:
        print_rich(render(shown), soft_wrap=True)
