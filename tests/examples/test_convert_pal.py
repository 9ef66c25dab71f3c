"""A checkpoint of PAL-A as upstream saves it, converted and opened: rewards by upstream's own modules written out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from examples.convert_pal import convert
from rmbench.models.families.scalar.declared import DeclaredScorer
from tests._make import open_as
from tests.models import conftest as tiny
from tests.models.families.scalar import conftest as upstream

H, K = 32, 2
ANSWERS = ("This one.", "That one!", "Both of them", "x")


class Pal(nn.Module):
    """The names of upstream's modules: a language model, f, prototypes and users' weights."""

    def __init__(self, out: int, activation: type[nn.Module], width: int) -> None:
        super().__init__()
        torch.manual_seed(5)
        learner = nn.Module()
        learner.llm = upstream.backbone()
        learner.projector = nn.Module()
        learner.projector.mlp = nn.Module()
        steps: list[nn.Module] = []
        for k in range(2):
            steps += [nn.Linear(H if k == 0 else out, out), nn.Dropout(0.5), activation()]
        learner.projector.mlp.layers = nn.Sequential(*steps, nn.Linear(out, out))
        learner.logit_scale = nn.Parameter(torch.tensor(2.0))
        learner.softmax_w = nn.Module()
        learner.softmax_w.temperature = nn.Parameter(torch.tensor([2.0]))
        learner.item_learner = nn.Module()
        learner.item_learner.llm = learner.llm  # the same module under a second name, as upstream has it
        learner.user_learner = nn.Module()
        learner.user_learner.P = nn.Parameter(torch.randn(K, width))
        learner.user_learner.W = nn.ParameterDict({uid: nn.Parameter(torch.randn(K)) for uid in ("7", "42")})
        self.prefLearner = learner
        self.eval()


@pytest.mark.parametrize(
    ("learner", "measure", "activation", "residual", "out"),
    [
        ("f(Pw)", "dist", "relu", True, H),
        ("f(P)w", "dist", "gelu", False, 12),
        ("Pw", "angle", "linear", False, 12),
    ],
)
def test_rewards_are_those_of_upstream(
    tmp_path: Path, learner: str, measure: str, activation: str, residual: bool, out: int
) -> None:
    act = {"relu": nn.ReLU, "gelu": nn.GELU, "linear": nn.Identity}[activation]
    pal: Any = Pal(out, act, out if learner == "Pw" else H)
    torch.save({"state_dict": pal.state_dict(), "epoch": 9}, tmp_path / "epoch=9.ckpt")
    base = tmp_path / "base"
    tiny.save_tokenizer(base)
    upstream.write(base, pal.prefLearner.llm, "LlamaModel", {})
    settings = {"learner": learner, "measure": measure, "activation": activation, "residual": residual, "end": ""}
    folder = convert(tmp_path / "epoch=9.ckpt", base, tmp_path / "made", user="42", **settings)  # type: ignore[arg-type]
    model = open_as(DeclaredScorer, folder)
    rows = model.encode([tiny.request("Which?", answer) for answer in ANSWERS])
    found = model.forward(tiny.batch(rows, model.pad_id))["reward"][:, 0].tolist()

    def f(x: torch.Tensor) -> torch.Tensor:
        moved = pal.prefLearner.projector.mlp.layers(x)
        return x + moved if residual else moved

    points = pal.prefLearner.user_learner.P
    w = torch.softmax(pal.prefLearner.user_learner.W["42"] / 2.0, 0)
    wanted = []
    with torch.no_grad():
        user = {"f(Pw)": lambda: f(w @ points), "f(P)w": lambda: w @ f(points), "Pw": lambda: w @ points}[learner]()
        for states in upstream.states(pal.prefLearner.llm, rows):
            item = f(states[-1])
            if measure == "dist":
                wanted.append(-float(torch.linalg.norm(item - user)))
            else:
                wanted.append(float((item / item.norm()) @ (user / user.norm()) * torch.tensor(2.0).exp()))
    assert found == pytest.approx(wanted, abs=1e-4)
    other = convert(tmp_path / "epoch=9.ckpt", base, tmp_path / "other", mixture=[0.25, 0.75], **settings)  # type: ignore[arg-type]
    mixed = open_as(DeclaredScorer, other)
    assert mixed.forward(tiny.batch(rows, model.pad_id))["reward"][:, 0].tolist() != pytest.approx(found, abs=1e-3)


def test_texts_are_upstreams_and_users_are_named(tmp_path: Path) -> None:
    pal = Pal(H, nn.ReLU, H)
    torch.save({"state_dict": pal.state_dict()}, tmp_path / "a.ckpt")
    base = tmp_path / "base"
    tiny.save_tokenizer(base)
    upstream.write(base, pal.prefLearner.llm, "LlamaModel", {})
    model = open_as(DeclaredScorer, convert(tmp_path / "a.ckpt", base, tmp_path / "made", user="7"))
    text = model.text.template.render(tiny.request("Which?", "That."))
    assert text == "Human: Which? Assistant: That.<|endoftext|>"
    with pytest.raises(SystemExit, match="has 42, 7"):
        convert(tmp_path / "a.ckpt", base, tmp_path / "none", user="8")
    torch.save({"state_dict": {}}, tmp_path / "b.ckpt")
    with pytest.raises(SystemExit, match="PAL-A"):
        convert(tmp_path / "b.ckpt", base, tmp_path / "none", user="8")
