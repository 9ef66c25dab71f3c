"""Where a model's chat template is from: the user, its card, its tokenizer, or a file of a processor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.read import read_json
from rmbench.models.text.template import ChatTemplate
from rmbench.untrusted.files import MIB, read_text

__all__ = ["own_template", "resolve_template"]

_PROCESSOR_FILES = ("processor_config.json", "chat_template.json", "preprocessor_config.json")
"""Files in which processors keep a template that tokenizers do not read."""


def resolve_template(tokenizer: Any, file: Path | None, card: str, model: str) -> ChatTemplate:
    """The template to use: the user's file, else the card's text, else the tokenizer's own, else its processor's.

    Raises:
        RmbenchError: there is none, or it cannot render a conversation.
    """
    if file is not None:
        template = ChatTemplate(tokenizer, read_text(file, 4 * MIB, f"--template {file}"), file.name)
    elif card != "tokenizer":
        template = ChatTemplate(tokenizer, card, "card")
    else:
        template = own_template(tokenizer, model)
    template.check()
    return template


def own_template(tokenizer: Any, model: str, folder: Path | None = None) -> ChatTemplate:
    """The default template of the tokenizer, else of a processor's file next to it, in `folder` where that is given;
    raises RmbenchError where there is none."""
    held = {"tokenizer": getattr(tokenizer, "chat_template", None)}
    folder = folder or Path(getattr(tokenizer, "name_or_path", "") or "nowhere")
    files = [folder / name for name in _PROCESSOR_FILES if (folder / name).is_file()]
    held |= {file.name: read_json(file).get("chat_template") for file in files if not held["tokenizer"]}
    named: list[str] = []
    for source, value in held.items():
        templates = _by_name(value)
        if templates.get("default"):
            return ChatTemplate(tokenizer, templates["default"], source, tool_use=templates.get("tool_use", ""))
        named += templates
    if named:
        raise RmbenchError(
            f"{model} has no default chat template, only {', '.join(sorted(named))}: pass one by --template FILE."
        )
    raise RmbenchError(
        f"{model} has no chat template: its tokenizer brings none and no model card declares one. Pass a Jinja "
        'template by --template FILE, e.g. one that holds "{% for m in messages %}{{ m.role }}: {{ m.content }}\\n'
        '{% endfor %}".'
    )


def _by_name(value: Any) -> dict[str, str]:
    """Name -> template, of one template, a list of named ones, or a mapping."""
    if isinstance(value, list):
        value = {one.get("name"): one.get("template") for one in value if isinstance(one, dict)}
    found = value if isinstance(value, dict) else {"default": value}
    return {str(name): text for name, text in found.items() if isinstance(text, str) and text}
