"""The functions as AWS calls them: the events of API Gateway and of EventBridge."""

import json
from typing import Any

import pytest

import app
from tests.support.lambda_events import HOST, context, rest_event, schedule_event
from tests.support.service import PUNCH, Service, punch
from tests.support.tokens import operator_event

JSON = {"Content-Type": "application/json; charset=utf-8"}


def call(event: dict[str, Any]) -> dict[str, Any]:
    """Hand over an event as the runtime does, and take the answer as API Gateway reads it."""
    answer: dict[str, Any] = app.app(json.loads(json.dumps(event)), context())
    assert set(answer) == {"statusCode", "headers", "multiValueHeaders", "body"}
    return json.loads(json.dumps(answer))


def post(**changes: Any) -> dict[str, Any]:
    return rest_event("POST", "/point-record", body=json.dumps(PUNCH), headers=JSON, **changes)


def get(record_id: str, **changes: Any) -> dict[str, Any]:
    return rest_event(
        "GET",
        f"/point-record/{record_id}",
        resource="/point-record/{record_id}",
        path_parameters={"record_id": record_id},
        **changes,
    )


def test_a_record_is_found_under_the_location_that_it_was_given(service: Service) -> None:
    answer = call(post())
    record = json.loads(answer["body"])
    assert answer["statusCode"] == 201
    assert answer["headers"]["Location"] == f"https://{HOST}/api/point-record/{record['id']}"
    assert json.loads(call(get(record["id"]))["body"]) == record


def test_the_location_has_the_prefix_under_which_the_service_was_called(service: Service) -> None:
    def base(**changes: Any) -> str:
        location: str = call(post(**changes))["headers"]["Location"]
        return location.rpartition("/point-record/")[0]

    assert base(stage="dev") == f"https://{HOST}/dev"
    assert base(stage_in_path=False) == f"https://{HOST}"
    # A stage may have the name of a route, or begin with it.
    assert base(stage="point-record") == f"https://{HOST}/point-record"
    assert base(stage="point-records") == f"https://{HOST}/point-records"


@pytest.mark.parametrize(
    ("forwarded", "scheme"),
    [("https", "https"), ("https, http", "https"), ("HTTPS", "https"), ("http, https", "http"),
     ("javascript", "http"), ("", "http")],
)  # fmt: skip
def test_a_location_has_the_scheme_that_the_client_spoke(
    service: Service, forwarded: str, scheme: str
) -> None:
    event = post()
    event["headers"] |= {"X-Forwarded-Proto": forwarded}
    event["multiValueHeaders"] |= {"X-Forwarded-Proto": [forwarded]}
    answer = call(event)
    assert answer["headers"]["Location"].startswith(f"{scheme}://{HOST}/")
    assert ("Strict-Transport-Security" in answer["headers"]) == (scheme == "https")


def test_a_call_of_the_console_has_no_headers_at_all(service: Service) -> None:
    event = post(stage="test-invoke-stage", stage_in_path=False)
    event |= {"headers": None, "multiValueHeaders": None}
    assert call(event)["statusCode"] == 401


def test_a_body_in_base64_is_the_same_body(service: Service) -> None:
    event = rest_event(
        "POST",
        "/point-record",
        body=json.dumps(PUNCH).encode(),
        headers={"content-type": "application/json"},
    )
    assert event["isBase64Encoded"]
    assert call(event)["statusCode"] == 201
    assert call(post())["statusCode"] == 200


def test_a_query_that_nobody_asked_for_does_no_harm(service: Service) -> None:
    assert call(post(query={"x": ["1", "2"], "": [""]}))["statusCode"] == 201


def test_an_array_is_answered_item_by_item(service: Service) -> None:
    event = rest_event("POST", "/point-record", body=json.dumps([punch(1), {}]), headers=JSON)
    answer = call(event)
    assert answer["statusCode"] == 207
    assert answer["headers"]["Content-Type"] == "application/json"
    assert [each["status"] for each in json.loads(answer["body"])] == [201, 400]


def test_the_schedules_run_on_the_events_of_a_rule(service: Service) -> None:
    call(post())
    assert app.replicate(schedule_event(), context()) is None
    assert service.statuses() == {"AWAITING": 1}
    assert app.integrate(schedule_event(), context()) is None
    assert service.statuses() == {"INTEGRATED": 1}


def test_a_run_without_time_left_does_nothing_and_fails_not(service: Service) -> None:
    call(post())
    app.replicate(schedule_event(), context(seconds=1))
    assert service.statuses() == {}
    app.replicate(schedule_event(), context())
    app.integrate(schedule_event(), context(seconds=3))
    assert service.statuses() == {"AWAITING": 1}


def test_migrating_again_changes_nothing(service: Service) -> None:
    assert app.migrate(operator_event(), context()) == []


def test_the_function_of_phones_answers_as_the_routes_do(service: Service) -> None:
    answer = app.intake(post(stage="prod"), context())
    assert answer["statusCode"] == 201
    assert answer["headers"]["Location"].startswith(f"https://{HOST}/prod/point-record/")
    assert call(post(stage="prod"))["statusCode"] == 200


def test_a_body_that_is_null_is_no_record(service: Service) -> None:
    event = rest_event("POST", "/point-record", body=None, headers=JSON)
    assert event["body"] is None
    answer = call(event)
    assert answer["statusCode"] == 400
    assert json.loads(answer["body"])["error"]["code"] == "Invalid"


def test_of_an_option_that_comes_twice_neither_is_overheard(service: Service) -> None:
    def get_records(query: dict[str, list[str]]) -> dict[str, Any]:
        resource, names = "/odata/{resource}", {"resource": "PointRecords"}
        return call(
            rest_event(
                "GET",
                "/odata/PointRecords",
                resource=resource,
                path_parameters=names,
                query=query,
                headers=JSON,
            )
        )

    assert get_records({"$top": ["1"], "$count": ["true"]})["statusCode"] == 200
    answer = get_records({"$top": ["1", "2"]})
    assert answer["statusCode"] == 400
    assert "$top" in answer["body"]
    assert get_records({})["statusCode"] == 200  # and null where there is none
