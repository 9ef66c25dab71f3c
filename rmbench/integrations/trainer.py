"""What is evaluated of a running trainer: its model in memory, out of its wrappers, and the reference of a policy."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import transformers

from rmbench.errors import RmbenchError
from rmbench.models.live import LiveReference

__all__ = ["Evaluated", "evaluated_of", "log", "refuse_sharded", "trainer_of"]


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The modules of a trainer."""

    model: Any
    """transformers' own class, adapters inside."""
    reference: LiveReference | None
    tokenizer: Any

    @property
    def modules(self) -> list[Any]:
        """All that an evaluation runs."""
        own = self.reference is not None and self.reference.switch is None
        return [self.model, self.reference.model] if self.reference is not None and own else [self.model]


def trainer_of(callback: transformers.TrainerCallback) -> Any:
    """The trainer that is calling `callback`. A callback is told the state alone, and neither the way to the reporters
    nor a reference policy is in it, so the trainer is looked for among the callers.

    Raises:
        RmbenchError: no trainer is.
    """
    frame = inspect.currentframe()
    while frame is not None:
        caller = frame.f_locals.get("self")
        if isinstance(caller, transformers.Trainer) and any(
            each is callback for each in caller.callback_handler.callbacks
        ):
            return caller
        frame = frame.f_back
    raise RmbenchError(
        f"{type(callback).__name__} is a callback of transformers.Trainer and of the trainers made from it, as TRL's "
        "are: pass it by callbacks=[...] or trainer.add_callback(...)."
    )


def refuse_sharded(trainer: Any) -> None:
    """Raise RmbenchError where no process holds all parameters."""
    plugin = getattr(trainer.accelerator.state, "deepspeed_plugin", None)
    zero = trainer.is_deepspeed_enabled and plugin is not None and plugin.zero_stage == 3
    pieces = any(type(each).__name__ == "DTensor" for each in trainer.model.parameters())
    if trainer.is_fsdp_enabled or zero or pieces:
        how = "FSDP" if trainer.is_fsdp_enabled else "DeepSpeed ZeRO-3" if zero else "tensor parallelism"
        raise RmbenchError(
            f"{how} shards the model's parameters, and an evaluation in memory needs them whole in one process: leave "
            "RewardBenchmark out and use `rmbench run` on the checkpoints; or train with DDP or ZeRO-2."
        )


def evaluated_of(trainer: Any, *, without_reference: bool) -> Evaluated:
    """The model of a trainer, with the reference of a policy.

    Args:
        trainer: before or while it trains.
        without_reference: whether the user names a score of a policy that has none.

    Raises:
        RmbenchError: no tokenizer, an adapter of virtual tokens, or a policy without a reference.
    """
    wrapped = trainer.accelerator.unwrap_model(trainer.model, keep_torch_compile=False)
    model, reference = _base(wrapped), None
    if type(model).__name__.endswith("ForCausalLM") and not without_reference:
        reference = _reference(trainer, wrapped, model)
    return Evaluated(model, reference, _tokenizer(trainer))


def _base(model: Any) -> Any:
    """The library's model, out of peft's, whose adapters lie in its layers."""
    if not _is_peft(model):
        return model
    if getattr(model.active_peft_config, "is_prompt_learning", False):
        raise RmbenchError(
            f"{model.active_peft_config.peft_type} puts tokens of its own before a row, and is not read in memory: "
            "use `rmbench run` on the checkpoints."
        )
    return model.get_base_model()


def _is_peft(model: Any) -> bool:
    return hasattr(model, "peft_config") and hasattr(model, "get_base_model")


def _reference(trainer: Any, wrapped: Any, model: Any) -> LiveReference:
    other = getattr(trainer, "ref_model", None)
    if other is not None:
        other = _base(trainer.accelerator.unwrap_model(other, keep_torch_compile=False))
        return LiveReference(other, f"{_name(other)} (in memory)")
    if hasattr(trainer, "ref_model") and _is_peft(wrapped):
        copy = "ref" if "ref" in wrapped.peft_config else None
        how = "its first adapter" if copy else "no adapter"
        return LiveReference(model, f"{_name(model)} with {how}", lambda: _switched(wrapped, copy))
    raise RmbenchError(
        f"{type(trainer).__name__} trains a policy ({type(model).__name__}) and holds no reference in memory that its "
        "implicit reward could be measured against. Supported are sequence classifiers with one label; policies whose "
        "trainer has a ref_model, or an adapter and no ref_model; and policies alone by "
        'model_args={"score": "avg"}, or another score without a reference.'
    )


@contextlib.contextmanager
def _switched(model: Any, adapter: str | None) -> Iterator[None]:
    """Peft's model with another adapter, or none, active."""
    if adapter is None:
        with model.disable_adapter():
            yield
        return
    active = model.active_adapter
    model.set_adapter(adapter)
    try:
        yield
    finally:
        model.set_adapter(active)


def _name(model: Any) -> str:
    return str(getattr(model.config, "_name_or_path", "") or type(model).__name__)


def _tokenizer(trainer: Any) -> Any:
    given = getattr(trainer, "processing_class", None)
    tokenizer = getattr(given, "tokenizer", given)  # a processor's
    if not hasattr(tokenizer, "save_pretrained") or not hasattr(tokenizer, "get_vocab"):
        raise RmbenchError(
            f"{type(trainer).__name__} has no tokenizer: pass processing_class=, which reads the rows, as it "
            "reads them for the checkpoints."
        )
    return tokenizer


def log(trainer: Any, values: dict[str, float]) -> None:
    """Put values into the history and before the reporters, as the trainer's own.

    It is the library's `log`: TRL's own adds the means of what training gathered, and clears them. And what the trainer
    is about to log of this step is still to be logged.
    """
    due = trainer.control.should_log
    transformers.Trainer.log(trainer, values)
    trainer.control.should_log = due
