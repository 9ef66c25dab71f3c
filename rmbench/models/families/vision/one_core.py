"""Threads that make pictures ready, beside each other and beside the forward pass."""

from __future__ import annotations

import threading

import torch

__all__ = ["on_one_core"]

_own = threading.local()
_changing = threading.Lock()


def on_one_core() -> None:
    """Let torch use one core in this thread, unless it is the main one: teams of its own for each of several threads
    would outnumber the cores and wait for each other, which costs a picture several times its own work.

    The number is a thread's own, but torch also hands the last one set to threads that it sees for the first time;
    for those it is put back, by a thread that ends.
    """
    if threading.current_thread() is threading.main_thread() or getattr(_own, "set", False):
        return
    with _changing:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        other = threading.Thread(target=torch.set_num_threads, args=(before,))
        other.start()
        other.join()
    _own.set = True
