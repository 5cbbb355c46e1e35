"""CORS, the security headers of responses, and secrets that stay out of the log."""

from pathlib import Path
from typing import Any

import pytest

import app
from chalicelib.principal import Role
from local.tokens import make_token
from tests.support.lambda_events import context, rest_event
from tests.support.service import Http, Service, punch, wired
from tests.support.tokens import KEY, OPERATOR, authorization

PAGE = "https://app.example"
PREFLIGHT = {"Origin": PAGE, "Access-Control-Request-Method": "POST", "Authorization": ""}
ROUTES = ["/point-record", "/point-record/x", "/odata/PointRecords", "/odata"]


@pytest.mark.parametrize("origins", [PAGE, f"https://other.example, {PAGE}", "*"])
@pytest.mark.parametrize("route", ROUTES)
def test_page_of_an_allowed_origin_may_read_responses(
    variables: dict[str, str], origins: str, route: str, tmp_path: Path
) -> None:
    with wired({**variables, "CORS_ORIGINS": origins}):
        http = Http(tmp_path)
        preflight = http.options(route, headers=PREFLIGHT)
        assert (preflight.status_code, preflight.body) == (204, b"")
        assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]
        rejected = http.get("/odata", headers={"Origin": PAGE, "Authorization": ""})
        for response in (preflight, rejected, http.get("/odata", headers={"Origin": PAGE})):
            assert response.headers["Access-Control-Allow-Origin"] == (
                "*" if origins == "*" else PAGE
            )
            assert response.headers["Vary"] == "Origin"
            assert "Access-Control-Allow-Credentials" not in response.headers
        assert rejected.status_code == 401


def test_preflight_allows_the_headers_of_ui5(variables: dict[str, str], tmp_path: Path) -> None:
    # Of its V4 model; MIME-Version belongs to batches. Accept-Language needs no permission.
    sent = (
        "accept,authorization,content-type,mime-version,odata-maxversion,odata-version,x-csrf-token"
    )
    with wired({**variables, "CORS_ORIGINS": PAGE}):
        asked = PREFLIGHT | {"Access-Control-Request-Headers": sent}
        response = Http(tmp_path).options("/odata/$batch", headers=asked)
    allowed = response.headers["Access-Control-Allow-Headers"].lower().split(", ")
    assert set(sent.split(",")) <= set(allowed)


@pytest.mark.parametrize(
    "origins", ["", "https://app.example.evil", "http://app.example", f"{PAGE}:8443"]
)
@pytest.mark.parametrize("route", ROUTES)
def test_page_of_another_origin_gets_no_cors_headers(
    variables: dict[str, str], origins: str, route: str, tmp_path: Path
) -> None:
    with wired({**variables, "CORS_ORIGINS": origins}):
        http = Http(tmp_path)
        for response in (
            http.options(route, headers=PREFLIGHT),
            http.get("/odata", headers={"Origin": PAGE}),
        ):
            assert not [name for name in response.headers if name.startswith("Access-Control")]
        assert http.options(route, headers=PREFLIGHT).status_code == 401


def test_options_of_a_route_returns_its_methods(service: Service) -> None:
    assert service.http.options("/point-record").headers["Allow"] == "POST, OPTIONS"


def test_responses_forbid_caching_and_rendering(service: Service) -> None:
    (record_id,) = service.accept([1])
    responses = [
        service.get("/odata"),
        service.get(f"/point-record/{record_id}"),
        service.get("/point-record/x"),
        service.http.get("/odata", headers={"Authorization": ""}),
        service.http.put("/point-record"),
    ]
    assert [response.status_code for response in responses] == [200, 200, 400, 401, 405]
    for response in responses:
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert "Strict-Transport-Security" not in response.headers
    over_tls = app.app(rest_event("GET", "/odata"), context())
    assert over_tls["headers"]["Strict-Transport-Security"] == "max-age=31536000"


def test_log_has_no_tokens_keys_or_passwords(
    variables: dict[str, str], tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "pa55-w0rd-of-the-database"
    unreachable = f"postgresql://punchclock:{secret}@127.0.0.1:9/x"
    forged = make_token("x" * 32, Role.INTEGRATION)
    tokens = [OPERATOR["Authorization"], f"Bearer {forged}"]
    tokens.append(authorization(Role.EMPLOYER, 1)["Authorization"])
    with wired({**variables, "LOG_LEVEL": "DEBUG", "DATABASE_URL": unreachable}):
        http = Http(tmp_path)

        def fail(*_: object) -> None:
            raise RuntimeError(f"cannot reach {unreachable} with {tokens[0]}")

        for token in tokens:
            headers = {"Authorization": token, "Content-Type": "application/json"}
            http.post("/point-record", headers=headers, body=str(punch(1)).encode())
            http.get("/odata/PointRecords", headers=headers)
            http.get("/health", headers=headers)
            http.get(f"/odata/PointRecords?access_token={token[7:]}", headers=headers)
        monkeypatch.setattr("chalicelib.intake.Intake.accept", fail)
        assert http.post("/point-record", body=b"{}").status_code == 500
    logged = capsys.readouterr()
    text = logged.out + logged.err
    assert "cannot reach" in text
    for value in (secret, KEY, *(token.removeprefix("Bearer ") for token in tokens)):
        assert value not in text
        assert value.rpartition(".")[2] not in text
