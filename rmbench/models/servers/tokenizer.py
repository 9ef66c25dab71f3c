"""The server's own tokenizer (/tokenize): options, whole prompts and chats as token ids."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from rmbench.errors import RmbenchError
from rmbench.models.servers.capabilities import Capabilities
from rmbench.models.servers.client import Client
from rmbench.models.servers.generation import Question
from rmbench.models.servers.option_probs import single_tokens, spellings
from rmbench.models.servers.replies import parse_tokens
from rmbench.models.servers.requests import TOKENIZE, raw_prompt, tokenize_chat_body, tokenize_text_body

__all__ = ["ServerTokenizer"]


@dataclass
class ServerTokenizer:
    """Tokenizes by requests; options and their spellings are requested once each."""

    client: Client
    model: str
    capabilities: Capabilities = field(default_factory=Capabilities)
    """Of which a chat's messages depend on `system`."""
    _options: dict[str, tuple[int, ...]] = field(default_factory=dict)
    _begin: tuple[int, ...] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def options(self, options: Sequence[str]) -> dict[str, tuple[int, ...]]:
        """Option -> its tokens, without special tokens.

        Raises:
            RmbenchError: an option has none, or two options are the same tokens.
        """
        with self._lock:
            for option in options:
                if option not in self._options:
                    self._options[option] = self._text(option, special=False)
        tokens = {option: self._options[option] for option in options}
        if len(set(tokens.values())) < len(options) or () in tokens.values():
            raise RmbenchError(f"The model's tokenizer does not distinguish the options {', '.join(options)}.")
        return tokens

    def spelled_options(self, options: Sequence[str]) -> dict[str, tuple[int, ...]]:
        """Option of one token -> the tokens that spell it, its own first and none of them another option's; see
        `rmbench.models.servers.option_probs.spellings`."""
        with self._lock:
            for option in options:
                for text in spellings(option):
                    if text not in self._options:
                        self._options[text] = self._text(text, special=False)
            return single_tokens({option: [self._options[text] for text in spellings(option)] for option in options})

    def prompt(self, question: Question) -> tuple[int, ...]:
        """The tokens of a question's prompt. A raw one gets the special tokens that the tokenizer puts first exactly
        once, whether or not its text spells them too."""
        if not question.raw:
            return self.client.post(TOKENIZE, tokenize_chat_body(self.model, question, self.capabilities), parse_tokens)
        with self._lock:
            if self._begin is None:
                bare, whole = self._text("a", special=False), self._text("a", special=True)
                end = len(whole) - len(bare)
                self._begin = next(
                    (whole[:at] for at in range(end + 1) if whole[at : at + len(bare)] == bare), whole[:end]
                )
        ids, begin = self._text(raw_prompt(question), special=True), self._begin
        doubled = bool(begin) and ids[: 2 * len(begin)] == (*begin, *begin)
        return ids[len(begin) :] if doubled else ids

    def _text(self, text: str, *, special: bool) -> tuple[int, ...]:
        return self.client.post(TOKENIZE, tokenize_text_body(self.model, text, special=special), parse_tokens)
