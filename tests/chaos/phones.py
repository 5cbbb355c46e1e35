"""Phones that post punches without pause, and their own truth of what was accepted."""

import itertools
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import requests

EMPLOYER = 424_242
_THREADS = 4
_TIMEOUT_S = 5.0
_PAUSE_S = 0.1
_PAUSE_AFTER_FAILURE_S = 0.3


@dataclass(slots=True)
class Punch:
    """One punch, which its phone sends until it is accepted.

    Attributes:
        body: what the phone sends, the same bytes each time.
        fault: the kind of fault under way when it was sent first.
        id: the id that the first acceptance named; empty until then.
    """

    body: dict[str, Any]
    fault: str
    id: str = ""


@dataclass
class Phones:
    """Post punches from several threads until ``finish``.

    Attributes:
        url: the route that accepts punches.
        headers: the token of the employer.
        fault: the kind of fault that is under way now.
        problems: answers that no fault explains: an id that changed, a refusal.
        failed: the number of posts without an acceptance, by kind of fault.
    """

    url: str
    headers: dict[str, str]
    fault: str = "none"
    punches: list[Punch] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1)
        self._unaccepted: deque[Punch] = deque()
        self._is_ending = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(_THREADS)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def accepted(self) -> list[Punch]:
        """Return the punches that were accepted so far."""
        return [punch for punch in self.punches if punch.id]

    def finish(self, timeout_s: float) -> int:
        """Send no new punch, those not accepted again; return how many never were."""
        self._is_ending.set()
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return sum(not punch.id for punch in self.punches)

    def _run(self) -> None:
        with requests.Session() as session:
            while self._unaccepted or not self._is_ending.is_set():
                try:
                    punch = self._unaccepted.popleft()
                except IndexError:
                    punch = self._new_punch()
                if self._is_accepted(session, punch):
                    time.sleep(_PAUSE_S)
                else:
                    self.failed[self.fault] += 1
                    self._unaccepted.append(punch)
                    time.sleep(_PAUSE_AFTER_FAILURE_S)

    def _new_punch(self) -> Punch:
        body = {
            "employeeId": next(self._numbers),
            "employerId": EMPLOYER,
            "includedAt": datetime.now(UTC).isoformat(),
        }
        punch = Punch(body, self.fault)
        self.punches.append(punch)
        return punch

    def _is_accepted(self, session: requests.Session, punch: Punch) -> bool:
        try:
            response = session.post(
                self.url, json=punch.body, headers=self.headers, timeout=_TIMEOUT_S
            )
            if not response.ok:
                if 400 <= response.status_code < 500 and response.status_code != 429:
                    self.problems.append(f"{self.fault}: {response.status_code} {response.text}")
                return False
            punch.id = response.json()["id"]
        except (requests.RequestException, ValueError, KeyError):
            return False
        return True
