"""Conversations of texts and pictures as rows: rendered, tokenised, with the tokens of each picture in its place."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rmbench.media import MEDIA_REJECTED, MediaError, media_of
from rmbench.models.families.vl.pictures import Pictures, Shown
from rmbench.models.families.vl.rows import UnreadableError, VisionRow, placed, seen
from rmbench.models.families.vl.wording import ContentTemplate, Wording
from rmbench.models.protocols import FRAME_REPEATED, SPECIAL_TOKENS_IN_TEXT, TEMPLATE_DROPPED_TEXT, Encoded, Request
from rmbench.models.text.special import LiteralTokenizer, holds_special_tokens
from rmbench.models.text.template import TemplateRefusedError
from rmbench.types import Part

__all__ = ["VisionEncoder"]


@dataclass(frozen=True)
class VisionEncoder:
    """How one model reads conversations. It needs the model's processor and none of its weights."""

    pictures: Pictures
    template: ContentTemplate
    wordings: tuple[Wording, ...]
    """Of each pass; empty: chats as they are."""
    spots: tuple[int, ...]
    """Ids of the tokens that are read; empty: the last token."""
    passes: int
    """How many rows a conversation becomes."""
    causal: bool
    """Whether no token sees a later one."""
    max_length: int | None
    vocabulary: int
    """How many token ids the model has embeddings for."""
    header: tuple[int, ...] = ()
    """Ids of a text of the template; where given, the first token of its last occurrence is read before the last."""

    @property
    def tokenizer(self) -> LiteralTokenizer:
        """It reads every special token that a text spells as text."""
        found: LiteralTokenizer = self.template.tokenizer
        return found

    def encode(self, requests: Sequence[Request]) -> list[Encoded]:
        """One entry per request; those that show the same pictures in their prompts are of one kind."""
        return [self._whole(request) for request in requests]

    def _whole(self, request: Request) -> Encoded:
        try:
            rows = [self._row(request, number) for number in range(self.passes)]
        except MediaError as error:
            return Encoded(key="", size=0, error=f"{MEDIA_REJECTED}: {error}")
        except (TemplateRefusedError, UnreadableError) as error:
            return Encoded(key="", size=0, error=str(error))
        if len(rows) == 1:
            return rows[0]
        key = hashlib.sha256(" ".join(row.key for row in rows).encode()).hexdigest()
        return Encoded(
            key=key,
            size=sum(row.size for row in rows),
            parts=tuple(rows),
            remarks=tuple(dict.fromkeys(remark for row in rows for remark in row.remarks)),
            text_digest=key,
        )

    def _row(self, request: Request, number: int) -> Encoded:
        """One pass of a request.

        Raises:
            MediaError: an image or video cannot be shown.
            TemplateRefusedError: the conversation does not fit the model.
            UnreadableError: the row is too long, or its text lost what is read.
        """
        marked = self.tokenizer.marked(request)
        asked = self.wordings[number].turn(marked) if self.wordings else marked
        asked, shown = self._shown(asked)
        text = self.template.render(asked)
        found: list[int] = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        ids, places = placed(found, shown, self.pictures.marks)
        spots = self._spots(ids)
        if self.causal and self.spots:
            ids = ids[: spots[-1] + 1]  # what stands behind is seen by nothing that is read
        if self.max_length is not None and len(ids) > self.max_length:
            raise UnreadableError(
                f"{len(ids):,} tokens, pictures included, are more than the model's {self.max_length:,}"
            )
        if max(ids) >= self.vocabulary:
            raise UnreadableError(f"token {max(ids)} is outside the model's {self.vocabulary:,} embeddings")
        row = VisionRow(places, spots, number)
        spelled = f"{number} {seen(shown)} {' '.join(map(str, ids))} {' '.join(map(str, spots))}"
        remarks = [SPECIAL_TOKENS_IN_TEXT] if holds_special_tokens(request, self.tokenizer.spelled) else []
        remarks += [TEMPLATE_DROPPED_TEXT] if self.template.drops_text(asked, text) else []
        remarks += [FRAME_REPEATED] if any(self.pictures.repeats(each.medium) for each in shown) else []
        before = media_of(request.conversation[: request.prompt_messages])
        return Encoded(
            key=hashlib.sha256(spelled.encode()).hexdigest(),
            size=len(ids),
            ids=ids,
            payload=row,
            kind=f"{number}/{seen(shown[: len(before)])}",
            remarks=tuple(remarks),
            text_digest=hashlib.sha256(f"{seen(shown)} {text}".encode()).hexdigest(),
        )

    def _shown(self, request: Request) -> tuple[Request, list[Shown]]:
        """The request with an image for each picture that is shown, and these; raises MediaError."""
        parts = media_of(request.conversation)
        several = sum(part.kind == "image" for part in parts) > 1
        frame = self.pictures.pixels.frame
        if not frame or all(part.kind == "image" for part in parts):
            return request, [self.pictures.show(part, several=several) for part in parts]
        shown: list[Shown] = []
        messages = []
        for message in request.conversation:
            content: list[Part] = []
            for part in message.parts:
                own = self.pictures.frames_of(part) if part.kind == "video" else []
                own += [self.pictures.show(part, several=several)] if part.kind == "image" else []
                shown += own
                for number in range(1, len(own) + 1) if part.kind == "video" else ():
                    before, _, after = frame.replace("{n}", str(number)).partition("{image}")
                    content += [Part(text=before), Part("image", name=part.name, path=part.path), Part(text=after)]
                content += [] if part.kind == "video" else [part]
            messages.append(replace(message, parts=tuple(content)))
        return replace(request, conversation=tuple(messages)), shown

    def _spots(self, ids: Sequence[int]) -> tuple[int, ...]:
        """Where a row is read. Texts hold none of the tokens that are read: those are the model's own."""
        if not ids:
            raise UnreadableError("the conversation has no text to read")
        if self.header:
            places = [k for k in range(len(ids)) if tuple(ids[k : k + len(self.header)]) == self.header]
            if not places:
                raise UnreadableError("the chat template's text lacks the header at which the gates are read")
            return places[-1], len(ids) - 1
        if not self.spots:
            return (len(ids) - 1,)
        counts = [ids.count(token) for token in self.spots]
        if counts != [1] * len(self.spots):
            raise UnreadableError(f"the tokens that are read stand {counts} times in the row, expected once each")
        return tuple(ids.index(token) for token in self.spots)
