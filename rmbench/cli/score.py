"""`rmbench score`: responses to one prompt."""

from __future__ import annotations

from typing import Any

import click

from rmbench.cli.options import add_options, json_option, model_option

__all__ = ["score"]


@click.command()
@model_option
@click.option("--prompt", "-p", required=True, help="The user's message.")
@click.option("--response", "-r", "responses", multiple=True, required=True, help="A response; give at least two.")
@click.option("--system", help="A system message before the prompt.")
@add_options("score")
@json_option
def score(as_json: bool, **options: Any) -> None:
    """Score responses to one prompt.

    Prints rewards, margins and P(first > other), the sigmoid of the margin (Bradley-Terry). Of a model that gives
    margins alone, those of all pairs.
    """
    from rmbench.cli.output import echo, echo_json
    from rmbench.evaluation.score import score_responses
    from rmbench.numeric import sigmoid

    scored = score_responses(**options)
    if as_json:
        echo_json(scored.to_dict())
        return
    if scored.rewards is not None:
        for name, reward in zip(scored.names, scored.rewards, strict=True):
            echo(f"{name}  {reward:+.6f}")
    # Differences of rewards follow from those of A; margins of their own need not.
    for i, above in enumerate(scored.names if scored.rewards is None else scored.names[:1]):
        for name, margin in zip(scored.names[i + 1 :], scored.matrix[i][i + 1 :], strict=True):
            echo(f"{above} - {name}  margin {margin:+.6f}  P({above} > {name}) {sigmoid(margin):.4f}")
