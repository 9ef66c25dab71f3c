"""The Ray that actors run in: started on this machine, or that of a cluster, and what its nodes have."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rmbench.engine.compute import reason
from rmbench.errors import RmbenchError

__all__ = ["checked_resources", "import_ray", "join_ray", "own_folder", "start_ray"]

_REACHED = 5.0
"""Seconds after which an address that does not answer is given up."""
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
"""How a client of HTTP/2 begins (RFC 9113, 3.4), with empty settings; a cluster answers with its own."""
_SETTINGS = 4
"""The type of that frame, its fourth byte."""
_JOINED = 10.0
"""Seconds in which a node with what a worker asks for may join the cluster."""
_FOLDER = "rmbench-ray-"
_LONGEST = 30
"""Characters of the folder that temporary files are in; Ray's sockets lie deep in it, and their paths are bounded."""
_STORE_BYTES = 200_000_000
"""Of Ray's object store on this machine; jobs and results are a few kilobytes each."""
_ORPHANED = {"RAY_gcs_rpc_server_reconnect_timeout_s": "15"}
"""Seconds for which Ray's agents look for the others once the calling process was killed; by default a minute."""


def import_ray() -> Any:
    """Ray, told to send nothing to its makers."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise RmbenchError("--executor ray needs Ray, which is not installed: pip install 'rmbench[ray]'") from error
    return ray


def own_folder() -> Path:
    """A folder for a local Ray, short enough for its sockets; what killed runs left there is removed."""
    parent = Path(tempfile.gettempdir())
    if len(str(parent)) > _LONGEST:
        parent = Path("/tmp")  # noqa: S108 (mkdtemp makes a folder of our own)
    for left in parent.glob(f"{_FOLDER}*-*"):
        pid = left.name.removeprefix(_FOLDER).partition("-")[0]
        if pid.isdecimal() and not _is_alive(int(pid)):
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{_FOLDER}{os.getpid()}-", dir=parent))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _check_answers(address: str) -> None:
    """Raise RmbenchError where nobody listens: Ray tries for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise RmbenchError(f"--ray-address must be HOST:PORT or auto, not {address!r}.")
    try:
        with socket.create_connection((host, int(port)), _REACHED) as connection:
            if os.environ.get("RAY_USE_TLS", "0") != "0":
                return
            connection.sendall(_GREETING)
            answer = connection.recv(9)
    except (OSError, OverflowError) as error:
        why = reason(error)
    else:
        if len(answer) > 3 and answer[3] == _SETTINGS:
            return
        why = "it is no Ray cluster"
    raise RmbenchError(
        f"--ray-address {address}: nothing answers there ({why}). Is the cluster up, and is this the address that "
        "`ray start --head` printed?"
    )


def _has(resources: Mapping[str, float], asked: Mapping[str, float]) -> bool:
    return all(resources.get(name, 0) >= amount for name, amount in asked.items())


def _spelled(resources: Mapping[str, float]) -> str:
    return ", ".join(
        f"{resources.get(name, 0):g} {name}" for name in ("CPU", "GPU") if name == "CPU" or name in resources
    )


def start_ray(ray: Any, folder: Path, cores: int) -> None:
    """Start Ray on this machine, with its files in a folder; it ends with this process."""
    given = {"num_cpus": cores, "object_store_memory": _STORE_BYTES, "_temp_dir": str(folder)}
    added = {name: value for name, value in _ORPHANED.items() if name not in os.environ}
    os.environ.update(added)
    try:
        ray.init(address="local", **given, **_quiet(ray))
    finally:
        for name in added:
            del os.environ[name]


def join_ray(ray: Any, address: str) -> None:
    """Join a cluster; raises RmbenchError where it does not answer."""
    if address != "auto":
        _check_answers(address)
    try:
        ray.init(address=address, **_quiet(ray))
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise RmbenchError(f"--ray-address {address}: the cluster cannot be joined: {reason(error)}") from error


def _quiet(ray: Any) -> dict[str, Any]:
    with contextlib.suppress(AttributeError):  # prints each death of an actor to stdout; the pool notes it
        ray._private.worker.print_to_stdstream = lambda *_, **__: None
    return {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}


def checked_resources(ray: Any, gpus: int | None, cpus: int, *, patient: bool) -> dict[str, int]:
    """What a worker asks for.

    Args:
        ray: the module, connected.
        gpus: of a worker; None: one, where the cluster has GPUs.
        cpus: cores of a worker.
        patient: whether a node may yet join.

    Raises:
        RmbenchError: no node could ever take a worker, for which Ray itself would wait without a word.
    """
    if gpus is None:
        gpus = 1 if ray.cluster_resources().get("GPU", 0) >= 1 else 0
    asked = {"CPU": cpus} | ({"GPU": gpus} if gpus else {})
    until = time.monotonic() + (_JOINED if patient else 0)
    while True:
        nodes = [node for node in ray.nodes() if node["Alive"]]
        if any(_has(node["Resources"], asked) for node in nodes):
            return asked
        if time.monotonic() >= until:
            break
        time.sleep(0.5)
    present = "; ".join(f"{node['NodeManagerHostname']}: {_spelled(node['Resources'])}" for node in nodes)
    raise RmbenchError(
        f"no node of the Ray cluster has what a worker asks for ({_spelled(asked)}). Present: {present or 'no node'}. "
        "See --gpus-per-worker and --cpus-per-worker."
    )
