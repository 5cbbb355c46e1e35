"""The buffer on a real DynamoDB endpoint."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from chalicelib.buffer import Buffer
from chalicelib.errors import NotImplementedByServiceError, UnavailableError
from chalicelib.point_record import PointRecord, parse, to_json

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def punch(employee: int = 1) -> PointRecord:
    body = {"employeeId": employee, "employerId": 2, "includedAt": "2026-11-22T08:00:00-03:00"}
    return parse(body, NOW, 60)


@pytest.fixture
def buffer(dynamodb: Any, table: str) -> Buffer:
    return Buffer(dynamodb, table, sleep=lambda _: None)


def items(buffer: Buffer, page: int = 7, segments: int = 3) -> list[str]:
    return [
        item["id"]["S"]
        for segment in range(segments)
        for found in buffer.pages(segment, segments, page)
        for item in found
    ]


def test_stores_a_punch_once_and_returns_the_first(buffer: Buffer) -> None:
    first = punch()
    later = replace(first, created_at=NOW + timedelta(hours=1), device_id="another")
    assert buffer.put(first) == (first, True)
    assert buffer.put(later) == (first, False)
    assert buffer.get(str(first.id)) == first


def test_knows_its_own_record_when_the_answer_to_the_put_was_lost(buffer: Buffer) -> None:
    buffer.put(punch())
    assert buffer.put(punch()) == (punch(), True)


def test_one_of_many_at_once_stores_it(buffer: Buffer) -> None:
    instants = [NOW + timedelta(seconds=each) for each in range(20)]
    records = [replace(punch(), created_at=instant) for instant in instants]
    with ThreadPoolExecutor(10) as pool:
        stored = list(pool.map(buffer.put, records))
    assert sum(created for _, created in stored) == 1
    assert len({record for record, _ in stored}) == 1


def test_stores_records_together_and_knows_those_that_were_there(buffer: Buffer) -> None:
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
    assert sorted(items(buffer)) == sorted(str(punch(each).id) for each in (1, 2, 3))


def test_stores_none_of_more_records_than_it_can_store_together(buffer: Buffer) -> None:
    many = [punch(each) for each in range(1, 102)]
    with pytest.raises(NotImplementedByServiceError, match="100"):
        buffer.put_atomically(many)
    assert items(buffer) == []
    assert all(created for _, created in buffer.put_atomically(many[:100]))
    assert len(items(buffer)) == 100


def test_records_stored_together_by_many_at_once_are_stored_once(buffer: Buffer) -> None:
    def put(number: int) -> list[tuple[PointRecord, bool]]:
        created_at = NOW + timedelta(seconds=number)
        return buffer.put_atomically([replace(punch(each), created_at=created_at) for each in (1, 2)])

    with ThreadPoolExecutor(5) as pool:
        stored = list(pool.map(put, range(10)))
    assert sum(created for found in stored for _, created in found) == 2
    assert len({record for found in stored for record, _ in found}) == 2


def test_does_not_acknowledge_records_together_that_nobody_has_stored(dynamodb: Any) -> None:
    with pytest.raises(UnavailableError):
        Buffer(dynamodb, "nowhere").put_atomically([punch(1), punch(2)])


def test_does_not_acknowledge_a_punch_whose_place_holds_junk(
    buffer: Buffer, dynamodb: Any, table: str
) -> None:
    dynamodb.put_item(TableName=table, Item={"id": {"S": str(punch().id)}, "x": {"N": "1"}})
    with pytest.raises(UnavailableError):
        buffer.put(punch())


def test_every_item_is_on_one_page_of_one_segment(buffer: Buffer) -> None:
    ids = [str(buffer.put(punch(employee))[0].id) for employee in range(1, 60)]
    assert sorted(items(buffer)) == sorted(ids)


def test_deletes_what_it_is_told_and_nothing_else(buffer: Buffer) -> None:
    ids = [str(buffer.put(punch(employee))[0].id) for employee in range(1, 31)]
    assert buffer.delete(ids[:25]) == 25
    assert buffer.delete(ids[:25]) == 25  # already gone
    assert sorted(items(buffer)) == sorted(ids[25:])


def test_tells_how_much_waits_and_since_when(buffer: Buffer, dynamodb: Any, table: str) -> None:
    assert buffer.pending(10) == {"waiting": 0, "more": False, "oldestAgeSeconds": None}
    aged = replace(punch(), created_at=datetime.now(UTC) - timedelta(minutes=5))
    buffer.put(aged)
    dynamodb.put_item(TableName=table, Item={"id": {"S": "junk"}})
    pending = buffer.pending(10)
    assert (pending["waiting"], pending["more"]) == (2, False)
    assert 300 <= pending["oldestAgeSeconds"] < 360
    assert buffer.pending(1)["more"]


class Scripted:
    """A client that answers what a real endpoint cannot be made to answer at will."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.calls: list[dict[str, Any]] = []

    def __getattr__(self, operation: str) -> Any:
        def call(**request: Any) -> Any:
            self.calls.append(json.loads(json.dumps(request)))
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call


def refusal(code: str, **fields: Any) -> ClientError:
    return ClientError({"Error": {"Code": code}, **fields}, "operation")


@pytest.mark.parametrize(
    "fault",
    [
        refusal("ProvisionedThroughputExceededException"),
        refusal("InternalServerError"),
        refusal("ResourceNotFoundException"),
        EndpointConnectionError(endpoint_url="http://127.0.0.1"),
    ],
)
def test_whatever_the_endpoint_suffers_from_is_unavailability(fault: Exception) -> None:
    record_id = str(punch().id)
    for call in (
        lambda buffer: buffer.put(punch()),
        lambda buffer: buffer.get(record_id),
        lambda buffer: buffer.delete([record_id]),
        lambda buffer: list(buffer.pages(0, 1, 10)),
        lambda buffer: buffer.pending(10),
    ):
        with pytest.raises(UnavailableError):
            call(Buffer(Scripted(fault), "t"))


def test_takes_the_stored_item_from_the_refusal_where_it_is_given() -> None:
    stored = {"id": {"S": "x"}, "record": {"S": json.dumps(to_json(punch()))}}
    client = Scripted(refusal("ConditionalCheckFailedException", Item=stored))
    assert Buffer(client, "t").put(replace(punch(), device_id="x")) == (punch(), False)


def test_puts_again_when_the_record_has_just_moved_on() -> None:
    client = Scripted(refusal("ConditionalCheckFailedException"), {}, {})
    assert Buffer(client, "t").put(punch()) == (punch(), True)


def test_goes_on_past_an_empty_page() -> None:
    last = {"Items": [{"id": {"S": "x"}}]}
    client = Scripted({"Items": [], "LastEvaluatedKey": {"id": {"S": "k"}}}, last)
    assert list(Buffer(client, "t").pages(0, 1, 10)) == [[], last["Items"]]
    assert client.calls[1]["ExclusiveStartKey"] == {"id": {"S": "k"}}


def test_sends_unprocessed_deletes_again_and_counts_what_is_left() -> None:
    def left(*ids: str) -> dict[str, Any]:
        requests = [{"DeleteRequest": {"Key": {"id": {"S": each}}}} for each in ids]
        return {"UnprocessedItems": {"t": requests}}

    client = Scripted(left("b", "c"), left("c"), *[left("c")] * 4)
    assert Buffer(client, "t", sleep=lambda _: None).delete(["a", "b", "c"]) == 2
    assert client.calls[1]["RequestItems"] == left("b", "c")["UnprocessedItems"]


@pytest.mark.parametrize(
    "junk", [{}, {"record": {"S": "junk"}}, {"record": {"N": "1"}}, {"x": {"M": {}}}]
)
def test_junk_is_discarded_unless_a_punch_stands_in_its_place_by_now(
    buffer: Buffer, dynamodb: Any, table: str, junk: dict[str, Any]
) -> None:
    key = {"id": {"S": str(punch().id)}}
    dynamodb.put_item(TableName=table, Item=key | junk)
    assert buffer.delete_unchanged(key | junk) == 1
    assert buffer.get(str(punch().id)) is None
    buffer.put(punch())  # a phone is told that it is stored
    assert buffer.delete_unchanged(key | junk) == 0  # by a run that had read the junk before
    assert buffer.get(str(punch().id)) == punch()
