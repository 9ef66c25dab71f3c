"""Checkpoints of PAL-A and PAL-B as upstream saves them, converted: rewards by upstream's own modules written out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from examples.convert_pal import convert
from rmbench import score_responses
from rmbench.models.families.scalar.declared import DeclaredScorer
from rmbench.models.families.scalar.two_texts import TwoTextScorer
from tests._make import encodes_alone, open_as
from tests.models import conftest as tiny
from tests.models.families.scalar import conftest as upstream

H, K = 32, 2
ANSWERS = ("This one.", "That one!", "Both of them", "x")


def projector(
    width: int, out: int, activation: type[nn.Module], layers: int = 2, *, bias: bool = True
) -> nn.Sequential:
    """Upstream's, of so many hidden layers."""
    steps: list[nn.Module] = []
    for k in range(layers):
        steps += [nn.Linear(width if k == 0 else out, out, bias=bias), nn.Dropout(0.5), activation()]
    return nn.Sequential(*steps, nn.Linear(out if layers else width, out, bias=bias))


class Pal(nn.Module):
    """The names of upstream's modules: a language model, f, prototypes and users' weights."""

    def __init__(self, out: int, activation: type[nn.Module], width: int) -> None:
        super().__init__()
        torch.manual_seed(5)
        learner = nn.Module()
        learner.llm = upstream.backbone()
        learner.projector = nn.Module()
        learner.projector.mlp = nn.Module()
        learner.projector.mlp.layers = projector(H, out, activation)
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
    with pytest.raises(SystemExit, match="is it one of PAL"):
        convert(tmp_path / "b.ckpt", base, tmp_path / "none", user="8")


class PalB(nn.Module):
    """The names of upstream's modules: a language model, f, projectors g of the prompt, and users' weights."""

    def __init__(self, llm: nn.Module, width: int, out: int, layers: int, *, bias: bool) -> None:
        super().__init__()
        torch.manual_seed(7)
        learner = nn.Module()
        learner.llm = llm
        learner.projector_f = nn.Module()
        learner.projector_f.mlp = nn.Module()
        learner.projector_f.mlp.layers = projector(width, out, nn.GELU, layers, bias=bias)
        learner.logit_scale = nn.Parameter(torch.tensor(2.5))
        learner.softmax_w = nn.Module()
        learner.softmax_w.temperature = nn.Parameter(torch.tensor([0.5]))
        learner.item_learner = nn.Module()
        learner.item_learner.llm, learner.item_learner.projector = llm, learner.projector_f
        learner.user_learner = nn.Module()
        learner.user_learner.llm, learner.user_learner.softmax = llm, learner.softmax_w
        learner.user_learner.W = nn.ParameterDict({uid: nn.Parameter(torch.randn(3)) for uid in ("7", "42")})
        learner.user_learner.projectors = nn.ModuleDict()
        for k in range(3):
            g = learner.user_learner.projectors[str(k)] = nn.Module()
            g.mlp = nn.Module()
            g.mlp.layers = projector(width, out, nn.GELU, layers, bias=bias)
        self.prefLearner = learner
        self.eval()

    @torch.no_grad()
    def reward(
        self, prompt: list[int], answer: list[int], shares: torch.Tensor, *, residual: bool, angle: bool
    ) -> float:
        """Upstream's reward of one answer, from the last states of the two texts."""
        learner: Any = self.prefLearner
        p, a = (learner.llm(input_ids=torch.tensor([ids])).last_hidden_state[0, -1] for ids in (prompt, answer))
        item = learner.projector_f.mlp.layers(a) + (a if residual else 0)
        points = [g.mlp.layers(p) + (p if residual else 0) for g in learner.user_learner.projectors.values()]
        user = sum(share * point for share, point in zip(shares, points, strict=True))
        if not angle:
            return -float(torch.linalg.norm(item - user))
        return float((item / item.norm() * user / user.norm()).sum() * min(float(learner.logit_scale.exp()), 100.0))


def opt() -> Any:
    """As OPT-350M is: its states are projected to another width than that of its layers."""
    import transformers

    torch.manual_seed(0)
    size = {"vocab_size": 400, "hidden_size": 24, "ffn_dim": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    projected = {"word_embed_proj_dim": H, "max_position_embeddings": 256, "do_layer_norm_before": False}
    return transformers.OPTModel(transformers.OPTConfig(**size, **projected, init_std=0.2)).eval()


def distilbert() -> Any:
    import transformers

    torch.manual_seed(0)
    size = {"vocab_size": 400, "dim": H, "hidden_dim": 64, "n_layers": 2, "n_heads": 4, "max_position_embeddings": 256}
    return transformers.DistilBertModel(transformers.DistilBertConfig(**size, initializer_range=0.2)).eval()


@pytest.mark.parametrize(
    ("llm", "encoder", "residual", "angle", "out", "layers", "bias"),
    [
        (opt, False, False, True, 12, 2, True),
        (distilbert, True, True, False, H, 1, False),
        (distilbert, True, False, True, 12, 0, True),
    ],
)
def test_pal_b_reads_prompt_and_answer_apart(
    tmp_path: Path, llm: Any, encoder: bool, residual: bool, angle: bool, out: int, layers: int, bias: bool
) -> None:
    from transformers import AutoTokenizer

    model = llm()
    pal = PalB(model, H, out, layers, bias=bias)
    torch.save({"state_dict": pal.state_dict(), "epoch": 0}, tmp_path / "b.ckpt")
    base = tmp_path / "base"
    tiny.save_tokenizer(base, encoder=encoder)
    upstream.write(base, model, type(model).__name__, {})
    end = "<|end|>"
    settings: Any = {"activation": "gelu", "residual": residual, "measure": "angle" if angle else "dist", "end": end}
    folder = convert(tmp_path / "b.ckpt", base, tmp_path / "made", user="42", **settings)
    tokens = AutoTokenizer.from_pretrained(base)
    shares = torch.softmax(pal.prefLearner.user_learner.W["42"] / 0.5, 0)  # type: ignore[union-attr,index]

    def wanted(prompt: str, answer: str, shares: torch.Tensor) -> float:
        asked, told = f"Human: {prompt} Assistant:{end}", f" {answer}{end}"
        read: Any = {"residual": residual, "angle": angle}
        return pal.reward(tokens(asked)["input_ids"], tokens(told)["input_ids"], shares, **read)

    for prompt in ("Which of them?", "Why, of all things that there are in the world?"):
        found = score_responses(str(folder), prompt, list(ANSWERS), device="cpu").rewards
        assert found == pytest.approx([wanted(prompt, answer, shares) for answer in ANSWERS], abs=1e-4)
    mixed = convert(tmp_path / "b.ckpt", base, tmp_path / "mixed", mixture=[0, 0.25, 0.75], **settings)
    found = score_responses(str(mixed), "Which?", list(ANSWERS), device="cpu").rewards
    assert found == pytest.approx([wanted("Which?", a, torch.tensor([0, 0.25, 0.75])) for a in ANSWERS], abs=1e-4)


def test_a_prompt_is_computed_once_and_texts_are_cut_at_their_end(tmp_path: Path) -> None:
    pal = PalB(distilbert(), H, 12, 1, bias=True)
    torch.save({"state_dict": pal.state_dict()}, tmp_path / "b.ckpt")
    base = tmp_path / "base"
    tiny.save_tokenizer(base, encoder=True)
    upstream.write(base, pal.prefLearner.llm, "DistilBertModel", {})
    folder = convert(tmp_path / "b.ckpt", base, tmp_path / "made", user="7", residual=False, max_length=12)
    model = open_as(TwoTextScorer, folder, model_args={"goal": "10"})
    requests = [tiny.request("Which of all of these is it?", answer) for answer in ANSWERS]
    rows = model.encode(requests)
    assert encodes_alone(model, requests)
    assert len({row.parts[0].key for row in rows}) == 1
    assert len({row.parts[1].key for row in rows}) == len({row.key for row in rows}) == len(ANSWERS)
    prompt, answer = rows[0].parts
    assert prompt.truncated
    assert (len(prompt.ids), prompt.ids[0], prompt.ids[-1], answer.ids[0]) == (12, tiny.CLS, tiny.SEP, tiny.CLS)
    told = [model.text.tokenizer.decode(part.ids, skip_special_tokens=True) for part in (prompt, answer)]
    assert told[0].startswith(" Answer")
    assert told[1].startswith(" This")
