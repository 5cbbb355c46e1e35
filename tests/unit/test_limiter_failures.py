"""What the failures during a tentative cut mean."""

import pytest

from chalicelib.integrator.limiter.failure_detector import FailureDetector, Outcomes, is_noise
from chalicelib.integrator.limiter.parameters import Parameters
from chalicelib.integrator.limiter.state import LearnedState

TIMEOUT_S = 10.0
LIMIT = 32.0


def cut_by_timeouts() -> tuple[LearnedState, FailureDetector]:
    """Return a detector at the time 10 s, when six of thirty calls have just timed out."""
    learned = LearnedState(limit=LIMIT, background=0.02)
    detector = FailureDetector(Parameters(), learned)
    for number in range(30):
        detector.on_result(number % 5 != 4, sent_at=number / 1_000, now=TIMEOUT_S)
    if not detector.limit_before_cut:
        detector.on_result(False, sent_at=0.03, now=TIMEOUT_S)
    assert detector.limit_before_cut == LIMIT
    assert learned.limit < LIMIT
    return learned, detector


def test_timeouts_of_calls_sent_while_the_queue_drains_are_not_noise() -> None:
    learned, detector = cut_by_timeouts()
    for number in range(20):  # sent right after the cut, behind the calls that were given up
        detector.on_result(number % 2 == 0, TIMEOUT_S + number / 100, 2 * TIMEOUT_S)
    for number in range(50):
        detector.on_result(True, 2 * TIMEOUT_S + number, 2 * TIMEOUT_S + number + 2)
    assert detector.limit_before_cut is None
    assert learned.limit < LIMIT
    assert learned.ceiling < LIMIT
    assert learned.background <= 0.02


def test_timeouts_that_go_on_after_the_queue_has_drained_are_noise() -> None:
    learned, detector = cut_by_timeouts()
    for number in range(50):
        sent_at = 2 * TIMEOUT_S + 0.1 + number
        detector.on_result(number % 6 != 0, sent_at, sent_at + 2)
    assert detector.limit_before_cut is None
    assert learned.limit == LIMIT
    assert learned.background > 0.1


def test_failures_that_begin_late_are_compared_with_those_since_the_first() -> None:
    """A higher limit fails; the calls before it had been sent at a lower one."""
    learned = LearnedState(limit=LIMIT, background=0.02)
    detector = FailureDetector(Parameters(), learned)
    for number in range(46):
        detector.on_result(number < 40, sent_at=number, now=number + 0.1)
    assert detector.limit_before_cut == LIMIT
    for number in range(50):
        detector.on_result(number % 10 != 0, 50 + number, 50.1 + number)
    assert detector.limit_before_cut is None
    assert learned.limit < LIMIT
    assert learned.background <= 0.02


def decide_by_successes(learned: LearnedState, *, one_fails_of: int) -> None:
    """Have one call of several fail until the limit is cut; then none, until that is decided."""
    detector = FailureDetector(Parameters(), learned)
    number = 0
    while detector.limit_before_cut is None:
        number += 1
        detector.on_result(number % one_fails_of != 0, number, number + 0.1)
    while detector.limit_before_cut:
        number += 1
        detector.on_result(True, number, number + 0.1)


def test_few_calls_at_a_small_limit_show_that_the_background_is_lower() -> None:
    """Sixteen calls decide at a limit of some calls. If they succeed, the failures were load."""
    learned = LearnedState(limit=4.0, slow_start=False, background=0.17)
    decide_by_successes(learned, one_fails_of=2)
    assert learned.limit < 4
    assert learned.background <= 2 / 16


def test_fifty_calls_without_a_failure_leave_a_background_of_four_per_cent() -> None:
    """Of 50 calls of which 4 % fail, none fails in one case of eight."""
    learned = LearnedState(limit=100.0, slow_start=False, background=0.04)
    decide_by_successes(learned, one_fails_of=4)
    assert learned.background == 0.04


@pytest.mark.parametrize(
    ("before", "after", "background", "noise"),
    [
        # Of 8 % of failures by chance, six of 15 calls fail at first.
        (Outcomes(5, 14), Outcomes(5, 50), 0.015, True),
        (Outcomes(5, 14), Outcomes(2, 50), 0.015, False),
        # The larger the sample before, the more calls have to fail after it.
        (Outcomes(100, 280), Outcomes(5, 50), 0.015, False),
        (Outcomes(100, 280), Outcomes(10, 50), 0.015, True),
        # The background explains as many.
        (Outcomes(5, 14), Outcomes(5, 50), 0.1, False),
        # Every call fails, or none.
        (Outcomes(9, 9), Outcomes(16, 16), 0.0, True),
        (Outcomes(9, 9), Outcomes(0, 16), 1.0, False),
        (Outcomes(0, 1), Outcomes(0, 16), 0.0, False),
    ],
)
def test_failures_before_and_after_a_cut_are_noise_if_they_have_one_rate(
    before: Outcomes, after: Outcomes, background: float, noise: bool
) -> None:
    assert is_noise(before, after, background) == noise


def test_failures_above_the_background_after_a_cut_are_noise() -> None:
    """Of a tenth of failures by chance, six of the first 40 calls fail, then three of 50."""
    learned = LearnedState(limit=30.0, background=0.015)
    detector = FailureDetector(Parameters(), learned)
    for number in range(40):
        detector.on_result(number % 7 != 4, sent_at=number, now=number + 0.1)
    assert detector.limit_before_cut == 30
    for number in range(50):
        detector.on_result(number % 20 != 4, sent_at=50 + number, now=50.1 + number)
    assert detector.limit_before_cut is None
    assert learned.limit == 30
    assert learned.background == 3 / 50
