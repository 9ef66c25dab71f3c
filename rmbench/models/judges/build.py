"""Builds a judge from a backend, a protocol and the user's settings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.models.judges.declaration import JudgeProtocol, load_protocol
from rmbench.models.judges.parsers import PARSERS
from rmbench.models.judges.prompt import Prompt
from rmbench.models.judges.responder import JudgeResponder, JudgeSettings
from rmbench.models.options import OpenOptions
from rmbench.models.protocols import ModelFacts
from rmbench.models.servers.generation import Backend, Sampling
from rmbench.types import Setting

__all__ = ["DEFAULT_PROTOCOL", "JUDGE_ARGS", "make_judge"]

DEFAULT_PROTOCOL = "pair"
JUDGE_ARGS = (
    "protocol",
    "prompt",
    "system",
    "rubric",
    "votes",
    "voting",
    "voting_unparsed",
    "orders",
    "marks",
    "parser",
    "temperature",
    "top_p",
    "max_tokens",
    "tournament",
    "unparsed",
)
"""`--model-args` of every judge; `protocol` is a bundled protocol's name or a TOML file."""


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
    args = {key: value for key, value in options.model_args.items() if key in JUDGE_ARGS}
    declared = load_protocol(args.get("protocol", protocol))
    files: dict[str, Path] = {kind: Path(args[kind]) for kind in ("prompt", "system") if kind in args}
    declared = declared.with_templates(files)
    settings = _settings(declared, args, options.seed)
    prompt = Prompt.of(declared, quoted=settings.marks == "quoted", rubric=_rubric(args))
    recorded = _record_settings(backend, declared, settings, prompt)
    whole = json.dumps([backend.name, recorded, options.seed], sort_keys=True).encode()
    fingerprint = hashlib.sha256(whole).hexdigest()
    facts = ModelFacts(
        name=backend.name,
        revision=fingerprint[:8],
        family="judge",
        why=why,
        answer_kind="verdict",
        settings=recorded,
        fingerprint=fingerprint,
    )
    return JudgeResponder(facts, declared, backend, settings, prompt)


def _record_settings(
    backend: Backend, declared: JudgeProtocol, settings: JudgeSettings, prompt: Prompt
) -> dict[str, Setting]:
    """Everything that changes a verdict, for the record."""
    sampling = settings.sampling
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
        "parser": settings.parser or "rmbench",
        "marks": settings.marks,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
        "repetition_penalty": sampling.repetition_penalty,
    }


def _settings(declared: JudgeProtocol, args: Mapping[str, str], seed: int) -> JudgeSettings:
    sampling = Sampling(
        temperature=_number(args, "temperature", declared.sampling.temperature, 0.0),
        top_p=_number(args, "top_p", declared.sampling.top_p, 0.0),
        max_tokens=_whole(args, "max_tokens", declared.sampling.max_tokens),
        repetition_penalty=declared.sampling.repetition_penalty,
        stop=declared.sampling.stop,
    )
    settings = JudgeSettings(
        seed=seed,
        orders=_choice(args, "orders", declared.orders, ("both", "single")),
        votes=_whole(args, "votes", 1),
        voting=_choice(args, "voting", "majority", ("majority", "mean", "each")),
        voting_unparsed=_choice(args, "voting_unparsed", "abstain", ("abstain", "count")),
        marks=_choice(args, "marks", "quoted", ("quoted", "raw")),
        parser=_parser(args, declared),
        tournament=_choice(args, "tournament", "false", ("true", "false")) == "true",
        unparsed=_credit(args, declared),
        sampling=sampling,
    )
    if settings.votes > 1 and sampling.temperature == 0 and not declared.verdict.options:
        raise RmbenchError(
            f"--model-args votes={settings.votes}: at temperature 0 every vote is the same; set temperature=... too."
        )
    if settings.votes > 1 and declared.verdict.options:
        raise RmbenchError(f"--model-args votes={settings.votes}: {declared.name} asks for probabilities, drawn once.")
    if sampling.top_p == 0:
        raise RmbenchError("--model-args top_p=0: expected a number above 0, at most 1.")
    return settings


def _choice(args: Mapping[str, str], key: str, default: str, known: tuple[str, ...]) -> Any:
    value = args.get(key, default)
    if value not in known:
        raise RmbenchError(f"--model-args {key}={value}: expected {' or '.join(known)}.{did_you_mean(value, known)}")
    return value


def _whole(args: Mapping[str, str], key: str, default: int) -> int:
    if key not in args:
        return default
    if not (args[key].isascii() and args[key].isdecimal() and int(args[key]) >= 1):
        raise RmbenchError(f"--model-args {key}={args[key]}: expected a whole number of at least 1.")
    return int(args[key])


def _number(args: Mapping[str, str], key: str, default: float, low: float) -> float:
    if key not in args:
        return default
    try:
        value = float(args[key])
    except ValueError:
        value = float("nan")
    if not low <= value <= 100:
        raise RmbenchError(f"--model-args {key}={args[key]}: expected a number of at least {low:g}.")
    return value


def _parser(args: Mapping[str, str], declared: JudgeProtocol) -> str:
    name = args.get("parser", "rmbench")
    if name == "rmbench":
        return ""
    if name not in PARSERS:
        near = did_you_mean(name, PARSERS)
        raise RmbenchError(f"--model-args parser={name}: expected rmbench or one of {', '.join(PARSERS)}.{near}")
    if name not in declared.parsers:
        fits = f"only {', '.join(declared.parsers)} does" if declared.parsers else "none of upstream's does"
        raise RmbenchError(f"--model-args parser={name}: it does not read {declared.name}'s verdicts; {fits}.")
    return name


def _credit(args: Mapping[str, str], declared: JudgeProtocol) -> float | str:
    if "unparsed" not in args or args["unparsed"] == "task":
        return args.get("unparsed", declared.unparsed)
    value = _number(args, "unparsed", 0.0, 0.0)
    if value > 1:
        raise RmbenchError(f"--model-args unparsed={args['unparsed']}: expected task or a credit from 0 to 1.")
    return value


def _rubric(args: Mapping[str, str]) -> str:
    if "rubric" not in args:
        return ""
    try:
        return Path(args["rubric"]).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise RmbenchError(f"--model-args rubric={args['rubric']}: cannot be read ({error}).") from error
