"""Questions written to a file, answered by `vllm run-batch`, and read back."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from rmbench.engine.judge import judge
from rmbench.models.judges.responder import JudgeResponder
from rmbench.models.open import OpenOptions, open_model
from rmbench.models.servers.batch_files import open_requests
from rmbench.models.servers.capabilities import Capabilities
from rmbench.models.servers.key import ApiKey
from rmbench.models.servers.vllm_command import Machine, serve_environment
from rmbench.types import Candidate, Example

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1800)]


def test_a_batch_is_written_answered_and_read(
    llama: JudgeResponder, llama_folder: Path, options: OpenOptions, program: Path, pairs: list[Example], tmp_path: Path
) -> None:
    """The answers are those of the live server; a row that is too long for the model fails, alone."""
    long = replace(pairs[4], candidates=(Candidate.of("word " * 40_000), Candidate.of("word")))
    rows = [*pairs[:4], long]
    with open_requests(tmp_path / "in.jsonl", "judge", Capabilities.of_batch(structured=True)) as requests:
        for example in rows:
            for question in llama.questions("rm-bench", example):
                requests.add(question)
    assert requests.count == 10
    command = [str(program), "run-batch", "-i", str(tmp_path / "in.jsonl"), "-o", str(tmp_path / "out.jsonl")]
    command += ["--model", str(llama_folder), "--served-model-name", "judge", "--dtype", "float32"]
    command += ["--max-model-len", "16384", "--enforce-eager"]
    environment = dict(serve_environment(Machine(0), ApiKey("OPENAI_API_KEY")))
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    asked = replace(
        options,
        vllm_bin=None,
        responses_in=tmp_path / "out.jsonl",
        model_args={"protocol": "skywork-critic", "constrain": "on"},
    )
    read = open_model("openai:judge", asked)
    judging = judge("rm-bench", rows, read)
    live = judge("rm-bench", rows[:4], llama)
    assert [judgment.status for judgment in judging.judgments] == ["ok"] * 4 + ["failed"]
    assert "maximum context length" in judging.judgments[4].error
    assert judging.remarks == {"answers_choice": 8, "answers_failed": 2}
    assert [judgment.verdicts for judgment in judging.judgments[:4]] == [one.verdicts for one in live.judgments]
    assert not (tmp_path / "in.jsonl.part").exists()
