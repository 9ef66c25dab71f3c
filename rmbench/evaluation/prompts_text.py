"""What a model reads, for the terminal: the text with its special tokens marked, the ids, and what was cut off."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rmbench.text import printable, printable_block

if TYPE_CHECKING:
    from rich.text import Text

    from rmbench.evaluation.prompts import Prompt, Prompts

__all__ = ["render"]

_LEFT, _RIGHT = "\u27e6", "\u27e7"
"""Around special tokens, so that text which merely spells one is told apart without colours too."""


def render(prompts: Prompts) -> Text:
    """A block for each prompt."""
    from rich.text import Text

    blocks = [Text(f"{printable(prompts.task)} as {printable(prompts.model)} reads it\n")]
    blocks += [_block(prompt) for prompt in prompts.prompts]
    return Text("\n").join(blocks)


def _block(prompt: Prompt) -> Text:
    from rich.text import Text

    count = f", {len(prompt.tokens):,} tokens" if prompt.tokens else ""
    block = Text()
    block.append(f"row {printable(prompt.row)}, {printable(prompt.what)}{count}\n", style="bold")
    if prompt.error:
        block.append(f"cannot be read: {printable(prompt.error)}\n", style="red")
    for message in prompt.messages:
        block.append(f"{printable(message['role'])}\n", style="cyan")
        block.append(f"{printable_block(_content(message['content']))}\n")
    for text, special in prompt.pieces:
        shown = printable_block(text).replace(_LEFT, "\\u27e6").replace(_RIGHT, "\\u27e7")
        block.append(f"{_LEFT}{shown}{_RIGHT}" if special else shown, style="cyan" if special else "")
    if prompt.pieces:
        block.append("\n")
    for line in _facts(prompt):
        block.append(f"{line}\n", style="dim")
    return block


def _content(content: str | Sequence[Mapping[str, Any]]) -> str:
    """A message's text, with the kind and size of each image in its place."""
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] if part["type"] == "text" else _image(part["image_url"]["url"]) for part in content)


def _image(uri: str) -> str:
    kind, _, encoded = uri.removeprefix("data:").partition(";base64,")
    return f"[{kind}, {len(encoded) * 3 // 4:,} bytes]"


def _facts(prompt: Prompt) -> Iterator[str]:
    if prompt.tokens:
        yield f"ids: {' '.join(str(token.id) for token in prompt.tokens)}"
    if prompt.settings:
        yield printable(f"asked with: {json.dumps(prompt.settings, ensure_ascii=False)}", 2_000)
    if prompt.truncated:
        sides = zip(prompt.cut, ("left", "right"), strict=True)
        counts = [f"{count:,} token{'s' * (count != 1)} on the {side}" for count, side in sides if count]
        yield f"cut off: {', '.join(counts) or 'some of it'}"
    if prompt.remarks:
        yield f"remarks: {printable(', '.join(prompt.remarks))}"
