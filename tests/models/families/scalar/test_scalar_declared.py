"""Every declared layout on a tiny checkpoint in upstream's own layout, against a plain loop: the library's backbone one
row at a time, and the head's formula written out."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rmbench.models.families.scalar.declared import DeclaredScorer
from tests._make import encodes_alone, open_as

opened = partial(open_as, DeclaredScorer)


def test_rewards_are_those_of_a_plain_loop(case_name: str, tmp_path: Path, tiny: Any, upstream: Any) -> None:
    case = upstream.cases[case_name]
    folder, backbone = upstream.save(tmp_path / "model", case, tiny)
    model = opened(folder, adapter=case.adapter)
    assert model.facts.settings["layout"] == case_name.partition(",")[0]
    assert model.facts.settings["unused_tensors"] is None
    rows = model.encode(upstream.conversations(case, tiny))
    assert not any(row.error for row in rows)
    wanted = upstream.expected(case, backbone, rows)
    assert np.ptp(wanted) > 0.02  # a model that reacts, so that the comparison means something
    for side in ("right", "left"):
        batch = tiny.batch(rows, model.pad_id, side, extra=3)
        found = model.forward(batch)["reward"]
        assert found.dtype == np.float32
        assert found.shape == (len(rows), 1)
        assert found[:, 0].tolist() == pytest.approx(wanted, abs=case.allow)
    alone = [float(model.forward(tiny.batch([row], model.pad_id))["reward"][0, 0]) for row in rows]
    assert alone == pytest.approx(wanted, abs=case.allow)


def gated(name: str, tmp_path: Path, tiny: Any, upstream: Any) -> tuple[DeclaredScorer, list[Any], Any]:
    folder, backbone = upstream.save(tmp_path / "model", upstream.cases[name], tiny)
    model = opened(folder)
    return model, model.encode(upstream.conversations(upstream.cases[name], tiny)), backbone


def test_objectives_and_weights_of_armorm(tmp_path: Path, tiny: Any, upstream: Any) -> None:
    model, rows, backbone = gated("armorm", tmp_path, tiny, upstream)
    found = model.forward(tiny.batch(rows, model.pad_id, "left"))
    assert model.objectives[4] == "helpsteer-verbosity"
    assert str(model.facts.settings["objectives"]).count(", ") == 18
    head = upstream.cases["armorm"].head
    for index, (row, states) in enumerate(zip(rows, upstream.states(backbone, rows), strict=True)):
        rewards = head["regression_layer.weight"] @ states[-1]
        np.testing.assert_allclose(found["objectives"][index], rewards.numpy(), atol=1e-4)
        start = max(i for i in range(len(row.ids)) if row.ids[i : i + 5] == upstream.cases["armorm"].gate)
        coefficients = head["reward_transform_matrix"] @ upstream.armorm_gate(head, states[start])
        np.testing.assert_allclose(found["weights"][index], coefficients.numpy(), atol=1e-5)
    np.testing.assert_allclose((found["objectives"] * found["weights"]).sum(1), found["reward"][:, 0], atol=1e-4)
    assert np.ptp(found["weights"][:, 0]) > 1e-3  # they depend on the prompt
    assert rows[1].payload.prompt == rows[2].payload.prompt  # the same prompt with two answers
    np.testing.assert_allclose(found["weights"][1], found["weights"][2], atol=1e-6)


def test_quantiles_of_qrm_and_the_distribution_of_ldl(tmp_path: Path, tiny: Any, upstream: Any) -> None:
    model, rows, _ = gated("qrm-gemma2", tmp_path, tiny, upstream)
    found = model.forward(tiny.batch(rows, model.pad_id))
    assert {name: values.shape[1] for name, values in found.items()} == {
        "reward": 1,
        "objectives": 3,
        "weights": 3,
        "quantiles": 5,
    }
    np.testing.assert_allclose(found["quantiles"].mean(1), found["reward"][:, 0], atol=1e-4)
    (tmp_path / "other").mkdir()
    model, rows, _ = gated("ldl", tmp_path / "other", tiny, upstream)
    found = model.forward(tiny.batch(rows, model.pad_id))
    assert found["distribution"].shape == (len(rows), 10)
    np.testing.assert_allclose(found["distribution"] @ (np.arange(10) / 9), found["reward"][:, 0], atol=1e-5)
    assert model.facts.settings["head_dtype"] == "float32"


def test_the_appended_token_of_athene(tmp_path: Path, tiny: Any, upstream: Any) -> None:
    backbone = upstream.backbone(vocab_size=128260)
    head = {"v_head.weight": upstream.draw(1, 32)}
    folder = upstream.write(tmp_path / "model", backbone, "CustomAutoModelForSequenceClassification", head)
    upstream.llama3_tokenizer(folder)
    model = opened(folder)
    rows = model.encode(tiny.requests())
    assert all(row.ids[-1] == 128003 for row in rows)
    assert 128003 not in rows[0].ids[:-1]
    wanted = [float(head["v_head.weight"][0] @ states[-1]) for states in upstream.states(backbone, rows)]
    for side in ("right", "left"):
        found = model.forward(tiny.batch(rows, model.pad_id, side))["reward"][:, 0].tolist()
        assert found == pytest.approx(wanted, abs=2e-5)


def test_the_head_of_tied_embeddings(tmp_path: Path, tiny: Any, upstream: Any) -> None:
    backbone = upstream.backbone()
    folder = upstream.write(tmp_path / "model", backbone, "LlamaForCausalLM", {}, tie_word_embeddings=True)
    tiny.save_tokenizer(folder)
    model = opened(folder, adapter="nemotron-hf")
    rows = model.encode(tiny.requests())
    first = backbone.embed_tokens.weight[0].detach()
    wanted = [float(first @ states[-1]) for states in upstream.states(backbone, rows)]
    found = model.forward(tiny.batch(rows, model.pad_id))["reward"][:, 0].tolist()
    assert found == pytest.approx(wanted, abs=2e-5)


def test_hidden_is_the_state_that_the_head_reads(tmp_path: Path, tiny: Any, upstream: Any) -> None:
    folder, backbone = upstream.save(tmp_path / "model", upstream.cases["grm"], tiny)
    plain = opened(folder)
    model = plain.with_hidden()
    assert (plain.answers, model.answers) == ({"reward"}, {"reward", "hidden"})
    rows = model.encode(tiny.requests())
    found = model.forward(tiny.batch(rows, model.pad_id, "left"))["hidden"]
    for index, states in enumerate(upstream.states(backbone, rows)):
        np.testing.assert_allclose(found[index], states[-1].numpy(), atol=1e-5)


def test_the_head_computes_in_the_dtype_that_somebody_says(tmp_path: Path, tiny: Any, upstream: Any) -> None:
    folder, backbone = upstream.save(tmp_path / "model", upstream.cases["openbmb, UltraRM"], tiny)
    model = opened(folder, model_args={"head_dtype": "bfloat16"})
    rows = model.encode(tiny.requests())
    found = model.forward(tiny.batch(rows, model.pad_id))["reward"][:, 0]
    weight = upstream.cases["openbmb, UltraRM"].head["regression_head.weight"].bfloat16()
    wanted = [float(weight[0] @ states[-1].bfloat16()) for states in upstream.states(backbone, rows)]
    assert found.tolist() == pytest.approx(wanted, rel=2**-7)
    assert found.tolist() == torch.tensor(found).bfloat16().float().tolist()


def test_rows_that_begin_alike_share_their_beginning(tmp_path: Path, tiny: Any, upstream: Any) -> None:
    """Judged by the engine, prompts computed once, as by a plain loop."""
    from rmbench.engine.judge import judge
    from rmbench.types import Candidate, Example, Gold, Message

    case = upstream.cases["armorm"]
    folder, backbone = upstream.save(tmp_path / "model", case, tiny)
    model = opened(folder)
    answers = ("Paris.", "I do not know, and who does?", "It is Paris, of course")
    prompt = (Message.of("user", "What is the capital of France? Think hard about it before you answer."),)
    example = Example("a", prompt, tuple(Candidate.of(answer) for answer in answers), Gold())
    judged = judge("task", [example], model)
    rows = model.encode([tiny.request(("user", prompt[0].text), ("assistant", answer)) for answer in answers])
    assert judged.judgments[0].rewards == pytest.approx(upstream.expected(case, backbone, rows), abs=1e-4)
    assert set(judged.judgments[0].parts) == {"objectives", "weights"}
    assert judged.facts()["sharing"] == "shared"


def test_it_encodes_without_its_model(tmp_path: Path, tiny: Any, upstream: Any) -> None:
    model, _, _ = gated("armorm", tmp_path, tiny, upstream)
    assert encodes_alone(model, upstream.conversations(upstream.cases["armorm"], tiny))
