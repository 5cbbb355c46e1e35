"""Refused credentials are read again: bounded, in the background, and only for the better."""

import threading
from collections.abc import Mapping, Sequence

import pytest

from chalicelib.errors import MisconfiguredError
from chalicelib.integrator.legacy.authentication.shared_credentials import SharedCredentials
from chalicelib.settings import Settings, SettingsError
from tests.support.credentials import current
from tests.support.waiting import wait_until

SETTINGS = Settings.from_env({"LEGACY_AUTH": "bearer", "LEGACY_TOKEN": "ssm:/legacy#token"})


class Store:
    """A store of secrets, and a clock. ``reads`` counts the reads after the first."""

    def __init__(self) -> None:
        self.now = 0.0
        self.token = "first"
        self.fault: Exception | None = None
        self.reads = -1
        self.credentials = SharedCredentials(SETTINGS, self.read, clock=lambda: self.now)

    def read(self, names: Sequence[str]) -> Mapping[str, str]:
        assert list(names) == ["legacy_token"]
        self.reads += 1
        if self.fault:
            raise self.fault
        return {"legacy_token": self.token}

    def refuse(self) -> None:
        """Refuse the present credentials, and wait until what that causes is over."""
        assert not self.credentials.report_failed(current(self.credentials), 401)
        wait_until(lambda: not any(each.name == "credentials" for each in threading.enumerate()))

    @property
    def headers(self) -> tuple[str, ...]:
        return current(self.credentials).headers


@pytest.fixture
def store() -> Store:
    return Store()


def test_rotated_secret_is_read_after_a_refusal(store: Store) -> None:
    store.now, store.token = 60, "second"
    assert store.headers == ("Authorization: Bearer first",)
    store.refuse()
    assert store.headers == ("Authorization: Bearer second",)


def test_refused_secret_is_read_soon_and_then_once_a_minute(store: Store) -> None:
    read_at = []
    for second in range(320):
        store.now, reads = float(second), store.reads
        store.refuse()
        read_at += [second] * (store.reads - reads)
    assert read_at == [5, 15, 35, 75, 135, 195, 255, 315]


def test_changed_or_long_accepted_secret_is_read_soon_again(store: Store) -> None:
    for store.now in (5.0, 15.0, 35.0, 75.0):
        store.refuse()
    store.now, store.token = 135.0, "second"
    store.refuse()
    store.now = 140.0
    store.refuse()
    assert store.reads == 6
    store.now = 1_000.0
    store.refuse()
    store.now = 1_005.0
    store.refuse()
    assert store.reads == 8


def test_clock_that_is_set_back_does_not_delay_the_next_read(store: Store) -> None:
    store.now = 100_000.0
    store.refuse()
    store.now, store.token = 50_000.0, "second"
    store.refuse()
    assert store.headers == ("Authorization: Bearer second",)


def test_refusal_of_credentials_that_are_replaced_reads_nothing(store: Store) -> None:
    old = current(store.credentials)
    store.now, store.token = 60, "second"
    store.refuse()
    store.now = 120
    store.credentials.report_failed(old, 401)
    assert store.reads == 1


def test_unchanged_secret_changes_nothing(store: Store) -> None:
    before = current(store.credentials)
    store.now = 60
    store.refuse()
    assert current(store.credentials) is before


@pytest.mark.parametrize(
    "fault", [SettingsError("gone"), MisconfiguredError("gone"), ZeroDivisionError("gone")]
)
def test_secret_that_cannot_be_read_again_leaves_the_old_one(
    store: Store, fault: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    store.now, store.fault = 60, fault
    store.refuse()
    assert store.headers == ("Authorization: Bearer first",)
    assert [each.levelname for each in caplog.records] == ["ERROR"]
    store.now, store.fault, store.token = 120, None, "second"
    store.refuse()
    assert store.headers == ("Authorization: Bearer second",)


def test_rotation_to_an_invalid_value_leaves_the_old_one(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    store.now, store.token = 60, "not a token"
    store.refuse()
    assert store.headers == ("Authorization: Bearer first",)
    assert "LEGACY_TOKEN must be printable" in str(vars(caplog.records[0])["fields"])
