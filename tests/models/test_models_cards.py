"""The cards that travel with the package: what each says can be taken at its word."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pydantic import BaseModel

from rmbench.cli.listing import models as listing
from rmbench.engine.judge import judge
from rmbench.models.card import Card, cards
from rmbench.models.checkpoint import hub
from rmbench.models.checkpoint.hub import Download
from rmbench.models.families.gpm.open import GpmSettings
from rmbench.models.families.implicit.settings import ImplicitSettings
from rmbench.models.families.pairwise.open import PairRmSettings
from rmbench.models.families.registry import adapters, families
from rmbench.models.families.scalar.heads.declarations import layouts
from rmbench.models.families.vision.blip.open import BlipSettings
from rmbench.models.families.vision.blip.open_matching import MatchingSettings
from rmbench.models.families.vision.clip.open import ClipSettings
from rmbench.models.families.vision.mps.open import MpsSettings
from rmbench.models.families.vl.open import VisionLanguageSettings
from rmbench.models.families.vqa.settings import VqaSettings
from rmbench.models.judges.declaration import load_protocol
from rmbench.models.judges.settings import judge_settings
from rmbench.models.open import open_model
from rmbench.models.protocols import Scorer
from rmbench.models.text.template import TemplateRefusedError
from rmbench.models.text.template_source import resolve_template
from rmbench.types import Candidate, Example, Gold, Message

KNOWN = cards()
PUBLIC = [card for card in KNOWN.values() if card.hub]
TEXT = ("scalar", "gpm", "implicit", "pairwise")
TEMPLATED = [card for card in PUBLIC if card.template != "tokenizer"]

# Spelt as on the hub, from every family.
SPELT = """
Skywork/Skywork-Reward-V2-Llama-3.1-8B-40M Skywork/Skywork-Reward-V2-Qwen3-1.7B Skywork/Skywork-Reward-Gemma-2-27B-v0.2
infly/INF-ORM-Llama3.1-70B ShikaiChen/LDL-Reward-Gemma-2-27B-v0.1 nicolinho/QRM-Llama3.1-8B-v2
LxzGordon/URM-LLaMa-3.1-8B
RLHFlow/ArmoRM-Llama3-8B-v0.1 sfairXC/FsfairX-LLaMA3-RM-v0.1 RLHFlow/pair-preference-model-LLaMA3-8B
NCSOFT/Llama-3-OffsetBias-RM-8B Ray2333/GRM_Llama3.1_8B_rewardmodel-ft Ray2333/GRM-Llama3.2-3B-rewardmodel-ft
Ray2333/GRM-gemma2-2B-rewardmodel-ft Ray2333/GRM-Gemma2-2B-sftreg internlm/internlm2-1_8b-reward openbmb/Eurus-RM-7b
openbmb/UltraRM-13b berkeley-nest/Starling-RM-7B-alpha Nexusflow/Starling-RM-34B Nexusflow/Athene-RM-70B
weqweasdas/RM-Mistral-7B hendrydong/Mistral-RM-for-RAFT-GSHF-v0 CIR-AMS/BTRM_Qwen2_7b_0613
allenai/Llama-3.1-Tulu-3-8B-RL-RM-RB2 allenai/tulu-v2.5-70b-preference-mix-rm nvidia/Llama-3.1-Nemotron-70B-Reward-HF
Qwen/WorldPM-72B Qwen/Qwen2.5-Math-RM-72B general-preference/GPM-Gemma-2B PKU-Alignment/beaver-7b-v1.0-cost
OpenAssistant/reward-model-deberta-v3-large-v2 OpenAssistant/oasst-rm-2.1-pythia-1.4b-epoch-2.5 llm-blender/PairRM-hf
mightbe/Better-PairRM IDEA-CCNL/Ziya-LLaMA-7B-Reward stanfordnlp/SteamSHP-flan-t5-xl HFXM/RAMO-Llama3.1-8B
SultanR/SmolTulu-1.7b-RM Skywork/Skywork-VL-Reward-7B internlm/internlm-xcomposer2d5-7b-reward allenai/tulu-2-dpo-70b
HuggingFaceH4/zephyr-7b-beta openbmb/Eurus-7b-kto ContextualAI/archangel_sft-kto_llama13b
upstage/SOLAR-10.7B-Instruct-v1.0
""".split()


def named(card: Card) -> str:
    return card.name


def test_there_are_many_and_they_are_spelt_as_on_the_hub() -> None:
    hubs = {card.hub for card in PUBLIC}
    assert len(hubs) >= 80
    assert set(SPELT) <= hubs
    assert {card.family for card in PUBLIC} >= set(TEXT)


def test_no_card_claims_figures_that_were_not_run() -> None:
    assert [card.name for card in KNOWN.values() if card.verified] == ["tiny-bt"]


@pytest.mark.parametrize("card", PUBLIC, ids=named)
def test_a_card(card: Card) -> None:
    taken = adapters(families())
    assert card.hub is not None
    if card.family in TEXT:
        assert card.name == card.hub.partition("/")[2].lower().replace("_", "-")
    family, _ = taken[card.layout or card.family]
    assert family.name == card.family
    assert card.layout is None or card.layout in family.layouts
    assert card.license or "License unverified." in card.notes


@pytest.mark.parametrize("card", PUBLIC, ids=named)
def test_settings_are_those_of_the_layout(card: Card) -> None:
    schemas: dict[str | None, type[BaseModel]] = {
        "gpm-linear": GpmSettings,
        "implicit": ImplicitSettings,
        "pairrm": PairRmSettings,
        "blip-itm": MatchingSettings,
        "blip2-itm": MatchingSettings,
    }
    by_family: dict[str, type[BaseModel]] = {
        "clip": ClipSettings,
        "blip": BlipSettings,
        "mps": MpsSettings,
        "vl-scalar": VisionLanguageSettings,
        "vqa": VqaSettings,
    }
    schema = schemas.get(card.layout, by_family.get(card.family))
    if card.family == "judge":
        declared = load_protocol(str(card.settings["protocol"]))
        assert declared.notes
        given = {key: json.dumps(value) for key, value in card.settings.items() if key != "protocol"}
        assert set(given) <= {"top_k", "chat_template_kwargs.enable_thinking"}
        assert judge_settings(declared, given)
    elif schema is not None:
        assert schema.model_validate(dict(card.settings)).model_fields_set == set(card.settings)
    else:
        assert dict(card.settings) == ({"segments": "pair"} if card.settings else {})
        assert card.layout == "stock-encoder" or not card.settings


@pytest.mark.parametrize("card", [card for card in PUBLIC if card.layout in layouts()], ids=named)
def test_a_card_repeats_what_its_layout_says_is_unsure(card: Card) -> None:
    layout = layouts()[card.layout or ""].plain()
    assert layout.verified or "unverified" in card.notes
    assert layout.remote is None or "--trust-remote-code" in card.notes
    assert not layout.own


@pytest.mark.parametrize("card", [card for card in PUBLIC if card.family == "scalar" and not card.layout], ids=named)
def test_a_stock_model_is_a_few_lines(card: Card) -> None:
    assert len(card.path.read_text("utf-8").splitlines()) < 15


@pytest.mark.parametrize("card", [card for card in PUBLIC if card.family == "implicit"], ids=named)
def test_an_implicit_reward_has_its_reference(card: Card) -> None:
    reference = card.settings["ref_model"]
    assert isinstance(reference, str)
    assert re.fullmatch(r"[\w.-]+/[\w.-]+", reference)
    assert reference != card.hub
    assert ImplicitSettings.model_validate(dict(card.settings)).rule(referenced=True).beta == 0.1


END = "<|end|>"  # the tiny tokenizer's EOS
TURNS = ("Why?", "So.", "How?", "Thus.")
RENDERED = {
    "ultrarm-13b": "User: Why?\n\nAssistant: So.\n\nUser: How?\n\nAssistant: Thus.\n\n",
    "eurus-rm-7b": f"[INST] Why? [/INST] So.{END}[INST] How? [/INST] Thus.",
    "eurus-7b-kto": f"[INST] Why? [/INST] So.{END}[INST] How? [/INST] Thus.",
    "starling-rm-7b-alpha": f"[INST] Why? {END} [/INST] So.{END}[INST] How? {END} [/INST] Thus.{END}",
    "starling-rm-34b": "<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\nSo.<|im_end|>\n"
    "<|im_start|>user\nHow?<|im_end|>\n<|im_start|>assistant\nThus.<|im_end|>",
    "beaver": f"BEGINNING OF CONVERSATION: USER: Why? ASSISTANT:So.{END}USER: How? ASSISTANT:Thus.",
    "oasst-rm": "<|prompter|>Why?<|endoftext|><|assistant|>So.<|endoftext|>"
    "<|prompter|>How?<|endoftext|><|assistant|>Thus.<|endoftext|>",
    "ziya-llama-7b-reward": f"Human:Why?\n\nAssistant:So.\n\nHuman:How?\n\nAssistant:Thus.{END}",
    "tulu-2-dpo": f"<|user|>\nWhy?\n<|assistant|>\nSo.\n<|user|>\nHow?\n<|assistant|>\nThus.{END}",
    "archangel": f"<|user|>\nWhy?\n<|assistant|>\nSo.\n<|user|>\nHow?\n<|assistant|>\nThus.{END}",
}
"""By the beginning of the card's name; public callers' formats, joined as the notes say."""


@pytest.fixture(scope="session")
def tokenizer(llama: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(llama)


@pytest.mark.parametrize("card", TEMPLATED, ids=named)
def test_a_cards_template(card: Card, tokenizer: Any, tiny: Any) -> None:
    (expected,) = [text for name, text in RENDERED.items() if card.name.startswith(name)]
    template = resolve_template(tokenizer, None, card.template, card.name)
    assert template.render(tiny.request(*TURNS)) == expected
    spoken = tiny.request(("system", "Be terse."), "x", ("user", "Why?"))
    if "role }}" in card.template:
        assert "Be terse." in template.render(spoken)
    else:
        with pytest.raises(TemplateRefusedError, match="turns are user and assistant"):
            template.render(spoken)


def test_published_scores_are_those_that_the_authors_print(data: Path) -> None:
    file = data / "published-results" / "card_examples.jsonl"
    if not file.exists():
        pytest.skip("published-results/card_examples.jsonl is not in RMBENCH_DATA")
    printed: dict[str, list[list[float]]] = {}
    for line in file.read_text("utf-8").splitlines():
        row = json.loads(line)
        printed.setdefault(row["model"], []).extend([row["scores"]] if "scores" in row else [])
    for card in PUBLIC:
        rows = printed.get(card.hub or "", [])
        allowed = [tuple(row) for row in rows] + [tuple(score for row in rows for score in row)]
        assert card.example_scores in allowed or (not card.example_scores and not rows)


class TestListing:
    """`rmbench models`."""

    @staticmethod
    def lines(*arguments: str) -> list[str]:
        done = CliRunner(env={"COLUMNS": "80"}).invoke(listing, arguments)
        assert done.exit_code == 0, done.output
        return done.output.splitlines()

    def test_every_name_is_whole_at_80_columns(self) -> None:
        lines = self.lines()
        assert max(map(len, lines)) <= 83  # the last lines are sentences
        first = {line.split()[0] for line in lines if line and not line.startswith(" ")}
        assert set(KNOWN) <= first

    def test_filters(self) -> None:
        text = "\n".join(self.lines("--family", "pairwise"))
        assert "pairrm-hf" in text
        assert "skywork" not in text
        some = json.loads("\n".join(self.lines("skywork/skywork", "V2", "--json")))
        assert len(some) == 8
        assert all("Skywork-Reward-V2" in one["hub"] for one in some)

    def test_a_family_without_cards(self) -> None:
        done = CliRunner().invoke(listing, ["--family", "scaler"])
        assert 'Did you mean "scalar"' in str(done.exception)


def test_a_card_opens_its_checkpoint(tmp_path: Path, tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beaver's two cards over one checkpoint: the template is theirs, and a cost is negated."""
    folder = tiny.checkpoint(tmp_path)
    tiny.edit_tensors(folder, lambda tensors: tensors.__setitem__("score_head.weight", tensors.pop("score.weight")))
    tiny.edit_json(folder / "config.json", architectures=["LlamaForScore"])
    monkeypatch.setattr(hub, "download", lambda name, revision, **more: Download(folder, "c" * 40))
    row = Example("0", (Message.of("user", "Hi"),), (Candidate.of("Yes."), Candidate.of("No!")), Gold())
    rewards = []
    for name in ("beaver-7b-v1.0-reward", "beaver-7b-v1.0-cost"):
        model = open_model(name)
        assert isinstance(model, Scorer)
        assert model.facts.settings["template"] == "card"
        assert model.facts.why.startswith(f'{name}.toml: key "layout" beaver-')
        (judgment,) = judge("t", [row], model).judgments
        assert judgment.rewards is not None
        rewards.append(judgment.rewards)
    assert rewards[0][0] != rewards[0][1]
    assert rewards[1] == tuple(-reward for reward in rewards[0])
