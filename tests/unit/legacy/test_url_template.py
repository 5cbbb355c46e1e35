"""The URL of a request: every value stays one path segment or query value, on the same host."""

from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.integrator.legacy.messages.record_values import (
    UnsendableError,
    sample_record,
    values_of,
)
from chalicelib.integrator.legacy.messages.url_template import UrlTemplate
from chalicelib.net import is_http_url
from chalicelib.settings import SettingsError

SAMPLE = values_of(sample_record())
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@given(TEXTS.filter(lambda text: text not in (".", "..")))
def test_any_value_is_read_back_from_path_and_query(text: str) -> None:
    template = UrlTemplate(
        "https://hr.example:8443/e/{deviceId}/p?device={deviceId}&k={employerId}"
    )
    url = template.fill({**SAMPLE, "deviceId": text})
    assert is_http_url(url)
    parts = urlsplit(url)
    assert (parts.scheme, parts.netloc, parts.fragment) == ("https", "hr.example:8443", "")
    _, first, segment, last = parts.path.split("/")
    assert (first, unquote(segment), last) == ("e", text, "p")
    query = parse_qs(parts.query, keep_blank_values=True, strict_parsing=True)
    assert query == {"device": [text], "k": ["121"]}


def test_path_and_query_beside_placeholders_are_sent_as_they_are() -> None:
    template = UrlTemplate("http://hr.example/a%2Fb/{employeeId}?x=%C3%AB;y&{employerId}")
    assert template.fill({"employeeId": 7, "employerId": 1}) == (
        "http://hr.example/a%2Fb/7?x=%C3%AB;y&1"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("https://hr.example/{employee}", r"placeholder \{employee\}, which is no property"),
        ("https://hr.example/{}", r"placeholder \{\}, which is no property"),
        ("https://hr.example/{local}", r"placeholder \{local\}, which is no property"),
        ("https://{deviceId}.example/", "must not have a placeholder in its host or port"),
        ("https://hr.example{deviceId}/", "must not have a placeholder in its host or port"),
        ("https://hr.example:{employerId}/", "must not have a placeholder in its host or port"),
        ("https:/{deviceId}/hr.example/", "must be a URL such as"),
        ("https://hr.example/#/punches/{id}", "must not have a fragment"),
        ("https://hr.example/punches#", "must not have a fragment"),
        ("https://hr.example/a/../punches", "must not have a path segment that is only dots"),
        ("https://hr.example/./{id}", "must not have a path segment that is only dots"),
        ("{deviceId}://hr.example/", "must be a URL such as"),
        ("ftp://hr.example/{deviceId}", "must be a URL such as"),
        ("https://user:hush@hr.example/{deviceId}", "must be a URL such as"),
        ("https://hr.example/{{employeeId}}", "brace without its counterpart"),
        ("https://hr.example/{employeeId}/}", "brace without its counterpart"),
        ("https://hr.example/{employeeId", "brace without its counterpart"),
    ],
)
def test_invalid_url_is_a_settings_error(text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        UrlTemplate(text)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("device", [".", ".."])
def test_value_that_would_lead_to_another_path_fails_the_record(device: str) -> None:
    with pytest.raises(UnsendableError, match="LEGACY_URL has a path segment that is only dots"):
        UrlTemplate("https://hr.example/e/{deviceId}/p").fill({"deviceId": device})


def test_missing_property_fails_the_record() -> None:
    with pytest.raises(UnsendableError, match="LEGACY_URL needs deviceId, which the record does"):
        UrlTemplate("https://hr.example/{deviceId}").fill({"employeeId": 7})
