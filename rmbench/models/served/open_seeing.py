"""Opens a vision-language reward model behind a server: what rows are is decided here, the forward pass is there."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch

from rmbench.errors import RmbenchError
from rmbench.media import FrameRule
from rmbench.models.checkpoint.opening import Opening
from rmbench.models.checkpoint.read import Checkpoint
from rmbench.models.checkpoint.state_dict import read_tensors
from rmbench.models.families.vl.encoder import VisionEncoder
from rmbench.models.families.vl.matching import BACKBONES
from rmbench.models.families.vl.open import VisionLanguageSettings, changed_layout
from rmbench.models.families.vl.pictures import Pictures
from rmbench.models.families.vl.reading import content_template, literal_tokenizer, processor_of
from rmbench.models.families.vl.schema import Layout, layouts
from rmbench.models.judges.settings import JUDGE_ARGS
from rmbench.models.protocols import Request
from rmbench.models.served.classifier_folder import CLASSIFIED
from rmbench.models.served.open_scalar import served_model, trial_rows
from rmbench.models.served.scorer import check_raw
from rmbench.models.served.seeing import MOST_IMAGES, ServedVisionScorer, check_reads
from rmbench.models.servers.client import Client
from rmbench.models.text.open import card_of, own_length, pad_id
from rmbench.types import Message, Part, Setting

__all__ = ["SeeingModel", "open_seeing_scorer", "read_seeing", "sees_and_scores"]


@dataclass(frozen=True)
class SeeingModel:
    """What a server's model is, as far as it can be known without its weights."""

    text: VisionEncoder
    weight: torch.Tensor
    """[1, H], of its head."""
    bias: float
    head: str
    """How the names of the head's tensors begin."""
    pad_id: int


def sees_and_scores(checkpoint: Checkpoint) -> bool:
    """Whether it is a vision-language model with a head of one of the known layouts."""
    from rmbench.models.families.vl.family import VL_SCALAR

    return checkpoint.config.get("model_type") in BACKBONES and bool(VL_SCALAR.fits(checkpoint, None))


def read_seeing(opening: Opening) -> SeeingModel:
    """The reward model in a folder, unloaded.

    Raises:
        RmbenchError: a server would compute something else: a layout with more than one linear layer at the last token,
            other positions, sizes of images of its own, another backbone, a judge's setting.
    """
    options, checkpoint = opening.options, opening.checkpoint
    for key in options.model_args:
        if key in JUDGE_ARGS:
            raise RmbenchError(
                f"--model-args {key}: {opening.name} is a reward model, and that is a setting of judges."
            )
    bare = replace(opening, options=replace(options, model_args={}))
    layout = layouts()[opening.family.layout]
    layout = changed_layout(layout, bare.settings(VisionLanguageSettings), str(checkpoint.folder))
    _check(opening, layout)
    weight, bias = _head(opening, layout)
    processor = processor_of(checkpoint, options)
    literal = literal_tokenizer(processor, str(checkpoint.folder))
    length = options.max_length or card_of(opening).max_length or own_length(processor.tokenizer, checkpoint)
    rows = [one.shape[0] for name, one in checkpoint.tensors.items() if name.endswith("embed_tokens.weight")]
    text = VisionEncoder(
        pictures=Pictures(processor, layout.pixels, FrameRule.of(layout.pixels.frames), videos=False),
        template=replace(content_template(opening, literal), generation_prompt=False),
        wordings=(),
        spots=(),
        passes=1,
        causal=True,
        max_length=length,
        vocabulary=rows[0] if rows else len(literal),
    )
    return SeeingModel(text, weight, bias, layout.score.name, pad_id(processor.tokenizer, checkpoint))


def open_seeing_scorer(
    opening: Opening,
    seeing: SeeingModel,
    client: Client,
    settings: Mapping[str, Setting],
    model: str | None = None,
    stop: Callable[[], None] | None = None,
) -> ServedVisionScorer:
    """The scorer, once its servers are known to return logits, and to read a row with an image as it is read here.

    Args:
        opening: of the checkpoint that the servers have loaded.
        seeing: see `read_seeing`.
        client: to the servers.
        settings: extra ones for the record.
        model: as the servers call it; None: the only one that they list.
        stop: stops the server, if it is ours.

    Raises:
        RmbenchError: a server does not answer, lists several models, returns no logits, or reads rows otherwise.
    """
    model, length = served_model(client, model)
    text = seeing.text
    if length is not None and (text.max_length is None or text.max_length > length):
        text = replace(text, max_length=length)
    check_raw(client, model, trial_rows(text, opening.name))
    _try_an_image(client, model, text)
    resolved = {
        **text.template.settings,
        "read_at": "last token",
        "positions": "mrope",
        **text.pictures.settings,
        "transport": "png",
        "max_images": MOST_IMAGES,
        "max_length": text.max_length,
        "head_dtype": "float32",
        "head_bias": seeing.bias or None,
        **settings,
    }
    parameters = sum(math.prod(tensor.shape) for tensor in opening.checkpoint.tensors.values())
    facts = opening.facts({"backend": "vllm", **resolved}, parameters, modalities=("text", "image"))
    return ServedVisionScorer(client, model, text, seeing.bias, facts, seeing.pad_id, stop)


def _check(opening: Opening, layout: Layout) -> None:
    """Raise RmbenchError for a model whose rewards /classify would not return."""
    kind, name = opening.checkpoint.config.get("model_type"), layout.name
    output = layout.output
    plain = not (layout.film or output.names or output.weights or output.mean or output.log_sigma)
    wrong = ""
    if layout.prompt.form != "chat" or layout.prompt.passes > 1 or "{}" in layout.score.name or not plain:
        wrong = f"a model of the layout {name} is more than one linear layer at the last token of a chat"
    elif layout.positions == "sequential":
        wrong = "a server gives its rows positions of time, height and width, and this model was made without"
    elif layout.pixels.resize != "processor" or layout.pixels.min or layout.pixels.max:
        wrong = "a server gives images the sizes that the model's own processor says"
    elif kind not in CLASSIFIED:
        wrong = f"a server's scores of {kind} models are not known to be right ({', '.join(CLASSIFIED)} are)"
    if wrong:
        raise RmbenchError(
            f"{opening.checkpoint.folder}: {wrong}. Run it in this process: --model with the folder or hub id itself."
        )


def _head(opening: Opening, layout: Layout) -> tuple[torch.Tensor, float]:
    """The weight [1, H] and the bias of the one linear layer."""
    from rmbench.models.families.scalar.heads.build import HeadTensors

    spec, checkpoint, options = layout.score, opening.checkpoint, opening.options
    where = HeadTensors(checkpoint, options, torch.float32, torch.device("cpu"))
    shapes = where.shapes(spec.file)
    weight, bias = f"{spec.name}.weight", f"{spec.name}.bias"
    if weight not in shapes or len(shapes[weight]) != 2 or shapes[weight][0] != 1:
        found = list(shapes.get(weight, ()))
        raise RmbenchError(f"{checkpoint.folder}: {weight} is {found}; a scalar reward model has one label, [1, H].")
    read = read_tensors(checkpoint, [weight, *([bias] if bias in shapes else [])], options, file=spec.file)
    return read[weight], float(read[bias].float()[0]) if bias in read else 0.0


def _try_an_image(client: Client, model: str, text: VisionEncoder) -> None:
    """A row with a picture, whose tokens here and there must be the same."""
    from tempfile import TemporaryDirectory

    from PIL import Image

    with TemporaryDirectory(prefix="rmbench-trial-") as folder:
        path = f"{folder}/trial.png"
        Image.linear_gradient("L").resize((168, 112)).convert("RGB").save(path)
        image = Part("image", name="trial.png", path=path)
        asked = Message("user", (image, Part(text="What is this?")))
        request = Request((asked, Message.of("assistant", "A grey picture.")), 1)
        (row,) = text.encode([request])
        if row.error:
            raise RmbenchError(f"{model}: an image, a question and an answer cannot be read: {row.error}.")
        check_reads(client, model, row, request.conversation)
