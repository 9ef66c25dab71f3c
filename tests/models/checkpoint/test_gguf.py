"""GGUF files, written by gguf itself, against transformers' own forward."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.gguf_header import read_header
from rmbench.models.checkpoint.torchvision_ops import declare_missing_operators
from rmbench.models.introspect import tokenizer_of
from rmbench.models.open import OpenOptions, open_model

declare_missing_operators()
gguf = pytest.importorskip("gguf")
pytestmark = pytest.mark.filterwarnings("ignore")  # transformers' remarks on its reader
SIZE = {"vocab_size": 400, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
HEADS, SHARED = 4, 2


def interleaved(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows of a query's or key's weight in llama.cpp's order: the halves of each head take turns."""
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).transpose(1, 2).reshape(rows, columns)


def plain_model(folder: Path, tiny: SimpleNamespace) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    more = {"initializer_range": 0.2, "max_position_embeddings": 128, "num_key_value_heads": SHARED}
    model = LlamaForCausalLM(LlamaConfig(**SIZE, num_attention_heads=HEADS, tie_word_embeddings=False, **more)).eval()
    model.save_pretrained(folder)
    tiny.save_tokenizer(folder, bos=False)
    return model


def write_gguf(file: Path, model: Any, tokenizer: Path, kind: str, template: str | None, split: str = "") -> Path:
    """The model in one file, as llama.cpp's converter lays it out."""
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_name("tiny")
    writer.add_context_length(128)
    writer.add_embedding_length(32)
    writer.add_block_count(2)
    writer.add_feed_forward_length(64)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(SHARED)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(400)
    data = json.loads((tokenizer / "tokenizer.json").read_text())
    vocabulary = data["model"]["vocab"] | {each["content"]: each["id"] for each in data["added_tokens"]}
    special = {each["content"] for each in data["added_tokens"]}
    tokens = [*sorted(vocabulary, key=vocabulary.get), *(f"unused {n}" for n in range(400 - len(vocabulary)))]
    writer.add_tokenizer_model("gpt2")
    if split:
        writer.add_tokenizer_pre(split)
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in special else 1 for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in data["model"]["merges"]])
    writer.add_eos_token_id(vocabulary["<|end|>"])
    writer.add_pad_token_id(vocabulary["<|pad|>"])
    if template:
        writer.add_chat_template(template)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, 2)
    quantised = getattr(gguf.GGMLQuantizationType, kind)
    for name, tensor in model.state_dict().items():
        heads = {"q_proj": HEADS, "k_proj": SHARED}.get(name.split(".")[-2])
        array = (interleaved(tensor, heads) if heads else tensor).numpy()
        of_file = quantised if array.ndim == 2 else gguf.GGMLQuantizationType.F32
        stored = gguf.quantize(array, of_file)
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), stored, raw_dtype=of_file)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


@pytest.fixture
def made(tmp_path: Path, tiny: SimpleNamespace) -> SimpleNamespace:
    model = plain_model(tmp_path / "plain", tiny)

    def write(name: str, kind: str = "Q8_0", template: str | None = tiny.CHAT, split: str = "") -> Path:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        return write_gguf(tmp_path / name, model, tmp_path / "plain", kind, template, split)

    return SimpleNamespace(model=model, plain=tmp_path / "plain", write=write)


def opened(path: Path, **options: Any) -> Any:
    return open_model(str(path), OpenOptions(device="cpu", adapter="implicit", **options))


def logits(model: Any, rows: Any) -> list[torch.Tensor]:
    with torch.no_grad():
        return [model(input_ids=torch.tensor([row.ids])).logits[0] for row in rows]


class TestRead:
    @pytest.mark.parametrize("kind", ["F32", "F16", "Q8_0", "Q4_1"])
    def test_logits_are_those_of_transformers(self, kind: str, made: SimpleNamespace, tiny: SimpleNamespace) -> None:
        from transformers import AutoModelForCausalLM

        file = made.write("tiny.gguf", kind)
        model = opened(file)
        rows = model.encode(tiny.requests(4))
        theirs = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32).eval()
        ours = logits(model.policy.model, rows)
        for one, other, plain in zip(ours, logits(theirs, rows), logits(made.model, rows), strict=True):
            assert torch.allclose(one, other, atol=1e-5)
            near = {"F32": 1e-4, "F16": 0.1, "Q8_0": 0.3, "Q4_1": 3.0}[kind]
            assert float((one - plain).abs().max()) < near
        assert model.facts.settings["quantisation"] == f"GGUF {kind}"
        assert model.facts.why.endswith(f"tiny.gguf is dequantised from {kind}")

    def test_the_rewards_are_those_of_the_plain_folder(self, made: SimpleNamespace, tiny: SimpleNamespace) -> None:
        """Unquantised, with its tokenizer and template out of the file."""
        found = []
        for path in (made.write("tiny.gguf", "F32"), made.plain):
            model = opened(path)
            rows = model.encode(tiny.requests(6))
            found.append([float(one) for one in model.forward(tiny.batch(rows, tiny.PAD))["reward"][:, 0]])
        assert found[0] == pytest.approx(found[1], abs=1e-3)
        assert len(set(found[0])) > 3

    @pytest.mark.parametrize(
        ("split", "pieces"),
        [
            ("", ["a", "\n", "\n", "12", " b"]),
            ("gpt-2", ["a", "\n", "\n", "12", " b"]),
            ("smollm", ["a", "\n\n", "1", "2", " b"]),
            ("starcoder", ["a", "\n\n", "1", "2", " b"]),
            ("llama-bpe", ["a", "\n\n", "12", " b"]),
            ("no-such", ["a", "\n", "\n", "12", " b"]),
        ],
    )
    def test_text_is_split_as_the_file_says(self, made: SimpleNamespace, split: str, pieces: list[str]) -> None:
        """By llama.cpp's names; digits apart make an end of what stands before them, so that line breaks are one."""
        notes: list[str] = []
        model = opened(made.write("tiny.gguf", "F32", split=split), note=notes.append)
        splitter = tokenizer_of(model).backend_tokenizer.pre_tokenizer
        text = "a\n\n12 b"
        assert [text[start:end] for _, (start, end) in splitter.pre_tokenize_str(text)] == pieces
        assert [("'no-such', which is unknown here" in line) for line in notes if "splits text" in line] == (
            [True] if split == "no-such" else []
        )

    def test_a_folder_with_one(self, made: SimpleNamespace) -> None:
        file = made.write("folder/tiny.gguf")
        by_folder, by_file = opened(file.parent), opened(file)
        assert (by_folder.facts.name, by_file.facts.name) == ("folder", "tiny")
        assert by_folder.facts.fingerprint == by_file.facts.fingerprint
        made.write("folder/other.gguf", "F16")
        with pytest.raises(RmbenchError, match=r"2 GGUF files \(other\.gguf, tiny\.gguf\): name one, --model .*other"):
            opened(file.parent)
        assert opened(file).facts.fingerprint == by_file.facts.fingerprint
        assert opened(file.parent / "other.gguf").facts.fingerprint != by_file.facts.fingerprint

    def test_as_a_reference(self, made: SimpleNamespace) -> None:
        file, reference = made.write("tiny.gguf", "Q4_1"), made.write("other.gguf", "F16")
        model = opened(file, ref_model=str(reference))
        assert str(model.facts.settings["reference"]).startswith("other@")
        assert model.facts.settings["quantisation"] == "GGUF Q4_1"

    def test_no_template(self, made: SimpleNamespace) -> None:
        with pytest.raises(RmbenchError, match="template"):
            opened(made.write("tiny.gguf", template=None))

    def test_gguf_is_not_installed(self, made: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
        import sys

        file = made.write("tiny.gguf")
        monkeypatch.setitem(sys.modules, "gguf", None)
        with pytest.raises(RmbenchError, match=r"pip install 'rmbench\[gguf\]'"):
            opened(file)


def head(*values: bytes, tensors: int = 0) -> bytes:
    """A header of version 3."""
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, len(values)) + b"".join(values)


def value(kind: int, content: bytes, key: bytes = b"key") -> bytes:
    return struct.pack("<Q", len(key)) + key + struct.pack("<I", kind) + content


def tensor(*sides: int, kind: int = 0, offset: int = 0) -> bytes:
    shape = struct.pack(f"<I{len(sides)}Q", len(sides), *sides)
    return struct.pack("<Q", 1) + b"t" + shape + struct.pack("<IQ", kind, offset)


BROKEN: dict[str, tuple[bytes, str]] = {
    "another format": (b"PK\x03\x04" + b"\0" * 64, "is no GGUF file"),
    "empty": (b"", "cut off, or no GGUF file"),
    "version 1": (b"GGUF" + struct.pack("<I", 1), "of version 1; versions 2 and 3"),
    "big-endian": (b"GGUF" + struct.pack(">I", 3), "versions 2 and 3 of little-endian"),
    "keys without end": (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**60), "beyond its end"),
    "tensors without end": (b"GGUF" + struct.pack("<IQQ", 3, 2**60, 0), "1,152,921,504,606,846,976 tensors"),
    "a long text": (head(value(8, struct.pack("<Q", 2**62))), "beyond its end"),
    "a long array": (head(value(9, struct.pack("<IQ", 0, 2**61))), "more than 4,194,304 entries"),
    "many texts": (head(value(9, struct.pack("<IQ", 8, 2**22))), "beyond its end"),
    "arrays of arrays": (head(value(9, struct.pack("<IQ", 9, 1))), "arrays of arrays"),
    "an unknown type": (head(value(77, b"")), "value of the unknown type 77"),
    "many dimensions": (head(tensor(*[1] * 2), tensors=1)[:-40] + b"", "beyond its end"),
    "a huge tensor": (head(tensors=1) + tensor(2**40, 2**20), "is cut off: t"),
    "an offset beyond": (head(tensors=1) + tensor(4, offset=2**50), "is cut off: t"),
    "five dimensions": (head(tensors=1) + tensor(1, 1, 1, 1, 1), "has 5 dimensions"),
    "one name twice": (head(tensors=2) + tensor(1) * 2 + b"\0" * 64, "is there twice"),
    "an unknown quantisation": (head(tensors=1) + tensor(4, kind=999) + b"\0" * 64, "of the unknown type 999"),
}


class TestBroken:
    @pytest.mark.timeout(60)
    @pytest.mark.parametrize("case", BROKEN)
    def test_what_its_size_cannot_hold_is_refused(self, case: str, tmp_path: Path) -> None:
        content, message = BROKEN[case]
        (tmp_path / "x.gguf").write_bytes(content)
        with pytest.raises(RmbenchError, match=message):
            opened(tmp_path / "x.gguf")

    @pytest.mark.timeout(60)
    def test_any_cut_is_an_error(self, made: SimpleNamespace) -> None:
        file = made.write("tiny.gguf")
        content = file.read_bytes()
        for length in range(0, len(content) - 1, 997):
            file.write_bytes(content[:length])
            with pytest.raises(RmbenchError):
                read_header(file)

    def test_sizes_of_another_model(self, made: SimpleNamespace) -> None:
        """A configuration of far more parameters than the file holds."""
        file = made.write("tiny.gguf")
        content = file.read_bytes()
        key = b"llama.feed_forward_length" + struct.pack("<I", 4)
        place = content.index(key) + len(key)
        file.write_bytes(content[:place] + struct.pack("<I", 2**24) + content[place + 4 :])
        with pytest.raises(RmbenchError, match="the two do not belong together"):
            opened(file)

    def test_a_part_of_several(self, made: SimpleNamespace) -> None:
        file = made.write("tiny.gguf")
        content = file.read_bytes()
        keys = struct.unpack("<Q", content[16:24])[0]
        more = value(2, struct.pack("<H", 3), b"split.count")
        file.write_bytes(content[:16] + struct.pack("<Q", keys + 1) + more + content[24:] + b"\0" * 64)
        with pytest.raises(RmbenchError, match=r"one of 3 parts.*llama-gguf-split --merge"):
            opened(file)

    def test_an_architecture_that_is_not_read(self, made: SimpleNamespace) -> None:
        file = made.write("tiny.gguf")
        file.write_bytes(file.read_bytes().replace(b"llama", b"bogus"))
        with pytest.raises(RmbenchError, match="architecture bogus is not supported"):
            opened(file)


def test_a_classifiers_head_is_not_left_out(made: SimpleNamespace, tmp_path: Path) -> None:
    """As llama.cpp converts sequence classifiers."""
    writing = gguf.GGUFWriter.write_header_to_file

    def with_head(writer: Any) -> None:
        writer.add_tensor("cls.output.weight", torch.ones(1, 32).numpy())
        writing(writer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gguf.GGUFWriter, "write_header_to_file", with_head)
        file = made.write("headed.gguf", "F32")
    with pytest.raises(RmbenchError, match=r"headed\.gguf holds a classifier's head \(cls\.output\.weight\)"):
        opened(file)
