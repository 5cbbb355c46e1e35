"""The first poster of a punch owns its evidence, and later posts leave a trace.

The answer to a post says which evidence the record has. A later post with other evidence is in the
log of the record, with its poster, whether the record was still in the buffer or long in Postgres.
"""

import json
from collections.abc import Collection
from datetime import timedelta
from typing import Any

import pytest

import app
from chalicelib import container
from chalicelib.buffer import _MAX_OTHER_EVIDENCE
from chalicelib.postgres.other_evidence import MAX_POSTS
from chalicelib.principal import Principal, Role
from chalicelib.replicator.page_commit import commit_page
from local.tokens import make_token
from tests.support.lambda_events import context
from tests.support.record_counts import buffered_ids
from tests.support.service import PUNCH, Service
from tests.support.tokens import KEY, operator_event

FAKE = {**PUNCH, "deviceId": "FAKE"}
PHONE = {
    **PUNCH,
    "includedAt": "2026-11-22T12:00:00+01:00",
    "deviceId": "phone 7",
    "latitude": -23.5,
    "longitude": -46.6,
    "accuracyMeters": 8.0,
}
BY_EMPLOYER = Principal(Role.EMPLOYER, 121, subject="eve")
BY_EMPLOYEE = Principal(Role.EMPLOYEE, 121, 7, subject="ada")
EMPLOYER = make_token(KEY, Role.EMPLOYER, 121, subject="eve")
EMPLOYEE = make_token(KEY, Role.EMPLOYEE, 121, 7, subject="ada")


def post(service: Service, token: str, body: Any) -> tuple[int, Any]:
    response = service.http.post(
        "/point-record",
        headers={"Content-Type": "application/json", "Authorization": f"Bearer {token}"},
        body=json.dumps(body).encode(),
    )
    return response.status_code, response.json_body


def evidence_rows(service: Service) -> list[dict[str, Any]]:
    """Return what the log says of other evidence, read by OData as the employee."""
    response = service.http.get(
        "/odata/IntegrationLogs?$filter=contains(log,'with%20other%20evidence')",
        headers={"Authorization": f"Bearer {EMPLOYEE}"},
    )
    texts = [each["log"] for each in response.json_body["value"]]
    return [
        json.loads(text[text.index("{") : text.rindex("}") + 1]) | {"text": text} for text in texts
    ]


def assert_both_are_logged_once(service: Service, record_id: str) -> None:
    (row,) = evidence_rows(service)
    assert row["text"].startswith("Posted again as employee with other evidence: {")
    assert row["posted"] == {
        "postedBy": "ada",
        "postedAs": "employee",
        "utcOffsetMinutes": 60,
        "deviceId": "phone 7",
        "latitude": -23.5,
        "longitude": -46.6,
        "accuracyMeters": 8.0,
    }
    assert row["kept"] == {
        "postedBy": "eve",
        "postedAs": "employer",
        "utcOffsetMinutes": -180,
        "deviceId": "FAKE",
    }
    record = service.get(f"/point-record/{record_id}").json_body
    assert (record["deviceId"], record["postedBy"], record["postedAs"]) == (
        "FAKE", "eve", "employer",
    )  # fmt: skip
    # The row has the status of the record, so that the last row always has it.
    assert service.logs(record_id)[-1][1] == record["status"]


def test_other_evidence_of_a_buffered_punch_is_answered_and_logged(
    service: Service, dynamodb: Any, table: str
) -> None:
    status, created = post(service, EMPLOYER, FAKE)
    assert (status, "evidence" in created) == (201, False)
    for _ in range(3):
        status, answer = post(service, EMPLOYEE, PHONE)
        assert status == 200
        assert answer == {**created, "evidence": "logged"}
    assert post(service, EMPLOYEE, [PHONE]) == (
        207,
        [{"status": 200, "record": created, "evidence": "logged"}],
    )
    assert post(service, EMPLOYER, FAKE) == (200, created)
    assert len(buffered_ids(dynamodb, table)) == 2
    service.replicate()
    assert buffered_ids(dynamodb, table) == set()
    assert_both_are_logged_once(service, created["id"])


def test_other_evidence_of_a_replicated_punch_is_logged(
    service: Service, dynamodb: Any, table: str
) -> None:
    """Intake does not know that Postgres has a record, so the answer is that of a new one."""
    _, created = post(service, EMPLOYER, FAKE)
    service.replicate()
    for _ in range(2):
        assert post(service, EMPLOYEE, PHONE)[0] == 201
        assert service.get(f"/point-record/{created['id']}").json_body["deviceId"] == "FAKE"
        service.replicate()
    assert buffered_ids(dynamodb, table) == set()
    assert_both_are_logged_once(service, created["id"])


def test_other_evidence_of_a_delivered_punch_is_logged(service: Service, legacy: Any) -> None:
    _, created = post(service, EMPLOYER, FAKE)
    service.replicate()
    service.integrate()
    post(service, EMPLOYEE, PHONE)
    service.replicate()
    service.integrate()
    assert_both_are_logged_once(service, created["id"])
    assert service.statuses() == {"INTEGRATED": 1}
    assert legacy.accepted_ids() == [created["id"]]


def test_post_of_other_evidence_by_odata_says_what_is_kept(service: Service) -> None:
    post(service, EMPLOYER, FAKE)

    def create(prefer: str = "return=representation") -> Any:
        return service.http.post(
            "/odata/PointRecords",
            headers={
                "Content-Type": "application/json",
                "Authorization": f"Bearer {EMPLOYEE}",
                "Prefer": prefer,
            },
            body=json.dumps(PHONE).encode(),
        )

    answer = create()
    assert answer.status_code == 200
    assert answer.json_body["@PunchClock.evidence"] == "logged"
    assert answer.json_body["deviceId"] == "FAKE"
    assert create("return=minimal").status_code == 204


def test_change_set_keeps_other_evidence(service: Service) -> None:
    records = container.intake()
    first, second = (
        records.read(each, principal)
        for each, principal in ((FAKE, BY_EMPLOYER), (PHONE, BY_EMPLOYEE))
    )
    other = records.read({**PUNCH, "employeeId": 8}, BY_EMPLOYER)
    accepted = records.accept_records([first, second, other])
    assert [each.evidence for each in accepted] == [None, "logged", None]
    service.replicate()
    assert_both_are_logged_once(service, str(first.id))


def test_flood_of_evidence_is_bounded_for_each_role(
    service: Service, dynamodb: Any, table: str
) -> None:
    post(service, EMPLOYER, PUNCH)
    answers = set()
    for round_number in range(MAX_POSTS // _MAX_OTHER_EVIDENCE + 2):
        for number in range(_MAX_OTHER_EVIDENCE + 2):
            body = {**PUNCH, "deviceId": f"{round_number}/{number}"}
            status, answer = post(service, EMPLOYER, body)
            answers.add((status, answer.get("evidence")))
        assert len(buffered_ids(dynamodb, table)) <= _MAX_OTHER_EVIDENCE + 1
        service.replicate()
    assert answers == {(200, "logged"), (200, "dropped"), (201, None)}
    assert len(evidence_rows(service)) == MAX_POSTS
    # The phone has room of its own.
    post(service, EMPLOYEE, PHONE)
    service.replicate()
    assert sum("as employee" in each["text"] for each in evidence_rows(service)) == 1


def test_post_waits_for_its_record(service: Service, dynamodb: Any, table: str) -> None:
    """Segments of the buffer are read in any order, and a run may be killed between them."""
    _, created = post(service, EMPLOYER, FAKE)
    post(service, EMPLOYEE, PHONE)
    key = {"id": {"S": created["id"]}}
    item = dynamodb.get_item(TableName=table, Key=key)["Item"]
    dynamodb.delete_item(TableName=table, Key=key)
    service.replicate()
    assert service.statuses() == {}
    assert buffered_ids(dynamodb, table) == {f"{created['id']}/employee/0"}
    dynamodb.put_item(TableName=table, Item=item)
    service.replicate()
    assert_both_are_logged_once(service, created["id"])


def test_post_without_a_record_is_quarantined_in_the_end(
    service: Service, dynamodb: Any, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, created = post(service, EMPLOYER, FAKE)
    post(service, EMPLOYEE, PHONE)
    dynamodb.delete_item(TableName=table, Key={"id": {"S": created["id"]}})
    monkeypatch.setattr("chalicelib.replicator.page_commit._LONGEST_WAIT", timedelta(0))
    service.replicate()
    assert buffered_ids(dynamodb, table) == set()
    ((reason,),) = service.rows("SELECT reason FROM quarantine")
    assert reason == "the record of this post has never arrived"


def test_late_post_waits_for_a_record_that_is_buffered_or_has_just_left_the_buffer(
    service: Service, dynamodb: Any, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chalicelib.replicator.page_commit._LONGEST_WAIT", timedelta(0))
    _, created = post(service, EMPLOYER, FAKE)
    post(service, EMPLOYEE, PHONE)
    key = f"{created['id']}/employee/0"
    item = dynamodb.get_item(TableName=table, Key={"id": {"S": key}})["Item"]
    store, items = container.point_record_store(), container.buffered_items()

    def replicate_meanwhile(ids: Collection[str]) -> set[str]:
        assert set(ids) == {created["id"]}
        service.replicate()
        return items.existing_ids(ids)

    for buffered in (items.existing_ids, replicate_meanwhile):
        page = commit_page([item], store, buffered)
        assert (page.waiting, page.quarantined) == ({key}, [])
    assert commit_page([item], store, items.existing_ids).waiting == set()
    assert_both_are_logged_once(service, created["id"])


def test_released_post_whose_record_exists_is_in_its_log(
    service: Service, dynamodb: Any, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, created = post(service, EMPLOYER, FAKE)
    post(service, EMPLOYEE, PHONE)
    key = {"id": {"S": created["id"]}}
    record = dynamodb.get_item(TableName=table, Key=key)["Item"]
    dynamodb.delete_item(TableName=table, Key=key)
    with monkeypatch.context() as patch:
        patch.setattr("chalicelib.replicator.page_commit._LONGEST_WAIT", timedelta(0))
        service.replicate()
    dynamodb.put_item(TableName=table, Item=record)
    service.replicate()
    ((number,),) = service.rows("SELECT id FROM quarantine")
    released = app.release(operator_event(quarantineId=number), context())
    assert released == created["id"]
    assert service.rows("SELECT count(*) FROM quarantine") == [(0,)]
    assert_both_are_logged_once(service, created["id"])
