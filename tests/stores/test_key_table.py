"""The table of the issuer's keys, on a DynamoDB endpoint: what replaces what, what a run logs."""

import json
import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from chalicelib import telemetry
from chalicelib.identity.jwk_set import MAX_BYTES, FetchedSet, JwkSetError, parse_jwk_set
from chalicelib.identity.key_copy import copy_keys
from chalicelib.identity.key_table import KeyTable, KeyTableError
from tests.support.dynamodb_clients import by_boto3, lean, variables
from tests.support.dynamodb_proxy import Call, Response, fails_with, reset_after
from tests.support.dynamodb_proxy import running as proxied
from tests.support.issuer import Issuer

NOW = 1_800_000_000.0
MISSING = fails_with(400, "ResourceNotFoundException")
DENIED = fails_with(400, "AccessDeniedException")


@pytest.fixture
def url() -> str:
    """The URL of an issuer that only this test has."""
    return f"https://issuer.example/{uuid.uuid4()}"


@pytest.fixture
def stored(dynamodb_url: str, key_table: str, url: str) -> KeyTable:
    return KeyTable(lean(variables(dynamodb_url)), key_table, url)


@pytest.mark.parametrize("connect", [lean, by_boto3])
def test_keys_are_read_as_they_were_written(
    connect: Callable[[dict[str, str]], Any], dynamodb_url: str, key_table: str, url: str
) -> None:
    table = KeyTable(connect(variables(dynamodb_url)), key_table, url)
    assert table.write('{"keys":["é"]}', NOW + 0.25, NOW + 1)
    for consistent in (False, True):
        assert table.read(consistent=consistent) == FetchedSet('{"keys":["é"]}', NOW + 0.25)


def test_issuers_of_one_table_have_items_of_their_own(
    stored: KeyTable, dynamodb_url: str, key_table: str, url: str
) -> None:
    other = KeyTable(lean(variables(dynamodb_url)), key_table, f"{url}?other")
    stored.write("mine", NOW, NOW)
    with pytest.raises(KeyTableError, match="no keys for JWKS_URL yet"):
        other.read()
    other.write("other", NOW - 1, NOW)
    assert (stored.read().body, other.read().body) == ("mine", "other")


def test_earlier_answer_of_the_issuer_never_replaces_a_later_one(stored: KeyTable) -> None:
    assert stored.write("later", NOW, NOW)
    assert not stored.write("earlier", NOW - 0.001, NOW)
    assert not stored.write("much earlier", NOW - 1_000, NOW)
    assert stored.read() == FetchedSet("later", NOW)
    assert stored.write("later", NOW, NOW)  # the same write again
    assert stored.write("latest", NOW + 0.001, NOW)
    assert stored.read().body == "latest"


def test_item_of_a_clock_that_was_far_ahead_is_replaced(stored: KeyTable) -> None:
    assert stored.write("from the future", NOW + 86_400, NOW + 86_400)
    assert stored.write("now", NOW, NOW)
    assert stored.read() == FetchedSet("now", NOW)


@pytest.mark.parametrize(
    "item",
    [
        {},
        {"keys": {"S": "x"}},
        {"keys": {"S": "x"}, "fetched_at": {"S": "9999999999999"}},
        {"keys": {"N": "7"}, "fetched_at": {"N": "1"}},
        {"keys": {"L": []}, "fetched_at": {"N": "1"}},
        {"keys": {"S": "x" * (MAX_BYTES + 1)}, "fetched_at": {"N": "1"}},
    ],
    ids=["bare", "no time", "text for time", "number", "list", "too long"],
)
def test_malformed_item_is_an_error_and_is_replaced(
    item: dict[str, Any], stored: KeyTable, dynamodb: Any, key_table: str, url: str
) -> None:
    dynamodb.put_item(TableName=key_table, Item={"url": {"S": url}, **item})
    with pytest.raises(KeyTableError, match="malformed"):
        stored.read()
    assert stored.write("good", NOW, NOW)
    assert stored.read().body == "good"


@pytest.mark.parametrize("fault", [MISSING, DENIED])
def test_missing_table_and_missing_right_are_errors(
    fault: Callable[[Call], Response], dynamodb_url: str, key_table: str, url: str
) -> None:
    with proxied(dynamodb_url) as proxy:
        table = KeyTable(lean(variables(proxy.url)), key_table, url)
        for operation in ("GetItem", "PutItem"):
            proxy.always(operation, fault)
        with pytest.raises(KeyTableError, match=fault.__name__):
            table.read()
        with pytest.raises(KeyTableError, match=fault.__name__):
            table.write("x", NOW, NOW)


def test_write_whose_response_is_lost_is_stored(
    dynamodb_url: str, key_table: str, url: str
) -> None:
    with proxied(dynamodb_url) as proxy:
        table = KeyTable(lean(variables(proxy.url)), key_table, url)
        proxy.script("PutItem", reset_after)
        assert table.write("x", NOW, NOW)
        assert proxy.calls["PutItem"] == 2
        assert table.read().body == "x"


class Run:
    """A run of the schedule at an instant, and the fields of its last line."""

    def __init__(self, table: KeyTable, capsys: pytest.CaptureFixture[str]) -> None:
        self._table = table
        self._capsys = capsys

    def __call__(self, body: bytes | None, at: float) -> dict[str, Any]:
        def fetch() -> bytes:
            if body is None:
                raise JwkSetError("no response in time")
            return body

        telemetry.logger.handlers.clear()
        telemetry.configure("INFO")
        copy_keys(fetch, self._table, lambda: at)
        line: dict[str, Any] = json.loads(self._capsys.readouterr().out.splitlines()[-1])
        assert line["message"] == telemetry.ISSUER_KEYS
        return line


@pytest.fixture
def run(stored: KeyTable, capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(stored, capsys)


def kids(stored: KeyTable) -> set[str | None]:
    return {kid for _, kid in parse_jwk_set(stored.read().body).keys if kid}


def test_run_replaces_the_keys_of_an_issuer_that_rotates(run: Run, stored: KeyTable) -> None:
    issuer = Issuer("a", "b")
    assert run(issuer.jwk_set(), NOW).items() >= {"age_s": 0, "failed": 0, "keys": 2}.items()
    issuer.kids = ["b", "c"]
    assert run(issuer.jwk_set(), NOW + 300)["failed"] == 0
    assert kids(stored) == {"b", "c"}
    assert stored.read().fetched_at == NOW + 300


@pytest.mark.parametrize(
    "body",
    [
        None, b"", b"{", b"{}", b'{"keys":[]}', b'{"keys":[{"kty":"oct","k":"eA"}]}', b"<html>",
        b'{"keys":[{"kty":"EC","crv":"P-256","x":"","y":""}]}', b"[" * 100_000,
    ],
    ids=lambda body: str(body[:12] if body else body),
)  # fmt: skip
def test_run_keeps_the_last_good_keys_and_logs_their_age(
    body: bytes | None, run: Run, stored: KeyTable
) -> None:
    run(Issuer("a").jwk_set(), NOW)
    before = stored.read()
    for hours in (1, 2):
        line = run(body, NOW + hours * 3_600)
        assert line.items() >= {"failed": 1, "age_s": hours * 3_600}.items()
    assert stored.read() == before


def test_late_run_does_not_undo_a_later_one(run: Run, stored: KeyTable) -> None:
    run(Issuer("new").jwk_set(), NOW + 1)
    line = run(Issuer("old").jwk_set(), NOW)
    assert (line["failed"], line["age_s"]) == (0, 0)
    assert kids(stored) == {"new"}


def test_run_fails_if_the_table_has_no_keys_at_all(run: Run) -> None:
    with pytest.raises(KeyTableError, match="no keys"):
        run(None, NOW)


def test_run_fails_if_the_table_is_away(dynamodb_url: str, key_table: str, url: str) -> None:
    with proxied(dynamodb_url) as proxy:
        table = KeyTable(lean(variables(proxy.url)), key_table, url)
        proxy.always("PutItem", DENIED)
        with pytest.raises(KeyTableError, match="AccessDenied"):
            copy_keys(Issuer("a").jwk_set, table, lambda: NOW)


def test_run_that_ends_after_its_write_has_stored_the_keys(
    dynamodb_url: str, key_table: str, url: str, stored: KeyTable
) -> None:
    with proxied(dynamodb_url) as proxy:
        table = KeyTable(lean(variables(proxy.url)), key_table, url)
        proxy.always("GetItem", DENIED)
        with pytest.raises(KeyTableError, match="AccessDenied"):
            copy_keys(Issuer("a").jwk_set, table, lambda: NOW)
    assert kids(stored) == {"a"}


def test_table_that_hangs_is_an_error_after_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    is_over = threading.Event()

    class Hanging:
        def get_item(self, **_: Any) -> None:
            is_over.wait(30)

    monkeypatch.setattr("chalicelib.identity.key_table._READ_TIMEOUT_S", 0.1)
    with pytest.raises(KeyTableError, match="in time"):
        KeyTable(Hanging(), "table", "url").read()
    is_over.set()
