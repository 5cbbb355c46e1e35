"""Serve one port from several processes, because one Python process uses one core only.

The first process binds the port and starts the others, which inherit its listening socket: each
connection goes to the process that accepts it first. Invariant: all of them end together. If the
first one ends, even by ``kill -9``, the standard input of the others ends. If one of the others
ends, the first one exits, and the stack restarts it.
"""

import os
import socket
import subprocess
import sys
import threading


def start(listener: socket.socket, count: int, module: str) -> None:
    """Start ``count`` further processes that serve the listener.

    Args:
        listener: the listening socket.
        count: how many.
        module: the module that each runs. It gets ``--listener FD`` and calls ``inherit``.
    """
    descriptor = listener.fileno()
    command = [sys.executable, "-m", module, "--listener", str(descriptor)]
    for _ in range(count):
        worker = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[descriptor])
        threading.Thread(target=_exit_with, args=(worker,), daemon=True).start()


def inherit(descriptor: int) -> socket.socket:
    """Return the listener that this process has inherited, and end when its parent does."""
    threading.Thread(target=_exit_at_end_of_input, daemon=True).start()
    return socket.socket(fileno=descriptor)


def _exit_with(worker: "subprocess.Popen[bytes]") -> None:
    status = worker.wait()
    print(f"a worker has ended with status {status}", file=sys.stderr, flush=True)
    os._exit(1)  # also ends the other workers


def _exit_at_end_of_input() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(0)
