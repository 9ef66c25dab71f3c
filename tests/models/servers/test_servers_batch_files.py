"""Questions into a batch's file, answers out of one, as `vllm run-batch` writes and reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rmbench.errors import RmbenchError
from rmbench.evaluation.run import run
from rmbench.models.open import OpenOptions, open_model
from rmbench.models.servers.batch_files import batch_line, open_requests, read_responses
from rmbench.models.servers.capabilities import Capabilities
from rmbench.models.servers.generation import Grammar, Question, Sampling

MESSAGES = ({"role": "user", "content": "A or B?"},)


def question(example: str = "1", **more: Any) -> Question:
    return Question("task", example, (0, 1), 0, MESSAGES, Sampling(0.5, 0.9, 20, seed=3), **more)


def answered(name: str, text: str = "[[A]]", finish: str = "stop", **choice: Any) -> dict[str, Any]:
    """As run-batch writes a good line."""
    body = {
        "model": "judge",
        "choices": [{"index": 0, "message": {"content": text}, "finish_reason": finish, **choice}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 1},
    }
    response = {"status_code": 200, "request_id": "vllm-batch-1", "body": body}
    return {"id": "vllm-1", "custom_id": name, "response": response, "error": None}


def put(file: Path, *lines: Any) -> Path:
    file.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return file


def test_a_question_is_a_line(tmp_path: Path) -> None:
    file = tmp_path / "new" / "in.jsonl"
    with open_requests(file, "judge", Capabilities.of_batch()) as requests:
        requests.add(question(grammar=Grammar(choices=("A", "B"))))
        assert not file.exists()
    line = json.loads(file.read_text())
    assert line == {
        "custom_id": "task/1/0-1/0",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {
            "model": "judge",
            "messages": [{"role": "user", "content": "A or B?"}],
            "max_tokens": 20,
            "temperature": 0.5,
            "top_p": 0.9,
            "seed": 3,
        },
    }


def test_constraints_and_probabilities_are_written_where_the_user_says_so() -> None:
    held = batch_line("m", question(grammar=Grammar(choices=("A", "B"))), Capabilities.of_batch(structured=True))[
        "body"
    ]
    assert held["structured_outputs"] == {"choice": ["A", "B"]}
    told = batch_line("m", question(grammar=Grammar(options=("A", "B"))), Capabilities.of_batch())["body"]
    assert (told["logprobs"], told["top_logprobs"], told["max_tokens"]) == (True, 20, 1)


def test_nothing_is_left_of_a_file_that_was_not_finished(tmp_path: Path) -> None:
    def write() -> None:
        with open_requests(tmp_path / "in.jsonl", "judge", Capabilities.of_batch()) as requests:
            requests.add(question())
            requests.add(question())

    with pytest.raises(RmbenchError, match="two questions are called 'task/1/0-1/0'"):
        write()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    requests = open_requests(put(tmp_path / "in.jsonl"), "judge", Capabilities.of_batch())
    with pytest.raises(RmbenchError, match="the file exists already"), requests:
        pass


def test_whole_prompts_fit_no_batch() -> None:
    with pytest.raises(RmbenchError, match="without a chat template, which batch files cannot hold"):
        batch_line("m", question(raw=True), Capabilities.of_batch())


def test_answers_are_found_by_their_id_in_any_order(tmp_path: Path) -> None:
    file = put(tmp_path / "out.jsonl", answered("task/2/0-1/0", "[[B]]"), "", answered("task/1/0-1/0"))
    answers = read_responses(file)
    assert answers.name == "judge"
    first = answers.ask(question("1"))
    assert (first.text, first.path, first.prompt_tokens, first.error) == ("[[A]]", "plain", 5, "")
    assert answers.ask(question("2")).text == "[[B]]"
    missing = answers.ask(question("3"))
    assert missing.error == "out.jsonl has no response with the custom_id task/3/0-1/0"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            {"response": {"status_code": 400, "body": None}, "error": {"error": {"message": "too long", "code": 400}}},
            "status 400: too long",
        ),
        (
            {"response": {"status_code": 400, "body": None}, "error": "URL /v1/nothing was used."},
            "status 400: URL /v1/nothing was used.",
        ),
        ({"response": None, "error": {"code": "batch_expired", "message": "expired"}}, "expired"),
        ({"response": {"status_code": 500, "body": {}}, "error": None}, "status 500"),
        ({"response": {"status_code": 200, "body": None}, "error": None}, "the response has no body"),
        ({}, "status None"),
        (answered("x", "[[A", "abort"), "not finished: choices[0].finish_reason is 'abort'"),
        (
            {"response": {"status_code": 200, "body": {"choices": []}}, "error": None},
            "choices: list should have at least 1 item",
        ),
    ],
)
def test_a_row_without_an_answer_fails_with_the_reason(tmp_path: Path, line: Any, said: str) -> None:
    answers = read_responses(put(tmp_path / "out.jsonl", {**line, "custom_id": "task/1/0-1/0"}), "judge")
    reply = answers.ask(question())
    assert reply.error.startswith("out.jsonl: ")
    assert said in reply.error
    assert reply.text == ""


def test_of_two_lines_the_one_that_succeeded_counts(tmp_path: Path) -> None:
    bad = {"custom_id": "task/1/0-1/0", "response": {"status_code": 500, "body": None}, "error": "oops"}
    good = answered("task/1/0-1/0")
    for order in ((bad, good), (good, bad)):
        assert read_responses(put(tmp_path / "out.jsonl", *order)).ask(question()).text == "[[A]]"


def test_a_constraint_counts_where_the_answer_keeps_to_it(tmp_path: Path) -> None:
    file = put(tmp_path / "out.jsonl", answered("task/1/0-1/0", "A"), answered("task/2/0-1/0", "I like A"))
    answers = read_responses(file, capabilities=Capabilities.of_batch(structured=True))
    grammar = Grammar(choices=("A", "B"))
    assert answers.ask(question("1", grammar=grammar)).path == "choice"
    assert answers.ask(question("2", grammar=grammar)).path == "plain"


def test_option_probabilities_come_from_the_most_probable_tokens(tmp_path: Path) -> None:
    top = [{"token": "A", "logprob": -0.1}, {"token": "B", "logprob": -3.0}]
    told = {"content": [{"token": "A", "logprob": -0.1, "top_logprobs": top}]}
    file = put(tmp_path / "out.jsonl", answered("task/1/0-1/0", "A", "length", logprobs=told))
    reply = read_responses(file).ask(question(grammar=Grammar(options=("A", "B"))))
    assert (reply.options, reply.path, reply.finish) == ({"A": -0.1, "B": -3.0}, "logprobs", "stop")
    other = read_responses(file).ask(question(grammar=Grammar(options=("A", "C"))))
    assert (other.options, other.bound) == ({"A": -0.1}, -3.0)  # C is at most as probable as the last one listed


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"custom_id": "x", "resp', r"out.jsonl, line 1: broken JSON"),
        ("[1]", "line 1: .*expected an object"),
        ('{"id": "x"}', "line 1: .*expected an object"),
        ("", "holds no responses"),
        ('{"custom_id": "x", "response": null, "error": "e"}', "no response names its model"),
    ],
)
def test_a_file_that_is_none_is_one_error(tmp_path: Path, content: str, said: str) -> None:
    with pytest.raises(RmbenchError, match=said):
        read_responses(put(tmp_path / "out.jsonl", content))


def test_a_missing_file_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(RmbenchError, match="cannot be read"):
        read_responses(tmp_path / "none.jsonl")


def test_a_run_writes_questions_and_another_reads_their_answers(tmp_path: Path) -> None:
    """All but one are answered, by one who always takes the first; that one is a failed verdict, not half a point."""
    given: dict[str, Any] = {"source": "sample", "out": tmp_path / "results"}
    file = tmp_path / "in.jsonl"
    written = run("openai:judge", "judgebench", requests_out=file, **given)
    assert (written.records, written.out) == ((), str(file))
    assert not (tmp_path / "results").exists()
    asked = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(asked) == len({line["custom_id"] for line in asked}) > 2
    put(tmp_path / "out.jsonl", *[answered(line["custom_id"]) for line in asked[1:]])
    done = run("openai:judge", "judgebench", responses_in=tmp_path / "out.jsonl", **given)
    (record,) = done.records
    assert record.counts.failed == 0  # the other order was answered
    assert record.run.engine["answers_failed"] == 1
    assert record.run.engine["answers_plain"] == len(asked) - 1
    assert record.model.settings["server"] == "batch file"
    same = open_model(f"judge-file:{tmp_path / 'out.jsonl'}", OpenOptions())
    assert same.facts.name == "judge"


@pytest.mark.parametrize(
    ("model", "options", "said"),
    [
        ("fake:oracle", {"requests_out": "x"}, "--requests-out goes with --model openai"),
        ("judge-file:x", {"requests_out": "x"}, "--requests-out goes with --model openai"),
        ("openai:m", {"requests_out": "x", "responses_in": "y"}, "one run does one"),
        ("openai:m", {}, "needs --base-url"),
        ("openai:", {"base_url": "http://h"}, "expected something after the colon"),
        ("judge-file:x", {"base_url": "http://h"}, "--base-url goes with"),
        ("vllm:m", {"base_url": "http://h"}, "--base-url goes with"),
        ("openai:m", {"base_url": "http://h", "model_args": {"pricein": "1"}}, 'mean "price_in"'),
        (
            "openai:m",
            {"base_url": "http://h", "model_args": {"price_in": "-1"}},
            "price_in: input should be .* found '-1'",
        ),
        ("openai:m", {"base_url": "http://h", "model_args": {"protocol": "nope"}}, "nope"),
        (
            "openai:m",
            {"requests_out": "x", "model_args": {"protocol": "ce-rm"}},
            "ce-rm: it asks in 2 turns, which batch",
        ),
        ("served:m", {"base_url": "http://h", "model_args": {"protocol": "pair"}}, "has no setting 'protocol'"),
    ],
)
def test_options_that_do_not_go_together_are_one_error(model: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(RmbenchError, match=said):
        run(model, "judgebench", source="sample", **options)
