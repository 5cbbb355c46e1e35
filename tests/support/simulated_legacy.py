"""Run the simulated legacy in a process, and call it over real connections."""

import json
import subprocess
import sys
import uuid
from typing import Any

import requests

from local.child_process import PROJECT
from tests.support.waiting import wait_until


class LegacyProcess:
    """One process of the simulated legacy; each request opens a new connection."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "local.legacy", *arguments],
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout
        self.url = json.loads(self.process.stdout.readline())["url"]

    def kill(self) -> None:
        self.process.kill()
        self.wait()

    def wait(self) -> int:
        assert self.process.stdout
        self.process.stdout.close()
        return self.process.wait(10)

    def send(self, record_id: str = "", key: str = "", timeout: float = 10) -> requests.Response:
        record_id = record_id or str(uuid.uuid4())
        return requests.post(
            f"{self.url}/point-records",
            json={"id": record_id, "employeeId": 1, "employerId": 2},
            headers={"Idempotency-Key": key or record_id},
            timeout=timeout,
            allow_redirects=False,
        )

    def set(self, **settings: Any) -> requests.Response:
        return requests.put(f"{self.url}/settings", json=settings, timeout=10)

    def settings(self) -> dict[str, Any]:
        return requests.get(f"{self.url}/settings", timeout=10).json()

    def report(self) -> dict[str, Any]:
        return requests.get(f"{self.url}/report", timeout=10).json()

    def accepted_ids(self) -> list[str]:
        return requests.get(f"{self.url}/report/keys", timeout=10).text.splitlines()


def reset_connections(legacy: LegacyProcess) -> None:
    """Have the legacy reset every connection, and wait until it listens again."""
    legacy.set(outage={"fault": "refuse", "for_s": 0.01})
    wait_until(lambda: is_listening(legacy))


def is_listening(legacy: LegacyProcess) -> bool:
    try:
        legacy.report()
    except requests.ConnectionError:
        return False
    return True
