"""Row transforms for benchmarks whose responses rest on references or on recorded tool calls."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

__all__ = ["references_and_question", "shared_tool_calls"]

_CALL = ("Thought", "Action", "Action Input", "Observation")


def references_and_question(row: Mapping[str, Any]) -> dict[str, Any]:
    """RAG-RewardBench: `prompt` gets the question after its references, unless it holds it; `key` identifies the row.

    The key is a digest of the row's texts, so that it is the same in the hub's one split and in the six files.
    """
    prompt, question = row["prompt"], row["question"]
    rejected = row["reject"] if "reject" in row else row.get("rejected", "")
    content = json.dumps([prompt, question, row["chosen"], rejected])
    whole = prompt if question in prompt else f"{prompt}\n\n## Question: {question}"
    return {**row, "prompt": whole, "key": hashlib.sha256(content.encode()).hexdigest()[:16]}


def shared_tool_calls(row: Mapping[str, Any]) -> dict[str, Any]:
    """Themis: adds `prompt`, `tool_call` ("shared" or "own") and `better` ("pos", or "same" for two equal responses).

    The prompt has upstream's lines `Context:` (if any) and `Question:`, and then the recorded tool call if both
    responses were checked by the same one; a response's own call would give away whether it is right.

    Raises ValueError where a recorded call is neither a text nor an object with upstream's four keys.
    """
    right, wrong = row["pos_answer"], row["neg_answer"]
    shared = right.get("actions") == wrong.get("actions")
    lines = [f"Context: {row['context']}"] if "context" in row else []
    lines.append(f"Question: {row['question']}")
    if shared:
        lines.append(_call(right.get("actions")))
    return {
        **row,
        "prompt": "\n".join(lines),
        "tool_call": "shared" if shared else "own",
        "better": "same" if right["answer"] == wrong["answer"] else "pos",
    }


def _call(actions: Any) -> str:
    if isinstance(actions, str):
        return actions
    if not isinstance(actions, Mapping) or any(not isinstance(actions.get(key), str) for key in _CALL):
        raise ValueError(f'column "pos_answer.actions": expected a text, or an object with {", ".join(_CALL)}')
    return "\n".join(f"{key}: {actions[key]}" for key in _CALL)
