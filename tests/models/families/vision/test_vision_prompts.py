"""`show-prompt` of an image model: the picture, and the text's tokens."""

from __future__ import annotations

from pathlib import Path

import rmbench
from rmbench.evaluation.prompts import show_prompts


def test_image_and_text_are_shown_apart(tiny_clip: Path) -> None:
    shown = show_prompts("hpdv2", str(tiny_clip), source="sample").prompts
    example = rmbench.load_examples(rmbench.select_tasks("hpdv2")[0], "sample").examples[0]
    assert [prompt.what for prompt in shown[:2]] == ["candidate 0, image 1", "candidate 0, text 2"]
    assert [prompt.text for prompt in shown[::2]] == [each.messages[0].parts[0].path for each in example.candidates]
    for prompt in shown[1::2]:
        assert [prompt.pieces[0][1], prompt.pieces[1][1], prompt.pieces[2][1]] == [True, False, True]
        assert prompt.pieces[1][0].strip() == example.prompt[0].text.lower()
        assert len({token.id for token in prompt.tokens} & {49406, 49407}) == 2
