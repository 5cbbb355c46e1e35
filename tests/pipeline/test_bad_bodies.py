"""Invalid bodies and requests: rejected in the one error format, before a store is called."""

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import app
from tests.support.lambda_events import context, rest_event
from tests.support.service import PUNCH, Http, Service, environment, error_of, punch, wired

# A port where no server listens. A body that passes validation gets a 503.
UNREACHABLE = "http://127.0.0.1:9"


@pytest.fixture
def storeless(tmp_path: Path) -> Iterator[Service]:
    """The service without a reachable store."""
    postgres = "postgresql://x@127.0.0.1:9/x"
    variables = environment(dynamodb=UNREACHABLE, table="none", postgres=postgres, legacy="")
    with wired(variables):
        # These tests do not read the database.
        yield Service(Http(tmp_path), None)  # type: ignore[arg-type]


def body(**fields: Any) -> bytes:
    """Return a punch with these fields replaced; the value ``...`` removes a field."""
    changed = {**PUNCH, **fields}
    return json.dumps({name: value for name, value in changed.items() if value is not ...}).encode()


def raw(member: str, **fields: Any) -> bytes:
    """Return a punch with one more member, given as JSON text."""
    return body(**fields)[:-1] + b", " + member.encode() + b"}"


def time_in(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b" \n", id="blank"),
        pytest.param(b"punch", id="bare word"),
        pytest.param(b"{'employeeId': 7}", id="single quotes"),
        pytest.param(body()[:-1], id="truncated"),
        pytest.param(body() + b"}", id="extra brace"),
        pytest.param(body()[:-1] + b",}", id="trailing comma"),
        pytest.param(b"\xef\xbb\xbf" + body(), id="byte order mark"),
        pytest.param(body().decode().encode("utf-16"), id="UTF-16"),
        pytest.param(b'{"deviceId": "\xff"}', id="invalid UTF-8"),
        pytest.param(b'{"deviceId": "\xc0\x80"}', id="overlong UTF-8"),
        pytest.param(b'{"deviceId": "\xed\xa0\x80"}', id="surrogate in UTF-8"),
        pytest.param(b'{"deviceId": "\x00"}', id="raw NUL"),
        pytest.param(raw('"latitude": NaN'), id="NaN"),
        pytest.param(raw('"latitude": Infinity'), id="Infinity"),
        pytest.param(raw('"latitude": -Infinity'), id="-Infinity"),
        pytest.param(raw('"latitude": 01'), id="leading zero"),
        pytest.param(raw('"latitude": 0x1'), id="hexadecimal"),
        pytest.param(raw('"latitude": ' + "9" * 5_000), id="number of 5,000 digits"),
        pytest.param(b"[" * 60_000, id="arrays nested 60,000 deep"),
        pytest.param(b'{"a":' * 12_000, id="objects nested 12,000 deep"),
        pytest.param(raw('"latitude": ' + "[" * 30_000 + "]" * 30_000), id="closed, 30,000 deep"),
        pytest.param(raw('"employeeId": 8'), id="duplicate key"),
        pytest.param(raw('"latitude": {"a": 1, "a": 2}'), id="duplicate key, nested"),
        pytest.param(b"null", id="null"),
        pytest.param(b"true", id="true"),
        pytest.param(b"7", id="number"),
        pytest.param(b'"punch"', id="string"),
        pytest.param(b"[]", id="empty array"),
        pytest.param(json.dumps([PUNCH] * 101).encode(), id="101 records"),
    ],
)
def test_body_that_is_not_a_punch_is_rejected(storeless: Service, sent: bytes) -> None:
    response = storeless.post(sent)
    assert response.status_code == 400
    assert error_of(response)["code"] == "Malformed"


INVALID_IDS: tuple[Any, ...] = (
    *("7", 7.0, 7.5, True, False, None, ..., [], [7], {}, {"id": 7}, ""),
    *(0, -1, 2**63, -(2**63), 10**4_000),
)
INVALID_INSTANTS: tuple[Any, ...] = (
    *(None, ..., 1_795_348_800, 1_795_348_800.5, True, [], {}, "", "now"),
    *("2026-11-22", "2026-11-22T08:00:00", "2026-11-22 08:00:00Z"),
    *("2026-11-22T08:00Z", "2026-11-22T08:00:00.Z", "2026-11-22T08:00:00,5Z"),
    *("2026-11-22T08:00:00+0300", "2026-11-22T08:00:00+03", "2026-11-22T08:00:00 Z"),
    *("2026-11-22T08:00:00+24:00", "2026-11-22T08:00:00-03:60"),
    *("2026-02-29T08:00:00Z", "2026-11-31T08:00:00Z", "2026-13-01T08:00:00Z"),
    *("2026-00-01T08:00:00Z", "2026-11-00T08:00:00Z", "2026-11-22T24:00:00Z"),
    *("2026-11-22T08:60:00Z", "2016-12-31T23:58:60Z", "0000-01-01T00:00:00Z"),
    *(
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "10000-01-01T00:00:00Z",
    ),
    *("20261122T080000Z", "2026-W47-7T08:00:00Z", "-2026-11-22T08:00:00Z"),
    *("\uff12026-11-22T08:00:00Z", "2026-11-22T08:00:00Z\n", " 2026-11-22T08:00:00Z"),
    *("2026-11-22T08:00:00Z\0", "2026-11-22T08:00:00\u221203:00", "Z" * 10_000),
    *("9999-12-31T23:59:59Z", "2199-01-01T00:00:00Z"),
)
INVALID_NUMBERS: tuple[Any, ...] = ("1", True, [], {}, 10**400)
INVALID_DEVICE_IDS: tuple[Any, ...] = (
    *("", "x" * 101, 7, True, [], {}),
    *("a\0b", "\0", "\ud800", "\udfff x"),
)


@pytest.mark.parametrize(
    ("field", "sent"),
    [
        *[
            pytest.param(field, body(**{field: value}), id=f"{field} {value!r:.30}")
            for field in ("employeeId", "employerId")
            for value in INVALID_IDS
        ],
        *[
            pytest.param("includedAt", body(includedAt=value), id=f"includedAt {value!r:.40}")
            for value in INVALID_INSTANTS
        ],
        pytest.param("includedAt", body(includedAt=time_in(86_400)), id="tomorrow"),
        *[
            pytest.param("deviceId", body(deviceId=value), id=f"deviceId {value!r:.30}")
            for value in INVALID_DEVICE_IDS
        ],
        *[
            pytest.param(field, body(**{field: value}), id=f"{field} {value!r:.30}")
            for field, beyond in (("latitude", 90.001), ("longitude", -180.001))
            for value in (*INVALID_NUMBERS, beyond)
        ],
        pytest.param("latitude", raw('"latitude": 1e999'), id="latitude 1e999"),
        pytest.param("accuracyMeters", body(accuracyMeters=-0.1), id="accuracyMeters -0.1"),
        pytest.param("accuracyMeters", raw('"accuracyMeters": 1e309'), id="accuracyMeters 1e309"),
        *[
            pytest.param(field, body(**{field: 1}), id=f"unknown {field!r:.30}")
            for field in ("EmployeeId", "employeeid", "status", "id", "createdAt", "", "\ud800")
        ],
    ],
)
def test_invalid_field_is_named(storeless: Service, field: str, sent: bytes) -> None:
    response = storeless.post(sent)
    assert response.status_code == 400
    error = error_of(response)
    assert [detail["target"] for detail in error["details"]] == [field]
    assert field in error["message"]
    assert error["code"] in {"Malformed", "TooOld", "InTheFuture"}


def test_valid_body_reaches_the_store(storeless: Service) -> None:
    response = storeless.post(PUNCH)
    assert response.status_code == 503
    assert error_of(response)["code"] == "Unavailable"
    assert int(response.headers["Retry-After"]) > 0


def test_all_invalid_fields_are_named_in_one_response(storeless: Service) -> None:
    invalid = {
        "employeeId": "7",
        "includedAt": "yesterday",
        "deviceId": "",
        "latitude": 91,
        "longitude": None,
        "accuracyMeters": -1,
        "employer_id": 121,
    }
    error = error_of(storeless.post(invalid))
    assert {detail["target"]: detail["code"] for detail in error["details"]} == {
        "employeeId": "Malformed",
        "employerId": "Missing",
        "includedAt": "Malformed",
        "deviceId": "Malformed",
        "latitude": "Malformed",
        "accuracyMeters": "Malformed",
        "employer_id": "Unknown",
    }


@pytest.mark.parametrize(
    ("code", "instants"),
    [
        (
            "TooOld",
            ["0000-01-01T00:00:00Z", "0000-02-29T23:59:59-23:59", "0001-01-01T00:00:00+00:01"],
        ),
        (
            "InTheFuture",
            [time_in(3_600), "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-00:01"],
        ),
        ("Malformed", ["0000-02-30T00:00:00Z", "0000-13-01T00:00:00Z", "10000-01-01T00:00:00Z"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("route", ["/point-record", "/odata/PointRecords"])
def test_code_says_whether_an_instant_can_ever_be_accepted(
    storeless: Service, route: str, code: str, instants: list[str]
) -> None:
    for instant in instants:
        response = storeless.http.post(
            route, headers={"Content-Type": "application/json"}, body=body(includedAt=instant)
        )
        error = error_of(response)
        assert (response.status_code, error["code"]) == (400, code)
        assert [each["code"] for each in error["details"]] == [code]


def test_code_is_malformed_where_the_instant_is_not_the_only_fault(storeless: Service) -> None:
    error = error_of(storeless.post({**PUNCH, "includedAt": time_in(3_600), "deviceId": 7}))
    assert error["code"] == "Malformed"
    assert [each["code"] for each in error["details"]] == ["Malformed", "InTheFuture"]


def test_errors_of_a_thousand_unknown_fields_are_summarized(storeless: Service) -> None:
    response = storeless.post({**PUNCH, **{f"field{each}": each for each in range(1_000)}})
    assert response.status_code == 400
    error = error_of(response)
    assert len(error["message"]) < 2_000
    *each, last = error["details"]
    assert [detail["target"] for detail in each] == [f"field{number}" for number in range(100)]
    assert (last["target"], last["message"]) == (
        "field100",
        "900 more names are not fields of a point record.",
    )


@pytest.mark.parametrize(
    "media_type",
    ["text/plain", "application/xml", "application/x-www-form-urlencoded", "application/jsonp", ""],
)
def test_media_type_other_than_json_is_rejected(storeless: Service, media_type: str) -> None:
    response = storeless.post(PUNCH, content_type=media_type)
    assert response.status_code == 415
    assert error_of(response)["code"] == "UnsupportedMediaType"
    # The header would blame the content coding instead: RFC 9110, section 12.5.3.
    assert "Accept-Encoding" not in response.headers


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "br", "identity, gzip"])
def test_compressed_body_is_rejected(storeless: Service, coding: str) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": coding}
    response = storeless.http.post("/point-record", headers=headers, body=gzip.compress(body()))
    assert response.status_code == 415
    assert response.headers["Accept-Encoding"] == "identity"
    error = error_of(response)
    assert (error["code"], error["target"]) == ("UnsupportedContentCoding", "Content-Encoding")


@pytest.mark.parametrize("coding", ["", "identity", " Identity "])
def test_identity_coding_is_accepted(storeless: Service, coding: str) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": coding}
    response = storeless.http.post("/point-record", headers=headers, body=body())
    assert response.status_code == 503  # the store was called


def test_image_is_rejected(storeless: Service) -> None:
    event = rest_event(
        "POST", "/point-record", body=b"\x89PNG\r\n", headers={"Content-Type": "image/png"}
    )
    assert app.app(event, context())["statusCode"] == 415


@pytest.mark.parametrize("size", [65_537, 200_000, 6_000_000])
def test_body_over_64_kb_is_too_large(storeless: Service, size: int) -> None:
    response = storeless.post(b"[" * size)
    assert response.status_code == 413
    assert error_of(response)["code"] == "TooLarge"


@pytest.mark.parametrize("missing", [None, ""])
def test_request_without_a_body_is_rejected(storeless: Service, missing: str | None) -> None:
    response = app.app(rest_event("POST", "/point-record", body=missing), context())
    assert response["statusCode"] == 400
    assert json.loads(response["body"])["error"]["code"] == "Malformed"


def test_each_invalid_record_of_an_array_gets_its_own_error(storeless: Service) -> None:
    response = storeless.post([punch(0), None, [], {}, {**PUNCH, "employerId": 1.5, "x": 1}])
    assert response.status_code == 207
    results = response.json_body
    assert [each["status"] for each in results] == [400] * 5
    assert [[one["target"] for one in each["error"].get("details", ())] for each in results] == [
        ["employeeId"],
        [],
        [],
        ["employeeId", "employerId", "includedAt"],
        ["employerId", "x"],
    ]


@pytest.mark.parametrize(
    "record_id", ["1", "x", "%00", "..%2f", "'; DROP TABLE point_record", "0" * 5_000, "%F0%9F%98"]
)
def test_id_that_is_not_a_uuid_is_rejected(storeless: Service, record_id: str) -> None:
    response = storeless.get(f"/point-record/{record_id}")
    assert response.status_code == 400
    assert error_of(response)["target"] == "id"


def test_unsupported_method_is_rejected_in_the_one_error_format(storeless: Service) -> None:
    response = storeless.http.put("/point-record", body=body())
    assert response.status_code == 405
    assert error_of(response)["code"] == "MethodNotAllowed"
    assert "POST" in response.headers["Allow"]
