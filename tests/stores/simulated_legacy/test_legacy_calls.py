"""Calls to the simulated legacy: their responses, the counts and the journal."""

import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.support.simulated_legacy import LegacyProcess
from tests.support.waiting import wait_until


def test_record_is_accepted_and_counted(legacy: LegacyProcess) -> None:
    response = legacy.send("a")

    assert (response.status_code, response.json()) == (200, {"message": "success"})
    report = legacy.report()
    assert report["first_accepted_at"] == report["last_accepted_at"] is not None
    del report["first_accepted_at"], report["last_accepted_at"]
    assert report == {
        "calls": 1,
        "accepted": 1,
        "duplicates": 0,
        "in_flight": 0,
        "most_in_flight": 1,
        "by_status": {"200": 1},
        "accepted_per_s": 0.1,
    }
    assert legacy.accepted_ids() == ["a"]


def test_repeated_key_gets_the_same_response_and_counts_as_a_duplicate(
    legacy: LegacyProcess,
) -> None:
    first, second = legacy.send("a"), legacy.send("a")

    assert second.content == first.content
    assert legacy.accepted_ids() == ["a"]
    assert legacy.report()["duplicates"] == 1


def test_record_under_two_keys_is_accepted_twice(legacy: LegacyProcess) -> None:
    legacy.send("a", key="1")
    legacy.send("a", key="2")

    assert legacy.accepted_ids() == ["a", "a"]


def test_counts_are_exact_with_concurrent_calls(legacy: LegacyProcess) -> None:
    legacy.set(error_rate=0.3, workers=3, queue=2, latency_ms=10)
    ids = [str(number) for number in range(300)]
    with ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(lambda each: legacy.send(each).status_code, ids))

    report = legacy.report()
    assert report["by_status"] == {str(each): n for each, n in Counter(statuses).items()}
    assert report["calls"] == 300
    assert report["most_in_flight"] <= 8
    accepted = [each for each, status in zip(ids, statuses, strict=True) if status == 200]
    assert sorted(legacy.accepted_ids()) == sorted(accepted)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, b'{"id": "a"}'),
        ({"Idempotency-Key": "a b"}, b'{"id": "a"}'),
        ({"Idempotency-Key": "a"}, b"not JSON"),
        ({"Idempotency-Key": "a"}, b"[]"),
        ({"Idempotency-Key": "a"}, b'{"id": 1}'),
    ],
)
def test_invalid_call_is_refused(
    legacy: LegacyProcess, headers: dict[str, str], body: bytes
) -> None:
    response = requests.post(f"{legacy.url}/point-records", body, headers=headers, timeout=10)

    assert response.status_code == 400
    assert legacy.accepted_ids() == []


def test_unknown_path_is_404_and_unknown_method_is_405(legacy: LegacyProcess) -> None:
    assert requests.get(f"{legacy.url}/nowhere", timeout=10).status_code == 404
    response = requests.get(f"{legacy.url}/point-records", timeout=10)
    assert (response.status_code, response.headers["Allow"]) == (405, "POST")


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/reset"), ("PUT", "/settings"), ("POST", "/point-records"), ("OPTIONS", "/reset")],
)
def test_web_page_has_no_access(legacy: LegacyProcess, method: str, path: str) -> None:
    legacy.send("a")
    before = legacy.settings()
    headers = {"Origin": "https://evil.example", "Idempotency-Key": "b"}
    body = '{"id": "b"}' if method == "POST" else '{"workers": 1}'
    page = requests.request(method, f"{legacy.url}{path}", data=body, headers=headers, timeout=10)

    assert page.status_code == 403
    assert (legacy.accepted_ids(), legacy.settings()) == (["a"], before)


def test_killed_process_keeps_the_records_that_it_acknowledged(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    process = LegacyProcess("--journal", str(journal))
    process.send("a")
    process.send("b")
    process.kill()
    with journal.open("ab") as file:
        file.write(b"c cut-sho")

    process = LegacyProcess("--journal", str(journal))
    try:
        process.send("b")
        process.send("d")
        assert process.accepted_ids() == ["a", "b", "d"]
        assert process.report()["duplicates"] == 1
    finally:
        process.kill()
    assert journal.read_text() == "a a\nb b\nd d\n"


def test_reset_empties_the_journal(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    process = LegacyProcess("--journal", str(journal))
    try:
        process.send("a")
        requests.post(f"{process.url}/reset", timeout=10)
        process.send("b")
    finally:
        process.kill()
    assert journal.read_text() == "b b\n"


def test_sigterm_ends_the_process_while_a_call_hangs(tmp_path: Path) -> None:
    process = LegacyProcess()
    process.set(outage={"fault": "hang"})
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(process.send)
        wait_until(lambda: process.report()["in_flight"] == 1)
        process.process.send_signal(signal.SIGTERM)
        assert process.wait() == 0
        assert isinstance(call.exception(), requests.ConnectionError)
