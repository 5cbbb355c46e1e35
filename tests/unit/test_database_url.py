"""How a libpq URI is understood."""

import ssl
from pathlib import Path

import botocore
import pytest

from chalicelib.errors import UnavailableError
from chalicelib.postgres.connection import _connect_arguments as read


def test_takes_each_part_of_a_uri() -> None:
    found = read("postgresql://ann:p%40ss@127.0.0.1:5433/clock")
    assert (found["user"], found["password"], found["host"], found["port"], found["database"]) == (
        "ann",
        "p@ss",
        "127.0.0.1",
        5433,
        "clock",
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_speaks_plainly_to_this_machine(host: str) -> None:
    assert "ssl_context" not in read(f"postgresql://ann@{host}/clock")


def test_verifies_the_certificate_of_any_other() -> None:
    context = read("postgresql://ann@db.example/clock?sslmode=disable")["ssl_context"]
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_trusts_the_root_certificates_that_it_is_given(tmp_path: Path) -> None:
    url = "postgresql://ann@db.example/clock?sslrootcert="
    given = read(f"{url}{Path(botocore.__file__).with_name('cacert.pem')}")["ssl_context"]
    assert given.verify_mode is ssl.CERT_REQUIRED
    assert given.cert_store_stats()["x509_ca"] > 0
    (tmp_path / "none.pem").write_text("no certificate")
    for path in (tmp_path / "none.pem", tmp_path / "missing.pem"):
        with pytest.raises(UnavailableError, match="sslrootcert"):
            read(f"{url}{path}")


def test_uses_a_socket_directory() -> None:
    found = read("postgresql://ann@/clock?host=/run/postgresql")
    assert found["unix_sock"] == "/run/postgresql/.s.PGSQL.5432"


@pytest.mark.parametrize("url", ["", "mysql://x", "127.0.0.1"])
def test_refuses_what_is_no_uri_of_postgres(url: str) -> None:
    with pytest.raises(UnavailableError, match="DATABASE_URL"):
        read(url)
