"""The texts of vision-language rows: chat turns whose content is a list of parts, or one turn of upstream's words.

Every special token that a benchmark's text spells is marked, so that it is read as text: a literal <|image_pad|> takes
no picture's place, and a literal reward token moves no place that is read.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rmbench.errors import RmbenchError
from rmbench.models.families.vl.schema import Prompt
from rmbench.models.plain import plain_blocks
from rmbench.models.protocols import Request
from rmbench.models.text.template import ChatTemplate, TemplateRefusedError
from rmbench.types import TOOLS, Conversation, Message, Part, bare_text
from rmbench.untrusted.files import MIB, read_text

__all__ = ["ANSWER", "PROMPT", "ContentTemplate", "Wording", "read_wording"]

PROMPT = "{prompt}"
"""Stands for the prompt's text in upstream's words."""
ANSWER = "{answer}"
"""Stands for the candidate's text, in those that ask for a critique."""

_PLACE = re.compile(f"{re.escape(PROMPT)}|{re.escape(ANSWER)}")
_PROBE = [
    {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "question"}]},
    {"role": "assistant", "content": [{"type": "text", "text": "answer"}]},
]


@dataclass(frozen=True)
class ContentTemplate(ChatTemplate):
    """A chat template that is given each message's content as a list of parts, `{"type": "image"}` among them."""

    def render(self, request: Request) -> str:
        """The text of a request; raises TemplateRefusedError where the template refuses it or leaves text out."""
        turns, tools = self._asked(request.conversation)
        text = self._rendered(turns, tools)
        for message in request.conversation:
            if message.role == "system" and message.text.strip() not in text:
                raise TemplateRefusedError("the chat template drops the system message")
        return text

    def drops_text(self, request: Request, text: str) -> bool:
        """Whether the rendered text lacks that of a part."""
        shown = "".join(text.split())
        parts = (part for message in request.conversation if message.role != TOOLS for part in message.parts)
        return any("".join(part.text.split()) not in shown for part in parts)

    def check(self) -> None:
        """Raise RmbenchError where the template cannot render an image, a question and its answer."""
        try:
            text = self._apply(_PROBE)
        except Exception as error:  # a template is untrusted and may fail in any way
            raise RmbenchError(
                f"The chat template ({self.source}) cannot render an image, a question and an answer: {error}"
            ) from error
        if "question" not in text or "answer" not in text:
            raise RmbenchError(f"The chat template ({self.source}) leaves a turn out.")

    def _asked(self, conversation: Conversation) -> tuple[Sequence[Mapping[str, Any]], Any]:
        turns = []
        for message in conversation:
            if message.role != TOOLS:
                content = [_content(part) for part in message.parts] if message.parts else None
                turns.append({**message.as_dict, "content": content})
        tools = next((json.loads(message.text) for message in conversation if message.role == TOOLS), None)
        return turns, tools


def _content(part: Part) -> dict[str, str]:
    return {"type": "text", "text": part.text} if part.kind == "text" else {"type": part.kind}


@dataclass(frozen=True)
class Wording:
    """What the user turn of a row says, upstream's words with `{prompt}` for the prompt's text."""

    text: str
    source: str
    """The file's name."""

    critique: bool = False
    """Whether they ask about an answer of text."""

    @property
    def sha256(self) -> str:
        """Of the words, as hex digits."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def turn(self, request: Request) -> Request:
        """The request as one user turn: all media, the prompt's first, then the words.

        Raises:
            TemplateRefusedError: the prompt has no text, the candidate has text, or there is nothing to see; of words
                about an answer: the candidate has none, or shows something.
        """
        prompt, answer = (
            request.conversation[: request.prompt_messages],
            request.conversation[request.prompt_messages :],
        )
        try:
            asked = _question(prompt) if self.critique else "\n".join(bare_text(m) for m in prompt if m.role == "user")
            said = "".join(bare_text(message) for message in answer).strip()
        except ValueError as error:
            raise TemplateRefusedError(str(error)) from None
        if not asked.strip():
            raise TemplateRefusedError("the prompt has no text to compare with")
        if self.critique:
            return self._about(request, asked, said)
        if said:
            raise TemplateRefusedError("the candidate holds text, and the model scores an image or a video")
        media = [part for message in (*prompt, *answer) for part in message.parts if part.kind != "text"]
        if not any(part.kind != "text" for message in answer for part in message.parts):
            raise TemplateRefusedError("the candidate has no image or video")
        text = Part(text=self.text.replace(PROMPT, asked))
        return Request((Message("user", (*media, text)),), 1, example=request.example, shown=request.shown)

    def _about(self, request: Request, asked: str, said: str) -> Request:
        prompt, answer = (
            request.conversation[: request.prompt_messages],
            request.conversation[request.prompt_messages :],
        )
        if any(part.kind != "text" for message in answer for part in message.parts):
            raise TemplateRefusedError("the candidate shows an image or a video, and the model rates answers of text")
        media = [part for message in prompt for part in message.parts if part.kind != "text"]
        texts = {PROMPT: asked, ANSWER: said}
        text = Part(text=_PLACE.sub(lambda match: texts[match[0]], self.text))
        return Request((Message("user", (*media, text)),), 1, example=request.example, shown=request.shown)


def _question(prompt: Conversation) -> str:
    """A prompt's text; of several turns each behind its role, as judges are shown them."""
    blocks = [block for message in prompt for block in plain_blocks(message)]
    alone = len(blocks) == 1 and blocks[0][0] == "user"
    return blocks[0][1] if alone else "\n\n".join(f"[{header}]\n{text}" for header, text in blocks)


def read_wording(files: Sequence[str | None], prompt: Prompt, where: str) -> list[Wording]:
    """The words of each pass.

    Raises:
        RmbenchError: a file is missing, lacks `{prompt}`, or does not hold each token that is read once and in order.
    """
    if prompt.form == "chat":
        if any(files):
            raise RmbenchError(f"{where}: prompt: this model reads chats as they are, without words of its own.")
        return []
    found = []
    for number, file in enumerate(files[: prompt.passes]):
        name = "prompt" if number == 0 else f"prompt_{number + 1}"
        if file is None and prompt.words:
            found.append(Wording(prompt.words, "layout"))
            continue
        if file is None:
            raise RmbenchError(
                f"{where}: pass --model-args {name}=FILE, a text with {PROMPT} for the prompt's text"
                + (f" and {ANSWER} for the answer's" if prompt.form == "critique" else "")
                + (f" and, in this order, {', '.join(prompt.tokens)}" if prompt.tokens else "")
                + f". The words are upstream's: {prompt.wording}."
            )
        text = read_text(Path(file), MIB, f"{name} {file}")
        critique = prompt.form == "critique"
        if PROMPT not in text:
            raise RmbenchError(f"{file}: {PROMPT} is not there, which stands for the prompt's text.")
        if critique and ANSWER not in text:
            raise RmbenchError(f"{file}: {ANSWER} is not there, which stands for the answer's text.")
        _check_tokens(text, prompt.tokens, file)
        found.append(Wording(text, Path(file).name, critique))
    if any(files[prompt.passes :]):
        raise RmbenchError(f"{where}: prompt_2: this model reads one text.")
    return found


def _check_tokens(text: str, tokens: Sequence[str], file: str) -> None:
    for token in tokens:
        if text.count(token) != 1:
            raise RmbenchError(f"{file}: {token} is there {text.count(token)} times; its state is read, expected one.")
    places = [text.index(token) for token in tokens]
    if places != sorted(places):
        raise RmbenchError(f"{file}: expected {', '.join(tokens)} in this order.")
