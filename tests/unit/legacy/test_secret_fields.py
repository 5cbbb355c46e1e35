"""Fields whose names tell of secrets are found, however a name is written."""

import pytest

from chalicelib.integrator.legacy.messages.secret_fields import (
    masked,
    secrets_of,
    secrets_of_headers,
    secrets_of_query,
    tells_of_secret,
)


@pytest.mark.parametrize(
    "name",
    [
        *("key", "KEY", "accessKey", "client_key", "client-key", "APIKey", "apikey", "api.key"),
        *("credential", "clientCredentials", "auth", "X-Auth", "Authorization", "oauthValue"),
        *("X-Authentication", "password", "userPasswd", "pwd", "secretValue", "authToken", "pin"),
        *("pass", "sessionId", "Ocp-Apim-Subscription-Key", "key2", "keyValue", "signature"),
    ],
)
def test_name_tells_of_a_secret(name: str) -> None:
    assert tells_of_secret(name)
    assert masked(f'{{"{name}": "hush", "e": "x"}}', "***") == f'{{"{name}": ***, "e": "x"}}'
    assert masked(f"<a><{name}>hush</{name}></a>", "***") == f"<a><{name}>***</{name}></a>"
    assert masked(f"e=x&{name}=hush&f=y", "***") == f"e=x&{name}=***&f=y"
    assert secrets_of(f'{{"{name}": "hush"}}') >= {"hush"}
    assert "hush" in secrets_of_headers([f"{name}: hush"])
    assert secrets_of_query(f"e=x&{name}=hush") == {"hush"}


@pytest.mark.parametrize(
    "name",
    [
        *("keyboard", "monkey", "Idempotency-Key", "idempotencyKey", "author", "passenger"),
        *("employeeId", "compass", "shipping", "spin", "code", "turkey", "hotkeyboard", "at"),
    ],
)
def test_name_tells_of_no_secret(name: str) -> None:
    assert not tells_of_secret(name)
    text = f'{{"{name}": "x"}} <{name}>x</{name}> {name}=x'
    assert masked(text, "***") == text
    assert secrets_of(text) == set()


def test_other_values_than_texts_are_found() -> None:
    text = '{"password": ["hush-1", "hu\\"sh"], "pin": 4711, "auth": {"user": "u", "pass": "p-3"}}'
    expected = '{"password": ***, "pin": ***, "auth": {"user": "u", "pass": ***}}'
    assert masked(text, "***") == expected
    assert secrets_of(text) >= {"hush-1", 'hu"sh', "4711", "p-3"}
    assert "u" not in secrets_of(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('<login password = "hush-1"/>', "<login password = ***/>"),
        (
            "<Password>\n<Value>hush-1</Value></Password>",
            "<Password>\n<Value>***</Value></Password>",
        ),
        ("<Password>hu<!-- -->sh-1</Password>", "<Password>***</Password>"),
        ("<name>token</name> <value>hush-1</value>", "<name>token</name> <value>***</value>"),
        (
            "<name>token</name><value><string>hush-1</string></value>",
            "<name>token</name><value><string>***</string></value>",
        ),
        ('<param name="token" value="hush-1"/>', '<param name="token" value=***/>'),
        ('{"token": {"value": "hush-1"}}', '{"token": {"value": ***}}'),
        ('{"auth": {"user": "u", "value": "hush-1"}}', '{"auth": {"user": "u", "value": ***}}'),
        ('{"name": "token", "value": "hush-1"}', '{"name": "token", "value": ***}'),
        (
            'Content-Disposition: form-data; name="token"\r\n\r\nhush-1\r\n--b',
            'Content-Disposition: form-data; name="token"\r\n\r\n***\r\n--b',
        ),
    ],
)
def test_value_in_a_member_of_its_own_is_found(text: str, expected: str) -> None:
    assert masked(text, "***") == expected
    assert "hush-1" in secrets_of(text)
    harmless = text.replace("assword", "lant").replace("token", "plant").replace("auth", "plant")
    assert masked(harmless, "***") == harmless
    assert secrets_of(harmless) == set()


def test_text_beside_a_placeholder_of_a_query_is_a_secret() -> None:
    assert "hush-" in secrets_of_query("token=hush-{employeeId}&x=y{employerId}")


def test_attribute_is_found_without_what_follows() -> None:
    text = """<login user="u" key="a&amp;b" pwd='c d'/><n/>"""
    assert masked(text, "***") == '<login user="u" key=*** pwd=***/><n/>'
    assert secrets_of(text) >= {"a&b", "c d"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "<a><key>r&amp;1</key><pin>hush</pin></a>",
            "<a><key>r&amp;1</key><pin>***</pin></a>",
        ),
        ('{"token": "r&1", "pin": "hush"}', '{"token": "r&1", "pin": ***}'),
        ("pin=hush&key=r%261&e=x", "pin=***&key=r%261&e=x"),
        ("<key>r&amp;12</key>", "<key>***</key>"),
        ('{"credentials": ["r&1", "hush"]}', '{"credentials": ***}'),
        ('<auth>{"user": "r&1", "x": "hush"}</auth>', "<auth>***</auth>"),
        ('<password>"r&1" hush</password>', "<password>***</password>"),
    ],
)
def test_value_of_the_record_is_shown(text: str, expected: str) -> None:
    assert masked(text, "***", {"r&1"}) == expected
