"""`rmbench cache`: the size of the score cache, and clearing it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from rmbench.cli.options import json_option

__all__ = ["cache"]


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def cache(context: click.Context, as_json: bool) -> None:
    """Show the score cache, or clear it.

    Scores of rows are cached by the model's fingerprint, so that the same row in another benchmark or run costs
    nothing. RMBENCH_CACHE names its folder, or turns it off ("off"); RMBENCH_CACHE_LIMIT is its size in
    bytes (2 GiB unless set), over which the least recently used rows go.
    """
    if context.invoked_subcommand is not None:
        return
    from rmbench.cli.output import echo, echo_json
    from rmbench.engine.cache import open_cache
    from rmbench.text import file_size

    with open_cache() as scores:
        facts: dict[str, Any] | None = None
        if scores is not None:
            usage = asdict(scores.usage())
            facts = {**usage, "file": str(usage["file"]), "limit": scores.limit}
    if as_json:
        echo_json({"cache": facts})
    elif facts is None:
        echo("The score cache is turned off (RMBENCH_CACHE).")
    else:
        echo(facts["file"])
        size, limit = file_size(facts["bytes"]), file_size(facts["limit"])
        echo(f"{facts['rows']:,} rows of {facts['models']:,} models, {size} of {limit}")


@cache.command()
def clear() -> None:
    """Drop everything that the score cache holds; a file that is broken, or is no cache, is deleted and made anew.

    Which records were found sound, and what is known of files of rows, is forgotten too.
    """
    from rmbench.cli.output import echo
    from rmbench.engine.cache import cache_file, clear_cache
    from rmbench.reports.audit import forget
    from rmbench.tasks.known import forget as forget_rows

    file = cache_file()
    if file is None:
        echo("The score cache is turned off (RMBENCH_CACHE).")
        return
    forget()
    forget_rows()
    rows, why = clear_cache(file)
    echo(f"{file} was broken ({why}) and is made anew" if why else f"{rows:,} rows dropped from {file}")
