"""A stage with a missing or malformed setting: clients get a 503, and the log names the setting."""

import json
from pathlib import Path
from typing import Any

import pytest

import app
from chalicelib.errors import MisconfiguredError
from tests.support.lambda_events import context, schedule_event
from tests.support.service import UNREACHABLE, Http, error_of, wired


def logged_lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(
    ("changes", "message", "cause"),
    [
        (
            {"MAX_ATTEMPTS": "many", "RUN_LEASE_S": "0"},
            "A setting of this stage is invalid. The log of the service names it.",
            ["MAX_ATTEMPTS must be an integer, not 'many'", "RUN_LEASE_S must be between"],
        ),
        (
            {"JWT_KEY": "file:/nowhere/jwt.key"},
            "JWT_KEY refers to a file that does not exist. On a single machine, start the stack"
            " first: run `make run` in another terminal.",
            ["JWT_KEY refers to file:/nowhere/jwt.key, which does not exist"],
        ),
        (
            {"DATABASE_URL": "mysql://ann:hush@db.example/clock"},
            "DATABASE_URL must be a URI that starts with postgresql://, or a JSON object.",
            [],
        ),
        (
            {"DATABASE_URL": "postgresql://ann:hush@db.example/clock?sslrootcert=/nowhere.pem"},
            "The sslrootcert of DATABASE_URL is not a readable file of PEM certificates.",
            ["No such file"],
        ),
        (
            {"ODATA_DATABASE_URL": "mysql://ann:hush@db.example/clock"},
            "ODATA_DATABASE_URL must be a URI that starts with postgresql://, or a JSON object.",
            [],
        ),
    ],
    ids=["malformed", "missing file", "scheme", "certificates", "scheme of queries"],
)
def test_malformed_setting_is_a_503_whose_log_line_names_the_setting(
    changes: dict[str, str],
    message: str,
    cause: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with wired(UNREACHABLE | changes):
        response = Http(tmp_path).get("/odata/PointRecords")
    assert response.status_code == 503
    assert "Retry-After" not in response.headers
    error = error_of(response)
    assert (error["code"], error["message"]) == ("Misconfigured", message)
    (line,) = logged_lines(capsys)
    assert (line["level"], line["message"]) == ("ERROR", "the stage is misconfigured")
    assert line["fault"] == message
    assert all(part in line["cause"] for part in cause)
    assert "hush" not in str(line)


@pytest.mark.parametrize("url", ["", "mysql://ann:hush@db.example/clock"])
def test_schedule_of_a_stage_without_a_valid_database_url_fails(url: str) -> None:
    with (
        wired(UNREACHABLE | {"DATABASE_URL": url}),
        pytest.raises(MisconfiguredError, match="DATABASE_URL must be"),
    ):
        app.replicate(schedule_event(), context())
