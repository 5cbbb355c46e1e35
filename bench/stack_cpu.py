"""Measure the CPU of each part of a running stack."""

from collections.abc import Mapping
from contextlib import suppress

import psutil


def cpu_by_part(pids: Mapping[str, int]) -> dict[str, float]:
    """Return the CPU that each part has used so far, in seconds.

    A part is a process with all that it has started, also with those that have ended. The processes
    of the API are parts of their own.

    Args:
        pids: the processes of ``stack.json``, by name.
    """
    parts: dict[str, float] = {}
    for name, pid in pids.items():
        process = psutil.Process(pid)
        if name == "api":
            workers = [process, *sorted(process.children(), key=lambda each: each.pid)]
            parts |= {f"{name} {number}": _own_s(each) for number, each in enumerate(workers, 1)}
        else:
            parts[name] = sum(map(_own_s, [process, *process.children(recursive=True)]))
    return parts


def _own_s(process: psutil.Process) -> float:
    """Return the CPU of a process, and of the ended children that it has waited for."""
    with suppress(psutil.NoSuchProcess):  # it has just ended
        times = process.cpu_times()
        return float(times.user + times.system + times.children_user + times.children_system)
    return 0.0
