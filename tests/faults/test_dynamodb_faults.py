"""DynamoDB throttles, fails, disconnects and repeats pages: nothing is lost or duplicated."""

from collections.abc import Iterator
from typing import Any

import pytest

from chalicelib.errors import UnavailableError
from tests.support import killed_process
from tests.support.dynamodb_proxy import (
    INTERNAL_ERROR,
    REQUEST_LIMIT,
    SERVICE_UNAVAILABLE,
    THROTTLED,
    THROTTLED_TABLE,
    DynamoDBProxy,
    Fault,
    captive_portal,
    empty_page,
    pass_through,
    reset_after,
    reset_before,
    running,
    slow,
    stale_page,
    unprocessed,
)
from tests.support.record_counts import assert_replicated, buffered_ids, fill, replicated_ids
from tests.support.service import PUNCH, Service, error_of, punch

RECORDS = range(1, 121)
# How long after its deadline a run may end: a process has to start, and a call to finish.
GRACE_S = 6.0


@pytest.fixture
def proxy(dynamodb_url: str) -> Iterator[DynamoDBProxy]:
    with running(dynamodb_url) as proxy:
        yield proxy


@pytest.fixture
def variables(variables: dict[str, str], proxy: DynamoDBProxy) -> dict[str, str]:
    """The environment of a service that reaches DynamoDB through the proxy, with small pages."""
    return variables | {
        "AWS_ENDPOINT_URL_DYNAMODB": proxy.url,
        "REPLICATION_PAGE": "25",
        "REPLICATION_SEGMENTS": "2",
        "REPLICATION_DELETERS": "2",
        "REPLICATION_MARGIN_S": "0.5",
    }


def replicate_until_empty(service: Service, dynamodb: Any, table: str) -> int:
    """Run repeatedly, as the schedule does, until the buffer is empty; return the run count."""
    for runs in range(1, 10):
        try:
            service.replicate()
        except UnavailableError:
            continue
        if not buffered_ids(dynamodb, table):
            return runs
    raise AssertionError("the buffer is not empty after 9 runs")


def fault_names(value: Any) -> str | None:
    """Return the id of a test case: the names of its faults."""
    faults = value if isinstance(value, list) else [value]
    return " ".join(each.__name__ for each in faults) if callable(faults[0]) else None


@pytest.mark.parametrize(
    ("operation", "faults"),
    [
        ("Scan", [THROTTLED, INTERNAL_ERROR]),
        ("Scan", [pass_through, reset_before, reset_after]),
        ("Scan", [slow(0.3)] * 4),
        ("Scan", [empty_page, pass_through] * 4),
        ("BatchWriteItem", [THROTTLED_TABLE, SERVICE_UNAVAILABLE]),
        ("BatchWriteItem", [REQUEST_LIMIT]),
        ("BatchWriteItem", [reset_before, reset_after]),
        ("BatchWriteItem", [slow(0.3)] * 4),
        ("BatchWriteItem", [unprocessed(every=2)] * 6),
        ("BatchWriteItem", [unprocessed(every=1)] * 3),
    ],
    ids=fault_names,
)
def test_run_survives_transient_faults(
    service: Service,
    proxy: DynamoDBProxy,
    dynamodb: Any,
    table: str,
    operation: str,
    faults: list[Fault],
) -> None:
    accepted = fill(dynamodb, table, RECORDS)
    proxy.script(operation, *faults)
    service.replicate()
    assert_replicated(service, dynamodb, table, accepted)


@pytest.mark.parametrize(
    ("operation", "fault"),
    [
        ("Scan", THROTTLED),
        ("Scan", reset_after),
        ("Scan", captive_portal),
        ("BatchWriteItem", reset_after),
        ("BatchWriteItem", captive_portal),
    ],
    ids=fault_names,
)
def test_persistent_fault_fails_the_run_and_later_runs_complete_it(
    service: Service,
    proxy: DynamoDBProxy,
    dynamodb: Any,
    table: str,
    operation: str,
    fault: Fault,
) -> None:
    accepted = fill(dynamodb, table, RECORDS)
    proxy.script(operation, pass_through)
    proxy.always(operation, fault)
    with pytest.raises(UnavailableError):
        service.replicate()
    assert buffered_ids(dynamodb, table) | replicated_ids(service) == set(accepted)
    proxy.repair()
    replicate_until_empty(service, dynamodb, table)
    assert_replicated(service, dynamodb, table, accepted)


@pytest.mark.parametrize("fault", [THROTTLED, THROTTLED_TABLE, unprocessed(every=1)])
def test_throttled_deletes_yield_to_puts_and_are_made_later(
    service: Service,
    proxy: DynamoDBProxy,
    dynamodb: Any,
    table: str,
    capsys: pytest.CaptureFixture[str],
    fault: Fault,
) -> None:
    accepted = fill(dynamodb, table, RECORDS)
    proxy.always("BatchWriteItem", fault)
    service.replicate(seconds=2.5)
    assert buffered_ids(dynamodb, table) == set(accepted)
    assert '"throttled": 0' not in capsys.readouterr().out
    # Without the pace, each of the two deleters makes some hundred calls a second.
    assert proxy.calls["BatchWriteItem"] <= 40
    accepted += service.accept([5_000])
    proxy.repair()
    replicate_until_empty(service, dynamodb, table)
    assert_replicated(service, dynamodb, table, accepted)


def test_item_that_is_read_again_after_its_deletion_is_a_no_op(
    service: Service, proxy: DynamoDBProxy, dynamodb: Any, table: str
) -> None:
    accepted = fill(dynamodb, table, RECORDS)
    # Each of the two segments returns its first page, repeats it, and then continues.
    proxy.script("Scan", pass_through, pass_through, stale_page, stale_page)
    service.replicate()
    assert_replicated(service, dynamodb, table, accepted)
    accepted += fill(dynamodb, table, range(1_000, 1_050))
    proxy.script("Scan", *[stale_page] * 4)
    service.replicate()
    assert_replicated(service, dynamodb, table, accepted)


def test_runs_with_many_faults_replicate_each_record_once(
    service: Service, proxy: DynamoDBProxy, dynamodb: Any, table: str
) -> None:
    accepted = fill(dynamodb, table, RECORDS)
    service.replicate()
    accepted += fill(dynamodb, table, range(1_000, 1_120))
    proxy.script("Scan", stale_page, THROTTLED, empty_page, reset_after, stale_page, INTERNAL_ERROR)
    proxy.script(
        "BatchWriteItem",
        unprocessed(every=3),
        reset_after,
        THROTTLED,
        unprocessed(every=2),
        SERVICE_UNAVAILABLE,
    )
    replicate_until_empty(service, dynamodb, table)
    assert_replicated(service, dynamodb, table, accepted)


@pytest.mark.parametrize(
    ("operation", "fault"),
    [
        ("Scan", empty_page),
        ("Scan", stale_page),
        ("BatchWriteItem", unprocessed(every=1)),
        ("BatchWriteItem", THROTTLED),
        ("BatchWriteItem", slow(1)),
    ],
    ids=fault_names,
)
def test_run_ends_in_time_under_a_permanent_fault(
    service: Service,
    proxy: DynamoDBProxy,
    variables: dict[str, str],
    dynamodb: Any,
    table: str,
    operation: str,
    fault: Fault,
) -> None:
    accepted = fill(dynamodb, table, range(1, 401))
    if fault is stale_page:
        proxy.script("Scan", pass_through, pass_through)
    proxy.always(operation, fault)
    # As by default, a page has many more deletes than there are deleters.
    large_pages = variables | {"REPLICATION_PAGE": "250", "REPLICATION_DELETERS": "1"}
    process = killed_process.start("replicate", large_pages, seconds=1.5)
    process.join(1.5 + GRACE_S)
    ended_in_time = process.exitcode is not None
    killed_process.kill_after(process, 0)
    assert ended_in_time
    assert buffered_ids(dynamodb, table) | replicated_ids(service) == set(accepted)
    proxy.repair()
    service.replicate()
    assert_replicated(service, dynamodb, table, accepted)


@pytest.mark.parametrize(
    "fault", [THROTTLED, INTERNAL_ERROR, reset_before, reset_after, captive_portal], ids=fault_names
)
def test_punch_that_got_a_503_can_be_posted_again(
    service: Service, proxy: DynamoDBProxy, dynamodb: Any, table: str, fault: Fault
) -> None:
    proxy.always("PutItem", fault)
    response = service.post(PUNCH)
    assert response.status_code == 503
    assert error_of(response)["code"] == "Unavailable"
    proxy.repair()
    repeated = service.post(PUNCH)
    # If only the response was lost, the first request has stored the record.
    assert repeated.status_code == (200 if fault is reset_after else 201)
    assert buffered_ids(dynamodb, table) == {repeated.json_body["id"]}


@pytest.mark.parametrize(
    "faults",
    [[THROTTLED], [INTERNAL_ERROR], [reset_after], [SERVICE_UNAVAILABLE, reset_after]],
    ids=fault_names,
)
def test_put_that_is_retried_within_a_request_creates_one_record(
    service: Service, proxy: DynamoDBProxy, dynamodb: Any, table: str, faults: list[Fault]
) -> None:
    proxy.script("PutItem", *faults)
    created = service.post(PUNCH)
    assert created.status_code == 201
    assert proxy.calls["PutItem"] == len(faults) + 1
    repeated = service.post(PUNCH)
    assert repeated.status_code == 200
    assert repeated.json_body == created.json_body
    assert buffered_ids(dynamodb, table) == {created.json_body["id"]}


def test_acknowledged_records_of_an_array_are_stored_while_others_fail(
    service: Service, proxy: DynamoDBProxy, dynamodb: Any, table: str
) -> None:
    body = [punch(each) for each in range(1, 41)]
    # Some items get more faults in a row than a put has attempts, so they fail.
    proxy.script("PutItem", *[pass_through, THROTTLED, reset_after, INTERNAL_ERROR] * 15)
    items = service.post(body).json_body
    statuses = [item["status"] for item in items]
    assert set(statuses) <= {200, 201, 503}
    stored = {item["record"]["id"] for item in items if item["status"] != 503}
    assert stored <= buffered_ids(dynamodb, table)
    proxy.repair()
    accepted = service.accept(range(1, 41))
    assert buffered_ids(dynamodb, table) == set(accepted)
    service.replicate()
    assert_replicated(service, dynamodb, table, accepted)


@pytest.mark.parametrize("fault", [INTERNAL_ERROR, captive_portal], ids=fault_names)
def test_unreadable_record_is_unavailable_and_not_missing(
    service: Service, proxy: DynamoDBProxy, fault: Fault
) -> None:
    (record_id,) = service.accept([1])
    proxy.always("GetItem", fault)
    proxy.always("Scan", fault)
    response = service.get(f"/point-record/{record_id}")
    assert response.status_code == 503
    assert error_of(response)["code"] == "Unavailable"
    assert service.get("/health").status_code == 200
    proxy.repair()
    assert service.get(f"/point-record/{record_id}").status_code == 200
