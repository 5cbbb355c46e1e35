"""Contradictory or invalid credentials are reported by the names of their settings."""

from base64 import b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from chalicelib import aws, secret_references
from chalicelib.integrator.legacy.authentication import credentials as credential_settings
from chalicelib.settings import Settings, SettingsError
from tests.support.credentials import credentials_of

LOGIN = {"LEGACY_USER": "ann", "LEGACY_PASSWORD": "hush-hush"}
OAUTH2 = {
    "LEGACY_AUTH": "oauth2",
    "LEGACY_TOKEN_URL": "https://issuer.example/token",
    "LEGACY_CLIENT_ID": "punch-clock",
    "LEGACY_CLIENT_SECRET": "hush-hush",
}


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"LEGACY_AUTH": "kerberos"}, "LEGACY_AUTH must be one of none, basic, "),
        ({"LEGACY_AUTH": "basic"}, "LEGACY_AUTH=basic needs LEGACY_USER"),
        (
            {"LEGACY_AUTH": "digest", "LEGACY_USER": "ann"},
            "LEGACY_AUTH=digest needs LEGACY_PASSWORD",
        ),
        ({"LEGACY_AUTH": "bearer"}, "LEGACY_AUTH=bearer needs LEGACY_TOKEN"),
        ({"LEGACY_AUTH": "header"}, "LEGACY_AUTH=header needs LEGACY_AUTH_HEADERS"),
        (
            {"LEGACY_AUTH": "oauth2", "LEGACY_CLIENT_ID": "x"},
            "LEGACY_AUTH=oauth2 needs LEGACY_TOKEN_URL; "
            "LEGACY_AUTH=oauth2 needs LEGACY_CLIENT_SECRET",
        ),
        (LOGIN, "LEGACY_USER needs LEGACY_AUTH=basic or digest or ntlm; LEGACY_PASSWORD needs"),
        ({**OAUTH2, "LEGACY_TOKEN": "t"}, "LEGACY_TOKEN needs LEGACY_AUTH=bearer"),
        ({"LEGACY_SCOPE": "punches"}, "LEGACY_SCOPE needs LEGACY_AUTH=oauth2"),
    ],
)
def test_contradiction_names_the_settings(environ: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError) as raised:
        Settings.from_env(environ)
    assert message in str(raised.value)
    assert "hush" not in str(raised.value)


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"LEGACY_AUTH": "basic", "LEGACY_USER": "a:b"}, "LEGACY_USER must not contain a colon"),
        (
            {"LEGACY_AUTH": "basic", **LOGIN, "LEGACY_PASSWORD": "hush\r\nX: 1"},
            "LEGACY_PASSWORD must not contain control characters",
        ),
        (
            {"LEGACY_AUTH": "ntlm", **LOGIN, "LEGACY_USER": "ann\0"},
            "LEGACY_USER must not contain control characters",
        ),
        ({"LEGACY_AUTH": "bearer", "LEGACY_TOKEN": "hush hush"}, "LEGACY_TOKEN must be printable"),
        ({"LEGACY_AUTH": "bearer", "LEGACY_TOKEN": "hush\nhush"}, "LEGACY_TOKEN must be printable"),
        (
            {"LEGACY_AUTH": "header", "LEGACY_AUTH_HEADERS": "X-Key: k\nhush-hush"},
            "LEGACY_AUTH_HEADERS must have lines such as X-Api-Key: …",
        ),
        (
            {"LEGACY_AUTH": "header", "LEGACY_AUTH_HEADERS": "X Key: hush"},
            "LEGACY_AUTH_HEADERS must have lines such as X-Api-Key: …",
        ),
        (
            {"LEGACY_AUTH": "header", "LEGACY_AUTH_HEADERS": "X-Key: hush\0"},
            "LEGACY_AUTH_HEADERS: the value of X-Key must be printable ASCII",
        ),
        (
            {"LEGACY_AUTH": "header", "LEGACY_AUTH_HEADERS": "content-length: 0"},
            "LEGACY_AUTH_HEADERS must not set content-length",
        ),
        (
            {"LEGACY_AUTH": "header", "LEGACY_AUTH_HEADERS": " \n"},
            "LEGACY_AUTH_HEADERS must have a value for each header",
        ),
        ({"LEGACY_PROXY": "proxy.example:3128"}, "LEGACY_PROXY must be a URL"),
        ({"LEGACY_PROXY": "ftp://ann:hush@proxy.example:3128"}, "LEGACY_PROXY must be a URL"),
        ({"LEGACY_PROXY": "http://ann:hush@proxy.example"}, "LEGACY_PROXY must be a URL"),
        ({"LEGACY_PROXY": "http://:hush@proxy.example:3128"}, "LEGACY_PROXY must be a URL"),
        ({"LEGACY_PROXY": "http://proxy<x>.example:3128"}, "LEGACY_PROXY must be a URL"),
        ({"LEGACY_PROXY": "http://ann:hu%0dsh@proxy.example:1"}, "LEGACY_PROXY must be a URL"),
        ({"LEGACY_CA": "/nowhere/ca.pem"}, "LEGACY_CA is neither PEM nor a file that can be read"),
        ({"LEGACY_CA": "-----BEGIN CERTIFICATE-----\nhush"}, "LEGACY_CA contains no certificate"),
        (
            {**OAUTH2, "LEGACY_TOKEN_URL": "http://issuer.example/token"},
            "LEGACY_TOKEN_URL must be an https URL without user and password",
        ),
        (
            {**OAUTH2, "LEGACY_CLIENT_ID": "a:b", "LEGACY_CLIENT_AUTH": "basic-raw"},
            "LEGACY_CLIENT_ID must not contain a colon",
        ),
        (
            {**OAUTH2, "LEGACY_TOKEN_URL": "https://u:hush@issuer.example/token"},
            "LEGACY_TOKEN_URL must be an https URL without user and password",
        ),
        ({**OAUTH2, "LEGACY_TOKEN_URL": "issuer"}, "LEGACY_TOKEN_URL must be an https URL"),
        (
            {**OAUTH2, "LEGACY_CLIENT_SECRET": "hush\thush"},
            "LEGACY_CLIENT_SECRET must not contain control characters",
        ),
        ({**OAUTH2, "LEGACY_SCOPE": "a\nb"}, "LEGACY_SCOPE must not contain control characters"),
        (
            {"LEGACY_AUTH": "header", "LEGACY_AUTH_HEADERS": "Accept: hush"},
            "LEGACY_AUTH_HEADERS must not set Accept. Set LEGACY_HEADERS",
        ),
    ],
)
def test_invalid_value_names_its_setting_and_is_not_quoted(
    environ: dict[str, str], message: str
) -> None:
    with pytest.raises(SettingsError) as raised:
        credentials_of(environ)
    assert message in str(raised.value)
    assert "hush" not in str(raised.value)


def test_scope_and_audience_may_be_references(tmp_path: Path) -> None:
    (tmp_path / "scope").write_text("punches.write other\n")
    environ = {**OAUTH2, "LEGACY_SCOPE": f"file:{tmp_path}/scope", "LEGACY_AUDIENCE": "api://hr"}
    settings = Settings.from_env(environ)
    values = {
        name: secret_references.read(name, getattr(settings, name), aws.secrets)
        for name in settings.legacy_credentials
    }
    client = credential_settings.parse(settings, values).token_client
    assert client
    assert (client.scope, client.audience) == ("punches.write other", "api://hr")


@pytest.mark.parametrize(
    "variable",
    [
        "http://ann:hu%40sh@proxy.example:3128",
        "ann:hu%40sh@proxy.example:3128",
        "http://ann:hu%40sh@proxy.example",
        "https://ann:hu%40sh@proxy.example:3128/path",
    ],
)
def test_password_of_a_proxy_in_the_environment_is_redacted(variable: str) -> None:
    credentials = credential_settings.parse(Settings(), {}, [variable])
    basic = b64encode(b"ann:hu@sh").decode()
    assert credentials.redact(f"hu@sh, Basic {basic}.") == "[secret], Basic [secret]."


def test_no_secret_appears_in_the_repr_of_credentials(certificate: trustme.LeafCert) -> None:
    values = {
        "legacy_user": "ann",
        "legacy_password": "hush-1",
        "legacy_proxy": "http://ann:hush-2@proxy.example:3128",
        "legacy_client_certificate": certificate.private_key_and_cert_chain_pem.bytes().decode(),
    }
    credentials = credential_settings.parse(Settings(legacy_auth="basic"), values, [])
    text = repr(credentials)
    assert "hush" not in text
    assert "PRIVATE" not in text
    assert credentials.transport.proxy
    assert credentials.transport.proxy.password == "hush-2"


@pytest.fixture(scope="module")
def certificate() -> trustme.LeafCert:
    return trustme.CA().issue_cert("punch-clock")


def test_client_certificate_without_its_key_is_rejected(certificate: trustme.LeafCert) -> None:
    chain = certificate.cert_chain_pems[0].bytes().decode()
    with pytest.raises(SettingsError, match="LEGACY_CLIENT_CERTIFICATE contains no private key"):
        credentials_of({"LEGACY_CLIENT_CERTIFICATE": chain})


def test_key_without_a_certificate_is_rejected(certificate: trustme.LeafCert) -> None:
    key = certificate.private_key_pem.bytes().decode()
    with pytest.raises(SettingsError, match="LEGACY_CLIENT_CERTIFICATE contains no certificate"):
        credentials_of({"LEGACY_CLIENT_CERTIFICATE": key})


def test_key_of_another_certificate_is_rejected(certificate: trustme.LeafCert) -> None:
    other = trustme.CA().issue_cert("punch-clock").private_key_pem.bytes()
    pem = certificate.cert_chain_pems[0].bytes() + other
    with pytest.raises(SettingsError, match="does not belong to the first certificate"):
        credentials_of({"LEGACY_CLIENT_CERTIFICATE": pem.decode()})


def test_key_with_a_passphrase_is_rejected(certificate: trustme.LeafCert) -> None:
    key = load_pem_private_key(certificate.private_key_pem.bytes(), None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"hush-hush")
    )
    pem = certificate.cert_chain_pems[0].bytes() + key
    with pytest.raises(SettingsError, match="has a passphrase"):
        credentials_of({"LEGACY_CLIENT_CERTIFICATE": pem.decode()})


def test_expired_client_certificate_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    expired = trustme.CA().issue_cert("punch-clock", not_after=yesterday)
    pem = expired.private_key_and_cert_chain_pem.bytes().decode()
    credentials_of({"LEGACY_CLIENT_CERTIFICATE": pem})
    assert [each.getMessage() for each in caplog.records] == ["the client certificate has expired"]
