"""One token for all threads: who requests it, who waits, and what a failure does."""

import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from chalicelib.integrator.legacy.authentication.access_token import Token, TokenError
from chalicelib.integrator.legacy.authentication.token_cache import TokenCache
from tests.support.waiting import wait_until


class Endpoint:
    """A token endpoint and a clock. A request waits for ``release`` if the test holds it."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.lifetime_s = 90.0
        self.requests = 0
        self.errors: list[TokenError] = []
        self.fault: Exception | None = None
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.cache = TokenCache(self.request, on_error=self.errors.append, clock=lambda: self.now)

    def current(self) -> Token:
        """Return the present token; wait while it is requested."""
        while (token := self.cache.current()) is None:
            time.sleep(0.001)
        return token

    def request(self) -> Token:
        self.requests += 1
        number = self.requests
        assert self.may_answer.wait(10)
        if self.fault:
            raise self.fault
        return Token(f"token-{number}", self.now + 75, self.now + self.lifetime_s)

    def wait_for_requests(self, requests: int) -> None:
        """Wait until this many requests were made and the last one has ended."""
        wait_until(lambda: self.requests >= requests and not self.cache._is_requesting)


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint()


def test_many_calls_wait_for_one_request(endpoint: Endpoint) -> None:
    endpoint.may_answer.clear()
    with ThreadPoolExecutor(50) as pool:
        waiting = [pool.submit(endpoint.current) for _ in range(50)]
        wait_until(lambda: endpoint.requests == 1)
        endpoint.may_answer.set()
        assert {each.result().text for each in waiting} == {"token-1"}
    assert endpoint.requests == 1


def test_token_is_renewed_ahead_of_its_end_while_calls_go_on_with_it(endpoint: Endpoint) -> None:
    assert endpoint.current().text == "token-1"
    endpoint.now += 76
    endpoint.may_answer.clear()
    assert [endpoint.current().text for _ in range(3)] == ["token-1"] * 3
    endpoint.may_answer.set()
    endpoint.wait_for_requests(2)
    assert endpoint.current().text == "token-1"  # the legacy's clock may be behind
    endpoint.now += 15
    assert endpoint.current().text == "token-2"
    assert endpoint.requests == 2


def test_next_token_is_used_once_the_present_one_is_refused(endpoint: Endpoint) -> None:
    first = endpoint.current()
    endpoint.now += 76
    endpoint.cache.prepare()
    endpoint.wait_for_requests(2)
    assert endpoint.cache.report_refused(first)
    assert endpoint.current().text == "token-2"
    assert endpoint.requests == 2


def test_token_of_unknown_lifetime_is_replaced_at_once(endpoint: Endpoint) -> None:
    endpoint.lifetime_s = math.inf
    endpoint.current()
    endpoint.now += 76
    endpoint.cache.prepare()
    endpoint.wait_for_requests(2)
    assert endpoint.current().text == "token-2"


def test_token_outlives_failed_renewals_until_its_end(endpoint: Endpoint) -> None:
    endpoint.current()
    endpoint.fault = TokenError("away")
    endpoint.now += 76
    assert endpoint.current().text == "token-1"
    endpoint.wait_for_requests(2)
    endpoint.now += 15
    with pytest.raises(TokenError, match="away"):
        endpoint.current()
    assert [str(each) for each in endpoint.errors] == ["away", "away"]


def test_calls_fail_at_once_between_two_failed_requests(endpoint: Endpoint) -> None:
    endpoint.fault = TokenError("no", is_refused=True)
    for _ in range(3):
        with pytest.raises(TokenError, match="no") as raised:
            endpoint.current()
        assert raised.value.is_refused
    assert endpoint.requests == 1


@pytest.mark.parametrize(
    ("is_refused", "expected"),
    [(False, [1, 2, 4, 5, 5, 5, 5]), (True, [1, 2, 4, 8, 16, 30, 30])],
)
def test_pause_after_failures_doubles_to_a_bound(
    endpoint: Endpoint, is_refused: bool, expected: list[int]
) -> None:
    endpoint.fault = TokenError("away", is_refused=is_refused)
    pauses: list[float] = []
    requested_at = endpoint.now
    while len(pauses) < 7:
        with pytest.raises(TokenError):
            endpoint.current()
        if endpoint.requests > len(pauses) + 1:
            pauses.append(endpoint.now - requested_at)
            requested_at = endpoint.now
        endpoint.now += 0.5
    assert pauses == expected


@pytest.mark.parametrize(("requested_s", "expected_s"), [(0.5, 1), (20, 20), (3_600, 60)])
def test_pause_is_as_long_as_the_token_endpoint_asks(
    endpoint: Endpoint, requested_s: float, expected_s: float
) -> None:
    endpoint.fault = TokenError("busy", retry_after_s=requested_s)
    with pytest.raises(TokenError):
        endpoint.current()
    endpoint.fault = None
    endpoint.now += expected_s - 0.25
    with pytest.raises(TokenError):
        endpoint.current()
    endpoint.now += 0.25
    assert endpoint.current().text == "token-2"


def test_token_is_there_again_after_an_outage(endpoint: Endpoint) -> None:
    endpoint.fault = TokenError("away")
    with pytest.raises(TokenError):
        endpoint.current()
    endpoint.fault = None
    endpoint.now += 1
    assert endpoint.current().text == "token-2"


def test_no_call_is_held_up_by_an_endpoint_that_hangs(endpoint: Endpoint) -> None:
    endpoint.may_answer.clear()
    assert [endpoint.cache.current() for _ in range(3)] == [None] * 3
    endpoint.may_answer.set()
    assert endpoint.current().text == "token-1"
    assert endpoint.requests == 1


def test_many_refused_calls_renew_the_token_once(endpoint: Endpoint) -> None:
    token = endpoint.current()
    endpoint.may_answer.clear()
    assert all(endpoint.cache.report_refused(token) for _ in range(50))
    endpoint.may_answer.set()
    assert endpoint.current().text == "token-2"
    # Calls that were still open.
    assert all(endpoint.cache.report_refused(token) for _ in range(50))
    assert endpoint.current().text == "token-2"
    assert endpoint.requests == 2


def test_refused_tokens_are_renewed_at_once_and_then_twice_a_minute(endpoint: Endpoint) -> None:
    first = endpoint.current()
    endpoint.now += 1
    assert endpoint.cache.report_refused(first)
    second = endpoint.current()
    endpoint.now += 29
    assert not endpoint.cache.report_refused(second)
    assert endpoint.current() is second
    assert endpoint.requests == 2
    endpoint.now += 1
    assert endpoint.cache.report_refused(second)
    assert endpoint.current().text == "token-3"


def test_token_that_was_accepted_is_renewed_soon_after_the_last_renewal(endpoint: Endpoint) -> None:
    """The legacy revokes tokens, or the issuer issues a bad one now and then."""
    token = endpoint.current()
    for _ in range(5):
        endpoint.now += 3
        endpoint.cache.report_accepted()
        assert endpoint.cache.report_refused(token)
        token = endpoint.current()
    assert endpoint.requests == 6


def test_refusals_of_some_calls_renew_ever_more_rarely(endpoint: Endpoint) -> None:
    started, renewed = endpoint.now, []
    for _ in range(1_000):
        token = endpoint.current()
        endpoint.cache.report_accepted()
        if endpoint.cache.report_refused(token):
            renewed.append(endpoint.now - started)
            endpoint.current()
        endpoint.now += 0.125
    assert renewed == [0, 1, 3, 7, 15, 31, 61, 91, 121]


def test_changed_credentials_end_the_pause(endpoint: Endpoint) -> None:
    endpoint.fault = TokenError("invalid_client", is_refused=True)
    with pytest.raises(TokenError):
        endpoint.current()
    endpoint.fault = None
    endpoint.cache.replace()
    assert endpoint.current().text == "token-2"


def test_changed_credentials_replace_a_valid_token(endpoint: Endpoint) -> None:
    endpoint.current()
    endpoint.may_answer.clear()
    endpoint.cache.replace()
    assert endpoint.current().text == "token-1"  # until the next one arrives
    endpoint.may_answer.set()
    endpoint.wait_for_requests(2)
    assert [endpoint.current().text for _ in range(3)] == ["token-2"] * 3
    assert endpoint.requests == 2


def test_changed_credentials_that_the_issuer_does_not_know_yet_leave_a_valid_token(
    endpoint: Endpoint,
) -> None:
    endpoint.current()
    endpoint.fault = TokenError("invalid_client", is_refused=True)
    endpoint.cache.replace()
    endpoint.wait_for_requests(2)
    assert endpoint.current().text == "token-1"
    assert endpoint.requests == 2
    endpoint.fault = None
    endpoint.now += 1
    endpoint.cache.prepare()
    endpoint.wait_for_requests(3)
    assert endpoint.current().text == "token-3"


def test_token_that_was_requested_with_the_old_credentials_is_replaced(endpoint: Endpoint) -> None:
    endpoint.may_answer.clear()
    endpoint.cache.prepare()
    wait_until(lambda: endpoint.requests == 1)
    endpoint.cache.replace()
    endpoint.may_answer.set()
    endpoint.wait_for_requests(1)
    endpoint.current()
    endpoint.wait_for_requests(2)
    assert endpoint.current().text == "token-2"


@pytest.mark.parametrize("set_back_s", [0.5, 30, 500])
def test_clock_that_is_set_back_does_not_prolong_the_pause(
    endpoint: Endpoint, set_back_s: float
) -> None:
    endpoint.fault = TokenError("away")
    with pytest.raises(TokenError):
        endpoint.current()
    endpoint.fault = None
    endpoint.now -= set_back_s
    assert endpoint.current().text == "token-2"


def test_bug_in_a_request_is_an_outage_and_the_next_request_can_succeed(endpoint: Endpoint) -> None:
    endpoint.fault = ZeroDivisionError()
    with pytest.raises(TokenError, match="internal error"):
        endpoint.current()
    endpoint.fault = None
    endpoint.now += 1
    assert endpoint.current().text == "token-2"


def test_doubted_token_is_used_until_another_one_arrives(endpoint: Endpoint) -> None:
    token = endpoint.current()
    endpoint.cache.report_accepted()
    endpoint.fault = TokenError("down")
    endpoint.cache.doubt(token)
    endpoint.wait_for_requests(2)
    assert endpoint.current() is token
    endpoint.fault = None
    endpoint.now += 60
    assert endpoint.current() is token
    endpoint.wait_for_requests(3)
    assert endpoint.current().text == "token-3"


def test_doubts_renew_ever_more_rarely(endpoint: Endpoint) -> None:
    endpoint.lifetime_s = 1e6
    for _ in range(600):
        token = endpoint.current()
        endpoint.cache.report_accepted()
        endpoint.cache.doubt(token)
        endpoint.now += 0.1
        endpoint.wait_for_requests(endpoint.requests)
    assert 2 <= endpoint.requests <= 10
