"""Profiles of a legacy: what is read, what is refused, and the commands that take one."""

import json
import os
import shlex
import signal
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from select import select
from typing import Any, ClassVar
from xml.etree import ElementTree

import pytest
from botocore.exceptions import NoCredentialsError

from chalicelib.settings import Settings
from local.legacy_profile import ProfileError, check_profile, read_profile, with_secrets
from tests.support.http_server import HttpServer, Request, Response
from tests.support.running_stack import RunningStack, local
from tests.support.waiting import wait_until

DEFAULTS = {
    each.name.upper(): str(each.default)
    for each in fields(Settings)
    if each.name.startswith("legacy_")
}
SOAP = """\
# The payroll's SOAP interface
LEGACY_URL={url}/soap
LEGACY_CONTENT_TYPE='text/xml; charset=utf-8'
LEGACY_BODY=file:templates/register.xml
LEGACY_HEADERS='SOAPAction: "urn:register"
X-Api-Key: hush'

LEGACY_DELIVERED="status == `200` && contains(body, 'registered/>')"
LEGACY_REFUSED="contains(body, ':Fault>')"
"""
TEMPLATE = """\
<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>
  <register><employee>{{ employeeId }}</employee></register>
</s:Body></s:Envelope>
"""


def write_profile(directory: Path, url: str, text: str = SOAP) -> Path:
    """Write a profile and its template into a directory; return the profile's path."""
    (directory / "templates").mkdir()
    (directory / "templates/register.xml").write_text(TEMPLATE)
    profile = directory / "payroll.env"
    profile.write_text(text.replace("{url}", url))
    return profile


def register(request: Request) -> Response:
    tree = ElementTree.fromstring(request.body)  # noqa: S314 - our own XML
    assert request.headers["soapaction"] == '"urn:register"'
    is_known = tree.findtext(".//employee") == "7"
    return Response(body=b"<registered/>" if is_known else b"<s:Fault>x</s:Fault>")


def test_profile_has_values_of_several_lines_and_references_relative_to_itself(
    tmp_path: Path,
) -> None:
    profile = read_profile(write_profile(tmp_path, "https://hr.example"))
    assert {name: profile[name] for name in profile if profile[name] != DEFAULTS[name]} == {
        "LEGACY_URL": "https://hr.example/soap",
        "LEGACY_CONTENT_TYPE": "text/xml; charset=utf-8",
        "LEGACY_BODY": f"file:{tmp_path}/templates/register.xml",
        "LEGACY_HEADERS": 'SOAPAction: "urn:register"\nX-Api-Key: hush',
        "LEGACY_DELIVERED": "status == `200` && contains(body, 'registered/>')",
        "LEGACY_REFUSED": "contains(body, ':Fault>')",
    }
    check_profile(profile)
    # A variable of the environment takes the place of no setting.
    assert profile.keys() == DEFAULTS.keys()


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (r"'a\d \'b\' \\ #c'", r"a\d 'b' \ #c"),
        (r'"a\"b\tc\\d"', 'a"b\tc\\d'),
        (r"DOMAIN\nora's #1", r"DOMAIN\nora's"),
        ("a#b $HOME ${HOME}  ", "a#b $HOME ${HOME}"),
        ("'a\r\nb'", "a\nb"),
        ("file:../secret", "file:{parent}/secret"),
        ("file:/secret#member", "file:/secret#member"),
    ],
)
def test_value_is_read_as_the_document_says(value: str, read: str, tmp_path: Path) -> None:
    text = f"\ufeffLEGACY_PASSWORD={value}\r\nLEGACY_URL=http://x/\r\nLEGACY_CA=certs/ca.pem"
    path = tmp_path / "hr.env"
    path.write_bytes(text.encode())
    profile = read_profile(path)
    assert profile["LEGACY_PASSWORD"] == read.replace("{parent}", str(tmp_path.parent))
    assert profile["LEGACY_CA"] == f"{tmp_path}/certs/ca.pem"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("LEGACY_URL=http://x/\n\nLEGACY_BODY='a", "line 3: this is not NAME=value"),
        ("\n# x\nLEGACY_URL", "line 3: LEGACY_URL has no value. Write LEGACY_URL= for none"),
        ("LEGACY_URL=http://x/\nMAX_ATTEMPTS=3", "line 2: MAX_ATTEMPTS is no setting of a legacy"),
        ("LEGACY_URI=http://x/", "line 1: LEGACY_URI is no setting of a legacy"),
        ("LEGACY_URL=http://x/\nLEGACY_URL=http://y/", "line 2: LEGACY_URL is set a second time"),
        ("LEGACY_METHOD=PUT", "LEGACY_URL is missing"),
        ("LEGACY_URL=http://x/\nLEGACY_TOKEN=a\0b", "line 2: LEGACY_TOKEN has a NUL character"),
    ],
)
def test_malformed_profile_is_refused_with_its_line(
    text: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ProfileError, match=message):
        read_profile(write_profile(tmp_path, "", text))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("LEGACY_METHOD=DELETE", "LEGACY_METHOD must be one of POST, PUT, PATCH, GET, not"),
        ("LEGACY_METHOD=GET", "LEGACY_METHOD=GET sends no body: LEGACY_URL must have the record"),
        ("LEGACY_BODY='{{ x }}'", "LEGACY_BODY, line 1: x is no property of a record"),
        ("LEGACY_BODY=file:none.xml", r"LEGACY_BODY refers to file:/.*/none\.xml, which does not"),
        ("LEGACY_RETRY=status == `423`", None),
        ("LEGACY_CONTENT_TYPE=text/xml", "LEGACY_CONTENT_TYPE is not JSON, so it needs a template"),
        ("LEGACY_RETRY=503", "LEGACY_RETRY is not a JMESPath expression"),
    ],
)
def test_settings_of_a_profile_are_checked_as_in_a_run(
    line: str, message: str | None, tmp_path: Path
) -> None:
    profile = read_profile(write_profile(tmp_path, "", f"LEGACY_URL=http://x/\n{line}\n"))
    if message is None:
        check_profile(profile)
        return
    with pytest.raises(ProfileError, match=message):
        check_profile(profile)


class Parameters:
    """SSM, with the parameters in ``stored``."""

    stored: ClassVar[dict[str, str]] = {}

    def __init__(self, _: str) -> None:
        pass

    def get_parameter(self, *, Name: str, **_: Any) -> dict[str, Any]:  # noqa: N803
        if Name not in self.stored:
            raise NoCredentialsError
        return {"Parameter": {"Value": self.stored[Name]}}


def test_references_to_aws_are_read_for_the_processes_of_a_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chalicelib.aws.secrets", Parameters)
    (tmp_path / "body").write_text("[{{ employeeId }}]")
    lines = ["LEGACY_URL=ssm:/hr/url", "LEGACY_BODY=file:body", "LEGACY_AUTH=bearer"]
    profile_file = tmp_path / "hr.env"
    profile_file.write_text("\n".join([*lines, "LEGACY_TOKEN=ssm:/hr/token"]))
    profile = read_profile(profile_file)
    with pytest.raises(
        ProfileError,
        match=r"LEGACY_URL refers to ssm:/hr/url, which cannot be .*:"
        " Unable to locate credentials",
    ):
        check_profile(profile)
    monkeypatch.setattr(Parameters, "stored", {"/hr/url": "http://x/\n", "/hr/token": "t0ken"})
    check_profile(profile)
    assert with_secrets(profile) == profile | {"LEGACY_URL": "http://x/", "LEGACY_TOKEN": "t0ken"}


def test_url_of_a_profile_is_checked(tmp_path: Path) -> None:
    profile = read_profile(write_profile(tmp_path, "", "LEGACY_URL=hr.example"))
    with pytest.raises(ProfileError, match="LEGACY_URL must be a URL such as"):
        check_profile(profile)


def check(*arguments: str, response: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "local", "legacy", "check", *arguments],
        input=response,
        capture_output=True,
        timeout=60,
    )


def test_check_prints_the_request_and_judges_standard_input(tmp_path: Path) -> None:
    profile = str(write_profile(tmp_path, "http://127.0.0.1:9"))
    shown = check("--legacy", profile, "--record", json.dumps({"employeeId": 7}))
    assert shown.returncode == 1
    assert b"employerId is missing" in shown.stderr
    shown = check("--legacy", profile)
    assert shown.returncode == 0
    assert shown.stdout.startswith(b"POST /soap HTTP/1.1\nHost: 127.0.0.1:9\n")
    assert b"X-Api-Key: ***\n" in shown.stdout
    assert b"judged" not in shown.stdout
    judged = check("--legacy", profile, response=b"HTTP/1.1 200 OK\r\n\r\n<s:Fault>\xe9</s:Fault>")
    assert judged.returncode == 0
    assert judged.stdout.decode().endswith(
        "\nThe response is judged REFUSED by LEGACY_REFUSED.\nThe record is sent again later."
        " After 8 such attempts, each while other records are delivered, it is parked.\n"
        "Its log: HTTP 200, judged by LEGACY_REFUSED: <s:Fault>é</s:Fault>\n"
    )


def test_check_needs_neither_standard_input_nor_a_terminal_with_unicode(tmp_path: Path) -> None:
    profile = str(write_profile(tmp_path, "http://127.0.0.1:9"))
    command = [sys.executable, "-m", "local", "legacy", "check", "--legacy", profile]
    without_input = "exec 0<&-; exec " + shlex.join(command)
    environment = os.environ | {"PYTHONIOENCODING": "latin-1"}
    shown = subprocess.run(["sh", "-c", without_input], capture_output=True, env=environment)
    assert shown.stderr == b""
    assert shown.returncode == 0
    assert shown.stdout.startswith(b"POST /soap HTTP/1.1\n")


def test_check_that_waits_for_standard_input_says_so(tmp_path: Path) -> None:
    profile = str(write_profile(tmp_path, "http://127.0.0.1:9"))
    command = [sys.executable, "-m", "local", "legacy", "check", "--legacy", profile]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdin
        assert process.stderr
        assert select([process.stderr], [], [], 30)[0]
        said = process.stderr.readline()
        shown, _ = process.communicate(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")
    assert said == (
        b"Waiting for a response on standard input. If there is none, add < /dev/null\n"
    )
    assert b"The response is judged OVERLOAD" in shown


def test_check_sends_only_if_told_to_and_its_status_says_whether_it_was_delivered(
    tmp_path: Path,
) -> None:
    with HttpServer(register).running() as legacy:
        profile = str(write_profile(tmp_path, legacy.origin))
        assert check("--legacy", profile).returncode == 0
        assert legacy.requests == []
        punch = '{"employeeId": %d, "employerId": 1, "includedAt": "2024-05-06T08:00:00-03:00"}'
        assert check("--legacy", profile, "--send", "--record", punch % 7).returncode == 0
        refused = check("--legacy", profile, "--send", "--record", punch % 8)
    assert refused.returncode == 1
    assert b"judged REFUSED by LEGACY_REFUSED" in refused.stdout
    assert len(legacy.requests) == 2


def test_check_names_the_settings_that_contradict_each_other(tmp_path: Path) -> None:
    profile = write_profile(tmp_path, "", "LEGACY_URL=http://127.0.0.1:9\nLEGACY_USER=ann\n")
    done = check("--legacy", str(profile))
    assert done.returncode == 1
    assert done.stderr.startswith(b"LEGACY_USER needs LEGACY_AUTH=basic")


def test_check_without_settings_says_what_is_missing() -> None:
    done = check()
    assert done.returncode == 1
    assert done.stderr.startswith(b"LEGACY_URL must be a URL such as")
    assert done.stdout == b""


def test_stack_feeds_the_legacy_that_a_profile_describes(tmp_path: Path) -> None:
    with HttpServer(register).running() as legacy:
        profile = write_profile(tmp_path, legacy.origin)
        stack = RunningStack(tmp_path / "data", "--tick", "0.1", "--legacy", str(profile))
        try:
            record_id = stack.post().json()["id"]
            wait_until(lambda: stack.get(record_id).json()["status"] == "INTEGRATED")
            refused_id = stack.post(employeeId=8).json()["id"]
            wait_until(lambda: stack.get(refused_id).json()["status"] == "ERROR")
            assert (stack.data / "stack.json").stat().st_mode & 0o077 == 0
            assert stack.command("status").returncode == 0
            assert stack.command("tick", "integrate").returncode == 0
        finally:
            stack.end(signal.SIGTERM)
    assert {each.headers["x-api-key"] for each in legacy.requests} == {"hush"}


def test_stack_with_a_faulty_profile_does_not_start(tmp_path: Path) -> None:
    faulty = SOAP.replace("':Fault>'", "Fault")
    profile = write_profile(tmp_path, "http://127.0.0.1:9", faulty)
    done = local("up", "--data", str(tmp_path / "data"), "--legacy", str(profile))
    assert done.returncode == 1
    assert "LEGACY_REFUSED uses Fault, which a response does not have" in done.stdout
    assert not (tmp_path / "data").exists()
