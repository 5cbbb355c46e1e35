"""The local gateway turns requests into the events that API Gateway would send."""

from typing import Any

import pytest
from chalice import Chalice, Response
from chalice.config import Config

from local.gateway import (
    MAX_RESPONSE_BYTES,
    ApiGateway,
    decode_header,
    encode_target,
    has_rejected_characters,
    split_query,
)

echo = Chalice(app_name="echo")


@echo.route("/set/{key}")  # type: ignore[untyped-decorator]
def get_event(key: str) -> dict[str, Any]:
    request = echo.current_request
    return {"key": key, "query": list((request.query_params or {}).items())}


@echo.route("/long/{characters}")  # type: ignore[untyped-decorator]
def get_long(characters: str) -> Response:
    return Response("é" * int(characters), headers={"Content-Type": "text/plain"})


@pytest.fixture(scope="module")
def gateway() -> ApiGateway:
    return ApiGateway(echo, Config.create(chalice_app=echo))


def test_query_is_split_at_semicolons_and_its_names_have_no_order(gateway: ApiGateway) -> None:
    response = gateway.handle_request("GET", "/set/x?b=1;2&a=c%3Bd+e&%24z=%252C;b=3", {}, b"")
    assert response["body"] == '{"key":"x","query":[["$z","%2C"],["2",""],["a","c;d e"],["b","3"]]}'


def test_path_parameter_is_decoded(gateway: ApiGateway) -> None:
    response = gateway.handle_request("GET", "/set/a%2Fb%25;c", {}, b"")
    assert response["body"].startswith('{"key":"a/b%')


@pytest.mark.parametrize(
    ("target", "sent_on"),
    [("/a", "/a"), ("/a?", "/a?"), ("/a;b?c", "/a;b?c"), ("/a?c;b?d&a", "/a?a&b?d&c")],
)
def test_only_the_query_string_is_split(target: str, sent_on: str) -> None:
    assert split_query(target) == sent_on


def test_response_beyond_lambdas_limit_is_that_of_a_failed_integration(gateway: ApiGateway) -> None:
    fits = MAX_RESPONSE_BYTES // 6 - 100  # é takes six bytes in JSON
    assert gateway.handle_request("GET", f"/long/{fits}", {}, b"")["statusCode"] == 200
    assert gateway.handle_request("GET", f"/long/{fits + 100}", {}, b"")["statusCode"] == 503


def test_characters_that_must_be_encoded_are_found_in_the_query_string_only() -> None:
    assert has_rejected_characters("/a?b={c}")
    assert has_rejected_characters("/a?b|c")
    assert not has_rejected_characters("/a{b}|?c=%7Bd%7D%7C")


def test_raw_bytes_of_a_request_line_are_percent_encoded() -> None:
    line = "GET /é?à=Å HTTP/1.1\r\n".encode() + b"\xff"
    assert encode_target(line) == b"GET /%C3%A9?%C3%A0=%C3%85 HTTP/1.1\r\n%FF"


def test_header_is_utf_8() -> None:
    assert decode_header("a é".encode().decode("latin-1")) == "a é"
    assert decode_header("a é") == "a \ufffd"
