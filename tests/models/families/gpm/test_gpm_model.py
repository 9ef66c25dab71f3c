"""The GPM adapter against transformers' own forward, one unpadded row at a time, in the words of upstream's script."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from rmbench.engine.judge import judge
from rmbench.errors import RmbenchError
from rmbench.models.families.gpm.scorer import GpmScorer
from rmbench.models.open import open_model
from rmbench.models.protocols import Request
from rmbench.types import Candidate, Example, Gold, Message
from tests._make import encodes_alone, open_as

opened = partial(open_as, GpmScorer)

PROMPT = "How do I boil an egg?"
ANSWERS = ("Boil it.", "Put it into boiling water for eight minutes.", "", "I do not know, ask somebody else (please).")


def asked(tiny: Any, **more: Any) -> list[Request]:
    return [tiny.request(PROMPT, answer, **more) for answer in ANSWERS]


def conversation(answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": PROMPT}, {"role": "assistant", "content": answer}]


class Upstream:
    """gpm_example_usage.py, one row at a time: tokens as `tokenize` says, EOS for the last one, heads on the states."""

    def __init__(self, folder: Path, **tokenize: Any) -> None:
        from transformers import AutoModel, AutoTokenizer

        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
        self.tensors = load_file(folder / "model.safetensors")
        self.tokenize = tokenize

    def tokens(self, messages: list[dict[str, str]]) -> list[int]:
        text = self.tokenizer.apply_chat_template(messages, tokenize=False)
        return list(self.tokenizer(text, **self.tokenize)["input_ids"])

    def states(self, messages: list[dict[str, str]]) -> tuple[torch.Tensor, torch.Tensor]:
        """The state at the end and the one at the end of the first message alone."""
        ids = self.tokens(messages)
        behind = len(ids) - len(self.tokens(messages[:1]))
        ids[-1] = self.tokenizer.eos_token_id
        with torch.no_grad():
            states = self.model(input_ids=torch.tensor([ids])).last_hidden_state[0]
        return states[-1], states[len(ids) - 1 - behind]

    def margins(self, rows: list[list[dict[str, str]]]) -> np.ndarray:
        """[K, K], R written out as the script does it."""
        found = np.zeros((len(rows), len(rows)))
        for i, row in enumerate(rows):
            last, prompt = self.states(row)
            blocks = torch.softmax(self.tensors["prompt_head.weight"] @ prompt, dim=-1)
            r = torch.block_diag(*[torch.tensor([[0.0, -block], [block, 0.0]]) for block in blocks.tolist()])
            for j, other in enumerate(rows):
                a, b = (self.tensors["value_head.weight"] @ state for state in (last, self.states(other)[0]))
                found[i, j] = float((a / a.norm()) @ r.T @ (b / b.norm()))
        return found


def combined(model: GpmScorer, batch: Any) -> np.ndarray:
    output = model.forward(batch)
    return model.combine([{name: values[row] for name, values in output.items()} for row in range(len(batch.rows))])


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gemma2", "gpt2"])
def test_margins_are_those_of_upstreams_script(kind: str, tmp_path: Path, save_gpm: Any, tiny: Any) -> None:
    folder = save_gpm(tmp_path, kind, named=f"{tiny.NAMES[kind]}ForCausalLM")
    model = opened(folder)
    rows = model.encode(asked(tiny))
    expected = Upstream(folder, add_special_tokens=False).margins([conversation(answer) for answer in ANSWERS]) / 0.1
    assert np.ptp(expected) > 0.5  # a model that reacts
    assert [row.remarks for row in rows] == [()] * 4
    for side in ("right", "left"):
        assert combined(model, tiny.batch(rows, model.pad_id, side)) == pytest.approx(expected, abs=2e-5)
        mixed = tiny.batch(rows[::-1], model.pad_id, side, extra=9)
        assert combined(model, mixed) == pytest.approx(expected[::-1, ::-1], abs=2e-5)


def test_two_bos_as_upstream_reads_templated_text(gpm: Path, tiny: Any) -> None:
    model = opened(gpm, model_args={"bos": "double", "tau": "1"})
    rows = model.encode(asked(tiny))
    upstream = Upstream(gpm)
    assert rows[0].ids[:2] == (tiny.BOS, tiny.BOS)
    assert list(rows[0].ids[:-1]) == upstream.tokens(conversation(ANSWERS[0]))[:-1]
    expected = upstream.margins([conversation(answer) for answer in ANSWERS])
    assert combined(model, tiny.batch(rows, model.pad_id, "left")) == pytest.approx(expected, abs=2e-6)


def test_outputs_of_a_row_hang_on_that_row_alone(gpm: Path, tiny: Any) -> None:
    model = opened(gpm)
    rows = model.encode(tiny.requests())
    whole = model.forward(tiny.batch(rows, model.pad_id, "left"))
    assert {name: values.shape for name, values in whole.items()} == {"_embedding": (7, 6), "_gate": (7, 3)}
    for name, values in whole.items():
        single = [model.forward(tiny.batch([row], model.pad_id))[name][0] for row in rows]
        assert values == pytest.approx(np.stack(single), abs=1e-5)
    assert whole["_gate"].sum(axis=1) == pytest.approx(np.ones(7), abs=1e-6)
    assert np.linalg.norm(whole["_embedding"], axis=1) == pytest.approx(np.ones(7), abs=1e-6)


def test_the_gate_is_that_of_the_first_message(gpm: Path, tiny: Any) -> None:
    """Equal for all answers and later turns, whatever follows; another first message has another gate."""
    model = opened(gpm)
    many = [*asked(tiny), tiny.request(PROMPT, "Boil.", "And then?", "Peel it."), tiny.request("Why?", "Boil it.")]
    gates = model.forward(tiny.batch(model.encode(many), model.pad_id))["_gate"]
    assert gates[:5] == pytest.approx(np.tile(gates[0], (5, 1)), abs=1e-6)
    assert np.abs(gates[5] - gates[0]).max() > 1e-3


def test_the_gate_of_a_conversation_with_tools_is_that_of_its_question(gpm: Path, tiny: Any) -> None:
    model = opened(gpm)
    tools = Message.of_tools([{"name": "boil"}])
    plain, *with_tools = [
        dataclasses.replace(
            tiny.request(PROMPT, answer), conversation=(*more, *tiny.request(PROMPT, answer).conversation)
        )
        for answer, more in (("Boil.", ()), ("Boil.", (tools,)), ("Fry.", (tools,)))
    ]
    with_tools = [dataclasses.replace(each, prompt_messages=2) for each in with_tools]
    rows = model.encode([plain, *with_tools])
    assert not [row.error for row in rows if row.error]
    gates = model.forward(tiny.batch(rows, model.pad_id))["_gate"]
    assert gates == pytest.approx(
        np.tile(gates[0], (3, 1)), abs=1e-6
    )  # its template leaves tools out, which is counted
    assert ["template_ignored_tools" in row.remarks for row in rows] == [False, True, True]


def test_settings_change_what_they_say(gpm: Path, tiny: Any) -> None:
    def margins(**args: str) -> np.ndarray:
        model = opened(gpm, model_args=args)
        return combined(model, tiny.batch(model.encode(asked(tiny)), model.pad_id))

    plain = margins()
    assert margins(tau="1") == pytest.approx(plain / 10, abs=1e-6)
    model = opened(gpm, model_args={"l2": "false", "gate": "ones", "tau": "1"})
    output = model.forward(tiny.batch(model.encode(asked(tiny)), model.pad_id))
    v = output["_embedding"]
    by_hand = [[sum(a[i] * b[i + 1] - a[i + 1] * b[i] for i in (0, 2, 4)) for b in v] for a in v]
    assert combined(model, tiny.batch(model.encode(asked(tiny)), model.pad_id)) == pytest.approx(
        np.array(by_hand), abs=1e-4
    )
    scaled = opened(gpm, model_args={"gate": "scaled"})
    gate = scaled.forward(tiny.batch(scaled.encode(asked(tiny)), scaled.pad_id))["_gate"]
    assert gate.sum(axis=1) == pytest.approx(np.full(4, 3.0), abs=1e-5)
    found = [opened(gpm, model_args=args).facts for args in ({}, {"gate": "scaled"}, {"l2": "false"}, {"tau": "1"})]
    assert len({facts.fingerprint for facts in found}) == 4
    assert {**found[0].settings} | {"gate": "released", "tau": 0.1, "l2": True, "embedding": 6} == found[0].settings
    assert found[0].settings["unused_tensors"] is None


def test_rows_end_in_eos(gpm: Path, tiny: Any) -> None:
    """Templated text loses its last token to the EOS, cut or not; raw text gets one more while there is room."""
    requests = [tiny.request(PROMPT, ANSWERS[1])]
    bare = opened(gpm, model_args={"eos_overwrite": "false"})
    (whole,) = bare.encode(requests)
    assert whole.ids[-1] != tiny.END
    assert opened(gpm).encode(requests)[0].ids == (*whole.ids[:-1], tiny.END)
    (cut,) = opened(gpm, max_length=20).encode(requests)
    assert (cut.ids, cut.truncated) == ((*whole.ids[:19], tiny.END), True)
    raw = [tiny.request(PROMPT + " ", "Boil it. ", render="raw")]
    (plain,) = bare.encode(raw)
    assert opened(gpm).encode(raw)[0].ids == (*plain.ids, tiny.END)
    (full,) = opened(gpm, max_length=len(plain.ids)).encode(raw)
    assert (full.ids, full.truncated) == ((*plain.ids[:-1], tiny.END), False)
    ended = [dataclasses.replace(raw[0], conversation=tiny.request(PROMPT + " ", "Boil it. <|end|>").conversation)]
    assert opened(gpm).encode(ended)[0].ids == (*plain.ids, tiny.END)


def test_the_prompt_of_raw_text_ends_before_the_space(gpm: Path, tiny: Any) -> None:
    model = opened(gpm)
    (row,) = model.encode([tiny.request(PROMPT + " ", "Boil it. ", render="raw")])
    alone = model.text.text.tokenizer(PROMPT)["input_ids"]  # with its BOS
    assert row.payload == len(alone) - 1
    assert row.ids[row.payload] == alone[-1]
    assert row.remarks == ()


def test_rows_without_their_prompts_end_say_so(gpm: Path, tiny: Any) -> None:
    def error(side: str, length: int) -> str:
        model = opened(gpm, max_length=length, model_args={"truncation_side": side})
        return model.encode([tiny.request(PROMPT, ANSWERS[1])])[0].error

    model = opened(gpm)
    (whole,) = model.encode([tiny.request(PROMPT, ANSWERS[1])])
    assert isinstance(whole.payload, int)
    prompt, total = whole.payload + 1, len(whole.ids)
    assert error("right", prompt + 1) == ""
    assert f"fills max_length {prompt}" in error("right", prompt)
    assert "fills max_length" in error("right", prompt - 3)
    assert error("left", total - prompt + 2) == ""  # BOS, the prompt's last token, the answer
    assert "cut off the end of the prompt" in error("left", total - prompt + 1)
    bare = Request(tiny.request(("assistant", "Boil it.")).conversation, 0)
    assert "no prompt" in model.encode([bare])[0].error


@pytest.mark.parametrize("prompt", [PROMPT, PROMPT * 4])
def test_a_left_cut_moves_the_place_of_the_gate(prompt: str, gpm: Path, tiny: Any) -> None:
    """Also where the first message alone is longer than a row may be."""
    whole, cut = (
        opened(gpm, model_args={"truncation_side": "left"}, max_length=length).encode(
            [tiny.request(prompt, ANSWERS[1])]
        )[0]
        for length in (None, 30)
    )
    assert cut.truncated
    starts: Any = cut.payload, whole.payload
    assert cut.ids[starts[0] :] == whole.ids[starts[1] :]
    assert len(cut.ids[starts[0] :]) > 5


def test_a_prompt_that_merges_into_the_answer_is_counted(gpm: Path, tiny: Any) -> None:
    """ "boil" and "ing" are one token in the middle of a text: the prompt's own last token is not there."""
    model = opened(gpm)
    apart, merged = model.encode(
        [tiny.request("water boil", " it", render="raw"), tiny.request("boi", "ling", render="raw")]
    )
    assert (apart.remarks, merged.remarks) == ((), ("prompt_not_prefix",))
    assert merged.payload is not None


def test_a_refused_first_message_fails_its_row(gpm: Path, tiny: Any, tmp_path: Path) -> None:
    strict = tmp_path / "strict.jinja"
    strict.write_text("{% if messages | length < 2 %}{{ raise_exception('two turns') }}{% endif %}" + tiny.CHAT)
    (row,) = opened(gpm, template=strict).encode([tiny.request(PROMPT, "Boil it.")])
    assert row.error.startswith("the first message alone")
    assert "two turns" in row.error


def test_a_nonlinear_head(tmp_path: Path, save_gpm: Any, tiny: Any) -> None:
    folder = save_gpm(tmp_path, width=4, inner=(16, 8, 8))
    model = opened(folder, model_args={"l2": "false"})
    assert model.facts.settings["layout"] == "gpm-mlp"
    rows = model.encode(asked(tiny))
    found = model.forward(tiny.batch(rows, model.pad_id, "left"))
    tensors = load_file(folder / "model.safetensors")

    def through(name: str, state: torch.Tensor) -> torch.Tensor:
        for place in (0, 2, 4, 6):
            state = tensors[f"{name}.net.{place}.weight"] @ state + tensors[f"{name}.net.{place}.bias"]
            state = torch.relu(state) if place < 6 else state
        return state

    upstream = Upstream(folder, add_special_tokens=False)
    for row, answer in enumerate(ANSWERS):
        last, prompt = upstream.states(conversation(answer))
        assert found["_embedding"][row] == pytest.approx(through("value_head", last).numpy(), rel=1e-4, abs=1e-3)
        gate = torch.softmax(through("prompt_head", prompt), dim=-1)
        assert found["_gate"][row] == pytest.approx(gate.numpy(), abs=1e-4)


def test_width_one_is_bradley_terry(tmp_path: Path, save_gpm: Any, tiny: Any) -> None:
    folder = save_gpm(tmp_path, width=1, prompt=0)
    with pytest.raises(RmbenchError, match=r"pass --adapter with one of .*gpm-linear"):
        open_model(str(folder))
    model = opened(folder, adapter="gpm")
    assert model.answers == {"reward", "margin"}
    rows = model.encode(asked(tiny))
    found = model.forward(tiny.batch(rows, model.pad_id, "left"))
    upstream = Upstream(folder, add_special_tokens=False)
    weight = upstream.tensors["value_head.weight"]
    expected = np.array([float((weight @ upstream.states(conversation(answer))[0])[0]) for answer in ANSWERS])
    assert found["reward"][:, 0] == pytest.approx(expected, abs=1e-4)
    margins = combined(model, tiny.batch(rows, model.pad_id))
    assert margins == pytest.approx((expected[:, None] - expected[None, :]) / 0.1, abs=1e-3)
    example = Example("x", asked(tiny)[0].conversation[:1], tuple(map(Candidate.of, ANSWERS)), Gold())
    (judgment,) = judge("task", [example], model).judgments
    assert judgment.rewards == pytest.approx(expected, abs=1e-4)
    assert np.array(judgment.directed) == pytest.approx(margins, abs=1e-3)
    for args in ({"gate": "ones"}, {"l2": "true"}):
        with pytest.raises(RmbenchError, match="width 1"):
            opened(folder, adapter="gpm", model_args=args)


def test_hidden_states_are_answered_where_they_are_probed(gpm: Path, tiny: Any) -> None:
    model = opened(gpm).with_hidden()
    assert model.answers == {"margin", "hidden"}
    rows = model.encode(asked(tiny))
    hidden = model.forward(tiny.batch(rows, model.pad_id, "left"))["hidden"]
    states = [Upstream(gpm, add_special_tokens=False).states(conversation(answer))[0] for answer in ANSWERS]
    assert hidden == pytest.approx(torch.stack(states).numpy(), abs=1e-4)


@pytest.mark.parametrize("prompt", [0, None])
def test_it_encodes_without_its_model(tmp_path: Path, tiny: Any, save_gpm: Any, prompt: int | None) -> None:
    assert encodes_alone(opened(save_gpm(tmp_path, prompt=prompt)), tiny.requests())
