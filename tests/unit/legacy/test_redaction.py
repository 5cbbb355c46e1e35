"""Secrets are removed from texts, however a server writes them."""

import html
import json
import time
from base64 import b64encode, encodebytes
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.integrator.legacy.messages.redaction import Redactor

SECRET = 'pä"ss/w&rd + 7'


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET, ensure_ascii=False)[1:-1],
        quote(SECRET),
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        html.escape(SECRET),
        b64encode(SECRET.encode()).decode(),
        b64encode(SECRET.encode("latin-1")).decode(),
        SECRET.encode().hex(),
        SECRET.encode().decode("latin-1"),
        SECRET.encode("latin-1").decode(errors="replace"),
        json.dumps(SECRET)[1:-1].replace("/", "\\/"),
        json.dumps(SECRET)[1:-1].replace("&", "\\u0026").replace("+", "\\u002B"),
        json.dumps(json.dumps(SECRET)[1:-1].replace("/", "\\/"))[1:-1],
        "".join(f"\\u{ord(each):04x}" for each in SECRET),
        "".join(f"&#{ord(each)};" for each in SECRET),
        "".join(f"&#x{ord(each):X};" for each in SECRET),
        "".join(f"%{each:02x}" for each in SECRET.encode()),
        "".join(f"%{each:02x}" for each in SECRET.encode("latin-1")),
        quote(quote(SECRET)),
        repr(SECRET.encode())[2:-1],
        html.escape(SECRET).replace("&quot;", "&#34;"),
    ],
)
def test_encoded_secret_is_removed(form: str) -> None:
    assert Redactor([SECRET])(f"HTTP 400: you sent {form}, twice: {form}.") == (
        "HTTP 400: you sent [secret], twice: [secret]."
    )


@pytest.mark.parametrize("secret", ["100%41", "DOM\\name", "a&amp;b&#39;", "%C3%A4%", "\\\\u0041x"])
@pytest.mark.parametrize("encode", [str, quote, html.escape, json.dumps])
def test_secret_that_looks_like_an_escape_is_removed(
    secret: str, encode: Callable[[str], str]
) -> None:
    assert Redactor([secret])(f"you sent {encode(secret)}!").strip('"') in (
        "you sent [secret]!",
        'you sent "[secret]"!',
    )


@pytest.mark.parametrize("name", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("encode", [str, quote, html.escape, json.dumps])
@pytest.mark.parametrize("nul", ["\0", "\ufffd"])
def test_secret_in_an_encoding_that_was_not_recognised_is_removed(
    name: str, encode: Callable[[str], str], nul: str
) -> None:
    text = f"you sent {encode(SECRET)}, and {SECRET[:7]}".encode(name).decode("latin-1")
    read = Redactor([SECRET])(text.replace("\0", nul)).replace(nul, "").replace('"', "")
    assert read == "you sent [secret], and [secret]"


def test_base64_of_several_lines_is_removed() -> None:
    text = encodebytes(b"x" * 50 + b"ann:" + SECRET.encode()).decode()
    assert b64encode(SECRET.encode()).decode()[-8:-3] not in Redactor([SECRET])(text)


def test_text_around_an_encoded_secret_stays_as_it_is() -> None:
    text = '{"a\\/b": "C:\\\\x %2e", "t": "a1\\/b2\\u002bc3\\/", "n": "&#39;\\u00e4"}'
    assert Redactor(["a1/b2+c3/"])(text) == text.replace("a1\\/b2\\u002bc3\\/", "[secret]")


@pytest.mark.parametrize("end", ["pa\\/ss\\u00", "pa\\/ss%2", "pa%2fss&#4", "pa\\/ss", "pa\\/s\\"])
def test_start_of_an_encoded_secret_that_is_cut_off_is_removed(end: str) -> None:
    assert Redactor(["pa/ss+word"])(f"you sent {end}") == "you sent [secret]"


@given(st.integers(min_value=4, max_value=9))
def test_start_of_a_secret_that_is_cut_off_is_removed(length: int) -> None:
    text = f"HTTP 400: hush {'hush-hush'[:length]}"
    assert "hush-" not in Redactor(["hush-hush"])(text)
    assert Redactor(["hush-hush"])(text).endswith("[secret]")


def test_longer_secret_wins_over_one_that_it_contains() -> None:
    assert Redactor(["pass", "pass-word"])("a pass-word and a pass") == "a [secret] and a [secret]"


def test_secret_that_is_part_of_the_replacement_is_replaced_once() -> None:
    assert Redactor(["secret-1", "secret"])("a secret-1, a secret") == "a [secret], a [secret]"


def test_long_token_takes_no_time_in_which_calls_wait() -> None:
    token = "eyJ." * 15_000
    started = time.process_time()
    redact = Redactor([token])
    assert redact(f"you sent {token}") == "you sent [secret]"
    assert time.process_time() - started < 0.3  # as a pattern, a second


@pytest.mark.parametrize(
    "filling", ["\\", "&", "%", "\\u0041", "&#39;", "aaaa", "%C3%A4", "\n", "\0", "a\0", "\ufffd"]
)
def test_any_text_takes_no_time_in_which_calls_wait(filling: str) -> None:
    text = (filling * 8_000)[:8_000]
    redact = Redactor(["a" * 8_000 + "b", 'pä"ss/w&rd + 7', filling * 4_000])
    started = time.process_time()
    redact(text)
    assert time.process_time() - started < 0.3


def test_secret_of_three_characters_stays() -> None:
    assert Redactor(["401", ""])("HTTP 401: no") == "HTTP 401: no"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            f'Digest username="ann", response="{"0a" * 16}", nc=1',
            'username="ann", response="[secret]", nc=1',
        ),
        (f"Authorization: NTLM {'TlRM' * 20}==", "Authorization: NTLM [secret]"),
        ("Authorization: NTLM " + "Tl\\/M" * 20 + "==", "Authorization: NTLM [secret]"),
        (f"NTLM%20{'Tl%2fM' * 20}%3D\r\nHost: hr", "NTLM%20[secret]\r\nHost: hr"),
        (f'{{"authorization": "Negotiate {"YII" * 20}"}}', '"Negotiate [secret]"}'),
    ],
)
def test_proof_of_a_password_is_removed(text: str, expected: str) -> None:
    assert expected in Redactor([])(text)


@given(st.text(), st.text(min_size=4))
def test_no_text_contains_the_secret_afterwards(text: str, secret: str) -> None:
    assert secret not in Redactor([secret])(f"{text}{secret}{text}").replace("[secret]", "")
