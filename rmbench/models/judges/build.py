"""Builds a judge from a backend, a protocol and the user's settings."""

from __future__ import annotations

import hashlib
import json

from rmbench.models.judges.declaration import JudgeProtocol, load_protocol, read_template
from rmbench.models.judges.prompt import Prompt
from rmbench.models.judges.request_fields import is_nested, recorded_fields
from rmbench.models.judges.responder import JudgeResponder
from rmbench.models.judges.settings import JUDGE_ARGS, MAX_REPLY, JudgeSettings, judge_settings
from rmbench.models.options import OpenOptions
from rmbench.models.protocols import ModelFacts
from rmbench.models.servers.generation import Backend
from rmbench.types import Setting

__all__ = ["DEFAULT_PROTOCOL", "make_judge"]

DEFAULT_PROTOCOL = "pair"


def make_judge(
    backend: Backend,
    protocol: str = DEFAULT_PROTOCOL,
    options: OpenOptions | None = None,
    *,
    why: str = "it writes verdicts",
) -> JudgeResponder:
    """The judge that asks `backend` questions by a protocol.

    Args:
        backend: answers the questions.
        protocol: a bundled protocol's name or a TOML file; `protocol=` among the model arguments overrides it.
        options: `seed` and `model_args`, of which those in JUDGE_ARGS are used and the others left to the backend.
        why: one line for the record: what decided that this is a judge.

    Raises:
        RmbenchError: an unknown protocol, or an argument that does not fit it.
    """
    options = options or OpenOptions()
    args = {key: value for key, value in options.model_args.items() if key in JUDGE_ARGS or is_nested(key)}
    declared = load_protocol(args.get("protocol", protocol))
    settings = judge_settings(declared, args)
    declared = declared.with_templates(system=settings.system, prompt=settings.prompt)
    rubric = read_template(settings.rubric).strip() if settings.rubric else ""
    prompt = Prompt.of(declared, quoted=settings.marks == "quoted", rubric=rubric, pictures=settings.pictures(declared))
    recorded = _record_settings(backend, declared, settings, prompt)
    # Without a default that came later, so that fingerprints, and with them cached replies, stay.
    hashed = {key: value for key, value in recorded.items() if (key, value) != ("max_reply", MAX_REPLY)}
    whole = json.dumps([backend.name, hashed, options.seed], sort_keys=True).encode()
    fingerprint = hashlib.sha256(whole).hexdigest()
    facts = ModelFacts(
        name=backend.name,
        revision=fingerprint[:8],
        family="judge",
        why=why,
        answer_kind="verdict",
        modalities=_modalities(declared),
        settings=recorded if settings.votes == 1 or "voting" in args else {**recorded, "voting": "task"},
        fingerprint=fingerprint,
    )
    return JudgeResponder(facts, declared, backend, settings, prompt, options.seed)


def _modalities(declared: JudgeProtocol) -> frozenset[str]:
    """What kinds of tasks it can judge; one that compares images or videos has no place for answers of text."""
    if declared.media is None:
        return frozenset({"text"})
    return frozenset((*declared.media.kinds, *(() if declared.media.of == "candidates" else ("text",))))


def _record_settings(
    backend: Backend, declared: JudgeProtocol, settings: JudgeSettings, prompt: Prompt
) -> dict[str, Setting]:
    """Everything that changes a verdict, for the record."""
    several = settings.votes > 1
    return {
        **backend.settings,
        "protocol": declared.name,
        "protocol_version": declared.version,
        "protocol_sha256": declared.digest,
        "rubric_sha256": hashlib.sha256(prompt.rubric.encode()).hexdigest() if prompt.rubric else None,
        "orders": settings.orders if declared.most > 1 else None,
        "tournament": settings.tournament or None,
        "votes": settings.votes,
        "voting": settings.voting if several else None,
        "voting_unparsed": settings.voting_unparsed if several else None,
        "unparsed": None if settings.unparsed == "task" else settings.unparsed,
        "parser": settings.parser,
        "marks": settings.marks,
        "temperature": "none" if settings.temperature is None else settings.temperature,
        "top_p": "none" if settings.top_p is None else settings.top_p,
        "max_tokens": settings.max_tokens,
        "max_reply": settings.max_reply,
        "repetition_penalty": declared.sampling.repetition_penalty,
        # Only where it matters, so that the others' fingerprints, and with them their cached replies, stay.
        **({"min_option_mass": settings.min_option_mass} if declared.verdict.options else {}),
        **({} if prompt.pictures is None else prompt.pictures.settings),
        **({} if settings.seed == "run" else {"seed": "none" if settings.seed is None else settings.seed}),
        **recorded_fields(settings.fields),
    }
