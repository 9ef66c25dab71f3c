"""Models that bring their own Python files: only where the user trusts them, and by their own score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from rmbench.errors import RmbenchError
from rmbench.models.card import Card
from rmbench.models.families.scalar.remote import RemoteScorer
from rmbench.models.locate import Located
from rmbench.models.open import OpenOptions, _open_checkpoint, open_model
from rmbench.models.protocols import Request
from rmbench.types import Message
from tests._make import open_as

CODE = '''
import torch
from transformers import LlamaConfig, LlamaModel, LlamaPreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput


class OddConfig(LlamaConfig):
    model_type = "odd"


class OddModel(LlamaPreTrainedModel):
    config_class = OddConfig

    def __init__(self, config):
        super().__init__(config)
        self.model = LlamaModel(config)
        self.v_head = torch.nn.Linear(config.hidden_size, 1, bias=False)
        self.post_init()

    def forward(self, input_ids, attention_mask=None, **kwargs):
        """Scores the last column, whatever the mask says: right for rows without padding alone."""
        states = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        score = self.v_head(states[:, -1])
        kind = self.config.returns
        if kind == "itself":
            return score
        return (score,) if kind == "first" else SequenceClassifierOutput(logits=score)

    def get_score(self, chat, images, hd_num=1):
        ids = self.tokenizer(chat[-1]["content"], add_special_tokens=False)["input_ids"] or [0]
        return self(torch.tensor([ids])).logits * hd_num + len(images) + len(chat)
'''


def save(
    folder: Path, tiny: Any, upstream: Any, returns: str, kind: str = "AutoModel", **config: Any
) -> tuple[Any, Any]:
    backbone = upstream.backbone()
    head = upstream.draw(1, 32)
    upstream.write(
        folder,
        backbone,
        config.pop("architecture", "OddModel"),
        {"v_head.weight": head},
        model_type="odd",
        auto_map={"AutoConfig": "odd.OddConfig", kind: "odd.OddModel"},
        returns=returns,
        **config,
    )
    (folder / "odd.py").write_text(CODE)
    tiny.save_tokenizer(folder)
    return backbone, head


def opened(folder: Path, adapter: str | None) -> RemoteScorer:
    return open_as(RemoteScorer, folder, adapter=adapter, trust_remote_code=True)


@pytest.mark.parametrize(
    ("adapter", "returns", "kind"),
    [
        ("urm", "logits", "AutoModelForSequenceClassification"),
        ("worldpm", "first", "AutoModel"),
        ("ziya", "itself", "AutoModelForSequenceClassification"),
    ],
)
def test_the_models_own_score(adapter: str, returns: str, kind: str, tmp_path: Path, tiny: Any, upstream: Any) -> None:
    backbone, head = save(tmp_path, tiny, upstream, returns, kind)
    model = opened(tmp_path, adapter)
    assert model.facts.settings["remote_code"] is True
    assert model.facts.why.endswith("(the layout is unverified)")
    rows = model.encode(tiny.requests())
    wanted = [float(head[0] @ states[-1]) for states in upstream.states(backbone, rows)]
    for side in ("right", "left"):
        found = model.forward(tiny.batch(rows, model.pad_id, side))["reward"]
        assert found.shape == (len(rows), 1)
        assert found[:, 0].tolist() == pytest.approx(wanted, abs=2e-5)


def test_internlm2_ends_with_its_reward_token(tmp_path: Path, tiny: Any, upstream: Any) -> None:
    backbone, head = save(
        tmp_path, tiny, upstream, "first", architecture="InternLM2ForRewardModel", reward_token_id=399
    )
    model = opened(tmp_path, None)
    assert model.facts.settings["layout"] == "internlm2"
    rows = model.encode(tiny.requests())
    assert {row.ids[-1] for row in rows} == {399}
    wanted = [float(head[0] @ states[-1]) for states in upstream.states(backbone, rows)]
    assert model.forward(tiny.batch(rows, model.pad_id))["reward"][:, 0].tolist() == pytest.approx(wanted, abs=2e-5)


def test_a_model_that_takes_conversations(tmp_path: Path, tiny: Any, upstream: Any) -> None:
    backbone, head = save(tmp_path, tiny, upstream, "logits")
    model = opened(tmp_path, "ixc")
    asked = [*tiny.requests(5), tiny.request("x", render="raw")]
    rows = model.encode(asked)
    assert rows[5].error == "the model takes conversations, and the task gives raw text"
    found = model.forward(tiny.batch(rows[:5], model.pad_id))["reward"][:, 0]
    for request, score in zip(asked[:5], found, strict=True):
        answer = request.conversation[-1].text
        ids = model.text.tokenizer(answer, add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            state = backbone(input_ids=torch.tensor([ids])).last_hidden_state[0, -1]
        assert float(score) == pytest.approx(9 * float(head[0] @ state) + len(request.conversation), abs=1e-4)
    assert rows[0].key != rows[1].key
    with_tools = Request((Message.of_tools([{"name": "f"}]), *asked[0].conversation), 2)
    assert model.encode([with_tools])[0].error == "the model's own code takes conversations without tools"


class TestRefused:
    def test_nobody_said_to_trust_it(self, tmp_path: Path, tiny: Any, upstream: Any) -> None:
        save(tmp_path, tiny, upstream, "first", architecture="InternLM2ForRewardModel", reward_token_id=399)
        (tmp_path / "odd.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
        with pytest.raises(RmbenchError, match=r"Python files that lie in the checkpoint.*pass --trust-remote-code"):
            open_model(str(tmp_path))
        assert not (tmp_path / "ran").exists()

    def test_more_than_one_number(self, tmp_path: Path, tiny: Any, upstream: Any) -> None:
        save(tmp_path, tiny, upstream, "logits")
        code = CODE.replace("states[:, -1]", "states[0]")
        (tmp_path / "odd.py").write_text(code)
        with pytest.raises(RmbenchError, match=r"own code returned \[\d+, 1\], expected one score"):
            opened(tmp_path, "urm")

    def test_a_file_that_names_no_class(self, tmp_path: Path, tiny: Any, upstream: Any) -> None:
        save(tmp_path, tiny, upstream, "logits", kind="AutoModelForVision")
        with pytest.raises(
            RmbenchError, match='"auto_map" names AutoConfig, AutoModelForVision, expected one of AutoModel'
        ):
            opened(tmp_path, "urm")

    def test_a_head_dtype(self, tmp_path: Path, tiny: Any, upstream: Any) -> None:
        save(tmp_path, tiny, upstream, "logits")
        card = Card(name="x", family="scalar", layout="urm", head_dtype="float32", verified=False)
        with pytest.raises(RmbenchError, match="the head of a urm model is in its own code"):
            _open_checkpoint(Located(tmp_path, "x", None, card), OpenOptions(trust_remote_code=True))


@pytest.fixture(autouse=True)
def _own_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library copies remote files into a cache, which must not be the user's."""
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
