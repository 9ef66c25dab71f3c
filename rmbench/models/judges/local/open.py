"""Opens a causal language model as a judge in this process."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from rmbench.errors import RmbenchError
from rmbench.models.backbone.tensors import parameter_count
from rmbench.models.checkpoint.loading import load_model, load_tokenizer, warm
from rmbench.models.checkpoint.opening import Opening
from rmbench.models.checkpoint.placement import place
from rmbench.models.families.implicit.language import language_model
from rmbench.models.judges.declaration import JudgeProtocol, load_protocol
from rmbench.models.judges.local.scorer import LocalJudge
from rmbench.models.judges.prompt import Prompt
from rmbench.models.judges.settings import MIN_OPTION_MASS
from rmbench.models.servers.option_probs import single_tokens, spellings
from rmbench.models.text.open import own_length, pad_id, text_encoder, throwaway
from rmbench.models.text.special import LiteralTokenizer

__all__ = ["open_local"]


class LocalSettings(BaseModel):
    """A card's [settings] or --model-args."""

    model_config = ConfigDict(extra="forbid")

    protocol: str = "option"
    """A protocol of one or two responses with option probabilities: a bundled one's name or a TOML file."""
    marks: Literal["quoted", "raw"] = "quoted"
    """Whether reserved marks inside candidates are quoted."""
    min_option_mass: float = Field(default=MIN_OPTION_MASS, ge=0, le=1)
    """See `JudgeSettings`."""
    max_tokens: int | None = Field(default=None, ge=1)
    """How far a reply is generated to find its verdict; None: as the protocol declares."""


def open_local(opening: Opening) -> LocalJudge:
    """Load a causal language model as a judge.

    Raises:
        RmbenchError: a protocol that needs generated text, options that are not single tokens, no template, a missing
            tensor, or a setting that does not exist.
    """
    chosen = opening.settings(LocalSettings)
    declared = load_protocol(chosen.protocol)
    texts, max_tokens = _options(declared), chosen.max_tokens
    behind = declared.verdict.options_at == "verdict"
    if max_tokens is not None and not behind:
        raise RmbenchError(f"--model-args max_tokens: {declared.name} reads the first token of a reply alone.")
    most = (max_tokens or declared.sampling.max_tokens) if behind else 1
    checkpoint = opening.checkpoint
    placement = place(opening)
    # What a judge reads of candidates is text, whatever they spell.
    tokenizer = LiteralTokenizer(load_tokenizer(checkpoint, replace(opening.options, special_tokens="parsed")))
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
        "special_tokens": "text",
        "orders": declared.orders,
        "min_option_mass": chosen.min_option_mass,
        "max_tokens": most,
        "options": " ".join(texts),
        "unused_tensors": ", ".join(unused) or None,
    }
    judge = LocalJudge(
        language=language,
        text=text,
        prompt=Prompt.of(declared, quoted=chosen.marks == "quoted"),
        options=_tokens(tokenizer, texts, opening.name),
        most=most,
        ends=_ends(tokenizer, model),
        min_option_mass=chosen.min_option_mass,
        seed=opening.options.seed,
        facts=replace(opening.facts(settings, parameter_count(model)), answer_kind="verdict"),
        pad_id=pad_id(tokenizer, checkpoint),
        answers=frozenset({"reward"} if declared.most == 1 else {"pair"}),
    )
    warm(lambda: judge.forward(throwaway(checkpoint, length)))
    return judge


def _options(declared: JudgeProtocol) -> tuple[str, ...]:
    """The options of a protocol that is read without generated text; raises RmbenchError for every other one."""
    verdict_format, why = declared.verdict, ""
    if declared.media is not None:
        why = "this one shows images"
    elif not verdict_format.options:
        why = "this one is read from generated text"
    elif verdict_format.options_at in ("end", "behind"):
        why = "this one reads them inside a text that it generates"
    elif declared.turns > 1:
        why = "this one asks in two turns"
    elif declared.raw:
        why = "this one's prompt stands outside a chat"
    elif declared.message[-1].role == "assistant":
        why = "this one begins the judge's reply"
    elif declared.most > 2:
        why = f"this one shows up to {declared.most}"
    elif verdict_format.reads != ("rating" if declared.most == 1 else "pick"):
        why = f"this one reads a {verdict_format.reads} of {declared.most}"
    elif declared.most == 2 and not {0, 1} <= set(verdict_format.values.values()):
        why = "this one has no option for each of two responses"
    if why:
        raise RmbenchError(
            f"protocol {declared.name}: a judge in this process is read by the probabilities of options, in a chat "
            f"about one or two responses; {why}. Serve the model, or name one such as option."
        )
    return tuple(verdict_format.values)


def _tokens(tokenizer: Any, texts: tuple[str, ...], name: str) -> dict[str, tuple[int, ...]]:
    """Option -> the ids of the tokens that spell it at the beginning of a reply."""
    ids = {text: [tokenizer(one, add_special_tokens=False)["input_ids"] for one in spellings(text)] for text in texts}
    for text, (tokens, *_) in ids.items():
        if len(tokens) != 1 or tokens[0] == tokenizer.unk_token_id:
            raise RmbenchError(f'{name}: its tokenizer reads the option "{text}" as {tokens}, expected one token.')
    return single_tokens(ids)


def _ends(tokenizer: Any, model: Any) -> frozenset[int]:
    """The tokens that end a reply."""
    declared = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    several = declared if isinstance(declared, list) else [declared]
    return frozenset(one for one in (*several, tokenizer.eos_token_id) if one is not None)
