"""Digests are sha256 of what they say, and commands lose their secrets and nothing else."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmbench.records.digest import clean_command, digest_of, sha256_file

SECRET = "s3cr3tValue0123"


def test_sha256_file(tmp_path: Path) -> None:
    content = bytes(range(256)) * 9000
    (tmp_path / "file").write_bytes(content)
    assert sha256_file(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_digest_of_is_canonical() -> None:
    assert digest_of({"b": [1, 0.5], "a": "\u00e9"}) == hashlib.sha256(b'{"a":"\\u00e9","b":[1,0.5]}').hexdigest()
    assert digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
    assert digest_of({"a": 1}) != digest_of({"a": 1.5})
    with pytest.raises(ValueError):
        digest_of(float("nan"))


@pytest.mark.parametrize(
    "command, cleaned",
    [
        (["run", "--token", SECRET, "--seed", "3"], "run --token *** --seed 3"),
        (["run", f"--api-key={SECRET},with comma"], "run --api-key=***"),
        (["run", "--API_KEY", SECRET], "run --API_KEY ***"),
        (["run", "--model-args", f"api_key={SECRET},n=3"], "run --model-args api_key=***,n=3"),
        (["run", f"--model-args=n=3,password={SECRET}"], "run --model-args=n=3,password=***"),
        (["env", f"HF_TOKEN={SECRET}", "rmbench"], "env HF_TOKEN=*** rmbench"),
        (["env", f"OPENAI_API_KEY={SECRET}"], "env OPENAI_API_KEY=***"),
        (["--header", f"Authorization: Bearer {SECRET} x"], "--header 'Authorization: ***'"),
        (["--args", f'{{"api_key": "{SECRET}", "n": 3}}'], """--args '{"api_key": "***", "n": 3}'"""),
        ([f"http://user:{SECRET}@host:8000/v1"], "http://***@host:8000/v1"),
        ([f"http://host/v1?api_key={SECRET}&n=3"], "'http://host/v1?api_key=***&n=3'"),
        (["--model", "hf_" + "aB3" * 11], "--model ***"),
        (["sk-" + "proj-" + "x1" * 12], "***"),
        (["--secret", f"--{SECRET}"], "--secret ***"),
        (f"rmbench run --token {SECRET} --out 'my folder'", "rmbench run --token *** --out 'my folder'"),
        (f"rmbench 'open --token {SECRET}", "rmbench ''\"'\"'open' --token ***"),
    ],
)
def test_secrets_go(command: str | list[str], cleaned: str) -> None:
    assert clean_command(command) == cleaned
    assert SECRET not in clean_command(command)


@pytest.mark.parametrize(
    "command",
    [
        "rmbench run --model org/name@main --tasks 'rm-*,family=text' --batch-tokens 4096 --max_length 2048",
        "rmbench run --model-args pad_token=x,eos_token=y --pad-token '<pad>' --max-tokens=5",
        "rmbench run --model ./sk-learn/task-specific-model-number-17 --out results/monkey=1",
        "rmbench run --model hf_models/llama --source sample",
        "rmbench score --prompt 'What is 2 + 2?' --response 4 --response '$5 & more'",
    ],
)
def test_the_rest_stays(command: str) -> None:
    assert clean_command(command) == command


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.text(max_size=12), max_size=5), st.sampled_from(["--token", "--api-key", "--hf_token", "--password"])
)
def test_an_option_s_value_never_stays(words: list[str], option: str) -> None:
    plain = [word for word in words if not word.startswith("-")]
    assert SECRET not in clean_command([*plain, option, SECRET, *plain])
    assert SECRET not in clean_command([*plain, f"{option}={SECRET}", *plain])


def test_a_secret_of_several_lines_goes_whole() -> None:
    assert SECRET not in clean_command(["--header", f"Authorization: Bearer x\n{SECRET}"])


def test_a_word_with_stars_and_spaces_is_quoted() -> None:
    assert clean_command(["--note", "two words", "a'b", ""]) == "--note 'two words' 'a'\"'\"'b' ''"
