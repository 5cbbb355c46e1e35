"""The recipes of docs/legacies.md, and the real server of each, as a process that can be killed."""

import json
import re
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import trustme

from local.child_process import ChildProcess
from local.legacy_profile import read_profile
from local.loopback import free_port
from tests.legacies.servers.served import PASSWORD, USER

DOCUMENT = Path(__file__).parents[2] / "docs/legacies.md"
PROFILES = dict(
    re.findall(
        r"^```ini\n# ([\w-]+)\.env\n(.+?)^```$",
        DOCUMENT.read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
)


@dataclass
class Server:
    """A process of one of the programs in ``tests.legacies.servers``.

    Its port and its database stay the same when it is started again.
    """

    program: str
    home: Path
    options: tuple[object, ...] = ()
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        name = f"{self.program}-{self.port}"
        self._database = self.home / f"{name}.db"
        command = [sys.executable, "-m", f"tests.legacies.servers.{self.program}"]
        command += ["--port", str(self.port), "--database", str(self._database)]
        self._child = ChildProcess(name, [*command, *map(str, self.options)], home=self.home)

    @contextmanager
    def running(self) -> Iterator["Server"]:
        self.start()
        try:
            yield self
        finally:
            self.kill()

    def start(self) -> None:
        self._child.start()
        self._child.wait_ready()

    def kill(self) -> None:
        """Kill the process, as a crash would."""
        self._child.stop(timeout_s=0)

    def punches(self) -> list[tuple[str, int, str]]:
        """Return key, employee and instant of each punch, as the server has read them."""
        return self._read("SELECT key, employee, at FROM punch")

    def add(self, key: str, employee: int) -> None:
        """Make the server know a punch beforehand."""
        with sqlite3.connect(self._database) as connection:
            connection.execute("INSERT INTO punch VALUES (?, ?, '')", (key, employee))
        connection.close()

    def requests(self) -> list[tuple[str, str, dict[str, str], str]]:
        """Return method, target, headers and body of each request, in order."""
        rows = self._read("SELECT method, target, headers, body FROM request ORDER BY rowid")
        return [
            (method, target, json.loads(headers), body) for method, target, headers, body in rows
        ]

    def _read(self, statement: str) -> list[Any]:
        with sqlite3.connect(self._database) as connection:
            rows = connection.execute(statement).fetchall()
        connection.close()
        return rows


@dataclass(frozen=True)
class Recipe:
    """A recipe whose server runs.

    Attributes:
        name: the name of its profile.
        server: the legacy.
        profile: the file of the profile, with the address of the server.
        settings: what the profile says.
    """

    name: str
    server: Server
    profile: Path
    settings: Mapping[str, str]

    @classmethod
    @contextmanager
    def running(cls, name: str, home: Path, *options: object) -> "Iterator[Recipe]":
        """Start the server of a recipe, with further options, in a directory."""
        with ExitStack() as stack:
            names = ("hr.example",) if name == "proxy" else ("127.0.0.1",)
            tls = _issue(home, *names) if name in ("mutual-tls", "proxy") else []
            if name == "mutual-tls":
                tls += ["--ca", home / "ca.pem"]
            server = Server(_PROGRAMS[name], home, (*tls, *options))
            stack.enter_context(server.running())
            if name == "proxy":
                proxy = Server("proxy", home, ("--authenticated", 1))
                stack.enter_context(proxy.running())
                (home / "proxy-url").write_text(proxy_url(proxy.port))
            scheme = "https" if tls else "http"
            url = f"{scheme}://{names[0] if tls else '127.0.0.1'}:{server.port}"
            profile = write_profile(name, home, url)
            yield cls(name, server, profile, read_profile(profile))


_PROGRAMS = {
    "rest-oauth2": "rest_oauth2",
    "xml-oauth2": "rest_oauth2",
    "soap": "soap",
    "form-basic": "form_basic",
    "mutual-tls": "mutual_tls",
    "proxy": "mutual_tls",
    "threads": "threads",
}


def write_profile(name: str, directory: Path, url: str) -> Path:
    """Write a profile of the document, with the URL of its server, and the secrets beside it."""
    text = re.sub(r"https?://hr\.example(:\d+)?", url, PROFILES[name])
    for secret in ("client-secret", "password"):
        (directory / secret).write_text(f"{PASSWORD}\n")
    path = directory / f"{name}.env"
    path.write_text(text, encoding="utf-8")
    return path


def proxy_url(port: int) -> str:
    return f"http://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{port}"


def _issue(directory: Path, *names: str) -> list[object]:
    """Write the certificates of a private authority; return the server's arguments."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(directory / "ca.pem")
    for file, owner in (("server.pem", names), ("client.pem", ("punch-clock@hr.example",))):
        issued = authority.issue_cert(*owner)
        issued.private_key_and_cert_chain_pem.write_to_path(directory / file)
    pem = directory / "server.pem"
    return ["--certificate", pem, "--key", pem]
