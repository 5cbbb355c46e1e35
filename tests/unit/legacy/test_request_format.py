"""The format of requests, as the settings define it, and what they may not define."""

import json
import subprocess
import sys
from dataclasses import fields
from typing import Any

import pytest

from chalicelib.integrator.legacy.messages.record_values import (
    PROPERTIES,
    sample_record,
    smallest_sample_record,
)
from chalicelib.integrator.legacy.messages.request_format import DEFAULT_FORMAT, RequestFormat, read
from chalicelib.settings import Settings, SettingsError
from local.child_process import PROJECT

URL = "https://hr.example/punches"
XML = "text/xml; charset=utf-8"
FORM = "application/x-www-form-urlencoded"


def read_format(**values: str) -> RequestFormat:
    settings = Settings(legacy_url=values.pop("legacy_url", URL), **values)  # type: ignore[arg-type]
    return read(settings, lambda name: str(getattr(settings, name)))


def test_default_format_sends_the_json_of_the_record() -> None:
    assert read_format() == DEFAULT_FORMAT
    assert not DEFAULT_FORMAT.is_rendered
    assert DEFAULT_FORMAT.headers == ("Accept: application/json", "Content-Type: application/json")
    assert (DEFAULT_FORMAT.method, DEFAULT_FORMAT.key_header) == ("POST", "Idempotency-Key")


def test_url_and_body_are_rendered_from_the_record() -> None:
    result = read_format(
        legacy_url="https://hr.example/e/{employerId}/p?device={deviceId}",
        legacy_method="PUT",
        legacy_content_type=XML,
        legacy_body="<p e='{{ employerId }}'>{{ local.strftime('%H:%M') }}</p>",
        legacy_key_header="",
    )
    assert result.is_rendered
    assert (result.method, result.key_header) == ("PUT", "")
    url, body = result.render(smallest_sample_record().replace(b"{", b'{"deviceId": "a/b", ', 1))
    assert url == "https://hr.example/e/121/p?device=a%2Fb"
    assert body == b"<p e='121'>22:30</p>"


def test_headers_are_lines_after_ours() -> None:
    result = read_format(
        legacy_content_type=XML,
        legacy_body="<p/>",
        legacy_headers='SOAPAction: "urn:register"\r\n\nX-Tenant:  7 ',
    )
    assert result.headers == (
        "Accept: */*",
        f"Content-Type: {XML}",
        'SOAPAction: "urn:register"',
        "X-Tenant: 7",
    )
    accept = read_format(legacy_headers="accept: text/plain").headers
    assert accept == ("Content-Type: application/json", "accept: text/plain")


@pytest.mark.parametrize(
    ("charset", "declared"),
    [
        ("", "utf-8"),
        ("; charset=ISO-8859-1", "latin1"),
        ("; charset=us-ascii", "utf-8"),
        ("; charset=utf-16le", "UTF-16"),
        ("; charset=windows-1252", "windows-1252"),
        ("; charset=Shift_JIS", "shift_jis"),
        ("; charset=gb18030", "GB18030"),
        ("; charset=euc-kr", "EUC-KR"),
    ],
)
def test_xml_may_declare_the_encoding_of_its_content_type(charset: str, declared: str) -> None:
    result = read_format(
        legacy_content_type="text/xml" + charset,
        legacy_body=f'<?xml version="1.0" encoding="{declared}"?><p>{{{{ employerId }}}}</p>',
    )
    assert b"121" in result.render(smallest_sample_record())[1].replace(b"\0", b"")


def test_secrets_of_headers_and_query_are_removed_from_a_text_that_quotes_them() -> None:
    result = read_format(
        legacy_url="https://hr.example/p?code=az%2Fure-k3y&tenant=plant-seven&key={id}",
        legacy_headers="Ocp-Apim-Subscription-Key: k3y-value\nCookie: sid=c00kie; b=other-c00kie\n"
        "X-Auth: Scheme schem3-value\nX-Tenant: plant-seven\nSOAPAction: register",
    )
    assert result.redact
    quoted = "az/ure-k3y az%2Fure-k3y k3y-value c00kie other-c00kie schem3-value"
    assert result.redact(quoted) == " ".join(["[secret]"] * 6)
    assert result.redact("plant-seven register {id}") == "plant-seven register {id}"
    assert read_format(legacy_headers="X-Tenant: plant-seven").redact is None


def test_values_of_the_record_are_not_removed_from_logs() -> None:
    result = read_format(
        legacy_body='{"key": "{{ id }}", "sessionDate": "{{ localDate }}", "apiKey": "k3y-value"}'
    )
    assert result.redact
    values = json.loads(sample_record())
    assert result.redact(f"{values['id']} {values['localDate']}, k3y-value") == (
        f"{values['id']} {values['localDate']}, [secret]"
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"legacy_content_type": "xml"}, "LEGACY_CONTENT_TYPE must be a media type"),
        ({"legacy_content_type": "text/xml\r\nX: y"}, "LEGACY_CONTENT_TYPE must be a media type"),
        ({"legacy_content_type": ""}, "LEGACY_CONTENT_TYPE must be a media type"),
        (
            {"legacy_content_type": "text/xml; charset=klingon", "legacy_body": "x"},
            "LEGACY_CONTENT_TYPE: the charset 'klingon' is unknown",
        ),
        ({"legacy_content_type": "text/xml"}, "LEGACY_CONTENT_TYPE is not JSON, so it needs a"),
        (
            {
                "legacy_content_type": "text/xml",
                "legacy_body": '<?xml version="1.0" encoding="ISO-8859-1"?><p/>',
            },
            "LEGACY_BODY: the XML declares ISO-8859-1, but LEGACY_CONTENT_TYPE makes it utf-8. Set",
        ),
        (
            {
                "legacy_content_type": "text/xml; charset=utf-16",
                "legacy_body": "<?xml version='1.0' encoding='utf-8'?><p/>",
            },
            "LEGACY_BODY: the XML declares utf-8, but LEGACY_CONTENT_TYPE makes it utf-16",
        ),
        (
            {"legacy_content_type": "application/json; charset=iso-8859-1"},
            "LEGACY_CONTENT_TYPE has a charset other than utf-8, .* needs a template",
        ),
        ({"legacy_method": "GET"}, "LEGACY_METHOD=GET sends no body: LEGACY_URL must have the"),
        (
            {"legacy_method": "GET", "legacy_url": f"{URL}?e={{employeeId}}", "legacy_body": "x"},
            "LEGACY_METHOD=GET sends no body: .* LEGACY_BODY must not be set",
        ),
        ({"legacy_key_header": "authorization"}, "LEGACY_KEY_HEADER must not be authorization"),
        ({"legacy_key_header": "Accept"}, "LEGACY_KEY_HEADER must not be Accept"),
        ({"legacy_key_header": "Idempotency Key"}, "LEGACY_KEY_HEADER must be the name of a"),
        ({"legacy_key_header": "X\r\nY"}, "LEGACY_KEY_HEADER must be the name of a header"),
        ({"legacy_key_header": "Host"}, "LEGACY_KEY_HEADER must be the name of a header"),
        ({"legacy_headers": "hush"}, "LEGACY_HEADERS must have lines such as"),
        ({"legacy_headers": "X hush: y"}, "LEGACY_HEADERS must have lines such as"),
        ({"legacy_headers": ": hush"}, "LEGACY_HEADERS must have lines such as"),
        ({"legacy_headers": "X: hush\x00"}, "LEGACY_HEADERS: the value of X must be printable"),
        ({"legacy_headers": "X: hush\rY: z"}, "LEGACY_HEADERS: the value of X must be printable"),
        ({"legacy_headers": "X: hüsh"}, "LEGACY_HEADERS: the value of X must be printable ASCII"),
        ({"legacy_headers": "host: hush"}, "must not set host. Set LEGACY_URL"),
        ({"legacy_headers": "Content-Type: x/y"}, "Content-Type. Set LEGACY_CONTENT_TYPE"),
        ({"legacy_headers": "Content-Length: 7"}, "must not set Content-Length$"),
        ({"legacy_headers": "Transfer-Encoding: chunked"}, "must not set Transfer-Encoding"),
        ({"legacy_headers": "Connection: close"}, "must not set Connection"),
        ({"legacy_headers": "Expect: 100-continue"}, "must not set Expect"),
        ({"legacy_headers": "idempotency-key: 7"}, "idempotency-key. Set LEGACY_KEY_HEADER"),
        (
            {"legacy_body": '{\n"device": "{{ deviceId }}"}'},
            "LEGACY_BODY: the body is not JSON: .*line 2 column",
        ),
        (
            {"legacy_body": "<p>{{ deviceId | safe }}</p>", "legacy_content_type": XML},
            "LEGACY_BODY: the body is not XML: not well-formed .* line 1, column",
        ),
        (
            {"legacy_body": "device={{ deviceId }}", "legacy_content_type": FORM},
            "LEGACY_BODY: the form has an unencoded '\xc3'",
        ),
        (
            {"legacy_body": "a={{ employeeId }}\nb=1", "legacy_content_type": FORM},
            r"LEGACY_BODY: the form has an unencoded '\\n'",
        ),
        (
            {"legacy_body": "a=1&{{ employeeId }}", "legacy_content_type": FORM},
            "LEGACY_BODY: the form has a field without =",
        ),
        (
            {"legacy_body": '{"lat": {{ latitude | default("") }}}'},
            "LEGACY_BODY: the body is not JSON: .* The sample record lacks deviceId and the positi",
        ),
        ({"legacy_url": ""}, "^LEGACY_URL must be a URL such as"),
        ({"legacy_url": "https://user:hush@hr.example/"}, "^LEGACY_URL must be a URL such as"),
        ({"legacy_body": "\n{{ 1 / 0 }}"}, "^LEGACY_BODY, line 2: ZeroDivisionError"),
        ({"legacy_body": "{{ employee }}"}, "^LEGACY_BODY, line 1: employee is no property"),
        ({"legacy_url": "https://hr.example/{name}"}, "^LEGACY_URL has the placeholder {name}"),
    ],
)
def test_invalid_setting_is_an_error_that_names_it(values: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        read_format(**values)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (
            {
                "legacy_content_type": "text/csv; charset=iso-8859-1",
                "legacy_body": "{{ deviceId }}",
            },
            b"Zo\xeb",
        ),
        ({"legacy_content_type": "text/plain", "legacy_body": "{{ deviceId }}"}, b"Zo\xc3\xab"),
        (
            {"legacy_content_type": FORM, "legacy_body": "d={{ deviceId | urlencode }}"},
            b"d=Zo%C3%AB",
        ),
        ({"legacy_body": "{{ [deviceId] | tojson }}"}, b'["Zo\\u00eb'),
    ],
)
def test_template_that_escapes_what_its_syntax_reserves_is_accepted(
    values: dict[str, str], expected: bytes
) -> None:
    result = read_format(**values)
    assert result.body
    assert result.render(sample_record("latin-1"))[1].startswith(expected)


def test_template_may_need_a_property_that_records_may_lack() -> None:
    assert read_format(legacy_body="[{{ latitude }}]").is_rendered


def test_sample_records_have_every_property_and_only_the_required_ones() -> None:
    full: dict[str, Any] = json.loads(sample_record())
    assert tuple(full) == PROPERTIES
    smallest = json.loads(smallest_sample_record())
    assert smallest.items() < full.items()


PROGRAM = """
import json, sys
from chalicelib.integrator.legacy.messages import request_format
from chalicelib.settings import Settings
settings = Settings(legacy_url="https://hr.example/punches")
request_format.read(settings, lambda name: getattr(settings, name))
print(json.dumps(sorted(sys.modules)))
"""


def test_default_format_imports_no_template_engine() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=PROJECT, capture_output=True, text=True, timeout=60
    )
    modules = json.loads(done.stdout)
    assert "chalicelib.integrator.legacy.messages.request_format" in modules
    loaded = {name.partition(".")[0] for name in modules}
    assert not loaded & {"jinja2", "markupsafe", "jmespath"}


def test_every_legacy_text_setting_may_be_a_reference() -> None:
    texts = {each.name for each in fields(Settings) if each.name.startswith("legacy_")}
    by_reference = {each.name for each in fields(Settings) if each.metadata["by_reference"]}
    assert {
        "legacy_url",
        "legacy_body",
        "legacy_headers",
        "legacy_delivered",
    } <= texts & by_reference
