"""The pace of the replicator's deletes, on a fake clock."""

from chalicelib.delete_pace import DeletePace


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert 0 < seconds <= 0.1  # a waiting thread looks at the time of its run
        self.now += seconds


def paced(clock: Clock) -> DeletePace:
    return DeletePace(sleep=clock.sleep, clock=clock, rng=lambda: 0.5)


def always() -> bool:
    return True


def test_deletes_go_out_freely_until_one_is_throttled() -> None:
    clock = Clock()
    pace = paced(clock)
    for _ in range(50):
        ticket = pace.wait(always)
        assert ticket is not None
        pace.processed(ticket)
    assert clock.now == 100.0


def test_gap_doubles_with_each_throttled_delete_up_to_two_seconds() -> None:
    pace = paced(Clock())
    gaps = []
    for _ in range(8):
        ticket = pace.wait(always)
        assert ticket is not None
        pace.throttled(ticket)
        gaps.append(round(pace.gap_s, 2))
    assert gaps == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0]


def test_deletes_in_flight_together_widen_the_gap_once() -> None:
    pace = paced(Clock())
    tickets = [pace.wait(always) for _ in range(8)]
    for ticket in tickets:
        assert ticket is not None
        pace.throttled(ticket)
    assert pace.gap_s == 0.1
    assert pace.cuts == 1


def test_deletes_go_out_one_by_one_while_the_table_throttles() -> None:
    clock = Clock()
    pace = paced(clock)
    for _ in range(8):
        pace.throttled(pace.wait(always) or pace.cuts)
    started = clock.now
    assert pace.wait(always) is not None
    assert pace.wait(always) is not None
    assert clock.now - started >= 2 * pace.gap_s - 1e-9


def test_processed_deletes_narrow_the_gap_until_deletes_are_free_again() -> None:
    clock = Clock()
    pace = paced(clock)
    for _ in range(10):
        pace.throttled(pace.wait(always) or pace.cuts)
    assert pace.gap_s == 2.0
    started, deletes = clock.now, 0
    while pace.gap_s:
        ticket = pace.wait(always)
        assert ticket is not None
        pace.processed(ticket)
        deletes += 1
    assert deletes == 36
    assert clock.now - started < 25


def test_delete_of_before_a_cut_does_not_narrow_the_gap() -> None:
    pace = paced(Clock())
    early = pace.wait(always)
    late = pace.wait(always)
    assert early is not None
    assert late is not None
    pace.throttled(late)
    pace.processed(early)
    assert pace.gap_s == 0.1


def test_waiting_ends_when_the_run_may_not_go_on() -> None:
    clock = Clock()
    pace = paced(clock)
    for _ in range(10):
        pace.throttled(pace.wait(always) or pace.cuts)
    deadline = clock.now + 0.25
    assert pace.wait(lambda: clock.now < deadline) is None
    assert clock.now < deadline + 0.11
