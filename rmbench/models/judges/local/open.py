"""Opens a causal language model as a judge in this process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from rmbench.errors import RmbenchError
from rmbench.models.backbone.tensors import parameter_count
from rmbench.models.checkpoint.loading import load_model, load_tokenizer, place, warm
from rmbench.models.checkpoint.opening import Opening
from rmbench.models.families.implicit.language import language_model
from rmbench.models.judges.declaration import JudgeProtocol, load_protocol
from rmbench.models.judges.local.scorer import LocalJudge
from rmbench.models.judges.prompt import Prompt
from rmbench.models.judges.settings import MIN_OPTION_MASS
from rmbench.models.servers.option_probs import single_tokens, spellings
from rmbench.models.text.open import own_length, pad_id, text_encoder, throwaway

__all__ = ["open_local"]


class LocalSettings(BaseModel):
    """A card's [settings] or --model-args."""

    model_config = ConfigDict(extra="forbid")

    protocol: str = "option"
    """A protocol of two responses with option probabilities: a bundled one's name or a TOML file."""
    marks: Literal["quoted", "raw"] = "quoted"
    """Whether reserved marks inside candidates are quoted."""
    min_option_mass: float = Field(default=MIN_OPTION_MASS, ge=0, le=1)
    """See `JudgeSettings`."""


def open_local(opening: Opening) -> LocalJudge:
    """Load a causal language model as a judge.

    Raises:
        RmbenchError: a protocol that needs generated text, options that are not single tokens, no template, a missing
            tensor, or a setting that does not exist.
    """
    chosen = opening.settings(LocalSettings)
    declared = load_protocol(chosen.protocol)
    texts = _options(declared)
    checkpoint = opening.checkpoint
    placement = place(opening)
    tokenizer = load_tokenizer(checkpoint, opening.options)
    text = text_encoder(opening, tokenizer)
    text = replace(text, template=replace(text.template, generation_prompt=True))
    model, unused = load_model(checkpoint, placement, opening.options, kind="AutoModelForCausalLM")
    length = own_length(tokenizer, checkpoint)
    language = language_model(model, throwaway(checkpoint, length))
    settings = {
        **text.settings,
        **placement.facts(model),
        "logits": language.way,
        "protocol": declared.name,
        "protocol_version": declared.version,
        "protocol_sha256": declared.digest,
        "marks": chosen.marks,
        "orders": declared.orders,
        "min_option_mass": chosen.min_option_mass,
        "options": " ".join(texts),
        "unused_tensors": ", ".join(unused) or None,
    }
    judge = LocalJudge(
        language=language,
        text=text,
        prompt=Prompt.of(declared, quoted=chosen.marks == "quoted"),
        options=_tokens(tokenizer, texts, opening.name),
        min_option_mass=chosen.min_option_mass,
        seed=opening.options.seed,
        facts=replace(opening.facts(settings, parameter_count(model)), answer_kind="verdict"),
        pad_id=pad_id(tokenizer, checkpoint),
    )
    warm(lambda: judge.forward(throwaway(checkpoint, length)))
    return judge


def _options(declared: JudgeProtocol) -> tuple[str, str]:
    """The options that pick the first and the second response shown."""
    values: Mapping[str, object] = declared.verdict.values if declared.verdict.options else {}
    options = {place: text for text, place in values.items()}
    if set(options) != {0, 1} or declared.raw or declared.most < 2:
        raise RmbenchError(
            f"protocol {declared.name}: a judge in this process is read by the probabilities of two options, one for "
            "each answer, in a chat; this protocol is not. Serve the model, or name one such as option."
        )
    return options[0], options[1]


def _tokens(tokenizer: Any, texts: tuple[str, str], name: str) -> dict[str, tuple[int, ...]]:
    """Option -> the ids of the tokens that spell it at the beginning of a reply."""
    ids = {text: [tokenizer(one, add_special_tokens=False)["input_ids"] for one in spellings(text)] for text in texts}
    for text, (tokens, *_) in ids.items():
        if len(tokens) != 1 or tokens[0] == tokenizer.unk_token_id:
            raise RmbenchError(f'{name}: its tokenizer reads the option "{text}" as {tokens}, expected one token.')
    return single_tokens(ids)
