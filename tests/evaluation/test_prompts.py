"""What `show-prompt` shows is what the model gets, and kept digests tell two runs apart."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from click.testing import CliRunner
from transformers import AutoTokenizer

import rmbench
from rmbench import resources
from rmbench.cli import cli
from rmbench.errors import RmbenchError
from rmbench.evaluation.prompts import Prompt, show_prompts
from rmbench.models.open import open_model
from rmbench.models.options import OpenOptions
from rmbench.models.protocols import Answer, Batch, Encoded, FloatArray, ModelFacts, Request
from tests._make import read_lines

TINY = resources.bundled_models() / "tiny-bt"


class Spy:
    """tiny-bt, with every row that its forward gets."""

    def __init__(self) -> None:
        self.inner: Any = cast("Any", open_model("tiny-bt", OpenOptions()))
        self.facts: ModelFacts = self.inner.facts
        self.answers: frozenset[Answer] = self.inner.answers
        self.pad_id: int = self.inner.pad_id
        self.read: set[tuple[int, ...]] = set()

    def encode(self, requests: Sequence[Request]) -> list[Encoded]:
        return self.inner.encode(requests)

    def forward(self, batch: Batch) -> Mapping[str, FloatArray]:
        self.read |= {row.ids for row in batch.rows}
        return self.inner.forward(batch)


def ids_of(prompt: Prompt) -> tuple[int, ...]:
    return tuple(token.id for token in prompt.tokens)


def test_the_tokens_shown_are_those_that_the_model_gets(tmp_path: Path) -> None:
    spy = Spy()
    rmbench.run(cast("Any", spy), "rm-bench", source="sample", out=tmp_path, cache=False)
    rows = [row.id for row in rmbench.load_examples(rmbench.select_tasks("rm-bench")[0], "sample").examples]
    shown = show_prompts("rm-bench", "tiny-bt", ids=rows, source="sample")
    assert {ids_of(prompt) for prompt in shown.prompts} == spy.read
    assert {prompt.row for prompt in shown.prompts} == set(rows)
    tokenizer = AutoTokenizer.from_pretrained(TINY)
    for prompt in shown.prompts:
        assert prompt.text == tokenizer.decode(ids_of(prompt))
        assert [text for text, special in prompt.pieces if special][:2] == ["<|bos|>", "<|im_start|>"]


def test_what_is_cut_off_is_counted() -> None:
    whole, short = (
        show_prompts("rm-bench", "tiny-bt", source="sample", max_length=length).prompts[1] for length in (None, 20)
    )
    assert (whole.truncated, whole.cut) == (False, (0, 0))
    assert short.truncated
    assert (len(short.tokens), short.cut) == (20, (len(whole.tokens) - 20, 0))
    assert ids_of(short)[1:] == ids_of(whole)[-19:]  # the BOS stays


def test_the_messages_shown_are_those_that_a_server_gets(tmp_path: Path) -> None:
    file = tmp_path / "questions.jsonl"
    given: dict[str, Any] = {"source": "sample", "model_args": {"protocol": "pair"}}
    rmbench.run("openai:judge", "judgebench", requests_out=file, out=tmp_path / "out", **given)
    sent = {line["custom_id"]: line["body"]["messages"] for line in read_lines(file)}
    rows = list(dict.fromkeys(name.split("/", 1)[1].rsplit("/", 2)[0] for name in sent))
    shown = show_prompts(
        "judgebench", "openai:judge", ids=rows, base_url=("http://no.server.invalid",), query="a=b", **given
    )
    assert [list(map(dict, prompt.messages)) for prompt in shown.prompts] == list(sent.values())
    assert all(prompt.settings["max_tokens"] > 0 for prompt in shown.prompts)
    given["model_args"] |= {"top_k": "5", "extra_body.a.b": "[1]", "top_p": "none"}
    (prompt, *_) = show_prompts("judgebench", "openai:judge", ids=rows[:1], **given).prompts
    assert (prompt.settings["top_k"], prompt.settings["a"], prompt.settings["top_p"]) == (5, {"b": [1]}, None)
    assert "extra" not in prompt.settings


def test_each_member_of_an_ensemble_reads_by_itself(tmp_path: Path) -> None:
    other = shutil.copytree(TINY, tmp_path / "other")
    shown = show_prompts("rm-bench", f"ensemble:tiny-bt,{other}", source="sample").prompts
    assert [prompt.what.partition(": ")[2] for prompt in shown] == [f"candidate {k}" for k in range(6)] * 2
    assert [prompt.tokens for prompt in shown[:6]] == [prompt.tokens for prompt in shown[6:]]
    assert shown[0].what != shown[6].what


def test_a_model_without_tokens_shows_what_it_gets() -> None:
    shown = show_prompts(
        "rm-bench", lambda conversations: [float(len(each)) for each in conversations], name="turns", source="sample"
    )
    assert "tulip" in shown.prompts[0].text
    assert not shown.prompts[0].tokens


@pytest.mark.parametrize(
    ("task", "model", "ids", "message"),
    [
        ("rm-bench", "tiny-bt", ["chat/11x"], "rm-bench has no row 'chat/11x'. Did you mean"),
        ("rm-bench", "baseline:length", [], "baseline:length reads no prompt"),
        ("all", "tiny-bt", [], "give one"),
        ("hpdv2", "tiny-bt", [], "hpdv2: the task is image, the model takes text"),
    ],
)
def test_mistakes(task: str, model: str, ids: list[str], message: str) -> None:
    with pytest.raises(RmbenchError, match=message):
        show_prompts(task, model, ids=ids, source="sample")


def test_a_spelled_special_token_is_told_apart_on_the_screen() -> None:
    prompt = Prompt("r\x1b[31m", "candidate 0", (("<s>", True), ("a <s> \u27e6b\u27e7\x1b[0m\n c", False)))
    from rmbench.evaluation.prompts import Prompts
    from rmbench.evaluation.prompts_text import render

    lines = render(Prompts("t", "m", (prompt,))).plain.splitlines()
    assert lines[2:] == ["row r[31m, candidate 0", "\u27e6<s>\u27e7a <s> \\u27e6b\\u27e7\\x1b[0m", " c"]


def test_the_command_prints_text_and_json() -> None:
    words = ["show-prompt", "rm-bench", "--model", "tiny-bt", "--source", "sample"]
    text = CliRunner().invoke(cli, words)
    assert text.exit_code == 0
    assert "\u27e6<|bos|>\u27e7\u27e6<|im_start|>\u27e7user\n" in text.output
    data = json.loads(CliRunner().invoke(cli, [*words, "--json"]).output)
    first = show_prompts("rm-bench", "tiny-bt", source="sample").prompts[0]
    assert [token["id"] for token in data["prompts"][0]["tokens"]] == list(ids_of(first))
    assert data["prompts"][0]["text"] == first.text
    assert f"ids: {' '.join(map(str, ids_of(first)))}\n" in text.output


def test_kept_digests_tell_two_runs_apart(tmp_path: Path) -> None:
    template = tmp_path / "other.jinja"
    template.write_text("{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}")
    given: dict[str, Any] = {"source": "sample", "save_prompts": True}
    for name, more in (("a", {}), ("b", {}), ("c", {"template": template}), ("d", {"save_prompts": False})):
        rmbench.run("tiny-bt", "judgebench", out=tmp_path / name, **{**given, **more})
    rows = {name: rmbench.read_rows(rmbench.find_records(tmp_path / name)[0]) for name in "abcd"}
    kept = {name: [row.prompt_sha256 for row in rows[name]] for name in "abcd"}
    assert all(len(digest) == 64 for digest in kept["a"])
    assert len(set(kept["a"])) == len(kept["a"])
    assert kept["a"] == kept["b"]
    assert set(kept["d"]) == {""}

    def notes(name: str) -> list[str]:
        task = rmbench.compare(tmp_path / "a", tmp_path / name).tasks[0]
        return [note for note in task.notes if "prompts" in note]

    n = len(kept["a"])
    assert notes("b") == notes("d") == []
    assert notes("c") == [f"prompts: different in {n} of {n} rows"]
