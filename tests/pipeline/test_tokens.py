"""Every route rejects requests without a valid token, before a store is called."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import app
from chalicelib.principal import Role
from local.tokens import make_token
from tests.support.lambda_events import context, rest_event
from tests.support.service import UNREACHABLE, Http, Service, error_of, wired
from tests.support.tokens import KEY, authorization

# Every method of every route, but of the files of the console, which have no data.
ROUTES = [
    (method, route.replace("{record_id}", "0" * 32))
    for route, entries in app.app.routes.items()
    for method in entries
    if not route.startswith("/console")
]
INVALID = {
    "none": {"Authorization": ""},
    "basic": {"Authorization": "Basic YTpi"},
    "no token": {"Authorization": "Bearer a.b.c"},
    "another key": {"Authorization": f"Bearer {make_token('x' * 32, Role.INTEGRATION)}"},
    "expired": {"Authorization": f"Bearer {make_token(KEY, Role.INTEGRATION, lasts_s=-60)}"},
}


@pytest.fixture
def storeless(tmp_path: Path) -> Iterator[Http]:
    """The routes without a reachable store."""
    with wired(UNREACHABLE):
        yield Http(tmp_path)


@pytest.mark.parametrize("kind", INVALID)
@pytest.mark.parametrize(("method", "route"), ROUTES)
def test_every_route_rejects_requests_without_a_valid_token(
    storeless: Http, method: str, route: str, kind: str
) -> None:
    response = storeless.request(method, route, headers=INVALID[kind], body=b"{")
    if route in ("/health", "/openapi.json") and kind == "none":
        assert response.status_code == 200
        assert route != "/health" or response.json_body == {"status": "ok"}
        return
    assert response.status_code == 401
    assert error_of(response)["code"] == "Unauthenticated"
    challenge = response.headers["WWW-Authenticate"]
    assert challenge.startswith('Bearer realm="punch-clock"')
    assert ('error="invalid_token"' in challenge) == (kind != "none")
    assert ("OData-Version" in response.headers) == route.startswith("/odata")


@pytest.mark.parametrize("kind", INVALID)
def test_the_files_of_the_console_need_no_token(storeless: Http, kind: str) -> None:
    page = storeless.request("GET", "/console", headers=INVALID[kind])
    assert page.status_code == 200
    (version,) = set(re.findall(r"console/(\w+)/", page.body.decode()))
    for path in ("config.json", f"{version}/app.js", f"{version}/uPlot.min.css"):
        file = storeless.request("GET", f"/console/{path}", headers=INVALID[kind])
        assert file.status_code == 200
        assert file.headers["X-Content-Type-Options"] == "nosniff"
    unknown = storeless.request("GET", f"/console/{version}/x.js", headers=INVALID[kind])
    assert (unknown.status_code, error_of(unknown)["code"]) == (404, "NotFound")


@pytest.mark.parametrize("stage", ["/prod", "/api/prod", ""])
def test_the_console_works_behind_any_prefix(storeless: Http, stage: str) -> None:
    event = rest_event("GET", "/console")
    event["requestContext"]["path"] = f"{stage}/console"
    page = app.app(event, context())
    assert page["statusCode"] == 200
    assert not re.search(r'(?:src|href)="/', page["body"])  # relative to the prefix
    event["requestContext"]["path"] = f"{stage}/console/"
    moved = app.app(event, context())
    assert (moved["statusCode"], moved["headers"]["Location"]) == (308, "../console")


@pytest.mark.parametrize("route", ["/point-record", "/odata", "/health"])
def test_token_without_the_ids_of_its_role_is_forbidden(storeless: Http, route: str) -> None:
    for role in (Role.EMPLOYEE, Role.EMPLOYER):
        response = storeless.request(
            "POST" if route == "/point-record" else "GET", route, authorization(role)
        )
        assert response.status_code == 403
        assert error_of(response)["code"] == "Forbidden"


def test_two_authorization_headers_are_rejected(storeless: Http) -> None:
    event = rest_event("POST", "/point-record", body="{}")
    event["multiValueHeaders"]["authorization"] = [authorization()["Authorization"]]
    response = app.app(event, context())
    assert response["statusCode"] == 400
    assert "one Authorization header" in response["body"]


def test_only_operators_see_the_stages_in_health(service: Service) -> None:
    employer = service.http.get("/health", headers=authorization(Role.EMPLOYER, 121))
    assert employer.json_body == {"status": "ok"}
    assert {"buffer", "replica"} <= service.get("/health").json_body.keys()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"JWT_KEY": ""}, "Set JWKS_URL"),
        ({"JWT_KEY": "short"}, "32 bytes"),
        ({"JWT_KEY": "file:/nowhere/jwt.key"}, "run `make run` in another terminal"),
        ({"JWT_KEY": "file:/"}, "JWT_KEY refers to a secret or file that cannot be read"),
        ({"JWKS_URL": "https://issuer.example/jwks"}, "both"),
        ({"JWT_KEY": "", "JWKS_URL": "https://issuer.example/jwks"}, "JWT_ISSUER"),
    ],
    ids=str,
)
def test_stage_with_wrong_keys_rejects_every_request_with_the_reason(
    changes: dict[str, str], message: str, tmp_path: Path
) -> None:
    with wired(UNREACHABLE | changes):
        http = Http(tmp_path)
        for route in ("/odata", "/health"):
            response = http.get(route)
            assert response.status_code == 503
            error = error_of(response)
            assert error["code"] == "Misconfigured"
            assert message in error["message"]
            assert "Retry-After" not in response.headers


def test_schedules_run_without_token_keys(service: Service, variables: dict[str, str]) -> None:
    service.accept([1])
    with wired({**variables, "JWT_KEY": ""}):
        service.replicate()
        service.integrate()
    assert service.statuses() == {"INTEGRATED": 1}


def test_key_is_read_from_the_file_of_a_reference(
    tmp_path: Path, variables: dict[str, Any]
) -> None:
    (tmp_path / "jwt.key").write_text(f"{KEY}\n")
    with wired({**variables, "JWT_KEY": f"file:{tmp_path / 'jwt.key'}"}):
        assert Http(tmp_path / "empty").get("/odata").status_code == 200
