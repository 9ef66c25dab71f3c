"""What a model reads of a row: the tokens, parts or messages that its own adapter makes of it, as in a run."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.evaluation.options import RunArguments, RunOptions
from rmbench.models.options import checked, silent
from rmbench.models.signature import spec_of, with_named_options

if TYPE_CHECKING:
    from rmbench.evaluation.ensemble import Model
    from rmbench.models.judges.responder import JudgeResponder
    from rmbench.models.protocols import Encoded, Scorer
    from rmbench.types import Example

__all__ = ["Prompt", "Prompts", "Token", "prompt_digests", "show_prompts"]


@dataclass(frozen=True, slots=True)
class Token:
    """A token that a model reads."""

    id: int
    text: str
    """As the tokenizer spells it; "" where the model has no tokenizer of its own."""
    special: bool
    """Whether it is a control token of the tokenizer and no text."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model reads at once: a candidate, an ordered pair of candidates, or a question to a judge."""

    row: str
    """The row's id."""
    what: str
    """`candidate 0`, `candidates 1, 0`; of several models or parts, which one."""
    pieces: tuple[tuple[str, bool], ...] = ()
    """The text in order, and whether a piece is a special token; of a model without tokens, what it reads instead."""
    tokens: tuple[Token, ...] = ()
    messages: tuple[Mapping[str, Any], ...] = ()
    """Role and content of each message, of a judge that is asked over an API; a content with images is a list of
    parts."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Such a judge's sampling, and what its answer is held to."""
    truncated: bool = False
    cut: tuple[int, int] = (0, 0)
    """Tokens cut off on the left and on the right, where that is known."""
    remarks: tuple[str, ...] = ()
    """What the record counts of such rows, such as `template_dropped_text`."""
    error: str = ""
    """Why the model cannot read it; "" otherwise."""

    @property
    def text(self) -> str:
        """The pieces as one text."""
        return "".join(text for text, _ in self.pieces)


@dataclass(frozen=True, slots=True)
class Prompts:
    """What `rmbench.show_prompts` returns."""

    task: str
    model: str
    """`name@revision`."""
    prompts: tuple[Prompt, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data: the object that `rmbench show-prompt --json` prints."""
        prompts = [{"text": each.text, **asdict(each)} for each in self.prompts]
        for each in prompts:
            del each["pieces"]
        return {"task": self.task, "model": self.model, "prompts": prompts}


@with_named_options(RunOptions)
def show_prompts(
    task: str | Path | None,
    model: str | Path | Callable[..., Any],
    *,
    ids: Sequence[str] = (),
    **options: Unpack[RunArguments],
) -> Prompts:
    """What a model reads of rows of a task: the very text, token ids and messages of a run.

    The model is opened as a run opens it, its weights included; a judge behind an API is not contacted.

    Args:
        task: an id, or a declaration's TOML; None: that of `data`.
        model: as in `rmbench.run`.
        ids: of the rows; none: the first row.
        options: as in `rmbench.run`, of which those of opening, `source` and `allow_changed_data` count.

    Raises:
        RmbenchError: a wrong option, an unknown task or id, or a model that reads no text or media.
    """
    from rmbench.evaluation.compatibility import cannot_take
    from rmbench.evaluation.ensemble import is_ensemble, open_ensemble
    from rmbench.evaluation.rows import selected_tasks
    from rmbench.models.open import open_model
    from rmbench.tasks.sources import load

    spec = spec_of(model)
    settings = checked(RunOptions, options, "show_prompts")
    selected, _ = selected_tasks(task, settings, silent)
    if len(selected) != 1:
        raise RmbenchError(f"{len(selected)} tasks are selected; give one.")
    if isinstance(spec, str) and spec.partition(":")[0] in ("openai", "vllm"):
        # Nothing is asked, so no server is needed.
        settings = replace(settings, requests_out=Path(os.devnull), base_url=(), query=(), header_env=())
    opened: Model = open_ensemble(spec, settings) if is_ensemble(spec) else open_model(spec, settings)
    why = cannot_take(opened, selected[0])
    if why:
        raise RmbenchError(f"{selected[0].id}: {why}.")
    loaded = load(selected[0], settings.source, allow_changed_data=settings.allow_changed_data)
    known = {example.id: example for example in loaded.examples}
    for each in ids:
        if each not in known:
            raise RmbenchError(f"{selected[0].id} has no row {each!r}.{did_you_mean(each, known)}")
    chosen = [known[each] for each in ids] or list(loaded.examples[:1])
    prompts = tuple(prompts_of(opened, selected[0].id, chosen, selected[0].render))
    return Prompts(selected[0].id, f"{opened.facts.name}@{opened.facts.revision}", prompts)


def prompts_of(
    model: Model, task: str, examples: Sequence[Example], render: Literal["chat", "raw"]
) -> Iterator[Prompt]:
    """What the model reads of each example, in their order."""
    from rmbench.evaluation.ensemble import Ensemble
    from rmbench.models.introspect import decoder_of
    from rmbench.models.judges.responder import JudgeResponder
    from rmbench.models.protocols import Scorer

    if isinstance(model, Ensemble):
        for name, member in zip(model.names, model.members, strict=True):
            for prompt in prompts_of(member, task, examples, render):
                yield replace(prompt, what=f"{name}: {prompt.what}")
    elif isinstance(model, Scorer):
        tokenizer = decoder_of(model)
        for row, what, encoded in _encoded(model, examples, render):
            yield from _of_row(row, what, encoded, tokenizer)
    elif isinstance(model, JudgeResponder):
        for example in examples:
            yield from _of_judge(model, task, example)
    else:
        raise RmbenchError(f"{model.facts.name} reads no prompt ({model.facts.family}).")


def prompt_digests(
    model: Model, task: str, examples: Sequence[Example], render: Literal["chat", "raw"]
) -> dict[str, str]:
    """Row id -> sha256 of all that the model reads of it; {} of a model that reads no prompt.

    Equal for two models exactly where they read the same tokens (or pictures, or texts where there are no tokens), or
    are asked by the same messages and settings.
    """
    from rmbench.evaluation.ensemble import Ensemble
    from rmbench.models.judges.responder import JudgeResponder
    from rmbench.models.protocols import Scorer

    parts: dict[str, list[object]] = {example.id: [] for example in examples}
    if isinstance(model, Ensemble):
        for member in model.members:
            for row, digest in prompt_digests(member, task, examples, render).items():
                parts[row].append(digest)
    elif isinstance(model, Scorer):
        for row, what, encoded in _encoded(model, examples, render):
            parts[row].append([what, _content(encoded), encoded.error])
    elif isinstance(model, JudgeResponder):
        for example in examples:
            for prompt in _of_judge(model, task, example):
                parts[example.id].append([prompt.what, prompt.messages, prompt.settings, prompt.error])
    else:
        return {}
    return {row: hashlib.sha256(json.dumps(part).encode()).hexdigest() for row, part in parts.items()}


def _content(encoded: Encoded) -> list[object]:
    """What a row holds for the model. Its key would do for one model alone: it covers where a score is read too."""
    if encoded.parts:
        return [_content(part) for part in encoded.parts]
    return list(encoded.ids) if encoded.ids else [encoded.key]


def _encoded(
    model: Scorer, examples: Iterable[Example], render: Literal["chat", "raw"]
) -> Iterator[tuple[str, str, Encoded]]:
    """Row id, what is read, and the row that the engine gets, window by window as in a run."""
    from rmbench.engine.encode import encode_window, windows_of
    from rmbench.engine.judge import SilentProgress
    from rmbench.engine.requests import pairs_of

    in_pairs = "pair" in model.answers
    for chosen in windows_of(examples, pairs=in_pairs):
        window = encode_window(chosen, model, render, "", SilentProgress())
        for example, places in zip(chosen, window.places, strict=True):
            shown = pairs_of(len(example.candidates)) if in_pairs else [(k,) for k in range(len(example.candidates))]
            for place, candidates in zip(places, shown, strict=True):
                yield example.id, _name(candidates), window.encoded[place]


def _of_row(row: str, what: str, encoded: Encoded, tokenizer: Any) -> Iterator[Prompt]:
    """A row of the engine; each of its parts by itself, where it has any."""
    for number, part in enumerate(encoded.parts, 1):
        yield from _of_row(row, f"{what}, {part.kind or 'part'} {number}", part, tokenizer)
    if encoded.parts:
        return
    tokens = tuple(_tokens(encoded.ids, tokenizer))
    payload = "" if encoded.payload is None else str(encoded.payload)
    pieces = tuple(_pieces(tokens, tokenizer)) if tokens else ((payload, False),)
    yield Prompt(
        row,
        what,
        pieces,
        tokens,
        truncated=encoded.truncated,
        cut=encoded.cut,
        remarks=encoded.remarks,
        error=encoded.error,
    )


def _of_judge(model: JudgeResponder, task: str, example: Example) -> Iterator[Prompt]:
    from rmbench.media import MediaError
    from rmbench.models.judges.prompt import PromptError

    try:
        for question in model.questions(task, example):
            vote = f", vote {question.vote + 1}" if model.settings.votes > 1 else ""
            grammar = {key: value for key, value in asdict(question.grammar).items() if value}
            sampling = {key: value for key, value in asdict(question.sampling).items() if key != "extra"}
            sampling |= question.sampling.further
            settings = {**sampling, **({"held_to": grammar} if grammar else {}), "raw": question.raw}
            what = f"{_name(question.shown)}{vote}"
            yield Prompt(example.id, what, messages=question.messages, settings=settings)
    except (PromptError, MediaError) as error:
        yield Prompt(example.id, "question", error=str(error))


def _name(candidates: Sequence[int]) -> str:
    return f"candidate{'s' * (len(candidates) > 1)} {', '.join(map(str, candidates))}"


def _tokens(ids: Sequence[int], tokenizer: Any) -> Iterator[Token]:
    special = frozenset() if tokenizer is None else frozenset(tokenizer.all_special_ids)
    for each in ids:
        yield Token(each, "" if tokenizer is None else _decoded([each], tokenizer), each in special)


def _pieces(tokens: Iterable[Token], tokenizer: Any) -> Iterator[tuple[str, bool]]:
    """Special tokens one by one, and the runs of others decoded together: a letter may be spread over several."""
    for special, run in itertools.groupby(tokens, key=lambda token: token.special):
        if special or tokenizer is None:
            yield from ((token.text, special) for token in run)
        else:
            yield _decoded([token.id for token in run], tokenizer), False


def _decoded(ids: Sequence[int], tokenizer: Any) -> str:
    if not hasattr(tokenizer, "clean_up_tokenization_spaces"):  # open_clip's own
        return str(tokenizer.decode(list(ids)))
    return str(tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))
