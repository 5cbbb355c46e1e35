"""Nobody comes in without a token, whatever the route, and no store hears of those who try."""

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

# A route and a method that it has; OData has a route for each method.
ROUTES = [
    (method, route.replace("{record_id}", "0" * 32))
    for route, entries in app.app.routes.items()
    for method in entries
]
BAD = {
    "none": {"Authorization": ""},
    "basic": {"Authorization": "Basic YTpi"},
    "no token": {"Authorization": "Bearer a.b.c"},
    "another key": {"Authorization": f"Bearer {make_token('x' * 32, Role.INTEGRATION)}"},
    "ended": {"Authorization": f"Bearer {make_token(KEY, Role.INTEGRATION, lasts_s=-60)}"},
}


@pytest.fixture
def storeless(tmp_path: Path) -> Iterator[Http]:
    """The routes without any store."""
    with wired(UNREACHABLE):
        yield Http(tmp_path)


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize(("method", "route"), ROUTES)
def test_no_route_lets_in_whoever_has_no_good_token(
    storeless: Http, method: str, route: str, kind: str
) -> None:
    answer = storeless.request(method, route, headers=BAD[kind], body=b"{")
    if route == "/health" and kind in ("none", "basic"):
        assert (answer.status_code, answer.json_body) == (200, {"status": "ok"})
        return
    assert answer.status_code == 401
    assert error_of(answer)["code"] == "Unauthenticated"
    challenge = answer.headers["WWW-Authenticate"]
    assert challenge.startswith('Bearer realm="punch-clock"')
    assert ('error="invalid_token"' in challenge) == (kind not in ("none", "basic"))
    assert ("OData-Version" in answer.headers) == route.startswith("/odata")


@pytest.mark.parametrize("route", ["/point-record", "/odata", "/health"])
def test_a_token_that_gives_no_right_is_forbidden(storeless: Http, route: str) -> None:
    for role in (Role.EMPLOYEE, Role.EMPLOYER):
        answer = storeless.request(
            "POST" if route == "/point-record" else "GET", route, authorization(role)
        )
        assert answer.status_code == 403
        assert error_of(answer)["code"] == "Forbidden"


def test_two_tokens_are_refused(storeless: Http) -> None:
    event = rest_event("POST", "/point-record", body="{}")
    event["multiValueHeaders"]["authorization"] = [authorization()["Authorization"]]
    answer = app.app(event, context())
    assert answer["statusCode"] == 400
    assert "one Authorization header" in answer["body"]


def test_only_the_operator_is_told_how_the_stages_are(service: Service) -> None:
    employer = service.http.get("/health", headers=authorization(Role.EMPLOYER, 121))
    assert employer.json_body == {"status": "ok"}
    assert {"buffer", "replica"} <= service.get("/health").json_body.keys()


@pytest.mark.parametrize(
    ("changes", "said"),
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
def test_a_stage_without_right_keys_serves_nobody_and_says_why(
    changes: dict[str, str], said: str, tmp_path: Path
) -> None:
    with wired(UNREACHABLE | changes):
        http = Http(tmp_path)
        for route in ("/odata", "/health"):
            answer = http.get(route)
            assert answer.status_code == 503
            error = error_of(answer)
            assert error["code"] == "Misconfigured"
            assert said in error["message"]
            assert "Retry-After" not in answer.headers


def test_schedules_run_on_a_stage_without_keys(service: Service, variables: dict[str, str]) -> None:
    service.accept([1])
    with wired({**variables, "JWT_KEY": ""}) as _:
        service.replicate()
        service.integrate()
    assert service.statuses() == {"INTEGRATED": 1}


def test_a_key_in_a_file_is_the_key(tmp_path: Path, variables: dict[str, Any]) -> None:
    (tmp_path / "jwt.key").write_text(f"{KEY}\n")
    with wired({**variables, "JWT_KEY": f"file:{tmp_path / 'jwt.key'}"}):
        assert Http(tmp_path / "empty").get("/odata").status_code == 200
