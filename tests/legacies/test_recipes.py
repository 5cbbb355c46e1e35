"""Each recipe of docs/legacies.md, against a real server of its kind."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from tests.legacies.recipes import PROFILES, Recipe
from tests.legacies.servers.served import BUSY_EMPLOYEE, PASSWORD, UNKNOWN_EMPLOYEE
from tests.support.service import Service
from tests.support.waiting import wait_until

NAMES = ["rest-oauth2", "xml-oauth2", "soap", "form-basic", "mutual-tls", "proxy", "threads"]
# SOAP 1.1 demands 500 for a fault; the recipe judges 200, too.
each_server = pytest.mark.parametrize(
    "recipe", [*NAMES, "soap --fault-status 200 OK"], indirect=True
)
OTHER_THREADS = ["threads --server=cheroot", "threads --server=gunicorn"]
each_recipe = pytest.mark.parametrize("recipe", [*NAMES, *OTHER_THREADS], indirect=True)

# Of devices in São Paulo, Delhi, Reykjavík and Honolulu. Of Taiohae's offset, spyne 2.14 reads
# -09:30 as -08:30.
OFFSETS = [timedelta(minutes=minutes) for minutes in (-180, 330, 0, -600)]


def punch(employee: int) -> dict[str, Any]:
    """Return a punch of an employee, at another instant and offset than those of others."""
    zone = timezone(OFFSETS[employee % len(OFFSETS)])
    at = datetime(2026, 11, 22, 8, tzinfo=zone) + timedelta(seconds=employee)
    return {
        "employeeId": employee,
        "employerId": 121,
        "includedAt": at.isoformat(),
        "deviceId": 'gate "R&D" <3> São Paulo',
        "latitude": -23.55052,
        "longitude": -0.0000001,
        "accuracyMeters": 12.5,
    }


def accept(service: Service, employees: list[int]) -> dict[int, str]:
    """Accept and replicate the punches of these employees; return their ids by employee."""
    response = service.post([punch(each) for each in employees])
    assert response.status_code == 207
    service.replicate()
    return {each["record"]["employeeId"]: each["record"]["id"] for each in response.json_body}


def expected(ids: dict[int, str]) -> list[tuple[str, int, str]]:
    return sorted((ids[each], each, punch(each)["includedAt"]) for each in ids)


def is_left(service: Service, statuses: set[str]) -> bool:
    """Run the integrator once more; return whether all records have one of these statuses."""
    service.integrate()
    return service.statuses().keys() == statuses


@contextmanager
def integrating(service: Service) -> Iterator[threading.Thread]:
    """Integrate in a thread, until nothing is due."""
    run = threading.Thread(target=service.integrate)
    run.start()
    yield run
    run.join()


def last_log(service: Service, record_id: str) -> tuple[str, str]:
    """Return the status and the text of the last log of a record."""
    statement = (
        "SELECT status, log FROM integration_log WHERE point_id = CAST(:id AS uuid)"
        " ORDER BY number DESC LIMIT 1"
    )
    ((status, log),) = service.rows(statement, id=record_id)
    return status, log or ""


def test_each_profile_of_the_document_is_tested() -> None:
    assert list(PROFILES) == NAMES


@each_recipe
def test_every_punch_arrives_once_before_and_after_an_outage(
    service: Service, recipe: Recipe
) -> None:
    ids = accept(service, list(range(1, 41)))
    service.integrate()
    assert sorted(recipe.server.punches()) == expected(ids)
    assert service.statuses() == {"INTEGRATED": 40}

    recipe.server.kill()
    ids |= accept(service, list(range(41, 81)))
    with integrating(service):
        wait_until(lambda: service.rows("SELECT 1 FROM integration_log WHERE status = 'ERROR'"))
        recipe.server.start()
    wait_until(lambda: is_left(service, {"INTEGRATED"}))
    assert service.statuses() == {"INTEGRATED": 80}
    assert sorted(recipe.server.punches()) == expected(ids)


@each_server
def test_duplicate_is_integrated_and_refused_record_is_parked_with_its_reason(
    service: Service, recipe: Recipe
) -> None:
    ids = accept(service, [1, 2, UNKNOWN_EMPLOYEE, BUSY_EMPLOYEE])
    recipe.server.add(ids[1], 1)
    others = iter(range(10, 400))

    def is_parked() -> bool:
        # An attempt counts only if another record is delivered after it.
        with integrating(service) as run:
            while run.is_alive() and "REJECTED" not in service.statuses():
                accept(service, [next(others)])
        return is_left(service, {"INTEGRATED", "REJECTED"})

    wait_until(is_parked)
    status, log = last_log(service, ids[UNKNOWN_EMPLOYEE])
    assert status == "REJECTED"
    assert f"unknown employee {UNKNOWN_EMPLOYEE}" in log
    status, log = last_log(service, ids[1])
    assert status == "INTEGRATED"
    assert ("already had" in log) == (recipe.name != "threads")
    keys = [key for key, _, _ in recipe.server.punches()]
    assert len(keys) == len(set(keys)) == sum(service.statuses().values()) - 1


# What the client of HTTP adds, and a proxy.
ADDED_HEADERS = {"accept-encoding", "authorization", "user-agent", "via"}


@each_recipe
def test_check_prints_the_request_that_the_server_receives(
    service: Service, recipe: Recipe
) -> None:
    ids = accept(service, [7])
    service.integrate()
    (received,) = (each for each in recipe.server.requests() if each[1] != "/oauth/token")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "local", "legacy", "check"),
            *("--legacy", recipe.profile, "--record", json.dumps(punch(7))),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert PASSWORD not in done.stdout + done.stderr
    head, _, body = done.stdout.partition("\n\n")
    start, *lines = head.splitlines()
    headers = {name.lower(): value for name, _, value in (each.partition(": ") for each in lines)}
    method, target, received_headers, received_body = received
    assert start == f"{method} {target} HTTP/1.1"
    assert body == received_body + "\n"
    assert {
        name: received_headers.get(name) for name, value in headers.items() if value != "***"
    } == {name: value for name, value in headers.items() if value != "***"}
    assert headers.keys() ^ received_headers.keys() <= ADDED_HEADERS
    assert ids[7] in done.stdout
