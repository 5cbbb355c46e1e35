"""The simulated legacy with a thread for each open connection."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.support.simulated_legacy import LegacyProcess
from tests.support.waiting import wait_until


def post(session: requests.Session, legacy: LegacyProcess, record_id: str) -> requests.Response:
    return session.post(
        f"{legacy.url}/point-records",
        json={"id": record_id},
        headers={"Idempotency-Key": record_id},
        timeout=10,
    )


def test_idle_connection_keeps_its_thread_from_a_new_one(legacy: LegacyProcess) -> None:
    legacy.set(thread_per_connection={"threads": 1, "keep_alive_s": 0.5})
    with requests.Session() as kept:
        post(kept, legacy, "a")
        with pytest.raises(requests.ReadTimeout):
            legacy.send("gave up", timeout=0.1)
        assert post(kept, legacy, "b").elapsed.total_seconds() < 0.4  # it has the thread still
        idle_since = time.monotonic()
        legacy.send("waited")
        assert 0.4 < time.monotonic() - idle_since < 5
    assert legacy.accepted_ids() == ["a", "b", "waited"]


def test_connection_closed_by_its_client_frees_its_thread(legacy: LegacyProcess) -> None:
    legacy.set(thread_per_connection={"threads": 1, "keep_alive_s": 3_600})
    for _ in range(3):  # each call on a connection of its own, which is closed afterwards
        assert legacy.send().status_code == 200


def test_calls_beyond_the_threads_wait_in_order(legacy: LegacyProcess) -> None:
    legacy.set(
        thread_per_connection={"threads": 2, "keep_alive_s": 3_600},
        latency_ms=50,
        distribution="constant",
    )
    with ThreadPoolExecutor(8) as clients:
        began = time.monotonic()
        # A response that is kept would keep its connection open.
        statuses = list(clients.map(lambda _: legacy.send().status_code, range(8)))
    assert statuses == [200] * 8
    assert time.monotonic() - began >= 4 * 0.05


def test_work_of_a_client_that_is_gone_keeps_its_thread(legacy: LegacyProcess) -> None:
    legacy.set(
        thread_per_connection={"threads": 1, "keep_alive_s": 3_600},
        latency_ms=600,
        distribution="constant",
    )
    began = time.monotonic()
    with pytest.raises(requests.ReadTimeout):
        legacy.send("gone", timeout=0.1)
    legacy.set(latency_ms=0)
    assert legacy.send("next").status_code == 200
    assert time.monotonic() - began >= 0.6
    assert legacy.accepted_ids() == ["gone", "next"]


def test_keep_alive_of_zero_closes_each_connection(legacy: LegacyProcess) -> None:
    legacy.set(thread_per_connection={"threads": 1, "keep_alive_s": 0})
    assert legacy.send().headers["Connection"] == "close"
    assert legacy.send().status_code == 200


def test_waiting_calls_go_on_when_the_threads_are_switched_off(legacy: LegacyProcess) -> None:
    legacy.set(thread_per_connection={"threads": 1, "keep_alive_s": 3_600})
    with requests.Session() as kept, ThreadPoolExecutor(1) as clients:
        post(kept, legacy, "a")
        waiting = clients.submit(legacy.send, "b")
        wait_until(lambda: legacy.report()["in_flight"] == 1)
        legacy.set(thread_per_connection=None)
        assert waiting.result().status_code == 200
