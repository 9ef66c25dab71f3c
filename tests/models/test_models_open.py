"""Names of models, and model cards."""

from __future__ import annotations

import subprocess
import sys
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rmbench import resources
from rmbench.errors import RmbenchError
from rmbench.models.card import Card, card_for, cards, load_card
from rmbench.models.checkpoint import hub, opening
from rmbench.models.checkpoint.hub import Download
from rmbench.models.open import OpenOptions, open_model
from rmbench.models.options import checked

MINIMAL = 'name = "some-model"\nhub = "org/Some-Model"\nfamily = "scalar"\nverified = false\n'


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Cards and bundled models of this test alone."""
    folder = tmp_path / "shelf" / "models"
    folder.mkdir(parents=True)
    (tmp_path / "bundled").mkdir()
    monkeypatch.setattr(resources, "leaderboards", lambda: folder.parent)
    monkeypatch.setattr(resources, "bundled_models", lambda: tmp_path / "bundled")
    return folder


def card(shelf: Path, text: str = MINIMAL, name: str = "some-model") -> Path:
    file = shelf / f"{name}.toml"
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("fake:orcale", r'expected one of oracle.*Did you mean "oracle"'),
        ("baseline:lenght", r'Did you mean "length"'),
        ("some_modle", r'Did you mean "some-model"'),
        ("fakes", "is no folder, bundled model, model card or hub id"),
        ("org/name/more", "there is no such folder"),
        ("./nowhere/at/all", "there is no such folder"),
        ("", "is no folder"),
        ("scores:nowhere.jsonl", "does not exist"),
        ("org/x@main", r"contradicts org/x@main"),
    ],
)
def test_names_that_mean_nothing(spec: str, message: str, shelf: Path) -> None:
    card(shelf)
    with pytest.raises(RmbenchError, match=message):
        open_model(spec, OpenOptions(revision="other" if "@" in spec else None))


def test_the_hub_is_out_of_reach(shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card(shelf)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "empty"))
    for spec in ("org/Some-Model", "some_model"):
        with pytest.raises(RmbenchError, match=r"org/Some-Model .*cannot be reached.*`--model ./Some-Model`"):
            open_model(spec)


class TestDownload:
    """What the hub client says, in our words; the hub itself is a stand-in."""

    @pytest.mark.parametrize(
        ("kind", "message"),
        [
            ("GatedRepoError", "org/x is gated: accept its terms"),
            ("RevisionNotFoundError", "org/x has no revision 'v9'"),
            ("RepositoryNotFoundError", "The hub has no model 'org/x'"),
            ("HfHubHTTPError", "cannot be reached"),
        ],
    )
    def test_refusals(self, kind: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
        from huggingface_hub import errors

        def refuse(*arguments: Any, **options: Any) -> str:
            error = getattr(errors, kind)
            raise error.__new__(error)  # its own constructor wants a response of the HTTP client in use

        monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
        with pytest.raises(RmbenchError, match=message):
            hub.download("org/x", "v9")

    def test_torch_files_only_where_there_is_no_safetensors(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[list[str]] = []

        def snapshot(name: str, *, revision: str | None, allow_patterns: list[str]) -> str:
            asked.append(allow_patterns)
            return str(tmp_path)

        monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
        assert hub.download("org/x", None).commit == tmp_path.name
        assert ["*.safetensors" in patterns for patterns in asked] == [False, True, False]
        (tmp_path / "model.safetensors").touch()
        hub.download("org/x", None, code=True)
        assert len(asked) == 5
        code = [any(pattern.endswith(".py") for pattern in patterns) for patterns in asked]
        assert code == [False, False, False, True, True]

    def test_of_a_pipeline_the_parts_that_are_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        shelf = (
            *("model_index.json", "scheduler/scheduler_config.json", "tokenizer/vocab.json", "tokenizer/merges.txt"),
            *("unet/config.json", "unet/diffusion_pytorch_model.safetensors", "unet/diffusion_pytorch_model.bin"),
            *("unet/diffusion_pytorch_model.fp16.safetensors", "unet/diffusion_pytorch_model.non_ema.safetensors"),
            *("text_encoder/config.json", "text_encoder/model-00001-of-00002.safetensors"),
            *("text_encoder/model-00002-of-00002.safetensors", "text_encoder/model.safetensors.index.json"),
            *("text_encoder/model.fp16-00001-of-00002.safetensors", "text_encoder/pytorch_model.bin"),
            *("vae/config.json", "vae/diffusion_pytorch_model.bin", "vae/diffusion_pytorch_model.fp16.bin"),
            *("safety_checker/config.json", "safety_checker/model.safetensors", "whole.safetensors", "whole.ckpt"),
        )
        commit, asked = "c" * 40, []

        def snapshot(name: str, *, revision: str | None, allow_patterns: list[str]) -> str:
            asked.append(revision)
            for file in shelf:
                if any(fnmatch(file, pattern) for pattern in allow_patterns):  # as the hub's client matches them
                    (tmp_path / commit / file).parent.mkdir(parents=True, exist_ok=True)
                    (tmp_path / commit / file).touch()
            return str(tmp_path / commit)

        monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
        found = hub.download("org/x", "main")
        assert asked == ["main", commit, commit]  # of one commit, whatever becomes of the branch meanwhile
        files = {str(file.relative_to(found.folder)) for file in found.folder.rglob("*") if file.is_file()}
        assert {name for name in files if not name.endswith((".json", ".txt"))} == {
            "unet/diffusion_pytorch_model.safetensors",
            "text_encoder/model-00001-of-00002.safetensors",
            "text_encoder/model-00002-of-00002.safetensors",
            "vae/diffusion_pytorch_model.bin",
        }


class TestResolved:
    """Which checkpoint and which card a name leads to."""

    @pytest.fixture
    def downloads(self, monkeypatch: pytest.MonkeyPatch, llama: Path) -> list[Any]:
        asked: list[Any] = []

        def download(
            name: str, revision: str | None, *, code: bool = False, weights: str | None = None, **_: Any
        ) -> Download:
            asked.append((name, revision, code))
            return Download(llama, "c" * 40)

        monkeypatch.setattr(hub, "download", download)
        return asked

    def test_a_hub_id(self, shelf: Path, downloads: list[Any]) -> None:
        facts = open_model("org/model@v1.0").facts
        assert downloads == [("org/model", "v1.0", False)]
        assert (facts.name, facts.revision) == ("org/model", "c" * 40)
        assert facts.license is None

    def test_a_hub_id_with_a_card(self, shelf: Path, downloads: list[Any]) -> None:
        card(
            shelf, MINIMAL + 'revision = "abc"\nlicense = "MIT"\nbos = "double"\ntrained_on = ["x"]\nmax_length = 33\n'
        )
        facts = open_model("Org/some-model").facts
        assert downloads == [("Org/some-model", "abc", False)]
        assert (facts.license, facts.trained_on) == ("MIT", ("x",))
        assert (facts.settings["bos"], facts.settings["max_length"]) == ("double", 33)
        assert open_model("some_model", OpenOptions(max_length=40)).facts.settings["max_length"] == 40
        open_model("some-model", OpenOptions(revision="def", trust_remote_code=True))
        assert downloads[-1] == ("org/Some-Model", "def", True)

    def test_a_card_of_another_family(self, shelf: Path, downloads: list[Any]) -> None:
        card(shelf, MINIMAL.replace("scalar", "gpm"))
        with pytest.raises(
            RmbenchError, match=r'some-model.toml: key "family" says "gpm", but the checkpoint is scalar'
        ):
            open_model("some-model")

    def test_a_folder_and_a_bundled_model(
        self, shelf: Path, tmp_path: Path, tiny: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tiny.checkpoint(tmp_path / "bundled" / "small-one")
        card(shelf, 'name = "small-one"\nfamily = "scalar"\nflags = ["demo"]\nverified = true\n', "small-one")
        assert open_model("small_one").facts.flags == ("demo",)
        assert open_model(str(tmp_path / "bundled" / "small-one")).facts.flags == ()
        (tmp_path / "here" / "small-one").mkdir(parents=True)
        monkeypatch.chdir(tmp_path / "here")
        assert open_model("small-one").facts.flags == ("demo",)  # a name of ours; ./small-one is the folder
        with pytest.raises(RmbenchError, match=r"config\.json does not exist"):
            open_model("./small-one")

    def test_a_bundled_model_that_is_not_here(self, shelf: Path) -> None:
        card(shelf, 'name = "small-one"\nfamily = "scalar"\nverified = true\n', "small-one")
        with pytest.raises(RmbenchError, match="is not bundled in this installation"):
            open_model("small-one")


class TestCards:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (MINIMAL + 'licence = "MIT"\n', r'some-model.toml: licence: unknown key.*Did you mean "license"'),
            (MINIMAL + 'bos = "on"\n', r'toml: bos: .*Did you mean "one"'),
            (MINIMAL + "max_length = 0\n", "toml: max_length: "),
            (MINIMAL + 'max_length = "1"\n', "toml: max_length: "),
            (MINIMAL + 'trained_on = "x"\n', "toml: trained_on: expected a list"),
            (MINIMAL.replace("false", '"no"'), "toml: verified: expected true or false"),
            (MINIMAL.replace("verified = false\n", ""), "toml: verified: this key is missing"),
            (MINIMAL.replace("org/Some-Model", "Some-Model"), "toml: hub: "),
            (MINIMAL.replace("some-model", "other-model"), 'must be the file\'s name, "some-model"'),
            (MINIMAL + 'path = "/etc/passwd"\n', "toml: path: unknown key"),
            ("name = ", "is not TOML"),
        ],
    )
    def test_a_wrong_card(self, text: str, message: str, shelf: Path) -> None:
        with pytest.raises(RmbenchError, match=message):
            load_card(card(shelf, text))

    def test_two_cards_for_one_model(self, shelf: Path) -> None:
        card(shelf)
        card(shelf, MINIMAL.replace("some-model", "some-other").replace("org", "ORG"), "some-other")
        with pytest.raises(RmbenchError, match="has a card already"):
            cards()

    def test_a_template_in_a_card(self, shelf: Path) -> None:
        text = '"""{% for m in messages %}{{ m.content }}\n{% endfor %}"""'
        assert load_card(card(shelf, MINIMAL + f"template = {text}\n")).template.startswith("{% for")

    def test_the_cards_that_travel_with_the_package(self) -> None:
        known = cards()
        assert list(known) == sorted(known)
        assert len(known) >= 7
        assert known["tiny-bt"].flags == ("demo",)
        assert "hh-harmless" in known["tiny-bt"].trained_on
        assert all(one.hub or one.flags for one in known.values())
        assert all(not one.verified for one in known.values() if one.hub)
        assert card_for("skywork/skywork-reward-v2-qwen3-0.6b") == known["skywork-reward-v2-qwen3-0.6b"]

    def test_arguments_of_the_command_line_are_keys_of_the_card(self) -> None:
        assert set(opening.CARD_ARGS) < set(Card.model_fields)


def test_listing_models_loads_no_torch() -> None:
    code = (
        "import sys; from rmbench.models.card import cards; from rmbench.models.open import open_model; cards();"
        "open_model('fake:oracle'); open_model('baseline:length');"
        "sys.exit(','.join({'torch', 'transformers', 'pandas', 'datasets'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def plain(conversations: list[Any]) -> list[float]:
    return [0.0 for _ in conversations]


class Reward:
    def __call__(self, conversations: list[Any]) -> list[float]:
        return plain(conversations)


NAMELESS = lambda conversations: plain(conversations)  # noqa: E731


@pytest.mark.parametrize(
    ("function", "given", "name"),
    [
        (plain, None, "plain"),
        (plain, " mine ", "mine"),
        (partial(partial(plain)), None, "plain"),
        (Reward(), None, "Reward"),
        (NAMELESS, "mine", "mine"),
        (partial(NAMELESS), "org/mine", "org/mine"),
    ],
)
def test_a_function_is_called_by_its_own_name_or_the_given_one(function: Any, given: str | None, name: str) -> None:
    assert open_model(function, OpenOptions(name=given)).facts.name == name


@pytest.mark.parametrize("function", [NAMELESS, partial(NAMELESS)])
def test_a_lambda_needs_a_name(function: Any) -> None:
    with pytest.raises(RmbenchError, match=r'A lambda has no name.*name="mine"'):
        open_model(function)


@pytest.mark.parametrize("name", ["", "  "])
def test_a_name_says_something(name: str) -> None:
    with pytest.raises(RmbenchError, match="name must say something"):
        open_model(plain, OpenOptions(name=name))


@pytest.mark.parametrize("model", ["tiny-bt", "scores:file", open_model(plain)])
def test_what_has_a_name_is_given_no_other(model: Any) -> None:
    with pytest.raises(RmbenchError, match=r"name='mine' is for a Python function; .* has a name of its own"):
        open_model(model, OpenOptions(name="mine"))


class TestDtype:
    @pytest.mark.parametrize("spelled", ["bf16", "BF16", "torch.bfloat16", "bfloat16"])
    def test_other_spellings_are_one_model(self, spelled: str) -> None:
        given = checked(OpenOptions, {"dtype": spelled, "device": "cpu"}, "run")
        facts = open_model("tiny-bt", given).facts
        assert given.variant == "+dtype=bfloat16"
        assert facts.settings["dtype"] == "bfloat16"
        assert facts.fingerprint == open_model("tiny-bt", OpenOptions(dtype="bfloat16", device="cpu")).facts.fingerprint

    @pytest.mark.parametrize(
        ("spelled", "name"),
        [("fp16", "float16"), ("half", "float16"), ("fp32", "float32"), ("float", "float32"), ("auto", "auto")],
    )
    def test_each_has_one_name(self, spelled: str, name: str) -> None:
        assert checked(OpenOptions, {"dtype": spelled}, "run").dtype == name

    def test_torchs_own(self) -> None:
        import torch

        assert checked(OpenOptions, {"dtype": torch.float16}, "run").dtype == "float16"

    def test_the_heads(self) -> None:
        facts = [
            open_model("tiny-bt", OpenOptions(device="cpu", model_args={"head_dtype": name})).facts
            for name in ("bf16", "bfloat16")
        ]
        assert facts[0] == facts[1]
        assert facts[0].revision.endswith("+head_dtype=bfloat16")

    @pytest.mark.parametrize("wrong", ["bf17", "int8", 16, None])
    def test_anything_else(self, wrong: object) -> None:
        with pytest.raises(RmbenchError, match=r"dtype must be one of auto, float32, bfloat16, float16, not"):
            checked(OpenOptions, {"dtype": wrong}, "run")
