"""Postgres hangs: measurements and look-ups of records end within their deadlines.

It hangs as a frozen server, as a listener that accepts and never answers, and as a host that drops
every packet.
"""

import gc
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from typing import Any

import pytest

import app
from local.loopback import HOST
from local.postgres import Postgres
from tests.support.lambda_events import context, schedule_event
from tests.support.raw_server import RawServer
from tests.support.service import Service, wired

# pg8000 and boto3 leave the socket of a failed connection to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

TIMEOUT_S = 0.5
# What two slow cores may add to the deadline.
MARGIN_S = 3.0
BOUNDS = {
    "HEALTH_TIMEOUT_S": str(TIMEOUT_S),
    "LOOKUP_TIMEOUT_S": str(TIMEOUT_S),
    "DATABASE_CONNECT_TIMEOUT_S": "1",
    "METRICS_NAMESPACE": "test",
}
Hang = Callable[[Postgres, Service], AbstractContextManager[dict[str, str]]]


class SilentServer(RawServer):
    """Accepts every connection, reads, and never answers."""

    def serve(self, peer: socket.socket) -> None:
        with suppress(ConnectionResetError):  # the client has closed its connection
            while peer.recv(4096):
                pass


@contextmanager
def frozen(server: Postgres, service: Service) -> Iterator[dict[str, str]]:
    """Freeze the server with the connections that the service has open."""
    backends = service.rows(
        "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'"
    )
    pids = [server.child.pid, *(pid for (pid,) in backends)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield {}
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@contextmanager
def silent(server: Postgres, service: Service) -> Iterator[dict[str, str]]:
    """Put a listener that never answers in the place of the server."""
    del server, service
    with SilentServer().running() as listener:
        yield {"DATABASE_URL": f"postgresql://x@{listener.origin}/x"}


@contextmanager
def black_hole(server: Postgres, service: Service) -> Iterator[dict[str, str]]:
    """Put a listener in the place of the server whose kernel drops every new connection."""
    del server, service
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((HOST, 0), backlog=1))
        address = listener.getsockname()
        for _ in range(8):  # nobody accepts them: they fill the backlog
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(address)
        yield {"DATABASE_URL": f"postgresql://x@{HOST}:{address[1]}/x"}


@contextmanager
def in_time() -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < TIMEOUT_S + MARGIN_S


@pytest.fixture(autouse=True)
def _no_abandoned_calls() -> Iterator[None]:
    """Wait for the calls that nobody waited for: they end by timeouts of their own."""
    yield
    for each in threading.enumerate():
        if each.name.startswith("await "):
            each.join(30)
            assert not each.is_alive()
    gc.collect()


@pytest.mark.parametrize("hang", [frozen, silent, black_hole])
def test_the_buffer_is_measured_and_read_in_time_though_postgres_hangs(
    hang: Hang,
    service: Service,
    variables: dict[str, str],
    postgres_server: Postgres,
    capsys: pytest.CaptureFixture[str],
) -> None:
    environment = variables | BOUNDS
    with wired(environment):
        (replicated,) = service.accept([1])
        service.replicate()
        buffered = service.accept([2, 3])
        assert service.get("/health").json_body["status"] == "ok"
        # If the server stays where it is, the open connections are the ones that hang.
        with hang(postgres_server, service) as moved, ExitStack() as stack:
            if moved:
                stack.enter_context(wired(environment | moved))
            assert_answers_in_time(service, replicated, buffered, capsys)


def assert_answers_in_time(
    service: Service, replicated: str, buffered: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with in_time():
        health = service.get("/health")
    assert health.status_code == 200
    assert health.json_body["status"] == "degraded"
    assert health.json_body["buffer"]["waiting"] == 2
    assert health.json_body["replica"]["status"] == "unavailable"

    capsys.readouterr()
    with in_time():
        app.observe(schedule_event(), context())
    (line,) = observed(capsys)
    assert line["buffered"] == 2
    assert line["buffered_age"] > 0
    assert "waiting" not in line

    with in_time():
        found = service.get(f"/point-record/{buffered[0]}")
    assert (found.status_code, found.json_body["status"]) == (200, "AWAITING")
    with in_time():
        missed = service.get(f"/point-record/{replicated}")
    assert missed.status_code == 503
    assert int(missed.headers["Retry-After"]) >= 1


def observed(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [line for line in lines if line["message"] == "observed"]


def test_postgres_is_measured_and_read_in_time_though_dynamodb_hangs(
    service: Service, variables: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    (replicated,) = service.accept([1])
    service.replicate()
    with SilentServer().running() as listener:
        hanging = {"AWS_ENDPOINT_URL_DYNAMODB": f"http://{listener.origin}"}
        with wired(variables | BOUNDS | hanging):
            with in_time():
                health = service.get("/health").json_body
            assert health["replica"]["waiting"] == {"AWAITING": 1}
            assert health["buffer"]["status"] == "unavailable"
            capsys.readouterr()
            app.observe(schedule_event(), context())
            (line,) = observed(capsys)
            assert line["waiting"] == 1
            assert "buffered" not in line
            with in_time():
                found = service.get(f"/point-record/{replicated}")
            assert (found.status_code, found.json_body["status"]) == (200, "AWAITING")
            with in_time():
                unknown = service.get("/point-record/00000000-0000-8000-8000-000000000000")
            assert unknown.status_code == 503  # it may be in the buffer
