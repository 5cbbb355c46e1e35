"""Credentials that are refused, and tokens that cannot be had: nothing is parked, and it heals."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chalicelib.integrator.legacy.authentication import shared_credentials, token_cache
from chalicelib.telemetry import CREDENTIALS_REFUSED
from tests.support.authorization_server import AuthorizationServer
from tests.support.http_server import HttpServer, Request, Response
from tests.support.service import Service, wired
from tests.support.waiting import wait_until

RECORDS = 200
# Of 200 due records: the calls until the limiter takes the refusals for an outage, and its probes.
MAX_PROBES = 40
SECONDS = 6.0


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read refused secrets again after a moment, and request tokens after a moment."""
    for name in ("_FIRST_REREAD_S", "_LONGEST_REREAD_S"):
        monkeypatch.setattr(shared_credentials, name, 0.2)
    for name in ("_LONGEST_PAUSE_S", "_LONGEST_PAUSE_REFUSED_S"):
        monkeypatch.setattr(token_cache, name, 0.2)


@pytest.fixture
def password(tmp_path: Path) -> Path:
    """The file to which LEGACY_PASSWORD or LEGACY_CLIENT_SECRET refers."""
    path = tmp_path / "password"
    path.write_text("wrong-password\n")
    return path


class Legacy:
    """Delivers what ``accepts`` allows, and refuses the rest by ``status``."""

    def __init__(self, accepts: Callable[[Request], bool], status: int = 401) -> None:
        self._accepts = accepts
        self._status = status
        self.delivered: list[str] = []

    def __call__(self, request: Request) -> Response:
        if not self._accepts(request):
            return Response(self._status, body=b"who?")
        self.delivered.append(json.loads(request.body)["id"])
        return Response()


def events(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def assert_untouched(service: Service) -> None:
    """No record is parked, or has an attempt."""
    assert service.rows(
        "SELECT count(*) FILTER (WHERE attempts > 0 OR status NOT IN ('AWAITING', 'ERROR'))"
        " FROM point_record"
    ) == [(0,)]


def integrate_all(service: Service) -> None:
    """Run until every record is delivered."""

    def run() -> bool:
        service.advance_time(3_600)
        service.integrate()
        return service.statuses() == {"INTEGRATED": RECORDS}

    wait_until(run, 60)


@pytest.mark.parametrize("status", [401, 403])
def test_wrong_password_is_probed_and_a_rotation_heals_it_without_a_restart(
    service: Service,
    variables: dict[str, str],
    password: Path,
    status: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    legacy = Legacy(
        lambda each: each.headers["Authorization"] == "Basic YW5uOnJpZ2h0LXBhc3N3b3Jk", status
    )
    login = {
        "LEGACY_AUTH": "basic",
        "LEGACY_USER": "ann",
        "LEGACY_PASSWORD": f"file:{password}",
        "LEGACY_CALL_TIMEOUT_S": "2",
    }
    with (
        HttpServer(legacy).running() as server,
        wired({**variables, "LEGACY_URL": server.url, **login}),
    ):
        ids = service.accept(range(1, RECORDS + 1))
        service.replicate()
        service.integrate(SECONDS)
        assert 1 <= len(server.requests) <= MAX_PROBES
        assert_untouched(service)
        lines = events(capsys)
        refused = [each for each in lines if each["message"] == CREDENTIALS_REFUSED]
        assert refused
        assert {each["level"] for each in refused} == {"ERROR"}
        (run,) = [each for each in lines if each["message"] == "integrated"]
        assert run["credentials_refused"] == run["overloaded"] == len(server.requests)
        password.write_text("right-password\n")
        integrate_all(service)
    assert sorted(legacy.delivered) == sorted(ids)


@pytest.fixture
def issuer() -> Iterator[AuthorizationServer]:
    with AuthorizationServer().running() as server:
        yield server


def oauth2(url: str, password: Path) -> dict[str, str]:
    return {
        "LEGACY_AUTH": "oauth2",
        "LEGACY_TOKEN_URL": url,
        "LEGACY_CLIENT_ID": "punch-clock",
        "LEGACY_CLIENT_SECRET": f"file:{password}",
        "LEGACY_CALL_TIMEOUT_S": "2",
    }


def test_refused_client_is_probed_and_a_rotation_heals_it(
    service: Service,
    variables: dict[str, str],
    password: Path,
    issuer: AuthorizationServer,
    capsys: pytest.CaptureFixture[str],
) -> None:
    legacy = Legacy(lambda each: issuer.accepts(each.headers["Authorization"]))
    with (
        HttpServer(legacy).running() as server,
        wired({**variables, "LEGACY_URL": server.url, **oauth2(issuer.url, password)}),
    ):
        ids = service.accept(range(1, RECORDS + 1))
        service.replicate()
        service.integrate(SECONDS)
        assert server.requests == []
        assert_untouched(service)
        lines = events(capsys)
        (run,) = [each for each in lines if each["message"] == "integrated"]
        assert 1 <= run["credentials_refused"] == run["sent"] <= MAX_PROBES
        (reason,) = {
            each["reason"] for each in lines if each["message"] == "no access token was issued"
        }
        assert reason == "the token endpoint refuses our client: invalid_client (HTTP 401)"
        assert service.rows("SELECT DISTINCT log FROM integration_log WHERE log IS NOT NULL") == [
            (f"Not sent: {reason}.",)
        ]
        password.write_text(issuer.client.secret)
        integrate_all(service)
    assert sorted(legacy.delivered) == sorted(ids)
    assert len(issuer.issued) == 1


OUTAGES: dict[str, Callable[[Request], Response]] = {
    "500": lambda _: Response(500, body=b"oops"),
    "503": lambda _: Response(503, {"Retry-After": "1"}, b"later"),
    "garbage": lambda _: Response(body=b"<html>\0"),
    "hangs": lambda _: time.sleep(1.5) or Response(500),  # type: ignore[func-returns-value]
}


@pytest.mark.parametrize("outage", OUTAGES)
def test_outage_of_the_token_endpoint_uses_up_no_attempt(
    service: Service,
    variables: dict[str, str],
    password: Path,
    issuer: AuthorizationServer,
    outage: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    password.write_text(issuer.client.secret)
    legacy = Legacy(lambda each: each.headers["Authorization"] == "Bearer good-token")
    with (
        HttpServer(OUTAGES[outage]).running() as tokens,
        HttpServer(legacy).running() as server,
        wired({**variables, "LEGACY_URL": server.url, **oauth2(tokens.url, password)}),
    ):
        ids = service.accept(range(1, RECORDS + 1))
        service.replicate()
        service.integrate(SECONDS)
        assert server.requests == []
        assert_untouched(service)
        (run,) = [each for each in events(capsys) if each["message"] == "integrated"]
        assert 1 <= run["overloaded"] == run["sent"] <= MAX_PROBES
        assert run["credentials_refused"] == 0
        tokens.answer = lambda _: Response(body=b'{"access_token": "good-token"}')
        integrate_all(service)
    assert sorted(legacy.delivered) == sorted(ids)


def test_unreadable_client_certificate_stops_the_run_and_touches_no_record(
    service: Service, variables: dict[str, str], password: Path
) -> None:
    certificate = {"LEGACY_CLIENT_CERTIFICATE": f"file:{password}"}
    with (
        HttpServer(Legacy(lambda _: True)).running() as server,
        wired({**variables, "LEGACY_URL": server.url, **certificate}),
    ):
        service.accept([1])
        service.replicate()
        with pytest.raises(Exception, match="LEGACY_CLIENT_CERTIFICATE contains no certif"):
            service.integrate()
        assert service.statuses() == {"AWAITING": 1}
    assert server.requests == []
