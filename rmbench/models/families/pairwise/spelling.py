"""Two conversations as one prompt, in the formats that pairwise models were trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rmbench.models.protocols import Request
from rmbench.types import Conversation, bare_text

__all__ = [
    "Dialogue",
    "Question",
    "Texts",
    "UnpairableError",
    "pairrm_texts",
    "slic_question",
    "split",
    "steamshp_question",
]

Dialogue = Literal["numbered", "plain", "turns"]
"""How PairRM's source and candidates are made of a conversation.

"numbered": every turn of the assistant's is a gap in the source, and the texts of all its turns, numbered, are the
candidate (RewardBench's `pairrm.py`, LLM-Blender's `compare_conversations`). "plain": a question and its answer as they
stand, as the model's card has it; longer dialogues are numbered. "turns": USER: and ASSISTANT: before each turn, the
last answer the candidate (Better-PairRM; unverified, since the script that shows it cannot run as it stands)."""

_TASK = "Finish the following coversation in each i-th turn by filling in <Response i> with your response."
"""The spelling is the one that the model was trained with; the first turn follows without a space."""
_SPEAKERS = {"user": "USER", "assistant": "ASSISTANT", "system": "SYSTEM MESSAGE"}


class UnpairableError(Exception):
    """These two conversations are none that the model can compare."""


@dataclass(frozen=True, slots=True)
class Texts:
    """What a model reads of two conversations."""

    source: str
    first: str
    second: str


@dataclass(frozen=True, slots=True)
class Question:
    """What a model reads of two conversations in one text."""

    text: str
    answers: str
    """The part of it that no truncation may touch: both answers with their marks."""


def split(request: Request) -> tuple[Conversation, str, str]:
    """The messages that both conversations have, and the two last answers; of raw requests everything behind the prompt
    is the answer.

    Raises:
        UnpairableError: there is no second conversation, or the two differ before their answers.
    """
    own, other = request.conversation, _other(request)
    place = request.prompt_messages if request.render == "raw" else len(own) - 1
    if place < 1:
        raise UnpairableError("the conversation has no prompt before its answer")
    if own[:place] != other[:place] or (request.render == "chat" and len(own) != len(other)):
        raise UnpairableError("the two conversations differ before their answers")
    if request.render == "raw":
        return own[:place], _joined(own[place:]), _joined(other[place:])
    return own[:place], bare_text(own[-1]), bare_text(other[-1])


def pairrm_texts(request: Request, dialogue: Dialogue) -> Texts:
    """PairRM's source and candidates.

    Raises:
        UnpairableError: "numbered" takes turns of user and assistant alone, the user's the same in both.
    """
    if request.render == "raw":
        shared, first, second = split(request)
        return Texts(_joined(shared), first, second)
    if dialogue == "turns":
        shared, first, second = split(request)
        spoken = [f"{_SPEAKERS.get(message.role, 'USER')}: {bare_text(message).strip()}" for message in shared]
        return Texts("\n\n".join([*spoken, "ASSISTANT: "]), first, second)
    own, other = request.conversation, _other(request)
    _check_turns(own, other)
    if dialogue == "plain" and len(own) == 2:
        return Texts(bare_text(own[0]), bare_text(own[1]), bare_text(other[1]))
    asked = [f"USER: {bare_text(own[turn])}\nAssistant: <Response {turn // 2 + 1}>" for turn in range(0, len(own), 2)]
    return Texts(_TASK + "\n".join(asked), _numbered(own), _numbered(other))


def slic_question(request: Request) -> Question:
    """The one user turn of RLHFlow's pair preference model (`pair-pm/README.md`, RewardBench's `slicpairpm.py`).

    Raises:
        UnpairableError: as `split`.
    """
    shared, first, second = split(request)
    if request.render == "raw":
        context = _joined(shared)
    else:
        # Upstream tells roles by place, odd or even; a system message, which it does not foresee, speaks as the user.
        turns = [f"\n<turn> {_role(message.role)}\n {bare_text(message)}" for message in shared]
        context = "\n" + "".join(turns) + "\n"
    answers = f"[RESPONSE A] {first} [RESPONSE B] {second}"
    return Question(f"[CONTEXT] {context} {answers} \n", answers)


def steamshp_question(request: Request) -> Question:
    """SteamSHP's question (its card, RewardBench's `shp.py`), turns of the context joined by spaces. T5's own tokenizer
    reads newlines inside the texts as spaces, as the card asks.

    Raises:
        UnpairableError: as `split`.
    """
    shared, first, second = split(request)
    post = _joined(shared) if request.render == "raw" else " ".join(map(bare_text, shared))
    answers = f"RESPONSE A: {first}\n\n RESPONSE B: {second}"
    return Question(f"POST: {post}\n\n {answers}\n\n Which response is better? RESPONSE", answers)


def _other(request: Request) -> Conversation:
    if request.against is None:
        raise UnpairableError("a pairwise model was asked about one conversation alone")
    return request.against


def _joined(conversation: Conversation) -> str:
    return "".join(map(bare_text, conversation))


def _role(role: str) -> str:
    return "assistant" if role == "assistant" else "user"


def _numbered(conversation: Conversation) -> str:
    return "\n".join(
        f"<Response {turn // 2 + 1}>: {bare_text(conversation[turn])}" for turn in range(1, len(conversation), 2)
    )


def _check_turns(own: Conversation, other: Conversation) -> None:
    for conversation in (own, other):
        roles = [message.role for message in conversation]
        if roles != ["user", "assistant"] * (len(roles) // 2):
            raise UnpairableError(f"PairRM reads user and assistant in turn, not {', '.join(roles)}")
    if len(own) != len(other) or own[::2] != other[::2]:
        raise UnpairableError("the two conversations differ in what the user says")
