"""Retries: equality with botocore's mode "standard", which boto3's client uses."""

import json
from types import SimpleNamespace
from typing import Any

import botocore.session
import pytest
from botocore.parsers import create_parser
from botocore.retries import standard
from botocore.retries.quota import RetryQuota
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.dynamodb.dynamodb_error import Retry, error_code, retry_of
from chalicelib.dynamodb.retries import MAX_ATTEMPTS, RetryBudget, delay_s

MODEL = botocore.session.get_session().get_service_model("dynamodb")
OPERATIONS = ("PutItem", "GetItem")
CODES = sorted(
    {
        *standard.ThrottledRetryableChecker._THROTTLED_ERROR_CODES,
        *standard.TransientRetryableChecker._TRANSIENT_ERROR_CODES,
        *(shape.name for name in OPERATIONS for shape in MODEL.operation_model(name).error_shapes),
        "AccessDeniedException",
        "SerializationException",
        "ValidationException",
        "400",
        "",
    }
)
RETRIES = (Retry.TRANSIENT, Retry.THROTTLED)


def context(
    operation: str, status: int, code: str, attempt: int = 1, headers: dict[str, str] | None = None
) -> Any:
    """Return what botocore decides on: a response with an error."""
    return standard.RetryContext(
        attempt_number=attempt,
        operation_model=MODEL.operation_model(operation),
        http_response=SimpleNamespace(status_code=status, headers=headers or {}, content=b""),
        parsed_response={"Error": {"Code": code}},
    )


CONDITIONS = standard.StandardRetryConditions(max_attempts=MAX_ATTEMPTS)
DETECTOR = standard.ThrottlingErrorDetector(standard.RetryEventAdapter())


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("status", [400, 403, 413, 500, 501, 502, 503, 504])
def test_error_is_retried_if_botocore_retries_it(status: int, code: str) -> None:
    # Only PutItem has errors of its own that are retried, and GetItem cannot have them.
    theirs = context("PutItem", status, code)
    retry = retry_of(status, code)
    assert (retry in RETRIES) == CONDITIONS.is_retryable(theirs)
    assert (retry is Retry.THROTTLED) == DETECTOR.is_throttling_error_from_context(theirs)


def test_too_many_requests_are_throttling() -> None:
    assert retry_of(429, "") is Retry.THROTTLED
    assert DETECTOR.is_throttling_error_from_context(context("PutItem", 429, ""))


def test_call_has_as_many_attempts_as_boto3s() -> None:
    assert not CONDITIONS.is_retryable(context("PutItem", 500, "", attempt=MAX_ATTEMPTS))
    assert CONDITIONS.is_retryable(context("PutItem", 500, "", attempt=MAX_ATTEMPTS - 1))


@given(
    retry=st.sampled_from(RETRIES),
    attempt=st.integers(1, 9),
    jitter=st.floats(0, 1),
    asked=st.one_of(st.none(), st.integers(0, 99_999).map(str), st.sampled_from(["", "x", "-1"])),
)
def test_delay_equals_that_of_botocore(
    retry: Retry, attempt: int, jitter: float, asked: str | None
) -> None:
    backoff = standard.ExponentialBackoff(
        random=lambda: jitter, service_name="dynamodb", throttling_detector=DETECTOR
    )
    code = "ThrottlingException" if retry is Retry.THROTTLED else "InternalServerError"
    headers = {} if asked is None else {"x-amz-retry-after": asked}
    theirs = backoff.delay_amount(context("PutItem", 400, code, attempt, headers))
    assert delay_s(retry, attempt, asked, lambda: jitter) == pytest.approx(theirs)


@given(st.lists(st.one_of(st.sampled_from(RETRIES), st.just("success")), max_size=200))
def test_budget_equals_that_of_botocore(events: list[Any]) -> None:
    budget, quota = RetryBudget(), RetryQuota()
    checker = standard.RetryQuotaChecker(quota, DETECTOR)
    last: dict[str, int] = {}
    for event in events:
        if event == "success":
            budget.give_back(last.get("retry_quota_capacity", 1))
            checker.release_retry_quota(last, SimpleNamespace(status_code=200))
            last = {}
            continue
        code = "ThrottlingException" if event is Retry.THROTTLED else "InternalServerError"
        theirs = context("PutItem", 400, code)
        taken = budget.take(event)
        assert bool(taken) == checker.acquire_retry_quota(theirs)
        if taken:
            last = {"retry_quota_capacity": taken}
            assert theirs.request_context == last
        assert budget._tokens == quota.available_capacity


@given(
    namespace=st.sampled_from(["", "com.amazonaws.dynamodb.v20120810#", "com.amazon.coral#"]),
    name=st.sampled_from(["ThrottlingException", "X"]),
    url=st.sampled_from(["", ":http://internal.amazon.com/coral/x/"]),
)
def test_code_of_an_error_equals_that_of_botocore(namespace: str, name: str, url: str) -> None:
    fields = {"__type": f"{namespace}{name}{url}"}
    response = {"body": json.dumps(fields).encode(), "headers": {}, "status_code": 400}
    theirs = create_parser("json").parse(response, None)["Error"]["Code"]
    assert error_code(400, fields) == theirs == name


@pytest.mark.parametrize("kind", [None, 5, [], {}])
def test_code_of_an_error_without_a_type_is_its_status(kind: object) -> None:
    assert error_code(503, {"__type": kind}) == "503"
    assert error_code(503, {}) == "503"
