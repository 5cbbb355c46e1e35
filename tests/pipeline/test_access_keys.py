"""Operators make and revoke access keys; reports read OData with them, as a password."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from chalice.test import HTTPResponse

import app
from chalicelib import telemetry
from chalicelib.errors import InvalidError, NotFoundError
from chalicelib.principal import Role
from tests.support.lambda_events import context
from tests.support.service import PUNCH, Service, error_of, punch, wired
from tests.support.tokens import authorization, operator_event


def manage(**members: Any) -> Any:
    return app.access_keys(operator_event(**members), context())


def get(service: Service, path: str, key: str, method: str = "GET", **headers: str) -> HTTPResponse:
    credentials = base64.b64encode(f"report:{key}".encode()).decode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = b'{"requests": []}' if path.endswith("$batch") else b"{}"
    return service.http.request(
        method, path, headers={"Authorization": f"Basic {credentials}", **named}, body=body
    )


def test_key_reads_the_records_of_its_employer_until_it_is_revoked(service: Service) -> None:
    service.accept([1, 2])
    service.post(punch(3, employerId=5))
    service.replicate()
    made = manage(name="payroll", employerId=121, days=30)
    key = made["key"]

    assert get(service, "/odata/PointRecords/$count", key).body == b"2"
    of_one = manage(name="badge", employerId=121, employeeId=1)["key"]
    assert get(service, "/odata/PointRecords/$count", of_one).body == b"1"
    assert get(service, "/odata/IntegrationRuns/$count", key).body == b"0"
    batch = get(service, "/odata/$batch", key, "POST", Content_Type="application/json")
    assert batch.status_code == 200
    query = get(
        service, "/odata/PointRecords/$count/$query", key, "POST", Content_Type="text/plain"
    )
    assert query.body == b"2"

    listed = manage()
    assert [(each["id"], each["name"], each["isValid"]) for each in listed][-1] == (
        made["id"], "payroll", True,
    )  # fmt: skip
    assert key not in str(listed)
    assert manage(revoke=made["id"]) == {"revoked": made["id"]}
    assert manage(revoke=made["id"]) == {"revoked": made["id"]}
    refused = get(service, "/odata/PointRecords", key)
    assert refused.status_code == 401
    assert 'error="invalid_token"' in refused.headers["WWW-Authenticate"]
    [revoked] = [each for each in manage() if each["id"] == made["id"]]
    assert (revoked["isValid"], revoked["revokedBy"]) == (False, "ada")


def test_key_expires(service: Service) -> None:
    key = manage(name="payroll", employerId=121)["key"]
    assert get(service, "/odata", key).status_code == 200
    service.rows("UPDATE access_key SET expires_at = now() RETURNING id")
    assert get(service, "/odata", key).status_code == 401


def test_key_only_reads_odata(service: Service) -> None:
    key = manage(name="payroll", employerId=121)["key"]
    as_json = {"Content_Type": "application/json"}
    for method, path in (
        ("POST", "/point-record"),
        ("GET", f"/point-record/{'0' * 8}-0000-0000-0000-{'0' * 12}"),
        ("GET", "/health"),
        ("POST", "/operations/replay"),
        ("POST", "/odata/PointRecords"),
    ):
        response = get(service, path, key, method, **as_json)
        assert response.status_code == 403, path
        assert "access key only reads" in error_of(response)["message"]
    creation = {"id": "1", "method": "post", "url": "PointRecords", "body": PUNCH}
    response = service.http.post(
        "/odata/$batch",
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        body=json.dumps({"requests": [creation]}).encode(),
    )
    assert response.json_body["responses"][0]["status"] == 403
    service.replicate()
    assert service.rows("SELECT count(*) FROM point_record") == [(0,)]


def test_table_and_log_have_no_key(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    made = manage(name="payroll", employerId=121)
    assert get(service, "/odata", made["key"]).status_code == 200
    telemetry.event("a library quotes", text=f"Basic {made['key']} {made['key']}")
    assert made["key"] not in str(service.rows("SELECT CAST(access_key AS text) FROM access_key"))
    output = capsys.readouterr().out
    assert '"action": "access-keys"' in output
    assert "[access key]" in output
    assert made["key"] not in output


@pytest.mark.parametrize(
    ("members", "target"),
    [
        ({"name": "x"}, "employerId"),
        ({"employerId": 1}, "name"),
        ({"name": "", "employerId": 1}, "name"),
        ({"name": " ", "employerId": 1}, "name"),
        ({"name": "a\nb", "employerId": 1}, "name"),
        ({"name": "a" * 101, "employerId": 1}, "name"),
        ({"name": "x", "employerId": 0}, "employerId"),
        ({"name": "x", "employerId": True}, "employerId"),
        ({"name": "x", "employerId": 2**63}, "employerId"),
        ({"name": "x", "employerId": 1, "employeeId": "1"}, "employeeId"),
        ({"name": "x", "employerId": 1, "days": 731}, "days"),
        ({"name": "x", "revoke": 1}, "revoke"),
        ({"revoke": "1"}, "revoke"),
        ({"role": "integration"}, "role"),
    ],
)
def test_invalid_command_names_its_member(
    service: Service, members: dict[str, Any], target: str
) -> None:
    with pytest.raises(InvalidError) as rejection:
        manage(**members)
    assert rejection.value.target == target
    assert manage() == []


def test_unknown_key_cannot_be_revoked(service: Service) -> None:
    with pytest.raises(NotFoundError):
        manage(revoke=7)


def test_challenge_offers_both_schemes_and_where_to_sign_in(
    service: Service, variables: dict[str, str], tmp_path: Path
) -> None:
    anonymous = {"Authorization": ""}
    response = service.http.get("/odata", headers=anonymous)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == (
        'Bearer realm="punch-clock", Basic realm="punch-clock", charset="UTF-8"'
    )
    script = {**anonymous, "Sec-Fetch-Mode": "cors"}
    challenge = service.http.get("/odata", headers=script).headers["WWW-Authenticate"]
    assert challenge == 'Bearer realm="punch-clock"'  # no dialog of the browser
    uri = "https://login.example/authorize"
    with wired(variables | {"JWT_AUTHORIZATION_URI": uri}):
        other = Service.of(service.database, tmp_path)
        # For an organizational account, Power Query asks with an empty Bearer where to sign in:
        # https://learn.microsoft.com/power-query/connector-authentication#supported-workflow
        for headers in (anonymous, {"Authorization": "Bearer"}):
            response = other.http.get("/odata", headers=headers)
            assert response.status_code == 401
            challenge = response.headers["WWW-Authenticate"]
            expected = f'Bearer realm="punch-clock", authorization_uri="{uri}", Basic'
            assert challenge.startswith(expected)
    with wired(variables | {"JWT_AUTHORIZATION_URI": 'https://x"y'}):
        other = Service.of(service.database, tmp_path)
        assert error_of(other.http.get("/odata"))["message"].startswith("JWT_AUTHORIZATION_URI")


def test_token_as_a_password_may_post(service: Service) -> None:
    token = authorization(Role.EMPLOYEE, 121, 7)["Authorization"].removeprefix("Bearer ")
    credentials = base64.b64encode(f"x:{token}".encode()).decode()
    headers = {"Authorization": f"Basic {credentials}", "Content-Type": "application/json"}
    body = json.dumps(PUNCH).encode()
    assert service.http.post("/point-record", headers=headers, body=body).status_code == 201
