"""Transfer many requests and responses at once, in one thread: libcurl's multi interface.

libcurl says which sockets it waits for, and until when; the system waits for them.
All transfers of a thread share one cache of TLS sessions and of names, and one copy of the
certificate authorities.
"""

import contextlib
import math
import os
import select
import socket
import threading
import time

import pycurl

_READ, _WRITE = select.POLLIN, select.POLLOUT  # the same numbers as those of epoll
_EVENTS = {
    pycurl.POLL_IN: _READ,
    pycurl.POLL_OUT: _WRITE,
    pycurl.POLL_INOUT: _READ | _WRITE,
}
# An error and a hang-up are reported by the next read.
_ACTIONS = {_READ: pycurl.CSELECT_IN, _WRITE: pycurl.CSELECT_OUT}


_QUICKACK: int = getattr(socket, "TCP_QUICKACK", 0)  # 0: only Linux has it


class Poll:
    """``select.poll`` in the place of ``select.epoll``, for systems without it."""

    def __init__(self) -> None:
        poll = self._poll = select.poll()
        self.register, self.modify, self.unregister = poll.register, poll.modify, poll.unregister

    def poll(self, timeout_s: float) -> list[tuple[int, int]]:
        """Return the sockets with events; wait up to ``timeout_s`` for one."""
        return self._poll.poll(math.ceil(timeout_s * 1000))

    def close(self) -> None:
        """Do nothing: there is nothing to close."""


class Transfers:
    """Transfers in progress. Belongs to one thread; only ``wake`` may be called from others.

    Args:
        poller: waits for the events of sockets. The modules that the standard library builds on
            these, ``selectors`` and ``asyncio``, cost more than libcurl itself.
    """

    def __init__(self, poller: "select.epoll | Poll | None" = None) -> None:
        self._poller = poller or (select.epoll() if hasattr(select, "epoll") else Poll())
        self._watched: dict[int, int] = {}  # the events of each socket
        self._lock = threading.Lock()  # so that no thread writes to a closed pipe
        self._is_closed = False
        self._is_woken = False  # whether a byte is in the pipe
        self._waking, self._waker = os.pipe()
        for end in (self._waking, self._waker):
            os.set_blocking(end, False)
        self._poller.register(self._waking, _READ)
        self._timer_at = math.inf
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)

    def start(self, handle: pycurl.Curl) -> None:
        """Begin a transfer: the request of a handle that is in no transfer."""
        self._multi.add_handle(handle)

    def wait(self, timeout_s: float) -> list[tuple[pycurl.Curl, int]]:
        """Transfer until a transfer ends, ``wake`` is called, or ``timeout_s`` has passed.

        Returns:
            The handles whose transfers have ended, with libcurl's codes.
        """
        ends_at = time.monotonic() + timeout_s
        while True:
            pause_s = min(ends_at, self._timer_at) - time.monotonic()
            if pause_s <= 0 and self._timer_at <= ends_at:
                self._timer_at = math.inf
                self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
            is_woken = False
            for fd, events in self._poller.poll(max(0.0, pause_s)):
                if fd == self._waking:
                    is_woken = True
                    os.read(self._waking, 4_096)
                    self._is_woken = False
                else:
                    action = _ACTIONS.get(events) or pycurl.CSELECT_IN | pycurl.CSELECT_OUT
                    self._multi.socket_action(fd, action)
            ended = self._ended()
            if ended or is_woken or time.monotonic() >= ends_at:
                return ended

    def wake(self) -> None:
        """End the present or the next ``wait`` at once, from any thread."""
        with self._lock:
            if not (self._is_closed or self._is_woken):
                self._is_woken = True
                os.write(self._waker, b"\0")

    def close(self) -> None:
        """Abort all transfers, and close all connections."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
        self._multi.close()
        self._poller.close()
        os.close(self._waking)
        os.close(self._waker)

    def _ended(self) -> list[tuple[pycurl.Curl, int]]:
        ended: list[tuple[pycurl.Curl, int]] = []
        queued = 1
        while queued:
            queued, succeeded, failed = self._multi.info_read()
            ended += [(handle, pycurl.E_OK) for handle in succeeded]
            ended += [(handle, code) for handle, code, _ in failed]
        for handle, _ in ended:
            self._multi.remove_handle(handle)
        return ended

    def _watch(self, event: int, fd: int, _multi: object, _assigned: object) -> None:
        """Note which events libcurl waits for on a socket."""
        events = _EVENTS.get(event)
        if events == _READ and _QUICKACK:  # a request has been sent
            _acknowledge_at_once(fd)
        watched = self._watched.get(fd)
        if events is None:
            if watched is not None:
                del self._watched[fd]
                with contextlib.suppress(OSError):  # it is closed
                    self._poller.unregister(fd)
        elif watched is None:
            self._watched[fd] = events
            self._poller.register(fd, events)
        elif events != watched:
            self._watched[fd] = events
            self._poller.modify(fd, events)

    def _set_timer(self, timeout_ms: int) -> None:
        """Note when libcurl wants to be called without an event of a socket; -1: never."""
        self._timer_at = math.inf if timeout_ms < 0 else time.monotonic() + timeout_ms / 1000


def _acknowledge_at_once(fd: int) -> None:
    """Have the system acknowledge the first part of the response without delay.

    Many servers send head and body apart, with Nagle's algorithm on: they wait for our
    acknowledgement between the two (RFC 896). On a kept connection the system delays it by 40 ms,
    to send it along with data of ours (RFC 1122, 4.2.3.2); but the next request follows the body.
    """
    with contextlib.suppress(OSError):  # it is closed, or wakes libcurl's look-up of names
        # With the family and the type, Python does not ask the system for them.
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM, fileno=fd)
        try:
            connection.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        finally:
            connection.detach()  # it belongs to libcurl
