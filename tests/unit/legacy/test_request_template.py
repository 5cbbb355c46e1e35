"""The body of a request: escaping, strictness, bounds, and what a fault of the template says."""

import json
import string
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.integrator.legacy.messages.record_values import (
    UnsendableError,
    sample_record,
    values_of,
)
from chalicelib.integrator.legacy.messages.request_template import BodyTemplate
from chalicelib.settings import SettingsError

JSON, XML, FORM = "application/json", "text/xml; charset=utf-8", "application/x-www-form-urlencoded"
SAMPLE = values_of(sample_record())

# Every character that Postgres stores, and of these every one that XML allows.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=100)
XML_TEXTS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")
    | st.sampled_from("\t\n\r"),
    max_size=100,
)


def render(source: str, content_type: str = JSON, **values: Any) -> bytes:
    return BodyTemplate(source, content_type).render({**SAMPLE, **values})


@given(TEXTS)
def test_any_text_written_with_tojson_is_read_back(text: str) -> None:
    body = render('{"device": {{ deviceId | tojson }}}', deviceId=text)
    assert json.loads(body) == {"device": text}


@given(XML_TEXTS)
def test_any_text_that_xml_allows_is_read_back_from_an_element(text: str) -> None:
    body = render("<a>{{ deviceId }}</a>", XML, deviceId=text)
    assert (ElementTree.fromstring(body).text or "") == text  # noqa: S314 - our own XML


@given(XML_TEXTS.map(lambda text: text.translate(str.maketrans("", "", "\t\n\r"))))
def test_any_line_of_text_is_read_back_from_an_attribute(text: str) -> None:
    body = render('<a b="{{ deviceId }}"/>', XML, deviceId=text)
    assert ElementTree.fromstring(body).attrib == {"b": text}  # noqa: S314 - our own XML


@given(TEXTS)
def test_xml_is_well_formed_whatever_characters_a_record_has(text: str) -> None:
    ElementTree.fromstring(render("<a>{{ deviceId }}</a>", XML, deviceId=text))  # noqa: S314


@given(TEXTS)
def test_any_text_of_a_form_is_read_back(text: str) -> None:
    source = "{{ {'employee': employeeId, 'device': deviceId} | urlencode }}"
    body = render(source, FORM, deviceId=text, employeeId=7)
    assert parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=True) == [
        ("employee", "7"),
        ("device", text),
    ]


def test_letters_that_the_charset_lacks_are_xml_references() -> None:
    body = render("<a>{{ deviceId }}</a>", "text/xml; charset=iso-8859-1", deviceId="Zoë 東")
    assert body == b"<a>Zo\xeb &#26481;</a>"


def test_letters_that_the_charset_of_plain_text_lacks_fail_the_record() -> None:
    with pytest.raises(UnsendableError, match="LEGACY_BODY renders '東', which iso8859-1"):
        render("{{ deviceId }}", "text/plain; charset=iso-8859-1", deviceId="東")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ local.strftime('%d/%m/%Y %H:%M') }}", "21/11/2026 22:30"),
        ("{{ local.isoformat() }}", "2026-11-21T22:30:00.123456-03:00"),
        ("{{ local | tojson }}", '"2026-11-21T22:30:00.123456-03:00"'),
        ("{{ utc.isoformat(timespec='seconds') }}", "2026-11-22T01:30:00+00:00"),
        ("{{ includedAt }}", "2026-11-22T01:30:00.123456Z"),
        ("{{ utcOffsetMinutes }}", "-180"),
        ("{{ localDate }} {{ localTime }}", "2026-11-21 22:30:00.123456"),
    ],
)
def test_instants_are_texts_and_aware_datetimes(source: str, expected: str) -> None:
    assert render(source).decode() == expected


def without_device(source: str, content_type: str = JSON) -> bytes:
    values = {name: each for name, each in SAMPLE.items() if name != "deviceId"}
    return BodyTemplate(source, content_type).render(values)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ deviceId | tojson }}", "null"),
        ("{{ {'device': deviceId} | tojson }}", '{"device": null}'),
        ("{{ deviceId | default('') }}", ""),
        ("{% if deviceId is defined %}{{ deviceId }}{% endif %}", ""),
    ],
)
def test_template_may_handle_a_missing_property(source: str, expected: str) -> None:
    assert without_device(source).decode() == expected


@pytest.mark.parametrize(
    "use", ["{{ deviceId }}", "{{ deviceId | upper }}", "{{ 'x' ~ deviceId }}", "{{ deviceId.x }}"]
)
def test_use_of_a_missing_property_fails_the_record_with_its_line(use: str) -> None:
    with pytest.raises(UnsendableError, match=r"^LEGACY_BODY, line 3: 'deviceId' is undefined$"):
        without_device(f"{{\n\n{use}}}")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{\n{{ employeeld }}}", r"^LEGACY_BODY, line 2: employeeld is no property of a record\."),
        ("{% if deviceId is none %}\n{{ typo }}{% endif %}", "LEGACY_BODY, line 2: typo is no pro"),
        ("\n\n{{ employeeId", "LEGACY_BODY, line 3: unexpected end of template"),
        ("{{ employeeId | nosuch }}", "LEGACY_BODY, line 1: No filter named 'nosuch'"),
        ("{% for x in y %}", "LEGACY_BODY, line 1: "),
        ("{{ lipsum() }}", "lipsum is no property"),
        ("{{ [1] | random }}", "No filter named 'random'"),
        (f"{{{{ {'9' * 5_000} }}}}", "LEGACY_BODY: .*digits"),
    ],
)
def test_invalid_template_is_a_settings_error_with_its_line(source: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        BodyTemplate(source, JSON)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("\n{{ 1 / 0 }}", "LEGACY_BODY, line 2: ZeroDivisionError: division by zero"),
        ("{{ ''.__class__.__mro__ }}", "access to attribute '__class__' of 'str' object is unsafe"),
        ("{{ local.__reduce__() }}", "unsafe"),
        ("{% set x = [] %}{{ x.append(1) }}", "append"),
        ("{% for i in range(999999999) %}x{% endfor %}", "LEGACY_BODY, line 1: OverflowError"),
        (
            "{% for i in range(2000) %}{% for j in range(2000) %}x{% endfor %}{% endfor %}",
            "LEGACY_BODY renders more than 1,000,000 characters",
        ),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "RecursionError"),
        ("{% include 'x' %}", "LEGACY_BODY, line 1: "),
        ("{{ local.strftime(7) }}", "LEGACY_BODY, line 1: TypeError"),
        ("{{ local.strftime | tojson }}", "tojson cannot write a"),
    ],
)
def test_failing_rendering_is_an_error_with_its_line(source: str, message: str) -> None:
    with pytest.raises(UnsendableError, match=message):
        render(source)


@given(st.text(string.printable + "{}%#", max_size=40))
def test_any_text_renders_or_fails_with_our_errors(source: str) -> None:
    try:
        template = BodyTemplate(source, JSON)
    except SettingsError:
        return
    with suppress(UnsendableError):
        assert isinstance(template.render(SAMPLE), bytes)


@pytest.mark.parametrize(
    "source",
    [
        "{{ local.isofromat | tojson }}",
        "{{ local.isofromat | default('') }}",
        "{% if local.isofromat is defined %}{% endif %}",
        "{{ {'a': 1}.b | tojson }}",
        "{{ deviceId['x'] | default('') }}",
    ],
)
def test_attribute_that_does_not_exist_is_an_error_with_its_line(source: str) -> None:
    with pytest.raises(UnsendableError, match=r"LEGACY_BODY, line 2: .* has no "):
        render("\n" + source)


@given(st.text(st.characters(codec="iso-8859-1", exclude_characters="\0"), max_size=100))
def test_form_has_the_charset_of_its_content_type(text: str) -> None:
    source = "{{ {'device': deviceId} | urlencode }}"
    body = render(source, f"{FORM}; charset=iso-8859-1", deviceId=text)
    fields = parse_qsl(body.decode(), keep_blank_values=True, encoding="iso-8859-1")
    assert fields == [("device", text)]


def test_form_has_a_numeric_reference_for_a_character_beyond_its_charset() -> None:
    # What Firefox and Chrome send from a page in ISO-8859-1.
    body = render("a={{ deviceId | urlencode }}", f"{FORM}; charset=iso-8859-1", deviceId="é 東")
    assert body == b"a=%E9%20%26%2326481%3B"
