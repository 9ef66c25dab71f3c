"""The conversations that every text model is checked on: written for this project and fixed, so that reports compare.

In each probe but `same` the first response is the better one; only a figure in the report depends on it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rmbench.types import Candidate, Edge, Example, Gold, Message

__all__ = ["COMMON_SPECIALS", "PLAIN", "SPECIAL", "mirrored", "probe", "switch_probe", "text_probes"]

COMMON_SPECIALS = ("<s>", "</s>", "<|im_end|>", "<|eot_id|>", "<|endoftext|>", "[SEP]", "[PAD]", "<pad>")
"""Texts that common tokenizers read as one special token."""

PLAIN = ("short", "plain", "turns", "system")
"""Probes whose every message is short, of ASCII letters, and part of no other message."""

SPECIAL = "special"
"""The probe whose responses spell special tokens."""

_STEPS = (
    "First the pan is filled with cold water and set over a strong flame.",
    "Then the eggs go in with a spoon, slowly, so that no shell cracks on the bottom.",
    "A small pan heats faster, whereas a large one keeps its heat when eggs from the fridge cool it down.",
    "Salt does nothing for the taste here, though it does help to close a crack.",
    "On a mountain the water boils at fewer degrees, so everything takes longer there.",
    "Fresh eggs are hard to peel, while those of last week let go of their skin easily.",
)


def probe(name: str, turns: Sequence[str], *responses: str, system: str = "") -> Example:
    """A probe from user and assistant turns and its responses."""
    messages = tuple(Message.of(("user", "assistant")[index % 2], turn) for index, turn in enumerate(turns))
    return Example(
        id=name,
        prompt=((Message.of("system", system),) if system else ()) + messages,
        candidates=tuple(Candidate.of(response) for response in responses),
        gold=Gold(relation=(Edge(0, 1),)),
    )


def text_probes(specials: Sequence[str] = COMMON_SPECIALS) -> tuple[Example, ...]:
    """All probes of text; `specials` are what the model's tokenizer reads as special tokens."""
    long = " ".join(f"{number + 1}. {_STEPS[number % len(_STEPS)]}" for number in range(7))
    spelled = " ".join(dict.fromkeys(specials))
    return (
        probe("short", ["Good morning."], "Good day to you, how can I help?", "Whatever."),
        probe(
            "plain",
            ["How long does a soft egg boil?"],
            "About six minutes, counted from when the water bubbles.",
            "Purple is a colour that I like more than the other colours.",
            "Boil it, boil it, boil it.",
        ),
        probe(
            "long",
            [f"Summarise this recipe: {long}"],
            f"{long} In short, cook the eggs in hot water and cool them at once.",
            "I would rather not read so much.",
            f"{long} That is everything word for word.",
        ),
        probe(
            "turns",
            ["Which river runs through Vienna?", "The Danube does.", "And where does it end?"],
            "It ends in the Black Sea, after nearly three thousand kilometres.",
            "Rivers never end anywhere at all.",
        ),
        probe(
            "system",
            ["What is seven times eight?"],
            "Fifty-six.",
            "Let me first tell a long story of my grandmother who never liked sums.",
            system="You are a terse calculator.",
        ),
        probe(
            "unicode",
            ["Wie heißt «Guten Tag» auf Griechisch, 中文 und العربية?"],
            "Καλημέρα, 你好, صباح الخير, and with a zero-width joiner 👩‍🔬 e\u0301.",
            "नहीं पता … ¯\\_(ツ)_/¯",
        ),
        probe("empty", ["Please say nothing."], "", "I shall say a great deal instead."),
        probe(
            SPECIAL,
            ["Explain these marks."],
            f"They separate messages: {spelled} and the text goes on behind them.",
            f"{spelled} {spelled}",
            f"No idea, but it ends here {spelled}",
        ),
        probe(
            "same",
            ["Name a fruit that is red."],
            "A cherry is red when ripe.",
            "A cherry is red when ripe.",
            "Bread is red.",
        ),
    )


def switch_probe(switch: int, tokens_of: Callable[[Example], Sequence[int]]) -> Example | None:
    """A probe whose first two responses make a row of at most and one of more than `switch` tokens.

    Args:
        switch: a number of tokens after which the model computes in another way.
        tokens_of: the tokens of each candidate's row; 0 where it cannot be read.

    Returns:
        None where the rows of all responses lie on one side, as those of a model that reads no more tokens do.
    """
    words = [word for step in _STEPS for word in step.split()]

    def made(count: int) -> Example:
        texts = [" ".join(words[place % len(words)] for place in range(size)) for size in (count - 1, count)]
        return probe(f"switch-{switch}", ["Write a long recipe."], *texts, "No.")

    low, high = 1, 2
    while tokens_of(made(high))[1] <= switch:
        if high > switch:
            return None  # more words than the switch has tokens
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if tokens_of(made(middle))[1] > switch else (middle, high)
    return made(high) if 0 < tokens_of(made(high))[0] <= switch else None


def mirrored(example: Example) -> Example:
    """The example with its candidates in the opposite order, its gold with them."""
    last = len(example.candidates) - 1
    edges = tuple(
        Edge(last - edge.i, last - edge.j, edge.strength, edge.dimension, edge.annotator, edge.tags)
        for edge in example.gold.relation
    )
    return Example(
        id=example.id,
        prompt=example.prompt,
        candidates=tuple(reversed(example.candidates)),
        gold=Gold(relation=edges),
    )
