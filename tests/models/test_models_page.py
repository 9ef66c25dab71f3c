"""The pages on models: what they show works, and what they list is what there is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import BaseModel

from rmbench import resources
from rmbench.engine.judge import judge
from rmbench.models.baselines.relevance import RelevanceSettings
from rmbench.models.baselines.surface import BASELINES, SURFACES
from rmbench.models.card import Card, load_card
from rmbench.models.checkpoint import hub
from rmbench.models.checkpoint.hub import Download
from rmbench.models.families.gpm.open import GpmSettings
from rmbench.models.families.implicit.settings import ImplicitSettings
from rmbench.models.families.pairwise.open import PairRmSettings
from rmbench.models.families.registry import families
from rmbench.models.families.scalar.heads.declarations import layouts
from rmbench.models.families.vision.blip.open import BlipSettings
from rmbench.models.families.vision.blip.open_matching import MatchingSettings
from rmbench.models.families.vision.clip.open import ClipSettings
from rmbench.models.families.vision.mps.open import MpsSettings
from rmbench.models.families.vl.open import VisionLanguageSettings
from rmbench.models.families.vl.schema import layouts as vl_layouts
from rmbench.models.families.vqa.settings import VqaSettings
from rmbench.models.open import open_model
from rmbench.models.protocols import Scorer
from rmbench.models.scores.scorer import Precomputed
from rmbench.types import Candidate, Example, Gold, Message
from tests.house.docs_pages import Block, run_shell
from tests.models.families.vl import conftest as vl

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "adding-a-model.md"
FAMILIES = DOCS / "models.md"


def blocks(language: str, page: Path = PAGE) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text("utf-8"), re.S)


def section(title: str) -> str:
    """A section of the page on families, up to the next of its level."""
    return FAMILIES.read_text("utf-8").partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def cells(text: str) -> list[list[str]]:
    """The rows of all tables."""
    return [[cell.strip() for cell in line.split(" | ")] for line in text.splitlines() if line.startswith("|")]


def test_the_card_it_shows_is_right_and_the_keys_are_all_there(tmp_path: Path) -> None:
    (text,) = blocks("toml")
    file = tmp_path / "some-reward-model-8b.toml"
    file.write_text(text)
    assert load_card(file).hub == "org/Some-Reward-Model-8B"
    table = PAGE.read_text("utf-8").partition("| key | meaning |")[2].partition("\n\n")[0]
    listed = {key for line in table.splitlines() for key in re.findall(r"`(\w+)`", line.split("|")[1] if line else "")}
    assert listed == set(Card.model_fields) - {"path"}


@pytest.mark.parametrize("block", blocks("json"))
def test_the_score_rows_it_shows_are_read_as_it_says(block: str, tmp_path: Path) -> None:
    file = tmp_path / "page.jsonl"
    file.write_text(block)
    model = open_model(f"scores:{file}")
    assert isinstance(model, Precomputed)
    judged = []
    for line in block.splitlines():
        row: dict[str, Any] = json.loads(line)
        scores = row.get("scores", [0, 0])
        size = len(scores["overall"] if isinstance(scores, dict) else scores)
        example = Example(row["id"], (), (Candidate.of("x"),) * size, Gold())
        judged.append(model.judge(row["task"], example))
    assert all(judgment.status == "ok" for judgment in judged)
    if judged[0].rewards is None:
        assert [[v.value for v in judgment.verdicts] for judgment in judged] == [[0, 0], [0, 1], [0]]
    else:
        assert [len(judgment.rewards or ()) for judgment in judged] == [6, 1]


def test_the_function_it_shows_gives_rewards(tiny: Any) -> None:
    code = blocks("python")[0].partition("results =")[0].replace("import rmbench", "")
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["shout"]([[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes!!"}]]) == [2]


class TestFamilies:
    """docs/models.md."""

    def test_every_family_and_every_layout_is_listed(self) -> None:
        text = FAMILIES.read_text("utf-8")
        for family in families().values():
            assert f"[{family.name}](#" in text
            for layout in family.layouts:
                assert f"`{layout}`" in text

    def test_the_scalar_table_says_of_each_layout_whether_it_is_verified(self) -> None:
        said = {row[0].strip("| `"): row[-1].rstrip(" |") for row in cells(section("Scalar")) if len(row) == 5}
        for name, declared in layouts().items():
            layout = declared.plain()
            word = "a layout of this project" if layout.own else "yes" if layout.verified else "no"
            assert re.match(rf"{word}\b", said[name]), name
        twins = {name for name, declared in layouts().items() if declared.data.get("twin")}
        table = [row for row in cells(section("Scalar")) if len(row) == 5]
        assert {row[0].strip("| `") for row in table if row[3].endswith("named")} == twins

    def test_the_table_of_models_that_see_says_of_each_layout_whether_it_is_verified(self) -> None:
        said = {row[0].strip("| `"): row[-1].rstrip(" |") for row in cells(section("Models that see")) if len(row) == 6}
        for name, layout in vl_layouts().items():
            assert said[name].startswith("yes" if layout.verified else "no"), name

    @pytest.mark.parametrize(
        ("title", "schemas"),
        [
            ("General preference models", [GpmSettings]),
            ("Implicit rewards", [ImplicitSettings]),
            ("Pairwise", [PairRmSettings]),
            ("Images and videos", [ClipSettings, BlipSettings, MatchingSettings, MpsSettings]),
            ("Models that see", [VisionLanguageSettings]),
            ("Models that are asked", [VqaSettings]),
            ("Baselines", [RelevanceSettings, *SURFACES.values()]),
        ],
    )
    def test_every_setting_is_told(self, title: str, schemas: list[type[BaseModel]]) -> None:
        said = set(re.findall(r"`(\w+)(?:=[^`]*)?`", section(title)))
        assert {name for schema in schemas for name in schema.model_fields} <= said

    def test_every_baseline_and_every_implicit_score_is_told(self) -> None:
        assert all(f"`baseline:{kind}`" in section("Baselines") for kind in BASELINES)
        from rmbench.models.families.implicit.formulas import FREE, WITH_REFERENCE

        assert all(f"`{score}`" in section("Implicit rewards") for score in (*FREE, *WITH_REFERENCE))

    def test_links_lead_somewhere(self) -> None:
        for page in (FAMILIES, PAGE, DOCS / "README.md"):
            text = page.read_text("utf-8")
            for target, anchor in re.findall(r"\]\(([\w.-]*\.md)?(?:#([\w-]+))?\)", text):
                linked = (DOCS / target if target else page).read_text("utf-8")
                titles = {
                    re.sub(r"[^\w -]", "", one).lower().replace(" ", "-")
                    for one in re.findall(r"^#+ (.*)$", linked, re.M)
                }
                assert not anchor or anchor in titles
        assert "(models.md)" in (DOCS / "README.md").read_text("utf-8")
        assert "(models.md" in PAGE.read_text("utf-8")


def test_the_head_that_the_page_declares_is_computed(
    tmp_path: Path, tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No code for an ArmoRM-like head: the page's card over a tiny checkpoint, against a plain computation."""
    folder = tiny.checkpoint(tmp_path / "checkpoint")
    generator = torch.Generator().manual_seed(7)

    def head(tensors: dict[str, Any]) -> None:
        del tensors["score.weight"]
        shapes: dict[str, tuple[int, ...]] = {
            "objective_head.weight": (3, 32),
            "objective_transform": (3, 3),
            "router.0.weight": (64, 32),
        }
        shapes |= {"router.0.bias": (64,), "router.2.weight": (3, 64), "router.2.bias": (3,)}
        tensors |= {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}

    tiny.edit_tensors(folder, head)
    tiny.edit_json(folder / "config.json", architectures=["ThreeObjectives"], router_temperature=2.0)
    (text,) = [block for block in blocks("toml", FAMILIES) if "[head.score]" in block]
    header = _ids(folder, "<|start|>assistant\n")
    shelf = tmp_path / "boards" / "models"
    shelf.mkdir(parents=True)
    (shelf / "three-objectives-8b.toml").write_text(
        text.replace("128009, 128006, 78191, 128007, 271", str(header)[1:-1])
    )
    monkeypatch.setattr(resources, "leaderboards", lambda: shelf.parent)
    monkeypatch.setattr(hub, "download", lambda name, revision, **more: Download(folder, "c" * 40))
    model = open_model("three-objectives-8b")
    assert isinstance(model, Scorer)
    assert model.facts.why.startswith('three-objectives-8b.toml: key "head"')
    answers = ["Put it into boiling water.", "No."]
    row = Example("0", (Message.of("user", "How?"),), tuple(map(Candidate.of, answers)), Gold())
    (judgment,) = judge("t", [row], model).judgments
    assert judgment.rewards is not None
    for place, answer in enumerate(answers):
        written = f"<|bos|><|start|>user\nHow?<|end|>\n<|start|>assistant\n{answer}<|end|>\n"
        expected, weights = _plain(folder, _ids(folder, written), header)
        assert judgment.rewards[place] == pytest.approx(expected, abs=1e-4)
        assert judgment.parts["weights"][place] == pytest.approx(weights, abs=1e-5)


def _ids(folder: Path, text: str) -> list[int]:
    from transformers import AutoTokenizer

    ids: list[int] = AutoTokenizer.from_pretrained(folder)(text, add_special_tokens=False)["input_ids"]
    return ids


def _plain(folder: Path, ids: list[int], header: list[int]) -> tuple[float, list[float]]:
    """The reward and what each objective counts for in it, from transformers' own states."""
    from safetensors.torch import load_file
    from transformers import LlamaModel

    tensors = {name: value.double().numpy() for name, value in load_file(folder / "model.safetensors").items()}
    with torch.no_grad():
        model = LlamaModel.from_pretrained(folder, dtype=torch.float32).eval()
        states = model(input_ids=torch.tensor([ids])).last_hidden_state[0].double().numpy()
    start = max(place for place in range(len(ids)) if ids[place : place + len(header)] == header)
    objectives = tensors["objective_head.weight"] @ states[-1]
    inner = np.maximum(tensors["router.0.weight"] @ states[start] + tensors["router.0.bias"], 0)
    logits = (tensors["router.2.weight"] @ inner + tensors["router.2.bias"]) / 2.0
    gate = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    return float((objectives @ tensors["objective_transform"]) @ gate), (tensors["objective_transform"] @ gate).tolist()


def test_the_commands_of_models_that_see(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a tiny model in place of `org/vl-reward`, and two drawn pictures."""
    vl.save(tmp_path / "tiny", "qwen2.5-vl", {"score.weight": vl.linear_head()})
    for seed, name in enumerate(("cat.png", "dog.png")):
        vl.picture(tmp_path / name, seed)
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```sh\n(.*?)```", section("Models that see"), re.S)
    printed = []
    for line in block.replace("org/vl-reward", str(tmp_path / "tiny")).splitlines():
        code, text = run_shell(Block(line), monkeypatch)
        assert code == 0, text
        printed.append(text)
    rewards = [re.findall(r"^[AB]  ([-+][\d.]+)$", text, re.MULTILINE) for text in printed[:3]]
    assert all(len(set(pair)) == 2 for pair in rewards)
    assert rewards[1] != rewards[2]  # other positions
    assert re.search(r"^media +pass", printed[3], re.MULTILINE)
