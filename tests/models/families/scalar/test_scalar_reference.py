"""POLAR: rows of a reference answer and an answer, on a tiny checkpoint that brings its own Python files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rmbench.engine.judge import judge
from rmbench.errors import RmbenchError
from rmbench.models.families.scalar.heads.declarations import layouts
from rmbench.models.families.scalar.reference import ReferenceEncoder, ReferenceText
from rmbench.models.families.scalar.remote import RemoteScorer
from rmbench.models.open import open_model
from rmbench.models.options import OpenOptions
from rmbench.models.protocols import Encoded
from rmbench.models.text.tokens import TextRow
from tests._make import make_example, open_as
from tests.models.families.scalar.test_scalar_remote import CODE


def save(folder: Path, tiny: Any, upstream: Any) -> tuple[Any, Any]:
    """A checkpoint whose class is that of the hub's, with a tokenizer that has the mark between the two halves."""
    from transformers import AutoTokenizer

    backbone, head = upstream.backbone(), upstream.draw(1, 32)
    config = {"model_type": "odd", "returns": "first", "reward_token_id": 398}
    files = {"AutoConfig": "odd.OddConfig", "AutoModel": "odd.OddModel"}
    upstream.write(folder, backbone, "InternLM2ForRewardModel", {"v_head.weight": head}, auto_map=files, **config)
    (folder / "odd.py").write_text(CODE)
    tiny.save_tokenizer(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|reward|>"]})
    tokenizer.save_pretrained(folder)
    return backbone, head


@pytest.fixture
def saved(tmp_path: Path, tiny: Any, upstream: Any) -> tuple[Path, Any, Any]:
    backbone, head = save(tmp_path / "polar", tiny, upstream)
    mark = _tokenizer(tmp_path / "polar").convert_tokens_to_ids("<|reward|>")
    if mark >= 400:  # the tiny vocabulary is smaller than the model's table, or the row could not be read
        pytest.fail(f"the mark's id {mark} is outside the model's embeddings")
    return tmp_path / "polar", backbone, head


def _tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def opened(folder: Path, **options: Any) -> RemoteScorer:
    return open_as(RemoteScorer, folder, adapter="polar", trust_remote_code=True, **options)


def asked(*answers: str, **context: Any) -> Any:
    return make_example("r", "What is the capital?", *answers, **context)


def test_a_row_is_prompt_reference_mark_prompt_answer_and_the_reward_token(
    saved: tuple[Path, Any, Any], upstream: Any
) -> None:
    """reward_func.py: p + "\\n" + r1 + "<|reward|>" + p + "\\n" + r2 + the reward token."""
    folder, backbone, head = saved
    model, tokenizer = opened(folder), _tokenizer(folder)
    row = asked("Beijing.", "Shanghai.", reference="Beijing.")
    (found,) = judge("t", [row], model).judgments
    wanted = []
    for answer in ("Beijing.", "Shanghai."):
        text = "What is the capital?\nBeijing.<|reward|>What is the capital?\n" + answer
        ids = (*tokenizer(text)["input_ids"], 398)
        assert ids[0] == tokenizer.bos_token_id
        assert ids.count(tokenizer.convert_tokens_to_ids("<|reward|>")) == 1
        (states,) = upstream.states(backbone, [upstream_row(ids)])
        wanted.append(float(head[0] @ states[-1]))
    assert found.rewards is not None
    assert list(found.rewards) == pytest.approx(wanted, abs=2e-5)
    assert found.rewards[0] != pytest.approx(found.rewards[1], abs=1e-3)
    assert model.facts.settings["template"] == "reference and answer"
    assert model.facts.settings["layout"] == "polar"


def upstream_row(ids: tuple[int, ...]) -> Any:
    return Encoded("", len(ids), ids)


def test_the_reference_counts_under_any_of_its_names_and_changes_the_reward(saved: tuple[Path, Any, Any]) -> None:
    model = opened(saved[0])
    rewards = []
    for key, text in (
        ("reference", "Beijing."),
        ("reference_answer", "Beijing."),
        ("answer", "Beijing."),
        ("answer", "Oslo"),
    ):
        (one,) = judge("t", [asked("Beijing.", "Shanghai.", **{key: text})], model).judgments
        assert one.rewards is not None
        rewards.append(one.rewards[0])
    assert rewards[0] == rewards[1] == rewards[2]
    assert rewards[3] != pytest.approx(rewards[0], abs=1e-3)


def test_a_row_without_a_reference_fails(saved: tuple[Path, Any, Any]) -> None:
    (one,) = judge("t", [asked("Beijing.", "Shanghai.")], opened(saved[0])).judgments
    assert one.status == "failed"
    assert "compares with a reference answer, and the row has none" in one.error


@pytest.mark.parametrize("length", [None, 64, 40, 30])
def test_long_texts_are_cut_as_upstream_cuts_them(saved: tuple[Path, Any, Any], length: int | None, tiny: Any) -> None:
    tokenizer = _tokenizer(saved[0])
    form = ReferenceText(between="<|reward|>", most=9, spared=4)
    text = ReferenceEncoder(tokenizer, form, length, (398,))
    prompt, reference, answer = "abcdefghijklmnop qrst", "one two three four five", "five<|end|> six seven eight nine"
    request = replace(tiny.request(prompt, answer), example=asked("x", "y", reference=reference))
    (row,) = text.rows([request])

    def ids(of: str) -> list[int]:
        return list(tokenizer.encode(of, add_special_tokens=True))

    p, first, second = ids(prompt), ids(reference)[:9], ids(answer)[:9]
    if length is not None:
        p = p[-((length - 4 - len(first) - len(second)) // 2) :]
    p, first, second = (tokenizer.decode(one, skip_special_tokens=True) for one in (p, first, second))
    assert "<|end|>" not in second
    assert isinstance(row, TextRow)
    assert row.ids == (*ids(f"{p}\n{first}<|reward|>{p}\n{second}"), 398)
    assert row.encoded().truncated
    assert length is None or len(row.ids) <= length


def test_no_room_for_the_prompt_is_an_error(saved: tuple[Path, Any, Any], tiny: Any) -> None:
    text = ReferenceEncoder(_tokenizer(saved[0]), ReferenceText(between="<|reward|>", most=9, spared=4), 12, (398,))
    (row,) = text.rows([replace(tiny.request("abc", "one two three"), example=asked("x", reference="one two three"))])
    assert isinstance(row, Encoded)
    assert row.error == "max_length 12 leaves no room for the prompt"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"special_tokens": "text"}, "--special-tokens text: a polar model reads bare texts"),
        ({"model_args": {"truncation_side": "right"}}, "truncation_side: a polar model reads bare texts"),
        ({"model_args": {"bos": "none"}}, "bos: a polar model reads bare texts"),
    ],
)
def test_options_without_effect_are_refused(saved: tuple[Path, Any, Any], options: Any, message: str) -> None:
    with pytest.raises(RmbenchError, match=message):
        opened(saved[0], **options)


def test_it_has_to_be_named_and_its_tokenizer_has_the_mark(saved: tuple[Path, Any, Any], tiny: Any) -> None:
    folder = saved[0]
    assert open_model(str(folder), OpenOptions(trust_remote_code=True)).facts.settings["layout"] == "internlm2"
    for file in folder.glob("*token*"):
        file.unlink()
    tiny.save_tokenizer(folder)
    with pytest.raises(RmbenchError, match=r"the tokenizer has no token <\|reward\|>, which the layout polar reads"):
        opened(folder)


def test_the_declaration_goes_with_remote_models_alone() -> None:
    assert layouts()["polar"].plain().reference == ReferenceText(between="<|reward|>", most=4096, spared=4)
    said = {**layouts()["polar"].data, "pooling": {"rule": "last"}}
    with pytest.raises(RmbenchError, match="reference: goes with remote"):
        replace(layouts()["polar"], data=said).plain()
