"""Settings whose value is a reference to a secret or a file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from moto import mock_aws

from chalicelib import container
from chalicelib.errors import UnavailableError
from chalicelib.secret_references import read
from chalicelib.settings import Settings, SettingsError
from tests.support.service import wired

SECRET = "postgresql://u:hush@db.example/p"


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A simulated AWS account with one parameter and some secrets."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with mock_aws():
        boto3.client("ssm").put_parameter(Name="/p/url", Value=SECRET, Type="SecureString")
        secrets = boto3.client("secretsmanager")
        secrets.create_secret(Name="plain", SecretString=SECRET)
        secrets.create_secret(Name="members", SecretString=f'{{"url": "{SECRET}", "port": 1}}')
        secrets.create_secret(Name="bytes", SecretBinary=SECRET.encode())
        yield


@pytest.mark.slow
@pytest.mark.parametrize(
    "value",
    ["ssm:/p/url", "secretsmanager:plain", "secretsmanager:members#url", SECRET],
)
def test_reference_to_a_secret_store_is_resolved(value: str, account: None) -> None:
    assert read("DATABASE_URL", value, boto3.client) == SECRET


@pytest.mark.slow
def test_members_of_one_secret_are_read_from_one_version(account: None) -> None:
    texts: dict[str, str | None] = {}
    assert read("A", "secretsmanager:members#url", boto3.client, texts) == SECRET
    boto3.client("secretsmanager").put_secret_value(SecretId="members", SecretString="{}")
    assert read("B", "secretsmanager:members#url", boto3.client, texts) == SECRET
    with pytest.raises(SettingsError, match="is not text"):
        read("B", "secretsmanager:members#url", boto3.client, {})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("ssm:/p/other", "ParameterNotFound"),
        ("secretsmanager:other", "ResourceNotFoundException"),
        ("secretsmanager:members#other", "is not text"),
        ("secretsmanager:members#port", "is not text"),
        ("secretsmanager:plain#url", "is not text"),
        ("secretsmanager:bytes", "is not text"),
    ],
)
def test_error_names_the_reference_but_never_quotes_the_secret(
    value: str, reason: str, account: None
) -> None:
    with pytest.raises(SettingsError, match=reason) as caught:
        read("DATABASE_URL", value, boto3.client)
    message = str(caught.value)
    assert message.startswith(f"DATABASE_URL refers to {value}")
    error: BaseException | None = caught.value
    while error is not None:  # the whole chain, which a traceback would show
        assert "hush" not in str(error)
        error = None if error.__suppress_context__ else error.__cause__ or error.__context__


def test_reference_to_a_file_is_resolved(tmp_path: Path) -> None:
    (tmp_path / "text").write_text(f"{SECRET}\n")
    (tmp_path / "members").write_text(f'{{"url": "{SECRET}", "port": 1}}\n')
    for value in (f"file:{tmp_path}/text", f"file:{tmp_path}/members#url"):
        assert read("DATABASE_URL", value, boto3.client) == SECRET
    (tmp_path / "bytes").write_bytes(b"\xff" + SECRET.encode())
    for value in ("none", "bytes", "members#other", "members#port", "text#url", ""):
        with pytest.raises(SettingsError, match=f"DATABASE_URL refers to file:{tmp_path}/{value}"):
            read("DATABASE_URL", f"file:{tmp_path}/{value}", boto3.client)


@pytest.mark.parametrize(
    "text", [f"{SECRET}\n", f"{SECRET}\r\n", f"\ufeff{SECRET}\n", f"\n{SECRET}\n\n", SECRET]
)
def test_text_has_no_byte_order_mark_and_no_line_breaks_around_it(
    text: str, tmp_path: Path
) -> None:
    class Store:
        def get_parameter(self, **_: Any) -> dict[str, Any]:
            return {"Parameter": {"Value": text}}

    (tmp_path / "text").write_bytes(text.encode())
    assert read("LEGACY_TOKEN", f"file:{tmp_path}/text", boto3.client) == SECRET
    assert read("LEGACY_TOKEN", "ssm:/p/url", lambda _: Store()) == SECRET
    spaces = f" {SECRET} "  # may belong to a password
    (tmp_path / "text").write_text(spaces)
    assert read("LEGACY_TOKEN", f"file:{tmp_path}/text", boto3.client) == spaces


@pytest.mark.parametrize(("text", "member"), [("", ""), ("\ufeff\r\n", ""), ('{"a": ""}', "#a")])
def test_reference_to_an_empty_text_is_an_error(text: str, member: str, tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(text.encode())
    place = f"file:{tmp_path}/text{member}"
    with pytest.raises(SettingsError, match=f"LEGACY_BODY refers to {place}, which is empty"):
        read("LEGACY_BODY", place, boto3.client)


@pytest.mark.parametrize(
    "error",
    [
        EndpointConnectionError(endpoint_url="https://ssm.example"),
        KeyError("Parameter"),  # a 200 of something else than SSM
        *(
            ClientError(
                {
                    "Error": {"Code": code, "Message": "slow"},
                    "ResponseMetadata": {"HTTPStatusCode": status},
                },
                "GetParameter",
            )
            for code, status in (
                ("ThrottlingException", 400),
                ("TooManyRequestsException", 400),
                ("ExpiredTokenException", 400),
                ("New", 429),
                ("New", 503),
            )
        ),
    ],
    ids=repr,
)
def test_unavailable_secret_store_is_an_unavailable_error(error: Exception) -> None:
    class UnavailableStore:
        def get_parameter(self, **_: Any) -> None:
            raise error

    with pytest.raises(UnavailableError):
        read("DATABASE_URL", "ssm:/p/url", lambda _: UnavailableStore())


@pytest.mark.slow
def test_secret_is_read_once_per_process(account: None) -> None:
    with wired({"DATABASE_URL": "ssm:/p/url"}):
        assert container.resolved("database_url") == SECRET
        boto3.client("ssm").delete_parameter(Name="/p/url")
        assert container.resolved("database_url") == SECRET


def test_reference_is_rejected_for_a_setting_that_is_not_resolved() -> None:
    assert Settings.from_env({"DATABASE_URL": "ssm:/p/url"}).database_url == "ssm:/p/url"
    with pytest.raises(SettingsError, match="POINT_RECORD_TABLE must not be a reference"):
        Settings.from_env({"POINT_RECORD_TABLE": "ssm:/p/table"})
