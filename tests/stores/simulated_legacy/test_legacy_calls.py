"""What becomes of calls to the simulated legacy, and what is kept of them."""

import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.support.simulated_legacy import Client
from tests.support.waiting import wait_until


def test_record_is_accepted_and_counted(legacy: Client) -> None:
    answer = legacy.send("a")

    assert (answer.status_code, answer.json()) == (200, {"message": "success"})
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


def test_same_key_again_is_answered_alike_and_counted_as_duplicate(legacy: Client) -> None:
    first, second = legacy.send("a"), legacy.send("a")

    assert second.content == first.content
    assert legacy.accepted_ids() == ["a"]
    assert legacy.report()["duplicates"] == 1


def test_record_under_two_keys_is_seen_twice(legacy: Client) -> None:
    legacy.send("a", key="1")
    legacy.send("a", key="2")

    assert legacy.accepted_ids() == ["a", "a"]


def test_counts_are_exact_under_many_calls_at_once(legacy: Client) -> None:
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
def test_call_that_makes_no_sense_is_refused(
    legacy: Client, headers: dict[str, str], body: bytes
) -> None:
    answer = requests.post(f"{legacy.url}/point-records", body, headers=headers, timeout=10)

    assert answer.status_code == 400
    assert legacy.accepted_ids() == []


def test_unknown_path_and_method_are_named(legacy: Client) -> None:
    assert requests.get(f"{legacy.url}/nowhere", timeout=10).status_code == 404
    answer = requests.get(f"{legacy.url}/point-records", timeout=10)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")


def test_killed_process_remembers_what_it_acknowledged(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    client = Client("--journal", str(journal))
    client.send("a")
    client.send("b")
    client.kill()
    with journal.open("ab") as file:
        file.write(b"c cut-sho")

    client = Client("--journal", str(journal))
    try:
        client.send("b")
        client.send("d")
        assert client.accepted_ids() == ["a", "b", "d"]
        assert client.report()["duplicates"] == 1
    finally:
        client.kill()
    assert journal.read_text() == "a a\nb b\nd d\n"


def test_reset_forgets_the_journal_too(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    client = Client("--journal", str(journal))
    try:
        client.send("a")
        requests.post(f"{client.url}/reset", timeout=10)
        client.send("b")
    finally:
        client.kill()
    assert journal.read_text() == "b b\n"


def test_sigterm_ends_it_though_a_call_hangs(tmp_path: Path) -> None:
    client = Client()
    client.set(outage={"fault": "hang"})
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(client.send)
        wait_until(lambda: client.report()["in_flight"] == 1)
        client.process.send_signal(signal.SIGTERM)
        assert client.wait() == 0
        assert isinstance(call.exception(), requests.ConnectionError)
