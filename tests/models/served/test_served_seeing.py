"""A vision-language reward model behind `/classify`: what is sent, what is not, and the folder of its server."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from rmbench.engine.judge import judge
from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.read import read_checkpoint
from rmbench.models.open import OpenOptions, open_model
from rmbench.models.protocols import Encoded, Request
from rmbench.models.served.classifier_folder import write_classifier
from rmbench.models.served.seeing import ServedVisionScorer
from rmbench.types import Candidate, Edge, Example, Gold, Message, Part
from tests.models.families.vl import conftest as vl

EXACT = 1e-5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reward model on Qwen2-VL."""
    found = tmp_path_factory.mktemp("served") / "vl-rm"
    vl.save(found, "qwen2-vl", {"score.weight": vl.linear_head()})
    return found


@pytest.fixture(scope="module")
def ours(folder: Path) -> Any:
    """The same in this process."""
    return open_model(str(folder), OpenOptions(device="cpu"))


class Pooling:
    """The pooling endpoints of a checkpoint, which read messages by decoding the images that were sent."""

    def __init__(self, stubs: Any, ours: Any, folder: Path, *, more: int = 0) -> None:
        self.stubs, self.ours, self.folder = stubs, ours, folder
        self.more = more
        """Tokens that it reads beyond those of a row with an image; a wrong size of images."""

    def __call__(self, call: Any) -> Any:
        if call.path == "/v1/models":
            return self.stubs.Answer({"data": [{"id": "rm", "max_model_len": 4096}]})
        rows = [self._row(call.body)] if "messages" in call.body else list(map(self._bare, call.body.get("input", ())))
        count = sum(len(row.ids) for row in rows) + self.more
        if call.path == "/tokenize":
            return self.stubs.Answer({"count": count, "tokens": list(rows[0].ids) + [0] * self.more})
        logits = [float(self.ours.forward(vl.batch([row]))["reward"][0, 0]) for row in rows]
        raw = not call.body["use_activation"]
        values = [value if raw else 1 / (1 + math.exp(-value)) for value in logits]
        data = [{"index": n, "label": "LABEL_0", "probs": [value], "num_classes": 1} for n, value in enumerate(values)]
        return self.stubs.Answer({"data": data, "usage": {"prompt_tokens": count, "total_tokens": count}})

    def _bare(self, ids: list[int]) -> Encoded:
        return Encoded(key=str(ids), size=len(ids), ids=tuple(ids))

    def _row(self, body: Any) -> Encoded:
        assert (body["add_generation_prompt"], body["add_special_tokens"]) == (False, False)
        messages = []
        for number, message in enumerate(body["messages"]):
            parts = []
            for place, part in enumerate(message["content"]):
                if part["type"] == "text":
                    parts.append(Part(text=part["text"]))
                    continue
                url = part["image_url"]["url"]
                assert url.startswith("data:image/png;base64,")
                file = self.folder / f"{number}-{place}.png"
                file.write_bytes(base64.b64decode(url.partition(",")[2]))
                parts.append(Part("image", name=file.name, path=str(file)))
            messages.append(Message(message["role"], tuple(parts)))
        (row,) = self.ours.encode([Request(tuple(messages), 1)])
        assert not row.error
        return row


@pytest.fixture
def opened(stubs: Any, serve: Any, folder: Path, ours: Any, tmp_path: Path) -> Iterator[Any]:
    models: list[ServedVisionScorer] = []

    def make(**more: Any) -> tuple[ServedVisionScorer, Any]:
        stub = serve(Pooling(stubs, ours, tmp_path, **more))
        model = open_model(f"served:{folder}", OpenOptions(base_url=(stub.url,)))
        assert isinstance(model, ServedVisionScorer)
        models.append(model)
        return model, stub

    yield make
    for model in models:
        model.close()


@pytest.fixture
def rows(tmp_path: Path) -> list[Example]:
    """Of one image, two, and none."""
    sizes = {"square": (60, 60), "wide": (150, 60)}
    square, wide = (vl.picture(tmp_path / f"{name}.png", n, size) for n, (name, size) in enumerate(sizes.items()))
    prompts: tuple[list[Any], ...] = ([square, "Is it red?"], ["Which? ", wide, square], ["Why? <|image_pad|>"])
    gold = Gold((Edge(0, 1),))
    answers = (["Yes, a red disc."], ["No."])
    return [replace(vl.example(str(n), prompt, *answers), gold=gold) for n, prompt in enumerate(prompts)]


def test_rewards_are_those_of_this_process_and_rows_with_images_are_messages(
    opened: Any, ours: Any, rows: list[Example]
) -> None:
    model, stub = opened()
    there, here = judge("t", rows, model), judge("t", rows, ours)
    for one, other in zip(there.judgments, here.judgments, strict=True):
        assert one.status == "ok", one.error
        assert one.rewards == pytest.approx(other.rewards, abs=EXACT)
    bodies = [call.body for call in stub.calls if call.path == "/classify"]
    marks = set(ours.text.pictures.marks)
    assert sum("messages" in body for body in bodies) == 4
    assert not [ids for body in bodies for ids in body.get("input", ()) if marks & set(ids)]
    assert model.facts.settings["transport"] == "png"
    assert model.facts.modalities == {"text", "image"}


def test_a_server_that_reads_images_otherwise_is_refused(opened: Any) -> None:
    with pytest.raises(
        RmbenchError, match=r"reads a row with an image otherwise than this process does \(50 and 49 tokens"
    ):
        opened(more=1)


def test_a_row_of_which_the_server_reads_other_tokens_fails_alone(opened: Any, rows: list[Example]) -> None:
    model, _ = opened()
    row = model.text._row

    def longer(request: Any, number: int) -> Encoded:
        found: Encoded = row(request, number)
        wide = len(found.payload.places) == 2  # type: ignore[attr-defined]
        return replace(found, ids=(*found.ids, 0), size=found.size + 1) if wide else found

    vars(model.text)["_row"] = longer  # of this encoder alone: the stub has one of its own
    first, second, third = judge("t", rows, model).judgments
    assert (first.status, second.status, third.status) == ("ok", "failed", "ok")
    assert "the server read " in second.error
    assert "images included" in second.error


def test_rows_that_cannot_be_sent_say_why(opened: Any, rows: list[Example]) -> None:
    model, _ = opened()
    forged = replace(rows[0], candidates=(Candidate.of("<|image_pad|>"), rows[0].candidates[1]))
    many = replace(rows[0], id="many", prompt=(Message("user", rows[0].prompt[0].parts[:1] * 33),))
    calls = Message("user", rows[0].prompt[0].parts, (("name", '"Ann"'),))
    named = replace(rows[0], id="named", prompt=(calls,))
    found = [judge("t", [one], model).judgments[0].error for one in (forged, many, named)]
    assert "its text spells a special token, which a server reads as one where images are sent" in found[0]
    assert "it shows more than 32 images" in found[1]
    assert "tools and further keys of messages are not sent with images" in found[2]


@pytest.mark.parametrize(("kind", "named"), [("qwen2-vl", "language_model.score.weight"), ("qwen3-vl", "score.weight")])
def test_the_servers_folder_has_the_head_as_vllm_wants_it(kind: str, named: str, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    weight = vl.linear_head()
    folder, tmp_path = tmp_path / "own", tmp_path / "served"
    tmp_path.mkdir()
    vl.save(folder, kind, {"reward.weight": weight})
    write_classifier(read_checkpoint(folder), 2 * weight, "reward", tmp_path)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())["weight_map"]
    stored = {name: tensor for file in set(index.values()) for name, tensor in load_file(tmp_path / file).items()}
    before = load_file(folder / "model.safetensors")
    assert set(stored) == set(index) == {*before, named} - {"reward.weight"}
    assert torch.equal(stored[named], 2 * weight)
    assert all(torch.equal(stored[name], before[name]) for name in before if name != "reward.weight")
    config = json.loads((tmp_path / "config.json").read_text())
    assert (config["num_labels"], config["id2label"]) == (1, {"0": "LABEL_0"})
    assert (tmp_path / "tokenizer.json").is_symlink()


def test_a_head_in_a_file_of_its_own_leaves_the_others_as_they_are(tmp_path: Path) -> None:
    head = {"v_head.summary.weight": vl.linear_head(), "v_head.summary.bias": torch.tensor([0.5])}
    vl.save(tmp_path / "rm", "qwen2.5-vl", head, file="value_head.safetensors")
    (tmp_path / "view").mkdir()
    write_classifier(read_checkpoint(tmp_path / "rm"), vl.linear_head(), "v_head.summary", tmp_path / "view")
    assert (tmp_path / "view" / "model.safetensors").is_symlink()
    assert not (tmp_path / "view" / "value_head.safetensors").exists()


@pytest.mark.parametrize(
    "kind, head, file, why",
    [
        ("idefics3", {"score.weight": (1, 64)}, None, "a server's scores of idefics3 models are not known to be right"),
        ("qwen2-vl", {"score.weight": (2, 64)}, None, r"score\.weight is \[2, 64\]; a scalar reward model has one"),
        (
            "qwen2-vl",
            {"rm_head.weight": (1, 64)},
            None,
            "a model of the layout videoreward is more than one linear layer at the last token",
        ),
    ],
)
def test_what_a_server_would_compute_otherwise_is_refused_before_it_is_asked(
    kind: str, head: dict[str, tuple[int, int]], file: str | None, why: str, tmp_path: Path
) -> None:
    vl.save(tmp_path / "rm", kind, {name: torch.ones(shape) for name, shape in head.items()}, file=file)
    with pytest.raises(RmbenchError, match=why):
        open_model(f"served:{tmp_path / 'rm'}", OpenOptions(base_url=("http://127.0.0.1:9",)))


def test_a_judges_setting_is_refused(folder: Path) -> None:
    options = OpenOptions(model_args={"protocol": "vision-pair"})
    with pytest.raises(RmbenchError, match="is a reward model, and that is a setting of judges"):
        open_model(f"vllm:{folder}", options)
