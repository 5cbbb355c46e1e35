"""The errors of the service, and what each becomes over HTTP."""

import pkgutil
from collections.abc import Iterator
from http import HTTPStatus
from importlib import import_module

import pytest

import chalicelib
from chalicelib.error_response import error_body
from chalicelib.errors import (
    ContentCodingError,
    Detail,
    InternalError,
    InvalidError,
    MethodNotAllowedError,
    PunchClockError,
    UnauthenticatedError,
    UnavailableError,
)

for _module in pkgutil.walk_packages(chalicelib.__path__, "chalicelib."):
    import_module(_module.name)


def subclasses_of(parent: type[PunchClockError]) -> Iterator[type[PunchClockError]]:
    for each in parent.__subclasses__():
        yield each
        yield from subclasses_of(each)


ERROR_CLASSES = list(subclasses_of(PunchClockError))


@pytest.mark.parametrize("error", ERROR_CLASSES, ids=lambda error: error.__name__)
def test_every_error_class_states_its_own_code_and_http_status(
    error: type[PunchClockError],
) -> None:
    assert {"code", "http_status"} <= vars(error).keys()
    assert HTTPStatus(error.http_status) >= HTTPStatus.BAD_REQUEST


def test_only_an_internal_error_is_a_500() -> None:
    assert [each for each in ERROR_CLASSES if each.http_status == 500] == [InternalError]


@pytest.mark.parametrize(
    ("error", "headers"),
    [
        (InvalidError("x"), {}),
        (MethodNotAllowedError("x", ["GET", "HEAD"]), {"Allow": "GET, HEAD"}),
        (ContentCodingError("x"), {"Accept-Encoding": "identity"}),
        (
            UnauthenticatedError("x"),
            {
                "WWW-Authenticate": 'Bearer realm="punch-clock",'
                ' Basic realm="punch-clock", charset="UTF-8"'
            },
        ),
        (
            UnauthenticatedError("The token has expired.", is_invalid=True),
            {
                "WWW-Authenticate": 'Bearer realm="punch-clock", error="invalid_token",'
                ' error_description="The token has expired.",'
                ' Basic realm="punch-clock", charset="UTF-8"'
            },
        ),
    ],
    ids=str,
)
def test_error_has_its_response_headers(error: PunchClockError, headers: dict[str, str]) -> None:
    assert error.headers == headers


def test_unavailable_says_when_to_retry_another_time_for_each_client() -> None:
    error = UnavailableError("x")
    values = {int(error.headers["Retry-After"]) for _ in range(100)}
    assert len(values) > 5
    assert values <= set(range(1, 31))


def test_error_body_has_target_and_details_only_where_the_error_has_them() -> None:
    assert error_body(InvalidError("x")) == {"error": {"code": "Invalid", "message": "x"}}
    error = InvalidError("x", target="a", details=[Detail("b", "y", "Missing")])
    assert error_body(error) == {
        "error": {
            "code": "Invalid",
            "message": "x",
            "target": "a",
            "details": [{"code": "Missing", "message": "y", "target": "b"}],
        }
    }


def test_internal_error_says_nothing_about_its_cause() -> None:
    body = error_body(InternalError())
    assert body["error"].keys() == {"code", "message"}
    assert body["error"]["code"] == "InternalError"
