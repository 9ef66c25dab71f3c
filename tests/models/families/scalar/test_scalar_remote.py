"""Models that bring their own Python files: only where the user trusts them, and by their own score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from rmbench.errors import RmbenchError
from rmbench.models.card import Card
from rmbench.models.families.scalar.remote import RemoteScorer
from rmbench.models.locate import Located
from rmbench.models.open import OpenOptions, _open_checkpoint, open_model
from rmbench.models.protocols import Request
from rmbench.types import Message, Part
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
        from PIL import Image

        ids = self.tokenizer(chat[-1]["content"], add_special_tokens=False)["input_ids"] or [0]
        seen = 0
        for number, name in enumerate(images):
            with Image.open(name) as picture:
                assert (picture.format, picture.mode) == ("PNG", "RGB"), picture
                seen += (number + 1) * sum(picture.getpixel((0, 0))) / 100
        return self(torch.tensor([ids])).logits * hd_num + seen + len(images) + len(chat)
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


def seeing(*parts: Part, answer: str = "Yes.") -> Request:
    return Request((Message("user", parts), Message.of("assistant", answer)), 1)


def picture(path: Path, colour: tuple[int, int, int]) -> Part:
    Image.new("RGBA" if path.suffix == ".png" else "RGB", (6, 4), colour).save(path)
    return Part("image", name=path.name, path=str(path))


def test_a_model_that_takes_conversations_is_shown_the_prompts_images(tmp_path: Path, tiny: Any, upstream: Any) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    save(folder, tiny, upstream, "logits")
    model = opened(folder, "ixc")
    assert model.facts.modalities == {"text", "image"}
    red, blue = picture(tmp_path / "red.png", (200, 0, 0)), picture(tmp_path / "blue.bmp", (0, 0, 100))
    text = Part(text="Which one?")
    asked = [seeing(text), seeing(red, text), seeing(red, text, blue), seeing(blue, text, red)]
    rows = model.encode(asked)
    assert len({row.key for row in rows}) == 4
    found = model.forward(tiny.batch(rows, model.pad_id))["reward"][:, 0].tolist()
    # each image counts 1, and its first pixel by its place
    assert [round(each - found[0], 4) for each in found] == pytest.approx([0, 3, 2 + 2 + 2, 2 + 1 + 4], abs=1e-3)
    same = model.encode([seeing(picture(tmp_path / "again.png", (200, 0, 0)), text)])
    assert same[0].key == rows[1].key


def test_what_such_a_model_cannot_be_shown(tmp_path: Path, tiny: Any, upstream: Any) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    save(folder, tiny, upstream, "logits")
    model = opened(folder, "ixc")
    red, text = picture(tmp_path / "red.png", (200, 0, 0)), Part(text="Which one?")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    broken = Part("image", name="broken.png", path=str(tmp_path / "broken.png"))
    rows = model.encode(
        [
            seeing(red, Part(text="See <ImageHere> first")),
            seeing(red, text, answer="<ImageHere>"),
            Request((Message("user", (text,)), Message("assistant", (red,))), 1),
            seeing(Part("video", name="a.mp4", path=str(tmp_path / "a.mp4")), text),
            seeing(Part("image", name="gone.png"), text),
            seeing(broken, text),
        ]
    )
    assert [row.error.partition(",")[0] for row in rows[:2]] == ["a text spells <ImageHere>"] * 2
    assert rows[2].error == "the answer shows an image, and the model is shown those of prompts"
    assert rows[3].error == "media_rejected: a.mp4: it is a video, and images alone are taken"
    assert rows[4].error == "media_rejected: image gone.png is not here"
    assert rows[5].error.startswith("media_rejected: broken.png")


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


STOCK = """
import torch
from transformers import LlamaConfig, LlamaModel, LlamaPreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutputWithPast

class OddConfig(LlamaConfig):
    model_type = "odd-stock"

class OddForSequenceClassification(LlamaPreTrainedModel):
    config_class = OddConfig

    def __init__(self, config):
        super().__init__(config)
        self.model = LlamaModel(config)
        self.score = torch.nn.Linear(config.hidden_size, config.num_labels, bias=False)
        self.post_init()

    def forward(self, input_ids=None, attention_mask=None, **given):
        states = self.model(input_ids=input_ids, attention_mask=attention_mask, **given).last_hidden_state
        return SequenceClassifierOutputWithPast(logits=self.score(states[:, -1]))
"""


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin", "reward.pt"])
def test_a_class_of_its_own_reads_what_wrappers_saved(prefix: str, file: str, tmp_path: Path, tiny: Any) -> None:
    tiny.checkpoint(tmp_path / "plain")
    folder = tiny.checkpoint(tmp_path / "odd")
    held = {prefix + name: tensor for name, tensor in load_file(folder / "model.safetensors").items()}
    (folder / "model.safetensors").unlink()
    if file.endswith(".safetensors"):
        save_file(held, folder / file, metadata={"format": "pt"})
    else:
        torch.save(held, folder / file)
    name = "OddForSequenceClassification"
    tiny.edit_json(
        folder / "config.json",
        model_type="odd-stock",
        architectures=[name],
        auto_map={"AutoConfig": "odd.OddConfig", "AutoModelForSequenceClassification": f"odd.{name}"},
    )
    (folder / "odd.py").write_text(STOCK)
    model: Any = open_model(str(folder), OpenOptions(device="cpu", trust_remote_code=True))
    rows = model.encode(tiny.requests(4))
    found = model.forward(tiny.batch(rows, tiny.PAD))["reward"][:, 0]
    assert found == pytest.approx(tiny.alone(tmp_path / "plain", rows), abs=2e-5)
