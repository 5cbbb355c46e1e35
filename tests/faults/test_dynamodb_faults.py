"""DynamoDB that throttles, fails, breaks off and repeats itself: nothing is lost or doubled."""

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
# A run may end so much after its deadline: the process has to begin, and a call to end.
GRACE_S = 6.0


@pytest.fixture
def proxy(dynamodb_url: str) -> Iterator[DynamoDBProxy]:
    with running(dynamodb_url) as proxy:
        yield proxy


@pytest.fixture
def variables(variables: dict[str, str], proxy: DynamoDBProxy) -> dict[str, str]:
    """The environment of a service that has DynamoDB behind the proxy, and takes small steps."""
    return variables | {
        "AWS_ENDPOINT_URL_DYNAMODB": proxy.url,
        "REPLICATION_PAGE": "25",
        "REPLICATION_SEGMENTS": "2",
        "REPLICATION_DELETERS": "2",
        "REPLICATION_MARGIN_S": "0.5",
    }


def replicate_until_empty(service: Service, dynamodb: Any, table: str) -> int:
    """Run again and again, as the schedule does, and return how many runs it took."""
    for runs in range(1, 10):
        try:
            service.replicate()
        except UnavailableError:
            continue
        if not buffered_ids(dynamodb, table):
            return runs
    raise AssertionError("It never ends.")


def named(value: Any) -> str | None:
    """Name a case by its faults."""
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
    ids=named,
)
def test_a_run_outlasts_what_soon_passes(
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


@pytest.mark.parametrize("operation", ["Scan", "BatchWriteItem"])
@pytest.mark.parametrize("fault", [THROTTLED, reset_after, captive_portal], ids=named)
def test_a_run_that_cannot_go_on_says_so_and_the_next_makes_it_whole(
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


def test_what_was_deleted_and_is_read_again_dissolves(
    service: Service, proxy: DynamoDBProxy, dynamodb: Any, table: str
) -> None:
    accepted = fill(dynamodb, table, RECORDS)
    # Each segment begins with what is there; then it repeats that, and goes on.
    proxy.script("Scan", pass_through, pass_through, stale_page, stale_page)
    service.replicate()
    assert_replicated(service, dynamodb, table, accepted)
    accepted += fill(dynamodb, table, range(1_000, 1_050))
    proxy.script("Scan", *[stale_page] * 4)
    service.replicate()
    assert_replicated(service, dynamodb, table, accepted)


def test_runs_that_meet_every_fault_in_turn_end_exact(
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
    ids=named,
)
def test_a_run_under_a_fault_without_end_ends_in_time(
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
    # A page is many more deletes than there are deleters, as by default.
    wide = variables | {"REPLICATION_PAGE": "250", "REPLICATION_DELETERS": "1"}
    process = killed_process.start("replicate", wide, seconds=1.5)
    process.join(1.5 + GRACE_S)
    in_time = process.exitcode is not None
    killed_process.kill_after(process, 0)
    assert in_time
    assert buffered_ids(dynamodb, table) | replicated_ids(service) == set(accepted)
    proxy.repair()
    service.replicate()
    assert_replicated(service, dynamodb, table, accepted)


@pytest.mark.parametrize(
    "fault", [THROTTLED, INTERNAL_ERROR, reset_before, reset_after, captive_portal], ids=named
)
def test_a_phone_that_is_told_to_come_again_loses_no_punch(
    service: Service, proxy: DynamoDBProxy, dynamodb: Any, table: str, fault: Fault
) -> None:
    proxy.always("PutItem", fault)
    answer = service.post(PUNCH)
    assert answer.status_code == 503
    assert error_of(answer)["code"] == "Unavailable"
    proxy.repair()
    again = service.post(PUNCH)
    # What was stored though its answer was lost is there already.
    assert again.status_code == (200 if fault is reset_after else 201)
    assert buffered_ids(dynamodb, table) == {again.json_body["id"]}


@pytest.mark.parametrize(
    "faults",
    [[THROTTLED], [INTERNAL_ERROR], [reset_after], [SERVICE_UNAVAILABLE, reset_after]],
    ids=named,
)
def test_a_put_that_is_tried_again_within_the_call_is_created_once(
    service: Service, proxy: DynamoDBProxy, dynamodb: Any, table: str, faults: list[Fault]
) -> None:
    proxy.script("PutItem", *faults)
    created = service.post(PUNCH)
    assert created.status_code == 201
    assert proxy.calls["PutItem"] == len(faults) + 1
    again = service.post(PUNCH)
    assert again.status_code == 200
    assert again.json_body == created.json_body
    assert buffered_ids(dynamodb, table) == {created.json_body["id"]}


def test_of_an_array_what_is_acknowledged_is_stored_whatever_else_fails(
    service: Service, proxy: DynamoDBProxy, dynamodb: Any, table: str
) -> None:
    body = [punch(each) for each in range(1, 41)]
    # More faults in a row than a put is tried: some items fail for good.
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


@pytest.mark.parametrize("fault", [INTERNAL_ERROR, captive_portal], ids=named)
def test_a_record_that_cannot_be_read_now_is_not_said_to_be_missing(
    service: Service, proxy: DynamoDBProxy, fault: Fault
) -> None:
    (record_id,) = service.accept([1])
    proxy.always("GetItem", fault)
    proxy.always("Scan", fault)
    answer = service.get(f"/point-record/{record_id}")
    assert answer.status_code == 503
    assert error_of(answer)["code"] == "Unavailable"
    assert service.get("/health").status_code == 200
    proxy.repair()
    assert service.get(f"/point-record/{record_id}").status_code == 200
