"""Ports of the loopback interface."""

import errno
import os
import socket

import pytest

from local.loopback import (
    HOST,
    PORTS_VARIABLE,
    NoFreePortError,
    free_port,
    is_free,
    share_of_ports,
    why_not_free,
)


def test_free_port_returns_each_port_once() -> None:
    ports = [free_port() for _ in range(100)]
    assert len(set(ports)) == len(ports)


def test_shares_of_ports_do_not_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[set[int]] = []
    for index in range(3):
        monkeypatch.setenv(PORTS_VARIABLE, share_of_ports(index, 3))
        taken.append({free_port() for _ in range(200)})
    assert len(taken[0] | taken[1] | taken[2]) == 600


def test_no_free_port_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setenv(PORTS_VARIABLE, f"{port}-{port}")
    with socket.create_server((HOST, port)), pytest.raises(NoFreePortError, match=f"{port} to"):
        free_port()


def test_port_in_use_is_told_from_one_that_the_user_may_not_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port = free_port()
    assert (why_not_free(port), is_free(port)) == (None, True)
    with socket.create_server((HOST, port)):
        assert (why_not_free(port), is_free(port)) == ("is in use", False)

    def refuse(*_: object) -> None:  # as the kernel refuses ports below 1024 to most users
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(socket.socket, "bind", refuse)
    assert (why_not_free(port), is_free(port)) == ("cannot be used (Permission denied)", False)
