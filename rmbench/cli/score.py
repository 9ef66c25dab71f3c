"""`rmbench score`: responses to one prompt, or a file of rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rmbench.cli.options import add_options, json_option, model_option
from rmbench.cli.sections import SectionedCommand
from rmbench.errors import RmbenchError
from rmbench.evaluation.options import RunOptions

__all__ = ["score"]

_OF_ROWS = (
    *("out", "best_of", "name_as", "overwrite", "columns", "batch_tokens", "cache", "share", "window"),
    *("workers", "tensor_parallel", "executor", "ray_address", "cpus_per_worker"),
)
"""Options that go with --data alone."""
_MEDIA = ("images", "videos", "prompt_images", "prompt_videos")


@click.command(cls=SectionedCommand)
@model_option
@click.option("--prompt", "-p", help="The user's message.")
@click.option("--response", "-r", "responses", multiple=True, help="A response; give at least two.")
@click.option("--image", "images", multiple=True, metavar="FILE", help="An image to score instead of responses.")
@click.option("--video", "videos", multiple=True, metavar="FILE", help="A video to score instead of responses.")
@click.option(
    "--prompt-image", "prompt_images", multiple=True, metavar="FILE", help="An image before the prompt's text."
)
@click.option(
    "--prompt-video", "prompt_videos", multiple=True, metavar="FILE", help="A video before the prompt's text."
)
@click.option("--system", help="A system message before the prompt.")
@click.option("--data", "--in", "data", metavar="FILE|FOLDER|org/name", help="Rows to score; columns are recognised.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Where the scored rows go.")
@click.option(
    "--best-of", type=click.Path(path_type=Path), metavar="FILE", help="Where the best answer of each row goes."
)
@click.option(
    "--as", "name_as", default="reward", show_default=True, metavar="NAME", help="What the new column is called."
)
@click.option("--overwrite", is_flag=True, help="Replace the files that are there.")
@add_options("score")
@json_option
def score(as_json: bool, **options: Any) -> None:
    """Score responses to one prompt, or all rows of a file.

    \b
    rmbench score -m MODEL -p PROMPT -r RESPONSE -r RESPONSE
    rmbench score -m MODEL -p PROMPT --image a.png --image b.png
    rmbench score -m MODEL --prompt-image a.png -p PROMPT -r RESPONSE -r RESPONSE
    rmbench score -m MODEL --data rows.jsonl --out scored.parquet --best-of best.jsonl

    Of one prompt, prints rewards, margins and P(first > other), the sigmoid of the margin (Bradley-Terry); of a model
    that gives margins alone, those of all pairs. Of a file, writes each row with the reward of each of its answers:
    JSON Lines, CSV or Parquet. The same command resumes a stopped job. Exit code 3: some rows failed.
    """
    if options["data"] is not None:
        _score_rows(as_json, options)
    else:
        _score_responses(as_json, options)


def _score_rows(as_json: bool, options: dict[str, Any]) -> None:
    from rmbench.cli.output import echo, echo_error, echo_json, error_console
    from rmbench.evaluation.progress import progress_for
    from rmbench.evaluation.score_rows import score_rows
    from rmbench.text import printable

    for name in ("prompt", "responses", "system", *_MEDIA):
        if options.pop(name):
            raise RmbenchError(
                f"--{name.removesuffix('s').replace('_', '-')} is for one prompt, and --data gives rows; leave one out."
            )
    if options["out"] is None:
        raise RmbenchError("--data goes with --out FILE, where the scored rows go.")
    with progress_for(error_console()) as progress:
        done = score_rows(progress=progress, **options)
    if as_json:
        echo_json(done.to_dict())
    else:
        echo(f"{done.rows - len(done.failed):,} of {done.rows:,} rows scored: {done.out}")
        if done.best_of is not None:
            ties = f"; of {done.ties:,} the first of several equal ones" if done.ties else ""
            echo(f"best answers: {done.best_of}{ties}")
    if done.truncated:
        echo_error(f"rmbench: {done.truncated:,} rows were longer than the model reads, and cut; see --max-length.")
    if done.failed:
        line = f"rmbench: {len(done.failed)} rows failed (first {done.failed[0]})"
        echo_error(f"{printable(line, 1_000)}; {options['name_as']}_error in the file says why.")
        click.get_current_context().exit(3)


def _score_responses(as_json: bool, options: dict[str, Any]) -> None:
    from rmbench.cli.output import echo, echo_error, echo_json
    from rmbench.evaluation.score import score_responses
    from rmbench.numeric import sigmoid

    defaults = {**vars(RunOptions()), "out": None, "best_of": None, "name_as": "reward", "overwrite": False}
    for name in _OF_ROWS:
        if options.pop(name) != defaults[name]:
            flag = {"name_as": "as", "cache": "no-cache", "share": "no-share"}.get(name, name).replace("_", "-")
            raise RmbenchError(f"--{flag} goes with --data, the rows to score.")
    del options["data"]
    _with_media(options)
    for name, flag in (("prompt", "--prompt"), ("responses", "--response")):
        if not options[name]:
            raise RmbenchError(f"give {flag}, or rows to score by --data.")
    scored = score_responses(**options)
    if any(scored.truncated):
        cut = ", ".join(name for name, truncated in zip(scored.names, scored.truncated, strict=True) if truncated)
        echo_error(f"rmbench: longer than the model reads, and cut: {cut}; see --max-length.")
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


def _with_media(options: dict[str, Any]) -> None:
    """Turn the options of images and videos into responses or into parts of the prompt."""
    from rmbench.types import Part

    images, videos, prompt_images, prompt_videos = (options.pop(name) for name in _MEDIA)
    files = [Part("image", name=file, path=file) for file in images]
    files += [Part("video", name=file, path=file) for file in videos]
    if files and options["responses"]:
        raise RmbenchError(
            "--image and --video are scored instead of --response; --prompt-image belongs to the prompt."
        )
    options["responses"] = options["responses"] or files
    options["shown"] = [Part("image", name=file, path=file) for file in prompt_images]
    options["shown"] += [Part("video", name=file, path=file) for file in prompt_videos]
