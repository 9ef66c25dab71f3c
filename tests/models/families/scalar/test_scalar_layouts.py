"""Declarations: what they may say, which checkpoint they fit, and what is said where one does not."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from rmbench.errors import RmbenchError
from rmbench.models.card import Card, load_card
from rmbench.models.families.registry import decide
from rmbench.models.families.scalar.family import family_of_card
from rmbench.models.families.scalar.heads.declarations import declaration_of, layouts, load_declaration
from rmbench.models.families.scalar.heads.placeholders import filled, sample
from tests._make import make_checkpoint as made

PLAIN = 'name = "x"\nsource = "a file"\nverified = true\n[score]\nname = "head"\n'
H = 8


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "x.toml"
    file.write_text(text)
    return file


class TestFiles:
    def test_every_layout_says_where_it_is_from(self) -> None:
        found = {name: declared.plain() for name, declared in layouts().items()}
        assert len(found) >= 30
        for name, layout in found.items():
            assert layout.name == name
            assert "://" not in layout.source
            assert layout.verified or "unverified" in layout.notes or "third part" in layout.notes or layout.own
            assert layout.own == layout.source.startswith(("MiCRo", "PAL"))

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (PLAIN + "activaton = 'relu'\n", r'x\.toml: score\.activaton: unknown key\. Did you mean "activation"\?'),
            ("gates = 1\n" + PLAIN, r'x\.toml: gates: unknown key\. Did you mean "gate"\?'),
            (PLAIN + "[pooling]\nrul = 'last'\n", r'pooling\.rul: unknown key\. Did you mean "rule"\?'),
            (PLAIN.replace('"x"', '"y"'), r'key "name": "y" must be the file\'s name, "x"'),
            (PLAIN.replace('source = "a file"\n', ""), r"x\.toml: source: this key is missing"),
            ("pick = -1\n" + PLAIN, "pick: input should be greater than or equal to 0; found -1"),
            ("marks = ['(']\n" + PLAIN, r"marks\[0\]: .*no regular expression"),
            (
                "pick = 0\nweights = [1.0]\n" + PLAIN,
                "gate, weights, weights_tensor, pick, ideal: a head has one of them",
            ),
            (PLAIN + "[gate]\nname = 'g'\n", "pooling.prompt: a head that reads the prompt's state says where"),
            (PLAIN + "[remote]\n", "score or remote: one of the two"),
            (PLAIN.replace('"head"', '"{}.{}"'), r"at most one \{\}"),
            (PLAIN + "step = 2\n", r"step and activation need a name with \{\}"),
            ('mix = "probabilities"\n' + PLAIN, '"probabilities" needs a gate or weights'),
            (PLAIN + "[objectives]\neach = 3\n", 'read = "values" has one output'),
            (PLAIN + "[ideal]\nuser = 'u'\nmeasure = 'cosine'\npoints = 'p'\n", 'measure = "cosine" has one'),
            ("name", "is not TOML"),
        ],
    )
    def test_what_is_wrong_is_named_with_its_file_and_key(self, text: str, message: str, tmp_path: Path) -> None:
        with pytest.raises(RmbenchError, match=message):
            load_declaration(written(tmp_path, text))

    def test_a_plain_head_is_five_lines(self, tmp_path: Path) -> None:
        layout = load_declaration(written(tmp_path, PLAIN)).plain()
        assert layout.score is not None
        assert (layout.score.name, layout.score_outputs, layout.pooling.rule) == ("head", 1, "last")


class TestPlaceholders:
    def test_values_of_the_configuration(self) -> None:
        said = {"a": "{prefix=score}.{}.weight", "b": ["{n!3}", "{on=false}"], "c": {"d": "{t=10}"}}
        assert filled(said, {"n": 5}) == {"a": "score.{}.weight", "b": [5, False], "c": {"d": 10}}
        assert filled(said, {"n": 5, "prefix": "v", "on": True, "t": 0.5}) == {
            "a": "v.{}.weight",
            "b": [5, True],
            "c": {"d": 0.5},
        }
        assert sample(said) == {"a": "score.{}.weight", "b": [3, False], "c": {"d": 10}}

    def test_a_key_that_is_not_there(self) -> None:
        with pytest.raises(RmbenchError, match=r"config\.json lacks 'num_quantiles'.*Did you mean \"num_quantile\"\?"):
            filled("{num_quantiles!19}", {"num_quantile": 3})

    def test_a_value_that_the_declaration_cannot_take(self) -> None:
        with pytest.raises(RmbenchError, match=r"armorm\.toml, filled from config\.json: gate\.temperature: .*'hot'"):
            layouts()["armorm"].layout({"gating_temperature": "hot"})


HEADS: dict[str, tuple[str, list[tuple[str, tuple[int, ...]]], dict[str, Any]]] = {
    "openrlhf": ("RewardModel", [("score.weight", (1, H))], {"value_head_prefix": "score"}),
    "grm": ("GRewardModel", [("v_head.summary.0.weight", (4, H)), ("v_head.summary.2.weight", (1, 4))], {}),
    "grm-linear": ("GRewardModel", [("v_head.summary.weight", (1, H))], {}),
    "acecode": ("Qwen2ForCausalRM", [("v_head.summary.weight", (1, H))], {}),
    "inf-orm": ("INFORMForSequenceClassification", [("score.0.weight", (H, H)), ("score.2.weight", (1, H))], {}),
    "qwen-math-rm": ("Qwen2ForRewardModel", [("score.0.weight", (H, H)), ("score.2.weight", (1, H))], {}),
    "openbmb": ("EurusRewardModel", [("regression_head.weight", (1, H))], {}),
    "beaver-reward": ("LlamaForScore", [("score_head.weight", (1, H))], {"score_type": "reward"}),
    "beaver-cost": ("LlamaForScore", [("score_head.weight", (1, H))], {"score_type": "cost"}),
    "athene": ("CustomAutoModelForSequenceClassification", [("v_head.weight", (1, H))], {}),
    "oasst": ("GPTNeoXRewardModel", [("out_proj.weight", (1, H))], {}),
    "internlm2": (
        "InternLM2ForRewardModel",
        [("v_head.weight", (1, H))],
        {"auto_map": {"AutoModel": "m.M"}, "reward_token_id": 3},
    ),
}


class TestDeciding:
    @pytest.mark.parametrize("layout", HEADS)
    def test_class_and_tensors_together_show_the_layout(self, layout: str) -> None:
        named, heads, config = HEADS[layout]
        family = decide(made(named, *heads, **config))
        assert (family.name, family.layout) == ("scalar", layout)
        what = "Python files of its own" if layout == "internlm2" else heads[0][0]
        assert family.why.startswith(f"config.json names {named}, the checkpoint holds {what}")

    def test_the_familys_name_leaves_the_layout_to_the_class(self) -> None:
        named, heads, config = HEADS["beaver-cost"]
        assert decide(made(named, *heads, **config), "scalar").layout == "beaver-cost"

    def test_what_is_unverified_says_so(self) -> None:
        checkpoint = made("LlamaForCausalLM", ("rm_head.weight", (9, H)))
        assert decide(checkpoint, "steerlm").why.endswith("rm_head.weight [9, 8] (the layout is unverified)")

    @pytest.mark.parametrize(
        ("checkpoint", "asked", "message"),
        [
            (made("LlamaForScore", ("score_head.weight", (1, H))), None, "beaver-cost, beaver-reward"),
            (made("LlamaForScore"), None, "No layout|head tensors found: none"),
            (made("EurusRewardModel"), None, r"The layout openbmb lacks regression_head\.weight"),
            (
                made("INFORMForSequenceClassification", ("score.0.weight", (H, H))),
                None,
                r"inf-orm lacks score\\\.2\\\.weight",
            ),
            (
                made("LlamaForSequenceClassification", ("score.weight", (1, H))),
                "grm",
                r"grm lacks .*v_head\.summary\.0\.weight",
            ),
            (
                made("LlamaForSequenceClassification", ("score.weight", (1, H))),
                "odin",
                r"odin has no score\.weight \[1, 8\]",
            ),
            (made("X", ("regression_layer.weight", (4, H))), "qrm-llama3", "config.json lacks 'num_quantiles'"),
            (made("X", ("v_head.weight", (1, H))), "urm", "urm lacks auto_map in config.json"),
            (made("RewardModel", ("value_head.weight", (1, H))), None, "openrlhf-value-head"),
            (made("RewardModel", ("score.weight", (2, H)), value_head_prefix="score"), None, "odin"),
        ],
    )
    def test_what_does_not_fit_is_named(self, checkpoint: Any, asked: str | None, message: str) -> None:
        with pytest.raises(RmbenchError, match=message):
            decide(checkpoint, asked)

    @pytest.mark.parametrize(
        ("checkpoint", "family"),
        [
            (made("RewardModel", ("value_head.weight", (1, H)), value_head_prefix="value_head"), "openrlhf"),
            (made("LlamaForSequenceClassification", ("score.weight", (1, H)), value_head_prefix="score"), "stock"),
            (made("CustomRewardModel", ("value_head.weight", (6, H)), value_head_prefix="value_head"), "gpm-linear"),
            (made("RewardModel", ("value_head.weight", (6, H)), ("prompt_head.weight", (3, H))), "gpm-linear"),
        ],
    )
    def test_openrlhf_stock_and_gpm_never_overlap(self, checkpoint: Any, family: str) -> None:
        assert decide(checkpoint).layout == family

    def test_a_file_beside_the_weights_is_part_of_a_layout(self) -> None:
        seen = made("Qwen2_5_VLForConditionalGeneration", files=("value_head.safetensors",), model_type="qwen2_5_vl")
        assert decide(seen).layout == "skywork-vl"
        both = ("regression_layer.pt", "gating_layer.pt")
        assert decide(made("Gemma2ForCausalLM", files=both)).layout == "ldl"
        with pytest.raises(RmbenchError, match=r"The layout ldl lacks gating_layer\.pt"):
            decide(made("Gemma2ForCausalLM", files=both[:1]))

    def test_two_layouts_that_fit_are_ambiguous(self) -> None:
        checkpoint = made("X", ("score.weight", (1, H)), ("regression_head.weight", (1, H)))
        with pytest.raises(RmbenchError, match=r"2 ways, so it is ambiguous: stock .*openbmb"):
            decide(checkpoint, "scalar")


CARD = """
name = "new-model"
family = "scalar"
verified = false

[head.score]
name = "reward_layers.{}"
activation = "tanh"
"""


class TestCards:
    def card(self, tmp_path: Path, text: str) -> Card:
        file = tmp_path / "new-model.toml"
        file.write_text(text)
        return load_card(file)

    def test_a_card_may_bring_its_head(self, tmp_path: Path) -> None:
        card = self.card(tmp_path, CARD)
        assert tomllib.loads(CARD)["head"] == card.head
        layout = declaration_of(card).plain()
        assert (layout.name, layout.verified) == ("card", False)
        checkpoint = made("NewModel", ("reward_layers.0.weight", (1, H)))
        family = family_of_card(card, checkpoint)
        assert (family.name, family.layout) == ("scalar", "card")
        assert family.why == 'new-model.toml: key "head", the checkpoint holds reward_layers.0.weight [1, 8]'

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            ("activation", "aktivation", r'new-model\.toml: key "head": score\.aktivation: unknown key'),
            ("reward_layers", "other", r'key "head" does not fit ckpt: see other\.0\.weight'),
            ('family = "scalar"', 'family = "gpm"', 'only scalar models have one, and key "family" is "gpm"'),
        ],
    )
    def test_what_is_wrong_with_it_is_named(self, old: str, new: str, message: str, tmp_path: Path) -> None:
        with pytest.raises(RmbenchError, match=message):
            family_of_card(self.card(tmp_path, CARD.replace(old, new)), made("N", ("reward_layers.0.weight", (1, H))))
