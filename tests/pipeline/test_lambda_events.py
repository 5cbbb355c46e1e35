"""Lambda functions called with the events of API Gateway and of EventBridge."""

import json
from typing import Any

import pytest

import app
from tests.support.lambda_events import HOST, context, rest_event, schedule_event
from tests.support.service import PUNCH, Service, punch, wired
from tests.support.tokens import operator_event

JSON = {"Content-Type": "application/json; charset=utf-8"}


def call(event: dict[str, Any]) -> dict[str, Any]:
    """Call the app with an event as JSON, and return its response as API Gateway reads it."""
    response: dict[str, Any] = app.app(json.loads(json.dumps(event)), context())
    assert set(response) == {"statusCode", "headers", "multiValueHeaders", "body"}
    return json.loads(json.dumps(response))


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


def test_location_of_a_new_record_returns_the_record(service: Service) -> None:
    response = call(post())
    record = json.loads(response["body"])
    assert response["statusCode"] == 201
    assert response["headers"]["Location"] == f"https://{HOST}/api/point-record/{record['id']}"
    assert json.loads(call(get(record["id"]))["body"]) == record


def test_location_has_the_stage_of_the_request(service: Service) -> None:
    def base(**changes: Any) -> str:
        location: str = call(post(**changes))["headers"]["Location"]
        return location.rpartition("/point-record/")[0]

    assert base(stage="dev") == f"https://{HOST}/dev"
    assert base(stage_in_path=False) == f"https://{HOST}"
    # The name of a stage may equal or begin with that of a route.
    assert base(stage="point-record") == f"https://{HOST}/point-record"
    assert base(stage="point-records") == f"https://{HOST}/point-records"


@pytest.mark.parametrize(
    ("forwarded", "scheme"),
    [("https", "https"), ("https, http", "https"), ("HTTPS", "https"), ("http, https", "http"),
     ("javascript", "http"), ("", "http")],
)  # fmt: skip
def test_location_has_the_scheme_of_the_client(
    service: Service, forwarded: str, scheme: str
) -> None:
    event = post()
    event["headers"] |= {"X-Forwarded-Proto": forwarded}
    event["multiValueHeaders"] |= {"X-Forwarded-Proto": [forwarded]}
    response = call(event)
    assert response["headers"]["Location"].startswith(f"{scheme}://{HOST}/")
    assert ("Strict-Transport-Security" in response["headers"]) == (scheme == "https")


def test_event_of_the_console_without_headers_is_unauthenticated(service: Service) -> None:
    event = post(stage="test-invoke-stage", stage_in_path=False)
    event |= {"headers": None, "multiValueHeaders": None}
    assert call(event)["statusCode"] == 401


def test_body_in_base64_gives_the_same_record(service: Service) -> None:
    event = rest_event(
        "POST",
        "/point-record",
        body=json.dumps(PUNCH).encode(),
        headers={"content-type": "application/json"},
    )
    assert event["isBase64Encoded"]
    assert call(event)["statusCode"] == 201
    assert call(post())["statusCode"] == 200


def test_unknown_query_options_of_a_post_are_ignored(service: Service) -> None:
    assert call(post(query={"x": ["1", "2"], "": [""]}))["statusCode"] == 201


def test_array_gets_a_status_for_each_item(service: Service) -> None:
    event = rest_event("POST", "/point-record", body=json.dumps([punch(1), {}]), headers=JSON)
    response = call(event)
    assert response["statusCode"] == 207
    assert response["headers"]["Content-Type"] == "application/json"
    assert [each["status"] for each in json.loads(response["body"])] == [201, 400]


def test_schedules_run_on_events_of_eventbridge(service: Service) -> None:
    call(post())
    assert app.replicate(schedule_event(), context()) is None
    assert service.statuses() == {"AWAITING": 1}
    assert app.integrate(schedule_event(), context()) is None
    assert service.statuses() == {"INTEGRATED": 1}


def test_schedules_run_on_events_of_eventbridge_scheduler(service: Service) -> None:
    call(post())
    event = schedule_event() | {"source": "aws.scheduler", "detail": "{}"}
    assert app.replicate(event, context()) is None
    assert service.statuses() == {"AWAITING": 1}


def test_run_without_time_left_is_a_no_op(service: Service) -> None:
    call(post())
    app.replicate(schedule_event(), context(seconds=1))
    assert service.statuses() == {}
    app.replicate(schedule_event(), context())
    app.integrate(schedule_event(), context(seconds=3))
    assert service.statuses() == {"AWAITING": 1}


def test_second_migration_is_a_no_op(service: Service) -> None:
    assert app.migrate(operator_event(), context()) == []


def test_intake_function_responds_like_the_routes(service: Service) -> None:
    response = app.intake(post(stage="prod"), context())
    assert response["statusCode"] == 201
    assert response["headers"]["Location"].startswith(f"https://{HOST}/prod/point-record/")
    assert call(post(stage="prod"))["statusCode"] == 200


@pytest.mark.parametrize("origin", ["https://app.example", "https://other.example"])
def test_intake_function_answers_preflights(variables: dict[str, str], origin: str) -> None:
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST", "Authorization": ""}
    with wired({**variables, "CORS_ORIGINS": "https://app.example"}):
        event = rest_event("OPTIONS", "/point-record", headers=headers)
        response = app.intake(event, context())
    is_allowed = origin == "https://app.example"
    assert response["statusCode"] == (204 if is_allowed else 401)
    assert ("Access-Control-Allow-Methods" in response["headers"]) is is_allowed


def test_null_body_is_rejected(service: Service) -> None:
    event = rest_event("POST", "/point-record", body=None, headers=JSON)
    assert event["body"] is None
    response = call(event)
    assert response["statusCode"] == 400
    assert json.loads(response["body"])["error"]["code"] == "Malformed"


def get_records(query: dict[str, list[str]]) -> dict[str, Any]:
    return call(
        rest_event(
            "GET",
            "/odata/PointRecords",
            resource="/odata/{resource}",
            path_parameters={"resource": "PointRecords"},
            query=query,
            headers=JSON,
        )
    )


def test_options_that_api_gateway_split_are_joined_or_rejected(service: Service) -> None:
    call(post())
    app.replicate(schedule_event(), context())
    app.integrate(schedule_event(), context())
    split = {"$top": ["2)", "1"], "$select": ["id"], "$expand": ["logs($select=number,status"]}
    whole = {"$top": ["1"], "$select": ["id"], "$expand": ["logs($select=number,status;$top=2)"]}
    joined, expected = get_records(split), get_records(whole)
    [record] = json.loads(joined["body"])["value"]
    assert "INTEGRATED" in [each["status"] for each in record["logs"]]
    assert joined["statusCode"] == 200
    assert joined["body"] == expected["body"]

    rejected = get_records({**split, "$skip": ["0"]})
    assert rejected["statusCode"] == 400
    error = json.loads(rejected["body"])["error"]
    assert error["target"] == "$expand"
    assert "%3B" in error["message"]
    assert "$batch" in error["message"]
    assert rejected["headers"]["OData-Version"] == "4.01"


def test_media_type_that_api_gateway_split_keeps_its_parameters(service: Service) -> None:
    response = get_records({"odata.metadata": ["none"], "$format": ["application/json"]})
    assert "@odata.context" not in response["body"]
    assert "odata.metadata=none" in response["headers"]["Content-Type"]


def test_duplicate_query_option_is_rejected(service: Service) -> None:
    assert get_records({"$top": ["1"], "$count": ["true"]})["statusCode"] == 200
    response = get_records({"$top": ["1", "2"]})
    assert response["statusCode"] == 400
    assert "$top" in response["body"]
    assert get_records({})["statusCode"] == 200  # without options, the event has null
