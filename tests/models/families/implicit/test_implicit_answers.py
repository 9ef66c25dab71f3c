"""Where the answer begins and ends, what is cut, and token masks."""

from __future__ import annotations

import hashlib
import json

import pytest

from rmbench.errors import RmbenchError
from rmbench.models.families.implicit.answers import ANSWER_TRUNCATED, BOUNDARY_INSIDE_PROMPT
from rmbench.models.families.implicit.masks import read_masks

JOINED = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m['content'] }} [/INST] "
    "{% else %}{{ m['content'] }}{{ eos_token }}{% endif %}{% endfor %}"
)
"""The prompt's text ends with a space, which merges with the first word of an answer."""


def answer_of(scorer, row) -> str:
    """What the scored tokens spell."""
    return str(scorer.text.text.tokenizer.decode(row.ids[row.payload.start :]))


def test_with_a_header_the_answer_is_what_the_policy_writes(pair, opened, tiny):
    scorer = opened(pair[0])
    rows = scorer.encode([tiny.request("Hi", "Boil it."), tiny.request("Hi", "a", "Hi", "Two.\n")])
    assert [answer_of(scorer, row) for row in rows] == ["Boil it.<|end|>", "Two.\n<|end|>"]
    assert all(row.remarks == () and not row.error for row in rows)
    without = opened(pair[0], eos=False).encode([tiny.request("Hi", "Boil it."), tiny.request("x", "y<|end|>")])
    assert [answer_of(scorer, row) for row in without] == ["Boil it.", "y<|end|>"]


def test_without_a_header_the_answers_own_header_counts(policy, opened, tiny, tmp_path):
    scorer = opened(policy(tmp_path / "m", template=tiny.CHAT))
    (row,) = scorer.encode([tiny.request("Hi", "Boil it.")])
    assert answer_of(scorer, row) == "<|start|>assistant\nBoil it.<|end|>"


def test_a_header_that_promises_more_than_the_answer_has_is_cut_where_they_differ(policy, opened, tiny, tmp_path):
    thinking = tiny.CHAT + "{% if add_generation_prompt %}<|start|>assistant\n<think>\n{% endif %}"
    scorer = opened(policy(tmp_path / "m", template=thinking))
    (row,) = scorer.encode([tiny.request("Hi", "Boil it.")])
    assert answer_of(scorer, row) == "Boil it.<|end|>"
    assert row.remarks == (BOUNDARY_INSIDE_PROMPT,)


def test_a_token_across_the_boundary_is_the_answers(policy, opened, tiny, tmp_path):
    scorer = opened(policy(tmp_path / "m", template=JOINED))
    whole = tiny.request("boil the egg", "the answer")
    (row,) = scorer.encode([whole])
    tokens = scorer.text.text.tokenizer.convert_ids_to_tokens(list(row.ids))
    first = tokens[row.payload.start]
    assert first.startswith("Ġ")
    assert len(first) > 1
    assert answer_of(scorer, row) == " the answer<|end|>"
    assert row.remarks == (BOUNDARY_INSIDE_PROMPT,)


def test_the_prompts_text_inside_the_answer_changes_nothing(pair, opened, tiny):
    scorer = opened(pair[0])
    (row,) = scorer.encode([tiny.request("egg", "egg<|start|>user\negg<|end|>\negg")])
    assert answer_of(scorer, row) == "egg<|start|>user\negg<|end|>\negg<|end|>"


def test_all_messages_of_a_candidate_count(pair, opened, tiny):
    whole = tiny.request("Hi", "One.", "And?", "Two.")
    several = type(whole)(whole.conversation, 1)
    scorer = opened(pair[0])
    (row,) = scorer.encode([several])
    assert answer_of(scorer, row) == "One.<|end|>\n<|start|>user\nAnd?<|end|>\n<|start|>assistant\nTwo.<|end|>"


def test_the_place_of_the_answer_is_in_the_key(pair, opened, tiny):
    whole = tiny.request("Hi", "One.", "And?", "Two.")
    one, other = opened(pair[0]).encode([whole, type(whole)(whole.conversation, 1)])
    assert one.ids == other.ids
    assert one.key != other.key


def test_raw_text_and_a_tokenizer_without_bos(policy, opened, tiny, tmp_path):
    scorer = opened(policy(tmp_path / "m", "qwen2", bos=False))
    rows = scorer.encode(
        [
            tiny.request("Hi. ", "the answer", render="raw"),
            tiny.request("", "Boil", render="raw"),
            tiny.request("a", "b"),
        ]
    )
    assert "nothing stands before the answer" in rows[1].error
    assert [answer_of(scorer, row) for row in (rows[0], rows[2])] == [" the answer", "b<|end|>"]
    assert None not in rows[2].ids


def test_raw_text_behind_a_bos_alone(pair, opened, tiny):
    (row,) = opened(pair[0]).encode([tiny.request("", "Boil", render="raw")])
    assert row.ids[0] == tiny.BOS
    assert row.payload.start == 1


def test_an_empty_answer(pair, opened, tiny):
    with_eos = opened(pair[0]).encode([tiny.request("Hi", "")])
    assert answer_of(opened(pair[0]), with_eos[0]) == "<|end|>"
    (summed,) = opened(pair[0], eos=False, score="logp").encode([tiny.request("Hi", "")])
    assert (summed.error, summed.payload.start) == ("", len(summed.ids))
    (averaged,) = opened(pair[0], eos=False, score="avg").encode([tiny.request("Hi", "")])
    assert "no average" in averaged.error


def test_the_prompt_is_cut_on_its_left_and_the_answer_only_when_it_must_be(pair, opened, tiny):
    question, reply = "How do I boil an egg? " * 3, "Put it into boiling water."
    (whole,) = opened(pair[0]).encode([tiny.request(question, reply)])
    answer = whole.ids[whole.payload.start :]
    assert len(answer) > 5
    for limit in (len(answer) + 1, len(answer) + 2, len(whole.ids) - 1):
        (row,) = opened(pair[0], max_length=limit).encode([tiny.request(question, reply)])
        assert row.ids[row.payload.start :] == answer
        assert len(row.ids) == limit
        assert row.ids[0] == tiny.BOS
        rest = row.ids[1 : row.payload.start]
        assert rest == whole.ids[whole.payload.start - len(rest) : whole.payload.start]
        assert row.truncated
        assert row.remarks == ()
    (row,) = opened(pair[0], max_length=5).encode([tiny.request(question, reply)])
    assert row.ids == (tiny.BOS, *answer[:4])
    assert row.payload.start == 1
    assert row.remarks == (ANSWER_TRUNCATED,)
    (row,) = opened(pair[0], max_length=len(whole.ids)).encode([tiny.request(question, reply)])
    assert row == whole
    (row,) = opened(pair[0], max_length=1).encode([tiny.request(question, reply)])
    assert "leaves no room" in row.error


def test_the_closing_newline_is_not_truncation(pair, opened, tiny):
    (row,) = opened(pair[0], eos=False).encode([tiny.request("Hi", "Yo")])
    assert not row.truncated


def masks_file(folder, *lines) -> str:
    file = folder / "masks.jsonl"
    file.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n")
    return str(file)


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_token_masks_by_answer_and_by_prompt(pair, opened, tiny, tmp_path):
    plain = opened(pair[0], score="logp")
    n = (
        len(plain.encode([tiny.request("Hi", "Boil")])[0].ids)
        - plain.encode([tiny.request("Hi", "Boil")])[0].payload.start
    )
    ramp = [k / n for k in range(n)]
    file = masks_file(
        tmp_path,
        {"answer": sha("Boil"), "weights": [1] * n},
        "",
        {"answer": sha("Boil"), "prompt": sha("Why?"), "weights": ramp},
        {"answer": sha("Yo"), "weights": [1] * 9},
    )
    scorer = opened(pair[0], score="logp", token_mask=file)
    rows = scorer.encode(
        [tiny.request(*turns) for turns in (("Hi", "Boil"), ("Why?", "Boil"), ("Hi", "Yo"), ("a", "b"))]
    )
    assert rows[0].payload.weights == (1.0,) * n
    assert rows[1].payload.weights == tuple(ramp)
    assert "9 weights for an answer of" in rows[2].error
    assert sha("b") in rows[3].error
    assert (
        scorer.facts.settings["token_mask_sha256"]
        == hashlib.sha256((tmp_path / "masks.jsonl").read_bytes()).hexdigest()
    )
    assert scorer.facts.fingerprint != plain.facts.fingerprint


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 1: not JSON"),
        ("[]", "line 1: expected an object"),
        ({"answer": "f" * 64, "weigths": []}, 'Did you mean "weights"'),
        ({"answer": "F" * 64, "weights": []}, '"answer" must be a sha256'),
        ({"answer": "f" * 64, "prompt": 3, "weights": []}, '"prompt" must be a sha256'),
        ({"answer": "f" * 64, "weights": [1, 1.5]}, "numbers from 0 to 1"),
        ({"answer": "f" * 64, "weights": [True]}, "numbers from 0 to 1"),
        ({"answer": "f" * 64, "weights": [float("nan")]}, "numbers from 0 to 1"),
        ({"answer": "f" * 64}, "numbers from 0 to 1"),
    ],
)
def test_mask_files_that_are_wrong(line, message, tmp_path):
    from pathlib import Path

    with pytest.raises(RmbenchError, match=message):
        read_masks(Path(masks_file(tmp_path, line)))


def test_one_answer_with_two_masks(tmp_path):
    from pathlib import Path

    lines = [{"answer": "f" * 64, "weights": [weight]} for weight in (0, 1)]
    with pytest.raises(RmbenchError, match="line 2: that answer has other weights"):
        read_masks(Path(masks_file(tmp_path, *lines)))
    with pytest.raises(RmbenchError, match="cannot be read"):
        read_masks(tmp_path / "none.jsonl")
