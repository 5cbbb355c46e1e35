"""DATABASE_URL: a libpq URI or a secret of RDS becomes the arguments of a connection."""

import json
import re
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import botocore
import pytest
from cryptography import x509

from chalicelib.errors import MisconfiguredError
from chalicelib.postgres import database_url
from chalicelib.postgres.database_url import connect_arguments


def test_uri_gives_user_password_host_port_and_database() -> None:
    assert connect_arguments("postgresql://ann:p%40ss@127.0.0.1:5433/clock") == {
        "user": "ann",
        "password": "p@ss",
        "host": "127.0.0.1",
        "port": 5433,
        "database": "clock",
        "application_name": "punch-clock",
    }


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_loopback_host_needs_no_tls(host: str) -> None:
    assert "ssl_context" not in connect_arguments(f"postgresql://ann@{host}/clock")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_sslmode_disable_of_a_loopback_host_does_not_ask_for_tls(host: str) -> None:
    arguments = connect_arguments(f"postgresql://ann@{host}:5433/clock?sslmode=disable")
    assert arguments["ssl_context"] is False
    assert arguments["port"] == 5433


def test_certificate_of_any_other_host_is_verified() -> None:
    context = connect_arguments("postgresql://ann@db.example/clock?sslmode=disable")["ssl_context"]
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_sslrootcert_must_be_a_readable_file_of_certificates(tmp_path: Path) -> None:
    url = "postgresql://ann@db.example/clock?sslrootcert="
    certificates = Path(botocore.__file__).with_name("cacert.pem")
    context = connect_arguments(f"{url}{certificates}")["ssl_context"]
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.cert_store_stats()["x509_ca"] > 0
    (tmp_path / "invalid.pem").write_text("no certificate")
    for path in (tmp_path / "invalid.pem", tmp_path / "missing.pem"):
        with pytest.raises(MisconfiguredError, match="sslrootcert of DATABASE_URL"):
            connect_arguments(f"{url}{path}")


def test_host_option_may_be_a_socket_directory() -> None:
    arguments = connect_arguments("postgresql://ann@/clock?host=/run/postgresql")
    assert arguments["unix_sock"] == "/run/postgresql/.s.PGSQL.5432"
    assert arguments["ssl_context"] is False


@pytest.mark.parametrize("url", ["", "mysql://x", "127.0.0.1"])
def test_url_of_another_scheme_is_rejected(url: str) -> None:
    with pytest.raises(MisconfiguredError, match="DATABASE_URL must be"):
        connect_arguments(url)


@pytest.mark.parametrize(
    "url", ["postgresql://ann:secret", "postgresql://[x", "postgresql://x:99999"]
)
def test_malformed_url_is_rejected_without_quoting_it(url: str) -> None:
    with pytest.raises(MisconfiguredError, match="DATABASE_URL is not a valid URI") as rejected:
        connect_arguments(url)
    assert "secret" not in str(rejected.value)
    assert rejected.value.__suppress_context__


def test_error_names_the_setting_that_has_the_url() -> None:
    with pytest.raises(MisconfiguredError, match="ODATA_DATABASE_URL"):
        connect_arguments("mysql://x", "ODATA_DATABASE_URL")


# The members that RDS writes.
SECRET = {
    "username": "ann",
    "password": "p@ss/word#1",
    "engine": "postgres",
    "host": "127.0.0.1",
    "port": 5433,
    "dbname": "clock",
    "dbInstanceIdentifier": "clock-1",
}


@pytest.mark.parametrize("port", [5433, "5433"])
def test_secret_of_rds_gives_the_same_as_a_uri(port: object) -> None:
    assert connect_arguments(json.dumps({**SECRET, "port": port})) == connect_arguments(
        "postgresql://ann:p%40ss%2Fword%231@127.0.0.1:5433/clock"
    )


def test_secret_of_rds_without_a_port_has_the_default_port() -> None:
    without = {name: value for name, value in SECRET.items() if name != "port"}
    assert connect_arguments(json.dumps(without))["port"] == 5432


PORTS: tuple[object, ...] = (None, 0, 65_536, -1, 5.5, "x", [], True)


@pytest.mark.parametrize("value", [None, "", 5])
@pytest.mark.parametrize("member", ["username", "password", "host", "dbname"])
def test_secret_without_a_member_is_rejected_by_name_and_not_quoted(
    member: str, value: object
) -> None:
    message = f"The JSON object of DATABASE_URL needs the text {member}."
    with pytest.raises(MisconfiguredError, match=re.escape(message)) as rejected:
        connect_arguments(json.dumps({**SECRET, member: value}))
    assert "p@ss" not in str(rejected.value)


@pytest.mark.parametrize("port", PORTS)
def test_secret_with_an_invalid_port_is_rejected(port: object) -> None:
    with pytest.raises(MisconfiguredError, match="is not a port number"):
        connect_arguments(json.dumps({**SECRET, "port": port}))


@pytest.mark.parametrize("text", ['{"username": "ann", "password": "p@ss"', "{}}", "{'a': 1}"])
def test_malformed_secret_is_rejected_without_quoting_it(text: str) -> None:
    with pytest.raises(MisconfiguredError, match="is not a valid JSON object") as rejected:
        connect_arguments(text)
    assert rejected.value.__suppress_context__


@pytest.mark.parametrize(
    ("host", "trusts_rds"),
    [
        ("clock.x1.eu-central-1.rds.amazonaws.com", True),
        ("clock.x1.cn-north-1.rds.amazonaws.com.cn", True),
        ("CLOCK.x1.sa-east-1.RDS.amazonaws.com", True),
        ("rds.amazonaws.com.example", False),
        ("db.example", False),
    ],
)
def test_only_hosts_of_rds_may_have_a_certificate_of_its_own_authorities(
    host: str, trusts_rds: bool
) -> None:
    context = connect_arguments(json.dumps({**SECRET, "host": host}))["ssl_context"]
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    roots = {str(each["subject"]) for each in context.get_ca_certs()}
    public = {str(each["subject"]) for each in ssl.create_default_context().get_ca_certs()}
    assert public <= roots
    assert any("Amazon RDS" in each for each in roots - public) is trusts_rds


def test_sslrootcert_replaces_the_authorities_of_rds() -> None:
    certificates = Path(botocore.__file__).with_name("cacert.pem")
    url = "postgresql://ann@x.eu-central-1.rds.amazonaws.com/clock?sslrootcert="
    context = connect_arguments(f"{url}{certificates}")["ssl_context"]
    assert not any("Amazon RDS" in str(each["subject"]) for each in context.get_ca_certs())


def test_authorities_of_rds_are_valid_self_signed_and_of_regions() -> None:
    roots = x509.load_pem_x509_certificates(database_url._RDS_CA.read_bytes())
    names = set()
    for root in roots:
        root.verify_directly_issued_by(root)
        assert root.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        assert root.not_valid_after_utc > datetime.now(UTC) + timedelta(days=3650)
        names.add(root.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value)
    assert len(names) == len(roots)
    for kind in ("RSA2048", "RSA4096", "ECC384"):
        for region in ("us-east-1", "sa-east-1", "eu-central-1", "ap-southeast-2"):
            assert f"Amazon RDS {region} Root CA {kind} G1" in names
    assert all(re.fullmatch(r"Amazon RDS [a-z-]+-\d Root CA \w+ G1", str(name)) for name in names)
