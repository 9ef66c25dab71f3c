"""What a user may say of a model besides its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rmbench.errors import RmbenchError, did_you_mean

__all__ = ["OpenOptions", "silent"]

_SERVER_OPTIONS = ("base_url", "vllm_bin", "api_key_env", "requests_out", "responses_in")
"""The options of models that servers or files answer for."""


def silent(_: str) -> None:
    """Discard a note."""


@dataclass(frozen=True)
class OpenOptions:
    """How a model is opened. None and "auto" are resolved from the card and the checkpoint, printed and stored."""

    revision: str | None = None
    """Hub commit, branch or tag; `@revision` in the model's name means the same."""
    ref_model: str | None = None
    """The reference policy of an implicit reward."""
    device: str = "auto"
    """"auto" (a GPU where there is one), "cpu", "cuda", "cuda:1" ..."""
    dtype: str = "auto"
    """"auto" (the checkpoint's on a GPU, float32 on a CPU), "float32", "bfloat16", "float16"."""
    attn: str = "auto"
    """"auto", "eager", "sdpa", "flash_attention_2"."""
    template: Path | None = None
    """A file that holds a Jinja chat template; it takes the place of the tokenizer's and the card's."""
    max_length: int | None = None
    """Tokens a row may have."""
    trust_remote_code: bool = False
    """Run Python files that lie in the checkpoint."""
    allow_pickle: bool = False
    """Unpickle torch files in full, which runs whatever code they hold."""
    adapter: str | None = None
    """The family, where it is not to be decided from the checkpoint."""
    model_args: Mapping[str, str] = field(default_factory=dict)
    """Further settings of the family, as text."""
    base_url: tuple[str, ...] = ()
    """Addresses of servers of the OpenAI protocol; several share the work."""
    vllm_bin: Path | None = None
    """The program `vllm`; None: as RMBENCH_VLLM or the PATH says."""
    api_key_env: str | None = None
    """The environment variable that holds the servers' key; None: OPENAI_API_KEY."""
    requests_out: Path | None = None
    """A file that a judge's questions are written to, instead of being asked."""
    responses_in: Path | None = None
    """A file of answers to such questions."""
    seed: int = 0
    note: Callable[[str], None] = field(default=silent, compare=False, repr=False)
    """Told what takes long or goes wrong while servers are started and asked; from any thread."""

    def of_servers(self) -> list[str]:
        """The options that were given and have a meaning only for models behind servers or files."""
        return [name for name in _SERVER_OPTIONS if getattr(self, name)]

    def check_model_args(self, family: str, known: tuple[str, ...]) -> None:
        """Raise RmbenchError for a model argument that the family does not have."""
        for key in self.model_args:
            if key not in known:
                has = f"it has {', '.join(known)}" if known else "it has none"
                raise RmbenchError(
                    f"--model-args: a {family} model has no setting {key!r} ({has}).{did_you_mean(key, known)}"
                )
