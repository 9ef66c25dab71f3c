"""Hostile checkpoints: each a copy of the bundled model with one thing changed."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.hostile.case import KINDS_OF_FILE, Case, in_turn, put
from tests.hostile.pickles import PICKLES
from tests.hostile.templates import TEMPLATES
from tests.hostile.tokenizers import TOKENIZERS

__all__ = ["CHECKPOINTS", "base"]

CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"
_FILES = (CONFIG, WEIGHTS, TOKENIZER, "tokenizer_config.json", "chat_template.jinja")
_HUGE = 10**9
_BUNDLED = Path(__file__).resolve().parents[2] / "rmbench" / "bundled" / "tiny-bt"


def base(folder: Path) -> Path:
    """A good checkpoint to spoil."""
    shutil.copytree(_BUNDLED, folder)
    return folder


def write(name: str, content: bytes | str) -> Callable[[Path], object]:
    data = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(data)


def config(**changes: Any) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        file = folder / CONFIG
        file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))

    return change


def without(*keys: str, **changes: Any) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        file = folder / CONFIG
        left = {key: value for key, value in json.loads(file.read_text()).items() if key not in keys}
        file.write_text(json.dumps({**left, **changes}))

    return change


def cut(name: str, share: float) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(len(content) * share)])

    return change


def flip(name: str, *places: int) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        for place in places:
            content[place] ^= 0x80
        (folder / name).write_bytes(content)

    return change


def header(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    """The weights with another header before the same data."""

    def changed(folder: Path) -> None:
        content = (folder / WEIGHTS).read_bytes()
        (length,) = struct.unpack("<Q", content[:8])
        entries = json.loads(content[8 : 8 + length])
        change(entries)
        text = json.dumps(entries).encode()
        (folder / WEIGHTS).write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])

    return changed


def entry(**changes: Any) -> Callable[[Path], object]:
    """The header of the head's tensor changed."""
    return header(lambda entries: entries["score.weight"].update(changes))


def lying_length(length: int) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        content = (folder / WEIGHTS).read_bytes()
        (folder / WEIGHTS).write_bytes(struct.pack("<Q", length) + content[8:])

    return change


def index(weight_map: Any) -> Callable[[Path], object]:
    """Shards by an index in place of one file."""

    def change(folder: Path) -> None:
        (folder / WEIGHTS).rename(folder / "model-00001-of-00001.safetensors")
        (folder / f"{WEIGHTS}.index.json").write_text(json.dumps({"weight_map": weight_map}))

    return change


def special(name: str, kind: str) -> Callable[[Path], object]:
    return lambda folder: put(folder / name, kind)


def sparse(name: str, size: int) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        with (folder / name).open("r+b") as stream:
            stream.truncate(size)

    return change


def to_itself(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.symlink_to(folder)


def nested(depth: int, opening: str = "[", closing: str = "]") -> str:
    return opening * depth + closing * depth


def clip(model: Any) -> Callable[[Path], object]:
    """The folder as one of open_clip's."""

    def change(folder: Path) -> None:
        (folder / CONFIG).unlink()
        (folder / WEIGHTS).rename(folder / "open_clip_model.safetensors")
        (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": model, "preprocess_cfg": {}}))

    return change


def adapter(content: str) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        (folder / WEIGHTS).unlink()
        (folder / "adapter_config.json").write_text(content)

    return change


_UNREAD = ("quantization_config", "auto_map", "is_encoder_decoder")
"""Keys that change nothing for a model whose class the library has and whose weights are plain."""
_WIDE = [_HUGE, _HUGE]

CHECKPOINTS: tuple[Case, ...] = (
    *(Case(f"{kind} as {name}", special(name, kind)) for name in _FILES for kind in KINDS_OF_FILE),
    *(Case(f"{name} cut at {share}", cut(name, share)) for name in _FILES[:3] for share in (0.01, 0.5, 0.99)),
    Case("weights of 7 bytes", write(WEIGHTS, b"\0" * 7)),
    Case("weights are a Git LFS pointer", write(WEIGHTS, "version https://git-lfs.github.com/spec/v1\nsize 5\n")),
    Case("header flipped", flip(WEIGHTS, 12, 40, 90)),
    Case("header length flipped", flip(WEIGHTS, 2)),
    Case("header of 2^63 bytes", lying_length(2**63)),
    Case("header of 1 byte", lying_length(1)),
    Case("header is the whole file", lying_length(1_214_672)),
    Case("header nested 100,000 times", write(WEIGHTS, struct.pack("<Q", 200_000) + nested(100_000).encode())),
    Case("header is a list", write(WEIGHTS, struct.pack("<Q", 2) + b"[]")),
    Case("header is empty", write(WEIGHTS, struct.pack("<Q", 2) + b"{}")),
    Case("shape of 1e18 elements", entry(shape=_WIDE)),
    Case("shape of 1e18 elements in empty data", entry(shape=_WIDE, data_offsets=[0, 0])),
    Case("shape beyond 64 bits", entry(shape=[10**30, 64])),
    Case("negative shape", entry(shape=[-1, -64])),
    Case("shape of text", entry(shape=["1", "64"])),
    Case("shape of fractions", entry(shape=[1.0, 64.0])),
    Case("shape is a number", entry(shape=64)),
    Case("two rows of a head", entry(shape=[64, 1])),
    Case("offsets beyond the file", entry(data_offsets=[0, 2**40])),
    Case("offsets turned round", entry(data_offsets=[256, 0])),
    Case("negative offsets", entry(data_offsets=[-256, 0])),
    Case("offsets of text", entry(data_offsets=["0", "256"])),
    Case("offsets that overlap", header(lambda entries: [e.update(data_offsets=[0, 256]) for e in entries.values()])),
    Case("unknown dtype", entry(dtype="F7")),
    Case("dtype is a number", entry(dtype=32)),
    Case("head of integers", entry(dtype="I32")),
    Case("head of booleans", entry(dtype="BOOL", data_offsets=[0, 64])),
    Case("weights hold no head", header(lambda entries: entries.pop("score.weight"))),
    Case("shard outside the folder", index({"score.weight": "../../model.safetensors"})),
    Case("shard that is not there", index({"score.weight": "model-00002-of-00002.safetensors"})),
    Case("index of numbers", index({"score.weight": 7})),
    Case("index is a list", index([])),
    Case("index of 1,000,000 shards", index({f"t{number}": f"s{number}" for number in range(1_000_000)})),
    Case("index is a device", in_turn(index({}), special(f"{WEIGHTS}.index.json", "zero"))),
    Case("index nested", in_turn(index({}), write(f"{WEIGHTS}.index.json", nested(100_000)))),
    Case(
        "1e9 shards by their names",
        lambda folder: (folder / WEIGHTS).rename(folder / f"model-1-of-{_HUGE}.safetensors"),
    ),
    Case("config nested 100,000 lists", write(CONFIG, nested(100_000))),
    Case("config nested 100,000 objects", write(CONFIG, nested(100_000, '{"a":', "}").replace(":}", ":0}"))),
    Case("config nested 900 deep", config(extra=json.loads(nested(900)))),
    Case("config of a million digits", write(CONFIG, '{"hidden_size": ' + "9" * 1_000_000 + "}")),
    Case("config of NaN", config(initializer_range=float("nan"), rms_norm_eps=float("nan"))),
    Case("config of infinite widths", config(hidden_size=float("inf"))),
    Case("config is no UTF-8", write(CONFIG, b'{"model_type": "ll\xff\xfeama"}')),
    Case("config in UTF-16", write(CONFIG, '{"model_type": "llama"}'.encode("utf-16"))),
    Case("config with a byte order mark and nothing", write(CONFIG, b"\xef\xbb\xbf")),
    Case("config is a list", write(CONFIG, "[1]")),
    Case("config is a text", write(CONFIG, '"llama"')),
    Case("config of 1 GB of blanks", in_turn(sparse(CONFIG, 2**30))),
    Case("config of 60 MB of lists", write(CONFIG, '{"x": [' + "[]," * 20_000_000 + "0]}")),
    *(
        Case(f"{key} = {value!s:.40}", config(**{key: value}), "rows" if key in _UNREAD else "refused")
        for key, value in (
            ("num_hidden_layers", _HUGE),
            ("num_hidden_layers", -1),
            ("num_hidden_layers", 0),
            ("num_hidden_layers", 10**30),
            ("num_hidden_layers", "many"),
            ("num_hidden_layers", 20_000),
            ("num_hidden_layers", 1.5),
            ("hidden_size", _HUGE),
            ("hidden_size", 0),
            ("hidden_size", None),
            ("intermediate_size", _HUGE),
            ("intermediate_size", 2**62),
            ("vocab_size", _HUGE),
            ("vocab_size", 10**15),
            ("vocab_size", -5),
            ("num_attention_heads", 0),
            ("num_attention_heads", _HUGE),
            ("num_key_value_heads", _HUGE),
            ("head_dim", _HUGE),
            ("model_type", "no-such-model"),
            ("model_type", ["llama"]),
            ("model_type", {"a": 1}),
            ("architectures", 7),
            ("architectures", [{"a": 1}]),
            ("architectures", [["LlamaForSequenceClassification"]]),
            ("hidden_act", "no_such_function"),
            ("hidden_act", 5),
            ("rope_parameters", {"rope_type": "no-such"}),
            ("rope_parameters", [1]),
            ("rope_parameters", {"rope_type": "yarn", "factor": "x", "rope_theta": 1}),
            ("quantization_config", {"quant_method": "no-such"}),
            ("quantization_config", {"quant_method": "bitsandbytes", "load_in_4bit": True}),
            ("auto_map", {"AutoModelForSequenceClassification": "evil.Model", "AutoConfig": "evil.Config"}),
            ("is_encoder_decoder", "yes"),
            ("pad_token_id", "x"),
        )
    ),
    Case("1e9 labels", without("id2label", "label2id", num_labels=_HUGE)),
    Case("labels are a list", config(id2label=[1, 2])),
    Case("labels by words", config(id2label={"x": "y"})),
    Case(
        "mixture of 1e9 experts",
        config(model_type="mixtral", num_local_experts=_HUGE, architectures=["MixtralForSequenceClassification"]),
    ),
    Case(
        "layers that the class loops over",
        config(model_type="gpt2", n_layer=_HUGE, architectures=["GPT2ForSequenceClassification"]),
    ),
    Case(
        "positions of another class",
        config(
            model_type="gpt_neo",
            max_position_embeddings=10**6,
            num_layers=1,
            attention_types=[[["global"], 1]],
            architectures=["GPTNeoForSequenceClassification"],
        ),
    ),
    Case(
        "attention types repeated 1e9 times",
        config(
            model_type="gpt_neo",
            num_layers=1,
            attention_types=[[["global"], _HUGE]],
            architectures=["GPTNeoForSequenceClassification"],
        ),
    ),
    Case("layer types of 3,000,000 layers", config(layer_types=["full_attention"] * 3_000_000)),
    Case(
        "nested text config", config(text_config={"num_hidden_layers": _HUGE, "vocab_size": _HUGE}, model_type="llava")
    ),
    Case("open_clip's towers of 1e9 layers", clip({"vision_cfg": {"layers": _HUGE}, "text_cfg": {}, "embed_dim": 8})),
    Case("open_clip's towers of 1e9 numbers", clip({"vision_cfg": {"width": _HUGE}, "text_cfg": {}, "embed_dim": 8})),
    Case("open_clip's configuration is a device", in_turn(clip({}), special("open_clip_config.json", "zero"))),
    Case("adapter config nested", adapter(nested(100_000))),
    Case("adapter config is a list", adapter("[]")),
    Case("adapter config is no UTF-8", in_turn(adapter(""), write("adapter_config.json", b"\xff"))),
    Case("adapter of a number", adapter('{"base_model_name_or_path": 5, "peft_type": ["x"]}')),
    Case("the folder is a link to itself", to_itself),
    Case(
        "remote code beside it",
        in_turn(
            config(auto_map={"AutoConfig": "evil.Config"}, model_type="evil"),
            write("evil.py", "open('/tmp/hostile-ran', 'w')"),
        ),
    ),
    *PICKLES,
    *TOKENIZERS,
    *TEMPLATES,
)
