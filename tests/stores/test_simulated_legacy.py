"""The simulated legacy as a process of its own, over real connections."""

import json
import signal
import statistics
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest
import requests

from chalicelib.errors import InvalidError
from local.legacy.capacity import TokenBucket, work_s
from local.legacy.settings import LegacySettings, RateLimit, change

PROJECT = Path(__file__).resolve().parents[2]


class Client:
    """One process of the simulated legacy, and a session of its own for each call."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "local.legacy", *arguments],
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout
        self.url = json.loads(self.process.stdout.readline())["url"]

    def kill(self) -> None:
        self.process.kill()
        self.wait()

    def wait(self) -> int:
        assert self.process.stdout
        self.process.stdout.close()
        return self.process.wait(10)

    def send(self, record_id: str = "", key: str = "", timeout: float = 10) -> requests.Response:
        record_id = record_id or str(uuid.uuid4())
        return requests.post(
            f"{self.url}/point-records",
            json={"id": record_id, "employeeId": 1, "employerId": 2},
            headers={"Idempotency-Key": key or record_id},
            timeout=timeout,
            allow_redirects=False,
        )

    def set(self, **settings: Any) -> requests.Response:
        return requests.put(f"{self.url}/settings", json=settings, timeout=10)

    def settings(self) -> dict[str, Any]:
        return requests.get(f"{self.url}/settings", timeout=10).json()

    def report(self) -> dict[str, Any]:
        return requests.get(f"{self.url}/report", timeout=10).json()

    def accepted_ids(self) -> list[str]:
        return requests.get(f"{self.url}/report/keys", timeout=10).text.splitlines()


@pytest.fixture(scope="module")
def process() -> Iterator[Client]:
    client = Client()
    yield client
    client.kill()


@pytest.fixture
def legacy(process: Client) -> Client:
    """The process with no records and no faults, and work that takes no time."""
    process.set(**asdict(LegacySettings(latency_ms=0))).raise_for_status()
    requests.post(f"{process.url}/reset", timeout=10).raise_for_status()
    return process


def eventually(true: Callable[[], bool], within_s: float = 10) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


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
        eventually(lambda: client.report()["in_flight"] == 1)
        client.process.send_signal(signal.SIGTERM)
        assert client.wait() == 0
        assert isinstance(call.exception(), requests.ConnectionError)


# How fast


def test_calls_beyond_workers_and_queue_are_refused_at_once(legacy: Client) -> None:
    legacy.set(workers=1, queue=1, latency_ms=60_000, distribution="constant")
    with ThreadPoolExecutor(2) as threads:
        working = threads.submit(legacy.send, "working")
        eventually(lambda: legacy.report()["in_flight"] == 1)
        waiting = threads.submit(legacy.send, "waiting")
        eventually(lambda: legacy.report()["in_flight"] == 2)
        assert legacy.send("beyond").status_code == 503

        legacy.set(workers=2, latency_ms=0)  # a worker more takes the waiting call at once
        assert waiting.result().status_code == 200
        assert not working.done()
        restart(legacy)
        assert isinstance(working.exception(), requests.ConnectionError)


def restart(legacy: Client) -> None:
    """Drop every connection."""
    legacy.set(outage={"fault": "refuse", "for_s": 0.01})
    eventually(lambda: is_open(legacy))


def is_open(legacy: Client) -> bool:
    try:
        legacy.report()
    except requests.ConnectionError:
        return False
    return True


def test_capacity_is_as_set_however_many_call(legacy: Client) -> None:
    legacy.set(workers=4, queue=100, latency_ms=20, distribution="constant")
    started = time.monotonic()
    with ThreadPoolExecutor(12) as threads:
        list(threads.map(lambda _: legacy.send(), range(60)))

    took = time.monotonic() - started
    assert took >= 60 / 4 * 0.020
    assert 4 < legacy.report()["most_in_flight"] <= 12


def test_client_that_hangs_up_does_not_stop_the_work(legacy: Client) -> None:
    legacy.set(latency_ms=300, distribution="constant")
    with pytest.raises(requests.ReadTimeout):
        legacy.send("a", timeout=0.1)

    eventually(lambda: legacy.report()["by_status"] == {"gone": 1})
    eventually(lambda: legacy.accepted_ids() == ["a"])


@pytest.mark.parametrize("distribution", ["constant", "exponential", "lognormal", "pareto"])
def test_median_of_the_work_is_as_set(distribution: str) -> None:
    settings = change(LegacySettings(), {"latency_ms": 80, "distribution": distribution})
    random = Random(7)
    drawn = [work_s(settings, 1, random) for _ in range(20_000)]

    assert statistics.median(drawn) == pytest.approx(0.080, rel=0.03)
    assert (len(set(drawn)) == 1) == (distribution == "constant")


def test_longest_work_is_as_set() -> None:
    body = {"distribution": "pareto", "pareto_alpha": 0.5, "latency_max_ms": 900}
    settings = change(LegacySettings(), body)
    random = Random(7)

    assert max(work_s(settings, 1, random) for _ in range(1_000)) == 0.9


def test_collapse_makes_throughput_peak_and_fall() -> None:
    body = {"distribution": "constant", "collapse": {"alpha": 0.02, "beta": 0.0015}}
    settings = change(LegacySettings(), body)

    throughput = {n: n / work_s(settings, n, Random()) for n in range(1, 201)}

    assert max(throughput, key=throughput.__getitem__) == 26  # sqrt((1 - 0.02) / 0.0015) = 25.6
    assert throughput[200] < throughput[26] / 3


def test_rate_limit_lets_in_a_burst_then_its_rate() -> None:
    bucket = TokenBucket(RateLimit(per_s=2, burst=3), now=100.0)

    assert [bucket.take(100.0) for _ in range(4)] == [True, True, True, False]
    assert [bucket.take(at) for at in (100.4, 100.5, 100.6, 101.0)] == [False, True, False, True]
    assert [bucket.take(200.0) for _ in range(4)] == [True, True, True, False]


def test_call_beyond_the_rate_is_told_when_to_return(legacy: Client) -> None:
    limit = {"per_s": 0.001, "burst": 1, "retry_after_s": 7}
    legacy.set(rate_limit=limit)
    legacy.send()
    answer = legacy.send()
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")

    legacy.set(rate_limit={**limit, "retry_after": "date"})
    assert legacy.send().status_code == 200  # a rate that is set begins with a full bucket
    due = parsedate_to_datetime(legacy.send().headers["Retry-After"])
    assert 4 <= (due - datetime.now(UTC)).total_seconds() <= 7


# Faults


def test_share_of_errors_is_not_accepted(legacy: Client) -> None:
    legacy.set(error_rate=1)

    assert legacy.send().status_code == 500
    assert legacy.accepted_ids() == []


def test_lost_reply_is_accepted(legacy: Client) -> None:
    legacy.set(lost_reply_rate=1)

    with pytest.raises(requests.ConnectionError):
        legacy.send("a")
    assert legacy.accepted_ids() == ["a"]
    assert legacy.report()["by_status"] == {"lost": 1}


def test_hanging_call_is_dropped_in_the_end(legacy: Client) -> None:
    legacy.set(hang_rate=1, hang_s=0.2)

    with pytest.raises(requests.ConnectionError):
        legacy.send("a")
    assert legacy.accepted_ids() == []
    assert legacy.report()["by_status"] == {"hung": 1}


def test_same_seed_gives_the_same_faults(legacy: Client) -> None:
    def statuses(seed: int) -> list[int]:
        legacy.set(error_rate=0.5, seed=seed)
        return [legacy.send().status_code for _ in range(20)]

    assert statuses(5) == statuses(5)
    assert statuses(5) != statuses(6)


def test_brown_out_comes_and_goes(legacy: Client) -> None:
    legacy.set(brown_out={"every_s": 0.2, "for_s": 0.1, "fault": "500"})

    assert legacy.send().status_code == 200
    eventually(lambda: legacy.send().status_code == 500)
    eventually(lambda: legacy.send().status_code == 200)


def test_outage_lasts_until_it_is_changed(legacy: Client) -> None:
    legacy.set(outage={"fault": "503"})
    assert legacy.send().status_code == 503

    legacy.set(outage={"fault": "reset"})
    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        legacy.send()

    legacy.set(outage={"fault": "hang"})
    with pytest.raises(requests.ReadTimeout):
        legacy.send(timeout=0.1)

    legacy.set(outage=None)
    assert legacy.send().status_code == 200


def test_outage_ends_by_itself(legacy: Client) -> None:
    legacy.set(outage={"fault": "503", "for_s": 0.1})

    assert legacy.send().status_code == 503
    eventually(lambda: legacy.send().status_code == 200)


def test_refusing_outage_closes_the_port_and_opens_it_again(legacy: Client) -> None:
    with requests.Session() as kept:
        kept.get(f"{legacy.url}/report", timeout=10)
        legacy.set(outage={"fault": "refuse", "for_s": 0.5})
        with pytest.raises(requests.ConnectionError, match="refused"):
            legacy.send()
        with pytest.raises(requests.ConnectionError):
            kept.get(f"{legacy.url}/report", timeout=10)
    eventually(lambda: is_open(legacy))
    assert legacy.send().status_code == 200


def test_refusing_outage_can_be_ended_by_the_connection_that_began_it(legacy: Client) -> None:
    with requests.Session() as kept:
        outage = {"fault": "refuse", "for_s": 3_600}
        kept.put(f"{legacy.url}/settings", json={"outage": outage}, timeout=10)
        assert not is_open(legacy)
        kept.put(f"{legacy.url}/settings", json={"outage": None}, timeout=10)
    assert legacy.send().status_code == 200


# Scripted answers


@pytest.mark.parametrize(
    ("answer", "status", "body", "header"),
    [
        ({"body": "\x00garbage"}, 200, "\x00garbage", ("Content-Type", "application/json")),
        (
            {"body": "<html>Welcome</html>", "content_type": "text/html; charset=utf-8"},
            200,
            "<html>Welcome</html>",
            ("Content-Type", "text/html; charset=utf-8"),
        ),
        ({"body": '{"message": "queued"}'}, 200, '{"message": "queued"}', None),
        ({"status": 204, "body": ""}, 204, "", None),
        (
            {"status": 302, "headers": {"Location": "/login"}, "body": ""},
            302,
            "",
            ("Location", "/login"),
        ),
        ({"status": 400, "body": "no such employee"}, 400, "no such employee", None),
        (
            {"status": 401, "headers": {"WWW-Authenticate": "Basic"}},
            401,
            '{"message": "success"}',
            ("WWW-Authenticate", "Basic"),
        ),
        (
            {"status": 429, "headers": {"Retry-After": "when we feel like it"}, "body": ""},
            429,
            "",
            ("Retry-After", "when we feel like it"),
        ),
    ],
)
def test_scripted_answer_is_given_as_it_is(
    legacy: Client,
    answer: dict[str, Any],
    status: int,
    body: str,
    header: tuple[str, str] | None,
) -> None:
    legacy.set(answer=answer).raise_for_status()
    got = legacy.send("a")

    assert (got.status_code, got.text) == (status, body)
    assert header is None or got.headers[header[0]] == header[1]
    assert legacy.accepted_ids() == []


def test_scripted_answer_can_be_for_some_records_and_some_times(legacy: Client) -> None:
    legacy.set(answer={"status": 400, "only_ids": ["poison"], "times": 2})
    ids = ["poison", "good", "poison", "poison"]

    assert [legacy.send(each).status_code for each in ids] == [400, 200, 400, 200]


def test_scripted_answer_can_follow_acceptance(legacy: Client) -> None:
    legacy.set(answer={"status": 500, "accepts": True})

    assert legacy.send("a").status_code == 500
    assert legacy.accepted_ids() == ["a"]


def test_scripted_reset_reaches_the_client(legacy: Client) -> None:
    legacy.set(answer={"reset": True})

    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        legacy.send()


def test_dripping_answer_outlives_a_read_timeout(legacy: Client) -> None:
    legacy.set(answer={"body": "1234567", "drip_s": 0.1})
    started = time.monotonic()

    assert legacy.send(timeout=0.3).text == "1234567"
    assert time.monotonic() - started >= 0.6


# Settings


def test_settings_can_be_changed_in_part(legacy: Client) -> None:
    before = legacy.settings()
    answer = legacy.set(workers=7, collapse={"beta": 0.1})

    assert answer.json() == legacy.settings()
    assert legacy.settings() == {
        **before,
        "workers": 7,
        "collapse": {"alpha": 0.02, "beta": 0.1},
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("workers", 0),
        ("workers", 1.5),
        ("workers", True),
        ("workers", "3"),
        ("workers", None),
        ("error_rate", 1.1),
        ("distribution", "normal"),
        ("distribution", ["constant"]),
        ("speed", 1),
        ("rate_limit", 5),
        ("rate_limit.per_s", 0),
        ("rate_limit.retry_after", "soon"),
        ("brown_out", {"every_s": 1, "for_s": 2}),
        ("collapse.gamma", 1),
        ("outage.fault", "500"),
        ("outage", {"fault": "refuse"}),
        ("answer.status", 100),
        ("answer.body", 1),
        ("answer.reset", "yes"),
        ("answer.only_ids", [1]),
        ("answer.headers", {"A": 1}),
        ("answer", {"headers": {"A": "1\r\nB: 2"}}),
        ("answer", {"headers": {"A B": "1"}}),
        ("answer", {"headers": {"Content-Length": "1"}}),
    ],
)
def test_bad_setting_is_refused_by_name(name: str, value: object) -> None:
    outer, _, inner = name.partition(".")
    with pytest.raises(InvalidError, match=rf"^{name} \S+") as refusal:
        change(LegacySettings(), {outer: {inner: value} if inner else value})
    assert [each.target for each in refusal.value.details] == [name]


def test_refused_change_names_every_fault_and_changes_nothing(legacy: Client) -> None:
    before = legacy.settings()
    answer = legacy.set(workers=9, queue=-1, answer={"status": 1, "times": 0})

    assert answer.status_code == 400
    for name in ("queue", "answer.status", "answer.times"):
        assert name in answer.json()["message"]
    assert legacy.settings() == before


def test_settings_that_are_not_an_object_are_refused(legacy: Client) -> None:
    for body in (b"", b"[]", b"{"):
        assert requests.put(f"{legacy.url}/settings", body, timeout=10).status_code == 400
