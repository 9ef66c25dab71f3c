"""A server is found, called rightly, waited for, told from a dead one, and ended with everything it started."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rmbench.errors import RmbenchError
from rmbench.models.options import OpenOptions
from rmbench.models.servers import process as server_module
from rmbench.models.servers.key import ApiKey
from rmbench.models.servers.process import LocalServer, free_port
from rmbench.models.servers.vllm_command import (
    Machine,
    Parallel,
    parallel,
    serve_command,
    serve_environment,
    this_machine,
)
from rmbench.models.servers.vllm_program import Program, find_program

SERVER = """\
import os, signal, subprocess, sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

def port():
    return int(sys.argv[sys.argv.index("--port") + 1])

print("starting", *sys.argv[1:], flush=True)
mode = os.environ.get("MODE", "")
if mode == "dies":
    print("RuntimeError: no such head size", flush=True)
    sys.exit(0)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("child", child.pid, flush=True)
if mode == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if mode == "slow":
    time.sleep(600)
HTTPServer(("127.0.0.1", port()), Handler).serve_forever()
"""


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Starts the server above in a mode."""
    monkeypatch.setattr(server_module, "_GRACE", 0.5)
    (tmp_path / "server.py").write_text(SERVER)

    def make(mode: str = "", **more: Any) -> LocalServer:
        port = free_port()
        command = [sys.executable, str(tmp_path / "server.py"), "serve", "--port", str(port)]
        return LocalServer.start(command, {**os.environ, "MODE": mode}, port, **{"seconds": 30, **more})

    return make


def lives(pid: int) -> bool:
    """Whether a process runs; one that waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def ends(pid: int, seconds: float = 10.0) -> bool:
    until = time.monotonic() + seconds
    while lives(pid) and time.monotonic() < until:
        time.sleep(0.02)
    return not lives(pid)


def child_of(server: LocalServer) -> int:
    line = next(line for line in server.tail().splitlines() if line.startswith("child "))
    return int(line.split()[1])


def test_a_server_runs_until_it_is_stopped_with_its_children(start: Any) -> None:
    server = start()
    child = child_of(server)
    assert lives(server.group)
    assert lives(child)
    assert os.getpgid(server.group) == server.group != os.getpgid(0)
    began = time.monotonic()
    server.stop()
    assert ends(server.group)
    assert ends(child)
    assert time.monotonic() - began < 5
    server.stop()


def test_a_server_that_is_deaf_to_sigterm_is_killed(start: Any) -> None:
    server = start("deaf")
    child = child_of(server)
    began = time.monotonic()
    server.stop()
    assert 0.4 < time.monotonic() - began < 5
    assert ends(server.group)
    assert ends(child)


def test_a_server_that_ends_before_it_is_ready_shows_its_log(start: Any) -> None:
    """Its exit status is 0, as that of a vLLM whose engine died."""
    with pytest.raises(RmbenchError, match=r"ended before it was ready \(exit status 0\)") as caught:
        start("dies")
    assert "The end of the server's log:\nstarting serve --port" in str(caught.value)
    assert str(caught.value).endswith("RuntimeError: no such head size")


def test_a_server_that_is_not_ready_in_time_is_ended(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "_NOTE_EVERY", 0.5)
    notes: list[str] = []
    with pytest.raises(RmbenchError, match="was not ready within 2 s") as caught:
        start("slow", seconds=2.0, note=notes.append)
    assert notes[0].startswith("waiting for the server to start: ")
    child = next(line for line in str(caught.value).splitlines() if line.startswith("child "))
    assert ends(int(child.split()[1]))


def test_a_program_that_is_none_is_an_error() -> None:
    with pytest.raises(RmbenchError, match="/no/such/program cannot be started"):
        LocalServer.start(["/no/such/program"], {}, 1)


def test_a_server_does_not_outlive_a_process_that_is_killed(start: Any, tmp_path: Path) -> None:
    """The process that started it gets SIGKILL, so nothing of it can run any more."""
    start().stop()  # writes the server's file
    port = free_port()
    script = (
        "import os, sys, time\n"
        "from rmbench.models.servers.process import LocalServer\n"
        f"command = [sys.executable, {str(tmp_path / 'server.py')!r}, 'serve', '--port', '{port}']\n"
        f"server = LocalServer.start(command, os.environ, {port}, seconds=30)\n"
        "print(server.group, server._folder.name, flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        number, folder = parent.stdout.readline().split()
        group = int(number)
        assert lives(group)
        parent.send_signal(signal.SIGKILL)
    assert ends(group, 20)
    until = time.monotonic() + 10
    while Path(folder).exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert not Path(folder).exists()


def fake_program(folder: Path, name: str, help_text: str = "") -> Path:
    program = folder / name
    program.write_text(f"#!/bin/sh\necho called >> {folder}/calls\ncat <<'END'\n{help_text}\nEND\n")
    program.chmod(0o755)
    return program


HELP = """usage: vllm serve [options]
  --host HOST           Host name.
  --port PORT           Port.
  --enable-log-requests, --no-enable-log-requests
  --structured-outputs-config.backend X  see --runner; not-a--flag
  --runner {auto,draft,generate,pooling}
"""


def test_flags_are_asked_once_for_an_installed_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    program = Program(fake_program(tmp_path, "vllm", HELP))
    wanted = {"--host", "--port", "--runner", "--enable-log-requests", "--no-enable-log-requests"}
    assert program.flags() == {*wanted, "--structured-outputs-config.backend"}
    program.check_flags(["--host", "--runner"])
    with pytest.raises(RmbenchError, match=r'does not know --runners: this version of vLLM .* mean "--runner"'):
        program.check_flags(["--host", "--runners"])
    assert (tmp_path / "calls").read_text() == "called\n"
    os.utime(program.path, (1, 1))  # another version was installed
    program.flags()
    assert (tmp_path / "calls").read_text() == "called\ncalled\n"


def test_a_program_without_flags_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(RmbenchError, match=r"lists no flags \(exit 0\):\nFailed to infer device type"):
        Program(fake_program(tmp_path, "vllm", "Failed to infer device type")).flags()


def test_the_program_is_the_users_then_the_environments_then_the_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "vllm"):
        fake_program(tmp_path, name)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("RMBENCH_VLLM", str(tmp_path / "b"))
    assert find_program(tmp_path / "a").path.name == "a"
    assert find_program(None).path.name == "b"
    monkeypatch.delenv("RMBENCH_VLLM")
    assert find_program(None).path.name == "vllm"
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RmbenchError, match="--vllm-bin or RMBENCH_VLLM"):
        find_program(None)
    with pytest.raises(RmbenchError, match="--vllm-bin nowhere: this program does not exist"):
        find_program("nowhere")


def command(machine: Machine, runner: Any, options: OpenOptions, spread: Parallel, images: int = 0) -> list[str]:
    program, folder = Path("/bin/vllm"), Path("/m")
    return serve_command(program, folder, "org/m", 81, runner, options, machine, spread, "float32", images)


def checkpoint(folder: Path, size: int, config: str = '{"dtype": "bfloat16"}') -> Path:
    """Weight files of so many bytes in all, which take no room on the disk."""
    folder.mkdir()
    for shard in range(2):
        with (folder / f"model-{shard}.safetensors").open("wb") as file:
            file.truncate(size // 2)
    (folder / "config.json").write_text(config)
    return folder


@pytest.mark.parametrize(
    ("gpus", "weights", "memory", "dtype", "expected"),
    [
        (1, 16, 80, "auto", (1, 1, "")),
        (0, 16, 0, "auto", (1, 0, "")),
        (
            8,
            16,
            80,
            "auto",
            (8, 1, "8 copies of the model, one on each GPU (data parallel): 16.0 GB of weights, and a"),
        ),
        (8, 16, 80, "float32", (8, 1, "32.0 GB")),
        (8, 141, 80, "auto", (2, 4, "2 copies of the model over 4 GPUs each (tensor parallel): 141.0 GB of weights")),
        (8, 141, 141, "bfloat16", (4, 2, "4 copies of the model over 2 GPUs each")),
        (
            8,
            141,
            80,
            "float32",
            (1, 8, "one copy of the model over 8 GPUs each (tensor parallel): 282.0 GB of weights"),
        ),
        (6, 141, 80, "auto", (2, 3, "over 3 GPUs")),
        (4, 16, 0, "auto", (1, 4, "since the GPUs' memory is unknown")),
        (4, 0, 80, "auto", (1, 4, "since the size of its weights is unknown")),
    ],
)
def test_copies_come_before_parts(
    tmp_path: Path, gpus: int, weights: int, memory: int, dtype: str, expected: tuple[int, int, str]
) -> None:
    folder = checkpoint(tmp_path / "m", weights * 10**9)
    found = parallel(Machine(gpus, memory=memory * 10**9), folder, dtype)
    assert (found.copies, found.gpus) == expected[:2]
    assert expected[2] in found.why
    assert bool(found.why) == (gpus > 1)


def test_packed_weights_count_as_they_are_stored(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "m", 40 * 10**9, '{"dtype": "bfloat16", "quantization_config": {}}')
    assert parallel(Machine(2, memory=80 * 10**9), folder, "float32").copies == 2


def test_the_command_of_a_judge_and_of_a_scalar_model() -> None:
    options = OpenOptions(max_length=4096, template=Path("/t.jinja"), trust_remote_code=True)
    judge = command(Machine(4), "generate", options, Parallel(2, 2))
    assert judge[:5] == ["/bin/vllm", "serve", "/m", "--served-model-name", "org/m"]
    told = dict(itertools.pairwise(judge))
    assert told["--host"] == "127.0.0.1"
    assert (told["--port"], told["--runner"], told["--dtype"]) == ("81", "generate", "float32")
    assert told["--generation-config"] == "vllm"
    assert (told["--max-model-len"], told["--chat-template"]) == ("4096", "/t.jinja")
    assert (told["--tensor-parallel-size"], told["--data-parallel-size"]) == ("2", "2")
    assert "--trust-remote-code" in judge
    assert "--enforce-eager" not in judge
    assert "--limit-mm-per-prompt" not in judge
    seeing = command(Machine(0), "generate", options, Parallel(1, 0), images=12)
    assert dict(itertools.pairwise(seeing))["--limit-mm-per-prompt"] == '{"image": 12, "video": 0}'
    scalar = command(Machine(0), "pooling", replace(options, template=None, trust_remote_code=False), Parallel(1, 0))
    assert "--enforce-eager" in scalar
    assert not {"--generation-config", "--tensor-parallel-size", "--data-parallel-size", "--chat-template"} & set(
        scalar
    )
    assert "--trust-remote-code" not in scalar


def test_the_servers_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-secret-of-mine")
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "2")
    here = serve_environment(Machine(0), ApiKey("MY_KEY", "sk-secret-of-mine"))
    assert "MY_KEY" not in here
    assert (here["TORCHDYNAMO_DISABLE"], here["VLLM_CPU_KVCACHE_SPACE"]) == ("1", "2")
    assert here["PATH"] == os.environ["PATH"]
    gpu = serve_environment(Machine(1, "3"), ApiKey("MY_KEY"))
    assert gpu["CUDA_VISIBLE_DEVICES"] == "3"
    assert "TORCHDYNAMO_DISABLE" not in gpu


def test_gpus_are_counted_by_the_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = "GPU 0: NVIDIA H200 (UUID: x)\nGPU 1: NVIDIA H200 (UUID: y)\n  MIG 1g"
    fake_program(tmp_path, "nvidia-smi", listed)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert this_machine("auto") == this_machine("cuda") == Machine(2, memory=0)
    assert this_machine("cuda:1") == Machine(1, "1")
    assert this_machine("cpu") == Machine(0)
    with pytest.raises(RmbenchError, match="this machine has 2 GPUs"):
        this_machine("cuda:2")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    assert this_machine("auto") == Machine(1)
    assert this_machine("cuda:0") == Machine(1, "5")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert this_machine("auto") == Machine(0)
    with pytest.raises(RmbenchError, match="there are 0 GPUs"):
        this_machine("cuda")
