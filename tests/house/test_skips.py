"""The end of a run of tests: how many were skipped for what, and how to run them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_skips_are_counted_by_reason() -> None:
    without = {key: value for key, value in os.environ.items() if key not in ("RMBENCH_DATA", "RMBENCH_VLLM")}
    files = ["tests/media/test_media_images.py", "tests/media/test_media_videos.py", "tests/vllm/test_vllm_scalar.py"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "real or vllm", *files]
    done = subprocess.run(command, cwd=ROOT, env=without, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "    2  need real benchmark files: RMBENCH_DATA=FOLDER" in done.stdout
    assert "    1  need a real vLLM server: RMBENCH_VLLM names" in done.stdout
    assert "SKIPPED" not in done.stdout
