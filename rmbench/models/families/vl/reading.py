"""What a vision-language model reads with: its processor, its tokenizer, its chat template."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rmbench.errors import RmbenchError
from rmbench.media import FrameRule
from rmbench.models.checkpoint.library import explained, quiet
from rmbench.models.checkpoint.opening import Opening
from rmbench.models.checkpoint.read import Checkpoint
from rmbench.models.families.vl.pictures import Pictures
from rmbench.models.families.vl.schema import Pixels
from rmbench.models.families.vl.wording import ContentTemplate
from rmbench.models.options import OpenOptions
from rmbench.models.text.open import vocabulary_of
from rmbench.models.text.special import LiteralTokenizer
from rmbench.models.text.template_source import own_template
from rmbench.untrusted.files import MIB, read_text

__all__ = ["content_template", "literal_tokenizer", "pictures_of", "processor_of", "stored_vocabulary"]

_FILES = frozenset({"preprocessor_config.json", "processor_config.json"})
_NO_VIDEOS = ("internvl", "idefics3", "paligemma")
"""Backbones that are shown images alone here."""


def processor_of(checkpoint: Checkpoint, options: OpenOptions) -> Any:
    """The processor of images and texts in the model's folder, or in an adapter's base's; raises RmbenchError where
    there is none."""
    from transformers import AutoProcessor

    folder = checkpoint.folder if _FILES & checkpoint.files else checkpoint.tokenizer_path
    with quiet(), explained(f"the processor of {folder}"):
        processor = AutoProcessor.from_pretrained(
            folder, trust_remote_code=options.trust_remote_code, local_files_only=True
        )
    if getattr(processor, "image_processor", None) is None or getattr(processor, "image_token_id", None) is None:
        raise RmbenchError(
            f"{folder} has no processor of images: expected preprocessor_config.json or processor_config.json and the "
            "tokenizer's files beside it, as processor.save_pretrained writes them."
        )
    return processor


def literal_tokenizer(processor: Any, where: str, tokens: Sequence[str] = ()) -> LiteralTokenizer:
    """The tokenizer, which reads as text every special token in a text; raises RmbenchError where it cannot, or lacks
    one of the `tokens` that are read."""
    tokenizer = processor.tokenizer
    unknown = [token for token in tokens if tokenizer.convert_tokens_to_ids(token) in (None, tokenizer.unk_token_id)]
    if unknown:
        raise RmbenchError(
            f"{where}: the tokenizer has no {', '.join(unknown)}, whose state is read; put the tokenizer of the model "
            "that was trained there."
        )
    shown = [processor.image_token, getattr(processor, "video_token", None)]
    literal = LiteralTokenizer(tokenizer, [*tokens, *filter(None, shown)])
    if literal.problem:
        raise RmbenchError(f"The tokenizer of {where} cannot read special tokens of a text as text: {literal.problem}.")
    return literal


def content_template(opening: Opening, literal: LiteralTokenizer) -> ContentTemplate:
    """The chat template that is given parts: the user's, else the card's, else the tokenizer's or processor's own;
    raises RmbenchError where there is none, or it cannot render an image, a question and an answer."""
    options, card = opening.options, opening.card
    if options.template is not None:
        text, source = read_text(options.template, 4 * MIB, f"--template {options.template}"), options.template.name
    elif card.template != "tokenizer":
        text, source = card.template, "card"
    else:
        own = own_template(literal, opening.name, opening.checkpoint.folder)
        text, source = own.text, own.source
    template = ContentTemplate(literal, text, source)
    template.check()
    return template


def pictures_of(processor: Any, checkpoint: Checkpoint, pixels: Pixels) -> Pictures:
    """How a model is shown images and, where it takes them, videos."""
    films = getattr(processor, "video_processor", None) is not None
    videos = films and checkpoint.config["model_type"] not in _NO_VIDEOS
    return Pictures(processor, pixels, FrameRule.of(pixels.frames), videos)


def stored_vocabulary(checkpoint: Checkpoint) -> dict[str, Any]:
    """The rows of the stored embedding, which reward tokens made other than config.json says; the tokenizer's length is
    no guide, since the base's embedding may have spare rows."""
    stored = [tensor.shape[0] for name, tensor in checkpoint.tensors.items() if name.endswith("embed_tokens.weight")]
    if len(stored) != 1 or stored[0] == vocabulary_of(checkpoint):
        return {}
    text = checkpoint.config.get("text_config")
    rows = {"vocab_size": stored[0]}
    return {"text_config": {**text, **rows}} if isinstance(text, dict) else rows
