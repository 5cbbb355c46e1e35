"""A refused login is read again: once, not too often, and without an end of the process."""

import json
import threading
from collections.abc import Callable, Iterator

import pytest
from pg8000.exceptions import DatabaseError

from chalicelib import telemetry
from chalicelib.errors import MisconfiguredError, UnavailableError
from chalicelib.postgres.login import Login, is_refused

OLD = "postgresql://writer:old-secret@127.0.0.1/clock"
NEW = "postgresql://writer_b:new-secret@127.0.0.1/clock"


class Secret:
    """A secret whose value a test changes. It counts how often it is read."""

    def __init__(self) -> None:
        self.value: str | Exception = OLD
        self.reads = 0
        self.now = 0.0

    def read(self) -> str:
        self.reads += 1
        if isinstance(self.value, Exception):
            raise self.value
        return self.value

    def login(self) -> Login:
        telemetry.configure("INFO")
        return Login(OLD, "DATABASE_URL", self.read, lambda: self.now)


@pytest.fixture
def secret() -> Secret:
    return Secret()


@pytest.fixture
def logged(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], list[str]]]:
    """Return the messages since the last call, and check that they have no secret."""
    telemetry.logger.handlers.clear()

    def messages() -> list[str]:
        output = capsys.readouterr().out
        assert "secret" not in output
        return [json.loads(line)["message"] for line in output.splitlines()]

    yield messages
    telemetry.logger.handlers.clear()


def test_changed_login_replaces_the_refused_one(
    secret: Secret, logged: Callable[[], list[str]]
) -> None:
    login = secret.login()
    refused = login.arguments
    secret.value = NEW
    assert login.replace(refused)
    assert (login.arguments["user"], login.arguments["password"]) == ("writer_b", "new-secret")
    assert logged() == ["the login of the database has changed"]
    # Another thread was refused with the old one, and reads nothing.
    assert login.replace(refused)
    assert secret.reads == 1
    # The new login may be replaced at once.
    secret.value = OLD
    assert login.replace(login.arguments)
    assert login.arguments["user"] == "writer"


def test_unchanged_login_is_read_again_every_ten_seconds(
    secret: Secret, logged: Callable[[], list[str]]
) -> None:
    login = secret.login()
    for secret.now in (100.0, 100.0, 105.0, 109.9):
        assert not login.replace(login.arguments)
    assert secret.reads == 1
    assert logged() == ["the database refuses our login"]
    secret.now, secret.value = 110.0, NEW
    assert login.replace(login.arguments)


def test_clock_that_is_set_back_does_not_delay_the_next_read(secret: Secret) -> None:
    login = secret.login()
    secret.now = 100_000.0
    assert not login.replace(login.arguments)
    secret.now, secret.value = 50_000.0, NEW
    assert login.replace(login.arguments)


@pytest.mark.parametrize(
    "error",
    [UnavailableError("no response"), MisconfiguredError("not found"), "not a URL", "{"],
    ids=str,
)
def test_login_that_cannot_be_read_again_is_kept_and_logged(
    secret: Secret, logged: Callable[[], list[str]], error: str | Exception
) -> None:
    login = secret.login()
    kept = login.arguments
    secret.value = error
    assert not login.replace(kept)
    assert login.arguments is kept
    assert logged() == ["the login of the database cannot be read again"]


def test_login_that_is_no_reference_is_not_read_again() -> None:
    login = Login(OLD, "DATABASE_URL")
    assert not login.replace(login.arguments)


def test_threads_that_are_refused_at_once_read_the_secret_once(secret: Secret) -> None:
    login = secret.login()
    refused = login.arguments
    secret.value = NEW
    barrier = threading.Barrier(8)
    replaced: list[bool] = []

    def replace() -> None:
        barrier.wait()
        replaced.append(login.replace(refused))

    threads = [threading.Thread(target=replace) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert replaced == [True] * 8
    assert secret.reads == 1


@pytest.mark.parametrize(("state", "refused"), [("28P01", True), ("28000", True), ("57P03", False)])
def test_only_an_invalid_login_is_refused(state: str, refused: bool) -> None:
    assert is_refused(DatabaseError({"C": state})) is refused
