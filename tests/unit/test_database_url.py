"""DATABASE_URL: a libpq URI is translated to the arguments of a connection."""

import ssl
from pathlib import Path

import botocore
import pytest

from chalicelib.errors import MisconfiguredError
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
