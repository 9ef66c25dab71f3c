"""Real models on real rows, each against a few lines of plain transformers; RMBENCH_REAL_ROWS says on how many."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import rmbench
from rmbench.records.store import read_rows
from rmbench.types import Example, Judged
from tests._make import loaded

pytestmark = [
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("ignore"),  # TRL's, peft's and transformers' remarks
]
WHOLE = 50
TASK, ROWS = "hhh-alignment", int(os.environ.get("RMBENCH_REAL_ROWS", WHOLE))
"""Fewer rows take minutes in place of a quarter of an hour, and leave out what needs them all."""
Row = tuple[Example, Judged]


def run(model: object, data: Path, out: Path, **options: Any) -> tuple[rmbench.Results, list[Row]]:
    """A run on 50 rows, and these with what was judged."""
    results = rmbench.run(str(model), TASK, source=str(data), limit=ROWS, out=out, device="cpu", **options)
    record = results.records[0]
    assert (record.counts.failed, record.counts.judged) == (0, ROWS)
    examples = {each.id: each for each in loaded(TASK, data).examples}
    return results, [(examples[row.id], row) for row in read_rows(results.folder(TASK))]


def turns(example: Example, answer: int | None = None) -> list[dict[str, str]]:
    """The conversation as a chat template takes it, with a candidate or without."""
    given = [{"role": one.role, "content": one.text} for one in example.prompt]
    return given if answer is None else [*given, {"role": "assistant", "content": example.candidates[answer].text}]


def opened(folder: Path, kind: str, **more: Any) -> tuple[Any, Any]:
    import transformers

    model = getattr(transformers, kind).from_pretrained(folder, dtype=torch.float32, **more).eval()
    return transformers.AutoTokenizer.from_pretrained(folder), model


def token_logps(model: Any, ids: list[int]) -> list[float]:
    """The log-probability of each token but the first."""
    with torch.no_grad():
        logps = model(input_ids=torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
    return logps.gather(-1, torch.tensor(ids[1:])[:, None])[:, 0].tolist()


class TestImplicitReward:
    def test_mean_log_probabilities(self, real: Path, data: Path, tmp_path: Path) -> None:
        results, rows = run(real / "smollm2", data, tmp_path / "folder", adapter="implicit")
        tokenizer, model = opened(real / "smollm2", "AutoModelForCausalLM")
        for example, row in rows:
            for index, reward in enumerate(row.judgment.rewards):
                whole = tokenizer.apply_chat_template(turns(example, index))["input_ids"]
                prompt = tokenizer.apply_chat_template(turns(example), add_generation_prompt=True)["input_ids"]
                assert whole[: len(prompt)] == prompt
                end = len(whole) - 1  # the line break behind the end of the turn is the template's
                answer = token_logps(model, whole[:end])[len(prompt) - 1 :]
                assert reward == pytest.approx(sum(answer) / len(answer), abs=1e-4)
        assert results.headline(TASK).value > 0.5 or ROWS < WHOLE
        # The folder is the GGUF file dequantised, so that file has the same rewards and the same figure.
        of_file, same = run(real / "smollm2.gguf", data, tmp_path / "file", adapter="implicit")
        assert of_file.records[0].model.settings["quantisation"] == "GGUF Q4_1"
        for (_, one), (_, plain) in zip(same, rows, strict=True):
            assert one.judgment.rewards == pytest.approx(plain.judgment.rewards, abs=1e-4)
        assert of_file.headline(TASK).value == results.headline(TASK).value


class TestJudge:
    def test_options_in_both_orders(self, real: Path, data: Path, tmp_path: Path) -> None:
        """The margin of each order is log P(A) - log P(B) behind the judge's own question, and gives P(A) among the
        two; of tokens that differ by a blank or by bold marks alone the probabilities are added."""
        from rmbench.engine.requests import requests_of
        from rmbench.models.judges.local.scorer import LocalJudge
        from tests._make import open_as

        arguments = {"adapter": "judge", "model_args": {"min_option_mass": "0"}}
        results, rows = run(real / "smollm2", data, tmp_path, **arguments)
        asked = open_as(LocalJudge, real / "smollm2", device="cpu", **arguments)
        tokenizer, model = opened(real / "smollm2", "AutoModelForCausalLM")
        spelled = [
            [
                ids[0]
                for ids in (tokenizer(one, add_special_tokens=False)["input_ids"] for one in texts)
                if len(ids) == 1
            ]
            for texts in (["A", " A", "**A", " **A"], ["B", " B", "**B", " **B"])
        ]
        for example, row in rows:
            questions = asked.encode(requests_of([example], "chat", in_pairs=True)[0])
            margins = row.judgment.parts["margins"]
            assert len(questions) == 2
            for question, ours in zip(questions, (margins[0][1], margins[1][0]), strict=True):
                with torch.no_grad():
                    logps = model(input_ids=torch.tensor([question.ids])).logits[0, -1].log_softmax(-1)
                margin = float(logps[spelled[0]].logsumexp(-1) - logps[spelled[1]].logsumexp(-1))
                assert ours == pytest.approx(margin, abs=1e-4)
                assert 1 / (1 + np.exp(-ours)) == pytest.approx(1 / (1 + np.exp(-margin)), abs=1e-4)
        assert results.records[0].orders is not None


class TestRelevance:
    def test_cosines(self, real: Path, data: Path, tmp_path: Path) -> None:
        arguments = {"embedder": str(real / "minilm"), "length_weight": "0", "repetition_weight": "0"}
        _, rows = run("baseline:relevance", data, tmp_path, model_args=arguments)
        tokenizer, model = opened(real / "minilm", "AutoModel")

        def embedding(text: str) -> torch.Tensor:
            inner = tokenizer(text, add_special_tokens=False)["input_ids"][-254:]
            ids = [tokenizer.cls_token_id, *inner, tokenizer.sep_token_id]
            with torch.no_grad():
                return model(input_ids=torch.tensor([ids])).last_hidden_state[0].mean(0)

        for example, row in rows:
            asked = " ".join(one.text for one in example.prompt if one.role == "user")
            prompt = embedding(" ".join(asked.split()))
            for candidate, reward in zip(example.candidates, row.judgment.rewards, strict=True):
                near = torch.nn.functional.cosine_similarity(prompt, embedding(candidate.text), dim=0)
                assert reward == pytest.approx(float(near), abs=1e-4)


class TestTrainedByTrl:
    @pytest.mark.parametrize("kind", ["full", "lora"])
    def test_rewards_are_those_of_transformers_and_the_check_passes(
        self, kind: str, real: Path, data: Path, tmp_path: Path, reward_model: Callable[[str], Path]
    ) -> None:
        folder = reward_model(kind)
        results, rows = run(folder, data, tmp_path)
        if kind == "full":
            tokenizer, model = opened(folder, "AutoModelForSequenceClassification")
        else:
            from peft import PeftModel

            tokenizer, model = opened(real / "smollm2", "AutoModelForSequenceClassification", num_labels=1)
            model = PeftModel.from_pretrained(model, folder).eval()
            assert results.records[0].model.settings["adapter"] == "lora"
        for example, row in rows:
            for index, reward in enumerate(row.judgment.rewards):
                ids = tokenizer.apply_chat_template(turns(example, index))["input_ids"]
                with torch.no_grad():
                    expected = float(model(input_ids=torch.tensor([ids])).logits[0, 0])
                assert reward == pytest.approx(expected, abs=1e-4)
        if ROWS >= WHOLE:
            assert not rmbench.check(str(folder), out=tmp_path, device="cpu", max_length=512).failed
