"""What the recipes of docs/legacies.md promise besides: tokens, threads, and a proxy for HTTP."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.legacies.recipes import Recipe, Server
from tests.legacies.test_recipes import accept, expected
from tests.support.service import Service, wired


@pytest.mark.parametrize("recipe", ["rest-oauth2 --lifetime=4 --latency=0.4"], indirect=True)
def test_token_is_renewed_before_it_expires_during_a_run(service: Service, recipe: Recipe) -> None:
    ids: dict[int, str] = {}
    for first in (1, 101, 201):
        ids |= accept(service, list(range(first, first + 100)))
    service.integrate()
    assert service.statuses() == {"INTEGRATED": 300}
    assert sorted(recipe.server.punches()) == expected(ids)
    tokens = [each for each in recipe.server.requests() if each[1] == "/oauth/token"]
    assert len(tokens) >= 3
    assert service.rows("SELECT DISTINCT http_status FROM integration_log WHERE attempt > 0") == [
        (201,)
    ]


@pytest.mark.parametrize("keep_alive_s", ["0", "60"])
@pytest.mark.parametrize("recipe", ["threads"], indirect=True)
def test_few_threads_are_not_occupied_by_kept_connections(
    service: Service, recipe: Recipe, variables: dict[str, str], keep_alive_s: str
) -> None:
    ids: dict[int, str] = {}
    for first in (1, 101, 201):
        ids |= accept(service, list(range(first, first + 100)))
    with wired({**variables, "LEGACY_KEEP_ALIVE_S": keep_alive_s}):
        started = time.monotonic()
        service.integrate()
    # 5 threads of 0.05 s each take 3 s. If kept connections occupied them, it would be minutes.
    assert time.monotonic() - started < 15
    assert service.statuses() == {"INTEGRATED": 300}
    assert sorted(recipe.server.punches()) == expected(ids)


@pytest.fixture
def proxy(tmp_path: Path, engines: Path) -> Iterator[Server]:
    """A proxy without a password."""
    with Server("proxy", tmp_path).running() as running:
        yield running


@pytest.mark.parametrize("recipe", ["mutual-tls", "form-basic"], indirect=True)
def test_legacy_is_reached_through_a_proxy_without_a_password(
    service: Service, recipe: Recipe, variables: dict[str, str], proxy: Server
) -> None:
    ids = accept(service, [1, 2, 3])
    with wired({**variables, "LEGACY_PROXY": f"http://127.0.0.1:{proxy.port}"}):
        service.integrate()
    assert service.statuses() == {"INTEGRATED": 3}
    assert sorted(recipe.server.punches()) == expected(ids)
    # The proxy adds Via to what it can read.
    has_via = ["via" in headers for _, _, headers, _ in recipe.server.requests()]
    assert has_via == [recipe.name == "form-basic"] * 3


@pytest.mark.parametrize("recipe", ["form-basic"], indirect=True)
def test_wrong_password_parks_nothing_and_a_corrected_one_is_read(
    service: Service, recipe: Recipe, variables: dict[str, str]
) -> None:
    password = recipe.profile.with_name("password")
    right = password.read_text()
    password.write_text("wrong")
    ids = accept(service, [1, 2, 3])
    service.integrate(20)
    assert service.statuses() == {"ERROR": 3}
    assert service.rows("SELECT DISTINCT attempts FROM point_record") == [(0,)]
    password.write_text(right)
    with wired(variables):  # another process
        service.advance_time(60)
        service.integrate()
    assert service.statuses() == {"INTEGRATED": 3}
    assert sorted(recipe.server.punches()) == expected(ids)
