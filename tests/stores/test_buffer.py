"""The buffer on a DynamoDB endpoint, and on a scripted client for responses it cannot give.

Each test on an endpoint runs with both clients: the lean one, which leaves scans and deletes to
boto3's, and boto3's alone.
"""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chalicelib.buffer import Buffer
from chalicelib.buffered_items import BufferedItems
from chalicelib.delete_pace import DeletePace
from chalicelib.dynamodb.dynamodb_error import DynamoDBError
from chalicelib.errors import NotImplementedByServiceError, UnavailableError
from chalicelib.point_record import PointRecord, parse, to_json
from tests.support.dynamodb_clients import by_boto3, lean, variables

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def punch(employee: int = 1) -> PointRecord:
    body = {"employeeId": employee, "employerId": 2, "includedAt": "2026-11-22T08:00:00-03:00"}
    return parse(body, NOW, 60)


@pytest.fixture(scope="module", params=["lean", "boto3"])
def client(request: pytest.FixtureRequest, dynamodb_url: str) -> Any:
    """A client of the endpoint."""
    environ = variables(dynamodb_url)
    connected = by_boto3(environ)
    return lean(environ, lambda: connected) if request.param == "lean" else connected


@pytest.fixture
def buffer(client: Any, table: str) -> Buffer:
    return Buffer(client, table)


@pytest.fixture
def items(client: Any, table: str) -> BufferedItems:
    return BufferedItems(client, table, sleep=lambda _: None)


def item_ids(items: BufferedItems, page: int = 7, segments: int = 3) -> list[str]:
    """Return the ids of all items, scanned page by page."""
    return [
        item["id"]["S"]
        for segment in range(segments)
        for page_items in items.pages(segment, segments, page)
        for item in page_items
    ]


def test_put_of_a_stored_punch_returns_the_stored_record(buffer: Buffer) -> None:
    first = punch()
    later = replace(first, created_at=NOW + timedelta(hours=1), device_id="another")
    assert buffer.put(first) == (first, True)
    assert buffer.put(later) == (first, False)
    assert buffer.get(str(first.id)) == first


def test_put_whose_first_response_was_lost_counts_as_created(buffer: Buffer) -> None:
    buffer.put(punch())
    assert buffer.put(punch()) == (punch(), True)


def test_one_of_many_concurrent_puts_stores_the_record(buffer: Buffer) -> None:
    instants = [NOW + timedelta(seconds=each) for each in range(20)]
    records = [replace(punch(), created_at=instant) for instant in instants]
    with ThreadPoolExecutor(10) as pool:
        stored = list(pool.map(buffer.put, records))
    assert sum(created for _, created in stored) == 1
    assert len({record for record, _ in stored}) == 1


def test_put_atomically_tells_new_records_from_stored_ones(
    buffer: Buffer, items: BufferedItems
) -> None:
    first = punch(1)
    buffer.put(first)
    later = replace(first, created_at=NOW + timedelta(hours=1))
    assert buffer.put_atomically([punch(2), later, punch(3), punch(3)]) == [
        (punch(2), True),
        (first, False),
        (punch(3), True),
        (punch(3), True),
    ]
    assert buffer.put_atomically([later]) == [(first, False)]
    assert sorted(item_ids(items)) == sorted(str(punch(each).id) for each in (1, 2, 3))


def test_put_atomically_rejects_more_records_than_a_transaction_may_write(
    buffer: Buffer, items: BufferedItems
) -> None:
    many = [punch(each) for each in range(1, 102)]
    with pytest.raises(NotImplementedByServiceError, match="100"):
        buffer.put_atomically(many)
    assert item_ids(items) == []
    assert all(created for _, created in buffer.put_atomically(many[:100]))
    assert len(item_ids(items)) == 100


def test_concurrent_transactions_store_each_record_once(buffer: Buffer) -> None:
    def put(number: int) -> list[tuple[PointRecord, bool]]:
        created_at = NOW + timedelta(seconds=number)
        records = [replace(punch(each), created_at=created_at) for each in (1, 2)]
        return buffer.put_atomically(records)

    with ThreadPoolExecutor(5) as pool:
        stored = list(pool.map(put, range(10)))
    assert sum(created for results in stored for _, created in results) == 2
    assert len({record for results in stored for record, _ in results}) == 2


def test_store_without_a_table_is_unavailable(client: Any) -> None:
    buffer, items = Buffer(client, "nowhere"), BufferedItems(client, "nowhere")
    for call in (
        lambda: buffer.put_atomically([punch(1), punch(2)]),
        lambda: buffer.put(punch()),
        lambda: buffer.get(str(punch().id)),
        lambda: items.delete([str(punch().id)], DeletePace()),
        lambda: items.existing_ids([str(punch().id)]),
        lambda: list(items.pages(0, 1, 10)),
        lambda: items.pending(10),
    ):
        with pytest.raises(UnavailableError):
            call()


def test_put_under_the_id_of_an_invalid_item_is_unavailable(
    buffer: Buffer, dynamodb: Any, table: str
) -> None:
    dynamodb.put_item(TableName=table, Item={"id": {"S": str(punch().id)}, "x": {"N": "1"}})
    with pytest.raises(UnavailableError):
        buffer.put(punch())


def test_each_item_is_on_exactly_one_page_of_one_segment(
    buffer: Buffer, items: BufferedItems
) -> None:
    ids = [str(buffer.put(punch(employee))[0].id) for employee in range(1, 60)]
    assert sorted(item_ids(items)) == sorted(ids)


def test_delete_removes_the_given_items_and_no_others(buffer: Buffer, items: BufferedItems) -> None:
    ids = [str(buffer.put(punch(employee))[0].id) for employee in range(1, 31)]
    assert items.delete(ids[:25], DeletePace()) == 25
    assert items.delete(ids[:25], DeletePace()) == 25  # deleting is idempotent
    assert sorted(item_ids(items)) == sorted(ids[25:])


def test_pending_has_the_number_of_items_and_the_age_of_the_oldest_record(
    buffer: Buffer, items: BufferedItems, dynamodb: Any, table: str
) -> None:
    assert items.pending(10) == {
        "waiting": 0,
        "estimated": False,
        "oldestAgeSeconds": None,
        "acceptedLastMinute": 0,
    }
    aged = replace(punch(), created_at=datetime.now(UTC) - timedelta(minutes=5))
    buffer.put(aged)
    dynamodb.put_item(TableName=table, Item={"id": {"S": "invalid"}})
    pending = items.pending(10)
    assert (pending["waiting"], pending["estimated"]) == (2, False)
    assert 300 <= pending["oldestAgeSeconds"] < 360
    assert pending["acceptedLastMinute"] == 0
    buffer.put(replace(punch(9), created_at=datetime.now(UTC)))
    assert items.pending(10)["acceptedLastMinute"] == 1
    items.delete([str(punch(9).id)], DeletePace())
    beyond = items.pending(1)  # one response of 1 MB still counts them exactly
    assert (beyond["waiting"], beyond["estimated"]) == (2, False)


def test_pending_beyond_a_response_is_extrapolated_from_a_sample(
    items: BufferedItems, dynamodb: Any, table: str
) -> None:
    size = 2_000
    filler = "x" * 2_000  # 4 MB in all: the first sixteenth fits into a response
    for first in range(0, size, 25):
        puts = [
            {"PutRequest": {"Item": {"id": {"S": f"{each:036}"}, "filler": {"S": filler}}}}
            for each in range(first, first + 25)
        ]
        dynamodb.batch_write_item(RequestItems={table: puts})
    pending = items.pending(100)
    assert pending["estimated"]
    # A sixteenth of 2,000 items varies by a standard deviation of 9 %.
    assert pending["waiting"] == pytest.approx(size, rel=0.4)


class ScriptedClient:
    """A client that returns or raises the given responses, which an endpoint does not at will."""

    def __init__(self, *responses: object) -> None:
        self.responses = list(responses)
        self.calls: list[dict[str, Any]] = []

    def __getattr__(self, operation: str) -> Any:
        def call(**request: Any) -> Any:
            self.calls.append(json.loads(json.dumps(request)))
            response = self.responses.pop(0)
            if isinstance(response, Exception):
                raise response
            return response

        return call


def failed(code: str, **fields: Any) -> DynamoDBError:
    return DynamoDBError(f"operation: {code}", code, fields)


@pytest.mark.parametrize(
    "fault",
    [
        failed("ProvisionedThroughputExceededException"),
        failed("InternalServerError"),
        failed("ResourceNotFoundException"),
        failed(""),
    ],
)
def test_every_operation_is_unavailable_if_the_endpoint_fails(fault: Exception) -> None:
    record_id = str(punch().id)
    for call in (
        lambda client: Buffer(client, "t").put(punch()),
        lambda client: Buffer(client, "t").get(record_id),
        lambda client: list(BufferedItems(client, "t").pages(0, 1, 10)),
        lambda client: BufferedItems(client, "t").pending(10),
    ):
        with pytest.raises(UnavailableError):
            call(ScriptedClient(fault))


@pytest.mark.parametrize(
    "fault",
    [
        failed("InternalServerError"),
        DynamoDBError("no response"),
    ],
)
def test_deletes_are_unavailable_if_the_endpoint_fails(fault: DynamoDBError) -> None:
    with pytest.raises(UnavailableError):
        BufferedItems(ScriptedClient(fault), "t").delete(["a"], DeletePace())
    with pytest.raises(UnavailableError):
        BufferedItems(ScriptedClient(fault), "t").delete_unchanged({"id": {"S": "a"}}, DeletePace())


def test_put_takes_the_stored_item_from_the_failed_condition() -> None:
    stored = {"id": {"S": "x"}, "record": {"S": json.dumps(to_json(punch()))}}
    client = ScriptedClient(failed("ConditionalCheckFailedException", Item=stored))
    assert Buffer(client, "t").put(replace(punch(), device_id="x")) == (punch(), False)


def test_put_is_retried_if_the_stored_item_has_just_been_deleted() -> None:
    client = ScriptedClient(failed("ConditionalCheckFailedException"), {}, {})
    assert Buffer(client, "t").put(punch()) == (punch(), True)


CONFLICT = failed("TransactionConflictException")


def cancelled(*codes: str) -> DynamoDBError:
    reasons = [{"Code": each} for each in codes]
    return failed("TransactionCanceledException", CancellationReasons=reasons)


def test_put_that_meets_a_transaction_is_sent_again_after_a_pause() -> None:
    pauses: list[float] = []
    assert Buffer(ScriptedClient(CONFLICT, CONFLICT, {}), "t", sleep=pauses.append).put(
        punch()
    ) == (punch(), True)
    assert 0 < pauses[0] < pauses[1] < 1
    with pytest.raises(UnavailableError):
        Buffer(ScriptedClient(*[CONFLICT] * 3), "t", sleep=pauses.append).put(punch())


@pytest.mark.parametrize(
    "cancellation",
    [
        cancelled("None", "TransactionConflict"),
        cancelled("ThrottlingError", "None"),
        failed("TransactionCanceledException"),
        failed("TransactionCanceledException", CancellationReasons=[{}, {}]),
    ],
    ids=repr,
)
def test_transaction_that_is_cancelled_for_now_is_sent_again_after_a_pause(
    cancellation: DynamoDBError,
) -> None:
    pauses: list[float] = []
    both = [punch(1), punch(2)]
    client = ScriptedClient(cancellation, {})
    assert Buffer(client, "t", sleep=pauses.append).put_atomically(both) == [
        (punch(1), True),
        (punch(2), True),
    ]
    assert client.calls[0] == client.calls[1]
    assert len(pauses) == 1
    with pytest.raises(UnavailableError, match="Send them again"):
        Buffer(ScriptedClient(*[cancellation] * 3), "t", sleep=pauses.append).put_atomically(both)


def test_delete_of_an_invalid_item_that_meets_a_transaction_is_left_to_a_later_run() -> None:
    items = BufferedItems(ScriptedClient(CONFLICT), "t")
    assert items.delete_unchanged({"id": {"S": "a"}}, DeletePace()) == 0


def test_consistent_scan_asks_for_all_items_on_each_page() -> None:
    client = ScriptedClient({"Items": [], "LastEvaluatedKey": {"id": {"S": "k"}}}, {"Items": []})
    list(BufferedItems(client, "t").pages(0, 1, 10, consistent=True))
    assert [each["ConsistentRead"] for each in client.calls] == [True, True]


def test_scan_continues_after_an_empty_page() -> None:
    last = {"Items": [{"id": {"S": "x"}}]}
    client = ScriptedClient({"Items": [], "LastEvaluatedKey": {"id": {"S": "k"}}}, last)
    assert list(BufferedItems(client, "t").pages(0, 1, 10)) == [[], last["Items"]]
    assert client.calls[1]["ExclusiveStartKey"] == {"id": {"S": "k"}}


def test_unprocessed_deletes_are_retried_and_not_counted_if_they_remain() -> None:
    def unprocessed(*ids: str) -> dict[str, Any]:
        requests = [{"DeleteRequest": {"Key": {"id": {"S": each}}}} for each in ids]
        return {"UnprocessedItems": {"t": requests}}

    client = ScriptedClient(unprocessed("b", "c"), unprocessed("c"), *[unprocessed("c")] * 4)
    assert BufferedItems(client, "t").delete(["a", "b", "c"], DeletePace()) == 2
    assert client.calls[1]["RequestItems"] == unprocessed("b", "c")["UnprocessedItems"]


@pytest.mark.parametrize(
    "code",
    ["ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded"],
)
def test_throttled_deletes_are_retried_and_then_left(code: str) -> None:
    pace = DeletePace()
    client = ScriptedClient(failed(code), failed(code), {"UnprocessedItems": {}})
    assert BufferedItems(client, "t").delete(["a"], pace) == 1
    assert pace.cuts == 2
    assert BufferedItems(ScriptedClient(*[failed(code)] * 6), "t").delete(["a"], pace) == 0
    assert pace.cuts == 8
    cut = BufferedItems(ScriptedClient(failed(code)), "t")
    assert cut.delete_unchanged({"id": {"S": "a"}}, DeletePace()) == 0


def test_delete_that_may_not_continue_makes_no_call() -> None:
    client = ScriptedClient()
    assert BufferedItems(client, "t").delete(["a"], DeletePace(), lambda: False) == 0
    assert (
        BufferedItems(client, "t").delete_unchanged({"id": {"S": "a"}}, DeletePace(), lambda: False)
        == 0
    )
    assert client.calls == []


@pytest.mark.parametrize(
    "invalid", [{}, {"record": {"S": "invalid"}}, {"record": {"N": "1"}}, {"x": {"M": {}}}]
)
def test_invalid_item_is_deleted_unless_a_punch_has_replaced_it(
    buffer: Buffer, items: BufferedItems, dynamodb: Any, table: str, invalid: dict[str, Any]
) -> None:
    key = {"id": {"S": str(punch().id)}}
    dynamodb.put_item(TableName=table, Item=key | invalid)
    assert items.delete_unchanged(key | invalid, DeletePace()) == 1
    assert buffer.get(str(punch().id)) is None
    buffer.put(punch())  # acknowledged to a phone
    assert (
        items.delete_unchanged(key | invalid, DeletePace()) == 0
    )  # by a run that read the invalid item before
    assert buffer.get(str(punch().id)) == punch()
