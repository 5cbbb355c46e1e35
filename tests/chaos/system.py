"""A stack as its user starts it, with its DynamoDB endpoint and its legacy behind proxies."""

import itertools
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pg8000.native
import psutil
import requests

from chalicelib.principal import Role
from local.dynamodb import server as dynamodb_server
from local.loopback import HOST, free_port
from local.services import start_legacy
from local.tokens import make_token, read_key
from tests.chaos.phones import EMPLOYER
from tests.chaos.proxy import Proxy
from tests.support.running_stack import RunningStack
from tests.support.waiting import wait_until

# Short leases, so that a frozen process outlives its own within seconds.
LEASES = {"RUN_LEASE_S": "4", "RECORD_LEASE_S": "8", "LEGACY_CALL_TIMEOUT_S": "4"}
BEYOND_LEASES_S = 10.0

# Above the employees of the phones.
FIRST_EMPLOYEE = 1_000_000

DISK_BYTES = 512 * 2**20


class System:
    """Every process of one chaos run. ``data`` is the directory of the stack."""

    def __init__(self, home: Path, data: Path) -> None:
        self.data = data
        self._port = free_port()
        self._employees = itertools.count(FIRST_EMPLOYEE)
        self._own = {
            "dynamodb": dynamodb_server.start(data.with_name("dynamodb"))[0],
            "legacy": start_legacy(home / "legacy")[0],
        }
        ports = {name: _listening_port(child.pid) for name, child in self._own.items()}
        self._legacy_url = f"http://{HOST}:{ports['legacy']}"
        self.proxies = {name: Proxy(port) for name, port in ports.items()}
        self.stack = self._up()

    def _up(self) -> RunningStack:
        legacy = f"http://{HOST}:{self.proxies['legacy'].port}/point-records"
        arguments = ("--tick", "0.5", "--port", str(self._port), "--legacy", legacy)
        endpoint = f"http://{HOST}:{self.proxies['dynamodb'].port}"
        environment = {**dynamodb_server.CREDENTIALS, **LEASES}
        environment["AWS_ENDPOINT_URL_DYNAMODB"] = endpoint
        return RunningStack(self.data, *arguments, environment=environment)

    def close(self) -> None:
        self.stack.end(signal.SIGTERM)
        for child in self._own.values():
            child.stop()
        for proxy in self.proxies.values():
            proxy.close()

    def kill(self, name: str) -> None:
        """Kill a part with ``kill -9``. What nobody else restarts is started again."""
        if name == "supervisor":
            self.stack.end(signal.SIGKILL)
            self.stack = self._up()
        elif name in self._own:
            self._own[name].stop(timeout_s=0)
            self._own[name].start()
            self._own[name].wait_ready()
        else:
            with suppress(ProcessLookupError):  # it died of the last fault, and is not back yet
                os.kill(self._pid(name), signal.SIGKILL)

    def revive(self) -> None:
        """Start again what is no part of the stack and has died, as a full disk makes it."""
        for child in self._own.values():
            if not child.is_running():
                child.start()

    @contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """Stop a part and all its descendants (SIGSTOP), and let them go on."""
        processes = []
        with suppress(psutil.NoSuchProcess):
            root = psutil.Process(self._pid(name))
            processes = [root, *root.children(recursive=True)]
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.suspend()
        try:
            yield
        finally:
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    process.resume()

    def _pid(self, name: str) -> int:
        own = self._own.get(name)
        return own.pid if own else self.stack.described()["pids"][name]

    def run_sql(self, *statements: str) -> list[Any]:
        """Run statements as the owner of the database, and return the rows of the last."""
        url = urlsplit(self.stack.described()["postgres"])
        connection = pg8000.native.Connection(
            url.username or "",
            HOST,
            self.database,
            url.port or 0,
            url.password,
            ssl_context=False,
        )
        try:
            rows: list[Any] = []
            for statement in statements:
                rows = connection.run(statement)
            return rows
        finally:
            connection.close()

    @property
    def database(self) -> str:
        return urlsplit(self.stack.described()["postgres"]).path[1:]

    def headers(self, role: Role = Role.EMPLOYER) -> dict[str, str]:
        employer = EMPLOYER if role is Role.EMPLOYER else None
        token = make_token(read_key(self.data), role, employer, lasts_s=86_400)
        return {"Authorization": f"Bearer {token}"}

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self._port}"

    def set_legacy(self, **settings: object) -> None:
        """Change how the simulated legacy behaves."""
        requests.put(f"{self._legacy_url}/settings", json=settings, timeout=10).raise_for_status()

    def at_legacy(self) -> list[str]:
        """Return the keys of the records that the legacy has accepted."""
        return requests.get(f"{self._legacy_url}/report/keys", timeout=30).text.split()

    def wait_delivered(self, seconds: float) -> None:
        """Post a punch until it is accepted, and wait until it is delivered."""
        body = {
            "employeeId": next(self._employees),
            "employerId": EMPLOYER,
            "includedAt": datetime.now(UTC).isoformat(),
        }
        record_id = ""

        def is_delivered() -> bool:
            nonlocal record_id
            self.revive()
            try:
                if not record_id:
                    record_id = self._call("POST", "/point-record", json=body)["id"]
                record = self._call("GET", f"/point-record/{record_id}")
                return bool(record["status"] == "INTEGRATED")
            except (requests.RequestException, ValueError):
                return False

        wait_until(is_delivered, seconds)

    def _call(self, method: str, path: str, **arguments: Any) -> Any:
        answer = requests.request(
            method, f"{self.url}{path}", headers=self.headers(), timeout=5, **arguments
        )
        answer.raise_for_status()
        return answer.json()

    def rows(self, entity_set: str, select: str) -> Iterator[dict[str, Any]]:
        """Yield every row that the employer sees of an entity set, through OData."""
        link = f"odata/{entity_set}?$select={select}&$top=100000"
        while link:
            page = requests.get(
                link if link.startswith("http") else f"{self.url}/{link}",
                headers=self.headers(),
                timeout=30,
            ).json()
            yield from page["value"]
            link = page.get("@odata.nextLink", "")


@contextmanager
def small_disk(directory: Path) -> Iterator[bool]:
    """Mount a file system of its own on the directory, which only root may; say whether it did."""
    directory.mkdir()
    options = f"size={DISK_BYTES},mode=755"
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(directory)]
    is_mounted = os.geteuid() == 0 and subprocess.run(command, check=False).returncode == 0
    try:
        yield is_mounted
    finally:
        if is_mounted:
            subprocess.run(["umount", "--lazy", str(directory)], check=True)


def _listening_port(pid: int) -> int:
    connections = psutil.Process(pid).net_connections("tcp")
    return next(each.laddr.port for each in connections if each.status == psutil.CONN_LISTEN)
